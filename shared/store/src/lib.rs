//! A versioned bucket, as far as the gatekeeper uses one: S3 itself, and memory for tests.
//!
//! One contract suite ([`contract`]) runs against both, so that the memory store can't drift from S3.

#![warn(missing_docs)] // others build on this crate

use std::{collections::BTreeMap, fs::File, future::Future};

use gatekeeper_model::ids::{ETag, Sha256, VersionId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "test-support"))]
pub mod contract;
pub mod memory;
pub mod record;
pub mod revocation;

/// Independent calls in flight: more than 48 no longer helps a cold function, each connection costs a handshake.
pub const CALLS_IN_FLIGHT: usize = 48;

/// How many tags S3 gives an object.
pub const MAX_TAGS: usize = 10;

/// An object's tags.
pub type Tags = BTreeMap<String, String>;

/// The newest version of an object, as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object's key.
    pub key: String,
    /// Its newest version.
    pub version_id: VersionId,
    /// Its size in bytes.
    pub size: u64,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The version.
    pub version_id: VersionId,
    /// What a conditional write compares.
    pub etag: ETag,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 that the store itself computed over the whole object; `None` where it was uploaded in parts.
    pub sha256: Option<Sha256>,
    /// How many tags it has, for whoever may read them: others see none.
    pub tag_count: usize,
    /// How long it is kept. Who may not see retention sees none: [`ReadStore::may_see_retention`] tells which it is.
    pub retention: Retention,
}

/// How long a version of an object is kept, as far as whoever asks may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The lock's mode, such as `GOVERNANCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// When the lock ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether a legal hold keeps it beyond that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legal_hold: bool,
    /// When a lifecycle rule expires it, in S3's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
}

/// A small object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// All of them.
    pub bytes: Vec<u8>,
    /// The version that they are.
    pub version_id: VersionId,
    /// What a conditional write compares.
    pub etag: ETag,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such object.
    Absent,
    /// The object is still the one with this etag.
    Unchanged(ETag),
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is there, with this etag and version.
    Done {
        /// What a conditional write compares.
        etag: ETag,
        /// The version that was written.
        version_id: VersionId,
    },
    /// Somebody else was faster: the precondition doesn't hold.
    Conflict,
}

/// Why the store could not be looked at or written to.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of `{key}` in `{bucket}` failed")]
pub struct StoreError {
    /// The S3 operation.
    pub operation: &'static str,
    /// The bucket.
    pub bucket: String,
    /// The key or prefix.
    pub key: String,
    /// What S3 said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An object was asked for that is larger than whoever asked would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is larger than {max_bytes} bytes")]
pub struct TooLarge {
    /// The limit.
    pub max_bytes: u64,
}

impl StoreError {
    /// Whether the object is there and larger than was asked for.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.source.is::<TooLarge>()
    }
}

/// A versioned bucket that is looked at: whoever has no more than this can't change it. `None` in an answer means that there
/// is no such object or version.
pub trait ReadStore: Sync {
    /// The newest version of every object under `prefix` that isn't deleted, by key.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// The first key under `prefix`, in one call however many there are. A deleted object that would be the first is an error:
    /// whoever asks wants to know what was there.
    fn first(&self, prefix: &str) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// The names of the folders directly under `prefix`, which ends with a slash: those of deleted objects too.
    fn folders(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// What is known of an object, in its newest or in the given version.
    fn head(
        &self,
        key: &str,
        version_id: Option<&VersionId>,
    ) -> impl Future<Output = Result<Option<Head>, StoreError>> + Send;

    /// Whether the retention of a version can be seen, so that an object without one is known not to be locked.
    ///
    /// # Errors
    /// [`StoreError`] where it can't, with the reason.
    fn may_see_retention(
        &self,
        key: &str,
        version_id: &VersionId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (key, version_id);
        async { Ok(()) }
    }

    /// Reads a small object; more than `max_bytes` is an error.
    fn get(
        &self,
        key: &str,
        version_id: Option<&VersionId>,
        max_bytes: u64,
    ) -> impl Future<Output = Result<Option<Body>, StoreError>> + Send;

    /// Reads one version piece by piece, memory bounded by a piece, and tells how many tags it has, for whoever may read them;
    /// `None` where there is no such version.
    fn stream(
        &self,
        key: &str,
        version_id: &VersionId,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> impl Future<Output = Result<Option<usize>, StoreError>> + Send;

    /// The object as a file of this machine, where it is one whose bytes were hashed to `sha256` already: it need not be
    /// copied to be read. A bucket has none.
    ///
    /// # Errors
    /// Where it is one and can't be opened.
    fn hashed_file(&self, key: &str, sha256: Sha256) -> std::io::Result<Option<File>> {
        let _ = (key, sha256);
        Ok(None)
    }

    /// The tags of one version.
    fn tags(&self, key: &str, version_id: &VersionId) -> impl Future<Output = Result<Option<Tags>, StoreError>> + Send;
}

/// A bucket whose objects are tagged and otherwise left as they are.
pub trait TagStore: ReadStore {
    /// Replaces the tags of one version, all of them; `false` where there is no such version.
    fn put_tags(
        &self,
        key: &str,
        version_id: &VersionId,
        tags: &Tags,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// A bucket that is written to.
pub trait WriteStore: ReadStore {
    /// Writes an object where the precondition holds, and tells what the bucket answered. Callers use
    /// [`WriteStore::put`].
    fn put_once(
        &self,
        key: &str,
        bytes: &[u8],
        content_type: &str,
        precondition: &Precondition,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Writes an object where the precondition holds.
    ///
    /// The answer to a write can be lost after the write was served, and the next attempt then meets its own object: a
    /// conflict with oneself, or an error. So anything but a success is looked into. What is stored to the byte as it should
    /// be is done, whoever stored it: a record names whom it is of, so equal bytes say the same of the same.
    ///
    /// # Errors
    /// Where the write failed and what is stored isn't it, or where a conflict could not be looked into.
    fn put(
        &self,
        key: &str,
        bytes: &[u8],
        content_type: &str,
        precondition: &Precondition,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send {
        async move {
            let answer = self.put_once(key, bytes, content_type, precondition).await;
            if matches!(answer, Ok(Written::Done { .. })) {
                return answer;
            }
            match (self.get(key, None, bytes.len() as u64).await, answer) {
                (Ok(Some(there)), _) if there.bytes == bytes => {
                    Ok(Written::Done { etag: there.etag, version_id: there.version_id })
                }
                // Whose it is isn't known, and "somebody else's" would be a guess.
                (Err(error), Ok(_)) if !error.is_too_large() => Err(error),
                (_, answer) => answer,
            }
        }
    }
}

/// Both buckets.
#[derive(Debug)]
pub struct Stores<'a, S> {
    /// The one that CI writes.
    pub artefacts: &'a S,
    /// The one that only the gatekeeper writes.
    pub records: &'a S,
}

// Derived, they would ask the same of `S`.
impl<S> Clone for Stores<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Stores<'_, S> {}
