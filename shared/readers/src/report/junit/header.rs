//! What the header of a suite tells against its cases. The cases count; a header adds what it tells of worse:
//!
//! | it tells of | then | |
//! |---|---|---|
//! | more failures | they are failures, and the report contradicts itself | |
//! | more skips | they are skips | mocha-junit-reporter, in its root |
//! | more tests, of a producer that writes a case for each | the report contradicts itself | Vitest |
//! | more tests, and the innermost suite tells of skips | the surplus is no test | pytest 9: subtests |
//! | more tests, and nothing tells what they are | the surplus is unexplained | |
//! | fewer tests, and names stand twice | these are attempts of one test, which is flaky if each passed | pytest-rerunfailures |
//! | fewer tests | the others are to-dos among those that passed | jest-junit |
//! | more flaky tests (`flakes`) | they are flaky | Surefire |
//!
//! Producers that are known to count other things are believed by their cases.

use std::io::Read;

use gatekeeper_model::outcome::Outcome;

use super::producer::Producer;
use crate::{
    report::{
        recount::{Case, Tally, push_problem},
        xml::Xml,
    },
    shown::shown,
};

/// A suite, or the root.
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) producer: Producer,
    pub(super) wrote_errors: bool,
    claimed: Claimed,
    seen: Seen,
    /// The cases that lie directly in it, until it ends.
    own: Vec<Case>,
    /// How many of those that are not kept passed.
    passed_uncounted: u64,
    has_suites: bool,
    /// Whether a suite in it tells how many tests it has.
    inner_tells: bool,
    /// Tests of it and of suites in it that no case shows, and where that is told.
    untold: u64,
    untold_at: Vec<String>,
}

/// What a header says.
struct Claimed {
    tests: Option<u64>,
    failed: u64,
    skipped: Option<u64>,
    flaky: u64,
    /// A root with nothing but the number of tests.
    is_bare_root: bool,
}

/// How many of each there are, as far as a header may count them.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    /// As many as a header may count.
    pub(super) tests: u64,
    /// As few.
    pub(super) cases: u64,
    pub(super) failed: u64,
    /// Failed among `cases`.
    pub(super) failed_cases: u64,
    pub(super) skipped: u64,
}

impl Suite {
    pub(super) fn of<R: Read>(xml: &Xml<R>, parent: Option<&mut Self>) -> Self {
        let told = |attribute| xml.attribute(attribute).and_then(|it| it.trim().parse::<u64>().ok());
        let number = |attribute| told(attribute).unwrap_or_default();
        let is_root = xml.name() == "testsuites";
        // The name of the whole run says nothing of its tests.
        let name = if is_root { "" } else { xml.attribute("name").unwrap_or_default() };
        let tells = |attribute| xml.attribute(attribute).is_some();
        let is_bare_root = is_root && tells("tests") && !["failures", "errors", "skipped", "id"].into_iter().any(tells);
        let skipped = told("skipped").or_else(|| told("skip"));
        let claimed = Claimed {
            tests: told("tests"),
            failed: number("failures").saturating_add(number("errors")),
            skipped: skipped.map(|it| it.max(number("disabled"))).or_else(|| told("disabled").filter(|it| *it > 0)),
            flaky: number("flakes"),
            is_bare_root,
        };
        let (above, in_bare_root) =
            parent.as_ref().map_or((Producer::Unknown, false), |it| (it.producer, it.claimed.is_bare_root));
        let mut producer = Producer::of(xml, above, in_bare_root);
        if let Some(parent) = parent {
            parent.has_suites = true;
            parent.inner_tells |= claimed.tests.is_some();
            if producer == Producer::Newman {
                // Its suites count what they should.
                (parent.producer, producer) = (producer, Producer::Unknown);
            }
        }
        Self {
            name: name.to_owned(),
            producer,
            wrote_errors: false,
            claimed,
            seen: Seen::default(),
            own: Vec::new(),
            passed_uncounted: 0,
            has_suites: false,
            inner_tells: false,
            untold: 0,
            untold_at: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, more: Seen) {
        let seen = &mut self.seen;
        for (of_suite, more) in [
            (&mut seen.tests, more.tests),
            (&mut seen.cases, more.cases),
            (&mut seen.failed, more.failed),
            (&mut seen.failed_cases, more.failed_cases),
            (&mut seen.skipped, more.skipped),
        ] {
            *of_suite = of_suite.saturating_add(more);
        }
    }

    /// A case that is counted when the suite ends.
    pub(super) fn keep(&mut self, case: Case) {
        self.own.push(case);
    }

    /// How many are kept.
    pub(super) fn kept(&self) -> usize {
        self.own.len()
    }

    /// A case of more than can be kept.
    pub(super) fn count(&mut self, case: Case, tally: &mut Tally<'_>) {
        self.passed_uncounted += u64::from(case.outcome == Outcome::Passed);
        tally.case(case);
    }

    /// Holds the header against the cases, and counts both.
    pub(super) fn close(mut self, parent: Option<&mut Self>, tally: &mut Tally<'_>) {
        self.count_cases(tally);
        let subject =
            if self.name.is_empty() { "the report".to_owned() } else { format!("suite `{}`", shown(&self.name)) };
        let failed = self.claimed.failed.saturating_sub(self.seen.failed);
        if failed > 0 {
            tally.add(Outcome::Failed, failed);
            let (claimed, seen) = (self.claimed.failed, self.seen.failed);
            tally.problem(format!("{subject} says that {claimed} failed, its cases show {seen}"));
            // So that the suites around it don't count them again.
            self.add(Seen { tests: failed, failed, ..Seen::default() });
        }
        self.skips(tally);
        self.surplus(&subject, tally);
        if self.seen.tests == 0 && self.wrote_errors {
            tally.problem(format!("{subject} wrote to standard error and shows no test"));
        }
        match parent {
            Some(parent) => {
                parent.add(self.seen);
                parent.untold = parent.untold.saturating_add(self.untold);
                for it in self.untold_at {
                    push_problem(&mut parent.untold_at, it);
                }
            }
            None if self.untold > 0 => tally.unexplained(self.untold, self.untold_at),
            None => {}
        }
    }

    /// Skips that the header tells of and no case shows: the first of them are the tests that no case shows.
    fn skips(&mut self, tally: &mut Tally<'_>) {
        let skipped = self.claimed.skipped.unwrap_or_default().saturating_sub(self.seen.skipped);
        tally.add(Outcome::Skipped, skipped);
        let explained = skipped.min(self.untold);
        self.untold -= explained;
        self.add(Seen { tests: skipped - explained, skipped, ..Seen::default() });
    }

    /// Tests that the header tells of and no case shows.
    fn surplus(&mut self, subject: &str, tally: &mut Tally<'_>) {
        let claimed = self.claimed.tests.unwrap_or_default();
        let surplus = claimed.saturating_sub(self.seen.tests);
        if surplus == 0 || self.producer.counts_other_things() {
            return;
        }
        let tests = self.seen.tests;
        self.add(Seen { tests: surplus, ..Seen::default() });
        if self.producer.has_a_case_for_each() {
            tally.problem(format!("{subject} says that it has {claimed} tests, its cases show {tests}"));
            return;
        }
        if !self.has_suites && self.claimed.skipped.is_some() {
            return;
        }
        self.untold = self.untold.saturating_add(surplus);
        let at =
            format!("{subject} says that it has {claimed} tests, its cases show {tests}: {surplus} are unexplained");
        push_problem(&mut self.untold_at, at);
    }

    /// Counts the cases that lie directly in it.
    fn count_cases(&mut self, tally: &mut Tally<'_>) {
        let mut own = std::mem::take(&mut self.own);
        let failed_untold = self.seen.failed_cases.saturating_sub(self.claimed.failed);
        let cases = self.seen.cases.saturating_sub(failed_untold);
        let tells = self.claimed.tests.filter(|_| !self.inner_tells && !self.producer.counts_fewer());
        let mut fewer = tells.map_or(0, |tests| cases.saturating_sub(tests));
        // ScalaTest's header counts tests and skips apart.
        let left_out = own.iter().filter(|it| it.outcome == Outcome::Skipped).count() as u64;
        if fewer == left_out && self.claimed.skipped == Some(left_out) && self.producer != Producer::JestJunit {
            fewer = 0;
        }

        let are_attempts = match self.producer {
            Producer::Pytest => true,
            Producer::JestJunit | Producer::Gotestsum => false,
            _ => fewer > 0,
        };
        if self.producer == Producer::Gotestsum {
            own = reruns(own, tally);
        } else if are_attempts {
            let before = own.len();
            own = attempts(own);
            let extra = (before - own.len()) as u64;
            fewer = fewer.saturating_sub(extra);
            self.seen.cases = self.seen.cases.saturating_sub(extra);
        }
        if self.producer == Producer::Pytest {
            fewer = 0;
        }

        if own.is_empty() && self.passed_uncounted == 0 {
            // Its cases lie in suites that don't tell how many they have.
            let todo = tally.shift(Outcome::Passed, Outcome::Todo, fewer);
            self.seen.cases = self.seen.cases.saturating_sub(todo);
            return;
        }
        let passed = own.iter().filter(|it| it.outcome == Outcome::Passed).count() as u64 + self.passed_uncounted;
        let todo = fewer.min(passed);
        self.seen.cases = self.seen.cases.saturating_sub(todo);
        let flaky =
            self.claimed.flaky.saturating_sub(own.iter().filter(|it| it.outcome == Outcome::Flaky).count() as u64);
        for case in own {
            match case.outcome {
                Outcome::Passed if todo == passed => tally.case(Case { outcome: Outcome::Todo, ..case }),
                Outcome::Passed if todo > 0 => tally.passed_or_todo(case),
                _ => tally.case(case),
            }
        }
        if todo > 0 {
            let uncounted = if todo == passed { self.passed_uncounted } else { todo };
            tally.shift(Outcome::Passed, Outcome::Todo, uncounted);
        }
        tally.shift(Outcome::Passed, Outcome::Flaky, flaky.min(passed - todo));
    }
}

/// Cases of which those of one name are attempts of one test, as one each: failed if one did, and flaky if all passed.
fn attempts(mut cases: Vec<Case>) -> Vec<Case> {
    // Stable, so that attempts stay in their order.
    cases.sort_by_key(|case| case.id);
    let mut tests = Vec::new();
    for of_one in cases.chunk_by(|one, other| one.id.is_some() && one.id == other.id) {
        let Some(last) = of_one.last() else { continue };
        let outcome = if of_one.iter().any(|it| it.outcome == Outcome::Failed) {
            Outcome::Failed
        } else if of_one.len() > 1 && last.outcome == Outcome::Passed {
            Outcome::Flaky
        } else {
            last.outcome
        };
        tests.push(Case { outcome, ..*last });
    }
    tests
}

/// Takes those out that failed and passed when they were run again: which was first the report doesn't tell, because
/// failures stand before the others in it.
fn reruns(mut cases: Vec<Case>, tally: &mut Tally<'_>) -> Vec<Case> {
    cases.sort_by_key(|case| case.id);
    let mut others = Vec::new();
    for of_one in cases.chunk_by(|one, other| one.id.is_some() && one.id == other.id) {
        let count = |outcome| of_one.iter().filter(|it| it.outcome == outcome).count();
        let (failed, passed) = (count(Outcome::Failed), count(Outcome::Passed));
        let Some(id) = of_one.first().and_then(|it| it.id).filter(|_| failed > 0 && passed > 0) else {
            others.extend_from_slice(of_one);
            continue;
        };
        let retried = failed.min(passed);
        for _ in 0..retried {
            tally.retried(id);
        }
        let once_more = of_one.iter().filter(|it| it.outcome == Outcome::Passed).skip(retried);
        others.extend(
            once_more.chain(of_one.iter().filter(|it| !matches!(it.outcome, Outcome::Passed | Outcome::Failed))),
        );
    }
    others
}
