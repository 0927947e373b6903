//! Writes down what a promotion came to: its record, what the stage runs now, the handoffs; releases the
//! lock; and after a failure sends the state machine back to the commit before, where there is one.
//!
//! Every write can be repeated: killed anywhere and started again, it ends in the same records.

mod attest;
mod handoffs;

use anyhow::Context as _;
use aws_config::SdkConfig;
use gatekeeper_aws::{
    kms::KmsSigner, lambda::FunctionError, live, notify::Notifier, s3::S3Store, stage_account::stage_config,
};
use gatekeeper_model::{
    ids::Chain,
    notification::{Happened, Notification},
    store_key::RecordKey,
    telemetry::{Logger, wall_clock},
};
use gatekeeper_promotion::{
    attestation::deployment,
    brake::Stopped,
    complete, entry,
    facts::FunctionFacts,
    handover::{Handover, RecordAnswer},
    lock::Lock,
    record::{LiveFunction, PromotionRecord, Status},
    step::{Direction, PromotionRef, StepAnswer},
    transitions::after_steps,
};
use gatekeeper_proof::{Signer, ledger};
use gatekeeper_store::{Precondition, WriteStore, Written, record, record::Stored};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::attest::attest;

/// Records promotions.
#[derive(Debug)]
pub struct Recorder {
    /// Where the records are.
    pub records: S3Store,
    /// What it signs with.
    pub signer: KmsSigner,
    /// Who is told what became of promotions.
    pub notifier: Notifier,
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
        let input: Handover =
            serde_json::from_value(event).map_err(|error| FunctionError::new("InvalidStepInput", error))?;
        let stored = PromotionRecord::load(&self.records, &input.promotion).await;
        let stored = stored.map_err(|error| failed(error.into()))?;
        let live = self.live(&stored.record, log).await;
        let before = stored.record.clone();
        let recorded = record_outcome(&self.records, &self.signer, &input, stored, live, wall_clock(), log).await;
        let answer = recorded.map_err(failed)?;
        self.notifier.tell(&notification(&before, answer.status).into_iter().collect::<Vec<_>>(), log).await;
        Ok(answer)
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
    records: &impl WriteStore,
    signer: &dyn Signer,
    input: &Handover,
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
    let mut record = completed_record(&stored.record, input, live, now)?;
    // Who stopped it once all was done came too late.
    if !had_ended
        && record.stopped.is_none()
        && input.direction == Direction::Forward
        && record.status != Status::Succeeded
    {
        record.stopped = Stopped::read(records, &input.promotion, &signer.trusted().await?).await?;
    }
    let (status, ended_at) = (record.status, record.ended_at);
    let cause = input.failure(has_runs(&record)).or_else(|| overruled(status));

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
        let (mut stage_record, mut attestations) = (None, Vec::new());
        if status == Status::Succeeded {
            let advanced = complete::advance_stage(records, &record, ended_at).await?;
            stage_record = Some(advanced.context("the stage's state was changed by somebody else")?);
            handoffs::write_deployed(records, &record, ended_at).await?;
            attestations = attest(records, signer, &record, ended_at).await?;
        }
        handoffs::write_rolled_back(records, &record, ended_at, &log).await?;
        let chain = Chain { stage: record.stage.clone(), repo: record.repo.clone() };
        let event = entry::of_promotion(&record, stage_record, attestations)?;
        ledger::append(records, signer, &chain, &event, Some(record.started_at), now).await?;
        release_lock(records, &input.promotion, now).await?;
    }

    let fields = json!({"step": "record-promotion", "status": status, "cause": cause, "live": record.live, "stopped": record.stopped});
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

/// What is told of a promotion that had come as far as `before`: each turn of it once.
fn notification(before: &PromotionRecord, status: Status) -> Option<Notification> {
    let happened = match status {
        _ if before.status == status => return None,
        Status::Running => return None,
        Status::GoingBack | Status::Failed => Happened::PromotionFailed,
        Status::Succeeded => Happened::PromotionSucceeded,
        Status::RolledBack => Happened::PromotionRolledBack,
    };
    let mut told = Notification::of_stage(happened, &before.stage, Some(&before.repo));
    told.detail.commit_sha = Some(before.commit_sha.clone());
    told.detail.promotion_id = Some(before.promotion_id.clone());
    told.detail.by = Some(before.asked_by().to_owned());
    told.detail.outcome = serde_json::to_value(status).ok().and_then(|it| it.as_str().map(str::to_owned));
    Some(told)
}

/// The record with what the steps came to. One that has ended is final: the ledger has its digest.
fn completed_record(
    stored: &PromotionRecord,
    input: &Handover,
    live: Vec<LiveFunction>,
    now: Timestamp,
) -> serde_json::Result<PromotionRecord> {
    let mut record = stored.clone();
    if stored.ended_at.is_some() {
        return Ok(record);
    }
    record.steps.retain(|step| step.direction != input.direction);
    record.steps.extend(input.step_records(has_runs(stored))?);
    record.status = after_steps(input.direction, input.is_done(has_runs(stored)), stored.way_back.is_some());
    record.live = with_versions(live, &input.functions);
    record.ended_at = (record.status != Status::GoingBack).then_some(now);
    Ok(record)
}

/// Whether a part of the promotion is a runner's: its own plan says so, whichever way the state machine has gone.
fn has_runs(record: &PromotionRecord) -> bool {
    !record.plan.runs.is_empty()
}

/// Why a promotion whose steps are all done has failed nevertheless.
fn overruled(status: Status) -> Option<String> {
    let done_in_vain = matches!(status, Status::Failed);
    done_in_vain.then(|| "its record had been completed as failed before: nothing of it seemed to run".to_owned())
}

/// The live functions with the versions that `deploy-function` reports to have published of them.
fn with_versions(mut live: Vec<LiveFunction>, functions: &StepAnswer<FunctionFacts>) -> Vec<LiveFunction> {
    for function in &mut live {
        let report = functions.progress.iter().find(|report| report.subject == function.function);
        match report.map_or(Ok(None), |report| report.facts.version.read()) {
            Ok(version) => function.version = version.cloned(),
            Err(why) => {
                let told = format!("its report tells a fact `version` that can't be read: {why}");
                function.unread.get_or_insert(told);
            }
        }
    }
    live
}

/// Releases the lock, where this promotion still holds it.
async fn release_lock(records: &impl WriteStore, promotion: &PromotionRef, now: Timestamp) -> anyhow::Result<()> {
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
