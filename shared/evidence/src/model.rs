//! The evidence document: what runs, why it may, and every check that says so.
//!
//! It holds conclusions, not raw documents: those are the exhibits, which a bundle carries beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use gatekeeper_model::{
    finding::Finding,
    ids::{ChangeUrl, CommitSha, DatabaseName, PromotionId, Repo, Sha256, StageName, VersionId},
    policy::Condition,
    provenance::Build,
    verdict::Outcome,
};
use gatekeeper_promotion::{
    record::{SchemaComparison, Status},
    replacement::ResourcePath,
    stage::SchemaParity,
    step::{Direction, ReportStatus},
    waiver::UsedWaiver,
};
use gatekeeper_proof::ledger::Hold;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the document's schema.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that is known about what a stage runs of one repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// 1.
    pub schema_version: u32,
    /// What was asked.
    pub question: Question,
    /// When the documents were read and the functions looked at.
    pub taken_at: Timestamp,
    /// The answer in one sentence.
    pub answer: String,
    /// Whether everything holds: the worst of all checks, where one that is waived counts as one that holds.
    pub verdict: Holds,
    /// What runs; `None` where nothing was promoted.
    pub runs: Option<Runs>,
    /// What the gate concluded on the commit; `None` where there is no verdict.
    pub gate: Option<Gate>,
    /// The rules that it was judged and promoted by; `None` where nothing was promoted.
    #[serde(default)]
    pub rules: Option<Rules>,
    /// The commit's tests, by suite.
    pub suites: Vec<Suite>,
    /// The rows of `policies_satisfied`, each with the tests that bear its name.
    #[serde(default)]
    pub policy_rows: Vec<PolicyRow>,
    /// The raw reports behind them.
    pub reports: Vec<RawReport>,
    /// The commit's databases.
    pub databases: Vec<Database>,
    /// What the promotion did, in order.
    pub timeline: Vec<Event>,
    /// What is signed.
    pub attestations: Vec<Attestation>,
    /// The chain of records that the promotion stands in; `None` where it could not be found.
    pub ledger: Option<Ledger>,
    /// What drift watching found last; `None` where it has not looked yet.
    pub drift: Option<DriftSeen>,
    /// How long the stored objects are kept, by bucket.
    #[serde(default)]
    pub retention: Vec<Retention>,
    /// What came after the time that was asked about, in words: no part of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub since_then: Vec<String>,
    /// The keys that signatures were verified with.
    pub keys: Keys,
    /// Every check on the way, those that failed as well as those that hold.
    pub checks: Vec<Check>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The moment that was asked about; none for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// It was looked at, and it is so.
    Holds,
    /// It need not be so: a policy or a rule that was in force says so, and so does the check's detail.
    Waived,
    /// It could not be looked at.
    Unknown,
    /// It was looked at, and it is not so.
    Fails,
}

impl Holds {
    /// Whether it is so.
    #[must_use]
    pub fn of(so: bool) -> Self {
        if so { Self::Holds } else { Self::Fails }
    }

    /// Whether it is so, where that is known.
    #[must_use]
    pub fn known(so: Option<bool>) -> Self {
        so.map_or(Self::Unknown, Self::of)
    }

    /// Whether it is not so, or not known to be.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Unknown | Self::Fails)
    }

    /// The word for it, which tells without any colour.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Waived => "waived",
            Self::Unknown => "unknown",
            Self::Fails => "FAILS",
        }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which part of the evidence it belongs to.
    pub part: Part,
    /// What should be so, in plain words.
    pub name: String,
    /// Whether it is.
    pub holds: Holds,
    /// What was compared with what; where it fails, what is wrong where.
    pub detail: String,
}

/// A part of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What runs in the stage.
    Live,
    /// How it came there.
    Promotion,
    /// What the gate concluded, and on what.
    Gate,
    /// What the databases are like.
    Databases,
    /// What is signed.
    Attestations,
    /// What was written down, in order.
    Ledger,
    /// The bundle that it came in.
    Bundle,
}

impl Part {
    /// Every part, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Live, Self::Promotion, Self::Gate, Self::Databases, Self::Attestations, Self::Ledger, Self::Bundle];

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Live => "What runs",
            Self::Promotion => "The promotion",
            Self::Gate => "The gate",
            Self::Databases => "The databases",
            Self::Attestations => "The attestations",
            Self::Ledger => "The ledger",
            Self::Bundle => "The bundle",
        }
    }
}

/// What runs in the stage, since when and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The commit.
    pub commit_sha: CommitSha,
    /// The branch that it was built from; `None` where the manifest can't be read.
    pub branch: Option<String>,
    /// The page of the pipeline's run that built it.
    pub run_url: Option<String>,
    /// Which attempt of that run, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_attempt: Option<u32>,
    /// Who or what started that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_actor: Option<String>,
    /// Who wrote the commit, as the manifest tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// The pull requests and tickets that asked for the change, as the manifest tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeUrl>,
    /// Since when it runs.
    pub since: Timestamp,
    /// The promotion that brought it.
    pub promotion_id: PromotionId,
    /// How and why; `None` where the promotion's record can't be read.
    pub promotion: Option<Promotion>,
    /// The functions.
    pub functions: Vec<Function>,
    /// Where `functions` were looked at.
    pub looked_at: LookedAt,
    /// The stacks.
    pub stacks: Vec<Stack>,
}

/// How a commit came to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// What became of the promotion.
    pub status: Status,
    /// Whether it went back to an earlier promoted commit.
    pub rollback: bool,
    /// Who asked for it, as they called themselves.
    pub requested_by: String,
    /// Who asked for it, as AWS proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_requester: Option<Person>,
    /// The resources that hold data and that it was allowed to replace or remove.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_replacement: BTreeSet<ResourcePath>,
    /// Why it was asked for, in the words of whoever asked.
    pub reason: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who approved it.
    pub approvals: Vec<Approval>,
    /// The rules that it did without; `None` where it kept all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// The rules that two people had waived until a time, each with what was refused but for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<UsedWaiver>,
    /// What held the stage while it was started nevertheless, which a rollback and break-glass may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What was asked after it, each with what came of it; empty where no smoke check is configured.
    #[serde(default)]
    pub smoke: Vec<SmokeAnswer>,
}

/// A smoke check of a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeAnswer {
    /// Which check.
    pub check: String,
    /// How it ended; `None` where the record tells nothing of it.
    pub status: Option<ReportStatus>,
    /// What it came to, in words.
    pub detail: String,
}

/// Somebody whom AWS has identified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name of the session or user.
    pub person: String,
    /// The identity's ARN.
    pub arn: String,
}

/// An approval that counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved.
    #[serde(flatten)]
    pub by: Person,
    /// When the approval was given.
    pub approved_at: Timestamp,
    /// Why; `None` where the approval itself can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A promotion in an emergency, that did without some rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Who asked.
    pub requested_by: String,
    /// Who agreed.
    pub approved_by: String,
    /// What was waived.
    pub waived: Vec<Finding>,
}

/// Where the functions were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookedAt {
    /// In Lambda, when the evidence was taken.
    Live,
    /// In Lambda, when the promotion ended: from its record.
    Recorded,
    /// Nowhere: they could not be looked at.
    Nowhere,
}

impl LookedAt {
    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Live => "read from Lambda when this evidence was taken",
            Self::Recorded => "read from Lambda when the promotion ended, and taken from its record",
            Self::Nowhere => "not read",
        }
    }
}

/// A function of the stage and the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The bundle's name.
    pub function: String,
    /// The function's name in the stage.
    pub function_name: Option<String>,
    /// The SHA-256 of the code that runs, Lambda's `CodeSha256`.
    pub live_sha256: Option<Sha256>,
    /// The SHA-256 of the bundle that was promoted.
    pub promoted_sha256: Option<Sha256>,
    /// The SHA-256 that the integration tests exercised.
    pub tested_sha256: Option<Sha256>,
    /// Whether all three are one.
    pub equal: Holds,
    /// Why it could not be looked at: then that there are no live bytes does not say that it isn't there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Which commits hold the bytes that run, where those aren't the promoted ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes_of: Vec<String>,
}

/// A stack of the stage and the template behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Its name in the stage.
    pub stack_name: String,
    /// The SHA-256 of the template that was promoted.
    pub template_sha256: Sha256,
    /// The parameters whose value is another one than that which the integration tests ran with, as far as both are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<DifferingParameter>,
}

/// A parameter of a stack that has two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingParameter {
    /// Its name.
    pub name: String,
    /// The value that the integration tests ran with.
    pub tested: String,
    /// The value in the stage; `None` for the template's default.
    pub stage: Option<String>,
}

/// What the gate concluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// What the commit is.
    pub outcome: Outcome,
    /// Why it isn't Built.
    pub reasons: Vec<Finding>,
    /// When the gate came to that.
    pub evaluated_at: Timestamp,
    /// The version of the manifest that it judged.
    pub manifest_version_id: Option<VersionId>,
    /// The SHA-256 of the manifest.
    pub manifest_sha256: Option<Sha256>,
    /// The SHA-256 of the verdict.
    pub verdict_sha256: Sha256,
    /// How many objects it judged.
    pub artefacts: usize,
    /// What took the commit back since; `None` where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// Who built it, by the key of the bundle that proves it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub built_by: BTreeMap<String, Build>,
    /// Other steps of the pipeline: the deploy to dev, Pulumi, DCM, dbt.
    pub steps: Vec<Fact>,
}

/// The rules that a commit was judged and promoted by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The policy that the gate applied.
    pub policy: Policy,
    /// The stage's own rules as they stood then; `None` where they can't be read.
    pub stage: Option<StageRules>,
}

/// The policy that the gate applied to the commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The version of `config/policy.json`; `None` where ADR-053 alone was applied.
    pub version_id: Option<VersionId>,
    /// The SHA-256 of that version's bytes; `None` where the policy is not there or could not be read.
    pub sha256: Option<Sha256>,
    /// The document itself, as it is stored.
    pub document: Option<String>,
    /// The conditions that were required of the commit, as the gate attested them.
    pub required: Vec<Condition>,
    /// The least coverage of the unit tests' lines and functions, in percent, as the gate attested it.
    pub least_coverage: Option<[f64; 2]>,
    /// Every condition that the policy waives for the repository.
    pub waivers: Vec<Waiver>,
}

/// A condition that the policy waives for the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// The condition.
    pub condition: Condition,
    /// Whether it is waived for every repository, rather than for this one.
    pub for_all: bool,
}

/// A stage's rules as they stood when it was promoted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRules {
    /// The version of `config/stages.json`.
    pub version_id: VersionId,
    /// The SHA-256 of that version's bytes.
    pub sha256: Sha256,
    /// What a commit must be.
    pub requires: String,
    /// How long the required stage must have run it, in minutes.
    pub soak_minutes: u32,
    /// How many people must approve.
    pub approvals: u8,
    /// When nothing new is promoted, in words.
    pub freeze: Vec<String>,
    /// What a schema that is not the tested one means, by database.
    pub schema_parity: std::collections::BTreeMap<DatabaseName, SchemaParity>,
    /// How many smoke checks the stage has, of whatever repository.
    pub smoke_checks: usize,
}

/// A policy that the manifest says to be satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The row.
    pub row: String,
    /// The tests that passed and bear its name, as far as they were kept; `None` where the gate did not keep any.
    pub tests: Option<Vec<String>>,
}

/// How long the stored objects of a bucket are kept, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// `artefacts` or `records`.
    pub bucket: String,
    /// How many objects of the evidence were looked at.
    pub objects: usize,
    /// How many of them are locked against deletion.
    pub locked: usize,
    /// The locks' modes, such as `GOVERNANCE`.
    pub modes: Vec<String>,
    /// When the first of those locks ends.
    pub locked_until: Option<Timestamp>,
    /// How many are under a legal hold.
    pub legal_holds: usize,
    /// How many are not locked: who may delete in the bucket can delete them.
    pub not_locked: usize,
    /// When a lifecycle rule expires the first, in S3's own words; `None` where no rule does.
    pub expires: Option<String>,
    /// Why it could not be looked at for some, in words.
    pub unread: Option<String>,
}

/// Something that a manifest tells, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub name: String,
    /// What the manifest tells of it.
    pub value: String,
}

/// A suite of tests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    /// Its name: `typecheck`, `unit`, `policy`, `integration` or `smoke`.
    pub suite: String,
    /// Tests that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u64>,
    /// Tests that failed, or errors of the type check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// Tests that were skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Tests that are still to be written; `None` where no test is, as with the next four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<u64>,
    /// Tests that failed as they were said to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_failures: Option<u64>,
    /// Tests that passed on a retry only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<u64>,
    /// Tests that were chosen to run and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<u64>,
    /// Tests that a report's header tells of and no case shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<u64>,
    /// Lines covered, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_coverage: Option<f64>,
    /// Functions covered, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_coverage: Option<f64>,
    /// The same in words.
    pub summary: String,
    /// The raw reports that the gate recounted its figures from; empty where they are only told by the manifest.
    #[serde(default)]
    pub recounted_from: Vec<String>,
    /// The raw reports that the gate recounted its coverage from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage_from: Vec<String>,
}

impl Suite {
    /// Where its figures come from, in words.
    #[must_use]
    pub fn source(&self) -> String {
        let counted = |what: &str, files: &[String]| match files {
            [] => format!("{what} told by the manifest, no raw report"),
            files => format!("{what} recounted by the gate from {}", files.join(", ")),
        };
        let mut source = counted("figures", &self.recounted_from);
        if self.line_coverage.is_some() || self.function_coverage.is_some() {
            source.push_str("; ");
            source.push_str(&counted("coverage", &self.coverage_from));
        }
        source
    }
}

/// A raw test report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawReport {
    /// The suite that it tells of.
    pub suite: String,
    /// Its format.
    pub format: String,
    /// Its key in the artefact bucket.
    pub key: String,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// A database of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The database.
    pub database: DatabaseName,
    /// Whether `flyway validate` passed against dev.
    pub flyway_validated: Option<bool>,
    /// The SHA-256 of the `flyway.toml` that Flyway was configured by, in dev as in the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flyway_configuration: Option<Sha256>,
    /// The SHA-256 of each script's own configuration, by the script.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub script_configurations: BTreeMap<String, Sha256>,
    /// Its migrations.
    pub migrations: Vec<Migration>,
    /// The key of the schema snapshot that was taken after the integration tests.
    pub snapshot_key: Option<String>,
    /// The SHA-256 of the snapshot.
    pub snapshot_sha256: Option<Sha256>,
    /// How the stage's schema compared with it when the promotion ended; `None` where nothing was promoted to a
    /// database.
    pub parity: Option<SchemaComparison>,
}

/// A migration of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The file's path below its `migrations/` folder.
    pub file: String,
    /// Flyway's checksum as it was validated in dev.
    pub checksum: Option<i32>,
    /// The checksum in the stage's schema history, where the promotion's record tells it.
    pub stage_checksum: Option<i32>,
    /// The SHA-256 of the stored file.
    pub sha256: Option<Sha256>,
}

/// Something that happened, for the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub name: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none for a moment.
    pub ended_at: Option<Timestamp>,
    /// Which plan it applied, for a step.
    pub direction: Option<Direction>,
    /// How it ended, for a step: the worst of its reports.
    pub status: Option<ReportStatus>,
    /// What it did, in words.
    pub detail: String,
}

/// What an attestation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestationKind {
    /// The commit is Built: the test results of its bytes.
    Built,
    /// Promoting the commit to the stage was verified (SLSA VSA).
    VerificationSummary,
    /// What the promotion left live in the stage.
    Deployment,
}

impl AttestationKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Built, Self::VerificationSummary, Self::Deployment];

    /// Its word, as in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::VerificationSummary => "verification-summary",
            Self::Deployment => "deployment",
        }
    }

    /// What it says, in a sentence's part.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Built => "the commit is Built: these bytes passed these tests",
            Self::VerificationSummary => "the commit was verified before it was promoted to this stage",
            Self::Deployment => "these bytes were live when the promotion ended",
        }
    }
}

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// What it is about.
    pub kind: AttestationKind,
    /// Where it lies in the records bucket.
    pub key: String,
    /// The SHA-256 of its envelope; `None` where no envelope is stored.
    pub sha256: Option<Sha256>,
    /// Its predicate's type.
    pub predicate_type: Option<String>,
    /// How many subjects it names.
    pub subjects: usize,
    /// Which key must have signed it.
    pub signer: Signer,
    /// Whether that key did.
    pub verified: Holds,
}

/// One of the keys that sign attestations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signer {
    /// What the gate concludes.
    Gate,
    /// What promotion did.
    Promotion,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gate => "the gate's key",
            Self::Promotion => "the promotion key",
        })
    }
}

/// The keys that signatures were verified with, by the SHA-256 of their SPKI DER in hex; none where a key could not be
/// read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// What the gate signs with.
    pub gate: Option<String>,
    /// What promotion signs with.
    pub promotion: Option<String>,
}

/// The chain of records that a promotion stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The folder of the chain.
    pub chain: String,
    /// The promotion's entry; `None` where the chain has none for it.
    pub entry: Option<u64>,
    /// The newest entry.
    pub head: u64,
    /// The entries that were read, the oldest first: from the promotion's to the newest, or to the time that was asked
    /// about.
    pub entries: Vec<LedgerEntry>,
    /// How many entries came after the time that was asked about: they link to the signed head, and are told no further.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub later: usize,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Its number in the chain, from 1.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// `promotion`, `rollback`, `refusal`, `revocation` or `drift`.
    pub kind: String,
    /// What it says, in words.
    pub detail: String,
    /// The SHA-256 of its bytes, which the next entry carries.
    pub sha256: Sha256,
}

/// What drift watching found last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftSeen {
    /// When it looked.
    pub checked_at: Timestamp,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it could not look at, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Evidence {
    /// The same with more checks, and what follows from all of them.
    #[must_use]
    pub fn with_checks(mut self, checks: impl IntoIterator<Item = Check>) -> Self {
        self.checks.extend(checks);
        self.concluded()
    }

    /// Draws the conclusions from the checks: the verdict, and the answer in one sentence.
    #[must_use]
    pub(super) fn concluded(mut self) -> Self {
        self.checks.sort_by_key(|check| check.part);
        let worst = self.checks.iter().map(|check| check.holds).max().unwrap_or(Holds::Holds);
        self.verdict = if worst == Holds::Waived { Holds::Holds } else { worst };
        let Question { stage, repo, at } = &self.question;
        let pointer_unknown = self.runs.is_none()
            && self.checks.iter().any(|it| it.part == Part::Promotion && it.holds == Holds::Unknown);
        let runs = match (&self.runs, at) {
            (Some(runs), None) => format!("`{stage}` runs `{repo}@{}`", runs.commit_sha),
            (Some(runs), Some(_)) => format!("`{stage}` ran `{repo}@{}`", runs.commit_sha),
            (None, _) if pointer_unknown => format!("what `{stage}` runs of `{repo}` could not be looked at"),
            (None, None) => format!("nothing of `{repo}` was promoted to `{stage}`"),
            (None, Some(at)) => format!("nothing of `{repo}` ran in `{stage}` at {at}"),
        };
        let count = |holds| self.checks.iter().filter(|check| check.holds == holds).count();
        let (all, fails, unknown) = (self.checks.len(), count(Holds::Fails), count(Holds::Unknown));
        let fail = if fails == 1 { "fails" } else { "fail" };
        let waived = match count(Holds::Waived) {
            0 => String::new(),
            waived => format!(", {waived} of them waived"),
        };
        self.answer = match (fails, unknown) {
            (0, 0) if self.runs.is_none() => format!("{runs} ({all} checks hold)"),
            (0, 0) => format!("{runs}: everything holds ({all} checks{waived})"),
            (_, 0) => format!("{runs}: {fails} of {all} checks {fail}"),
            (0, _) => format!("{runs}: nothing is known to be wrong, but {unknown} of {all} checks could not be made"),
            _ => format!("{runs}: {fails} of {all} checks {fail}, and {unknown} could not be made"),
        };
        self
    }

    /// The checks of one part.
    pub fn checks_of(&self, part: Part) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.part == part)
    }

    /// The checks that don't hold, or could not be made.
    pub fn troubles(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.holds.is_trouble())
    }

    /// The checks that need not hold.
    pub fn waived(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.holds == Holds::Waived)
    }
}
