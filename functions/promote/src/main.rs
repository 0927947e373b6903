//! `promote`: the manual event (CONTRACT §5). It verifies, plans, takes the lock and starts the state machine.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use gatekeeper::aws::{self, Buckets, MissingSetting, Settings, lambda};
use promote::Promoter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = aws::config().await;
    let promoter = Arc::new(Promoter {
        buckets: Buckets::new(&config, &settings),
        step_functions: aws_sdk_sfn::Client::new(&config),
        state_machine_arn: settings.state_machine_arn.ok_or(MissingSetting("STATE_MACHINE_ARN"))?,
    });
    lambda::run(move |event, invocation| {
        let promoter = Arc::clone(&promoter);
        async move { promoter.handle(&event, &invocation.log).await }
    })
    .await
}
