//! Looks at what is live: the record of a promotion says what runs, not what should.

use anyhow::Context as _;
use aws_config::SdkConfig;
use aws_sdk_lambda::{Client, operation::get_function::GetFunctionError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper::{
    aws::stack_functions::{find, looking_client},
    ids::Sha256,
    promotion::{
        plan::{Plan, PlannedFunction},
        record::LiveFunction,
    },
};

/// `GetFunction` is allowed 100 times a second, the rest of Lambda's control plane 15: stay well below.
const LOOKS_IN_FLIGHT: usize = 8;

/// The live code of every function that the plan names.
pub(crate) async fn look(config: &SdkConfig, plan: &Plan) -> anyhow::Result<Vec<LiveFunction>> {
    let functions: Vec<_> = plan.functions.iter().collect();
    let names = find(&looking_client(config), &functions).await.context("the stacks could not be looked at")?;
    let (lambda, names) = (&Client::new(config), &names);
    stream::iter(functions)
        .map(|function| async move {
            let name = names.get(&function.function).and_then(|name| name.as_ref().ok());
            live(lambda, function, name).await
        })
        .buffered(LOOKS_IN_FLIGHT)
        .try_collect()
        .await
}

async fn live(lambda: &Client, function: &PlannedFunction, name: Option<&String>) -> anyhow::Result<LiveFunction> {
    let mut live = LiveFunction {
        function: function.function.to_string(),
        function_name: name.cloned(),
        code_sha256: None,
        is_promoted_code: false,
    };
    let Some(name) = name else { return Ok(live) };
    match lambda.get_function().function_name(name).send().await {
        Ok(answer) => {
            let code = answer.configuration().and_then(|configuration| configuration.code_sha256());
            live.code_sha256 = code.and_then(Sha256::from_base64);
            live.is_promoted_code = live.code_sha256 == Some(function.bundle.sha256);
            Ok(live)
        }
        Err(error) if error.as_service_error().is_some_and(GetFunctionError::is_resource_not_found_exception) => {
            Ok(live)
        }
        Err(error) => Err(error).with_context(|| format!("function `{name}` could not be looked at")),
    }
}
