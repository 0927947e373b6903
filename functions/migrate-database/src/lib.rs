//! Brings a stage's databases to the commit's migrations with Flyway, and compares their schemas with the tested ones.
//!
//! It is asked twice in a promotion: before anything is applied, for a look that changes nothing ([`check`]), and at its
//! turn, to migrate ([`migrate`]). Databases are never rolled back: on a way back it only compares.

pub mod check;
pub mod files;
pub mod migrate;
pub mod parity;
pub mod secret;

use std::time::Duration;

use aws_config::SdkConfig;
use gatekeeper::{
    aws::lambda::{FunctionError, Invocation},
    database::{Limits, Tools},
    promotion::{
        database_check::{DatabaseCheckAnswer, DatabaseCheckEvent},
        step::StepAnswer,
    },
    store::Store,
    telemetry::{Clock, chain},
};
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
    /// As a step.
    Step(StepAnswer),
}

/// Why something could not be done, where that is no verdict: it may be asked again.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

impl<S: Store> Step<S> {
    /// Looks, or does the step, as far as the invocation's time allows.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event is neither a look's nor a step's; `StepError` where something could not be
    /// looked at, and it may be asked again.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Result<Answer, FunctionError> {
        if event.get("check").is_none() {
            return self.migrate(event, invocation).await.map(Answer::Step);
        }
        let DatabaseCheckEvent { check } =
            serde_json::from_value(event).map_err(|error| FunctionError::new("InvalidStepInput", error))?;
        let answer = self.check(&check, invocation).await;
        answer.map(Answer::Check).map_err(|error| FunctionError::new("StepError", chain(&*error)))
    }

    /// The time until the invocation's end.
    fn left(&self, deadline: Timestamp) -> Duration {
        Duration::try_from(deadline.duration_since((self.clock)())).unwrap_or_default()
    }

    /// The limits of a tool that is started now and must leave `reserve` before the invocation's `deadline`.
    fn limits(&self, deadline: Timestamp, reserve: Duration) -> Limits {
        let tool = self.left(deadline).saturating_sub(reserve).max(LEAST);
        let statement = tool.saturating_sub(BEFORE_THE_TOOL).max(LEAST);
        let usual = Limits::default();
        Limits { tool, statement, lock: usual.lock.min(statement), other_flyway: usual.other_flyway.min(tool / 2) }
    }
}
