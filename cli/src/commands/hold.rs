//! `gatekeeper hold`: stops the line of a stage.

use std::fmt::Write as _;

use anyhow::Context as _;
use gatekeeper_model::ids::{Chain, PromotionId, Repo, StageName};
use gatekeeper_promotion::{
    brake::{Action, BrakeRequest},
    request::InvalidPromotionEvent,
};
use gatekeeper_proof::ledger::{Hold, Waiver};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    aws::{Aws, AwsArgs, Part},
    exit::{Answer, Misuse},
    output::{Output, bad, good},
    reason::{self, Reason},
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper hold --stage uat --reason 'the error rate doubled'
  gatekeeper status --stage uat";

/// Holds a stage: nothing new is promoted to it, and what is under way goes back
///
/// Every repository's promotions to the stage are refused until an approver releases it. Promotions that are under way are
/// sent back before their next step. Rollbacks pass, and what two people have broken the glass for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    aws: AwsArgs,
}

/// What the promote function answers; the raw document is what `--output json` prints.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub(super) enum BrakeAnswer {
    Held { hold: Hold, already: bool, sent_back: Vec<UnderWay>, goes_on: Vec<UnderWay> },
    Stopping { by: String, already: bool },
    Waived { waiver: Waiver, already: bool },
    Ended { waiver: Waiver, by: String },
    Refused { reasons: Vec<Reason> },
}

/// A promotion that is under way.
#[derive(Debug, Deserialize)]
pub(super) struct UnderWay {
    promotion_id: PromotionId,
    repo: Repo,
    asked_by: String,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    let (document, answer) = pull(&aws, Action::Hold, &args.stage, &args.reason, output).await?;
    let stage = &args.stage;
    match answer {
        BrakeAnswer::Held { hold, already, sent_back, goes_on } => {
            output.result(&document, &held(stage, &hold, already, &sent_back, &goes_on))?;
            Ok(Answer::Yes)
        }
        BrakeAnswer::Refused { reasons } => {
            let reasons = reason::reasons(&reasons, None);
            output.result(&document, &format!("{}  {stage} is not held\n{reasons}", bad("refused")))?;
            Ok(Answer::No)
        }
        BrakeAnswer::Stopping { .. } | BrakeAnswer::Waived { .. } | BrakeAnswer::Ended { .. } => {
            anyhow::bail!("the promote function answered something else: {document}")
        }
    }
}

/// Asks for a hold or a stop, or about a waiver, as who the credentials say.
pub(super) async fn pull(
    aws: &Aws<'_>,
    action: Action,
    stage: &StageName,
    reason: &str,
    output: &mut Output,
) -> anyhow::Result<(Value, BrakeAnswer)> {
    if reason.trim().is_empty() {
        return Err(Misuse("the text of `--reason` is empty: say why, for the record".to_owned()).into());
    }
    output.passing("asking the promote function …");
    let mut request =
        BrakeRequest { action, stage: stage.clone(), reason: reason.trim().to_owned(), identity_proof: None };
    let holds = Chain::of_holds(stage);
    request.identity_proof = Some(aws.prove(&request.bound(&holds)).await?);
    let function = aws.part(Part::PromoteFunction).await?;
    let document = aws.invoke(&function, &request, InvalidPromotionEvent::ERROR_TYPE).await?;
    output.clear_passing();
    let answer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the promote function gave an answer that this version of the command does not know: {document}")
    })?;
    Ok((document, answer))
}

fn held(stage: &StageName, hold: &Hold, already: bool, sent_back: &[UnderWay], goes_on: &[UnderWay]) -> String {
    let already = if already { ", as before" } else { "" };
    let mut text =
        format!("{}  {stage}, by `{}` since {:.0}{already}\n\n  {}\n", good("held"), hold.by, hold.since, hold.reason);
    for (title, promotions) in [("going back", sent_back), ("going on", goes_on)] {
        if promotions.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n  {title}");
        for UnderWay { promotion_id, repo, asked_by } in promotions {
            let _ = writeln!(text, "    {promotion_id}  {repo}, asked for by `{asked_by}`");
        }
    }
    let _ = write!(text, "\nan approver releases it: gatekeeper release --stage {stage} --reason …");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hold_tells_what_goes_back_and_who_lets_go() {
        let hold = json!({"id": "01J0000000000000000000000H", "by": "jane@bank.example", "since": "2026-05-02T03:04:05Z",
                          "reason": "the error rate doubled"});
        let under_way = |id: &str, repo: &str| json!({"promotion_id": format!("01J0000000000000000000000{id}"), "repo": repo, "asked_by": "bob@bank.example"});
        let answer = json!({"status": "held", "hold": hold, "already": true, "sent_back": [under_way("A", "bank-payments")],
                            "goes_on": [under_way("B", "bank-core")]});
        let BrakeAnswer::Held { hold, already, sent_back, goes_on } = serde_json::from_value(answer).unwrap() else {
            panic!("it is held")
        };
        let text = held(&"uat".parse().unwrap(), &hold, already, &sent_back, &goes_on);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text), @r"
        held  uat, by `jane@bank.example` since 2026-05-02T03:04:05Z, as before

          the error rate doubled

          going back
            01J0000000000000000000000A  bank-payments, asked for by `bob@bank.example`

          going on
            01J0000000000000000000000B  bank-core, asked for by `bob@bank.example`

        an approver releases it: gatekeeper release --stage uat --reason …
        ");
    }
}
