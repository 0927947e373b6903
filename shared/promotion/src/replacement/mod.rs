//! What a change set takes away that no template brings back: a table that is replaced begins empty, and one that is
//! removed is gone. A promotion stops there, unless its request accepts the loss by the resource's name.

mod path;

use std::collections::BTreeSet;

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::StackName,
};
use gatekeeper_readers::template;
use serde::{Deserialize, Serialize};

pub use self::path::{InvalidResourcePath, ResourcePath};

/// What CloudFormation says that a change set does to one resource, with those of nested stacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its logical ids: its own, behind those of the nested stacks that it is in.
    pub ids: Vec<String>,
    /// Its type.
    pub r#type: String,
    /// The resource that is there, by its own name; `None` where CloudFormation tells none.
    pub physical_id: Option<String>,
    /// What is done to it.
    pub action: Action,
    /// What becomes of the resource that is there, where the stack gives it up.
    pub old: Old,
}

/// What a change set does to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Add,
    /// What is there stays and is changed in place, or only its metadata change.
    Modify {
        /// What is changed.
        causes: Vec<Cause>,
    },
    /// What is there comes into the stack.
    Import,
    /// Another one is made in its place.
    Replace {
        /// Whether that is certain; else CloudFormation can tell only while it applies the change set.
        certainly: bool,
        /// What causes it.
        causes: Vec<Cause>,
    },
    /// It leaves the stack.
    Remove,
    /// CloudFormation doesn't tell, for this reason.
    Untold(String),
}

/// A property that is changed; where a resource is replaced, one whose change needs another resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    /// The property.
    pub property: String,
    /// What changes it.
    pub by: By,
    /// The parameter or resource whose change changes it, where it isn't the template's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
}

/// What changes a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The template's text.
    Template,
    /// The value of a parameter.
    Parameter,
    /// Another resource of the stack, by its name or an attribute of it.
    Resource,
    /// CloudFormation itself, such as for a nested stack.
    Automatic,
    /// CloudFormation doesn't tell.
    Untold,
}

/// What becomes of a resource that a stack gives up: its `DeletionPolicy` or `UpdateReplacePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// It is deleted.
    Deleted,
    /// It stays, and belongs to no stack.
    Retained,
    /// It is deleted when a snapshot is taken of it.
    Snapshot,
    /// CloudFormation doesn't tell.
    Untold,
}

/// What a change set comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why it must not be executed; empty where it may be.
    pub refused: Vec<Finding>,
    /// The losses that the request accepts.
    pub accepted: BTreeSet<ResourcePath>,
}

/// Whether a change set of a stack may be executed. `made` are the resources, by their logical ids, that this very
/// promotion has made in the stack on its way forward: its way back takes them away again.
#[must_use]
pub fn judge(
    stack: &StackName,
    changes: &[Change],
    accepted: &BTreeSet<ResourcePath>,
    made: &BTreeSet<Vec<String>>,
) -> Judgement {
    let mut judgement = Judgement::default();
    for change in changes {
        let is_ours = (1..=change.ids.len()).filter_map(|len| change.ids.get(..len)).any(|ids| made.contains(ids));
        let Some(lost) = lost(change).filter(|_| !is_ours) else { continue };
        let path = ResourcePath::of(stack, &change.ids);
        if accepted.contains(&path) {
            judgement.accepted.insert(path);
            continue;
        }
        let message =
            format!("{}; where that is meant, ask with `\"accept_replacement\": [\"{path}\"]`", told(change, lost));
        judgement.refused.push(Finding::new(Code::ReplacementNotAccepted, path.to_string(), message));
    }
    judgement.refused.sort();
    judgement
}

/// The resources that a change set makes and whose removal [`judge`] would stop, by their logical ids: a nested stack
/// stands for everything in it.
#[must_use]
pub fn made(changes: &[Change]) -> BTreeSet<Vec<String>> {
    let made = changes.iter().filter(|change| change.action == Action::Add);
    let holds = |change: &&Change| change.r#type == NESTED_STACK || template::holds(&change.r#type).is_some();
    made.filter(holds).map(|change| change.ids.clone()).collect()
}

/// The type of a nested stack. What is in it is judged by its own changes.
pub const NESTED_STACK: &str = "AWS::CloudFormation::Stack";

/// What is lost by a change, in words.
fn lost(change: &Change) -> Option<&'static str> {
    match change.action {
        Action::Add | Action::Modify { .. } | Action::Import => None,
        Action::Replace { .. } | Action::Remove | Action::Untold(_) => template::holds(&change.r#type),
    }
}

/// What a change does, and what comes of it.
fn told(change: &Change, lost: &str) -> String {
    let Change { ids, r#type, physical_id, action, old } = change;
    let id = ids.join("/");
    let there = physical_id.as_ref().map(|it| format!(", here `{it}`")).unwrap_or_default();
    let (what, new) = match action {
        Action::Remove => ("would leave the stack, because the template has it no more".to_owned(), ""),
        Action::Replace { certainly: true, causes } => {
            (format!("would be replaced, because of {}", listed(causes)), "the new one begins empty, and ")
        }
        Action::Replace { certainly: false, causes } => {
            let causes = listed(causes);
            let what = format!("may be replaced, because of {causes}: CloudFormation tells only while it applies it");
            (what, "then the new one begins empty, and ")
        }
        Action::Untold(why) => (format!("may be replaced or removed: {why}"), "then "),
        Action::Add | Action::Modify { .. } | Action::Import => ("stays".to_owned(), ""),
    };
    let old = match old {
        Old::Deleted => format!("the old one is deleted, and with it {lost}"),
        Old::Retained => format!("the old one is kept outside of the stack, and nothing there uses {lost} any more"),
        Old::Snapshot => format!("of the old one only a snapshot is kept, from which somebody has to restore {lost}"),
        Old::Untold => format!("what becomes of the old one is not told; it may be deleted, and with it {lost}"),
    };
    format!("`{id}` ({type}{there}) {what}; {new}{old}")
}

fn listed(causes: &[Cause]) -> String {
    if causes.is_empty() {
        return "a change that CloudFormation does not name".to_owned();
    }
    let each = causes.iter().map(|Cause { property, entity, .. }| match entity {
        Some(entity) => format!("`{property}` (by `{entity}`)"),
        None => format!("`{property}`"),
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
