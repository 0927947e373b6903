//! `portal`: the evidence portal behind a function URL, for whom IAM lets in.

use std::sync::Arc;

use gatekeeper_aws::{
    Buckets, Settings,
    kms::{KeyOf, KmsSigner},
    sdk_log,
    trust::Trust,
};
use gatekeeper_model::{telemetry, telemetry::Logger};
use lambda_http::{Request, service_fn};
use portal::Portal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let log = Logger::to_stdout();
    sdk_log::init(&log);
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let Buckets { artefacts, records, witness } = Buckets::new(&config, &settings);
    let trust = Trust::of(&config, &settings)?;
    let key = |arn: &str, of| Box::new(KmsSigner::new(&config, arn).trusting(trust.as_ref(), of));
    let portal = Arc::new(Portal {
        artefacts,
        records,
        witness,
        gate_key: key(settings.signing_key_arn()?, KeyOf::Gate),
        promotion_key: key(settings.promotion_signing_key_arn()?, KeyOf::Promotion),
        approval_key: key(settings.approval_signing_key_arn()?, KeyOf::Approval),
        log,
        clock: telemetry::wall_clock,
    });
    lambda_http::run(service_fn(move |request: Request| {
        let portal = Arc::clone(&portal);
        async move { Ok::<_, lambda_http::Error>(portal.handle(&request).await) }
    }))
    .await
}
