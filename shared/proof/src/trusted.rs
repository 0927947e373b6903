//! The keys of an authority that count: one without a trust root, and with one all that it ever named, each for its time.

use std::collections::BTreeMap;

use gatekeeper_model::ids::{Chain, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{InvalidAttestation, PublicKey};

/// The keys of one authority: there is always one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeys {
    present: TrustedKey,
    others: Vec<TrustedKey>,
}

/// A key with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Since when it may sign; `None` where nothing limits it.
    pub from: Option<Timestamp>,
    /// Until when it may; what tells a later time is not its word.
    pub until: Option<Timestamp>,
    /// Why it counts no more by itself.
    pub revoked: Option<Revocation>,
}

/// That a key counts no more by itself: somebody else may have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Since when somebody else may have had it.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// The last entries of the ledger's chains that are its word, by chain (`uat/bank-payments`): people looked at them, and
    /// whoever has the key can't change what they signed. Of other chains nothing that it signed counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last: BTreeMap<String, LastEntry>,
}

/// The last entry of a chain that a revoked key's head counts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastEntry {
    /// Its place.
    pub sequence: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// Where the ledger names a statement by its digest: who has its key could not have made the entry later.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// By an entry that another authority signed, at this time.
    ByAnother(Timestamp),
    /// By an entry of a chain that the same authority signs, at this place.
    ByOwn(&'a Chain, u64),
}

impl From<PublicKey> for TrustedKey {
    fn from(key: PublicKey) -> Self {
        Self { key, from: None, until: None, revoked: None }
    }
}

impl From<PublicKey> for TrustedKeys {
    fn from(key: PublicKey) -> Self {
        Self { present: key.into(), others: Vec::new() }
    }
}

impl TrustedKeys {
    /// These keys; `None` where there is none. The one that has signed since last stands first.
    #[must_use]
    pub fn of(mut keys: Vec<TrustedKey>) -> Option<Self> {
        keys.sort_by_key(|it| (it.revoked.is_some(), std::cmp::Reverse(it.from)));
        let mut keys = keys.into_iter();
        Some(Self { present: keys.next()?, others: keys.collect() })
    }

    /// The key that was named last and isn't revoked.
    #[must_use]
    pub fn present(&self) -> &PublicKey {
        &self.present.key
    }

    /// All of them, the present one first.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        std::iter::once(&self.present).chain(&self.others)
    }

    /// The key whose signature over a message this is, whatever it is worth.
    ///
    /// # Errors
    /// [`InvalidAttestation::Signature`] where it is none's.
    pub fn signer_of(&self, message: &[u8], signature: &[u8]) -> Result<&TrustedKey, InvalidAttestation> {
        self.iter().find(|it| it.key.verify(message, signature).is_ok()).ok_or(InvalidAttestation::Signature)
    }

    /// Whether `key` was named for a later time than `other`.
    #[must_use]
    pub fn is_later(&self, key: &PublicKey, other: &PublicKey) -> bool {
        let from = |key: &PublicKey| self.iter().find(|it| it.key == *key).map(|it| it.from);
        from(key).is_some_and(|from_of_key| from_of_key > from(other).flatten())
    }

    /// Whether `key` may sign now.
    #[must_use]
    pub fn may_sign(&self, key: &PublicKey, now: Timestamp) -> bool {
        let is_in_force = |it: &TrustedKey| {
            it.revoked.is_none() && it.from.is_none_or(|from| from <= now) && it.until.is_none_or(|until| now < until)
        };
        self.iter().any(|it| it.key == *key && is_in_force(it))
    }
}

impl TrustedKey {
    /// Whether what it signed counts by itself, where that tells this time.
    ///
    /// The time is the statement's own, which whoever has the key can choose: so a key that somebody else may have is to be
    /// revoked, and then no time counts.
    ///
    /// # Errors
    /// [`InvalidAttestation::Revoked`] and [`InvalidAttestation::Late`].
    pub fn vouches(&self, stated_at: Option<Timestamp>) -> Result<(), InvalidAttestation> {
        let fingerprint = self.key.fingerprint();
        match (&self.revoked, self.until, stated_at) {
            (Some(Revocation { at, reason, .. }), ..) => {
                Err(InvalidAttestation::Revoked { fingerprint, at: *at, reason: reason.clone() })
            }
            (None, Some(until), Some(stated_at)) if stated_at > until => {
                Err(InvalidAttestation::Late { fingerprint, until, stated_at })
            }
            _ => Ok(()),
        }
    }

    /// The same where the ledger may name the statement: what it named before the key was revoked counts.
    ///
    /// # Errors
    /// As [`TrustedKey::vouches`].
    pub fn vouches_where_named(
        &self,
        stated_at: Option<Timestamp>,
        named: Option<Named<'_>>,
    ) -> Result<(), InvalidAttestation> {
        let Some(revoked) = &self.revoked else { return self.vouches(stated_at) };
        let in_time = match named {
            Some(Named::ByAnother(at)) => at <= revoked.at,
            Some(Named::ByOwn(chain, place)) => {
                revoked.last.get(&chain.to_string()).is_some_and(|last| place <= last.sequence)
            }
            None => false,
        };
        if in_time { Ok(()) } else { self.vouches(stated_at) }
    }

    /// Whether a head of `chain` that is about this entry counts. Of a revoked key only the one does that people signed as its
    /// last; `is_seen` takes an earlier one too, which is held against the chain.
    ///
    /// # Errors
    /// [`InvalidAttestation`] where it doesn't.
    pub fn vouches_for_head(
        &self,
        chain: &Chain,
        about: &LastEntry,
        recorded_at: Timestamp,
        is_seen: bool,
    ) -> Result<(), InvalidAttestation> {
        let Some(Revocation { last, .. }) = &self.revoked else { return self.vouches(Some(recorded_at)) };
        match last.get(&chain.to_string()) {
            Some(last) if last == about || (is_seen && about.sequence < last.sequence) => Ok(()),
            Some(last) => Err(InvalidAttestation::Malformed(format!(
                "it is about entry {} (`{}`), and the trust root names entry {} (`{}`) as the last that the revoked key `{}` \
                 signed",
                about.sequence,
                about.sha256,
                last.sequence,
                last.sha256,
                self.key.fingerprint()
            ))),
            None => self.vouches(Some(recorded_at)),
        }
    }
}
