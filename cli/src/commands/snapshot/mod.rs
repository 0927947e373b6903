//! `gatekeeper snapshot`: the schema that was tested, as evidence (ADR-053 problem 3, CI step 10).

mod compare;
mod take;

use clap::Subcommand;

use crate::{exit::Answer, output::Output};

const EXAMPLES: &str = "\
Examples:
  DATABASE_URL='postgresql://…' gatekeeper snapshot take --database payments --out build/payments-schema.sql
  gatekeeper snapshot compare build/payments-schema.sql uat.sql";

/// Takes snapshots of schemas, and compares them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Take(Box<take::Args>),
    Compare(compare::Args),
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    match &args.command {
        Command::Take(args) => take::run(args, output).await,
        Command::Compare(args) => compare::run(args, output),
    }
}
