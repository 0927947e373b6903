//! The core of artefact-gatekeeper: what is stored is judged here, and what is promoted is planned here.
//!
//! Without the feature `aws` nothing in this package knows a clock, a network or an environment.
#![recursion_limit = "256"] // the AWS clients' futures nest deeply

pub mod artefact;
pub mod attestation;
#[cfg(feature = "aws")]
pub mod aws;
pub mod converge;
#[cfg(feature = "database")]
pub mod database;
pub mod drift;
pub mod event;
#[cfg(feature = "evidence")]
pub mod evidence;
pub mod finding;
pub mod flyway;
pub mod gate;
pub mod handoff;
pub mod identities;
pub mod identity;
pub mod ids;
pub mod ledger;
pub mod manifest;
pub mod policy;
pub mod promotion;
pub mod report;
pub mod revocation;
pub mod schema_snapshot;
pub mod stage;
pub mod store;
pub mod store_key;
mod strict_json;
pub mod telemetry;
pub mod verdict;
