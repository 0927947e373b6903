//! Schema parity: the live schema held against the snapshot that was integration-tested with the commit.

use gatekeeper_database::{Database, DatabaseError};
use gatekeeper_model::finding::Finding;
use gatekeeper_promotion::{plan::PlannedDatabase, record::SchemaComparison, stage::SchemaParity};
use gatekeeper_readers::{schema_snapshot, schema_snapshot::Include};
use gatekeeper_store::ReadStore;

use crate::{Trouble, files};

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
    artefacts: &impl ReadStore,
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
    let partitioned: Vec<_> = planned.partitions.iter().cloned().collect();
    let compared = schema_snapshot::compare(&tested, &normal_live, &partitioned);
    let comparison = SchemaComparison {
        equal: compared.difference.is_none(),
        mode: planned.schema_parity,
        tested_sha256: compared.tested_sha256,
        live_sha256: compared.live_sha256,
        snapshot_key: planned.snapshot.key.clone(),
        snapshot_version_id: planned.snapshot.version_id.clone(),
        difference: compared.difference.map(|it| capped(it.to_string())),
        server_limits: compared.limits,
        server_limits_accepted: planned.accept_server_limits,
    };
    let (server_version, pg_dump_version) = (live.server_version, live.pg_dump_version);
    Ok(Ok(Parity { comparison, server_version, pg_dump_version }))
}

impl Parity {
    /// What stops the promotion where the stage requires parity: a difference, or what the older of two servers can't
    /// hold unless the stage accepts that.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let SchemaComparison { mode, difference, server_limits, server_limits_accepted, .. } = &self.comparison;
        if *mode != SchemaParity::Required {
            return None;
        }
        let limits = server_limits.as_ref().filter(|_| !server_limits_accepted);
        let limits = limits.map(|limits| {
            format!("{limits}\nset `accept_server_limits` in the database's entry of config/stages.json to accept that")
        });
        let reasons: Vec<String> = difference.iter().cloned().chain(limits).collect();
        (!reasons.is_empty()).then(|| reasons.join("\n"))
    }

    /// What it came to, in words.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match (self.comparison.equal, &self.comparison.server_limits) {
            (true, None) => "its schema is the one that was tested",
            (true, Some(_)) => "its schema is the one that was tested, as far as both servers can hold it",
            (false, _) => "its schema is not the one that was tested",
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
