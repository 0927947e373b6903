//! What one stack hands to another: the names that a template exports and imports, as far as they can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    BUCKET_PARAMETER, PREFIX_PARAMETER, Parameter, Text,
    json::{Json, Object, Place, walk},
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
    fn read(value: &Json<'_>, parameters: &BTreeMap<String, Parameter>) -> Option<Self> {
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
            handed.exports.extend(name.and_then(|name| ExportName::read(name, parameters)));
        }
        walk(root, &Place::Root, &mut |value, _| {
            let name = value.get("Fn::ImportValue");
            handed.imports.extend(name.and_then(|name| ExportName::read(name, parameters)));
            true
        });
        handed
    }

    /// Whether it neither exports nor imports.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
