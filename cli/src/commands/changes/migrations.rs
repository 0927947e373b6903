//! What migrations would do, as a release manager reads it.

use std::fmt::Write as _;

use gatekeeper_model::finding::plain;
use gatekeeper_promotion::database_check::{BrokenRule, PendingMigration};

use crate::{
    layout::wrapped,
    output::{bad, faint},
};

/// Each migration that the stage's databases have not run: what Squawk says of it, and its SQL where that was asked for.
pub(in crate::commands) fn migrations(pending: &[PendingMigration]) -> String {
    let mut text = String::new();
    for PendingMigration { database, file, broken, broken_left_out, unread, sql, bytes_left_out } in pending {
        if text.is_empty() {
            text.push_str("\n  what pending migrations would do\n");
        }
        let _ = writeln!(text, "    {database}  {file}");
        for BrokenRule { rule, line, message, refused } in broken {
            let rule = if *refused { bad(rule) } else { rule.clone() };
            let _ = write!(text, "      line {line}: {rule}\n{}", wrapped(&plain(message), 8));
        }
        if *broken_left_out > 0 {
            let _ = writeln!(text, "      {}", faint(&format!("… {broken_left_out} more")));
        }
        if let Some(unread) = unread {
            let _ = write!(text, "      {}\n{}", bad("Squawk can't look at it"), wrapped(&plain(unread), 8));
        }
        for line in sql.iter().flat_map(|sql| sql.lines()) {
            let _ = writeln!(text, "      {} {}", faint("|"), plain(&line.replace('\t', "    ")));
        }
        if *bytes_left_out > 0 {
            let _ = writeln!(text, "      {}", faint(&format!("… {bytes_left_out} bytes more")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_pending_is_told_with_its_rules_and_its_sql() {
        let pending: Vec<PendingMigration> = serde_json::from_value(json!([
            {"database": "payments", "file": "V2__drop.sql", "sql": "-- \u{1b}[2Jold\nDROP TABLE old;\n", "bytes_left_out": 12, "broken": [
                {"rule": "ban-drop-table", "line": 2, "message": "Dropping a table may break existing clients.", "refused": true},
            ]},
            {"database": "payments", "file": "V3__odd.sql", "unread": "line 1: expected command"},
            {"database": "reports", "file": "V1__fine.sql"},
        ]))
        .unwrap();
        let told = anstream::adapter::strip_str(&migrations(&pending)).to_string();
        insta::assert_snapshot!(told, @r#"
          what pending migrations would do
            payments  V2__drop.sql
              line 2: ban-drop-table
                Dropping a table may break existing clients.
              | -- �[2Jold
              | DROP TABLE old;
              … 12 bytes more
            payments  V3__odd.sql
              Squawk can't look at it
                line 1: expected command
            reports  V1__fine.sql
        "#);
        assert_eq!(migrations(&[]), "");
    }
}
