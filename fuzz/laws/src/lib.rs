//! What must hold whatever bytes the readers are given: a function for each kind of input, which panics where a law is
//! broken. libFuzzer calls them with what it changes at random, and a test of this package with the corpora, so that
//! what was found once stays found.
//!
//! `fuzz/README.md` says what the laws are in words.

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a law that is broken is told by a panic"
)]

mod attestation;
mod dbt;
mod documents;
mod flyway;
mod input;
mod junit;
mod keys;
mod product;
mod pulumi;
mod reports;
mod snapshot;
mod template;
mod zip;

pub use self::{
    attestation::attestation, documents::documents, flyway::flyway, junit::junit, reports::reports, snapshot::snapshot,
    template::template, zip::zip,
};

/// A law over bytes.
pub type Law = fn(&[u8]);

/// Every law by its name, which is also that of its fuzz target and of the folders of its inputs.
pub const LAWS: [(&str, Law); 8] = [
    ("attestation", attestation),
    ("documents", documents),
    ("flyway", flyway),
    ("junit", junit),
    ("reports", reports),
    ("snapshot", snapshot),
    ("template", template),
    ("zip", zip),
];
