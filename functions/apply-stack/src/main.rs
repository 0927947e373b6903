//! `apply-stack`: a step of the promotion state machine, asked again until it is done.
//!
//! Before that `promote` asks it what a plan would change.
//!
//! It brings the stage's stacks to the pinned templates, one after the other, each by a change set.

use apply_stack::{ApplyStack, stack::LOOK_AGAIN};
use gatekeeper_aws::{Settings, config, lambda::run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let step = ApplyStack { settings: Settings::from_env()?, config: config(), look_again: LOOK_AGAIN };
    let step = &step;
    run(move |payload, invocation| step.answer(payload, invocation)).await
}
