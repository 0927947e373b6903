//! The suites of tests that a manifest has figures of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A suite that the manifest has figures of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// The unit and contract tests, which are one step (ADR-053 CI step 2).
    Unit,
    /// The policy tests (ADR-053 CI step 3).
    Policy,
    /// The integration tests (ADR-053 CI step 9).
    Integration,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unit, Self::Policy, Self::Integration];

    /// The suite that a report of this word (`reports[].suite`) tells of; `None` where the manifest has no figures
    /// of it.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "unit" | "contract" => Self::Unit,
            "policy" => Self::Policy,
            "integration" => Self::Integration,
            _ => return None,
        })
    }

    /// Its name under `tests` in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Policy => "policy",
            Self::Integration => "integration",
        }
    }
}

/// The exit codes of the processes that ran the suites, as far as they are told.
pub type ExitCodes = BTreeMap<Suite, i32>;
