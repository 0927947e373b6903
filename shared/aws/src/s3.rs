//! A bucket on S3.

use std::borrow::Cow;

use aws_sdk_s3::{
    Client,
    operation::list_object_versions::ListObjectVersionsOutput,
    primitives::ByteStream,
    types::{ChecksumMode, ChecksumType, EncodingType, ObjectLockLegalHoldStatus, Tag, Tagging},
};
use gatekeeper_model::ids::{Sha256, VersionId};
use percent_encoding::percent_decode_str;

use crate::{
    failure::{Failure, code, is_conflict, said},
    timestamp,
};
use gatekeeper_store::{
    Body, Head, Listed, Precondition, ReadStore, Retention, StoreError, TagStore, Tags, TooLarge, WriteStore, Written,
};

/// One versioned bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
}

impl S3Store {
    /// The bucket called `bucket`.
    #[must_use]
    pub fn new(client: Client, bucket: &str) -> Self {
        Self { client, bucket: bucket.to_owned() }
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The client, for the calls that only one function makes.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A key of a listing with `encoding-type=url`: as in a form, `+` is a space, then percent.
    fn decoded(&self, key: &str) -> Result<String, StoreError> {
        let spaced = key.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        decoded.map(Cow::into_owned).map_err(|error| self.failed("ListObjectVersions", key, error))
    }

    fn failed(
        &self,
        operation: &'static str,
        key: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError { operation, bucket: self.bucket.clone(), key: key.to_owned(), source: source.into() }
    }

    /// Hands over each page of the versions under a prefix, or of the folders that end with a delimiter there, with what
    /// reads the names in it.
    async fn each_page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut take: impl FnMut(
            &ListObjectVersionsOutput,
            &dyn Fn(&str) -> Result<String, StoreError>,
        ) -> Result<(), StoreError>
        + Send,
    ) -> Result<(), StoreError> {
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_delimiter(delimiter.map(str::to_owned))
                // XML can't hold every character that a key can.
                .encoding_type(EncodingType::Url)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|error| self.failed("ListObjectVersions", prefix, said(&error)))?;
            let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
            let decoded = |key: &str| if is_encoded { self.decoded(key) } else { Ok(key.to_owned()) };
            take(&page, &decoded)?;
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(());
            }
            key_marker = page.next_key_marker().map(decoded).transpose()?;
            version_marker = page.next_version_id_marker().map(str::to_owned);
        }
    }
}

/// `x-amz-tagging-count`, which is not sent where there are no tags.
fn counted(tags: Option<i32>) -> usize {
    tags.and_then(|count| count.try_into().ok()).unwrap_or_default()
}

impl ReadStore for S3Store {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        self.each_page(prefix, None, |page, decoded| {
            for version in page.versions().iter().filter(|version| version.is_latest() == Some(true)) {
                let size = version.size().and_then(|size| u64::try_from(size).ok());
                let (Some(key), Some(version_id), Some(size)) = (version.key(), version.version_id(), size) else {
                    let untold = "it lists an object without its key, version or size";
                    return Err(self.failed("ListObjectVersions", prefix, untold));
                };
                listed.push(Listed { key: decoded(key)?, version_id: version_id.into(), size });
            }
            Ok(())
        })
        .await?;
        Ok(listed)
    }

    async fn first(&self, prefix: &str) -> Result<Option<String>, StoreError> {
        let page = self
            .client
            .list_object_versions()
            .bucket(&self.bucket)
            .prefix(prefix)
            .encoding_type(EncodingType::Url)
            .max_keys(1)
            .send()
            .await
            .map_err(|error| self.failed("ListObjectVersions", prefix, said(&error)))?;
        if let Some(hidden) = page.delete_markers().first() {
            let key = hidden.key().unwrap_or(prefix);
            return Err(self.failed("ListObjectVersions", key, "a delete marker hides it"));
        }
        let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
        let key = page.versions().first().and_then(|version| version.key());
        key.map(|key| if is_encoded { self.decoded(key) } else { Ok(key.to_owned()) }).transpose()
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut folders = Vec::new();
        self.each_page(prefix, Some("/"), |page, decoded| {
            for folder in page.common_prefixes().iter().filter_map(|it| it.prefix()) {
                let folder = decoded(folder)?;
                let name = folder.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('/'));
                folders.extend(name.map(str::to_owned));
            }
            Ok(())
        })
        .await?;
        Ok(folders)
    }

    async fn head(&self, key: &str, version_id: Option<&VersionId>) -> Result<Option<Head>, StoreError> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .set_version_id(version_id.map(ToString::to_string))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        let head = match answer {
            Ok(head) => head,
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(None),
            Err(error) => return Err(self.failed("HeadObject", key, said(&error))),
        };
        let version_id =
            head.version_id().ok_or_else(|| self.failed("HeadObject", key, "the bucket is not versioned"))?;
        let etag =
            head.e_tag().ok_or_else(|| self.failed("HeadObject", key, "it answered without the object's ETag"))?;
        let size = head.content_length().and_then(|size| size.try_into().ok());
        // A composite checksum is one over the parts' checksums and ends in their number.
        let sha256 = match head.checksum_type() {
            Some(ChecksumType::Composite) => None,
            _ => head.checksum_sha256().and_then(Sha256::from_base64),
        };
        Ok(Some(Head {
            version_id: version_id.into(),
            etag: etag.into(),
            size: size.ok_or_else(|| self.failed("HeadObject", key, "it answered without the object's size"))?,
            sha256,
            tag_count: counted(head.tag_count()),
            retention: Retention {
                mode: head.object_lock_mode().map(|mode| mode.as_str().to_owned()),
                until: head.object_lock_retain_until_date().and_then(timestamp),
                legal_hold: head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
                expiration: head.expiration().map(str::to_owned),
            },
        }))
    }

    async fn may_see_retention(&self, key: &str, version_id: &VersionId) -> Result<(), StoreError> {
        let answer = self
            .client
            .get_object_retention()
            .bucket(&self.bucket)
            .key(key)
            .version_id(version_id.as_str())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // The object or the bucket has no lock, which whoever gets this answer may see.
            Err(error) if Failure::of(&error) == Failure::Absent || code(&error) == Some("InvalidRequest") => Ok(()),
            Err(error) => Err(self.failed("GetObjectRetention", key, said(&error))),
        }
    }

    async fn get(&self, key: &str, version_id: Option<&VersionId>, max_bytes: u64) -> Result<Option<Body>, StoreError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_version_id(version_id.map(ToString::to_string))
            .send()
            .await;
        let mut object = match answer {
            Ok(object) => object,
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(None),
            Err(error) => return Err(self.failed("GetObject", key, said(&error))),
        };
        let (version_id, etag) = match (object.version_id(), object.e_tag()) {
            (Some(version_id), Some(etag)) => (version_id.into(), etag.into()),
            _ => return Err(self.failed("GetObject", key, "the bucket is not versioned")),
        };
        let mut bytes = Vec::new();
        while let Some(piece) = object.body.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| self.failed("GetObject", key, error))?);
            if bytes.len() as u64 > max_bytes {
                return Err(self.failed("GetObject", key, TooLarge { max_bytes }));
            }
        }
        Ok(Some(Body { bytes, version_id, etag }))
    }

    async fn stream(
        &self,
        key: &str,
        version_id: &VersionId,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<Option<usize>, StoreError> {
        let answer =
            self.client.get_object().bucket(&self.bucket).key(key).version_id(version_id.as_str()).send().await;
        let mut object = match answer {
            Ok(object) => object,
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(None),
            Err(error) => return Err(self.failed("GetObject", key, said(&error))),
        };
        let tag_count = counted(object.tag_count());
        while let Some(piece) = object.body.next().await {
            let piece = piece.map_err(|error| self.failed("GetObject", key, error))?;
            sink(&piece).map_err(|error| self.failed("GetObject", key, error))?;
        }
        Ok(Some(tag_count))
    }

    async fn tags(&self, key: &str, version_id: &VersionId) -> Result<Option<Tags>, StoreError> {
        let answer =
            self.client.get_object_tagging().bucket(&self.bucket).key(key).version_id(version_id.as_str()).send().await;
        match answer {
            Ok(tagging) => {
                let tags = tagging.tag_set().iter();
                Ok(Some(tags.map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()))
            }
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(None),
            Err(error) => Err(self.failed("GetObjectTagging", key, said(&error))),
        }
    }
}

impl TagStore for S3Store {
    async fn put_tags(&self, key: &str, version_id: &VersionId, tags: &Tags) -> Result<bool, StoreError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| self.failed("PutObjectTagging", key, source);
        let tags: Result<Vec<_>, _> =
            tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect();
        let tagging = Tagging::builder()
            .set_tag_set(Some(tags.map_err(|error| failed(error.into()))?))
            .build()
            .map_err(|error| failed(error.into()))?;
        let answer = self
            .client
            .put_object_tagging()
            .bucket(&self.bucket)
            .key(key)
            .version_id(version_id.as_str())
            .tagging(tagging)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(false),
            Err(error) => Err(failed(said(&error).into())),
        }
    }
}

impl WriteStore for S3Store {
    async fn put_once(
        &self,
        key: &str,
        bytes: &[u8],
        content_type: &str,
        precondition: &Precondition,
    ) -> Result<Written, StoreError> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .checksum_sha256(Sha256::of(bytes).to_base64())
            .body(ByteStream::from(bytes.to_vec()));
        let put = match precondition {
            Precondition::Absent => put.if_none_match("*"),
            Precondition::Unchanged(etag) => put.if_match(etag.as_str()),
        };
        match put.send().await {
            Ok(done) => match (done.e_tag(), done.version_id()) {
                (Some(etag), Some(version_id)) => {
                    Ok(Written::Done { etag: etag.into(), version_id: version_id.into() })
                }
                _ => Err(self.failed("PutObject", key, "the bucket is not versioned")),
            },
            // It changed or is changing, or what should be unchanged is gone.
            Err(error) if is_conflict(&error) || Failure::of(&error) == Failure::Absent => Ok(Written::Conflict),
            Err(error) => Err(self.failed("PutObject", key, said(&error))),
        }
    }
}

#[cfg(test)]
#[path = "s3_tests.rs"]
mod tests;
