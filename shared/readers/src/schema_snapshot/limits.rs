//! What an older server can't hold: the same migrations leave less behind there, and that is no difference.
//!
//! PostgreSQL 18 made `NOT NULL` of a table's column a constraint, with a name and with its own and inherited
//! declarations told apart; PostgreSQL 17 did so for domains, by their names (release notes of 17 and 18).

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    NormalForm,
    layout::{self, Around, Reading},
    lexer::Token,
    not_null,
    object::{name_parts, object, one_line, slice, with_statement, with_tokens},
    statement::{Statement, remove},
};

/// How many are listed.
const MAX_LISTED: usize = 20;

/// What one of two servers can't hold and the other one's schema says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLimits {
    /// The major version of the tested schema's server.
    pub tested_server: u16,
    /// The major version of the live schema's server.
    pub live_server: u16,
    /// What the older one can't hold, such as ``COLUMN public.ledger.note: the name `noted` of NOT NULL``; at most 20.
    pub not_compared: Vec<String>,
    /// How many more there are.
    #[serde(default)]
    pub left_out: usize,
}

impl fmt::Display for ServerLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tested_server, live_server, not_compared, left_out } = self;
        let (older, newer) = (tested_server.min(live_server), tested_server.max(live_server));
        write!(
            f,
            "tested on PostgreSQL {tested_server}, live on PostgreSQL {live_server}: PostgreSQL {older} can't hold what \
             PostgreSQL {newer} says, so it was not compared:"
        )?;
        for what in not_compared {
            write!(f, "\n  {what}")?;
        }
        if *left_out > 0 {
            write!(f, "\n  and {left_out} more")?;
        }
        Ok(())
    }
}

/// Both schemas without what the older of their servers can't hold, and what that is; nothing where the newer one says
/// no such thing.
pub(super) fn between(tested: &NormalForm, live: &NormalForm) -> Option<(NormalForm, NormalForm, ServerLimits)> {
    let (tested_server, live_server) = tested.server().zip(live.server())?;
    let held = |since: u16| tested_server.min(live_server) < since && since <= tested_server.max(live_server);
    let limits = Limits { tables: held(18), domains: held(17) };
    if !(limits.tables || limits.domains) {
        return None;
    }
    let ((reduced_tested, of_tested), (reduced_live, of_live)) = (limits.reduce(tested), limits.reduce(live));
    let (newer, of_newer, older, of_older) = if tested_server > live_server {
        (tested, of_tested, live, of_live)
    } else {
        (live, of_live, tested, of_tested)
    };
    let (same, newer): (HashSet<&str>, Vec<&str>) = (older.statements().collect(), newer.statements().collect());
    let unlike = |statement: &usize| newer.get(*statement).is_some_and(|text| !same.contains(text));
    let said: BTreeSet<&String> =
        of_newer.iter().filter(|(statement, _)| unlike(statement)).flat_map(|(_, said)| said).collect();
    let also: BTreeSet<&String> = of_older.values().flatten().collect();
    let mut not_compared: Vec<String> = said.difference(&also).map(|what| (*what).clone()).collect();
    let left_out = not_compared.len().saturating_sub(MAX_LISTED);
    not_compared.truncate(MAX_LISTED);
    let limits = ServerLimits { tested_server, live_server, not_compared, left_out };
    (!limits.not_compared.is_empty()).then_some((reduced_tested, reduced_live, limits))
}

/// What one server holds and the other one can't.
#[derive(Clone, Copy)]
struct Limits {
    /// Names of tables' `NOT NULL`, and their own ones beside inherited ones.
    tables: bool,
    /// Names of domains' `NOT NULL`.
    domains: bool,
}

/// What was taken out of a schema, by the index of the statement that said it.
type Taken = BTreeMap<usize, Vec<String>>;

/// A table's part in inheritance.
#[derive(Default)]
struct Relation {
    parents: BTreeSet<Vec<String>>,
    /// The columns that are `NOT NULL` by its own declaration, and whether children inherit it.
    not_null: BTreeMap<String, bool>,
}

type Relations = BTreeMap<Vec<String>, Relation>;

impl Limits {
    fn reduce(self, form: &NormalForm) -> (NormalForm, Taken) {
        let (mut taken, mut statements) = (Taken::new(), Vec::new());
        for (index, text) in form.statements().enumerate() {
            let named = text.contains("CONSTRAINT ") && text.contains(" NOT NULL") && self.is_about(text);
            match named.then(|| without_names(text)).flatten() {
                Some((reduced, names)) => {
                    statements.extend(reduced.into_iter().map(|text| (index, text)));
                    taken.insert(index, names);
                }
                None => statements.push((index, text.to_owned())),
            }
        }
        if self.tables {
            let relations = relations(statements.iter().map(|(_, text)| text.as_str()));
            statements.retain_mut(|(index, text)| match without_own(text, &relations) {
                Some((reduced, own)) => {
                    taken.entry(*index).or_default().extend(own);
                    *text = reduced.unwrap_or_default();
                    !text.is_empty()
                }
                None => true,
            });
        }
        (form.of_statements(statements.into_iter().map(|(_, text)| text)), taken)
    }

    fn is_about(self, text: &str) -> bool {
        self.tables && creates_table(text) || self.domains && text.starts_with("CREATE DOMAIN ")
    }
}

fn creates_table(text: &str) -> bool {
    ["CREATE TABLE ", "CREATE UNLOGGED TABLE ", "CREATE FOREIGN TABLE "].iter().any(|start| text.starts_with(start))
}

fn written(bytes: &[u8], tokens: &[Token]) -> String {
    let mut text = String::new();
    layout::write(&mut text, bytes, tokens, &Around::default(), Reading { standard_strings: true, server: None });
    text
}

/// A table or domain without the names of its `NOT NULL`, with the statements of those that it says apart; and the
/// names.
fn without_names(text: &str) -> Option<(Vec<String>, Vec<String>)> {
    with_tokens(text, |bytes, tokens| {
        let names = names(Statement { bytes, tokens }, &object(text));
        not_null::drop_names(bytes, tokens, |_| true);
        let apart = if creates_table(text) { not_null::set_apart(bytes, tokens) } else { Vec::new() };
        let reduced = [written(bytes, tokens)].into_iter().chain(apart).collect();
        (!names.is_empty()).then_some((reduced, names))
    })?
}

/// The names of a table's or domain's `NOT NULL`, each with what it is of.
fn names(statement: Statement<'_>, object: &str) -> Vec<String> {
    let domain = statement.is(1, "DOMAIN");
    let (mut names, mut column) = (Vec::new(), None);
    for (index, level) in statement.levels() {
        if !domain && level == 1 && (statement.is(index - 1, "(") || statement.is(index - 1, ",")) {
            column = Some(index);
        }
        if level == usize::from(!domain)
            && statement.is(index, "CONSTRAINT")
            && statement.has(index + 2, &["NOT", "NULL"])
        {
            let of = match (domain, column) {
                (true, _) => object.to_owned(),
                // `CONSTRAINT name NOT NULL column` is a part by itself.
                (false, Some(start)) if start == index => column_of(object, statement, index + 4),
                (false, start) => column_of(object, statement, start.unwrap_or(index)),
            };
            names.push(format!("{of}: the name `{}` of NOT NULL", slice(statement, index + 1..index + 2)));
        }
    }
    names
}

fn column_of(object: &str, statement: Statement<'_>, column: usize) -> String {
    let table = object.split_once("TABLE ").map_or(object, |(_, name)| name);
    one_line(&format!("COLUMN {table}.{}", slice(statement, column..column + 1)), 200)
}

/// Where a table's columns start, where each is `NOT NULL`, and whether that is inherited.
fn columns(statement: Statement<'_>) -> Vec<(usize, usize, bool)> {
    let (mut columns, mut column) = (Vec::new(), None);
    for (index, level) in statement.levels().filter(|(index, level)| *level == 1 && *index > 0) {
        if statement.is(index - 1, "(") || statement.is(index - 1, ",") {
            column = Some(index).filter(|&index| !statement.is(index, "CONSTRAINT") && !statement.is(index, "NOT"));
        }
        if let Some(column) = column
            && level == 1
            && statement.has(index, &["NOT", "NULL"])
        {
            columns.push((column, index, !statement.has(index + 2, &["NO", "INHERIT"])));
        }
    }
    columns
}

fn table_name(statement: Statement<'_>) -> usize {
    if statement.is(1, "TABLE") { 2 } else { 3 }
}

/// Where the column stands of an `ALTER TABLE … ALTER COLUMN … SET NOT NULL`.
fn set_not_null(statement: Statement<'_>) -> Option<usize> {
    let action = statement.name_end(2);
    let set = statement.has(action, &["ALTER", "COLUMN"]) && statement.has(action + 3, &["SET", "NOT", "NULL"]);
    (set && statement.starts(&["ALTER", "TABLE"])).then_some(action + 2)
}

fn relations<'a>(statements: impl Iterator<Item = &'a str>) -> Relations {
    let mut relations = Relations::new();
    for text in statements.filter(|text| creates_table(text) || text.starts_with("ALTER TABLE ")) {
        let _ = with_statement(text, |statement| {
            if statement.is(0, "ALTER") {
                let action = statement.name_end(2);
                let relation = name_parts(statement, 2);
                if let Some(column) = set_not_null(statement) {
                    let column = slice(statement, column..column + 1).to_owned();
                    relations.entry(relation).or_default().not_null.insert(column, true);
                } else if statement.has(action, &["ATTACH", "PARTITION"]) {
                    let partition = name_parts(statement, action + 2);
                    relations.entry(partition).or_default().parents.insert(relation);
                }
                return;
            }
            let name = table_name(statement);
            let relation = relations.entry(name_parts(statement, name)).or_default();
            for (column, _, inherited) in columns(statement) {
                relation.not_null.insert(slice(statement, column..column + 1).to_owned(), inherited);
            }
            if let Some(inherits) = statement.outer().find(|&index| statement.has(index, &["INHERITS", "("])) {
                let mut parent = inherits + 2;
                while parent + 1 < statement.close(inherits + 1) {
                    relation.parents.insert(name_parts(statement, parent));
                    parent = statement.name_end(parent) + 1;
                }
            }
        });
    }
    relations
}

/// Whether `table` gets `column`'s `NOT NULL` from one it inherits from.
fn inherits(relations: &Relations, table: &[String], column: &str, seen: &mut BTreeSet<Vec<String>>) -> bool {
    let Some(relation) = relations.get(table).filter(|_| seen.insert(table.to_vec())) else { return false };
    relation.parents.iter().any(|parent| {
        let own = relations.get(parent).and_then(|parent| parent.not_null.get(column));
        own.copied().unwrap_or(false) || inherits(relations, parent, column, seen)
    })
}

/// A table without its own `NOT NULL` of columns that inherit one, and which these are; nothing where it has none. A
/// statement of which nothing is left is gone.
fn without_own(text: &str, relations: &Relations) -> Option<(Option<String>, Vec<String>)> {
    let (creates, alters) = (creates_table(text), text.starts_with("ALTER TABLE "));
    if !(creates || alters) || !text.contains("NOT NULL") {
        return None;
    }
    with_tokens(text, |bytes, tokens| {
        let statement = Statement { bytes, tokens };
        let name = if alters { 2 } else { table_name(statement) };
        let table = name_parts(statement, name);
        let inherited = |column: usize| {
            let column = slice(statement, column..column + 1);
            inherits(relations, &table, column, &mut BTreeSet::new())
        };
        let own = |column: usize| {
            let table = slice(statement, name..statement.name_end(name));
            format!("{}: NOT NULL of its own beside the inherited one", column_of(table, statement, column))
        };
        if alters {
            let column = set_not_null(statement).filter(|&column| inherited(column))?;
            return Some((None, vec![own(column)]));
        }
        let mut columns = columns(statement);
        columns.retain(|(column, _, _)| inherited(*column));
        let owns: Vec<_> = columns.iter().map(|(column, _, _)| own(*column)).collect();
        let ranges: Vec<_> = columns.iter().map(|(_, at, _)| *at..*at + 2).collect();
        if ranges.is_empty() {
            return None;
        }
        remove(tokens, &ranges);
        Some((Some(written(bytes, tokens)), owns))
    })?
}
