//! Literal account ids: a template that holds one fits one stage only.

use super::{
    Findings,
    accounts::AWS_ACCOUNTS,
    json::{Json, Place, walk},
};
use crate::finding::Code;

/// Finds literal account ids in everything that is deployed: not in `Metadata` and `Description`.
pub(super) fn check(root: &Json<'_>, findings: &mut Findings<'_>) {
    walk(root, &Place::Root, &mut |value, place| {
        if findings.is_full() || is_prose(place, value) {
            return false;
        }
        if let Json::String(text) = value {
            for account in account_ids(text) {
                findings.say(
                    Code::TemplateNotPortable,
                    format!(
                        "`{place}` names the account `{account}` literally: use `${{AWS::AccountId}}` or a parameter"
                    ),
                );
            }
        }
        true
    });
}

/// Whether a place is for readers and tools rather than for the stack.
fn is_prose(place: &Place<'_>, value: &Json<'_>) -> bool {
    match place {
        // The template's own, or a resource's attribute; not a property that happens to be called so.
        Place::Key(Place::Root | Place::Key(Place::Key(Place::Root, "Resources"), _), "Metadata") => true,
        Place::Key(_, "Description") => value.as_str().is_some(),
        _ => false,
    }
}

/// How many account ids of one text are told.
const MAX_IDS: usize = 10;

/// The account ids in a text that aren't AWS's own: whole tokens of 12 digits, where a number may be an account.
fn account_ids(text: &str) -> Vec<&str> {
    let mut ids = Vec::new();
    // `123456789012`, or a parameter's list of them.
    let is_list = text.bytes().all(|b| b.is_ascii_digit() || b", :".contains(&b));
    let mut rest = text;
    let mut offset = 0;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit())
        && ids.len() < MAX_IDS
    {
        let from = offset + start;
        let digits = text.get(from..).unwrap_or_default();
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        let (before, id) = text.get(..from + length).unwrap_or_default().split_at(from);
        let after = text.get(from + length..).unwrap_or_default();
        if length == 12 && (is_list || is_account(before, after)) && !AWS_ACCOUNTS.contains(&id) && !ids.contains(&id) {
            ids.push(id);
        }
        offset = from + length;
        rest = after;
    }
    ids
}

/// Whether 12 digits between `before` and `after` are an account id: part of an ARN, a name, a path or a host, or a
/// quoted value; not a bare number of a program, part of a hash, of a UUID, or of a decimal.
fn is_account(before: &str, after: &str) -> bool {
    let left = before.chars().next_back();
    let right = after.chars().next();
    let breaks = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "\"'`,;(){}[]<>=&|\\".contains(c));
    let is_quote = |c: Option<char>| c.is_some_and(|c| "\"'`".contains(c));
    let is_hash = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    if is_hash(left) || is_hash(right) || left == Some('+') {
        return false;
    }
    if left == Some('.') && before.trim_end_matches('.').ends_with(|c: char| c.is_ascii_digit())
        || right == Some('.') && after.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
        || is_uuid_tail(before)
    {
        return false;
    }
    // A colon alone joins nothing: it is JSON's, before a number.
    let left_breaks = breaks(left) || (left == Some(':') && breaks(before.chars().rev().nth(1)));
    let right_breaks = breaks(right) || (right == Some(':') && breaks(after.chars().nth(1)));
    if left_breaks && right_breaks {
        // A word of its own: the whole text, or a quoted value in a longer one (a JSON document, a program). A
        // backslash escapes the quote of a document in a document.
        let right = after.trim_start_matches('\\').chars().next();
        return (is_quote(left) && is_quote(right)) || (before.is_empty() && after.is_empty());
    }
    true
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
    use serde_json::json;

    use super::*;
    use crate::artefact::template::json;

    const OURS: &str = "123456789012";

    fn check_text(text: &str, found: bool) {
        let expect: &[&str] = if found { &[OURS] } else { &[] };
        assert_eq!(account_ids(text), expect, "{text}");
    }

    #[test]
    fn an_account_id_is_found_wherever_one_stands_for_an_account() {
        for text in [
            "123456789012",
            "arn:aws:iam::123456789012:role/deployer",
            "arn:aws:iam::123456789012:root",
            "arn:aws:sqs:ap-southeast-2:123456789012:",
            ":123456789012:role/x",
            ":123456789012",
            "123456789012.dkr.ecr.ap-southeast-2.amazonaws.com/payments:1",
            "https://sqs.ap-southeast-2.amazonaws.com/123456789012/jobs",
            "cdk-hnb659fds-assets-123456789012-ap-southeast-2",
            "dev-123456789012",
            "AWSLogs/123456789012/*",
            "role_123456789012",
            "123456789012,123456789012",
            "123456789012, 123456789012",
            r#"{"Principal":{"AWS":"123456789012"}}"#,
            r#"{\"account\":\"123456789012\"}"#,
            "const role = 'arn:aws:iam::123456789012:role/x';",
            "const account = '123456789012';",
            "export ACCOUNT='123456789012'",
        ] {
            check_text(text, true);
        }
    }

    #[test]
    fn twelve_digits_that_are_no_account_are_left_alone() {
        for text in [
            "12345678901",
            "1234567890123",
            "a123456789012",
            "3f1c9a0b-5d7e-4468-ace0-123456789012",
            "0.123456789012",
            "123456789012.5",
            "+123456789012",
            "const epoch = 123456789012;",
            "wait(123456789012)",
            r#"{"Seconds":123456789012}"#,
            r#"{"Seconds": 123456789012, "x": 1}"#,
            "9b2f123456789012c4.zip",
            "at 123456789012 we wait",
        ] {
            check_text(text, false);
        }
    }

    #[test]
    fn accounts_of_aws_itself_are_the_same_in_every_stage() {
        for text in [
            "arn:aws:lambda:ap-southeast-2:580247275435:layer:LambdaInsightsExtension:53",
            "arn:aws:lambda:ap-southeast-2:094274105915:layer:AWSLambdaPowertoolsTypeScriptV2:44",
            "arn:aws:iam::783225319266:root",
        ] {
            check_text(text, false);
        }
        assert_eq!(account_ids("arn:aws:iam::783225319266:role/123456789012"), [OURS]);
    }

    #[test]
    fn only_what_is_deployed_is_looked_at() {
        let role = "arn:aws:iam::123456789012:role/x";
        let template = json!({
            "Description": format!("made in {OURS}"),
            "Metadata": {"Account": OURS},
            "Parameters": {"Account": {"Type": "String", "Description": role, "Default": OURS}},
            "Mappings": {"ByAccount": {OURS: {"Role": role}}},
            "Resources": {"Fn": {
                "Type": "AWS::Lambda::Function",
                "Metadata": {"aws:asset:path": role},
                "Properties": {"Description": role, "MemorySize": 123_456_789_012_u64, "Role": {"Fn::Join": ["", ["x", role]]}, "Metadata": role}
            }},
            "Outputs": {"Role": {"Description": role, "Value": role}}
        });
        let mut findings = Findings::new("payments-api.json");
        let document = template.to_string();
        check(&json::read(document.as_bytes()).unwrap().0, &mut findings);
        let places: Vec<_> = findings.into_list().into_iter().map(|it| it.message).collect();
        insta::assert_json_snapshot!(places, @r#"
        [
          "`Mappings.ByAccount.123456789012.Role` names the account `123456789012` literally: use `${AWS::AccountId}` or a parameter",
          "`Outputs.Role.Value` names the account `123456789012` literally: use `${AWS::AccountId}` or a parameter",
          "`Parameters.Account.Default` names the account `123456789012` literally: use `${AWS::AccountId}` or a parameter",
          "`Resources.Fn.Properties.Metadata` names the account `123456789012` literally: use `${AWS::AccountId}` or a parameter",
          "`Resources.Fn.Properties.Role.Fn::Join[1][1]` names the account `123456789012` literally: use `${AWS::AccountId}` or a parameter"
        ]
        "#);
    }

    #[test]
    fn the_table_of_aws_accounts_holds_whole_ids_each_once() {
        assert!(AWS_ACCOUNTS.iter().all(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit())));
        let once: std::collections::BTreeSet<_> = AWS_ACCOUNTS.iter().collect();
        assert_eq!(once.len(), AWS_ACCOUNTS.len());
        assert!(!AWS_ACCOUNTS.contains(&OURS));
    }
}
