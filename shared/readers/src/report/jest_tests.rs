use proptest::prelude::*;
use serde_json::{Value, json};

use super::Runner;
use crate::report::{Format, NotAReport, Recount, Recounted, names, read};

fn try_recount(runner: Runner, json: &[u8]) -> Result<Recount, NotAReport> {
    read(Format::Json(runner), json).unwrap().map(|it| match it {
        Recounted::Tests(recount) => recount,
        Recounted::Coverage(_) => panic!("no coverage"),
    })
}

/// Passed, failed, and what did not run or is to do; and what contradicts it.
fn recount(runner: Runner, json: &Value) -> ((u64, u64, u64), Vec<String>) {
    let Recount { counts, problems, .. } = try_recount(runner, json.to_string().as_bytes()).unwrap();
    ((counts.passes(), counts.failed, counts.skipped + counts.todo + counts.not_run), problems)
}

fn passed(json: &Value) -> Vec<String> {
    let (format, json) = (Format::Json(Runner::Vitest), json.to_string());
    let ids = try_recount(Runner::Vitest, json.as_bytes()).unwrap().passed.unwrap();
    let names = names(format, json.as_bytes(), &ids.ids()).unwrap().unwrap();
    let mut names: Vec<_> = names.into_values().collect();
    names.sort();
    names
}

fn test(name: &str, status: &str) -> Value {
    json!({"ancestorTitles": ["outer"], "fullName": format!("outer {name}"), "status": status, "title": name,
           "duration": 0.5, "failureMessages": [], "meta": {}})
}

/// A file with its members in the order in which Vitest writes them.
fn file(name: &str, status: &str, message: &str, tests: &[Value]) -> Value {
    json!({"assertionResults": tests, "startTime": 1, "endTime": 2.5, "status": status, "message": message,
           "name": format!("/home/runner/work/bank/bank/tests/{name}")})
}

/// Vitest 3's report of a run with each kind of test, a failed import, an empty file and a failed hook.
fn vitest() -> Value {
    json!({
        "numTotalTestSuites": 8, "numPassedTestSuites": 2, "numFailedTestSuites": 6, "numPendingTestSuites": 0,
        "numTotalTests": 7, "numPassedTests": 2, "numFailedTests": 1, "numPendingTests": 3, "numTodoTests": 1,
        "snapshot": {"added": 0, "failure": false}, "startTime": 1, "success": false,
        "testResults": [
            file("a.test.ts", "failed", "", &[
                test("passes", "passed"), test("fails <&>", "failed"), test("skips", "skipped"), test("todo", "todo"),
                test("flaky", "passed"),
            ]),
            file("b.test.ts", "failed", "Cannot find module './missing' imported from 'b.test.ts'", &[]),
            file("c.test.ts", "passed", "", &[test("one", "skipped")]),
            file("d.test.ts", "failed", "No test suite found in file d.test.ts", &[]),
            file("e.test.ts", "failed", "", &[test("in", "skipped")]),
        ],
    })
}

#[test]
fn vitest_of_every_kind() {
    // Failed: a test, an import, an empty file, a hook.
    assert_eq!(recount(Runner::Vitest, &vitest()), ((2, 4, 4), vec![]));
    assert_eq!(passed(&vitest()), ["tests/a.test.ts › outer flaky", "tests/a.test.ts › outer passes"]);
}

#[test]
fn jest_of_every_kind() {
    let json = json!({
        "numFailedTestSuites": 3, "numFailedTests": 1, "numPassedTestSuites": 0, "numPassedTests": 2,
        "numPendingTestSuites": 1, "numPendingTests": 2, "numRuntimeErrorTestSuites": 2, "numTodoTests": 1,
        "numTotalTestSuites": 4, "numTotalTests": 6, "openHandles": [], "snapshot": {}, "startTime": 1, "success": false,
        "testResults": [
            file("a.test.js", "failed", "  ● outer › fails", &[
                test("passes", "passed"), test("fails", "failed"), test("skips", "pending"), test("todo", "todo"),
                test("flaky", "passed"),
            ]),
            file("b.test.js", "failed", "  ● Test suite failed to run\n\n    Cannot find module './missing'", &[]),
            file("c.test.js", "skipped", "", &[test("one", "pending")]),
            file("d.test.js", "failed", "  ● Test suite failed to run", &[]),
        ],
        "wasInterrupted": false, "coverageMap": {"a.js": {"s": {"0": 1}}},
    });
    assert_eq!(recount(Runner::Jest, &json), ((2, 3, 3), vec![]));
    let mut bailed = json.clone();
    bailed["numTotalTestSuites"] = json!(9);
    assert_eq!(recount(Runner::Jest, &bailed).1, ["`numTotalTestSuites` is 9, its results show 4"]);
    let mut lost = json;
    lost["testResults"].as_array_mut().unwrap().pop();
    // The file whose test failed may be one whose hook failed too.
    assert_eq!(recount(Runner::Jest, &lost).1, ["`numTotalTestSuites` is 4, its results show 3"]);
    lost["numRuntimeErrorTestSuites"] = json!(3);
    assert_eq!(recount(Runner::Jest, &lost).1[1], "`numRuntimeErrorTestSuites` is 3, its results show 2");
}

/// What the tests of a file came to, in words.
fn ends(runner: Runner, tests: &[Value]) -> String {
    let json = json!({"success": true, "testResults": [file("a.test.ts", "passed", "", tests)]});
    try_recount(runner, json.to_string().as_bytes()).unwrap().counts.to_string()
}

#[test]
fn each_end_is_told_apart() {
    let with = |status: &str, key: &str, value: Value| {
        let mut test = test("a", status);
        test[key] = value;
        test
    };
    for (runner, test, right) in [
        (Runner::Jest, with("passed", "invocations", json!(2)), "0 passed, 0 failed, 0 skipped, 1 flaky"),
        (Runner::Jest, with("passed", "invocations", json!(1)), "1 passed, 0 failed, 0 skipped"),
        (Runner::Jest, with("passed", "retryReasons", json!(["x"])), "0 passed, 0 failed, 0 skipped, 1 flaky"),
        (Runner::Jest, with("passed", "failing", json!(true)), "0 passed, 0 failed, 0 skipped, 1 failed as expected"),
        (Runner::Jest, with("failed", "failing", json!(true)), "0 passed, 1 failed, 0 skipped"),
        (
            Runner::Vitest,
            with("passed", "failureMessages", json!(["Error: x"])),
            "0 passed, 0 failed, 0 skipped, 1 flaky",
        ),
        (Runner::Vitest, test("a", "todo"), "0 passed, 0 failed, 0 skipped, 1 to do"),
        (Runner::Vitest, test("a", "pending"), "0 passed, 0 failed, 0 skipped, 1 not run"),
        (Runner::Jest, test("a", "pending"), "0 passed, 0 failed, 1 skipped"),
        (Runner::Jest, test("a", "disabled"), "0 passed, 0 failed, 1 skipped"),
    ] {
        assert_eq!(ends(runner, std::slice::from_ref(&test)), right, "{test}");
    }
}

#[test]
fn a_file_that_broke_has_failed_whatever_it_says() {
    for file in [
        json!({"name": "a.test.js", "status": "failed", "message": "x"}),
        json!({"name": "a.test.js", "status": "failed", "failureMessage": "x", "assertionResults": null}),
        json!({"testFilePath": "/w/a.test.js", "testExecError": {"message": "x"}, "failureMessage": "x", "testResults": []}),
        json!({"testFilePath": "/w/a.test.js", "testExecError": null, "failureMessage": "x", "testResults": []}),
        json!({"name": "a.test.js", "status": "passed", "testExecError": {"message": "x"}, "assertionResults": []}),
    ] {
        let json = json!({"success": false, "numRuntimeErrorTestSuites": 1, "testResults": [file]});
        assert_eq!(recount(Runner::Jest, &json), ((0, 1, 0), vec![]), "{json}");
    }
    let passed = json!({"testFilePath": "/w/a.test.js", "failureMessage": null, "testResults": [test("a", "passed")]});
    assert_eq!(recount(Runner::Jest, &json!({"success": true, "testResults": [passed]})), ((1, 0, 0), vec![]));
}

#[test]
fn half_a_surrogate_pair_is_read_as_the_replacement_character() {
    let report = |name: &str| {
        format!(
            r#"{{"success": true, "testResults": [{{"name": "a.test.js", "status": "passed", "message": "{name}",
                "assertionResults": [{{"fullName": "{name}", "title": "{name}", "status": "passed"}}]}}]}}"#
        )
    };
    for (name, read_as) in [
        (r"lone \ud83d", "lone \u{fffd}"),
        (r"\ude00 other half", "\u{fffd} other half"),
        (r"two \ud83d\ud83d\ude00", "two \u{fffd}\u{1f600}"),
        (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        ("é✓ \u{1f600}", "é✓ \u{1f600}"),
    ] {
        let bytes = report(name).into_bytes();
        let ids = try_recount(Runner::Jest, &bytes).unwrap().passed.unwrap().ids();
        let names = names(Format::Json(Runner::Jest), bytes.as_slice(), &ids).unwrap().unwrap();
        assert_eq!(names.into_values().collect::<Vec<_>>(), [format!("a.test.js › {read_as}")], "{name}");
    }
    let no_utf8 = [report("x").split('x').next().unwrap().as_bytes(), b"\xff", b"\"}]}"].concat();
    assert!(try_recount(Runner::Jest, &no_utf8).is_err());
}

#[test]
fn a_success_with_all_skipped_or_none_there_shows_none_that_passed() {
    let all_skipped = json!({
        "numTotalTests": 2, "numPassedTests": 0, "numFailedTests": 0, "numPendingTests": 2, "numTodoTests": 0,
        "success": true,
        "testResults": [file("a.test.ts", "passed", "", &[test("one", "skipped"), test("two", "disabled")])],
    });
    assert_eq!(recount(Runner::Vitest, &all_skipped), ((0, 0, 2), vec![]));
    let pass_with_no_tests = json!({"numTotalTests": 0, "success": true, "testResults": []});
    for runner in [Runner::Vitest, Runner::Jest] {
        assert_eq!(recount(runner, &pass_with_no_tests), ((0, 0, 0), vec![]));
    }
}

#[test]
fn a_header_that_differs_from_its_results_is_told() {
    let changed = |key: &str, value: Value| {
        let mut json = vitest();
        json[key] = value;
        recount(Runner::Vitest, &json)
    };
    for (key, value) in [
        ("numTotalTests", json!(8)),
        ("numPassedTests", json!(7)),
        ("numFailedTests", json!(0)),
        ("numPendingTests", json!(0)),
        ("numTodoTests", json!(2)),
    ] {
        let (counts, problems) = changed(key, value.clone());
        assert_eq!(counts, (2, 4, 4));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("`{key}` is {value}, its results show ")), "{problems:?}");
    }
    assert_eq!(changed("success", json!(true)).1, ["`success` is true, and 4 failed"]);
    assert_eq!(changed("wasInterrupted", json!(true)).1, ["`wasInterrupted` is true: the run did not end"]);
    let passed = file("a.test.ts", "passed", "", &[test("one", "passed")]);
    let only = |json: Value| recount(Runner::Vitest, &json);
    assert_eq!(
        only(json!({"success": false, "testResults": [passed]})),
        ((1, 0, 0), vec!["`success` is false, and none failed: something else did, such as a threshold".to_owned()])
    );
    assert_eq!(only(json!({"testResults": [passed]})).1, ["`success` is missing: the run may not have ended"]);
}

#[test]
fn a_file_that_differs_from_its_tests_is_told() {
    let only = |file: Value| recount(Runner::Vitest, &json!({"success": true, "testResults": [file]}));
    assert_eq!(
        only(file("a.test.ts", "passed", "", &[test("one", "failed")])),
        (
            (0, 1, 0),
            vec![
                "`tests/a.test.ts` is `passed`, and 1 of its tests failed".to_owned(),
                "`success` is true, and 1 failed".to_owned()
            ]
        )
    );
    assert_eq!(
        only(file("a.test.ts", "passed", "Error: x", &[])),
        ((0, 0, 0), vec!["`tests/a.test.ts` shows no test and has a message".to_owned()])
    );
    assert_eq!(
        only(file("a.test.ts", "ran", "", &[test("one", "passed")])).1,
        ["`tests/a.test.ts` has the status `ran`, which is unknown"]
    );
    let (counts, problems) = only(file("a.test.ts", "failed", "", &[test("one", "focused")]));
    assert_eq!(counts, (0, 1, 0));
    assert_eq!(problems[0], "`tests/a.test.ts` has a test of the status `focused`, which counts as failed");
}

#[test]
fn what_is_no_report_is_refused_with_the_place() {
    let tests = |tests: &str| {
        format!(
            r#"{{"success": true, "testResults": [{{"name": "a", "status": "passed", "assertionResults": {tests}}}]}}"#
        )
    };
    let wrong: Vec<_> = [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{\"success\": true,\n \"testResults\": null}".to_owned(),
        tests("[{}]"),
        tests("[{\"fullName\": \"a\", \"status\": \"passed\", \"status\": \"failed\"}]"),
        tests("{}"),
        tests("[]") + "{}",
        r#"{"testResults": [], "testResults": []}"#.to_owned(),
        r#"{"testResults": [], "numTotalTests": -1}"#.to_owned(),
        "[".repeat(65),
        format!(r#"{{"a": "{}"}}"#, "x".repeat(9_000_000)),
    ]
    .iter()
    .map(|json| try_recount(Runner::Vitest, json.as_bytes()).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    not Vitest JSON: EOF while parsing a value at line 1 column 0
    not Vitest JSON: invalid type: sequence, expected an object at line 1 column 1
    not Vitest JSON: missing field `testResults` at line 1 column 2
    not Vitest JSON: invalid type: null, expected `testResults` to be an array at line 2 column 20
    not Vitest JSON: missing field `fullName` at line 1 column 91
    not Vitest JSON: duplicate field `status` at line 1 column 136
    not Vitest JSON: invalid type: map, expected `assertionResults` to be an array at line 1 column 89
    not Vitest JSON: trailing characters at line 1 column 94
    not Vitest JSON: the key `testResults` stands twice at line 1 column 38
    not Vitest JSON: invalid value: integer `-1`, expected u64 at line 1 column 40
    not Vitest JSON: it is nested deeper than 64
    not Vitest JSON: it holds a string longer than 8388608 bytes
    "#);
}

#[test]
fn more_tests_of_a_file_than_can_be_named_are_counted() {
    let tests: Vec<_> =
        (0..52_000).map(|n| test(&n.to_string(), if n % 3 == 0 { "skipped" } else { "passed" })).collect();
    let json =
        json!({"success": true, "numTotalTests": 52_000, "testResults": [file("a.test.ts", "passed", "", &tests)]});
    let recount = try_recount(Runner::Vitest, json.to_string().as_bytes()).unwrap();
    assert_eq!((recount.counts.passed, recount.counts.skipped, recount.passed), (34_666, 17_334, None));
    assert_eq!(recount.problems, [""; 0]);
}

proptest! {
    #[test]
    fn each_test_is_counted_by_its_status(
        files in proptest::collection::vec(proptest::collection::vec((0..6_usize, ".{0,10}"), 1..8), 0..6),
    ) {
        let status = ["passed", "failed", "skipped", "pending", "todo", "disabled"];
        let ends: Vec<usize> = files.iter().flatten().map(|(end, _)| *end).collect();
        let count = |of: &[usize]| ends.iter().filter(|end| of.contains(end)).count() as u64;
        let failed = count(&[1]);
        let results: Vec<_> = files.iter().enumerate().map(|(number, tests)| {
            let failed = tests.iter().any(|(end, _)| *end == 1);
            let tests: Vec<_> = tests.iter().map(|(end, name)| test(name, status[*end])).collect();
            file(&format!("{number}.test.ts"), if failed { "failed" } else { "passed" }, "", &tests)
        }).collect();
        let json = json!({"success": failed == 0, "numFailedTests": failed, "testResults": results});
        prop_assert_eq!(recount(Runner::Vitest, &json), ((count(&[0]), failed, count(&[2, 3, 4, 5])), vec![]));
    }

    #[test]
    fn a_document_cut_off_anywhere_is_refused(at in any::<prop::sample::Index>()) {
        let json = vitest().to_string();
        prop_assert!(try_recount(Runner::Vitest, &json.as_bytes()[..at.index(json.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_recounted_or_refused(bytes: Vec<u8>, at in any::<prop::sample::Index>(), byte: u8) {
        let _ = try_recount(Runner::Jest, &bytes);
        let mut json = vitest().to_string().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        let _ = try_recount(Runner::Vitest, &json);
    }
}
