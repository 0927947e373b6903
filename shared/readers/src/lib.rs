//! One reader for each kind of artefact and report: bytes and limits in, findings out.
//!
//! What is read comes from whoever holds CI's credentials, so nothing of it is believed and nothing of it is unbounded:
//! files are read as streams, and what can't be read is a finding and never "absent". A reader knows its format and what the
//! manifest claims of the file; it knows no store, no AWS, no clock and no other commit, and starts nothing.

#![warn(missing_docs)] // others build on this crate

mod bounded_json;
pub mod dbt;
pub mod flyway;
pub mod function_spec;
pub mod lambda_zip;
pub mod pulumi;
pub mod report;
pub mod schema_snapshot;
mod shown;
pub mod template;
