//! Why a database could not be looked at or migrated. Every text is without the password, and capped.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::flyway_output::RanMigration;

/// The longest text of a tool that goes into an error, in bytes.
const MAX_TEXT: usize = 4 * 1024;

/// Why a database could not be looked at or migrated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// No connection, or no such database.
    #[error("the database can't be reached: {0}")]
    Unreachable(String),
    /// The server doesn't let the user in.
    #[error("the database refuses the user or the password of the secret: {0}")]
    Refused(String),
    /// The server has no TLS, or a certificate that isn't trusted.
    #[error("the database offers no TLS that can be trusted: {0}")]
    Tls(String),
    /// A program isn't there.
    #[error("`{0}` is not on the path: install it")]
    ToolMissing(&'static str),
    /// A program took too long and was ended.
    #[error("`{tool}` did not end within {seconds} seconds and was ended")]
    TimedOut {
        /// Which one.
        tool: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// Another Flyway is at work.
    #[error(
        "another Flyway holds the lock on the schema history and did not give it back within {seconds} seconds: {}",
        named(holders)
    )]
    LockHeld {
        /// How long it was waited for.
        seconds: u64,
        /// Who holds it.
        holders: Vec<LockHolder>,
    },
    /// A migration failed.
    #[error("{0}")]
    Migration(Box<FailedMigration>),
    /// Flyway refuses, before it migrates anything or between two migrations.
    #[error("flyway: {message} (`{code}`)")]
    Flyway {
        /// Flyway's own error code, such as `VALIDATE_ERROR`.
        code: String,
        /// What it says.
        message: String,
    },
    /// A program failed otherwise.
    #[error("`{tool}` failed: {message}")]
    Tool {
        /// Which one.
        tool: &'static str,
        /// What it says.
        message: String,
    },
}

/// A migration that failed, and what Flyway had migrated before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMigration {
    /// The file's path below the folder of migrations, where Flyway tells.
    pub file: Option<String>,
    /// The statement's first line.
    pub line: Option<u64>,
    /// PostgreSQL's error code (PostgreSQL documentation, "PostgreSQL Error Codes").
    pub sql_state: Option<String>,
    /// What PostgreSQL says, without its details, which would quote rows.
    pub message: String,
    /// The migrations that ran before it.
    pub ran: Vec<RanMigration>,
    /// The version of Flyway.
    pub flyway_version: String,
}

impl fmt::Display for FailedMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the migration `{file}` failed")?,
            None => f.write_str("a migration failed")?,
        }
        if let Some(line) = self.line {
            write!(f, " at line {line}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(state) = &self.sql_state {
            write!(f, " (SQL state {state})")?;
        }
        Ok(())
    }
}

/// A session that holds Flyway's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its process on the server.
    pub pid: i64,
    /// What its client calls itself.
    pub application_name: Option<String>,
    /// Its role.
    pub user: Option<String>,
    /// Where it comes from; none for a local one, or where the role may not see it.
    pub client_address: Option<String>,
    /// Since when it is connected.
    pub since: Option<String>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &Option<String>| text.clone().filter(|it| !it.is_empty()).unwrap_or("unknown".to_owned());
        write!(
            f,
            "`{}` of user `{}` from `{}` since {}, process {} on the server",
            shown(&self.application_name),
            shown(&self.user),
            shown(&self.client_address),
            shown(&self.since),
            self.pid
        )
    }
}

fn named(holders: &[LockHolder]) -> String {
    if holders.is_empty() {
        return "it is not held any more, so try again".to_owned();
    }
    holders.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl DatabaseError {
    /// What a failed connection comes to, by what PostgreSQL's programs and its driver say and the SQL state where it is
    /// told.
    pub(super) fn connection(text: &str, sql_state: Option<&str>) -> Option<Self> {
        let said = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let shown = || capped(text);
        let certificate = &["SSL", "certificate", "TLS", "PKIX"];
        let refused = &["authentication failed", "no password", "pg_hba.conf", "authentication method", "role \""];
        let unreachable = &[
            "could not translate host name",
            "Connection refused",
            "connection to server",
            "timeout expired",
            "could not connect",
            "server closed the connection",
            "The connection attempt failed",
            "too many connections",
            "too many clients",
            "starting up",
            "shutting down",
        ];
        match sql_state {
            Some("28000" | "28P01") => Some(Self::Refused(shown())),
            // The class of connection exceptions; a refused TLS is one of them.
            Some(state) if state.starts_with("08") => {
                Some(if said(certificate) { Self::Tls(shown()) } else { Self::Unreachable(shown()) })
            }
            Some("3D000" | "53300" | "57P03") => Some(Self::Unreachable(shown())),
            None if said(refused) && said(&["connection to server", "FATAL"]) => Some(Self::Refused(shown())),
            None if said(&["connection to server", "root certificate"]) && said(certificate) => {
                Some(Self::Tls(shown()))
            }
            None if said(unreachable) => Some(Self::Unreachable(shown())),
            _ => None,
        }
    }
}

/// One line of text of a tool, so long at most as a record can bear.
pub(super) fn capped(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut text = lines.join(" ");
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_is_told_by_what_the_programs_say() {
        let kind = |text: &str, state: Option<&str>| match DatabaseError::connection(text, state) {
            Some(DatabaseError::Unreachable(_)) => "unreachable",
            Some(DatabaseError::Refused(_)) => "refused",
            Some(DatabaseError::Tls(_)) => "tls",
            Some(_) => "other",
            None => "none",
        };
        let at = "psql: error: connection to server at \"db\" (10.0.0.1), port 5432 failed: ";
        for (said, is) in [
            ("FATAL:  password authentication failed for user \"u\"", "refused"),
            (
                "FATAL:  no pg_hba.conf entry for host \"10.0.0.2\", user \"u\", database \"d\", SSL encryption",
                "refused",
            ),
            ("FATAL:  role \"u\" does not exist", "refused"),
            ("SSL error: certificate verify failed", "tls"),
            ("server certificate for \"x\" does not match host name \"db\"", "tls"),
            ("server does not support SSL, but SSL was required", "tls"),
            ("root certificate file \"/nowhere\" does not exist", "tls"),
            (
                "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
                "unreachable",
            ),
            ("timeout expired", "unreachable"),
            ("FATAL:  database \"d\" does not exist", "unreachable"),
        ] {
            assert_eq!(kind(&format!("{at}{said}"), None), is, "{said}");
        }
        assert_eq!(kind("psql: error: could not translate host name \"x\" to address: unknown", None), "unreachable");
        assert_eq!(kind("ERROR:  permission denied for table flyway_schema_history", None), "none");
        assert_eq!(kind("SSL error: PKIX path building failed", Some("08006")), "tls");
        assert_eq!(kind("Connection to h:1 refused", Some("08001")), "unreachable");
        assert_eq!(kind("FATAL: password authentication failed", Some("28P01")), "refused");
        assert_eq!(kind("FATAL: database \"d\" does not exist", Some("3D000")), "unreachable");
    }

    #[test]
    fn holders_of_the_lock_are_named() {
        let holder = LockHolder {
            pid: 42,
            application_name: Some("Flyway by hand".to_owned()),
            user: Some("jane".to_owned()),
            client_address: None,
            since: Some("2026-05-02T03:04:05Z".to_owned()),
        };
        let error = DatabaseError::LockHeld { seconds: 60, holders: vec![holder] };
        insta::assert_snapshot!(error, @"another Flyway holds the lock on the schema history and did not give it back within 60 seconds: `Flyway by hand` of user `jane` from `unknown` since 2026-05-02T03:04:05Z, process 42 on the server");
        let error = DatabaseError::LockHeld { seconds: 60, holders: Vec::new() };
        insta::assert_snapshot!(error, @"another Flyway holds the lock on the schema history and did not give it back within 60 seconds: it is not held any more, so try again");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(capped(" a\n\n b "), "a b");
        let long = capped(&"é".repeat(MAX_TEXT));
        assert!(long.len() <= MAX_TEXT + '…'.len_utf8() && long.ends_with('…'));
    }
}
