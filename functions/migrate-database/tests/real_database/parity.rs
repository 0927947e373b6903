//! The live schema held against the tested one.

use gatekeeper_promotion::step::{ReportStatus, StepStatus};
use serde_json::json;

use crate::stage::{Files, Stage, With};

const COMMIT: Files<'_> = &[("V1__ledger.sql", "CREATE TABLE ledger (id bigint PRIMARY KEY);\n")];
const BY_HAND: &str = "ALTER TABLE ledger ADD COLUMN by_hand text";

#[tokio::test]
async fn a_column_that_was_made_by_hand_fails_the_promotion_or_is_written_down() {
    let stage = Stage::new("by_hand");
    let tested = stage.tested(COMMIT).await;
    let promotion = stage.promotion(COMMIT, &tested, With::default());
    assert_eq!(promotion.go().await.status, ReportStatus::Applied);
    stage.sql(BY_HAND);

    let report = promotion.go().await;
    assert_eq!(report.status, ReportStatus::Failed);
    let said = "it had run every migration already, but its schema is not the one that was tested:\n";
    assert!(report.detail.starts_with(said) && report.detail.contains("by_hand"), "{report:#?}");
    assert_eq!(json!(report.facts)["schema_parity"]["equal"], false);

    let report = stage.promotion(COMMIT, &tested, With { parity: "reported", ..With::default() }).go().await;
    assert_eq!(report.status, ReportStatus::Unchanged, "{report:#?}");
    assert!(json!(report.facts)["schema_parity"]["difference"].as_str().unwrap().contains("by_hand"), "{report:#?}");
}

#[tokio::test]
async fn between_promotions_a_schema_that_was_changed_by_hand_is_told_and_nothing_is_changed() {
    let stage = Stage::new("watched");
    let tested = stage.tested(COMMIT).await;
    let promotion = stage.promotion(COMMIT, &tested, With::default());
    assert_eq!(promotion.go().await.status, ReportStatus::Applied);
    let payments = "payments".parse().unwrap();
    let answer = promotion.parity().await;
    let comparison = &answer.comparisons[&payments];
    assert_eq!((comparison.live_sha256, &comparison.difference), (comparison.tested_sha256, &None));

    stage.sql(BY_HAND);
    let answer = promotion.parity().await;
    let comparison = &answer.comparisons[&payments];
    assert!(comparison.difference.as_ref().unwrap().contains("by_hand"), "{answer:#?}");
    assert_ne!(comparison.live_sha256, comparison.tested_sha256);
    assert_eq!(stage.sql("SELECT count(*) FROM flyway_schema_history"), "1");

    let secret = Some(stage.server.secret_with(&stage.database, "another password"));
    let answer = stage.promotion(COMMIT, &tested, With { secret, ..With::default() }).parity().await;
    assert!(answer.comparisons.is_empty() && answer.unknown[&payments].contains("refuses"), "{answer:#?}");
}

#[tokio::test]
async fn partitions_made_at_run_time_stop_no_promotion_and_one_unlike_its_siblings_does() {
    const EVENTS: Files<'_> = &[(
        "V1__events.sql",
        "CREATE TABLE events (id bigint, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);\n\
         CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');\n",
    )];
    let stage = Stage::new("partitions");
    let tested = stage.tested(EVENTS).await;
    let named = || With { entry: serde_json::json!({"partitions": ["public.events"]}), ..With::default() };
    assert_eq!(stage.promotion(EVENTS, &tested, named()).go().await.status, ReportStatus::Applied);
    stage.sql("CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')");
    let before = stage.promotion(EVENTS, &tested, named()).parity().await;
    let payments = "payments".parse().unwrap();
    assert_eq!(before.comparisons[&payments].difference, None, "{before:#?}");
    assert_eq!(stage.promotion(EVENTS, &tested, named()).go().await.status, ReportStatus::Unchanged);
    assert_eq!(stage.promotion(EVENTS, &tested, With::default()).go().await.status, ReportStatus::Failed);

    stage.sql("CREATE INDEX by_hand ON events_2027 (day)");
    let report = stage.promotion(EVENTS, &tested, named()).go().await;
    assert_eq!(report.status, ReportStatus::Failed);
    assert!(report.detail.contains("PARTITION OF public.events (public.events_2027)"), "{report:#?}");
    let now = stage.promotion(EVENTS, &tested, named()).parity().await;
    assert_ne!(now.comparisons[&payments].live_sha256, before.comparisons[&payments].live_sha256);
}

#[tokio::test]
async fn a_managed_secret_is_completed_by_the_stages_entry() {
    let stage = Stage::new("managed");
    let tested = stage.tested(COMMIT).await;
    let (secret, place) = stage.server.managed(&stage.database);
    let with =
        |entry: &serde_json::Value| With { secret: Some(secret.clone()), entry: entry.clone(), ..With::default() };
    assert_eq!(stage.promotion(COMMIT, &tested, with(&place)).go().await.status, ReportStatus::Applied);
    let report = stage.promotion(COMMIT, &tested, with(&serde_json::json!({}))).go().await;
    assert!(report.detail.contains("tell `host`, `port` and `dbname` in the database's entry"), "{report:#?}");
    let whole = stage.server.secret(&stage.database);
    let elsewhere = With { secret: Some(whole), entry: serde_json::json!({"host": "db.example"}), ..With::default() };
    let look = stage.promotion(COMMIT, &tested, elsewhere).check().await;
    assert_eq!(look.reasons[0].code.as_str(), "database-secret-invalid", "{look:#?}");
    assert!(look.reasons[0].message.contains("is not `host` of the database's entry"), "{look:#?}");
}

#[tokio::test]
async fn a_rollback_wants_the_target_commits_schema_and_migrates_nothing() {
    let stage = Stage::new("rollback");
    let rollback = With { rollback: true, ..With::default() };
    let newer: Files<'_> = &[COMMIT[0], ("V2__note.sql", "ALTER TABLE ledger ADD COLUMN note text;\n")];
    let (tested, newer_tested) = (stage.tested(COMMIT).await, stage.tested(newer).await);
    assert_eq!(stage.promotion(newer, &newer_tested, With::default()).go().await.status, ReportStatus::Applied);

    let back = stage.promotion(COMMIT, &tested, rollback.clone());
    let look = back.check().await;
    assert_eq!(look.reasons.len(), 1, "{look:#?}");
    let reason = &look.reasons[0];
    assert_eq!((reason.code.as_str(), reason.subject.as_str()), ("schema-difference", "payments"));
    assert!(reason.message.contains("accept_schema_difference") && reason.message.contains("note"), "{reason:#?}");
    let answer =
        back.ask("forward", std::time::Duration::from_mins(1), gatekeeper_model::telemetry::Logger::silent()).await;
    assert_eq!(answer.status, StepStatus::Failed, "{answer:#?}");

    // Accepted: the plan says that it is only reported.
    let accepted = stage.promotion(COMMIT, &tested, With { parity: "reported", ..rollback });
    assert_eq!(accepted.check().await.reasons, []);
    assert_eq!(accepted.go().await.status, ReportStatus::Unchanged);
    assert_eq!(stage.sql("SELECT count(*) FROM flyway_schema_history"), "2");
}
