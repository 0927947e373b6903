//! What a registry of ECR has under a tag, asked without the SDK's crate of it: two calls would bring all its types.

use aws_config::SdkConfig;
use gatekeeper_model::ids::ImageDigest;
use gatekeeper_readers::template::ImageAddress;
use serde_json::{Value, json};

use crate::{
    failure::code,
    json_operation::{JsonError, JsonOperation, Service},
};

/// Elastic Container Registry.
pub const ECR: Service = Service {
    id: "ECR",
    host: "api.ecr",
    signing_name: "ecr",
    target: "AmazonEC2ContainerRegistry_V20150921",
    json: "1.1",
};

/// ECR in the region of a configuration.
#[derive(Debug)]
pub struct Registry {
    describe_images: JsonOperation,
    describe_repositories: JsonOperation,
}

/// What is under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// This image.
    Digest(ImageDigest),
    /// The repository has no such tag.
    NoTag,
    /// There is no such repository.
    NoRepository,
}

impl Registry {
    /// With the rights of this configuration.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            describe_images: JsonOperation::new(config, ECR, "DescribeImages"),
            describe_repositories: JsonOperation::new(config, ECR, "DescribeRepositories"),
        }
    }

    /// The image that a tag is. `None` where ECR's answer does not tell.
    ///
    /// # Errors
    /// [`JsonError`] where ECR could not be asked.
    pub async fn tagged(&self, image: &ImageAddress) -> Result<Option<Tagged>, JsonError> {
        let input = json!({
            "registryId": image.account, "repositoryName": image.repository, "imageIds": [{"imageTag": image.tag}],
        });
        match self.describe_images.call(&input).await {
            Ok(answer) => Ok(digest(&answer).map(Tagged::Digest)),
            Err(error) => match code(&error) {
                Some("ImageNotFoundException") => Ok(Some(Tagged::NoTag)),
                Some("RepositoryNotFoundException") => Ok(Some(Tagged::NoRepository)),
                _ => Err(error),
            },
        }
    }

    /// Whether no tag of the repository can become another image, any of them; not where ECR does not say so.
    ///
    /// # Errors
    /// [`JsonError`] where ECR could not be asked, or has no such repository.
    pub async fn is_immutable(&self, image: &ImageAddress) -> Result<bool, JsonError> {
        let input = json!({"registryId": image.account, "repositoryNames": [image.repository]});
        let answer = self.describe_repositories.call(&input).await?;
        Ok(answer.pointer("/repositories/0/imageTagMutability").and_then(Value::as_str) == Some("IMMUTABLE"))
    }
}

/// The digest of the one image that was asked for.
fn digest(answer: &Value) -> Option<ImageDigest> {
    match answer.get("imageDetails")?.as_array()?.as_slice() {
        [image] => image.get("imageDigest")?.as_str()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Answer, Request, config};

    fn image() -> ImageAddress {
        ImageAddress::parse("111122223333.dkr.ecr.eu-west-1.amazonaws.com/bank/pay:v1").unwrap()
    }

    async fn tagged(answer: Answer) -> Option<Tagged> {
        let asked = move |request: Request| {
            assert_eq!(request.headers["x-amz-target"], "AmazonEC2ContainerRegistry_V20150921.DescribeImages");
            let sent: Value = serde_json::from_str(&request.body).unwrap();
            let ids = json!([{"imageTag": "v1"}]);
            let wanted = json!({"registryId": "111122223333", "repositoryName": "bank/pay", "imageIds": ids});
            assert_eq!(sent, wanted);
            answer.clone()
        };
        Registry::new(&config(asked)).tagged(&image()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_is_an_image_or_nothing_and_an_odd_answer_tells_neither() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        let one = json!({"imageDigest": digest, "imageTags": ["v1"]});
        let found = tagged(Answer::json(&json!({"imageDetails": [one]}))).await;
        assert_eq!(found, Some(Tagged::Digest(digest.parse().unwrap())));
        for odd in
            [json!({}), json!({"imageDetails": []}), json!({"imageDetails": [one, one]}), json!({"imageDetails": [{}]})]
        {
            assert_eq!(tagged(Answer::json(&odd)).await, None, "{odd}");
        }
        let absent = |code| Answer::error(400, code, "not there");
        assert_eq!(tagged(absent("ImageNotFoundException")).await, Some(Tagged::NoTag));
        assert_eq!(tagged(absent("RepositoryNotFoundException")).await, Some(Tagged::NoRepository));
        let denied =
            Registry::new(&config(|_| Answer::error(400, "AccessDeniedException", "no"))).tagged(&image()).await;
        assert!(denied.is_err());
    }

    #[tokio::test]
    async fn only_a_repository_whose_tags_all_stay_is_immutable() {
        let is_immutable = async |told: Value| {
            let answer = json!({"repositories": [{"imageTagMutability": told}]});
            Registry::new(&config(move |_| Answer::json(&answer))).is_immutable(&image()).await.unwrap()
        };
        assert!(is_immutable(json!("IMMUTABLE")).await);
        for told in [json!("MUTABLE"), json!("IMMUTABLE_WITH_EXCLUSION"), json!(null)] {
            assert!(!is_immutable(told.clone()).await, "{told}");
        }
    }
}
