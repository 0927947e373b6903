//! That nothing was kept back: which entries are the newest of a stage's chain and of the gate's own, as somebody saw who may
//! sign, and for how long that counts.
//!
//! A head tells what was, and an old one doesn't look old. Who is given one and can't ask the store, or is shown an older
//! state of it, sees by this how old it is at most (TUF specification 1.0.33, "freeze attack": metadata must expire).

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{Chain, Sha256},
    store_key::RecordKey,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Authority, Digest, InvalidAttestation, Predicate, PublicKeys, Statement, Subject, WordOf, ledger::Appended,
};

/// How long a statement counts. Drift is watched four times an hour, so that a run that fails makes nothing stale.
pub const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(3);

/// After how long the same is stated again.
pub const STATED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// What is stated. Its subjects are the newest entries, by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freshness {
    /// The stage and the repository.
    #[serde(flatten)]
    pub chain: Chain,
    /// When it was so.
    pub stated_at: Timestamp,
    /// Until when it counts.
    pub fresh_until: Timestamp,
    /// The place of the newest entry of each chain, by the chain's name; 0 where it has none.
    pub newest: BTreeMap<String, u64>,
}

impl Predicate for Freshness {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/freshness/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}

impl WordOf for Freshness {
    const AUTHORITY: Authority = Authority::Promotion;
}

/// The two chains that a statement on a stage's chain tells of.
#[must_use]
pub fn chains(chain: &Chain) -> [Chain; 2] {
    [chain.clone(), Chain::of_gate(chain.repo.clone())]
}

/// States at `now` that these are the newest entries of the stage's chain and of the gate's own.
#[must_use]
pub fn statement(chain: &Chain, newest: [Option<&Appended>; 2], now: Timestamp) -> Statement<Freshness> {
    let chains = chains(chain);
    let of_each = || chains.iter().zip(newest);
    let subjects = of_each().filter_map(|(chain, newest)| {
        let Appended { sequence, sha256 } = newest?;
        let name = RecordKey::LedgerEntry(chain.clone(), *sequence).to_string();
        Some(Subject { name, digest: Digest::Sha256(*sha256) })
    });
    let newest = of_each().map(|(chain, newest)| (chain.to_string(), newest.map_or(0, |it| it.sequence))).collect();
    let predicate = Freshness { chain: chain.clone(), stated_at: now, fresh_until: now + COUNTS_FOR, newest };
    Statement::new(subjects.collect(), predicate)
}

/// What a signed statement tells of a stage's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// When it was so.
    pub at: Timestamp,
    /// Until when it counts.
    pub fresh_until: Timestamp,
    /// The newest entry of the stage's chain and of the gate's own.
    pub newest: [Option<Appended>; 2],
}

/// Opens a statement on the chain of a stage.
///
/// # Errors
/// [`InvalidAttestation`] where promotion's key did not sign it, or it is about something else.
pub fn open(dsse: &[u8], chain: &Chain, keys: &PublicKeys) -> Result<Stated, InvalidAttestation> {
    let malformed = |what: &str| InvalidAttestation::Malformed(what.to_owned());
    let Statement { subject, predicate, .. } = Statement::<Freshness>::open(dsse, keys)?;
    if predicate.chain != *chain {
        return Err(malformed("it is about another stage or repository"));
    }
    let mut named = 0;
    let mut newest = [None, None];
    for (found, chain) in newest.iter_mut().zip(chains(chain)) {
        let sequence = predicate.newest.get(&chain.to_string()).copied();
        let sequence = sequence.ok_or_else(|| malformed("it leaves out one of the two chains"))?;
        if sequence == 0 {
            continue;
        }
        let name = RecordKey::LedgerEntry(chain, sequence).to_string();
        let sha256 = subject.iter().find_map(|it| match it.digest {
            Digest::Sha256(sha256) if it.name == name => Some(sha256),
            _ => None,
        });
        let sha256: Sha256 = sha256.ok_or_else(|| malformed("an entry that it tells of is no subject of it"))?;
        *found = Some(Appended { sequence, sha256 });
        named += 1;
    }
    if predicate.newest.len() != newest.len() || subject.len() != named {
        return Err(malformed("it tells of more than the two chains"));
    }
    Ok(Stated { at: predicate.stated_at, fresh_until: predicate.fresh_until, newest })
}

impl Stated {
    /// Where a chain is behind what was stated to be its newest entry, in words: `found` is its entry at that place, as far as
    /// it was read, and `ends_at` the place of its newest.
    #[must_use]
    pub fn contradicts(&self, newest: Option<&Appended>, found: Option<Sha256>, ends_at: u64) -> Option<String> {
        let Appended { sequence, sha256 } = newest?;
        if ends_at < *sequence {
            return Some(format!("it ends with entry {ends_at}, and had entry {sequence} at {:.0}", self.at));
        }
        let other = found.filter(|found| found != sha256)?;
        Some(format!("its entry {sequence} is `{other}`, and was `{sha256}` at {:.0}", self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalSigner;

    fn chain() -> Chain {
        Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() }
    }

    fn entry(sequence: u64) -> Appended {
        Appended { sequence, sha256: Sha256::of(&sequence.to_be_bytes()) }
    }

    fn keys() -> PublicKeys {
        PublicKeys::fixed(LocalSigner::from_seed(1).key(), LocalSigner::from_seed(2).key(), None)
    }

    fn now() -> Timestamp {
        "2026-05-02T03:10:00Z".parse().unwrap()
    }

    async fn signed(statement: &Statement<Freshness>, seed: u8) -> Vec<u8> {
        statement.sign(&LocalSigner::from_seed(seed)).await.unwrap().dsse
    }

    #[tokio::test]
    async fn what_is_stated_reads_back_and_only_promotions_key_states_it() {
        let statement = statement(&chain(), [Some(&entry(7)), None], now());
        insta::assert_json_snapshot!(statement);
        let stated = open(&signed(&statement, 2).await, &chain(), &keys()).unwrap();
        assert_eq!(stated.newest, [Some(entry(7)), None]);
        assert_eq!((stated.at, stated.fresh_until), (now(), now() + COUNTS_FOR));
        let by_the_gate = open(&signed(&statement, 1).await, &chain(), &keys()).unwrap_err();
        assert_eq!(by_the_gate, InvalidAttestation::Signature);
        let other = Chain { stage: "prod".parse().unwrap(), ..chain() };
        assert!(open(&signed(&statement, 2).await, &other, &keys()).is_err());
    }

    #[tokio::test]
    async fn a_statement_tells_of_exactly_the_two_chains() {
        let whole = statement(&chain(), [Some(&entry(7)), Some(&entry(2))], now());
        let mut fewer = whole.clone();
        fewer.predicate.newest.pop_first();
        let mut unproved = whole.clone();
        unproved.subject.pop();
        let mut other = whole.clone();
        other.predicate.newest.insert("uat/bank-payments".to_owned(), 8);
        let mut more = whole.clone();
        more.predicate.newest.insert("prod/bank-payments".to_owned(), 0);
        let mut twice = whole.clone();
        twice.subject.push(whole.subject[0].clone());
        for wrong in [fewer, unproved, other, more, twice] {
            let error = open(&signed(&wrong, 2).await, &chain(), &keys()).unwrap_err();
            assert!(matches!(error, InvalidAttestation::Malformed(_)), "{error}");
        }
        assert!(open(&signed(&whole, 2).await, &chain(), &keys()).is_ok());
    }

    #[test]
    fn a_chain_that_lacks_what_was_stated_is_told() {
        let stated = Stated { at: now(), fresh_until: now() + COUNTS_FOR, newest: [Some(entry(7)), None] };
        assert_eq!(stated.contradicts(Some(&entry(7)), Some(entry(7).sha256), 7), None);
        assert_eq!(stated.contradicts(Some(&entry(7)), Some(entry(7).sha256), 9), None, "it went on");
        assert_eq!(stated.contradicts(Some(&entry(7)), None, 99), None, "it went on so far that the entry wasn't read");
        assert_eq!(stated.contradicts(None, None, 3), None, "it had none then");
        let behind = stated.contradicts(Some(&entry(7)), None, 6).unwrap();
        assert_eq!(behind, "it ends with entry 6, and had entry 7 at 2026-05-02T03:10:00Z");
        assert!(stated.contradicts(Some(&entry(7)), Some(entry(8).sha256), 7).unwrap().starts_with("its entry 7 is `"));
    }
}
