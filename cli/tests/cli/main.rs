//! The command line as a shell runs it: exit codes, standard output, standard error (CONTRACT §9).

#![expect(clippy::unwrap_used, reason = "a test whose set-up fails shall fail")]

mod authors;
mod check;
mod collect;
mod colours;
mod common;
mod errors;
mod evidence;
mod exit_codes;
mod explain;
mod flyway;
mod help;
mod keys;
mod man;
mod profiles;
mod publish;
mod reports;
mod run;
mod schema;
mod snapshot;
