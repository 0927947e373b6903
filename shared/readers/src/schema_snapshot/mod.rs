//! Schema snapshots, `pg_dump --schema-only` (ADR-053 problem 3 and CI step 10): judged, brought to a normal form and
//! compared.

mod alter;
mod compare;
mod difference;
mod history;
mod inspect;
mod judge;
mod layout;
mod lexer;
mod limits;
mod names;
mod normal_form;
mod not_null;
mod object;
mod order;
mod partitions;
mod relation;
mod rewrite;
mod routine;
mod statement;
#[cfg(test)]
mod tests;
mod view;

pub use self::{
    compare::{Comparison, compare},
    difference::{Changed, Difference, difference},
    inspect::inspect,
    limits::ServerLimits,
    normal_form::{Include, NormalForm, normal_form},
};

/// The largest snapshot that is read, in bytes: 64 MiB. PostgreSQL names no figure; 5 MB is a large schema.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
