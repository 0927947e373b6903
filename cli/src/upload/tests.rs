//! S3 as it answers when something is in the way.

use std::sync::{Arc, Mutex};

use gatekeeper_aws::{
    s3_client, scripted,
    scripted::{Answer, Request},
};

use super::*;

const NOTHING: &str = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";

fn commit() -> Commit {
    let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap();
    Commit { repo: "bank-payments".parse().unwrap(), sha }
}

fn answer(status: u16, headers: Vec<(&'static str, String)>, body: &str) -> Answer {
    Answer::Http { status, error: None, headers, body: body.to_owned() }
}

fn error(status: u16, code: &str) -> Answer {
    answer(status, Vec::new(), &format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>"))
}

/// What `HeadObject` tells of an object with this digest.
fn there(sha256: Sha256) -> Answer {
    let headers = [("x-amz-version-id", "v1"), ("etag", "\"e1\""), ("x-amz-checksum-type", "FULL_OBJECT")];
    let mut headers: Vec<_> = headers.map(|(name, value)| (name, value.to_owned())).into();
    headers.push(("x-amz-checksum-sha256", sha256.to_base64()));
    answer(200, headers, "")
}

fn stored_as(version: &str) -> Answer {
    answer(200, vec![("x-amz-version-id", version.to_owned())], "")
}

/// Uploads a report while S3 answers so: the listing, and then one call after the other. Gives what became of it, and the
/// methods of the calls.
async fn upload(bytes: &[u8], listing: &str, answers: Vec<Answer>) -> (Result<bool, String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unit.xml");
    std::fs::write(&file, bytes).unwrap();
    let report =
        BuildFile { path: ArtefactPath::parse("reports/unit.xml").unwrap(), file, size: 3, sha256: Sha256::of(b"abc") };
    let (answers, calls) = (Mutex::new(answers.into_iter()), Arc::new(Mutex::new(Vec::new())));
    let (heard, listing) = (Arc::clone(&calls), listing.to_owned());
    let config = scripted::config(move |request: Request| {
        if request.path.contains("versions") {
            return Answer::xml(listing.clone());
        }
        heard.lock().unwrap().push(request.method);
        answers.lock().unwrap().next().unwrap()
    });
    let store = S3Store::new(s3_client(&config), "artefacts");
    let commit = commit();
    let uploader = Uploader::start(&store, &commit, MAX_SINGLE_BYTES).await.unwrap();
    let uploaded = std::cell::Cell::new(false);
    let done = uploader.artefacts(&[report], |_, stored| uploaded.set(stored.uploaded)).await;
    let done = done.map(|()| uploaded.get()).map_err(|error| {
        let text = gatekeeper_model::telemetry::chain(error.as_ref()).replace(folder.path().to_str().unwrap(), "DIR");
        format!("exit {}: {text}", crate::exit::code(&Err(error)))
    });
    let calls = calls.lock().unwrap().join(" ");
    (done, calls)
}

fn listed() -> String {
    format!(
        "<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>{}reports/unit.xml</Key><VersionId>v1</VersionId>\
         <IsLatest>true</IsLatest><Size>3</Size></Version></ListVersionsResult>",
        commit().prefix()
    )
}

#[tokio::test]
async fn only_what_is_not_there_is_uploaded() {
    let (done, calls) = upload(b"abc", NOTHING, vec![stored_as("v1")]).await;
    assert_eq!((done, calls.as_str()), (Ok(true), "PUT"));
    let (done, calls) = upload(b"abc", &listed(), vec![there(Sha256::of(b"abc"))]).await;
    assert_eq!((done, calls.as_str()), (Ok(false), "HEAD"));
    let (done, calls) = upload(b"abc", &listed(), vec![there(Sha256::of(b"other")), stored_as("v2")]).await;
    assert_eq!((done, calls.as_str()), (Ok(true), "HEAD PUT"));
}

#[tokio::test]
async fn a_file_that_has_changed_meanwhile_is_told() {
    let (done, _) = upload(b"abd", NOTHING, vec![error(400, "BadDigest")]).await;
    insta::assert_snapshot!(done.unwrap_err(), @"exit 2: `reports/unit.xml` was not uploaded: `DIR/unit.xml` has changed since it was read: publish again when nothing writes it any more");
    let (done, calls) = upload(b"a", NOTHING, Vec::new()).await;
    insta::assert_snapshot!(done.unwrap_err(), @"exit 2: `reports/unit.xml` was not uploaded: `DIR/unit.xml` has changed since it was read: publish again when nothing writes it any more");
    assert_eq!(calls, "");
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_there() {
    // The connection broke after S3 had written; trying again it finds its own object in the way.
    let own = there(Sha256::of(b"abc"));
    let (done, calls) = upload(b"abc", NOTHING, vec![Answer::Lost, error(412, "PreconditionFailed"), own]).await;
    assert_eq!((done, calls.as_str()), (Ok(true), "PUT PUT HEAD"));
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_not_replaced() {
    let other = there(Sha256::of(b"other"));
    let (done, _) = upload(b"abc", NOTHING, vec![error(412, "PreconditionFailed"), other]).await;
    insta::assert_snapshot!(done.unwrap_err(), @r#"exit 3: `reports/unit.xml` was not uploaded: somebody else wrote `bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/reports/unit.xml` meanwhile: publish again"#);
}

#[tokio::test]
async fn what_s3_refuses_is_told_in_its_words() {
    let (done, _) = upload(b"abc", NOTHING, vec![error(403, "AccessDenied")]).await;
    insta::assert_snapshot!(done.unwrap_err(), @r#"exit 3: `reports/unit.xml` was not uploaded: PutObject failed: AccessDenied: so it is"#);
}

#[test]
fn manifests_that_differ_in_their_time_say_the_same() {
    let one = br#"{"timestamp": "2026-05-02T03:04:05Z", "branch": "main", "modules": [{"id": "MOD-012"}]}"#;
    let same = br#"{"branch":"main","modules":[{"id":"MOD-012"}],"timestamp":"2026-05-03T03:04:05Z"}"#;
    let other = br#"{"branch":"main","modules":[{"id":"MOD-013"}],"timestamp":"2026-05-02T03:04:05Z"}"#;
    assert!(says_the_same(one, same));
    assert!(!says_the_same(one, other));
    assert!(!says_the_same(b"no JSON", b"no JSON"), "what can't be read is uploaded anew");
}
