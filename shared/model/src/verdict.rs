//! What the gate concluded on a commit: `verdict.json`, and `revocation.json` that takes a Built commit back
//! (CONTRACT §4).

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    finding::{Code, Finding},
    ids::{AssetKey, Commit, CommitSha, FileName, Repo, Sha256, StackName, VersionId},
    outcome::Counts,
    provenance::Build,
    revocation::TakenBack,
    store_key::ArtefactPath,
    suite::Suite,
};

/// The version of both documents' schema.
pub const SCHEMA_VERSION: u32 = 1;

/// What a commit is, as far as the gate can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No manifest yet, or an artefact that it lists isn't there yet.
    Incomplete,
    /// Manifest and artefacts agree, the integration tests have not run yet.
    Registered,
    /// All of ADR-053's Built conditions hold.
    Built,
    /// Something is wrong.
    Rejected,
    /// This manifest version was taken back after it was Built.
    Revoked,
}

impl Outcome {
    /// The word, as it stands in verdicts, logs and the gate's own tag.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Registered => "registered",
            Self::Built => "built",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
        }
    }

    /// What `integration-passed` is on every object of the commit.
    #[must_use]
    pub fn integration_passed(self) -> bool {
        self == Self::Built
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The gate's verdict on a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// 1.
    pub schema_version: u32,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The version of `build-manifest.json` that was judged; `None` where there is no manifest.
    pub manifest_version_id: Option<VersionId>,
    /// What the commit is.
    pub outcome: Outcome,
    /// Why it isn't `built`: every reason, not only the first.
    pub reasons: Vec<Finding>,
    /// What somebody should look at although nothing is refused because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
    /// The objects that were judged, by key.
    pub artefacts: Vec<JudgedArtefact>,
    /// The version of `config/policy.json` that was applied; `None` where ADR-053 alone was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version_id: Option<VersionId>,
    /// The SHA-256 of that version's bytes; `None` where ADR-053 alone was applied, and in verdicts of before it was
    /// kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_sha256: Option<Sha256>,
    /// For each row of `policies_satisfied` the policy tests that passed and bear its name; `None` where no report tells,
    /// and in verdicts of before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_tests: Option<BTreeMap<String, NamedTests>>,
    /// The commit whose integration tests these were compared with; `None` where the branch had no Built commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<Baseline>,
    /// What the gate counted in the raw reports, by suite; none of a suite without one that can be recounted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recounted: BTreeMap<Suite, Counts>,
    /// The portable forms of templates that name what they were synthesised for, by the stack's name: they and not the
    /// stored templates are what stages get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forms: BTreeMap<StackName, TemplateForm>,
    /// Who built it, by the key of the bundle that proves it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<String, Build>,
    /// When the gate came to this conclusion.
    pub evaluated_at: Timestamp,
}

/// The portable form of a template, by its digests: whoever has the stored template derives the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateForm {
    /// The SHA-256 of the stored template.
    pub template_sha256: Sha256,
    /// The SHA-256 of the form.
    pub sha256: Sha256,
    /// The form's size in bytes.
    pub size: u64,
    /// The SHA-256 of the mapping from the one to the other, place by place.
    pub mapping_sha256: Sha256,
    /// How many places differ.
    pub substitutions: u64,
    /// The forms of the templates that are nested in it and that differ from the stored ones, by the keys of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nested: BTreeMap<AssetKey, TemplateForm>,
}

/// Tests that bear a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTests {
    /// How many there are.
    pub count: u64,
    /// What they are called, the first [`NamedTests::MOST`] of them.
    pub names: Vec<String>,
}

impl NamedTests {
    /// How many names are kept.
    pub const MOST: usize = 10;
    /// The longest name that is kept whole, in characters.
    const LONGEST: usize = 200;

    /// Another test.
    pub fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < Self::MOST {
            let mut kept: String = name.chars().take(Self::LONGEST).collect();
            if kept.len() < name.len() {
                kept.push('…');
            }
            self.names.push(kept);
        }
    }

    /// These and those.
    pub fn extend(&mut self, other: Self) {
        let room = Self::MOST.saturating_sub(self.names.len());
        self.count += other.count;
        self.names.extend(other.names.into_iter().take(room));
    }
}

/// A Built commit and the raw reports of its integration tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The commit.
    pub commit_sha: CommitSha,
    /// Its manifest's version.
    pub manifest_version_id: VersionId,
    /// Its reports.
    pub reports: Vec<BaselineReport>,
}

/// A raw report of a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineReport {
    /// Its name under `reports/`.
    pub file: FileName,
    /// Its format.
    pub format: String,
    /// The version that was judged.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// The last Built commit of a branch, which the next ones are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBuilt {
    /// 1.
    pub schema_version: u32,
    /// The repository.
    pub repo: Repo,
    /// The branch.
    pub branch: String,
    /// The commit.
    #[serde(flatten)]
    pub baseline: Baseline,
    /// When its first manifest was seen: later builds of an older commit are not the last Built one.
    pub first_seen_at: Timestamp,
}

/// What a commit's integration tests are compared with on a branch, pinned when its first manifest was seen: commits that
/// are Built meanwhile or later don't change it, nor do other manifests of the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// 1.
    pub schema_version: u32,
    /// The branch.
    pub branch: String,
    /// The branch's last Built commit then; `None` where it had none.
    pub baseline: Option<Baseline>,
    /// When that was.
    pub first_seen_at: Timestamp,
}

/// One object as it was when it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedArtefact {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

impl Verdict {
    /// The commit that it is on.
    #[must_use]
    pub fn commit(&self) -> Commit {
        Commit { repo: self.repo.clone(), sha: self.commit_sha.clone() }
    }

    /// The object at `path` as it was judged.
    #[must_use]
    pub fn artefact(&self, path: &ArtefactPath) -> Option<&JudgedArtefact> {
        let key = path.of(&self.commit());
        self.artefacts.iter().find(|artefact| artefact.key == key)
    }

    /// Whether it says that the commit was taken back, in the words of this revocation.
    #[must_use]
    pub fn is_of(&self, taken_back: &TakenBack) -> bool {
        let words = taken_back.to_string();
        self.outcome == Outcome::Revoked
            && self.reasons.iter().any(|it| it.code == Code::Revoked && it.message == words)
    }

    /// Whether both say the same of the same objects, whenever they were given. The policy's digest follows from its
    /// version, and the tests' names from the reports: a verdict of before they were kept says the same without them.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let Self {
            schema_version,
            repo,
            commit_sha,
            manifest_version_id,
            outcome,
            reasons,
            warnings,
            artefacts,
            policy_version_id,
            policy_sha256: _,
            policy_tests: _,
            compared_with,
            // It follows from the others, and older verdicts don't have it.
            recounted: _,
            forms,
            provenance,
            evaluated_at: _,
        } = self;
        *schema_version == other.schema_version
            && *repo == other.repo
            && *commit_sha == other.commit_sha
            && *manifest_version_id == other.manifest_version_id
            && *outcome == other.outcome
            && *reasons == other.reasons
            && *warnings == other.warnings
            && *artefacts == other.artefacts
            && *policy_version_id == other.policy_version_id
            && *compared_with == other.compared_with
            && *forms == other.forms
            && *provenance == other.provenance
    }
}

/// That a manifest version was taken back after it was Built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// 1.
    pub schema_version: u32,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The manifest version that was taken back; another version starts afresh.
    pub manifest_version_id: VersionId,
    /// Who took it back, as AWS named them.
    pub revoked_by: String,
    /// When the version was taken back.
    pub revoked_at: Timestamp,
    /// Why, in the words of whoever took it back.
    pub reason: String,
}
