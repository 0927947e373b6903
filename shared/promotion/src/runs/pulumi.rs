//! What the backend's history and state say of an update that was made for a lease, and what a preview says before.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Sha256, VersionId},
};
use gatekeeper_readers::pulumi::{
    Urn,
    backend::{Entry, Look, StateObject},
    history::Update,
    holds,
    preview::{Changes, Preview},
    state::State,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Judgement, OpenLease, PlannedPulumi, PlannedRun, RunProof};
use crate::{plan::Plan, replacement::ResourcePath, request::PromotionRequest};

/// How far a runner's clock may be behind the gatekeeper's.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// How many resources a message names.
const NAMED: usize = 5;

/// What `pulumi up` would do, as a runner's preview tells it: `pulumi preview --json`, or the plan that `--save-plan` keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PulumiPreview {
    /// The SHA-256 of the file.
    pub sha256: Sha256,
    /// Whether it is a plan that `pulumi up --plan` holds itself to.
    #[serde(default)]
    pub is_plan: bool,
    /// What is done to resources, by Pulumi's words for it.
    pub changes: Changes,
    /// The resources among them that Pulumi refuses to delete.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protected: BTreeSet<Urn>,
    /// The resources among them that stay in the cloud where they leave the stack.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retained: BTreeSet<Urn>,
    /// The resources among them that no provider makes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub components: BTreeSet<Urn>,
}

impl PulumiPreview {
    /// What was read of the file with this digest.
    #[must_use]
    pub fn of(sha256: Sha256, preview: Preview) -> Self {
        let Preview { changes, protected, retained, components, is_plan, resources: _ } = preview;
        Self { sha256, is_plan, changes, protected, retained, components }
    }

    /// The SHA-256 of what is handed in, which a proof of who asks is bound to.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        // What can't be written can't have been read either.
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The plan with what the request's preview says of its Pulumi program.
///
/// # Errors
/// Where there is no preview and one is needed, where it is not of the plan's stack, or where it tells of a loss that the
/// request doesn't accept.
pub(crate) fn with_preview(mut plan: Plan, request: &PromotionRequest) -> Result<Plan, Vec<Finding>> {
    let stage = request.stage.as_str();
    let program = plan.runs.iter_mut().find_map(|run| match run {
        PlannedRun::Pulumi(program) => Some(program),
        PlannedRun::Dbt(_) => None,
    });
    let (program, preview) = match (program, &request.preview) {
        (None, None) => return Ok(plan),
        (None, Some(_)) => {
            let message = "the request has a preview, and the commit has no Pulumi program";
            return Err(vec![Finding::new(Code::PulumiPreviewInvalid, stage, message)]);
        }
        // A look may do without, and the way back must not wait for a runner.
        (Some(_), None) if request.dry_run || request.rollback => return Ok(plan),
        (Some(program), None) => {
            let message = format!(
                "nothing tells what `pulumi up` would do to the stack `{}`: run `pulumi preview --stack {} --json > preview.json` \
                 at the commit, and ask with `--preview preview.json`; what `--save-plan` keeps will do too",
                program.stack, program.stack
            );
            return Err(vec![Finding::new(Code::PulumiPreviewMissing, stage, message)]);
        }
        (Some(program), Some(preview)) => (program, preview),
    };
    let elsewhere =
        preview.changes.0.keys().find(|urn| urn.project() != program.project || urn.stack() != program.stack);
    if let Some(urn) = elsewhere {
        let message = format!(
            "the preview is of the project `{}` and its stack `{}`, and `{stage}` has the stack `{}` of `{}`",
            urn.project(),
            urn.stack(),
            program.stack,
            program.project
        );
        return Err(vec![Finding::new(Code::PulumiPreviewInvalid, stage, message)]);
    }
    let lost: Vec<_> = losses(preview, &request.accept_replacement).collect();
    if !lost.is_empty() {
        return Err(lost);
    }
    program.plan_sha256 = Some(preview.sha256);
    program.is_plan = preview.is_plan;
    program.changes = preview.changes.clone();
    Ok(plan)
}

/// What the preview takes away that no program brings back, and that the request doesn't accept.
fn losses<'a>(
    preview: &'a PulumiPreview,
    accepted: &'a BTreeSet<ResourcePath>,
) -> impl Iterator<Item = Finding> + use<'a> {
    preview.changes.losses().filter_map(|(urn, is_replaced)| {
        let is_accepted = accepted.iter().any(|path| path.urn() == Some(urn));
        let (is_protected, is_retained) = (preview.protected.contains(urn), preview.retained.contains(urn));
        let held = if preview.components.contains(urn) { None } else { holds(urn.own_type()) };
        let held = match held {
            Some(held) => held,
            // The program says that it matters.
            None if is_protected || is_retained => "what it is",
            None => return None,
        };
        if is_accepted {
            return None;
        }
        let what =
            if is_replaced { "would be replaced; the new one begins empty, and" } else { "would leave the stack, and" };
        let old = if is_retained {
            format!("the old one is kept outside of the stack, and nothing there uses {held} any more")
        } else if is_protected {
            format!(
                "it is protected, so Pulumi refuses to delete it, and with it {held}, until the program says otherwise"
            )
        } else {
            format!("the old one is deleted, and with it {held}")
        };
        let message = format!(
            "`{}` ({}) {what} {old}; where that is meant, ask with `\"accept_replacement\": [\"{urn}\"]`",
            urn.name(),
            urn.own_type()
        );
        Some(Finding::new(Code::ReplacementNotAccepted, urn.to_string(), message))
    })
}

/// What shows that an update was the promotion's: read from the backend, not from the runner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulumiProof {
    /// Where the state is.
    pub backend: String,
    /// The project.
    pub project: String,
    /// The stack.
    pub stack: String,
    /// The entry of the history, by its key.
    pub history_key: String,
    /// The SHA-256 of the entry.
    pub history_sha256: Sha256,
    /// The state, by its key.
    pub state_key: String,
    /// The version of the state; none in a bucket that keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version_id: Option<VersionId>,
    /// The SHA-256 of the state.
    pub state_sha256: Sha256,
    /// The version of Pulumi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulumi_version: Option<String>,
    /// The providers' plugins, each with its version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, String>,
    /// How many resources the state holds.
    #[serde(default)]
    pub resources: u64,
    /// When the update began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many resources each operation was done with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_changes: BTreeMap<String, u64>,
}

/// Since when the history is looked at: every entry that may have been made for the lease.
#[must_use]
pub fn looked_at_since(lease: &OpenLease) -> Timestamp {
    lease.opened_at.saturating_sub(SKEW + WHOLE_SECOND).unwrap_or(Timestamp::MIN)
}

/// What the stage's backend says of the update that was made for a lease. What is refused was not made for it.
#[must_use]
pub fn judge(planned: &PlannedPulumi, lease: &OpenLease, look: &Look) -> Judgement {
    let subject = planned.subject();
    let refused = |code: Code, message: String| Judgement::Refused(vec![Finding::new(code, subject.as_str(), message)]);
    if look.is_locked {
        let message = "an update of the stack is under way, by its lock in the backend: hand it in when that has ended";
        return refused(Code::RunEvidenceInvalid, message.to_owned());
    }
    if let Some((key, wrong)) = look.entries.iter().find_map(|it| Some((&it.key, it.update.as_ref().err()?))) {
        return refused(Code::RunEvidenceInvalid, format!("`{key}` can't be read: {wrong}"));
    }
    let entries: Vec<_> = look.entries.iter().filter_map(|it| Some((it, it.update.as_ref().ok()?))).collect();
    let is_ours = |update: &Update| {
        let mut words = update.message.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| word == lease.promotion_id.as_str()) && update.started_at >= looked_at_since(lease)
    };
    let ours: Vec<_> = entries.iter().filter(|(_, update)| is_ours(update)).collect();
    let Some((entry, update)) = ours.first() else {
        let message = format!(
            "`{}` holds no update of the stack that began after the lease was opened at {:.0} and whose message names the \
             promotion: run `pulumi up --stack {} --message \"promotion {}\"`",
            planned.backend, lease.opened_at, planned.stack, lease.promotion_id
        );
        return refused(Code::RunOfAnotherPromotion, message);
    };
    let Some(object) = &look.state else {
        return refused(Code::RunEvidenceInvalid, format!("`{}` holds no state of the stack", planned.backend));
    };
    let state = match &object.state {
        Ok(state) => state,
        Err(wrong) => return refused(Code::RunEvidenceInvalid, format!("`{}` can't be read: {wrong}", object.key)),
    };
    let mut found = Found { planned, subject: &subject, reasons: Vec::new() };
    if let Some((newest, after)) = entries.first().filter(|(newest, _)| newest.key != entry.key) {
        let message = format!("after the promotion's update came another, `{}`, of `{}`", newest.key, after.kind);
        found.say(Code::PulumiStateEdited, message);
    }
    found.update(update);
    found.changes(ours.iter().map(|(_, update)| *update));
    found.state(entry, object, state);
    Judgement::Final {
        reasons: found.reasons,
        warnings: unversioned(&subject, object),
        proof: RunProof::Pulumi(PulumiProof {
            backend: planned.backend.clone(),
            project: planned.project.clone(),
            stack: planned.stack.clone(),
            history_key: entry.key.clone(),
            history_sha256: entry.sha256,
            state_key: object.key.clone(),
            state_version_id: object.version_id.clone(),
            state_sha256: object.sha256,
            pulumi_version: state.engine.clone(),
            plugins: state.plugins.clone(),
            resources: state.resources.len() as u64,
            started_at: update.started_at,
            ended_at: update.ended_at.unwrap_or(update.started_at),
            resource_changes: update.changes.clone(),
        }),
    }
}

/// Pulumi's names of the changes that may turn out to be less than was planned.
const UPDATE: &str = "update";
const REPLACE: &str = "replace";

/// Pulumi keeps whole seconds, cut off.
const WHOLE_SECOND: SignedDuration = SignedDuration::from_secs(1);

/// That a state can be written over, where nothing keeps its versions.
fn unversioned(subject: &str, object: &StateObject) -> Vec<Finding> {
    if object.version_id.is_some() {
        return Vec::new();
    }
    let message = format!(
        "the backend's bucket keeps no versions, so of `{}` only the digest is recorded: what it held is gone with the next \
         update",
        object.key
    );
    vec![Finding::new(Code::PulumiStateUnversioned, subject, message)]
}

struct Found<'a> {
    planned: &'a PlannedPulumi,
    subject: &'a str,
    reasons: Vec<Finding>,
}

impl Found<'_> {
    fn say(&mut self, code: Code, message: impl Into<String>) {
        self.reasons.push(Finding::new(code, self.subject, message));
    }

    fn update(&mut self, update: &Update) {
        let Update { kind, result, head, is_dirty, ended_at, .. } = update;
        if kind != "update" {
            self.say(Code::PulumiHistoryMismatch, format!("the promotion's entry is of `{kind}`, not of `update`"));
        }
        if result != "succeeded" || ended_at.is_none() {
            self.say(Code::PulumiHistoryMismatch, format!("the update came to `{result}`"));
        }
        if self.planned.is_plan && update.used_plan != Some(true) {
            let message = "a plan was approved, and the update was not held to one: run it with `--plan`";
            self.say(Code::PulumiPlanDiffers, message);
        }
        let commit = &self.planned.program_sha;
        match head {
            Some(head) if head == commit.as_str() => {}
            Some(head) => {
                let message = format!("the update was made from the commit `{head}`, not from `{commit}`");
                self.say(Code::PulumiHistoryMismatch, message);
            }
            None => self.say(Code::PulumiHistoryMismatch, "Pulumi does not tell which commit the update was made from"),
        }
        match is_dirty {
            Some(false) => {}
            Some(true) => {
                self.say(Code::PulumiHistoryMismatch, "the update was made from a folder with uncommitted changes");
            }
            None => self.say(Code::PulumiHistoryMismatch, "Pulumi does not tell whether the folder held changes"),
        }
    }

    /// The counts of all the promotion's updates: one that failed on its way has done a part, and the next one the rest.
    fn changes<'u>(&mut self, updates: impl Iterator<Item = &'u Update>) {
        if self.planned.plan_sha256.is_none() {
            return;
        }
        let mut made: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in updates.flat_map(|update| &update.changes) {
            if !Changes::is_still(kind) {
                *made.entry(kind).or_default() += count;
            }
        }
        let planned = self.planned.changes.counts();
        let made_of = |kind| made.get(kind).copied().unwrap_or_default();
        let planned_of = |kind| planned.get(kind).copied().unwrap_or_default();
        // What depends on a resource that changes is planned to change, since nobody knows yet what that one comes to; in the
        // update it often stays as it is, or needs no replacement.
        let spared = planned_of(REPLACE).saturating_sub(made_of(REPLACE));
        let kinds: BTreeSet<&str> = made.keys().copied().chain(planned.keys().map(String::as_str)).collect();
        for kind in kinds {
            let (made, planned) = (made_of(kind), planned_of(kind));
            let (holds, at_most) = match kind {
                UPDATE => (made <= planned + spared, "at most "),
                REPLACE => (made <= planned, "at most "),
                _ => (made == planned, ""),
            };
            if !holds {
                let message = format!("`{kind}` was done to {made} resources, and the plan says {at_most}{planned}");
                self.say(Code::PulumiPlanDiffers, message);
            }
        }
    }

    fn state(&mut self, entry: &Entry, object: &StateObject, state: &State) {
        let PlannedPulumi { project, stack, changes, .. } = self.planned;
        if state.place().is_some_and(|place| place != (project.as_str(), stack.as_str()))
            || state.stack != format!("organization/{project}/{stack}")
        {
            let message = format!("`{}` is the state of `{}`", object.key, state.stack);
            self.say(Code::RunTargetMismatch, message);
        }
        match entry.checkpoint_sha256 {
            Some(left) if left == object.sha256 => {}
            Some(left) => {
                let message = format!(
                    "`{}` has the digest `{}`, and the update left `{left}`: it was edited since",
                    object.key, object.sha256
                );
                self.say(Code::PulumiStateEdited, message);
            }
            None => {
                let message = format!("beside `{}` lies no copy of the state that the update left", entry.key);
                self.say(Code::PulumiStateEdited, message);
            }
        }
        if !state.pending.is_empty() {
            let pending = some(state.pending.keys());
            self.say(Code::PulumiStateEdited, format!("the state has operations that were broken off, on {pending}"));
        }
        if !state.to_be_deleted.is_empty() {
            let left = some(state.to_be_deleted.iter());
            self.say(Code::PulumiStateEdited, format!("the state still holds old resources to be deleted, {left}"));
        }
        let missing: Vec<_> = changes.comes().filter(|urn| !state.resources.contains_key(urn)).collect();
        if !missing.is_empty() {
            let missing = some(missing);
            self.say(Code::PulumiPlanDiffers, format!("the plan makes {missing}, which the state does not hold"));
        }
        let gone = changes.losses().filter(|(_, is_replaced)| !is_replaced).map(|(urn, _)| urn);
        let kept: Vec<_> = gone.filter(|urn| state.resources.contains_key(urn)).collect();
        if !kept.is_empty() {
            let kept = some(kept);
            self.say(Code::PulumiPlanDiffers, format!("the plan deletes {kept}, which the state still holds"));
        }
    }
}

/// The first of some resources, as a message lists them.
fn some<'a>(urns: impl IntoIterator<Item = &'a Urn>) -> String {
    let mut urns = urns.into_iter();
    let first: Vec<_> = urns.by_ref().take(NAMED).map(|urn| format!("`{urn}`")).collect();
    match urns.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
#[path = "pulumi_tests.rs"]
mod tests;
