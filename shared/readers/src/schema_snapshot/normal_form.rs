//! The normal form of a dump: text that is the same for every dump of one schema, and for no other schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};

use gatekeeper_model::{finding::Finding, ids::Sha256};
use sha2::Digest as _;

use super::{
    history,
    inspect::{Visit, walk},
    layout, relation,
    rewrite::Rewriter,
    statement::Statement,
    view::Replaced,
};
use crate::flyway::settings::TableName;

/// Which parts of a dump the normal form keeps beside the schema itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Include {
    /// Who owns what: `ALTER … OWNER TO`. Stages often have roles of their own.
    pub owners: bool,
    /// Who may do what: `GRANT`, `REVOKE` and `ALTER DEFAULT PRIVILEGES`.
    pub privileges: bool,
}

/// A schema as sorted statements that are the same for every dump of it.
///
/// Two are equal if and only if their texts are. The text is SQL for reading and comparing: statements are sorted by
/// content, so it can't be restored from.
#[derive(Clone)]
pub struct NormalForm {
    /// The statements, in the dump's order, each up to its `;`.
    text: String,
    /// Where each is, sorted by content.
    statements: Vec<Range<u32>>,
    server: Option<u16>,
    histories: BTreeSet<TableName>,
    relations: BTreeSet<TableName>,
    /// The names of the partitions behind each statement that stands for several ([`Self::without_partitions`]).
    pub(super) partitions: BTreeMap<String, Vec<String>>,
}

/// The normal form of the dump `bytes`, which [`inspect`](super::inspect()) must find nothing wrong with.
///
/// Left out: comments, psql's commands, `SET` and `set_config`, what `--clean` drops, and by `include` owners and
/// privileges. `SET default_tablespace` and `SET default_table_access_method` are said by the statements that they
/// hold for instead, as `TABLESPACE` and `USING`. Whitespace between tokens is laid out anew; literals, bodies and
/// quoted names are kept byte for byte. What servers and `pg_dump` 15 to 18 spell in different ways is spelt in one:
/// names that are keywords to some of them only, routines' bodies, columns of a view's only source, storage options.
///
/// Equal on purpose: names of `NOT NULL` constraints that PostgreSQL 18 makes up (they end in `_not_null`), which 15
/// to 17 do not have. Unequal although the same: `--quote-all-identifiers` against none, and what an older server
/// can't hold, which [`compare`](super::compare()) tells apart.
///
/// Memory stays near twice the dump's size.
///
/// # Errors
/// Every finding of the judgement, about the subject `schema snapshot`.
pub fn normal_form(bytes: &[u8], include: Include) -> Result<NormalForm, Vec<Finding>> {
    let mut form = NormalForm::empty(server(bytes), bytes.len());
    let mut rewriter = Rewriter::new(include, form.server);
    let findings = walk(bytes, "schema snapshot", |mut visit| form.take(&mut rewriter, &mut visit));
    if !findings.is_empty() {
        return Err(findings);
    }
    form.finish();
    Ok(form)
}

/// The server's major version, from `pg_dump`'s comment in the first lines of its dump.
fn server(bytes: &[u8]) -> Option<u16> {
    let mut lines = bytes.split(|&byte| byte == b'\n').take(12);
    let version = lines.find_map(|line| line.strip_prefix(b"-- Dumped from database version "))?;
    str::from_utf8(version).ok()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl NormalForm {
    fn empty(server: Option<u16>, capacity: usize) -> Self {
        let text = String::with_capacity(capacity);
        let (histories, relations) = (BTreeSet::new(), BTreeSet::new());
        Self { text, statements: Vec::new(), server, histories, relations, partitions: BTreeMap::new() }
    }

    /// A normal form of these statements, laid out, of the same server's schema.
    pub(super) fn of_statements(&self, statements: impl IntoIterator<Item = String>) -> Self {
        let mut form = Self::empty(self.server, self.text.len());
        for statement in statements {
            form.push(&statement);
        }
        form.sort();
        form.histories.clone_from(&self.histories);
        form.relations.clone_from(&self.relations);
        form
    }

    /// The digest of [`Self::to_text`].
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        let mut digest = sha2::Sha256::new();
        for statement in self.statements() {
            digest.update(statement);
            digest.update("\n");
        }
        Sha256::from_bytes(digest.finalize().into())
    }

    /// The whole text: every statement on lines of its own, sorted.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// The major version of the server that was dumped, such as 18, where the dump says so. It is no part of the
    /// comparison.
    #[must_use]
    pub fn server(&self) -> Option<u16> {
        self.server
    }

    /// The tables that have the form of Flyway's schema history.
    #[must_use]
    pub fn histories(&self) -> &BTreeSet<TableName> {
        &self.histories
    }

    /// The tables and views that a query can read.
    #[must_use]
    pub fn relations(&self) -> &BTreeSet<TableName> {
        &self.relations
    }

    /// The statements, sorted, each with its `;`.
    pub(super) fn statements(&self) -> impl ExactSizeIterator<Item = &str> {
        self.statements.iter().map(|range| statement(&self.text, range))
    }

    fn take(&mut self, rewriter: &mut Rewriter, visit: &mut Visit<'_, '_>) {
        let statement = Statement { bytes: visit.bytes, tokens: visit.tokens };
        self.histories.extend(history::created(statement));
        self.relations.extend(relation::created(statement));
        let Some(around) = rewriter.rewrite(visit.bytes, visit.tokens, visit.standard_strings) else { return };
        let start = self.text.len();
        layout::write(&mut self.text, visit.bytes, visit.tokens, &around, rewriter.reading(visit.standard_strings));
        self.end_statement(start);
        for statement in &around.apart {
            self.push(statement);
        }
    }

    fn push(&mut self, statement: &str) {
        let start = self.text.len();
        self.text.push_str(statement);
        self.end_statement(start);
    }

    fn end_statement(&mut self, start: usize) {
        // No dump is larger than `MAX_BYTES`, and its normal form hardly larger than the dump.
        if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.text.len())) {
            self.statements.push(start..end);
        }
    }

    /// Leaves of each view only its full definition, as `CREATE VIEW`.
    fn merge_views(&mut self) {
        let replaced = Replaced::of(self.statements());
        if replaced.is_empty() {
            return;
        }
        let text = &self.text;
        self.statements.retain(|range| !replaced.is_redundant(statement(text, range)));
        let is_full = |range: &Range<u32>| statement(text, range).starts_with(REPLACE);
        let full: Vec<_> = self.statements.extract_if(.., |range| is_full(range)).collect();
        for range in full {
            let view = statement(&self.text, &range).replacen(REPLACE, "CREATE VIEW ", 1);
            self.push(&view);
        }
    }

    fn finish(&mut self) {
        self.merge_views();
        self.sort();
    }

    fn sort(&mut self) {
        let text = &self.text;
        self.statements.sort_unstable_by(|a, b| statement(text, a).cmp(statement(text, b)));
    }
}

/// How a view starts that `pg_dump` wrote a stand-in of before.
const REPLACE: &str = "CREATE OR REPLACE VIEW ";

fn statement<'a>(text: &'a str, range: &Range<u32>) -> &'a str {
    text.get(range.start as usize..range.end as usize).unwrap_or_default()
}

impl PartialEq for NormalForm {
    fn eq(&self, other: &Self) -> bool {
        self.statements().eq(other.statements())
    }
}

impl Eq for NormalForm {}

impl fmt::Display for NormalForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.statements().try_for_each(|statement| writeln!(f, "{statement}"))
    }
}

impl fmt::Debug for NormalForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.statements()).finish()
    }
}
