//! The code of a dbt project as a compiled manifest has it: what was built in a stage is held against what was tested in dev.
//!
//! The names of databases, schemas and tables are the target's, and the code of both is the same but for them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    io::{self, Read},
};

use gatekeeper_model::{
    finding::{Code as FindingCode, Finding},
    ids::Sha256,
};
use serde::{Deserialize, Deserializer, de};

use super::{
    BOUNDS, MAX_NAMES,
    object::{Collect, Keyed, Object},
    some, told,
};
use crate::{bounded_json, shown::shown};

/// Whose variables of `metadata.env` are kept.
const OURS: &str = "GATEKEEPER_";

/// The code of a project. It is as large as the manifest: whoever reads one has bounded that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    /// When the manifest was written, as dbt spells it.
    pub generated_at: Option<String>,
    /// The variables that begin with `GATEKEEPER_`, of those that dbt tells in `metadata.env`.
    pub env: BTreeMap<String, String>,
    /// The schemas in which it puts something, each with what it puts there.
    pub schemas: BTreeMap<String, String>,
    nodes: BTreeMap<String, Node>,
    macros: BTreeMap<String, Sha256>,
    names: Names,
}

/// What is compared of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    /// Of what people wrote: code, hooks, and of a seed the file's checksum.
    written: Sha256,
    /// What dbt made of it; none of a seed.
    compiled: Option<Vec<u8>>,
}

/// What the target decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    /// The node or source of each table or view, by the name that statements give it.
    relations: HashMap<Vec<u8>, String>,
    databases: BTreeSet<Vec<u8>>,
    schemas: BTreeSet<Vec<u8>>,
}

/// Reads the code of a manifest that is one: whether it is, [`inspect`](super::manifest::inspect) tells.
///
/// # Errors
/// Where `reader` fails. What is wrong with the document is a finding about `subject`.
pub fn read(reader: impl Read, subject: &str) -> io::Result<Result<Project, Finding>> {
    let mut json = bounded_json::parser(reader, BOUNDS);
    let document = Object::<Document>::deserialize(&mut json);
    match bounded_json::finish(json, document) {
        Ok(Object(document)) => Ok(Ok(document.project())),
        Err(failure) => {
            let message = told(failure, "a dbt manifest")?;
            Ok(Err(Finding::new(FindingCode::DbtManifestInvalid, subject, message)))
        }
    }
}

#[derive(Debug, Deserialize)]
struct Document {
    metadata: Option<Object<Metadata>>,
    nodes: Option<Keyed<Nodes>>,
    functions: Option<Keyed<Nodes>>,
    sources: Option<Keyed<Nodes>>,
    macros: Option<Keyed<Macros>>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    generated_at: Option<String>,
    env: Option<Keyed<Env>>,
}

#[derive(Debug, Default)]
struct Env(BTreeMap<String, String>);

impl Collect for Env {
    type Item = String;

    fn take<E: de::Error>(&mut self, name: String, value: String) -> Result<(), E> {
        if name.starts_with(OURS) {
            self.0.insert(name, value);
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Macros(BTreeMap<String, Sha256>);

#[derive(Debug, Deserialize)]
struct Macro {
    macro_sql: Option<Bytes>,
}

impl Collect for Macros {
    type Item = Object<Macro>;

    fn take<E: de::Error>(&mut self, name: String, Object(of): Object<Macro>) -> Result<(), E> {
        let Bytes(code) = of.macro_sql.unwrap_or_default();
        self.0.insert(name, Sha256::of(&code));
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct ReadNode {
    resource_type: Option<String>,
    database: Option<String>,
    schema: Option<String>,
    relation_name: Option<String>,
    raw_code: Option<Bytes>,
    raw_sql: Option<Bytes>,
    compiled_code: Option<Bytes>,
    compiled_sql: Option<Bytes>,
    checksum: Option<serde_json::Value>,
    config: Option<Object<Config>>,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "pre-hook", alias = "pre_hook")]
    pre_hook: Option<serde_json::Value>,
    #[serde(rename = "post-hook", alias = "post_hook")]
    post_hook: Option<serde_json::Value>,
}

#[derive(Debug, Default)]
struct Nodes {
    kept: BTreeMap<String, Node>,
    names: Names,
    schemas: BTreeMap<String, String>,
    bytes: usize,
}

impl Collect for Nodes {
    type Item = Object<ReadNode>;

    fn take<E: de::Error>(&mut self, id: String, Object(node): Object<ReadNode>) -> Result<(), E> {
        let names = [&node.database, &node.schema, &node.relation_name];
        self.bytes += id.len() + names.into_iter().flatten().map(String::len).sum::<usize>();
        if self.bytes > MAX_NAMES {
            return Err(E::custom(format_args!("its nodes have more than {MAX_NAMES} bytes of names")));
        }
        let kind = node.resource_type.as_deref().unwrap_or_default();
        let is_stored = matches!(kind, "model" | "snapshot" | "seed" | "function");
        if let Some(relation) = &node.relation_name {
            self.names.relations.entry(relation.as_bytes().to_vec()).or_insert_with(|| id.clone());
        }
        self.names.databases.extend(node.database.map(String::into_bytes));
        if let Some(schema) = node.schema {
            if is_stored {
                self.schemas.entry(schema.clone()).or_insert_with(|| id.clone());
            }
            self.names.schemas.insert(schema.into_bytes());
        }
        if kind == "source" {
            return Ok(());
        }
        let checksum = node.checksum.filter(|_| kind == "seed");
        let hooks = node.config.map(|Object(config)| (config.pre_hook, config.post_hook));
        let Bytes(raw) = node.raw_code.or(node.raw_sql).unwrap_or_default();
        let about = format!("\0{}\0{}", serde_json::json!(checksum), serde_json::json!(hooks));
        let written = Sha256::of(&[raw, about.into_bytes()].concat());
        let compiled = node.compiled_code.or(node.compiled_sql).map(|Bytes(code)| code);
        let short = shown(&id);
        match self.kept.insert(id, Node { written, compiled }) {
            None => Ok(()),
            Some(_) => Err(E::custom(format_args!("the key `{short}` stands twice"))),
        }
    }
}

impl Document {
    fn project(self) -> Project {
        let mut project = Project::default();
        if let Some(Object(metadata)) = self.metadata {
            project.generated_at = metadata.generated_at;
            project.env = metadata.env.map(|Keyed(Env(env))| env).unwrap_or_default();
        }
        for Keyed(read) in [self.nodes, self.functions, self.sources].into_iter().flatten() {
            project.nodes.extend(read.kept);
            project.schemas.extend(read.schemas);
            let Names { relations, databases, schemas } = read.names;
            for (relation, id) in relations {
                project.names.relations.entry(relation).or_insert(id);
            }
            project.names.databases.extend(databases);
            project.names.schemas.extend(schemas);
        }
        project.macros = self.macros.map(|Keyed(Macros(macros))| macros).unwrap_or_default();
        project
    }
}

/// A string as bytes: half a surrogate pair, which a literal of a model may hold, is none that Rust has.
#[derive(Debug, Clone, Default)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl de::Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(text.to_vec()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                self.visit_bytes(text.as_bytes())
            }
        }

        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// Holds the code of a stage's manifest against that of dev's: findings about `subject`, and how many nodes were compared.
#[must_use]
pub fn check(subject: &str, dev: &Project, stage: &Project) -> (Vec<Finding>, u64) {
    let mut findings = Vec::new();
    let mut say = |what: &str, ids: &[&str]| {
        if !ids.is_empty() {
            let nodes = if ids.len() == 1 { "1 of them".to_owned() } else { format!("{} of them", ids.len()) };
            let message = format!("{what}: {nodes}, {}", some(ids.iter().copied()));
            findings.push(Finding::new(FindingCode::DbtCodeDiffers, subject, message));
        }
    };
    let missing: Vec<_> = dev.nodes.keys().filter(|id| !stage.nodes.contains_key(*id)).map(String::as_str).collect();
    say("nodes that were tested in dev are not in the stage's manifest", &missing);
    let strange: Vec<_> = stage.nodes.keys().filter(|id| !dev.nodes.contains_key(*id)).map(String::as_str).collect();
    say("nodes of the stage's manifest were never tested in dev", &strange);
    let both: Vec<_> =
        dev.nodes.iter().filter_map(|(id, tested)| Some((id.as_str(), tested, stage.nodes.get(id)?))).collect();
    let written = both.iter().filter(|(_, tested, built)| tested.written != built.written).map(|(id, ..)| *id);
    let written: Vec<_> = written.collect();
    say("nodes have other code, hooks or data than in dev: build the commit itself", &written);
    let is_compiled_otherwise = |tested: &Node, built: &Node| match (&tested.compiled, &built.compiled) {
        (None, None) => false,
        (Some(tested), Some(built)) => !is_same(tested, &dev.names, built, &stage.names),
        _ => true,
    };
    let compiled = both.iter().filter(|(_, tested, built)| is_compiled_otherwise(tested, built)).map(|(id, ..)| *id);
    let compiled: Vec<_> = compiled.filter(|id| !written.contains(id)).collect();
    say(
        "nodes are compiled to something else than in dev, and not only to other databases, schemas and tables: a variable, \
         the environment or the target's name decides what they do",
        &compiled,
    );
    let macros = dev.macros.keys().chain(stage.macros.keys()).map(String::as_str).collect::<BTreeSet<_>>();
    let macros: Vec<_> = macros.into_iter().filter(|id| dev.macros.get(*id) != stage.macros.get(*id)).collect();
    say("macros are not those of dev: build with the same dbt, adapter and packages", &macros);
    (findings, both.len() as u64)
}

/// Whether two statements say the same, each by its own target's names.
fn is_same(tested: &[u8], dev: &Names, built: &[u8], stage: &Names) -> bool {
    let (mut tested, mut built) = (Tokens { rest: tested }, Tokens { rest: built });
    loop {
        match (tested.next(), built.next()) {
            (None, None) => return true,
            (Some(Token::Other(one)), Some(Token::Other(other))) if one == other => {}
            (Some(Token::Chain(one)), Some(Token::Chain(other))) if means_the_same(&one, dev, &other, stage) => {}
            _ => return false,
        }
    }
}

/// Whether names joined by dots mean the same: a table that either manifest knows is the same node's in the other.
fn means_the_same(one: &[&[u8]], dev: &Names, other: &[&[u8]], stage: &Names) -> bool {
    match (known(one, dev), known(other, stage)) {
        (Some((node, rest)), Some((other_node, other_rest))) => node == other_node && rest == other_rest,
        (None, None) => {
            let pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.into_iter().all(|(one, other)| is_same_name(one, dev, other, stage))
        }
        _ => false,
    }
}

/// The node whose table the first names are, and the names after them.
fn known<'a>(chain: &'a [&'a [u8]], names: &'a Names) -> Option<(&'a str, &'a [&'a [u8]])> {
    (2..=chain.len().min(3)).rev().find_map(|length| {
        let (first, rest) = chain.split_at(length);
        Some((names.relations.get(&first.join(&b'.'))?.as_str(), rest))
    })
}

fn is_same_name(one: &[u8], dev: &Names, other: &[u8], stage: &Names) -> bool {
    let both = |dev: &BTreeSet<Vec<u8>>, stage: &BTreeSet<Vec<u8>>| {
        dev.contains(unquoted(one)) && stage.contains(unquoted(other)) && is_quoted(one) == is_quoted(other)
    };
    // What stands in quotes may be a string, of Python for one, and hold names itself.
    let is_text = || is_quoted(one) && one.first() == other.first();
    one == other
        || both(&dev.databases, &stage.databases)
        || both(&dev.schemas, &stage.schemas)
        || is_text() && is_same(unquoted(one), dev, unquoted(other), stage)
}

fn is_quoted(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'"' | b'`'))
}

fn unquoted(name: &[u8]) -> &[u8] {
    match name {
        [b'"', inner @ .., b'"'] | [b'`', inner @ .., b'`'] => inner,
        _ => name,
    }
}

/// A statement as names joined by dots, and all between them byte by byte.
struct Tokens<'a> {
    rest: &'a [u8],
}

enum Token<'a> {
    /// Names joined by dots, such as `risk.marts."Mart"`.
    Chain(Vec<&'a [u8]>),
    /// Anything else.
    Other(u8),
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let mut chain = Vec::new();
        while let Some((name, after)) = name(self.rest) {
            chain.push(name);
            self.rest = after;
            match after {
                [b'.', behind @ ..] if self::name(behind).is_some() => self.rest = behind,
                _ => break,
            }
        }
        if !chain.is_empty() {
            return Some(Token::Chain(chain));
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(Token::Other(*first))
    }
}

/// The name that a text begins with, in quotes or without, and what follows it.
fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *text.first()?;
    let length = if matches!(first, b'"' | b'`') {
        text.iter().skip(1).position(|it| *it == first)? + 2
    } else {
        text.iter().take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'$') || !it.is_ascii()).count()
    };
    (length > 0).then(|| text.split_at(length))
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
