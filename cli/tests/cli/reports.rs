//! What commits come to with the reports that real tools write: shared/readers/tests/reports, judged by `gatekeeper publish
//! --dry-run`. docs/reports.md has the rule.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a helper of tests fails with them")]

use std::{fs, path::Path};

use gatekeeper_model::ids::Sha256;
use serde_json::{Value, json};

use crate::common::{Build, SHA, gatekeeper};

/// A commit whose tests of `suite` are told by a fixture alone.
fn commit(suite: &str, file: &str) -> Build {
    let format = match file.rsplit_once('.').unwrap() {
        (_, "xml") => "junit",
        (name, _) if name.starts_with("vitest") => "vitest-json",
        _ => "jest-json",
    };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/readers/tests/reports");
    let bytes = fs::read(fixtures.join(file)).unwrap();
    let mut build = Build::built();
    build.write(&format!("reports/{file}"), &bytes);
    let digest = Sha256::of(&bytes).to_string();
    build.manifest["reports"] =
        json!([{"suite": suite, "format": format, "file": file, "sha256": digest, "size": bytes.len()}]);
    let told = build.manifest["tests"][suite].as_object_mut().unwrap();
    for figure in ["passed", "failed", "skipped"] {
        told.remove(figure);
    }
    told.insert("exit_code".to_owned(), json!(0));
    build
}

/// The verdict: its outcome, what it counted, and its reasons as `code subject: message`.
fn verdict(build: &Build, policy: Option<&Value>) -> (String, Value, Vec<String>) {
    let aside = tempfile::tempdir().unwrap();
    let policy = policy.map(|policy| {
        let file = aside.path().join("policy.json");
        fs::write(&file, policy.to_string()).unwrap();
        file
    });
    let folder = build.folder().to_str().unwrap();
    let mut arguments = vec!["publish", folder, "--repo", "bank-payments", "--sha", SHA, "--branch", "main"];
    arguments.extend(["--dry-run", "--output", "json"]);
    if let Some(policy) = &policy {
        arguments.extend(["--policy", policy.to_str().unwrap()]);
    }
    let run = gatekeeper(&arguments);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.shown()));
    let verdict = &report["verdict"];
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let reasons = verdict["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {}: {}", text(&it["code"]), text(&it["subject"]), text(&it["message"])));
    (text(&verdict["outcome"]), verdict["recounted"].clone(), reasons.collect())
}

#[track_caller]
fn built(suite: &str, file: &str, counted: &Value) {
    let (outcome, recounted, reasons) = verdict(&commit(suite, file), None);
    assert_eq!((outcome.as_str(), reasons), ("built", vec![]), "{suite} {file}");
    assert_eq!(recounted[suite], *counted, "{suite} {file}");
}

#[track_caller]
fn rejected(suite: &str, file: &str, because: &[&str]) {
    let (outcome, _, reasons) = verdict(&commit(suite, file), None);
    assert_eq!(outcome, "rejected", "{suite} {file}");
    for reason in because {
        assert!(reasons.iter().any(|it| it.starts_with(reason)), "{suite} {file}: {reason} is not in {reasons:#?}");
    }
    assert_eq!(reasons.len(), because.len(), "{suite} {file}: {reasons:#?}");
}

#[test]
fn what_counts_other_things_than_tests_is_believed_by_its_cases() {
    built("integration", "py-onlysub-builtin.xml", &json!({"passed": 1, "failed": 0, "skipped": 0}));
    built("integration", "catch2-2-sections.xml", &json!({"passed": 4, "failed": 0, "skipped": 0}));
    built("integration", "doctest-2.xml", &json!({"passed": 2, "failed": 0, "skipped": 0}));
    built("integration", "newman-n3.xml", &json!({"passed": 2, "failed": 0, "skipped": 0}));
}

#[test]
fn tests_that_only_a_header_tells_of_are_what_it_says() {
    rejected("integration", "mochajr-goodskip.xml", &["integration-skipped tests.integration: 2 of"]);
    built("unit", "mochajr-goodskip.xml", &json!({"passed": 2, "failed": 0, "skipped": 2}));
    for suite in ["unit", "integration"] {
        let none = format!("{suite}-missing tests.{suite}: no {suite} test passed: 2 are still to do");
        let to_do = "integration-skipped tests.integration: 2 of the integration tests are still to do";
        let reasons = if suite == "unit" { vec![none.as_str()] } else { vec![none.as_str(), to_do] };
        rejected(suite, "jest_todo_only.junit.xml", &reasons);
    }
    rejected(
        "integration",
        "nodep-parent-v24.22.3.xml",
        &["report-contradictory", "integration-failed tests.integration: 1 of the integration tests failed"],
    );
}

#[test]
fn what_passed_on_a_retry_is_flaky_where_it_is_known_to_be_one() {
    let flaky = json!({"passed": 2, "failed": 0, "skipped": 0, "flaky": 1});
    built("integration", "surefire-3.6-flaky-beforeall.xml", &flaky);
    built("integration", "gts-flaky.xml", &json!({"passed": 1, "failed": 0, "skipped": 0, "flaky": 1}));

    // Nobody tells that the process ended well.
    let mut untold = commit("integration", "gts-flaky.xml");
    untold.manifest["tests"]["integration"].as_object_mut().unwrap().remove("exit_code");
    let (outcome, recounted, reasons) = verdict(&untold, None);
    assert_eq!((outcome.as_str(), reasons.len()), ("rejected", 1), "{reasons:#?}");
    assert!(reasons[0].starts_with("integration-failed tests.integration: 1 of"), "{reasons:#?}");
    assert_eq!(recounted["integration"], json!({"passed": 1, "failed": 1, "skipped": 0}));

    let policy = json!({"schema_version": 1, "all": {"max_flaky": 0}});
    let (outcome, _, reasons) = verdict(&commit("integration", "gts-flaky.xml"), Some(&policy));
    assert_eq!(
        (outcome.as_str(), reasons),
        (
            "rejected",
            vec![
                "outcome-refused tests.integration.flaky: 1 of the integration tests passed on a retry only, and the \
                 policy allows 0"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn an_expected_failure_is_shown_and_the_policy_may_refuse_it() {
    let file = "unittest-xml-reporting-4.xml";
    built("integration", file, &json!({"passed": 1, "failed": 0, "skipped": 0, "expected_failures": 1}));
    let policy = json!({"schema_version": 1, "all": {"refuse": ["expected-failure"]}});
    for suite in ["unit", "integration"] {
        let (_, _, reasons) = verdict(&commit(suite, file), Some(&policy));
        let reason = format!(
            "outcome-refused tests.{suite}.expected_failures: 1 of the {suite} tests failed as expected, and the policy \
             refuses `expected-failure`"
        );
        assert_eq!(reasons, [reason]);
    }
}

#[test]
fn half_a_character_in_a_title_and_a_suite_that_broke_are_read() {
    let counted = json!({"passed": 4, "failed": 0, "skipped": 1, "todo": 1, "expected_failures": 1, "flaky": 1});
    built("unit", "jest-lone-surrogate.json", &counted);
    rejected(
        "integration",
        "jest-lone-surrogate.json",
        &["integration-skipped tests.integration: 1 of", "integration-skipped tests.integration: 1 of"],
    );
    let none = "integration-missing tests.integration: no integration test passed";
    rejected("integration", "jest-30-import.json", &["integration-failed tests.integration: 1 of", none]);
    rejected("integration", "jest-30-hook.json", &["integration-failed tests.integration: 2 of", none]);
}

#[test]
fn a_figure_that_the_reports_contradict_is_refused() {
    let file = "gts-flaky.xml";
    let told = |figure: &str, value: u64| {
        let mut build = commit("integration", file);
        build.manifest["tests"]["integration"][figure] = json!(value);
        verdict(&build, None).2
    };
    let mismatch = |figure: &str, says: u64, shown: u64| {
        format!("report-mismatch tests.integration.{figure}: the manifest says {says}, the reports show {shown}")
    };
    assert_eq!(told("flaky", 0), [mismatch("flaky", 0, 1)]);
    assert_eq!(told("todo", 2), [mismatch("todo", 2, 0)]);
    // Who knows three ends only counts a flaky test as one that passed.
    assert_eq!(told("passed", 2), [""; 0]);
    assert_eq!(told("passed", 1), [mismatch("passed", 1, 2)]);
}
