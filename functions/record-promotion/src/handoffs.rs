//! The handoffs of a promotion: that modules are Deployed to its stage, and that the stage went back from a commit.

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    front_matter::{self, FrontMatter},
    ids::{Commit, CommitSha, ETag, ModuleId},
    store_key::RecordKey,
    telemetry::Logger,
};
use gatekeeper_promotion::{
    attestation::carried_out,
    handoff,
    record::{PromotionRecord, Status},
    step::PromotionRef,
};
use gatekeeper_store::{Precondition, StoreError, WriteStore, Written, record::RecordError};
use jiff::Timestamp;
use serde_json::json;

/// Documents that are written at once.
const IN_FLIGHT: usize = 16;

/// Writes the Deployed handoff of every module, once a stage (CONTRACT §7). There is one place for all stages: the one of an
/// earlier stage, such as dev's, is followed by this one as its next version, and so is one that was rolled back since.
pub(crate) async fn write_deployed(
    records: &impl WriteStore,
    record: &PromotionRecord,
    at: Timestamp,
) -> anyhow::Result<()> {
    let commit = record.commit();
    let evidence = PromotionRecord::key(&record.reference());
    let comparisons = record.schema_comparisons()?;
    let runs = carried_out(record)?;
    let document = |module: &ModuleId, supersedes: Option<String>| {
        let artefacts = record.plan.artefacts_of(module);
        let artefacts = artefacts.iter().map(|it| (it.key.as_str(), it.sha256.to_string()));
        let databases = record.plan.databases.iter().filter(|it| it.modules.contains(module));
        let schemas = databases.filter_map(|it| comparisons.get(&it.database).map(|found| (&it.database, found)));
        let is_of_it = |name: &str| {
            let mut planned = record.plan.runs.iter().filter(|run| run.name().as_str() == name);
            planned.any(|run| run.modules().any(|it| it == module))
        };
        let runs = runs.iter().filter(|it| is_of_it(&it.run));
        let mut document =
            handoff::deployed(&commit, module, &record.stage, at, &evidence, artefacts, schemas, supersedes);
        handoff::add_runs(&mut document, runs);
        document
    };
    let (document, commit) = (&document, &commit);
    stream::iter(record.plan.modules())
        .map(|module| async move {
            let key = RecordKey::DeployedHandoff(commit.clone(), module.clone());
            let rolled_back = RecordKey::RolledBackHandoff(commit.clone(), module.clone());
            let mut supersedes = None;
            let before = match standing(records, &key).await? {
                None => Precondition::Absent,
                Some((etag, there)) => {
                    if let Some(there) = there.filter(|it| it.stage == record.stage) {
                        let since = standing(records, &rolled_back).await?.and_then(|(_, read)| read);
                        if since.is_none_or(|it| it.stage != record.stage || it.timestamp <= there.timestamp) {
                            return Ok(());
                        }
                        supersedes = Some(rolled_back.to_string());
                    }
                    Precondition::Unchanged(etag)
                }
            };
            put(records, &key, &document(module, supersedes), &before).await
        })
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|()| async { Ok(()) })
        .await
        .context("a handoff document could not be written")
}

/// Writes, for every module of the commit that the stage went back from, that it was rolled back: after a rollback that
/// succeeded of the commit that ran before, and after a promotion that failed of its own.
pub(crate) async fn write_rolled_back(
    records: &impl WriteStore,
    record: &PromotionRecord,
    at: Timestamp,
    log: &Logger,
) -> anyhow::Result<()> {
    let of_before;
    let (of, back_to): (&PromotionRecord, &CommitSha) =
        match (record.status, &record.way_back, &record.promotion_before) {
            (Status::RolledBack, Some(way_back), _) => (record, &way_back.commit_sha),
            (Status::Succeeded, _, Some(before)) if record.rollback => {
                let before = PromotionRef { promotion_id: before.clone(), ..record.reference() };
                of_before = match PromotionRecord::load(records, &before).await {
                    Ok(stored) => stored.record,
                    Err(RecordError::Store(error)) => return Err(error.into()),
                    // The rollback is done: that nobody can tell what it took back must not keep it from being recorded.
                    Err(error) => {
                        let fields = json!({"promotion_before": before.promotion_id, "error": error.to_string()});
                        log.error("what was rolled back is not handed off: its record can't be read", fields);
                        return Ok(());
                    }
                };
                (&of_before, &record.commit_sha)
            }
            _ => return Ok(()),
        };
    if of.commit_sha == *back_to {
        return Ok(());
    }
    let commit = &of.commit();
    stream::iter(of.plan.modules())
        .map(|module| write_one(records, record, (commit, module), back_to, at))
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|()| async { Ok(()) })
        .await
        .context("a handoff document could not be written")
}

async fn write_one(
    records: &impl WriteStore,
    record: &PromotionRecord,
    (commit, module): (&Commit, &ModuleId),
    back_to: &CommitSha,
    at: Timestamp,
) -> anyhow::Result<()> {
    let key = RecordKey::RolledBackHandoff(commit.clone(), module.clone());
    let deployed = RecordKey::DeployedHandoff(commit.clone(), module.clone());
    let (there, takes_back) =
        futures_util::future::try_join(standing(records, &key), standing(records, &deployed)).await?;
    let before = match there {
        None => Precondition::Absent,
        Some((etag, read)) => {
            let evidence = PromotionRecord::key(&record.reference()).to_string();
            if read.is_some_and(|it| it.evidence == evidence) {
                return Ok(());
            }
            Precondition::Unchanged(etag)
        }
    };
    let takes_back = takes_back.and_then(|(_, read)| read).filter(|it| it.stage == record.stage);
    let document = handoff::rolled_back(commit, module, back_to, record, at, takes_back.map(|_| &deployed));
    put(records, &key, &document, &before).await
}

/// The document that stands at a key, where it can be read.
async fn standing(
    records: &impl WriteStore,
    key: &RecordKey,
) -> Result<Option<(ETag, Option<FrontMatter>)>, StoreError> {
    let body = records.get(&key.to_string(), None, front_matter::MAX_BYTES).await?;
    Ok(body.map(|body| (body.etag, FrontMatter::of(&String::from_utf8_lossy(&body.bytes)).ok())))
}

async fn put(records: &impl WriteStore, key: &RecordKey, document: &str, before: &Precondition) -> anyhow::Result<()> {
    let key = key.to_string();
    let written = records.put(&key, document.as_bytes(), "text/markdown", before).await?;
    // The step is retried then, and looks again.
    anyhow::ensure!(matches!(written, Written::Done { .. }), "`{key}` was changed by somebody else");
    Ok(())
}
