//! Giving the witness a head, by the function that alone may write there.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    ids::{Chain, VersionId},
    store_key::{RecordKey, WitnessKey},
};
use gatekeeper_store::{CALLS_IN_FLIGHT, Precondition, ReadStore, StoreError, WriteStore, Written};

use super::differs;
use crate::{
    InvalidAttestation, TrustedKeys,
    ledger::{self, Appended, MAX_BYTES, StoredEntry},
};

/// What became of a head that the witness was to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// The witness has it, as the newest.
    Over(u64),
    /// The witness has it already, or a later one that goes on from it.
    Before(u64),
    /// There is no such head.
    Nothing,
}

/// Why the witness was not given a head.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// A bucket could not be looked at or written to.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no head that was signed.
    #[error("what lies there as the head of the ledger's chain `{chain}` proves nothing")]
    Head {
        /// The chain.
        chain: Chain,
        /// What is wrong with it.
        #[source]
        source: InvalidAttestation,
    },
    /// The witness has what does not lie in its layout, or is no head of this chain.
    #[error("the witness has `{key}`, which is no head of the ledger's chain `{chain}`")]
    Witness {
        /// The chain.
        chain: Chain,
        /// The key in the witness's bucket.
        key: String,
    },
    /// The head is of a chain that is not the one that the witness has seen.
    #[error("the ledger's chain `{chain}` was rolled back: {what}")]
    RolledBack {
        /// The chain.
        chain: Chain,
        /// Where it differs.
        what: String,
    },
}

/// Gives the witness a version of a chain's head, or the newest, where the head goes on from what the witness has.
///
/// # Errors
/// [`HandOverError`] where the witness doesn't have it.
pub async fn hand_over(
    records: &impl ReadStore,
    witness: &impl WriteStore,
    chain: &Chain,
    version_id: Option<&VersionId>,
    keys: &TrustedKeys,
) -> Result<Handed, HandOverError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let Some(head) = records.get(&head_key, version_id, MAX_BYTES).await? else { return Ok(Handed::Nothing) };
    let ours = ledger::newest_of(&head.bytes, chain, keys)
        .map_err(|source| HandOverError::Head { chain: chain.clone(), source })?;
    let place = ours.sequence;
    let rolled_back = |what: String| Err(HandOverError::RolledBack { chain: chain.clone(), what });
    if let Some(seen) = newest(witness, chain, keys).await? {
        // An older head comes again, or late: it must be a part of what the witness has seen.
        if seen.sequence >= place {
            let there =
                if seen.sequence == place { Some(seen) } else { witnessed(witness, chain, place, keys).await? };
            return match there {
                Some(there) if there.sha256 != ours.sha256 => rolled_back(format!(
                    "entry {place} is `{}`, and the witness has seen `{}`",
                    ours.sha256, there.sha256
                )),
                _ => Ok(Handed::Before(place)),
            };
        }
        let since = entries(records, chain, seen.sequence..place).await?;
        if let Some(what) = differs(&ours, &seen, &since) {
            return rolled_back(what);
        }
    }
    let witness_key = WitnessKey::Head(chain.clone(), place).to_string();
    match witness.put(&witness_key, &head.bytes, "application/json", &Precondition::Absent).await? {
        Written::Done { .. } => Ok(Handed::Over(place)),
        // Another invocation was faster, with another signature over the same, or over something else.
        Written::Conflict => match witnessed(witness, chain, place, keys).await? {
            Some(there) if there.sha256 == ours.sha256 => Ok(Handed::Before(place)),
            _ => rolled_back(format!("entry {place} is `{}`, and the witness has seen another one", ours.sha256)),
        },
    }
}

/// The newest that the witness has of a chain.
async fn newest(
    witness: &impl ReadStore,
    chain: &Chain,
    keys: &TrustedKeys,
) -> Result<Option<Appended>, HandOverError> {
    let Some(first) = witness.first(&WitnessKey::chain_prefix(chain)).await? else { return Ok(None) };
    match WitnessKey::parse(&first) {
        Some(WitnessKey::Head(of, place)) if of == *chain => {
            let seen = witnessed(witness, chain, place, keys).await?;
            // What is listed and can't be read is not nothing.
            seen.map(Some).ok_or_else(|| HandOverError::Witness { chain: chain.clone(), key: first })
        }
        _ => Err(HandOverError::Witness { chain: chain.clone(), key: first }),
    }
}

/// What the witness has at a place.
async fn witnessed(
    witness: &impl ReadStore,
    chain: &Chain,
    place: u64,
    keys: &TrustedKeys,
) -> Result<Option<Appended>, HandOverError> {
    let witness_key = WitnessKey::Head(chain.clone(), place).to_string();
    let Some(body) = witness.get(&witness_key, None, MAX_BYTES).await? else { return Ok(None) };
    match ledger::head_of(&body.bytes, chain, keys) {
        Ok(head) if head.sequence == place => Ok(Some(head)),
        _ => Err(HandOverError::Witness { chain: chain.clone(), key: witness_key }),
    }
}

async fn entries(
    records: &impl ReadStore,
    chain: &Chain,
    places: std::ops::Range<u64>,
) -> Result<Vec<StoredEntry>, StoreError> {
    stream::iter(places)
        .map(|sequence| ledger::entry_at(records, chain, sequence))
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(|entry| async move { Ok(entry) })
        .try_collect()
        .await
}
