//! Views, where dumps of one schema differ most: twice written ones, and qualified columns.

use std::{collections::BTreeSet, ops::Range};

use super::{
    judge,
    lexer::{Kind, Token},
    object::{slice, with_statement},
    statement::{Statement, remove},
};

/// What may follow a query's only source; all are reserved, or the source's alias would be quoted.
const BEHIND_SOURCE: [&str; 11] =
    ["WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR", "WITH", "TABLESAMPLE"];

/// The sources with a syntax of their own, and the name of each where it is given none.
const TABLE_FUNCTIONS: [(&str, &[u8]); 2] = [("XMLTABLE", b"\"xmltable\""), ("JSON_TABLE", b"\"json_table\"")];

/// Spells in one way what servers spell in several inside of queries and expressions: the default `NO INDENT` of
/// `XMLSERIALIZE`, which servers before 17 leave out, and the parentheses around the count of `FETCH FIRST`.
pub(super) fn respell(bytes: &[u8], tokens: &mut Vec<Token>) {
    let statement = Statement { bytes, tokens };
    // Hardly any statement has such.
    if !statement.contains("INDENT") && !statement.contains("FIRST") {
        return;
    }
    let (mut found, mut apart) = (Vec::new(), Vec::new());
    for index in 1..tokens.len() {
        if statement.is(index, "INDENT") && statement.is(index - 1, "NO") && serialises(statement, index) {
            found.push(index - 1..index + 1);
        } else if statement.is(index, "FIRST") && statement.is(index - 1, "FETCH") {
            let (mut open, mut close) = (index + 1, statement.close(index + 1));
            if statement.is(open, "(") && statement.is(close, "ROWS") {
                while statement.is(open, "(") && statement.close(open) == close {
                    found.extend([open..open + 1, close - 1..close]);
                    (open, close) = (open + 1, close - 1);
                }
                apart.push(open);
            }
        }
    }
    for index in apart {
        if let Some(token) = tokens.get_mut(index) {
            token.gap = true;
        }
    }
    found.sort_by_key(|range| range.start);
    remove(tokens, &found);
}

/// Whether the parenthesis that ends behind `index` is `XMLSERIALIZE`'s.
fn serialises(statement: Statement<'_>, index: usize) -> bool {
    let mut depth = 0_usize;
    for at in (1..index).rev() {
        if statement.is(at, ")") {
            depth += 1;
        } else if statement.is(at, "(") && depth == 0 {
            return statement.is(index + 1, ")") && statement.is(at - 1, "XMLSERIALIZE");
        } else if statement.is(at, "(") {
            depth -= 1;
        }
    }
    false
}

/// Takes out of a view's outermost query the name of its only source before that source's columns.
///
/// A server before 16 writes `SELECT ledger.id FROM public.ledger` where a later one writes `SELECT id`. Both write
/// the name inside of subqueries, in joins, and for whole rows. Later minor versions from 16 on write it too where
/// `ORDER BY` would take the column for another one of that name in the output. No version writes a column of the
/// output by its name there, so that a name without qualifier is the source's column in all of them.
pub(super) fn unqualify(bytes: &[u8], tokens: &mut Vec<Token>) {
    let statement = Statement { bytes, tokens };
    let Some((query, source, name)) = only_source(statement) else { return };
    let mut found = Vec::new();
    let mut index = query;
    while index < tokens.len() {
        if source.contains(&index) {
            index = source.end;
        } else if statement.is(index, "(") && is_query(statement, index + 1) {
            index = statement.close(index);
        } else {
            let column = statement.text(index) == name
                && is_name(statement, index)
                && statement.is(index + 1, ".")
                && is_name(statement, index + 2)
                && ![".", "("].iter().any(|behind| statement.is(index + 3, behind))
                && ![".", "COLLATE", "AS", "RETURNING"].iter().any(|before| statement.is(index - 1, before))
                && !statement.has(index.wrapping_sub(2), &[":", ":"]);
            if column {
                found.push(index..index + 2);
            }
            index += 1;
        }
    }
    for qualifier in &found {
        let gap = tokens.get(qualifier.start).is_some_and(|token| token.gap);
        if let Some(column) = tokens.get_mut(qualifier.end) {
            column.gap = gap;
        }
    }
    remove(tokens, &found);
}

fn is_name(statement: Statement<'_>, index: usize) -> bool {
    matches!(statement.kind(index), Some(Kind::Word | Kind::Quoted))
}

fn is_query(statement: Statement<'_>, index: usize) -> bool {
    ["SELECT", "WITH", "VALUES"].iter().any(|word| statement.is(index, word))
}

/// Where a view's query starts, where its only source stands, and by which name its columns are qualified; nothing
/// where it is no view, or its query has several sources or none.
fn only_source(statement: Statement<'_>) -> Option<(usize, Range<usize>, &[u8])> {
    let kind = judge::created_kind(statement);
    if !(statement.is(0, "CREATE") && (statement.is(kind, "VIEW") || statement.has(kind, &["MATERIALIZED", "VIEW"]))) {
        return None;
    }
    let outer: Vec<_> = statement.outer().collect();
    let query = *outer.iter().find(|&&index| statement.is(index, "AS"))? + 1;
    let is = |index: usize, words: &[&str]| index > query && words.iter().any(|word| statement.is(index, word));
    if outer.iter().any(|&index| is(index, &["UNION", "INTERSECT", "EXCEPT"])) {
        return None;
    }
    // `ROWS FROM (…)` is one source.
    let mut sources = outer.iter().filter(|&&index| is(index, &["FROM"]) && !is(index - 1, &["DISTINCT", "ROWS"]));
    let (from, None) = (*sources.next()?, sources.next()) else { return None };
    let start = from + 1 + usize::from(statement.is(from + 1, "ONLY"));
    let (mut end, mut name) = if statement.has(start, &["ROWS", "FROM", "("]) {
        (statement.close(start + 2), None)
    } else if let Some((_, name)) = TABLE_FUNCTIONS.iter().find(|(word, _)| statement.has(start, &[word, "("])) {
        (statement.close(start + 1), Some(*name))
    } else if statement.is(start, "(") {
        (is_query(statement, start + 1).then(|| statement.close(start))?, None)
    } else {
        let end = statement.name_end(start);
        (if statement.is(end, "(") { statement.close(end) } else { end }, Some(statement.text(end - 1)))
    };
    if statement.has(end, &["WITH", "ORDINALITY"]) {
        end += 2;
    }
    let behind = |end: usize| end == statement.tokens.len() || BEHIND_SOURCE.iter().any(|word| statement.is(end, word));
    if is_name(statement, end) && !behind(end) {
        name = Some(statement.text(end));
        end += 1;
        if statement.is(end, "(") {
            end = statement.close(end);
        }
    }
    Some((query, from..end, name.filter(|_| behind(end))?))
}

/// A view that a normal form says twice, or with `OR REPLACE`.
///
/// `pg_dump` writes a view that needs a table's primary key first as a stand-in, `SELECT NULL::type AS column, …`, and
/// later in full with `CREATE OR REPLACE`; `--clean` writes the stand-in once more.
#[derive(Default)]
pub(super) struct Replaced {
    names: BTreeSet<String>,
}

impl Replaced {
    /// The views that `statements` say in full with `CREATE OR REPLACE`.
    pub(super) fn of<'a>(statements: impl Iterator<Item = &'a str>) -> Self {
        let full = |text: &&str| text.starts_with("CREATE OR REPLACE VIEW ") && !is_stand_in(text);
        Self { names: statements.filter(full).filter_map(|text| with_statement(text, view)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether `text` is the stand-in of a view that is said in full elsewhere.
    pub(super) fn is_redundant(&self, text: &str) -> bool {
        let create = text.starts_with("CREATE VIEW ") || text.starts_with("CREATE OR REPLACE VIEW ");
        create && is_stand_in(text) && with_statement(text, view).is_some_and(|name| self.names.contains(&name))
    }
}

fn is_stand_in(text: &str) -> bool {
    text.contains(" AS\nSELECT NULL::") && !text.contains("\nFROM ")
}

fn view(statement: Statement<'_>) -> String {
    let start = judge::created_kind(statement) + 1;
    slice(statement, start..statement.name_end(start)).to_owned()
}
