//! A stack of Pulumi's in a bucket: what its history and its state say, as the bucket itself holds them.
//!
//! States hold secrets. They are hashed and parsed as they come, and neither kept nor written anywhere.

use std::io::{self, Read};

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use gatekeeper_model::ids::{Sha256, VersionId};
use gatekeeper_readers::pulumi::{
    Packing,
    backend::{Entry, EntryKey, Look, Refresh, S3Backend, StateObject},
    history, refresh, state,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::sync::mpsc;

use crate::{
    failure::{Failure, said},
    s3_client, timestamp,
};

/// The header by which S3 tells where a bucket is, with an error too (Amazon S3 API reference, `HeadBucket`).
const REGION_HEADER: &str = "x-amz-bucket-region";

/// The most entries that are read: of more updates than this in one lease nobody can say what they came to.
const MAX_ENTRIES: usize = 20;

/// How much of an object waits to be parsed.
const PIECES: usize = 4;

/// A stack, and how it is read.
#[derive(Debug, Clone)]
pub struct PulumiStack {
    client: Client,
    backend: S3Backend,
    project: String,
    stack: String,
}

/// The bucket could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of `{place}` failed")]
pub struct BackendError {
    operation: &'static str,
    place: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// An object as it came.
struct Came<T> {
    version_id: Option<VersionId>,
    sha256: Sha256,
    size: u64,
    said: T,
}

impl PulumiStack {
    /// The stack, read where its bucket is.
    ///
    /// # Errors
    /// Never where the bucket can't be looked at: the first call that needs it fails then.
    pub async fn of(config: &SdkConfig, backend: S3Backend, project: &str, stack: &str) -> Self {
        let client = s3_client(config);
        let answer = client.head_bucket().bucket(backend.bucket().as_str()).send().await;
        let region = match &answer {
            Ok(head) => head.bucket_region().map(str::to_owned),
            Err(error) => error.raw_response().and_then(|it| it.headers().get(REGION_HEADER)).map(str::to_owned),
        };
        let own = config.region().map(AsRef::as_ref);
        let client = match region.filter(|region| Some(region.as_str()) != own && !region.is_empty()) {
            Some(region) => s3_client(&config.to_builder().region(Region::new(region)).build()),
            None => client,
        };
        Self { client, backend, project: project.to_owned(), stack: stack.to_owned() }
    }

    /// Looks at the history since a time, and at the state.
    ///
    /// # Errors
    /// Where the bucket can't be looked at: that something isn't there is no error.
    pub async fn look(&self, since: Timestamp) -> Result<Look, BackendError> {
        let Self { backend, project, stack, .. } = self;
        let prefix = backend.history_prefix(project, stack);
        // Keys sort by the time, which has 19 digits for two and a half centuries more.
        let after = format!("{prefix}{:019}", since.as_nanosecond().max(0));
        let listed = self.list(&prefix, Some(&after)).await?;
        let mut keys: Vec<_> = listed.iter().filter_map(|(key, _)| EntryKey::parse(key, &prefix)).collect();
        keys.sort_by_key(|entry| std::cmp::Reverse(entry.written));
        let mut entries = Vec::new();
        for key in keys.into_iter().take(MAX_ENTRIES) {
            entries.extend(self.entry(key).await?);
        }
        let is_locked = !self.list(&backend.lock_prefix(project, stack), None).await?.is_empty();
        Ok(Look { entries, state: self.state().await?, is_locked })
    }

    /// The stack's state; `None` where there is none.
    ///
    /// # Errors
    /// Where the bucket can't be looked at.
    pub async fn state(&self) -> Result<Option<StateObject>, BackendError> {
        let prefix = self.backend.state_prefix(&self.project, &self.stack);
        let listed = self.list(&prefix, None).await?;
        // Whoever turned packing on or off may have left the other one behind: Pulumi takes the one written last.
        let own = listed
            .into_iter()
            .filter(|(key, _)| key.strip_prefix(&prefix).is_some_and(|end| matches!(end, "" | ".gz" | ".zst")));
        let Some((key, _)) = own.max_by_key(|(_, written)| *written) else { return Ok(None) };
        let came = match Packing::of(&key) {
            Some(packing) => self.parsed(&key, move |reader| state::read(packing.unpack(reader))).await?,
            None => self.hashed(&key).await?.map(|came| Came {
                said: Err("it is packed in a way that this gate can't unpack".to_owned()),
                ..came.emptied()
            }),
        };
        Ok(came.map(|Came { version_id, sha256, size, said }| StateObject {
            key,
            version_id,
            sha256,
            size,
            state: said,
        }))
    }

    /// What a refresh that only looked said last; `None` where nobody has left that.
    ///
    /// # Errors
    /// Where the bucket can't be looked at.
    pub async fn refresh(&self) -> Result<Option<Refresh>, BackendError> {
        let key = self.backend.refresh_key(&self.project, &self.stack);
        let listed = self.list(&key, None).await?;
        let Some((key, Some(left_at))) = listed.into_iter().find(|(it, _)| *it == key) else { return Ok(None) };
        let came = self.parsed(&key, refresh::differing).await?;
        Ok(came.map(|came| Refresh { left_at, differing: came.said }))
    }

    async fn entry(&self, key: EntryKey) -> Result<Option<Entry>, BackendError> {
        let EntryKey { history, checkpoint, packing, .. } = key;
        let came = match packing {
            Some(packing) => self.parsed(&history, move |reader| history::entry(packing.unpack(reader))).await?,
            None => self.hashed(&history).await?.map(|came| Came {
                said: Err("it is packed in a way that this gate can't unpack".to_owned()),
                ..came.emptied()
            }),
        };
        let Some(came) = came else { return Ok(None) };
        let checkpoint_sha256 = self.hashed(&checkpoint).await?.map(|it| it.sha256);
        Ok(Some(Entry { key: history, sha256: came.sha256, update: came.said, checkpoint_sha256 }))
    }

    /// The keys of the objects that begin so, each with when it was written.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<(String, Option<Timestamp>)>, BackendError> {
        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(self.backend.bucket().as_str())
                .prefix(prefix)
                .set_start_after(after.filter(|_| token.is_none()).map(str::to_owned))
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|error| self.failed("ListObjectsV2", prefix, said(&error)))?;
            for object in page.contents() {
                let key = object
                    .key()
                    .ok_or_else(|| self.failed("ListObjectsV2", prefix, "it lists an object without its key"))?;
                listed.push((key.to_owned(), object.last_modified().and_then(timestamp)));
            }
            token = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true)).map(str::to_owned);
            if token.is_none() {
                return Ok(listed);
            }
        }
    }

    /// An object's digest; `None` where there is none.
    async fn hashed(&self, key: &str) -> Result<Option<Came<()>>, BackendError> {
        self.parsed(key, |mut reader| io::copy(&mut reader, &mut io::sink()).map(drop)).await
    }

    /// An object, parsed and hashed as it comes; `None` where there is none.
    async fn parsed<T: Send + 'static>(
        &self,
        key: &str,
        parse: impl FnOnce(Pieces) -> io::Result<T> + Send + 'static,
    ) -> Result<Option<Came<T>>, BackendError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| self.failed("GetObject", key, source);
        let answer = self.client.get_object().bucket(self.backend.bucket().as_str()).key(key).send().await;
        let mut object = match answer {
            Ok(object) => object,
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(None),
            Err(error) => return Err(failed(said(&error).into())),
        };
        // S3 calls the only version of a bucket that keeps none `null`.
        let version_id = object.version_id().filter(|it| *it != "null").map(VersionId::from);
        let (sender, receiver) = mpsc::channel(PIECES);
        let parsing = tokio::task::spawn_blocking(move || parse(Pieces { receiver, piece: Vec::new(), at: 0 }));
        let (mut hasher, mut size) = (Hasher::new(), 0_u64);
        while let Some(piece) = object.body.next().await {
            let piece = piece.map_err(|error| failed(error.into()))?;
            hasher.update(&piece);
            size += piece.len() as u64;
            // Whoever parses may have seen enough.
            let _seen_enough = sender.send(piece.to_vec()).await;
        }
        drop(sender);
        let said = parsing.await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        Ok(Some(Came { version_id, sha256: Sha256::from_bytes(hasher.finalize().into()), size, said }))
    }

    fn failed(
        &self,
        operation: &'static str,
        key: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> BackendError {
        BackendError { operation, place: format!("s3://{}/{key}", self.backend.bucket()), source: source.into() }
    }
}

impl Came<()> {
    /// The same, of which something else is said.
    fn emptied<T>(self) -> Came<Result<T, String>> {
        let Self { version_id, sha256, size, said: () } = self;
        Came { version_id, sha256, size, said: Err(String::new()) }
    }
}

/// The pieces of an object as they come, for a parser that waits for them on a thread of its own.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => return Ok(0),
            }
        }
        let mut rest = self.piece.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "pulumi_tests.rs"]
mod tests;
