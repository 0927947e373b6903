//! What a Pulumi backend says of an update: its history and its state, read from the stage's bucket.

use anyhow::bail;
use aws_config::SdkConfig;
use gatekeeper_promotion::{
    runs::{Judgement, OpenLease, PlannedPulumi},
    step::PromotionRef,
};

/// Reads the backend and judges the newest update of the stack.
pub(crate) async fn judge(
    _config: &SdkConfig,
    planned: &PlannedPulumi,
    _promotion: &PromotionRef,
    _lease: &OpenLease,
) -> anyhow::Result<Judgement> {
    bail!("the backend `{}` is not read yet", planned.backend)
}
