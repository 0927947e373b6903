//! Promotions that fail: the record says why, and the commit before comes back where there is one. And going back by
//! hand (CONTRACT §5).

use e2e::{
    commit::{Commit, the_template, the_zip},
    promotion::{Promotions, STAGE, a_commit, a_repo, break_template, change_template, outcomes, rollback_of},
    zips,
};
use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter},
    ids::Sha256,
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    facts::{SmokeFacts, StackFacts},
    record::{PromotionRecord, Status},
    step::{Direction, ReportStatus},
};
use serde_json::json;

const FORWARD: Direction = Direction::Forward;
const BACK: Direction = Direction::Back;

fn zip_of(commit: &Commit) -> Sha256 {
    Sha256::of(&commit.objects[&the_zip()])
}

/// The live code of a commit's one function, by the record of a promotion.
async fn code(here: &Promotions, record: &PromotionRecord) -> Sha256 {
    here.live(record.live[0].function_name.as_ref().unwrap()).await.code
}

/// Nothing tells that a commit is deployed to the stage that it failed on.
async fn is_not_deployed(here: &Promotions, commit: &Commit) {
    let handoff = RecordKey::DeployedHandoff(commit.id.clone(), "MOD-012".parse().unwrap());
    assert!(here.aws.record(&handoff).await.is_none());
}

/// The handoff that the stage went back from a commit to another one.
async fn is_rolled_back(here: &Promotions, commit: &Commit, to: &Commit, was_deployed: bool) {
    let key = |kind: fn(_, _) -> RecordKey| kind(commit.id.clone(), "MOD-012".parse().unwrap());
    let document = here.aws.record(&key(RecordKey::RolledBackHandoff)).await.unwrap();
    let text = String::from_utf8(document).unwrap();
    let read = FrontMatter::of(&text).unwrap();
    assert_eq!((read.build_status, read.stage.as_str()), (BuildStatus::RolledBack, STAGE), "{text}");
    let deployed = key(RecordKey::DeployedHandoff).to_string();
    assert_eq!(read.supersedes, was_deployed.then_some(deployed), "{text}");
    assert!(text.contains(&format!("to `{}`", to.id.sha)), "{text}");
}

#[tokio::test]
async fn a_first_promotion_that_fails_has_no_way_back_and_says_why() {
    let here = Promotions::get().await;
    let repo = a_repo("first-fails");
    let mut commit = a_commit(&here.aws, &repo, 200);
    break_template(&mut commit);
    let commit = here.built(commit).await;
    let record = here.promote(&commit, STAGE).await;
    assert_eq!((record.status, &record.way_back), (Status::Failed, &None));
    assert_eq!(outcomes(&record), [("apply-stack", FORWARD, vec![ReportStatus::Failed])]);
    let report = &record.steps[0].reports[0];
    let facts: StackFacts = report.facts.read().unwrap();
    let reason = facts.reasons.read().unwrap().unwrap()[0].as_str();
    assert!(reason.starts_with("`Policy` (AWS::IAM::Policy) CREATE_FAILED: "), "{reason}");
    assert!(reason.contains("no-such-role"), "the resource's own reason: {reason}");
    assert!(report.detail.contains(reason), "{}", report.detail);
    assert_eq!(here.state(&repo, STAGE).await, None);
    is_not_deployed(&here, &commit).await;

    // What the failed creation has left is in nobody's way.
    let mended = here.a_commit(&repo, 200).await;
    let record = here.promoted(&mended, STAGE).await;
    assert_eq!(code(&here, &record).await, zip_of(&mended));
}

#[tokio::test]
async fn a_first_promotion_whose_smoke_test_fails_has_no_way_back() {
    let here = Promotions::get().await;
    let repo = a_repo("first-smokes");
    let commit = here.a_commit(&repo, 500).await;
    let record = here.promote(&commit, STAGE).await;
    assert_eq!((record.status, &record.way_back), (Status::Failed, &None));
    assert_eq!(
        outcomes(&record),
        [
            ("apply-stack", FORWARD, vec![ReportStatus::Applied]),
            ("deploy-function", FORWARD, vec![ReportStatus::Unchanged]),
            ("migrate-database", FORWARD, vec![]),
            ("smoke-test", FORWARD, vec![ReportStatus::Failed]),
        ]
    );
    let report = &record.steps[3].reports[0];
    assert!(report.detail.contains("500"), "it says what was answered: {}", report.detail);
    let facts: SmokeFacts = report.facts.read().unwrap();
    assert!(facts.attempts.read().unwrap().is_some_and(|attempts| *attempts > 1), "{report:?}");
    // The record tells what runs there all the same, and the stage's pointer does not.
    assert_eq!((record.live[0].code_sha256, record.live[0].is_promoted_code), (Some(zip_of(&commit)), true));
    assert_eq!(here.state(&repo, STAGE).await, None);
    is_not_deployed(&here, &commit).await;
}

#[tokio::test]
async fn a_failing_smoke_test_brings_the_commit_before_back() {
    let here = Promotions::get().await;
    let repo = a_repo("smokes");
    let (good, bad) = (here.a_commit(&repo, 200).await, here.a_commit(&repo, 500).await);
    here.promoted(&good, STAGE).await;
    let before = here.state(&repo, STAGE).await;

    let record = here.promote(&bad, STAGE).await;
    assert_eq!(record.status, Status::RolledBack);
    assert_eq!(
        outcomes(&record),
        [
            ("apply-stack", FORWARD, vec![ReportStatus::Applied]),
            ("deploy-function", FORWARD, vec![ReportStatus::Unchanged]),
            ("migrate-database", FORWARD, vec![]),
            ("smoke-test", FORWARD, vec![ReportStatus::Failed]),
            ("apply-stack", BACK, vec![ReportStatus::Applied]),
            ("deploy-function", BACK, vec![ReportStatus::Unchanged]),
            ("migrate-database", BACK, vec![]),
            ("smoke-test", BACK, vec![ReportStatus::Passed]),
        ]
    );
    assert_eq!(code(&here, &record).await, zip_of(&good));
    assert_eq!((record.live[0].code_sha256, record.live[0].is_promoted_code), (Some(zip_of(&good)), false));
    assert_eq!(here.state(&repo, STAGE).await, before, "the stage runs what it ran");
    is_not_deployed(&here, &bad).await;
    is_rolled_back(&here, &bad, &good, false).await;
    // And it is as it was for whoever comes next.
    here.promoted(&good, STAGE).await;
}

#[tokio::test]
async fn a_failing_change_set_is_rolled_back_by_cloudformation_and_the_commit_before_proved() {
    let here = Promotions::get().await;
    let repo = a_repo("change-set");
    let good = here.a_commit(&repo, 200).await;
    here.promoted(&good, STAGE).await;
    let mut bad = a_commit(&here.aws, &repo, 200);
    break_template(&mut bad);
    let bad = here.built(bad).await;
    let record = here.promote(&bad, STAGE).await;
    assert_eq!(record.status, Status::RolledBack);
    assert_eq!(outcomes(&record)[0], ("apply-stack", FORWARD, vec![ReportStatus::Failed]));
    let detail = &record.steps[0].reports[0].detail;
    assert!(detail.contains("`Policy` (AWS::IAM::Policy)") && detail.contains("no-such-role"), "{detail}");
    assert_eq!(outcomes(&record).last().unwrap(), &("smoke-test", BACK, vec![ReportStatus::Passed]));
    assert_eq!(code(&here, &record).await, zip_of(&good));
}

#[tokio::test]
async fn a_change_set_that_cloudformation_refuses_touches_nothing() {
    let here = Promotions::get().await;
    let repo = a_repo("refused");
    let good = here.a_commit(&repo, 200).await;
    let before = here.promoted(&good, STAGE).await;
    let mut bad = a_commit(&here.aws, &repo, 200);
    change_template(&mut bad, |template| {
        template["Parameters"]["LogLevel"]["AllowedValues"] = json!(["none", "debug"]);
    });
    let bad = here.built(bad).await;
    let record = here.promote(&bad, STAGE).await;
    assert_eq!(record.status, Status::RolledBack);
    let detail = &record.steps[0].reports[0].detail;
    assert!(detail.starts_with("cloudformation refuses") && detail.contains("LogLevel"), "{detail}");
    assert_eq!(
        outcomes(&record)[1..],
        [
            ("apply-stack", BACK, vec![ReportStatus::Unchanged]),
            ("deploy-function", BACK, vec![ReportStatus::Unchanged]),
            ("migrate-database", BACK, vec![]),
            ("smoke-test", BACK, vec![ReportStatus::Passed]),
        ]
    );
    assert_eq!(record.live[0].code_sha256, before.live[0].code_sha256);
}

#[tokio::test]
async fn a_way_back_that_fails_is_told_with_what_runs_then() {
    let here = Promotions::get().await;
    let repo = a_repo("no-way");
    let (good, bad) = (here.a_commit(&repo, 200).await, here.a_commit(&repo, 500).await);
    let before = here.promoted(&good, STAGE).await;
    let state = here.state(&repo, STAGE).await;
    // The stored template of the commit before is gone for good.
    let template = &before.plan.stacks[0].template;
    let delete = here.aws.root.s3.delete_object().bucket(good.bucket()).key(good.key(&the_template()));
    delete.version_id(template.version_id.as_str()).send().await.unwrap();

    let record = here.promote(&bad, STAGE).await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(
        outcomes(&record)[3..],
        [("smoke-test", FORWARD, vec![ReportStatus::Failed]), ("apply-stack", BACK, vec![ReportStatus::Failed]),]
    );
    let detail = &record.steps[4].reports[0].detail;
    assert!(detail.contains(template.version_id.as_str()) && detail.contains("gone from the store"), "{detail}");
    assert_eq!((record.live[0].code_sha256, record.live[0].is_promoted_code), (Some(zip_of(&bad)), true));
    assert_eq!(here.state(&repo, STAGE).await, state, "nothing has completed since");
}

#[tokio::test]
async fn a_rollback_goes_to_the_commit_before_and_then_further_back() {
    let here = Promotions::get().await;
    let repo = a_repo("back");
    let mut commits = Vec::new();
    for _ in 0..3 {
        commits.push(here.a_commit(&repo, 200).await);
        here.promoted(commits.last().unwrap(), STAGE).await;
    }
    for (from, goal) in [(&commits[2], &commits[1]), (&commits[1], &commits[0])] {
        let record = here.ended(&here.start(&rollback_of(&repo, None, STAGE)).await).await;
        assert_eq!((record.status, record.rollback), (Status::Succeeded, true));
        assert_eq!(record.commit_sha, goal.id.sha);
        assert_eq!(record.reason, "payments are rejected");
        assert_eq!(code(&here, &record).await, zip_of(goal));
        let state = here.state(&repo, STAGE).await.unwrap();
        assert_eq!((&state.commit_sha, &state.promotion_id), (&goal.id.sha, &record.promotion_id));
        is_rolled_back(&here, from, goal, true).await;
    }
    // To a given one, forward again.
    let record = here.ended(&here.start(&rollback_of(&repo, Some(&commits[2]), STAGE)).await).await;
    assert_eq!((record.status, &record.commit_sha), (Status::Succeeded, &commits[2].id.sha));
    assert_eq!(code(&here, &record).await, zip_of(&commits[2]));
    let deployed = RecordKey::DeployedHandoff(commits[2].id.clone(), "MOD-012".parse().unwrap());
    let again = FrontMatter::of(&String::from_utf8(here.aws.record(&deployed).await.unwrap()).unwrap()).unwrap();
    assert_eq!(again.timestamp, record.ended_at.unwrap(), "it is Deployed again");
}

#[tokio::test]
async fn a_rollback_that_fails_is_not_rolled_back() {
    let here = Promotions::get().await;
    let repo = a_repo("back-fails");
    // What the old commit needs to answer right: whoever runs its function can take it away.
    let needed = tempfile::NamedTempFile::new().unwrap();
    let mut old = a_commit(&here.aws, &repo, 200);
    let code_of_old = format!(
        "exports.handler = async () => ({{statusCode: require('fs').existsSync('{}') ? 200 : 500, body: '{}'}});\n",
        needed.path().display(),
        old.id.sha
    );
    old.objects.insert(the_zip(), zips::of(&[("index.js", code_of_old.as_bytes())]));
    old.list();
    let (old, new) = (here.built(old).await, here.a_commit(&repo, 200).await);
    here.promoted(&old, STAGE).await;
    let promoted = here.promoted(&new, STAGE).await;
    let state = here.state(&repo, STAGE).await.unwrap();
    drop(needed);

    let record = here.ended(&here.start(&rollback_of(&repo, None, STAGE)).await).await;
    assert_eq!((record.status, record.rollback, &record.way_back), (Status::Failed, true, &None));
    assert_eq!(record.commit_sha, old.id.sha);
    assert_eq!(outcomes(&record).last().unwrap(), &("smoke-test", FORWARD, vec![ReportStatus::Failed]));
    assert_eq!(code(&here, &promoted).await, zip_of(&old), "it stays where the rollback has put it");
    assert_eq!(here.state(&repo, STAGE).await, Some(state));
}
