//! What a template takes from an asset bucket beside its functions' code: layers, nested templates, definitions, a site's
//! files, source maps.
//!
//! CDK names content by a bucket of the account, `cdk-{qualifier}-assets-{account}-{region}`, and a key, in as many ways as
//! there are resources: as two members of an object, as a URL, or as two properties that only a provider joins. Reading
//! tells each use with its key; the manifest has to answer for each of them.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::Code as Reason,
    ids::{AssetKey, Sha256, StackName},
    manifest::{Asset, AssetKind, Manifest},
};
use serde::{Deserialize, Serialize};

use super::{
    Code, Findings, Parameter, Template,
    code::{BUCKET_PARAMETER, PREFIX_PARAMETER, varies_by_account},
    json::{Json, Object, Place, each_case, walk},
    nested::{is_nested, is_of_account},
    text::{Piece, Text},
};
use crate::shown::shown;

/// The most uses that are told of one template: a layer or a source map for each of 500 resources, and some more.
pub(super) const MAX_USES: usize = 2_000;

/// The members that name a bucket beside one that names a key in it.
const BUCKETS: [&str; 5] = ["Bucket", "BucketName", "S3Bucket", "S3BucketName", "bucket"];
const KEYS: [&str; 6] = ["Key", "ObjectKey", "S3Key", "S3ObjectKey", "FileKey", "key"];

/// The members that pin a version, which exists in one bucket only.
const VERSIONS: [&str; 5] = ["ETag", "ObjectVersion", "S3ObjectStorageMode", "S3ObjectVersion", "Version"];

/// Content of an asset bucket that a resource takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The resource's logical id.
    pub resource: String,
    /// Where it says so, as a message shows it.
    pub place: String,
    /// What it is taken for.
    pub kind: AssetKind,
    /// The bucket's name.
    pub bucket: Text,
    /// The object's key.
    pub key: AssetKey,
    /// Whether the key is only a text that may be one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_guess: bool,
}

/// What a resource takes from asset buckets.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) told: Vec<Use>,
    /// The places that name an asset bucket, and nothing that is in it.
    pub(super) untold: Vec<String>,
}

/// Reads what a resource takes from asset buckets, but for a function's code.
pub(super) fn read(
    id: &str,
    r#type: &str,
    properties: &Object<'_>,
    parameters: &BTreeMap<String, Parameter>,
    place: &Place<'_>,
) -> Uses {
    let mut reader = Reader { id, parameters, uses: Uses::default(), buckets: Vec::new(), keys: Vec::new() };
    let own = asset_of(properties, parameters, place);
    let is_own = |name: &str| own.is_some() && (BUCKETS.contains(&name) || KEYS.contains(&name));
    if let Some((bucket, key)) = own.clone() {
        reader.tell(place, bucket, key);
    }
    for (name, property) in properties.iter().filter(|(name, _)| !is_own(name)) {
        let place = place.key(name);
        match (r#type, name) {
            ("AWS::Lambda::Function", "Code") => {}
            ("AWS::Lambda::LayerVersion", "Content") => each_case(property, &place, &mut |content, place| {
                reader.uses.told.extend(layer(id, content, parameters, place));
            }),
            ("AWS::CloudFormation::Stack", "TemplateURL") => each_case(property, &place, &mut |url, place| {
                reader.uses.told.extend(nested(id, url, parameters, place));
            }),
            _ => walk(property, &place, &mut |value, place| reader.value(value, place)),
        }
    }
    reader.finish()
}

/// The content of a layer, where it is an asset.
fn layer(id: &str, content: &Json<'_>, parameters: &BTreeMap<String, Parameter>, place: &Place<'_>) -> Option<Use> {
    let (bucket, key) = pair(content.as_object()?, parameters)?;
    let is_of_stage = is_of_stage(&bucket) || is_bucket(&flat(&bucket)?);
    let (resource, place) = (id.to_owned(), place.to_string());
    is_of_stage.then_some(Use { resource, place, kind: AssetKind::Layer, bucket, key: key?, is_guess: false })
}

/// The template of a nested stack, where it is an asset.
fn nested(id: &str, url: &Json<'_>, parameters: &BTreeMap<String, Parameter>, place: &Place<'_>) -> Option<Use> {
    let url = flat(&Text::read(url, parameters).ok()?)?;
    let mut found = named(&url);
    let (Some(Named { before, bucket, key: Some(key), after }), None) = (found.pop(), found.pop()) else {
        return None;
    };
    let is_whole = before.starts_with("https://") && address(before) == before && after.is_empty();
    let (resource, place) = (id.to_owned(), place.to_string());
    is_whole.then(|| Use { resource, place, kind: AssetKind::Template, bucket: unflat(bucket), key, is_guess: false })
}

/// Whether a value that is fetched names an asset, which the manifest then has to answer for.
pub(super) fn is_asset(value: &Json<'_>, parameters: &BTreeMap<String, Parameter>, place: &Place<'_>) -> bool {
    let pair = value.as_object().and_then(|members| asset_of(members, parameters, place));
    let is_pair = matches!(pair, Some((_, Some(_))));
    is_pair
        || Text::read(value, parameters).ok().and_then(|text| flat(&text)).is_some_and(|text| {
            match named(&text).as_slice() {
                [Named { before, key: Some(_), after: "", .. }] => address(before) == *before,
                _ => false,
            }
        })
}

/// The bucket and key of an object that names an asset; no key where it can't be told.
fn asset_of(
    members: &Object<'_>,
    parameters: &BTreeMap<String, Parameter>,
    place: &Place<'_>,
) -> Option<(Text, Option<AssetKey>)> {
    let (bucket, key) = pair(members, parameters)?;
    // What CloudFormation itself reads may lie in an asset bucket of another name.
    let is_read = matches!(place, Place::Key(_, name) if name.ends_with("S3Location"));
    let is_asset = is_bucket(&flat(&bucket)?) || (is_read && is_of_stage(&bucket));
    is_asset.then_some((bucket, key))
}

/// Whether a bucket is one of the stage's account, and not the artefact store itself.
fn is_of_stage(bucket: &Text) -> bool {
    varies_by_account(bucket) && !bucket.references().any(|it| it == BUCKET_PARAMETER || it == PREFIX_PARAMETER)
}

/// The bucket and the key that an object names beside each other; no key where it can't be told.
fn pair(members: &Object<'_>, parameters: &BTreeMap<String, Parameter>) -> Option<(Text, Option<AssetKey>)> {
    let member = |names: &[&str]| names.iter().find_map(|name| members.get(name));
    let (bucket, key) = (member(&BUCKETS)?, member(&KEYS)?);
    let bucket = Text::read(bucket, parameters).ok()?;
    let key = Text::read(key, parameters).ok().and_then(|key| key.as_literal()?.parse().ok());
    Some((bucket, key.filter(|_| member(&VERSIONS).is_none())))
}

struct Reader<'a> {
    id: &'a str,
    parameters: &'a BTreeMap<String, Parameter>,
    uses: Uses,
    /// The buckets that stand by themselves, and the texts that may be keys in them.
    buckets: Vec<(String, Text)>,
    keys: Vec<(String, AssetKey)>,
}

impl Reader<'_> {
    /// Reads a value; whether what is in it is to be read for itself.
    fn value(&mut self, value: &Json<'_>, place: &Place<'_>) -> bool {
        if self.uses.told.len() + self.keys.len() > MAX_USES {
            return false;
        }
        let pair = value.as_object().and_then(|members| asset_of(members, self.parameters, place));
        if let Some((bucket, key)) = pair {
            self.tell(place, bucket, key);
            return false;
        }
        if value.as_str().is_none() && !value.has("Fn::Sub") && !value.has("Fn::Join") {
            return true;
        }
        // What is no `Text` for another reason is looked into piece by piece.
        let Ok(text) = Text::read(value, self.parameters) else { return true };
        let Some(flat) = flat(&text) else { return false };
        for Named { before, bucket, key, .. } in named(&flat) {
            let bucket = unflat(bucket);
            match key {
                Some(_) => self.tell(place, bucket, key),
                None if before.is_empty() => self.buckets.push((place.to_string(), bucket)),
                None => self.tell(place, bucket, None),
            }
        }
        if let Some(key) = text.as_literal().filter(|it| may_be_key(it)).and_then(|it| it.parse().ok()) {
            self.keys.push((place.to_string(), key));
        }
        false
    }

    fn tell(&mut self, place: &Place<'_>, bucket: Text, key: Option<AssetKey>) {
        let (resource, place) = (self.id.to_owned(), place.to_string());
        match key {
            Some(key) => {
                let kind = AssetKind::File;
                self.uses.told.push(Use { resource, place, kind, bucket, key, is_guess: false });
            }
            None => self.uses.untold.push(place),
        }
    }

    /// Joins a bucket that stands by itself with the keys that do.
    fn finish(self) -> Uses {
        let Self { id, mut uses, buckets, keys, .. } = self;
        let names: BTreeSet<&Text> = buckets.iter().map(|(_, bucket)| bucket).collect();
        match (names.into_iter().collect::<Vec<_>>().as_slice(), keys.is_empty()) {
            ([], _) => {}
            ([bucket], false) => {
                for (place, key) in keys {
                    let is_guess = !key.as_str().contains('.');
                    let (resource, bucket, kind) = (id.to_owned(), (*bucket).clone(), AssetKind::File);
                    uses.told.push(Use { resource, place, kind, bucket, key, is_guess });
                }
            }
            _ => uses.untold.extend(buckets.into_iter().map(|(place, _)| place)),
        }
        uses
    }
}

/// Whether a text is a key as CDK makes them: a digest and an extension, below a prefix or not.
fn may_be_key(text: &str) -> bool {
    let file = text.rsplit('/').next().unwrap_or(text);
    let digest = file.split_once('.').map_or(file, |(digest, _)| digest);
    digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// An asset bucket where a text names it.
struct Named<'a> {
    before: &'a str,
    bucket: &'a str,
    key: Option<AssetKey>,
    after: &'a str,
}

/// The text with `<name>` for each reference; none where it holds such signs itself.
fn flat(text: &Text) -> Option<String> {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(text) if text.contains(['<', '>']) => None,
        Piece::Literal(text) => Some(text.clone()),
        Piece::Ref(name) => Some(format!("<{name}>")),
    };
    text.pieces().iter().map(piece).collect()
}

fn unflat(mut flat: &str) -> Text {
    let mut text = Text::default();
    while let Some((before, rest)) = flat.split_once('<') {
        let (name, rest) = rest.split_once('>').unwrap_or((rest, ""));
        text = text.then(before).followed_by(&Text::reference(name));
        flat = rest;
    }
    text.then(flat)
}

/// The asset buckets of a flat text. An ARN of one is a permission, not content.
fn named(text: &str) -> Vec<Named<'_>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("cdk-") {
        let Some((before, rest)) = text.split_at_checked(at) else { continue };
        let Some(length) = bucket_length(rest) else { continue };
        let is_inside = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        if before.ends_with(":::") || is_inside {
            continue;
        }
        let (bucket, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        // `https://{bucket}.s3.{region}.amazonaws.com/{key}` names its key behind the host.
        let (host, path) = match rest.strip_prefix('.') {
            Some(host) => host.find('/').and_then(|at| host.split_at_checked(at)).unwrap_or((host, "")),
            None => ("", rest),
        };
        let is_s3 = match (address(before), host) {
            ("" | "s3://", "") => true,
            ("https://", host) => is_s3_host(host),
            (url, "") => url.strip_prefix("https://").and_then(|host| host.strip_suffix('/')).is_some_and(is_s3_host),
            _ => false,
        };
        let path = if is_s3 { path } else { "" };
        let key = path.strip_prefix('/').unwrap_or("");
        let is_of_key = |c: char| c.is_ascii_alphanumeric() || "._=-/".contains(c);
        let end = key.find(|c: char| !is_of_key(c)).unwrap_or(key.len());
        let (key, after) = key.split_at_checked(end).unwrap_or((key, ""));
        found.push(Named { before, bucket, key: key.parse().ok(), after });
    }
    found
}

/// The beginning of the address that the end of a text belongs to.
fn address(before: &str) -> &str {
    let is_around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | '=' | ',');
    before.rsplit(is_around).next().unwrap_or(before)
}

/// Whether a host of a flat text is one of S3's own.
fn is_s3_host(host: &str) -> bool {
    let suffixes = [".<AWS::URLSuffix>", ".amazonaws.com", ".amazonaws.com.cn"];
    let region = suffixes.iter().find_map(|suffix| host.strip_prefix("s3")?.strip_suffix(suffix));
    let Some(region) = region else { return false };
    let region = region.replace("<AWS::Region>", "region");
    region.is_empty()
        || (region.starts_with(['.', '-'])
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.'))
}

fn is_bucket(text: &str) -> bool {
    bucket_length(text) == Some(text.len())
}

/// How much of a flat text is the name of CDK's asset bucket, `cdk-{qualifier}-assets-{account}-{region}`.
fn bucket_length(text: &str) -> Option<usize> {
    let (qualifier, rest) = text.strip_prefix("cdk-")?.split_once("-assets-")?;
    // At most 10 lowercase letters and digits, `hnb659fds` where nobody chose another.
    let is_qualifier =
        (1..=10).contains(&qualifier.len()) && qualifier.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !is_qualifier {
        return None;
    }
    let digits = |text: &str| text.get(..12).is_some_and(|it| it.bytes().all(|b| b.is_ascii_digit()));
    let rest = match rest.strip_prefix("<AWS::AccountId>") {
        Some(rest) => rest,
        None if digits(rest) => rest.get(12..)?,
        None => return None,
    };
    let region = rest.strip_prefix('-')?;
    let rest = match region.strip_prefix("<AWS::Region>") {
        Some(rest) => rest,
        None => {
            let end = region.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            let (region, rest) = region.split_at_checked(end.unwrap_or(region.len()))?;
            if region.is_empty() {
                return None;
            }
            rest
        }
    };
    Some(text.len() - rest.len())
}

/// Holds what a template takes from asset buckets against what the manifest lists for its stack.
pub(super) fn check(template: &Template, stack: &StackName, manifest: &Manifest, findings: &mut Findings<'_>) {
    let listed: BTreeMap<(&AssetKey, AssetKind), &Asset> =
        manifest.assets().filter(|it| it.stack == *stack).map(|it| ((&it.key, it.kind), it)).collect();
    let mut used: BTreeSet<(&AssetKey, AssetKind)> = BTreeSet::new();
    let mut answered: BTreeSet<&str> = BTreeSet::new();
    for it in &template.assets {
        if listed.contains_key(&(&it.key, it.kind)) {
            used.insert((&it.key, it.kind));
            answered.insert(&it.resource);
        }
    }
    for it in &template.assets {
        if is_nested(&it.resource) && !is_of_account(&it.bucket) {
            findings.say(
                Reason::TemplateCodeOutsideStore,
                format!(
                    "the bucket that `{}` takes `{}` from, `{}`, depends on the nested stack's parameters",
                    it.resource, it.key, it.bucket
                ),
            );
        }
        let (is_listed, is_answered) = (used.contains(&(&it.key, it.kind)), answered.contains(it.resource.as_str()));
        let is_fine = is_listed || (it.is_guess && is_answered);
        if !is_fine {
            findings.say(
                Reason::TemplateCodeOutsideStore,
                format!(
                    "resource `{}` takes `{}` from the asset bucket (`{}`), and no asset of the manifest is that of stack `{stack}` as `{}`: let `gatekeeper collect` list it, or add it to `assets` of the module",
                    it.resource, it.key, it.place, it.kind.as_str()
                ),
            );
        }
    }
    for (key, kind) in listed.keys().filter(|it| !used.contains(it)) {
        findings.say(
            Reason::UnknownReference,
            format!("asset `{key}` of stack `{stack}` is nothing that its template takes as `{}`", kind.as_str()),
        );
    }
    // A bundle under the key of an asset.
    let code: BTreeMap<String, Sha256> = manifest
        .functions()
        .filter(|function| function.stack == *stack)
        .filter_map(|function| match &template.functions.get(&function.logical_id)?.code {
            Code::AssetBucket { key, .. } => Some((key.as_literal()?.to_owned(), function.sha256)),
            _ => None,
        })
        .collect();
    for (key, asset) in listed.iter().map(|((key, _), asset)| (*key, *asset)) {
        if code.get(key.as_str()).is_some_and(|bundle| *bundle != asset.sha256) {
            findings.say(
                Reason::TemplateCodeOutsideStore,
                format!(
                    "a function's code and an asset have the one key `{}`, but their bytes differ",
                    shown(key.as_str())
                ),
            );
        }
    }
}

#[cfg(test)]
#[path = "assets_tests.rs"]
mod tests;
