//! The bundles of templates that name a bucket of the stage's account, as CDK and SST do: each is copied there from the
//! store, server-side and from its pinned version, and the copy is proved before CloudFormation reads it.

use std::collections::{BTreeMap, btree_map::Entry};

use aws_sdk_s3::{
    Client,
    types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, TaggingDirective},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{
    failure::{Failure, code},
    lambda::FunctionError,
};
use gatekeeper_model::{
    ids::{AssetKey, Sha256},
    telemetry::Logger,
};
use gatekeeper_promotion::plan::{Pinned, PlannedAsset, PlannedFunction, PlannedStack};
use gatekeeper_readers::template::{Code, Template, form::Form, forms};
use serde_json::json;

use crate::{
    stop::Stop,
    template_url::{copy_source, partition, url_suffix},
};

/// How many copies are under way at once.
const AT_ONCE: usize = 16;

const STORAGE: &str = "StorageFailed";

/// Where a bundle has to lie for CloudFormation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset<'a> {
    /// The bucket of the stage's account.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The stored file that has to lie there.
    pub bundle: &'a Pinned,
    /// Whether other bytes that lie there are somebody's: they are left, and the promotion ends.
    pub is_kept: bool,
}

/// What came of providing a stack's assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provided {
    /// How many were copied.
    pub copied: usize,
    /// How many lay there already.
    pub already_there: usize,
}

impl Provided {
    /// Counts one more, which had to be created or not.
    pub fn add(&mut self, was_created: bool) {
        if was_created {
            self.copied += 1;
        } else {
            self.already_there += 1;
        }
    }
}

/// What lies under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// An object, with S3's SHA-256 over all of it, where S3 has one.
    Object(Option<Sha256>),
}

/// Whether the template names any bucket of the stage's account.
#[must_use]
pub fn has_assets(template: &Template, stack: &PlannedStack) -> bool {
    !stack.assets.is_empty()
        || template.functions.values().any(|function| matches!(function.code, Code::AssetBucket { .. }))
}

/// The values of a template's parameters, and of the pseudo parameters, in a stage.
#[must_use]
pub fn values(template: &Template, stack: &PlannedStack, account: &str, region: &str) -> BTreeMap<String, String> {
    let defaults = template.parameters.iter().filter_map(|(name, it)| Some((name.clone(), it.default.clone()?)));
    let mut values: BTreeMap<String, String> = defaults.collect();
    values.extend(stack.parameters.clone());
    for (name, value) in [
        ("AWS::AccountId", account),
        ("AWS::Region", region),
        ("AWS::Partition", partition(region)),
        ("AWS::URLSuffix", url_suffix(region)),
        ("AWS::StackName", stack.stack_name.as_str()),
    ] {
        values.insert(name.to_owned(), value.to_owned());
    }
    values
}

/// The assets of a stack in an account, each place once.
///
/// # Errors
/// Why they can't be told: the gate has refused such a commit, so the template and the plan don't belong together.
pub fn assets<'a>(
    template: &Template,
    stack: &'a PlannedStack,
    functions: &'a [PlannedFunction],
    account: &str,
    region: &str,
) -> Result<Vec<Asset<'a>>, String> {
    let values = values(template, stack, account, region);
    let mut assets: BTreeMap<(String, String), (&Pinned, bool)> = BTreeMap::new();
    for (logical_id, function) in &template.functions {
        let Code::AssetBucket { bucket, key } = &function.code else { continue };
        let planned = functions.iter().find(|it| it.stack == stack.stack && it.logical_id == *logical_id);
        let Some(planned) = planned else {
            return Err(format!("no bundle of the plan is the code of function `{logical_id}`"));
        };
        let (Some(bucket), Some(key)) = (bucket.resolve(&values), key.resolve(&values)) else {
            return Err(format!(
                "where the code of function `{logical_id}` lies cannot be told: a parameter in `{bucket}/{key}` has no value"
            ));
        };
        let place = format!("{bucket}/{key}");
        match assets.insert((bucket, key), (&planned.bundle, false)) {
            Some((other, _)) if other.sha256 != planned.bundle.sha256 => {
                return Err(format!("two functions have their code at `{place}`, and their bundles differ"));
            }
            _ => {}
        }
    }
    // What has a form is not copied.
    let as_stored = stack.assets.iter().filter(|it| stack.nested_form(it).is_none());
    for asset in as_stored {
        let name = bucket_of(asset, &values)?;
        let PlannedAsset { resource, asset_key, file, .. } = asset;
        let place = format!("{name}/{asset_key}");
        match assets.entry((name, asset_key.to_string())) {
            Entry::Occupied(other) if other.get().0.sha256 != file.sha256 => {
                return Err(format!("`{resource}` takes other bytes from `{place}` than another resource does"));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => drop(free.insert((file, true))),
        }
    }
    let placed = |((bucket, key), (bundle, is_kept))| Asset { bucket, key, bundle, is_kept };
    Ok(assets.into_iter().map(placed).collect())
}

/// The portable form of a nested template and where the template around it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedForm<'a> {
    /// The bucket of the stage's account.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The form.
    pub form: &'a Form,
}

/// Where the forms of nested templates have to lie.
///
/// # Errors
/// Where a bucket's name can't be told: the gate lets no such commit through.
pub fn placed_forms<'a>(
    template: &Template,
    stack: &PlannedStack,
    forms: &'a BTreeMap<AssetKey, Form>,
    account: &str,
    region: &str,
) -> Result<Vec<PlacedForm<'a>>, String> {
    let values = values(template, stack, account, region);
    let mut placed = BTreeMap::new();
    for asset in stack.assets.iter().filter(|it| stack.nested_form(it).is_some()) {
        let Some(form) = forms.get(&asset.asset_key) else { continue };
        let key = forms::key_of(&asset.asset_key, form.mapping.form_sha256);
        placed.insert((bucket_of(asset, &values)?, key), form);
    }
    Ok(placed.into_iter().map(|((bucket, key), form)| PlacedForm { bucket, key, form }).collect())
}

/// The bucket that a resource takes its asset from, or why that can't be told.
fn bucket_of(asset: &PlannedAsset, values: &BTreeMap<String, String>) -> Result<String, String> {
    let PlannedAsset { resource, bucket, asset_key, .. } = asset;
    let name = bucket.resolve(values);
    name.ok_or_else(|| format!("where `{resource}` takes `{asset_key}` from cannot be told: `{bucket}` has no value"))
}

/// Copies with the rights of the stage's role.
#[derive(Debug)]
pub struct Copier<'a> {
    /// S3 in the stage's account.
    pub s3: Client,
    /// The stage's account, which must own the buckets: their names can be guessed, and taken by a stranger.
    pub account: &'a str,
    /// The artefact bucket.
    pub artefact_bucket: &'a str,
    /// Where it tells of its work.
    pub log: &'a Logger,
}

impl Copier<'_> {
    /// Makes every asset lie where it has to, proved by S3's own checksum over the whole object.
    ///
    /// # Errors
    /// [`Stop`]
    pub async fn provide(&self, assets: &[Asset<'_>]) -> Result<Provided, Stop> {
        let done: Vec<bool> = stream::iter(assets.iter().map(|asset| self.provide_one(asset)))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let copied = done.iter().filter(|was_copied| **was_copied).count();
        Ok(Provided { copied, already_there: done.len() - copied })
    }

    /// Makes a template lie where CloudFormation can read it, under a key that its digest is part of. Whether it had to be
    /// created.
    ///
    /// # Errors
    /// [`Stop`]
    pub async fn create(&self, bucket: &str, key: &str, bytes: &[u8], sha256: Sha256) -> Result<bool, Stop> {
        if self.is_kept_there(bucket, key, sha256).await? {
            return Ok(false);
        }
        let put = self
            .s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(self.account)
            .checksum_sha256(sha256.to_base64())
            .if_none_match("*")
            .body(bytes.to_vec().into());
        let Err(error) = put.send().await else {
            self.log.info(
                "template put for cloudformation",
                json!({"sha256": sha256, "asset_bucket": bucket, "asset_key": key}),
            );
            return Ok(true);
        };
        match code(&error) {
            // Somebody has put it there meanwhile.
            Some("PreconditionFailed" | "ConditionalRequestConflict") => {
                if self.is_kept_there(bucket, key, sha256).await? {
                    return Ok(false);
                }
                Err(Stop::Later(format!("`{bucket}/{key}` is being written by somebody else")))
            }
            Some("NoSuchBucket") => Err(no_bucket(bucket)),
            _ => Err(Stop::of(STORAGE, &format!("PutObject of `{bucket}/{key}`"), &error)),
        }
    }

    /// Whether these bytes lie there. Others that do are somebody's.
    async fn is_kept_there(&self, bucket: &str, key: &str, sha256: Sha256) -> Result<bool, Stop> {
        let There::Object(checksum) = self.checksum(bucket, key).await? else { return Ok(false) };
        let found = match checksum {
            Some(checksum) => checksum,
            // `cdk-assets` uploads without this checksum.
            None => self.hash(bucket, key).await?,
        };
        if found == sha256 {
            return Ok(true);
        }
        Err(Stop::Failed(format!(
            "at `{bucket}/{key}` lie other bytes than the asset's: their SHA-256 is `{found}`, not `{sha256}`. They are \
             somebody's: find out whose, and delete the object"
        )))
    }

    /// Whether it had to be copied.
    async fn provide_one(&self, asset: &Asset<'_>) -> Result<bool, Stop> {
        let is_there = if asset.is_kept {
            self.is_kept_there(&asset.bucket, &asset.key, asset.bundle.sha256).await?
        } else {
            self.checksum(&asset.bucket, &asset.key).await? == There::Object(Some(asset.bundle.sha256))
        };
        if is_there {
            return Ok(false);
        }
        self.copy(asset).await?;
        let There::Object(checksum) = self.checksum(&asset.bucket, &asset.key).await? else {
            return Err(Stop::Later(format!("the copy to `{}/{}` is not to be seen yet", asset.bucket, asset.key)));
        };
        if checksum != Some(asset.bundle.sha256) {
            let found = checksum.map_or_else(|| "none".to_owned(), |it| it.to_string());
            return Err(Stop::Failed(format!(
                "the copy of `{}` to `{}/{}` is not proved: S3's SHA-256 over it is `{found}`, not `{}`",
                asset.bundle.key, asset.bucket, asset.key, asset.bundle.sha256
            )));
        }
        self.log.info(
            if asset.is_kept { "asset copied for cloudformation" } else { "code copied for cloudformation" },
            json!({"key": asset.bundle.key, "version_id": asset.bundle.version_id, "sha256": asset.bundle.sha256,
                "asset_bucket": asset.bucket, "asset_key": asset.key}),
        );
        Ok(true)
    }

    /// What is there, by the SHA-256 that S3 computed over the whole object.
    async fn checksum(&self, bucket: &str, key: &str) -> Result<There, Stop> {
        let head = self
            .s3
            .head_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(self.account)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        match head {
            Ok(head) if head.checksum_type() == Some(&ChecksumType::Composite) => Ok(There::Object(None)),
            Ok(head) => Ok(There::Object(head.checksum_sha256().and_then(Sha256::from_base64))),
            // No such bucket looks the same here; the copy tells.
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(There::Nothing),
            Err(error) => Err(Stop::of(STORAGE, &format!("HeadObject of `{bucket}/{key}`"), &error)),
        }
    }

    /// The SHA-256 of the bytes that are there.
    async fn hash(&self, bucket: &str, key: &str) -> Result<Sha256, Stop> {
        use sha2::Digest as _;
        let call = || format!("GetObject of `{bucket}/{key}`");
        let get = self.s3.get_object().bucket(bucket).key(key).expected_bucket_owner(self.account);
        let object = get.send().await.map_err(|error| Stop::of(STORAGE, &call(), &error))?;
        let (mut body, mut hasher) = (object.body, sha2::Sha256::new());
        while let Some(piece) = body.next().await {
            let broken = |error| Stop::Error(FunctionError::new(STORAGE, format!("{}: {error}", call())));
            hasher.update(piece.map_err(broken)?);
        }
        Ok(Sha256::from_bytes(hasher.finalize().into()))
    }

    async fn copy(&self, asset: &Asset<'_>) -> Result<(), Stop> {
        let copied = self
            .s3
            .copy_object()
            .copy_source(copy_source(self.artefact_bucket, asset.bundle))
            .bucket(&asset.bucket)
            .key(&asset.key)
            .expected_bucket_owner(self.account)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            // The store's tags say what the gate thinks of an object of the store, not of this one.
            .tagging_directive(TaggingDirective::Replace)
            .set_if_none_match(asset.is_kept.then(|| "*".to_owned()))
            .send()
            .await;
        let Err(error) = copied else { return Ok(()) };
        match (code(&error), Failure::of(&error)) {
            // Somebody has put it there meanwhile: the look behind tells what.
            (Some("PreconditionFailed" | "ConditionalRequestConflict"), _) if asset.is_kept => Ok(()),
            (Some("NoSuchBucket"), _) if !self.is_there(&asset.bucket).await? => Err(no_bucket(&asset.bucket)),
            (_, Failure::Absent) => Err(Stop::Failed(format!(
                "version `{}` of `{}` is gone from the store",
                asset.bundle.version_id, asset.bundle.key
            ))),
            _ => {
                let call = format!("CopyObject of `{}` to `{}/{}`", asset.bundle.key, asset.bucket, asset.key);
                Err(Stop::of(STORAGE, &call, &error))
            }
        }
    }

    /// Whether there is such a bucket: S3 doesn't say which one of a copy's two it misses.
    async fn is_there(&self, bucket: &str) -> Result<bool, Stop> {
        match self.s3.head_bucket().bucket(bucket).expected_bucket_owner(self.account).send().await {
            Ok(_) => Ok(true),
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(false),
            Err(error) => Err(Stop::of(STORAGE, &format!("HeadBucket of `{bucket}`"), &error)),
        }
    }
}

fn no_bucket(bucket: &str) -> Stop {
    Stop::Failed(format!(
        "the bucket `{bucket}`, which the template takes its code from, does not exist: run `cdk bootstrap` in the stage's account"
    ))
}

/// The account that these credentials are of.
///
/// # Errors
/// [`Stop`] where STS doesn't tell.
pub async fn account_of(sts: &aws_sdk_sts::Client) -> Result<String, Stop> {
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|error| Stop::of("StageAccountFailed", "GetCallerIdentity", &error))?;
    let account = identity.account().map(str::to_owned);
    account.ok_or_else(|| Stop::Error(FunctionError::new("StageAccountFailed", "GetCallerIdentity names no account")))
}

#[cfg(test)]
#[path = "assets_tests.rs"]
mod tests;
