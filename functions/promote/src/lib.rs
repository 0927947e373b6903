//! The manual event (CONTRACT §5): verified and planned by the core, then locked, recorded and started here.

mod brake;
mod changes_check;
mod database_check;
mod notices;
mod patience;
mod start;
mod waive;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, anyhow};
use gatekeeper_aws::{
    Buckets,
    caller::Callers,
    kms::KmsKeys,
    lambda::{FunctionError, Invocation},
    s3::S3Store,
};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{Caller, CallerUnknown},
    ids::{Chain, Commit, PromotionId, Repo, Sha256, StageName},
    store_key::RecordKey,
    telemetry::{Logger, wall_clock},
};
use gatekeeper_promotion::{
    approval::BreakGlass,
    boundary::Home,
    brake::BrakeRequest,
    changes::Changes,
    counting::NotCounted,
    database_check::{DatabaseCheckAnswer, PendingMigration},
    entry,
    lock::Lock,
    plan::Plan,
    record::{PromotionRecord, Status},
    request::{InvalidPromotionEvent, PromotionRequest},
    rules::Requester,
    runs::{Lease, PlannedRun},
    step::PromotionRef,
    verify::{Asked, Verified, verify},
    waiver::UsedWaiver,
};
use gatekeeper_proof::ledger;
use gatekeeper_store::{ReadStore as _, Stores};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

pub use crate::{
    brake::{BrakeAnswer, Braking},
    database_check::DatabaseChecker,
    notices::notifications,
};
use crate::{
    changes_check::ChangesChecker,
    patience::look_with_patience,
    start::{Begun, Starter, Unsure},
};

/// What must be left of an invocation for an answer.
const ANSWERING: Duration = Duration::from_secs(5);

/// What `promote` answers: to whoever asks for a promotion, or pulls the brake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    /// To a request for a promotion or a rollback.
    Promotion(Box<Answer>),
    /// To a hold, a stop, or a word about a waiver.
    Brake(Box<BrakeAnswer>),
}

/// What `promote` answers to a request for a promotion or a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What became of the request.
    pub status: AnswerStatus,
    /// The promotion, where one was started.
    pub promotion_id: Option<PromotionId>,
    /// Its execution, where one was started.
    pub execution_arn: Option<String>,
    /// What the runner needs for its part, where it has one. The token is told here and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<GivenLease>,
    /// Every reason for a refusal.
    pub reasons: Vec<Finding>,
    /// What is or would be applied; empty for a refusal, but of a dry run that only people or time stand against.
    pub plan: Plan,
    /// The digest of that, which an approval may name; none where nothing is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_sha256: Option<Sha256>,
    /// What would change by that, where a dry run asks; with a refusal for what would change too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// What the migrations would do that the stage's databases have not run, of a dry run and of a refusal for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<PendingMigration>,
    /// The approvals that don't count, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<NotCounted>,
    /// What two people waived of the stage's rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// The rules that two people waive until a time, without which it would be refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<UsedWaiver>,
    /// What is worth knowing beside the answer, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A lease as whoever asked gets it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct GivenLease {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// What entitles to hand in a run: a secret.
    pub token: String,
    /// How long the lease lasts from when it is opened.
    pub expires_in_minutes: u16,
}

impl std::fmt::Debug for GivenLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenLease").field("promotion_id", &self.promotion_id).finish_non_exhaustive()
    }
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
    /// Where the gatekeeper is.
    pub home: Home,
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
    /// `InvalidPromotionEvent` for a malformed event, `StartUnsure` where a promotion may run or not, `PromoteError` where it
    /// could not look or write, and nothing was started.
    pub async fn handle(&self, event: &Value, invocation: &Invocation) -> Result<Answered, FunctionError> {
        let invalid = |error| FunctionError::new(InvalidPromotionEvent::ERROR_TYPE, error);
        if BrakeRequest::is_in(event) {
            let (request, proof) = BrakeRequest::parse(event).map_err(invalid)?;
            let log = invocation.log.with("stage", request.stage.as_str());
            let braking = Braking {
                records: &self.buckets.records,
                signer: self.keys.promotion(),
                approvals: self.keys.approval(),
                log: &log,
            };
            let holds = Chain::of_holds(&request.stage);
            let caller = async { self.callers.identify(&proof, &request.bound(&holds), wall_clock()).await };
            let answer = braking.answer(&request, caller, wall_clock()).await;
            return match answer {
                Ok(answer) => Ok(Answered::Brake(Box::new(answer))),
                Err(error) => Err(FunctionError::new("PromoteError", format!("{error:#}"))),
            };
        }
        let request = PromotionRequest::parse(event).map_err(invalid)?;
        let log = invocation.log.with("stage", request.stage.as_str()).with("repo", request.repo.as_str());
        let answer = self.answer(&request, invocation.deadline, &log).await;
        answer.map(|it| Answered::Promotion(Box::new(it))).map_err(|error| {
            let kind = if error.is::<Unsure>() { "StartUnsure" } else { "PromoteError" };
            FunctionError::new(kind, format!("{error:#}"))
        })
    }

    async fn answer(&self, request: &PromotionRequest, deadline: Timestamp, log: &Logger) -> anyhow::Result<Answer> {
        let Buckets { artefacts, records, witness } = &self.buckets;
        let now = wall_clock();
        let look = async || {
            let (keys, requester) = (self.keys.public_keys(), self.requester(request, now));
            let (stores, asked) = (Stores { artefacts, records }, Asked { request, home: &self.home, now });
            verify(stores, witness.as_ref(), asked, keys, requester).await
        };
        let (verified, mut notes) = look_with_patience(look).await?;
        for note in &notes {
            log.warn("promotion waited for the gate", json!({"commit_sha": request.commit_sha, "note": note}));
        }
        let mut verified = match verified {
            Ok(verified) => verified,
            Err(reasons) => return self.refuse(request, reasons, log).await,
        };
        notes.extend(nowhere(request, &verified));
        if !verified.not_yet.is_empty() {
            return self.not_yet(request, *verified, notes, deadline, log).await;
        }
        let log = log.for_commit(&verified.commit);
        if let Some(lock) = &verified.lock
            && !self.may_take(&lock.record, now, &log).await?
        {
            return self.refuse(request, vec![in_progress(request, Some(&lock.record))], &log).await;
        }
        let DatabaseCheckAnswer { reasons, migrations, .. } = self.databases.check(request, &mut verified).await?;
        if !reasons.is_empty() {
            let is_for_them = reasons.iter().any(|it| it.code == Code::MigrationRefused);
            let refusal = self.refuse(request, reasons, &log).await?;
            return Ok(Answer { migrations: if is_for_them { migrations } else { Vec::new() }, ..refusal });
        }
        let changes = if request.changes { Some(self.changes(request, &verified, deadline).await?) } else { None };
        if let Some(told) = changes.as_ref().filter(|told| !told.reasons.is_empty()) {
            let refusal = self.refuse(request, told.reasons.clone(), &log).await?;
            return Ok(Answer { changes, migrations, notes, ..refusal });
        }
        if request.dry_run {
            log.info("promotion planned, dry run", json!({"commit_sha": verified.commit.sha}));
            return Ok(Answer {
                status: AnswerStatus::Planned,
                promotion_id: None,
                execution_arn: None,
                lease: None,
                reasons: Vec::new(),
                plan: verified.plan,
                plan_sha256: Some(verified.plan_sha256),
                changes,
                migrations,
                not_counted: verified.ruling.not_counted,
                break_glass: verified.ruling.break_glass,
                waived: verified.ruling.waived,
                notes,
            });
        }
        Ok(Answer { notes, ..self.start(request, *verified, now, &log).await? })
    }

    /// Answers a dry run that people or time stand against: with what is planned, and where it asks with what that would
    /// change, because whoever approves looks at it before.
    async fn not_yet(
        &self,
        request: &PromotionRequest,
        mut verified: Verified,
        notes: Vec<String>,
        deadline: Timestamp,
        log: &Logger,
    ) -> anyhow::Result<Answer> {
        let mut reasons = std::mem::take(&mut verified.not_yet);
        let (mut migrations, mut changes) = (Vec::new(), None);
        if request.changes {
            let looked = self.databases.check(request, &mut verified).await?;
            migrations = looked.migrations;
            if looked.reasons.is_empty() {
                let told = self.changes(request, &verified, deadline).await?;
                reasons.extend(told.reasons.iter().cloned());
                changes = Some(told);
            }
            reasons.extend(looked.reasons);
        }
        let refusal = self.refuse(request, reasons, log).await?;
        let (plan, plan_sha256) = (verified.plan, Some(verified.plan_sha256));
        let (not_counted, waived) = (verified.ruling.not_counted, verified.ruling.waived);
        Ok(Answer { plan, plan_sha256, changes, migrations, not_counted, waived, notes, ..refusal })
    }

    /// What the plan would change.
    async fn changes(
        &self,
        request: &PromotionRequest,
        verified: &Verified,
        deadline: Timestamp,
    ) -> anyhow::Result<Changes> {
        let checker = ChangesChecker {
            step_functions: &self.step_functions,
            state_machine_arn: &self.state_machine_arn,
            until: deadline - ANSWERING,
        };
        checker.ask(request, verified, &new_promotion_id()?).await
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
    async fn may_take(&self, lock: &Lock, now: Timestamp, log: &Logger) -> anyhow::Result<bool> {
        if lock.released_at.is_some() {
            return Ok(true);
        }
        let execution = self.starter(now, log).execution(&lock.execution_arn).await?;
        Ok(lock.may_be_taken(execution, now))
    }

    fn starter<'a>(&'a self, now: Timestamp, log: &'a Logger) -> Starter<'a, S3Store> {
        Starter {
            records: &self.buckets.records,
            signer: self.keys.promotion(),
            step_functions: &self.step_functions,
            state_machine_arn: &self.state_machine_arn,
            now,
            log,
        }
    }

    async fn start(
        &self,
        request: &PromotionRequest,
        mut verified: Verified,
        now: Timestamp,
        log: &Logger,
    ) -> anyhow::Result<Answer> {
        if let Some(released) = verified.ruling.released.take() {
            let (hold, release) = *released;
            brake::enter_release(&self.buckets.records, self.keys.promotion(), &hold, &release, now).await?;
        }
        let promotion = PromotionRef {
            stage: request.stage.clone(),
            repo: request.repo.clone(),
            promotion_id: new_promotion_id()?,
        };
        let log = log.with("promotion_id", promotion.promotion_id.as_str());
        let execution_arn = execution_arn(&self.state_machine_arn, &promotion.promotion_id);
        let lease_minutes = verified.stage.lease_minutes;

        let (lock, plan_sha256) = (verified.lock.take(), verified.plan_sha256);
        let token = if verified.plan.runs.is_empty() { None } else { Some(new_token()?) };
        let mut record = new_record(request, verified, &promotion, &execution_arn, &self.home, now);
        record.lease = token.as_ref().map(|token| Lease::of(token, lease_minutes));
        match self.starter(now, &log).begin(&record, lock.as_ref()).await? {
            Begun::Started => {}
            Begun::Locked(lock) => {
                return self.refuse(request, vec![in_progress(request, lock.as_ref())], &log).await;
            }
            Begun::CaughtUp(lock) => return self.refuse(request, vec![caught_up(request, &lock)], &log).await,
            Begun::Held(held) => return self.refuse(request, vec![held], &log).await,
        }
        if !record.witness.is_empty() {
            log.warn(
                "promotion started although the witness disagrees with the ledger",
                json!({"reasons": record.witness}),
            );
        }
        for used in &record.waived {
            log.warn(
                "rule of the stage waived for a promotion",
                json!({"waiver_id": used.waiver.id, "waived": used.told()}),
            );
            log.count("WaiversUsed", None, 1);
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
                "runs": record.plan.runs.iter().map(PlannedRun::name).collect::<Vec<_>>(),
                "way_back": record.way_back.as_ref().map(|back| &back.commit_sha),
            }),
        );
        Ok(Answer {
            status: AnswerStatus::Started,
            lease: token.map(|token| GivenLease {
                promotion_id: promotion.promotion_id.clone(),
                token,
                expires_in_minutes: lease_minutes,
            }),
            promotion_id: Some(promotion.promotion_id),
            execution_arn: Some(execution_arn),
            reasons: Vec::new(),
            plan: record.plan,
            plan_sha256: Some(plan_sha256),
            changes: None,
            migrations: Vec::new(),
            not_counted: record.not_counted,
            break_glass: record.break_glass,
            waived: record.waived,
            notes: Vec::new(),
        })
    }

    /// Answers no. What was really asked for goes into the ledger; of a stage that nobody configured there is none, nor of a
    /// repository that nobody knows.
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
        // On top of a chain that is broken or was rolled back nothing is written: the reason says so already.
        let chain = Chain { stage: request.stage.clone(), repo: request.repo.clone() };
        let head = RecordKey::LedgerHead(chain.clone()).to_string();
        let is_whole = !reasons.iter().any(|it| {
            it.code == Code::LedgerBroken && it.subject == head
                || it.code == Code::LedgerRolledBack && it.subject == chain.to_string()
        });
        if !request.dry_run && is_configured && is_whole && self.is_known(request).await? {
            let event = entry::of_refusal(request, &reasons, &new_promotion_id()?);
            self.enter(&request.stage, &request.repo, &event, None).await?;
        }
        Ok(Answer {
            status: AnswerStatus::Refused,
            promotion_id: None,
            execution_arn: None,
            lease: None,
            reasons,
            plan: Plan::default(),
            plan_sha256: None,
            changes: None,
            migrations: Vec::new(),
            not_counted: Vec::new(),
            break_glass: None,
            waived: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Whether a chain of the ledger is there or may begin: it begins with a commit that the gate has judged, not with a slip
    /// of the pen, which would stay there for good.
    async fn is_known(&self, request: &PromotionRequest) -> anyhow::Result<bool> {
        let (repo, records) = (&request.repo, &self.buckets.records);
        let chain = Chain { stage: request.stage.clone(), repo: repo.clone() };
        if records.head(&RecordKey::LedgerHead(chain).to_string(), None).await?.is_some() {
            return Ok(true);
        }
        // A rollback that names none is of what runs, and where something runs there is a chain.
        let Some(sha) = &request.commit_sha else { return Ok(false) };
        let commit = Commit { repo: repo.clone(), sha: sha.clone() };
        Ok(records.head(&RecordKey::Verdict(commit).to_string(), None).await?.is_some())
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
}

/// What nobody can guess, in letters that a file and a shell take as they are.
fn new_token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gave no random bytes: {error}"))?;
    Ok(gatekeeper_model::ids::Sha256::of(&bytes).to_string())
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
    home: &Home,
    now: Timestamp,
) -> PromotionRecord {
    let Commit { repo, sha } = verified.commit;
    let shared_account = home.is_shared && home.hosts(&verified.stage);
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
        accept_replacement: request.accept_replacement.clone(),
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
        allow_private: verified.stage.allow_private,
        shared_account,
        approvals: verified.ruling.approvals,
        not_counted: verified.ruling.not_counted,
        identities_config: verified.identities_config,
        break_glass: verified.ruling.break_glass,
        waived: verified.ruling.waived,
        hold: verified.ruling.hold,
        stopped: None,
        witness: verified.ruling.witness,
        plan: verified.plan,
        lease: None,
        promotion_before: verified.promotion_before,
        way_back: verified.way_back,
        steps: Vec::new(),
        live: Vec::new(),
    }
}

/// What `accept_replacement` names in stacks that are not touched: mostly a slip of the pen.
fn nowhere(request: &PromotionRequest, verified: &Verified) -> Vec<String> {
    let plans = std::iter::once(&verified.plan).chain(verified.way_back.iter().map(|back| &back.plan));
    let stacks: BTreeSet<_> = plans.flat_map(|plan| &plan.stacks).map(|stack| &stack.stack).collect();
    let nowhere = request.accept_replacement.iter().filter_map(|path| match (path.stack(), path.urn()) {
        (Some(stack), _) if !stacks.contains(stack) => {
            Some(format!("`accept_replacement` names `{path}`, and the commit has no stack `{stack}`"))
        }
        (None, Some(urn)) if !verified.plan.changes_urn(urn) => {
            Some(format!("`accept_replacement` names `{path}`, and the preview does not change it"))
        }
        _ => None,
    });
    nowhere.collect()
}

fn in_progress(request: &PromotionRequest, lock: Option<&Lock>) -> Finding {
    let PromotionRequest { repo, stage, .. } = request;
    let message = match lock {
        Some(lock) if lock.released_at.is_none() => {
            let holder = &lock.promotion_id;
            format!("`{holder}` is promoting `{repo}` to `{stage}`; wait for it to end, then ask again")
        }
        // It came and went between two looks, and what was verified may no longer be so.
        _ => format!("another request was at `{repo}` on `{stage}` in this moment; ask again"),
    };
    Finding::new(Code::PromotionInProgress, stage.as_str(), message)
}

/// What was verified was the way from a commit that the stage no longer runs.
fn caught_up(request: &PromotionRequest, lock: &Lock) -> Finding {
    let PromotionRequest { repo, stage, .. } = request;
    let message = format!(
        "`{}` had promoted `{repo}` to `{stage}` and was not recorded to its end; the stage's state and ledger tell of it now, \
         and redriving `{}` writes what else is missing; ask again",
        lock.promotion_id, lock.execution_arn
    );
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
    fn a_token_is_told_once_and_stands_in_no_log() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert!(one != other && one.len() == 64 && one.bytes().all(|it| it.is_ascii_hexdigit()));
        let lease = Lease::of(&one, 60);
        assert!(lease.is_of(&one) && !lease.is_of(&other) && !lease.is_of(""));
        let promotion_id = new_promotion_id().unwrap();
        let given = GivenLease { promotion_id, token: one.clone(), expires_in_minutes: 60 };
        assert!(!format!("{given:?}{lease:?}").contains(&one));
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
            lease: None,
            reasons: vec![Finding::new(Code::NotBuilt, "bank-payments@3f1c", "the commit is `registered`")],
            plan: Plan::default(),
            plan_sha256: None,
            changes: None,
            migrations: Vec::new(),
            not_counted: Vec::new(),
            break_glass: None,
            waived: Vec::new(),
            notes: Vec::new(),
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
