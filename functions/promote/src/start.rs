//! Starting what was verified: the lock, the record, the execution; and what is left where one of them can't be had.
//!
//! The record is what counts. One that has ended is never written over, whoever gets there first, and nothing is applied
//! for it any more; so of an execution that lives and a request that thinks it dead only one has its way.

use anyhow::{Context as _, anyhow};
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::future;
use gatekeeper_aws::failure;
use gatekeeper_model::{finding::Finding, ids::Chain, store_key::RecordKey, telemetry::Logger};
use gatekeeper_promotion::{
    brake, complete, entry,
    lock::{Execution, Lock, STARTING},
    record::{PromotionRecord, Status},
    step::{Direction, PromotionRef, StepInput},
};
use gatekeeper_proof::{Signer, ledger};
use gatekeeper_store::{Precondition, WriteStore, Written, record, record::Stored};
use jiff::Timestamp;
use serde_json::json;

use crate::execution_arn;

/// How often a record is looked at again that others write to at the same time.
const MAX_ATTEMPTS: u32 = 4;

/// What starts promotions, and what it writes down.
pub(crate) struct Starter<'a, S> {
    pub(crate) records: &'a S,
    pub(crate) signer: &'a dyn Signer,
    pub(crate) step_functions: &'a aws_sdk_sfn::Client,
    pub(crate) state_machine_arn: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) log: &'a Logger,
}

/// What became of a start.
#[derive(Debug, PartialEq)]
pub(crate) enum Begun {
    /// It is under way.
    Started,
    /// Somebody else holds the lock, or held it in this very moment.
    Locked(Option<Lock>),
    /// The promotion that held the lock had succeeded and was not recorded to its end. Now it is, and the stage runs another
    /// commit than the one that was verified against.
    CaughtUp(Lock),
    /// Somebody held the stage in this very moment.
    Held(Finding),
}

/// It is not known whether an execution runs.
#[derive(Debug, thiserror::Error)]
#[error(
    "whether promotion `{promotion_id}` of `{repo}` to `{stage}` runs could not be told, so it keeps the lock. If it runs, it \
     ends by itself and `gatekeeper status --stage {stage} --repo {repo}` tells of it; if it doesn't, asking again after \
     {free_at} completes its record as failed and takes the lock over", repo = .promotion.repo, stage = .promotion.stage,
     promotion_id = .promotion.promotion_id
)]
pub(crate) struct Unsure {
    promotion: PromotionRef,
    free_at: Timestamp,
    source: anyhow::Error,
}

/// Why no execution runs, or why that can't be told.
enum Failure {
    Held(Finding),
    NotStarted(anyhow::Error),
    Unsure(anyhow::Error),
}

impl<S: WriteStore> Starter<'_, S> {
    /// What Step Functions says of an execution. Only that it doesn't exist means that there is none: any other error means
    /// that it could not be looked at.
    pub(crate) async fn execution(&self, arn: &str) -> anyhow::Result<Execution> {
        let answer = self.step_functions.describe_execution().execution_arn(arn).send().await;
        match answer {
            Ok(execution) => Ok(match execution.status() {
                ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Execution::Running,
                _ => Execution::Ended,
            }),
            Err(error) if failure::Failure::of(&error) == failure::Failure::Absent => Ok(Execution::Unknown),
            Err(error) => Err(error).with_context(|| format!("the execution `{arn}` could not be looked at")),
        }
    }

    /// Takes the lock, writes the record and starts the execution. `before` is the lock as it was seen, free or its holder
    /// dead.
    ///
    /// # Errors
    /// Where it was not started, and nothing is left of it but a failed record; or [`Unsure`].
    pub(crate) async fn begin(&self, record: &PromotionRecord, before: Option<&Stored<Lock>>) -> anyhow::Result<Begun> {
        let promotion = record.reference();
        let lock_key = RecordKey::Lock(promotion.stage.clone(), promotion.repo.clone());
        if let Some(abandoned) = before.filter(|lock| lock.record.released_at.is_none())
            && self.close_abandoned(&promotion, &abandoned.record).await? == Some(Status::Succeeded)
        {
            self.release(&lock_key, abandoned).await?;
            return Ok(Begun::CaughtUp(abandoned.record.clone()));
        }
        let held = Lock::held(promotion.promotion_id.clone(), record.execution_arn.clone(), self.now);
        let written = record::write(self.records, &lock_key, &held, &Stored::precondition(before)).await;
        let lock = match written.with_context(|| self.not_locked(&promotion))? {
            Written::Done { etag, version_id } => {
                Stored { sha256: record::digest(&held)?, record: held, etag, version_id }
            }
            Written::Conflict => {
                let now = record::read::<Lock>(self.records, &lock_key).await?;
                return Ok(Begun::Locked(now.map(|stored| stored.record)));
            }
        };
        match self.record_and_start(&promotion, record).await {
            Ok(()) => Ok(Begun::Started),
            Err(Failure::Held(held)) => {
                self.give_up(&promotion, &lock_key, &lock).await.with_context(|| self.not_locked(&promotion))?;
                Ok(Begun::Held(held))
            }
            Err(Failure::NotStarted(error)) => {
                // Nothing was applied: let the next request in at once rather than when the lock is proved dead.
                let given_up = self.give_up(&promotion, &lock_key, &lock).await;
                Err(match given_up {
                    Ok(()) => error,
                    Err(trouble) => error.context(format!("{}: {trouble:#}", self.not_locked(&promotion))),
                })
            }
            Err(Failure::Unsure(source)) => {
                let free_at = self.free_at();
                Err(Unsure { promotion, free_at, source }.into())
            }
        }
    }

    /// When a lock may be taken whose execution there isn't.
    fn free_at(&self) -> Timestamp {
        self.now.saturating_add(STARTING).unwrap_or(Timestamp::MAX)
    }

    fn not_locked(&self, promotion: &PromotionRef) -> String {
        let PromotionRef { stage, repo, promotion_id } = promotion;
        format!(
            "promotion `{promotion_id}` of `{repo}` to `{stage}` was not started; should it hold the lock nevertheless, \
             the lock is free again after {}",
            self.free_at()
        )
    }

    async fn record_and_start(&self, promotion: &PromotionRef, record: &PromotionRecord) -> Result<(), Failure> {
        let key = PromotionRecord::key(promotion);
        let write = record::write(self.records, &key, record, &Precondition::Absent);
        // Who holds the stage looks for locks after that is entered, and here the lock is taken before it is looked for: so
        // one of the two sees the other.
        let (written, held) = future::join(write, self.held(record)).await;
        match written {
            Ok(Written::Done { .. }) => {}
            Ok(Written::Conflict) => return Err(Failure::NotStarted(anyhow!("another record stands at `{key}`"))),
            Err(error) => return Err(Failure::NotStarted(error.into())),
        }
        if let Some(held) = held.map_err(Failure::NotStarted)? {
            return Err(Failure::Held(held));
        }
        let input: StepInput =
            StepInput { promotion: promotion.clone(), direction: Direction::Forward, progress: Vec::new() };
        let input = input_of(&input, record).map_err(|error| Failure::NotStarted(error.into()))?;
        let start = self.step_functions.start_execution().state_machine_arn(self.state_machine_arn);
        let Err(error) = start.name(promotion.promotion_id.as_str()).input(input).send().await else { return Ok(()) };
        // Whatever the last attempt got, an earlier one may have been served and its answer lost.
        match self.execution(&record.execution_arn).await {
            Ok(Execution::Running | Execution::Ended) => Ok(()),
            Ok(Execution::Unknown) => {
                Err(Failure::NotStarted(anyhow::Error::new(error).context("the state machine could not be started")))
            }
            Err(look) => {
                let started = anyhow::Error::new(error);
                Err(Failure::Unsure(look.context(format!("starting it failed: {started:#}; then"))))
            }
        }
    }

    /// What holds the stage by now, of a promotion that it keeps back.
    async fn held(&self, record: &PromotionRecord) -> anyhow::Result<Option<Finding>> {
        if !brake::is_sent_back(record) {
            return Ok(None);
        }
        let stage = &record.stage;
        let head = RecordKey::LedgerHead(Chain::of_holds(stage)).to_string();
        let (head, keys) =
            future::join(async { self.records.get(&head, None, ledger::MAX_BYTES).await }, self.signer.trusted()).await;
        let (head, keys) = (head?, keys?);
        Ok(match brake::standing(stage, head.as_ref().map(|body| body.bytes.as_slice()), &keys) {
            Ok(standing) => standing.hold.map(|hold| brake::on_hold(stage, &hold, None)),
            Err(broken) => Some(broken),
        })
    }

    /// Completes the record of a promotion that was not started as failed, and releases its lock.
    async fn give_up(&self, promotion: &PromotionRef, lock_key: &RecordKey, lock: &Stored<Lock>) -> anyhow::Result<()> {
        self.close(promotion, &lock.record).await?;
        self.release(lock_key, lock).await
    }

    async fn release(&self, key: &RecordKey, lock: &Stored<Lock>) -> anyhow::Result<()> {
        let released = Lock { released_at: Some(self.now), ..lock.record.clone() };
        // A conflict means that somebody took it over, who then holds it.
        record::write(self.records, key, &released, &Precondition::Unchanged(lock.etag.clone())).await?;
        Ok(())
    }

    /// The same as [`Self::close`] of a lock that is taken over. What Step Functions has never executed brought nothing to the
    /// stage, whatever its record says: somebody else wrote that record, and it is neither what the stage runs nor entered.
    async fn close_abandoned(&self, promotion: &PromotionRef, lock: &Lock) -> anyhow::Result<Option<Status>> {
        let held_by = PromotionRef { promotion_id: lock.promotion_id.clone(), ..promotion.clone() };
        let stored = record::read::<PromotionRecord>(self.records, &PromotionRecord::key(&held_by)).await?;
        if stored.is_some_and(|it| it.record.status == Status::Succeeded) {
            let arn = execution_arn(self.state_machine_arn, &lock.promotion_id);
            if self.execution(&arn).await? == Execution::Unknown {
                self.log.error(
                    "a promotion that is said to have succeeded was never executed: its record is left out",
                    json!({"abandoned_promotion_id": lock.promotion_id, "execution_arn": arn}),
                );
                return Ok(None);
            }
        }
        self.close(promotion, lock).await
    }

    /// Completes the record of the promotion that holds `lock` as failed, where it hasn't ended, and enters it into the
    /// ledger: who asks for that has proved that no execution will. What follows from a record that has ended already is done
    /// where it isn't. Killed in between, it is done again by whoever takes the lock then.
    ///
    /// Gives what the record says in the end; `None` where there is no record.
    async fn close(&self, promotion: &PromotionRef, lock: &Lock) -> anyhow::Result<Option<Status>> {
        let held_by = PromotionRef { promotion_id: lock.promotion_id.clone(), ..promotion.clone() };
        let key = PromotionRecord::key(&held_by);
        for _ in 0..MAX_ATTEMPTS {
            let Some(stored) = record::read::<PromotionRecord>(self.records, &key).await? else { return Ok(None) };
            let mut closed = stored.record;
            if closed.ended_at.is_none() {
                (closed.status, closed.ended_at) = (Status::Failed, Some(self.now));
                let precondition = Precondition::Unchanged(stored.etag);
                if record::write(self.records, &key, &closed, &precondition).await? == Written::Conflict {
                    // It may have ended by itself in this moment: that stands then.
                    continue;
                }
                self.log.warn(
                    "a promotion is completed as failed: no execution of it runs",
                    json!({"abandoned_promotion_id": lock.promotion_id, "execution_arn": lock.execution_arn}),
                );
            }
            let mut stage_record = None;
            if closed.status == Status::Succeeded {
                let ended_at =
                    closed.ended_at.ok_or_else(|| anyhow!("`{key}` succeeded, and does not say when it ended"))?;
                let advanced = complete::advance_stage(self.records, &closed, ended_at).await?;
                stage_record = Some(advanced.context("the stage was changed by somebody else; ask again")?);
            }
            let chain = Chain { stage: closed.stage.clone(), repo: closed.repo.clone() };
            let (event, since) = (entry::of_promotion(&closed, stage_record, Vec::new())?, Some(closed.started_at));
            ledger::append(self.records, self.signer, &chain, &event, since, self.now).await?;
            return Ok(Some(closed.status));
        }
        Err(anyhow!("`{key}` is written to by others at the same time; ask again"))
    }
}

/// What the execution begins with. That a runner has a part in it goes with the promotion, which is carried to the end; the
/// steps don't read it.
fn input_of(input: &StepInput, record: &PromotionRecord) -> serde_json::Result<String> {
    let mut input = serde_json::to_value(input)?;
    let promotion = input.get_mut("promotion").and_then(serde_json::Value::as_object_mut);
    if let Some(promotion) = promotion.filter(|_| !record.plan.runs.is_empty()) {
        promotion.insert("has_runs".to_owned(), true.into());
    }
    Ok(input.to_string())
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
