//! The look before anything is applied: histories that somebody changed.

use std::collections::BTreeMap;

use gatekeeper_promotion::{database_check::DatabaseCheckAnswer, step::ReportStatus};
use serde_json::json;

use crate::stage::{Files, Promotion, Stage, With};

const V1: (&str, &str) = ("V1__ledger.sql", "CREATE TABLE ledger (id bigint PRIMARY KEY);\n");
const V2: (&str, &str) = ("V2__currency.sql", "ALTER TABLE ledger ADD COLUMN currency char(3);\n");
const V3: (&str, &str) = ("V3__note.sql", "ALTER TABLE ledger ADD COLUMN note text;\n");

/// A stage that a commit with `files` was promoted to.
async fn promoted(name: &str, files: Files<'_>) -> Stage {
    let stage = Stage::new(name);
    let report = reported(&stage, files).await.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    stage
}

async fn reported(stage: &Stage, files: Files<'_>) -> Promotion {
    stage.promotion(files, &stage.untested().await, With { parity: "reported", ..With::default() })
}

fn codes(look: &DatabaseCheckAnswer) -> BTreeMap<&'static str, Vec<&str>> {
    let mut codes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for reason in &look.reasons {
        codes.entry(reason.code.as_str()).or_default().push(reason.subject.as_str());
    }
    codes
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_ran_is_refused_by_name() {
    let stage = promoted("edited", &[V1, V2]).await;
    let edited = [(V1.0, "CREATE TABLE ledger (id bigint PRIMARY KEY, extra int);\n"), V2];
    let promotion = reported(&stage, &edited).await;
    let look = promotion.check().await;
    assert_eq!(
        codes(&look),
        BTreeMap::from([
            ("flyway-history-mismatch", vec!["payments/flyway_schema_history/1"]),
            ("flyway-validate-failed", vec!["payments/V1__ledger.sql"]),
        ]),
        "{look:#?}"
    );
    assert_eq!(promotion.go().await.status, ReportStatus::Failed);
}

#[tokio::test]
async fn a_migration_between_those_that_ran_is_refused() {
    let stage = promoted("order", &[V1, V3]).await;
    let look = reported(&stage, &[V1, V2, V3]).await.check().await;
    assert_eq!(codes(&look).keys().copied().collect::<Vec<_>>(), ["flyway-history-mismatch", "flyway-validate-failed"]);
}

#[tokio::test]
async fn a_commit_that_lacks_what_the_stage_ran_is_refused() {
    let stage = promoted("older", &[V1, V2]).await;
    let look = reported(&stage, &[V1]).await.check().await;
    assert_eq!(codes(&look).keys().copied().collect::<Vec<_>>(), ["flyway-history-mismatch", "flyway-validate-failed"]);
}

#[tokio::test]
async fn a_repaired_history_is_seen_by_what_the_last_promotion_left() {
    let stage = Stage::new("repaired");
    let report = reported(&stage, &[V1, V2]).await.go().await;
    let history_before = json!({"payments": json!(report.facts)["history"]});
    // Somebody edits a migration, runs it by hand and then `flyway repair`, which makes files and rows agree.
    let edited = [(V1.0, "CREATE TABLE ledger (id bigint PRIMARY KEY, extra int);\n"), V2];
    let checksum = gatekeeper_readers::flyway::checksum::scan(edited[0].1.as_bytes()).unwrap().unwrap().checksum;
    stage.sql(&format!("UPDATE flyway_schema_history SET checksum = {checksum} WHERE version = '1'"));

    let look = reported(&stage, &edited).await.check().await;
    assert_eq!(look.reasons, [], "without the record there is nothing to see");
    let with = With { parity: "reported", history_before, ..With::default() };
    let look = stage.promotion(&edited, &stage.untested().await, with).check().await;
    assert_eq!(codes(&look), BTreeMap::from([("flyway-history-rewritten", vec!["payments/flyway_schema_history/1"])]));
}

#[tokio::test]
async fn what_undoes_a_migration_is_passed_over_as_by_flyway_community() {
    let stage = Stage::new("undo");
    let promotion = reported(&stage, &[V1, ("U1__ledger.sql", "DROP TABLE ledger;\n")]).await;
    assert_eq!(promotion.check().await.reasons, []);
    assert_eq!(promotion.go().await.status, ReportStatus::Applied);
    assert_eq!(stage.sql("SELECT script FROM flyway_schema_history"), V1.0);
}

#[tokio::test]
async fn callbacks_run_with_a_migration_and_never_in_a_look() {
    let stage = Stage::new("callbacks");
    let files = [V1, ("beforeValidate.sql", "COMMENT ON SCHEMA public IS 'it ran';\n")];
    let promotion = reported(&stage, &files).await;
    assert_eq!(promotion.check().await.reasons, []);
    let comment = "SELECT obj_description('public'::regnamespace)";
    assert_ne!(stage.sql(comment), "it ran");
    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Applied, "{report:#?}");
    assert_eq!(stage.sql(comment), "it ran");
}
