//! What is live: the functions of a plan as Lambda has them now, looked at rather than concluded.

use aws_config::SdkConfig;
use aws_sdk_cloudformation::{error::SdkError, operation::list_stack_resources::ListStackResourcesError};
use aws_sdk_lambda::{Client, operation::get_function::GetFunctionError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::stack_functions::{find, looking_client};
use crate::{
    ids::Sha256,
    promotion::{
        plan::{Plan, PlannedFunction},
        record::LiveFunction,
    },
};

/// `GetFunction` is allowed 100 times a second, the rest of Lambda's control plane 15: stay well below.
const LOOKS_IN_FLIGHT: usize = 8;

/// Why it can't be told what is live; asking again may help.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// CloudFormation didn't say which functions the stacks have.
    #[error("the stacks could not be looked at")]
    Stacks(#[from] Box<SdkError<ListStackResourcesError>>),
    /// Lambda didn't say what a function is.
    #[error("function `{name}` could not be looked at")]
    Function {
        /// Its name in the stage.
        name: String,
        /// What Lambda said.
        #[source]
        source: Box<SdkError<GetFunctionError>>,
    },
}

/// The live code of every function that the plan names, in its order.
///
/// # Errors
/// [`LiveError`] where AWS didn't tell. A function or stack that isn't there is no error.
pub async fn look(config: &SdkConfig, plan: &Plan) -> Result<Vec<LiveFunction>, LiveError> {
    let functions: Vec<_> = plan.functions.iter().collect();
    let names = find(&looking_client(config), &functions).await.map_err(Box::new)?;
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

async fn live(lambda: &Client, function: &PlannedFunction, name: Option<&String>) -> Result<LiveFunction, LiveError> {
    let mut live = LiveFunction::missing(function.function.as_str(), name.cloned());
    let Some(name) = name else { return Ok(live) };
    match lambda.get_function().function_name(name).send().await {
        Ok(answer) => {
            let Some(configuration) = answer.configuration else { return Ok(live) };
            live.code_sha256 = configuration.code_sha256().and_then(Sha256::from_base64);
            live.is_promoted_code = live.code_sha256 == Some(function.bundle.sha256);
            live.function_arn = configuration.function_arn;
            live.revision_id = configuration.revision_id;
            live.last_modified = configuration.last_modified;
            Ok(live)
        }
        Err(error) if error.as_service_error().is_some_and(GetFunctionError::is_resource_not_found_exception) => {
            Ok(live)
        }
        Err(error) => Err(LiveError::Function { name: name.clone(), source: Box::new(error) }),
    }
}
