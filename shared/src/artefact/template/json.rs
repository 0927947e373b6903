//! JSON read strictly: a key that stands twice is told with its place, and nesting is bounded.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How many characters of a key or a value a message shows: a template's names are the writer's choice.
const SHOWN: usize = 120;

/// A place in the document, kept on the stack while it is walked.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl<'a> Place<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(&shown(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", shown(key)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A text of the document as a message may show it: cut, and without control characters or backticks.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() || c == '`' { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Reads one JSON document and the places of the keys that repeat an earlier one.
///
/// # Errors
/// What is wrong and where, for anything but one UTF-8 JSON document (RFC 8259) nested at most 127 deep.
pub(super) fn read(bytes: &[u8]) -> Result<(Value, Vec<String>), String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8: the byte at offset {} begins no character", error.valid_up_to()))?;
    let duplicates = RefCell::default();
    // serde_json bounds the depth itself, so neither this nor what walks the value can exhaust the stack.
    let mut json = serde_json::Deserializer::from_str(text);
    let strict = Strict {
        place: Place::Root,
        duplicates: &duplicates,
    };
    let value = strict
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| format!("not JSON: {}", shown(&error.to_string())))?;
    Ok((value, duplicates.into_inner()))
}

/// Calls `visit` with every value and its place, parents first; where it says `false` the children are left out.
pub(super) fn walk(value: &Value, place: &Place<'_>, visit: &mut impl FnMut(&Value, &Place<'_>) -> bool) {
    if !visit(value, place) {
        return;
    }
    match value {
        Value::Object(members) => members.iter().for_each(|(key, it)| walk(it, &place.key(key), visit)),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, it)| walk(it, &place.index(index), visit));
        }
        _ => {}
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    place: Place<'a>,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = items.next_element_seed(Strict {
            place: self.place.index(array.len()),
            ..self
        })? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let place = self.place.key(&key);
            let value = members.next_value_seed(Strict { place, ..self })?;
            if object.contains_key(&key) {
                self.duplicates.borrow_mut().push(place.to_string());
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: &[&str]) {
        let (_, duplicates) = read(json.as_bytes()).unwrap();
        assert_eq!(duplicates, expect, "{json}");
    }

    #[test]
    fn a_key_that_stands_twice_is_told_with_its_place_at_any_depth() {
        check(r#"{"a": {"b": 1}, "c": {"b": 2}}"#, &[]);
        check(r#"{"a": 1, "a": 1}"#, &["a"]);
        check(r#"{"a": [0, {"b": 1, "c": 2, "b": 3}]}"#, &["a[1].b"]);
        check(r#"{"a": {"x": 1, "x": 2}, "b": 0, "a": {}, "a": 1}"#, &["a.x", "a", "a"]);
    }

    #[test]
    fn keys_are_compared_as_they_read_not_as_they_are_spelt() {
        check(r#"{"Resources": {}, "R\u0065sources": {}}"#, &["Resources"]);
        check(r#"{"a": 1, "A": 2}"#, &[]);
    }

    #[test]
    fn values_survive_as_they_are() {
        let json = r#"{"a":[null,true,-1,18446744073709551615,1.5,"é\n"],"b":{}}"#;
        let (value, _) = read(json.as_bytes()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(json).unwrap());
    }

    #[test]
    fn what_is_not_one_json_document_is_refused_with_the_place() {
        let refuse = |bytes: &[u8]| read(bytes).unwrap_err();
        insta::assert_snapshot!(refuse(b"{\"a\": \xff}"), @"");
        insta::assert_snapshot!(refuse(b"Resources:\n  Table:\n    Type: x"), @"");
        insta::assert_snapshot!(refuse(b"{} {}"), @"");
        insta::assert_snapshot!(refuse(b"{\"a\": 1,}"), @"");
        insta::assert_snapshot!(refuse(br#"{"a": "\ud800"}"#), @"");
        insta::assert_snapshot!(refuse(b"\xef\xbb\xbf{}"), @"");
        insta::assert_snapshot!(refuse(b""), @"");
    }

    #[test]
    fn nesting_is_bounded_far_below_the_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(127).as_bytes()).is_ok());
        insta::assert_snapshot!(read(nested(500_000).as_bytes()).unwrap_err(), @"");
    }

    #[test]
    fn what_a_message_shows_is_short_and_holds_no_control_character() {
        assert_eq!(shown("a`b\u{1b}[31m\n"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert_eq!(shown(&"é".repeat(1000)).chars().count(), SHOWN + 1);
    }
}
