//! Reading the exhibits: a few rounds, everything of a round at once, and no listing of more than one digest's folder.

use std::future::Future;

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use jiff::Timestamp;

use super::{
    exhibits::{Exhibits, Live, StoredObject},
    model::{AttestationKind, Question},
    paper,
};
use crate::{
    attestation::{Envelope, PublicKeys, Statement},
    converge::CALLS_IN_FLIGHT,
    ids::{Commit, Sha256},
    ledger::{self, Chain, LedgerHead},
    manifest::{self, Manifest},
    promotion::record::PromotionRecord,
    store::{Store, StoreError},
    store_key::{ArtefactPath, Form, PromotionStatement, RecordKey},
    verdict::Verdict,
};

/// The largest record that is read, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024 * 1024;
/// How many entries of a chain are read first: mostly the promotion's is among them.
const ENTRIES_AT_FIRST: u64 = 32;
/// How many are read when it isn't: the rest, as far back as this.
const MOST_ENTRIES: u64 = 4096;

/// Where things are stored.
#[derive(Debug)]
pub struct Stores<'a, S> {
    /// The artefact bucket.
    pub artefacts: &'a S,
    /// The records bucket.
    pub records: &'a S,
}

/// A document to be read: its name, and its key and version.
struct Wanted {
    name: String,
    key: String,
    version_id: Option<String>,
    max_bytes: u64,
}

impl Wanted {
    fn record(name: impl Into<String>, key: &RecordKey, version_id: Option<&String>) -> Self {
        Self { name: name.into(), key: key.to_string(), version_id: version_id.cloned(), max_bytes: MAX_RECORD_BYTES }
    }
}

/// Reads everything that the evidence rests on. `look` looks at the functions of a promotion's plan; it may leave it at
/// what the record says. It isn't asked about the past.
///
/// # Errors
/// [`StoreError`] where the store could not be looked at; that something isn't there is no error.
pub async fn collect<S: Store, L: Future<Output = Live>>(
    stores: &Stores<'_, S>,
    question: Question,
    keys: Option<PublicKeys>,
    now: Timestamp,
    look: impl FnOnce(PromotionRecord) -> L,
) -> Result<Exhibits, StoreError> {
    let records = stores.records;
    let mut exhibits = Exhibits::new(question, keys, now);
    let Question { stage, repo, at } = exhibits.observed.question.clone();
    let (chain, gate_chain) = (exhibits.chain(), Chain::of_gate(repo.clone()));

    // What the stage runs, and where the chains end.
    let first = [
        Wanted::record(paper::STAGE, &RecordKey::Stage(stage.clone(), repo.clone()), None),
        Wanted::record(paper::HEAD, &RecordKey::LedgerHead(chain.clone()), None),
        Wanted::record(paper::GATE_HEAD, &RecordKey::LedgerHead(gate_chain.clone()), None),
        Wanted::record(paper::DRIFT, &RecordKey::Drift(stage.clone(), repo.clone()), None),
    ];
    read(records, &mut exhibits, first).await?;

    // The promotion that brought it.
    let subject = exhibits.subject().ok().flatten();
    let place = |name: &str| head_of(&exhibits, name).map_or(0, |head| head.sequence);
    let (newest, gate_newest) = (place(paper::HEAD), place(paper::GATE_HEAD));
    let mut second = entries(paper::LEDGER, &chain, newest.saturating_sub(ENTRIES_AT_FIRST) + 1..=newest);
    let gate_from = gate_newest.saturating_sub(ENTRIES_AT_FIRST) + 1;
    second.extend(entries(paper::GATE_LEDGER, &gate_chain, gate_from..=gate_newest));
    if let Some(subject) = &subject {
        let id = &subject.promotion_id;
        let record = RecordKey::Promotion(stage.clone(), repo.clone(), id.clone());
        second.push(Wanted::record(paper::PROMOTION, &record, None));
        for (kind, statement) in [
            (AttestationKind::VerificationSummary, PromotionStatement::VerificationSummary),
            (AttestationKind::Deployment, PromotionStatement::Deployment),
        ] {
            for form in [Form::Dsse, Form::Sigstore] {
                let key = RecordKey::PromotionAttestation(stage.clone(), repo.clone(), id.clone(), statement, form);
                second.push(Wanted::record(paper::attestation(kind, form), &key, None));
            }
        }
    }
    read(records, &mut exhibits, second).await?;
    complete(&mut exhibits, paper::LEDGER, paper::HEAD);
    complete(&mut exhibits, paper::GATE_LEDGER, paper::GATE_HEAD);

    // What that rests on; and what is live, at the same time.
    let Some(subject) = subject else { return Ok(exhibits) };
    let commit = Commit { repo: repo.clone(), sha: subject.commit_sha.clone() };
    let record = exhibits.read::<PromotionRecord>(paper::PROMOTION).ok().map(|read| read.value);
    let mut third = what_it_rests_on(&commit, record.as_ref());
    let approvals = record.iter().flat_map(PromotionRecord::counted_approvals);
    third.extend(approvals.zip(1..).map(|(counted, place)| Wanted {
        name: paper::approval(place),
        key: counted.record.key.clone(),
        version_id: Some(counted.record.version_id.clone()),
        max_bytes: MAX_RECORD_BYTES,
    }));
    let has_entry = exhibits.entries(paper::LEDGER).iter().any(|stored| {
        stored.entry.as_ref().is_some_and(|entry| entry.event.promotion_id.as_ref() == Some(&subject.promotion_id))
    });
    if !has_entry {
        let to = newest.saturating_sub(ENTRIES_AT_FIRST);
        third.extend(entries(paper::LEDGER, &chain, newest.saturating_sub(MOST_ENTRIES) + 1..=to));
    }
    let version_id = record.as_ref().map(|record| &record.manifest_version_id);
    let manifest = manifest_of(stores.artefacts, &commit, version_id.map(String::as_str));
    let live = async {
        match &record {
            Some(record) if at.is_none() => Ok(look(record.clone()).await),
            _ => Ok(Live::AsRecorded),
        }
    };
    let (manifest, live, ()) = future::try_join3(manifest, live, read(records, &mut exhibits, third)).await?;
    if let Some((version_id, bytes)) = manifest {
        exhibits.add(paper::MANIFEST, version_id, bytes);
    }
    exhibits.observed.live = live;

    // What is stored of the commit, and whose bytes run where they aren't the promoted ones.
    let (stored, bytes_of) =
        future::try_join(stored_objects(stores.artefacts, &exhibits, record.as_ref()), whose_bytes(records, &exhibits))
            .await?;
    exhibits.observed.stored = stored;
    exhibits.observed.bytes_of = bytes_of.into_iter().collect();
    Ok(exhibits)
}

/// The documents that a promotion of `commit` rests on.
fn what_it_rests_on(commit: &Commit, record: Option<&PromotionRecord>) -> Vec<Wanted> {
    let (verdict, revocation) = (RecordKey::Verdict(commit.clone()), RecordKey::Revocation(commit.clone()));
    let built = record.and_then(|record| record.built_attestation.as_ref());
    let built_key = |form| RecordKey::BuiltAttestation(commit.clone(), form);
    let name = |form| paper::attestation(AttestationKind::Built, form);
    vec![
        Wanted::record(paper::VERDICT, &verdict, record.map(|record| &record.verdict_version_id)),
        Wanted::record(paper::PRESENT_VERDICT, &verdict, None),
        Wanted::record(paper::REVOCATION, &revocation, None),
        Wanted::record(name(Form::Dsse), &built_key(Form::Dsse), built.map(|built| &built.version_id)),
        Wanted::record(name(Form::Sigstore), &built_key(Form::Sigstore), None),
    ]
}

/// What a head says, whoever signed it: where to look, and nothing more.
fn head_of(exhibits: &Exhibits, name: &str) -> Option<LedgerHead> {
    let payload = exhibits.bytes(name).and_then(|bytes| Envelope::parse(bytes).ok()?.payload().ok())?;
    Some(serde_json::from_slice::<Statement<LedgerHead>>(&payload).ok()?.predicate)
}

/// Takes the newest entry from the head where whoever wrote that was killed before it wrote the entry.
fn complete(exhibits: &mut Exhibits, folder: &str, head: &str) {
    let Some(LedgerHead { sequence, entry, .. }) = head_of(exhibits, head) else { return };
    let name = paper::entry(folder, sequence);
    if exhibits.bytes(&name).is_none() {
        exhibits.add(name, String::new(), entry.into_bytes());
    }
}

fn entries(folder: &str, chain: &Chain, places: std::ops::RangeInclusive<u64>) -> Vec<Wanted> {
    let wanted = places.map(|sequence| Wanted {
        name: paper::entry(folder, sequence),
        key: RecordKey::LedgerEntry(chain.clone(), sequence).to_string(),
        version_id: None,
        max_bytes: ledger::MAX_BYTES,
    });
    wanted.collect()
}

/// Reads documents, all at once; what isn't there is left out.
async fn read(
    store: &impl Store,
    exhibits: &mut Exhibits,
    wanted: impl IntoIterator<Item = Wanted>,
) -> Result<(), StoreError> {
    let found: Vec<_> = stream::iter(wanted)
        .map(|it| async move {
            match store.get(&it.key, it.version_id.as_deref(), it.max_bytes).await {
                // Nothing that the gatekeeper writes is so large: it is judged as a document that says nothing.
                Err(error) if error.is_too_large() => Ok(Some((it.name, String::new(), Vec::new()))),
                body => Ok::<_, StoreError>(body?.map(|body| (it.name, body.version_id, body.bytes))),
            }
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_collect()
        .await?;
    for (name, version_id, bytes) in found.into_iter().flatten() {
        exhibits.add(name, version_id, bytes);
    }
    Ok(())
}

async fn manifest_of(
    artefacts: &impl Store,
    commit: &Commit,
    version_id: Option<&str>,
) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    let key = ArtefactPath::Manifest.of(commit);
    let body = artefacts.get(&key, version_id, manifest::MAX_BYTES).await?;
    Ok(body.map(|body| (body.version_id, body.bytes)))
}

/// Looks at every object in the version that was judged.
async fn stored_objects(
    artefacts: &impl Store,
    exhibits: &Exhibits,
    record: Option<&PromotionRecord>,
) -> Result<Vec<StoredObject>, StoreError> {
    let verdict = exhibits.read::<Verdict>(paper::VERDICT).ok();
    let judged = verdict.map(|read| read.value.artefacts).unwrap_or_default();
    let mut objects: Vec<_> = judged.into_iter().map(|it| (it.key, it.version_id)).collect();
    let planned = record.iter().flat_map(|record| record.plan.pinned());
    objects.extend(planned.map(|it| (it.key.clone(), it.version_id.clone())));
    objects.sort();
    objects.dedup();
    stream::iter(objects)
        .map(|(key, version_id)| async move {
            let head = artefacts.head(&key, Some(&version_id)).await?;
            let sha256 = head.as_ref().and_then(|head| head.sha256);
            Ok(StoredObject { key, version_id, there: head.is_some(), sha256 })
        })
        .buffered(CALLS_IN_FLIGHT)
        .try_collect()
        .await
}

/// The commits that hold the bytes of functions which don't run the promoted ones.
async fn whose_bytes(records: &impl Store, exhibits: &Exhibits) -> Result<Vec<(Sha256, Vec<String>)>, StoreError> {
    let Live::Seen(live) = &exhibits.observed.live else { return Ok(Vec::new()) };
    let strange = live.iter().filter(|function| !function.is_promoted_code).filter_map(|it| it.code_sha256);
    let mut strange: Vec<_> = strange.collect();
    strange.sort();
    strange.dedup();
    stream::iter(strange)
        .map(|digest| async move { Ok((digest, commits_of(records, digest).await?)) })
        .buffered(CALLS_IN_FLIGHT)
        .try_collect()
        .await
}

/// The Built commits that hold these bytes.
///
/// # Errors
/// [`StoreError`] where the index could not be looked at.
pub async fn commits_of(records: &impl Store, digest: Sha256) -> Result<Vec<String>, StoreError> {
    let listed = records.list(&RecordKey::digest_prefix(&digest)).await?;
    let commits = listed.iter().filter_map(|it| RecordKey::commit_of_digest(&it.key));
    Ok(commits.map(|commit| commit.to_string()).collect())
}

/// Reads the raw reports and the schema snapshots of the commit, for who wants to read them too: each as it was judged, no
/// larger than `each` bytes, and no more than `all` bytes together. What is larger stays out.
///
/// # Errors
/// [`StoreError`] where the store could not be looked at.
pub async fn attach(artefacts: &impl Store, exhibits: &mut Exhibits, each: u64, all: u64) -> Result<(), StoreError> {
    let Ok(verdict) = exhibits.read::<Verdict>(paper::VERDICT) else { return Ok(()) };
    let commit = verdict.value.commit();
    let Some(manifest) = exhibits.bytes(paper::MANIFEST).and_then(|bytes| Manifest::parse(bytes, &commit).ok()) else {
        return Ok(());
    };
    let reports = manifest.reports.iter().map(|it| (paper::report(&it.file), ArtefactPath::Report(it.file.clone())));
    let snapshots = manifest.modules.iter().flat_map(|module| {
        module.schemas.iter().map(|schema| {
            let path = ArtefactPath::Schema(module.id.clone(), schema.database.clone());
            (paper::snapshot(&module.id, &schema.database), path)
        })
    });
    let mut left = all;
    let mut wanted = Vec::new();
    for (name, path) in snapshots.chain(reports) {
        let Some(judged) = verdict.value.artefact(&path) else { continue };
        if judged.size > each || judged.size > left {
            continue;
        }
        left -= judged.size;
        let version_id = Some(judged.version_id.clone());
        wanted.push(Wanted { name, key: judged.key.clone(), version_id, max_bytes: each });
    }
    read(artefacts, exhibits, wanted).await
}
