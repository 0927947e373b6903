//! Partitions that are made at run time, such as `pg_partman`'s: of those of a named table only the form is compared.
//!
//! A partition's form is all that the schema says of it and of its own partitions, without what each of them has of its
//! own: its name, the names made of it, and its bounds. All partitions of one form stand as one statement of the
//! normal form; so one partition is compared, and one that is unlike its siblings is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use gatekeeper_model::ids::PartitionedTable;

use super::{
    NormalForm,
    lexer::Kind,
    object::{name_parts, slice, with_statement},
    statement::Statement,
};

/// How a statement of a normal form starts that stands for partitions of one form.
const START: &str = "PARTITION OF ";

/// What stands for a partition's name.
const NAME: &str = "{}";

/// How many partitions of a form are named.
const MAX_NAMED: usize = 3;

/// A table's schema and name, without quotes.
type Name = Vec<String>;

/// The object that `text` is about, where it stands for partitions, such as `PARTITION OF public.events`.
pub(super) fn object(text: &str) -> Option<&str> {
    text.starts_with(START).then(|| text.split_once(":\n").map_or(text, |(object, _)| object))
}

/// Which partitions the statements `texts` of `form` stand for, in words; nothing where they are others.
pub(super) fn named(form: &NormalForm, texts: &[&str]) -> String {
    let names: Vec<_> = texts.iter().filter_map(|text| form.partitions.get(*text)).flatten().collect();
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = names.iter().take(MAX_NAMED).map(|name| name.as_str()).collect();
    match names.len() - shown.len() {
        0 => format!(" ({})", shown.join(", ")),
        more => format!(" ({} and {more} more)", shown.join(", ")),
    }
}

/// One of the forms that partitions have of which `object` tells.
pub(super) fn form_of<'a>(form: &'a NormalForm, object: &str) -> Option<&'a str> {
    let texts = form.partitions.keys().map(String::as_str);
    texts.into_iter().find(|text| self::object(text) == Some(object))
}

impl NormalForm {
    /// The same schema with the partitions of each of `tables` folded: one statement for all of one form, without
    /// their names and bounds. A table that isn't partitioned changes nothing.
    #[must_use]
    pub fn without_partitions(&self, tables: &[PartitionedTable]) -> Self {
        let wanted: BTreeSet<Name> = tables.iter().map(|table| parts_of(table.as_str())).collect();
        let mut tree = Tree::of(self.statements());
        let roots: Vec<Name> = tree.children.keys().filter(|name| wanted.contains(*name)).cloned().collect();
        if roots.is_empty() {
            return self.clone();
        }
        tree.take(&roots);
        let mut forms: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // What is below another named table is folded with it.
        for root in roots.iter().filter(|root| !tree.owner.contains_key(*root)) {
            for (text, names) in tree.forms(root) {
                forms.entry(text).or_default().extend(names);
            }
        }
        let kept = tree.kept.iter().map(|text| (*text).to_owned());
        let mut folded = self.of_statements(kept.chain(forms.keys().cloned()).collect::<Vec<_>>());
        folded.partitions = forms;
        folded
    }

    /// The tables of `tables` that this schema has no partitioned table of.
    #[must_use]
    pub fn not_partitioned<'a>(&self, tables: &'a [PartitionedTable]) -> Vec<&'a PartitionedTable> {
        let partitioned: BTreeSet<Name> =
            self.statements().filter_map(|text| with_statement(text, partitioned_table)?).collect();
        tables.iter().filter(|table| !partitioned.contains(&parts_of(table.as_str()))).collect()
    }
}

/// The name of the table that `statement` creates with `PARTITION BY`.
fn partitioned_table(statement: Statement<'_>) -> Option<Name> {
    let name = if statement.is(1, "TABLE") { 2 } else { 3 };
    let creates = statement.is(0, "CREATE") && statement.is(name - 1, "TABLE");
    let partitioned = creates && statement.outer().any(|index| statement.has(index, &["PARTITION", "BY"]));
    partitioned.then(|| name_parts(statement, name))
}

fn parts_of(name: &str) -> Name {
    with_statement(&format!("{name};"), |statement| name_parts(statement, 0)).unwrap_or_default()
}

/// The partitioned tables of a schema, and what is said of their partitions.
struct Tree<'a> {
    /// Partitions by their table, each as it is written.
    children: BTreeMap<Name, Vec<(Name, &'a str)>>,
    /// The table that each partition below a folded one is of.
    owner: BTreeMap<Name, Name>,
    /// What the indexes of partitions are called, and whose each is.
    indexes: HashMap<Name, Name>,
    /// The index that each partition's index is attached to.
    attached: HashMap<Name, Name>,
    /// The statements about each partition.
    about: BTreeMap<Name, Vec<&'a str>>,
    /// The statements about no partition.
    kept: Vec<&'a str>,
    all: Vec<&'a str>,
}

impl<'a> Tree<'a> {
    fn of(statements: impl Iterator<Item = &'a str>) -> Self {
        let mut tree = Self {
            children: BTreeMap::new(),
            owner: BTreeMap::new(),
            indexes: HashMap::new(),
            attached: HashMap::new(),
            about: BTreeMap::new(),
            kept: Vec::new(),
            all: statements.collect(),
        };
        for text in tree.all.iter().filter(|text| text.starts_with("ALTER TABLE ")) {
            let _ = with_statement(text, |statement| {
                if let Some(partition) = attach(statement) {
                    let shown = within(text, statement, partition..statement.name_end(partition));
                    let child = (name_parts(statement, partition), shown);
                    tree.children.entry(name_parts(statement, 2)).or_default().push(child);
                }
            });
        }
        tree
    }

    /// Takes the statements about all partitions below `roots` from the others.
    fn take(&mut self, roots: &[Name]) {
        let mut open = roots.to_vec();
        while let Some(table) = open.pop() {
            for (child, _) in self.children.get(&table).cloned().unwrap_or_default() {
                // A partition has one table; else the dump is none.
                if self.owner.insert(child.clone(), table.clone()).is_none() {
                    open.push(child);
                }
            }
        }
        let all = std::mem::take(&mut self.all);
        for text in &all {
            let _ = with_statement(text, |statement| self.learn_index(statement));
        }
        for text in all {
            let whose = with_statement(text, |statement| {
                // An attachment is said of what is attached.
                let first = attach(statement).unwrap_or(0);
                let of = names(statement).filter(|(index, _)| *index >= first);
                let of = of.into_iter().find_map(|(index, end)| self.whose(&name_parts(statement, index), end - index));
                (of, first > 0)
            });
            match whose {
                // The bounds are the partition's own.
                Some((Some(of), true)) if text.starts_with("ALTER TABLE ") => {
                    self.about.entry(of).or_default();
                }
                Some((Some(of), _)) => self.about.entry(of).or_default().push(text),
                _ => self.kept.push(text),
            }
        }
    }

    /// Notes an index of a partition, or which one it is attached to.
    fn learn_index(&mut self, statement: Statement<'_>) {
        let index_of = |table: &Name, index: usize| {
            let mut name = table.clone();
            name.pop();
            name.extend(name_parts(statement, index));
            name
        };
        if statement.starts(&["ALTER", "TABLE"]) {
            let table = name_parts(statement, 2);
            let action = statement.name_end(2);
            if statement.has(action, &["ADD", "CONSTRAINT"]) && self.owner.contains_key(&table) {
                self.indexes.insert(index_of(&table, action + 2), table);
            }
        } else if statement.is(0, "CREATE") && (statement.is(1, "INDEX") || statement.is(2, "INDEX")) {
            let name = if statement.is(1, "INDEX") { 2 } else { 3 };
            let on = name + 2 + usize::from(statement.is(name + 2, "ONLY"));
            let table = name_parts(statement, on);
            if self.owner.contains_key(&table) {
                self.indexes.insert(index_of(&table, name), table);
            }
        } else if statement.starts(&["ALTER", "INDEX"])
            && let Some(partition) = attach(statement)
        {
            self.attached.insert(name_parts(statement, partition), name_parts(statement, 2));
        }
    }

    /// Which partition the name `parts`, of `tokens` tokens, is of: its own, its column's or its index's.
    fn whose(&self, parts: &[String], tokens: usize) -> Option<Name> {
        let name = parts.get(..2).filter(|_| tokens >= 3)?;
        self.owner.get_key_value(name).map(|(name, _)| name.clone()).or_else(|| self.indexes.get(name).cloned())
    }

    /// The forms of the partitions of `table`, each with the names of those that have it.
    fn forms(&self, table: &Name) -> BTreeMap<String, Vec<String>> {
        let mut forms: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (child, shown) in self.children.get(table).into_iter().flatten() {
            let own = self.about.get(child).into_iter().flatten().map(|text| self.form_of(text, child));
            let below = self.forms(child).into_keys();
            let mut lines: Vec<_> = own.chain(below).collect();
            lines.sort();
            let text = format!("{START}{}:\n{}", self.shown(table), lines.join("\n"));
            forms.entry(text).or_default().push((*shown).to_owned());
        }
        forms
    }

    /// A table's name as it is written, or what stands for a partition's.
    fn shown(&self, table: &Name) -> String {
        if self.owner.contains_key(table) {
            return NAME.to_owned();
        }
        shown(table)
    }

    /// The statement `text` with placeholders for the partition's name and what is named after it.
    fn form_of(&self, text: &str, partition: &Name) -> String {
        let found = with_statement(text, |statement| {
            let mut instead: Vec<(Range<usize>, String)> = Vec::new();
            for (index, end) in names(statement) {
                let parts = name_parts(statement, index);
                let bytes = bytes_of(statement, index..end.min(index + 3));
                if parts.get(..2).is_some_and(|name| name == partition.as_slice()) {
                    instead.push((bytes, NAME.to_owned()));
                } else if let Some(of) = self.index(statement, index, &parts, partition) {
                    instead.push((bytes, of));
                } else {
                    let named = (index..end).step_by(2).filter_map(|at| named_after(statement, at, partition));
                    instead.extend(named);
                }
            }
            // Constants such as `'public.events_2026_11_id_seq'::regclass`.
            let prefix = format!("{}_", shown(partition));
            for index in (0..statement.tokens.len()).filter(|&index| statement.kind(index) == Some(Kind::Literal)) {
                let literal = slice(statement, index..index + 1);
                if literal.contains(&prefix) && statement.has(index + 1, &[":", ":", "regclass"]) {
                    let bytes = bytes_of(statement, index..index + 1);
                    instead.push((bytes, literal.replace(&prefix, &format!("{NAME}_"))));
                }
            }
            instead.sort_by_key(|(bytes, _)| bytes.start);
            instead
        });
        let mut form = String::with_capacity(text.len());
        let mut done = 0;
        for (range, placeholder) in found.unwrap_or_default() {
            form.push_str(text.get(done..range.start).unwrap_or_default());
            form.push_str(&placeholder);
            done = range.end;
        }
        form.push_str(text.get(done..).unwrap_or_default());
        form
    }

    /// What stands for the name `parts` at `index` where it is of an index that is attached to its table's.
    fn index(&self, statement: Statement<'_>, index: usize, parts: &[String], partition: &Name) -> Option<String> {
        let name = match parts {
            [_, _] => parts.to_vec(),
            // Indexes and constraints are made without their schema.
            [name] if ["INDEX", "CONSTRAINT"].iter().any(|word| statement.is(index.wrapping_sub(1), word)) => {
                vec![partition.first()?.clone(), name.clone()]
            }
            [name] if statement.has(index.wrapping_sub(2), &["CLUSTER", "ON"]) => {
                vec![partition.first()?.clone(), name.clone()]
            }
            _ => return None,
        };
        // Of an index that is attached itself, the one above all.
        let mut of = self.attached.get(&name)?;
        for _ in 0..self.attached.len() {
            let Some(above) = self.attached.get(of) else { break };
            of = above;
        }
        Some(format!("{{of {}}}", shown(of)))
    }
}

/// Where the partition's name stands in an `ATTACH PARTITION`.
fn attach(statement: Statement<'_>) -> Option<usize> {
    let action = statement.name_end(2);
    (statement.is(0, "ALTER") && statement.has(action, &["ATTACH", "PARTITION"])).then_some(action + 2)
}

/// Where each dotted name of `statement` starts, and the index behind it.
fn names(statement: Statement<'_>) -> impl Iterator<Item = (usize, usize)> {
    let is_name = move |index: usize| matches!(statement.kind(index), Some(Kind::Word | Kind::Quoted));
    let starts = move |&index: &usize| is_name(index) && !(index > 0 && statement.is(index - 1, "."));
    // `t.*` names a table too.
    (0..statement.tokens.len()).filter(starts).map(move |index| (index, statement.name_end(index)))
}

/// What stands for the name at `index` where it begins with the partition's, such as `events_2026_11_pkey`.
fn named_after(statement: Statement<'_>, index: usize, partition: &Name) -> Option<(Range<usize>, String)> {
    let (table, bytes) = (partition.last()?, bytes_of(statement, index..index + 1));
    let text = slice(statement, index..index + 1);
    let inner = text.strip_prefix('"').unwrap_or(text);
    let rest = inner.strip_prefix(table.as_str()).filter(|rest| rest.starts_with('_'))?;
    Some((bytes, format!("{NAME}{}", rest.strip_suffix('"').unwrap_or(rest))))
}

fn bytes_of(statement: Statement<'_>, range: Range<usize>) -> Range<usize> {
    let token = |index: usize| statement.tokens.get(index).map(|token| token.range());
    let start = token(range.start).map_or(0, |range| range.start);
    start..token(range.end.min(statement.tokens.len()).wrapping_sub(1)).map_or(start, |range| range.end)
}

/// The tokens `range` of the statement that `text` is.
fn within<'a>(text: &'a str, statement: Statement<'_>, range: Range<usize>) -> &'a str {
    text.get(bytes_of(statement, range)).unwrap_or_default()
}

fn shown(name: &Name) -> String {
    name.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}

/// A name as SQL has it: quoted, unless it needs to be by no version.
fn quoted(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.bytes().all(plain) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
