//! The record of one promotion: `promotions/{stage}/{repo}/{promotion_id}.json`. Written when it starts, completed
//! when it ends, success or not.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::Finding,
    identity::Identity,
    ids::{Commit, CommitSha, DatabaseName, InvalidId, PromotionId, Repo, Sha256, StageName, VersionId},
    store_key::RecordKey,
};
use gatekeeper_proof::ledger::Hold;
use gatekeeper_readers::{flyway::history::HistoryRow, schema_snapshot::ServerLimits};
use gatekeeper_store::{
    ReadStore, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    approval::{BreakGlass, CountedApproval},
    counting::NotCounted,
    plan::Plan,
    step::{Direction, PromotionRef, Report},
};
use crate::{
    brake::Stopped,
    facts::{DatabaseFacts, StepFacts, Told},
    replacement::ResourcePath,
    runs::Lease,
    stage::SchemaParity,
    waiver::UsedWaiver,
};

/// How a stage's live schema compares with the one that was integration-tested (ADR-053 problem 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaComparison {
    /// Whether they are the same in normal form, as far as both servers can hold it.
    pub equal: bool,
    /// What a difference means.
    pub mode: SchemaParity,
    /// The SHA-256 of the tested schema's normal form.
    pub tested_sha256: Sha256,
    /// The SHA-256 of the live schema's normal form.
    pub live_sha256: Sha256,
    /// The snapshot, by its key.
    pub snapshot_key: String,
    /// The snapshot's version.
    pub snapshot_version_id: VersionId,
    /// The difference in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// What the older of the two servers can't hold and the newer one's schema says: it was not compared, and the
    /// digests differ by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_limits: Option<ServerLimits>,
    /// Whether the stage accepts that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub server_limits_accepted: bool,
}

/// What became of a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is under way.
    Running,
    /// It failed, and the commit before it is being brought back.
    GoingBack,
    /// The stage runs the commit.
    Succeeded,
    /// It failed, and the commit before it runs again.
    RolledBack,
    /// It failed, and the stage is as the record says.
    Failed,
}

/// One promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the stored document")]
pub struct PromotionRecord {
    /// 1.
    pub schema_version: u32,
    /// Its id.
    pub promotion_id: PromotionId,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The stage.
    pub stage: StageName,
    /// Who asked for it, in his own words.
    pub requested_by: String,
    /// Who asked for it, as proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Identity>,
    /// Why it was asked for, in the words of whoever asked.
    pub reason: String,
    /// Whether it goes back to an earlier promoted commit.
    pub rollback: bool,
    /// Whether it goes back although the live schema is not the one that was tested with the commit.
    #[serde(default)]
    pub accept_schema_difference: bool,
    /// The resources that hold data and that may be replaced or removed nevertheless.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_replacement: BTreeSet<ResourcePath>,
    /// What became of it.
    pub status: Status,
    /// Its execution.
    pub execution_arn: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The verdict that it rests on, by the version of `verdict.json`.
    pub verdict_version_id: VersionId,
    /// The gate's attestation that it rests on; none in records of before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_attestation: Option<PinnedRecord>,
    /// The manifest that was judged.
    pub manifest_version_id: VersionId,
    /// The configuration that was used, by the version of `config/stages.json`.
    pub stages_config_version_id: VersionId,
    /// The SHA-256 of that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages_config_sha256: Option<Sha256>,
    /// The role that the steps assume in the stage's account.
    pub role_arn: Option<String>,
    /// The role that CloudFormation takes, where the stage has one of its own.
    pub stack_role_arn: Option<String>,
    /// Whether the stage lets smoke checks ask hosts whose addresses are not the public internet's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
    /// Whether the stage is in the gatekeeper's own account and nothing binds its roles there, because somebody accepted that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_account: bool,
    /// The approvals that counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<CountedApproval>,
    /// The approvals that did not count, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<NotCounted>,
    /// The version of `config/identities.json` by which they were counted; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities_config: Option<PinnedRecord>,
    /// What two people waived of the stage's rules; `None` where all of them held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// Which rules of the stage were waived for it by what two people had agreed on until a time, and what they had refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<UsedWaiver>,
    /// What held the stage when it was started nevertheless: a rollback, or with the glass broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Who stopped it on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Where the witness outside disagreed with the ledger when it was started nevertheless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<Finding>,
    /// What is applied.
    pub plan: Plan,
    /// What the runner that carries out a part of it holds; `None` where no part is a runner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The promotion that brought what the stage ran before, whichever commit that is; `None` where it ran nothing, and in
    /// records of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_before: Option<PromotionId>,
    /// What is applied instead where that fails: the commit that the stage ran before.
    pub way_back: Option<WayBack>,
    /// What the steps did.
    pub steps: Vec<StepRecord>,
    /// What was live at the end, looked at rather than concluded.
    pub live: Vec<LiveFunction>,
}

/// A record in the version that something rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedRecord {
    /// Its key in the records bucket.
    pub key: String,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// The commit that a stage ran before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// The commit.
    pub commit_sha: CommitSha,
    /// The promotion that had brought it.
    pub promotion_id: PromotionId,
    /// What that promotion applied.
    pub plan: Plan,
}

/// A fact that a record tells and that isn't what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record `{key}` tells of `{subject}` a fact `{fact}` that can't be read: {why}")]
pub struct UnreadFact {
    /// The record's key.
    pub key: String,
    /// What the fact is about.
    pub subject: String,
    /// The fact.
    pub fact: String,
    /// What is wrong with it.
    pub why: String,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name, that of its function.
    pub step: String,
    /// Which plan it applied.
    pub direction: Direction,
    /// What became of each thing that it began.
    pub reports: Vec<Report>,
    /// Why it failed as a whole, where it could not even report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A function as it was live when a promotion ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFunction {
    /// The bundle's name.
    pub function: String,
    /// The function's name in the stage, where its stack has it.
    pub function_name: Option<String>,
    /// The SHA-256 of its live code.
    pub code_sha256: Option<Sha256>,
    /// Whether that is the promoted commit's bundle.
    pub is_promoted_code: bool,
    /// The function's ARN, without a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_arn: Option<String>,
    /// The version that the promotion published of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Lambda's id of this state of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
    /// When its code or configuration was last changed, in Lambda's own spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The SHA-256 of its settings beside the code, such as environment, role and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_sha256: Option<Sha256>,
    /// The SHA-256 of the settings that `configuration_sha256` lacks, by the generation of gatekeepers that first knew
    /// them: two looks are compared by the generations that both have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub later_settings_sha256: BTreeMap<u32, Sha256>,
    /// Why it could not be looked at, in words: then nothing else here says that it isn't there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

impl StepRecord {
    /// What a step did that ended with these reports.
    ///
    /// # Errors
    /// Where their facts are nothing that JSON has.
    pub fn of<F: StepFacts>(
        direction: Direction,
        reports: &[Report<F>],
        error: Option<String>,
    ) -> Result<Self, serde_json::Error> {
        let reports = reports.iter().map(Report::stored).collect::<Result<_, _>>()?;
        Ok(Self { step: F::STEP.as_str().to_owned(), direction, reports, error })
    }
}

impl PromotionRecord {
    /// Who asked for it: the person whom AWS named, or else who they said they are.
    #[must_use]
    pub fn asked_by(&self) -> &str {
        self.requester.as_ref().map_or(&self.requested_by, |identity| identity.person.as_str())
    }

    /// Every approval that it rests on, that of the second person who broke the glass with it too.
    pub fn counted_approvals(&self) -> impl Iterator<Item = &CountedApproval> {
        self.approvals.iter().chain(self.break_glass.iter().map(|glass| &glass.approved_by))
    }
}

impl LiveFunction {
    /// A function that a bundle should be the code of and that isn't there, by the name that its stack gives it.
    #[must_use]
    pub fn missing(bundle: &str, function_name: Option<String>) -> Self {
        Self {
            function: bundle.to_owned(),
            function_name,
            code_sha256: None,
            is_promoted_code: false,
            function_arn: None,
            version: None,
            revision_id: None,
            last_modified: None,
            configuration_sha256: None,
            later_settings_sha256: BTreeMap::new(),
            unread: None,
        }
    }

    /// A function that could not be looked at, and why.
    #[must_use]
    pub fn unread(bundle: &str, function_name: Option<String>, why: impl Into<String>) -> Self {
        Self { unread: Some(why.into()), ..Self::missing(bundle, function_name) }
    }
}

impl PromotionRecord {
    /// Where it lies.
    #[must_use]
    pub fn key(promotion: &PromotionRef) -> RecordKey {
        RecordKey::Promotion(promotion.stage.clone(), promotion.repo.clone(), promotion.promotion_id.clone())
    }

    /// Reads the record of a promotion that has started.
    ///
    /// # Errors
    /// [`RecordError`] where it isn't there or can't be read.
    pub async fn load(records: &impl ReadStore, promotion: &PromotionRef) -> Result<Stored<Self>, RecordError> {
        let key = Self::key(promotion);
        record::read(records, &key).await?.ok_or_else(|| RecordError::Missing(key.to_string()))
    }

    /// Which promotion it is.
    #[must_use]
    pub fn reference(&self) -> PromotionRef {
        PromotionRef { stage: self.stage.clone(), repo: self.repo.clone(), promotion_id: self.promotion_id.clone() }
    }

    /// The commit that is promoted.
    #[must_use]
    pub fn commit(&self) -> Commit {
        Commit { repo: self.repo.clone(), sha: self.commit_sha.clone() }
    }

    /// The schema histories that `migrate-database` read last, by the database. A report without one has none to tell.
    ///
    /// # Errors
    /// [`UnreadFact`] where one is told and can't be read: it is never taken for none.
    pub fn schema_histories(&self) -> Result<BTreeMap<DatabaseName, Vec<HistoryRow>>, UnreadFact> {
        self.database_facts("history", |facts| &facts.history)
    }

    /// How the stage's schemas compared with the tested ones, by the database.
    ///
    /// # Errors
    /// [`UnreadFact`] where a comparison is told and can't be read.
    pub fn schema_comparisons(&self) -> Result<BTreeMap<DatabaseName, SchemaComparison>, UnreadFact> {
        self.database_facts("schema_parity", |facts| &facts.schema_parity)
    }

    fn database_facts<T: Clone>(
        &self,
        fact: &'static str,
        of: impl Fn(&DatabaseFacts) -> &Told<T>,
    ) -> Result<BTreeMap<DatabaseName, T>, UnreadFact> {
        let mut found = BTreeMap::new();
        for reported in self.reported::<DatabaseFacts>() {
            let (_, report) = reported?;
            let unread = |why: String| self.unread(&report, fact, why);
            let Some(value) = of(&report.facts).read().map_err(|error| unread(error.to_string()))? else { continue };
            let database = report.subject.parse().map_err(|error: InvalidId| unread(error.to_string()))?;
            found.insert(database, value.clone());
        }
        Ok(found)
    }

    /// What a step reported, with its facts, in the order of the record.
    ///
    /// # Errors
    /// [`UnreadFact`] for a report whose facts are no step's.
    pub fn reported<F: StepFacts>(&self) -> impl Iterator<Item = Result<(Direction, Report<F>), UnreadFact>> + '_ {
        let steps = self.steps.iter().filter(|step| step.step == F::STEP.as_str());
        steps.flat_map(|step| step.reports.iter().map(move |report| (step.direction, report))).map(
            |(direction, report)| match report.facts.read() {
                Ok(facts) => Ok((direction, report.clone().with(facts))),
                Err(error) => Err(self.unread(report, "facts", error.to_string())),
            },
        )
    }

    /// That a fact of a report isn't what it should be.
    pub(crate) fn unread<F>(&self, report: &Report<F>, fact: &str, why: String) -> UnreadFact {
        let key = Self::key(&self.reference()).to_string();
        UnreadFact { key, subject: report.subject.clone(), fact: fact.to_owned(), why }
    }

    /// The commit and the plan that a direction applies; `None` where there is no way back.
    #[must_use]
    pub fn heading(&self, direction: Direction) -> Option<(Commit, &Plan)> {
        match direction {
            Direction::Forward => Some((self.commit(), &self.plan)),
            Direction::Back => self
                .way_back
                .as_ref()
                .map(|back| (Commit { repo: self.repo.clone(), sha: back.commit_sha.clone() }, &back.plan)),
        }
    }
}
