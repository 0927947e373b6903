//! What tests come to, and how many came to each end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a test came to. Every case of every report is one of these; docs/reports.md has the rule for each producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran and passed at once.
    Passed,
    /// It ran and failed, or could not be run: a file whose import failed is one.
    Failed,
    /// It was left out on purpose: skipped, pending, disabled, ignored.
    Skipped,
    /// It is still to be written, or to be mended.
    Todo,
    /// It failed as it was said to.
    ExpectedFailure,
    /// It passed on a retry.
    Flaky,
    /// It was chosen to run and did not.
    NotRun,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Passed, Self::Failed, Self::Skipped, Self::Todo, Self::ExpectedFailure, Self::Flaky, Self::NotRun];

    /// Its word in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Todo => "todo",
            Self::ExpectedFailure => "expected-failure",
            Self::Flaky => "flaky",
            Self::NotRun => "not-run",
        }
    }

    /// Its figure's name in the manifest.
    #[must_use]
    pub fn figure(self) -> &'static str {
        match self {
            Self::ExpectedFailure => "expected_failures",
            Self::NotRun => "not_run",
            other => other.as_str(),
        }
    }

    /// What is said of tests that came to it, behind their number.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "were skipped",
            Self::Todo => "are still to do",
            Self::ExpectedFailure => "failed as expected",
            Self::Flaky => "passed on a retry only",
            Self::NotRun => "did not run",
        }
    }
}

/// How many tests came to each end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// [`Outcome::Passed`].
    pub passed: u64,
    /// [`Outcome::Failed`].
    pub failed: u64,
    /// [`Outcome::Skipped`].
    pub skipped: u64,
    /// [`Outcome::Todo`].
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub todo: u64,
    /// [`Outcome::ExpectedFailure`].
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub expected_failures: u64,
    /// [`Outcome::Flaky`].
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub flaky: u64,
    /// [`Outcome::NotRun`].
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub not_run: u64,
    /// Tests that a header tells of and no case shows, where nothing says what became of them.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub unexplained: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        for outcome in Outcome::ALL {
            self.add(outcome, other.of(outcome));
        }
        self.unexplained = self.unexplained.saturating_add(other.unexplained);
        self
    }

    /// How many came to this end.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Passed => self.passed,
            Outcome::Failed => self.failed,
            Outcome::Skipped => self.skipped,
            Outcome::Todo => self.todo,
            Outcome::ExpectedFailure => self.expected_failures,
            Outcome::Flaky => self.flaky,
            Outcome::NotRun => self.not_run,
        }
    }

    fn of_mut(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Passed => &mut self.passed,
            Outcome::Failed => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Todo => &mut self.todo,
            Outcome::ExpectedFailure => &mut self.expected_failures,
            Outcome::Flaky => &mut self.flaky,
            Outcome::NotRun => &mut self.not_run,
        }
    }

    /// More tests of this end.
    pub fn add(&mut self, outcome: Outcome, more: u64) {
        let count = self.of_mut(outcome);
        *count = count.saturating_add(more);
    }

    /// Takes up to `most` tests from one end to another, and answers how many there were to take.
    pub fn shift(&mut self, from: Outcome, to: Outcome, most: u64) -> u64 {
        let shifted = most.min(self.of(from));
        *self.of_mut(from) -= shifted;
        self.add(to, shifted);
        shifted
    }

    /// How many tests passed, at once or on a retry.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passed.saturating_add(self.flaky)
    }

    /// The same in the words of who knows three ends only: what passed in the end has passed, and what proved nothing
    /// was skipped.
    #[must_use]
    pub fn in_three(&self) -> Self {
        let skipped = [self.skipped, self.todo, self.expected_failures, self.not_run];
        Self {
            passed: self.passes(),
            failed: self.failed,
            skipped: skipped.into_iter().fold(0, u64::saturating_add),
            ..Self::default()
        }
    }

    /// One run that was written down twice: what both show, where neither tells what the other doesn't allow. One format
    /// may show as passed what another shows as flaky or as an expected failure, and as skipped what another shows as
    /// to do or not run.
    #[must_use]
    pub fn same_run(&self, other: &Self) -> Option<Self> {
        let green = |it: &Self| it.passes().saturating_add(it.expected_failures);
        let left_out = |it: &Self| it.skipped.saturating_add(it.todo).saturating_add(it.not_run);
        let agree = green(self) == green(other) && self.failed == other.failed && left_out(self) == left_out(other);
        let (flaky, expected_failures) =
            (self.flaky.max(other.flaky), self.expected_failures.max(other.expected_failures));
        let (todo, not_run) = (self.todo.max(other.todo), self.not_run.max(other.not_run));
        agree.then(|| Self {
            passed: green(self).saturating_sub(flaky).saturating_sub(expected_failures),
            failed: self.failed,
            skipped: left_out(self).saturating_sub(todo).saturating_sub(not_run),
            todo,
            expected_failures,
            flaky,
            not_run,
            unexplained: self.unexplained.max(other.unexplained),
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)?;
        for (count, word) in [
            (self.todo, "to do"),
            (self.expected_failures, "failed as expected"),
            (self.flaky, "flaky"),
            (self.not_run, "not run"),
            (self.unexplained, "unexplained"),
        ] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}
