//! Asking another function of the gatekeeper's, which alone has the rights to look.

use aws_sdk_lambda::{Client, primitives::Blob};
use gatekeeper_model::telemetry::chain;
use serde::Serialize;

/// What a function answers to an event, as bytes; or in words why it doesn't.
pub(crate) async fn ask(lambda: &Client, function: &str, event: &impl Serialize) -> Result<Vec<u8>, String> {
    let event = serde_json::to_vec(event).map_err(|error| error.to_string())?;
    let answer = lambda.invoke().function_name(function).payload(Blob::new(event)).send().await;
    let answer = answer.map_err(|error| format!("`{function}` could not be asked: {}", chain(&error)))?;
    let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
    if answer.function_error.is_some() {
        return Err(format!("`{function}` could not look: {}", String::from_utf8_lossy(&body)));
    }
    Ok(body)
}
