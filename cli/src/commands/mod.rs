//! One file a subcommand.

pub(crate) mod approve;
mod changes;
pub(crate) mod check;
pub(crate) mod collect;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod evidence;
pub(crate) mod flyway;
pub(crate) mod handoffs;
pub(crate) mod lease;
pub(crate) mod ledger;
pub(crate) mod man;
pub(crate) mod observe;
pub(crate) mod portal;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod revoke;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod snapshot;
pub(crate) mod stage_assets;
pub(crate) mod status;
pub(crate) mod verify;
