//! The names that a plan takes: of resources that it makes, and of exports. An account has each of them once in a region.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::StackName,
};
use gatekeeper_readers::template::{Declared, Told};

use super::{Does, StackChanges, StackState};

/// A name that a stack wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What a finding about it is on: `payments-data/OrdersTable`, `payments-data/Outputs/OrdersArn`.
    pub subject: String,
    /// The stack's name in the stage.
    pub stack_name: StackName,
    /// The logical id of the resource or output.
    pub id: String,
    /// The type of a resource; of an export none.
    pub r#type: Option<String>,
    /// The property that holds the name.
    pub property: String,
    /// The name: of a resource its physical id.
    pub name: String,
    /// Whether it is taken only under a condition of the template.
    pub is_conditional: bool,
}

/// Where a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The stack that has it, by its name in the account.
    pub stack: String,
    /// The logical id of the resource there.
    pub id: String,
}

/// Who holds which names now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The resources, by type and physical id.
    pub resources: BTreeMap<(String, String), Place>,
    /// The stacks, by the names that they export.
    pub exports: BTreeMap<String, String>,
}

/// The names of the resources that a stack would make, and notes on those that can't be told. `values` are the values of
/// the template's parameters.
#[must_use]
pub fn wanted_names(
    told: &StackChanges,
    declared: &Declared,
    values: &BTreeMap<String, String>,
) -> (Vec<Wanted>, Vec<String>) {
    let is_made = |id: &str| {
        let path = format!("{}/{id}", told.stack);
        let change = told.changes.iter().find(|it| it.resource.to_string() == path);
        change.is_some_and(|it| matches!(it.action, Does::Add | Does::Replace))
    };
    let (mut wanted, mut untold) = (Vec::new(), Vec::new());
    for resource in &declared.resources {
        let Some(name) = resource.name.as_ref().filter(|_| is_made(&resource.id)) else { continue };
        match resolved(&name.physical_id, values) {
            Some(physical_id) => wanted.push(Wanted {
                subject: format!("{}/{}", told.stack, resource.id),
                stack_name: told.stack_name.clone(),
                id: resource.id.clone(),
                r#type: Some(resource.r#type.clone()),
                property: name.property.clone(),
                name: physical_id,
                is_conditional: told.state == StackState::New && resource.is_conditional,
            }),
            None => untold.push(format!("`{}` of `{}`", name.property, resource.id)),
        }
    }
    (wanted, not_looked_up(&untold))
}

/// The names that a stack exports, and notes on those that can't be told.
#[must_use]
pub fn wanted_exports(
    told: &StackChanges,
    declared: &Declared,
    values: &BTreeMap<String, String>,
) -> (Vec<Wanted>, Vec<String>) {
    let (mut wanted, mut untold) = (Vec::new(), Vec::new());
    for export in &declared.exports {
        match resolved(&export.name, values) {
            Some(name) => wanted.push(Wanted {
                subject: format!("{}/Outputs/{}", told.stack, export.output),
                stack_name: told.stack_name.clone(),
                id: export.output.clone(),
                r#type: None,
                property: "Export.Name".to_owned(),
                name,
                is_conditional: export.is_conditional,
            }),
            None => untold.push(format!("the export of `{}`", export.output)),
        }
    }
    (wanted, not_looked_up(&untold))
}

fn resolved(text: &Told, values: &BTreeMap<String, String>) -> Option<String> {
    text.as_ref().ok()?.resolve(values)
}

/// How many names that can't be told a note lists.
const MAX_LISTED: usize = 5;

fn not_looked_up(untold: &[String]) -> Vec<String> {
    if untold.is_empty() {
        return Vec::new();
    }
    let listed = untold.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    let more = untold.len().checked_sub(MAX_LISTED).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    vec![format!("only CloudFormation can tell {listed}{more}: whether such a name is taken was not looked up")]
}

/// What is wrong with the names of resources, and notes on those that are only under a condition.
#[must_use]
pub fn judge_names(wanted: &[Wanted], holders: &Holders) -> (Vec<Finding>, Vec<String>) {
    judge(wanted, |it| {
        let r#type = it.r#type.as_ref()?;
        let Place { stack, id } = holders.resources.get(&(r#type.clone(), it.name.clone()))?;
        let is_itself = *stack == it.stack_name.as_str() && *id == it.id;
        (!is_itself).then(|| {
            format!(
                "`{}` (`{}`) is taken by `{id}` of the stack `{stack}`: give it another name, or take it out of that \
                 stack first",
                it.name, it.property
            )
        })
    })
}

/// What is wrong with the names of exports, and notes on those that are only under a condition.
#[must_use]
pub fn judge_exports(wanted: &[Wanted], holders: &Holders) -> (Vec<Finding>, Vec<String>) {
    judge(wanted, |it| {
        let stack = holders.exports.get(&it.name).filter(|stack| **stack != it.stack_name.as_str())?;
        Some(format!(
            "`{}` (`{}`) is exported by the stack `{stack}`: give it another name, or take it out of that stack first",
            it.name, it.property
        ))
    })
}

fn judge(wanted: &[Wanted], taken: impl Fn(&Wanted) -> Option<String>) -> (Vec<Finding>, Vec<String>) {
    let (mut findings, mut notes) = (Vec::new(), Vec::new());
    for it in wanted {
        match taken(it) {
            Some(why) if it.is_conditional => {
                notes.push(format!("if the condition of `{}` holds: {why}", it.subject));
            }
            Some(why) => findings.push(Finding::new(Code::NameTaken, it.subject.clone(), why)),
            None => {}
        }
    }
    (findings, notes)
}
