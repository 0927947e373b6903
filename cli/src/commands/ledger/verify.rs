//! `gatekeeper ledger verify`: walks chains of the ledger, link by link, up to their signed heads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join3, stream};
use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::{
    ids::{Chain, Repo, StageName},
    store_key::{RecordKey, WitnessKey},
    telemetry,
};
use gatekeeper_promotion::beside;
use gatekeeper_proof::{
    PublicKeys, ledger,
    ledger::{Break, Kept, Proof},
    witness,
};
use gatekeeper_store::ReadStore as _;

use crate::{
    aws::{Aws, PlaceArgs, public_keys},
    exit::Answer,
    output::{Output, bad, good},
    whole_file,
};

/// Chains that are proved at once; each has many calls in flight of its own.
const CHAINS_IN_FLIGHT: usize = 2;

const EXAMPLES: &str = "\
Examples:
  gatekeeper ledger verify
  gatekeeper ledger verify --stage uat --repo bank-payments
  gatekeeper ledger verify --against heads-2026-04 --keep heads-2026-05";

/// Proves every entry, link, signed head and named record of the ledger again, and names the first one that doesn't hold
///
/// So does what lies beside a stage's chain and is held against it: the document of what the stage runs, the verdict on that
/// commit, and the approvals; beside the gate's chains the verdicts on what was taken back. The first that is not what was
/// signed is named.
///
/// A chain without entries holds, and is said to be empty; `--against` tells it from one whose entries were removed.
///
/// A chain whose newest entries were removed together with its head can only be told from a shorter one by a head that somebody
/// kept outside: where the gatekeeper has a witness (the stack's `WitnessBucket`), every head that it has seen is held against
/// the ledger. `--keep` writes the heads of today, `--against` holds the ledger against those of an earlier time.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// This stage only; `gate` for the gate's own chains, which tell revocations, and `holds` for what holds stages
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// This repository only
    #[arg(long, value_name = "REPO")]
    repo: Option<Repo>,
    /// A folder of heads that an earlier `--keep` wrote
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Writes the signed heads of what holds into this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let records = aws.records().await?;
    let keys = public_keys(&aws).await?;

    // The keys were named by the same outputs.
    let witness = aws.output("WitnessBucket").await.map(|bucket| aws.bucket(&bucket));
    let chains = chains(&records, witness.as_ref(), args).await?;
    let (records, keys, witness) = (&records, &keys, witness.as_ref());
    let proofs: Vec<Proof> = stream::iter(chains)
        .map(|chain| async move { prove(records, witness, keys, &chain, args.against.as_deref()).await })
        .buffered(CHAINS_IN_FLIGHT)
        .try_collect()
        .await?;
    if let Some(folder) = &args.keep {
        let holding = proofs.iter().filter(|proof| proof.holds() && proof.newest > 0);
        whole_file::write_folder(folder, &heads(records, holding.map(|proof| &proof.chain)).await?)?;
    }
    output.result(&proofs, &text(&proofs))?;
    Ok(Answer::yes_if(proofs.iter().all(Proof::holds)))
}

/// Every chain that is stored, or of which a head was kept or witnessed, as far as it is asked for.
async fn chains(records: &S3Store, witness: Option<&S3Store>, args: &Args) -> anyhow::Result<BTreeSet<Chain>> {
    let wanted = |chain: &Chain| {
        args.stage.as_ref().is_none_or(|stage| *stage == chain.stage)
            && args.repo.as_ref().is_none_or(|repo| *repo == chain.repo)
    };
    let stage = args.stage.as_ref();
    let (ledgers, stages) = (RecordKey::ledgers_prefix(stage), RecordKey::stages_prefix(stage));
    let approvals = RecordKey::approvals_for(stage);
    let (listed, run, approved) =
        try_join3(records.list(&ledgers), records.list(&stages), records.list(&approvals)).await?;
    let stored = listed.iter().filter_map(|object| RecordKey::chain_of(&object.key));
    // A chain that was removed whole, or that nothing was entered into yet, may have what is held against it.
    let run = run.iter().filter_map(|object| RecordKey::stage_and_repo(&object.key));
    let approved = approved.iter().filter_map(|object| RecordKey::approval_stage_and_repo(&object.key));
    let stored = stored.chain(run.chain(approved).map(|(stage, repo)| Chain { stage, repo }));
    let kept = args.against.as_deref().map(kept_chains).transpose()?.unwrap_or_default();
    let named = args.stage.clone().zip(args.repo.clone()).map(|(stage, repo)| Chain { stage, repo });
    let witnessed = match witness {
        Some(witness) => ledger::chains(witness, WitnessKey::stage_prefix).await.with_context(|| {
            let bucket = witness.bucket();
            format!("the witness `{bucket}` could not be read: nobody can tell which chains it has seen")
        })?,
        None => BTreeSet::new(),
    };
    Ok(stored.chain(kept).chain(named).chain(witnessed).filter(wanted).collect())
}

async fn prove(
    records: &S3Store,
    witness: Option<&S3Store>,
    keys: &PublicKeys,
    chain: &Chain,
    against: Option<&Path>,
) -> anyhow::Result<Proof> {
    let kept = match against.map(|folder| fs::read(folder.join(head_file(chain)))) {
        None => None,
        Some(Ok(head)) => Some(Kept(head)),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Some(Err(error)) => return Err(error).with_context(|| format!("the kept head of `{chain}` could not be read")),
    };
    let proof = ledger::verify(records, chain, kept.as_ref(), keys.of(gatekeeper_proof::Authority::of(chain))).await?;
    if !proof.holds() {
        return Ok(proof);
    }
    if let Some(witness) = witness
        && let Some(what) = witnessed(records, witness, keys, chain).await?
    {
        return Ok(Proof { broken: Some(Break { sequence: proof.newest, what }), ..proof });
    }
    let altered = beside::altered(records, chain, keys).await?;
    let what = altered.first().map(|it| {
        let more = match altered.len() {
            1 => String::new(),
            count => format!(" (and {} more beside it)", count - 1),
        };
        format!("beside it `{}`: {}: {}{more}", it.subject, it.code, it.message)
    });
    Ok(Proof { broken: what.map(|what| Break { sequence: proof.newest, what }), ..proof })
}

/// Where a chain is not the one that the witness outside has seen: by its newest head, and by every one that it has.
async fn witnessed(
    records: &S3Store,
    witness: &S3Store,
    keys: &PublicKeys,
    chain: &Chain,
) -> anyhow::Result<Option<String>> {
    let key = keys.of(gatekeeper_proof::Authority::of(chain));
    let look = witness::look_at(records, witness, chain, key).await?;
    let found = match witness::compare(chain, &look, key, telemetry::wall_clock()) {
        Some(found) => Some(found),
        None => witness::every(records, witness, chain, key).await?,
    };
    Ok(found.map(|it| format!("{}: {}", it.code, it.message)))
}

/// The signed heads of chains, each with its place in the folder that they are kept in.
async fn heads(records: &S3Store, chains: impl Iterator<Item = &Chain>) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut heads = BTreeMap::new();
    for chain in chains {
        let key = RecordKey::LedgerHead(chain.clone()).to_string();
        if let Some(head) = records.get(&key, None, ledger::MAX_BYTES).await? {
            heads.insert(head_file(chain), head.bytes);
        }
    }
    Ok(heads)
}

/// Where the head of a chain is kept in a folder.
fn head_file(chain: &Chain) -> PathBuf {
    Path::new(chain.stage.as_str()).join(format!("{}.json", chain.repo))
}

/// The chains whose heads a folder holds.
fn kept_chains(folder: &Path) -> anyhow::Result<Vec<Chain>> {
    let read = || -> io::Result<Vec<Chain>> {
        let mut chains = Vec::new();
        for stage in fs::read_dir(folder)? {
            let stage = stage?;
            for file in fs::read_dir(stage.path())? {
                let (stage, file) = (stage.file_name(), file?.file_name());
                let repo = file.to_str().and_then(|file| file.strip_suffix(".json")).and_then(|it| it.parse().ok());
                chains.extend(
                    stage.to_str().and_then(|it| it.parse().ok()).zip(repo).map(|(stage, repo)| Chain { stage, repo }),
                );
            }
        }
        Ok(chains)
    };
    read().with_context(|| format!("the heads in `{}` could not be read", folder.display()))
}

fn text(proofs: &[Proof]) -> String {
    if proofs.is_empty() {
        return format!("{}   every chain that was asked for is empty: nothing was entered yet\n", good("holds"));
    }
    let mut text = String::new();
    for proof in proofs {
        let Proof { chain, newest, broken, .. } = proof;
        let _ = match broken {
            None if *newest == 0 => {
                writeln!(text, "{}   {chain}  it is empty: nothing was entered yet", good("holds"))
            }
            None => {
                let entries = if *newest == 1 { "entry" } else { "entries" };
                writeln!(text, "{}   {chain}  {newest} {entries}", good("holds"))
            }
            Some(broken) if broken.sequence == 0 => writeln!(text, "{}  {chain}  {}", bad("broken"), broken.what),
            Some(broken) => {
                writeln!(text, "{}  {chain}  entry {} of {newest}: {}", bad("broken"), broken.sequence, broken.what)
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(stage: &str, newest: u64, broken: Option<(u64, &str)>) -> Proof {
        let chain = Chain { stage: stage.parse().unwrap(), repo: "bank-payments".parse().unwrap() };
        let broken = broken.map(|(sequence, what)| Break { sequence, what: what.to_owned() });
        Proof { chain, first: 1, newest, broken }
    }

    #[test]
    fn each_chain_is_a_line_and_the_first_break_is_named() {
        let proofs = [
            proof("gate", 1, None),
            proof("prod", 7, Some((3, "the entry is missing"))),
            proof("test", 0, None),
            proof("uat", 0, Some((0, "there is no signed head"))),
        ];
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&proofs)).to_string(), @"
        holds   gate/bank-payments  1 entry
        broken  prod/bank-payments  entry 3 of 7: the entry is missing
        holds   test/bank-payments  it is empty: nothing was entered yet
        broken  uat/bank-payments  there is no signed head
        ");
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&[])).to_string(), @"holds   every chain that was asked for is empty: nothing was entered yet");
    }

    #[test]
    fn heads_that_were_kept_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let chain = proof("uat", 1, None).chain;
        let file = folder.path().join(head_file(&chain));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{}").unwrap();
        assert_eq!(kept_chains(folder.path()).unwrap(), [chain]);
    }
}
