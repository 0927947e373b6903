//! CloudFormation templates: what a stage applies must be whole in the stored bytes, and fit any stage.
//!
//! A template is JSON as CDK and SST synthesise it. Four things are asked of it: that CloudFormation would read it as
//! we do (one meaning for each key, the quotas kept), that it fetches and generates nothing at deploy time, that the
//! code of its functions is in the store, and that it names no account.

mod accounts;
mod code;
mod fetch;
mod json;
mod portable;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::{
    code::Evaluate,
    json::{Json, Object, Place, shown},
};
pub use self::{
    code::{BUCKET_PARAMETER, Code, PREFIX_PARAMETER},
    text::{PSEUDO_PARAMETERS, Piece, Text},
};
use super::FunctionSpec;
use crate::{
    finding::{Code as Reason, Finding},
    ids::StackName,
    manifest::{Manifest, Module},
};

/// The largest template that CloudFormation takes from S3, in bytes. Its documentation says 1 MB, its refusal
/// "Template may not exceed 1000000 bytes in size".
pub const MAX_BYTES: usize = 1_000_000;

/// The most resources of a template (CloudFormation quotas).
pub const MAX_RESOURCES: usize = 500;

/// The most parameters, mappings and outputs of a template, each (CloudFormation quotas).
const MAX_OTHERS: usize = 200;

/// The most findings that one template gets: enough to mend it by, and few enough to be stored.
const MAX_FINDINGS: usize = 100;

/// The sections that CloudFormation knows; it refuses a template with any other.
const SECTIONS: [&str; 11] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
    "Transform",
];

/// What a promotion needs to know of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The Lambda functions, by logical id.
    pub functions: BTreeMap<String, TemplateFunction>,
    /// The parameters, by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// The names of the outputs.
    pub outputs: BTreeSet<String>,
    /// The nested stacks that take their template from the store, by logical id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nested: BTreeMap<String, StackName>,
}

/// A Lambda function of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFunction {
    /// What its bundle must fit; of inline code nothing but what the template says plainly, an empty runtime else.
    pub spec: FunctionSpec,
    /// Where its code lies.
    pub code: Code,
    /// Whether it has layers, any of which may hold its handler or `bootstrap` instead of the bundle.
    pub has_layers: bool,
}

/// A parameter of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Whether a stage may leave it out.
    pub has_default: bool,
    /// Its type, such as `String` or `AWS::SSM::Parameter::Value<String>`.
    pub r#type: String,
    /// Its default as text, where that is a string or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// The findings about one template, bounded.
struct Findings<'a> {
    subject: &'a str,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    fn new(subject: &'a str) -> Self {
        Self { subject, list: Vec::new() }
    }

    fn say(&mut self, code: Reason, message: impl Into<String>) {
        if !self.is_full() {
            let mut message = message.into();
            if let Some((end, _)) = message.char_indices().nth(1000) {
                message.truncate(end);
            }
            self.list.push(Finding::new(code, self.subject, message));
        }
    }

    fn len(&self) -> usize {
        self.list.len()
    }

    fn is_full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }

    fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

/// Checks a template by itself. `subject` is what its findings are about, at most 100 of them.
///
/// There is a [`Template`] wherever the document has the shape of one within CloudFormation's quotas, with findings or
/// without; [`Template::check_code`] then holds it against the commit's manifest.
#[must_use]
pub fn inspect(bytes: &[u8], subject: &str) -> (Vec<Finding>, Option<Template>) {
    let mut findings = Findings::new(subject);
    let template = read(bytes, &mut findings);
    (findings.into_list(), template)
}

fn read(bytes: &[u8], findings: &mut Findings<'_>) -> Option<Template> {
    if bytes.len() > MAX_BYTES {
        findings.say(
            Reason::TemplateTooLarge,
            format!("the template has {} bytes, CloudFormation takes {MAX_BYTES}", bytes.len()),
        );
        return None;
    }
    let (root, duplicates) = json::read(bytes).map_err(|error| findings.say(Reason::TemplateInvalid, error)).ok()?;
    for place in duplicates {
        findings.say(Reason::TemplateInvalid, format!("the key `{place}` stands twice"));
    }
    let Json::Object(sections) = &root else {
        findings.say(Reason::TemplateInvalid, "the document is not an object");
        return None;
    };
    for section in sections.keys().filter(|key| !SECTIONS.contains(key)) {
        findings.say(Reason::TemplateInvalid, format!("`{}` is not a section of a template", shown(section)));
    }
    if let Some(version) = sections.get("AWSTemplateFormatVersion")
        && version.as_str() != Some("2010-09-09")
    {
        findings.say(Reason::TemplateInvalid, "`AWSTemplateFormatVersion` is not `2010-09-09`");
    }
    let nothing = Object::default();
    let mut too_large = false;
    let mut section = |name: &str, limit: usize| {
        let members = match sections.get(name) {
            None => return &nothing,
            Some(Json::Object(members)) => members,
            Some(_) => {
                findings.say(Reason::TemplateInvalid, format!("`{name}` is not an object"));
                return &nothing;
            }
        };
        if members.len() > limit {
            too_large = true;
            let count = members.len();
            findings
                .say(Reason::TemplateTooLarge, format!("`{name}` has {count} members, CloudFormation takes {limit}"));
        }
        members
    };
    let resources = section("Resources", MAX_RESOURCES);
    let parameters = section("Parameters", MAX_OTHERS);
    let mappings = section("Mappings", MAX_OTHERS);
    let outputs = section("Outputs", MAX_OTHERS);
    section("Conditions", usize::MAX);
    section("Rules", usize::MAX);
    if resources.len() == 0 {
        findings.say(Reason::TemplateInvalid, "the template has no `Resources`");
        return None;
    }
    fetch::check_transforms(&root, findings);
    portable::check(&root, findings);
    if too_large {
        return None;
    }
    let mut template = Template {
        functions: BTreeMap::new(),
        parameters: read_parameters(parameters, findings),
        outputs: outputs.keys().map(str::to_owned).collect(),
        nested: BTreeMap::new(),
    };
    for (id, resource) in resources.iter() {
        read_resource(id, resource, mappings, &mut template, findings);
    }
    Some(template)
}

/// Checks one resource and keeps what a promotion needs of it.
fn read_resource(
    id: &str,
    resource: &Json<'_>,
    mappings: &Object<'_>,
    template: &mut Template,
    findings: &mut Findings<'_>,
) {
    // Also what lets every later message hold the id as it is.
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = format!("resource `{}` has a logical id that is not of letters and digits", shown(id));
        return findings.say(Reason::TemplateInvalid, message);
    }
    let Some(r#type) = resource.get("Type").and_then(Json::as_str) else {
        return findings.say(Reason::TemplateInvalid, format!("resource `{id}` has no `Type`"));
    };
    let nothing = Object::default();
    let properties = match resource.get("Properties") {
        None => &nothing,
        Some(Json::Object(properties)) => properties,
        Some(_) => {
            let message = format!("the `Properties` of resource `{id}` are not an object");
            return findings.say(Reason::TemplateInvalid, message);
        }
    };
    let resources = Place::Root.key("Resources");
    let resource = resources.key(id);
    let place = resource.key("Properties");
    let parameters = &template.parameters;
    if let Some(stack) = fetch::check_resource(id, r#type, properties, parameters, &place, findings) {
        template.nested.insert(id.to_owned(), stack);
    }
    if r#type == "AWS::Lambda::Function" {
        let evaluate = Evaluate { parameters: &template.parameters, mappings };
        let function = code::read(id, properties, &evaluate, &place, findings);
        template.functions.insert(id.to_owned(), function);
    }
}

fn read_parameters(parameters: &Object<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, Parameter> {
    let mut read = BTreeMap::new();
    for (name, parameter) in parameters.iter() {
        let Some(r#type) = parameter.get("Type").and_then(Json::as_str) else {
            findings.say(Reason::TemplateInvalid, format!("parameter `{}` has no `Type`", shown(name)));
            continue;
        };
        let default = parameter.get("Default");
        let parameter = Parameter {
            has_default: default.is_some(),
            r#type: r#type.to_owned(),
            default: default.and_then(|it| match it {
                Json::String(text) => Some(text.clone().into_owned()),
                Json::Number(number) => Some(number.to_string()),
                _ => None,
            }),
        };
        read.insert(name.to_owned(), parameter);
    }
    read
}

impl Template {
    /// Holds the template of `stack`, one of `module`'s, against the commit's manifest: every function's code is inline
    /// or one of the stored bundles, and every bundle of the stack is the code of a function that exists.
    #[must_use]
    pub fn check_code(&self, subject: &str, stack: &StackName, module: &Module, manifest: &Manifest) -> Vec<Finding> {
        let mut findings = Findings::new(subject);
        // A promotion passes the folder of the stack's own module, and copies the bundle of any.
        let bundles: BTreeMap<&str, (bool, &crate::manifest::Function)> = manifest
            .modules
            .iter()
            .flat_map(|it| it.functions.iter().map(move |function| (it.id == module.id, function)))
            .filter(|(_, function)| function.stack == *stack)
            .map(|(own, function)| (function.logical_id.as_str(), (own, function)))
            .collect();
        let mut assets: BTreeMap<(&Text, &Text), (&str, &crate::manifest::Function)> = BTreeMap::new();
        for (id, function) in &self.functions {
            let bundle = bundles.get(id.as_str());
            match (&function.code, bundle) {
                (Code::Inline | Code::Refused, _) => {}
                (_, None) => findings.say(
                    Reason::TemplateCodeOutsideStore,
                    format!("no bundle of the manifest is the code of function `{id}` of stack `{stack}`"),
                ),
                (Code::ArtefactStore { key }, Some((own, bundle))) => {
                    let expect = Text::reference(PREFIX_PARAMETER).then(&format!("/functions/{}.zip", bundle.name));
                    if *key != expect {
                        findings.say(
                            Reason::TemplateCodeOutsideStore,
                            format!("function `{id}` has its code at `{key}`, but its bundle is at `{expect}`"),
                        );
                    } else if !own {
                        findings.say(
                            Reason::TemplateCodeOutsideStore,
                            format!(
                                "function `{id}` has its code at `{key}`, but its bundle `{}` is listed in another module than `{}`",
                                bundle.name, module.id
                            ),
                        );
                    }
                }
                (Code::AssetBucket { bucket, key }, Some((_, bundle))) => match assets
                    .insert((bucket, key), (id, bundle))
                {
                    Some((other, earlier)) if earlier.sha256 != bundle.sha256 => findings.say(
                        Reason::TemplateCodeOutsideStore,
                        format!("functions `{other}` and `{id}` name the same asset `{key}`, but their bundles differ"),
                    ),
                    _ => {}
                },
            }
        }
        for (id, (_, bundle)) in &bundles {
            if !self.functions.contains_key(*id) {
                findings.say(
                    Reason::LogicalIdInvalid,
                    format!(
                        "bundle `{}` names `{}`, which is no Lambda function of stack `{stack}`",
                        bundle.name,
                        shown(id)
                    ),
                );
            }
        }
        for (id, nested) in &self.nested {
            if nested == stack || !module.stacks.iter().any(|it| it.name == *nested) {
                findings.say(
                    Reason::TemplateNotSelfContained,
                    format!("nested stack `{id}` takes its template from stack `{nested}`, which is no other stack of module `{}`", module.id),
                );
            }
        }
        findings.into_list()
    }
}

#[cfg(test)]
mod tests;
