//! Asks what a plan's smoke checks ask, all at once, again and again until the answer is the expected one or the
//! check's time is over. What was asked and what was last answered goes into the promotion's record.

pub mod address;
pub mod expect;
pub mod http;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{
    failure::{is_final_of_stack, said},
    lambda::{FunctionError, Invocation},
    promotion_step::Begun,
    stack_functions,
    stage_account::stage_config,
};
use gatekeeper_model::{
    ids::StackName,
    telemetry::{Clock, Logger, chain},
};
use gatekeeper_promotion::{
    facts::{Asked, SmokeFacts},
    plan::Plan,
    stage::{SmokeCheck, SmokeTarget},
    step::{Report, ReportStatus, StepAnswer},
};
use gatekeeper_store::ReadStore;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    expect::{Answer, judge},
    http::Unanswered,
};

/// Checks that are asked at once.
const CHECKS_IN_FLIGHT: usize = 32;
/// Stacks that are looked at at once.
const STACKS_IN_FLIGHT: usize = 4;
/// So long before the invocation's end it answers with what it has; the function needs a longer timeout than that.
const BEFORE_THE_END: Duration = Duration::from_secs(20);
/// Between two asks: from the first to the last, doubling.
const ASK_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];
/// When to be asked again: at once, for it waits by itself.
const WAIT_SECONDS: u64 = 1;

/// The step and what it needs.
#[derive(Debug)]
pub struct Step<S> {
    /// Where the promotions' records are.
    pub records: S,
    /// The configuration of the gatekeeper's own account.
    pub config: SdkConfig,
    /// What HTTP is asked with; made at the first check, because it reads the system's roots.
    pub agents: OnceLock<http::Agents>,
    /// The present.
    pub clock: Clock,
}

/// How a promotion's checks are asked.
struct Asking {
    lambda: aws_sdk_lambda::Client,
    allow_private: bool,
}

/// What a check asks, found in the stage.
#[derive(Clone)]
enum Target {
    Url(String),
    Function(String, Value),
}

/// Where the checks' targets are, or in words why they aren't there.
struct Stage {
    outputs: BTreeMap<StackName, Result<BTreeMap<String, String>, String>>,
    functions: stack_functions::Names,
}

impl<S: ReadStore> Step<S> {
    /// Does the step, as far as the invocation's time allows.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event isn't a step's; `StepError` where the record or a stack could not be looked
    /// at, and it may be asked again.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Result<StepAnswer<SmokeFacts>, FunctionError> {
        let begun = Begun::<SmokeFacts>::of(event, &self.records, invocation).await?;
        if let Some(answer) = begun.stopped() {
            return Ok(answer);
        }
        let Begun { record, plan, progress, log, .. } = begun;
        let failed = |error: &(dyn std::error::Error + 'static)| FunctionError::new("StepError", chain(error));
        let left = invocation.deadline.duration_since((self.clock)());
        let left = Duration::try_from(left).unwrap_or_default();
        let stop = Instant::now() + left.saturating_sub(BEFORE_THE_END);
        if plan.smoke.is_empty() {
            log.warn("the stage has no smoke checks for this commit, so nothing was asked", json!({}));
        }

        let config = stage_config(&self.config, record.role_arn.as_deref()).await;
        let stage = Stage::look(&config, &plan).await.map_err(|error| failed(&*error))?;
        // One ask each: asking again is this step's own business, with its own pace.
        let lambda = aws_sdk_lambda::config::Builder::from(&config).retry_config(RetryConfig::disabled()).build();
        let lambda = aws_sdk_lambda::Client::from_conf(lambda);
        let asking = Asking { lambda, allow_private: record.allow_private };
        let checks = plan.smoke.iter().enumerate().map(|(index, check)| {
            let subject = subject(check);
            let before = progress.get(index).filter(|it| it.subject == subject && it.status != ReportStatus::Failed);
            let report = before.cloned().unwrap_or_else(|| Report::begun(subject, (self.clock)()));
            self.check(&asking, &stage, check, report, stop, &log)
        });
        let progress = stream::iter(checks).buffered(CHECKS_IN_FLIGHT).collect().await;
        let answer = StepAnswer::of(progress, plan.smoke.len(), WAIT_SECONDS);
        log.info("smoke checks asked", json!({"outcome": answer.status, "checks": plan.smoke.len()}));
        Ok(answer)
    }

    /// Asks until the answer is the expected one, the check's time is over, or `stop` has come.
    async fn check(
        &self,
        asking: &Asking,
        stage: &Stage,
        check: &SmokeCheck,
        mut report: Report<SmokeFacts>,
        stop: Instant,
        log: &Logger,
    ) -> Report<SmokeFacts> {
        if report.ended_at.is_some() {
            return report;
        }
        let ended = match stage.target(check) {
            Err(reason) => Err(reason),
            Ok(target) => {
                report.facts.asked = asked(&target).into();
                // Dropping an ask that is under way leaves nothing behind that the next one would mind.
                match timeout_at(stop, self.ask_until_right(asking, &target, check, &mut report)).await {
                    Ok(ended) => ended,
                    Err(_) => return report,
                }
            }
        };
        let now = (self.clock)();
        let milliseconds = now.duration_since(report.started_at).as_millis();
        report.facts.duration_milliseconds = u64::try_from(milliseconds).unwrap_or(0).into();
        let attempts = report.facts.attempts.read().ok().flatten();
        let fields = |detail: &str| json!({"check": report.subject, "detail": detail, "attempts": attempts});
        match ended {
            Ok(detail) => {
                log.info("smoke check passed", fields(&detail));
                report.ended(ReportStatus::Passed, detail, now)
            }
            Err(detail) => {
                log.error("smoke check failed", fields(&detail));
                report.ended(ReportStatus::Failed, detail, now)
            }
        }
    }

    async fn ask_until_right(
        &self,
        asking: &Asking,
        target: &Target,
        check: &SmokeCheck,
        report: &mut Report<SmokeFacts>,
    ) -> Result<String, String> {
        let [mut pause, longest] = ASK_AGAIN;
        let unread = |why| format!("its report tells a fact `attempts` that can't be read: {why}");
        let mut attempts = report.facts.attempts.read().map_err(unread)?.copied().unwrap_or(0);
        loop {
            let passed = (self.clock)().duration_since(report.started_at);
            let passed = Duration::try_from(passed).unwrap_or_default();
            let left = Duration::from_secs(check.deadline_seconds).saturating_sub(passed);
            let answer = match target {
                Target::Url(url) => self.get(url.clone(), asking.allow_private).await,
                Target::Function(name, payload) => {
                    let longest = left.max(http::REQUEST_TIMEOUT);
                    invoke(&asking.lambda, name, payload, longest).await.map_err(Unanswered::Trouble)
                }
            };
            attempts += 1;
            report.facts.attempts = attempts.into();
            report.facts.answered = answer.as_ref().ok().map(Answer::fact).into();
            match answer.and_then(|answer| judge(check, &answer).map_err(Unanswered::Trouble)) {
                Ok(()) => return Ok("answered as expected".to_owned()),
                Err(Unanswered::Forbidden(why)) => return Err(why),
                // What there is no time to wait for isn't asked again.
                Err(Unanswered::Trouble(wrong)) if left <= pause => return Err(wrong),
                Err(Unanswered::Trouble(wrong)) => report.detail = wrong,
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn get(&self, url: String, allow_private: bool) -> Result<Answer, Unanswered> {
        let agent = self.agents.get_or_init(|| http::agents(self.config.endpoint_url())).of(allow_private);
        let answered = tokio::task::spawn_blocking(move || http::get(&agent, &url)).await;
        answered.unwrap_or_else(|_| Err(Unanswered::Trouble("the request broke off".to_owned())))
    }
}

/// Invokes a function once and waits for its answer.
async fn invoke(
    lambda: &aws_sdk_lambda::Client,
    name: &str,
    payload: &Value,
    longest: Duration,
) -> Result<Answer, String> {
    let payload = payload.to_string().into_bytes();
    let answer = lambda.invoke().function_name(name).payload(payload.into()).send();
    let answer = timeout(longest, answer).await;
    let answer = answer.map_err(|_| format!("no answer within {} seconds", longest.as_secs()))?;
    let answer = answer.map_err(|error| format!("Invoke: {}", said(&error)))?;
    let status = u16::try_from(answer.status_code()).unwrap_or_default();
    let function_error = answer.function_error().map(str::to_owned);
    let body = answer.payload.map(aws_sdk_lambda::primitives::Blob::into_inner).unwrap_or_default();
    Ok(Answer::new(status, Some("application/json".to_owned()), function_error, body))
}

/// The check's name in reports and logs.
fn subject(check: &SmokeCheck) -> String {
    match &check.target {
        SmokeTarget::Http { stack, output, path, .. } => {
            let path = path.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
            format!("GET {stack}.{output}/{path}")
        }
        SmokeTarget::Invoke { function, .. } => format!("invoke {function}"),
    }
}

/// What the record tells of what was asked.
fn asked(target: &Target) -> Asked {
    match target {
        Target::Url(url) => Asked::Http { method: "GET".to_owned(), url: http::shown(url) },
        Target::Function(name, payload) => Asked::Invoke { function: name.clone(), payload: payload.clone() },
    }
}

impl Stage {
    /// Looks at the stacks that the checks name, each once.
    async fn look(config: &SdkConfig, plan: &Plan) -> Result<Self, Box<dyn std::error::Error>> {
        let cloudformation = stack_functions::looking_client(config);
        let (mut stacks, mut functions) = (BTreeSet::new(), BTreeSet::new());
        for check in &plan.smoke {
            match &check.target {
                SmokeTarget::Http { stack, .. } => stacks.insert(stack.as_str()),
                SmokeTarget::Invoke { function, .. } => functions.insert(function.as_str()),
            };
        }
        let stacks = plan.stacks.iter().filter(|planned| stacks.contains(planned.stack.as_str()));
        let cloudformation = &cloudformation;
        let outputs = stream::iter(stacks)
            .map(|planned| async move {
                outputs(cloudformation, &planned.stack_name).await.map(|outputs| (planned.stack.clone(), outputs))
            })
            .buffer_unordered(STACKS_IN_FLIGHT)
            .try_collect()
            .await?;
        let functions: Vec<_> = plan.functions.iter().filter(|it| functions.contains(it.function.as_str())).collect();
        Ok(Self { outputs, functions: stack_functions::find(cloudformation, &functions).await? })
    }

    /// What the check asks, or in words why it can't be asked.
    fn target(&self, check: &SmokeCheck) -> Result<Target, String> {
        match &check.target {
            SmokeTarget::Http { stack, output, path, .. } => {
                let outputs = self.outputs.get(stack).ok_or_else(|| {
                    format!("the plan has no stack `{stack}`: correct the check in config/stages.json")
                })?;
                let base = outputs.as_ref().map_err(Clone::clone)?.get(output).ok_or_else(|| {
                    format!(
                        "stack `{stack}` puts out no `{output}`: add it to the template's `Outputs`, or correct the \
                         check in config/stages.json"
                    )
                })?;
                let url = http::join(base, path);
                url.map(Target::Url)
                    .map_err(|why| format!("the output `{output}` of stack `{stack}` can't be asked: {why}"))
            }
            SmokeTarget::Invoke { function, payload } => {
                let found = self.functions.get(function).ok_or_else(|| {
                    format!("the plan has no function `{function}`: correct the check in config/stages.json")
                })?;
                let found = found.clone().map_err(|reason| reason.to_string());
                found.map(|name| Target::Function(name, payload.clone()))
            }
        }
    }
}

/// What a stack puts out, or in words why that can't be told.
async fn outputs(
    cloudformation: &aws_sdk_cloudformation::Client,
    stack: &StackName,
) -> Result<Result<BTreeMap<String, String>, String>, Box<dyn std::error::Error>> {
    let answer = match cloudformation.describe_stacks().stack_name(stack.as_str()).send().await {
        Ok(answer) => answer,
        Err(error) if is_final_of_stack(&error) => {
            let message = error.message().unwrap_or("access denied");
            return Ok(Err(format!("stack `{stack}` can't be looked at: {message}")));
        }
        Err(error) => return Err(error.into()),
    };
    let outputs = answer.stacks().iter().flat_map(aws_sdk_cloudformation::types::Stack::outputs);
    let outputs = outputs.filter_map(|it| Some((it.output_key()?.to_owned(), it.output_value()?.to_owned())));
    Ok(Ok(outputs.collect()))
}
