//! Stages that somebody changed behind the back of their promotions, on the local AWS: `make test-e2e`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use aws_sdk_lambda::{primitives::Blob, types::Environment};
use e2e::{
    commit::{Commit, the_zip},
    promotion::{Promotions, STAGE, a_repo},
    watch::{PATIENCE, eventually},
};
use gatekeeper_gate::judgement::INTEGRATION_PASSED;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, Repo, Sha256},
    store_key::{ArtefactPath, RecordKey},
    verdict::Outcome,
};
use gatekeeper_promotion::{drift::Drift, lock::Lock, record::PromotionRecord};
use gatekeeper_proof::ledger::{Entry, Kind};
use serde_json::{Value, json};
use ulid::Ulid;

/// Somebody who listens to the alarms' topic, and asks for looks at one repository.
struct Listener {
    here: Promotions,
    repo: Repo,
    queue_url: String,
}

impl Listener {
    async fn new(repo: &str) -> Self {
        let here = Promotions::get().await;
        let config = &here.aws.root.config;
        let sqs = aws_sdk_sqs::Client::new(config);
        let queue = sqs.create_queue().queue_name(Ulid::generate().to_string()).send().await.unwrap();
        let queue_url = queue.queue_url().unwrap().to_owned();
        let arn = aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let attributes = sqs.get_queue_attributes().queue_url(&queue_url).attribute_names(arn.clone());
        let attributes = attributes.send().await.unwrap();
        let endpoint = attributes.attributes().unwrap()[&arn].clone();
        let allowed = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": endpoint,
            "Condition": {"ArnEquals": {"aws:SourceArn": here.aws.outputs.alarm_topic_arn}},
        }]});
        let policy = aws_sdk_sqs::types::QueueAttributeName::Policy;
        let allow = sqs.set_queue_attributes().queue_url(&queue_url).attributes(policy, allowed.to_string());
        allow.send().await.unwrap();
        let subscribe = aws_sdk_sns::Client::new(config).subscribe().topic_arn(&here.aws.outputs.alarm_topic_arn);
        subscribe.protocol("sqs").endpoint(endpoint).send().await.unwrap();
        Self { here, repo: a_repo(repo), queue_url }
    }

    /// A look at everything of the repository; gives what it came to.
    async fn look(&self) -> Value {
        let event = json!({"stage": STAGE, "repo": self.repo});
        let call = self.here.aws.root.lambda().invoke().function_name(&self.here.aws.outputs.watch_drift_function);
        let answer = call.payload(Blob::new(event.to_string())).send().await.unwrap();
        let payload: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        assert_eq!(answer.function_error(), None, "{payload:#}");
        payload
    }

    /// A look that must find `findings` differences, of which something has changed or not.
    async fn sees(&self, findings: usize, changed: bool) -> Vec<Finding> {
        let looked = json!({"looked_at": 1, "skipped": 0, "findings": findings, "changed": u8::from(changed)});
        let seen = self.look().await;
        let drift = self.drift().await;
        assert_eq!(seen, looked, "{drift:#?}");
        let standing: Vec<_> = drift.findings.into_iter().map(|it| it.finding).collect();
        assert_eq!(drift.told, standing, "everything was told");
        standing
    }

    fn key(&self) -> RecordKey {
        RecordKey::Drift(STAGE.parse().unwrap(), self.repo.clone())
    }

    async fn drift(&self) -> Drift {
        serde_json::from_slice(&self.here.aws.record(&self.key()).await.unwrap()).unwrap()
    }

    /// Takes every message about the repository that has come since the last call; there must be `count`.
    async fn messages(&self, count: usize) -> Vec<String> {
        let sqs = aws_sdk_sqs::Client::new(&self.here.aws.root.config);
        let mut got: Vec<String> = Vec::new();
        let look = async || {
            let answer =
                sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(10).send().await.unwrap();
            for message in answer.messages() {
                let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
                let text = body["Message"].as_str().unwrap().to_owned();
                if text.contains(self.repo.as_str()) {
                    got.push(format!("{}\n{text}", body["Subject"].as_str().unwrap()));
                }
                let delete = sqs.delete_message().queue_url(&self.queue_url);
                delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
            }
            (got.clone(), answer.messages().is_empty())
        };
        eventually("the messages", PATIENCE, look, |(got, is_empty)| *is_empty && got.len() >= count).await;
        assert_eq!(got.len(), count, "{got:#?}");
        got
    }

    /// What the ledger tells of drift, oldest first.
    async fn entries(&self) -> Vec<(String, Vec<Code>)> {
        let chain = Chain { stage: STAGE.parse().unwrap(), repo: self.repo.clone() };
        let mut entries = Vec::new();
        for sequence in 1.. {
            let Some(bytes) = self.here.aws.record(&RecordKey::LedgerEntry(chain.clone(), sequence)).await else {
                break;
            };
            let entry: Entry = serde_json::from_slice(&bytes).unwrap();
            if entry.event.kind == Kind::Drift {
                entries.push((entry.event.outcome, entry.event.findings.iter().map(|it| it.code).collect()));
            }
        }
        entries
    }

    /// Gives a function other code, as somebody with a console does.
    async fn update(&self, function: &str, zip: &[u8]) {
        let update = self.here.aws.root.lambda().update_function_code().function_name(function);
        update.zip_file(Blob::new(zip)).send().await.unwrap();
    }

    /// Writes a record as nobody may.
    async fn overwrite(&self, key: &RecordKey, bytes: Vec<u8>) {
        let put = self.here.aws.root.s3.put_object().bucket(&self.here.aws.outputs.records_bucket).key(key.to_string());
        put.body(bytes.into()).send().await.unwrap();
    }
}

fn codes(findings: &[Finding]) -> BTreeSet<Code> {
    findings.iter().map(|it| it.code).collect()
}

fn zip_of(commit: &Commit) -> &[u8] {
    &commit.objects[&the_zip()]
}

#[tokio::test]
async fn a_function_that_is_updated_by_hand_is_told_once_and_once_more_when_it_is_put_back() {
    let listener = Listener::new("by-hand").await;
    let here = &listener.here;
    let (good, other) = (here.a_commit(&listener.repo, 200).await, here.a_commit(&listener.repo, 200).await);
    let record = here.promoted(&good, STAGE).await;
    let function = record.live[0].function_name.clone().unwrap();
    listener.sees(0, false).await;
    let clean = here.aws.versions(&listener.key()).await;

    listener.update(&function, zip_of(&other)).await;
    let found = listener.sees(1, true).await;
    assert_eq!(codes(&found), [Code::FunctionChanged].into());
    let (live, promoted) = (Sha256::of(zip_of(&other)), Sha256::of(zip_of(&good)));
    let message = format!(
        "function `{function}` runs the code `{live}`, promoted was `{promoted}`: it is of `{}`, which is `built`",
        other.id
    );
    assert_eq!((found[0].subject.as_str(), &found[0].message), ("authorise-payment", &message));
    let told = listener.messages(1).await.remove(0);
    assert!(told.contains(&format!("- function-changed authorise-payment: {message}")), "{told}");
    assert_eq!(listener.entries().await, [("drifted".to_owned(), vec![Code::FunctionChanged])]);
    let written = here.aws.versions(&listener.key()).await;
    assert_eq!(written, clean + 2, "before it was told, and after");

    // The same again is no news; that the ledger is proved with the entry of it is written down, once.
    for _ in 0..2 {
        listener.sees(1, false).await;
        listener.messages(0).await;
        assert_eq!(here.aws.versions(&listener.key()).await, written + 1);
    }

    listener.update(&function, zip_of(&good)).await;
    listener.sees(0, true).await;
    let told = listener.messages(1).await.remove(0);
    assert!(told.contains("back to what was promoted") && told.contains("No longer so:\n- function-changed"), "{told}");
    let resolved = ("resolved".to_owned(), vec![Code::FunctionChanged]);
    assert_eq!(listener.entries().await[1..], [resolved]);
    listener.sees(0, false).await;
    assert_eq!(listener.entries().await.len(), 2);
}

#[tokio::test]
async fn settings_that_are_changed_by_hand_are_found_and_cloudformation_names_the_resource() {
    let listener = Listener::new("settings").await;
    let record = listener.here.promoted(&listener.here.a_commit(&listener.repo, 200).await, STAGE).await;
    let function = record.live[0].function_name.clone().unwrap();
    listener.sees(0, false).await;
    let lambda = listener.here.aws.root.lambda();
    let before = listener.here.live(&function).await.environment;
    let set = async |level: &str| {
        let mut environment = Environment::builder();
        for (name, value) in &before {
            environment = environment.variables(name, if name == "LOG_LEVEL" { level } else { value });
        }
        let change = lambda.update_function_configuration().function_name(&function).environment(environment.build());
        change.send().await.unwrap();
    };
    set("debug").await;
    let found = listener.sees(1, true).await;
    assert_eq!(codes(&found), [Code::FunctionReconfigured].into());
    // CloudFormation was asked to look by then, and answers the next time.
    let found = listener.sees(2, true).await;
    assert_eq!(codes(&found), [Code::FunctionReconfigured, Code::StackDrifted].into());
    assert!(found.iter().any(|it| it.message.contains("`AuthorisePaymentFn` (modified)")), "{found:?}");
    set(&before["LOG_LEVEL"]).await;
    let found = listener.sees(1, true).await;
    assert_eq!(codes(&found), [Code::StackDrifted].into(), "until it has looked again");
    listener.sees(0, true).await;
}

#[tokio::test]
async fn a_commit_that_is_taken_back_while_it_runs_is_told_with_where_it_runs() {
    let listener = Listener::new("revoked").await;
    let here = &listener.here;
    let commit = here.a_commit(&listener.repo, 200).await;
    let record = here.promoted(&commit, STAGE).await;
    listener.sees(0, false).await;
    commit.tag(&here.promoter, &ArtefactPath::Manifest, &[(INTEGRATION_PASSED, "false")]).await;
    here.aws.becomes(&commit, Outcome::Revoked, &[(Code::Revoked, "build-manifest.json")]).await;
    let found = listener.sees(1, true).await;
    assert_eq!(
        (found[0].code, found[0].subject.as_str()),
        (Code::RevokedCommitRunning, commit.id.to_string().as_str())
    );
    let runs = format!("stage `{STAGE}` runs it as `{}`", record.live[0].function_name.as_ref().unwrap());
    assert!(found[0].message.starts_with("taken back by ") && found[0].message.ends_with(&runs), "{found:?}");
    assert!(listener.messages(1).await[0].contains(&runs));
    assert_eq!(listener.entries().await, [("drifted".to_owned(), vec![Code::RevokedCommitRunning])]);

    // Another commit there is the end of it.
    here.promoted(&here.a_commit(&listener.repo, 200).await, STAGE).await;
    listener.sees(0, true).await;
}

#[tokio::test]
async fn a_record_that_is_rewritten_is_found_by_what_runs_and_by_what_was_signed() {
    let listener = Listener::new("rewritten").await;
    let here = &listener.here;
    let commit = here.a_commit(&listener.repo, 200).await;
    let mut record = here.promoted(&commit, STAGE).await;
    listener.sees(0, false).await;
    record.plan.stacks[0].template.sha256 = Sha256::of(b"another template");
    let key = PromotionRecord::key(&record.reference());
    listener.overwrite(&key, serde_json::to_vec_pretty(&record).unwrap()).await;
    let found = listener.sees(3, true).await;
    assert_eq!(codes(&found), [Code::AttestationInvalid, Code::TemplateChanged, Code::LedgerBroken].into());
    assert!(found.iter().any(|it| it.code == Code::LedgerBroken && it.message.contains(&key.to_string())), "{found:?}");

    // Gone altogether, what runs can't be compared any more, and the ledger still knows of it.
    let delete = here.aws.root.s3.delete_object().bucket(&here.aws.outputs.records_bucket).key(key.to_string());
    delete.send().await.unwrap();
    let found = listener.look().await;
    assert_eq!(found["changed"], 1);
    let found: Vec<_> = listener.drift().await.findings.into_iter().map(|it| it.finding).collect();
    assert_eq!(codes(&found), [Code::LedgerBroken, Code::RecordMissing].into());
}

#[tokio::test]
async fn a_stage_is_left_alone_while_a_promotion_is_under_way() {
    let listener = Listener::new("under-way").await;
    let record = listener.here.promoted(&listener.here.a_commit(&listener.repo, 200).await, STAGE).await;
    let lock = listener.here.lock(&record.reference()).await.unwrap();
    let key = RecordKey::Lock(STAGE.parse().unwrap(), listener.repo.clone());
    let held = Lock { released_at: None, ..lock };
    listener.overwrite(&key, serde_json::to_vec(&held).unwrap()).await;
    listener.update(record.live[0].function_name.as_ref().unwrap(), &e2e::zips::of(&[("index.js", b"")])).await;
    assert_eq!(listener.look().await, json!({"looked_at": 0, "skipped": 1, "findings": 0, "changed": 0}));
    assert!(listener.here.aws.record(&listener.key()).await.is_none());
}
