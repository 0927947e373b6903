//! The tests' figures, recounted from the raw reports: nobody has to write a summary, and a summary that somebody wrote is
//! held against them (ADR-053 "Built and Deployed definitions").

use std::{collections::BTreeMap, fs::File, io::BufReader};

use gatekeeper::report::{
    Counts, Format, Recounted,
    coverage::{Coverage, Covered},
    read,
};
use serde_json::{Map, Value, json};

use super::BuildFile;

/// The suites that the manifest has figures of; the unit and contract tests are one (ADR-053 CI step 2).
const SUITES: [(&str, &[&str]); 3] =
    [("unit", &["unit", "contract"]), ("policy", &["policy"]), ("integration", &["integration"])];

/// How far a told coverage may be from the recounted one, in percent: producers round.
const ROUNDED: f64 = 0.1;

/// What the reports of one suite show together.
#[derive(Default)]
struct Shown {
    tests: Option<Counts>,
    coverage: Option<Coverage>,
}

/// Writes what the reports show into the document's `tests`; every reason why they can't be believed, or don't agree with
/// what stands there. Reports of unknown formats are evidence and not counted.
pub(crate) fn recount(document: &mut Map<String, Value>, files: &[BuildFile]) -> Vec<String> {
    let (mut shown, mut reasons) = (BTreeMap::<&str, Shown>::new(), Vec::new());
    for report in document.get("reports").and_then(Value::as_array).into_iter().flatten() {
        let text = |field| report.get(field).and_then(Value::as_str).unwrap_or_default();
        let suite = SUITES.iter().find(|(_, names)| names.contains(&text("suite"))).map(|(suite, _)| *suite);
        let path = format!("reports/{}", text("file"));
        let file = files.iter().find(|file| file.path.to_string() == path);
        let (Some(suite), Some(format), Some(file)) = (suite, Format::of(text("format")), file) else { continue };
        let recounted = match File::open(&file.file).and_then(|bytes| read(format, BufReader::new(bytes))) {
            Ok(Ok(recounted)) => recounted,
            Ok(Err(not)) => {
                reasons.push(format!("`{path}` is {not}"));
                continue;
            }
            Err(error) => {
                reasons.push(format!("`{path}` can't be read: {error}"));
                continue;
            }
        };
        let of_suite = shown.entry(suite).or_default();
        let problems = match recounted {
            Recounted::Tests(recount) => {
                let sum = of_suite.tests.get_or_insert_default();
                sum.passed += recount.counts.passed;
                sum.failed += recount.counts.failed;
                sum.skipped += recount.counts.skipped;
                recount.problems
            }
            Recounted::Coverage(mut coverage) => {
                let problems = std::mem::take(&mut coverage.problems);
                if of_suite.coverage.replace(coverage).is_some() {
                    reasons
                        .push(format!("`{path}` is a second coverage report of the {suite} tests: keep one of them"));
                }
                problems
            }
        };
        reasons.extend(problems.into_iter().map(|problem| format!("`{path}` contradicts itself: {problem}")));
    }
    for (suite, shown) in shown {
        tell(document, suite, &shown, &mut reasons);
    }
    reasons
}

/// Fills in what the document doesn't tell of a suite, and holds what it tells against the reports.
fn tell(document: &mut Map<String, Value>, suite: &str, shown: &Shown, reasons: &mut Vec<String>) {
    let tests = document.entry("tests").or_insert_with(|| json!({}));
    // That a manifest tells of them at all says that the integration tests have run (CONTRACT §3): the build says so.
    if suite == "integration" && tests.get(suite).is_none() {
        return;
    }
    let Some(told) = tests.as_object_mut().map(|tests| tests.entry(suite).or_insert_with(|| json!({}))) else { return };
    let Some(told) = told.as_object_mut() else { return };
    let mut differs = |field: &str, told: &Value, shown: &Value| {
        reasons.push(format!(
            "`tests.{suite}.{field}` is {told}, and the reports show {shown}: correct it, or leave it out"
        ));
    };
    if let Some(Counts { passed, failed, skipped }) = shown.tests {
        for (field, count) in [("passed", passed), ("failed", failed), ("skipped", skipped)] {
            match told.get(field) {
                Some(other) if other.as_u64() != Some(count) => differs(field, other, &json!(count)),
                Some(_) => {}
                None => drop(told.insert(field.to_owned(), json!(count))),
            }
        }
    }
    let Some(Coverage { lines, functions, .. }) = &shown.coverage else { return };
    for (field, covered) in [("line_coverage", lines), ("function_coverage", functions)] {
        let Some(percent) = rounded(*covered) else { continue };
        match told.get(field) {
            Some(other) if other.as_f64().is_none_or(|other| (other - percent).abs() > ROUNDED) => {
                differs(field, other, &json!(percent));
            }
            Some(_) => {}
            None => drop(told.insert(field.to_owned(), json!(percent))),
        }
    }
}

/// In percent with two decimals, never rounded up: 79.999 % is no 80 %.
fn rounded(covered: Covered) -> Option<f64> {
    covered.percent().map(|percent| (percent * 100.0).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatekeeper::ids::Sha256;

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
            let path = gatekeeper::store_key::ArtefactPath::parse(&format!("reports/{name}")).unwrap();
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
    fn what_somebody_wrote_down_is_held_against_the_reports() {
        let told = json!({"unit": {"passed": 3, "failed": 0, "skipped": 1, "line_coverage": 81.2}});
        let reports = [("unit", "junit", UNIT), ("unit", "istanbul-summary", COVERAGE), ("unit", "text", "anything")];
        let (_, reasons) = recounted(&told, &reports);
        insta::assert_snapshot!(reasons.join("\n"), @"
        `tests.unit.passed` is 3, and the reports show 2: correct it, or leave it out
        `tests.unit.line_coverage` is 81.2, and the reports show 79.96: correct it, or leave it out
        ");
    }

    #[test]
    fn whether_the_integration_tests_have_run_is_said_by_the_build() {
        let reports = [("integration", "junit", UNIT)];
        assert_eq!(recounted(&json!({}), &reports), (json!({}), vec![]));
        let (tests, reasons) = recounted(&json!({"integration": {"run_integration": true}}), &reports);
        assert_eq!(reasons, [""; 0]);
        assert_eq!(tests["integration"], json!({"run_integration": true, "passed": 2, "failed": 0, "skipped": 1}));
    }

    #[test]
    fn a_report_that_is_none_or_lies_is_refused_by_name() {
        let lying = r#"<testsuite name="unit" tests="2" failures="1"><testcase classname="a" name="one"/></testsuite>"#;
        let reports = [("policy", "junit", "<testsuite>"), ("unit", "junit", lying), ("unit", "vitest-json", "[]")];
        let (_, reasons) = recounted(&json!({}), &reports);
        assert!(reasons[0].starts_with("`reports/0.txt` is not JUnit XML"), "{reasons:?}");
        assert!(reasons[1].starts_with("`reports/1.txt` contradicts itself"), "{reasons:?}");
        assert!(reasons.last().unwrap().starts_with("`reports/2.txt` is not Vitest JSON"), "{reasons:?}");
    }
}
