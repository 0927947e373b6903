//! The JSON of Jest (`--json`) and of Vitest (`--reporter=json`), which took over Jest's shape.
//!
//! Each test of a file has a status; a file whose import or hook failed has the status `failed` and no test that did.
//! Vitest's `numTotalTestSuites` counts `describe` blocks too, Jest's the files that should have run.

use gatekeeper_model::outcome::{Counts, Outcome};
use std::{collections::BTreeMap, fmt, io::Read};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    MAX_TEST_IDS, Stop,
    json::{self, IsEmpty, Lossy},
    recount::{Tally, name_of, without_root},
};
use crate::shown::shown;

/// The most bytes of names that one file's tests may have to be told apart.
const MAX_NAMES: usize = 16 * 1024 * 1024;

/// Whose JSON it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runner {
    /// Vitest, by its reporter `json`.
    Vitest,
    /// Jest, by its option `--json`.
    Jest,
}

/// Counts the tests of a document.
pub(super) fn read(runner: Runner, reader: impl Read, tally: &mut Tally<'_>) -> Result<(), Stop> {
    let mut parser = json::parser(reader, usize::MAX);
    let result = parser.deserialize_map(Document { runner, tally });
    let header = json::finish(parser, result)?;
    header.check(runner, tally);
    Ok(())
}

/// What a document says of itself.
#[derive(Default)]
struct Header {
    numbers: BTreeMap<&'static str, u64>,
    success: Option<bool>,
    interrupted: bool,
    /// What its results show.
    results: Option<Results>,
}

/// What the results show, file by file.
#[derive(Debug, Default)]
struct Results {
    files: u64,
    /// Files whose failure is none of their tests'.
    failed_files: u64,
    /// Files that failed and have a test that did: more may have failed in them.
    failed_with_tests: u64,
    tests: Counts,
}

/// The header's numbers of tests, and that of Jest's files.
const NUMBERS: [&str; 7] = [
    "numTotalTests",
    "numPassedTests",
    "numFailedTests",
    "numPendingTests",
    "numTodoTests",
    "numTotalTestSuites",
    "numRuntimeErrorTestSuites",
];

impl Header {
    fn check(&self, runner: Runner, tally: &mut Tally<'_>) {
        let Some(seen) = &self.results else { return };
        let Counts { failed, skipped, todo, not_run, .. } = seen.tests;
        let passed = seen.tests.passes() + seen.tests.expected_failures;
        let number = |name| self.numbers.get(name).copied();
        // Vitest calls `pending` what never ran, and doesn't count it as pending; before 1.0 also what was skipped.
        let pending = if number("numPendingTests") == Some(skipped + not_run) {
            tally.shift(Outcome::NotRun, Outcome::Skipped, not_run);
            skipped + not_run
        } else {
            skipped
        };
        // Jest counts a file whose tests failed and whose hook did, too: the hook has no test.
        let hooks = number("numRuntimeErrorTestSuites").unwrap_or_default().saturating_sub(seen.failed_files);
        let hooks = hooks.min(seen.failed_with_tests);
        tally.add(Outcome::Failed, hooks);
        for (name, seen) in NUMBERS.iter().zip([
            passed + failed + skipped + todo + not_run,
            passed,
            failed,
            pending,
            todo,
            seen.files,
            seen.failed_files + hooks,
        ]) {
            let Some(claimed) = number(*name) else { continue };
            let differs = match *name {
                "numTotalTestSuites" => runner == Runner::Jest && claimed > seen,
                "numRuntimeErrorTestSuites" => claimed > seen,
                _ => claimed != seen,
            };
            if differs {
                tally.problem(format!("`{name}` is {claimed}, its results show {seen}"));
            }
        }
        let failed = tally.counts().failed;
        match self.success {
            Some(true) if failed > 0 => tally.problem(format!("`success` is true, and {failed} failed")),
            Some(false) if failed == 0 && seen.files > 0 => {
                tally
                    .problem("`success` is false, and none failed: something else did, such as a threshold".to_owned());
            }
            Some(_) => {}
            None => tally.problem("`success` is missing: the run may not have ended".to_owned()),
        }
        if self.interrupted {
            tally.problem("`wasInterrupted` is true: the run did not end".to_owned());
        }
    }
}

struct Document<'t, 'w> {
    runner: Runner,
    tally: &'t mut Tally<'w>,
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(key) = members.next_key::<String>()? {
            let twice = match key.as_str() {
                "testResults" => {
                    let files = Files { runner: self.runner, tally: self.tally };
                    header.results.replace(members.next_value_seed(files)?).is_some()
                }
                "success" => header.success.replace(members.next_value()?).is_some(),
                "wasInterrupted" => {
                    header.interrupted |= members.next_value::<bool>()?;
                    false
                }
                key => match NUMBERS.iter().find(|name| **name == key) {
                    Some(name) => header.numbers.insert(name, members.next_value()?).is_some(),
                    None => {
                        members.next_value::<IgnoredAny>()?;
                        false
                    }
                },
            };
            if twice {
                return Err(A::Error::custom(format_args!("the key `{key}` stands twice")));
            }
        }
        if header.results.is_none() {
            return Err(A::Error::missing_field("testResults"));
        }
        Ok(header)
    }
}

struct Files<'t, 'w> {
    runner: Runner,
    tally: &'t mut Tally<'w>,
}

impl<'de> DeserializeSeed<'de> for Files<'_, '_> {
    type Value = Results;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Results, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_, '_> {
    type Value = Results;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`testResults` to be an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut files: A) -> Result<Results, A::Error> {
        let mut results = Results::default();
        while let Some(file) = files.next_element::<File>()? {
            results.files += 1;
            file.count(self.runner, &mut results, self.tally).map_err(A::Error::custom)?;
        }
        Ok(results)
    }
}

/// A file of tests. Its name comes last in what is written, so its tests' names wait for it. What a results processor
/// of Jest is given has other names for some members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(alias = "testFilePath")]
    name: Lossy,
    #[serde(default)]
    status: Option<Lossy>,
    #[serde(default)]
    message: Option<Lossy>,
    #[serde(default)]
    failure_message: Option<Lossy>,
    #[serde(default)]
    test_exec_error: Option<IgnoredAny>,
    #[serde(default, alias = "testResults")]
    assertion_results: Option<Tests>,
}

impl File {
    fn count(self, runner: Runner, results: &mut Results, tally: &mut Tally<'_>) -> Result<(), super::NotAReport> {
        let is_told = |text: &Option<Lossy>| text.as_ref().is_some_and(|it| !it.0.trim().is_empty());
        // Its import failed, or a hook, or it holds no test: a failure that no test tells of.
        let broke = self.test_exec_error.is_some() || self.assertion_results.is_none();
        let has_message = is_told(&self.message);
        let status = self.status.as_ref().map(|it| it.0.as_str());
        let has_failed = broke || status == Some("failed") || (status.is_none() && is_told(&self.failure_message));
        let tests = self.assertion_results.unwrap_or_default();
        let file = without_root(&self.name.0);
        let mut counts = Counts::default();
        for (full_name, end) in &tests.named {
            let outcome = end.outcome(runner);
            counts.add(outcome, 1);
            tally.test(&name_of([file, &full_name.0])?, outcome);
        }
        if tests.is_cut {
            tally.too_many_to_name();
        }
        let mut unnamed = tests.unnamed;
        unnamed.add(End::Pending.outcome(runner), tests.unnamed_pending);
        for outcome in Outcome::ALL {
            tally.add(outcome, unnamed.of(outcome));
        }
        counts = counts.plus(unnamed);
        results.tests = results.tests.plus(counts);

        let file = shown(file);
        for status in &tests.unknown {
            tally.problem(format!("`{file}` has a test of the status `{}`, which counts as failed", shown(status)));
        }
        if has_failed && (counts.failed == 0 || broke) {
            tally.add(Outcome::Failed, 1);
            results.failed_files += 1;
        } else if has_failed {
            results.failed_with_tests += 1;
        }
        match status {
            Some(status @ ("passed" | "skipped" | "pending" | "focused")) if counts.failed > 0 => {
                tally.problem(format!("`{file}` is `{status}`, and {} of its tests failed", counts.failed));
            }
            Some("passed" | "skipped" | "pending" | "focused") => {
                if counts == Counts::default() && has_message && !broke {
                    tally.problem(format!("`{file}` shows no test and has a message"));
                }
            }
            Some("failed") | None => {}
            Some(status) => tally.problem(format!("`{file}` has the status `{}`, which is unknown", shown(status))),
        }
        Ok(())
    }
}

/// The tests of a file.
#[derive(Default)]
struct Tests {
    named: Vec<(Lossy, End)>,
    /// Those that are too many to be named.
    unnamed: Counts,
    unnamed_pending: u64,
    /// Whether `named` lacks some.
    is_cut: bool,
    bytes: usize,
    /// Some of the words that no runner writes.
    unknown: Vec<String>,
}

/// What a test's members say of its end.
#[derive(Debug, Clone, Copy)]
enum End {
    Is(Outcome),
    /// What Jest calls what was skipped, and Vitest what never ran.
    Pending,
}

impl End {
    fn outcome(self, runner: Runner) -> Outcome {
        match (self, runner) {
            (Self::Is(outcome), _) => outcome,
            (Self::Pending, Runner::Jest) => Outcome::Skipped,
            (Self::Pending, Runner::Vitest) => Outcome::NotRun,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    full_name: Lossy,
    status: Lossy,
    /// Jest: of `test.failing`.
    #[serde(default)]
    failing: Option<bool>,
    /// Jest: how often it ran.
    #[serde(default)]
    invocations: Option<u64>,
    /// Jest: why it was run again.
    #[serde(default)]
    retry_reasons: Option<IsEmpty>,
    /// Vitest: also of the attempts before the last.
    #[serde(default)]
    failure_messages: Option<IsEmpty>,
}

impl Tests {
    fn add(&mut self, test: Test) {
        let holds_some = |list: Option<IsEmpty>| list.is_some_and(|it| !it.0);
        let was_retried = test.invocations.is_some_and(|it| it > 1)
            || holds_some(test.retry_reasons)
            || holds_some(test.failure_messages);
        let end = match test.status.0.as_str() {
            "passed" if test.failing == Some(true) => End::Is(Outcome::ExpectedFailure),
            "passed" if was_retried => End::Is(Outcome::Flaky),
            "passed" => End::Is(Outcome::Passed),
            "skipped" | "disabled" => End::Is(Outcome::Skipped),
            "pending" => End::Pending,
            "todo" => End::Is(Outcome::Todo),
            "failed" => End::Is(Outcome::Failed),
            _ => {
                if self.unknown.len() < 3 {
                    self.unknown.push(test.status.0);
                }
                End::Is(Outcome::Failed)
            }
        };
        self.bytes += test.full_name.0.len();
        if self.named.len() > MAX_TEST_IDS || self.bytes > MAX_NAMES {
            self.is_cut = true;
            match end {
                End::Is(outcome) => self.unnamed.add(outcome, 1),
                End::Pending => self.unnamed_pending += 1,
            }
        } else {
            self.named.push((test.full_name, end));
        }
    }
}

impl<'de> Deserialize<'de> for Tests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TestsVisitor;

        impl<'de> Visitor<'de> for TestsVisitor {
            type Value = Tests;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`assertionResults` to be an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tests, A::Error> {
                let mut tests = Tests::default();
                while let Some(test) = items.next_element::<Test>()? {
                    tests.add(test);
                }
                Ok(tests)
            }
        }

        deserializer.deserialize_seq(TestsVisitor)
    }
}

#[cfg(test)]
#[path = "jest_tests.rs"]
mod tests;
