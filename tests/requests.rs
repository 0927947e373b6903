//! Hands on tags (CONTRACT §4): a request for the decision, a forged `true`, a deleted tag, a hand on the brake.

use e2e::{
    commit::{Commit, TEAM, the_zip},
    instance::{Caller, Instance},
    watch::{self, PATIENCE, eventually, tags},
};
use gatekeeper_model::{
    finding::Code,
    store_key::{ArtefactPath, RecordKey},
    verdict::{Outcome, Revocation},
};
use serde_json::Value;

const TRUE: (&str, &str) = ("integration-passed", "true");
const FALSE: (&str, &str) = ("integration-passed", "false");

/// A commit that has become `outcome`, and CI.
async fn a_commit(aws: &Instance, name: &str, outcome: Outcome) -> (Caller, Commit) {
    let (ci, commit) = (aws.ci().await, Commit::new(aws, name));
    commit.put_artefacts(&ci).await;
    let built = outcome == Outcome::Built;
    commit.put_manifest(&ci, &if built { commit.manifest.clone() } else { commit.before_integration() }).await;
    aws.becomes(&commit, outcome, &[]).await;
    aws.quiet(&commit).await;
    (ci, commit)
}

/// Waits until the gate has put an object's tag to `value`.
async fn comes_back(aws: &Instance, commit: &Commit, path: &ArtefactPath, value: &str) {
    let look = async || tags(&aws.root, commit.bucket(), &commit.key(path)).await.unwrap();
    let agrees = |tags: &watch::Tags| tags.get(TRUE.0).is_some_and(|it| it == value);
    eventually("the tag comes back", PATIENCE, look, agrees).await;
}

/// Waits for the warning that somebody's tag was set back.
async fn warned_of(aws: &Instance, commit: &Commit, path: &ArtefactPath, who: &str) {
    let key = commit.key(path);
    let told = |line: &Value| {
        let by = line["principal"].as_str();
        line["level"] == "WARN" && line["key"] == *key && by.is_some_and(|it| it.ends_with(who))
    };
    let line = aws.log_line("the warning with who did it", commit.id.repo.as_str(), told).await;
    assert_eq!(line["integration_passed_before"], "true");
}

#[tokio::test]
async fn ci_may_ask_for_the_decision_by_the_manifests_tag_and_gets_it() {
    let aws = Instance::get().await;
    let (ci, commit) = a_commit(&aws, "asks", Outcome::Registered).await;
    commit.tag(&ci, &ArtefactPath::Manifest, &[TRUE, TEAM]).await;
    comes_back(&aws, &commit, &ArtefactPath::Manifest, "false").await;
    warned_of(&aws, &commit, &ArtefactPath::Manifest, ":pipeline").await;
    aws.quiet(&commit).await;
    aws.becomes(&commit, Outcome::Registered, &[]).await;
    let seen = tags(&ci, commit.bucket(), &commit.manifest_key()).await.unwrap();
    assert_eq!(seen[TEAM.0], TEAM.1, "CI's own tag survives");
    assert!(aws.record(&RecordKey::Revocation(commit.id.clone())).await.is_none());

    // Asking again after Built changes nothing.
    commit.put_manifest(&ci, &commit.manifest).await;
    let built = aws.becomes(&commit, Outcome::Built, &[]).await;
    commit.tag(&ci, &ArtefactPath::Manifest, &[TRUE]).await;
    aws.quiet(&commit).await;
    assert_eq!(aws.becomes(&commit, Outcome::Built, &[]).await, built);
}

#[tokio::test]
async fn a_true_that_an_administrator_forges_on_an_artefact_is_set_back() {
    let aws = Instance::get().await;
    let (_, commit) = a_commit(&aws, "forged", Outcome::Registered).await;
    commit.tag(&aws.root, &the_zip(), &[TRUE, TEAM]).await;
    comes_back(&aws, &commit, &the_zip(), "false").await;
    warned_of(&aws, &commit, &the_zip(), "111122223333").await;
    aws.quiet(&commit).await;
    aws.becomes(&commit, Outcome::Registered, &[]).await;
}

#[tokio::test]
async fn a_true_before_there_is_a_manifest_is_set_back_too() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "early"));
    commit.put(&ci, &the_zip()).await;
    aws.becomes(&commit, Outcome::Incomplete, &[(Code::ManifestMissing, "build-manifest.json")]).await;
    commit.tag(&aws.root, &the_zip(), &[TRUE]).await;
    comes_back(&aws, &commit, &the_zip(), "false").await;
}

#[tokio::test]
async fn a_tag_set_that_is_deleted_or_falsified_after_built_is_put_back() {
    let aws = Instance::get().await;
    let (_, commit) = a_commit(&aws, "deleted", Outcome::Built).await;
    commit.untag(&aws.root, &the_zip()).await;
    comes_back(&aws, &commit, &the_zip(), "true").await;
    // The manifest's too: a tag that is gone is no hand on the brake.
    commit.untag(&aws.root, &ArtefactPath::Manifest).await;
    comes_back(&aws, &commit, &ArtefactPath::Manifest, "true").await;
    // Only the manifest's tag is the brake.
    commit.tag(&aws.root, &the_zip(), &[FALSE]).await;
    comes_back(&aws, &commit, &the_zip(), "true").await;
    aws.quiet(&commit).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    assert!(aws.record(&RecordKey::Revocation(commit.id.clone())).await.is_none());
}

#[tokio::test]
async fn a_hand_on_the_brake_revokes_until_there_is_a_new_manifest() {
    let aws = Instance::get().await;
    let (ci, commit) = a_commit(&aws, "brake", Outcome::Built).await;
    let promoter = aws.promoter().await;
    commit.tag(&promoter, &ArtefactPath::Manifest, &[FALSE, TEAM]).await;
    let revoked = [(Code::Revoked, "build-manifest.json")];
    let verdict = aws.becomes(&commit, Outcome::Revoked, &revoked).await;

    let key = RecordKey::Revocation(commit.id.clone());
    let record: Revocation = serde_json::from_slice(&aws.record(&key).await.unwrap()).unwrap();
    assert_eq!(Some(&record.manifest_version_id), verdict.manifest_version_id.as_ref());
    assert!(record.revoked_by.ends_with(":jane@bank.example"), "{record:?}");

    // CI asks again, and an artefact is touched: it stays revoked.
    aws.quiet(&commit).await;
    commit.tag(&ci, &ArtefactPath::Manifest, &[TRUE, TEAM]).await;
    comes_back(&aws, &commit, &ArtefactPath::Manifest, "false").await;
    commit.put(&ci, &the_zip()).await;
    aws.quiet(&commit).await;
    aws.becomes(&commit, Outcome::Revoked, &revoked).await;
    assert_eq!(aws.versions(&key).await, 1, "one hand on the brake, one record");

    commit.put_manifest(&ci, &commit.manifest).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
}

#[tokio::test]
async fn a_written_revocation_with_its_reason_stands_as_it_was_written() {
    let aws = Instance::get().await;
    let (_, commit) = a_commit(&aws, "revocation", Outcome::Built).await;
    let promoter = aws.promoter().await;
    let revocation = Revocation {
        schema_version: 1,
        repo: commit.id.repo.clone(),
        commit_sha: commit.id.sha.clone(),
        manifest_version_id: aws.verdict(&commit).await.unwrap().manifest_version_id.unwrap(),
        revoked_by: "jane@bank.example".to_owned(),
        revoked_at: "2026-05-02T04:05:06Z".parse().unwrap(),
        reason: "rounds amounts the wrong way".to_owned(),
    };
    let key = RecordKey::Revocation(commit.id.clone());
    let put = promoter.s3.put_object().bucket(&aws.outputs.records_bucket).key(key.to_string());
    put.body(serde_json::to_vec(&revocation).unwrap().into()).send().await.unwrap();
    // A record is no event of the artefact bucket: the tag is what wakes the gate.
    let mut present = tags(&promoter, commit.bucket(), &commit.manifest_key()).await.unwrap();
    present.insert(FALSE.0.to_owned(), FALSE.1.to_owned());
    let present: Vec<_> = present.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    commit.tag(&promoter, &ArtefactPath::Manifest, &present).await;

    let verdict = aws.becomes(&commit, Outcome::Revoked, &[(Code::Revoked, "build-manifest.json")]).await;
    assert_eq!(verdict.reasons[0].message, "taken back by `jane@bank.example`: rounds amounts the wrong way");
    aws.quiet(&commit).await;
    let record: Revocation = serde_json::from_slice(&aws.record(&key).await.unwrap()).unwrap();
    assert_eq!(record, revocation);
}
