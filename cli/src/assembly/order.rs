//! Which stacks must be there before which: what the assembly says, and what one stack imports of another.

use std::collections::BTreeMap;

use gatekeeper_readers::template::{order, order::Needs};

use super::ReadStack;

/// What each stack needs, by artifact.
pub(super) fn needs(stacks: &BTreeMap<String, ReadStack>) -> Needs<'_, &str> {
    let handed: Vec<_> = stacks.iter().map(|(artifact, stack)| (artifact.as_str(), &stack.handed)).collect();
    let mut needs = order::imported(&handed);
    for (artifact, stack) in stacks {
        let needs = needs.entry(artifact).or_default();
        for (before, _) in stack.dependencies.iter().filter_map(|it| stacks.get_key_value(it)) {
            needs.entry(before).or_default().is_said = true;
        }
        needs.remove(artifact.as_str());
    }
    needs
}
