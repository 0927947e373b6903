//! Asks what a plan would change, at a dry run that wants to know. Only `apply-stack` may make change sets, and only the
//! promotion state machine may invoke it: so the question goes the way of a promotion, and takes no right more than one.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sfn::types::ExecutionStatus;
use gatekeeper_model::{ids::PromotionId, telemetry::wall_clock};
use gatekeeper_promotion::{
    changes::{Changes, ChangesEvent, ChangesQuestion, MAX_BYTES},
    request::PromotionRequest,
    verify::Verified,
};
use jiff::Timestamp;
use serde::Deserialize;

/// How long to wait between two looks, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What asks.
pub(crate) struct ChangesChecker<'a> {
    pub(crate) step_functions: &'a aws_sdk_sfn::Client,
    pub(crate) state_machine_arn: &'a str,
    /// When it is waited no more.
    pub(crate) until: Timestamp,
}

/// What the execution ends with: the answer, or why there is none (Step Functions developer guide, "Error output").
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Output {
    Caught {
        #[serde(rename = "Error")]
        error: String,
        #[serde(rename = "Cause", default)]
        cause: String,
    },
    Told(Changes),
}

impl ChangesChecker<'_> {
    /// What the plan would change. That it can't be told is an answer too.
    ///
    /// # Errors
    /// Where nobody could be asked.
    pub(crate) async fn ask(
        &self,
        request: &PromotionRequest,
        verified: &Verified,
        id: &PromotionId,
    ) -> anyhow::Result<Changes> {
        let input = serde_json::to_string(&event(request, verified, id))?;
        if input.len() > MAX_BYTES {
            return Ok(untold(format!(
                "the plan has {} bytes, and Step Functions carries {MAX_BYTES} to whoever could tell",
                input.len()
            )));
        }
        let start = self.step_functions.start_execution().state_machine_arn(self.state_machine_arn);
        let started = start.name(format!("changes-{id}")).input(input).send().await;
        let execution = started.context("the state machine could not be asked what would change")?.execution_arn;
        let mut wait = FIRST_WAIT;
        loop {
            let look = self.step_functions.describe_execution().execution_arn(&execution).send().await;
            let look = look.with_context(|| format!("the execution `{execution}` could not be looked at"))?;
            match look.status() {
                ExecutionStatus::Running | ExecutionStatus::PendingRedrive if wall_clock() >= self.until => {
                    return Ok(untold(format!("the execution `{execution}` has not ended in time: ask again")));
                }
                ExecutionStatus::Running | ExecutionStatus::PendingRedrive => tokio::time::sleep(wait).await,
                ExecutionStatus::Succeeded => {
                    return read(look.output().unwrap_or_default())
                        .with_context(|| format!("the execution `{execution}` answered what nobody can read"));
                }
                status => {
                    return Ok(untold(format!("the execution `{execution}` ended as `{}`", status.as_str())));
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

fn event(request: &PromotionRequest, verified: &Verified, id: &PromotionId) -> ChangesEvent {
    ChangesEvent {
        changes: ChangesQuestion {
            id: id.clone(),
            stage: request.stage.clone(),
            repo: verified.commit.repo.clone(),
            commit_sha: verified.commit.sha.clone(),
            role_arn: verified.stage.role_arn.clone(),
            stack_role_arn: verified.stage.stack_role_arn.clone(),
            accept_replacement: request.accept_replacement.clone(),
            stacks: verified.plan.stacks.clone(),
            functions: verified.plan.functions.clone(),
        },
    }
}

/// Reads what the execution ended with.
fn read(output: &str) -> serde_json::Result<Changes> {
    Ok(match serde_json::from_str(output)? {
        Output::Told(changes) => changes,
        Output::Caught { error, cause } => {
            // Of a function's error the cause is a document.
            let document: Option<serde_json::Value> = serde_json::from_str(&cause).ok();
            let message = document.as_ref().and_then(|it| it.get("errorMessage")?.as_str());
            untold(format!("`apply-stack` could not tell it: {error}: {}", message.unwrap_or(&cause)))
        }
    })
}

fn untold(why: String) -> Changes {
    Changes { untold: Some(why), ..Changes::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_so_is_why_there_is_none() {
        assert_eq!(read(r#"{"stacks": []}"#).unwrap(), Changes::default());
        let caught = r#"{"Error": "CloudFormationFailed", "Cause": "{\"errorMessage\": \"ListExports failed\", \"errorType\": \"x\"}"}"#;
        insta::assert_snapshot!(read(caught).unwrap().untold.unwrap(), @"`apply-stack` could not tell it: CloudFormationFailed: ListExports failed");
        let late = r#"{"Error": "States.Timeout", "Cause": ""}"#;
        insta::assert_snapshot!(read(late).unwrap().untold.unwrap(), @"`apply-stack` could not tell it: States.Timeout: ");
        for neither in ["", "{}", "[]", r#"{"stacks": 7}"#] {
            assert!(read(neither).is_err(), "{neither}");
        }
    }
}
