//! What everything shares: names and ids, findings, events, keys, the manifest, verdicts, the policy, identities.
//!
//! Meaning only: every type is parsed once into what can't be wrong any more, and deserialising validates too. Only
//! [`store_key`] spells the places of the store. This package knows no clock, no network, no environment and no file; it
//! depends on no other package of the gatekeeper, and all of them depend on it, so what only one of them needs stays there.

#![warn(missing_docs)] // others build on this crate

pub mod event;
pub mod finding;
pub mod front_matter;
pub mod identity;
pub mod ids;
pub mod manifest;
pub mod notification;
pub mod outcome;
pub mod place;
pub mod policy;
pub mod provenance;
pub mod remedy;
pub mod revocation;
pub mod store_key;
pub mod strict_json;
pub mod suite;
pub mod telemetry;
pub mod verdict;

/// Whether a field has the value that a document means where it leaves the field out: for serde's
/// `skip_serializing_if`.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
