//! What the gatekeeper signs: in-toto statements in DSSE envelopes, by keys of KMS that nobody else may sign with.
//!
//! The tag is what people and policies see; the attestation is the truth. Keys keep powers apart: what a commit's
//! tests came to is the gate's word alone, what was done to a stage is promotion's.

#![warn(missing_docs)] // others build on this crate

pub mod bundle;
mod dsse;
pub mod freshness;
mod key;
pub mod ledger;
mod signer;
pub mod stage_repositories;
mod statement;
#[cfg(any(test, feature = "test-support"))]
mod test_signer;
pub mod trust;
mod trusted;
pub mod witness;

use gatekeeper_model::ids::{Chain, Sha256};
use jiff::Timestamp;

pub use dsse::{Envelope, IN_TOTO, pre_authentication_encoding};
pub use key::{InvalidPublicKey, PublicKey, PublicKeys};
pub use signer::{FileSigner, InvalidPrivateKey, KeyHolder, Signer, Signing, SigningError};
pub use statement::{Digest, Predicate, Resource, Signed, Statement, Subject, WordOf};
#[cfg(any(test, feature = "test-support"))]
pub use test_signer::{LocalSigner, NoSigner};
pub use trusted::{LastEntry, Named, Revocation, TrustedKey, TrustedKeys};

/// Whose word a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The gate's, by `SigningKey`: what it concluded of a commit.
    Gate,
    /// Promotion's, by `PromotionSigningKey`: what was done to a stage.
    Promotion,
}

impl Authority {
    /// Who signs the head of a chain.
    #[must_use]
    pub fn of(chain: &Chain) -> Self {
        if chain.is_of_gate() { Self::Gate } else { Self::Promotion }
    }
}

/// Why an envelope proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttestation {
    /// It isn't an envelope, or what is in it no statement.
    #[error("not a signed statement: {0}")]
    Malformed(String),
    /// The signature isn't the key's over these bytes.
    #[error("the signature does not hold: another key signed it, or its bytes were changed")]
    Signature,
    /// The key was revoked: somebody else may have signed it.
    #[error(
        "the key `{fingerprint}` signed it, which somebody else may have had since {at}: {reason}; it has to be signed again"
    )]
    Revoked {
        /// The key.
        fingerprint: Sha256,
        /// Since when.
        at: Timestamp,
        /// Why it was revoked.
        reason: String,
    },
    /// It tells a time at which its key was no longer to be used.
    #[error("the key `{fingerprint}` was to sign until {until}, and it tells of {stated_at}")]
    Late {
        /// The key.
        fingerprint: Sha256,
        /// Its end.
        until: Timestamp,
        /// The time that it tells.
        stated_at: Timestamp,
    },
    /// It says something else.
    #[error("it is a statement of type `{found}`, not `{expected}`")]
    OtherPredicate {
        /// The type that it has.
        found: String,
        /// The type that it should have.
        expected: &'static str,
    },
}

/// What the URIs of our own predicates and of the verifier start with.
pub const NAMESPACE: &str = "https://artefact-gatekeeper.example";

/// The largest envelope that is read back, in bytes: a commit of 1,000 artefacts takes a fifth of it.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;
