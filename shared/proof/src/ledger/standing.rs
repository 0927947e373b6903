//! What holds by all entries of a chain, which its signed head tells, so that one read is enough to know it.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    ids::{CommitSha, Sha256, VersionId, WaiverId},
    store_key::RecordKey,
};
use gatekeeper_store::{ReadStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{Chain, Event, Hold, Kind, RecordDigest, Waiver, prove};
use crate::{InvalidAttestation, TrustedKeys};

/// What holds by all entries of a chain. Records beside the ledger say the same, and whoever may write them could put
/// back an older one: what the head signs can only be put back with the head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The versions of manifests that were taken back, by their commits: in a chain of the gate's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<CommitSha, BTreeSet<VersionId>>,
    /// The document that tells what the stage runs, as the promotion that was recorded last left it: in a chain of a
    /// stage's. None where that promotion was recorded before heads told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_record: Option<RecordDigest>,
    /// What holds the stage: in a chain of what holds a stage. None where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What two people waive of the stage's rules, also where its time is over since: in a chain of what holds a stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waivers: BTreeMap<WaiverId, Waiver>,
    /// The fingerprint of the key that the chain was handed over to last: no other signs it from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over_to: Option<Sha256>,
}

impl Standing {
    /// What holds after one more event.
    #[must_use]
    pub fn after(mut self, event: &Event) -> Self {
        if let Some((commit, manifest)) = event.takes_back() {
            self.revoked.entry(commit.clone()).or_default().insert(manifest);
        }
        if event.stage_record.is_some() {
            self.stage_record.clone_from(&event.stage_record);
        }
        match (event.kind, &event.hold) {
            (Kind::Hold, Some(hold)) => self.hold = Some(hold.clone()),
            // Told late, a release is of the hold that it names and of none that came after it.
            (Kind::Release, Some(released)) => self.hold = self.hold.filter(|standing| standing.id != released.id),
            _ => {}
        }
        match (event.kind, &event.waiver) {
            (Kind::Waiver, Some(waiver)) => {
                // The head stays small: what was over before somebody waived anew, only the entries tell.
                self.waivers.retain(|_, before| before.until > waiver.agreed_at);
                self.waivers.insert(waiver.id.clone(), (**waiver).clone());
            }
            (Kind::WaiverEnd, Some(ended)) => drop(self.waivers.remove(&ended.id)),
            _ => {}
        }
        if let Some(hand_over) = &event.hand_over {
            self.handed_over_to = Some(hand_over.to);
        }
        self
    }

    /// Whether a version of a commit's manifest was taken back.
    #[must_use]
    pub fn revokes(&self, commit: &CommitSha, manifest_version_id: &VersionId) -> bool {
        self.revoked.get(commit).is_some_and(|versions| versions.contains(manifest_version_id))
    }
}

impl Event {
    /// The commit and the version of its manifest that a revocation takes back.
    fn takes_back(&self) -> Option<(&CommitSha, VersionId)> {
        let commit = self.commit_sha.as_ref().filter(|_| self.kind == Kind::Revocation)?;
        if let Some(manifest) = &self.manifest_version_id {
            return Some((commit, manifest.clone()));
        }
        // Entries of before the version had a place of its own have it in their id.
        let told = self.id.strip_prefix("revocation/")?.strip_prefix(commit.as_str())?.strip_prefix('/')?;
        Some((commit, told.strip_suffix("/unreadable").unwrap_or(told).into()))
    }
}

/// Why it can't be told what holds by a chain.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// The bucket could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The head is none that was signed.
    #[error("the head of the ledger's chain `{chain}` proves nothing, see `gatekeeper ledger verify`")]
    Head {
        /// The chain.
        chain: Chain,
        /// What is wrong with it.
        #[source]
        source: InvalidAttestation,
    },
    /// The entries below a head of before heads told it don't hold.
    #[error("the ledger's chain `{chain}` is broken at {sequence}: {what}; see `gatekeeper ledger verify`")]
    Broken {
        /// The chain.
        chain: Chain,
        /// The place.
        sequence: u64,
        /// What is wrong.
        what: String,
    },
}

/// Reads what holds by a chain; of one that nobody has written to, nothing. One read, unless the head is of before heads
/// told it: then every entry of a chain of the gate's is read once, which tell it as well.
///
/// # Errors
/// [`StandingError`] where it can't be told.
pub async fn standing(records: &impl ReadStore, chain: &Chain, keys: &TrustedKeys) -> Result<Standing, StandingError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    match records.get(&head_key, None, super::MAX_BYTES).await? {
        Some(head) => standing_of(records, &head.bytes, chain, keys).await,
        None => Ok(Standing::default()),
    }
}

/// The same by a head that was read already.
///
/// # Errors
/// [`StandingError`] where it can't be told.
pub async fn standing_of(
    records: &impl ReadStore,
    head: &[u8],
    chain: &Chain,
    keys: &TrustedKeys,
) -> Result<Standing, StandingError> {
    let told =
        prove::standing_in(head, chain, keys).map_err(|source| StandingError::Head { chain: chain.clone(), source })?;
    match told {
        Some(standing) => Ok(standing),
        None if chain.is_of_gate() => by_entries(records, chain, keys).await,
        // What a stage runs no entry of before told.
        None => Ok(Standing::default()),
    }
}

async fn by_entries(records: &impl ReadStore, chain: &Chain, keys: &TrustedKeys) -> Result<Standing, StandingError> {
    let (entries, head) = prove::read_since(records, chain, 1, keys).await?;
    let events: Vec<_> = entries.iter().filter_map(|stored| Some(stored.entry.as_ref()?.event.clone())).collect();
    let proof = prove::prove_whole(chain, entries, head.as_deref(), None, keys);
    if let Some(prove::Break { sequence, what }) = proof.broken {
        return Err(StandingError::Broken { chain: chain.clone(), sequence, what });
    }
    Ok(events.iter().fold(Standing::default(), Standing::after))
}
