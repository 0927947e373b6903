//! What a promotion will change, told before it starts: what `promote` asks of `apply-stack` at a dry run, which alone
//! may make change sets, and what it answers. Nothing of it is stored.

mod names;

use std::collections::BTreeSet;

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{CommitSha, PromotionId, Repo, StackName, StageName},
};
use gatekeeper_readers::{
    template,
    template::{Declared, Handed},
};
use serde::{Deserialize, Serialize};

pub use self::names::{Holders, Place, Wanted, judge_exports, judge_names, wanted_exports, wanted_names};
use crate::{
    plan::{PlannedFunction, PlannedStack},
    replacement,
    replacement::{Action, Cause, Change, ResourcePath},
};

/// The most bytes that Step Functions carries from one state to another (quotas, "Maximum input or output size"), with
/// room for what it adds.
pub const MAX_BYTES: usize = 250_000;

/// The question what a plan would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesQuestion {
    /// What the question goes by: change sets are called after it, and so is its execution.
    pub id: PromotionId,
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The role that is assumed in the stage's account.
    pub role_arn: Option<String>,
    /// The role that CloudFormation takes.
    pub stack_role_arn: Option<String>,
    /// The losses that the request accepts.
    pub accept_replacement: BTreeSet<ResourcePath>,
    /// The stacks, in their order.
    pub stacks: Vec<PlannedStack>,
    /// The bundles of their functions, of which a template tells where its other files lie.
    pub functions: Vec<PlannedFunction>,
}

/// The event of that question, told from a step's by its one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesEvent {
    /// What is asked.
    pub changes: ChangesQuestion,
}

/// What a plan would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The stacks, in the plan's order.
    pub stacks: Vec<StackChanges>,
    /// Why the promotion would stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Finding>,
    /// What `accept_replacement` must name beside what it does for the promotion to go on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_replacement: BTreeSet<ResourcePath>,
    /// What was not looked up, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why nothing is told, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
}

/// What would change in a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackChanges {
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// Its name in the stage.
    pub stack_name: StackName,
    /// What would become of it.
    pub state: StackState,
    /// What the answer leaves open, or why there is none, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What would be done to its resources, and to those of its nested stacks.
    pub changes: Vec<ResourceChange>,
    /// How many more changes there are, none of which takes anything away: the answer has no room for them.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub left_out: u64,
}

/// What would become of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackState {
    /// It is not there yet, so CloudFormation has not been asked: its resources are those of the template.
    New,
    /// CloudFormation would change it.
    Changed,
    /// CloudFormation would change nothing.
    Unchanged,
    /// It can't be told.
    Untold,
}

/// What would be done to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// The resource, as `accept_replacement` names it.
    pub resource: ResourcePath,
    /// Its type.
    pub r#type: String,
    /// Its own name, where there is one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_id: Option<String>,
    /// What is done.
    pub action: Does,
    /// What causes it: of a replacement what needs another resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// What it holds that no template brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<String>,
    /// Why it can't be told what is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
    /// Whether there is one only under a condition of the template, which only CloudFormation evaluates.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub is_conditional: bool,
}

/// What is done to a resource, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// Another one is made in its place.
    Replace,
    /// Another one may be made in its place; CloudFormation tells only while it does it.
    MayReplace,
    /// It leaves the stack.
    Remove,
    /// It can't be told.
    Untold,
    /// It is made.
    Add,
    /// What is there comes into the stack.
    Import,
    /// It is changed in place.
    Modify,
}

impl Does {
    /// Whether something that is there may go away by it.
    #[must_use]
    pub fn takes_away(self) -> bool {
        matches!(self, Self::Replace | Self::MayReplace | Self::Remove | Self::Untold)
    }

    /// The word, as documents have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::MayReplace => "may-replace",
            Self::Remove => "remove",
            Self::Untold => "untold",
            Self::Add => "add",
            Self::Import => "import",
            Self::Modify => "modify",
        }
    }
}

impl StackChanges {
    /// A stack of the plan in that state.
    #[must_use]
    pub fn of(stack: &PlannedStack, state: StackState) -> Self {
        Self {
            stack: stack.stack.clone(),
            stack_name: stack.stack_name.clone(),
            state,
            notes: Vec::new(),
            changes: Vec::new(),
            left_out: 0,
        }
    }

    /// A stack of which it can't be told what would become of it, for this reason.
    #[must_use]
    pub fn untold(stack: &PlannedStack, why: String) -> Self {
        Self { notes: vec![why], ..Self::of(stack, StackState::Untold) }
    }

    /// A stack that isn't there yet: all that its template declares would be made.
    #[must_use]
    pub fn new_stack(stack: &PlannedStack, declared: &Declared) -> Self {
        let made = declared.resources.iter().map(|it| ResourceChange {
            resource: ResourcePath::of(&stack.stack, std::slice::from_ref(&it.id)),
            r#type: it.r#type.clone(),
            physical_id: None,
            action: Does::Add,
            causes: Vec::new(),
            holds: template::holds(&it.r#type).map(str::to_owned),
            untold: None,
            is_conditional: it.is_conditional,
        });
        Self { changes: made.collect(), ..Self::of(stack, StackState::New) }
    }

    /// A stack that CloudFormation has made a change set for.
    #[must_use]
    pub fn of_change_set(stack: &PlannedStack, changes: &[Change]) -> Self {
        let mut told: Vec<_> = changes.iter().map(|change| ResourceChange::of(&stack.stack, change)).collect();
        told.sort_by(|one, other| (one.action, &one.resource).cmp(&(other.action, &other.resource)));
        Self { changes: told, ..Self::of(stack, StackState::Changed) }
    }
}

impl ResourceChange {
    fn of(stack: &StackName, change: &Change) -> Self {
        let (action, causes, untold) = match &change.action {
            Action::Add => (Does::Add, &[][..], None),
            Action::Import => (Does::Import, &[][..], None),
            Action::Modify { causes } => (Does::Modify, causes.as_slice(), None),
            Action::Replace { certainly: true, causes } => (Does::Replace, causes.as_slice(), None),
            Action::Replace { certainly: false, causes } => (Does::MayReplace, causes.as_slice(), None),
            Action::Remove => (Does::Remove, &[][..], None),
            Action::Untold(why) => (Does::Untold, &[][..], Some(why.clone())),
        };
        Self {
            resource: ResourcePath::of(stack, &change.ids),
            r#type: change.r#type.clone(),
            physical_id: change.physical_id.clone(),
            action,
            causes: causes.to_vec(),
            holds: template::holds(&change.r#type).map(str::to_owned),
            untold,
            is_conditional: false,
        }
    }
}

/// Why a promotion would stop before it executes a change set: what [`replacement::judge`] says at its way forward.
#[must_use]
pub fn losses(stack: &PlannedStack, changes: &[Change], accepted: &BTreeSet<ResourcePath>) -> Vec<Finding> {
    replacement::judge(&stack.stack, changes, accepted, &BTreeSet::new()).refused
}

/// What an answer on a stack can't know yet: it takes what stacks before it export, which the promotion changes or makes
/// first. `handed` are the stacks of the plan, in its order.
#[must_use]
pub fn awaits(told: &[StackChanges], handed: &[Option<Handed>], of: usize) -> Vec<String> {
    let (Some(own), Some(Some(imports))) = (told.get(of), handed.get(of)) else { return Vec::new() };
    // What a template declares depends on nobody.
    if own.state == StackState::New {
        return Vec::new();
    }
    let before = told.iter().zip(handed).take(of);
    let notes = before.filter_map(|(other, handed)| {
        let exports = &handed.as_ref()?.exports;
        let name = imports.imports.iter().find(|name| exports.contains(*name))?;
        let stack = &other.stack;
        match other.state {
            StackState::Unchanged => None,
            StackState::New => Some(format!(
                "it takes `{name}` of `{stack}`, which is not there yet: CloudFormation can't tell more before it is"
            )),
            StackState::Changed | StackState::Untold => Some(format!(
                "it takes `{name}` of `{stack}`, which is changed before it: told is what comes of its value now"
            )),
        }
    });
    notes.collect()
}

impl Changes {
    /// The answer, as far as there is room for it: what takes nothing away is left out first.
    #[must_use]
    pub fn bounded(mut self, max_bytes: usize) -> Self {
        self.reasons.sort();
        self.reasons.dedup();
        let losses = self.reasons.iter().filter(|it| it.code == Code::ReplacementNotAccepted);
        self.accept_replacement = losses.filter_map(|it| it.subject.parse().ok()).collect();
        let size = |it: &Self| serde_json::to_vec(it).map_or(usize::MAX, |bytes| bytes.len());
        let mut over = size(&self).saturating_sub(max_bytes);
        for stack in self.stacks.iter_mut().rev() {
            while over > 0
                && let Some(at) = stack.changes.iter().rposition(|it| !it.action.takes_away())
            {
                let left_out = stack.changes.remove(at);
                stack.left_out += 1;
                // What `left_out` itself takes is in the room that the limit leaves.
                over = over.saturating_sub(serde_json::to_vec(&left_out).map_or(0, |bytes| bytes.len() + 1));
            }
        }
        if size(&self) > max_bytes + 1000 * (1 + self.stacks.len()) {
            let untold = "what would be replaced or removed is more than an answer takes".to_owned();
            return Self { untold: Some(untold), ..Self::default() };
        }
        self
    }
}

#[cfg(test)]
mod tests;
