//! `gatekeeper stages` and `gatekeeper policy`: what is configured, looked at, checked and written.

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use gatekeeper_aws::s3::S3Store;
use gatekeeper_database::lint;
use gatekeeper_model::{policy::Policy, store_key::RecordKey};
use gatekeeper_promotion::{stage, stage::StagesConfig};
use gatekeeper_store::{Body, Precondition, ReadStore, WriteStore, Written};
use serde_json::{Value, json};

use crate::{
    aws::{Aws, PlaceArgs},
    exit::{Answer, Misuse},
    json_diff,
    json_diff::{Difference, differences},
    output::{Output, bad, good},
    schema_check::{Wrong, wrong_places},
};

const STAGES_EXAMPLES: &str = "\
Examples:
  gatekeeper stages get > stages.json
  gatekeeper stages check stages.json
  gatekeeper stages put stages.json --dry-run
  gatekeeper stages put stages.json";

const POLICY_EXAMPLES: &str = "\
Examples:
  gatekeeper policy get > policy.json
  gatekeeper policy check policy.json
  gatekeeper policy put policy.json --dry-run
  gatekeeper policy put policy.json";

const GET_EXAMPLES: &str = "\
Examples:
  gatekeeper stages get > stages.json
  gatekeeper policy get --output json";

const CHECK_EXAMPLES: &str = "\
Examples:
  gatekeeper stages check stages.json
  gatekeeper policy check infra/policy.json --output json";

const PUT_EXAMPLES: &str = "\
Examples:
  gatekeeper stages put stages.json --dry-run
  gatekeeper policy put policy.json --profile deployer";

/// Prints, checks and writes the configuration of the stages, config/stages.json
#[derive(Debug, clap::Args)]
#[command(after_help = STAGES_EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct StagesArgs {
    #[command(subcommand)]
    command: Command,
}

/// Prints, checks and writes the policy, config/policy.json
#[derive(Debug, clap::Args)]
#[command(after_help = POLICY_EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(GetArgs),
    Check(CheckArgs),
    Put(PutArgs),
}

/// Prints the document as it is stored
#[derive(Debug, clap::Args)]
#[command(after_help = GET_EXAMPLES)]
struct GetArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Checks a file: every place that is wrong, with the field that was meant. No AWS is needed
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
struct CheckArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Checks a file, shows what it changes, and writes it where nobody else has written meanwhile
///
/// Only deployers may write it: the principals of the parameter `DeployerPrincipalArns`.
#[derive(Debug, clap::Args)]
#[command(after_help = PUT_EXAMPLES)]
struct PutArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check and show only
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    Stages,
    Policy,
}

impl Document {
    pub(super) fn key(self) -> RecordKey {
        match self {
            Self::Stages => RecordKey::StagesConfig,
            Self::Policy => RecordKey::PolicyConfig,
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Stages => StagesConfig::json_schema(),
            Self::Policy => Policy::json_schema(),
        }
    }

    /// What the type that everybody reads it with says.
    fn parse(self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Stages => StagesConfig::parse(bytes).map_err(|finding| finding.message).and_then(|it| rules(&it)),
            Self::Policy => Policy::parse(bytes).map(|_| ()).map_err(|error| error.to_string()),
        }
    }

    /// Everything that is wrong with a document: each place by its schema, and what only the type knows.
    pub(super) fn check(self, bytes: &[u8]) -> Vec<Wrong> {
        let whole = |message: String| Wrong { path: self.key().to_string(), message };
        if bytes.len() as u64 > stage::MAX_BYTES {
            return vec![whole(format!("it has {} bytes, at most {} are read", bytes.len(), stage::MAX_BYTES))];
        }
        let document: Value = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            Err(error) => return vec![whole(format!("it is not JSON: {error}"))],
        };
        let wrong = wrong_places(&self.schema(), &document);
        match self.parse(bytes) {
            // The places say it better.
            Err(message) if wrong.is_empty() => vec![whole(message)],
            _ => wrong,
        }
    }
}

/// Whether Squawk has every rule that a stage refuses.
fn rules(config: &StagesConfig) -> Result<(), String> {
    for (stage, entry) in &config.stages {
        for (database, entry) in &entry.databases {
            if let Some(rule) = lint::unknown(&entry.refuse_migrations).next() {
                return Err(format!(
                    "`refuse_migrations` of database `{database}` of `{stage}`: `{rule}` is no rule of Squawk's, \
                     https://squawkhq.com/docs/rules"
                ));
            }
        }
    }
    Ok(())
}

pub(crate) async fn stages(args: &StagesArgs, output: &mut Output) -> anyhow::Result<Answer> {
    run(Document::Stages, &args.command, output).await
}

pub(crate) async fn policy(args: &PolicyArgs, output: &mut Output) -> anyhow::Result<Answer> {
    run(Document::Policy, &args.command, output).await
}

async fn run(document: Document, command: &Command, output: &mut Output) -> anyhow::Result<Answer> {
    match command {
        Command::Get(args) => get(document, &records(&args.place).await?, output).await,
        Command::Check(args) => {
            let wrong = document.check(&read(&args.file)?);
            told(&args.file, &wrong, output)
        }
        Command::Put(args) => {
            let bytes = read(&args.file)?;
            let wrong = document.check(&bytes);
            if !wrong.is_empty() {
                return told(&args.file, &wrong, output);
            }
            let records = records(&args.place).await?;
            put(document, &bytes, args.dry_run, &records, output).await
        }
    }
}

async fn records(place: &PlaceArgs) -> anyhow::Result<S3Store> {
    Aws::at(place).await?.records().await
}

fn read(file: &Path) -> Result<Vec<u8>, Misuse> {
    fs::read(file).map_err(|error| Misuse(format!("`{}` can't be read: {error}", file.display())))
}

/// Whether a file is good, and every place that is not.
fn told(file: &Path, wrong: &[Wrong], output: &mut Output) -> anyhow::Result<Answer> {
    let text = if wrong.is_empty() {
        format!("{}  {}", good("good"), file.display())
    } else {
        let places = wrong.iter().map(|Wrong { path, message }| format!("\n  {}\n    {message}\n", bad(path)));
        let places = places.collect::<Vec<_>>().concat();
        format!("{}  {}\n{places}", bad("wrong"), file.display())
    };
    output.result(&json!({"file": file, "good": wrong.is_empty(), "wrong": wrong}), &text)?;
    Ok(Answer::yes_if(wrong.is_empty()))
}

pub(super) async fn stored(document: Document, records: &impl ReadStore) -> anyhow::Result<Option<Body>> {
    Ok(records.get(&document.key().to_string(), None, stage::MAX_BYTES).await?)
}

async fn get(document: Document, records: &impl ReadStore, output: &mut Output) -> anyhow::Result<Answer> {
    let key = document.key().to_string();
    let Some(body) = stored(document, records).await? else {
        output.result(&json!({"key": key, "document": null}), &format!("there is no `{key}` yet"))?;
        return Ok(Answer::No);
    };
    for Wrong { path, message } in document.check(&body.bytes) {
        output.warning(&format!("what is stored is not good: {path}: {message}"));
    }
    let text = String::from_utf8_lossy(&body.bytes).into_owned();
    // What is no JSON is shown as the text that it is.
    let parsed = serde_json::from_slice(&body.bytes).unwrap_or_else(|_| Value::String(text.clone()));
    output.result(&json!({"key": key, "version_id": body.version_id, "document": parsed}), &text)?;
    Ok(Answer::Yes)
}

/// What would change, and under which condition it may be written.
struct Change {
    differences: Vec<Difference>,
    precondition: Precondition,
}

async fn change(document: Document, bytes: &[u8], records: &impl ReadStore) -> anyhow::Result<Change> {
    let body = stored(document, records).await?;
    let to: Value = serde_json::from_slice(bytes)?;
    // Over what is no JSON everything is new.
    let before = body.as_ref().and_then(|body| serde_json::from_slice(&body.bytes).ok());
    let from = before.unwrap_or_else(|| json!({}));
    let precondition = body.map_or(Precondition::Absent, |body| Precondition::Unchanged(body.etag));
    Ok(Change { differences: differences(&from, &to), precondition })
}

async fn put(
    document: Document,
    bytes: &[u8],
    dry_run: bool,
    records: &impl WriteStore,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let key = document.key().to_string();
    let Change { differences, precondition } = change(document, bytes, records).await?;
    let shown = json_diff::text(&differences, 2);
    if differences.is_empty() || dry_run {
        let word = if differences.is_empty() { "unchanged" } else { "would change" };
        output.result(
            &json!({"key": key, "status": word.replace(' ', "-"), "changes": differences}),
            &format!("{}  {key}\n{shown}", good(word)),
        )?;
        return Ok(Answer::Yes);
    }
    output.progress(&shown);
    let written = records.put(&key, bytes, "application/json", &precondition).await;
    let written = written.with_context(|| {
        format!(
            "`{key}` could not be written; only the principals of the parameter `DeployerPrincipalArns` may write it"
        )
    })?;
    let Written::Done { version_id, .. } = written else {
        return Err(anyhow!(
            "somebody else wrote `{key}` in this moment, and nothing was written: look at it, then put yours again"
        ));
    };
    let result = json!({"key": key, "status": "written", "version_id": version_id, "changes": differences});
    output.result(&result, &format!("{}  {key}, version {version_id}", good("written")))?;
    Ok(Answer::Yes)
}
