//! Raw test and coverage reports, recounted: what a tool says of itself in a header is held against what it shows.
//!
//! Reports lie without meaning to: Vitest says `success: true` of a run with an unhandled error, jest-junit leaves a file
//! out whose import failed. So cases are counted and headers are not believed; where a header tells of something worse
//! than the cases do, that is told too. What no report shows is told by the exit code of the process alone.
//!
//! Reports are read as streams: memory does not grow with the file.

pub mod coverage;
mod jest;
mod json;
mod junit;
mod passed;
mod recount;
pub mod suite;
pub mod words;
mod xml;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Read},
};

use gatekeeper_model::verdict::NamedTests;
use serde::{Deserialize, Serialize};

use self::{
    coverage::Coverage,
    recount::{Tallied, Tally},
};
pub use self::{
    jest::Runner,
    passed::{Gone, InvalidTestIds, MAX_TEST_IDS, PassedTests, TestId},
    recount::Recount,
};

/// The largest report that is read: it is streamed, so this bounds time and disk.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The formats that can be recounted, by their word in the manifest (`reports[].format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "&'static str")]
pub enum Format {
    /// `junit`: the `JUnit` XML of any producer.
    Junit,
    /// `vitest-json`: Vitest's `--reporter=json`; `jest-json`: Jest's `--json`.
    Json(Runner),
    /// `istanbul-summary`: the `coverage-summary.json` of Istanbul and V8.
    IstanbulSummary,
    /// `istanbul`: their `coverage-final.json`.
    Istanbul,
    /// `lcov`: `lcov.info`, a tracefile of geninfo.
    Lcov,
}

impl Format {
    /// The format of this word; `None` where it is unknown: such a report is kept as evidence and not counted.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "junit" => Self::Junit,
            "vitest-json" => Self::Json(Runner::Vitest),
            "jest-json" => Self::Json(Runner::Jest),
            "istanbul-summary" => Self::IstanbulSummary,
            "istanbul" => Self::Istanbul,
            "lcov" => Self::Lcov,
            _ => return None,
        })
    }

    /// Whether it tells of tests, and not of coverage.
    #[must_use]
    pub fn is_of_tests(self) -> bool {
        matches!(self, Self::Junit | Self::Json(_))
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Json(Runner::Vitest) => "vitest-json",
            Self::Json(Runner::Jest) => "jest-json",
            Self::IstanbulSummary => "istanbul-summary",
            Self::Istanbul => "istanbul",
            Self::Lcov => "lcov",
        }
    }

    /// What a message calls a report of this format.
    fn name(self) -> &'static str {
        match self {
            Self::Junit => "JUnit XML",
            Self::Json(Runner::Vitest) => "Vitest JSON",
            Self::Json(Runner::Jest) => "Jest JSON",
            Self::IstanbulSummary => "an Istanbul coverage summary",
            Self::Istanbul => "Istanbul coverage JSON",
            Self::Lcov => "an LCOV tracefile",
        }
    }
}

impl From<Format> for &'static str {
    fn from(format: Format) -> Self {
        format.as_str()
    }
}

/// What a report shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recounted {
    /// Of tests.
    Tests(Recount),
    /// Of coverage.
    Coverage(Coverage),
}

/// Why a report can't be recounted, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAReport {
    format: Option<Format>,
    line: Option<u64>,
    why: String,
}

impl NotAReport {
    fn new(why: impl Into<String>) -> Self {
        Self { format: None, line: None, why: why.into() }
    }

    fn at(line: u64, why: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::new(why) }
    }
}

impl fmt::Display for NotAReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: ", self.format.map_or("a report", Format::name))?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for NotAReport {}

/// Why reading stopped.
#[derive(Debug)]
enum Stop {
    /// The bytes could not be read.
    Io(io::Error),
    /// They are not what they should be.
    Not(NotAReport),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<NotAReport> for Stop {
    fn from(not: NotAReport) -> Self {
        Self::Not(not)
    }
}

/// Recounts a report.
///
/// # Errors
/// Where `reader` fails. What is wrong with the report is [`NotAReport`].
pub fn read(format: Format, reader: impl Read) -> io::Result<Result<Recounted, NotAReport>> {
    let tests = |reader| Ok(Recounted::Tests(tests(format, reader, &BTreeSet::new(), &BTreeSet::new())?.recount));
    let recounted = match format {
        Format::Junit | Format::Json(_) => tests(reader),
        Format::IstanbulSummary => coverage::istanbul::read_summary(reader).map(Recounted::Coverage),
        Format::Istanbul => coverage::istanbul::read(reader).map(Recounted::Coverage),
        Format::Lcov => coverage::lcov::read(reader).map(Recounted::Coverage),
    };
    settled(format, recounted)
}

/// What the `wanted` tests are called, as far as a test report shows them: a remembered recount keeps ids only, and the
/// report itself the names.
///
/// # Errors
/// Where `reader` fails. What is wrong with the report is [`NotAReport`]; a coverage report names no tests.
pub fn names(
    format: Format,
    reader: impl Read,
    wanted: &BTreeSet<TestId>,
) -> io::Result<Result<BTreeMap<TestId, String>, NotAReport>> {
    settled(format, tests(format, reader, wanted, &BTreeSet::new()).map(|tallied| tallied.names))
}

/// Those of `words` that the name of a test holds that passed, such as the policies that a policy test is called after, each
/// with those tests.
///
/// # Errors
/// Where `reader` fails. What is wrong with the report is [`NotAReport`]; a coverage report names no tests.
pub fn words_of_passed(
    format: Format,
    reader: impl Read,
    words: &BTreeSet<String>,
) -> io::Result<Result<BTreeMap<String, NamedTests>, NotAReport>> {
    settled(format, tests(format, reader, &BTreeSet::new(), words).map(|tallied| tallied.found))
}

fn tests(
    format: Format,
    reader: impl Read,
    wanted: &BTreeSet<TestId>,
    words: &BTreeSet<String>,
) -> Result<Tallied, Stop> {
    let mut tally = Tally::new(wanted, words);
    match format {
        Format::Junit => junit::read(reader, &mut tally)?,
        Format::Json(runner) => jest::read(runner, reader, &mut tally)?,
        Format::IstanbulSummary | Format::Istanbul | Format::Lcov => {}
    }
    Ok(tally.finish())
}

fn settled<T>(format: Format, result: Result<T, Stop>) -> io::Result<Result<T, NotAReport>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Not(not)) => Ok(Err(NotAReport { format: Some(format), ..not })),
        Err(Stop::Io(error)) => Err(error),
    }
}

#[cfg(test)]
mod producers_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_word() {
        for word in ["junit", "vitest-json", "jest-json", "istanbul-summary", "istanbul", "lcov"] {
            assert_eq!(Format::of(word).unwrap().as_str(), word);
        }
        for word in ["", "JUnit", "trx", "cobertura"] {
            assert_eq!(Format::of(word), None, "{word}");
        }
    }

    #[test]
    fn what_was_recounted_is_remembered_in_few_words() {
        let remember = |format: &str, report: &str| {
            let recounted = read(Format::of(format).unwrap(), report.as_bytes()).unwrap().unwrap();
            let json = serde_json::to_string(&recounted).unwrap();
            assert_eq!(serde_json::from_str::<Recounted>(&json).unwrap(), recounted);
            json
        };
        insta::assert_snapshot!(
            remember("junit", "<testsuite name='a'><testcase name='b'/></testsuite>"),
            @r#"{"tests":{"counts":{"passed":1,"failed":0,"skipped":0},"passed":"0p9uTp7m2fYJTWMcheXw9Q=="}}"#
        );
        insta::assert_snapshot!(remember("lcov", "SF:a\nDA:1,1\nend_of_record\n"), @r#"{"coverage":{"lines":{"covered":1,"total":1},"functions":{"covered":0,"total":0}}}"#);
    }

    #[test]
    fn a_test_that_vanished_is_named_by_the_earlier_report() {
        let report = |cases: &str| format!("<testsuite name='ledger.test.ts'>{cases}</testsuite>");
        let earlier = report("<testcase name='posts'/><testcase name='rejects'/>");
        let now = report("<testcase name='posts'/>");
        let passed = |report: &str| match read(Format::Junit, report.as_bytes()).unwrap().unwrap() {
            Recounted::Tests(recount) => recount.passed.unwrap(),
            Recounted::Coverage(_) => panic!("no coverage"),
        };
        let vanished: BTreeSet<_> = passed(&now).vanished_since(&passed(&earlier)).into_keys().collect();
        let names = names(Format::Junit, earlier.as_bytes(), &vanished).unwrap().unwrap();
        assert_eq!(names.into_values().collect::<Vec<_>>(), ["ledger.test.ts › rejects"]);
        assert_eq!(vanished, [TestId::of("ledger.test.ts › rejects")].into());
    }
}
