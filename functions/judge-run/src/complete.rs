//! Taking a run that is handed in: who may, what of, and what it comes to.
//!
//! What is not the lease's is refused, and the lease stays open. What is the lease's is written down for good, the documents
//! before the judgement on them.

use std::{collections::BTreeMap, io::Read as _};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use futures_util::future::try_join;
use gatekeeper_gate::judgement::signed_revocation;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, RunName, Sha256},
    policy::{DbtRules, Policy, Rules},
    store_key::{ArtefactPath, RecordKey, RunFile},
    telemetry::Logger,
};
use gatekeeper_promotion::{
    brake::{Stopping, stopping},
    record::{PromotionRecord, Status},
    runs::{Complete, CompleteAnswer, Completion, HandedIn, Judgement, OpenLease, PlannedDbt, PlannedRun, dbt},
    step::PromotionRef,
};
use gatekeeper_proof::ledger;
use gatekeeper_store::{Precondition, WriteStore, Written, record, record::RecordError, revocation};
use serde_json::json;

use crate::{Step, pulumi};

/// How often a document is written where another hand-in writes at the same time.
const MAX_ATTEMPTS: u32 = 3;

/// The largest policy that is read.
const MAX_POLICY: u64 = 1024 * 1024;

/// Documents by their names.
type Files = BTreeMap<RunFile, Vec<u8>>;

/// What the token was given for, and is open.
struct Leased<'a> {
    record: &'a PromotionRecord,
    promotion: &'a PromotionRef,
    run: &'a PlannedRun,
    open: &'a OpenLease,
}

impl<S: WriteStore> Step<S> {
    /// Takes a run.
    ///
    /// # Errors
    /// Where something could not be read or written: nothing is said of the run then, and it may be handed in again.
    pub async fn complete(&self, asked: &Complete, log: &Logger) -> anyhow::Result<CompleteAnswer> {
        let Complete { promotion, run, completed_by, .. } = asked;
        let log = log
            .with("stage", promotion.stage.as_str())
            .with("repo", promotion.repo.as_str())
            .with("promotion_id", promotion.promotion_id.as_str())
            .with("step", "judge-run");
        let answer = self.taken(asked).await?;
        match &answer {
            CompleteAnswer::Refused { reasons } => {
                log.warn("run refused", json!({"run": run, "completed_by": completed_by, "reasons": reasons}));
            }
            CompleteAnswer::Passed { .. } => {
                log.info("run passed", json!({"run": run, "completed_by": completed_by}));
            }
            CompleteAnswer::Failed { completion } => {
                let reasons = &completion.reasons;
                log.error("run failed", json!({"run": run, "completed_by": completed_by, "reasons": reasons}));
            }
        }
        Ok(answer)
    }

    async fn taken(&self, asked: &Complete) -> anyhow::Result<CompleteAnswer> {
        let Complete { promotion, token, run, completed_by, evidence } = asked;
        let refuse = |code, message: String| Ok(refused(vec![Finding::new(code, run.as_str(), message)]));
        let record = match PromotionRecord::load(&self.records, promotion).await {
            Ok(stored) => Some(stored.record),
            Err(RecordError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        // The same words for each, so that nobody learns by asking which promotions there are.
        let leased = record.filter(|record| record.lease.as_ref().is_some_and(|lease| lease.is_of(token)));
        let Some(record) = leased else {
            let message = "there is no such promotion, it has no lease, or the token is not its lease's".to_owned();
            return refuse(Code::LeaseInvalid, message);
        };
        let Some(planned) = record.plan.runs.iter().find(|it| it.name() == *run) else {
            let there: Vec<_> = record.plan.runs.iter().map(|it| format!("`{}`", it.name())).collect();
            return refuse(Code::RunEvidenceInvalid, format!("the promotion's runs are {}", there.join(", ")));
        };
        if record.ended_at.is_some() || record.status != Status::Running {
            let message = format!("the promotion is `{}`: nothing of it is taken any more", record.status.as_str());
            return refuse(Code::LeaseNotOpen, message);
        }
        let (open, stopping) = try_join(
            record::read::<OpenLease>(&self.records, &OpenLease::key(promotion)),
            stopping(&self.records, promotion),
        )
        .await?;
        if let Some(Stopping { told }) = stopping {
            return refuse(Code::LeaseNotOpen, format!("{told}: nothing of the promotion is taken any more"));
        }
        let Some(open) = open else {
            let message =
                "the lease is not open yet: the steps before are at work; wait for `gatekeeper promote --lease`";
            return refuse(Code::LeaseNotOpen, message.to_owned());
        };
        let open = open.record;
        let now = (self.clock)();
        if !open.takes(now) {
            return refuse(Code::LeaseNotOpen, format!("the lease ran out at {}: promote again", open.expires_at));
        }
        let key = Completion::key(promotion, run);
        if let Some(before) = record::read::<Completion>(&self.records, &key).await? {
            return Ok(refused(vec![completed_before(&before.record)]));
        }
        let files = match decoded(planned, evidence) {
            Ok(files) => files,
            Err(reasons) => return Ok(refused(reasons)),
        };
        let leased = Leased { record: &record, promotion, run: planned, open: &open };
        let (mut reasons, warnings, proof) = match self.judge(&leased, &files).await? {
            Judgement::Refused(reasons) => return Ok(refused(reasons)),
            Judgement::Final { reasons, warnings, proof } => (reasons, warnings, proof),
        };
        // Somebody took the commit back meanwhile: the runner is done with it, and the stage must not stay so.
        reasons.extend(self.revoked(&record).await?);
        let files = self.keep(&leased, &files).await?;
        let completion = Completion {
            schema_version: 1,
            promotion_id: promotion.promotion_id.clone(),
            run: run.clone(),
            completed_at: (self.clock)(),
            completed_by: completed_by.clone(),
            passed: reasons.is_empty(),
            reasons,
            warnings,
            files,
            proof,
        };
        if open.is_over(completion.completed_at) {
            return refuse(Code::LeaseNotOpen, format!("the lease ran out at {} meanwhile", open.expires_at));
        }
        match record::write(&self.records, &key, &completion, &Precondition::Absent).await? {
            Written::Done { .. } if completion.passed => Ok(CompleteAnswer::Passed { completion }),
            Written::Done { .. } => Ok(CompleteAnswer::Failed { completion }),
            Written::Conflict => {
                let before = record::read::<Completion>(&self.records, &key).await?;
                let before = before.context("another hand-in was a moment faster, and it is not there")?;
                Ok(refused(vec![completed_before(&before.record)]))
            }
        }
    }

    /// That the commit was taken back, by the record that says so or by the gate's signed entry, whichever is there.
    async fn revoked(&self, record: &PromotionRecord) -> anyhow::Result<Option<Finding>> {
        let (commit, manifest) = (record.commit(), &record.manifest_version_id);
        let told = async { Ok::<_, anyhow::Error>(revocation::read(&self.records, &commit).await?) };
        let signed = async {
            let key = self.gate_key.trusted().await?;
            Ok(ledger::standing(&self.records, &Chain::of_gate(commit.repo.clone()), &key).await?)
        };
        let (told, signed) = try_join(told, signed).await?;
        let told = told.filter(|it| it.taken_back.concerns(manifest));
        let told =
            told.map(|it| Finding::new(Code::Revoked, ArtefactPath::Manifest.of(&commit), it.taken_back.to_string()));
        Ok(told.or_else(|| signed_revocation(&commit, &signed, manifest)))
    }

    async fn judge(&self, leased: &Leased<'_>, files: &Files) -> anyhow::Result<Judgement> {
        match leased.run {
            PlannedRun::Pulumi(planned) => pulumi::judge(&self.config, planned, leased.promotion, leased.open).await,
            PlannedRun::Dbt(planned) => self.judge_dbt(leased, planned, files).await,
        }
    }

    async fn judge_dbt(&self, leased: &Leased<'_>, planned: &PlannedDbt, files: &Files) -> anyhow::Result<Judgement> {
        let pinned = &planned.manifest;
        let tested = self.artefacts.get(&pinned.key, Some(&pinned.version_id), dbt::MAX_DOCUMENT).await?;
        let tested = tested.with_context(|| format!("version `{}` of `{}` is gone", pinned.version_id, pinned.key))?;
        let sha256 = Sha256::of(&tested.bytes);
        ensure!(sha256 == pinned.sha256, "`{}` is `{sha256}`, and `{}` was pinned", pinned.key, pinned.sha256);
        let rules = self.rules(leased).await?;
        let bytes = |file| files.get(&file).map(Vec::as_slice).unwrap_or_default();
        let evidence = dbt::Evidence {
            tested: &tested.bytes,
            manifest: bytes(RunFile::Manifest),
            run_results: bytes(RunFile::RunResults),
        };
        Ok(dbt::judge(planned, evidence, &rules, &leased.promotion.promotion_id, leased.open)?)
    }

    /// What the policy says of dbt's builds, as it is now.
    async fn rules(&self, leased: &Leased<'_>) -> anyhow::Result<DbtRules> {
        let key = RecordKey::PolicyConfig.to_string();
        let repo = &leased.record.repo;
        let policy = self.records.get(&key, None, MAX_POLICY).await?;
        let policy = policy.map(|body| Policy::parse(&body.bytes)).transpose();
        let policy = policy.with_context(|| format!("`{key}` is not valid"))?;
        Ok(policy.map_or_else(|| Rules::of_adr_053(repo), |policy| policy.rules_of(repo)).dbt)
    }

    /// Stores what was handed in.
    async fn keep(&self, leased: &Leased<'_>, files: &Files) -> anyhow::Result<Vec<HandedIn>> {
        let mut kept = Vec::new();
        for (file, bytes) in files {
            let PromotionRef { stage, repo, promotion_id } = leased.promotion.clone();
            let key = RecordKey::RunEvidence(stage, repo, promotion_id, leased.run.name(), *file).to_string();
            let version_id = self.put(&key, bytes).await?;
            let (sha256, size) = (Sha256::of(bytes), bytes.len() as u64);
            kept.push(HandedIn { file: *file, key, version_id, sha256, size });
        }
        Ok(kept)
    }

    /// Writes a document. What another hand-in wrote there keeps its version, which that one's judgement names.
    async fn put(&self, key: &str, bytes: &[u8]) -> anyhow::Result<gatekeeper_model::ids::VersionId> {
        let mut precondition = Precondition::Absent;
        for _ in 0..MAX_ATTEMPTS {
            let written = self.records.put(key, bytes, "application/json", &precondition).await?;
            if let Written::Done { version_id, .. } = written {
                return Ok(version_id);
            }
            let there = self.records.head(key, None).await?;
            precondition = there.map_or(Precondition::Absent, |it| Precondition::Unchanged(it.etag));
        }
        anyhow::bail!("`{key}` is written to by others at the same time; hand it in again")
    }
}

fn refused(reasons: Vec<Finding>) -> CompleteAnswer {
    CompleteAnswer::Refused { reasons }
}

/// That a run is handed in once.
fn completed_before(before: &Completion) -> Finding {
    let Completion { run, completed_at, completed_by, passed, .. } = before;
    let came_to = if *passed { "passed" } else { "failed" };
    let message = format!("`{completed_by}` handed it in at {completed_at}, and it {came_to}");
    Finding::new(Code::RunCompleted, run.as_str(), message)
}

/// The documents as they were before they were packed for the way.
fn decoded(run: &PlannedRun, evidence: &BTreeMap<RunFile, String>) -> Result<Files, Vec<Finding>> {
    let (mut files, mut wrong) = (Files::new(), Vec::new());
    for file in run.files() {
        match evidence.get(file).map(|packed| unpacked(packed)) {
            Some(Ok(bytes)) => drop(files.insert(*file, bytes)),
            Some(Err(why)) => wrong.push(invalid(&run.name(), *file, &why)),
            None => wrong.push(invalid(&run.name(), *file, "it is missing")),
        }
    }
    let others = evidence.keys().filter(|file| !run.files().contains(file));
    wrong.extend(others.map(|file| invalid(&run.name(), *file, "nothing of this run is told by it")));
    if wrong.is_empty() { Ok(files) } else { Err(wrong) }
}

fn invalid(run: &RunName, file: RunFile, why: &str) -> Finding {
    Finding::new(Code::RunEvidenceInvalid, run.as_str(), format!("`{}`: {why}", file.as_str()))
}

fn unpacked(packed: &str) -> Result<Vec<u8>, String> {
    let zipped = STANDARD.decode(packed).map_err(|error| format!("it is no base64: {error}"))?;
    let mut bytes = Vec::new();
    let mut unzipping = GzDecoder::new(zipped.as_slice()).take(dbt::MAX_DOCUMENT + 1);
    unzipping.read_to_end(&mut bytes).map_err(|error| format!("it can't be unpacked: {error}"))?;
    if bytes.len() as u64 > dbt::MAX_DOCUMENT {
        return Err(format!("it is larger than {} bytes", dbt::MAX_DOCUMENT));
    }
    Ok(bytes)
}
