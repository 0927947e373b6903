//! Flyway itself, 11.8 or newer, with `-outputType=json`.

use std::path::PathBuf;

use gatekeeper_readers::flyway::settings::Settings;

use super::{
    Database, DatabaseError, Migrated, Validated,
    connection::STANDARD_INPUT,
    error::capped,
    flyway_output::{self, Failure},
    tool::Tool,
};

/// The most that Flyway may put out, in bytes.
const MAX_OUTPUT: u64 = 32 * 1024 * 1024;

/// Migration files and what Flyway is configured by.
#[derive(Debug, Clone)]
pub struct Migrations {
    /// The folder that holds them and their scripts' configurations, and nothing else, at an absolute path.
    pub folder: PathBuf,
    /// What the commit's `flyway.toml` sets, with the stage's placeholders: none of it is a secret, for it stands in Flyway's
    /// argument list.
    pub settings: Settings,
}

impl Database {
    /// `flyway validate` and `flyway info` in one run. It changes nothing: SQL callbacks of the migrations are not run, and
    /// pending migrations are as they should be.
    ///
    /// # Errors
    /// [`DatabaseError`] where Flyway could not look. What it found at odds is in the answer.
    pub async fn validate(&self, migrations: &Migrations) -> Result<Validated, DatabaseError> {
        let output = self.flyway(migrations, &["validate", "info"], true).await?;
        let output = flyway_output::validated(&output, &migrations.folder.display().to_string());
        output.map_err(|failure| self.refusal(failure))
    }

    /// `flyway migrate`: runs what is pending, under Flyway's own lock.
    ///
    /// The lock is a session's, not a transaction's, because `CREATE INDEX CONCURRENTLY` would wait for the latter for
    /// ever (Flyway documentation, "PostgreSQL Transactional Lock").
    ///
    /// # Errors
    /// [`DatabaseError::Migration`] where one failed, [`DatabaseError::LockHeld`] where another Flyway was at work for
    /// too long, and others where Flyway refused or could not look.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<Migrated, DatabaseError> {
        let output = self.flyway(migrations, &["migrate"], false).await?;
        let failure = match flyway_output::migrated(&output, &migrations.folder.display().to_string()) {
            Ok(migrated) => return Ok(migrated),
            Err(failure) => failure,
        };
        if let Failure::LockHeld = failure {
            let holders = self.lock_holders().await?;
            return Err(DatabaseError::LockHeld { seconds: self.limits.other_flyway.as_secs(), holders });
        }
        Err(self.refusal(failure))
    }

    /// Runs Flyway and gives its JSON.
    async fn flyway(
        &self,
        migrations: &Migrations,
        commands: &[&str],
        changes_nothing: bool,
    ) -> Result<String, DatabaseError> {
        let folder = migrations.folder.display().to_string();
        // Flyway would take the one for a list, the others for patterns, and the last for a variable.
        if folder.contains([',', '*', '?']) || folder.contains("${") {
            let message =
                format!("it can't read migrations from `{folder}`: rename it without `,`, `*`, `?` and `${{`");
            return Err(DatabaseError::Tool { tool: "flyway", message });
        }
        let configuration = format!(
            "flyway.url={}\n\
             flyway.cleanDisabled=true\n\
             flyway.ignoreMigrationPatterns=*:pending\n\
             flyway.connectRetries=0\n\
             flyway.lockRetryCount={}\n\
             flyway.postgresql.transactional.lock=false\n\
             flyway.skipDefaultCallbacks={changes_nothing}\n",
            self.jdbc(),
            self.limits.other_flyway.as_secs(),
        );
        let mut arguments = vec![
            format!("-configFiles={STANDARD_INPUT}"),
            "-outputType=json".to_owned(),
            "-skipCheckForUpdate".to_owned(),
            format!("-locations=filesystem:{folder}"),
        ];
        // Not in the configuration, where Flyway would replace `${…}` in them.
        arguments.extend(migrations.settings.arguments());
        arguments.extend(
            migrations.settings.placeholders.iter().map(|(name, value)| format!("-placeholders.{name}={value}")),
        );
        arguments.extend(commands.iter().map(|command| (*command).to_owned()));
        let tool = Tool { program: "flyway", arguments, input: configuration, file: None, max_output: MAX_OUTPUT };
        let ended = self.run(tool).await?;
        let output = self.target.redactor().redact(&String::from_utf8_lossy(&ended.output));
        // What it says before its JSON are warnings to a person.
        match output.find('{') {
            Some(start) => Ok(output.split_at(start).1.to_owned()),
            None => {
                let said = format!("{} {output}", ended.errors);
                Err(DatabaseError::Tool { tool: "flyway", message: capped(&said) })
            }
        }
    }

    fn refusal(&self, failure: Failure) -> DatabaseError {
        match failure {
            Failure::Migration(failed) => DatabaseError::Migration(failed),
            Failure::Connection { message, sql_state } => DatabaseError::connection(&message, sql_state.as_deref())
                .unwrap_or_else(|| DatabaseError::Unreachable(capped(&message))),
            Failure::LockHeld => {
                DatabaseError::LockHeld { seconds: self.limits.other_flyway.as_secs(), holders: Vec::new() }
            }
            Failure::Other { code, message } => DatabaseError::Flyway { code, message: capped(&message) },
            Failure::Unreadable(message) => DatabaseError::Tool { tool: "flyway", message: capped(&message) },
        }
    }
}
