use gatekeeper_model::ids::Sha256;

use super::*;
use crate::flyway::checksum;

const ONE: &str = "CREATE TABLE one (id int);\n";
const TWO: &str = "CREATE TABLE two (id int);\n";
const PLACEHOLDER: &str = "SELECT '${flyway:timestamp}';\n";

fn file<'a>(path: &'a str, text: &str) -> MigrationFile<'a> {
    let scanned = checksum::scan(text.as_bytes()).unwrap().ok();
    MigrationFile { path, scanned, sha256: Sha256::of(text.as_bytes()) }
}

fn sum(text: &str) -> i32 {
    checksum::scan(text.as_bytes()).unwrap().unwrap().checksum
}

/// A row as Flyway writes it when it ran `script` with the content `text`.
fn ran(rank: i32, script: &str, text: &str) -> HistoryRow {
    let name = MigrationName::parse(script).unwrap();
    let (version, kind) = match &name.kind {
        MigrationKind::Versioned(version) => (Some(version.to_string()), "SQL"),
        MigrationKind::Baseline(version) => (Some(version.to_string()), "SQL_BASELINE"),
        _ => (None, "SQL"),
    };
    HistoryRow {
        installed_rank: rank,
        version,
        description: name.recorded_description(),
        kind: kind.to_owned(),
        script: script.to_owned(),
        checksum: Some(sum(text)),
        installed_by: "migrate_user".to_owned(),
        installed_on: "2026-05-02T10:00:00Z".to_owned(),
        execution_time: 7,
        success: true,
    }
}

/// A row that Flyway writes for itself.
fn own(rank: i32, kind: &str, version: Option<&str>, script: &str) -> HistoryRow {
    let description = if kind == "SCHEMA" { "<< Flyway Schema Creation >>" } else { "<< Flyway Baseline >>" };
    HistoryRow {
        version: version.map(str::to_owned),
        description: description.to_owned(),
        kind: kind.to_owned(),
        script: script.to_owned(),
        checksum: None,
        ..ran(rank, "V1__x.sql", ONE)
    }
}

fn claims(files: &[MigrationFile<'_>]) -> BTreeMap<String, Option<i32>> {
    files.iter().map(|it| (it.path.to_owned(), it.scanned.map(|scanned| scanned.checksum))).collect()
}

/// The messages of findings, all of which must have `code`.
fn told(findings: Vec<Finding>, code: Code) -> Vec<String> {
    findings
        .into_iter()
        .map(|it| {
            assert_eq!(it.code, code);
            format!("{}: {}", it.subject, it.message)
        })
        .collect()
}

fn mismatches(files: &[MigrationFile<'_>], rows: &[HistoryRow]) -> Vec<String> {
    told(check("payments", files, &claims(files), rows, None, &Settings::default()), Code::FlywayHistoryMismatch)
}

fn rewrites(rows: &[HistoryRow], before: &[HistoryRow]) -> Vec<String> {
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO), file("R__r.sql", ONE)];
    let findings = check("payments", &files, &claims(&files), rows, Some(before), &Settings::default());
    told(
        findings.into_iter().filter(|it| it.code != Code::FlywayHistoryMismatch).collect(),
        Code::FlywayHistoryRewritten,
    )
}

#[test]
fn a_history_as_flyway_writes_it_is_fine() {
    let files = [file("V1__a.sql", ONE), file("sub/V1.2__b.sql", TWO), file("V3__c.sql", ONE), file("R__r.sql", ONE)];
    let rows = [
        own(0, "SCHEMA", None, "\"ledger\""),
        ran(1, "V1__a.sql", ONE),
        ran(2, "R__r.sql", TWO),
        ran(3, "V1.2__b.sql", TWO),
        ran(4, "R__r.sql", ONE),
    ];
    assert_eq!(mismatches(&files, &rows), [""; 0]);
    assert_eq!(pending(&files, &rows), ["V3__c.sql"]);
    assert_eq!(mismatches(&files, &[]), [""; 0]);
    assert_eq!(pending(&files, &[]), ["V1__a.sql", "sub/V1.2__b.sql", "V3__c.sql", "R__r.sql"]);
}

#[test]
fn a_rows_checksum_is_the_manifests_and_the_files() {
    let files = [file("V1__a.sql", ONE)];
    let found = mismatches(&files, &[ran(1, "V1__a.sql", TWO)]);
    insta::assert_snapshot!(found.join("\n"), @"payments/flyway_schema_history/1: `V1__a.sql` has the checksum `-238647330` in the history, `-787082930` in the manifest and `-787082930` as it is stored: it was edited after it ran, or the row was");
    let claimed = BTreeMap::from([("V1__a.sql".to_owned(), Some(sum(TWO)))]);
    assert_eq!(check("payments", &files, &claimed, &[ran(1, "V1__a.sql", ONE)], None, &Settings::default()).len(), 1);
    assert_eq!(mismatches(&files, &[HistoryRow { checksum: None, ..ran(1, "V1__a.sql", ONE) }]).len(), 1);
}

#[test]
fn a_row_needs_its_file_with_its_name_and_description() {
    let files = [file("V1__a.sql", ONE)];
    let row = ran(1, "V1__a.sql", ONE);
    let changed = [
        HistoryRow { description: "b".to_owned(), ..row.clone() },
        HistoryRow { script: "V1.0__a.sql".to_owned(), ..row.clone() },
        HistoryRow { version: Some("2".to_owned()), ..row.clone() },
        HistoryRow { version: Some("-1".to_owned()), ..row.clone() },
        HistoryRow { version: None, ..row.clone() },
        HistoryRow { kind: "JDBC".to_owned(), ..row.clone() },
        HistoryRow { kind: "SQL_BASELINE".to_owned(), ..row.clone() },
    ];
    let found: Vec<_> = changed.into_iter().map(|row| mismatches(&files, &[row])[0].clone()).collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    payments/flyway_schema_history/1: `V1__a.sql` has the description `b` in the history: the row was changed
    payments/flyway_schema_history/1: `V1.0__a.sql` is `V1__a.sql` in the commit: give it its old name again
    payments/flyway_schema_history/1: `V1__a.sql` ran on this stage, and the commit has no such file: promote a commit that has
    payments/flyway_schema_history/1: `V1__a.sql` has the version `-1`, which no migration file can have here
    payments/flyway_schema_history/1: `V1__a.sql` ran on this stage, and the commit has no such file: promote a commit that has
    payments/flyway_schema_history/1: `V1__a.sql` is of type `JDBC`: only SQL files are run here
    payments/flyway_schema_history/1: `V1__a.sql` ran on this stage, and the commit has no such file: promote a commit that has
    ");
}

#[test]
fn failed_deleted_and_out_of_order_rows_are_told() {
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO)];
    let rows = [
        ran(1, "V2__b.sql", TWO),
        ran(2, "V1__a.sql", ONE),
        HistoryRow { kind: "DELETE".to_owned(), ..ran(3, "V1__a.sql", ONE) },
        HistoryRow { success: false, ..ran(4, "V2__b.sql", TWO) },
    ];
    insta::assert_snapshot!(mismatches(&files, &rows).join("\n"), @r"
    payments/flyway_schema_history/2: `V1__a.sql` is version `1` and ran after `2`: out of order, by `outOfOrder` or by a hand
    payments/flyway_schema_history/3: `V1__a.sql` is marked as deleted: `flyway repair` ran while its file was missing, put the file back and remove this row
    payments/flyway_schema_history/4: `V2__b.sql` failed: take back by hand what it left half done, then remove its row
    payments/flyway_schema_history/4: `V2__b.sql` is version `2` and ran after `2`: out of order, by `outOfOrder` or by a hand
    ");
}

#[test]
fn rows_are_read_by_rank() {
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO)];
    assert_eq!(mismatches(&files, &[ran(2, "V2__b.sql", TWO), ran(1, "V1__a.sql", ONE)]), [""; 0]);
}

#[test]
fn a_version_below_one_that_ran_would_never_run() {
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO)];
    let found = mismatches(&files, &[ran(1, "V2__b.sql", TWO)]);
    insta::assert_snapshot!(found.join("\n"), @"payments/migrations/V1__a.sql: `V1__a.sql` has not run, and version `2` has: give it a higher version, Flyway won't run it");
}

#[test]
fn versions_up_to_a_baseline_need_no_row() {
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO), file("B2__base.sql", ONE), file("V3__c.sql", TWO)];
    let marker = [own(1, "BASELINE", Some("2"), "<< Flyway Baseline >>")];
    for rows in [&marker[..], &[ran(1, "B2__base.sql", ONE)]] {
        assert_eq!(mismatches(&files, rows), [""; 0]);
        assert_eq!(pending(&files, rows), ["V3__c.sql"]);
    }
}

#[test]
fn the_newest_baseline_migration_runs_only_where_no_version_ran() {
    let files = [
        file("V1__a.sql", ONE),
        file("B1__a.sql", ONE),
        file("V2__b.sql", TWO),
        file("B2__b.sql", TWO),
        file("V3__c.sql", ONE),
    ];
    assert_eq!(pending(&files, &[]), ["B2__b.sql", "V3__c.sql"]);
    assert_eq!(pending(&files, &[own(0, "SCHEMA", None, "\"ledger\"")]), ["B2__b.sql", "V3__c.sql"]);
    assert_eq!(pending(&files, &[ran(1, "V1__a.sql", ONE)]), ["V2__b.sql", "V3__c.sql"]);
}

#[test]
fn a_repeatable_runs_again_when_its_newest_row_has_another_checksum() {
    let files = [file("R__r.sql", ONE)];
    assert_eq!(pending(&files, &[ran(1, "R__r.sql", ONE), ran(2, "R__r.sql", TWO)]), ["R__r.sql"]);
    assert_eq!(pending(&files, &[ran(1, "R__r.sql", TWO), ran(2, "R__r.sql", ONE)]), [""; 0]);
    assert_eq!(mismatches(&files, &[ran(1, "R__r.sql", TWO)]), [""; 0], "it is outdated, not tampered with");
    let files = [file("R__r.sql", PLACEHOLDER)];
    assert_eq!(pending(&files, &[]), ["R__r.sql"]);
    assert_eq!(pending(&files, &[ran(1, "R__r.sql", TWO)]), [""; 0], "not known here");
    assert_eq!(mismatches(&[], &[ran(1, "R__r.sql", ONE)]).len(), 1);
}

#[test]
fn callbacks_and_undo_migrations_are_never_pending() {
    assert_eq!(pending(&[file("beforeMigrate.sql", ONE), file("U1__a.sql", ONE)], &[]), [""; 0]);
}

#[test]
fn rows_that_changed_since_the_last_promotion_are_named_with_column_and_values() {
    let before = [ran(1, "V1__a.sql", ONE), ran(2, "R__r.sql", ONE)];
    let later = [before[0].clone(), before[1].clone(), ran(3, "V2__b.sql", TWO)];
    assert_eq!(rewrites(&later, &before), [""; 0]);

    let repaired = HistoryRow { checksum: Some(5), description: "b".to_owned(), ..before[0].clone() };
    insta::assert_snapshot!(rewrites(&[repaired, before[1].clone()], &before).join("\n"), @"payments/flyway_schema_history/1: `V1__a.sql` has another row than when the last promotion ended: `description` was `a` and is `b`, `checksum` was `-787082930` and is `5`");
    insta::assert_snapshot!(rewrites(&[before[1].clone()], &before).join("\n"), @"payments/flyway_schema_history/1: `V1__a.sql` had this row when the last promotion ended, and it is gone");
    let between = [HistoryRow { installed_rank: 0, ..before[0].clone() }, before[0].clone(), before[1].clone()];
    insta::assert_snapshot!(rewrites(&between, &before).join("\n"), @"payments/flyway_schema_history/0: `V1__a.sql` has row 0, which was not there when the last promotion ended with later ones");
    assert_eq!(rewrites(&before, &before[1..]), [""; 0], "of a long history only the newest rows were recorded");
}

#[test]
fn each_column_of_a_row_is_compared() {
    let was = ran(1, "V1__a.sql", ONE);
    let text = || "other".to_owned();
    for (column, is) in [
        ("version", HistoryRow { version: None, ..was.clone() }),
        ("description", HistoryRow { description: text(), ..was.clone() }),
        ("type", HistoryRow { kind: text(), ..was.clone() }),
        ("script", HistoryRow { script: text(), ..was.clone() }),
        ("checksum", HistoryRow { checksum: None, ..was.clone() }),
        ("installed_by", HistoryRow { installed_by: text(), ..was.clone() }),
        ("installed_on", HistoryRow { installed_on: text(), ..was.clone() }),
        ("execution_time", HistoryRow { execution_time: 8, ..was.clone() }),
        ("success", HistoryRow { success: false, ..was.clone() }),
    ] {
        let found = rewrites(&[is], std::slice::from_ref(&was));
        assert_eq!(found.len(), 1, "{column}");
        assert!(found[0].contains(&format!("`{column}` was ")), "{found:?}");
    }
}

#[test]
fn rows_have_the_names_of_their_columns() {
    let json = serde_json::to_value(ran(1, "R__r.sql", "SELECT 1;")).unwrap();
    let expected = serde_json::json!({
        "installed_rank": 1, "version": null, "description": "r", "type": "SQL", "script": "R__r.sql",
        "checksum": 78_787_420, "installed_by": "migrate_user", "installed_on": "2026-05-02T10:00:00Z",
        "execution_time": 7, "success": true
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<HistoryRow>(expected).unwrap(), ran(1, "R__r.sql", "SELECT 1;"));
}

#[test]
fn out_of_order_is_fine_where_it_is_configured_and_nothing_runs_twice() {
    let settings = Settings { out_of_order: true, ..Settings::default() };
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO), file("V3__c.sql", ONE)];
    let found = |rows: &[HistoryRow]| check("payments", &files, &claims(&files), rows, None, &settings);
    let (one, three) = (ran(1, "V1__a.sql", ONE), ran(2, "V3__c.sql", ONE));
    assert_eq!(found(&[one.clone(), three.clone()]), []);
    assert_eq!(pending(&files, &[one.clone(), three.clone()]), ["V2__b.sql"]);
    assert_eq!(found(&[one.clone(), three.clone(), ran(3, "V2__b.sql", TWO)]), []);
    assert_eq!(found(&[one, three, ran(3, "V1__a.sql", ONE)]).len(), 1);
}

#[test]
fn findings_name_the_table_that_is_configured() {
    let settings = Settings { table: Some("runs".to_owned()), schemas: vec!["app".to_owned()], ..Settings::default() };
    let files = [file("V1__a.sql", ONE)];
    let found = check("payments", &files, &claims(&files), &[ran(1, "V1__a.sql", TWO)], None, &settings);
    assert_eq!(found[0].subject, "payments/app.runs/1");
}

#[test]
fn a_configured_baseline_stands_for_the_versions_up_to_it() {
    let settings =
        Settings { baseline_on_migrate: true, baseline_version: Some("2".to_owned()), ..Settings::default() };
    let files = [file("V1__a.sql", ONE), file("V2__b.sql", TWO), file("V3__c.sql", ONE)];
    assert_eq!(pending(&files, &settings.baseline().into_iter().collect::<Vec<_>>()), ["V3__c.sql"]);
    assert_eq!(Settings::default().baseline(), None);
}
