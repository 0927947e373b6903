//! Who wrote a document, by the marks that it leaves itself, where its headers count other things than its cases or its
//! cases need another reading. Each was seen in what the named version wrote, or in its source.

use std::io::Read;

use crate::report::xml::Xml;

/// A producer that is known by its marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Producer {
    #[default]
    Unknown,
    /// Catch2 2.13.10 and 3 (`reporters/catch_reporter_junit.cpp`): `hostname="tbd"`. Its `tests` are assertions.
    Catch2,
    /// doctest 2.4.9 (`doctest.h`, `JUnitReporter`): `doctest_version`. Its `tests` are assertions.
    Doctest,
    /// newman 6.2.2 (`lib/reporters/junit/index.js`): a root that tells `tests` and neither failures nor skips, and suites
    /// with an `id`. The root's `tests` are requests in all iterations.
    Newman,
    /// Surefire and Failsafe 2.22 to 3.6 (`StatelessXmlReporter.java`): the report's own schema. With retries its `tests`
    /// are neither the skipped nor the flaky ones.
    Surefire,
    /// pytest 7 to 9 (`_pytest/junitxml.py`): a suite `pytest`. Its `tests` are subtests too (from 9), and
    /// pytest-rerunfailures 16 writes each run of a test as a case.
    Pytest,
    /// jest-junit 16 and 17 (`utils/buildJsonResults.js`): the order of its attributes. Its `tests` are not the to-dos,
    /// which are cases that passed.
    JestJunit,
    /// gotestsum 1.13 (`internal/junitxml/report.go`): a property `go.version` with the platform. With `--rerun-fails`
    /// each run of a test is a case, and the process ends with 0 where the last passed.
    Gotestsum,
    /// Playwright 1.65 (`reporters/junit.ts`): a root with an `id`. A skip without an annotation is a test that did not
    /// run, because one before it failed.
    Playwright,
    /// Vitest 3 to 5 (`reporters/junit.ts`): the root's name. With `--bail` what never ran is a case that passed, in no
    /// time.
    Vitest,
}

/// These attributes no other producer's suite has in this order.
const JEST_JUNIT: [&str; 6] = ["name", "errors", "failures", "skipped", "time", "tests"];

impl Producer {
    /// Whose the suite that begins is, in one of `parent`'s; the name of a root is the run's.
    pub(super) fn of<R: Read>(xml: &Xml<R>, parent: Self, is_in_bare_root: bool) -> Self {
        let has = |name: &str| xml.attribute(name).is_some();
        let is = |name: &str, value: &str| xml.attribute(name) == Some(value);
        let schema = xml.attribute("xsi:noNamespaceSchemaLocation").unwrap_or_default();
        let is_root = xml.name() == "testsuites";
        if is("hostname", "tbd") {
            Self::Catch2
        } else if has("doctest_version") {
            Self::Doctest
        } else if has("flakes") || schema.contains("surefire") {
            Self::Surefire
        } else if is_root && has("id") {
            Self::Playwright
        } else if is_root && is("name", "vitest tests") {
            Self::Vitest
        } else if is_in_bare_root && has("id") {
            Self::Newman
        } else if !is_root && is("name", "pytest") {
            Self::Pytest
        } else if !is_root && xml.attributes().filter(|it| JEST_JUNIT.contains(it)).eq(JEST_JUNIT) {
            Self::JestJunit
        } else {
            parent
        }
    }

    /// The same, where a property of a suite tells it.
    pub(super) fn told_by_property(self, name: &str, value: &str) -> Self {
        if name == "go.version" && value.contains('/') { Self::Gotestsum } else { self }
    }

    /// Whether its headers count other things than tests.
    pub(super) fn counts_other_things(self) -> bool {
        matches!(self, Self::Catch2 | Self::Doctest | Self::Newman)
    }

    /// Whether each test that its headers count is a case, so that one too few was lost or taken out.
    pub(super) fn has_a_case_for_each(self) -> bool {
        self == Self::Vitest
    }

    /// Whether a header of it may tell of fewer tests than there are cases without any of them being a to-do.
    pub(super) fn counts_fewer(self) -> bool {
        self.counts_other_things() || self == Self::Surefire
    }
}
