//! What commands for people ask of the buckets beyond reading: which folders there are, and when something was written.

use gatekeeper_aws::{s3::S3Store, timestamp};
use gatekeeper_store::{ReadStore, Stores};
use jiff::Timestamp;

use crate::{
    aws::{Aws, called},
    output::Output,
};

/// An object and when its newest version was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated {
    pub(crate) key: String,
    pub(crate) at: Timestamp,
}

/// A bucket that tells its folders and times, which needs the right to list it and no other.
pub(crate) trait Records: ReadStore {
    /// The folders whose paths begin with `prefix`, each with its slash.
    async fn folders_beginning(&self, prefix: &str) -> anyhow::Result<Vec<String>>;

    /// The objects below a folder whose keys come after `after`, by key.
    async fn dated(&self, folder: &str, after: Option<&str>) -> anyhow::Result<Vec<Dated>>;
}

impl Records for S3Store {
    async fn folders_beginning(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let request = self.client().list_objects_v2().bucket(self.bucket()).prefix(prefix).delimiter("/");
        let mut pages = request.into_paginator().send();
        let mut folders = Vec::new();
        while let Some(page) = pages.next().await {
            let page = called("ListObjectsV2", page)?;
            folders.extend(page.common_prefixes().iter().filter_map(|it| it.prefix().map(str::to_owned)));
        }
        Ok(folders)
    }

    async fn dated(&self, folder: &str, after: Option<&str>) -> anyhow::Result<Vec<Dated>> {
        let request = self.client().list_objects_v2().bucket(self.bucket()).prefix(folder);
        let mut pages = request.set_start_after(after.map(str::to_owned)).into_paginator().send();
        let mut dated = Vec::new();
        while let Some(page) = pages.next().await {
            let page = called("ListObjectsV2", page)?;
            dated.extend(page.contents().iter().filter_map(|object| {
                Some(Dated { key: object.key()?.to_owned(), at: object.last_modified().and_then(timestamp)? })
            }));
        }
        Ok(dated)
    }
}

/// Has the buckets looked at, says so meanwhile, and warns of what could not be told.
pub(crate) async fn looked<D>(
    aws: &Aws<'_>,
    output: &mut Output,
    look: impl AsyncFnOnce(Stores<'_, S3Store>) -> anyhow::Result<(D, Vec<String>)>,
) -> anyhow::Result<D> {
    output.passing("looking at the records …");
    let (records, artefacts) = (aws.records().await?, aws.artefacts().await?);
    let (document, troubles) = look(Stores { artefacts: &artefacts, records: &records }).await?;
    output.clear_passing();
    for trouble in &troubles {
        output.warning(trouble);
    }
    Ok(document)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use gatekeeper_model::{
        ids::{Commit, CommitSha, Sha256, StageName, VersionId},
        store_key::{ArtefactPath, RecordKey},
    };
    use gatekeeper_store::memory::Memory;
    use serde_json::{Value, json};

    use super::*;

    /// Both buckets, with what the gate and promotions leave there.
    #[derive(Default)]
    pub(crate) struct World {
        pub(crate) artefacts: Memory,
        pub(crate) records: Memory,
        manifests: RefCell<BTreeMap<Commit, VersionId>>,
    }

    impl World {
        pub(crate) fn stores(&self) -> Stores<'_, Memory> {
            Stores { artefacts: &self.artefacts, records: &self.records }
        }

        pub(crate) fn put(&self, key: &RecordKey, document: &Value) {
            self.records.upload(&key.to_string(), document.to_string().as_bytes(), &[]);
        }

        pub(crate) fn configure(&self, stages: &str) {
            let document = format!(r#"{{"schema_version": 1, "stages": {stages}}}"#);
            self.records.upload("config/stages.json", document.as_bytes(), &[]);
        }

        /// A commit that the gate has judged; the higher its number, the later it was seen.
        pub(crate) fn judged(&self, commit: &Commit, number: usize, outcome: &str, more: &Value) {
            let manifest = json!({
                "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "branch": "main",
                "author": "jane@bank.example", "timestamp": "2026-05-02T03:04:05Z", "modules": [],
                "build": {"run_url": "https://github.com/bank/payments/actions/runs/1", "run_attempt": 2, "actor": "jane"},
            });
            let manifest = merged(manifest, &more["manifest"]).to_string();
            let version = self.artefacts.upload(&ArtefactPath::Manifest.of(commit), manifest.as_bytes(), &[]);
            self.manifests.borrow_mut().insert(commit.clone(), version.clone());
            let verdict = json!({
                "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "manifest_version_id": version,
                "outcome": outcome, "reasons": [], "artefacts": [], "evaluated_at": "2026-05-02T03:05:00Z",
            });
            self.put(&RecordKey::Verdict(commit.clone()), &merged(verdict, &more["verdict"]));
            let seen = RecordKey::Predecessor(commit.clone(), Sha256::of(b"main")).to_string();
            self.records.upload(&seen, " ".repeat(number).as_bytes(), &[]);
        }

        /// That a stage ran these commits, the last of them now; the promotions' ids end in their place.
        pub(crate) fn ran(&self, stage: &str, commits: &[&Commit]) {
            let stage = stage.parse().unwrap();
            let id = |place: usize| format!("01J{place:023}");
            let mut history = Vec::new();
            for (place, commit) in commits.iter().enumerate() {
                let version = self.manifests.borrow().get(*commit).cloned();
                history.push(json!({
                    "commit_sha": commit.sha, "promotion_id": id(place), "manifest_version_id": version,
                    "completed_at": format!("2026-05-03T{:02}:{:02}:00Z", place / 60, place % 60), "rollback": false,
                }));
                self.promoted(&stage, commit, &id(place), &json!({}));
            }
            let last = commits.last().unwrap();
            self.put(&RecordKey::Stage(stage.clone(), last.repo.clone()), &json!({
                "schema_version": 1, "stage": stage, "repo": last.repo, "commit_sha": last.sha,
                "promotion_id": id(commits.len() - 1), "since": history.last().unwrap()["completed_at"], "history": history,
            }));
        }

        /// The record of a promotion.
        pub(crate) fn promoted(&self, stage: &StageName, commit: &Commit, id: &str, more: &Value) {
            let key = RecordKey::Promotion(stage.clone(), commit.repo.clone(), id.parse().unwrap());
            let record = json!({
                "schema_version": 1, "promotion_id": id, "repo": commit.repo, "commit_sha": commit.sha, "stage": stage,
                "requested_by": "ben@bank.example", "reason": "release", "rollback": false, "status": "succeeded",
                "execution_arn": "arn", "started_at": "2026-05-03T00:00:00Z", "ended_at": "2026-05-03T00:01:00Z",
                "verdict_version_id": "v1", "manifest_version_id": "v1", "stages_config_version_id": "c1",
                "role_arn": null, "stack_role_arn": null,
                "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": []},
                "way_back": null, "steps": [], "live": [],
            });
            self.put(&key, &merged(record, more));
        }

        /// How many dependent round trips `look` takes, each as long as `latency`, on tokio's clock.
        pub(crate) async fn round_trips<T>(&self, look: impl Future<Output = T>) -> (T, u128) {
            let latency = Duration::from_millis(100);
            self.records.answer_after(latency);
            self.artefacts.answer_after(latency);
            let begun = tokio::time::Instant::now();
            let found = look.await;
            (found, begun.elapsed().as_millis() / 100)
        }
    }

    /// A document with some members replaced.
    fn merged(mut document: Value, more: &Value) -> Value {
        for (name, value) in more.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        document
    }

    pub(crate) fn commit(repo: &str, start: &str) -> Commit {
        let sha: CommitSha = format!("{start}{}", "0".repeat(40 - start.len())).parse().unwrap();
        Commit { repo: repo.parse().unwrap(), sha }
    }

    /// A thousand commits, two hundred of which were promoted to each of two stages.
    pub(crate) fn large() -> (World, Vec<Commit>) {
        let world = World::default();
        world.configure(r#"{"uat": {}, "prod": {"requires": "deployed:uat"}}"#);
        let commits: Vec<_> = (0..1_000).map(|number| commit("bank-payments", &format!("{number:07x}"))).collect();
        for (number, commit) in commits.iter().enumerate() {
            world.judged(commit, number, "built", &Value::Null);
        }
        let promoted: Vec<_> = commits.iter().step_by(5).collect();
        world.ran("uat", &promoted);
        world.ran("prod", &promoted[..199]);
        (world, commits)
    }

    /// S3 tells so many keys or folders in one answer.
    const PAGE: usize = 1_000;

    /// A listing as S3 gives it: page after page.
    async fn listed(store: &Memory, prefix: &str, of: impl Fn(&str) -> String) -> anyhow::Result<BTreeSet<String>> {
        let found: BTreeSet<_> = store.list(prefix).await?.iter().map(|it| of(&it.key)).collect();
        for _ in 1..found.len().div_ceil(PAGE) {
            store.head("another page", None).await?;
        }
        Ok(found)
    }

    impl Records for Memory {
        async fn folders_beginning(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
            let folder = |key: &str| {
                let rest = key.get(prefix.len()..).unwrap_or_default();
                rest.split_once('/').map(|(name, _)| format!("{prefix}{name}/")).unwrap_or_default()
            };
            Ok(listed(self, prefix, folder).await?.into_iter().filter(|it| !it.is_empty()).collect())
        }

        async fn dated(&self, folder: &str, after: Option<&str>) -> anyhow::Result<Vec<Dated>> {
            let keys = listed(self, folder, str::to_owned).await?;
            let keys = keys.into_iter().filter(|key| after.is_none_or(|after| key.as_str() > after));
            let version = |key: &str| self.bytes_of(key).map(|bytes| bytes.len());
            Ok(keys.map(|key| Dated { at: written_at(version(&key).unwrap_or(0)), key }).collect())
        }
    }

    /// Memory knows no times, so a longer object counts as a later one.
    pub(crate) fn written_at(length: usize) -> Timestamp {
        Timestamp::from_second(1_777_690_000 + i64::try_from(length).unwrap_or(0)).unwrap_or_default()
    }
}
