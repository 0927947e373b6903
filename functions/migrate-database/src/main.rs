//! `migrate-database`: the step of a promotion that runs `flyway migrate` (ADR-053 promotion step 6), and the look at the
//! databases before anything is applied.

use std::{ffi::OsString, sync::Arc};

use gatekeeper_aws::{Buckets, Settings, lambda};
use gatekeeper_database::Tools;
use gatekeeper_model::telemetry;
use migrate_database::Step;

/// The certificate authorities of the system: Debian's and the Flyway image's place for them.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

#[expect(clippy::disallowed_methods, reason = "read once, at start")]
fn setting(name: &str) -> Option<OsString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(OsString::from)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let config = gatekeeper_aws::config();
    let Buckets { artefacts, records, .. } = Buckets::new(&config, &settings);
    let tools = Tools {
        path: setting("DATABASE_TOOLS_PATH").or_else(|| setting("PATH")).unwrap_or_default(),
        java_home: setting("JAVA_HOME"),
        ca_file: setting("DATABASE_CA_FILE").unwrap_or_else(|| SYSTEM_CA_FILE.into()).into(),
    };
    let step = Arc::new(Step { artefacts, records, config, tools, clock: telemetry::wall_clock });
    lambda::run(move |event, invocation| {
        let step = Arc::clone(&step);
        Box::pin(async move { step.handle(event, &invocation).await })
    })
    .await
}
