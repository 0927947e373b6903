use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use jiff::Timestamp;
use tracing::{Instrument as _, subscriber::set_default};

use super::*;
use crate::{
    s3_client, scripted,
    scripted::{Answer, Request},
};

/// Reads an object in an invocation; S3 is busy the first `busy` times. Gives the lines that were written.
async fn lines_at(setting: Option<&str>, busy: u32) -> Vec<Value> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let now = || Timestamp::from_second(1_777_691_045).unwrap();
    let log = Logger::to_sink(now, move |line| sink.lock().unwrap().push(serde_json::from_str(line).unwrap()));
    let layer = SdkLines { log, level: level(setting) };
    let _guard = set_default(Registry::default().with(layer));
    let asked = AtomicU32::new(0);
    let client = s3_client(&scripted::config(move |_: Request| {
        let status = if asked.fetch_add(1, Ordering::Relaxed) < busy { 503 } else { 200 };
        let headers = vec![("etag", "\"e1\"".to_owned()), ("x-amz-version-id", "v1".to_owned())];
        Answer::Http { status, error: None, headers, body: "secret".to_owned() }
    }));
    let invocation = tracing::info_span!("Lambda runtime invoke", requestId = "r-1");
    let call = client.get_object().bucket("artefacts").key("k").send();
    call.instrument(invocation.clone()).await.unwrap();
    tracing::warn!(target: "aws_sdk_s3", size = 3, "something is odd");
    tracing::debug!(target: "hyper", "not of the SDK");
    tracing::debug!(target: "aws_sigv4", "nobody asks for it");
    invocation.in_scope(|| tracing::error!(target: "lambda_runtime", level = "hidden", "the runtime has a problem"));
    drop(invocation);
    lines.lock().unwrap().drain(..).collect()
}

#[tokio::test(start_paused = true)]
async fn by_default_only_what_is_wrong_is_told_in_the_form_of_every_line() {
    for setting in [None, Some("warn"), Some("info"), Some("trace"), Some("nonsense")] {
        let lines: Vec<_> = lines_at(setting, 0).await.iter().map(Value::to_string).collect();
        assert_eq!(
            lines,
            [
                r#"{"level":"WARN","message":"something is odd","size":3,"target":"aws_sdk_s3","timestamp":"2026-05-02T03:04:05Z"}"#,
                r#"{"level":"ERROR","message":"the runtime has a problem","request_id":"r-1","target":"lambda_runtime","timestamp":"2026-05-02T03:04:05Z"}"#,
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn debug_tells_each_call_with_its_attempts_and_its_time_and_each_wait() {
    let lines = lines_at(Some("debug"), 1).await;
    let ended = lines.iter().find(|line| line["message"] == "call of AWS ended").unwrap();
    assert!(ended["milliseconds"].is_u64(), "{ended}");
    let ended = ["level", "call", "attempts", "request_id"].map(|name| ended[name].clone());
    assert_eq!(Value::from(ended.to_vec()), serde_json::json!(["DEBUG", "S3.GetObject", 2, "r-1"]));
    let wait = lines.iter().find(|line| line["message"].as_str().unwrap().starts_with("delaying for")).unwrap();
    assert_eq!((&wait["call"], &wait["request_id"]), (&"S3.GetObject".into(), &"r-1".into()));
    for line in &lines {
        let message = line["message"].as_str().unwrap();
        assert!(
            !line.to_string().contains("secret") && !["not of the SDK", "nobody asks for it"].contains(&message),
            "{line}"
        );
    }
}
