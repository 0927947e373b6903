//! `gatekeeper rollback`: the manual event with `"rollback": true` (CONTRACT §5).

use gatekeeper_model::ids::Repo;

use super::promote::{Common, Direction, ask};
use crate::{exit::Answer, output::Output, sha::GivenSha};

const USAGE: &str = "\
gatekeeper rollback [OPTIONS] --repo <REPO> --stage <STAGE> --reason <TEXT>
       gatekeeper rollback [OPTIONS] --complete <FILE>";

const EXAMPLES: &str = "\
Examples:
  gatekeeper rollback --repo bank-payments --stage uat --reason 'payments time out'
  gatekeeper rollback --repo bank-payments --stage uat --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --reason 'back to April'
  gatekeeper rollback --repo bank-risk-platform --stage uat --reason 'wrong figures' --lease lease.json
  gatekeeper rollback --complete lease.json --evidence target";

/// Brings a stage back to a commit that was promoted to it earlier, and follows the steps
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Args {
    /// The repository
    #[arg(long, value_name = "REPO", required_unless_present = "complete")]
    repo: Option<Repo>,
    /// The commit, in full or by its first 7 digits or more; without it the one before the present one
    #[arg(long, value_name = "SHA")]
    sha: Option<GivenSha>,
    /// Go back although the live schema is not the one that was tested with the commit
    #[arg(long)]
    accept_schema_difference: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let direction = Direction::Back { accept_schema_difference: args.accept_schema_difference };
    ask(args.repo.as_ref(), args.sha.as_ref(), direction, &args.common, output).await
}
