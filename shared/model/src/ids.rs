//! Identifiers, parsed once where they enter and correct from then on.
//!
//! Deserialising validates too: a value of one of these types never holds text that its grammar refuses.
//! The grammars are those of the store's layout (CONTRACT §2).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text isn't the identifier that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {expected}")]
pub struct InvalidId {
    /// What it should have been, such as `commit sha`.
    pub kind: &'static str,
    /// The text that was refused, cut to 200 characters.
    pub value: String,
    /// The grammar, in words.
    pub expected: &'static str,
}

/// Makes a newtype over `String` whose only way in is its grammar.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $pattern:literal, $expected:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = $pattern)))]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId {
                        kind: $kind,
                        value: text.chars().take(200).collect(),
                        expected: $expected,
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A code repository of the platform, such as `bank-payments`.
    Repo, "repository name", r"^[a-z0-9][a-z0-9._-]{0,99}$",
    "1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket",
    valid_repo
);
text_id!(
    /// A git commit's full object name, SHA-1 or SHA-256.
    CommitSha, "commit sha", r"^([0-9a-f]{40}|[0-9a-f]{64})$",
    "40 or 64 lowercase hexadecimal digits", valid_commit_sha
);
text_id!(
    /// A module of the platform, `MOD-` and at least three digits.
    ModuleId, "module id", r"^MOD-[0-9]{3,}$",
    "`MOD-` and at least three digits", valid_module_id
);
text_id!(
    /// The part of a promotion that a runner carries out: `pulumi`, or `dbt-` and the module whose models are built.
    RunName, "run's name", r"^(pulumi|dbt-MOD-[0-9]{3,})$",
    "`pulumi`, or `dbt-` and a module id", valid_run_name
);
text_id!(
    /// The address of whatever asked for a change: a pull request, a ticket.
    ChangeUrl, "address of a change", r"^https?://[!-~]{1,1992}$",
    "`https://` or `http://` and what follows it, without spaces, percent-encoded, 2,000 characters at most",
    valid_change_url
);
text_id!(
    /// A stage that commits are promoted to, such as `uat`.
    StageName, "stage name", r"^[a-z][a-z0-9-]{0,31}$",
    "1 to 32 of `a-z`, `0-9` and `-`, starting with a letter", valid_stage
);
text_id!(
    /// A Lambda function's name, as `CreateFunction` allows it.
    FunctionName, "function name", r"^[A-Za-z0-9_-]{1,64}$",
    "1 to 64 of `A-Z`, `a-z`, `0-9`, `_` and `-`", valid_function_name
);
text_id!(
    /// A CloudFormation stack's name, as `CreateStack` allows it.
    StackName, "stack name", r"^[A-Za-z][A-Za-z0-9-]{0,127}$",
    "1 to 128 of `A-Z`, `a-z`, `0-9` and `-`, starting with a letter", valid_stack_name
);
text_id!(
    /// An AWS account.
    AccountId, "account id", r"^[0-9]{12}$", "12 digits", valid_account
);
text_id!(
    /// A region of AWS, such as `ap-southeast-2`.
    RegionName, "region", r"^[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}$",
    "words of `a-z` and a number, joined by `-`, such as `ap-southeast-2`", valid_region
);
text_id!(
    /// A bucket of S3.
    BucketName, "bucket name", r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    "3 to 63 of `a-z`, `0-9`, `.` and `-`, starting and ending with a letter or digit", valid_bucket_name
);
text_id!(
    /// An application as SST and CDK call it: the part of its names that is the same in every stage.
    ApplicationName, "application name", r"^[A-Za-z][A-Za-z0-9_-]{0,99}$",
    "1 to 100 of `A-Z`, `a-z`, `0-9`, `_` and `-`, starting with a letter", valid_application
);
text_id!(
    /// A PostgreSQL database's name: at most 63 bytes, kept to the unquoted alphabet and `-`.
    DatabaseName, "database name", r"^[A-Za-z_][A-Za-z0-9_$-]{0,62}$",
    "1 to 63 of `A-Z`, `a-z`, `0-9`, `_`, `$` and `-`, starting with a letter or `_`", valid_database_name
);
text_id!(
    /// A table's name with its schema, as SQL has it: such as `public.events` or `public."Events"`.
    PartitionedTable, "partitioned table",
    r#"^([a-z_][a-z0-9_]*|"([^"]|"")+")\.([a-z_][a-z0-9_]*|"([^"]|"")+")$"#,
    "a schema and a table, such as `public.events`, each in double quotes unless it is of `a-z`, `0-9` and `_`",
    valid_partitioned_table
);
text_id!(
    /// A file's name inside a folder of the store: no path, nothing hidden.
    FileName, "file name", r"^[A-Za-z0-9_][A-Za-z0-9._+ ()@,=-]{0,199}$",
    "1 to 200 plain characters without a slash, not starting with a dot", valid_file_name
);
text_id!(
    /// The key that templates name an asset by in an asset bucket, such as `{64 hexadecimal digits}.zip` of CDK.
    AssetKey, "asset key", r"^([A-Za-z0-9_][A-Za-z0-9._=-]{0,199}/)*[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}$",
    "at most 600 letters, digits and `._=-`, in folders or not, no part of it starting with a dot", valid_asset_key
);
text_id!(
    /// An asset's file in a module's `assets/` folder: the SHA-256 of its bytes, and the extension of its key.
    AssetFile, "asset file", r"^[0-9a-f]{64}(\.[A-Za-z0-9]{1,16})?$",
    "64 lowercase hexadecimal digits, and an extension or none", valid_asset_file
);
text_id!(
    /// A migration's path below its database's `migrations/` folder, as Flyway records it in `script`: such as
    /// `V1__create_ledger.sql` or `2026/V12__add_currency.sql`.
    MigrationPath, "migration path",
    r"^([\p{L}\p{N}_][\p{L}\p{N}._+ ()@,=-]{0,199}/)*[\p{L}\p{N}_][\p{L}\p{N}._+ ()@,=-]{0,195}\.sql$",
    "a file name that ends in `.sql`, below folders or not: letters, digits and `._+ ()@,=-`, no part of it starting \
     with a dot", valid_migration_path
);
text_id!(
    /// One promotion, a ULID: 26 characters that sort by time.
    PromotionId, "promotion id", r"^[0-9A-HJKMNP-TV-Z]{26}$",
    "26 characters of Crockford's base 32", valid_promotion_id
);
text_id!(
    /// What holds a stage, a ULID.
    HoldId, "hold's id", r"^[0-9A-HJKMNP-TV-Z]{26}$",
    "26 characters of Crockford's base 32", valid_promotion_id
);
text_id!(
    /// What two people waived of a stage's rules until a time, a ULID.
    WaiverId, "waiver's id", r"^[0-9A-HJKMNP-TV-Z]{26}$",
    "26 characters of Crockford's base 32", valid_promotion_id
);

/// Makes a newtype over the text that S3 gives: it has no grammar, and nothing but S3 makes one.
macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_id!(
    /// One version of an object of a versioned bucket: what S3 answers a write with as `x-amz-version-id`. The same key and
    /// version always have the same bytes; only tags and retention can still change.
    VersionId
);
opaque_id!(
    /// What S3 calls an object's newest bytes by, the header `ETag` with its double quotes: what `If-Match` compares. It
    /// is no digest of the bytes.
    ETag
);

impl AssetFile {
    /// The file of an asset with these bytes that templates name by this key.
    #[must_use]
    pub fn of(sha256: Sha256, key: &AssetKey) -> Self {
        let file = key.as_str().rsplit('/').next().unwrap_or_default();
        let extension = file.rsplit_once('.').map(|(_, extension)| extension).filter(|it| valid_extension(it));
        Self(extension.map_or_else(|| sha256.to_string(), |extension| format!("{sha256}.{extension}")))
    }

    /// Its extension, where it has one.
    #[must_use]
    pub fn extension(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, extension)| extension)
    }
}

impl StageName {
    /// `dev`, where pipelines deploy to and test (ADR-053 "CI pipeline shape").
    #[must_use]
    pub fn dev() -> Self {
        Self("dev".to_owned())
    }

    /// No stage: what the ledger calls the gate's own chains. No stage can be configured by this name.
    #[must_use]
    pub fn gate() -> Self {
        Self("gate".to_owned())
    }

    /// No stage either: what the ledger calls the chains of what holds stages.
    #[must_use]
    pub fn holds() -> Self {
        Self("holds".to_owned())
    }
}

impl RunName {
    /// That of a Pulumi program, of which a repository has one.
    #[must_use]
    pub fn pulumi() -> Self {
        Self("pulumi".to_owned())
    }

    /// That of a module's dbt models.
    #[must_use]
    pub fn dbt(module: &ModuleId) -> Self {
        Self(format!("dbt-{module}"))
    }
}

fn all(text: &str, lengths: std::ops::RangeInclusive<usize>, allowed: impl Fn(u8) -> bool) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(allowed)
}

fn starts(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(allowed)
}

/// The records bucket's own folders beside those of the repositories: its policy tells writers apart by them.
const RESERVED_REPOS: [&str; 10] =
    ["approvals", "built", "config", "digests", "drift", "inspections", "ledger", "locks", "promotions", "stages"];

fn valid_change_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| (1..=1992).contains(&rest.len()) && rest.bytes().all(|it| it.is_ascii_graphic()))
}

fn valid_repo(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let grammar = starts(text, letter) && all(text, 1..=100, |b| letter(b) || matches!(b, b'.' | b'_' | b'-'));
    grammar && !RESERVED_REPOS.contains(&text)
}

fn valid_commit_sha(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(lower_hex)
}

fn valid_run_name(text: &str) -> bool {
    text == "pulumi" || text.strip_prefix("dbt-").is_some_and(valid_module_id)
}

fn valid_module_id(text: &str) -> bool {
    text.strip_prefix("MOD-").is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn valid_stage(text: &str) -> bool {
    starts(text, |b| b.is_ascii_lowercase())
        && all(text, 1..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn valid_function_name(text: &str) -> bool {
    all(text, 1..=64, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn valid_stack_name(text: &str) -> bool {
    starts(text, |b| b.is_ascii_alphabetic()) && all(text, 1..=128, |b| b.is_ascii_alphanumeric() || b == b'-')
}

fn valid_account(text: &str) -> bool {
    all(text, 12..=12, |b| b.is_ascii_digit())
}

fn valid_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_word = |word: &&str| all(word, 1..=32, |b| b.is_ascii_lowercase());
    words.len() >= 2
        && words.first().is_some_and(|word| word.len() >= 2)
        && words.iter().all(is_word)
        && all(number, 1..=2, |b| b.is_ascii_digit())
}

fn valid_bucket_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    starts(text, letter)
        && text.bytes().next_back().is_some_and(letter)
        && all(text, 3..=63, |b| letter(b) || matches!(b, b'.' | b'-'))
}

fn valid_application(text: &str) -> bool {
    starts(text, |b| b.is_ascii_alphabetic())
        && all(text, 1..=100, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn valid_database_name(text: &str) -> bool {
    starts(text, |b| b.is_ascii_alphabetic() || b == b'_')
        && all(text, 1..=63, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'-'))
}

fn valid_partitioned_table(text: &str) -> bool {
    // The rest behind a name, quoted or not.
    let behind = |text: &str| -> Option<usize> {
        let Some(quoted) = text.strip_prefix('"') else {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            let end = text.bytes().position(|b| !plain(b)).unwrap_or(text.len());
            return (!text.starts_with(|c: char| c.is_ascii_digit()) && end > 0).then_some(end);
        };
        let mut end = 0;
        loop {
            end += quoted.get(end..)?.find('"')?;
            match quoted.get(end + 1..) {
                Some(rest) if rest.starts_with('"') => end += 2,
                _ => return (end > 0).then_some(end + 2),
            }
        }
    };
    let table = behind(text).and_then(|end| text.get(end..)?.strip_prefix('.'));
    text.len() <= 300
        && !text.contains(char::is_control)
        && table.is_some_and(|table| behind(table) == Some(table.len()))
}

fn valid_file_name(text: &str) -> bool {
    starts(text, |b| b.is_ascii_alphanumeric() || b == b'_')
        && all(text, 1..=200, |b| b.is_ascii_alphanumeric() || b"._+ ()@,=-".contains(&b))
}

fn valid_asset_key(text: &str) -> bool {
    let valid = |part: &str| {
        starts(part, |b| b.is_ascii_alphanumeric() || b == b'_')
            && all(part, 1..=200, |b| b.is_ascii_alphanumeric() || b"._=-".contains(&b))
    };
    text.len() <= 600 && text.split('/').all(valid)
}

fn valid_asset_file(text: &str) -> bool {
    let (digest, extension) = text.split_once('.').map_or((text, None), |(digest, it)| (digest, Some(it)));
    all(digest, 64..=64, lower_hex) && extension.is_none_or(valid_extension)
}

fn valid_extension(text: &str) -> bool {
    all(text, 1..=16, |b| b.is_ascii_alphanumeric())
}

fn valid_migration_path(text: &str) -> bool {
    let starts = |part: &str| part.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let valid = |part: &str| {
        let plain = part.chars().all(|c| c.is_alphanumeric() || "._+ ()@,=-".contains(c));
        starts(part) && plain && part.chars().count() <= 200
    };
    // The longest key that S3 takes is 1,024 bytes, and the commit's folder is a part of it.
    text.len() <= 600 && text.len() > ".sql".len() && text.ends_with(".sql") && text.split('/').all(valid)
}

fn valid_promotion_id(text: &str) -> bool {
    all(text, 26..=26, |b| b.is_ascii_digit() || (b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O' | b'U')))
}

fn lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

/// The SHA-256 of some bytes, 64 lowercase hexadecimal digits in documents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^[0-9a-f]{64}$")))]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Takes the raw digest, as a hasher gives it.
    #[must_use]
    pub fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The raw digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the base64 that S3 (`ChecksumSHA256`) and Lambda (`CodeSha256`) use.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The base64 that S3 (`ChecksumSHA256`) and Lambda (`CodeSha256`) use.
    #[must_use]
    pub fn to_base64(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.0)
    }
}

impl FromStr for Sha256 {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            kind: "sha256 digest",
            value: text.chars().take(200).collect(),
            expected: "64 lowercase hexadecimal digits",
        };
        if text.len() != 64 || !text.bytes().all(lower_hex) {
            return Err(invalid());
        }
        let mut digest = [0_u8; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// The digest of a container image's manifest, `sha256:` and 64 lowercase hexadecimal digits: it names one image, whatever
/// its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^sha256:[0-9a-f]{64}$")))]
pub struct ImageDigest(Sha256);

impl ImageDigest {
    /// The digest of the image that a reference pins, `…@sha256:…`.
    #[must_use]
    pub fn of_reference(reference: &str) -> Option<Self> {
        reference.rsplit_once('@')?.1.parse().ok()
    }

    /// The SHA-256 itself, which is that of the image's manifest.
    #[must_use]
    pub fn sha256(self) -> Sha256 {
        self.0
    }
}

impl FromStr for ImageDigest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digest = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        digest.map(Self).ok_or_else(|| InvalidId {
            kind: "image digest",
            value: text.chars().take(200).collect(),
            expected: "`sha256:` and 64 lowercase hexadecimal digits",
        })
    }
}

impl TryFrom<String> for ImageDigest {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ImageDigest> for String {
    fn from(digest: ImageDigest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// A commit of a repository: what the gate judges and what is promoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Commit {
    /// The repository.
    pub repo: Repo,
    /// Its commit.
    #[serde(rename = "commit_sha")]
    pub sha: CommitSha,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.sha)
    }
}

/// One chain of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Chain {
    /// The stage, or [`StageName::gate`].
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
}

impl Chain {
    /// The gate's own chain of a repository: revocations.
    #[must_use]
    pub fn of_gate(repo: Repo) -> Self {
        Self { stage: StageName::gate(), repo }
    }

    /// The chain of what holds a stage, for every repository alike.
    #[must_use]
    pub fn of_holds(stage: &StageName) -> Self {
        Self { stage: StageName::holds(), repo: Repo(format!("stage-{stage}")) }
    }

    /// Whether it is one of the gate's own.
    #[must_use]
    pub fn is_of_gate(&self) -> bool {
        self.stage == StageName::gate()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.repo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(text: &str, valid: bool) {
        assert_eq!(text.parse::<T>().is_ok(), valid, "{text:?}");
    }

    #[test]
    fn what_a_template_was_synthesised_for_is_an_account_a_region_and_an_application() {
        check::<AccountId>("111122223333", true);
        for refused in ["", "11112222333", "1111222233334", "11112222333x"] {
            check::<AccountId>(refused, false);
        }
        for region in ["ap-southeast-2", "us-gov-west-1", "eu-central-1", "mx-central-1", "eusc-de-east-1"] {
            check::<RegionName>(region, true);
        }
        for refused in ["", "ap", "southeast-2", "ap-southeast", "ap-southeast-2a", "AP-southeast-2", "ap--2", "*"] {
            check::<RegionName>(refused, false);
        }
        check::<ApplicationName>("bank-payments", true);
        check::<ApplicationName>("bankCore_2", true);
        for refused in ["", "2bank", "bank/payments", "bank.payments", "${bank}", "*"] {
            check::<ApplicationName>(refused, false);
        }
    }

    #[test]
    fn what_asked_for_a_change_has_an_address_of_the_web() {
        for address in ["https://github.com/example-bank/bank-payments/pull/7", "http://tickets/PAY-42?tab=%20&q=1#top"]
        {
            check::<ChangeUrl>(address, true);
        }
        check::<ChangeUrl>(&format!("https://{}", "a".repeat(1992)), true);
        check::<ChangeUrl>(&format!("https://{}", "a".repeat(1993)), false);
        for refused in
            ["", "PAY-42", "https://", "javascript:alert(1)", "HTTPS://a", "https://a b", "https://a\n", "https://ü"]
        {
            check::<ChangeUrl>(refused, false);
        }
    }

    #[test]
    fn repositories_are_lowercase_names_of_at_most_100_characters() {
        check::<Repo>("bank-payments", true);
        check::<Repo>("0.a_b-c", true);
        check::<Repo>(&"a".repeat(100), true);
        for refused in ["", ".hidden", "-a", "Bank", "a/b", "a b", &"a".repeat(101), "é", "promotions", "config"] {
            check::<Repo>(refused, false);
        }
    }

    #[test]
    fn commits_are_full_lowercase_object_names() {
        check::<CommitSha>(&"a".repeat(40), true);
        check::<CommitSha>(&"0".repeat(64), true);
        for refused in ["HEAD", &"A".repeat(40), &"a".repeat(39), &"a".repeat(41), &"g".repeat(40)] {
            check::<CommitSha>(refused, false);
        }
    }

    #[test]
    fn modules_have_at_least_three_digits() {
        check::<ModuleId>("MOD-001", true);
        check::<ModuleId>("MOD-12345", true);
        for refused in ["MOD-12", "mod-123", "MOD-12a", "MOD-", "MOD-１２３"] {
            check::<ModuleId>(refused, false);
        }
    }

    #[test]
    fn deserialising_validates_and_names_the_grammar() {
        let error = serde_json::from_str::<CommitSha>(r#""main""#).unwrap_err();
        insta::assert_snapshot!(error, @"`main` is not a valid commit sha: 40 or 64 lowercase hexadecimal digits");
    }

    #[test]
    fn a_digest_reads_alike_in_hex_and_base64() {
        let digest = Sha256::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), hex);
        assert_eq!(hex.parse::<Sha256>().unwrap(), digest);
        assert_eq!(Sha256::from_base64(&digest.to_base64()), Some(digest));
        assert_eq!(Sha256::from_base64("dG9vIHNob3J0"), None);
        check::<Sha256>(&hex.to_uppercase(), false);
        check::<Sha256>(&hex[1..], false);
    }

    #[test]
    fn an_image_digest_is_spelt_as_registries_do() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(digest.parse::<ImageDigest>().unwrap().to_string(), digest);
        assert_eq!(
            ImageDigest::of_reference(&format!("x.dkr.ecr.eu-west-1.amazonaws.com/pay:1@{digest}")),
            digest.parse().ok()
        );
        assert_eq!(ImageDigest::of_reference("x.dkr.ecr.eu-west-1.amazonaws.com/pay:1"), None);
        for refused in [&digest[7..], &digest.to_uppercase(), &digest[..70], "sha512:0f"] {
            assert!(refused.parse::<ImageDigest>().is_err(), "{refused}");
        }
    }
}
