//! `gatekeeper promote`: the manual event (CONTRACT §5), and what becomes of it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use gatekeeper_model::ids::{CommitSha, PromotionId, Repo, Sha256, StageName};
use gatekeeper_promotion::{
    approval::BreakGlass,
    changes::Changes,
    counting::NotCounted,
    plan::{MigrationState, Plan},
    record::{PromotionRecord, Status},
    replacement::ResourcePath,
    request::{InvalidPromotionEvent, PromotionRequest},
    runs::{PlannedRun, pulumi::PulumiPreview},
    stage::SmokeTarget,
    step::{PromotionRef, ReportStatus},
};
use gatekeeper_readers::pulumi::preview;
use serde::Deserialize;

use super::{
    changes, lease,
    lease::{LeaseFile, Leased},
};
use crate::{
    aws::{Aws, AwsArgs, Part},
    exit::{Answer, Misuse},
    follow::{Followed, Until, follow},
    output::{Output, bad, faint, good},
    reason::{self, Reason},
};

const USAGE: &str = "\
gatekeeper promote [OPTIONS] --repo <REPO> --sha <SHA> --stage <STAGE> --reason <TEXT>
       gatekeeper promote [OPTIONS] --complete <FILE>";

const EXAMPLES: &str = "\
Examples:
  gatekeeper promote --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --stage uat \\
      --reason 'release 2026-05' --dry-run --changes
  gatekeeper promote --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --stage uat \\
      --reason 'release 2026-05' --requested-by jane@bank.example

A commit with a Pulumi program or dbt models is promoted in two halves, with the runner's work in between:
  gatekeeper promote --repo bank-risk-platform --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --stage uat \\
      --reason 'release 2026-05' --lease lease.json
  gatekeeper promote --complete lease.json --evidence target";

/// Promotes a Built commit to a stage, and follows the steps
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Args {
    /// The repository
    #[arg(long, value_name = "REPO", required_unless_present = "complete")]
    repo: Option<Repo>,
    /// The commit, in full
    #[arg(long, alias = "commit-sha", value_name = "SHA", required_unless_present = "complete")]
    sha: Option<CommitSha>,
    /// Waive the stage's rules; a second person must have agreed by `gatekeeper approve --break-glass`
    #[arg(long)]
    break_glass: bool,
    #[command(flatten)]
    common: Common,
}

/// What a promotion and a rollback have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The stage
    #[arg(long, value_name = "STAGE", required_unless_present = "complete")]
    stage: Option<StageName>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", required_unless_present = "complete")]
    reason: Option<String>,
    /// Who asks, for the record; without it who the AWS credentials say
    #[arg(long, value_name = "WHO")]
    requested_by: Option<String>,
    /// A resource that holds data and that may be replaced or removed nevertheless, such as payments-data/OrdersTable:
    /// the stack as the repository calls it, and the logical id; of a Pulumi program the URN. More of them by commas, or
    /// by giving it again
    #[arg(long, value_name = "STACK/LOGICAL_ID", value_delimiter = ',')]
    accept_replacement: Vec<ResourcePath>,
    /// Verify and plan only, touch nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: ask CloudFormation too what would change in each stack, and whether names that are new are taken.
    /// Change sets are made, read and deleted, and nothing is executed
    #[arg(long, requires = "dry_run")]
    changes: bool,
    /// What `pulumi up` would do, of a commit with a Pulumi program: what `pulumi preview --json` prints, or what
    /// `--save-plan` keeps. Only its resources' names and operations are handed in
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// Don't wait for the end
    #[arg(long)]
    no_follow: bool,
    /// Wait until a runner may carry out its part of the promotion, `pulumi up` or `dbt build`, and write here what it needs
    /// for that. The file must not be there yet; it holds a secret, by which runs are handed in
    #[arg(long, value_name = "FILE")]
    lease: Option<PathBuf>,
    #[command(flatten)]
    completing: Completing,
    #[command(flatten)]
    aws: AwsArgs,
}

/// The second half of a promotion that a runner carries out a part of.
#[derive(Debug, clap::Args)]
pub(super) struct Completing {
    /// Hand in what the runner did, by the file of `--lease`, and follow the promotion to its end
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["repo", "sha", "stage", "reason", "lease", "dry_run", "changes", "accept_replacement"]
    )]
    pub(super) complete: Option<PathBuf>,
    /// With --complete: the folder with `manifest.json` and `run_results.json`, dbt's `target`; of several runs NAME=FOLDER
    /// for each, with the name that the file of `--lease` gives it
    #[arg(long, value_name = "[NAME=]FOLDER", requires = "complete")]
    pub(super) evidence: Vec<String>,
}

/// The token by which a runner's part is handed in.
#[derive(Deserialize)]
struct GivenLease {
    token: String,
}

impl std::fmt::Debug for GivenLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenLease")
    }
}

/// What the promote function answers (CONTRACT §5); the raw document is what `--output json` prints.
#[derive(Debug, Deserialize)]
struct PromoteAnswer {
    status: String,
    promotion_id: Option<PromotionId>,
    execution_arn: Option<String>,
    lease: Option<GivenLease>,
    #[serde(default)]
    reasons: Vec<Reason>,
    #[serde(default)]
    plan: Plan,
    plan_sha256: Option<Sha256>,
    changes: Option<Changes>,
    #[serde(default)]
    not_counted: Vec<NotCounted>,
    break_glass: Option<BreakGlass>,
    #[serde(default)]
    notes: Vec<String>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let direction = Direction::Forward { break_glass: args.break_glass };
    ask(args.repo.as_ref(), args.sha.as_ref(), direction, &args.common, output).await
}

/// Whether it is a promotion or a rollback.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    Forward { break_glass: bool },
    Back { accept_schema_difference: bool },
}

/// Asks for a promotion or a rollback, and follows it.
pub(super) async fn ask(
    repo: Option<&Repo>,
    sha: Option<&CommitSha>,
    direction: Direction,
    args: &Common,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    if let Some(file) = &args.completing.complete {
        let by = args.requested_by.as_deref();
        let completed = lease::complete(&aws, file, &args.completing.evidence, by, output).await?;
        let Some((promotion, execution)) = completed else { return Ok(Answer::No) };
        if args.no_follow {
            return Ok(Answer::Yes);
        }
        return to_the_end(&aws, &promotion, &execution, output).await;
    }
    let (Some(repo), Some(stage), Some(reason)) = (repo, &args.stage, &args.reason) else {
        return Err(Misuse("`--repo`, `--stage` and `--reason` say what is promoted".to_owned()).into());
    };
    let preview = args.preview.as_deref().map(preview_of).transpose()?;
    let request = |requested_by: String| PromotionRequest {
        repo: repo.clone(),
        commit_sha: sha.cloned(),
        stage: stage.clone(),
        requested_by,
        reason: reason.clone(),
        dry_run: args.dry_run,
        changes: args.changes,
        rollback: matches!(direction, Direction::Back { .. }),
        accept_schema_difference: matches!(direction, Direction::Back { accept_schema_difference: true }),
        accept_replacement: args.accept_replacement.iter().cloned().collect(),
        lease: args.lease.is_some(),
        break_glass: matches!(direction, Direction::Forward { break_glass: true }),
        preview: preview.clone(),
        identity_proof: None,
    };
    // What is malformed is refused before anybody is asked; a caller's name never is.
    let named = args.requested_by.as_deref();
    let checked = serde_json::to_value(request(named.unwrap_or("caller").to_owned()))?;
    PromotionRequest::parse(&checked).map_err(|error| Misuse(error.to_string()))?;
    let requested_by = match named {
        Some(named) => named.to_owned(),
        None => aws.caller().await?,
    };

    // A token that can't be kept must not be given: whether the file can be written is seen before anything starts.
    let file = args.lease.as_ref().filter(|_| !args.dry_run).map(|path| LeaseFile::reserve(path)).transpose()?;
    let mut request = request(requested_by);
    request.identity_proof = Some(aws.prove(&request.bound()).await?);
    let mut document =
        aws.invoke(&aws.part(Part::PromoteFunction).await?, &request, InvalidPromotionEvent::ERROR_TYPE).await?;
    let answer: PromoteAnswer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the promote function gave an answer that this version of the command does not know: {document}")
    })?;
    let what = target(repo, sha, stage);
    for note in &answer.notes {
        output.progress(&format!("note: {note}"));
    }
    match (answer.status.as_str(), answer.promotion_id, answer.execution_arn) {
        ("refused", ..) => {
            let commit = sha.map(|sha| gatekeeper_model::ids::Commit { repo: repo.clone(), sha: sha.clone() });
            let reasons = reason::reasons(&answer.reasons, commit.as_ref());
            let changes = answer.changes.as_ref().map(changes::changes).unwrap_or_default();
            let digest = answer.plan_sha256.as_ref().map(digest).unwrap_or_default();
            output.result(
                &document,
                &format!("{}  {what}, {}\n{reasons}{changes}{digest}", bad("refused"), nothing(args)),
            )?;
            Ok(Answer::No)
        }
        ("planned", ..) => {
            let (plan, waived) = (planned(&answer.plan), waived(answer.break_glass.as_ref()));
            let others = not_counted(&answer.not_counted);
            let digest = answer.plan_sha256.as_ref().map(digest).unwrap_or_default();
            let mut changes = answer.changes.as_ref().map(changes::changes).unwrap_or_default();
            if args.changes {
                let substitutions = changes::substitutions(&answer.plan, &aws.artefacts().await?).await;
                changes.push_str(&changes::substituted(&substitutions));
                if let Some(document) = document.as_object_mut() {
                    document.insert("substitutions".to_owned(), serde_json::to_value(substitutions)?);
                }
            }
            output.result(
                &document,
                &format!("{}  {what}, {}\n{waived}{others}{plan}{changes}{digest}", good("planned"), nothing(args)),
            )?;
            Ok(Answer::Yes)
        }
        ("started", Some(promotion_id), Some(execution)) if answer.lease.is_some() => {
            output.progress(&format!("started {what}, promotion {promotion_id}"));
            let promotion = PromotionRef { stage: stage.clone(), repo: repo.clone(), promotion_id };
            let (Some(file), Some(given)) = (file, answer.lease) else {
                return Err(anyhow!("the promote function gave a lease that nobody asked for"));
            };
            let mut leased = Leased::of(promotion.clone(), execution.clone(), sha.cloned(), given.token, &answer.plan);
            // Before anything else, because the token is told once.
            let path = file.write(&leased)?;
            if args.no_follow {
                return lease::told(&leased, &path, output);
            }
            let client = aws_sdk_sfn::Client::new(&aws.config);
            match follow(&client, &aws.records().await?, &promotion, &execution, Until::Leased, output).await? {
                Followed::Leased(record, open) => {
                    leased.open(&record, &open);
                    leased.write_over(&path)?;
                    lease::told(&leased, &path, output)
                }
                Followed::Ended(record) => {
                    output.result(&*record, &recorded(&record))?;
                    Ok(Answer::yes_if(record.status == Status::Succeeded))
                }
            }
        }
        ("started", Some(promotion_id), _) if args.no_follow => {
            let told = waived(answer.break_glass.as_ref()) + &not_counted(&answer.not_counted);
            output.result(&document, &format!("{}  {what}, promotion {promotion_id}\n{told}", good("started")))?;
            Ok(Answer::Yes)
        }
        ("started", Some(promotion_id), Some(execution)) => {
            output.progress(&format!("started {what}, promotion {promotion_id}"));
            let promotion = PromotionRef { stage: stage.clone(), repo: repo.clone(), promotion_id };
            to_the_end(&aws, &promotion, &execution, output).await
        }
        (status, ..) => Err(anyhow!("the promote function answered `{status}` without what belongs to it: {document}")),
    }
}

/// Follows a promotion to its end, and tells it.
async fn to_the_end(
    aws: &Aws<'_>,
    promotion: &PromotionRef,
    execution: &str,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let client = aws_sdk_sfn::Client::new(&aws.config);
    let followed = follow(&client, &aws.records().await?, promotion, execution, Until::Ended, output).await?;
    let Followed::Ended(record) = followed else { return Err(anyhow!("it was followed to its end")) };
    output.result(&*record, &recorded(&record))?;
    Ok(Answer::yes_if(record.status == Status::Succeeded))
}

/// What an approval names.
fn digest(plan: &Sha256) -> String {
    format!("\n  plan {plan}, which `gatekeeper approve --plan-sha256` binds\n")
}

/// What a runner's preview says.
pub(super) fn preview_of(file: &Path) -> anyhow::Result<PulumiPreview> {
    let failed = |error: String| Misuse(format!("the preview `{}` can't be used: {error}", file.display()));
    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let read = preview::read(bytes.as_slice()).map_err(|error| failed(error.to_string()))?;
    Ok(PulumiPreview::of(Sha256::of(&bytes), read.map_err(failed)?))
}

/// What became of the stage. To tell what would change, change sets were made and deleted.
fn nothing(args: &Common) -> &'static str {
    if args.changes { "nothing was changed" } else { "nothing was touched" }
}

/// `bank-payments@3f1c… to uat`
fn target(repo: &Repo, sha: Option<&CommitSha>, stage: &StageName) -> String {
    match sha {
        Some(sha) => format!("{repo}@{sha} to {stage}"),
        None => format!("{repo} one back on {stage}"),
    }
}

/// What two people waived, for it must not be overlooked.
fn waived(break_glass: Option<&BreakGlass>) -> String {
    let Some(BreakGlass { requester, approved_by, waived }) = break_glass else { return String::new() };
    let mut text = format!("\n  {} by `{requester}` and `{}`, waiving\n", bad("glass broken"), approved_by.person);
    for finding in waived {
        let _ = writeln!(text, "    {}: {}", finding.code, finding.message);
    }
    if waived.is_empty() {
        text.push_str("    no rule refused it\n");
    }
    text
}

/// The approvals that don't count, and why.
pub(super) fn not_counted(others: &[NotCounted]) -> String {
    let mut text = String::new();
    for NotCounted { person, why } in others {
        let _ = writeln!(text, "\n  the approval of `{person}` doesn't count: {why}");
    }
    text
}

/// What a plan applies.
pub(super) fn planned(plan: &Plan) -> String {
    let mut text = String::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = write!(text, "\n  {title}\n{}", lines.concat());
        }
    };
    let pinned =
        |it: &gatekeeper_promotion::plan::Pinned| faint(&format!("version {} sha256 {}", it.version_id, it.sha256));
    let stacks = plan.stacks.iter();
    part(
        "stacks",
        stacks
            .map(|it| format!("    {} <- {}\n      {}\n", it.stack_name, it.template.key, pinned(&it.template)))
            .collect(),
    );
    let functions = plan.functions.iter();
    let of = |it: &gatekeeper_promotion::plan::PlannedFunction| format!("{} of {}", it.logical_id, it.stack_name);
    part(
        "functions",
        functions.map(|it| format!("    {} <- {}\n      {}\n", of(it), it.bundle.key, pinned(&it.bundle))).collect(),
    );
    let migrations = plan.migrations.iter();
    part(
        "migrations",
        migrations
            .map(|it| {
                let state = match it.state {
                    Some(MigrationState::Pending) => "pending",
                    Some(MigrationState::Applied) => "there already",
                    None => "not looked at",
                };
                format!("    {} <- {} ({state})\n      {}\n", it.database, it.script.key, pinned(&it.script))
            })
            .collect(),
    );
    let runs = plan.runs.iter().map(|run| match run {
        PlannedRun::Pulumi(it) => {
            let changes = it.changes.0.iter().map(|(urn, operations)| {
                let operations: Vec<_> = operations.iter().map(String::as_str).collect();
                format!("      {} {urn}\n", operations.join(", "))
            });
            let changes: String = changes.collect();
            format!("    pulumi up --stack {} of {} in {}\n{changes}", it.stack, it.project, it.backend)
        }
        PlannedRun::Dbt(it) => {
            format!(
                "    dbt build --target {} of {} into {}\n      {}\n",
                it.target,
                it.module,
                it.database,
                pinned(&it.manifest)
            )
        }
    });
    part("carried out by a runner", runs.collect());
    let smoke = plan.smoke.iter().map(|check| match &check.target {
        SmokeTarget::Http { stack, output, path, expect_status } => {
            format!("    {output} of {stack}, {path}: {expect_status}\n")
        }
        SmokeTarget::Invoke { function, .. } => format!("    {function} invoked\n"),
    });
    part("smoke tests", smoke.collect());
    text
}

/// What became of a promotion, as its record says.
fn recorded(record: &PromotionRecord) -> String {
    let word = match record.status {
        Status::Succeeded => good("succeeded"),
        Status::RolledBack => bad("rolled back"),
        Status::Failed => bad("failed"),
        Status::Running | Status::GoingBack => faint("running"),
    };
    let what = target(&record.repo, Some(&record.commit_sha), &record.stage);
    let told = waived(record.break_glass.as_ref()) + &not_counted(&record.not_counted);
    let mut text = format!("{word}  {what}\n{told}");
    if let (Status::RolledBack, Some(back)) = (record.status, &record.way_back) {
        let _ = writeln!(text, "{} runs {} again", record.stage, back.commit_sha);
    }
    for step in &record.steps {
        let failed = step.reports.iter().filter(|report| report.status == ReportStatus::Failed);
        let failed = failed.map(|report| format!("{}: {}", report.subject, report.detail));
        for why in failed.chain(step.error.clone()) {
            let _ = writeln!(text, "\n  {}\n      {why}", bad(&step.step));
        }
    }
    let promotion = PromotionRef {
        stage: record.stage.clone(),
        repo: record.repo.clone(),
        promotion_id: record.promotion_id.clone(),
    };
    let key = PromotionRecord::key(&promotion);
    let _ = write!(text, "{}", faint(&format!("promotion {}, record {key}", record.promotion_id)));
    text
}
