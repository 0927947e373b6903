//! What is to be seen of the gate: tags, verdicts, records, log lines, dead letters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::{Duration, Instant},
};

use aws_sdk_sqs::types::Message;
use futures_util::{StreamExt as _, stream};
use gatekeeper_gate::judgement::INTEGRATION_PASSED;
use gatekeeper_model::{
    finding::Code,
    ids::VersionId,
    store_key::{ArtefactPath, RecordKey},
    verdict::{Outcome, Verdict},
};
use serde_json::Value;

use crate::{
    commit::Commit,
    instance::{Caller, Instance},
};

/// How long anything may take before a test gives up: far longer than the busiest machine needs, since what is quick
/// is measured by the benchmarks.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// An object's tags.
pub type Tags = BTreeMap<String, String>;

/// Looks until what is seen is as wanted, and gives it.
pub async fn eventually<T: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let began = Instant::now();
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}, seen last: {seen:#?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a commit looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// The manifest's present version.
    pub manifest: Option<VersionId>,
    /// `integration-passed` of every object.
    pub passed: BTreeMap<String, Option<String>>,
}

/// The tags of the newest version of an object; `None` where there is no such object.
pub async fn tags(who: &Caller, bucket: &str, key: &str) -> Option<Tags> {
    let answer = who.s3.get_object_tagging().bucket(bucket).key(key).send().await;
    let tags = answer.ok()?;
    Some(tags.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

impl Instance {
    /// A record; `None` where it is not there.
    pub async fn record(&self, key: &RecordKey) -> Option<Vec<u8>> {
        let get = self.root.s3.get_object().bucket(&self.outputs.records_bucket).key(key.to_string());
        Some(get.send().await.ok()?.body.collect().await.unwrap().to_vec())
    }

    /// How many versions of a record there are.
    pub async fn versions(&self, key: &RecordKey) -> usize {
        let list = self.root.s3.list_object_versions().bucket(&self.outputs.records_bucket).prefix(key.to_string());
        list.send().await.unwrap().versions().len()
    }

    /// The verdict on a commit.
    pub async fn verdict(&self, commit: &Commit) -> Option<Verdict> {
        let bytes = self.record(&RecordKey::Verdict(commit.id.clone())).await?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// What a commit looks like now.
    pub async fn seen(&self, commit: &Commit) -> Seen {
        let list = self.root.s3.list_object_versions().bucket(commit.bucket()).prefix(commit.id.prefix());
        let listed = list.send().await.unwrap();
        assert_ne!(listed.is_truncated(), Some(true), "a commit here has less than 1,000 versions");
        let newest = listed.versions().iter().filter(|it| it.is_latest() == Some(true));
        let newest: Vec<_> = newest.map(|it| (it.key().unwrap(), it.version_id().unwrap())).collect();
        let passed = stream::iter(&newest).map(async |(key, _)| {
            let tags = tags(&self.root, commit.bucket(), key).await;
            let passed = tags.and_then(|tags| tags.get(INTEGRATION_PASSED).cloned());
            (key.trim_start_matches(&commit.id.prefix()).to_owned(), passed)
        });
        Seen {
            passed: passed.buffer_unordered(8).collect().await,
            verdict: self.verdict(commit).await,
            manifest: newest.iter().find(|(key, _)| *key == commit.manifest_key()).map(|(_, id)| VersionId::from(*id)),
        }
    }

    /// Waits until the verdict on the commit as it is now is `outcome` for exactly these reasons, and every object's
    /// tag says the same (CONTRACT §4); gives the verdict.
    pub async fn becomes(&self, commit: &Commit, outcome: Outcome, reasons: &[(Code, &str)]) -> Verdict {
        let passed = Some(outcome.integration_passed().to_string());
        let reasons: BTreeSet<_> = reasons.iter().map(|(code, subject)| (*code, (*subject).to_owned())).collect();
        let agrees = |verdict: &Verdict| {
            let told = verdict.reasons.iter().map(|it| (it.code, it.subject.replace(&commit.id.prefix(), "")));
            verdict.outcome == outcome && told.collect::<BTreeSet<_>>() == reasons
        };
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            // Every tag is looked at only once the verdict is there: looking is work for the local AWS, too.
            if self.verdict(commit).await.is_some_and(|verdict| agrees(&verdict))
                && let Seen { verdict: Some(verdict), manifest, passed: all } = self.seen(commit).await
                && agrees(&verdict)
                && verdict.manifest_version_id == manifest
                && all.values().all(|value| *value == passed)
            {
                return verdict;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let seen = self.seen(commit).await;
        let lines: Vec<_> = self.log_lines(commit.id.repo.as_str()).await.iter().map(Value::to_string).collect();
        panic!("not `{outcome}` for {reasons:?} within {PATIENCE:?}\nseen: {seen:#?}\nlogs:\n{}", lines.join("\n"));
    }

    /// Every log line of the gate that holds `text`.
    pub async fn log_lines(&self, text: &str) -> Vec<Value> {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.root.config);
        let mut lines = Vec::new();
        let group = format!("/aws/lambda/{}", self.outputs.intake_function);
        let pages = logs.filter_log_events().log_group_name(group).filter_pattern(format!("\"{text}\""));
        let mut pages = pages.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            let messages = page.events().iter().filter_map(|event| event.message());
            lines.extend(messages.filter_map(|message| serde_json::from_str(message).ok()));
        }
        lines
    }

    /// Waits for a log line that holds `text` and is as wanted.
    pub async fn log_line(&self, what: &str, text: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async || self.log_lines(text).await;
        let lines = eventually(what, PATIENCE, look, |lines| lines.iter().any(&wanted)).await;
        lines.into_iter().find(wanted).unwrap()
    }

    /// Waits until nothing more can happen to a commit: every event that was caused, by the test's own changes and by
    /// the gate's tag writes, has been settled. Gives how many events there were and how many tag writes.
    pub async fn quiet(&self, commit: &Commit) -> (u64, u64) {
        let look = async || {
            let lines = self.log_lines(commit.id.repo.as_str()).await;
            let settled = lines.iter().filter(|line| line["message"] == "events settled");
            let sum = |field: &str| settled.clone().map(|line| line[field].as_u64().unwrap()).sum::<u64>();
            (sum("events"), sum("tag_writes"), commit.events_caused())
        };
        let all = |(settled, writes, caused): &(u64, u64, u64)| *settled >= caused + writes;
        let what = "every event settled: (settled, tag writes, caused by others)";
        let (settled, writes, _) = eventually(what, PATIENCE, look, all).await;
        (settled, writes)
    }

    /// The dead letters that hold `text`, which stay in the queue.
    pub async fn dead_letters(&self, text: &str) -> Vec<Message> {
        let sqs = aws_sdk_sqs::Client::new(&self.root.config);
        let receive = sqs.receive_message().queue_url(&self.outputs.dead_letter_queue_url);
        let answer = receive.max_number_of_messages(10).visibility_timeout(0).send().await.unwrap();
        answer.messages().iter().filter(|it| it.body().is_some_and(|body| body.contains(text))).cloned().collect()
    }

    /// Puts an event into the gate's queue, as S3 does.
    pub async fn send_event(&self, body: &str) {
        let sqs = aws_sdk_sqs::Client::new(&self.root.config);
        sqs.send_message().queue_url(&self.outputs.event_queue_url).message_body(body).send().await.unwrap();
    }

    /// Takes a dead letter out of the queue.
    pub async fn bury(&self, letter: &Message) {
        let sqs = aws_sdk_sqs::Client::new(&self.root.config);
        let delete = sqs.delete_message().queue_url(&self.outputs.dead_letter_queue_url);
        delete.receipt_handle(letter.receipt_handle().unwrap()).send().await.unwrap();
    }
}

/// The manifest's key among those of [`Seen::passed`].
#[must_use]
pub fn manifest() -> String {
    ArtefactPath::Manifest.to_string()
}
