//! What others ask of `migrate-database`, which alone may read the databases' secrets, and what it answers.
//!
//! `promote` asks before anything of a promotion is applied: a tampered history, a failed or an out-of-order migration
//! stops a promotion while it is still free. `watch-drift` asks how the schemas compare with the tested ones now.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::Finding,
    ids::{CommitSha, DatabaseName, MigrationPath, Repo, StageName},
};
use gatekeeper_readers::flyway::history::HistoryRow;
use serde::{Deserialize, Serialize};

use super::{
    plan::{MigrationState, PlannedDatabase, PlannedMigration},
    record::SchemaComparison,
};

/// A look at a stage's databases that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseCheck {
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The role that is assumed in the stage's account.
    pub role_arn: Option<String>,
    /// Whether code goes back: then nothing will be migrated, and the live schema must be the one that was tested with
    /// the commit.
    pub rollback: bool,
    /// The databases.
    pub databases: Vec<PlannedDatabase>,
    /// Their migrations.
    pub migrations: Vec<PlannedMigration>,
    /// Whether the SQL of the migrations that are pending is wanted too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sql: bool,
    /// The schema histories as the last promotion left them, where it recorded one.
    #[serde(default)]
    pub history_before: BTreeMap<DatabaseName, Vec<HistoryRow>>,
}

/// The event of a check, told from a step's by its one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseCheckEvent {
    /// What is asked.
    pub check: DatabaseCheck,
}

/// What the look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseCheckAnswer {
    /// Every reason why the promotion may not start.
    pub reasons: Vec<Finding>,
    /// The migrations that each database has not run yet, in the order in which Flyway will.
    pub pending: BTreeMap<DatabaseName, Vec<MigrationPath>>,
    /// What those migrations would do, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<PendingMigration>,
}

/// The most of a migration's SQL that is shown, in bytes.
pub const SHOWN_BYTES: usize = 16 * 1024;

/// The most that is shown of the SQL of all migrations of a promotion, in bytes.
pub const SHOWN_BYTES_IN_ALL: usize = 512 * 1024;

/// The most rules that are told of a migration, and of all migrations of a promotion.
pub const TOLD_RULES: usize = 50;
/// See [`TOLD_RULES`].
pub const TOLD_RULES_IN_ALL: usize = 2_000;

/// A migration that a stage's database has not run yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingMigration {
    /// The database.
    pub database: DatabaseName,
    /// The file's path below the database's `migrations/` folder.
    pub file: MigrationPath,
    /// Squawk's rules that it breaks, in the order of their lines: [`TOLD_RULES`] of them at most, those first that are
    /// refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenRule>,
    /// How many more it breaks.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub broken_left_out: usize,
    /// Why nobody can say which rules it breaks, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What it says, where that was asked for: [`SHOWN_BYTES`] of it at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// How many bytes of it are not in `sql`.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub bytes_left_out: usize,
}

/// A rule of Squawk's that a migration breaks (<https://squawkhq.com/docs/rules>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRule {
    /// The rule's name.
    pub rule: String,
    /// The line of the statement, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
    /// Whether the stage refuses it.
    pub refused: bool,
}

/// How the schemas of a stage's databases compare with those that were tested with the commit that runs there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityQuestion {
    /// The stage.
    pub stage: StageName,
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit_sha: CommitSha,
    /// The role that is assumed in the stage's account.
    pub role_arn: Option<String>,
    /// The databases.
    pub databases: Vec<PlannedDatabase>,
}

/// The event of that question, told from the others by its one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityEvent {
    /// What is asked.
    pub parity: ParityQuestion,
}

/// How they compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityAnswer {
    /// Each database whose schema could be compared.
    pub comparisons: BTreeMap<DatabaseName, SchemaComparison>,
    /// Why the others could not, in words.
    pub unknown: BTreeMap<DatabaseName, String>,
    /// What was found of schema histories where none should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histories: Vec<Finding>,
}

impl DatabaseCheckAnswer {
    /// Whether a database has run one of the migrations that were asked for; `None` where it could not be looked at.
    #[must_use]
    pub fn state_of(&self, database: &DatabaseName, file: &MigrationPath) -> Option<MigrationState> {
        let pending = self.pending.get(database)?;
        Some(if pending.contains(file) { MigrationState::Pending } else { MigrationState::Applied })
    }
}
