//! A commit's raw reports at the gate: what they show is held against what the manifest says, and against the branch's last
//! Built commit; over the memory store.

use std::sync::LazyLock;

use gatekeeper_model::{
    finding::Code,
    ids::Sha256,
    store_key::{ArtefactPath, Form},
    suite::Suite,
};
use gatekeeper_proof::LocalSigner;
use gatekeeper_store::memory::Memory;
use serde_json::{Value, json};

use super::*;

/// The gate's key.
static SIGNER: LazyLock<LocalSigner> = LazyLock::new(|| LocalSigner::from_seed(1));
const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";
const THIRD: &str = "3333333333333333333333333333333333333333";

/// Two buckets, and the gate over them.
#[derive(Default)]
struct World {
    artefacts: Memory,
    records: Memory,
}

/// A commit with its reports, as CI publishes it.
struct Build {
    sha: &'static str,
    reports: Vec<(&'static str, &'static str, &'static str, String)>,
    manifest: Value,
}

fn junit(suite: &str, tests: &[&str]) -> String {
    let case = |name: &&str| format!("<testcase classname='{suite}' name='{name}'/>");
    format!("<testsuite name='{suite}'>{}</testsuite>", tests.iter().map(case).collect::<String>())
}

const LCOV: &str = "SF:a\nFN:1,f\nFNDA:1,f\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,1\nDA:5,0\nend_of_record\n";

impl Build {
    fn new(sha: &'static str) -> Self {
        Self {
            sha,
            reports: vec![
                ("unit", "junit", "unit.xml", junit("unit", &["a", "b"])),
                ("unit", "lcov", "lcov.info", LCOV.to_owned()),
                ("policy", "junit", "policy.xml", junit("policy", &["POL-004"])),
                ("integration", "junit", "integration.xml", junit("ledger", &["posts", "refunds", "rejects"])),
            ],
            manifest: json!({
                "schema_version": 1, "repo": "bank-payments", "commit_sha": sha, "branch": "main",
                "timestamp": "2026-05-02T03:04:05Z", "modules": [{"id": "MOD-012"}],
                "tests": {
                    "typecheck": {"errors": 0},
                    "unit": {"passed": 2, "failed": 0, "skipped": 0, "line_coverage": 80, "function_coverage": 100},
                    "policy": {"passed": 1, "failed": 0, "policies_satisfied": ["POL-004"]},
                    "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true}
                },
                "deploy": {"stage": "dev", "succeeded": true}
            }),
        }
    }

    fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        self.manifest.pointer_mut(parent).unwrap()[field] = value;
        self
    }

    fn report(mut self, file: &str, text: impl Into<String>) -> Self {
        self.reports.iter_mut().find(|it| it.2 == file).unwrap().3 = text.into();
        self
    }

    /// Its integration tests, in the report and in the manifest.
    fn integration(self, tests: &[&str]) -> Self {
        self.report("integration.xml", junit("ledger", tests)).with("/tests/integration/passed", json!(tests.len()))
    }

    fn without_report(mut self, file: &str) -> Self {
        self.reports.retain(|it| it.2 != file);
        self
    }
}

impl World {
    /// Publishes a commit and lets the gate settle it; the verdict's reasons as `code subject: message`.
    async fn judge(&self, build: &Build) -> (Outcome, Vec<String>) {
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: build.sha.parse().unwrap() };
        let mut manifest = build.manifest.clone();
        let reports = build.reports.iter().map(|(suite, format, file, text)| {
            self.artefacts.upload(&format!("{}reports/{file}", commit.prefix()), text.as_bytes(), &[]);
            json!({"suite": suite, "format": format, "file": file, "sha256": Sha256::of(text.as_bytes()), "size": text.len()})
        });
        manifest["reports"] = Value::Array(reports.collect());
        self.artefacts.upload(&ArtefactPath::Manifest.of(&commit), manifest.to_string().as_bytes(), &[]);
        self.drain().await;
        let verdict: Verdict = self.record(&RecordKey::Verdict(commit)).unwrap();
        let reason = |it: Finding| format!("{} {}: {}", it.code, it.subject, it.message).replace(build.sha, "SHA");
        (verdict.outcome, verdict.reasons.into_iter().map(reason).collect())
    }

    async fn drain(&self) {
        loop {
            let events = self.artefacts.take_events();
            if events.is_empty() {
                return;
            }
            for event in events {
                self.gate().settle(&event).await.unwrap();
            }
        }
    }

    fn gate(&self) -> Gate<'_, Memory> {
        Gate {
            artefacts: &self.artefacts,
            records: &self.records,
            log: Logger::silent(),
            clock: gatekeeper_model::telemetry::wall_clock,
            scratch: std::env::temp_dir(),
            signer: &*SIGNER,
            verifier: &NoVerifier,
        }
    }

    fn record<T: serde::de::DeserializeOwned>(&self, key: &RecordKey) -> Option<T> {
        Some(serde_json::from_slice(&self.records.bytes_of(&key.to_string())?).unwrap())
    }

    fn policy(&self, policy: &Value) {
        self.records.upload(&RecordKey::PolicyConfig.to_string(), policy.to_string().as_bytes(), &[]);
    }
}

#[track_caller]
fn codes(reasons: &[String]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.split_once(' ').unwrap().0).collect()
}

async fn built(build: Build) {
    assert_eq!(World::default().judge(&build).await, (Outcome::Built, vec![]));
}

async fn rejected(build: Build) -> String {
    let (outcome, reasons) = World::default().judge(&build).await;
    assert_eq!(outcome, Outcome::Rejected);
    reasons.join("\n")
}

#[tokio::test]
async fn what_the_manifest_says_of_its_reports_is_true() {
    built(Build::new(FIRST)).await;
}

#[tokio::test]
async fn a_summary_that_the_reports_do_not_bear_out_is_refused() {
    let skipped = "<testsuite name='ledger'><testcase name='posts'/><testcase name='refunds'><skipped/></testcase>\
                   <testcase name='rejects'><failure/></testcase></testsuite>";
    let told = Build::new(FIRST).report("integration.xml", skipped).with("/tests/unit/line_coverage", json!(87.1));
    insta::assert_snapshot!(rejected(told).await, @"
    report-mismatch tests.integration.failed: the manifest says 0, the reports show 1
    report-mismatch tests.integration.skipped: the manifest says 0, the reports show 1
    report-mismatch tests.integration.passed: the manifest says 3, the reports show 1
    report-mismatch tests.unit.line_coverage: the manifest says 87.1 %, the reports show 80.00 %
    integration-failed tests.integration: 1 of the integration tests failed
    integration-skipped tests.integration: 1 of the integration tests were skipped
    ");
}

#[tokio::test]
async fn a_report_that_is_none_breaks_off_or_contradicts_itself_is_refused() {
    let broken = Build::new(FIRST)
        .report("unit.xml", "<testsuite name='unit'><testcase name='a'/>")
        .report("policy.xml", "<testsuite name='policy' tests='1' failures='1'><testcase name='POL-004'/></testsuite>");
    insta::assert_snapshot!(rejected(broken).await, @"
    report-invalid bank-payments/SHA/reports/unit.xml: not JUnit XML: line 1: it ends inside of `testsuite`: the document is cut off
    report-contradictory bank-payments/SHA/reports/policy.xml: suite `policy` says that 1 failed, its cases show 0
    report-mismatch tests.policy.failed: the manifest says 0, the reports show 1
    policy-failed tests.policy: 1 of the policy tests failed
    ");
}

#[tokio::test]
async fn coverage_is_what_the_report_shows_and_not_what_is_told_of_it() {
    let lcov = "SF:a\nFN:1,f\nFNDA:1,f\nDA:1,1\nDA:2,1\nDA:3,0\nend_of_record\n".replace("end", "DA:4,1\nend");
    let told = Build::new(FIRST).report("lcov.info", lcov).with("/tests/unit/line_coverage", json!(75.05));
    insta::assert_snapshot!(rejected(told).await, @"coverage-below-threshold tests.unit.line_coverage: 75 % is below the 80 % that are asked for");
    built(Build::new(FIRST).with("/tests/unit/line_coverage", json!(80.04))).await;
}

#[tokio::test]
async fn a_process_that_failed_is_refused_whatever_its_report_says() {
    // Vitest writes `success: true` of a run with an unhandled error, and ends with 1.
    for step in ["typecheck", "unit", "policy", "integration"] {
        let reasons = rejected(Build::new(FIRST).with(&format!("/tests/{step}/exit_code"), json!(1))).await;
        let told = format!(
            "exit-code-failed tests.{step}.exit_code: the process ended with 1, whatever its report says: look at its log"
        );
        assert_eq!(reasons, told);
        built(Build::new(FIRST).with(&format!("/tests/{step}/exit_code"), json!(0))).await;
    }
}

#[tokio::test]
async fn reports_of_other_suites_and_formats_are_kept_and_not_counted() {
    let mut build = Build::new(FIRST);
    build.reports.push(("lint", "junit", "lint.xml", "anything".to_owned()));
    build.reports.push(("unit", "text", "unit.txt", "anything".to_owned()));
    built(build).await;
}

#[tokio::test]
async fn a_report_edited_after_the_upload_is_refused_and_taken_back_when_restored() {
    let world = World::default();
    assert_eq!(world.judge(&Build::new(FIRST)).await.0, Outcome::Built);
    let key = format!("bank-payments/{FIRST}/reports/integration.xml");
    let original = world.artefacts.bytes_of(&key).unwrap();
    let verdict = || {
        world.record::<Verdict>(&RecordKey::Verdict(Commit {
            repo: "bank-payments".parse().unwrap(),
            sha: FIRST.parse().unwrap(),
        }))
    };
    world.artefacts.upload(&key, junit("ledger", &["posts", "refunds", "rejectz"]).as_bytes(), &[]);
    world.drain().await;
    let after = verdict().unwrap();
    assert_eq!((after.outcome, after.reasons[0].code), (Outcome::Rejected, Code::DigestMismatch));
    world.artefacts.upload(&key, &original, &[]);
    world.drain().await;
    assert_eq!(verdict().unwrap().outcome, Outcome::Built);
}

#[tokio::test]
async fn an_integration_test_may_not_vanish_in_silence() {
    let world = World::default();
    assert_eq!(world.judge(&Build::new(FIRST)).await, (Outcome::Built, vec![]));

    let fewer = || Build::new(SECOND).integration(&["posts"]);
    let (outcome, reasons) = world.judge(&fewer()).await;
    assert_eq!(outcome, Outcome::Rejected);
    insta::assert_snapshot!(reasons.join("\n"), @"
    integration-vanished ledger › refunds: the last Built commit of `main`, `1111111111111111111111111111111111111111`, passed it, and this one did not: restore it, or name it in `tests.integration.removed_tests`
    integration-vanished ledger › rejects: the last Built commit of `main`, `1111111111111111111111111111111111111111`, passed it, and this one did not: restore it, or name it in `tests.integration.removed_tests`
    ");

    let named = fewer().with("/tests/integration/removed_tests", json!(["ledger › refunds", "ledger › rejects"]));
    assert_eq!(world.judge(&named).await, (Outcome::Built, vec![]));

    // From now on the smaller set is the one to keep.
    assert_eq!(world.judge(&Build::new(THIRD).integration(&["posts", "settles"])).await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn a_test_that_runs_several_times_may_not_run_fewer() {
    let world = World::default();
    assert_eq!(world.judge(&Build::new(FIRST).integration(&["pays", "pays", "posts"])).await, (Outcome::Built, vec![]));
    let fewer = || Build::new(SECOND).integration(&["pays", "posts"]);
    let (outcome, reasons) = world.judge(&fewer()).await;
    assert_eq!(outcome, Outcome::Rejected);
    insta::assert_snapshot!(reasons.join("\n"), @"integration-vanished ledger › pays: the last Built commit of `main`, `1111111111111111111111111111111111111111`, passed it 2 times, and this one 1: restore it, or name it in `tests.integration.removed_tests`");
    let named = fewer().with("/tests/integration/removed_tests", json!(["ledger › pays"]));
    assert_eq!(world.judge(&named).await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn what_a_header_alone_tells_of_is_shown_and_refused_of_integration_tests() {
    const SURPLUS: &str =
        "<testsuite name='a' tests='5'><testcase name='b'/><testcase name='c'/><testcase name='d'/></testsuite>";
    let message = "suite `a` says that it has 5 tests, its cases show 3: 2 are unexplained";
    let refused = rejected(Build::new(FIRST).report("integration.xml", SURPLUS)).await;
    assert_eq!(refused, format!("report-contradictory bank-payments/SHA/reports/integration.xml: {message}"));

    let world = World::default();
    let unit = Build::new(FIRST).report("unit.xml", SURPLUS).with("/tests/unit/passed", json!(3));
    assert_eq!(world.judge(&unit).await, (Outcome::Built, vec![]));
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: FIRST.parse().unwrap() };
    let verdict: Verdict = world.record(&RecordKey::Verdict(commit)).unwrap();
    assert_eq!(verdict.recounted[&Suite::Unit].unexplained, 2);
    let surplus: Vec<_> = verdict.warnings.iter().filter(|it| it.code == Code::TestsUnexplained).collect();
    assert_eq!(surplus.iter().map(|it| it.message.as_str()).collect::<Vec<_>>(), [message]);
}

#[tokio::test]
async fn what_was_built_and_signed_tells_every_end() {
    let world = World::default();
    let cases = "<testcase name='b'/><testcase name='c'><flakyFailure/></testcase>\
                 <testcase name='d'><skipped type='pytest.xfail'/></testcase>";
    let xml = format!("<testsuite name='a'>{cases}</testsuite>");
    let build = Build::new(FIRST)
        .report("integration.xml", xml)
        .with("/tests/integration/passed", json!(1))
        .with("/tests/integration/flaky", json!(1))
        .with("/tests/integration/expected_failures", json!(1));
    assert_eq!(world.judge(&build).await, (Outcome::Built, vec![]));
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: FIRST.parse().unwrap() };
    let envelope: Value = world.record(&RecordKey::BuiltAttestation(commit, Form::Dsse)).unwrap();
    let statement = {
        use base64::Engine as _;
        let payload = envelope["payload"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD.decode(payload).unwrap()
    };
    let statement: Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(
        statement["predicate"]["artefactGatekeeper_recounted"]["integration"],
        json!({"passed": 1, "failed": 0, "skipped": 0, "expected_failures": 1, "flaky": 1})
    );
}

#[tokio::test]
async fn a_commit_is_compared_with_nothing_where_an_earlier_report_can_not_be_told() {
    let key = RecordKey::LastBuilt("bank-payments".parse().unwrap(), Sha256::of(b"main"));
    let changes: [fn(&World, &mut Value); 2] = [
        |_, report| report["format"] = json!("of a later gate"),
        |world, report| {
            let none = b"no report";
            let version = world.artefacts.upload(&format!("bank-payments/{FIRST}/reports/integration.xml"), none, &[]);
            world.artefacts.take_events();
            report["version_id"] = json!(version);
            report["sha256"] = json!(Sha256::of(none));
            report["size"] = json!(none.len());
        },
    ];
    for change in changes {
        let world = World::default();
        world.judge(&Build::new(FIRST)).await;
        let mut last: Value = world.record(&key).unwrap();
        change(&world, &mut last["reports"][0]);
        world.records.upload(&key.to_string(), last.to_string().as_bytes(), &[]);
        assert_eq!(world.judge(&Build::new(SECOND).integration(&["posts"])).await, (Outcome::Built, vec![]));
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: SECOND.parse().unwrap() };
        let verdict: Verdict = world.record(&RecordKey::Verdict(commit)).unwrap();
        assert_eq!(verdict.compared_with, None, "a verdict names no commit that it was not compared with");
    }
}

#[tokio::test]
async fn an_earlier_commit_is_not_held_against_the_tests_of_later_ones() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    assert_eq!(
        world.judge(&Build::new(SECOND).integration(&["posts", "refunds", "rejects", "settles"])).await.0,
        Outcome::Built
    );
    for sha in [FIRST, SECOND] {
        world.artefacts.tag(&format!("bank-payments/{sha}/reports/unit.xml"), &[], "mallory");
    }
    assert_eq!(
        world.judge(&Build::new(FIRST).with("/timestamp", json!("2026-05-03T00:00:00Z"))).await,
        (Outcome::Built, vec![])
    );
    let again = Build::new(SECOND).integration(&["posts", "refunds", "rejects"]);
    assert_eq!(world.judge(&again).await, (Outcome::Built, vec![]), "only what the commit before it passed binds");
}

const MORE: [&str; 4] = ["posts", "refunds", "rejects", "settles"];

#[tokio::test]
async fn an_older_commit_that_is_built_again_is_neither_held_against_later_tests_nor_the_last_one() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    world.judge(&Build::new(SECOND).integration(&MORE)).await;
    // Its pipeline runs again, from the manifest before the integration tests on.
    let mut before =
        Build::new(FIRST).without_report("integration.xml").with("/timestamp", json!("2026-05-04T00:00:00Z"));
    before.manifest["tests"].as_object_mut().unwrap().remove("integration");
    world.artefacts.delete(&format!("bank-payments/{FIRST}/reports/integration.xml"));
    assert_eq!(world.judge(&before).await, (Outcome::Registered, vec![]));
    assert_eq!(world.judge(&Build::new(FIRST)).await, (Outcome::Built, vec![]));

    let (outcome, reasons) = world.judge(&Build::new(THIRD)).await;
    assert_eq!(
        (outcome, codes(&reasons)),
        (Outcome::Rejected, vec!["integration-vanished"]),
        "SECOND was the last one"
    );
}

#[tokio::test]
async fn a_commit_built_meanwhile_does_not_bind_one_that_was_seen_before() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    let mut early = Build::new(SECOND).without_report("integration.xml");
    early.manifest["tests"].as_object_mut().unwrap().remove("integration");
    assert_eq!(world.judge(&early).await.0, Outcome::Registered);
    assert_eq!(world.judge(&Build::new(THIRD).integration(&MORE)).await.0, Outcome::Built);
    assert_eq!(world.judge(&Build::new(SECOND)).await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn a_commit_that_was_built_on_another_branch_is_compared_on_this_one_too() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    let fewer = || Build::new(SECOND).integration(&["posts"]);
    assert_eq!(world.judge(&fewer().with("/branch", json!("feature"))).await, (Outcome::Built, vec![]));
    let (outcome, reasons) = world.judge(&fewer()).await;
    assert_eq!((outcome, codes(&reasons)), (Outcome::Rejected, vec!["integration-vanished"; 2]));
}

#[tokio::test]
async fn each_branch_keeps_its_own_tests() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    let branch = Build::new(SECOND).integration(&["posts"]).with("/branch", json!("feature/größer"));
    assert_eq!(world.judge(&branch).await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn raw_reports_once_given_may_not_be_left_out() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    let (outcome, reasons) = world.judge(&Build::new(SECOND).without_report("integration.xml")).await;
    assert_eq!(outcome, Outcome::Rejected);
    insta::assert_snapshot!(reasons.join("\n"), @"report-missing tests.integration: the last Built commit of `main`, `1111111111111111111111111111111111111111`, has raw reports of its integration tests, and this one none: upload them");
}

#[tokio::test]
async fn a_report_that_is_still_to_come_is_waited_for() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    world.policy(&json!({"schema_version": 1, "all": {"require": ["integration-report", "policy-rows"]}}));
    let build = Build::new(SECOND);
    world.judge(&build).await;
    for file in ["integration.xml", "policy.xml", "unit.xml"] {
        let key = format!("bank-payments/{SECOND}/reports/{file}");
        world.artefacts.delete(&key);
        world.drain().await;
        let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: SECOND.parse().unwrap() };
        let verdict: Verdict = world.record(&RecordKey::Verdict(commit)).unwrap();
        let told: Vec<_> = verdict.reasons.iter().map(|it| it.code).collect();
        assert_eq!((verdict.outcome, told), (Outcome::Incomplete, vec![Code::ArtefactMissing]), "{file}");
        world.judge(&build).await;
    }
}

#[tokio::test]
async fn the_policy_asks_for_more_or_less_than_adr_053_and_is_pinned() {
    let world = World::default();
    world.policy(&json!({
        "schema_version": 1,
        "all": {"min_line_coverage": 85, "require": ["integration-report", "policy-report", "coverage-report", "exit-codes"]},
        "repos": {"bank-payments": {"waive": ["typecheck"]}}
    }));
    let mut build = Build::new(FIRST).without_report("policy.xml");
    build.manifest["tests"].as_object_mut().unwrap().remove("typecheck");
    let (outcome, reasons) = world.judge(&build).await;
    assert_eq!(outcome, Outcome::Rejected);
    insta::assert_snapshot!(reasons.join("\n"), @"
    report-missing tests.policy: no report of these tests can be recounted, and the policy requires one: upload their raw report (`junit`, `vitest-json` or `jest-json`)
    coverage-below-threshold tests.unit.line_coverage: 80 % is below the 85 % that are asked for
    exit-code-missing tests.integration.exit_code: the manifest does not tell it, and the policy requires it: run the step by `gatekeeper run`
    exit-code-missing tests.policy.exit_code: the manifest does not tell it, and the policy requires it: run the step by `gatekeeper run`
    exit-code-missing tests.unit.exit_code: the manifest does not tell it, and the policy requires it: run the step by `gatekeeper run`
    ");
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: FIRST.parse().unwrap() };
    let verdict: Verdict = world.record(&RecordKey::Verdict(commit)).unwrap();
    assert_eq!(verdict.policy_version_id, Some("v1".into()));
}

#[tokio::test]
async fn the_policy_may_ask_for_a_test_named_after_each_row() {
    let world = World::default();
    world.policy(&json!({"schema_version": 1, "all": {"require": ["policy-rows"]}}));
    assert_eq!(world.judge(&Build::new(FIRST)).await, (Outcome::Built, vec![]));
    let rows = json!(["POL-004", "POL-017"]);
    let two = |tests: &[&str]| {
        let build = Build::new(SECOND).report("policy.xml", junit("policy", tests));
        build.with("/tests/policy/passed", json!(2)).with("/tests/policy/policies_satisfied", rows.clone())
    };
    let (outcome, reasons) = world.judge(&two(&["POL-004 holds", "POL-0171 holds"])).await;
    assert_eq!(outcome, Outcome::Rejected);
    insta::assert_snapshot!(reasons.join("\n"), @"policy-uncovered POL-017: no policy test that passed has it in its name, and the policy requires one for each row");
    assert_eq!(world.judge(&two(&["POL-004 holds", "POL-017 holds"])).await, (Outcome::Built, vec![]));
}

#[tokio::test]
async fn a_new_policy_does_not_take_back_what_was_built_under_the_old_one() {
    let world = World::default();
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: FIRST.parse().unwrap() };
    let verdict = || world.record::<Verdict>(&RecordKey::Verdict(commit.clone())).unwrap();
    let look_again = async || {
        world.artefacts.tag(&format!("bank-payments/{FIRST}/build-manifest.json"), &[("team", "payments")], "ci");
        world.drain().await;
    };
    world.judge(&Build::new(FIRST)).await;
    for (policy, version) in
        [(json!({"schema_version": 1, "all": {"require": ["exit-codes"]}}), "v1"), (json!([]), "v2")]
    {
        world.policy(&policy);
        look_again().await;
        assert_eq!((verdict().outcome, verdict().policy_version_id), (Outcome::Built, None), "{version}");
    }
    // Another manifest is judged anew.
    world.policy(&json!({"schema_version": 1, "all": {"require": ["exit-codes"]}}));
    let again = Build::new(FIRST).with("/timestamp", json!("2026-05-03T00:00:00Z"));
    assert_eq!(world.judge(&again).await.0, Outcome::Rejected);
    assert!(verdict().policy_version_id.is_some());
}

#[tokio::test]
async fn a_policy_that_is_none_judges_and_passes_nothing_until_it_is_mended() {
    let world = World::default();
    let manifest = format!("bank-payments/{FIRST}/build-manifest.json");
    world.judge(&Build::new(FIRST).with("/tests/typecheck/errors", json!(1))).await;
    world.policy(&json!({"schema_version": 1, "all": {"require": ["typechek"]}}));
    world.artefacts.tag(&manifest, &[("integration-passed", "true")], "mallory");
    let event = world.artefacts.take_events().pop().unwrap();
    let error = world.gate().settle(&event).await.unwrap_err();
    insta::assert_snapshot!(gatekeeper_model::telemetry::chain(&error), @"`config/policy.json` can't be applied: not a policy: unknown variant `typechek`, expected one of `typecheck`, `unit`, `coverage`, `policy`, `flyway`, `schema-snapshot`, `deploy`, `tested-bytes`, `tested-templates`, `pulumi`, `dcm`, `dbt`, `dbt-run-results`, `unit-report`, `coverage-report`, `policy-report`, `policy-rows`, `integration-report`, `exit-codes`, `provenance` at line 1 column 29");
    let passed = || world.artefacts.tags_of(&manifest).get(judgement::INTEGRATION_PASSED).cloned();
    assert_eq!(passed().as_deref(), Some("false"));

    // Nor is a new commit passed that asks for it.
    let other = format!("bank-payments/{SECOND}/build-manifest.json");
    world.artefacts.upload(&other, b"{}", &[("integration-passed", "true")]);
    for event in world.artefacts.take_events() {
        let _ = world.gate().settle(&event).await;
    }
    assert_eq!(world.artefacts.tags_of(&other).get(judgement::INTEGRATION_PASSED).unwrap(), "false");
    world.policy(&json!({"schema_version": 1}));
    assert_eq!(world.judge(&Build::new(FIRST)).await.0, Outcome::Built);
}

#[tokio::test]
async fn before_the_integration_tests_reports_are_recounted_and_nothing_is_missed() {
    let mut build = Build::new(FIRST).without_report("integration.xml").without_report("policy.xml");
    build.manifest["tests"].as_object_mut().unwrap().remove("integration");
    assert_eq!(World::default().judge(&build).await, (Outcome::Registered, vec![]));
    let (outcome, reasons) = World::default().judge(&build.with("/tests/unit/passed", json!(210))).await;
    assert_eq!((outcome, codes(&reasons)), (Outcome::Rejected, vec!["report-mismatch"]));
}

#[tokio::test]
async fn the_same_reports_are_read_once() {
    let world = World::default();
    world.judge(&Build::new(FIRST)).await;
    let (.., before) = world.artefacts.counts();
    world.judge(&Build::new(SECOND)).await;
    let (.., after) = world.artefacts.counts();
    // The policy report, which is also looked through for the rows' names, once too.
    assert_eq!((before, after), (4, 4));
    let records = world.records.keys().into_iter().filter(|key| key.starts_with("inspections/"));
    assert_eq!(records.count(), 2, "one for each commit");
}

/// Where a commit's inspections lie, with the number of the rules.
fn inspections_key(world: &World) -> (RecordKey, u32, String) {
    let key = world.records.keys().into_iter().find(|key| key.starts_with("inspections/")).unwrap();
    let rules = key.split('/').nth(1).unwrap().parse().unwrap();
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: FIRST.parse().unwrap() };
    (RecordKey::Inspections(rules, commit), rules, key)
}

/// Whoever writes the records of inspections, but has no key, has nothing built by them: what is in the objects is read again,
/// and the record is written over.
#[tokio::test]
async fn a_planted_inspection_lends_nothing() {
    let failed = junit("ledger", &["posts", "refunds"])
        .replace("</testsuite>", "<testcase name='rejects'><failure/></testcase></testsuite>");
    let lying = || Build::new(FIRST).report("integration.xml", failed.clone());
    let (honest, caught) = (World::default(), World::default());
    honest.judge(&Build::new(FIRST)).await;
    let refused = caught.judge(&lying()).await;
    assert_eq!(refused.0, Outcome::Rejected);

    // What the honest report showed, as if it had been found in the other one.
    let (place, rules, key) = inspections_key(&caught);
    let mut record: Value = serde_json::from_slice(&caught.records.bytes_of(&key).unwrap()).unwrap();
    let other: Value = serde_json::from_slice(&honest.records.bytes_of(&key).unwrap()).unwrap();
    let shown = Sha256::of(junit("ledger", &["posts", "refunds", "rejects"]).as_bytes()).to_string();
    let found = other["record"]["inspections"][&shown].as_object().unwrap().values().next().unwrap();
    let of_it = &mut record["record"]["inspections"][Sha256::of(failed.as_bytes()).to_string()];
    *of_it.as_object_mut().unwrap().values_mut().next().unwrap() = found.clone();
    let forged = record["record"].to_string().into_bytes();

    let stranger = LocalSigner::from_seed(9);
    let seal = async |keeping| inspections::seal(rules, &place, &forged, keeping).await.unwrap();
    let mut relabelled = record.clone();
    relabelled["record"] = record["record"].clone();
    for planted in [
        forged.clone(),
        seal(Keeping::Stored).await,
        seal(Keeping::SignedBy(&stranger)).await,
        relabelled.to_string().into_bytes(),
        b"no record".to_vec(),
    ] {
        let world = World::default();
        world.records.upload(&key, &planted, &[]);
        assert_eq!(world.judge(&lying()).await, refused);
        let written = world.records.bytes_of(&key).unwrap();
        inspections::open(rules, &place, &written, Some(&SIGNER.keys())).unwrap();
    }
    // The gate's own word would be taken, so that this can fail.
    let world = World::default();
    world.records.upload(&key, &seal(Keeping::SignedBy(&*SIGNER)).await, &[]);
    assert_eq!(world.judge(&lying()).await.0, Outcome::Built);
}

/// Each signature is a call of KMS: one for a commit's inspections, however many there are, and one that it is Built.
#[tokio::test]
async fn inspections_are_signed_together_and_only_where_something_was_found_anew() {
    let world = World::default();
    let before = SIGNER.signatures();
    let gate_signs = |world: &World| {
        let (_, _, key) = inspections_key(world);
        serde_json::from_slice::<Value>(&world.records.bytes_of(&key).unwrap()).unwrap()["envelope"].clone()
    };
    world.judge(&Build::new(FIRST)).await;
    let first = gate_signs(&world);
    assert!(SIGNER.signatures() > before);
    world.judge(&Build::new(FIRST)).await;
    assert_eq!(gate_signs(&world), first, "the same bytes are not signed again");
}

#[tokio::test]
async fn dev_is_deployed_once_its_smoke_test_passed_and_not_before() {
    let world = World::default();
    let commit = Commit { repo: "bank-payments".parse().unwrap(), sha: FIRST.parse().unwrap() };
    let key = RecordKey::DeployedHandoff(commit, "MOD-012".parse().unwrap()).to_string();
    world.judge(&Build::new(FIRST)).await;
    assert_eq!(world.records.bytes_of(&key), None);
    let failed = Build::new(FIRST).with("/tests/smoke", json!({"exit_code": 1}));
    assert_eq!(world.judge(&failed).await.0, Outcome::Built, "what was tested stays tested");
    assert_eq!(world.records.bytes_of(&key), None);
    let passed = Build::new(FIRST).with("/tests/smoke", json!({"exit_code": 0}));
    assert_eq!(world.judge(&passed).await.0, Outcome::Built);
    let handoff = world.records.bytes_of(&key).unwrap();
    let front_matter = gatekeeper_model::front_matter::FrontMatter::of(&String::from_utf8(handoff).unwrap()).unwrap();
    assert_eq!(
        (front_matter.build_status, front_matter.stage.as_str()),
        (gatekeeper_model::front_matter::BuildStatus::Deployed, "dev")
    );
}
