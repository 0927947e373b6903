//! Which container images a stage's stacks run, of those that their templates name by a tag.

use std::collections::BTreeMap;

use anyhow::Context as _;
use gatekeeper_aws::{
    failure::{Failure, said},
    registry::{Registry, Tagged},
    stack_functions::{Listed, resources_of},
};
use gatekeeper_model::{
    ids::{ImageDigest, StackName},
    manifest::{AssetKind, DeployedImage},
};
use gatekeeper_readers::{
    template,
    template::{ImageAddress, TaggedImage},
};
use serde::Serialize;

use super::templates;
use crate::aws::called;

/// An image that a template of the stage names by a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Observed {
    pub(super) stack: StackName,
    pub(super) stack_name: StackName,
    /// The resource that runs it.
    pub(super) logical_id: String,
    /// The property that names it.
    pub(super) property: String,
    /// How it is named.
    pub(super) image: String,
    /// What runs.
    pub(super) digest: Option<ImageDigest>,
    /// Why that can't be told.
    pub(super) problem: Option<String>,
}

impl Observed {
    /// As the manifest tells it; `None` where it can't be told.
    pub(super) fn told(&self) -> Option<DeployedImage> {
        let (stack, logical_id, property) = (self.stack.clone(), self.logical_id.clone(), self.property.clone());
        Some(DeployedImage { stack, logical_id, property, digest: self.digest? })
    }
}

/// The clients of the stage's account.
pub(super) struct Clients<'a> {
    pub(super) cloudformation: &'a aws_sdk_cloudformation::Client,
    pub(super) lambda: &'a aws_sdk_lambda::Client,
    pub(super) registry: Registry,
}

/// Looks at every image that the stacks' live templates, and those nested in them, name by a tag.
pub(super) async fn observe(clients: &Clients<'_>, stacks: &[templates::Observed]) -> anyhow::Result<Vec<Observed>> {
    let mut observed = Vec::new();
    for stack in stacks {
        let Some(own) = stack.template.as_deref().and_then(read) else { continue };
        if own.images.is_empty() && !own.has_nested {
            continue;
        }
        let resources = resources_of(clients.cloudformation, &stack.stack_name).await;
        let resources = called("ListStackResources", resources)
            .with_context(|| format!("the resources of stack `{}` can't be listed", stack.stack_name))?;
        let mut images = own.images;
        for nested in resources.iter().filter(|it| it.kind == "AWS::CloudFormation::Stack") {
            let body = templates::get(clients.cloudformation, &nested.physical_id).await?;
            let inner = body.as_deref().and_then(read).map(|it| it.images).unwrap_or_default();
            let within =
                |it: TaggedImage| TaggedImage { resource: format!("{}/{}", nested.logical_id, it.resource), ..it };
            images.extend(inner.into_iter().map(within));
        }
        let mut values = None;
        for image in images {
            let looked = if image.is_function {
                of_function(clients.lambda, &resources, &image).await?
            } else {
                let values = match &mut values {
                    Some(values) => values,
                    none => none.insert(values_of(clients.cloudformation, &stack.stack_name).await?),
                };
                of_tag(&clients.registry, &image, values).await?
            };
            observed.push(Observed {
                stack: stack.stack.clone(),
                stack_name: stack.stack_name.clone(),
                logical_id: image.resource.clone(),
                property: image.property.clone(),
                image: image.image.to_string(),
                digest: looked.as_ref().ok().copied(),
                problem: looked.err(),
            });
        }
    }
    Ok(observed)
}

/// What of a live template matters here.
struct Read {
    images: Vec<TaggedImage>,
    has_nested: bool,
}

/// Reads a live template; none where it is none that the gate reads, which is said of it as a template.
fn read(body: &str) -> Option<Read> {
    let (_, template) = template::inspect(body.as_bytes(), "");
    template.map(|template| Read {
        has_nested: !template.nested.is_empty() || template.assets.iter().any(|it| it.kind == AssetKind::Template),
        images: template.images,
    })
}

/// What a function runs, or why it can't be told: Lambda keeps the digest that it resolved a tag to.
async fn of_function(
    lambda: &aws_sdk_lambda::Client,
    resources: &[Listed],
    image: &TaggedImage,
) -> anyhow::Result<Result<ImageDigest, String>> {
    let found = resources.iter().find(|it| it.logical_id == image.resource && it.kind == "AWS::Lambda::Function");
    let Some(Listed { physical_id: name, .. }) = found else {
        return Ok(Err("the stack has no such function, so nothing of it was tested".to_owned()));
    };
    let answer = match lambda.get_function().function_name(name).send().await {
        Err(error) if Failure::of(&error) == Failure::Absent => {
            return Ok(Err(format!("its stack names `{name}`, which Lambda does not have")));
        }
        answer => called("GetFunction", answer).with_context(|| format!("`{name}` can't be looked at"))?,
    };
    let resolved = answer.code().and_then(|it| it.resolved_image_uri()).and_then(ImageDigest::of_reference);
    Ok(resolved.ok_or_else(|| format!("Lambda tells no digest of the image of `{name}`")))
}

/// What a tag is, where it can't have been another image before.
async fn of_tag(
    registry: &Registry,
    image: &TaggedImage,
    values: &BTreeMap<String, String>,
) -> anyhow::Result<Result<ImageDigest, String>> {
    let Some(resolved) = image.image.resolve(values) else {
        return Ok(Err("a parameter in it has no value".to_owned()));
    };
    let Some(address) = ImageAddress::parse(&resolved) else {
        return Ok(Err(format!("`{resolved}` is no tag of a repository of ECR")));
    };
    if values.get("AWS::Region") != Some(&address.region) {
        return Ok(Err(format!("`{resolved}` is in the registry of another region: name it by its digest")));
    }
    let failed = |error| anyhow::anyhow!("ECR can't be asked for `{resolved}`: {}", said(&error));
    let tagged = registry.tagged(&address).await.map_err(failed)?;
    let digest = match tagged {
        Some(Tagged::Digest(digest)) => digest,
        Some(Tagged::NoTag) => return Ok(Err(format!("the repository has no tag `{}`", address.tag))),
        Some(Tagged::NoRepository) => return Ok(Err(format!("there is no repository `{}`", address.repository))),
        None => return Ok(Err(format!("ECR tells no digest of `{resolved}`"))),
    };
    if !registry.is_immutable(&address).await.map_err(failed)? {
        return Ok(Err(format!(
            "the tags of repository `{}` may be moved, so which image ran can't be told: make them immutable \
             (`imageTagMutability`), or name the image by its digest",
            address.repository
        )));
    }
    Ok(Ok(digest))
}

/// The values of a stack's parameters and pseudo parameters.
async fn values_of(
    cloudformation: &aws_sdk_cloudformation::Client,
    stack_name: &StackName,
) -> anyhow::Result<BTreeMap<String, String>> {
    let answer = cloudformation.describe_stacks().stack_name(stack_name.as_str()).send().await;
    let answer =
        called("DescribeStacks", answer).with_context(|| format!("stack `{stack_name}` can't be looked at"))?;
    let stack = answer.stacks().first().context("DescribeStacks answered without a stack")?;
    let parameters = stack.parameters().iter();
    let mut values: BTreeMap<String, String> = parameters
        .filter_map(|it| {
            Some((it.parameter_key()?.to_owned(), it.resolved_value().or(it.parameter_value())?.to_owned()))
        })
        .collect();
    let id = stack.stack_id().unwrap_or_default();
    let parts: Vec<_> = id.split(':').collect();
    let ["arn", partition, "cloudformation", region, account, ..] = parts.as_slice() else {
        anyhow::bail!("`{id}` is no stack's ARN");
    };
    let suffix = if *partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    for (name, value) in [
        ("AWS::AccountId", *account),
        ("AWS::Region", region),
        ("AWS::Partition", partition),
        ("AWS::URLSuffix", suffix),
        ("AWS::StackName", stack_name.as_str()),
    ] {
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(values)
}
