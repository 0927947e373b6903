//! The tests' figures, recounted from the raw reports: nobody has to write a summary. What a summary that somebody wrote says
//! against them is told by the gate (ADR-053 "Built and Deployed definitions").

use std::{fs::File, io::BufReader};

use gatekeeper_model::{outcome::Outcome, suite::Suite};
use gatekeeper_readers::report::{
    Format, Recounted, read, suite,
    suite::{Shown, SuiteReport},
};
use serde_json::{Map, Value, json};

use super::BuildFile;

/// Writes what the reports show into the document's `tests`, where it tells nothing; every report that can't be read.
/// Reports of unknown suites and formats are evidence and not counted, and those that are none are refused by the gate.
pub(crate) fn recount(document: &mut Map<String, Value>, files: &[BuildFile]) -> Vec<String> {
    let (mut recounted, mut reasons) = (Vec::<(&BuildFile, String, Format, Recounted)>::new(), Vec::new());
    for report in document.get("reports").and_then(Value::as_array).into_iter().flatten() {
        let text = |field| report.get(field).and_then(Value::as_str).unwrap_or_default();
        let path = format!("reports/{}", text("file"));
        let file = files.iter().find(|file| file.path.to_string() == path);
        let (Some(_), Some(format), Some(file)) = (Suite::of(text("suite")), Format::of(text("format")), file) else {
            continue;
        };
        match File::open(&file.file).and_then(|bytes| read(format, BufReader::new(bytes))) {
            Ok(Ok(shown)) => recounted.push((file, text("suite").to_owned(), format, shown)),
            Ok(Err(_)) => {}
            Err(error) => reasons.push(format!("`{path}` can't be read: {error}")),
        }
    }
    let reports = recounted.iter().map(|(file, suite, format, recounted)| SuiteReport {
        path: &file.path,
        suite,
        format: *format,
        recounted,
    });
    let exit_code = |suite: Suite| {
        let code = document.get("tests")?.get(suite.as_str())?.get("exit_code")?.as_i64()?;
        Some((suite, i32::try_from(code).ok()?))
    };
    let exit_codes = Suite::ALL.into_iter().filter_map(exit_code).collect();
    let (mut shown, _) = suite::add_up(reports, &exit_codes);
    for suite in Suite::ALL {
        let is_told = document.get("tests").is_some_and(|tests| tests.get(suite.as_str()).is_some());
        if is_told {
            // A suite that ran and has no report that shows a test: none passed.
            shown.entry(suite).or_default().tests.get_or_insert_default();
        }
    }
    for (suite, shown) in shown {
        tell(document, suite, &shown);
    }
    reasons
}

/// Fills in what the document doesn't tell of a suite.
fn tell(document: &mut Map<String, Value>, suite: Suite, shown: &Shown) {
    let tests = document.entry("tests").or_insert_with(|| json!({}));
    // That a manifest tells of them at all says that the integration tests have run (CONTRACT §3): the build says so.
    if suite == Suite::Integration && tests.get(suite.as_str()).is_none() {
        return;
    }
    let told = tests.as_object_mut().map(|tests| tests.entry(suite.as_str()).or_insert_with(|| json!({})));
    let Some(told) = told.and_then(Value::as_object_mut) else { return };
    if let Some(counts) = shown.tests {
        let (three, others) = Outcome::ALL.split_at(3);
        let tells = |told: &Map<String, Value>, of: &[Outcome]| of.iter().any(|it| told.contains_key(it.figure()));
        // Whoever wrote some of three figures down, and no other, knows three ends only.
        let counts = if tells(told, three) && !tells(told, others) { counts.in_three() } else { counts };
        for outcome in Outcome::ALL {
            if three.contains(&outcome) || counts.of(outcome) > 0 {
                told.entry(outcome.figure()).or_insert(json!(counts.of(outcome)));
            }
        }
    }
    let mut fill = |field: &str, value: Value| {
        told.entry(field).or_insert(value);
    };
    for (field, range) in
        [("line_coverage", shown.percent(|it| it.lines)), ("function_coverage", shown.percent(|it| it.functions))]
    {
        if let Some((lowest, _)) = range {
            fill(field, json!(rounded(lowest)));
        }
    }
}

/// With two decimals, never rounded up: 79.999 % is no 80 %.
fn rounded(percent: f64) -> f64 {
    (percent * 100.0).floor() / 100.0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatekeeper_model::ids::Sha256;

    use super::*;

    const UNIT: &str = r#"<testsuites><testsuite name="unit" tests="3"><testcase classname="a" name="one"/>
        <testcase classname="a" name="two"/><testcase classname="a" name="three"><skipped/></testcase></testsuite></testsuites>"#;
    const CONTRACT: &str =
        r#"<testsuite name="contract" tests="1"><testcase classname="b" name="four"><failure/></testcase></testsuite>"#;
    const COVERAGE: &str = r#"{"total": {"lines": {"total": 3000, "covered": 2399, "skipped": 0, "pct": 79.96},
        "functions": {"total": 4, "covered": 4, "skipped": 0, "pct": 100}}}"#;

    /// The document after its reports were recounted, and the reasons against it.
    fn recounted(tests: &Value, reports: &[(&str, &str, &str)]) -> (Value, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let (mut listed, mut files) = (Vec::new(), Vec::new());
        for (index, (suite, format, text)) in reports.iter().enumerate() {
            let name = format!("{index}.txt");
            let file = folder.path().join(&name);
            fs::write(&file, text).unwrap();
            let path = gatekeeper_model::store_key::ArtefactPath::parse(&format!("reports/{name}")).unwrap();
            files.push(BuildFile { path, file, size: text.len() as u64, sha256: Sha256::of(text.as_bytes()) });
            listed.push(json!({"suite": suite, "format": format, "file": name}));
        }
        let mut document = json!({"tests": tests, "reports": listed});
        let reasons = recount(document.as_object_mut().unwrap(), &files);
        (document["tests"].take(), reasons)
    }

    #[test]
    fn what_nobody_wrote_down_is_told_by_the_reports() {
        let reports =
            [("unit", "junit", UNIT), ("contract", "junit", CONTRACT), ("unit", "istanbul-summary", COVERAGE)];
        let (tests, reasons) = recounted(&json!({"typecheck": {"errors": 0}}), &reports);
        assert_eq!(reasons, [""; 0]);
        let unit = json!({"passed": 2, "failed": 1, "skipped": 1, "line_coverage": 79.96, "function_coverage": 100.0});
        assert_eq!(tests, json!({"typecheck": {"errors": 0}, "unit": unit}));
    }

    #[test]
    fn what_somebody_wrote_down_stays_and_the_gate_holds_it_against_the_reports() {
        let told = json!({"unit": {"passed": 3, "failed": 0, "skipped": 1, "line_coverage": 81.2}});
        let reports = [("unit", "junit", UNIT), ("unit", "istanbul-summary", COVERAGE), ("unit", "text", "anything")];
        let (tests, reasons) = recounted(&told, &reports);
        assert_eq!(reasons, [""; 0]);
        let unit = json!({"passed": 3, "failed": 0, "skipped": 1, "line_coverage": 81.2, "function_coverage": 100.0});
        assert_eq!(tests["unit"], unit);
    }

    #[test]
    fn every_end_is_told_and_who_knows_three_is_told_of_three() {
        const FLAKY: &str = r#"<testsuite name="a"><testcase name="one"><flakyFailure/></testcase>
            <testcase name="two"/><testcase name="three"><skipped type="todo"/></testcase></testsuite>"#;
        let reports = [("unit", "junit", FLAKY)];
        let (tests, _) = recounted(&json!({}), &reports);
        assert_eq!(tests["unit"], json!({"passed": 1, "failed": 0, "skipped": 0, "todo": 1, "flaky": 1}));
        let (tests, _) = recounted(&json!({"unit": {"passed": 2}}), &reports);
        assert_eq!(tests["unit"], json!({"passed": 2, "failed": 0, "skipped": 1}));
    }

    #[test]
    fn a_suite_that_ran_and_whose_report_shows_nothing_has_no_test_that_passed() {
        let (tests, _) = recounted(&json!({"policy": {"exit_code": 0}}), &[("policy", "junit", "<testsuite>")]);
        assert_eq!(tests["policy"], json!({"exit_code": 0, "passed": 0, "failed": 0, "skipped": 0}));
    }

    #[test]
    fn whether_the_integration_tests_have_run_is_said_by_the_build() {
        let reports = [("integration", "junit", UNIT)];
        assert_eq!(recounted(&json!({}), &reports), (json!({}), vec![]));
        let (tests, reasons) = recounted(&json!({"integration": {"run_integration": true}}), &reports);
        assert_eq!(reasons, [""; 0]);
        assert_eq!(tests["integration"], json!({"run_integration": true, "passed": 2, "failed": 0, "skipped": 1}));
    }
}
