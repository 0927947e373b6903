//! What people read, and that they read it once, wherever a run is killed.

use std::cell::RefCell;

use gatekeeper_model::finding::Code;
use gatekeeper_proof::LocalSigner;
use gatekeeper_store::memory::Memory;

use super::*;

fn drift(findings: &[Finding]) -> Drift {
    let findings: Vec<_> = findings
        .iter()
        .map(|it| json!({"code": it.code, "subject": it.subject, "message": it.message, "first_seen": "2026-05-02T03:15:00Z"}))
        .collect();
    serde_json::from_value(json!({
        "schema_version": 1, "stage": "uat", "repo": "bank-payments", "commit_sha": "a".repeat(40),
        "promotion_id": "01J0000000000000000000000A", "checked_at": "2026-05-02T03:15:00Z",
        "changed_at": "2026-05-02T03:15:00Z", "since": null, "findings": findings, "told": [],
    }))
    .unwrap()
}

fn finding(subject: &str) -> Finding {
    Finding::new(Code::FunctionChanged, subject, "it runs other code")
}

#[test]
fn people_read_what_has_changed_and_where_to_look() {
    let drift = drift(&[finding("authorise"), finding("refund")]);
    let change = Change { new: vec![finding("authorise")], resolved: vec![finding("settle")] };
    insta::assert_snapshot!(format!("{}\n\n{}", subject(&drift), message(&drift, &change)), @r#"
    drift on uat: bank-payments (2 differences)

    Stage uat no longer runs bank-payments as promotion 01J0000000000000000000000A left it.
    Commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, looked at 2026-05-02T03:15:00Z.

    New:
    - function-changed authorise: it runs other code

    No longer so:
    - function-changed settle: it runs other code

    Found earlier, and still so: 1.

    See: gatekeeper status --stage uat --repo bank-payments
    "#);
}

#[test]
fn a_bus_is_told_of_what_is_new_and_of_what_is_gone() {
    let mut drift = drift(&[finding("authorise"), finding("refund")]);
    let told = notifications(&drift);
    assert_eq!(told.iter().map(|it| it.happened).collect::<Vec<_>>(), [Happened::DriftFound]);
    assert_eq!(told[0].detail.codes, [Code::FunctionChanged]);
    assert!(told[0].detail.promotion_id.is_some());
    drift = drift.as_told();
    assert_eq!(notifications(&drift), [], "it was told before");
    drift.findings.clear();
    assert_eq!(notifications(&drift).iter().map(|it| it.happened).collect::<Vec<_>>(), [Happened::DriftResolved]);
}

#[test]
fn people_read_that_all_is_well_again() {
    let change = Change { new: Vec::new(), resolved: vec![finding("authorise")] };
    insta::assert_snapshot!(format!("{}\n\n{}", subject(&drift(&[])), message(&drift(&[]), &change)), @r#"
    drift on uat: bank-payments (back to what was promoted)

    Stage uat runs bank-payments again as promotion 01J0000000000000000000000A left it.
    Commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, looked at 2026-05-02T03:15:00Z.

    No longer so:
    - function-changed authorise: it runs other code

    See: gatekeeper status --stage uat --repo bank-payments
    "#);
}

#[test]
fn a_message_stays_readable_however_much_has_changed() {
    let many: Vec<_> = (0..500).map(|number| finding(&format!("f{number}"))).collect();
    let (drift, change) = (drift(&many), Change { new: many, resolved: Vec::new() });
    let text = message(&drift, &change);
    assert!(text.contains("- and 480 more") && text.lines().count() < 30, "{text}");
    let long = Drift { repo: "r".repeat(100).parse().unwrap(), ..drift };
    assert_eq!(subject(&long).len(), MAX_SUBJECT);
}

fn key() -> RecordKey {
    RecordKey::Drift("uat".parse().unwrap(), "bank-payments".parse().unwrap())
}

/// One run that finds this; gives whether it came to its end.
async fn run(records: &Memory, signer: &LocalSigner, people: &RefCell<Vec<String>>, found: &Drift) -> bool {
    let Ok(before) = record::read::<Drift>(records, &key()).await else { return false };
    let told = before.as_ref().map(|before| before.record.told.clone()).unwrap_or_default();
    let log = Logger::silent();
    let publish = async |subject: String, _| {
        people.borrow_mut().push(subject);
        Ok(())
    };
    let telling = Telling { records, signer, people: publish, now: found.checked_at, log: &log };
    telling.tell(Drift { told, ..found.clone() }, before.as_ref()).await.is_ok()
}

#[tokio::test]
async fn killed_at_any_call_and_started_again_a_change_is_in_the_ledger_once_and_people_hear_of_it() {
    let found = drift(&[finding("authorise")]);
    let mut killed = 0;
    for call in 1.. {
        let (records, signer, people) = (Memory::default(), LocalSigner::from_seed(1), RefCell::default());
        records.fail_at_call(Some(call));
        let ended = run(&records, &signer, &people, &found).await;
        records.fail_at_call(None);
        if ended {
            break;
        }
        killed += 1;
        assert!(run(&records, &signer, &people, &found).await, "killed at call {call}");
        let stored = record::read::<Drift>(&records, &key()).await.unwrap().unwrap().record;
        assert!(stored.change().is_empty(), "killed at call {call}: {stored:?}");
        let chain = Chain { stage: stored.stage, repo: stored.repo };
        let proof = ledger::verify(&records, &chain, None, &signer.keys()).await.unwrap();
        assert_eq!((proof.newest, proof.broken), (1, None), "killed at call {call}");
        // Only a run that was killed between the message and the note that it was sent sends the message again.
        let people = people.into_inner();
        assert!(people[0] == "drift on uat: bank-payments (1 difference)" && people.len() <= 2, "{people:?}");
    }
    assert!(killed > 4, "the writes and reads of a telling");
}

#[tokio::test]
async fn on_top_of_a_chain_that_was_rolled_back_nothing_is_written_and_people_hear_of_it() {
    for (chain, entries) in [("uat/bank-payments", 0), ("gate/bank-payments", 1)] {
        let (records, signer, people) = (Memory::default(), LocalSigner::from_seed(1), RefCell::default());
        let found = drift(&[Finding::new(Code::LedgerRolledBack, chain, "it ends at entry 3")]);
        assert!(run(&records, &signer, &people, &found).await);
        assert_eq!(people.borrow().len(), 1);
        let chain = Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() };
        let proof = ledger::verify(&records, &chain, None, &signer.keys()).await.unwrap();
        assert_eq!((proof.newest, proof.broken), (entries, None));
    }
}

#[tokio::test]
async fn nothing_new_is_not_told_and_not_written() {
    let (records, signer, people) = (Memory::default(), LocalSigner::from_seed(1), RefCell::default());
    let found = drift(&[finding("authorise")]);
    for _ in 0..3 {
        assert!(run(&records, &signer, &people, &found).await);
    }
    assert_eq!(people.borrow().len(), 1);
    let (_, writes, _) = records.counts();
    assert_eq!(writes, 4, "the document before and after it was told, the ledger's entry and its head");
    assert!(run(&records, &signer, &people, &drift(&[])).await);
    assert_eq!(people.borrow()[1], "drift on uat: bank-payments (back to what was promoted)");
}
