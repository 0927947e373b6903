//! `watch-drift`: compares every stage with what its last promotion put there, by a schedule or when somebody asks.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::{sync::Arc, time::Duration};

use gatekeeper_aws::{
    Buckets, MissingSetting, Settings, asking_once,
    kms::{KeyArns, KmsKeys},
    lambda,
    notify::Notifier,
    pacer::Pacers,
    trust::Trust,
};
use gatekeeper_model::telemetry;
use watch_drift::{Databases, Runs, Watcher};

/// The longest that `migrate-database` and `judge-run` are waited for; this function's own timeout in infra/template.yaml is longer.
const ASKING_TIMEOUT: Duration = Duration::from_mins(3);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let arns = KeyArns {
        gate: settings.signing_key_arn()?,
        promotion: settings.promotion_signing_key_arn()?,
        approval: settings.approval_signing_key_arn()?,
    };
    let keys = KmsKeys::new(&config, arns).trusting(Trust::of(&config, &settings)?);
    let lambda = aws_sdk_lambda::Client::new(&asking_once(&config, ASKING_TIMEOUT));
    let notifier = Notifier::new(&config, &settings);
    let watcher = Arc::new(Watcher {
        buckets: Buckets::new(&config, &settings),
        keys,
        databases: Databases { lambda: lambda.clone(), function: settings.migrate_database_function },
        runs: Runs { lambda, function: settings.judge_run_function.ok_or(MissingSetting("JUDGE_RUN_FUNCTION"))? },
        notifier,
        sns: aws_sdk_sns::Client::new(&config),
        topic_arn: settings.alarm_topic_arn.ok_or(MissingSetting("ALARM_TOPIC_ARN"))?,
        config,
        looks: Pacers::of_lambda().looks,
        clock: telemetry::wall_clock,
    });
    lambda::run(move |event, invocation| {
        let watcher = Arc::clone(&watcher);
        Box::pin(async move { watcher.handle(&event, &invocation.log).await })
    })
    .await
}
