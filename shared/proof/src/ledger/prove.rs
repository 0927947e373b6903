//! Proving a chain again: every link, the signed head, and the records that the entries name.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{ids::Sha256, store_key::RecordKey};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{Appended, Chain, Entry, LedgerHead, MAX_BYTES, Standing};
use crate::{Digest, Envelope, InvalidAttestation, LastEntry, PublicKey, Statement, TrustedKeys};

/// How often a chain is read again because somebody appended to it meanwhile.
const MAX_LOOKS: u32 = 16;

/// The largest record that an entry names, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024 * 1024;

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place, by its key.
    pub sequence: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they say; `None` where they are no entry.
    pub entry: Option<Entry>,
}

impl StoredEntry {
    /// The entry at a place, by its bytes.
    #[must_use]
    pub fn of(sequence: u64, bytes: Vec<u8>) -> Self {
        Self { sequence, sha256: Sha256::of(&bytes), entry: serde_json::from_slice(&bytes).ok(), bytes }
    }
}

/// A head that somebody kept, against which a tail that was removed later shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept(pub Vec<u8>);

/// What proving a chain came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The chain.
    pub chain: Chain,
    /// The first place that was looked at.
    pub first: u64,
    /// The newest signed place; 0 where the chain is empty.
    pub newest: u64,
    /// The first break; `None` where everything holds.
    pub broken: Option<Break>,
}

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// The place; 0 for the head.
    pub sequence: u64,
    /// What is wrong, in words.
    pub what: String,
}

impl Proof {
    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_none()
    }
}

/// What a signed head of `chain` is about, that somebody kept or the witness has.
///
/// # Errors
/// [`InvalidAttestation`] where it is no head of this chain that one of `keys` signed.
pub fn head_of(dsse: &[u8], chain: &Chain, keys: &TrustedKeys) -> Result<Appended, InvalidAttestation> {
    open(dsse, chain, keys, true).map(|opened| opened.about)
}

/// A head whose signature counts.
struct Opened<'a> {
    about: Appended,
    held: LedgerHead,
    signer: &'a PublicKey,
}

/// The same, with all that the head says. Of the chain's own head a revoked key's counts only where it is the last one;
/// `is_seen` takes an earlier one.
fn open<'a>(
    dsse: &[u8],
    chain: &Chain,
    keys: &'a TrustedKeys,
    is_seen: bool,
) -> Result<Opened<'a>, InvalidAttestation> {
    let (statement, signer) = Statement::<LedgerHead>::open_unproved(&Envelope::parse(dsse)?, keys)?;
    let malformed = |what: &str| InvalidAttestation::Malformed(what.to_owned());
    if statement.predicate.chain != *chain {
        return Err(malformed("it is the head of another chain"));
    }
    let held = statement.predicate;
    let sequence = held.sequence;
    let sha256 = match statement.subject.as_slice() {
        [subject] if subject.name == RecordKey::LedgerEntry(chain.clone(), sequence).to_string() => {
            match &subject.digest {
                Digest::Sha256(sha256) => *sha256,
                Digest::GitCommit(_) => return Err(malformed("it is not about an entry")),
            }
        }
        _ => return Err(malformed("it is not about one entry")),
    };
    signer.vouches_for_head(chain, &LastEntry { sequence, sha256 }, held.recorded_at, is_seen)?;
    if let Some(to) = held.standing.as_ref().and_then(|it| it.handed_over_to)
        && to != signer.key.fingerprint()
    {
        return Err(malformed("the chain was handed over to another key than the one that signed it"));
    }
    Ok(Opened { about: Appended { sequence, sha256 }, held, signer: &signer.key })
}

/// The newest entry of `chain`, as its signed head holds it, and the key that signed that.
pub(super) fn newest_signed<'a>(
    dsse: &[u8],
    chain: &Chain,
    keys: &'a TrustedKeys,
) -> Result<(StoredEntry, &'a PublicKey), InvalidAttestation> {
    let Opened { about, held, signer } = open(dsse, chain, keys, false)?;
    let newest = StoredEntry::of(about.sequence, held.entry.into_bytes());
    if newest.sha256 == about.sha256 && newest.entry.is_some() {
        Ok((newest, signer))
    } else {
        Err(InvalidAttestation::Malformed("it is about another entry than the one that it holds".to_owned()))
    }
}

/// What the present head of `chain` is about, and the key that signed it.
///
/// # Errors
/// [`InvalidAttestation`] as [`newest_of`].
pub fn signed_head<'a>(
    dsse: &[u8],
    chain: &Chain,
    keys: &'a TrustedKeys,
) -> Result<(Appended, &'a PublicKey), InvalidAttestation> {
    open(dsse, chain, keys, false).map(|opened| (opened.about, opened.signer))
}

/// The newest entry of `chain`, as its signed head holds it.
///
/// # Errors
/// [`InvalidAttestation`] as [`head_of`], and where the head holds another entry than it is about.
pub fn newest_of(dsse: &[u8], chain: &Chain, keys: &TrustedKeys) -> Result<StoredEntry, InvalidAttestation> {
    newest_signed(dsse, chain, keys).map(|(newest, _)| newest)
}

/// What a signed head of `chain` says to hold by all entries; `None` where it is of before heads told it.
///
/// # Errors
/// [`InvalidAttestation`] as [`head_of`].
pub fn standing_in(dsse: &[u8], chain: &Chain, keys: &TrustedKeys) -> Result<Option<Standing>, InvalidAttestation> {
    open(dsse, chain, keys, false).map(|opened| opened.held.standing)
}

/// What a head says to hold by all entries, whoever signed it: of use only for showing it to who can't verify it.
#[must_use]
pub fn unproved_standing_in(dsse: &[u8]) -> Option<Standing> {
    let payload = Envelope::parse(dsse).ok()?.payload().ok()?;
    serde_json::from_slice::<Statement<LedgerHead>>(&payload).ok()?.predicate.standing
}

/// Proves the entries of a chain from the first that is given: each goes on from the one before, and the head is about the last
/// of them. `entries` are in any order; a slice of a chain is proved as far as it goes.
#[must_use]
pub fn prove(
    chain: &Chain,
    mut entries: Vec<StoredEntry>,
    head: Option<&[u8]>,
    kept: Option<&Kept>,
    keys: &TrustedKeys,
) -> Proof {
    entries.sort_by_key(|it| it.sequence);
    let first = entries.first().map_or(1, |it| it.sequence);
    let mut proof = Proof { chain: chain.clone(), first, newest: 0, broken: None };
    let broken = |proof: Proof, sequence, what: String| Proof { broken: Some(Break { sequence, what }), ..proof };

    let head = match head {
        None if entries.is_empty() && kept.is_none() => return proof,
        None => return broken(proof, 0, "there is no signed head".to_owned()),
        Some(head) => match open(head, chain, keys, false) {
            Ok(head) => head,
            Err(error) => return broken(proof, 0, format!("the head: {error}")),
        },
    };
    let (signer, head) = (head.signer.fingerprint(), head.about);
    proof.newest = head.sequence;
    let mut before: Option<&StoredEntry> = None;
    let mut handed_over_to = None;
    for (expected, stored) in (first..).zip(&entries) {
        if stored.sequence != expected {
            return broken(proof, expected, "the entry is missing".to_owned());
        }
        if let Err(what) = goes_on(chain, stored, before) {
            return broken(proof, expected, what);
        }
        let hand_over = stored.entry.as_ref().and_then(|entry| entry.event.hand_over.as_ref());
        if let Some(hand_over) = hand_over {
            if handed_over_to.is_some_and(|to| to != hand_over.from) {
                let what = "it hands the chain over from another key than the one that it was handed over to before";
                return broken(proof, expected, what.to_owned());
            }
            handed_over_to = Some(hand_over.to);
        }
        if expected > head.sequence {
            return broken(
                proof,
                expected,
                format!("nobody has signed it: the signed head is about {}", head.sequence),
            );
        }
        if expected == head.sequence && stored.sha256 != head.sha256 {
            return broken(proof, expected, "it is not the entry that the head was signed over".to_owned());
        }
        before = Some(stored);
    }
    let last = before.map_or(0, |it| it.sequence);
    if last < head.sequence {
        return broken(
            proof,
            last + 1,
            format!("the entry is missing: the signed head says that there are {}", head.sequence),
        );
    }
    if let Some(to) = handed_over_to.filter(|to| *to != signer) {
        let what = format!("the head: the chain was handed over to the key `{to}`, and `{signer}` signed it");
        return broken(proof, 0, what);
    }
    match kept.map(|kept| head_of(&kept.0, chain, keys)) {
        None => proof,
        Some(Err(error)) => broken(proof, 0, format!("the head that was kept: {error}")),
        Some(Ok(kept)) => {
            let there = entries.iter().find(|it| it.sequence == kept.sequence);
            if kept.sequence > head.sequence {
                let what = format!("the tail was removed: a head that was kept says that there were {}", kept.sequence);
                broken(proof, head.sequence + 1, what)
            } else if kept.sequence >= first && there.is_none_or(|it| it.sha256 != kept.sha256) {
                broken(
                    proof,
                    kept.sequence,
                    "it is not the entry that the head that was kept was signed over".to_owned(),
                )
            } else {
                proof
            }
        }
    }
}

/// The same of a whole chain, whose first entry must be there.
#[must_use]
pub fn prove_whole(
    chain: &Chain,
    entries: Vec<StoredEntry>,
    head: Option<&[u8]>,
    kept: Option<&Kept>,
    keys: &TrustedKeys,
) -> Proof {
    let proof = prove(chain, entries, head, kept, keys);
    let is_cut = proof.first > 1 && proof.broken.as_ref().is_none_or(|broken| broken.sequence > 0);
    let missing = || Break { sequence: 1, what: "the entry is missing".to_owned() };
    Proof { broken: if is_cut { Some(missing()) } else { proof.broken }, ..proof }
}

fn goes_on(chain: &Chain, stored: &StoredEntry, before: Option<&StoredEntry>) -> Result<(), String> {
    let Some(entry) = &stored.entry else { return Err("it is not an entry".to_owned()) };
    if entry.chain != *chain || entry.sequence != stored.sequence {
        return Err(format!("it is entry {} of the chain `{}`", entry.sequence, entry.chain));
    }
    match (before, entry.previous_sha256) {
        (None, None) if stored.sequence == 1 => Ok(()),
        // The first of a slice: what is before it was not looked at.
        (None, Some(_)) if stored.sequence > 1 => Ok(()),
        (Some(before), Some(previous)) if before.sha256 == previous => Ok(()),
        _ => Err("it does not carry the SHA-256 of the entry before: one of the two was changed".to_owned()),
    }
}

/// Reads the entry at a place.
///
/// # Errors
/// [`StoreError`] where it could not look.
pub async fn entry_at(
    records: &impl ReadStore,
    chain: &Chain,
    sequence: u64,
) -> Result<Option<StoredEntry>, StoreError> {
    let key = RecordKey::LedgerEntry(chain.clone(), sequence).to_string();
    match records.get(&key, None, MAX_BYTES).await {
        // Nobody signs so long an entry.
        Err(error) if error.is_too_large() => Ok(Some(StoredEntry::of(sequence, Vec::new()))),
        body => Ok(body?.map(|body| StoredEntry::of(sequence, body.bytes))),
    }
}

/// Reads a chain's head and its entries from `first` to the newest, and what stands behind it, which nobody has signed: in two
/// dependent round trips, unless somebody appends meanwhile.
///
/// # Errors
/// [`StoreError`] where it could not look.
pub async fn read_since(
    records: &impl ReadStore,
    chain: &Chain,
    first: u64,
    keys: &TrustedKeys,
) -> Result<(Vec<StoredEntry>, Option<Vec<u8>>), StoreError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let read_head = async || Ok::<_, StoreError>(records.get(&head_key, None, MAX_BYTES).await?.map(|body| body.bytes));
    let mut head = read_head().await?;
    let mut looks = 0;
    loop {
        looks += 1;
        let newest = head.as_ref().and_then(|head| newest_of(head, chain, keys).ok());
        let place = newest.as_ref().map_or(0, |it| it.sequence);
        let mut stored = entries(records, chain, first..=place.saturating_add(1)).await?;
        if stored.last().is_some_and(|last| last.sequence > place) {
            let now = read_head().await?;
            if now != head && looks < MAX_LOOKS {
                head = now;
                continue;
            }
            if now != head {
                stored.retain(|it| it.sequence <= place);
            }
        }
        // A writer that was killed before it wrote the entry left the entry in the head.
        if let Some(newest) = newest.filter(|it| it.sequence >= first)
            && !stored.iter().any(|it| it.sequence == newest.sequence)
        {
            stored.push(newest);
        }
        return Ok((stored, head));
    }
}

async fn entries(
    records: &impl ReadStore,
    chain: &Chain,
    places: impl Iterator<Item = u64>,
) -> Result<Vec<StoredEntry>, StoreError> {
    stream::iter(places)
        .map(|sequence| entry_at(records, chain, sequence))
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(|entry| async move { Ok(entry) })
        .try_collect()
        .await
}

/// Proves a whole chain as it is stored, with the records that its entries name.
///
/// # Errors
/// [`StoreError`] where it could not look; that the chain is broken is an answer.
pub async fn verify(
    records: &impl ReadStore,
    chain: &Chain,
    kept: Option<&Kept>,
    keys: &TrustedKeys,
) -> Result<Proof, StoreError> {
    let (stored, head) = read_since(records, chain, 1, keys).await?;
    let named = stored.iter().filter_map(|it| Some((it.sequence, it.entry.as_ref()?.event.record.clone()?)));
    let named: Vec<_> = named.collect();
    let mut proof = prove_whole(chain, stored, head.as_deref(), kept, keys);
    let changed = stream::iter(named)
        .map(|(sequence, record)| async move {
            let there = records.get(&record.key, record.version_id.as_ref(), MAX_RECORD_BYTES).await?;
            let what = match there.map(|body| Sha256::of(&body.bytes)) {
                Some(found) if found == record.sha256 => return Ok(None),
                Some(_) => format!("the record `{}` is not the one that the entry was written about", record.key),
                None => format!("the record `{}` that it names is gone", record.key),
            };
            Ok::<_, StoreError>(Some(Break { sequence, what }))
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect::<Vec<_>>()
        .await?;
    let first = changed.into_iter().next();
    proof.broken = match (proof.broken, first) {
        (Some(link), Some(record)) if record.sequence < link.sequence => Some(record),
        (link, record) => link.or(record),
    };
    Ok(proof)
}
