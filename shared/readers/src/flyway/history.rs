//! The triple check of a stage's `flyway_schema_history`: the manifest's checksums, the files and the rows must agree.
//!
//! `flyway validate` compares files and rows only. `flyway repair` makes them agree again: it rewrites a row's
//! description, type and checksum (not its script), removes rows of failed migrations, and adds a `DELETE` row for each
//! migration whose file is gone. That is seen by what the last promotion recorded.

use std::collections::BTreeMap;

use gatekeeper_model::finding::{Code, Finding};
use serde::{Deserialize, Serialize};

use super::{
    files::MigrationFile,
    migration_name::{MigrationKind, MigrationName, Version},
    settings::Settings,
};

/// A row of `flyway_schema_history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The row's number, ascending as migrations ran. 0 is the row of a schema that Flyway created.
    pub installed_rank: i32,
    /// The version as the file's name spells it, with dots; nothing for repeatables.
    pub version: Option<String>,
    /// The file name's description, at most 200 UTF-16 units.
    pub description: String,
    /// `SQL`, `SQL_BASELINE`, `SCHEMA`, `BASELINE`, `DELETE`, `JDBC`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The file's path below its location as it was when it ran.
    pub script: String,
    /// Flyway's checksum; nothing in rows that Flyway writes for itself.
    pub checksum: Option<i32>,
    /// The role that ran it.
    pub installed_by: String,
    /// When it ran. Text is compared, so it must be read in one time zone and format always.
    pub installed_on: String,
    /// How long it ran, in milliseconds.
    pub execution_time: i32,
    /// Whether it succeeded. On PostgreSQL a failed one has a row only if it ran outside of a transaction.
    pub success: bool,
}

impl HistoryRow {
    /// Its columns with their values in words.
    fn columns(&self) -> [(&'static str, String); 9] {
        let null = || "null".to_owned();
        [
            ("version", self.version.clone().unwrap_or_else(null)),
            ("description", self.description.clone()),
            ("type", self.kind.clone()),
            ("script", self.script.clone()),
            ("checksum", self.checksum.map_or_else(null, |it| it.to_string())),
            ("installed_by", self.installed_by.clone()),
            ("installed_on", self.installed_on.clone()),
            ("execution_time", self.execution_time.to_string()),
            ("success", self.success.to_string()),
        ]
    }

    fn parsed_version(&self) -> Option<Version> {
        self.version.as_ref()?.parse().ok()
    }

    fn finding(&self, code: Code, database: &str, table: &str, message: impl std::fmt::Display) -> Finding {
        let subject = format!("{database}/{table}/{}", self.installed_rank);
        Finding::new(code, subject, format!("`{}` {message}", self.script))
    }
}

/// What the rows say of versions.
struct Applied {
    /// The highest version that a baseline stands for: nothing up to it runs any more.
    baseline: Option<Version>,
    /// The highest version.
    highest: Option<Version>,
    /// All versions of `SQL` rows.
    versions: Vec<Version>,
}

impl Applied {
    fn of(rows: &[HistoryRow]) -> Self {
        let of_kind = |kinds: &[&str]| -> Vec<Version> {
            rows.iter()
                .filter(|row| kinds.contains(&row.kind.as_str()))
                .filter_map(HistoryRow::parsed_version)
                .collect()
        };
        let baseline = of_kind(&["BASELINE", "SQL_BASELINE"]).into_iter().max();
        let versions = of_kind(&["SQL"]);
        Self { highest: versions.iter().max().max(baseline.as_ref()).cloned(), baseline, versions }
    }

    /// Whether a version has a row, or is covered by a baseline.
    fn covers(&self, version: &Version) -> bool {
        self.baseline.as_ref().is_some_and(|baseline| version <= baseline) || self.versions.contains(version)
    }
}

/// Checks the rows of a stage's history against the commit's `files` and the manifest's checksums (`claimed`).
///
/// Each row must have succeeded, in ascending order of versions, and be of a file with its name, description and
/// checksum; in which folder the file lies may have changed, as Flyway allows. Versions up to a baseline need no row.
/// Files without a row are pending and fine, unless a higher version ran already: Flyway refuses those, but for
/// `outOfOrder` in the `settings`. A `DELETE` row is
/// the trace of a repair. A repeatable may have any checksum: another than its file's means that it runs again
/// ([`pending`]). `before` are the rows as the last promotion left them: each must be there as it was, and none between.
#[must_use]
pub fn check(
    database: &str,
    files: &[MigrationFile<'_>],
    claimed: &BTreeMap<String, Option<i32>>,
    rows: &[HistoryRow],
    before: Option<&[HistoryRow]>,
    settings: &Settings,
) -> Vec<Finding> {
    let named = named(files);
    let table = &settings.history_name();
    let mut findings = Vec::new();
    let mut in_order: Vec<_> = rows.iter().collect();
    in_order.sort_by_key(|row| row.installed_rank);
    let (mut highest, mut seen): (Option<Version>, Vec<Version>) = (None, Vec::new());
    for row in in_order {
        let mismatch = |message: String| row.finding(Code::FlywayHistoryMismatch, database, table, message);
        if !row.success {
            findings.push(mismatch("failed: take back by hand what it left half done, then remove its row".to_owned()));
        }
        if let Some(version) = row.parsed_version().filter(|_| row.kind != "DELETE") {
            match &highest {
                // In whatever order they ran, none runs twice.
                Some(higher) if settings.out_of_order && version < *higher && !seen.contains(&version) => {}
                Some(higher) if version <= *higher => findings.push(mismatch(format!(
                    "is version `{version}` and ran after `{higher}`: out of order, by `outOfOrder` or by a hand"
                ))),
                _ => highest = Some(version.clone()),
            }
            seen.push(version);
        }
        findings.extend(row_against_file(row, &named, claimed, rows).map(mismatch));
    }
    if !settings.out_of_order {
        findings.extend(too_late(database, &named, rows));
    }
    findings.extend(before.into_iter().flat_map(|before| rewritten(database, table, rows, before)));
    findings
}

/// The migrations that `flyway migrate` would run, in its order.
///
/// Versions without a row, above any baseline; on a database without versions the newest baseline migration in place of
/// the versions up to it; repeatables without a row, or whose newest row has another checksum than the file. A repeatable
/// that holds a placeholder and has a row is not told: whether it runs again depends on values that are not known here.
/// So nothing is pending right after a migration.
#[must_use]
pub fn pending<'a>(files: &[MigrationFile<'a>], rows: &[HistoryRow]) -> Vec<&'a str> {
    let mut applied = Applied::of(rows);
    let mut named = named(files);
    named.sort_by_key(|(_, name)| name.place());
    let starts_with = if applied.highest.is_none() {
        named.iter().filter_map(|(_, name)| baseline_version(name)).max().cloned()
    } else {
        None
    };
    applied.baseline = applied.baseline.or_else(|| starts_with.clone());
    let runs = |(file, name): &(MigrationFile<'a>, MigrationName)| match &name.kind {
        MigrationKind::Versioned(version) => !applied.covers(version),
        MigrationKind::Baseline(version) => starts_with.as_ref() == Some(version),
        MigrationKind::Repeatable => newest_run(rows, &name.recorded_description())
            .is_none_or(|row| file.scanned.is_some_and(|it| !it.placeholders && Some(it.checksum) != row.checksum)),
        MigrationKind::Undo(_) | MigrationKind::Callback(_) => false,
    };
    named.iter().filter(|it| runs(it)).map(|(file, _)| file.path).collect()
}

fn baseline_version(name: &MigrationName) -> Option<&Version> {
    match &name.kind {
        MigrationKind::Baseline(version) => Some(version),
        _ => None,
    }
}

/// The files whose names Flyway knows.
fn named<'a>(files: &[MigrationFile<'a>]) -> Vec<(MigrationFile<'a>, MigrationName)> {
    files.iter().filter_map(|file| Some((*file, MigrationName::parse(file.path).ok()?))).collect()
}

/// The newest row of a repeatable, which Flyway knows by its description.
fn newest_run<'a>(rows: &'a [HistoryRow], description: &str) -> Option<&'a HistoryRow> {
    let runs = rows.iter().filter(|row| row.version.is_none() && row.kind == "SQL" && row.description == description);
    runs.max_by_key(|row| row.installed_rank)
}

/// What is wrong with a row, beside its success and order.
fn row_against_file(
    row: &HistoryRow,
    files: &[(MigrationFile<'_>, MigrationName)],
    claimed: &BTreeMap<String, Option<i32>>,
    rows: &[HistoryRow],
) -> Option<String> {
    let find = |kind: &MigrationKind| files.iter().find(|(_, name)| name.kind == *kind);
    let file = match (row.kind.as_str(), row.version.as_deref()) {
        ("SCHEMA" | "BASELINE", _) => return None,
        ("DELETE", _) => {
            return Some(
                "is marked as deleted: `flyway repair` ran while its file was missing, put the file back and \
                         remove this row"
                    .to_owned(),
            );
        }
        ("SQL" | "SQL_BASELINE", Some(text)) => {
            let Ok(version) = text.parse() else {
                return Some(format!("has the version `{text}`, which no migration file can have here"));
            };
            let baseline = row.kind == "SQL_BASELINE";
            find(&if baseline { MigrationKind::Baseline(version) } else { MigrationKind::Versioned(version) })
        }
        ("SQL", None) => {
            if newest_run(rows, &row.description).is_some_and(|newest| newest.installed_rank > row.installed_rank) {
                return None;
            }
            let same = |name: &MigrationName| {
                name.kind == MigrationKind::Repeatable && name.recorded_description() == row.description
            };
            files.iter().find(|(_, name)| same(name))
        }
        (kind, _) => return Some(format!("is of type `{kind}`: only SQL files are run here")),
    };
    let Some((file, name)) = file else {
        return Some("ran on this stage, and the commit has no such file: promote a commit that has".to_owned());
    };
    if name.kind == MigrationKind::Repeatable {
        return None;
    }
    let (path, script) = (file_name(file.path), file_name(&row.script));
    if path != script {
        return Some(format!("is `{}` in the commit: give it its old name again", file.path));
    }
    if name.recorded_description() != row.description {
        return Some(format!("has the description `{}` in the history: the row was changed", row.description));
    }
    let claim = claimed.get(file.path).copied().flatten();
    let scanned = file.scanned.map(|it| it.checksum);
    let differs = |other: Option<i32>| other.is_some() && other != row.checksum;
    if differs(claim) || differs(scanned) {
        let told = |it: Option<i32>| it.map_or_else(|| "none".to_owned(), |it| format!("`{it}`"));
        return Some(format!(
            "has the checksum {} in the history, {} in the manifest and {} as it is stored: it was edited after it ran, or \
             the row was",
            told(row.checksum),
            told(claim),
            told(scanned)
        ));
    }
    None
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Versions that have no row although a higher one has: Flyway runs them only with `outOfOrder`, which is off.
fn too_late(database: &str, files: &[(MigrationFile<'_>, MigrationName)], rows: &[HistoryRow]) -> Vec<Finding> {
    let applied = Applied::of(rows);
    let late = |(file, name): &(MigrationFile<'_>, MigrationName)| {
        let (MigrationKind::Versioned(version), Some(highest)) = (&name.kind, &applied.highest) else { return None };
        let message =
            format!("has not run, and version `{highest}` has: give it a higher version, Flyway won't run it");
        let subject = format!("{database}/migrations/{}", file.path);
        let late = !applied.covers(version) && version < highest;
        late.then(|| Finding::new(Code::FlywayHistoryMismatch, subject, format!("`{}` {message}", file.path)))
    };
    files.iter().filter_map(late).collect()
}

/// What changed in the rows that were there.
fn rewritten(database: &str, table: &str, rows: &[HistoryRow], before: &[HistoryRow]) -> Vec<Finding> {
    let now: BTreeMap<_, _> = rows.iter().map(|row| (row.installed_rank, row)).collect();
    let then: BTreeMap<_, _> = before.iter().map(|row| (row.installed_rank, row)).collect();
    let mut findings = Vec::new();
    for (rank, was) in &then {
        let Some(is) = now.get(rank) else {
            let message = "had this row when the last promotion ended, and it is gone";
            findings.push(was.finding(Code::FlywayHistoryRewritten, database, table, message));
            continue;
        };
        let changed: Vec<_> = was.columns().into_iter().zip(is.columns()).filter(|(was, is)| was != is).collect();
        if !changed.is_empty() {
            let told: Vec<_> = changed
                .iter()
                .map(|((column, was), (_, is))| format!("`{column}` was `{was}` and is `{is}`"))
                .collect();
            let message = format!("has another row than when the last promotion ended: {}", told.join(", "));
            findings.push(was.finding(Code::FlywayHistoryRewritten, database, table, message));
        }
    }
    let (Some(first), Some(last)) = (then.keys().next(), then.keys().next_back()) else { return findings };
    // Of a long history only the newest rows were recorded: what is older than those is no news. Ranks begin with 0 or 1.
    let first = if *first <= 1 { i32::MIN } else { *first };
    for (rank, row) in now.range(first..*last).filter(|(rank, _)| !then.contains_key(rank)) {
        let message = format!("has row {rank}, which was not there when the last promotion ended with later ones");
        findings.push(row.finding(Code::FlywayHistoryRewritten, database, table, message));
    }
    findings
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
