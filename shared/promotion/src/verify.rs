//! Verifying that a commit may be promoted, and pinning what will be: ADR-053 "Stage promotion", steps 1 and 2.
//!
//! Nothing is written here. Independent reads go out at once, so that verifying takes two dependent round trips,
//! and three where the verdict's rules are older than this gatekeeper's.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gatekeeper_gate::{
    attestation, attestation::TestResult, converge::inspected_template, judgement::INTEGRATION_PASSED,
};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::CallerUnknown,
    ids::{Chain, Commit, DatabaseName, Repo, Sha256, StackName, StageName},
    manifest::Manifest,
    store_key::{ArtefactPath, Form, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::{PublicKeys, SigningError, Statement, ledger};
use gatekeeper_readers::{flyway::history::HistoryRow, template, template::Template};
use gatekeeper_store::{
    Body, CALLS_IN_FLIGHT, Listed, Store, StoreError, record,
    record::{RecordError, Stored},
    revocation::StoredRevocation,
};
use jiff::Timestamp;

use super::{
    boundary::Home,
    history::StageState,
    lock::Lock,
    look,
    plan::{Plan, Subject},
    record::{PinnedRecord, PromotionRecord, UnreadFact, WayBack},
    request::PromotionRequest,
    rules::{Circumstances, Requester, Ruling},
    step::PromotionRef,
};
use crate::{
    identities::Identities,
    stage::{SchemaParity, Stage, StagesConfig},
};

/// Objects that are looked at at once, with two calls each: a commit of 40 objects takes one round trip. Between 48
/// and 80 calls in flight even a cold function is as fast as it gets.
const OBJECTS_IN_FLIGHT: usize = 48;

/// Everything that a promotion rests on, pinned.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The commit.
    pub commit: Commit,
    /// What will be applied.
    pub plan: Plan,
    /// What will be applied instead where that fails.
    pub way_back: Option<WayBack>,
    /// The stage as it is configured.
    pub stage: Stage,
    /// The version of its configuration.
    pub stages_config_version_id: String,
    /// The SHA-256 of its configuration.
    pub stages_config_sha256: Sha256,
    /// The version of the verdict.
    pub verdict_version_id: String,
    /// The gate's attestation that the commit is Built.
    pub built_attestation: Option<PinnedRecord>,
    /// The version of the manifest.
    pub manifest_version_id: String,
    /// Who is who, in the version that was used; none where there is no such document.
    pub identities_config: Option<PinnedRecord>,
    /// Who asks, who approved and what was waived.
    pub ruling: Ruling,
    /// The lock as it lies there, held or not.
    pub lock: Option<Stored<Lock>>,
    /// The schema histories of the stage's databases, as the last promotion left them.
    pub history_before: BTreeMap<DatabaseName, Vec<HistoryRow>>,
}

/// The answer to a request: everything pinned, or every reason why not.
pub type Answer = Result<Box<Verified>, Vec<Finding>>;

/// Why it could not be verified. That a commit may not be promoted is an answer, not an error.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A bucket could not be looked at.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record of what the stage runs tells what can't be read: a history that can't be read is not none.
    #[error(transparent)]
    Fact(#[from] UnreadFact),
    /// The public keys could not be had.
    #[error(transparent)]
    Keys(#[from] SigningError),
    /// Who asks could not be told.
    #[error(transparent)]
    Caller(#[from] CallerUnknown),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Record(error.into())
    }
}

/// Verifies that the request's commit may be promoted to its stage, and plans it. `keys` and `requester` are waited for
/// beside the first reads.
///
/// # Errors
/// [`VerifyError`] where it could not look; that it may not be promoted is an answer.
pub async fn verify<S: Store>(
    artefacts: &S,
    records: &S,
    home: &Home,
    request: &PromotionRequest,
    keys: impl Future<Output = Result<PublicKeys, SigningError>>,
    requester: impl Future<Output = Result<Requester, CallerUnknown>>,
    now: Timestamp,
) -> Result<Answer, VerifyError> {
    let (stage, repo) = (&request.stage, &request.repo);
    let state_key = RecordKey::Stage(stage.clone(), repo.clone());
    // Only a rollback that names no commit must know the history before it can look further.
    let (sha, state) = match &request.commit_sha {
        Some(sha) => (sha.clone(), None),
        None => {
            let state = record::read::<StageState>(records, &state_key).await?;
            let Some(sha) = state.as_ref().and_then(|it| it.record.one_before()).cloned() else {
                let message = format!("no earlier commit of `{repo}` was promoted to `{stage}`");
                return Ok(Err(vec![Finding::new(Code::NothingToRollBackTo, stage.as_str(), message)]));
            };
            (sha, state)
        }
    };
    let commit = Commit { repo: repo.clone(), sha };

    let first = look::first(artefacts, records, stage, &commit, state, keys, requester).await?;

    let mut reasons = Vec::from_iter(broken_ledger(stage, repo, first.ledger_head.as_ref(), &first.keys));
    let stages = config_of(first.config, stage, &mut reasons);
    let state = first.state.map(|stored| stored.record);
    let verdict = built_verdict(&commit, first.verdict, first.revocation.as_ref(), &mut reasons);
    if request.rollback {
        reasons.extend(never_ran(stage, &commit, state.as_ref(), verdict.as_ref().map(|it| &it.record)));
    }
    let manifest_sha256 = first.manifest.as_ref().map(|body| Sha256::of(&body.bytes));
    let built_attestation = verdict.as_ref().zip(manifest_sha256).and_then(|(verdict, manifest)| {
        let is_built = verdict.record.outcome == Outcome::Built;
        is_built.then(|| attested(verdict, manifest, first.attestation.as_ref(), &first.keys, &mut reasons)).flatten()
    });
    let manifest = verdict.as_ref().and_then(|verdict| judged_manifest(&verdict.record, first.manifest, &mut reasons));
    if let Some(verdict) = &verdict {
        reasons.extend(stale(&verdict.record, &first.listed));
    }

    let checked = async {
        match &verdict {
            // Of a commit that isn't Built every tag says `false`, which would only repeat it.
            Some(verdict) if verdict.record.outcome == Outcome::Built => {
                Ok::<_, RecordError>(check_objects(artefacts, &verdict.record, &first.listed).await?)
            }
            _ => Ok(Vec::new()),
        }
    };
    let stage_config = stages.as_ref().map(|(stage, _)| stage);
    let (checked, templates, before, (required, approvals)) = future::try_join4(
        checked,
        templates(artefacts, records, manifest.as_ref(), verdict.as_ref().map(|it| &it.record)),
        promotion_before(records, request, state.as_ref()),
        look::for_rules(records, stage_config, &commit, &first.approvals, first.attestation.as_ref(), &first.keys),
    )
    .await?;
    reasons.extend(checked);

    let (Some(verdict), Some(manifest), Some((stage_config, config))) = (verdict, manifest, stages) else {
        return Ok(Err(sorted(reasons)));
    };
    // Of a verdict that names no manifest the stored one was not judged, which is among the reasons.
    let Some(manifest_version_id) = verdict.record.manifest_version_id.clone() else { return Ok(Err(sorted(reasons))) };
    let identities = Identities::of(first.identities.as_ref());
    let ruling = Circumstances {
        stage: &stage_config,
        request,
        requester: &first.requester,
        commit: &commit,
        manifest: &manifest,
        manifest_version_id: &manifest_version_id,
        required: required.as_ref(),
        approvals: &approvals,
        identities: identities.as_ref(),
        now,
    };
    let mut ruling = ruling.rule();
    let history_before = history_before(request, before.as_ref())?;
    reasons.append(&mut ruling.reasons);
    let plan = Plan::of(Subject {
        verdict: &verdict.record,
        manifest: &manifest,
        templates: &templates,
        home,
        stage_name: stage,
        stage: &stage_config,
        rollback_parity: rollback_parity(request),
    });
    match plan {
        Ok(plan) if reasons.is_empty() => Ok(Ok(Box::new(Verified {
            history_before,
            way_back: before.and_then(|before| way_back(request, &commit, before)),
            commit,
            plan,
            stage: stage_config,
            stages_config_version_id: config.version_id,
            stages_config_sha256: Sha256::of(&config.bytes),
            built_attestation,
            manifest_version_id,
            identities_config: first.identities.map(|body| pinned(&RecordKey::IdentitiesConfig, body)),
            ruling,
            verdict_version_id: verdict.version_id,
            lock: first.lock,
        }))),
        plan => {
            reasons.extend(plan.err().unwrap_or_default());
            Ok(Err(sorted(reasons)))
        }
    }
}

/// The rows of the databases' histories as the promotion before left them. Of a stage that ran nothing yet there are none,
/// and a rollback migrates nothing.
fn history_before(
    request: &PromotionRequest,
    before: Option<&PromotionRecord>,
) -> Result<BTreeMap<DatabaseName, Vec<HistoryRow>>, UnreadFact> {
    let rows = before.filter(|_| !request.rollback).map(PromotionRecord::schema_histories).transpose()?;
    Ok(rows.unwrap_or_default())
}

/// Why there is nothing to go back to: the stage never ran the commit, or not by its present manifest. A rollback skips the
/// stage's rules, because what it brings back was promoted by them once; what was uploaded since was not.
fn never_ran(
    stage: &StageName,
    commit: &Commit,
    state: Option<&StageState>,
    verdict: Option<&Verdict>,
) -> Option<Finding> {
    let ran = state.into_iter().flat_map(|state| &state.history).filter(|it| it.commit_sha == commit.sha);
    let ran: Vec<_> = ran.map(|it| it.manifest_version_id.as_deref()).collect();
    let present = verdict.and_then(|verdict| verdict.manifest_version_id.as_deref());
    let message = match ran.last() {
        None => format!("`{commit}` was never promoted to `{stage}`, so there is nothing to go back to"),
        Some(_) if present.is_none() || ran.contains(&present) => return None,
        Some(last) => format!(
            "`{stage}` ran `{commit}` by version `{}` of its manifest, and `{}` is stored now: promote it instead",
            last.unwrap_or("unknown"),
            present.unwrap_or_default()
        ),
    };
    Some(Finding::new(Code::NeverPromoted, commit.sha.as_str(), message))
}

/// What is wrong with the stage's ledger: nothing can be written on top of a head that doesn't hold.
fn broken_ledger(stage: &StageName, repo: &Repo, head: Option<&Body>, keys: &PublicKeys) -> Option<Finding> {
    let chain = Chain { stage: stage.clone(), repo: repo.clone() };
    let error = ledger::head_of(&head?.bytes, &chain, keys.of(gatekeeper_proof::Authority::of(&chain))).err()?;
    let message = format!("its head: {error}; nothing can be written on top of it, see `gatekeeper ledger verify`");
    Some(Finding::new(Code::LedgerBroken, RecordKey::LedgerHead(chain).to_string(), message))
}

fn pinned(key: &RecordKey, body: Body) -> PinnedRecord {
    PinnedRecord { key: key.to_string(), version_id: body.version_id, sha256: Sha256::of(&body.bytes) }
}

fn sorted(mut reasons: Vec<Finding>) -> Vec<Finding> {
    reasons.sort();
    reasons.dedup();
    reasons
}

/// The stage as it is configured, and the configuration; none with the reason where it isn't.
pub fn config_of(config: Option<Body>, stage: &StageName, reasons: &mut Vec<Finding>) -> Option<(Stage, Body)> {
    let Some(body) = config else {
        let key = RecordKey::StagesConfig.to_string();
        reasons.push(Finding::new(Code::StagesConfigInvalid, key, "there is no configuration of the stages"));
        return None;
    };
    match StagesConfig::parse(&body.bytes) {
        Ok(mut config) => {
            let configured = config.stages.remove(stage);
            if configured.is_none() {
                let known: Vec<_> = config.stages.keys().map(|name| format!("`{name}`")).collect();
                let message = format!("the stage is not configured; there are {}", known.join(", "));
                reasons.push(Finding::new(Code::StageUnknown, stage.as_str(), message));
            }
            configured.map(|configured| (configured, body))
        }
        Err(finding) => {
            reasons.push(finding);
            None
        }
    }
}

/// The verdict, where it says `built` and wasn't taken back since; a refusal repeats its reasons.
pub fn built_verdict(
    commit: &Commit,
    verdict: Option<Stored<Verdict>>,
    revocation: Option<&StoredRevocation>,
    reasons: &mut Vec<Finding>,
) -> Option<Stored<Verdict>> {
    let Some(verdict) = verdict else {
        let message = "there is no verdict: the commit was never uploaded, or the gate has not seen it yet";
        reasons.push(Finding::new(Code::NotBuilt, commit.to_string(), message));
        return None;
    };
    if verdict.record.outcome != Outcome::Built {
        let why = match verdict.record.outcome {
            Outcome::Registered => ": its integration tests have not run yet",
            _ => "",
        };
        let message = format!("the commit is `{}`, the stage requires `built`{why}", verdict.record.outcome);
        reasons.push(Finding::new(Code::NotBuilt, commit.to_string(), message));
        reasons.extend(verdict.record.reasons.iter().cloned());
    }
    if let Some(StoredRevocation { taken_back, .. }) = revocation
        && verdict.record.manifest_version_id.as_ref().is_some_and(|manifest| taken_back.concerns(manifest))
    {
        reasons.push(Finding::new(Code::Revoked, ArtefactPath::Manifest.of(commit), taken_back.to_string()));
    }
    Some(verdict)
}

/// The gate's attestation of this very verdict, manifest and objects. The tag and the verdict are only words: this is what a
/// promotion rests on.
fn attested(
    verdict: &Stored<Verdict>,
    manifest: Sha256,
    attestation: Option<&Body>,
    keys: &PublicKeys,
    reasons: &mut Vec<Finding>,
) -> Option<PinnedRecord> {
    let key = RecordKey::BuiltAttestation(verdict.record.commit(), Form::Dsse).to_string();
    let Some(body) = attestation else {
        let message = "the gate has not attested that the commit is built: tag its manifest `integration-passed=true` to \
                       have it judged again";
        reasons.push(Finding::new(Code::AttestationMissing, key, message));
        return None;
    };
    let wrong = match Statement::<TestResult>::open(&body.bytes, keys) {
        Err(error) => Some(error.to_string()),
        Ok(statement) => attestation::disagreement(&statement, &verdict.record, verdict.sha256, manifest),
    };
    match wrong {
        Some(wrong) => {
            reasons.push(Finding::new(Code::AttestationInvalid, key, wrong));
            None
        }
        None => Some(PinnedRecord { key, version_id: body.version_id.clone(), sha256: Sha256::of(&body.bytes) }),
    }
}

/// The manifest, where it is the version that was judged.
fn judged_manifest(verdict: &Verdict, manifest: Option<Body>, reasons: &mut Vec<Finding>) -> Option<Manifest> {
    let commit = verdict.commit();
    let Some(body) = manifest else {
        let message = "there is no manifest";
        reasons.push(Finding::new(Code::ManifestMissing, ArtefactPath::Manifest.of(&commit), message));
        return None;
    };
    if verdict.manifest_version_id.as_ref() != Some(&body.version_id) {
        let message = format!("version `{}` of the manifest is stored, and it was not judged yet", body.version_id);
        reasons.push(Finding::new(Code::VerdictStale, ArtefactPath::Manifest.of(&commit), message));
    }
    match Manifest::parse(&body.bytes, &commit) {
        Ok(manifest) => Some(manifest),
        Err(findings) => {
            reasons.extend(findings);
            None
        }
    }
}

/// Where what is stored isn't what was judged.
fn stale(verdict: &Verdict, listed: &[Listed]) -> Vec<Finding> {
    let manifest_key = ArtefactPath::Manifest.of(&verdict.commit());
    let stored: BTreeMap<_, _> = listed.iter().map(|it| (it.key.as_str(), it.version_id.as_str())).collect();
    let judged: BTreeSet<_> = verdict.artefacts.iter().map(|it| it.key.as_str()).collect();
    let mut findings = Vec::new();
    for artefact in &verdict.artefacts {
        let stale = match stored.get(artefact.key.as_str()) {
            Some(version) if *version == artefact.version_id => continue,
            Some(version) => format!("version `{version}` is stored, judged was `{}`", artefact.version_id),
            None => "it was judged and is no longer stored".to_owned(),
        };
        findings.push(Finding::new(Code::VerdictStale, artefact.key.as_str(), stale));
    }
    // Keys outside the layout are no part of the commit.
    let unjudged = stored.keys().filter(|key| **key != manifest_key && !judged.contains(**key));
    for key in unjudged.filter(|key| gatekeeper_model::store_key::ArtefactKey::parse(key).is_ok()) {
        findings.push(Finding::new(Code::VerdictStale, *key, "it is stored and was not judged yet"));
    }
    findings
}

/// Two reads an object, no bodies: its checksum and its tags, at the version that will be applied.
async fn check_objects(
    artefacts: &impl Store,
    verdict: &Verdict,
    listed: &[Listed],
) -> Result<Vec<Finding>, StoreError> {
    let manifest_key = ArtefactPath::Manifest.of(&verdict.commit());
    let manifest = listed.iter().find(|it| it.key == manifest_key);
    let manifest = manifest.map(|it| (it.key.as_str(), it.version_id.as_str(), None));
    let objects = verdict.artefacts.iter().map(|it| (it.key.as_str(), it.version_id.as_str(), Some(it.sha256)));
    let findings: Vec<_> = stream::iter(manifest.into_iter().chain(objects))
        .map(|(key, version_id, sha256)| check_object(artefacts, key, version_id, sha256))
        .buffer_unordered(OBJECTS_IN_FLIGHT)
        .try_collect()
        .await?;
    Ok(findings.into_iter().flatten().collect())
}

async fn check_object(
    artefacts: &impl Store,
    key: &str,
    version_id: &str,
    judged: Option<Sha256>,
) -> Result<Vec<Finding>, StoreError> {
    let (head, tags) = future::try_join(artefacts.head(key, Some(version_id)), artefacts.tags(key, version_id)).await?;
    let (Some(head), Some(tags)) = (head, tags) else {
        let message = format!("version `{version_id}` was judged and is no longer stored");
        return Ok(vec![Finding::new(Code::VerdictStale, key, message)]);
    };
    let mut findings = Vec::new();
    if let (Some(stored), Some(judged)) = (head.sha256, judged)
        && stored != judged
    {
        let message = format!("judged was `{judged}`, stored is `{stored}`");
        findings.push(Finding::new(Code::DigestMismatch, key, message));
    }
    match tags.get(INTEGRATION_PASSED).map(String::as_str) {
        Some("true") => {}
        Some(other) => findings.push(Finding::new(
            Code::TagNotTrue,
            key,
            format!("`{INTEGRATION_PASSED}` is `{other}` on version `{version_id}`"),
        )),
        None => findings.push(Finding::new(
            Code::TagNotTrue,
            key,
            format!("version `{version_id}` has no tag `{INTEGRATION_PASSED}`"),
        )),
    }
    Ok(findings)
}

/// What the commit's templates say: from their inspections, or from their bytes where the rules have changed since.
async fn templates<S: Store>(
    artefacts: &S,
    records: &S,
    manifest: Option<&Manifest>,
    verdict: Option<&Verdict>,
) -> Result<BTreeMap<StackName, Template>, RecordError> {
    let modules = manifest.into_iter().flat_map(|manifest| &manifest.modules);
    let stacks = modules.flat_map(|module| module.stacks.iter().map(move |stack| (module, stack)));
    let stacks = stacks.filter_map(|(module, stack)| {
        let path = ArtefactPath::Template(module.id.clone(), stack.name.clone());
        Some((&stack.name, verdict?.artefact(&path)?))
    });
    stream::iter(stacks)
        .map(|(name, artefact)| async move {
            let mut template = inspected_template(records, artefact.sha256).await?;
            if template.is_none() {
                let body = artefacts.get(&artefact.key, Some(&artefact.version_id), template::MAX_BYTES as u64).await?;
                let body = body.filter(|body| Sha256::of(&body.bytes) == artefact.sha256);
                template = body.and_then(|body| template::read(&body.bytes));
            }
            Ok::<_, RecordError>(template.map(|template| (name.clone(), template)))
        })
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_filter_map(|entry| future::ready(Ok(entry)))
        .try_collect()
        .await
}

/// What a rollback makes of a schema that is not the tested one: databases are never rolled back, so it must be the
/// commit's, whatever the stage asks of promotions.
fn rollback_parity(request: &PromotionRequest) -> Option<SchemaParity> {
    match (request.rollback, request.accept_schema_difference) {
        (false, _) => None,
        (true, false) => Some(SchemaParity::Required),
        (true, true) => Some(SchemaParity::Reported),
    }
}

/// The promotion that brought what the stage runs now. A rollback, which has no way back, goes on without its record.
async fn promotion_before(
    records: &impl Store,
    request: &PromotionRequest,
    state: Option<&StageState>,
) -> Result<Option<PromotionRecord>, RecordError> {
    let Some(state) = state else { return Ok(None) };
    let promotion =
        PromotionRef { stage: state.stage.clone(), repo: state.repo.clone(), promotion_id: state.promotion_id.clone() };
    if request.rollback {
        let stored = record::read::<PromotionRecord>(records, &PromotionRecord::key(&promotion)).await?;
        return Ok(stored.map(|stored| stored.record));
    }
    Ok(Some(PromotionRecord::load(records, &promotion).await?.record))
}

/// What the stage runs now, where that is another commit: what is brought back when the promotion fails. A rollback
/// has no way back, because a rollback never rolls back a rollback.
fn way_back(request: &PromotionRequest, commit: &Commit, before: PromotionRecord) -> Option<WayBack> {
    let goes_back = !request.rollback && before.commit_sha != commit.sha;
    goes_back.then_some(WayBack { commit_sha: before.commit_sha, promotion_id: before.promotion_id, plan: before.plan })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
