//! What follows from the record of a promotion that has ended. The record is written first and for good, so whoever comes
//! upon it can do what is still missing.

use gatekeeper_model::store_key::RecordKey;
use gatekeeper_proof::ledger::RecordDigest;
use gatekeeper_store::{
    WriteStore, Written, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;

use super::{
    history::{Completed, StageState},
    record::PromotionRecord,
};

/// Makes the commit of a promotion that succeeded at `ended_at` what its stage runs, once, and gives the document that tells
/// it now, which the ledger signs. None means that somebody else writes there at the same time, and it must be done again.
///
/// # Errors
/// [`RecordError`] where the stage's state could not be read or written.
pub async fn advance_stage(
    records: &impl WriteStore,
    record: &PromotionRecord,
    ended_at: Timestamp,
) -> Result<Option<RecordDigest>, RecordError> {
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
    let document = |sha256| Some(RecordDigest { key: key.to_string(), version_id: None, sha256 });
    if let Some(before) = before.as_ref().filter(|before| before.record == after) {
        return Ok(document(before.sha256));
    }
    let sha256 = record::digest(&after).map_err(|source| RecordError::Invalid { key: key.to_string(), source })?;
    let written = record::write(records, &key, &after, &Stored::precondition(before.as_ref())).await?;
    Ok(if matches!(written, Written::Done { .. }) { document(sha256) } else { None })
}
