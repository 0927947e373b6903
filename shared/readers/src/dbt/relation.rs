//! Tables as dbt names them: by the adapter's rules, in which a name without quotes has no case of its own.

use serde::{Deserialize, Serialize};

use crate::{flyway::settings::TableName, shown::shown};

/// A table or view by the name that dbt's statements give it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relation {
    /// The database, where it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Part>,
    /// The schema.
    pub schema: Part,
    /// The table's own name.
    pub table: Part,
}

/// One of the names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// The name, without quotes.
    pub name: String,
    /// Whether it stands in quotes, which keep its case.
    pub is_quoted: bool,
}

impl Part {
    /// Whether PostgreSQL's `name` is meant; `folds` says that PostgreSQL itself reads it, which makes it lower-case.
    fn means(&self, name: &str, folds: bool) -> bool {
        match (self.is_quoted, folds) {
            (true, true) => self.name == name,
            (false, true) => self.name.to_lowercase() == name,
            // Another database holds a copy of the table, under a name of its own rules: Snowflake's are upper-case.
            (_, false) => self.name.to_lowercase() == name.to_lowercase(),
        }
    }
}

impl Relation {
    /// Reads `database.schema.table` or `schema.table`, with names in double quotes, backticks or brackets, or in none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let (part, after) = part(rest)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() => break,
                None => return None,
            }
        }
        let table = parts.pop()?;
        let schema = parts.pop()?;
        let database = parts.pop();
        parts.is_empty().then_some(Self { database, schema, table })
    }

    /// Whether it is the table `of` of a PostgreSQL database; `folds` says that PostgreSQL itself reads the name.
    #[must_use]
    pub fn is(&self, of: &TableName, folds: bool) -> bool {
        self.schema.means(&of.schema, folds) && self.table.means(&of.table, folds)
    }

    /// Whether it lies in the PostgreSQL database or schema of that name.
    #[must_use]
    pub fn is_in(&self, database: &str) -> bool {
        self.database.as_ref().is_some_and(|it| it.means(database, false))
    }

    /// Whether its schema is PostgreSQL's `schema`.
    #[must_use]
    pub fn is_of_schema(&self, schema: &str, folds: bool) -> bool {
        self.schema.means(schema, folds)
    }
}

/// The first name of a text, and what follows it.
fn part(text: &str) -> Option<(Part, &str)> {
    let close = match text.chars().next()? {
        '[' => ']',
        quote @ ('"' | '`') => quote,
        _ => {
            let end = text.find('.').unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end)?;
            let is_plain = !name.is_empty() && !name.contains(['"', '`', '[', ']']);
            return is_plain.then(|| (Part { name: name.to_owned(), is_quoted: false }, rest));
        }
    };
    let mut name = String::new();
    let mut rest = text.get(1..)?;
    loop {
        let (before, after) = rest.split_once(close)?;
        name.push_str(before);
        // A quote that stands twice is one of the name's.
        match after.strip_prefix(close) {
            Some(after) => {
                name.push(close);
                rest = after;
            }
            None if name.is_empty() => return None,
            None => return Some((Part { name, is_quoted: true }, after)),
        }
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", shown(&database.name))?;
        }
        write!(f, "{}.{}", shown(&self.schema.name), shown(&self.table.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parts(text: &str) -> Vec<(String, bool)> {
        let Relation { database, schema, table } = Relation::parse(text).unwrap();
        database.into_iter().chain([schema, table]).map(|it| (it.name, it.is_quoted)).collect()
    }

    #[test]
    fn names_of_every_adapter_are_read() {
        let of = |names: &[(&str, bool)]| {
            names.iter().map(|(name, quoted)| ((*name).to_owned(), *quoted)).collect::<Vec<_>>()
        };
        assert_eq!(parts(r#""dev"."raw"."t""#), of(&[("dev", true), ("raw", true), ("t", true)]));
        assert_eq!(parts("RISK_DEV.raw.t"), of(&[("RISK_DEV", false), ("raw", false), ("t", false)]));
        assert_eq!(parts("`p`.`d`.`t`"), of(&[("p", true), ("d", true), ("t", true)]));
        assert_eq!(parts("[d].[s].[t]"), of(&[("d", true), ("s", true), ("t", true)]));
        assert_eq!(parts(r#"raw."a.b""c""#), of(&[("raw", false), ("a.b\"c", true)]));
    }

    #[test]
    fn what_names_no_table_is_none() {
        for text in ["", "t", "a.b.c.d", "a..b", ".a", "a.", "\"a", "\"a\"b.c", "\"\".a", "a\"b.c", "[a].b]"] {
            assert_eq!(Relation::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_without_quotes_is_lower_case_to_postgresql_and_of_any_case_elsewhere() {
        #[track_caller]
        fn is(relation: &str, table: (&str, &str), folds: bool) -> bool {
            let table = TableName { schema: table.0.to_owned(), table: table.1.to_owned() };
            Relation::parse(relation).unwrap().is(&table, folds)
        }
        assert!(is("d.Ledger.Entries", ("ledger", "entries"), true));
        assert!(!is("d.Ledger.Entries", ("Ledger", "Entries"), true));
        assert!(!is(r#""d"."ledger"."Entries""#, ("ledger", "entries"), true));
        assert!(is("D.LEDGER.ENTRIES", ("ledger", "entries"), false));
        assert!(is(r#""D"."LEDGER"."ENTRIES""#, ("ledger", "Entries"), false));
        assert!(!is("D.LEDGER.ENTRIES", ("ledger", "entry"), false));
    }
}
