//! In which order the stacks of a commit can be applied: an export has to be there before it is imported.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, StackName},
    manifest::{Manifest, Stack},
    store_key::ArtefactPath,
};

use super::{ExportName, Handed};

/// Why a stack needs another one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need<'a> {
    /// Whether it is said, by `depends_on` or by whoever synthesised it.
    pub is_said: bool,
    /// What it imports of it.
    pub imports: BTreeSet<&'a ExportName>,
}

/// What each stack needs first, by the name that it is called by here.
pub type Needs<'a, K> = BTreeMap<K, BTreeMap<K, Need<'a>>>;

/// What each stack needs first because it imports an export of it, itself too.
#[must_use]
pub fn imported<'a, K: Ord + Copy>(stacks: &[(K, &'a Handed)]) -> Needs<'a, K> {
    let mut exporters: BTreeMap<&ExportName, BTreeSet<K>> = BTreeMap::new();
    for (stack, handed) in stacks {
        for name in &handed.exports {
            exporters.entry(name).or_default().insert(*stack);
        }
    }
    let mut needs: Needs<'a, K> = BTreeMap::new();
    for (stack, handed) in stacks {
        let needs = needs.entry(*stack).or_default();
        for name in &handed.imports {
            for exporter in exporters.get(name).into_iter().flatten() {
                needs.entry(*exporter).or_default().imports.insert(name);
            }
        }
    }
    needs
}

/// The stacks in an order in which each comes after what it needs; of those that could come next, the one that comes
/// first in `stacks` does.
///
/// # Errors
/// The stacks that need each other in a circle or are behind one.
pub fn in_order<K: Ord + Copy>(stacks: &[K], needs: &Needs<'_, K>) -> Result<Vec<K>, Vec<K>> {
    let (mut open, mut done): (Vec<K>, Vec<K>) = (stacks.to_vec(), Vec::new());
    while !open.is_empty() {
        let is_next = |stack: &K| {
            let before = needs.get(stack).into_iter().flat_map(BTreeMap::keys);
            before.filter(|it| *it != stack).all(|it| !open.contains(it))
        };
        match open.iter().position(is_next) {
            Some(at) => done.push(open.remove(at)),
            None => return Err(open),
        }
    }
    Ok(done)
}

/// A circle of stacks that need each other, each followed by one that it needs; `None` where `stacks` can be applied.
#[must_use]
pub fn circle<K: Ord + Copy>(stacks: &[K], needs: &Needs<'_, K>) -> Option<Vec<K>> {
    let stuck = in_order(stacks, needs).err()?;
    let mut way: Vec<K> = stuck.first().copied().into_iter().collect();
    loop {
        let last = way.last()?;
        let next = needs.get(last)?.keys().find(|it| *it != last && stuck.contains(it))?;
        if let Some(at) = way.iter().position(|it| it == next) {
            return Some(way.split_off(at));
        }
        way.push(*next);
    }
}

/// Holds the manifest's order of stacks, which is that of a promotion, against what the stacks need: by `depends_on`,
/// and by what their templates hand to each other.
#[must_use]
pub fn check(manifest: &Manifest, handed: &BTreeMap<&StackName, &Handed>) -> Vec<Finding> {
    let commit = Commit { repo: manifest.repo.clone(), sha: manifest.commit_sha.clone() };
    let mut listed: Vec<(&StackName, &Stack, String)> = Vec::new();
    for module in &manifest.modules {
        for stack in &module.stacks {
            let key = ArtefactPath::Template(module.id.clone(), stack.name.clone()).of(&commit);
            listed.push((&stack.name, stack, key));
        }
    }
    let names: Vec<_> = listed.iter().map(|(name, ..)| *name).collect();
    let told: Vec<_> = names.iter().filter_map(|name| Some((*name, *handed.get(name)?))).collect();
    let mut needs = imported(&told);
    let mut findings = Vec::new();
    for (name, stack, key) in &listed {
        let needs = needs.entry(name).or_default();
        if let Some(own) = needs.remove(name) {
            let message = format!(
                "it imports {}, which it exports itself and which is not there before it: refer to the resource instead",
                spelt(&own)
            );
            findings.push(Finding::new(Code::StackOrderInvalid, key.as_str(), message));
        }
        for before in &stack.depends_on {
            if before == *name {
                let message = "`depends_on` of the manifest names the stack itself";
                findings.push(Finding::new(Code::StackOrderInvalid, key.as_str(), message));
            } else if names.contains(&before) {
                needs.entry(before).or_default().is_said = true;
            } else {
                let message = format!("`depends_on` names the stack `{before}`, which the manifest does not list");
                findings.push(Finding::new(Code::UnknownReference, key.as_str(), message));
            }
        }
    }
    let (mut rest, mut circled) = (names.clone(), BTreeSet::new());
    while let Some(circle) = circle(&rest, &needs) {
        let next = circle.iter().cycle().skip(1);
        let each = circle.iter().zip(next).map(|(stack, next)| {
            let need = needs.get(stack).and_then(|it| it.get(next)).cloned().unwrap_or_default();
            format!("`{stack}` {}", why(&need, next))
        });
        let each: Vec<_> = each.collect();
        let key = listed.iter().find(|(name, ..)| circle.first() == Some(name)).map(|(.., key)| key.as_str());
        let message = format!(
            "stacks need each other in a circle, so none can be applied first: {}; move what they share into a stack of \
             its own",
            each.join(", ")
        );
        findings.push(Finding::new(Code::StackOrderInvalid, key.unwrap_or_default(), message));
        rest.retain(|name| !circle.contains(name));
        circled.extend(circle);
    }
    for (at, (name, _, key)) in listed.iter().enumerate() {
        let later = names.get(at..).unwrap_or_default();
        for (before, need) in needs.get(name).into_iter().flatten().filter(|(it, _)| later.contains(it)) {
            if circled.contains(name) && circled.contains(before) {
                continue;
            }
            let message = format!(
                "it {}, and the manifest lists it before that one, so it would be applied first: list `{before}` before \
                 `{name}`",
                why(need, before)
            );
            findings.push(Finding::new(Code::StackOrderInvalid, key.as_str(), message));
        }
    }
    findings.sort();
    findings
}

/// Why a stack needs `before`, in words.
fn why(need: &Need<'_>, before: &StackName) -> String {
    if need.imports.is_empty() {
        format!("has `{before}` in `depends_on`")
    } else {
        format!("imports {}, which stack `{before}` exports", spelt(need))
    }
}

fn spelt(need: &Need<'_>) -> String {
    let names: Vec<_> = need.imports.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
