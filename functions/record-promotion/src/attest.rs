//! What a promotion that succeeded attests: that its commit was verified for the stage, and what runs there now.

use gatekeeper_model::{
    ids::Sha256,
    store_key::{Form, PromotionStatement, RecordKey},
};
use gatekeeper_promotion::{
    attestation::{deployment, verification_summary},
    record::PromotionRecord,
};
use gatekeeper_proof::{Envelope, Predicate, Signer, Statement, bundle, ledger::RecordDigest};
use gatekeeper_store::{Precondition, WriteStore, Written};
use jiff::Timestamp;

/// Signs and stores both statements, each once, and gives what is stored.
pub(crate) async fn attest(
    records: &impl WriteStore,
    signer: &dyn Signer,
    record: &PromotionRecord,
    completed_at: Timestamp,
) -> anyhow::Result<Vec<RecordDigest>> {
    let summary = async {
        match verification_summary(record) {
            Some(summary) => {
                write(records, signer, record, PromotionStatement::VerificationSummary, &summary).await.map(Some)
            }
            // It was started by a gatekeeper that did not attest yet.
            None => Ok(None),
        }
    };
    let deployment = deployment(record, completed_at)?;
    let deployment = write(records, signer, record, PromotionStatement::Deployment, &deployment);
    let (summary, deployment) = futures_util::future::try_join(summary, deployment).await?;
    Ok(summary.into_iter().chain([deployment]).collect())
}

/// Writes a statement where there is none yet: what was attested once stands, and its bundle goes with it.
async fn write<P: Predicate>(
    records: &impl WriteStore,
    signer: &dyn Signer,
    record: &PromotionRecord,
    which: PromotionStatement,
    statement: &Statement<P>,
) -> anyhow::Result<RecordDigest> {
    let key = |form| {
        let (stage, repo, id) = (record.stage.clone(), record.repo.clone(), record.promotion_id.clone());
        RecordKey::PromotionAttestation(stage, repo, id, which, form).to_string()
    };
    let put =
        async |form, bytes: &[u8]| records.put(&key(form), bytes, "application/json", &Precondition::Absent).await;
    let there = records.get(&key(Form::Dsse), None, gatekeeper_proof::MAX_BYTES).await?;
    let (sigstore, sha256) = match there {
        Some(body) => {
            let envelope = Envelope::parse(&body.bytes)?;
            // It may be of before the key was replaced.
            let keys = signer.trusted().await?;
            let (_, signed_by) = envelope.signed_by(&keys)?;
            (bundle::of(&envelope, &signed_by.key)?, Sha256::of(&body.bytes))
        }
        None => {
            let signed = statement.sign(signer).await?;
            let written = put(Form::Dsse, &signed.dsse).await?;
            // The step is retried then, and looks again.
            anyhow::ensure!(
                matches!(written, Written::Done { .. }),
                "`{}` was written by somebody else",
                key(Form::Dsse)
            );
            (signed.sigstore, Sha256::of(&signed.dsse))
        }
    };
    put(Form::Sigstore, &sigstore).await?;
    Ok(RecordDigest { key: key(Form::Dsse), version_id: None, sha256 })
}
