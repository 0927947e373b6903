//! What one stack hands to another: the names that a template exports and imports, as far as they can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, StackName},
    manifest::Manifest,
    store_key::ArtefactPath,
};
use serde::{Deserialize, Serialize};

use super::{
    BUCKET_PARAMETER, PREFIX_PARAMETER, Parameter, Text,
    json::{Json, Object, Place, each_case, walk},
};

/// The parameters that every template of a commit gets one value of, whatever their defaults.
const GIVEN_ALIKE: [&str; 3] = [BUCKET_PARAMETER, "CommitSha", "Stage"];

/// What each stack or module gets a value of its own of.
const GIVEN_APART: [&str; 2] = [PREFIX_PARAMETER, "AWS::StackName"];

/// What a template exports and imports. A name that only CloudFormation can resolve is not here: whose it is can't be
/// told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// The names of its outputs' exports.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exports: BTreeSet<ExportName>,
    /// The names that it imports, behind conditions too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub imports: BTreeSet<ExportName>,
    /// Those of the exports that are always there, and are a layer that the template makes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub layers: BTreeSet<ExportName>,
    /// Which imports its functions take as layers, by where they do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub imported_layers: BTreeMap<String, ExportName>,
}

/// The name of an export, as an expression that comes to the same in every template of a commit. So two that are equal
/// name the same export, however they were spelt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExportName {
    text: Text,
    /// The defaults of the parameters that a stage gives one value to, or none to any template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    defaults: BTreeMap<String, Option<String>>,
}

impl ExportName {
    pub(super) fn read(value: &Json<'_>, parameters: &BTreeMap<String, Parameter>) -> Option<Self> {
        let text = Text::read(value, parameters).ok()?;
        let mut defaults = BTreeMap::new();
        for name in text.references() {
            if GIVEN_APART.contains(&name) {
                return None;
            }
            if let Some(parameter) = parameters.get(name).filter(|_| !GIVEN_ALIKE.contains(&name)) {
                if parameter.has_default && parameter.default.is_none() {
                    return None;
                }
                defaults.insert(name.to_owned(), parameter.default.clone());
            }
        }
        Some(Self { text, defaults })
    }
}

impl fmt::Display for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl Handed {
    /// What a template hands over and takes.
    pub(super) fn read(root: &Json<'_>, parameters: &BTreeMap<String, Parameter>) -> Self {
        let mut handed = Self::default();
        let outputs = root.get("Outputs").and_then(Json::as_object);
        for (_, output) in outputs.into_iter().flat_map(Object::iter) {
            let name = output.get("Export").and_then(|export| export.get("Name"));
            let Some(name) = name.and_then(|name| ExportName::read(name, parameters)) else { continue };
            let made = output.get("Value").and_then(|value| value.get("Ref")?.as_str());
            let made = made.and_then(|id| root.get("Resources")?.get(id));
            let is_made = [Some(output), made].iter().all(|it| it.is_some_and(|it| !it.has("Condition")));
            if is_made && made.and_then(|it| it.get("Type")?.as_str()) == Some("AWS::Lambda::LayerVersion") {
                handed.layers.insert(name.clone());
            }
            handed.exports.insert(name);
        }
        walk(root, &Place::Root, &mut |value, _| {
            let name = value.get("Fn::ImportValue");
            handed.imports.extend(name.and_then(|name| ExportName::read(name, parameters)));
            true
        });
        handed.read_imported_layers(root, parameters);
        handed
    }

    fn read_imported_layers(&mut self, root: &Json<'_>, parameters: &BTreeMap<String, Parameter>) {
        let resources = Place::Root.key("Resources");
        for (id, resource) in root.get("Resources").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
            let layers = resource.get("Properties").and_then(|it| it.get("Layers"));
            let (true, Some(Json::Array(layers))) =
                (resource.get("Type").and_then(Json::as_str) == Some("AWS::Lambda::Function"), layers)
            else {
                continue;
            };
            let place = resources.key(id);
            let place = place.key("Properties");
            let place = place.key("Layers");
            for (index, layer) in layers.iter().enumerate() {
                each_case(layer, &place.index(index), &mut |layer, place| {
                    let name = layer.get("Fn::ImportValue").and_then(|name| ExportName::read(name, parameters));
                    self.imported_layers.extend(name.map(|name| (place.to_string(), name)));
                });
            }
        }
    }

    /// Whether it neither exports nor imports.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Says which imported layers are none of the commit's own: only of those the content is in the store.
#[must_use]
pub(super) fn check_layers(manifest: &Manifest, handed: &BTreeMap<&StackName, &Handed>) -> Vec<Finding> {
    let commit = Commit { repo: manifest.repo.clone(), sha: manifest.commit_sha.clone() };
    let mut findings = Vec::new();
    for (module, stack) in manifest.modules.iter().flat_map(|it| it.stacks.iter().map(|stack| (&it.id, &stack.name))) {
        let Some(own) = handed.get(stack) else { continue };
        let key = ArtefactPath::Template(module.clone(), stack.clone()).of(&commit);
        for (place, name) in &own.imported_layers {
            let mut exporters =
                handed.iter().filter(|(other, it)| **other != stack && it.exports.contains(name)).peekable();
            if exporters.peek().is_some() && exporters.all(|(_, it)| it.layers.contains(name)) {
                continue;
            }
            let message = format!(
                "`{place}` takes as a layer what `{name}` exports, and no other stack of the commit exports a layer by this \
                 name: make the layer in a stack of the commit, or bundle it into the function"
            );
            findings.push(Finding::new(Code::TemplateCodeOutsideStore, key.as_str(), message));
        }
    }
    findings
}

#[cfg(test)]
#[path = "exports_tests.rs"]
mod tests;
