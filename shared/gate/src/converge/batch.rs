//! One invocation of the gate: every record for itself, and what failed goes back to where it came from.

use gatekeeper_model::{
    event::{Batch, Event, InvalidEvent},
    store_key::{ArtefactKey, OutsideLayout},
    telemetry,
    telemetry::Logger,
};
use gatekeeper_store::{TagStore, WriteStore};
use serde::Serialize;
use serde_json::{Value, json};

use super::Gate;

/// What Lambda gets back for a batch from a queue (Lambda developer guide, "Reporting batch item failures"): the
/// messages that must come again. Empty for every other source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BatchAnswer {
    /// The messages that failed.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<BatchItemFailure>,
}

/// One message that must come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchItemFailure {
    /// The queue's id for it.
    #[serde(rename = "itemIdentifier")]
    pub message_id: String,
}

/// An invocation that must come again as a whole: Lambda retries it twice, then keeps its event in the dead-letter
/// queue.
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

impl<S: TagStore, R: WriteStore> Gate<'_, S, R> {
    /// Settles everything that an invocation brings. What `own_role_ids` did is the gate's own doing and nobody's
    /// hand on a tag.
    ///
    /// # Errors
    /// [`BatchFailed`] where a record failed and doesn't come from a queue, which gets its failures named instead.
    pub async fn settle_batch(&self, payload: &Value, own_role_ids: &[String]) -> Result<BatchAnswer, BatchFailed> {
        let mut batch = Batch::parse(payload);
        for event in batch.records.iter_mut().flat_map(|record| record.events.iter_mut().flatten()) {
            event.principal = event.principal.take().filter(|it| !is_own(it, own_role_ids));
        }
        let (mut answer, mut errors) = (BatchAnswer::default(), Vec::new());
        for record in &batch.records {
            let Err(error) = self.settle_record(&record.events).await else { continue };
            self.log.error("record failed", json!({"error": error, "message_id": record.message_id}));
            self.log.count("GateErrors", None, 1);
            answer.failures.push(BatchItemFailure { message_id: record.message_id.clone() });
            errors.push(error);
        }
        match errors.first() {
            Some(first) if !batch.from_queue => {
                Err(BatchFailed { failed: errors.len(), records: batch.records.len(), first: first.clone() })
            }
            _ => Ok(answer),
        }
    }

    fn log_of(&self, event: &Event) -> Logger {
        match ArtefactKey::parse(&event.key) {
            Ok(ArtefactKey { commit, .. }) | Err(OutsideLayout { commit: Some(commit), .. }) => {
                self.log.for_commit(&commit)
            }
            Err(_) => self.log.clone(),
        }
    }

    async fn settle_record(&self, events: &Result<Vec<Event>, InvalidEvent>) -> Result<(), String> {
        let events = events.as_ref().map_err(|error| telemetry::chain(error))?;
        let mut errors = Vec::new();
        for event in events {
            match self.settle(event).await {
                Ok(settled) => self.log_of(event).info(
                    "event settled",
                    json!({
                        "key": event.key, "version_id": event.version_id, "principal": event.principal,
                        "outcome": settled.outcome, "tag_writes": settled.tag_writes,
                    }),
                ),
                // The others are settled all the same.
                Err(error) => errors.push(format!("`{}`: {}", event.key, telemetry::chain(&error))),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }
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
