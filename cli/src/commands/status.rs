//! `gatekeeper status`: what each stage runs of each repository, and what is under way.

use std::{collections::BTreeSet, fmt::Write as _};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper::{
    ids::{CommitSha, PromotionId, Repo, StageName},
    promotion::{history::StageState, lock::Lock},
    store::{record, s3::S3Store},
    store_key::RecordKey,
    telemetry,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    aws::{self, Aws, AwsArgs},
    exit::Answer,
    follow,
    history::Steps,
    output::{Output, faint, open},
};

/// Stages and repositories that are looked at at once.
const LOOKS_IN_FLIGHT: usize = 16;

const EXAMPLES: &str = "\
Examples:
  gatekeeper status
  gatekeeper status --stage uat --repo bank-payments --output json";

/// Tells what each stage runs, since when, and what is being promoted
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// This stage only
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// This repository only
    #[arg(long, value_name = "REPO")]
    repo: Option<Repo>,
    #[command(flatten)]
    aws: AwsArgs,
}

/// One repository on one stage.
#[derive(Debug, Serialize)]
struct Row {
    stage: StageName,
    repo: Repo,
    /// What runs; none before the first promotion succeeded.
    runs: Option<Runs>,
    /// The promotion that holds the lock.
    promoting: Option<Promoting>,
}

#[derive(Debug, Serialize)]
struct Runs {
    commit_sha: CommitSha,
    since: Timestamp,
    promotion_id: PromotionId,
}

#[derive(Debug, Serialize)]
struct Promoting {
    promotion_id: PromotionId,
    execution_arn: String,
    since: Timestamp,
    /// Whether its execution is over without having released the lock; the next promotion takes it over.
    is_over: bool,
    /// The step that it is at.
    step: Option<String>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    let records = aws.records().await?;
    let mut found = BTreeSet::new();
    for prefix in [RecordKey::stages_prefix(args.stage.as_ref()), RecordKey::locks_prefix(args.stage.as_ref())] {
        let keys = aws::keys(&records, &prefix).await?;
        found.extend(keys.iter().filter_map(|key| RecordKey::stage_and_repo(key)));
    }
    found.retain(|(_, repo)| args.repo.as_ref().is_none_or(|wanted| wanted == repo));

    let client = aws_sdk_sfn::Client::new(&aws.config);
    let rows = stream::iter(found).map(|(stage, repo)| row(&records, &client, stage, repo));
    let rows: Vec<(Row, Option<String>)> = rows.buffered(LOOKS_IN_FLIGHT).try_collect().await?;
    let (rows, trouble): (Vec<Row>, Vec<_>) = rows.into_iter().unzip();
    for trouble in trouble.into_iter().flatten() {
        output.warning(&trouble);
    }
    output.result(&rows, &text(&rows))?;
    Ok(Answer::Yes)
}

/// Looks at one repository on one stage; beside it what could not be told of the running promotion.
async fn row(
    records: &S3Store,
    client: &aws_sdk_sfn::Client,
    stage: StageName,
    repo: Repo,
) -> anyhow::Result<(Row, Option<String>)> {
    let running = record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), repo.clone())).await?;
    let lock = record::read::<Lock>(records, &RecordKey::Lock(stage.clone(), repo.clone())).await?;
    let runs = running.map(|stored| Runs {
        commit_sha: stored.record.commit_sha,
        since: stored.record.since,
        promotion_id: stored.record.promotion_id,
    });
    let held = lock.map(|stored| stored.record).filter(|lock| lock.released_at.is_none());
    let (mut promoting, mut trouble) = (None, None);
    if let Some(lock) = held {
        let mut steps = Steps::default();
        if let Err(error) = follow::look(client, &lock.execution_arn, &mut steps).await {
            let why = telemetry::chain(error.as_ref());
            trouble = Some(format!("the steps of promotion `{}` could not be looked at: {why}", lock.promotion_id));
        }
        promoting = Some(Promoting {
            promotion_id: lock.promotion_id,
            execution_arn: lock.execution_arn,
            since: lock.taken_at,
            is_over: steps.is_over,
            step: steps.list.last().map(follow::name),
        });
    }
    Ok((Row { stage, repo, runs, promoting }, trouble))
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing was promoted yet".to_owned();
    }
    let stage_width = rows.iter().map(|row| row.stage.as_str().len()).max().unwrap_or(0);
    let repo_width = rows.iter().map(|row| row.repo.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for Row { stage, repo, runs, promoting } in rows {
        let name = format!("{:stage_width$}  {:repo_width$}", stage.as_str(), repo.as_str());
        let _ = match runs {
            Some(Runs { commit_sha, since, promotion_id }) => {
                let behind = faint(&format!("since {}, promotion {promotion_id}", second(*since)));
                writeln!(text, "{name}  {commit_sha}\n{:1$}  {behind}", "", stage_width + 2 + repo_width)
            }
            None => writeln!(text, "{name}  nothing was promoted yet"),
        };
        if let Some(Promoting { promotion_id, since, is_over, step, .. }) = promoting {
            let state = if *is_over {
                open("the promotion's execution ended without releasing its lock")
            } else {
                open("promoting")
            };
            let step = step.as_ref().map(|step| format!(", at {step}")).unwrap_or_default();
            let behind = format!("{state}{step}, since {}, promotion {promotion_id}", second(*since));
            let _ = writeln!(text, "{:1$}  {behind}", "", stage_width + 2 + repo_width);
        }
    }
    text
}

/// A time to the second, UTC.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_and_repository_is_told_with_what_is_under_way() {
        let id = |last: char| format!("01J000000000000000000000{last}A").parse::<PromotionId>().unwrap();
        let row = |repo: &str, runs: bool, promoting: Option<(bool, Option<&str>)>| Row {
            stage: "uat".parse().unwrap(),
            repo: repo.parse().unwrap(),
            runs: runs.then(|| Runs {
                commit_sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap(),
                since: "2026-05-02T03:04:05.678Z".parse().unwrap(),
                promotion_id: id('0'),
            }),
            promoting: promoting.map(|(is_over, step)| Promoting {
                promotion_id: id('1'),
                execution_arn: "arn".to_owned(),
                since: "2026-05-03T03:04:05Z".parse().unwrap(),
                is_over,
                step: step.map(str::to_owned),
            }),
        };
        let rows = [
            row("bank-kyc", false, Some((false, Some("ApplyStack")))),
            row("bank-payments", true, None),
            row("bank-risk-platform", true, Some((true, None))),
        ];
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&rows)).to_string(), @r#"
        uat  bank-kyc            nothing was promoted yet
                                 promoting, at ApplyStack, since 2026-05-03T03:04:05Z, promotion 01J0000000000000000000001A
        uat  bank-payments       3f1c9a0b5d7e2468ace013579bdf02468ace1357
                                 since 2026-05-02T03:04:05Z, promotion 01J0000000000000000000000A
        uat  bank-risk-platform  3f1c9a0b5d7e2468ace013579bdf02468ace1357
                                 since 2026-05-02T03:04:05Z, promotion 01J0000000000000000000000A
                                 the promotion's execution ended without releasing its lock, since 2026-05-03T03:04:05Z, promotion 01J0000000000000000000001A
        "#);
        insta::assert_snapshot!(text(&[]), @"nothing was promoted yet");
        insta::assert_json_snapshot!(rows[0], @r#"
        {
          "stage": "uat",
          "repo": "bank-kyc",
          "runs": null,
          "promoting": {
            "promotion_id": "01J0000000000000000000001A",
            "execution_arn": "arn",
            "since": "2026-05-03T03:04:05Z",
            "is_over": false,
            "step": "ApplyStack"
          }
        }
        "#);
    }
}
