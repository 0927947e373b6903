//! Writes down what a promotion came to: its record, what the stage runs now, the Deployed handoffs; releases the
//! lock; and after a failure sends the state machine back to the commit before, where there is one.
//!
//! Every write can be repeated: killed anywhere and started again, it ends in the same records.

mod attest;

use anyhow::Context as _;
use aws_config::SdkConfig;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{kms::KmsSigner, lambda::FunctionError, live, s3::S3Store, stage_account::stage_config};
use gatekeeper_model::{
    front_matter::{self, FrontMatter},
    ids::{Chain, StageName},
    store_key::RecordKey,
    telemetry::{Logger, wall_clock},
};
use gatekeeper_promotion::{
    attestation::deployment,
    complete, entry, handoff,
    lock::Lock,
    record::{LiveFunction, MIGRATE_DATABASE, PromotionRecord, Status, StepRecord},
    step::{Direction, PromotionRef, ReportStatus, StepAnswer, StepStatus},
};
use gatekeeper_proof::{Signer, ledger};
use gatekeeper_store::{Precondition, Store, Written, record, record::Stored};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::attest::attest;

/// What the state machine hands over: what each step answered, as far as it was asked.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordInput {
    /// Which promotion it is.
    pub promotion: PromotionRef,
    /// Which of its plans was applied.
    pub direction: Direction,
    /// What `apply-stack` answered last; in progress without reports where it was never asked.
    pub stacks: StepAnswer,
    /// What `deploy-function` answered last; in progress without reports where it was never asked.
    pub functions: StepAnswer,
    /// What `migrate-database` answered last; in progress without reports where it was never asked.
    pub databases: StepAnswer,
    /// What `smoke-test` answered last; in progress without reports where it was never asked.
    pub smoke: StepAnswer,
    /// What Step Functions caught, where a step failed without an answer.
    pub error: Option<Caught>,
}

/// An error as Step Functions catches it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Caught {
    /// Its type.
    pub error: String,
    /// What it says.
    #[serde(default)]
    pub cause: String,
}

/// What the state machine gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordAnswer {
    /// What became of the promotion; `going-back` asks for the steps again in the other direction.
    pub status: Status,
    /// Why it failed, in one line.
    pub cause: String,
}

/// Records promotions.
#[derive(Debug)]
pub struct Recorder {
    /// Where the records are.
    pub records: S3Store,
    /// What it signs with.
    pub signer: KmsSigner,
    /// The configuration of the clients that look at what is live.
    pub config: SdkConfig,
}

impl Recorder {
    /// Records what the steps came to.
    ///
    /// # Errors
    /// `RecordError` where a record could not be read or written; it may be asked again.
    pub async fn handle(&self, event: Value, log: &Logger) -> Result<RecordAnswer, FunctionError> {
        let failed = |error: anyhow::Error| FunctionError::new("RecordError", format!("{error:#}"));
        let input: RecordInput =
            serde_json::from_value(event).map_err(|error| FunctionError::new("InvalidStepInput", error))?;
        let stored = PromotionRecord::load(&self.records, &input.promotion).await;
        let stored = stored.map_err(|error| failed(error.into()))?;
        let live = self.live(&stored.record, log).await;
        record_outcome(&self.records, &self.signer, &input, stored, live, wall_clock(), log).await.map_err(failed)
    }

    /// What is live now. That some of it can't be told must not keep the record from being written: it is written so.
    async fn live(&self, record: &PromotionRecord, log: &Logger) -> Vec<LiveFunction> {
        let config = stage_config(&self.config, record.role_arn.as_deref()).await;
        let live = live::look(&config, &record.plan).await;
        for LiveFunction { function, unread, .. } in &live {
            if let Some(why) = unread {
                log.error("what is live could not be looked at", json!({"function": function, "error": why}));
            }
        }
        live
    }
}

/// Writes what the steps came to, and decides where the state machine goes from here.
///
/// # Errors
/// Where a record could not be read or written.
pub async fn record_outcome(
    records: &impl Store,
    signer: &dyn Signer,
    input: &RecordInput,
    stored: Stored<PromotionRecord>,
    live: Vec<LiveFunction>,
    now: Timestamp,
    log: &Logger,
) -> anyhow::Result<RecordAnswer> {
    let log = log
        .for_commit(&stored.record.commit())
        .with("promotion_id", stored.record.promotion_id.as_str())
        .with("stage", stored.record.stage.as_str());
    let had_ended = stored.record.ended_at.is_some();
    let record = completed_record(&stored.record, input, live, now);
    let (status, ended_at) = (record.status, record.ended_at);
    let cause = failure(input).or_else(|| overruled(status));

    // What can't be read of what the steps told is an error before anything says that the promotion succeeded.
    if status == Status::Succeeded {
        deployment(&record, now)?;
    }
    // The record first, under the condition that nobody else has completed it: all else follows from it, and whoever is
    // killed in between is asked again. The lock last.
    if record != stored.record {
        let key = PromotionRecord::key(&input.promotion);
        let written = record::write(records, &key, &record, &Precondition::Unchanged(stored.etag)).await?;
        // The step is retried then, and goes on from what stands.
        anyhow::ensure!(matches!(written, Written::Done { .. }), "the record was changed by somebody else");
    }
    if let Some(ended_at) = ended_at {
        if status == Status::Succeeded {
            let advanced = complete::advance_stage(records, &record).await?;
            anyhow::ensure!(matches!(advanced, Written::Done { .. }), "the stage's state was changed by somebody else");
            write_handoffs(records, &record, ended_at).await?;
            attest(records, signer, &record, ended_at).await?;
        }
        let chain = Chain { stage: record.stage.clone(), repo: record.repo.clone() };
        let event = entry::of_promotion(&record)?;
        ledger::append(records, signer, &chain, &event, Some(record.started_at), now).await?;
        release_lock(records, &input.promotion, now).await?;
    }

    let fields = json!({"step": "record-promotion", "status": status, "cause": cause, "live": record.live});
    match status {
        Status::Succeeded => log.info("promotion succeeded", fields),
        Status::GoingBack => log.warn("promotion failed, going back to the commit before", fields),
        _ => log.error("promotion failed", fields),
    }
    if ended_at.is_some() && !had_ended {
        let counted = if status == Status::Succeeded { "succeeded" } else { "failed" };
        log.count("Promotions", Some(("Status", counted)), 1);
    }
    Ok(RecordAnswer { status, cause: cause.unwrap_or_default() })
}

/// The record with what the steps came to. One that has ended is final: the ledger has its digest.
fn completed_record(
    stored: &PromotionRecord,
    input: &RecordInput,
    live: Vec<LiveFunction>,
    now: Timestamp,
) -> PromotionRecord {
    let mut record = stored.clone();
    if stored.ended_at.is_some() {
        return record;
    }
    record.steps.retain(|step| step.direction != input.direction);
    record.steps.extend(step_records(input));
    record.status = next_status(stored, input.direction, failure(input).is_none());
    record.live = with_versions(live, &input.functions);
    record.ended_at = (record.status != Status::GoingBack).then_some(now);
    record
}

/// Why a promotion whose steps are all done has failed nevertheless.
fn overruled(status: Status) -> Option<String> {
    let done_in_vain = matches!(status, Status::Failed);
    done_in_vain.then(|| "its record had been completed as failed before: nothing of it seemed to run".to_owned())
}

/// The steps in their order with what they answered.
fn answers(input: &RecordInput) -> [(&'static str, &StepAnswer); 4] {
    [
        ("apply-stack", &input.stacks),
        ("deploy-function", &input.functions),
        (MIGRATE_DATABASE, &input.databases),
        ("smoke-test", &input.smoke),
    ]
}

/// Why the steps failed, in one line; none where all are done.
fn failure(input: &RecordInput) -> Option<String> {
    let (step, answer) = answers(input).into_iter().find(|(_, answer)| answer.status != StepStatus::Done)?;
    let failed = answer.progress.iter().filter(|it| it.status == ReportStatus::Failed);
    let mut reasons: Vec<_> = failed.map(|report| format!("`{}`: {}", report.subject, report.detail)).collect();
    if let Some(caught) = &input.error {
        reasons.push(format!("{}: {}", caught.error, caught.cause));
    }
    Some(format!("{step} failed: {}", reasons.join("; ")))
}

fn step_records(input: &RecordInput) -> Vec<StepRecord> {
    let mut caught = input.error.as_ref().map(|it| format!("{}: {}", it.error, it.cause));
    let mut steps = Vec::new();
    for (step, answer) in answers(input) {
        let done = answer.status == StepStatus::Done;
        let error = if done { None } else { caught.take() };
        if done || error.is_some() || !answer.progress.is_empty() {
            let reports = answer.progress.clone();
            steps.push(StepRecord { step: step.to_owned(), direction: input.direction, reports, error });
        }
    }
    steps
}

/// The live functions with the versions that `deploy-function` reports to have published of them.
fn with_versions(mut live: Vec<LiveFunction>, functions: &StepAnswer) -> Vec<LiveFunction> {
    for function in &mut live {
        let report = functions.progress.iter().find(|report| report.subject == function.function);
        let version = report.and_then(|report| report.facts.get("version")).and_then(Value::as_str);
        function.version = version.map(str::to_owned);
    }
    live
}

/// What the promotion is now. A rollback has no way back: a rollback never rolls back a rollback.
fn next_status(record: &PromotionRecord, direction: Direction, succeeded: bool) -> Status {
    match (direction, succeeded) {
        (Direction::Forward, true) => Status::Succeeded,
        (Direction::Forward, false) if record.way_back.is_some() => Status::GoingBack,
        (Direction::Back, true) => Status::RolledBack,
        (_, false) => Status::Failed,
    }
}

/// Writes the Deployed handoff of every module, once a stage (CONTRACT §7). There is one place for all stages: the one of an
/// earlier stage, such as dev's, is followed by this one as its next version.
async fn write_handoffs(records: &impl Store, record: &PromotionRecord, at: Timestamp) -> anyhow::Result<()> {
    let commit = record.commit();
    let evidence = PromotionRecord::key(&PromotionRef {
        stage: record.stage.clone(),
        repo: record.repo.clone(),
        promotion_id: record.promotion_id.clone(),
    });
    let comparisons = record.schema_comparisons()?;
    let documents = record.plan.modules().into_iter().map(|module| {
        let artefacts = record.plan.artefacts_of(module);
        let artefacts = artefacts.iter().map(|it| (it.key.as_str(), it.sha256.to_string()));
        let databases = record.plan.databases.iter().filter(|it| it.modules.contains(module));
        let schemas = databases.filter_map(|it| comparisons.get(&it.database).map(|found| (&it.database, found)));
        let document = handoff::deployed(&commit, module, &record.stage, at, &evidence, artefacts, schemas);
        (RecordKey::DeployedHandoff(commit.clone(), module.clone()), document)
    });
    let documents: Vec<_> = documents.collect();
    stream::iter(documents)
        .map(|(key, document)| write_handoff(records, key, document, &record.stage))
        .buffer_unordered(16)
        .try_for_each(|()| async { Ok(()) })
        .await
        .context("a handoff document could not be written")
}

async fn write_handoff(
    records: &impl Store,
    key: RecordKey,
    document: String,
    stage: &StageName,
) -> anyhow::Result<()> {
    let key = key.to_string();
    let precondition = match records.get(&key, None, front_matter::MAX_BYTES).await? {
        None => Precondition::Absent,
        Some(there) => {
            let front_matter = FrontMatter::of(&String::from_utf8_lossy(&there.bytes));
            if front_matter.is_ok_and(|it| it.stage == *stage) {
                return Ok(());
            }
            Precondition::Unchanged(there.etag)
        }
    };
    let written = records.put(&key, document.as_bytes(), "text/markdown", &precondition).await?;
    // The step is retried then, and looks again.
    anyhow::ensure!(matches!(written, Written::Done { .. }), "`{key}` was changed by somebody else");
    Ok(())
}

/// Releases the lock, where this promotion still holds it.
async fn release_lock(records: &impl Store, promotion: &PromotionRef, now: Timestamp) -> anyhow::Result<()> {
    let key = RecordKey::Lock(promotion.stage.clone(), promotion.repo.clone());
    let Some(lock) = record::read::<Lock>(records, &key).await? else { return Ok(()) };
    if lock.record.promotion_id != promotion.promotion_id || lock.record.released_at.is_some() {
        return Ok(());
    }
    let released = Lock { released_at: Some(now), ..lock.record };
    // A conflict means that somebody took it over, who then holds it.
    record::write(records, &key, &released, &Precondition::Unchanged(lock.etag)).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
