//! `gatekeeper snapshot compare`: are two snapshots of the same schema?

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use gatekeeper::{
    ids::Sha256,
    schema_snapshot::{Difference, Include, MAX_BYTES, NormalForm, difference, inspect, normal_form},
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
  0  the same schema
  1  another schema, or a file that is no snapshot: it is told how they differ, or why it is none
  2  wrong use

Two dumps of one schema are the same whatever version of `pg_dump` wrote them and in whatever order. The JSON is
`{\"same\", \"tested\": {\"normal_form_sha256\"}, \"other\": {\"normal_form_sha256\"}, \"difference\"}`; where a file is no
snapshot it is `{\"reasons\": [{\"code\", \"message\", \"subject\"}]}`.

Examples:
  gatekeeper snapshot compare build/payments-schema.sql uat.sql
  gatekeeper snapshot compare build/payments-schema.sql uat.sql --owners --privileges --output json";

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
}

#[derive(Debug, Serialize)]
struct Compared {
    same: bool,
    tested: Side,
    other: Side,
    difference: Option<Difference>,
}

#[derive(Debug, Serialize)]
struct Side {
    normal_form_sha256: Sha256,
}

impl Side {
    fn of(form: &NormalForm) -> Self {
        Self { normal_form_sha256: form.sha256() }
    }
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
    let difference = difference(tested, other);
    let text = match &difference {
        None => format!("{}  normal form {}", good("same schema"), tested.sha256()),
        Some(difference) => {
            let (tested, live) = (args.tested.display(), args.other.display());
            format!("{}  `{tested}` is the tested schema, `{live}` the live one\n{difference}", bad("different"))
        }
    };
    let same = difference.is_none();
    output.result(&Compared { same, tested: Side::of(tested), other: Side::of(other), difference }, &text)?;
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
