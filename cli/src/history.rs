//! The steps of a promotion, told from its execution's history.
//!
//! A step that answers `in-progress` is entered again and again until it is done: that is one step here.

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType};
use gatekeeper_promotion::step::{Report, ReportStatus, StepAnswer, StepStatus};
use jiff::Timestamp;
use serde_json::Value;

/// Something that happened in an execution, as far as it matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Its place in the history, from 1.
    pub(crate) id: i64,
    at: Timestamp,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Entered { step: String, going_back: bool },
    Answered(Option<StepAnswer>),
    Failed { why: String },
    Exited { step: String },
    Ended,
    Other,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The state's name.
    pub(crate) name: String,
    /// Whether it is on the way back to the commit before.
    pub(crate) going_back: bool,
    /// When it was first entered.
    pub(crate) started_at: Timestamp,
    /// When it was over.
    pub(crate) ended_at: Option<Timestamp>,
    /// Why it failed, where it did; while it isn't ended it is tried again.
    pub(crate) failure: Option<String>,
    /// What it told of the things it works on.
    pub(crate) reports: Vec<Report>,
    is_asked_again: bool,
}

impl Step {
    /// A step that begins, on the way forward.
    pub(crate) fn begun(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            going_back: false,
            started_at: now,
            ended_at: None,
            failure: None,
            reports: Vec::new(),
            is_asked_again: false,
        }
    }
}

/// The steps of an execution so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Steps {
    /// In the order in which they began.
    pub(crate) list: Vec<Step>,
    /// Whether the execution is over.
    pub(crate) is_over: bool,
    /// The last event that was added.
    pub(crate) last_id: i64,
}

impl Steps {
    /// Adds what has happened since, oldest first.
    pub(crate) fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if event.id > self.last_id {
                self.last_id = event.id;
                self.add_one(event.at, event.what);
            }
        }
    }

    fn add_one(&mut self, at: Timestamp, what: What) {
        match what {
            What::Entered { step, going_back } => match self.list.last_mut() {
                Some(last) if last.name == step && last.going_back == going_back => {}
                _ => self.list.push(Step { going_back, ..Step::begun(&step, at) }),
            },
            What::Answered(answer) => {
                let Some(last) = self.list.last_mut() else { return };
                last.failure =
                    answer.as_ref().filter(|it| it.status == StepStatus::Failed).map(|it| failures(&it.progress));
                last.is_asked_again = answer.as_ref().is_some_and(|it| it.status == StepStatus::InProgress);
                last.reports = answer.map(|it| it.progress).unwrap_or_default();
            }
            What::Failed { why } => {
                if let Some(last) = self.list.last_mut() {
                    last.failure = Some(why);
                }
            }
            What::Exited { step } => {
                let last = self.list.iter_mut().rev().find(|it| it.name == step);
                if let Some(last) = last.filter(|it| !it.is_asked_again) {
                    last.ended_at = Some(at);
                }
            }
            What::Ended => {
                self.is_over = true;
                if let Some(last) = self.list.last_mut() {
                    last.ended_at.get_or_insert(at);
                }
            }
            What::Other => {}
        }
    }
}

/// Why things failed that a step works on.
pub(crate) fn failures(reports: &[Report]) -> String {
    let failed = reports.iter().filter(|report| report.status == ReportStatus::Failed);
    failed.map(|report| format!("`{}`: {}", report.subject, report.detail)).collect::<Vec<_>>().join("; ")
}

impl Event {
    /// The event as Step Functions tells it; none without a time.
    pub(crate) fn read(event: &HistoryEvent) -> Option<Self> {
        let at = gatekeeper_aws::timestamp(event.timestamp())?;
        let failed = |error: Option<&str>, cause: Option<&str>| What::Failed {
            why: [error, cause].into_iter().flatten().collect::<Vec<_>>().join(": "),
        };
        let what = match event.r#type() {
            HistoryEventType::TaskStateEntered => {
                let details = event.state_entered_event_details()?;
                What::Entered { step: details.name().to_owned(), going_back: details.input().is_some_and(goes_back) }
            }
            HistoryEventType::TaskStateExited => {
                What::Exited { step: event.state_exited_event_details()?.name().to_owned() }
            }
            HistoryEventType::TaskSucceeded => answered(event.task_succeeded_event_details()?.output()),
            HistoryEventType::LambdaFunctionSucceeded => {
                answered(event.lambda_function_succeeded_event_details()?.output())
            }
            HistoryEventType::TaskFailed => {
                let details = event.task_failed_event_details()?;
                failed(details.error(), details.cause())
            }
            HistoryEventType::LambdaFunctionFailed => {
                let details = event.lambda_function_failed_event_details()?;
                failed(details.error(), details.cause())
            }
            HistoryEventType::TaskTimedOut | HistoryEventType::LambdaFunctionTimedOut => {
                failed(Some("it took too long"), None)
            }
            HistoryEventType::ExecutionSucceeded
            | HistoryEventType::ExecutionFailed
            | HistoryEventType::ExecutionAborted
            | HistoryEventType::ExecutionTimedOut => What::Ended,
            _ => What::Other,
        };
        Some(Self { id: event.id(), at, what })
    }
}

fn goes_back(input: &str) -> bool {
    let input: Value = serde_json::from_str(input).unwrap_or_default();
    input.get("direction").and_then(Value::as_str) == Some("back")
}

/// What a step's function answered; the one that records a promotion has nothing to report.
fn answered(output: Option<&str>) -> What {
    What::Answered(output.and_then(|output| serde_json::from_str(output).ok()))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A history, told as `step>` entered, `step<` exited, `+done`, `+in-progress`, `+failed` answered, `!` failed and
    /// `.` over; a second passes between two events.
    pub(crate) fn told(story: &str) -> Steps {
        let mut steps = Steps::default();
        steps.add(events(story));
        steps
    }

    fn events(story: &str) -> Vec<Event> {
        let mut going_back = false;
        let mut events = Vec::new();
        for word in story.split_whitespace() {
            let what = if word == "back" {
                going_back = true;
                continue;
            } else if let Some(step) = word.strip_suffix('>') {
                What::Entered { step: step.to_owned(), going_back }
            } else if let Some(step) = word.strip_suffix('<') {
                What::Exited { step: step.to_owned() }
            } else if let Some(status) = word.strip_prefix('+') {
                let report = match status {
                    "done" => "applied",
                    other => other,
                };
                let report = json!({"subject": "payments-api", "status": report, "detail": "said so",
                                    "started_at": "2026-05-02T03:04:05Z"});
                answered(Some(&json!({"status": status, "wait_seconds": 0, "progress": [report]}).to_string()))
            } else if word == "!" {
                What::Failed { why: "Sandbox.Timedout: too slow".to_owned() }
            } else {
                assert_eq!(word, ".");
                What::Ended
            };
            let id = i64::try_from(events.len()).unwrap() + 1;
            let at = Timestamp::from_second(1_777_691_045 + id).unwrap();
            events.push(Event { id, at, what });
        }
        events
    }

    /// `name seconds`, with `?` while it runs and `!` where it failed.
    fn check(story: &str, expected: &[&str], is_over: bool) {
        let steps = told(story);
        let shown: Vec<_> = steps
            .list
            .iter()
            .map(|step| {
                let time = match step.ended_at {
                    Some(ended) => ended.duration_since(step.started_at).as_secs().to_string(),
                    None => "?".to_owned(),
                };
                let back = if step.going_back { " back" } else { "" };
                format!("{}{back} {time}{}", step.name, if step.failure.is_some() { "!" } else { "" })
            })
            .collect();
        assert_eq!(
            (shown.as_slice(), steps.is_over),
            (expected.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice(), is_over),
            "{story}"
        );
    }

    #[test]
    fn a_step_that_is_asked_again_is_one_step() {
        check("ApplyStack>", &["ApplyStack ?"], false);
        check("ApplyStack> +in-progress ApplyStack<", &["ApplyStack ?"], false);
        check("ApplyStack> +in-progress ApplyStack< ApplyStack> +done ApplyStack<", &["ApplyStack 5"], false);
        check("ApplyStack> +done ApplyStack< SmokeTest> +done SmokeTest< .", &["ApplyStack 2", "SmokeTest 2"], true);
    }

    #[test]
    fn a_try_that_failed_is_forgotten_when_the_next_one_succeeds() {
        check("ApplyStack> !", &["ApplyStack ?!"], false);
        check("ApplyStack> ! +done ApplyStack<", &["ApplyStack 3"], false);
        check("ApplyStack> ! ! ApplyStack< RecordOutcome>", &["ApplyStack 3!", "RecordOutcome ?"], false);
        check("ApplyStack> ! .", &["ApplyStack 2!"], true);
    }

    #[test]
    fn the_way_back_has_steps_of_its_own() {
        check(
            "SmokeTest> +failed SmokeTest< RecordOutcome> RecordOutcome< back ApplyStack> +done ApplyStack< SmokeTest>",
            &["SmokeTest 2!", "RecordOutcome 1", "ApplyStack back 2", "SmokeTest back ?"],
            false,
        );
        assert_eq!(told("SmokeTest> +failed").list[0].failure.as_deref(), Some("`payments-api`: said so"));
    }

    #[test]
    fn an_event_that_comes_twice_happened_once() {
        let mut steps = told("ApplyStack> +done ApplyStack<");
        let before = steps.clone();
        steps.add(events("ApplyStack> +done ApplyStack<"));
        assert_eq!(steps, before);
    }

    #[test]
    fn step_functions_own_events_are_read() {
        use aws_sdk_sfn::{
            primitives::DateTime,
            types::{LambdaFunctionSucceededEventDetails, StateEnteredEventDetails},
        };
        let event = |id, kind: HistoryEventType| {
            HistoryEvent::builder().id(id).r#type(kind).timestamp(DateTime::from_millis(1_777_691_045_250))
        };
        let input = json!({"direction": "back", "promotion": {}}).to_string();
        let entered = StateEnteredEventDetails::builder().name("ApplyStack").input(input).build().unwrap();
        let entered =
            event(7, HistoryEventType::TaskStateEntered).state_entered_event_details(entered).build().unwrap();
        let entered = Event::read(&entered).unwrap();
        assert_eq!(entered.at.to_string(), "2026-05-02T03:04:05.25Z");
        assert_eq!(entered.what, What::Entered { step: "ApplyStack".to_owned(), going_back: true });

        let output = json!({"status": "done", "wait_seconds": 0, "progress": []}).to_string();
        let details = LambdaFunctionSucceededEventDetails::builder().output(output).build();
        let answered = event(8, HistoryEventType::LambdaFunctionSucceeded);
        let answered =
            Event::read(&answered.lambda_function_succeeded_event_details(details).build().unwrap()).unwrap();
        assert!(matches!(answered.what, What::Answered(Some(answer)) if answer.status == StepStatus::Done));

        let aborted = event(9, HistoryEventType::ExecutionAborted).build().unwrap();
        assert_eq!(Event::read(&aborted).unwrap().what, What::Ended);
    }
}
