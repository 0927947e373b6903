//! What a layer's version holds.

use aws_sdk_lambda::Client;
use gatekeeper_model::ids::Sha256;

use crate::failure::said;

/// The SHA-256 of the content of the layer version with this ARN, which is the SHA-256 of its ZIP.
///
/// # Errors
/// In words, why it can't be told.
pub async fn content_sha256(lambda: &Client, arn: &str) -> Result<Sha256, String> {
    let version = arn.rsplit_once(':').and_then(|(layer, version)| Some((layer, version.parse::<i64>().ok()?)));
    let (layer, version) = version.ok_or_else(|| format!("`{arn}` is no layer version's ARN"))?;
    // `GetLayerVersionByArn` needs the same permission, but not every AWS names it so.
    let answer = lambda.get_layer_version().layer_name(layer).version_number(version).send().await;
    let answer = answer.map_err(|error| format!("GetLayerVersion of `{arn}`: {}", said(&error)))?;
    let digest = answer.content().and_then(|it| it.code_sha256()).and_then(Sha256::from_base64);
    digest.ok_or_else(|| format!("Lambda tells no digest of the content of `{arn}`"))
}
