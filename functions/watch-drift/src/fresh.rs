//! Stating which entries of the ledger are the newest, where nothing was found against it: so that whoever is given evidence
//! sees how old it is at most.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures_util::future::try_join3;
use gatekeeper_model::{
    finding::Code,
    ids::{Chain, Repo, StageName},
    store_key::RecordKey,
};
use gatekeeper_proof::{
    Authority, PublicKeys, Signer,
    freshness::{STATED_EVERY, Stated, chains, open, statement},
    ledger,
    ledger::Appended,
    stage_repositories,
};
use gatekeeper_store::{Precondition, WriteStore, Written};
use jiff::Timestamp;

/// Whether the chain is one of which nobody can tell where it ends.
pub(crate) fn is_in_doubt(findings: impl IntoIterator<Item = Code>) -> bool {
    findings.into_iter().any(|code| {
        matches!(code, Code::LedgerBroken | Code::LedgerRolledBack | Code::WitnessBehind | Code::WitnessUnreachable)
    })
}

/// States it at `now`, where that was not stated lately. Gives what was stated.
///
/// # Errors
/// Where it could not look, sign or write, and where a chain ends before what was stated earlier: somebody removed entries.
pub(crate) async fn state(
    records: &impl WriteStore,
    signer: &dyn Signer,
    chain: &Chain,
    keys: &PublicKeys,
    now: Timestamp,
) -> anyhow::Result<Option<[Option<Appended>; 2]>> {
    let key = RecordKey::Freshness(chain.stage.clone(), chain.repo.clone()).to_string();
    let [of_stage, of_gate] = chains(chain);
    let newest = async |chain: &Chain| {
        let head = RecordKey::LedgerHead(chain.clone()).to_string();
        let Some(head) = records.get(&head, None, ledger::MAX_BYTES).await? else { return Ok(None) };
        let newest = ledger::newest_of(&head.bytes, chain, keys.of(Authority::of(chain)));
        anyhow::Ok(Some(newest.with_context(|| format!("the head of `{chain}`"))?))
    };
    let before = async { Ok(records.get(&key, None, gatekeeper_proof::MAX_BYTES).await?) };
    let (stage_newest, gate_newest, before) = try_join3(newest(&of_stage), newest(&of_gate), before).await?;
    let precondition = before.as_ref().map_or(Precondition::Absent, |body| Precondition::Unchanged(body.etag.clone()));
    // What can't be read was planted, or signed by a key that counts no more: it is stated anew.
    let before = before.and_then(|body| open(&body.bytes, chain, keys).ok());
    let ours = [stage_newest, gate_newest];
    if let Some(before) = &before {
        for ((chain, newest), stated) in [&of_stage, &of_gate].into_iter().zip(&ours).zip(&before.newest) {
            let found = match stated {
                Some(stated) => ledger::entry_at(records, chain, stated.sequence).await?,
                None => None,
            };
            // The newest entry may be in the head alone.
            let found = found
                .as_ref()
                .or(newest.as_ref())
                .filter(|it| stated.as_ref().is_some_and(|stated| stated.sequence == it.sequence));
            let ends_at = newest.as_ref().map_or(0, |it| it.sequence);
            if let Some(what) = before.contradicts(stated.as_ref(), found.map(|it| it.sha256), ends_at) {
                anyhow::bail!("the ledger's chain `{chain}` was rolled back: {what}");
            }
        }
    }
    let newest = ours.map(|newest| newest.map(|it| Appended { sequence: it.sequence, sha256: it.sha256 }));
    let is_recent = |it: &Stated| it.newest == newest && now.duration_since(it.at) < STATED_EVERY;
    if newest == [None, None] || before.as_ref().is_some_and(is_recent) {
        return Ok(None);
    }
    let signed = statement(chain, newest.each_ref().map(Option::as_ref), now).sign(signer).await?;
    // Where another run was faster, that one has stated it.
    let written = records.put(&key, &signed.dsse, "application/json", &precondition).await?;
    Ok(matches!(written, Written::Done { .. }).then_some(newest))
}

/// States which repositories a stage has, where that was not stated lately. Gives whether it was.
///
/// # Errors
/// Where it could not look, sign or write, where the head of a chain proves nothing, and where a repository is gone that was
/// stated earlier.
pub(crate) async fn state_repositories(
    records: &impl WriteStore,
    signer: &dyn Signer,
    stage: &StageName,
    keys: &PublicKeys,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let key = RecordKey::StageRepositories(stage.clone()).to_string();
    let before = records.get(&key, None, gatekeeper_proof::MAX_BYTES).await?;
    let precondition = before.as_ref().map_or(Precondition::Absent, |body| Precondition::Unchanged(body.etag.clone()));
    let before = before.and_then(|body| stage_repositories::open(&body.bytes, stage, keys).ok());
    let mut newest = BTreeMap::new();
    for repo in records.folders(&RecordKey::ledgers_prefix(Some(stage))).await? {
        let Ok(repo) = repo.parse::<Repo>() else { continue };
        let chain = Chain { stage: stage.clone(), repo: repo.clone() };
        let head = RecordKey::LedgerHead(chain.clone()).to_string();
        let Some(head) = records.get(&head, None, ledger::MAX_BYTES).await? else { continue };
        let head = ledger::head_of(&head.bytes, &chain, &keys.promotion);
        newest.insert(repo, head.with_context(|| format!("the head of `{chain}`"))?);
    }
    if let Some(before) = &before {
        let gone: Vec<_> = before.repositories.iter().filter(|repo| !newest.contains_key(*repo)).collect();
        anyhow::ensure!(
            gone.is_empty(),
            "the ledger of {gone:?} on `{stage}` is gone, which was there at {:.0}",
            before.stated_at
        );
        let is_same = before.repositories.iter().eq(newest.keys());
        if is_same && now.duration_since(before.stated_at) < STATED_EVERY {
            return Ok(false);
        }
    }
    if newest.is_empty() {
        return Ok(false);
    }
    let signed = stage_repositories::statement(stage, &newest, now).sign(signer).await?;
    let written = records.put(&key, &signed.dsse, "application/json", &precondition).await?;
    Ok(matches!(written, Written::Done { .. }))
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::ids::Sha256;
    use gatekeeper_proof::{
        LocalSigner,
        ledger::{Event, Kind},
    };
    use gatekeeper_store::memory::Memory;
    use jiff::SignedDuration;

    use super::*;

    fn uat() -> Chain {
        Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() }
    }

    fn keys() -> PublicKeys {
        PublicKeys::fixed(LocalSigner::from_seed(1).key(), LocalSigner::from_seed(2).key(), None)
    }

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    async fn append(records: &Memory, chain: &Chain) {
        let seed = if chain.is_of_gate() { 1 } else { 2 };
        let event = Event::bare(Kind::Refusal, format!("refusal/{}", records.counts().0), "refused");
        ledger::append(records, &LocalSigner::from_seed(seed), chain, &event, None, minute(0)).await.unwrap();
    }

    async fn places(records: &Memory, at: Timestamp) -> anyhow::Result<Option<[u64; 2]>> {
        let stated = state(records, &LocalSigner::from_seed(2), &uat(), &keys(), at).await?;
        Ok(stated.map(|it| it.map(|it| it.map_or(0, |it| it.sequence))))
    }

    #[tokio::test]
    async fn it_is_stated_when_it_changes_and_once_an_hour() {
        let records = Memory::default();
        assert_eq!(places(&records, minute(0)).await.unwrap(), None, "there is no ledger yet");
        append(&records, &uat()).await;
        assert_eq!(places(&records, minute(0)).await.unwrap(), Some([1, 0]));
        assert_eq!(places(&records, minute(59)).await.unwrap(), None);
        append(&records, &Chain::of_gate(uat().repo)).await;
        assert_eq!(places(&records, minute(59)).await.unwrap(), Some([1, 1]));
        assert_eq!(places(&records, minute(119)).await.unwrap(), Some([1, 1]));
        let key = RecordKey::Freshness(uat().stage, uat().repo).to_string();
        let stated = open(&records.bytes_of(&key).unwrap(), &uat(), &keys()).unwrap();
        assert_eq!((stated.at, stated.fresh_until), (minute(119), minute(119 + 180)));
        // What was planted there counts for nothing, and is no reason to be silent.
        records.upload(&key, b"{}", &[]);
        assert_eq!(places(&records, minute(120)).await.unwrap(), Some([1, 1]));
    }

    #[tokio::test]
    async fn a_chain_that_was_rolled_back_is_not_stated_but_told() {
        let records = Memory::default();
        append(&records, &uat()).await;
        let head = RecordKey::LedgerHead(uat()).to_string();
        let old = records.bytes_of(&head).unwrap();
        append(&records, &uat()).await;
        places(&records, minute(0)).await.unwrap();
        records.upload(&head, &old, &[]);
        records.delete(&RecordKey::LedgerEntry(uat(), 2).to_string());
        let error = places(&records, minute(15)).await.unwrap_err().to_string();
        assert!(error.contains("was rolled back: it ends with entry 1, and had entry 2"), "{error}");
        append(&records, &uat()).await; // and it goes on from there, with another entry 2
        append(&records, &uat()).await;
        let error = places(&records, minute(30)).await.unwrap_err().to_string();
        assert!(error.contains("was rolled back: its entry 2 is `"), "{error}");
        assert_ne!(records.bytes_of(&head).map(|it| Sha256::of(&it)), Some(Sha256::of(&old)));
    }

    #[tokio::test]
    async fn the_repositories_of_a_stage_are_stated_and_one_that_is_gone_is_told() {
        let records = Memory::default();
        let stage = uat().stage;
        let state = async |at| state_repositories(&records, &LocalSigner::from_seed(2), &stage, &keys(), at).await;
        assert!(!state(minute(0)).await.unwrap(), "there is none");
        append(&records, &uat()).await;
        assert!(state(minute(0)).await.unwrap());
        let core = Chain { stage: stage.clone(), repo: "bank-core".parse().unwrap() };
        append(&records, &core).await;
        assert_eq!((state(minute(15)).await.unwrap(), state(minute(30)).await.unwrap()), (true, false));
        assert!(state(minute(75)).await.unwrap());
        let key = RecordKey::StageRepositories(stage.clone()).to_string();
        let stated = stage_repositories::open(&records.bytes_of(&key).unwrap(), &stage, &keys()).unwrap();
        assert_eq!((stated.repositories.len(), stated.stated_at), (2, minute(75)));
        for left in [RecordKey::LedgerHead(core.clone()), RecordKey::LedgerEntry(core, 1)] {
            records.delete(&left.to_string());
        }
        let error = state(minute(90)).await.unwrap_err().to_string();
        assert!(error.starts_with("the ledger of [") && error.contains("bank-core"), "{error}");
    }

    #[test]
    fn nothing_is_stated_of_a_ledger_in_doubt() {
        assert!(is_in_doubt([Code::FunctionChanged, Code::WitnessUnreachable]));
        assert!(!is_in_doubt([Code::FunctionChanged]));
    }
}
