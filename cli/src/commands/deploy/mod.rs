//! `gatekeeper deploy`: dev gets the stored commit, by the steps of a promotion.

mod apply;
mod plan;
mod stored;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use apply_stack::assets::{Asset, Provided};
use aws_sdk_cloudformation::types::Stack;
use gatekeeper_model::{
    finding::Finding,
    ids::{AccountId, CommitSha, RegionName, Repo, StackName, StageName, VersionId},
};
use gatekeeper_promotion::{
    facts::{FunctionFacts, StackFacts},
    plan::{Plan, PlannedStack},
    replacement::ResourcePath,
    step::{Report, ReportStatus},
};
use serde::Serialize;

use self::{
    apply::{Applied, Deployment},
    plan::Dev,
};
use super::{observe, promote, stage_assets::place::Caller};
use crate::{
    aws::{Aws, Part, PlaceArgs},
    exit::{Answer, Misuse},
    output::{Output, bad, faint, good},
    reason::{self, Reason},
    repo::Named,
};

/// What a program that was interrupted exits with, as shells have it.
const INTERRUPTED: u8 = 130;

/// A stack's name in a stage where nothing else is said (CONTRACT §6).
const STACK_NAME: &str = "{repo}-{stage}-{stack}";

const NOTES: &str = "\
Run it after `gatekeeper publish --wait --expect registered` and before `gatekeeper observe`, with credentials that may deploy to
dev and read the artefact store. It deploys what is stored and nothing else: each object in the version whose bytes the
manifest lists, the templates as they are. The bundles and assets are copied to where the templates look for them, and
no object there is ever replaced. Databases are not migrated.

Only dev is deployed so: the stage that the commit's templates were synthesised for, in that account and region, else `dev`.
A commit gets to every other stage by `gatekeeper promote`. A stack that a promotion has applied is left alone.

Run twice, it changes nothing. Broken off, it goes on where CloudFormation is by then.

Exit codes:
  0  dev has the stored commit
  1  the commit is not there as the manifest lists it, the gate has rejected it or taken it back, other bytes lie where a
     template looks, or a stack or a function failed, with CloudFormation's own reasons
  2  wrong use: another stage, another account, parameters that don't fit
  3  AWS could not be reached, or refused

Examples:
  gatekeeper deploy --stage dev --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357
  gatekeeper deploy --stage dev --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 \\
      --stack-name '{stage}-bank-payments-{stack}' --parameter LogLevel=debug --output json";

/// Applies the stored commit to dev, before the integration tests
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The repository
    #[arg(long, value_name = "REPO")]
    repo: Named,
    /// The commit, in full
    #[arg(long, aliases = ["commit-sha", "commit"], value_name = "SHA")]
    sha: CommitSha,
    /// The stage: dev, as the templates were synthesised for
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// A stack's name in the stage; `{repo}`, `{stage}` and `{stack}` are replaced. Without it
    /// `{repo}-{stage}-{stack}`, once config/stages.json of the records bucket has shown that nothing is promoted to the stage
    #[arg(long, value_name = "TEMPLATE")]
    stack_name: Option<String>,
    /// The value of a parameter, for every template that declares it. It is kept where everybody can read it: a secret
    /// belongs into Secrets Manager
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// The role that CloudFormation takes for the stacks; without it that which a stack has, or the caller's own rights
    #[arg(long, value_name = "ARN")]
    stack_role_arn: Option<String>,
    /// A resource that holds data and that may be replaced or removed nevertheless, such as payments-data/OrdersTable:
    /// the stack as the repository calls it, and the logical id. More of them by commas, or by giving it again
    #[arg(long, value_name = "STACK/LOGICAL_ID", value_delimiter = ',')]
    accept_replacement: Vec<ResourcePath>,
    /// Plans only, and touches nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    aws: PlaceArgs,
}

/// `NAME=VALUE`
fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_name {
        return Err(format!("`{name}` is not a parameter's name: letters and digits"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// Dev has the commit.
    Deployed,
    /// A stack or a function failed.
    Failed,
    /// Nothing was touched, because that was asked for.
    Planned,
    /// Nothing was touched, for the reasons that are told.
    Refused,
}

/// What the command did.
#[derive(Debug, Serialize)]
struct Told {
    status: Status,
    repo: Repo,
    commit_sha: CommitSha,
    stage: StageName,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_version_id: Option<VersionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<RegionName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
    /// Why not everything could be put where the templates look for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    /// How many bundles and assets were copied to where the templates look for them.
    copied: usize,
    stacks: Vec<ToldStack>,
    functions: Vec<Report<FunctionFacts>>,
}

/// A stack, and what it puts out.
#[derive(Debug, Serialize)]
struct ToldStack {
    /// As the repository calls it.
    stack: StackName,
    #[serde(flatten)]
    report: Report<StackFacts>,
    outputs: BTreeMap<String, String>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    args.repo.say(output);
    let aws = Aws::at(&args.aws).await?;
    let stack_name = match &args.stack_name {
        Some(template) => observe::stage_called(template)?.stack_name,
        None if observe::in_configuration(&aws, &args.stage).await?.is_some() => return Err(promoted_to(&args.stage)),
        None => STACK_NAME.to_owned(),
    };
    let artefacts = aws.bucket(&aws.part(Part::ArtefactBucket).await?);
    let commit = gatekeeper_model::ids::Commit { repo: (*args.repo).clone(), sha: args.sha.clone() };
    let stored = match stored::read(&artefacts, &commit, stored::PATIENCE).await? {
        Ok(stored) => stored,
        Err(reasons) => return refused(args, &reasons, output),
    };
    plan::check_stage(&args.stage, stored.manifest.synthesised_for.as_ref())?;
    let caller = Caller::ask(&aws.config).await?;
    if let Some(made_for) = &stored.manifest.synthesised_for {
        caller.check(made_for)?;
    }
    let parameters: BTreeMap<_, _> = args.parameters.iter().cloned().collect();
    plan::check_parameters(&stored, &parameters)?;
    let dev = Dev {
        stage: &args.stage,
        account: &caller.account,
        region: &caller.region,
        caller: &caller.arn,
        artefact_bucket: artefacts.bucket(),
        stack_name: &stack_name,
        parameters: &parameters,
    };
    let plan = match plan::plan(&stored, &dev) {
        Ok(plan) => plan,
        Err(reasons) => return refused(args, &reasons, output),
    };
    let accept_replacement: BTreeSet<_> = args.accept_replacement.iter().cloned().collect();
    let deployment = Deployment::new(
        &aws.config,
        caller.account.as_str(),
        &artefacts,
        &commit,
        args.stack_role_arn.as_deref(),
        &accept_replacement,
    );
    let live = deployment.live(&plan).await?;
    let others = plan.stacks.iter().filter_map(|it| Some((it, live.get(&it.stack_name)?)));
    let others: Vec<_> = others
        .filter_map(|(planned, stack)| plan::is_promoted(stack, &args.stage, stored.templates.get(&planned.stack)))
        .collect();
    if !others.is_empty() {
        return Err(Misuse(format!(
            "{}: only promotions change what they have applied; see that `--stack-name` and the account are dev's",
            others.join("; ")
        ))
        .into());
    }
    let mut told = told(args, Status::Planned);
    told.manifest_version_id = Some(stored.manifest_version_id.clone());
    (told.account, told.region) = (Some(caller.account.clone()), Some(caller.region.clone()));
    if args.dry_run {
        let text = format!("{}  {}, nothing was touched\n{}", good("planned"), target(args), promote::planned(&plan));
        told.plan = Some(plan);
        output.result(&told, &text)?;
        return Ok(Answer::Yes);
    }
    let assets = plan::all_assets(&stored, &plan, &dev).map_err(Misuse)?;
    let stacks: Vec<_> = plan.stacks.iter().map(|stack| plan::applied(&stored, stack)).collect();
    let applied = tokio::select! {
        applied = apply(&deployment, &plan, &stacks, &assets, output) => Some(applied?),
        // A signal that can't be waited for must not end what is under way.
        Ok(()) = tokio::signal::ctrl_c() => None,
    };
    match applied {
        Some(applied) => tell(args, told, applied, deployment.live(&plan).await?, output),
        None => {
            output.clear_passing();
            let why = "interrupted: what CloudFormation has begun goes on without this command; run it again to follow it to \
                       its end";
            output.warning(why);
            Ok(Answer::Ended(INTERRUPTED))
        }
    }
}

/// Copies what the templates look for, and applies the plan; in words why something can't lie where it should.
async fn apply(
    deployment: &Deployment<'_>,
    plan: &Plan,
    stacks: &[PlannedStack],
    assets: &[Asset<'_>],
    output: &mut Output,
) -> anyhow::Result<Result<(Provided, Applied), String>> {
    let provided = match deployment.provide(assets).await? {
        Ok(provided) => provided,
        Err(why) => return Ok(Err(why)),
    };
    if !assets.is_empty() {
        let Provided { copied, already_there } = provided;
        output.progress(&format!(
            "{copied} files copied to where the templates look for them, {already_there} were there"
        ));
    }
    Ok(Ok((provided, deployment.apply(plan, stacks, output).await?)))
}

/// Tells what came of it.
fn tell(
    args: &Args,
    mut told: Told,
    applied: Result<(Provided, Applied), String>,
    mut live: BTreeMap<StackName, Stack>,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let (provided, Applied { stacks, functions }) = match applied {
        Ok(applied) => applied,
        Err(problem) => {
            told.status = Status::Failed;
            let text = format!("{}  {}, no stack was touched\n  {problem}", bad("failed"), target(args));
            told.problem = Some(problem);
            output.result(&told, &text)?;
            return Ok(Answer::No);
        }
    };
    let statuses = stacks.iter().map(|(_, it)| it.status).chain(functions.iter().map(|it| it.status));
    let is_whole = !statuses.into_iter().any(|status| status == ReportStatus::Failed);
    told.status = if is_whole { Status::Deployed } else { Status::Failed };
    told.copied = provided.copied;
    told.stacks = stacks
        .into_iter()
        .map(|(planned, report)| {
            let outputs = live.remove(&planned.stack_name).and_then(|stack| stack.outputs).unwrap_or_default();
            let outputs = outputs.into_iter().filter_map(|it| it.output_key.zip(it.output_value)).collect();
            ToldStack { stack: planned.stack, report, outputs }
        })
        .collect();
    told.functions = functions;
    output.result(&told, &text(args, &told))?;
    Ok(Answer::yes_if(is_whole))
}

/// That commits get to a stage by promotions only.
fn promoted_to(stage: &StageName) -> anyhow::Error {
    Misuse(format!(
        "`{stage}` is a stage of `config/stages.json`: a commit gets there by `gatekeeper promote`, once it is Built"
    ))
    .into()
}

fn target(args: &Args) -> String {
    format!("{}@{} to {}", *args.repo, args.sha, args.stage)
}

fn told(args: &Args, status: Status) -> Told {
    Told {
        status,
        repo: (*args.repo).clone(),
        commit_sha: args.sha.clone(),
        stage: args.stage.clone(),
        manifest_version_id: None,
        account: None,
        region: None,
        reasons: Vec::new(),
        problem: None,
        plan: None,
        copied: 0,
        stacks: Vec::new(),
        functions: Vec::new(),
    }
}

fn refused(args: &Args, reasons: &[Finding], output: &mut Output) -> anyhow::Result<Answer> {
    let commit = gatekeeper_model::ids::Commit { repo: (*args.repo).clone(), sha: args.sha.clone() };
    let mut told = told(args, Status::Refused);
    told.reasons = reasons.iter().map(Reason::from).collect();
    let listed = reason::reasons(&told.reasons, Some(&commit));
    output.result(&told, &format!("{}  {}, nothing was touched\n{listed}", bad("refused"), target(args)))?;
    Ok(Answer::No)
}

fn text(args: &Args, told: &Told) -> String {
    let word = if told.status == Status::Deployed { good("deployed") } else { bad("failed") };
    let mut text = format!("{word}  {}\n", target(args));
    let stacks = told.stacks.iter().map(|it| (&it.report.subject, it.report.status, &it.report.detail));
    let functions = told.functions.iter().map(|it| (&it.subject, it.status, &it.detail));
    let width = stacks.clone().chain(functions.clone()).map(|(subject, ..)| subject.len()).max().unwrap_or(0);
    for (subject, status, detail) in stacks.chain(functions) {
        let word = match status {
            ReportStatus::Applied => good("applied  "),
            ReportStatus::Failed => bad("failed   "),
            _ => faint("unchanged"),
        };
        let _ = writeln!(text, "  {word}  {subject:width$}  {detail}");
    }
    for (name, value) in told.stacks.iter().flat_map(|it| &it.outputs) {
        let _ = writeln!(text, "  {}  {name} = {value}", faint("output   "));
    }
    text
}
