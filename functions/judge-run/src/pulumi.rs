//! What a Pulumi backend says of an update: its history and its state, read from the stage's bucket.

use aws_config::SdkConfig;
use gatekeeper_aws::{pulumi::PulumiStack, stage_account::stage_config};
use gatekeeper_model::finding::{Code, Finding};
use gatekeeper_promotion::{
    runs::{Judgement, OpenLease, PlannedPulumi, pulumi},
    step::PromotionRef,
};
use gatekeeper_readers::pulumi::backend::S3Backend;

/// Reads the backend and judges the newest update of the stack: none of it is the runner's word.
pub(crate) async fn judge(
    config: &SdkConfig,
    planned: &PlannedPulumi,
    promotion: &PromotionRef,
    lease: &OpenLease,
) -> anyhow::Result<Judgement> {
    let PlannedPulumi { backend, project, stack, read_role_arn, .. } = planned;
    let backend = match backend.parse::<S3Backend>() {
        Ok(backend) => backend,
        Err(wrong) => {
            let message = format!("`{backend}`, the backend of the stage, is {wrong}");
            return Ok(Judgement::Refused(vec![Finding::new(
                Code::RunEvidenceInvalid,
                promotion.stage.as_str(),
                message,
            )]));
        }
    };
    let config = stage_config(config, read_role_arn.as_deref()).await;
    let read = PulumiStack::of(&config, backend, project, stack).await;
    let look = read.look(pulumi::looked_at_since(lease)).await?;
    Ok(pulumi::judge(planned, lease, &look))
}
