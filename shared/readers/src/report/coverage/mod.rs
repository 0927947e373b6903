//! Coverage reports: how many lines and functions there are, and how many of them ran.

pub(super) mod istanbul;
pub(super) mod lcov;

use serde::{Deserialize, Serialize};

/// What a coverage report shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Its lines.
    pub lines: Covered,
    /// Its functions.
    pub functions: Covered,
    /// What the report contradicts itself in. Each is a reason not to believe it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// How many of something ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// How many ran.
    pub covered: u64,
    /// How many there are.
    pub total: u64,
}

impl Covered {
    /// How many ran in percent, from 0 to 100; `None` where there is nothing to run.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no report has 2^53 lines")]
    pub fn percent(self) -> Option<f64> {
        (self.total > 0).then(|| self.covered as f64 * 100.0 / self.total as f64)
    }

    fn one(&mut self, has_run: bool) {
        self.add(Self { covered: u64::from(has_run), total: 1 });
    }

    fn add(&mut self, other: Self) {
        self.covered = self.covered.saturating_add(other.covered);
        self.total = self.total.saturating_add(other.total);
    }
}

#[cfg(test)]
mod tests;
