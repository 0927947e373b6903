//! The container images that a template names by a tag. A tag is whatever somebody pushed under it, so the stage's registry has
//! to hold the very image that was tested in dev before CloudFormation takes it from there. Nothing is copied here: who may write
//! into a registry may replace what runs, and the gatekeeper is nobody who may.

use std::collections::BTreeMap;

use gatekeeper_aws::{
    failure::{Failure, said},
    registry::{Registry, Tagged},
};
use gatekeeper_promotion::plan::{PlannedImage, PlannedStack};
use gatekeeper_readers::template::ImageAddress;

use crate::stop::Stop;

/// What is wrong with the images of a stack in the stage's registry, each in words.
///
/// # Errors
/// [`Stop`] where it could not be asked.
pub(crate) async fn wrong(
    registry: &Registry,
    stack: &PlannedStack,
    values: &BTreeMap<String, String>,
    region: &str,
) -> Result<Vec<String>, Stop> {
    let mut wrong = Vec::new();
    for image in &stack.images {
        wrong.extend(wrong_with(registry, image, values, region).await?);
    }
    Ok(wrong)
}

async fn wrong_with(
    registry: &Registry,
    image: &PlannedImage,
    values: &BTreeMap<String, String>,
    region: &str,
) -> Result<Option<String>, Stop> {
    let PlannedImage { resource, property, digest, .. } = image;
    let of = format!("the image of `{resource}` (`{property}`)");
    let Some(resolved) = image.image.resolve(values) else {
        return Ok(Some(format!("{of} cannot be told: a parameter in `{}` has no value", image.image)));
    };
    let Some(address) = ImageAddress::parse(&resolved) else {
        return Ok(Some(format!("{of}, `{resolved}`, is no tag of a repository of ECR")));
    };
    if address.region != region {
        return Ok(Some(format!(
            "{of}, `{resolved}`, is in another region than the stage, `{region}`: name the region by `${{AWS::Region}}`"
        )));
    }
    let there = match registry.tagged(&address).await {
        Ok(Some(Tagged::Digest(there))) if there == *digest => None,
        Ok(Some(Tagged::Digest(there))) => Some(format!("under the tag there is `{there}`")),
        Ok(Some(Tagged::NoTag)) => Some("the repository has no such tag".to_owned()),
        Ok(Some(Tagged::NoRepository)) => Some("there is no such repository".to_owned()),
        Ok(None) => Some("ECR does not tell which image is under the tag".to_owned()),
        Err(error) if Failure::of(&error) == Failure::Denied => {
            return Ok(Some(not_allowed(&of, &resolved, "DescribeImages", &said(&error))));
        }
        Err(error) => return Err(Stop::of("RegistryFailed", &format!("DescribeImages of `{resolved}`"), &error)),
    };
    if let Some(there) = there {
        return Ok(Some(format!(
            "{of}, `{resolved}`, is not the tested one in the stage's registry: tested was `{digest}`, and {there}; copy that \
             image there under its tag by what keeps its digest, such as ECR's replication, `crane copy` or `skopeo copy`"
        )));
    }
    if image.is_function {
        return Ok(None);
    }
    // Whoever starts it later takes what is under the tag by then.
    match registry.is_immutable(&address).await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(format!(
            "the tags of the repository of {of}, `{resolved}`, may be moved after the promotion: make them immutable \
             (`imageTagMutability`), or name the image by its digest"
        ))),
        Err(error) if Failure::of(&error) == Failure::Denied => {
            Ok(Some(not_allowed(&of, &resolved, "DescribeRepositories", &said(&error))))
        }
        Err(error) => Err(Stop::of("RegistryFailed", &format!("DescribeRepositories of `{resolved}`"), &error)),
    }
}

fn not_allowed(of: &str, resolved: &str, call: &str, said: &str) -> String {
    format!(
        "{of}, `{resolved}`, was not looked at: the role that promotes to the stage may not `ecr:{call}` there ({said})"
    )
}
