//! Keys of KMS that sign (`ECC_NIST_P256`, KMS API reference, `Sign`).

use aws_config::SdkConfig;
use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};
use gatekeeper_model::ids::Sha256;
use gatekeeper_proof::{KeyHolder, PublicKey, PublicKeys, Signer, Signing, SigningError};
use tokio::sync::OnceCell;

use crate::failure::said;

/// A key of KMS.
#[derive(Debug)]
pub struct KmsSigner {
    client: Client,
    key_arn: String,
    public_key: OnceCell<PublicKey>,
}

impl KmsSigner {
    /// The key of this ARN.
    #[must_use]
    pub fn new(config: &SdkConfig, key_arn: impl Into<String>) -> Self {
        Self { client: Client::new(config), key_arn: key_arn.into(), public_key: OnceCell::new() }
    }

    fn error(
        &self,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SigningError {
        SigningError::Key { key: self.key_arn.clone(), operation, source: source.into() }
    }

    async fn fetch_public_key(&self) -> Result<PublicKey, SigningError> {
        let operation = "kms:GetPublicKey";
        let answer = self.client.get_public_key().key_id(&self.key_arn).send().await;
        let answer = answer.map_err(|error| self.error(operation, said(&error)))?;
        let der = answer.public_key().map(Blob::as_ref);
        let der = der.ok_or_else(|| self.error(operation, "it answered without a key"))?;
        PublicKey::from_der(der).map_err(|error| self.error(operation, error))
    }
}

/// The gatekeeper's two keys, to verify by.
#[derive(Debug)]
pub struct KmsKeys {
    gate: KmsSigner,
    promotion: KmsSigner,
}

impl KmsKeys {
    /// The keys of these ARNs.
    #[must_use]
    pub fn new(config: &SdkConfig, gate_arn: impl Into<String>, promotion_arn: impl Into<String>) -> Self {
        Self { gate: KmsSigner::new(config, gate_arn), promotion: KmsSigner::new(config, promotion_arn) }
    }

    /// Their public halves, read from KMS once.
    ///
    /// # Errors
    /// [`SigningError`] where KMS doesn't give them.
    pub async fn public_keys(&self) -> Result<PublicKeys, SigningError> {
        let (gate, promotion) =
            futures_util::future::try_join(self.gate.public_key(), self.promotion.public_key()).await?;
        Ok(PublicKeys { gate, promotion })
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
}

impl Signer for KmsSigner {
    /// One call. By the digest, because KMS takes no message above 4,096 bytes.
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>> {
        Box::pin(async move {
            let operation = "kms:Sign";
            let call = self.client.sign().key_id(&self.key_arn).message(Blob::new(digest.as_bytes()));
            let call = call.message_type(MessageType::Digest).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
            let answer = call.send().await.map_err(|error| self.error(operation, said(&error)))?;
            let signature = answer.signature().map(|blob| blob.as_ref().to_vec());
            signature.ok_or_else(|| self.error(operation, "it answered without a signature"))
        })
    }
}
