//! What migrations would do that a stage's database has not run yet, before anything of the promotion is applied.

use std::io;

use gatekeeper_database::lint;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::MigrationPath,
};
use gatekeeper_promotion::{
    database_check::{BrokenRule, PendingMigration, SHOWN_BYTES, SHOWN_BYTES_IN_ALL, TOLD_RULES, TOLD_RULES_IN_ALL},
    plan::PlannedDatabase,
};

use crate::files::Fetched;

/// What one migration would do, with what it says where `sql` is wanted.
///
/// # Errors
/// Where the disk fails.
pub(crate) fn look(
    fetched: &Fetched<'_>,
    planned: &PlannedDatabase,
    file: &MigrationPath,
    sql: bool,
) -> io::Result<PendingMigration> {
    let (text, in_transaction) = fetched.script(file)?;
    let read = lint::without_placeholders(&text, fetched.settings());
    let (broken, unread) = match lint::lint(&read, in_transaction, &planned.refuse_migrations) {
        Ok(broken) => (broken, None),
        Err(unread) => (Vec::new(), Some(unread.to_string())),
    };
    let broken = broken.into_iter().map(|lint::Broken { rule, line, message, refused }| BrokenRule {
        rule,
        line,
        message,
        refused,
    });
    let mut migration = PendingMigration {
        database: planned.database.clone(),
        file: file.clone(),
        broken: broken.collect(),
        broken_left_out: 0,
        unread,
        sql: sql.then_some(text),
        bytes_left_out: 0,
    };
    cut(&mut migration, SHOWN_BYTES, TOLD_RULES);
    Ok(migration)
}

/// The rules of the stage that nobody knows: they refuse nothing, which nobody meant.
pub(crate) fn unknown(planned: &PlannedDatabase) -> impl Iterator<Item = Finding> {
    lint::unknown(&planned.refuse_migrations).map(|rule| {
        let message =
            format!("`{rule}` of `refuse_migrations` is no rule of Squawk's, https://squawkhq.com/docs/rules");
        Finding::new(Code::MigrationRefused, planned.database.as_str(), message)
    })
}

/// Why the stage does not take a migration, all its reasons in one.
pub(crate) fn refusal(planned: &PlannedDatabase, migration: &PendingMigration) -> Option<Finding> {
    if planned.refuse_migrations.is_empty() || planned.accept_migrations.contains(&migration.file) {
        return None;
    }
    let refused = migration.broken.iter().filter(|it| it.refused);
    let message = |it: &BrokenRule| format!("line {}: {}: {}", it.line, it.rule, it.message.trim_end_matches('.'));
    let mut why: Vec<_> = refused.map(message).collect();
    why.extend(migration.unread.as_ref().map(|unread| format!("Squawk can't look at it: {unread}")));
    if why.is_empty() {
        return None;
    }
    why.extend((migration.broken_left_out > 0).then(|| format!("{} more rules are broken", migration.broken_left_out)));
    let subject = format!("{}/{}", migration.database, migration.file);
    let message = format!(
        "{}; where that is meant, name `{}` in `accept_migrations` of the stage's database",
        why.join("; "),
        migration.file
    );
    Some(Finding::new(Code::MigrationRefused, subject, message))
}

/// Leaves out what is too much for one answer.
pub(crate) fn show_in_all(migrations: &mut [PendingMigration]) {
    let (mut bytes, mut rules) = (SHOWN_BYTES_IN_ALL, TOLD_RULES_IN_ALL);
    for migration in migrations {
        cut(migration, bytes, rules);
        bytes -= migration.sql.as_ref().map_or(0, String::len);
        rules -= migration.broken.len();
    }
}

fn cut(migration: &mut PendingMigration, most: usize, rules: usize) {
    if migration.broken.len() > rules {
        migration.broken_left_out += migration.broken.len() - rules;
        migration.broken.sort_by_key(|it| (!it.refused, it.line));
        migration.broken.truncate(rules);
        migration.broken.sort_by_key(|it| it.line);
    }
    let Some(sql) = &mut migration.sql else { return };
    let end = sql.floor_char_boundary(most);
    migration.bytes_left_out += sql.len() - end;
    sql.truncate(end);
}

#[cfg(test)]
mod tests {
    use gatekeeper_promotion::database_check::PendingMigration;
    use serde_json::json;

    use super::*;

    fn migration(broken: &serde_json::Value) -> PendingMigration {
        let mut migration = json!({"database": "payments", "file": "V2__drop.sql"});
        migration.as_object_mut().unwrap().extend(broken.as_object().unwrap().clone());
        serde_json::from_value(migration).unwrap()
    }

    fn database(entry: &serde_json::Value) -> PlannedDatabase {
        let mut planned = json!({
            "database": "payments", "modules": [], "secret_arn": "arn", "schema_parity": "required", "checksums": {},
            "snapshot": {"key": "k", "version_id": "v", "sha256": "0".repeat(64), "size": 1},
        });
        planned.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
        serde_json::from_value(planned).unwrap()
    }

    fn told(entry: &serde_json::Value, broken: &serde_json::Value) -> String {
        let finding = refusal(&database(entry), &migration(broken));
        finding.map(|it| format!("{}: {}: {}", it.subject, it.code, it.message)).unwrap_or_default()
    }

    #[test]
    fn a_refused_rule_refuses_the_migration_unless_the_stage_names_the_file() {
        let drops = json!({"broken": [
            {"rule": "ban-drop-table", "line": 2, "message": "Dropping breaks.", "refused": true},
            {"rule": "renaming-column", "line": 3, "message": "Renaming breaks.", "refused": false},
        ]});
        let refuse = json!({"refuse_migrations": ["ban-drop-table"]});
        insta::assert_snapshot!(told(&refuse, &drops), @"payments/V2__drop.sql: migration-refused: line 2: ban-drop-table: Dropping breaks; where that is meant, name `V2__drop.sql` in `accept_migrations` of the stage's database");
        assert_eq!(told(&json!({}), &drops), "");
        let accept = json!({"refuse_migrations": ["ban-drop-table"], "accept_migrations": ["V2__drop.sql"]});
        assert_eq!(told(&accept, &drops), "");
    }

    #[test]
    fn what_nobody_can_look_at_is_refused_where_anything_is() {
        let unread = json!({"unread": "line 1: expected command"});
        insta::assert_snapshot!(told(&json!({"refuse_migrations": ["ban-drop-table"]}), &unread), @"payments/V2__drop.sql: migration-refused: Squawk can't look at it: line 1: expected command; where that is meant, name `V2__drop.sql` in `accept_migrations` of the stage's database");
        assert_eq!(told(&json!({}), &unread), "");
    }

    #[test]
    fn a_rule_that_nobody_knows_is_told() {
        let planned = database(&json!({"refuse_migrations": ["ban-drop-tabel"]}));
        let told: Vec<_> = unknown(&planned).map(|it| it.message).collect();
        insta::assert_snapshot!(told.concat(), @"`ban-drop-tabel` of `refuse_migrations` is no rule of Squawk's, https://squawkhq.com/docs/rules");
    }

    #[test]
    fn of_very_many_rules_the_refused_ones_are_told_first_and_the_others_are_counted() {
        let rule = |line: usize| json!({"rule": "ban-drop-table", "line": line, "message": "", "refused": line > 990});
        let broken: Vec<_> = (1..=1_000).map(rule).collect();
        let mut all = vec![migration(&json!({"broken": broken})); 50];
        for it in &mut all {
            cut(it, 0, TOLD_RULES);
            assert_eq!(it.broken.iter().filter(|it| it.refused).count(), 10);
            assert!(it.broken.is_sorted_by_key(|it| it.line));
        }
        show_in_all(&mut all);
        assert_eq!(all.iter().map(|it| it.broken.len()).sum::<usize>(), TOLD_RULES_IN_ALL);
        assert!(all.iter().all(|it| it.broken.len() + it.broken_left_out == 1_000));
    }

    #[test]
    fn no_more_is_shown_than_an_answer_holds_and_what_is_left_out_is_counted() {
        let one = migration(&json!({"sql": "é".repeat(SHOWN_BYTES)}));
        let mut all = vec![one; 40];
        for it in &mut all {
            cut(it, SHOWN_BYTES - 1, TOLD_RULES);
        }
        show_in_all(&mut all);
        let shown: usize = all.iter().map(|it| it.sql.as_ref().unwrap().len()).sum();
        assert!(shown <= SHOWN_BYTES_IN_ALL && shown > SHOWN_BYTES_IN_ALL - 4, "{shown}");
        assert!(all.iter().all(|it| it.sql.as_ref().unwrap().len() + it.bytes_left_out == 2 * SHOWN_BYTES));
    }
}
