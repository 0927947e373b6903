use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{
    attestation::{LocalSigner, Signer as _},
    store::{Precondition, Store as _, memory::Memory},
    store_key::RecordKey,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn chain() -> Chain {
    Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() }
}

fn event(id: &str) -> Event {
    Event {
        kind: Kind::Promotion,
        id: id.to_owned(),
        commit_sha: Some("a".repeat(40).parse().unwrap()),
        promotion_id: None,
        by: "jane@bank.example".to_owned(),
        reason: "release".to_owned(),
        outcome: "succeeded".to_owned(),
        findings: Vec::new(),
        record: None,
        break_glass: false,
    }
}

async fn chain_of(length: u64) -> (Memory, LocalSigner) {
    let (records, signer) = (Memory::default(), LocalSigner::from_seed(1));
    for number in 1..=length {
        let appended = append(&records, &signer, &chain(), &event(&number.to_string()), None, NOW).await.unwrap();
        assert_eq!(appended.sequence, number);
    }
    (records, signer)
}

async fn proof(records: &Memory, signer: &LocalSigner, kept: Option<&Kept>) -> Proof {
    verify(records, &chain(), kept, &signer.key()).await.unwrap()
}

fn place(proof: &Proof) -> (u64, &str) {
    let broken = proof.broken.as_ref().unwrap();
    (broken.sequence, &broken.what)
}

async fn bytes(records: &Memory, key: &RecordKey) -> Vec<u8> {
    records.get(&key.to_string(), None, MAX_BYTES).await.unwrap().unwrap().bytes
}

#[tokio::test]
async fn a_chain_that_nobody_touched_holds() {
    let (records, signer) = chain_of(5).await;
    let proof = proof(&records, &signer, None).await;
    assert_eq!((proof.newest, proof.unsigned, proof.broken), (5, 0, None));
    assert_eq!(signer.signatures(), 5, "one signature an entry");
}

#[tokio::test]
async fn an_entry_is_a_document_that_reads_by_itself() {
    let (records, _) = chain_of(2).await;
    let mut entry: serde_json::Value =
        serde_json::from_slice(&bytes(&records, &RecordKey::LedgerEntry(chain(), 2)).await).unwrap();
    assert_eq!(entry["previous_sha256"].as_str().map(str::len), Some(64));
    entry["previous_sha256"] = "(of the entry before)".into();
    insta::assert_json_snapshot!(entry);
}

#[tokio::test]
async fn the_same_event_is_written_once() {
    let (records, signer) = chain_of(3).await;
    let again = append(&records, &signer, &chain(), &event("2"), Some(NOW), NOW).await.unwrap();
    assert_eq!(again.sequence, 2);
    let later = NOW + SignedDuration::from_hours(1);
    let long_ago = append(&records, &signer, &chain(), &event("2"), Some(later), later).await.unwrap();
    assert_eq!(long_ago.sequence, 4, "it looks no further back than the event can be");
}

#[tokio::test]
async fn an_entry_that_was_left_without_its_head_is_signed_by_the_next() {
    let (records, signer) = chain_of(2).await;
    let head = RecordKey::LedgerHead(chain()).to_string();
    let before = records.get(&head, None, MAX_BYTES).await.unwrap().unwrap();
    append(&records, &signer, &chain(), &event("3"), None, NOW).await.unwrap();
    let after = records.get(&head, None, MAX_BYTES).await.unwrap().unwrap();
    // As if it was killed before it wrote the head.
    records.put(&head, &before.bytes, "application/json", &Precondition::Unchanged(after.etag)).await.unwrap();
    assert_eq!(proof(&records, &signer, None).await.unsigned, 1);

    let next = append(&records, &signer, &chain(), &event("4"), None, NOW).await.unwrap();
    assert_eq!(next.sequence, 4);
    let proof = proof(&records, &signer, None).await;
    assert_eq!((proof.newest, proof.unsigned, proof.broken), (4, 0, None));
}

#[tokio::test]
async fn many_at_once_make_one_chain() {
    let (records, signer) = (Memory::default(), LocalSigner::from_seed(1));
    let ids: Vec<_> = (0..8).map(|number| number.to_string()).collect();
    let all = futures_util::future::join_all(
        ids.iter().map(async |id| append(&records, &signer, &chain(), &event(id), None, NOW).await.unwrap().sequence),
    );
    let mut places = all.await;
    places.sort_unstable();
    assert_eq!(places, (1..=8).collect::<Vec<_>>());
    assert!(proof(&records, &signer, None).await.holds());
}

#[tokio::test]
async fn a_tail_that_was_removed_is_found() {
    let (records, signer) = chain_of(5).await;
    let kept = Kept(bytes(&records, &RecordKey::LedgerHead(chain())).await);
    records.delete(&RecordKey::LedgerEntry(chain(), 5).to_string());
    let short = proof(&records, &signer, None).await;
    assert_eq!(place(&short), (5, "the entry is missing: the signed head says that there are 5"));

    // Even where the head of before is put back: somebody kept the later one.
    let (records, signer) = chain_of(4).await;
    assert!(proof(&records, &signer, None).await.holds());
    let cut = proof(&records, &signer, Some(&kept)).await;
    assert_eq!(place(&cut), (5, "the tail was removed: a head that was kept says that there were 5"));
}

#[tokio::test]
async fn an_entry_in_the_middle_that_is_gone_or_another_one_is_found() {
    let (records, signer) = chain_of(5).await;
    records.delete(&RecordKey::LedgerEntry(chain(), 3).to_string());
    assert_eq!(place(&proof(&records, &signer, None).await), (3, "the entry is missing"));
}

#[tokio::test]
async fn a_record_that_an_entry_names_is_held_against_it() {
    let (records, signer) = chain_of(1).await;
    let key = "promotions/uat/bank-payments/1.json";
    records.put(key, b"{}", "application/json", &Precondition::Absent).await.unwrap();
    let record = RecordDigest { key: key.to_owned(), version_id: None, sha256: Sha256::of(b"{}") };
    let event = Event { record: Some(record), ..event("2") };
    append(&records, &signer, &chain(), &event, None, NOW).await.unwrap();
    assert!(proof(&records, &signer, None).await.holds());
    records.delete(key);
    let gone = proof(&records, &signer, None).await;
    assert_eq!(place(&gone), (2, "the record `promotions/uat/bank-payments/1.json` that it names is gone"));
}

#[tokio::test]
async fn nothing_is_written_on_top_of_a_forged_head() {
    let (records, _) = chain_of(2).await;
    let stranger = LocalSigner::from_seed(9);
    let error = append(&records, &stranger, &chain(), &event("3"), None, NOW).await.unwrap_err();
    assert!(matches!(error, LedgerError::Head { .. }), "{error}");
    assert!(!stranger.public_key().await.unwrap().to_pem().is_empty());
}

proptest! {
    #[test]
    fn any_byte_of_any_entry_or_head_that_changes_is_found(at in any::<prop::sample::Index>(), change in 1_u8..=255) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (records, signer) = chain_of(3).await;
            let (stored, head) = read_since(&records, &chain(), 1, &signer.key()).await.unwrap();
            let mut files: Vec<_> = stored.into_iter().map(|it| it.bytes).collect();
            files.push(head.unwrap());
            let total: usize = files.iter().map(Vec::len).sum();
            let mut at = at.index(total);
            for file in &mut files {
                if at < file.len() {
                    file[at] ^= change;
                    break;
                }
                at -= file.len();
            }
            let head = files.pop();
            let entries = (1..).zip(files).map(|(place, bytes)| StoredEntry::of(place, bytes)).collect();
            assert!(!prove(&chain(), entries, head.as_deref(), None, &signer.key()).holds());
        });
    }
}
