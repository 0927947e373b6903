//! A bucket as S3 answers, with what the real engine left (`shared/readers/src/pulumi/fixtures`).

use std::{fs, path::Path};

use super::*;
use crate::scripted::{Answer, Request, config};

/// When the entries were written, in nanoseconds.
const WRITTEN: u64 = 1_796_000_000_000_000_000;

fn fixture(case: &str, file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../readers/src/pulumi/fixtures/3.276.0");
    fs::read_to_string(folder.join(case).join(file)).unwrap()
}

fn listing(keys: &[String]) -> Answer {
    let written = |at: usize| format!("2026-11-30T20:5{at}:00.000Z");
    let contents = keys.iter().enumerate().map(|(at, key)| {
        format!("<Contents><Key>{key}</Key><LastModified>{}</LastModified><Size>1</Size></Contents>", written(at))
    });
    let contents: String = contents.collect();
    Answer::xml(format!(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    ))
}

fn http(status: u16, headers: Vec<(&'static str, String)>, body: String) -> Answer {
    Answer::Http { status, error: None, headers, body }
}

fn entry(at: u64, kind: &str) -> String {
    format!("team/.pulumi/history/bank-platform/dev/dev-{at}.{kind}.json")
}

/// A versioned bucket in another region, in which two updates were made, the later one of them `case`.
fn bucket(case: &'static str, versioned: bool) -> impl Fn(Request) -> Answer + Send + Sync + 'static {
    move |request| {
        let path = request.path.as_str();
        let region = request.headers.get("authorization").is_some_and(|it| it.contains("/ap-southeast-2/"));
        if request.method == "HEAD" {
            return http(301, vec![("x-amz-bucket-region", "ap-southeast-2".to_owned())], String::new());
        }
        assert!(region, "{path} is asked for where the bucket isn't");
        let version = || if versioned { vec![("x-amz-version-id", "v7".to_owned())] } else { vec![] };
        match path {
            _ if path.contains("list-type=2") && path.contains("history") => {
                assert!(
                    path.contains("start-after=team%2F.pulumi%2Fhistory%2Fbank-platform%2Fdev%2Fdev-1795999999"),
                    "{path}"
                );
                listing(&[
                    entry(WRITTEN, "checkpoint"),
                    entry(WRITTEN, "history"),
                    entry(WRITTEN + 9, "checkpoint"),
                    entry(WRITTEN + 9, "history"),
                ])
            }
            _ if path.contains("list-type=2") && path.contains("locks") => listing(&[]),
            _ if path.contains("list-type=2") => {
                let state = "team/.pulumi/stacks/bank-platform/dev.json";
                listing(&[state.to_owned(), format!("{state}.bak")])
            }
            _ if path.contains("/stacks/") => http(200, version(), fixture(case, "state.json")),
            _ if path.contains(&format!("{}.history", WRITTEN + 9)) => {
                http(200, version(), fixture(case, "history.json"))
            }
            _ if path.contains(&format!("{}.checkpoint", WRITTEN + 9)) => {
                http(200, version(), fixture(case, "checkpoint.json"))
            }
            _ if path.contains(".history") => http(200, version(), fixture("first", "history.json")),
            _ => http(200, version(), fixture("first", "checkpoint.json")),
        }
    }
}

async fn looked_at(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Result<Look, BackendError> {
    let backend = "s3://bank-pulumi-state/team".parse().unwrap();
    let stack = PulumiStack::of(&config(answer), backend, "bank-platform", "dev").await;
    stack.look(Timestamp::from_nanosecond(i128::from(WRITTEN) - 1_000_000_000).unwrap()).await
}

#[tokio::test]
async fn history_and_state_are_read_where_the_bucket_is_and_as_they_are() {
    let Look { entries, state, is_locked } = looked_at(bucket("changed", true)).await.unwrap();
    let told: Vec<_> =
        entries.iter().map(|it| (it.key.as_str(), it.update.as_ref().unwrap().message.as_str())).collect();
    let keys = [entry(WRITTEN + 9, "history"), entry(WRITTEN, "history")];
    assert_eq!(told, [(keys[0].as_str(), "the second"), (keys[1].as_str(), "promotion 01J0000000000000000000000A")]);
    let state = state.unwrap();
    assert_eq!(entries[0].checkpoint_sha256, Some(state.sha256));
    assert_eq!(state.sha256, Sha256::of(fixture("changed", "state.json").as_bytes()));
    assert_eq!((state.version_id, state.state.unwrap().place()), (Some("v7".into()), Some(("bank-platform", "dev"))));
    assert!(!is_locked);
}

#[tokio::test]
async fn a_state_that_was_edited_has_another_digest_and_a_bucket_without_versions_none() {
    let Look { entries, state, .. } = looked_at(bucket("edited", false)).await.unwrap();
    let state = state.unwrap();
    assert_ne!(entries[0].checkpoint_sha256, Some(state.sha256));
    assert_eq!(state.version_id, None);
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_no_absence() {
    let denied = |request: Request| {
        if request.method == "HEAD" {
            return http(403, vec![], String::new());
        }
        http(403, vec![], "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned())
    };
    let error = looked_at(denied).await.unwrap_err();
    assert!(error.to_string().contains("ListObjectsV2 of `s3://bank-pulumi-state/team/.pulumi/history"), "{error}");
}

#[tokio::test]
async fn what_a_refresh_left_is_read_with_the_time_at_which_the_bucket_got_it() {
    let key = "team/.pulumi/gatekeeper/bank-platform/dev/refresh.json";
    let left = |keys: Vec<String>| {
        let answer = move |request: Request| match request.method.as_str() {
            "HEAD" => http(200, vec![], String::new()),
            _ if request.path.contains("list-type=2") => listing(&keys),
            _ => http(200, vec![], fixture("looked", "drifted.json")),
        };
        async move {
            let backend = "s3://bank-pulumi-state/team".parse().unwrap();
            PulumiStack::of(&config(answer), backend, "bank-platform", "dev").await.refresh().await.unwrap()
        }
    };
    let refresh = left(vec![key.to_owned()]).await.unwrap();
    assert_eq!(refresh.left_at.to_string(), "2026-11-30T20:50:00Z");
    assert_eq!(refresh.differing, Ok([("delete".to_owned(), 1), ("update".to_owned(), 1)].into()));
    assert_eq!(left(vec![format!("{key}.old")]).await, None);
}
