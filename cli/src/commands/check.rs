//! `gatekeeper check`: the gate's verdict on a build folder or on what is stored, without writing anything.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use gatekeeper_aws::s3::S3Store;
use gatekeeper_gate::{converge, converge::GateError};
use gatekeeper_model::{
    ids::{Commit, CommitSha, Repo, VersionId},
    manifest,
    policy::Policy,
    provenance::{self, MAX_ROOT_BYTES},
    store_key::{ArtefactKey, ArtefactPath, RecordKey},
    telemetry,
    verdict::{Outcome, Verdict},
};
use gatekeeper_store::{ReadStore, memory::Memory};

use crate::{
    aws::{Aws, AwsArgs, Part},
    build_folder,
    exit::{Answer, Misuse},
    folder::Folder,
    output::Output,
    provenance::Here,
    reason,
};

/// The largest revocation or policy that is read.
const MAX_RECORD_BYTES: u64 = 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  gatekeeper check build/commit
  gatekeeper check build/commit --expect registered      before the integration tests
  gatekeeper check build/commit --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357
  gatekeeper check s3://bank-artefacts/bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/ --output json";

/// Tells the gate's verdict on a build, without writing anything
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A folder that holds `build-manifest.json` and `modules/`, or `s3://BUCKET/REPO/SHA/`
    #[arg(value_name = "DIR|S3_URL")]
    target: String,
    /// The folder's repository; without it the folder's manifest says which
    #[arg(long, value_name = "REPO", requires = "sha")]
    repo: Option<Repo>,
    /// The folder's commit; without it the folder's manifest says which
    #[arg(long, value_name = "SHA", requires = "repo")]
    sha: Option<CommitSha>,
    /// The least outcome that is a yes
    #[arg(long, value_name = "OUTCOME", default_value = "built")]
    expect: Expectation,
    /// The policy to judge by, a copy of config/policy.json; without it that of the installation, or ADR-053 for a folder
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    aws: AwsArgs,
}

/// The least outcome that is a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Expectation {
    /// Manifest and artefacts agree; the integration tests may still be to come.
    Registered,
    /// All of ADR-053's Built conditions hold.
    Built,
}

impl Expectation {
    pub(super) fn is_met_by(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Built => true,
            Outcome::Registered => self == Self::Registered,
            Outcome::Incomplete | Outcome::Rejected | Outcome::Revoked => false,
        }
    }
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let verdict = match args.target.strip_prefix("s3://") {
        Some(address) => stored(args, address, output).await?,
        None => local(args, output).await?,
    };
    output.result(&verdict, &reason::verdict(&verdict))?;
    Ok(Answer::yes_if(args.expect.is_met_by(verdict.outcome)))
}

async fn local(args: &Args, output: &mut Output) -> anyhow::Result<Verdict> {
    let root = Path::new(&args.target);
    let commit = match (&args.repo, &args.sha) {
        (Some(repo), Some(sha)) => Commit { repo: repo.clone(), sha: sha.clone() },
        _ => claimed_commit(root)?,
    };
    let folder = Folder::open(root, &commit)
        .map_err(|error| Misuse(format!("`{}` is not a folder that can be read: {error}", root.display())))?;
    let records = Memory::default();
    if let Some(path) = &args.policy {
        set_policy(&build_folder::read(path)?, &path.display().to_string(), &records)?;
    }
    let verdict = judge(&folder, &records, &commit, output).await;
    // What a folder can't be read for is up to whoever named it.
    verdict.map_err(|error| Misuse(telemetry::chain(error.as_ref())).into())
}

/// The commit that a folder's manifest says it is of.
fn claimed_commit(root: &Path) -> Result<Commit, Misuse> {
    let path = root.join(ArtefactPath::Manifest.to_string());
    let unknown = |why: &str| {
        Misuse(format!("`{}` does not say which commit it is of: {why}; pass `--repo` and `--sha`", path.display()))
    };
    let metadata = path.metadata().map_err(|error| unknown(&error.to_string()))?;
    if metadata.len() > manifest::MAX_BYTES {
        return Err(unknown(&format!("it is larger than {} bytes", manifest::MAX_BYTES)));
    }
    let bytes = std::fs::read(&path).map_err(|error| unknown(&error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unknown(&error.to_string()))
}

async fn stored(args: &Args, address: &str, output: &mut Output) -> anyhow::Result<Verdict> {
    let (bucket, commit) = parse_address(address)?;
    if let (Some(repo), Some(sha)) = (&args.repo, &args.sha)
        && (*repo != commit.repo || *sha != commit.sha)
    {
        return Err(Misuse(format!("`{}` is `{commit}`, `--repo` and `--sha` say `{repo}@{sha}`", args.target)).into());
    }
    let aws = Aws::connect(&args.aws).await?;
    let records = Memory::default();
    let mut policy_version_id = None;
    match records_of(&aws, bucket, &args.aws).await {
        Ok(bucket) => {
            take_revocation(&bucket, &commit, &records).await?;
            policy_version_id = take_policy(&bucket, &records).await?;
        }
        Err(error) => {
            let why = telemetry::chain(error.as_ref());
            output
                .warning(&format!("whether `{commit}` was revoked, and by which policy to judge, is not known: {why}"));
        }
    }
    if let Some(path) = &args.policy {
        set_policy(&build_folder::read(path)?, &path.display().to_string(), &records)?;
        policy_version_id = None;
    }
    let verdict = judge(&aws.bucket(bucket), &records, &commit, output).await?;
    Ok(Verdict { policy_version_id, ..verdict })
}

/// `BUCKET/REPO/SHA`, with or without a slash at the end.
fn parse_address(address: &str) -> Result<(&str, Commit), Misuse> {
    let wrong = |why: &str| Misuse(format!("`s3://{address}` is not `s3://BUCKET/REPO/SHA/`: {why}"));
    match address.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        [bucket, repo, sha] if !bucket.is_empty() => {
            let repo = repo.parse().map_err(|error: gatekeeper_model::ids::InvalidId| wrong(&error.to_string()))?;
            let sha = sha.parse().map_err(|error: gatekeeper_model::ids::InvalidId| wrong(&error.to_string()))?;
            Ok((bucket, Commit { repo, sha }))
        }
        _ => Err(wrong("it must have these three parts")),
    }
}

/// The records bucket that belongs to an artefact bucket.
async fn records_of(aws: &Aws<'_>, artefact_bucket: &str, args: &AwsArgs) -> anyhow::Result<S3Store> {
    if !args.names(Part::RecordsBucket) {
        let installed = aws.part(Part::ArtefactBucket).await?;
        anyhow::ensure!(
            installed == artefact_bucket,
            "this gatekeeper's bucket is `{installed}`, not `{artefact_bucket}`; pass `--records-bucket`"
        );
    }
    aws.records().await
}

/// Copies the commit's revocation, which the verdict needs, to where nothing outlives this process.
async fn take_revocation(from: &S3Store, commit: &Commit, to: &Memory) -> anyhow::Result<()> {
    let key = RecordKey::Revocation(commit.clone()).to_string();
    if let Some(body) = from.get(&key, None, MAX_RECORD_BYTES).await? {
        to.upload(&key, &body.bytes, &[]);
    }
    Ok(())
}

/// Copies the installation's policy to where a verdict is made; gives its version.
pub(super) async fn take_policy(from: &S3Store, to: &Memory) -> anyhow::Result<Option<VersionId>> {
    let key = RecordKey::PolicyConfig.to_string();
    let Some(body) = from.get(&key, None, MAX_RECORD_BYTES).await? else { return Ok(None) };
    let policy = set_policy(&body.bytes, &key, to)?;
    let changes = [&policy.all].into_iter().chain(policy.repos.values());
    for name in changes.flat_map(|it| provenance::roots_of(&it.builders)).collect::<BTreeSet<_>>() {
        let key = RecordKey::TrustedRoot(name).to_string();
        if let Some(root) = from.get(&key, None, MAX_ROOT_BYTES).await? {
            to.upload(&key, &root.bytes, &[]);
        }
    }
    Ok(Some(body.version_id))
}

/// Judges by the policy with these bytes, which `from` holds.
pub(super) fn set_policy(bytes: &[u8], from: &str, to: &Memory) -> Result<Policy, Misuse> {
    let policy = Policy::parse(bytes).map_err(|error| Misuse(format!("`{from}` is {error}")))?;
    to.upload(&RecordKey::PolicyConfig.to_string(), bytes, &[]);
    Ok(policy)
}

/// The gate's verdict on what is in a store.
pub(super) async fn judge<S: ReadStore + std::fmt::Debug>(
    artefacts: &S,
    records: &Memory,
    commit: &Commit,
    output: &mut Output,
) -> anyhow::Result<Verdict> {
    for object in artefacts.list(&commit.prefix()).await? {
        if let Err(outside) = ArtefactKey::parse(&object.key) {
            let key = outside.key.strip_prefix(&commit.prefix()).unwrap_or(&outside.key);
            output.warning(&format!("`{key}` is outside the layout of the artefact store and belongs to no commit"));
        }
    }
    let (scratch, now) = (std::env::temp_dir(), telemetry::wall_clock());
    let verdict = converge::check(artefacts, records, commit, &Here(artefacts), &scratch, now).await;
    verdict
        .map_err(|error: GateError| anyhow::Error::new(error))
        .with_context(|| format!("`{commit}` could not be judged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_bucket_and_a_commit() {
        let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
        for end in ["", "/"] {
            let address = format!("bank-artefacts/bank-payments/{sha}{end}");
            let (bucket, commit) = parse_address(&address).unwrap();
            assert_eq!((bucket, commit.to_string()), ("bank-artefacts", format!("bank-payments@{sha}")));
        }
        for wrong in ["", "bank-artefacts", "bank-artefacts/bank-payments/main", &format!("b/r/{sha}/modules")] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_is_expected_is_a_yes() {
        use Outcome::{Built, Incomplete, Registered, Rejected, Revoked};
        let met = |it: Expectation| [Incomplete, Registered, Built, Rejected, Revoked].map(|out| it.is_met_by(out));
        assert_eq!(met(Expectation::Built), [false, false, true, false, false]);
        assert_eq!(met(Expectation::Registered), [false, true, true, false, false]);
    }
}
