//! `smoke-test`: the step of a promotion that asks the stage's endpoints and functions whether they work.

use std::sync::{Arc, OnceLock};

use gatekeeper_aws::{Buckets, Settings, lambda};
use gatekeeper_model::telemetry;
use smoke_test::Step;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let records = Buckets::new(&config, &settings).records;
    let step = Arc::new(Step { records, config, agents: OnceLock::new(), clock: telemetry::wall_clock });
    lambda::run(move |event, invocation| {
        let step = Arc::clone(&step);
        Box::pin(async move { step.handle(event, &invocation).await })
    })
    .await
}
