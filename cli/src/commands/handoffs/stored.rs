//! A commit's handoff documents in the records bucket.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, anyhow};
use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter, MAX_BYTES},
    ids::{Commit, ModuleId, StageName, VersionId},
    manifest,
    manifest::Manifest,
    store_key::{ArtefactPath, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_store::{ReadStore as _, record};
use tokio::time::Instant;

use crate::{
    aws::{self, Aws},
    exit::Misuse,
};

/// How long to wait between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A handoff document of the records bucket, by its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handoff {
    key: String,
    /// The file's name.
    pub(super) name: String,
    module: ModuleId,
    status: BuildStatus,
}

impl Handoff {
    fn of(commit: &Commit, key: &str) -> Option<Self> {
        let (module, status) = match RecordKey::handoff_of(commit, key)? {
            RecordKey::BuiltHandoff(_, module) => (module, BuildStatus::Built),
            RecordKey::DeployedHandoff(_, module) => (module, BuildStatus::Deployed),
            RecordKey::RevokedHandoff(_, module) => (module, BuildStatus::Revoked),
            RecordKey::RolledBackHandoff(_, module) => (module, BuildStatus::RolledBack),
            _ => return None,
        };
        let name = key.strip_prefix(&RecordKey::handoffs_prefix(commit))?.to_owned();
        Some(Self { key: key.to_owned(), name, module, status })
    }

    /// The front matter of its text, which must be about what its name says.
    fn check(&self, commit: &Commit, bytes: &[u8]) -> anyhow::Result<FrontMatter> {
        let key = &self.key;
        let text = std::str::from_utf8(bytes).with_context(|| format!("`{key}` is not a handoff document"))?;
        let front_matter = FrontMatter::of(text).with_context(|| format!("`{key}`"))?;
        let FrontMatter { module_id, build_status, .. } = &front_matter;
        let about = front_matter.commit();
        if about != *commit || *module_id != self.module || *build_status != self.status {
            let status = build_status.as_str();
            return Err(anyhow!(
                "`{key}` is about something else: it says that `{module_id}` of `{about}` is {status}"
            ));
        }
        Ok(front_matter)
    }
}

/// Reads a document and checks it.
pub(super) async fn read(
    records: &S3Store,
    commit: &Commit,
    handoff: &Handoff,
) -> anyhow::Result<(Vec<u8>, FrontMatter)> {
    let body = records.get(&handoff.key, None, MAX_BYTES).await?;
    let bytes = body.with_context(|| format!("`{}` is gone from the records bucket", handoff.key))?.bytes;
    let front_matter = handoff.check(commit, &bytes)?;
    Ok((bytes, front_matter))
}

/// The documents that there are.
pub(super) async fn list(records: &S3Store, commit: &Commit) -> anyhow::Result<Vec<Handoff>> {
    let keys = aws::keys(records, &RecordKey::handoffs_prefix(commit)).await?;
    let handoffs = keys.iter().map(|key| {
        Handoff::of(commit, key).ok_or_else(|| anyhow!("`{key}` does not have the name of a handoff document"))
    });
    handoffs.collect()
}

/// Which documents are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Their kind.
    pub(super) status: BuildStatus,
    /// The stage that they must be about; `None` where any does.
    pub(super) stage: Option<&'a StageName>,
}

impl Wanted<'_> {
    /// Whether there can be such documents by a verdict; `None` where there will be none.
    fn by(self, outcome: Outcome) -> Option<bool> {
        match (outcome, self.status) {
            (Outcome::Built, status) => Some(status != BuildStatus::Revoked),
            (Outcome::Revoked, status) => {
                (status == BuildStatus::Revoked || status == BuildStatus::RolledBack).then_some(true)
            }
            (Outcome::Rejected, _) => None,
            _ => Some(false),
        }
    }
}

/// Whether a document concerns a stage: a revocation does every one.
pub(super) fn concerns(front_matter: &FrontMatter, stage: &StageName) -> bool {
    front_matter.stage == *stage || front_matter.build_status == BuildStatus::Revoked
}

/// The documents, once every module of the manifest that was judged has one of this kind; `None` where the gate says
/// no.
pub(super) async fn awaited(
    aws: &Aws<'_>,
    records: &S3Store,
    commit: &Commit,
    wanted: Wanted<'_>,
    seconds: u64,
) -> anyhow::Result<Option<Vec<Handoff>>> {
    let end = Instant::now().checked_add(Duration::from_secs(seconds));
    let end = end.ok_or_else(|| Misuse(format!("`--wait={seconds}` is longer than can be waited")))?;
    let mut judged: Option<(VersionId, BTreeSet<ModuleId>)> = None;
    loop {
        let why = match record::read::<Verdict>(records, &RecordKey::Verdict(commit.clone())).await? {
            None => format!("the gate has not judged `{commit}`"),
            Some(stored) => match (wanted.by(stored.record.outcome), stored.record.manifest_version_id) {
                (Some(true), Some(version)) => {
                    if judged.as_ref().is_none_or(|(of, _)| *of != version) {
                        judged = Some((version.clone(), modules(aws, commit, &version).await?));
                    }
                    let handoffs = list(records, commit).await?;
                    let modules = judged.iter().flat_map(|(_, modules)| modules);
                    let about = about(records, commit, &handoffs, wanted).await?;
                    let missing = missing(modules, &about, wanted.status);
                    if missing.is_empty() {
                        return Ok(Some(handoffs));
                    }
                    format!("there is no such handoff of {}", missing.join(", "))
                }
                (None, _) => return Ok(None),
                _ => format!("the gate's verdict on `{commit}` is `{}`", stored.record.outcome),
            },
        };
        if Instant::now() >= end {
            return Err(anyhow!("after {seconds} s {why}: wait longer, or see what `gatekeeper check` says"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Those of the documents that are of the kind and about the stage that is waited for.
async fn about(
    records: &S3Store,
    commit: &Commit,
    handoffs: &[Handoff],
    wanted: Wanted<'_>,
) -> anyhow::Result<Vec<Handoff>> {
    let mut about = Vec::new();
    for handoff in handoffs.iter().filter(|it| it.status == wanted.status) {
        let is_of_it = match wanted.stage {
            None => true,
            Some(stage) => concerns(&read(records, commit, handoff).await?.1, stage),
        };
        about.extend(is_of_it.then(|| handoff.clone()));
    }
    Ok(about)
}

/// The modules of one version of a commit's manifest.
async fn modules(aws: &Aws<'_>, commit: &Commit, version: &VersionId) -> anyhow::Result<BTreeSet<ModuleId>> {
    let key = ArtefactPath::Manifest.of(commit);
    let body = aws.artefacts().await?.get(&key, Some(version), manifest::MAX_BYTES).await?;
    let body = body.with_context(|| format!("version `{version}` of `{key}` is gone from the artefact bucket"))?;
    let manifest = Manifest::parse(&body.bytes, commit).map_err(|findings| {
        let messages: Vec<_> = findings.into_iter().map(|finding| finding.message).collect();
        anyhow!("version `{version}` of `{key}`: {}", messages.join("; "))
    })?;
    Ok(manifest.modules.into_iter().map(|module| module.id).collect())
}

fn missing<'a>(modules: impl Iterator<Item = &'a ModuleId>, handoffs: &[Handoff], status: BuildStatus) -> Vec<String> {
    let there = |module: &ModuleId| handoffs.iter().any(|it| it.module == *module && it.status == status);
    modules.filter(|module| !there(module)).map(|module| format!("`{module}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

    fn commit() -> Commit {
        Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
    }

    fn handoff(module: &str, status: &str) -> Handoff {
        Handoff::of(
            &commit(),
            &format!("{}{module}-ci-{status}-{SHA}.handoff.md", RecordKey::handoffs_prefix(&commit())),
        )
        .unwrap()
    }

    fn document(module: &str, repo: &str, sha: &str, status: &str) -> String {
        format!(
            "---\nmodule_id: {module}\nrepo: {repo}\ncommit_sha: \"{sha}\"\nbuild_status: {status}\nstage: dev\n\
             timestamp: \"2026-05-02T03:10:00Z\"\nevidence: {repo}/{sha}/verdict.json\n---\n"
        )
    }

    #[test]
    fn a_document_must_be_about_what_its_name_says() {
        let check = |text: &str| handoff("MOD-012", "built").check(&commit(), text.as_bytes());
        assert!(check(&document("MOD-012", "bank-payments", SHA, "Built")).is_ok());
        for other in [
            document("MOD-013", "bank-payments", SHA, "Built"),
            document("MOD-012", "bank-kyc", SHA, "Built"),
            document("MOD-012", "bank-payments", &"0".repeat(40), "Built"),
            document("MOD-012", "bank-payments", SHA, "Deployed"),
        ] {
            let error = check(&other).unwrap_err().to_string();
            assert!(error.contains("is about something else"), "{error}");
        }
        assert!(check("# Notes\n").is_err());
        assert!(handoff("MOD-012", "built").check(&commit(), b"\xff").is_err());
    }

    #[test]
    fn what_a_verdict_lets_there_be_is_waited_for() {
        let by = |status, outcome| Wanted { status, stage: None }.by(outcome);
        for (status, built, revoked) in [
            (BuildStatus::Built, Some(true), None),
            (BuildStatus::Deployed, Some(true), None),
            (BuildStatus::Revoked, Some(false), Some(true)),
            (BuildStatus::RolledBack, Some(true), Some(true)),
        ] {
            assert_eq!((by(status, Outcome::Built), by(status, Outcome::Revoked)), (built, revoked), "{status:?}");
            assert_eq!((by(status, Outcome::Rejected), by(status, Outcome::Incomplete)), (None, Some(false)));
        }
    }

    #[test]
    fn a_revocation_concerns_every_stage() {
        let uat = "uat".parse().unwrap();
        let read = |status: &str| FrontMatter::of(&document("MOD-012", "bank-payments", SHA, status)).unwrap();
        assert!(concerns(&read("Revoked"), &uat));
        assert!(!concerns(&read("Deployed"), &uat), "it is dev's");
    }

    #[test]
    fn every_module_needs_one_of_the_expected_kind() {
        let modules = ["MOD-012", "MOD-013"].map(|module| module.parse().unwrap());
        let there = [handoff("MOD-012", "built"), handoff("MOD-013", "built"), handoff("MOD-013", "deployed")];
        assert_eq!(missing(modules.iter(), &there, BuildStatus::Built), [""; 0]);
        assert_eq!(missing(modules.iter(), &there, BuildStatus::Deployed), ["`MOD-012`"]);
        assert_eq!(missing(modules.iter(), &[], BuildStatus::Built), ["`MOD-012`", "`MOD-013`"]);
    }
}
