//! The step itself: `flyway migrate`, and the schema held against the tested one.

use gatekeeper_aws::{
    lambda::{FunctionError, Invocation},
    promotion_step::Begun,
};
use gatekeeper_database::{Database, DatabaseError, FailedMigration, Migrated};
use gatekeeper_model::telemetry::{Logger, chain};
use gatekeeper_promotion::{
    facts::{self, DatabaseFacts, FlywayFailed, FlywayMigrated, FlywayRun, RanMigration},
    plan::{PlannedDatabase, PlannedMigration},
    step::{Direction, Report, ReportStatus, StepAnswer},
};
use gatekeeper_readers::flyway::{
    history,
    history::HistoryRow,
    migration_name::{MigrationKind, MigrationName},
};
use gatekeeper_store::ReadStore;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    LEAST_FOR_A_DATABASE, Step, TO_ANSWER, TO_COMPARE, Trouble,
    check::listed,
    files::{Fetched, configuration},
    parity, secret,
};

/// When to be asked again: at once, for it works while it is asked.
const WAIT_SECONDS: u64 = 1;

/// The most of histories and of migrations that ran in one answer, in bytes each: Step Functions carries 256 KiB from
/// step to step ("Quotas"), and a database may have thousands of migrations.
const MAX_ROWS_BYTES: usize = 64 * 1024;

/// One database's work.
struct Work<'a> {
    planned: &'a PlannedDatabase,
    /// All of the plan's.
    databases: &'a [PlannedDatabase],
    /// Its share of [`MAX_ROWS_BYTES`].
    rows_bytes: usize,
    migrations: &'a [PlannedMigration],
    deadline: Timestamp,
    log: &'a Logger,
}

/// How one database ended: its report's status and detail.
type Outcome = Result<(ReportStatus, String), String>;

impl<S: ReadStore> Step<S> {
    /// Migrates the databases of the plan, one after the other, or only compares them on a way back.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event isn't a step's; `StepError` where the record, the store or Secrets Manager could
    /// not be read, and it may be asked again.
    pub async fn migrate(
        &self,
        event: Value,
        invocation: &Invocation,
    ) -> Result<StepAnswer<DatabaseFacts>, FunctionError> {
        let begun = Begun::<DatabaseFacts>::of(event, &self.records, invocation).await?;
        if let Some(answer) = begun.stopped() {
            return Ok(answer);
        }
        let Begun { record, direction, plan, progress, log, .. } = begun;
        let expected = plan.databases.len();
        if expected == 0 {
            log.info("no database to migrate", json!({"outcome": "done"}));
            return Ok(StepAnswer::of(Vec::new(), 0, WAIT_SECONDS));
        }
        let trouble = |error: Trouble| FunctionError::new("StepError", chain(&*error));
        let client = secret::client(&self.config, record.role_arn.as_deref()).await;
        let name = format!("artefact-gatekeeper {}", record.promotion_id);

        let mut reports: Vec<Report<DatabaseFacts>> = Vec::new();
        for (index, planned) in plan.databases.iter().enumerate() {
            let subject = planned.database.as_str();
            let before = progress.get(index).filter(|it| it.subject == subject && it.ended_at.is_some());
            if let Some(report) = before.filter(|it| it.status != ReportStatus::Failed) {
                reports.push(report.clone());
                continue;
            }
            // What there is no time for is left to the next invocation.
            if index > 0 && self.left(invocation.deadline) < LEAST_FOR_A_DATABASE {
                break;
            }
            let log = log.with("database", subject);
            let work = Work {
                planned,
                databases: &plan.databases,
                rows_bytes: MAX_ROWS_BYTES / expected,
                migrations: &plan.migrations,
                deadline: invocation.deadline,
                log: &log,
            };
            let mut report = Report::begun(subject, (self.clock)());
            let outcome = match secret::target(&client, planned).await.map_err(trouble)? {
                Err(finding) => Err(finding.message),
                Ok(target) => {
                    let database = Database::new(self.tools.clone(), target, name.as_str());
                    if direction == Direction::Forward && !record.rollback {
                        self.forward(&work, &database, &mut report).await.map_err(trouble)?
                    } else {
                        self.compare_only(&work, &database, &mut report).await.map_err(trouble)?
                    }
                }
            };
            // On the way back the stage gets its code whatever its database is like.
            let outcome = match outcome {
                Err(detail) if direction == Direction::Back => Ok((ReportStatus::Unchanged, detail)),
                outcome => outcome,
            };
            let (status, detail) = outcome.unwrap_or_else(|detail| (ReportStatus::Failed, detail));
            let fields = json!({"outcome": status, "detail": detail});
            if status == ReportStatus::Failed {
                log.error("database not migrated", fields);
            } else {
                log.info("database done", fields);
            }
            reports.push(report.ended(status, detail, (self.clock)()));
            if status == ReportStatus::Failed {
                break;
            }
        }
        Ok(StepAnswer::of(reports, expected, WAIT_SECONDS))
    }

    /// Migrates one database where something is pending, and compares its schema.
    async fn forward(
        &self,
        work: &Work<'_>,
        database: &Database,
        report: &mut Report<DatabaseFacts>,
    ) -> Result<Outcome, Trouble> {
        let Work { planned, databases, rows_bytes, migrations, deadline, log } = work;
        let name = planned.database.as_str();
        let fetched = match Fetched::fetch(&self.artefacts, planned, migrations).await? {
            Ok(fetched) => fetched,
            Err(findings) => return Ok(Err(listed(&findings))),
        };
        let settings = fetched.settings();
        let looking = database.clone().within(self.limits(*deadline, TO_COMPARE));
        let before = match looking.history(settings).await {
            Ok(history) => history,
            Err(error) => return Ok(Err(error.to_string())),
        };
        report.facts.server_version = before.server_version.as_str().into();
        report.facts.history_table = format!("{}.{}", before.schema, settings.table()).into();
        if let Some(file) = &planned.configuration {
            report.facts.configuration_sha256 = file.sha256.into();
        }
        let files = fetched.files();
        let mut wrong = self.misplaced(planned, databases, settings, &before).await?;
        wrong.extend(before.missing(name, settings));
        let to_come = before.rows_to_come(settings);
        let rows_before = before.rows.unwrap_or_default();
        wrong.extend(history::check(name, &files, &planned.checksums, &rows_before, None, settings));
        if !wrong.is_empty() {
            remember(report, &rows_before, *rows_bytes);
            return Ok(Err(format!("nothing was migrated: {}", listed(&wrong))));
        }

        let pending = history::pending(&files, &to_come);
        // What depends on placeholders' values, and callbacks that a killed run didn't reach, only Flyway knows.
        let only_flyway_knows = files.iter().any(|file| match MigrationName::parse(file.path).map(|it| it.kind) {
            Ok(MigrationKind::Repeatable) => file.scanned.is_some_and(|it| it.placeholders),
            Ok(MigrationKind::Callback(_)) => true,
            _ => false,
        });
        let mut ran = 0;
        if !pending.is_empty() || only_flyway_knows {
            log.info("flyway migrate begins", json!({"pending": pending}));
            let migrating = database.clone().within(self.limits(*deadline, TO_COMPARE));
            let migrated = migrating.migrate(&fetched.migrations()).await;
            // What is there afterwards is looked at, however Flyway ended.
            let after = database.clone().within(self.limits(*deadline, TO_ANSWER)).history(settings).await;
            let rows = match after {
                Ok(history) => history.rows.unwrap_or_default(),
                Err(error) => {
                    let ended = migrated.err().map_or_else(|| "it was migrated".to_owned(), |error| error.to_string());
                    return Ok(Err(format!("{ended}; and its history can't be read afterwards: {error}")));
                }
            };
            remember(report, &rows, *rows_bytes);
            let new = rows.get(rows_before.len()..).unwrap_or_default();
            let migrated = match migrated {
                Ok(migrated) => migrated,
                Err(error) => {
                    report.facts.flyway = told_of_failure(&error, new, *rows_bytes).into();
                    return Ok(Err(failure(&error, new, &settings.history_name())));
                }
            };
            ran = migrated.ran.len();
            report.facts.flyway = told(&migrated, *rows_bytes).into();
            let wrong = history::check(name, &files, &planned.checksums, &rows, Some(&rows_before), settings);
            if !wrong.is_empty() {
                return Ok(Err(format!("it was migrated, and its history is wrong: {}", listed(&wrong))));
            }
        } else {
            remember(report, &rows_before, *rows_bytes);
        }

        let database = database.clone().within(self.limits(*deadline, TO_ANSWER));
        let did = match ran {
            0 => "it had run every migration already".to_owned(),
            1 => "1 migration ran".to_owned(),
            ran => format!("{ran} migrations ran"),
        };
        let parity = match parity::parity(&self.artefacts, &database, planned).await? {
            Ok(parity) => parity,
            Err(error) => return Ok(Err(format!("{did}, but {error}"))),
        };
        parity.write_down(report);
        let status = if ran == 0 { ReportStatus::Unchanged } else { ReportStatus::Applied };
        Ok(match parity.refusal() {
            Some(difference) => Err(format!("{did}, but {}:\n{difference}", parity.words())),
            None => Ok((status, format!("{did}, and {}", parity.words()))),
        })
    }

    /// Databases are never rolled back: on a way back, and in a rollback, the schema is compared.
    async fn compare_only(
        &self,
        work: &Work<'_>,
        database: &Database,
        report: &mut Report<DatabaseFacts>,
    ) -> Result<Outcome, Trouble> {
        let database = database.clone().within(self.limits(work.deadline, TO_ANSWER));
        // The next promotion holds its history against this one too.
        let settings = match configuration(&self.artefacts, work.planned).await? {
            Ok(settings) => settings,
            Err(findings) => return Ok(Err(format!("databases are never rolled back, and {}", listed(&findings)))),
        };
        match database.history(&settings).await {
            Ok(history) => remember(report, &history.rows.unwrap_or_default(), work.rows_bytes),
            Err(error) => return Ok(Err(format!("databases are never rolled back, and {error}"))),
        }
        let parity = match parity::parity(&self.artefacts, &database, work.planned).await? {
            Ok(parity) => parity,
            Err(error) => return Ok(Err(format!("databases are never rolled back, and {error}"))),
        };
        parity.write_down(report);
        let detail = format!("databases are never rolled back; {} with this commit", parity.words());
        Ok(match parity.refusal() {
            Some(difference) => Err(format!("{detail}:\n{difference}")),
            None => Ok((ReportStatus::Unchanged, detail)),
        })
    }
}

impl parity::Parity {
    /// Writes it into the report, where the attestation of the promotion takes it from.
    fn write_down(&self, report: &mut Report<DatabaseFacts>) {
        let facts = &mut report.facts;
        facts.schema_parity = self.comparison.clone().into();
        if let Some(version) = &self.server_version {
            facts.server_version = version.as_str().into();
        }
        if let Some(version) = &self.pg_dump_version {
            facts.pg_dump_version = version.as_str().into();
        }
    }
}

/// The history goes into the record, so that the next promotion sees what was changed in it since: the newest rows, as
/// many as fit. Older ones are still held against the files and the manifest.
fn remember(report: &mut Report<DatabaseFacts>, rows: &[HistoryRow], most: usize) {
    report.facts.history = newest(rows, most).to_vec().into();
    report.facts.history_rows = rows.len().into();
}

/// The last of `rows` that together take no more than `most` bytes as JSON.
fn newest<T: Serialize>(rows: &[T], most: usize) -> &[T] {
    let mut left = most;
    let fits = |row: &&T| {
        let bytes = serde_json::to_vec(row).map_or(usize::MAX, |bytes| bytes.len() + 1);
        left.checked_sub(bytes).map(|rest| left = rest).is_some()
    };
    let count = rows.iter().rev().take_while(fits).count();
    rows.get(rows.len() - count..).unwrap_or_default()
}

/// What Flyway says of a migration, as a fact.
fn told(migrated: &Migrated, most: usize) -> FlywayRun {
    let migrations = newest(&migrated.ran, most).iter().map(|ran| RanMigration {
        version: ran.version.clone(),
        description: ran.description.clone(),
        file: ran.file.clone(),
        execution_milliseconds: ran.execution_milliseconds.into(),
    });
    FlywayRun::Migrated(FlywayMigrated {
        version: migrated.flyway_version.clone(),
        migrations_executed: migrated.ran.len(),
        migrations: migrations.collect(),
        total_milliseconds: migrated.total_milliseconds,
        initial_schema_version: migrated.initial_schema_version.clone(),
        target_schema_version: migrated.target_schema_version.clone(),
        warnings: migrated.warnings.clone(),
    })
}

/// The same where it failed: what ran before is in the history, whether Flyway told of it or was ended.
fn told_of_failure(error: &DatabaseError, new: &[HistoryRow], most: usize) -> FlywayRun {
    let migrations = succeeded(new).map(|row| RanMigration {
        // Flyway has no version of a repeatable migration.
        version: row.version.clone().unwrap_or_default(),
        description: row.description.clone(),
        file: row.script.clone(),
        execution_milliseconds: row.execution_time.into(),
    });
    let migrations: Vec<_> = migrations.collect();
    let failed = match error {
        DatabaseError::Migration(failed) => Some(failed),
        _ => None,
    };
    FlywayRun::Failed(FlywayFailed {
        migrations_executed: migrations.len(),
        migrations: newest(&migrations, most).to_vec(),
        version: failed.map(|failed| failed.flyway_version.clone()),
        failed: failed.map(|failed| {
            let FailedMigration { file, line, sql_state, message, .. } = &**failed;
            facts::FailedMigration {
                file: file.clone(),
                line: *line,
                sql_state: sql_state.clone(),
                message: message.clone(),
            }
        }),
    })
}

fn succeeded(rows: &[HistoryRow]) -> impl Iterator<Item = &HistoryRow> {
    rows.iter().filter(|row| row.success)
}

/// Why nothing more was migrated, and what is left.
fn failure(error: &DatabaseError, new: &[HistoryRow], table: &str) -> String {
    let ran: Vec<_> = succeeded(new).map(|row| format!("`{}`", row.script)).collect();
    let before = match ran.as_slice() {
        [] => "no migration ran".to_owned(),
        ran => format!("ran and stay: {}", ran.join(", ")),
    };
    let left = new.iter().find(|row| !row.success).map(|row| row.script.as_str());
    let left = match (left, error) {
        (Some(script), _) => format!(
            "; `{script}` could not run in a transaction, so what it did before it failed is still there, and its row in \
             {table} stands as failed: take it back by hand and remove the row"
        ),
        (None, DatabaseError::Migration(_)) => {
            "; PostgreSQL rolled the failed one back: nothing of it is left".to_owned()
        }
        (None, DatabaseError::TimedOut { .. }) => {
            "; PostgreSQL rolls back what was open when its connection ended".to_owned()
        }
        (None, _) => String::new(),
    };
    format!("{error}; {before}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_history_the_newest_rows_are_carried() {
        let rows: Vec<String> = (1..=9).map(|row| format!("row {row}")).collect();
        // Seven characters with their quotes, and a comma.
        for (most, oldest) in [(0, None), (7, None), (8, Some("row 9")), (31, Some("row 7")), (10_000, Some("row 1"))] {
            assert_eq!(newest(&rows, most).first().map(String::as_str), oldest, "{most} bytes");
        }
    }
}
