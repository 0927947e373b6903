//! What a recount gives: how many tests passed, failed and were skipped, and which passed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{NotAReport, shown};

/// The most passed tests whose ids are kept: 16 bytes each, so that a remembered recount stays below 1.1 MB of JSON.
pub const MAX_TEST_IDS: usize = 50_000;

/// The most contradictions that one report is told: enough to see what its producer does.
const MAX_PROBLEMS: usize = 20;

/// The longest name of a test in bytes, suites and file included.
const MAX_NAME: usize = 64 * 1024;

/// Between the parts of a test's name.
const SEPARATOR: &str = " › ";

/// How many tests came to each end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Ran and passed, at once or after a retry.
    pub passed: u64,
    /// Failed, or could not be run: a file whose import failed is one.
    pub failed: u64,
    /// Did not run: skipped, pending, to do, disabled, and expected failures.
    pub skipped: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed.saturating_add(other.passed),
            failed: self.failed.saturating_add(other.failed),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed and {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What the cases of a test report show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recount {
    /// How many passed, failed and were skipped.
    pub counts: Counts,
    /// What the report contradicts itself in, such as a header that tells of more failures than there are cases. Each
    /// is a reason not to believe it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Which tests passed; none where they are more than [`MAX_TEST_IDS`], and then nothing can be told of tests that
    /// vanished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<PassedTests>,
}

/// The name of a test in few bytes: the first 128 bits of its SHA-256. The name is the file or suites, the class and
/// the test's own, joined by ` › `, such as `unit/ledger.test.ts › posts an entry`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TestId([u8; 16]);

impl TestId {
    /// The id of the test with this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(name);
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(byte, of_digest)| *byte = of_digest);
        Self(id)
    }
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestId({self})")
    }
}

/// The ids of the tests that passed. Tests of one name are one: a retry that a producer writes as another case is no
/// other test. In documents the ids one after the other, sorted, in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PassedTests(BTreeSet<TestId>);

impl PassedTests {
    /// The tests of `earlier` that are not among these. [`super::names`] of the earlier report tells what they are
    /// called.
    #[must_use]
    pub fn vanished_since(&self, earlier: &Self) -> BTreeSet<TestId> {
        earlier.0.difference(&self.0).copied().collect()
    }

    /// These and those; none where they are more than [`MAX_TEST_IDS`].
    #[must_use]
    pub fn union(mut self, other: &Self) -> Option<Self> {
        self.0.extend(&other.0);
        (self.0.len() <= MAX_TEST_IDS).then_some(self)
    }

    /// All of them.
    #[must_use]
    pub fn ids(&self) -> &BTreeSet<TestId> {
        &self.0
    }
}

impl From<PassedTests> for String {
    fn from(tests: PassedTests) -> Self {
        use base64::Engine as _;
        let bytes: Vec<u8> = tests.0.iter().flat_map(|id| id.0).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }
}

/// A remembered set of tests that isn't one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 of test ids of 16 bytes each")]
pub struct InvalidTestIds;

impl TryFrom<String> for PassedTests {
    type Error = InvalidTestIds;

    fn try_from(text: String) -> Result<Self, InvalidTestIds> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| InvalidTestIds)?;
        let (ids, rest) = bytes.as_chunks::<16>();
        if rest.is_empty() { Ok(Self(ids.iter().copied().map(TestId).collect())) } else { Err(InvalidTestIds) }
    }
}

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// Counts while a report is read.
pub(super) struct Tally<'a> {
    counts: Counts,
    problems: Vec<String>,
    passed: Option<BTreeSet<TestId>>,
    /// The tests whose names are asked for, and the names.
    wanted: &'a BTreeSet<TestId>,
    names: BTreeMap<TestId, String>,
    /// The words that are looked for in the names of tests that passed, and those that were found.
    words: &'a BTreeSet<String>,
    found: BTreeSet<String>,
}

impl<'a> Tally<'a> {
    /// Counts, keeps the names of the `wanted`, and looks for `words`.
    pub(super) fn new(wanted: &'a BTreeSet<TestId>, words: &'a BTreeSet<String>) -> Self {
        Self {
            counts: Counts::default(),
            problems: Vec::new(),
            passed: Some(BTreeSet::new()),
            wanted,
            names: BTreeMap::new(),
            words,
            found: BTreeSet::new(),
        }
    }

    /// How many tests there were so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// A test with its name.
    pub(super) fn test(&mut self, name: &str, outcome: Outcome) {
        self.add(outcome, 1);
        if outcome == Outcome::Passed {
            self.found.extend(self.words.iter().filter(|word| has_word(name, word)).cloned());
        }
        if self.passed.is_none() && self.wanted.is_empty() {
            return;
        }
        let id = TestId::of(name);
        if self.wanted.contains(&id) {
            self.names.entry(id).or_insert_with(|| name.to_owned());
        }
        if let Some(passed) = self.passed.as_mut().filter(|_| outcome == Outcome::Passed) {
            passed.insert(id);
            if passed.len() > MAX_TEST_IDS {
                self.passed = None;
            }
        }
    }

    /// Tests without a name.
    pub(super) fn add(&mut self, outcome: Outcome, tests: u64) {
        let count = match outcome {
            Outcome::Passed => &mut self.counts.passed,
            Outcome::Failed => &mut self.counts.failed,
            Outcome::Skipped => &mut self.counts.skipped,
        };
        *count = count.saturating_add(tests);
    }

    /// Tests that passed, in a report that holds more than can be named.
    pub(super) fn too_many_to_name(&mut self) {
        self.passed = None;
    }

    /// Something that the report contradicts itself in.
    pub(super) fn problem(&mut self, problem: String) {
        push_problem(&mut self.problems, problem);
    }

    pub(super) fn finish(self) -> Tallied {
        let Self { counts, problems, passed, names, found, .. } = self;
        Tallied { recount: Recount { counts, problems, passed: passed.map(PassedTests) }, names, found }
    }
}

/// What a report came to.
pub(super) struct Tallied {
    pub(super) recount: Recount,
    /// The names of the wanted tests.
    pub(super) names: BTreeMap<TestId, String>,
    /// The words that the names of passed tests hold.
    pub(super) found: BTreeSet<String>,
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
        PassedTests(names.iter().map(|name| TestId::of(name)).collect())
    }

    #[test]
    fn an_id_is_the_start_of_the_names_sha_256() {
        assert_eq!(TestId::of("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223");
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
    fn what_passed_before_and_not_now_has_vanished() {
        let earlier = passed(&["a", "b", "c"]);
        let now = passed(&["b", "d"]);
        assert_eq!(now.vanished_since(&earlier), [TestId::of("a"), TestId::of("c")].into());
        assert_eq!(earlier.vanished_since(&earlier), BTreeSet::new());
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
        let all = PassedTests((0..MAX_TEST_IDS).map(|n| TestId::of(&n.to_string())).collect());
        let recount = Recount { passed: Some(all), ..Recount::default() };
        assert!(serde_json::to_string(&recount).unwrap().len() < 1_100_000);
    }

    #[test]
    fn what_is_no_set_of_ids_is_not_remembered_as_one() {
        for text in ["\"AAAA\"", "\"!\"", "[]"] {
            assert!(serde_json::from_str::<PassedTests>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_recount_is_remembered_as_it_was(
            names in proptest::collection::vec(".{0,20}", 0..50), failed: u64, problem in ".{0,20}",
        ) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let recount = Recount {
                counts: Counts { passed: names.len() as u64, failed, skipped: 1 },
                problems: vec![problem],
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
