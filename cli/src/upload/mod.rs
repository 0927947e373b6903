//! Uploading a commit: many objects at once, each with the SHA-256 of the whole, nothing twice.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, anyhow};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::{ByteStream, Length},
    types::{ChecksumMode, ChecksumType},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{
    failure::{Failure, code, is_conflict},
    s3::S3Store,
};
use gatekeeper_gate::judgement::INTEGRATION_PASSED;
use gatekeeper_model::{
    ids::{Commit, ETag, Sha256, VersionId},
    manifest,
    store_key::{ArtefactKey, ArtefactPath},
};
use gatekeeper_store::ReadStore as _;
use serde_json::{Map, Value};

use crate::{aws::called, build_folder::BuildFile, exit::Misuse};

mod parts;

/// Objects in flight: enough to keep a network busy whose answers take 100 ms.
const IN_FLIGHT: usize = 24;

/// How much of a file is in memory at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// The largest object that S3 takes in one call (S3 user guide, "Uploading objects").
pub(crate) const MAX_SINGLE_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// The metadata that holds the digest of an object that was uploaded in parts, of whose whole S3 computes none.
const DIGEST: &str = "sha256";

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The version that is there now.
    pub(crate) version_id: VersionId,
    /// Whether it had to be uploaded.
    pub(crate) uploaded: bool,
}

/// Uploads the objects of one commit.
#[derive(Debug)]
pub(crate) struct Uploader<'a> {
    client: Client,
    bucket: &'a str,
    commit: &'a Commit,
    /// The keys that were there when it began.
    present: BTreeSet<String>,
    multipart_above: u64,
}

/// What is there under a key.
struct Present {
    version_id: VersionId,
    etag: Option<ETag>,
    sha256: Option<Sha256>,
}

/// What must be uploaded under a key.
struct Object<'a> {
    key: String,
    content_type: &'static str,
    content: Content<'a>,
    size: u64,
    sha256: Sha256,
}

enum Content<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

impl<'a> Uploader<'a> {
    /// Looks at what is there already.
    pub(crate) async fn start(bucket: &'a S3Store, commit: &'a Commit, multipart_above: u64) -> anyhow::Result<Self> {
        let listed = bucket.list(&commit.prefix()).await?;
        let present = listed.into_iter().map(|it| it.key).collect();
        Ok(Self { client: bucket.client().clone(), bucket: bucket.bucket(), commit, present, multipart_above })
    }

    /// The objects that are stored beside `files` and the manifest: of an earlier build, or of somebody else.
    pub(crate) fn strays(&self, files: &[BuildFile]) -> Vec<&str> {
        let own: BTreeSet<_> = files.iter().map(|file| file.path.of(self.commit)).collect();
        let manifest = ArtefactPath::Manifest.of(self.commit);
        // Of the provenance of an earlier try the gate says itself what it is worth.
        let is_provenance =
            |key: &str| ArtefactKey::parse(key).is_ok_and(|it| matches!(it.path, ArtefactPath::Provenance(_)));
        let strays = self.present.iter();
        let strays = strays.filter(|key| !own.contains(*key) && **key != manifest && !is_provenance(key));
        strays.filter_map(|key| key.strip_prefix(&self.commit.prefix())).collect()
    }

    /// Uploads every file but the manifest, as far as it isn't there; `done` hears of each.
    ///
    /// # Errors
    /// The first that failed. Others that were on their way may be there or not: what is there is skipped next time.
    pub(crate) async fn artefacts(
        &self,
        files: &[BuildFile],
        done: impl Fn(&BuildFile, &Stored),
    ) -> anyhow::Result<()> {
        let files = files.iter().filter(|file| !file.is_manifest());
        let uploads = stream::iter(files.map(|file| async {
            let object = Object {
                key: file.path.of(self.commit),
                content_type: file.path.content_type(),
                content: Content::File(&file.file),
                size: file.size,
                sha256: file.sha256,
            };
            let stored = self.put(&object).await.with_context(|| format!("`{}` was not uploaded", file.path))?;
            done(file, &stored);
            anyhow::Ok(())
        }));
        uploads.buffer_unordered(IN_FLIGHT).try_collect().await
    }

    /// Uploads the manifest, unless one is there that differs in its `timestamp` only; one that was attested also then, because
    /// of another one the attestation says nothing.
    pub(crate) async fn manifest(&self, bytes: &[u8], is_attested: bool, store: &S3Store) -> anyhow::Result<Stored> {
        let key = ArtefactPath::Manifest.of(self.commit);
        // One that is too large to be read is another one.
        if self.present.contains(&key)
            && let Ok(Some(there)) = store.get(&key, None, manifest::MAX_BYTES).await
            && (there.bytes == bytes || (!is_attested && says_the_same(&there.bytes, bytes)))
        {
            return Ok(Stored { version_id: there.version_id, uploaded: false });
        }
        let object = Object {
            key,
            content_type: ArtefactPath::Manifest.content_type(),
            content: Content::Bytes(bytes),
            size: bytes.len() as u64,
            sha256: Sha256::of(bytes),
        };
        self.put(&object).await.context("`build-manifest.json` was not uploaded, and the artefacts were: publish again")
    }

    async fn put(&self, object: &Object<'_>) -> anyhow::Result<Stored> {
        let present = if self.present.contains(&object.key) { self.look(&object.key).await? } else { None };
        match present {
            Some(Present { version_id, sha256: Some(sha256), .. }) if sha256 == object.sha256 => {
                Ok(Stored { version_id, uploaded: false })
            }
            other => {
                let etag = other.and_then(|it| it.etag);
                if object.size > self.multipart_above {
                    self.put_in_parts(object, etag).await
                } else {
                    self.put_whole(object, etag).await
                }
            }
        }
    }

    async fn look(&self, key: &str) -> anyhow::Result<Option<Present>> {
        let head = self.client.head_object().bucket(self.bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let head = match head.send().await {
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(None),
            head => called("HeadObject", head)?,
        };
        let in_parts = head.checksum_type() == Some(&ChecksumType::Composite);
        let told = head.metadata().and_then(|it| it.get(DIGEST));
        let sha256 = match head.checksum_sha256().filter(|_| !in_parts) {
            Some(whole) => Sha256::from_base64(whole),
            None => told.and_then(|it| it.parse().ok()),
        };
        Ok(Some(Present {
            version_id: head
                .version_id()
                .context("the artefact bucket is not versioned: turn its versioning on")?
                .into(),
            etag: head.e_tag().map(ETag::from),
            sha256,
        }))
    }

    /// One call, on the condition that nobody else has written there since it was looked at.
    async fn put_whole(&self, object: &Object<'_>, etag: Option<ETag>) -> anyhow::Result<Stored> {
        let absent = etag.is_none().then(|| "*".to_owned());
        let put = self.client.put_object().bucket(self.bucket).key(&object.key);
        let put = put.set_if_match(etag.map(|it| it.to_string())).set_if_none_match(absent);
        let put = put.content_type(object.content_type).tagging(tagging());
        let put = put.checksum_sha256(object.sha256.to_base64()).body(object.body(0, object.size).await?);
        match put.send().await {
            Ok(done) => stored(done.version_id()),
            Err(error) => self.not_put("PutObject", object, error).await,
        }
    }

    /// A write that did not happen: it may have, and its answer been lost.
    async fn not_put<E>(&self, operation: &str, object: &Object<'_>, error: SdkError<E>) -> anyhow::Result<Stored>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if is_conflict(&error) || Failure::of(&error) == Failure::Absent {
            return match self.look(&object.key).await? {
                Some(Present { version_id, sha256: Some(there), .. }) if there == object.sha256 => {
                    Ok(Stored { version_id, uploaded: true })
                }
                _ => Err(anyhow!("somebody else wrote `{}` meanwhile: publish again", object.key)),
            };
        }
        if matches!(
            code(&error),
            Some("BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "IncompleteBody")
        ) || object.has_changed()
        {
            return Err(changed(object));
        }
        called(operation, Err(error))
    }
}

/// The file is no longer what was hashed and judged.
fn changed(object: &Object<'_>) -> anyhow::Error {
    let file = match object.content {
        Content::File(file) => file.display().to_string(),
        Content::Bytes(_) => object.key.clone(),
    };
    Misuse(format!("`{file}` has changed since it was read: publish again when nothing writes it any more")).into()
}

fn stored(version_id: Option<&str>) -> anyhow::Result<Stored> {
    let version_id = version_id.context("the artefact bucket is not versioned: turn its versioning on")?.into();
    Ok(Stored { version_id, uploaded: true })
}

/// ADR-053, CI step 6.
fn tagging() -> String {
    format!("{INTEGRATION_PASSED}=false")
}

impl Object<'_> {
    /// Its bytes from `offset`, read while they are sent.
    async fn body(&self, offset: u64, length: u64) -> anyhow::Result<ByteStream> {
        match self.content {
            Content::Bytes(bytes) => Ok(ByteStream::from(bytes.to_vec())),
            Content::File(file) => {
                let body = ByteStream::read_from().path(file).offset(offset).length(Length::Exact(length));
                body.buffer_size(PIECE_BYTES).build().await.map_err(|_| changed(self))
            }
        }
    }

    /// Whether a file has another length than when it was read.
    fn has_changed(&self) -> bool {
        match self.content {
            Content::File(file) => file.metadata().is_ok_and(|it| it.len() != self.size),
            Content::Bytes(_) => false,
        }
    }
}

/// Whether two manifests differ in nothing but their `timestamp`.
pub(crate) fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let said = |bytes: &[u8]| {
        let mut document: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        document.remove("timestamp");
        Some(document)
    };
    said(one).is_some_and(|one| Some(one) == said(other))
}

#[cfg(test)]
mod tests;
