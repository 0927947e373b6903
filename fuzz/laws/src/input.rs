//! What the laws ask of an input, whatever it is.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read, Seek, SeekFrom},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::product::Finding;

/// An input of one of several kinds: its first line says which, the rest is of that kind.
pub(crate) fn kind(input: &[u8]) -> Option<(&str, &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    Some((str::from_utf8(input.get(..end)?).ok()?, input.get(end + 1..)?))
}

/// A number below `limit` that the input itself chooses: the same for the same input, and another for most others.
pub(crate) fn choose(input: &[u8], limit: usize) -> usize {
    let number = usize::try_from(crc32fast::hash(input)).unwrap_or_default();
    if limit == 0 { 0 } else { number % limit }
}

/// Findings are about their subject, in bounded words that a terminal shows as they are.
pub(crate) fn told(findings: &[Finding], subject: &str) {
    assert!(findings.len() <= 101, "{} findings", findings.len());
    for finding in findings {
        assert_eq!(finding.subject, subject);
        assert!(!finding.message.is_empty() && finding.message.len() < 8192, "a message of {}", finding.message.len());
        assert!(!finding.message.contains(char::is_control), "a control character in {:?}", finding.message);
    }
}

/// Gives what it reads in pieces of a few bytes.
pub(crate) struct Pieces<R> {
    inner: R,
    next: usize,
}

impl<R> Pieces<R> {
    pub(crate) fn of(inner: R) -> Self {
        Self { inner, next: 1 }
    }
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next = self.next % 7 + 1;
        let length = buffer.len().min(self.next);
        self.inner.read(&mut buffer[..length])
    }
}

impl<R: Seek> Seek for Pieces<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Whether an object of a JSON document has a key twice, at any depth; `None` where it is no JSON.
pub(crate) fn has_a_key_twice(json: &[u8]) -> Option<bool> {
    let mut twice = false;
    let mut parser = serde_json::Deserializer::from_slice(json);
    Keys { twice: &mut twice }.deserialize(&mut parser).ok()?;
    parser.end().ok()?;
    Some(twice)
}

/// Whether a JSON document holds a number with a fraction or an exponent, which may be written in several ways.
pub(crate) fn has_a_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_a_fraction),
        Value::Object(members) => members.values().any(has_a_fraction),
        _ => false,
    }
}

struct Keys<'t> {
    twice: &'t mut bool,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Keys { twice: self.twice })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            *self.twice |= !seen.insert(key);
            members.next_value_seed(Keys { twice: self.twice })?;
        }
        Ok(())
    }
}

/// The JSON of bytes, where each key has one meaning and each number one spelling.
pub(crate) fn plain_json(json: &[u8]) -> Option<Value> {
    if has_a_key_twice(json)? {
        return None;
    }
    let value: Value = serde_json::from_slice(json).ok()?;
    (!has_a_fraction(&value)).then_some(value)
}

/// Whether bytes are one JSON document at all.
pub(crate) fn is_json(json: &[u8]) -> bool {
    let mut parser = serde_json::Deserializer::from_slice(json);
    IgnoredAny::deserialize(&mut parser).is_ok() && parser.end().is_ok()
}

/// A value reads back from its JSON, which is given.
pub(crate) fn reads_back<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("a document is written");
    assert_eq!(serde_json::from_slice::<T>(&json).expect("a document reads back"), *value);
    json
}

/// A document without its end.
pub(crate) fn cut(document: &[u8]) -> &[u8] {
    let end = document.trim_ascii_end().len();
    &document[..choose(document, end)]
}
