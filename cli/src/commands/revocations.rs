//! `gatekeeper revocations`: what was taken back, as a signed file that travels.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context as _;
use gatekeeper_aws::s3::S3Store;
use gatekeeper_evidence::revocations::Revocations;
use gatekeeper_model::{
    ids::{Chain, Repo, StageName},
    store_key::{RecordKey, WitnessKey},
    telemetry,
};
use gatekeeper_proof::{Authority, PublicKeys, witness};
use gatekeeper_store::ReadStore as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    aws::{Aws, PlaceArgs, public_keys},
    exit::{Answer, Misuse},
    nearest,
    output::Output,
    reason::count,
    whole_file,
};

const NOTES: &str = "\
The file holds the gate's own chain of the ledger, whole, with its signed head: nothing can be left out of it. Hand it to
whoever keeps bundles of evidence; nothing in it is secret but reasons and names. It is proved before it is written, and held
against the witness outside where there is one.

Examples:
  gatekeeper revocations --all --out revocations.json
  gatekeeper revocations --repo bank-payments --out revocations.json
  gatekeeper verify evidence.zip --revocations revocations.json";

/// Writes what was taken back as a signed file, by which bundles of evidence are refused offline
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// A repository; may be given more than once
    #[arg(long, value_name = "REPO", required_unless_present = "all")]
    repo: Vec<Repo>,
    /// Every repository of which anything was ever taken back
    #[arg(long, conflicts_with = "repo")]
    all: bool,
    /// The file that is written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    repos: Vec<Repo>,
    revocations: usize,
    newest_entry_at: Option<Timestamp>,
    taken_at: Timestamp,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let records = aws.records().await?;
    let keys = public_keys(&aws).await?;
    let gate = Some(StageName::gate());
    let entered: BTreeSet<Repo> = records
        .folders(&RecordKey::ledgers_prefix(gate.as_ref()))
        .await?
        .iter()
        .filter_map(|it| it.parse().ok())
        .collect();
    let witness = aws.output("WitnessBucket").await.map(|bucket| aws.bucket(&bucket));
    let witnessed = match &witness {
        Some(witness) => {
            let seen = witness.folders(&WitnessKey::stage_prefix(gate.as_ref())).await;
            let seen = seen.with_context(|| format!("the witness `{}` could not be read", witness.bucket()))?;
            seen.iter().filter_map(|it| it.parse().ok()).collect()
        }
        None => BTreeSet::new(),
    };
    let known: BTreeSet<Repo> = entered.union(&witnessed).cloned().collect();
    let wanted = if args.all { known.clone() } else { args.repo.iter().cloned().collect() };
    for repo in wanted.difference(&known) {
        // A mistyped name would make a file that tells of nothing.
        let seen = records.first(&RecordKey::built_prefix(repo)).await?;
        if seen.is_none() {
            let meant = nearest::meant(repo.as_str(), known.iter().map(Repo::as_str));
            return Err(Misuse(format!("the gate has judged no commit of `{repo}`{meant}")).into());
        }
        output.warning(&format!(
            "nothing was ever taken back of `{repo}`, and where nothing was entered nothing is signed: `verify` says so"
        ));
    }
    if let Some(witness) = &witness {
        for repo in &wanted {
            compare(&records, witness, repo, &keys).await?;
        }
    }
    let now = telemetry::wall_clock();
    let revocations = Revocations::take(&records, wanted, &keys, now).await?;
    whole_file::write(&args.out, &serde_json::to_vec_pretty(&revocations)?)?;

    let (number, newest) = revocations.summary();
    let repos: Vec<_> = revocations.chains.into_iter().map(|it| it.repo).collect();
    let signed = newest.map_or_else(String::new, |at| format!(", the newest entry of which was signed at {at:.0}"));
    let of = match repos.as_slice() {
        [one] => format!("`{one}`"),
        all => format!("{} repositories", all.len()),
    };
    let text = format!("`{}` holds {} of {of}{signed}", args.out.display(), count(number, "revocation"));
    let report = Report { file: args.out.clone(), repos, revocations: number, newest_entry_at: newest, taken_at: now };
    output.result(&report, &text)?;
    Ok(Answer::Yes)
}

/// Holds a chain against the witness outside: one that was rolled back must not travel.
async fn compare(records: &S3Store, witness: &S3Store, repo: &Repo, keys: &PublicKeys) -> anyhow::Result<()> {
    let chain = Chain::of_gate(repo.clone());
    let key = keys.of(Authority::of(&chain));
    let look = witness::look_at(records, witness, &chain, key).await?;
    match witness::compare(&chain, &look, key, telemetry::wall_clock()) {
        None => Ok(()),
        Some(found) => Err(anyhow::anyhow!("`{}`: {}: {}", found.subject, found.code, found.message)),
    }
}
