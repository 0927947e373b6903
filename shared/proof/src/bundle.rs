//! Sigstore bundles, version 0.3 (<https://docs.sigstore.dev/about/bundle/>): what stock cosign and `@sigstore/verify` check
//! offline with the public key.

use serde::Serialize;

use super::{Envelope, PublicKey};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    media_type: &'static str,
    verification_material: VerificationMaterial,
    dsse_envelope: &'a Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: KeyHint,
}

#[derive(Serialize)]
struct KeyHint {
    hint: String,
}

/// An envelope as a bundle that names the key to verify it with.
///
/// # Errors
/// Where it can't be written as JSON.
pub fn of(envelope: &Envelope, key: &PublicKey) -> Result<Vec<u8>, serde_json::Error> {
    let bundle = Bundle {
        media_type: MEDIA_TYPE,
        verification_material: VerificationMaterial { public_key: KeyHint { hint: key.hint() } },
        dsse_envelope: envelope,
    };
    envelope.written(&bundle)
}

/// Whether `bytes` are the bundle of this envelope under this key, and nothing else.
#[must_use]
pub fn is_of(bytes: &[u8], envelope: &Envelope, key: &PublicKey) -> bool {
    of(envelope, key).is_ok_and(|expected| expected == bytes)
}

#[cfg(test)]
mod tests {
    use crate::{Envelope, LocalSigner, bundle};

    #[tokio::test]
    async fn a_bundle_is_what_sigstores_clients_read() {
        let signer = LocalSigner::from_seed(1);
        let envelope = Envelope::sign(b"{}", &signer).await.unwrap();
        let mut bundle: serde_json::Value =
            serde_json::from_slice(&bundle::of(&envelope, &signer.key()).unwrap()).unwrap();
        assert_eq!(bundle["verificationMaterial"]["publicKey"]["hint"], signer.key().hint());
        bundle["verificationMaterial"]["publicKey"]["hint"] = "(of the key)".into();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = "(another each time)".into();
        insta::assert_json_snapshot!(bundle, @r#"
        {
          "dsseEnvelope": {
            "payload": "e30=",
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [
              {
                "keyid": "",
                "sig": "(another each time)"
              }
            ]
          },
          "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.3",
          "verificationMaterial": {
            "publicKey": {
              "hint": "(of the key)"
            }
          }
        }
        "#);
    }
}
