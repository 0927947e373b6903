//! What Flyway does to a migration file, its name and its history, without Flyway: the gate needs no JVM and no database.
//!
//! Every rule is that of Flyway Community 11.8.2 on PostgreSQL, found out by running it; what a `flyway.toml` may change of
//! its defaults is in [`settings`].

pub mod checksum;
pub mod commit;
pub mod files;
pub mod history;
pub mod migration_name;
pub mod settings;

/// The largest migration file that is read, in bytes: 64 MiB. It is streamed, so this bounds time and disk.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
