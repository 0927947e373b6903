//! Runs the validators over the artefacts and reports of a commit, and remembers by digest what they found, in one record for
//! each commit: the same bytes are not read twice, neither for another event nor for the next commit of the branch.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Seek as _, Write as _},
    path::Path,
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, CommitSha, DatabaseName, ETag, ModuleId, Repo, Sha256, StackName, VersionId},
    manifest::{Asset, AssetKind, Claim, Manifest, Module},
    policy::{Rules, StageLiterals},
    provenance::Proven,
    store_key::{ArtefactPath, RecordKey},
    suite::Suite,
    telemetry::Logger,
    verdict,
    verdict::{Baseline, NamedTests, TemplateForm},
};
use gatekeeper_proof::TrustedKeys;
use gatekeeper_readers::{
    dbt, flyway,
    flyway::{
        checksum,
        checksum::Scanned,
        commit,
        commit::Stored,
        files,
        files::MigrationFile,
        settings,
        settings::{Settings, TableName},
    },
    function_spec::FunctionSpec,
    lambda_zip, report,
    report::Recounted,
    schema_snapshot, template,
};
use gatekeeper_store::{
    CALLS_IN_FLIGHT, MAX_TAGS, Precondition, ReadStore, StoreError, WriteStore, Written, record::RecordError,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    GateError,
    inspections::{self, Inspections, Keeping, NotOurs},
    look::Unread,
    parameters,
    provenance::ProvenanceVerifier,
};
use crate::judgement::{Evidence, Object, StoredManifest};

type Objects = BTreeMap<ArtefactPath, Object>;

/// To be raised whenever a validator's rules change, so that old inspections are no longer taken.
const RULES: u32 = 13;

/// Bundles that are spooled and inspected at once: each may take 250 MB of disk, and both cores are busy with two.
const INSPECTIONS_IN_FLIGHT: usize = 2;

/// However many commits are judged at once, they share the disk.
static SPOOLS: Semaphore = Semaphore::const_new(INSPECTIONS_IN_FLIGHT);

/// And they share the threads that inspect: each has a heap of its own, which nobody gets back.
static INSPECTING: Semaphore = Semaphore::const_new(INSPECTIONS_IN_FLIGHT);

/// The largest manifest of dbt, or its results, that are read: they are streamed, so this bounds time and disk.
const MAX_DBT_BYTES: u64 = 512 * 1024 * 1024;

/// Bytes of large objects after whose inspection it is written down: whoever is killed over a huge commit goes on from there.
const BYTES_BETWEEN_RECORDS: u64 = 2 * 1024 * 1024 * 1024;

/// What is no larger is inspected with as many others as there may be calls: a database has hundreds of migrations.
const SMALL_BYTES: u64 = 256 * 1024;

/// The most that is kept of what was found in a commit: more would be read whole for each look at it and the next commit.
const MAX_KEPT_BYTES: usize = 16 * 1024 * 1024;

/// The largest record that is read back: with its signature, and what other versions of the gatekeeper may have kept.
const MAX_STORED_BYTES: u64 = 64 * 1024 * 1024;

/// Stands for the object's key in a remembered finding, because another commit may hold the same bytes elsewhere.
const SUBJECT: &str = "{key}";

/// What a validator found in some bytes. In boxes what most don't have: a commit may have thousands of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Inspection {
    findings: Vec<Finding>,
    /// What a template says of its functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<Box<template::Template>>,
    /// What Flyway makes of a migration file; none where it can't read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    migration: Option<Box<Scanned>>,
    /// The digest of a schema snapshot's normal form; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Sha256>,
    /// The tables of a schema snapshot that have the form of Flyway's history.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    histories: BTreeSet<TableName>,
    /// What of a schema snapshot a query can read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    relations: BTreeSet<TableName>,
    /// What a dbt manifest tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dbt_manifest: Option<Box<dbt::manifest::Facts>>,
    /// What dbt's results tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dbt_results: Option<Box<dbt::run_results::RunResults>>,
    /// What a `flyway.toml` sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Box<Settings>>,
    /// What a report shows; none where it can't be recounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Box<Recounted>>,
    /// For each row of `policies_satisfied` the tests that are named after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    policy_tests: BTreeMap<String, NamedTests>,
    /// Who built what, as a bundle proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<Box<Proven>>,
}

/// What all validators together found in a commit.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    pub(super) findings: Vec<Finding>,
    pub(super) reports: BTreeMap<ArtefactPath, Recounted>,
    pub(super) policy_tests: Option<BTreeMap<String, NamedTests>>,
    /// The portable forms of its templates, by the stack's name.
    pub(super) forms: BTreeMap<StackName, TemplateForm>,
    /// Whether an object that was read has so many tags that it matters which they are.
    pub(super) tags_asked_for: bool,
}

/// What the inspections of a commit's objects found: `record` of `inspections/{rules}/{repo}/{sha}.json`.
#[derive(Debug, Serialize, Deserialize)]
struct InspectionRecord {
    schema_version: u32,
    repo: Repo,
    commit_sha: CommitSha,
    inspections: Inspections,
}

/// What is known of a commit's bytes before they are read: from its own record and from that of the commit before.
#[derive(Debug, Default)]
pub(super) struct Known {
    commit: Option<Commit>,
    /// The etag of the commit's own record, and the digest of what it says where that is believed.
    stored: Option<(ETag, Option<Sha256>)>,
    all: Inspections,
    /// What the present state of the commit needs of it, with what was found anew.
    used: Inspections,
}

impl Known {
    /// The objects that are read without asking for their digest before: those of whose claimed bytes nothing is known. With
    /// their claimed sizes.
    pub(super) fn to_read(&self, manifest: &StoredManifest) -> BTreeMap<ArtefactPath, u64> {
        let StoredManifest::Read { manifest, .. } = manifest else { return BTreeMap::new() };
        let wanted = Wanted::by(manifest);
        let claims = manifest.claims().into_iter().filter(|claim| !self.all.has(claim.sha256));
        let to_read = claims.filter(|claim| {
            let validators = wanted.of(&claim.path, &BTreeMap::new());
            !validators.is_empty() && validators.iter().all(|it| claim.size <= it.max_bytes())
        });
        to_read.map(|claim| (claim.path, claim.size)).collect()
    }

    /// What an earlier inspection of the same bytes found.
    fn take(&mut self, sha256: Sha256, validator: &Validator) -> Option<Arc<Inspection>> {
        let id = inspection_id(sha256, validator);
        let found = self.all.get(sha256, id)?;
        self.used.insert(sha256, id, Arc::clone(&found));
        Some(found)
    }

    /// What a bundle proved before, against what has this digest.
    pub(super) fn proven(&mut self, sha256: Sha256, id: Sha256) -> Option<Proven> {
        let found = self.all.get(sha256, id)?;
        let proven = found.provenance.as_deref().cloned()?;
        self.used.insert(sha256, id, found);
        Some(proven)
    }

    /// Keeps what a bundle proves.
    pub(super) fn keep(&mut self, sha256: Sha256, id: Sha256, proven: &Proven) {
        let found = Inspection { provenance: Some(Box::new(proven.clone())), ..Inspection::default() };
        self.used.insert(sha256, id, Arc::new(found));
    }
}

/// A validator and what its object must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Validator {
    Template(template::Synthesis),
    /// What it must fit, and the words that it should not hold.
    LambdaZip(Option<FunctionSpec>, Vec<String>),
    DbtManifest,
    DbtRunResults,
    Migration,
    SchemaSnapshot,
    FlywayConfiguration,
    ScriptConfiguration,
    Report(report::Format),
    PolicyRows(report::Format, BTreeSet<String>),
}

/// Which validators a manifest's claims are for.
struct Wanted<'a> {
    manifest: &'a Manifest,
    synthesis: template::Synthesis,
    kinds: BTreeSet<(ArtefactPath, AssetKind)>,
    words: Vec<String>,
    rows: BTreeSet<String>,
}

impl<'a> Wanted<'a> {
    fn by(manifest: &'a Manifest) -> Self {
        let synthesis = template::Synthesis::of(manifest);
        let policy = manifest.tests.policy.iter();
        let rows = policy.flat_map(|it| &it.policies_satisfied).cloned().collect();
        Self { manifest, kinds: kinds_of(manifest), words: synthesis.foreign_words(), synthesis, rows }
    }

    fn is_template(&self, path: &ArtefactPath) -> bool {
        matches!(path, ArtefactPath::Template(..)) || self.kinds.contains(&(path.clone(), AssetKind::Template))
    }

    /// The validators of an object, of a bundle with what the templates say of its function.
    fn of(&self, path: &ArtefactPath, parsed: &BTreeMap<StackName, template::Template>) -> Vec<Validator> {
        let only = |validator| vec![validator];
        match path {
            _ if self.is_template(path) => only(Validator::Template(self.synthesis.clone())),
            ArtefactPath::Function(_, name) => {
                let spec = || {
                    let function = self.manifest.functions().find(|function| function.name == *name)?;
                    let templated = parsed.get(&function.stack)?.functions.get(&function.logical_id)?;
                    (!templated.has_layers).then(|| templated.spec.clone())
                };
                only(Validator::LambdaZip(spec(), self.words.clone()))
            }
            // A layer's content is unpacked as a bundle is; what else an asset is, its digest and size are all of it.
            ArtefactPath::Asset(..) if self.kinds.contains(&(path.clone(), AssetKind::Layer)) => {
                only(Validator::LambdaZip(None, self.words.clone()))
            }
            ArtefactPath::DbtManifest(_) => only(Validator::DbtManifest),
            ArtefactPath::DbtRunResults(_) => only(Validator::DbtRunResults),
            ArtefactPath::Migration(..) => only(Validator::Migration),
            ArtefactPath::Schema(..) => only(Validator::SchemaSnapshot),
            ArtefactPath::FlywayConfiguration(..) => only(Validator::FlywayConfiguration),
            ArtefactPath::ScriptConfiguration(..) => only(Validator::ScriptConfiguration),
            ArtefactPath::Report(file) => {
                let report = self.manifest.reports.iter().find(|report| report.file == *file);
                let known = report.and_then(|it| Some((Suite::of(&it.suite)?, report::Format::of(&it.format)?)));
                // Of an unknown suite or format it is evidence for people, and checked by digest and size.
                let Some((suite, format)) = known else { return Vec::new() };
                let is_asked = !self.rows.is_empty() && suite == Suite::Policy && format.is_of_tests();
                let named = is_asked.then(|| Validator::PolicyRows(format, self.rows.clone()));
                [Validator::Report(format)].into_iter().chain(named).collect()
            }
            ArtefactPath::Template(..)
            | ArtefactPath::Asset(..)
            | ArtefactPath::Manifest
            | ArtefactPath::Provenance(_) => Vec::new(),
        }
    }
}

/// An object that waits for its validators.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) path: ArtefactPath,
    pub(super) key: String,
    pub(super) version_id: VersionId,
    /// What its bytes are, or as long as that is not proved: what the manifest says they are.
    pub(super) sha256: Sha256,
    pub(super) is_proved: bool,
    pub(super) size: u64,
    pub(super) validators: Vec<Validator>,
}

/// What came of a job.
struct Ran {
    path: ArtefactPath,
    key: String,
    sha256: Sha256,
    tag_count: usize,
    /// Of each validator; of none where the bytes are not the claimed ones.
    found: Vec<Found>,
}

/// What a validator found in an object.
struct Found {
    /// What it is remembered by.
    id: Sha256,
    /// Whether it is the tests of the rows of `policies_satisfied`.
    is_of_rows: bool,
    inspection: Arc<Inspection>,
}

impl Found {
    fn by(validator: &Validator, sha256: Sha256, inspection: Arc<Inspection>) -> Self {
        let is_of_rows = matches!(validator, Validator::PolicyRows(..));
        Self { id: inspection_id(sha256, validator), is_of_rows, inspection }
    }
}

/// An object as a file of this machine.
pub(super) struct Spooled {
    pub(super) file: std::fs::File,
    sha256: Sha256,
    tag_count: usize,
}

/// Reads what is in a commit's objects, and keeps by digest what it found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inspector<'a, S, R> {
    pub(super) artefacts: &'a S,
    pub(super) records: &'a R,
    pub(super) log: &'a Logger,
    pub(super) scratch: &'a Path,
    pub(super) keeping: Keeping<'a>,
    pub(super) verifier: &'a dyn ProvenanceVerifier,
}

/// A commit's record of inspections as it was read.
struct Recorded {
    etag: ETag,
    /// What it says, with its digest; none where it isn't believed.
    believed: Option<(Inspections, Sha256)>,
}

/// Reads a commit's record of inspections: without a key whatever lies there is believed.
async fn recorded(
    records: &impl ReadStore,
    commit: &Commit,
    keys: Option<&TrustedKeys>,
    log: &Logger,
) -> Result<Option<Recorded>, RecordError> {
    let key = RecordKey::Inspections(RULES, commit.clone());
    let Some(body) = records.get(&key.to_string(), None, MAX_STORED_BYTES).await? else { return Ok(None) };
    let read = || {
        let text = inspections::open(RULES, &key, &body.bytes, keys)?;
        let record: InspectionRecord = serde_json::from_str(text)?;
        Ok::<_, NotOurs>((record.inspections, Sha256::of(text.as_bytes())))
    };
    let believed = match read() {
        Ok(believed) => Some(believed),
        Err(why) => {
            let fields = json!({"key": key.to_string(), "version_id": body.version_id, "why": why.to_string()});
            log.warn("inspections that are not the gate's own are made again", fields);
            None
        }
    };
    Ok(Some(Recorded { etag: body.etag, believed }))
}

impl<S: ReadStore, R: WriteStore> Inspector<'_, S, R> {
    /// What is known of a commit's bytes, from its own record and from that of the commit that it is compared with.
    pub(super) async fn known(&self, commit: &Commit, baseline: Option<&Baseline>) -> Result<Known, GateError> {
        let keys = match self.keeping {
            Keeping::SignedBy(signer) => Some(signer.trusted().await?),
            Keeping::Stored => None,
        };
        let read = async |sha: &CommitSha| {
            let commit = Commit { repo: commit.repo.clone(), sha: sha.clone() };
            recorded(self.records, &commit, keys.as_ref(), self.log).await
        };
        let before = async {
            match baseline.map(|it| &it.commit_sha).filter(|sha| **sha != commit.sha) {
                Some(sha) => read(sha).await,
                None => Ok(None),
            }
        };
        let (own, before) = futures_util::future::try_join(read(&commit.sha), before).await?;
        let digest = |own: &Recorded| own.believed.as_ref().map(|(_, sha256)| *sha256);
        let stored = own.as_ref().map(|own| (own.etag.clone(), digest(own)));
        let mut all = Inspections::default();
        for (inspections, _) in before.into_iter().chain(own).filter_map(|it| it.believed) {
            all.extend(inspections);
        }
        Ok(Known { commit: Some(commit.clone()), stored, all, used: Inspections::default() })
    }

    /// Writes down what was found, where that is not what is written down already; `false` where another judge does so at the
    /// same time.
    pub(super) async fn remember(&self, known: &mut Known) -> Result<bool, GateError> {
        let (Some(commit), false) = (&known.commit, known.used.is_empty()) else { return Ok(true) };
        let key = RecordKey::Inspections(RULES, commit.clone());
        let record = InspectionRecord {
            schema_version: verdict::SCHEMA_VERSION,
            repo: commit.repo.clone(),
            commit_sha: commit.sha.clone(),
            // Lent, and not a second time in memory.
            inspections: std::mem::take(&mut known.used),
        };
        let done = self.write_down(&record, &key, &mut known.stored).await;
        known.used = record.inspections;
        done
    }

    async fn write_down(
        &self,
        record: &InspectionRecord,
        key: &RecordKey,
        stored: &mut Option<(ETag, Option<Sha256>)>,
    ) -> Result<bool, GateError> {
        // Without the spaces that are for people: nobody reads thousands of these.
        let bytes = serde_json::to_vec(record);
        let bytes = bytes.map_err(|source| RecordError::Invalid { key: key.to_string(), source })?;
        if bytes.len() > MAX_KEPT_BYTES {
            self.log.warn("too much was found to be kept: it is read anew", json!({"size_bytes": bytes.len()}));
            return Ok(true);
        }
        let sha256 = Sha256::of(&bytes);
        if stored.as_ref().is_some_and(|(_, before)| *before == Some(sha256)) {
            return Ok(true);
        }
        let bytes = inspections::seal(RULES, key, &bytes, self.keeping).await?;
        let unchanged = |(etag, _): &(ETag, Option<Sha256>)| Precondition::Unchanged(etag.clone());
        let precondition = stored.as_ref().map_or(Precondition::Absent, unchanged);
        match self.records.put(&key.to_string(), &bytes, "application/json", &precondition).await? {
            Written::Done { etag, .. } => {
                *stored = Some((etag, Some(sha256)));
                Ok(true)
            }
            Written::Conflict => Ok(false),
        }
    }

    /// What is in the objects whose bytes are the claimed ones; others are refused by their digest already. What was not read
    /// yet gets into the evidence on the way; none where an object vanished meanwhile, or another judge is at work.
    pub(super) async fn inspect(
        &self,
        evidence: &mut Evidence,
        mut unread: BTreeMap<ArtefactPath, Unread>,
        known: &mut Known,
    ) -> Result<Option<Inspected>, GateError> {
        let Evidence { manifest: StoredManifest::Read { manifest, .. }, objects, rules, commit, .. } = evidence else {
            return Ok(Some(Inspected::default()));
        };
        let (wanted, claims) = (Wanted::by(manifest), manifest.claims());
        let job = |claim: &Claim, unread: &BTreeMap<ArtefactPath, Unread>, objects: &Objects, parsed: &_| {
            let (version_id, size, is_proved) = match (unread.get(&claim.path), objects.get(&claim.path)) {
                (Some(it), _) => (it.version_id.clone(), it.size, false),
                (None, Some(it)) if it.sha256 == claim.sha256 => (it.version_id.clone(), it.size, true),
                _ => return None,
            };
            let validators = wanted.of(&claim.path, parsed);
            (!validators.is_empty()).then(|| Job {
                path: claim.path.clone(),
                key: claim.path.of(commit),
                version_id,
                sha256: claim.sha256,
                is_proved,
                size,
                validators,
            })
        };
        let mut tags_asked_for = false;
        let mut enter = |ran: &[Ran], unread: &mut BTreeMap<ArtefactPath, Unread>, objects: &mut Objects| {
            for it in ran {
                let Some(Unread { version_id, size, tags }) = unread.remove(&it.path) else { continue };
                tags_asked_for |= tags.is_none() && it.tag_count >= MAX_TAGS;
                objects.insert(it.path.clone(), Object { version_id, size, sha256: it.sha256, tags });
            }
        };

        let (templates, others): (Vec<_>, Vec<_>) = claims.iter().partition(|claim| wanted.is_template(&claim.path));
        let jobs = templates.into_iter().filter_map(|claim| job(claim, &unread, objects, &BTreeMap::new()));
        let Some(templates) = self.run(jobs.collect(), known).await? else { return Ok(None) };
        enter(&templates, &mut unread, objects);
        let judged = judge_templates(rules, manifest, &templates);
        drop(templates);
        let judged = self.nest_forms(commit, manifest, objects, judged).await?;
        let Some(JudgedTemplates { mut findings, forms, parsed }) = judged else { return Ok(None) };
        let handed = parsed.iter().map(|(stack, template)| (stack, &template.handed)).collect();
        findings.extend(template::check_handed(manifest, &handed));
        findings.extend(parameters::check(manifest, &parsed));

        let jobs = others.into_iter().filter_map(|claim| job(claim, &unread, objects, &parsed));
        let Some(others) = self.run(jobs.collect(), known).await? else { return Ok(None) };
        enter(&others, &mut unread, objects);
        let mut policy_tests: Option<BTreeMap<String, NamedTests>> = None;
        let mut scanned = BTreeMap::new();
        let mut schemas: BTreeMap<DatabaseName, BTreeSet<Sha256>> = BTreeMap::new();
        let (mut reports, mut stored, mut of_dbt) = (BTreeMap::new(), Stored::default(), OfDbt::default());
        let others = others.iter().flat_map(|ran| ran.found.iter().map(move |found| (ran, found)));
        for (Ran { path, key, .. }, Found { is_of_rows, inspection, .. }) in others {
            let found: Vec<_> = inspection.findings_at(key).collect();
            if rules.stage_literals == StageLiterals::Refuse {
                let named = found.iter().filter(|it| it.code == Code::BundleNamesStage);
                findings.extend(named.map(|it| Finding { code: Code::BundleNotPortable, ..it.clone() }));
            }
            findings.extend(found);
            if *is_of_rows {
                let all = policy_tests.get_or_insert_default();
                for (row, tests) in &inspection.policy_tests {
                    all.entry(row.clone()).or_default().extend(tests.clone());
                }
            }
            if let Some(report) = &inspection.report {
                reports.insert(path.clone(), Recounted::clone(report));
            } else if let (ArtefactPath::DbtManifest(module), Some(facts)) = (path, &inspection.dbt_manifest) {
                of_dbt.manifests.insert(module.clone(), dbt::manifest::Facts::clone(facts));
            } else if let (ArtefactPath::DbtRunResults(module), Some(results)) = (path, &inspection.dbt_results) {
                of_dbt.results.insert(module.clone(), dbt::run_results::RunResults::clone(results));
            } else if let Some(migration) = &inspection.migration {
                scanned.insert(path.clone(), Scanned::clone(migration));
            } else if let (ArtefactPath::FlywayConfiguration(_, database), Some(settings)) =
                (path, &inspection.settings)
            {
                stored.settings.insert(database.clone(), Settings::clone(settings));
            } else if let (ArtefactPath::Schema(_, database), Some(schema)) = (path, inspection.schema) {
                stored.histories.entry(database.clone()).or_default().extend(inspection.histories.iter().cloned());
                of_dbt.tables.entry(database.clone()).or_default().extend(inspection.relations.iter().cloned());
                schemas.entry(database.clone()).or_default().insert(schema);
            }
        }
        findings.extend(check_migrations(manifest, &scanned, &stored.settings));
        findings.extend(commit::check(manifest, &stored));
        findings.extend(of_dbt.check(commit, manifest, rules));
        for (database, _) in schemas.iter().filter(|(_, schemas)| schemas.len() > 1) {
            let message = "its modules' snapshots are not of the same schema: take them of one state of the database";
            findings.push(Finding::new(Code::SchemaSnapshotsDiffer, database.as_str(), message));
        }
        Ok(Some(Inspected { findings, reports, policy_tests, forms, tags_asked_for }))
    }

    /// Makes the portable forms of stacks with nested ones lead to the forms of these; none where an object vanished. They
    /// follow from several objects, so they are derived each time.
    async fn nest_forms(
        &self,
        commit: &Commit,
        manifest: &Manifest,
        objects: &Objects,
        mut judged: JudgedTemplates,
    ) -> Result<Option<JudgedTemplates>, GateError> {
        let Some(made_for) = &manifest.synthesised_for else { return Ok(Some(judged)) };
        for (stack, template) in judged.parsed.iter_mut().filter(|(_, it)| it.form.is_some()) {
            let nested = manifest.nested_templates(stack);
            let Some(module) = manifest.module_of(stack).filter(|_| !nested.is_empty()) else { continue };
            let root = ArtefactPath::Template(module.id.clone(), stack.clone());
            let mut read = BTreeMap::new();
            for path in nested.values().chain([&root]) {
                let Some(object) = objects.get(path) else { continue };
                let job = Job {
                    path: path.clone(),
                    key: path.of(commit),
                    version_id: object.version_id.clone(),
                    sha256: object.sha256,
                    is_proved: true,
                    size: object.size,
                    validators: Vec::new(),
                };
                let Some(Spooled { mut file, .. }) = self.spool(&job).await? else { return Ok(None) };
                read.insert(path.clone(), whole(&mut file)?);
            }
            let Some(root_bytes) = read.remove(&root) else { continue };
            let nested = nested.into_iter().filter_map(|(key, path)| Some((key, read.get(&path)?.clone()))).collect();
            judged.findings.extend(template.nest_forms(&root_bytes, &nested, made_for, &root.of(commit)));
            judged.forms.extend(template.form.clone().map(|form| (stack.clone(), form)));
        }
        judged.findings.extend(check_stored(manifest, &judged, commit));
        Ok(Some(judged))
    }

    /// Runs every job of which the outcome isn't known: none where an object vanished, or another judge is at work.
    async fn run(&self, jobs: Vec<Job>, known: &mut Known) -> Result<Option<Vec<Ran>>, GateError> {
        let (mut done, mut small, mut large, mut group) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for job in jobs {
            let found = |validator: &Validator| {
                // Its size alone refuses it: it is not read.
                let too_large = (job.size > validator.max_bytes()).then(|| {
                    let findings = vec![validator.too_large(job.size)];
                    Arc::new(Inspection { findings, ..Inspection::default() })
                });
                let found = too_large.or_else(|| known.take(job.sha256, validator))?;
                Some(Found::by(validator, job.sha256, found))
            };
            let found = if job.is_proved { job.validators.iter().map(found).collect() } else { None };
            match found {
                Some(found) => {
                    done.push(Ran { path: job.path, key: job.key, sha256: job.sha256, tag_count: 0, found });
                }
                None if job.size <= SMALL_BYTES => small.push(job),
                None => {
                    bytes += job.size;
                    if bytes > BYTES_BETWEEN_RECORDS {
                        bytes = job.size;
                        large.push(std::mem::take(&mut group));
                    }
                    group.push(job);
                }
            }
        }
        large.push(group);
        let groups = large.len();
        let large = large.into_iter().map(|jobs| (jobs, INSPECTIONS_IN_FLIGHT));
        for (number, (jobs, in_flight)) in [(small, CALLS_IN_FLIGHT)].into_iter().chain(large).enumerate() {
            let mut read = stream::iter(jobs).map(|job| self.read(job)).buffer_unordered(in_flight);
            while let Some(ran) = read.try_next().await? {
                let Some(ran) = ran else { return Ok(None) };
                for found in &ran.found {
                    known.used.insert(ran.sha256, found.id, Arc::clone(&found.inspection));
                }
                done.push(ran);
            }
            if (1..groups).contains(&number) && !self.remember(known).await? {
                return Ok(None);
            }
        }
        done.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Some(done))
    }

    /// What the validators find in an object; none where it is gone.
    async fn read(&self, job: Job) -> Result<Option<Ran>, GateError> {
        let _turn =
            if job.size > SMALL_BYTES { Some(SPOOLS.acquire().await.map_err(std::io::Error::other)?) } else { None };
        let Some(Spooled { file, sha256, tag_count }) = self.spool(&job).await? else { return Ok(None) };
        let mut found = Vec::with_capacity(job.validators.len());
        if sha256 == job.sha256 {
            for validator in job.validators {
                let mut file = file.try_clone()?;
                let _turn = INSPECTING.acquire().await.map_err(std::io::Error::other)?;
                let inspected = tokio::task::spawn_blocking(move || {
                    file.rewind()?;
                    Ok::<_, std::io::Error>((validate(&validator, file)?, validator))
                });
                let (inspection, validator) = inspected.await.map_err(std::io::Error::other)??;
                found.push(Found::by(&validator, sha256, Arc::new(inspection)));
            }
            let findings: usize = found.iter().map(|it| it.inspection.findings.len()).sum();
            self.log.info(
                "artefact inspected",
                json!({
                    "key": job.key, "version_id": job.version_id, "sha256": sha256, "size_bytes": job.size,
                    "findings": findings,
                }),
            );
        }
        Ok(Some(Ran { path: job.path, key: job.key, sha256, tag_count, found }))
    }

    /// What is in a report of an earlier commit, as its own inspection found it or from its bytes; none where it is gone.
    pub(super) async fn recount(&self, job: Job, known: &mut Known) -> Result<Option<Arc<Inspection>>, GateError> {
        let ran = self.run(vec![job], known).await?.and_then(|ran| ran.into_iter().next());
        Ok(ran.and_then(|ran| ran.found.into_iter().next()).map(|found| found.inspection))
    }

    /// The object as a file: spooled to disk, hashing on the way, so that memory doesn't grow with it; or as it lies there. None
    /// where it is gone.
    pub(super) async fn spool(&self, job: &Job) -> Result<Option<Spooled>, GateError> {
        use sha2::Digest as _;
        if job.is_proved
            && let Some(file) = self.artefacts.hashed_file(&job.key, job.sha256)?
        {
            return Ok(Some(Spooled { file, sha256: job.sha256, tag_count: 0 }));
        }
        let mut spool = tempfile::tempfile_in(self.scratch)?;
        let mut hasher = sha2::Sha256::new();
        let mut sink = |piece: &[u8]| {
            hasher.update(piece);
            spool.write_all(piece)
        };
        let Some(tag_count) = self.artefacts.stream(&job.key, &job.version_id, &mut sink).await? else {
            return Ok(None);
        };
        let sha256 = Sha256::from_bytes(hasher.finalize().into());
        // What is inspected is what was judged, whatever the store says of itself.
        if job.is_proved && sha256 != job.sha256 {
            let error = StoreError {
                operation: "GetObject",
                bucket: "artefacts".to_owned(),
                key: job.key.clone(),
                source: "the bytes are not those of the stored checksum".into(),
            };
            return Err(error.into());
        }
        spool.rewind()?;
        Ok(Some(Spooled { file: spool, sha256, tag_count }))
    }
}

/// What a commit's templates say by the digests of their bytes, as far as they were inspected under the present rules for what
/// the manifest says of its synthesis, and as far as the gate's key has signed that.
///
/// # Errors
/// [`RecordError`] where the record can't be read.
pub async fn inspected_templates(
    records: &impl ReadStore,
    commit: &Commit,
    synthesis: &template::Synthesis,
    gate: &TrustedKeys,
) -> Result<BTreeMap<Sha256, template::Template>, RecordError> {
    let stored = recorded(records, commit, Some(gate), &Logger::silent()).await?;
    let Some((inspections, _)) = stored.and_then(|it| it.believed) else { return Ok(BTreeMap::new()) };
    let validator = Validator::Template(synthesis.clone());
    let found = inspections.iter().filter(|(sha256, id, _)| *id == inspection_id(*sha256, &validator));
    Ok(found.filter_map(|(sha256, _, it)| Some((sha256, template::Template::clone(it.template.as_ref()?)))).collect())
}

/// What is remembered is found by the bytes, by what they must fit, and by the rules.
fn inspection_id(sha256: Sha256, validator: &Validator) -> Sha256 {
    Sha256::of(json!([RULES, sha256, validator]).to_string().as_bytes())
}

fn validate(validator: &Validator, mut spool: std::fs::File) -> std::io::Result<Inspection> {
    let mut inspection = Inspection::default();
    match validator {
        Validator::LambdaZip(spec, words) => {
            let limits = lambda_zip::Limits::default();
            inspection.findings = lambda_zip::inspect_for_words(spool, SUBJECT, spec.as_ref(), words, &limits)?;
        }
        Validator::DbtManifest => {
            let (findings, facts) = dbt::manifest::inspect(std::io::BufReader::new(spool), SUBJECT)?;
            (inspection.findings, inspection.dbt_manifest) = (findings, facts.map(Box::new));
        }
        Validator::DbtRunResults => {
            let (findings, results) = dbt::run_results::inspect(std::io::BufReader::new(spool), SUBJECT)?;
            (inspection.findings, inspection.dbt_results) = (findings, results.map(Box::new));
        }
        Validator::Template(synthesis) => {
            let (findings, template) = template::inspect_synthesised(&whole(&mut spool)?, synthesis, SUBJECT);
            (inspection.findings, inspection.template) = (findings, template.map(Box::new));
        }
        Validator::Migration => match checksum::scan(spool)? {
            Ok(scanned) => inspection.migration = Some(Box::new(scanned)),
            Err(not_utf8) => {
                inspection.findings.push(Finding::new(Code::FlywayNotUtf8, SUBJECT, not_utf8.to_string()));
            }
        },
        Validator::FlywayConfiguration => match Settings::read(&whole(&mut spool)?, SUBJECT) {
            Ok(settings) => inspection.settings = Some(Box::new(settings)),
            Err(findings) => inspection.findings = findings,
        },
        Validator::ScriptConfiguration => {
            inspection.findings = settings::read_script(&whole(&mut spool)?, SUBJECT);
        }
        Validator::Report(format) => match report::read(*format, std::io::BufReader::new(spool))? {
            Ok(recounted) => inspection.report = Some(Box::new(recounted)),
            Err(not) => inspection.findings.push(Finding::new(Code::ReportInvalid, SUBJECT, not.to_string())),
        },
        Validator::PolicyRows(format, rows) => {
            // What is no report is told by its recount.
            if let Ok(found) = report::words_of_passed(*format, std::io::BufReader::new(spool), rows)? {
                inspection.policy_tests = found;
            }
        }
        Validator::SchemaSnapshot => {
            // It judges on its way: one pass over the dump.
            match schema_snapshot::normal_form(&whole(&mut spool)?, schema_snapshot::Include::default()) {
                Ok(normal) => {
                    inspection.schema = Some(normal.sha256());
                    inspection.histories.clone_from(normal.histories());
                    inspection.relations.clone_from(normal.relations());
                }
                Err(findings) => {
                    let about = |finding| Finding { subject: SUBJECT.to_owned(), ..finding };
                    inspection.findings = findings.into_iter().map(about).collect();
                }
            }
        }
    }
    Ok(inspection)
}

fn whole(spool: &mut std::fs::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(spool, &mut bytes)?;
    Ok(bytes)
}

/// What dbt's files tell, module by module, and what the schema snapshots hold.
#[derive(Debug, Default)]
struct OfDbt {
    manifests: BTreeMap<ModuleId, dbt::manifest::Facts>,
    results: BTreeMap<ModuleId, dbt::run_results::RunResults>,
    tables: dbt::check::Tables,
}

impl OfDbt {
    /// Holds each manifest against its build, and against what was deployed to and tested.
    fn check(&self, commit: &Commit, manifest: &Manifest, rules: &Rules) -> Vec<Finding> {
        let stage = manifest.deploy.as_ref().map(|it| &it.stage);
        let mut findings = Vec::new();
        for (module, facts) in &self.manifests {
            let subject = ArtefactPath::DbtManifest(module.clone()).of(commit);
            findings.extend(dbt::check::check_target(&subject, facts, &rules.dbt));
            findings.extend(dbt::check::check_sources(&subject, facts, &self.tables));
            if let Some(results) = self.results.get(module) {
                let subject = ArtefactPath::DbtRunResults(module.clone()).of(commit);
                findings.extend(dbt::check::check_build(&subject, facts, results, &rules.dbt, stage));
            }
        }
        findings
    }
}

/// Holds the stored migration files of each database against what Flyway said of them (ADR-053 problem 2).
fn check_migrations(
    manifest: &Manifest,
    scanned: &BTreeMap<ArtefactPath, Scanned>,
    settings: &BTreeMap<DatabaseName, Settings>,
) -> Vec<Finding> {
    let mut files: BTreeMap<&DatabaseName, Vec<MigrationFile<'_>>> = BTreeMap::new();
    for module in &manifest.modules {
        for it in &module.migrations {
            let path = ArtefactPath::Migration(module.id.clone(), it.database.clone(), it.file.clone());
            files.entry(&it.database).or_default().push(MigrationFile {
                path: it.file.as_str(),
                scanned: scanned.get(&path).map(|scanned| scanned.under(settings.get(&it.database))),
                sha256: it.sha256,
            });
        }
    }
    let databases: BTreeSet<_> = files.keys().copied().chain(manifest.flyway.keys()).collect();
    let check = |database: &DatabaseName| {
        // Flyway may have told of a database of which the manifest lists no migration.
        let files = files.get(database).map_or(&[] as &[_], Vec::as_slice);
        files::check(database.as_str(), files, manifest.flyway.get(database).map(|flyway| &flyway.checksums))
    };
    databases.into_iter().flat_map(check).collect()
}

impl Validator {
    fn max_bytes(&self) -> u64 {
        match self {
            Self::Template(_) => template::MAX_BYTES as u64,
            Self::LambdaZip(..) => lambda_zip::Limits::default().max_archive_bytes,
            Self::DbtManifest | Self::DbtRunResults => MAX_DBT_BYTES,
            Self::Migration => flyway::MAX_BYTES,
            Self::SchemaSnapshot => schema_snapshot::MAX_BYTES,
            Self::FlywayConfiguration => settings::MAX_BYTES,
            Self::ScriptConfiguration => settings::SCRIPT_MAX_BYTES,
            Self::Report(_) | Self::PolicyRows(..) => report::MAX_BYTES,
        }
    }

    fn too_large(&self, size: u64) -> Finding {
        let code = match self {
            Self::Template(_) => Code::TemplateTooLarge,
            Self::LambdaZip(..) => Code::ZipTooLarge,
            Self::DbtManifest => Code::DbtManifestInvalid,
            Self::DbtRunResults => Code::DbtRunResultsInvalid,
            Self::Migration => Code::FlywayFileTooLarge,
            Self::SchemaSnapshot => Code::SchemaSnapshotInvalid,
            Self::FlywayConfiguration | Self::ScriptConfiguration => Code::FlywaySettingUnsupported,
            Self::Report(_) | Self::PolicyRows(..) => Code::ReportTooLarge,
        };
        Finding::new(code, SUBJECT, format!("{size} bytes are more than the {} allowed", self.max_bytes()))
    }
}

impl Inspection {
    /// Its findings in the object at `key`.
    fn findings_at(&self, key: &str) -> impl Iterator<Item = Finding> {
        let at = |it: &Finding| Finding { subject: it.subject.replacen(SUBJECT, key, 1), ..it.clone() };
        self.findings.iter().map(at)
    }
}

/// What the assets of a commit are taken for, by their places.
fn kinds_of(manifest: &Manifest) -> BTreeSet<(ArtefactPath, AssetKind)> {
    let of_module = |module: &Module| {
        let path = |asset: &Asset| ArtefactPath::Asset(module.id.clone(), asset.file());
        module.assets.iter().map(|asset| (path(asset), asset.kind)).collect::<Vec<_>>()
    };
    manifest.modules.iter().flat_map(of_module).collect()
}

/// What the templates of a commit come to.
#[derive(Debug, Default)]
struct JudgedTemplates {
    findings: Vec<Finding>,
    forms: BTreeMap<StackName, TemplateForm>,
    /// Each stack's with what is nested in it.
    parsed: BTreeMap<StackName, template::Template>,
}

/// Holds a commit's templates, those of nested stacks too, against its manifest and the policy.
fn judge_templates(rules: &Rules, manifest: &Manifest, templates: &[Ran]) -> JudgedTemplates {
    let mut judged = JudgedTemplates::default();
    let inspected = templates.iter().flat_map(|ran| ran.found.iter().map(move |found| (ran, &found.inspection)));
    let nested = inspected.clone().filter(|(ran, _)| matches!(ran.path, ArtefactPath::Asset(..)));
    let nested: BTreeMap<Sha256, &template::Template> =
        nested.filter_map(|(ran, inspection)| Some((ran.sha256, inspection.template.as_deref()?))).collect();
    for (ran, inspection) in inspected {
        judged.findings.extend(inspection.findings_at(&ran.key));
        let Some(template) = &inspection.template else { continue };
        judged.findings.extend(template.check_policy(&ran.key, rules));
        let ArtefactPath::Template(_, stack) = &ran.path else { continue };
        judged.forms.extend(template.form.clone().map(|form| (stack.clone(), form)));
        match template.whole(stack, &manifest.modules, &nested) {
            Ok(whole) => {
                judged.findings.extend(check_code(&ran.key, stack, &whole, manifest));
                judged.parsed.insert(stack.clone(), whole);
            }
            Err(why) => judged.findings.push(Finding::new(Code::TemplateTooLarge, ran.key.as_str(), why)),
        }
    }
    judged
}

/// That a nested stack takes from the artefact store a template that names dev: no form of it lies there.
fn check_stored(manifest: &Manifest, judged: &JudgedTemplates, commit: &Commit) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (stack, template) in &judged.parsed {
        let Some(module) = manifest.module_of(stack) else { continue };
        for (id, nested) in &template.nested {
            let Some(form) = judged.forms.get(nested).filter(|it| it.substitutions > 0) else { continue };
            let message = format!(
                "nested stack `{id}` takes from the artefact store the template of `{nested}`, which names what it was \
                 synthesised for in {} places: let it be an asset, whose portable form a stage gets",
                form.substitutions
            );
            let key = ArtefactPath::Template(module.id.clone(), stack.clone()).of(commit);
            findings.push(Finding::new(Code::TemplateNotPortable, key, message));
        }
    }
    findings
}

fn check_code(key: &str, stack: &StackName, template: &template::Template, manifest: &Manifest) -> Vec<Finding> {
    // The template is a claim of the manifest's, so one of its modules has the stack.
    match manifest.module_of(stack) {
        Some(module) => template.check_code(key, stack, module, manifest),
        None => Vec::new(),
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "dbt_tests.rs"]
mod dbt_tests;

#[cfg(test)]
#[path = "nested_tests.rs"]
mod nested_tests;
