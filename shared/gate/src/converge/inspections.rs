//! What was found in some bytes, by their digest and by what was asked of them, as small as it can be: a commit may have
//! thousands of objects. It is written down with the gate's signature over all of a commit's, and believed by that alone:
//! the gate would judge, and sign, by whatever somebody else put there.
//!
//! Signing was weighed against reading the objects again when a commit becomes Built. That would cost each commit a second
//! read of every object, 250 MB and seconds for a large bundle, and one more call an object; a signature costs one call
//! of KMS whenever the record is written, however many objects it tells of, and one verification whenever it is read.

use std::{collections::BTreeMap, fmt, sync::Arc};

use gatekeeper_model::{ids::Sha256, store_key::RecordKey};
use gatekeeper_proof::{
    Digest, Envelope, InvalidAttestation, Predicate, Signer, SigningError, Statement, Subject, TrustedKeys,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::inspect::Inspection;

/// By what a record of inspections is believed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keeping<'a> {
    /// By the signature of this key, which signs it too.
    SignedBy(&'a dyn Signer),
    /// That it is there: for who only looks, and has records of his own.
    Stored,
}

/// What the gate says of a record of inspections, whose bytes are the statement's subject: that it found so.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Inspected {
    /// Which rules it went by.
    rules: u32,
}

impl Predicate for Inspected {
    const TYPE: &'static str = "https://artefact-gatekeeper.example/inspections/v1";

    fn stated_at(&self) -> Option<jiff::Timestamp> {
        None
    }
}

/// A record as it is stored: signed over its bytes as they are written.
#[derive(Deserialize)]
struct StoredRecord<'a> {
    #[serde(default)]
    envelope: Option<Envelope>,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// Why a record of inspections isn't believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOurs {
    #[error("nobody has signed it")]
    Unsigned,
    #[error(transparent)]
    Signature(#[from] InvalidAttestation),
    #[error("the gate signed something else")]
    Other,
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

/// The statement that a record of these bytes, which lies at `key`, is the gate's.
fn statement(rules: u32, key: &RecordKey, record: &[u8]) -> Statement<Inspected> {
    let subject = Subject { name: key.to_string(), digest: Digest::Sha256(Sha256::of(record)) };
    Statement::new(vec![subject], Inspected { rules })
}

/// A record of these bytes as it is stored: one call of KMS.
pub(super) async fn seal(
    rules: u32,
    key: &RecordKey,
    record: &[u8],
    keeping: Keeping<'_>,
) -> Result<Vec<u8>, SigningError> {
    let envelope = match keeping {
        Keeping::SignedBy(signer) => {
            Envelope::sign(&statement(rules, key, record).to_bytes()?, signer).await?.to_bytes()?
        }
        Keeping::Stored => b"null".to_vec(),
    };
    Ok([br#"{"envelope":"#.as_slice(), &envelope, br#","record":"#, record, b"}"].concat())
}

/// The bytes of a record that lies at `key`, where one of `keys` has signed them; without keys whatever lies there.
///
/// # Errors
/// [`NotOurs`] where it isn't what the gate wrote.
pub(super) fn open<'a>(
    rules: u32,
    key: &RecordKey,
    stored: &'a [u8],
    keys: Option<&TrustedKeys>,
) -> Result<&'a str, NotOurs> {
    let StoredRecord { envelope, record } = serde_json::from_slice(stored)?;
    if let Some(keys) = keys {
        let (signed, _) = Statement::<Inspected>::open_envelope(&envelope.ok_or(NotOurs::Unsigned)?, keys)?;
        if signed != statement(rules, key, record.get().as_bytes()) {
            return Err(NotOurs::Other);
        }
    }
    Ok(record.get())
}

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
    use gatekeeper_model::ids::Commit;
    use gatekeeper_proof::LocalSigner;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_record_is_believed_at_its_place_byte_for_byte_under_the_gates_key() {
        let place = |sha: char| {
            let (repo, sha) = ("bank-payments".parse().unwrap(), sha.to_string().repeat(40).parse().unwrap());
            RecordKey::Inspections(12, Commit { repo, sha })
        };
        let (signer, record) = (LocalSigner::from_seed(1), br#"{"inspections": {}}"#);
        let sealed = seal(12, &place('a'), record, Keeping::SignedBy(&signer)).await.unwrap();
        let key = signer.keys();
        assert_eq!(open(12, &place('a'), &sealed, Some(&key)).unwrap().as_bytes(), record);
        assert_eq!(signer.signatures(), 1);
        let refused = |rules, place: &RecordKey, bytes: &[u8], key: &TrustedKeys| {
            assert!(open(rules, place, bytes, Some(key)).is_err(), "{}", String::from_utf8_lossy(bytes));
        };
        refused(13, &place('a'), &sealed, &key);
        refused(12, &place('b'), &sealed, &key);
        refused(12, &place('a'), &sealed, &LocalSigner::from_seed(2).keys());
        refused(12, &place('a'), record, &key);
        let unsigned = seal(12, &place('a'), record, Keeping::Stored).await.unwrap();
        refused(12, &place('a'), &unsigned, &key);
        assert_eq!(open(12, &place('a'), &unsigned, None).unwrap().as_bytes(), record);
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            let read = open(12, &place('a'), &flipped, Some(&key));
            assert!(read.is_err(), "byte {at} may change");
        }
    }

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
