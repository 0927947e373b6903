//! What the local AWS never does: an answer that gets lost behind the SDK's own retry.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    s3_client, scripted,
    scripted::{Answer, Request},
};

fn said(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>said so</Message></Error>");
    Answer::Http { status, error: None, headers: Vec::new(), body }
}

/// S3 with one object: the first write is served and its answer lost, and from then on every condition fails. Reads give
/// `instead`, where it is told, or else what was written.
fn store(instead: Option<Answer>) -> (S3Store, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::<Mutex<Vec<String>>>::default();
    let (told, stored) = (Arc::clone(&calls), Mutex::new(None::<String>));
    let config = scripted::config(move |request: Request| {
        told.lock().unwrap().push(request.method.clone());
        let mut stored = stored.lock().unwrap();
        match (request.method.as_str(), stored.as_ref()) {
            ("PUT", None) => {
                *stored = Some(request.body);
                Answer::Lost
            }
            ("PUT", Some(_)) => said(412, "PreconditionFailed"),
            _ => instead.clone().unwrap_or_else(|| object(stored.as_deref().unwrap_or_default())),
        }
    });
    (S3Store::new(s3_client(&config), "records"), calls)
}

fn object(body: &str) -> Answer {
    let headers = vec![("etag", "\"e1\"".to_owned()), ("x-amz-version-id", "v1".to_owned())];
    Answer::Http { status: 200, error: None, headers, body: body.to_owned() }
}

async fn put(store: &S3Store) -> Result<Written, StoreError> {
    store.put("locks/uat/bank-payments.json", b"{\"held\":1}", "application/json", &Precondition::Absent).await
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_oneself_is_none() {
    let (store, calls) = store(None);
    let written = put(&store).await.unwrap();
    assert_eq!(written, Written::Done { etag: "\"e1\"".into(), version_id: "v1".into() });
    assert_eq!(*calls.lock().unwrap(), ["PUT", "PUT", "GET"], "the SDK's own retry, and one look");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_another_is_one_and_one_that_can_not_be_looked_into_is_an_error() {
    for other in ["{\"held\":2}", "{\"held\":1} ", "{\"held\":1"] {
        assert_eq!(put(&store(Some(object(other))).0).await.unwrap(), Written::Conflict, "{other}");
    }
    assert_eq!(put(&store(Some(said(404, "NoSuchKey"))).0).await.unwrap(), Written::Conflict, "it is gone again");
    let error = put(&store(Some(said(403, "AccessDenied"))).0).await.unwrap_err();
    assert_eq!((error.operation, error.source.to_string().as_str()), ("GetObject", "AccessDenied: said so"));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_sdk_gives_up_on_is_looked_for() {
    for (there, done) in
        [(object("{\"held\":1}"), true), (object("{\"held\":2}"), false), (said(404, "NoSuchKey"), false)]
    {
        let config = scripted::config(move |request: Request| match request.method.as_str() {
            "PUT" => said(500, "InternalError"),
            _ => there.clone(),
        });
        let written = put(&S3Store::new(s3_client(&config), "records")).await;
        assert_eq!(written.is_ok(), done, "{written:?}");
        assert!(written.map_or_else(|error| error.operation == "PutObject", |it| matches!(it, Written::Done { .. })));
    }
}

#[tokio::test]
async fn keys_come_back_from_a_listing_as_they_are() {
    let config = scripted::config(|request: Request| {
        let is_second = request.path.contains("key-marker=line%0Afeed%20%2B");
        assert!(request.path.contains("encoding-type=url"), "{}", request.path);
        let version = |key: &str| {
            format!(
                "<Version><Key>{key}</Key><VersionId>v</VersionId><IsLatest>true</IsLatest><Size>1</Size></Version>"
            )
        };
        let page = if is_second {
            format!("<IsTruncated>false</IsTruncated>{}", version("%01%1B%5B31m%25"))
        } else {
            format!(
                "<IsTruncated>true</IsTruncated><NextKeyMarker>line%0Afeed+%2B</NextKeyMarker>\
                 <NextVersionIdMarker>v</NextVersionIdMarker>{}",
                version("line%0Afeed+%2B")
            )
        };
        Answer::xml(format!("<ListVersionsResult><EncodingType>url</EncodingType>{page}</ListVersionsResult>"))
    });
    let listed = S3Store::new(s3_client(&config), "artefacts").list("").await.unwrap();
    let keys: Vec<_> = listed.into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["line\nfeed +", "\u{1}\u{1b}[31m%"]);
}
