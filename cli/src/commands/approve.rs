//! `gatekeeper approve`: a second person's word for a promotion.

use std::path::PathBuf;

use anyhow::Context as _;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, Sha256, StageName},
    store_key::RecordKey,
    verdict::Verdict,
};
use gatekeeper_promotion::{
    approval::{ApprovalRequest, InvalidApprovalEvent, WithdrawRequest},
    changes::Changes,
    counting::NotCounted,
    database_check::PendingMigration,
    plan::Plan,
    replacement::ResourcePath,
    request::{InvalidPromotionEvent, PromotionRequest},
};
use gatekeeper_store::record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    changes,
    promote::{not_counted, planned, preview_of},
};
use crate::{
    aws::{Aws, Part, PlaceArgs},
    exit::{Answer, Misuse},
    output::{Output, bad, good},
    reason::{self, Reason},
    repo::CommitArgs,
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 \\
      --reason 'looked at the change and its tests'
  gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 \\
      --break-glass --reason 'payments are down, the fix can not wait for the freeze to end'
  gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 \\
      --withdraw --reason 'saw a fault in the migration'";

/// Approves a Built commit for a stage, as who the AWS credentials say
///
/// An approval counts for this version of the commit's manifest. That of who wrote the commit or asks for the promotion
/// doesn't count.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    commit: CommitArgs,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Agree that the stage's rules are waived for it, as the second of two people
    #[arg(long)]
    break_glass: bool,
    /// Withdraw the approval that was given before, by the same person: it counts no more for what is promoted from then on.
    /// What is under way goes on; `gatekeeper stop` sends it back
    #[arg(long, conflicts_with_all = ["break_glass", "plan_sha256", "accept_replacement", "preview"])]
    withdraw: bool,
    /// The plan that was looked at, by the digest that `gatekeeper promote --dry-run` shows: a promotion with another plan
    /// is refused then. Without it the dry run is made here, with what would change, where the caller may ask for one
    #[arg(long, value_name = "SHA256")]
    plan_sha256: Option<Sha256>,
    /// For the dry run that is made here: what the promotion will accept
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',', conflicts_with = "plan_sha256")]
    accept_replacement: Vec<ResourcePath>,
    /// For the dry run that is made here: the preview that the promotion will be planned with
    #[arg(long, value_name = "FILE", conflicts_with = "plan_sha256")]
    preview: Option<PathBuf>,
    /// The approve function's name or ARN
    #[arg(
        long,
        value_name = "NAME",
        env = "GATEKEEPER_APPROVE_FUNCTION",
        hide_env_values = true,
        help_heading = "Gatekeeper"
    )]
    function: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What the approve function answers; the raw document is what `--output json` prints.
#[derive(Debug, Deserialize)]
struct ApproveAnswer {
    status: String,
    #[serde(default)]
    reasons: Vec<Reason>,
    approved_by: Option<String>,
    #[serde(default)]
    already: bool,
    #[serde(default)]
    approvals: Vec<String>,
    #[serde(default)]
    needed: u8,
    #[serde(default)]
    not_counted: Vec<NotCounted>,
}

/// What a dry run answers, as far as an approval needs it.
#[derive(Debug, Deserialize)]
struct Planned {
    #[serde(default)]
    plan: Plan,
    plan_sha256: Option<Sha256>,
    changes: Option<Changes>,
    #[serde(default)]
    migrations: Vec<PendingMigration>,
}

/// The plan that would be applied now, which is shown; `None` where the caller may not ask, and the approval is of any plan
/// then.
async fn looked_at(args: &Args, commit: &Commit, aws: &Aws<'_>, output: &mut Output) -> anyhow::Result<Option<Sha256>> {
    let mut request = PromotionRequest {
        repo: commit.repo.clone(),
        commit_sha: Some(commit.sha.clone()),
        stage: args.stage.clone(),
        requested_by: "who approves".to_owned(),
        reason: args.reason.clone(),
        dry_run: true,
        changes: true,
        rollback: false,
        accept_schema_difference: false,
        accept_replacement: args.accept_replacement.iter().cloned().collect(),
        lease: true,
        break_glass: false,
        preview: args.preview.as_deref().map(preview_of).transpose()?,
        identity_proof: None,
    };
    request.identity_proof = Some(aws.prove(&request.bound()).await?);
    let asked = async {
        let function = aws.part(Part::PromoteFunction).await?;
        aws.invoke(&function, &request, InvalidPromotionEvent::ERROR_TYPE).await
    };
    output.passing("looking at what would change …");
    let asked = asked.await;
    output.clear_passing();
    let document = match asked {
        Ok(document) => document,
        Err(error) => {
            output.progress(&format!(
                "note: the approval is of any plan, because no dry run could be made here ({error:#}); give `--plan-sha256` as \
                 `gatekeeper promote --dry-run` shows it"
            ));
            return Ok(None);
        }
    };
    let answer: Planned = serde_json::from_value(document)
        .context("the promote function gave an answer that this version of the command does not know")?;
    if let Some(plan) = answer.plan_sha256 {
        let mut told = planned(&answer.plan);
        told.push_str(&changes::migrations(&answer.migrations));
        told.push_str(&answer.changes.as_ref().map(changes::changes).unwrap_or_default());
        output.progress(&format!("the plan `{plan}`\n{told}"));
    }
    Ok(answer.plan_sha256)
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    if args.reason.trim().is_empty() {
        return Err(Misuse("the text of `--reason` is empty: say why, for the record".to_owned()).into());
    }
    let aws = Aws::at(&args.place).await?;
    let records = aws.records().await?;
    let commit = args.commit.commit(&records).await?;
    if args.withdraw {
        return withdraw(args, &commit, &aws, output).await;
    }
    let verdict = record::read::<Verdict>(&records, &RecordKey::Verdict(commit.clone())).await?;
    let Some(manifest_version_id) = verdict.and_then(|verdict| verdict.record.manifest_version_id) else {
        let reason = Finding::new(Code::NotBuilt, commit.to_string(), "the gate has seen no manifest of it");
        let listed = reason::reasons(&[Reason::from(&reason)], Some(&commit));
        let document = json!({"status": "refused", "reasons": [reason]});
        output.result(&document, &format!("{}  {commit} for {}\n{listed}", bad("refused"), args.stage))?;
        return Ok(Answer::No);
    };
    output.progress(&format!("approving {commit} as of version `{manifest_version_id}` of its manifest"));
    let plan_sha256 = match args.plan_sha256 {
        Some(plan) => Some(plan),
        None => looked_at(args, &commit, &aws, output).await?,
    };
    let mut request = ApprovalRequest {
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        stage: args.stage.clone(),
        manifest_version_id,
        reason: args.reason.clone(),
        break_glass: args.break_glass,
        plan_sha256,
        identity_proof: None,
    };
    request.identity_proof = Some(aws.prove(&request.bound()).await?);
    let (document, answer) = ask(args, &aws, &request).await?;
    let stage = &args.stage;
    if answer.status != "approved" {
        let reasons = reason::reasons(&answer.reasons, Some(&commit));
        output.result(&document, &format!("{}  {commit} for {stage}\n{reasons}", bad("refused")))?;
        return Ok(Answer::No);
    }
    let by = answer.approved_by.unwrap_or_default();
    let already = if answer.already { ", as before" } else { "" };
    let so_far = answer.approvals.iter().map(|person| format!("`{person}`")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "{}  {commit} for {stage} by `{by}`{already}\n\n  approved so far by {so_far}; {stage} asks for {}\n{}{}",
        good("approved"),
        answer.needed,
        not_counted(&answer.not_counted),
        reason::reasons(&answer.reasons, Some(&commit))
    );
    output.result(&document, &text)?;
    Ok(Answer::Yes)
}

async fn ask(args: &Args, aws: &Aws<'_>, request: &impl Serialize) -> anyhow::Result<(Value, ApproveAnswer)> {
    let function = match &args.function {
        Some(function) => function.clone(),
        None => aws.part(Part::ApproveFunction).await?,
    };
    let document = aws.invoke(&function, request, InvalidApprovalEvent::ERROR_TYPE).await?;
    let answer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the approve function gave an answer that this version of the command does not know: {document}")
    })?;
    Ok((document, answer))
}

/// Takes back one's own approval.
async fn withdraw(args: &Args, commit: &Commit, aws: &Aws<'_>, output: &mut Output) -> anyhow::Result<Answer> {
    output.passing("withdrawing the approval …");
    let mut request = WithdrawRequest {
        action: WithdrawRequest::ACTION,
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        stage: args.stage.clone(),
        reason: args.reason.trim().to_owned(),
        identity_proof: None,
    };
    request.identity_proof = Some(aws.prove(&request.bound()).await?);
    let (document, answer) = ask(args, aws, &request).await?;
    output.clear_passing();
    let stage = &args.stage;
    if answer.status != "withdrawn" {
        let reasons = reason::reasons(&answer.reasons, Some(commit));
        output.result(&document, &format!("{}  {commit} for {stage}\n{reasons}", bad("refused")))?;
        return Ok(Answer::No);
    }
    let by = answer.approved_by.unwrap_or_default();
    let already = if answer.already { ", as before" } else { "" };
    let text = format!(
        "{}  the approval of {commit} for {stage} by `{by}`{already}\n\n  a promotion that is under way goes on: `gatekeeper \
         stop` sends it back",
        good("withdrawn")
    );
    output.result(&document, &text)?;
    Ok(Answer::Yes)
}
