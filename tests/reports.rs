//! Raw reports at the gate: what they show counts, whatever the manifest says of them.

use e2e::{
    commit::{Commit, junit, path},
    instance::Instance,
};
use gatekeeper_model::{
    finding::Code,
    ids::Sha256,
    store_key::{ArtefactPath, RecordKey},
    verdict::Outcome,
};
use serde_json::json;

fn integration_xml() -> ArtefactPath {
    path("reports/integration.xml")
}

/// A report of tests whose guards all fired.
fn skipped(tests: usize) -> Vec<u8> {
    let case = |index| format!("<testcase classname=\"integration\" name=\"test {index}\"><skipped/></testcase>");
    let cases: String = (1..=tests).map(case).collect();
    format!("<testsuites><testsuite name=\"integration\">{cases}</testsuite></testsuites>").into_bytes()
}

#[tokio::test]
async fn integration_tests_that_were_silently_skipped_are_rejected() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (aws.ci().await, Commit::new(&aws, "silent"));
    commit.objects.insert(integration_xml(), skipped(31));
    commit.list();
    commit.publish(&ci).await;
    let figures = [
        (Code::ReportMismatch, "tests.integration.passed"),
        (Code::ReportMismatch, "tests.integration.skipped"),
        (Code::IntegrationSkipped, "tests.integration"),
        (Code::IntegrationMissing, "tests.integration"),
    ];
    aws.becomes(&commit, Outcome::Rejected, &figures).await;
    // The truth doesn't help either.
    commit.manifest["tests"]["integration"]["passed"] = json!(0);
    commit.manifest["tests"]["integration"]["skipped"] = json!(31);
    commit.put_manifest(&ci, &commit.manifest).await;
    let truth = [(Code::IntegrationSkipped, "tests.integration"), (Code::IntegrationMissing, "tests.integration")];
    aws.becomes(&commit, Outcome::Rejected, &truth).await;
}

#[tokio::test]
async fn a_report_edited_after_the_upload_takes_the_commit_back() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (aws.ci().await, Commit::new(&aws, "edited-report"));
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    let original = commit.objects.insert(integration_xml(), junit("integration", 32)).unwrap();
    commit.put(&ci, &integration_xml()).await;
    let edited = [(Code::DigestMismatch, "reports/integration.xml")];
    aws.becomes(&commit, Outcome::Rejected, &edited).await;
    commit.objects.insert(integration_xml(), original);
    commit.put(&ci, &integration_xml()).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
}

#[tokio::test]
async fn a_test_of_the_last_built_commit_may_only_go_by_name() {
    let aws = Instance::get().await;
    let (ci, first) = (aws.ci().await, Commit::new(&aws, "vanished"));
    first.publish(&ci).await;
    aws.becomes(&first, Outcome::Built, &[]).await;

    let mut next = Commit::new(&aws, "vanished-next");
    next.id.repo = first.id.repo.clone();
    next.manifest["repo"] = json!(next.id.repo);
    next.objects.insert(integration_xml(), junit("integration", 29));
    next.list();
    next.manifest["tests"]["integration"]["passed"] = json!(29);
    next.publish(&ci).await;
    let gone = ["integration › test 30", "integration › test 31"];
    aws.becomes(&next, Outcome::Rejected, &gone.map(|name| (Code::IntegrationVanished, name))).await;

    next.manifest["tests"]["integration"]["removed_tests"] = json!(gone);
    next.put_manifest(&ci, &next.manifest).await;
    let verdict = aws.becomes(&next, Outcome::Built, &[]).await;
    assert_eq!(verdict.compared_with.unwrap().commit_sha, first.id.sha);
}

#[tokio::test]
async fn the_policy_binds_the_repositories_that_it_names() {
    let aws = Instance::get().await;
    let (ci, commit, other) = (aws.ci().await, Commit::new(&aws, "policy-bound"), Commit::new(&aws, "policy-free"));
    let change = json!({"min_line_coverage": 90, "require": ["exit-codes"], "waive": ["policy"]});
    let policy = json!({"schema_version": 1, "repos": {(commit.id.repo.as_str()): change}}).to_string().into_bytes();
    let key = RecordKey::PolicyConfig.to_string();
    let put = aws.root.s3.put_object().bucket(&aws.outputs.records_bucket).key(key);
    let put = put.checksum_sha256(Sha256::of(&policy).to_base64()).body(policy.into()).send().await.unwrap();

    commit.publish(&ci).await;
    let asked = [
        (Code::CoverageBelowThreshold, "tests.unit.line_coverage"),
        (Code::ExitCodeMissing, "tests.typecheck.exit_code"),
        (Code::ExitCodeMissing, "tests.unit.exit_code"),
        (Code::ExitCodeMissing, "tests.policy.exit_code"),
    ];
    let verdict = aws.becomes(&commit, Outcome::Rejected, &asked).await;
    assert_eq!(verdict.policy_version_id, put.version_id().map(Into::into));

    other.publish(&ci).await;
    aws.becomes(&other, Outcome::Built, &[]).await;
}

#[tokio::test]
async fn a_smoke_test_that_passed_hands_dev_off_as_deployed() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (aws.ci().await, Commit::new(&aws, "smoke"));
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    let key = RecordKey::DeployedHandoff(commit.id.clone(), "MOD-012".parse().unwrap());
    assert_eq!(aws.record(&key).await, None);
    commit.manifest["tests"]["smoke"] = json!({"exit_code": 0});
    commit.put_manifest(&ci, &commit.manifest).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    let handoff = String::from_utf8(aws.record(&key).await.unwrap()).unwrap();
    assert!(handoff.contains("build_status: Deployed\nstage: dev\n"), "{handoff}");
}
