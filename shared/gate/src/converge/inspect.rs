//! Runs the validators over the artefacts and reports of a commit, and remembers by digest what they found: the same bytes are
//! never read twice, not for another event and not for another commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Seek as _, Write as _},
    path::Path,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{DatabaseName, FileName, Sha256, StackName, VersionId},
    manifest::{Asset, AssetKind, Claim, Manifest, Module},
    policy::StageLiterals,
    store_key::{ArtefactPath, RecordKey},
    suite::Suite,
    telemetry::Logger,
    verdict::{NamedTests, TemplateForm},
};
use gatekeeper_readers::{
    dbt_manifest, flyway,
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
use gatekeeper_store::{CALLS_IN_FLIGHT, Precondition, ReadStore, StoreError, WriteStore, record, record::RecordError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::GateError;
use crate::judgement::{Evidence, StoredManifest};

/// To be raised whenever a validator's rules change, so that old inspections are no longer taken.
const RULES: u32 = 11;

/// Bundles that are spooled and inspected at once: each may take 250 MB of disk, and both cores are busy with two.
const INSPECTIONS_IN_FLIGHT: usize = 2;

/// The largest dbt manifest that is read: it is streamed, so this bounds time and disk.
const MAX_DBT_MANIFEST_BYTES: u64 = 512 * 1024 * 1024;

/// What is no larger is inspected with as many others as there may be calls: a database has hundreds of migrations.
const SMALL_BYTES: u64 = 256 * 1024;

/// Stands for the object's key in a remembered finding, because another commit may hold the same bytes elsewhere.
const SUBJECT: &str = "{key}";

/// What a validator found in some bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Inspection {
    findings: Vec<Finding>,
    /// What a template says of its functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<template::Template>,
    /// What Flyway makes of a migration file; none where it can't read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    migration: Option<Scanned>,
    /// The digest of a schema snapshot's normal form; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Sha256>,
    /// The tables of a schema snapshot that have the form of Flyway's history.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    histories: BTreeSet<TableName>,
    /// What a `flyway.toml` sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
    /// What a report shows; none where it can't be recounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Recounted>,
    /// For each row of `policies_satisfied` the tests that are named after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    policy_tests: BTreeMap<String, NamedTests>,
}

/// What all validators together found in a commit.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    pub(super) findings: Vec<Finding>,
    pub(super) reports: BTreeMap<ArtefactPath, Recounted>,
    pub(super) policy_tests: Option<BTreeMap<String, NamedTests>>,
    /// The portable forms of its templates, by the stack's name.
    pub(super) forms: BTreeMap<StackName, TemplateForm>,
}

/// A validator and what its object must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Validator {
    Template(template::Synthesis),
    /// What it must fit, and the words that it should not hold.
    LambdaZip(Option<FunctionSpec>, Vec<String>),
    DbtManifest,
    Migration,
    SchemaSnapshot,
    FlywayConfiguration,
    ScriptConfiguration,
    Report(report::Format),
    PolicyRows(report::Format, BTreeSet<String>),
}

/// An object that waits for its validator.
pub(super) struct Job {
    pub(super) path: ArtefactPath,
    pub(super) key: String,
    pub(super) version_id: VersionId,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) validator: Validator,
}

/// Reads what is in a commit's objects, and keeps by digest what it found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inspector<'a, S, R> {
    pub(super) artefacts: &'a S,
    pub(super) records: &'a R,
    pub(super) log: &'a Logger,
    pub(super) scratch: &'a Path,
}

impl<S: ReadStore, R: WriteStore> Inspector<'_, S, R> {
    /// What is in the objects whose bytes are the claimed ones; others are refused by their digest already.
    pub(super) async fn inspect(&self, evidence: &Evidence) -> Result<Inspected, GateError> {
        let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return Ok(Inspected::default()) };
        let claims = manifest.claims();
        let job = |claim: &Claim, validator| {
            let object = evidence.objects.get(&claim.path).filter(|object| object.sha256 == claim.sha256)?;
            Some(Job {
                path: claim.path.clone(),
                key: claim.path.of(&evidence.commit),
                version_id: object.version_id.clone(),
                sha256: object.sha256,
                size: object.size,
                validator,
            })
        };

        let synthesis = template::Synthesis::of(manifest);
        let kinds = kinds_of(manifest);
        let is_for = |path: &ArtefactPath, kind: AssetKind| kinds.contains(&(path.clone(), kind));
        let is_template =
            |path: &ArtefactPath| matches!(path, ArtefactPath::Template(..)) || is_for(path, AssetKind::Template);
        let templates = claims.iter().filter(|claim| is_template(&claim.path));
        let templates = templates.filter_map(|claim| job(claim, Validator::Template(synthesis.clone())));
        let templates = self.run(templates.collect()).await?;
        let JudgedTemplates { mut findings, forms, parsed } = judge_templates(evidence, manifest, &templates);
        let handed = parsed.iter().map(|(stack, template)| (stack, &template.handed)).collect();
        findings.extend(template::check_handed(manifest, &handed));

        let spec_of = |path: &ArtefactPath| {
            let ArtefactPath::Function(_, name) = path else { return None };
            let function = manifest.functions().find(|function| function.name == *name)?;
            let templated = parsed.get(&function.stack)?.functions.get(&function.logical_id)?;
            (!templated.has_layers).then(|| templated.spec.clone())
        };
        let words = synthesis.foreign_words();
        let report_of = |file: &FileName| {
            let report = manifest.reports.iter().find(|report| report.file == *file)?;
            Some((Suite::of(&report.suite)?, report::Format::of(&report.format)?))
        };
        let others = claims.iter().filter_map(|claim| match claim.path {
            ArtefactPath::Function(..) => job(claim, Validator::LambdaZip(spec_of(&claim.path), words.clone())),
            // A layer's content is unpacked as a bundle is; what else an asset is, its digest and size are all of it.
            ArtefactPath::Asset(..) if is_for(&claim.path, AssetKind::Layer) => {
                job(claim, Validator::LambdaZip(None, words.clone()))
            }
            ArtefactPath::DbtManifest(_) => job(claim, Validator::DbtManifest),
            ArtefactPath::Migration(..) => job(claim, Validator::Migration),
            ArtefactPath::Schema(..) => job(claim, Validator::SchemaSnapshot),
            ArtefactPath::FlywayConfiguration(..) => job(claim, Validator::FlywayConfiguration),
            ArtefactPath::ScriptConfiguration(..) => job(claim, Validator::ScriptConfiguration),
            // Of an unknown suite or format it is evidence for people, and checked by digest and size.
            ArtefactPath::Report(ref file) => {
                let (_, format) = report_of(file)?;
                job(claim, Validator::Report(format))
            }
            // Templates are done.
            ArtefactPath::Template(..) | ArtefactPath::Asset(..) | ArtefactPath::Manifest => None,
        });
        let policy = manifest.tests.policy.as_ref();
        let rows: BTreeSet<String> = policy.into_iter().flat_map(|it| &it.policies_satisfied).cloned().collect();
        let named = claims.iter().filter(|_| !rows.is_empty()).filter_map(|claim| {
            let ArtefactPath::Report(file) = &claim.path else { return None };
            let (suite, format) = report_of(file)?;
            let is_asked = suite == Suite::Policy && format.is_of_tests();
            is_asked.then(|| job(claim, Validator::PolicyRows(format, rows.clone())))?
        });
        let others = others.chain(named);
        let mut policy_tests: Option<BTreeMap<String, NamedTests>> = None;
        let mut scanned = BTreeMap::new();
        let mut schemas: BTreeMap<DatabaseName, BTreeSet<Sha256>> = BTreeMap::new();
        let (mut reports, mut stored) = (BTreeMap::new(), Stored::default());
        for (job, inspection) in self.run(others.collect()).await? {
            let Inspection { findings: found, migration, schema, report, policy_tests: named, histories, .. } =
                inspection;
            if evidence.rules.stage_literals == StageLiterals::Refuse {
                let named = found.iter().filter(|it| it.code == Code::BundleNamesStage);
                findings.extend(named.map(|it| Finding { code: Code::BundleNotPortable, ..it.clone() }));
            }
            findings.extend(found);
            if matches!(job.validator, Validator::PolicyRows(..)) {
                let all = policy_tests.get_or_insert_default();
                for (row, tests) in named {
                    all.entry(row).or_default().extend(tests);
                }
            }
            if let Some(report) = report {
                reports.insert(job.path, report);
            } else if let Some(migration) = migration {
                scanned.insert(job.path, migration);
            } else if let (ArtefactPath::FlywayConfiguration(_, database), Some(settings)) =
                (&job.path, inspection.settings)
            {
                stored.settings.insert(database.clone(), settings);
            } else if let (ArtefactPath::Schema(_, database), Some(schema)) = (job.path, schema) {
                stored.histories.entry(database.clone()).or_default().extend(histories);
                schemas.entry(database).or_default().insert(schema);
            }
        }
        findings.extend(check_migrations(manifest, &scanned, &stored.settings));
        findings.extend(commit::check(manifest, &stored));
        for (database, _) in schemas.iter().filter(|(_, schemas)| schemas.len() > 1) {
            let message = "its modules' snapshots are not of the same schema: take them of one state of the database";
            findings.push(Finding::new(Code::SchemaSnapshotsDiffer, database.as_str(), message));
        }
        Ok(Inspected { findings, reports, policy_tests, forms })
    }

    /// Runs every job that isn't remembered: looks them all up at once, then reads the few that are new.
    async fn run(&self, jobs: Vec<Job>) -> Result<Vec<(Job, Inspection)>, GateError> {
        let looked_up: Vec<_> = stream::iter(jobs)
            .map(|job| async move {
                let known = self.remembered(&job).await?;
                Ok::<_, GateError>((job, known))
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_collect()
            .await?;
        let (small, large): (Vec<_>, Vec<_>) = looked_up.into_iter().partition(|(job, _)| job.size <= SMALL_BYTES);
        let mut done = Vec::new();
        for (jobs, in_flight) in [(small, CALLS_IN_FLIGHT), (large, INSPECTIONS_IN_FLIGHT)] {
            let inspected: Vec<_> = stream::iter(jobs)
                .map(|(job, known)| async move {
                    let inspection = match known {
                        Some(inspection) => inspection,
                        None => self.read_and_remember(&job).await?,
                    };
                    let inspection = inspection.at(&job.key);
                    Ok::<_, GateError>((job, inspection))
                })
                .buffer_unordered(in_flight)
                .try_collect()
                .await?;
            done.extend(inspected);
        }
        done.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        Ok(done)
    }

    /// What an earlier inspection of the same bytes found.
    pub(super) async fn remembered(&self, job: &Job) -> Result<Option<Inspection>, GateError> {
        let known = record::read::<Inspection>(self.records, &RecordKey::Inspection(job.id())).await?;
        Ok(known.map(|stored| stored.record))
    }

    pub(super) async fn read_and_remember(&self, job: &Job) -> Result<Inspection, GateError> {
        let inspection = if job.is_too_large() {
            // Its size alone refuses it: don't read it.
            Inspection { findings: vec![job.too_large()], ..Inspection::default() }
        } else {
            self.read(job).await?
        };
        record::write(self.records, &RecordKey::Inspection(job.id()), &inspection, &Precondition::Absent).await?;
        self.log.info(
            "artefact inspected",
            json!({
                "key": job.key, "version_id": job.version_id, "sha256": job.sha256, "size_bytes": job.size,
                "findings": inspection.findings.len(),
            }),
        );
        Ok(inspection)
    }

    async fn read(&self, job: &Job) -> Result<Inspection, GateError> {
        let spool = self.spool(job).await?;
        let validator = job.validator.clone();
        let inspected = tokio::task::spawn_blocking(move || validate(&validator, spool)).await;
        Ok(inspected.map_err(std::io::Error::other)??)
    }

    /// The object as a file: spooled to disk, hashing on the way, so that memory doesn't grow with it; or as it lies there.
    pub(super) async fn spool(&self, job: &Job) -> Result<std::fs::File, GateError> {
        use sha2::Digest as _;
        if let Some(file) = self.artefacts.hashed_file(&job.key, job.sha256)? {
            return Ok(file);
        }
        let mut spool = tempfile::tempfile_in(self.scratch)?;
        let mut hasher = sha2::Sha256::new();
        let mut sink = |piece: &[u8]| {
            hasher.update(piece);
            spool.write_all(piece)
        };
        let there = self.artefacts.stream(&job.key, &job.version_id, &mut sink).await?;
        let failed = |why: &str| StoreError {
            operation: "GetObject",
            bucket: "artefacts".to_owned(),
            key: job.key.clone(),
            source: why.into(),
        };
        if !there {
            return Err(failed("the version is gone").into());
        }
        // What is inspected is what was judged, whatever the store says of itself.
        if Sha256::from_bytes(hasher.finalize().into()) != job.sha256 {
            return Err(failed("the bytes are not those of the stored checksum").into());
        }
        spool.rewind()?;
        Ok(spool)
    }
}

/// What the template with these bytes says, as far as it was inspected under the present rules for what its manifest says
/// of its synthesis.
///
/// # Errors
/// [`RecordError`] where the record can't be read.
pub async fn inspected_template(
    records: &impl ReadStore,
    sha256: Sha256,
    synthesis: &template::Synthesis,
) -> Result<Option<template::Template>, RecordError> {
    let key = RecordKey::Inspection(inspection_id(sha256, &Validator::Template(synthesis.clone())));
    Ok(record::read::<Inspection>(records, &key).await?.and_then(|stored| stored.record.template))
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
            inspection.findings = dbt_manifest::inspect(std::io::BufReader::new(spool), SUBJECT)?;
        }
        Validator::Template(synthesis) => {
            (inspection.findings, inspection.template) =
                template::inspect_synthesised(&whole(&mut spool)?, synthesis, SUBJECT);
        }
        Validator::Migration => match checksum::scan(spool)? {
            Ok(scanned) => inspection.migration = Some(scanned),
            Err(not_utf8) => {
                inspection.findings.push(Finding::new(Code::FlywayNotUtf8, SUBJECT, not_utf8.to_string()));
            }
        },
        Validator::FlywayConfiguration => match Settings::read(&whole(&mut spool)?, SUBJECT) {
            Ok(settings) => inspection.settings = Some(settings),
            Err(findings) => inspection.findings = findings,
        },
        Validator::ScriptConfiguration => {
            inspection.findings = settings::read_script(&whole(&mut spool)?, SUBJECT);
        }
        Validator::Report(format) => match report::read(*format, std::io::BufReader::new(spool))? {
            Ok(recounted) => inspection.report = Some(recounted),
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

impl Job {
    fn id(&self) -> Sha256 {
        inspection_id(self.sha256, &self.validator)
    }

    fn max_bytes(&self) -> u64 {
        match self.validator {
            Validator::Template(_) => template::MAX_BYTES as u64,
            Validator::LambdaZip(..) => lambda_zip::Limits::default().max_archive_bytes,
            Validator::DbtManifest => MAX_DBT_MANIFEST_BYTES,
            Validator::Migration => flyway::MAX_BYTES,
            Validator::SchemaSnapshot => schema_snapshot::MAX_BYTES,
            Validator::FlywayConfiguration => settings::MAX_BYTES,
            Validator::ScriptConfiguration => settings::SCRIPT_MAX_BYTES,
            Validator::Report(_) | Validator::PolicyRows(..) => report::MAX_BYTES,
        }
    }

    fn is_too_large(&self) -> bool {
        self.size > self.max_bytes()
    }

    fn too_large(&self) -> Finding {
        let code = match self.validator {
            Validator::Template(_) => Code::TemplateTooLarge,
            Validator::LambdaZip(..) => Code::ZipTooLarge,
            Validator::DbtManifest => Code::DbtManifestInvalid,
            Validator::Migration => Code::FlywayFileTooLarge,
            Validator::SchemaSnapshot => Code::SchemaSnapshotInvalid,
            Validator::FlywayConfiguration | Validator::ScriptConfiguration => Code::FlywaySettingUnsupported,
            Validator::Report(_) | Validator::PolicyRows(..) => Code::ReportTooLarge,
        };
        Finding::new(code, SUBJECT, format!("{} bytes are more than the {} allowed", self.size, self.max_bytes()))
    }
}

impl Inspection {
    /// The same for the object at `key`.
    fn at(mut self, key: &str) -> Self {
        for finding in &mut self.findings {
            finding.subject = finding.subject.replacen(SUBJECT, key, 1);
        }
        self
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
fn judge_templates(evidence: &Evidence, manifest: &Manifest, templates: &[(Job, Inspection)]) -> JudgedTemplates {
    let mut judged = JudgedTemplates::default();
    let nested = templates.iter().filter(|(job, _)| matches!(job.path, ArtefactPath::Asset(..)));
    let nested: BTreeMap<Sha256, &template::Template> =
        nested.filter_map(|(job, inspection)| Some((job.sha256, inspection.template.as_ref()?))).collect();
    for (job, inspection) in templates {
        judged.findings.extend(inspection.findings.iter().cloned());
        let Some(template) = &inspection.template else { continue };
        judged.findings.extend(template.check_policy(&job.key, &evidence.rules));
        let ArtefactPath::Template(_, stack) = &job.path else {
            judged.findings.extend(template.check_nested(&job.key));
            continue;
        };
        judged.forms.extend(template.form.clone().map(|form| (stack.clone(), form)));
        match template.whole(stack, &manifest.modules, &nested) {
            Ok(whole) => {
                judged.findings.extend(check_code(job, stack, &whole, manifest));
                judged.parsed.insert(stack.clone(), whole);
            }
            Err(why) => judged.findings.push(Finding::new(Code::TemplateTooLarge, job.key.as_str(), why)),
        }
    }
    judged
}

fn check_code(job: &Job, stack: &StackName, template: &template::Template, manifest: &Manifest) -> Vec<Finding> {
    // The template is a claim of the manifest's, so one of its modules has the stack.
    match manifest.modules.iter().find(|module| module.stacks.iter().any(|it| it.name == *stack)) {
        Some(module) => template.check_code(&job.key, stack, module, manifest),
        None => Vec::new(),
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
