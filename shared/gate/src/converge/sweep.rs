//! The sweep: finds commits whose events were lost, and settles them.
//!
//! S3 delivers an event at least once, but an event can be lost on this side: notifications that somebody took away, a dead
//! letter that nobody redrove within 14 days. A later event of the same commit heals that; where there is none, nobody looks.
//!
//! A commit costs two calls, the verdict and the listing, where nothing was lost. Asking S3 for what changed lately would cost
//! a call for each thousand objects of the whole store instead, old and new, and miss whatever was lost longer ago. Where
//! there are more commits than one sweep takes, each hour takes a share of them, by the commits' own hashes: nothing has to be
//! remembered. Tags are not read: a forged one whose event was lost is found by the next event of its commit, and promotions
//! believe no tag.

use std::{collections::BTreeMap, ops::ControlFlow};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    finding::Code,
    ids::{Commit, CommitSha, Repo},
    store_key::ArtefactPath,
    telemetry::chain,
};
use gatekeeper_store::{TagStore, WriteStore};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Gate, GateError, hints::Hints, look::Sketch};

/// The most commits that one sweep looks at.
const MOST: usize = 5_000;

/// Repositories whose commits are listed at once, and commits that are looked at at once.
const AT_ONCE: usize = 8;

/// Before that end of the invocation no further commit is begun.
const TO_END: SignedDuration = SignedDuration::from_secs(60);

/// What asks for a sweep: a schedule, or somebody by hand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepEvent {
    /// What is asked.
    pub sweep: Sweep,
}

/// Which commits are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The repository; all of them without it.
    pub repo: Option<Repo>,
}

/// What a sweep came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Commits in the store.
    pub commits: usize,
    /// Those that were looked at.
    pub looked_at: usize,
    /// Those of them whose verdict was not on what is stored, and now is.
    pub settled: usize,
    /// Those that could not be looked at or settled; the log tells why.
    pub failed: usize,
    /// Those whose turn it was, and for which there was no time.
    pub left: usize,
}

impl<S: TagStore, R: WriteStore> Gate<'_, S, R> {
    /// Settles the commits whose verdict is not on what is stored, as far as there is time until `deadline`.
    ///
    /// # Errors
    /// [`GateError`] where the store could not be listed. A commit that fails harms no other.
    pub async fn sweep(&self, asked: &Sweep, deadline: Timestamp) -> Result<Swept, GateError> {
        let commits = self.commits(asked).await?;
        let mut swept = Swept { commits: commits.len(), ..Swept::default() };
        let turn = turn(&commits, (self.clock)());
        let looks = turn.into_iter().map(async |commit| {
            if deadline - (self.clock)() < TO_END {
                return ControlFlow::Break(());
            }
            let settled = self.sweep_commit(commit).await;
            if let Err(error) = &settled {
                let log = self.log.for_commit(commit);
                log.error("commit could not be swept", json!({"error": chain(error)}));
                log.count("GateErrors", None, 1);
            }
            ControlFlow::Continue(settled)
        });
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(look) = looks.next().await {
            match look {
                ControlFlow::Break(()) => swept.left += 1,
                ControlFlow::Continue(settled) => {
                    swept.looked_at += 1;
                    swept.settled += usize::from(matches!(settled, Ok(true)));
                    swept.failed += usize::from(settled.is_err());
                }
            }
        }
        let tell = json!(swept);
        if swept.left > 0 || swept.settled > 0 {
            self.log.warn("swept, and not all was as it should be", tell);
        } else {
            self.log.info("swept", tell);
        }
        self.log.count("SweptCommits", None, swept.settled as u64);
        Ok(swept)
    }

    /// Every commit that has, or ever had, an object.
    async fn commits(&self, asked: &Sweep) -> Result<Vec<Commit>, GateError> {
        let repos = match &asked.repo {
            Some(repo) => vec![repo.clone()],
            None => self.artefacts.folders("").await?.iter().filter_map(|name| name.parse().ok()).collect(),
        };
        let of_repo = stream::iter(repos).map(async |repo| {
            let names = self.artefacts.folders(&format!("{repo}/")).await?;
            let shas = names.iter().filter_map(|name| name.parse::<CommitSha>().ok());
            Ok::<_, GateError>(shas.map(|sha| Commit { repo: repo.clone(), sha }).collect::<Vec<_>>())
        });
        of_repo.buffered(AT_ONCE).try_concat().await
    }

    /// Whether an event of the commit was lost; then it is settled.
    async fn sweep_commit(&self, commit: &Commit) -> Result<bool, GateError> {
        let hints = missed(commit, &self.looker().sketch(commit).await?);
        if hints.is_empty() {
            return Ok(false);
        }
        let settled = self.settle_commit(commit, &hints).await?;
        // Its events may also be under way, which can't be told apart and harms nothing.
        self.log.for_commit(commit).warn("commit settled by the sweep", json!(settled));
        Ok(true)
    }
}

/// The commits whose turn it is: all of them, or in each hour another share.
pub(super) fn turn(commits: &[Commit], now: Timestamp) -> Vec<&Commit> {
    let shares = commits.len().div_ceil(MOST).max(1) as u64;
    let hour = now.as_second().unsigned_abs() / 3_600;
    let share = |commit: &Commit| {
        let start = commit.sha.as_str().get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        start.unwrap_or_default() % shares
    };
    commits.iter().filter(|commit| share(commit) == hour % shares).collect()
}

/// The objects of a commit that its verdict is not on. None of a commit that has no object any more: what a lifecycle took
/// away was judged while it was there.
fn missed(commit: &Commit, Sketch { verdict, listed }: &Sketch) -> Hints {
    let mut hints = Hints::default();
    let verdict = verdict.as_ref().map(|stored| &stored.record);
    let manifest = listed.get(&ArtefactPath::Manifest).map(|it| &it.version_id);
    let judged_manifest = verdict.and_then(|it| it.manifest_version_id.as_ref());
    let Some((first, _)) = listed.first_key_value() else { return hints };
    if manifest != judged_manifest {
        hints.name(ArtefactPath::Manifest);
    } else if verdict.is_none() {
        hints.name(first.clone());
    }
    // Without a manifest no artefact is judged.
    let (Some(verdict), Some(_)) = (verdict, manifest) else { return hints };
    let judged: BTreeMap<_, _> = verdict.artefacts.iter().map(|it| (it.key.as_str(), &it.version_id)).collect();
    // A stranger among the objects is refused and not judged; so he is known all the same.
    let is_known = |key: &str| verdict.reasons.iter().any(|it| it.subject == key && it.code != Code::ArtefactMissing);
    for (path, it) in listed.iter().filter(|(path, _)| **path != ArtefactPath::Manifest) {
        let key = path.of(commit);
        match judged.get(key.as_str()) {
            Some(version_id) if **version_id == it.version_id => {}
            None if is_known(&key) => {}
            _ => hints.name(path.clone()),
        }
    }
    let gone = verdict.artefacts.iter().filter_map(|it| it.key.strip_prefix(&commit.prefix()));
    for path in gone.filter_map(ArtefactPath::parse).filter(|path| !listed.contains_key(path)) {
        hints.name(path);
    }
    hints
}
