//! Dead Simple Signing Envelopes, DSSE 1.0 (<https://github.com/secure-systems-lab/dsse>), in one strict form: what is
//! signed can be written in one way only, so that no byte of an envelope can change unseen.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatekeeper_model::ids::Sha256;
use serde::{Deserialize, Serialize};

use super::{InvalidAttestation, PublicKey, Signer, SigningError, TrustedKey, TrustedKeys};

/// The media type of an in-toto statement in an envelope.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: [EnvelopeSignature; 1],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    /// Empty: which key it must be follows from what is stated, never from the envelope.
    keyid: String,
    sig: String,
}

/// A payload, what is signed of it, and the signature.
type Opened = (Vec<u8>, Vec<u8>, Vec<u8>);

/// What is in an envelope and a bundle beside the payload, and more.
const BESIDE_PAYLOAD: usize = 1024;

/// What a signature is over: the payload with its type and both lengths (DSSE, "Pre-Authentication Encoding").
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    let mut encoded = Vec::with_capacity(head.len() + payload.len());
    encoded.extend_from_slice(head.as_bytes());
    encoded.extend_from_slice(payload);
    encoded
}

impl Envelope {
    /// Signs an in-toto statement.
    ///
    /// # Errors
    /// [`SigningError`] where the signer doesn't sign.
    pub async fn sign(statement: &[u8], signer: &dyn Signer) -> Result<Self, SigningError> {
        let digest = Sha256::of(&pre_authentication_encoding(IN_TOTO, statement));
        let signature = signer.sign(digest).await?;
        Ok(Self {
            payload_type: IN_TOTO.to_owned(),
            payload: STANDARD.encode(statement),
            signatures: [EnvelopeSignature { keyid: String::new(), sig: STANDARD.encode(signature) }],
        })
    }

    /// Reads an envelope in the form that [`Envelope::to_bytes`] writes.
    ///
    /// # Errors
    /// [`InvalidAttestation::Malformed`] for any other bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidAttestation> {
        let malformed = |what: String| InvalidAttestation::Malformed(what);
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if envelope.to_bytes().map_err(|error| malformed(error.to_string()))? != bytes {
            return Err(malformed("it is written in another way than the gatekeeper writes envelopes".to_owned()));
        }
        Ok(envelope)
    }

    /// The statement, where the signature over it is `key`'s.
    ///
    /// # Errors
    /// [`InvalidAttestation`] for another payload type, a malformed member or a signature that doesn't hold.
    pub fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, InvalidAttestation> {
        let (payload, message, signature) = self.opened()?;
        key.verify(&message, &signature)?;
        Ok(payload)
    }

    /// The statement, and whose signature over it holds, whatever that is worth.
    ///
    /// # Errors
    /// [`InvalidAttestation`] as [`Envelope::verify`].
    pub fn signed_by<'a>(&self, keys: &'a TrustedKeys) -> Result<(Vec<u8>, &'a TrustedKey), InvalidAttestation> {
        let (payload, message, signature) = self.opened()?;
        let signer = keys.signer_of(&message, &signature)?;
        Ok((payload, signer))
    }

    /// The payload, what is signed of it, and the signature.
    fn opened(&self) -> Result<Opened, InvalidAttestation> {
        let malformed = |what: &str| InvalidAttestation::Malformed(what.to_owned());
        let [signature] = &self.signatures;
        if self.payload_type != IN_TOTO || !signature.keyid.is_empty() {
            return Err(malformed("its payload is no in-toto statement, or it names a key"));
        }
        let payload = self.payload()?;
        let sig = STANDARD.decode(&signature.sig).map_err(|_| malformed("its signature is not base64"))?;
        let message = pre_authentication_encoding(&self.payload_type, &payload);
        Ok((payload, message, sig))
    }

    /// The payload, whoever signed it: of use only for showing or comparing it.
    ///
    /// # Errors
    /// [`InvalidAttestation::Malformed`] where it isn't base64.
    pub fn payload(&self) -> Result<Vec<u8>, InvalidAttestation> {
        STANDARD
            .decode(&self.payload)
            .map_err(|_| InvalidAttestation::Malformed("its payload is not base64".to_owned()))
    }

    /// The envelope as it is stored.
    ///
    /// # Errors
    /// Where it can't be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        self.written(self)
    }

    /// A document that holds the envelope, as JSON, in no more memory than that takes.
    pub(crate) fn written(&self, document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(self.payload.len() + BESIDE_PAYLOAD);
        serde_json::to_writer(&mut bytes, document)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalSigner;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        insta::assert_snapshot!(
            String::from_utf8(encoded).unwrap(), @"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[tokio::test]
    async fn every_flipped_byte_is_found() {
        let signer = LocalSigner::from_seed(1);
        let bytes = Envelope::sign(br#"{"_type":"x"}"#, &signer).await.unwrap().to_bytes().unwrap();
        let key = signer.key();
        let opened = |bytes: &[u8]| Envelope::parse(bytes).and_then(|envelope| envelope.verify(&key));
        assert_eq!(opened(&bytes).unwrap(), br#"{"_type":"x"}"#);
        for (at, change) in (0..bytes.len()).flat_map(|at| [1_u8, 0x20, 0x80].map(|change| (at, change))) {
            let mut flipped = bytes.clone();
            flipped[at] ^= change;
            assert!(opened(&flipped).is_err(), "byte {at} may change by {change:#x}");
        }
    }

    #[tokio::test]
    async fn another_key_and_another_spelling_are_refused() {
        let signer = LocalSigner::from_seed(1);
        let envelope = Envelope::sign(b"{}", &signer).await.unwrap();
        assert_eq!(envelope.verify(&LocalSigner::from_seed(2).key()), Err(InvalidAttestation::Signature));
        let spaced = serde_json::to_vec_pretty(&envelope).unwrap();
        assert!(matches!(Envelope::parse(&spaced), Err(InvalidAttestation::Malformed(_))));
    }
}
