//! Which stacks must be there before which: what the assembly says, and what one stack imports of another.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::ids::StackName;
use serde_json::Value;

use super::ReadStack;

/// The artifacts that each stack depends on.
pub(super) fn dependencies(stacks: &BTreeMap<String, ReadStack>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut exports = BTreeMap::new();
    for (artifact, stack) in stacks {
        for output in stack.template.get("Outputs").and_then(Value::as_object).into_iter().flat_map(|it| it.values()) {
            if let Some(name) = output.get("Export").and_then(|it| it.get("Name")) {
                exports.insert(name.to_string(), artifact.as_str());
            }
        }
    }
    let of_stack = |(artifact, stack): (&'_ String, &'_ ReadStack)| {
        let mut imported = BTreeSet::new();
        imports(&stack.template, &mut imported);
        let imported = imported.iter().filter_map(|name| exports.get(name).copied());
        let said = stack.dependencies.iter().filter_map(|it| stacks.get_key_value(it)).map(|(it, _)| it.as_str());
        said.chain(imported).filter(|it| it != artifact).collect::<BTreeSet<&str>>()
    };
    stacks.iter().map(|(artifact, stack)| (artifact.as_str(), of_stack((artifact, stack)))).collect()
}

/// The names that a template imports, as JSON.
fn imports(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("Fn::ImportValue").map(Value::to_string));
            members.values().for_each(|it| imports(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| imports(it, found)),
        _ => {}
    }
}

/// The artifacts in an order in which each comes after what it depends on; of those that could come next, the one whose
/// name is first does.
///
/// # Errors
/// The artifacts that are in a circle or behind one.
pub(super) fn in_order<'a>(
    depends_on: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    names: &BTreeMap<&str, StackName>,
) -> Result<Vec<&'a str>, Vec<&'a str>> {
    let mut open: Vec<&'a str> = depends_on.keys().copied().collect();
    open.sort_by_key(|it| (names.get(it), *it));
    let mut done = Vec::new();
    while !open.is_empty() {
        let is_next = |it: &&'a str| depends_on.get(it).is_none_or(|before| before.iter().all(|it| done.contains(it)));
        match open.iter().position(is_next) {
            Some(at) => done.push(open.remove(at)),
            None => return Err(open),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(depends_on: &[(&'static str, &[&'static str])]) -> Result<Vec<&'static str>, Vec<&'static str>> {
        let depends_on = depends_on.iter().map(|(it, before)| (*it, before.iter().copied().collect())).collect();
        in_order(&depends_on, &BTreeMap::new())
    }

    #[test]
    fn each_comes_after_what_it_depends_on_and_ties_go_by_name() {
        let stacks = [("Api", &["Data", "Events"] as &[_]), ("Data", &[]), ("Events", &["Data"]), ("Audit", &[])];
        assert_eq!(ordered(&stacks), Ok(vec!["Audit", "Data", "Events", "Api"]));
    }

    #[test]
    fn a_circle_has_no_order() {
        assert_eq!(ordered(&[("A", &["B"]), ("B", &["A"]), ("C", &[])]), Err(vec!["A", "B"]));
    }
}
