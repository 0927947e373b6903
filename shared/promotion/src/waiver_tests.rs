//! What can be proposed and agreed to, and by whom.

use gatekeeper_proof::{KeyHolder as _, LocalSigner, ledger::Standing};
use gatekeeper_store::memory::Memory;
use serde_json::json;

use super::*;

const ID: &str = "01J0000000000000000000000A";

fn at(time: &str) -> Timestamp {
    format!("2026-05-{time}:00:00Z").parse().unwrap()
}

fn identity(role: &str, person: &str) -> Identity {
    let arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/{person}");
    Identity::of(&arn, "111122223333", &format!("AROAEXAMPLE:{person}"), "111122223333").unwrap()
}

fn event() -> Value {
    json!({"action": "waive", "stage": "prod", "repo": "bank-payments", "code": "stage-frozen",
           "until": "2026-05-07T18:00:00Z", "reason": "the regulator's fix must go out",
           "identity_proof": {"method": "POST", "headers": {}, "body": ""}})
}

fn proposed() -> ProposedWaiver {
    let (request, _) = WaiveRequest::parse(&event()).unwrap();
    ProposedWaiver::of(&request, ID.parse().unwrap(), identity("approver", "ann@bank.example"), at("06T09"))
}

async fn given(word: ProposedWaiver, change: impl FnOnce(&mut SignedWord<ProposedWaiver>)) -> GivenProposal {
    let (records, signer) = (Memory::default(), LocalSigner::from_seed(3));
    let mut signed = SignedWord::sign(word, &signer).await.unwrap();
    change(&mut signed);
    let place = RecordKey::ProposedWaiver("prod".parse().unwrap(), ID.parse().unwrap());
    records.upload(&place.to_string(), &record::to_bytes(&signed).unwrap(), &[]);
    GivenProposal::read(&records, &place, &signer.trusted().await.unwrap()).await.unwrap().unwrap()
}

#[test]
fn a_waiver_is_proposed_for_a_rule_until_a_time_with_a_reason() {
    let (request, _) = WaiveRequest::parse(&event()).unwrap();
    assert_eq!((request.code, request.until), (Code::StageFrozen, at("07T18")));
    let digest = |it: &WaiveRequest| it.bound(&it.terms()).digest();
    let longer = WaiveRequest { until: at("08T18"), ..request.clone() };
    assert_ne!(digest(&longer), digest(&request), "who asks proves until when");
    let wrong = json!({"action": "waive", "stage": "prod", "repo": "Bank", "code": "digest-mismatch", "until": "soon",
                       "reason": "now", "commit": "x"});
    insta::assert_snapshot!(WaiveRequest::parse(&wrong).unwrap_err().join("\n"), @"
    `commit`: unknown field
    `repo`: `Bank` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket
    `code`: `digest-mismatch` can't be waived; what can be is `requires-not-met`, `soak-not-over`, `stage-frozen`
    `until`: failed to parse four digit integer as year: invalid digit, expected 0-9 but got s
    `identity_proof`: missing
    `reason`: a waiver takes at least 10 characters, because it is read long after
    ");
}

#[test]
fn no_more_than_ninety_days_and_no_proof_can_be_waived() {
    assert_eq!(wrong_terms(Code::SoakNotOver, at("07T18"), at("06T09")), Vec::<String>::new());
    let later = at("06T09") + SignedDuration::from_hours(MAX_DAYS * 24) + SignedDuration::from_secs(1);
    let wrong = [
        wrong_terms(Code::SoakNotOver, at("06T09"), at("06T09")),
        wrong_terms(Code::SoakNotOver, later, at("06T09")),
        wrong_terms(Code::AttestationInvalid, at("07T18"), at("06T09")),
    ];
    insta::assert_snapshot!(wrong.concat().join("\n"), @"
    it would be over already: until 2026-05-06T09:00:00Z, and it is 2026-05-06T09:00:00Z
    until 2026-08-04T09:00:01Z is more than 90 days from now; propose it anew when that is over
    `attestation-invalid` can't be waived; what can be is `requires-not-met`, `soak-not-over`, `stage-frozen`
    ");
}

#[tokio::test]
async fn somebody_else_agrees_to_what_was_signed_while_its_time_is_not_over() {
    let (bob, identities) = (identity("promoter", "bob@bank.example").person, Identities::default());
    let why = async |word: ProposedWaiver, person: &Person, now: &str| {
        given(word, |_| {}).await.why_not(person, &identities, at(now)).join("; ")
    };
    assert_eq!(why(proposed(), &bob, "06T10").await, "");
    let ann = identity("promoter", "ann@bank.example").person;
    insta::assert_snapshot!(why(proposed(), &ann, "06T10").await, @"`ann@bank.example` proposed it, and somebody else must agree");
    insta::assert_snapshot!(why(proposed(), &bob, "08T10").await, @"it was until 2026-05-07T18:00:00Z");
    let planted = ProposedWaiver { code: Code::AttestationMissing, ..proposed() };
    insta::assert_snapshot!(why(planted, &bob, "06T10").await, @"`attestation-missing` can't be waived; what can be is `requires-not-met`, `soak-not-over`, `stage-frozen`");
    let lengthened = given(proposed(), |signed| signed.word.until = at("08T18")).await;
    insta::assert_snapshot!(lengthened.why_not(&bob, &identities, at("06T10")).join("; "), @"the proposal is not proved: it says something else than was signed; it must be proposed again");
    let copied = ProposedWaiver { waiver_id: "01J0000000000000000000000B".parse().unwrap(), ..proposed() };
    insta::assert_snapshot!(why(copied, &bob, "06T10").await, @"the proposal is not proved: it was signed for `approvals/prod/waivers/01J0000000000000000000000B.json`, and was copied from there; it must be proposed again");
}

#[tokio::test]
async fn a_head_tells_what_is_waived_until_somebody_ends_it() {
    let given = given(proposed(), |_| {}).await;
    let waiver = given.agreed(identity("promoter", "bob@bank.example").person, at("06T10"));
    assert!(given.word().is_of(&waiver));
    assert!(!given.word().is_of(&Waiver { until: at("08T18"), ..waiver.clone() }));
    let standing = Standing::default().after(&agreeing(&waiver, "the fix is tested"));
    assert_eq!(standing.waivers.values().collect::<Vec<_>>(), [&waiver]);
    assert_eq!(standing.clone().after(&ending(&waiver, "bob", "done")), Standing::default());
    // What is over makes room for the next one.
    let next = Waiver { id: "01J0000000000000000000000B".parse().unwrap(), agreed_at: at("07T18"), ..waiver.clone() };
    assert_eq!(standing.after(&agreeing(&next, "again")).waivers.into_keys().collect::<Vec<_>>(), [next.id]);
}
