//! Looks at what is live: the record of a promotion says what runs, not what should.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use aws_config::SdkConfig;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper::{
    ids::{Sha256, StackName},
    promotion::{plan::PlannedFunction, record::LiveFunction},
};

use crate::Plan;

/// `GetFunction` is allowed 100 times a second, the rest of Lambda's control plane 15: stay well below.
const LOOKS_IN_FLIGHT: usize = 8;

/// The live code of every function that the plan names.
pub(crate) async fn look(config: &SdkConfig, plan: &Plan) -> anyhow::Result<Vec<LiveFunction>> {
    let cloudformation = aws_sdk_cloudformation::Client::new(config);
    let lambda = aws_sdk_lambda::Client::new(config);
    let stacks: BTreeSet<_> = plan.functions.iter().map(|function| &function.stack_name).collect();
    let names: BTreeMap<_, _> = stream::iter(stacks)
        .map(|stack| function_names(&cloudformation, stack))
        .buffer_unordered(LOOKS_IN_FLIGHT)
        .try_collect::<Vec<_>>()
        .await?
        .into_iter()
        .flatten()
        .collect();
    let (lambda, names) = (&lambda, &names);
    stream::iter(&plan.functions)
        .map(|function| async move {
            let name = names.get(&(function.stack_name.clone(), function.logical_id.clone()));
            live(lambda, function, name).await
        })
        .buffered(LOOKS_IN_FLIGHT)
        .try_collect()
        .await
}

/// The physical name of every resource of a stack, by its logical id; nothing where there is no such stack.
async fn function_names(
    cloudformation: &aws_sdk_cloudformation::Client,
    stack: &StackName,
) -> anyhow::Result<Vec<((StackName, String), String)>> {
    let mut pages = cloudformation.list_stack_resources().stack_name(stack.as_str()).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(resource) = pages.next().await {
        let resource = match resource {
            Ok(resource) => resource,
            // CloudFormation says `ValidationError` for a stack that doesn't exist.
            Err(error) if error.as_service_error().is_some_and(|it| it.meta().code() == Some("ValidationError")) => {
                break;
            }
            Err(error) => return Err(error).with_context(|| format!("stack `{stack}` could not be looked at")),
        };
        if let (Some(logical), Some(physical)) = (resource.logical_resource_id(), resource.physical_resource_id()) {
            names.push(((stack.clone(), logical.to_owned()), physical.to_owned()));
        }
    }
    Ok(names)
}

async fn live(
    lambda: &aws_sdk_lambda::Client,
    function: &PlannedFunction,
    name: Option<&String>,
) -> anyhow::Result<LiveFunction> {
    let mut live = LiveFunction {
        function: function.function.to_string(),
        function_name: name.cloned(),
        code_sha256: None,
        is_promoted_code: false,
    };
    let Some(name) = name else { return Ok(live) };
    match lambda.get_function().function_name(name).send().await {
        Ok(answer) => {
            let code = answer.configuration().and_then(|it| it.code_sha256());
            live.code_sha256 = code.and_then(Sha256::from_base64);
            live.is_promoted_code = live.code_sha256 == Some(function.bundle.sha256);
            Ok(live)
        }
        Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => Ok(live),
        Err(error) => Err(error).with_context(|| format!("function `{name}` could not be looked at")),
    }
}
