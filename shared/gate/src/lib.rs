//! The gate: what a commit may do is concluded from its evidence, and everything that says so is made to agree.
//!
//! [`judgement`] is pure: evidence in, outcome and reasons out. [`converge`] looks, asks it, writes the verdict, the tags,
//! the attestation and the handoffs, and looks again; an event is only a hint to look. Nobody, this package included,
//! sets `integration-passed` to true against the evidence. It knows no stage and no promotion, and no AWS.

pub mod attestation;
pub mod converge;
pub mod handoff;
pub mod judgement;
