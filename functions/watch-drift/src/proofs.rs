//! Whether what the records promise about a stage still holds: the attestation that its promotion rests on, and the
//! stage's chain of the ledger.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use gatekeeper_gate::attestation::TestResult;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, Sha256, StageName},
    store_key::{RecordKey, WitnessKey},
    telemetry,
};
use gatekeeper_promotion::{
    drift::{ProvedLedger, promoted_digests},
    history::altered_record,
    record::{PinnedRecord, PromotionRecord},
};
use gatekeeper_proof::{
    Authority, Digest, PublicKeys, Statement, ledger,
    ledger::{Break, Proof, Standing, StandingError},
    witness,
};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, StoreError};
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

/// What the records say beside what the ledgers were signed over: where the document of what the stage runs is another one,
/// and which revocations the gate's own chain tells.
pub(crate) async fn signed(
    records: &impl ReadStore,
    chain: &Chain,
    state_sha256: Sha256,
    keys: &PublicKeys,
) -> Result<(Vec<Finding>, Standing), StoreError> {
    let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let gate_chain = Chain::of_gate(chain.repo.clone());
    let head = async { records.get(&head_key, None, ledger::MAX_BYTES).await };
    let revocations = async {
        match ledger::standing(records, &gate_chain, keys.of(Authority::Gate)).await {
            Ok(standing) => Ok((None, standing)),
            Err(StandingError::Store(error)) => Err(error),
            Err(error) => Ok((Some(broken_beside(&gate_chain, error.to_string())), Standing::default())),
        }
    };
    let (head, (broken, revocations)) = try_join(head, revocations).await?;
    let head = head.as_ref().map(|body| body.bytes.as_slice());
    let altered = altered_record(chain, Some(state_sha256), head, keys);
    Ok((altered.into_iter().chain(broken).collect(), revocations))
}

/// Where the stage's chain of the ledger, or the gate's own, is not the one that the witness outside has seen.
pub(crate) async fn witnessed(
    records: &impl ReadStore,
    witness: &impl ReadStore,
    chain: &Chain,
    keys: &PublicKeys,
    now: Timestamp,
) -> Result<Vec<Finding>, StoreError> {
    let gate_chain = Chain::of_gate(chain.repo.clone());
    let disagreement = async |chain| {
        let key = keys.of(Authority::of(chain));
        let look = witness::look_at(records, witness, chain, key).await?;
        Ok::<_, StoreError>(witness::compare(chain, &look, key, now))
    };
    let (of_stage, of_gate) = try_join(disagreement(chain), disagreement(&gate_chain)).await?;
    Ok(of_stage.into_iter().chain(of_gate).collect())
}

/// What the witness disagrees with in chains that no stage's look comes to: of stages that ran nothing, or whose document is
/// gone, and the gate's of repositories that were never promoted.
pub(crate) async fn elsewhere(
    records: &impl ReadStore,
    witness: &impl ReadStore,
    looked_at: &BTreeSet<Chain>,
    keys: &PublicKeys,
    now: Timestamp,
) -> Result<Vec<Finding>, StoreError> {
    let folders = match witness.folders(&WitnessKey::stage_prefix(None)).await {
        Ok(folders) => folders,
        Err(error) => return Ok(vec![unreachable(telemetry::chain(&error))]),
    };
    let mut chains = BTreeSet::new();
    for stage in folders.iter().filter_map(|stage| stage.parse::<StageName>().ok()) {
        match witness.folders(&WitnessKey::stage_prefix(Some(&stage))).await {
            Ok(repos) => chains
                .extend(repos.iter().filter_map(|repo| Some(Chain { stage: stage.clone(), repo: repo.parse().ok()? }))),
            Err(error) => return Ok(vec![unreachable(telemetry::chain(&error))]),
        }
    }
    stream::iter(chains.difference(looked_at))
        .map(|chain| async move {
            let key = keys.of(Authority::of(chain));
            let look = witness::look_at(records, witness, chain, key).await?;
            Ok(witness::compare(chain, &look, key, now))
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await
}

fn unreachable(why: String) -> Finding {
    Finding::new(Code::WitnessUnreachable, WitnessKey::stage_prefix(None), why)
}

/// What is wrong with a chain that is proved whole, or with the records that its entries name: revocations in the gate's own
/// chain of a repository, releases in that of what holds a stage.
pub(crate) async fn short_ledger(
    records: &impl ReadStore,
    chain: &Chain,
    keys: &PublicKeys,
) -> Result<Option<Finding>, StoreError> {
    let proof = ledger::verify(records, chain, None, keys.of(Authority::of(chain))).await?;
    Ok(proof.broken.map(|Break { sequence, what }| broken_beside(chain, format!("entry {sequence}: {what}"))))
}

fn broken_beside(chain: &Chain, what: String) -> Finding {
    Finding::new(Code::LedgerBroken, chain.to_string(), what)
}

#[cfg(test)]
#[path = "proofs_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "tampering_tests.rs"]
mod tampering;
