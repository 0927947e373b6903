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
