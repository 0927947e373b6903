//! One statement of a dump: may it stand in a schema-only dump by `pg_dump` 15 to 18?
//!
//! What may is listed, and everything else is refused: rows and positions as a leak of data, passwords as a secret,
//! the rest because `pg_dump` writes no such statement. Nothing of a refused statement is told but keywords and names.

use gatekeeper_model::finding::Code;

use super::{lexer::Kind, object::one_line, statement::Statement};

/// What `pg_dump`'s preludes set: how a dump is read, and not what it says.
const SETTINGS: [&str; 16] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "client_encoding",
    "standard_conforming_strings",
    "escape_string_warning",
    "check_function_bodies",
    "xmloption",
    "client_min_messages",
    "row_security",
    "default_tablespace",
    "default_table_access_method",
    "default_toast_compression",
    "default_with_oids",
    "quote_all_identifiers",
];

/// The kinds of object that a schema-only dump creates, drops and alters; of two that start alike the longer first.
const KINDS: [&[&str]; 40] = [
    &["ACCESS", "METHOD"],
    &["AGGREGATE"],
    &["CAST"],
    &["COLLATION"],
    &["CONVERSION"],
    &["DEFAULT", "CONVERSION"],
    &["DEFAULT", "PRIVILEGES"],
    &["DOMAIN"],
    &["EVENT", "TRIGGER"],
    &["EXTENSION"],
    &["FOREIGN", "DATA", "WRAPPER"],
    &["FOREIGN", "TABLE"],
    &["FUNCTION"],
    &["INDEX"],
    &["LANGUAGE"],
    &["PROCEDURAL", "LANGUAGE"],
    &["MATERIALIZED", "VIEW"],
    &["OPERATOR", "CLASS"],
    &["OPERATOR", "FAMILY"],
    &["OPERATOR"],
    &["POLICY"],
    &["PROCEDURE"],
    &["PUBLICATION"],
    &["ROUTINE"],
    &["RULE"],
    &["SCHEMA"],
    &["SEQUENCE"],
    &["SERVER"],
    &["STATISTICS"],
    &["SUBSCRIPTION"],
    &["TABLE"],
    &["TEXT", "SEARCH", "CONFIGURATION"],
    &["TEXT", "SEARCH", "DICTIONARY"],
    &["TEXT", "SEARCH", "PARSER"],
    &["TEXT", "SEARCH", "TEMPLATE"],
    &["TRANSFORM"],
    &["TRIGGER"],
    &["TYPE"],
    &["USER", "MAPPING"],
    &["VIEW"],
];

/// What may stand between `CREATE` and the kind.
const CREATE_WORDS: [&str; 6] = ["OR", "REPLACE", "UNLOGGED", "UNIQUE", "CONSTRAINT", "TRUSTED"];

/// The words that statements of SQL begin with (PostgreSQL documentation, "SQL Commands"): they may be told.
const KNOWN: [&str; 50] = [
    "ABORT",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "VACUUM",
];

/// The same of queries that need no verb.
const QUERIES: [&str; 2] = ["VALUES", "WITH"];

/// Words of an option's name that say that its value is a secret.
const SECRET_WORDS: [&[u8]; 8] =
    [b"password", b"passwd", b"passphrase", b"secret", b"token", b"credential", b"private_key", b"api_key"];

/// What is said of a statement that has no place in a snapshot.
pub(super) const UNEXPECTED: &str = "is nothing that pg_dump writes in a schema-only dump of one database";

/// Why `statement` is refused; nothing where it may stand in a schema-only dump.
pub(super) fn judge(statement: Statement<'_>) -> Option<(Code, String)> {
    if let Some(what) = data(statement) {
        let message = format!("{} {what}: dump with `--schema-only`", opening(statement));
        return Some((Code::SchemaSnapshotHoldsData, message));
    }
    if let Some(remedy) = secret(statement) {
        let message = format!("{} holds a password or another secret: {remedy}", opening(statement));
        return Some((Code::SchemaSnapshotHoldsSecret, message));
    }
    if expected(statement) {
        return None;
    }
    if statement.is(1, "DATABASE") {
        let message =
            format!("{} is of the database and not of its schema: dump without `--create`", opening(statement));
        return Some((Code::SchemaSnapshotInvalid, message));
    }
    Some((Code::SchemaSnapshotInvalid, format!("{} {UNEXPECTED}", opening(statement))))
}

/// Where a statement's first word is: a query may stand in parentheses.
fn first_word(statement: Statement<'_>) -> usize {
    (0..statement.tokens.len()).find(|&index| !statement.is(index, "(")).unwrap_or(0)
}

/// What `statement` has to do with a database's contents.
fn data(statement: Statement<'_>) -> Option<&'static str> {
    let is = |index, words: &[&str]| words.iter().any(|word| statement.is(index, word));
    if is(first_word(statement), &["COPY", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "VALUES"]) {
        return Some("holds rows");
    }
    if statement.starts(&["REFRESH"]) {
        return Some("fills a materialized view, which only dumps with data do");
    }
    if is(first_word(statement), &["WITH"])
        && (0..statement.tokens.len()).any(|i| is(i, &["INSERT", "UPDATE", "DELETE", "MERGE"]))
    {
        return Some("holds rows");
    }
    if statement.starts(&["SELECT"]) {
        return (0..statement.tokens.len()).find_map(|index| {
            let name = statement.text(index);
            let known = |names: &[&str]| statement.is(index + 1, "(") && names.iter().any(|n| name == n.as_bytes());
            if known(&["setval"]) {
                Some("holds a sequence's position")
            } else if name.starts_with(b"pg_restore_") || name.starts_with(b"pg_clear_") {
                Some("holds statistics, which repeat values of rows")
            } else if name.starts_with(b"lo_") || known(&["lowrite", "loread"]) {
                Some("holds a large object")
            } else {
                None
            }
        });
    }
    let large = (1..4).any(|index| statement.has(index, &["LARGE", "OBJECT"]))
        || is(0, &["GRANT", "REVOKE"])
            && statement.outer().any(|index| statement.has(index, &["ON", "LARGE", "OBJECT"]));
    large.then_some("holds a large object")
}

/// Whether `statement` holds a password, and what to do about it.
fn secret(statement: Statement<'_>) -> Option<&'static str> {
    if !(statement.is(0, "CREATE") || statement.is(0, "ALTER")) {
        return None;
    }
    let role = ["ROLE", "USER", "GROUP"].iter().any(|kind| statement.is(1, kind)) && !statement.is(2, "MAPPING");
    if role {
        let password =
            statement.outer().any(|index| statement.is(index, "PASSWORD") && !statement.is(index + 1, "NULL"));
        return password.then_some("roles are not a database's schema");
    }
    if statement.is(1, "SUBSCRIPTION") {
        let holds = |index| statement.is(index, "CONNECTION") && connection_holds_password(statement.text(index + 1));
        return statement.outer().any(holds).then_some("dump with `--no-subscriptions`, or use a password file");
    }
    let foreign = [&["USER", "MAPPING"][..], &["SERVER"], &["FOREIGN", "DATA", "WRAPPER"], &["FOREIGN", "TABLE"]];
    if foreign.iter().any(|kind| statement.has(1, kind)) {
        // Options of a foreign table's columns stand in its parenthesis.
        let mut options = statement.levels().filter(|(index, level)| *level < 2 && statement.is(*index, "OPTIONS"));
        let found = options.any(|(index, _)| options_hold_secret(statement, index + 1));
        return found.then_some("dump as a role that may not read the options of foreign servers and user mappings");
    }
    None
}

/// Whether one of the options in the parenthesis at `open` is named like a secret and has a value.
fn options_hold_secret(statement: Statement<'_>, open: usize) -> bool {
    (open..statement.close(open)).any(|index| {
        let name = statement.text(index).to_ascii_lowercase();
        matches!(statement.kind(index), Some(Kind::Word | Kind::Quoted))
            && statement.kind(index + 1) == Some(Kind::Literal)
            && statement.text(index + 1) != b"''"
            && name != b"password_required"
            && name != b"\"password_required\""
            && SECRET_WORDS.iter().any(|word| name.windows(word.len()).any(|part| part == *word))
    })
}

/// Whether a connection string, `key=value …` or a URI, has a password in it (libpq, "34.1.1. Connection Strings").
fn connection_holds_password(literal: &[u8]) -> bool {
    let text = String::from_utf8_lossy(literal).to_ascii_lowercase();
    let keys = text.split("password").skip(1).any(|after| {
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        value.is_some_and(|value| !value.starts_with("''''") && !value.trim_end_matches('\'').is_empty())
    });
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()?.rsplit_once('@'));
    keys || authority.is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, password)| !password.is_empty()))
}

/// Whether `pg_dump` writes such a statement in a schema-only dump.
fn expected(statement: Statement<'_>) -> bool {
    match statement.text(0).to_ascii_uppercase().as_slice() {
        b"SET" => {
            statement.has(1, &["SESSION", "AUTHORIZATION"]) && statement.tokens.len() == 4
                || statement.is(1, "ROLE") && statement.tokens.len() == 3
                || SETTINGS.iter().any(|name| statement.has(1, &[name, "="])) && statement.tokens.len() == 4
        }
        b"RESET" => statement.has(1, &["SESSION", "AUTHORIZATION"]) && statement.tokens.len() == 3,
        b"SELECT" => empty_search_path(statement),
        b"CREATE" => {
            let after = created_kind(statement);
            // `CREATE TABLE … AS` would hold rows; `AS` is reserved, so that as a name it is quoted.
            let filled = statement.is(after, "TABLE") && statement.outer().any(|index| statement.is(index, "AS"));
            // Others than these are never replaced.
            let replaced = statement.has(1, &["OR", "REPLACE"])
                && !["VIEW", "LANGUAGE", "PROCEDURAL"].iter().any(|kind| statement.is(3, kind));
            kind_words(statement, after) > 0 && !statement.has(1, &["DEFAULT", "PRIVILEGES"]) && !filled && !replaced
        }
        // What it does to the object is judged with what was said of it before (`order`).
        b"ALTER" | b"DROP" => kind_words(statement, 1) > 0,
        b"COMMENT" => {
            statement.is(1, "ON") && !["DATABASE", "ROLE", "TABLESPACE"].iter().any(|kind| statement.is(2, kind))
        }
        b"SECURITY" => {
            statement.is(1, "LABEL") && !statement.outer().any(|index| statement.has(index, &["ON", "ROLE"]))
        }
        b"GRANT" | b"REVOKE" => statement.outer().any(|index| statement.is(index, "ON")),
        _ => false,
    }
}

/// Where the kind of object stands that `CREATE` creates.
pub(super) fn created_kind(statement: Statement<'_>) -> usize {
    (1..=CREATE_WORDS.len()).find(|&index| !CREATE_WORDS.iter().any(|word| statement.is(index, word))).unwrap_or(1)
}

/// How many words from `index` on are a kind of object.
pub(super) fn kind_words(statement: Statement<'_>, index: usize) -> usize {
    // First letters first: this is asked of every statement.
    let Some(first) = statement.text(index).first().map(u8::to_ascii_uppercase) else { return 0 };
    let starts = |kind: &&&[&str]| kind.first().is_some_and(|word| word.as_bytes().first() == Some(&first));
    KINDS.iter().filter(starts).find(|kind| statement.has(index, kind)).map_or(0, |kind| kind.len())
}

/// `SELECT pg_catalog.set_config('search_path', '', false)`: with any other path, names would mean other objects.
pub(super) fn empty_search_path(statement: Statement<'_>) -> bool {
    let texts = (0..statement.tokens.len()).map(|index| statement.text(index));
    texts.eq([
        &b"SELECT"[..],
        b"pg_catalog",
        b".",
        b"set_config",
        b"(",
        b"'search_path'",
        b",",
        b"''",
        b",",
        b"false",
        b")",
    ])
}

/// How `statement` starts, for a person: keywords and names up to the first value, cut to 80 characters.
pub(super) fn opening(statement: Statement<'_>) -> String {
    let start = first_word(statement);
    let known = KNOWN.iter().chain(&QUERIES).any(|word| statement.is(start, word));
    if !known {
        return "a statement".to_owned();
    }
    let mut text = String::new();
    for index in start..statement.tokens.len().min(start + 12) {
        let told = matches!(statement.kind(index), Some(Kind::Word | Kind::Quoted));
        let told = told || statement.is(index, ".") || statement.is(index, "*");
        let value = ["VALUES", "PASSWORD", "CONNECTION"].iter().any(|word| statement.is(index, word));
        if !told || value && index > start {
            break;
        }
        let gap = statement.tokens.get(index).is_some_and(|token| token.gap) && index > start;
        text.push_str(if gap { " " } else { "" });
        text.push_str(&String::from_utf8_lossy(statement.text(index)));
    }
    format!("`{}`", one_line(&text, 80))
}
