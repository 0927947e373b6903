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
use witness::{Authority, Witness};

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
    let authority = settings.timestamp_url.map(Authority::at);
    let outside = Arc::new((records, witness.ok_or(MissingSetting("WITNESS_BUCKET"))?));
    lambda::run(move |payload, invocation| {
        let (signers, outside, authority) = (Arc::clone(&signers), Arc::clone(&outside), authority.clone());
        async move {
            let [gate, promotion] = &*signers;
            let keys = try_join(gate.trusted(), promotion.trusted()).await;
            let (gate, promotion) = keys.map_err(|error| lambda::FunctionError::new("WitnessError", error))?;
            let keys = PublicKeys { gate, promotion, approval: None, trust: None };
            let (records, outside) = (&outside.0, &outside.1);
            let witness =
                Witness { records, outside, keys: &keys, authority: authority.as_ref(), log: &invocation.log };
            witness.handle(&payload).await
        }
    })
    .await
}
