//! `JUnit` XML, as each tool writes it. There is no standard; the cases and their children are what all agree on.
//!
//! | A case with | is | written by |
//! |---|---|---|
//! | `failure` or `error`, whatever else it has | failed, once | all; pytest writes a case of its own for a failed teardown |
//! | `skipped` | skipped | all; pytest's expected failures and Node's and Vitest's to-dos too |
//! | `rerunFailure`, `rerunError` | what its other children say | Surefire and nextest: the failed retries of a failed test |
//! | `flakyFailure`, `flakyError` alone | passed | Surefire and nextest: it passed when retried, and so did the build |
//! | `status` or `result` with a word such as `notrun` | that, unless a child says worse | `GoogleTest`, `CTest`, behave |
//!
//! A `failure` or `error` of a suite itself is a failure without a case. What a suite's header tells beyond its cases is
//! counted as well, as failed or as skipped: mocha-junit-reporter tells of skipped tests in its header only. A header
//! that tells of less than its cases counts for nothing.
//!
//! What no document shows: jest-junit leaves a file out whose import failed (unless `reportTestSuiteErrors` is set) and
//! writes a to-do as passed, Vitest leaves unhandled errors out, Node writes an empty file or `describe` as a passed
//! case, and pytest-rerunfailures each run of a test as a case.

use std::io::Read;

use super::{
    Stop,
    recount::{Outcome, Tally, name_of},
    shown,
    xml::{Event, Xml},
};

/// The attributes that are looked at.
const ATTRIBUTES: &[&str] =
    &["name", "classname", "status", "result", "tests", "failures", "errors", "skipped", "disabled"];

/// Words of `status` and `result` for what did not run.
const NOT_RUN: &[&str] =
    &["disabled", "ignored", "notrun", "not_run", "pending", "skip", "skipped", "suppressed", "undefined", "untested"];

/// Words of `status` and `result` for what failed.
const FAILED: &[&str] = &["broken", "error", "errored", "fail", "failed", "failure"];

/// Elements that are open.
enum Open {
    Suite(Suite),
    Case(Case),
    /// What a suite wrote to standard error.
    Errors,
    /// A case's `system-out`, a suite's `properties`, and so on.
    Other,
}

/// A suite, or the root.
struct Suite {
    name: String,
    claimed: Seen,
    seen: Seen,
    wrote_errors: bool,
}

/// How many of each there are.
#[derive(Default)]
struct Seen {
    tests: u64,
    failed: u64,
    skipped: u64,
}

struct Case {
    name: String,
    failures: u64,
    skips: u64,
    status: Option<Outcome>,
}

/// Counts the cases of a document.
pub(super) fn read(reader: impl Read, tally: &mut Tally<'_>) -> Result<(), Stop> {
    let mut xml = Xml::new(reader, ATTRIBUTES)?;
    let mut open: Vec<Open> = Vec::new();
    loop {
        match xml.next()? {
            Event::Start => {
                let opened = start(&xml, &mut open, tally)?;
                open.push(opened);
            }
            Event::End { has_text } => match (open.pop(), open.last_mut()) {
                (Some(Open::Suite(suite)), parent) => {
                    let seen = close(suite, tally);
                    if let Some(Open::Suite(parent)) = parent {
                        parent.add(&seen);
                    }
                }
                (Some(Open::Case(case)), Some(Open::Suite(suite))) => {
                    tally.test(&case.name, case.outcome());
                    suite.add(&case.seen());
                }
                (Some(Open::Errors), Some(Open::Suite(suite))) => suite.wrote_errors |= has_text,
                _ => {}
            },
            Event::Over => return Ok(()),
        }
    }
}

fn start<R: Read>(xml: &Xml<R>, open: &mut [Open], tally: &mut Tally<'_>) -> Result<Open, Stop> {
    let is_suite = matches!(xml.name(), "testsuites" | "testsuite");
    match (open.last_mut(), xml.name()) {
        (None | Some(Open::Suite(_)), _) if is_suite => Ok(Open::Suite(Suite::of(xml))),
        (None, name) => {
            Err(xml.wrong(format!("the root element is `{}`, not `testsuites` or `testsuite`", shown(name))))
        }
        (Some(Open::Suite(_)), "testcase") => {
            let suites = open.iter().filter_map(|it| match it {
                Open::Suite(suite) => Some(suite.name.as_str()),
                Open::Case(_) | Open::Errors | Open::Other => None,
            });
            let own = ["classname", "name"].map(|attribute| xml.attribute(attribute).unwrap_or_default());
            Ok(Open::Case(Case { name: name_of(suites.chain(own))?, failures: 0, skips: 0, status: status(xml) }))
        }
        (Some(Open::Suite(suite)), "failure" | "error") => {
            tally.add(Outcome::Failed, 1);
            suite.add(&Seen { tests: 1, failed: 1, skipped: 0 });
            Ok(Open::Other)
        }
        (Some(Open::Suite(suite)), "skipped") => {
            tally.add(Outcome::Skipped, 1);
            suite.add(&Seen { tests: 1, failed: 0, skipped: 1 });
            Ok(Open::Other)
        }
        (Some(Open::Suite(_)), "system-err") => Ok(Open::Errors),
        (Some(Open::Case(_) | Open::Errors | Open::Other), name @ ("testcase" | "testsuite" | "testsuites")) => {
            Err(xml.wrong(format!("a `{name}` that is not directly in a suite")))
        }
        (Some(Open::Case(case)), "failure" | "error") => {
            case.failures += 1;
            Ok(Open::Other)
        }
        // PHPUnit's `warning` stands where no test could be made.
        (Some(Open::Case(case)), "skipped" | "warning") => {
            case.skips += 1;
            Ok(Open::Other)
        }
        (Some(_), _) => Ok(Open::Other),
    }
}

/// What the words of `status` and `result` say, where that is worse than a case without children.
fn status<R: Read>(xml: &Xml<R>) -> Option<Outcome> {
    let words = || ["status", "result"].iter().filter_map(|attribute| xml.attribute(attribute));
    let any_of = |known: &[&str]| words().any(|word| known.iter().any(|it| it.eq_ignore_ascii_case(word)));
    if any_of(FAILED) { Some(Outcome::Failed) } else { any_of(NOT_RUN).then_some(Outcome::Skipped) }
}

impl Case {
    fn outcome(&self) -> Outcome {
        match self.status {
            _ if self.failures > 0 => Outcome::Failed,
            Some(status) => status,
            None if self.skips > 0 => Outcome::Skipped,
            None => Outcome::Passed,
        }
    }

    /// What a header may tell of this case: pytest's counts each failure, Node's a failed to-do as skipped too.
    fn seen(&self) -> Seen {
        let failed = self.failures.max(u64::from(self.status == Some(Outcome::Failed)));
        let skipped = self.skips.max(u64::from(self.status == Some(Outcome::Skipped)));
        Seen { tests: failed.max(1), failed, skipped }
    }
}

impl Suite {
    fn of<R: Read>(xml: &Xml<R>) -> Self {
        let number = |attribute| xml.attribute(attribute).and_then(|it| it.trim().parse().ok()).unwrap_or(0_u64);
        // The name of the whole run says nothing of its tests.
        let name = if xml.name() == "testsuites" { "" } else { xml.attribute("name").unwrap_or_default() };
        let claimed = Seen {
            tests: number("tests"),
            failed: number("failures").saturating_add(number("errors")),
            skipped: number("skipped").max(number("disabled")),
        };
        Self { name: name.to_owned(), claimed, seen: Seen::default(), wrote_errors: false }
    }

    fn add(&mut self, seen: &Seen) {
        for (of_suite, more) in [
            (&mut self.seen.tests, seen.tests),
            (&mut self.seen.failed, seen.failed),
            (&mut self.seen.skipped, seen.skipped),
        ] {
            *of_suite = of_suite.saturating_add(more);
        }
    }
}

/// Holds a suite's header against its cases, and counts what it tells beyond them.
fn close(mut suite: Suite, tally: &mut Tally<'_>) -> Seen {
    let subject =
        if suite.name.is_empty() { "the report".to_owned() } else { format!("suite `{}`", shown(&suite.name)) };
    let failed = suite.claimed.failed.saturating_sub(suite.seen.failed);
    let skipped = suite.claimed.skipped.saturating_sub(suite.seen.skipped);
    if failed > 0 {
        tally.add(Outcome::Failed, failed);
        let (claimed, seen) = (suite.claimed.failed, suite.seen.failed);
        tally.problem(format!("{subject} says that {claimed} failed, its cases show {seen}"));
    }
    tally.add(Outcome::Skipped, skipped);
    // So that the suites around it don't count them again.
    suite.add(&Seen { tests: failed.saturating_add(skipped), failed, skipped });
    let untold = suite.claimed.tests.saturating_sub(suite.seen.tests);
    if untold > 0 {
        let (claimed, seen) = (suite.claimed.tests, suite.seen.tests);
        tally.problem(format!("{subject} says that it has {claimed} tests, its cases show {seen}"));
        // What nothing is told of did not run, as far as anybody can tell.
        tally.add(Outcome::Skipped, untold);
        suite.add(&Seen { tests: untold, failed: 0, skipped: untold });
    }
    if suite.seen.tests == 0 && suite.wrote_errors {
        tally.problem(format!("{subject} wrote to standard error and shows no test"));
    }
    suite.seen
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
