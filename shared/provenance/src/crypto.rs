//! The library's signatures by the `RustCrypto` crates: it brings a C library otherwise, or whatever is installed here.
//!
//! What instances sign by today: ECDSA on P-256 and P-384, and Ed25519. A root with RSA keys can be read, and what such a
//! key signed is refused as unsupported.

use ed25519_dalek::VerifyingKey as Ed25519;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sigstore_verify::{
    crypto::{CryptoProvider, Error, HashContext, SigningScheme, install_default_provider},
    types::HashAlgorithm,
};

/// The `RustCrypto` crates, for the library.
#[derive(Debug)]
struct RustCrypto;

/// Makes the library verify by it; whoever comes second finds it done.
pub(crate) fn install() {
    if install_default_provider(&RustCrypto).is_err() {
        // The same stands there already: nobody else installs one.
    }
}

/// A hash of which the bytes come one after the other.
struct Hashing<D>(D);

impl<D: sha2::Digest + Send> HashContext for Hashing<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

fn unsupported(scheme: SigningScheme) -> Error {
    Error::UnsupportedAlgorithm(format!("{} is not verified here: use P-256, P-384 or Ed25519", scheme.name()))
}

fn wrong(scheme: SigningScheme) -> Error {
    Error::Verification(format!("{} signature invalid", scheme.name()))
}

impl CryptoProvider for RustCrypto {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        match algorithm {
            HashAlgorithm::Sha2256 => Ok(Box::new(Hashing(Sha256::new()))),
            HashAlgorithm::Sha2384 => Ok(Box::new(Hashing(Sha384::new()))),
            HashAlgorithm::Sha2512 => Ok(Box::new(Hashing(Sha512::new()))),
            _ => Err(Error::UnsupportedAlgorithm(format!("{algorithm} is no hash that is computed here"))),
        }
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Error> {
        match scheme {
            SigningScheme::EcdsaP256Sha256 | SigningScheme::EcdsaP384Sha256 => {
                self.verify_prehashed(scheme, key, &Sha256::digest(data), signature)
            }
            SigningScheme::EcdsaP256Sha384 | SigningScheme::EcdsaP384Sha384 => {
                self.verify_prehashed(scheme, key, &Sha384::digest(data), signature)
            }
            SigningScheme::Ed25519 => {
                let key = key.try_into().ok().and_then(|key| Ed25519::from_bytes(key).ok());
                let signature = ed25519_dalek::Signature::from_slice(signature).ok();
                let (Some(key), Some(signature)) = (key, signature) else { return Err(wrong(scheme)) };
                key.verify_strict(data, &signature).map_err(|_| wrong(scheme))
            }
            _ => Err(unsupported(scheme)),
        }
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        match scheme {
            SigningScheme::EcdsaP256Sha256 | SigningScheme::EcdsaP256Sha384 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| wrong(scheme))?;
                let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| wrong(scheme))?;
                key.verify_prehash(digest, &signature).map_err(|_| wrong(scheme))
            }
            SigningScheme::EcdsaP384Sha256 | SigningScheme::EcdsaP384Sha384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| wrong(scheme))?;
                let signature = p384::ecdsa::Signature::from_der(signature).map_err(|_| wrong(scheme))?;
                key.verify_prehash(digest, &signature).map_err(|_| wrong(scheme))
            }
            _ => Err(unsupported(scheme)),
        }
    }
}
