//! `gatekeeper release`: lets a stage go that is held.

use anyhow::Context as _;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, StageName},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    approval::InvalidApprovalEvent,
    brake::{ReleaseRequest, unproved_standing},
};
use gatekeeper_proof::ledger;
use gatekeeper_store::ReadStore as _;
use serde::Deserialize;
use serde_json::json;

use crate::{
    aws::{Aws, Part, PlaceArgs},
    exit::{Answer, Misuse},
    output::{Output, bad, good},
    reason::{self, Reason},
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper release --stage uat --reason 'the error rate is normal again' --profile approver";

/// Releases a stage that is held, as who the AWS credentials say
///
/// It is an approver's word. Where the stage asks for approvals, who had asked for a promotion that the hold sent back can't
/// give it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
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
struct ReleaseAnswer {
    status: String,
    released_by: Option<String>,
    #[serde(default)]
    already: bool,
    #[serde(default)]
    reasons: Vec<Reason>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    if args.reason.trim().is_empty() {
        return Err(Misuse("the text of `--reason` is empty: say why, for the record".to_owned()).into());
    }
    let aws = Aws::at(&args.place).await?;
    let stage = &args.stage;
    output.passing("looking what holds the stage …");
    let head = RecordKey::LedgerHead(Chain::of_holds(stage)).to_string();
    let head = aws.records().await?.get(&head, None, ledger::MAX_BYTES).await?;
    // Whether it is signed, promote looks at: an unsigned one releases nothing.
    let hold = unproved_standing(stage, head.as_ref().map(|head| head.bytes.as_slice())).map(|standing| standing.hold);
    output.clear_passing();
    let refused =
        |reasons: &[Reason]| format!("{}  {stage} is not released\n{}", bad("refused"), reason::reasons(reasons, None));
    let not_held = || Finding::new(Code::StageNotHeld, stage.as_str(), "nothing holds the stage");
    let hold = match hold.and_then(|hold| hold.ok_or_else(not_held)) {
        Ok(hold) => hold,
        Err(reason) => {
            let document = json!({"status": "refused", "reasons": [reason]});
            output.result(&document, &refused(&[Reason::from(&reason)]))?;
            return Ok(Answer::No);
        }
    };
    output.progress(&format!("{stage} is held by `{}` since {:.0}: {}", hold.by, hold.since, hold.reason));
    let mut request = ReleaseRequest {
        action: ReleaseRequest::ACTION,
        stage: stage.clone(),
        hold_id: hold.id,
        reason: args.reason.trim().to_owned(),
        identity_proof: None,
    };
    let holds = Chain::of_holds(stage);
    request.identity_proof = Some(aws.prove(&request.bound(&holds)).await?);
    let function = match &args.function {
        Some(function) => function.clone(),
        None => aws.part(Part::ApproveFunction).await?,
    };
    let document = aws.invoke(&function, &request, InvalidApprovalEvent::ERROR_TYPE).await?;
    let answer: ReleaseAnswer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the approve function gave an answer that this version of the command does not know: {document}")
    })?;
    if answer.status != "released" {
        output.result(&document, &refused(&answer.reasons))?;
        return Ok(Answer::No);
    }
    let already = if answer.already { ", as before" } else { "" };
    let by = answer.released_by.unwrap_or_default();
    output.result(&document, &format!("{}  {stage}, by `{by}`{already}", good("released")))?;
    Ok(Answer::Yes)
}
