//! CloudFormation templates: what a stage applies must be whole in the stored bytes, and fit any stage.
//!
//! A template is JSON as CDK and SST synthesise it. Four things are asked of it: that CloudFormation would read it as
//! we do (one meaning for each key, the quotas kept), that it fetches and generates nothing at deploy time, that all
//! code that it runs is known (a function's is in the store, an image has its digest, and no type or property is one
//! that nobody has judged), and that it names no account that isn't the same in each stage.

mod account_id;
mod accounts;
mod assets;
mod code;
mod declared;
mod exports;
mod fetch;
mod findings;
pub mod form;
pub mod forms;
mod images;
mod json;
mod nested;
pub mod order;
mod portable;
mod principals;
mod schema;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code as Reason, Finding},
    ids::{StackName, StageName},
    manifest::{Manifest, Module, SynthesisedFor},
    policy::{Rules, StageLiterals},
    verdict::TemplateForm,
};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "test-support"))]
pub use self::schema::types;
pub use self::schema::{holds, known_type};
pub use self::{
    assets::Use,
    code::{BUCKET_PARAMETER, Code, PREFIX_PARAMETER},
    declared::{Declared, DeclaredExport, DeclaredResource, GivenName, Told, declared},
    exports::{ExportName, Handed},
    findings::{Doubt, Unless},
    images::{ImageAddress, TaggedImage},
    nested::is_nested,
    portable::bootstrap_bucket,
    principals::Boundary,
    text::{PSEUDO_PARAMETERS, Piece, Text},
};
use self::{
    code::Evaluate,
    findings::Findings,
    json::{Json, Object, Place},
    schema::Resource,
};
use crate::{function_spec::FunctionSpec, shown::shown};

/// The largest template that CloudFormation takes from S3, in bytes. Its documentation says 1 MB, its refusal
/// "Template may not exceed 1000000 bytes in size".
pub const MAX_BYTES: usize = 1_000_000;

/// The most resources of a template (CloudFormation quotas).
pub const MAX_RESOURCES: usize = 500;

/// The most parameters, mappings and outputs of a template, each (CloudFormation quotas).
const MAX_OTHERS: usize = 200;

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
    /// What its resources take from asset buckets beside functions' code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<Use>,
    /// The container images that its resources run by a tag, which the manifest has to tell the digests of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<TaggedImage>,
    /// What is wrong with it unless the policy says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// The roles and users, by logical id, each with its permissions boundary.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub principals: BTreeMap<String, Boundary>,
    /// What it hands to other stacks and takes of them.
    #[serde(default, skip_serializing_if = "Handed::is_empty")]
    pub handed: Handed,
    /// The portable form that all of this was read from; none where the stored template fits any stage itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<TemplateForm>,
    /// Where what is deployed names the stage that it was synthesised for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names_stage: Vec<form::Left>,
}

/// What the manifest says of how the commit's templates were synthesised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Synthesis {
    /// The literals that its templates may name, which a portable form is derived from.
    pub declared: Option<SynthesisedFor>,
    /// The stage that the commit was deployed to, as the manifest tells it.
    pub deployed: Option<StageName>,
}

impl Synthesis {
    /// As the manifest tells it.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let deployed = manifest.deploy.as_ref().map(|deploy| deploy.stage.clone());
        Self { declared: manifest.synthesised_for.clone(), deployed }
    }

    /// What a bundle should not hold, where it can be told from other words: dev's account, and its stage beside the
    /// application's name.
    #[must_use]
    pub fn foreign_words(&self) -> Vec<String> {
        let Some(SynthesisedFor { account, stage, application, .. }) = &self.declared else { return Vec::new() };
        let beside = |between| [format!("{stage}{between}{application}"), format!("{application}{between}{stage}")];
        [account.to_string()].into_iter().chain(["-", "/"].into_iter().flat_map(beside)).collect()
    }

    /// The stages that a template should not name: both, where they are not one.
    fn stages(&self) -> BTreeSet<&StageName> {
        self.declared.iter().map(|declared| &declared.stage).chain(&self.deployed).collect()
    }
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

/// Checks a template by itself. `subject` is what its findings are about, at most 100 of them.
///
/// There is a [`Template`] wherever the document has the shape of one within CloudFormation's quotas, with findings or
/// without. [`Template::check_code`] then holds it against the commit's manifest, and [`Template::check_policy`] says what
/// of its doubts stands.
#[must_use]
pub fn inspect(bytes: &[u8], subject: &str) -> (Vec<Finding>, Option<Template>) {
    let mut findings = Findings::new(subject);
    let mut template = None;
    if let Some(root) = parse(bytes, &mut findings) {
        template = read_root(&root, &mut findings);
        judge(&root, template.as_ref(), &mut findings);
    }
    let images = findings.take_images();
    let (mut found, doubts) = findings.into_parts();
    match &mut template {
        Some(template) => {
            template.doubts = doubts;
            template.images = images;
        }
        None => found.extend(doubts.iter().map(|it| it.finding(subject))),
    }
    (found, template)
}

/// Checks a template by what it was synthesised for: its portable form is what a stage gets, so that is judged where the
/// manifest declares the literals to derive one from.
#[must_use]
pub fn inspect_synthesised(bytes: &[u8], synthesis: &Synthesis, subject: &str) -> (Vec<Finding>, Option<Template>) {
    let Some(declared) = &synthesis.declared else {
        let (mut findings, mut template) = inspect(bytes, subject);
        name_stage(bytes, synthesis, subject, template.as_mut(), &mut findings);
        return (findings, template);
    };
    let mut read = Findings::new(subject);
    if parse(bytes, &mut read).is_none() || read.len() > 0 {
        return (read.into_parts().0, None);
    }
    match form::derive(bytes, declared, subject) {
        Ok(form) => {
            let (mut findings, mut template) = inspect(&form.bytes, subject);
            if let Some(deployed) = synthesis.deployed.as_ref().filter(|deployed| **deployed != declared.stage) {
                let message = format!(
                    "`synthesised_for` declares the stage `{}`, and the commit was deployed to `{deployed}`",
                    declared.stage
                );
                findings.push(Finding::new(Reason::TemplateFormInvalid, subject, message));
            }
            // What dev ran is refused for what it is refused for, but for naming dev.
            let (stored, read) = inspect(bytes, subject);
            let stored = stored.into_iter().filter(|it| it.code != Reason::TemplateNotPortable);
            let more: Vec<_> = stored.filter(|it| !findings.contains(it)).collect();
            findings.extend(more);
            if let (Some(template), Some(read)) = (&mut template, read) {
                let doubts = read.doubts.into_iter().filter(|it| it.code != Reason::TemplateNotPortable);
                let more: Vec<_> = doubts.filter(|it| !template.doubts.contains(it)).collect();
                template.doubts.extend(more);
            }
            if let Some(template) = &mut template {
                template.form = Some(form.told());
            }
            name_stage(&form.bytes, synthesis, subject, template.as_mut(), &mut findings);
            (findings, template)
        }
        Err(findings) => (findings, None),
    }
}

/// How many places that name the stage are findings of their own.
const MAX_STAGE_FINDINGS: usize = 10;

/// Tells where the document names the stage that it was synthesised for.
fn name_stage(
    document: &[u8],
    synthesis: &Synthesis,
    subject: &str,
    template: Option<&mut Template>,
    findings: &mut Vec<Finding>,
) {
    let (stages, Some(template)) = (synthesis.stages(), template) else { return };
    let Ok((root, _)) = json::read(document) else { return };
    for stage in stages {
        template.names_stage.extend(form::places_naming(&root, stage.as_str()));
    }
    if let Some(declared) = &synthesis.declared {
        for left in form::places_naming(&root, declared.account.as_str()).iter().take(MAX_STAGE_FINDINGS) {
            let message = format!(
                "`{}` still names the account `{}`, where it can't be told from a longer text: `{}`",
                left.place, declared.account, left.text
            );
            findings.push(Finding::new(Reason::TemplateNotPortable, subject, message));
        }
    }
    let advice = match &synthesis.declared {
        Some(_) => "write it by the parameter `Stage`, or by the application's name beside it",
        None => "write it by the parameter `Stage`, or declare `synthesised_for` in the manifest",
    };
    for left in template.names_stage.iter().take(MAX_STAGE_FINDINGS) {
        let form::Left { place, text } = left;
        let message = format!("`{place}` names the stage that it was synthesised for: `{text}`; {advice}");
        findings.push(Finding::new(Reason::TemplateNamesStage, subject, message));
    }
    if let Some(more) = template.names_stage.len().checked_sub(MAX_STAGE_FINDINGS).filter(|more| *more > 0) {
        let message = format!("{more} more places name the stage");
        findings.push(Finding::new(Reason::TemplateNamesStage, subject, message));
    }
}

/// What a promotion needs to know of a template that was judged already.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Template> {
    let mut findings = Findings::new("");
    read_root(&parse(bytes, &mut findings)?, &mut findings)
}

/// Holds what the templates of a commit hand to each other against the manifest: the order of the stacks, and the layers
/// that one takes of another.
#[must_use]
pub fn check_handed(manifest: &Manifest, handed: &BTreeMap<&StackName, &Handed>) -> Vec<Finding> {
    let mut findings = order::check(manifest, handed);
    findings.extend(exports::check_layers(manifest, handed));
    findings
}

/// The document as JSON.
fn parse<'a>(bytes: &'a [u8], findings: &mut Findings<'_>) -> Option<Json<'a>> {
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
    Some(root)
}

/// Reads the document's sections, and says where it isn't a template's.
fn read_root(root: &Json<'_>, findings: &mut Findings<'_>) -> Option<Template> {
    let Json::Object(sections) = root else {
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
    if too_large {
        return None;
    }
    let mut template = Template {
        functions: BTreeMap::new(),
        parameters: read_parameters(parameters, findings),
        outputs: outputs.keys().map(str::to_owned).collect(),
        nested: BTreeMap::new(),
        assets: Vec::new(),
        images: Vec::new(),
        doubts: Vec::new(),
        principals: BTreeMap::new(),
        handed: Handed::default(),
        form: None,
        names_stage: Vec::new(),
    };
    template.handed = Handed::read(root, &template.parameters);
    let place = Place::Root.key("Resources");
    for (id, resource) in resources.iter() {
        let Some((r#type, properties)) = read_resource(id, resource, &nothing, findings) else { continue };
        if let Some(boundary) = principals::read(r#type, properties, &template.parameters) {
            template.principals.insert(id.to_owned(), boundary);
        }
        let own = place.key(id);
        let uses = assets::read(id, r#type, properties, &template.parameters, &own.key("Properties"));
        template.assets.extend(uses.told);
        if template.assets.len() > assets::MAX_USES {
            let message = format!("it takes more than {} assets: divide the stack", assets::MAX_USES);
            findings.say(Reason::TemplateTooLarge, message);
            return None;
        }
        match r#type {
            "AWS::Lambda::Function" => {
                let evaluate = Evaluate { parameters: &template.parameters, mappings, resources };
                let function = code::read(id, properties, &evaluate, &own.key("Properties"), findings);
                template.functions.insert(id.to_owned(), function);
            }
            "AWS::CloudFormation::Stack" => {
                let stack = fetch::nested_template(properties, &template.parameters);
                template.nested.extend(stack.map(|stack| (id.to_owned(), stack)));
            }
            _ => {}
        }
    }
    // Two spellings of one template are one template.
    template.assets.sort_by(|one, other| (&one.resource, &one.place).cmp(&(&other.resource, &other.place)));
    Some(template)
}

/// A resource's type and properties.
fn read_resource<'a, 'j>(
    id: &str,
    resource: &'a Json<'j>,
    nothing: &'a Object<'j>,
    findings: &mut Findings<'_>,
) -> Option<(&'a str, &'a Object<'j>)> {
    // Also what lets every later message hold the id as it is.
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = format!("resource `{}` has a logical id that is not of letters and digits", shown(id));
        findings.say(Reason::TemplateInvalid, message);
        return None;
    }
    let Some(r#type) = resource.get("Type").and_then(Json::as_str) else {
        findings.say(Reason::TemplateInvalid, format!("resource `{id}` has no `Type`"));
        return None;
    };
    match resource.get("Properties") {
        None => Some((r#type, nothing)),
        Some(Json::Object(properties)) => Some((r#type, properties)),
        Some(_) => {
            let message = format!("the `Properties` of resource `{id}` are not an object");
            findings.say(Reason::TemplateInvalid, message);
            None
        }
    }
}

/// Judges the document: what it fetches and generates, what carries code, and which accounts it names.
fn judge(root: &Json<'_>, template: Option<&Template>, findings: &mut Findings<'_>) {
    fetch::check_transforms(root, findings);
    fetch::check_attributes(root, findings);
    if let Some(template) = template {
        let nothing = Object::default();
        let section = |name: &str| root.get(name).and_then(Json::as_object).unwrap_or(&nothing);
        let evaluate = Evaluate {
            parameters: &template.parameters,
            mappings: section("Mappings"),
            resources: section("Resources"),
        };
        let place = Place::Root.key("Resources");
        // What is malformed was said when it was read.
        let mut said = Findings::new("");
        for (id, resource) in section("Resources").iter() {
            let Some((r#type, properties)) = read_resource(id, resource, &nothing, &mut said) else { continue };
            let place = place.key(id);
            let resource = Resource { id, r#type, template: &evaluate };
            fetch::check_resource(&resource, properties, &place.key("Properties"), findings);
        }
    }
    portable::check(root, findings);
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
    /// What of its doubts stands under the rules of its repository.
    #[must_use]
    pub fn check_policy(&self, subject: &str, rules: &Rules) -> Vec<Finding> {
        let doubts = self.doubts.iter().filter(|doubt| doubt.stands(rules)).map(|doubt| doubt.finding(subject));
        let named = self.names_stage.first().filter(|_| rules.stage_literals == StageLiterals::Refuse).map(|first| {
            let (count, place) = (self.names_stage.len(), &first.place);
            let message = format!(
                "it names the stage that it was synthesised for in {count} places, which the policy refuses (`stage_literals`): the first is `{place}`"
            );
            Finding::new(Reason::TemplateNotPortable, subject, message)
        });
        doubts.chain(named).collect()
    }

    /// Holds the template of `stack`, one of `module`'s, against the commit's manifest: every function's code is inline
    /// or one of the stored bundles, and every bundle of the stack is the code of a function that exists.
    #[must_use]
    pub fn check_code(&self, subject: &str, stack: &StackName, module: &Module, manifest: &Manifest) -> Vec<Finding> {
        let mut findings = Findings::new(subject);
        // A promotion passes the folder of the stack's own module, and copies the bundle of any.
        let bundles: BTreeMap<&str, (bool, &gatekeeper_model::manifest::Function)> = manifest
            .modules
            .iter()
            .flat_map(|it| it.functions.iter().map(move |function| (it.id == module.id, function)))
            .filter(|(_, function)| function.stack == *stack)
            .map(|(own, function)| (function.logical_id.as_str(), (own, function)))
            .collect();
        let mut assets: BTreeMap<(&Text, &Text), (&str, &gatekeeper_model::manifest::Function)> = BTreeMap::new();
        for (id, function) in &self.functions {
            let bundle = bundles.get(id.as_str());
            if let Some(why) = nested::untold(id, &function.code) {
                findings.say(Reason::TemplateCodeOutsideStore, why);
            }
            match (&function.code, bundle) {
                (Code::Image, Some((_, bundle))) => findings.say(
                    Reason::TemplateCodeOutsideStore,
                    format!(
                        "bundle `{}` names function `{id}` of stack `{stack}`, which runs a container image",
                        bundle.name
                    ),
                ),
                (Code::Inline | Code::Image | Code::Refused, _) => {}
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
        assets::check(self, stack, manifest, &mut findings);
        images::check(self, stack, manifest, &mut findings);
        findings.into_parts().0
    }
}

#[cfg(test)]
mod tests;
