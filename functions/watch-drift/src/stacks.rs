//! A stage's stacks as CloudFormation has them: their templates, and what its own drift detection says.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{Stack, StackDriftStatus, StackResourceDrift, StackResourceDriftStatus, TemplateStage},
};
use futures_util::{StreamExt as _, stream};
use gatekeeper_aws::{
    failure::{Failure, message, said},
    stack_functions::nested_ids,
    timestamp,
};
use gatekeeper_model::ids::{Sha256, StackName};
use gatekeeper_promotion::{
    drift::{StackDrift, StackLook},
    record::PromotionRecord,
};
use jiff::{SignedDuration, Timestamp};

/// Stacks that are looked at at once: CloudFormation's quotas of reading calls are low and not published.
const STACKS_IN_FLIGHT: usize = 4;

/// How often CloudFormation is asked to compare a stack with its template: it reads every resource for it.
const DETECT_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How often where it has found a difference, so that one that was mended doesn't stand for a day.
const DETECT_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// The most resources that are named.
const RESOURCES_NAMED: i32 = 10;

/// Looks at the stacks of a promotion.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// CloudFormation in the stage's account.
    pub(crate) client: Client,
    /// Whether it is asked to compare now, however short ago it did.
    pub(crate) is_thorough: bool,
    /// The present.
    pub(crate) now: Timestamp,
}

impl Stacks {
    /// Every stack of a promotion, by its name in the stage.
    pub(crate) async fn look(&self, record: &PromotionRecord) -> BTreeMap<StackName, StackLook> {
        stream::iter(&record.plan.stacks)
            .map(|planned| async move {
                let nested: Vec<&str> = planned.nested_templates().into_keys().collect();
                (planned.stack_name.clone(), self.look_at(&planned.stack_name, &nested, record.ended_at).await)
            })
            .buffer_unordered(STACKS_IN_FLIGHT)
            .collect()
            .await
    }

    /// One stack, and those that are nested in it, of which a promotion that ended at `since` left what is there.
    async fn look_at(&self, name: &StackName, nested: &[&str], since: Option<Timestamp>) -> StackLook {
        let described = self.client.describe_stacks().stack_name(name.as_str()).send();
        let template = self.client.get_template().stack_name(name.as_str()).template_stage(TemplateStage::Original);
        let (described, template) = tokio::join!(described, template.send());
        let (described, template) = match (described, template) {
            (Ok(described), Ok(template)) => (described, template),
            (Err(error), _) if Failure::of(&error) == Failure::Absent => return StackLook::Missing,
            (_, Err(error)) if Failure::of(&error) == Failure::Absent => return StackLook::Missing,
            (Err(error), _) => return StackLook::Unread(format!("DescribeStacks: {}", said(&error))),
            (_, Err(error)) => return StackLook::Unread(format!("GetTemplate: {}", said(&error))),
        };
        let Some(stack) = described.stacks().first() else {
            return StackLook::Unread("DescribeStacks answered without a stack".to_owned());
        };
        let Some(template) = template.template_body() else {
            return StackLook::Unread("GetTemplate answered without a template".to_owned());
        };
        let template_sha256 = Sha256::of(template.as_bytes());
        let nested = match self.nested(name, nested).await {
            Ok(nested) => nested,
            Err(why) => return StackLook::Unread(why),
        };
        // A check of before the promotion's end says nothing about what it left.
        let drift = match since {
            Some(since) => self.drift(name, stack, since).await,
            None => StackDrift::Unknown("the record does not tell when the promotion ended".to_owned()),
        };
        StackLook::There { template_sha256, nested, drift }
    }

    /// The templates of nested stacks, or why one could not be looked at.
    async fn nested(&self, name: &StackName, paths: &[&str]) -> Result<BTreeMap<String, Sha256>, String> {
        let mut found = BTreeMap::new();
        let ids = nested_ids(&self.client, name, paths.iter().copied()).await;
        for (path, id) in ids.map_err(|error| format!("ListStackResources: {}", said(&error)))? {
            let template = self.client.get_template().stack_name(id).template_stage(TemplateStage::Original).send();
            let template = template.await.map_err(|error| format!("GetTemplate of `{path}`: {}", said(&error)))?;
            let template = template.template_body().ok_or("GetTemplate answered without a template")?;
            found.insert(path.to_owned(), Sha256::of(template.as_bytes()));
        }
        Ok(found)
    }

    /// What CloudFormation has found; and where that is old, it is asked to look again, for the next run.
    async fn drift(&self, name: &StackName, stack: &Stack, since: Timestamp) -> StackDrift {
        let information = stack.drift_information();
        let status = information.and_then(|it| it.stack_drift_status()).cloned();
        let checked = information.and_then(|it| it.last_check_timestamp());
        let checked = checked.and_then(timestamp).filter(|at| *at >= since);
        if self.is_due(status.as_ref(), checked)
            && let Err(error) = self.client.detect_stack_drift().stack_name(name.as_str()).send().await
            && !is_busy(&error)
        {
            return StackDrift::Unknown(format!("DetectStackDrift: {}", said(&error)));
        }
        match (status, checked) {
            (_, None) | (None | Some(StackDriftStatus::NotChecked), _) => StackDrift::NotChecked,
            (Some(StackDriftStatus::InSync), _) => StackDrift::InSync,
            (Some(StackDriftStatus::Drifted), _) => self.drifted(name).await,
            (Some(other), _) => StackDrift::Unknown(format!("it says `{}`", other.as_str())),
        }
    }

    fn is_due(&self, status: Option<&StackDriftStatus>, checked: Option<Timestamp>) -> bool {
        let Some(checked) = checked else { return true };
        let every = if status == Some(&StackDriftStatus::Drifted) { DETECT_AGAIN } else { DETECT_EVERY };
        self.is_thorough || self.now.duration_since(checked) >= every
    }

    async fn drifted(&self, name: &StackName) -> StackDrift {
        let ask = self.client.describe_stack_resource_drifts().stack_name(name.as_str());
        let ask = ask.stack_resource_drift_status_filters(StackResourceDriftStatus::Modified);
        let ask = ask.stack_resource_drift_status_filters(StackResourceDriftStatus::Deleted);
        match ask.max_results(RESOURCES_NAMED).send().await {
            Ok(answer) => {
                let mut named: Vec<_> = answer.stack_resource_drifts().iter().map(told).collect();
                named.sort();
                if answer.next_token().is_some() {
                    named.push("and more".to_owned());
                }
                StackDrift::Drifted(named)
            }
            // That it has drifted is known all the same.
            Err(error) => StackDrift::Drifted(vec![format!("which ones could not be looked at ({})", said(&error))]),
        }
    }
}

fn told(drift: &StackResourceDrift) -> String {
    let status = drift.stack_resource_drift_status().map_or("changed", StackResourceDriftStatus::as_str);
    format!("`{}` ({})", drift.logical_resource_id().unwrap_or("a resource without a name"), status.to_lowercase())
}

/// One detection at a time, or the stack itself is being worked on.
fn is_busy<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let message = message(error);
    message.contains("already in progress") || message.contains("_IN_PROGRESS")
}

#[cfg(test)]
#[path = "stacks_tests.rs"]
mod tests;
