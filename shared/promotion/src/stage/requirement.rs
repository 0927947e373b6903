//! What a commit must be to be promoted to a stage.

use std::{collections::BTreeMap, fmt, str::FromStr};

use gatekeeper_model::ids::StageName;
use serde::{Deserialize, Serialize};

use super::Stage;

/// What a commit must be to be promoted to a stage. It must be Built in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^(built|deployed:[a-z][a-z0-9-]{0,31})$")))]
#[serde(try_from = "String", into = "String")]
pub enum Requirement {
    /// `built`: its verdict is `built`, no more.
    #[default]
    Built,
    /// `deployed:{stage}`: it was promoted to that stage, and not rolled back there since.
    Deployed(StageName),
}

/// A text that is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a requirement: it is `built`, or `deployed:` and a stage")]
pub struct InvalidRequirement(String);

impl FromStr for Requirement {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, InvalidRequirement> {
        let stage = text.strip_prefix("deployed:").map(StageName::from_str);
        match (text, stage) {
            ("built", _) => Ok(Self::Built),
            (_, Some(Ok(stage))) => Ok(Self::Deployed(stage)),
            _ => Err(InvalidRequirement(text.chars().take(100).collect())),
        }
    }
}

impl TryFrom<String> for Requirement {
    type Error = InvalidRequirement;

    fn try_from(text: String) -> Result<Self, InvalidRequirement> {
        text.parse()
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.to_string()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Built => f.write_str("built"),
            Self::Deployed(stage) => write!(f, "deployed:{stage}"),
        }
    }
}

/// Whether every stage that is required is configured, and none requires itself by a way round.
pub(super) fn check(stages: &BTreeMap<StageName, Stage>) -> Result<(), String> {
    for first in stages.keys() {
        let mut seen = vec![first];
        let mut at = first;
        while let Some(Requirement::Deployed(next)) = stages.get(at).map(|stage| &stage.requires) {
            if !stages.contains_key(next) {
                return Err(format!("`requires` of `{at}` names the stage `{next}`, which is not configured"));
            }
            let circle = seen.contains(&next);
            seen.push(next);
            if circle {
                let names: Vec<_> = seen.iter().map(|name| format!("`{name}`")).collect();
                return Err(format!("`requires` goes round in a circle: {}", names.join(", ")));
            }
            at = next;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_reads_back_and_anything_else_is_refused() {
        for text in ["built", "deployed:uat", "deployed:pre-prod"] {
            assert_eq!(text.parse::<Requirement>().unwrap().to_string(), text);
        }
        let refused = ["", "Built", "deployed", "deployed:", "deployed:UAT", "deployed: uat", "tested:a"];
        for text in refused {
            assert!(text.parse::<Requirement>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn stages_are_a_chain_and_no_circle() {
        let stages = |rules: &[(&str, &str)]| -> BTreeMap<StageName, Stage> {
            let stage = |requires: &str| serde_json::from_value(serde_json::json!({"requires": requires})).unwrap();
            rules.iter().map(|(name, requires)| (name.parse().unwrap(), stage(requires))).collect()
        };
        let chain = [("uat", "built"), ("pre", "deployed:uat"), ("prod", "deployed:pre"), ("dr", "deployed:pre")];
        assert_eq!(check(&stages(&chain)), Ok(()));
        let circle = stages(&[("a", "deployed:b"), ("b", "deployed:c"), ("c", "deployed:a")]);
        insta::assert_snapshot!(check(&circle).unwrap_err(), @"`requires` goes round in a circle: `a`, `b`, `c`, `a`");
        let into_it = stages(&[("a", "deployed:b"), ("b", "deployed:c"), ("c", "deployed:b")]);
        insta::assert_snapshot!(check(&into_it).unwrap_err(), @"`requires` goes round in a circle: `a`, `b`, `c`, `b`");
    }
}
