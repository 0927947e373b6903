//! What a change set does, as CloudFormation tells it: every page, and what is in nested stacks.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::{
    Client,
    types::{
        ChangeAction, ChangeSetStatus, ChangeSource, EvaluationType, PolicyAction, Replacement, RequiresRecreation,
        ResourceAttribute, ResourceChange, ResourceChangeDetail, ResourceTargetDefinition,
    },
};
use gatekeeper_aws::lambda::FunctionError;
use gatekeeper_promotion::replacement::{Action, By, Cause, Change, NESTED_STACK, Old};

use crate::{decide::has_no_changes, stop::Stop};

const CLOUDFORMATION: &str = "CloudFormationFailed";

/// How deep stacks may nest: AWS knows no limit, and nobody needs as many.
const MAX_DEPTH: usize = 10;

/// Reads what a change set does, with the change sets of nested stacks that belong to it.
///
/// # Errors
/// [`Stop`] where CloudFormation doesn't tell all of it: nothing is concluded from the rest.
pub async fn read(cloudformation: &Client, stack: &str, change_set: &str) -> Result<Vec<Change>, Stop> {
    let mut found = Vec::new();
    of_change_set(cloudformation, stack, change_set, &[], &mut found).await?;
    Ok(found)
}

/// Adds what a change set does; `inside` are the logical ids of the nested stacks that it is of.
async fn of_change_set(
    cloudformation: &Client,
    stack: &str,
    change_set: &str,
    inside: &[String],
    found: &mut Vec<Change>,
) -> Result<Fit, Stop> {
    // The right to ask is one on the stack, which the ARN of a change set doesn't name.
    let ask = cloudformation.describe_change_set().stack_name(stack).change_set_name(change_set);
    let mut pages = ask.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Stop::of(CLOUDFORMATION, "DescribeChangeSet", &error))?;
        if page.status == Some(ChangeSetStatus::Failed) && !has_no_changes(page.status_reason().unwrap_or_default()) {
            return Ok(Fit::Failed);
        }
        for change in page.changes() {
            let change = change.resource_change().ok_or_else(|| untold("a change's resource"))?;
            let told = told(change, inside)?;
            if told.r#type == NESTED_STACK {
                Box::pin(of_nested_stack(cloudformation, told, change.change_set_id(), found)).await?;
            } else {
                found.push(told);
            }
        }
    }
    Ok(Fit::Whole)
}

/// Whether a change set tells what it does.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    Whole,
    Failed,
}

/// Adds what is done to the resources of a nested stack.
async fn of_nested_stack(
    cloudformation: &Client,
    nested: Change,
    change_set: Option<&str>,
    found: &mut Vec<Change>,
) -> Result<(), Stop> {
    if nested.ids.len() > MAX_DEPTH {
        return Err(Stop::Failed(format!("stacks nest more than {MAX_DEPTH} deep at `{}`", nested.ids.join("/"))));
    }
    // All that is in it is made with it, and taken away with it.
    if nested.action == Action::Add {
        found.push(nested);
        return Ok(());
    }
    let stack = nested.physical_id.as_deref().ok_or_else(|| untold("a nested stack's name"))?;
    let action = match (&nested.action, change_set) {
        (Action::Remove, _) => Action::Remove,
        (_, Some(change_set)) => match of_change_set(cloudformation, stack, change_set, &nested.ids, found).await? {
            Fit::Whole => return Ok(()),
            Fit::Failed => Action::Untold("the change set of its nested stack failed".to_owned()),
        },
        (Action::Untold(why), None) => Action::Untold(why.clone()),
        (_, None) => Action::Untold("CloudFormation does not tell what it does to its nested stack".to_owned()),
    };
    // Of what stands in a stack that is retained all is kept; else each resource's own policy holds.
    let old = if nested.old == Old::Retained { Old::Retained } else { Old::Untold };
    of_contents(cloudformation, stack, &nested.ids, &action, old, found).await
}

/// Adds the same action on all that a stack holds.
async fn of_contents(
    cloudformation: &Client,
    stack: &str,
    inside: &[String],
    action: &Action,
    old: Old,
    found: &mut Vec<Change>,
) -> Result<(), Stop> {
    let mut pages = cloudformation.list_stack_resources().stack_name(stack).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Stop::of(CLOUDFORMATION, "ListStackResources", &error))?;
        for resource in page.stack_resource_summaries() {
            let (Some(id), Some(r#type)) = (resource.logical_resource_id(), resource.resource_type()) else {
                return Err(untold("a resource's id and type"));
            };
            if resource.resource_status().is_some_and(|status| status.as_str() == "DELETE_COMPLETE") {
                continue;
            }
            let ids = [inside, &[id.to_owned()]].concat();
            let physical_id = resource.physical_resource_id().map(str::to_owned);
            match &physical_id {
                Some(nested) if r#type == NESTED_STACK && ids.len() <= MAX_DEPTH => {
                    Box::pin(of_contents(cloudformation, nested, &ids, action, old, found)).await?;
                }
                _ => found.push(Change { ids, r#type: r#type.to_owned(), physical_id, action: action.clone(), old }),
            }
        }
    }
    Ok(())
}

/// One change, as CloudFormation tells it (API reference, `ResourceChange`).
fn told(change: &ResourceChange, inside: &[String]) -> Result<Change, Stop> {
    let (Some(id), Some(r#type)) = (change.logical_resource_id(), change.resource_type()) else {
        return Err(untold("a change's logical id and type"));
    };
    let action = match change.action() {
        Some(ChangeAction::Add) => Action::Add,
        Some(ChangeAction::Remove) => Action::Remove,
        Some(ChangeAction::Import) => Action::Import,
        Some(ChangeAction::SyncWithActual) => Action::Modify { causes: Vec::new() },
        Some(ChangeAction::Modify) => modification(change),
        Some(other) => Action::Untold(format!("CloudFormation says only that its action is `{}`", other.as_str())),
        None => Action::Untold("CloudFormation does not say what it does".to_owned()),
    };
    let old = match change.policy_action() {
        Some(PolicyAction::Delete | PolicyAction::ReplaceAndDelete) => Old::Deleted,
        Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain) => Old::Retained,
        Some(PolicyAction::Snapshot | PolicyAction::ReplaceAndSnapshot) => Old::Snapshot,
        _ => Old::Untold,
    };
    let physical_id = change.physical_resource_id().map(str::to_owned);
    Ok(Change { ids: [inside, &[id.to_owned()]].concat(), r#type: r#type.to_owned(), physical_id, action, old })
}

/// Whether a modification is in place.
fn modification(change: &ResourceChange) -> Action {
    let causes = causes(change, needs_another);
    let stays = || Action::Modify { causes: self::causes(change, |_| true) };
    match (change.replacement(), change.policy_action()) {
        (Some(Replacement::True), _)
        | (
            _,
            Some(PolicyAction::ReplaceAndDelete | PolicyAction::ReplaceAndRetain | PolicyAction::ReplaceAndSnapshot),
        ) => Action::Replace { certainly: true, causes },
        (Some(Replacement::False), _) => stays(),
        (None, _) if causes.is_empty() => stays(),
        (Some(Replacement::Conditional) | None, _) => Action::Replace { certainly: false, causes },
        (Some(other), _) => Action::Untold(format!("CloudFormation says that its replacement is `{}`", other.as_str())),
    }
}

/// What those details change that are `of_interest`.
fn causes(change: &ResourceChange, of_interest: fn(&ResourceChangeDetail) -> bool) -> Vec<Cause> {
    let told: Vec<_> = change.details().iter().filter(|it| of_interest(it)).filter_map(cause).collect();
    // What a reference changes is told a second time as a modification that only the execution evaluates.
    let by_reference: BTreeSet<_> =
        told.iter().filter(|(it, _)| it.entity.is_some()).map(|(it, _)| it.property.clone()).collect();
    let is_shadow = |it: &Cause, is_dynamic| is_dynamic && it.by == By::Template && by_reference.contains(&it.property);
    let causes: BTreeSet<_> =
        told.into_iter().filter(|(it, is_dynamic)| !is_shadow(it, *is_dynamic)).map(|(it, _)| it).collect();
    causes.into_iter().collect()
}

/// Whether a detail needs or may need another resource.
fn needs_another(detail: &ResourceChangeDetail) -> bool {
    let recreation = detail.target().and_then(ResourceTargetDefinition::requires_recreation);
    recreation.is_some_and(|it| *it != RequiresRecreation::Never)
}

/// What a detail changes, and whether only the execution evaluates it.
fn cause(detail: &ResourceChangeDetail) -> Option<(Cause, bool)> {
    let target = detail.target()?;
    let attribute = target.attribute().map(ResourceAttribute::as_str);
    let property = target.name().or(attribute)?.to_owned();
    let by = match detail.change_source() {
        Some(ChangeSource::DirectModification) => By::Template,
        Some(ChangeSource::ParameterReference) => By::Parameter,
        Some(ChangeSource::ResourceReference | ChangeSource::ResourceAttribute) => By::Resource,
        Some(ChangeSource::Automatic) => By::Automatic,
        _ => By::Untold,
    };
    let is_dynamic = detail.evaluation() == Some(&EvaluationType::Dynamic);
    Some((Cause { property, by, entity: detail.causing_entity().map(str::to_owned) }, is_dynamic))
}

fn untold(what: &str) -> Stop {
    Stop::Error(FunctionError::new(CLOUDFORMATION, format!("CloudFormation tells of a change set without {what}")))
}
