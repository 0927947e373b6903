//! dbt manifests (`manifest.json`): the audit record of what logic was deployed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use gatekeeper_model::finding::{Code, Finding};
use serde::{Deserialize, Serialize, de};

use super::{
    BOUNDS, MAX_NAMES,
    object::{Collect, Keyed, Listed, Object, Text},
    relation::Relation,
    schema_problem, some, told,
};
use crate::{bounded_json, shown::shown};

/// What is kept of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Which dbt wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_version: Option<String>,
    /// The adapter that the project was compiled for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The run of dbt that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// What `dbt build` gives a result of: models, snapshots, seeds, tests, unit tests and functions.
    pub built: BTreeSet<String>,
    /// What it may give one of: hooks, exposures, saved queries, sources, analyses, and models that are part of others.
    pub others: BTreeSet<String>,
    /// The databases in which it puts something, each with what it puts there.
    pub databases: BTreeMap<String, String>,
    /// The sources that nodes read, by their ids; none of one whose table isn't named.
    pub sources: BTreeMap<String, Option<Relation>>,
}

/// Checks a dbt manifest: JSON, of a schema that is known or tells at least as much, with nodes, each with its compiled
/// code. `subject` is what its findings are about; the facts are those of what is a manifest.
///
/// # Errors
/// Where `reader` fails. What is wrong with the document is a finding.
pub fn inspect(reader: impl Read, subject: &str) -> io::Result<(Vec<Finding>, Option<Facts>)> {
    let invalid = |message: String| Finding::new(Code::DbtManifestInvalid, subject, message);
    let mut json = bounded_json::parser(reader, BOUNDS);
    let document = Object::<Document>::deserialize(&mut json);
    let document = match bounded_json::finish(json, document) {
        Ok(Object(document)) => document,
        Err(failure) => return Ok((vec![invalid(told(failure, "a dbt manifest")?)], None)),
    };
    let problems = document.problems();
    if !problems.is_empty() {
        return Ok((problems.into_iter().map(invalid).collect(), None));
    }
    let not_compiled = document.not_compiled();
    let findings = not_compiled.map(|message| Finding::new(Code::DbtNotCompiled, subject, message));
    Ok((findings.into_iter().collect(), Some(document.facts())))
}

#[derive(Debug, Deserialize)]
struct Document {
    metadata: Option<Object<Metadata>>,
    nodes: Option<Keyed<Nodes>>,
    /// A part of `nodes` before dbt 1.8.
    unit_tests: Option<Keyed<Nodes>>,
    /// Since dbt 1.11.
    functions: Option<Keyed<Nodes>>,
    exposures: Option<Keyed<Names>>,
    saved_queries: Option<Keyed<Names>>,
    sources: Option<Keyed<Sources>>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    dbt_schema_version: Option<String>,
    dbt_version: Option<String>,
    adapter_type: Option<String>,
    invocation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Node {
    resource_type: Option<String>,
    database: Option<String>,
    compiled: Option<bool>,
    compiled_code: Option<Text>,
    /// What it is called before dbt 1.3.
    compiled_sql: Option<Text>,
    config: Option<Object<Config>>,
    depends_on: Option<Object<DependsOn>>,
}

#[derive(Debug, Deserialize)]
struct Config {
    enabled: Option<bool>,
    materialized: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DependsOn {
    nodes: Option<Listed<SourceIds>>,
}

/// The ids of sources among those of nodes.
#[derive(Debug, Default)]
struct SourceIds {
    ids: BTreeSet<String>,
    bytes: usize,
}

impl Collect for SourceIds {
    type Item = String;

    fn take<E: de::Error>(&mut self, _: String, id: String) -> Result<(), E> {
        if id.starts_with("source.") {
            budget(&mut self.bytes, id.len())?;
            self.ids.insert(id);
        }
        Ok(())
    }
}

/// The names of members.
#[derive(Debug, Default)]
struct Names {
    names: BTreeSet<String>,
    bytes: usize,
}

impl Collect for Names {
    type Item = de::IgnoredAny;

    fn take<E: de::Error>(&mut self, name: String, _: de::IgnoredAny) -> Result<(), E> {
        budget(&mut self.bytes, name.len())?;
        self.names.insert(name);
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct Source {
    relation_name: Option<String>,
    database: Option<String>,
    schema: Option<String>,
    identifier: Option<String>,
}

/// The sources of the project.
#[derive(Debug, Default)]
struct Sources {
    sources: BTreeMap<String, Option<Relation>>,
    bytes: usize,
}

impl Collect for Sources {
    type Item = Object<Source>;

    fn take<E: de::Error>(&mut self, id: String, Object(source): Object<Source>) -> Result<(), E> {
        let relation = source.relation_name.as_deref().and_then(Relation::parse).or_else(|| source.by_its_parts());
        let names = relation.iter().flat_map(|it| [&it.schema, &it.table]).map(|it| it.name.len()).sum::<usize>();
        budget(&mut self.bytes, id.len() + names)?;
        let short = shown(&id);
        match self.sources.insert(id, relation) {
            None => Ok(()),
            Some(_) => Err(E::custom(format_args!("the key `{short}` stands twice"))),
        }
    }
}

impl Source {
    /// Its table where dbt doesn't spell it.
    fn by_its_parts(&self) -> Option<Relation> {
        let part = |name: &String| super::relation::Part { name: name.clone(), is_quoted: false };
        Some(Relation {
            database: self.database.as_ref().map(part),
            schema: part(self.schema.as_ref()?),
            table: part(self.identifier.as_ref()?),
        })
    }
}

/// What is kept of nodes.
#[derive(Debug, Default)]
struct Nodes {
    /// How many there are, and of how many the code is not compiled, by their kind.
    counts: BTreeMap<Kind, (u64, u64)>,
    built: BTreeSet<String>,
    others: BTreeSet<String>,
    not_compiled: BTreeSet<String>,
    /// Those of a kind that isn't known, with the kind.
    unknown: Vec<(String, String)>,
    databases: BTreeMap<String, String>,
    sources: SourceIds,
    bytes: usize,
}

/// Of what kind a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Model,
    Snapshot,
    Test,
    UnitTest,
    Seed,
    Function,
    /// Which `dbt build` does not select: an analysis, and a hook, which runs beside it.
    Other,
}

impl Kind {
    fn of(resource_type: &str) -> Option<Self> {
        match resource_type {
            "model" => Some(Self::Model),
            "snapshot" => Some(Self::Snapshot),
            "test" => Some(Self::Test),
            "unit_test" => Some(Self::UnitTest),
            "seed" => Some(Self::Seed),
            "function" => Some(Self::Function),
            "analysis" | "operation" | "sql_operation" | "sql operation" | "rpc" => Some(Self::Other),
            _ => None,
        }
    }

    fn is_compiled(self) -> bool {
        matches!(self, Self::Model | Self::Snapshot | Self::Test)
    }

    /// Whether it is stored in a database of the target.
    fn is_stored(self) -> bool {
        matches!(self, Self::Model | Self::Snapshot | Self::Seed | Self::Function)
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Snapshot => "snapshots",
            Self::Test => "tests",
            Self::UnitTest => "unit tests",
            Self::Seed => "seeds",
            Self::Function => "functions",
            Self::Other => "other nodes",
        }
    }
}

impl Collect for Nodes {
    type Item = Object<Node>;

    fn take<E: de::Error>(&mut self, id: String, Object(node): Object<Node>) -> Result<(), E> {
        budget(&mut self.bytes, id.len())?;
        if self.built.contains(&id) || self.others.contains(&id) {
            return Err(E::custom(format_args!("the key `{}` stands twice", shown(&id))));
        }
        let resource_type = node.resource_type.as_deref().unwrap_or_default();
        let Some(kind) = Kind::of(resource_type) else {
            if self.unknown.len() < super::NAMED {
                self.unknown.push((id.clone(), resource_type.to_owned()));
            }
            self.others.insert(id);
            return Ok(());
        };
        let config = node.config.as_ref().map(|Object(config)| config);
        if config.is_some_and(|it| it.enabled == Some(false)) {
            self.others.insert(id);
            return Ok(());
        }
        for source in node.depends_on.and_then(|Object(it)| it.nodes).into_iter().flat_map(|Listed(it)| it.ids) {
            if !self.sources.ids.contains(&source) {
                self.sources.take(String::new(), source)?;
            }
        }
        let (count, without_code) = self.counts.entry(kind).or_default();
        *count += 1;
        let code = node.compiled_code.or(node.compiled_sql);
        let is_compiled = node.compiled != Some(false) && code.is_some_and(|it| !it.is_blank);
        if kind.is_compiled() && !is_compiled {
            *without_code += 1;
            self.not_compiled.insert(id.clone());
        }
        let is_ephemeral = config.is_some_and(|it| it.materialized.as_deref() == Some("ephemeral"));
        if kind == Kind::Other || is_ephemeral && kind == Kind::Model {
            self.others.insert(id);
            return Ok(());
        }
        if let Some(database) = node.database.filter(|_| kind.is_stored()) {
            // The first by its name, in whichever order they are written.
            match self.databases.get_mut(&database) {
                Some(first) if *first > id => first.clone_from(&id),
                Some(_) => {}
                None => {
                    budget(&mut self.bytes, database.len() + id.len())?;
                    self.databases.insert(database, id.clone());
                }
            }
        }
        self.built.insert(id);
        Ok(())
    }
}

/// Counts what is kept: memory does not grow with the document.
fn budget<E: de::Error>(kept: &mut usize, more: usize) -> Result<(), E> {
    *kept += more;
    if *kept > MAX_NAMES {
        return Err(E::custom(format_args!("its nodes have more than {MAX_NAMES} bytes of names")));
    }
    Ok(())
}

impl Document {
    fn all_nodes(&self) -> impl Iterator<Item = &Nodes> {
        [&self.nodes, &self.unit_tests, &self.functions].into_iter().flatten().map(|Keyed(nodes)| nodes)
    }

    /// Why it is no manifest that can be judged.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.metadata {
            None => problems.push("`metadata` is missing".to_owned()),
            Some(Object(it)) => {
                problems.extend(schema_problem(it.dbt_schema_version.as_deref(), "manifest", "manifests"));
            }
        }
        match &self.nodes {
            None => problems.push("`nodes` is missing".to_owned()),
            Some(Keyed(nodes)) if nodes.built.is_empty() && nodes.others.is_empty() => {
                problems.push("`nodes` is empty: nothing was compiled".to_owned());
            }
            Some(_) => {}
        }
        for (id, resource_type) in self.all_nodes().flat_map(|nodes| &nodes.unknown) {
            let (id, kind) = (shown(id), shown(resource_type));
            problems.push(match resource_type.as_str() {
                "" => format!("the node `{id}` has no `resource_type`"),
                _ => format!(
                    "the node `{id}` is a `{kind}`, of which this gate does not know whether dbt compiles and builds it"
                ),
            });
        }
        problems
    }

    /// Which code is missing.
    fn not_compiled(&self) -> Option<String> {
        let Keyed(nodes) = self.nodes.as_ref()?;
        if nodes.not_compiled.is_empty() {
            return None;
        }
        let counts = nodes.counts.iter().filter(|(_, (_, without))| *without > 0);
        let counts: Vec<_> =
            counts.map(|(kind, (all, without))| format!("{without} of {all} {}", kind.plural())).collect();
        Some(format!(
            "{} have no compiled code: {}; store the manifest that `dbt build` wrote, before `dbt parse`, `dbt ls` or \
             another command writes one without it",
            counts.join(", "),
            some(nodes.not_compiled.iter().map(String::as_str))
        ))
    }

    fn facts(self) -> Facts {
        let mut facts = Facts::default();
        if let Some(Object(metadata)) = self.metadata {
            facts.dbt_version = metadata.dbt_version;
            facts.adapter = metadata.adapter_type;
            facts.invocation_id = metadata.invocation_id;
        }
        let mut read = BTreeSet::new();
        for Keyed(nodes) in [self.nodes, self.unit_tests, self.functions].into_iter().flatten() {
            facts.built.extend(nodes.built);
            facts.others.extend(nodes.others);
            facts.databases.extend(nodes.databases);
            read.extend(nodes.sources.ids);
        }
        for Keyed(names) in [self.exposures, self.saved_queries].into_iter().flatten() {
            facts.others.extend(names.names);
        }
        let sources = self.sources.map(|Keyed(it)| it.sources).unwrap_or_default();
        facts.others.extend(sources.keys().cloned());
        facts.others.retain(|id| !facts.built.contains(id));
        facts.sources = read.into_iter().map(|id| (id.clone(), sources.get(&id).cloned().flatten())).collect();
        facts
    }
}
