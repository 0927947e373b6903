//! Istanbul's JSON, which Vitest, Jest, nyc and c8 write, whether V8 or Istanbul measured.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read,
    marker::PhantomData,
};

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use super::{Coverage, Covered};
use crate::{
    report::{NotAReport, Stop, json, recount::push_problem},
    shown::shown,
};

/// The most bytes that a report may have of one file, which is kept while it is read: some 50,000 statements.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// How far a rounded percentage may lie from the figures that it is of: Istanbul cuts after two digits.
const ROUNDING: f64 = 0.0101;

/// Reads a `coverage-summary.json`. Its files are summed; its total is taken where it lists none.
pub(in crate::report) fn read_summary(reader: impl Read) -> Result<Coverage, Stop> {
    let (mut total, mut sum, mut problems) = (None, Coverage::default(), Vec::new());
    let mut files = 0_u64;
    each_file(reader, |name, summary: Summary| {
        for (what, figures) in [("lines", &summary.lines), ("functions", &summary.functions)] {
            if let Some(problem) = figures.problem() {
                push_problem(&mut problems, format!("the {what} of `{}`: {problem}", shown(name)));
            }
        }
        if name == "total" {
            total = Some(summary);
        } else {
            files += 1;
            sum.lines.add(summary.lines.covered());
            sum.functions.add(summary.functions.covered());
        }
    })?;
    let Some(total) = total else { return Err(NotAReport::new("it has no `total`").into()) };
    for (what, total, sum) in
        [("lines", total.lines.covered(), &mut sum.lines), ("functions", total.functions.covered(), &mut sum.functions)]
    {
        if files == 0 {
            *sum = total;
        } else if *sum != total {
            let (of_total, of_files) = ((total.covered, total.total), (sum.covered, sum.total));
            let problem = format!(
                "`total` says {} of {} {what}, its files {} of {}",
                of_total.0, of_total.1, of_files.0, of_files.1
            );
            push_problem(&mut problems, problem);
        }
    }
    Ok(Coverage { problems, ..sum })
}

/// Reads a `coverage-final.json`: a line is where a statement begins, as istanbul-lib-coverage counts, and ran where any
/// of its statements did.
pub(in crate::report) fn read(reader: impl Read) -> Result<Coverage, Stop> {
    let mut coverage = Coverage::default();
    each_file(reader, |_, file: File| {
        let mut lines: BTreeMap<u64, bool> = BTreeMap::new();
        for (id, statement) in &file.statement_map {
            *lines.entry(statement.start.line).or_default() |= file.s.get(id).is_some_and(|count| *count > 0);
        }
        for has_run in lines.into_values() {
            coverage.lines.one(has_run);
        }
        for id in file.fn_map.keys() {
            coverage.functions.one(file.f.get(id).is_some_and(|count| *count > 0));
        }
    })?;
    Ok(coverage)
}

/// One entry of a summary.
#[derive(Deserialize)]
struct Summary {
    lines: Figures,
    functions: Figures,
}

#[derive(Deserialize)]
struct Figures {
    total: u64,
    covered: u64,
    /// A number, or `Unknown` where there is nothing.
    #[serde(default)]
    pct: Value,
}

impl Figures {
    fn covered(&self) -> Covered {
        Covered { covered: self.covered, total: self.total }
    }

    fn problem(&self) -> Option<String> {
        let Self { covered, total, .. } = self;
        if covered > total {
            return Some(format!("{covered} of {total} are covered"));
        }
        let (said, is) = (self.pct.as_f64()?, self.covered().percent()?);
        ((said - is).abs() > ROUNDING).then(|| format!("`pct` is {said}, {covered} of {total} are {is:.2} %"))
    }
}

/// One file of a full report.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    statement_map: BTreeMap<String, Statement>,
    #[expect(clippy::zero_sized_map_values, reason = "serde reads an object as a map")]
    fn_map: BTreeMap<String, IgnoredAny>,
    s: BTreeMap<String, u64>,
    f: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Statement {
    start: Position,
}

#[derive(Deserialize)]
struct Position {
    line: u64,
}

/// Hands over each member of the document, which has one for each file.
fn each_file<T: for<'de> Deserialize<'de>>(reader: impl Read, then: impl FnMut(&str, T)) -> Result<(), Stop> {
    let mut parser = json::parser(reader, MAX_FILE);
    let result = parser.deserialize_map(Members { then, of: PhantomData });
    json::finish(parser, result)
}

struct Members<T, F> {
    then: F,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(&str, T)> Visitor<'de> for Members<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a member for each file")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            (self.then)(&name, members.next_value()?);
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format_args!("the file `{}` stands twice", shown(&twice))));
            }
        }
        Ok(())
    }
}
