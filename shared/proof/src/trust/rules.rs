//! What a version of the root must be by itself, and against the one before.

use std::collections::{BTreeMap, BTreeSet};

use super::{NamedKey, Root, TrustError};

impl Root {
    /// Whether the version can be used at all.
    ///
    /// # Errors
    /// [`TrustError`] that names the first thing that is wrong.
    pub fn check(&self) -> Result<(), TrustError> {
        let wrong = |what: String| Err(TrustError::new(self.version, what));
        if self.schema_version != 1 {
            return wrong(format!("its schema version {} is unknown to this gatekeeper", self.schema_version));
        }
        if self.version == 0 {
            return wrong("versions start at 1".to_owned());
        }
        if self.threshold < 2 {
            return wrong(format!("its threshold is {}: one person alone must not replace keys", self.threshold));
        }
        let mut keys = BTreeSet::new();
        let mut once = |key: crate::PublicKey, whose: &str| {
            let fingerprint = key.fingerprint();
            if keys.insert(fingerprint) {
                Ok(())
            } else {
                Err(TrustError::new(self.version, format!("the key `{fingerprint}` stands in it twice ({whose})")))
            }
        };
        let mut people = BTreeMap::new();
        for root_key in &self.root_keys {
            let person = root_key.person.trim();
            if person.is_empty() || person != root_key.person {
                return wrong(format!("`{}` is no person's name", root_key.person));
            }
            let key = root_key.key().map_err(|what| TrustError::new(self.version, format!("`{person}`: {what}")))?;
            once(key, person)?;
            // Else one person would be two who sign.
            if let Some(other) = people.insert(person.to_lowercase(), person).filter(|other| *other != person) {
                return wrong(format!("`{other}` and `{person}` are one person in two spellings"));
            }
        }
        if people.len() < self.threshold as usize {
            let (people, threshold) = (people.len(), self.threshold);
            return wrong(format!("its threshold is {threshold}, and it names {people} people who could sign"));
        }
        for (authority, named) in self.authorities.each() {
            for named in named {
                let key = named.key().map_err(|what| TrustError::new(self.version, format!("{authority}: {what}")))?;
                let fingerprint = key.fingerprint();
                once(key, authority)?;
                if named.until.is_some_and(|until| until <= named.from) {
                    return wrong(format!("{authority}: the key `{fingerprint}` ends before it starts"));
                }
                if let Some(revoked) = named.revoked.as_ref().filter(|it| it.reason.trim().is_empty()) {
                    return wrong(format!("{authority}: `{fingerprint}` was revoked at {} for no reason", revoked.at));
                }
            }
            if named.iter().all(|it| it.revoked.is_some()) {
                return wrong(format!("{authority}: it names no key that isn't revoked"));
            }
        }
        Ok(())
    }

    /// Whether `self` may follow `before`: one version on, and no key that signed is taken out or gets back what was taken
    /// from it.
    ///
    /// # Errors
    /// [`TrustError`] that names the first thing that is wrong.
    pub fn follows(&self, before: &Self) -> Result<(), TrustError> {
        let wrong = |what: String| Err(TrustError::new(self.version, what));
        if Some(self.version) != before.version.checked_add(1) {
            return wrong(format!("it comes after version {}: versions go on by one", before.version));
        }
        for ((authority, now), (_, before)) in self.authorities.each().into_iter().zip(before.authorities.each()) {
            for old in before {
                let is_same = |new: &&NamedKey| new.algorithm == old.algorithm && new.pem == old.pem;
                let Some(new) = now.iter().find(is_same) else {
                    return wrong(format!(
                        "{authority}: a key of the version before is gone; give it an `until` or revoke it, so that what \
                         it signed can still be verified"
                    ));
                };
                if new.from != old.from {
                    return wrong(format!("{authority}: the `from` of a key was changed"));
                }
                if old.revoked.is_some() && new.revoked != old.revoked {
                    return wrong(format!("{authority}: what was revoked stays so, as it was written then"));
                }
            }
        }
        Ok(())
    }
}
