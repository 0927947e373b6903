//! How every step that applies a plan begins: it reads its input and its promotion's record.

use futures_util::future::try_join;
use gatekeeper_model::{
    ids::Commit,
    telemetry::{Logger, chain, wall_clock},
};
use gatekeeper_promotion::{
    brake::{Stopping, stopping},
    facts::StepFacts,
    plan::Plan,
    record::PromotionRecord,
    step::{Direction, Report, ReportStatus, Step, StepAnswer, StepInput},
};
use gatekeeper_store::ReadStore;
use serde_json::{Value, json};

use super::lambda::{FunctionError, Invocation};

/// What a report is about that says who stopped a promotion.
pub const STOP: &str = "stop";

/// A step that tells `F` and has begun.
#[derive(Debug)]
pub struct Begun<F> {
    /// The promotion.
    pub record: PromotionRecord,
    /// Which of its plans is applied.
    pub direction: Direction,
    /// The commit that the plan is of.
    pub commit: Commit,
    /// The plan.
    pub plan: Plan,
    /// What the step answered before, where it is asked again.
    pub progress: Vec<Report<F>>,
    /// That somebody stops the promotion, on its way forward: then nothing new is begun.
    pub stopping: Option<Stopping>,
    /// Where it tells of its work.
    pub log: Logger,
}

impl<F: StepFacts> Begun<F> {
    /// Begins the step.
    ///
    /// # Errors
    /// `InvalidStepInput` where the event isn't a step's, or asks for a way back that there isn't; `StepError` where
    /// the record could not be read, and it may be asked again; `PromotionEnded` where the record says so already.
    pub async fn of(event: Value, records: &impl ReadStore, invocation: &Invocation) -> Result<Self, FunctionError> {
        let input: StepInput<F> =
            serde_json::from_value(event).map_err(|error| FunctionError::new("InvalidStepInput", error))?;
        let looks =
            try_join(PromotionRecord::load(records, &input.promotion), stopping(records, &input.promotion)).await;
        let (record, stopping) = looks.map_err(|error| FunctionError::new("StepError", chain(&error)))?;
        let record = record.record;
        // Who took its lock over has proved it dead: nothing of it is applied behind his back, should it wake up again.
        if record.ended_at.is_some() {
            let message =
                format!("the promotion has ended as `{}`: nothing is applied for it any more", record.status.as_str());
            return Err(FunctionError::new("PromotionEnded", message));
        }
        let Some((commit, plan)) = record.heading(input.direction) else {
            return Err(FunctionError::new("InvalidStepInput", "the promotion has no way back"));
        };
        let log = invocation
            .log
            .for_commit(&commit)
            .with("promotion_id", record.promotion_id.as_str())
            .with("stage", record.stage.as_str())
            .with("step", F::STEP.as_str());
        let plan = plan.clone();
        let stopping = stopping.filter(|_| input.direction == Direction::Forward);
        Ok(Self { record, direction: input.direction, commit, plan, progress: input.progress, stopping, log })
    }

    /// The answer of a step that somebody stops before it begins, or between two things that it does. What it is in the middle
    /// of it ends first, unless it only asks questions.
    #[must_use]
    pub fn stopped(&self) -> Option<StepAnswer<F>> {
        let Stopping { told } = self.stopping.as_ref()?;
        let is_at_work = self.progress.iter().any(|report| report.ended_at.is_none());
        if is_at_work && F::STEP != Step::SmokeTest {
            return None;
        }
        self.log.warn("the promotion is stopped", json!({"detail": told}));
        let report = Report::begun(STOP, wall_clock()).ended(ReportStatus::Failed, told, wall_clock());
        let progress: Vec<_> =
            self.progress.iter().filter(|it| it.ended_at.is_some()).cloned().chain([report]).collect();
        Some(StepAnswer::of(progress, 0, 0))
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_promotion::{
        facts::{SmokeFacts, StackFacts},
        step::StepStatus,
    };
    use gatekeeper_store::{Precondition, WriteStore as _, memory::Memory};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn nothing_is_applied_for_a_promotion_that_has_ended() {
        for (status, ended_at, begins) in [
            ("running", None, true),
            ("going-back", None, true),
            ("failed", Some("2026-05-02T03:10:00Z"), false),
            ("succeeded", Some("2026-05-02T03:10:00Z"), false),
        ] {
            let id = "01J0000000000000000000000A";
            let record = json!({
                "schema_version": 1, "promotion_id": id, "repo": "bank-payments", "commit_sha": "b".repeat(40),
                "stage": "uat", "requested_by": "jane@bank.example", "reason": "release", "rollback": false,
                "status": status, "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z", "ended_at": ended_at,
                "verdict_version_id": "v1", "manifest_version_id": "m1", "stages_config_version_id": "c1",
                "role_arn": null, "stack_role_arn": null, "plan": Plan::default(), "way_back": null, "steps": [],
                "live": [],
            });
            let records = Memory::default();
            let key = format!("promotions/uat/bank-payments/{id}.json");
            let bytes = record.to_string();
            records.put(&key, bytes.as_bytes(), "application/json", &Precondition::Absent).await.unwrap();
            let event = json!({
                "promotion": {"stage": "uat", "repo": "bank-payments", "promotion_id": id}, "direction": "forward",
            });
            let invocation = Invocation { log: Logger::silent(), deadline: jiff::Timestamp::MAX };
            let begun = Begun::<StackFacts>::of(event, &records, &invocation).await;
            assert_eq!(begun.is_ok(), begins, "{status}");
        }
    }

    fn begun<F: StepFacts>(progress: Vec<Report<F>>, is_stopped: bool) -> Begun<F> {
        let id = "01J0000000000000000000000A";
        let record = json!({
            "schema_version": 1, "promotion_id": id, "repo": "bank-payments", "commit_sha": "b".repeat(40), "stage": "uat",
            "requested_by": "jane@bank.example", "reason": "release", "rollback": false, "status": "running",
            "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z", "ended_at": null, "verdict_version_id": "v1",
            "manifest_version_id": "m1", "stages_config_version_id": "c1", "role_arn": null, "stack_role_arn": null,
            "plan": Plan::default(), "way_back": null, "steps": [], "live": [],
        });
        let record: PromotionRecord = serde_json::from_value(record).unwrap();
        let (commit, told) = (record.commit(), "stopped by `ann`".to_owned());
        Begun {
            record,
            direction: Direction::Forward,
            commit,
            plan: Plan::default(),
            progress,
            stopping: is_stopped.then_some(Stopping { told }),
            log: Logger::silent(),
        }
    }

    #[test]
    fn a_step_stops_before_it_begins_or_between_two_things_and_not_in_the_middle_of_one() {
        let now = wall_clock();
        let done = || Report::<StackFacts>::begun("one", now).ended(ReportStatus::Applied, "", now);
        let at_work = || Report::<StackFacts>::begun("two", now);
        for (progress, stops) in [(vec![], true), (vec![done()], true), (vec![done(), at_work()], false)] {
            let told = progress.len();
            let answer = begun(progress.clone(), true).stopped();
            assert_eq!(answer.is_some(), stops, "{progress:?}");
            assert_eq!(begun(progress, false).stopped(), None);
            let Some(answer) = answer else { continue };
            let last = answer.progress.last().unwrap();
            assert_eq!((answer.status, answer.progress.len()), (StepStatus::Failed, told + 1));
            assert_eq!((last.subject.as_str(), last.detail.as_str()), (STOP, "stopped by `ann`"));
        }
        let asking = vec![Report::<SmokeFacts>::begun("health", now)];
        assert!(begun(asking, true).stopped().is_some(), "questions change nothing");
    }
}
