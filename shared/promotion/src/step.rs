//! What the state machine hands to a step and what the step answers.
//!
//! A step looks at what is there, does what is missing, and answers; where AWS is still at work it answers
//! `in-progress` and is asked again, with its own reports as `progress`. Killed and started again it ends the same.

use gatekeeper_model::ids::{PromotionId, Repo, StageName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::{StepFacts, StoredFacts};

/// A step that applies a part of a plan. There is a type of facts for each: [`StepFacts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Applies the templates.
    ApplyStack,
    /// Deploys the bundles.
    DeployFunction,
    /// Migrates the databases, and compares their schemas.
    MigrateDatabase,
    /// Waits for what a runner carries out, and judges it. Asked where the plan has such a part.
    JudgeRun,
    /// Asks what must answer afterwards.
    SmokeTest,
}

impl Step {
    /// Every step, in the order in which they are asked.
    pub const ALL: [Self; 5] =
        [Self::ApplyStack, Self::DeployFunction, Self::MigrateDatabase, Self::JudgeRun, Self::SmokeTest];

    /// Every step that is asked of a plan with or without a part that a runner carries out.
    pub fn asked(has_runs: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |step| has_runs || *step != Self::JudgeRun)
    }

    /// Its name, that of its function.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplyStack => "apply-stack",
            Self::DeployFunction => "deploy-function",
            Self::MigrateDatabase => "migrate-database",
            Self::JudgeRun => "judge-run",
            Self::SmokeTest => "smoke-test",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which promotion it is; its plan lies in its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionRef {
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The promotion.
    pub promotion_id: PromotionId,
}

/// Whether the promotion's own plan is applied or that of the commit before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the promoted commit.
    Forward,
    /// Back to the one before, because the promoted one failed.
    Back,
}

/// What the state machine hands to a step that tells `F`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: Default + PartialEq + Serialize", deserialize = "F: Default + Deserialize<'de>"))]
pub struct StepInput<F = StoredFacts> {
    /// Which promotion it is.
    pub promotion: PromotionRef,
    /// Which of its plans.
    pub direction: Direction,
    /// What the step answered before, where it is asked again.
    #[serde(default)]
    pub progress: Vec<Report<F>>,
}

/// What a step that tells `F` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: Default + PartialEq + Serialize", deserialize = "F: Default + Deserialize<'de>"))]
pub struct StepAnswer<F = StoredFacts> {
    /// How far it is.
    pub status: StepStatus,
    /// When to ask again, in seconds, while it is in progress.
    pub wait_seconds: u64,
    /// One report for each thing that it has begun, in order.
    pub progress: Vec<Report<F>>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// AWS is still at work: ask again.
    InProgress,
    /// All of it is there.
    Done,
    /// It can't be done; a report says why.
    Failed,
}

/// What became of one stack, function, database or check, with the facts of its step: as one of [`StepFacts`] where a
/// step tells them, as [`StoredFacts`] in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: Default + PartialEq + Serialize", deserialize = "F: Default + Deserialize<'de>"))]
pub struct Report<F = StoredFacts> {
    /// Which one: the stack's, function's or check's name.
    pub subject: String,
    /// What became of it.
    pub status: ReportStatus,
    /// The same in words: what was done or why not.
    pub detail: String,
    /// When the step began it.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Figures and names that prove it, such as `code_sha256`.
    #[serde(default, skip_serializing_if = "are_none")]
    pub facts: F,
}

/// Whether no facts are told.
fn are_none<F: Default + PartialEq>(facts: &F) -> bool {
    *facts == F::default()
}

/// What became of one stack, function, database or check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportStatus {
    /// AWS is at work on it.
    InProgress,
    /// It was changed to what the plan says.
    Applied,
    /// It was so already.
    Unchanged,
    /// It answered as expected.
    Passed,
    /// It failed.
    Failed,
}

impl<F: Default> Report<F> {
    /// A report on something that begins now.
    #[must_use]
    pub fn begun(subject: impl Into<String>, now: Timestamp) -> Self {
        Self {
            subject: subject.into(),
            status: ReportStatus::InProgress,
            detail: String::new(),
            started_at: now,
            ended_at: None,
            facts: F::default(),
        }
    }
}

impl<F> Report<F> {
    /// The same, ended.
    #[must_use]
    pub fn ended(mut self, status: ReportStatus, detail: impl Into<String>, now: Timestamp) -> Self {
        self.status = status;
        self.detail = detail.into();
        self.ended_at = Some(now);
        self
    }

    /// The same with other facts.
    #[must_use]
    pub fn with<G>(self, facts: G) -> Report<G> {
        let Self { subject, status, detail, started_at, ended_at, facts: _ } = self;
        Report { subject, status, detail, started_at, ended_at, facts }
    }
}

impl<F: StepFacts> Report<F> {
    /// The same as it is stored.
    ///
    /// # Errors
    /// Where its facts are nothing that JSON has.
    pub fn stored(&self) -> Result<Report, serde_json::Error> {
        let facts = StoredFacts::of(&self.facts)?;
        Ok(self.clone().with(facts))
    }
}

impl<F> StepAnswer<F> {
    /// The answer that these reports amount to: failed where one has failed, in progress where one isn't ended or
    /// not all `expected` have begun.
    #[must_use]
    pub fn of(progress: Vec<Report<F>>, expected: usize, wait_seconds: u64) -> Self {
        let any = |status| progress.iter().any(|report| report.status == status);
        let status = if any(ReportStatus::Failed) {
            StepStatus::Failed
        } else if any(ReportStatus::InProgress) || progress.len() < expected {
            StepStatus::InProgress
        } else {
            StepStatus::Done
        };
        Self { status, wait_seconds, progress }
    }
}
