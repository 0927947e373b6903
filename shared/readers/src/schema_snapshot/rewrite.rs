//! What `pg_dump`'s versions and options spell in different ways is spelt in one; what is no part of the schema is left
//! out.
//!
//! The differences are those that real dumps of one database by `pg_dump` 15, 16, 17 and 18 show.

use super::{
    Include, alter, judge,
    layout::{Around, Reading},
    lexer::Token,
    names, not_null, routine,
    statement::Statement,
    view,
};

/// The settings of a dump that say something about the statements behind them.
pub(super) struct Rewriter {
    include: Include,
    server: Option<u16>,
    tablespace: Option<String>,
    access_method: Option<String>,
    role: Option<String>,
}

/// The options of a subscription that a newer `pg_dump` spells out and an older one leaves to their default:
/// `streaming` from 18 on, whose default is `parallel`; `run_as_owner` from 16 on, of servers that know nothing else.
const STREAMING_OFF: [&str; 3] = ["streaming", "=", "off"];
const RUN_AS_OWNER: [&str; 3] = ["run_as_owner", "=", "true"];

impl Rewriter {
    /// `server` is the major version of the dumped server, where the dump says it.
    pub(super) fn new(include: Include, server: Option<u16>) -> Self {
        Self { include, server, tablespace: None, access_method: None, role: None }
    }

    /// Takes out of `tokens` what the normal form leaves out, and says what it has around them; nothing where it
    /// leaves the whole statement out.
    pub(super) fn rewrite(&mut self, bytes: &[u8], tokens: &mut Vec<Token>, standard_strings: bool) -> Option<Around> {
        let statement = Statement { bytes, tokens };
        if self.is_setting(statement) || alter::is_removal(statement) || is_public_default(statement) {
            return None;
        }
        let privileges = statement.is(0, "GRANT")
            || statement.is(0, "REVOKE")
            || statement.starts(&["ALTER", "DEFAULT", "PRIVILEGES"]);
        let owner = alter::is_owner(statement);
        if privileges && !self.include.privileges || owner && !self.include.owners {
            return None;
        }
        let mut around = Around::default();
        if let Some(role) = &self.role
            && (privileges || self.include.owners && statement.is(0, "CREATE"))
        {
            around.after = format!(" {} {role}", if privileges { "GRANTED BY" } else { "AUTHORIZATION" });
        }
        self.place(statement, &mut around);
        let body = routine::body(statement, standard_strings);
        around.instead = body.and_then(|(index, text)| Some((tokens.get(index)?.range().start, text)));
        if statement.is(0, "CREATE") {
            view::respell(bytes, tokens);
        }
        sort_options(bytes, tokens);
        let statement = Statement { bytes, tokens };
        if statement.is(0, "ALTER") {
            let only = if statement.is(1, "FOREIGN") { 3 } else { 2 };
            let relation = if owner { relation_words(statement) } else { 0 };
            if statement.is(only - 1, "TABLE") && statement.is(only, "ONLY") {
                tokens.remove(only);
            } else if relation > 0 {
                tokens.drain(..relation);
                around.before = "ALTER TABLE";
            }
        } else if statement.starts(&["CREATE", "SUBSCRIPTION"]) {
            drop_option(bytes, tokens, &STREAMING_OFF);
            if self.server.is_some_and(|server| server < 16) {
                drop_option(bytes, tokens, &RUN_AS_OWNER);
            }
        } else if (1..4).any(|index| statement.is(index, "VIEW")) && self.may_qualify(statement) {
            view::unqualify(bytes, tokens);
        } else if statement.is(0, "CREATE") && statement.is(1, "DOMAIN") {
            not_null::drop_names(bytes, tokens, not_null::is_made_up);
        } else if statement.is(0, "CREATE") && (1..3).any(|index| statement.is(index, "TABLE")) {
            not_null::drop_names(bytes, tokens, not_null::is_made_up);
            around.apart = not_null::set_apart(bytes, tokens);
        }
        Some(around)
    }

    /// Whether a server such as the dumped one may have qualified columns of the view's only source.
    fn may_qualify(&self, statement: Statement<'_>) -> bool {
        let sorts = || ["ORDER BY", "DISTINCT ON", "PARTITION BY"].iter().any(|words| statement.contains(words));
        self.server.is_none_or(|server| server < 16) || sorts()
    }

    /// How what is rewritten is laid out.
    pub(super) fn reading(&self, standard_strings: bool) -> Reading {
        Reading { standard_strings, server: self.server }
    }

    /// Whether `statement` only says how the dump is to be read; what it says of later statements is kept.
    fn is_setting(&mut self, statement: Statement<'_>) -> bool {
        let value = |index: usize, default: &str| {
            let value = String::from_utf8_lossy(statement.text(index));
            let value = names::unquoted(&value).into_owned();
            (!value.eq_ignore_ascii_case(default) && value != "''").then_some(value)
        };
        if statement.starts(&["SET", "default_tablespace"]) {
            self.tablespace = value(3, "");
        } else if statement.starts(&["SET", "default_table_access_method"]) {
            self.access_method = value(3, "heap");
        } else if statement.starts(&["SET", "SESSION", "AUTHORIZATION"]) {
            self.role = value(3, "DEFAULT");
        } else if statement.is(0, "RESET") {
            self.role = None;
        }
        statement.is(0, "SET") || statement.is(0, "RESET") || judge::empty_search_path(statement)
    }

    /// Says the tablespace and the access method that the dump's settings give to `statement`.
    fn place(&self, statement: Statement<'_>, around: &mut Around) {
        if self.tablespace.is_none() && self.access_method.is_none() {
            return;
        }
        let outer = |words: &[&str]| statement.outer().any(|index| statement.has(index, words));
        let create = |kind: &str| statement.is(0, "CREATE") && (1..3).any(|index| statement.is(index, kind));
        let table = create("TABLE") && !statement.is(1, "FOREIGN");
        let rows = table || statement.starts(&["CREATE", "MATERIALIZED", "VIEW"]);
        let constraint = statement.starts(&["ALTER", "TABLE"])
            && outer(&["ADD", "CONSTRAINT"])
            && (outer(&["PRIMARY", "KEY"]) || outer(&["UNIQUE"]) || outer(&["EXCLUDE"]));
        if let Some(method) = self.access_method.as_ref().filter(|_| rows && !outer(&["PARTITION", "BY"])) {
            around.after = format!(" USING {method}{}", around.after);
        }
        if let Some(tablespace) = self.tablespace.as_ref().filter(|_| rows || create("INDEX") || constraint) {
            around.after = format!(" TABLESPACE {tablespace}{}", around.after);
        }
    }
}

/// How many words say what is altered where `ALTER TABLE` would do too, as `pg_dump` 15 says it for owners.
fn relation_words(statement: Statement<'_>) -> usize {
    match () {
        () if statement.is(1, "SEQUENCE") || statement.is(1, "VIEW") => 2,
        () if statement.has(1, &["MATERIALIZED", "VIEW"]) || statement.has(1, &["FOREIGN", "TABLE"]) => 3,
        () => 0,
    }
}

/// Whether `statement` says of the schema `public` what every new database says. `pg_dump` writes it only with
/// `--clean` or `--schema`.
fn is_public_default(statement: Statement<'_>) -> bool {
    let exact = |words: &[&str]| statement.tokens.len() == words.len() && statement.starts(words);
    exact(&["CREATE", "SCHEMA", "public"])
        || exact(&["ALTER", "SCHEMA", "public", "OWNER", "TO", "pg_database_owner"])
        || statement.starts(&["COMMENT", "ON", "SCHEMA", "public", "IS"])
            && statement.text(5) == b"'standard public schema'"
}

/// Sorts the options in `WITH (…)` and `SET (…)`: PostgreSQL keeps them in the order in which they were set, and their
/// order means nothing.
fn sort_options(bytes: &[u8], tokens: &mut [Token]) {
    let statement = Statement { bytes, tokens };
    let has_options = statement.is(0, "ALTER") && (statement.is(1, "TABLE") || statement.has(1, &["FOREIGN", "TABLE"]))
        || statement.is(0, "CREATE")
            && (1..4).any(|index| ["TABLE", "INDEX", "VIEW"].iter().any(|kind| statement.is(index, kind)));
    if !(has_options && (statement.contains("WITH") || statement.contains("SET"))) {
        return;
    }
    let opens =
        |index: usize| (statement.is(index, "WITH") || statement.is(index, "SET")) && statement.is(index + 1, "(");
    // A view's query starts at `AS`, and behind it nothing is an option.
    let outer = statement.outer().take_while(|&index| !statement.is(index, "AS"));
    let lists: Vec<_> =
        outer.filter(|&index| opens(index)).map(|index| index + 2..statement.close(index + 1) - 1).collect();
    for list in lists {
        let Some(parts) = tokens.get_mut(list) else { continue };
        let text = |part: &[Token]| -> Vec<u8> {
            part.iter().flat_map(|token| bytes.get(token.range()).unwrap_or_default().iter().copied()).collect()
        };
        let is_comma = |token: &Token| bytes.get(token.range()) == Some(b",");
        let mut options: Vec<Vec<Token>> = parts.split(is_comma).map(<[Token]>::to_vec).collect();
        let commas: Vec<Token> = parts.iter().copied().filter(is_comma).collect();
        options.sort_by_cached_key(|option| text(option));
        let mut commas = commas.into_iter();
        let sorted = options.into_iter().flat_map(|option| option.into_iter().chain(commas.next()));
        let sorted: Vec<Token> = sorted.collect();
        if sorted.len() == parts.len() {
            parts.copy_from_slice(&sorted);
        }
    }
}

/// Drops an option, with the comma before it, from a list of them.
fn drop_option(bytes: &[u8], tokens: &mut Vec<Token>, option: &[&str]) {
    let statement = Statement { bytes, tokens };
    let found = (0..tokens.len()).find(|&index| statement.is(index, ",") && statement.has(index + 1, option));
    if let Some(comma) = found {
        tokens.drain(comma..=comma + option.len());
    }
}
