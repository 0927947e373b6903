//! `gatekeeper snapshot take`: `pg_dump --schema-only`, judged as the gate will judge it (ADR-053 CI step 10).

use std::path::PathBuf;

use gatekeeper_model::ids::{DatabaseName, PartitionedTable, Sha256};
use gatekeeper_readers::schema_snapshot::{Include, inspect, normal_form};
use serde::Serialize;
use serde_json::json;

use crate::{
    database::DatabaseArgs,
    exit::{Answer, Misuse},
    output::{Output, bad, faint, good},
    reason::{self, Reason},
    whole_file,
};

const EXAMPLES: &str = "\
Exit codes:
  0  written
  1  the gate would refuse it, so it was not written: each reason is told
  2  wrong use
  3  the database could not be reached, or `pg_dump` is missing

`pg_dump` is taken from the PATH; it must be of the server's major version or a newer one.
With exit code 1 the JSON is `{\"reasons\": [{\"code\", \"message\", \"subject\"}]}`.

Examples:
  export DATABASE_URL='postgresql://migrate_user:password@ep-cool-name-123456.ap-southeast-2.aws.neon.tech/payments'
  gatekeeper snapshot take --database payments --out build/payments-schema.sql
  gatekeeper snapshot take --database payments --out build/payments-schema.sql --write-part build/payments-schema.json \\
      --secret-arn arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:dev/payments-AbCdEf";

/// Takes a snapshot of a database's schema, without any row
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The file that it is written to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Writes the manifest's entry about it, what `--output json` prints, to this file too
    #[arg(long, value_name = "FILE")]
    write_part: Option<PathBuf>,
    /// A table whose partitions are made at run time, for the manifest's entry: parity compares their
    /// form, and neither names, bounds nor number; may be given several times
    #[arg(long, value_name = "SCHEMA.TABLE")]
    partitions: Vec<PartitionedTable>,
}

/// An entry of the manifest's `schemas` (CONTRACT §3), and what two snapshots of one schema have in common.
#[derive(Debug, Serialize)]
struct Taken {
    database: DatabaseName,
    sha256: Sha256,
    size: u64,
    normal_form_sha256: Sha256,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<PartitionedTable>,
}

pub(super) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let name = &args.database.name;
    let dump = args.database.find().await?.dump_schema().await?;
    let mut findings = inspect(&dump.bytes, name.as_str());
    let normal = normal_form(&dump.bytes, Include::default());
    let normal = match normal {
        Ok(normal) if findings.is_empty() => normal,
        normal => {
            if findings.is_empty() {
                findings = normal.err().unwrap_or_default();
            }
            let reasons: Vec<Reason> = findings.iter().map(Reason::from).collect();
            let text = format!("{}  {name}, nothing was written\n{}", bad("refused"), reason::reasons(&reasons, None));
            output.result(&json!({ "reasons": reasons }), &text)?;
            return Ok(Answer::No);
        }
    };
    if let Some(table) = normal.not_partitioned(&args.partitions).first() {
        return Err(Misuse(format!(
            "the database `{name}` has no partitioned table `{table}`: look at the name that `--partitions` gives"
        ))
        .into());
    }
    let taken = Taken {
        database: name.clone(),
        sha256: Sha256::of(&dump.bytes),
        size: dump.bytes.len() as u64,
        normal_form_sha256: normal.sha256(),
        partitions: args.partitions.clone(),
    };
    whole_file::write(&args.out, &dump.bytes)?;
    if let Some(part) = &args.write_part {
        whole_file::write(part, format!("{}\n", serde_json::to_string_pretty(&taken)?).as_bytes())?;
    }
    let told = |version: Option<String>| version.unwrap_or_else(|| "unknown".to_owned());
    let tools = format!("PostgreSQL {}, pg_dump {}", told(dump.server_version), told(dump.pg_dump_version));
    let Taken { sha256, size, normal_form_sha256, .. } = &taken;
    let text = format!(
        "{}  {name}, {size} bytes in `{}`\nSHA-256      {sha256}\nnormal form  {normal_form_sha256}\n{}",
        good("written"),
        args.out.display(),
        faint(&tools)
    );
    output.result(&taken, &text)?;
    Ok(Answer::Yes)
}
