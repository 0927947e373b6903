//! What the gate concluded, on what, and whether that is still stored and still stands.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::Sha256,
    manifest::{AssetKind, Manifest},
    outcome::Counts,
    policy::Condition,
    store_key::{ArtefactKey, ArtefactPath},
    verdict::{NamedTests, Outcome, Revocation, Verdict},
};
use gatekeeper_readers::report;

use super::{Case, Checks, counted};
use crate::{
    collect,
    exhibits::{Exhibits, StoredObject, Unread},
    model::{Fact, Gate, Part, PolicyRow, RawReport, Retention, Suite},
    paper,
};

const BUILT: &str = "the gate's verdict says that the commit is Built";
const OF_MANIFEST: &str = "the verdict is on the manifest that was promoted, and on exactly what it lists";
const STORED: &str = "what was judged is still stored, byte for byte";
const ATTACHED: &str = "the raw reports, schema snapshots and templates are those that the manifest lists";
const FORMS: &str = "the portable forms follow from the stored templates, and with dev's values they are these again";
const PROVENANCE: &str = "who built the commit was proved to the gate, and is whom the policy allows";
const STANDS: &str = "the commit was not taken back since";

/// Tells what the gate concluded, and checks it.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Option<Gate> {
    let part = Part::Gate;
    let read = match &case.verdict {
        Ok(read) => read,
        Err(unread) => {
            checks.unread(part, BUILT, "the verdict that the promotion rests on", unread);
            checks.unknown(part, OF_MANIFEST, "there is no verdict to compare with");
            stands(case, checks);
            return None;
        }
    };
    let verdict = &read.value;
    let mut wrong = Vec::new();
    if verdict.commit() != case.commit {
        wrong.push(format!("it is on another commit, `{}`", verdict.commit()));
    }
    if verdict.outcome != Outcome::Built {
        wrong.push(format!("it says `{}`", verdict.outcome));
    }
    checks.none_wrong(part, BUILT, &wrong, format!("version `{}` of the verdict", read.version_id));
    of_manifest(case, verdict, checks);
    stored(case, verdict, checks);
    attached(case, checks);
    forms(case, verdict, checks);
    built_by(case, verdict, checks);
    let revoked = stands(case, checks);
    Some(Gate {
        outcome: verdict.outcome,
        reasons: verdict.reasons.clone(),
        evaluated_at: verdict.evaluated_at,
        manifest_version_id: verdict.manifest_version_id.clone(),
        manifest_sha256: case.manifest.as_ref().ok().map(|read| read.sha256),
        verdict_sha256: read.sha256,
        artefacts: verdict.artefacts.len(),
        revoked,
        built_by: verdict.provenance.clone(),
        steps: case.manifest().map(steps).unwrap_or_default(),
    })
}

fn of_manifest(case: &Case<'_>, verdict: &Verdict, checks: &mut Checks) {
    let read = match &case.manifest {
        Ok(read) => read,
        Err(unread) => return checks.unread(Part::Gate, OF_MANIFEST, "the manifest", unread),
    };
    let mut wrong = Vec::new();
    if verdict.manifest_version_id.as_ref() != Some(&read.version_id) {
        wrong.push(format!("the verdict is on another version of the manifest than `{}`", read.version_id));
    }
    let judged: BTreeMap<&str, Sha256> = verdict.artefacts.iter().map(|it| (it.key.as_str(), it.sha256)).collect();
    let claimed: BTreeMap<String, Sha256> =
        read.value.claims().into_iter().map(|claim| (claim.path.of(&case.commit), claim.sha256)).collect();
    for (key, sha256) in &claimed {
        match judged.get(key.as_str()) {
            Some(judged) if judged == sha256 => {}
            Some(judged) => wrong.push(format!("`{key}` was judged as `{judged}`, the manifest lists `{sha256}`")),
            None => wrong.push(format!("`{key}` is listed and was not judged")),
        }
    }
    // Provenance is about the manifest, and so is listed in none.
    let is_provenance =
        |key: &str| ArtefactKey::parse(key).is_ok_and(|it| matches!(it.path, ArtefactPath::Provenance(_)));
    let unlisted = judged.keys().filter(|key| !claimed.contains_key(**key) && !is_provenance(key));
    wrong.extend(unlisted.map(|key| format!("`{key}` was judged and is not listed")));
    checks.none_wrong(Part::Gate, OF_MANIFEST, &wrong, format!("{} by SHA-256", counted(claimed.len(), "object")));
}

fn stored(case: &Case<'_>, verdict: &Verdict, checks: &mut Checks) {
    let seen = &case.exhibits.observed.stored;
    let (mut wrong, mut open, mut undigested) = (Vec::new(), Vec::new(), 0);
    for judged in &verdict.artefacts {
        let found = seen.iter().find(|it| it.key == judged.key && it.version_id == judged.version_id);
        match found {
            Some(StoredObject { unread: Some(why), .. }) => open.push(format!("`{}`: {why}", judged.key)),
            Some(found) if found.there => match found.sha256 {
                Some(sha256) if sha256 == judged.sha256 => {}
                Some(sha256) => {
                    wrong.push(format!("`{}` is now `{sha256}`, judged was `{}`", judged.key, judged.sha256));
                }
                None => undigested += 1,
            },
            _ => wrong.push(format!("version `{}` of `{}` is not stored any more", judged.version_id, judged.key)),
        }
    }
    let count = counted(verdict.artefacts.len(), "object");
    let detail = match undigested {
        0 => format!("{count}, by the store's own SHA-256"),
        some => format!("{count}, by the store's own SHA-256; of {some} that were uploaded in parts by version"),
    };
    checks.judged(Part::Gate, STORED, &wrong, &open, detail);
}

/// Checks the raw reports and snapshots that were read too, where any were.
fn attached(case: &Case<'_>, checks: &mut Checks) {
    let Some(manifest) = case.manifest() else { return };
    let reports = manifest.reports.iter().map(|it| (paper::report(&it.file), it.sha256));
    let snapshots = manifest.modules.iter().flat_map(|module| {
        module.schemas.iter().map(|schema| (paper::snapshot(&module.id, &schema.database), schema.sha256))
    });
    let templates = manifest
        .modules
        .iter()
        .flat_map(|module| module.stacks.iter().map(|stack| (paper::template(&module.id, &stack.name), stack.sha256)));
    let nested = manifest.assets().filter(|it| it.kind == AssetKind::Template);
    let nested = nested.map(|it| (paper::nested_template(&it.file()), it.sha256));
    let listed: BTreeMap<_, _> = reports.chain(snapshots).chain(templates).chain(nested).collect();
    let attached = case.exhibits.documents.iter().filter(|(name, _)| paper::is_attached(name));
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, document) in attached {
        count += 1;
        match listed.get(name) {
            Some(sha256) if *sha256 == Sha256::of(&document.bytes) => {}
            Some(sha256) => wrong.push(format!("`{name}` is not the file with SHA-256 `{sha256}`")),
            None => wrong.push(format!("`{name}` is not listed in the manifest")),
        }
    }
    if count > 0 {
        checks.none_wrong(Part::Gate, ATTACHED, &wrong, counted(count, "file"));
    }
}

/// Derives the portable form of each template that was read too, and holds it against the attested one.
fn forms(case: &Case<'_>, verdict: &Verdict, checks: &mut Checks) {
    let derived = crate::forms::derived(case.exhibits);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (stack, forms) in &derived {
        count += forms.as_ref().map_or(1, |forms| 1 + forms.nested.len());
        match (forms, verdict.forms.get(stack)) {
            (Ok(forms), Some(judged)) if forms.told() == *judged => {}
            (Ok(forms), Some(judged)) => {
                let told = forms.told();
                if told.nested == judged.nested {
                    wrong.push(format!("of `{stack}` follows `{}`, the verdict has `{}`", told.sha256, judged.sha256));
                } else {
                    wrong.push(format!("of what is nested in `{stack}` follow other forms than the verdict has"));
                }
            }
            (Ok(_), None) => wrong.push(format!("the verdict has none of `{stack}`")),
            (Err(why), _) => wrong.push(format!("of `{stack}` none follows: {why}")),
        }
    }
    if !derived.is_empty() {
        checks.none_wrong(Part::Gate, FORMS, &wrong, counted(count, "form"));
    }
}

/// Checks that each build of the verdict is of the commit and of a builder that the policy allows, and that the bundles are
/// those that were judged. That they hold is verified by who reads the evidence: [`crate::bundle_verify`].
fn built_by(case: &Case<'_>, verdict: &Verdict, checks: &mut Checks) {
    let required = case.attested.as_ref().is_some_and(|it| it.conditions.contains(&Condition::Provenance));
    if verdict.provenance.is_empty() && !required {
        return;
    }
    let (mut wrong, mut words) = (Vec::new(), Vec::new());
    if verdict.provenance.is_empty() {
        wrong.push("the policy requires it, and the verdict tells of no builder".to_owned());
    }
    let rules = case.policy.as_ref().map(|policy| policy.rules_of(&case.commit.repo));
    for (key, build) in &verdict.provenance {
        if build.commit.as_deref() != Some(case.commit.sha.as_str()) {
            wrong.push(format!("`{key}` is of another commit"));
        }
        let builders = rules.iter().flat_map(|rules| &rules.builders);
        let is_bound = required || builders.clone().next().is_some();
        if is_bound && rules.is_some() && !builders.clone().any(|it| it.allows(build, &case.commit.repo)) {
            wrong.push(format!("the policy does not allow `{}`", build.builder));
        }
        let judged = verdict.artefacts.iter().find(|it| it.key == *key);
        let file = ArtefactKey::parse(key).ok().and_then(|it| match it.path {
            ArtefactPath::Provenance(file) => Some(file),
            _ => None,
        });
        let document = file.and_then(|file| case.exhibits.bytes(&paper::provenance(&file)));
        match (judged, document) {
            (Some(judged), Some(bytes)) if judged.sha256 == Sha256::of(bytes) => words.push(build.words()),
            (Some(_), Some(_)) => wrong.push(format!("`{key}` is not the bundle that was judged")),
            (Some(_), None) => wrong.push(format!("`{key}` is not stored any more")),
            (None, _) => wrong.push(format!("`{key}` was not judged")),
        }
    }
    checks.none_wrong(Part::Gate, PROVENANCE, &wrong, words.join("; "));
}

/// Checks that nothing took the commit back; gives who did and why.
fn stands(case: &Case<'_>, checks: &mut Checks) -> Option<String> {
    let at = case.exhibits.observed.question.at;
    let revocation = match case.exhibits.read::<Revocation>(paper::REVOCATION) {
        Ok(read) => Some(read.value),
        Err(Unread::Missing) => None,
        Err(unread) => {
            checks.unread(Part::Gate, STANDS, "the revocation", &unread);
            return None;
        }
    };
    let manifest = case.verdict().and_then(|verdict| verdict.manifest_version_id.clone());
    let promoted = manifest.or_else(|| case.record().map(|record| record.manifest_version_id.clone()));
    let of_this = revocation.filter(|it| promoted.is_none() || promoted.as_ref() == Some(&it.manifest_version_id));
    if let Some(Revocation { revoked_by, revoked_at, reason, .. }) = of_this {
        let words = format!("taken back at {revoked_at} by `{revoked_by}`: {reason}");
        if at.is_some_and(|at| revoked_at > at) {
            checks.holds(Part::Gate, STANDS, "not at that time; since then it was");
            return None;
        }
        checks.fails(Part::Gate, STANDS, words.clone());
        return Some(words);
    }
    if at.is_some() {
        checks.holds(Part::Gate, STANDS, "there is no revocation of the manifest that was promoted");
        return None;
    }
    match case.exhibits.read::<Verdict>(paper::PRESENT_VERDICT) {
        Ok(read) if read.value.outcome == Outcome::Built => {
            let detail = "there is no revocation of the manifest that was promoted, and the present verdict says Built";
            checks.holds(Part::Gate, STANDS, detail);
        }
        Ok(read) => {
            let codes: Vec<_> = read.value.reasons.iter().map(|it| it.code.as_str()).collect();
            let reasons = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
            checks.fails(
                Part::Gate,
                STANDS,
                format!("the gate's present verdict is `{}`{reasons}", read.value.outcome),
            );
        }
        Err(unread) => checks.unread(Part::Gate, STANDS, "the gate's present verdict", &unread),
    }
    None
}

/// That the commit was taken back after the time that was asked about.
pub(super) fn revoked_since(case: &Case<'_>) -> Option<String> {
    let at = case.exhibits.observed.question.at?;
    let revocation = case.exhibits.read::<Revocation>(paper::REVOCATION).ok()?.value;
    let Revocation { revoked_by, revoked_at, reason, manifest_version_id, .. } = revocation;
    let is_of_it = case.record().is_none_or(|record| record.manifest_version_id == manifest_version_id);
    (is_of_it && revoked_at > at)
        .then(|| format!("the commit was taken back at {revoked_at} by `{revoked_by}`: {reason}"))
}

/// The rows of `policies_satisfied`, each with the tests that bear its name as the gate found them.
pub(super) fn policy_rows(case: &Case<'_>) -> Vec<PolicyRow> {
    let rows = case.manifest().and_then(|manifest| manifest.tests.policy.as_ref());
    let rows = rows.into_iter().flat_map(|policy| &policy.policies_satisfied);
    let kept = case.verdict().and_then(|verdict| verdict.policy_tests.as_ref());
    let row = |row: &String| PolicyRow {
        row: row.clone(),
        tests: kept.map(|kept| match kept.get(row) {
            None => Vec::new(),
            Some(NamedTests { count, names }) => {
                let more = count.saturating_sub(names.len() as u64);
                let more = (more > 0).then(|| format!("and {more} more"));
                names.iter().cloned().chain(more).collect()
            }
        }),
    };
    rows.map(row).collect()
}

/// How long the stored objects are kept, by bucket, as far as it could be read.
pub(super) fn retention(exhibits: &Exhibits) -> Vec<Retention> {
    let seen = &exhibits.observed.retention;
    let of_bucket = |bucket: &&str| {
        let objects: Vec<_> = seen.iter().filter(|it| it.bucket == **bucket).collect();
        let kept: Vec<_> = objects.iter().filter(|it| it.unread.is_none()).map(|it| &it.retention).collect();
        let locked = || kept.iter().filter(|it| it.mode.is_some());
        let mut modes: Vec<_> = locked().filter_map(|it| it.mode.clone()).collect();
        modes.sort();
        modes.dedup();
        Retention {
            bucket: (*bucket).to_owned(),
            objects: objects.len(),
            locked: locked().count(),
            modes,
            locked_until: locked().filter_map(|it| it.until).min(),
            legal_holds: kept.iter().filter(|it| it.legal_hold).count(),
            not_locked: kept.iter().filter(|it| it.mode.is_none() && !it.legal_hold).count(),
            expires: kept.iter().find_map(|it| it.expiration.clone()),
            unread: objects.iter().find_map(|it| it.unread.clone()),
        }
    };
    let buckets = [collect::ARTEFACTS, collect::RECORDS];
    buckets.iter().filter(|bucket| seen.iter().any(|it| it.bucket == **bucket)).map(of_bucket).collect()
}

/// The raw reports of a suite that the gate recounted: those of formats that it reads, of a commit that it judged to be
/// Built, where figures that differ from them are refused.
fn counted_reports(manifest: &Manifest, verdict: Option<&Verdict>, suite: &str, of_tests: bool) -> Vec<String> {
    let Some(verdict) = verdict.filter(|verdict| verdict.outcome == Outcome::Built) else { return Vec::new() };
    let is_recounted = |report: &&gatekeeper_model::manifest::Report| {
        let of_it = gatekeeper_model::suite::Suite::of(&report.suite).is_some_and(|it| it.as_str() == suite);
        let read = report::Format::of(&report.format).is_some_and(|it| it.is_of_tests() == of_tests);
        of_it && read && verdict.artefact(&ArtefactPath::Report(report.file.clone())).is_some()
    };
    manifest.reports.iter().filter(is_recounted).map(|report| report.file.to_string()).collect()
}

/// The commit's tests, by suite: what the gate counted in the raw reports, else what the manifest tells.
pub(super) fn suites(case: &Case<'_>) -> Vec<Suite> {
    use gatekeeper_model::suite::Suite::{Integration, Policy, Unit};

    let Some(manifest) = case.manifest() else { return Vec::new() };
    let tests = &manifest.tests;
    let recounted = |of| case.verdict.as_ref().ok().and_then(|read| read.value.recounted.get(&of)).copied();
    let verdict = case.verdict();
    let suite = |name: &str, summary: String| Suite {
        suite: name.to_owned(),
        summary,
        recounted_from: counted_reports(manifest, verdict, name, true),
        coverage_from: counted_reports(manifest, verdict, name, false),
        ..Suite::default()
    };
    let counted = |of: gatekeeper_model::suite::Suite, rest: String| {
        let told = tests.told(of).map(|it| it.counts);
        let counts = recounted(of).or(told).unwrap_or_default();
        let Counts { passed, failed, skipped, todo, expected_failures, flaky, not_run, unexplained } = counts;
        let some = |count: u64| (count > 0).then_some(count);
        Suite {
            passed: Some(passed),
            failed: Some(failed),
            skipped: Some(skipped),
            todo: some(todo),
            expected_failures: some(expected_failures),
            flaky: some(flaky),
            not_run: some(not_run),
            unexplained: some(unexplained),
            ..suite(of.as_str(), format!("{counts}{rest}"))
        }
    };
    let mut suites = Vec::new();
    if let Some(it) = &tests.typecheck {
        suites.push(Suite { failed: Some(it.errors), ..suite("typecheck", format!("{} errors", it.errors)) });
    }
    if let Some(it) = &tests.unit {
        let percent = |figure: Option<f64>| figure.map_or_else(|| "not told".to_owned(), |it| format!("{it} %"));
        let (lines, functions) = (percent(it.line_coverage), percent(it.function_coverage));
        let unit = counted(Unit, format!("; covered: lines {lines}, functions {functions}"));
        suites.push(Suite { line_coverage: it.line_coverage, function_coverage: it.function_coverage, ..unit });
    }
    if let Some(it) = &tests.policy {
        let policies = match it.policies_satisfied.as_slice() {
            [] => String::new(),
            policies => format!("; policies: {}", policies.join(", ")),
        };
        suites.push(counted(Policy, policies));
    }
    if let Some(it) = &tests.integration {
        let guard = if it.run_integration { "with RUN_INTEGRATION=1" } else { "without RUN_INTEGRATION=1" };
        suites.push(counted(Integration, format!(", {guard}")));
    }
    if let Some(it) = &tests.smoke {
        let summary = if it.exit_code == 0 {
            "dev answered as it should".to_owned()
        } else {
            format!("ended with {}", it.exit_code)
        };
        suites.push(suite("smoke", summary));
    }
    suites
}

/// The raw reports behind them, as they were judged.
pub(super) fn reports(case: &Case<'_>) -> Vec<RawReport> {
    let reports = case.manifest().into_iter().flat_map(|manifest| &manifest.reports).map(|it| RawReport {
        suite: it.suite.clone(),
        format: it.format.clone(),
        key: ArtefactPath::Report(it.file.clone()).of(&case.commit),
        sha256: it.sha256,
        size: it.size,
    });
    reports.collect()
}

/// The other steps of the pipeline that a manifest tells of.
fn steps(manifest: &Manifest) -> Vec<Fact> {
    let done = |done: bool| if done { "done" } else { "not done" }.to_owned();
    let mut steps = Vec::new();
    let mut fact = |name: &str, value: String| steps.push(Fact { name: name.to_owned(), value });
    if let Some(it) = &manifest.deploy {
        fact("deploy", format!("to {}, {}", it.stage, done(it.succeeded)));
    }
    if let Some(it) = &manifest.pulumi {
        let update = it.update.as_ref().map(|it| format!(", {} of {} {}", it.kind, it.stack, it.result));
        fact("pulumi", format!("program of {}{}", it.program_sha, update.unwrap_or_default()));
    }
    if let Some(it) = &manifest.dcm {
        fact("dcm", format!("plan {}, deploy {}", done(it.plan), done(it.deploy)));
    }
    if let Some(it) = &manifest.dbt_build {
        fact("dbt build", done(it.succeeded));
    }
    steps
}
