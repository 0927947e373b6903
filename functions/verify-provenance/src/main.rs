//! `verify-provenance`: asked by `intake` what the bundles of a commit prove.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

use std::sync::Arc;

use gatekeeper_aws::{Buckets, Settings, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let artefacts = Arc::new(Buckets::new(&config, &settings).artefacts);
    lambda::run(move |event, _| {
        let artefacts = Arc::clone(&artefacts);
        async move { verify_provenance::handle(&*artefacts, event).await }
    })
    .await
}
