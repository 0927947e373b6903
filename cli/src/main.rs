//! The command line of artefact-gatekeeper (CONTRACT §9).
//!
//! A command gives an [`exit::Answer`]; what went wrong on the way is an error. One module writes to standard output.

mod assembly;
mod authors;
mod aws;
mod build_folder;
mod child;
mod commands;
mod database;
mod exit;
mod flyway_configuration;
mod folder;
mod follow;
mod git;
mod github;
mod history;
mod json_diff;
mod layout;
mod migrations;
mod nearest;
mod output;
mod profile;
mod provenance;
mod pulumi;
mod reason;
mod records;
mod repo;
mod schema_check;
mod sha;
mod stages;
mod timestamps;
mod upload;
mod whole_file;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use exit::{Answer, Misuse};
use output::{Format, Output};

const EXAMPLES: &str = "\
Exit codes:
  0  yes
  1  the gate said no, or the promotion did not succeed
  2  wrong use
  3  AWS, the network or a database could not be reached, or refused; or a tool is missing
`gatekeeper run` ends as its command does.

Examples:
  gatekeeper collect .sst/dist --module MOD-012
  gatekeeper check build/commit
  gatekeeper publish build/commit --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --branch main --wait
  gatekeeper flyway validate migrations/payments --database payments --write build/flyway.json
  gatekeeper promote --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --stage uat --reason 'release 2026-05'
  gatekeeper status --stage uat --output json
  gatekeeper evidence --stage uat --function authorise-payment";

/// The release gate for AWS Lambda platforms: judges stored builds and promotes exactly the bytes that were tested
///
/// First of all:
///   gatekeeper status                  what every stage runs, and what is under way
///   gatekeeper commits --repo REPO     which commits there are, and what the gate says of them
///   gatekeeper explain CODE            what a reason means, and what to do about it
#[derive(Debug, Parser)]
#[command(name = "gatekeeper", version, verbatim_doc_comment, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    /// How the result is written to standard output; progress goes to standard error
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    output: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Collect(commands::collect::Args),
    Publish(Box<commands::publish::Args>),
    Check(Box<commands::check::Args>),
    StageAssets(Box<commands::stage_assets::Args>),
    Deploy(Box<commands::deploy::Args>),
    Observe(Box<commands::observe::Args>),
    Run(commands::run::Args),
    Flyway(commands::flyway::Args),
    Snapshot(commands::snapshot::Args),
    Handoffs(commands::handoffs::Args),
    Commits(Box<commands::commits::Args>),
    Show(Box<commands::show::Args>),
    Diff(Box<commands::diff::Args>),
    Explain(commands::explain::Args),
    Promote(Box<commands::promote::Args>),
    Approve(Box<commands::approve::Args>),
    Approvals(Box<commands::approvals::Args>),
    Rollback(Box<commands::rollback::Args>),
    Status(Box<commands::status::Args>),
    Follow(Box<commands::follow::Args>),
    Stop(Box<commands::stop::Args>),
    Hold(Box<commands::hold::Args>),
    Release(Box<commands::release::Args>),
    Waive(Box<commands::waive::Args>),
    Waivers(Box<commands::waivers::Args>),
    Evidence(Box<commands::evidence::Args>),
    Verify(commands::verify::Args),
    Revoke(Box<commands::revoke::Args>),
    Revocations(Box<commands::revocations::Args>),
    Ledger(commands::ledger::Args),
    Keys(Box<commands::keys::Args>),
    Doctor(Box<commands::doctor::Args>),
    Stages(Box<commands::configuration::StagesArgs>),
    Policy(Box<commands::configuration::PolicyArgs>),
    Portal(Box<commands::portal::Args>),
    Schema(commands::schema::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

/// The exit code where AWS, the network or a database could not be reached, or refused.
const UNREACHED: u8 = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let Cli { output, command } = Cli::parse();
    let mut output = Output::to_stdout(output);
    let result = run(command, &mut output).await;
    if let Err(error) = &result {
        output.error(error);
        // Whose fault it is nobody sees who takes another account or role for his own.
        if exit::code(&result) == UNREACHED
            && let Some(asked) = aws::asked_as().await
        {
            output.progress(&asked);
        }
    }
    ExitCode::from(exit::code(&result))
}

async fn run(command: Command, output: &mut Output) -> anyhow::Result<Answer> {
    if output.format() == Format::Html && !matches!(command, Command::Evidence(_)) {
        return Err(
            Misuse("only `gatekeeper evidence` writes a page: pass `--output text` or `json`".to_owned()).into()
        );
    }
    match command {
        Command::Collect(args) => commands::collect::run(&args, output),
        Command::Publish(args) => commands::publish::run(&args, output).await,
        Command::StageAssets(args) => commands::stage_assets::run(&args, output).await,
        Command::Deploy(args) => commands::deploy::run(&args, output).await,
        Command::Observe(args) => commands::observe::run(&args, output).await,
        Command::Run(args) => commands::run::run(&args, output).await,
        Command::Check(args) => commands::check::run(&args, output).await,
        Command::Flyway(args) => commands::flyway::run(&args, output).await,
        Command::Snapshot(args) => commands::snapshot::run(&args, output).await,
        Command::Handoffs(args) => commands::handoffs::run(&args, output).await,
        Command::Commits(args) => commands::commits::run(&args, output).await,
        Command::Show(args) => commands::show::run(&args, output).await,
        Command::Diff(args) => commands::diff::run(&args, output).await,
        Command::Explain(args) => commands::explain::run(&args, output),
        Command::Promote(args) => commands::promote::run(&args, output).await,
        Command::Approve(args) => commands::approve::run(&args, output).await,
        Command::Approvals(args) => commands::approvals::run(&args, output).await,
        Command::Rollback(args) => commands::rollback::run(&args, output).await,
        Command::Status(args) => commands::status::run(&args, output).await,
        Command::Follow(args) => commands::follow::run(&args, output).await,
        Command::Stop(args) => commands::stop::run(&args, output).await,
        Command::Hold(args) => commands::hold::run(&args, output).await,
        Command::Release(args) => commands::release::run(&args, output).await,
        Command::Waive(args) => commands::waive::run(&args, output).await,
        Command::Waivers(args) => commands::waivers::run(&args, output).await,
        Command::Evidence(args) => commands::evidence::run(&args, output).await,
        Command::Verify(args) => commands::verify::run(&args, output),
        Command::Revoke(args) => commands::revoke::run(&args, output).await,
        Command::Revocations(args) => commands::revocations::run(&args, output).await,
        Command::Ledger(args) => commands::ledger::run(&args, output).await,
        Command::Keys(args) => commands::keys::run(&args, output).await,
        Command::Doctor(args) => commands::doctor::run(&args, output).await,
        Command::Stages(args) => commands::configuration::stages(&args, output).await,
        Command::Policy(args) => commands::configuration::policy(&args, output).await,
        Command::Portal(args) => commands::portal::run(&args, output).await,
        Command::Schema(args) => commands::schema::run(&args, output),
        Command::Completions(args) => commands::completions::run(&args, output),
        Command::Man(args) => commands::man::run(&args, output),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

    fn parse(arguments: &str) -> Result<Command, clap::Error> {
        let arguments = arguments.replace("SHA", SHA);
        Cli::try_parse_from(std::iter::once("gatekeeper").chain(arguments.split_whitespace())).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn who_approves_and_waives_says_what_and_why() {
        for arguments in [
            "waive --stage prod --repo bank-payments --rule stage-frozen --until 2026-05-07T18:00:00Z --reason fix",
            "waive --stage prod --repo bank-payments --sha SHA --rule soak-not-over --until 2026-05-07T18:00:00Z --reason fix",
            "waive --stage prod --agree 01J0000000000000000000000A --reason tested",
            "waive --stage prod --end 01J0000000000000000000000A --reason done",
            "approvals",
            "approvals --stage prod --mine --output json",
            "waivers",
            "waivers --stage prod --expired --output json",
            "approve --repo bank-payments --sha SHA --stage prod --withdraw --reason fault",
        ] {
            assert!(parse(arguments).is_ok(), "{arguments}");
        }
        for arguments in ["waive --stage prod --reason fix", "waive --stage prod --repo bank-payments --reason fix"] {
            assert!(parse(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn each_command_takes_what_the_contract_says() {
        for arguments in [
            "schema",
            "schema manifest",
            "schema handoff",
            "completions bash",
            "completions powershell",
            "man",
            "man --into share/man/man1",
            "handoffs pull",
            "handoffs pull --repo bank-payments --sha SHA --into docs/handoffs --wait --expect deployed",
            "handoffs pull --wait=600 --profile bank",
            "collect .sst/dist --module MOD-012",
            "collect cdk.out --module MOD-012 --out build --stage dev --application payments --cdk-assets tools",
            "stage-assets build",
            "stage-assets build --dry-run --profile dev --region ap-southeast-2 --endpoint-url http://127.0.0.1:4566",
            "check build",
            "check build --repo bank-payments --sha SHA",
            "check s3://bank-artefacts/bank-payments/SHA/",
            "publish build --repo bank-payments --sha SHA",
            "publish build --wait --expect registered",
            "publish --repo bank-payments --sha SHA --branch main --flyway f.json --observed o.json --wait=600 build",
            "publish build --dry-run",
            "publish build --even-if-rejected",
            "deploy --stage dev --repo bank-payments --commit-sha SHA",
            "deploy --stage dev --repo Bank-Payments --commit SHA --stack-name {stage}-{stack} --dry-run",
            "deploy --stage dev --repo bank-payments --sha SHA --parameter LogLevel=debug --parameter Empty= --profile dev",
            "deploy --stage dev --repo bank-payments --sha SHA --accept-replacement api/Table,api/Bucket --stack-role-arn ARN",
            "observe build --stage dev --repo bank-payments",
            "observe --manifest m.json --stage dev --repo bank-payments --stack-name {repo}-{stage}-{stack} --write o.json",
            "commits --repo bank-payments",
            "commits --repo bank-payments --promotable uat --limit 5 --output json",
            "show 3f1c9a0",
            "show SHA --repo bank-payments --output json",
            "diff uat prod --repo bank-payments",
            "diff uat 3f1c9a0 --repo bank-payments --output json",
            "explain",
            "explain digest-mismatch soak-not-over --output json",
            "promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason release",
            "promote --repo bank-payments --sha SHA --stage uat --reason release",
            "promote --repo bank-payments --sha SHA --stage uat --reason release --requested-by jane@bank.example --dry-run",
            "promote --repo bank-payments --sha SHA --stage uat --reason release --no-follow --output json",
            "promote --repo bank-payments --sha SHA --stage prod --reason release --break-glass",
            "approve --repo bank-payments --sha SHA --stage prod --reason reviewed",
            "approve --repo bank-payments --commit-sha SHA --stage prod --reason reviewed --break-glass",
            "rollback --repo bank-payments --stage uat --reason fault",
            "rollback --repo bank-payments --stage uat --sha SHA --reason fault",
            "evidence --stage uat",
            "evidence --stage uat --repo bank-payments --output html --out evidence.html",
            "evidence --stage uat --function authorise-payment --at 2026-05-02T12:00:00Z",
            "evidence --stage uat --digest ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "evidence --stage uat --digest ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0= --bundle out.zip",
            "evidence --stage uat --outputs outputs.json --endpoint-url http://127.0.0.1:4566",
            "verify evidence.zip",
            "verify evidence.zip --gate-key gate.pem --promotion-key promotion.pem --output json",
            "verify evidence.zip --revocations one.json --revocations other.json --max-age 7d",
            "revocations --repo bank-payments --repo bank-kyc --out revocations.json",
            "revocations --all --out revocations.json --profile bank --output json",
            "handoffs pull --stage uat --expect rolled-back",
            "handoffs pull --expect revoked --wait",
            "follow 01J0000000000000000000000A",
            "stop 01J0000000000000000000000A --reason wrong --no-follow",
            "hold --stage uat --reason errors --profile bank",
            "release --stage uat --reason normal --output json",
            "doctor --profile bank --output json",
            "stages get --profile bank",
            "stages check stages.json",
            "stages put stages.json --dry-run",
            "policy get",
            "policy check policy.json --output json",
            "policy put policy.json",
            "status",
            "status --stage uat --repo bank-payments --profile bank --region ap-southeast-2",
            "portal",
            "portal --port 8053 --profile bank-audit",
            "revoke --repo bank-payments --sha SHA --reason fault --endpoint-url http://127.0.0.1:4566",
            "rollback --repo bank-payments --stage uat --reason fault --accept-schema-difference",
            "keys list",
            "keys new --person jane=jane.pem --person ravi=ravi.pem --out 1.root.json",
            "keys rotate promotion --to ARN --out 2.root.json",
            "keys sign 2.root.json --signature signature --public-key jane.pem",
            "keys publish 2.root.json --profile deployer",
            "verify evidence.zip --root 1.root.json",
            "ledger verify",
            "ledger verify --stage uat --repo bank-payments --against heads --keep heads --profile bank",
            "ledger signatures cloudtrail/ sign.json --profile bank-audit",
            "run unit --dir build -- pnpm test:unit --output json",
            "run deploy --stage uat --dir build --output json -- sst deploy",
            "flyway checksums migrations --database payments",
            "flyway validate migrations --database payments --write flyway.json --placeholder a=b --placeholder c=",
            "flyway validate migrations --database payments --secret-arn ARN --region ap-southeast-2",
            "snapshot take --database payments --out payments.sql --write-part payments.json --ca-file ca.pem",
            "snapshot compare tested.sql other.sql --owners --privileges",
        ] {
            assert!(parse(arguments).is_ok(), "{arguments}: {}", parse(arguments).unwrap_err());
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_wrong_use() {
        for arguments in [
            "",
            "collect",
            "collect cdk.out",
            "collect cdk.out --module 12",
            "stage-assets",
            "stage-assets build --stage dev",
            "publish",
            "publish build --wait 60",
            "publish build --expect built",
            "publish build --dry-run --wait",
            "publish build --sha main",
            "deploy --repo bank-payments --sha SHA",
            "deploy --stage dev --repo bank-payments --sha main",
            "deploy --stage dev --repo bank-payments --sha SHA --parameter LogLevel",
            "deploy --stage dev --repo bank-payments --sha SHA --parameter Log-Level=debug",
            "deploy --stage dev --repo bank-payments --sha SHA --accept-replacement Table",
            "observe --stage dev --repo bank-payments",
            "observe build --manifest m.json --stage dev --repo bank-payments",
            "check",
            "check build --expect revoked",
            "check build --repo bank-payments",
            "commits",
            "show",
            "show 3f1c9",
            "show main",
            "promote --repo bank-payments --sha SHA --stage uat",
            "promote --repo bank-payments --stage uat --reason release",
            "promote --repo Bank --sha SHA --stage uat --reason release",
            "promote --repo bank-payments --sha main --stage uat --reason release",
            "promote --repo bank-payments --sha SHA --stage UAT --reason release",
            "approve --repo bank-payments --stage prod --reason reviewed",
            "approve --repo bank-payments --sha SHA --stage prod",
            "rollback --repo bank-payments --stage uat --reason fault --break-glass",
            "revoke --repo bank-payments --sha SHA",
            "portal --port 70000",
            "follow",
            "follow 01J",
            "stop 01J0000000000000000000000A",
            "stop --reason wrong",
            "hold --stage uat",
            "release --reason normal",
            "stages",
            "stages put",
            "policy check",
            "status --output yaml",
            "evidence",
            "evidence --stage uat --repo bank-payments --function authorise-payment",
            "evidence --stage uat --digest 3f1c",
            "evidence --stage uat --at yesterday",
            "verify",
            "revocations",
            "revocations --all",
            "revocations --repo bank-payments",
            "revocations --all --repo bank-payments --out revocations.json",
            "run unit -- pnpm test:unit",
            "run unit --dir build",
            "run unit --dir build pnpm test:unit",
            "run lint --dir build -- pnpm lint",
            "schema verdict",
            "completions",
            "completions csh",
            "handoffs",
            "handoffs pull docs",
            "ledger",
            "ledger verify heads",
            "ledger signatures",
            "keys",
            "keys new --person jane --out 1.root.json",
            "keys rotate approvals --to ARN --out 2.root.json",
            "keys sign 2.root.json",
            "keys sign 2.root.json --signature signature",
            "handoffs pull --wait 600",
            "handoffs pull --expect registered",
            "flyway",
            "flyway migrate migrations --database payments",
            "flyway validate migrations",
            "flyway validate migrations --database payments --url postgresql://user:password@host/payments",
            "snapshot compare tested.sql",
        ] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments}");
        }
    }
}
