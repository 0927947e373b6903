//! The local ECR.

use aws_config::SdkConfig;
use gatekeeper_aws::json_operation::JsonOperation;
use gatekeeper_aws::registry::ECR;
use gatekeeper_model::ids::{ImageDigest, Sha256};
use serde_json::{Value, json};

/// A repository of ECR.
#[derive(Debug)]
pub struct Repository {
    config: SdkConfig,
    name: String,
}

impl Repository {
    /// Makes one, whose tags can be moved or not.
    pub async fn create(config: &SdkConfig, name: &str, is_immutable: bool) -> Self {
        let repository = Self { config: config.clone(), name: name.to_owned() };
        let mutability = if is_immutable { "IMMUTABLE" } else { "MUTABLE" };
        repository.call("CreateRepository", json!({"imageTagMutability": mutability})).await;
        repository
    }

    /// Puts the manifest of an image under a tag; gives its digest.
    pub async fn put(&self, tag: &str, content: &str) -> ImageDigest {
        let manifest = manifest(content);
        self.call("PutImage", json!({"imageTag": tag, "imageManifest": manifest})).await;
        digest(content)
    }

    async fn call(&self, name: &'static str, mut input: Value) {
        input["repositoryName"] = json!(self.name);
        JsonOperation::new(&self.config, ECR, name).call(&input).await.unwrap();
    }
}

fn manifest(content: &str) -> String {
    json!({"schemaVersion": 2, "annotations": {"content": content}}).to_string()
}

/// The digest of the image of this content, wherever it is put.
#[must_use]
pub fn digest(content: &str) -> ImageDigest {
    format!("sha256:{}", Sha256::of(manifest(content).as_bytes())).parse().unwrap()
}
