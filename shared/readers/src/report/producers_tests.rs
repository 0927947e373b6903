//! What real tools write, and what it is: `shared/readers/tests/reports`, made by `tests/oracles/make_reports.sh`.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use super::*;

/// Every fixture with its right answer: what the tool's own summary says, or what the test's source does.
const RIGHT: &[(&str, &str)] = &[
    ("bun-1.xml", "1 passed, 0 failed, 1 skipped, 1 to do"),
    ("catch2-2-sections.xml", "4 passed, 0 failed, 0 skipped"),
    ("catch2-2.xml", "2 passed, 0 failed, 0 skipped, 1 failed as expected"),
    ("doctest-2.xml", "2 passed, 0 failed, 0 skipped"),
    // Without an exit code of 0 what was run again has failed.
    ("gotestsum-1.13-count.xml", "2 passed, 1 failed, 2 skipped; 1 retried"),
    ("gotestsum-1.13-rerun.xml", "1 passed, 1 failed, 1 skipped; 1 retried"),
    ("gts-flaky.xml", "1 passed, 1 failed, 0 skipped; 1 retried"),
    ("jest-30-after.json", "1 passed, 1 failed, 0 skipped"),
    ("jest-30-all.json", "2 passed, 0 failed, 1 skipped, 1 to do, 1 failed as expected, 1 flaky"),
    ("jest-30-hook.json", "0 passed, 2 failed, 0 skipped"),
    ("jest-30-import.json", "0 passed, 1 failed, 0 skipped"),
    ("jest-junit-17-after.xml", "1 passed, 1 failed, 0 skipped"),
    ("jest-junit-17-all.xml", "4 passed, 0 failed, 1 skipped, 1 to do"),
    ("jest-junit-17-hook.xml", "0 passed, 2 failed, 0 skipped"),
    // It leaves the file out.
    ("jest-junit-17-import.xml", "0 passed, 0 failed, 0 skipped"),
    ("jest-lone-surrogate.json", "4 passed, 0 failed, 1 skipped, 1 to do, 1 failed as expected, 1 flaky"),
    ("jest_todo_only.junit.xml", "0 passed, 0 failed, 0 skipped, 2 to do"),
    ("mocha-junit-after.xml", "1 passed, 1 failed, 1 skipped"),
    ("mocha-junit-before.xml", "0 passed, 1 failed, 0 skipped, 1 unexplained"),
    ("mocha-junit-pending.xml", "1 passed, 0 failed, 2 skipped"),
    ("mocha-xunit-after.xml", "1 passed, 1 failed, 1 skipped"),
    ("mocha-xunit-before.xml", "0 passed, 1 failed, 0 skipped"),
    ("mocha-xunit-pending.xml", "1 passed, 0 failed, 2 skipped"),
    ("mochajr-goodskip.xml", "2 passed, 0 failed, 2 skipped"),
    ("newman-6-iterations.xml", "2 passed, 0 failed, 0 skipped"),
    ("newman-n3.xml", "2 passed, 0 failed, 0 skipped"),
    ("node-20-all.xml", "3 passed, 0 failed, 2 skipped, 3 to do"),
    ("node-20-empty.xml", "0 passed, 0 failed, 0 skipped"),
    ("node-20-parent.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("node-20-plan.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("node-22-all.xml", "3 passed, 0 failed, 2 skipped, 3 to do"),
    ("node-22-empty.xml", "0 passed, 0 failed, 0 skipped"),
    ("node-22-parent.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("node-22-plan.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("node-24-all.xml", "3 passed, 0 failed, 2 skipped, 3 to do"),
    ("node-24-empty.xml", "0 passed, 0 failed, 0 skipped"),
    ("node-24-parent.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("node-24-plan.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("nodep-parent-v24.22.3.xml", "1 passed, 1 failed, 0 skipped; contradictory"),
    ("playwright-one-project.xml", "2 passed, 0 failed, 0 skipped"),
    // Without `includeRetries` the flaky one is a test that passed.
    ("playwright-retries-false.xml", "2 passed, 2 failed, 2 skipped, 1 failed as expected, 1 not run"),
    ("playwright-retries-true.xml", "1 passed, 2 failed, 2 skipped, 1 failed as expected, 1 flaky, 1 not run"),
    ("playwright-two-projects.xml", "4 passed, 0 failed, 0 skipped"),
    ("py-onlysub-builtin.xml", "1 passed, 0 failed, 0 skipped"),
    ("pytest-9-rerun-fails.xml", "4 passed, 1 failed, 1 skipped, 2 failed as expected"),
    ("pytest-9-rerun.xml", "4 passed, 0 failed, 1 skipped, 2 failed as expected, 1 flaky"),
    ("pytest-9-subtests.xml", "2 passed, 0 failed, 0 skipped"),
    ("surefire-3.6-flaky-beforeall.xml", "2 passed, 0 failed, 0 skipped, 1 flaky"),
    ("unittest-xml-reporting-4.xml", "1 passed, 0 failed, 0 skipped, 1 failed as expected"),
    ("vitest-3-all.json", "3 passed, 0 failed, 2 skipped, 1 to do, 1 flaky"),
    ("vitest-3-all.xml", "4 passed, 0 failed, 3 skipped"),
    ("vitest-3-bail.json", "0 passed, 1 failed, 0 skipped, 2 not run"),
    ("vitest-3-bail.xml", "0 passed, 1 failed, 0 skipped, 2 not run"),
    ("vitest-4-all.json", "3 passed, 0 failed, 2 skipped, 1 to do, 1 flaky"),
    ("vitest-4-all.xml", "4 passed, 0 failed, 3 skipped"),
    ("vitest-4-bail.json", "0 passed, 1 failed, 0 skipped, 2 not run"),
    ("vitest-4-bail.xml", "0 passed, 1 failed, 0 skipped, 2 not run"),
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports"))
}

fn format(file: &str) -> Format {
    let word = match file.rsplit_once('.').unwrap() {
        (_, "xml") => "junit",
        (name, _) if name.starts_with("vitest") => "vitest-json",
        _ => "jest-json",
    };
    Format::of(word).unwrap()
}

fn recount(file: &str) -> Recount {
    match read(format(file), fs::File::open(folder().join(file)).unwrap()).unwrap() {
        Ok(Recounted::Tests(recount)) => recount,
        other => panic!("{file}: {other:?}"),
    }
}

fn passed(file: &str) -> Vec<String> {
    let bytes = fs::read(folder().join(file)).unwrap();
    let ids = recount(file).passed.unwrap().ids();
    let mut names: Vec<_> = names(format(file), bytes.as_slice(), &ids).unwrap().unwrap().into_values().collect();
    names.sort();
    names
}

#[test]
fn what_each_tool_writes_is_what_its_tests_came_to() {
    let files = fs::read_dir(folder()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), RIGHT.iter().map(|(file, _)| (*file).to_owned()).collect());
    let wrong = RIGHT.iter().filter_map(|(file, right)| {
        let Recount { counts, retried, problems, unexplained, .. } = recount(file);
        let mut told = counts.to_string();
        if retried > 0 {
            write!(told, "; {retried} retried").unwrap();
        }
        if !problems.is_empty() {
            told.push_str("; contradictory");
        }
        assert_eq!(unexplained.is_empty(), counts.unexplained == 0, "{file}");
        (told != *right).then(|| format!("{file}: {told}, not {right}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_is_no_test_is_in_no_list() {
    assert_eq!(
        passed("surefire-3.6-flaky-beforeall.xml"),
        ["x.FlakyBeforeAllTest › pass", "x.FlakyBeforeAllTest › pass2"]
    );
    for version in [20, 22, 24] {
        assert_eq!(passed(&format!("node-{version}-empty.xml")), [""; 0]);
    }
    assert_eq!(passed("mocha-junit-after.xml"), ["outer › a › outer a"]);
}

#[test]
fn attempts_are_one_test_and_projects_are_several() {
    let times = |file: &str| recount(file).passed.unwrap();
    let rerun = times("pytest-9-rerun.xml");
    assert_eq!(rerun.len(), 5);
    let (two, one) = (times("playwright-two-projects.xml"), times("playwright-one-project.xml"));
    assert_eq!(one.vanished_since(&two).into_values().collect::<Vec<_>>(), [Gone { before: 2, now: 1 }; 2]);
    // A test that was run again is compared once, whether it had to be or not.
    assert_eq!(times("gotestsum-1.13-rerun.xml").len(), 2);
}

#[test]
fn one_run_in_two_formats_agrees() {
    for (json, xml) in [
        ("jest-30-all.json", "jest-junit-17-all.xml"),
        ("vitest-3-all.json", "vitest-3-all.xml"),
        ("vitest-4-bail.json", "vitest-4-bail.xml"),
    ] {
        let (json, xml) = (recount(json).counts, recount(xml).counts);
        assert_eq!(json.same_run(&xml), Some(json));
        assert_eq!(xml.same_run(&json), Some(json));
    }
}
