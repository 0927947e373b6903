//! `gatekeeper handoffs`: the documents by which bank-wiki learns that a module is Built or Deployed (CONTRACT §7), or is it no longer.

mod pull;
mod stored;

use clap::Subcommand;

use crate::{exit::Answer, output::Output};

const EXAMPLES: &str = "\
Examples:
  gatekeeper handoffs pull --wait --expect built                  on GitHub Actions, after `gatekeeper publish --wait`
  gatekeeper handoffs pull --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --into docs/handoffs";

/// Takes handoff documents to where a workflow commits them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pull(Box<pull::Args>),
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    match &args.command {
        Command::Pull(args) => pull::run(args, output).await,
    }
}
