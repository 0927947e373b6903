//! What the state machine hands to a step and what the step answers.
//!
//! A step looks at what is there, does what is missing, and answers; where AWS is still at work it answers
//! `in-progress` and is asked again, with its own reports as `progress`. Killed and started again it ends the same.

use gatekeeper_model::ids::{PromotionId, Repo, StageName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the promoted commit.
    Forward,
    /// Back to the one before, because the promoted one failed.
    Back,
}

/// What the state machine hands to `apply-stack`, `deploy-function` and `smoke-test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInput {
    /// Which promotion it is.
    pub promotion: PromotionRef,
    /// Which of its plans.
    pub direction: Direction,
    /// What the step answered before, where it is asked again.
    #[serde(default)]
    pub progress: Vec<Report>,
}

/// What a step answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAnswer {
    /// How far it is.
    pub status: StepStatus,
    /// When to ask again, in seconds, while it is in progress.
    pub wait_seconds: u64,
    /// One report for each thing that it has begun, in order.
    pub progress: Vec<Report>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// AWS is still at work: ask again.
    InProgress,
    /// All of it is there.
    Done,
    /// It can't be done; a report says why.
    Failed,
}

/// What became of one stack, function or check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
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
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

/// What became of one stack, function or check.
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

impl Report {
    /// A report on something that begins now.
    #[must_use]
    pub fn begun(subject: impl Into<String>, now: Timestamp) -> Self {
        Self {
            subject: subject.into(),
            status: ReportStatus::InProgress,
            detail: String::new(),
            started_at: now,
            ended_at: None,
            facts: Map::new(),
        }
    }

    /// The same, ended.
    #[must_use]
    pub fn ended(mut self, status: ReportStatus, detail: impl Into<String>, now: Timestamp) -> Self {
        self.status = status;
        self.detail = detail.into();
        self.ended_at = Some(now);
        self
    }

    /// The same with one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

impl StepAnswer {
    /// The answer that these reports amount to: failed where one has failed, in progress where one isn't ended or
    /// not all `expected` have begun.
    #[must_use]
    pub fn of(progress: Vec<Report>, expected: usize, wait_seconds: u64) -> Self {
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
