//! The manual event (CONTRACT §5): verified and planned by the core, then locked, recorded and started here.

mod database_check;

use anyhow::Context as _;
use aws_sdk_sfn::{error::ProvideErrorMetadata as _, types::ExecutionStatus};
use gatekeeper::{
    aws::{Buckets, caller::Callers, kms::KmsKeys, lambda::FunctionError},
    finding::{Code, Finding},
    identity::{Caller, CallerUnknown},
    ids::{Commit, PromotionId, Repo, StageName},
    ledger::{self, Chain},
    promotion::{
        approval::BreakGlass,
        counting::NotCounted,
        entry,
        lock::{Execution, Lock},
        plan::Plan,
        record::{PromotionRecord, Status},
        request::{InvalidPromotionEvent, PromotionRequest},
        rules::Requester,
        step::{Direction, PromotionRef, StepInput},
        verify::{Verified, verify},
    },
    store::{
        Precondition, Written,
        record::{self, Stored},
    },
    store_key::RecordKey,
    telemetry::{Logger, wall_clock},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

pub use crate::database_check::DatabaseChecker;

/// What `promote` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What became of the request.
    pub status: AnswerStatus,
    /// The promotion, where one was started.
    pub promotion_id: Option<PromotionId>,
    /// Its execution, where one was started.
    pub execution_arn: Option<String>,
    /// Every reason for a refusal.
    pub reasons: Vec<Finding>,
    /// What is or would be applied; empty for a refusal.
    pub plan: Plan,
    /// The approvals that don't count, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<NotCounted>,
    /// What two people waived of the stage's rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerStatus {
    /// It is under way.
    Started,
    /// It may not be; nothing was touched.
    Refused,
    /// A dry run that could be started.
    Planned,
}

/// Starts promotions.
#[derive(Debug)]
pub struct Promoter {
    /// Where the artefacts and records are.
    pub buckets: Buckets,
    /// What runs a promotion.
    pub step_functions: aws_sdk_sfn::Client,
    /// The promotion state machine.
    pub state_machine_arn: String,
    /// What looks at a stage's databases.
    pub databases: DatabaseChecker,
    /// What tells who asks.
    pub callers: Callers,
    /// The gate's key and promotion's.
    pub keys: KmsKeys,
}

impl Promoter {
    /// Answers one event.
    ///
    /// # Errors
    /// `InvalidPromotionEvent` for a malformed event, `PromoteError` where it could not look or write.
    pub async fn handle(&self, event: &Value, log: &Logger) -> Result<Answer, FunctionError> {
        let request = PromotionRequest::parse(event)
            .map_err(|error| FunctionError::new(InvalidPromotionEvent::ERROR_TYPE, error))?;
        let log = log.with("stage", request.stage.as_str()).with("repo", request.repo.as_str());
        let answer = self.answer(&request, &log).await;
        answer.map_err(|error| FunctionError::new("PromoteError", format!("{error:#}")))
    }

    async fn answer(&self, request: &PromotionRequest, log: &Logger) -> anyhow::Result<Answer> {
        let Buckets { artefacts, records } = &self.buckets;
        let now = wall_clock();
        let (keys, requester) = (self.keys.public_keys(), self.requester(request, now));
        let verified = verify(artefacts, records, artefacts.bucket(), request, keys, requester, now).await?;
        let mut verified = match verified {
            Ok(verified) => verified,
            Err(reasons) => return self.refuse(request, reasons, log).await,
        };
        let log = log.for_commit(&verified.commit);
        if let Some(lock) = &verified.lock
            && !self.may_take(&lock.record, now).await?
        {
            return self.refuse(request, vec![in_progress(request, Some(&lock.record))], &log).await;
        }
        let reasons = self.databases.check(request, &mut verified).await?;
        if !reasons.is_empty() {
            return self.refuse(request, reasons, &log).await;
        }
        if request.dry_run {
            log.info("promotion planned, dry run", json!({"commit_sha": verified.commit.sha}));
            return Ok(Answer {
                status: AnswerStatus::Planned,
                promotion_id: None,
                execution_arn: None,
                reasons: Vec::new(),
                plan: verified.plan,
                not_counted: verified.ruling.not_counted,
                break_glass: verified.ruling.break_glass,
            });
        }
        self.start(request, *verified, now, &log).await
    }

    /// Who asks, as far as the event proves it.
    async fn requester(&self, request: &PromotionRequest, now: Timestamp) -> Result<Requester, CallerUnknown> {
        let Some(proof) = &request.identity_proof else { return Ok(Requester::Unnamed) };
        Ok(match self.callers.identify(proof, &request.bound(), now).await? {
            Ok(Caller::Person(identity)) => Requester::Proven(identity),
            Ok(Caller::Other(arn)) => Requester::NoPerson(arn),
            Err(wrong) => Requester::Unproven(wrong.to_string()),
        })
    }

    /// Whether a lock may be taken: only what is proved dead is taken over.
    async fn may_take(&self, lock: &Lock, now: Timestamp) -> anyhow::Result<bool> {
        if lock.released_at.is_some() {
            return Ok(true);
        }
        let answer = self.step_functions.describe_execution().execution_arn(&lock.execution_arn).send().await;
        let execution = match answer {
            Ok(execution) => match execution.status() {
                ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Execution::Running,
                _ => Execution::Ended,
            },
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Execution::Unknown,
            Err(error) => {
                return Err(error).with_context(|| format!("could not look at execution `{}`", lock.execution_arn));
            }
        };
        Ok(lock.may_be_taken(execution, now))
    }

    async fn start(
        &self,
        request: &PromotionRequest,
        verified: Verified,
        now: Timestamp,
        log: &Logger,
    ) -> anyhow::Result<Answer> {
        let promotion = PromotionRef {
            stage: request.stage.clone(),
            repo: request.repo.clone(),
            promotion_id: new_promotion_id()?,
        };
        let log = log.with("promotion_id", promotion.promotion_id.as_str());
        let execution_arn = execution_arn(&self.state_machine_arn, &promotion.promotion_id);

        if let Some(abandoned) = verified.lock.as_ref().filter(|lock| lock.record.released_at.is_none()) {
            self.close_abandoned(&promotion, &abandoned.record, now, &log).await?;
        }
        let held = Lock::held(promotion.promotion_id.clone(), execution_arn.clone(), now);
        let precondition = Stored::precondition(verified.lock.as_ref());
        let lock_key = RecordKey::Lock(request.stage.clone(), request.repo.clone());
        let records = &self.buckets.records;
        let lock = match record::write(records, &lock_key, &held, &precondition).await? {
            Written::Done { etag, version_id } => {
                Stored { sha256: record::digest(&held)?, record: held, etag, version_id }
            }
            Written::Conflict => return self.refuse(request, vec![in_progress(request, None)], &log).await,
        };
        let record = new_record(request, verified, &promotion, &execution_arn, now);
        let started = self.record_and_start(&promotion, &record).await;
        if let Err(error) = started {
            // Nothing was applied: let the next request in at once rather than when the lock is proved dead.
            self.give_up(&promotion, record, &lock, now).await?;
            return Err(error);
        }
        if let Some(broken) = &record.break_glass {
            log.warn(
                "glass broken: two people waived the stage's rules",
                json!({
                    "requester": broken.requester, "approved_by": broken.approved_by.person,
                    "reason": request.reason, "waived": broken.waived,
                }),
            );
            log.count("BreakGlass", None, 1);
        }
        log.info(
            "promotion started",
            json!({
                "execution_arn": execution_arn, "requested_by": request.requested_by, "reason": request.reason,
                "requester": record.requester.as_ref().map(|it| &it.arn),
                "approved_by": record.approvals.iter().map(|it| &it.person).collect::<Vec<_>>(),
                "rollback": request.rollback, "stacks": record.plan.stacks.len(),
                "functions": record.plan.functions.len(), "databases": record.plan.databases.len(),
                "migrations_pending": record.plan.pending().count(),
                "way_back": record.way_back.as_ref().map(|back| &back.commit_sha),
            }),
        );
        Ok(Answer {
            status: AnswerStatus::Started,
            promotion_id: Some(promotion.promotion_id),
            execution_arn: Some(execution_arn),
            reasons: Vec::new(),
            plan: record.plan,
            not_counted: record.not_counted,
            break_glass: record.break_glass,
        })
    }

    /// Answers no. What was really asked for goes into the ledger; of a stage that nobody configured there is none.
    async fn refuse(&self, request: &PromotionRequest, reasons: Vec<Finding>, log: &Logger) -> anyhow::Result<Answer> {
        log.warn(
            "promotion refused",
            json!({
                "commit_sha": request.commit_sha, "requested_by": request.requested_by,
                "dry_run": request.dry_run, "rollback": request.rollback, "reasons": reasons,
            }),
        );
        log.count("Promotions", Some(("Status", "refused")), 1);
        let is_configured = !reasons.iter().any(|it| matches!(it.code, Code::StageUnknown | Code::StagesConfigInvalid));
        // On top of a chain that is broken nothing is written: the reason says so already.
        let is_whole = !reasons.iter().any(|it| it.code == Code::LedgerBroken);
        if !request.dry_run && is_configured && is_whole {
            let event = entry::of_refusal(request, &reasons, &new_promotion_id()?);
            self.enter(&request.stage, &request.repo, &event, None).await?;
        }
        Ok(Answer {
            status: AnswerStatus::Refused,
            promotion_id: None,
            execution_arn: None,
            reasons,
            plan: Plan::default(),
            not_counted: Vec::new(),
            break_glass: None,
        })
    }

    /// Enters what happened into the stage's chain of the ledger.
    async fn enter(
        &self,
        stage: &StageName,
        repo: &Repo,
        event: &ledger::Event,
        since: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let chain = Chain { stage: stage.clone(), repo: repo.clone() };
        let signer = self.keys.promotion();
        ledger::append(&self.buckets.records, signer, &chain, event, since, wall_clock()).await?;
        Ok(())
    }

    /// Completes the record of a promotion whose execution died without, and enters it into the ledger: who is about to take
    /// over its lock has proved that. Killed in between, it is done again by whoever takes the lock then.
    async fn close_abandoned(
        &self,
        promotion: &PromotionRef,
        lock: &Lock,
        now: Timestamp,
        log: &Logger,
    ) -> anyhow::Result<()> {
        let abandoned = PromotionRef { promotion_id: lock.promotion_id.clone(), ..promotion.clone() };
        let key = PromotionRecord::key(&abandoned);
        let Some(stored) = record::read::<PromotionRecord>(&self.buckets.records, &key).await? else { return Ok(()) };
        let mut closed = stored.record;
        if closed.ended_at.is_none() {
            (closed.status, closed.ended_at) = (Status::Failed, Some(now));
            let precondition = Precondition::Unchanged(stored.etag);
            if record::write(&self.buckets.records, &key, &closed, &precondition).await? == Written::Conflict {
                // Another request is at it, and only one of the two gets the lock.
                return Ok(());
            }
            log.warn(
                "the execution of the promotion that holds the lock died; its record is completed as failed",
                json!({"abandoned_promotion_id": lock.promotion_id, "execution_arn": lock.execution_arn}),
            );
        }
        self.enter(&closed.stage, &closed.repo, &entry::of_promotion(&closed)?, Some(closed.started_at)).await
    }

    async fn record_and_start(&self, promotion: &PromotionRef, record: &PromotionRecord) -> anyhow::Result<()> {
        let key = PromotionRecord::key(promotion);
        record::write(&self.buckets.records, &key, record, &Precondition::Absent).await?;
        let input = StepInput { promotion: promotion.clone(), direction: Direction::Forward, progress: Vec::new() };
        let start = self.step_functions.start_execution().state_machine_arn(&self.state_machine_arn);
        let start = start.name(promotion.promotion_id.as_str()).input(serde_json::to_string(&input)?);
        let Err(error) = start.send().await else { return Ok(()) };
        // An answer that got lost is no failure: it may run.
        match self.step_functions.describe_execution().execution_arn(&record.execution_arn).send().await {
            Ok(_) => Ok(()),
            Err(_) => Err(error).context("the state machine could not be started"),
        }
    }

    async fn give_up(
        &self,
        promotion: &PromotionRef,
        record: PromotionRecord,
        lock: &Stored<Lock>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let records = &self.buckets.records;
        let key = PromotionRecord::key(promotion);
        if let Some(stored) = record::read::<PromotionRecord>(records, &key).await? {
            let failed = PromotionRecord { status: Status::Failed, ended_at: Some(now), ..record };
            record::write(records, &key, &failed, &Precondition::Unchanged(stored.etag)).await?;
            self.enter(&failed.stage, &failed.repo, &entry::of_promotion(&failed)?, Some(failed.started_at)).await?;
        }
        let released = Lock { released_at: Some(now), ..lock.record.clone() };
        let lock_key = RecordKey::Lock(promotion.stage.clone(), promotion.repo.clone());
        record::write(records, &lock_key, &released, &Precondition::Unchanged(lock.etag.clone())).await?;
        Ok(())
    }
}

fn new_promotion_id() -> anyhow::Result<PromotionId> {
    ulid::Ulid::generate().to_string().parse().context("a ULID is a promotion id")
}

/// The ARN that an execution of this name will have (Step Functions API reference, `StartExecution`).
fn execution_arn(state_machine_arn: &str, promotion_id: &PromotionId) -> String {
    format!("{}:{promotion_id}", state_machine_arn.replacen(":stateMachine:", ":execution:", 1))
}

fn new_record(
    request: &PromotionRequest,
    verified: Verified,
    promotion: &PromotionRef,
    execution_arn: &str,
    now: Timestamp,
) -> PromotionRecord {
    let Commit { repo, sha } = verified.commit;
    PromotionRecord {
        schema_version: 1,
        promotion_id: promotion.promotion_id.clone(),
        repo,
        commit_sha: sha,
        stage: request.stage.clone(),
        requested_by: request.requested_by.clone(),
        requester: verified.ruling.requester,
        reason: request.reason.clone(),
        rollback: request.rollback,
        accept_schema_difference: request.accept_schema_difference,
        status: Status::Running,
        execution_arn: execution_arn.to_owned(),
        started_at: now,
        ended_at: None,
        verdict_version_id: verified.verdict_version_id,
        built_attestation: verified.built_attestation,
        manifest_version_id: verified.manifest_version_id,
        stages_config_version_id: verified.stages_config_version_id,
        stages_config_sha256: Some(verified.stages_config_sha256),
        role_arn: verified.stage.role_arn,
        stack_role_arn: verified.stage.stack_role_arn,
        approvals: verified.ruling.approvals,
        not_counted: verified.ruling.not_counted,
        identities_config: verified.identities_config,
        break_glass: verified.ruling.break_glass,
        plan: verified.plan,
        way_back: verified.way_back,
        steps: Vec::new(),
        live: Vec::new(),
    }
}

fn in_progress(request: &PromotionRequest, lock: Option<&Lock>) -> Finding {
    let holder = lock.map_or_else(|| "another one".to_owned(), |lock| format!("`{}`", lock.promotion_id));
    let PromotionRequest { repo, stage, .. } = request;
    let message = format!("{holder} is promoting `{repo}` to `{stage}`; wait for it to end, then ask again");
    Finding::new(Code::PromotionInProgress, stage.as_str(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executions_arn_is_known_before_it_starts() {
        let arn = execution_arn(
            "arn:aws:states:eu-west-1:111122223333:stateMachine:promotion",
            &"01J0000000000000000000000A".parse().unwrap(),
        );
        insta::assert_snapshot!(arn, @"arn:aws:states:eu-west-1:111122223333:execution:promotion:01J0000000000000000000000A");
    }

    #[test]
    fn promotion_ids_differ_and_sort_by_time() {
        let (one, other) = (new_promotion_id().unwrap(), new_promotion_id().unwrap());
        assert_ne!(one, other);
        assert!(one.as_str()[..10] <= other.as_str()[..10]);
    }

    #[test]
    fn a_refusal_has_the_shape_of_a_start() {
        let answer = Answer {
            status: AnswerStatus::Refused,
            promotion_id: None,
            execution_arn: None,
            reasons: vec![Finding::new(Code::NotBuilt, "bank-payments@3f1c", "the commit is `registered`")],
            plan: Plan::default(),
            not_counted: Vec::new(),
            break_glass: None,
        };
        insta::assert_json_snapshot!(answer, @r#"
        {
          "status": "refused",
          "promotion_id": null,
          "execution_arn": null,
          "reasons": [
            {
              "code": "not-built",
              "message": "the commit is `registered`",
              "subject": "bank-payments@3f1c"
            }
          ],
          "plan": {
            "stacks": [],
            "functions": [],
            "migrations": [],
            "smoke": []
          }
        }
        "#);
    }
}
