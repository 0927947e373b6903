//! What of a dump a query can read: tables, views and foreign tables.

use super::{history::identifier, statement::Statement};
use crate::flyway::settings::TableName;

/// The table or view that a statement creates.
pub(super) fn created(statement: Statement<'_>) -> Option<TableName> {
    if !statement.is(0, "CREATE") {
        return None;
    }
    // `UNLOGGED`, `FOREIGN`, `MATERIALIZED`, `RECURSIVE` and the like stand before it.
    let keyword = (1..5).find(|&index| statement.is(index, "TABLE") || statement.is(index, "VIEW"))?;
    let is_of_kind = |index| {
        ["UNLOGGED", "FOREIGN", "MATERIALIZED", "RECURSIVE", "OR", "REPLACE"].iter().any(|it| statement.is(index, it))
    };
    if !(1..keyword).all(is_of_kind) {
        return None;
    }
    let end = statement.name_end(keyword + 1);
    let parts: Vec<_> = (keyword + 1..end).step_by(2).map(|index| identifier(statement.text(index))).collect();
    match parts.as_slice() {
        [table] => Some(TableName { schema: "public".to_owned(), table: table.clone() }),
        [.., schema, table] => Some(TableName { schema: schema.clone(), table: table.clone() }),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::schema_snapshot::{Include, normal_form};

    #[test]
    fn what_queries_read_is_found_by_its_names() {
        let body = "CREATE TABLE payments.ledger (\n    id bigint\n);\n\
                    CREATE UNLOGGED TABLE payments.\"Scratch\" (\n    id bigint\n);\n\
                    CREATE VIEW payments.open AS\n SELECT ledger.id\n   FROM payments.ledger;\n\
                    CREATE MATERIALIZED VIEW public.totals AS\n SELECT 1 AS id\n  WITH NO DATA;\n\
                    CREATE INDEX ledger_id ON payments.ledger USING btree (id);\n\
                    CREATE SEQUENCE payments.numbers;\n";
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n{body}\n--\n-- PostgreSQL database dump \
             complete\n--\n"
        );
        let form = normal_form(dump.as_bytes(), Include::default()).unwrap();
        let names: Vec<_> = form.relations().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["payments.Scratch", "payments.ledger", "payments.open", "public.totals"]);
    }
}
