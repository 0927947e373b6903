//! Each error as AWS sends it, by way of the SDK's own reading.

use super::*;
use crate::{
    s3_client, scripted,
    scripted::{Answer, Request},
};

/// What S3 says of an object: `read` is GET and has a body, else HEAD, which has none.
async fn of_object(answer: Answer, read: bool) -> (Failure, String) {
    let client = s3_client(&scripted::config(move |_: Request| answer.clone()));
    if read {
        let error = client.get_object().bucket("artefacts").key("k").send().await.unwrap_err();
        (Failure::of(&error), said(&error))
    } else {
        let error = client.head_object().bucket("artefacts").key("k").version_id("v").send().await.unwrap_err();
        (Failure::of(&error), said(&error))
    }
}

/// What KMS says of a key, in JSON.
async fn of_key(answer: Answer) -> (Failure, String) {
    let client = aws_sdk_kms::Client::new(&scripted::config(move |_: Request| answer.clone()));
    let error = client.get_public_key().key_id("key").send().await.unwrap_err();
    (Failure::of(&error), said(&error))
}

/// What STS says of a caller, in the query protocol that CloudFormation speaks too.
async fn of_query(answer: Answer) -> (Failure, bool) {
    let client = aws_sdk_sts::Client::new(&scripted::config(move |_: Request| answer.clone()));
    let error = client.get_caller_identity().send().await.unwrap_err();
    (Failure::of(&error), is_final_of_stack(&error))
}

fn xml(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>said so</Message></Error>");
    Answer::Http { status, error: None, headers: Vec::new(), body }
}

fn empty(status: u16) -> Answer {
    Answer::Http { status, error: None, headers: Vec::new(), body: String::new() }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_absent_only_where_s3_says_so() {
    for (status, code) in [(404, "NoSuchKey"), (404, "NoSuchVersion"), (405, "MethodNotAllowed")] {
        assert_eq!(of_object(xml(status, code), true).await, (Failure::Absent, format!("{code}: said so")));
    }
    for status in [404, 405] {
        assert_eq!(of_object(empty(status), false).await.0, Failure::Absent, "{status}");
    }
    assert_eq!(of_object(xml(404, "NoSuchBucket"), true).await.0, Failure::Other, "nothing is known of the object");
    assert_eq!(of_object(xml(404, "SomethingNew"), true).await.0, Failure::Other);
    let of_a_proxy = "<html>no such page</html>".to_owned();
    let of_a_proxy = Answer::Http { status: 404, error: None, headers: Vec::new(), body: of_a_proxy };
    assert_eq!(of_object(of_a_proxy, true).await.0, Failure::Other, "S3 always says a code");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_look_learns_nothing_of_what_is_there() {
    assert_eq!(of_object(xml(403, "AccessDenied"), true).await.0, Failure::Denied);
    assert_eq!(of_object(empty(403), false).await, (Failure::Denied, "AWS answered with status 403".to_owned()));
    // However it is put.
    let denied = Answer::error(400, "AccessDeniedException", "the key does not exist, or you may not use it");
    assert_eq!(of_key(denied).await.0, Failure::Denied);
    let denied = Answer::xml_error(403, "AccessDenied", "Stack with id bank-uat-api does not exist");
    assert_eq!(of_query(denied).await, (Failure::Denied, true));
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_say_nothing_of_what_their_owner_may_do() {
    for code in ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"] {
        assert_eq!(of_query(Answer::xml_error(403, code, "it is not valid")).await, (Failure::Other, false), "{code}");
        assert_eq!(of_object(xml(403, code), true).await.0, Failure::Other, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_has_many_names() {
    for code in THROTTLED {
        assert_eq!(of_key(Answer::error(400, code, "slow down")).await.0, Failure::Throttled, "{code}");
    }
    assert_eq!(of_object(xml(503, "SlowDown"), true).await.0, Failure::Throttled);
    for status in [429, 503] {
        assert_eq!(of_object(empty(status), false).await.0, Failure::Throttled, "{status}");
    }
    assert_eq!(of_object(xml(503, "ServiceUnavailable"), true).await.0, Failure::Throttled);
    assert_eq!(of_object(xml(500, "InternalError"), true).await.0, Failure::Other);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_says_nothing() {
    let (failure, said) = of_object(Answer::Lost, true).await;
    assert_eq!(failure, Failure::Other);
    assert!(said.contains("connection reset"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn cloudformation_has_one_code_for_a_stack_that_is_not_there_and_for_a_request_that_it_does_not_take() {
    let says = |message| of_query(Answer::xml_error(400, "ValidationError", message));
    assert_eq!(says("Stack with id bank-uat-api does not exist").await, (Failure::Absent, true));
    assert_eq!(says("1 validation error detected").await, (Failure::Other, true));
    let throttled = Answer::xml_error(400, "Throttling", "Rate exceeded");
    assert_eq!(of_query(throttled).await, (Failure::Throttled, false));
    assert_eq!(of_query(Answer::xml_error(404, "ChangeSetNotFound", "gone")).await, (Failure::Absent, true));
}
