//! Which object a statement of a normal form is about, named as `pg_dump` names it.

use std::ops::Range;

use super::{
    alter::{self, Altered},
    judge,
    lexer::{Kind, Token},
    partitions,
    statement::{Item, Reader, Statement},
};

/// The longest name that is told, in characters. PostgreSQL's own names end at 63 bytes each.
const MAX_NAME: usize = 200;

/// Shows the one statement of `text` to `look`.
pub(super) fn with_statement<T>(text: &str, look: impl FnOnce(Statement<'_>) -> T) -> Option<T> {
    let mut reader = Reader::new(text.as_bytes());
    (reader.read() == Some(Item::Statement)).then(|| look(reader.statement()))
}

/// Gives the tokens of the one statement of `text` to `change`.
pub(super) fn with_tokens<T>(text: &str, change: impl FnOnce(&[u8], &mut Vec<Token>) -> T) -> Option<T> {
    let mut reader = Reader::new(text.as_bytes());
    (reader.read() == Some(Item::Statement)).then(|| change(text.as_bytes(), reader.tokens_mut()))
}

/// The parts of the dotted name at `index`, without their quotes.
pub(super) fn name_parts(statement: Statement<'_>, index: usize) -> Vec<String> {
    let part = |index: usize| {
        let text = String::from_utf8_lossy(statement.text(index));
        match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(inner) if statement.kind(index) == Some(Kind::Quoted) => inner.replace("\"\"", "\""),
            _ => text.into_owned(),
        }
    };
    (index..statement.name_end(index)).step_by(2).map(part).collect()
}

/// The object that the statement `text` creates or says something of, such as `TABLE public.ledger`,
/// `CONSTRAINT ledger_pkey ON public.ledger` or `COMMENT ON COLUMN public.ledger.note`.
pub(super) fn object(text: &str) -> String {
    if let Some(partition) = partitions::object(text) {
        return one_line(partition, MAX_NAME);
    }
    with_statement(text, name).unwrap_or_else(|| one_line(text, MAX_NAME))
}

/// `text` on one line: control characters are escaped, and what is longer than `limit` characters is cut.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == limit => {
                line.push('…');
                break;
            }
            _ if c.is_control() => line.extend(c.escape_default()),
            _ => line.push(c),
        }
    }
    line
}

/// The text of the tokens in `range`.
pub(super) fn slice(statement: Statement<'_>, range: Range<usize>) -> &str {
    let token = |index: usize| statement.tokens.get(index).map(|token| token.range());
    let bytes = match (token(range.start), token(range.end.min(statement.tokens.len()).wrapping_sub(1))) {
        (Some(first), Some(last)) => statement.bytes.get(first.start..last.end).unwrap_or_default(),
        _ => &[],
    };
    str::from_utf8(bytes).unwrap_or_default()
}

fn name(statement: Statement<'_>) -> String {
    let text = |range| one_line(slice(statement, range), MAX_NAME);
    let end = statement.tokens.len();
    let outer = |word: &str| statement.outer().find(|&index| statement.is(index, word)).unwrap_or(end);
    match statement.text(0) {
        b"CREATE" => created(statement),
        b"ALTER" if statement.is(1, "DEFAULT") => {
            let action = outer("GRANT").min(outer("REVOKE"));
            let on = outer("ON");
            format!("{} {}", text(1..action), text(on..on + 2))
        }
        b"ALTER" => altered(statement),
        b"COMMENT" => text(0..end.saturating_sub(2)),
        b"SECURITY" => text(0..outer("IS")),
        b"GRANT" | b"REVOKE" => {
            let on = outer("ON");
            let to = statement.outer().find(|&at| at > on && (statement.is(at, "TO") || statement.is(at, "FROM")));
            format!("PRIVILEGES {}", text(on..to.unwrap_or(end)))
        }
        _ => text(0..end.min(6)),
    }
}

fn created(statement: Statement<'_>) -> String {
    let text = |range| one_line(slice(statement, range), MAX_NAME);
    let kind = judge::created_kind(statement);
    let words = judge::kind_words(statement, kind);
    let mut start = kind + words;
    if statement.has(start, &["IF", "NOT", "EXISTS"]) {
        start += 3;
    }
    let is = |kinds: &[&str]| words == 1 && kinds.iter().any(|name| statement.is(kind, name));
    let label = text(kind..kind + words);
    let of = |word: &str| {
        let at = statement.outer().find(|&index| index > start && statement.is(index, word)).unwrap_or(start) + 1;
        let at = at + usize::from(statement.is(at, "ONLY"));
        format!("{label} {} ON {}", text(start..statement.name_end(start)), text(at..statement.name_end(at)))
    };
    let name_end = statement.name_end(start);
    if is(&["FUNCTION", "PROCEDURE", "AGGREGATE", "OPERATOR"]) {
        // Routines and operators of one name are told apart by their arguments.
        let end = if statement.is(kind, "OPERATOR") { statement.tokens.len() } else { statement.close(name_end) };
        format!("{label} {}", text(start..end))
    } else if is(&["INDEX", "TRIGGER", "POLICY"]) {
        of("ON")
    } else if is(&["RULE"]) {
        of("TO")
    } else if is(&["CAST"]) {
        format!("{label} {}", text(start..statement.close(start)))
    } else if is(&["TRANSFORM"]) || statement.is(kind, "USER") {
        let end = statement.outer().find(|&index| statement.is(index, "(") || statement.is(index, "OPTIONS"));
        format!("{label} {}", text(start..end.unwrap_or(statement.tokens.len())))
    } else {
        format!("{label} {}", text(start..name_end))
    }
}

fn altered(statement: Statement<'_>) -> String {
    let text = |range| one_line(slice(statement, range), MAX_NAME);
    let Altered { kind, name, action } = alter::altered(statement);
    let (label, name, end) = (text(kind), text(name), statement.tokens.len());
    // The words that say what is altered, without values: `ENABLE ROW LEVEL SECURITY`, `SET DEFAULT`.
    let verb = |from: usize| {
        let end = (from..from + 4).find(|&index| statement.text(index).first().is_none_or(|b| !b.is_ascii_uppercase()));
        text(from..end.unwrap_or(from + 4))
    };
    let fires = ["TRIGGER", "RULE"].iter().any(|word| statement.is(end.wrapping_sub(2), word));
    let whole =
        [&["CLUSTER", "ON"][..], &["REPLICA", "IDENTITY"], &["ADD", "TABLES"], &["OWNED", "BY"], &["DEPENDS"], &["ON"]];
    if alter::is_owner(statement) {
        format!("OWNER OF {label} {name}")
    } else if fires && (statement.is(action, "ENABLE") || statement.is(action, "DISABLE")) {
        // How a trigger or rule fires.
        format!("{} ON {name}: {}", text(end - 2..end), text(action..end - 2))
    } else if statement.has(action, &["ADD", "CONSTRAINT"]) {
        format!("CONSTRAINT {} ON {name}", text(action + 2..action + 3))
    } else if statement.has(action, &["ALTER", "COLUMN"]) {
        format!("COLUMN {name}.{}: {}", text(action + 2..action + 3), verb(action + 3))
    } else if statement.has(action, &["ATTACH", "PARTITION"]) {
        format!("{label} {name}: PARTITION {}", text(action + 2..statement.name_end(action + 2)))
    } else if statement.has(action, &["ADD", "TABLE"]) {
        let table = action + 2 + usize::from(statement.is(action + 2, "ONLY"));
        format!("{label} {name}: {}", text(action..statement.name_end(table)))
    } else if statement.has(action, &["ADD", "MAPPING"]) {
        format!("{label} {name}: {}", text(action..action + 4))
    } else if whole.iter().any(|words| statement.has(action, words)) {
        format!("{label} {name}: {}", text(action..end))
    } else {
        format!("{label} {name}: {}", verb(action))
    }
}

/// The columns and constraints of a table: each one's object and text, in order, and the text around them.
pub(super) struct Table {
    pub(super) parts: Vec<(String, String)>,
    pub(super) around: String,
}

/// What the statement `text` says of a table, where it creates one.
pub(super) fn table(text: &str) -> Option<Table> {
    with_statement(text, |statement| {
        let kind = judge::created_kind(statement);
        let words = judge::kind_words(statement, kind);
        let name_end = statement.name_end(kind + words);
        if !(statement.is(0, "CREATE") && statement.is(kind + words - 1, "TABLE") && statement.is(name_end, "(")) {
            return None;
        }
        let name = slice(statement, kind + words..name_end);
        let (mut parts, mut depth, mut start, close) = (Vec::new(), 0_usize, name_end + 1, statement.close(name_end));
        for index in name_end..close {
            let end = statement.is(index, ")") || statement.is(index, "]");
            depth = if end { depth - 1 } else { depth };
            if (depth == 1 && statement.is(index, ",") || depth == 0) && index > start {
                let part = slice(statement, start..index).to_owned();
                let object = if statement.is(start, "CONSTRAINT") {
                    format!("CONSTRAINT {} ON {name}", slice(statement, start + 1..start + 2))
                } else {
                    format!("COLUMN {name}.{}", slice(statement, start..start + 1))
                };
                parts.push((one_line(&object, MAX_NAME), part));
                start = index + 1;
            }
            depth += usize::from(statement.is(index, "(") || statement.is(index, "["));
        }
        let around =
            format!("{} (…) {}", slice(statement, 0..name_end), slice(statement, close..statement.tokens.len()));
        let around = around.trim_end().to_owned();
        Some(Table { parts, around })
    })?
}
