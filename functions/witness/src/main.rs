//! `witness`: gives each new signed head of the ledger to a bucket of another account, which nobody here can take it from.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use futures_util::future::try_join;
use gatekeeper_aws::{
    Buckets, MissingSetting, Settings,
    kms::{KeyOf, KmsSigner},
    lambda,
    trust::Trust,
};
use gatekeeper_proof::{KeyHolder as _, PublicKeys};
use witness::Witness;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    // Heads are signed with these two.
    let signers =
        [(settings.signing_key_arn()?, KeyOf::Gate), (settings.promotion_signing_key_arn()?, KeyOf::Promotion)];
    let trust = Trust::of(&config, &settings)?;
    let signers = Arc::new(signers.map(|(arn, of)| KmsSigner::new(&config, arn).trusting(trust.as_ref(), of)));
    let Buckets { records, witness, .. } = Buckets::new(&config, &settings);
    let outside = Arc::new((records, witness.ok_or(MissingSetting("WITNESS_BUCKET"))?));
    lambda::run(move |payload, invocation| {
        let (signers, outside) = (Arc::clone(&signers), Arc::clone(&outside));
        async move {
            let [gate, promotion] = &*signers;
            let keys = try_join(gate.trusted(), promotion.trusted()).await;
            let (gate, promotion) = keys.map_err(|error| lambda::FunctionError::new("WitnessError", error))?;
            let keys = PublicKeys { gate, promotion, approval: None, trust: None };
            let witness = Witness { records: &outside.0, outside: &outside.1, keys: &keys, log: &invocation.log };
            witness.handle(&payload).await
        }
    })
    .await
}
