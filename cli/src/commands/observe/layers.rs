//! Which layers of their own a stage's stacks have, held against those of a build.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{failure::Failure, layer::content_sha256, stack_functions::resources_of};
use gatekeeper_model::{
    ids::{AssetKey, Sha256, StackName},
    manifest::{AssetKind, DeployedLayer, Module},
};
use serde::Serialize;

use super::LOOKS_IN_FLIGHT;
use crate::{aws::called, exit::Misuse};

/// A layer of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Observed {
    pub(super) stack: StackName,
    pub(super) stack_name: StackName,
    /// The key that the stack's template names it by.
    pub(super) key: AssetKey,
    /// The digest of its content in the build.
    pub(super) stored: Sha256,
    /// Whether the stack has a layer of that content.
    pub(super) equal: bool,
    /// Why it hasn't.
    pub(super) problem: Option<String>,
}

/// Looks at the layers of every stack that has one in the build: each of these, and what the stacks have.
pub(super) async fn observe(
    cloudformation: &aws_sdk_cloudformation::Client,
    lambda: &aws_sdk_lambda::Client,
    modules: &[Module],
    name_of: impl Fn(&StackName) -> Result<StackName, Misuse>,
) -> anyhow::Result<(Vec<Observed>, Vec<DeployedLayer>)> {
    let assets: Vec<_> = modules.iter().flat_map(|module| &module.assets).collect();
    let stored: Vec<_> = assets.into_iter().filter(|asset| asset.kind == AssetKind::Layer).collect();
    let mut live: BTreeMap<&StackName, Option<BTreeSet<Sha256>>> = BTreeMap::new();
    for layer in &stored {
        if !live.contains_key(&layer.stack) {
            let found = find(cloudformation, lambda, &name_of(&layer.stack)?).await?;
            live.insert(&layer.stack, found);
        }
    }
    let mut observed = Vec::new();
    for layer in stored {
        let stack_name = name_of(&layer.stack)?;
        let problem = match live.get(&layer.stack).and_then(Option::as_ref) {
            None => Some(format!("the stage has no stack `{stack_name}`")),
            Some(there) if there.is_empty() => Some(format!("stack `{stack_name}` has no layer")),
            Some(there) if there.contains(&layer.sha256) => None,
            Some(there) => {
                let there: Vec<_> = there.iter().map(|it| format!("`{it}`")).collect();
                Some(format!("the layers of stack `{stack_name}` are {}", there.join(" and ")))
            }
        };
        observed.push(Observed {
            stack: layer.stack.clone(),
            stack_name,
            key: layer.key.clone(),
            stored: layer.sha256,
            equal: problem.is_none(),
            problem,
        });
    }
    let told = live.into_iter().flat_map(|(stack, found)| {
        let layer = |code_sha256| DeployedLayer { stack: stack.clone(), code_sha256 };
        found.into_iter().flatten().map(layer).collect::<Vec<_>>()
    });
    Ok((observed, told.collect()))
}

/// The digests of the layers that a stack and those nested in it have; `None` where there is no such stack.
async fn find(
    cloudformation: &aws_sdk_cloudformation::Client,
    lambda: &aws_sdk_lambda::Client,
    stack_name: &StackName,
) -> anyhow::Result<Option<BTreeSet<Sha256>>> {
    let resources = match resources_of(cloudformation, stack_name).await {
        Err(error) if Failure::of(&error) == Failure::Absent => return Ok(None),
        answer => called("ListStackResources", answer)
            .with_context(|| format!("the resources of stack `{stack_name}` can't be listed"))?,
    };
    let arns = resources.into_iter().filter(|it| it.kind == "AWS::Lambda::LayerVersion").map(|it| it.physical_id);
    let digests = arns.map(|arn| async move { content_sha256(lambda, &arn).await.map_err(anyhow::Error::msg) });
    Ok(Some(stream::iter(digests).buffer_unordered(LOOKS_IN_FLIGHT).try_collect().await?))
}
