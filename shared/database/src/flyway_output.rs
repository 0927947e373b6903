//! What Flyway writes with `-outputType=json`, as 11.8.2 does.

use serde::{Deserialize, Serialize};

use super::error::{FailedMigration, capped};

/// What `validate` and `info` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The version of Flyway.
    pub flyway_version: String,
    /// Whether history and files agree.
    pub successful: bool,
    /// Where they don't.
    pub invalid: Vec<InvalidMigration>,
    /// Everything that it says about it.
    pub message: String,
    /// Its warnings.
    pub warnings: Vec<String>,
    /// The migrations.
    pub info: Info,
}

/// A migration that `validate` finds wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMigration {
    /// Its version; empty for a repeatable one.
    pub version: String,
    /// Its description.
    pub description: String,
    /// The file's path below the folder of migrations; empty where there is no file.
    pub file: String,
    /// Flyway's word for it, such as `CHECKSUM_MISMATCH`.
    pub code: String,
    /// What it says.
    pub message: String,
}

/// What `info` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The newest version that has run; `None` where none has.
    pub schema_version: Option<String>,
    /// All migrations, of the history and of the files.
    pub migrations: Vec<InfoMigration>,
}

/// A migration that `info` tells of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InfoMigration {
    /// `Versioned`, `Repeatable`, or empty.
    pub category: String,
    /// Its version; empty for a repeatable one.
    pub version: String,
    /// Its description.
    pub description: String,
    /// Flyway's word for how far it is, such as `Pending`, `Success`, `Failed` or `Out of Order`.
    pub state: String,
    /// The file's path below the folder of migrations; empty where there is no file.
    #[serde(rename = "filepath", default)]
    pub file: String,
}

/// What `migrate` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The version of Flyway.
    pub flyway_version: String,
    /// The version of the schema before.
    pub initial_schema_version: Option<String>,
    /// The version of the schema now; `None` where nothing was pending.
    pub target_schema_version: Option<String>,
    /// What ran, in order.
    pub ran: Vec<RanMigration>,
    /// How long all of it took.
    pub total_milliseconds: u64,
    /// Its warnings.
    pub warnings: Vec<String>,
}

/// A migration that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanMigration {
    /// Its version; empty for a repeatable one.
    pub version: String,
    /// Its description.
    pub description: String,
    /// The file's path below the folder of migrations.
    pub file: String,
    /// How long it took.
    pub execution_milliseconds: u64,
}

/// Why Flyway didn't do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    Migration(Box<FailedMigration>),
    Connection { message: String, sql_state: Option<String> },
    LockHeld,
    Other { code: String, message: String },
    Unreadable(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Error {
    #[serde(rename = "errorCode")]
    code: Option<String>,
    sql_state: Option<String>,
    message: Option<String>,
    line_number: Option<u64>,
    path: Option<String>,
    cause: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Error,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Both {
    individual_results: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidateResult {
    flyway_version: String,
    #[serde(default)]
    warnings: Vec<String>,
    error_details: Option<Details>,
    #[serde(default)]
    invalid_migrations: Vec<Invalid>,
    validation_successful: bool,
    all_error_messages: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    error_code: Option<String>,
    error_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invalid {
    version: Option<String>,
    description: Option<String>,
    filepath: Option<String>,
    error_details: Option<Details>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InfoResult {
    schema_version: Option<String>,
    migrations: Vec<InfoMigration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MigrateResult {
    success: bool,
    flyway_version: String,
    initial_schema_version: Option<String>,
    target_schema_version: Option<String>,
    #[serde(default)]
    migrations: Vec<Ran>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    total_migration_time: u64,
    error: Option<Error>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ran {
    version: Option<String>,
    description: Option<String>,
    filepath: Option<String>,
    #[serde(default)]
    execution_time: u64,
}

/// Reads what `flyway validate info` wrote about the migrations in `folder`.
pub(super) fn validated(output: &str, folder: &str) -> Result<Validated, Failure> {
    refused(output, folder)?;
    let unreadable = |error| unreadable(output, &error);
    let both: Both = serde_json::from_str(output).map_err(unreadable)?;
    let [validate, info] = both
        .individual_results
        .try_into()
        .map_err(|results: Vec<_>| Failure::Unreadable(format!("it answers {} of two commands", results.len())))?;
    let validate: ValidateResult = serde_json::from_value(validate).map_err(unreadable)?;
    let mut info: InfoResult = serde_json::from_value(info).map_err(unreadable)?;
    for migration in &mut info.migrations {
        migration.file = below(folder, &migration.file);
    }
    let invalid = validate.invalid_migrations.into_iter().map(|it| InvalidMigration {
        version: it.version.unwrap_or_default(),
        description: it.description.unwrap_or_default(),
        file: below(folder, &it.filepath.unwrap_or_default()),
        code: it.error_details.as_ref().and_then(|it| it.error_code.clone()).unwrap_or_default(),
        message: below(folder, &it.error_details.and_then(|it| it.error_message).unwrap_or_default()),
    });
    let summary = validate.error_details.and_then(|it| it.error_message).unwrap_or_default();
    let message = validate.all_error_messages.filter(|it| !it.is_empty()).unwrap_or(summary);
    Ok(Validated {
        flyway_version: validate.flyway_version,
        successful: validate.validation_successful,
        invalid: invalid.collect(),
        message: capped(&below(folder, &message)),
        warnings: validate.warnings,
        info: Info { schema_version: info.schema_version, migrations: info.migrations },
    })
}

/// Reads what `flyway migrate` wrote about the migrations in `folder`.
pub(super) fn migrated(output: &str, folder: &str) -> Result<Migrated, Failure> {
    let result: MigrateResult = match serde_json::from_str(output) {
        Ok(result) => result,
        Err(error) => {
            refused(output, folder)?;
            return Err(unreadable(output, &error));
        }
    };
    let ran = result.migrations.into_iter().map(|it| RanMigration {
        version: it.version.unwrap_or_default(),
        description: it.description.unwrap_or_default(),
        file: below(folder, &it.filepath.unwrap_or_default()),
        execution_milliseconds: it.execution_time,
    });
    let ran: Vec<_> = ran.collect();
    if let Some(error) = result.error.filter(|_| !result.success) {
        let failed = failed_migration(error, folder, ran, result.flyway_version);
        return Err(Failure::Migration(Box::new(failed)));
    }
    if !result.success {
        return Err(Failure::Unreadable("it failed and does not say why".to_owned()));
    }
    Ok(Migrated {
        flyway_version: result.flyway_version,
        initial_schema_version: result.initial_schema_version,
        target_schema_version: result.target_schema_version,
        ran,
        total_milliseconds: result.total_migration_time,
        warnings: result.warnings.iter().map(|it| capped(it)).collect(),
    })
}

/// That `output` can't be read, with the version of the Flyway that wrote it where it tells.
fn unreadable(output: &str, error: &serde_json::Error) -> Failure {
    let version = output.split_once("\"flywayVersion\"").and_then(|(_, rest)| rest.split('"').nth(1));
    let by = match version.filter(|it| it.len() <= 40) {
        Some(version) => format!("version {version} wrote"),
        None => "a version that it doesn't tell wrote".to_owned(),
    };
    Failure::Unreadable(format!("what {by} can't be read: {error}; known is what 11.8 and newer write"))
}

/// The failure that `output` tells, where it is one about the whole run.
fn refused(output: &str, folder: &str) -> Result<(), Failure> {
    let Ok(Refused { error }) = serde_json::from_str::<Refused>(output) else {
        return Ok(());
    };
    let code = error.code.unwrap_or_default();
    let message = error.message.unwrap_or_default();
    if code == "DB_CONNECTION" {
        // The message itself holds the URL.
        let message = error.cause.and_then(|it| it.message).unwrap_or_default();
        return Err(Failure::Connection { message, sql_state: error.sql_state });
    }
    if message.contains("attempting to acquire PostgreSQL advisory lock") {
        return Err(Failure::LockHeld);
    }
    // Flyway's advertisement is no part of what went wrong.
    let message = message.split("Need more flexibility").next().unwrap_or_default();
    Err(Failure::Other { code, message: below(folder, message) })
}

fn failed_migration(error: Error, folder: &str, ran: Vec<RanMigration>, flyway_version: String) -> FailedMigration {
    let text = error.message.unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
        Some(line.trim().to_owned())
    };
    // PostgreSQL's message may have several lines; the next field is Flyway's.
    let message = text.split_once("\nMessage").and_then(|(_, rest)| {
        let rest = rest.trim_start().strip_prefix(':')?;
        Some(rest.split("\nLocation ").next().unwrap_or(rest).to_owned())
    });
    FailedMigration {
        file: error.path.map(|path| below(folder, &path)),
        line: error.line_number,
        sql_state: field("SQL State"),
        message: capped(&below(folder, &message.unwrap_or(text.clone()))),
        ran,
        flyway_version,
    }
}

/// `text` with paths below `folder` rather than absolute ones: it is a scratch folder's, which says nothing to a reader.
fn below(folder: &str, text: &str) -> String {
    text.replace(&format!("{}/", folder.trim_end_matches('/')), "")
}

#[cfg(test)]
#[path = "flyway_output_tests.rs"]
mod tests;
