//! `gatekeeper show`: everything that records tell of one commit.

#[cfg(test)]
mod tests;
mod text;

use futures_util::future::join_all;
use gatekeeper_model::{
    finding::Finding,
    ids::{ChangeUrl, Commit, PromotionId, Repo, StageName, VersionId},
    manifest,
    manifest::{Author, Build, Manifest},
    revocation::TakenBack,
    store_key::{ArtefactPath, RecordKey},
    telemetry,
    verdict::{Outcome, Verdict},
};
use gatekeeper_promotion::{
    history::StageState,
    record::{PromotionRecord, Status},
};
use gatekeeper_store::{ReadStore, Stores, record, revocation};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    aws::{Aws, PlaceArgs},
    exit::{Answer, Misuse},
    output::Output,
    records::{Records, looked},
    sha,
    sha::GivenSha,
    stages::Stages,
};

const EXAMPLES: &str = "\
Exit codes:
  0  the commit is Built
  1  it is not, or not any more
  2  wrong use, such as digits that name no commit or several
  3  AWS or the network could not be reached, or refused

Examples:
  gatekeeper show 3f1c9a0
  gatekeeper show 3f1c9a0 --repo bank-payments --output json";

/// Tells all that records know of a commit: the verdict with every reason and what to do, who built it, which stages ran it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The commit, in full or by its first 7 digits or more
    #[arg(value_name = "SHA")]
    sha: GivenSha,
    /// The repository; without it, it is looked for in all
    #[arg(long, value_name = "REPO")]
    repo: Option<Repo>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Document {
    #[serde(flatten)]
    commit: Commit,
    outcome: Option<Outcome>,
    /// Why it was taken back, where it was.
    revoked: Option<String>,
    judged_at: Option<Timestamp>,
    reasons: Vec<Told>,
    warnings: Vec<Told>,
    branch: Option<String>,
    author: Option<String>,
    authors: Vec<Author>,
    changes: Vec<ChangeUrl>,
    build: Option<Build>,
    /// When the manifest was made.
    built_at: Option<Timestamp>,
    manifest_version_id: Option<VersionId>,
    /// The newest version of the manifest, where that is another one than was judged.
    newer_manifest_version_id: Option<VersionId>,
    policy_version_id: Option<VersionId>,
    verdict_version_id: Option<VersionId>,
    artefacts: usize,
    bytes: u64,
    promotions: Vec<Promoted>,
}

/// A reason and what to do about it.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    finding: Finding,
    what_to_do: &'static str,
}

/// A promotion that brought the commit to a stage.
#[derive(Debug, Serialize)]
struct Promoted {
    stage: StageName,
    promotion_id: PromotionId,
    completed_at: Timestamp,
    rollback: bool,
    /// Whether the stage runs the commit now, by this promotion.
    now: bool,
    /// Who asked for it; `None` where its record can't be read.
    requested_by: Option<String>,
    status: Option<Status>,
}

impl Told {
    fn of(finding: Finding) -> Self {
        let what_to_do = finding.code.remedy().what_to_do;
        Self { finding, what_to_do }
    }
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let document = looked(&aws, output, async |stores| look(args, stores).await).await?;
    output.result(&document, &text::of(&document))?;
    Ok(Answer::yes_if(document.outcome == Some(Outcome::Built)))
}

/// The commit that is meant, in at most two dependent round trips.
async fn meant(args: &Args, records: &impl Records) -> anyhow::Result<Commit> {
    if let Some(repo) = &args.repo {
        return Ok(Commit { repo: repo.clone(), sha: args.sha.of(records, repo).await? });
    }
    let repos = sha::repos(records).await?;
    let digits = args.sha.to_string();
    let found = join_all(repos.iter().map(async |repo| {
        let shas = sha::begin_with(records, repo, &digits).await?;
        anyhow::Ok(shas.into_iter().map(|sha| Commit { repo: repo.clone(), sha }).collect::<Vec<_>>())
    }));
    let found: Vec<_> = found.await.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Misuse(format!(
            "no commit that is stored begins with `{digits}`, in any of {} repositories",
            repos.len()
        ))
        .into()),
        several => {
            let several: Vec<_> = several.iter().map(|commit| format!("`{commit}`")).collect();
            Err(Misuse(format!("`{digits}` is not one commit, give more digits or `--repo`: {}", several.join(", ")))
                .into())
        }
    }
}

/// What is known of the commit, and what could not be told: two round trips once it is known which it is, of four at most.
async fn look<S: Records>(args: &Args, stores: Stores<'_, S>) -> anyhow::Result<(Document, Vec<String>)> {
    let records = stores.records;
    let (commit, stages, ran) =
        tokio::join!(meant(args, records), Stages::read(records), records.folders_beginning("stages/"));
    let commit = commit?;
    let ran = ran?;
    let ran = ran.iter().filter_map(|it| it.trim_end_matches('/').rsplit('/').next()?.parse().ok());
    let stages = stages.with(ran);
    let (verdict_key, manifest_key) = (RecordKey::Verdict(commit.clone()), ArtefactPath::Manifest.of(&commit));
    let states = join_all(stages.iter().map(async |stage| {
        record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), commit.repo.clone())).await
    }));
    let (verdict, revocation, body, states) = tokio::join!(
        record::read::<Verdict>(records, &verdict_key),
        revocation::read(records, &commit),
        stores.artefacts.get(&manifest_key, None, manifest::MAX_BYTES),
        states
    );
    let (verdict, body) = (verdict?, body?);
    if verdict.is_none() && body.is_none() {
        let repos = sha::repos(records).await?;
        let misuse = if repos.contains(&commit.repo) {
            Misuse(format!("nothing is known of `{commit}`: it was never uploaded, or the gate has not seen it yet"))
        } else {
            sha::no_such_repo(&commit.repo, &repos)
        };
        return Err(misuse.into());
    }
    let mut troubles = Vec::new();
    let mut known = Vec::new();
    for (stage, state) in stages.iter().zip(states) {
        match state {
            Ok(state) => known.extend(state.map(|state| (stage, state.record))),
            Err(error) => troubles.push(format!("what `{stage}` ran can't be told: {}", telemetry::chain(&error))),
        }
    }
    let promotions = promotions(records, &commit, &known).await;
    let manifest = body.as_ref().and_then(|body| Manifest::parse(&body.bytes, &commit).ok());
    let taken_back = revocation?.map(|it| it.taken_back);
    Ok((document(commit, verdict, taken_back, manifest, body.map(|it| it.version_id), promotions), troubles))
}

/// The promotions that brought the commit to a stage, the oldest first, in one round trip.
async fn promotions(records: &impl ReadStore, commit: &Commit, known: &[(&StageName, StageState)]) -> Vec<Promoted> {
    let of_commit = known.iter().flat_map(|(stage, state)| {
        let completed = state.history.iter().filter(|it| it.commit_sha == commit.sha);
        completed.map(move |completed| (*stage, completed, state.promotion_id == completed.promotion_id))
    });
    let reads = of_commit.map(async |(stage, completed, now)| {
        let key = RecordKey::Promotion(stage.clone(), commit.repo.clone(), completed.promotion_id.clone());
        let found = record::read::<PromotionRecord>(records, &key).await.ok().flatten().map(|it| it.record);
        Promoted {
            stage: stage.clone(),
            promotion_id: completed.promotion_id.clone(),
            completed_at: completed.completed_at,
            rollback: completed.rollback,
            now,
            requested_by: found.as_ref().map(|it| it.asked_by().to_owned()),
            status: found.map(|it| it.status),
        }
    });
    join_all(reads).await
}

fn document(
    commit: Commit,
    verdict: Option<record::Stored<Verdict>>,
    taken_back: Option<TakenBack>,
    manifest: Option<Manifest>,
    newest: Option<VersionId>,
    promotions: Vec<Promoted>,
) -> Document {
    let verdict_version_id = verdict.as_ref().map(|it| it.version_id.clone());
    let verdict = verdict.map(|it| it.record);
    let judged = verdict.as_ref().and_then(|it| it.manifest_version_id.clone());
    let taken_back = taken_back.filter(|it| judged.as_ref().is_some_and(|judged| it.concerns(judged)));
    let told = |findings: &[Finding]| findings.iter().cloned().map(Told::of).collect();
    let artefacts = verdict.as_ref().map_or(&[] as &[_], |it| it.artefacts.as_slice());
    Document {
        outcome: verdict.as_ref().map(|it| if taken_back.is_some() { Outcome::Revoked } else { it.outcome }),
        revoked: taken_back.map(|it| it.to_string()),
        judged_at: verdict.as_ref().map(|it| it.evaluated_at),
        reasons: verdict.as_ref().map(|it| told(&it.reasons)).unwrap_or_default(),
        warnings: verdict.as_ref().map(|it| told(&it.warnings)).unwrap_or_default(),
        branch: manifest.as_ref().map(|it| it.branch.clone()),
        author: manifest.as_ref().and_then(super::commits::author),
        authors: manifest.as_ref().map(|it| it.authors.clone()).unwrap_or_default(),
        changes: manifest.as_ref().map(|it| it.changes.clone()).unwrap_or_default(),
        built_at: manifest.as_ref().map(|it| it.timestamp),
        build: manifest.and_then(|it| it.build),
        newer_manifest_version_id: newest.filter(|newest| Some(newest) != judged.as_ref()),
        manifest_version_id: judged,
        policy_version_id: verdict.as_ref().and_then(|it| it.policy_version_id.clone()),
        verdict_version_id,
        artefacts: artefacts.len(),
        bytes: artefacts.iter().map(|it| it.size).sum(),
        promotions,
        commit,
    }
}
