//! What a promotion that succeeded attests: that its commit was verified for the stage, and what runs there now.

use gatekeeper_model::store_key::{Form, PromotionStatement, RecordKey};
use gatekeeper_promotion::{
    attestation::{deployment, verification_summary},
    record::PromotionRecord,
};
use gatekeeper_proof::{Envelope, Predicate, Signer, Statement, bundle};
use gatekeeper_store::{Precondition, WriteStore, Written};
use jiff::Timestamp;

/// Signs and stores both statements, each once.
pub(crate) async fn attest(
    records: &impl WriteStore,
    signer: &dyn Signer,
    record: &PromotionRecord,
    completed_at: Timestamp,
) -> anyhow::Result<()> {
    let summary = async {
        match verification_summary(record) {
            Some(summary) => write(records, signer, record, PromotionStatement::VerificationSummary, &summary).await,
            // It was started by a gatekeeper that did not attest yet.
            None => Ok(()),
        }
    };
    let deployment = deployment(record, completed_at)?;
    let deployment = write(records, signer, record, PromotionStatement::Deployment, &deployment);
    futures_util::future::try_join(summary, deployment).await?;
    Ok(())
}

/// Writes a statement where there is none yet: what was attested once stands, and its bundle goes with it.
async fn write<P: Predicate>(
    records: &impl WriteStore,
    signer: &dyn Signer,
    record: &PromotionRecord,
    which: PromotionStatement,
    statement: &Statement<P>,
) -> anyhow::Result<()> {
    let key = |form| {
        let (stage, repo, id) = (record.stage.clone(), record.repo.clone(), record.promotion_id.clone());
        RecordKey::PromotionAttestation(stage, repo, id, which, form).to_string()
    };
    let put =
        async |form, bytes: &[u8]| records.put(&key(form), bytes, "application/json", &Precondition::Absent).await;
    let there = records.get(&key(Form::Dsse), None, gatekeeper_proof::MAX_BYTES).await?;
    let sigstore = match there {
        Some(body) => bundle::of(&Envelope::parse(&body.bytes)?, &signer.public_key().await?)?,
        None => {
            let signed = statement.sign(signer).await?;
            let written = put(Form::Dsse, &signed.dsse).await?;
            // The step is retried then, and looks again.
            anyhow::ensure!(
                matches!(written, Written::Done { .. }),
                "`{}` was written by somebody else",
                key(Form::Dsse)
            );
            signed.sigstore
        }
    };
    put(Form::Sigstore, &sigstore).await?;
    Ok(())
}
