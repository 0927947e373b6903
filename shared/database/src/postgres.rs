//! What `psql` and `pg_dump` tell of a database. Nothing here changes it.

use std::{collections::BTreeSet, time::Duration};

use gatekeeper_model::finding::{Code, Finding};
use gatekeeper_readers::{
    flyway::{
        history::HistoryRow,
        settings::{Settings, TableName},
    },
    schema_snapshot,
};
use serde::Deserialize;

use super::{Database, DatabaseError, LockHolder, error::capped, tool::Tool};

/// The most that a query may answer with, in bytes: a schema history of a hundred thousand rows.
const MAX_ANSWER: u64 = 32 * 1024 * 1024;
/// How long naming the holders of a lock may take.
const TO_NAME_HOLDERS: Duration = Duration::from_secs(15);

/// The history as Flyway finds it: the configured table in the configured schema, or in the first schema of the search path
/// (Flyway documentation, "Default Schema"); every other table of that form; and which of the managed schemas hold anything,
/// as Flyway sees it (`PostgreSQLSchema.doEmpty`): relations, types and routines that are of no extension. All of it is of one
/// moment: another Flyway may be making the table just now, and what it made must not be found where its table was not.
///
/// `schema`, `table` and `managed`, a JSON list, are psql's variables, and empty where the connection's own schema is meant.
const HISTORY: &str = r#"\set ON_ERROR_STOP on
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT coalesce(nullif(:'schema', ''), pg_catalog.current_schema(), '') AS schema,
  coalesce(pg_catalog.current_schema(), '') AS default_schema \gset
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = :'schema' AND c.relname = :'table' AND c.relkind = 'r'
) AS there \gset
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('schema', n.nspname, 'table', c.relname)
    ORDER BY n.nspname, c.relname), '[]') AS histories
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT (n.nspname = :'schema' AND c.relname = :'table') AND 10 = (
      SELECT count(*) FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND CASE a.attname
        WHEN 'installed_rank' THEN a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
        WHEN 'checksum' THEN a.atttypid IN ('int4'::regtype, 'int8'::regtype)
        WHEN 'execution_time' THEN a.atttypid IN ('int4'::regtype, 'int8'::regtype)
        WHEN 'installed_on' THEN a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype)
        WHEN 'success' THEN a.atttypid = 'bool'::regtype
        ELSE a.attname IN ('version', 'description', 'type', 'script', 'installed_by')
          AND a.atttypid IN ('varchar'::regtype, 'text'::regtype, 'bpchar'::regtype)
      END) \gset
SELECT coalesce(pg_catalog.json_agg(n.nspname ORDER BY n.nspname), '[]') AS filled
  FROM pg_catalog.pg_namespace n
  WHERE (n.nspname = :'schema' OR n.nspname IN (SELECT pg_catalog.json_array_elements_text(:'managed'::json))) AND (
    EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace = n.oid AND o.relkind IN ('r', 'v', 'S', 't')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e'))
    OR EXISTS (SELECT FROM pg_catalog.pg_type o WHERE o.typnamespace = n.oid AND o.typcategory NOT IN ('A', 'C')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e'))
    OR EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.pronamespace = n.oid
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e'))) \gset
\if :there
  SELECT pg_catalog.json_build_object('server_version', pg_catalog.current_setting('server_version'), 'schema', :'schema',
    'default_schema', :'default_schema', 'others', :'histories'::json, 'filled', :'filled'::json, 'rows',
    (SELECT coalesce(pg_catalog.json_agg(h ORDER BY h.installed_rank), '[]') FROM (
      SELECT installed_rank, version, description, type, script, checksum, installed_by, installed_on, execution_time,
        success FROM :"schema".:"table") h));
\else
  SELECT pg_catalog.json_build_object('server_version', pg_catalog.current_setting('server_version'), 'schema', :'schema',
    'default_schema', :'default_schema', 'others', :'histories'::json, 'filled', :'filled'::json, 'rows', NULL);
\endif
COMMIT;
"#;

/// Flyway's advisory locks: the upper half of their key is `Fl`, the lower one depends on the table's name and may carry
/// over (Flyway's `PostgreSQLAdvisoryLockTemplate`).
const LOCK_HOLDERS: &str = r"\set ON_ERROR_STOP on
BEGIN TRANSACTION READ ONLY;
SELECT coalesce(pg_catalog.json_agg(h), '[]') FROM (
  SELECT DISTINCT l.pid, a.application_name, a.usename AS user, pg_catalog.host(a.client_addr) AS client_address,
    to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\THH24:MI:SS\Z') AS since
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid IN (18027, 18028, 18029) AND l.granted
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
) h;
COMMIT;
";

/// A schema history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct History {
    /// PostgreSQL's version, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// The schema that holds the history, or will; empty where there is none.
    pub schema: String,
    /// The connection's own schema; empty where it has none.
    pub default_schema: String,
    /// The rows by rank; `None` where Flyway, so configured, has never migrated the database.
    pub rows: Option<Vec<HistoryRow>>,
    /// The other tables that have the form of a history.
    pub others: Vec<TableName>,
    /// The schemas that Flyway manages and that hold something.
    pub filled: Vec<String>,
}

impl History {
    /// The tables of the form of a history that nobody has named: `others` are the histories of other configurations, whose
    /// schema is this connection's own where they tell none, and `named` those that somebody has accounted for.
    #[must_use]
    pub fn unaccounted(&self, others: &[Settings], named: &BTreeSet<String>) -> Vec<&TableName> {
        let known: BTreeSet<_> = others.iter().map(|it| it.history_in(&self.default_schema)).collect();
        let is_known = |table: &TableName| known.contains(table) || named.contains(&table.to_string());
        self.others.iter().filter(|table| !is_known(table)).collect()
    }

    /// The rows that Flyway will find: where a configured baseline will be written first, its row.
    #[must_use]
    pub fn rows_to_come(&self, settings: &Settings) -> Vec<HistoryRow> {
        match &self.rows {
            Some(rows) => rows.clone(),
            None if self.filled.is_empty() => Vec::new(),
            None => settings.baseline().into_iter().collect(),
        }
    }

    /// Why Flyway would refuse to begin: a schema that holds something, no history and no configured baseline.
    #[must_use]
    pub fn missing(&self, database: &str, settings: &Settings) -> Option<Finding> {
        if self.rows.is_some() || self.filled.is_empty() || settings.baseline_on_migrate {
            return None;
        }
        let message = format!(
            "the schema `{}` is not empty and `{}.{}` is not there: what made it is not known, so Flyway runs nothing; let \
             `flyway.toml` say where its history lies, empty it, or take it for a baseline by `baselineOnMigrate` and \
             `baselineVersion`",
            self.filled.join("`, `"),
            self.schema,
            settings.table()
        );
        Some(Finding::new(Code::FlywayHistoryMissing, database, message))
    }
}

/// A dump of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Plain SQL.
    pub bytes: Vec<u8>,
    /// The server's version, as `pg_dump` tells it.
    pub server_version: Option<String>,
    /// `pg_dump`'s own version.
    pub pg_dump_version: Option<String>,
}

impl Database {
    /// Reads the schema history that Flyway keeps by these settings, and looks for others, in one read-only transaction.
    ///
    /// # Errors
    /// [`DatabaseError`] where it can't be reached or read.
    pub async fn history(&self, settings: &Settings) -> Result<History, DatabaseError> {
        let managed = serde_json::json!(settings.managed_schemas()).to_string();
        let variables =
            [("schema", settings.schema().unwrap_or_default()), ("table", settings.table()), ("managed", &managed)];
        self.query(HISTORY, &variables).await
    }

    /// Who holds Flyway's lock now.
    ///
    /// # Errors
    /// [`DatabaseError`] where it can't be reached.
    pub async fn lock_holders(&self) -> Result<Vec<LockHolder>, DatabaseError> {
        self.briefly(TO_NAME_HOLDERS).query(LOCK_HOLDERS, &[]).await
    }

    /// Dumps the schema, without any row, as `pg_dump --schema-only` does.
    ///
    /// # Errors
    /// [`DatabaseError`] where it can't be reached, where `pg_dump` is older than the server, or where a table is locked
    /// for longer than the limit.
    pub async fn dump_schema(&self) -> Result<Dump, DatabaseError> {
        let lock_wait = self.limits.lock.as_millis();
        let ended = self
            .run(Tool {
                program: "pg_dump",
                arguments: vec![
                    "--schema-only".to_owned(),
                    "--encoding=UTF8".to_owned(),
                    "--no-password".to_owned(),
                    format!("--lock-wait-timeout={lock_wait}"),
                    format!("--dbname={}", self.libpq()),
                ],
                input: self.passfile(),
                file: None,
                max_output: schema_snapshot::MAX_BYTES,
            })
            .await?;
        if !ended.success {
            return Err(version_mismatch(&ended.errors).unwrap_or_else(|| Self::failure("pg_dump", &ended.errors)));
        }
        let head = String::from_utf8_lossy(ended.output.get(..1024).unwrap_or(&ended.output)).into_owned();
        let told = |name: &str| head.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()));
        Ok(Dump {
            server_version: told("-- Dumped from database version "),
            pg_dump_version: told("-- Dumped by pg_dump version "),
            bytes: ended.output,
        })
    }

    /// Runs a script of ours that answers with one JSON document, with psql's variables.
    async fn query<T: for<'a> Deserialize<'a>>(
        &self,
        script: &'static str,
        variables: &[(&str, &str)],
    ) -> Result<T, DatabaseError> {
        let variables = variables.iter().map(|(name, value)| format!("--set={name}={value}"));
        let fixed = ["-X", "-A", "-t", "-q", "-w", "-f", "query.sql", "-d"].map(str::to_owned);
        let arguments = variables.chain(fixed);
        let ended = self
            .run(Tool {
                program: "psql",
                arguments: arguments.chain([self.libpq()]).collect(),
                input: self.passfile(),
                file: Some(("query.sql", script)),
                max_output: MAX_ANSWER,
            })
            .await?;
        if !ended.success {
            return Err(Self::failure("psql", &ended.errors));
        }
        serde_json::from_slice(&ended.output).map_err(|error| DatabaseError::Tool {
            tool: "psql",
            message: capped(&format!("its answer can't be read: {error}")),
        })
    }
}

/// `pg_dump` refuses a server that is newer than itself.
fn version_mismatch(errors: &str) -> Option<DatabaseError> {
    let (_, versions) = errors.split_once("server version: ")?;
    let (server, rest) = versions.split_once("; pg_dump version: ")?;
    let own = rest.lines().next().unwrap_or_default();
    let message =
        format!("its version, {own}, is older than the server's, {server}: install that major version or a newer one");
    Some(DatabaseError::Tool { tool: "pg_dump", message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pg_dump_that_is_too_old_is_told_with_both_versions() {
        let errors = "pg_dump: error: aborting because of server version mismatch\n\
                      pg_dump: detail: server version: 16.10; pg_dump version: 15.18 (Debian 15.18-0+deb12u1)\n";
        insta::assert_snapshot!(version_mismatch(errors).unwrap(), @"`pg_dump` failed: its version, 15.18 (Debian 15.18-0+deb12u1), is older than the server's, 16.10: install that major version or a newer one");
        assert_eq!(version_mismatch("pg_dump: error: permission denied"), None);
    }
}
