use gatekeeper_model::store_key::RecordKey;
use gatekeeper_store::{
    Precondition, ReadStore as _, WriteStore as _,
    memory::{Lost, Memory},
};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{KeyHolder as _, LocalSigner, Statement};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn chain() -> Chain {
    Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() }
}

fn event(id: &str) -> Event {
    Event { commit_sha: Some("a".repeat(40).parse().unwrap()), ..Event::bare(Kind::Promotion, id, "succeeded") }
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
    verify(records, &chain(), kept, &signer.keys()).await.unwrap()
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
    assert_eq!((proof.newest, proof.broken), (5, None));
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
async fn an_entry_that_only_the_head_holds_is_read_from_it_and_written_by_the_next() {
    let (records, signer) = chain_of(3).await;
    let newest = RecordKey::LedgerEntry(chain(), 3);
    let written = bytes(&records, &newest).await;
    // As if it was killed before it wrote the entry.
    records.delete(&newest.to_string());
    assert_eq!(proof(&records, &signer, None).await.broken, None);
    let again = append(&records, &signer, &chain(), &event("3"), Some(NOW), NOW).await.unwrap();
    assert_eq!((again.sequence, bytes(&records, &newest).await), (3, written.clone()), "who tries again writes it");

    records.delete(&newest.to_string());
    append(&records, &signer, &chain(), &event("4"), None, NOW).await.unwrap();
    assert_eq!(bytes(&records, &newest).await, written, "and so does who comes next");
    let proof = proof(&records, &signer, None).await;
    assert_eq!((proof.newest, proof.broken), (4, None));
}

#[tokio::test]
async fn killed_at_any_call_an_event_is_there_once_when_it_is_tried_again() {
    for call in 1.. {
        let (records, signer) = chain_of(2).await;
        records.fail_at_call(Some(call));
        let killed = append(&records, &signer, &chain(), &event("3"), Some(NOW), NOW).await.is_err();
        records.fail_at_call(None);
        append(&records, &signer, &chain(), &event("3"), Some(NOW), NOW).await.unwrap();
        let proof = proof(&records, &signer, None).await;
        assert_eq!((proof.newest, proof.broken), (3, None), "killed at call {call}");
        if !killed {
            assert!(call > 4, "the head read and written, two entries, and what was there");
            break;
        }
    }
}

#[tokio::test]
async fn whichever_answer_to_a_write_is_lost_each_event_is_there_once() {
    for lost in [Lost::Served, Lost::Retried, Lost::Unserved] {
        for number in 1..9 {
            let (records, signer) = chain_of(1).await;
            records.lose_answers([(number, lost)]);
            for (event_number, since) in [("2", Some(NOW)), ("3", None)] {
                // Whoever gets an error asks again; a refusal without `since` is asked again as itself.
                let mut since = since;
                while append(&records, &signer, &chain(), &event(event_number), since, NOW).await.is_err() {
                    since = Some(NOW);
                }
            }
            let proof = proof(&records, &signer, None).await;
            assert_eq!((proof.newest, proof.broken), (3, None), "{lost:?} at write {number}");
        }
    }
}

#[tokio::test]
async fn an_entry_that_others_were_put_on_top_of_before_its_answer_came_is_found_again() {
    // As S3 has it: the head was written, its answer lost, another's head put on top, and then the retry meets a conflict.
    let (records, signer) = chain_of(1).await;
    let head = RecordKey::LedgerHead(chain()).to_string();
    append(&records, &signer, &chain(), &event("ours"), None, NOW).await.unwrap();
    let ours = bytes(&records, &RecordKey::LedgerHead(chain())).await;
    append(&records, &signer, &chain(), &event("theirs"), None, NOW).await.unwrap();
    let first = records.put(&head, &ours, "application/json", &Precondition::Absent).await.unwrap();
    assert_eq!(first, gatekeeper_store::Written::Conflict, "it is not ours any more");
    append(&records, &signer, &chain(), &event("ours"), Some(NOW), NOW).await.unwrap();
    assert_eq!(proof(&records, &signer, None).await.newest, 3);
}

#[tokio::test]
async fn an_entry_that_nobody_signed_is_found_and_never_signed() {
    let (records, signer) = chain_of(2).await;
    let stored = bytes(&records, &RecordKey::LedgerEntry(chain(), 2)).await;
    let mut forged: Entry = serde_json::from_slice(&stored).unwrap();
    (forged.sequence, forged.previous_sha256, forged.event.id) = (3, Some(Sha256::of(&stored)), "3".to_owned());
    forged.event.outcome = "succeeded, says mallory".to_owned();
    let place_of_it = RecordKey::LedgerEntry(chain(), 3).to_string();
    records.upload(&place_of_it, &serde_json::to_vec(&forged).unwrap(), &[]);
    let found = proof(&records, &signer, None).await;
    assert_eq!(place(&found), (3, "nobody has signed it: the signed head is about 2"));

    // Not even where it takes the place and the name of the event that is to come.
    let error = append(&records, &signer, &chain(), &event("3"), Some(NOW), NOW).await.unwrap_err();
    assert!(error.is_broken(), "{error}");
    let after = proof(&records, &signer, None).await;
    assert_eq!(place(&after), (3, "it is not the entry that the head was signed over"));
}

#[tokio::test]
async fn a_slice_behind_the_head_proves_nothing() {
    let (records, signer) = chain_of(4).await;
    let (stored, head) = read_since(&records, &chain(), 1, &signer.keys()).await.unwrap();
    let (earlier, _) = chain_of(2).await;
    let old_head = bytes(&earlier, &RecordKey::LedgerHead(chain())).await;
    assert!(prove(&chain(), stored[2..].to_vec(), head.as_deref(), None, &signer.keys()).holds());
    assert!(!prove(&chain(), stored[2..].to_vec(), Some(&old_head), None, &signer.keys()).holds());
}

#[tokio::test]
async fn an_entry_stays_small_however_many_reasons_there_are() {
    let (records, signer) = (Memory::default(), LocalSigner::from_seed(1));
    let finding = Finding::new(gatekeeper_model::finding::Code::ArtefactMissing, "modules", "x".repeat(3000));
    let refused = Event { findings: vec![finding; 20_000], ..event("1") };
    append(&records, &signer, &chain(), &refused, None, NOW).await.unwrap();
    let entry: Entry = serde_json::from_slice(&bytes(&records, &RecordKey::LedgerEntry(chain(), 1)).await).unwrap();
    assert_eq!((entry.event.findings.len(), entry.event.findings_left_out), (50, 19_950));
    assert!(bytes(&records, &RecordKey::LedgerHead(chain())).await.len() < 100_000);
    assert!(proof(&records, &signer, None).await.holds());
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
    for sequence in [4, 5] {
        records.delete(&RecordKey::LedgerEntry(chain(), sequence).to_string());
    }
    let short = proof(&records, &signer, None).await;
    assert_eq!(place(&short), (4, "the entry is missing"));

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

#[tokio::test]
async fn every_byte_of_every_entry_and_of_the_head_that_changes_is_found() {
    let (records, signer) = chain_of(3).await;
    let (stored, head) = read_since(&records, &chain(), 1, &signer.keys()).await.unwrap();
    let files: Vec<_> = stored.into_iter().map(|it| it.bytes).chain(head).collect();
    let holds = |mut files: Vec<Vec<u8>>| {
        let head = files.pop();
        let entries = (1..).zip(files).map(|(place, bytes)| StoredEntry::of(place, bytes)).collect();
        prove(&chain(), entries, head.as_deref(), None, &signer.keys()).holds()
    };
    assert!(holds(files.clone()));
    for (file, at) in (0..files.len()).flat_map(|file| (0..files[file].len()).map(move |at| (file, at))) {
        let mut changed = files.clone();
        changed[file][at] ^= 1 << (at % 8);
        assert!(!holds(changed), "file {file}, byte {at}");
    }
}

fn revocation(commit: char, manifest: &str, is_of_before: bool) -> Event {
    let sha: CommitSha = commit.to_string().repeat(40).parse().unwrap();
    Event {
        kind: Kind::Revocation,
        id: format!("revocation/{sha}/{manifest}"),
        commit_sha: Some(sha),
        manifest_version_id: (!is_of_before).then(|| manifest.into()),
        outcome: "revoked".to_owned(),
        ..event("")
    }
}

/// The head as gatekeepers wrote it before heads told what holds by all entries.
async fn forget_what_stands(records: &Memory, signer: &LocalSigner, chain: &Chain) {
    let key = RecordKey::LedgerHead(chain.clone());
    let mut head = Statement::<LedgerHead>::open_under(&bytes(records, &key).await, &signer.keys()).unwrap();
    head.predicate.standing = None;
    let head = head.sign(signer).await.unwrap().dsse;
    records.upload(&key.to_string(), &head, &[]);
}

#[tokio::test]
async fn a_chain_whose_beginning_was_removed_does_not_hold() {
    for removed in 1..=4 {
        let (records, signer) = chain_of(4).await;
        for sequence in 1..=removed {
            records.delete(&RecordKey::LedgerEntry(chain(), sequence).to_string());
        }
        assert_eq!(place(&proof(&records, &signer, None).await), (1, "the entry is missing"), "{removed} of 4");
    }
}

#[tokio::test]
async fn a_head_tells_every_revocation_in_one_read() {
    let (records, signer, chain) = (Memory::default(), LocalSigner::from_seed(1), Chain::of_gate(chain().repo));
    assert_eq!(standing(&records, &chain, &signer.keys()).await.unwrap(), Standing::default());
    for event in [revocation('a', "m1", false), revocation('b', "m2", false), revocation('a', "m3", false)] {
        append(&records, &signer, &chain, &event, None, NOW).await.unwrap();
    }
    let (before, ..) = records.counts();
    let told = standing(&records, &chain, &signer.keys()).await.unwrap();
    assert_eq!(records.counts().0 - before, 1);
    let revokes =
        |commit: char, manifest: &str| told.revokes(&commit.to_string().repeat(40).parse().unwrap(), &manifest.into());
    assert!(revokes('a', "m1") && revokes('a', "m3") && revokes('b', "m2"));
    assert!(!revokes('a', "m2") && !revokes('c', "m1"));
}

#[tokio::test]
async fn what_an_older_head_does_not_tell_its_entries_do() {
    let (records, signer, chain) = (Memory::default(), LocalSigner::from_seed(1), Chain::of_gate(chain().repo));
    for event in [revocation('a', "m1", true), revocation('b', "m2/unreadable", true)] {
        append(&records, &signer, &chain, &event, None, NOW).await.unwrap();
    }
    let told = standing(&records, &chain, &signer.keys()).await.unwrap();
    forget_what_stands(&records, &signer, &chain).await;
    assert_eq!(standing(&records, &chain, &signer.keys()).await.unwrap(), told, "read from the entries");
    append(&records, &signer, &chain, &revocation('c', "m3", false), None, NOW).await.unwrap();
    let told = standing(&records, &chain, &signer.keys()).await.unwrap();
    assert_eq!(told.revoked.len(), 3, "and the next head tells them again: {told:?}");

    forget_what_stands(&records, &signer, &chain).await;
    records.delete(&RecordKey::LedgerEntry(chain.clone(), 1).to_string());
    let error = standing(&records, &chain, &signer.keys()).await.unwrap_err();
    assert!(matches!(error, StandingError::Broken { sequence: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_head_tells_which_document_of_the_stage_was_signed_last() {
    let (records, signer) = chain_of(1).await;
    let document = |sha256| RecordDigest { key: "stages/uat/bank-payments.json".to_owned(), version_id: None, sha256 };
    let (first, second) = (document(Sha256::of(b"1")), document(Sha256::of(b"2")));
    for stage_record in [Some(first), Some(second.clone()), None] {
        let event = Event { stage_record, ..event("") };
        append(&records, &signer, &chain(), &event, None, NOW).await.unwrap();
    }
    let told = standing(&records, &chain(), &signer.keys()).await.unwrap();
    assert_eq!(told.stage_record, Some(second), "what changed nothing leaves it");
}
