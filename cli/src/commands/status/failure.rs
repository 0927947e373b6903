//! The last promotion of a repository to a stage, where it failed.

use gatekeeper_model::{
    ids::{CommitSha, PromotionId, Repo, StageName},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    record::{PromotionRecord, Status},
    step::{PromotionRef, ReportStatus},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::records::Records;

/// A promotion that failed.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Failure {
    pub(super) promotion_id: PromotionId,
    pub(super) commit_sha: CommitSha,
    pub(super) requested_by: String,
    pub(super) ended_at: Option<Timestamp>,
    /// `failed`, or `rolled-back` where the commit before runs again.
    pub(super) status: Status,
    /// The step that failed first.
    pub(super) step: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
}

/// The last promotion that is neither the present one nor under way, where it failed: in two round trips.
pub(super) async fn last(
    records: &impl Records,
    stage: &StageName,
    repo: &Repo,
    present: Option<&PromotionId>,
    under_way: Option<&PromotionId>,
) -> anyhow::Result<Option<Failure>> {
    let key = |id: &PromotionId| RecordKey::Promotion(stage.clone(), repo.clone(), id.clone()).to_string();
    // Ids sort by time, so whatever comes after the present one is later.
    let after = present.map(key);
    let later = records.dated(&RecordKey::promotions_prefix(stage, repo), after.as_deref()).await?;
    let ids = later.iter().filter_map(|it| RecordKey::promotion_of(&it.key));
    let last = ids.filter(|id| Some(id) != under_way && Some(id) != present).max();
    let Some(promotion_id) = last else { return Ok(None) };
    let promotion = PromotionRef { stage: stage.clone(), repo: repo.clone(), promotion_id };
    let record = PromotionRecord::load(records, &promotion).await?.record;
    if !matches!(record.status, Status::Failed | Status::RolledBack) {
        return Ok(None);
    }
    let (step, reason) = why(&record).unzip();
    Ok(Some(Failure {
        requested_by: record.asked_by().to_owned(),
        promotion_id: record.promotion_id,
        commit_sha: record.commit_sha,
        ended_at: record.ended_at,
        status: record.status,
        step,
        reason,
    }))
}

/// The step that failed first, and why.
fn why(record: &PromotionRecord) -> Option<(String, String)> {
    record.steps.iter().find_map(|step| {
        let failed = step.reports.iter().find(|report| report.status == ReportStatus::Failed);
        let why =
            failed.map(|report| format!("`{}`: {}", report.subject, report.detail)).or_else(|| step.error.clone())?;
        Some((step.step.clone(), why))
    })
}
