//! What `intake` and `tag-guard` have in common, which is all: an event only says where to look, so both do the same
//! with it. They are two functions because they are scaled, alarmed and retried apart.

use std::sync::Arc;

use super::{
    Buckets, Settings,
    lambda::{FunctionError, Invocation, run as run_lambda},
};
use crate::{converge::Gate, telemetry};

/// Takes events until Lambda ends the process.
///
/// # Errors
/// Where a setting is missing or the Runtime API doesn't answer.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let gate_role_ids: Arc<[String]> = settings.gate_role_ids.iter().cloned().collect();
    let buckets = Arc::new(Buckets::new(&super::config().await, &settings));
    run_lambda(move |payload, Invocation { log, .. }| {
        let (buckets, gate_role_ids) = (Arc::clone(&buckets), Arc::clone(&gate_role_ids));
        async move {
            let gate = Gate {
                artefacts: &buckets.artefacts,
                records: &buckets.records,
                log,
                clock: telemetry::wall_clock,
                scratch: std::env::temp_dir(),
            };
            let answer = gate.settle_batch(&payload, &gate_role_ids).await;
            answer.map_err(|error| FunctionError::new("GateError", error))
        }
    })
    .await
}
