//! What others are told of an answer: a pure function of it and of what was asked for.

use gatekeeper_model::{
    finding::Code,
    notification::{Happened, Notification},
};
use gatekeeper_promotion::{brake::BrakeRequest, request::PromotionRequest};
use serde_json::Value;

use crate::{Answer, AnswerStatus, Answered, BrakeAnswer};

/// What is told of an answer to `event`: that a promotion was started, that it wants approvals, that a stage is held. Nothing of
/// a dry run, nor of what was so before.
#[must_use]
pub fn notifications(event: &Value, answer: &Answered) -> Vec<Notification> {
    match answer {
        Answered::Promotion(answer) => PromotionRequest::parse(event).ok().and_then(|it| of_promotion(&it, answer)),
        Answered::Brake(answer) => match answer.as_ref() {
            BrakeAnswer::Held { hold, already: false, .. } => BrakeRequest::parse(event).ok().map(|(request, _)| {
                let mut told = Notification::of_stage(Happened::StageHeld, &request.stage, None);
                told.detail.by = Some(hold.by.clone());
                told
            }),
            _ => None,
        },
    }
    .into_iter()
    .collect()
}

fn of_promotion(request: &PromotionRequest, answer: &Answer) -> Option<Notification> {
    let happened = match answer.status {
        _ if request.dry_run => return None,
        AnswerStatus::Started => Happened::PromotionStarted,
        AnswerStatus::Refused if answer.reasons.iter().any(|it| it.code == Code::ApprovalsMissing) => {
            Happened::ApprovalWanted
        }
        AnswerStatus::Refused | AnswerStatus::Planned => return None,
    };
    let told = Notification::of_stage(happened, &request.stage, Some(&request.repo));
    let mut told = told.with_findings(&answer.reasons);
    told.detail.commit_sha.clone_from(&request.commit_sha);
    told.detail.promotion_id.clone_from(&answer.promotion_id);
    told.detail.by = Some(request.requested_by.clone());
    Some(told)
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::finding::Finding;
    use gatekeeper_promotion::plan::Plan;

    use super::*;

    fn asked(dry_run: bool) -> Value {
        let mut event: Value = serde_json::from_str(include_str!("../../../events/promotion.json")).unwrap();
        event["dry_run"] = dry_run.into();
        event
    }

    fn answered(status: AnswerStatus, codes: &[Code]) -> Answered {
        Answered::Promotion(Box::new(Answer {
            waived: Vec::new(),
            status,
            promotion_id: None,
            execution_arn: None,
            lease: None,
            reasons: codes.iter().map(|code| Finding::new(*code, "uat", "somebody's words")).collect(),
            plan: Plan::default(),
            plan_sha256: None,
            changes: None,
            migrations: Vec::new(),
            not_counted: Vec::new(),
            break_glass: None,
            notes: Vec::new(),
        }))
    }

    fn told(event: &Value, answer: &Answered) -> Vec<Happened> {
        notifications(event, answer).into_iter().map(|it| it.happened).collect()
    }

    #[test]
    fn a_refusal_for_want_of_approvals_asks_for_them_and_another_tells_nobody() {
        let refused = |codes| answered(AnswerStatus::Refused, codes);
        let wanted = refused(&[Code::ApprovalsMissing, Code::NotBuilt]);
        assert_eq!(told(&asked(false), &wanted), [Happened::ApprovalWanted]);
        assert_eq!(told(&asked(false), &refused(&[Code::NotBuilt])), []);
        let detail = &notifications(&asked(false), &wanted)[0].detail;
        assert_eq!(detail.codes.len(), 2);
        assert!(detail.commit_sha.is_some() && detail.stage.is_some() && detail.by.is_some());
    }

    #[test]
    fn a_start_is_told_and_a_dry_run_is_not() {
        assert_eq!(told(&asked(false), &answered(AnswerStatus::Started, &[])), [Happened::PromotionStarted]);
        assert_eq!(told(&asked(true), &answered(AnswerStatus::Planned, &[])), []);
        assert_eq!(told(&asked(true), &answered(AnswerStatus::Refused, &[Code::ApprovalsMissing])), []);
    }

    #[test]
    fn a_hold_is_told_once() {
        let event: Value = serde_json::from_str(include_str!("../../../events/hold.json")).unwrap();
        let hold: gatekeeper_proof::ledger::Hold = serde_json::from_value(serde_json::json!({
            "id": "01J0000000000000000000000A", "by": "jane@bank.example", "since": "2026-05-02T03:04:05Z", "reason": "errors",
        }))
        .unwrap();
        let held = |already| {
            Answered::Brake(Box::new(BrakeAnswer::Held {
                hold: hold.clone(),
                already,
                sent_back: vec![],
                goes_on: vec![],
            }))
        };
        assert_eq!(told(&event, &held(false)), [Happened::StageHeld]);
        assert_eq!(told(&event, &held(true)), []);
    }
}
