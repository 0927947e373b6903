//! The witness outside: a bucket of another account that is given every signed head of the ledger and gives none back.
//!
//! Whoever administers the gatekeeper's account could put an older head back and delete the entries above it, and what is
//! left would prove itself. The witness tells: it has seen a later head. The function `witness` hands over a head only where
//! it goes on from the newest that the witness has, so that the newest alone tells of all before it.

mod hand_over;
#[cfg(test)]
mod tests;

use std::fmt;

use futures_util::{StreamExt as _, TryStreamExt as _, future::join, stream};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Chain,
    store_key::{RecordKey, WitnessKey},
    telemetry,
};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, StoreError};
pub use hand_over::{HandOverError, Handed, hand_over};
use jiff::{SignedDuration, Timestamp};

use crate::{
    TrustedKeys,
    ledger::{self, Appended, MAX_BYTES, StoredEntry},
};

/// How long the witness may take to be given an entry.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// How many entries the witness may lack: all of them are read to see that they go on from what it has.
const MAX_LACKING: u64 = 16;

/// The place of the newest head that the witness has of a chain, or in words why it can't be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest(Result<Option<u64>, String>);

/// What is known of a chain and of its witness, to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The chain's own head.
    head: Option<Vec<u8>>,
    /// The newest head that the witness has, with its place; or in words why it can't be told.
    witnessed: Result<Option<(u64, Vec<u8>)>, String>,
    /// The entries from the witnessed place on, as far as they are stored.
    since: Vec<StoredEntry>,
}

impl Look {
    /// The same of what somebody else has read: the chain's head, the newest head that the witness has, and the chain's
    /// entries, as far as they are known.
    #[must_use]
    pub fn of(
        head: Option<&[u8]>,
        witnessed: Option<&[u8]>,
        mut entries: Vec<StoredEntry>,
        chain: &Chain,
        keys: &TrustedKeys,
    ) -> Self {
        let place_of = |head: &[u8]| ledger::head_of(head, chain, keys).map_or(0, |it| it.sequence);
        let (ours, seen) = (head.map_or(0, place_of), witnessed.map_or(0, place_of));
        entries.retain(|it| (seen.max(1)..ours).contains(&it.sequence));
        entries.sort_by_key(|it| it.sequence);
        let witnessed = witnessed.map(|witnessed| (seen, witnessed.to_vec()));
        Self { head: head.map(<[u8]>::to_vec), witnessed: Ok(witnessed), since: entries }
    }
}

/// The place of the newest head that the witness has of a chain. One call, beside those that read the chain.
pub async fn newest(witness: &impl ReadStore, chain: &Chain) -> Newest {
    Newest(match witness.first(&WitnessKey::chain_prefix(chain)).await {
        Ok(None) => Ok(None),
        Ok(Some(key)) => match WitnessKey::parse(&key) {
            Some(WitnessKey::Head(of, place)) if of == *chain => Ok(Some(place)),
            _ => Err(format!("`{key}` is no place of a head")),
        },
        Err(error) => Err(telemetry::chain(&error)),
    })
}

/// Reads what the comparison needs beside the head and [`newest`], in one round trip: the witnessed head, and the entries
/// since. Where the witness has more than the head tells, somebody may have appended in between: the head is read again first.
///
/// # Errors
/// [`StoreError`] where the ledger could not be looked at. That the witness could not is an answer.
pub async fn look(
    records: &impl ReadStore,
    witness: &impl ReadStore,
    chain: &Chain,
    head: Option<Vec<u8>>,
    newest: &Newest,
    keys: &TrustedKeys,
) -> Result<Look, StoreError> {
    let place = match &newest.0 {
        Ok(place) => *place,
        Err(why) => return Ok(Look { head, witnessed: Err(why.clone()), since: Vec::new() }),
    };
    let from = place.unwrap_or(0);
    let place_of =
        |head: Option<&[u8]>| head.and_then(|it| ledger::head_of(it, chain, keys).ok()).map(|it| it.sequence);
    let mut head = head;
    if place_of(head.as_deref()).unwrap_or(0) < from {
        let key = RecordKey::LedgerHead(chain.clone()).to_string();
        head = records.get(&key, None, MAX_BYTES).await?.map(|body| body.bytes);
    }
    let ours = place_of(head.as_deref()).unwrap_or(0);
    let witnessed = async {
        let Some(place) = place else { return Ok(None) };
        let key = WitnessKey::Head(chain.clone(), place).to_string();
        match witness.get(&key, None, MAX_BYTES).await {
            Ok(Some(body)) => Ok(Some((place, body.bytes))),
            Ok(None) => Err(format!("`{key}` is listed and can't be read")),
            Err(error) => Err(telemetry::chain(&error)),
        }
    };
    let is_near = ours.saturating_sub(from) <= MAX_LACKING;
    let since = stream::iter(from.max(1)..if is_near { ours } else { 0 })
        .map(|sequence| ledger::entry_at(records, chain, sequence))
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(|entry| async move { Ok(entry) })
        .try_collect();
    let (witnessed, since) = join(witnessed, since).await;
    Ok(Look { head, witnessed, since: since? })
}

/// The same with everything that must be read before, in two round trips.
///
/// # Errors
/// [`StoreError`] as [`look`].
pub async fn look_at(
    records: &impl ReadStore,
    witness: &impl ReadStore,
    chain: &Chain,
    keys: &TrustedKeys,
) -> Result<Look, StoreError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let (head, newest) = join(records.get(&head_key, None, MAX_BYTES), newest(witness, chain)).await;
    look(records, witness, chain, head?.map(|body| body.bytes), &newest, keys).await
}

/// Where a chain and its witness disagree, as a finding about the chain; `None` where the chain is the one that the witness
/// has seen.
#[must_use]
pub fn compare(chain: &Chain, look: &Look, keys: &TrustedKeys, now: Timestamp) -> Option<Finding> {
    let finding = |code, message: String| Some(Finding::new(code, chain.to_string(), message));
    let rolled_back = |what: String| {
        let message = format!("{what}; put back what was removed before anything else, see the on-call guide");
        finding(Code::LedgerRolledBack, message)
    };
    let witnessed = match &look.witnessed {
        Err(why) => return finding(Code::WitnessUnreachable, why.clone()),
        Ok(None) => None,
        Ok(Some((place, head))) => match ledger::head_of(head, chain, keys) {
            Ok(head) if head.sequence == *place => Some(head),
            Ok(head) => {
                let what = format!("at place {place} it has a head that is about entry {}", head.sequence);
                return finding(Code::WitnessUnreachable, what);
            }
            Err(error) => {
                return finding(Code::WitnessUnreachable, format!("the head that it has at place {place}: {error}"));
            }
        },
    };
    let ours = match look.head.as_deref().map(|head| ledger::newest_of(head, chain, keys)).transpose() {
        Ok(ours) => ours,
        Err(error) => return rolled_back(format!("the head: {error}")),
    };
    match (ours, witnessed) {
        (None, None) => None,
        (None, Some(seen)) => rolled_back(format!("it is empty, and the witness has seen {}", Place(&seen))),
        (Some(ours), seen) => {
            // Of more than that nothing was read, and the witness is behind.
            let near = seen.as_ref().filter(|seen| ours.sequence.saturating_sub(seen.sequence) <= MAX_LACKING);
            match near.and_then(|seen| differs(&ours, seen, &look.since)) {
                Some(what) => rolled_back(what),
                None => behind(&ours, seen.as_ref(), &look.since, now).and_then(|it| finding(Code::WitnessBehind, it)),
            }
        }
    }
}

/// Holds every head that the witness has of a chain against the entry at its place, and gives the first where they differ:
/// [`compare`] takes the newest for all before it, as the function that hands over heads keeps it; this takes nobody's word.
///
/// # Errors
/// [`StoreError`] where the ledger could not be looked at. That the witness could not is an answer.
pub async fn every(
    records: &impl ReadStore,
    witness: &impl ReadStore,
    chain: &Chain,
    keys: &TrustedKeys,
) -> Result<Option<Finding>, StoreError> {
    let finding = |code, message: String| Some(Finding::new(code, chain.to_string(), message));
    let listed = match witness.list(&WitnessKey::chain_prefix(chain)).await {
        Ok(listed) => listed,
        Err(error) => return Ok(finding(Code::WitnessUnreachable, telemetry::chain(&error))),
    };
    let mut found: Vec<_> = stream::iter(listed.iter().rev())
        .map(|object| async move {
            let place = match WitnessKey::parse(&object.key) {
                Some(WitnessKey::Head(_, place)) => place,
                Some(WitnessKey::Timestamp(..)) => return Ok(None), // whose word that is, who verifies a bundle asks
                None => {
                    return Ok(finding(Code::WitnessUnreachable, format!("`{}` is no place of a head", object.key)));
                }
            };
            let head = match witness.get(&object.key, None, MAX_BYTES).await {
                Ok(head) => head.and_then(|body| ledger::head_of(&body.bytes, chain, keys).ok()),
                Err(error) => return Ok(finding(Code::WitnessUnreachable, telemetry::chain(&error))),
            };
            let Some(seen) = head.filter(|head| head.sequence == place) else {
                return Ok(finding(
                    Code::WitnessUnreachable,
                    format!("at place {place} it has no head that was signed"),
                ));
            };
            Ok(match ledger::entry_at(records, chain, place).await? {
                Some(entry) if entry.sha256 == seen.sha256 => None,
                // The newest entry may be in the head alone.
                None => None,
                Some(entry) => {
                    let what =
                        format!("entry {place} is `{}`, and the witness has seen {}", entry.sha256, Place(&seen));
                    finding(Code::LedgerRolledBack, what)
                }
            })
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(|found| async move { Ok::<_, StoreError>(found) })
        .try_collect()
        .await?;
    found.truncate(1);
    Ok(found.pop())
}

/// Where the chain that ends with `ours` doesn't go on from what the witness has seen.
fn differs(ours: &StoredEntry, seen: &Appended, since: &[StoredEntry]) -> Option<String> {
    if seen.sequence > ours.sequence {
        return Some(format!("it ends at entry {}, and the witness has seen {}", ours.sequence, Place(seen)));
    }
    let mut before = None;
    for (place, entry) in (seen.sequence..=ours.sequence).zip(since.iter().chain([ours])) {
        if entry.sequence != place {
            return Some(format!("entry {place} is missing, and the witness has seen {}", Place(seen)));
        }
        match before {
            None if entry.sha256 != seen.sha256 => {
                return Some(format!("entry {place} is `{}`, and the witness has seen {}", entry.sha256, Place(seen)));
            }
            Some(before) if entry.entry.as_ref().and_then(|it| it.previous_sha256) != Some(before) => {
                return Some(format!("entry {place} does not go on from the one before, which the witness has seen"));
            }
            _ => before = Some(entry.sha256),
        }
    }
    None
}

/// Whether the witness should have been given more by now.
fn behind(ours: &StoredEntry, seen: Option<&Appended>, since: &[StoredEntry], now: Timestamp) -> Option<String> {
    let has = seen.map_or(0, |seen| seen.sequence);
    let lacking = ours.sequence.checked_sub(has).filter(|lacking| *lacking > 0)?;
    let first = since.iter().chain([ours]).find(|it| it.sequence == has + 1);
    let written = first.and_then(|it| Some(it.entry.as_ref()?.recorded_at));
    if lacking <= MAX_LACKING && written.is_some_and(|at| now.duration_since(at) < GRACE) {
        return None;
    }
    let has = seen.map_or_else(|| "nothing".to_owned(), |seen| format!("entry {}", seen.sequence));
    let since = written.map_or_else(String::new, |at| format!(", which was written at {at:.0}"));
    let next = seen.map_or(1, |seen| seen.sequence + 1);
    Some(format!(
        "the newest that it has is {has}, of {}; it lacks entry {next}{since}: see whether the function `witness` fails, and \
         invoke it with `{{\"catch_up\": true}}`",
        ours.sequence
    ))
}

struct Place<'a>(&'a Appended);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}, `{}`", self.0.sequence, self.0.sha256)
    }
}
