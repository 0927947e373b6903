//! What is read to verify a promotion: everything whose place is known at once, and then what the stage's rules need.

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::CallerUnknown,
    ids::{Chain, Commit, Sha256, StageName},
    manifest,
    store_key::{ArtefactPath, Form, PromotionStatement, RecordKey},
    verdict::Verdict,
};
use gatekeeper_proof::{PublicKeys, SigningError, Statement, ledger};
use gatekeeper_store::{
    Body, CALLS_IN_FLIGHT, Listed, Store, StoreError, record,
    record::{RecordError, Stored},
    revocation,
    revocation::StoredRevocation,
};

use super::{
    approval::Approval,
    history::StageState,
    lock::Lock,
    rules::{Earlier, Requester},
    step::PromotionRef,
    verify::VerifyError,
};
use crate::{
    attestation::{VerificationSummary, disagreement},
    identities, stage,
    stage::{Requirement, Stage},
};

/// What is read at once, before anything is known of the commit.
#[derive(Debug)]
pub(super) struct FirstLook {
    pub(super) listed: Vec<Listed>,
    pub(super) manifest: Option<Body>,
    pub(super) config: Option<Body>,
    pub(super) identities: Option<Body>,
    pub(super) attestation: Option<Body>,
    pub(super) verdict: Option<Stored<Verdict>>,
    pub(super) revocation: Option<StoredRevocation>,
    pub(super) state: Option<Stored<StageState>>,
    pub(super) lock: Option<Stored<Lock>>,
    pub(super) ledger_head: Option<Body>,
    pub(super) approvals: Vec<RecordKey>,
    pub(super) keys: PublicKeys,
    pub(super) requester: Requester,
}

/// One round trip. A `state` that was read already is taken as it is.
pub(super) async fn first<S: Store>(
    artefacts: &S,
    records: &S,
    stage: &StageName,
    commit: &Commit,
    state: Option<Stored<StageState>>,
    keys: impl Future<Output = Result<PublicKeys, SigningError>>,
    requester: impl Future<Output = Result<Requester, CallerUnknown>>,
) -> Result<FirstLook, VerifyError> {
    let (prefix, manifest_key) = (commit.prefix(), ArtefactPath::Manifest.of(commit));
    let (config_key, identities_key) = (RecordKey::StagesConfig.to_string(), RecordKey::IdentitiesConfig.to_string());
    let read_state = async {
        match state {
            Some(state) => Ok(Some(state)),
            None => record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), commit.repo.clone())).await,
        }
    };
    let chain = Chain { stage: stage.clone(), repo: commit.repo.clone() };
    let ledger_key = RecordKey::LedgerHead(chain).to_string();
    let attestation_key = RecordKey::BuiltAttestation(commit.clone(), Form::Dsse).to_string();
    let stored = future::try_join5(
        async { Ok::<_, VerifyError>(artefacts.list(&prefix).await?) },
        async { Ok(artefacts.get(&manifest_key, None, manifest::MAX_BYTES).await?) },
        async { Ok(records.get(&config_key, None, stage::MAX_BYTES).await?) },
        async { Ok(records.get(&identities_key, None, identities::MAX_BYTES).await?) },
        async { Ok(records.get(&attestation_key, None, gatekeeper_proof::MAX_BYTES).await?) },
    );
    let verdict_key = RecordKey::Verdict(commit.clone());
    let lock_key = RecordKey::Lock(stage.clone(), commit.repo.clone());
    let standing = future::try_join4(
        record::read::<Verdict>(records, &verdict_key),
        async { Ok(revocation::read(records, commit).await?) },
        read_state,
        record::read::<Lock>(records, &lock_key),
    );
    let proofs = future::try_join4(
        async { Ok(records.get(&ledger_key, None, ledger::MAX_BYTES).await?) },
        async { Ok(approval_keys(records, stage, commit).await?) },
        async { Ok(keys.await?) },
        async { Ok(requester.await?) },
    );
    let (stored, standing, proofs) = future::try_join3(stored, async { Ok(standing.await?) }, proofs).await?;
    let (listed, manifest, config, identities, attestation) = stored;
    let (verdict, revocation, state, lock) = standing;
    let (ledger_head, approvals, keys, requester) = proofs;
    Ok(FirstLook {
        listed,
        manifest,
        config,
        identities,
        attestation,
        verdict,
        revocation,
        state,
        lock,
        ledger_head,
        approvals,
        keys,
        requester,
    })
}

/// Where people's approvals of a commit for a stage lie: asked in the first round, before the stage's rules are known.
async fn approval_keys(records: &impl Store, stage: &StageName, commit: &Commit) -> Result<Vec<RecordKey>, StoreError> {
    let listed = records.list(&RecordKey::approvals_prefix(stage, commit)).await?;
    Ok(listed.iter().filter_map(|it| RecordKey::approval_of(stage, commit, &it.key)).collect())
}

/// The approvals themselves, and the stage that is required first: the second round, and where a stage is required a
/// third one.
pub(super) async fn for_rules(
    records: &impl Store,
    stage: Option<&Stage>,
    commit: &Commit,
    approvals: &[RecordKey],
    built: Option<&Body>,
    keys: &PublicKeys,
) -> Result<(Option<Earlier>, Vec<Stored<Approval>>), RecordError> {
    let required = async {
        let Some(Requirement::Deployed(first)) = stage.map(|stage| &stage.requires) else { return Ok(None) };
        earlier(records, first, commit, built.map(|body| Sha256::of(&body.bytes)), keys).await
    };
    let approvals = stream::iter(approvals)
        .map(|key| record::read::<Approval>(records, key))
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_filter_map(future::ok)
        .try_collect();
    future::try_join(required, approvals).await
}

/// What a stage runs and ran, and whether it is signed that the commit was verified for it: the stage's document alone is
/// nobody's word.
async fn earlier(
    records: &impl Store,
    stage: &StageName,
    commit: &Commit,
    built: Option<Sha256>,
    keys: &PublicKeys,
) -> Result<Option<Earlier>, RecordError> {
    let stored = record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), commit.repo.clone())).await?;
    let Some(Stored { record: state, .. }) = stored else { return Ok(None) };
    let Some(completed) = state.promotion_of(&commit.sha) else { return Ok(Some(Earlier { state, unattested: None })) };
    let (repo, promotion_id) = (commit.repo.clone(), completed.promotion_id.clone());
    let promotion = PromotionRef { stage: stage.clone(), repo, promotion_id };
    let key = RecordKey::PromotionAttestation(
        promotion.stage.clone(),
        promotion.repo.clone(),
        promotion.promotion_id.clone(),
        PromotionStatement::VerificationSummary,
        Form::Dsse,
    );
    let key = key.to_string();
    let Some(body) = records.get(&key, None, gatekeeper_proof::MAX_BYTES).await? else {
        let message = format!("nobody has signed that `{stage}` took `{commit}`; promote it to `{stage}` again");
        return Ok(Some(Earlier { state, unattested: Some(Finding::new(Code::AttestationMissing, key, message)) }));
    };
    let wrong = match Statement::<VerificationSummary>::open(&body.bytes, keys) {
        Err(error) => Some(error.to_string()),
        Ok(statement) => disagreement(&statement, &promotion, &commit.sha, built),
    };
    let unattested = wrong.map(|wrong| Finding::new(Code::AttestationInvalid, key, wrong));
    Ok(Some(Earlier { state, unattested }))
}
