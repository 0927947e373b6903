//! Reading records for pages: one that can't be read is shown as such, and the rest of the page stands.

use gatekeeper_model::store_key::RecordKey;
use gatekeeper_store::{
    ReadStore, StoreError, record,
    record::{RecordError, Stored},
};
use serde::de::DeserializeOwned;

/// A record, or that the one that is there can't be read.
pub(crate) struct Found<T> {
    record: Option<Stored<T>>,
    unreadable: Option<RecordKey>,
}

impl<T> Found<T> {
    /// The record where there is one; one that can't be read is noted by its key.
    pub(crate) fn or_note(self, unreadable: &mut Vec<String>) -> Option<T> {
        unreadable.extend(self.unreadable.map(|key| key.to_string()));
        self.record.map(|it| it.record)
    }
}

/// Reads a record.
pub(crate) async fn read<T: DeserializeOwned>(
    records: &impl ReadStore,
    key: RecordKey,
) -> Result<Found<T>, StoreError> {
    match record::read(records, &key).await {
        Ok(record) => Ok(Found { record, unreadable: None }),
        Err(RecordError::Store(error)) => Err(error),
        Err(RecordError::Missing(_) | RecordError::Invalid { .. }) => Ok(Found { record: None, unreadable: Some(key) }),
    }
}
