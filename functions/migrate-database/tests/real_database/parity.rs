//! The live schema held against the tested one.

use gatekeeper::promotion::step::{ReportStatus, StepStatus};

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
    assert_eq!(report.facts["schema_parity"]["equal"], false);

    let report = stage.promotion(COMMIT, &tested, With { parity: "reported", ..With::default() }).go().await;
    assert_eq!(report.status, ReportStatus::Unchanged, "{report:#?}");
    assert!(report.facts["schema_parity"]["difference"].as_str().unwrap().contains("by_hand"), "{report:#?}");
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
    let answer = back.ask("forward", std::time::Duration::from_mins(1), gatekeeper::telemetry::Logger::silent()).await;
    assert_eq!(answer.status, StepStatus::Failed, "{answer:#?}");

    // Accepted: the plan says that it is only reported.
    let accepted = stage.promotion(COMMIT, &tested, With { parity: "reported", ..rollback });
    assert_eq!(accepted.check().await.reasons, []);
    assert_eq!(accepted.go().await.status, ReportStatus::Unchanged);
    assert_eq!(stage.sql("SELECT count(*) FROM flyway_schema_history"), "2");
}
