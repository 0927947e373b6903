//! `promote`: the manual event (CONTRACT §5). It verifies, plans, takes the lock and starts the state machine.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::{sync::Arc, time::Duration};

use gatekeeper_aws::{
    Buckets, MissingSetting, Settings, asking_once,
    caller::Callers,
    kms::{KeyArns, KmsKeys},
    lambda,
    notify::Notifier,
    trust::Trust,
};
use gatekeeper_promotion::boundary::Home;
use promote::{DatabaseChecker, Promoter, notifications};

/// Less than this function's own timeout in infra/template.yaml.
const DATABASE_CHECK_TIMEOUT: Duration = Duration::from_secs(110);

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
    let callers = Callers::new(&config, settings.account_id()?, settings.person_role_id.clone()).await?;
    let home = Home {
        artefact_bucket: settings.artefact_bucket.clone(),
        stage_boundary_arn: settings.stage_boundary_arn()?.to_owned(),
        is_shared: settings.is_shared_account,
    };
    let notifier = Notifier::new(&config, &settings);
    let promoter = Arc::new(Promoter {
        home,
        callers,
        keys,
        buckets: Buckets::new(&config, &settings),
        step_functions: aws_sdk_sfn::Client::new(&config),
        state_machine_arn: settings.state_machine_arn.ok_or(MissingSetting("STATE_MACHINE_ARN"))?,
        databases: DatabaseChecker {
            lambda: aws_sdk_lambda::Client::new(&asking_once(&config, DATABASE_CHECK_TIMEOUT)),
            function: settings.migrate_database_function,
        },
    });
    lambda::run(move |event, invocation| {
        let (promoter, notifier) = (Arc::clone(&promoter), notifier.clone());
        async move {
            let answer = promoter.handle(&event, &invocation).await?;
            notifier.tell(&notifications(&event, &answer), &invocation.log).await;
            Ok(answer)
        }
    })
    .await
}
