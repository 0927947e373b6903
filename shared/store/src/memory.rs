//! A bucket in memory, for tests and for what shall not outlive a process: versions, tags, conditional writes, and what S3 would tell of each change.
//!
//! Every call gives other tasks a turn, as often as the seed says, so that a test explores interleavings that it
//! can repeat; and a call can be made to fail, as if the process had been killed there.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gatekeeper_model::{
    event::{Change, Event},
    ids::{ETag, Sha256, VersionId},
};

use super::{
    Body, Head, Listed, Precondition, ReadStore, Retention, StoreError, TagStore, Tags, TooLarge, WriteStore, Written,
};
use crate::MAX_TAGS;

/// A bucket in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Vec<Version>>,
    events: VecDeque<Event>,
    next_version: u64,
    calls: u64,
    writes: u64,
    bodies_read: u64,
    noted: Option<Vec<(&'static str, String)>>,
    fail_at_call: Option<u64>,
    lost: BTreeMap<u64, Lost>,
    write_attempts: u64,
    denied: Vec<String>,
    latency: std::time::Duration,
    seed: u64,
}

/// How the answer to a write gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The write was served and answered with an error.
    Served,
    /// It was served, its answer got lost, and the client's own next attempt met what it had written: a conflict.
    Retried,
    /// It was never served.
    Unserved,
}

#[derive(Debug, Clone)]
struct Version {
    id: VersionId,
    /// None for a delete marker.
    bytes: Option<Vec<u8>>,
    tags: Tags,
    in_parts: bool,
    retention: Retention,
}

impl Memory {
    /// An empty bucket whose calls interleave as `seed` says.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        let memory = Self::default();
        memory.lock().seed = seed;
        memory
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uploads a version as a stranger does, with tags; gives its id.
    pub fn upload(&self, key: &str, bytes: &[u8], tags: &[(&str, &str)]) -> VersionId {
        self.upload_version(key, Some(bytes.to_vec()), tags, false, "uploader")
    }

    /// Uploads a version in parts: the store then knows no SHA-256 of the whole.
    pub fn upload_in_parts(&self, key: &str, bytes: &[u8]) -> VersionId {
        self.upload_version(key, Some(bytes.to_vec()), &[], true, "uploader")
    }

    /// Hides an object behind a delete marker.
    pub fn delete(&self, key: &str) {
        self.upload_version(key, None, &[], false, "uploader");
    }

    /// Replaces the tags of the newest version as a stranger does.
    pub fn tag(&self, key: &str, tags: &[(&str, &str)], principal: &str) {
        let mut state = self.lock();
        let tags = owned(tags);
        if let Some(version) = state.objects.get_mut(key).and_then(|versions| versions.last_mut()) {
            version.tags = tags;
            let id = version.id.clone();
            state.tell(Change::Tagged, key, &id, principal);
        }
    }

    fn upload_version(
        &self,
        key: &str,
        bytes: Option<Vec<u8>>,
        tags: &[(&str, &str)],
        in_parts: bool,
        principal: &str,
    ) -> VersionId {
        let mut state = self.lock();
        state.next_version += 1;
        let id = VersionId::from(format!("v{}", state.next_version));
        let change = if bytes.is_some() { Change::Created } else { Change::Removed };
        state.objects.entry(key.to_owned()).or_default().push(Version {
            id: id.clone(),
            bytes,
            tags: owned(tags),
            in_parts,
            retention: Retention::default(),
        });
        state.tell(change, key, &id, principal);
        id
    }

    /// Locks every version of an object against deletion.
    pub fn lock_until(&self, key: &str, until: jiff::Timestamp) {
        for version in self.lock().objects.get_mut(key).into_iter().flatten() {
            version.retention =
                Retention { mode: Some("GOVERNANCE".to_owned()), until: Some(until), ..Retention::default() };
        }
    }

    /// Refuses every read of the keys that begin so, as AWS refuses who has no right to it.
    pub fn deny(&self, prefix: &str) {
        self.lock().denied.push(prefix.to_owned());
    }

    /// Takes everything that S3 would have told since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        self.lock().events.drain(..).collect()
    }

    /// The newest version's tags.
    #[must_use]
    pub fn tags_of(&self, key: &str) -> Tags {
        self.lock().newest(key).map(|version| version.tags.clone()).unwrap_or_default()
    }

    /// The newest version's bytes.
    #[must_use]
    pub fn bytes_of(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().newest(key).and_then(|version| version.bytes.clone())
    }

    /// Every key that isn't deleted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let state = self.lock();
        state.objects.keys().filter(|key| state.newest(key).is_some()).cloned().collect()
    }

    /// How many calls the store has taken, how many of them wrote, and how many read a body.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.calls, state.writes, state.bodies_read)
    }

    /// Notes each call from now on: its operation, and the key or prefix that it names. Gives those that were noted before.
    pub fn note_calls(&self) -> Vec<(&'static str, String)> {
        self.lock().noted.replace(Vec::new()).unwrap_or_default()
    }

    /// Makes the `n`th call from now on fail, and every later one: the process is dead.
    pub fn fail_at_call(&self, n: Option<u64>) {
        let mut state = self.lock();
        state.fail_at_call = n.map(|n| state.calls + n);
    }

    /// Loses the answers to writes, by their number from now on; the first is 1.
    pub fn lose_answers(&self, lost: impl IntoIterator<Item = (u64, Lost)>) {
        let mut state = self.lock();
        let before = state.write_attempts;
        state.lost = lost.into_iter().map(|(number, lost)| (before + number, lost)).collect();
    }

    /// How the answer to this write gets lost; `None` where it is told.
    fn lost(&self) -> Option<Lost> {
        let mut state = self.lock();
        state.write_attempts += 1;
        let number = state.write_attempts;
        state.lost.remove(&number)
    }

    /// Makes every call take as long, on tokio's clock.
    pub fn answer_after(&self, latency: std::time::Duration) {
        self.lock().latency = latency;
    }

    /// Counts a call and gives other tasks as many turns as the seed says.
    async fn turn(&self, operation: &'static str, key: &str) -> Result<(), StoreError> {
        let (turns, latency) = {
            let mut state = self.lock();
            state.calls += 1;
            if let Some(noted) = &mut state.noted {
                noted.push((operation, key.to_owned()));
            }
            if state.fail_at_call.is_some_and(|at| state.calls >= at) {
                return Err(broken(operation, key, "killed"));
            }
            if state.denied.iter().any(|prefix| key.starts_with(prefix)) {
                return Err(StoreError {
                    operation,
                    bucket: "memory".to_owned(),
                    key: key.to_owned(),
                    source: "AccessDenied: Access Denied".into(),
                });
            }
            // Knuth's MMIX generator: repeatable, and good enough to shuffle turns.
            state.seed = state.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state.seed >> 60) % 5, state.latency)
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl State {
    fn newest(&self, key: &str) -> Option<&Version> {
        self.objects.get(key)?.last().filter(|version| version.bytes.is_some())
    }

    fn version(&self, key: &str, version_id: Option<&VersionId>) -> Option<&Version> {
        match version_id {
            None => self.newest(key),
            Some(id) => {
                let versions = self.objects.get(key)?;
                versions.iter().find(|version| version.id == *id && version.bytes.is_some())
            }
        }
    }

    fn tell(&mut self, change: Change, key: &str, version_id: &VersionId, principal: &str) {
        self.events.push_back(Event {
            change,
            bucket: "memory".to_owned(),
            key: key.to_owned(),
            version_id: Some(version_id.clone()),
            principal: Some(principal.to_owned()),
            at: None,
        });
    }
}

fn owned(tags: &[(&str, &str)]) -> Tags {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn etag(id: &VersionId) -> ETag {
    format!("\"{id}\"").into()
}

fn broken(operation: &'static str, key: &str, what: &'static str) -> StoreError {
    StoreError { operation, bucket: "memory".to_owned(), key: key.to_owned(), source: what.into() }
}

fn hidden(key: &str) -> StoreError {
    broken("ListObjectVersions", key, "a delete marker hides it")
}

impl ReadStore for Memory {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.turn("ListObjectVersions", prefix).await?;
        let state = self.lock();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let under = state.objects.range::<str, _>(from).map(|(key, _)| key).take_while(|key| key.starts_with(prefix));
        let newest = under.filter_map(|key| {
            let version = state.newest(key)?;
            Some(Listed {
                key: key.clone(),
                version_id: version.id.clone(),
                size: version.bytes.as_ref()?.len() as u64,
            })
        });
        Ok(newest.collect())
    }

    async fn first(&self, prefix: &str) -> Result<Option<String>, StoreError> {
        self.turn("ListObjectVersions", prefix).await?;
        let state = self.lock();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        match state.objects.range::<str, _>(from).next().filter(|(key, _)| key.starts_with(prefix)) {
            Some((key, _)) if state.newest(key).is_none() => Err(hidden(key)),
            first => Ok(first.map(|(key, _)| key.clone())),
        }
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.turn("ListObjectVersions", prefix).await?;
        let state = self.lock();
        let keys = state.objects.keys();
        let folders = keys.filter_map(|key| Some(key.strip_prefix(prefix)?.split_once('/')?.0.to_owned()));
        Ok(folders.collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn head(&self, key: &str, version_id: Option<&VersionId>) -> Result<Option<Head>, StoreError> {
        self.turn("HeadObject", key).await?;
        let state = self.lock();
        Ok(state.version(key, version_id).and_then(|version| {
            let bytes = version.bytes.as_ref()?;
            Some(Head {
                version_id: version.id.clone(),
                etag: etag(&version.id),
                size: bytes.len() as u64,
                sha256: (!version.in_parts).then(|| Sha256::of(bytes)),
                tag_count: version.tags.len(),
                retention: version.retention.clone(),
            })
        }))
    }

    async fn get(&self, key: &str, version_id: Option<&VersionId>, max_bytes: u64) -> Result<Option<Body>, StoreError> {
        self.turn("GetObject", key).await?;
        let state = self.lock();
        let Some(version) = state.version(key, version_id) else { return Ok(None) };
        let bytes = version.bytes.clone().unwrap_or_default();
        if bytes.len() as u64 > max_bytes {
            return Err(StoreError {
                operation: "GetObject",
                bucket: "memory".to_owned(),
                key: key.to_owned(),
                source: TooLarge { max_bytes }.into(),
            });
        }
        Ok(Some(Body { bytes, version_id: version.id.clone(), etag: etag(&version.id) }))
    }

    async fn stream(
        &self,
        key: &str,
        version_id: &VersionId,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<Option<usize>, StoreError> {
        self.turn("GetObject", key).await?;
        let found = {
            let mut state = self.lock();
            state.bodies_read += 1;
            let version = state.version(key, Some(version_id));
            version.and_then(|version| Some((version.bytes.clone()?, version.tags.len())))
        };
        let Some((bytes, tag_count)) = found else { return Ok(None) };
        for piece in bytes.chunks(64 * 1024) {
            sink(piece).map_err(|source| StoreError {
                operation: "GetObject",
                bucket: "memory".to_owned(),
                key: key.to_owned(),
                source: source.into(),
            })?;
        }
        Ok(Some(tag_count))
    }

    async fn tags(&self, key: &str, version_id: &VersionId) -> Result<Option<Tags>, StoreError> {
        self.turn("GetObjectTagging", key).await?;
        Ok(self.lock().version(key, Some(version_id)).map(|version| version.tags.clone()))
    }
}

impl TagStore for Memory {
    async fn put_tags(&self, key: &str, version_id: &VersionId, tags: &Tags) -> Result<bool, StoreError> {
        self.turn("PutObjectTagging", key).await?;
        let lost = self.lost();
        if lost == Some(Lost::Unserved) {
            return Err(broken("PutObjectTagging", key, "connection refused"));
        }
        if tags.len() > MAX_TAGS {
            return Err(broken("PutObjectTagging", key, "an object has at most 10 tags"));
        }
        let mut state = self.lock();
        let version = state.objects.get_mut(key).and_then(|versions| {
            versions.iter_mut().find(|version| version.id == *version_id && version.bytes.is_some())
        });
        let Some(version) = version else { return Ok(false) };
        version.tags.clone_from(tags);
        state.writes += 1;
        state.tell(Change::Tagged, key, version_id, "gate");
        match lost {
            Some(Lost::Served) => Err(broken("PutObjectTagging", key, "connection reset")),
            _ => Ok(true),
        }
    }
}

impl WriteStore for Memory {
    async fn put_once(
        &self,
        key: &str,
        bytes: &[u8],
        _content_type: &str,
        precondition: &Precondition,
    ) -> Result<Written, StoreError> {
        self.turn("PutObject", key).await?;
        let lost = self.lost();
        if lost == Some(Lost::Unserved) {
            return Err(broken("PutObject", key, "connection refused"));
        }
        let present = self.lock().newest(key).map(|version| etag(&version.id));
        let holds = match precondition {
            Precondition::Absent => present.is_none(),
            Precondition::Unchanged(etag) => present.as_ref() == Some(etag),
        };
        if !holds {
            return Ok(Written::Conflict);
        }
        self.lock().writes += 1;
        let version_id = self.upload_version(key, Some(bytes.to_vec()), &[], false, "gate");
        match lost {
            Some(Lost::Served) => Err(broken("PutObject", key, "connection reset")),
            Some(Lost::Retried) => Ok(Written::Conflict),
            _ => Ok(Written::Done { etag: etag(&version_id), version_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_ones_own_and_one_that_was_not_served_is_an_error() {
        let memory = Memory::default();
        let put =
            async |bytes: &'static [u8], precondition| memory.put("lock", bytes, "text/plain", &precondition).await;
        for (number, lost) in [Lost::Retried, Lost::Served].into_iter().enumerate() {
            let before = memory.get("lock", None, 9).await.unwrap().map(|body| body.etag);
            let precondition = before.map_or(Precondition::Absent, Precondition::Unchanged);
            let bytes: &[u8] = if number == 0 { b"first" } else { b"other" };
            memory.lose_answers([(1, lost)]);
            let Written::Done { etag, version_id } = put(bytes, precondition).await.unwrap() else {
                panic!("{lost:?}")
            };
            let stored = memory.get("lock", None, 9).await.unwrap().unwrap();
            assert_eq!(
                (stored.bytes.as_slice(), stored.etag, stored.version_id),
                (bytes, etag, version_id),
                "{lost:?}"
            );
        }
        let etag = memory.get("lock", None, 9).await.unwrap().unwrap().etag;
        memory.lose_answers([(1, Lost::Unserved)]);
        put(b"third", Precondition::Unchanged(etag)).await.unwrap_err();
        assert_eq!(memory.bytes_of("lock").unwrap(), b"other");
    }

    #[tokio::test]
    async fn a_conflict_that_can_not_be_looked_into_is_an_error() {
        let memory = Memory::default();
        memory.upload("lock", b"other", &[]);
        memory.fail_at_call(Some(2));
        memory.put("lock", b"ours", "text/plain", &Precondition::Absent).await.unwrap_err();
    }

    #[tokio::test]
    async fn keeps_the_contract_of_a_store() {
        contract::keeps_the_contract(&Memory::default(), "contract/").await;
    }
}
