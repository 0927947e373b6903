//! Nested stacks whose templates are assets: what they hold belongs to the stack that they are in.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{Sha256, StackName},
    manifest::{AssetKind, Module},
};

use super::{Code, TaggedImage, Template, Text, assets, assets::Use, form::Left};

/// How deep stacks may be nested: CDK's own constructs nest one level.
pub(super) const MAX_DEPTH: usize = 4;

/// What stands between the logical ids of a nested stack and of what is in it.
const WITHIN: char = '/';

impl Template {
    /// The template of `stack` with what its nested stacks hold: each by the logical ids that lead to it, such as
    /// `Inner/Handler`. `nested` are the templates among the assets of the commit's modules, by their digests.
    ///
    /// # Errors
    /// Where it comes to more than is looked at.
    pub fn whole(
        &self,
        stack: &StackName,
        modules: &[Module],
        nested: &BTreeMap<Sha256, &Template>,
    ) -> Result<Self, String> {
        let listed =
            modules.iter().flat_map(|it| &it.assets).filter(|it| it.stack == *stack && it.kind == AssetKind::Template);
        let by_key: BTreeMap<&str, &Template> =
            listed.filter_map(|it| Some((it.key.as_str(), *nested.get(&it.sha256)?))).collect();
        let mut whole = self.clone();
        let mut open = self.below("", 0);
        while let Some((path, key, depth)) = open.pop() {
            let Some(template) = by_key.get(key.as_str()) else { continue };
            if depth >= MAX_DEPTH {
                return Err(format!("its nested stacks are more than {MAX_DEPTH} levels deep"));
            }
            let within = |id: &str| format!("{path}{WITHIN}{id}");
            whole.functions.extend(template.functions.iter().map(|(id, it)| (within(id), it.clone())));
            whole.principals.extend(template.principals.iter().map(|(id, it)| (within(id), it.clone())));
            whole.handed.imports.extend(template.handed.imports.iter().cloned());
            let layers = template.handed.imported_layers.iter();
            whole.handed.imported_layers.extend(layers.map(|(place, name)| (within(place), name.clone())));
            whole.nested.extend(template.nested.iter().map(|(id, it)| (within(id), it.clone())));
            let left = template.names_stage.iter();
            whole.names_stage.extend(left.map(|it| Left { place: format!("{path}{}", it.place), ..it.clone() }));
            whole.assets.extend(template.assets.iter().map(|it| Use { resource: within(&it.resource), ..it.clone() }));
            let images = template.images.iter();
            whole.images.extend(images.map(|it| TaggedImage { resource: within(&it.resource), ..it.clone() }));
            open.extend(template.below(&path, depth + 1));
            if whole.assets.len() + whole.functions.len() + open.len() > assets::MAX_USES {
                return Err(format!("its nested stacks take more than {} assets", assets::MAX_USES));
            }
        }
        Ok(whole)
    }

    /// The nested stacks of a template: the logical ids that lead to each, and its template's key.
    fn below(&self, path: &str, depth: usize) -> Vec<(String, String, usize)> {
        let nested = self.assets.iter().filter(|it| it.kind == AssetKind::Template);
        let of = |it: &Use| {
            let path = if path.is_empty() { it.resource.clone() } else { format!("{path}{WITHIN}{}", it.resource) };
            (path, it.key.to_string(), depth)
        };
        nested.map(of).collect()
    }
}

/// Why what a nested stack takes can't be told before there is one; `None` where it can.
pub(super) fn untold(id: &str, code: &Code) -> Option<String> {
    if !id.contains(WITHIN) {
        return None;
    }
    let of_store = "takes its code from the artefact store, whose parameters a nested stack does not have";
    match code {
        Code::ArtefactStore { .. } => Some(format!("function `{id}` of a nested stack {of_store}: use an asset")),
        Code::AssetBucket { bucket, key } if !is_of_account(bucket) || !is_of_account(key) => Some(format!(
            "where function `{id}` of a nested stack has its code, `{bucket}/{key}`, depends on the nested stack's parameters"
        )),
        _ => None,
    }
}

/// Whether a text is the same in every stack of an account and region.
pub(super) fn is_of_account(text: &Text) -> bool {
    text.references().all(|it| matches!(it, "AWS::AccountId" | "AWS::Partition" | "AWS::Region" | "AWS::URLSuffix"))
}

/// Whether what goes by these logical ids is in a nested stack.
#[must_use]
pub fn is_nested(id: &str) -> bool {
    id.contains(WITHIN)
}

#[cfg(test)]
#[path = "nested_tests.rs"]
mod tests;
