//! What operators read: one JSON object a line (CONTRACT §8), and CloudWatch metrics in the embedded metric format.
//!
//! A line carries fields rather than prose, so that CloudWatch Logs Insights needs no parsing. Nothing secret is ever
//! handed to a logger.

use std::{fmt, io::Write as _, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Where the present comes from; the core takes it as an argument.
pub type Clock = fn() -> Timestamp;

/// The present.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one clock; everything else takes `now` from it")]
pub fn wall_clock() -> Timestamp {
    Timestamp::now()
}

/// The namespace of every metric.
const NAMESPACE: &str = "ArtefactGatekeeper";

/// Writes log lines that carry the fields of their context.
#[derive(Clone)]
pub struct Logger {
    sink: Arc<dyn Fn(&str) + Send + Sync>,
    clock: Clock,
    context: Map<String, Value>,
}

/// One line: what a reader looks for first stands first.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: &'a str,
    message: &'a str,
    #[serde(flatten)]
    context: Map<String, Value>,
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Logger {
    /// A logger to standard output, where Lambda takes it from.
    #[must_use]
    pub fn to_stdout() -> Self {
        Self::to_sink(wall_clock, |line| {
            // One write a line, so that lines never mix. There is nowhere to tell of a failure.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
        })
    }

    /// A logger to anywhere, each line with its line feed.
    #[must_use]
    pub fn to_sink(clock: Clock, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), clock, context: Map::new() }
    }

    /// A logger for tests that don't look at lines.
    #[must_use]
    pub fn silent() -> Self {
        Self::to_sink(wall_clock, |_| {})
    }

    /// The same with one more field in every line.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut logger = self.clone();
        logger.context.insert(name.to_owned(), value.into());
        logger
    }

    /// The same for an invocation.
    #[must_use]
    pub fn for_request(&self, request_id: &str) -> Self {
        self.with("request_id", request_id)
    }

    /// The same for a commit.
    #[must_use]
    pub fn for_commit(&self, commit: &crate::ids::Commit) -> Self {
        self.with("repo", commit.repo.as_str()).with("commit_sha", commit.sha.as_str())
    }

    /// What only somebody who looks into a problem wants to know.
    pub fn debug(&self, message: &str, fields: Value) {
        self.line("DEBUG", message, fields);
    }

    /// What happened, as it should.
    pub fn info(&self, message: &str, fields: Value) {
        self.line("INFO", message, fields);
    }

    /// What somebody should look at, though the work goes on.
    pub fn warn(&self, message: &str, fields: Value) {
        self.line("WARN", message, fields);
    }

    /// What failed.
    pub fn error(&self, message: &str, fields: Value) {
        self.line("ERROR", message, fields);
    }

    fn line(&self, level: &str, message: &str, fields: Value) {
        let mut context = self.context.clone();
        if let Value::Object(fields) = fields {
            context.extend(fields);
        }
        let line = Line { timestamp: (self.clock)(), level, message, context };
        if let Ok(line) = serde_json::to_string(&line) {
            (self.sink)(&format!("{line}\n"));
        }
    }

    /// Counts `value` of `metric`, by one dimension where it is given
    /// (CloudWatch user guide, "Specification: Embedded metric format").
    pub fn count(&self, metric: &str, dimension: Option<(&str, &str)>, value: u64) {
        let names: Vec<&str> = dimension.iter().map(|(name, _)| *name).collect();
        let mut fields = Map::new();
        fields.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": (self.clock)().as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [names],
                    "Metrics": [{"Name": metric, "Unit": "Count"}],
                }],
            }),
        );
        if let Some((name, value)) = dimension {
            fields.insert(name.to_owned(), value.into());
        }
        fields.insert(metric.to_owned(), value.into());
        self.line("INFO", "metric", Value::Object(fields));
    }
}

/// An error with everything behind it, in one line: outermost first.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Many errors repeat what is behind them.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn lines(write: impl FnOnce(&Logger)) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        let logger = Logger::to_sink(
            || Timestamp::from_second(1_777_691_045).unwrap(),
            move |line| sink.lock().unwrap().push_str(line),
        );
        write(&logger);
        lines.lock().unwrap().clone()
    }

    #[test]
    fn a_line_is_one_json_object_with_its_context() {
        let text = lines(|logger| {
            let logger = logger.for_request("r-1").with("repo", "bank-payments");
            logger.warn("tag set back", json!({"key": "a\nb", "principal": "AWS:AROAEXAMPLE:ci"}));
        });
        insta::assert_snapshot!(text, @r#"{"timestamp":"2026-05-02T03:04:05Z","level":"WARN","message":"tag set back","key":"a\nb","principal":"AWS:AROAEXAMPLE:ci","repo":"bank-payments","request_id":"r-1"}"#);
    }

    #[test]
    fn a_metric_is_an_embedded_metric_line() {
        insta::assert_snapshot!(lines(|logger| logger.count("Verdicts", Some(("Outcome", "built")), 1)), @r#"{"timestamp":"2026-05-02T03:04:05Z","level":"INFO","message":"metric","Outcome":"built","Verdicts":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Outcome"]],"Metrics":[{"Name":"Verdicts","Unit":"Count"}],"Namespace":"ArtefactGatekeeper"}],"Timestamp":1777691045000}}"#);
    }
}
