//! The branch's last Built commit: integration tests that it passed must not vanish in silence (ADR-053
//! "`RUN_INTEGRATION` requirement": a test that doesn't run proves nothing).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufReader,
};

use gatekeeper_model::{
    ids::{Commit, Sha256},
    manifest::Manifest,
    store_key::{ArtefactPath, RecordKey},
    suite::Suite,
    verdict,
    verdict::{Baseline, BaselineReport, LastBuilt, Outcome, Predecessor},
};
use gatekeeper_readers::{
    report,
    report::{Format, PassedTests, Recounted, suite, suite::SuiteReport},
};
use gatekeeper_store::{Precondition, ReadStore, TagStore, WriteStore, Written, record, record::Stored};
use jiff::Timestamp;
use serde_json::json;

use super::{
    GateError, MAX_ROUNDS,
    inspect::{Inspector, Job, Known, Validator},
    look::{Looker, View},
    write::Writer,
};
use crate::judgement::{Comparison, Earlier, Evidence, StoredManifest, reports};

/// The record of a commit's predecessor as it is, or as it is to be written.
pub(super) struct Pinned {
    pub(super) predecessor: Predecessor,
    pub(super) is_stored: bool,
}

impl<S: ReadStore, R: ReadStore> Looker<'_, S, R> {
    /// What the commit is compared with on the manifest's branch; none without a manifest that can be read.
    pub(super) async fn predecessor(
        &self,
        view: &View,
        manifest: &StoredManifest,
        now: Timestamp,
    ) -> Result<Option<Pinned>, GateError> {
        let StoredManifest::Read { manifest, version_id, .. } = manifest else { return Ok(None) };
        let stored = record::read::<Predecessor>(self.records, &predecessor_key(manifest)).await?;
        if let Some(Stored { record, .. }) = stored {
            return Ok(Some(Pinned { predecessor: record, is_stored: true }));
        }
        // What was Built before anything was pinned is compared with nothing.
        let was_built = view.verdict.as_ref().map(|stored| &stored.record).is_some_and(|it| {
            it.manifest_version_id.as_ref() == Some(version_id)
                && matches!(it.outcome, Outcome::Built | Outcome::Revoked)
        });
        let last = if was_built { None } else { last_built(self.records, manifest).await? };
        let predecessor = Predecessor {
            schema_version: verdict::SCHEMA_VERSION,
            branch: manifest.branch.clone(),
            baseline: last.map(|stored| stored.record.baseline),
            first_seen_at: now,
        };
        Ok(Some(Pinned { predecessor, is_stored: false }))
    }
}

impl<S: ReadStore, R: WriteStore> Inspector<'_, S, R> {
    /// The Built commit before this one on its branch, and which of its integration tests are gone; none before they ran.
    pub(super) async fn earlier(
        &self,
        predecessor: &Predecessor,
        evidence: &Evidence,
        known: &mut Known,
    ) -> Result<Option<Earlier>, GateError> {
        let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return Ok(None) };
        let Some(baseline) = predecessor.baseline.clone().filter(|_| manifest.tests.integration.is_some()) else {
            return Ok(None);
        };
        let commit = Commit { repo: manifest.repo.clone(), sha: baseline.commit_sha.clone() };
        let jobs: Option<Vec<_>> = baseline.reports.iter().map(|report| job(&commit, report)).collect();
        let Some(jobs) = jobs else {
            let fields = json!({"baseline": baseline.commit_sha, "reports": baseline.reports});
            self.log.warn("report of the last Built commit has an unknown format: its tests can't be compared", fields);
            return Ok(None);
        };

        let mut before = Vec::<(Format, Option<PassedTests>)>::new();
        for (job, format) in &jobs {
            let Some(inspection) = self.recount(job.clone(), known).await? else {
                let fields = json!({"key": job.key, "version_id": job.version_id});
                self.log.warn("report of the last Built commit is gone: its tests can't be compared", fields);
                return Ok(None);
            };
            let Some(Recounted::Tests(recount)) = inspection.report.as_deref() else {
                let fields = json!({"key": job.key, "version_id": job.version_id});
                self.log
                    .warn("report of the last Built commit can't be recounted: its tests can't be compared", fields);
                return Ok(None);
            };
            before.push((*format, recount.passed.clone()));
        }
        let of_suite = || reports::of_suites(manifest, &evidence.reports);
        let has_report = of_suite().any(|it| is_of_integration_tests(&it));
        let before = suite::together(before.iter().map(|(format, passed)| (*format, passed.as_ref())));
        let comparison = match (before, suite::passed(Suite::Integration, of_suite())) {
            _ if jobs.is_empty() => Comparison::Vanished(BTreeMap::new()),
            _ if !has_report => Comparison::NoReport,
            (Some(before), Some(now)) => {
                let vanished = now.vanished_since(&before);
                let ids: BTreeSet<_> = vanished.keys().copied().collect();
                let mut names: BTreeMap<_, _> = ids.iter().map(|id| (*id, format!("test {id}"))).collect();
                if !ids.is_empty() {
                    for (job, format) in &jobs {
                        // Where the report is gone or can't be read by now, its tests are told by their ids.
                        let Some(spooled) = self.spool(job).await? else { continue };
                        let (format, wanted) = (*format, ids.clone());
                        let read = move || report::names(format, BufReader::new(spooled.file), &wanted);
                        let found = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)??;
                        names.extend(found.into_iter().flatten());
                    }
                }
                let named = vanished.into_iter().filter_map(|(id, gone)| Some((id, (names.remove(&id)?, gone))));
                Comparison::Vanished(named.collect())
            }
            _ => Comparison::TooMany,
        };
        Ok(Some(Earlier { baseline, comparison }))
    }
}

impl<S: TagStore, R: WriteStore> Writer<'_, S, R> {
    /// Writes down what the commit is compared with from now on; `false` where somebody else did first.
    pub(super) async fn pin(&self, manifest: &Manifest, predecessor: &Predecessor) -> Result<bool, GateError> {
        let written =
            record::write(self.records, &predecessor_key(manifest), predecessor, &Precondition::Absent).await?;
        Ok(matches!(written, Written::Done { .. }))
    }

    /// Writes down that the commit is its branch's last Built one, unless one is that was first seen later.
    pub(super) async fn remember_built(&self, evidence: &Evidence, predecessor: &Predecessor) -> Result<(), GateError> {
        let StoredManifest::Read { manifest, version_id, .. } = &evidence.manifest else { return Ok(()) };
        let reports = reports::of_suites(manifest, &evidence.reports).filter(is_of_integration_tests);
        let reports = reports.filter_map(|report| {
            let ArtefactPath::Report(file) = report.path else { return None };
            let object = evidence.objects.get(report.path)?;
            Some(BaselineReport {
                file: file.clone(),
                format: report.format.as_str().to_owned(),
                version_id: object.version_id.clone(),
                sha256: object.sha256,
                size: object.size,
            })
        });
        let last = LastBuilt {
            schema_version: verdict::SCHEMA_VERSION,
            repo: manifest.repo.clone(),
            branch: manifest.branch.clone(),
            baseline: Baseline {
                commit_sha: manifest.commit_sha.clone(),
                manifest_version_id: version_id.clone(),
                reports: reports.collect(),
            },
            first_seen_at: predecessor.first_seen_at,
        };
        for _ in 0..MAX_ROUNDS {
            let seen = last_built(self.records, manifest).await?;
            if seen.as_ref().is_some_and(|it| it.record == last || it.record.first_seen_at > last.first_seen_at) {
                return Ok(());
            }
            let written =
                record::write(self.records, &last_built_key(manifest), &last, &Stored::precondition(seen.as_ref()))
                    .await?;
            if matches!(written, Written::Done { .. }) {
                return Ok(());
            }
        }
        Err(GateError::Unsettled { commit: evidence.commit.clone() })
    }
}

async fn last_built(records: &impl ReadStore, manifest: &Manifest) -> Result<Option<Stored<LastBuilt>>, GateError> {
    Ok(record::read(records, &last_built_key(manifest)).await?)
}

fn is_of_integration_tests(report: &SuiteReport<'_>) -> bool {
    Suite::of(report.suite) == Some(Suite::Integration) && matches!(report.recounted, Recounted::Tests(_))
}

fn branch(manifest: &Manifest) -> Sha256 {
    Sha256::of(manifest.branch.as_bytes())
}

fn last_built_key(manifest: &Manifest) -> RecordKey {
    RecordKey::LastBuilt(manifest.repo.clone(), branch(manifest))
}

fn predecessor_key(manifest: &Manifest) -> RecordKey {
    let commit = Commit { repo: manifest.repo.clone(), sha: manifest.commit_sha.clone() };
    RecordKey::Predecessor(commit, branch(manifest))
}

/// The recount of a report of an earlier commit, and its format.
fn job(commit: &Commit, report: &BaselineReport) -> Option<(Job, Format)> {
    let format = Format::of(&report.format)?;
    let path = ArtefactPath::Report(report.file.clone());
    let job = Job {
        key: path.of(commit),
        path,
        version_id: report.version_id.clone(),
        sha256: report.sha256,
        is_proved: true,
        size: report.size,
        validators: vec![Validator::Report(format)],
    };
    Some((job, format))
}
