//! The steps of a promotion, told from its execution's history.
//!
//! A step that answers `in-progress` is entered again and again until it is done: that is one step here.

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType};
use gatekeeper::promotion::step::{Report, ReportStatus, StepAnswer, StepStatus};
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
    Exited { step: String, answer: Option<StepAnswer> },
    Failed { why: String },
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
    /// Why it failed, where it did.
    pub(crate) failure: Option<String>,
    /// What it told of the things it works on.
    pub(crate) reports: Vec<Report>,
}

/// The steps of an execution so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Steps {
    /// In the order in which they began.
    pub(crate) steps: Vec<Step>,
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
            What::Entered { step, going_back } => match self.steps.last_mut() {
                Some(last) if last.name == step && last.going_back == going_back => last.ended_at = None,
                _ => self.steps.push(Step {
                    name: step,
                    going_back,
                    started_at: at,
                    ended_at: None,
                    failure: None,
                    reports: Vec::new(),
                }),
            },
            What::Exited { step, answer } => {
                let Some(last) = self.steps.iter_mut().rev().find(|it| it.name == step) else { return };
                if let Some(answer) = answer {
                    last.reports = answer.progress;
                    if answer.status == StepStatus::InProgress {
                        return;
                    }
                    last.failure = (answer.status == StepStatus::Failed).then(|| failures(&last.reports));
                } else if last.failure.is_none() {
                    last.reports.clear();
                }
                last.ended_at = Some(at);
            }
            What::Failed { why } => {
                if let Some(last) = self.steps.last_mut() {
                    last.failure = Some(why);
                }
            }
            What::Ended => {
                self.is_over = true;
                if let Some(last) = self.steps.last_mut() {
                    last.ended_at.get_or_insert(at);
                }
            }
            What::Other => {}
        }
    }
}

fn failures(reports: &[Report]) -> String {
    let failed = reports.iter().filter(|report| report.status == ReportStatus::Failed);
    failed.map(|report| format!("`{}`: {}", report.subject, report.detail)).collect::<Vec<_>>().join("; ")
}

impl Event {
    /// The event as Step Functions tells it; none without a time.
    pub(crate) fn read(event: &HistoryEvent) -> Option<Self> {
        let at = event.timestamp();
        let at = Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()?;
        let failed = |error: Option<&str>, cause: Option<&str>| What::Failed {
            why: [error, cause].into_iter().flatten().collect::<Vec<_>>().join(": "),
        };
        let what = match event.r#type() {
            HistoryEventType::TaskStateEntered => {
                let details = event.state_entered_event_details()?;
                What::Entered {
                    step: details.name().to_owned(),
                    going_back: details.input().is_some_and(|input| goes_back(input)),
                }
            }
            HistoryEventType::TaskStateExited => {
                let details = event.state_exited_event_details()?;
                What::Exited { step: details.name().to_owned(), answer: details.output().and_then(answer) }
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
            // A try that follows a failed one.
            HistoryEventType::TaskSucceeded | HistoryEventType::LambdaFunctionSucceeded => What::Other,
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

/// The step's answer, wherever in the state's output it lies.
fn answer(output: &str) -> Option<StepAnswer> {
    fn find(value: &Value) -> Option<StepAnswer> {
        let Value::Object(fields) = value else { return None };
        if fields.contains_key("progress") && fields.contains_key("wait_seconds") {
            return serde_json::from_value(value.clone()).ok();
        }
        fields.values().find_map(find)
    }
    find(&serde_json::from_str(output).ok()?)
}
