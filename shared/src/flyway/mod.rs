//! What Flyway does to a migration file, its name and its history, without Flyway: the gate needs no JVM and no database.
//!
//! Every rule is that of Flyway Community 11.8.2 in its default configuration on PostgreSQL, found out by running it.

pub mod checksum;
pub mod files;
pub mod history;
pub mod migration_name;

/// The largest migration file that is read, in bytes: 64 MiB. It is streamed, so this bounds time and disk.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
