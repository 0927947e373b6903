//! `witness`: gives each new signed head of the ledger to a bucket of another account, which nobody here can take it from.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use gatekeeper_aws::{Buckets, MissingSetting, Settings, kms::KmsKeys, lambda};
use witness::Witness;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let keys = Arc::new(KmsKeys::new(&config, settings.signing_key_arn()?, settings.promotion_signing_key_arn()?));
    let Buckets { records, witness, .. } = Buckets::new(&config, &settings);
    let outside = Arc::new((records, witness.ok_or(MissingSetting("WITNESS_BUCKET"))?));
    lambda::run(move |payload, invocation| {
        let (keys, outside) = (Arc::clone(&keys), Arc::clone(&outside));
        async move {
            let keys = keys.public_keys().await.map_err(|error| lambda::FunctionError::new("WitnessError", error))?;
            let witness = Witness { records: &outside.0, outside: &outside.1, keys: &keys, log: &invocation.log };
            witness.handle(&payload).await
        }
    })
    .await
}
