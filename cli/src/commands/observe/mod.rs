//! `gatekeeper observe`: which code do a stage's functions and layers hold, and which templates do its stacks have, between
//! deploy and integration tests?

mod images;
mod layers;
mod parameters;
mod templates;

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{failure::Failure, registry::Registry, stack_functions, stack_functions::NoFunction};
use gatekeeper_model::{
    ids::{FunctionName, Repo, Sha256, StackName, StageName},
    manifest::{DeployedFunction, DeployedImage, DeployedLayer, DeployedParameter, DeployedTemplate, Function, Module},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    plan::{Pinned, PlannedFunction},
    stage,
    stage::StagesConfig,
};
use gatekeeper_store::ReadStore as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    aws::{Aws, AwsArgs, called},
    build_folder::{self, draft},
    exit::{Answer, Misuse},
    output::{Output, bad, faint, good},
    repo::Named,
    whole_file,
};

/// Functions that are looked at at once: Lambda allows 100 reading calls a second.
const LOOKS_IN_FLIGHT: usize = 10;

/// What a version of a file that is not stored is called.
const LOCAL: &str = "local";

const NOTES: &str = "\
Run it after the deploy to dev and before the integration tests; the gate then holds the tested bytes and templates
against the stored ones. A template is the same where it is the same JSON, however that is spelt. A stack's name in the
stage is made as config/stages.json of the records bucket says, or as --stack-name does, which needs no access to that
bucket. It needs `cloudformation:ListStackResources`, `cloudformation:GetTemplate`, `cloudformation:DescribeStacks` and
`lambda:GetFunctionConfiguration` in the stage's account, and `lambda:GetLayerVersion` where the build has layers.
The values of the stacks' parameters are written too, but for those that CloudFormation keeps to itself (`NoEcho`).

Of an image that a template names by a tag it tells the digest that runs: of a function as Lambda has resolved it
(`lambda:GetFunction`), of anything else as ECR has it under the tag (`ecr:DescribeImages`, `ecr:DescribeRepositories`,
`cloudformation:DescribeStacks`), where the repository's tags are immutable.

Exit codes:
  0  every function runs the code of its bundle, every stack has the template and the layers of the build, and of every
     image by a tag the digest is told
  1  a function, a layer or a stack is missing, or has something else, or an image's digest can't be told
  2  wrong use
  3  AWS could not be reached, or refused

Examples:
  gatekeeper observe build/commit --stage dev --repo bank-payments --write build/observed.json
  gatekeeper observe --manifest build/commit/build-manifest.json --stage dev --repo bank-payments \\
      --stack-name '{repo}-{stage}-{stack}' --output json";

/// Reads which code a stage's functions run, which templates and layers its stacks have, and holds them against a build
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The folder of the build, whose bundles are hashed
    #[arg(value_name = "DIR", required_unless_present = "manifest", conflicts_with = "manifest")]
    folder: Option<PathBuf>,
    /// A manifest instead, whose digests are taken
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// The repository
    #[arg(long, value_name = "REPO")]
    repo: Named,
    /// A stack's name in the stage; `{repo}`, `{stage}` and `{stack}` are replaced
    #[arg(long, value_name = "TEMPLATE")]
    stack_name: Option<String>,
    /// Writes what the functions run and the stacks have, with their parameters' values, to this JSON file, for `gatekeeper publish --observed`
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    aws: AwsArgs,
}

/// What is taken of a manifest.
#[derive(Debug, Deserialize)]
struct Modules {
    modules: Vec<Module>,
}

/// What the command found out.
#[derive(Debug, Serialize)]
struct Report {
    repo: Repo,
    stage: StageName,
    /// Whether every function runs its bundle's code, every stack has its template and layers, and every image is told.
    equal: bool,
    functions: Vec<Observed>,
    stacks: Vec<templates::Observed>,
    layers: Vec<layers::Observed>,
    images: Vec<images::Observed>,
    /// The values of the stacks' parameters, which nothing is held against.
    parameters: Vec<DeployedParameter>,
}

/// What `--write` keeps, named as the fields of the manifest's `tests.integration` that it becomes.
#[derive(Debug, Serialize)]
struct Written {
    deployed: Vec<DeployedFunction>,
    templates: Vec<DeployedTemplate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<DeployedLayer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<DeployedImage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<DeployedParameter>,
}

/// A function of the stage.
#[derive(Debug, Serialize)]
struct Observed {
    function: FunctionName,
    stack_name: StackName,
    /// Its name in Lambda; `None` where the stage has no such function.
    live_name: Option<String>,
    /// The digest of its bundle.
    stored: Sha256,
    /// That of the code that it runs.
    live: Option<Sha256>,
    equal: bool,
    /// Why nothing is known of its code.
    problem: Option<String>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    args.repo.say(output);
    let modules = modules(args).await?;
    let aws = Aws::connect(&args.aws).await?;
    let stage = match &args.stack_name {
        Some(template) => stage_called(template)?,
        None => configured(&aws, &args.stage).await?,
    };
    let named = |stack: &StackName| {
        stage.stack_name_of(&args.repo, &args.stage, stack).map_err(|finding| Misuse(finding.message))
    };
    let mut planned = Vec::new();
    for module in &modules {
        for function in &module.functions {
            planned.push(plan(module, function, named(&function.stack)?));
        }
    }
    let planned: Vec<_> = planned.iter().collect();
    let client = stack_functions::looking_client(&aws.config);
    let names = called("ListStackResources", stack_functions::find(&client, &planned).await)?;
    let lambda = aws_sdk_lambda::Client::new(&aws.config);
    let looks = planned.iter().map(|planned| observe(&lambda, planned, &names));
    let functions: Vec<_> = stream::iter(looks).buffered(LOOKS_IN_FLIGHT).try_collect().await?;

    let stacks = templates::observe(&client, &modules, args.folder.as_deref(), named).await?;
    let (layers, deployed_layers) = layers::observe(&client, &lambda, &modules, named).await?;
    let clients = images::Clients { cloudformation: &client, lambda: &lambda, registry: Registry::new(&aws.config) };
    let images = images::observe(&clients, &stacks).await?;
    let parameters = parameters::observe(&client, &stacks, output).await?;

    if let Some(path) = &args.write {
        let deployed = functions
            .iter()
            .filter_map(|it| Some(DeployedFunction { function: it.function.clone(), code_sha256: it.live? }))
            .collect();
        let written = Written {
            deployed,
            templates: templates::told(&stacks),
            layers: deployed_layers,
            images: images.iter().filter_map(images::Observed::told).collect(),
            parameters: parameters.clone(),
        };
        let mut text = serde_json::to_string_pretty(&written)?;
        text.push('\n');
        whole_file::write(path, text.as_bytes())?;
    }
    let equal = functions.iter().all(|it| it.equal)
        && stacks.iter().all(|it| it.equal)
        && layers.iter().all(|it| it.equal)
        && images.iter().all(|it| it.digest.is_some());
    let (repo, stage) = ((*args.repo).clone(), args.stage.clone());
    let report = Report { repo, stage, equal, functions, stacks, layers, images, parameters };
    output.result(&report, &text(&report))?;
    Ok(Answer::yes_if(equal))
}

/// The build's modules.
async fn modules(args: &Args) -> anyhow::Result<Vec<Module>> {
    let document = match (&args.folder, &args.manifest) {
        (Some(folder), _) => {
            let files = build_folder::measure(build_folder::walk(folder)?, |_| {}).await?;
            let (draft, reasons) = draft::listed(build_folder::base(&files)?, &files, &build_folder::contents(&files)?);
            if !reasons.is_empty() {
                let reasons = reasons.join("\n  ");
                return Err(
                    Misuse(format!("the modules in `{}` can't be listed:\n  {reasons}", folder.display())).into()
                );
            }
            draft.document
        }
        (None, Some(path)) => build_folder::read_object(path)?,
        (None, None) => return Err(Misuse("name the folder, or pass `--manifest`".to_owned()).into()),
    };
    let Modules { modules } = serde_json::from_value(Value::Object(document))
        .map_err(|error| Misuse(format!("the manifest's `modules` can't be used: {error}")))?;
    Ok(modules)
}

/// A stage of which nothing but its stacks' names matters.
pub(super) fn stage_called(template: &str) -> anyhow::Result<stage::Stage> {
    if !template.contains("{stack}") {
        return Err(Misuse(
            "`--stack-name` holds no `{stack}`, so every stack would have one name: put it in".to_owned(),
        )
        .into());
    }
    Ok(serde_json::from_value(serde_json::json!({"stack_name": template}))?)
}

/// The stage as the gatekeeper's configuration has it; CONTRACT §6's defaults where it has none of this name.
async fn configured(aws: &Aws<'_>, name: &StageName) -> anyhow::Result<stage::Stage> {
    match in_configuration(aws, name).await? {
        Some(stage) => Ok(stage),
        None => Ok(serde_json::from_value(serde_json::json!({}))?),
    }
}

/// The stage as the gatekeeper's configuration has it, where it has one of this name.
pub(super) async fn in_configuration(aws: &Aws<'_>, name: &StageName) -> anyhow::Result<Option<stage::Stage>> {
    let key = RecordKey::StagesConfig.to_string();
    let body = aws.records().await?.get(&key, None, stage::MAX_BYTES).await;
    let body = body
        .with_context(|| format!("`{key}`, which names the stage's stacks, could not be read: pass `--stack-name`"))?;
    let config = body.map(|body| StagesConfig::parse(&body.bytes)).transpose();
    let config = config.map_err(|finding| anyhow::anyhow!("`{key}`: {}", finding.message))?;
    Ok(config.and_then(|mut config| config.stages.remove(name)))
}

fn plan(module: &Module, function: &Function, stack_name: StackName) -> PlannedFunction {
    let Function { name, sha256, size, stack, logical_id } = function.clone();
    let bundle = Pinned { key: LOCAL.to_owned(), version_id: LOCAL.into(), sha256, size };
    PlannedFunction { module: module.id.clone(), function: name, stack, stack_name, logical_id, bundle }
}

/// Looks at one function.
async fn observe(
    lambda: &aws_sdk_lambda::Client,
    planned: &PlannedFunction,
    names: &stack_functions::Names,
) -> anyhow::Result<Observed> {
    let mut observed = Observed {
        function: planned.function.clone(),
        stack_name: planned.stack_name.clone(),
        live_name: None,
        stored: planned.bundle.sha256,
        live: None,
        equal: false,
        problem: None,
    };
    let name = match names.get(&planned.function) {
        Some(Ok(name)) => name,
        Some(Err(NoFunction::Absent(why))) => return Ok(Observed { problem: Some(why.clone()), ..observed }),
        Some(Err(NoFunction::Unread(why))) => anyhow::bail!("{why}"),
        None => anyhow::bail!("function `{}` was not looked for", planned.function),
    };
    observed.live_name = Some(name.clone());
    match lambda.get_function_configuration().function_name(name).send().await {
        Err(error) if Failure::of(&error) == Failure::Absent => {
            observed.problem = Some(format!("its stack names `{name}`, which Lambda does not have"));
        }
        answer => {
            let answer =
                called("GetFunctionConfiguration", answer).with_context(|| format!("`{name}` can't be looked at"))?;
            observed.live = answer.code_sha256().and_then(Sha256::from_base64);
            observed.equal = observed.live == Some(observed.stored);
            if observed.live.is_none() {
                observed.problem = Some(format!("Lambda tells no digest of the code of `{name}`"));
            }
        }
    }
    Ok(observed)
}

fn text(report: &Report) -> String {
    let functions = &report.functions;
    let width = functions.iter().map(|it| it.function.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for Observed { function, stored, live, equal, problem, live_name, .. } in functions {
        let name = live_name.as_deref().unwrap_or("-");
        let _ = match (live, equal) {
            (_, true) => writeln!(text, "{}  {function:width$}  {stored}  {name}", good("equal  ")),
            (Some(live), false) => {
                writeln!(text, "{}  {function:width$}  {live}  {name}, stored is {stored}", bad("differs"))
            }
            (None, _) => {
                writeln!(text, "{}  {function:width$}  {}", bad("missing"), problem.as_deref().unwrap_or(name))
            }
        };
    }
    for templates::Observed { stack_name, stored, live, equal, problem, .. } in &report.stacks {
        let _ = match (live, equal) {
            (_, true) => writeln!(text, "{}  {stack_name}  {stored}  its template", good("equal  ")),
            (Some(live), false) => {
                writeln!(text, "{}  {stack_name}  {live}  its template, stored is {stored}", bad("differs"))
            }
            (None, _) => {
                let problem = problem.as_deref().unwrap_or("it was not looked at");
                writeln!(text, "{}  {stack_name}  {problem}", bad("missing"))
            }
        };
    }
    for layers::Observed { stack_name, key, stored, problem, .. } in &report.layers {
        let _ = match problem {
            None => writeln!(text, "{}  {stack_name}  {stored}  its layer {key}", good("equal  ")),
            Some(why) => writeln!(text, "{}  {stack_name}  layer {key}: {why}, stored is {stored}", bad("differs")),
        };
    }
    for images::Observed { stack_name, logical_id, image, digest, problem, .. } in &report.images {
        let _ = match digest {
            Some(digest) => writeln!(text, "{}  {stack_name}  {digest}  the image of {logical_id}", good("runs   ")),
            None => {
                let why = problem.as_deref().unwrap_or("it was not looked at");
                writeln!(text, "{}  {stack_name}  image {image} of {logical_id}: {why}", bad("untold "))
            }
        };
    }
    for DeployedParameter { stack, name, value, is_default } in &report.parameters {
        if !is_default {
            let value = value.as_deref().unwrap_or("not told by CloudFormation (NoEcho)");
            let _ = writeln!(text, "{}  {stack}  {name} = {value}", faint("value  "));
        }
    }
    let equal = functions.iter().filter(|it| it.equal).count();
    let same = report.stacks.iter().filter(|it| it.equal).count();
    let _ = write!(
        text,
        "{equal} of {} functions run the code of their bundles, and {same} of {} stacks have their templates, of {} in {}",
        functions.len(),
        report.stacks.len(),
        report.repo,
        report.stage
    );
    text
}
