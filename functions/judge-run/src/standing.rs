//! Whether what a runner left still stands.

use std::collections::BTreeMap;

use anyhow::Context as _;
use gatekeeper_aws::{pulumi::PulumiStack, stage_account::stage_config};
use gatekeeper_model::ids::RunName;
use gatekeeper_promotion::{
    record::PromotionRecord,
    runs::{
        PlannedPulumi, PlannedRun,
        standing::{RunLook, StackNow, proof_of},
    },
    step::PromotionRef,
};
use gatekeeper_readers::pulumi::backend::S3Backend;
use gatekeeper_store::WriteStore;
use jiff::SignedDuration;

use crate::Step;

/// The entry of the promotion's update was written at its end, and the list begins before it began.
const BEFORE: SignedDuration = SignedDuration::from_mins(5);

impl<S: WriteStore> Step<S> {
    /// What is there now of each run of a promotion; what can't be looked at is told as that.
    pub(crate) async fn standing(&self, promotion: &PromotionRef) -> anyhow::Result<BTreeMap<RunName, RunLook>> {
        let record = PromotionRecord::load(&self.records, promotion).await?.record;
        let mut looks = BTreeMap::new();
        for run in &record.plan.runs {
            if let PlannedRun::Pulumi(program) = run {
                let now = self.stack_now(&record, program).await;
                let look = now.map_or_else(|error| RunLook::Unknown(format!("{error:#}")), RunLook::Pulumi);
                looks.insert(run.name(), look);
            }
        }
        Ok(looks)
    }

    async fn stack_now(&self, record: &PromotionRecord, program: &PlannedPulumi) -> anyhow::Result<StackNow> {
        let proof = proof_of(record).context("the promotion's record does not tell what its update left")?;
        let backend: S3Backend = program.backend.parse()?;
        let config = stage_config(&self.config, program.read_role_arn.as_deref()).await;
        let stack = PulumiStack::of(&config, backend, &program.project, &program.stack).await;
        let since = proof.started_at.saturating_sub(BEFORE)?;
        let look = stack.look(since).await?;
        Ok(StackNow::of(&proof, &look, stack.refresh().await?))
    }
}
