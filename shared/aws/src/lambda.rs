//! Running a handler as a Lambda function.

use std::fmt::Display;

use gatekeeper_model::telemetry::Logger;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::{Value, json};

use crate::sdk_log;

/// A function error. Its type is a name that callers and Step Functions' `ErrorEquals` match.
#[derive(Debug)]
pub struct FunctionError {
    /// Lambda's `errorType`.
    pub error_type: &'static str,
    /// Lambda's `errorMessage`.
    pub message: String,
}

impl FunctionError {
    /// An error of a kind, with everything behind it.
    pub fn new(error_type: &'static str, message: impl Display) -> Self {
        Self { error_type, message: message.to_string() }
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.error_type.to_owned(), error_message: error.message }
    }
}

/// What a handler knows of its invocation beside the event.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Where it tells of its work, with the request's id.
    pub log: Logger,
    /// When Lambda ends it.
    pub deadline: jiff::Timestamp,
}

/// Takes invocations until Lambda ends the process.
///
/// # Errors
/// Where the Runtime API doesn't answer.
pub async fn run<Answer, Handled>(handler: impl Fn(Value, Invocation) -> Handled) -> Result<(), lambda_runtime::Error>
where
    Answer: Serialize,
    Handled: Future<Output = Result<Answer, FunctionError>>,
{
    let log = Logger::to_stdout();
    sdk_log::init(&log);
    let (handler, log) = (&handler, &log);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let log = log.for_request(&event.context.request_id);
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let deadline = jiff::Timestamp::from_millisecond(deadline).unwrap_or(jiff::Timestamp::MAX);
        let answer = handler(event.payload, Invocation { log: log.clone(), deadline }).await;
        if let Err(error) = &answer {
            log.error("invocation failed", json!({"error_type": error.error_type, "error": error.message}));
        }
        answer
    }))
    .await
}
