//! The commit's databases: what Flyway validated in dev, what the stage's history holds, and whether the schemas agree.

use std::collections::BTreeMap;

use gatekeeper_model::{ids::DatabaseName, manifest::Manifest, policy::Condition, store_key::ArtefactPath};
use gatekeeper_promotion::{
    record::{SchemaComparison, UnreadFact},
    stage::SchemaParity,
};
use gatekeeper_readers::flyway::history::HistoryRow;

use super::{Case, Checks, counted};
use crate::model::{Database, Holds, Migration, Part};

const READ: &str = "what the promotion's record tells of the databases can be read";

/// What the record tells; nothing where it can't be read, and then the check that it can fails.
fn read<T>(told: Result<BTreeMap<DatabaseName, T>, UnreadFact>, checks: &mut Checks) -> BTreeMap<DatabaseName, T> {
    match told {
        Ok(told) => told,
        Err(unread) => {
            checks.fails(Part::Databases, READ, unread.to_string());
            BTreeMap::new()
        }
    }
}

/// Tells of the databases, and checks them.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Vec<Database> {
    let Some(manifest) = case.manifest() else { return Vec::new() };
    // What can't be read of the record is told once, and nothing else is concluded from it.
    let (histories, comparisons) = case.record().map_or_else(Default::default, |record| {
        let histories = read(record.schema_histories(), checks);
        (histories, read(record.schema_comparisons(), checks))
    });
    let planned =
        case.record().iter().flat_map(|record| &record.plan.databases).map(|it| &it.database).collect::<Vec<_>>();
    let mut databases = Vec::new();
    for name in manifest.databases() {
        let history = histories.get(name);
        let database = database(case, manifest, name, history, comparisons.get(name));
        validated(case, &database, checks);
        // A stage without this database was given none of it.
        if planned.contains(&name) {
            configured(&database, case, checks);
            migrated(case, &database, history, checks);
            parity(&database, checks);
        }
        databases.push(database);
    }
    databases
}

fn database(
    case: &Case<'_>,
    manifest: &Manifest,
    name: &DatabaseName,
    history: Option<&Vec<HistoryRow>>,
    parity: Option<&SchemaComparison>,
) -> Database {
    let flyway = manifest.flyway.get(name);
    let files: BTreeMap<String, _> = manifest
        .modules
        .iter()
        .flat_map(|module| &module.migrations)
        .filter(|it| it.database == *name)
        .map(|it| (it.file.to_string(), it.sha256))
        .collect();
    let checksums = flyway.map(|flyway| flyway.checksums.clone()).unwrap_or_default();
    let migrations = files.iter().map(|(file, sha256)| Migration {
        file: file.clone(),
        checksum: checksums.get(file).copied().flatten(),
        stage_checksum: history.and_then(|rows| rows.iter().rev().find(|row| row.script == *file)?.checksum),
        sha256: Some(*sha256),
    });
    let snapshot = manifest.modules.iter().find_map(|module| {
        let schema = module.schemas.iter().find(|schema| schema.database == *name)?;
        Some((ArtefactPath::Schema(module.id.clone(), name.clone()).of(&case.commit), schema.sha256))
    });
    let scripts = manifest.modules.iter().flat_map(|module| &module.script_configurations);
    let scripts = scripts.filter(|it| it.database == *name).map(|it| (format!("{}.conf", it.script), it.sha256));
    Database {
        database: name.clone(),
        flyway_validated: flyway.map(|flyway| flyway.validated),
        flyway_configuration: flyway.and_then(|flyway| flyway.configuration.as_ref()).map(|it| it.sha256),
        script_configurations: scripts.collect(),
        migrations: migrations.collect(),
        snapshot_key: snapshot.as_ref().map(|(key, _)| key.clone()),
        snapshot_sha256: snapshot.map(|(_, sha256)| sha256),
        parity: parity.cloned(),
    }
}

fn validated(case: &Case<'_>, database: &Database, checks: &mut Checks) {
    if database.migrations.is_empty() {
        return;
    }
    let name = format!("flyway validated the migrations of `{}` against dev", database.database);
    let detail = counted(database.migrations.len(), "migration");
    match database.flyway_validated {
        Some(so) => checks.add(Part::Databases, &name, Holds::of(so), detail),
        None if !case.required(Condition::Flyway) => {
            checks.waived(Part::Databases, &name, "the manifest tells no result, and the policy waives `flyway`");
        }
        None => checks.fails(Part::Databases, &name, "the manifest tells no result of flyway validate"),
    }
}

/// The promotion configured Flyway by the very files that dev did.
fn configured(database: &Database, case: &Case<'_>, checks: &mut Checks) {
    let planned = case.record().and_then(|it| it.plan.databases.iter().find(|it| it.database == database.database));
    let Some(planned) = planned else { return };
    let ran: BTreeMap<_, _> =
        planned.script_configurations.iter().map(|it| (format!("{}.conf", it.script), it.file.sha256)).collect();
    let of_stage = planned.configuration.as_ref().map(|it| it.sha256);
    if database.flyway_configuration.is_none()
        && database.script_configurations.is_empty()
        && of_stage.is_none()
        && ran.is_empty()
    {
        return;
    }
    let name = format!("the stage's `{}` was migrated by dev's configuration of Flyway", database.database);
    let same = of_stage == database.flyway_configuration && ran == database.script_configurations;
    let detail = match of_stage {
        Some(sha256) => format!("`flyway.toml` is `{sha256}`, and {}", counted(ran.len(), "script's own")),
        None => format!("no `flyway.toml`, and {}", counted(ran.len(), "script's own")),
    };
    checks.add(Part::Databases, &name, Holds::of(same), detail);
}

fn migrated(case: &Case<'_>, database: &Database, history: Option<&Vec<HistoryRow>>, checks: &mut Checks) {
    if database.migrations.is_empty() {
        return;
    }
    let name = format!("the stage's `{}` ran the same migrations, by Flyway's checksums", database.database);
    if database.flyway_validated.is_none() && !case.required(Condition::Flyway) {
        let detail = "the manifest tells no checksums to compare with, and the policy waives `flyway`";
        return checks.waived(Part::Databases, &name, detail);
    }
    let Some(history) = history else {
        return checks.unknown(
            Part::Databases,
            &name,
            "the promotion's record does not tell the stage's schema history",
        );
    };
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for migration in &database.migrations {
        match history.iter().rev().find(|row| row.script == migration.file) {
            Some(row) if !row.success => wrong.push(format!("`{}` failed in the stage", migration.file)),
            Some(row) if row.checksum == migration.checksum => seen += 1,
            Some(row) => {
                let told = |checksum: Option<i32>| checksum.map_or_else(|| "none".to_owned(), |it| it.to_string());
                let (stage, dev) = (told(row.checksum), told(migration.checksum));
                wrong.push(format!("`{}` has checksum {stage} in the stage and {dev} in dev", migration.file));
            }
            // Callbacks have no row, and of a long history the record keeps the newest.
            None => {}
        }
    }
    let all = counted(database.migrations.len(), "migration");
    let detail = format!("{seen} of {all} by their rows; the promotion held the others against the whole history");
    let detail = if seen == database.migrations.len() { all } else { detail };
    checks.none_wrong(Part::Databases, &name, &wrong, detail);
}

fn parity(database: &Database, checks: &mut Checks) {
    let name = format!("the stage's schema of `{}` is the one that was tested", database.database);
    let part = Part::Databases;
    match &database.parity {
        None => checks.unknown(part, &name, "the promotion's record does not tell of a comparison"),
        Some(parity) if parity.equal && parity.tested_sha256 == parity.live_sha256 => {
            checks.holds(part, &name, format!("both are `{}` in normal form", parity.live_sha256));
        }
        // Digests differ by what one of the servers can't hold.
        Some(SchemaComparison { equal: true, server_limits: Some(limits), server_limits_accepted: true, .. }) => {
            checks.holds(part, &name, format!("the stage accepts what one server can't hold; {limits}"));
        }
        Some(parity) => {
            let limits = parity.server_limits.as_ref().map(ToString::to_string);
            let difference = parity.difference.clone().or(limits);
            let difference = difference.unwrap_or_else(|| "their digests differ".to_owned());
            match parity.mode {
                SchemaParity::Required => checks.fails(part, &name, format!("they differ: {difference}")),
                // The stage's entry of the database says so, or whoever asked for a rollback accepted it.
                SchemaParity::Reported => {
                    checks.waived(part, &name, format!("they differ, which was only to be reported: {difference}"));
                }
            }
        }
    }
}
