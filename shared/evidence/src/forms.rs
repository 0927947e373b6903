//! The portable forms of the templates that were read too, derived again: nobody has to believe the gate's.

use std::collections::BTreeMap;

use gatekeeper_model::{ids::StackName, manifest::Manifest, verdict::Verdict};
use gatekeeper_readers::template::{form, form::Form};

use super::{bundle::Files, exhibits::Exhibits, paper};

/// The form of each template among the documents, by the stack's name, or why there is none.
pub(super) fn derived(exhibits: &Exhibits) -> BTreeMap<StackName, Result<Form, String>> {
    let Ok(verdict) = exhibits.read::<Verdict>(paper::VERDICT) else { return BTreeMap::new() };
    let manifest = exhibits.bytes(paper::MANIFEST);
    let manifest = manifest.and_then(|bytes| Manifest::parse(bytes, &verdict.value.commit()).ok());
    let Some(Manifest { synthesised_for: Some(made_for), modules, .. }) = manifest else { return BTreeMap::new() };
    let stacks = modules.iter().flat_map(|module| module.stacks.iter().map(move |stack| (module, stack)));
    let derived = stacks.filter_map(|(module, stack)| {
        let name = paper::template(&module.id, &stack.name);
        let form = form::derive(exhibits.bytes(&name)?, &made_for, &name);
        let told = |findings: Vec<gatekeeper_model::finding::Finding>| {
            findings.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; ")
        };
        Some((stack.name.clone(), form.map_err(told)))
    });
    derived.collect()
}

/// The files of a bundle that follow from its templates: each form, and the mapping by which it is the template again.
pub(super) fn files(exhibits: &Exhibits) -> Files {
    let forms = derived(exhibits).into_iter().filter_map(|(stack, form)| Some((stack, form.ok()?)));
    forms
        .flat_map(|(stack, form)| [(paper::form(&stack), form.bytes), (paper::mapping(&stack), form.mapping_bytes)])
        .collect()
}
