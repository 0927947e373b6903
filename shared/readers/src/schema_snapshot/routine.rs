//! The bodies of routines, which `pg_dump` quotes by dollars, or by quotes with `--disable-dollar-quoting`.

use super::{lexer::Kind, statement::Statement};

/// A routine's body, by its token's index, quoted as `pg_dump` quotes it by default; nothing where `statement` creates
/// no routine with a body that is text.
pub(super) fn body(statement: Statement<'_>, standard_strings: bool) -> Option<(usize, String)> {
    let kind = if statement.has(1, &["OR", "REPLACE"]) { 3 } else { 1 };
    if !(statement.is(0, "CREATE") && (statement.is(kind, "FUNCTION") || statement.is(kind, "PROCEDURE"))) {
        return None;
    }
    let is_text = |index| matches!(statement.kind(index), Some(Kind::Literal | Kind::Dollar));
    let first = statement.outer().find(|&index| statement.is(index, "AS") && is_text(index + 1))? + 1;
    // `AS 'file', 'symbol'`: of these the second is quoted by dollars where it needs quoting.
    let symbol = statement.is(first + 1, ",") && is_text(first + 2);
    let index = if symbol { first + 2 } else { first };
    let content = content(statement, index, standard_strings)?;
    let plain = symbol && !content.contains(['\'', '\\']);
    Some((index, if plain { format!("'{content}'") } else { quoted_by_dollars(&content) }))
}

/// What is between the quotes; nothing where an escape stands for another character than itself.
fn content(statement: Statement<'_>, index: usize, standard_strings: bool) -> Option<String> {
    let text = str::from_utf8(statement.text(index)).ok()?;
    if statement.kind(index) == Some(Kind::Dollar) {
        let tag = text.get(1..)?.find('$')? + 2;
        return Some(text.get(tag..text.len().checked_sub(tag)?)?.to_owned());
    }
    let (quoted, escapes) = match text.strip_prefix(['E', 'e']) {
        Some(quoted) => (quoted, true),
        None => (text, !standard_strings),
    };
    let mut chars = quoted.strip_prefix('\'')?.strip_suffix('\'')?.chars();
    let mut content = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match c {
            '\'' => content.push(chars.next().filter(|&next| next == '\'')?),
            '\\' if escapes => content.push(chars.next().filter(|&next| matches!(next, '\\' | '\''))?),
            c => content.push(c),
        }
    }
    Some(content)
}

/// `content` between the shortest delimiters that `pg_dump` finds: `$$`, `$_$`, `$_X$`, …
fn quoted_by_dollars(content: &str) -> String {
    let mut delimiter = "$".to_owned();
    let mut suffix = "_XXXXXXX".chars().cycle();
    while content.contains(&delimiter) {
        delimiter.extend(suffix.next());
    }
    format!("{delimiter}${content}{delimiter}$")
}
