//! Schema snapshots, `pg_dump --schema-only` (ADR-053 problem 3 and CI step 10): judged, brought to a normal form and
//! compared.

mod difference;
mod history;
mod inspect;
mod judge;
mod layout;
mod lexer;
mod normal_form;
mod not_null;
mod object;
mod rewrite;
mod statement;
#[cfg(test)]
mod tests;
mod view;

pub use self::{
    difference::{Changed, Difference, difference},
    inspect::inspect,
    normal_form::{Include, NormalForm, normal_form},
};

/// The largest snapshot that is read, in bytes: 64 MiB. PostgreSQL names no figure; 5 MB is a large schema.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
