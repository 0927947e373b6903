//! `judge-run`: the step of a promotion that leases a part of it to a runner, and judges what the runner hands in.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use gatekeeper_aws::{
    Buckets, Settings,
    kms::{KeyOf, KmsSigner},
    lambda,
    trust::Trust,
};
use gatekeeper_model::telemetry;
use judge_run::Step;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let Buckets { artefacts, records, .. } = Buckets::new(&config, &settings);
    let gate_key = KmsSigner::new(&config, settings.signing_key_arn()?);
    let gate_key = Arc::new(gate_key.trusting(Trust::of(&config, &settings)?.as_ref(), KeyOf::Gate));
    let step = Arc::new(Step { artefacts, records, gate_key, config, clock: telemetry::wall_clock });
    lambda::run(move |event, invocation| {
        let step = Arc::clone(&step);
        Box::pin(async move { step.handle(event, &invocation).await })
    })
    .await
}
