//! What is listed of waivers, whatever became of them.

use gatekeeper_promotion::waiver::{agreeing, ending};
use gatekeeper_proof::LocalSigner;
use serde_json::json;

use super::*;
use crate::records::tests::World;

fn at(time: &str) -> Timestamp {
    format!("2026-05-{time}:00:00Z").parse().unwrap()
}

fn args(expired: bool) -> Args {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let mut arguments = vec!["waivers"];
    arguments.extend(expired.then_some("--expired"));
    <Cli as clap::Parser>::parse_from(arguments).args
}

/// A proposal of Ann's for `prod`, whose id ends with `last`.
async fn proposed(world: &World, last: char, until: Timestamp) -> Waiver {
    let word = json!({
        "schema_version": 1, "waiver_id": format!("01J000000000000000000000 {last}").replace(' ', "0"), "stage": "prod",
        "repo": "bank-payments", "code": "stage-frozen", "until": until, "proposed_at": at("06T09"),
        "proposed_by": {"arn": "arn:aws:sts::111122223333:assumed-role/approver/ann@bank.example",
                        "person": "ann@bank.example", "user_id": "AROAEXAMPLE:ann@bank.example",
                        "account": "111122223333"},
        "reason": "the regulator's fix must go out",
    });
    let signer = LocalSigner::from_seed(3);
    let signed = SignedWord::sign(serde_json::from_value::<ProposedWaiver>(word).unwrap(), &signer).await.unwrap();
    let place = RecordKey::ProposedWaiver("prod".parse().unwrap(), signed.word.waiver_id.clone());
    world.put(&place, &serde_json::to_value(&signed).unwrap());
    let keys = gatekeeper_proof::KeyHolder::trusted(&signer).await.unwrap();
    let given =
        gatekeeper_promotion::waiver::GivenProposal::read(&world.records, &place, &keys).await.unwrap().unwrap();
    let agreed_by = serde_json::from_value(json!("bob@bank.example")).unwrap();
    given.agreed(agreed_by, at("06T10"))
}

#[tokio::test]
async fn what_counts_waits_is_over_or_was_ended_is_listed_with_who_and_why() {
    let world = World::default();
    world.configure(r#"{"dev": {}, "prod": {}}"#);
    world.records.upload(
        "config/policy.json",
        br#"{"schema_version": 1, "all": {"waive": ["dcm"]}, "repos": {"bank-core": {"waive": ["tested-bytes"]}}}"#,
        &[],
    );
    let (chain, signer) = (Chain::of_holds(&"prod".parse().unwrap()), LocalSigner::from_seed(2));
    let append = async |event, now| {
        ledger::append(&world.records, &signer, &chain, &event, None, now).await.unwrap();
    };
    let (over, ended) = (proposed(&world, 'A', at("06T12")).await, proposed(&world, 'B', at("09T18")).await);
    for waiver in [&over, &ended, &proposed(&world, 'C', at("09T18")).await] {
        append(agreeing(waiver, "looked at it"), waiver.agreed_at).await;
    }
    append(ending(&ended, "bob@bank.example", "it is out"), at("06T11")).await;
    proposed(&world, 'D', at("10T18")).await;

    let (document, troubles) = look(&args(false), world.stores(), at("07T09")).await.unwrap();
    assert_eq!(troubles, Vec::<String>::new());
    let states: Vec<_> = document.waivers.iter().map(|it| it.state).collect();
    assert_eq!(states, [State::InForce, State::Waiting]);
    let (document, _) = look(&args(true), world.stores(), at("07T09")).await.unwrap();
    insta::assert_snapshot!(anstream::adapter::strip_str(&text(&document, &args(true))), @"
    01J0000000000000000000000C  in force  stage-frozen of prod, until 2026-05-09T18:00:00Z
      for every commit of bank-payments
      by ann@bank.example and bob@bank.example: the regulator's fix must go out
    01J0000000000000000000000D  waiting  stage-frozen of prod, until 2026-05-10T18:00:00Z
      for every commit of bank-payments
      proposed by ann@bank.example: the regulator's fix must go out
      agree: gatekeeper waive --stage prod --agree 01J0000000000000000000000D --reason …
    01J0000000000000000000000A  over  stage-frozen of prod, until 2026-05-06T12:00:00Z
      for every commit of bank-payments
      by ann@bank.example and bob@bank.example: the regulator's fix must go out
    01J0000000000000000000000B  ended  stage-frozen of prod, until 2026-05-09T18:00:00Z
      for every commit of bank-payments
      by ann@bank.example and bob@bank.example: the regulator's fix must go out
      ended by bob@bank.example: it is out

    the policy lets be untold, until it is changed:
      dcm of every repository
      tested-bytes of bank-core
    ");
}

#[tokio::test]
async fn a_head_that_can_not_be_read_is_never_nothing_that_is_waived() {
    let world = World::default();
    world.configure(r#"{"prod": {}}"#);
    let head = RecordKey::LedgerHead(Chain::of_holds(&"prod".parse().unwrap())).to_string();
    world.records.upload(&head, b"no head", &[]);
    let (_, troubles) = look(&args(false), world.stores(), at("07T09")).await.unwrap();
    assert_eq!(troubles, ["what is waived on `prod` can't be told: `ledger/holds/stage-prod/head.json` can't be read"]);
}
