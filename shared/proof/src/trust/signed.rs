//! A root with the signatures over it: a DSSE envelope of several.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Root, TrustError};
use crate::{PublicKey, pre_authentication_encoding};

/// The media type of a root in its envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.artefact-gatekeeper.trust-root+json";

/// The largest document that is read, in bytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// A root and who signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedRoot {
    payload_type: String,
    payload: String,
    signatures: Vec<RootSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootSignature {
    /// The fingerprint of the key: whose signature it is said to be, which only the key proves.
    keyid: String,
    sig: String,
}

impl SignedRoot {
    /// The root without a signature.
    ///
    /// # Errors
    /// Where it can't be written as JSON.
    pub fn unsigned(root: &Root) -> serde_json::Result<Self> {
        let payload = STANDARD.encode(serde_json::to_vec_pretty(root)?);
        Ok(Self { payload_type: PAYLOAD_TYPE.to_owned(), payload, signatures: Vec::new() })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`TrustError`] where it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(TrustError::new(0, format!("it is larger than {MAX_BYTES} bytes")));
        }
        let signed: Self = serde_json::from_slice(bytes)
            .map_err(|error| TrustError::new(0, format!("it is not an envelope of signatures: {error}")))?;
        if signed.payload_type != PAYLOAD_TYPE {
            return Err(TrustError::new(0, format!("it is `{}`, not `{PAYLOAD_TYPE}`", signed.payload_type)));
        }
        Ok(signed)
    }

    /// The document's bytes.
    ///
    /// # Errors
    /// Where it can't be written as JSON.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn payload(&self) -> Result<Vec<u8>, TrustError> {
        STANDARD.decode(&self.payload).map_err(|_| TrustError::new(0, "its payload is not base64"))
    }

    /// What it says, whoever signed it.
    ///
    /// # Errors
    /// [`TrustError`] where it is no root.
    pub fn root(&self) -> Result<Root, TrustError> {
        serde_json::from_slice(&self.payload()?)
            .map_err(|error| TrustError::new(0, format!("its payload is no trust root: {error}")))
    }

    /// What people sign: the payload with its type and both lengths (DSSE, "Pre-Authentication Encoding").
    ///
    /// # Errors
    /// [`TrustError`] where it holds no payload.
    pub fn message(&self) -> Result<Vec<u8>, TrustError> {
        Ok(pre_authentication_encoding(PAYLOAD_TYPE, &self.payload()?))
    }

    /// Adds a signature, in place of one of the same key.
    ///
    /// # Errors
    /// [`TrustError`] where it isn't that key's over this root, or the key is nobody's.
    pub fn add(&mut self, key: &PublicKey, signature: &[u8]) -> Result<(), TrustError> {
        let version = self.root()?.version;
        if key.verify(&self.message()?, signature).is_err() {
            return Err(TrustError::new(version, "the signature is not this key's over this version"));
        }
        let keyid = key.fingerprint().to_string();
        self.signatures.retain(|it| it.keyid != keyid);
        self.signatures.push(RootSignature { keyid, sig: STANDARD.encode(signature) });
        Ok(())
    }

    /// The people whose signatures hold by the keys that `root` gives them: each once, however many keys signed.
    ///
    /// # Errors
    /// [`TrustError`] where it holds no payload.
    pub fn signed_by(&self, root: &Root) -> Result<BTreeSet<String>, TrustError> {
        let message = self.message()?;
        let mut people = BTreeSet::new();
        for RootSignature { keyid, sig } in &self.signatures {
            let Ok(signature) = STANDARD.decode(sig) else { continue };
            let of = root.root_keys.iter().filter_map(|it| Some((&it.person, it.key().ok()?)));
            let signer = of.into_iter().find(|(_, key)| key.fingerprint().to_string() == *keyid);
            people.extend(
                signer.filter(|(_, key)| key.verify(&message, &signature).is_ok()).map(|(person, _)| person.clone()),
            );
        }
        Ok(people)
    }
}
