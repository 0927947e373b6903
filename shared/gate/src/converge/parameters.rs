//! The parameters that dev's stacks had, held against the stored templates: what was tested with values of other parameters
//! was another stack.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::StackName,
    manifest::Manifest,
};
use gatekeeper_readers::template::{
    Template,
    form::{BOOTSTRAP_PARAMETER, STAGE_PARAMETER},
};

/// What of the told parameters does not fit the templates. Of a stack of which none are told nothing is said.
pub(super) fn check(manifest: &Manifest, templates: &BTreeMap<StackName, Template>) -> Vec<Finding> {
    let mut told: BTreeMap<&StackName, BTreeSet<&str>> = BTreeMap::new();
    for it in manifest.tests.integration.iter().flat_map(|tests| &tests.parameters) {
        told.entry(&it.stack).or_default().insert(&it.name);
    }
    let mut findings = Vec::new();
    for (stack, names) in told {
        let mut say =
            |message: String| findings.push(Finding::new(Code::TestedTemplatesMismatch, stack.as_str(), message));
        // A template that can't be read is refused for that.
        let Some(template) = templates.get(stack) else { continue };
        for name in names.iter().filter(|name| !template.parameters.contains_key(**name)) {
            say(format!(
                "the stack that was tested had the parameter `{name}`, which the stored template does not declare"
            ));
        }
        // The portable form takes values that the stored template, which dev has, holds itself.
        let is_forms = |name: &str| template.form.is_some() && [STAGE_PARAMETER, BOOTSTRAP_PARAMETER].contains(&name);
        let required = template.parameters.iter().filter(|(name, it)| !it.has_default && !is_forms(name));
        for (name, _) in required.filter(|(name, _)| !names.contains(name.as_str())) {
            say(format!("the stack that was tested had no parameter `{name}`, which the stored template requires"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{ids::Sha256, verdict::TemplateForm};
    use gatekeeper_readers::template;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stack_has_the_parameters_of_its_template() {
        let manifest = |parameters: &[&str]| -> Manifest {
            let parameters: Vec<_> = parameters.iter().map(|name| json!({"stack": "api", "name": name})).collect();
            serde_json::from_value(json!({
                "schema_version": 1, "repo": "bank", "commit_sha": "3f".repeat(20), "branch": "main",
                "timestamp": "2026-05-02T03:04:05Z", "modules": [],
                "tests": {"integration": {"passed": 1, "failed": 0, "parameters": parameters}},
            }))
            .unwrap()
        };
        let document = json!({
            "Parameters": {"Table": {"Type": "String"}, "LogLevel": {"Type": "String", "Default": "info"}, "Stage": {"Type": "String"}},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        });
        let stored = template::read(document.to_string().as_bytes()).unwrap();
        let sha256 = Sha256::of(b"form");
        let form = TemplateForm {
            template_sha256: sha256,
            sha256,
            size: 1,
            mapping_sha256: sha256,
            substitutions: 1,
            nested: BTreeMap::new(),
        };
        let of_form = Template { form: Some(form), ..stored.clone() };
        let said = |template: &Template, parameters: &[&str]| {
            let templates = [("api".parse().unwrap(), template.clone())].into();
            let found = check(&manifest(parameters), &templates);
            found.into_iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message)).collect::<Vec<_>>()
        };
        assert_eq!(said(&stored, &[]), [""; 0], "nothing is told");
        assert_eq!(said(&stored, &["Table", "Stage"]), [""; 0]);
        assert_eq!(said(&of_form, &["Table", "LogLevel"]), [""; 0]);
        insta::assert_snapshot!(said(&stored, &["LogLevel", "Loglevel", "Stage"]).join("\n"), @"
        tested-templates-mismatch api: the stack that was tested had the parameter `Loglevel`, which the stored template does not declare
        tested-templates-mismatch api: the stack that was tested had no parameter `Table`, which the stored template requires
        ");
        assert!(check(&manifest(&["Table"]), &BTreeMap::new()).is_empty());
    }
}
