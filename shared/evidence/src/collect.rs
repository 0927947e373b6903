//! Reading the exhibits: a few rounds, everything of a round at once, and no listing of more than one digest's folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use futures_util::{StreamExt as _, future, stream};
use gatekeeper_model::{
    ids::{Chain, Commit, Repo, Sha256, StageName, VersionId},
    manifest,
    manifest::Manifest,
    provenance::{MAX_BUNDLE_BYTES, TrustedBy},
    store_key::{ArtefactKey, ArtefactPath, Form, PromotionStatement, RecordKey, WitnessKey},
    telemetry::chain,
    verdict::Verdict,
};
use gatekeeper_promotion::{facts::RunFacts, record::PromotionRecord};
use gatekeeper_proof::{Envelope, PublicKeys, Statement, ledger, ledger::LedgerHead};
use gatekeeper_store::{CALLS_IN_FLIGHT, Head, ReadStore, Retention, StoreError, Stores};
use jiff::Timestamp;

use super::{
    exhibits::{Exhibits, Live, ObservedRetention, StoredObject, Subject},
    forms,
    model::{AttestationKind, Question},
    paper,
};

/// What the two buckets are called in the evidence.
pub(super) const ARTEFACTS: &str = "artefacts";
pub(super) const RECORDS: &str = "records";

/// The largest record that is read, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024 * 1024;
/// The largest answer of a timestamp authority that is read, in bytes.
const MAX_TIMESTAMP_BYTES: u64 = 64 * 1024;
/// How many entries of a chain are read first: mostly the promotion's is among them.
const ENTRIES_AT_FIRST: u64 = 32;
/// How many are read when it isn't: the rest, as far back as this.
const MOST_ENTRIES: u64 = 4096;

/// A document to be read: its name, and its key and version.
struct Wanted {
    name: String,
    key: String,
    version_id: Option<VersionId>,
    max_bytes: u64,
}

impl Wanted {
    fn record(name: impl Into<String>, key: &RecordKey, version_id: Option<&VersionId>) -> Self {
        Self { name: name.into(), key: key.to_string(), version_id: version_id.cloned(), max_bytes: MAX_RECORD_BYTES }
    }
}

/// Reads everything that the evidence rests on. `look` looks at the functions of a promotion's plan; it may leave it at
/// what the record says. It isn't asked about the past.
///
/// Where there is a `witness` outside, its newest heads are read beside what is read anyway.
///
/// What could not be looked at is among the exhibits too, with the reason: it is not taken for missing.
pub async fn collect<S: ReadStore, L: Future<Output = Live>>(
    stores: &Stores<'_, S>,
    witness: Option<&S>,
    question: Question,
    keys: Option<PublicKeys>,
    now: Timestamp,
    look: impl FnOnce(PromotionRecord) -> L,
) -> Exhibits {
    let records = stores.records;
    let mut exhibits = Exhibits::new(question, keys, now);
    let Question { stage, repo, at } = exhibits.observed.question.clone();
    let (chain, gate_chain) = (exhibits.chain(), Chain::of_gate(repo.clone()));

    // What the stage runs, and where the chains end. What drift watching found last says nothing of the past.
    let mut first = vec![
        Wanted::record(paper::STAGE, &RecordKey::Stage(stage.clone(), repo.clone()), None),
        Wanted::record(paper::HEAD, &RecordKey::LedgerHead(chain.clone()), None),
        Wanted::record(paper::GATE_HEAD, &RecordKey::LedgerHead(gate_chain.clone()), None),
        Wanted::record(paper::FRESHNESS, &RecordKey::Freshness(stage.clone(), repo.clone()), None),
    ];
    if at.is_none() {
        first.push(Wanted::record(paper::DRIFT, &RecordKey::Drift(stage.clone(), repo.clone()), None));
    }
    let chains = [(paper::WITNESS, &chain), (paper::GATE_WITNESS, &gate_chain)];
    let (first, newest_witnessed) = future::join(read(records, first), newest_witnessed(witness, chains)).await;
    exhibits.observed.has_witness = witness.is_some();
    exhibits.take(first);

    // The promotion that brought it.
    let subject = exhibits.subject().ok().flatten();
    let place = |name: &str| head_of(&exhibits, name).map_or(0, |head| head.sequence);
    let (newest, gate_newest) = (place(paper::HEAD), place(paper::GATE_HEAD));
    let mut second = entries(paper::LEDGER, &chain, newest.saturating_sub(ENTRIES_AT_FIRST) + 1..=newest);
    let gate_from = gate_newest.saturating_sub(ENTRIES_AT_FIRST) + 1;
    second.extend(entries(paper::GATE_LEDGER, &gate_chain, gate_from..=gate_newest));
    if let Some(subject) = &subject {
        second.extend(what_it_left(&stage, &repo, subject));
    }
    let (second, witnessed) = future::join(read(records, second), witnessed(witness, newest_witnessed)).await;
    exhibits.take(second);
    exhibits.take(witnessed);
    complete(&mut exhibits, paper::LEDGER, paper::HEAD);
    complete(&mut exhibits, paper::GATE_LEDGER, paper::GATE_HEAD);
    let has_entry = subject.as_ref().is_some_and(|subject| {
        exhibits.entries(paper::LEDGER).iter().any(|stored| {
            stored.entry.as_ref().is_some_and(|entry| entry.event.promotion_id.as_ref() == Some(&subject.promotion_id))
        })
    });
    let mut third = Vec::new();
    if !has_entry {
        let to = newest.saturating_sub(ENTRIES_AT_FIRST);
        third.extend(entries(paper::LEDGER, &chain, newest.saturating_sub(MOST_ENTRIES) + 1..=to));
    }

    // What that rests on; and what is live, at the same time.
    let Some(subject) = subject else {
        exhibits.take(read(records, third).await);
        return exhibits;
    };
    let commit = Commit { repo: repo.clone(), sha: subject.commit_sha.clone() };
    let record = exhibits.read::<PromotionRecord>(paper::PROMOTION).ok().map(|read| read.value);
    third.extend(what_it_rests_on(&commit, record.as_ref(), at));
    let manifest = Wanted {
        name: paper::MANIFEST.to_owned(),
        key: ArtefactPath::Manifest.of(&commit),
        version_id: record.as_ref().map(|record| record.manifest_version_id.clone()),
        max_bytes: manifest::MAX_BYTES,
    };
    let live = async {
        match &record {
            Some(record) if at.is_none() => look(record.clone()).await,
            _ => Live::AsRecorded,
        }
    };
    let (manifest, live, third) = future::join3(read(stores.artefacts, [manifest]), live, read(records, third)).await;
    exhibits.take(manifest);
    exhibits.take(third);
    exhibits.observed.handed_in = handed_in(records, record.as_ref()).await;
    exhibits.observed.live = live;

    // The policy that the verdict names, what is stored of the commit, whose bytes run where they aren't the promoted ones,
    // and how long all of it is kept.
    let (bundles, roots) = provenance_of(&exhibits);
    let (policy, stored, bytes_of, kept, bundles) = future::join5(
        read(records, policy_of(&exhibits).into_iter().chain(roots)),
        stored_objects(stores.artefacts, &exhibits, record.as_ref()),
        whose_bytes(records, &exhibits),
        kept_records(records, &exhibits),
        read(stores.artefacts, bundles),
    )
    .await;
    exhibits.take(policy);
    exhibits.take(bundles);
    let (stored, retention) = stored;
    exhibits.observed.stored = stored;
    exhibits.observed.retention = retention.into_iter().chain(kept).collect();
    for (digest, commits) in bytes_of {
        match commits {
            Ok(commits) => {
                exhibits.observed.bytes_of.insert(digest, commits);
            }
            Err(why) => {
                exhibits.observed.unread.insert(paper::digest(&digest), why);
            }
        }
    }
    exhibits
}

/// Where the newest heads lie that the witness has of these chains, by the documents' names; or why that can't be told.
async fn newest_witnessed(
    witness: Option<&impl ReadStore>,
    chains: [(&'static str, &Chain); 2],
) -> Vec<(&'static str, Result<Option<String>, String>)> {
    let Some(witness) = witness else { return Vec::new() };
    let newest = chains.map(|(name, of)| async move {
        let newest = witness.first(&WitnessKey::chain_prefix(of)).await;
        (name, newest.map_err(|error| chain(&error)))
    });
    future::join_all(newest).await
}

/// What lies there.
async fn witnessed(
    witness: Option<&impl ReadStore>,
    newest: Vec<(&'static str, Result<Option<String>, String>)>,
) -> Vec<ReadDocument> {
    let Some(witness) = witness else { return Vec::new() };
    let mut documents = Vec::new();
    let mut wanted = Vec::new();
    for (name, newest) in newest {
        match newest {
            Ok(Some(key)) => {
                if let Some(WitnessKey::Head(chain, place)) = WitnessKey::parse(&key) {
                    let name = if name == paper::WITNESS { paper::TIMESTAMP } else { paper::GATE_TIMESTAMP };
                    let key = WitnessKey::Timestamp(chain, place).to_string();
                    wanted.push(Wanted {
                        name: name.to_owned(),
                        key,
                        version_id: None,
                        max_bytes: MAX_TIMESTAMP_BYTES,
                    });
                }
                wanted.push(Wanted { name: name.to_owned(), key, version_id: None, max_bytes: ledger::MAX_BYTES });
            }
            Ok(None) => {}
            Err(why) => documents.push((name.to_owned(), Err(why))),
        }
    }
    documents.extend(read(witness, wanted).await);
    documents
}

/// What a promotion wrote down and signed when it ended.
fn what_it_left(stage: &StageName, repo: &Repo, subject: &Subject) -> Vec<Wanted> {
    let id = &subject.promotion_id;
    let record = RecordKey::Promotion(stage.clone(), repo.clone(), id.clone());
    let mut wanted = vec![Wanted::record(paper::PROMOTION, &record, None)];
    for (kind, statement) in [
        (AttestationKind::VerificationSummary, PromotionStatement::VerificationSummary),
        (AttestationKind::Deployment, PromotionStatement::Deployment),
    ] {
        for form in [Form::Dsse, Form::Sigstore] {
            let key = RecordKey::PromotionAttestation(stage.clone(), repo.clone(), id.clone(), statement, form);
            wanted.push(Wanted::record(paper::attestation(kind, form), &key, None));
        }
    }
    wanted
}

/// The documents that a promotion of `commit` rests on. Of the past the gate's present verdict says nothing.
fn what_it_rests_on(commit: &Commit, record: Option<&PromotionRecord>, at: Option<Timestamp>) -> Vec<Wanted> {
    let (verdict, revocation) = (RecordKey::Verdict(commit.clone()), RecordKey::Revocation(commit.clone()));
    let built = record.and_then(|record| record.built_attestation.as_ref());
    let built_key = |form| RecordKey::BuiltAttestation(commit.clone(), form);
    let name = |form| paper::attestation(AttestationKind::Built, form);
    let mut wanted = vec![
        Wanted::record(paper::VERDICT, &verdict, record.map(|record| &record.verdict_version_id)),
        Wanted::record(paper::REVOCATION, &revocation, None),
        Wanted::record(name(Form::Dsse), &built_key(Form::Dsse), built.map(|built| &built.version_id)),
        Wanted::record(name(Form::Sigstore), &built_key(Form::Sigstore), None),
    ];
    if at.is_none() {
        wanted.push(Wanted::record(paper::PRESENT_VERDICT, &verdict, None));
    }
    let Some(record) = record else { return wanted };
    wanted.push(Wanted::record(paper::STAGES, &RecordKey::StagesConfig, Some(&record.stages_config_version_id)));
    let completions = record.reported::<RunFacts>().filter_map(Result::ok).filter_map(|(_, report)| {
        let pinned = report.facts.completion.read().ok().flatten()?;
        let (name, version_id) = (report.subject.parse().ok()?, pinned.version_id.clone());
        let name = paper::run(&name);
        Some(Wanted { name, key: pinned.key.clone(), version_id: Some(version_id), max_bytes: MAX_RECORD_BYTES })
    });
    wanted.extend(completions);
    wanted.extend(record.identities_config.iter().map(|pinned| Wanted {
        name: paper::IDENTITIES.to_owned(),
        key: pinned.key.clone(),
        version_id: Some(pinned.version_id.clone()),
        max_bytes: MAX_RECORD_BYTES,
    }));
    wanted.extend(record.counted_approvals().zip(1..).map(|(counted, place)| Wanted {
        name: paper::approval(place),
        key: counted.record.key.clone(),
        version_id: Some(counted.record.version_id.clone()),
        max_bytes: MAX_RECORD_BYTES,
    }));
    wanted.extend(record.waived.iter().zip(1..).map(|(used, place)| Wanted {
        name: paper::waiver(place),
        key: used.waiver.proposal.key.clone(),
        version_id: used.waiver.proposal.version_id.clone(),
        max_bytes: MAX_RECORD_BYTES,
    }));
    wanted
}

/// Looks at what runners handed in: whether it is there as it was judged.
async fn handed_in(records: &impl ReadStore, record: Option<&PromotionRecord>) -> Vec<StoredObject> {
    let reports = record.into_iter().flat_map(PromotionRecord::reported::<RunFacts>).filter_map(Result::ok);
    let files = reports.filter_map(|(_, report)| report.facts.files.read().ok().flatten().cloned()).flatten();
    let files: Vec<_> = files.map(|it| (it.key, it.version_id)).collect();
    if files.is_empty() {
        return Vec::new();
    }
    heads(records, RECORDS, files).await.into_iter().map(stored_object).collect()
}

/// What a look at an object tells.
fn stored_object((key, version_id, head, _): Looked) -> StoredObject {
    StoredObject {
        key,
        version_id,
        there: head.as_ref().is_ok_and(Option::is_some),
        sha256: head.as_ref().ok().and_then(|head| head.as_ref()?.sha256),
        unread: head.err(),
    }
}

/// The policy in the version that the verdict names; nothing where it names none.
fn policy_of(exhibits: &Exhibits) -> Option<Wanted> {
    let version_id = exhibits.read::<Verdict>(paper::VERDICT).ok()?.value.policy_version_id?;
    Some(Wanted::record(paper::POLICY, &RecordKey::PolicyConfig, Some(&version_id)))
}

/// The bundles by which the gate knew who built the commit, in the versions that it judged; and the stored roots by which
/// they were verified, as they are now.
fn provenance_of(exhibits: &Exhibits) -> (Vec<Wanted>, Vec<Wanted>) {
    let Ok(verdict) = exhibits.read::<Verdict>(paper::VERDICT).map(|read| read.value) else {
        return Default::default();
    };
    let bundles = verdict.artefacts.iter().filter_map(|judged| {
        let ArtefactPath::Provenance(file) = ArtefactKey::parse(&judged.key).ok()?.path else { return None };
        let (key, version_id) = (judged.key.clone(), Some(judged.version_id.clone()));
        Some(Wanted { name: paper::provenance(&file), key, version_id, max_bytes: MAX_BUNDLE_BYTES })
    });
    let roots = verdict.provenance.values().filter(|it| it.root_sha256.is_some());
    let roots = roots.filter_map(|it| match &it.trusted_by {
        TrustedBy::Root(name) => Some(name),
        TrustedBy::Key(_) => None,
    });
    let roots = roots.collect::<BTreeSet<_>>().into_iter();
    let roots =
        roots.map(|name| Wanted::record(paper::trusted_root(name), &RecordKey::TrustedRoot(name.clone()), None));
    (bundles.collect(), roots.collect())
}

/// What a head says, whoever signed it: where to look, and nothing more.
fn head_of(exhibits: &Exhibits, name: &str) -> Option<LedgerHead> {
    let payload = exhibits.bytes(name).and_then(|bytes| Envelope::parse(bytes).ok()?.payload().ok())?;
    Some(serde_json::from_slice::<Statement<LedgerHead>>(&payload).ok()?.predicate)
}

/// Takes the newest entry from the head where the writer was killed between head and entry.
fn complete(exhibits: &mut Exhibits, folder: &str, head: &str) {
    let Some(LedgerHead { sequence, entry, .. }) = head_of(exhibits, head) else { return };
    let name = paper::entry(folder, sequence);
    if exhibits.bytes(&name).is_none() {
        exhibits.add(name, "".into(), entry.into_bytes());
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

/// What became of a document: its version and bytes; nothing where it isn't there; or why it could not be looked at.
type ReadDocument = (String, Result<Option<(VersionId, Vec<u8>)>, String>);

impl Exhibits {
    fn take(&mut self, read: Vec<ReadDocument>) {
        for (name, document) in read {
            match document {
                Ok(Some((version_id, bytes))) => self.add(name, version_id, bytes),
                Ok(None) => {}
                Err(why) => {
                    self.observed.unread.insert(name, why);
                }
            }
        }
    }
}

/// Reads documents, all at once.
async fn read(store: &impl ReadStore, wanted: impl IntoIterator<Item = Wanted>) -> Vec<ReadDocument> {
    stream::iter(wanted)
        .map(|it| async move {
            let read = match store.get(&it.key, it.version_id.as_ref(), it.max_bytes).await {
                Ok(body) => Ok(body.map(|body| (body.version_id, body.bytes))),
                // Nothing that the gatekeeper writes is so large: it is judged as a document that says nothing.
                Err(error) if error.is_too_large() => Ok(Some(("".into(), Vec::new()))),
                Err(error) => Err(chain(&error)),
            };
            (it.name, read)
        })
        .buffered(CALLS_IN_FLIGHT)
        .collect()
        .await
}

/// Looks at every object in the version that was judged: whether it is there as it was, and how long it is kept.
async fn stored_objects(
    artefacts: &impl ReadStore,
    exhibits: &Exhibits,
    record: Option<&PromotionRecord>,
) -> (Vec<StoredObject>, Vec<ObservedRetention>) {
    let verdict = exhibits.read::<Verdict>(paper::VERDICT).ok();
    let judged = verdict.into_iter().flat_map(|read| read.value.artefacts);
    let mut objects: Vec<_> = judged.map(|it| (it.key, it.version_id)).collect();
    let planned = record.iter().flat_map(|record| record.plan.pinned());
    objects.extend(planned.map(|it| (it.key.clone(), it.version_id.clone())));
    objects.sort();
    objects.dedup();
    let looked = heads(artefacts, ARTEFACTS, objects).await;
    let stored = looked.iter().cloned().map(stored_object).collect();
    (stored, looked.into_iter().filter_map(|(.., retention)| retention).collect())
}

/// How long the records are kept that the evidence rests on.
async fn kept_records(records: &impl ReadStore, exhibits: &Exhibits) -> Vec<ObservedRetention> {
    let Ok(record) = exhibits.read::<PromotionRecord>(paper::PROMOTION) else { return Vec::new() };
    let (promotion, commit) = (record.value.reference(), record.value.commit());
    let of_promotion = |statement| {
        let (stage, repo, id) = (promotion.stage.clone(), promotion.repo.clone(), promotion.promotion_id.clone());
        RecordKey::PromotionAttestation(stage, repo, id, statement, Form::Dsse)
    };
    let named = [
        (paper::PROMOTION.to_owned(), PromotionRecord::key(&promotion)),
        (paper::VERDICT.to_owned(), RecordKey::Verdict(commit.clone())),
        (paper::attestation(AttestationKind::Built, Form::Dsse), RecordKey::BuiltAttestation(commit, Form::Dsse)),
        (
            paper::attestation(AttestationKind::VerificationSummary, Form::Dsse),
            of_promotion(PromotionStatement::VerificationSummary),
        ),
        (paper::attestation(AttestationKind::Deployment, Form::Dsse), of_promotion(PromotionStatement::Deployment)),
    ];
    let there = named.into_iter().filter_map(|(name, key)| {
        let document = exhibits.documents.get(&name)?;
        Some((key.to_string(), document.version_id.clone()))
    });
    let looked = heads(records, RECORDS, there.collect()).await;
    looked.into_iter().filter_map(|(.., retention)| retention).collect()
}

/// An object's key and version, what is known of it or why it could not be looked at, and how long it is kept.
type Looked = (String, VersionId, Result<Option<Head>, String>, Option<ObservedRetention>);

/// Looks at objects, all at once. That an object tells no retention means that it isn't locked where whoever asks may see
/// retention at all, which the first object tells.
async fn heads(store: &impl ReadStore, bucket: &str, objects: Vec<(String, VersionId)>) -> Vec<Looked> {
    let may_see = async {
        match objects.first() {
            Some((key, version_id)) => store.may_see_retention(key, version_id).await.map_err(|error| chain(&error)),
            None => Ok(()),
        }
    };
    let heads = stream::iter(objects.clone()).map(|(key, version_id)| async move {
        let head = store.head(&key, Some(&version_id)).await.map_err(|error| chain(&error));
        (key, version_id, head)
    });
    let (may_see, heads): (_, Vec<_>) = future::join(may_see, heads.buffered(CALLS_IN_FLIGHT).collect()).await;
    let looked = heads.into_iter().map(|(key, version_id, head)| {
        let retention = match &head {
            Ok(Some(head)) => Some((head.retention.clone(), None)),
            Ok(None) => None,
            Err(why) => Some((Retention::default(), Some(why.clone()))),
        };
        let retention = retention.map(|(retention, unread)| {
            let unseen = may_see.as_ref().err().filter(|_| retention.mode.is_none() && !retention.legal_hold);
            let unread = unread.or_else(|| unseen.cloned());
            ObservedRetention { bucket: bucket.to_owned(), key: key.clone(), retention, unread }
        });
        (key, version_id, head, retention)
    });
    looked.collect()
}

/// The commits that hold the bytes of functions which don't run the promoted ones, or why that could not be looked at.
async fn whose_bytes(records: &impl ReadStore, exhibits: &Exhibits) -> Vec<(Sha256, Result<Vec<String>, String>)> {
    let Live::Seen(live) = &exhibits.observed.live else { return Vec::new() };
    let strange = live.iter().filter(|function| !function.is_promoted_code).filter_map(|it| it.code_sha256);
    let mut strange: Vec<_> = strange.collect();
    strange.sort();
    strange.dedup();
    stream::iter(strange)
        .map(|digest| async move { (digest, commits_of(records, digest).await.map_err(|error| chain(&error))) })
        .buffered(CALLS_IN_FLIGHT)
        .collect()
        .await
}

/// The Built commits that hold these bytes.
///
/// # Errors
/// [`StoreError`] where the index could not be looked at.
pub async fn commits_of(records: &impl ReadStore, digest: Sha256) -> Result<Vec<String>, StoreError> {
    let listed = records.list(&RecordKey::digest_prefix(&digest)).await?;
    let commits = listed.iter().filter_map(|it| RecordKey::commit_of_digest(&it.key));
    Ok(commits.map(|commit| commit.to_string()).collect())
}

/// Reads the raw reports and the schema snapshots of the commit, and the templates whose forms the stages get, for who
/// wants to read them too: each as it was judged, no larger than `each` bytes, and no more than `all` bytes together. What is larger stays out.
pub async fn attach(artefacts: &impl ReadStore, exhibits: &mut Exhibits, each: u64, all: u64) {
    let Ok(verdict) = exhibits.read::<Verdict>(paper::VERDICT) else { return };
    let commit = verdict.value.commit();
    let Some(manifest) = exhibits.bytes(paper::MANIFEST).and_then(|bytes| Manifest::parse(bytes, &commit).ok()) else {
        return;
    };
    let reports = manifest.reports.iter().map(|it| (paper::report(&it.file), ArtefactPath::Report(it.file.clone())));
    let snapshots = manifest.modules.iter().flat_map(|module| {
        module.schemas.iter().map(|schema| {
            let path = ArtefactPath::Schema(module.id.clone(), schema.database.clone());
            (paper::snapshot(&module.id, &schema.database), path)
        })
    });
    let stacks = manifest.modules.iter().flat_map(|module| module.stacks.iter().map(move |stack| (module, stack)));
    let templates = stacks.filter(|(_, stack)| verdict.value.forms.contains_key(&stack.name)).map(|(module, stack)| {
        let path = ArtefactPath::Template(module.id.clone(), stack.name.clone());
        (paper::template(&module.id, &stack.name), path)
    });
    let nested = verdict.value.forms.keys().flat_map(|stack| manifest.nested_templates(stack).into_values());
    let nested: BTreeMap<_, _> = nested.filter_map(|path| Some((forms::nested_paper(&path)?, path))).collect();
    let mut left = all;
    let mut wanted = Vec::new();
    for (name, path) in templates.chain(nested).chain(snapshots).chain(reports) {
        let Some(judged) = verdict.value.artefact(&path) else { continue };
        if judged.size > each || judged.size > left {
            continue;
        }
        left -= judged.size;
        let version_id = Some(judged.version_id.clone());
        wanted.push(Wanted { name, key: judged.key.clone(), version_id, max_bytes: each });
    }
    let attached = read(artefacts, wanted).await;
    exhibits.take(attached);
}
