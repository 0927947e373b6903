//! `approve`: a person approves a commit for a stage.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use approve::Approver;
use gatekeeper_aws::{Buckets, Settings, caller::Callers, kms::KmsSigner, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let Buckets { artefacts, records, .. } = Buckets::new(&config, &settings);
    let approver = Arc::new(Approver {
        artefacts,
        records,
        callers: Callers::new(&config, settings.account_id()?, settings.person_role_id.clone()).await?,
        signer: Box::new(KmsSigner::new(&config, settings.approval_signing_key_arn()?)),
    });
    lambda::run(move |event, invocation| {
        let approver = Arc::clone(&approver);
        async move { approver.handle(&event, &invocation.log).await }
    })
    .await
}
