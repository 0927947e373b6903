//! In-toto statements (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>).

use gatekeeper_model::ids::{CommitSha, Sha256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use jiff::Timestamp;

use super::{
    Authority, Envelope, InvalidAttestation, Named, PublicKeys, Signer, SigningError, TrustedKey, TrustedKeys, bundle,
};

/// The type of a statement, version 1.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// What a statement says of its subjects.
pub trait Predicate: Serialize + DeserializeOwned {
    /// Its type.
    const TYPE: &'static str;

    /// The time that it tells of itself, which is held against that of its key.
    fn stated_at(&self) -> Option<Timestamp>;
}

/// A predicate that is one authority's word: a statement that another key signed is worth nothing.
pub trait WordOf: Predicate {
    /// Whose word it is.
    const AUTHORITY: Authority;
}

/// Something said of some bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    type_uri: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// What it says.
    pub predicate: P,
}

/// Something that a statement is about, told by its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Its name: an object's key, or the repository for a commit.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

/// A digest, in the words of in-toto's `DigestSet`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Digest {
    /// The SHA-256 of some bytes.
    #[serde(rename = "sha256")]
    Sha256(Sha256),
    /// A commit.
    #[serde(rename = "gitCommit")]
    GitCommit(CommitSha),
}

/// Something that a predicate refers to (in-toto `ResourceDescriptor`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Where it lies.
    pub uri: String,
    /// Its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Resource {
    /// Some bytes at a place.
    #[must_use]
    pub fn of(uri: impl Into<String>, sha256: Sha256) -> Self {
        Self { uri: uri.into(), digest: Some(Digest::Sha256(sha256)) }
    }
}

/// A signed statement as it is stored: an envelope, and the same as a Sigstore bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The envelope.
    pub dsse: Vec<u8>,
    /// The bundle.
    pub sigstore: Vec<u8>,
}

impl Signed {
    /// Signs the bytes of a statement: one call of KMS. They are not kept longer than is needed, because a statement on thousands
    /// of objects is large, and its signed forms are larger.
    ///
    /// # Errors
    /// [`SigningError`] where the signer doesn't sign.
    pub async fn of(statement: Vec<u8>, signer: &dyn Signer) -> Result<Self, SigningError> {
        let (envelope, key) =
            futures_util::future::try_join(Envelope::sign(&statement, signer), signer.public_key()).await?;
        drop(statement);
        Ok(Self { dsse: envelope.to_bytes()?, sigstore: bundle::of(&envelope, &key)? })
    }
}

impl<P: Predicate> Statement<P> {
    /// A statement about `subject`.
    #[must_use]
    pub fn new(subject: Vec<Subject>, predicate: P) -> Self {
        Self { type_uri: STATEMENT.to_owned(), subject, predicate_type: P::TYPE.to_owned(), predicate }
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// Where it holds what JSON doesn't have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Signs it: one call of KMS.
    ///
    /// # Errors
    /// [`SigningError`] where the signer doesn't sign, or where there is nothing to sign.
    pub async fn sign(&self, signer: &dyn Signer) -> Result<Signed, SigningError> {
        Signed::of(self.to_bytes()?, signer).await
    }

    /// Opens an envelope: its signature holds under the key of the predicate's authority, and what is in it is such a
    /// statement.
    ///
    /// # Errors
    /// [`InvalidAttestation`] for anything else.
    pub fn open(dsse: &[u8], keys: &PublicKeys) -> Result<Self, InvalidAttestation>
    where
        P: WordOf,
    {
        Self::open_under(dsse, keys.of(P::AUTHORITY))
    }

    /// Opens an envelope whose signature holds under one of `keys`, which counts by itself.
    ///
    /// # Errors
    /// [`InvalidAttestation`] for anything else.
    pub fn open_under(dsse: &[u8], keys: &TrustedKeys) -> Result<Self, InvalidAttestation> {
        Self::open_envelope(&Envelope::parse(dsse)?, keys).map(|(statement, _)| statement)
    }

    /// The same of an envelope that was read already, with the key.
    ///
    /// # Errors
    /// [`InvalidAttestation`] for anything else.
    pub fn open_envelope<'a>(
        envelope: &Envelope,
        keys: &'a TrustedKeys,
    ) -> Result<(Self, &'a TrustedKey), InvalidAttestation> {
        Self::open_named(envelope, keys, None)
    }

    /// The same where the ledger may name it: then it counts though its key was revoked later.
    ///
    /// # Errors
    /// [`InvalidAttestation`] for anything else.
    pub fn open_named<'a>(
        envelope: &Envelope,
        keys: &'a TrustedKeys,
        named: Option<Named<'_>>,
    ) -> Result<(Self, &'a TrustedKey), InvalidAttestation> {
        let (statement, signer) = Self::open_unproved(envelope, keys)?;
        signer.vouches_where_named(statement.predicate.stated_at(), named)?;
        Ok((statement, signer))
    }

    /// The same whatever the key is worth: for who asks [`TrustedKey`], or knows from elsewhere that it was signed in time.
    ///
    /// # Errors
    /// [`InvalidAttestation`] for anything else.
    pub fn open_unproved<'a>(
        envelope: &Envelope,
        keys: &'a TrustedKeys,
    ) -> Result<(Self, &'a TrustedKey), InvalidAttestation> {
        let (payload, signer) = envelope.signed_by(keys)?;
        let statement: Self =
            serde_json::from_slice(&payload).map_err(|error| InvalidAttestation::Malformed(error.to_string()))?;
        if statement.type_uri != STATEMENT || statement.predicate_type != P::TYPE {
            return Err(InvalidAttestation::OtherPredicate { found: statement.predicate_type, expected: P::TYPE });
        }
        Ok((statement, signer))
    }
}
