//! Where a database is.

use serde::{Deserialize, Serialize};

/// Where a database is, as far as its stage's entry tells beside the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The server's name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The server's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The database's name on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbname: Option<String>,
}
