//! What the end-to-end tests stand on: the local AWS with the gatekeeper deployed, under IAM enforcement.
//!
//! The tests know the gatekeeper by its contract only: objects in, tags, verdicts, records and log lines out. Each
//! test has a repository of its own, so all of them run on one instance at once. Nothing here waits for a while:
//! everything waits for a condition.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "it is a test's part, and fails as one"
)]

pub mod commit;
pub mod databases;
pub mod instance;
pub mod odd_migrations;
pub mod promotion;
pub mod registry;
pub mod watch;
pub mod zips;

use std::io::Write as _;

/// Tells a figure beside the tests' own output, which the test runner keeps to itself when a test passes.
pub fn tell(what: &str) {
    // There is nowhere to tell of a failure.
    let _ = writeln!(std::io::stderr(), "  {what}");
}
