//! Writing an entry: first its place under a condition, then the head over it.

use jiff::{SignedDuration, Timestamp};

use super::{Chain, Entry, Event, LedgerHead, MAX_BYTES, prove};
use crate::{
    attestation::{Digest, InvalidAttestation, PublicKey, Signer, SigningError, Statement, Subject},
    ids::Sha256,
    store::{Body, Precondition, Store, StoreError, Written},
    store_key::RecordKey,
};

/// How often an entry is tried again where others write to the same chain.
const MAX_ATTEMPTS: u32 = 16;

/// By how much the clocks of two functions may differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why an entry could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The bucket could not be looked at or written to.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The head could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The head is not what the gatekeeper signs: nothing is put on top of it.
    #[error(
        "the head of the ledger's chain `{chain}` proves nothing, so nothing is written on top of it: run `gatekeeper ledger verify`"
    )]
    Head {
        /// The chain.
        chain: Chain,
        /// What is wrong with it.
        #[source]
        source: InvalidAttestation,
    },
    /// Entry and head don't fit together.
    #[error("the ledger's chain `{chain}` is broken at {sequence}: {what}; run `gatekeeper ledger verify`")]
    Broken {
        /// The chain.
        chain: Chain,
        /// The place.
        sequence: u64,
        /// What is wrong.
        what: String,
    },
    /// Others wrote faster, again and again.
    #[error("the ledger's chain `{0}` is written to by too many at once")]
    Crowded(Chain),
}

/// Where an event stands in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub sequence: u64,
    /// The SHA-256 of the entry's bytes.
    pub sha256: Sha256,
}

/// The newest signed entry, and what a write over the head compares.
struct Tip {
    newest: Option<Appended>,
    precondition: Precondition,
}

/// Appends an event to a chain, once: an event of the same id that was recorded at or after `since` is found again. Without
/// `since` it is always a new one.
///
/// Killed after the entry and before the head, it leaves an entry that nobody has signed; who appends next signs it first.
///
/// # Errors
/// [`LedgerError`] where it could not be written, or where the chain is not whole.
pub async fn append(
    records: &impl Store,
    signer: &dyn Signer,
    chain: &Chain,
    event: &Event,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Appended, LedgerError> {
    let key = signer.public_key().await?;
    for _ in 0..MAX_ATTEMPTS {
        let tip = tip(records, &key, chain).await?;
        if let Some(since) = since
            && let Some(found) = find(records, chain, &tip, &event.id, since).await?
        {
            return Ok(found);
        }
        let sequence = tip.newest.as_ref().map_or(1, |it| it.sequence + 1);
        let entry = Entry {
            schema_version: 1,
            chain: chain.clone(),
            sequence,
            previous_sha256: tip.newest.as_ref().map(|it| it.sha256),
            recorded_at: now,
            event: event.clone(),
        };
        // Text, numbers and lists of them can always be written.
        let bytes = serde_json::to_vec_pretty(&entry).unwrap_or_default();
        let entry_key = RecordKey::LedgerEntry(chain.clone(), sequence).to_string();
        match records.put(&entry_key, &bytes, "application/json", &Precondition::Absent).await? {
            Written::Done { .. } => {
                let appended = Appended { sequence, sha256: Sha256::of(&bytes) };
                sign(records, signer, chain, &entry, appended.sha256, &tip.precondition).await?;
                return Ok(appended);
            }
            Written::Conflict => {
                // Somebody's entry that isn't signed yet, perhaps never will be: sign it, then try behind it.
                let there = records.get(&entry_key, None, MAX_BYTES).await?;
                let (there, sha256) = unsigned(there, &entry)?;
                sign(records, signer, chain, &there, sha256, &tip.precondition).await?;
            }
        }
    }
    Err(LedgerError::Crowded(chain.clone()))
}

async fn tip(records: &impl Store, key: &PublicKey, chain: &Chain) -> Result<Tip, LedgerError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let Some(body) = records.get(&head_key, None, MAX_BYTES).await? else {
        return Ok(Tip { newest: None, precondition: Precondition::Absent });
    };
    let head =
        prove::head_of(&body.bytes, chain, key).map_err(|source| LedgerError::Head { chain: chain.clone(), source })?;
    Ok(Tip { newest: Some(head), precondition: Precondition::Unchanged(body.etag) })
}

/// An entry that stands where the next one would, if it goes on from where the head is.
fn unsigned(there: Option<Body>, next: &Entry) -> Result<(Entry, Sha256), LedgerError> {
    let broken =
        |what: &str| LedgerError::Broken { chain: next.chain.clone(), sequence: next.sequence, what: what.to_owned() };
    let body = there.ok_or_else(|| broken("the entry was there and is gone"))?;
    let entry: Entry = serde_json::from_slice(&body.bytes).map_err(|_| broken("it is not an entry"))?;
    let goes_on =
        entry.chain == next.chain && entry.sequence == next.sequence && entry.previous_sha256 == next.previous_sha256;
    if goes_on { Ok((entry, Sha256::of(&body.bytes))) } else { Err(broken("it does not go on from the signed head")) }
}

/// Makes `entry` the newest signed one. That somebody else was faster is as good: they sign the same.
async fn sign(
    records: &impl Store,
    signer: &dyn Signer,
    chain: &Chain,
    entry: &Entry,
    sha256: Sha256,
    precondition: &Precondition,
) -> Result<(), LedgerError> {
    let name = RecordKey::LedgerEntry(chain.clone(), entry.sequence).to_string();
    let subject = Subject { name, digest: Digest::Sha256(sha256) };
    let predicate = LedgerHead { chain: chain.clone(), sequence: entry.sequence, recorded_at: entry.recorded_at };
    let head = Statement::new(vec![subject], predicate).sign(signer).await?;
    let key = RecordKey::LedgerHead(chain.clone()).to_string();
    records.put(&key, &head.dsse, "application/json", precondition).await?;
    Ok(())
}

/// The event among the newest entries, back to `since`.
async fn find(
    records: &impl Store,
    chain: &Chain,
    tip: &Tip,
    id: &str,
    since: Timestamp,
) -> Result<Option<Appended>, LedgerError> {
    let earliest = since.saturating_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
    let mut sequence = tip.newest.as_ref().map_or(0, |it| it.sequence);
    while sequence > 0 {
        let Some(found) = prove::entry_at(records, chain, sequence).await? else { break };
        match &found.entry {
            Some(entry) if entry.event.id == id => {
                return Ok(Some(Appended { sequence, sha256: found.sha256 }));
            }
            Some(entry) if entry.recorded_at >= earliest => sequence -= 1,
            _ => break,
        }
    }
    Ok(None)
}
