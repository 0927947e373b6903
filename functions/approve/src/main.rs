//! `approve`: a person approves a commit for a stage.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use approve::{Approver, notifications};
use gatekeeper_aws::{
    Buckets, Settings,
    caller::Callers,
    kms::{KeyOf, KmsSigner},
    lambda,
    notify::Notifier,
    trust::Trust,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let Buckets { artefacts, records, .. } = Buckets::new(&config, &settings);
    let trust = Trust::of(&config, &settings)?;
    let signer = KmsSigner::new(&config, settings.approval_signing_key_arn()?);
    let approver = Arc::new(Approver {
        artefacts,
        records,
        callers: Callers::new(&config, settings.account_id()?, settings.person_role_id.clone()).await?,
        signer: Box::new(signer.trusting(trust.as_ref(), KeyOf::Approval)),
    });
    let notifier = Notifier::new(&config, &settings);
    lambda::run(move |event, invocation| {
        let (approver, notifier) = (Arc::clone(&approver), notifier.clone());
        async move {
            let answer = approver.handle(&event, &invocation.log).await?;
            notifier.tell(&notifications(&event, &answer), &invocation.log).await;
            Ok(answer)
        }
    })
    .await
}
