//! What the SDK tells of its calls, as lines like ours (CONTRACT §8): what is wrong, always; each call with its attempts
//! and its time, and each wait between two attempts, where `SDK_LOG_LEVEL` asks for it.
//!
//! Our own lines don't come this way: they carry fields that only a run knows, which `tracing` has no room for.

use std::{fmt, time::Instant};

use gatekeeper_model::telemetry::Logger;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id},
    subscriber::set_global_default,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::{LookupSpan, Registry, Scope},
};

/// The fields of the SDK's span around a call, which no other span has: the service and its operation.
const CALL: [&str; 2] = ["rpc.service", "rpc.method"];

/// The SDK's span around one attempt of a call.
const ATTEMPT: &str = "try_attempt";

/// The runtime's span around an invocation, and its field with the request's id.
const INVOCATION: (&str, &str) = ("Lambda runtime invoke", "requestId");

/// Where the SDK tells of attempts and of waits. What it tells elsewhere below a warning, such as how it signs, nobody has
/// looked through for secrets.
const ATTEMPTS: [&str; 2] =
    ["aws_smithy_runtime::client::orchestrator", "aws_smithy_runtime::client::retries::strategy"];

/// Makes the SDK tell `log`, from now on and in this whole process.
pub fn init(log: &Logger) {
    let lines = SdkLines { log: log.clone(), level: level(crate::setting("SDK_LOG_LEVEL").as_deref()) };
    // The first one stands, where there is one.
    let _ = set_global_default(Registry::default().with(lines));
}

/// The level that a setting asks for. There is none below `debug`: the SDK's `trace` has whole requests and answers.
fn level(setting: Option<&str>) -> LevelFilter {
    match setting {
        Some("debug") => LevelFilter::DEBUG,
        Some("info") => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    }
}

/// Hands what the SDK tells to a logger.
#[derive(Debug)]
struct SdkLines {
    log: Logger,
    level: LevelFilter,
}

/// The id of an invocation's request.
struct RequestId(Value);

/// A call of the SDK that is under way.
struct Call {
    name: String,
    started: Instant,
    attempts: u32,
}

impl SdkLines {
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        is_invocation(metadata) || level <= self.level && (level <= Level::WARN || is_of_a_call(metadata))
    }

    /// Writes a line with what the spans around it tell.
    fn tell<'a, S>(&self, level: Level, message: &str, mut fields: Map<String, Value>, scope: Option<Scope<'a, S>>)
    where
        S: LookupSpan<'a>,
    {
        for span in scope.into_iter().flatten() {
            let known = span.extensions();
            if let Some(call) = known.get::<Call>() {
                fields.insert("call".to_owned(), call.name.as_str().into());
            }
            if let Some(RequestId(id)) = known.get() {
                fields.insert("request_id".to_owned(), id.clone());
            }
        }
        let fields = Value::Object(fields);
        match level {
            Level::ERROR => self.log.error(message, fields),
            Level::WARN => self.log.warn(message, fields),
            Level::INFO => self.log.info(message, fields),
            _ => self.log.debug(message, fields),
        }
    }
}

fn is_invocation(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == INVOCATION.0
}

fn is_call(metadata: &Metadata<'_>) -> bool {
    CALL.iter().all(|field| metadata.fields().field(field).is_some())
}

fn is_of_a_call(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        metadata.name() == ATTEMPT || is_call(metadata)
    } else {
        ATTEMPTS.contains(&metadata.target())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SdkLines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.max(LevelFilter::INFO)) // that of the span around an invocation
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (Some(span), metadata) = (context.span(id), attributes.metadata()) else { return };
        if is_invocation(metadata) {
            let mut said = Said::default();
            attributes.record(&mut said);
            let id = said.fields.remove(INVOCATION.1).unwrap_or_default();
            span.extensions_mut().insert(RequestId(id));
        } else if is_call(metadata) {
            let mut said = Said::default();
            attributes.record(&mut said);
            let name = CALL.map(|field| said.fields.get(field).and_then(Value::as_str).unwrap_or_default()).join(".");
            span.extensions_mut().insert(Call { name, started: Instant::now(), attempts: 0 });
        } else if metadata.name() == ATTEMPT {
            for around in span.scope().skip(1) {
                if let Some(call) = around.extensions_mut().get_mut::<Call>() {
                    call.attempts += 1;
                    break;
                }
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        said.fields.insert("target".to_owned(), event.metadata().target().into());
        self.tell(*event.metadata().level(), &said.message, said.fields, context.event_scope(event));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let fields = span.extensions().get::<Call>().map(|call| {
            let milliseconds = u64::try_from(call.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Map::from_iter([
                ("attempts".to_owned(), call.attempts.into()),
                ("milliseconds".to_owned(), milliseconds.into()),
            ])
        });
        if let Some(fields) = fields {
            self.tell(*span.metadata().level(), "call of AWS ended", fields, Some(span.scope()));
        }
    }
}

/// What an event or a span says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn field(&mut self, field: &Field, value: Value) {
        // Each line has these itself.
        if !matches!(field.name(), "timestamp" | "level") {
            self.fields.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.field(field, format!("{value:?}").into());
        }
    }
}

#[cfg(test)]
#[path = "sdk_log_tests.rs"]
mod tests;
