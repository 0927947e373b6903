//! What waits for whose approval, by what the ledger tells that somebody asked for.

use gatekeeper_promotion::{
    approval::{Approval, SignedApproval, Withdrawal},
    entry,
    request::PromotionRequest,
};
use gatekeeper_proof::{KeyHolder as _, LocalSigner};
use serde_json::{Value, json};

use super::*;
use crate::records::tests::{World, commit};

/// Two commits that `uat` ran and that Rita asked to promote to `prod`, which wants two approvals; another is Ann's.
async fn world() -> World {
    let world = World::default();
    world.configure(r#"{"uat": {}, "prod": {"requires": "deployed:uat", "approvals": 2}}"#);
    let [first, second, gone] = ["0000001", "0000002", "0000003"].map(|start| commit("bank-payments", start));
    for (number, commit) in [&first, &second, &gone].into_iter().enumerate() {
        world.judged(commit, number + 1, "built", &Value::Null);
    }
    world.ran("uat", &[&first, &second, &gone]);
    world.ran("prod", &[&gone]);
    for (commit, minute) in [(&gone, 1), (&first, 2), (&second, 3)] {
        refused(&world, commit, "approvals-missing", minute).await;
    }
    world
}

async fn refused(world: &World, commit: &Commit, code: &str, minute: u8) {
    let request = json!({"repo": commit.repo, "commit_sha": commit.sha, "stage": "prod", "reason": "release 2026-05",
                         "requested_by": "arn:aws:sts::111122223333:assumed-role/promoter/rita@bank.example"});
    let reasons = json!([{"code": code, "message": "0 of 2 approvals", "subject": "prod"}]);
    let event = entry::of_refusal(
        &PromotionRequest::parse(&request).unwrap(),
        &serde_json::from_value::<Vec<_>>(reasons).unwrap(),
        &format!("01J00000000000000000000R{minute:02}").parse().unwrap(),
    );
    let chain = Chain { stage: "prod".parse().unwrap(), repo: commit.repo.clone() };
    let now = format!("2026-05-03T10:{minute:02}:00Z").parse().unwrap();
    ledger::append(&world.records, &LocalSigner::from_seed(2), &chain, &event, None, now).await.unwrap();
}

async fn approved(world: &World, commit: &Commit, person: &str, withdrawn: Option<Withdrawal>) {
    let verdict: Value =
        record::read(&world.records, &RecordKey::Verdict(commit.clone())).await.unwrap().unwrap().record;
    let approval = json!({
        "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "stage": "prod",
        "manifest_version_id": verdict["manifest_version_id"], "approved_at": "2026-05-03T11:00:00Z",
        "reason": "looked at it", "break_glass": false, "withdrawn": withdrawn,
        "approved_by": {"person": person, "arn": format!("arn:aws:sts::111122223333:assumed-role/approver/{person}"),
                        "account": "111122223333", "user_id": "AROAEXAMPLE"},
    });
    let approval: Approval = serde_json::from_value(approval).unwrap();
    let place = Approval::key(&approval.stage, commit, &approval.approved_by.person);
    let signed = SignedApproval::sign(approval, &LocalSigner::from_seed(3)).await.unwrap();
    world.put(&place, &serde_json::to_value(signed).unwrap());
}

async fn waiting(world: &World, me: Option<&str>) -> (Vec<Row>, Vec<String>) {
    let key = async { Ok(LocalSigner::from_seed(3).trusted().await?) };
    let now = "2026-05-04T00:00:00Z".parse().unwrap();
    look(None, me.map(Person::named), world.stores(), key, now).await.unwrap()
}

fn all() -> Args {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    <Cli as clap::Parser>::parse_from(["approvals"]).args
}

#[tokio::test]
async fn what_was_asked_for_and_lacks_approvals_is_listed_with_who_gave_one_and_the_line_to_type() {
    let world = world().await;
    let first = commit("bank-payments", "0000001");
    approved(&world, &first, "ann@bank.example", None).await;
    let withdrawn = Withdrawal { at: "2026-05-03T12:00:00Z".parse().unwrap(), reason: "saw a fault".to_owned() };
    approved(&world, &first, "ben@bank.example", Some(withdrawn)).await;
    let (rows, troubles) = waiting(&world, None).await;
    assert_eq!(troubles, Vec::<String>::new());
    let text = text(&rows, &all());
    insta::assert_snapshot!(anstream::adapter::strip_str(&text), @"
    1 of 2  bank-payments@000000100000 to prod
      asked for by rita@bank.example at 2026-05-03 10:02 (UTC): release 2026-05
      written by jane@bank.example
      approved by ann@bank.example
      ben@bank.example doesn't count: it was withdrawn at 2026-05-03T12:00:00Z: saw
      a fault
      gatekeeper approve --stage prod --repo bank-payments --sha 000000100000 --reason …
    0 of 2  bank-payments@000000200000 to prod
      asked for by rita@bank.example at 2026-05-03 10:03 (UTC): release 2026-05
      written by jane@bank.example
      gatekeeper approve --stage prod --repo bank-payments --sha 000000200000 --reason …
    ");
    // Two are enough: it waits for nobody any more.
    approved(&world, &first, "cleo@bank.example", None).await;
    let (rows, _) = waiting(&world, None).await;
    assert_eq!(rows.iter().map(|it| &it.commit_sha.as_str()[..7]).collect::<Vec<_>>(), ["0000002"]);
}

#[tokio::test]
async fn only_that_is_ones_own_to_approve_which_ones_word_would_count_for() {
    let world = world().await;
    approved(&world, &commit("bank-payments", "0000001"), "ann@bank.example", None).await;
    let number = async |me| waiting(&world, Some(me)).await.0.len();
    // Jane wrote them, Rita asked, Ann has approved one of them.
    for (me, own) in
        [("jane@bank.example", 0), ("rita@bank.example", 0), ("ann@bank.example", 1), ("ben@bank.example", 2)]
    {
        assert_eq!(number(me).await, own, "{me}");
    }
}

#[tokio::test]
async fn what_was_refused_for_something_else_since_waits_for_that() {
    let world = world().await;
    refused(&world, &commit("bank-payments", "0000001"), "stage-frozen", 4).await;
    let (rows, _) = waiting(&world, None).await;
    assert_eq!(rows.iter().map(|it| &it.commit_sha.as_str()[..7]).collect::<Vec<_>>(), ["0000002"]);
}

#[tokio::test(start_paused = true)]
async fn it_takes_four_dependent_round_trips() {
    let world = world().await;
    let ((rows, _), trips) = world.round_trips(waiting(&world, None)).await;
    assert_eq!((rows.len(), trips), (2, 4));
}
