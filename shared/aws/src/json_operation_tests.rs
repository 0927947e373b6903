//! Against the SDK's own client of a JSON service, against AWS as a test plays it, and over a real connection.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::StaticTimeSource;
use serde_json::json;

use super::*;
use crate::{
    TlsRoots,
    failure::{Failure, code, said},
    http_client, scripted,
    scripted::{Answer, Request},
};

/// Calls SQS that answers so, in turn and the last for ever. Gives what came of it, and what SQS was asked.
async fn asked(answers: &[Answer]) -> (Result<Value, JsonError>, Vec<Request>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let config = scripted::config({
        let (asked, answers) = (Arc::clone(&asked), answers.to_vec());
        move |request| {
            let mut asked = asked.lock().unwrap();
            asked.push(request);
            answers[(asked.len() - 1).min(answers.len() - 1)].clone()
        }
    });
    let operation = JsonOperation::new(&config, SQS, "ChangeMessageVisibility");
    let told = operation.call(&json!({"QueueUrl": "here", "VisibilityTimeout": 5})).await;
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    (told, asked)
}

/// An answer with this status, headers and body.
fn http(status: u16, headers: Vec<(&'static str, String)>, body: &str) -> Answer {
    Answer::Http { status, error: None, headers, body: body.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn it_sends_what_the_sdk_sends() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let config = scripted::config({
        let sent = Arc::clone(&sent);
        move |request| {
            sent.lock().unwrap().push(request);
            Answer::json(&json!({"KeyId": "key"}))
        }
    });
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_691_045);
    let config = config.to_builder().time_source(StaticTimeSource::new(at)).build();
    aws_sdk_kms::Client::new(&config).get_public_key().key_id("key").send().await.unwrap();
    let operation = JsonOperation::new(&config, KMS, "GetPublicKey");
    assert_eq!(operation.call(&json!({"KeyId": "key"})).await.unwrap(), json!({"KeyId": "key"}));
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    let [sdk, ours] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((&ours.method, &ours.path, &ours.body), (&sdk.method, &sdk.path, &sdk.body));
    assert_eq!(ours.headers.keys().collect::<Vec<_>>(), sdk.headers.keys().collect::<Vec<_>>());
    // Which one it is of all calls, and of which crate, differs; and so does the signature of both.
    let differ = ["amz-sdk-invocation-id", "x-amz-user-agent", "user-agent", "authorization"];
    for (name, value) in ours.headers.iter().filter(|(name, _)| !differ.contains(&name.as_str())) {
        assert_eq!(value, &sdk.headers[name], "{name}");
    }
    let signed = |request: &Request| request.headers["authorization"].split_once(", Signature=").unwrap().0.to_owned();
    assert_eq!(signed(ours), signed(sdk));
}

#[tokio::test(start_paused = true)]
async fn a_function_is_invoked_as_the_sdk_invokes_it_and_what_it_throws_is_an_error() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let config = scripted::config({
        let sent = Arc::clone(&sent);
        move |request| {
            sent.lock().unwrap().push(request);
            http(200, Vec::new(), "{}")
        }
    });
    let payload = json!({"bundles": []});
    let lambda = aws_sdk_lambda::Client::new(&config);
    let blob = aws_sdk_lambda::primitives::Blob::new(payload.to_string());
    lambda.invoke().function_name("gatekeeper-verify").payload(blob).send().await.unwrap();
    assert_eq!(JsonOperation::invoke(&config, "gatekeeper-verify").call(&payload).await.unwrap(), json!({}));
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    let [sdk, ours] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((&ours.method, &ours.path, &ours.body), (&sdk.method, &sdk.path, &sdk.body));

    let thrown = vec![("x-amz-function-error", "Unhandled".to_owned())];
    let config = scripted::config(move |_| http(200, thrown.clone(), r#"{"errorMessage":"no root"}"#));
    let error = JsonOperation::invoke(&config, "gatekeeper-verify").call(&payload).await.unwrap_err();
    assert_eq!(code(&error), Some("FunctionError"));
    assert!(said(&error).contains("no root"), "{}", said(&error));
}

#[tokio::test(start_paused = true)]
async fn it_asks_again_where_the_sdk_would_and_nowhere_else() {
    let done = http(200, Vec::new(), "");
    for again in [
        Answer::Lost,
        http(500, Vec::new(), "{}"),
        http(503, Vec::new(), "<html>busy</html>"),
        Answer::error(400, "ThrottlingException", "slow down"),
        Answer::error(400, "RequestThrottled", "slow down"),
    ] {
        let (told, asked) = asked(&[again, done.clone()]).await;
        assert_eq!((told.unwrap(), asked.len()), (Value::Null, 2));
    }
    let (told, asked) = asked(&[Answer::error(400, "InvalidParameterValue", "it is over")]).await;
    assert_eq!((said(&told.unwrap_err()), asked.len()), ("InvalidParameterValue: it is over".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn after_three_attempts_it_gives_up_and_says_what_it_heard() {
    let (told, asked_for) = asked(&[Answer::error(400, "ThrottlingException", "slow down")]).await;
    let error = told.unwrap_err();
    assert_eq!((Failure::of(&error), said(&error)), (Failure::Throttled, "ThrottlingException: slow down".to_owned()));
    assert_eq!(asked_for.len(), 3);
    let (told, asked_for) = asked(&[Answer::Lost]).await;
    let error = told.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::Other);
    assert!(said(&error).contains("connection reset"), "{}", said(&error));
    assert_eq!(asked_for.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_has_its_code_wherever_the_service_puts_it() {
    let header = |name, value: &str| vec![(name, value.to_owned())];
    let coded = |code: &str| format!(r#"{{"__type": "{code}", "message": "said so"}}"#);
    for (answer, expected) in [
        (http(400, Vec::new(), &coded("com.amazonaws.sqs#QueueDoesNotExist")), Some("QueueDoesNotExist")),
        (http(400, header("x-amzn-errortype", "NotFound:http://internal/"), "{}"), Some("NotFound")),
        (
            http(400, header("x-amzn-query-error", "AWS.SQS.NonExistentQueue;Sender"), &coded("a#B")),
            Some("AWS.SQS.NonExistentQueue"),
        ),
        (http(403, Vec::new(), r#"{"code": "AccessDenied", "Message": "no"}"#), Some("AccessDenied")),
        (http(400, Vec::new(), "<html>a proxy</html>"), None),
        (http(400, Vec::new(), ""), None),
    ] {
        let (told, _) = asked(&[answer]).await;
        assert_eq!(code(&told.unwrap_err()), expected);
    }
    let (told, _) = asked(&[http(403, Vec::new(), r#"{"code": "AccessDenied", "Message": "no"}"#)]).await;
    let error = told.unwrap_err();
    assert_eq!((Failure::of(&error), said(&error)), (Failure::Denied, "AccessDenied: no".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_json_is_an_error() {
    let (told, _) = asked(&[http(200, Vec::new(), "<html>a portal of the hotel</html>")]).await;
    let error = told.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::Other);
    assert!(said(&error).contains("expected value at line 1"), "{}", said(&error));
}

#[tokio::test]
async fn without_a_region_or_credentials_nothing_is_sent() {
    let sent = Arc::new(AtomicU32::new(0));
    let config = scripted::config({
        let sent = Arc::clone(&sent);
        move |_: Request| {
            sent.fetch_add(1, Ordering::Relaxed);
            Answer::json(&json!({}))
        }
    });
    let (mut no_region, mut no_credentials) = (config.to_builder(), config.to_builder());
    no_region.set_region(None);
    no_credentials.set_credentials_provider(None);
    for (config, why) in [(no_region.build(), "no AWS region is configured"), (no_credentials.build(), "identity")] {
        let error = JsonOperation::new(&config, SQS, "ListQueues").call(&json!({})).await.unwrap_err();
        assert!(said(&error).contains(why), "{}", said(&error));
    }
    assert_eq!(sent.load(Ordering::Relaxed), 0);
}

#[derive(Debug)]
struct Own(&'static str);

impl aws_types::service_config::LoadServiceConfig for Own {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        assert_eq!((key.env(), key.profile()), ("AWS_ENDPOINT_URL", "endpoint_url"));
        (key.service_id() == self.0).then(|| "http://its.own".to_owned())
    }
}

#[test]
fn the_endpoint_is_the_services_own_then_the_one_for_all_then_that_of_aws() {
    let at = |region: &'static str| SdkConfig::builder().region(Region::from_static(region)).build();
    assert_eq!(endpoint(&at("eu-west-1"), &SQS), "https://sqs.eu-west-1.amazonaws.com");
    assert_eq!(endpoint(&at("us-gov-west-1"), &SQS), "https://sqs.us-gov-west-1.amazonaws.com");
    assert_eq!(endpoint(&at("cn-north-1"), &SQS), "https://sqs.cn-north-1.amazonaws.com.cn");
    let fips = at("us-east-1").to_builder().use_fips(true).build();
    assert_eq!(endpoint(&fips, &SQS), "https://sqs-fips.us-east-1.amazonaws.com");
    let for_all = at("eu-west-1").to_builder().endpoint_url("http://for.all").build();
    assert_eq!(endpoint(&for_all, &SQS), "http://for.all");
    for (whose, expected) in [("SQS", "http://its.own"), ("ECR", "http://for.all")] {
        let config = for_all.to_builder().service_config(Own(whose)).build();
        assert_eq!(endpoint(&config, &SQS), expected);
    }
}

/// Over a connection, and by the HTTP client that functions have: the whole request, and an answer in one piece.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_over_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::task::spawn_blocking(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_lowercase());
        }
        let length = head.iter().find_map(|it| it.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = br#"{"told": true}"#;
        write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len()).unwrap();
        connection.write_all(answer).unwrap();
        (head, String::from_utf8(body).unwrap())
    });
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("a session".to_owned()), None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client(TlsRoots::Amazon))
        .endpoint_url(format!("http://{address}"))
        .build();
    let operation = JsonOperation::new(&config, SQS, "ChangeMessageVisibility");
    assert_eq!(operation.call(&json!({"QueueUrl": "here"})).await.unwrap(), json!({"told": true}));
    let (head, body) = server.await.unwrap();
    assert_eq!(body, r#"{"QueueUrl":"here"}"#);
    assert_eq!(head[0], "post / http/1.1");
    for line in [
        "content-type: application/x-amz-json-1.0".to_owned(),
        "x-amz-target: amazonsqs.changemessagevisibility".to_owned(),
        "x-amz-security-token: a session".to_owned(),
        format!("host: {address}"),
    ] {
        assert!(head.contains(&line), "{line} is not in {head:#?}");
    }
    let authorization = head.iter().find(|it| it.starts_with("authorization: ")).unwrap();
    assert!(authorization.contains("/eu-west-1/sqs/aws4_request"), "{authorization}");
    assert!(authorization.contains("host;x-amz-date;x-amz-security-token;x-amz-target"), "{authorization}");
}
