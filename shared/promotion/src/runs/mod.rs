//! The part of a promotion that a runner carries out, and that the gatekeeper judges and records: `pulumi up` and
//! `dbt build`, for which it has neither the tools nor the rights.
//!
//! `promote` gives a lease with the promotion: a token, of which the record keeps the digest. The step `judge-run` opens it
//! once everything before is done. Whoever holds the token hands in what the run left, once for each run, before the lease
//! runs out. What the evidence comes to is a [`Completion`], and the step goes on from there.

pub mod dbt;
pub mod pulumi;
pub mod standing;

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{CommitSha, ModuleId, PromotionId, RunName, Sha256, VersionId},
    manifest::Manifest,
    store_key::{ArtefactPath, RecordKey, RunFile},
};
use gatekeeper_readers::pulumi::preview::Changes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use self::{dbt::DbtProof, pulumi::PulumiProof};
use crate::{
    plan::{Pinned, Subject},
    stage::{DbtTarget, PulumiTarget},
    step::PromotionRef,
};

/// What `DBT_ENV_CUSTOM_ENV_` and this make the environment variable by which a run of dbt tells its promotion; dbt keeps it
/// in `metadata.env` of what it writes, without the prefix.
pub const PROMOTION_VARIABLE: &str = "GATEKEEPER_PROMOTION";

/// How long after a lease ran out the step waits for what was handed in just before.
pub const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// What a runner does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PlannedRun {
    /// `pulumi up` of the commit's program.
    Pulumi(PlannedPulumi),
    /// `dbt build` of a module's models.
    Dbt(PlannedDbt),
}

/// A Pulumi program and the stack that it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPulumi {
    /// The commit that the program is of.
    pub program_sha: CommitSha,
    /// Where the state is.
    pub backend: String,
    /// The project.
    pub project: String,
    /// The stack.
    pub stack: String,
    /// The modules of the commit: the program is the repository's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub modules: BTreeSet<ModuleId>,
    /// The role that reads history and state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_role_arn: Option<String>,
    /// The SHA-256 of the preview that was planned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_sha256: Option<Sha256>,
    /// Whether that preview is a plan which `pulumi up --plan` has to hold itself to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_plan: bool,
    /// What that preview does, by the resource's URN: Pulumi's words for it, such as `create`.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub changes: Changes,
}

/// A module's dbt models and the target that they are built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDbt {
    /// The module.
    pub module: ModuleId,
    /// dbt's manifest of what was tested in dev.
    #[serde(flatten)]
    pub manifest: Pinned,
    /// Where they are built.
    pub target: String,
    /// By which adapter.
    pub adapter: String,
    /// The database in which everything is put.
    pub database: String,
    /// The schema in which everything is put, or in one whose name goes on from it by `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

impl PlannedPulumi {
    /// What findings call the stack: `uat of bank-platform`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{} of {}", self.stack, self.project)
    }
}

impl PlannedRun {
    /// Its name: the one of its kind, or of its module.
    #[must_use]
    pub fn name(&self) -> RunName {
        match self {
            Self::Pulumi(_) => RunName::pulumi(),
            Self::Dbt(run) => RunName::dbt(&run.module),
        }
    }

    /// The module that it is of; a Pulumi program is the repository's.
    #[must_use]
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::Pulumi(_) => None,
            Self::Dbt(run) => Some(&run.module),
        }
    }

    /// Every module that something is done of by it.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleId> {
        let (one, all) = match self {
            Self::Pulumi(run) => (None, Some(&run.modules)),
            Self::Dbt(run) => (Some(&run.module), None),
        };
        one.into_iter().chain(all.into_iter().flatten())
    }

    /// The stored object that it is held against.
    #[must_use]
    pub fn pinned(&self) -> Option<&Pinned> {
        match self {
            Self::Pulumi(_) => None,
            Self::Dbt(run) => Some(&run.manifest),
        }
    }

    /// The documents that a runner hands in of it.
    #[must_use]
    pub fn files(&self) -> &'static [RunFile] {
        match self {
            Self::Pulumi(_) => &[],
            Self::Dbt(_) => &[RunFile::Manifest, RunFile::RunResults],
        }
    }
}

/// What a runner does of a commit, as the stage says it. What the stage doesn't say is wrong.
pub(crate) fn plan(
    subject: Subject<'_>,
    pin: &impl Fn(ArtefactPath) -> Result<Pinned, Finding>,
    wrong: &mut Vec<Finding>,
) -> Vec<PlannedRun> {
    let Subject { verdict, manifest, stage_name, stage, .. } = subject;
    let Manifest { pulumi, modules, .. } = manifest;
    let repo = &verdict.commit().repo;
    let mut planned = Vec::new();
    let mut not_configured = |field: &str, what: &str, lines: &str| {
        let message = format!(
            "the commit has {what}, and `{stage_name}` in config/stages.json does not tell where a runner applies them: add \
             `\"{field}\": {{\"{repo}\": {lines}}}` to the stage"
        );
        wrong.push(Finding::new(Code::RunNotConfigured, stage_name.as_str(), message));
    };
    if let Some(program) = pulumi {
        match stage.pulumi.get(repo) {
            Some(PulumiTarget { backend, project, stack, read_role_arn }) => {
                planned.push(PlannedRun::Pulumi(PlannedPulumi {
                    program_sha: program.program_sha.clone(),
                    backend: backend.clone(),
                    project: project.clone(),
                    stack: stack.clone(),
                    modules: modules.iter().map(|module| module.id.clone()).collect(),
                    read_role_arn: read_role_arn.clone(),
                    plan_sha256: None,
                    is_plan: false,
                    changes: Changes::default(),
                }));
            }
            None => {
                let lines =
                    format!("{{\"backend\": \"s3://BUCKET\", \"project\": \"PROJECT\", \"stack\": \"{stage_name}\"}}");
                not_configured("pulumi", "a Pulumi program", &lines);
            }
        }
    }
    let with_models: Vec<_> = modules.iter().filter(|module| module.dbt.is_some()).collect();
    match stage.dbt.get(repo) {
        None if with_models.is_empty() => {}
        None => {
            let lines =
                format!("{{\"target\": \"{stage_name}\", \"adapter\": \"ADAPTER\", \"database\": \"DATABASE\"}}");
            not_configured("dbt", "dbt models", &lines);
        }
        Some(DbtTarget { target, adapter, database, schema }) => {
            for module in with_models {
                match pin(ArtefactPath::DbtManifest(module.id.clone())) {
                    Ok(manifest) if manifest.size > dbt::MAX_DOCUMENT => {
                        let (size, most) = (manifest.size, dbt::MAX_DOCUMENT);
                        let message = format!("it has {size} bytes, and at most {most} are compared with a stage's");
                        wrong.push(Finding::new(Code::NotSupportedYet, manifest.key, message));
                    }
                    Ok(manifest) => planned.push(PlannedRun::Dbt(PlannedDbt {
                        module: module.id.clone(),
                        manifest,
                        target: target.clone(),
                        adapter: adapter.clone(),
                        database: database.clone(),
                        schema: schema.clone(),
                    })),
                    Err(finding) => wrong.push(finding),
                }
            }
        }
    }
    planned
}

/// What the record of a promotion keeps of the lease: never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The SHA-256 of the token.
    pub token_sha256: Sha256,
    /// How long it lasts from when it is opened.
    pub minutes: u16,
}

impl Lease {
    /// That of a token.
    #[must_use]
    pub fn of(token: &str, minutes: u16) -> Self {
        Self { token_sha256: Sha256::of(token.as_bytes()), minutes }
    }

    /// Whether it is that of a token. Digests are compared, so that the time which it takes tells nothing of the token.
    #[must_use]
    pub fn is_of(&self, token: &str) -> bool {
        self.token_sha256 == Sha256::of(token.as_bytes())
    }
}

/// A lease that a runner may work under: `promotions/{stage}/{repo}/{promotion_id}/runs/lease.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLease {
    /// 1.
    pub schema_version: u32,
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when a run is taken.
    pub expires_at: Timestamp,
}

impl OpenLease {
    /// The lease of a promotion, opened at a time.
    #[must_use]
    pub fn opened(promotion_id: PromotionId, lease: &Lease, now: Timestamp) -> Self {
        let expires_at = now.saturating_add(SignedDuration::from_mins(lease.minutes.into())).unwrap_or(Timestamp::MAX);
        Self { schema_version: 1, promotion_id, opened_at: now, expires_at }
    }

    /// Where that of a promotion lies.
    #[must_use]
    pub fn key(promotion: &PromotionRef) -> RecordKey {
        RecordKey::OpenLease(promotion.stage.clone(), promotion.repo.clone(), promotion.promotion_id.clone())
    }

    /// Whether a run may still be handed in.
    #[must_use]
    pub fn takes(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Whether nothing can come any more: what was handed in just before it ran out is written by then.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.expires_at) >= GRACE
    }
}

/// What a run came to, by what was handed in of it: `promotions/{stage}/{repo}/{promotion_id}/runs/{run}.json`. It is written
/// once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// 1.
    pub schema_version: u32,
    /// The promotion.
    pub promotion_id: PromotionId,
    /// The run.
    pub run: RunName,
    /// When it was handed in.
    pub completed_at: Timestamp,
    /// Who handed it in, in his own words: the token is what entitles.
    pub completed_by: String,
    /// Whether the run did what the plan says, and nothing else.
    pub passed: bool,
    /// Every reason why it didn't.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Finding>,
    /// What is told and doesn't count against it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
    /// What was handed in, as it is stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<HandedIn>,
    /// What shows it.
    pub proof: RunProof,
}

impl Completion {
    /// Where that of a run lies.
    #[must_use]
    pub fn key(promotion: &PromotionRef, run: &RunName) -> RecordKey {
        let PromotionRef { stage, repo, promotion_id } = promotion.clone();
        RecordKey::RunCompletion(stage, repo, promotion_id, run.clone())
    }
}

/// A document that was handed in, as it is stored in the records bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedIn {
    /// Which one.
    pub file: RunFile,
    /// Its key.
    pub key: String,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// What shows that a run did what the plan says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RunProof {
    /// What the backend's history and state say of an update.
    Pulumi(PulumiProof),
    /// What dbt's own documents say of a build.
    Dbt(DbtProof),
}

/// What evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Judgement {
    /// It is not of this lease: nothing is written down, and the right one may be handed in while the lease is open.
    Refused(Vec<Finding>),
    /// It is, and this is what the run came to, for good: it passed where there is no reason against it.
    Final {
        /// Every reason against it.
        reasons: Vec<Finding>,
        /// What is told and doesn't count against it.
        warnings: Vec<Finding>,
        /// What shows it.
        proof: RunProof,
    },
}

/// A run that is handed in: the event of `judge-run` from whoever holds a lease.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteEvent {
    /// The run.
    pub complete: Complete,
}

impl CompleteEvent {
    /// The function error's `errorType` of a malformed event.
    pub const ERROR_TYPE: &str = "InvalidCompletionEvent";
}

/// A run that is handed in. It holds a secret, so nothing writes it into a log.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complete {
    /// The promotion.
    pub promotion: PromotionRef,
    /// The lease's token.
    pub token: String,
    /// The run.
    pub run: RunName,
    /// Who hands it in, in his own words.
    pub completed_by: String,
    /// The documents that the run left, each gzipped, as base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<RunFile, String>,
}

/// What becomes of a run that is handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum CompleteAnswer {
    /// It is taken, and it did what the plan says.
    Passed {
        /// What it came to, as it is stored.
        completion: Completion,
    },
    /// It is taken, and it did something else: the promotion fails.
    Failed {
        /// What it came to, as it is stored.
        completion: Completion,
    },
    /// It is not taken, and nothing was written.
    Refused {
        /// Every reason.
        reasons: Vec<Finding>,
    },
}
