//! What lies beside a stage's ledger and is believed, held against what was signed: for whoever looks for alterations.
//! What decides on a promotion is held against the same when it is asked for.

use futures_util::{
    StreamExt as _, TryStreamExt as _, future,
    future::{try_join, try_join3},
    stream,
};
use gatekeeper_gate::attestation::TestResult;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, Commit, Sha256},
    store_key::{Form, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::{Authority, Digest, PublicKeys, Statement, TrustedKeys, ledger, ledger::StandingError};
use gatekeeper_store::{
    CALLS_IN_FLIGHT, ReadStore, StoreError, record,
    record::{RecordError, Stored},
};

use crate::{
    approval::GivenApproval,
    history::{StageState, altered_record},
};

/// What of a stage's records isn't what was signed: the document of what it runs, the verdict on that commit, and approvals;
/// or of the gate's own, verdicts on what was taken back.
///
/// # Errors
/// [`RecordError`] where it could not look; what can't be read is told.
pub async fn altered(records: &impl ReadStore, chain: &Chain, keys: &PublicKeys) -> Result<Vec<Finding>, RecordError> {
    if chain.is_of_gate() {
        return unrevoked(records, chain, keys).await;
    }
    let (head_key, document_key) = (RecordKey::LedgerHead(chain.clone()).to_string(), document_key(chain));
    let (head, document, approvals) = try_join3(
        records.get(&head_key, None, ledger::MAX_BYTES),
        records.get(&document_key, None, ledger::MAX_BYTES),
        unproved_approvals(records, chain, keys.approval.as_ref()),
    )
    .await?;
    let head = head.as_ref().map(|body| body.bytes.as_slice());
    let sha256 = document.as_ref().map(|body| Sha256::of(&body.bytes));
    let mut findings = Vec::from_iter(altered_record(chain, sha256, head, keys));
    if let Some(document) = document {
        match serde_json::from_slice::<StageState>(&document.bytes) {
            Ok(state) => {
                let commit = Commit { repo: chain.repo.clone(), sha: state.commit_sha };
                findings.extend(unattested_verdict(records, &commit, keys).await?);
            }
            Err(error) => {
                findings.push(Finding::new(
                    Code::StageRecordAltered,
                    document_key,
                    format!("it can't be read: {error}"),
                ));
            }
        }
    }
    findings.extend(approvals);
    Ok(findings)
}

/// What lies among a repository's approvals for a stage and is nobody's word: altered, copied, planted, or of before approvals
/// were signed.
///
/// # Errors
/// [`StoreError`] where it could not look.
pub async fn unproved_approvals(
    records: &impl ReadStore,
    chain: &Chain,
    keys: Option<&TrustedKeys>,
) -> Result<Vec<Finding>, StoreError> {
    let prefix = RecordKey::approvals_of(&chain.stage, &chain.repo);
    let listed = records.list(&prefix).await?;
    let prefix = &prefix;
    stream::iter(listed)
        .map(|object| async move {
            let place = object.key.strip_prefix(prefix).and_then(|it| it.split_once('/')).and_then(|(sha, _)| {
                let commit = Commit { repo: chain.repo.clone(), sha: sha.parse().ok()? };
                RecordKey::approval_of(&chain.stage, &commit, &object.key)
            });
            let why = match place {
                None => "no approval lies at such a place".to_owned(),
                Some(place) => match GivenApproval::read(records, &place, keys).await {
                    Ok(given) => match given.map(|it| it.proof) {
                        None | Some(Ok(_)) => return Ok(None),
                        Some(Err(not_proved)) => not_proved.to_string(),
                    },
                    Err(RecordError::Store(error)) => return Err(error),
                    Err(error) => error.to_string(),
                },
            };
            let message =
                format!("{why}; it counts for nothing; see `approval-not-proved` in the guide for people on call");
            Ok(Some(Finding::new(Code::ApprovalNotProved, object.key, message)))
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(future::ok)
        .try_collect()
        .await
}

/// The commits that the gate's chain says were taken back, and whose verdicts say that they are Built as they were then.
async fn unrevoked(records: &impl ReadStore, chain: &Chain, keys: &PublicKeys) -> Result<Vec<Finding>, RecordError> {
    let standing = match ledger::standing(records, chain, keys.of(Authority::of(chain))).await {
        Ok(standing) => standing,
        Err(StandingError::Store(error)) => return Err(error.into()),
        // That the chain is broken is told by whoever proves it.
        Err(StandingError::Head { .. } | StandingError::Broken { .. }) => return Ok(Vec::new()),
    };
    let standing = &standing;
    stream::iter(standing.revoked.keys())
        .map(|sha| async move {
            let key = RecordKey::Verdict(Commit { repo: chain.repo.clone(), sha: sha.clone() });
            let verdict = record::read::<Verdict>(records, &key).await?.map(|stored| stored.record);
            let built = verdict.filter(|it| it.outcome == Outcome::Built).and_then(|it| it.manifest_version_id);
            let revived = built.filter(|manifest| standing.revokes(sha, manifest));
            let message = "the gate has signed that this was taken back, and the stored verdict says `built`: its \
                           revocation was removed, and an older verdict put back";
            Ok(revived.map(|_| Finding::new(Code::Revoked, key.to_string(), message)))
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_filter_map(future::ok)
        .try_collect()
        .await
}

/// That a commit's verdict is `built` and the gate hasn't attested this one.
///
/// # Errors
/// [`RecordError`] where it could not look, or where the verdict can't be read.
pub async fn unattested_verdict(
    records: &impl ReadStore,
    commit: &Commit,
    keys: &PublicKeys,
) -> Result<Option<Finding>, RecordError> {
    let wrong = unattested(records, commit, keys).await?;
    // The gate writes a verdict, and then its attestation: who looks in between looks again.
    if wrong.is_some() { unattested(records, commit, keys).await } else { Ok(None) }
}

async fn unattested(
    records: &impl ReadStore,
    commit: &Commit,
    keys: &PublicKeys,
) -> Result<Option<Finding>, RecordError> {
    let verdict_key = RecordKey::Verdict(commit.clone());
    let key = RecordKey::BuiltAttestation(commit.clone(), Form::Dsse).to_string();
    let (verdict, attestation) = try_join(record::read::<Verdict>(records, &verdict_key), async {
        Ok(records.get(&key, None, gatekeeper_proof::MAX_BYTES).await?)
    })
    .await?;
    let Some(Stored { sha256, .. }) = verdict.filter(|it| it.record.outcome == Outcome::Built) else { return Ok(None) };
    let what = match attestation.map(|body| Statement::<TestResult>::open(&body.bytes, keys)) {
        Some(Ok(it)) if it.predicate.verdict.digest == Some(Digest::Sha256(sha256)) => return Ok(None),
        Some(Ok(_)) => "it is about another verdict than the one that is stored".to_owned(),
        Some(Err(error)) => error.to_string(),
        None => {
            let what = "the stored verdict says `built`, and the gate's attestation of that is gone";
            return Ok(Some(Finding::new(Code::AttestationMissing, key, what)));
        }
    };
    Ok(Some(Finding::new(Code::AttestationInvalid, key, what)))
}

fn document_key(chain: &Chain) -> String {
    RecordKey::Stage(chain.stage.clone(), chain.repo.clone()).to_string()
}
