//! Which twelve digits in a text are an account: they are many things, a client id, a build, a telephone number, a minute.

use std::collections::BTreeSet;

use super::accounts::is_vendor;

/// How many account ids of one text are told.
const MAX_IDS: usize = 10;

/// The accounts in a text that is called by `names`, which are no vendor's.
pub(super) fn account_ids(text: &str, names: &[&str]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut offset = 0;
    while let Some(rest) = text.get(offset..)
        && let Some(start) = rest.find(|c: char| c.is_ascii_digit())
        && ids.len() < MAX_IDS
    {
        let from = offset + start;
        let length = text.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
        let (before, id) = text.get(..from + length).unwrap_or_default().split_at(from);
        let after = text.get(from + length..).unwrap_or_default();
        if length == 12 && !is_vendor(id) && (Token { before, id, after }).is_account(names) {
            ids.insert(id.to_owned());
        }
        offset = from + length;
    }
    ids
}

/// What has numbers that are no accounts: each as a word of its name.
const NUMBERED: &[&str] = &[
    "build",
    "buildid",
    "buildnumber",
    "client",
    "clientid",
    "date",
    "datetime",
    "invoice",
    "job",
    "msisdn",
    "order",
    "phone",
    "phonenumber",
    "release",
    "run",
    "tel",
    "telephone",
    "ticket",
    "time",
    "timestamp",
    "version",
];

/// Twelve digits in a text.
#[derive(Clone, Copy)]
struct Token<'a> {
    before: &'a str,
    id: &'a str,
    after: &'a str,
}

impl Token<'_> {
    fn is_account(self, names: &[&str]) -> bool {
        let Self { before, after, .. } = self;
        let (left, right) = (before.chars().next_back(), after.chars().next());
        let is_hash = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_decimal = left == Some('.') && before.trim_end_matches('.').ends_with(|c: char| c.is_ascii_digit())
            || right == Some('.') && after.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
        if is_hash(left) || is_hash(right) || left == Some('+') || is_decimal || is_uuid_tail(before) {
            return false;
        }
        if self.stands_in_arn() || self.stands_in_address() || self.stands_before_region() {
            return true;
        }
        let word = before
            .rfind(|c: char| !(c.is_alphanumeric() || "-_./".contains(c)))
            .map_or(0, |at| at + char_len(before, at));
        let (outside, word) = before.split_at(word);
        // In a document or program within the text the nearest name is there.
        let inner = last_identifier(outside);
        let names = if inner.is_empty() { names } else { std::slice::from_ref(&inner) };
        let is_called = |words: &[&str]| names.iter().any(|name| is_called(name, words));
        let is_named_account = !is_called(&["client", "phone", "accounting"])
            && (is_called(&["account", "principal", "owner", "registryid"])
                || names.iter().any(|name| name.eq_ignore_ascii_case("aws")));
        // A build's account is one, its number is none.
        if !is_named_account && !is_called(&["bucket"]) && names.first().is_some_and(|name| is_numbered(name)) {
            return false;
        }
        let breaks = |c: Option<char>| c.is_none_or(|c| !"-_/.".contains(c));
        if breaks(left) && breaks(right) {
            return is_named_account && self.is_quoted_or_whole();
        }
        // A part of a name, which may also end in a moment.
        let is_name_part = left.is_some_and(|c| "-_".contains(c)) && word.starts_with(char::is_alphabetic);
        let is_named_so = is_called(&["bucket", "name"]) || is_named_account;
        (is_name_part || is_named_so) && left != Some('/') && !self.is_moment() && !ends_numbered(word)
    }

    /// In an ARN's place for the account, `arn:aws:iam::123456789012:role/x`, or in a piece of one.
    fn stands_in_arn(self) -> bool {
        let before = without_references(self.before);
        if let Some(start) = before.rfind("arn:") {
            let arn = before.get(start..).unwrap_or_default();
            if !arn.contains(|c: char| c.is_whitespace() || "\"'".contains(c)) {
                return arn.matches(':').count() == 4 && arn.ends_with(':');
            }
        }
        // The rest of an ARN whose start is another piece of the text: `:iam::123456789012:role/x`, `:123456789012:`.
        let is_rest = before.starts_with(':')
            && before.ends_with(':')
            && before.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b':');
        let starts_piece = before.is_empty() && self.after.starts_with(':');
        is_rest || (starts_piece && self.after.as_bytes().get(1).is_some_and(u8::is_ascii_alphabetic))
    }

    /// In the address of a registry, a queue or a log.
    fn stands_in_address(self) -> bool {
        let Self { before, after, .. } = self;
        let host = after.split(['/', '"', '\'', ' ']).next().unwrap_or_default();
        let is_registry = host.starts_with(".dkr.") || host.starts_with(".dkr-");
        let is_host = (after.starts_with('.') || after.starts_with("-s3")) && host.contains("amazonaws.com");
        let is_queue = before.ends_with("amazonaws.com/")
            || before.ends_with("amazonaws.com.cn/")
            || before.ends_with("${AWS::URLSuffix}/");
        is_registry || is_host || is_queue || before.ends_with("AWSLogs/") || (before == "/" && after.starts_with('/'))
    }

    /// In a name like `cdk-hnb659fds-assets-123456789012-ap-southeast-2`.
    fn stands_before_region(self) -> bool {
        let is_region = |text: &str| {
            let mut parts = text.split(|c: char| !c.is_ascii_alphanumeric());
            let first = parts.next().is_some_and(|it| it.len() == 2 && it.bytes().all(|b| b.is_ascii_lowercase()));
            let next = parts.next().unwrap_or_default();
            let middle = if matches!(next, "gov" | "iso" | "isob") { parts.next().unwrap_or_default() } else { next };
            first
                && middle.len() >= 4
                && parts.next().is_some_and(|it| it.len() == 1 && it.bytes().all(|b| b.is_ascii_digit()))
        };
        let is_asset =
            self.before.contains("-assets-") || self.before.starts_with("sst") || self.before.starts_with("cdk-");
        match self.after.strip_prefix('-') {
            Some(rest) => {
                is_region(rest) || rest.starts_with("${AWS::Region}") || (rest.is_empty() && self.before.ends_with('-'))
            }
            None => is_asset && self.before.ends_with('-') && self.after.is_empty(),
        }
    }

    /// Whether nothing or quotes are around it, in a list or alone; not a bare number of a program.
    fn is_quoted_or_whole(self) -> bool {
        let is_list = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b", :".contains(&b));
        let is_quote = |c: Option<char>| c.is_some_and(|c| "\"'`".contains(c));
        let right = self.after.trim_start_matches('\\').chars().next();
        (is_list(self.before) && is_list(self.after)) || (is_quote(self.before.chars().next_back()) && is_quote(right))
    }

    /// Whether the digits read as a minute of these centuries, `202611301234`.
    fn is_moment(self) -> bool {
        let part =
            |range: std::ops::Range<usize>| self.id.get(range).and_then(|it| it.parse::<u32>().ok()).unwrap_or(99);
        (19..=20).contains(&part(0..2))
            && (1..=12).contains(&part(4..6))
            && (1..=31).contains(&part(6..8))
            && part(8..10) < 24
            && part(10..12) < 60
    }
}

/// Whether a name, `ClientId` or `client_id`, holds one of these words.
fn is_called(name: &str, words: &[&str]) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    words.iter().any(|word| name.contains(word))
}

/// Whether a name, `BuildNumber` or `build_number`, has a word of what has numbers.
fn is_numbered(name: &str) -> bool {
    let mut words = String::new();
    for c in name.chars() {
        let starts = c.is_ascii_uppercase() && words.ends_with(|before: char| before.is_ascii_lowercase());
        if starts || !c.is_ascii_alphanumeric() {
            words.push(' ');
        }
        words.extend(c.is_ascii_alphanumeric().then_some(c));
    }
    words.to_ascii_lowercase().split(' ').any(|word| NUMBERED.contains(&word))
}

/// Whether the number behind the start of a name, `build-`, is no account by its last word.
fn ends_numbered(start: &str) -> bool {
    start.trim_end_matches(['-', '_']).rsplit(['-', '_', '.', '/']).next().is_some_and(is_numbered)
}

/// The last name in a text: of `{"account": "` it is `account`.
fn last_identifier(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || "_-:".contains(c);
    let text = text.trim_end_matches(|c: char| !c.is_alphabetic() && c != '_');
    let start = text.rfind(|c: char| !is_part(c)).map_or(0, |at| at + char_len(text, at));
    text.get(start..).unwrap_or_default()
}

/// How long the character is that stands there, in bytes.
fn char_len(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8)
}

/// A text with each reference of `Fn::Sub` as one sign, because `${AWS::Region}` has colons.
fn without_references(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        plain.push_str(before);
        plain.push('x');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

/// Whether the text ends like a UUID without its last 12 digits.
fn is_uuid_tail(before: &str) -> bool {
    let Some(tail) = before.len().checked_sub(24).and_then(|start| before.get(start..)) else {
        return false;
    };
    let groups: Vec<&str> = tail.split('-').collect();
    let lengths = [8, 4, 4, 4, 0];
    groups.len() == lengths.len()
        && groups
            .iter()
            .zip(lengths)
            .all(|(group, length)| group.len() == length && group.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::accounts::{AWS_ACCOUNTS, VENDOR_ACCOUNTS};

    const OURS: &str = "123456789012";

    fn check_text(text: &str, names: &[&str], found: bool) {
        let expect: BTreeSet<String> = found.then(|| OURS.to_owned()).into_iter().collect();
        assert_eq!(account_ids(text, names), expect, "{text} {names:?}");
    }

    #[test]
    fn an_account_stands_in_arns_addresses_and_names_whatever_they_are_called() {
        for text in [
            "arn:aws:iam::123456789012:role/deployer",
            "arn:aws:iam::123456789012:root",
            "arn:aws:sqs:ap-southeast-2:123456789012:",
            "arn:${AWS::Partition}:sns:${AWS::Region}:123456789012:alarms",
            ":123456789012:role/x",
            ":iam::123456789012:role/x",
            "123456789012:role/x",
            "123456789012.dkr.ecr.ap-southeast-2.amazonaws.com/payments:1",
            "https://sqs.ap-southeast-2.amazonaws.com/123456789012/jobs",
            "https://sqs.${AWS::Region}.${AWS::URLSuffix}/123456789012/jobs",
            ".amazonaws.com/123456789012/jobs",
            "https://123456789012.signin.aws.amazonaws.com",
            "s3://logs-123456789012.s3.amazonaws.com",
            "cdk-hnb659fds-assets-123456789012-ap-southeast-2",
            "cdk-hnb659fds-assets-123456789012-us-gov-west-1",
            "cdk-hnb659fds-assets-123456789012-${AWS::Region}",
            "cdk-hnb659fds-assets-123456789012-",
            "cdk-hnb659fds-assets-123456789012",
            "sst-bootstrap-123456789012",
            "s3://logs/AWSLogs/123456789012/*",
            "dev-123456789012",
            "orders-123456789012",
            "build-artefacts-123456789012",
            "role_123456789012",
            "arn:aws:s3:::dev-payments-123456789012/*",
            "const role = 'arn:aws:iam::123456789012:role/x';",
            r#"{"Principal":{"AWS":"123456789012"}}"#,
            r#"{\"account\":\"123456789012\"}"#,
            r#"{"accounts": ["123456789012", "123456789012"]}"#,
            "const account = '123456789012';",
            "export ACCOUNT='123456789012'",
        ] {
            check_text(text, &["X"], true);
        }
    }

    #[test]
    fn a_bare_number_is_an_account_where_it_is_called_one() {
        for name in [
            "AccountId",
            "accounts",
            "AWS_ACCOUNT_ID",
            "aws:SourceAccount",
            "AWS:SourceOwner",
            "Principal",
            "AWS",
            "PeerOwnerId",
            "BUILD_ACCOUNT_ID",
            "TelemetryAccount",
            "RegistryId",
            "ExpectedBucketOwner",
        ] {
            check_text("123456789012", &[name], true);
            check_text("123456789012, 123456789012", &[name], true);
        }
        for name in [
            "CLIENT_ID",
            "ClientIdList",
            "BUILD_NUMBER",
            "Phone",
            "Timestamp",
            "Version",
            "X",
            "ServiceAccountClientId",
        ] {
            check_text("123456789012", &[name], false);
        }
    }

    #[test]
    fn twelve_digits_that_are_no_account_are_left_alone() {
        for text in [
            "12345678901",
            "1234567890123",
            "a123456789012",
            "123456789012",
            "3f1c9a0b-5d7e-4468-ace0-123456789012",
            "0.123456789012",
            "123456789012.5",
            "+123456789012",
            "tel:123456789012",
            "123456789012-0f1e2d3c.apps.googleusercontent.com",
            "build-123456789012",
            "nightly_build_123456789012",
            "payments/releases/123456789012.zip",
            "https://api.bank.example/orders/123456789012",
            "const epoch = 123456789012;",
            "wait(123456789012)",
            r#"{"Seconds":123456789012}"#,
            r#"{"Seconds": 123456789012, "x": 1}"#,
            r#"{"clientId": "123456789012"}"#,
            "const clientId = '123456789012';",
            "9b2f123456789012c4.zip",
            "at 123456789012 we wait",
        ] {
            check_text(text, &["X"], false);
        }
        assert_eq!(account_ids("snapshot-202611301234", &["SnapshotName"]), BTreeSet::new());
        assert_eq!(account_ids("202611301234", &["DEPLOYED_AT"]), BTreeSet::new());
    }

    #[test]
    fn accounts_of_aws_and_of_vendors_are_the_same_in_every_stage() {
        for text in [
            "arn:aws:lambda:ap-southeast-2:580247275435:layer:LambdaInsightsExtension:53",
            "arn:aws:lambda:ap-southeast-2:094274105915:layer:AWSLambdaPowertoolsTypeScriptV2:44",
            "arn:aws:lambda:ap-southeast-2:464622532012:layer:Datadog-Extension:80",
            "arn:aws:serverlessrepo:us-east-1:297356227824:applications/SecretsManagerRDSPostgreSQLRotationSingleUser",
            "arn:aws:iam::783225319266:root",
        ] {
            check_text(text, &[], false);
        }
        check_text("arn:aws:iam::783225319266:role/x-123456789012", &[], true);
    }

    #[test]
    fn the_tables_of_accounts_hold_whole_ids_each_once() {
        let all = || AWS_ACCOUNTS.iter().chain(VENDOR_ACCOUNTS);
        assert!(all().all(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit())));
        assert_eq!(all().collect::<BTreeSet<_>>().len(), all().count());
        assert!(!all().any(|id| *id == OURS));
    }
}
