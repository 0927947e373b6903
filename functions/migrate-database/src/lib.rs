//! Brings a stage's databases to the commit's migrations with Flyway, and compares their schemas with the tested ones.
//!
//! It is asked twice in a promotion: before anything is applied, for a look that changes nothing ([`check`]), and at its
//! turn, to migrate ([`migrate`]). Databases are never rolled back: on a way back it only compares. Between promotions
//! `watch-drift` asks it to compare ([`watch`]).

pub mod check;
pub mod files;
pub mod migrate;
pub mod parity;
mod pending;
pub mod secret;
pub mod watch;

use std::time::Duration;

use aws_config::SdkConfig;
use gatekeeper_aws::lambda::{FunctionError, Invocation};
use gatekeeper_database::{Limits, Tools};
use gatekeeper_model::telemetry::{Clock, chain};
use gatekeeper_promotion::{
    database_check::{DatabaseCheckAnswer, DatabaseCheckEvent, ParityAnswer, ParityEvent},
    facts::DatabaseFacts,
    step::StepAnswer,
};
use gatekeeper_store::ReadStore;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// So long before the invocation's end the last tool is ended, so that there is time to answer.
const TO_ANSWER: Duration = Duration::from_secs(10);
/// So long before the invocation's end Flyway is ended, so that there is time to look at what it left, and to compare.
const TO_COMPARE: Duration = Duration::from_secs(20);
/// With less time than that no further database is begun.
const LEAST_FOR_A_DATABASE: Duration = Duration::from_mins(1);
/// So much earlier PostgreSQL itself ends a statement: then Flyway tells which one it was.
const BEFORE_THE_TOOL: Duration = Duration::from_secs(10);
/// The least time that a tool gets: what was asked too late fails by it rather than at once.
const LEAST: Duration = Duration::from_secs(2);
/// The longest that a look may take: `promote` waits for it.
const LONGEST_LOOK: Duration = Duration::from_mins(1);

/// The step and what it needs.
#[derive(Debug)]
pub struct Step<S> {
    /// What CI writes: migrations and snapshots.
    pub artefacts: S,
    /// Where the promotions' records are.
    pub records: S,
    /// The configuration of the gatekeeper's own account.
    pub config: SdkConfig,
    /// Flyway, `psql` and `pg_dump`.
    pub tools: Tools,
    /// The present.
    pub clock: Clock,
}

/// What it answers: to a look, or as a step.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a look.
    Check(DatabaseCheckAnswer),
    /// How schemas compare.
    Parity(ParityAnswer),
    /// As a step.
    Step(StepAnswer<DatabaseFacts>),
}

/// Why something could not be done, where that is no verdict: it may be asked again.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

impl<S: ReadStore> Step<S> {
    /// Looks, compares, or does the step, as far as the invocation's time allows.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event is neither of a question nor a step's; `StepError` where something could not be
    /// looked at, and it may be asked again.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Result<Answer, FunctionError> {
        let invalid = |error| FunctionError::new("InvalidStepInput", error);
        let answer = if event.get("check").is_some() {
            let DatabaseCheckEvent { check } = serde_json::from_value(event).map_err(invalid)?;
            self.check(&check, invocation).await.map(Answer::Check)
        } else if event.get("parity").is_some() {
            let ParityEvent { parity } = serde_json::from_value(event).map_err(invalid)?;
            self.compare(&parity, invocation).await.map(Answer::Parity)
        } else {
            return self.migrate(event, invocation).await.map(Answer::Step);
        };
        answer.map_err(|error| FunctionError::new("StepError", chain(&*error)))
    }

    /// The time until the invocation's end.
    fn left(&self, deadline: Timestamp) -> Duration {
        Duration::try_from(deadline.duration_since((self.clock)())).unwrap_or_default()
    }

    /// The limits of a tool that only looks.
    fn limits_of_a_look(&self, invocation: &Invocation) -> Limits {
        let limits = self.limits(invocation.deadline, TO_ANSWER);
        Limits { tool: limits.tool.min(LONGEST_LOOK), statement: limits.statement.min(LONGEST_LOOK), ..limits }
    }

    /// The limits of a tool that is started now and must leave `reserve` before the invocation's `deadline`.
    fn limits(&self, deadline: Timestamp, reserve: Duration) -> Limits {
        let tool = self.left(deadline).saturating_sub(reserve).max(LEAST);
        let statement = tool.saturating_sub(BEFORE_THE_TOOL).max(LEAST);
        let usual = Limits::default();
        Limits { tool, statement, lock: usual.lock.min(statement), other_flyway: usual.other_flyway.min(tool / 2) }
    }
}
