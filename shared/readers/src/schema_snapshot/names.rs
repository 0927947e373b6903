//! Names, which PostgreSQL's versions quote in different ways: each quotes what is a keyword to itself, and more words
//! are with every version.

use std::borrow::Cow;

use super::{lexer::Kind, statement::Statement};

/// The words that are quoted from a major version on and not before, among 15 to 18 (PostgreSQL's `pg_get_keywords()`:
/// all others are quoted by each of them or by none).
const NEW_KEYWORDS: [(&str, u16); 13] = [
    ("json", 17),
    ("json_array", 16),
    ("json_arrayagg", 16),
    ("json_exists", 17),
    ("json_object", 16),
    ("json_objectagg", 16),
    ("json_query", 17),
    ("json_scalar", 17),
    ("json_serialize", 17),
    ("json_table", 17),
    ("json_value", 17),
    ("merge_action", 17),
    ("system_user", 16),
];

/// The types of constants that are names (PostgreSQL documentation, "8.19. Object Identifier Types").
const NAME_TYPES: [&str; 11] = [
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

/// The token at `index` as a normal form spells it, where that is not as it stands: names of [`NEW_KEYWORDS`] without
/// quotes, also in constants such as `'public."json"'::regclass`, and the keywords that they are in upper case.
///
/// `server` is the major version of the dumped server. To it a word is a name without quotes, or a keyword.
///
/// This is asked of every token, `text`, so what it begins with decides first.
pub(super) fn respelt<'a>(
    statement: Statement<'_>,
    index: usize,
    text: &'a str,
    server: Option<u16>,
) -> Option<Cow<'a, str>> {
    match *text.as_bytes() {
        [b'j' | b'J' | b'm' | b'M' | b's' | b'S', ..] if statement.kind(index) == Some(Kind::Word) => {
            let (word, since) = NEW_KEYWORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).copied()?;
            // The type `json` is written like its name, and the constructor `JSON(…)` in upper case.
            let is_type = word == "json" && !statement.is(index + 1, "(");
            let keyword = server.is_some_and(|server| server >= since) && !is_type;
            keyword.then(|| Cow::Owned(word.to_ascii_uppercase()))
        }
        [b'"', b'j' | b'm' | b's', ..] => new_keyword(text.as_bytes()).map(|(word, _)| Cow::Borrowed(word)),
        [b'\'', ..] if statement.has(index + 1, &[":", ":"]) => {
            let is_name = NAME_TYPES.iter().any(|name| statement.is(index + 3, name));
            is_name.then(|| unquoted(text))
        }
        _ => None,
    }
}

/// `text` with every name of [`NEW_KEYWORDS`] in it without quotes.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    let (mut spelt, mut done, mut from) = (String::new(), 0, 0);
    while let Some(open) = text.get(from..).and_then(|rest| rest.find('"')).map(|at| from + at) {
        let Some(end) = name_end(text, open) else { break };
        if let Some((word, _)) = text.get(open..end).and_then(|name| new_keyword(name.as_bytes())) {
            spelt.push_str(text.get(done..open).unwrap_or_default());
            spelt.push_str(word);
            done = end;
        }
        from = end;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    spelt.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(spelt)
}

/// Where the quoted name ends that opens at `open`; quotes inside of it are doubled.
fn name_end(text: &str, open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += text.get(at..)?.find('"')? + 1;
        if !text.get(at..)?.starts_with('"') {
            return Some(at);
        }
        at += 1;
    }
}

/// The word that the quoted name `name` is.
fn new_keyword(name: &[u8]) -> Option<(&'static str, u16)> {
    let inner = name.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    NEW_KEYWORDS.iter().find(|(word, _)| word.as_bytes() == inner).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_constants_lose_their_quotes_by_whole_names() {
        for (quoted, plain) in [
            (r#"'public."json"'"#, "'public.json'"),
            (r#"'"json"."json_table"'"#, "'json.json_table'"),
            (r#"'"Json"."json"'"#, r#"'"Json".json'"#),
            (r#"'"a""json"'"#, r#"'"a""json"'"#),
            (r#"'"json""b"'"#, r#"'"json""b"'"#),
            (r#"'"select".x'"#, r#"'"select".x'"#),
            ("'\"json", "'\"json"),
        ] {
            assert_eq!(unquoted(quoted), plain, "{quoted}");
        }
    }
}
