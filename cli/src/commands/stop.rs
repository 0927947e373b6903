//! `gatekeeper stop`: sends back one promotion that is under way.

use gatekeeper_model::ids::PromotionId;
use gatekeeper_promotion::{brake::Action, step::PromotionRef};

use super::{
    follow::{find, unknown},
    hold::{BrakeAnswer, pull},
    promote::to_the_end,
};
use crate::{
    aws::{Aws, AwsArgs},
    exit::Answer,
    output::{Output, bad, good},
    reason,
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper stop 01J0000000000000000000000A --reason 'the wrong commit'
  gatekeeper stop 01J0000000000000000000000A --reason 'the wrong commit' --no-follow";

/// Stops a promotion that is under way: before its next step it goes back to the commit before
///
/// What it is in the middle of, such as the update of a stack, ends first. A runner's lease ends at once. A rollback can't be
/// stopped. The record, the ledger and the evidence tell who stopped it and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The promotion, as `promote` and `status` tell it
    #[arg(value_name = "ID")]
    id: PromotionId,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Don't wait for the end
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    output.passing("looking for the promotion …");
    let Some(found) = find(&aws.records().await?, &args.id).await? else { return Err(unknown(&args.id).into()) };
    let PromotionRef { stage, repo, promotion_id } = found.reference();
    let action = Action::Stop { repo: repo.clone(), promotion_id: promotion_id.clone() };
    let (document, answer) = pull(&aws, action, &stage, &args.reason, output).await?;
    let what = format!("{promotion_id} of {repo} to {stage}");
    match answer {
        BrakeAnswer::Stopping { by, already } => {
            let already = if already { ", as somebody has before" } else { "" };
            let line = format!("{}  {what}, by `{by}`{already}", good("stopping"));
            if args.no_follow {
                output.result(&document, &line)?;
                return Ok(Answer::Yes);
            }
            output.progress(&line);
            // That it did not succeed is what was asked for, and the record says so: the end tells as `follow` does.
            to_the_end(&aws, &found.reference(), &found.execution_arn, output).await
        }
        BrakeAnswer::Refused { reasons } => {
            let reasons = reason::reasons(&reasons, None);
            output.result(&document, &format!("{}  {what} is not stopped\n{reasons}", bad("refused")))?;
            Ok(Answer::No)
        }
        BrakeAnswer::Held { .. } | BrakeAnswer::Waived { .. } | BrakeAnswer::Ended { .. } => {
            anyhow::bail!("the promote function answered something else: {document}")
        }
    }
}
