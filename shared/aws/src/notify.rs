//! Telling a bus of EventBridge what has happened (EventBridge API reference, `PutEvents`).
//!
//! The records are the truth and a notification is a courtesy: what can't be told is logged and counted, and nothing fails
//! for it. It is told at most once, after what it tells of was written down.

use std::time::Duration;

use aws_config::SdkConfig;
use gatekeeper_model::{
    notification::{Notification, SOURCE},
    telemetry::Logger,
};
use serde_json::{Value, json};

use crate::{
    Settings,
    failure::said,
    json_operation::{EVENT_BRIDGE, JsonOperation},
};

/// The most events that one call takes (EventBridge API reference, `PutEvents`).
const EVENTS_PER_CALL: usize = 10;

/// The longest that telling may keep whoever waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells a bus, where there is one.
#[derive(Debug, Clone)]
pub struct Notifier(Option<(JsonOperation, String)>);

impl Notifier {
    /// Tells the bus of `settings`; nobody, at no cost, where none is named.
    #[must_use]
    pub fn new(config: &SdkConfig, settings: &Settings) -> Self {
        Self::to(config, settings.notification_bus.as_deref())
    }

    /// Tells this bus, by its ARN.
    #[must_use]
    pub fn to(config: &SdkConfig, bus: Option<&str>) -> Self {
        Self(bus.map(|bus| (JsonOperation::new(config, EVENT_BRIDGE, "PutEvents"), bus.to_owned())))
    }

    /// Tells what has happened.
    pub async fn tell(&self, notifications: &[Notification], log: &Logger) {
        let Some((put_events, bus)) = &self.0 else { return };
        let told = async {
            for some in notifications.chunks(EVENTS_PER_CALL) {
                let entries: Vec<_> = some.iter().map(|it| entry(it, bus)).collect();
                let untold = match put_events.call(&json!({"Entries": entries})).await {
                    Ok(answer) => refused(&answer),
                    Err(error) => some.iter().map(|_| said(&error)).collect(),
                };
                for why in untold {
                    fail(log, &why);
                }
            }
        };
        if tokio::time::timeout(PATIENCE, told).await.is_err() {
            fail(log, &format!("no answer within {} seconds", PATIENCE.as_secs()));
        }
    }
}

fn fail(log: &Logger, why: &str) {
    log.error("a notification could not be sent; nothing else failed for it", json!({"error": why}));
    log.count("NotificationsFailed", None, 1);
}

fn entry(Notification { happened, detail }: &Notification, bus: &str) -> Value {
    // As a string: the service takes JSON within JSON.
    let detail = serde_json::to_string(detail).unwrap_or_default();
    json!({"EventBusName": bus, "Source": SOURCE, "DetailType": happened, "Detail": detail})
}

/// Why the service took some of them not: a call may succeed of which entries failed.
fn refused(answer: &Value) -> Vec<String> {
    let entries = answer.get("Entries").and_then(Value::as_array);
    let text = |entry: &Value, name| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let refused = entries.into_iter().flatten().filter_map(|entry| {
        let code = text(entry, "ErrorCode")?;
        Some(format!("{code}: {}", text(entry, "ErrorMessage").unwrap_or_default()))
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use gatekeeper_model::{ids::Commit, notification::Happened};

    use super::*;
    use crate::scripted::{self, Answer, Request};

    fn commit() -> Commit {
        Commit { repo: "bank-payments".parse().unwrap(), sha: "a".repeat(40).parse().unwrap() }
    }

    /// Tells so many, of a bus that answers so: what EventBridge was asked, and what was logged.
    async fn told(count: usize, bus: Option<&str>, answer: Answer) -> (Vec<Request>, String) {
        let (asked, lines) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(String::new())));
        let config = scripted::config({
            let asked = Arc::clone(&asked);
            move |request| {
                asked.lock().unwrap().push(request);
                answer.clone()
            }
        });
        let sink = Arc::clone(&lines);
        let log = Logger::to_sink(|| jiff::Timestamp::UNIX_EPOCH, move |line| sink.lock().unwrap().push_str(line));
        let all = vec![Notification::of_commit(Happened::VerdictChanged, &commit()); count];
        Notifier::to(&config, bus).tell(&all, &log).await;
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let lines = lines.lock().unwrap().clone();
        (asked, lines)
    }

    const BUS: &str = "arn:aws:events:eu-west-1:111122223333:event-bus/releases";

    #[tokio::test]
    async fn the_bus_is_told_in_calls_of_ten() {
        let fine = Answer::json(&json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}));
        let (asked, lines) = told(12, Some(BUS), fine).await;
        let entries: Vec<_> = asked.iter().map(|it| it.json("Entries").unwrap()).collect();
        let counts: Vec<_> = entries.iter().map(|it| it.as_array().unwrap().len()).collect();
        assert_eq!(counts, [10, 2]);
        assert_eq!(asked[0].headers["x-amz-target"], "AWSEvents.PutEvents");
        let first = &entries[0][0];
        assert_eq!((&first["EventBusName"], &first["Source"]), (&json!(BUS), &json!("artefact-gatekeeper")));
        assert_eq!(first["DetailType"], "Verdict Changed");
        let detail: Value = serde_json::from_str(first["Detail"].as_str().unwrap()).unwrap();
        assert_eq!(detail["repo"], "bank-payments");
        assert_eq!(lines, "");
    }

    #[tokio::test]
    async fn without_a_bus_nobody_is_called() {
        let (asked, lines) = told(1, None, Answer::Lost).await;
        assert!(asked.is_empty() && lines.is_empty());
    }

    #[tokio::test]
    async fn what_the_bus_does_not_take_is_logged_and_counted() {
        let entries = json!([{"EventId": "1"}, {"ErrorCode": "ThrottlingException", "ErrorMessage": "too fast"}]);
        let (_, lines) = told(2, Some(BUS), Answer::json(&json!({"FailedEntryCount": 1, "Entries": entries}))).await;
        assert!(lines.contains("ThrottlingException: too fast"), "{lines}");
        assert_eq!(lines.matches("\"NotificationsFailed\":1").count(), 1);

        let denied = Answer::error(400, "AccessDeniedException", "not allowed");
        let (_, lines) = told(1, Some(BUS), denied).await;
        assert!(lines.contains("not allowed") && lines.contains("\"NotificationsFailed\":1"), "{lines}");
    }
}
