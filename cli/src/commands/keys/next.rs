//! The next version of the trust root, from the one before.

use std::collections::BTreeMap;

use gatekeeper_model::ids::Sha256;
use gatekeeper_proof::{
    Authority, LastEntry, PublicKey, Revocation,
    trust::{ALGORITHM, Authorities, NamedKey, Root, RootKey},
};
use jiff::Timestamp;

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Gate,
    Promotion,
    Approval,
}

impl Whose {
    /// Whose chains of the ledger the key signs; approvals have none.
    pub(super) fn authority(self) -> Option<Authority> {
        match self {
            Self::Gate => Some(Authority::Gate),
            Self::Promotion => Some(Authority::Promotion),
            Self::Approval => None,
        }
    }

    fn of(self, authorities: &mut Authorities) -> &mut Vec<NamedKey> {
        match self {
            Self::Gate => &mut authorities.gate,
            Self::Promotion => &mut authorities.promotion,
            Self::Approval => &mut authorities.approval,
        }
    }
}

pub(super) fn whose(text: &str) -> Result<Whose, String> {
    match text {
        "gate" => Ok(Whose::Gate),
        "promotion" => Ok(Whose::Promotion),
        "approval" => Ok(Whose::Approval),
        _ => Err("it is `gate`, `promotion` or `approval`".to_owned()),
    }
}

pub(super) fn person(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((person, key)) if !person.trim().is_empty() && !key.is_empty() => {
            Ok((person.trim().to_owned(), key.to_owned()))
        }
        _ => Err("a person's name, `=`, and the file of their public key or its ARN in KMS".to_owned()),
    }
}

fn root_keys(people: Vec<(String, PublicKey)>) -> impl Iterator<Item = RootKey> {
    people.into_iter().map(|(person, key)| RootKey { person, algorithm: ALGORITHM.to_owned(), pem: key.to_pem() })
}

/// The first version: the keys of the gate, of promotion and of `approve`.
pub(super) fn first(keys: [NamedKey; 3], people: Vec<(String, PublicKey)>, threshold: u32, expires: Timestamp) -> Root {
    let [gate, promotion, approval] = keys.map(|key| vec![key]);
    Root {
        schema_version: 1,
        version: 1,
        expires,
        threshold,
        root_keys: root_keys(people).collect(),
        authorities: Authorities { gate, promotion, approval },
    }
}

/// The version after, as it was but for its end.
pub(super) fn after(before: &Root, expires: Timestamp) -> Root {
    Root { version: before.version.saturating_add(1), expires, ..before.clone() }
}

/// A key beside the ones that there are.
pub(super) fn add(root: &mut Root, whose: Whose, key: NamedKey) {
    whose.of(&mut root.authorities).push(key);
}

/// A new key in place of those that may sign, which end at `until` where they don't end before.
pub(super) fn rotate(root: &mut Root, whose: Whose, to: NamedKey, until: Timestamp) {
    for key in whose.of(&mut root.authorities).iter_mut().filter(|it| it.revoked.is_none()) {
        key.until = Some(key.until.map_or(until, |earlier| earlier.min(until)));
    }
    add(root, whose, to);
}

/// A key that counts no more by itself.
///
/// # Errors
/// In words, where there is no such key, or it was revoked before.
pub(super) fn revoke(
    root: &mut Root,
    whose: Whose,
    fingerprint: Sha256,
    at: Timestamp,
    reason: &str,
    last: BTreeMap<String, LastEntry>,
) -> Result<(), String> {
    let is_it = |it: &&mut NamedKey| it.key().is_ok_and(|key| key.fingerprint() == fingerprint);
    let key = whose.of(&mut root.authorities).iter_mut().find(is_it);
    let key = key.ok_or_else(|| format!("no such key is named: `{fingerprint}`; see `gatekeeper keys list`"))?;
    if let Some(revoked) = &key.revoked {
        return Err(format!("`{fingerprint}` was revoked before, as of {}: {}", revoked.at, revoked.reason));
    }
    key.revoked = Some(Revocation { at, reason: reason.trim().to_owned(), last });
    Ok(())
}

/// Other people.
///
/// # Errors
/// In words, where somebody who is to go isn't there.
pub(super) fn renew(
    root: &mut Root,
    add: Vec<(String, PublicKey)>,
    remove: &[String],
    threshold: Option<u32>,
) -> Result<(), String> {
    for person in remove {
        let before = root.root_keys.len();
        root.root_keys.retain(|it| it.person != *person);
        if root.root_keys.len() == before {
            return Err(format!("`{person}` is none of those who may sign; see `gatekeeper keys list`"));
        }
    }
    root.root_keys.extend(root_keys(add));
    root.threshold = threshold.unwrap_or(root.threshold);
    Ok(())
}

#[cfg(test)]
mod tests {
    use gatekeeper_proof::LocalSigner;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(seed: u8, from: i64) -> NamedKey {
        NamedKey::new(&LocalSigner::from_seed(seed).key(), None, at(from))
    }

    fn root() -> Root {
        let people = [("jane", 11), ("ravi", 12)].map(|(it, seed)| (it.to_owned(), LocalSigner::from_seed(seed).key()));
        first([key(1, 0), key(2, 0), key(3, 0)], people.to_vec(), 2, at(1000))
    }

    #[test]
    fn after_a_rotation_both_keys_may_sign_for_some_days() {
        let before = root();
        before.check().unwrap();
        let mut next = after(&before, at(2000));
        rotate(&mut next, Whose::Promotion, key(4, 100), at(200));
        next.check().and_then(|()| next.follows(&before)).unwrap();
        let keys = next.authority(Authority::Promotion).unwrap();
        let may = |seed, second| keys.may_sign(&LocalSigner::from_seed(seed).key(), at(second));
        assert_eq!((may(2, 150), may(4, 150), may(2, 200), may(4, 200)), (true, true, false, true));
        assert_eq!(next.authority(Authority::Gate).unwrap().present(), &LocalSigner::from_seed(1).key());
        // Once more: the end that was told stays.
        let mut third = after(&next, at(3000));
        rotate(&mut third, Whose::Promotion, key(5, 150), at(900));
        assert_eq!(third.authorities.promotion[0].until, Some(at(200)));
        third.check().and_then(|()| third.follows(&next)).unwrap();
    }

    #[test]
    fn a_revoked_key_needs_another_one_in_its_place() {
        let (before, fingerprint) = (root(), LocalSigner::from_seed(1).key().fingerprint());
        let mut next = after(&before, at(2000));
        revoke(&mut next, Whose::Gate, fingerprint, at(50), "stolen ", BTreeMap::new()).unwrap();
        assert!(next.check().unwrap_err().what.contains("names no key that isn't revoked"));
        add(&mut next, Whose::Gate, key(4, 60));
        next.check().and_then(|()| next.follows(&before)).unwrap();
        assert_eq!(next.authorities.gate[0].revoked.as_ref().unwrap().reason, "stolen");
        let again = revoke(&mut next, Whose::Gate, fingerprint, at(50), "stolen", BTreeMap::new()).unwrap_err();
        assert!(again.contains("was revoked before"), "{again}");
        let unknown = revoke(&mut next, Whose::Promotion, fingerprint, at(50), "stolen", BTreeMap::new());
        assert!(unknown.unwrap_err().contains("no such key is named"));
    }

    #[test]
    fn people_come_and_go_but_for_too_few() {
        let before = root();
        let mut next = after(&before, at(2000));
        let mia = ("mia".to_owned(), LocalSigner::from_seed(13).key());
        renew(&mut next, vec![mia], &["ravi".to_owned()], None).unwrap();
        next.check().and_then(|()| next.follows(&before)).unwrap();
        assert_eq!(next.root_keys.iter().map(|it| it.person.as_str()).collect::<Vec<_>>(), ["jane", "mia"]);
        assert!(renew(&mut next, Vec::new(), &["ravi".to_owned()], None).unwrap_err().contains("`ravi` is none"));
        renew(&mut next, Vec::new(), &["mia".to_owned()], None).unwrap();
        assert!(next.check().is_err());
    }
}
