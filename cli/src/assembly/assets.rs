//! The assets of an assembly, and what of its resources uses which.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::{Packaging, Source, read, resources, told_of};

/// `{stack}.assets.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct AssetManifest {
    #[serde(default)]
    files: BTreeMap<String, FileAsset>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAsset {
    display_name: Option<String>,
    source: FileSource,
    destinations: BTreeMap<String, Destination>,
}

#[derive(Debug, Deserialize)]
struct FileSource {
    path: Option<String>,
    packaging: Option<Packaging>,
    executable: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    bucket_name: String,
    object_key: String,
}

/// A file asset.
#[derive(Debug)]
struct Asset {
    /// What a message calls it.
    shown: String,
    source: Source,
}

/// The file assets of an assembly, by where cdk-assets puts them: bucket and key.
#[derive(Debug, Default)]
pub(super) struct Assets(BTreeMap<(String, String), Asset>);

impl Assets {
    /// Adds those of an asset manifest, and every reason why one can't be taken.
    pub(super) fn add(&mut self, root: &Path, id: &str, file: Option<&str>, reasons: &mut Vec<String>) {
        let path = root.join(file.unwrap_or_default());
        let manifest: AssetManifest = match read(&path) {
            Ok(manifest) => manifest,
            Err(why) => return reasons.push(format!("the assets of `{id}`: {why}: synthesise again")),
        };
        // Its container images are in registries and not in the store: the templates name them. Assets are found beside their manifest.
        let folder = path.parent().unwrap_or(root);
        for (id, FileAsset { display_name, source, destinations }) in manifest.files {
            let shown = display_name.unwrap_or_else(|| id.clone());
            let (path, packaging) = match source {
                FileSource { executable: Some(_), .. } => {
                    reasons.push(format!(
                        "asset `{shown}` is written by a command when it is published, so nothing of it is in the assembly: \
                         make it of a folder, such as by `Code.fromAsset`"
                    ));
                    continue;
                }
                FileSource { path: None, .. } => {
                    reasons.push(format!("asset `{shown}` names no file: synthesise again"));
                    continue;
                }
                FileSource { path: Some(path), packaging, .. } => {
                    (folder.join(path), packaging.unwrap_or(Packaging::File))
                }
            };
            let there = match (path.metadata(), packaging) {
                (Err(error), _) => Err(told_of(&error)),
                (Ok(it), Packaging::Zip) if !it.is_dir() => Err("is no folder".to_owned()),
                (Ok(it), Packaging::File) if !it.is_file() => Err("is no file".to_owned()),
                (Ok(_), _) => Ok(()),
            };
            if let Err(why) = there {
                reasons.push(format!("`{}`, asset `{shown}`, {why}: synthesise again", path.display()));
            }
            let source = Source { asset: id, path, packaging };
            for Destination { bucket_name, object_key } in destinations.into_values() {
                let asset = Asset { shown: shown.clone(), source: source.clone() };
                self.0.insert((bucket_name, object_key), asset);
            }
        }
    }

    /// Leaves out the assets that are these files.
    pub(super) fn forget(&mut self, files: &BTreeSet<PathBuf>) {
        self.0.retain(|_, asset| !files.contains(&asset.source.path));
    }

    /// The source of a function's code, none where that is in the template or in a registry; or why it can't be taken, behind
    /// the function's name.
    pub(super) fn code_of(&self, properties: &Value) -> Result<Option<Source>, String> {
        let code = properties.get("Code").unwrap_or(&Value::Null);
        if let Some(image) = code.get("ImageUri") {
            return if is_in_registry(image) { Ok(None) } else { Err(NOT_IN_REGISTRY.to_owned()) };
        }
        if code.get("ZipFile").is_some() {
            return Ok(None);
        }
        let place = code.get("S3Bucket").and_then(text).zip(code.get("S3Key").and_then(text));
        let Some((bucket, key)) = place else {
            return Err("has its code neither in the template nor in an asset: use `Code.fromAsset`".to_owned());
        };
        match self.0.get(&(bucket.to_owned(), key.to_owned())) {
            Some(asset) => Ok(Some(asset.source.clone())),
            None => Err(format!(
                "has its code at `s3://{bucket}/{key}`, which is no asset of the assembly: use `Code.fromAsset`"
            )),
        }
    }

    /// The source of what lies under a key of a bucket, as the asset manifests spell both.
    pub(super) fn of_key(&self, bucket: &str, key: &str) -> Option<Source> {
        self.0.get(&(bucket.to_owned(), key.to_owned())).map(|asset| asset.source.clone())
    }

    /// Says which resources of a template name an asset in a way that does not tell what they take; `told` are the
    /// resources and keys of which that is known.
    pub(super) fn check_uses(
        &self,
        path: &str,
        artifact: &str,
        template: &Value,
        told: &BTreeSet<(String, String)>,
        reasons: &mut Vec<String>,
    ) {
        for (id, kind, properties) in resources(template) {
            let mut texts = Vec::new();
            texts_of(properties, kind == "AWS::Lambda::Function", &mut texts);
            let uses = |key: &str| texts.iter().any(|it| it.contains(key));
            let is_told = |key: &str| told.contains(&(id.to_owned(), key.to_owned()));
            let names: BTreeSet<_> = self
                .0
                .iter()
                .filter(|((_, key), _)| uses(key) && !is_told(key))
                .map(|(_, asset)| format!("`{}`", asset.shown))
                .collect();
            if !names.is_empty() {
                let names: Vec<_> = names.into_iter().collect();
                reasons.push(format!(
                    "resource `{path}{id}` of stack `{artifact}`, of the type `{kind}`, uses {} without the asset's bucket \
                     beside its key, so where a stage finds it can't be told: name both in one property, or in two of the \
                     resource's",
                    names.join(", ")
                ));
            }
        }
    }

    /// Says which assets nothing takes.
    pub(super) fn warn_of_unused(&self, taken: &[Source], warnings: &mut Vec<String>) {
        for asset in self.0.values().filter(|asset| !taken.iter().any(|it| it.path == asset.source.path)) {
            warnings.push(format!("asset `{}` is left out: no resource of a template uses it", asset.shown));
        }
    }
}

/// What is said of a function whose image a stage could not get, behind the function's name.
pub(super) const NOT_IN_REGISTRY: &str = "runs a container image that is in no registry: push it to ECR, and name it by its \
                                          tag or digest there in `ImageUri`";

/// Whether an image is named by where stages get it, a repository of ECR or a digest. The gate judges the rest.
pub(super) fn is_in_registry(image: &Value) -> bool {
    let mut texts = Vec::new();
    texts_of(image, false, &mut texts);
    texts.iter().any(|it| it.contains(".dkr.ecr.") || it.contains("@sha256:"))
}

/// A text that is plain, or that `Fn::Sub` composes: asset manifests spell it the same way.
fn text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("Fn::Sub")?.as_str())
}

/// Every text of a document, or of a resource's properties but for those that say where a function's code is.
pub(super) fn texts_of<'a>(value: &'a Value, is_function: bool, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|it| texts_of(it, false, texts)),
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| !(is_function && *name == "Code"));
            members.for_each(|(_, it)| texts_of(it, false, texts));
        }
        _ => {}
    }
}
