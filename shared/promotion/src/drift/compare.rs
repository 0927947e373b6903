//! The comparison itself: what was promoted, and what a look at the stage has found.

use std::{collections::BTreeMap, fmt::Write as _};

use gatekeeper_gate::judgement::INTEGRATION_PASSED;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, DatabaseName, RunName, Sha256, StackName, VersionId},
    revocation::TakenBack,
    store_key::{ArtefactPath, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::ledger::Standing;
use gatekeeper_store::Tags;
use jiff::Timestamp;

use super::Compared;
use crate::{
    history::StageState,
    plan::{PlannedDatabase, PlannedFunction, PlannedStack},
    record::{LiveFunction, PromotionRecord, SchemaComparison, Status},
    runs::standing::RunLook,
};

/// The most of a schema's difference that goes into a finding, in bytes: people get it by mail.
const MAX_DIFFERENCE: usize = 1024;

/// Commits that are named as the origin of unknown code.
const ORIGINS_NAMED: usize = 3;

/// What a stage should be.
#[derive(Debug, Clone, Copy)]
pub struct Promoted<'a> {
    /// What the stage says to run.
    pub state: &'a StageState,
    /// The record of the promotion that brought it, or in words why there is none.
    pub record: Result<&'a PromotionRecord, &'a str>,
    /// The record of the promotion that touched the stage last: one that failed since, or the same. Or in words why it
    /// can't be read.
    pub last: Result<&'a PromotionRecord, &'a str>,
}

/// What was found at a stage.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The functions, as they are live.
    pub functions: Vec<LiveFunction>,
    /// Where code comes from that isn't the promoted one, by its digest.
    pub origins: BTreeMap<Sha256, Vec<Origin>>,
    /// The stacks, by their names in the stage.
    pub stacks: BTreeMap<StackName, StackLook>,
    /// The databases.
    pub databases: BTreeMap<DatabaseName, DatabaseLook>,
    /// What runners left.
    pub runs: BTreeMap<RunName, RunLook>,
    /// What was found of schema histories where none should be.
    pub histories: Vec<Finding>,
    /// The stored objects that were promoted.
    pub objects: Vec<ObjectLook>,
    /// The present verdict on the commit.
    pub verdict: Option<Verdict>,
    /// That the commit was taken back.
    pub revocation: Option<TakenBack>,
    /// What the gate's own chain of the ledger tells of revocations.
    pub revocations: Standing,
    /// What is wrong with signatures and the ledger.
    pub proofs: Vec<Finding>,
}

/// A commit whose bundle has certain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The commit.
    pub commit: Commit,
    /// What the gate says of it now; `None` where it says nothing.
    pub outcome: Option<Outcome>,
}

/// A stack of the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackLook {
    /// There is none of that name.
    Missing,
    /// It could not be looked at, for this reason.
    Unread(String),
    /// It is there.
    There {
        /// The SHA-256 of the template that it was last updated from.
        template_sha256: Sha256,
        /// Those of the stacks that are nested in it, by the logical ids that lead to each. One that a condition leaves out
        /// is not there.
        nested: BTreeMap<String, Sha256>,
        /// What CloudFormation's own drift detection says.
        drift: StackDrift,
    },
}

/// What CloudFormation's own drift detection says of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackDrift {
    /// Its resources are as the template says.
    InSync,
    /// These are not: each by its logical id, with what became of it.
    Drifted(Vec<String>),
    /// It wasn't asked since the promotion, or hasn't answered yet.
    NotChecked,
    /// It can't be told, for this reason.
    Unknown(String),
}

/// A database of the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseLook {
    /// Its schema, held against the tested one.
    Schema(Box<SchemaComparison>),
    /// It can't be told, for this reason.
    Unknown(String),
    /// It was asked a short while ago.
    NotAsked,
}

/// A stored object that was promoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLook {
    /// Its key.
    pub key: String,
    /// The version that was promoted.
    pub version_id: VersionId,
    /// The newest version; `None` where the object is deleted.
    pub newest: Option<VersionId>,
    /// The tags of the promoted version; `None` where it is gone.
    pub tags: Option<Tags>,
}

/// What a function should run.
struct Runs<'a> {
    /// The bundle's name, or what stands for it.
    bundle: &'a str,
    /// The digest of its code.
    sha256: Sha256,
    stack_name: &'a StackName,
    logical_id: &'a str,
}

impl<'a> Runs<'a> {
    fn of(planned: &'a PlannedFunction) -> Self {
        let PlannedFunction { function, stack_name, logical_id, bundle, .. } = planned;
        Self { bundle: function.as_str(), sha256: bundle.sha256, stack_name, logical_id }
    }
}

/// Compares a stage with what was promoted to it.
#[must_use]
pub fn compare(promoted: Promoted<'_>, look: &Look, now: Timestamp) -> Compared {
    let mut compared = Compared { findings: look.proofs.clone(), ..Compared::default() };
    match promoted.record {
        Err(why) => compared.find(Code::RecordMissing, record_key(promoted.state), why),
        Ok(record) if !is_of(record, promoted.state) => {
            let message = "it is not the record of a promotion that succeeded with the commit that the stage names";
            compared.find(Code::RecordMissing, record_key(promoted.state), message);
        }
        Ok(record) => {
            if let Err(why) = promoted.last {
                compared.notes.push(format!("the record of the promotion that touched the stage last: {why}"));
            }
            for planned in &record.plan.functions {
                let code = Runs::of(planned);
                compared.function(&code, promoted.last, look);
            }
            for (stack, image) in record.plan.image_functions() {
                let bundle = image.function(&stack.stack);
                // One that a condition left out was not there either.
                let was_there = |it: &LiveFunction| it.function == bundle && it.function_name.is_some();
                if record.live.iter().any(was_there) {
                    let (stack_name, logical_id) = (&stack.stack_name, image.resource.as_str());
                    let code = Runs { bundle: &bundle, sha256: image.digest.sha256(), stack_name, logical_id };
                    compared.function(&code, promoted.last, look);
                }
            }
            for planned in &record.plan.stacks {
                compared.stack(planned, look.stacks.get(&planned.stack_name));
            }
            for run in &record.plan.runs {
                compared.run(run, record, look.runs.get(&run.name()), now);
            }
            for planned in &record.plan.databases {
                compared.database(planned, record, promoted.last, look.databases.get(&planned.database));
            }
        }
    }
    compared.findings.extend(look.histories.iter().cloned());
    let record = promoted.record.ok();
    let is_built = compared.verdict(promoted.state, record, look);
    look.objects.iter().for_each(|object| compared.object(object, is_built));
    compared.findings.sort();
    compared.findings.dedup();
    compared
}

fn record_key(state: &StageState) -> String {
    RecordKey::Promotion(state.stage.clone(), state.repo.clone(), state.promotion_id.clone()).to_string()
}

fn is_of(record: &PromotionRecord, state: &StageState) -> bool {
    record.promotion_id == state.promotion_id
        && record.stage == state.stage
        && record.repo == state.repo
        && record.commit_sha == state.commit_sha
        && record.status == Status::Succeeded
}

impl Look {
    /// What of the stage could not be looked at, in words: an operator must know, for nothing is found there meanwhile.
    #[must_use]
    pub fn unread(&self) -> Vec<String> {
        let functions = self.functions.iter().filter_map(|it| it.unread.clone());
        let stacks = self.stacks.iter().filter_map(|(name, look)| match look {
            StackLook::Unread(why) => Some(format!("stack `{name}`: {why}")),
            StackLook::Missing | StackLook::There { .. } => None,
        });
        let mut unread: Vec<_> = functions.chain(stacks).collect();
        unread.sort();
        unread.dedup();
        unread
    }
}

impl Compared {
    pub(super) fn find(&mut self, code: Code, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding::new(code, subject, message));
    }

    pub(super) fn unseen(&mut self, code: Code, subject: impl Into<String>) {
        self.unseen.insert((code, subject.into()));
    }

    fn function(&mut self, planned: &Runs<'_>, last: Result<&PromotionRecord, &str>, look: &Look) {
        let Runs { bundle, sha256: promoted, stack_name: stack, logical_id: id } = *planned;
        let live = look.functions.iter().find(|it| it.function == bundle);
        if let Some(why) = live.and_then(|it| it.unread.as_ref()) {
            self.notes.push(format!("the function of bundle `{bundle}` could not be looked at: {why}"));
            for code in [Code::FunctionMissing, Code::FunctionChanged, Code::FunctionReconfigured] {
                self.unseen(code, bundle);
            }
            return;
        }
        let (name, code) = match live.map(|it| (it.function_name.as_deref(), it.code_sha256)) {
            Some((Some(name), Some(code))) => (name, code),
            Some((Some(name), None)) => {
                return self.find(Code::FunctionMissing, bundle, format!("function `{name}` is not there"));
            }
            _ => {
                return self.find(Code::FunctionMissing, bundle, format!("stack `{stack}` has no function `{id}`"));
            }
        };
        if code != promoted {
            let origin = match look.origins.get(&code).map(Vec::as_slice) {
                Some([]) => "no commit that was Built holds it".to_owned(),
                Some(origins) => told(origins),
                None => "which commit holds it was not looked up".to_owned(),
            };
            let message = format!("function `{name}` runs the code `{code}`, promoted was `{promoted}`: {origin}");
            return self.find(Code::FunctionChanged, bundle, message);
        }
        let before = last.ok().and_then(|last| last.live.iter().find(|it| it.function == bundle));
        let Some(before) = before.filter(|before| before.unread.is_none()) else {
            // How the promotion left it is not known, so neither is what was changed since.
            self.unseen(Code::FunctionReconfigured, bundle);
            return;
        };
        if let Some(live) = live
            && is_reconfigured(before, live)
        {
            let at = live.last_modified.as_deref().unwrap_or("an unknown time");
            let message = format!("settings of function `{name}` were changed since the promotion, last at `{at}`");
            self.find(Code::FunctionReconfigured, bundle, message);
        }
    }

    fn stack(&mut self, planned: &PlannedStack, look: Option<&StackLook>) {
        let (name, promoted) = (planned.stack_name.as_str(), planned.applied_sha256());
        let (template_sha256, nested, drift) = match look {
            Some(StackLook::Missing) => return self.find(Code::StackMissing, name, "the stack is not there"),
            None | Some(StackLook::Unread(_)) => {
                let why = match look {
                    Some(StackLook::Unread(why)) => why.as_str(),
                    _ => "it was not looked at",
                };
                self.notes.push(format!("stack `{name}` could not be looked at: {why}"));
                for code in [Code::StackMissing, Code::TemplateChanged, Code::StackDrifted] {
                    self.unseen(code, name);
                }
                return;
            }
            Some(StackLook::There { template_sha256, nested, drift }) => (template_sha256, nested, drift),
        };
        if *template_sha256 != promoted {
            let message = format!("its template has the SHA-256 `{template_sha256}`, promoted was `{promoted}`");
            self.find(Code::TemplateChanged, name, message);
        }
        for (resource, promoted) in planned.nested_templates() {
            if let Some(live) = nested.get(resource).filter(|live| **live != promoted) {
                let message = format!(
                    "the template of its nested stack `{resource}` has the SHA-256 `{live}`, promoted was `{promoted}`"
                );
                self.find(Code::TemplateChanged, name, message);
            }
        }
        match drift {
            StackDrift::InSync => {}
            StackDrift::Drifted(resources) => {
                let message = format!(
                    "CloudFormation says that these resources were changed outside it: {}",
                    resources.join(", ")
                );
                self.find(Code::StackDrifted, name, message);
            }
            StackDrift::NotChecked => self.unseen(Code::StackDrifted, name),
            StackDrift::Unknown(why) => {
                self.notes.push(format!("CloudFormation can't tell whether stack `{name}` has drifted: {why}"));
                self.unseen(Code::StackDrifted, name);
            }
        }
    }

    fn database(
        &mut self,
        planned: &PlannedDatabase,
        record: &PromotionRecord,
        last: Result<&PromotionRecord, &str>,
        look: Option<&DatabaseLook>,
    ) {
        let name = &planned.database;
        match look {
            None | Some(DatabaseLook::NotAsked) => {
                self.unseen(Code::SchemaDrifted, name.as_str());
                self.unseen(Code::FlywayHistoryElsewhere, name.as_str());
            }
            Some(DatabaseLook::Unknown(why)) => {
                self.notes.push(format!("the schema of database `{name}` can't be told: {why}"));
                self.unseen(Code::SchemaDrifted, name.as_str());
                self.unseen(Code::FlywayHistoryElsewhere, name.as_str());
            }
            Some(DatabaseLook::Schema(now)) => {
                // A promotion that failed has migrated all the same: databases are never rolled back.
                let left = |record: &PromotionRecord| {
                    let mut comparisons = record.schema_comparisons().map_err(|unread| unread.to_string())?;
                    Ok::<_, String>(comparisons.remove(name))
                };
                let found = last.map_err(str::to_owned).and_then(left);
                let found = found.and_then(|found| if found.is_some() { Ok(found) } else { left(record) });
                let left = match found {
                    Ok(Some(left)) => left,
                    Ok(None) => {
                        self.notes.push(format!("of database `{name}` no schema is recorded that the promotion left"));
                        return self.unseen(Code::SchemaDrifted, name.as_str());
                    }
                    Err(why) => {
                        self.notes.push(format!("how database `{name}` was left can't be told: {why}"));
                        return self.unseen(Code::SchemaDrifted, name.as_str());
                    }
                };
                // Where the same snapshot has another digest, another version of the gatekeeper took it.
                let respelt = left.snapshot_version_id == now.snapshot_version_id
                    && left.snapshot_key == now.snapshot_key
                    && left.tested_sha256 != now.tested_sha256;
                if respelt && !left.equal {
                    let why = "the promotion compared it by other rules than this gatekeeper's: promote it again";
                    self.notes.push(format!("the schema of database `{name}` can't be told: {why}"));
                    return self.unseen(Code::SchemaDrifted, name.as_str());
                }
                let drifted = if respelt { !now.equal } else { now.live_sha256 != left.live_sha256 };
                if drifted {
                    let mut message = "its schema is not the one that the promotion left".to_owned();
                    if let Some(difference) = &now.difference {
                        let shown =
                            difference.get(..difference.floor_char_boundary(MAX_DIFFERENCE)).unwrap_or_default();
                        let _ = write!(message, "; its difference from the tested schema:\n{shown}");
                    }
                    self.find(Code::SchemaDrifted, name.as_str(), message);
                }
            }
        }
    }

    /// Whether the commit still may run; gives whether its verdict is `built`.
    fn verdict(&mut self, state: &StageState, record: Option<&PromotionRecord>, look: &Look) -> bool {
        let commit = Commit { repo: state.repo.clone(), sha: state.commit_sha.clone() };
        let functions: Vec<_> =
            look.functions.iter().filter_map(|it| it.function_name.as_ref()).map(|name| format!("`{name}`")).collect();
        let runs = match functions.as_slice() {
            [] => format!("stage `{}` runs it", state.stage),
            names => format!("stage `{}` runs it as {}", state.stage, names.join(", ")),
        };
        let manifest = record.map(|record| &record.manifest_version_id);
        let taken_back = look.revocation.as_ref().filter(|it| manifest.is_none_or(|id| it.concerns(id)));
        let outcome = look.verdict.as_ref().map(|verdict| verdict.outcome);
        let is_signed = manifest.is_some_and(|id| look.revocations.revokes(&commit.sha, id));
        match (taken_back, outcome) {
            (Some(taken_back), _) => {
                let message = format!("{taken_back}; {runs}");
                self.find(Code::RevokedCommitRunning, commit.to_string(), message);
            }
            (None, outcome) if is_signed && outcome != Some(Outcome::Revoked) => {
                let message =
                    format!("it was taken back, as the gate's own ledger tells, and nothing else does; {runs}");
                self.find(Code::RevokedCommitRunning, commit.to_string(), message);
            }
            (None, Some(Outcome::Revoked)) => {
                self.find(Code::RevokedCommitRunning, commit.to_string(), format!("it was taken back; {runs}"));
            }
            (None, Some(Outcome::Built)) => return true,
            (None, Some(outcome)) => {
                let message = format!("its verdict is `{outcome}`; {runs}");
                self.find(Code::RejectedCommitRunning, commit.to_string(), message);
            }
            (None, None) => {
                let message = format!("it has no verdict; {runs}");
                self.find(Code::RejectedCommitRunning, commit.to_string(), message);
            }
        }
        false
    }

    /// Of a commit that isn't Built every tag says `false`, which would only repeat it.
    fn object(&mut self, object: &ObjectLook, is_built: bool) {
        let ObjectLook { key, version_id, newest, tags } = object;
        let message = match (newest, tags) {
            (_, None) => format!("version `{version_id}` was promoted and is gone"),
            (None, _) => format!("version `{version_id}` was promoted, and the object is deleted"),
            (Some(newest), _) if newest != version_id => {
                format!("version `{newest}` is stored, promoted was `{version_id}`")
            }
            (_, Some(tags)) if is_built => match tags.get(INTEGRATION_PASSED).map(String::as_str) {
                Some("true") => return,
                Some(other) => format!("`{INTEGRATION_PASSED}` is `{other}` on version `{version_id}`"),
                None => format!("version `{version_id}` has no tag `{INTEGRATION_PASSED}`"),
            },
            _ => return,
        };
        self.find(Code::ArtefactChanged, key.as_str(), message);
    }
}

/// The digests of the settings tell, as far as both looks knew the same settings; older records have only the time of the
/// last change.
fn is_reconfigured(before: &LiveFunction, live: &LiveFunction) -> bool {
    let later = &live.later_settings_sha256;
    if before.later_settings_sha256.iter().any(|(generation, it)| later.get(generation).is_some_and(|now| now != it)) {
        return true;
    }
    match (before.configuration_sha256, live.configuration_sha256) {
        (Some(before), Some(live)) => before != live,
        _ => before.last_modified.is_some() && before.last_modified != live.last_modified,
    }
}

/// Where code comes from: `bank-payments@3f1c…` (`revoked`) and 2 more.
fn told(origins: &[Origin]) -> String {
    let each = origins.iter().take(ORIGINS_NAMED).map(|origin| match origin.outcome {
        Some(outcome) => format!("`{}`, which is `{outcome}`", origin.commit),
        None => format!("`{}`, which has no verdict", origin.commit),
    });
    let named = each.collect::<Vec<_>>().join("; ");
    match origins.len().saturating_sub(ORIGINS_NAMED) {
        0 => format!("it is of {named}"),
        more => format!("it is of {named}; and {more} more"),
    }
}

/// The version of each object that a promotion applied, and of its manifest, by key.
#[must_use]
pub fn promoted_versions(record: &PromotionRecord) -> BTreeMap<String, VersionId> {
    let manifest = (ArtefactPath::Manifest.of(&record.commit()), record.manifest_version_id.clone());
    record.plan.pinned().map(|it| (it.key.clone(), it.version_id.clone())).chain([manifest]).collect()
}

/// The digest of each object that a promotion applied, by key.
#[must_use]
pub fn promoted_digests(record: &PromotionRecord) -> BTreeMap<String, Sha256> {
    record.plan.pinned().map(|it| (it.key.clone(), it.sha256)).collect()
}
