//! The portable forms of a stack's template and of those that are nested in it.
//!
//! A nested stack has its template and its parameters from the template around it. So where a nested template has a form,
//! the form of the one around it leads there: it names the nested form's key in place of the stored template's, and hands
//! on the parameters that the nested form declares. A nested form has its own digest for a key, in the bucket and the
//! folder of the stored template. Under the stored template's own key lies, in dev's account, what dev runs.
//!
//! # Invariants
//! * Every form is proved by itself ([`Mapping::prove`](super::form::Mapping::prove)): with dev's values, and with what
//!   leads to nested forms taken out again, it is the stored template.
//! * A nested template that names nothing of dev, nor nests one that does, has no form: the stage gets the stored one.
//! * None of the forms depends on the stage, so all of them are attested before anybody knows it.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{AssetFile, AssetKey, Sha256},
    manifest::{AssetKind, SynthesisedFor},
    verdict::TemplateForm,
};
use serde::{Deserialize, Serialize};

use super::{
    MAX_BYTES, Template,
    form::{self, Form},
    json::{Json, Object},
    nested::MAX_DEPTH,
    read,
};
use crate::shown::shown;

/// The portable forms of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forms {
    /// That of its template.
    pub root: Form,
    /// Those of the templates that are nested in it and that differ from the stored ones, by the keys of these.
    pub nested: BTreeMap<AssetKey, Form>,
}

/// Where the form of a template leads to the forms of those that are nested in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NestedStack {
    /// The nested stack's logical id.
    pub resource: String,
    /// The keys that its `TemplateURL` has in the form, by those that it has in the template.
    pub templates: BTreeMap<AssetKey, String>,
    /// The parameters that it gets in the form only: each is the parameter of that name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passes: BTreeSet<String>,
    /// Whether the template gives it no parameters at all.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub adds_parameters: bool,
}

/// A nested stack's template as the template around it names it.
pub(super) struct Link {
    resource: String,
    key: AssetKey,
    /// Its form; none where the stage gets the stored template.
    to: Option<Target>,
}

/// A form that a nested stack gets.
#[derive(Clone)]
struct Target {
    key: String,
    /// The parameters that it needs, and whether the template declares them itself.
    needs: BTreeMap<&'static str, bool>,
}

/// Derives the forms of a stack. `nested` are the templates among the assets of the stack by their keys, and `subject` is
/// what the findings are about.
///
/// # Errors
/// Why there is none.
pub fn derive(
    root: &[u8],
    nested: &BTreeMap<AssetKey, Vec<u8>>,
    made_for: &SynthesisedFor,
    subject: &str,
) -> Result<Forms, Vec<Finding>> {
    let mut deriver = Deriver { nested, made_for, subject, found: BTreeMap::new() };
    let root = deriver.form(root, 0)?;
    let nested = deriver.found.into_iter().filter_map(|(key, form)| Some((key.clone(), form?))).collect();
    Ok(Forms { root, nested })
}

/// The key of a nested form beside the template that is stored under `key`.
#[must_use]
pub fn key_of(key: &AssetKey, form: Sha256) -> String {
    let folder = key.as_str().rfind('/').and_then(|slash| key.as_str().get(..=slash)).unwrap_or_default();
    format!("{folder}{}", AssetFile::of(form, key))
}

impl Forms {
    /// What the verdict tells of them.
    #[must_use]
    pub fn told(&self) -> TemplateForm {
        let nested = self.nested.iter().map(|(key, form)| (key.clone(), form.told())).collect();
        TemplateForm { nested, ..self.root.told() }
    }
}

impl Template {
    /// Makes its portable form lead to those of the templates that are nested in it. Gives why that can't be.
    #[must_use]
    pub fn nest_forms(
        &mut self,
        root: &[u8],
        nested: &BTreeMap<AssetKey, Vec<u8>>,
        made_for: &SynthesisedFor,
        subject: &str,
    ) -> Vec<Finding> {
        let forms = match derive(root, nested, made_for, subject) {
            Ok(forms) => forms,
            Err(findings) => return findings,
        };
        for form in forms.nested.values().chain([&forms.root]) {
            // What is wrong with a template by itself was said when it was read.
            let (len, read) = (form.bytes.len(), read(&form.bytes));
            if len > MAX_BYTES || read.is_none() {
                let message = "its portable form, with what it hands on to nested stacks, is larger than CloudFormation \
                               takes: divide the stack";
                return vec![Finding::new(Code::TemplateTooLarge, subject, message)];
            }
            // The root's comes last.
            self.parameters = read.map(|it| it.parameters).unwrap_or_default();
        }
        self.form = Some(forms.told());
        Vec::new()
    }
}

struct Deriver<'a> {
    nested: &'a BTreeMap<AssetKey, Vec<u8>>,
    made_for: &'a SynthesisedFor,
    subject: &'a str,
    /// What came of each nested template that was looked at.
    found: BTreeMap<&'a AssetKey, Option<Form>>,
}

impl Deriver<'_> {
    fn form(&mut self, template: &[u8], depth: usize) -> Result<Form, Vec<Finding>> {
        if depth > MAX_DEPTH {
            let message = format!("its nested stacks are more than {MAX_DEPTH} levels deep");
            return Err(vec![Finding::new(Code::TemplateTooLarge, self.subject, message)]);
        }
        let form = form::derive(template, self.made_for, self.subject)?;
        if self.nested.is_empty() {
            return Ok(form);
        }
        // Of what is no template nothing is nested in it.
        let assets = read(&form.bytes).map(|it| it.assets).unwrap_or_default();
        let mut links = Vec::new();
        for it in assets.into_iter().filter(|it| it.kind == AssetKind::Template) {
            let to = self.target(&it.key, depth)?;
            links.push(Link { resource: it.resource, key: it.key, to });
        }
        if links.iter().all(|it| it.to.is_none()) {
            return Ok(form);
        }
        form::derive_linked(template, self.made_for, &links, self.subject)
    }

    fn target(&mut self, key: &AssetKey, depth: usize) -> Result<Option<Target>, Vec<Finding>> {
        // One that is not there is missed where the manifest is held against the store.
        let Some((key, template)) = self.nested.get_key_value(key) else { return Ok(None) };
        if !self.found.contains_key(key) {
            let form = self.form(template, depth + 1)?;
            let is_another = !form.mapping.substitutions.is_empty() || !form.mapping.nested.is_empty();
            self.found.insert(key, is_another.then_some(form));
        }
        let form = self.found.get(key).and_then(Option::as_ref);
        Ok(form.map(|form| Target { key: key_of(key, form.mapping.form_sha256), needs: form.mapping.needs() }))
    }
}

/// Makes a template lead to the forms of those that are nested in it, and tells where.
pub(super) fn link(root: &mut Json<'_>, links: &[Link]) -> Result<Vec<NestedStack>, String> {
    let mut by_resource: BTreeMap<&str, BTreeMap<&AssetKey, Option<&Target>>> = BTreeMap::new();
    for Link { resource, key, to } in links {
        by_resource.entry(resource).or_default().insert(key, to.as_ref());
    }
    let mut linked = Vec::new();
    for (resource, templates) in by_resource {
        let mut needs = templates.values().map(|it| it.map(|it| it.needs.clone()).unwrap_or_default());
        let first = needs.next().unwrap_or_default();
        if needs.any(|it| it != first) {
            return Err(format!(
                "the templates that the nested stack `{resource}` may have need different parameters in their portable \
                 forms: make each a nested stack of its own"
            ));
        }
        let targets: BTreeMap<_, _> =
            templates.into_iter().filter_map(|(key, target)| Some((key.clone(), target?.key.clone()))).collect();
        if targets.is_empty() {
            continue;
        }
        let Some(properties) = properties_of(root, resource) else { continue };
        for (key, target) in &targets {
            if !properties.get_mut("TemplateURL").is_some_and(|url| rekey(url, key.as_str(), target)) {
                return Err(format!(
                    "`TemplateURL` of the nested stack `{resource}` has the key `{key}` in pieces: write it in one"
                ));
            }
        }
        let adds_parameters = !first.is_empty() && !properties.has("Parameters");
        let passes = pass(properties, resource, &first)?;
        linked.push(NestedStack { resource: resource.to_owned(), templates: targets, passes, adds_parameters });
    }
    Ok(linked)
}

/// Hands these parameters on to a nested stack that doesn't get them yet.
fn pass(
    properties: &mut Object<'_>,
    resource: &str,
    needs: &BTreeMap<&'static str, bool>,
) -> Result<BTreeSet<String>, String> {
    let mut passes = BTreeSet::new();
    if needs.is_empty() {
        return Ok(passes);
    }
    if !properties.has("Parameters") {
        properties.push("Parameters", Json::Object(Object::default()));
    }
    let Some(Json::Object(parameters)) = properties.get_mut("Parameters") else {
        return Err(format!("the `Parameters` of the nested stack `{resource}` are not an object"));
    };
    for (name, is_own) in needs {
        match parameters.get(name) {
            Some(given) if *given == reference(name) => {}
            Some(_) => {
                return Err(format!(
                    "the nested stack `{resource}` gets something else for its parameter `{name}`, which is that of its \
                     portable form: rename the parameter"
                ));
            }
            None if *is_own => {
                return Err(format!(
                    "the nested stack `{resource}` does not get its parameter `{name}`, which is that of its portable \
                     form: hand it on, or rename the parameter"
                ));
            }
            None => {
                parameters.push(name, reference(name));
                passes.insert((*name).to_owned());
            }
        }
    }
    Ok(passes)
}

/// Takes out again what leads from a form to those that are nested in it, where it is exactly that.
pub(super) fn unlink(root: &mut Json<'_>, linked: &[NestedStack]) -> Result<(), String> {
    for NestedStack { resource, templates, passes, adds_parameters } in linked {
        let wrong = || format!("the form does not lead to its nested stack `{}` as it should", shown(resource));
        let properties = properties_of(root, resource).ok_or_else(wrong)?;
        let url = properties.get_mut("TemplateURL").ok_or_else(wrong)?;
        if !templates.iter().all(|(key, target)| rekey(url, target, key.as_str())) {
            return Err(wrong());
        }
        if passes.is_empty() {
            continue;
        }
        let Some(Json::Object(parameters)) = properties.get_mut("Parameters") else { return Err(wrong()) };
        for name in passes {
            if !form::is_parameter(name) || parameters.get(name) != Some(&reference(name)) {
                return Err(wrong());
            }
            parameters.remove(name);
        }
        if *adds_parameters {
            if parameters.len() > 0 {
                return Err(wrong());
            }
            properties.remove("Parameters");
        }
    }
    Ok(())
}

fn properties_of<'r, 'j>(root: &'r mut Json<'j>, resource: &str) -> Option<&'r mut Object<'j>> {
    ["Resources", resource, "Properties"]
        .iter()
        .try_fold(root, |value, name| match value {
            Json::Object(members) => members.get_mut(name),
            _ => None,
        })
        .and_then(|value| match value {
            Json::Object(members) => Some(members),
            _ => None,
        })
}

/// Puts a key into the place of another wherever that ends a string; whether it did.
fn rekey(value: &mut Json<'_>, from: &str, to: &str) -> bool {
    let mut found = false;
    match value {
        Json::String(text) => {
            if let Some(before) = text.strip_suffix(from).filter(|it| it.is_empty() || it.ends_with('/')) {
                *text = format!("{before}{to}").into();
                found = true;
            }
        }
        // Each of them, so that either case of a condition leads to the form.
        Json::Array(items) => items.iter_mut().for_each(|item| found |= rekey(item, from, to)),
        Json::Object(members) => members.iter_mut().for_each(|(_, member)| found |= rekey(member, from, to)),
        _ => {}
    }
    found
}

fn reference(name: &str) -> Json<'static> {
    Json::Object(Object::from_iter([("Ref", Json::String(name.to_owned().into()))]))
}

#[cfg(test)]
#[path = "forms_tests.rs"]
mod tests;
