//! `JUnit` XML, as each tool writes it. There is no standard; the cases and their children are what all agree on.
//!
//! | A case with | is | written by |
//! |---|---|---|
//! | `skipped` of the type `todo`, or with the message `TODO` | to do, whatever else it has | Node; Bun |
//! | `failure` or `error` | failed, once | all; pytest writes a case of its own for a failed teardown |
//! | `skipped` of the type `pytest.xfail` or `XFAIL`, or Catch2's of `!mayfail` | an expected failure | pytest; unittest-xml-reporting; Catch2 |
//! | `skipped` | skipped; not run, where Playwright names no annotation | all |
//! | `flakyFailure`, `flakyError`, `rerunFailure`, `rerunError` | flaky | Surefire, nextest, Playwright: it passed when retried, and so did the build |
//! | the property `fail` | an expected failure | Playwright |
//! | `status` or `result` with a word such as `notrun` | that, unless a child says worse | `GoogleTest`, `CTest`, behave |
//!
//! What a suite's header tells against its cases is judged when the suite ends: `header`. What is known of producers by
//! their own marks is in `producer`. What no document shows is in docs/reports.md, with the setting that mends it.

mod header;
mod producer;

use gatekeeper_model::outcome::Outcome;
use std::io::Read;

use self::{
    header::{Seen, Suite},
    producer::Producer,
};
use super::{
    MAX_TEST_IDS, Stop, TestId,
    recount::{self, Tally, name_of},
    xml::{Event, Wanted, Xml},
};
use crate::shown::shown;

/// The attributes that are looked at.
const ATTRIBUTES: Wanted = Wanted {
    whole: &[
        "name",
        "classname",
        "status",
        "result",
        "tests",
        "failures",
        "errors",
        "skipped",
        "skip",
        "disabled",
        "flakes",
        "time",
    ],
    start: &["type", "message", "value", "file", "id", "hostname", "doctest_version", "xsi:noNamespaceSchemaLocation"],
};

/// Words of `status` and `result` for what was left out on purpose.
const SKIPPED: &[&str] = &["disabled", "ignored", "pending", "skip", "skipped", "suppressed"];

/// Words of `status` and `result` for what did not run.
const NOT_RUN: &[&str] = &["notrun", "not_run", "undefined", "untested"];

/// Words of `status` and `result` for what failed.
const FAILED: &[&str] = &["broken", "error", "errored", "fail", "failed", "failure"];

/// What stands for a class or container whose setup failed or was retried, and is no test of it: Surefire's, from
/// `JUnit`'s runners.
const NO_TESTS: &[&str] = &["initializationError", "executionError"];

/// What Mocha's reporters call the case of a hook that failed.
const HOOKS: &[&str] = &["\"before all\" hook", "\"after all\" hook", "\"before each\" hook", "\"after each\" hook"];

/// What Catch2 says of a test that failed and was allowed to.
const MAY_FAIL: &str = "TEST_CASE tagged with !mayfail";

/// Elements that are open.
enum Open {
    Suite(Suite),
    Case(Case),
    /// A suite's or a case's.
    Properties,
    /// What a suite wrote to standard error.
    Errors,
    /// A case's `system-out`, and so on.
    Other,
}

struct Case {
    id: Option<TestId>,
    failures: u64,
    skips: u64,
    /// What the worst of its `skipped` says.
    skip: Option<Outcome>,
    status: Option<Outcome>,
    was_retried: bool,
    /// Playwright's annotations.
    expects_failure: bool,
    is_annotated: bool,
    time: Time,
    is: Is,
}

/// What a case stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Test,
    /// A class, a container or a file.
    Container,
    /// A hook, which has a case where it failed only.
    Hook,
}

/// How long a case says that it took.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    None,
    Some,
    Untold,
}

/// Counts the cases of a document.
pub(super) fn read(reader: impl Read, tally: &mut Tally<'_>) -> Result<(), Stop> {
    let mut xml = Xml::new(reader, ATTRIBUTES)?;
    let mut document = Document::default();
    loop {
        match xml.next()? {
            Event::Start => {
                let opened = document.start(&xml, tally)?;
                document.open.push(opened);
            }
            Event::End { has_text } => document.end(has_text, tally),
            Event::Comment if xml.depth() == 1 => document.comments.read(xml.comment()),
            Event::Comment => {}
            Event::Over => {
                document.finish(tally);
                return Ok(());
            }
        }
    }
}

#[derive(Default)]
struct Document {
    open: Vec<Open>,
    /// How many cases its open suites keep.
    kept: usize,
    comments: Comments,
    /// Vitest's cases that passed in no time: after a failure with `--bail` they never ran.
    in_no_time: u64,
}

impl Document {
    fn start<R: Read>(&mut self, xml: &Xml<R>, tally: &mut Tally<'_>) -> Result<Open, Stop> {
        let is_suite = matches!(xml.name(), "testsuites" | "testsuite");
        if is_suite && matches!(self.open.last(), None | Some(Open::Suite(_))) {
            let parent =
                self.open.iter_mut().rev().find_map(|it| if let Open::Suite(it) = it { Some(it) } else { None });
            return Ok(Open::Suite(Suite::of(xml, parent)));
        }
        match (self.open.last_mut(), xml.name()) {
            (None, name) => {
                Err(xml.wrong(format!("the root element is `{}`, not `testsuites` or `testsuite`", shown(name))))
            }
            (Some(Open::Suite(_)), "testcase") => Ok(Open::Case(self.case(xml, tally)?)),
            (Some(Open::Suite(suite)), "failure" | "error") => {
                tally.add(Outcome::Failed, 1);
                suite.add(Seen { tests: 1, cases: 0, failed: 1, failed_cases: 0, skipped: 0 });
                Ok(Open::Other)
            }
            (Some(Open::Suite(suite)), "skipped") => {
                tally.add(Outcome::Skipped, 1);
                suite.add(Seen { tests: 1, cases: 0, failed: 0, failed_cases: 0, skipped: 1 });
                Ok(Open::Other)
            }
            (Some(Open::Suite(_) | Open::Case(_)), "properties") => Ok(Open::Properties),
            (Some(Open::Suite(_)), "system-err") => Ok(Open::Errors),
            (Some(Open::Properties), "property") => {
                self.property(xml);
                Ok(Open::Other)
            }
            (
                Some(Open::Case(_) | Open::Properties | Open::Errors | Open::Other),
                name @ ("testcase" | "testsuite" | "testsuites"),
            ) => Err(xml.wrong(format!("a `{name}` that is not directly in a suite"))),
            (Some(Open::Case(case)), "failure" | "error") => {
                case.failures += 1;
                Ok(Open::Other)
            }
            // PHPUnit's `warning` stands where no test could be made.
            (Some(Open::Case(case)), "skipped" | "warning") => {
                case.skips += 1;
                let skip = skip(xml);
                case.skip = Some(case.skip.map_or(skip, |before| worse(before, skip)));
                Ok(Open::Other)
            }
            (Some(Open::Case(case)), "flakyFailure" | "flakyError" | "rerunFailure" | "rerunError") => {
                case.was_retried = true;
                Ok(Open::Other)
            }
            (Some(_), _) => Ok(Open::Other),
        }
    }

    fn case<R: Read>(&self, xml: &Xml<R>, tally: &mut Tally<'_>) -> Result<Case, Stop> {
        let suites = || self.open.iter().filter_map(|it| if let Open::Suite(suite) = it { Some(suite) } else { None });
        let [class, name] = ["classname", "name"].map(|attribute| xml.attribute(attribute).unwrap_or_default());
        let producer = suites().next_back().map(|suite| suite.producer).unwrap_or_default();
        let is = if HOOKS.iter().any(|hook| name.contains(hook)) {
            Is::Hook
        } else if NO_TESTS.contains(&name)
            || (name.is_empty() && producer == Producer::Surefire)
            || (self.open.len() == 1 && is_nodes_file(class, name, xml.attribute("file")))
        {
            Is::Container
        } else {
            Is::Test
        };
        let name = name_of(suites().map(|suite| suite.name.as_str()).chain([class, name]))?;
        let time = xml
            .attribute("time")
            .and_then(|it| it.trim().parse().ok())
            .map_or(Time::Untold, |seconds: f64| if seconds > 0.0 { Time::Some } else { Time::None });
        Ok(Case {
            // What is no test is in no list.
            id: if is == Is::Test { tally.id(&name) } else { None },
            failures: 0,
            skips: 0,
            skip: None,
            status: status(xml),
            was_retried: false,
            expects_failure: false,
            is_annotated: false,
            time,
            is,
        })
    }

    /// A property of a suite or a case.
    fn property<R: Read>(&mut self, xml: &Xml<R>) {
        let [name, value] = ["name", "value"].map(|attribute| xml.attribute(attribute).unwrap_or_default());
        match self.open.iter_mut().nth_back(1) {
            Some(Open::Suite(suite)) => suite.producer = suite.producer.told_by_property(name, value),
            Some(Open::Case(case)) => match name {
                "fail" => case.expects_failure = true,
                "skip" | "fixme" => case.is_annotated = true,
                _ => {}
            },
            _ => {}
        }
    }

    fn end(&mut self, has_text: bool, tally: &mut Tally<'_>) {
        match (self.open.pop(), self.open.last_mut()) {
            (Some(Open::Suite(suite)), parent) => {
                self.kept = self.kept.saturating_sub(suite.kept());
                let parent = if let Some(Open::Suite(parent)) = parent { Some(parent) } else { None };
                suite.close(parent, tally);
            }
            (Some(Open::Case(case)), Some(Open::Suite(suite))) => {
                let Some(outcome) = case.outcome(suite.producer) else { return };
                suite.add(case.seen(outcome));
                let passed_in_no_time = outcome == Outcome::Passed && case.time == Time::None;
                self.in_no_time += u64::from(passed_in_no_time && suite.producer == Producer::Vitest);
                let counted = recount::Case { id: case.id, outcome, took_time: case.time != Time::None };
                if self.kept < MAX_TEST_IDS {
                    self.kept += 1;
                    suite.keep(counted);
                } else {
                    suite.count(counted, tally);
                }
            }
            (Some(Open::Errors), Some(Open::Suite(suite))) => suite.wrote_errors |= has_text,
            _ => {}
        }
    }

    fn finish(&self, tally: &mut Tally<'_>) {
        self.comments.check(tally);
        if tally.counts().failed > 0 {
            tally.shift(Outcome::Passed, Outcome::NotRun, self.in_no_time);
        }
    }
}

/// What the words of `status` and `result` say, where that is worse than a case without children.
fn status<R: Read>(xml: &Xml<R>) -> Option<Outcome> {
    let words = || ["status", "result"].iter().filter_map(|attribute| xml.attribute(attribute));
    let any_of = |known: &[&str]| words().any(|word| known.iter().any(|it| it.eq_ignore_ascii_case(word)));
    if any_of(FAILED) {
        Some(Outcome::Failed)
    } else if any_of(SKIPPED) {
        Some(Outcome::Skipped)
    } else if any_of(NOT_RUN) {
        Some(Outcome::NotRun)
    } else {
        any_of(&["todo"]).then_some(Outcome::Todo)
    }
}

/// What a `skipped` says.
fn skip<R: Read>(xml: &Xml<R>) -> Outcome {
    let [of_type, message] = ["type", "message"].map(|attribute| xml.attribute(attribute).unwrap_or_default());
    match of_type {
        "todo" => Outcome::Todo,
        "pytest.xfail" | "XFAIL" => Outcome::ExpectedFailure,
        _ if message == "TODO" => Outcome::Todo,
        _ if message == MAY_FAIL => Outcome::ExpectedFailure,
        _ => Outcome::Skipped,
    }
}

/// Of two things that a case's `skipped` say the one that excuses less.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    if one == Outcome::ExpectedFailure { other } else { one }
}

/// Whether it is the case that Node writes of a file without a test: its name is the file's path, as it was given.
fn is_nodes_file(class: &str, name: &str, file: Option<&str>) -> bool {
    const EXTENSIONS: [&str; 6] = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"];
    let is_its_own = file.is_none_or(|file| file == name || file.ends_with(&format!("/{name}")));
    class == "test" && is_its_own && EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

impl Case {
    /// What it is; `None` where it stands for no test and says nothing.
    fn outcome(&self, producer: Producer) -> Option<Outcome> {
        let outcome = match (self.skip, self.status) {
            // Node and Bun let a to-do fail, and Catch2 what may.
            (Some(Outcome::Todo), _) => Outcome::Todo,
            (Some(Outcome::ExpectedFailure), _) if producer == Producer::Catch2 => Outcome::ExpectedFailure,
            _ if self.failures > 0 => Outcome::Failed,
            (_, Some(status)) if status != Outcome::Skipped || self.skip.is_none() => status,
            (Some(Outcome::Skipped), _) if producer == Producer::Playwright && !self.is_annotated => Outcome::NotRun,
            (Some(skip), _) => skip,
            _ if self.was_retried => Outcome::Flaky,
            _ if self.expects_failure => Outcome::ExpectedFailure,
            _ => Outcome::Passed,
        };
        (outcome != Outcome::Passed || self.is == Is::Test).then_some(outcome)
    }

    /// What a header may tell of this case: pytest's counts each failure, Node's a failed to-do as skipped too.
    fn seen(&self, outcome: Outcome) -> Seen {
        let failed = self.failures.max(u64::from(outcome == Outcome::Failed));
        let skipped = self.skips.max(u64::from(matches!(outcome, Outcome::Skipped | Outcome::NotRun)));
        let cases = u64::from(self.is == Is::Test);
        let failed_cases = if outcome == Outcome::Failed { cases } else { 0 };
        Seen { tests: failed.max(1), cases, failed, failed_cases, skipped }
    }
}

/// What Node's runner says of the whole in comments behind the last test: a parent that failed after its subtests
/// passed, and a plan that wasn't met, have no case.
#[derive(Default)]
struct Comments {
    pass: Option<u64>,
    fail: Option<u64>,
    cancelled: Option<u64>,
    skipped: Option<u64>,
    todo: Option<u64>,
}

impl Comments {
    /// Reads one. The last of a kind counts: others are what tests said.
    fn read(&mut self, comment: &str) {
        let mut words = comment.trim_end_matches('-').split_whitespace();
        let (Some(what), Some(number), None) = (words.next(), words.next(), words.next()) else { return };
        let Ok(number) = number.parse() else { return };
        match what {
            "pass" => self.pass = Some(number),
            "fail" => self.fail = Some(number),
            "cancelled" => self.cancelled = Some(number),
            "skipped" => self.skipped = Some(number),
            "todo" => self.todo = Some(number),
            _ => {}
        }
    }

    fn check(&self, tally: &mut Tally<'_>) {
        let told = |number: Option<u64>| number.unwrap_or_default();
        let failed = told(self.fail).saturating_add(told(self.cancelled));
        // A parent fails with its subtests, so more than the cases are no news where some failed.
        if tally.counts().failed == 0 && failed > 0 {
            tally.add(Outcome::Failed, failed);
            tally.problem(format!("its closing comment says that {failed} failed, its cases show 0"));
        }
        for (outcome, number) in [(Outcome::Skipped, self.skipped), (Outcome::Todo, self.todo)] {
            let more = told(number).saturating_sub(tally.counts().of(outcome));
            tally.add(outcome, more);
        }
        // A `describe` without a test has a case that passed, and Node doesn't count it.
        if let Some(pass) = self.pass.filter(|_| self.fail.is_some()) {
            tally.no_tests(tally.counts().passed.saturating_sub(pass));
        }
    }
}

#[cfg(test)]
mod tests;
