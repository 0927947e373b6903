//! When a failed message comes again. By itself it does so only when its visibility timeout is over, and that is as long as the
//! longest invocation and more.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use futures_util::{StreamExt as _, future, stream};
use gatekeeper_aws::{
    failure::said,
    json_operation::{JsonOperation, SQS},
};
use gatekeeper_gate::converge::batch::{BatchAnswer, BatchItemFailure};
use gatekeeper_model::telemetry::Logger;
use gatekeeper_store::CALLS_IN_FLIGHT;
use serde_json::{Value, json};

/// Before a message comes for the second time; twice as long before each further time.
const FIRST_PAUSE_SECONDS: i32 = 5;

/// The queue that the events come from.
#[derive(Debug)]
pub(crate) struct Queue {
    change_message_visibility: JsonOperation,
    url: String,
}

impl Queue {
    pub(crate) fn new(config: &SdkConfig, url: &str) -> Self {
        let change_message_visibility = JsonOperation::new(config, SQS, "ChangeMessageVisibility");
        Self { change_message_visibility, url: url.to_owned() }
    }

    /// Lets the failed messages of a batch come again after a pause. Where that fails they come all the same, later.
    pub(crate) async fn pause(&self, payload: &Value, answer: &BatchAnswer, log: &Logger) {
        let errors: Vec<_> = stream::iter(pauses(payload, answer))
            .map(async |(handle, seconds)| {
                let input = json!({"QueueUrl": self.url, "ReceiptHandle": handle, "VisibilityTimeout": seconds});
                self.change_message_visibility.call(&input).await.err().map(|error| said(&error))
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .filter_map(future::ready)
            .collect()
            .await;
        if let Some(first) = errors.first() {
            log.warn("failed events come again late", json!({"error": first, "messages": errors.len()}));
        }
    }
}

/// The failed messages by their handles, and after how many seconds they come again.
fn pauses<'a>(payload: &'a Value, answer: &BatchAnswer) -> Vec<(&'a str, i32)> {
    let failures: BTreeMap<_, _> = answer.failures.iter().map(|it| (it.message_id.as_str(), it)).collect();
    let messages = payload.get("Records").and_then(Value::as_array).into_iter().flatten();
    let paused = messages.filter_map(|message| {
        let text = |name| message.get(name).and_then(Value::as_str);
        let failure = failures.get(text("messageId")?)?;
        let count = message.get("attributes")?.get("ApproximateReceiveCount")?.as_str()?.parse().ok()?;
        Some((text("receiptHandle")?, seconds(failure, count)))
    });
    paused.collect()
}

fn seconds(failure: &BatchItemFailure, receives: u32) -> i32 {
    // What is unreadable goes where somebody looks at it.
    if failure.is_unreadable { 0 } else { FIRST_PAUSE_SECONDS << receives.saturating_sub(1).min(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_messages_come_again_later_each_time_and_unreadable_ones_at_once() {
        let message = |id: &str, receives: &str| {
            json!({"messageId": id, "receiptHandle": format!("handle-{id}"),
                   "attributes": {"ApproximateReceiveCount": receives}})
        };
        let failure = |id: &str, is_unreadable| BatchItemFailure { message_id: id.to_owned(), is_unreadable };
        let payload = json!({"Records": [message("a", "1"), message("b", "3"), message("c", "1"), message("d", "2")]});
        let failures = vec![failure("a", false), failure("b", false), failure("d", true)];
        let answer = BatchAnswer { failures, ..BatchAnswer::default() };
        assert_eq!(pauses(&payload, &answer), [("handle-a", 5), ("handle-b", 20), ("handle-d", 0)]);
        assert_eq!(seconds(&failure("a", false), u32::MAX), 80);
    }
}
