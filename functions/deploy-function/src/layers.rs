//! Whether the stage's own layers hold the stored content. CloudFormation makes a layer's version once for each key, and a key
//! doesn't bind the bytes: one that was made from others stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_aws::{layer::content_sha256, pacer::Pacers, stack_functions::Stacks};
use gatekeeper_model::{
    ids::{Sha256, StackName},
    manifest::AssetKind,
};
use gatekeeper_promotion::plan::Plan;

/// The layers of the plan's stacks, by their stack and the logical ids that lead to them, with what each should hold. One
/// resource may take either of two contents, by a condition.
pub(crate) type Layers<'a> = BTreeMap<(&'a StackName, &'a str), BTreeSet<Sha256>>;

/// The plan's layers.
pub(crate) fn of(plan: &Plan) -> Layers<'_> {
    let mut layers = Layers::new();
    for stack in &plan.stacks {
        for layer in stack.assets.iter().filter(|it| it.kind == AssetKind::Layer) {
            let place = (&stack.stack_name, layer.resource.as_str());
            layers.entry(place).or_default().insert(layer.file.sha256);
        }
    }
    layers
}

/// Those that hold something else, each in words.
///
/// # Errors
/// Why it could not be looked at; it may be asked again.
pub(crate) async fn wrong(
    stacks: &Stacks<'_>,
    lambda: &aws_sdk_lambda::Client,
    pacers: &Pacers,
    layers: &Layers<'_>,
) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    for ((stack, resource), wanted) in layers {
        // One that a condition leaves out isn't there, and nothing has it. The functions of a stack that isn't there are
        // told as missing.
        let Some(arn) = stacks.physical_id(stack, resource, "AWS::Lambda::LayerVersion")? else { continue };
        pacers.others.turn().await;
        let there = content_sha256(lambda, arn).await?;
        if !wanted.contains(&there) {
            let wanted: Vec<_> = wanted.iter().map(|it| format!("`{it}`")).collect();
            wrong.push(format!(
                "layer `{resource}` of stack `{stack}` holds the content `{there}`, the plan has {}: it was made from other bytes \
                 under the same key, and CloudFormation sees no change; change the layer, so that it gets another key",
                wanted.join(" or "),
            ));
        }
    }
    Ok(wrong)
}
