//! Holds dbt's manifest, the results of the build behind it, and the tested schemas against each other.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{DatabaseName, StageName},
    policy::{DbtOption, DbtRules},
};

use super::{
    manifest::Facts,
    relation::Relation,
    run_results::{FULL_REFRESH, RunResults, Status, VARS},
    some,
};
use crate::{flyway::settings::TableName, shown::shown};

/// dbt's adapter to PostgreSQL.
const POSTGRES: &str = "postgres";

/// The objects of PostgreSQL that queries read, of each database's tested schema.
pub type Tables = BTreeMap<DatabaseName, BTreeSet<TableName>>;

/// Whether what the manifest puts somewhere is put where it may be: `subject` is the manifest's key.
#[must_use]
pub fn check_target(subject: &str, manifest: &Facts, rules: &DbtRules) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |message: String| findings.push(Finding::new(Code::DbtTargetMismatch, subject, message));
    if let Some(adapter) = &rules.adapter {
        match &manifest.adapter {
            Some(told) if told == adapter => {}
            Some(told) => {
                let told = shown(told);
                say(format!("it is compiled for the adapter `{told}`, and the policy says `{adapter}`"));
            }
            None => say(format!("it does not tell its adapter, and the policy says `{adapter}`")),
        }
    }
    if rules.databases.is_empty() {
        return findings;
    }
    let allowed = some(rules.databases.iter().map(String::as_str));
    // Snowflake holds a name without quotes in upper case, however it is written.
    let is_allowed = |database: &str| rules.databases.iter().any(|it| it.eq_ignore_ascii_case(database));
    let others: Vec<_> = manifest.databases.iter().filter(|(database, _)| !is_allowed(database)).collect();
    if let Some((_, node)) = others.first() {
        let others = some(others.iter().map(|(database, _)| database.as_str()));
        let node = shown(node);
        say(format!("it puts `{node}` and others into {others}, and the databases of dev are {allowed} by the policy"));
    }
    if manifest.databases.is_empty() {
        say(format!("it does not tell in which database anything lies, and those of dev are {allowed} by the policy"));
    }
    findings
}

/// Holds a build's results against the manifest that it wrote. `subject` is the key of the results, and `stage` the one
/// that was deployed to.
#[must_use]
pub fn check_build(
    subject: &str,
    manifest: &Facts,
    results: &RunResults,
    rules: &DbtRules,
    stage: Option<&StageName>,
) -> Vec<Finding> {
    let mut found = Found { subject, findings: Vec::new() };
    found.same_run(manifest, results);
    found.whole_build(results, rules);
    found.target(results, rules, stage);
    found.nodes(manifest, results);
    found.outcomes(manifest, results, rules);
    found.findings
}

struct Found<'a> {
    subject: &'a str,
    findings: Vec<Finding>,
}

impl Found<'_> {
    fn say(&mut self, code: Code, message: String) {
        self.findings.push(Finding::new(code, self.subject, message));
    }

    /// Both documents are of one run of one dbt.
    fn same_run(&mut self, manifest: &Facts, results: &RunResults) {
        for (what, told, wanted) in [
            ("invocation_id", &results.invocation_id, &manifest.invocation_id),
            ("dbt_version", &results.dbt_version, &manifest.dbt_version),
        ] {
            let message = match (told, wanted) {
                (Some(told), Some(wanted)) if told == wanted && !told.is_empty() => continue,
                (Some(told), Some(wanted)) => format!(
                    "`metadata.{what}` is `{}`, and that of the manifest beside it `{}`: store both as one `dbt build` left \
                     them",
                    shown(told),
                    shown(wanted)
                ),
                _ => {
                    format!("`metadata.{what}` is not told by both documents, so nothing says that one run wrote them")
                }
            };
            self.say(Code::DbtRunMismatch, message);
        }
    }

    /// The run was `dbt build`, of everything, as a stage's would be.
    fn whole_build(&mut self, results: &RunResults, rules: &DbtRules) {
        match results.command.as_deref() {
            Some("build") => {}
            Some(command) => {
                let command = shown(command);
                let message = format!(
                    "they are of `dbt {command}`, which does not tell that every node was built and tested: store what \
                     `dbt build` leaves"
                );
                self.say(Code::DbtBuildPartial, message);
            }
            None => self.say(Code::DbtBuildPartial, "`args.which` does not tell which command ran".to_owned()),
        }
        let allowed: BTreeSet<&str> = rules
            .allow
            .iter()
            .map(|it| match it {
                DbtOption::FullRefresh => FULL_REFRESH,
                DbtOption::Vars => VARS,
            })
            .collect();
        let given: Vec<_> = results.options.iter().map(String::as_str).filter(|it| !allowed.contains(it)).collect();
        if !given.is_empty() {
            let hint = if given.iter().all(|it| [FULL_REFRESH, VARS].contains(it)) {
                "run it without, or allow it by `dbt.allow` of the policy"
            } else {
                "run it without"
            };
            let options = some(given.iter().copied());
            let message = format!(
                "dbt was run with {options} (`args`), with which it leaves something out or the build of a stage would come to \
                 something else: {hint}"
            );
            self.say(Code::DbtBuildPartial, message);
        }
    }

    /// The run was on dev.
    fn target(&mut self, results: &RunResults, rules: &DbtRules, stage: Option<&StageName>) {
        let Some(wanted) = rules.target.as_deref().or(stage.map(StageName::as_str)) else { return };
        match results.target.as_deref() {
            Some(target) if target == wanted => {}
            Some(target) => {
                let target = shown(target);
                let message = format!(
                    "dbt built on the target `{target}`, and `{wanted}` was deployed to and tested: build on it, or name \
                     it as `dbt.target` of the policy"
                );
                self.say(Code::DbtTargetMismatch, message);
            }
            None => {
                let message = format!(
                    "`args.target` does not tell on which target dbt built, which depends on a profile then: run `dbt build \
                     --target {wanted}`"
                );
                self.say(Code::DbtTargetMismatch, message);
            }
        }
    }

    /// Every node was built that a build builds, and no other.
    fn nodes(&mut self, manifest: &Facts, results: &RunResults) {
        let without: Vec<_> = manifest.built.iter().filter(|id| !results.results.contains_key(*id)).collect();
        if !without.is_empty() {
            let message = format!(
                "{} of {} nodes of the manifest have no result: {}; run `dbt build` without a selection",
                without.len(),
                manifest.built.len(),
                some(without.iter().map(|it| it.as_str()))
            );
            self.say(Code::DbtBuildPartial, message);
        }
        let is_known = |id: &String| manifest.built.contains(id) || manifest.others.contains(id);
        let strange: Vec<_> = results.results.keys().filter(|id| !is_known(id)).collect();
        if !strange.is_empty() {
            let message = format!(
                "{} of {} results are of nodes that the manifest does not have: {}",
                strange.len(),
                results.results.len(),
                some(strange.iter().map(|it| it.as_str()))
            );
            self.say(Code::DbtRunMismatch, message);
        }
    }

    /// Each came to a good end.
    fn outcomes(&mut self, manifest: &Facts, results: &RunResults, rules: &DbtRules) {
        let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, status) in &results.results {
            let word = match status {
                Status::Good => continue,
                Status::Warned => "warn",
                // Of what has nothing to be built.
                Status::NoOp if !manifest.built.contains(id) => continue,
                Status::NoOp => "no-op",
                Status::Other(word) => word,
            };
            ends.entry(word).or_default().push(id);
        }
        for (word, ids) in ends {
            let listed = some(ids.iter().copied());
            let nodes = if ids.len() == 1 { "1 node".to_owned() } else { format!("{} nodes", ids.len()) };
            if word != "warn" {
                let message = format!("{nodes} of dbt's build ended with `{}`: {listed}", shown(word));
                self.say(Code::DbtBuildFailed, message);
                continue;
            }
            let message = format!("{nodes} of dbt's build ended with a warning: {listed}");
            if let Some(most) = rules.max_warnings.filter(|most| ids.len() as u64 > *most) {
                self.say(Code::OutcomeRefused, format!("{message}; the policy allows {most}"));
            } else {
                self.say(Code::DbtBuildWarned, message);
            }
        }
    }
}

/// Whether the tables that the nodes read are there in the schemas that were tested. `subject` is the manifest's key.
///
/// What a schema of the commit's holds is Flyway's, and missing where it isn't there. Of others nothing tells.
#[must_use]
pub fn check_sources(subject: &str, manifest: &Facts, tables: &Tables) -> Vec<Finding> {
    let folds = manifest.adapter.as_deref() == Some(POSTGRES);
    let (mut missing, mut unchecked) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for (id, relation) in &manifest.sources {
        let Some(relation) = relation else {
            unchecked.push(id.clone());
            continue;
        };
        match looked_up(relation, tables, folds) {
            Lookup::There => {}
            Lookup::Unknown => unchecked.push(relation.to_string()),
            Lookup::Missing(database) => missing.entry(database).or_default().push(relation.to_string()),
        }
    }
    let told = missing.into_iter().map(|(database, tables)| {
        let tables = some(tables.iter().map(String::as_str));
        let message = format!(
            "its nodes read {tables}, and the tested schema of `{database}` has no such table or view: migrate it, or \
             correct the source"
        );
        Finding::new(Code::DbtSourceMissing, subject, message)
    });
    let mut findings: Vec<_> = told.collect();
    if !unchecked.is_empty() {
        let message = format!(
            "nothing of the commit tells whether {} are there, which its nodes read: its schema snapshots don't hold them",
            some(unchecked.iter().map(String::as_str))
        );
        findings.push(Finding::new(Code::DbtSourceUnchecked, subject, message));
    }
    findings
}

/// What the snapshots say of a table.
enum Lookup<'a> {
    There,
    Missing(&'a DatabaseName),
    Unknown,
}

fn looked_up<'a>(relation: &Relation, tables: &'a Tables, folds: bool) -> Lookup<'a> {
    // Elsewhere than in PostgreSQL itself only a database of the same name can be a copy of it, and it may hold more.
    let named: Vec<_> = tables.iter().filter(|(database, _)| relation.is_in(database.as_str())).collect();
    let candidates: Vec<_> = if named.is_empty() && folds { tables.iter().collect() } else { named.clone() };
    if candidates.iter().any(|(_, tables)| tables.iter().any(|it| relation.is(it, folds))) {
        return Lookup::There;
    }
    let has_schema = |tables: &BTreeSet<TableName>| tables.iter().any(|it| relation.is_of_schema(&it.schema, folds));
    let of_schema = candidates.iter().find(|(_, tables)| has_schema(tables)).or(named.first().filter(|_| folds));
    of_schema.map_or(Lookup::Unknown, |(database, _)| Lookup::Missing(database))
}
