//! The raw reports against what the manifest says of them: figures are recounted, not believed.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    manifest::{Manifest, Told},
    outcome::{Counts, Outcome},
    policy::Condition,
    store_key::ArtefactPath,
    suite::Suite,
};
use gatekeeper_readers::report::{
    Format, Gone, TestId, suite,
    suite::{Shown, SuiteReport},
    words,
};

use super::{Comparison, Earlier, Evidence};

/// How far a told coverage may be from the recounted one, in percent: producers round.
const ROUNDED: f64 = 0.1;

/// The most vanished tests that are told one by one.
const MAX_VANISHED: usize = 50;

/// The manifest's reports that were recounted.
pub(crate) fn of_suites<'a>(
    manifest: &'a Manifest,
    recounted: &'a BTreeMap<ArtefactPath, gatekeeper_readers::report::Recounted>,
) -> impl Iterator<Item = SuiteReport<'a>> {
    manifest.reports.iter().filter_map(|report| {
        let (path, recounted) = recounted.get_key_value(&ArtefactPath::Report(report.file.clone()))?;
        Some(SuiteReport { path, suite: &report.suite, format: Format::of(&report.format)?, recounted })
    })
}

/// What the reports show, and every reason not to believe them or the manifest.
pub(super) fn check(evidence: &Evidence, manifest: &Manifest) -> (BTreeMap<Suite, Shown>, Vec<Finding>) {
    let (mut shown, doubts) = suite::add_up(of_suites(manifest, &evidence.reports), &manifest.tests.exit_codes());
    let at = |finding: Finding| match ArtefactPath::parse(&finding.subject) {
        Some(path) => Finding { subject: path.of(&evidence.commit), ..finding },
        None => finding,
    };
    let mut findings: Vec<_> = doubts.into_iter().map(at).collect();
    findings.extend(misspelt(evidence, manifest));
    findings.extend(untold_exit_codes(evidence, manifest));
    let is_whole = |suite| is_whole(evidence, manifest, suite);
    for suite in Suite::ALL.into_iter().filter(|suite| !is_whole(*suite)) {
        // What the others show is not the whole.
        if let Some(shown) = shown.get_mut(&suite) {
            shown.tests = None;
        }
    }
    let told = |suite: &Suite| Some((*suite, manifest.tests.told(*suite)?));
    for (suite, told) in Suite::ALL.iter().filter_map(told).filter(|(suite, _)| is_whole(*suite)) {
        let shown = shown.get(&suite);
        match shown.and_then(|it| it.tests) {
            Some(counts) => findings.extend(mismatches(suite, told, counts)),
            None if evidence.rules.require(Condition::report_of(suite)) && manifest.tests.integration.is_some() => {
                let message = "no report of these tests can be recounted, and the policy requires one: upload their raw \
                               report (`junit`, `vitest-json` or `jest-json`)";
                findings.push(Finding::new(Code::ReportMissing, format!("tests.{}", suite.as_str()), message));
            }
            None => {}
        }
    }
    if is_whole(Suite::Unit) {
        findings.extend(coverage(evidence, manifest, shown.get(&Suite::Unit)));
    }
    let asks_for_rows = evidence.rules.require(Condition::PolicyRows) && manifest.tests.integration.is_some();
    if let Some(policy) = manifest.tests.policy.as_ref().filter(|_| asks_for_rows && is_whole(Suite::Policy)) {
        let is_named = |row: &&String| evidence.policy_tests.as_ref().is_some_and(|tests| tests.contains_key(*row));
        let unnamed = policy.policies_satisfied.iter().filter(|row| !is_named(row));
        findings.extend(unnamed.map(|row| {
            let message = "no policy test that passed has it in its name, and the policy requires one for each row";
            Finding::new(Code::PolicyUncovered, row, message)
        }));
    }
    if let Some(earlier) = evidence.earlier.as_ref().filter(|_| is_whole(Suite::Integration)) {
        let figures = figures(manifest, &shown);
        findings.extend(figures.get(&Suite::Integration).into_iter().flat_map(|it| vanished(earlier, manifest, *it)));
    }
    (shown, findings)
}

/// Whether all reports of a suite were recounted. Where one is missing, has other bytes or is none, that is a reason
/// already, and what the others show is not the whole.
fn is_whole(evidence: &Evidence, manifest: &Manifest, suite: Suite) -> bool {
    let mut of_suite = manifest.reports.iter().filter(|report| Suite::of(&report.suite) == Some(suite));
    of_suite.all(|report| {
        let is_recounted = || evidence.reports.contains_key(&ArtefactPath::Report(report.file.clone()));
        Format::of(&report.format).is_none() || is_recounted()
    })
}

/// What each suite that ran came to: what its reports show, else what the manifest tells.
pub(super) fn figures(manifest: &Manifest, shown: &BTreeMap<Suite, Shown>) -> BTreeMap<Suite, Counts> {
    let figures = Suite::ALL.into_iter().filter_map(|suite| {
        let told = manifest.tests.told(suite)?;
        Some((suite, shown.get(&suite).and_then(|it| it.tests).unwrap_or(told.counts)))
    });
    figures.collect()
}

/// Every figure of the manifest that the reports contradict. A manifest that tells of three ends only is held against
/// them in its own words.
fn mismatches(suite: Suite, told: Told, shown: Counts) -> impl Iterator<Item = Finding> {
    let shown = if told.of_all_ends { shown } else { shown.in_three() };
    let fields = Outcome::ALL.map(|outcome| (outcome.figure(), told.counts.of(outcome), shown.of(outcome)));
    fields.into_iter().filter(|(_, told, shown)| told != shown).map(move |(field, told, shown)| {
        let message = format!("the manifest says {told}, the reports show {shown}");
        Finding::new(Code::ReportMismatch, format!("tests.{}.{field}", suite.as_str()), message)
    })
}

fn coverage(evidence: &Evidence, manifest: &Manifest, shown: Option<&Shown>) -> Vec<Finding> {
    let Some(unit) = &manifest.tests.unit else { return Vec::new() };
    let Some(shown) = shown.filter(|it| !it.coverage.is_empty()) else {
        let required = evidence.rules.require(Condition::CoverageReport) && manifest.tests.integration.is_some();
        let message = "no coverage report of the unit tests can be recounted, and the policy requires one: upload it \
                       (`istanbul-summary`, `istanbul` or `lcov`)";
        return required.then(|| Finding::new(Code::ReportMissing, "tests.unit", message)).into_iter().collect();
    };
    let fields = [
        ("line_coverage", unit.line_coverage, shown.percent(|it| it.lines)),
        ("function_coverage", unit.function_coverage, shown.percent(|it| it.functions)),
    ];
    let differ = fields.into_iter().filter_map(|(field, told, shown)| {
        let (told, (lowest, highest)) = (told?, shown?);
        // What several reports come to together lies between them. What is no number lies nowhere.
        let fits = (lowest - ROUNDED..=highest + ROUNDED).contains(&told);
        let seen = if lowest < highest { format!("{lowest:.2} to {highest:.2}") } else { format!("{lowest:.2}") };
        let message = format!("the manifest says {told} %, the reports show {seen} %");
        (!fits).then(|| Finding::new(Code::ReportMismatch, format!("tests.unit.{field}"), message))
    });
    differ.collect()
}

/// Reports whose suite or format is misspelt: they would not be counted, and the manifest be believed in their place.
fn misspelt(evidence: &Evidence, manifest: &Manifest) -> Vec<Finding> {
    let reports = manifest.reports.iter().filter(|report| report.suite != words::OTHER);
    let told = reports.flat_map(|report| {
        let subject = ArtefactPath::Report(report.file.clone()).of(&evidence.commit);
        let refuse = move |what: &str, word: &str, meant: &str| {
            let message = format!(
                "the gate knows no {what} `{word}`: write `{meant}`, or give a report that is mere evidence the suite \
                 `{}`",
                words::OTHER
            );
            Finding::new(Code::ReportFormatUnknown, subject.clone(), message)
        };
        let suite = words::misspelt_suite(&report.suite).map(|meant| refuse("suite", &report.suite, meant));
        let format = words::misspelt_format(&report.format).map(|it| refuse("format", &report.format, it.as_str()));
        [suite, format].into_iter().flatten()
    });
    told.collect()
}

/// Suites with a report and without their process' exit code. Many producers leave out of a report what fails outside of
/// a test, such as a file that can't be imported.
fn untold_exit_codes(evidence: &Evidence, manifest: &Manifest) -> Vec<Finding> {
    if evidence.rules.require(Condition::ExitCodes) {
        return Vec::new(); // then it is refused
    }
    let tests = &manifest.tests;
    let untold = |suite| match suite {
        Suite::Unit => tests.unit.as_ref().is_some_and(|it| it.exit_code.is_none()),
        Suite::Policy => tests.policy.as_ref().is_some_and(|it| it.exit_code.is_none()),
        Suite::Integration => tests.integration.as_ref().is_some_and(|it| it.exit_code.is_none()),
    };
    let has_report = |suite| {
        let mut reports = manifest.reports.iter();
        reports.any(|it| Suite::of(&it.suite) == Some(suite) && Format::of(&it.format).is_some_and(Format::is_of_tests))
    };
    let suites = Suite::ALL.into_iter().filter(|suite| untold(*suite) && has_report(*suite));
    let message = "the manifest does not tell the exit code of its process, and many reports leave out what fails outside \
                   of a test: run the step by `gatekeeper run`";
    suites.map(|suite| Finding::new(Code::ReportExitCodeUntold, format!("tests.{}", suite.as_str()), message)).collect()
}

/// The integration tests that the branch's last Built commit passed and this one doesn't have, but for those that its
/// manifest names. Where tests failed or were skipped the commit is refused for that.
fn vanished(earlier: &Earlier, manifest: &Manifest, counts: Counts) -> Vec<Finding> {
    let Some(tests) = &manifest.tests.integration else { return Vec::new() };
    if [Outcome::Failed, Outcome::Skipped, Outcome::Todo, Outcome::NotRun].iter().any(|it| counts.of(*it) > 0) {
        return Vec::new();
    }
    let before = format!("the last Built commit of `{}`, `{}`,", manifest.branch, earlier.baseline.commit_sha);
    let one = |code, message: String| vec![Finding::new(code, "tests.integration", message)];
    match &earlier.comparison {
        Comparison::NoReport => {
            let message = format!("{before} has raw reports of its integration tests, and this one none: upload them");
            one(Code::ReportMissing, message)
        }
        Comparison::TooMany => {
            let most = gatekeeper_readers::report::MAX_TEST_IDS;
            let message = format!("more than {most} integration tests: they can't be compared with those of {before}");
            one(Code::ReportTooLarge, message)
        }
        Comparison::Vanished(names) => {
            let removed: Vec<_> = tests.removed_tests.iter().map(|name| TestId::of(name)).collect();
            let gone: Vec<_> =
                names.iter().filter(|(id, _)| !removed.contains(id)).map(|(_, (name, gone))| (name, *gone)).collect();
            let remedy = "restore it, or name it in `tests.integration.removed_tests`";
            let told = gone.iter().take(MAX_VANISHED).map(|(name, Gone { before: times, now })| {
                let message = if *now == 0 {
                    format!("{before} passed it, and this one did not: {remedy}")
                } else {
                    format!("{before} passed it {times} times, and this one {now}: {remedy}")
                };
                Finding::new(Code::IntegrationVanished, name.as_str(), message)
            });
            let more = gone.len().saturating_sub(MAX_VANISHED);
            let rest = format!("{more} more tests that {before} passed are gone");
            let rest = (more > 0).then(|| Finding::new(Code::IntegrationVanished, "tests.integration", rest));
            told.chain(rest).collect()
        }
    }
}
