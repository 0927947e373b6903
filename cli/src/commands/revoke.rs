//! `gatekeeper revoke`: takes a Built commit back (CONTRACT §4).

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gatekeeper_aws::s3::S3Store;
use gatekeeper_gate::judgement::INTEGRATION_PASSED;
use gatekeeper_model::{
    ids::{Commit, VersionId},
    revocation::TakenBack,
    store_key::{ArtefactPath, RecordKey},
    telemetry, verdict,
    verdict::{Outcome, Revocation, Verdict},
};
use gatekeeper_store::{ReadStore as _, TagStore as _, Written, record, revocation, revocation::StoredRevocation};
use serde_json::json;

use crate::{
    aws::{Aws, AwsArgs},
    exit::{Answer, Misuse},
    output::{Output, bad},
    reason,
    repo::CommitArgs,
};

/// How long to wait between two looks at the verdict.
const WAIT: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  gatekeeper revoke --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --reason 'rounds down'";

/// Takes a Built commit back, so that it can't be promoted any more
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    commit: CommitArgs,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// How long to wait for the gate's verdict, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    if args.reason.trim().is_empty() {
        return Err(Misuse("the text of `--reason` is empty: say why, for the record".to_owned()).into());
    }
    let aws = Aws::connect(&args.aws).await?;
    let (records, artefacts) = (aws.records().await?, aws.artefacts().await?);
    let commit = args.commit.commit(&records).await?;

    let Some(standing) = standing(&records, &commit).await? else {
        let document = json!({"repo": commit.repo, "commit_sha": commit.sha, "outcome": null});
        output.result(&document, &format!("{}  {commit} has no verdict", bad("refused")))?;
        return Ok(Answer::No);
    };
    let stored = revocation::read(&records, &commit).await?;
    // What can't be read took the commit back too, and is written anew.
    let is_unreadable = matches!(&stored, Some(it) if matches!(it.taken_back, TakenBack::Unreadable(_)));
    let may_be = standing.outcome == Outcome::Built || standing.outcome == Outcome::Revoked && is_unreadable;
    let (true, Some(manifest)) = (may_be, standing.manifest_version_id.clone()) else {
        let why = format!("{}  only a Built commit can be taken back\n\n", bad("refused"));
        output.result(&standing, &(why + &reason::verdict(&standing)))?;
        return Ok(Answer::No);
    };

    let told = write_revocation(&records, &commit, &manifest, args.reason.trim(), aws.caller().await?, stored).await?;
    pull_brake(&artefacts, &commit, &manifest).await?;
    output.progress(&format!("manifest version `{manifest}` of {commit} is taken back, waiting for the verdict"));

    let verdict =
        tokio::time::timeout(Duration::from_secs(args.timeout), revoked(&records, &commit, &manifest, &told)).await;
    let verdict = verdict.map_err(|_| {
        let key = RecordKey::Revocation(commit.clone());
        anyhow!(
            "`{commit}` is taken back by `{key}`, but after {} s the gate has not said so; look at the tag guard's log",
            args.timeout
        )
    })??;
    output.result(&verdict, &reason::verdict(&verdict))?;
    // A manifest that was uploaded meanwhile starts afresh.
    Ok(Answer::yes_if(verdict.outcome == Outcome::Revoked))
}

async fn standing(records: &S3Store, commit: &Commit) -> anyhow::Result<Option<Verdict>> {
    let verdict = record::read::<Verdict>(records, &RecordKey::Verdict(commit.clone())).await?;
    Ok(verdict.map(|stored| stored.record))
}

/// Records that a manifest version is taken back; a record of it that is there already stands. Gives the one that stands.
async fn write_revocation(
    records: &S3Store,
    commit: &Commit,
    manifest: &VersionId,
    reason: &str,
    caller: String,
    stored: Option<StoredRevocation>,
) -> anyhow::Result<TakenBack> {
    let key = RecordKey::Revocation(commit.clone());
    let revocation = Revocation {
        schema_version: verdict::SCHEMA_VERSION,
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        manifest_version_id: manifest.clone(),
        revoked_by: caller,
        revoked_at: telemetry::wall_clock(),
        reason: reason.to_owned(),
    };
    let precondition = StoredRevocation::precondition(stored.as_ref());
    if let Some(StoredRevocation { taken_back: told @ TakenBack::Told(_), .. }) = stored
        && told.concerns(manifest)
    {
        return Ok(told);
    }
    match record::write(records, &key, &revocation, &precondition).await? {
        Written::Done { .. } => Ok(TakenBack::Told(revocation)),
        Written::Conflict => Err(anyhow!("`{key}` was written by somebody else just now; look at it, then try again")),
    }
}

/// Sets the manifest's tag to `false`, so that the gate looks; the tags of others stay.
async fn pull_brake(artefacts: &S3Store, commit: &Commit, manifest: &VersionId) -> anyhow::Result<()> {
    let key = ArtefactPath::Manifest.of(commit);
    let gone = || format!("version `{manifest}` of `{key}` is gone");
    let mut tags = artefacts.tags(&key, manifest).await?.with_context(gone)?;
    tags.insert(INTEGRATION_PASSED.to_owned(), "false".to_owned());
    anyhow::ensure!(artefacts.put_tags(&key, manifest, &tags).await?, gone());
    Ok(())
}

/// Waits until the gate has said `revoked`, or judges another manifest.
async fn revoked(
    records: &S3Store,
    commit: &Commit,
    manifest: &VersionId,
    told: &TakenBack,
) -> anyhow::Result<Verdict> {
    loop {
        if let Some(verdict) = standing(records, commit).await?
            && (verdict.is_of(told) || verdict.manifest_version_id.as_ref() != Some(manifest))
        {
            return Ok(verdict);
        }
        tokio::time::sleep(WAIT).await;
    }
}
