//! Puts a plan's bundles into the stage's functions: looks at what is live, updates what differs from the pinned
//! version, waits, proves `CodeSha256` and names the immutable version that holds it: the one that the update publishes, the
//! last promotion's where the function is still as that is, or else a new one.
//!
//! Killed anywhere and started again it ends the same: every turn starts with a look.

mod function;
mod images;
mod layers;
pub mod next;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_config::SdkConfig;
use futures_util::{StreamExt as _, stream};
use gatekeeper_aws::{
    asking_once,
    lambda::{FunctionError, Invocation},
    pacer::Pacers,
    promotion_step::Begun,
    stack_functions::{self, Stacks},
    stage_account::stage_config,
};
use gatekeeper_model::telemetry::{Clock, Logger, chain};
use gatekeeper_promotion::{
    facts::FunctionFacts,
    plan::{Plan, PlannedFunction},
    record::PromotionRecord,
    step::{PromotionRef, Report, ReportStatus, StepAnswer},
};
use gatekeeper_store::ReadStore;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::function::{Deployer, Ended};

/// Functions that are worked on at once; the pacers bound the calls.
const FUNCTIONS_IN_FLIGHT: usize = 48;
/// So long before the invocation's end it answers with what it has; the function needs a longer timeout than that.
const BEFORE_THE_END: Duration = Duration::from_secs(30);
/// `UpdateFunctionCode` answers when Lambda has fetched the ZIP, which takes it seconds.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// When to be asked again: at once, for it waits by itself.
const WAIT_SECONDS: u64 = 1;

/// The step and what it needs.
#[derive(Debug)]
pub struct Step<S> {
    /// Where the promotions' records are.
    pub records: S,
    /// The configuration of the gatekeeper's own account.
    pub config: SdkConfig,
    /// Where Lambda fetches the bundles from.
    pub artefact_bucket: String,
    /// The pace of the calls; kept from one invocation to the next.
    pub pacers: Pacers,
    /// Whether the code that is live gets a version of its own, which nothing changes any more.
    pub publishes: bool,
    /// The present.
    pub clock: Clock,
}

/// What is deployed, and where to.
#[derive(Debug)]
pub struct Work<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What was told before, where it is asked again.
    pub progress: &'a [Report<FunctionFacts>],
    /// The stage's account.
    pub config: &'a SdkConfig,
    /// When to answer with what there is.
    pub stop: Instant,
    /// Where it tells of its work.
    pub log: &'a Logger,
}

/// A function of the plan, its name in the stage, and its report.
struct Task<'a> {
    planned: &'a PlannedFunction,
    name: String,
    /// The version that the promotion before left.
    before: Option<&'a str>,
    report: Report<FunctionFacts>,
}

impl<S: ReadStore> Step<S> {
    /// Does the step, as far as the invocation's time allows.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event isn't a step's; `StepError` where the record or a stack could not be looked
    /// at, and it may be asked again.
    pub async fn handle(
        &self,
        event: Value,
        invocation: &Invocation,
    ) -> Result<StepAnswer<FunctionFacts>, FunctionError> {
        let begun = Begun::<FunctionFacts>::of(event, &self.records, invocation).await?;
        if let Some(answer) = begun.stopped() {
            return Ok(answer);
        }
        let Begun { record, plan, progress, log, .. } = begun;
        let left = invocation.deadline.duration_since((self.clock)());
        let left = Duration::try_from(left).unwrap_or_default();
        let stop = Instant::now() + left.saturating_sub(BEFORE_THE_END);

        let config = stage_config(&self.config, record.role_arn.as_deref()).await;
        let work = Work { plan: &plan, progress: &progress, config: &config, stop, log: &log };
        self.put(work, self.versions_before(&record, &log)).await
    }

    /// Puts the bundles of a plan into its functions; `before` gives the versions that they were left at, by the bundle's name.
    ///
    /// # Errors
    /// `StepError` where a stack could not be looked at, and it may be asked again.
    pub async fn put(
        &self,
        work: Work<'_>,
        before: impl Future<Output = BTreeMap<String, String>>,
    ) -> Result<StepAnswer<FunctionFacts>, FunctionError> {
        let Work { plan, progress, config, stop, log } = work;
        let failed = |error: &(dyn std::error::Error + 'static)| FunctionError::new("StepError", chain(error));
        let reported = |planned: &PlannedFunction| progress.iter().find(|it| it.subject == planned.function.as_str());
        let through = |planned: &PlannedFunction| {
            reported(planned).filter(|report| report.ended_at.is_some() && report.status != ReportStatus::Failed)
        };
        let missing: Vec<_> = plan.functions.iter().filter(|planned| through(planned).is_none()).collect();
        let client = stack_functions::looking_client(config);
        let lambda = aws_sdk_lambda::Client::new(config);
        let layers = if missing.is_empty() { layers::Layers::new() } else { layers::of(plan) };
        let functions = missing.iter().map(|it| stack_functions::place(it));
        let looked_for = functions.chain(layers.keys().copied()).chain(images::places(plan));
        let (stacks, before) = tokio::join!(Stacks::list(&client, looked_for), before);
        let stacks = stacks.map_err(|error| failed(&error))?;
        let mut names = stacks.names(&missing);
        let wrong_layers = layers::wrong(&stacks, &lambda, &self.pacers, &layers)
            .await
            .map_err(|why| FunctionError::new("StepError", why))?;

        let (mut tasks, mut reports) = (Vec::new(), Vec::new());
        let images = images::look(&stacks, &lambda, &self.pacers, plan).await;
        let images: Vec<_> = images.map_err(|why| FunctionError::new("StepError", why))?;
        let images: Vec<_> = images.iter().map(|runs| self.of_image(log, runs)).collect();
        let has_wrong_image = images.iter().any(|report| report.status == ReportStatus::Failed);
        for planned in missing {
            let begun = || Report::begun(planned.function.as_str(), (self.clock)());
            let report =
                reported(planned).filter(|it| it.status == ReportStatus::InProgress).cloned().unwrap_or_else(begun);
            // A function of another stack may have the layer too.
            if !wrong_layers.is_empty() {
                reports.push(self.failed(log, planned, report, wrong_layers.join("; ")));
                continue;
            }
            match names.remove(&planned.function) {
                Some(Ok(name)) => {
                    let before = before.get(planned.function.as_str()).map(String::as_str);
                    tasks.push(Task { planned, name, before, report });
                }
                Some(Err(reason)) => reports.push(self.failed(log, planned, report, reason.to_string())),
                None => reports.push(self.failed(log, planned, report, "it was not looked for".to_owned())),
            }
        }
        // What can't be whole isn't begun.
        if reports.is_empty() && !has_wrong_image {
            let stopped = AtomicBool::new(false);
            let deployer = Deployer {
                // A retry would go past the pacer, and would not look before it acts.
                lambda: &aws_sdk_lambda::Client::new(&asking_once(config, CALL_TIMEOUT)),
                pacers: &self.pacers,
                artefact_bucket: &self.artefact_bucket,
                stopped: &stopped,
                publishes: self.publishes,
                log,
            };
            let work = tasks.into_iter().map(|task| Box::pin(self.deploy(deployer, task, stop)));
            reports =
                stream::iter(work).buffer_unordered(FUNCTIONS_IN_FLIGHT).filter_map(async |it| it).collect().await;
        }

        let told = |planned: &PlannedFunction| {
            reports.iter().find(|it| it.subject == planned.function.as_str()).or_else(|| through(planned)).cloned()
        };
        let expected = plan.functions.len() + images.len();
        let progress = plan.functions.iter().filter_map(told).chain(images).collect();
        let answer = StepAnswer::of(progress, expected, WAIT_SECONDS);
        log.info("functions looked at", json!({"outcome": answer.status, "functions": plan.functions.len()}));
        Ok(answer)
    }

    /// The versions of the stage's functions that the promotion before left, by the bundle's name. Where its record can't be
    /// read there are none to be had: a version more is published then.
    async fn versions_before(&self, record: &PromotionRecord, log: &Logger) -> BTreeMap<String, String> {
        let Some(promotion_id) = &record.promotion_before else { return BTreeMap::new() };
        let before = PromotionRef { promotion_id: promotion_id.clone(), ..record.reference() };
        match PromotionRecord::load(&self.records, &before).await {
            Ok(before) => {
                before.record.live.into_iter().filter_map(|live| Some((live.function, live.version?))).collect()
            }
            Err(error) => {
                let fields = json!({"promotion_before": promotion_id, "error": chain(&error)});
                log.warn("the record of the promotion before can't be read", fields);
                BTreeMap::new()
            }
        }
    }

    /// Brings one function to its bundle, unless another one has failed before it begins.
    async fn deploy(&self, deployer: Deployer<'_>, task: Task<'_>, stop: Instant) -> Option<Report<FunctionFacts>> {
        let Task { planned, name, before, mut report } = task;
        if deployer.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let log = deployer.log.with("module", planned.module.as_str()).with("function", planned.function.as_str());
        let deployer = Deployer { log: &log, ..deployer };
        match timeout_at(stop, deployer.deploy(planned, &name, before, &mut report)).await {
            Err(_) => Some(report),
            Ok(Ended::NotBegun) => None,
            Ok(Ended::Deployed(status, detail)) => {
                let report = report.ended(status, detail, (self.clock)());
                log.info("function deployed", json!({"outcome": status, "facts": report.facts}));
                Some(report)
            }
            Ok(Ended::Failed(reason)) => {
                deployer.stopped.store(true, Ordering::Relaxed);
                Some(self.failed(&log, planned, report, reason))
            }
        }
    }

    /// The report on a function that runs an image: CloudFormation has made it what it is, and it is only looked at.
    fn of_image(&self, log: &Logger, runs: &images::Runs<'_>) -> Report<FunctionFacts> {
        let mut report = Report::<FunctionFacts>::begun(runs.subject(), (self.clock)());
        report.facts.function_name = runs.name.as_str().into();
        report.facts.function_arn = runs.arn.clone().into();
        if let Some(digest) = runs.digest {
            report.facts.image_digest = digest.into();
        }
        match runs.wrong() {
            None => {
                let detail = format!("it runs the tested image `{}`", runs.image.digest);
                report.ended(ReportStatus::Unchanged, detail, (self.clock)())
            }
            Some(why) => {
                log.error("function runs another image", json!({"function": runs.name, "reason": why}));
                report.ended(ReportStatus::Failed, why, (self.clock)())
            }
        }
    }

    fn failed(
        &self,
        log: &Logger,
        planned: &PlannedFunction,
        report: Report<FunctionFacts>,
        reason: String,
    ) -> Report<FunctionFacts> {
        let fields = json!({"function": planned.function, "module": planned.module, "reason": reason});
        log.error("function could not be deployed", fields);
        report.ended(ReportStatus::Failed, reason, (self.clock)())
    }
}
