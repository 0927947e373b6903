//! `gatekeeper snapshot compare`: are two snapshots of the same schema?

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use gatekeeper_model::ids::{PartitionedTable, Sha256};
use gatekeeper_readers::schema_snapshot::{
    Difference, Include, MAX_BYTES, NormalForm, ServerLimits, compare, inspect, normal_form,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    exit::{Answer, Misuse},
    output::{Output, bad, good},
    reason::{self, Reason},
};

const EXAMPLES: &str = "\
Exit codes:
  0  the same schema; with a note where one server can't hold all that the other one's schema says
  1  another schema, or a file that is no snapshot: it is told how they differ, or why it is none
  2  wrong use

Two dumps of one schema are the same whatever version of `pg_dump` wrote them, of a server of whatever version, and in
whatever order. What the older server can't hold, such as names of NOT NULL before PostgreSQL 18, is listed and is no
difference; a promotion whose parity is required refuses it, unless the stage's entry says `accept_server_limits`.

The JSON is `{\"same\", \"tested\": {\"normal_form_sha256\", \"server\"}, \"other\": {…}, \"difference\", \"server_limits\":
{\"tested_server\", \"live_server\", \"not_compared\", \"left_out\"}}`; where a file is no snapshot it is `{\"reasons\": [{\"code\", \"message\", \"subject\"}]}`.

Examples:
  gatekeeper snapshot compare build/payments-schema.sql uat.sql
  gatekeeper snapshot compare build/payments-schema.sql uat.sql --owners --privileges --output json
  gatekeeper snapshot compare build/payments-schema.sql uat.sql --partitions public.events";

/// Compares two snapshots of a schema, without a database
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The snapshot that was tested
    #[arg(value_name = "TESTED.sql")]
    tested: PathBuf,
    /// The other one, such as a stage's
    #[arg(value_name = "OTHER.sql")]
    other: PathBuf,
    /// Compares who owns what, too
    #[arg(long)]
    owners: bool,
    /// Compares who may do what, too
    #[arg(long)]
    privileges: bool,
    /// A table whose partitions are made at run time, such as a month each: of these the form is compared, and neither names,
    /// bounds nor number; may be given several times
    #[arg(long, value_name = "SCHEMA.TABLE")]
    partitions: Vec<PartitionedTable>,
}

#[derive(Debug, Serialize)]
struct Compared {
    same: bool,
    tested: Side,
    other: Side,
    difference: Option<Difference>,
    server_limits: Option<ServerLimits>,
}

#[derive(Debug, Serialize)]
struct Side {
    normal_form_sha256: Sha256,
    /// The major version of the server that was dumped, where the dump says so.
    server: Option<u16>,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let include = Include { owners: args.owners, privileges: args.privileges };
    let (mut forms, mut reasons) = (Vec::new(), Vec::new());
    for path in [&args.tested, &args.other] {
        match read(path, include)? {
            Ok(form) => forms.push(form),
            Err(found) => reasons.extend(found),
        }
    }
    let [tested, other] = forms.as_slice() else {
        let text = format!("{}  not two snapshots\n{}", bad("refused"), reason::reasons(&reasons, None));
        output.result(&json!({ "reasons": reasons }), &text)?;
        return Ok(Answer::No);
    };
    let neither = tested.not_partitioned(&args.partitions);
    if let Some(table) = other.not_partitioned(&args.partitions).into_iter().find(|table| neither.contains(table)) {
        return Err(Misuse(format!(
            "neither snapshot has a partitioned table `{table}`: look at the name that `--partitions` gives"
        ))
        .into());
    }
    let compared = compare(tested, other, &args.partitions);
    let mut text = match &compared.difference {
        None => format!("{}  normal form {}", good("same schema"), compared.tested_sha256),
        Some(difference) => {
            let (tested, live) = (args.tested.display(), args.other.display());
            format!("{}  `{tested}` is the tested schema, `{live}` the live one\n{difference}", bad("different"))
        }
    };
    if let Some(limits) = &compared.limits {
        text = format!("{text}\n{limits}");
    }
    let same = compared.difference.is_none();
    let side = |normal_form_sha256: Sha256, form: &NormalForm| Side { normal_form_sha256, server: form.server() };
    let answer = Compared {
        same,
        tested: side(compared.tested_sha256, tested),
        other: side(compared.live_sha256, other),
        difference: compared.difference,
        server_limits: compared.limits,
    };
    output.result(&answer, &text)?;
    Ok(Answer::yes_if(same))
}

/// Reads a snapshot; reasons where the gate would refuse it.
fn read(path: &Path, include: Include) -> Result<Result<NormalForm, Vec<Reason>>, Misuse> {
    let unreadable = |why: &dyn std::fmt::Display| Misuse(format!("`{}` can't be read: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(&format!("it is larger than {MAX_BYTES} bytes")));
    }
    let subject = path.display().to_string();
    let findings = inspect(&bytes, &subject);
    let form = if findings.is_empty() { normal_form(&bytes, include) } else { Err(findings) };
    Ok(form.map_err(|findings| findings.iter().map(Reason::from).collect()))
}
