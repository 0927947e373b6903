//! The step against a real PostgreSQL, the real Flyway and the real `pg_dump`. `make test-e2e` starts the PostgreSQL.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests, and the helpers of tests")]

mod configuration;
mod history;
mod migrate;
mod parity;
mod pending;
mod safety;
mod stage;
