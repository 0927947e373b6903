//! What a runner does in a stage: `pulumi up` and `dbt build`, which the gatekeeper does not run itself.

use gatekeeper_model::ids::StageName;
use serde::{Deserialize, Serialize};

/// How long a runner has for its part, in minutes, where a stage doesn't tell.
const LEASE_MINUTES: u16 = 60;

/// The shortest and the longest lease, in minutes.
const MINUTES: std::ops::RangeInclusive<u16> = 5..=180;

/// The longest name of a target, project, stack or database.
const MAX_NAME: usize = 128;

/// How long a lease lasts where a stage doesn't tell.
pub(super) fn default_lease_minutes() -> u16 {
    LEASE_MINUTES
}

/// Whether a stage's lease is one that there may be.
pub(super) fn lease_is_possible(minutes: u16, stage: &StageName) -> Result<(), String> {
    if MINUTES.contains(&minutes) {
        return Ok(());
    }
    let (least, most) = MINUTES.into_inner();
    Err(format!("`lease_minutes` of `{stage}` is {minutes}, and {least} to {most} are"))
}

/// The Pulumi stack that a repository's program is applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PulumiTarget {
    /// Where the state is: `s3://` and a bucket, with a folder of it or none.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$")))]
    pub backend: String,
    /// The project, as `Pulumi.yaml` names it.
    pub project: String,
    /// The stack.
    pub stack: String,
    /// The role that reads history and state; none where the gatekeeper's own may.
    #[serde(default)]
    pub read_role_arn: Option<String>,
}

impl PulumiTarget {
    /// Whether it can be one.
    pub(super) fn is_possible(&self) -> Result<(), String> {
        let bucket_and_folder = self.backend.strip_prefix("s3://").unwrap_or_default();
        let (bucket, folder) = bucket_and_folder.split_once('/').unwrap_or((bucket_and_folder, ""));
        let in_folder = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        if bucket.parse::<gatekeeper_model::ids::BucketName>().is_err() || !folder.chars().all(in_folder) {
            return Err(format!(
                "`backend` is `{}`, and it is `s3://`, a bucket, and a folder of it or none: only such a backend can be read \
                 without Pulumi's word",
                short(&self.backend)
            ));
        }
        name_is_possible("project", &self.project)?;
        name_is_possible("stack", &self.stack)
    }
}

/// The target that a repository's dbt models are built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DbtTarget {
    /// The target, as dbt's profile names it.
    pub target: String,
    /// The adapter, such as `snowflake`.
    pub adapter: String,
    /// The database in which everything is put.
    pub database: String,
    /// The schema in which everything is put, or in one whose name goes on from it by `_`; any where it isn't told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

impl DbtTarget {
    /// Whether it can be one.
    pub(super) fn is_possible(&self) -> Result<(), String> {
        name_is_possible("target", &self.target)?;
        name_is_possible("adapter", &self.adapter)?;
        name_is_possible("database", &self.database)?;
        self.schema.as_ref().map_or(Ok(()), |schema| name_is_possible("schema", schema))
    }
}

/// Whether a name is one that a command line may hold as it is: no shell of a runner reads anything else in it.
fn name_is_possible(field: &str, name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') || !name.chars().all(allowed) {
        return Err(format!(
            "`{field}` is `{}`, and it is 1 to {MAX_NAME} of letters, digits, `.`, `_`, `$` and `-`, not starting with `-`",
            short(name)
        ));
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
