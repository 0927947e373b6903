//! The functions behind a commit's bundles, by the resources of the stage's stacks (CONTRACT §6).

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use aws_config::retry::RetryConfig;
use aws_sdk_cloudformation::{
    Client, config::Builder, error::SdkError, operation::list_stack_resources::ListStackResourcesError,
    types::ResourceStatus,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::ids::{FunctionName, StackName};
use gatekeeper_promotion::plan::PlannedFunction;

use crate::failure::{Failure, is_final_of_stack, said};

/// Stacks that are looked at at once: CloudFormation's quotas of reading calls are low and not published.
const STACKS_IN_FLIGHT: usize = 4;

/// A client of CloudFormation for calls that only look: throttling is waited for, 8 attempts with up to 20 s between.
#[must_use]
pub fn looking_client(config: &aws_config::SdkConfig) -> Client {
    Client::from_conf(Builder::from(config).retry_config(RetryConfig::standard().with_max_attempts(8)).build())
}

/// A resource of a stack: its type and its physical id.
pub type Resource = (String, String);

/// The most levels of stacks in stacks that are listed.
const MAX_NESTING: usize = 8;

/// A resource of a stack or of one that is nested in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The logical ids that lead to it, with slashes between.
    pub logical_id: String,
    /// Its type.
    pub kind: String,
    /// Its physical id.
    pub physical_id: String,
}

/// Every resource of a stack and of those that are nested in it.
///
/// # Errors
/// Where one of them could not be listed, or isn't there.
pub async fn resources_of(
    client: &Client,
    stack: &StackName,
) -> Result<Vec<Listed>, SdkError<ListStackResourcesError>> {
    let mut found = Vec::new();
    let mut to_list = vec![(String::new(), stack.to_string())];
    for _ in 0..MAX_NESTING {
        let mut inner = Vec::new();
        for (prefix, stack) in to_list {
            for (id, (kind, physical_id)) in list(client, &stack).await? {
                let logical_id = format!("{prefix}{id}");
                if kind == "AWS::CloudFormation::Stack" {
                    inner.push((format!("{logical_id}/"), physical_id.clone()));
                }
                found.push(Listed { logical_id, kind, physical_id });
            }
        }
        to_list = inner;
    }
    Ok(found)
}

/// Why a bundle's function has no name in the stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFunction {
    /// Its stack was looked at, and has none.
    #[error("{0}")]
    Absent(String),
    /// Its stack could not be looked at: whether it has one is not known.
    #[error("{0}")]
    Unread(String),
}

/// The name in the stage of each bundle's function.
pub type Names = BTreeMap<FunctionName, Result<String, NoFunction>>;

/// A stack's resources by their logical ids, or why it has none.
type Resources = Result<BTreeMap<String, Resource>, NoFunction>;

/// Stacks and those that are nested in them, as one look found them.
#[derive(Debug)]
pub struct Stacks<'a>(BTreeMap<&'a StackName, Resources>);

impl<'a> Stacks<'a> {
    /// Lists the stacks of some resources, each with the logical ids that lead to it and slashes between. Each stack is
    /// listed once.
    ///
    /// # Errors
    /// Where a stack could not be looked at and asking again may help.
    pub async fn list(
        client: &Client,
        resources: impl IntoIterator<Item = (&'a StackName, &'a str)>,
    ) -> Result<Self, SdkError<ListStackResourcesError>> {
        stream::iter(listed(resources))
            .map(|(stack, nested)| async move { whole(client, stack, &nested).await.map(|found| (stack, found)) })
            .buffer_unordered(STACKS_IN_FLIGHT)
            .try_collect()
            .await
            .map(Self)
    }

    /// The same for who tells of each resource for itself: a stack that could not be looked at, for whatever reason, keeps no
    /// other from being looked at.
    pub async fn list_each(client: &Client, resources: impl IntoIterator<Item = (&'a StackName, &'a str)>) -> Self {
        let stacks = stream::iter(listed(resources)).map(|(stack, nested)| async move {
            let resources = whole(client, stack, &nested).await.unwrap_or_else(|error| {
                Err(NoFunction::Unread(format!("stack `{stack}` could not be looked at: {}", said(&error))))
            });
            (stack, resources)
        });
        Self(stacks.buffer_unordered(STACKS_IN_FLIGHT).collect().await)
    }

    /// The physical id of a resource of this type; `None` where the stack or such a resource isn't there.
    ///
    /// # Errors
    /// In words, where the stack could not be looked at.
    pub fn physical_id(&self, stack: &StackName, logical_id: &str, kind: &str) -> Result<Option<&str>, String> {
        match self.0.get(stack) {
            None => Err(format!("stack `{stack}` was not looked at")),
            Some(Err(NoFunction::Absent(_))) => Ok(None),
            Some(Err(NoFunction::Unread(why))) => Err(why.clone()),
            Some(Ok(resources)) => {
                Ok(resources.get(logical_id).filter(|(found, _)| found == kind).map(|(_, id)| id.as_str()))
            }
        }
    }

    /// The name in the stage of each bundle's function, or in words why there is none.
    #[must_use]
    pub fn names(&self, functions: &[&PlannedFunction]) -> Names {
        names(functions, &self.0)
    }
}

/// The name in the stage of each bundle's function, or in words why there is none. Each stack is listed once.
///
/// # Errors
/// Where a stack could not be looked at and asking again may help.
pub async fn find(client: &Client, functions: &[&PlannedFunction]) -> Result<Names, SdkError<ListStackResourcesError>> {
    Ok(Stacks::list(client, functions.iter().map(|it| place(it))).await?.names(functions))
}

fn names(functions: &[&PlannedFunction], stacks: &BTreeMap<&StackName, Resources>) -> Names {
    let found = functions.iter().map(|planned| {
        let PlannedFunction { stack_name, logical_id, function, .. } = planned;
        let name = match stacks.get(stack_name) {
            None => Err(NoFunction::Unread(format!("stack `{stack_name}` was not looked at"))),
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(resources)) => match resources.get(logical_id) {
                None => Err(NoFunction::Absent(format!(
                    "stack `{stack_name}` has no resource `{logical_id}`: the manifest's `logical_id` of `{function}` \
                     must be that of a function in its template"
                ))),
                Some((kind, _)) if kind != "AWS::Lambda::Function" => Err(NoFunction::Absent(format!(
                    "`{logical_id}` of stack `{stack_name}` is an `{kind}`, not an `AWS::Lambda::Function`"
                ))),
                Some((_, name)) => Ok(name.clone()),
            },
        };
        (function.clone(), name)
    });
    found.collect()
}

/// Where a function is: its stack, and the logical ids that lead to it.
#[must_use]
pub fn place(planned: &PlannedFunction) -> (&StackName, &str) {
    (&planned.stack_name, &planned.logical_id)
}

/// The stacks of some resources, each with the nested stacks that they are in, outer ones first.
fn listed<'a>(
    resources: impl IntoIterator<Item = (&'a StackName, &'a str)>,
) -> BTreeMap<&'a StackName, BTreeSet<&'a str>> {
    let mut stacks: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (stack_name, logical_id) in resources {
        let nested = stacks.entry(stack_name).or_default();
        nested.extend(logical_id.match_indices('/').filter_map(|(at, _)| logical_id.get(..at)));
    }
    stacks
}

/// The resources of a stack and of its nested stacks, by the logical ids that lead to each.
async fn whole(
    client: &Client,
    stack: &StackName,
    nested: &BTreeSet<&str>,
) -> Result<Resources, SdkError<ListStackResourcesError>> {
    let mut found = match resources(client, stack.as_str()).await? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    for path in nested {
        // What is no nested stack has nothing in it, and is told where a function in it is looked for.
        let Some((_, id)) = found.get(*path).filter(|(kind, _)| kind == "AWS::CloudFormation::Stack") else { continue };
        match resources(client, id).await? {
            Ok(inner) => found.extend(inner.into_iter().map(|(id, it)| (format!("{path}/{id}"), it))),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(found))
}

/// A stack's resources, or why it hasn't any or they are not ours to see.
async fn resources(client: &Client, stack: &str) -> Result<Resources, SdkError<ListStackResourcesError>> {
    match list(client, stack).await {
        Ok(resources) => Ok(Ok(resources)),
        Err(error) if Failure::of(&error) == Failure::Absent => {
            Ok(Err(NoFunction::Absent(format!("there is no stack `{stack}`: {}", said(&error)))))
        }
        Err(error) if is_final_of_stack(&error) => {
            Ok(Err(NoFunction::Unread(format!("stack `{stack}` can't be looked at: {}", said(&error)))))
        }
        Err(error) => Err(error),
    }
}

/// The ids of nested stacks by the logical ids that lead to each, those of outer ones among `paths` before those in them.
/// Each stack is listed once; one that a condition leaves out has none.
///
/// # Errors
/// Where a stack could not be listed, or isn't there.
pub async fn nested_ids<'p>(
    client: &Client,
    stack: &StackName,
    paths: impl IntoIterator<Item = &'p str>,
) -> Result<BTreeMap<&'p str, String>, SdkError<ListStackResourcesError>> {
    let mut ids = BTreeMap::from([("", stack.to_string())]);
    let mut listed = BTreeMap::new();
    for path in paths {
        let (outer, logical_id) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(id) = ids.get(outer) else { continue };
        let resources = match listed.entry(outer) {
            Entry::Occupied(resources) => resources.into_mut(),
            Entry::Vacant(free) => free.insert(list(client, id).await?),
        };
        if let Some((_, id)) = resources.get(logical_id) {
            ids.insert(path, id.clone());
        }
    }
    ids.remove("");
    Ok(ids)
}

/// A stack's resources by their logical ids.
///
/// # Errors
/// Where it could not be listed, or isn't there.
pub async fn list(
    client: &Client,
    stack: &str,
) -> Result<BTreeMap<String, Resource>, SdkError<ListStackResourcesError>> {
    let mut pages = client.list_stack_resources().stack_name(stack).into_paginator().items().send();
    let mut resources = BTreeMap::new();
    while let Some(resource) = pages.next().await.transpose()? {
        if resource.resource_status() == Some(&ResourceStatus::DeleteComplete) {
            continue;
        }
        if let (Some(logical), Some(kind), Some(physical)) =
            (resource.logical_resource_id(), resource.resource_type(), resource.physical_resource_id())
        {
            resources.insert(logical.to_owned(), (kind.to_owned(), physical.to_owned()));
        }
    }
    Ok(resources)
}
