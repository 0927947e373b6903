//! A stage's database, looked at and migrated by the real tools: Flyway, `psql` and `pg_dump`, as child processes.
//!
//! The password reaches them by a file that has no name any more when they start ([`tool`]): neither an argument list nor
//! an environment nor a disk holds it. Every connection but one to this machine is TLS with the server's name verified.

mod connection;
mod error;
mod flyway;
mod flyway_output;
pub mod lint;
mod postgres;
mod redact;
mod target;
mod tool;

use std::{ffi::OsString, path::PathBuf, time::Duration};

pub use self::{
    error::{DatabaseError, FailedMigration, LockHolder},
    flyway::Migrations,
    flyway_output::{Info, InfoMigration, InvalidMigration, Migrated, RanMigration, Validated},
    postgres::{Dump, History},
    redact::Redactor,
    target::{InvalidTarget, Target},
};

/// Where the tools are and what they need of this machine.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The folders that `flyway`, `psql` and `pg_dump` are looked for in, as `PATH` has them.
    pub path: OsString,
    /// The Java that Flyway runs on, as `JAVA_HOME` has it; none for the `java` on the path.
    pub java_home: Option<OsString>,
    /// The certificate authorities that a database's certificate is trusted under, PEM: such as Debian's
    /// `/etc/ssl/certs/ca-certificates.crt`, or Amazon RDS's own.
    pub ca_file: PathBuf,
}

/// How long things may take. PostgreSQL itself ends what takes longer (PostgreSQL documentation, "Statement Behavior").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One statement, and an open transaction that does nothing: `statement_timeout` and
    /// `idle_in_transaction_session_timeout`.
    pub statement: Duration,
    /// The wait for a table that somebody else has locked: `lock_timeout`. A migration that waits for long blocks all
    /// who come after it.
    pub lock: Duration,
    /// The wait for another Flyway to end.
    pub other_flyway: Duration,
    /// A tool, from its start to its end.
    pub tool: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement: Duration::from_mins(5),
            lock: Duration::from_secs(10),
            other_flyway: Duration::from_mins(1),
            tool: Duration::from_mins(10),
        }
    }
}

/// A database and all that is needed to reach it.
#[derive(Debug, Clone)]
pub struct Database {
    tools: Tools,
    target: Target,
    /// What its connections are called in `pg_stat_activity`.
    application_name: String,
    limits: Limits,
}

impl Database {
    /// The database at `target`, whose connections are called `application_name`: the server keeps 63 bytes of it.
    #[must_use]
    pub fn new(tools: Tools, target: Target, application_name: impl Into<String>) -> Self {
        Self { tools, target, application_name: application_name.into(), limits: Limits::default() }
    }

    /// The same within other limits.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}
