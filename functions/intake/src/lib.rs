//! The gate as a Lambda function behind a queue: events in, the messages that must come again out. A schedule asks it to
//! sweep, too.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

mod pause;
mod verify;

use std::sync::Arc;

use gatekeeper_aws::{
    Buckets, Settings,
    kms::{KeyOf, KmsSigner},
    lambda::{FunctionError, Invocation, run as run_lambda},
    notify::Notifier,
    trust::Trust,
};
use gatekeeper_gate::converge::{Gate, SweepEvent, Swept, batch::BatchAnswer};
use gatekeeper_model::{telemetry, telemetry::chain};
use serde::Serialize;

use self::{pause::Queue, verify::Function};

/// What the gate answers: to events, or to the schedule.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Batch(BatchAnswer),
    Swept(Swept),
}

/// Takes events until Lambda ends the process.
///
/// # Errors
/// Where a setting is missing or the Runtime API doesn't answer.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_env()?;
    let gate_role_ids: Arc<[String]> = settings.gate_role_ids.iter().cloned().collect();
    let config = gatekeeper_aws::config();
    let buckets = Arc::new(Buckets::new(&config, &settings));
    let signer = KmsSigner::new(&config, settings.signing_key_arn()?);
    let signer = Arc::new(signer.trusting(Trust::of(&config, &settings)?.as_ref(), KeyOf::Gate));
    let queue = Arc::new(Queue::new(&config, settings.event_queue_url()?));
    let verifier = Arc::new(Function::new(&config, settings.verify_provenance_function.as_deref()));
    let notifier = Notifier::new(&config, &settings);
    run_lambda(move |payload, Invocation { log, deadline }| {
        let (buckets, gate_role_ids, signer) = (Arc::clone(&buckets), Arc::clone(&gate_role_ids), Arc::clone(&signer));
        let (queue, verifier, notifier) = (Arc::clone(&queue), Arc::clone(&verifier), notifier.clone());
        async move {
            let gate = Gate {
                artefacts: &buckets.artefacts,
                records: &buckets.records,
                log: log.clone(),
                clock: telemetry::wall_clock,
                scratch: std::env::temp_dir(),
                signer: &*signer,
                verifier: &*verifier,
            };
            if payload.get("sweep").is_some() {
                let asked = serde_json::from_value::<SweepEvent>(payload);
                let SweepEvent { sweep } = asked.map_err(|error| FunctionError::new("InvalidSweepEvent", error))?;
                let swept = gate.sweep(&sweep, deadline).await;
                return Ok(Answer::Swept(swept.map_err(|error| FunctionError::new("GateError", chain(&error)))?));
            }
            let answer = gate.settle_batch(&payload, &gate_role_ids).await;
            let answer = answer.map_err(|error| FunctionError::new("GateError", error))?;
            queue.pause(&payload, &answer, &log).await;
            notifier.tell(&answer.judged_anew, &log).await;
            Ok(Answer::Batch(answer))
        }
    })
    .await
}
