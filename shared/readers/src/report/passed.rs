//! Which tests passed, in few bytes each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

/// The most passed tests whose ids are kept: 16 bytes each, so that a remembered recount stays below 1.1 MB of JSON.
pub const MAX_TEST_IDS: usize = 50_000;

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

/// The ids of the tests that passed, and how often each name did: a test that runs in two projects is two. In documents
/// the ids one after the other, sorted and as often as they passed, in base64; before repeated names were counted each
/// stood there once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PassedTests(BTreeMap<TestId, u32>);

/// How often a test passed before, and how often now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// How many passed before.
    pub before: u32,
    /// How many pass now, which is fewer.
    pub now: u32,
}

impl PassedTests {
    /// The tests of `earlier` that are not, or not as often, among these. [`super::names`] of the earlier report tells
    /// what they are called.
    #[must_use]
    pub fn vanished_since(&self, earlier: &Self) -> BTreeMap<TestId, Gone> {
        let gone = earlier.0.iter().map(|(id, before)| {
            let now = self.0.get(id).copied().unwrap_or_default();
            (*id, Gone { before: *before, now })
        });
        gone.filter(|(_, gone)| gone.now < gone.before).collect()
    }

    /// A test that passed once more.
    pub(super) fn add(&mut self, id: TestId) {
        let times = self.0.entry(id).or_default();
        *times = times.saturating_add(1);
    }

    /// These and those of another report; `None` where they are more than [`MAX_TEST_IDS`].
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Option<Self> {
        for (id, more) in &other.0 {
            let times = self.0.entry(*id).or_default();
            *times = times.saturating_add(*more);
        }
        self.few_enough()
    }

    /// These and those of the same run in another format; `None` where they are more than [`MAX_TEST_IDS`].
    #[must_use]
    pub fn or(mut self, other: &Self) -> Option<Self> {
        for (id, count) in &other.0 {
            let times = self.0.entry(*id).or_default();
            *times = (*times).max(*count);
        }
        self.few_enough()
    }

    fn few_enough(self) -> Option<Self> {
        (self.len() <= MAX_TEST_IDS as u64).then_some(self)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.0.values().map(|times| u64::from(*times)).sum()
    }

    /// The ids of all of them.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<TestId> {
        self.0.keys().copied().collect()
    }
}

impl From<PassedTests> for String {
    fn from(tests: PassedTests) -> Self {
        use base64::Engine as _;
        let ids = tests.0.iter().flat_map(|(id, times)| std::iter::repeat_n(id.0, *times as usize));
        let bytes: Vec<u8> = ids.flatten().collect();
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
        if !rest.is_empty() {
            return Err(InvalidTestIds);
        }
        let mut tests = Self::default();
        for id in ids {
            tests.add(TestId(*id));
        }
        Ok(tests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(names: &[&str]) -> PassedTests {
        let mut passed = PassedTests::default();
        for name in names {
            passed.add(TestId::of(name));
        }
        passed
    }

    #[test]
    fn an_id_is_the_start_of_the_names_sha_256() {
        assert_eq!(TestId::of("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223");
    }

    #[test]
    fn what_passed_before_and_not_now_has_vanished() {
        let earlier = passed(&["a", "b", "c"]);
        let now = passed(&["b", "d"]);
        let gone = Gone { before: 1, now: 0 };
        assert_eq!(now.vanished_since(&earlier), [(TestId::of("a"), gone), (TestId::of("c"), gone)].into());
        assert_eq!(earlier.vanished_since(&earlier), BTreeMap::new());
    }

    #[test]
    fn a_test_that_passes_less_often_has_vanished_in_part() {
        let (twice, once) = (passed(&["a", "a", "b"]), passed(&["a", "b"]));
        assert_eq!(once.vanished_since(&twice), [(TestId::of("a"), Gone { before: 2, now: 1 })].into());
        assert_eq!(twice.vanished_since(&once), BTreeMap::new());
        // Reports of one suite add up; formats of one run don't.
        assert_eq!(once.clone().plus(&once).unwrap().vanished_since(&twice), BTreeMap::new());
        assert_eq!(once.clone().or(&once).unwrap(), once);
        let json = serde_json::to_string(&twice).unwrap();
        assert_eq!(serde_json::from_str::<PassedTests>(&json).unwrap(), twice);
    }

    #[test]
    fn what_is_no_set_of_ids_is_not_remembered_as_one() {
        for text in ["\"AAAA\"", "\"!\"", "[]"] {
            assert!(serde_json::from_str::<PassedTests>(text).is_err(), "{text}");
        }
    }
}
