//! What is generated from the types.
//!
//! The state machine is not: it is written by hand, and a test of `gatekeeper-promotion` holds it and the table of
//! transitions equal.

use std::fmt::Write as _;

use gatekeeper_model::{finding::Code, front_matter::FrontMatter, manifest::Manifest, policy::Policy};
use gatekeeper_promotion::{identities::Identities, stage::StagesConfig};

const REASON_CODES_HEAD: &str = "\
# Reason codes

Every `code` that a verdict, a refused promotion or a log line may give as a reason. A code is
stable: scripts and alarms may match it. The `message` beside it is for people and may change;
`subject` says what it is about: an object's key, a function, a suite, a field.

`gatekeeper explain CODE` tells the same in a terminal, with a line that shows what to do.

This table is made from `codes!` in `shared/model/src/finding.rs` and `remedies!` beside it. After a
change there:

    make schema

| code | meaning | what to do |
|---|---|---|
";

/// Every generated file: its path from the project's folder, and its text.
pub(crate) fn files() -> anyhow::Result<Vec<(&'static str, String)>> {
    let schema = |schema: serde_json::Value| serde_json::to_string_pretty(&schema).map(|text| text + "\n");
    Ok(vec![
        ("shared/build-manifest.schema.json", schema(Manifest::json_schema())?),
        ("shared/handoff.schema.json", schema(FrontMatter::json_schema())?),
        ("shared/identities.schema.json", schema(Identities::json_schema())?),
        ("shared/policy.schema.json", schema(Policy::json_schema())?),
        ("shared/stages.schema.json", schema(StagesConfig::json_schema())?),
        ("docs/reason-codes.md", reason_codes()?),
    ])
}

/// Every code that a verdict or a refusal may give, and no other.
fn reason_codes() -> Result<String, std::fmt::Error> {
    let mut table = REASON_CODES_HEAD.to_owned();
    for (code, meaning) in Code::ALL {
        let warns = if code.is_warning() { " (a warning: nothing is refused because of it)" } else { "" };
        writeln!(table, "| `{code}` | {meaning}{warns} | {} |", code.remedy().what_to_do)?;
    }
    Ok(table)
}
