//! What an error of AWS means, for whoever asked: the one place that knows the services' codes for it.

use std::time::Duration;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use gatekeeper_model::telemetry::chain;

/// What an error of AWS means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// AWS answered that there is nothing of that name.
    Absent,
    /// AWS answered that it was asked too often, and would do it later.
    Throttled,
    /// AWS answered that the caller may not.
    Denied,
    /// Everything else: a code that means none of these, or no answer at all. It says nothing of what was asked for.
    Other,
}

/// The services' codes for something that isn't there. S3's for a bucket is none of them: whoever asks for an object
/// learns nothing of the object by it.
const ABSENT: [&str; 10] = [
    // S3: an object, a version, a version that is a delete marker, an answer to HEAD, an upload in parts, a lock.
    "NoSuchKey",
    "NoSuchVersion",
    "MethodNotAllowed",
    "NotFound",
    "NoSuchUpload",
    "NoSuchObjectLockConfiguration",
    // Lambda and Secrets Manager.
    "ResourceNotFoundException",
    // Step Functions.
    "ExecutionDoesNotExist",
    // CloudFormation: its API reference has the first, its SDKs' model the second.
    "ChangeSetNotFound",
    "ChangeSetNotFoundException",
];

/// The services' codes for "slow down" (SDK reference guide, "Retry behavior").
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

/// The services' codes for "you may not". Credentials that are wrong or have expired have others: they say nothing of
/// what their owner may do.
const DENIED: [&str; 2] = ["AccessDenied", "AccessDeniedException"];

/// The code of CloudFormation for every request that it doesn't take, one for a stack that isn't there too.
pub const VALIDATION_ERROR: &str = "ValidationError";

impl Failure {
    /// What `error` means. An answer to a HEAD has only its status.
    pub fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let in_words = message(error);
        match (code(error), status(error)) {
            (Some(code), _) if ABSENT.contains(&code) => Self::Absent,
            (Some(VALIDATION_ERROR), _) if in_words.contains("does not exist") => Self::Absent,
            (Some(code), _) if DENIED.contains(&code) => Self::Denied,
            (Some(code), _) if THROTTLED.contains(&code) => Self::Throttled,
            (_, Some(429 | 503)) => Self::Throttled,
            (None, Some(405)) => Self::Absent,
            (None, Some(401 | 403)) => Self::Denied,
            _ => Self::Other,
        }
    }
}

/// Whether S3 refused a write for its condition: what is there is another thing (412), or becomes one just now (409).
pub fn is_conflict<E>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(status(error), Some(409 | 412))
}

/// Whether CloudFormation will answer the same when it is asked again: the stack isn't there, or isn't ours to look at.
pub fn is_final_of_stack<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(Failure::of(error), Failure::Absent | Failure::Denied) || code(error) == Some(VALIDATION_ERROR)
}

/// The service's code for an error, for what only one call knows of.
pub fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The service's words for an error.
pub fn message<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default()
}

/// The status of the answer, where there is one.
pub fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// When a service wants to be asked again, where it says so in seconds (RFC 9110, 10.2.3, `Retry-After`).
pub fn retry_after<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let header = error.raw_response()?.headers().get("retry-after")?;
    header.trim().parse().ok().map(Duration::from_secs)
}

/// What a service said in its own words, without what differs from call to call; or why nothing was heard of it.
pub fn said<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => match (service.err().code(), service.err().message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(word), None) | (None, Some(word)) => word.to_owned(),
            (None, None) => format!("AWS answered with status {}", service.raw().status().as_u16()),
        },
        other => chain(other),
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
