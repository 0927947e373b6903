//! What an update would do, as `pulumi preview --json` prints it and as `--save-plan` keeps it: for each resource its
//! operations, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use serde::{Deserialize, Serialize, de};

use super::{Urn, bounds, told};
use crate::{
    bounded_json,
    dbt::object::{Collect, Keyed, Listed, Object},
    shown::shown,
};

/// The depth of the strings that are kept: `{"steps": [{"oldState": {"urn": …`.
const STRINGS_DOWN_TO: usize = 4;

/// The most that may change, in resources.
pub const MAX_RESOURCES: usize = 2000;

/// The most bytes of names of what changes: it travels in a request, and lies in a record.
pub const MAX_NAMES: usize = 512 * 1024;

/// Operations that change nothing in the cloud.
const STILL: [&str; 4] = ["same", "read", "refresh", "read-discard"];

/// What an update does to resources, by the operations' names in Pulumi; resources that stay as they are are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(pub BTreeMap<Urn, BTreeSet<String>>);

/// What an update would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// What it does to resources.
    pub changes: Changes,
    /// The resources that Pulumi refuses to delete, as far as the document tells.
    pub protected: BTreeSet<Urn>,
    /// The resources that stay in the cloud where they leave the stack, as far as the document tells.
    pub retained: BTreeSet<Urn>,
    /// The resources that no provider makes, as far as the document tells.
    pub components: BTreeSet<Urn>,
    /// Whether it is a plan that `pulumi up --plan` holds itself to.
    pub is_plan: bool,
    /// The resources that the document names, also those that stay as they are.
    pub resources: usize,
}

impl Changes {
    /// How many resources each kind of change is done to, as Pulumi counts them: one that is replaced counts once.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for operations in self.0.values() {
            if let Some(kind) = kind(operations) {
                *counts.entry(kind.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// Whether an operation of this name changes nothing in the cloud.
    #[must_use]
    pub fn is_still(operation: &str) -> bool {
        STILL.contains(&operation)
    }

    /// What goes: for each resource that is deleted or replaced whether another comes in its place.
    pub fn losses(&self) -> impl Iterator<Item = (&Urn, bool)> {
        self.0.iter().filter_map(|(urn, operations)| match kind(operations)? {
            "replace" => Some((urn, true)),
            "delete" | "discard" => Some((urn, false)),
            _ => None,
        })
    }

    /// What comes: the resources that are made, replaced or taken over.
    pub fn comes(&self) -> impl Iterator<Item = &Urn> {
        let kinds = self.0.iter().filter_map(|(urn, operations)| Some((urn, kind(operations)?)));
        kinds.filter(|(_, kind)| matches!(*kind, "create" | "replace" | "import")).map(|(urn, _)| urn)
    }
}

/// What the operations on a resource come to. Pulumi counts the step that stands for a replacement, and neither of its two
/// halves.
fn kind(operations: &BTreeSet<String>) -> Option<&str> {
    let halves =
        ["create-replacement", "delete-replaced", "discard-replaced", "import-replacement", "remove-pending-replace"];
    if operations.contains("replace") || operations.iter().any(|it| halves.contains(&it.as_str())) {
        return Some("replace");
    }
    operations.iter().map(String::as_str).find(|it| !STILL.contains(it))
}

/// Reads what either command wrote. What is wrong with it is told in words, and holds nothing of its values.
///
/// # Errors
/// Where `reader` fails.
pub fn read(reader: impl Read) -> io::Result<Result<Preview, String>> {
    let mut json = bounded_json::parser(reader, bounds(STRINGS_DOWN_TO));
    let read = Object::<Document>::deserialize(&mut json);
    Ok(match bounded_json::finish(json, read) {
        Ok(Object(document)) => document.preview(),
        Err(failure) => Err(told(failure, "what `pulumi preview --json` prints or `--save-plan` keeps")?),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    steps: Option<Listed<Gathered>>,
    #[serde(default)]
    resource_plans: Option<Keyed<Planned>>,
    #[serde(default)]
    diagnostics: Option<Listed<Diagnostics>>,
    #[serde(default)]
    maybe_corrupt: bool,
}

/// Both gather the same.
#[derive(Default)]
struct Gathered {
    bytes: usize,
    preview: Preview,
}

#[derive(Default)]
struct Planned(Gathered);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    op: String,
    urn: String,
    #[serde(default)]
    old_state: Option<Object<Kept>>,
    #[serde(default)]
    new_state: Option<Object<Kept>>,
}

#[derive(Deserialize)]
struct ResourcePlan {
    #[serde(default)]
    goal: Option<Object<Kept>>,
    #[serde(default)]
    steps: Vec<String>,
}

/// What keeps a resource from being deleted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    #[serde(default)]
    protect: Option<bool>,
    #[serde(default)]
    retain_on_delete: Option<bool>,
    #[serde(default)]
    custom: Option<bool>,
}

/// How many errors a document tells of.
#[derive(Default)]
pub(super) struct Diagnostics {
    pub(super) errors: u64,
}

#[derive(Deserialize)]
pub(super) struct Diagnostic {
    #[serde(default)]
    severity: String,
}

impl Collect for Diagnostics {
    type Item = Object<Diagnostic>;

    fn take<E: de::Error>(&mut self, _: String, Object(diagnostic): Self::Item) -> Result<(), E> {
        self.errors += u64::from(diagnostic.severity == "error");
        Ok(())
    }
}

impl Gathered {
    fn add<E: de::Error>(&mut self, urn: &str, operations: Vec<String>, kept: Option<&Kept>) -> Result<(), E> {
        let urn: Urn = urn.parse().map_err(|_| E::custom("a resource's `urn` is none"))?;
        self.preview.resources += 1;
        let is_set = |of: fn(&Kept) -> Option<bool>| kept.and_then(of) == Some(true);
        let urn_type = urn.own_type();
        // Nobody asked for these, and `pulumi preview --json` doesn't list them.
        if urn_type.starts_with("pulumi:providers:") && (urn.name() == "default" || urn.name().starts_with("default_"))
        {
            return Ok(());
        }
        let operations: BTreeSet<_> = operations.into_iter().filter(|it| !STILL.contains(&it.as_str())).collect();
        if operations.is_empty() {
            return Ok(());
        }
        if let Some(other) = operations.iter().find(|it| !is_operation(it)) {
            let other = shown(other);
            return Err(E::custom(format_args!("`{other}` is the name of no operation")));
        }
        self.bytes += urn.as_str().len();
        if is_set(|it| it.protect) {
            self.preview.protected.insert(urn.clone());
        }
        if kept.and_then(|it| it.custom) == Some(false) {
            self.preview.components.insert(urn.clone());
        }
        if is_set(|it| it.retain_on_delete) {
            self.preview.retained.insert(urn.clone());
        }
        // A plan lists the two halves of a replacement beside it.
        let operations = match kind(&operations) {
            Some("replace") => BTreeSet::from(["replace".to_owned()]),
            _ => operations,
        };
        let changes = &mut self.preview.changes.0;
        changes.entry(urn).or_default().extend(operations);
        if changes.len() > MAX_RESOURCES || self.bytes > MAX_NAMES {
            return Err(E::custom(format_args!(
                "more than {MAX_RESOURCES} resources change, or {MAX_NAMES} bytes of names; make it in several updates"
            )));
        }
        Ok(())
    }
}

/// Whether a word may be an operation's name: such as `create-replacement`.
fn is_operation(word: &str) -> bool {
    (1..=40).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

impl Collect for Gathered {
    type Item = Object<Step>;

    fn take<E: de::Error>(&mut self, _: String, Object(step): Self::Item) -> Result<(), E> {
        // What stands decides what is lost.
        let kept = step.old_state.or(step.new_state);
        self.add(&step.urn, vec![step.op], kept.as_ref().map(|Object(kept)| kept))
    }
}

impl Collect for Planned {
    type Item = Object<ResourcePlan>;

    fn take<E: de::Error>(&mut self, urn: String, Object(plan): Self::Item) -> Result<(), E> {
        self.0.add(&urn, plan.steps, plan.goal.as_ref().map(|Object(kept)| kept))
    }
}

impl Document {
    fn preview(self) -> Result<Preview, String> {
        let errors = self.diagnostics.map_or(0, |Listed(it)| it.errors);
        if errors > 0 {
            return Err(format!("the preview tells of {errors} errors, so it is not all that would be done"));
        }
        if self.maybe_corrupt {
            return Err("the preview says that resources may be corrupt".to_owned());
        }
        let gathered = match (self.steps, self.resource_plans) {
            (Some(Listed(gathered)), None) => gathered,
            (None, Some(Keyed(Planned(gathered)))) => {
                Gathered { preview: Preview { is_plan: true, ..gathered.preview }, ..gathered }
            }
            (Some(_), Some(_)) => return Err("it has both `steps` and `resourcePlans`".to_owned()),
            (None, None) => {
                return Err("it has neither `steps`, as what `pulumi preview --json` prints, nor `resourcePlans`, as \
                            what `--save-plan` keeps"
                    .to_owned());
            }
        };
        Ok(gathered.preview)
    }
}
