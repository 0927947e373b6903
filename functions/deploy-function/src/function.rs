//! Brings one function to its bundle: looks, updates, proves, and names the version that holds it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_sdk_lambda::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_function::GetFunctionError,
    types::FunctionConfiguration,
};
use gatekeeper_aws::{
    failure::{Failure, retry_after, said, status},
    live::settings_digest,
    pacer::Pacers,
};
use gatekeeper_model::{ids::Sha256, telemetry::Logger};
use gatekeeper_promotion::{
    facts::FunctionFacts,
    plan::PlannedFunction,
    step::{Report, ReportStatus},
};
use serde_json::json;
use tokio::time::sleep;

use crate::next::{Health, Live, Next, Wanted, next};

/// Between two looks: from the first to the last, half as long again each time.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// Brings functions to their bundles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deployer<'a> {
    pub(crate) lambda: &'a Client,
    pub(crate) pacers: &'a Pacers,
    pub(crate) artefact_bucket: &'a str,
    /// Whether the code that is live gets a version of its own.
    pub(crate) publishes: bool,
    /// Set where another function has failed: nothing more is begun.
    pub(crate) stopped: &'a AtomicBool,
    pub(crate) log: &'a Logger,
}

/// How bringing a function to its bundle ended.
pub(crate) enum Ended {
    /// It runs the bundle.
    Deployed(ReportStatus, String),
    /// It can't, for this reason.
    Failed(String),
    /// Nothing was done, because another function had failed.
    NotBegun,
}

/// Why a turn didn't get on.
enum Trouble {
    /// Look again after a while.
    Wait(String),
    /// It can't be done.
    Final(String),
}

/// That Lambda's answer lacks what it always tells: nothing is concluded, and nothing recorded, from that.
fn untold(call: &str, what: &str) -> Trouble {
    Trouble::Final(format!("{call} answered without {what}"))
}

/// What is wanted of a function, and what has been done for it.
struct Work<'a> {
    wanted: Wanted,
    /// The version that the update has published.
    version: Option<String>,
    /// The version that the promotion before left.
    before: Option<&'a str>,
}

impl Deployer<'_> {
    /// Does what is missing until the function runs its bundle. `report` gathers facts on the way; where this is
    /// dropped, all that it had begun stays with AWS and is found there by the next call.
    pub(crate) async fn deploy(
        &self,
        planned: &PlannedFunction,
        name: &str,
        before: Option<&str>,
        report: &mut Report<FunctionFacts>,
    ) -> Ended {
        let wanted = Wanted { code: planned.bundle.sha256, updated_from: None };
        let mut work = Work { wanted, version: None, before };
        let [mut pause, longest] = LOOK_AGAIN;
        loop {
            let why = match self.turn(planned, name, &mut work, report).await {
                Ok(Some(ended)) => return ended,
                Ok(None) => {
                    pause = LOOK_AGAIN[0];
                    "the update was accepted".to_owned()
                }
                Err(Trouble::Final(reason)) => return Ended::Failed(reason),
                Err(Trouble::Wait(why)) => why,
            };
            if report.detail != why {
                let fields = json!({"function_name": name, "reason": why});
                self.log.info("looking at the function again", fields);
                report.detail = why;
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(longest);
        }
    }

    /// One look, and what it asks for.
    async fn turn(
        &self,
        planned: &PlannedFunction,
        name: &str,
        work: &mut Work<'_>,
        report: &mut Report<FunctionFacts>,
    ) -> Result<Option<Ended>, Trouble> {
        let configuration = self.look(name).await?;
        let live = Live::of(&configuration);
        note_facts(report, name, &configuration, &live);
        match next(&live, &work.wanted) {
            Next::Wait(why) => Err(Trouble::Wait(why.to_owned())),
            Next::Fail(reason) => Err(Trouble::Final(reason)),
            Next::Update if self.stopped.load(Ordering::Relaxed) => Ok(Some(Ended::NotBegun)),
            Next::Update => {
                let revision = live.revision_id.clone();
                let revision = revision.ok_or_else(|| untold("GetFunction", "a revision of the function"))?;
                work.version = self.update(planned, name, &live).await?;
                work.wanted.updated_from = Some(revision);
                Ok(None)
            }
            Next::Publish if !self.publishes => deployed(report, work.wanted.code, None).map(Some),
            Next::Publish => {
                let version = match (work.version.take(), work.before) {
                    (Some(version), _) => version,
                    (None, Some(before)) if self.is_of(name, before, &configuration).await? => before.to_owned(),
                    (None, _) => self.publish(planned, name, &live).await?,
                };
                deployed(report, work.wanted.code, Some(&version)).map(Some)
            }
        }
    }

    async fn look(&self, name: &str) -> Result<FunctionConfiguration, Trouble> {
        self.looked_at(name, None).await?.map_err(|error| self.trouble("GetFunction", &error, None))
    }

    /// A function, or one of its versions. The inner error is AWS's answer.
    async fn looked_at(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Result<FunctionConfiguration, SdkError<GetFunctionError>>, Trouble> {
        self.pacers.looks.turn().await;
        let ask = self.lambda.get_function().function_name(name).set_qualifier(version.map(str::to_owned));
        match ask.send().await {
            Ok(answer) => match answer.configuration {
                Some(configuration) => Ok(Ok(configuration)),
                None => Err(Trouble::Final("Lambda tells nothing of the function".to_owned())),
            },
            Err(error) => Ok(Err(error)),
        }
    }

    /// Whether a version is there and has the code and the settings that the function has: then no other is needed.
    async fn is_of(&self, name: &str, version: &str, live: &FunctionConfiguration) -> Result<bool, Trouble> {
        match self.looked_at(name, Some(version)).await? {
            Ok(there) => {
                Ok(there.code_sha256() == live.code_sha256() && settings_digest(&there) == settings_digest(live))
            }
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(false),
            Err(error) => Err(self.trouble("GetFunction", &error, None)),
        }
    }

    /// Updates the code from the pinned version, under the revision that was looked at; gives the version that Lambda
    /// publishes with it, where it tells one.
    async fn update(&self, planned: &PlannedFunction, name: &str, live: &Live) -> Result<Option<String>, Trouble> {
        let bundle = &planned.bundle;
        self.pacers.others.turn().await;
        let answer = self
            .lambda
            .update_function_code()
            .function_name(name)
            .s3_bucket(self.artefact_bucket)
            .s3_key(&bundle.key)
            .s3_object_version(bundle.version_id.as_str())
            .publish(self.publishes)
            .set_revision_id(live.revision_id.clone())
            .send()
            .await
            .map_err(|error| self.trouble("UpdateFunctionCode", &error, Some(live)))?;
        let version = answer.version().filter(|it| *it != "$LATEST").map(str::to_owned);
        let fields =
            json!({"function_name": name, "key": bundle.key, "version_id": bundle.version_id, "version": version});
        self.log.info("function code updated", fields);
        proven(answer.code_sha256(), bundle.sha256, "UpdateFunctionCode")?;
        Ok(version)
    }

    /// A version of what the function is: a new one, or the last one where nothing has changed since.
    async fn publish(&self, planned: &PlannedFunction, name: &str, live: &Live) -> Result<String, Trouble> {
        let wanted = planned.bundle.sha256;
        self.pacers.others.turn().await;
        let answer = self
            .lambda
            .publish_version()
            .function_name(name)
            .code_sha256(wanted.to_base64())
            .set_revision_id(live.revision_id.clone())
            .send()
            .await
            .map_err(|error| self.trouble("PublishVersion", &error, Some(live)))?;
        // Not every Lambda compares: the answer is what counts.
        proven(answer.code_sha256(), wanted, "PublishVersion")?;
        let version = answer.version().ok_or_else(|| untold("PublishVersion", "the version"))?.to_owned();
        self.log.info("version published", json!({"function_name": name, "version": version}));
        Ok(version)
    }

    /// Whether it goes by waiting. Codes: Lambda API reference, "Errors" of each operation, and "Common errors".
    fn trouble<E>(&self, call: &str, error: &SdkError<E>, live: Option<&Live>) -> Trouble
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let text = format!("{call}: {}", said(error));
        let Some(refused) = error.as_service_error() else {
            // Nobody answered, so nobody knows whether it was done: the next look tells.
            return Trouble::Wait(text);
        };
        match (refused.code().unwrap_or_default(), live.map(|live| &live.health)) {
            // An update of a function that has failed isn't in anybody's way: it is what Lambda refuses.
            ("ResourceConflictException", Some(Health::Failed(reason))) => {
                Trouble::Final(format!("{text}; the function can't work: {reason}"))
            }
            ("ResourceConflictException" | "PreconditionFailedException", _) => Trouble::Wait(text),
            _ if status(error) >= Some(500) => Trouble::Wait(text),
            _ if Failure::of(error) == Failure::Throttled => {
                let pacer = if call == "GetFunction" { &self.pacers.looks } else { &self.pacers.others };
                pacer.throttled(retry_after(error));
                Trouble::Wait(format!("{call}: throttled"))
            }
            _ => Trouble::Final(text),
        }
    }
}

/// What is known of a function from the first look on.
fn note_facts(report: &mut Report<FunctionFacts>, name: &str, configuration: &FunctionConfiguration, live: &Live) {
    let facts = &mut report.facts;
    facts.function_name = name.into();
    facts.function_arn = configuration.function_arn().map(str::to_owned).into();
    if facts.previous_code_sha256.is_nothing() {
        facts.previous_code_sha256 = live.code.into();
    }
}

/// Lambda's `CodeSha256` is the SHA-256 of the ZIP.
fn proven(answered: Option<&str>, wanted: Sha256, call: &str) -> Result<(), Trouble> {
    if answered.and_then(Sha256::from_base64) == Some(wanted) {
        return Ok(());
    }
    let answered = answered.and_then(Sha256::from_base64).map_or_else(|| "none".to_owned(), |code| code.to_string());
    Err(Trouble::Final(format!("{call} answered with the code digest `{answered}`, the plan has `{wanted}`")))
}

fn deployed(report: &mut Report<FunctionFacts>, code: Sha256, version: Option<&str>) -> Result<Ended, Trouble> {
    let facts = &mut report.facts;
    facts.code_sha256 = code.into();
    if let Some(version) = version {
        facts.version = version.into();
    }
    let told = version.map(|version| format!(", version `{version}`")).unwrap_or_default();
    let previous = facts.previous_code_sha256.read().map_err(|why| {
        Trouble::Final(format!("its report tells a fact `previous_code_sha256` that can't be read: {why}"))
    })?;
    Ok(if previous == Some(&Some(code)) {
        Ended::Deployed(ReportStatus::Unchanged, format!("ran this code already{told}"))
    } else {
        Ended::Deployed(ReportStatus::Applied, format!("code updated{told}"))
    })
}
