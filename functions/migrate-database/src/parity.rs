//! Schema parity: the live schema held against the snapshot that was integration-tested with the commit.

use crate::{Trouble, files};
use gatekeeper::{
    database::{Database, DatabaseError},
    finding::Finding,
    promotion::{plan::PlannedDatabase, record::SchemaComparison},
    schema_snapshot::{self, Include},
    stage::SchemaParity,
    store::Store,
};

/// The most of a difference that goes into a record, in bytes.
const MAX_DIFFERENCE: usize = 8 * 1024;

/// What the comparison came to.
#[derive(Debug)]
pub struct Parity {
    /// What goes into the record.
    pub comparison: SchemaComparison,
    /// The server's version.
    pub server_version: Option<String>,
    /// `pg_dump`'s version.
    pub pg_dump_version: Option<String>,
}

/// Why there is no comparison.
#[derive(Debug)]
pub enum NoParity {
    /// The database could not be dumped.
    Database(DatabaseError),
    /// The snapshot or the dump is none that can be compared.
    Findings(Vec<Finding>),
}

/// Dumps the live schema and compares.
///
/// # Errors
/// Where the store could not be read.
pub async fn parity(
    artefacts: &impl Store,
    database: &Database,
    planned: &PlannedDatabase,
) -> Result<Result<Parity, NoParity>, Trouble> {
    let tested = match files::pinned(artefacts, &planned.snapshot).await? {
        Ok(tested) => tested,
        Err(finding) => return Ok(Err(NoParity::Findings(vec![finding]))),
    };
    let live = match database.dump_schema().await {
        Ok(live) => live,
        Err(error) => return Ok(Err(NoParity::Database(error))),
    };
    let normal = |bytes: &[u8]| schema_snapshot::normal_form(bytes, Include::default()).map_err(NoParity::Findings);
    let (tested, normal_live) = match (normal(&tested), normal(&live.bytes)) {
        (Ok(tested), Ok(live)) => (tested, live),
        (Err(wrong), _) | (_, Err(wrong)) => return Ok(Err(wrong)),
    };
    let difference = schema_snapshot::difference(&tested, &normal_live).map(|it| capped(it.to_string()));
    let comparison = SchemaComparison {
        equal: difference.is_none(),
        mode: planned.schema_parity,
        tested_sha256: tested.sha256(),
        live_sha256: normal_live.sha256(),
        snapshot_key: planned.snapshot.key.clone(),
        snapshot_version_id: planned.snapshot.version_id.clone(),
        difference,
    };
    let (server_version, pg_dump_version) = (live.server_version, live.pg_dump_version);
    Ok(Ok(Parity { comparison, server_version, pg_dump_version }))
}

impl Parity {
    /// What stops the promotion: a difference where the stage requires that there is none.
    #[must_use]
    pub fn refusal(&self, planned: &PlannedDatabase) -> Option<&str> {
        self.comparison.difference.as_deref().filter(|_| planned.schema_parity == SchemaParity::Required)
    }

    /// What it came to, in words.
    #[must_use]
    pub fn words(&self) -> &'static str {
        if self.comparison.equal {
            "its schema is the one that was tested"
        } else {
            "its schema is not the one that was tested"
        }
    }
}

impl std::fmt::Display for NoParity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(error) => write!(f, "its schema can't be compared: {error}"),
            Self::Findings(findings) => {
                write!(f, "its schema can't be compared: {}", crate::check::listed(findings))
            }
        }
    }
}

fn capped(mut text: String) -> String {
    if text.len() > MAX_DIFFERENCE {
        text.truncate(text.floor_char_boundary(MAX_DIFFERENCE));
        text.push_str("\n… and more");
    }
    text
}
