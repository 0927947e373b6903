//! `NOT NULL`, which PostgreSQL 18 made a constraint with a name, and `pg_dump` 18 writes in more places.

use std::ops::Range;

use super::{
    lexer::Token,
    names,
    object::slice,
    statement::{Statement, remove},
};

/// Drops the names of `NOT NULL` of a table's columns (PostgreSQL has them from 18 on) or of a domain (from 17 on) that
/// are to be `dropped`.
///
/// Those that PostgreSQL made up are, since a server before has none: `pg_dump` writes one where the restored object
/// would not get it by itself, such as a partition's or a renamed table's. A name that somebody chose is kept.
pub(super) fn drop_names(bytes: &[u8], tokens: &mut Vec<Token>, dropped: impl Fn(&[u8]) -> bool) {
    let statement = Statement { bytes, tokens };
    let level = usize::from(!statement.is(1, "DOMAIN"));
    let names: Vec<_> = (statement.levels().filter(|(_, depth)| *depth == level))
        .filter(|(index, _)| statement.is(*index, "CONSTRAINT") && statement.has(index + 2, &["NOT", "NULL"]))
        .filter(|(index, _)| dropped(statement.text(index + 1)))
        .map(|(index, _)| index..index + 2)
        .collect();
    remove(tokens, &names);
}

/// Takes `NOT NULL column` out of a table's parts and says it as the statement that `pg_dump` before 18 writes for an
/// inherited column.
pub(super) fn set_apart(bytes: &[u8], tokens: &mut Vec<Token>) -> Vec<String> {
    let statement = Statement { bytes, tokens };
    let start = if statement.is(1, "TABLE") { 2 } else { 3 };
    if !statement.is_name(start) {
        return Vec::new();
    }
    let table = names::unquoted(slice(statement, start..statement.name_end(start)));
    let (mut statements, mut parts) = (Vec::new(), Vec::<Range<usize>>::new());
    for (index, _) in statement.levels().filter(|(index, level)| *level == 1 && *index > 0) {
        let starts = statement.is(index - 1, "(") || statement.is(index - 1, ",");
        let ends = statement.is(index + 3, ")") || statement.is(index + 3, ",");
        if starts && ends && statement.has(index, &["NOT", "NULL"]) && statement.is_name(index + 2) {
            let column = names::unquoted(slice(statement, index + 2..index + 3));
            statements.push(format!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;"));
            // The comma before it goes with it, or the one behind it where no part is left before it.
            let first = statement.is(index - 1, "(") || parts.last().is_some_and(|part| part.end == index);
            let end = index + 3 + usize::from(first && statement.is(index + 3, ","));
            parts.push(if first { index..end } else { index - 1..end });
        }
    }
    remove(tokens, &parts);
    statements
}

/// Whether PostgreSQL makes such names up: `table_column_not_null`, cut before its last words, with a number where
/// that name is taken.
pub(super) fn is_made_up(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"\"").unwrap_or(name);
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    name.get(..name.len() - digits).is_some_and(|name| name.ends_with(b"_not_null"))
}
