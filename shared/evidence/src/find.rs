//! Which repositories of a stage a question is about.

use futures_util::{StreamExt as _, future, stream};
use gatekeeper_model::{
    ids::{Repo, Sha256, StageName},
    store_key::RecordKey,
    telemetry::chain,
};
use gatekeeper_promotion::{history::StageState, record::PromotionRecord, step::PromotionRef};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, record, record::RecordError};
use jiff::Timestamp;

use super::collect::commits_of;

/// What somebody knows of what they ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Nothing: every repository of the stage.
    Everything,
    /// The repository.
    Repo(Repo),
    /// A function, by its bundle's name or by its name in the stage.
    Function(String),
    /// The SHA-256 of something that was applied.
    Digest(Sha256),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The repositories, by name.
    pub repos: Vec<Repo>,
    /// The Built commits that hold the bytes, where the stage runs none of them.
    pub elsewhere: Vec<String>,
    /// Of which repositories it could not be told, and why: what is looked for may run there.
    pub unread: Vec<String>,
}

/// Finds the repositories of a stage that a question is about, as they run now or ran at a time.
///
/// # Errors
/// [`RecordError`] where the store could not be looked at.
pub async fn find(
    records: &impl ReadStore,
    stage: &StageName,
    selector: &Selector,
    at: Option<Timestamp>,
) -> Result<Found, RecordError> {
    if let Selector::Repo(repo) = selector {
        return Ok(Found { repos: vec![repo.clone()], elsewhere: Vec::new(), unread: Vec::new() });
    }
    let listed = async { Ok::<_, RecordError>(records.list(&RecordKey::stages_prefix(Some(stage))).await?) };
    let of_digest = async {
        match selector {
            Selector::Digest(digest) => Ok(commits_of(records, *digest).await?),
            _ => Ok(Vec::new()),
        }
    };
    let (listed, commits) = future::try_join(listed, of_digest).await?;
    let repos = listed.iter().filter_map(|it| RecordKey::stage_and_repo(&it.key)).map(|(_, repo)| repo);
    if *selector == Selector::Everything {
        return Ok(Found { repos: repos.collect(), elsewhere: Vec::new(), unread: Vec::new() });
    }
    let looked: Vec<_> = stream::iter(repos)
        .map(async |repo| {
            let runs = runs(records, stage, &repo, selector, at).await;
            (repo, runs)
        })
        .buffered(CALLS_IN_FLIGHT)
        .collect()
        .await;
    let (mut repos, mut unread) = (Vec::new(), Vec::new());
    for (repo, runs) in looked {
        match runs {
            Ok(true) => repos.push(repo),
            Ok(false) => {}
            Err(why) => unread.push(format!("what `{stage}` runs of `{repo}`: {}", chain(&why))),
        }
    }
    let elsewhere = if repos.is_empty() { commits } else { Vec::new() };
    Ok(Found { repos, elsewhere, unread })
}

/// Whether what a stage runs of a repository is what is looked for. A record that can't be read, or that the stage names and
/// that isn't there, is an error: it doesn't say that it runs something else.
async fn runs(
    records: &impl ReadStore,
    stage: &StageName,
    repo: &Repo,
    selector: &Selector,
    at: Option<Timestamp>,
) -> Result<bool, RecordError> {
    let state = match record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), repo.clone())).await {
        Ok(None) => return Ok(false),
        Ok(Some(stored)) => stored.record,
        Err(error) => return Err(error),
    };
    let Some(completed) = state.present_at(at) else { return Ok(false) };
    let promotion = PromotionRef { stage: stage.clone(), repo: repo.clone(), promotion_id: completed.promotion_id };
    let record = PromotionRecord::load(records, &promotion).await?.record;
    Ok(match selector {
        Selector::Function(name) => {
            record.plan.functions.iter().any(|it| it.function.as_str() == name)
                || record.live.iter().any(|it| it.function_name.as_ref() == Some(name))
        }
        Selector::Digest(digest) => {
            record.plan.pinned().any(|it| it.sha256 == *digest)
                || record.live.iter().any(|it| it.code_sha256 == Some(*digest))
        }
        Selector::Everything | Selector::Repo(_) => true,
    })
}
