//! JSON in which no object has a key twice.
//!
//! Of two members of one name serde keeps the last where it reads a map, and passes over the first in silence: a stage's
//! approvals, or a repository's conditions, would stand there and bind nobody, and another reader could believe the other
//! member.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};

/// Reads a document.
///
/// # Errors
/// Where it is none of this type, or an object in it has a key twice, at any depth.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    let document = serde_json::from_slice(json)?;
    serde_json::from_slice::<OneMeaning>(json)?;
    Ok(document)
}

/// Any JSON, of which nothing is kept.
struct OneMeaning;

impl<'de> Deserialize<'de> for OneMeaning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for OneMeaning {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            members.next_value::<Self>()?;
            if let Some(key) = seen.replace(key) {
                let key: String = key.chars().filter(|c| !c.is_control() && *c != '`').take(100).collect();
                return Err(A::Error::custom(format_args!("the key `{key}` stands twice")));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth_and_however_it_is_spelt() {
        let refuse = |json: &str| from_slice::<Value>(json.as_bytes()).unwrap_err().to_string();
        insta::assert_snapshot!(refuse(r#"{"a": 1, "a": 1}"#), @"the key `a` stands twice at line 1 column 16");
        insta::assert_snapshot!(refuse(r#"{"a": [0, {"b": {"c": 1, "\u0063": 2}}]}"#), @"the key `c` stands twice at line 1 column 37");
        insta::assert_snapshot!(refuse("{\"a`\": 1, \"a`\": 2}"), @"the key `a` stands twice at line 1 column 18");
    }

    #[test]
    fn other_documents_are_read_as_they_are() {
        let json = r#"{"a": {"x": 1.5, "y": [null, true, -1, "z"]}, "A": {"x": 1}}"#;
        assert_eq!(from_slice::<Value>(json.as_bytes()).unwrap(), serde_json::from_str::<Value>(json).unwrap());
        assert!(from_slice::<BTreeMap<String, u64>>(json.as_bytes()).is_err());
        assert!(from_slice::<Value>(b"{} {}").is_err());
    }
}
