//! Handing the ledger's heads over to the witness outside: each as S3 tells of it, by its version, so that nobody can hide
//! one by writing over it; and all of them on a schedule, for what was lost on the way.
//!
//! A head goes over only where it goes on from the newest that the witness has: `gatekeeper_proof::witness`. Where a timestamp
//! authority is configured, what the witness was given is stamped by that, and the answer put beside it.

mod authority;

pub use authority::Authority;
use gatekeeper_aws::lambda::FunctionError;
use gatekeeper_model::{
    event::{Batch, Event},
    ids::{Chain, Sha256, VersionId},
    store_key::{RecordKey, WitnessKey},
    telemetry::{Logger, chain as whole},
};
use gatekeeper_proof::{
    PublicKeys, ledger,
    witness::{HandOverError, Handed, hand_over},
};
use gatekeeper_store::{Precondition, ReadStore, StoreError, WriteStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Hands heads over.
#[derive(Debug)]
pub struct Witness<'a, R, W> {
    /// Where the ledger is.
    pub records: &'a R,
    /// The bucket of the other account.
    pub outside: &'a W,
    /// Whose signatures count.
    pub keys: &'a PublicKeys,
    /// Who stamps what the witness has.
    pub authority: Option<&'a Authority>,
    /// Where it tells of its work.
    pub log: &'a Logger,
}

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a queue: which of its messages come again (Lambda developer guide, "Reporting batch item failures").
    Queue {
        /// The messages that failed.
        #[serde(rename = "batchItemFailures")]
        failures: Vec<BatchItemFailure>,
    },
    /// To whoever asked to catch up.
    CaughtUp {
        /// The chains that there are.
        chains: usize,
        /// How many heads the witness did not have.
        handed_over: usize,
        /// How many of the newest heads had no timestamp and have one now.
        stamped: usize,
    },
}

/// A message that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchItemFailure {
    /// The queue's id for it.
    #[serde(rename = "itemIdentifier")]
    pub message_id: String,
}

/// The event of the schedule, and of whoever mends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatchUp {
    catch_up: bool,
}

impl<R: ReadStore, W: WriteStore> Witness<'_, R, W> {
    /// Hands over what the event tells of.
    ///
    /// # Errors
    /// `InvalidWitnessEvent` for another event; `WitnessError` where a chain could not be caught up, at the end.
    pub async fn handle(&self, payload: &Value) -> Result<Answer, FunctionError> {
        let batch = Batch::parse(payload);
        if batch.from_queue {
            let mut failures = Vec::new();
            for record in &batch.records {
                if let Err(error) = self.message(record.events.as_deref()).await {
                    self.log.error("a head was not handed over to the witness", json!({"error": error}));
                    failures.push(BatchItemFailure { message_id: record.message_id.clone() });
                }
            }
            return Ok(Answer::Queue { failures });
        }
        match serde_json::from_value::<CatchUp>(payload.clone()) {
            Ok(CatchUp { catch_up: true }) => self.catch_up().await,
            _ => {
                let what = "neither events of a queue nor `{\"catch_up\": true}`";
                Err(FunctionError::new("InvalidWitnessEvent", what))
            }
        }
    }

    /// One message of the queue.
    async fn message<E: std::fmt::Display>(&self, events: Result<&[Event], &E>) -> Result<(), String> {
        for event in events.map_err(ToString::to_string)? {
            let chain = RecordKey::chain_of(&event.key);
            let chain = chain.filter(|chain| RecordKey::LedgerHead(chain.clone()).to_string() == event.key);
            let chain = chain.ok_or_else(|| format!("`{}` is no head of the ledger", event.key))?;
            let handed = self.give(&chain, event.version_id.as_ref()).await.map_err(|error| whole(&error))?;
            if let Err(error) = self.stamp(&chain, handed).await {
                self.log.error("a head was not stamped", json!({"error": error}));
            }
        }
        Ok(())
    }

    async fn give(&self, chain: &Chain, version_id: Option<&VersionId>) -> Result<Handed, HandOverError> {
        let key = self.keys.of(gatekeeper_proof::Authority::of(chain));
        let handed = hand_over(self.records, self.outside, chain, version_id, key).await?;
        if let Handed::Over(sequence) = handed {
            self.log.info(
                "a head was handed over to the witness",
                json!({"chain": chain.to_string(), "sequence": sequence}),
            );
        }
        Ok(handed)
    }

    /// Has a head stamped that the witness has without a timestamp, and gives whether it was. The witness has it whatever becomes
    /// of that: the newest is stamped within the hour, and a timestamp of it is one of all entries before it.
    async fn stamp(&self, chain: &Chain, handed: Handed) -> Result<bool, String> {
        let (Some(authority), Handed::Over(place) | Handed::Before(place)) = (self.authority, handed) else {
            return Ok(false);
        };
        let stamped = self.stamp_at(authority, chain, place).await;
        stamped.map_err(|error| {
            self.log.count("TimestampErrors", None, 1);
            format!("entry {place} of `{chain}` got no timestamp: {error}")
        })
    }

    async fn stamp_at(&self, authority: &Authority, chain: &Chain, place: u64) -> Result<bool, String> {
        let key = WitnessKey::Timestamp(chain.clone(), place).to_string();
        let error = |error: StoreError| whole(&error);
        if self.outside.head(&key, None).await.map_err(error)?.is_some() {
            return Ok(false);
        }
        // What the witness has counts: two may have signed the same entry's head.
        let head_key = WitnessKey::Head(chain.clone(), place).to_string();
        let head = self.outside.get(&head_key, None, ledger::MAX_BYTES).await.map_err(error)?;
        let Some(head) = head else { return Ok(false) };
        let answer = authority.stamp(Sha256::of(&head.bytes)).await?;
        self.outside.put(&key, &answer, "application/timestamp-reply", &Precondition::Absent).await.map_err(error)?;
        self.log.info("a head was stamped", json!({"chain": chain.to_string(), "sequence": place}));
        Ok(true)
    }

    /// Hands over the newest head of every chain, whatever became of the events that told of it. What fails doesn't keep
    /// the rest from it.
    async fn catch_up(&self) -> Result<Answer, FunctionError> {
        let error = |error: StoreError| FunctionError::new("WitnessError", whole(&error));
        let chains = ledger::chains(self.records, RecordKey::ledgers_prefix).await.map_err(error)?;
        let (mut handed_over, mut stamped, mut failed) = (0, 0, Vec::new());
        for chain in &chains {
            let handed = match self.give(chain, None).await {
                Ok(handed) => handed,
                Err(error) => {
                    failed.push(whole(&error));
                    continue;
                }
            };
            handed_over += usize::from(matches!(handed, Handed::Over(_)));
            match self.stamp(chain, handed).await {
                Ok(is_stamped) => stamped += usize::from(is_stamped),
                Err(error) => failed.push(error),
            }
        }
        if !failed.is_empty() {
            return Err(FunctionError::new("WitnessError", failed.join("; ")));
        }
        Ok(Answer::CaughtUp { chains: chains.len(), handed_over, stamped })
    }
}

#[cfg(test)]
mod tests;
