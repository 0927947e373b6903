//! `gatekeeper flyway`: a database's migrations in CI (ADR-053 CI step 4).

mod checksums;
mod validate;

use std::collections::BTreeMap;

use clap::Subcommand;
use gatekeeper_model::{ids::DatabaseName, manifest::Flyway};

use crate::{exit::Answer, migrations::Checksums, output::Output};

const EXAMPLES: &str = "\
Examples:
  gatekeeper flyway checksums migrations/payments --database payments
  DATABASE_URL='postgresql://…' gatekeeper flyway validate migrations/payments --database payments --write build/flyway.json";

/// Checks Flyway migrations, and makes the manifest's part about them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Checksums(checksums::Args),
    Validate(Box<validate::Args>),
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    match &args.command {
        Command::Checksums(args) => checksums::run(args, output),
        Command::Validate(args) => validate::run(args, output).await,
    }
}

/// The manifest's `flyway` for one database (CONTRACT §3).
type Part = BTreeMap<DatabaseName, Flyway>;

fn part(database: &DatabaseName, validated: bool, checksums: Checksums) -> Part {
    [(database.clone(), Flyway::of_checksums(validated, checksums))].into()
}
