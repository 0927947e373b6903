//! What follows from the record of a promotion that has ended. The record is written first and for good, so whoever comes
//! upon it can do what is still missing.

use gatekeeper_model::store_key::RecordKey;
use gatekeeper_store::{
    WriteStore, Written, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;

use super::{
    history::{Completed, StageState},
    record::PromotionRecord,
};

/// Makes the commit of a promotion that succeeded at `ended_at` what its stage runs, once. A conflict means that
/// somebody else writes there at the same time, and it must be done again.
///
/// # Errors
/// [`RecordError`] where the stage's state could not be read or written.
pub async fn advance_stage(
    records: &impl WriteStore,
    record: &PromotionRecord,
    ended_at: Timestamp,
) -> Result<Written, RecordError> {
    let key = RecordKey::Stage(record.stage.clone(), record.repo.clone());
    let before = record::read::<StageState>(records, &key).await?;
    let completed = Completed {
        commit_sha: record.commit_sha.clone(),
        promotion_id: record.promotion_id.clone(),
        manifest_version_id: Some(record.manifest_version_id.clone()),
        completed_at: ended_at,
        rollback: record.rollback,
    };
    let state = before.as_ref().map(|stored| stored.record.clone());
    let after = StageState::after(state, &record.stage, &record.repo, completed);
    match &before {
        Some(before) if before.record == after => {
            Ok(Written::Done { etag: before.etag.clone(), version_id: before.version_id.clone() })
        }
        before => record::write(records, &key, &after, &Stored::precondition(before.as_ref())).await,
    }
}
