//! Asks `judge-run` what is there now of what runners left: it alone may read the backends of Pulumi's stacks.

use std::collections::BTreeMap;

use aws_sdk_lambda::Client;
use gatekeeper_model::ids::RunName;
use gatekeeper_promotion::{
    record::PromotionRecord,
    runs::{
        PlannedRun,
        standing::{RunLook, StandingEvent},
    },
};

use crate::ask::ask;

/// What looks at what runners left.
#[derive(Debug)]
pub struct Runs {
    /// Invokes it.
    pub lambda: Client,
    /// Its name.
    pub function: String,
}

impl Runs {
    /// What is there now of each run of a promotion that can be looked at. Whatever keeps it from being told is an answer.
    pub(crate) async fn look(&self, record: &PromotionRecord) -> BTreeMap<RunName, RunLook> {
        let is_looked_at = |run: &&PlannedRun| matches!(run, PlannedRun::Pulumi(_));
        let wanted: Vec<_> = record.plan.runs.iter().filter(is_looked_at).map(PlannedRun::name).collect();
        if wanted.is_empty() {
            return BTreeMap::new();
        }
        match self.ask(record).await {
            Ok(looks) => looks,
            Err(why) => wanted.into_iter().map(|name| (name, RunLook::Unknown(why.clone()))).collect(),
        }
    }

    async fn ask(&self, record: &PromotionRecord) -> Result<BTreeMap<RunName, RunLook>, String> {
        let function = &self.function;
        let body = ask(&self.lambda, function, &StandingEvent { standing: record.reference() }).await?;
        serde_json::from_slice(&body).map_err(|error| format!("`{function}` gave an answer that is none: {error}"))
    }
}
