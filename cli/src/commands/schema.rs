//! `gatekeeper schema`: the manifest's JSON Schema, generated from the types that the gate reads manifests with.

use gatekeeper::manifest::Manifest;

use crate::{exit::Answer, output::Output};

/// Prints the JSON Schema of build-manifest.json
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gatekeeper schema > build-manifest.schema.json")]
pub(crate) struct Args {}

pub(crate) fn run(output: &mut Output) -> anyhow::Result<Answer> {
    let schema = Manifest::json_schema();
    output.result(&schema, &serde_json::to_string_pretty(&schema)?)?;
    Ok(Answer::Yes)
}
