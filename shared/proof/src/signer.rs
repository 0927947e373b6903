//! Who signs: a key of KMS, or one of the process for tests.

use std::pin::Pin;

use gatekeeper_model::ids::Sha256;

use super::PublicKey;

/// A call to a signer under way.
pub type Signing<'a, T> = Pin<Box<dyn Future<Output = Result<T, SigningError>> + Send + 'a>>;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A key could not be used.
    #[error("`{key}` could not be used for {operation}")]
    Key {
        /// The key.
        key: String,
        /// What was asked for.
        operation: &'static str,
        /// What is behind it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was to be signed could not be written: nothing is signed in its place.
    #[error("what was to be signed could not be written as JSON")]
    Unwritable(#[from] serde_json::Error),
    /// What it would be signed of doesn't tell what the statement must say.
    #[error("nothing is signed: {0}")]
    Untold(&'static str),
}

/// Where a key on P-256 is kept, for those who verify what it signed.
pub trait KeyHolder: std::fmt::Debug + Send + Sync {
    /// The public key that the signatures verify under.
    fn public_key(&self) -> Signing<'_, PublicKey>;
}

/// A private key on P-256 that never leaves its place.
pub trait Signer: KeyHolder {
    /// Signs a message by its SHA-256: ECDSA, ASN.1 DER.
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>>;
}
