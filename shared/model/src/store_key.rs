//! Every path of the two buckets, and nothing else spells one.
//!
//! The artefact bucket's layout is ADR-053's "Artefact storage", extended by CONTRACT §2; the records bucket's is
//! CONTRACT §4 to §7.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{
        AssetFile, Chain, Commit, DatabaseName, FileName, FunctionName, HoldId, MigrationPath, ModuleId, PromotionId,
        Repo, RunName, Sha256, StackName, StageName, WaiverId,
    },
    provenance::RootName,
};

/// An object's key in the artefact bucket, as CI may write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtefactKey {
    /// Whose object it is.
    pub commit: Commit,
    /// Which one.
    pub path: ArtefactPath,
}

/// Where an object lies inside its commit's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ArtefactPath {
    /// `build-manifest.json`
    Manifest,
    /// `reports/{name}`: a raw test report.
    Report(FileName),
    /// `provenance/{name}.sigstore.json`: who built the commit. No manifest lists it, because it is about the manifest.
    Provenance(FileName),
    /// `modules/{MOD-NNN}/functions/{function-name}.zip`: a Lambda bundle.
    Function(ModuleId, FunctionName),
    /// `modules/{MOD-NNN}/cloudformation/{stack-name}.json`: a synthesised template.
    Template(ModuleId, StackName),
    /// `modules/{MOD-NNN}/assets/{sha256}[.ext]`: a file that a template takes from an asset bucket.
    Asset(ModuleId, AssetFile),
    /// `modules/{MOD-NNN}/schema/{db-name}-schema.sql`: a schema snapshot.
    Schema(ModuleId, DatabaseName),
    /// `modules/{MOD-NNN}/schema/{db-name}/migrations/{file}.sql`: a Flyway migration; `{file}` may lie in folders.
    Migration(ModuleId, DatabaseName, MigrationPath),
    /// `modules/{MOD-NNN}/schema/{db-name}/migrations/{file}.sql.conf`: the configuration of one migration or callback.
    ScriptConfiguration(ModuleId, DatabaseName, MigrationPath),
    /// `modules/{MOD-NNN}/schema/{db-name}/flyway.toml`: what Flyway is configured by, wherever it runs.
    FlywayConfiguration(ModuleId, DatabaseName),
    /// `modules/{MOD-NNN}/dbt/manifest.json`: dbt's compiled manifest.
    DbtManifest(ModuleId),
    /// `modules/{MOD-NNN}/dbt/run_results.json`: what the `dbt build` behind that manifest came to.
    DbtRunResults(ModuleId),
}

/// A key that the layout has no place for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is outside the layout of the artefact store")]
pub struct OutsideLayout {
    /// The key as it is.
    pub key: String,
    /// The commit whose folder it lies in, where it has one.
    pub commit: Option<Commit>,
}

impl ArtefactKey {
    /// Parses a key of the artefact bucket.
    ///
    /// # Errors
    /// [`OutsideLayout`] for anything that CONTRACT §2 does not name.
    pub fn parse(key: &str) -> Result<Self, OutsideLayout> {
        let outside = |commit| OutsideLayout { key: key.to_owned(), commit };
        let mut parts = key.splitn(3, '/');
        let (Some(repo), Some(sha), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(outside(None));
        };
        let (Ok(repo), Ok(sha)) = (repo.parse(), sha.parse()) else {
            return Err(outside(None));
        };
        let commit = Commit { repo, sha };
        match ArtefactPath::parse(path) {
            Some(path) => Ok(Self { commit, path }),
            None => Err(outside(Some(commit))),
        }
    }
}

impl fmt::Display for ArtefactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.commit.prefix(), self.path)
    }
}

impl ArtefactPath {
    /// The module that it is of; the commit's own files are of none.
    #[must_use]
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::Manifest | Self::Report(_) | Self::Provenance(_) => None,
            Self::Function(module, _)
            | Self::Template(module, _)
            | Self::Schema(module, _)
            | Self::Asset(module, _)
            | Self::Migration(module, ..)
            | Self::FlywayConfiguration(module, _)
            | Self::ScriptConfiguration(module, ..)
            | Self::DbtManifest(module)
            | Self::DbtRunResults(module) => Some(module),
        }
    }

    /// Parses the part of a key behind its commit; `None` where the layout has no such place.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["build-manifest.json"] => Some(Self::Manifest),
            ["reports", name] => Some(Self::Report(name.parse().ok()?)),
            ["provenance", name] if is_bundle(name) => Some(Self::Provenance(name.parse().ok()?)),
            ["modules", module, rest @ ..] => {
                let module = module.parse().ok()?;
                match rest {
                    ["functions", file] => Some(Self::Function(module, file.strip_suffix(".zip")?.parse().ok()?)),
                    ["cloudformation", file] => Some(Self::Template(module, file.strip_suffix(".json")?.parse().ok()?)),
                    ["assets", file] => Some(Self::Asset(module, file.parse().ok()?)),
                    ["schema", file] => Some(Self::Schema(module, file.strip_suffix("-schema.sql")?.parse().ok()?)),
                    ["schema", database, "flyway.toml"] => {
                        Some(Self::FlywayConfiguration(module, database.parse().ok()?))
                    }
                    ["schema", database, "migrations", file @ ..] => {
                        let (database, file) = (database.parse().ok()?, file.join("/"));
                        match file.strip_suffix(".conf") {
                            Some(script) => Some(Self::ScriptConfiguration(module, database, script.parse().ok()?)),
                            None => Some(Self::Migration(module, database, file.parse().ok()?)),
                        }
                    }
                    ["dbt", "manifest.json"] => Some(Self::DbtManifest(module)),
                    ["dbt", "run_results.json"] => Some(Self::DbtRunResults(module)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The full key in the store of an object of `commit`.
    #[must_use]
    pub fn of(&self, commit: &Commit) -> String {
        format!("{}{self}", commit.prefix())
    }

    /// The object's media type.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Manifest
            | Self::Provenance(_)
            | Self::Template(..)
            | Self::DbtManifest(_)
            | Self::DbtRunResults(_) => "application/json",
            Self::Function(..) => "application/zip",
            Self::Asset(_, file) if file.extension() == Some("zip") => "application/zip",
            Self::Asset(_, file) if matches!(file.extension(), Some("json" | "map")) => "application/json",
            Self::Schema(..) | Self::Migration(..) => "application/sql",
            Self::FlywayConfiguration(..) => "application/toml",
            Self::ScriptConfiguration(..) => "text/plain",
            Self::Report(name) if name.as_str().ends_with(".json") => "application/json",
            Self::Report(name) if name.as_str().ends_with(".xml") => "application/xml",
            Self::Report(_) | Self::Asset(..) => "application/octet-stream",
        }
    }
}

/// Whether a file may be a Sigstore bundle by its name, as `cosign` and GitHub's tools spell it.
fn is_bundle(file: &str) -> bool {
    file.strip_suffix(".sigstore.json").is_some_and(|name| !name.is_empty())
}

impl fmt::Display for ArtefactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("build-manifest.json"),
            Self::Report(name) => write!(f, "reports/{name}"),
            Self::Provenance(name) => write!(f, "provenance/{name}"),
            Self::Function(module, name) => write!(f, "modules/{module}/functions/{name}.zip"),
            Self::Template(module, name) => write!(f, "modules/{module}/cloudformation/{name}.json"),
            Self::Asset(module, file) => write!(f, "modules/{module}/assets/{file}"),
            Self::Schema(module, name) => write!(f, "modules/{module}/schema/{name}-schema.sql"),
            Self::Migration(module, name, file) => write!(f, "modules/{module}/schema/{name}/migrations/{file}"),
            Self::ScriptConfiguration(module, name, script) => {
                write!(f, "modules/{module}/schema/{name}/migrations/{script}.conf")
            }
            Self::FlywayConfiguration(module, name) => write!(f, "modules/{module}/schema/{name}/flyway.toml"),
            Self::DbtManifest(module) => write!(f, "modules/{module}/dbt/manifest.json"),
            Self::DbtRunResults(module) => write!(f, "modules/{module}/dbt/run_results.json"),
        }
    }
}

impl TryFrom<String> for ArtefactPath {
    type Error = OutsideLayout;

    fn try_from(path: String) -> Result<Self, OutsideLayout> {
        Self::parse(&path).ok_or(OutsideLayout { key: path, commit: None })
    }
}

impl From<ArtefactPath> for String {
    fn from(path: ArtefactPath) -> Self {
        path.to_string()
    }
}

impl Commit {
    /// The commit's folder in the artefact bucket, with its slash.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/{}/", self.repo, self.sha)
    }

    /// What `ArtefactPrefix` of a template of `module` is (CONTRACT §6).
    #[must_use]
    pub fn module_prefix(&self, module: &ModuleId) -> String {
        format!("{}modules/{module}", self.prefix())
    }
}

/// An object's key in the records bucket, which only the gatekeeper writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordKey {
    /// The gate's present verdict on a commit (CONTRACT §4).
    Verdict(Commit),
    /// That a Built commit was taken back (CONTRACT §4).
    Revocation(Commit),
    /// The handoff document that a module is Built (CONTRACT §7).
    BuiltHandoff(Commit, ModuleId),
    /// The handoff document that a module is Deployed (CONTRACT §7).
    DeployedHandoff(Commit, ModuleId),
    /// The handoff document that a module's commit was taken back.
    RevokedHandoff(Commit, ModuleId),
    /// The handoff document that a stage went back from a module's commit.
    RolledBackHandoff(Commit, ModuleId),
    /// What the inspections of a commit's objects found, by the version of their rules: one record for all of them.
    Inspections(u32, Commit),
    /// The stages' configuration (CONTRACT §6).
    StagesConfig,
    /// Which conditions bind which repository.
    PolicyConfig,
    /// Who is who.
    IdentitiesConfig,
    /// What certificates, logs and timestamp authorities of a Sigstore instance are believed by.
    TrustedRoot(RootName),
    /// The last Built commit of a repository's branch, by the SHA-256 of the branch's name: it may be any text.
    LastBuilt(Repo, Sha256),
    /// What a commit's integration tests are compared with on a branch.
    Predecessor(Commit, Sha256),
    /// The record of one promotion (CONTRACT §5).
    Promotion(StageName, Repo, PromotionId),
    /// What a stage runs now (CONTRACT §5).
    Stage(StageName, Repo),
    /// Who is promoting a repository to a stage right now.
    Lock(StageName, Repo),
    /// Where a stage differs from what its last promotion put there.
    Drift(StageName, Repo),
    /// Which entries were the newest of a stage's chain of the ledger and of the gate's own, and when.
    Freshness(StageName, Repo),
    /// Which repositories a stage has, and when.
    StageRepositories(StageName),
    /// That a person, by the SHA-256 of the name, approved a commit for a stage.
    Approval(StageName, Commit, Sha256),
    /// The gate's attestation that a commit is Built.
    BuiltAttestation(Commit, Form),
    /// What a promotion that succeeded attests.
    PromotionAttestation(StageName, Repo, PromotionId, PromotionStatement, Form),
    /// That somebody stops a promotion.
    StopWish(StageName, Repo, PromotionId),
    /// That a person releases a stage that is held.
    HoldRelease(StageName, HoldId),
    /// That a person proposes to waive a rule of a stage for a time.
    ProposedWaiver(StageName, WaiverId),
    /// Since when a runner may carry out its part of a promotion, and until when.
    OpenLease(StageName, Repo, PromotionId),
    /// What a runner's part of a promotion came to.
    RunCompletion(StageName, Repo, PromotionId, RunName),
    /// A document that the runner handed in of it.
    RunEvidence(StageName, Repo, PromotionId, RunName, RunFile),
    /// An entry of the ledger, from 1.
    LedgerEntry(Chain, u64),
    /// The signed head of a chain of the ledger.
    LedgerHead(Chain),
    /// That a Built commit has objects of these bytes.
    DigestIndex(Sha256, Commit),
    /// A version of the trust root, from 1: which keys count, as people signed it.
    TrustRoot(u64),
}

/// The form in which a signed statement is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A DSSE envelope.
    Dsse,
    /// A Sigstore bundle around it.
    Sigstore,
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Dsse => "dsse.json",
            Self::Sigstore => "sigstore.json",
        }
    }
}

/// What a promotion that succeeded attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromotionStatement {
    /// That the commit was verified for the stage.
    VerificationSummary,
    /// What was deployed there.
    Deployment,
}

impl PromotionStatement {
    /// Its name in keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerificationSummary => "verification-summary",
            Self::Deployment => "deployment",
        }
    }
}

/// A document that a runner hands in, by its name in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunFile {
    /// dbt's `manifest.json`.
    #[serde(rename = "manifest.json")]
    Manifest,
    /// dbt's `run_results.json`.
    #[serde(rename = "run_results.json")]
    RunResults,
}

impl RunFile {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest.json",
            Self::RunResults => "run_results.json",
        }
    }
}

impl RecordKey {
    /// Where the entries and the head of a chain lie.
    #[must_use]
    pub fn ledger_prefix(chain: &Chain) -> String {
        format!("ledger/{chain}/")
    }

    /// Where the chains of one stage or of every stage lie.
    #[must_use]
    pub fn ledgers_prefix(stage: Option<&StageName>) -> String {
        stage.map_or_else(|| "ledger/".to_owned(), |stage| format!("ledger/{stage}/"))
    }

    /// The chain that the key of a [`RecordKey::LedgerEntry`] or [`RecordKey::LedgerHead`] is of.
    #[must_use]
    pub fn chain_of(key: &str) -> Option<Chain> {
        match key.split('/').collect::<Vec<_>>().as_slice() {
            ["ledger", stage, repo, _] => Some(Chain { stage: stage.parse().ok()?, repo: repo.parse().ok()? }),
            _ => None,
        }
    }

    /// Where [`RecordKey::DigestIndex`] of some bytes lies.
    #[must_use]
    pub fn digest_prefix(digest: &Sha256) -> String {
        format!("digests/{digest}/")
    }

    /// The commit that the key of a [`RecordKey::DigestIndex`] names.
    #[must_use]
    pub fn commit_of_digest(key: &str) -> Option<Commit> {
        match key.split('/').collect::<Vec<_>>().as_slice() {
            ["digests", _, repo, file] => {
                Some(Commit { repo: repo.parse().ok()?, sha: file.strip_suffix(".json")?.parse().ok()? })
            }
            _ => None,
        }
    }

    /// Where [`RecordKey::LastBuilt`] and every [`RecordKey::Predecessor`] of a repository lie.
    #[must_use]
    pub fn built_prefix(repo: &Repo) -> String {
        format!("built/{repo}/")
    }

    /// The commit that the key of a [`RecordKey::Predecessor`] is about: one whose manifest the gate has seen.
    #[must_use]
    pub fn seen_commit(key: &str) -> Option<Commit> {
        match key.split('/').collect::<Vec<_>>().as_slice() {
            ["built", repo, _, file] => {
                Some(Commit { repo: repo.parse().ok()?, sha: file.strip_suffix(".json")?.parse().ok()? })
            }
            _ => None,
        }
    }

    /// Where every [`RecordKey::Promotion`] of a repository to a stage lies.
    #[must_use]
    pub fn promotions_prefix(stage: &StageName, repo: &Repo) -> String {
        format!("promotions/{stage}/{repo}/")
    }

    /// The promotion that the key of a [`RecordKey::Promotion`] is of; `None` for what lies beside its record.
    #[must_use]
    pub fn promotion_of(key: &str) -> Option<PromotionId> {
        match key.split('/').collect::<Vec<_>>().as_slice() {
            ["promotions", _, _, file] => file.strip_suffix(".json")?.parse().ok(),
            _ => None,
        }
    }

    /// Where every [`RecordKey::ProposedWaiver`] of a stage lies.
    #[must_use]
    pub fn waivers_prefix(stage: &StageName) -> String {
        format!("approvals/{stage}/waivers/")
    }

    /// The [`RecordKey::ProposedWaiver`] of a stage that lies at `key`; `None` where none lies there.
    #[must_use]
    pub fn proposed_waiver_of(stage: &StageName, key: &str) -> Option<Self> {
        let id = key.strip_prefix(&Self::waivers_prefix(stage))?.strip_suffix(".json")?.parse().ok()?;
        Some(Self::ProposedWaiver(stage.clone(), id))
    }

    /// Where every [`RecordKey::Approval`] of a repository's commits for a stage lies.
    #[must_use]
    pub fn approvals_of_repo_prefix(stage: &StageName, repo: &Repo) -> String {
        format!("approvals/{stage}/{repo}/")
    }

    /// The [`RecordKey::Approval`] that lies at `key`, with the commit that it is of; `None` where none lies there.
    #[must_use]
    pub fn approval(key: &str) -> Option<(Commit, Self)> {
        match key.split('/').collect::<Vec<_>>().as_slice() {
            ["approvals", stage, repo, sha, file] => {
                let commit = Commit { repo: repo.parse().ok()?, sha: sha.parse().ok()? };
                let person = file.strip_suffix(".json")?.parse().ok()?;
                Some((commit.clone(), Self::Approval(stage.parse().ok()?, commit, person)))
            }
            _ => None,
        }
    }

    /// Where every [`RecordKey::Approval`] of a commit for a stage lies.
    #[must_use]
    pub fn approvals_prefix(stage: &StageName, commit: &Commit) -> String {
        format!("approvals/{stage}/{}", commit.prefix())
    }

    /// Where every [`RecordKey::Approval`] of a repository's commits for a stage lies.
    #[must_use]
    pub fn approvals_of(stage: &StageName, repo: &Repo) -> String {
        format!("approvals/{stage}/{repo}/")
    }

    /// Where every [`RecordKey::Approval`] for one stage or for every stage lies.
    #[must_use]
    pub fn approvals_for(stage: Option<&StageName>) -> String {
        stage.map_or_else(|| "approvals/".to_owned(), |stage| format!("approvals/{stage}/"))
    }

    /// The stage and the repository of the approval at `key`; `None` where none can lie there.
    #[must_use]
    pub fn approval_stage_and_repo(key: &str) -> Option<(StageName, Repo)> {
        let mut parts = key.strip_prefix("approvals/")?.split('/');
        let (stage, repo, _) = (parts.next()?, parts.next()?, parts.next()?);
        Some((stage.parse().ok()?, repo.parse().ok()?))
    }

    /// The [`RecordKey::Approval`] of `commit` for `stage` that lies at `key`; `None` where none lies there.
    #[must_use]
    pub fn approval_of(stage: &StageName, commit: &Commit, key: &str) -> Option<Self> {
        let name = key.strip_prefix(&Self::approvals_prefix(stage, commit))?;
        let person = name.strip_suffix(".json")?.parse().ok()?;
        Some(Self::Approval(stage.clone(), commit.clone(), person))
    }

    /// Where [`RecordKey::Stage`] of one stage or of every stage lies.
    #[must_use]
    pub fn stages_prefix(stage: Option<&StageName>) -> String {
        stage.map_or_else(|| "stages/".to_owned(), |stage| format!("stages/{stage}/"))
    }

    /// Where [`RecordKey::Lock`] of one stage or of every stage lies.
    #[must_use]
    pub fn locks_prefix(stage: Option<&StageName>) -> String {
        stage.map_or_else(|| "locks/".to_owned(), |stage| format!("locks/{stage}/"))
    }

    /// Where the handoff documents of a commit lie.
    #[must_use]
    pub fn handoffs_prefix(commit: &Commit) -> String {
        format!("{}docs/handoffs/", commit.prefix())
    }

    /// The handoff document of `commit` that lies at `key`; `None` where no handoff document of it lies.
    #[must_use]
    pub fn handoff_of(commit: &Commit, key: &str) -> Option<Self> {
        let name = key.strip_prefix(&Self::handoffs_prefix(commit))?;
        let module: ModuleId = name.split_once("-ci-")?.0.parse().ok()?;
        let kinds = [Self::BuiltHandoff, Self::DeployedHandoff, Self::RevokedHandoff, Self::RolledBackHandoff];
        kinds.into_iter().map(|kind| kind(commit.clone(), module.clone())).find(|it| it.to_string() == key)
    }

    /// The stage and repository that the key of a [`RecordKey::Stage`] or [`RecordKey::Lock`] is about.
    #[must_use]
    pub fn stage_and_repo(key: &str) -> Option<(StageName, Repo)> {
        match key.split('/').collect::<Vec<_>>().as_slice() {
            ["stages" | "locks", stage, file] => Some((stage.parse().ok()?, file.strip_suffix(".json")?.parse().ok()?)),
            _ => None,
        }
    }
}

/// A key in the bucket of the witness outside, which keeps every head of the ledger that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessKey {
    /// The signed head of a chain that is about the entry of this place.
    Head(Chain, u64),
    /// A timestamp of that head, as a timestamp authority answered.
    Timestamp(Chain, u64),
}

impl WitnessKey {
    /// Where the heads of a chain lie, the newest first.
    #[must_use]
    pub fn chain_prefix(chain: &Chain) -> String {
        format!("{}{}/", Self::stage_prefix(Some(&chain.stage)), chain.repo)
    }

    /// Where the chains of one stage or of every stage lie.
    #[must_use]
    pub fn stage_prefix(stage: Option<&StageName>) -> String {
        stage.map_or_else(|| "heads/".to_owned(), |stage| format!("heads/{stage}/"))
    }

    /// What lies at a key; `None` where nothing of the layout does. Of a place the head is listed before its timestamp.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let ["heads", stage, repo, file] = *key.split('/').collect::<Vec<_>>() else { return None };
        let (inverted, ending) = file.split_once('.')?;
        let of = if ending == "tsr" { Self::Timestamp } else { Self::Head };
        let place = u64::MAX - inverted.parse::<u64>().ok()?;
        let parsed = of(Chain { stage: stage.parse().ok()?, repo: repo.parse().ok()? }, place);
        (parsed.to_string() == key).then_some(parsed)
    }
}

impl fmt::Display for WitnessKey {
    /// A bucket lists its keys in ascending order, so the place is counted down: the newest is listed first, and no older one
    /// that is put there later comes before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(chain, sequence) => write!(f, "{}{:020}.json", Self::chain_prefix(chain), u64::MAX - sequence),
            Self::Timestamp(chain, sequence) => {
                write!(f, "{}{:020}.tsr", Self::chain_prefix(chain), u64::MAX - sequence)
            }
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(commit) => write!(f, "{}verdict.json", commit.prefix()),
            Self::Revocation(commit) => write!(f, "{}revocation.json", commit.prefix()),
            Self::BuiltHandoff(commit, module) => {
                write!(f, "{}docs/handoffs/{module}-ci-built-{}.handoff.md", commit.prefix(), commit.sha)
            }
            Self::DeployedHandoff(commit, module) => {
                write!(f, "{}docs/handoffs/{module}-ci-deployed-{}.handoff.md", commit.prefix(), commit.sha)
            }
            Self::RevokedHandoff(commit, module) => {
                write!(f, "{}docs/handoffs/{module}-ci-revoked-{}.handoff.md", commit.prefix(), commit.sha)
            }
            Self::RolledBackHandoff(commit, module) => {
                write!(f, "{}docs/handoffs/{module}-ci-rolled-back-{}.handoff.md", commit.prefix(), commit.sha)
            }
            Self::Inspections(rules, commit) => write!(f, "inspections/{rules}/{}/{}.json", commit.repo, commit.sha),
            Self::StagesConfig => f.write_str("config/stages.json"),
            Self::PolicyConfig => f.write_str("config/policy.json"),
            Self::IdentitiesConfig => f.write_str("config/identities.json"),
            Self::TrustedRoot(name) => write!(f, "config/trusted-roots/{name}.json"),
            Self::LastBuilt(repo, branch) => write!(f, "built/{repo}/{branch}/last.json"),
            Self::Predecessor(commit, branch) => write!(f, "built/{}/{branch}/{}.json", commit.repo, commit.sha),
            Self::Promotion(stage, repo, id) => write!(f, "promotions/{stage}/{repo}/{id}.json"),
            Self::Stage(stage, repo) => write!(f, "stages/{stage}/{repo}.json"),
            Self::Lock(stage, repo) => write!(f, "locks/{stage}/{repo}.json"),
            Self::Approval(stage, commit, person) => {
                write!(f, "{}{person}.json", Self::approvals_prefix(stage, commit))
            }
            Self::BuiltAttestation(commit, form) => {
                write!(f, "{}attestations/built.{}", commit.prefix(), form.suffix())
            }
            Self::PromotionAttestation(stage, repo, id, statement, form) => {
                write!(f, "promotions/{stage}/{repo}/{id}/{}.{}", statement.as_str(), form.suffix())
            }
            Self::StopWish(stage, repo, id) => write!(f, "promotions/{stage}/{repo}/{id}/stop.json"),
            Self::HoldRelease(stage, id) => write!(f, "approvals/{stage}/{id}.json"),
            Self::ProposedWaiver(stage, id) => write!(f, "{}{id}.json", Self::waivers_prefix(stage)),
            Self::OpenLease(stage, repo, id) => write!(f, "promotions/{stage}/{repo}/{id}/runs/lease.json"),
            Self::RunCompletion(stage, repo, id, run) => write!(f, "promotions/{stage}/{repo}/{id}/runs/{run}.json"),
            Self::RunEvidence(stage, repo, id, run, file) => {
                write!(f, "promotions/{stage}/{repo}/{id}/runs/{run}/{}", file.as_str())
            }
            Self::LedgerEntry(chain, sequence) => write!(f, "{}{sequence:010}.json", Self::ledger_prefix(chain)),
            Self::LedgerHead(chain) => write!(f, "{}head.json", Self::ledger_prefix(chain)),
            Self::DigestIndex(digest, commit) => {
                write!(f, "{}{}/{}.json", Self::digest_prefix(digest), commit.repo, commit.sha)
            }
            Self::Drift(stage, repo) => write!(f, "drift/{stage}/{repo}.json"),
            Self::Freshness(stage, repo) => write!(f, "drift/{stage}/{repo}/freshness.json"),
            Self::StageRepositories(stage) => write!(f, "drift/{stage}.repositories.json"),
            Self::TrustRoot(version) => write!(f, "config/trust/{version}.root.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

    fn commit() -> Commit {
        Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
    }

    #[test]
    fn every_place_of_the_layout_reads_back_as_itself() {
        for path in [
            "build-manifest.json",
            "modules/MOD-012/functions/authorise-payment.zip",
            "modules/MOD-012/cloudformation/payments-api.json",
            "modules/MOD-012/schema/payments-schema.sql",
            "modules/MOD-012/schema/payments/migrations/V1__create_ledger.sql",
            "modules/MOD-012/schema/payments/migrations/2026/V2__größe.sql",
            "modules/MOD-012/schema/payments/migrations/2026/V2__größe.sql.conf",
            "modules/MOD-012/schema/payments/flyway.toml",
            "modules/MOD-012/dbt/manifest.json",
            "modules/MOD-012/dbt/run_results.json",
            "reports/integration.xml",
            "provenance/build.sigstore.json",
        ] {
            let key = format!("bank-payments/{SHA}/{path}");
            let parsed = ArtefactKey::parse(&key).unwrap();
            assert_eq!(parsed.commit, commit());
            assert_eq!(parsed.to_string(), key);
        }
    }

    #[test]
    fn the_stages_and_locks_of_a_listing_read_back() {
        let (stage, repo): (StageName, Repo) = ("uat".parse().unwrap(), "bank-payments".parse().unwrap());
        let pair = || (stage.clone(), repo.clone());
        let state = RecordKey::Stage(stage.clone(), repo.clone()).to_string();
        let lock = RecordKey::Lock(stage.clone(), repo.clone()).to_string();
        for prefix in [RecordKey::stages_prefix(None), RecordKey::stages_prefix(Some(&stage))] {
            assert!(state.starts_with(&prefix));
        }
        for prefix in [RecordKey::locks_prefix(None), RecordKey::locks_prefix(Some(&stage))] {
            assert!(lock.starts_with(&prefix));
        }
        assert_eq!(RecordKey::stage_and_repo(&state), Some(pair()));
        assert_eq!(RecordKey::stage_and_repo(&lock), Some(pair()));
        for other in ["stages/uat", "stages/UAT/bank-payments.json", "promotions/uat/bank-payments.json"] {
            assert_eq!(RecordKey::stage_and_repo(other), None, "{other}");
        }
    }

    #[test]
    fn the_approvals_of_a_listing_read_back_and_nothing_else_does() {
        let stage: StageName = "prod".parse().unwrap();
        let approval = RecordKey::Approval(stage.clone(), commit(), Sha256::of(b"jane"));
        let key = approval.to_string();
        insta::assert_snapshot!(key, @"approvals/prod/bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2.json");
        assert_eq!(RecordKey::approval_of(&stage, &commit(), &key), Some(approval));
        assert_eq!(RecordKey::approval_of(&"uat".parse().unwrap(), &commit(), &key), None);
        assert_eq!(RecordKey::approval_of(&stage, &commit(), &key.replace("81f8", "jane")), None);
    }

    #[test]
    fn the_handoffs_of_a_listing_read_back_and_nothing_else_does() {
        let module: ModuleId = "MOD-012".parse().unwrap();
        for kind in [
            RecordKey::BuiltHandoff,
            RecordKey::DeployedHandoff,
            RecordKey::RevokedHandoff,
            RecordKey::RolledBackHandoff,
        ] {
            let handoff = kind(commit(), module.clone());
            assert_eq!(RecordKey::handoff_of(&commit(), &handoff.to_string()), Some(handoff));
        }
        let folder = RecordKey::handoffs_prefix(&commit());
        let other = "0".repeat(40);
        for name in [
            "",
            "MOD-012.handoff.md",
            &format!("MOD-12-ci-built-{SHA}.handoff.md"),
            &format!("MOD-012-ci-tested-{SHA}.handoff.md"),
            &format!("MOD-012-ci-built-{SHA}.handoff.md.bak"),
            &format!("MOD-012-ci-built-{other}.handoff.md"),
            &format!("../MOD-012-ci-built-{SHA}.handoff.md"),
            &format!("x/MOD-012-ci-built-{SHA}.handoff.md"),
        ] {
            assert_eq!(RecordKey::handoff_of(&commit(), &format!("{folder}{name}")), None, "{name}");
        }
    }

    #[test]
    fn chains_and_commits_read_back_from_the_keys_of_a_listing() {
        let chain = Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() };
        for key in [RecordKey::LedgerEntry(chain.clone(), 12), RecordKey::LedgerHead(chain.clone())] {
            assert!(key.to_string().starts_with(&RecordKey::ledger_prefix(&chain)));
            assert!(key.to_string().starts_with(&RecordKey::ledgers_prefix(Some(&chain.stage))));
            assert_eq!(RecordKey::chain_of(&key.to_string()), Some(chain.clone()));
        }
        let digest = Sha256::of(b"zip");
        let index = RecordKey::DigestIndex(digest, commit()).to_string();
        assert!(index.starts_with(&RecordKey::digest_prefix(&digest)));
        assert_eq!(RecordKey::commit_of_digest(&index), Some(commit()));
    }

    #[test]
    fn the_newest_head_of_a_chain_is_listed_first_by_the_witness() {
        let chain = Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() };
        let places = [1, 2, 9, 10, 11, 99_999_999_999, u64::MAX];
        let keys = places.map(|place| WitnessKey::Head(chain.clone(), place).to_string());
        assert!(keys.is_sorted_by(|a, b| a > b), "{keys:#?}");
        insta::assert_snapshot!(keys[0], @"heads/uat/bank-payments/18446744073709551614.json");
        for (key, place) in keys.iter().zip(places) {
            assert!(key.starts_with(&WitnessKey::chain_prefix(&chain)));
            assert_eq!(WitnessKey::parse(key), Some(WitnessKey::Head(chain.clone(), place)));
            let timestamp = WitnessKey::Timestamp(chain.clone(), place);
            assert!(*key < timestamp.to_string(), "the head comes first");
            assert_eq!(WitnessKey::parse(&timestamp.to_string()), Some(timestamp));
        }
        for other in [
            "heads/uat/bank-payments/1.json",
            "heads/uat/bank-payments/+8446744073709551614.json",
            "heads/uat/bank-payments/18446744073709551614.txt",
            "heads/uat/bank-payments/18446744073709551614.tsr.json",
            "heads/uat/bank-payments/18446744073709551616.json",
            "heads/uat/18446744073709551614.json",
            "ledger/uat/bank-payments/18446744073709551614.json",
        ] {
            assert_eq!(WitnessKey::parse(other), None, "{other}");
        }
    }

    #[test]
    fn anything_else_is_outside_and_never_guessed_at() {
        let inside = |path: &str| format!("bank-payments/{SHA}/{path}");
        for (key, has_commit) in [
            ("build-manifest.json".to_owned(), false),
            (format!("Bank/{SHA}/build-manifest.json"), false),
            (format!("/{SHA}/build-manifest.json"), false),
            ("bank-payments/main/build-manifest.json".to_owned(), false),
            (inside(""), true),
            (inside("build-manifest.json/"), true),
            (inside("Build-Manifest.json"), true),
            (inside("modules/MOD-12/functions/f.zip"), true),
            (inside("modules/MOD-012/functions/f.tar.gz"), true),
            (inside("modules/MOD-012/functions/.zip"), true),
            (inside("modules/MOD-012/functions/a/b.zip"), true),
            (inside("modules/MOD-012/functions/../x.zip"), true),
            (inside("modules/MOD-012/assets/"), true),
            (inside("modules/MOD-012/assets/index.html"), true),
            (inside(&format!("modules/MOD-012/assets/{}", "0A".repeat(32))), true),
            (inside(&format!("modules/MOD-012/assets/{}.", "0a".repeat(32))), true),
            (inside(&format!("modules/MOD-012/assets/{}.tar.gz", "0a".repeat(32))), true),
            (inside(&format!("modules/MOD-012/assets/{}.zip/x", "0a".repeat(32))), true),
            (inside("modules/MOD-012/schema/payments.sql"), true),
            (inside("modules/MOD-012/schema/p/migrations/V1__x.txt"), true),
            (inside("modules/MOD-012/schema/p/migrations/../V1__x.sql"), true),
            (inside("modules/MOD-012/schema/p/migrations//V1__x.sql"), true),
            (inside("modules/MOD-012/schema/p/migrations/.sql"), true),
            (inside("modules/MOD-012/schema/p/migrations/V1\\x.sql"), true),
            (inside("modules/MOD-012//functions/f.zip"), true),
            (inside("modules/MOD-012/dbt/run-results.json"), true),
            (inside("modules/MOD-012/dbt/catalog.json"), true),
            (inside("reports/a/b.xml"), true),
            (inside("reports/.."), true),
        ] {
            let outside = ArtefactKey::parse(&key).unwrap_err();
            assert_eq!(outside.commit.is_some(), has_commit, "{key}");
        }
    }

    #[test]
    fn records_lie_where_the_contract_says() {
        let commit = commit();
        let stage: StageName = "uat".parse().unwrap();
        let module: ModuleId = "MOD-012".parse().unwrap();
        let id: PromotionId = "01J0000000000000000000000A".parse().unwrap();
        let run: RunName = "dbt-MOD-301".parse().unwrap();
        let keys = [
            RecordKey::Verdict(commit.clone()),
            RecordKey::Revocation(commit.clone()),
            RecordKey::BuiltHandoff(commit.clone(), module.clone()),
            RecordKey::DeployedHandoff(commit.clone(), module.clone()),
            RecordKey::RevokedHandoff(commit.clone(), module.clone()),
            RecordKey::RolledBackHandoff(commit.clone(), module),
            RecordKey::StagesConfig,
            RecordKey::PolicyConfig,
            RecordKey::IdentitiesConfig,
            RecordKey::LastBuilt(commit.repo.clone(), Sha256::of(b"main")),
            RecordKey::Predecessor(commit.clone(), Sha256::of(b"main")),
            RecordKey::Promotion(stage.clone(), commit.repo.clone(), id.clone()),
            RecordKey::StopWish(stage.clone(), commit.repo.clone(), id.clone()),
            RecordKey::HoldRelease(stage.clone(), "01J0000000000000000000000B".parse().unwrap()),
            RecordKey::ProposedWaiver(stage.clone(), "01J0000000000000000000000C".parse().unwrap()),
            RecordKey::OpenLease(stage.clone(), commit.repo.clone(), id.clone()),
            RecordKey::RunCompletion(stage.clone(), commit.repo.clone(), id.clone(), run.clone()),
            RecordKey::RunEvidence(stage.clone(), commit.repo.clone(), id, run, RunFile::RunResults),
            RecordKey::Stage(stage.clone(), commit.repo.clone()),
            RecordKey::Lock(stage.clone(), commit.repo.clone()),
            RecordKey::Drift(stage, commit.repo),
        ]
        .map(|key| key.to_string())
        .join("\n");
        insta::assert_snapshot!(keys, @r"
        bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/verdict.json
        bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/revocation.json
        bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/docs/handoffs/MOD-012-ci-built-3f1c9a0b5d7e2468ace013579bdf02468ace1357.handoff.md
        bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/docs/handoffs/MOD-012-ci-deployed-3f1c9a0b5d7e2468ace013579bdf02468ace1357.handoff.md
        bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/docs/handoffs/MOD-012-ci-revoked-3f1c9a0b5d7e2468ace013579bdf02468ace1357.handoff.md
        bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/docs/handoffs/MOD-012-ci-rolled-back-3f1c9a0b5d7e2468ace013579bdf02468ace1357.handoff.md
        config/stages.json
        config/policy.json
        config/identities.json
        built/bank-payments/0d6e4079e36703ebd37c00722f5891d28b0e2811dc114b129215123adcce3605/last.json
        built/bank-payments/0d6e4079e36703ebd37c00722f5891d28b0e2811dc114b129215123adcce3605/3f1c9a0b5d7e2468ace013579bdf02468ace1357.json
        promotions/uat/bank-payments/01J0000000000000000000000A.json
        promotions/uat/bank-payments/01J0000000000000000000000A/stop.json
        approvals/uat/01J0000000000000000000000B.json
        approvals/uat/waivers/01J0000000000000000000000C.json
        promotions/uat/bank-payments/01J0000000000000000000000A/runs/lease.json
        promotions/uat/bank-payments/01J0000000000000000000000A/runs/dbt-MOD-301.json
        promotions/uat/bank-payments/01J0000000000000000000000A/runs/dbt-MOD-301/run_results.json
        stages/uat/bank-payments.json
        locks/uat/bank-payments.json
        drift/uat/bank-payments.json
        ");
    }

    #[test]
    fn keys_of_listings_read_back() {
        let (commit, stage): (_, StageName) = (commit(), "uat".parse().unwrap());
        let id: PromotionId = "01J0000000000000000000000A".parse().unwrap();
        let seen = RecordKey::Predecessor(commit.clone(), Sha256::of(b"main")).to_string();
        assert!(seen.starts_with(&RecordKey::built_prefix(&commit.repo)));
        assert_eq!(RecordKey::seen_commit(&seen), Some(commit.clone()));
        let last = RecordKey::LastBuilt(commit.repo.clone(), Sha256::of(b"main")).to_string();
        assert_eq!(RecordKey::seen_commit(&last), None);
        let promotion = RecordKey::Promotion(stage.clone(), commit.repo.clone(), id.clone()).to_string();
        assert!(promotion.starts_with(&RecordKey::promotions_prefix(&stage, &commit.repo)));
        assert_eq!(RecordKey::promotion_of(&promotion), Some(id.clone()));
        let lease = RecordKey::OpenLease(stage.clone(), commit.repo.clone(), id).to_string();
        assert_eq!(RecordKey::promotion_of(&lease), None);
        let approval = RecordKey::Approval(stage.clone(), commit.clone(), Sha256::of(b"jane"));
        assert!(approval.to_string().starts_with(&RecordKey::approvals_of_repo_prefix(&stage, &commit.repo)));
        assert_eq!(RecordKey::approval(&approval.to_string()), Some((commit, approval)));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_parses_spells_itself(key in ".{0,120}") {
            if let Ok(parsed) = ArtefactKey::parse(&key) {
                prop_assert_eq!(parsed.to_string(), key);
            }
        }
    }
}
