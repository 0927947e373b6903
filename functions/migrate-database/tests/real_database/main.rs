//! The step against a real PostgreSQL, the real Flyway and the real `pg_dump`. `make test-e2e` starts the PostgreSQL.

mod history;
mod migrate;
mod parity;
mod safety;
mod stage;
