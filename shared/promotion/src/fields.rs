//! Reading an event field by field, so that everything that is wrong with it is said at once.

use std::collections::BTreeSet;

use gatekeeper_model::identity::IdentityProof;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The longest text that a person writes, in characters.
const MAX_TEXT: usize = 1_000;

/// The most things that an event may list.
const MAX_LISTED: usize = 100;

/// The shortest reason for breaking the glass, in characters: it is read long after.
const MIN_BREAK_GLASS_REASON: usize = 10;

/// An event's fields, and what was found wrong with those that were read.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: &'a Map<String, Value>,
    wrong: Vec<String>,
}

impl<'a> Fields<'a> {
    /// The fields of an event. One that is not `known` is wrong: `dryRun` would otherwise be a promotion that nobody
    /// wanted.
    pub(super) fn of(event: &'a Value, known: &[&str]) -> Result<Self, Vec<String>> {
        let Value::Object(fields) = event else {
            return Err(vec!["the event is not a JSON object".to_owned()]);
        };
        let unknown = fields.keys().filter(|name| !known.contains(&name.as_str()));
        let unknown = unknown.map(|name| format!("`{}`: unknown field", name.chars().take(100).collect::<String>()));
        Ok(Self { fields, wrong: unknown.collect() })
    }

    /// That something else is wrong.
    pub(super) fn add(&mut self, wrong: impl Into<String>) {
        self.wrong.push(wrong.into());
    }

    /// What was read, where nothing is wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<String>> {
        read.filter(|_| self.wrong.is_empty()).ok_or(self.wrong)
    }

    /// Whether a field is left out or null.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        self.fields.get(name).is_none_or(Value::is_null)
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Some(false),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => {
                self.add(format!("`{name}`: not `true` or `false`"));
                None
            }
        }
    }

    pub(super) fn id<T: std::str::FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match self.string(name)?.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.add(format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// A list of names; empty where it is left out.
    pub(super) fn ids<T: std::str::FromStr + Ord>(&mut self, name: &str) -> Option<BTreeSet<T>>
    where
        T::Err: std::fmt::Display,
    {
        let items = match self.fields.get(name) {
            None | Some(Value::Null) => return Some(BTreeSet::new()),
            Some(Value::Array(items)) if items.len() > MAX_LISTED => {
                self.add(format!("`{name}`: more than {MAX_LISTED}"));
                return None;
            }
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.add(format!("`{name}`: not a list"));
                return None;
            }
        };
        let (mut ids, before) = (BTreeSet::new(), self.wrong.len());
        for item in items {
            match item.as_str().map(str::parse) {
                Some(Ok(id)) => {
                    if !ids.insert(id) {
                        self.add(format!("`{name}`: {item} stands twice"));
                    }
                }
                Some(Err(error)) => self.add(format!("`{name}`: {error}")),
                None => self.add(format!("`{name}`: an item is not a string")),
            }
        }
        (self.wrong.len() == before).then_some(ids)
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.string(name)?.trim();
        if text.is_empty() {
            self.add(format!("`{name}`: empty"));
        } else if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
            self.add(format!("`{name}`: longer than {MAX_TEXT} characters or with control characters"));
        } else {
            return Some(text.to_owned());
        }
        None
    }

    /// Why something is asked for, and for breaking the glass not in a word.
    pub(super) fn reason(&mut self, break_glass: bool) -> Option<String> {
        let reason = self.text("reason")?;
        if break_glass && reason.chars().count() < MIN_BREAK_GLASS_REASON {
            self.add(format!("`reason`: to break the glass takes at least {MIN_BREAK_GLASS_REASON} characters"));
        }
        Some(reason)
    }

    /// The proof of who asks; `Some(None)` where none is sent.
    #[expect(clippy::option_option, reason = "like every field: none where it is wrong")]
    pub(super) fn proof(&mut self, name: &str) -> Option<Option<IdentityProof>> {
        self.document(name)
    }

    /// A document of its own; `Some(None)` where none is sent.
    #[expect(clippy::option_option, reason = "like every field: none where it is wrong")]
    pub(super) fn document<T: DeserializeOwned>(&mut self, name: &str) -> Option<Option<T>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(proof) => match serde_json::from_value(proof.clone()) {
                Ok(proof) => Some(Some(proof)),
                Err(error) => {
                    self.add(format!("`{name}`: {error}"));
                    None
                }
            },
        }
    }

    fn string(&mut self, name: &str) -> Option<&'a str> {
        match self.fields.get(name) {
            Some(Value::String(text)) => Some(text),
            None | Some(Value::Null) => {
                self.add(format!("`{name}`: missing"));
                None
            }
            Some(_) => {
                self.add(format!("`{name}`: not a string"));
                None
            }
        }
    }
}
