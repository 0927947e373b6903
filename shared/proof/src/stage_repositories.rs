//! Which repositories a stage has: so that who is given evidence on all of them sees that none was left out.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    ids::{Chain, Repo, StageName},
    store_key::RecordKey,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Authority, Digest, InvalidAttestation, Predicate, PublicKeys, Statement, Subject, WordOf, freshness::COUNTS_FOR,
    ledger::Appended,
};

/// What is stated. Its subjects are the newest entries of the repositories' chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageRepositories {
    /// The stage.
    pub stage: StageName,
    /// When it was so.
    pub stated_at: Timestamp,
    /// Until when it counts.
    pub fresh_until: Timestamp,
    /// Every repository of which the stage's ledger tells anything.
    pub repositories: BTreeSet<Repo>,
}

impl Predicate for StageRepositories {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/stage-repositories/v1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}

impl WordOf for StageRepositories {
    const AUTHORITY: Authority = Authority::Promotion;
}

/// States at `now` that a stage has these repositories, each with the newest entry of its chain.
#[must_use]
pub fn statement(stage: &StageName, newest: &BTreeMap<Repo, Appended>, now: Timestamp) -> Statement<StageRepositories> {
    let subjects = newest.iter().map(|(repo, Appended { sequence, sha256 })| {
        let chain = Chain { stage: stage.clone(), repo: repo.clone() };
        Subject { name: RecordKey::LedgerEntry(chain, *sequence).to_string(), digest: Digest::Sha256(*sha256) }
    });
    let predicate = StageRepositories {
        stage: stage.clone(),
        stated_at: now,
        fresh_until: now + COUNTS_FOR,
        repositories: newest.keys().cloned().collect(),
    };
    Statement::new(subjects.collect(), predicate)
}

/// Opens a statement on a stage.
///
/// # Errors
/// [`InvalidAttestation`] where promotion's key did not sign it, or it is about another stage.
pub fn open(dsse: &[u8], stage: &StageName, keys: &PublicKeys) -> Result<StageRepositories, InvalidAttestation> {
    let stated = Statement::<StageRepositories>::open(dsse, keys)?.predicate;
    if stated.stage == *stage {
        Ok(stated)
    } else {
        Err(InvalidAttestation::Malformed("it is about another stage".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::ids::Sha256;

    use super::*;
    use crate::LocalSigner;

    #[tokio::test]
    async fn what_is_stated_of_a_stage_reads_back_and_only_promotions_key_states_it() {
        let keys = PublicKeys::fixed(LocalSigner::from_seed(1).key(), LocalSigner::from_seed(2).key(), None);
        let (uat, prod): (StageName, StageName) = ("uat".parse().unwrap(), "prod".parse().unwrap());
        let newest = ["bank-core", "bank-payments"]
            .map(|repo| (repo.parse().unwrap(), Appended { sequence: 3, sha256: Sha256::of(repo.as_bytes()) }));
        let statement = statement(&uat, &newest.into(), "2026-05-02T03:10:00Z".parse().unwrap());
        insta::assert_json_snapshot!(statement);
        let by = async |seed: u8| statement.sign(&LocalSigner::from_seed(seed)).await.unwrap().dsse;
        assert_eq!(open(&by(2).await, &uat, &keys).unwrap(), statement.predicate);
        assert_eq!(open(&by(1).await, &uat, &keys), Err(InvalidAttestation::Signature));
        assert!(open(&by(2).await, &prod, &keys).is_err());
    }
}
