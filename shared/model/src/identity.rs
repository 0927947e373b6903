//! Who calls: the proof that a caller sends with a request, and the person behind an AWS identity.
//!
//! A function that is invoked is not told by whom. So the caller signs a request to STS, `GetCallerIdentity`, and hands it
//! over unsent; the gatekeeper sends it to STS, which checks the signature and says whose it is. A signed header binds
//! the proof to the one request that it was made for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::ids::{CommitSha, Repo, Sha256, StageName, VersionId};

/// The header that binds a proof to a request: the hexadecimal SHA-256 of [`BoundRequest`]'s text.
pub const REQUEST_HEADER: &str = "x-gatekeeper-request";
/// The body of the request to STS, byte for byte.
pub const STS_BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// Its media type.
pub const STS_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";
/// How long a proof holds, and how far ahead the caller's clock may be: 15 minutes, as AWS's own signatures.
pub const MAX_AGE: SignedDuration = SignedDuration::from_mins(15);

/// The headers that a proof must have signed, beside `authorization`.
const REQUIRED_HEADERS: [&str; 4] = ["content-type", "host", "x-amz-date", REQUEST_HEADER];
/// Those that it may have too: of a session, and of signers that name the body's digest.
const OPTIONAL_HEADERS: [&str; 2] = ["x-amz-content-sha256", "x-amz-security-token"];
/// The longest header: a session's token has no stated limit, and is some 2 kB at most in practice.
const MAX_HEADER: usize = 8 * 1024;

/// What a caller asks for, in the one spelling that a proof is bound to.
#[derive(Debug, Clone)]
pub struct BoundRequest<'a> {
    /// `promote`, `rollback`, `approve`, `hold`, `release` or `stop`.
    pub action: &'static str,
    /// The repository.
    pub repo: &'a Repo,
    /// The commit; `None` where a rollback leaves it out.
    pub commit_sha: Option<&'a CommitSha>,
    /// The stage.
    pub stage: &'a StageName,
    /// The manifest that an approval is of; none of a promotion, which takes what is stored by then.
    pub manifest_version_id: Option<&'a VersionId>,
    /// Why: no control characters, so that it is one line.
    pub reason: &'a str,
    /// The request's switches that are on, by the names of their fields.
    pub switches: Vec<&'static str>,
    /// The resources whose loss the request accepts.
    pub accept_replacement: Vec<String>,
    /// The SHA-256 of what else is agreed to or handed in: of the plan that is approved, or of the preview that a promotion
    /// is planned with.
    pub plan_sha256: Option<Sha256>,
    /// The promotion that is stopped, or the hold that is released, by its id.
    pub id: Option<&'a str>,
}

impl fmt::Display for BoundRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, repo, commit_sha, stage, manifest_version_id, reason, switches, .. } = self;
        let Self { accept_replacement, plan_sha256, id, .. } = self;
        let manifest_version_id = manifest_version_id.map_or("", VersionId::as_str);
        let commit_sha = commit_sha.map_or("", CommitSha::as_str);
        writeln!(f, "artefact-gatekeeper request v1")?;
        writeln!(f, "action={action}\nrepo={repo}\ncommit_sha={commit_sha}\nstage={stage}")?;
        writeln!(f, "manifest_version_id={manifest_version_id}\nreason={reason}\nswitches={}", switches.join(","))?;
        // Whoever doesn't know these lines yet and needs none stays understood.
        if !accept_replacement.is_empty() {
            writeln!(f, "accept_replacement={}", accept_replacement.join(","))?;
        }
        if let Some(plan) = plan_sha256 {
            writeln!(f, "plan_sha256={plan}")?;
        }
        match id {
            Some(id) => writeln!(f, "id={id}"),
            None => Ok(()),
        }
    }
}

impl BoundRequest<'_> {
    /// What [`REQUEST_HEADER`] says of it.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.to_string().as_bytes())
    }
}

/// A signed request to STS that was not sent: method, headers and body (AWS Signature Version 4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProof {
    /// `POST`.
    pub method: String,
    /// Every header by its lower-case name.
    pub headers: BTreeMap<String, String>,
    /// [`STS_BODY`].
    pub body: String,
}

/// Shows no header: they hold a session's token.
impl fmt::Debug for IdentityProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProof").field("headers", &self.headers.keys()).finish_non_exhaustive()
    }
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotProven(String);

impl NotProven {
    /// That somebody else than this module found why.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// STS could not be asked who a caller is, or a caller could not sign.
#[derive(Debug, thiserror::Error)]
#[error("who the caller is could not be {0}")]
pub struct CallerUnknown(pub &'static str, #[source] pub Box<dyn std::error::Error + Send + Sync>);

impl IdentityProof {
    /// Whether it may be sent to STS at `host`, and was made for `request`, at most [`MAX_AGE`] from `now`.
    ///
    /// # Errors
    /// [`NotProven`] with the first thing that is wrong. The signature itself only STS can check.
    pub fn check(&self, request: &BoundRequest<'_>, host: &str, now: Timestamp) -> Result<(), NotProven> {
        let wrong = |why: String| Err(NotProven(why));
        if self.method != "POST" {
            return wrong("the signed request's method is not `POST`".to_owned());
        }
        if self.body != STS_BODY {
            return wrong(format!("the signed request's body is not `{STS_BODY}`"));
        }
        for (name, value) in &self.headers {
            let known = name == "authorization"
                || REQUIRED_HEADERS.contains(&name.as_str())
                || OPTIONAL_HEADERS.contains(&name.as_str());
            if !known {
                return wrong(format!("the signed request has a header that it must not have: `{}`", cut(name)));
            }
            if value.len() > MAX_HEADER || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return wrong(format!("the signed request's header `{name}` is too long or not plain ASCII"));
            }
        }
        let header = |name: &str| {
            let value = self.headers.get(name).map(String::as_str);
            value.ok_or_else(|| NotProven(format!("the signed request has no header `{name}`")))
        };
        let signed = signed_headers(header("authorization")?)
            .ok_or_else(|| NotProven("`authorization` is not a signature version 4 of a request to STS".to_owned()))?;
        for name in REQUIRED_HEADERS {
            header(name)?;
        }
        // A header that is sent but not signed could be anybody's.
        if let Some(name) = self.headers.keys().find(|name| *name != "authorization" && !signed.contains(name.as_str()))
        {
            return wrong(format!("the signed request's header `{name}` is not signed"));
        }
        if signed.len() + 1 != self.headers.len() {
            return wrong("a header is named as signed and is not there".to_owned());
        }
        if header("content-type")?.split(';').next() != Some(STS_CONTENT_TYPE) {
            return wrong(format!("the signed request's `content-type` is not `{STS_CONTENT_TYPE}`"));
        }
        if header("host")? != host {
            let theirs = cut(header("host")?);
            return wrong(format!("the request was signed for `{theirs}`, this gatekeeper asks STS at `{host}`"));
        }
        let date = header("x-amz-date")?;
        let Some(signed_at) = amz_date(date) else {
            return wrong(format!("`x-amz-date` is `{}`, not a time such as `20260502T030405Z`", cut(date)));
        };
        if signed_at.duration_until(now).abs() > MAX_AGE {
            return wrong(format!("it was signed at {signed_at}, more than 15 minutes from now, {now}; sign it again"));
        }
        if header(REQUEST_HEADER)? != request.digest().to_string() {
            return wrong("it was signed for another request than this one".to_owned());
        }
        Ok(())
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn amz_date(text: &str) -> Option<Timestamp> {
    const FORMAT: &str = "%Y%m%dT%H%M%SZ";
    let local = DateTime::strptime(FORMAT, text).ok().filter(|it| it.strftime(FORMAT).to_string() == text)?;
    Some(local.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

/// `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/sts/aws4_request, SignedHeaders=a;b, Signature=HEX`: `a` and `b`.
fn signed_headers(authorization: &str) -> Option<BTreeSet<&str>> {
    let mut parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split(", ");
    let credential = parts.next()?.strip_prefix("Credential=")?;
    let signed = parts.next()?.strip_prefix("SignedHeaders=")?;
    let signature = parts.next()?.strip_prefix("Signature=")?;
    let scope: Vec<_> = credential.split('/').collect();
    let names: Vec<_> = signed.split(';').collect();
    let set: BTreeSet<_> = names.iter().copied().collect();
    let whole = parts.next().is_none()
        && matches!(scope.as_slice(), [_, _, _, "sts", "aws4_request"])
        && signature.parse::<Sha256>().is_ok()
        && set.len() == names.len();
    whole.then_some(set)
}

/// Whose signature it was, as STS said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The principal.
    pub arn: String,
    /// Its account.
    pub account: String,
    /// Its unique id, which is never given again; of a role's session with the session's name behind a colon.
    pub user_id: String,
    /// The person behind it.
    pub person: Person,
}

impl Identity {
    /// Takes STS's answer, of a principal of `own_account` that a person is behind.
    ///
    /// # Errors
    /// [`NotProven`] for another account, and for a principal that is nobody's own.
    pub fn of(arn: &str, account: &str, user_id: &str, own_account: &str) -> Result<Self, NotProven> {
        if account != own_account {
            return Err(NotProven(format!(
                "`{}` is of account `{}`, only principals of account `{own_account}` may ask",
                cut(arn),
                cut(account)
            )));
        }
        let person = Person::behind(arn)
            .ok_or_else(|| NotProven(format!("`{}` is neither an IAM user nor a role's session", cut(arn))))?;
        Ok(Self { arn: arn.to_owned(), account: account.to_owned(), user_id: user_id.to_owned(), person })
    }

    /// Whether it is a session of the role with this unique id, `AROA…`, which nobody chooses (IAM user guide, "IAM
    /// identifiers").
    #[must_use]
    pub fn is_session_of(&self, role_id: &str) -> bool {
        self.user_id.split_once(':').is_some_and(|(id, _)| id == role_id)
    }
}

/// Whose signature STS says a proof bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A person, who came by the role that people enter under their own names only.
    Person(Identity),
    /// Another principal of the account, by its ARN: a workflow, an IAM user, a session whose name somebody chose.
    Other(String),
}

/// A person, in lower case: the name of an IAM user, or that of a role's session. Two sessions of one name in two roles
/// are one person.
///
/// Who may choose a session's name may choose to be somebody else: the trust policy of a role that people enter must
/// bind `sts:RoleSessionName`, as IAM Identity Center does by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Person(String);

impl Person {
    /// The person whom a text names: an e-mail address, an account on a forge, a session.
    #[must_use]
    pub fn named(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// The person behind a principal; none behind an account's root and federated users.
    #[must_use]
    pub fn behind(arn: &str) -> Option<Self> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let ["arn", _, service, _, _, resource] = parts.as_slice() else { return None };
        let path: Vec<_> = resource.split('/').collect();
        let name = match (*service, path.as_slice()) {
            ("sts", ["assumed-role", _, session]) => session,
            ("iam", ["user", .., name]) => name,
            _ => return None,
        };
        (!name.is_empty()).then(|| Self::named(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both may be one person: the same name, or one is the other's e-mail address before the `@`.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let local_part = |of: &Self, name: &Self| of.0.split_once('@').is_some_and(|(local, _)| local == name.0);
        self == other || local_part(self, other) || local_part(other, self)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
