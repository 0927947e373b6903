//! A statement's tokens as text, laid out anew: the same tokens always give the same text, and the text the same
//! tokens.

use super::{lexer::Token, names, statement::Statement};

/// What is written around a statement's tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    /// Words in place of those that were taken out at the start.
    pub(super) before: &'static str,
    /// What the dump's settings say of the statement.
    pub(super) after: String,
    /// What it says in statements of their own, laid out as here.
    pub(super) apart: Vec<String>,
    /// A token, by where it starts, that is written in another way.
    pub(super) instead: Option<(usize, String)>,
}

/// How a dump is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Whether `'…'` holds backslashes as they are (`standard_conforming_strings`).
    pub(super) standard_strings: bool,
    /// The dumped server's major version, where the dump says it.
    pub(super) server: Option<u16>,
}

/// Where lines break, for the eye and for telling columns apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    /// Nowhere but behind the statements of a body.
    None,
    /// Between the parts of the first parenthesis: columns, attributes, labels.
    Parts,
    /// Before a query's clauses.
    Clauses,
}

/// The clauses of a query that start a line. All are reserved, so that as names they are quoted.
const CLAUSES: [&str; 13] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "WINDOW",
    "LIMIT",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "JOIN",
    "LEFT",
];

/// Writes `tokens` with what is `around` them and a `;`.
pub(super) fn write(text: &mut String, bytes: &[u8], tokens: &[Token], around: &Around, reading: Reading) {
    let statement = Statement { bytes, tokens };
    let breaks = breaks(statement);
    let (mut depth, mut group) = (0_usize, Group::Before);
    text.push_str(around.before);
    for (index, token) in tokens.iter().enumerate() {
        let previous = if index == 0 { 0 } else { statement.punctuation(index - 1) };
        let this = statement.punctuation(index);
        let parts = breaks == Breaks::Parts && group == Group::Inside && depth == 1;
        let start = index == 0 && around.before.is_empty();
        let clause = || breaks == Breaks::Clauses && depth == 0 && CLAUSES.iter().any(|word| statement.is(index, word));
        let between = match (previous, this) {
            _ if start => "",
            (b'(', b')') => "",
            (b'(', _) if parts => "\n    ",
            (_, b')') if parts => "\n",
            (_, b',' | b')' | b']' | b';') | (b'(' | b'[', _) => "",
            (b',', _) if parts => "\n    ",
            (b',', _) if breaks == Breaks::Clauses && depth == 0 => "\n    ",
            (b';', _) => "\n    ",
            _ if !token.gap && index > 0 => {
                if previous == b',' {
                    " "
                } else {
                    ""
                }
            }
            _ if clause() => "\n",
            _ => " ",
        };
        text.push_str(between);
        match &around.instead {
            Some((start, instead)) if token.range().start == *start => text.push_str(instead),
            _ => push(text, statement, index, reading),
        }
        match this {
            b'(' | b'[' => {
                depth += 1;
                if this == b'(' && group == Group::Before {
                    group = Group::Inside;
                }
            }
            b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && group == Group::Inside {
                    group = Group::Behind;
                }
            }
            _ => {}
        }
    }
    text.push_str(&around.after);
    text.push(';');
}

/// Where the first parenthesis is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Before,
    Inside,
    Behind,
}

fn breaks(statement: Statement<'_>) -> Breaks {
    let kind = if statement.is(1, "UNLOGGED") || statement.is(1, "FOREIGN") { 2 } else { 1 };
    if !statement.is(0, "CREATE") {
        Breaks::None
    } else if statement.is(kind, "TABLE") || statement.is(1, "TYPE") {
        Breaks::Parts
    } else if (1..=3).any(|index| statement.is(index, "VIEW")) {
        Breaks::Clauses
    } else {
        Breaks::None
    }
}

/// Writes one token: names as all versions spell them. Where backslashes escape in `'…'`, a literal that has one is written as it would be where they
/// do not; as `E'…'` where it has an escape that is none of a backslash.
fn push(text: &mut String, statement: Statement<'_>, index: usize, reading: Reading) {
    // Tokens end between characters of UTF-8, which the whole dump was checked to be.
    let token = str::from_utf8(statement.text(index)).unwrap_or_default();
    if let Some(respelt) = names::respelt(statement, index, token, reading.server) {
        return text.push_str(&respelt);
    }
    if reading.standard_strings || !(token.starts_with('\'') && token.contains('\\')) {
        text.push_str(token);
    } else if token.replace(r"\\", "").contains('\\') {
        text.push('E');
        text.push_str(token);
    } else {
        text.push_str(&token.replace(r"\\", r"\"));
    }
}
