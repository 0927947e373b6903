//! `apply-stack`: a step of the promotion state machine, asked again until it is done.
//!
//! It brings the stage's stacks to the pinned templates, one after the other, each by a change set.

use std::time::Duration;

use apply_stack::ApplyStack;
use gatekeeper_aws::{Settings, config, lambda::run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let step = ApplyStack { settings: Settings::from_env()?, config: config(), look_again: Duration::from_millis(100) };
    let step = &step;
    run(move |payload, invocation| step.handle(payload, invocation)).await
}
