//! Whether what the records promise about a stage still holds: the attestation that its promotion rests on, and the
//! stage's chain of the ledger.

use std::collections::BTreeSet;

use gatekeeper_gate::attestation::TestResult;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, Sha256},
};
use gatekeeper_promotion::{
    drift::{ProvedLedger, promoted_digests},
    record::{PinnedRecord, PromotionRecord},
};
use gatekeeper_proof::{
    Digest, PublicKeys, Statement, ledger,
    ledger::{Break, Proof},
};
use gatekeeper_store::{ReadStore, StoreError};
use jiff::{SignedDuration, Timestamp};

/// How often a chain is proved from its first entry on; in between from where it was proved to.
const WHOLE_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// What is wrong with the attestation that a promotion rests on.
pub(crate) async fn attestation(
    records: &impl ReadStore,
    record: &PromotionRecord,
    keys: &PublicKeys,
) -> Result<Option<Finding>, StoreError> {
    // Records of before there were attestations name none.
    let Some(PinnedRecord { key, version_id, sha256 }) = &record.built_attestation else { return Ok(None) };
    let invalid = |message: String| Some(Finding::new(Code::AttestationInvalid, key.as_str(), message));
    let Some(body) = records.get(key, Some(version_id), gatekeeper_proof::MAX_BYTES).await? else {
        return Ok(invalid(format!("version `{version_id}`, which the promotion rests on, is gone")));
    };
    if Sha256::of(&body.bytes) != *sha256 {
        return Ok(invalid(format!("version `{version_id}` is not the one that the promotion rests on")));
    }
    let statement = match Statement::<TestResult>::open(&body.bytes, keys) {
        Ok(statement) => statement,
        Err(error) => return Ok(invalid(error.to_string())),
    };
    let attested: BTreeSet<_> = statement.subject.iter().map(|it| (it.name.as_str(), &it.digest)).collect();
    let promoted = promoted_digests(record);
    let unattested =
        promoted.iter().find(|(key, sha256)| !attested.contains(&(key.as_str(), &Digest::Sha256(**sha256))));
    Ok(unattested
        .and_then(|(key, _)| invalid(format!("it does not attest `{key}` as the record says it was promoted"))))
}

/// What is wrong with the stage's chain of the ledger, and how far it was proved.
pub(crate) async fn ledger(
    records: &impl ReadStore,
    chain: &Chain,
    before: Option<&ProvedLedger>,
    is_thorough: bool,
    keys: &PublicKeys,
    now: Timestamp,
) -> Result<(Option<Finding>, Option<ProvedLedger>), StoreError> {
    let key = keys.of(gatekeeper_proof::Authority::of(chain));
    let recent = before.filter(|before| !is_thorough && now.duration_since(before.proved_at) < WHOLE_EVERY);
    let first = recent.or(before).map_or(1, |it| it.sequence);
    let (entries, head) = ledger::read_since(records, chain, first, key).await?;
    // Where the proved part is no longer what it was, the chain was changed, whatever it says now.
    let there = entries.iter().find(|it| it.sequence == first).map(|it| it.sha256);
    let replaced = before.is_some_and(|before| there != Some(before.sha256));
    let newest = head.as_ref().and_then(|head| ledger::head_of(head, chain, key).ok());
    let proof = match recent {
        Some(_) => ledger::prove(chain, entries, head.as_deref(), None, key),
        None => ledger::verify(records, chain, None, key).await?,
    };
    let broken = match proof {
        Proof { broken: Some(broken), .. } => Some(broken),
        _ if replaced => {
            let what = "the entry that stood there when the chain was last proved is gone or was changed".to_owned();
            Some(Break { sequence: first, what })
        }
        _ => None,
    };
    match broken {
        Some(Break { sequence, what }) => {
            let place = if sequence == 0 { String::new() } else { format!("entry {sequence}: ") };
            let finding = Finding::new(Code::LedgerBroken, chain.to_string(), format!("{place}{what}"));
            Ok((Some(finding), before.cloned()))
        }
        None => {
            let proved_at = recent.map_or(now, |recent| recent.proved_at);
            let proved = newest.map(|it| ProvedLedger { sequence: it.sequence, sha256: it.sha256, proved_at });
            Ok((None, proved))
        }
    }
}

#[cfg(test)]
#[path = "proofs_tests.rs"]
mod tests;
