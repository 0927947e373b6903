//! `gatekeeper status`: what each stage runs of each repository, whether it still should, and what is under way.

mod text;

use std::{collections::BTreeSet, time::Duration};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{join, try_join, try_join3},
    stream,
};
use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::{
    finding::Finding,
    ids::{Commit, CommitSha, PromotionId, Repo, StageName},
    revocation::TakenBack,
    store_key::RecordKey,
    telemetry,
    verdict::{Outcome, Verdict},
};
use gatekeeper_promotion::{drift::Drift, history::StageState, lock::Lock, record::PromotionRecord};
use gatekeeper_store::{record, revocation};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    aws::{self, Aws, AwsArgs},
    exit::Answer,
    follow,
    history::Steps,
    output::Output,
};

/// Stages and repositories that are looked at at once, with some calls each.
const LOOKS_IN_FLIGHT: usize = 16;

/// Between two looks of `--watch`.
const REFRESH: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  gatekeeper status
  gatekeeper status --stage uat --watch
  gatekeeper status --stage uat --repo bank-payments --output json";

/// Tells what each stage runs, since when and by whom, whether it still should, and what is being promoted
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// This stage only
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// This repository only
    #[arg(long, value_name = "REPO")]
    repo: Option<Repo>,
    /// Look again every 2 seconds, until interrupted; where nobody sees it live, each change is told once
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

/// One repository on one stage.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    stage: StageName,
    repo: Repo,
    /// What runs; none before the first promotion succeeded.
    runs: Option<Runs>,
    /// How it differs from what was promoted; none before it was looked at.
    drift: Option<Drifted>,
    /// The promotion that holds the lock.
    promoting: Option<Promoting>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Runs {
    commit_sha: CommitSha,
    since: Timestamp,
    promotion_id: PromotionId,
    /// Who asked for it, as AWS named them or else as they said; `None` where the promotion's record is gone.
    requested_by: Option<String>,
    /// Whether it went back to this commit.
    rollback: bool,
    /// What the commit is now; `None` where it has no verdict.
    outcome: Option<Outcome>,
    /// Why it was taken back, where it was.
    revoked: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Drifted {
    /// How many differences stand.
    findings: usize,
    /// The first of them.
    first: Option<Finding>,
    /// Since when.
    since: Option<Timestamp>,
    /// When it was looked at; where nothing changes this moves once an hour.
    checked_at: Timestamp,
}

#[derive(Debug, PartialEq, Serialize)]
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
    let client = aws_sdk_sfn::Client::new(&aws.config);
    let (rows, mut troubles) = look(args, &records, &client).await?;
    if aws.output("SharedAccount").await.is_some_and(|it| it == "accepted") {
        let warning = "the gatekeeper's account is shared, which somebody accepted (`SharedAccount`): what stages there run can take \
                       over the gatekeeper";
        troubles.insert(0, warning.to_owned());
    }
    for trouble in &troubles {
        output.warning(trouble);
    }
    if !args.watch {
        output.result(&rows, &text::of(&rows))?;
        return Ok(Answer::Yes);
    }
    // An interrupt ends the process: nothing is held that would have to be given back.
    let (mut rows, mut told) = (rows, troubles);
    loop {
        output.again(&rows, &text::of(&rows), telemetry::wall_clock())?;
        tokio::time::sleep(REFRESH).await;
        let troubles = match look(args, &records, &client).await {
            Ok((now, troubles)) => {
                rows = now;
                troubles
            }
            Err(error) => vec![format!("could not look again: {}", telemetry::chain(error.as_ref()))],
        };
        for trouble in troubles.iter().filter(|it| !told.contains(it)) {
            output.warning(trouble);
        }
        told = troubles;
    }
}

/// Every row, and what could not be told of some.
async fn look(args: &Args, records: &S3Store, client: &aws_sdk_sfn::Client) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let prefixes = [RecordKey::stages_prefix(args.stage.as_ref()), RecordKey::locks_prefix(args.stage.as_ref())];
    let (stages, locks) = try_join(aws::keys(records, &prefixes[0]), aws::keys(records, &prefixes[1])).await?;
    let found = stages.iter().chain(&locks).filter_map(|key| RecordKey::stage_and_repo(key));
    let found: BTreeSet<_> = found.filter(|(_, repo)| args.repo.as_ref().is_none_or(|wanted| wanted == repo)).collect();
    let rows = stream::iter(found).map(|(stage, repo)| row(records, client, stage, repo));
    let rows: Vec<(Row, Vec<String>)> = rows.buffered(LOOKS_IN_FLIGHT).try_collect().await?;
    let (rows, troubles): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    Ok((rows, troubles.into_iter().flatten().collect()))
}

/// Looks at one repository on one stage, in two round trips; beside it what could not be told.
async fn row(
    records: &S3Store,
    client: &aws_sdk_sfn::Client,
    stage: StageName,
    repo: Repo,
) -> anyhow::Result<(Row, Vec<String>)> {
    let keys = (
        RecordKey::Stage(stage.clone(), repo.clone()),
        RecordKey::Lock(stage.clone(), repo.clone()),
        RecordKey::Drift(stage.clone(), repo.clone()),
    );
    let (state, lock, drift) = try_join3(
        record::read::<StageState>(records, &keys.0),
        record::read::<Lock>(records, &keys.1),
        // A gatekeeper of before there was any lets nobody read it.
        async { Ok(record::read::<Drift>(records, &keys.2).await) },
    )
    .await?;
    let mut troubles = Vec::new();
    let drift = drift.unwrap_or_else(|error| {
        troubles.push(format!("the drift of `{repo}` on `{stage}` can't be told: {}", telemetry::chain(&error)));
        None
    });
    let runs = async {
        match state {
            Some(state) => runs(records, state.record).await.map(Some),
            None => Ok(None),
        }
    };
    let held = lock.map(|stored| stored.record).filter(|lock| lock.released_at.is_none());
    let (runs, promoting) = join(runs, promoting(client, held)).await;
    let (promoting, trouble) = promoting;
    troubles.extend(trouble);
    let drift = drift.map(|it| it.record).map(|it| Drifted {
        findings: it.findings.len(),
        first: it.findings.into_iter().next().map(|it| it.finding),
        since: it.since,
        checked_at: it.checked_at,
    });
    Ok((Row { stage, repo, runs: runs?, drift, promoting }, troubles))
}

/// What is known of the commit that runs, and of the promotion that brought it.
async fn runs(records: &S3Store, state: StageState) -> anyhow::Result<Runs> {
    let commit = Commit { repo: state.repo.clone(), sha: state.commit_sha.clone() };
    let keys =
        (RecordKey::Promotion(state.stage, state.repo, state.promotion_id.clone()), RecordKey::Verdict(commit.clone()));
    let (promotion, verdict, revocation) = try_join3(
        record::read::<PromotionRecord>(records, &keys.0),
        record::read::<Verdict>(records, &keys.1),
        async { Ok(revocation::read(records, &commit).await?) },
    )
    .await?;
    let promotion = promotion.map(|stored| stored.record);
    let manifest = promotion.as_ref().map(|it| it.manifest_version_id.clone());
    let taken_back = revocation.map(|stored| stored.taken_back);
    let taken_back = taken_back.filter(|it| manifest.is_none_or(|manifest| it.concerns(&manifest)));
    Ok(Runs {
        commit_sha: state.commit_sha,
        since: state.since,
        promotion_id: state.promotion_id,
        rollback: promotion.as_ref().is_some_and(|it| it.rollback),
        requested_by: promotion.map(|it| it.asked_by().to_owned()),
        outcome: verdict.map(|stored| stored.record.outcome),
        revoked: taken_back.map(|it| match it {
            TakenBack::Told(it) => format!("by {}: {}", it.revoked_by, it.reason),
            TakenBack::Unreadable(_) => it.to_string(),
        }),
    })
}

/// The promotion that holds the lock, and what could not be told of it.
async fn promoting(client: &aws_sdk_sfn::Client, held: Option<Lock>) -> (Option<Promoting>, Option<String>) {
    let Some(lock) = held else { return (None, None) };
    let mut steps = Steps::default();
    let looked = follow::look(client, &lock.execution_arn, &mut steps).await;
    let trouble = looked.err().map(|error| {
        let why = telemetry::chain(error.as_ref());
        format!("the steps of promotion `{}` could not be looked at: {why}", lock.promotion_id)
    });
    let promoting = Promoting {
        promotion_id: lock.promotion_id,
        execution_arn: lock.execution_arn,
        since: lock.taken_at,
        is_over: steps.is_over,
        step: steps.list.last().map(follow::name),
    };
    (Some(promoting), trouble)
}
