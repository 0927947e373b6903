//! What happened to a repository on every stage, from the ledger: newest first, a page at a time.

use std::{collections::BTreeMap, fmt::Write as _};

use askama::Template;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{try_join, try_join_all},
    stream,
};
use gatekeeper_model::{
    ids::{Chain, Repo, StageName},
    store_key::RecordKey,
};
use gatekeeper_promotion::stage::StagesConfig;
use gatekeeper_proof::{
    PublicKeys, ledger,
    ledger::{Entry, Kind, StoredEntry},
};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, StoreError};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Trouble,
    overview::{self, Row},
    page::Page,
    read::read,
    show::{Mark, Time, short},
};

/// How many entries a page shows; of each chain it reads one more at most, all at once.
const ENTRIES: u64 = 40;

/// Where the page before ended: the newest entry of each chain that is still to be shown, by the chain's stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursor(BTreeMap<StageName, u64>);

impl Cursor {
    /// Reads it from a request's parameters, such as `?gate=3&uat=17`; whatever is no stage's name is somebody else's.
    pub(crate) fn parse(parameters: &[(&str, &str)]) -> Result<Self, String> {
        let stages = parameters.iter().filter_map(|(name, value)| Some((name.parse::<StageName>().ok()?, value)));
        let places = stages.map(|(stage, value)| match value.parse() {
            Ok(place) => Ok((stage, place)),
            Err(_) => Err(format!("`{stage}` is `{value}`, not the number of an entry")),
        });
        places.collect::<Result<_, _>>().map(Self)
    }

    /// How a link says it.
    fn query(&self) -> String {
        self.0.iter().fold(String::new(), |mut query, (stage, place)| {
            let _ = write!(query, "{}{stage}={place}", if query.is_empty() { '?' } else { '&' });
            query
        })
    }
}

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    repo: Repo,
    running: Vec<Row>,
    chains: Vec<(StageName, Mark)>,
    shown: Vec<Shown>,
    is_first: bool,
    /// What the link to older entries says; `None` where no older entry is left.
    older: Option<String>,
}

/// An entry, or that there is none where one should be.
#[derive(Debug)]
struct Shown {
    stage: StageName,
    sequence: u64,
    entry: Option<ShownEntry>,
    /// Why there is none.
    missing: &'static str,
}

#[derive(Debug)]
struct ShownEntry {
    at: Time,
    kind: &'static str,
    commit: Option<String>,
    by: String,
    reason: String,
    outcome: Mark,
    findings: Vec<String>,
    break_glass: bool,
    /// When the evidence was as this entry left it; `None` where it changed nothing on the stage.
    evidence_at: Option<String>,
}

/// A chain as far as this page read it.
struct Slice {
    chain: Chain,
    mark: Mark,
    /// Newest first; none in place of an entry that is gone.
    entries: Vec<(u64, Option<StoredEntry>)>,
}

/// Three dependent round trips: the names of the stages, the heads of their chains, entries of all of them at once, and beside
/// those what runs now. A head that is gone costs one more, to find the chain's end.
pub(crate) async fn page(
    records: &impl ReadStore,
    repo: Repo,
    cursor: &Cursor,
    keys: &PublicKeys,
) -> Result<Page, Trouble> {
    let config = read::<StagesConfig>(records, RecordKey::StagesConfig);
    let (config, mut pairs) = try_join(config, overview::stages_and_repos(records)).await?;
    pairs.retain(|(_, of)| *of == repo);
    let config = config.or_note(&mut Vec::new());
    let mut stages: Vec<StageName> = config.into_iter().flat_map(|it| it.stages.into_keys()).collect();
    stages.extend(pairs.iter().map(|(stage, _)| stage.clone()));
    stages.push(StageName::gate());
    stages.sort();
    stages.dedup();

    let chains = stages.into_iter().map(|stage| Chain { stage, repo: repo.clone() });
    let slices = try_join_all(chains.map(|chain| slice(records, chain, cursor, keys)));
    let (slices, running) = try_join(slices, overview::rows(records, pairs)).await?;
    let mut slices: Vec<Slice> = slices.into_iter().flatten().collect();
    if slices.is_empty() && running.is_empty() {
        return Ok(Page::not_found());
    }
    let chains = slices.iter().map(|it| (it.chain.stage.clone(), it.mark.clone())).collect();
    let shown = newest(&mut slices);
    let rest = slices.iter().map(|it| (it.chain.stage.clone(), it.entries.last().map_or(0, |(place, _)| *place)));
    let older = Cursor(rest.collect());
    let has_older = older.0.values().any(|place| *place > 0);
    Page::of(&History {
        repo,
        running,
        chains,
        shown,
        is_first: cursor.0.is_empty(),
        older: has_older.then(|| older.query()),
    })
}

/// Reads one chain from the cursor's place back; `None` where the chain was never begun.
async fn slice(
    records: &impl ReadStore,
    chain: Chain,
    cursor: &Cursor,
    keys: &PublicKeys,
) -> Result<Option<Slice>, StoreError> {
    let head = records.get(&RecordKey::LedgerHead(chain.clone()).to_string(), None, ledger::MAX_BYTES).await?;
    let head = head.map(|body| body.bytes);
    let key = keys.of(gatekeeper_proof::Authority::of(&chain));
    let newest = match head.as_ref().and_then(|head| ledger::head_of(head, &chain, key).ok()) {
        Some(head) => head.sequence,
        None => last_place(records, &chain).await?,
    };
    if newest == 0 && head.is_none() {
        return Ok(None);
    }
    let at = cursor.0.get(&chain.stage).copied();
    let from = at.map_or(newest, |at| at.min(newest));
    let mut entries: Vec<_> = stream::iter(((from + 1).saturating_sub(ENTRIES).max(1)..=from).rev())
        .map(async |place| Ok::<_, StoreError>((place, ledger::entry_at(records, &chain, place).await?)))
        .buffered(CALLS_IN_FLIGHT)
        .try_collect()
        .await?;
    // Whoever was killed before it wrote the newest left it in the head.
    if let Some((place, entry @ None)) = entries.first_mut()
        && *place == newest
    {
        *entry = head.as_ref().and_then(|head| ledger::newest_of(head, &chain, key).ok());
    }
    let mark = if at.is_some() {
        Mark::open("an older page: what is newer was not looked at")
    } else {
        let read: Vec<_> = entries.iter().filter_map(|(_, entry)| entry.clone()).collect();
        let proof = ledger::prove(&chain, read, head.as_deref(), None, key);
        match proof.broken {
            None => Mark::good(format!("entries {} to {} hold up to the signed head", proof.first, proof.newest)),
            Some(it) if it.sequence == 0 => Mark::bad(format!("broken: {}", it.what)),
            Some(it) => Mark::bad(format!("broken at entry {}: {}", it.sequence, it.what)),
        }
    };
    Ok(Some(Slice { chain, mark, entries }))
}

/// The last place of a chain whose head says nothing.
async fn last_place(records: &impl ReadStore, chain: &Chain) -> Result<u64, StoreError> {
    let prefix = RecordKey::ledger_prefix(chain);
    let listed = records.list(&prefix).await?;
    let places = listed.iter().filter_map(|it| it.key.strip_prefix(&prefix)?.strip_suffix(".json")?.parse().ok());
    Ok(places.max().unwrap_or(0))
}

/// Takes the newest entries of all chains; each chain keeps its own order whatever times its entries say.
fn newest(slices: &mut [Slice]) -> Vec<Shown> {
    let mut shown = Vec::new();
    for slice in &mut *slices {
        slice.entries.reverse();
    }
    let at = |slice: &Slice| {
        let (_, entry) = slice.entries.last()?;
        // What can't be read is told at once.
        Some(entry.as_ref().and_then(|it| it.entry.as_ref()).map_or(Timestamp::MAX, |it| it.recorded_at))
    };
    while u64::try_from(shown.len()).is_ok_and(|length| length < ENTRIES) {
        let Some(slice) = slices.iter_mut().filter(|it| at(it).is_some()).max_by_key(|it| at(it)) else { break };
        if let Some((sequence, entry)) = slice.entries.pop() {
            shown.push(Shown::of(slice.chain.stage.clone(), sequence, entry));
        }
    }
    shown
}

impl Shown {
    fn of(stage: StageName, sequence: u64, stored: Option<StoredEntry>) -> Self {
        let missing = if stored.is_some() { "it is not what the gatekeeper writes" } else { "it is missing" };
        Self { entry: stored.and_then(|it| it.entry).map(ShownEntry::of), stage, sequence, missing }
    }
}

impl ShownEntry {
    fn of(Entry { recorded_at, event, .. }: Entry) -> Self {
        let at = Time(recorded_at);
        let changed = matches!(event.kind, Kind::Promotion | Kind::Rollback) && event.outcome == "succeeded";
        Self {
            at,
            kind: event.kind.as_str(),
            commit: event.commit_sha.as_ref().map(|sha| short(sha).to_owned()),
            by: event.by,
            reason: event.reason,
            outcome: match event.kind {
                _ if matches!(event.outcome.as_str(), "succeeded" | "resolved") => Mark::good(event.outcome),
                Kind::Refusal => Mark::open(event.outcome),
                _ => Mark::bad(event.outcome),
            },
            findings: event.findings.into_iter().map(|it| format!("{} ({})", it.message, it.subject)).collect(),
            break_glass: event.break_glass,
            // The second after: the stage ran it before this was written down.
            evidence_at: changed.then(|| Time(recorded_at + SignedDuration::from_secs(1)).machine()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_its_link_says() {
        let cursor = Cursor::parse(&[("uat", "17"), ("utm_source", "mail"), ("gate", "0")]).unwrap();
        assert_eq!(cursor.query(), "?gate=0&uat=17");
        assert_eq!(Cursor::parse(&[]).unwrap().query(), "");
        assert_eq!(Cursor::parse(&[("uat", "-1")]).unwrap_err(), "`uat` is `-1`, not the number of an entry");
    }
}
