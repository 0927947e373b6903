//! Vitest's and Jest's JSON, Istanbul's, and LCOV, held against a naive reading of each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    input::{choose, has_a_fraction, is_json, kind, plain_json},
    junit::{recounted, whatever_it_is},
    product::{Coverage, Format, Outcome, Recount, Recounted},
};

/// The laws of the reports that are no XML. The first line is the format's word.
pub fn reports(input: &[u8]) {
    let Some((word, document)) = kind(input) else { return };
    let Some(format) = Format::of(word) else { return };
    if format == Format::Junit {
        return;
    }
    whatever_it_is(format, document);
    match recounted(format, document) {
        Ok(Recounted::Tests(recount)) => tests(format, document, &recount),
        Ok(Recounted::Coverage(coverage)) => {
            within_bounds(format, &coverage);
            if format == Format::Lcov { lcov(document, &coverage) } else { istanbul(format, document, &coverage) }
        }
        Err(_) => {}
    }
}

/// JSON that was read is JSON, and cut off anywhere it is none.
fn whole_json(format: Format, document: &[u8]) {
    let end = document.trim_ascii_end().len();
    let at = choose(document, end);
    assert!(recounted(format, &document[..at]).is_err(), "cut to {at} of {end} bytes");
}

/// The same document in `serde_json`'s spelling comes to the same, wherever pieces of it end.
fn spelt_otherwise(format: Format, document: &[u8], found: &Recounted) {
    const PIECE: usize = 64 * 1024;
    let Some(value) = plain_json(document) else { return };
    let text = value.to_string();
    let space = " ".repeat(PIECE.saturating_sub(choose(document, text.len().max(1))));
    for spelt in [format!("{space}{text}"), serde_json::to_string_pretty(&value).expect("JSON is written")] {
        assert_eq!(recounted(format, spelt.as_bytes()).as_ref(), Ok(found), "spelt {}", spelt.trim());
    }
}

fn tests(format: Format, document: &[u8], recount: &Recount) {
    whole_json(format, document);
    spelt_otherwise(format, document, &Recounted::Tests(recount.clone()));
    // Half a surrogate pair is read here, and refused there.
    let Ok(value) = serde_json::from_slice::<Value>(document) else { return };
    let (mut passed, mut failed, mut broken) = (0, 0, 0);
    for file in value["testResults"].as_array().into_iter().flatten() {
        let tests = file.get("assertionResults").or_else(|| file.get("testResults")).and_then(Value::as_array);
        broken += u64::from(tests.is_none());
        for test in tests.into_iter().flatten() {
            match test["status"].as_str() {
                Some("passed") => passed += 1,
                Some("skipped" | "disabled" | "pending" | "todo") => {}
                _ => failed += 1,
            }
        }
    }
    let counts = recount.counts;
    let green = counts.passes() + counts.of(Outcome::ExpectedFailure);
    assert_eq!(green, passed, "{counts}, and {passed} tests have the status `passed`");
    assert!(counts.failed >= failed + broken, "{counts}, and {failed} tests and {broken} files failed");
    if value["success"] == Value::Bool(true) && value["numFailedTests"].as_u64() == Some(0) {
        assert!(counts.failed == 0 || !recount.problems.is_empty(), "its header is believed: {counts}");
    }
}

/// No more is covered than there is, unless the report says so itself and is told to contradict itself.
fn within_bounds(format: Format, coverage: &Coverage) {
    let may_contradict = format == Format::IstanbulSummary && !coverage.problems.is_empty();
    for (what, figures) in [("lines", coverage.lines), ("functions", coverage.functions)] {
        assert!(figures.covered <= figures.total || may_contradict, "{what}: {figures:?}");
        if let Some(percent) = figures.percent() {
            assert!((0.0..=100.0).contains(&percent) || may_contradict, "{percent} % of the {what}");
        }
    }
}

fn istanbul(format: Format, document: &[u8], coverage: &Coverage) {
    whole_json(format, document);
    spelt_otherwise(format, document, &Recounted::Coverage(coverage.clone()));
    assert!(is_json(document));
    if format != Format::Istanbul {
        return;
    }
    let Some(value) = plain_json(document).filter(|value| !has_a_fraction(value)) else { return };
    let (mut lines, mut run, mut functions) = (0, 0, 0);
    for file in value.as_object().into_iter().flat_map(serde_json::Map::values) {
        let statements = file["statementMap"].as_object().into_iter().flatten();
        let all: BTreeSet<_> = statements.clone().map(|(_, it)| it["start"]["line"].as_u64()).collect();
        let ran = statements.filter(|(id, _)| file["s"][id.as_str()].as_u64() > Some(0));
        run += ran.map(|(_, it)| it["start"]["line"].as_u64()).collect::<BTreeSet<_>>().len() as u64;
        lines += all.len() as u64;
        functions += file["fnMap"].as_object().map_or(0, serde_json::Map::len) as u64;
    }
    assert_eq!((coverage.lines.total, coverage.lines.covered, coverage.functions.total), (lines, run, functions));
}

fn lcov(document: &[u8], coverage: &Coverage) {
    let figures = |document: &[u8]| match recounted(Format::Lcov, document) {
        Ok(Recounted::Coverage(coverage)) => coverage,
        other => panic!("no longer a tracefile: {other:?}"),
    };
    let of = |coverage: &Coverage| (coverage.lines, coverage.functions);
    // LLVM's are known by having no `TN`, as far as they are read.
    let first_of = |keyword: &[u8]| document.split(|byte| *byte == b'\n').position(|line| line.starts_with(keyword));
    if first_of(b"TN:").is_none_or(|test_name| Some(test_name) < first_of(b"SF:")) {
        let twice = [document, b"\n", document].concat();
        assert_eq!(of(&figures(&twice)), of(coverage), "what ran in one of two runs ran, and no line is two");
    }
    let comment = format!("#{}\n", "x".repeat(60_000));
    assert_eq!(figures(&[comment.as_bytes(), document].concat()), *coverage, "behind a comment");
    if !document.contains(&b'\r') {
        let text = String::from_utf8_lossy(document).replace('\n', "\r\n");
        if text.is_ascii() {
            assert_eq!(figures(text.as_bytes()), *coverage, "with other line ends");
        }
    }
    naive_lines(&String::from_utf8_lossy(document), coverage);
}

/// Where no record tells its sums, the lines are those that it lists.
fn naive_lines(text: &str, coverage: &Coverage) {
    let (mut files, mut file) = (BTreeMap::<(&str, u32), bool>::new(), "");
    for line in text.split('\n').map(str::trim_end) {
        match line.split_once(':') {
            Some(("SF", name)) => file = name,
            Some(("LF" | "LH", _)) => return,
            Some(("DA", value)) => {
                let (number, count) = value.split_once(',').expect("it was read before");
                let count = count.split(',').next().and_then(|it| it.parse::<f64>().ok()).expect("it was read before");
                *files.entry((file, number.parse().expect("it was read before"))).or_default() |= count > 0.0;
            }
            _ => {}
        }
    }
    let run = files.values().filter(|has_run| **has_run).count() as u64;
    assert_eq!((coverage.lines.total, coverage.lines.covered), (files.len() as u64, run));
}
