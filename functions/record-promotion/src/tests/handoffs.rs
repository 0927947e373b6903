//! What a rollback hands off, and what follows it.

use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter},
    ids::{Commit, ModuleId},
};

use super::*;

const BEFORE: &str = "01J00000000000000000000000";

/// The promotion that had brought another commit, as it was recorded.
async fn with_promotion_before(world: &World, commit: &str) -> Commit {
    let before = PromotionRecord {
        promotion_id: BEFORE.parse().unwrap(),
        commit_sha: sha(commit),
        status: Status::Succeeded,
        ended_at: Some("2026-05-02T03:00:00Z".parse().unwrap()),
        ..record(false, false)
    };
    let key = PromotionRecord::key(&before.reference());
    record::write(&world.records, &key, &before, &Precondition::Absent).await.unwrap();
    before.commit()
}

fn handed_off(world: &World, kind: fn(Commit, ModuleId) -> RecordKey, commit: &Commit) -> Option<String> {
    let key = kind(commit.clone(), "MOD-012".parse().unwrap()).to_string();
    world.records.bytes_of(&key).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn a_rollback_hands_off_what_the_stage_went_back_from() {
    let rollback = PromotionRecord { promotion_before: Some(BEFORE.parse().unwrap()), ..record(true, false) };
    let world = World::started(&rollback).await;
    let commit = with_promotion_before(&world, "c").await;
    let deployed = RecordKey::DeployedHandoff(commit.clone(), "MOD-012".parse().unwrap()).to_string();
    let there = format!(
        "---\nmodule_id: MOD-012\nrepo: bank-payments\ncommit_sha: \"{}\"\nbuild_status: Deployed\nstage: uat\n\
         timestamp: \"2026-05-02T03:00:00Z\"\nevidence: e\n---\n",
        commit.sha
    );
    world.records.upload(&deployed, there.as_bytes(), &[]);
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    let document = handed_off(&world, RecordKey::RolledBackHandoff, &commit).unwrap();
    insta::assert_snapshot!(document);
    assert_eq!(handed_off(&world, RecordKey::RolledBackHandoff, &rollback.commit()), None);

    let writes = world.records.counts().1;
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert_eq!(world.records.counts().1, writes, "twice is once");
}

#[tokio::test]
async fn a_promotion_that_was_rolled_back_by_itself_is_handed_off_as_such() {
    let world = World::started(&record(false, true)).await;
    world.outcome(&input(Direction::Forward, Some(Step::SmokeTest), None)).await.unwrap();
    let of = record(false, true).commit();
    assert_eq!(handed_off(&world, RecordKey::RolledBackHandoff, &of), None, "it is under way");
    let answer = world.outcome(&input(Direction::Back, None, None)).await.unwrap();
    assert_eq!(answer.status, Status::RolledBack);
    let document = handed_off(&world, RecordKey::RolledBackHandoff, &of).unwrap();
    let read = FrontMatter::of(&document).unwrap();
    assert_eq!((read.build_status, read.supersedes), (BuildStatus::RolledBack, None));
    assert!(document.contains("because its promotion failed"), "{document}");
    assert_eq!(world.handoff(), None);
}

#[tokio::test]
async fn a_rollback_whose_commit_before_nobody_can_tell_is_recorded_all_the_same() {
    let rollback = PromotionRecord { promotion_before: Some(BEFORE.parse().unwrap()), ..record(true, false) };
    let world = World::started(&rollback).await;
    let answer = world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert_eq!((answer.status, world.is_locked()), (Status::Succeeded, false));
}

/// The newest of the two tells: what was rolled back and is promoted again is Deployed again.
#[tokio::test]
async fn what_is_promoted_again_is_deployed_again() {
    let world = World::started(&record(false, true)).await;
    let commit = record(false, true).commit();
    let document = |status: &str, stage: &str, at: &str| {
        format!(
            "---\nmodule_id: MOD-012\nrepo: bank-payments\ncommit_sha: \"{}\"\nbuild_status: {status}\nstage: {stage}\n\
             timestamp: \"2026-05-02T{at}:00Z\"\nevidence: e\n---\n",
            commit.sha
        )
    };
    let put = |kind: fn(Commit, ModuleId) -> RecordKey, text: String| {
        world.records.upload(&kind(commit.clone(), "MOD-012".parse().unwrap()).to_string(), text.as_bytes(), &[]);
    };
    put(RecordKey::DeployedHandoff, document("Deployed", "uat", "03:00"));
    put(RecordKey::RolledBackHandoff, document("RolledBack", "prod", "03:05"));
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    assert!(world.handoff().unwrap().contains("evidence: e\n"), "it was not this stage that went back");
    put(RecordKey::RolledBackHandoff, document("RolledBack", "uat", "03:05"));
    world.outcome(&input(Direction::Forward, None, None)).await.unwrap();
    let again = FrontMatter::of(&world.handoff().unwrap()).unwrap();
    assert_eq!(again.timestamp, now());
    assert!(again.supersedes.unwrap().contains("-ci-rolled-back-"));
}
