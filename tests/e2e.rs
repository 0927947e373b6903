//! The gatekeeper from outside, on the local AWS: `make test-e2e`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod delivery;
mod gate;
mod reports;
mod requests;
mod roles;
