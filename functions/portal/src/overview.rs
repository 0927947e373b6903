//! What every stage runs of every repository, and what is under way.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{try_join, try_join4},
    stream,
};
use gatekeeper_model::{
    ids::{Commit, Repo, StageName},
    store_key::RecordKey,
    verdict::Verdict,
};
use gatekeeper_promotion::{drift::Drift, history::StageState, lock::Lock, record::PromotionRecord, runs::OpenLease};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, StoreError, revocation};

use crate::{
    Trouble,
    page::Page,
    read::read,
    show::{Mark, Time, short},
};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    stages: Vec<(StageName, Vec<Row>)>,
}

/// One repository on one stage.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) stage: StageName,
    pub(crate) repo: Repo,
    pub(crate) runs: Option<Runs>,
    pub(crate) under_way: Option<UnderWay>,
    /// The keys of records that are there and can't be read.
    pub(crate) unreadable: Vec<String>,
}

/// What runs.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) commit: String,
    pub(crate) since: Time,
    /// Who asked for it; `None` where its record can't be read.
    pub(crate) requested_by: Option<String>,
    pub(crate) is_rollback: bool,
    pub(crate) gate: Mark,
    pub(crate) drift: Mark,
    /// When drift was last looked for.
    pub(crate) drift_checked_at: Option<Time>,
}

/// A promotion that holds the lock.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) commit: Option<String>,
    pub(crate) requested_by: Option<String>,
    pub(crate) since: Time,
    /// Until when a runner has the lease for its part.
    pub(crate) leased_until: Option<Time>,
}

/// Three dependent round trips, whatever the number of stages and repositories: their names, what runs and who holds the lock,
/// and what is known of the commits and promotions that those name.
pub(crate) async fn page(records: &impl ReadStore) -> Result<Page, Trouble> {
    let found = stages_and_repos(records).await?;
    let rows = rows(records, found).await?;
    let mut stages: BTreeMap<StageName, Vec<Row>> = BTreeMap::new();
    for row in rows {
        stages.entry(row.stage.clone()).or_default().push(row);
    }
    Page::of(&Overview { stages: stages.into_iter().collect() })
}

/// Every repository that was ever promoted to a stage, or is being promoted for the first time.
pub(crate) async fn stages_and_repos(records: &impl ReadStore) -> Result<BTreeSet<(StageName, Repo)>, StoreError> {
    let (stages, locks) = (RecordKey::stages_prefix(None), RecordKey::locks_prefix(None));
    let (stages, locks) = try_join(records.list(&stages), records.list(&locks)).await?;
    Ok(stages.iter().chain(&locks).filter_map(|it| RecordKey::stage_and_repo(&it.key)).collect())
}

/// What runs of these repositories on these stages, in two dependent round trips.
pub(crate) async fn rows(records: &impl ReadStore, found: BTreeSet<(StageName, Repo)>) -> Result<Vec<Row>, StoreError> {
    stream::iter(found).map(|(stage, repo)| row(records, stage, repo)).buffered(CALLS_IN_FLIGHT).try_collect().await
}

async fn row(records: &impl ReadStore, stage: StageName, repo: Repo) -> Result<Row, StoreError> {
    let state = read::<StageState>(records, RecordKey::Stage(stage.clone(), repo.clone()));
    let lock = read::<Lock>(records, RecordKey::Lock(stage.clone(), repo.clone()));
    let (state, lock) = try_join(state, lock).await?;
    let mut unreadable = Vec::new();
    let state = state.or_note(&mut unreadable);
    let lock = lock.or_note(&mut unreadable).filter(|it| it.released_at.is_none());
    let mut of_lock = Vec::new();
    let runs = runs(records, state, &mut unreadable);
    let (runs, under_way) = try_join(runs, under_way(records, &stage, &repo, lock, &mut of_lock)).await?;
    unreadable.extend(of_lock);
    Ok(Row { stage, repo, runs, under_way, unreadable })
}

async fn runs(
    records: &impl ReadStore,
    state: Option<StageState>,
    unreadable: &mut Vec<String>,
) -> Result<Option<Runs>, StoreError> {
    let Some(StageState { stage, repo, commit_sha, promotion_id, since, .. }) = state else { return Ok(None) };
    let commit = Commit { repo: repo.clone(), sha: commit_sha };
    let (record, drift, verdict, revocation) = try_join4(
        read::<PromotionRecord>(records, RecordKey::Promotion(stage.clone(), repo.clone(), promotion_id.clone())),
        read::<Drift>(records, RecordKey::Drift(stage, repo)),
        read::<Verdict>(records, RecordKey::Verdict(commit.clone())),
        revocation::read(records, &commit),
    )
    .await?;
    let record = record.or_note(unreadable);
    // What was looked at before this promotion says nothing of it.
    let drift = drift.or_note(unreadable).filter(|it| it.promotion_id == promotion_id);
    let (verdict, taken_back) = (verdict.or_note(unreadable), revocation.map(|it| it.taken_back));
    Ok(Some(Runs {
        commit: short(&commit.sha).to_owned(),
        since: Time(since),
        is_rollback: record.as_ref().is_some_and(|it| it.rollback),
        gate: Mark::of_gate(verdict.as_ref(), taken_back.as_ref(), record.as_ref().map(|it| &it.manifest_version_id)),
        requested_by: record.map(|it| it.asked_by().to_owned()),
        drift: Mark::of_drift(drift.as_ref()),
        drift_checked_at: drift.map(|it| Time(it.checked_at)),
    }))
}

async fn under_way(
    records: &impl ReadStore,
    stage: &StageName,
    repo: &Repo,
    lock: Option<Lock>,
    unreadable: &mut Vec<String>,
) -> Result<Option<UnderWay>, StoreError> {
    let Some(Lock { promotion_id, taken_at, .. }) = lock else { return Ok(None) };
    let (record, lease) = try_join(
        read::<PromotionRecord>(records, RecordKey::Promotion(stage.clone(), repo.clone(), promotion_id.clone())),
        read::<OpenLease>(records, RecordKey::OpenLease(stage.clone(), repo.clone(), promotion_id)),
    )
    .await?;
    let (record, lease) = (record.or_note(unreadable), lease.or_note(unreadable));
    Ok(Some(UnderWay {
        commit: record.as_ref().map(|it| short(&it.commit_sha).to_owned()),
        requested_by: record.map(|it| it.asked_by().to_owned()),
        since: Time(taken_at),
        leased_until: lease.map(|it| Time(it.expires_at)),
    }))
}
