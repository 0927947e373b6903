//! Shapes that Flyway Community 11.8.2 wrote, without its stack traces.

use super::*;

const FOLDER: &str = "/tmp/x/migrations";

#[test]
fn what_ran_is_read_with_paths_below_the_folder() {
    let output = r#"{"timestamp":"t","operation":"migrate","exception":null,"initialSchemaVersion":null,
        "targetSchemaVersion":"2","schemaName":"","migrations":[{"category":"Versioned","version":"1","description":"a",
        "type":"SQL","filepath":"/tmp/x/migrations/2026/V1__a.sql","executionTime":5}],"migrationsExecuted":1,
        "success":true,"flywayVersion":"11.8.2","database":"t1","warnings":["w"],"totalMigrationTime":11}"#;
    let migrated = migrated(output, FOLDER).unwrap();
    assert_eq!(migrated.ran[0].file, "2026/V1__a.sql");
    assert_eq!((migrated.ran[0].execution_milliseconds, migrated.total_milliseconds), (5, 11));
    assert_eq!((migrated.initial_schema_version, migrated.target_schema_version), (None, Some("2".to_owned())));
}

#[test]
fn a_failed_migration_is_told_with_its_line_its_state_and_what_ran_before() {
    let output = r#"{"operation":"migrate","exception":"…","initialSchemaVersion":null,"targetSchemaVersion":null,
        "migrations":[{"version":"1","description":"a","filepath":"/tmp/x/migrations/V1__a.sql","executionTime":7}],
        "migrationsExecuted":1,"success":false,"flywayVersion":"11.8.2","warnings":[],"error":{
        "errorCode":"FAILED_VERSIONED_MIGRATION","sqlState":null,"sqlErrorCode":null,"message":"Script V2__b.sql failed\n-----------------------\nSQL State  : 42601\nError Code : 0\nMessage    : ERROR: syntax error at or near \";\"\n  Position: 23\nLocation   : /tmp/x/migrations/V2__b.sql (/tmp/x/migrations/V2__b.sql)\nLine       : 3\nStatement  : create table c(idd int;\n",
        "lineNumber":3,"path":"/tmp/x/migrations/V2__b.sql","cause":null},"totalMigrationTime":7}"#;
    let Err(Failure::Migration(failed)) = migrated(output, FOLDER) else { panic!() };
    insta::assert_snapshot!(failed, @r#"the migration `V2__b.sql` failed at line 3: ERROR: syntax error at or near ";" Position: 23 (SQL state 42601)"#);
    assert_eq!(failed.ran.len(), 1);
}

#[test]
fn a_refusal_of_the_whole_run_is_told_without_the_url() {
    let refusal = |code: &str, state: &str, message: &str, cause: &str| {
        let output = format!(
            r#"{{"error":{{"errorCode":"{code}","sqlState":{state},"message":"{message}","lineNumber":null,"path":null,
            "cause":{{"message":"{cause}"}}}}}}"#
        );
        migrated(&output, FOLDER).unwrap_err()
    };
    let url =
        "Unable to obtain connection from database (jdbc:postgresql://h/d?user=u&password=********) for user 'null'";
    let connection = refusal("DB_CONNECTION", "\"28P01\"", url, "FATAL: password authentication failed");
    assert!(
        matches!(&connection, Failure::Connection { message, sql_state: Some(state) }
            if message == "FATAL: password authentication failed" && state == "28P01"),
        "{connection:?}"
    );
    let lock = "Number of retries exceeded while attempting to acquire PostgreSQL advisory lock. Configure …";
    assert!(matches!(refusal("ERROR", "null", lock, ""), Failure::LockHeld));
    let validate =
        "Validate failed: Migrations have failed validation\\nNeed more flexibility with validation rules? …";
    let Failure::Other { code, message } = refusal("VALIDATE_ERROR", "null", validate, "") else { panic!() };
    assert_eq!(
        (code.as_str(), message.trim()),
        ("VALIDATE_ERROR", "Validate failed: Migrations have failed validation")
    );
}

#[test]
fn validate_and_info_are_read_together() {
    let output = r#"{"individualResults":[{"flywayVersion":"11.8.2","database":"t1","warnings":[],"operation":"validate",
        "errorDetails":{"errorCode":"VALIDATE_ERROR","errorMessage":"Migrations have failed validation"},
        "invalidMigrations":[{"version":"1","description":"a","filepath":"/tmp/x/migrations/V1__a.sql","errorDetails":{
        "errorCode":"CHECKSUM_MISMATCH","errorMessage":"Migration checksum mismatch for migration version 1"}}],
        "validationSuccessful":false,"validateCount":0,"allErrorMessages":"Migration checksum mismatch"},
        {"operation":"info","schemaVersion":"2","migrations":[{"category":"Versioned","version":"1","description":"a",
        "state":"Success","filepath":"/tmp/x/migrations/V1__a.sql","installedOnUTC":""}]}]}"#;
    let validated = validated(output, FOLDER).unwrap();
    assert!(!validated.successful);
    assert_eq!(
        (validated.invalid[0].file.as_str(), validated.invalid[0].code.as_str()),
        ("V1__a.sql", "CHECKSUM_MISMATCH")
    );
    assert_eq!(
        (validated.info.migrations[0].file.as_str(), validated.info.migrations[0].state.as_str()),
        ("V1__a.sql", "Success")
    );
}

#[test]
fn other_shapes_are_told_rather_than_guessed() {
    for output in ["{}", "{\"success\":true}", "{", "{\"individualResults\":[]}"] {
        assert!(matches!(migrated(output, FOLDER), Err(Failure::Unreadable(_))), "{output}");
        assert!(matches!(validated(output, FOLDER), Err(Failure::Unreadable(_))), "{output}");
    }
}
