//! Promoting a commit to a stage (CONTRACT §5): the request, the plan, the lock, the record and the history.
//!
//! Nothing here applies anything: the functions that do look first at what is there and do only what is missing.

pub mod approval;
pub mod attestation;
pub mod beside;
pub mod boundary;
pub mod brake;
pub mod changes;
pub mod complete;
pub mod counting;
pub mod database_check;
pub mod decide;
pub mod drift;
pub mod entry;
pub mod facts;
mod fields;
pub mod handoff;
pub mod handover;
pub mod history;
pub mod identities;
pub mod lock;
mod look;
pub mod plan;
mod plan_digest;
pub mod record;
pub mod replacement;
pub mod request;
pub mod rules;
pub mod runs;
pub mod stage;
pub mod step;
pub mod transitions;
pub mod verify;
pub mod waiver;
