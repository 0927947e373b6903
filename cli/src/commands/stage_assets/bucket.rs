//! The asset bucket of an account: what is there under a key, and creating what isn't.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{ChecksumMode, ChecksumType},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{
    failure::{Failure, code, is_conflict},
    s3_client,
};
use gatekeeper_model::ids::Sha256;

use super::{Asset, Staged, Status};
use crate::{aws::called, exit::Misuse};

/// Objects in flight: enough to keep a network busy whose answers take 100 ms.
const IN_FLIGHT: usize = 24;

/// What is there under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// An object with these bytes.
    Object(Sha256),
}

/// The asset buckets that an account owns.
pub(super) struct AssetBucket {
    client: Client,
    /// Nobody else's bucket is looked at or written to, whatever it is called.
    owner: String,
}

impl AssetBucket {
    pub(super) fn new(config: &SdkConfig, owner: &str) -> Self {
        Self { client: s3_client(config), owner: owner.to_owned() }
    }

    /// Whether the buckets are there: an answer to HEAD of an object does not tell a missing bucket from a missing object.
    pub(super) async fn check(&self, assets: &[Asset]) -> anyhow::Result<()> {
        let names: BTreeSet<&str> = assets.iter().map(|it| it.bucket.as_str()).collect();
        for name in names {
            let answer = self.client.head_bucket().bucket(name).expected_bucket_owner(&self.owner).send().await;
            match answer {
                Err(error) if Failure::of(&error) == Failure::Absent => {
                    anyhow::bail!(
                        "the asset bucket `{name}` is not there: run `cdk bootstrap` in account {}",
                        self.owner
                    )
                }
                Err(error) if Failure::of(&error) == Failure::Denied => {
                    return called("HeadBucket", Err(error)).with_context(|| {
                        format!("the asset bucket `{name}` is not of account {}, or may not be looked at", self.owner)
                    });
                }
                answer => drop(called("HeadBucket", answer)?),
            }
        }
        Ok(())
    }

    /// What is there for each asset, in order.
    pub(super) async fn look_at_all(&self, assets: &[Asset]) -> anyhow::Result<Vec<There>> {
        let looks: Vec<_> = assets.iter().map(|asset| self.look(asset)).collect();
        stream::iter(looks).buffered(IN_FLIGHT).try_collect().await
    }

    async fn look(&self, asset: &Asset) -> anyhow::Result<There> {
        let Asset { bucket, key, .. } = asset;
        let head = self.client.head_object().bucket(bucket).key(key).expected_bucket_owner(&self.owner);
        let head = match head.checksum_mode(ChecksumMode::Enabled).send().await {
            Err(error) if Failure::of(&error) == Failure::Absent => return Ok(There::Nothing),
            head => called("HeadObject", head).with_context(|| format!("`s3://{bucket}/{key}` can't be looked at"))?,
        };
        let of_parts = head.checksum_type() == Some(&ChecksumType::Composite);
        match head.checksum_sha256().filter(|_| !of_parts).and_then(Sha256::from_base64) {
            Some(sha256) => Ok(There::Object(sha256)),
            None => self.hash(asset).await,
        }
    }

    /// Reads an object of whose whole S3 has no SHA-256.
    async fn hash(&self, asset: &Asset) -> anyhow::Result<There> {
        use sha2::Digest as _;
        let Asset { bucket, key, .. } = asset;
        let unread = || format!("`s3://{bucket}/{key}` can't be read");
        let get = self.client.get_object().bucket(bucket).key(key).expected_bucket_owner(&self.owner).send().await;
        let mut body = called("GetObject", get).with_context(unread)?.body;
        let mut hasher = sha2::Sha256::new();
        while let Some(bytes) = body.try_next().await.with_context(unread)? {
            hasher.update(&bytes);
        }
        Ok(There::Object(Sha256::from_bytes(hasher.finalize().into())))
    }

    /// Creates what is planned; what somebody else wrote meanwhile is looked at again.
    pub(super) async fn put_missing(&self, staged: &mut [Staged]) -> anyhow::Result<()> {
        let open: Vec<_> = staged.iter_mut().filter(|it| it.status == Status::Planned).collect();
        let puts: Vec<_> = open.into_iter().map(|it| self.put(it)).collect();
        stream::iter(puts).buffer_unordered(IN_FLIGHT).try_collect().await
    }

    async fn put(&self, staged: &mut Staged) -> anyhow::Result<()> {
        let Asset { bucket, key, sha256, file, size, .. } = &staged.asset;
        let changed = || {
            let file = file.display();
            Misuse(format!("`{file}` has changed since it was read: run it again when nothing writes it any more"))
        };
        let body = ByteStream::from_path(file).await.map_err(|_| changed())?;
        let put = self.client.put_object().bucket(bucket).key(key).expected_bucket_owner(&self.owner);
        let put = put.if_none_match("*").content_type("application/zip").checksum_sha256(sha256.to_base64()).body(body);
        (staged.status, staged.there) = match put.send().await {
            Ok(_) => (Status::Staged, Some(*sha256)),
            // It may be our own, whose answer was lost.
            Err(error) if is_conflict(&error) => match self.look(&staged.asset).await? {
                There::Object(there) if there == *sha256 => (Status::Present, Some(there)),
                There::Object(there) => (Status::Differs, Some(there)),
                There::Nothing => {
                    return Err(anyhow!("somebody else writes `s3://{bucket}/{key}` just now: run it again"));
                }
            },
            Err(error) => {
                let is_other =
                    matches!(code(&error), Some("BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch"))
                        || file.metadata().is_ok_and(|it| it.len() != *size);
                if is_other {
                    return Err(changed().into());
                }
                return called("PutObject", Err(error))
                    .with_context(|| format!("`s3://{bucket}/{key}` was not written; run it again to go on"));
            }
        };
        Ok(())
    }
}
