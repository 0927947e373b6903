//! Who signs: a key of KMS, or one of the process for tests.

use std::pin::Pin;

use gatekeeper_model::ids::Sha256;
use p256::{
    ecdsa::{Signature, signature::hazmat::PrehashSigner as _},
    pkcs8::{DecodePrivateKey as _, EncodePublicKey as _},
};

use super::{PublicKey, TrustedKeys};

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

/// A private key of a person, from a file: no function has one.
pub struct FileSigner(p256::ecdsa::SigningKey);

/// A text that is no private key that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a private key on P-256 as PKCS #8 in PEM without a passphrase; `openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem` \
     writes one, or sign by openssl itself"
)]
pub struct InvalidPrivateKey;

impl FileSigner {
    /// Reads a `-----BEGIN PRIVATE KEY-----` block.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPrivateKey> {
        p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| InvalidPrivateKey)
    }

    fn error(operation: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SigningError {
        SigningError::Key { key: "the private key".to_owned(), operation, source: source.into() }
    }
}

impl std::fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSigner").finish_non_exhaustive()
    }
}

impl KeyHolder for FileSigner {
    fn public_key(&self) -> Signing<'_, PublicKey> {
        let der = self.0.verifying_key().to_public_key_der();
        Box::pin(async move {
            let der = der.map_err(|error| Self::error("its public half", error))?;
            PublicKey::from_der(der.as_bytes()).map_err(|error| Self::error("its public half", error))
        })
    }
}

impl Signer for FileSigner {
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>> {
        let signed: Result<Signature, _> = self.0.sign_prehash(digest.as_bytes());
        Box::pin(async move {
            signed.map(|it| it.to_der().as_bytes().to_vec()).map_err(|error| Self::error("signing", error))
        })
    }
}

/// Where a key on P-256 is kept, for those who verify what it signed.
pub trait KeyHolder: std::fmt::Debug + Send + Sync {
    /// The public key that the signatures verify under.
    fn public_key(&self) -> Signing<'_, PublicKey>;

    /// The keys by which the same authority has signed and signs: this one alone, where no trust root names others.
    fn trusted(&self) -> Signing<'_, TrustedKeys> {
        Box::pin(async { Ok(self.public_key().await?.into()) })
    }
}

/// A private key on P-256 that never leaves its place.
pub trait Signer: KeyHolder {
    /// Signs a message by its SHA-256: ECDSA, ASN.1 DER.
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>>;
}
