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

/// A private key on P-256 that never leaves its place.
pub trait Signer: std::fmt::Debug + Send + Sync {
    /// Signs a message by its SHA-256: ECDSA, ASN.1 DER.
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>>;

    /// The public key that the signatures verify under.
    fn public_key(&self) -> Signing<'_, PublicKey>;
}

/// Signs nothing: for looking without writing.
#[derive(Debug, Clone, Copy)]
pub struct NoSigner;

impl Signer for NoSigner {
    fn sign(&self, _: Sha256) -> Signing<'_, Vec<u8>> {
        Box::pin(async { Err(Self::error("signing")) })
    }

    fn public_key(&self) -> Signing<'_, PublicKey> {
        Box::pin(async { Err(Self::error("its public half")) })
    }
}

impl NoSigner {
    fn error(operation: &'static str) -> SigningError {
        SigningError::Key { key: "no key".to_owned(), operation, source: "nothing is signed here".into() }
    }
}

/// A key of this process, for tests.
#[cfg(any(test, feature = "test-support"))]
#[derive(Debug)]
pub struct LocalSigner {
    key: p256::ecdsa::SigningKey,
    signatures: std::sync::atomic::AtomicU64,
}

#[cfg(any(test, feature = "test-support"))]
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "test support: none of them can happen")]
impl LocalSigner {
    /// The key of a seed: the same seed gives the same key.
    #[must_use]
    pub fn from_seed(seed: u8) -> Self {
        let secret = Sha256::of(&[seed]);
        let key = p256::ecdsa::SigningKey::from_slice(secret.as_bytes()).expect("a digest is a scalar of P-256");
        Self { key, signatures: 0.into() }
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        use p256::pkcs8::EncodePublicKey as _;
        let der = self.key.verifying_key().to_public_key_der().expect("a key has a DER form");
        PublicKey::from_der(der.as_bytes()).expect("it is on P-256")
    }

    /// How often it has signed.
    #[must_use]
    pub fn signatures(&self) -> u64 {
        self.signatures.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(any(test, feature = "test-support"))]
impl Signer for LocalSigner {
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>> {
        use p256::ecdsa::{Signature, signature::hazmat::PrehashSigner as _};
        self.signatures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let signed: Result<Signature, _> = self.key.sign_prehash(digest.as_bytes());
        Box::pin(async move {
            signed.map(|signature| signature.to_der().as_bytes().to_vec()).map_err(|error| SigningError::Key {
                key: "a local key".to_owned(),
                operation: "signing",
                source: Box::new(error),
            })
        })
    }

    fn public_key(&self) -> Signing<'_, PublicKey> {
        Box::pin(async { Ok(self.key()) })
    }
}
