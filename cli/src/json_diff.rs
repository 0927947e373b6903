//! What differs between two JSON documents, by the path of each member.

use serde::Serialize;
use serde_json::Value;

use crate::{
    layout::cut,
    output::{bad, good, open},
};

/// How much of a value is shown.
const SHOWN: usize = 60;

/// A member that is not the same in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    pub(crate) path: String,
    /// What it was; `None` where it was not there.
    pub(crate) from: Option<Value>,
    /// What it is; `None` where it is not there.
    pub(crate) to: Option<Value>,
}

/// Everything that differs, in the order of the paths. Lists are compared as a whole.
pub(crate) fn differences(from: &Value, to: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(from), Some(to), &mut found);
    found
}

fn compare(path: String, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<Difference>) {
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let mut names: Vec<_> = from.keys().chain(to.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, from.get(name), to.get(name), found);
            }
        }
        (from, to) if from == to => {}
        (from, to) => found.push(Difference { path, from: from.cloned(), to: to.cloned() }),
    }
}

/// A difference a line.
pub(crate) fn text(differences: &[Difference], indent: usize) -> String {
    let lines = differences.iter().map(|Difference { path, from, to }| {
        let shown = |value: &Value| cut(&value.to_string(), SHOWN);
        let line = match (from, to) {
            (None, Some(to)) => format!("{} {path}: {}", good("+"), shown(to)),
            (Some(from), None) => format!("{} {path}: {}", bad("-"), shown(from)),
            (Some(from), Some(to)) => {
                let whole = format!("{} → {}", shown(from), shown(to));
                if path.chars().count() + whole.chars().count() + indent + 4 <= crate::layout::WIDTH {
                    format!("{} {path}: {whole}", open("~"))
                } else {
                    let gap = indent + 4;
                    format!("{} {path}:\n{:gap$}{}\n{:gap$}→ {}", open("~"), "", shown(from), "", shown(to))
                }
            }
            (None, None) => String::new(),
        };
        format!("{:indent$}{line}\n", "")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_that_came_went_and_changed_are_told_by_their_paths() {
        let from = json!({"stages": {"uat": {"soak_minutes": 5, "smoke": [1]}, "old": {}}});
        let to = json!({"stages": {"uat": {"soak_minutes": 10, "smoke": [1], "approvals": 2},
                        "prod": {"requires": "deployed:uat"}}});
        let text = anstream::adapter::strip_str(&text(&differences(&from, &to), 2)).to_string();
        insta::assert_snapshot!(text, @r#"
          - stages.old: {}
          + stages.prod: {"requires":"deployed:uat"}
          + stages.uat.approvals: 2
          ~ stages.uat.soak_minutes: 5 → 10
        "#);
        assert_eq!(differences(&to, &to), []);
    }
}
