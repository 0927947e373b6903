//! Tables of a dump that have the form of Flyway's schema history, wherever they lie and whatever they are called.

use super::statement::Statement;
use crate::flyway::settings::TableName;

/// The columns of Flyway's history, each with the first words that its type may have
/// (`PostgreSQLDatabase.getRawCreateScript` of Flyway 11.8.2).
const COLUMNS: [(&str, &[&str]); 10] = [
    ("installed_rank", &["integer", "bigint", "smallint"]),
    ("version", &["character", "text"]),
    ("description", &["character", "text"]),
    ("type", &["character", "text"]),
    ("script", &["character", "text"]),
    ("checksum", &["integer", "bigint"]),
    ("installed_by", &["character", "text"]),
    ("installed_on", &["timestamp"]),
    ("execution_time", &["integer", "bigint"]),
    ("success", &["boolean"]),
];

/// The table that a statement creates, where it has the form of a history. Constraints, indexes and further columns don't
/// matter.
pub(super) fn created(statement: Statement<'_>) -> Option<TableName> {
    if !statement.is(0, "CREATE") {
        return None;
    }
    let table = (1..4).find(|&index| statement.is(index, "TABLE"))?;
    let end = statement.name_end(table + 1);
    if !statement.is(end, "(") {
        return None;
    }
    let (mut found, mut depth) = (0_u16, 0_usize);
    for index in end..statement.tokens.len() {
        let starts = depth == 1 && (statement.is(index - 1, ",") || index == end + 1);
        if starts {
            let name = identifier(statement.text(index));
            let of_form = COLUMNS
                .iter()
                .position(|(column, types)| *column == name && types.iter().any(|of| statement.is(index + 1, of)));
            found |= of_form.map_or(0, |bit| 1 << bit);
        }
        if statement.is(index, "(") {
            depth += 1;
        } else if statement.is(index, ")") {
            depth -= 1;
            if depth == 0 {
                break;
            }
        }
    }
    if found.count_ones() as usize != COLUMNS.len() {
        return None;
    }
    let parts: Vec<_> = (table + 1..end).step_by(2).map(|index| identifier(statement.text(index))).collect();
    match parts.as_slice() {
        [table] => Some(TableName { schema: "public".to_owned(), table: table.clone() }),
        [.., schema, table] => Some(TableName { schema: schema.clone(), table: table.clone() }),
        [] => None,
    }
}

/// A name as PostgreSQL holds it.
pub(super) fn identifier(token: &[u8]) -> String {
    let text = String::from_utf8_lossy(token);
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use crate::schema_snapshot::{Include, normal_form};

    fn histories(body: &str) -> Vec<String> {
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n{body}\n--\n-- PostgreSQL database dump \
             complete\n--\n"
        );
        let form = normal_form(dump.as_bytes(), Include::default()).unwrap();
        form.histories().iter().map(ToString::to_string).collect()
    }

    fn table(name: &str) -> String {
        format!(
            "CREATE TABLE {name} (\n    installed_rank integer NOT NULL,\n    version character varying(50),\n    \
             description character varying(200) NOT NULL,\n    type character varying(20) NOT NULL,\n    \
             script character varying(1000) NOT NULL,\n    checksum integer,\n    \
             installed_by character varying(100) NOT NULL,\n    \
             installed_on timestamp without time zone DEFAULT now() NOT NULL,\n    \
             execution_time integer NOT NULL,\n    success boolean NOT NULL\n);"
        )
    }

    #[test]
    fn a_history_is_known_by_its_columns_and_not_by_its_name() {
        let body = format!(
            "{}\n{}\n{}\n{}",
            table("payments.flyway_schema_history"),
            table("\"Odd \"\"one\"\"\".\"Table\"").replace("CREATE TABLE", "CREATE UNLOGGED TABLE"),
            table("app.old").replace("success boolean", "extra text,\n \"success\" boolean"),
            "CREATE TABLE public.ledger (\n    id bigint NOT NULL,\n    version character varying(50)\n);"
        );
        assert_eq!(histories(&body), ["Odd \"one\".Table", "app.old", "payments.flyway_schema_history"]);
    }

    #[test]
    fn what_lacks_a_column_or_has_another_type_is_none() {
        for (was, is) in [
            ("    checksum integer,\n", ""),
            ("success boolean", "success integer"),
            ("script character varying(1000)", "path character varying(1000)"),
            ("installed_rank integer", "installed_rank uuid"),
        ] {
            assert_eq!(histories(&table("a.b").replace(was, is)), [""; 0], "{is}");
        }
    }
}
