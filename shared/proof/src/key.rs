//! Public keys on P-256 (`ECC_NIST_P256` of KMS) and the signatures under them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatekeeper_model::ids::Sha256;
use p256::{
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding},
};

use super::{
    InvalidAttestation, TrustedKeys,
    trust::{TrustError, Walked},
};

/// A public key, with both of its written forms: they are made once, where that they can't be made is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    der: Vec<u8>,
    pem: String,
}

/// Bytes that are no public key on P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key on P-256, as `SubjectPublicKeyInfo`")]
pub struct InvalidPublicKey;

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in DER, as KMS `GetPublicKey` gives it.
    ///
    /// # Errors
    /// [`InvalidPublicKey`] for anything else.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidPublicKey> {
        VerifyingKey::from_public_key_der(der).map_err(|_| InvalidPublicKey).and_then(Self::of)
    }

    /// Reads a `-----BEGIN PUBLIC KEY-----` block.
    ///
    /// # Errors
    /// [`InvalidPublicKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPublicKey> {
        VerifyingKey::from_public_key_pem(pem).map_err(|_| InvalidPublicKey).and_then(Self::of)
    }

    fn of(key: VerifyingKey) -> Result<Self, InvalidPublicKey> {
        let der = key.to_public_key_der().map_err(|_| InvalidPublicKey)?.as_bytes().to_vec();
        let pem = key.to_public_key_pem(LineEnding::LF).map_err(|_| InvalidPublicKey)?;
        Ok(Self { key, der, pem })
    }

    /// The key as a `-----BEGIN PUBLIC KEY-----` block, as openssl and cosign read it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.pem.clone()
    }

    /// The key's `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.der.clone()
    }

    /// The SHA-256 of its DER: what people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(&self.der)
    }

    /// How a Sigstore bundle names it: its fingerprint in base64.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint().as_bytes())
    }

    /// Whether `signature`, ASN.1 DER, is this key's over the SHA-256 of `message`.
    ///
    /// # Errors
    /// [`InvalidAttestation::Signature`] where it isn't.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidAttestation> {
        let signature = Signature::from_der(signature).map_err(|_| InvalidAttestation::Signature)?;
        self.key.verify(message, &signature).map_err(|_| InvalidAttestation::Signature)
    }
}

/// The gatekeeper's public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// The gate's: what it concluded of a commit.
    pub gate: TrustedKeys,
    /// Promotion's: what was done to a stage.
    pub promotion: TrustedKeys,
    /// That of the function `approve`: what people approved. Without it no approval is proved: bundles of before approvals
    /// were signed have none.
    pub approval: Option<TrustedKeys>,
    /// The trust root that names them; `None` where they are the three that the installation was made with.
    pub trust: Option<Box<Walked>>,
}

impl PublicKeys {
    /// One key for each, whose time nothing limits.
    #[must_use]
    pub fn fixed(gate: PublicKey, promotion: PublicKey, approval: Option<PublicKey>) -> Self {
        Self { gate: gate.into(), promotion: promotion.into(), approval: approval.map(Into::into), trust: None }
    }

    /// The keys that a trust root names.
    ///
    /// # Errors
    /// [`TrustError`] where one can't be read.
    pub fn named_by(walked: Walked) -> Result<Self, TrustError> {
        let root = &walked.root;
        let (gate, promotion) = (root.authority(super::Authority::Gate)?, root.authority(super::Authority::Promotion)?);
        Ok(Self { gate, promotion, approval: Some(root.approval()?), trust: Some(Box::new(walked)) })
    }

    /// The keys of an authority.
    #[must_use]
    pub fn of(&self, authority: super::Authority) -> &TrustedKeys {
        match authority {
            super::Authority::Gate => &self.gate,
            super::Authority::Promotion => &self.promotion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalSigner;

    #[test]
    fn a_key_reads_back_from_both_of_its_forms() {
        let key = LocalSigner::from_seed(7).key();
        assert_eq!(PublicKey::from_pem(&key.to_pem()).unwrap(), key);
        assert_eq!(PublicKey::from_der(&key.to_der()).unwrap(), key);
        assert_eq!(key.hint(), key.fingerprint().to_base64());
        assert_eq!(PublicKey::from_der(b"no key"), Err(InvalidPublicKey));
    }
}
