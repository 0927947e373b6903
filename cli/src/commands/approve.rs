//! `gatekeeper approve`: a second person's word for a promotion.

use anyhow::Context as _;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::StageName,
    store_key::RecordKey,
    verdict::Verdict,
};
use gatekeeper_promotion::{
    approval::{ApprovalRequest, InvalidApprovalEvent},
    counting::NotCounted,
};
use gatekeeper_store::record;
use serde::Deserialize;
use serde_json::json;

use super::promote::not_counted;
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
      --break-glass --reason 'payments are down, the fix can not wait for the freeze to end'";

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

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    if args.reason.trim().is_empty() {
        return Err(Misuse("the text of `--reason` is empty: say why, for the record".to_owned()).into());
    }
    let aws = Aws::at(&args.place).await?;
    let commit = args.commit.commit();
    let verdict = record::read::<Verdict>(&aws.records().await?, &RecordKey::Verdict(commit.clone())).await?;
    let Some(manifest_version_id) = verdict.and_then(|verdict| verdict.record.manifest_version_id) else {
        let reason = Finding::new(Code::NotBuilt, commit.to_string(), "the gate has seen no manifest of it");
        let listed = reason::reasons(&[Reason::from(&reason)], Some(&commit));
        let document = json!({"status": "refused", "reasons": [reason]});
        output.result(&document, &format!("{}  {commit} for {}\n{listed}", bad("refused"), args.stage))?;
        return Ok(Answer::No);
    };
    output.progress(&format!("approving {commit} as of version `{manifest_version_id}` of its manifest"));
    let mut request = ApprovalRequest {
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        stage: args.stage.clone(),
        manifest_version_id,
        reason: args.reason.clone(),
        break_glass: args.break_glass,
        identity_proof: None,
    };
    request.identity_proof = Some(aws.prove(&request.bound()).await?);
    let function = match &args.function {
        Some(function) => function.clone(),
        None => aws.part(Part::ApproveFunction).await?,
    };
    let document = aws.invoke(&function, &request, InvalidApprovalEvent::ERROR_TYPE).await?;
    let answer: ApproveAnswer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the approve function gave an answer that this version of the command does not know: {document}")
    })?;
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
