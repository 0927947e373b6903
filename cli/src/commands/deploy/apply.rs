//! Applying the plan: the very steps of a promotion, asked from here instead of by the state machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::anyhow;
use apply_stack::{
    assets::{Asset, Copier, Provided},
    stack::{Provides, StackWork},
    stop::Stop,
};
use aws_sdk_cloudformation::types::Stack;
use deploy_function::{Step as Bundles, Work};
use gatekeeper_aws::{failure::Failure, lambda::FunctionError, pacer::Pacers, s3::S3Store, s3_client, stack_functions};
use gatekeeper_model::{
    ids::{Commit, StackName},
    telemetry::{Logger, wall_clock},
};
use gatekeeper_promotion::{
    facts::{FunctionFacts, StackFacts},
    plan::{Plan, PlannedStack},
    replacement::ResourcePath,
    step::{self, Report, ReportStatus, StepStatus},
};
use gatekeeper_store::memory::Memory;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    aws::called,
    follow,
    history::{Step, failures},
    output::Output,
};

/// Between two looks at a stack that CloudFormation works on.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The same where AWS says that it is too early, or didn't answer.
const LATER: Duration = Duration::from_secs(5);

/// How many looks at a stack in a row may fail while CloudFormation works on it.
const MAX_FAILED_LOOKS: u32 = 5;

/// How long functions are worked on before what became of them is shown.
const FUNCTIONS_AT_ONCE: Duration = Duration::from_secs(5);

/// Where and how a plan is applied.
pub(super) struct Deployment<'a> {
    pub(super) config: &'a aws_config::SdkConfig,
    pub(super) account: &'a str,
    pub(super) artefacts: &'a S3Store,
    pub(super) commit: &'a Commit,
    pub(super) stack_role_arn: Option<&'a str>,
    pub(super) accept_replacement: &'a BTreeSet<ResourcePath>,
    told: Told,
    log: Logger,
}

/// What the steps warn of while they work.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// A logger whose warnings are kept; what else it is told belongs into a function's log.
    fn logger(&self) -> Logger {
        let kept = self.clone();
        Logger::to_sink(wall_clock, move |line| {
            let Ok(line) = serde_json::from_str::<Value>(line) else { return };
            let text = |name: &str| line.get(name).and_then(Value::as_str);
            if let (Some("WARN"), Some(message)) = (text("level"), text("message")) {
                let of = ["stack_name", "resource", "resources", "error"].into_iter().filter_map(text);
                let of: Vec<_> = of.map(|it| format!("`{it}`")).collect();
                kept.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{}: {message}", of.join(", ")));
            }
        })
    }

    fn say(&self, output: &mut Output) {
        for warning in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            output.warning(&warning);
        }
    }
}

/// What became of a plan.
#[derive(Debug)]
pub(super) struct Applied {
    /// Those that were begun, in order.
    pub(super) stacks: Vec<(PlannedStack, Report<StackFacts>)>,
    pub(super) functions: Vec<Report<FunctionFacts>>,
}

impl<'a> Deployment<'a> {
    pub(super) fn new(
        config: &'a aws_config::SdkConfig,
        account: &'a str,
        artefacts: &'a S3Store,
        commit: &'a Commit,
        stack_role_arn: Option<&'a str>,
        accept_replacement: &'a BTreeSet<ResourcePath>,
    ) -> Self {
        let told = Told::default();
        let log = told.logger();
        Self { config, account, artefacts, commit, stack_role_arn, accept_replacement, told, log }
    }

    /// The stacks of a plan that are there, by their names.
    pub(super) async fn live(&self, plan: &Plan) -> anyhow::Result<BTreeMap<StackName, Stack>> {
        let client = stack_functions::looking_client(self.config);
        let mut live = BTreeMap::new();
        for stack in &plan.stacks {
            match client.describe_stacks().stack_name(stack.stack_name.as_str()).send().await {
                Err(error) if Failure::of(&error) == Failure::Absent => {}
                answer => {
                    let found = called("DescribeStacks", answer)?.stacks.into_iter().flatten().next();
                    live.extend(found.map(|it| (stack.stack_name.clone(), it)));
                }
            }
        }
        Ok(live)
    }

    /// Makes everything lie where the templates look for it; in words why not.
    pub(super) async fn provide(&self, assets: &[Asset<'_>]) -> anyhow::Result<Result<Provided, String>> {
        let (account, artefact_bucket) = (self.account, self.artefacts.bucket());
        let copier = Copier { s3: s3_client(self.config), account, artefact_bucket, log: &self.log };
        match copier.provide(assets).await {
            Ok(provided) => Ok(Ok(provided)),
            Err(Stop::Failed(why) | Stop::Later(why)) => Ok(Err(why)),
            Err(Stop::Error(error)) => Err(of(&error)),
        }
    }

    /// Applies the stacks, one after the other, and then puts the bundles into their functions.
    pub(super) async fn apply(
        &self,
        plan: &Plan,
        stacks: &[PlannedStack],
        output: &mut Output,
    ) -> anyhow::Result<Applied> {
        let mut reports = Vec::new();
        let mut step = Step::begun("ApplyStack", wall_clock());
        for stack in stacks {
            let report = Box::pin(self.stack(plan, stack, &mut step, &reports, output)).await?;
            let failed = report.status == ReportStatus::Failed;
            reports.push(report);
            if failed {
                break;
            }
        }
        step.reports = stored(&reports)?;
        let mut functions = Vec::new();
        if self.end(step, output) && !plan.functions.is_empty() {
            functions = self.functions(plan, output).await?;
        }
        Ok(Applied { stacks: stacks.iter().cloned().zip(reports).collect(), functions })
    }

    /// Takes one stack to its end.
    async fn stack(
        &self,
        plan: &Plan,
        stack: &PlannedStack,
        step: &mut Step,
        before: &[Report<StackFacts>],
        output: &mut Output,
    ) -> anyhow::Result<Report<StackFacts>> {
        let change_set_name = change_set_name(self.commit, wall_clock().as_millisecond());
        let work = StackWork {
            s3_endpoint: self.config.endpoint_url(),
            stack_role_arn: self.stack_role_arn,
            functions: &plan.functions,
            accept_replacement: self.accept_replacement,
            // They lie there: what the stored template says of its places needs what it was synthesised for.
            provides: Provides::Nothing,
            ..StackWork::new(self.config, self.artefacts, self.commit, change_set_name, &self.log)
        };
        let mut report = Report::begun(stack.stack_name.as_str(), wall_clock());
        let mut failed_looks = 0;
        while report.ended_at.is_none() {
            let pause = match Box::pin(work.advance(stack, &mut report)).await {
                Ok(()) => {
                    failed_looks = 0;
                    LOOK_AGAIN
                }
                Err(Stop::Failed(why)) => {
                    report = report.ended(ReportStatus::Failed, why, wall_clock());
                    break;
                }
                Err(Stop::Later(why)) => {
                    report.detail = why;
                    LATER
                }
                Err(Stop::Error(error)) => {
                    failed_looks += 1;
                    let is_under_way = matches!(report.facts.executed.read(), Ok(Some(true)));
                    if !is_under_way || failed_looks > MAX_FAILED_LOOKS {
                        let name = &stack.stack_name;
                        return Err(of(&error).context(if is_under_way {
                            format!("stack `{name}` can no longer be followed; CloudFormation goes on: run it again")
                        } else {
                            format!("stack `{name}` could not be applied")
                        }));
                    }
                    LATER
                }
            };
            self.told.say(output);
            if report.ended_at.is_none() {
                step.reports = stored(before)?;
                step.reports.push(report.stored()?);
                output.passing(&follow::running(step, wall_clock()));
                sleep(pause).await;
            }
        }
        self.told.say(output);
        Ok(report)
    }

    /// Puts the bundles into their functions.
    async fn functions(&self, plan: &Plan, output: &mut Output) -> anyhow::Result<Vec<Report<FunctionFacts>>> {
        let bundles = Bundles {
            records: Memory::default(),
            config: self.config.clone(),
            artefact_bucket: self.artefacts.bucket().to_owned(),
            pacers: Pacers::of_lambda(),
            // Each version keeps its code in the account's quota, and nothing goes back to one here.
            publishes: false,
            clock: wall_clock,
        };
        let mut step = Step::begun("DeployFunction", wall_clock());
        let mut progress = Vec::new();
        loop {
            let stop = Instant::now() + FUNCTIONS_AT_ONCE;
            let work = Work { plan, progress: &progress, config: self.config, stop, log: &self.log };
            let answer = bundles.put(work, async { BTreeMap::new() }).await.map_err(|error| of(&error))?;
            step.reports = stored(&answer.progress)?;
            self.told.say(output);
            if answer.status != StepStatus::InProgress {
                self.end(step, output);
                return Ok(answer.progress);
            }
            output.passing(&follow::running(&step, wall_clock()));
            progress = answer.progress;
        }
    }

    /// Tells of a step that is over; whether it succeeded.
    fn end(&self, mut step: Step, output: &mut Output) -> bool {
        let why = failures(&step.reports);
        step.failure = (!why.is_empty()).then_some(why);
        step.ended_at = Some(wall_clock());
        output.clear_passing();
        self.told.say(output);
        output.progress(&follow::ended(&step, output.is_live()));
        step.failure.is_none()
    }
}

/// A name that no other deploy has given a change set: the stack's own tells of one that ended.
fn change_set_name(commit: &Commit, milliseconds: i64) -> String {
    let sha: String = commit.sha.as_str().chars().take(12).collect();
    format!("gatekeeper-deploy-{sha}-{milliseconds}")
}

fn of(error: &FunctionError) -> anyhow::Error {
    anyhow!("{}", error.message)
}

fn stored<F: gatekeeper_promotion::facts::StepFacts>(reports: &[Report<F>]) -> anyhow::Result<Vec<step::Report>> {
    Ok(reports.iter().map(Report::stored).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_set_is_called_as_cloudformation_allows_and_as_no_promotions_is() {
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: "3f1c9a0b5d".repeat(4).parse().unwrap() };
        assert_eq!(change_set_name(&commit, 1_796_045_812_437), "gatekeeper-deploy-3f1c9a0b5d3f-1796045812437");
    }

    #[test]
    fn only_warnings_are_passed_on() {
        let told = Told::default();
        let log = told.logger();
        log.info("change set created", serde_json::json!({"stack_name": "dev-api"}));
        log.warn("deleting what is left", serde_json::json!({"stack_name": "dev-api"}));
        assert_eq!(*told.0.lock().unwrap(), ["`dev-api`: deleting what is left"]);
    }
}
