//! Keys of KMS that sign (`ECC_NIST_P256`, KMS API reference, `Sign`).

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_smithy_types::base64;
use gatekeeper_model::{ids::Sha256, telemetry::wall_clock};
use gatekeeper_proof::{KeyHolder, PublicKey, PublicKeys, Signer, Signing, SigningError, TrustedKeys};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    failure::said,
    json_operation::{JsonOperation, KMS},
    trust::Trust,
};

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOf {
    /// The gate's.
    Gate,
    /// Promotion's.
    Promotion,
    /// That of the function `approve`.
    Approval,
}

/// A key of KMS.
#[derive(Debug)]
pub struct KmsSigner {
    get_public_key: JsonOperation,
    sign: JsonOperation,
    key_arn: String,
    public_key: OnceCell<PublicKey>,
    trust: Option<(Arc<Trust>, KeyOf)>,
}

impl KmsSigner {
    /// The key of this ARN.
    #[must_use]
    pub fn new(config: &SdkConfig, key_arn: impl Into<String>) -> Self {
        let operation = |name| JsonOperation::new(config, KMS, name);
        Self {
            get_public_key: operation("GetPublicKey"),
            sign: operation("Sign"),
            key_arn: key_arn.into(),
            public_key: OnceCell::new(),
            trust: None,
        }
    }

    /// The same where a trust root names the keys: it signs only while the newest version names it as valid.
    #[must_use]
    pub fn trusting(mut self, trust: Option<&Arc<Trust>>, of: KeyOf) -> Self {
        self.trust = trust.map(|trust| (Arc::clone(trust), of));
        self
    }

    /// That the newest version of the trust root names the key as valid now, where there is a root.
    async fn is_named(&self) -> Result<(), SigningError> {
        if self.trust.is_none() {
            return Ok(());
        }
        let (own, keys) = futures_util::future::try_join(self.public_key(), self.trusted()).await?;
        if keys.may_sign(&own, wall_clock()) {
            return Ok(());
        }
        let why = format!(
            "the newest version of the trust root does not name the key `{}` as valid now: publish a version that does, or \
             deploy the stack with a key that it names; see `gatekeeper keys list`",
            own.fingerprint()
        );
        Err(self.error("signing", why))
    }

    fn error(
        &self,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SigningError {
        SigningError::Key { key: self.key_arn.clone(), operation, source: source.into() }
    }

    /// Calls an operation, and gives the bytes of one field of its answer.
    async fn call(
        &self,
        name: &'static str,
        operation: &JsonOperation,
        input: &Value,
        field: &str,
    ) -> Result<Vec<u8>, SigningError> {
        let answer = operation.call(input).await.map_err(|error| self.error(name, said(&error)))?;
        match answer.get(field).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => base64::decode(text).map_err(|error| self.error(name, error)),
            _ => Err(self.error(name, format!("it answered without `{field}`"))),
        }
    }

    async fn fetch_public_key(&self) -> Result<PublicKey, SigningError> {
        let name = "kms:GetPublicKey";
        let der = self.call(name, &self.get_public_key, &json!({"KeyId": self.key_arn}), "PublicKey").await?;
        PublicKey::from_der(&der).map_err(|error| self.error(name, error))
    }
}

/// The gatekeeper's keys, to verify by.
#[derive(Debug)]
pub struct KmsKeys {
    gate: KmsSigner,
    promotion: KmsSigner,
    approval: KmsSigner,
    trust: Option<Arc<Trust>>,
}

/// The ARNs of the gatekeeper's keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyArns<'a> {
    /// The gate's.
    pub gate: &'a str,
    /// Promotion's.
    pub promotion: &'a str,
    /// That of the function `approve`.
    pub approval: &'a str,
}

impl KmsKeys {
    /// The keys of these ARNs.
    #[must_use]
    pub fn new(config: &SdkConfig, arns: KeyArns<'_>) -> Self {
        let key = |arn: &str| KmsSigner::new(config, arn);
        Self { gate: key(arns.gate), promotion: key(arns.promotion), approval: key(arns.approval), trust: None }
    }

    /// The same where a trust root names the keys.
    #[must_use]
    pub fn trusting(self, trust: Option<Arc<Trust>>) -> Self {
        let Self { gate, promotion, approval, .. } = self;
        Self {
            gate: gate.trusting(trust.as_ref(), KeyOf::Gate),
            promotion: promotion.trusting(trust.as_ref(), KeyOf::Promotion),
            approval: approval.trusting(trust.as_ref(), KeyOf::Approval),
            trust,
        }
    }

    /// Their public halves, read from KMS once; or the keys that the trust root names, where there is one.
    ///
    /// # Errors
    /// [`SigningError`] where they can't be had.
    pub async fn public_keys(&self) -> Result<PublicKeys, SigningError> {
        let Self { gate, promotion, approval, trust } = self;
        if let Some(trust) = trust {
            return Ok(PublicKeys::clone(&*trust.keys().await?));
        }
        let keys = futures_util::future::try_join3(gate.public_key(), promotion.public_key(), approval.public_key());
        let (gate, promotion, approval) = keys.await?;
        Ok(PublicKeys::fixed(gate, promotion, Some(approval)))
    }

    /// The key of the function `approve`, to verify by.
    #[must_use]
    pub fn approval(&self) -> &KmsSigner {
        &self.approval
    }

    /// Promotion's key, to sign with.
    #[must_use]
    pub fn promotion(&self) -> &KmsSigner {
        &self.promotion
    }
}

impl KeyHolder for KmsSigner {
    /// One call for the life of the process: a key of KMS never changes.
    fn public_key(&self) -> Signing<'_, PublicKey> {
        Box::pin(async { self.public_key.get_or_try_init(|| self.fetch_public_key()).await.cloned() })
    }

    fn trusted(&self) -> Signing<'_, TrustedKeys> {
        Box::pin(async {
            let Some((trust, of)) = &self.trust else { return Ok(self.public_key().await?.into()) };
            let keys = trust.keys().await?;
            match of {
                KeyOf::Gate => Ok(keys.gate.clone()),
                KeyOf::Promotion => Ok(keys.promotion.clone()),
                KeyOf::Approval => {
                    let approval = keys.approval.clone();
                    approval.ok_or_else(|| self.error("verifying", "the trust root names no key of approvals"))
                }
            }
        })
    }
}

impl Signer for KmsSigner {
    /// One call. By the digest, because KMS takes no message above 4,096 bytes.
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>> {
        Box::pin(async move {
            self.is_named().await?;
            let input = json!({
                "KeyId": self.key_arn, "Message": digest.to_base64(), "MessageType": "DIGEST",
                "SigningAlgorithm": "ECDSA_SHA_256",
            });
            self.call("kms:Sign", &self.sign, &input, "Signature").await
        })
    }
}

/// When KMS last used a key (KMS API reference, `GetKeyLastUsage`): of calls that succeeded, up to an hour late.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastUsage {
    /// What it was used for, such as `Sign`.
    pub operation: String,
    /// When.
    pub at: Option<Timestamp>,
    /// CloudTrail's id of the event.
    pub event_id: Option<String>,
}

/// Asks when a key was last used; `None` where KMS knows of no use.
///
/// # Errors
/// [`SigningError`] where it could not be asked.
pub async fn last_usage(config: &SdkConfig, key_arn: &str) -> Result<Option<LastUsage>, SigningError> {
    let operation = "kms:GetKeyLastUsage";
    let failed = |source| SigningError::Key { key: key_arn.to_owned(), operation, source };
    let ask = JsonOperation::new(config, KMS, "GetKeyLastUsage");
    let answer = ask.call(&json!({"KeyId": key_arn})).await.map_err(|error| failed(said(&error).into()))?;
    let Some(usage) = answer.get("KeyLastUsage").filter(|it| it.as_object().is_some_and(|it| !it.is_empty())) else {
        return Ok(None);
    };
    let text = |name: &str| usage.get(name).and_then(Value::as_str).map(str::to_owned);
    let operation = text("Operation").ok_or_else(|| failed("it answered without `Operation`".into()))?;
    let at = |seconds: f64| Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds)?);
    let at = usage.get("Timestamp").and_then(Value::as_f64).map(at).transpose();
    let at = at.map_err(|_| failed("it answered with a `Timestamp` that is no time".into()))?;
    Ok(Some(LastUsage { operation, at, event_id: text("CloudTrailEventId") }))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_kms::{
        Client,
        primitives::Blob,
        types::{MessageType, SigningAlgorithmSpec},
    };
    use gatekeeper_proof::LocalSigner;

    use super::*;
    use crate::{
        scripted,
        scripted::{Answer, Request},
    };

    /// A key whose KMS answers so.
    fn key(answer: Answer) -> KmsSigner {
        KmsSigner::new(&scripted::config(move |_: Request| answer.clone()), "arn:key")
    }

    #[tokio::test]
    async fn kms_is_asked_as_the_sdk_asks_it() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let local = LocalSigner::from_seed(3).key();
        let config = scripted::config({
            let (sent, der) = (Arc::clone(&sent), base64::encode(local.to_der()));
            move |request: Request| {
                sent.lock().unwrap().push((request.headers["x-amz-target"].clone(), request.body));
                Answer::json(&json!({"KeyId": "arn:key", "PublicKey": der, "Signature": "c2lnbmF0dXJl"}))
            }
        });
        let (ours, sdk) = (KmsSigner::new(&config, "arn:key"), Client::new(&config));
        let digest = Sha256::of(b"statement");
        assert_eq!(ours.sign(digest).await.unwrap(), b"signature");
        assert_eq!(ours.public_key().await.unwrap(), local);
        assert_eq!(ours.public_key().await.unwrap(), local);
        let call = sdk.sign().key_id("arn:key").message(Blob::new(digest.as_bytes())).message_type(MessageType::Digest);
        call.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).send().await.unwrap();
        sdk.get_public_key().key_id("arn:key").send().await.unwrap();
        let sent = sent.lock().unwrap();
        let asked: Vec<(&str, Value)> =
            sent.iter().map(|(target, body)| (target.as_str(), serde_json::from_str(body).unwrap())).collect();
        let (ours, sdk) = asked.split_at(2);
        assert_eq!(ours, sdk, "and the key once only");
    }

    #[tokio::test]
    async fn the_last_use_of_a_key_is_read_as_kms_tells_it() {
        let usage = json!({"KeyLastUsage": {"Operation": "Sign", "Timestamp": 1_777_692_600.25, "CloudTrailEventId": "e1",
            "KmsRequestId": "r1"}, "KeyCreationDate": 1.0, "TrackingStartDate": 1.0});
        let asked = |answer: Value| scripted::config(move |_: Request| Answer::json(&answer));
        let told = last_usage(&asked(usage), "arn:key").await.unwrap().unwrap();
        let at = "2026-05-02T03:30:00.25Z".parse().unwrap();
        assert_eq!(told, LastUsage { operation: "Sign".to_owned(), at: Some(at), event_id: Some("e1".to_owned()) });
        for nothing in [json!({}), json!({"KeyLastUsage": {}}), json!({"KeyLastUsage": null})] {
            assert_eq!(last_usage(&asked(nothing), "arn:key").await.unwrap(), None);
        }
        assert!(last_usage(&asked(json!({"KeyLastUsage": {"Timestamp": 1}})), "arn:key").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_kms_says_is_told_with_the_key_and_the_call() {
        let denied = key(Answer::error(400, "AccessDeniedException", "you may not use it"));
        let SigningError::Key { key: of, operation, source } = denied.sign(Sha256::of(b"")).await.unwrap_err() else {
            panic!("another error")
        };
        assert_eq!((of.as_str(), operation), ("arn:key", "kms:Sign"));
        assert_eq!(source.to_string(), "AccessDeniedException: you may not use it");
        for nothing in [json!({}), json!({"Signature": ""}), json!({"Signature": "~"}), json!({"Signature": 3})] {
            let error = key(Answer::json(&nothing)).sign(Sha256::of(b"")).await.unwrap_err();
            assert!(error.to_string().contains("arn:key"), "{error}");
        }
        assert!(key(Answer::json(&json!({"PublicKey": "c2lnbmF0dXJl"}))).public_key().await.is_err(), "it is no key");
    }
}
