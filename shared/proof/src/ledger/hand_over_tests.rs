//! A chain goes on under another key, and no earlier one writes to it again.

use std::collections::BTreeMap;

use gatekeeper_model::store_key::RecordKey;
use gatekeeper_store::{ReadStore as _, memory::Memory};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{LastEntry, LocalSigner, Revocation, Statement, TrustedKey, TrustedKeys};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn chain() -> Chain {
    Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() }
}

fn later(hours: i64) -> Timestamp {
    NOW + SignedDuration::from_hours(hours)
}

/// Keys of seeds 1, 2 and so on, each named an hour after the one before; the first is revoked by `revoked`.
fn keys(count: u8, revoked: Option<&Revocation>) -> TrustedKeys {
    let key = |seed: u8| TrustedKey {
        from: Some(later(i64::from(seed))),
        revoked: revoked.filter(|_| seed == 1).cloned(),
        ..LocalSigner::from_seed(seed).key().into()
    };
    TrustedKeys::of((1..=count).map(key).collect()).unwrap()
}

fn signer(seed: u8, keys: &TrustedKeys) -> LocalSigner {
    LocalSigner::from_seed(seed).named_with(keys.clone())
}

async fn write(records: &Memory, signer: &LocalSigner, id: &str) -> Result<u64, LedgerError> {
    let event = Event::bare(Kind::Promotion, id, "succeeded");
    append(records, signer, &chain(), &event, None, later(10)).await.map(|it| it.sequence)
}

async fn proof(records: &Memory, keys: &TrustedKeys) -> Proof {
    verify(records, &chain(), None, keys).await.unwrap()
}

async fn entries(records: &Memory, keys: &TrustedKeys) -> Vec<Entry> {
    let (stored, _) = read_since(records, &chain(), 1, keys).await.unwrap();
    stored.into_iter().filter_map(|it| it.entry).collect()
}

#[tokio::test]
async fn the_new_key_signs_the_hand_over_on_top_of_the_last_head_of_the_old_one() {
    let (records, keys) = (Memory::default(), keys(2, None));
    let (old, new) = (signer(1, &keys), signer(2, &keys));
    assert_eq!(write(&records, &old, "1").await.unwrap(), 1);
    let head_key = RecordKey::LedgerHead(chain()).to_string();
    let head = records.get(&head_key, None, MAX_BYTES).await.unwrap().unwrap().bytes;
    assert_eq!(write(&records, &new, "2").await.unwrap(), 3, "behind the hand-over");
    assert_eq!(write(&records, &new, "3").await.unwrap(), 4, "which is told once");
    let entries = entries(&records, &keys).await;
    let (from, to) = (old.key().fingerprint(), new.key().fingerprint());
    let expected = HandOver { from, to, head_sha256: Sha256::of(&head) };
    assert_eq!((entries[1].event.kind, entries[1].event.hand_over.as_ref()), (Kind::KeyHandOver, Some(&expected)));
    assert!(proof(&records, &keys).await.holds());
    // Who knows the new key alone can prove it too, and who knows the old one alone can't be led on.
    assert!(proof(&records, &new.key().into()).await.holds());
    assert!(!proof(&records, &old.key().into()).await.holds());
}

#[tokio::test]
async fn what_still_signs_with_the_old_key_is_told_and_writes_nothing() {
    let (records, keys) = (Memory::default(), keys(3, None));
    write(&records, &signer(1, &keys), "1").await.unwrap();
    write(&records, &signer(2, &keys), "2").await.unwrap();
    let error = write(&records, &signer(1, &keys), "3").await.unwrap_err();
    assert!(matches!(error, LedgerError::HandedOver { .. }) && !error.is_broken(), "{error}");
    assert_eq!(write(&records, &signer(3, &keys), "3").await.unwrap(), 5, "a later one takes it over in turn");
    assert!(proof(&records, &keys).await.holds());
}

#[tokio::test]
async fn a_head_of_the_old_key_on_top_of_the_hand_over_proves_nothing() {
    let (records, keys) = (Memory::default(), keys(2, None));
    write(&records, &signer(1, &keys), "1").await.unwrap();
    write(&records, &signer(2, &keys), "2").await.unwrap();
    // Whoever has the old key signs the very same head.
    let head_key = RecordKey::LedgerHead(chain()).to_string();
    let head = records.get(&head_key, None, MAX_BYTES).await.unwrap().unwrap().bytes;
    let mut statement = Statement::<LedgerHead>::open_under(&head, &keys).unwrap();
    let thief = LocalSigner::from_seed(1);
    records.upload(&head_key, &statement.sign(&thief).await.unwrap().dsse, &[]);
    assert!(proof(&records, &keys).await.broken.unwrap().what.contains("handed over to another key"));
    // Nor where it hides the hand-over in what the head tells.
    statement.predicate.standing = None;
    records.upload(&head_key, &statement.sign(&thief).await.unwrap().dsse, &[]);
    let found = proof(&records, &keys).await.broken.unwrap();
    assert!(found.what.contains("was handed over to the key"), "{found:?}");
}

#[tokio::test]
async fn after_a_revocation_the_chain_goes_on_from_the_entry_that_people_signed_and_from_no_other() {
    let (records, before) = (Memory::default(), keys(1, None));
    write(&records, &signer(1, &before), "1").await.unwrap();
    write(&records, &signer(1, &before), "2").await.unwrap();
    let (stored, _) = read_since(&records, &chain(), 1, &before).await.unwrap();
    let last = LastEntry { sequence: 2, sha256: stored[1].sha256 };
    let revoked = Revocation {
        at: later(9),
        reason: "a laptop was stolen".to_owned(),
        last: [(chain().to_string(), last)].into(),
    };
    let after = keys(2, Some(&revoked));
    assert!(proof(&records, &after).await.holds());

    // The thief goes on first: nothing is put on top of that, and the chain doesn't hold.
    let forged = Memory::default();
    for id in ["1", "2", "forged"] {
        write(&forged, &signer(1, &before), id).await.unwrap();
    }
    assert!(!proof(&forged, &after).await.holds());
    let error = write(&forged, &signer(2, &after), "3").await.unwrap_err();
    assert!(matches!(error, LedgerError::Head { .. }), "{error}");

    assert_eq!(write(&records, &signer(2, &after), "3").await.unwrap(), 4);
    assert!(proof(&records, &after).await.holds());
    // A chain that people did not sign the end of is none of the key's.
    let untold = keys(2, Some(&Revocation { last: BTreeMap::default(), ..revoked }));
    assert!(proof(&records, &untold).await.holds(), "which the new key has taken over");
    let other = Memory::default();
    write(&other, &signer(1, &before), "1").await.unwrap();
    assert!(!proof(&other, &untold).await.holds());
}

#[tokio::test]
async fn killed_at_any_call_the_hand_over_and_the_event_are_there_once() {
    for call in 1.. {
        let (records, keys) = (Memory::default(), keys(2, None));
        write(&records, &signer(1, &keys), "1").await.unwrap();
        records.fail_at_call(Some(call));
        let event = Event::bare(Kind::Promotion, "2", "succeeded");
        let new = signer(2, &keys);
        let killed = append(&records, &new, &chain(), &event, Some(later(10)), later(10)).await.is_err();
        records.fail_at_call(None);
        append(&records, &new, &chain(), &event, Some(later(10)), later(10)).await.unwrap();
        let proof = proof(&records, &keys).await;
        assert_eq!((proof.newest, proof.broken), (3, None), "killed at call {call}");
        if !killed {
            break;
        }
    }
}
