//! `gatekeeper promote`: the manual event (CONTRACT §5), and what becomes of it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use gatekeeper_model::{
    finding::Code,
    ids::{CommitSha, PromotionId, Repo, Sha256, StageName},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    approval::BreakGlass,
    changes::Changes,
    counting::NotCounted,
    database_check::PendingMigration,
    history::StageState,
    plan::{MigrationState, Plan},
    record::{PromotionRecord, Status},
    replacement::ResourcePath,
    request::{InvalidPromotionEvent, PromotionRequest},
    runs::{PlannedRun, pulumi::PulumiPreview},
    stage::SmokeTarget,
    step::{PromotionRef, ReportStatus},
    waiver::UsedWaiver,
};
use gatekeeper_readers::pulumi::preview;
use gatekeeper_store::record;
use serde::Deserialize;

use super::{
    changes, lease,
    lease::{LeaseFile, Leased},
};
use crate::{
    aws::{Aws, AwsArgs, Part},
    exit::{Answer, INTERRUPTED, Misuse},
    follow::{Followed, Until, follow},
    layout::minute,
    output::{Output, bad, faint, good},
    reason::{self, Reason},
    sha,
    sha::GivenSha,
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
    /// The commit, in full or by its first 7 digits or more
    #[arg(long, alias = "commit-sha", value_name = "SHA", required_unless_present = "complete")]
    sha: Option<GivenSha>,
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
    migrations: Vec<PendingMigration>,
    #[serde(default)]
    not_counted: Vec<NotCounted>,
    break_glass: Option<BreakGlass>,
    #[serde(default)]
    waived: Vec<UsedWaiver>,
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
    given: Option<&GivenSha>,
    direction: Direction,
    args: &Common,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    if let Some(file) = &args.completing.complete {
        return complete(&aws, file, args, output).await;
    }
    let (Some(repo), Some(stage), Some(reason)) = (repo, &args.stage, &args.reason) else {
        return Err(Misuse("`--repo`, `--stage` and `--reason` say what is promoted".to_owned()).into());
    };
    let preview = args.preview.as_deref().map(preview_of).transpose()?;
    output.passing("looking at the records …");
    let sha = match given {
        Some(GivenSha::Full(sha)) => Some(sha.clone()),
        Some(short) => Some(short.of(&aws.records().await?, repo).await?),
        None => None,
    };
    let sha = sha.as_ref();
    let what = (repo, sha, stage.clone(), reason.as_str());
    let request = |requested_by: String| request_of(what.clone(), requested_by, direction, args, preview.clone());
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
    output.clear_passing();
    if let Direction::Back { .. } = direction {
        from_where(&aws, repo, stage, sha, output).await?;
    }
    output.passing("asking for it …");
    let mut request = request(requested_by);
    request.identity_proof = Some(aws.prove(&request.bound()).await?);
    let mut document =
        aws.invoke(&aws.part(Part::PromoteFunction).await?, &request, InvalidPromotionEvent::ERROR_TYPE).await?;
    let mut answer: PromoteAnswer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the promote function gave an answer that this version of the command does not know: {document}")
    })?;
    output.clear_passing();
    if answer.status == "refused" {
        nearest_repo(&aws, repo, &answer, output).await;
    }
    let what = target(repo, sha, stage);
    for note in &answer.notes {
        output.progress(&format!("note: {note}"));
    }
    let (promotion_id, execution) = (answer.promotion_id.take(), answer.execution_arn.take());
    match (answer.status.as_str(), promotion_id, execution) {
        ("refused", ..) => {
            let commit = sha.map(|sha| gatekeeper_model::ids::Commit { repo: repo.clone(), sha: sha.clone() });
            output.result(&document, &told_refusal(&answer, commit.as_ref(), args, &what))?;
            Ok(Answer::No)
        }
        ("planned", ..) => {
            told_plan(&aws, &answer, args, &what, &mut document)
                .await
                .and_then(|text| output.result(&document, &text))?;
            Ok(Answer::Yes)
        }
        ("started", Some(promotion_id), Some(execution)) if answer.lease.is_some() => {
            output.progress(&format!("started {what}, promotion {promotion_id}"));
            let promotion = PromotionRef { stage: stage.clone(), repo: repo.clone(), promotion_id };
            let (Some(file), Some(given)) = (file, answer.lease) else {
                return Err(anyhow!("the promote function gave a lease that nobody asked for"));
            };
            let leased = Leased::of(promotion, execution, sha.cloned(), given.token, &answer.plan);
            // Before anything else, because the token is told once.
            let path = file.write(&leased)?;
            if args.no_follow {
                lease::told(&leased, &path, output)
            } else {
                to_the_runner(&aws, leased, &path, output).await
            }
        }
        ("started", Some(promotion_id), _) if args.no_follow => {
            let told = waived(answer.break_glass.as_ref(), &answer.waived) + &not_counted(&answer.not_counted);
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

/// Says which commit a stage goes back from and to, before anything is asked for.
async fn from_where(
    aws: &Aws<'_>,
    repo: &Repo,
    stage: &StageName,
    sha: Option<&CommitSha>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let key = RecordKey::Stage(stage.clone(), repo.clone());
    let state = record::read::<StageState>(&aws.records().await?, &key).await?;
    if let Some(line) = state.and_then(|state| back(&state.record, sha)) {
        output.progress(&line);
    }
    Ok(())
}

/// `uat goes back from 3f1c9a0…, which it runs since …, to 1234567…`; `None` where there is nothing to go back to.
fn back(state: &StageState, sha: Option<&CommitSha>) -> Option<String> {
    let StageState { stage, repo, commit_sha, since, .. } = state;
    let to = sha.or_else(|| state.one_before())?;
    let ran = state.promotion_of(to).map(|it| format!(", which came there at {} UTC", minute(it.completed_at)));
    Some(format!(
        "{repo} on {stage} goes back\n  from {commit_sha}, which it runs since {} UTC\n  to   {to}{}",
        minute(*since),
        ran.unwrap_or_default()
    ))
}

/// Says so where a commit was refused because its repository's name is misspelt.
async fn nearest_repo(aws: &Aws<'_>, repo: &Repo, answer: &PromoteAnswer, output: &mut Output) {
    const OF_NOTHING: [Code; 3] = [Code::NotBuilt, Code::NeverPromoted, Code::NothingToRollBackTo];
    if !answer.reasons.iter().any(|it| OF_NOTHING.iter().any(|code| code.as_str() == it.code)) {
        return;
    }
    let repos = async { sha::repos(&aws.records().await?).await };
    // It is a hint: whoever may not list the bucket has the refusal.
    if let Ok(repos) = repos.await
        && !repos.contains(repo)
    {
        output.warning(&sha::no_such_repo(repo, &repos).to_string());
    }
}

/// Hands in what a runner did, and follows the promotion to its end.
async fn complete(aws: &Aws<'_>, file: &Path, args: &Common, output: &mut Output) -> anyhow::Result<Answer> {
    let by = args.requested_by.as_deref();
    let completed = lease::complete(aws, file, &args.completing.evidence, by, output).await?;
    let Some((promotion, execution)) = completed else { return Ok(Answer::No) };
    if args.no_follow {
        return Ok(Answer::Yes);
    }
    to_the_end(aws, &promotion, &execution, output).await
}

/// Follows a promotion to where its runner may work, or to its end where it doesn't come to that.
async fn to_the_runner(aws: &Aws<'_>, mut leased: Leased, path: &Path, output: &mut Output) -> anyhow::Result<Answer> {
    let client = aws_sdk_sfn::Client::new(&aws.config);
    let (promotion, execution) = leased.followed();
    match follow(&client, &aws.records().await?, &promotion, &execution, Until::Leased, output).await? {
        Followed::Leased(record, open) => {
            leased.open(&record, &open);
            leased.write_over(path)?;
            lease::told(&leased, path, output)
        }
        Followed::Ended(record) => {
            output.result(&*record, &recorded(&record))?;
            Ok(Answer::yes_if(record.status == Status::Succeeded))
        }
        Followed::Left => Ok(INTERRUPTED),
    }
}

/// Follows a promotion to its end, and tells it.
pub(super) async fn to_the_end(
    aws: &Aws<'_>,
    promotion: &PromotionRef,
    execution: &str,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let client = aws_sdk_sfn::Client::new(&aws.config);
    let followed = follow(&client, &aws.records().await?, promotion, execution, Until::Ended, output).await?;
    match followed {
        Followed::Ended(record) => {
            output.result(&*record, &recorded(&record))?;
            Ok(Answer::yes_if(record.status == Status::Succeeded))
        }
        Followed::Left => Ok(INTERRUPTED),
        Followed::Leased(..) => Err(anyhow!("it was followed to its end")),
    }
}

/// The event.
fn request_of(
    (repo, sha, stage, reason): (&Repo, Option<&CommitSha>, StageName, &str),
    requested_by: String,
    direction: Direction,
    args: &Common,
    preview: Option<PulumiPreview>,
) -> PromotionRequest {
    PromotionRequest {
        repo: repo.clone(),
        commit_sha: sha.cloned(),
        stage,
        requested_by,
        reason: reason.to_owned(),
        dry_run: args.dry_run,
        changes: args.changes,
        rollback: matches!(direction, Direction::Back { .. }),
        accept_schema_difference: matches!(direction, Direction::Back { accept_schema_difference: true }),
        accept_replacement: args.accept_replacement.iter().cloned().collect(),
        lease: args.lease.is_some(),
        break_glass: matches!(direction, Direction::Forward { break_glass: true }),
        preview,
        identity_proof: None,
    }
}

/// What a refusal says, and which plan it is that people or time stand against.
fn told_refusal(
    answer: &PromoteAnswer,
    commit: Option<&gatekeeper_model::ids::Commit>,
    args: &Common,
    what: &str,
) -> String {
    let reasons = reason::reasons(&answer.reasons, commit);
    let changes = answer.changes.as_ref().map(changes::changes).unwrap_or_default();
    let migrations = changes::migrations(&answer.migrations);
    let digest = answer.plan_sha256.as_ref().map(digest).unwrap_or_default();
    format!("{}  {what}, {}\n{reasons}{migrations}{changes}{digest}", bad("refused"), nothing(args))
}

/// What a dry run that could be started says. What the forms change is added to its document.
async fn told_plan(
    aws: &Aws<'_>,
    answer: &PromoteAnswer,
    args: &Common,
    what: &str,
    document: &mut serde_json::Value,
) -> anyhow::Result<String> {
    let (plan, waived) = (planned(&answer.plan), waived(answer.break_glass.as_ref(), &answer.waived));
    let others = not_counted(&answer.not_counted);
    let digest = answer.plan_sha256.as_ref().map(digest).unwrap_or_default();
    let mut changes = changes::migrations(&answer.migrations);
    changes.push_str(&answer.changes.as_ref().map(changes::changes).unwrap_or_default());
    if args.changes {
        let substitutions = changes::substitutions(&answer.plan, &aws.artefacts().await?).await;
        changes.push_str(&changes::substituted(&substitutions));
        if let Some(document) = document.as_object_mut() {
            document.insert("substitutions".to_owned(), serde_json::to_value(substitutions)?);
        }
    }
    Ok(format!("{}  {what}, {}\n{waived}{others}{plan}{changes}{digest}", good("planned"), nothing(args)))
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
fn waived(break_glass: Option<&BreakGlass>, used: &[UsedWaiver]) -> String {
    let mut text = String::new();
    for told in used.iter().map(UsedWaiver::told) {
        let _ = writeln!(text, "\n  {}  {}\n    {}", bad("waived"), told.code, told.message);
    }
    let Some(BreakGlass { requester, approved_by, waived }) = break_glass else { return text };
    let _ = write!(text, "\n  {} by `{requester}` and `{}`, waiving\n", bad("glass broken"), approved_by.person);
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
pub(super) fn recorded(record: &PromotionRecord) -> String {
    let word = match record.status {
        Status::Succeeded => good("succeeded"),
        Status::RolledBack => bad("rolled back"),
        Status::Failed => bad("failed"),
        Status::Running | Status::GoingBack => faint("running"),
    };
    let what = target(&record.repo, Some(&record.commit_sha), &record.stage);
    let told = waived(record.break_glass.as_ref(), &record.waived) + &not_counted(&record.not_counted);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollback_says_from_where_to_where() {
        let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
        let completed = |sha: &str, hour: u32| {
            json!({"commit_sha": sha, "promotion_id": "01J0000000000000000000000A", "rollback": false,
                   "completed_at": format!("2026-05-02T{hour:02}:04:05Z")})
        };
        let state: StageState = serde_json::from_value(json!({
            "schema_version": 1, "stage": "uat", "repo": "bank-payments", "commit_sha": two, "since": "2026-05-02T04:04:05Z",
            "promotion_id": "01J0000000000000000000000A", "history": [completed(&one, 3), completed(&two, 4)],
        }))
        .unwrap();
        insta::assert_snapshot!(back(&state, None).unwrap(), @r"
        bank-payments on uat goes back
          from 2222222222222222222222222222222222222222, which it runs since 2026-05-02 04:04 UTC
          to   1111111111111111111111111111111111111111, which came there at 2026-05-02 03:04 UTC
        ");
        let only = StageState { history: vec![state.history[1].clone()], ..state };
        assert_eq!(back(&only, None), None);
    }
}
