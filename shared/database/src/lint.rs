//! What Squawk's rules say of a migration: which statements take heavy locks or rewrite a table, what they drop, and what
//! the code before them can't live with (<https://squawkhq.com/docs/rules>, by the crate `squawk-linter`).

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use gatekeeper_readers::flyway::settings::Settings;
use squawk_linter::{Linter, Rule, Violation};
use squawk_syntax::SourceFile;

/// The largest migration that is looked at, in bytes: more is data.
pub const MAX_BYTES: usize = 1024 * 1024;

/// For a parser that goes as deep as what it reads. It is taken only as far as it is used.
const STACK_BYTES: usize = 512 * 1024 * 1024;

/// Squawk's rules of its usual set that tell nothing here.
const LEFT_OUT: [Rule; 11] = [
    // They are of style, and not of what a migration does to a live stage.
    Rule::PreferBigintOverInt,
    Rule::PreferBigintOverSmallint,
    Rule::PreferIdentity,
    Rule::PreferRepack,
    Rule::PreferRobustStmts,
    Rule::PreferTextField,
    Rule::PreferTimestampTz,
    Rule::BanCharField,
    // The gatekeeper sets both timeouts for every migration.
    Rule::RequireLockTimeout,
    Rule::RequireStatementTimeout,
    // Flyway itself leaves the transaction for such statements, or refuses them beside others.
    Rule::BanConcurrentIndexCreationInTransaction,
];

/// A rule that a migration breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The rule's name, such as `ban-drop-column`.
    pub rule: String,
    /// The line of the statement, from 1.
    pub line: usize,
    /// What is wrong with it, and what to do instead where Squawk says so, in one line.
    pub message: String,
    /// Whether it is one of the rules that are refused.
    pub refused: bool,
}

/// Why nobody can say which rules a migration breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Squawk's parser does not take it.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What Squawk's parser says.
        message: String,
    },
    /// It is too large.
    #[error("it has {0} bytes, and what has more than {MAX_BYTES} is not looked at")]
    TooLarge(usize),
    /// The linter failed.
    #[error("Squawk failed on it")]
    Failed,
}

/// Those of `rules` that Squawk has not.
pub fn unknown(rules: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    rules.iter().map(String::as_str).filter(|rule| rule.parse::<Rule>().is_err())
}

/// What a migration breaks of Squawk's usual rules, and of `refused` ones whatever they are. A comment `-- squawk-ignore`
/// in it silences the usual ones, but none that is refused: its author would be who refuses.
///
/// # Errors
/// [`Unread`] where nobody can say.
pub fn lint(sql: &str, in_transaction: bool, refused: &BTreeSet<String>) -> Result<Vec<Broken>, Unread> {
    if sql.len() > MAX_BYTES {
        return Err(Unread::TooLarge(sql.len()));
    }
    let look = || look(sql, in_transaction, refused);
    thread::scope(|scope| {
        let looking = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, look);
        looking.ok().and_then(|looking| looking.join().ok()).unwrap_or(Err(Unread::Failed))
    })
}

fn look(sql: &str, in_transaction: bool, refused: &BTreeSet<String>) -> Result<Vec<Broken>, Unread> {
    let ends: Vec<_> = sql.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let line_of = |at: usize| 1 + ends.partition_point(|end| *end < at);
    let parsed = SourceFile::parse(sql);
    if let Some(error) = parsed.errors().first() {
        let line = line_of(error.range().start().into());
        return Err(Unread::Syntax { line, message: one_line(error.message()) });
    }
    let mut usual = Linter::with_rules(&[], &LEFT_OUT);
    usual.settings.assume_in_transaction = in_transaction;
    let refused: Vec<Rule> = refused.iter().filter_map(|rule| rule.parse().ok()).collect();
    let mut strict = Linter::from(refused);
    strict.settings.assume_in_transaction = in_transaction;
    // A word of the same length, so that every line stays where it is.
    let deaf = sql.replace("squawk-", "squawk_");

    let found = usual.lint(&parsed, sql).into_iter().map(|it| (it, false));
    let found = found.chain(strict.lint(&SourceFile::parse(&deaf), &deaf).into_iter().map(|it| (it, true)));
    // The same violation may be found by both.
    let mut broken = BTreeMap::new();
    for (violation, is_refused) in found {
        let Violation { code, message, text_range, help, .. } = violation;
        let line = line_of(text_range.start().into());
        let message = one_line(&format!("{message} {}", help.unwrap_or_default()));
        *broken.entry((line, code.to_string(), message)).or_insert(false) |= is_refused;
    }
    let broken = broken.into_iter();
    Ok(broken.map(|((line, rule, message), refused)| Broken { rule, line, message, refused }).collect())
}

/// A migration as it would be without placeholders that Flyway replaces: by words of the same length, because what stands
/// for them is no matter of the rules (Flyway documentation, "Placeholders").
#[must_use]
pub fn without_placeholders(sql: &str, settings: &Settings) -> String {
    if !settings.placeholder_replacement {
        return sql.to_owned();
    }
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, further)) = after.split_once('}').filter(|(name, _)| !name.contains(char::is_whitespace))
        else {
            text.extend([before, "${"]);
            rest = after;
            continue;
        };
        text.extend([before, "p_"]);
        text.extend(name.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' }));
        text.push('_');
        rest = further;
    }
    text + rest
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str, refused: &[&str]) -> String {
        let refused = refused.iter().map(|rule| (*rule).to_owned()).collect();
        match lint(sql, true, &refused) {
            Ok(broken) => broken.iter().fold(String::new(), |told, it| {
                format!("{told}{}{}: {}: {}\n", if it.refused { "! " } else { "" }, it.line, it.rule, it.message)
            }),
            Err(unread) => format!("{unread}\n"),
        }
    }

    #[test]
    fn what_drops_rewrites_locks_or_breaks_the_code_before_is_told_by_its_line() {
        insta::assert_snapshot!(told(
            "-- Accounts\nALTER TABLE accounts DROP COLUMN owner;\n\nALTER TABLE accounts\n    ALTER COLUMN balance TYPE bigint;\n\
             CREATE INDEX accounts_by_branch ON accounts (branch);\nALTER TABLE accounts RENAME COLUMN a TO b;\nDROP TABLE old;\n",
            &[],
        ), @r"
        2: ban-drop-column: Dropping a column may break existing clients.
        5: changing-column-type: Changing a column type requires an `ACCESS EXCLUSIVE` lock on the table which blocks reads and writes while the table is rewritten. Changing the type of the column may also break other clients reading from the table.
        6: require-concurrent-index-creation: During normal index creation, table updates are blocked, but reads are still allowed. Use `concurrently` to avoid blocking writes.
        7: renaming-column: Renaming a column may break existing clients.
        8: ban-drop-table: Dropping a table may break existing clients.
        ");
    }

    #[test]
    fn a_table_that_the_migration_itself_creates_may_be_changed_at_will() {
        insta::assert_snapshot!(told("CREATE TABLE ledger (id bigint, note text);\nCREATE INDEX ON ledger (note);\n", &[]), @"");
    }

    #[test]
    fn a_comment_silences_a_warning_and_no_refusal() {
        let sql = "-- squawk-ignore ban-drop-table\nDROP TABLE old;\n";
        assert_eq!(told(sql, &[]), "");
        insta::assert_snapshot!(told(sql, &["ban-drop-table"]), @"! 2: ban-drop-table: Dropping a table may break existing clients.");
        insta::assert_snapshot!(told(sql, &["ban-drop-table", "ban-add-column"]), @"! 2: ban-drop-table: Dropping a table may break existing clients.");
    }

    #[test]
    fn a_rule_that_is_not_of_the_usual_set_may_be_refused() {
        let sql = "ALTER TABLE ledger ADD COLUMN note text;";
        assert_eq!(told(sql, &[]), "");
        insta::assert_snapshot!(told(sql, &["ban-add-column"]), @"! 1: ban-add-column: Adding a column changes the shape of rows existing clients receive and can break positional inserts.");
    }

    #[test]
    fn an_index_that_flyway_builds_outside_a_transaction_is_fine() {
        assert_eq!(told("CREATE INDEX CONCURRENTLY by_branch ON accounts (branch);", &[]), "");
    }

    #[test]
    fn what_is_no_sql_or_too_large_is_not_taken_for_harmless() {
        insta::assert_snapshot!(told("SELECT 1;\nALTER TABEL ledger;\n", &[]), @"line 2: expected command, found ALTER_KW");
        insta::assert_snapshot!(told(&"-".repeat(MAX_BYTES + 1), &[]), @"it has 1048577 bytes, and what has more than 1048576 is not looked at");
    }

    #[test]
    fn placeholders_are_words_of_the_same_length() {
        let sql = "DROP TABLE ${app.schema}.old;\nSELECT '${', '${a b}', $1;\n";
        let read = without_placeholders(sql, &Settings::default());
        assert_eq!(read, "DROP TABLE p_app_schema_.old;\nSELECT '${', '${a b}', $1;\n");
        let off = Settings { placeholder_replacement: false, ..Settings::default() };
        assert_eq!(without_placeholders(sql, &off), sql);
    }

    #[test]
    fn rules_that_squawk_has_not_are_told() {
        let rules = ["ban-drop-table", "ban-drop-tabel"].map(str::to_owned).into();
        assert_eq!(unknown(&rules).collect::<Vec<_>>(), ["ban-drop-tabel"]);
    }
}
