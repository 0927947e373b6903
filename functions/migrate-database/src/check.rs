//! The look before anything of a promotion is applied. It changes nothing.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::lambda::Invocation;
use gatekeeper_database::{Database, DatabaseError, History, Validated};
use gatekeeper_model::finding::{Code, Finding};
use gatekeeper_promotion::{
    database_check::{DatabaseCheck, DatabaseCheckAnswer, PendingMigration},
    plan::PlannedDatabase,
};
use gatekeeper_readers::flyway::{commit, history, settings::Settings};
use gatekeeper_store::ReadStore;
use serde_json::json;

use crate::{
    Step, Trouble,
    files::{Fetched, other_configurations},
    parity::{self, NoParity},
    pending::{self, show_in_all},
    secret,
};

/// Databases that are looked at at once: each is a Java, and a function has few cores.
pub(crate) const IN_FLIGHT: usize = 2;

impl<S: ReadStore> Step<S> {
    /// Looks at every database of the check.
    ///
    /// # Errors
    /// Where something could not be looked at for a reason that isn't the stage's.
    pub async fn check(&self, check: &DatabaseCheck, invocation: &Invocation) -> Result<DatabaseCheckAnswer, Trouble> {
        let mut answer = DatabaseCheckAnswer::default();
        if check.databases.is_empty() {
            return Ok(answer);
        }
        let log = invocation.log.with("repo", check.repo.as_str()).with("commit_sha", check.commit_sha.as_str());
        let log = log.with("stage", check.stage.as_str()).with("step", "migrate-database");
        let client = secret::client(&self.config, check.role_arn.as_deref()).await;
        let (client, log) = (&client, &log);
        let mut looks = stream::iter(&check.databases)
            .map(|planned| async move {
                let (reasons, pending) = self.look(client, check, planned, invocation).await?;
                let broken = |it: &PendingMigration| it.broken.len();
                let fields = json!({
                    "database": planned.database,
                    "outcome": if reasons.is_empty() { "fine" } else { "refused" },
                    "reasons": reasons,
                    "pending": pending.as_ref().map(Vec::len),
                    "broken_rules": pending.iter().flatten().map(broken).sum::<usize>(),
                });
                log.info("database checked", fields);
                Ok::<_, Trouble>((planned, reasons, pending))
            })
            .buffered(IN_FLIGHT);
        while let Some((planned, reasons, pending)) = looks.try_next().await? {
            answer.reasons.extend(reasons);
            let Some(pending) = pending else { continue };
            let files = pending.iter().map(|it| it.file.clone()).collect();
            answer.pending.insert(planned.database.clone(), files);
            answer.migrations.extend(pending);
        }
        show_in_all(&mut answer.migrations);
        Ok(answer)
    }

    /// What is wrong with one database, and what it has not run yet where that is known.
    async fn look(
        &self,
        client: &aws_sdk_secretsmanager::Client,
        check: &DatabaseCheck,
        planned: &PlannedDatabase,
        invocation: &Invocation,
    ) -> Result<(Vec<Finding>, Option<Vec<PendingMigration>>), Trouble> {
        let target = match secret::target(client, planned).await? {
            Ok(target) => target,
            Err(finding) => return Ok((vec![finding], None)),
        };
        let limits = self.limits_of_a_look(invocation);
        let database = Database::new(self.tools.clone(), target, "artefact-gatekeeper check").within(limits);
        if check.rollback {
            return Ok((self.differences(&database, planned).await?, None));
        }

        // Where the history lies is told by what is fetched.
        let fetched = match Fetched::fetch(&self.artefacts, planned, &check.migrations).await? {
            Ok(fetched) => fetched,
            Err(mut reasons) => {
                if let Err(error) = database.history(&Settings::default()).await {
                    reasons.push(unreachable(planned, error)?);
                }
                return Ok((reasons, None));
            }
        };
        let settings = fetched.settings();
        let history = match database.history(settings).await {
            Ok(history) => history,
            Err(error) => return Ok((vec![unreachable(planned, error)?], None)),
        };
        let files = fetched.files();
        let name = planned.database.as_str();
        let mut reasons = self.misplaced(planned, &check.databases, settings, &history).await?;
        reasons.extend(history.missing(name, settings));
        let rows = history.rows.as_deref().unwrap_or_default();
        let before = check.history_before.get(&planned.database).map(Vec::as_slice);
        reasons.extend(history::check(name, &files, &planned.checksums, rows, before, settings));
        match database.validate(&fetched.migrations()).await {
            Ok(validated) => reasons.extend(refused(name, &validated)),
            Err(DatabaseError::Flyway { message, .. }) => {
                reasons.push(Finding::new(Code::FlywayValidateFailed, name, message));
            }
            Err(error) => reasons.push(unreachable(planned, error)?),
        }
        let pending = history::pending(&files, &history.rows_to_come(settings));
        let planned_files = check.migrations.iter().filter(|it| it.database == planned.database).map(|it| &it.file);
        let planned_files: Vec<_> = planned_files.collect();
        let pending = pending.iter().filter_map(|path| planned_files.iter().find(|it| it.as_str() == *path));
        let pending = pending.map(|file| pending::look(&fetched, planned, file, check.sql));
        let pending = pending.collect::<Result<Vec<_>, _>>()?;
        reasons.extend(pending::unknown(planned));
        reasons.extend(pending.iter().filter_map(|migration| pending::refusal(planned, migration)));
        Ok((reasons, Some(pending)))
    }

    /// The histories that lie where no configuration of the commit and no entry of the stage says that one does: what ran by
    /// them would run again.
    pub(crate) async fn misplaced(
        &self,
        planned: &PlannedDatabase,
        all: &[PlannedDatabase],
        settings: &Settings,
        history: &History,
    ) -> Result<Vec<Finding>, Trouble> {
        let others = other_configurations(&self.artefacts, planned, all).await?;
        let place = "the stage's database";
        let found = |table| commit::found_elsewhere(&planned.database, table, Some(settings), place);
        Ok(history.unaccounted(&others, &planned.other_histories).into_iter().map(found).collect())
    }

    /// Before a rollback of code: nothing will be migrated, so the live schema must be the target commit's.
    async fn differences(&self, database: &Database, planned: &PlannedDatabase) -> Result<Vec<Finding>, Trouble> {
        Ok(match parity::parity(&self.artefacts, database, planned).await? {
            Ok(parity) => {
                parity.refusal().map(|difference| difference_found(planned, &difference)).into_iter().collect()
            }
            Err(NoParity::Findings(findings)) => findings,
            Err(NoParity::Database(error)) => vec![unreachable(planned, error)?],
        })
    }
}

fn difference_found(planned: &PlannedDatabase, difference: &str) -> Finding {
    let message = format!(
        "the live schema is not the one that was tested with this commit, and databases are never rolled back: promote a \
         commit whose migrations bring it there, or ask with `\"accept_schema_difference\": true`\n{difference}"
    );
    Finding::new(Code::SchemaDifference, planned.database.as_str(), message)
}

/// A database that can't be looked at is a reason; a tool that isn't there is our own trouble.
fn unreachable(planned: &PlannedDatabase, error: DatabaseError) -> Result<Finding, Trouble> {
    match error {
        DatabaseError::ToolMissing(_) => Err(error.into()),
        error => Ok(Finding::new(Code::DatabaseUnreachable, planned.database.as_str(), error.to_string())),
    }
}

/// What `flyway validate` found.
fn refused(database: &str, validated: &Validated) -> Vec<Finding> {
    if validated.successful {
        return Vec::new();
    }
    let finding = |subject: String, message: &str| {
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Finding::new(Code::FlywayValidateFailed, subject, message)
    };
    let mut findings: Vec<_> = validated
        .invalid
        .iter()
        .map(|it| {
            let subject = if it.file.is_empty() { database.to_owned() } else { format!("{database}/{}", it.file) };
            finding(subject, &it.message)
        })
        .collect();
    if findings.is_empty() {
        findings.push(finding(database.to_owned(), &validated.message));
    }
    findings
}

/// Findings in one line.
pub(crate) fn listed(findings: &[Finding]) -> String {
    let each = findings.iter().map(|it| format!("{}: {}: {}", it.subject, it.code, it.message));
    each.collect::<Vec<_>>().join("; ")
}
