//! What Pulumi remembers of each update of a stack: an entry of `pulumi stack history --json`, and the file that a backend
//! of one's own keeps (`.pulumi/history/{project}/{stack}/{stack}-{nanoseconds}.history.json`).

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use jiff::Timestamp;
use serde::{
    Deserialize, Serialize,
    de::{self, Error as _},
};

use super::{bounds, told};
use crate::{
    bounded_json,
    dbt::object::{Collect, Keyed, Listed, Object},
    shown::shown,
};

/// The depth of the strings of an entry that are kept: `[{"environment": {"git.head": …`.
const STRINGS_DOWN_TO: usize = 3;

/// The most kinds of changes that an entry may count.
const MAX_KINDS: usize = 64;

/// The longest message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

/// What is kept of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// What was done: `update`, `refresh`, `destroy`, `import` and others.
    pub kind: String,
    /// What it came to: `succeeded`, `failed`, `in-progress`.
    pub result: String,
    /// When it began, in whole seconds.
    pub started_at: Timestamp,
    /// When it ended, in whole seconds; `None` where it hasn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What `--message` said, or the commit's subject.
    pub message: String,
    /// The commit of the program: `git.head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Whether the working folder held changes: `git.dirty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_dirty: Option<bool>,
    /// Whether it was held to a plan, `pulumi up --plan`: `updatePlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_plan: Option<bool>,
    /// How many resources each kind of change was done to.
    pub changes: BTreeMap<String, u64>,
    /// The number of the update, where the backend counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Reads one entry, as a backend's file holds it. What is wrong with it is told in words, and holds nothing of its values.
///
/// # Errors
/// Where `reader` fails.
pub fn entry(reader: impl Read) -> io::Result<Result<Update, String>> {
    let mut json = bounded_json::parser(reader, bounds(STRINGS_DOWN_TO));
    let read = Object::<Entry>::deserialize(&mut json);
    Ok(match bounded_json::finish(json, read) {
        Ok(Object(entry)) => entry.update(),
        Err(failure) => Err(told(failure, "an entry of a stack's history")?),
    })
}

/// Reads what `pulumi stack history --json` prints, the newest entry first; `None` where there is none.
///
/// # Errors
/// Where `reader` fails.
pub fn newest(reader: impl Read) -> io::Result<Result<Option<Update>, String>> {
    let mut json = bounded_json::parser(reader, bounds(STRINGS_DOWN_TO));
    let read = Option::<Listed<First>>::deserialize(&mut json);
    Ok(match bounded_json::finish(json, read) {
        Ok(listed) => listed.and_then(|Listed(First(first))| first).map(Entry::update).transpose(),
        Err(failure) => Err(told(failure, "what `pulumi stack history --json` prints")?),
    })
}

/// The first of some entries.
#[derive(Default)]
struct First(Option<Entry>);

impl Collect for First {
    type Item = Object<Entry>;

    fn take<E: de::Error>(&mut self, _: String, Object(entry): Self::Item) -> Result<(), E> {
        self.0.get_or_insert(entry);
        Ok(())
    }
}

/// An entry as either spells it. The configuration is passed over: it may hold secrets.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    kind: String,
    result: String,
    start_time: Time,
    #[serde(default)]
    end_time: Option<Time>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    environment: Option<Object<Environment>>,
    #[serde(default)]
    resource_changes: Option<Keyed<Counts>>,
    #[serde(default)]
    version: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Environment {
    #[serde(rename = "git.head")]
    head: Option<String>,
    #[serde(rename = "git.dirty")]
    dirty: Option<String>,
    #[serde(rename = "updatePlan")]
    plan: Option<String>,
}

/// How often each kind of change was made.
#[derive(Default)]
pub(super) struct Counts(pub(super) BTreeMap<String, u64>);

impl Collect for Counts {
    type Item = u64;

    fn take<E: de::Error>(&mut self, name: String, count: u64) -> Result<(), E> {
        if self.0.len() == MAX_KINDS {
            return Err(E::custom(format_args!("more than {MAX_KINDS} kinds of changes are counted")));
        }
        self.0.insert(shown(&name), count);
        Ok(())
    }
}

/// Seconds since 1970 in a file, RFC 3339 in what the command prints.
#[derive(Clone, Copy)]
struct Time(Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Seconds(i64),
            Text(String),
        }
        let time = match Either::deserialize(deserializer).map_err(|_| D::Error::custom("a time is none"))? {
            Either::Seconds(seconds) => Timestamp::from_second(seconds),
            Either::Text(text) => text.parse(),
        };
        time.map(Self).map_err(|_| D::Error::custom("a time is none"))
    }
}

impl Entry {
    fn update(self) -> Result<Update, String> {
        let environment = self.environment.map(|Object(it)| it).unwrap_or_default();
        let is_dirty = match environment.dirty.as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err("`git.dirty` is neither `true` nor `false`".to_owned()),
        };
        // A backend writes 0 where it has not ended.
        let ended_at = self.end_time.map(|Time(time)| time).filter(|time| *time != Timestamp::UNIX_EPOCH);
        Ok(Update {
            kind: shown(&self.kind),
            result: shown(&self.result),
            started_at: self.start_time.0,
            ended_at,
            message: self.message.chars().take(MAX_MESSAGE).filter(|c| !c.is_control()).collect(),
            head: environment.head.as_deref().map(shown),
            is_dirty,
            used_plan: environment.plan.map(|word| word == "true"),
            changes: self.resource_changes.map(|Keyed(Counts(counts))| counts).unwrap_or_default(),
            version: self.version.filter(|version| *version > 0),
        })
    }
}
