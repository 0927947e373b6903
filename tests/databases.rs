//! What the gate says of migrations and schema snapshots without a database, held against the real Flyway and the real
//! `pg_dump`: `make test-e2e`.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod flyway_checksums;
mod schema_snapshots;
