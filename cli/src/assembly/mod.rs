//! What a build tool wrote, and what of it makes a commit: a CDK cloud assembly of `cdk synth` and `sst build`, `.serverless`
//! of the Serverless Framework 3, `.aws-sam/build` of SAM.
//!
//! An assembly is taken as it is: its templates byte for byte, and of its assets those that are functions' code or that a
//! template takes from the asset bucket. What a promotion could not give to a stage is refused, all of it at once.

pub(crate) mod archive;
mod assets;
mod names;
mod order;
mod sam;
mod serverless;
mod zip;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use gatekeeper_model::{
    ids::{AccountId, ApplicationName, AssetKey, FunctionName, RegionName, StackName, StageName},
    manifest::{AssetKind, SynthesisedFor},
};
use gatekeeper_readers::{
    template,
    template::{Handed, Use},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use self::{assets::Assets, names::function_name};
use crate::exit::Misuse;

/// What a file asset becomes before it is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Packaging {
    /// A folder is zipped.
    Zip,
    /// A file is taken as it is.
    File,
}

/// A file or folder of the assembly that is a function's code, or another asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The asset, as its manifest calls it.
    pub(crate) asset: String,
    pub(crate) path: PathBuf,
    pub(crate) packaging: Packaging,
}

/// A stack of the assembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectedStack {
    /// What the commit calls it.
    pub(crate) name: StackName,
    /// What CloudFormation calls it in the stage that it was synthesised for.
    pub(crate) stack_name: String,
    pub(crate) template: Vec<u8>,
    pub(crate) depends_on: BTreeSet<StackName>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) termination_protection: Option<bool>,
}

/// A function of a stack whose code is an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectedFunction {
    pub(crate) name: FunctionName,
    pub(crate) stack: StackName,
    /// Of one in a nested stack the logical ids that lead to it, with slashes between.
    pub(crate) logical_id: String,
    /// Which of the sources is its code.
    pub(crate) source: usize,
}

/// What a stack takes from the asset bucket beside functions' code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectedAsset {
    pub(crate) kind: AssetKind,
    pub(crate) stack: StackName,
    pub(crate) key: AssetKey,
    /// Which of the sources it is.
    pub(crate) source: usize,
}

/// What of an assembly makes a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collected {
    /// In the order in which they are applied.
    pub(crate) stacks: Vec<CollectedStack>,
    pub(crate) functions: Vec<CollectedFunction>,
    pub(crate) assets: Vec<CollectedAsset>,
    pub(crate) sources: Vec<Source>,
    /// None where the templates fit any account and region.
    pub(crate) synthesised_for: Option<SynthesisedFor>,
    pub(crate) zipper: Zipper,
    /// What wrote the template of the one that was built, with its version; none where it is that one.
    pub(crate) translated_by: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// What makes the archives of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zipper {
    /// cdk-assets, which is told the version of the assembly's own schema.
    CdkAssets { schema_version: String },
    /// Nothing: every source is a file already.
    Own,
}

/// What is said of an assembly beside what it tells itself.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) stage: Option<&'a StageName>,
    pub(crate) application: Option<&'a ApplicationName>,
    /// What the stack of a template is called.
    pub(crate) stack: Option<&'a StackName>,
    /// The Python that translates templates.
    pub(crate) python: Option<&'a Path>,
}

/// `manifest.json`, as far as it matters here (`@aws-cdk/cloud-assembly-schema`).
#[derive(Debug, Deserialize)]
struct AssemblyManifest {
    version: String,
    #[serde(default)]
    artifacts: BTreeMap<String, Artifact>,
    #[serde(default)]
    missing: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    #[serde(rename = "type")]
    kind: String,
    environment: Option<String>,
    #[serde(default)]
    properties: Properties,
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    template_file: Option<String>,
    stack_name: Option<String>,
    file: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    termination_protection: Option<bool>,
}

/// A stack as it is read.
#[derive(Debug)]
struct ReadStack {
    /// What CloudFormation calls it.
    stack_name: String,
    file: String,
    bytes: Vec<u8>,
    template: Value,
    /// What it hands to other stacks and takes of them.
    handed: Handed,
    /// What it takes from asset buckets.
    takes: Vec<Use>,
    environment: String,
    tags: BTreeMap<String, String>,
    termination_protection: Option<bool>,
    /// The artifacts that the assembly says it depends on.
    dependencies: Vec<String>,
}

/// The resources of a template, with their types and properties.
fn resources(template: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let resources = template.get("Resources").and_then(Value::as_object).into_iter().flatten();
    resources.map(|(id, resource)| {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        (id.as_str(), kind, resource.get("Properties").unwrap_or(&Value::Null))
    })
}

/// Reads what a build tool wrote and says what of it makes a commit. Which tool it was, the folder tells. `work` is an empty
/// folder for what has to be made on the way.
///
/// # Errors
/// Every reason why it can't be taken; or that a program which is needed is missing.
pub(crate) fn collect(root: &Path, said: &Said<'_>, work: &Path) -> anyhow::Result<Collected> {
    let mut reasons = Vec::new();
    let assembly = root.join("manifest.json");
    let (what, collected) = if root.join(serverless::STATE).exists() {
        refuse_unused(said.stack.is_some(), "--stack", "the package tells it", &mut reasons);
        ("the package", serverless::take(root, said, &mut reasons))
    } else if let Some(file) = sam::template_of(root).filter(|_| !assembly.exists()) {
        ("the build", sam::take(root, &file, said, work, &mut reasons)?)
    } else {
        let manifest: AssemblyManifest = read(&assembly).map_err(|why| {
            Misuse(format!(
                "`{}` is no cloud assembly: {why}; name the folder that `sst build` or `cdk synth` wrote, such as \
                 `.sst/dist` or `cdk.out`, or `.serverless` of `serverless package`, or `.aws-sam/build` of `sam build`",
                root.display()
            ))
        })?;
        refuse_unused(said.stack.is_some(), "--stack", "the assembly tells it", &mut reasons);
        ("the assembly", take(root, &manifest, said, &mut reasons))
    };
    if let Some(collected) = collected.filter(|_| reasons.is_empty()) {
        return Ok(collected);
    }
    reasons.sort();
    reasons.dedup();
    Err(Misuse(format!("{what} `{}` can't be taken\n  {}", root.display(), reasons.join("\n  "))).into())
}

fn refuse_unused(is_said: bool, option: &str, why: &str, reasons: &mut Vec<String>) {
    if is_said {
        reasons.push(format!("`{option}` says what the stack is called, and {why}: leave it out"));
    }
}

/// What of an assembly makes a commit, with the reasons against it; none where it has no stack that can be read.
fn take(root: &Path, manifest: &AssemblyManifest, said: &Said<'_>, reasons: &mut Vec<String>) -> Option<Collected> {
    if !manifest.missing.is_empty() {
        let count = manifest.missing.len();
        reasons.push(format!(
            "{count} values of the context are missing, which CDK looks up in the account: synthesise with credentials, and \
             commit `cdk.context.json`"
        ));
    }
    let (stacks, assets) = artifacts(root, manifest, reasons);
    if stacks.is_empty() {
        reasons.push("it has no stack that can be read".to_owned());
        return None;
    }
    let made_for = names::made_for(&stacks, said, reasons);
    let mut names = BTreeMap::new();
    for (artifact, stack) in &stacks {
        match made_for.name_of(&stack.stack_name).parse::<StackName>() {
            Ok(name) => match names.iter().find(|(_, other)| **other == name) {
                Some((other, _)) => {
                    reasons.push(format!(
                        "the stacks `{other}` and `{artifact}` would both be called `{name}`: rename one"
                    ));
                }
                None => drop(names.insert(artifact.as_str(), name)),
            },
            Err(error) => reasons.push(format!("stack `{artifact}`: {error}")),
        }
    }
    let mut warnings = Vec::new();
    let Contents { functions, assets, sources } = contents(&stacks, &names, &assets, reasons, &mut warnings);
    let needs = order::needs(&stacks);
    let mut listed: Vec<_> = stacks.keys().map(String::as_str).collect();
    listed.sort_by_key(|it| (names.get(it), *it));
    let in_order = template::order::in_order(&listed, &needs).unwrap_or_else(|stuck| {
        let circle = template::order::circle(&listed, &needs).unwrap_or(stuck);
        let cycle: Vec<_> = circle.iter().map(|it| format!("`{it}`")).collect();
        reasons.push(format!(
            "the stacks {} depend on each other in a circle, so none can be applied first: move what they share into a stack \
             of its own",
            cycle.join(", ")
        ));
        Vec::new()
    });
    let stacks = in_order.into_iter().filter_map(|artifact| {
        let stack = stacks.get(artifact)?;
        let before = needs.get(artifact).into_iter().flat_map(BTreeMap::keys);
        Some(CollectedStack {
            name: names.get(artifact)?.clone(),
            stack_name: stack.stack_name.clone(),
            template: stack.bytes.clone(),
            depends_on: before.filter_map(|it| names.get(it).cloned()).collect(),
            tags: stack.tags.clone(),
            termination_protection: stack.termination_protection,
        })
    });
    Some(Collected {
        stacks: stacks.collect(),
        functions,
        assets,
        sources,
        synthesised_for: made_for.synthesised_for,
        zipper: Zipper::CdkAssets { schema_version: manifest.version.clone() },
        translated_by: None,
        warnings,
    })
}

/// Reads every artifact of the assembly: its stacks, by artifact, and its assets.
fn artifacts(
    root: &Path,
    manifest: &AssemblyManifest,
    reasons: &mut Vec<String>,
) -> (BTreeMap<String, ReadStack>, Assets) {
    let (mut stacks, mut assets) = (BTreeMap::new(), Assets::default());
    for (id, artifact) in &manifest.artifacts {
        match artifact.kind.as_str() {
            "aws:cloudformation:stack" => match read_stack(root, id, artifact) {
                Ok(stack) => drop(stacks.insert(id.clone(), stack)),
                Err(reason) => reasons.push(reason),
            },
            "cdk:asset-manifest" => assets.add(root, id, artifact.properties.file.as_deref(), reasons),
            "cdk:cloud-assembly" => reasons.push(format!(
                "`{id}` is a nested assembly, which CDK makes of a `Stage`: collect the assembly of one stage, \
                 `{}`, or put the stacks below the app",
                root.join(id).display()
            )),
            "none" | "cdk:tree" | "cdk:feature-flag-report" => {}
            other => reasons.push(format!(
                "artifact `{id}` is of the type `{other}`, which this version doesn't know: update gatekeeper, or take it out"
            )),
        }
    }
    // A stack's own template is an asset too.
    let templates = stacks.values().map(|stack| root.join(&stack.file));
    assets.forget(&templates.collect());
    (stacks, assets)
}

fn read_stack(root: &Path, id: &str, artifact: &Artifact) -> Result<ReadStack, String> {
    let Some(file) = &artifact.properties.template_file else {
        return Err(format!("stack `{id}` names no template: synthesise again"));
    };
    let path = root.join(file);
    let unreadable = |why: String| format!("the template of stack `{id}`, `{file}`, {why}: synthesise again");
    let bytes = fs::read(&path).map_err(|error| unreadable(told_of(&error)))?;
    let template = serde_json::from_slice(&bytes).map_err(|error| unreadable(format!("is not JSON ({error})")))?;
    let (handed, takes) = template::read(&bytes).map(|it| (it.handed, it.assets)).unwrap_or_default();
    Ok(ReadStack {
        stack_name: artifact.properties.stack_name.clone().unwrap_or_else(|| id.to_owned()),
        file: file.clone(),
        handed,
        takes,
        bytes,
        template,
        environment: artifact.environment.clone().unwrap_or_default(),
        tags: artifact.properties.tags.clone(),
        termination_protection: artifact.properties.termination_protection,
        dependencies: artifact.dependencies.clone(),
    })
}

/// What of the assets makes a commit.
#[derive(Debug, Default)]
struct Contents {
    functions: Vec<CollectedFunction>,
    assets: Vec<CollectedAsset>,
    sources: Vec<Source>,
}

impl Contents {
    /// The place of a source among all, each of them once.
    fn source(&mut self, source: &Source) -> usize {
        let found = self.sources.iter().position(|it| it.path == source.path && it.packaging == source.packaging);
        found.unwrap_or_else(|| {
            self.sources.push(source.clone());
            self.sources.len() - 1
        })
    }
}

/// A template of a stack, or of one that is nested in it.
struct Document {
    /// The logical ids that lead to the nested stack, each with a slash behind it; nothing for the stack's own.
    path: String,
    template: Value,
    /// What it takes from asset buckets, by the gate's own reader.
    takes: Vec<Use>,
}

/// The functions whose code is an asset, the other assets, and their sources; every reason why something else can't be
/// taken.
fn contents(
    stacks: &BTreeMap<String, ReadStack>,
    names: &BTreeMap<&str, StackName>,
    assets: &Assets,
    reasons: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Contents {
    let mut contents = Contents::default();
    for (artifact, stack) in stacks {
        let Some(name) = names.get(artifact.as_str()) else { continue };
        let (template, takes) = (stack.template.clone(), stack.takes.clone());
        let mut open = vec![Document { path: String::new(), template, takes }];
        // A nested template may be taken by several, and what nests itself would never end.
        let mut left = MAX_TEMPLATES;
        while let Some(document) = open.pop() {
            left -= 1;
            if left == 0 {
                reasons.push(format!("stack `{artifact}` has more than {MAX_TEMPLATES} nested stacks: divide it"));
                break;
            }
            let parameters = document.template.get("Parameters").and_then(Value::as_object).into_iter().flatten();
            if parameters.into_iter().any(|(name, _)| name.starts_with("AssetParameters")) {
                reasons.push(format!(
                    "stack `{artifact}` takes assets by parameters, as CDK's legacy synthesizer makes them: synthesise with \
                     `DefaultStackSynthesizer`"
                ));
                continue;
            }
            functions(&document, artifact, name, assets, &mut contents, reasons);
            open.extend(others(&document, artifact, name, assets, &mut contents, reasons));
        }
    }
    assets.warn_of_unused(&contents.sources, warnings);
    contents
}

/// The most templates of one stack and its nested stacks.
const MAX_TEMPLATES: usize = 200;

/// The functions of a template.
fn functions(
    Document { path, template, .. }: &Document,
    artifact: &str,
    name: &StackName,
    assets: &Assets,
    contents: &mut Contents,
    reasons: &mut Vec<String>,
) {
    for (id, _, properties) in resources(template).filter(|(_, kind, _)| *kind == "AWS::Lambda::Function") {
        let source = match assets.code_of(properties) {
            Ok(Some(source)) => contents.source(&source),
            Ok(None) => continue,
            Err(why) => {
                reasons.push(format!("function `{path}{id}` of stack `{artifact}` {why}"));
                continue;
            }
        };
        let logical_id = format!("{path}{id}");
        match function_name(name, &logical_id) {
            Some(function) => {
                if contents.functions.iter().any(|it| it.name == function) {
                    reasons.push(format!(
                        "two functions would be called `{function}`, `{logical_id}` of stack `{artifact}` is one: rename it"
                    ));
                }
                contents.functions.push(CollectedFunction { name: function, stack: name.clone(), logical_id, source });
            }
            None => reasons.push(format!("`{logical_id}` of stack `{artifact}` is no logical id of a template")),
        }
    }
}

/// What a template takes beside functions' code; gives the nested templates.
fn others(
    Document { path, template, takes }: &Document,
    artifact: &str,
    name: &StackName,
    assets: &Assets,
    contents: &mut Contents,
    reasons: &mut Vec<String>,
) -> Vec<Document> {
    let mut nested = Vec::new();
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for it in takes {
        let Some(source) = assets.of_key(&it.bucket.as_sub(), it.key.as_str()) else {
            if !it.is_guess {
                reasons.push(format!(
                    "resource `{path}{}` of stack `{artifact}` takes `s3://{}/{}`, which is no asset of the assembly: make it \
                     one, such as by `Asset` of aws-s3-assets",
                    it.resource, it.bucket, it.key
                ));
            }
            continue;
        };
        told.insert((it.resource.clone(), it.key.to_string()));
        if it.kind == AssetKind::Template {
            match fs::read(&source.path).map_err(|error| told_of(&error)).and_then(|bytes| {
                let template = serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON ({error})"))?;
                let takes = template::read(&bytes).map(|it| it.assets).unwrap_or_default();
                Ok(Document { path: format!("{path}{}/", it.resource), template, takes })
            }) {
                Ok(document) => nested.push(document),
                Err(why) => reasons.push(format!(
                    "the template of the nested stack `{path}{}`, `{}`, {why}: synthesise again",
                    it.resource,
                    source.path.display()
                )),
            }
        }
        let source = contents.source(&source);
        let asset = CollectedAsset { kind: it.kind, stack: name.clone(), key: it.key.clone(), source };
        if !contents.assets.contains(&asset) {
            contents.assets.push(asset);
        }
    }
    assets.check_uses(path, artifact, template, &told, reasons);
    nested
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = fs::read(path).map_err(|error| format!("`{}` {}", path.display(), told_of(&error)))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("`{}` can't be used: {error}", path.display()))
}

/// Why a file is not read, behind its name.
fn told_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}

/// The account and region of `aws://ACCOUNT/REGION`, each where it is a literal.
fn environment(text: &str) -> (Option<AccountId>, Option<RegionName>) {
    let (account, region) = text.strip_prefix("aws://").and_then(|it| it.split_once('/')).unwrap_or_default();
    (account.parse().ok(), region.parse().ok())
}
