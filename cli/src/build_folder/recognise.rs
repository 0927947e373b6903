//! What a raw report is, told by what is in it and by its name.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

use gatekeeper_model::suite::Suite;
use gatekeeper_readers::report::{Format, Runner, words};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// How much of a file is looked at to tell XML and tracefiles.
const HEAD_BYTES: u64 = 64 * 1024;

/// Words of file names that tools write by default, and that tell nothing of the suite.
const NAMELESS: [&str; 20] = [
    "junit",
    "test",
    "tests",
    "testresult",
    "testresults",
    "result",
    "results",
    "report",
    "reports",
    "output",
    "xml",
    "json",
    "vitest",
    "jest",
    "pytest",
    "mocha",
    "playwright",
    "gotestsum",
    "nextest",
    "surefire",
];

/// The format of a report by what is in it; `None` where that format is not counted.
///
/// # Errors
/// Where the file can't be read.
pub(crate) fn format_of(file: &Path) -> io::Result<Option<Format>> {
    let mut head = Vec::new();
    File::open(file)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        return Ok(is_junit(text).then_some(Format::Junit));
    }
    if text.starts_with('{') {
        return of_json(File::open(file)?);
    }
    let is_tracefile = text.lines().take(100).any(|line| line.starts_with("SF:") || line.starts_with("TN:"));
    Ok(is_tracefile.then_some(Format::Lcov))
}

/// Whether the first element is one of `JUnit`'s, behind declarations and comments.
fn is_junit(mut text: &str) -> bool {
    while let Some(rest) = text.strip_prefix('<') {
        let end = if rest.starts_with("!--") {
            "-->"
        } else if rest.starts_with(['?', '!']) {
            ">"
        } else {
            let name = rest.split(|c: char| !c.is_alphanumeric()).next();
            return matches!(name, Some("testsuites" | "testsuite"));
        };
        text = rest.split_once(end).map_or("", |(_, behind)| behind.trim_start());
    }
    false
}

fn of_json(file: File) -> io::Result<Option<Format>> {
    let mut parser = serde_json::Deserializer::from_reader(BufReader::new(file));
    match parser.deserialize_map(Shape::default()) {
        Ok(shape) => Ok(shape.format()),
        Err(error) if error.is_io() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The members of a JSON document, and those of its first object.
#[derive(Default)]
struct Shape {
    members: BTreeSet<String>,
    of_first: BTreeSet<String>,
}

impl Shape {
    fn format(&self) -> Option<Format> {
        let has = |name: &str| self.members.contains(name);
        if has("testResults") && has("numTotalTests") {
            // Both write the same, and Jest more.
            let of_jest = ["openHandles", "wasInterrupted", "numRuntimeErrorTestSuites"];
            let runner = if of_jest.into_iter().any(has) { Runner::Jest } else { Runner::Vitest };
            return Some(Format::Json(runner));
        }
        let in_first = |name: &str| self.of_first.contains(name);
        if has("total") && in_first("lines") && in_first("functions") {
            return Some(Format::IstanbulSummary);
        }
        (in_first("statementMap") && in_first("fnMap")).then_some(Format::Istanbul)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        let mut is_first = true;
        while let Some(name) = members.next_key::<String>()? {
            if is_first && !name.starts_with("num") && name != "success" {
                is_first = false;
                if name == "testResults" || name == "snapshot" || name == "openHandles" {
                    members.next_value::<IgnoredAny>()?;
                } else if let Value::Object(first) = members.next_value::<Value>()? {
                    self.of_first.extend(first.into_iter().map(|(name, _)| name));
                }
            } else {
                members.next_value::<IgnoredAny>()?;
            }
            // The names of files are not needed.
            if self.members.len() < 100 {
                self.members.insert(name);
            }
        }
        Ok(self)
    }
}

/// The suite that a report of this name tells of.
///
/// # Errors
/// What the name leaves open.
pub(crate) fn suite_of(
    name: &str,
    format: Option<Format>,
    tests: Option<&Value>,
    reports: &[Value],
) -> Result<String, String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_ascii_lowercase();
    let parts: Vec<&str> = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|it| !it.is_empty()).collect();
    let mut named = parts.iter().filter(|part| Suite::of(part).is_some());
    match (named.next(), named.next()) {
        (Some(suite), None) => return Ok((*suite).to_owned()),
        (Some(_), Some(_)) => return Err("its name has the words of two suites".to_owned()),
        (None, _) => {}
    }
    match format {
        // ADR-053 asks for the coverage of the unit tests.
        Some(format) if !format.is_of_tests() => Ok(Suite::Unit.as_str().to_owned()),
        Some(_) if parts.iter().all(|part| NAMELESS.contains(part)) => only_open_suite(tests, reports),
        _ => Ok(stem.split('.').next().filter(|it| !it.is_empty()).unwrap_or(words::OTHER).to_owned()),
    }
}

/// The one suite that the build says ran and that has no report yet.
fn only_open_suite(tests: Option<&Value>, reports: &[Value]) -> Result<String, String> {
    let of_tests = reports.iter().filter(|it| Format::of(text(it, "format")).is_some_and(Format::is_of_tests));
    let reported: Vec<Suite> = of_tests.filter_map(|it| Suite::of(text(it, "suite"))).collect();
    let ran = |suite: &Suite| tests.is_some_and(|tests| tests.get(suite.as_str()).is_some());
    let open: Vec<&str> =
        Suite::ALL.into_iter().filter(|it| ran(it) && !reported.contains(it)).map(Suite::as_str).collect();
    match open.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] if reported.is_empty() => Ok(Suite::Unit.as_str().to_owned()),
        [] => Err("each suite that ran has a report already".to_owned()),
        several => Err(format!("it may be of the suites {}", several.join(", "))),
    }
}

/// What each report of a manifest is taken for, for the log.
pub(crate) fn taken_for(document: &Map<String, Value>) -> Vec<String> {
    let reports = document.get("reports").and_then(Value::as_array).into_iter().flatten();
    let one = |report: &Value| {
        let (file, suite, format) = (text(report, "file"), text(report, "suite"), text(report, "format"));
        match (Suite::of(suite), Format::of(format)) {
            (Some(counted), Some(_)) => {
                format!("`reports/{file}` is counted: `{format}` of the {} tests", counted.as_str())
            }
            _ => format!("`reports/{file}` is kept as evidence and not counted: `{format}` of the suite `{suite}`"),
        }
    };
    reports.map(one).collect()
}

fn text<'a>(report: &'a Value, field: &str) -> &'a str {
    report.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn format(text: &str) -> Option<&'static str> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        format_of(file.path()).unwrap().map(Format::as_str)
    }

    #[test]
    fn a_report_is_known_by_what_is_in_it() {
        let junit =
            "\u{feff}<?xml version='1.0'?>\n<!-- made by <x> -->\n<testsuites name='a'><testsuite/></testsuites>";
        assert_eq!(format(junit), Some("junit"));
        assert_eq!(format("<testsuite/>"), Some("junit"));
        assert_eq!(format("<coverage line-rate='1'/>"), None);
        assert_eq!(format("<!DOCTYPE html><html>"), None);
        let vitest =
            json!({"numTotalTestSuites": 1, "numTotalTests": 1, "success": true, "testResults": [], "snapshot": {}});
        assert_eq!(format(&vitest.to_string()), Some("vitest-json"));
        let jest = json!({"numTotalTests": 1, "numRuntimeErrorTestSuites": 0, "openHandles": [], "testResults": []});
        assert_eq!(format(&jest.to_string()), Some("jest-json"));
        assert_eq!(format(r#"{"total": {"lines": {}, "functions": {}}, "a.ts": {}}"#), Some("istanbul-summary"));
        assert_eq!(format(r#"{"/w/a.ts": {"path": "x", "statementMap": {}, "fnMap": {}}}"#), Some("istanbul"));
        for tracefile in ["TN:\nSF:a\n", "# by hand\n\nSF:a\nDA:1,1\n"] {
            assert_eq!(format(tracefile), Some("lcov"));
        }
        for other in ["", "{", "{}", "[]", r#"{"stats": {}, "suites": []}"#, "plain text", "\0\u{1}"] {
            assert_eq!(format(other), None, "{other}");
        }
    }

    #[test]
    fn a_suite_is_known_by_the_reports_name_or_by_what_ran() {
        let junit = Some(Format::Junit);
        for (name, suite) in [
            ("unit.xml", "unit"),
            ("junit-integration.xml", "integration"),
            ("policy_tests.junit.xml", "policy"),
            ("Contract.xml", "contract"),
            ("lint.xml", "lint"),
            ("junit.xml", "unit"),
            ("test-results.xml", "unit"),
        ] {
            assert_eq!(suite_of(name, junit, None, &[]).as_deref(), Ok(suite), "{name}");
        }
        assert_eq!(suite_of("coverage-summary.json", Some(Format::IstanbulSummary), None, &[]).as_deref(), Ok("unit"));
        assert_eq!(suite_of("lcov.info", Some(Format::Lcov), None, &[]).as_deref(), Ok("unit"));
        let ran = json!({"unit": {}, "integration": {}, "typecheck": {}});
        let reports = [json!({"suite": "unit", "format": "junit"}), json!({"suite": "unit", "format": "lcov"})];
        assert_eq!(suite_of("results.json", junit, Some(&ran), &reports).as_deref(), Ok("integration"));
        let told = suite_of("junit.xml", junit, Some(&ran), &[]);
        assert_eq!(told.unwrap_err(), "it may be of the suites unit, integration");
        assert!(suite_of("unit-and-integration.xml", junit, None, &[]).is_err());
    }
}
