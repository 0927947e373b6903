//! `gatekeeper commits`: the commits of a repository, newest first, and which of them a stage could take.

pub(super) mod promotable;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, future::join_all, stream};
use gatekeeper_model::{
    finding::Finding,
    ids::{Commit, CommitSha, Repo, StageName, VersionId},
    manifest,
    manifest::Manifest,
    store_key::{ArtefactPath, RecordKey},
    telemetry,
    verdict::{Outcome, Verdict},
};
use gatekeeper_promotion::{
    approval::GivenApproval, history::StageState, identities, identities::Identities, stage::Requirement,
};
use gatekeeper_proof::TrustedKeys;
use gatekeeper_store::{ReadStore, Stores, record, record::RecordError, revocation};
use jiff::Timestamp;
use serde::Serialize;

pub(super) use self::text::paint;
use crate::{
    aws::{Aws, PlaceArgs, approval_key},
    exit::Answer,
    output::Output,
    records::{Records, looked},
    sha,
    stages::Stages,
};

/// Commits that are looked at at once, each with some calls.
const LOOKS_IN_FLIGHT: usize = 48;

/// How many of the newest commits are looked at, at most, to find those that a stage could take.
const MOST_LOOKED_AT: usize = 96;

/// What is said where manifests can't be read.
const UNTOLD: &str = "branches and authors can't be told";

const EXAMPLES: &str = "\
Examples:
  gatekeeper commits --repo bank-payments
  gatekeeper commits --repo bank-payments --promotable uat
  gatekeeper commits --repo bank-payments --limit 100 --output json";

/// Lists a repository's commits: what the gate says of them, who wrote them, and which stages ran them
///
/// The newest come first, by when the gate first saw them. Of a stage that runs a commit the name stands alone, of one that
/// ran it earlier in brackets.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The repository
    #[arg(long, value_name = "REPO")]
    repo: Repo,
    /// Only those that this stage could take and does not have yet, with what people or time still stand against
    #[arg(long, value_name = "STAGE")]
    promotable: Option<StageName>,
    /// How many
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Document {
    repo: Repo,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotable_to: Option<StageName>,
    commits: Vec<Row>,
    /// How many older commits were not looked at.
    older: usize,
}

/// One commit.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) commit_sha: CommitSha,
    /// When the gate first saw its manifest.
    seen_at: Timestamp,
    /// What the gate says of it; `None` where it has no verdict that can be read.
    outcome: Option<Outcome>,
    /// When the gate came to that.
    judged_at: Option<Timestamp>,
    branch: Option<String>,
    pub(super) author: Option<String>,
    stages: Vec<RanOn>,
    /// What people or time stand against, where a stage was asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) waits_for: Vec<Finding>,
}

/// A stage that ran a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RanOn {
    stage: StageName,
    /// Whether it runs it now.
    now: bool,
    /// When it was last promoted there.
    at: Timestamp,
}

/// All that is known of one commit.
pub(super) struct Looked {
    row: Row,
    pub(super) manifest: Option<Manifest>,
    pub(super) manifest_version_id: Option<VersionId>,
    pub(super) approvals: Vec<GivenApproval>,
}

/// What commits are held against.
pub(super) struct Around {
    pub(super) stages: Stages,
    pub(super) states: BTreeMap<StageName, StageState>,
    pub(super) identities: Result<Identities, Finding>,
    pub(super) now: Timestamp,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let key = async {
        match &args.promotable {
            Some(_) => approval_key(&aws).await.map(Some),
            None => Ok(None),
        }
    };
    let now = telemetry::wall_clock();
    let document = looked(&aws, output, async |stores| look(args, stores, key, now).await).await?;
    output.result(&document, &text::of(&document))?;
    Ok(Answer::Yes)
}

/// The commits, and what could not be told. Two dependent round trips: names and times, then what is known of each.
async fn look<S: Records>(
    args: &Args,
    stores: Stores<'_, S>,
    approval_key: impl Future<Output = anyhow::Result<Option<TrustedKeys>>>,
    now: Timestamp,
) -> anyhow::Result<(Document, Vec<String>)> {
    let (records, repo) = (stores.records, &args.repo);
    let approvals = async {
        match &args.promotable {
            Some(stage) => records.dated(&RecordKey::approvals_of_repo_prefix(stage, repo), None).await,
            None => Ok(Vec::new()),
        }
    };
    let identities = async {
        let stored = records.get(&RecordKey::IdentitiesConfig.to_string(), None, identities::MAX_BYTES).await;
        stored.map(|stored| Identities::of(stored.as_ref()))
    };
    let prefix = RecordKey::built_prefix(repo);
    let (seen, stages, ran, approvals, identities, approval_key) = tokio::join!(
        records.dated(&prefix, None),
        Stages::read(records),
        records.folders_beginning("stages/"),
        approvals,
        identities,
        approval_key
    );
    let (seen, ran, approvals) = (newest(&seen?), ran?, approvals?);
    let mut troubles: Vec<_> = stages.trouble.clone().into_iter().collect();
    let approval_key = approval_key.unwrap_or_else(|error| {
        troubles.push(format!("no approval counts here, for none can be verified: {error:#}"));
        None
    });
    let ran: Vec<StageName> =
        ran.iter().filter_map(|it| it.trim_end_matches('/').rsplit('/').next()?.parse().ok()).collect();
    if let Some(stage) = &args.promotable {
        stages.check(stage, &ran)?;
    }
    if seen.is_empty() {
        let repos = sha::repos(records).await?;
        if !repos.contains(repo) {
            return Err(sha::no_such_repo(repo, &repos).into());
        }
    }
    let all = stages.with(ran);
    let looked_at = if args.promotable.is_some() { MOST_LOOKED_AT.max(args.limit) } else { args.limit };
    let older = seen.len().saturating_sub(looked_at);
    let mut of_approvals: BTreeMap<CommitSha, Vec<RecordKey>> = BTreeMap::new();
    for (commit, key) in approvals.iter().filter_map(|it| RecordKey::approval(&it.key)) {
        of_approvals.entry(commit.sha).or_default().push(key);
    }
    let states = join_all(all.iter().map(async |stage| {
        (stage, record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), repo.clone())).await)
    }));
    let looks = stream::iter(seen.into_iter().take(looked_at)).map(async |(sha, at)| {
        let approvals = of_approvals.get(&sha).map_or(&[] as &[_], Vec::as_slice);
        commit(stores, Commit { repo: repo.clone(), sha }, at, approvals, approval_key.as_ref()).await
    });
    let (states, looked) = tokio::join!(states, looks.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>());
    let mut known = BTreeMap::new();
    for (stage, state) in states {
        if let Some(state) = told(state, &mut troubles)? {
            known.insert(stage.clone(), state.record);
        }
    }
    let mut commits = Vec::new();
    for looked in looked {
        let (mut one, trouble) = looked?;
        // Of what is forbidden for one commit and so for all, the first is enough.
        let again =
            |it: &String| it.starts_with(UNTOLD) && troubles.iter().any(|told: &String| told.starts_with(UNTOLD));
        let trouble: Vec<_> = trouble.into_iter().filter(|it| !again(it)).collect();
        troubles.extend(trouble);
        one.row.stages = ran_on(&one.row.commit_sha, &all, &known);
        commits.push(one);
    }
    let around = Around { stages, states: known, identities: identities?, now };
    let rows = match &args.promotable {
        Some(stage) => {
            commits.iter().filter_map(|it| promotable::row(it, repo, stage, &around)).take(args.limit).collect()
        }
        None => commits.into_iter().map(|it| it.row).collect(),
    };
    Ok((Document { repo: repo.clone(), promotable_to: args.promotable.clone(), commits: rows, older }, troubles))
}

/// Commits by when their manifest was first seen on any branch, the newest first.
pub(super) fn newest(seen: &[crate::records::Dated]) -> Vec<(CommitSha, Timestamp)> {
    let mut first: BTreeMap<CommitSha, Timestamp> = BTreeMap::new();
    for (commit, at) in seen.iter().filter_map(|it| Some((RecordKey::seen_commit(&it.key)?, it.at))) {
        let earliest = first.entry(commit.sha).or_insert(at);
        *earliest = at.min(*earliest);
    }
    let mut newest: Vec<_> = first.into_iter().collect();
    newest.sort_by(|(one, at), (other, then)| then.cmp(at).then_with(|| one.cmp(other)));
    newest
}

/// A record; one that can't be read is told, and the others stand.
pub(super) fn told<T>(
    read: Result<Option<T>, RecordError>,
    troubles: &mut Vec<String>,
) -> Result<Option<T>, RecordError> {
    match read {
        Ok(found) => Ok(found),
        Err(error @ RecordError::Store(_)) => Err(error),
        Err(error) => {
            troubles.push(telemetry::chain(&error));
            Ok(None)
        }
    }
}

/// What is known of a commit, in one round trip.
pub(super) async fn commit<S: ReadStore>(
    Stores { artefacts, records }: Stores<'_, S>,
    commit: Commit,
    seen_at: Timestamp,
    approvals: &[RecordKey],
    approval_key: Option<&TrustedKeys>,
) -> anyhow::Result<(Looked, Vec<String>)> {
    let (verdict_key, manifest_key) = (RecordKey::Verdict(commit.clone()), ArtefactPath::Manifest.of(&commit));
    let approvals = join_all(approvals.iter().map(|place| GivenApproval::read(records, place, approval_key)));
    let (verdict, revocation, body, approvals) = tokio::join!(
        record::read::<Verdict>(records, &verdict_key),
        revocation::read(records, &commit),
        artefacts.get(&manifest_key, None, manifest::MAX_BYTES),
        approvals
    );
    let mut troubles = Vec::new();
    let verdict = told(verdict, &mut troubles)?.map(|stored| stored.record);
    let body = match body {
        Ok(body) => body,
        // The records tell what matters; who wrote the commit is beside it.
        Err(error) => {
            troubles.push(format!("{UNTOLD}: {}", telemetry::chain(&error)));
            None
        }
    };
    let manifest = body.as_ref().and_then(|body| Manifest::parse(&body.bytes, &commit).ok());
    let manifest_version_id = verdict.as_ref().and_then(|it| it.manifest_version_id.clone());
    let taken_back = revocation?.zip(manifest_version_id.as_ref()).is_some_and(|(it, id)| it.taken_back.concerns(id));
    let mut given = Vec::new();
    for approval in approvals {
        given.extend(told(approval, &mut troubles)?);
    }
    let row = Row {
        commit_sha: commit.sha,
        seen_at,
        outcome: verdict.as_ref().map(|it| if taken_back { Outcome::Revoked } else { it.outcome }),
        judged_at: verdict.as_ref().map(|it| it.evaluated_at),
        branch: manifest.as_ref().map(|it| it.branch.clone()),
        author: manifest.as_ref().and_then(author),
        stages: Vec::new(),
        waits_for: Vec::new(),
    };
    Ok((Looked { row, manifest, manifest_version_id, approvals: given }, troubles))
}

/// Who wrote a commit, as its manifest names them.
pub(super) fn author(manifest: &Manifest) -> Option<String> {
    let first = || manifest.authors.iter().max_by_key(|it| it.commits).map(|it| it.email.clone());
    manifest.author.clone().or_else(first)
}

/// The stages that ran a commit, in their order.
fn ran_on(sha: &CommitSha, all: &[StageName], states: &BTreeMap<StageName, StageState>) -> Vec<RanOn> {
    let ran = all.iter().filter_map(|stage| {
        let state = states.get(stage)?;
        let now = state.commit_sha == *sha;
        let at = state.promotion_of(sha).map(|it| it.completed_at).or(now.then_some(state.since))?;
        Some(RanOn { stage: stage.clone(), now, at })
    });
    ran.collect()
}

impl Around {
    /// The stage that must have run a commit before `stage` takes it.
    fn required(&self, stage: &StageName) -> Option<&StageState> {
        match &self.stages.get(stage)?.requires {
            Requirement::Deployed(first) => self.states.get(first),
            Requirement::Built => None,
        }
    }
}
