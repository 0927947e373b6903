//! What dbt's own documents say of a build that was made for a lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use gatekeeper_model::{
    finding::{Code, Finding, plain},
    ids::PromotionId,
    policy::DbtRules,
    store_key::RunFile,
};
use gatekeeper_readers::dbt::{
    check, code,
    code::Project,
    manifest,
    manifest::Facts,
    run_results,
    run_results::{RunResults, Status},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Judgement, OpenLease, PROMOTION_VARIABLE, PlannedDbt, RunProof};

/// The largest document of dbt that is compared, in bytes: two manifests are held in memory at once.
pub const MAX_DOCUMENT: u64 = 64 * 1024 * 1024;

/// What is judged of a build.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The manifest of what was tested in dev, as it is stored.
    pub tested: &'a [u8],
    /// The manifest that the build left.
    pub manifest: &'a [u8],
    /// The results that the build left.
    pub run_results: &'a [u8],
}

/// What shows that a build was the promotion's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbtProof {
    /// Which dbt built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_version: Option<String>,
    /// By which adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The target that it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The databases in which it put something.
    pub databases: BTreeSet<String>,
    /// The run, as dbt names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// When its manifest was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<Timestamp>,
    /// How many nodes came to which end.
    pub nodes: BTreeMap<String, u64>,
    /// How many nodes' code was compared with dev's.
    pub compared: u64,
}

/// Judges a build by what it left. `rules` are the policy's: which options are allowed, and how many warnings.
///
/// # Errors
/// Never of bytes that are in memory.
pub fn judge(
    planned: &PlannedDbt,
    evidence: Evidence<'_>,
    rules: &DbtRules,
    promotion: &PromotionId,
    lease: &OpenLease,
) -> io::Result<Judgement> {
    let (mut refused, mut reasons) = (Vec::new(), Vec::new());
    let (found, facts) = manifest::inspect(evidence.manifest, RunFile::Manifest.as_str())?;
    if facts.is_some() { &mut reasons } else { &mut refused }.extend(found);
    let (found, results) = run_results::inspect(evidence.run_results, RunFile::RunResults.as_str())?;
    if results.is_some() { &mut reasons } else { &mut refused }.extend(found);
    let project = code::read(evidence.manifest, RunFile::Manifest.as_str())?;
    let (Some(facts), Some(results), Ok(project)) = (facts, results, project) else {
        return Ok(Judgement::Refused(refused));
    };
    let generated_at: Option<Timestamp> = project.generated_at.as_deref().and_then(|it| it.parse().ok());
    refused.extend(of_another(&facts, &results, &project, generated_at, promotion, lease));
    if !refused.is_empty() {
        return Ok(Judgement::Refused(refused));
    }
    // Where it was built is the stage's to say, and what may be left out the policy's.
    let rules = DbtRules { adapter: None, target: None, databases: BTreeSet::new(), ..rules.clone() };
    reasons.extend(check::check_build(RunFile::RunResults.as_str(), &facts, &results, &rules, None));
    reasons.extend(elsewhere(planned, &facts, &results, &project));
    let compared = match code::read(evidence.tested, &planned.manifest.key)? {
        Ok(tested) => {
            let (differences, compared) = code::check(RunFile::Manifest.as_str(), &tested, &project);
            reasons.extend(differences);
            compared
        }
        Err(finding) => {
            reasons.push(finding);
            0
        }
    };
    let (warnings, reasons) = reasons.into_iter().partition(|it: &Finding| it.code.is_warning());
    let mut nodes: BTreeMap<String, u64> = BTreeMap::new();
    for status in results.results.values() {
        *nodes.entry(word(status)).or_default() += 1;
    }
    let proof = DbtProof {
        dbt_version: facts.dbt_version,
        adapter: facts.adapter,
        target: results.target,
        databases: facts.databases.into_keys().collect(),
        invocation_id: facts.invocation_id,
        generated_at,
        nodes,
        compared,
    };
    Ok(Judgement::Final { reasons, warnings, proof: RunProof::Dbt(proof) })
}

/// Why these are no documents of one run that was made for the promotion.
fn of_another(
    facts: &Facts,
    results: &RunResults,
    project: &Project,
    generated_at: Option<Timestamp>,
    promotion: &PromotionId,
    lease: &OpenLease,
) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let mut say = |message: String| {
        wrong.push(Finding::new(Code::RunOfAnotherPromotion, RunFile::Manifest.as_str(), plain(&message)));
    };
    let how = format!(
        "run `dbt build` with the environment variable `DBT_ENV_CUSTOM_ENV_{PROMOTION_VARIABLE}={promotion}`, as the lease \
         file says"
    );
    match project.env.get(PROMOTION_VARIABLE) {
        Some(told) if told == promotion.as_str() => {}
        Some(told) => {
            let told: String = told.chars().take(100).collect();
            say(format!("`metadata.env` says that it is of promotion `{told}`, and this is `{promotion}`: {how}"));
        }
        None => say(format!("`metadata.env` does not say of which promotion it is: {how}")),
    }
    let is_one_run = facts.invocation_id.is_some() && facts.invocation_id == results.invocation_id;
    if !is_one_run {
        say("`manifest.json` and `run_results.json` are not of one run (`metadata.invocation_id`): hand in what `dbt build` \
             left, before another command of dbt writes over one of them"
            .to_owned());
    }
    match generated_at {
        Some(at) if at >= lease.opened_at => {}
        Some(at) => say(format!("it was written at {at}, before the lease was opened at {}", lease.opened_at)),
        None => say("`metadata.generated_at` does not tell when it was written".to_owned()),
    }
    wrong
}

/// Where a build was made somewhere else than the stage says.
fn elsewhere(planned: &PlannedDbt, facts: &Facts, results: &RunResults, project: &Project) -> Vec<Finding> {
    let PlannedDbt { target, adapter, database, schema, .. } = planned;
    let mut wrong = Vec::new();
    let mut say = |file: RunFile, message: String| {
        wrong.push(Finding::new(Code::RunTargetMismatch, file.as_str(), plain(&message)));
    };
    if results.target.as_ref() != Some(target) {
        let told = results.target.as_deref().unwrap_or("nothing");
        say(
            RunFile::RunResults,
            format!("`args.target` is `{told}`, and the stage's is `{target}`: `--target {target}`"),
        );
    }
    if facts.adapter.as_ref() != Some(adapter) {
        let told = facts.adapter.as_deref().unwrap_or("nothing");
        say(RunFile::Manifest, format!("it was built by the adapter `{told}`, and the stage's is `{adapter}`"));
    }
    // Snowflake holds a name without quotes in upper case, however it is written.
    let others = facts.databases.iter().filter(|(it, _)| !it.eq_ignore_ascii_case(database));
    for (other, node) in others.take(NAMED) {
        say(
            RunFile::Manifest,
            format!("it puts `{node}` into the database `{other}`, and the stage's is `{database}`"),
        );
    }
    if facts.databases.is_empty() {
        say(RunFile::Manifest, "it does not tell in which database anything lies".to_owned());
    }
    if let Some(schema) = schema {
        let is_own = |it: &str| {
            let rest =
                it.get(..schema.len()).filter(|start| start.eq_ignore_ascii_case(schema)).and(it.get(schema.len()..));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        for (other, node) in project.schemas.iter().filter(|(it, _)| !is_own(it)).take(NAMED) {
            say(
                RunFile::Manifest,
                format!("it puts `{node}` into the schema `{other}`, and the stage's begin with `{schema}`"),
            );
        }
    }
    wrong
}

/// How many places a message names of what lies elsewhere.
const NAMED: usize = 5;

fn word(status: &Status) -> String {
    match status {
        Status::Good => "success".to_owned(),
        Status::Warned => "warn".to_owned(),
        Status::NoOp => "no-op".to_owned(),
        Status::Other(word) => word.chars().take(40).collect(),
    }
}

#[cfg(test)]
#[path = "dbt_tests.rs"]
mod tests;
