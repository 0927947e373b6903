//! One promotion at a time per stage and repository (CONTRACT §5), and a lock that nobody is left behind.

use aws_sdk_sfn::types::ExecutionStatus;
use e2e::promotion::{Promotions, SLOW_STAGE, STAGE, Started, a_repo, promotion_of, rollback_of, started};
use futures_util::future::join_all;
use gatekeeper_model::finding::Code;
use gatekeeper_promotion::record::Status;
use serde_json::{Value, json};

/// Ends an execution as an operator does.
async fn stop(here: &Promotions, started: &Started) {
    here.aws.root.step_functions().stop_execution().execution_arn(&started.execution_arn).send().await.unwrap();
    assert_eq!(here.execution_ends(&started.execution_arn).await.0, ExecutionStatus::Aborted);
}

async fn execution(here: &Promotions, started: &Started) -> ExecutionStatus {
    let describe = here.aws.root.step_functions().describe_execution().execution_arn(&started.execution_arn);
    describe.send().await.unwrap().status().clone()
}

/// What a refusal because of another promotion says.
fn in_progress(answer: &Value) -> bool {
    answer["status"] == "refused" && answer["reasons"][0]["code"] == json!(Code::PromotionInProgress)
}

#[tokio::test]
async fn of_promotions_asked_for_at_once_exactly_one_starts() {
    let here = Promotions::get().await;
    let commit = here.a_commit(&a_repo("at-once"), 500).await;
    let event = promotion_of(&commit, SLOW_STAGE);
    let answers = join_all((0..4).map(async |_| here.ask(&event).await.unwrap())).await;
    let (refused, begun): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| in_progress(answer));
    assert_eq!((refused.len(), begun.len()), (3, 1), "{answers:#?}");
    let begun = started(&event, begun[0]);

    // Whoever comes later is told who is at it; a dry run and a rollback too.
    let reasons = here.refusal(&event).await;
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].message.contains(begun.promotion.promotion_id.as_str()), "{reasons:?}");
    let mut dry = event.clone();
    dry["dry_run"] = json!(true);
    here.refuses(&dry, &[Code::PromotionInProgress]).await;

    // It is held for this stage only.
    assert_eq!(here.promote(&commit, STAGE).await.status, Status::Failed, "it answers wrong there, too");
    assert_eq!(execution(&here, &begun).await, ExecutionStatus::Running);
    stop(&here, &begun).await;
}

#[tokio::test]
async fn other_repositories_and_stages_are_promoted_meanwhile() {
    let here = Promotions::get().await;
    let (one, other) = (here.a_commit(&a_repo("one"), 500).await, here.a_commit(&a_repo("other"), 500).await);
    let begun =
        [here.start(&promotion_of(&one, SLOW_STAGE)).await, here.start(&promotion_of(&other, SLOW_STAGE)).await];
    let third = here.a_commit(&a_repo("third"), 200).await;
    here.promoted(&third, SLOW_STAGE).await;
    for begun in &begun {
        assert_eq!(execution(&here, begun).await, ExecutionStatus::Running);
        stop(&here, begun).await;
    }
}

#[tokio::test]
async fn a_lock_whose_promotion_was_stopped_is_taken_over() {
    let here = Promotions::get().await;
    let repo = a_repo("stopped");
    let (stuck, good) = (here.a_commit(&repo, 500).await, here.a_commit(&repo, 200).await);
    let begun = here.start(&promotion_of(&stuck, SLOW_STAGE)).await;
    let event = promotion_of(&good, SLOW_STAGE);
    here.refuses(&event, &[Code::PromotionInProgress]).await;

    stop(&here, &begun).await;
    let left = here.lock(&begun.promotion).await.unwrap();
    assert_eq!((&left.promotion_id, left.released_at), (&begun.promotion.promotion_id, None), "nobody released it");
    let record = here.promoted(&good, SLOW_STAGE).await;
    assert_eq!(record.way_back, None, "what was stopped has never completed");
    assert!(record.live[0].is_promoted_code);
    let abandoned = here.record(&begun.promotion).await;
    assert_eq!((abandoned.status, abandoned.ended_at.is_some()), (Status::Failed, true), "completed by who took over");
    here.refuses(&rollback_of(&repo, Some(&stuck), SLOW_STAGE), &[Code::NeverPromoted]).await;
}
