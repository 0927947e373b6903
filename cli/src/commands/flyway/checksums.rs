//! `gatekeeper flyway checksums`: what Flyway will record of migration files, told without Flyway, a JVM or a database.

use std::{fmt::Write as _, path::PathBuf};

use gatekeeper_model::ids::DatabaseName;
use gatekeeper_readers::flyway::migration_name::MigrationKind;
use serde_json::json;

use super::part;
use crate::{
    exit::Answer,
    migrations::{Migration, Migrations},
    output::{Output, bad, faint, good},
    reason::{self, Reason, count},
};

const EXAMPLES: &str = "\
Exit codes:
  0  Flyway would take these files
  1  it would not, or the gate would not: each reason is told
  2  wrong use

The JSON is the manifest's `flyway` with `\"validated\": false`, because no database was looked at: only
`gatekeeper flyway validate` says more. With exit code 1 it is `{\"reasons\": [{\"code\", \"message\", \"subject\"}]}`.
The checksum of a repeatable migration with placeholders is `null`: Flyway replaces them first.

Examples:
  gatekeeper flyway checksums migrations/payments --database payments
  gatekeeper flyway checksums migrations/payments --database payments --output json";

/// Tells Flyway's checksums of migration files, without Flyway and a database
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The folder of the migrations; only its `.sql` files are looked at, also those in folders below it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The database, as the manifest calls it
    #[arg(long, value_name = "NAME")]
    database: DatabaseName,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let migrations = Migrations::read(&args.folder)?;
    let findings = migrations.findings(&args.database);
    let reasons: Vec<Reason> = findings.iter().map(Reason::from).collect();
    if reasons.is_empty() {
        let heading = format!("{}  {}", good(args.database.as_str()), count(migrations.0.len(), "file"));
        let text = format!("{heading}\n{}", table(&migrations));
        output.result(&part(&args.database, false, migrations.checksums()), &text)?;
    } else {
        let heading = format!("{}  {}", bad(args.database.as_str()), count(migrations.0.len(), "file"));
        let text = format!("{heading}\n{}{}", table(&migrations), reason::reasons(&reasons, None));
        output.result(&json!({ "reasons": reasons }), &text)?;
    }
    Ok(Answer::yes_if(reasons.is_empty()))
}

fn table(migrations: &Migrations) -> String {
    let width =
        |text: fn(&Migration) -> String| migrations.0.iter().map(|it| text(it).chars().count()).max().unwrap_or(0);
    let (paths, kinds) = (width(|it| it.path.clone()), width(kind));
    let mut text = String::new();
    for it in &migrations.0 {
        let checksum = match it.checksum() {
            Some(checksum) => format!("{checksum:>11}"),
            None if !it.is_utf8() => bad("not UTF-8"),
            None if it.is_recorded() => faint("known once its placeholders are replaced"),
            None => faint("not recorded"),
        };
        let _ = writeln!(text, "  {:paths$}  {:kinds$}  {checksum}", it.path, kind(it));
    }
    text
}

fn kind(migration: &Migration) -> String {
    match migration.kind() {
        Some(MigrationKind::Versioned(version)) => format!("versioned {version}"),
        Some(MigrationKind::Repeatable) => "repeatable".to_owned(),
        Some(MigrationKind::Baseline(version)) => format!("baseline {version}"),
        Some(MigrationKind::Undo(version)) => format!("undo {version}"),
        Some(MigrationKind::Callback(event)) => format!("callback {event}"),
        None => "unknown".to_owned(),
    }
}
