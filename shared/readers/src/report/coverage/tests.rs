use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Coverage, Covered};
use crate::report::{Format, NotAReport, Recounted, read};

fn try_read(format: Format, bytes: &[u8]) -> Result<Coverage, NotAReport> {
    read(format, bytes).unwrap().map(|it| match it {
        Recounted::Coverage(coverage) => coverage,
        Recounted::Tests(_) => panic!("no tests"),
    })
}

/// Lines and functions as `covered of total`, and what contradicts them.
fn told(format: Format, text: &str) -> String {
    match try_read(format, text.as_bytes()) {
        Ok(Coverage { lines, functions, problems }) => format!(
            "{} of {} lines, {} of {} functions{}",
            lines.covered,
            lines.total,
            functions.covered,
            functions.total,
            problems.iter().fold(String::new(), |all, it| format!("{all}; {it}"))
        ),
        Err(not) => not.to_string(),
    }
}

fn summary(json: &Value) -> String {
    told(Format::IstanbulSummary, &json.to_string())
}

fn entry(lines: (u64, u64, Value), functions: (u64, u64, Value)) -> Value {
    let figures = |(covered, total, pct): (u64, u64, Value)| json!({"total": total, "covered": covered, "skipped": 0, "pct": pct});
    json!({"lines": figures(lines), "functions": figures(functions), "statements": {}, "branches": {}, "branchesTrue": {}})
}

#[test]
fn a_percentage_is_of_the_figures() {
    assert_eq!(Covered { covered: 4, total: 5 }.percent(), Some(80.0));
    assert_eq!(Covered { covered: 0, total: 0 }.percent(), None);
    // Istanbul would write 79.99 here, others 80.
    assert!(Covered { covered: 79_999, total: 100_000 }.percent().unwrap() < 80.0);
}

#[test]
fn a_summary_is_the_sum_of_its_files() {
    let json = json!({
        "total": entry((11, 13, json!(84.61)), (2, 2, json!(100))),
        "/ci/bank/src/a.ts": entry((8, 10, json!(80)), (2, 2, json!(100))),
        "/ci/bank/src/b.ts": entry((3, 3, json!(100)), (0, 0, json!(100))),
    });
    assert_eq!(summary(&json), "11 of 13 lines, 2 of 2 functions");
    let only_total = json!({"total": entry((11, 13, json!(84.61)), (2, 2, json!(100)))});
    assert_eq!(summary(&only_total), "11 of 13 lines, 2 of 2 functions");
    let nothing = json!({"total": entry((0, 0, json!("Unknown")), (0, 0, json!("Unknown")))});
    assert_eq!(summary(&nothing), "0 of 0 lines, 0 of 0 functions");
}

#[test]
fn a_summary_that_contradicts_itself_is_told() {
    let json = json!({
        "total": entry((13, 13, json!(100)), (2, 2, json!(100))),
        "a.ts": entry((8, 13, json!(80)), (2, 2, json!(100))),
    });
    insta::assert_snapshot!(summary(&json), @"8 of 13 lines, 2 of 2 functions; the lines of `a.ts`: `pct` is 80, 8 of 13 are 61.54 %; `total` says 13 of 13 lines, its files 8 of 13");
    insta::assert_snapshot!(summary(&json!({"total": entry((14, 13, json!(100)), (0, 0, json!(100)))})), @"14 of 13 lines, 0 of 0 functions; the lines of `total`: 14 of 13 are covered");
    insta::assert_snapshot!(summary(&json!({"a.ts": entry((1, 1, json!(100)), (0, 0, json!(100)))})), @"not an Istanbul coverage summary: it has no `total`");
    insta::assert_snapshot!(summary(&json!({"total": {}})), @"not an Istanbul coverage summary: missing field `lines` at line 1 column 11");
    insta::assert_snapshot!(told(Format::IstanbulSummary, "<html>"), @"not an Istanbul coverage summary: expected value at line 1 column 1");
    insta::assert_snapshot!(told(Format::Istanbul, r#"{"a": {"statementMap": {}, "fnMap": {}, "s": {}, "f": {}}, "a": {"statementMap": {}, "fnMap": {}, "s": {}, "f": {}}}"#), @"not Istanbul coverage JSON: the file `a` stands twice at line 1 column 116");
}

#[test]
fn a_line_ran_where_any_statement_that_begins_on_it_did() {
    let place = |line: u64| json!({"start": {"line": line, "column": 0}, "end": {"line": line + 3, "column": 1}});
    let json = json!({"/ci/bank/src/a.ts": {
        "path": "/ci/bank/src/a.ts", "all": false,
        "statementMap": {"0": place(1), "1": place(1), "2": place(2), "3": place(4)},
        "fnMap": {"0": {"name": "a", "decl": place(1), "loc": place(1), "line": 1}, "1": {"name": "(anonymous_1)"}},
        "branchMap": {}, "s": {"0": 0, "1": 3, "2": 0}, "f": {"0": 3, "1": 0}, "b": {}, "_coverageSchema": "x", "hash": "y",
    }});
    // Statement 3 has no count, so it did not run.
    assert_eq!(told(Format::Istanbul, &json.to_string()), "1 of 3 lines, 1 of 2 functions");
    assert_eq!(told(Format::Istanbul, "{}"), "0 of 0 lines, 0 of 0 functions");
}

#[test]
fn a_tracefile_is_counted_line_by_line() {
    let istanbul = "TN:\nSF:src/a.ts\nFN:1,(anonymous_0)\nFN:5,name, with comma\nFNF:2\nFNH:1\nFNDA:3,(anonymous_0)\nFNDA:0,name, with comma\n\
                    DA:1,3\nDA:2,0\nDA:3,1\nLF:3\nLH:2\nBRDA:1,0,0,1\nBRF:1\nBRH:1\nend_of_record\n";
    assert_eq!(told(Format::Lcov, istanbul), "2 of 3 lines, 1 of 2 functions");
    assert_eq!(told(Format::Lcov, &istanbul.replace('\n', "\r\n")), "2 of 3 lines, 1 of 2 functions");
    let lcov_2 = "# geninfo 2.2\nTN:unit\nSF:a.c\nVER:x\nFNL:0,1,4\nFNA:0,7,a(int, int)\nFNL:1,6\nFNA:1,0,b\nDA:1,7,abc=\nDA:2,1.5\nend_of_record\n";
    assert_eq!(told(Format::Lcov, lcov_2), "2 of 2 lines, 1 of 2 functions");
    let with_end_line = "SF:a.py\nDA:1,1\nFN:1,3,f\nFNDA:1,f\nend_of_record\n";
    assert_eq!(told(Format::Lcov, with_end_line), "1 of 1 lines, 1 of 1 functions");
    let same_line_twice = "SF:a\nDA:1,0\nDA:1,2\nDA:1,0\nend_of_record";
    assert_eq!(told(Format::Lcov, same_line_twice), "1 of 1 lines, 0 of 0 functions");
}

#[test]
fn a_tracefile_that_contradicts_itself_or_is_none_is_told() {
    let tell = |text: &str| told(Format::Lcov, text);
    insta::assert_snapshot!(tell("SF:a\nDA:1,0\nLF:1\nLH:1\nFNF:2\nend_of_record\n"), @"0 of 1 lines, 0 of 2 functions; `LH` of `a` is 1, its lines show 0");
    insta::assert_snapshot!(tell("TN:\nSF:a\nFN:1,f\nFNDA:1,f\nFNF:2\nFNH:1\nDA:1,1\nend_of_record\n"), @"1 of 1 lines, 1 of 1 functions; `FNF` of `a` is 2, its functions show 1");
    insta::assert_snapshot!(tell("SF:a\nFNF:2\nFNH:3\nDA:1,1\nend_of_record\n"), @"1 of 1 lines, 2 of 2 functions; `FNH` of `a` is 3, `FNF` 2");
    let wrong: Vec<_> = [
        "",
        "TN:\n",
        "SF:a\nDA:1,1\n",
        "SF:a\nSF:b\nend_of_record\n",
        "DA:1,1\n",
        "end_of_record\n",
        "SF:a\nDA:1\n",
        "SF:a\nDA:1,-1\n",
        "SF:a\nDA:1,NaN\n",
        "SF:a\nDA:x,1\n",
        "SF:a\nLH:many\n",
        "<html>\n",
        &"x".repeat(70_000),
    ]
    .iter()
    .map(|text| tell(text))
    .collect();
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    not an LCOV tracefile: it holds no record
    not an LCOV tracefile: it holds no record
    not an LCOV tracefile: line 2: no `end_of_record`: the file is cut off
    not an LCOV tracefile: line 2: the record of `a` has no end
    not an LCOV tracefile: line 1: `DA:1,1` stands in no record
    not an LCOV tracefile: line 1: `end_of_record` ends no record
    not an LCOV tracefile: line 2: `DA:1` has no figures
    not an LCOV tracefile: line 2: `DA:1,-1` has no figures
    not an LCOV tracefile: line 2: `DA:1,NaN` has no figures
    not an LCOV tracefile: line 2: `DA:x,1` has no figures
    not an LCOV tracefile: line 2: `LH:many` has no figures
    not an LCOV tracefile: line 1: `<html>` is no line of a tracefile
    not an LCOV tracefile: line 1: longer than 65536 bytes
    "#);
}

/// Tracefiles that the tools named wrote, as the tools count them.
#[test]
fn a_tracefile_is_counted_as_its_producer_counts() {
    let told = |file: &str| told(Format::Lcov, file);
    // Node 20.20: four methods, two of them called `check`.
    insta::assert_snapshot!(told(include_str!("../../../tests/coverage/node20-same-named-methods.info")), @"17 of 17 lines, 6 of 6 functions");
    // bun 1.4.5 lists no functions.
    insta::assert_snapshot!(told(include_str!("../../../tests/coverage/bun-1.4.5-no-FN.info")), @"3 of 3 lines, 3 of 3 functions");
    // lcov 1.16 `-a` of two tests' names; `lcov --summary` says 2 of 2 and 1 of 1.
    insta::assert_snapshot!(told(include_str!("../../../tests/coverage/lcov-a-two-test-names.info")), @"2 of 2 lines, 1 of 1 functions");
    // llvm-cov 14 of C++; `llvm-cov report` says 7 of 8 and 2 of 2, 18 of 25 and 5 of 7, 23 of 28 and 4 of 6.
    insta::assert_snapshot!(told(include_str!("../../../tests/coverage/llvm-cov-template.info")), @"7 of 8 lines, 2 of 2 functions");
    insta::assert_snapshot!(told(include_str!("../../../tests/coverage/llvm-cov-lambdas.info")), @"18 of 25 lines, 5 of 7 functions");
    insta::assert_snapshot!(told(include_str!("../../../tests/coverage/llvm-cov-methods.info")), @"23 of 28 lines, 4 of 6 functions");
}

#[test]
fn records_of_one_file_are_one() {
    let record = |runs: [u8; 3]| {
        format!(
            "SF:a\nFN:1,f\nFN:5,f\nFNDA:{},f\nFNDA:{},f\nDA:1,{}\nDA:2,0\nend_of_record\n",
            runs[0], runs[1], runs[2]
        )
    };
    let both = format!("TN:unit\n{}TN:contract\n{}", record([1, 0, 0]), record([0, 0, 3]));
    assert_eq!(told(Format::Lcov, &both), "1 of 2 lines, 1 of 2 functions");
    let all = format!("{both}TN:more\n{}", record([0, 1, 0]));
    assert_eq!(told(Format::Lcov, &all), "1 of 2 lines, 2 of 2 functions");
    // Each record's sums are of its own lines.
    let sums = "SF:a\nDA:1,1\nLF:1\nLH:1\nend_of_record\nSF:a\nDA:1,0\nDA:2,0\nLF:2\nLH:0\nend_of_record\n";
    assert_eq!(told(Format::Lcov, sums), "1 of 2 lines, 0 of 0 functions");
    let bun = "SF:a\nFNF:3\nFNH:1\nend_of_record\nSF:a\nFNF:3\nFNH:2\nend_of_record\n";
    assert_eq!(told(Format::Lcov, bun), "0 of 0 lines, 2 of 3 functions");
}

#[test]
fn sums_make_nothing_covered_that_the_lines_show_uncovered() {
    for lie in [
        "SF:a\nFN:1,f\nFN:2,g\nFNDA:1,f\nFNDA:0,g\nFNF:1\nFNH:1\nDA:1,1\nend_of_record\n",
        "SF:a\nFN:1,f\nFN:2,g\nFNDA:1,f\nFNDA:0,g\nFNF:2\nFNH:2\nDA:1,1\nend_of_record\n",
        "SF:a\nDA:1,1\nDA:2,0\nLF:2\nLH:2\nend_of_record\n",
        "SF:a\nDA:1,1\nDA:2,0\nLF:9\nLH:9\nend_of_record\n",
        "SF:a\nDA:1,1\nDA:2,0\nLF:1\nLH:1\nend_of_record\n",
        "TN:\nSF:a\nDA:1,1\nDA:2,0\nLF:9\nLH:8\nend_of_record\n",
    ] {
        assert!(told(Format::Lcov, lie).contains(';'), "{lie}");
    }
}

#[test]
fn what_one_file_may_cost_is_bounded() {
    let record = format!("SF:a\n{}", "DA:1,1\n".repeat(1_500_000));
    assert!(told(Format::Lcov, &record).ends_with("the record of `a` is longer than 8388608 bytes"));
    let member = format!(r#"{{"a": {{"inputSourceMap": [{}1]}}}}"#, "1, ".repeat(6_000_000));
    assert_eq!(
        told(Format::Istanbul, &member),
        "not Istanbul coverage JSON: it holds a member longer than 16777216 bytes"
    );
}

proptest! {
    #[test]
    fn each_line_of_a_tracefile_counts_once(
        files in proptest::collection::vec(proptest::collection::btree_map(1..500_u32, 0..3_u32, 0..20), 1..6),
    ) {
        let mut text = String::new();
        for (number, lines) in files.iter().enumerate() {
            writeln!(text, "SF:{number}").unwrap();
            for (line, count) in lines {
                writeln!(text, "DA:{line},{count}").unwrap();
            }
            text.push_str("end_of_record\n");
        }
        let total = files.iter().map(|it| it.len() as u64).sum();
        let covered = files.iter().flat_map(|it| it.values()).filter(|count| **count > 0).count() as u64;
        let coverage = try_read(Format::Lcov, text.as_bytes()).unwrap();
        prop_assert_eq!(coverage.lines, Covered { covered, total });
        // Cut off before its last line's end, it is refused.
        prop_assert!(try_read(Format::Lcov, &text.as_bytes()[..text.len() - 2]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "(SF:a|DA:[0-9,]{0,3}|FN:[0-9,a]{0,4}|FNDA:[0-9,]{0,3}|LF:1|\n|end_of_record){0,12}") {
        for format in [Format::Lcov, Format::Istanbul, Format::IstanbulSummary] {
            let _ = try_read(format, &bytes);
            let _ = try_read(format, text.as_bytes());
        }
    }
}
