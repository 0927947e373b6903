//! Writing an entry: first the signed head with it, over the head before, then the entry by itself.

use futures_util::future::try_join;
use gatekeeper_model::{ids::Sha256, store_key::RecordKey};
use gatekeeper_store::{Precondition, ReadStore, StoreError, WriteStore, Written};
use jiff::{SignedDuration, Timestamp};

use super::{
    Chain, Entry, Event, LedgerHead, MAX_BYTES, Standing, StandingError, StoredEntry, prove, standing::standing_of,
};
use crate::{Digest, InvalidAttestation, PublicKey, Signer, SigningError, Statement, Subject, TrustedKeys};

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
    /// Another key signs the chain since it was handed over.
    #[error(
        "the ledger's chain `{chain}` was handed over from the key `{own}`, which this would be signed with: it is signed with \
         another one since; deploy the stack with the key that the trust root names"
    )]
    HandedOver {
        /// The chain.
        chain: Chain,
        /// The key that may not sign it any more.
        own: Sha256,
    },
    /// The entry is no JSON.
    #[error("an entry of the ledger could not be written as JSON")]
    Unwritable(#[source] serde_json::Error),
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
    /// What holds by the chain can't be told, so that no head can be signed that would tell it.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// Others wrote faster, again and again.
    #[error("the ledger's chain `{0}` is written to by too many at once")]
    Crowded(Chain),
}

impl LedgerError {
    /// Whether the chain itself doesn't hold: trying again changes nothing.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Head { .. } | Self::Broken { .. } => true,
            Self::Standing(error) => !matches!(error, StandingError::Store(_)),
            Self::Store(_) | Self::Signing(_) | Self::HandedOver { .. } | Self::Unwritable(_) | Self::Crowded(_) => {
                false
            }
        }
    }
}

/// Where an event stands in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub sequence: u64,
    /// The SHA-256 of the entry's bytes.
    pub sha256: Sha256,
}

/// The newest signed entry, what holds up to it, and what a write over the head compares.
struct Tip {
    newest: Option<StoredEntry>,
    /// The head, and the key that signed it, where that is another one than signs now.
    other: Option<(PublicKey, Vec<u8>)>,
    standing: Standing,
    precondition: Precondition,
}

/// Appends an event to a chain, once: an event of the same id that was recorded at or after `since` is found again. Without
/// `since` it is always a new one, whose id no other has.
///
/// Killed after the head and before the entry, it leaves an entry that only the head holds; who appends next writes it first.
///
/// # Errors
/// [`LedgerError`] where it could not be written, or where the chain is not whole.
pub async fn append(
    records: &impl WriteStore,
    signer: &dyn Signer,
    chain: &Chain,
    event: &Event,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Appended, LedgerError> {
    let (own, keys) = try_join(signer.public_key(), signer.trusted()).await?;
    for attempt in 0..MAX_ATTEMPTS {
        let tip = tip(records, &own, &keys, chain).await?;
        // Another entry on top of one's own, whose answer was lost, looks like somebody else's head.
        if let Some(since) = since.or_else(|| (attempt > 0).then_some(now))
            && let Some(found) = find(records, chain, &tip, &event.id, since).await?
        {
            return Ok(found);
        }
        // A chain that another key signed so far is handed over first.
        let hand_over = tip.other.as_ref().map(|(from, head)| Event::handed_over(from, &own, head));
        let entry = Entry {
            schema_version: 1,
            chain: chain.clone(),
            sequence: tip.newest.as_ref().map_or(1, |it| it.sequence + 1),
            previous_sha256: tip.newest.as_ref().map(|it| it.sha256),
            recorded_at: now,
            event: hand_over.clone().unwrap_or_else(|| event.clone().bounded()),
        };
        let text = serde_json::to_string_pretty(&entry).map_err(LedgerError::Unwritable)?;
        // What only the head holds must be written before the head moves on.
        let before = async {
            match &tip.newest {
                Some(newest) => write(records, chain, newest).await,
                None => Ok(()),
            }
        };
        let standing = tip.standing.clone().after(&entry.event);
        let (head, ()) = try_join(async { Ok(head(signer, &entry, &text, standing).await?) }, before).await?;
        let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
        if let Written::Done { .. } = records.put(&head_key, &head, "application/json", &tip.precondition).await? {
            let stored = StoredEntry::of(entry.sequence, text.into_bytes());
            write(records, chain, &stored).await?;
            if hand_over.is_some() {
                continue;
            }
            return Ok(Appended { sequence: stored.sequence, sha256: stored.sha256 });
        }
    }
    Err(LedgerError::Crowded(chain.clone()))
}

async fn tip(records: &impl ReadStore, own: &PublicKey, keys: &TrustedKeys, chain: &Chain) -> Result<Tip, LedgerError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let Some(body) = records.get(&head_key, None, MAX_BYTES).await? else {
        return Ok(Tip {
            newest: None,
            other: None,
            standing: Standing::default(),
            precondition: Precondition::Absent,
        });
    };
    let (newest, signer) = prove::newest_signed(&body.bytes, chain, keys)
        .map_err(|source| LedgerError::Head { chain: chain.clone(), source })?;
    let standing = standing_of(records, &body.bytes, chain, keys).await?;
    let other = (signer != own).then(|| (signer.clone(), body.bytes.clone()));
    // A chain goes on to later keys alone: what still signs with an earlier one is told.
    if other.is_some() && !keys.is_later(own, signer) {
        return Err(LedgerError::HandedOver { chain: chain.clone(), own: own.fingerprint() });
    }
    Ok(Tip { newest: Some(newest), other, standing, precondition: Precondition::Unchanged(body.etag) })
}

/// Writes a signed entry where it isn't yet.
async fn write(records: &impl WriteStore, chain: &Chain, signed: &StoredEntry) -> Result<(), LedgerError> {
    let key = RecordKey::LedgerEntry(chain.clone(), signed.sequence).to_string();
    if let Written::Done { .. } = records.put(&key, &signed.bytes, "application/json", &Precondition::Absent).await? {
        return Ok(());
    }
    match prove::entry_at(records, chain, signed.sequence).await? {
        Some(there) if there.sha256 == signed.sha256 => Ok(()),
        _ => Err(LedgerError::Broken {
            chain: chain.clone(),
            sequence: signed.sequence,
            what: "another entry stands there than the signed one".to_owned(),
        }),
    }
}

/// The signed head over an entry.
async fn head(signer: &dyn Signer, entry: &Entry, text: &str, standing: Standing) -> Result<Vec<u8>, SigningError> {
    let name = RecordKey::LedgerEntry(entry.chain.clone(), entry.sequence).to_string();
    let subject = Subject { name, digest: Digest::Sha256(Sha256::of(text.as_bytes())) };
    let predicate = LedgerHead {
        chain: entry.chain.clone(),
        sequence: entry.sequence,
        recorded_at: entry.recorded_at,
        entry: text.to_owned(),
        standing: Some(standing),
    };
    Ok(Statement::new(vec![subject], predicate).sign(signer).await?.dsse)
}

/// The event among the newest entries, back to `since`.
async fn find(
    records: &impl WriteStore,
    chain: &Chain,
    tip: &Tip,
    id: &str,
    since: Timestamp,
) -> Result<Option<Appended>, LedgerError> {
    let earliest = since.saturating_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
    let mut looked_at = tip.newest.clone();
    while let Some(StoredEntry { sequence, sha256, entry: Some(entry), .. }) = &looked_at {
        if entry.event.id == id {
            if let Some(newest) = tip.newest.as_ref().filter(|newest| newest.sequence == *sequence) {
                write(records, chain, newest).await?;
            }
            return Ok(Some(Appended { sequence: *sequence, sha256: *sha256 }));
        }
        if entry.recorded_at < earliest || *sequence == 1 {
            break;
        }
        looked_at = prove::entry_at(records, chain, sequence - 1).await?;
    }
    Ok(None)
}
