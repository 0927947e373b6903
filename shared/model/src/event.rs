//! What S3 tells of a change, whichever way it comes: directly, by EventBridge, from a queue, or again from the
//! dead-letter queue.
//!
//! An event is only a hint to look at a commit (CONTRACT §4). Shapes: the S3 user guide's "Event message structure"
//! and "EventBridge event message structure", Lambda's "Using Lambda with Amazon SQS" and "destinations".

use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use crate::ids::VersionId;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A version was written.
    Created,
    /// The tag set was replaced or deleted.
    Tagged,
    /// A version was deleted or hidden by a delete marker.
    Removed,
}

/// A hint to look at one object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The bucket.
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// The version that it happened to, where the event tells.
    pub version_id: Option<VersionId>,
    /// Who did it, as AWS names them, where the event tells.
    pub principal: Option<String>,
    /// When it happened, where the event tells.
    pub at: Option<Timestamp>,
}

/// Everything that one invocation brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The records, each of which succeeds or fails for itself.
    pub records: Vec<Record>,
    /// Whether it came from a queue, which wants the failed messages named.
    pub from_queue: bool,
}

/// One message of a queue or, from elsewhere, the whole invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The queue's id for it; empty where it came from elsewhere.
    pub message_id: String,
    /// What it tells: nothing for S3's test event.
    pub events: Result<Vec<Event>, InvalidEvent>,
    /// Whether it may have been taken before by one who did not come to an end with it.
    pub comes_again: bool,
}

/// An event that no known source sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event of S3, EventBridge or SQS: {0}")]
pub struct InvalidEvent(String);

/// What is sent later than this after it happened has been in the dead-letter queue: S3 tells within seconds, and a redrive sends
/// a letter anew.
const REDRIVEN_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// The deepest nesting of envelopes: a queue's message around a destination's record around an S3 event.
const MAX_ENVELOPES: u32 = 3;

impl Batch {
    /// Reads the payload of an invocation.
    #[must_use]
    pub fn parse(payload: &Value) -> Self {
        let messages = payload.get("Records").and_then(Value::as_array).filter(|records| {
            let from_sqs = |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
            !records.is_empty() && records.iter().all(from_sqs)
        });
        match messages {
            Some(messages) => Self { records: messages.iter().map(queue_message).collect(), from_queue: true },
            None => Self {
                records: vec![Record {
                    message_id: String::new(),
                    events: notification(payload, 0),
                    comes_again: true, // nobody tells
                }],
                from_queue: false,
            },
        }
    }
}

fn queue_message(message: &Value) -> Record {
    let text = |name| message.get(name).and_then(Value::as_str);
    let events = match text("body").map(serde_json::from_str::<Value>) {
        Some(Ok(body)) => notification(&body, 1),
        Some(Err(error)) => Err(InvalidEvent(format!("the message's body is not JSON: {error}"))),
        None => Err(InvalidEvent("the message has no `body`".to_owned())),
    };
    let attribute = |name| message.get("attributes")?.get(name)?.as_str()?.parse::<i64>().ok();
    let sent = attribute("SentTimestamp").and_then(|at| Timestamp::from_millisecond(at).ok());
    let is_redriven = |event: &Event| match (event.at, sent) {
        (Some(happened), Some(sent)) => sent.duration_since(happened) > REDRIVEN_AFTER,
        _ => true,
    };
    let comes_again = attribute("ApproximateReceiveCount") != Some(1)
        || events.as_ref().is_ok_and(|events| events.iter().any(is_redriven));
    Record { message_id: text("messageId").unwrap_or_default().to_owned(), events, comes_again }
}

fn notification(payload: &Value, depth: u32) -> Result<Vec<Event>, InvalidEvent> {
    if depth >= MAX_ENVELOPES {
        return Err(InvalidEvent("too many envelopes around it".to_owned()));
    }
    // What Lambda's on-failure destination sent to the dead-letter queue, given back by hand.
    if let Some(inner) = payload.get("requestPayload") {
        return notification(inner, depth + 1);
    }
    if payload.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    if payload.get("detail-type").is_some() {
        return event_bridge(payload).map(|event| vec![event]);
    }
    match payload.get("Records").and_then(Value::as_array) {
        Some(records) => records.iter().map(s3_record).collect(),
        None => Err(InvalidEvent("it has neither `Records` nor `detail-type`".to_owned())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Record {
    event_name: String,
    event_time: Option<Timestamp>,
    user_identity: Option<UserIdentity>,
    s3: S3Entity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    principal_id: Option<String>,
}

#[derive(Deserialize)]
struct S3Entity {
    bucket: Bucket,
    object: S3Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Object {
    key: String,
    version_id: Option<VersionId>,
}

fn s3_record(record: &Value) -> Result<Event, InvalidEvent> {
    let record = S3Record::deserialize(record).map_err(|error| InvalidEvent(error.to_string()))?;
    let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
    let change = match name.split(':').next() {
        Some("ObjectCreated") => Change::Created,
        Some("ObjectTagging") => Change::Tagged,
        Some("ObjectRemoved" | "LifecycleExpiration") => Change::Removed,
        _ => return Err(InvalidEvent(format!("unknown `eventName` `{name}`"))),
    };
    // S3 encodes the key as in a form: `+` is a space, then percent.
    let key = record.s3.object.key.replace('+', " ");
    let key = percent_decode_str(&key)
        .decode_utf8()
        .map_err(|_| InvalidEvent(format!("the key `{key}` is not UTF-8 once decoded")))?
        .into_owned();
    Ok(Event {
        change,
        bucket: record.s3.bucket.name,
        key,
        version_id: record.s3.object.version_id.filter(|id| !id.as_str().is_empty()),
        principal: record.user_identity.and_then(|identity| identity.principal_id),
        at: record.event_time,
    })
}

#[derive(Deserialize)]
struct EventBridgeEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: Option<Timestamp>,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: DetailObject,
    requester: Option<String>,
}

#[derive(Deserialize)]
struct DetailObject {
    key: String,
    #[serde(rename = "version-id")]
    version_id: Option<VersionId>,
}

fn event_bridge(payload: &Value) -> Result<Event, InvalidEvent> {
    let event = EventBridgeEvent::deserialize(payload).map_err(|error| InvalidEvent(error.to_string()))?;
    let change = match event.detail_type.as_str() {
        "Object Created" => Change::Created,
        "Object Tags Added" | "Object Tags Deleted" => Change::Tagged,
        "Object Deleted" => Change::Removed,
        other => return Err(InvalidEvent(format!("unknown `detail-type` `{other}`"))),
    };
    // EventBridge's keys are not encoded.
    Ok(Event {
        change,
        bucket: event.detail.bucket.name,
        key: event.detail.object.key,
        version_id: event.detail.object.version_id.filter(|id| !id.as_str().is_empty()),
        principal: event.detail.requester,
        at: event.time,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn s3(name: &str, key: &str) -> Value {
        json!({"Records": [{
            "eventSource": "aws:s3", "eventName": name,
            "userIdentity": {"principalId": "AWS:AROAEXAMPLE:ci"},
            "s3": {"bucket": {"name": "artefacts"}, "object": {"key": key, "versionId": "v1"}}
        }]})
    }

    fn event(change: Change, key: &str) -> Event {
        Event {
            change,
            bucket: "artefacts".to_owned(),
            key: key.to_owned(),
            version_id: Some("v1".into()),
            principal: Some("AWS:AROAEXAMPLE:ci".to_owned()),
            at: None,
        }
    }

    fn check(payload: &Value, expected: &[Event]) {
        let batch = Batch::parse(payload);
        let events: Vec<_> = batch.records.into_iter().flat_map(|record| record.events.unwrap()).collect();
        assert_eq!(events, expected);
    }

    #[test]
    fn s3_tells_of_created_tagged_and_removed_objects() {
        check(&s3("ObjectCreated:Put", "a/b"), &[event(Change::Created, "a/b")]);
        check(&s3("s3:ObjectTagging:Delete", "a/b"), &[event(Change::Tagged, "a/b")]);
        check(&s3("ObjectRemoved:DeleteMarkerCreated", "a/b"), &[event(Change::Removed, "a/b")]);
    }

    #[test]
    fn keys_are_decoded_as_s3_encodes_them() {
        check(&s3("ObjectCreated:Put", "a/V1__caf%C3%A9+x%2By.sql"), &[event(Change::Created, "a/V1__café x+y.sql")]);
    }

    #[test]
    fn a_queue_may_carry_any_of_them_and_each_message_stands_for_itself() {
        let body = s3("ObjectCreated:Put", "k").to_string();
        let destination = json!({"requestPayload": s3("ObjectTagging:Put", "t")}).to_string();
        let batch = Batch::parse(&json!({"Records": [
            {"eventSource": "aws:sqs", "messageId": "1", "body": body},
            {"eventSource": "aws:sqs", "messageId": "2", "body": "{"},
            {"eventSource": "aws:sqs", "messageId": "3", "body": destination},
        ]}));
        assert!(batch.from_queue);
        let ids: Vec<_> = batch.records.iter().map(|it| (it.message_id.as_str(), it.events.is_ok())).collect();
        assert_eq!(ids, [("1", true), ("2", false), ("3", true)]);
    }

    #[test]
    fn what_may_have_been_taken_before_is_known_by_its_count_and_by_its_age() {
        let message = |happened: &str, attributes: Value| {
            let mut body = s3("ObjectCreated:Put", "k");
            body["Records"][0]["eventTime"] = json!(happened);
            let message =
                json!({"eventSource": "aws:sqs", "messageId": "1", "body": body.to_string(), "attributes": attributes});
            Batch::parse(&json!({"Records": [message]})).records[0].comes_again
        };
        let sent = "1777691045000"; // 2026-05-02T03:04:05Z
        let attributes = |count: &str| json!({"ApproximateReceiveCount": count, "SentTimestamp": sent});
        assert!(!message("2026-05-02T03:04:03.000Z", attributes("1")));
        assert!(message("2026-05-02T03:04:03.000Z", attributes("2")));
        assert!(message("2026-05-02T02:04:03.000Z", attributes("1")), "out of the dead-letter queue");
        assert!(message("2026-05-02T03:04:03.000Z", json!({})), "nobody tells");
        assert!(Batch::parse(&s3("ObjectCreated:Put", "k")).records[0].comes_again);
    }

    #[test]
    fn event_bridge_tells_the_same_without_encoding() {
        let payload = json!({
            "detail-type": "Object Tags Added", "source": "aws.s3",
            "detail": {"bucket": {"name": "artefacts"}, "object": {"key": "a+b%20", "version-id": "v1"}, "requester": "AWS:AROAEXAMPLE:ci"}
        });
        check(&payload, &[event(Change::Tagged, "a+b%20")]);
    }

    #[test]
    fn the_test_event_of_a_new_notification_tells_nothing() {
        check(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent"}), &[]);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for payload in [
            json!({}),
            json!([]),
            json!({"Records": [{}]}),
            s3("ReducedRedundancyLostObject", "k"),
            s3("ObjectCreated:Put", "%FF"),
        ] {
            let batch = Batch::parse(&payload);
            assert!(batch.records[0].events.is_err(), "{payload}");
        }
        let mut nested = s3("ObjectCreated:Put", "k");
        for _ in 0..5 {
            nested = json!({"requestPayload": nested});
        }
        assert!(Batch::parse(&nested).records[0].events.is_err());
    }
}
