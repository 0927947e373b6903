//! Which templates a stage's stacks have, held against those of a build.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use aws_sdk_cloudformation::{Client, types::TemplateStage};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::failure::Failure;
use gatekeeper_model::{
    ids::{Sha256, StackName},
    manifest::{DeployedTemplate, Module},
    store_key::ArtefactPath,
};
use serde::Serialize;
use serde_json::Value;

use crate::{aws::called, build_folder, exit::Misuse};

/// Stacks that are looked at at once: CloudFormation's quotas of reading calls are low and not published.
const LOOKS_IN_FLIGHT: usize = 4;

/// A stack of the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Observed {
    pub(super) stack: StackName,
    pub(super) stack_name: StackName,
    /// The digest of its template in the build.
    pub(super) stored: Sha256,
    /// What it has: the same digest where it is the same JSON, however that is spelt; else its own.
    pub(super) live: Option<Sha256>,
    pub(super) equal: bool,
    /// Why nothing is known of its template.
    pub(super) problem: Option<String>,
    /// The live template itself.
    #[serde(skip)]
    pub(super) template: Option<String>,
}

impl Observed {
    /// As the manifest tells it; `None` where there is no such stack.
    pub(super) fn told(&self) -> Option<DeployedTemplate> {
        Some(DeployedTemplate { stack: self.stack.clone(), sha256: self.live? })
    }
}

/// Looks at the stack of every template. `folder` has the templates' bytes; without it only the very bytes are equal.
pub(super) async fn observe(
    client: &Client,
    modules: &[Module],
    folder: Option<&Path>,
    name_of: impl Fn(&StackName) -> Result<StackName, Misuse>,
) -> anyhow::Result<Vec<Observed>> {
    let mut stacks = Vec::new();
    for module in modules {
        for stack in &module.stacks {
            let path = ArtefactPath::Template(module.id.clone(), stack.name.clone()).to_string();
            let stored = folder.map(|folder| build_folder::read(&folder.join(path))).transpose()?;
            stacks.push((stack.name.clone(), name_of(&stack.name)?, stack.sha256, stored));
        }
    }
    let looks = stacks.into_iter().map(|(stack, stack_name, sha256, stored)| async move {
        let template = get(client, stack_name.as_str()).await?;
        let problem = template.is_none().then(|| format!("the stage has no stack `{stack_name}`"));
        let live = template.as_deref().map(|template| compared(template, sha256, stored.as_deref()));
        Ok::<_, anyhow::Error>(Observed {
            stack,
            stack_name,
            stored: sha256,
            live,
            equal: live == Some(sha256),
            problem,
            template,
        })
    });
    stream::iter(looks).buffered(LOOKS_IN_FLIGHT).try_collect().await
}

/// The digest that a live template is told by.
fn compared(live: &str, sha256: Sha256, stored: Option<&[u8]>) -> Sha256 {
    let own = Sha256::of(live.as_bytes());
    let is_same = |stored: &[u8]| match (parsed(stored), parsed(live.as_bytes())) {
        (Some(stored), Some(live)) => stored == live,
        _ => false,
    };
    if own == sha256 || stored.is_some_and(is_same) { sha256 } else { own }
}

/// A template as JSON. A key that stands twice is none: tools read it in two ways.
fn parsed(template: &[u8]) -> Option<Value> {
    gatekeeper_model::strict_json::from_slice(template).ok()
}

/// The template that a stack was last updated from; `None` where there is no such stack.
pub(super) async fn get(client: &Client, stack_name: &str) -> anyhow::Result<Option<String>> {
    let get = client.get_template().stack_name(stack_name).template_stage(TemplateStage::Original);
    match get.send().await {
        Err(error) if Failure::of(&error) == Failure::Absent => Ok(None),
        answer => {
            let answer = called("GetTemplate", answer)
                .with_context(|| format!("the template of stack `{stack_name}` can't be read"))?;
            Ok(Some(answer.template_body.context("GetTemplate answered without a template")?))
        }
    }
}

/// The stacks whose templates are told, by their names in the build.
pub(super) fn told(observed: &[Observed]) -> Vec<DeployedTemplate> {
    let told: BTreeMap<_, _> = observed.iter().filter_map(|it| Some((&it.stack, it.told()?))).collect();
    told.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_the_stored_one_where_it_is_the_same_json() {
        let stored = br#"{"Resources": {"A": {"Type": "T"}, "B": {"Type": "T"}}}"#;
        let sha256 = Sha256::of(stored);
        let check = |live: &str, equal: bool| {
            let told = compared(live, sha256, Some(stored));
            assert_eq!(told == sha256, equal, "{live}");
            assert!(equal || told == Sha256::of(live.as_bytes()), "{live}");
        };
        check(r#"{"Resources":{"B":{"Type":"T"},"A":{"Type":"T"}}}"#, true);
        check(r#"{"Resources": {"A": {"Type": "T"}, "B": {"Type": "U"}}}"#, false);
        check(r#"{"Resources": {"A": {"Type": "T"}}}"#, false);
        check("Resources:\n  A:\n    Type: T\n", false);
        check(r#"{"Resources": {"A": {"Type": "U", "Type": "T"}, "B": {"Type": "T"}}}"#, false);
        // Without the stored bytes only the very same ones are.
        assert_ne!(compared(r#"{"Resources":{"B":{"Type":"T"},"A":{"Type":"T"}}}"#, sha256, None), sha256);
        assert_eq!(compared(std::str::from_utf8(stored).unwrap(), sha256, None), sha256);
    }
}
