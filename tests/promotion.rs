//! Promotions from outside, on the local AWS: `make test-e2e`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod changes;
mod deploy;
mod example;
mod images;
mod one_at_a_time;
mod promotion_databases;
mod promotion_refusals;
mod promotion_steps;
mod replacement;
mod runs;
mod synthesised;
mod way_back;
