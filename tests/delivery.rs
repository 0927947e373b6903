//! How events reach the gate: twice, late, in any order, by two functions at once, and never lost.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::types::EncodingType;
use e2e::{
    commit::{Commit, the_zip},
    instance::{Caller, Instance},
    watch::{PATIENCE, eventually},
};
use futures_util::{StreamExt as _, stream};
use gatekeeper_aws::{s3::S3Store, s3_client};
use gatekeeper_model::{store_key::RecordKey, verdict::Outcome};
use gatekeeper_store::{ReadStore as _, contract};
use serde_json::{Value, json};
use ulid::Ulid;

/// The samples of events/ that wake the gate.
const SAMPLES: [&str; 7] = [
    include_str!("../events/s3-object-created.json"),
    include_str!("../events/s3-object-tagging.json"),
    include_str!("../events/s3-object-removed.json"),
    include_str!("../events/eventbridge-object-created.json"),
    include_str!("../events/eventbridge-object-tags-added.json"),
    include_str!("../events/sqs-s3.json"),
    include_str!("../events/dead-letter-redrive.json"),
];

/// The samples as if they were about objects of `commit`.
fn events_about(commit: &Commit) -> Vec<Value> {
    let ours = |sample: &str| {
        let sample = sample.replace("bank-payments", commit.id.repo.as_str());
        let sample = sample.replace("3f1c9a0b5d7e2468ace013579bdf02468ace1357", commit.id.sha.as_str());
        assert!(sample.contains(&commit.id.prefix()), "{sample}");
        serde_json::from_str(&sample).unwrap()
    };
    SAMPLES.iter().map(|sample| ours(sample)).collect()
}

async fn invoke(who: &Caller, function: &str, payload: &Value) -> Value {
    let call = who.lambda().invoke().function_name(function).payload(Blob::new(payload.to_string()));
    let answer = call.send().await.unwrap();
    let text = answer.payload().map(Blob::as_ref).unwrap_or_default();
    assert_eq!(answer.function_error(), None, "{}", String::from_utf8_lossy(text));
    serde_json::from_slice(text).unwrap()
}

/// Hands the gate every event several times, in another order each time, many at once.
async fn storm(aws: &Instance, events: &[Value], times: usize) {
    // A stride that shares no factor with the number of events visits all of them.
    let calls = (0..2 * times * events.len()).map(|n| &events[n * 5 % events.len()]);
    let answers: Vec<Value> = stream::iter(calls)
        .map(|event| invoke(&aws.root, &aws.outputs.intake_function, event))
        .buffer_unordered(6)
        .collect()
        .await;
    for answer in answers {
        assert_eq!(answer, json!({"batchItemFailures": []}));
    }
}

#[tokio::test]
async fn events_that_come_again_change_nothing() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "again"));
    commit.publish(&ci).await;
    let verdict = aws.becomes(&commit, Outcome::Built, &[]).await;
    aws.quiet(&commit).await;
    let (before, key) = (aws.seen(&commit).await, RecordKey::Verdict(commit.id.clone()));
    let versions = aws.versions(&key).await;

    storm(&aws, &events_about(&commit), 3).await;
    assert_eq!(aws.seen(&commit).await, before);
    assert_eq!(aws.verdict(&commit).await.unwrap(), verdict);
    assert_eq!(aws.versions(&key).await, versions, "nothing was written again");
}

#[tokio::test]
async fn events_in_any_order_while_a_commit_arrives_end_in_the_same_state() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "storm"));
    commit.put_manifest(&ci, &commit.before_integration()).await;
    let events = events_about(&commit);
    tokio::join!(storm(&aws, &events, 3), commit.publish(&ci));
    let verdict = aws.becomes(&commit, Outcome::Built, &[]).await;
    aws.quiet(&commit).await;
    assert_eq!(aws.becomes(&commit, Outcome::Built, &[]).await, verdict);
    assert!(aws.record(&RecordKey::Revocation(commit.id.clone())).await.is_none());
}

#[tokio::test]
async fn a_commit_whose_events_were_lost_is_settled_by_the_sweep() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "swept"));
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    // As it is where the gate never heard of the commit.
    let verdict = RecordKey::Verdict(commit.id.clone());
    let forget = aws.root.s3.delete_object().bucket(&aws.outputs.records_bucket).key(verdict.to_string());
    forget.send().await.unwrap();

    let sweep = json!({"sweep": {"repo": commit.id.repo}});
    let swept = invoke(&aws.root, &aws.outputs.intake_function, &sweep).await;
    assert_eq!(swept, json!({"commits": 1, "looked_at": 1, "settled": 1, "failed": 0, "left": 0}));
    aws.becomes(&commit, Outcome::Built, &[]).await;
    let again = invoke(&aws.root, &aws.outputs.intake_function, &sweep).await;
    assert_eq!(again, json!({"commits": 1, "looked_at": 1, "settled": 0, "failed": 0, "left": 0}));
}

#[tokio::test]
async fn an_event_that_nobody_can_read_is_kept_whole_in_the_dead_letter_queue() {
    let aws = Instance::get().await;
    let word = Ulid::generate().to_string();
    let poison =
        json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"word": word}}]});
    aws.send_event(&poison.to_string()).await;

    let look = async || aws.dead_letters(&word).await;
    let letters = eventually("a dead letter", PATIENCE, look, |letters| !letters.is_empty()).await;
    let letter: Value = serde_json::from_str(letters[0].body().unwrap()).unwrap();
    aws.bury(&letters[0]).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letter, poison);
}

#[tokio::test]
async fn a_queues_bad_message_comes_back_alone() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "queue"));
    commit.put(&ci, &the_zip()).await;
    let mut batch: Value = serde_json::from_str(&SAMPLES[5].replace("bank-payments", commit.id.repo.as_str())).unwrap();
    let mut bad = batch["Records"][0].clone();
    bad["messageId"] = json!("bad");
    bad["body"] = json!("{");
    batch["Records"].as_array_mut().unwrap().push(bad);
    let answer = invoke(&aws.root, &aws.outputs.intake_function, &batch).await;
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "bad"}]}));
}

#[tokio::test]
async fn s3_keeps_the_contract_that_the_store_in_memory_keeps() {
    let aws = Instance::get().await;
    let bucket = format!("contract-{}", Ulid::generate().to_string().to_lowercase());
    let s3 = s3_client(&aws.root.config);
    let here = aws_sdk_s3::types::BucketLocationConstraint::from(aws.outputs.region.as_str());
    let here = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(here).build();
    s3.create_bucket().bucket(&bucket).create_bucket_configuration(here).send().await.unwrap();
    let on = aws_sdk_s3::types::BucketVersioningStatus::Enabled;
    let on = aws_sdk_s3::types::VersioningConfiguration::builder().status(on).build();
    s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(on).send().await.unwrap();

    contract::keeps_the_contract(&S3Store::new(s3.clone(), &bucket), "contract/").await;

    // The keys as the store lists them: XML can't hold all that they may.
    for listed in S3Store::new(s3.clone(), &bucket).list("").await.unwrap() {
        let versions = s3.list_object_versions().bucket(&bucket).prefix(&listed.key).encoding_type(EncodingType::Url);
        for version in versions.send().await.unwrap().versions() {
            let delete = s3.delete_object().bucket(&bucket).key(&listed.key);
            delete.version_id(version.version_id().unwrap()).send().await.unwrap();
        }
    }
    s3.delete_bucket().bucket(&bucket).send().await.unwrap();
}
