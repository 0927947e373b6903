//! What was found in some bytes, by their digest and by what was asked of them, as small as it can be: a commit may have
//! thousands of objects.

use std::{collections::BTreeMap, fmt, sync::Arc};

use gatekeeper_model::ids::Sha256;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

use super::inspect::Inspection;

/// In a record a map of maps. In memory one map, because a map makes room for eleven where it has one.
#[derive(Debug, Default)]
pub(super) struct Inspections(BTreeMap<(Sha256, Sha256), Arc<Inspection>>);

impl Inspections {
    /// What was found in these bytes, whatever was asked of them.
    fn of(&self, sha256: Sha256) -> impl Iterator<Item = (&Sha256, &Inspection)> {
        let least = Sha256::from_bytes([0; 32]);
        let found = self.0.range((sha256, least)..).take_while(move |((of, _), _)| *of == sha256);
        found.map(|((_, id), inspection)| (id, &**inspection))
    }

    /// Whether anything was asked of these bytes.
    pub(super) fn has(&self, sha256: Sha256) -> bool {
        self.of(sha256).next().is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, sha256: Sha256, id: Sha256) -> Option<Arc<Inspection>> {
        self.0.get(&(sha256, id)).cloned()
    }

    pub(super) fn insert(&mut self, sha256: Sha256, id: Sha256, found: Arc<Inspection>) {
        self.0.insert((sha256, id), found);
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Sha256, Sha256, &Inspection)> {
        self.0.iter().map(|((sha256, id), inspection)| (*sha256, *id, &**inspection))
    }
}

/// What was found in some bytes, as a map.
struct Of<'a>(&'a Inspections, Sha256);

impl Serialize for Of<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.of(self.1))
    }
}

impl Serialize for Inspections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut last = None;
        let digests = self.0.keys().map(|(sha256, _)| *sha256).filter(|it| last.replace(*it) != Some(*it));
        serializer.collect_map(digests.map(|sha256| (sha256, Of(self, sha256))))
    }
}

impl<'de> Deserialize<'de> for Inspections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Inspections;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was found, by digests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Inspections, A::Error> {
        let mut inspections = Inspections::default();
        while let Some((sha256, found)) = members.next_entry::<_, BTreeMap<_, Inspection>>()? {
            inspections.0.extend(found.into_iter().map(|(id, it)| ((sha256, id), Arc::new(it))));
        }
        Ok(inspections)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_a_map_of_maps() {
        let digest = |word: &str| Sha256::of(word.as_bytes());
        let mut inspections = Inspections::default();
        for (bytes, asked) in [("a", "x"), ("a", "y"), ("b", "x")] {
            inspections.insert(digest(bytes), digest(asked), Arc::default());
        }
        let (a, b, x, y) = (digest("a"), digest("b"), digest("x"), digest("y"));
        let nothing = json!({"findings": []});
        let record = json!({
            a.to_string(): {x.to_string(): nothing, y.to_string(): nothing}, b.to_string(): {x.to_string(): nothing},
        });
        assert_eq!(serde_json::to_value(&inspections).unwrap(), record);
        let read: Inspections = serde_json::from_value(record).unwrap();
        assert!(read.has(a) && read.has(b) && !read.has(x));
        assert!(read.get(a, y).is_some() && read.get(b, y).is_none());
        assert_eq!(read.iter().count(), 3);
    }
}
