//! What a promotion would change, as a release manager reads it in a terminal of 80 columns.

mod migrations;

use std::{collections::BTreeMap, fmt::Write as _};

use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::{
    finding::plain,
    ids::{AssetKey, Sha256, StackName},
};
use gatekeeper_promotion::{
    changes::{Changes, Does, ResourceChange, StackChanges, StackState},
    plan::{Pinned, Plan, PlannedForm, PlannedStack},
    replacement::{By, Cause},
};
use gatekeeper_readers::{
    template,
    template::{
        form::{Form, Replaced},
        forms,
    },
};
use gatekeeper_store::ReadStore as _;
use serde::Serialize;

pub(super) use self::migrations::migrations;
use crate::{
    output::{bad, faint, good, open},
    reason::count,
};

/// The columns of a terminal.
const COLUMNS: usize = 80;

/// How many changes of a stack are listed that take nothing away, and how many of its substitutions.
const MAX_LISTED: usize = 12;
const MAX_SUBSTITUTIONS: usize = 3;

/// A word of ours, and its colour.
type Head<'a> = (fn(&str) -> String, &'a str);

/// What of a stack's template the portable form leaves to the stage.
#[derive(Debug, Serialize)]
pub(super) struct Substituted {
    /// The stack, as the repository calls it.
    stack: StackName,
    /// The nested stack that it is of, by the logical ids that lead to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<String>,
    /// Each place, with what stood there and what stands there in the stage.
    substitutions: Vec<Replaced>,
    /// Why they can't be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    untold: Option<String>,
}

/// Every substitution of a plan's forms. They follow from the stored templates, which the plan pins; so they are in no
/// answer and no record, and are derived here, where they are proved by the plan's digests.
pub(super) async fn substitutions(plan: &Plan, artefacts: &S3Store) -> Vec<Substituted> {
    let mut all = Vec::new();
    for stack in &plan.stacks {
        let Some(form) = &stack.form else { continue };
        let untold = |error: anyhow::Error| Substituted {
            stack: stack.stack.clone(),
            nested: None,
            substitutions: Vec::new(),
            untold: Some(format!("{error:#}")),
        };
        match of_stack(stack, form, artefacts).await {
            Ok(substituted) => all.extend(substituted),
            Err(error) => all.push(untold(error)),
        }
    }
    all
}

async fn of_stack(stack: &PlannedStack, form: &PlannedForm, artefacts: &S3Store) -> anyhow::Result<Vec<Substituted>> {
    let root = read(&stack.template, artefacts).await?;
    let mut nested = BTreeMap::new();
    for it in stack.assets.iter().filter(|it| stack.nested_form(it).is_some()) {
        nested.insert(it.asset_key.clone(), read(&it.file, artefacts).await?);
    }
    replaced(stack, form, &root, &nested)
}

/// Reads a template that a plan pins.
async fn read(pinned: &Pinned, artefacts: &S3Store) -> anyhow::Result<Vec<u8>> {
    let stored = artefacts.get(&pinned.key, Some(&pinned.version_id), template::MAX_BYTES as u64).await?;
    let stored = stored.ok_or_else(|| anyhow::anyhow!("`{}` is gone from the store", pinned.key))?;
    anyhow::ensure!(
        Sha256::of(&stored.bytes) == pinned.sha256,
        "the stored bytes of `{}` are not the planned ones",
        pinned.key
    );
    Ok(stored.bytes)
}

fn replaced(
    stack: &PlannedStack,
    planned: &PlannedForm,
    root: &[u8],
    nested: &BTreeMap<AssetKey, Vec<u8>>,
) -> anyhow::Result<Vec<Substituted>> {
    let key = &stack.template.key;
    let forms = forms::derive(root, nested, &planned.synthesised_for, key).map_err(|findings| {
        let why: Vec<_> = findings.into_iter().map(|it| it.message).collect();
        anyhow::anyhow!("no portable form of `{key}` can be derived: {}", why.join("; "))
    })?;
    anyhow::ensure!(forms.told() == planned.told, "the portable form of `{key}` is not the planned one");
    let told = |form: &Form, nested: Option<&String>| Substituted {
        stack: stack.stack.clone(),
        nested: nested.cloned(),
        substitutions: form.mapping.replaced(&stack.parameters).collect(),
        untold: None,
    };
    let of_nested =
        stack.assets.iter().filter_map(|it| Some(told(forms.nested.get(&it.asset_key)?, Some(&it.resource))));
    Ok([told(&forms.root, None)].into_iter().chain(of_nested).collect())
}

/// What would change, and what is told beside that.
pub(super) fn changes(told: &Changes) -> String {
    let mut text = String::from("\n  changes\n");
    if let Some(why) = &told.untold {
        line(&mut text, 4, 6, Some((bad, "not told:")), why);
        return text;
    }
    for stack in &told.stacks {
        of_stack_in_words(stack, &mut text);
    }
    for note in &told.notes {
        line(&mut text, 4, 6, None, &format!("note: {note}"));
    }
    if !told.accept_replacement.is_empty() {
        text.push_str("\n  to accept every loss, ask with\n");
        for path in &told.accept_replacement {
            let _ = writeln!(text, "    --accept-replacement {path}");
        }
    }
    text
}

fn of_stack_in_words(stack: &StackChanges, text: &mut String) {
    let state: Head<'_> = match stack.state {
        StackState::New => (good, "new"),
        StackState::Changed => (open, "changed"),
        StackState::Unchanged => (faint, "unchanged"),
        StackState::Untold => (bad, "not told"),
    };
    let mut counts: BTreeMap<Does, usize> = BTreeMap::new();
    for change in &stack.changes {
        *counts.entry(change.action).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(does, count)| format!("{count} {}", does.as_str())).collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    line(text, 4, 6, Some(state), &format!("{}{counts}", stack.stack_name));
    for note in &stack.notes {
        line(text, 6, 8, None, note);
    }
    let (taken, harmless): (Vec<_>, Vec<_>) = stack.changes.iter().partition(|it| it.action.takes_away());
    for change in taken {
        of_resource(change, text);
    }
    for change in harmless.iter().take(MAX_LISTED) {
        of_resource(change, text);
    }
    let hidden = harmless.len().saturating_sub(MAX_LISTED);
    if hidden > 0 {
        line(
            text,
            6,
            8,
            None,
            &format!("and {} that take nothing away, see `--output json`", count(hidden, "more change")),
        );
    }
    if stack.left_out > 0 {
        line(text, 6, 8, None, &format!("and {} more that the answer has no room for", stack.left_out));
    }
}

fn of_resource(change: &ResourceChange, text: &mut String) {
    let word = format!("{:11}", change.action.as_str());
    let is_loss = change.action.takes_away() && change.holds.is_some();
    let head: Head<'_> = (if is_loss { bad } else { str::to_owned }, &word);
    let mut told = format!("{} {}", change.resource, change.r#type);
    if change.is_conditional {
        told.push_str(", if its condition holds");
    }
    line(text, 6, 18, Some(head), &told);
    let mut more = |what: String| line(text, 18, 20, None, &what);
    if change.action.takes_away() {
        if let Some(id) = &change.physical_id {
            more(format!("here {id}"));
        }
        if let Some(holds) = &change.holds {
            more(format!("holds {holds}"));
        }
    }
    if !change.causes.is_empty() {
        more(format!("by {}", change.causes.iter().map(cause).collect::<Vec<_>>().join(", ")));
    }
    if let Some(why) = &change.untold {
        more(why.clone());
    }
}

fn cause(Cause { property, by, entity }: &Cause) -> String {
    let by = match by {
        By::Template => "template",
        By::Parameter => "parameter",
        By::Resource => "resource",
        By::Automatic => "CloudFormation",
        By::Untold => "not told by what",
    };
    match entity {
        Some(entity) => format!("{property} ({by} {entity})"),
        None => format!("{property} ({by})"),
    }
}

/// The first substitutions of each stack, and how many there are.
pub(super) fn substituted(all: &[Substituted]) -> String {
    let mut text = String::new();
    if all.is_empty() {
        return text;
    }
    text.push_str("\n  substitutions of the portable forms\n");
    for Substituted { stack, nested, substitutions, untold } in all {
        let nested = nested.as_ref().map(|it| format!("/{it}")).unwrap_or_default();
        if let Some(why) = untold {
            line(&mut text, 4, 6, Some((bad, "not told:")), &format!("{stack}: {why}"));
            continue;
        }
        let hidden = substitutions.len().saturating_sub(MAX_SUBSTITUTIONS);
        let rest = if hidden > 0 {
            format!(", the first {MAX_SUBSTITUTIONS} (`--output json` has all)")
        } else {
            String::new()
        };
        line(&mut text, 4, 6, None, &format!("{stack}{nested}: {}{rest}", count(substitutions.len(), "substitution")));
        for Replaced { place, from, to } in substitutions.iter().take(MAX_SUBSTITUTIONS) {
            line(&mut text, 6, 8, None, place);
            line(&mut text, 8, 11, None, &format!("{from} -> {to}"));
        }
    }
    text
}

/// Writes words in lines of a terminal's width, all but the first deeper, behind a word of ours in its colour. A word that
/// is longer stands by itself.
fn line(text: &mut String, first: usize, next: usize, head: Option<Head<'_>>, words: &str) {
    let mut width = first;
    text.push_str(&" ".repeat(first));
    if let Some((paint, head)) = head {
        let _ = write!(text, "{} ", paint(head));
        width += head.chars().count() + 1;
    }
    let mut is_first = true;
    for word in plain(words).split_whitespace() {
        let more = word.chars().count();
        if !is_first && width + 1 + more > COLUMNS {
            let _ = write!(text, "\n{}", " ".repeat(next));
            width = next;
        } else if !is_first {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += more;
        is_first = false;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
