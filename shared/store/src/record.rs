//! The gatekeeper's own records: JSON documents in the records bucket.

use gatekeeper_model::{
    ids::{ETag, Sha256, VersionId},
    store_key::RecordKey,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Precondition, ReadStore, StoreError, WriteStore, Written};

/// The largest record that is read back: the gatekeeper wrote it.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bucket could not be looked at or written to.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such record.
    #[error("there is no record `{0}`")]
    Missing(String),
    /// It isn't what the gatekeeper writes.
    #[error("the record `{key}` is not valid")]
    Invalid {
        /// The record's key.
        key: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads one of the gatekeeper's records with its etag and version; `None` where no record lies at the key.
///
/// # Errors
/// [`RecordError`] where it can't be read.
pub async fn read<T: DeserializeOwned>(
    records: &impl ReadStore,
    key: &RecordKey,
) -> Result<Option<Stored<T>>, RecordError> {
    let key = key.to_string();
    let Some(body) = records.get(&key, None, MAX_BYTES).await? else { return Ok(None) };
    match serde_json::from_slice(&body.bytes) {
        Ok(record) => {
            let sha256 = Sha256::of(&body.bytes);
            Ok(Some(Stored { record, etag: body.etag, version_id: body.version_id, sha256 }))
        }
        Err(source) => Err(RecordError::Invalid { key, source }),
    }
}

/// Writes one of the gatekeeper's records where the precondition holds.
///
/// # Errors
/// [`RecordError`] where it can't be written.
pub async fn write(
    records: &impl WriteStore,
    key: &RecordKey,
    record: &impl Serialize,
    precondition: &Precondition,
) -> Result<Written, RecordError> {
    let key = key.to_string();
    match to_bytes(record) {
        Ok(bytes) => Ok(records.put(&key, &bytes, "application/json", precondition).await?),
        Err(source) => Err(RecordError::Invalid { key, source }),
    }
}

/// A record as it is stored.
///
/// # Errors
/// Where it is nothing that JSON has.
pub fn to_bytes(record: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(record)
}

/// The SHA-256 that a record has once it is stored.
///
/// # Errors
/// Where it is nothing that JSON has.
pub fn digest(record: &impl Serialize) -> Result<Sha256, serde_json::Error> {
    Ok(Sha256::of(&to_bytes(record)?))
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The record.
    pub record: T,
    /// What a conditional write compares.
    pub etag: ETag,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
}

impl<T> Stored<T> {
    /// What must hold for a write over what was read: that nobody has written since.
    #[must_use]
    pub fn precondition(seen: Option<&Self>) -> Precondition {
        seen.map_or(Precondition::Absent, |stored| Precondition::Unchanged(stored.etag.clone()))
    }
}
