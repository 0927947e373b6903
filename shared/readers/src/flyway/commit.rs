//! The gate's check of what Flyway is configured by: what dev used, what is stored, and where the tested schema holds its
//! history must be one.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{DatabaseName, Sha256},
    manifest::{Flyway, Manifest},
};

use super::settings::{Settings, TableName};

/// The schema that PostgreSQL's databases begin with, and whose first a connection is unless it is told another.
const USUAL_SCHEMA: &str = "public";

/// What the commit's stored files say of its databases.
#[derive(Debug, Default)]
pub struct Stored {
    /// What each database's `flyway.toml` sets.
    pub settings: BTreeMap<DatabaseName, Settings>,
    /// The tables of each database's snapshots that have the form of a schema history.
    pub histories: BTreeMap<DatabaseName, BTreeSet<TableName>>,
}

/// Holds what dev's Flyway was configured by against what is stored.
#[must_use]
pub fn check(manifest: &Manifest, stored: &Stored) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (database, flyway) in &manifest.flyway {
        if flyway.configuration.as_ref().is_some_and(|it| it.modules.is_empty()) {
            let message = "Flyway was configured by this file in dev, and it is not stored: store it as \
                           `modules/{MOD-NNN}/schema/{db-name}/flyway.toml`";
            findings.push(Finding::new(Code::FlywayFileMissing, format!("{database}/flyway.toml"), message));
        }
    }
    for database in manifest.databases() {
        scripts(database, manifest, &mut findings);
    }
    elsewhere(manifest, stored, &mut findings);
    findings
}

/// Holds the scripts' configurations that were there in dev against those of the commit.
fn scripts(database: &DatabaseName, manifest: &Manifest, findings: &mut Vec<Finding>) {
    let listed = manifest.modules.iter().flat_map(|module| &module.script_configurations);
    let listed: BTreeMap<&str, Sha256> =
        listed.filter(|it| it.database == *database).map(|it| (it.script.as_str(), it.sha256)).collect();
    let subject = |script: &str| format!("{database}/migrations/{script}.conf");
    let migrations = manifest.modules.iter().flat_map(|module| &module.migrations);
    let scripts: BTreeSet<_> = migrations.filter(|it| it.database == *database).map(|it| it.file.as_str()).collect();
    for script in listed.keys().filter(|script| !scripts.contains(*script)) {
        let message = format!("it is the configuration of `{script}`, which the commit does not have: remove it");
        findings.push(Finding::new(Code::FlywayFileExtra, subject(script), message));
    }
    let Some(flyway) = manifest.flyway.get(database) else { return };
    let none = BTreeMap::new();
    let used = flyway.script_configurations.as_ref().unwrap_or(&none);
    for (script, sha256) in &listed {
        let (code, message) = match used.get(*script) {
            Some(used) if used == sha256 => continue,
            Some(used) => (
                Code::FlywayChecksumMismatch,
                format!("the script ran in dev with the configuration `{used}`, and stored is `{sha256}`"),
            ),
            None => (
                Code::FlywayFileExtra,
                "the script's configuration is stored, and was not there when Flyway validated in dev".to_owned(),
            ),
        };
        findings.push(Finding::new(code, subject(script), message));
    }
    for script in used.keys().filter(|script| !listed.contains_key(script.as_str())) {
        let message = "the script's configuration was there when Flyway validated in dev, and it is not stored";
        findings.push(Finding::new(Code::FlywayFileMissing, subject(script), message));
    }
}

/// Looks for histories in the tested schema where no configuration of the commit says that one lies.
fn elsewhere(manifest: &Manifest, stored: &Stored, findings: &mut Vec<Finding>) {
    let mut known = BTreeSet::new();
    for database in manifest.databases().into_iter().chain(manifest.flyway.keys()) {
        let told = |of: fn(&Flyway) -> Vec<&String>| manifest.flyway.get(database).map(of).unwrap_or_default();
        let parsed = |text: &String| text.parse::<TableName>().ok();
        let history = told(|it| it.history.iter().collect()).into_iter().find_map(parsed);
        let schema = history.map_or_else(|| USUAL_SCHEMA.to_owned(), |it| it.schema);
        let default = Settings::default();
        let settings = stored.settings.get(database).unwrap_or(&default);
        known.insert(settings.history_in(&schema));
        known.extend(told(|it| it.other_histories.iter().collect()).into_iter().filter_map(parsed));
    }
    // Of what is not told, Flyway's own default is the place.
    for (database, histories) in &stored.histories {
        let of_database = stored.settings.get(database);
        for table in histories.difference(&known) {
            findings.push(found_elsewhere(database, table, of_database, "the tested schema"));
        }
    }
}

/// The finding about a history that lies where none should; `place` is what holds it.
#[must_use]
pub fn found_elsewhere(
    database: &DatabaseName,
    table: &TableName,
    settings: Option<&Settings>,
    place: &str,
) -> Finding {
    let ours = settings.map_or_else(|| Settings::default().history_name(), Settings::history_name);
    let message = format!(
        "{place} holds a schema history in `{table}`, and Flyway is configured to keep its own in `{ours}`: to it, what ran \
         there never ran. Is that history this database's, say so in `flyway.toml` (`defaultSchema`, `table`, or an \
         environment's `schemas`); is it another module's, name it in `other_histories`"
    );
    Finding::new(Code::FlywayHistoryElsewhere, database.as_str(), message)
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
