//! What a plan would change in a stage, asked of CloudFormation before anything is applied: each stack's change set is
//! made, read whole and deleted, and none is executed. For a stack that isn't there yet none is made, because it would
//! leave an empty stack behind; what it makes is what its template declares.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_cloudformation::types::{ChangeSetStatus, ChangeSetType, ResourceStatus, StackStatus};
use futures_util::{StreamExt as _, stream};
use gatekeeper_aws::{
    Buckets,
    failure::Failure,
    lambda::{FunctionError, Invocation},
    stack_functions,
    stage_account::stage_config,
};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Commit,
    telemetry::wall_clock,
};
use gatekeeper_promotion::{
    changes::{
        Changes, ChangesQuestion, Holders, MAX_BYTES, Place, StackChanges, StackState, Wanted, awaits, judge_exports,
        judge_names, losses, wanted_exports, wanted_names,
    },
    facts::StackFacts,
    plan::PlannedStack,
    step::Report,
};
use gatekeeper_readers::{
    template,
    template::{Declared, Template},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    ApplyStack,
    assets::{self, account_of},
    changes,
    decide::{ChangeSet, Next, Seen, has_no_changes, next},
    events,
    stack::{CLOUDFORMATION, EventsOf, Look, Provides, StackWork},
    stop::Stop,
};

/// How long the change sets may take. `promote`, which waits for the answer, has some more.
const MAKING: Duration = Duration::from_secs(75);

/// What must be left of an invocation for what was made to be deleted.
const CLEANING: Duration = Duration::from_secs(20);

/// The longest pause between two looks at a change set that is being made.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many stacks are asked about at once: CloudFormation's control plane takes a few calls a second.
const AT_ONCE: usize = 4;

/// The most names whose holder CloudFormation is asked for.
const MAX_NAMES: usize = 100;

/// What was found of one stack.
struct Found {
    told: StackChanges,
    reasons: Vec<Finding>,
    /// What its template declares, and what else a promotion knows of it.
    template: Option<(Declared, Template)>,
    /// The names that it exports now.
    exports: Vec<String>,
}

impl ApplyStack {
    /// Tells what a plan would change.
    ///
    /// # Errors
    /// [`FunctionError`] where we could not look.
    pub async fn tell(&self, asked: &ChangesQuestion, invocation: &Invocation) -> Result<Changes, FunctionError> {
        let commit = Commit { repo: asked.repo.clone(), sha: asked.commit_sha.clone() };
        let log =
            invocation.log.for_commit(&commit).with("stage", asked.stage.as_str()).with("question", asked.id.as_str());
        let buckets = Buckets::new(&self.config, &self.settings);
        let stage = Box::pin(stage_config(&self.config, asked.role_arn.as_deref())).await;
        let change_set_name = format!("gatekeeper-{}-changes", asked.id.as_str().to_lowercase());
        let work = StackWork {
            s3_endpoint: self.settings.s3_endpoint.as_deref(),
            stack_role_arn: self.stack_role(asked.stack_role_arn.as_deref(), asked.role_arn.as_deref()),
            functions: &asked.functions,
            accept_replacement: &asked.accept_replacement,
            provides: Provides::Templates,
            look_again: self.look_again,
            ..StackWork::new(&stage, &buckets.artefacts, &commit, change_set_name, &log)
        };
        let until = (wall_clock() + MAKING).min(invocation.deadline - CLEANING);
        let each = asked.stacks.iter().map(|stack| Box::pin(work.found(stack, until)));
        // Each to its end: what it made must be deleted, whatever becomes of the others.
        let found: Vec<Result<Found, FunctionError>> = stream::iter(each).buffered(AT_ONCE).collect().await;
        let mut found = found.into_iter().collect::<Result<Vec<_>, _>>()?;

        let handed: Vec<_> =
            found.iter().map(|it| it.template.as_ref().map(|(_, template)| template.handed.clone())).collect();
        let states: Vec<_> = found.iter().map(|it| it.told.clone()).collect();
        for (of, it) in found.iter_mut().enumerate() {
            it.told.notes.extend(awaits(&states, &handed, of));
        }
        let (reasons, notes) = work.names(asked, &mut found).await.map_err(in_words)?;
        let mut told = Changes { notes, reasons, ..Changes::default() };
        for it in found {
            told.reasons.extend(it.reasons);
            told.stacks.push(it.told);
        }
        let told = told.bounded(MAX_BYTES);
        let states: Vec<_> = told.stacks.iter().map(|it| json!([it.stack_name, it.state, it.changes.len()])).collect();
        log.info("told what would change", json!({"stacks": states, "reasons": told.reasons, "notes": told.notes}));
        Ok(told)
    }
}

/// A stop where nothing is applied: there is nobody who would ask later.
fn in_words(stop: Stop) -> FunctionError {
    match stop {
        Stop::Error(error) => error,
        Stop::Later(why) | Stop::Failed(why) => FunctionError::new(CLOUDFORMATION, why),
    }
}

impl StackWork<'_> {
    /// What would change in a stack. What only this stack is to blame for is told of it.
    async fn found(&self, stack: &PlannedStack, until: Timestamp) -> Result<Found, FunctionError> {
        let untold = |why: String, template, exports| Found {
            told: StackChanges::untold(stack, why),
            reasons: Vec::new(),
            template,
            exports,
        };
        let template = match self.template(stack).await {
            Ok(template) => template,
            Err(Stop::Later(why) | Stop::Failed(why)) => return Ok(untold(why, None, Vec::new())),
            Err(Stop::Error(error)) => return Err(error),
        };
        let look = match self.look(stack, &Report::<StackFacts>::begun(stack.stack_name.as_str(), wall_clock())).await {
            Ok(look) => look,
            Err(Stop::Later(why) | Stop::Failed(why)) => return Ok(untold(why, Some(template), Vec::new())),
            Err(Stop::Error(error)) => return Err(error),
        };
        let asked = async {
            let (told, mut reasons) = self.asked(stack, &look, &template.0, until).await?;
            let wrong = self.wrong_images(stack, &template.1).await?;
            let finding = |why| Finding::new(Code::ImageNotInStage, stack.stack_name.as_str(), why);
            reasons.extend(wrong.into_iter().map(finding));
            Ok((told, reasons))
        };
        let told = match asked.await {
            Ok((told, reasons)) => Found { told, reasons, template: Some(template), exports: look.exports },
            Err(Stop::Later(why) | Stop::Failed(why)) => untold(why, Some(template), look.exports),
            Err(Stop::Error(error)) => return Err(error),
        };
        Ok(told)
    }

    async fn template(&self, stack: &PlannedStack) -> Result<(Declared, Template), Stop> {
        let applied = self.applied(stack).await?;
        let read = template::declared(applied.bytes()).zip(template::read(applied.bytes()));
        read.ok_or_else(|| Stop::Failed(format!("`{}` is not a CloudFormation template", stack.template.key)))
    }

    async fn asked(
        &self,
        stack: &PlannedStack,
        look: &Look,
        declared: &Declared,
        until: Timestamp,
    ) -> Result<(StackChanges, Vec<Finding>), Stop> {
        // As the promotion itself would begin.
        match next(&Seen { stack: look.seen.stack.clone(), change_set: None, executed: false }) {
            Next::CreateChangeSet(ChangeSetType::Update) => self.by_change_set(stack, until).await,
            Next::CreateChangeSet(_) => Ok((StackChanges::new_stack(stack, declared), Vec::new())),
            Next::DeleteStack => {
                let mut told = StackChanges::new_stack(stack, declared);
                told.notes.push("what a creation that failed has left of it is deleted first".to_owned());
                Ok((told, Vec::new()))
            }
            Next::NeedsPerson(advice) => {
                let status = look.seen.stack.as_ref().map_or("not there", StackStatus::as_str);
                Err(Stop::Failed(format!("the stack is `{status}` and needs a person: {advice}")))
            }
            _ => {
                let status = look.seen.stack.as_ref().map_or("not there", StackStatus::as_str);
                Err(Stop::Failed(format!(
                    "something is at work on the stack (`{status}`): ask again when it has ended"
                )))
            }
        }
    }

    /// Makes the change set, reads it whole, and deletes it whatever came of that.
    async fn by_change_set(
        &self,
        stack: &PlannedStack,
        until: Timestamp,
    ) -> Result<(StackChanges, Vec<Finding>), Stop> {
        let told = self.read_change_set(stack, until).await;
        let deleted = self.delete_change_set(stack).await;
        let left = deleted.err().map(|stop| {
            let why = match stop {
                Stop::Later(why) | Stop::Failed(why) => why,
                Stop::Error(error) => error.message,
            };
            self.log.warn("a change set is left", json!({"stack_name": stack.stack_name, "error": why}));
            format!("the change set `{}` could not be deleted ({why}): delete it", self.change_set_name)
        });
        let Some(left) = left else { return told };
        match told {
            Ok((mut told, reasons)) => {
                told.notes.push(left);
                Ok((told, reasons))
            }
            Err(Stop::Failed(why) | Stop::Later(why)) => Err(Stop::Failed(format!("{why}; {left}"))),
            Err(error) => Err(error),
        }
    }

    async fn read_change_set(
        &self,
        stack: &PlannedStack,
        until: Timestamp,
    ) -> Result<(StackChanges, Vec<Finding>), Stop> {
        let mut report = Report::begun(stack.stack_name.as_str(), wall_clock());
        self.create_change_set(stack, ChangeSetType::Update, &mut report).await?;
        let change_set = self.made(stack, until).await?;
        if change_set.status != ChangeSetStatus::CreateComplete {
            if has_no_changes(&change_set.reason) {
                return Ok((StackChanges::of(stack, StackState::Unchanged), Vec::new()));
            }
            let found = self.operation_events(EventsOf::ChangeSet(&change_set.id)).await?;
            let found = events::reasons(&found, "", Timestamp::UNIX_EPOCH);
            let why = std::iter::once(change_set.reason).chain(found.iter().map(ToString::to_string));
            let why = why.collect::<Vec<_>>().join("; ");
            return Err(Stop::Failed(format!("cloudformation refuses the change set: {why}")));
        }
        self.prove(stack, &change_set).await?;
        let read = changes::read(&self.cloudformation, stack.stack_name.as_str(), &change_set.id).await?;
        let reasons = losses(stack, &read, self.accept_replacement);
        Ok((StackChanges::of_change_set(stack, &read), reasons))
    }

    /// Waits until CloudFormation has made the change set, or could not.
    async fn made(&self, stack: &PlannedStack, until: Timestamp) -> Result<ChangeSet, Stop> {
        let mut pause = self.look_again;
        loop {
            let look = match self.change_set(stack).await {
                Ok(change_set) => change_set,
                // Asked too often: the next look comes later.
                Err(Stop::Later(_)) => None,
                Err(stop) => return Err(stop),
            };
            match look {
                Some(it) if matches!(it.status, ChangeSetStatus::CreateComplete | ChangeSetStatus::Failed) => {
                    return Ok(it);
                }
                _ if wall_clock() >= until => {
                    let why = "cloudformation has not made the change set in time: ask again";
                    return Err(Stop::Failed(why.to_owned()));
                }
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is wrong with the names that the plan takes, and what was not looked up.
    async fn names(&self, asked: &ChangesQuestion, found: &mut [Found]) -> Result<(Vec<Finding>, Vec<String>), Stop> {
        let (mut names, mut exports, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let account = account_of(&self.sts).await?;
        for (stack, it) in asked.stacks.iter().zip(found.iter_mut()) {
            let Some((declared, template)) = &it.template else { continue };
            let values = assets::values(template, stack, &account, &self.region);
            let (wanted, untold) = wanted_names(&it.told, declared, &values);
            names.extend(wanted);
            it.told.notes.extend(untold);
            let (wanted, untold) = wanted_exports(&it.told, declared, &values);
            exports.extend(wanted);
            it.told.notes.extend(untold);
        }
        let mut holders = Holders::default();
        for it in found.iter() {
            let of = |name: &String| (name.clone(), it.told.stack_name.to_string());
            holders.exports.extend(it.exports.iter().map(of));
        }
        if !exports.is_empty() {
            notes.extend(self.exports(&mut holders).await?);
        }
        if !names.is_empty() {
            let there = found.iter().filter(|it| it.told.state != StackState::New).map(|it| &it.told);
            for stack in there {
                self.resources_of(stack.stack_name.as_str(), &mut holders).await?;
            }
            notes.extend(self.holders_of(&names, &mut holders).await?);
        }
        let (mut findings, more) = judge_names(&names, &holders);
        notes.extend(more);
        let (taken, more) = judge_exports(&exports, &holders);
        findings.extend(taken);
        notes.extend(more);
        Ok((findings, notes))
    }

    /// Adds what every stack of the account exports, or says why that was not looked up.
    async fn exports(&self, holders: &mut Holders) -> Result<Option<String>, Stop> {
        let mut pages = self.cloudformation.list_exports().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if Failure::of(&error) == Failure::Denied => {
                    return Ok(Some(not_allowed("exports these names", "ListExports")));
                }
                Err(error) => return Err(Stop::of(CLOUDFORMATION, "ListExports", &error)),
            };
            for export in page.exports() {
                let (Some(name), Some(stack)) = (export.name(), export.exporting_stack_id()) else { continue };
                holders.exports.insert(name.to_owned(), name_of(stack));
            }
        }
        Ok(None)
    }

    /// Adds the resources of a stack of the plan.
    async fn resources_of(&self, stack: &str, holders: &mut Holders) -> Result<(), Stop> {
        let resources = match stack_functions::list(&self.cloudformation, stack).await {
            Ok(resources) => resources,
            // It was deleted meanwhile, or what can't be told of it is that it is not there.
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(()),
            Err(error) => return Err(Stop::of(CLOUDFORMATION, "ListStackResources", &error)),
        };
        let placed = |(id, resource)| (resource, Place { stack: stack.to_owned(), id });
        holders.resources.extend(resources.into_iter().map(placed));
        Ok(())
    }

    /// Adds the holders of names that no stack of the plan holds, or says why that was not looked up.
    async fn holders_of(&self, names: &[Wanted], holders: &mut Holders) -> Result<Option<String>, Stop> {
        let wanted: BTreeSet<_> = names
            .iter()
            .filter_map(|it| Some((it.r#type.clone()?, it.name.clone())))
            .filter(|it| !holders.resources.contains_key(it))
            .collect();
        for (r#type, physical_id) in wanted.iter().take(MAX_NAMES) {
            let ask = self.cloudformation.describe_stack_resources().physical_resource_id(physical_id).send().await;
            let answer = match ask {
                Ok(answer) => answer,
                // No stack has it.
                Err(error) if Failure::of(&error) == Failure::Absent => continue,
                Err(error) if Failure::of(&error) == Failure::Denied => {
                    return Ok(Some(not_allowed("has resources of these names", "DescribeStackResources")));
                }
                Err(error) => return Err(Stop::of(CLOUDFORMATION, "DescribeStackResources", &error)),
            };
            let holds = answer.stack_resources().iter().find(|it| {
                it.physical_resource_id() == Some(physical_id)
                    && it.resource_type() == Some(r#type)
                    && it.resource_status() != Some(&ResourceStatus::DeleteComplete)
            });
            if let Some((stack, id)) = holds.and_then(|it| it.stack_name().zip(it.logical_resource_id())) {
                let place = Place { stack: stack.to_owned(), id: id.to_owned() };
                holders.resources.insert((r#type.clone(), physical_id.clone()), place);
            }
        }
        let more = wanted.len().checked_sub(MAX_NAMES).filter(|more| *more > 0);
        Ok(more.map(|more| format!("{more} more names were not looked up: whether they are taken is not known")))
    }
}

/// That a lookup in the whole account is not allowed.
fn not_allowed(what: &str, action: &str) -> String {
    format!(
        "whether another stack of the account {what} was not looked up: the role that promotes to the stage may not \
         `cloudformation:{action}`; only the stacks of this plan were asked"
    )
}

/// The name of a stack, which its ARN holds.
fn name_of(stack_id: &str) -> String {
    let name = stack_id.split_once(":stack/").and_then(|(_, rest)| rest.split('/').next());
    name.unwrap_or(stack_id).to_owned()
}
