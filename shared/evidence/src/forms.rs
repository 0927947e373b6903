//! The portable forms of the templates that were read too, derived again: nobody has to believe the gate's.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::Finding, ids::StackName, manifest::Manifest, store_key::ArtefactPath, verdict::Verdict,
};
use gatekeeper_readers::template::forms::{self, Forms};

use super::{bundle::Files, exhibits::Exhibits, paper};

/// The forms of each stack whose templates are among the documents, or why there are none.
pub(super) fn derived(exhibits: &Exhibits) -> BTreeMap<StackName, Result<Forms, String>> {
    let Ok(verdict) = exhibits.read::<Verdict>(paper::VERDICT) else { return BTreeMap::new() };
    let manifest = exhibits.bytes(paper::MANIFEST);
    let manifest = manifest.and_then(|bytes| Manifest::parse(bytes, &verdict.value.commit()).ok());
    let Some(manifest) = manifest else { return BTreeMap::new() };
    let Some(made_for) = &manifest.synthesised_for else { return BTreeMap::new() };
    let stacks = manifest.modules.iter().flat_map(|module| module.stacks.iter().map(move |stack| (module, stack)));
    let derived = stacks.filter_map(|(module, stack)| {
        let name = paper::template(&module.id, &stack.name);
        let root = exhibits.bytes(&name)?;
        let nested = manifest.nested_templates(&stack.name).into_iter();
        let nested = nested.map(|(key, path)| Some((key, exhibits.bytes(&nested_paper(&path)?)?.to_vec())));
        let forms = forms::derive(root, &nested.collect::<Option<_>>()?, made_for, &name);
        let told = |findings: Vec<Finding>| findings.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; ");
        Some((stack.name.clone(), forms.map_err(told)))
    });
    derived.collect()
}

/// What a stored template that is nested in a stack is called; none of what is no asset.
pub(super) fn nested_paper(path: &ArtefactPath) -> Option<String> {
    match path {
        ArtefactPath::Asset(_, file) => Some(paper::nested_template(file)),
        _ => None,
    }
}

/// The files of a bundle that follow from its templates: each form, and the mapping by which it is the template again.
pub(super) fn files(exhibits: &Exhibits) -> Files {
    let mut files = Files::new();
    for (stack, forms) in derived(exhibits) {
        let Ok(Forms { root, nested }) = forms else { continue };
        files.insert(paper::form(&stack), root.bytes);
        files.insert(paper::mapping(&stack), root.mapping_bytes);
        for form in nested.into_values() {
            let template = form.mapping.template_sha256;
            files.insert(paper::nested_form(&stack, template), form.bytes);
            files.insert(paper::nested_mapping(&stack, template), form.mapping_bytes);
        }
    }
    files
}
