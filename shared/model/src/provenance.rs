//! Who built a commit: what is asked of `verify-provenance`, what it answers, and which builders a policy allows.
//!
//! A bundle counts for what its certificate says, which the identity provider of the CI wrote, or for what a statement
//! says that a configured key signed. What the build itself writes into a statement proves nothing about who it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    finding::plain,
    ids::{Repo, Sha256, VersionId},
};

/// The largest bundle that is read.
pub const MAX_BUNDLE_BYTES: u64 = 4 * 1024 * 1024;

/// The most bundles that a commit may have.
pub const MAX_BUNDLES: usize = 16;

/// The largest trusted root that is read.
pub const MAX_ROOT_BYTES: u64 = 256 * 1024;

/// What a policy calls Sigstore's public instance, whose root the gatekeeper has.
pub const SIGSTORE: &str = "sigstore";

/// What a policy calls GitHub's own instance, which signs for private repositories, and whose root the gatekeeper has.
pub const GITHUB: &str = "github";

/// What `verify-provenance` is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The bundles.
    pub bundles: Vec<StoredBundle>,
    /// What they may be verified against.
    pub trust: Trust,
}

/// A bundle in the artefact bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBundle {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// What bundles are verified against.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Trusted roots by name, as Sigstore's `trusted_root.json`; `None` of one that the verifier has itself.
    #[serde(default)]
    pub roots: BTreeMap<RootName, Option<String>>,
    /// Public keys by name, as PEM.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
}

/// What became of each bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// By the SHA-256 of its bytes.
    pub bundles: BTreeMap<Sha256, Told>,
}

impl Build {
    /// Who built it and when that was signed, in words. The certificate is expired by now, as all of them are: it was valid
    /// when somebody else's clock said that the signature was there.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = vec![plain(&self.builder)];
        words.extend(self.run.as_ref().map(|run| format!("run {}", plain(run))));
        words.push(format!("by {}", self.trusted_by));
        words.extend(self.signed_at.iter().map(|SignedAt { at, by }| format!("signed at {at} by the clock of {by}")));
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until) {
            words.push(format!("when its certificate was valid ({from} to {until})"));
        }
        words.join(", ")
    }
}

/// What became of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// It proves this.
    Proven(Box<Proven>),
    /// It proves nothing, and why.
    Refused(String),
}

/// What a bundle proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Who built it, of which commit.
    pub build: Build,
    /// The SHA-256 of everything that was built.
    pub subjects: BTreeSet<Sha256>,
}

/// A build, as a bundle proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// What vouches for it.
    pub trusted_by: TrustedBy,
    /// The SHA-256 of the trusted root, where it is a stored one and not the verifier's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_sha256: Option<Sha256>,
    /// Who runs it: of a certificate the workflow at its ref, which signed; of a key the statement's builder.
    pub builder: String,
    /// Who knew the builder, of a certificate: the identity provider of the CI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The certificate's subject alternative name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The branch or tag.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The commit that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The commit of the workflow that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder_commit: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What the run was started by, such as `push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// What it ran on: `github-hosted` or `self-hosted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// When it was signed, by each clock of somebody else that says so. The certificate was valid at all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_at: Vec<SignedAt>,
    /// Since when the certificate was valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// What vouches for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustedBy {
    /// The trusted root of this name.
    Root(RootName),
    /// The public key of this name.
    Key(String),
}

impl fmt::Display for TrustedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => write!(f, "root `{name}`"),
            Self::Key(name) => write!(f, "key `{name}`"),
        }
    }
}

/// A time that somebody else's clock gives to a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAt {
    /// When.
    pub at: Timestamp,
    /// By whose clock.
    pub by: SigningClock,
}

/// Whose clock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigningClock {
    /// A transparency log's.
    TransparencyLog,
    /// An RFC 3161 timestamp authority's.
    TimestampAuthority,
}

impl fmt::Display for SigningClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TransparencyLog => "a transparency log",
            Self::TimestampAuthority => "a timestamp authority",
        })
    }
}

/// A trusted root's name, which is part of its key in the records bucket: lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = "^[a-z0-9-]{1,40}$")))]
pub struct RootName(String);

impl RootName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no name of a trusted root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a trusted root: lower-case letters, digits and hyphens, 40 at most")]
pub struct NotARootName(String);

impl std::str::FromStr for RootName {
    type Err = NotARootName;

    fn from_str(text: &str) -> Result<Self, NotARootName> {
        let is_name = (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_name { Ok(Self(text.to_owned())) } else { Err(NotARootName(text.to_owned())) }
    }
}

impl TryFrom<String> for RootName {
    type Error = NotARootName;

    fn try_from(text: String) -> Result<Self, NotARootName> {
        text.parse()
    }
}

impl From<RootName> for String {
    fn from(name: RootName) -> Self {
        name.0
    }
}

impl fmt::Display for RootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A builder that a policy allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AllowedBuilder {
    /// A workflow that signs by certificates of a Sigstore instance: GitHub's attestations.
    Certificate(AllowedWorkflow),
    /// A CI that signs by a key.
    Key(AllowedKey),
}

/// A workflow, as certificates tell of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AllowedWorkflow {
    /// The instance whose certificates count: `sigstore`, `github` (for private repositories), or NAME of a
    /// `config/trusted-roots/NAME.json`.
    pub root: RootName,
    /// The identity provider: `https://token.actions.githubusercontent.com`.
    pub issuer: String,
    /// The source repository, such as `https://github.com/OWNER/REPOSITORY`. `{repo}` stands for the commit's repository.
    pub repository: String,
    /// The workflow that signs, at its ref, such as
    /// `https://github.com/OWNER/pipelines/.github/workflows/build.yml@refs/tags/v*`. A `*` at its end stands for any
    /// rest of the ref.
    pub workflow: String,
}

/// A key, and what it may sign for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AllowedKey {
    /// What evidence calls it.
    pub name: String,
    /// The public key as PEM, on the curves P-256 or P-384, or Ed25519.
    pub public_key: String,
    /// The builder that its statements must name in `runDetails.builder.id`.
    pub builder: String,
}

impl AllowedBuilder {
    /// What is wrong with it, where something is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Certificate(it) => it.fault(),
            Self::Key(it) => {
                let is_pem = it.public_key.trim_start().starts_with("-----BEGIN PUBLIC KEY-----");
                let fault = if it.name.is_empty() {
                    "`name` of a key is empty"
                } else if it.builder.is_empty() {
                    "`builder` of a key is empty"
                } else if is_pem {
                    return None;
                } else {
                    "`public_key` is no PEM of a public key"
                };
                Some(fault.to_owned())
            }
        }
    }

    /// Whether it is behind `build` of a commit of `repo`.
    #[must_use]
    pub fn allows(&self, build: &Build, repo: &Repo) -> bool {
        match (self, &build.trusted_by) {
            (Self::Certificate(it), TrustedBy::Root(root)) => {
                let repository = it.repository.replace(REPO, repo.as_str());
                let workflow = it.workflow.replace(REPO, repo.as_str());
                let is_workflow = match workflow.strip_suffix('*') {
                    Some(start) => build.builder.starts_with(start),
                    None => build.builder == workflow,
                };
                it.root == *root
                    && build.issuer.as_deref() == Some(it.issuer.as_str())
                    && build.repository.as_deref() == Some(repository.as_str())
                    && is_workflow
            }
            (Self::Key(it), TrustedBy::Key(name)) => it.name == *name && it.builder == build.builder,
            _ => false,
        }
    }
}

/// What stands for the commit's repository.
const REPO: &str = "{repo}";

impl AllowedWorkflow {
    fn fault(&self) -> Option<String> {
        let named = [("issuer", &self.issuer), ("repository", &self.repository), ("workflow", &self.workflow)];
        if let Some((field, text)) = named.into_iter().find(|(_, text)| !text.starts_with("https://")) {
            return Some(format!("`{field}` is `{text}`, no URL that starts with `https://`"));
        }
        // Whoever may choose the end of an owner's or a file's name would be allowed too.
        let (path, git_ref) = self.workflow.split_once('@').unwrap_or((&self.workflow, ""));
        let is_pattern = |text: &str| text.contains('*');
        let inner = git_ref.strip_suffix('*').unwrap_or(git_ref);
        if is_pattern(path) || is_pattern(inner) || is_pattern(&self.repository) || is_pattern(&self.issuer) {
            return Some("a `*` stands at the end of `workflow`, behind its `@`, and nowhere else".to_owned());
        }
        git_ref.is_empty().then(|| format!("`workflow` is `{}`, without the ref behind an `@`", self.workflow))
    }
}

/// What the bundles of a repository are verified against, by its builders; of a repository without any, the two instances
/// whose roots the gatekeeper has, so that what is there and does not hold is found.
#[must_use]
pub fn roots_of(builders: &BTreeSet<AllowedBuilder>) -> BTreeSet<RootName> {
    let named = builders.iter().filter_map(|it| match it {
        AllowedBuilder::Certificate(it) => Some(it.root.clone()),
        AllowedBuilder::Key(_) => None,
    });
    if builders.is_empty() {
        return [SIGSTORE, GITHUB].map(|name| RootName(name.to_owned())).into();
    }
    named.collect()
}

/// The keys of a repository's builders, by name.
#[must_use]
pub fn keys_of(builders: &BTreeSet<AllowedBuilder>) -> BTreeMap<String, String> {
    let keys = builders.iter().filter_map(|it| match it {
        AllowedBuilder::Certificate(_) => None,
        AllowedBuilder::Key(it) => Some((it.name.clone(), it.public_key.clone())),
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(repository: &str, workflow: &str) -> AllowedBuilder {
        AllowedBuilder::Certificate(AllowedWorkflow {
            root: "sigstore".parse().unwrap(),
            issuer: "https://token.actions.githubusercontent.com".to_owned(),
            repository: repository.to_owned(),
            workflow: workflow.to_owned(),
        })
    }

    fn build(repository: &str, builder: &str) -> Build {
        Build {
            trusted_by: TrustedBy::Root("sigstore".parse().unwrap()),
            root_sha256: None,
            builder: builder.to_owned(),
            issuer: Some("https://token.actions.githubusercontent.com".to_owned()),
            identity: None,
            repository: Some(repository.to_owned()),
            git_ref: None,
            commit: None,
            builder_commit: None,
            run: None,
            trigger: None,
            runner: None,
            signed_at: Vec::new(),
            valid_from: None,
            valid_until: None,
        }
    }

    #[test]
    fn a_workflow_is_allowed_by_its_whole_name_and_by_a_start_of_its_ref() {
        let of = "https://github.com/bank/pipelines/.github/workflows/build.yml";
        let repo = "bank-payments".parse().unwrap();
        let ours = "https://github.com/bank/bank-payments";
        let exact = workflow(ours, &format!("{of}@refs/heads/main"));
        assert!(exact.allows(&build(ours, &format!("{of}@refs/heads/main")), &repo));
        assert!(!exact.allows(&build(ours, &format!("{of}@refs/heads/main2")), &repo));
        let tags = workflow("https://github.com/bank/{repo}", &format!("{of}@refs/tags/v*"));
        assert!(tags.allows(&build(ours, &format!("{of}@refs/tags/v1.2")), &repo));
        assert!(!tags.allows(&build(ours, &format!("{of}@refs/heads/v1")), &repo));
        assert!(!tags.allows(&build("https://github.com/bank/bank-core", &format!("{of}@refs/tags/v1")), &repo));
        let mut other = build(ours, &format!("{of}@refs/tags/v1.2"));
        other.issuer = Some("https://accounts.example.com".to_owned());
        assert!(!tags.allows(&other, &repo));
        other = build(ours, &format!("{of}@refs/tags/v1.2"));
        other.trusted_by = TrustedBy::Root("github".parse().unwrap());
        assert!(!tags.allows(&other, &repo));
        other.trusted_by = TrustedBy::Key("sigstore".to_owned());
        assert!(!tags.allows(&other, &repo));
    }

    #[test]
    fn a_key_is_allowed_for_its_builder() {
        let key = AllowedBuilder::Key(AllowedKey {
            name: "jenkins".to_owned(),
            public_key: "-----BEGIN PUBLIC KEY-----".to_owned(),
            builder: "https://ci.bank.example".to_owned(),
        });
        let repo = "bank-payments".parse().unwrap();
        let mut built = build("https://github.com/bank/bank-payments", "https://ci.bank.example");
        built.trusted_by = TrustedBy::Key("jenkins".to_owned());
        assert!(key.allows(&built, &repo));
        built.builder = "https://ci.bank.example/other".to_owned();
        assert!(!key.allows(&built, &repo));
    }

    #[test]
    fn what_would_allow_more_than_it_says_is_refused() {
        let file = "https://github.com/bank/pipelines/.github/workflows/build.yml";
        assert_eq!(workflow("https://github.com/bank/x", &format!("{file}@refs/tags/*")).fault(), None);
        for (repository, signer, because) in [
            ("https://github.com/bank*", &*format!("{file}@refs/heads/main"), "nowhere else"),
            ("https://github.com/bank/x", "https://github.com/bank*", "nowhere else"),
            ("https://github.com/bank/x", &*format!("{file}@refs/*/main"), "nowhere else"),
            ("https://github.com/bank/x", file, "without the ref"),
            ("bank/x", &*format!("{file}@refs/heads/main"), "`repository` is `bank/x`"),
        ] {
            let fault = workflow(repository, signer).fault().unwrap();
            assert!(fault.contains(because), "{fault}");
        }
        let key = |name: &str, public_key: &str| {
            let (name, public_key) = (name.to_owned(), public_key.to_owned());
            AllowedBuilder::Key(AllowedKey { name, public_key, builder: "b".to_owned() }).fault()
        };
        assert_eq!(key("a", "MFkw"), Some("`public_key` is no PEM of a public key".to_owned()));
        assert_eq!(key("", "-----BEGIN PUBLIC KEY-----"), Some("`name` of a key is empty".to_owned()));
        assert!("../x".parse::<RootName>().is_err() && "a-1".parse::<RootName>().is_ok());
    }

    #[test]
    fn without_builders_both_instances_are_asked() {
        let named = |builders: BTreeSet<AllowedBuilder>| {
            roots_of(&builders).into_iter().map(String::from).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(BTreeSet::new()), "github sigstore");
        assert_eq!(named([workflow("https://github.com/bank/x", "https://x@y")].into()), "sigstore");
    }
}
