//! Uploading in parts, for what is too large for one call. Each part has its SHA-256; S3 then knows none of the whole, so
//! the digest of the manifest is what counts, and the object's metadata tells it to the next run.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use anyhow::Context as _;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::ids::{ETag, Sha256};

use super::{Content, DIGEST, Object, Stored, Uploader, changed, stored, tagging};
use crate::{aws::called, build_folder::hash};

/// The smallest part (S3 user guide, "Amazon S3 multipart upload limits").
const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// The most parts of an object (as above).
const MAX_PARTS: u64 = 10_000;

/// Parts of one object in flight: other objects are on their way too.
const PARTS_IN_FLIGHT: usize = 8;

/// The size of every part but the last.
fn part_bytes(size: u64) -> u64 {
    size.div_ceil(MAX_PARTS).max(MIN_PART_BYTES)
}

impl Uploader<'_> {
    pub(super) async fn put_in_parts(&self, object: &Object<'_>, etag: Option<ETag>) -> anyhow::Result<Stored> {
        let made = self.client.create_multipart_upload().bucket(self.bucket).key(&object.key);
        let made = made.checksum_algorithm(ChecksumAlgorithm::Sha256).content_type(object.content_type);
        let made = made.tagging(tagging()).metadata(DIGEST, object.sha256.to_string());
        let made = called("CreateMultipartUpload", made.send().await)?;
        let id = made.upload_id().context("S3 began an upload in parts and gave it no id: publish again")?;
        let sent = match self.put_parts(object, id).await {
            Ok(parts) => {
                let absent = etag.is_none().then(|| "*".to_owned());
                let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
                let complete = self.client.complete_multipart_upload().bucket(self.bucket).key(&object.key);
                let complete =
                    complete.upload_id(id).set_if_match(etag.map(|it| it.to_string())).set_if_none_match(absent);
                match complete.multipart_upload(all).send().await {
                    Ok(done) => stored(done.version_id()),
                    Err(error) => self.not_put("CompleteMultipartUpload", object, error).await,
                }
            }
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // What is left of it costs money until the bucket's lifecycle ends it; that this fails too changes nothing.
            let abort = self.client.abort_multipart_upload().bucket(self.bucket).key(&object.key).upload_id(id);
            let _ = abort.send().await;
        }
        sent
    }

    async fn put_parts(&self, object: &Object<'_>, id: &str) -> anyhow::Result<Vec<CompletedPart>> {
        let each = part_bytes(object.size);
        let starts = (0..object.size.div_ceil(each)).map(|index| index * each);
        let parts = stream::iter((1..).zip(starts)).map(|(number, start)| async move {
            let length = each.min(object.size - start);
            let checksum = digest(object, start, length).await?.to_base64();
            let part = self.client.upload_part().bucket(self.bucket).key(&object.key).upload_id(id).part_number(number);
            let part = part.checksum_sha256(&checksum).body(object.body(start, length).await?);
            let done = called("UploadPart", part.send().await)?;
            let part = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
            anyhow::Ok(part.set_e_tag(done.e_tag().map(str::to_owned)).build())
        });
        parts.buffered(PARTS_IN_FLIGHT).try_collect().await
    }
}

/// The digest of a part.
async fn digest(object: &Object<'_>, start: u64, length: u64) -> anyhow::Result<Sha256> {
    let Content::File(file) = object.content else { return Err(changed(object)) };
    let file = PathBuf::from(file);
    let hashed = tokio::task::spawn_blocking(move || {
        let mut file = File::open(file)?;
        file.seek(SeekFrom::Start(start))?;
        hash(file.take(length), |_| {})
    });
    match hashed.await? {
        Ok((sha256, read)) if read == length => Ok(sha256),
        _ => Err(changed(object)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_neither_too_small_nor_too_many() {
        let gib = 1 << 30;
        assert_eq!(part_bytes(6 * gib), MIN_PART_BYTES);
        let largest = part_bytes(5 * 1024 * gib);
        assert!((5 * 1024 * gib).div_ceil(largest) <= MAX_PARTS);
        assert!(largest <= super::super::MAX_SINGLE_BYTES);
    }
}
