//! Leases a part of a promotion to a runner, waits for what the runner hands in, and judges it.
//!
//! It is asked by several. The state machine asks it as a step: the first answer opens the lease, and the last says what each
//! run came to. Whoever holds the lease's token hands in a run ([`complete`]), at any time while the lease is open. Later
//! `watch-drift` asks whether what was left still stands, since this function alone may read the backends of Pulumi's stacks.

pub mod complete;
mod pulumi;
mod standing;

use std::{collections::BTreeMap, sync::Arc};

use aws_config::SdkConfig;
use futures_util::future;
use gatekeeper_aws::{
    lambda::{FunctionError, Invocation},
    promotion_step::Begun,
};
use gatekeeper_model::{
    ids::RunName,
    telemetry::{Clock, chain},
};
use gatekeeper_promotion::{
    brake::Stopping,
    facts::RunFacts,
    plan::Plan,
    record::{PinnedRecord, PromotionRecord},
    runs::{
        CompleteAnswer, CompleteEvent, Completion, Lease, OpenLease, PlannedRun,
        standing::{RunLook, StandingEvent},
    },
    step::{Direction, PromotionRef, Report, ReportStatus, StepAnswer, StepStatus},
};
use gatekeeper_proof::KeyHolder;
use gatekeeper_store::{
    Precondition, WriteStore, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// How long the state machine waits before it asks again: at first, and at most. A runner takes minutes, and each ask is a
/// part of the execution's history.
const WAITS: [u64; 2] = [5, 20];

/// The step and what it needs.
#[derive(Debug)]
pub struct Step<S> {
    /// What CI writes: what was tested in dev.
    pub artefacts: S,
    /// Where the promotions' records are.
    pub records: S,
    /// The key of the gate's own ledger, which tells what was revoked.
    pub gate_key: Arc<dyn KeyHolder>,
    /// The configuration of the gatekeeper's own account.
    pub config: SdkConfig,
    /// The present.
    pub clock: Clock,
}

/// What it answers: to whoever hands in a run, or as a step.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What a run came to.
    Completed(Box<CompleteAnswer>),
    /// What is there now of each run of a promotion.
    Standing(BTreeMap<RunName, RunLook>),
    /// As a step.
    Step(StepAnswer<RunFacts>),
}

impl<S: WriteStore> Step<S> {
    /// Takes a run, tells what is there now of what runners left, or does the step.
    ///
    /// # Errors
    /// `InvalidStepInput`, `InvalidCompletionEvent` or `InvalidStandingEvent` where the event is none of
    /// these; `StepError` where something could not be looked at or written, and it may be asked again.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Result<Answer, FunctionError> {
        let failed = |error: anyhow::Error| FunctionError::new("StepError", format!("{error:#}"));
        if event.get("standing").is_some() {
            let StandingEvent { standing } = parsed(event, "InvalidStandingEvent")?;
            return self.standing(&standing).await.map(Answer::Standing).map_err(failed);
        }
        if event.get("complete").is_none() {
            return self.step(event, invocation).await.map(Answer::Step);
        }
        // The message names the field, and none of what stands in it: the token is a secret.
        let CompleteEvent { complete } = parsed(event, CompleteEvent::ERROR_TYPE)?;
        let answer = self.complete(&complete, &invocation.log).await;
        answer.map(|it| Answer::Completed(Box::new(it))).map_err(failed)
    }

    async fn step(&self, event: Value, invocation: &Invocation) -> Result<StepAnswer<RunFacts>, FunctionError> {
        let begun = Begun::<RunFacts>::of(event, &self.records, invocation).await?;
        if let Some(answer) = begun.stopped() {
            return Ok(answer);
        }
        let Begun { record, direction, stopping, log, .. } = begun;
        let failed = |error: RecordError| FunctionError::new("StepError", chain(&error));
        let promotion = record.reference();
        let now = (self.clock)();
        let answer = match direction {
            Direction::Back => {
                let opened = record::read::<OpenLease>(&self.records, &OpenLease::key(&promotion)).await;
                way_back(&record, opened.map_err(failed)?.map(|it| it.record).as_ref(), now)
            }
            Direction::Forward => {
                let lease = record.lease.as_ref().ok_or_else(|| {
                    FunctionError::new("InvalidStepInput", "no part of the promotion is a runner's: it has no lease")
                })?;
                let open = self.open(&promotion, lease, now).await.map_err(failed)?;
                let runs = record.plan.runs.iter();
                let completed = future::try_join_all(runs.map(|run| self.completion(&promotion, run)));
                forward(&record.plan, &open, &completed.await.map_err(failed)?, stopping.as_ref(), now)
            }
        };
        log.info("runs looked at", json!({"outcome": answer.status, "runs": record.plan.runs.len()}));
        Ok(answer)
    }

    /// The lease, opened now where it wasn't before.
    async fn open(&self, promotion: &PromotionRef, lease: &Lease, now: Timestamp) -> Result<OpenLease, RecordError> {
        let key = OpenLease::key(promotion);
        if let Some(open) = record::read::<OpenLease>(&self.records, &key).await? {
            return Ok(open.record);
        }
        let open = OpenLease::opened(promotion.promotion_id.clone(), lease, now);
        record::write(&self.records, &key, &open, &Precondition::Absent).await?;
        // Another ask may have been a moment faster: what stands there counts.
        let stands = record::read::<OpenLease>(&self.records, &key).await?;
        stands.map(|it| it.record).ok_or_else(|| RecordError::Missing(key.to_string()))
    }

    /// What was handed in of a run, with its key.
    async fn completion(
        &self,
        promotion: &PromotionRef,
        run: &PlannedRun,
    ) -> Result<Option<(String, Stored<Completion>)>, RecordError> {
        let key = Completion::key(promotion, &run.name());
        Ok(record::read(&self.records, &key).await?.map(|stored| (key.to_string(), stored)))
    }
}

/// What the runs of a plan came to so far. That one has failed is told once nobody works on another one any more: by then the
/// lock is released. A promotion that is stopped waits for nobody: its lease takes nothing from then on.
fn forward(
    plan: &Plan,
    open: &OpenLease,
    completed: &[Option<(String, Stored<Completion>)>],
    stopping: Option<&Stopping>,
    now: Timestamp,
) -> StepAnswer<RunFacts> {
    let reports = plan.runs.iter().zip(completed).map(|(run, completed)| {
        let mut report = Report::<RunFacts>::begun(run.name().to_string(), open.opened_at);
        report.facts.expires_at = open.expires_at.into();
        match completed {
            Some((key, stored)) => told(report, key, stored),
            None if stopping.is_some() => {
                let told = stopping.map_or("", |it| it.told.as_str());
                let detail = format!(
                    "{told}; a runner had the lease until then: look what it did, for it may have changed the stage"
                );
                report.ended(ReportStatus::Failed, detail, now)
            }
            None if open.is_over(now) => {
                let detail = format!(
                    "the lease ran out at {} and nothing was handed in: look what the runner did, for it may have changed the \
                     stage, then promote again",
                    open.expires_at
                );
                report.ended(ReportStatus::Failed, detail, now)
            }
            None => {
                report.detail = format!("a runner has until {}", open.expires_at);
                report
            }
        }
    });
    let progress: Vec<_> = reports.collect();
    let [first, most] = WAITS;
    let minutes = u64::try_from(now.duration_since(open.opened_at).as_mins()).unwrap_or_default();
    let wait_seconds = first.saturating_mul(minutes.saturating_add(1)).min(most);
    let is_waited_for = progress.iter().any(|report| report.status == ReportStatus::InProgress);
    let answer = StepAnswer::of(progress, plan.runs.len(), wait_seconds);
    StepAnswer { status: if is_waited_for { StepStatus::InProgress } else { answer.status }, ..answer }
}

/// A run that was handed in.
fn told(mut report: Report<RunFacts>, key: &str, stored: &Stored<Completion>) -> Report<RunFacts> {
    let Completion { completed_at, completed_by, passed, reasons, warnings, files, proof, .. } = stored.record.clone();
    let (version_id, sha256) = (stored.version_id.clone(), stored.sha256);
    let facts = &mut report.facts;
    facts.completed_at = completed_at.into();
    facts.completed_by = completed_by.into();
    facts.completion = PinnedRecord { key: key.to_owned(), version_id, sha256 }.into();
    facts.files = files.into();
    facts.proof = proof.into();
    if !warnings.is_empty() {
        facts.warnings = warnings.into();
    }
    if passed {
        return report.ended(ReportStatus::Applied, "the runner did what the plan says", completed_at);
    }
    let words: Vec<_> = reasons.iter().map(|it| format!("{}: {}", it.code, it.message)).collect();
    facts.reasons = reasons.into();
    report.ended(ReportStatus::Failed, words.join("; "), completed_at)
}

/// What becomes of a runner's part where the promotion goes back: nobody can undo it from here. Where the lease was never
/// opened there is nothing to undo.
fn way_back(record: &PromotionRecord, opened: Option<&OpenLease>, now: Timestamp) -> StepAnswer<RunFacts> {
    let runs = record.plan.runs.iter().filter(|_| opened.is_some());
    let reports = runs.map(|run| {
        let before = record.way_back.as_ref().map_or("the one before", |back| back.commit_sha.as_str());
        let detail = format!(
            "a runner had the lease for it, so it may have changed the stage: templates and functions are those of `{before}` \
             again, and what the runner left is not. Run `gatekeeper rollback --repo {} --stage {} --sha {before} --lease FILE`, \
             and what the file says at that commit",
            record.repo, record.stage
        );
        Report::begun(run.name().to_string(), now).ended(ReportStatus::Failed, detail, now)
    });
    StepAnswer::of(reports.collect(), 0, 0)
}

fn parsed<T: DeserializeOwned>(event: Value, error_type: &'static str) -> Result<T, FunctionError> {
    serde_json::from_value(event).map_err(|error| FunctionError::new(error_type, error))
}

#[cfg(test)]
mod tests;
