//! That a commit is Built: an in-toto test result (<https://in-toto.io/attestation/test-result/v0.1>) on its manifest, on
//! each of its artefacts and on the commit itself.
//!
//! It follows from the verdict, the manifest and the rules alone, so that whoever signs it again signs the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    ids::{DatabaseName, Sha256, StackName, VersionId},
    manifest::{Flyway, Manifest, Tests},
    outcome::{Counts, Outcome},
    policy::{Condition, Rules},
    store_key::{ArtefactPath, RecordKey},
    suite::Suite,
    verdict::{TemplateForm, Verdict},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use gatekeeper_proof::{Authority, Digest, Predicate, Resource, SigningError, Statement, Subject, WordOf};

/// What the gate saw before it said `built`. The specification's own fields first; ours behind a prefix, because it has none
/// for counts, skips and rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// `PASSED`: of other commits nothing is attested.
    pub result: TestOutcome,
    /// What was tested by: the manifest's raw reports, and the policy that was applied.
    pub configuration: Vec<Resource>,
    /// The run that tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The suites that passed.
    pub passed_tests: Vec<String>,
    /// Always empty, because the statement is only made of a commit that is Built; in-toto asks for the field.
    pub failed_tests: Vec<String>,
    /// The figures of each suite, as the manifest tells them. Where it has raw reports, they agree with these.
    #[serde(rename = "artefactGatekeeper_tests")]
    pub tests: Tests,
    /// What the gate counted in the raw reports, by suite, where there were some that it could.
    #[serde(rename = "artefactGatekeeper_recounted", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recounted: BTreeMap<Suite, Counts>,
    /// What tests of no suite were allowed to come to, beyond what is refused anyway.
    #[serde(rename = "artefactGatekeeper_refusedOutcomes", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refused_outcomes: BTreeSet<Outcome>,
    /// The most tests of a suite that were allowed to pass on a retry only; `None` where any number was.
    #[serde(rename = "artefactGatekeeper_mostFlaky", default, skip_serializing_if = "Option::is_none")]
    pub most_flaky: Option<u64>,
    /// The conditions that were required of the commit, each of which holds.
    #[serde(rename = "artefactGatekeeper_conditions")]
    pub conditions: BTreeSet<Condition>,
    /// The least coverage of the unit tests that was required.
    #[serde(rename = "artefactGatekeeper_leastCoverage")]
    pub least_coverage: LeastCoverage,
    /// The portable forms that stages get in place of the stored templates, by the stack's name.
    #[serde(rename = "artefactGatekeeper_forms", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forms: BTreeMap<StackName, TemplateForm>,
    /// What Flyway validated, by database.
    #[serde(rename = "artefactGatekeeper_flyway")]
    pub flyway: BTreeMap<DatabaseName, Flyway>,
    /// The verdict that this attests.
    #[serde(rename = "artefactGatekeeper_verdict")]
    pub verdict: Resource,
    /// The version of the manifest.
    #[serde(rename = "artefactGatekeeper_manifestVersionId")]
    pub manifest_version_id: VersionId,
    /// The version of `config/policy.json`; `None` where ADR-053 alone was applied.
    #[serde(rename = "artefactGatekeeper_policyVersionId", default, skip_serializing_if = "Option::is_none")]
    pub policy_version_id: Option<VersionId>,
    /// When the gate came to its conclusion.
    #[serde(rename = "artefactGatekeeper_evaluatedAt")]
    pub evaluated_at: Timestamp,
}

/// What tests came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestOutcome {
    /// They passed.
    Passed,
}

/// The least coverage that is required, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LeastCoverage {
    /// Of lines.
    pub lines: f64,
    /// Of functions.
    pub functions: f64,
}

impl Predicate for TestResult {
    const TYPE: &'static str = "https://in-toto.io/attestation/test-result/v0.1";

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.evaluated_at)
    }
}

impl WordOf for TestResult {
    const AUTHORITY: Authority = Authority::Gate;
}

/// What the attestation of a commit is about: its manifest, each object that was judged, and the commit.
#[must_use]
pub fn subjects(verdict: &Verdict, manifest: Sha256) -> Vec<Subject> {
    let commit = verdict.commit();
    let manifest = Subject { name: ArtefactPath::Manifest.of(&commit), digest: Digest::Sha256(manifest) };
    let judged = verdict.artefacts.iter();
    let judged = judged.map(|it| Subject { name: it.key.clone(), digest: Digest::Sha256(it.sha256) });
    let commit = Subject { name: commit.repo.to_string(), digest: Digest::GitCommit(commit.sha) };
    [manifest].into_iter().chain(judged).chain([commit]).collect()
}

/// The statement on a verdict `built`, given the SHA-256 of the verdict's and of the manifest's bytes.
///
/// # Errors
/// [`SigningError::Untold`] of a verdict that doesn't name the version of the manifest which it is on.
pub fn statement(
    verdict: &Verdict,
    verdict_sha256: Sha256,
    manifest: &Manifest,
    manifest_sha256: Sha256,
    rules: &Rules,
) -> Result<Statement<TestResult>, SigningError> {
    let untold = SigningError::Untold("the verdict names no version of the manifest");
    let manifest_version_id = verdict.manifest_version_id.clone().ok_or(untold)?;
    let commit = verdict.commit();
    let reports = manifest.reports.iter();
    let reports = reports.map(|it| Resource::of(ArtefactPath::Report(it.file.clone()).of(&commit), it.sha256));
    let policy = verdict.policy_version_id.as_ref();
    let policy = policy.map(|version| Resource {
        uri: format!("{}?versionId={version}", RecordKey::PolicyConfig),
        digest: verdict.policy_sha256.map(Digest::Sha256),
    });
    let tests = &manifest.tests;
    let passed = [
        ("typecheck", tests.typecheck.is_some()),
        ("unit", tests.unit.is_some()),
        ("policy", tests.policy.is_some()),
        ("integration", tests.integration.is_some()),
    ];
    let predicate = TestResult {
        result: TestOutcome::Passed,
        configuration: reports.chain(policy).collect(),
        url: manifest.build.as_ref().map(|build| build.run_url.clone()),
        passed_tests: passed.into_iter().filter(|(_, ran)| *ran).map(|(suite, _)| suite.to_owned()).collect(),
        failed_tests: Vec::new(),
        tests: tests.clone(),
        recounted: verdict.recounted.clone(),
        forms: verdict.forms.clone(),
        refused_outcomes: rules.refuse.clone(),
        most_flaky: rules.max_flaky,
        conditions: rules.required.clone(),
        least_coverage: LeastCoverage { lines: rules.min_line_coverage, functions: rules.min_function_coverage },
        flyway: manifest.flyway.clone(),
        verdict: Resource::of(RecordKey::Verdict(commit).to_string(), verdict_sha256),
        manifest_version_id,
        policy_version_id: verdict.policy_version_id.clone(),
        evaluated_at: verdict.evaluated_at,
    };
    Ok(Statement::new(subjects(verdict, manifest_sha256), predicate))
}

/// What keeps an attestation from being one of this very verdict and manifest, in words; `None` where it is.
#[must_use]
pub fn disagreement(
    statement: &Statement<TestResult>,
    verdict: &Verdict,
    verdict_sha256: Sha256,
    manifest_sha256: Sha256,
) -> Option<String> {
    let attested = &statement.predicate.verdict;
    if attested.digest != Some(Digest::Sha256(verdict_sha256)) {
        return Some(format!("it attests another verdict than the stored `{}`", attested.uri));
    }
    let expected = subjects(verdict, manifest_sha256);
    let stranger = expected
        .iter()
        .find(|it| !statement.subject.contains(it))
        .or_else(|| statement.subject.iter().find(|it| !expected.contains(it)));
    stranger.map(|it| format!("`{}` is not with the same digest in the attestation and in the store", it.name))
}
