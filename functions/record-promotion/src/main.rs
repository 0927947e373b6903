//! `record-promotion`: the last step of a promotion, and after a failure the one that decides on the way back.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use gatekeeper_aws::{
    Buckets, Settings,
    kms::{KeyOf, KmsSigner},
    lambda,
    notify::Notifier,
    trust::Trust,
};
use record_promotion::Recorder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let signer = KmsSigner::new(&config, settings.promotion_signing_key_arn()?);
    let signer = signer.trusting(Trust::of(&config, &settings)?.as_ref(), KeyOf::Promotion);
    let notifier = Notifier::new(&config, &settings);
    let recorder = Arc::new(Recorder { records: Buckets::new(&config, &settings).records, signer, notifier, config });
    lambda::run(move |event, invocation| {
        let recorder = Arc::clone(&recorder);
        async move { recorder.handle(event, &invocation.log).await }
    })
    .await
}
