//! The suites of tests that a manifest has figures of, and what all reports of one show together.

use gatekeeper_model::outcome::{Counts, Outcome};
use gatekeeper_model::suite::{ExitCodes, Suite};
use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    store_key::ArtefactPath,
};

use super::{
    Format, PassedTests, Recounted,
    coverage::{Coverage, Covered},
};

/// A recounted report of a commit.
#[derive(Debug, Clone, Copy)]
pub struct SuiteReport<'a> {
    /// Where it lies.
    pub path: &'a ArtefactPath,
    /// The suite's word, as the manifest has it.
    pub suite: &'a str,
    /// Its format.
    pub format: Format,
    /// What it shows.
    pub recounted: &'a Recounted,
}

/// What the reports of one suite show together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many tests there were; `None` where no report tells.
    pub tests: Option<Counts>,
    /// What each coverage report shows. Several of one suite, say one of each package, must all hold.
    pub coverage: Vec<Coverage>,
}

impl Shown {
    /// The lowest and the highest coverage of all reports in percent; `None` where no report tells.
    #[must_use]
    pub fn percent(&self, of: impl Fn(&Coverage) -> Covered) -> Option<(f64, f64)> {
        let each = self.coverage.iter().filter_map(|coverage| of(coverage).percent());
        each.fold(None, |range, percent| {
            let (low, high) = range.unwrap_or((percent, percent));
            Some((low.min(percent), high.max(percent)))
        })
    }
}

/// Adds up what the reports of each suite show, and every reason not to believe them; subjects are the reports' paths.
///
/// A suite's run that was written down in two formats is counted once, so both must show the same. A test that failed
/// and passed when it was run again is flaky where the suite's process is known to have ended with 0.
#[must_use]
pub fn add_up<'a>(
    reports: impl IntoIterator<Item = SuiteReport<'a>>,
    exit_codes: &ExitCodes,
) -> (BTreeMap<Suite, Shown>, Vec<Finding>) {
    let (mut shown, mut findings) = (BTreeMap::<Suite, Shown>::new(), Vec::new());
    let mut by_format: BTreeMap<(Suite, &str), BTreeMap<&str, Counts>> = BTreeMap::new();
    for SuiteReport { path, suite: word, format, recounted } in reports {
        let Some(suite) = Suite::of(word) else { continue };
        let problems = match recounted {
            Recounted::Tests(recount) => {
                let sum = by_format.entry((suite, word)).or_default().entry(format.as_str()).or_default();
                let mut counts = recount.counts;
                if exit_codes.get(&suite) == Some(&0) {
                    counts.shift(Outcome::Failed, Outcome::Flaky, recount.retried);
                }
                *sum = sum.plus(counts);
                let code = if suite == Suite::Integration { Code::ReportContradictory } else { Code::TestsUnexplained };
                let unexplained = recount.unexplained.iter();
                findings.extend(unexplained.map(|it| Finding::new(code, path.to_string(), it.as_str())));
                &recount.problems
            }
            Recounted::Coverage(coverage) => {
                shown.entry(suite).or_default().coverage.push(coverage.clone());
                &coverage.problems
            }
        };
        let lies = problems.iter().map(|it| Finding::new(Code::ReportContradictory, path.to_string(), it.as_str()));
        findings.extend(lies);
    }
    for ((suite, word), formats) in by_format {
        let mut counts = formats.iter();
        let Some((first, told)) = counts.next() else { continue };
        let mut together = *told;
        for (format, other) in counts {
            if let Some(both) = together.same_run(other) {
                together = both;
                continue;
            }
            let message = format!(
                "the `{first}` reports of the suite `{word}` show {told}, the `{format}` reports {other}: write one run in \
                 two formats, or all of it in one"
            );
            findings.push(Finding::new(Code::ReportContradictory, format!("tests.{}", suite.as_str()), message));
        }
        let sum = shown.entry(suite).or_default().tests.get_or_insert_default();
        *sum = sum.plus(together);
    }
    (shown, findings)
}

/// The tests of a suite that passed, of all its test reports; `None` where they are more than can be named.
#[must_use]
pub fn passed<'a>(suite: Suite, reports: impl IntoIterator<Item = SuiteReport<'a>>) -> Option<PassedTests> {
    let of_suite = reports.into_iter().filter(|report| Suite::of(report.suite) == Some(suite));
    let tests = of_suite.filter_map(|report| match report.recounted {
        Recounted::Tests(recount) => Some((report.format, recount.passed.as_ref())),
        Recounted::Coverage(_) => None,
    });
    together(tests)
}

/// The tests of several reports of one suite: those of one format add up, those of another are the same run. None where
/// they are more than can be named.
#[must_use]
pub fn together<'a>(reports: impl IntoIterator<Item = (Format, Option<&'a PassedTests>)>) -> Option<PassedTests> {
    let mut formats = BTreeMap::<&str, PassedTests>::new();
    for (format, passed) in reports {
        let of_format = formats.remove(format.as_str()).unwrap_or_default();
        formats.insert(format.as_str(), of_format.plus(passed?)?);
    }
    formats.values().try_fold(PassedTests::default(), PassedTests::or)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::read;

    const TWO: &str = "<testsuite name='a'><testcase name='b'/><testcase name='c'><failure/></testcase></testsuite>";
    const ONE: &str = "<testsuite name='d'><testcase name='e'/></testsuite>";
    const VITEST: &str = r#"{"success": true, "numTotalTests": 1, "numPassedTests": 1, "numFailedTests": 0, "numPendingTests": 0,
        "numTodoTests": 0, "testResults": [{"name": "/w/a.test.ts", "status": "passed", "message": "",
        "assertionResults": [{"ancestorTitles": ["a"], "title": "b", "fullName": "a b", "status": "passed", "failureMessages": []}]}]}"#;
    const LCOV: &str = "SF:a\nFN:1,f\nFNDA:1,f\nDA:1,1\nend_of_record\n";

    fn shown(reports: &[(&str, &str, &str)]) -> (BTreeMap<Suite, Shown>, Vec<String>) {
        let recounted = reports.iter().enumerate().map(|(index, (suite, word, text))| {
            let format = Format::of(word).unwrap();
            let path = ArtefactPath::parse(&format!("reports/{index}.txt")).unwrap();
            (path, *suite, format, read(format, text.as_bytes()).unwrap().unwrap())
        });
        let recounted: Vec<_> = recounted.collect();
        let reports = recounted.iter().map(|(path, suite, format, recounted)| SuiteReport {
            path,
            suite,
            format: *format,
            recounted,
        });
        let (shown, findings) = add_up(reports, &ExitCodes::new());
        (shown, findings.into_iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message)).collect())
    }

    #[test]
    fn unit_and_contract_tests_are_one_suite_and_reports_of_no_suite_are_not_counted() {
        let (shown, findings) = shown(&[
            ("unit", "junit", TWO),
            ("contract", "junit", ONE),
            ("lint", "junit", TWO),
            ("unit", "lcov", LCOV),
        ]);
        assert_eq!(findings, [""; 0]);
        assert_eq!(shown.keys().collect::<Vec<_>>(), [&Suite::Unit]);
        let unit = &shown[&Suite::Unit];
        assert_eq!(unit.tests, Some(Counts { passed: 2, failed: 1, skipped: 0, ..Counts::default() }));
        assert_eq!(unit.percent(|it| it.lines), Some((100.0, 100.0)));
    }

    #[test]
    fn one_run_in_two_formats_is_counted_once() {
        let (shown, findings) = shown(&[("policy", "junit", ONE), ("policy", "vitest-json", VITEST)]);
        assert_eq!(findings, [""; 0]);
        assert_eq!(shown[&Suite::Policy].tests, Some(Counts { passed: 1, failed: 0, skipped: 0, ..Counts::default() }));
    }

    #[test]
    fn reports_that_contradict_each_other_are_not_believed() {
        let (_, findings) = shown(&[("unit", "junit", TWO), ("unit", "vitest-json", VITEST)]);
        insta::assert_snapshot!(findings.join("\n"), @"report-contradictory tests.unit: the `junit` reports of the suite `unit` show 1 passed, 1 failed, 0 skipped, the `vitest-json` reports 1 passed, 0 failed, 0 skipped: write one run in two formats, or all of it in one");
    }

    #[test]
    fn the_lowest_of_several_coverage_reports_counts() {
        let half = "SF:b\nFN:1,f\nFNDA:1,f\nDA:1,1\nDA:2,0\nend_of_record\n";
        let (shown, findings) = shown(&[("unit", "lcov", LCOV), ("contract", "lcov", half)]);
        assert_eq!(findings, [""; 0]);
        let unit = &shown[&Suite::Unit];
        assert_eq!(unit.percent(|it| it.lines), Some((50.0, 100.0)));
        assert_eq!(unit.percent(|it| it.functions), Some((100.0, 100.0)));
        assert_eq!(Shown::default().percent(|it| it.lines), None);
    }
}
