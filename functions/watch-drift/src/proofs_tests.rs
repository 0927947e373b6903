//! What was signed about a promoted commit, held against what its record and its ledger say later.

use gatekeeper_evidence::sample::{World, question};
use gatekeeper_model::store_key::RecordKey;
use gatekeeper_promotion::{history::StageState, record::PromotionRecord};
use gatekeeper_proof::ledger::{Event, Kind};
use gatekeeper_store::record;

use super::*;

fn chain() -> Chain {
    Chain { stage: question().stage, repo: question().repo }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1_000)
}

async fn record_of(world: &World) -> PromotionRecord {
    let key = RecordKey::Stage(question().stage, question().repo);
    let state = record::read::<StageState>(&world.records, &key).await.unwrap().unwrap().record;
    let key = RecordKey::Promotion(state.stage, state.repo, state.promotion_id);
    record::read(&world.records, &key).await.unwrap().unwrap().record
}

async fn attested(world: &World, record: &PromotionRecord) -> Option<String> {
    let finding = attestation(&world.records, record, &world.keys()).await.unwrap()?;
    assert_eq!(finding.code, Code::AttestationInvalid);
    Some(finding.message)
}

#[tokio::test]
async fn the_attestation_that_a_promotion_rests_on_holds_until_something_is_changed() {
    let world = World::promoted().await;
    let mut record = record_of(&world).await;
    assert_eq!(attested(&world, &record).await, None);

    let mut other = record.clone();
    other.plan.functions[0].bundle.sha256 = Sha256::of(b"by hand");
    let key = &other.plan.functions[0].bundle.key;
    let says = format!("it does not attest `{key}` as the record says it was promoted");
    assert_eq!(attested(&world, &other).await, Some(says));

    let pinned = record.built_attestation.as_mut().unwrap();
    pinned.sha256 = Sha256::of(b"another one");
    assert!(attested(&world, &record).await.unwrap().contains("is not the one that the promotion rests on"));
    record.built_attestation.as_mut().unwrap().version_id = "v0".into();
    assert_eq!(attested(&world, &record).await.unwrap(), "version `v0`, which the promotion rests on, is gone");
    record.built_attestation = None;
    assert_eq!(attested(&world, &record).await, None, "a record of before there were attestations");
}

#[tokio::test]
async fn an_attestation_that_promotions_key_signed_proves_nothing() {
    let world = World::promoted().await;
    let record = record_of(&world).await;
    let swapped =
        PublicKeys { gate: world.keys().promotion, promotion: world.keys().gate, approval: None, trust: None };
    let finding = attestation(&world.records, &record, &swapped).await.unwrap().unwrap();
    assert!(finding.message.starts_with("the signature does not hold"), "{finding:?}");
}

/// A promoted commit with so many further entries in its ledger.
async fn with_entries(count: u32) -> World {
    let world = World::promoted().await;
    for number in 0..count {
        let event = Event::bare(Kind::Refusal, format!("refusal/{number}"), "refused");
        world.append(&event, now()).await;
    }
    world
}

async fn proved(
    world: &World,
    before: Option<&ProvedLedger>,
    is_thorough: bool,
) -> (Option<String>, Option<ProvedLedger>) {
    let (finding, proved) = ledger(&world.records, &chain(), before, is_thorough, &world.keys(), now()).await.unwrap();
    (finding.map(|it| format!("{} {}: {}", it.code, it.subject, it.message)), proved)
}

#[tokio::test]
async fn a_ledger_is_proved_whole_once_a_day_and_in_between_from_where_it_was() {
    let world = with_entries(20).await;
    let (finding, first) = proved(&world, None, false).await;
    assert_eq!((finding, first.as_ref().map(|it| it.sequence)), (None, Some(22)));
    let calls = |world: &World| world.records.counts().0;
    let before = calls(&world);
    assert_eq!(proved(&world, first.as_ref(), false).await, (None, first.clone()));
    assert!(calls(&world) - before <= 3, "the head, its entry and the place behind it");

    let yesterday = first.map(|it| ProvedLedger { proved_at: now() - SignedDuration::from_hours(24), ..it });
    let before = calls(&world);
    let (finding, again) = proved(&world, yesterday.as_ref(), false).await;
    assert_eq!((finding, again.unwrap().proved_at), (None, now()));
    assert!(calls(&world) - before > 20);
}

#[tokio::test]
async fn a_ledger_that_somebody_changed_is_found() {
    let world = with_entries(4).await;
    let (_, first) = proved(&world, None, false).await;
    let entry = |sequence| RecordKey::LedgerEntry(chain(), sequence).to_string();

    // In the part that was proved: when it is proved whole again.
    world.records.upload(&entry(2), b"{}", &[]);
    assert_eq!(proved(&world, first.as_ref(), false).await.0, None);
    let (finding, still) = proved(&world, first.as_ref(), true).await;
    assert_eq!(finding.unwrap(), "ledger-broken uat/bank-payments: entry 2: it is not an entry");
    assert_eq!(still, first, "how far it was proved stands");
}

#[tokio::test]
async fn a_tail_that_is_cut_off_with_its_head_is_found_by_what_was_proved_before() {
    let world = with_entries(4).await;
    let head = RecordKey::LedgerHead(chain()).to_string();
    let earlier = world.records.bytes_of(&head).unwrap();
    let longer = with_entries(5).await;
    let (_, first) = proved(&longer, None, false).await;
    assert_eq!(first.as_ref().unwrap().sequence, 7);
    longer.records.upload(&head, &earlier, &[]);
    longer.records.delete(&RecordKey::LedgerEntry(chain(), 7).to_string());
    let (finding, _) = proved(&longer, first.as_ref(), true).await;
    let says = "entry 7: the entry that stood there when the chain was last proved is gone or was changed";
    assert_eq!(finding.unwrap(), format!("ledger-broken uat/bank-payments: {says}"));
}

#[tokio::test]
async fn a_document_of_the_stage_that_somebody_changed_is_found() {
    let world = World::promoted().await;
    let key = RecordKey::Stage(question().stage, question().repo);
    let stored = record::read::<StageState>(&world.records, &key).await.unwrap().unwrap();
    let looked = async |sha256| signed(&world.records, &chain(), sha256, &world.keys()).await.unwrap().0;
    assert_eq!(looked(stored.sha256).await, []);
    let [altered] = looked(Sha256::of(b"another")).await.try_into().unwrap();
    assert_eq!((altered.code, altered.subject), (Code::StageRecordAltered, key.to_string()));
}

#[tokio::test]
async fn a_chain_that_is_not_the_one_the_witness_has_seen_is_found_whoever_promotes_it() {
    let (world, witness) = (with_entries(2).await, gatekeeper_store::memory::Memory::default());
    let (keys, head) = (world.keys(), RecordKey::LedgerHead(chain()).to_string());
    let later = now() + SignedDuration::from_hours(1_000_000);
    let found = async |looked_at: &[Chain]| {
        let looked_at = looked_at.iter().cloned().collect();
        let elsewhere = elsewhere(&world.records, &witness, &looked_at, &keys, later).await.unwrap();
        let here = witnessed(&world.records, &witness, &chain(), &keys, later).await.unwrap();
        let codes = |found: Vec<Finding>| found.into_iter().map(|it| (it.code, it.subject)).collect::<Vec<_>>();
        (codes(here), codes(elsewhere))
    };
    let uat = |code| vec![(code, "uat/bank-payments".to_owned())];
    assert_eq!(found(&[]).await.0, uat(Code::WitnessBehind), "it was given nothing");
    let key = keys.of(Authority::Promotion);
    witness::hand_over(&world.records, &witness, &chain(), None, key).await.unwrap();
    assert_eq!(found(&[]).await, (vec![], vec![]));

    let old = world.records.bytes_of(&head).unwrap();
    world.append(&Event::bare(Kind::Refusal, "refusal/2", "refused"), now()).await;
    witness::hand_over(&world.records, &witness, &chain(), None, key).await.unwrap();
    world.records.upload(&head, &old, &[]);
    // By the stage's own look, or by the run's where the stage has none, because its document is gone too.
    assert_eq!(found(&[]).await, (uat(Code::LedgerRolledBack), uat(Code::LedgerRolledBack)));
    assert_eq!(found(&[chain()]).await, (uat(Code::LedgerRolledBack), vec![]));

    witness.deny("heads/");
    let everywhere = vec![(Code::WitnessUnreachable, "heads/".to_owned())];
    assert_eq!(found(&[chain()]).await.1, everywhere);
    assert_eq!(found(&[]).await.0.len(), 2, "the stage's chain and the gate's");
}

#[tokio::test]
async fn what_holds_a_stage_is_proved_beside_the_stages_own_ledger() {
    let world = World::promoted().await;
    let (keys, holds) = (world.keys(), Chain::of_holds(&question().stage));
    let found = async || short_ledger(&world.records, &holds, &keys).await.unwrap();
    assert_eq!(found().await, None, "nobody has held it");
    let bare = Event::bare(Kind::Hold, "hold/1", "held");
    ledger::append(&world.records, &world.promotion, &holds, &bare, None, now()).await.unwrap();
    assert_eq!(found().await, None);
    world.records.upload(&RecordKey::LedgerEntry(holds.clone(), 1).to_string(), b"{}", &[]);
    let broken = found().await.unwrap();
    assert_eq!((broken.code, broken.subject), (Code::LedgerBroken, holds.to_string()));
}
