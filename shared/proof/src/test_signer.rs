//! Signers for tests.

use gatekeeper_model::ids::Sha256;

use crate::{KeyHolder, PublicKey, Signer, Signing, SigningError};

/// A key that can't be used.
#[derive(Debug, Clone, Copy)]
pub struct NoSigner;

impl KeyHolder for NoSigner {
    fn public_key(&self) -> Signing<'_, PublicKey> {
        Box::pin(async { Err(Self::error("its public half")) })
    }
}

impl Signer for NoSigner {
    fn sign(&self, _: Sha256) -> Signing<'_, Vec<u8>> {
        Box::pin(async { Err(Self::error("signing")) })
    }
}

impl NoSigner {
    fn error(operation: &'static str) -> SigningError {
        SigningError::Key { key: "no key".to_owned(), operation, source: "it can't be used".into() }
    }
}

/// A key of this process.
#[derive(Debug)]
pub struct LocalSigner {
    key: p256::ecdsa::SigningKey,
    signatures: std::sync::atomic::AtomicU64,
    named: Option<crate::TrustedKeys>,
}

#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "test support: none of them can happen")]
impl LocalSigner {
    /// The key of a seed: the same seed gives the same key.
    #[must_use]
    pub fn from_seed(seed: u8) -> Self {
        let secret = Sha256::of(&[seed]);
        let key = p256::ecdsa::SigningKey::from_slice(secret.as_bytes()).expect("a digest is a scalar of P-256");
        Self { key, signatures: 0.into(), named: None }
    }

    /// The same key beside the others that a trust root names for its authority.
    #[must_use]
    pub fn named_with(self, named: crate::TrustedKeys) -> Self {
        Self { named: Some(named), ..self }
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        use p256::pkcs8::EncodePublicKey as _;
        let der = self.key.verifying_key().to_public_key_der().expect("a key has a DER form");
        PublicKey::from_der(der.as_bytes()).expect("it is on P-256")
    }

    /// The keys of its authority: itself alone, or those that a trust root names.
    #[must_use]
    pub fn keys(&self) -> crate::TrustedKeys {
        self.named.clone().unwrap_or_else(|| self.key().into())
    }

    /// How often it has signed.
    #[must_use]
    pub fn signatures(&self) -> u64 {
        self.signatures.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl KeyHolder for LocalSigner {
    fn public_key(&self) -> Signing<'_, PublicKey> {
        Box::pin(async { Ok(self.key()) })
    }

    fn trusted(&self) -> Signing<'_, crate::TrustedKeys> {
        Box::pin(async { Ok(self.keys()) })
    }
}

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
}
