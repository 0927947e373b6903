//! The JSON of Jest (`--json`) and of Vitest (`--reporter=json`), which took over Jest's shape.
//!
//! Each test of a file has a status; a file whose import or hook failed has the status `failed` and no test that did.
//! Vitest's `numTotalTestSuites` counts `describe` blocks too, Jest's the files that should have run.

use std::{collections::BTreeMap, fmt, io::Read};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Stop, json,
    recount::{MAX_TEST_IDS, Outcome, Tally, name_of, without_root},
    shown,
};

/// The most bytes of names that one file's tests may have to be told apart.
const MAX_NAMES: usize = 16 * 1024 * 1024;

/// Whose JSON it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runner {
    /// Vitest.
    Vitest,
    /// Jest.
    Jest,
}

/// Counts the tests of a document.
pub(super) fn read(runner: Runner, reader: impl Read, tally: &mut Tally<'_>) -> Result<(), Stop> {
    let mut parser = json::parser(reader, usize::MAX);
    let result = parser.deserialize_map(Document { tally });
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
    passed: u64,
    failed: u64,
    pending: u64,
    todo: u64,
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
        for (name, seen) in NUMBERS.iter().zip([
            seen.passed + seen.failed + seen.pending + seen.todo,
            seen.passed,
            seen.failed,
            seen.pending,
            seen.todo,
            seen.files,
            seen.failed_files,
        ]) {
            let Some(claimed) = self.numbers.get(name).copied() else { continue };
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
                    header.results.replace(members.next_value_seed(Files { tally: self.tally })?).is_some()
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
            file.count(&mut results, self.tally).map_err(A::Error::custom)?;
        }
        Ok(results)
    }
}

/// A file of tests. Its name comes last in what is written, so its tests' names wait for it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    name: String,
    status: String,
    #[serde(default)]
    message: Option<String>,
    assertion_results: Tests,
}

impl File {
    fn count(self, results: &mut Results, tally: &mut Tally<'_>) -> Result<(), super::NotAReport> {
        let Self { name, status, message, assertion_results: tests } = self;
        let file = without_root(&name);
        for (full_name, outcome) in &tests.named {
            tally.test(&name_of([file, full_name])?, *outcome);
        }
        if tests.is_cut {
            tally.too_many_to_name();
        }
        let named = |outcome| tests.named.iter().filter(|(_, it)| *it == outcome).count() as u64;
        for (outcome, total) in [
            (Outcome::Passed, tests.passed),
            (Outcome::Failed, tests.failed),
            (Outcome::Skipped, tests.pending + tests.todo),
        ] {
            tally.add(outcome, total.saturating_sub(named(outcome)));
        }
        results.passed += tests.passed;
        results.failed += tests.failed;
        results.pending += tests.pending;
        results.todo += tests.todo;

        let is_empty = tests.passed + tests.failed + tests.pending + tests.todo == 0;
        let file = shown(file);
        for status in &tests.unknown {
            tally.problem(format!("`{file}` has a test of the status `{}`, which counts as failed", shown(status)));
        }
        match status.as_str() {
            "failed" if tests.failed == 0 => {
                // Its import failed, or a hook, or it holds no test: a failure that no test tells of.
                tally.add(Outcome::Failed, 1);
                results.failed_files += 1;
            }
            "failed" => {}
            "passed" | "skipped" | "pending" | "focused" if tests.failed > 0 => {
                tally.problem(format!("`{file}` is `{status}`, and {} of its tests failed", tests.failed));
            }
            "passed" | "skipped" | "pending" | "focused" => {
                if is_empty && message.is_some_and(|it| !it.trim().is_empty()) {
                    tally.problem(format!("`{file}` shows no test and has a message"));
                }
            }
            status => tally.problem(format!("`{file}` has the status `{}`, which is unknown", shown(status))),
        }
        Ok(())
    }
}

/// The tests of a file.
#[derive(Default)]
struct Tests {
    passed: u64,
    failed: u64,
    /// Skipped by whatever word.
    pending: u64,
    todo: u64,
    named: Vec<(String, Outcome)>,
    /// Whether `named` lacks some.
    is_cut: bool,
    bytes: usize,
    /// Some of the words that no runner writes.
    unknown: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    full_name: String,
    status: String,
}

impl Tests {
    fn add(&mut self, test: Test) {
        let (count, outcome) = match test.status.as_str() {
            "passed" => (&mut self.passed, Outcome::Passed),
            "skipped" | "pending" | "disabled" => (&mut self.pending, Outcome::Skipped),
            "todo" => (&mut self.todo, Outcome::Skipped),
            "failed" => (&mut self.failed, Outcome::Failed),
            _ => {
                if self.unknown.len() < 3 {
                    self.unknown.push(test.status);
                }
                (&mut self.failed, Outcome::Failed)
            }
        };
        *count += 1;
        self.bytes += test.full_name.len();
        if self.named.len() > MAX_TEST_IDS || self.bytes > MAX_NAMES {
            self.is_cut = true;
        } else {
            self.named.push((test.full_name, outcome));
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
