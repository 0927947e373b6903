//! One invocation of the gate: its events are settled by the commit, and what failed goes back to where it came from.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use gatekeeper_model::{
    event::{Batch, Change, Event},
    finding::Code,
    ids::Commit,
    notification::{Happened, Notification},
    store_key::{ArtefactKey, OutsideLayout},
    telemetry,
    verdict::Outcome,
};
use gatekeeper_store::{TagStore, WriteStore};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Gate, GateError, Settled, hints::Hints};

/// Commits that are settled at once: one that has much to read holds up no others, and memory is bounded.
const COMMITS_IN_FLIGHT: usize = 4;

/// What Lambda gets back for a batch from a queue (Lambda developer guide, "Reporting batch item failures"): the
/// messages that must come again. Empty for every other source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BatchAnswer {
    /// The messages that failed.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<BatchItemFailure>,
    /// The commits that were judged anew, for whoever is told of it.
    #[serde(skip)]
    pub judged_anew: Vec<Notification>,
}

/// One message that must come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchItemFailure {
    /// The queue's id for it.
    #[serde(rename = "itemIdentifier")]
    pub message_id: String,
    /// Whether nobody will ever be able to read it, so that there is nothing to wait for.
    #[serde(skip)]
    pub is_unreadable: bool,
}

/// An invocation that must come again as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {records} records failed, the first: {first}")]
pub struct BatchFailed {
    failed: usize,
    records: usize,
    first: String,
}

/// S3 names a role's session `AWS:{role id}:{session name}`. Whoever assumes a role chooses the session's name, but not
/// the role's id.
fn is_own(principal: &str, own_role_ids: &[String]) -> bool {
    let role_id = principal.trim_start_matches("AWS:").split(':').next();
    role_id.is_some_and(|id| own_role_ids.iter().any(|own| own == id))
}

/// What the events of a batch are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Commit(Commit),
    /// An object outside the layout, by its key.
    Stray(String),
}

/// What a batch says of one subject.
#[derive(Debug, Default)]
struct Told {
    hints: Hints,
    stray: Option<(OutsideLayout, Change)>,
    events: u64,
    /// The places of the messages in the batch that tell of it.
    messages: BTreeSet<usize>,
}

impl Told {
    fn add(&mut self, message: usize, event: &Event, is_own_tag: bool, comes_again: bool) {
        self.events += 1;
        self.messages.insert(message);
        self.hints.come_again |= comes_again;
        // Whoever writes tags looks again after that, and if he can't his own event comes again: there is nothing to do here.
        if is_own_tag && !comes_again {
            return;
        }
        match ArtefactKey::parse(&event.key) {
            Ok(key) => {
                let unnamed = Event { principal: event.principal.clone().filter(|_| !is_own_tag), ..event.clone() };
                self.hints.add(key.path, &unnamed);
            }
            Err(outside) => {
                let created = self.stray.as_ref().is_some_and(|(_, change)| *change == Change::Created);
                self.stray = Some((outside, if created { Change::Created } else { event.change }));
            }
        }
    }
}

impl<S: TagStore, R: WriteStore> Gate<'_, S, R> {
    /// Settles everything that an invocation brings. What `own_role_ids` did is the gate's own doing and nobody's
    /// hand on a tag.
    ///
    /// # Errors
    /// [`BatchFailed`] where a record failed and doesn't come from a queue, which gets its failures named instead.
    pub async fn settle_batch(&self, payload: &Value, own_role_ids: &[String]) -> Result<BatchAnswer, BatchFailed> {
        let batch = Batch::parse(payload);
        let (answer, first) = self.settle_messages(&batch, own_role_ids).await;
        match first {
            Some(first) if !batch.from_queue => {
                Err(BatchFailed { failed: answer.failures.len(), records: batch.records.len(), first })
            }
            _ => Ok(answer),
        }
    }

    /// The messages that failed, and why the first did.
    pub(super) async fn settle_messages(
        &self,
        batch: &Batch,
        own_role_ids: &[String],
    ) -> (BatchAnswer, Option<String>) {
        let mut told = BTreeMap::<Subject, Told>::new();
        // By their places: whether nobody will ever read them.
        let (mut failed, mut first) = (BTreeMap::<usize, bool>::new(), None::<String>);
        for (place, record) in batch.records.iter().enumerate() {
            match &record.events {
                Ok(events) => {
                    for event in events {
                        let subject = match ArtefactKey::parse(&event.key) {
                            Ok(key) => Subject::Commit(key.commit),
                            Err(outside) => Subject::Stray(outside.key),
                        };
                        let is_own = event.principal.as_ref().is_some_and(|it| is_own(it, own_role_ids));
                        let is_own_tag = is_own && event.change == Change::Tagged;
                        told.entry(subject).or_default().add(place, event, is_own_tag, record.comes_again);
                    }
                }
                Err(error) => {
                    let error = telemetry::chain(error);
                    self.log.error("event can't be read", json!({"error": error, "message_id": record.message_id}));
                    self.log.count("GateErrors", None, 1);
                    failed.insert(place, true);
                    first.get_or_insert(error);
                }
            }
        }
        let settled: Vec<_> = stream::iter(told)
            .map(async |(subject, told)| (self.settle_told(&subject, &told).await, subject, told))
            .buffer_unordered(COMMITS_IN_FLIGHT)
            .collect()
            .await;
        let mut judged_anew = Vec::new();
        for (settled, subject, told) in settled {
            let log = match (&subject, &told.stray) {
                (Subject::Commit(commit), _) | (_, Some((OutsideLayout { commit: Some(commit), .. }, _))) => {
                    self.log.for_commit(commit)
                }
                _ => self.log.clone(),
            };
            let mut fields = json!({"events": told.events});
            if let (Subject::Stray(key), Some(fields)) = (&subject, fields.as_object_mut()) {
                fields.insert("key".to_owned(), json!(key));
            }
            let add = |more: Value, mut fields: Value| {
                if let (Some(fields), Value::Object(mut more)) = (fields.as_object_mut(), more) {
                    fields.append(&mut more);
                }
                fields
            };
            match settled {
                Ok(Settled { outcome, tag_writes, judged_anew: codes }) => {
                    if let (Subject::Commit(commit), Some(outcome), Some(codes)) = (&subject, outcome, codes) {
                        judged_anew.push(of_verdict(commit, outcome, codes));
                    }
                    log.info("events settled", add(json!({"outcome": outcome, "tag_writes": tag_writes}), fields));
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    log.error("events failed", add(json!({"error": error, "messages": told.messages.len()}), fields));
                    log.count("GateErrors", None, 1);
                    for place in told.messages {
                        failed.entry(place).or_insert(false);
                    }
                    first.get_or_insert(error);
                }
            }
        }
        let failures = failed.into_iter().filter_map(|(place, is_unreadable)| {
            let message_id = batch.records.get(place)?.message_id.clone();
            Some(BatchItemFailure { message_id, is_unreadable })
        });
        (BatchAnswer { failures: failures.collect(), judged_anew }, first)
    }

    async fn settle_told(&self, subject: &Subject, told: &Told) -> Result<Settled, GateError> {
        match (subject, &told.stray) {
            (Subject::Commit(commit), _) if !told.hints.is_empty() => self.settle_commit(commit, &told.hints).await,
            (Subject::Stray(_), Some((outside, change))) => self.settle_stray(outside, *change).await,
            _ => Ok(Settled::default()),
        }
    }
}

/// What is told of a new verdict.
fn of_verdict(commit: &Commit, outcome: Outcome, codes: Vec<Code>) -> Notification {
    let mut told = Notification::of_commit(Happened::VerdictChanged, commit).with_codes(codes);
    told.detail.outcome = Some(outcome.as_str().to_owned());
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_knows_itself_by_its_roles_id_and_not_by_a_sessions_name() {
        let own = ["AROAGATE".to_owned()];
        assert!(is_own("AWS:AROAGATE:gatekeeper-intake", &own));
        assert!(is_own("AROAGATE:gatekeeper-intake", &own));
        assert!(!is_own("AWS:AROACI:AROAGATE", &own));
        assert!(!is_own("AWS:111122223333", &own));
    }
}
