//! What a recount gives: what tests came to, and which passed.

use gatekeeper_model::outcome::{Counts, Outcome};
use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::verdict::NamedTests;
use serde::{Deserialize, Serialize};

use super::{MAX_TEST_IDS, NotAReport, PassedTests, TestId};
use crate::shown::shown;

/// The most contradictions that one report is told: enough to see what its producer does.
const MAX_PROBLEMS: usize = 20;

/// The longest name of a test in bytes, suites and file included.
const MAX_NAME: usize = 64 * 1024;

/// Between the parts of a test's name.
const SEPARATOR: &str = " › ";

/// What the cases of a test report show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recount {
    /// How many came to each end.
    pub counts: Counts,
    /// How many of the failed ones passed when they were run again, by the cases of a producer that writes each run of
    /// a test as a case. They are flaky where the suite's process ended well, and failed where it didn't or nobody
    /// tells.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub retried: u64,
    /// What the report contradicts itself in, such as a header that tells of more failures than there are cases. Each
    /// is a reason not to believe it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Where its headers tell of tests that no case shows and nothing explains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unexplained: Vec<String>,
    /// Which tests passed; `None` where they are more than [`MAX_TEST_IDS`], and then nothing can be told of tests that
    /// vanished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<PassedTests>,
}

/// A case of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    /// Whose it is; `None` where names are not asked for any more.
    pub(super) id: Option<TestId>,
    pub(super) outcome: Outcome,
    /// Whether the report says that it took any time.
    pub(super) took_time: bool,
}

/// Counts while a report is read.
pub(super) struct Tally<'a> {
    counts: Counts,
    retried: u64,
    problems: Vec<String>,
    unexplained: Vec<String>,
    passed: Option<PassedTests>,
    /// How many are in `passed`.
    named: u64,
    /// The tests whose names are asked for, and the names.
    wanted: &'a BTreeSet<TestId>,
    names: BTreeMap<TestId, String>,
    /// The words that are looked for in the names of tests that passed, those of each test, and those that were found.
    words: &'a BTreeSet<String>,
    words_of: BTreeMap<TestId, (String, Vec<&'a String>)>,
    found: BTreeMap<String, NamedTests>,
}

impl<'a> Tally<'a> {
    /// Counts, keeps the names of the `wanted`, and looks for `words`.
    pub(super) fn new(wanted: &'a BTreeSet<TestId>, words: &'a BTreeSet<String>) -> Self {
        Self {
            counts: Counts::default(),
            retried: 0,
            problems: Vec::new(),
            unexplained: Vec::new(),
            passed: Some(PassedTests::default()),
            named: 0,
            wanted,
            names: BTreeMap::new(),
            words,
            words_of: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// What tests came to so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether names have to be known still.
    pub(super) fn names_are_asked_for(&self) -> bool {
        self.passed.is_some() || !self.wanted.is_empty() || !self.words.is_empty()
    }

    /// The id of the test of this name, which is kept where it is asked for.
    pub(super) fn id(&mut self, name: &str) -> Option<TestId> {
        if !self.names_are_asked_for() {
            return None;
        }
        let id = TestId::of(name);
        if self.wanted.contains(&id) {
            self.names.entry(id).or_insert_with(|| name.to_owned());
        }
        let words: Vec<_> = self.words.iter().filter(|word| has_word(name, word)).collect();
        if !words.is_empty() && self.words_of.len() < MAX_TEST_IDS {
            self.words_of.insert(id, (name.to_owned(), words));
        }
        Some(id)
    }

    /// A test with its name.
    pub(super) fn test(&mut self, name: &str, outcome: Outcome) {
        let id = self.id(name);
        self.case(Case { id, outcome, took_time: true });
    }

    /// A test.
    pub(super) fn case(&mut self, case: Case) {
        self.add(case.outcome, 1);
        if let Some(id) = case.id.filter(|_| matches!(case.outcome, Outcome::Passed | Outcome::Flaky)) {
            self.passed(id);
            self.holds_words(id);
        }
    }

    /// A test that failed and passed when it was run again.
    pub(super) fn retried(&mut self, id: TestId) {
        self.add(Outcome::Failed, 1);
        self.retried += 1;
        // Where it doesn't count as passed, the commit is refused.
        self.passed(id);
        self.holds_words(id);
    }

    fn passed(&mut self, id: TestId) {
        let Some(passed) = &mut self.passed else { return };
        passed.add(id);
        self.named += 1;
        if self.named > MAX_TEST_IDS as u64 {
            self.passed = None;
        }
    }

    /// That the words in a test's name are those of a test that passed.
    fn holds_words(&mut self, id: TestId) {
        let Some((name, words)) = self.words_of.get(&id) else { return };
        for word in words {
            self.found.entry((*word).clone()).or_default().add(name);
        }
    }

    /// A test that passed, as far as its case tells, and that may as well be one of `todo` of its suite.
    pub(super) fn passed_or_todo(&mut self, case: Case) {
        self.add(Outcome::Passed, 1);
        if let Some(id) = case.id {
            self.passed(id);
            if case.took_time {
                self.holds_words(id);
            }
        }
    }

    /// Tests without a name.
    pub(super) fn add(&mut self, outcome: Outcome, tests: u64) {
        self.counts.add(outcome, tests);
    }

    /// That tests which were counted as one thing are another.
    pub(super) fn shift(&mut self, from: Outcome, to: Outcome, most: u64) -> u64 {
        self.counts.shift(from, to, most)
    }

    /// Tests that passed, in a report that holds more than can be named.
    pub(super) fn too_many_to_name(&mut self) {
        self.passed = None;
    }

    /// Something that the report contradicts itself in.
    pub(super) fn problem(&mut self, problem: String) {
        push_problem(&mut self.problems, problem);
    }

    /// Tests that a header tells of and no case shows, where nothing says what became of them.
    pub(super) fn unexplained(&mut self, tests: u64, at: Vec<String>) {
        self.counts.unexplained = self.counts.unexplained.saturating_add(tests);
        for it in at {
            push_problem(&mut self.unexplained, it);
        }
    }

    /// That some of the cases which passed stand for no test.
    pub(super) fn no_tests(&mut self, cases: u64) {
        self.counts.passed = self.counts.passed.saturating_sub(cases);
    }

    pub(super) fn finish(self) -> Tallied {
        let Self { counts, retried, problems, unexplained, passed, names, found, .. } = self;
        Tallied { recount: Recount { counts, retried, problems, unexplained, passed }, names, found }
    }
}

/// What a report came to.
pub(super) struct Tallied {
    pub(super) recount: Recount,
    /// The names of the wanted tests.
    pub(super) names: BTreeMap<TestId, String>,
    /// The words that the names of passed tests hold, with those tests.
    pub(super) found: BTreeMap<String, NamedTests>,
}

/// Whether `name` holds `word` and not just as a part of a longer one: `POL-1` is not in `POL-17`.
fn has_word(name: &str, word: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    !word.is_empty()
        && name.match_indices(word).any(|(at, _)| {
            let (before, after) = (name.get(..at).unwrap_or_default(), name.get(at + word.len()..).unwrap_or_default());
            ends(before.chars().next_back()) && ends(after.chars().next())
        })
}

/// Adds a problem, as long as they are few.
pub(super) fn push_problem(problems: &mut Vec<String>, problem: String) {
    if problems.len() < MAX_PROBLEMS {
        problems.push(problem);
    } else if problems.len() == MAX_PROBLEMS {
        problems.push("and more of the kind".to_owned());
    }
}

/// A test's name from the parts that a report gives. Empty parts and those that repeat the one before are left out.
///
/// # Errors
/// Where it is longer than any test's name.
pub(super) fn name_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<String, NotAReport> {
    let mut name = String::new();
    let mut before = "";
    for part in parts {
        // A description such as `/health answers` is no path.
        let part = if part.contains(' ') { part } else { without_root(part) };
        if part.is_empty() || part == before {
            continue;
        }
        if !name.is_empty() {
            name.push_str(SEPARATOR);
        }
        name.push_str(part);
        before = part;
    }
    if name.len() > MAX_NAME {
        return Err(NotAReport::new(format!("the name of `{}` is longer than {MAX_NAME} bytes", shown(&name))));
    }
    Ok(name)
}

/// The folder and name of an absolute path, which stay the same wherever a commit is checked out; any other text as it
/// is.
pub(super) fn without_root(path: &str) -> &str {
    let is_separator = |c: char| c == '/' || c == '\\';
    let has_drive = path.starts_with(|c: char| c.is_ascii_alphabetic())
        && path.get(1..3).is_some_and(|it| it == ":\\" || it == ":/");
    if !has_drive && !path.starts_with('/') {
        return path;
    }
    let above_folder = path.rmatch_indices(is_separator).nth(1);
    above_folder.and_then(|(index, _)| path.get(index + 1..)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(names: &[&str]) -> PassedTests {
        let mut passed = PassedTests::default();
        for name in names {
            passed.add(TestId::of(name));
        }
        passed
    }

    #[test]
    fn a_name_is_made_of_what_tells_tests_apart() {
        let name = |parts: &[&str]| name_of(parts.iter().copied()).unwrap();
        assert_eq!(name(&["a.test.ts", "a.test.ts", "outer > passes"]), "a.test.ts › outer > passes");
        assert_eq!(name(&["pytest", "", "test_b"]), "pytest › test_b");
        assert_eq!(name(&["outer", "inner", "outer"]), "outer › inner › outer");
    }

    #[test]
    fn a_name_is_the_same_wherever_the_commit_is_checked_out() {
        for root in ["/home/runner/work/bank/bank", "/srv/x", "C:/agent/_work/1", "D:/a"] {
            let path = format!("{root}/unit/ledger.test.ts");
            assert_eq!(name_of([path.as_str(), "posts"]).unwrap(), "unit/ledger.test.ts › posts", "{path}");
        }
        for no_path in ["/health", "GET /health", "/v1/payments answers 201 / created", "unit/a.test.ts", "a:b"] {
            assert_eq!(name_of([no_path]).unwrap(), no_path);
        }
    }

    #[test]
    fn a_word_of_a_name_is_no_part_of_a_longer_one() {
        for name in ["POL-1", "POL-1: limits", "policy › POL-1 holds", "[POL-1]", "limits (POL-1)", "POL-17 and POL-1"]
        {
            assert!(has_word(name, "POL-1"), "{name}");
        }
        for name in ["", "POL-17", "XPOL-1", "POL-", "pol-1"] {
            assert!(!has_word(name, "POL-1"), "{name}");
        }
        assert!(!has_word("anything", ""));
    }

    #[test]
    fn a_name_longer_than_any_is_refused() {
        let error = name_of(["x".repeat(MAX_NAME + 1).as_str()]).unwrap_err();
        assert!(error.to_string().ends_with("is longer than 65536 bytes"), "{error}");
    }

    #[test]
    fn more_tests_than_the_limit_are_counted_and_not_named() {
        let wanted = BTreeSet::from([TestId::of("test 60000")]);
        let words = BTreeSet::new();
        let mut tally = Tally::new(&wanted, &words);
        for number in 0..=60_000 {
            tally.test(&format!("test {number}"), Outcome::Passed);
        }
        let Tallied { recount, names, .. } = tally.finish();
        assert_eq!((recount.counts.passed, recount.passed), (60_001, None));
        assert_eq!(names.into_values().collect::<Vec<_>>(), ["test 60000"]);
    }

    #[test]
    fn a_remembered_recount_of_the_most_tests_is_small() {
        let names: Vec<_> = (0..MAX_TEST_IDS).map(|n| n.to_string()).collect();
        let all = passed(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let recount = Recount { passed: Some(all), ..Recount::default() };
        assert!(serde_json::to_string(&recount).unwrap().len() < 1_100_000);
    }

    proptest! {
        #[test]
        fn a_recount_is_remembered_as_it_was(
            names in proptest::collection::vec(".{0,20}", 0..50), failed: u64, problem in ".{0,20}",
        ) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let recount = Recount {
                counts: Counts { passed: names.len() as u64, failed, skipped: 1, flaky: failed, ..Counts::default() },
                retried: failed,
                problems: vec![problem.clone()],
                unexplained: vec![problem],
                passed: Some(passed(&names)),
            };
            let json = serde_json::to_string(&recount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Recount>(&json).unwrap(), recount);
        }

        #[test]
        fn any_text_is_a_part_of_a_name(part in ".{0,40}") {
            prop_assert!(part.ends_with(without_root(&part)));
        }
    }
}
