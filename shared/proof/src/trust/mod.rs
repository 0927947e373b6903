//! The trust root: which keys are the gate's, promotion's and `approve`'s, and for what time, as people signed it.
//!
//! Its rules are those of TUF's root role (<https://theupdateframework.github.io/specification/latest/>, §5.3): a version is
//! signed by a threshold of the people of the version before and of its own, versions go on by one, and only the last may have
//! expired. A verifier starts from a version that it was given and walks on from there.

mod rules;
mod signed;
#[cfg(test)]
mod tests;
mod walk;

use gatekeeper_model::ids::Sha256;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
pub use signed::{MAX_BYTES, PAYLOAD_TYPE, SignedRoot};
pub use walk::{InvalidPin, Pin, Walked, first_of, walk};

use crate::{Authority, InvalidPublicKey, PublicKey, Revocation, TrustedKey, TrustedKeys};

/// The algorithm of all keys: ECDSA on P-256 over SHA-256. A root tells it by name, so that another can be added.
pub const ALGORITHM: &str = "ecdsa-p256-sha256";

/// How long before it expires a root is told to do so.
pub const TOLD_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A version of the trust root: what people sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// 1.
    pub schema_version: u32,
    /// Its version, from 1: each is one above the one before.
    pub version: u64,
    /// When it counts no more as the last.
    pub expires: Timestamp,
    /// How many people must sign the next one; at least 2.
    pub threshold: u32,
    /// Who may sign. Their keys are their own: no function has one.
    pub root_keys: Vec<RootKey>,
    /// The keys of the gatekeeper. None is ever taken out, so that what it signed can be verified.
    pub authorities: Authorities,
}

/// A person's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKey {
    /// Whose it is.
    pub person: String,
    /// [`ALGORITHM`].
    pub algorithm: String,
    /// The public key, `-----BEGIN PUBLIC KEY-----`.
    pub pem: String,
}

/// The keys by whose word they sign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorities {
    /// The gate's.
    pub gate: Vec<NamedKey>,
    /// Promotion's.
    pub promotion: Vec<NamedKey>,
    /// Those of the function `approve`.
    pub approval: Vec<NamedKey>,
}

/// A key of the gatekeeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// [`ALGORITHM`].
    pub algorithm: String,
    /// The public key, `-----BEGIN PUBLIC KEY-----`.
    pub pem: String,
    /// Where it is kept, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_arn: Option<String>,
    /// Since when it may sign.
    pub from: Timestamp,
    /// Until when it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// That somebody else may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
}

/// Why a root isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version {version} of the trust root: {what}")]
pub struct TrustError {
    /// The version; 0 where it isn't known.
    pub version: u64,
    /// What is wrong, in words.
    pub what: String,
}

impl TrustError {
    fn new(version: u64, what: impl Into<String>) -> Self {
        Self { version, what: what.into() }
    }
}

impl Authorities {
    /// Each list, with its name.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Vec<NamedKey>); 3] {
        [("gate", &self.gate), ("promotion", &self.promotion), ("approval", &self.approval)]
    }
}

fn read(algorithm: &str, pem: &str) -> Result<PublicKey, String> {
    if algorithm != ALGORITHM {
        return Err(format!("the algorithm `{algorithm}` is unknown to this gatekeeper, which knows `{ALGORITHM}`"));
    }
    PublicKey::from_pem(pem).map_err(|error: InvalidPublicKey| error.to_string())
}

impl RootKey {
    /// The key.
    ///
    /// # Errors
    /// In words, where it is of an unknown algorithm or can't be read.
    pub fn key(&self) -> Result<PublicKey, String> {
        read(&self.algorithm, &self.pem)
    }
}

impl NamedKey {
    /// A key that may sign from then on.
    #[must_use]
    pub fn new(key: &PublicKey, kms_arn: Option<String>, from: Timestamp) -> Self {
        Self { algorithm: ALGORITHM.to_owned(), pem: key.to_pem(), kms_arn, from, until: None, revoked: None }
    }

    /// The key.
    ///
    /// # Errors
    /// As [`RootKey::key`].
    pub fn key(&self) -> Result<PublicKey, String> {
        read(&self.algorithm, &self.pem)
    }

    fn trusted(&self) -> Result<TrustedKey, String> {
        let Self { from, until, revoked, .. } = self.clone();
        Ok(TrustedKey { key: self.key()?, from: Some(from), until, revoked })
    }
}

impl Root {
    /// Whether it counts no more as the last.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// The keys that a version whose [`Root::check`] holds names for an authority; `None` for the approvals' where `which` is
    /// none of the two.
    fn keys(&self, named: &[NamedKey]) -> Result<TrustedKeys, TrustError> {
        let keys = named.iter().map(NamedKey::trusted).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|what| TrustError::new(self.version, what))?;
        TrustedKeys::of(keys).ok_or_else(|| TrustError::new(self.version, "it names no key of an authority"))
    }

    /// The keys that count by this root.
    ///
    /// # Errors
    /// [`TrustError`] where one can't be read.
    pub fn authority(&self, authority: Authority) -> Result<TrustedKeys, TrustError> {
        match authority {
            Authority::Gate => self.keys(&self.authorities.gate),
            Authority::Promotion => self.keys(&self.authorities.promotion),
        }
    }

    /// The keys that count for approvals.
    ///
    /// # Errors
    /// [`TrustError`] where one can't be read.
    pub fn approval(&self) -> Result<TrustedKeys, TrustError> {
        self.keys(&self.authorities.approval)
    }
}

/// A document by its bytes, with the SHA-256 that a pin names.
#[must_use]
pub fn digest(document: &[u8]) -> Sha256 {
    Sha256::of(document)
}
