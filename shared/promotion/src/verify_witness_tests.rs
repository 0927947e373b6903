//! What a promotion makes of a ledger that is not the one that the witness outside has seen.

use gatekeeper_model::store_key::WitnessKey;
use gatekeeper_proof::{
    ledger::{Event, Kind},
    witness::hand_over,
};

use super::*;

fn chain(stage: &str) -> Chain {
    Chain { stage: stage.parse().unwrap(), repo: commit().repo }
}

fn head_key(stage: &str) -> String {
    RecordKey::LedgerHead(chain(stage)).to_string()
}

impl World {
    /// A commit that ran in `uat` and may be promoted to `prod`, each chain of the ledger with an entry that the witness has.
    async fn witnessed() -> Self {
        let (mut world, _) = Self::ready_for_prod().await;
        world.witness = Some(Memory::default());
        for stage in ["gate", "uat", "prod"] {
            world.entered(stage).await;
        }
        world
    }

    async fn entered(&self, stage: &str) {
        self.appended(stage, 0).await;
        let handed =
            hand_over(&self.records, self.witness.as_ref().unwrap(), &chain(stage), None, &key_of(stage)).await;
        handed.unwrap();
    }

    /// An entry that was written some minutes ago, which the witness was not given.
    async fn appended(&self, stage: &str, minutes_ago: i64) {
        let kind = if stage == "gate" { Kind::Revocation } else { Kind::Refusal };
        let at = wall_clock() - jiff::SignedDuration::from_mins(minutes_ago);
        let id = format!("other/{}", self.records.counts().0);
        let event = Event::bare(kind, id, "refused");
        ledger::append(&self.records, &signer_of(stage), &chain(stage), &event, None, at).await.unwrap();
    }

    /// As whoever administers the records can: the head of before back, and the entry above it away.
    async fn rolled_back(&self, stage: &str) {
        let before = self.records.bytes_of(&head_key(stage)).unwrap();
        self.entered(stage).await;
        let above = self.newest(stage);
        self.records.upload(&head_key(stage), &before, &[]);
        self.records.delete(&RecordKey::LedgerEntry(chain(stage), above).to_string());
    }

    /// The place of a chain's newest entry.
    fn newest(&self, stage: &str) -> u64 {
        let head = self.records.bytes_of(&head_key(stage)).unwrap();
        ledger::head_of(&head, &chain(stage), &key_of(stage)).unwrap().sequence
    }

    async fn refused(&self, request: &PromotionRequest) -> Vec<Finding> {
        self.verify(request).await.unwrap_err()
    }
}

fn signer_of(stage: &str) -> LocalSigner {
    LocalSigner::from_seed(if stage == "gate" { 1 } else { 2 })
}

fn key_of(stage: &str) -> gatekeeper_proof::TrustedKeys {
    signer_of(stage).keys()
}

fn to_prod() -> PromotionRequest {
    PromotionRequest { stage: "prod".parse().unwrap(), ..request() }
}

#[tokio::test]
async fn each_chain_that_a_promotion_rests_on_is_held_against_the_witness() {
    World::witnessed().await.verify(&to_prod()).await.unwrap();
    for stage in ["gate", "uat", "prod"] {
        let world = World::witnessed().await;
        world.rolled_back(stage).await;
        let left = world.newest(stage);
        let reasons = world.refused(&to_prod()).await;
        let [Finding { code: Code::LedgerRolledBack, subject, message }] = reasons.as_slice() else {
            panic!("{reasons:#?}")
        };
        assert_eq!(*subject, format!("{stage}/bank-payments"));
        let told = format!("it ends at entry {left}, and the witness has seen entry {}", left + 1);
        assert!(message.starts_with(&told), "{message}");
    }
}

#[tokio::test]
async fn a_witness_that_can_not_be_read_or_was_given_nothing_refuses() {
    for stage in ["gate", "uat", "prod"] {
        let world = World::witnessed().await;
        let place = world.newest(stage);
        world.witness.as_ref().unwrap().deny(&WitnessKey::Head(chain(stage), place).to_string());
        World::assert_refused(world.verify(&to_prod()).await, &[Code::WitnessUnreachable]);
    }
    let world = World::witnessed().await;
    world.witness.as_ref().unwrap().deny("heads/");
    let reasons = world.refused(&to_prod()).await;
    assert_eq!(
        reasons.iter().map(|it| it.subject.as_str()).collect::<Vec<_>>(),
        ["gate/bank-payments", "holds/stage-prod", "prod/bank-payments", "uat/bank-payments"]
    );

    let world = World::witnessed().await;
    world.appended("prod", 9).await;
    world.verify(&to_prod()).await.unwrap();
    let world = World::witnessed().await;
    world.appended("prod", 11).await;
    World::assert_refused(world.verify(&to_prod()).await, &[Code::WitnessBehind]);
    let planned = world.verify(&PromotionRequest { dry_run: true, ..to_prod() }).await.unwrap();
    assert_eq!(planned.not_yet.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::WitnessBehind], "which goes away");
}

#[tokio::test]
async fn a_rollback_goes_on_and_tells_of_it() {
    let world = World::witnessed().await;
    world.rolled_back("uat").await;
    world.witness.as_ref().unwrap().deny(&WitnessKey::chain_prefix(&chain("gate")));
    let back = PromotionRequest { rollback: true, ..request() };
    let verified = world.verify(&back).await.unwrap();
    let told: Vec<_> = verified.ruling.witness.iter().map(|it| it.code).collect();
    assert_eq!(told, [Code::LedgerRolledBack, Code::WitnessUnreachable]);
}

#[tokio::test]
async fn without_a_witness_nobody_is_asked() {
    let mut world = World::witnessed().await;
    world.rolled_back("prod").await;
    world.witness = None;
    world.verify(&to_prod()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_witness_is_asked_beside_what_is_read_anyway() {
    let latency = Duration::from_millis(30);
    let rounds = async |world: &World, request: &PromotionRequest| {
        world.records.answer_after(latency);
        world.artefacts.answer_after(latency);
        world.witness.iter().for_each(|witness| witness.answer_after(latency));
        let started = tokio::time::Instant::now();
        world.verify(request).await.unwrap();
        started.elapsed().as_millis() / latency.as_millis()
    };
    let mut world = World::witnessed().await;
    let back = PromotionRequest { rollback: true, ..request() };
    world.appended("prod", 1).await;
    assert_eq!((rounds(&world, &back).await, rounds(&world, &to_prod()).await), (2, 3));
    world.witness = None;
    assert_eq!((rounds(&world, &back).await, rounds(&world, &to_prod()).await), (2, 3), "as many as without");
}
