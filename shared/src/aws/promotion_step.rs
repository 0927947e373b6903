//! How every step that applies a plan begins: it reads its input and its promotion's record.

use serde_json::Value;

use super::lambda::{FunctionError, Invocation};
use crate::{
    ids::Commit,
    promotion::{
        plan::Plan,
        record::PromotionRecord,
        step::{Direction, Report, StepInput},
    },
    store::Store,
    telemetry::{Logger, chain},
};

/// A step that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The promotion.
    pub record: PromotionRecord,
    /// Which of its plans is applied.
    pub direction: Direction,
    /// The commit that the plan is of.
    pub commit: Commit,
    /// The plan.
    pub plan: Plan,
    /// What the step answered before, where it is asked again.
    pub progress: Vec<Report>,
    /// Where it tells of its work.
    pub log: Logger,
}

impl Begun {
    /// Begins the step called `step`.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event isn't a step's, or asks for a way back that there isn't; `StepError` where
    /// the record could not be read, and it may be asked again; `PromotionEnded` where the record says so already.
    pub async fn of(
        event: Value,
        records: &impl Store,
        invocation: &Invocation,
        step: &str,
    ) -> Result<Self, FunctionError> {
        let input: StepInput =
            serde_json::from_value(event).map_err(|error| FunctionError::new("InvalidStepInput", error))?;
        let record = PromotionRecord::load(records, &input.promotion).await;
        let record = record.map_err(|error| FunctionError::new("StepError", chain(&error)))?.record;
        // Who took its lock over has proved it dead: nothing of it is applied behind his back, should it wake up again.
        if record.ended_at.is_some() {
            let message =
                format!("the promotion has ended as `{}`: nothing is applied for it any more", record.status.as_str());
            return Err(FunctionError::new("PromotionEnded", message));
        }
        let Some((commit, plan)) = record.heading(input.direction) else {
            return Err(FunctionError::new("InvalidStepInput", "the promotion has no way back"));
        };
        let log = invocation
            .log
            .for_commit(&commit)
            .with("promotion_id", record.promotion_id.as_str())
            .with("stage", record.stage.as_str())
            .with("step", step);
        let plan = plan.clone();
        Ok(Self { record, direction: input.direction, commit, plan, progress: input.progress, log })
    }
}
