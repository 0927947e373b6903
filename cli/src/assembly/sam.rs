//! What `sam build` wrote: `.aws-sam/build`, with a template and a folder for each function that was built.
//!
//! CloudFormation's transform would write the template that runs at deploy time. So it is run here, by the public code of
//! it, aws-sam-translator, which the repository pins: what is stored is what dev and every stage get. A template without
//! the transform is taken the same way, less the translation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use gatekeeper_readers::template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Collected, CollectedAsset, CollectedFunction, CollectedStack, Contents, Packaging, Said, Source, Zipper,
    assets::{NOT_IN_REGISTRY, is_in_registry},
    names::function_name,
    resources, told_of, zip,
};
use crate::{build_folder, exit::Misuse};

/// What tells that a folder is one of SAM, the first that is there.
const TEMPLATES: [&str; 3] = ["template.yaml", "template.yml", "template.json"];

/// The script that reads and translates templates, whose usage it tells itself.
const SCRIPT: &str = include_str!("translate.py");

const TRANSFORM: &str = "AWS::Serverless-2016-10-31";

/// Where the template finds its code in each account: the bucket that `cdk bootstrap` makes.
const BUCKET: &str = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}";

/// What stands for that bucket while the template is translated, since the translation would put a region into it.
const BUCKET_SIGN: &str = "gatekeeper-asset-bucket";

/// A property that names a local file or folder, and what `sam package` would put in its place.
struct Local {
    kind: &'static str,
    property: &'static str,
    bucket: &'static str,
    key: &'static str,
    /// Whether a folder is zipped; else it is a file that is read as it is.
    is_code: bool,
}

/// What `sam package` uploads, as far as it has a place in a commit.
const LOCALS: [Local; 9] = [
    local("AWS::Serverless::Function", "CodeUri", ("Bucket", "Key"), true),
    local("AWS::Serverless::LayerVersion", "ContentUri", ("Bucket", "Key"), true),
    local("AWS::Serverless::StateMachine", "DefinitionUri", ("Bucket", "Key"), false),
    local("AWS::Serverless::Api", "DefinitionUri", ("Bucket", "Key"), false),
    local("AWS::Serverless::HttpApi", "DefinitionUri", ("Bucket", "Key"), false),
    local("AWS::Lambda::Function", "Code", ("S3Bucket", "S3Key"), true),
    local("AWS::Lambda::LayerVersion", "Content", ("S3Bucket", "S3Key"), true),
    local("AWS::StepFunctions::StateMachine", "DefinitionS3Location", ("Bucket", "Key"), false),
    local("AWS::ApiGateway::RestApi", "BodyS3Location", ("Bucket", "Key"), false),
];

const fn local(
    kind: &'static str,
    property: &'static str,
    (bucket, key): (&'static str, &'static str),
    is_code: bool,
) -> Local {
    Local { kind, property, bucket, key, is_code }
}

/// What the script says of a translation.
#[derive(Debug, Deserialize)]
struct Translated {
    by: String,
    template: Value,
}

/// The template of a folder, where it has one.
pub(super) fn template_of(root: &Path) -> Option<PathBuf> {
    TEMPLATES.iter().map(|name| root.join(name)).find(|it| it.is_file())
}

/// What of the folder makes a commit; none where there are reasons against it. ZIPs are written into `work`.
///
/// # Errors
/// Where Python or what it needs is missing, or a ZIP can't be written.
pub(super) fn take(
    root: &Path,
    file: &Path,
    said: &Said<'_>,
    work: &Path,
    reasons: &mut Vec<String>,
) -> anyhow::Result<Option<Collected>> {
    let Some(stack) = said.stack else {
        reasons.push("its template does not say what the stack is called: pass `--stack`".to_owned());
        return Ok(None);
    };
    let python = Python { program: said.python.unwrap_or(Path::new("python3")), script: work.join("translate.py") };
    fs::write(&python.script, SCRIPT).context("the script that reads the template can't be written")?;
    let read = python.run(&[Path::new("parse"), file], None)?.map_err(Misuse)?;
    let mut template: Value = serde_json::from_slice(&read).context("the template was not written as JSON")?;
    let is_sam = transform(&template, reasons);
    let made = place_code(root, &mut template, work, reasons)?;
    if !reasons.is_empty() {
        return Ok(None);
    }
    let (mut template, translated_by) = if is_sam {
        match python.run(&[Path::new("translate")], Some(template.to_string().as_bytes()))? {
            Ok(translated) => {
                let Translated { by, template } =
                    serde_json::from_slice(&translated).context("the translation can't be read")?;
                (template, Some(by))
            }
            Err(why) => {
                reasons.extend(why.lines().map(|line| format!("aws-sam-translator: {line}")));
                return Ok(None);
            }
        }
    } else {
        (template, None)
    };
    name_bucket(&mut template);
    let mut bytes = serde_json::to_vec_pretty(&template)?;
    bytes.push(b'\n');
    let mut contents = Contents::default();
    for (id, _, properties) in resources(&template).filter(|(_, kind, _)| *kind == "AWS::Lambda::Function") {
        let key = properties.get("Code").and_then(|it| it.get("S3Key")?.as_str());
        let Some(source) = key.and_then(|key| made.get(key)) else { continue };
        let source = contents.source(source);
        match function_name(stack, id) {
            Some(name) => {
                let (stack, logical_id) = (stack.clone(), id.to_owned());
                contents.functions.push(CollectedFunction { name, stack, logical_id, source });
            }
            None => reasons.push(format!("`{id}` is no logical id of a template")),
        }
    }
    for taken in template::read(&bytes).map(|it| it.assets).unwrap_or_default() {
        if let Some(source) = made.get(taken.key.as_str()) {
            let source = contents.source(source);
            let asset = CollectedAsset { kind: taken.kind, stack: stack.clone(), key: taken.key, source };
            if !contents.assets.contains(&asset) {
                contents.assets.push(asset);
            }
        }
    }
    let Contents { functions, assets, sources } = contents;
    let stack = CollectedStack {
        name: stack.clone(),
        stack_name: stack.to_string(),
        template: bytes,
        depends_on: BTreeSet::new(),
        tags: BTreeMap::new(),
        termination_protection: None,
    };
    let (stacks, warnings) = (vec![stack], Vec::new());
    let zipper = Zipper::Own;
    Ok(Some(Collected { stacks, functions, assets, sources, synthesised_for: None, zipper, translated_by, warnings }))
}

/// Whether the template has SAM's transform. Another one has no public code.
fn transform(template: &Value, reasons: &mut Vec<String>) -> bool {
    let transforms = match template.get("Transform") {
        None => Vec::new(),
        Some(Value::Array(many)) => many.iter().collect(),
        Some(one) => vec![one],
    };
    for it in transforms.iter().filter(|it| it.as_str() != Some(TRANSFORM)) {
        let name = it.as_str().or_else(|| it.get("Name")?.as_str()).unwrap_or("?");
        reasons.push(format!(
            "`Transform` names the macro `{name}`, which writes the template at deploy time, and only SAM's is run here: \
             leave it out"
        ));
    }
    !transforms.is_empty()
}

/// Puts in place of each local file or folder where each account has it. Gives what lies under which key.
fn place_code(
    root: &Path,
    template: &mut Value,
    work: &Path,
    reasons: &mut Vec<String>,
) -> anyhow::Result<BTreeMap<String, Source>> {
    let places = places(root, template, reasons);
    let paths: BTreeSet<&Path> = places.iter().map(|(.., path)| path.as_path()).collect();
    let folders: Vec<&Path> = paths.iter().copied().filter(|it| it.is_dir()).collect();
    let zipped: BTreeMap<&Path, PathBuf> = folders.iter().copied().zip(zip::all(&folders, work)?).collect();
    let mut made = BTreeMap::new();
    let mut keys: BTreeMap<&Path, String> = BTreeMap::new();
    for path in paths {
        let (file, extension) = match zipped.get(path) {
            Some(zip) => (zip.as_path(), "zip"),
            None => (path, path.extension().and_then(|it| it.to_str()).unwrap_or("bin")),
        };
        let unreadable = || format!("`{}` can't be read", file.display());
        let (sha256, _) =
            fs::File::open(file).and_then(|it| build_folder::hash(it, |_| {})).with_context(unreadable)?;
        let key = format!("{sha256}.{extension}");
        let source = Source { asset: key.clone(), path: file.to_owned(), packaging: Packaging::File };
        made.insert(key.clone(), source);
        keys.insert(path, key);
    }
    for (id, local, path) in &places {
        let Some(key) = keys.get(path.as_path()) else { continue };
        let place = json!({local.bucket: BUCKET_SIGN, local.key: key});
        let properties = template.pointer_mut(&format!("/Resources/{id}/Properties"));
        if let Some(property) = properties.and_then(|it| it.get_mut(local.property)) {
            *property = place;
        }
    }
    Ok(made)
}

/// Puts the bucket in place of its sign.
fn name_bucket(value: &mut Value) {
    match value {
        Value::String(text) if text == BUCKET_SIGN => *value = json!({"Fn::Sub": BUCKET}),
        Value::Array(items) => items.iter_mut().for_each(name_bucket),
        Value::Object(members) => members.values_mut().for_each(name_bucket),
        _ => {}
    }
}

/// The local files and folders that a template names: resource, property and path; every reason why one can't be taken.
fn places(root: &Path, template: &Value, reasons: &mut Vec<String>) -> Vec<(String, &'static Local, PathBuf)> {
    let mut places = Vec::new();
    for (id, kind, properties) in resources(template) {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            reasons.push(format!("`{id}` is no logical id of a template"));
            continue;
        }
        let is_image = properties.get("PackageType").and_then(Value::as_str) == Some("Image");
        let image = properties.get("ImageUri").or_else(|| properties.get("Code")?.get("ImageUri"));
        if is_image || image.is_some() {
            if !image.is_some_and(is_in_registry) {
                reasons.push(format!("function `{id}` {NOT_IN_REGISTRY}"));
            }
            continue;
        }
        if kind == "AWS::Serverless::Application" {
            reasons.push(format!("`{id}` is an application of its own: build and collect it as a stack of its own"));
            continue;
        }
        if kind == "AWS::Serverless::Function"
            && !["CodeUri", "InlineCode"].iter().any(|it| properties.get(it).is_some())
        {
            reasons.push(format!("function `{id}` names no code: run `sam build`, and collect `.aws-sam/build`"));
        }
        let Some(local) = LOCALS.iter().find(|it| it.kind == kind) else { continue };
        let Some(value) = properties.get(local.property) else { continue };
        let place = format!("Resources.{id}.Properties.{}", local.property);
        match value.as_str() {
            Some(path) if path.starts_with("s3://") || path.starts_with("https://") => reasons.push(format!(
                "`{place}` is in a bucket already, as `sam package` writes it: collect `.aws-sam/build`, as `sam build` wrote it"
            )),
            Some(path) => {
                let path = root.join(path);
                match path.metadata() {
                    Ok(it) if it.is_dir() && !local.is_code => {
                        reasons.push(format!("`{place}` is a folder, and a file is wanted there"));
                    }
                    Ok(_) => match path.canonicalize() {
                        Ok(path) => places.push((id.to_owned(), local, path)),
                        Err(error) => reasons.push(format!("`{place}`: `{}` {}", path.display(), told_of(&error))),
                    },
                    Err(error) => reasons
                        .push(format!("`{place}`: `{}` {}: run `sam build` again", path.display(), told_of(&error))),
                }
            }
            None if value.get("ZipFile").is_some() => {}
            None => reasons.push(format!(
                "`{place}` names an object of a bucket, and only what `sam build` wrote is known to be the code of the \
                 commit: name a local folder"
            )),
        }
    }
    places
}

struct Python<'a> {
    program: &'a Path,
    script: PathBuf,
}

impl Python<'_> {
    /// Runs the script; gives what it wrote, or in words why it did not.
    fn run(&self, arguments: &[&Path], input: Option<&[u8]>) -> anyhow::Result<Result<Vec<u8>, String>> {
        let mut command = Command::new(self.program);
        command.arg(&self.script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = self.program.display();
        let mut child = command.spawn().with_context(|| {
            format!("`{shown}` can't be run: pass `--python` with the Python that aws-sam-translator is installed for")
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // It reads all before it writes; where it ends without reading, its own words tell why.
            let _ = stdin.write_all(input.unwrap_or_default());
        }
        let ran = child.wait_with_output().with_context(|| format!("`{shown}` can't be run"))?;
        let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        if said.ends_with("is not installed beside this Python") {
            anyhow::bail!(
                "{said}, `{shown}`: add aws-sam-translator and PyYAML to the repository's requirements, or pass `--python`"
            );
        }
        Ok(if ran.status.success() { Ok(ran.stdout) } else { Err(said) })
    }
}
