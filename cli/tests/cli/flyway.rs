//! `gatekeeper flyway`, as far as it goes without a database.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::common::{Run, gatekeeper, gatekeeper_with};

/// A password that must be nowhere.
const URL: &str = "postgresql://migrate_user:pa55-w0rd@127.0.0.1:1/payments";

/// A folder of migrations.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn flyway(command: &str, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let shown = folder.to_str().unwrap();
    let arguments = [&["flyway", command, shown, "--database", "payments"], arguments].concat();
    let mut run = gatekeeper_with(&arguments, variables);
    run.stderr = run.stderr.replace(shown, "DIR");
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("pa55"), "{}", run.shown());
    run
}

fn good() -> tempfile::TempDir {
    folder(&[
        ("V10__later.sql", b"SELECT 10;\n"),
        ("V2__add_currency.sql", b"CREATE TABLE t (\n  id bigint\n);\n"),
        ("2026/V1__one.sql", b"\xEF\xBB\xBFSELECT 1;\r\n"),
        ("R__balances.sql", b"SELECT '${owner}';\n"),
        ("R__audit.sql", b"SELECT 1;\n"),
        ("beforeMigrate.sql", b"SELECT 1;\n"),
        ("README.md", b"not a migration\n"),
    ])
}

#[test]
fn checksums_are_flyways_in_flyways_order() {
    let migrations = good();
    insta::assert_snapshot!(flyway("checksums", migrations.path(), &[], &[]).shown(), @r"
    exit 0
    --- stdout
    payments  6 files
      2026/V1__one.sql      versioned 1                78787420
      V2__add_currency.sql  versioned 2              1449732928
      V10__later.sql        versioned 10             -500928370
      R__audit.sql          repeatable                 78787420
      R__balances.sql       repeatable              known once its placeholders are replaced
      beforeMigrate.sql     callback beforeMigrate  not recorded
    --- stderr
    ");
}

#[test]
fn as_json_they_are_the_manifests_part_and_claim_no_validation() {
    let migrations = good();
    let run = flyway("checksums", migrations.path(), &["--output", "json"], &[]);
    let part: Value = serde_json::from_str(&run.stdout).unwrap();
    // The figures are those that Flyway itself recorded.
    let checksums = json!({
        "2026/V1__one.sql": 78_787_420,
        "V2__add_currency.sql": 1_449_732_928,
        "V10__later.sql": -500_928_370,
        "R__audit.sql": 78_787_420,
        "R__balances.sql": null,
    });
    assert_eq!((run.code, part), (0, json!({"payments": {"validated": false, "checksums": checksums}})));
}

#[test]
fn every_file_that_flyway_would_not_take_is_told() {
    let migrations = folder(&[
        ("V1__one.sql", b"SELECT 1;\n"),
        ("V1.0__uno.sql", b"SELECT 1;\n"),
        ("V2_no_separator.sql", b"SELECT 2;\n"),
        ("V3__latin.sql", b"SELECT 'caf\xE9';\n"),
        ("V4__what?.sql", b"SELECT 4;\n"),
        ("v5__small.sql", b"SELECT 5;\n"),
    ]);
    let run = flyway("checksums", migrations.path(), &[], &[]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 1
    --- stdout
    payments  6 files
      V1.0__uno.sql        versioned 1     78787420
      V1__one.sql          versioned 1     78787420
      V3__latin.sql        versioned 3  not UTF-8
      V4__what?.sql        versioned 4   2043004697
      V2_no_separator.sql  unknown      not recorded
      v5__small.sql        unknown      not recorded

      flyway-not-utf8           payments/migrations/V3__latin.sql
                                not UTF-8 at byte 11, in line 1: Flyway can't read it, save the file as UTF-8 (UTF-16 and Latin-1 are not)

      flyway-name-invalid       payments/migrations/V4__what?.sql
                                `V4__what?.sql` is not a valid migration path: a file name that ends in `.sql`, below folders or not: letters, digits and `._+ ()@,=-`, no part of it starting with a dot

      flyway-name-invalid       payments/migrations/V2_no_separator.sql
                                the file has the version `2_no_separator`: write numbers with dots or underscores between them, such as `1.2`; most others Flyway passes over in silence, the rest order as nobody expects

      flyway-name-invalid       payments/migrations/v5__small.sql
                                the file starts with none of `V`, `R`, `B`, `U` (case counts) and no event's name, and Flyway passes over it in silence: name it like `V1__what_it_does.sql`

      flyway-duplicate-version  payments/migrations/V1__one.sql
                                `V1.0__uno.sql` has version `1` too, and the same bytes: with both of them Flyway runs nothing, rename or remove one
    --- stderr
    ");
    let run = flyway("checksums", migrations.path(), &["--output", "json"], &[]);
    let reasons: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, reasons["reasons"].as_array().unwrap().len()), (1, 5));
}

#[test]
fn a_folder_without_migrations_is_wrong_use() {
    let empty = folder(&[("README.md", b"")]);
    insta::assert_snapshot!(flyway("checksums", empty.path(), &[], &[]).shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: `DIR` holds no `.sql` file: name the folder of the migrations
    ");
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_called_like_a_file_and_a_broken_link_are_told() {
    let odd = folder(&[("V1__x.sql/V2__x.sql", b"SELECT 1;\n")]);
    let run = flyway("checksums", odd.path(), &[], &[]);
    assert!(run.code == 0 && run.stdout.contains("V1__x.sql/V2__x.sql"), "{}", run.shown());
    std::os::unix::fs::symlink("/no/such/file", odd.path().join("V3__gone.sql")).unwrap();
    let run = flyway("checksums", odd.path(), &[], &[]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("`DIR/V3__gone.sql` is not a file"), "{}", run.shown());
}

#[test]
fn without_a_database_nothing_is_validated() {
    let migrations = good();
    insta::assert_snapshot!(flyway("validate", migrations.path(), &[], &[]).shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: no database: set `DATABASE_URL` to `postgresql://user:password@host/database`, or pass `--secret-arn`
    ");
    let run = flyway("validate", migrations.path(), &[], &[("DATABASE_URL", "")]);
    assert_eq!(run.code, 2, "{}", run.shown());
}

#[test]
fn a_url_that_is_not_safe_or_not_for_flyway_is_wrong_use_and_not_repeated() {
    let migrations = good();
    let validate = |url| flyway("validate", migrations.path(), &[], &[("DATABASE_URL", url)]);
    let pooler = "postgresql://migrate_user:pa55-w0rd@ep-cool-name-123456-pooler.ap-southeast-2.aws.neon.tech/payments";
    insta::assert_snapshot!(validate(pooler).shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: `DATABASE_URL` does not tell how to reach `payments`: its host is a connection pooler, and Flyway holds session locks that a pooler loses: take the direct host, without `-pooler`
    ");
    for url in [
        "postgresql://migrate_user:pa55/w0rd@db.example.com/payments",
        "postgresql://migrate_user:pa55-w0rd@db.example.com/payments?sslmode=disable",
        "jdbc:postgresql://db.example.com/payments?password=pa55",
        "pa55-w0rd",
    ] {
        let run = validate(url);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.shown());
    }
}

#[test]
fn a_tool_that_is_missing_is_exit_code_3_and_named() {
    let (migrations, nothing) = (good(), tempfile::tempdir().unwrap());
    let variables = [("DATABASE_URL", URL), ("PATH", nothing.path().to_str().unwrap())];
    insta::assert_snapshot!(flyway("validate", migrations.path(), &[], &variables).shown(), @r"
    exit 3
    --- stdout
    --- stderr
    error: `flyway` is not on the path: install it
    ");
    let out = nothing.path().join("snapshot.sql");
    let out = out.to_str().unwrap();
    let run = gatekeeper_with(&["snapshot", "take", "--database", "payments", "--out", out], &variables);
    insta::assert_snapshot!(run.shown(), @r"
    exit 3
    --- stdout
    --- stderr
    error: `pg_dump` is not on the path: install it
    ");
    assert!(!Path::new(out).exists());
}

#[test]
fn a_run_that_could_not_ask_takes_back_what_an_earlier_one_wrote() {
    let (migrations, nothing) = (good(), tempfile::tempdir().unwrap());
    let part = nothing.path().join("flyway.json");
    fs::write(&part, r#"{"ledger": {"validated": true}, "payments": {"validated": true}}"#).unwrap();
    let variables = [("DATABASE_URL", URL), ("PATH", nothing.path().to_str().unwrap())];
    let run = flyway("validate", migrations.path(), &["--write", part.to_str().unwrap()], &variables);
    assert_eq!(run.code, 3, "{}", run.shown());
    let part: Value = serde_json::from_slice(&fs::read(&part).unwrap()).unwrap();
    assert_eq!(part["payments"]["validated"], json!(false));
    assert_eq!(part["payments"]["checksums"]["2026/V1__one.sql"], json!(78_787_420));
    assert_eq!(part["ledger"], json!({"validated": true}));
}

#[test]
fn files_that_flyway_would_not_take_are_refused_before_any_database_is_asked() {
    let migrations = folder(&[("V1__one.sql", b"SELECT 1;\n"), ("V2_two.sql", b"SELECT 2;\n")]);
    let part = migrations.path().join("flyway.json");
    let run = flyway("validate", migrations.path(), &["--write", part.to_str().unwrap()], &[]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 1
    --- stdout
    invalid  payments, the database was not asked

      flyway-name-invalid  payments/migrations/V2_two.sql
                           the file has the version `2_two`: write numbers with dots or underscores between them, such as `1.2`; most others Flyway passes over in silence, the rest order as nobody expects
    --- stderr
    ");
    let part: Value = serde_json::from_slice(&fs::read(&part).unwrap()).unwrap();
    assert_eq!(part["payments"]["validated"], json!(false));
}

#[test]
fn a_file_that_is_not_the_manifests_part_is_left_alone() {
    let migrations = good();
    let part = migrations.path().join("flyway.json");
    fs::write(&part, "[1]").unwrap();
    let run = flyway("validate", migrations.path(), &["--write", part.to_str().unwrap()], &[("DATABASE_URL", URL)]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: `DIR/flyway.json` is not the manifest's part about Flyway: invalid type: sequence, expected a map at line 1 column 0; remove it
    ");
    assert_eq!(fs::read(&part).unwrap(), b"[1]");
}

#[test]
fn a_secret_that_cannot_be_read_is_exit_code_3() {
    let migrations = good();
    // Nothing listens on port 1.
    let arguments =
        ["--secret-arn", "dev/payments", "--endpoint-url", "http://127.0.0.1:1", "--region", "ap-southeast-2"];
    let keys = [("AWS_ACCESS_KEY_ID", "000000000000"), ("AWS_SECRET_ACCESS_KEY", "none")];
    let run = flyway("validate", migrations.path(), &arguments, &keys);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.shown());
    assert!(run.stderr.starts_with("error: the secret `dev/payments` could not be read: "), "{}", run.stderr);
    // An argument can't tell the URL.
    let run = gatekeeper(&["flyway", "validate", ".", "--database", "payments", "--url", URL]);
    assert_eq!(run.code, 2, "{}", run.shown());
}
