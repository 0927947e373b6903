//! Why a stack can't be gone on with now.

use std::error::Error;

use aws_sdk_cloudformation::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use gatekeeper_aws::lambda::FunctionError;
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

/// The codes that the AWS services use for "slow down" (SDK reference guide, "Retry behavior"); an answer to a HEAD has
/// only its status.
const THROTTLED: [&str; 9] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "SlowDown",
];

impl Stop {
    /// What a call that AWS refused means for the step, where nothing better is known of it.
    pub fn of<E>(error_type: &'static str, call: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        if code(error).is_some_and(|code| THROTTLED.contains(&code)) || matches!(status, Some(429 | 503)) {
            return Self::Later(format!("aws asks for fewer calls: {call} was throttled"));
        }
        Self::Error(FunctionError::new(error_type, format!("{call} failed: {}", chain(error))))
    }
}

/// The service's code for an error.
pub fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The service's words for an error.
pub fn message<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default()
}
