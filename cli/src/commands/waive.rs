//! `gatekeeper waive`: proposes to waive a rule of a stage for a time, agrees to it, or ends it.

use anyhow::Context as _;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Repo, StageName, WaiverId},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    approval::InvalidApprovalEvent,
    brake::{Action, SignedWord},
    waiver::{ProposedWaiver, WAIVABLE, WaiveRequest, scope},
};
use gatekeeper_proof::ledger::Waiver;
use gatekeeper_store::record;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::hold::{BrakeAnswer, pull};
use crate::{
    aws::{Aws, AwsArgs, Part},
    exit::{Answer, Misuse},
    output::{Output, bad, good, open},
    reason::{self, Reason},
    sha::GivenSha,
};

const USAGE: &str = "\
gatekeeper waive [OPTIONS] --stage <STAGE> --repo <REPO> --rule <CODE> --until <TIME> --reason <TEXT>
       gatekeeper waive [OPTIONS] --stage <STAGE> --agree <ID> --reason <TEXT>
       gatekeeper waive [OPTIONS] --stage <STAGE> --end <ID> --reason <TEXT>";

const EXAMPLES: &str = "\
Examples:
  gatekeeper waive --stage prod --repo bank-payments --sha 3f1c9a0 --rule stage-frozen --until 2026-05-07T18:00:00Z \\
      --reason \"the regulator's fix must go out in the freeze\" --profile approver
  gatekeeper waive --stage prod --agree 01J0000000000000000000000A --reason 'looked at the fix' --profile promoter
  gatekeeper waive --stage prod --end 01J0000000000000000000000A --reason 'it is out' --profile promoter
  gatekeeper waivers --stage prod";

/// Waives a rule of a stage for a repository or a commit until a time, by the word of two people
///
/// An approver proposes it, a promoter who is somebody else agrees with `--agree`; from then on it counts, at most 90 days.
/// Whoever wrote a commit waives nothing for it. Any promoter ends it with `--end`. What can be waived are the rules that say
/// when, and which stage first: never that a commit is Built, signed, not revoked and unchanged, nor approvals or a hold.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Args {
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// The repository
    #[arg(long, value_name = "REPO", required_unless_present_any = ["agree", "end"])]
    repo: Option<Repo>,
    /// The only commit that it is for, in full or by its first 7 digits or more; without it any of the repository
    #[arg(long, value_name = "SHA", conflicts_with_all = ["agree", "end"])]
    sha: Option<GivenSha>,
    /// The rule, by the code of the refusal: `stage-frozen`, `soak-not-over` or `requires-not-met`
    #[arg(long, value_name = "CODE", value_parser = rule, required_unless_present_any = ["agree", "end"])]
    rule: Option<Code>,
    /// Until when, such as 2026-05-07T18:00:00Z: at most 90 days from now
    #[arg(long, value_name = "TIME", required_unless_present_any = ["agree", "end"])]
    until: Option<Timestamp>,
    /// Agree to a waiver that somebody else proposed
    #[arg(long, value_name = "ID", conflicts_with_all = ["repo", "rule", "until", "end"])]
    agree: Option<WaiverId>,
    /// End a waiver before its time
    #[arg(long, value_name = "ID", conflicts_with_all = ["repo", "rule", "until"])]
    end: Option<WaiverId>,
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
    approve_function: Option<String>,
    #[command(flatten)]
    aws: AwsArgs,
}

fn rule(text: &str) -> Result<Code, String> {
    WAIVABLE.into_iter().find(|code| code.as_str() == text).ok_or_else(|| {
        let can = WAIVABLE.map(Code::as_str).join(", ");
        format!("what can be waived is {can}; see `gatekeeper explain {text}` for what else helps")
    })
}

/// What the approve function answers; the raw document is what `--output json` prints.
#[derive(Debug, Deserialize)]
struct ProposeAnswer {
    status: String,
    waiver: Option<ProposedWaiver>,
    #[serde(default)]
    reasons: Vec<Reason>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    if args.reason.trim().is_empty() {
        return Err(Misuse("the text of `--reason` is empty: say why, for the record".to_owned()).into());
    }
    let aws = Aws::connect(&args.aws).await?;
    match (&args.agree, &args.end, &args.repo, args.rule, args.until) {
        (Some(id), ..) => agree(args, id, &aws, output).await,
        (_, Some(id), ..) => end(args, id, &aws, output).await,
        (None, None, Some(repo), Some(rule), Some(until)) => propose(args, repo, rule, until, &aws, output).await,
        _ => Err(Misuse("`--repo`, `--rule` and `--until` say what is waived".to_owned()).into()),
    }
}

async fn propose(
    args: &Args,
    repo: &Repo,
    code: Code,
    until: Timestamp,
    aws: &Aws<'_>,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    output.passing("proposing the waiver …");
    let commit_sha = match &args.sha {
        Some(given) => Some(given.of(&aws.records().await?, repo).await?),
        None => None,
    };
    let mut request = WaiveRequest {
        action: WaiveRequest::ACTION,
        stage: args.stage.clone(),
        repo: repo.clone(),
        commit_sha,
        code,
        until,
        reason: args.reason.trim().to_owned(),
        identity_proof: None,
    };
    let terms = request.terms();
    request.identity_proof = Some(aws.prove(&request.bound(&terms)).await?);
    let function = match &args.approve_function {
        Some(function) => function.clone(),
        None => aws.part(Part::ApproveFunction).await?,
    };
    let document = aws.invoke(&function, &request, InvalidApprovalEvent::ERROR_TYPE).await?;
    output.clear_passing();
    let answer: ProposeAnswer = serde_json::from_value(document.clone()).with_context(|| {
        format!("the approve function gave an answer that this version of the command does not know: {document}")
    })?;
    let Some(waiver) = answer.waiver.filter(|_| answer.status == "proposed") else {
        let reasons = reason::reasons(&answer.reasons, None);
        output.result(&document, &format!("{}  nothing is proposed for {}\n{reasons}", bad("refused"), args.stage))?;
        return Ok(Answer::No);
    };
    output.result(&document, &proposed(&waiver))?;
    Ok(Answer::Yes)
}

fn proposed(waiver: &ProposedWaiver) -> String {
    let ProposedWaiver { waiver_id, stage, repo, commit_sha, code, until, proposed_by, reason, .. } = waiver;
    format!(
        "{}  {waiver_id}, by `{}`: waive `{code}` of {stage}\n\n  for    {}\n  until  {until:.0}\n  why    {reason}\n\n\
         it counts when a promoter who is somebody else agrees:\n  gatekeeper waive --stage {stage} --agree {waiver_id} --reason …",
        open("proposed"),
        proposed_by.person,
        scope(repo, commit_sha.as_ref()),
    )
}

fn waived(stage: &StageName, waiver: &Waiver, already: bool) -> String {
    let Waiver { id, repo, commit_sha, code, until, reason, proposed_by, agreed_by, .. } = waiver;
    let already = if already { ", as before" } else { "" };
    format!(
        "{}  `{code}` of {stage}, by `{proposed_by}` and `{agreed_by}`{already}\n\n  for    {}\n  until  {until:.0}\n  \
         why    {reason}\n\nany promoter ends it: gatekeeper waive --stage {stage} --end {id} --reason …",
        good("waived"),
        scope(repo, commit_sha.as_ref()),
    )
}

async fn agree(args: &Args, id: &WaiverId, aws: &Aws<'_>, output: &mut Output) -> anyhow::Result<Answer> {
    let stage = &args.stage;
    output.passing("looking at the proposal …");
    let place = RecordKey::ProposedWaiver(stage.clone(), id.clone());
    let stored = record::read::<SignedWord<ProposedWaiver>>(&aws.records().await?, &place).await?;
    output.clear_passing();
    let Some(stored) = stored else {
        let why = format!("nobody proposed such a waiver for `{stage}`; `gatekeeper waivers` lists them");
        let finding = Finding::new(Code::WaiverInvalid, id.as_str(), why);
        let listed = reason::reasons(&[Reason::from(&finding)], None);
        let document = json!({"status": "refused", "reasons": [finding]});
        output.result(&document, &format!("{}  {id}\n{listed}", bad("refused")))?;
        return Ok(Answer::No);
    };
    let ProposedWaiver { code, repo, commit_sha, until, proposed_by, reason, .. } = &stored.record.word;
    output.progress(&format!(
        "`{}` proposes to waive `{code}` of {stage} for {} until {until:.0}: {reason}",
        proposed_by.person,
        scope(repo, commit_sha.as_ref())
    ));
    // What was looked at is what is agreed to: the proof is bound to its digest.
    let action = Action::AgreeToWaiver { waiver_id: id.clone(), proposal_sha256: stored.sha256 };
    let (document, answer) = pull(aws, action, stage, &args.reason, output).await?;
    match answer {
        BrakeAnswer::Waived { waiver, already } => {
            output.result(&document, &waived(stage, &waiver, already))?;
            Ok(Answer::Yes)
        }
        BrakeAnswer::Refused { reasons } => {
            let reasons = reason::reasons(&reasons, None);
            output.result(&document, &format!("{}  {id} does not count\n{reasons}", bad("refused")))?;
            Ok(Answer::No)
        }
        _ => anyhow::bail!("the promote function answered something else: {document}"),
    }
}

async fn end(args: &Args, id: &WaiverId, aws: &Aws<'_>, output: &mut Output) -> anyhow::Result<Answer> {
    let stage = &args.stage;
    let action = Action::EndWaiver { waiver_id: id.clone() };
    let (document, answer) = pull(aws, action, stage, &args.reason, output).await?;
    match answer {
        BrakeAnswer::Ended { waiver, by } => {
            let Waiver { code, repo, commit_sha, .. } = &waiver;
            let of = scope(repo, commit_sha.as_ref());
            output.result(&document, &format!("{}  `{code}` binds {of} on {stage} again, by `{by}`", good("ended")))?;
            Ok(Answer::Yes)
        }
        BrakeAnswer::Refused { reasons } => {
            let reasons = reason::reasons(&reasons, None);
            output.result(&document, &format!("{}  {id} is not ended\n{reasons}", bad("refused")))?;
            Ok(Answer::No)
        }
        _ => anyhow::bail!("the promote function answered something else: {document}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rule_can_not_be_waived_and_the_command_says_so() {
        assert_eq!(rule("stage-frozen"), Ok(Code::StageFrozen));
        insta::assert_snapshot!(rule("digest-mismatch").unwrap_err(), @"what can be waived is requires-not-met, soak-not-over, stage-frozen; see `gatekeeper explain digest-mismatch` for what else helps");
    }

    #[test]
    fn a_proposal_tells_the_line_by_which_somebody_else_agrees() {
        let waiver = json!({
            "schema_version": 1, "waiver_id": "01J0000000000000000000000A", "stage": "prod", "repo": "bank-payments",
            "code": "stage-frozen", "until": "2026-05-07T18:00:00Z", "proposed_at": "2026-05-06T09:00:00Z",
            "proposed_by": {"arn": "arn:aws:sts::111122223333:assumed-role/approver/ann", "person": "ann",
                            "user_id": "AROAEXAMPLE:ann", "account": "111122223333"},
            "reason": "the regulator's fix must go out",
        });
        let text = proposed(&serde_json::from_value(waiver).unwrap());
        insta::assert_snapshot!(anstream::adapter::strip_str(&text), @"
        proposed  01J0000000000000000000000A, by `ann`: waive `stage-frozen` of prod

          for    every commit of bank-payments
          until  2026-05-07T18:00:00Z
          why    the regulator's fix must go out

        it counts when a promoter who is somebody else agrees:
          gatekeeper waive --stage prod --agree 01J0000000000000000000000A --reason …
        ");
    }
}
