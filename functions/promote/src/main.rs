//! `promote`: the manual event (CONTRACT §5). It verifies, plans, takes the lock and starts the state machine.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::{sync::Arc, time::Duration};

use aws_config::{retry::RetryConfig, timeout::TimeoutConfig};
use gatekeeper_aws::{Buckets, MissingSetting, Settings, caller::Callers, kms::KmsKeys, lambda};
use gatekeeper_promotion::boundary::Home;
use promote::{DatabaseChecker, Promoter};

/// Less than this function's own timeout in infra/template.yaml.
const DATABASE_CHECK_TIMEOUT: Duration = Duration::from_secs(110);

/// One ask only, and as long as the function may take: a look at a database that is asked twice is two looks.
fn lambda_client(config: &aws_config::SdkConfig) -> aws_sdk_lambda::Client {
    let timeouts = TimeoutConfig::builder().read_timeout(DATABASE_CHECK_TIMEOUT).build();
    let config = aws_sdk_lambda::config::Builder::from(config);
    let config = config.retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
    aws_sdk_lambda::Client::from_conf(config)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let keys = KmsKeys::new(&config, settings.signing_key_arn()?, settings.promotion_signing_key_arn()?);
    let callers = Callers::new(&config, settings.account_id()?, settings.person_role_id.clone()).await?;
    let home = Home {
        artefact_bucket: settings.artefact_bucket.clone(),
        stage_boundary_arn: settings.stage_boundary_arn()?.to_owned(),
        is_shared: settings.is_shared_account,
    };
    let promoter = Arc::new(Promoter {
        home,
        callers,
        keys,
        buckets: Buckets::new(&config, &settings),
        step_functions: aws_sdk_sfn::Client::new(&config),
        state_machine_arn: settings.state_machine_arn.ok_or(MissingSetting("STATE_MACHINE_ARN"))?,
        databases: DatabaseChecker { lambda: lambda_client(&config), function: settings.migrate_database_function },
    });
    lambda::run(move |event, invocation| {
        let promoter = Arc::clone(&promoter);
        async move { promoter.handle(&event, &invocation.log).await }
    })
    .await
}
