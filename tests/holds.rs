//! The brake on the local AWS: a promotion is stopped, a stage is held and released.

use e2e::{
    promotion::{HELD_STAGE, SLOW_STAGE, Started, started},
    watch::{PATIENCE, eventually},
};
use gatekeeper_promotion::step::Direction;

use super::*;

/// What runs in a stage by now.
async fn runs(people: &People, stage: &str) -> String {
    people.here.state(&people.repo, stage).await.unwrap().commit_sha.to_string()
}

/// Starts a promotion that goes on until somebody stops it: its function answers wrong, and is asked again and again.
async fn endless(people: &People, stage: &str) -> (Commit, Started) {
    let commit = people.here.built(a_commit(&people.here.aws, &people.repo, 500)).await;
    let event = promotion_of(&commit, stage);
    let told = people.promote(&commit, stage, &["--no-follow"]).await;
    assert_eq!(told.code, 0, "{told:#?}");
    let started = started(&event, &told.document);
    (commit, started)
}

/// The steps that a record tells in a direction.
fn steps(record: &PromotionRecord, direction: Direction) -> Vec<&str> {
    record.steps.iter().filter(|it| it.direction == direction).map(|it| it.step.as_str()).collect()
}

#[tokio::test]
async fn a_promotion_that_is_stopped_goes_back_and_tells_who_stopped_it() {
    let people = People::new("stopped").await;
    let good = people.a_commit().await;
    people.promote(&good, SLOW_STAGE, &[]).await.record();
    let (_, started) = endless(&people, SLOW_STAGE).await;
    let id = started.promotion.promotion_id.as_str();
    let stop = ["stop", id, "--reason", "the wrong commit", "--no-follow"];
    let told = people.run(&people.here.promoter, &stop).await;
    assert_eq!(
        (told.code, &told.document["status"], &told.document["by"]),
        (0, &json!("stopping"), &json!(JANE)),
        "{told:#?}"
    );

    let record = people.here.ended(&started).await;
    assert_eq!(record.status, Status::RolledBack);
    let stopped = record.stopped.as_ref().unwrap();
    assert_eq!((stopped.by.as_deref(), stopped.reason.as_str()), (Some(JANE), "the wrong commit"));
    let last = record.steps.iter().rfind(|it| it.direction == Direction::Forward).unwrap();
    let told = &last.reports.last().unwrap().detail;
    assert!(told.starts_with(&format!("stopped by `{JANE}` at ")) && told.ends_with(": the wrong commit"), "{told}");
    assert_eq!(steps(&record, Direction::Back).last(), Some(&"smoke-test"));
    assert_eq!(runs(&people, SLOW_STAGE).await, good.id.sha.as_str());
    let entry = people.ledger(SLOW_STAGE).await.pop().unwrap();
    assert_eq!((entry.event.kind, entry.event.outcome.as_str()), (Kind::Promotion, "rolled-back"));
    assert_eq!(entry.event.findings[0].code, Code::PromotionStopped);

    // It has ended, and there is nothing to stop.
    let told = people.run(&people.here.promoter, &stop).await;
    assert_eq!(told.codes(), [Code::PromotionNotStoppable].into());
}

#[tokio::test]
async fn a_held_stage_takes_nothing_new_until_an_approver_releases_it() {
    let people = People::new("held").await;
    let (first, second) = (people.a_commit().await, people.a_commit().await);
    for commit in [&first, &second] {
        people.promote(commit, HELD_STAGE, &[]).await.record();
    }
    let (third, started) = endless(&people, HELD_STAGE).await;
    let hold = ["hold", "--stage", HELD_STAGE, "--reason", "the error rate doubled"];
    let told = people.run(&people.here.promoter, &hold).await;
    assert_eq!((told.code, &told.document["status"]), (0, &json!("held")), "{told:#?}");
    assert_eq!(told.document["sent_back"][0]["promotion_id"], json!(started.promotion.promotion_id));
    let record = people.here.ended(&started).await;
    assert_eq!((record.status, record.hold), (Status::RolledBack, None));
    let stopped = record.stopped.unwrap();
    assert_eq!((stopped.by.as_deref(), json!(stopped.hold)), (Some(JANE), told.document["hold"]["id"].clone()));

    // Nothing new comes, and who asks is told who holds it and why; a dry run is planned all the same.
    let told = people.promote(&third, HELD_STAGE, &[]).await;
    let reasons = told.reasons();
    assert_eq!(reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::StageOnHold]);
    assert!(reasons[0].message.contains(JANE) && reasons[0].message.contains("the error rate doubled"), "{reasons:?}");
    let told = people.promote(&third, HELD_STAGE, &["--dry-run"]).await;
    assert_eq!(told.codes(), [Code::StageOnHold].into());
    assert!(told.document["plan_sha256"].is_string(), "{told:#?}");
    let status = people.run(&people.here.promoter, &["status", "--stage", HELD_STAGE]).await;
    assert_eq!(status.document[0]["hold"]["by"], JANE, "{status:#?}");

    // A rollback passes, and its record tells what it passed.
    let rollback = rollback_of(&people.repo, None, HELD_STAGE);
    let record = people.here.ended(&people.here.start(&rollback).await).await;
    assert_eq!((record.status, record.hold.map(|it| it.by)), (Status::Succeeded, Some(JANE.to_owned())));
    assert_eq!(runs(&people, HELD_STAGE).await, first.id.sha.as_str());

    // To let go takes the approver's role.
    let release = ["release", "--stage", HELD_STAGE, "--reason", "the error rate is normal again"];
    let mut command = people.here.aws.command(&people.here.promoter).await;
    let denied = tokio::task::spawn_blocking(move || command.args(release).output().unwrap()).await.unwrap();
    assert_eq!(denied.status.code(), Some(3), "{}", String::from_utf8_lossy(&denied.stderr));
    let bob = people.here.aws.approver(BOB).await;
    let told = people.run(&bob, &release).await;
    assert_eq!(
        (told.code, &told.document["status"], &told.document["released_by"]),
        (0, &json!("released"), &json!(BOB))
    );
    people.promote(&second, HELD_STAGE, &[]).await.record();
    let told = people.run(&bob, &release).await;
    assert_eq!(told.codes(), [Code::StageNotHeld].into());

    // All of it stands in the ledger, which holds.
    let chain = Chain::of_holds(&HELD_STAGE.parse().unwrap());
    let entries = [1, 2].map(|place| RecordKey::LedgerEntry(chain.clone(), place));
    let mut told = Vec::new();
    for entry in entries {
        let entry: Entry = serde_json::from_value(people.stored(&entry).await).unwrap();
        told.push((entry.event.kind, entry.event.by));
    }
    assert_eq!(told, [(Kind::Hold, JANE.to_owned()), (Kind::Release, BOB.to_owned())]);
    let auditor = people.here.aws.auditor().await;
    let verify = ["ledger", "verify", "--stage", chain.stage.as_str(), "--repo", chain.repo.as_str()];
    let proved =
        eventually("the chain is proved", PATIENCE, async || people.run(&auditor, &verify).await, |it| it.code == 0);
    assert_eq!(proved.await.document[0]["newest"], 2);
}
