//! `gatekeeper ledger`: what was asked of each stage and what became of it, in an order that nobody can change afterwards.

mod signatures;
mod verify;

use clap::Subcommand;

use crate::{exit::Answer, output::Output};

const EXAMPLES: &str = "\
Examples:
  gatekeeper ledger verify
  gatekeeper ledger verify --stage uat --repo bank-payments
  gatekeeper ledger verify --against heads-2026-04 --keep heads-2026-05
  gatekeeper ledger signatures cloudtrail-2026-05/";

/// Checks the ledger
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Box<verify::Args>),
    Signatures(Box<signatures::Args>),
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    match &args.command {
        Command::Verify(args) => verify::run(args, output).await,
        Command::Signatures(args) => signatures::run(args, output).await,
    }
}
