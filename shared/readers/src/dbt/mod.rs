//! What dbt writes of a project and of a run of it: `manifest.json` and `run_results.json` (ADR-053, "dbt").
//!
//! They may have hundreds of megabytes, so each is read as a stream, member by member: what is kept are names, and how many
//! of them has a bound.

pub mod check;
pub mod code;
pub mod manifest;
pub(crate) mod object;
pub mod relation;
pub mod run_results;
#[cfg(test)]
mod tests;

use crate::{
    bounded_json::{Bounds, Failure, OutOfBounds},
    shown::shown,
};

/// The longest string, in bytes as written: the code of a node is one, and Snowflake takes statements of 1 MiB. Tests
/// needn't write as much to pass the bound.
const MAX_STRING: usize = if cfg!(test) { 64 * 1024 } else { 4 * 1024 * 1024 };

/// The most names that are kept of a document, in bytes: of projects with 100,000 nodes.
const MAX_NAMES: usize = if cfg!(test) { 64 * 1024 } else { 16 * 1024 * 1024 };

/// What both documents keep to; what lies deeper than the ids of dependencies is passed over.
const BOUNDS: Bounds = Bounds { depth: 128, string: MAX_STRING, strings_down_to: 6, member: usize::MAX };

/// How many nodes a message names.
const NAMED: usize = 5;

/// The oldest schemas that are read, dbt 1.0's.
const OLDEST: u32 = 4;

/// Why documents of `kind` with this schema version can't be judged; `of` is what a message calls them.
fn schema_problem(version: Option<&str>, kind: &str, of: &str) -> Option<String> {
    let Some(version) = version else {
        return Some("`metadata.dbt_schema_version` is missing or no string".to_owned());
    };
    if schema_number(version, kind).is_some_and(|it| it >= OLDEST) {
        return None;
    }
    Some(format!(
        "`metadata.dbt_schema_version` is `{}`, this gate knows those of {of} from v{OLDEST} on",
        shown(version)
    ))
}

/// The number of a schema version of `kind`, such as 12 of `https://schemas.getdbt.com/dbt/manifest/v12.json`.
fn schema_number(version: &str, kind: &str) -> Option<u32> {
    let rest = version.strip_prefix("https://schemas.getdbt.com/dbt/")?.strip_prefix(kind)?.strip_prefix("/v")?;
    let number = rest.strip_suffix(".json").unwrap_or(rest);
    number.parse().ok().filter(|parsed: &u32| parsed.to_string() == number)
}

/// Why a document was not read, as a finding says it; an error where its bytes could not be read.
fn told(failure: Failure, kind: &str) -> std::io::Result<String> {
    match failure {
        Failure::Io(error) => Err(error),
        Failure::OutOfBounds(bound @ OutOfBounds::Depth(_)) => Ok(format!("the document is {bound}")),
        Failure::OutOfBounds(bound) => Ok(format!("the document has {bound}")),
        Failure::Invalid(message) => Ok(format!("not {kind}: {message}")),
    }
}

/// The first of some names, as a message lists them.
fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let first: Vec<_> = names.by_ref().take(NAMED).map(|name| format!("`{}`", shown(name))).collect();
    match names.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
