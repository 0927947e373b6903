//! Why a stack can't be gone on with now.

use std::error::Error;

use aws_sdk_cloudformation::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use gatekeeper_aws::{failure::Failure, lambda::FunctionError};
use gatekeeper_model::telemetry::chain;

/// Why a stack can't be gone on with now.
#[derive(Debug)]
pub enum Stop {
    /// Not now, for this reason: AWS asks to be asked less often, or something else is at work.
    Later(String),
    /// It can't be done, and trying again will not help.
    Failed(String),
    /// We could not look or act: Step Functions tries again.
    Error(FunctionError),
}

impl Stop {
    /// What a call that AWS refused means for the step, where nothing better is known of it.
    pub fn of<E>(error_type: &'static str, call: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if Failure::of(error) == Failure::Throttled {
            return Self::Later(format!("aws asks for fewer calls: {call} was throttled"));
        }
        Self::Error(FunctionError::new(error_type, format!("{call} failed: {}", chain(error))))
    }
}
