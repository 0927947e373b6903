//! `deploy-function`: the step of a promotion that puts the stored bundles into the stage's functions.

use std::sync::Arc;

use deploy_function::Step;
use gatekeeper_aws::{Buckets, Settings, lambda, pacer::Pacers};
use gatekeeper_model::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let records = Buckets::new(&config, &settings).records;
    let step = Arc::new(Step {
        records,
        config,
        artefact_bucket: settings.artefact_bucket,
        pacers: Pacers::of_lambda(),
        publishes: true,
        clock: telemetry::wall_clock,
    });
    lambda::run(move |event, invocation| {
        let step = Arc::clone(&step);
        Box::pin(async move { step.handle(event, &invocation).await })
    })
    .await
}
