use serde_json::json;

use super::*;

fn proof() -> Value {
    json!({"method": "POST", "headers": {}, "body": ""})
}

fn hold_event() -> Value {
    json!({"action": "hold", "stage": "uat", "reason": "the error rate doubled", "identity_proof": proof()})
}

fn stop_event() -> Value {
    json!({"action": "stop", "stage": "uat", "repo": "bank-payments", "promotion_id": "01J0000000000000000000000A",
           "reason": "the wrong commit", "identity_proof": proof()})
}

fn release_event() -> Value {
    json!({"action": "release", "stage": "uat", "hold_id": "01J0000000000000000000000H", "reason": "normal again",
           "identity_proof": proof()})
}

#[test]
fn what_is_asked_of_the_brake_is_read_back_as_it_was_written() {
    for event in [hold_event(), stop_event()] {
        assert!(BrakeRequest::is_in(&event));
        let (request, _) = BrakeRequest::parse(&event).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), event);
    }
    let (request, _) = ReleaseRequest::parse(&release_event()).unwrap();
    assert_eq!(serde_json::to_value(&request).unwrap(), release_event());
}

#[test]
fn every_wrong_field_is_named() {
    let wrong = |event: Value| BrakeRequest::parse(&event).unwrap_err().to_string();
    insta::assert_snapshot!(wrong(json!({"action": "pause", "stage": "UAT", "repo": "bank-payments"})), @"`repo`: unknown field; `action`: neither `hold`, `stop`, `agree-to-waiver` nor `end-waiver`; leave it out to ask for a promotion; `stage`: `UAT` is not a valid stage name: 1 to 32 of `a-z`, `0-9` and `-`, starting with a letter; `reason`: missing; `identity_proof`: missing");
    insta::assert_snapshot!(wrong(json!({"action": "stop", "stage": "uat", "promotion_id": "01J"})), @"`repo`: missing; `promotion_id`: `01J` is not a valid promotion id: 26 characters of Crockford's base 32; `reason`: missing; `identity_proof`: missing");
    insta::assert_snapshot!(ReleaseRequest::parse(&json!({"action": "approve", "stage": "uat"})).unwrap_err().join("; "), @"`action`: neither `release`, `withdraw` nor `waive`; leave it out to approve a commit; `hold_id`: missing; `reason`: missing; `identity_proof`: missing");
}

#[test]
fn a_proof_is_bound_to_what_is_asked_and_of_what() {
    let digest = |event: &Value| {
        let (request, _) = BrakeRequest::parse(event).unwrap();
        request.bound(&Chain::of_holds(&request.stage)).digest()
    };
    let (hold, stop) = (hold_event(), stop_event());
    let changed = |event: &Value, name: &str, value: &str| {
        let mut event = event.clone();
        event[name] = json!(value);
        event
    };
    let others = [
        changed(&hold, "stage", "prod"),
        changed(&hold, "reason", "nothing"),
        stop.clone(),
        changed(&stop, "repo", "bank-core"),
        changed(&stop, "promotion_id", "01J0000000000000000000000B"),
    ];
    let digests: BTreeSet<_> = others.iter().chain([&hold]).map(digest).collect();
    assert_eq!(digests.len(), others.len() + 1);
    let (release, _) = ReleaseRequest::parse(&release_event()).unwrap();
    assert!(!digests.contains(&release.bound(&Chain::of_holds(&release.stage)).digest()));
}

#[test]
fn a_late_release_lets_go_of_its_own_hold_only() {
    let hold = |id: &str| Hold {
        id: format!("01J0000000000000000000000{id}").parse().unwrap(),
        by: "jane".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        reason: "the error rate doubled".to_owned(),
        interrupted: BTreeSet::new(),
    };
    let (one, other) = (hold("A"), hold("B"));
    let release = |hold: &Hold| event(Kind::Release, hold, "ann", "normal again", "released");
    let standing = ledger::Standing::default().after(&holding(&one));
    assert_eq!(standing.hold.as_ref(), Some(&one));
    assert_eq!(standing.clone().after(&release(&one)).hold, None);
    assert_eq!(standing.after(&release(&one)).after(&holding(&other)).after(&release(&one)).hold, Some(other));
}

#[test]
fn a_head_that_can_not_be_read_is_never_a_stage_that_nothing_holds() {
    let uat: StageName = "uat".parse().unwrap();
    assert_eq!(unproved_standing(&uat, None), Ok(Standing::default()));
    for head in
        [&b"no JSON"[..], br#"{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}"#]
    {
        assert_eq!(unproved_standing(&uat, Some(head)).unwrap_err().code, Code::LedgerBroken);
    }
}
