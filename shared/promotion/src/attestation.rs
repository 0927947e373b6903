//! What a successful promotion attests: that the commit was verified for the stage (a SLSA verification summary), and what
//! was deployed there.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::Code,
    identity::Person,
    ids::{CommitSha, DatabaseName, Sha256, StageName, VersionId, WaiverId},
    store_key::RecordKey,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    facts::{FunctionFacts, RunFacts, SmokeFacts, StepFacts, Told},
    plan::Pinned,
    record::{PromotionRecord, SchemaComparison, UnreadFact},
    replacement::ResourcePath,
    runs::RunProof,
    step::{Direction, PromotionRef, Report},
};
use gatekeeper_proof::{Authority, Digest, NAMESPACE, Predicate, Resource, Statement, Subject, WordOf, ledger::Waiver};

/// A SLSA verification summary, version 1 (<https://slsa.dev/spec/v1.0/verification_summary>). There is one for each stage:
/// one for dev must not authorise production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSummary {
    /// Who verified.
    pub verifier: Verifier,
    /// When the commit was verified.
    pub time_verified: Timestamp,
    /// The stage and the repository that the commit was verified for, [`resource_uri`].
    pub resource_uri: String,
    /// What it was held against: `config/stages.json` in the version that was used.
    pub policy: Resource,
    /// What it rests on: the attestation that the commit is Built.
    pub input_attestations: Vec<Resource>,
    /// `PASSED`: of other promotions nothing is attested.
    pub verification_result: VerificationResult,
    /// What the commit reached: [`level_of`] the stage. No SLSA build level is claimed.
    pub verified_levels: Vec<String>,
    /// The specification's version.
    pub slsa_version: String,
}

/// Who verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// A URI.
    pub id: String,
}

/// What verifying came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerificationResult {
    /// The commit may run there.
    Passed,
}

impl Predicate for VerificationSummary {
    const TYPE: &'static str = "https://slsa.dev/verification_summary/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.time_verified)
    }
}

impl WordOf for VerificationSummary {
    const AUTHORITY: Authority = Authority::Promotion;
}

/// What a promotion left in a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The stage.
    pub stage: StageName,
    /// The promotion's record.
    pub promotion: String,
    /// Who asked for it, as they said.
    pub requested_by: String,
    /// Who asked for it, as STS said: an ARN; `None` where it was not proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// Who approved it, as STS said: ARNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    /// Whether two people waived the stage's rules for it.
    #[serde(default)]
    pub break_glass: bool,
    /// Which rules of the stage were waived for it by what two people had agreed on until a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<AttestedWaiver>,
    /// The resources that hold data and that it was allowed to replace or remove.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_replacement: BTreeSet<ResourcePath>,
    /// Why it was asked for, in the words of whoever asked.
    pub reason: String,
    /// Whether it went back to an earlier commit.
    pub rollback: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When the stage ran the commit.
    pub completed_at: Timestamp,
    /// The stacks.
    pub stacks: Vec<DeployedStack>,
    /// The functions, as they were read from Lambda at the end.
    pub functions: Vec<DeployedFunction>,
    /// How each database's live schema compared with the tested one.
    pub schemas: BTreeMap<DatabaseName, SchemaComparison>,
    /// What a runner carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<CarriedOut>,
    /// What answered afterwards.
    pub smoke: Vec<Answered>,
}

/// A rule of the stage that two people had waived until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestedWaiver {
    /// Which waiver.
    pub id: WaiverId,
    /// The rule, by the code of the refusals that it sets aside.
    pub code: Code,
    /// Until when.
    pub until: Timestamp,
    /// Who had proposed it, and who had agreed.
    pub by: [Person; 2],
}

/// A stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedStack {
    /// Its name in the stage.
    pub stack_name: String,
    /// The SHA-256 of the template that was applied.
    pub template_sha256: Sha256,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedFunction {
    /// The bundle's name.
    pub function: String,
    /// The function's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_arn: Option<String>,
    /// The version that was published of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The SHA-256 of its live code: Lambda's `CodeSha256`, in hex; `None` where it was not there, or not read.
    pub code_sha256: Option<Sha256>,
    /// Why it could not be read, in words; `None` where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// What a runner carried out, and was judged by what it handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CarriedOut {
    /// Its name in the promotion.
    pub run: String,
    /// Who handed it in, in his own words.
    pub completed_by: String,
    /// The record of what it came to.
    pub completion: Resource,
    /// What was handed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Resource>,
    /// What shows it.
    pub proof: RunProof,
}

/// A smoke check that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Which check.
    pub check: String,
    /// What it answered.
    pub detail: String,
}

impl Predicate for Deployment {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/deployment/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.completed_at)
    }
}

impl WordOf for Deployment {
    const AUTHORITY: Authority = Authority::Promotion;
}

/// What a verification summary of a promotion is for.
#[must_use]
pub fn resource_uri(promotion: &PromotionRef) -> String {
    format!("{NAMESPACE}/stages/{}/{}", promotion.stage, promotion.repo)
}

/// The level that a commit reaches by being verified for a stage, such as `ADR_053_VERIFIED_FOR_UAT`.
#[must_use]
pub fn level_of(stage: &StageName) -> String {
    format!("ADR_053_VERIFIED_FOR_{}", stage.as_str().to_uppercase().replace('-', "_"))
}

/// The summary of a promotion that succeeded; `None` where its record names no attestation that it rests on.
#[must_use]
pub fn verification_summary(record: &PromotionRecord) -> Option<Statement<VerificationSummary>> {
    let built = record.built_attestation.as_ref()?;
    let stages_config = RecordKey::StagesConfig;
    let policy = Resource {
        uri: format!("{stages_config}?versionId={}", record.stages_config_version_id),
        digest: record.stages_config_sha256.map(Digest::Sha256),
    };
    let predicate = VerificationSummary {
        verifier: Verifier { id: format!("{NAMESPACE}/promote") },
        time_verified: record.started_at,
        resource_uri: resource_uri(&record.reference()),
        policy,
        input_attestations: vec![Resource::of(format!("{}?versionId={}", built.key, built.version_id), built.sha256)],
        verification_result: VerificationResult::Passed,
        verified_levels: vec![level_of(&record.stage)],
        slsa_version: "1.0".to_owned(),
    };
    Some(Statement::new(subjects(record), predicate))
}

/// Why a verification summary doesn't say that a commit, as the gate's attestation with the SHA-256 `built` has it, was
/// verified for the stage and repository of `promotion`; `None` where it does.
#[must_use]
pub fn disagreement(
    statement: &Statement<VerificationSummary>,
    promotion: &PromotionRef,
    commit: &CommitSha,
    built: Option<Sha256>,
) -> Option<String> {
    let VerificationSummary { resource_uri: found, input_attestations, .. } = &statement.predicate;
    let expected = resource_uri(promotion);
    let rests_on_it = built.is_some_and(|built| {
        input_attestations.iter().any(|attestation| attestation.digest == Some(Digest::Sha256(built)))
    });
    if *found != expected {
        Some(format!("it is for `{found}`, not for `{expected}`"))
    } else if !statement.subject.iter().any(|it| it.digest == Digest::GitCommit(commit.clone())) {
        Some(format!("it is not of commit `{commit}`"))
    } else if !rests_on_it {
        let stage = &promotion.stage;
        Some(format!("it rests on another attestation than the commit has now; promote it to `{stage}` again"))
    } else {
        None
    }
}

/// What a promotion that succeeded left in its stage.
///
/// # Errors
/// [`UnreadFact`] where the record tells something that can't be read: nothing is signed in its place.
pub fn deployment(record: &PromotionRecord, completed_at: Timestamp) -> Result<Statement<Deployment>, UnreadFact> {
    let deployed = forward::<FunctionFacts>(record)?;
    let functions = record.plan.functions.iter().map(|planned| {
        let name = planned.function.as_str();
        let live = record.live.iter().find(|live| live.function == name);
        // A record of before each function told why it could not be looked at tells of none of them then.
        if live.is_none() && !record.live.is_empty() {
            let key = PromotionRecord::key(&record.reference()).to_string();
            let why = "it is not told".to_owned();
            return Err(UnreadFact { key, subject: name.to_owned(), fact: "live".to_owned(), why });
        }
        let report = deployed.iter().find(|report| report.subject == name);
        Ok(DeployedFunction {
            function: name.to_owned(),
            function_arn: text(record, report, "function_arn", |facts| match facts.function_arn.read() {
                Ok(None) => Ok(None),
                Ok(Some(Some(arn))) => Ok(Some(arn.clone())),
                Ok(Some(None)) | Err(_) => Err(NoText),
            })?,
            version: text(record, report, "version", |facts| match facts.version.read() {
                Ok(version) => Ok(version.cloned()),
                Err(_) => Err(NoText),
            })?,
            code_sha256: live.and_then(|live| live.code_sha256),
            unread: live.and_then(|live| live.unread.clone()),
        })
    });
    let stacks = record.plan.stacks.iter().map(|stack| DeployedStack {
        stack_name: stack.stack_name.to_string(),
        template_sha256: stack.applied_sha256(),
    });
    let smoke = forward::<SmokeFacts>(record)?;
    let smoke = smoke.iter().map(|it| Answered { check: it.subject.clone(), detail: it.detail.clone() });
    let predicate = Deployment {
        stage: record.stage.clone(),
        promotion: PromotionRecord::key(&record.reference()).to_string(),
        requested_by: record.requested_by.clone(),
        requester: record.requester.as_ref().map(|it| it.arn.clone()),
        approved_by: record.counted_approvals().map(|it| it.arn.clone()).collect(),
        break_glass: record.break_glass.is_some(),
        waivers: record.waived.iter().map(|used| attested_waiver(&used.waiver)).collect(),
        accept_replacement: record.accept_replacement.clone(),
        reason: record.reason.clone(),
        rollback: record.rollback,
        started_at: record.started_at,
        completed_at,
        stacks: stacks.collect(),
        functions: functions.collect::<Result<_, _>>()?,
        schemas: record.schema_comparisons()?,
        runs: carried_out(record)?,
        smoke: smoke.collect(),
    };
    Ok(Statement::new(subjects(record), predicate))
}

fn attested_waiver(Waiver { id, code, until, proposed_by, agreed_by, .. }: &Waiver) -> AttestedWaiver {
    AttestedWaiver { id: id.clone(), code: *code, until: *until, by: [proposed_by.clone(), agreed_by.clone()] }
}

/// The forward reports of a step.
fn forward<F: StepFacts>(record: &PromotionRecord) -> Result<Vec<Report<F>>, UnreadFact> {
    let forward = |(direction, report)| (direction == Direction::Forward).then_some(report);
    record.reported().filter_map(|reported| reported.map(forward).transpose()).collect()
}

/// What runners carried out of a promotion that succeeded.
///
/// # Errors
/// [`UnreadFact`] where a report doesn't tell all of it.
pub fn carried_out(record: &PromotionRecord) -> Result<Vec<CarriedOut>, UnreadFact> {
    forward::<RunFacts>(record)?.iter().map(|report| run_of(record, report)).collect()
}

/// What a report tells of a run. One that passed tells all of it.
fn run_of(record: &PromotionRecord, report: &Report<RunFacts>) -> Result<CarriedOut, UnreadFact> {
    fn told<'a, T>(
        record: &PromotionRecord,
        report: &Report<RunFacts>,
        name: &str,
        fact: &'a Told<T>,
    ) -> Result<&'a T, UnreadFact> {
        let read = fact.read().map_err(|error| record.unread(report, name, error.to_string()))?;
        read.ok_or_else(|| record.unread(report, name, "it is not told".to_owned()))
    }
    let facts = &report.facts;
    let completion = told(record, report, "completion", &facts.completion)?;
    let files = told(record, report, "files", &facts.files)?;
    let resource = |key: &str, version: &VersionId, sha256| Resource::of(format!("{key}?versionId={version}"), sha256);
    Ok(CarriedOut {
        run: report.subject.clone(),
        completed_by: told(record, report, "completed_by", &facts.completed_by)?.clone(),
        completion: resource(&completion.key, &completion.version_id, completion.sha256),
        files: files.iter().map(|it| resource(&it.key, &it.version_id, it.sha256)).collect(),
        proof: told(record, report, "proof", &facts.proof)?.clone(),
    })
}

/// That a fact is told and is no text.
struct NoText;

/// A fact of a function's report; `None` where the report doesn't tell it.
fn text(
    record: &PromotionRecord,
    report: Option<&Report<FunctionFacts>>,
    fact: &str,
    read: impl Fn(&FunctionFacts) -> Result<Option<String>, NoText>,
) -> Result<Option<String>, UnreadFact> {
    let Some(report) = report else { return Ok(None) };
    read(&report.facts).map_err(|NoText| record.unread(report, fact, "it is no text".to_owned()))
}

/// Everything that the plan pins, and the commit.
fn subjects(record: &PromotionRecord) -> Vec<Subject> {
    let of = |it: &Pinned| Subject { name: it.key.clone(), digest: Digest::Sha256(it.sha256) };
    let commit = Subject { name: record.repo.to_string(), digest: Digest::GitCommit(record.commit_sha.clone()) };
    record.plan.pinned().map(of).chain([commit]).collect()
}
