//! The step of a promotion that applies CloudFormation: every stack of the plan, in order, one after the other.
//!
//! Before a promotion starts it is asked what a plan would change ([`tell`]), which changes nothing.
//!
//! [`decide`] is the pure core; [`stack`] looks at a stack and does what it says. An invocation takes the first stack
//! that isn't ended as far as it gets without waiting for CloudFormation, and answers: the state machine waits.

pub mod assets;
pub mod changes;
pub mod decide;
pub mod events;
mod images;
pub mod stack;
pub mod stop;
pub mod tell;
pub mod template_url;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_config::SdkConfig;
use gatekeeper_aws::{
    Buckets, Settings,
    lambda::{FunctionError, Invocation},
    promotion_step::{Begun, STOP},
    stage_account::stage_config,
};
use gatekeeper_model::telemetry::{Logger, wall_clock};
use gatekeeper_promotion::{
    brake::Stopping,
    changes::{Changes, ChangesEvent},
    facts::StackFacts,
    record::PromotionRecord,
    step::{Direction, Report, ReportStatus, StepAnswer},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{stack::StackWork, stop::Stop};

/// When to ask again while CloudFormation works, in seconds.
const WAIT_SECONDS: u64 = 2;

/// When to ask again where AWS says that it is too early, in seconds.
const WAIT_SECONDS_WHEN_TOLD: u64 = 5;

/// What must be left of an invocation for another stack to be begun: its bundles may have to be copied.
const ENOUGH_TIME: Duration = Duration::from_mins(1);

/// The step.
#[derive(Debug)]
pub struct ApplyStack {
    /// What the template tells the function.
    pub settings: Settings,
    /// The gatekeeper's own account.
    pub config: SdkConfig,
    /// How long CloudFormation gets before it is looked at again in the same invocation, and twice as long each time after.
    pub look_again: Duration,
}

/// What the function answers: to a step, or to the question what a plan would change.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// How far the step is.
    Step(StepAnswer<StackFacts>),
    /// What would change.
    Changes(Changes),
}

impl ApplyStack {
    /// Answers one event.
    ///
    /// # Errors
    /// [`FunctionError`] where we could not look or act.
    pub async fn answer(&self, payload: Value, invocation: Invocation) -> Result<Answer, FunctionError> {
        if payload.get("changes").is_none() {
            return Box::pin(self.handle(payload, invocation)).await.map(Answer::Step);
        }
        let event = serde_json::from_value(payload);
        let ChangesEvent { changes } = event.map_err(|error| FunctionError::new("InvalidStepInput", error))?;
        Box::pin(self.tell(&changes, &invocation)).await.map(Answer::Changes)
    }

    /// Takes the promotion's stacks as far as they go now.
    ///
    /// # Errors
    /// [`FunctionError`] where we could not look or act; a stack that fails is a report.
    pub async fn handle(
        &self,
        payload: Value,
        invocation: Invocation,
    ) -> Result<StepAnswer<StackFacts>, FunctionError> {
        let buckets = Buckets::new(&self.config, &self.settings);
        let begun = Box::pin(Begun::<StackFacts>::of(payload, &buckets.records, &invocation)).await?;
        if let Some(answer) = begun.stopped() {
            return Ok(answer);
        }
        let Begun { record, direction, commit, plan, progress: before, stopping, log } = begun;
        let log = log.with("direction", direction_word(direction));

        let stage = Box::pin(stage_config(&self.config, record.role_arn.as_deref())).await;
        let change_set_name = change_set_name(record.promotion_id.as_str(), direction);
        let work = StackWork {
            s3_endpoint: self.settings.s3_endpoint.as_deref(),
            stack_role_arn: self.stack_role(record.stack_role_arn.as_deref(), record.role_arn.as_deref()),
            functions: &plan.functions,
            accept_replacement: &record.accept_replacement,
            made: made(&record, direction)?,
            look_again: self.look_again,
            ..StackWork::new(&stage, &buckets.artefacts, &commit, change_set_name, &log)
        };
        let (mut progress, mut wait_seconds) = (Vec::new(), WAIT_SECONDS);
        for stack in &plan.stacks {
            let name = stack.stack_name.as_str();
            let begun = before.iter().find(|report| report.subject == name).cloned();
            if let (None, Some(Stopping { told })) = (&begun, &stopping) {
                let stopped = Report::begun(STOP, wall_clock());
                progress.push(stopped.ended(ReportStatus::Failed, told, wall_clock()));
                break;
            }
            let mut report = begun.unwrap_or_else(|| Report::begun(name, wall_clock()));
            if report.ended_at.is_none() {
                match Box::pin(work.advance(stack, &mut report)).await {
                    Ok(()) => {}
                    Err(Stop::Later(why)) => {
                        log.warn("stack has to wait", json!({"stack_name": name, "detail": why}));
                        report.detail = why;
                        wait_seconds = WAIT_SECONDS_WHEN_TOLD;
                    }
                    Err(Stop::Failed(why)) => report = report.ended(ReportStatus::Failed, why, wall_clock()),
                    Err(Stop::Error(error)) => return Err(error),
                }
                tell(&log, &report);
            }
            let in_time = wall_clock() + ENOUGH_TIME < invocation.deadline;
            let goes_on = in_time && matches!(report.status, ReportStatus::Applied | ReportStatus::Unchanged);
            progress.push(report);
            if !goes_on {
                break;
            }
        }
        Ok(StepAnswer::of(progress, plan.stacks.len(), wait_seconds))
    }

    /// The role that CloudFormation takes: the stage's, else the gatekeeper's own, which can be lent inside of its own
    /// account only.
    fn stack_role<'a>(&'a self, of_stage: Option<&'a str>, role_arn: Option<&str>) -> Option<&'a str> {
        of_stage.or_else(|| self.settings.stack_role_arn.as_deref().filter(|_| role_arn.is_none()))
    }
}

/// Tells of a stack that has ended.
fn tell(log: &Logger, report: &Report<StackFacts>) {
    let fields = json!({"stack_name": report.subject, "outcome": report.status, "detail": report.detail,
        "facts": report.facts});
    match report.status {
        ReportStatus::InProgress => {}
        ReportStatus::Failed => log.error("stack failed", fields),
        _ => log.info("stack is as planned", fields),
    }
}

/// What the way forward made in each stack, by the stack's name in the stage: only the way back takes it away again.
fn made(
    record: &PromotionRecord,
    direction: Direction,
) -> Result<BTreeMap<String, BTreeSet<Vec<String>>>, FunctionError> {
    let unread = |why: String| FunctionError::new("StepError", why);
    let mut made = BTreeMap::new();
    if direction == Direction::Forward {
        return Ok(made);
    }
    for reported in record.reported::<StackFacts>() {
        let (reported, report) = reported.map_err(|error| unread(error.to_string()))?;
        let told = report.facts.made.read().map_err(|why| {
            unread(format!("the report on `{}` tells a fact `made` that can't be read: {why}", report.subject))
        })?;
        if let (Direction::Forward, Some(told)) = (reported, told) {
            made.insert(report.subject, told.clone());
        }
    }
    Ok(made)
}

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Back => "back",
    }
}

/// The name of a promotion's change set: always the same, so that a step that is killed finds it again.
fn change_set_name(promotion_id: &str, direction: Direction) -> String {
    format!("gatekeeper-{}-{}", promotion_id.to_lowercase(), direction_word(direction))
}

#[cfg(test)]
mod tests;
