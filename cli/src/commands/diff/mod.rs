//! `gatekeeper diff`: what differs between two stages or commits of a repository, as far as records and the store tell.

mod contents;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, future::join_all, stream};
use gatekeeper_model::{
    ids::{Commit, CommitSha, DatabaseName, FunctionName, MigrationPath, Repo, StackName, StageName},
    manifest,
    manifest::Manifest,
    store_key::{ArtefactPath, RecordKey},
    telemetry,
    verdict::Verdict,
};
use gatekeeper_promotion::{
    history::StageState,
    record::PromotionRecord,
    stage,
    stage::{Stage, StagesConfig},
};
use gatekeeper_store::{ReadStore, Stores, record};
use jiff::Timestamp;
use serde::Serialize;

use self::contents::{Bundle, Contents, StackChange};
use crate::{
    aws::{Aws, PlaceArgs},
    exit::{Answer, Misuse},
    json_diff::{Difference, differences},
    output::Output,
    records::{Dated, Records, looked},
    sha,
    sha::GivenSha,
    stages::Stages,
};

/// Calls in flight.
const LOOKS_IN_FLIGHT: usize = 48;

/// How many of the commits between are told with their authors; the others are counted.
const MOST_BETWEEN: usize = 40;

const EXAMPLES: &str = "\
Examples:
  gatekeeper diff uat 3f1c9a0 --repo bank-payments         what uat would get
  gatekeeper diff prod uat --repo bank-payments            what prod lacks of what uat runs
  gatekeeper diff 3f1c9a0 7d2e468 --repo bank-payments --output json";

/// Tells what differs between two stages or commits: the commits between, templates, functions, migrations, configuration
///
/// What is told is what the first one would get to become as the second one. It is read from records and from the store, not
/// from AWS: `gatekeeper promote --dry-run --changes` asks CloudFormation.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A stage, or a commit by its SHA or the first 7 digits of it or more
    #[arg(value_name = "FROM")]
    from: String,
    /// A stage or a commit
    #[arg(value_name = "TO")]
    to: String,
    /// The repository
    #[arg(long, value_name = "REPO")]
    repo: Repo,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Document {
    repo: Repo,
    from: Named,
    to: Named,
    /// The commits that came after the older one, up to the newer one, the newest first.
    commits_between: Vec<Between>,
    /// How many of them are not told.
    more_commits: usize,
    /// Whether the second one is the older one.
    goes_back: bool,
    stacks: BTreeMap<StackName, StackChange>,
    functions: BTreeMap<FunctionName, FunctionChange>,
    migrations: Vec<MigrationChange>,
    configuration: Vec<Difference>,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<StageName>,
    commit_sha: CommitSha,
}

/// A commit between the two.
#[derive(Debug, Serialize)]
struct Between {
    commit_sha: CommitSha,
    seen_at: Timestamp,
    branch: Option<String>,
    author: Option<String>,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Became {
    Added,
    Removed,
    Changed,
}

#[derive(Debug, Serialize)]
struct FunctionChange {
    became: Became,
    from: Option<Bundle>,
    to: Option<Bundle>,
    /// What differs in the template's properties of the function, beside its code.
    configuration: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct MigrationChange {
    database: DatabaseName,
    file: MigrationPath,
    /// `added` is one that is still to be run.
    became: Became,
}

/// One of the two, with all that is known of it.
struct Side {
    named: Named,
    manifest: Option<Manifest>,
    contents: Contents,
    record: Option<PromotionRecord>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let document = looked(&aws, output, async |stores| look(args, stores).await).await?;
    output.result(&document, &text::of(&document))?;
    Ok(Answer::Yes)
}

/// What a word of the command line means.
enum Meant {
    Stage(StageName, Box<StageState>),
    Commit(CommitSha),
}

/// What differs, in four dependent round trips: names and times, the promotions and manifests that those name, and the
/// templates that differ.
async fn look<S: Records>(args: &Args, stores: Stores<'_, S>) -> anyhow::Result<(Document, Vec<String>)> {
    let (records, repo) = (stores.records, &args.repo);
    let prefix = RecordKey::built_prefix(repo);
    let (stages, seen, from, to) = tokio::join!(
        Stages::read(records),
        records.dated(&prefix, None),
        meant(&args.from, repo, records),
        meant(&args.to, repo, records)
    );
    let seen = seen?;
    let (from, to) = (which(from?, &args.from, repo, &stages)?, which(to?, &args.to, repo, &stages)?);
    let (from, to) = tokio::join!(side(from, repo, stores), side(to, repo, stores));
    let (from, to) = (from?, to?);
    let mut troubles: Vec<_> = stages.trouble.clone().into_iter().collect();

    let (between, goes_back) = between(&seen, &from.named.commit_sha, &to.named.commit_sha);
    let more_commits = between.len().saturating_sub(MOST_BETWEEN);
    let authors = stream::iter(between.into_iter().take(MOST_BETWEEN)).map(async |(sha, seen_at)| {
        let commit = Commit { repo: repo.clone(), sha };
        let manifest = newest_manifest(stores.artefacts, &commit).await;
        (commit.sha, seen_at, manifest)
    });
    let (commits, changed, configuration) = tokio::join!(
        authors.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>(),
        contents::changed_templates(&from.contents, &to.contents, stores.artefacts),
        configuration(&from, &to, &stages, records)
    );
    let branch = to.manifest.as_ref().or(from.manifest.as_ref()).map(|it| it.branch.clone());
    let mut commits_between = Vec::new();
    for (commit_sha, seen_at, manifest) in commits {
        let manifest = manifest.unwrap_or_else(|error| {
            troubles.push(format!("who wrote `{commit_sha}` can't be told: {}", telemetry::chain(&error)));
            None
        });
        let theirs = manifest.as_ref().map(|it| it.branch.clone());
        // What was built of other branches meanwhile is not between the two.
        if theirs.is_some() && branch.is_some() && theirs != branch {
            continue;
        }
        let author = manifest.as_ref().and_then(super::commits::author);
        commits_between.push(Between { commit_sha, seen_at, branch: theirs, author });
    }
    let templates = changed?;
    let configuration = configuration.unwrap_or_else(|error| {
        troubles.push(format!("what was configured then can't be told: {}", telemetry::chain(error.as_ref())));
        Vec::new()
    });
    let document = Document {
        repo: repo.clone(),
        commits_between,
        more_commits,
        goes_back,
        functions: functions(&from.contents, &to.contents, &templates),
        migrations: migrations(&from.contents, &to.contents),
        stacks: templates.into_iter().map(|(name, pair)| (name, pair.change())).collect(),
        configuration,
        from: from.named,
        to: to.named,
    };
    Ok((document, troubles))
}

/// What a word may mean: what a stage of this name runs, and the commits that begin so.
async fn meant(
    word: &str,
    repo: &Repo,
    records: &impl Records,
) -> anyhow::Result<(Option<StageState>, Option<anyhow::Result<CommitSha>>)> {
    let state = async {
        match word.parse::<StageName>() {
            Ok(stage) => record::read::<StageState>(records, &RecordKey::Stage(stage, repo.clone())).await,
            Err(_) => Ok(None),
        }
    };
    let commit = async {
        match word.parse::<GivenSha>() {
            Ok(given) => Some(given.of(records, repo).await),
            Err(_) => None,
        }
    };
    let (state, commit) = tokio::join!(state, commit);
    Ok((state?.map(|stored| stored.record), commit))
}

/// What is meant: a stage, where there is one of this name.
fn which(
    (state, commit): (Option<StageState>, Option<anyhow::Result<CommitSha>>),
    word: &str,
    repo: &Repo,
    stages: &Stages,
) -> anyhow::Result<Meant> {
    let stage = word.parse::<StageName>().ok();
    match (stage, state, commit) {
        (Some(stage), Some(state), _) => Ok(Meant::Stage(stage, Box::new(state))),
        (Some(stage), None, _) if stages.get(&stage).is_some() => {
            Err(Misuse(format!("nothing of `{repo}` was promoted to `{stage}` yet")).into())
        }
        (_, _, Some(commit)) => commit.map(Meant::Commit),
        (Some(stage), None, None) => {
            stages.check(&stage, &[])?;
            Err(Misuse(format!("nothing of `{repo}` was promoted to `{stage}` yet")).into())
        }
        (None, _, None) => {
            Err(Misuse(format!("`{word}` is neither a stage nor a commit's SHA of {} digits or more", sha::FEWEST))
                .into())
        }
    }
}

async fn newest_manifest(
    artefacts: &impl ReadStore,
    commit: &Commit,
) -> Result<Option<Manifest>, gatekeeper_store::StoreError> {
    let body = artefacts.get(&ArtefactPath::Manifest.of(commit), None, manifest::MAX_BYTES).await?;
    Ok(body.and_then(|body| Manifest::parse(&body.bytes, commit).ok()))
}

/// All that is known of one of the two, in one round trip.
async fn side<S: ReadStore>(meant: Meant, repo: &Repo, stores: Stores<'_, S>) -> anyhow::Result<Side> {
    let (stage, sha, promotion) = match meant {
        Meant::Stage(stage, state) => (Some(stage), state.commit_sha, Some(state.promotion_id)),
        Meant::Commit(sha) => (None, sha, None),
    };
    let commit = Commit { repo: repo.clone(), sha };
    let record = async {
        match stage.clone().zip(promotion) {
            Some((stage, id)) => {
                record::read::<PromotionRecord>(stores.records, &RecordKey::Promotion(stage, repo.clone(), id)).await
            }
            None => Ok(None),
        }
    };
    let verdict = RecordKey::Verdict(commit.clone());
    let (record, verdict, manifest) = tokio::join!(
        record,
        record::read::<Verdict>(stores.records, &verdict),
        newest_manifest(stores.artefacts, &commit)
    );
    let (record, verdict, manifest) = (record?.map(|it| it.record), verdict?.map(|it| it.record), manifest?);
    let contents = match (&record, &manifest) {
        (Some(record), _) => Contents::of_plan(&record.plan),
        (None, Some(manifest)) => Contents::of_manifest(manifest, verdict.as_ref(), &commit),
        (None, None) => {
            return Err(Misuse(format!(
                "nothing is known of what `{commit}` holds: it has no manifest that can be read"
            ))
            .into());
        }
    };
    Ok(Side { named: Named { stage, commit_sha: commit.sha }, manifest, contents, record })
}

/// The commits that were first seen after the older of the two, up to the newer one, the newest first; and whether the second
/// one is the older one.
fn between(seen: &[Dated], from: &CommitSha, to: &CommitSha) -> (Vec<(CommitSha, Timestamp)>, bool) {
    let newest = super::commits::newest(seen);
    let at = |sha: &CommitSha| newest.iter().find(|(it, _)| it == sha).map(|(_, at)| *at);
    let (Some(one), Some(other)) = (at(from), at(to)) else { return (Vec::new(), false) };
    let (older, newer) = (one.min(other), one.max(other));
    let found = newest.iter().filter(|(_, at)| older < *at && *at <= newer).cloned().collect();
    (found, other < one)
}

fn functions(
    from: &Contents,
    to: &Contents,
    templates: &BTreeMap<StackName, contents::Pair>,
) -> BTreeMap<FunctionName, FunctionChange> {
    let names = from.functions.keys().chain(to.functions.keys());
    let mut changes = BTreeMap::new();
    for name in names {
        let (one, other) = (from.functions.get(name), to.functions.get(name));
        let configuration =
            one.zip(other).map(|(one, other)| contents::configuration(one, other, templates)).unwrap_or_default();
        let became = match (one, other) {
            (None, _) => Became::Added,
            (_, None) => Became::Removed,
            (Some(one), Some(other)) if one.sha256 != other.sha256 || !configuration.is_empty() => Became::Changed,
            _ => continue,
        };
        changes.insert(name.clone(), FunctionChange { became, from: one.cloned(), to: other.cloned(), configuration });
    }
    changes
}

fn migrations(from: &Contents, to: &Contents) -> Vec<MigrationChange> {
    let mut keys: Vec<_> = from.migrations.keys().chain(to.migrations.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let change = |key: &&(DatabaseName, MigrationPath)| match (from.migrations.get(*key), to.migrations.get(*key)) {
        (None, _) => Some(Became::Added),
        (_, None) => Some(Became::Removed),
        (one, other) => (one != other).then_some(Became::Changed),
    };
    let changes = keys.iter().filter_map(|key| {
        let (database, file) = (*key).clone();
        Some(MigrationChange { database, file, became: change(key)? })
    });
    changes.collect()
}

/// How the two stages are configured otherwise than each other; or how the one stage is configured since its promotion.
async fn configuration(
    from: &Side,
    to: &Side,
    stages: &Stages,
    records: &impl ReadStore,
) -> anyhow::Result<Vec<Difference>> {
    let value = |stage: Option<&Stage>| serde_json::to_value(stage);
    let (now, then) = match (&from.named.stage, &to.named.stage) {
        (Some(one), Some(other)) => {
            return Ok(differences(&value(stages.get(one))?, &value(stages.get(other))?));
        }
        (Some(stage), None) => (stage, &from.record),
        (None, Some(stage)) => (stage, &to.record),
        (None, None) => return Ok(Vec::new()),
    };
    let Some(record) = then else { return Ok(Vec::new()) };
    let key = RecordKey::StagesConfig.to_string();
    let body = records.get(&key, Some(&record.stages_config_version_id), stage::MAX_BYTES).await?;
    let before = body.and_then(|body| StagesConfig::parse(&body.bytes).ok());
    let Some(before) = before.as_ref().and_then(|config| config.stages.get(now)) else { return Ok(Vec::new()) };
    Ok(differences(&value(Some(before))?, &value(stages.get(now))?))
}

/// Everything that is compared, as futures of one kind.
async fn both<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> (T, T) {
    tokio::join!(one, other)
}

/// Reads several things at once.
async fn all<T>(reads: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    join_all(reads).await
}
