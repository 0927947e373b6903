//! `gatekeeper flyway validate`: are the files of a commit and the history of the dev database at one (ADR-053 CI step 4)?

use std::{fmt::Write as _, fs::File, path::PathBuf};

use anyhow::Context as _;
use gatekeeper_database::{
    Database, DatabaseError, History, InvalidMigration, Migrations as FlywayMigrations, Validated,
};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::DatabaseName,
    manifest::Flyway,
};
use gatekeeper_readers::flyway::{checksum::checksum_with, commit, history, history::HistoryRow, settings::TableName};
use serde::Serialize;

use super::Part;
use crate::{
    database::DatabaseArgs,
    exit::Answer,
    flyway_configuration::{self, Configuration, Surroundings},
    migrations::{self, Checksums, Migrations},
    output::{Output, bad, faint, good},
    reason::{self, Reason, count},
    whole_file::FlywayPart,
};

const EXAMPLES: &str = "\
Exit codes:
  0  valid; migrations that the database has not run yet are fine
  1  not valid: each reason is told
  2  wrong use
  3  the database could not be reached, or `flyway` or `psql` is missing

Flyway and PostgreSQL's `psql` are taken from the PATH. Nothing is changed in the database.

Flyway is configured by a `flyway.toml`, and by nothing else: the one that is given, or that lies beside the folder of the
migrations, or in the folder that the command is started in. `flyway -configFiles=FILE migrate` must take the same one, and
the commit carries it as `modules/{MOD-NNN}/schema/{db-name}/flyway.toml`.

Examples:
  export DATABASE_URL='postgresql://migrate_user:password@ep-cool-name-123456.ap-southeast-2.aws.neon.tech/payments'
  gatekeeper flyway validate migrations/payments --database payments --write build/flyway.json
  gatekeeper flyway validate migrations/payments --database payments --placeholder owner=payments_app
  gatekeeper flyway validate db/payments/migrations --database payments --configuration db/payments/flyway.toml
  gatekeeper flyway validate migrations/payments --database payments --output json \\
      --secret-arn arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:dev/payments-AbCdEf";

/// Tells whether migration files and the database's schema history agree, by Flyway itself
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The folder of the migrations; only its `.sql` and `.sql.conf` files are looked at, also those in folders below it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The `flyway.toml` that Flyway is configured by
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// A schema history in the same database that is another module's; repeat it for each
    #[arg(long = "other-history", value_name = "SCHEMA.TABLE")]
    other_histories: Vec<TableName>,
    /// Writes the manifest's `flyway` to this JSON file, what it says of other databases is kept; it says
    /// `"validated": false` until the database has agreed
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// What stands for a placeholder of the migrations; repeat it for each
    #[arg(long = "placeholder", value_name = "NAME=VALUE", value_parser = placeholder)]
    placeholders: Vec<(String, String)>,
}

fn placeholder(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a placeholder is written as `name=value`".to_owned()),
    }
}

/// What the command found out.
#[derive(Debug, Serialize)]
struct Report {
    database: DatabaseName,
    valid: bool,
    /// `None` where the files alone were refused, and the database was not asked.
    asked: Option<Asked>,
    reasons: Vec<Reason>,
    flyway: Part,
}

/// What the database was found to be.
#[derive(Debug, Serialize)]
struct Asked {
    flyway_version: String,
    server_version: String,
    /// The newest version that has run.
    schema_version: Option<String>,
    /// The rows of the history.
    applied: usize,
    /// The files that `flyway migrate` would run.
    pending: Vec<String>,
}

pub(super) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let name = &args.database.name;
    // Flyway reads a copy, so that its files are those of the checksums, and no others.
    let copy = tempfile::tempdir().context("a temporary folder could not be made")?;
    migrations::copy(&args.folder, copy.path())?;
    let around = Surroundings::of_process();
    let configuration = flyway_configuration::find(args.configuration.as_deref(), &args.folder, &around)?;
    let Configuration { settings, file, findings: mut refused, placeholders: mut given } = configuration;
    given.extend(args.placeholders.iter().cloned());
    let files = Migrations::read(copy.path())?.under(&settings);
    let settings = settings.with_placeholders(&given);

    let mut written = args.write.as_deref().map(FlywayPart::open).transpose()?;
    let mut flyway = Flyway {
        configuration: file,
        script_configurations: Some(files.script_configurations()),
        other_histories: args.other_histories.iter().map(ToString::to_string).collect(),
        ..Flyway::of_checksums(false, files.checksums())
    };
    if let Some(written) = &mut written {
        // A run that ends here, for whatever reason, leaves no `true` of an earlier one.
        written.write(name, &flyway)?;
    }
    let mut findings = files.findings(name);
    findings.append(&mut refused);
    let mut asked = None;
    if findings.is_empty() {
        let database = args.database.find().await?;
        let migrations = FlywayMigrations { folder: copy.path().to_owned(), settings };
        match ask(&database, &migrations).await? {
            Err(refused) => findings.push(Finding::new(Code::FlywayValidateFailed, name.as_str(), refused)),
            Ok((validated, history)) => {
                let settings = &migrations.settings;
                flyway.history = Some(format!("{}.{}", history.schema, settings.table()));
                let elsewhere = history.unaccounted(&[], &flyway.other_histories).into_iter();
                let elsewhere = elsewhere.map(|it| commit::found_elsewhere(name, it, Some(settings), "the database"));
                findings.extend(elsewhere);
                findings.extend(history.missing(name.as_str(), settings));
                let rows = history.rows.unwrap_or_default();
                replaced(&mut flyway.checksums, &migrations, &validated, &rows)?;
                findings.extend(validated.invalid.iter().map(|it| finding(name, it, &rows)));
                if !validated.successful && validated.invalid.is_empty() {
                    findings.push(Finding::new(Code::FlywayValidateFailed, name.as_str(), &validated.message));
                }
                let claimed = &flyway.checksums;
                findings.extend(history::check(name.as_str(), &files.files(), claimed, &rows, None, settings));
                asked = Some(Asked {
                    pending: pending(&validated).map(str::to_owned).collect(),
                    flyway_version: validated.flyway_version,
                    server_version: history.server_version,
                    schema_version: validated.info.schema_version,
                    applied: rows.len(),
                });
            }
        }
    }
    let reasons: Vec<Reason> = findings.iter().map(Reason::from).collect();
    let valid = reasons.is_empty();
    flyway.validated = valid;
    let report = Report { database: name.clone(), valid, asked, reasons, flyway: [(name.clone(), flyway)].into() };
    if let Some(written) = &mut written {
        for (database, flyway) in &report.flyway {
            written.write(database, flyway)?;
        }
    }
    output.result(&report, &text(&report))?;
    Ok(Answer::yes_if(valid))
}

/// What Flyway and the history say; Flyway's own words where it refuses to compare them.
async fn ask(
    database: &Database,
    migrations: &FlywayMigrations,
) -> anyhow::Result<Result<(Validated, History), String>> {
    match database.validate(migrations).await {
        Ok(validated) => Ok(Ok((validated, database.history(&migrations.settings).await?))),
        Err(refused @ DatabaseError::Flyway { .. }) => Ok(Err(refused.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Fills in the checksums that depend on placeholders: with the given values, or as the database has recorded them.
fn replaced(
    checksums: &mut Checksums,
    migrations: &FlywayMigrations,
    validated: &Validated,
    rows: &[HistoryRow],
) -> anyhow::Result<()> {
    for (path, checksum) in checksums.iter_mut().filter(|(_, checksum)| checksum.is_none()) {
        let file = File::open(migrations.folder.join(path)).context("a copy of a migration could not be read")?;
        let recorded = || {
            let is_pending = pending(validated).any(|pending| pending == path);
            rows.iter().rev().find(|row| row.script == *path && !is_pending)?.checksum
        };
        *checksum = checksum_with(file, &migrations.settings.placeholders)?.ok().or_else(recorded);
    }
    Ok(())
}

fn pending(validated: &Validated) -> impl Iterator<Item = &str> {
    // A repeatable that runs again is told twice: as it ran, `Outdated`, and as it will run.
    validated.info.migrations.iter().filter(|it| it.state == "Pending").map(|it| it.file.as_str())
}

/// What Flyway finds wrong, and what to do about it.
fn finding(database: &DatabaseName, invalid: &InvalidMigration, rows: &[HistoryRow]) -> Finding {
    let InvalidMigration { version, description, file, code, message } = invalid;
    let what = match code.as_str() {
        "CHECKSUM_MISMATCH" => {
            "was edited after it was applied: bring its old text back, and write the change as a new migration"
        }
        "DESCRIPTION_MISMATCH" | "TYPE_MISMATCH" => "was renamed after it was applied: give it its old name again",
        "APPLIED_VERSIONED_MIGRATION_NOT_RESOLVED" | "APPLIED_REPEATABLE_MIGRATION_NOT_RESOLVED" => {
            "was applied, and there is no such file: bring it back; a migration that ran is never removed or renamed"
        }
        "RESOLVED_VERSIONED_MIGRATION_NOT_APPLIED" | "RESOLVED_REPEATABLE_MIGRATION_NOT_APPLIED" => {
            "has not run, and a higher version has: give it a higher version, Flyway won't run it"
        }
        "FAILED_VERSIONED_MIGRATION" | "FAILED_REPEATABLE_MIGRATION" => {
            "failed: take back by hand what it left half done, then remove its row from the history"
        }
        _ => message,
    };
    // Flyway names no file where there is none; the history knows which it was.
    let ran = |row: &&HistoryRow| row.version.as_deref().unwrap_or("") == version && row.description == *description;
    let script = || rows.iter().rfind(ran).map_or_else(|| format!("{version} {description}"), |row| row.script.clone());
    let file = if file.is_empty() { script() } else { file.clone() };
    let subject = format!("{database}/migrations/{file}");
    Finding::new(Code::FlywayValidateFailed, subject, format!("{what} (Flyway: `{code}`)"))
}

fn text(report: &Report) -> String {
    let word = if report.valid { good("valid") } else { bad("invalid") };
    let mut text = format!("{word}  {}", report.database);
    if let Some(asked) = &report.asked {
        let version = asked.schema_version.as_ref().map_or_else(String::new, |it| format!(" at version {it}"));
        let (applied, pending) = (count(asked.applied, "row"), asked.pending.len());
        let tools = format!("Flyway {}, PostgreSQL {}", asked.flyway_version, asked.server_version);
        let _ = writeln!(text, "{version}, {applied} in its schema history, {pending} pending\n{}", faint(&tools));
        for file in &asked.pending {
            let _ = writeln!(text, "  pending  {file}");
        }
    } else {
        text.push_str(", the database was not asked\n");
    }
    text + &reason::reasons(&report.reasons, None)
}
