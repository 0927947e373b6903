//! `gatekeeper schema`: JSON Schemas, generated from the types that the gatekeeper itself reads or writes with.

use gatekeeper_model::{front_matter::FrontMatter, manifest::Manifest, policy::Policy};
use gatekeeper_promotion::{identities::Identities, stage::StagesConfig};

use crate::{exit::Answer, output::Output};

const EXAMPLES: &str = "\
Examples:
  gatekeeper schema > build-manifest.schema.json
  gatekeeper schema handoff > handoff.schema.json
  gatekeeper schema policy > policy.schema.json
  gatekeeper schema identities > identities.schema.json
  gatekeeper schema stages > stages.schema.json";

/// Prints the JSON Schema of build-manifest.json, of the front matter of handoff documents, or of a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which one
    #[arg(value_name = "DOCUMENT", value_enum, default_value_t = Document::Manifest)]
    document: Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Document {
    /// build-manifest.json
    Manifest,
    /// The YAML front matter of `{module}-ci-{built|deployed}-{sha}.handoff.md`
    Handoff,
    /// config/policy.json of the records bucket
    Policy,
    /// config/identities.json of the records bucket
    Identities,
    /// config/stages.json of the records bucket
    Stages,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let schema = match args.document {
        Document::Manifest => Manifest::json_schema(),
        Document::Handoff => FrontMatter::json_schema(),
        Document::Policy => Policy::json_schema(),
        Document::Identities => Identities::json_schema(),
        Document::Stages => StagesConfig::json_schema(),
    };
    output.result(&schema, &serde_json::to_string_pretty(&schema)?)?;
    Ok(Answer::Yes)
}
