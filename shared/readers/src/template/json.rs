//! JSON read strictly: a key that stands twice is told with its place, and nesting is bounded.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use crate::shown::shown;

/// How many repeated keys are told: enough to mend them by.
const MAX_DUPLICATES: usize = 20;

/// A JSON value that borrows its texts from the document: a megabyte of the smallest objects costs some ten megabytes.
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The members of an object, in the document's order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Json<'a> {
    /// The member `key`, where this is an object that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'a> Object<'a> {
    /// The member `key`. Objects of a template are small, and a look is made at each a few times only.
    pub(super) fn get(&self, key: &str) -> Option<&Json<'a>> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Json<'a>> {
        self.iter_mut().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Json<'a>)> {
        self.0.iter_mut().map(|(key, value)| (&**key, value))
    }

    /// Appends a member that the object doesn't have yet.
    pub(super) fn push(&mut self, key: &'a str, value: Json<'a>) {
        self.0.push((Cow::Borrowed(key), value));
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Every key that repeats an earlier one.
    fn repeated(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.windows(2)
            .filter_map(|pair| match pair {
                [one, other] if one == other => Some(*other),
                _ => None,
            })
            .collect()
    }
}

impl<'a> FromIterator<(&'a str, Json<'a>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, Json<'a>)>>(members: I) -> Self {
        Self(members.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter()),
        }
    }
}

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

/// Reads one JSON document and the places of the keys that repeat an earlier one.
///
/// # Errors
/// What is wrong and where, for anything but one UTF-8 JSON document (RFC 8259) nested at most 127 deep.
pub(super) fn read(bytes: &[u8]) -> Result<(Json<'_>, Vec<String>), String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8: the byte at offset {} begins no character", error.valid_up_to()))?;
    let duplicates = RefCell::default();
    // serde_json bounds the depth itself, so neither this nor what walks the value can exhaust the stack.
    let mut json = serde_json::Deserializer::from_str(text);
    let strict = Strict { place: Place::Root, duplicates: &duplicates };
    let value = strict
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| format!("not JSON: {}", shown(&error.to_string())))?;
    Ok((value, duplicates.into_inner()))
}

/// Calls `visit` with every value and its place, parents first; where it says `false` the children are left out.
pub(super) fn walk(value: &Json<'_>, place: &Place<'_>, visit: &mut impl FnMut(&Json<'_>, &Place<'_>) -> bool) {
    if !visit(value, place) {
        return;
    }
    match value {
        Json::Object(members) => {
            members.iter().for_each(|(key, it)| walk(it, &place.key(key), visit));
        }
        Json::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, it)| walk(it, &place.index(index), visit));
        }
        _ => {}
    }
}

/// Calls `visit` with each value that a property may have: of `Fn::If` both branches, of `AWS::NoValue` none.
pub(super) fn each_case<'j, 'a>(
    value: &'j Json<'a>,
    place: &Place<'_>,
    visit: &mut dyn FnMut(&'j Json<'a>, &Place<'_>),
) {
    match value.get("Fn::If") {
        Some(Json::Array(arguments)) => {
            let place = place.key("Fn::If");
            let branches = arguments.iter().enumerate().skip(1);
            branches.for_each(|(index, branch)| each_case(branch, &place.index(index), visit));
        }
        _ if value.get("Ref").and_then(Json::as_str) == Some("AWS::NoValue") => {}
        _ => visit(value, place),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    place: Place<'a>,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = items.next_element_seed(Strict { place: self.place.index(array.len()), ..self })? {
            array.push(value);
        }
        array.shrink_to_fit();
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(key) = members.next_key_seed(Key)? {
            let place = self.place.key(&key);
            let value = members.next_value_seed(Strict { place, ..self })?;
            object.0.push((key, value));
        }
        object.0.shrink_to_fit();
        let mut duplicates = self.duplicates.borrow_mut();
        for key in object.repeated() {
            if duplicates.len() < MAX_DUPLICATES {
                duplicates.push(self.place.key(key).to_string());
            }
        }
        Ok(Json::Object(object))
    }
}

/// An object's key, borrowed where it holds no escape.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
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
        let json = r#"{"a":[null,true,-1,18446744073709551615,1.5,"\u00e9\n"],"b\t":{}}"#;
        let text = |text: &'static str| Json::String(Cow::Borrowed(text));
        let number = |json: &str| Json::Number(json.parse().unwrap());
        let (value, _) = read(json.as_bytes()).unwrap();
        assert_eq!(
            value.get("a"),
            Some(&Json::Array(vec![
                Json::Null,
                Json::Bool(true),
                number("-1"),
                number("18446744073709551615"),
                number("1.5"),
                text("é\n")
            ]))
        );
        assert_eq!(value.get("b\t"), Some(&Json::Object(Object::default())));
        assert_eq!(value.get("c"), None);
    }

    #[test]
    fn what_is_not_one_json_document_is_refused_with_the_place() {
        let refuse = |bytes: &[u8]| read(bytes).unwrap_err();
        insta::assert_snapshot!(refuse(b"{\"a\": \xff}"), @"not UTF-8: the byte at offset 6 begins no character");
        insta::assert_snapshot!(refuse(b"Resources:\n  Table:\n    Type: x"), @"not JSON: expected value at line 1 column 1");
        insta::assert_snapshot!(refuse(b"{} {}"), @"not JSON: trailing characters at line 1 column 4");
        insta::assert_snapshot!(refuse(b"{\"a\": 1,}"), @"not JSON: trailing comma at line 1 column 9");
        insta::assert_snapshot!(refuse(br#"{"a": "\ud800"}"#), @"not JSON: unexpected end of hex escape at line 1 column 14");
        insta::assert_snapshot!(refuse(b"\xef\xbb\xbf{}"), @"not JSON: expected value at line 1 column 1");
        insta::assert_snapshot!(refuse(b""), @"not JSON: EOF while parsing a value at line 1 column 0");
    }

    #[test]
    fn nesting_is_bounded_far_below_the_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(127).as_bytes()).is_ok());
        insta::assert_snapshot!(read(nested(500_000).as_bytes()).unwrap_err(), @"not JSON: recursion limit exceeded at line 1 column 128");
    }
}
