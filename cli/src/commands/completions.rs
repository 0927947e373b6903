//! `gatekeeper completions`: what makes a shell complete this command's arguments.

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde_json::json;

use crate::{Cli, exit::Answer, output::Output};

const EXAMPLES: &str = "\
Examples:
  gatekeeper completions bash > ~/.local/share/bash-completion/completions/gatekeeper
  gatekeeper completions zsh > ~/.zfunc/_gatekeeper            where ~/.zfunc is in fpath
  gatekeeper completions fish > ~/.config/fish/completions/gatekeeper.fish
  gatekeeper completions powershell >> $PROFILE";

/// Prints the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gatekeeper", &mut script);
    let script = String::from_utf8(script)?;
    output.result(&json!({"shell": args.shell.to_string(), "script": script}), &script)?;
    Ok(Answer::Yes)
}
