//! What dbt's own documents say of a build that was made for a lease.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What shows that a build was the promotion's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbtProof {
    /// Which dbt built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_version: Option<String>,
    /// By which adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The target that it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The databases in which it put something.
    pub databases: BTreeSet<String>,
    /// The run, as dbt names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// When its manifest was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<Timestamp>,
    /// How many nodes came to which end.
    pub nodes: BTreeMap<String, u64>,
    /// How many nodes' code was compared with dev's.
    pub compared: u64,
}
