//! What a commit brings to a stage: its templates, bundles and migrations.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{Commit, DatabaseName, FunctionName, MigrationPath, Sha256, StackName, VersionId},
    manifest::Manifest,
    store_key::ArtefactPath,
    verdict::Verdict,
};
use gatekeeper_promotion::plan::Plan;
use gatekeeper_store::{ReadStore, StoreError};
use serde::Serialize;
use serde_json::Value;

use super::{Became, all, both};
use crate::json_diff::{Difference, differences};

/// The largest template that is read; the gate takes none that is larger.
const MAX_TEMPLATE: u64 = 1024 * 1024;

/// A stored template.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    key: String,
    /// The version that counts; the newest one where it isn't known.
    version_id: Option<VersionId>,
    sha256: Sha256,
}

/// A bundle, and the function that it is the code of.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bundle {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) stack: StackName,
    pub(super) logical_id: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) stacks: BTreeMap<StackName, Stored>,
    pub(super) functions: BTreeMap<FunctionName, Bundle>,
    pub(super) migrations: BTreeMap<(DatabaseName, MigrationPath), Sha256>,
}

impl Contents {
    /// What a promotion applied.
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let stacks = plan.stacks.iter().map(|it| {
            let (key, version_id) = (it.template.key.clone(), Some(it.template.version_id.clone()));
            (it.stack.clone(), Stored { key, version_id, sha256: it.template.sha256 })
        });
        let functions = plan.functions.iter().map(|it| {
            let (sha256, size) = (it.bundle.sha256, it.bundle.size);
            (it.function.clone(), Bundle { sha256, size, stack: it.stack.clone(), logical_id: it.logical_id.clone() })
        });
        let migrations = plan.migrations.iter().map(|it| ((it.database.clone(), it.file.clone()), it.script.sha256));
        Self { stacks: stacks.collect(), functions: functions.collect(), migrations: migrations.collect() }
    }

    /// What a commit's manifest lists, in the versions that its verdict is on.
    pub(super) fn of_manifest(manifest: &Manifest, verdict: Option<&Verdict>, commit: &Commit) -> Self {
        let mut contents = Self::default();
        for module in &manifest.modules {
            for stack in &module.stacks {
                let path = ArtefactPath::Template(module.id.clone(), stack.name.clone());
                let judged = verdict.and_then(|verdict| verdict.artefact(&path));
                let judged = judged.filter(|it| it.sha256 == stack.sha256).map(|it| it.version_id.clone());
                let stored = Stored { key: path.of(commit), version_id: judged, sha256: stack.sha256 };
                contents.stacks.insert(stack.name.clone(), stored);
            }
            for it in &module.functions {
                let (stack, logical_id) = (it.stack.clone(), it.logical_id.clone());
                contents
                    .functions
                    .insert(it.name.clone(), Bundle { sha256: it.sha256, size: it.size, stack, logical_id });
            }
            for it in &module.migrations {
                contents.migrations.insert((it.database.clone(), it.file.clone()), it.sha256);
            }
        }
        contents
    }
}

/// A stack's template here and there; `None` where there is none.
#[derive(Debug)]
pub(super) struct Pair {
    from: Option<Value>,
    to: Option<Value>,
}

/// What becomes of a stack.
#[derive(Debug, Serialize)]
pub(super) struct StackChange {
    pub(super) became: Became,
    /// The resources that differ, by their logical ids.
    pub(super) resources: BTreeMap<String, ResourceChange>,
    /// What else differs in the template, such as parameters and outputs.
    pub(super) others: Vec<Difference>,
}

/// What becomes of a resource.
#[derive(Debug, Serialize)]
pub(super) struct ResourceChange {
    pub(super) became: Became,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// What differs in it.
    pub(super) properties: Vec<Difference>,
}

/// The templates of the stacks that differ, in one round trip.
pub(super) async fn changed_templates(
    from: &Contents,
    to: &Contents,
    artefacts: &impl ReadStore,
) -> Result<BTreeMap<StackName, Pair>, StoreError> {
    let mut names: Vec<_> = from.stacks.keys().chain(to.stacks.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let reads = names.into_iter().filter_map(|name| {
        let (one, other) = (from.stacks.get(name), to.stacks.get(name));
        let is_same = one.zip(other).is_some_and(|(one, other)| one.sha256 == other.sha256);
        let read = async move {
            let (one, other) = both(template(one, artefacts), template(other, artefacts)).await;
            Ok::<_, StoreError>((name.clone(), Pair { from: one?, to: other? }))
        };
        (!is_same).then_some(read)
    });
    all(reads).await.into_iter().collect()
}

async fn template(stored: Option<&Stored>, artefacts: &impl ReadStore) -> Result<Option<Value>, StoreError> {
    let Some(Stored { key, version_id, .. }) = stored else { return Ok(None) };
    let body = artefacts.get(key, version_id.as_ref(), MAX_TEMPLATE).await?;
    // One that is gone or is no JSON has no resources that could be told.
    Ok(Some(body.and_then(|body| serde_json::from_slice(&body.bytes).ok()).unwrap_or(Value::Null)))
}

impl Pair {
    /// What becomes of the stack.
    pub(super) fn change(&self) -> StackChange {
        let became = match (&self.from, &self.to) {
            (None, _) => Became::Added,
            (_, None) => Became::Removed,
            _ => Became::Changed,
        };
        let empty = Value::Null;
        let (from, to) = (self.from.as_ref().unwrap_or(&empty), self.to.as_ref().unwrap_or(&empty));
        let of = |template: &Value| template.get("Resources").and_then(Value::as_object).cloned().unwrap_or_default();
        let (one, other) = (of(from), of(to));
        let mut resources = BTreeMap::new();
        for name in one.keys().chain(other.keys()) {
            let (before, after) = (one.get(name), other.get(name));
            let became = match (before, after) {
                (None, _) => Became::Added,
                (_, None) => Became::Removed,
                (before, after) if before != after => Became::Changed,
                _ => continue,
            };
            let properties = before.zip(after).map(|(before, after)| differences(before, after)).unwrap_or_default();
            let kind = after.or(before).and_then(|it| it.get("Type")).and_then(Value::as_str).unwrap_or_default();
            resources.insert(name.clone(), ResourceChange { became, kind: kind.to_owned(), properties });
        }
        let others = match became {
            Became::Changed => {
                differences(from, to).into_iter().filter(|it| !it.path.starts_with("Resources.")).collect()
            }
            Became::Added | Became::Removed => Vec::new(),
        };
        StackChange { became, resources, others }
    }

    /// The properties of a function here and there, without its code.
    fn properties(&self, logical_id: &str) -> Option<(Value, Value)> {
        let of = |template: &Option<Value>| {
            let mut properties = template.as_ref()?.get("Resources")?.get(logical_id)?.get("Properties")?.clone();
            properties.as_object_mut()?.remove("Code");
            Some(properties)
        };
        of(&self.from).zip(of(&self.to))
    }
}

/// What differs in a function's configuration.
pub(super) fn configuration(one: &Bundle, other: &Bundle, templates: &BTreeMap<StackName, Pair>) -> Vec<Difference> {
    if one.stack != other.stack || one.logical_id != other.logical_id {
        return Vec::new();
    }
    let properties = templates.get(&other.stack).and_then(|pair| pair.properties(&other.logical_id));
    properties.map(|(from, to)| differences(&from, &to)).unwrap_or_default()
}
