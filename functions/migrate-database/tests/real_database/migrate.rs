//! `flyway migrate` at its turn.

use std::time::{Duration, Instant};

use gatekeeper_database::{DatabaseError, Migrations};
use gatekeeper_model::{ids::MigrationPath, telemetry::Logger};
use gatekeeper_promotion::{
    record::PromotionRecord,
    step::{ReportStatus, StepStatus},
};
use gatekeeper_readers::flyway::settings::Settings;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::stage::{Stage, With, folder_of, within};

/// How many sessions run a migration that sleeps.
const SLEEPING: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND state = 'active' AND \
                        pid <> pg_backend_pid() AND datname = current_database()";
const LEDGER: &str = "CREATE TABLE ledger (id bigint PRIMARY KEY, größe text);\n";
const CURRENCY: &str = "ALTER TABLE ledger ADD COLUMN currency char(3) NOT NULL;\n";
const VIEW: &str = "CREATE OR REPLACE VIEW balances AS SELECT currency, count(*) FROM ledger GROUP BY currency;\n";
const COMMIT: &[(&str, &str)] =
    &[("V1__ledger.sql", LEDGER), ("2026/V2__currency.sql", CURRENCY), ("R__balances.sql", VIEW)];

#[tokio::test]
async fn a_fresh_database_runs_everything_and_has_the_tested_schema_and_a_second_run_changes_nothing() {
    let stage = Stage::new("fresh");
    let promotion = stage.promotion(COMMIT, &stage.tested(COMMIT).await, With::default());

    let look = promotion.check().await;
    assert_eq!(look.reasons, []);
    let pending: Vec<_> = look.pending.values().flatten().map(MigrationPath::as_str).collect();
    assert_eq!(pending, ["V1__ledger.sql", "2026/V2__currency.sql", "R__balances.sql"]);
    assert_eq!(stage.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0", "a look changes nothing");

    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(report.detail, "3 migrations ran, and its schema is the one that was tested");
    let flyway = json!(report.facts)["flyway"].clone();
    assert_eq!(flyway["migrations_executed"], 3);
    assert_eq!(flyway["migrations"][1]["file"], "2026/V2__currency.sql");
    assert_eq!(flyway["migrations"][1]["description"], "currency");
    assert_eq!(flyway["target_schema_version"], "2");
    assert_eq!(flyway["version"], "11.8.2");
    assert_eq!(json!(report.facts)["schema_parity"]["equal"], true);
    assert_eq!(
        json!(report.facts)["schema_parity"]["tested_sha256"],
        json!(report.facts)["schema_parity"]["live_sha256"]
    );
    assert_eq!(json!(report.facts)["history"].as_array().unwrap().len(), 3);

    let started = Instant::now();
    let again = promotion.go().await;
    assert_eq!(again.status, ReportStatus::Unchanged, "{again:#?}");
    assert_eq!(again.detail, "it had run every migration already, and its schema is the one that was tested");
    assert_eq!(json!(again.facts)["history"], json!(report.facts)["history"]);
    assert!(again.facts.flyway.is_nothing(), "no Java was started");
    eprintln!("a step with nothing to do: {:?}", started.elapsed());
}

#[tokio::test]
async fn only_what_is_pending_runs() {
    let stage = Stage::new("pending");
    let (first, tested) = (&COMMIT[..1], stage.tested(&COMMIT[..1]).await);
    assert_eq!(stage.promotion(first, &tested, With::default()).go().await.status, ReportStatus::Applied);

    let promotion = stage.promotion(COMMIT, &stage.tested(COMMIT).await, With::default());
    let look = promotion.check().await;
    assert_eq!((look.reasons.len(), look.pending.values().flatten().count()), (0, 2), "{look:#?}");
    let report = promotion.go().await;
    assert_eq!(report.detail, "2 migrations ran, and its schema is the one that was tested", "{report:#?}");
    assert_eq!(json!(report.facts)["flyway"]["initial_schema_version"], "1");
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_what_ran_before_and_nothing_of_itself() {
    let stage = Stage::new("half_way");
    let bad = "CREATE TABLE kept (id int);\nINSERT INTO ledger VALUES (1, 'DE02120300000000202051');\n\
               INSERT INTO ledger VALUES (1, 'DE02120300000000202051');\n";
    let files = [("V1__ledger.sql", LEDGER), ("V2__bad.sql", bad), ("V3__never.sql", CURRENCY)];
    let promotion = stage.promotion(&files, b"", With::default());
    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Failed);
    insta::assert_snapshot!(report.detail, @r#"the migration `V2__bad.sql` failed at line 3: ERROR: duplicate key value violates unique constraint "ledger_pkey" (SQL state 23505); ran and stay: `V1__ledger.sql`; PostgreSQL rolled the failed one back: nothing of it is left"#);
    assert!(!report.detail.contains("DE02"), "rows of a bank don't go into records");
    assert_eq!(json!(report.facts)["flyway"]["migrations_executed"], 1);
    assert_eq!(json!(report.facts)["flyway"]["migrations"][0]["file"], "V1__ledger.sql");
    assert_eq!(json!(report.facts)["flyway"]["failed"]["line"], 3);
    assert_eq!(json!(report.facts)["history"].as_array().unwrap().len(), 1);
    assert_eq!(stage.sql("SELECT to_regclass('kept') IS NULL"), "t");

    let mended = [files[0], ("V2__bad.sql", "CREATE TABLE kept (id int);\n"), files[2]];
    let report = stage.promotion(&mended, &stage.tested(&mended).await, With::default()).go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
}

#[tokio::test]
async fn a_failed_migration_outside_of_a_transaction_leaves_a_failed_row_and_the_next_look_says_so() {
    let stage = Stage::new("outside");
    let files = [
        ("V1__t.sql", "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1), (1);\n"),
        ("V2__unique.sql", "CREATE UNIQUE INDEX CONCURRENTLY t_id ON t (id);\n"),
    ];
    let promotion = stage.promotion(&files, b"", With::default());
    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Failed);
    insta::assert_snapshot!(report.detail, @r#"the migration `V2__unique.sql` failed at line 1: ERROR: could not create unique index "t_id" (SQL state 23505); ran and stay: `V1__t.sql`; `V2__unique.sql` could not run in a transaction, so what it did before it failed is still there, and its row in flyway_schema_history stands as failed: take it back by hand and remove the row"#);
    assert_eq!(stage.sql("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "1", "it is still there");
    let look = promotion.check().await;
    assert!(look.reasons.iter().any(|it| it.code.as_str() == "flyway-history-mismatch"), "{look:#?}");
    assert!(look.reasons.iter().any(|it| it.code.as_str() == "flyway-validate-failed"), "{look:#?}");
    let again = promotion.go().await;
    assert!(again.detail.starts_with("nothing was migrated: "), "{again:#?}");
}

#[tokio::test]
async fn an_index_may_be_made_concurrently() {
    let stage = Stage::new("concurrently");
    let files = [("V1__t.sql", "CREATE TABLE t (id int);"), ("V2__i.sql", "CREATE INDEX CONCURRENTLY i ON t (id);")];
    let report = stage.promotion(&files, &stage.tested(&files).await, With::default()).go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
}

#[tokio::test]
async fn a_killed_step_is_asked_again_and_ends_the_same() {
    let stage = Stage::new("killed");
    let slow = "SELECT pg_sleep(3);\nCREATE TABLE slow (id int);\n";
    let files = [("V1__ledger.sql", LEDGER), ("V2__slow.sql", slow), ("V3__currency.sql", CURRENCY)];
    let promotion = stage.promotion(&files, &stage.tested(&files).await, With::default());
    // Dropped as it runs the second one: all its children are killed, as when Lambda ends a function.
    let killed = timeout(Duration::from_mins(1), async {
        tokio::select! {
            report = promotion.go() => panic!("not slow enough: {report:#?}"),
            () = until(|| stage.sql(SLEEPING) == "1") => {}
        }
    });
    killed.await.unwrap();
    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(report.detail, "2 migrations ran, and its schema is the one that was tested", "{report:#?}");
    assert_eq!(
        stage.sql("SELECT string_agg(script, ' ' ORDER BY installed_rank) FROM flyway_schema_history"),
        "V1__ledger.sql V2__slow.sql V3__currency.sql"
    );
}

#[tokio::test]
async fn what_takes_longer_than_the_invocation_is_ended_before_it_and_told() {
    let stage = Stage::new("too_long");
    let files = [("V1__ledger.sql", LEDGER), ("V2__slow.sql", "SELECT 1;\nSELECT pg_sleep(600);\n")];
    let promotion = stage.promotion(&files, b"", With::default());
    let (started, invocation) = (Instant::now(), Duration::from_secs(45));
    let answer = promotion.ask("forward", invocation, Logger::silent()).await;
    assert!(started.elapsed() < invocation, "{:?}", started.elapsed());
    assert_eq!(answer.status, StepStatus::Failed);
    let detail = &answer.progress[0].detail;
    assert!(detail.contains("; ran and stay: `V1__ledger.sql`; PostgreSQL roll"), "{detail}");
    // PostgreSQL ends the statement first, unless Java took so long to start that Flyway as a whole is ended.
    let by_postgresql = "the migration `V2__slow.sql` failed at line 2: ERROR: canceling statement due to statement timeout (SQL state 57014)";
    assert!(detail.starts_with(by_postgresql) || detail.starts_with("`flyway` did not end within "), "{detail}");
}

#[tokio::test]
async fn another_flyway_is_waited_for() {
    let stage = Stage::new("waited");
    let files = [("V1__slow.sql", "SELECT pg_sleep(3);\n")];
    let promotion = stage.promotion(&files, &stage.tested(&files).await, With::default());
    let folder = folder_of(&files);
    let other = stage.server.database(&stage.database, "somebody else's");
    let migrations = Migrations { folder: folder.path().to_owned(), settings: Settings::default() };
    let both = async {
        tokio::join!(other.migrate(&migrations), async {
            until(|| stage.is_locked()).await;
            promotion.go().await
        })
    };
    let (other, report) = both.await;
    assert_eq!(other.unwrap().ran.len(), 1);
    assert_eq!(report.status, ReportStatus::Unchanged, "the other one did it: {report:#?}");
}

#[tokio::test]
async fn another_flyway_that_does_not_end_is_named() {
    let stage = Stage::new("named");
    let folder = folder_of(&[("V1__slow.sql", "SELECT pg_sleep(120);\n")]);
    let migrations = Migrations { folder: folder.path().to_owned(), settings: Settings::default() };
    let other = stage.server.database(&stage.database, "somebody else's flyway");
    let own = within(stage.server.database(&stage.database, "own"), Duration::from_secs(2));
    let named = async {
        until(|| stage.is_locked()).await;
        own.migrate(&migrations).await
    };
    let named = tokio::select! {
        other = other.migrate(&migrations) => panic!("{other:?}"),
        named = named => named,
    };
    let error = named.unwrap_err();
    let DatabaseError::LockHeld { seconds: 2, holders } = &error else { panic!("{error}") };
    assert_eq!(holders[0].application_name.as_deref(), Some("somebody else's flyway"));
    assert!(error.to_string().contains("`somebody else's flyway` of user `"), "{error}");
}

#[tokio::test]
async fn placeholders_get_the_stages_values_and_run_again_only_when_they_changed() {
    let stage = Stage::new("placeholders");
    let files = [("V1__ledger.sql", LEDGER), ("R__comment.sql", "COMMENT ON TABLE ledger IS '${note}';\n")];
    let tested = stage.untested().await;
    let with = |note: &str| With { parity: "reported", placeholders: json!({"note": note}), ..With::default() };
    let note = r"a${HOME}, b\n = é";
    let report = stage.promotion(&files, &tested, with(note)).go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(stage.sql("SELECT obj_description('ledger'::regclass)"), note);
    assert_eq!(stage.promotion(&files, &tested, with(note)).go().await.status, ReportStatus::Unchanged);
    let report = stage.promotion(&files, &tested, with("another")).go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(stage.sql("SELECT obj_description('ledger'::regclass)"), "another");
}

#[tokio::test]
async fn on_the_way_back_nothing_is_migrated_and_nothing_fails() {
    let stage = Stage::new("way_back");
    let tested = stage.tested(COMMIT).await;
    let promotion = stage.promotion(COMMIT, &tested, With::default());
    let answer = promotion.ask("back", Duration::from_mins(1), Logger::silent()).await;
    assert_eq!(answer.status, StepStatus::Done);
    let report = &answer.progress[0];
    assert_eq!(report.status, ReportStatus::Unchanged);
    assert!(report.detail.starts_with("databases are never rolled back; its schema is not the one"), "{report:#?}");
    assert_eq!(json!(report.facts)["schema_parity"]["equal"], false);
    assert_eq!(stage.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");

    let nowhere = Some("postgresql://u:p@127.0.0.1:1/x".to_owned());
    let promotion = stage.promotion(COMMIT, &tested, With { secret: nowhere, ..With::default() });
    let answer = promotion.ask("back", Duration::from_mins(1), Logger::silent()).await;
    assert_eq!(answer.status, StepStatus::Done);
    assert!(answer.progress[0].detail.contains("can't be reached"), "{answer:#?}");
}

#[tokio::test]
async fn what_the_record_holds_is_read_back_by_the_next_promotion() {
    let stage = Stage::new("read_back");
    let report = stage.promotion(COMMIT, &stage.tested(COMMIT).await, With::default()).go().await;
    let record: Value = json!({
        "schema_version": 1, "promotion_id": "01JZ0000000000000000000000", "repo": "bank-payments",
        "commit_sha": "a".repeat(40), "stage": "uat", "requested_by": "j", "reason": "r", "rollback": false,
        "status": "succeeded", "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z", "ended_at": null,
        "verdict_version_id": "v", "manifest_version_id": "v", "stages_config_version_id": "v", "role_arn": null,
        "stack_role_arn": null, "way_back": null, "live": [],
        "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": []},
        "steps": [{"step": "migrate-database", "direction": "forward", "reports": [report]}],
    });
    let record: PromotionRecord = serde_json::from_value(record).unwrap();
    assert_eq!(record.schema_histories().unwrap().values().map(Vec::len).collect::<Vec<_>>(), [3]);
    assert!(record.schema_comparisons().unwrap().values().all(|comparison| comparison.equal));
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        sleep(Duration::from_millis(100)).await;
    }
}
