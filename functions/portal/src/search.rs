//! Whose bytes have a digest, and where they run.

use std::collections::BTreeMap;

use askama::Template;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use gatekeeper_model::{
    ids::{Commit, Repo, Sha256, StageName},
    store_key::RecordKey,
    verdict::Verdict,
};
use gatekeeper_promotion::history::StageState;
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, StoreError, revocation};

use crate::{
    Trouble,
    page::Page,
    read::read,
    show::{Mark, Time},
};

/// The most commits that are shown: bytes that never change are those of every commit since.
const MAX_COMMITS: usize = 100;

#[derive(Template)]
#[template(path = "search.html")]
struct Search {
    digest: Option<Sha256>,
    found: Vec<Found>,
    surplus: usize,
    /// The keys of stages' records that are there and can't be read: what runs there is not known.
    unreadable: Vec<String>,
}

/// A Built commit with such bytes.
#[derive(Debug)]
struct Found {
    commit: Commit,
    /// The objects with the bytes, inside the commit's folder.
    objects: Vec<String>,
    gate: Mark,
    judged_at: Option<Time>,
    /// The stages that run the commit now.
    stages: Vec<StageName>,
}

/// Two dependent round trips: who has the bytes and what stages there are, then what is known of those commits and what the
/// stages run of their repositories.
pub(crate) async fn page(records: &impl ReadStore, digest: Option<Sha256>) -> Result<Page, Trouble> {
    let Some(wanted) = digest else {
        return Page::of(&Search { digest, found: Vec::new(), surplus: 0, unreadable: Vec::new() });
    };
    let (index, states) = (RecordKey::digest_prefix(&wanted), RecordKey::stages_prefix(None));
    let (index, states) = try_join(records.list(&index), records.list(&states)).await?;
    let mut commits: Vec<Commit> = index.iter().filter_map(|it| RecordKey::commit_of_digest(&it.key)).collect();
    let surplus = commits.len().saturating_sub(MAX_COMMITS);
    commits.truncate(MAX_COMMITS);
    let ours = |(stage, repo): (StageName, Repo)| {
        commits.iter().any(|it| it.repo == repo).then_some(RecordKey::Stage(stage, repo))
    };
    let states = states.iter().filter_map(|it| RecordKey::stage_and_repo(&it.key)).filter_map(ours);
    let states: Vec<RecordKey> = states.collect();
    let running = stream::iter(states)
        .map(|key| read::<StageState>(records, key))
        .buffered(CALLS_IN_FLIGHT)
        .try_collect::<Vec<_>>();
    let found = stream::iter(commits)
        .map(|commit| found(records, wanted, commit))
        .buffered(CALLS_IN_FLIGHT)
        .try_collect::<Vec<_>>();
    let (running, mut found) = try_join(running, found).await?;
    let mut stages: BTreeMap<Commit, Vec<StageName>> = BTreeMap::new();
    let mut unreadable = Vec::new();
    let running = running.into_iter().filter_map(|state| state.or_note(&mut unreadable));
    for StageState { stage, repo, commit_sha, .. } in running.collect::<Vec<_>>() {
        stages.entry(Commit { repo, sha: commit_sha }).or_default().push(stage);
    }
    for it in &mut found {
        it.stages = stages.remove(&it.commit).unwrap_or_default();
    }
    found.sort_by_key(|it| (it.stages.is_empty(), std::cmp::Reverse(it.judged_at)));
    Page::of(&Search { digest, found, surplus, unreadable })
}

async fn found(records: &impl ReadStore, wanted: Sha256, commit: Commit) -> Result<Found, StoreError> {
    let verdict = read::<Verdict>(records, RecordKey::Verdict(commit.clone()));
    let (verdict, revocation) = try_join(verdict, revocation::read(records, &commit)).await?;
    let mut unreadable = Vec::new();
    let (verdict, taken_back) = (verdict.or_note(&mut unreadable), revocation.map(|it| it.taken_back));
    let gate = match unreadable.first() {
        Some(key) => Mark::bad(format!("the record {key} can’t be read")),
        None => Mark::of_gate(verdict.as_ref(), taken_back.as_ref(), None),
    };
    let judged_at = verdict.as_ref().map(|it| Time(it.evaluated_at));
    let artefacts = verdict.into_iter().flat_map(|it| it.artefacts);
    let prefix = commit.prefix();
    let inside = |key: String| key.strip_prefix(&prefix).map_or(key.clone(), str::to_owned);
    let objects = artefacts.filter(|it| it.sha256 == wanted).map(|it| inside(it.key)).collect();
    Ok(Found { commit, objects, gate, judged_at, stages: Vec::new() })
}
