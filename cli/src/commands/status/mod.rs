//! `gatekeeper status`: what each stage runs of each repository, whether it still should, and what is under way.

mod failure;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join3, stream};
use gatekeeper_model::{
    finding::Finding,
    ids::{Chain, Commit, CommitSha, PromotionId, Repo, StageName},
    revocation::TakenBack,
    store_key::RecordKey,
    telemetry,
    verdict::{Outcome, Verdict},
};
use gatekeeper_promotion::{
    brake::{Release, SignedWord},
    drift::Drift,
    history::StageState,
    lock::Lock,
    record::PromotionRecord,
    runs::OpenLease,
    step::PromotionRef,
};
use gatekeeper_proof::{ledger, ledger::Hold};
use gatekeeper_store::{ReadStore, record, revocation};
use jiff::Timestamp;
use serde::Serialize;

use self::failure::Failure;
use crate::{
    aws::{Aws, AwsArgs},
    exit::Answer,
    follow,
    history::Steps,
    output::Output,
    records::Records,
    sha,
    stages::Stages,
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

/// Tells what each stage runs, since when and by whom, whether it still should, what is being promoted, and what failed last
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
    /// The last promotion, where it failed and none has succeeded since.
    last_failure: Option<Failure>,
    /// What holds the stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Held>,
}

/// That a stage is held.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Held {
    by: String,
    since: Timestamp,
    reason: String,
    /// Who has released it: the next promotion enters that into the ledger.
    released_by: Option<String>,
}

impl Row {
    /// A repository that a stage never ran.
    fn nothing(stage: StageName, repo: Repo) -> Self {
        Self { stage, repo, runs: None, drift: None, promoting: None, last_failure: None, hold: None }
    }
}

/// Everything that was looked at.
#[derive(Debug)]
struct Looked {
    /// The stages, in the order of their configuration.
    stages: Vec<StageName>,
    rows: Vec<Row>,
    /// Those that are held.
    holds: BTreeMap<StageName, Held>,
    /// What could not be told.
    troubles: Vec<String>,
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
    /// The commit; `None` where the promotion's record can't be read.
    commit_sha: Option<CommitSha>,
    /// Who asked for it.
    requested_by: Option<String>,
    rollback: bool,
    /// Until when a runner may hand in its part, where one may now.
    lease_expires_at: Option<Timestamp>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    let records = aws.records().await?;
    let client = aws_sdk_sfn::Client::new(&aws.config);
    let steps = async |execution: &str| {
        let mut steps = Steps::default();
        follow::look(&client, execution, &mut steps).await.map(|()| steps)
    };
    output.passing("looking at the records …");
    let mut looked = look(args, &records, &steps).await?;
    output.clear_passing();
    if aws.output("SharedAccount").await.is_some_and(|it| it == "accepted") {
        let warning = "the gatekeeper's account is shared, which somebody accepted (`SharedAccount`): what stages there run can take \
                       over the gatekeeper";
        looked.troubles.insert(0, warning.to_owned());
    }
    for trouble in &looked.troubles {
        output.warning(trouble);
    }
    if !args.watch {
        output.result(&looked.rows, &text::of(&looked))?;
        return Ok(Answer::Yes);
    }
    // An interrupt ends the process: nothing is held that would have to be given back.
    let mut told = looked.troubles.clone();
    loop {
        output.again(&looked.rows, &text::of(&looked), telemetry::wall_clock())?;
        tokio::time::sleep(REFRESH).await;
        let troubles = match look(args, &records, &steps).await {
            Ok(now) => {
                looked = now;
                looked.troubles.clone()
            }
            Err(error) => vec![format!("could not look again: {}", telemetry::chain(error.as_ref()))],
        };
        for trouble in troubles.iter().filter(|it| !told.contains(it)) {
            output.warning(trouble);
        }
        told = troubles;
    }
}

/// Every stage and repository, in four dependent round trips: their names, what runs and who holds the lock, what is known of
/// that, and the last promotion where it is none of these.
async fn look(
    args: &Args,
    records: &impl Records,
    steps: &impl AsyncFn(&str) -> anyhow::Result<Steps>,
) -> anyhow::Result<Looked> {
    let prefixes = [RecordKey::stages_prefix(args.stage.as_ref()), RecordKey::locks_prefix(args.stage.as_ref())];
    let repos = async {
        match &args.repo {
            Some(_) => sha::repos(records).await,
            None => Ok(Vec::new()),
        }
    };
    let (configured, ran, promoting, repos) = tokio::join!(
        Stages::read(records),
        records.dated(&prefixes[0], None),
        records.dated(&prefixes[1], None),
        repos
    );
    let (ran, promoting, repos) = (ran?, promoting?, repos?);
    let found = ran.iter().chain(&promoting).filter_map(|it| RecordKey::stage_and_repo(&it.key));
    let found: BTreeSet<_> = found.collect();
    let ran: Vec<StageName> = found.iter().map(|(stage, _)| stage.clone()).collect();
    if let Some(stage) = &args.stage {
        configured.check(stage, &ran)?;
    }
    let mut stages = configured.with(ran);
    stages.retain(|stage| args.stage.as_ref().is_none_or(|wanted| wanted == stage));
    let mut shown: BTreeSet<Repo> = found.iter().map(|(_, repo)| repo.clone()).collect();
    if let Some(repo) = &args.repo {
        if !shown.contains(repo) && !repos.contains(repo) {
            return Err(sha::no_such_repo(repo, &repos).into());
        }
        shown = BTreeSet::from([repo.clone()]);
    }
    let every = stages.iter().flat_map(|stage| shown.iter().map(|repo| (stage.clone(), repo.clone())));
    let rows = stream::iter(every).map(async |(stage, repo)| {
        if found.contains(&(stage.clone(), repo.clone())) {
            row(records, steps, stage, repo).await
        } else {
            Ok((Row::nothing(stage, repo), Vec::new()))
        }
    });
    let rows = rows.buffered(LOOKS_IN_FLIGHT).try_collect::<Vec<(Row, Vec<String>)>>();
    let holds = stream::iter(&stages).map(async |stage| (stage.clone(), hold(records, stage).await));
    let (rows, held) = tokio::join!(rows, holds.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>());
    let (mut rows, mut troubles): (Vec<_>, Vec<_>) = rows?.into_iter().unzip();
    let mut holds = BTreeMap::new();
    for (stage, held) in held {
        match held {
            Ok(held) => holds.extend(held.map(|held| (stage, held))),
            Err(error) => troubles.push(vec![format!("whether `{stage}` is held can't be told: {error:#}")]),
        }
    }
    for row in &mut rows {
        row.hold = holds.get(&row.stage).cloned();
    }
    let troubles = configured.trouble.into_iter().chain(troubles.into_iter().flatten()).collect();
    Ok(Looked { stages, rows, holds, troubles })
}

/// What holds a stage, in two round trips. Whether that is signed, promote looks at.
async fn hold(records: &impl ReadStore, stage: &StageName) -> anyhow::Result<Option<Held>> {
    let key = RecordKey::LedgerHead(Chain::of_holds(stage)).to_string();
    let Some(head) = records.get(&key, None, ledger::MAX_BYTES).await? else { return Ok(None) };
    let standing = ledger::unproved_standing_in(&head.bytes).with_context(|| format!("`{key}` can't be read"))?;
    let Some(Hold { id, by, since, reason, .. }) = standing.hold else { return Ok(None) };
    let release = record::read::<SignedWord<Release>>(records, &RecordKey::HoldRelease(stage.clone(), id)).await?;
    let released_by = release.map(|it| it.record.word.released_by.person.to_string());
    Ok(Some(Held { by, since, reason, released_by }))
}

/// Looks at one repository on one stage, in three round trips; beside it what could not be told.
async fn row(
    records: &impl Records,
    steps: &impl AsyncFn(&str) -> anyhow::Result<Steps>,
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
    let state = state.map(|stored| stored.record);
    let present = state.as_ref().map(|state| state.promotion_id.clone());
    let runs = async {
        match state {
            Some(state) => runs(records, state).await.map(Some),
            None => Ok(None),
        }
    };
    let held = lock.map(|stored| stored.record).filter(|lock| lock.released_at.is_none());
    let holder = held.as_ref().map(|lock| lock.promotion_id.clone());
    let (runs, promoting, failed) = tokio::join!(
        runs,
        promoting(records, steps, &stage, &repo, held),
        failure::last(records, &stage, &repo, present.as_ref(), holder.as_ref())
    );
    let (promoting, trouble) = promoting;
    troubles.extend(trouble);
    let last_failure = failed.unwrap_or_else(|error| {
        let why = telemetry::chain(error.as_ref());
        troubles.push(format!("whether the last promotion of `{repo}` to `{stage}` failed can't be told: {why}"));
        None
    });
    let drift = drift.map(|it| it.record).map(|it| Drifted {
        findings: it.findings.len(),
        first: it.findings.into_iter().next().map(|it| it.finding),
        since: it.since,
        checked_at: it.checked_at,
    });
    Ok((Row { stage, repo, runs: runs?, drift, promoting, last_failure, hold: None }, troubles))
}

/// What is known of the commit that runs, and of the promotion that brought it.
async fn runs(records: &impl ReadStore, state: StageState) -> anyhow::Result<Runs> {
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
async fn promoting(
    records: &impl ReadStore,
    steps: &impl AsyncFn(&str) -> anyhow::Result<Steps>,
    stage: &StageName,
    repo: &Repo,
    held: Option<Lock>,
) -> (Option<Promoting>, Vec<String>) {
    let Some(lock) = held else { return (None, Vec::new()) };
    let promotion = PromotionRef { stage: stage.clone(), repo: repo.clone(), promotion_id: lock.promotion_id.clone() };
    let lease = OpenLease::key(&promotion);
    let (looked, promoted, lease) = tokio::join!(
        steps(&lock.execution_arn),
        PromotionRecord::load(records, &promotion),
        record::read::<OpenLease>(records, &lease)
    );
    let mut troubles = Vec::new();
    let mut untold = |what: &str, why: String| {
        troubles.push(format!("{what} of promotion `{}` could not be looked at: {why}", lock.promotion_id));
    };
    let steps = looked.unwrap_or_else(|error| {
        untold("the steps", telemetry::chain(error.as_ref()));
        Steps::default()
    });
    let promoted = promoted.map_err(|error| untold("the record", telemetry::chain(&error))).ok().map(|it| it.record);
    let lease = lease.unwrap_or_else(|error| {
        untold("the lease", telemetry::chain(&error));
        None
    });
    let promoting = Promoting {
        since: lock.taken_at,
        is_over: steps.is_over,
        step: steps.list.last().map(follow::name),
        commit_sha: promoted.as_ref().map(|it| it.commit_sha.clone()),
        requested_by: promoted.as_ref().map(|it| it.asked_by().to_owned()),
        rollback: promoted.as_ref().is_some_and(|it| it.rollback),
        lease_expires_at: lease.map(|it| it.record.expires_at).filter(|at| *at > telemetry::wall_clock()),
        promotion_id: lock.promotion_id,
        execution_arn: lock.execution_arn,
    };
    (Some(promoting), troubles)
}
