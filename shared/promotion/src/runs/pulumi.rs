//! What the backend's history and state say of an update that was made for a lease.

use gatekeeper_model::ids::{Sha256, VersionId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What shows that an update was the promotion's: read from the backend, not from the runner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulumiProof {
    /// Where the state is.
    pub backend: String,
    /// The project.
    pub project: String,
    /// The stack.
    pub stack: String,
    /// The entry of the history, by its key.
    pub history_key: String,
    /// The SHA-256 of the entry.
    pub history_sha256: Sha256,
    /// The state, by its key.
    pub state_key: String,
    /// The version of the state; none in a bucket that keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version_id: Option<VersionId>,
    /// The SHA-256 of the state.
    pub state_sha256: Sha256,
    /// The version of Pulumi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulumi_version: Option<String>,
    /// When the update began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many resources each operation was done with.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub resource_changes: std::collections::BTreeMap<String, u64>,
}
