//! dbt's `run_results.json`: what one run of dbt was asked for, and what each node came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use gatekeeper_model::finding::{Code, Finding};
use serde::{Deserialize, Serialize, de};

use super::{
    BOUNDS, MAX_NAMES,
    object::{Collect, IsGiven, Listed, Object},
    schema_problem, told,
};
use crate::{bounded_json, shown::shown};

/// As dbt spells it.
pub const FULL_REFRESH: &str = "full_refresh";

/// As dbt spells it.
pub const VARS: &str = "vars";

/// What is kept of the results of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResults {
    /// Which dbt ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_version: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// The command, such as `build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The target, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The options that were given of those with which a run is another one than the whole build.
    pub options: BTreeSet<String>,
    /// What each node came to.
    pub results: BTreeMap<String, Status>,
}

/// What a node came to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was built, or its test passed.
    Good,
    /// It was built or tested with a warning.
    Warned,
    /// There was nothing to do, as for an exposure.
    NoOp,
    /// Anything else, as dbt calls it.
    Other(String),
}

/// Checks a `run_results.json`: JSON, of a schema that is known or tells at least as much. What the results come to is not
/// judged here. `subject` is what its findings are about.
///
/// # Errors
/// Where `reader` fails. What is wrong with the document is a finding.
pub fn inspect(reader: impl Read, subject: &str) -> io::Result<(Vec<Finding>, Option<RunResults>)> {
    let invalid = |message: String| Finding::new(Code::DbtRunResultsInvalid, subject, message);
    let mut json = bounded_json::parser(reader, BOUNDS);
    let document = Object::<Document>::deserialize(&mut json);
    let document = match bounded_json::finish(json, document) {
        Ok(Object(document)) => document,
        Err(failure) => return Ok((vec![invalid(told(failure, "a `run_results.json`")?)], None)),
    };
    let problems = document.problems();
    if problems.is_empty() {
        return Ok((Vec::new(), Some(document.facts())));
    }
    Ok((problems.into_iter().map(invalid).collect(), None))
}

#[derive(Debug, Deserialize)]
struct Document {
    metadata: Option<Object<Metadata>>,
    args: Option<Object<Args>>,
    results: Option<Listed<Results>>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    dbt_schema_version: Option<String>,
    dbt_version: Option<String>,
    invocation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    unique_id: Option<String>,
    status: Option<String>,
}

#[derive(Debug, Default)]
struct Results {
    results: BTreeMap<String, Status>,
    bytes: usize,
}

impl Collect for Results {
    type Item = Object<Outcome>;

    fn take<E: de::Error>(&mut self, _: String, Object(outcome): Object<Outcome>) -> Result<(), E> {
        let Outcome { unique_id: Some(id), status: Some(status) } = outcome else {
            return Err(E::custom("a result has no `unique_id` or no `status`"));
        };
        self.bytes += id.len() + status.len();
        if self.bytes > MAX_NAMES {
            return Err(E::custom(format_args!("its results have more than {MAX_NAMES} bytes of names")));
        }
        let short = shown(&id);
        match self.results.insert(id, Status::of(status)) {
            None => Ok(()),
            Some(_) => Err(E::custom(format_args!("`{short}` has two results"))),
        }
    }
}

impl Status {
    fn of(word: String) -> Self {
        match word.as_str() {
            "success" | "pass" => Self::Good,
            "warn" => Self::Warned,
            "no-op" => Self::NoOp,
            _ => Self::Other(word),
        }
    }
}

/// What dbt was asked for; dbt 2 may keep a part of it in an object of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    which: Option<String>,
    target: Option<String>,
    select: Option<IsGiven>,
    models: Option<IsGiven>,
    exclude: Option<IsGiven>,
    selector: Option<IsGiven>,
    resource_types: Option<IsGiven>,
    exclude_resource_types: Option<IsGiven>,
    empty: Option<IsGiven>,
    sample: Option<IsGiven>,
    defer: Option<IsGiven>,
    event_time_start: Option<IsGiven>,
    event_time_end: Option<IsGiven>,
    full_refresh: Option<IsGiven>,
    vars: Option<IsGiven>,
    #[serde(rename = "__other__")]
    other: Option<Box<Object<Args>>>,
}

impl Args {
    /// The options that were given of those with which a run is another one than the whole build.
    fn options(&self) -> BTreeSet<String> {
        let options = [
            ("select", self.select),
            ("models", self.models),
            ("exclude", self.exclude),
            ("selector", self.selector),
            ("resource_types", self.resource_types),
            ("exclude_resource_types", self.exclude_resource_types),
            ("empty", self.empty),
            ("sample", self.sample),
            ("defer", self.defer),
            ("event_time_start", self.event_time_start),
            ("event_time_end", self.event_time_end),
            (FULL_REFRESH, self.full_refresh),
            (VARS, self.vars),
        ];
        let given = options.into_iter().filter(|(_, it)| it.is_some_and(|IsGiven(is_given)| is_given));
        given.map(|(name, _)| name.to_owned()).collect()
    }
}

impl Document {
    /// Why these are no results that can be judged.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.metadata {
            None => problems.push("`metadata` is missing".to_owned()),
            Some(Object(it)) => {
                problems.extend(schema_problem(it.dbt_schema_version.as_deref(), "run-results", "run results"));
            }
        }
        for (name, is_missing) in [("args", self.args.is_none()), ("results", self.results.is_none())] {
            if is_missing {
                problems.push(format!("`{name}` is missing"));
            }
        }
        problems
    }

    fn facts(self) -> RunResults {
        let mut facts = RunResults::default();
        if let Some(Object(metadata)) = self.metadata {
            facts.dbt_version = metadata.dbt_version;
            facts.invocation_id = metadata.invocation_id;
        }
        let mut args = self.args;
        while let Some(Object(of)) = args {
            facts.options.extend(of.options());
            facts.command = facts.command.or(of.which);
            facts.target = facts.target.or(of.target);
            args = of.other.map(|it| *it);
        }
        facts.results = self.results.map(|Listed(it)| it.results).unwrap_or_default();
        facts
    }
}
