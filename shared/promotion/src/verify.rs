//! Verifying that a commit may be promoted, and pinning what will be: ADR-053 "Stage promotion", steps 1 and 2.
//!
//! Nothing is written here. What has a known place is read at once; what that names is read next; between and after the
//! two looks everything is pure. So verifying takes two dependent round trips, and three where the verdict's rules are
//! older than this gatekeeper's.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    identity::CallerUnknown,
    ids::{Commit, DatabaseName, PromotionId, Sha256, VersionId},
    store_key::RecordKey,
};
use gatekeeper_proof::{PublicKeys, SigningError};
use gatekeeper_readers::flyway::history::HistoryRow;
use gatekeeper_store::{
    ReadStore, StoreError, Stores, record,
    record::{RecordError, Stored},
};
use jiff::Timestamp;

use super::{
    boundary::Home,
    decide::Known,
    history::StageState,
    lock::Lock,
    look,
    plan::Plan,
    record::{PinnedRecord, UnreadFact, WayBack},
    request::PromotionRequest,
    rules::{Requester, Ruling},
};
use crate::stage::Stage;

/// Everything that a promotion rests on, pinned.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The commit.
    pub commit: Commit,
    /// What will be applied.
    pub plan: Plan,
    /// Its digest, which approvals name.
    pub plan_sha256: Sha256,
    /// Why it may not be started yet, of a dry run only: what is planned can be looked at, and approved, before.
    pub not_yet: Vec<Finding>,
    /// The promotion that brought what the stage runs now.
    pub promotion_before: Option<PromotionId>,
    /// What will be applied instead where that fails.
    pub way_back: Option<WayBack>,
    /// The stage as it is configured.
    pub stage: Stage,
    /// The version of its configuration.
    pub stages_config_version_id: VersionId,
    /// The SHA-256 of its configuration.
    pub stages_config_sha256: Sha256,
    /// The version of the verdict.
    pub verdict_version_id: VersionId,
    /// The gate's attestation that the commit is Built.
    pub built_attestation: Option<PinnedRecord>,
    /// The version of the manifest.
    pub manifest_version_id: VersionId,
    /// Who is who, in the version that was used; `None` where there is no such document.
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

/// What is asked, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a PromotionRequest,
    /// What the gatekeeper's own account has that binds a stage.
    pub home: &'a Home,
    /// The time.
    pub now: Timestamp,
}

/// Verifies that the request's commit may be promoted to its stage, and plans it. `keys` and `requester` are waited for
/// beside the first reads. The ledger's chains that it rests on are held against the `witness`, where there is one.
///
/// # Errors
/// [`VerifyError`] where it could not look; that it may not be promoted is an answer.
pub async fn verify<S: ReadStore>(
    stores: Stores<'_, S>,
    witness: Option<&S>,
    asked: Asked<'_>,
    keys: impl Future<Output = Result<PublicKeys, SigningError>>,
    requester: impl Future<Output = Result<Requester, CallerUnknown>>,
) -> Result<Answer, VerifyError> {
    let (commit, state) = match target(stores.records, asked.request).await? {
        Ok(target) => target,
        Err(finding) => return Ok(Err(vec![finding])),
    };
    let first = look::first(stores, witness, &asked.request.stage, &commit, state, keys, requester).await?;
    let known = Known::of(asked, commit, first);
    let second = look::second(stores, witness, &known).await?;
    Ok(known.decide(second)?)
}

/// The commit, and the stage's history where that had to be read to know it: a rollback that names none takes the one
/// before.
async fn target(
    records: &impl ReadStore,
    request: &PromotionRequest,
) -> Result<Result<(Commit, Option<Stored<StageState>>), Finding>, RecordError> {
    let PromotionRequest { stage, repo, .. } = request;
    let commit = |sha| Commit { repo: repo.clone(), sha };
    if let Some(sha) = &request.commit_sha {
        return Ok(Ok((commit(sha.clone()), None)));
    }
    let state = record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), repo.clone())).await?;
    Ok(match state.as_ref().and_then(|it| it.record.one_before()).cloned() {
        Some(sha) => Ok((commit(sha), state)),
        None => {
            let message = format!("no earlier commit of `{repo}` was promoted to `{stage}`");
            Err(Finding::new(Code::NothingToRollBackTo, stage.as_str(), message))
        }
    })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
