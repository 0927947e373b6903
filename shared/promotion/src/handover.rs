//! What the state machine carries: what each step answered last, and why a step failed without an answer. It hands all
//! of it to `record-promotion`, whose answer tells it where to go.

use serde::{Deserialize, Serialize};

use crate::{
    facts::{DatabaseFacts, FunctionFacts, RunFacts, SmokeFacts, StackFacts, StepFacts},
    record::{Status, StepRecord},
    step::{Direction, PromotionRef, Report, ReportStatus, Step, StepAnswer, StepStatus},
};

/// What each step answered, as far as it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Which promotion it is.
    pub promotion: PromotionRef,
    /// Which of its plans was applied.
    pub direction: Direction,
    /// What `apply-stack` answered last; in progress without reports where it was never asked.
    pub stacks: StepAnswer<StackFacts>,
    /// What `deploy-function` answered last; in progress without reports where it was never asked.
    pub functions: StepAnswer<FunctionFacts>,
    /// What `migrate-database` answered last; in progress without reports where it was never asked.
    pub databases: StepAnswer<DatabaseFacts>,
    /// What `judge-run` answered last; in progress without reports where it was never asked. An execution of before there was
    /// such a step doesn't tell it.
    #[serde(default = "never_asked")]
    pub runs: StepAnswer<RunFacts>,
    /// What `smoke-test` answered last; in progress without reports where it was never asked.
    pub smoke: StepAnswer<SmokeFacts>,
    /// What Step Functions caught, where a step failed without an answer.
    pub error: Option<Caught>,
}

/// An error as Step Functions catches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Caught {
    /// Its type.
    pub error: String,
    /// What it says.
    #[serde(default)]
    pub cause: String,
}

/// What the state machine gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordAnswer {
    /// What became of the promotion; `going-back` asks for the steps again in the other direction.
    pub status: Status,
    /// Why it failed, in one line.
    pub cause: String,
}

impl Step {
    /// The field of a [`Handover`] that carries its answer.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::ApplyStack => "stacks",
            Self::DeployFunction => "functions",
            Self::MigrateDatabase => "databases",
            Self::JudgeRun => "runs",
            Self::SmokeTest => "smoke",
        }
    }
}

impl Handover {
    /// Whether every step is done that is asked of a plan with or without a part that a runner carries out.
    #[must_use]
    pub fn is_done(&self, has_runs: bool) -> bool {
        Step::asked(has_runs).all(|step| self.status(step) == StepStatus::Done)
    }

    /// Why the steps failed, in one line; `None` where all are done.
    #[must_use]
    pub fn failure(&self, has_runs: bool) -> Option<String> {
        let step = Step::asked(has_runs).find(|step| self.status(*step) != StepStatus::Done)?;
        let mut reasons = match step {
            Step::ApplyStack => failures(&self.stacks),
            Step::DeployFunction => failures(&self.functions),
            Step::MigrateDatabase => failures(&self.databases),
            Step::JudgeRun => failures(&self.runs),
            Step::SmokeTest => failures(&self.smoke),
        };
        if let Some(caught) = &self.error {
            reasons.push(format!("{}: {}", caught.error, caught.cause));
        }
        Some(format!("{step} failed: {}", reasons.join("; ")))
    }

    /// The steps in their order with what they answered, as they are recorded. What was caught is told of the first one
    /// that isn't done.
    ///
    /// # Errors
    /// Where a fact is nothing that JSON has.
    pub fn step_records(&self, has_runs: bool) -> Result<Vec<StepRecord>, serde_json::Error> {
        let mut caught = self.error.as_ref().map(|it| format!("{}: {}", it.error, it.cause));
        let mut steps = Vec::new();
        for step in Step::asked(has_runs) {
            let error = if self.status(step) == StepStatus::Done { None } else { caught.take() };
            steps.extend(match step {
                Step::ApplyStack => step_record(self.direction, &self.stacks, error)?,
                Step::DeployFunction => step_record(self.direction, &self.functions, error)?,
                Step::MigrateDatabase => step_record(self.direction, &self.databases, error)?,
                Step::JudgeRun => step_record(self.direction, &self.runs, error)?,
                Step::SmokeTest => step_record(self.direction, &self.smoke, error)?,
            });
        }
        Ok(steps)
    }

    fn status(&self, step: Step) -> StepStatus {
        match step {
            Step::ApplyStack => self.stacks.status,
            Step::DeployFunction => self.functions.status,
            Step::MigrateDatabase => self.databases.status,
            Step::JudgeRun => self.runs.status,
            Step::SmokeTest => self.smoke.status,
        }
    }
}

/// What is carried of a step that nobody asked.
fn never_asked<F>() -> StepAnswer<F> {
    StepAnswer { status: StepStatus::InProgress, wait_seconds: 0, progress: Vec::new() }
}

fn failures<F>(answer: &StepAnswer<F>) -> Vec<String> {
    let failed = answer.progress.iter().filter(|it| it.status == ReportStatus::Failed);
    failed.map(|report: &Report<F>| format!("`{}`: {}", report.subject, report.detail)).collect()
}

/// A step as it is recorded; `None` where it was never asked.
fn step_record<F: StepFacts>(
    direction: Direction,
    answer: &StepAnswer<F>,
    error: Option<String>,
) -> Result<Option<StepRecord>, serde_json::Error> {
    let was_asked = answer.status == StepStatus::Done || error.is_some() || !answer.progress.is_empty();
    was_asked.then(|| StepRecord::of(direction, &answer.progress, error)).transpose()
}
