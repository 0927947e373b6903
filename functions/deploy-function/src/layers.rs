//! Whether the stage's own layers hold the stored content. CloudFormation makes a layer's version once for each key, and a key
//! doesn't bind the bytes: one that was made from others stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::Client;
use gatekeeper_aws::{
    failure::{Failure, said},
    layer::content_sha256,
    pacer::Pacers,
    stack_functions::resources_of,
};
use gatekeeper_model::{ids::Sha256, manifest::AssetKind};
use gatekeeper_promotion::plan::Plan;

/// The layers of the plan's stacks that hold something else, each in words.
///
/// # Errors
/// Why it could not be looked at; it may be asked again.
pub(crate) async fn wrong(
    cloudformation: &Client,
    lambda: &aws_sdk_lambda::Client,
    pacers: &Pacers,
    plan: &Plan,
) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    for stack in &plan.stacks {
        // One resource may take either of two contents, by a condition.
        let mut wanted: BTreeMap<&str, BTreeSet<Sha256>> = BTreeMap::new();
        for layer in stack.assets.iter().filter(|it| it.kind == AssetKind::Layer) {
            wanted.entry(layer.resource.as_str()).or_default().insert(layer.file.sha256);
        }
        if wanted.is_empty() {
            continue;
        }
        let resources = match resources_of(cloudformation, &stack.stack_name).await {
            Ok(resources) => resources,
            // Its functions are told as missing.
            Err(error) if Failure::of(&error) == Failure::Absent => continue,
            Err(error) => return Err(format!("ListStackResources of `{}`: {}", stack.stack_name, said(&error))),
        };
        // One that a condition leaves out isn't there, and nothing has it.
        for layer in resources.iter().filter(|it| it.kind == "AWS::Lambda::LayerVersion") {
            let Some(wanted) = wanted.get(layer.logical_id.as_str()) else { continue };
            pacers.others.turn().await;
            let there = content_sha256(lambda, &layer.physical_id).await?;
            if !wanted.contains(&there) {
                let wanted: Vec<_> = wanted.iter().map(|it| format!("`{it}`")).collect();
                wrong.push(format!(
                    "layer `{}` of stack `{}` holds the content `{there}`, the plan has {}: it was made from other bytes under \
                     the same key, and CloudFormation sees no change; change the layer, so that it gets another key",
                    layer.logical_id,
                    stack.stack_name,
                    wanted.join(" or "),
                ));
            }
        }
    }
    Ok(wrong)
}
