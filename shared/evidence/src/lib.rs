//! "Show me the test evidence for what is running": the answer of ADR-053's problem 1.
//!
//! What is stored and what is live are read as exhibits, and `judge` (pure) makes of them the [`model::Evidence`]: what
//! runs and why it may, and a check for each signature, digest and link on the way. A broken thing is a check that fails,
//! never an error: who asks always gets the whole answer.

pub mod bundle;
#[cfg(test)]
mod bundle_tests;
pub mod bundle_trust;
#[cfg(test)]
mod bundle_trust_tests;
pub mod bundle_verify;
pub mod collect;
pub mod exhibits;
pub mod find;
mod forms;
pub mod html;
mod judge;
pub mod model;
pub mod pack;
pub mod paper;
pub mod revocations;
#[cfg(any(test, feature = "test-support"))]
pub mod sample;
#[cfg(test)]
mod tests;
pub mod text;

pub use judge::judge;
