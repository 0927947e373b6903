//! The branch's last Built commit: integration tests that it passed must not vanish in silence (ADR-053
//! "`RUN_INTEGRATION` requirement": a test that doesn't run proves nothing).

use std::{collections::BTreeMap, io::BufReader};

use serde_json::json;

use super::{
    Gate, GateError, MAX_ROUNDS,
    inspect::{Job, Validator},
};
use crate::{
    gate::{Comparison, Earlier, Evidence, StoredManifest, reports},
    ids::{Commit, Sha256},
    manifest::Manifest,
    report::{
        self, Format, PassedTests, Recounted,
        suite::{self, Suite},
    },
    store::{
        Store, Written,
        record::{self, Stored},
    },
    store_key::{ArtefactPath, RecordKey},
    verdict::{self, Baseline, BaselineReport, LastBuilt, Outcome, Verdict},
};

impl<S: Store, R: Store> Gate<'_, S, R> {
    /// The Built commit before this one on its branch, and which of its integration tests are gone.
    pub(super) async fn earlier(
        &self,
        standing: Option<&Verdict>,
        evidence: &Evidence,
    ) -> Result<Option<Earlier>, GateError> {
        let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return Ok(None) };
        if manifest.tests.integration.is_none() {
            return Ok(None);
        }
        let Some(baseline) = self.baseline(standing, manifest).await? else { return Ok(None) };
        let commit = Commit { repo: manifest.repo.clone(), sha: baseline.commit_sha.clone() };
        let jobs: Vec<_> = baseline.reports.iter().filter_map(|report| job(&commit, report)).collect();

        let mut before = Some(PassedTests::default());
        for (job, _) in &jobs {
            let inspection = match self.remembered(job).await? {
                Some(inspection) => inspection,
                None if self.artefacts.head(&job.key, Some(&job.version_id)).await?.is_some() => {
                    self.read_and_remember(job).await?
                }
                None => {
                    let fields = json!({"key": job.key, "version_id": job.version_id});
                    self.log.warn("report of the last Built commit is gone: its tests can't be compared", fields);
                    return Ok(None);
                }
            };
            if let Some(Recounted::Tests(recount)) = inspection.report {
                before = before.zip(recount.passed).map(|(all, of_one)| all.union(&of_one));
            }
        }
        let of_suite = || reports::of_suites(manifest, &evidence.reports);
        let has_report = of_suite()
            .any(|it| Suite::of(it.suite) == Some(Suite::Integration) && matches!(it.recounted, Recounted::Tests(_)));
        let comparison = match (before, suite::passed(Suite::Integration, of_suite())) {
            _ if jobs.is_empty() => Comparison::Vanished(BTreeMap::new()),
            _ if !has_report => Comparison::NoReport,
            (Some(before), Some(now)) => {
                let vanished = now.vanished_since(&before);
                let mut names: BTreeMap<_, _> = vanished.iter().map(|id| (*id, format!("test {id}"))).collect();
                if !vanished.is_empty() {
                    for (job, format) in &jobs {
                        let (spool, format, wanted) = (self.spool(job).await?, *format, vanished.clone());
                        let read = move || report::names(format, BufReader::new(spool), &wanted);
                        let found = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)??;
                        names.extend(found.unwrap_or_default());
                    }
                }
                Comparison::Vanished(names)
            }
            _ => Comparison::TooMany,
        };
        Ok(Some(Earlier { baseline, comparison }))
    }

    /// What a commit is compared with never changes, so that an old commit isn't held against the tests of later ones.
    async fn baseline(&self, standing: Option<&Verdict>, manifest: &Manifest) -> Result<Option<Baseline>, GateError> {
        if let Some(standing) = standing
            && (standing.compared_with.is_some() || matches!(standing.outcome, Outcome::Built | Outcome::Revoked))
        {
            return Ok(standing.compared_with.clone());
        }
        let last = self.last_built(manifest).await?.map(|stored| stored.record);
        Ok(last.filter(|last| last.first_commit_sha != manifest.commit_sha).map(|last| last.baseline))
    }

    async fn last_built(&self, manifest: &Manifest) -> Result<Option<Stored<LastBuilt>>, GateError> {
        Ok(record::read(self.records, &key(manifest)).await?)
    }

    /// Writes down that the commit is its branch's last Built one, unless a later one is.
    pub(super) async fn remember_built(&self, verdict: &Verdict, evidence: &Evidence) -> Result<(), GateError> {
        let StoredManifest::Read { manifest, version_id } = &evidence.manifest else { return Ok(()) };
        let reports = reports::of_suites(manifest, &evidence.reports).filter(|report| {
            Suite::of(report.suite) == Some(Suite::Integration) && matches!(report.recounted, Recounted::Tests(_))
        });
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
        let mut last = LastBuilt {
            schema_version: verdict::SCHEMA_VERSION,
            repo: manifest.repo.clone(),
            branch: manifest.branch.clone(),
            first_commit_sha: manifest.commit_sha.clone(),
            baseline: Baseline {
                commit_sha: manifest.commit_sha.clone(),
                manifest_version_id: version_id.clone(),
                reports: reports.collect(),
            },
            evaluated_at: verdict.evaluated_at,
        };
        for _ in 0..MAX_ROUNDS {
            let seen = self.last_built(manifest).await?;
            if let Some(seen) = &seen {
                last.first_commit_sha = seen.record.first_commit_sha.clone();
            }
            if seen.as_ref().is_some_and(|it| it.record == last || it.record.evaluated_at > last.evaluated_at) {
                return Ok(());
            }
            let written =
                record::write(self.records, &key(manifest), &last, &Stored::precondition(seen.as_ref())).await?;
            if matches!(written, Written::Done { .. }) {
                return Ok(());
            }
        }
        Err(GateError::Unsettled { commit: evidence.commit.clone() })
    }
}

fn key(manifest: &Manifest) -> RecordKey {
    RecordKey::LastBuilt(manifest.repo.clone(), Sha256::of(manifest.branch.as_bytes()))
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
        size: report.size,
        validator: Validator::Report(format),
    };
    Some((job, format))
}
