//! `gatekeeper handoffs pull`: a commit's handoff documents, from the records bucket into a folder.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper::{
    handoff::{BuildStatus, FrontMatter, MAX_BYTES},
    ids::{Commit, CommitSha, ModuleId, Repo, StageName},
    manifest::{self, Manifest},
    store::{Store as _, record, s3::S3Store},
    store_key::{ArtefactPath, RecordKey},
    verdict::{Outcome, Verdict},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    aws::{self, Aws, AwsArgs},
    exit::{Answer, Misuse},
    github::{self, GitHub},
    output::{Output, faint, good, open},
    reason::count,
    whole_file,
};

/// How long to wait between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Documents that are read at once.
const READS_IN_FLIGHT: usize = 16;

const NOTES: &str = "\
Each document is checked before any is written: its name, and its front matter, which must be about this commit
(`gatekeeper schema handoff` prints the JSON Schema). What is there already with the same bytes is left alone; nothing
else in the folder is touched.

With --wait it waits until the gate has judged the commit Built, and every module of its manifest has the expected
document.

Exit codes:
  0  there are documents of the expected kind, and the folder holds them now
  1  the gatekeeper has written none of the expected kind
  2  wrong use, or a folder that can't be written to
  3  AWS could not be reached, or refused, or the documents did not come in time, or one is not about this commit

Examples:
  gatekeeper handoffs pull --wait --expect built                  on GitHub Actions, after `gatekeeper publish --wait`
  gatekeeper handoffs pull --wait=600 --expect deployed --into docs/handoffs
  gatekeeper handoffs pull --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --output json";

/// Copies a commit's handoff documents into a folder, for the workflow to commit
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// The repository; on GitHub Actions that of the run
    #[arg(long, value_name = "REPO")]
    repo: Option<Repo>,
    /// The commit, in full; on GitHub Actions that of the run
    #[arg(long, value_name = "SHA")]
    sha: Option<CommitSha>,
    /// The folder that they are copied into; made where it is missing
    #[arg(long, value_name = "DIR", default_value = "docs/handoffs")]
    into: PathBuf,
    /// Waits for the documents, at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300")]
    wait: Option<u64>,
    /// The kind that there must be
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Built)]
    expect: Kind,
    #[command(flatten)]
    aws: AwsArgs,
}

/// A kind of handoff document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// `{module}-ci-built-{sha}.handoff.md`
    Built,
    /// `{module}-ci-deployed-{sha}.handoff.md`
    Deployed,
}

impl Kind {
    fn status(self) -> BuildStatus {
        match self {
            Self::Built => BuildStatus::Built,
            Self::Deployed => BuildStatus::Deployed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Built => "Built",
            Self::Deployed => "Deployed",
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    commit: Commit,
    handoffs: Vec<Pulled>,
}

/// A document in the folder.
#[derive(Debug, Serialize)]
struct Pulled {
    file: PathBuf,
    state: State,
    module_id: ModuleId,
    build_status: BuildStatus,
    stage: StageName,
}

/// What it was to the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    New,
    Changed,
    Unchanged,
}

/// A handoff document of the records bucket, by its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Handoff {
    key: String,
    name: String,
    module: ModuleId,
    status: BuildStatus,
}

impl Handoff {
    fn of(commit: &Commit, key: &str) -> Option<Self> {
        let (module, status) = match RecordKey::handoff_of(commit, key)? {
            RecordKey::BuiltHandoff(_, module) => (module, BuildStatus::Built),
            RecordKey::DeployedHandoff(_, module) => (module, BuildStatus::Deployed),
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
            let status = if *build_status == BuildStatus::Built { "Built" } else { "Deployed" };
            return Err(anyhow!(
                "`{key}` is about something else: it says that `{module_id}` of `{about}` is {status}"
            ));
        }
        Ok(front_matter)
    }
}

pub(super) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let commit = github::commit(args.repo.as_ref(), args.sha.as_ref(), GitHub::from_env().as_ref())?;
    let aws = Aws::connect(&args.aws).await?;
    let records = aws.records().await?;
    let handoffs = match args.wait {
        Some(seconds) => {
            output.progress(&format!("waiting for the {} handoffs of `{commit}`", args.expect.word()));
            awaited(&aws, &records, &commit, args.expect.status(), seconds).await?
        }
        None => list(&records, &commit).await?,
    };
    let read = stream::iter(&handoffs).map(|handoff| read(&records, &commit, handoff)).buffered(READS_IN_FLIGHT);
    let documents: Vec<_> = read.try_collect().await?;

    let mut report = Report { commit: commit.clone(), handoffs: Vec::new() };
    for (handoff, (bytes, front_matter)) in handoffs.iter().zip(documents) {
        let file = args.into.join(&handoff.name);
        let state = write(&args.into, &file, &bytes)?;
        let FrontMatter { module_id, build_status, stage, .. } = front_matter;
        report.handoffs.push(Pulled { file, state, module_id, build_status, stage });
    }
    let found = report.handoffs.iter().any(|it| it.build_status == args.expect.status());
    if !found {
        let kind = args.expect.word();
        output.warning(&format!(
            "the gatekeeper has written no {kind} handoff of `{commit}`: `gatekeeper check` tells why, or pass `--wait`"
        ));
    }
    output.result(&report, &text(&report))?;
    Ok(Answer::yes_if(found))
}

/// Reads a document and checks it.
async fn read(records: &S3Store, commit: &Commit, handoff: &Handoff) -> anyhow::Result<(Vec<u8>, FrontMatter)> {
    let body = records.get(&handoff.key, None, MAX_BYTES).await?;
    let bytes = body.with_context(|| format!("`{}` is gone", handoff.key))?.bytes;
    let front_matter = handoff.check(commit, &bytes)?;
    Ok((bytes, front_matter))
}

/// The documents that there are.
async fn list(records: &S3Store, commit: &Commit) -> anyhow::Result<Vec<Handoff>> {
    let keys = aws::keys(records, &RecordKey::handoffs_prefix(commit)).await?;
    let handoffs = keys.iter().map(|key| {
        Handoff::of(commit, key).ok_or_else(|| anyhow!("`{key}` of the records bucket is not called as a handoff is"))
    });
    handoffs.collect()
}

/// The documents, once every module of the manifest that was judged has one of this kind.
async fn awaited(
    aws: &Aws<'_>,
    records: &S3Store,
    commit: &Commit,
    status: BuildStatus,
    seconds: u64,
) -> anyhow::Result<Vec<Handoff>> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut judged: Option<(String, BTreeSet<ModuleId>)> = None;
    loop {
        let why = match record::read::<Verdict>(records, &RecordKey::Verdict(commit.clone())).await? {
            None => format!("the gate has not judged `{commit}`"),
            Some(stored) => match (stored.record.outcome, stored.record.manifest_version_id) {
                (Outcome::Built, Some(version)) => {
                    if judged.as_ref().is_none_or(|(of, _)| *of != version) {
                        judged = Some((version.clone(), modules(aws, commit, &version).await?));
                    }
                    let handoffs = list(records, commit).await?;
                    let modules = judged.iter().flat_map(|(_, modules)| modules);
                    let missing = missing(modules, &handoffs, status);
                    if missing.is_empty() {
                        return Ok(handoffs);
                    }
                    format!("there is no such handoff of {}", missing.join(", "))
                }
                (outcome, _) => format!("the gate's verdict on `{commit}` is `{outcome}`"),
            },
        };
        if Instant::now() >= end {
            return Err(anyhow!("after {seconds} s {why}: wait longer, or see what `gatekeeper check` says"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The modules of one version of a commit's manifest.
async fn modules(aws: &Aws<'_>, commit: &Commit, version: &str) -> anyhow::Result<BTreeSet<ModuleId>> {
    let key = ArtefactPath::Manifest.of(commit);
    let body = aws.artefacts().await?.get(&key, Some(version), manifest::MAX_BYTES).await?;
    let body = body.with_context(|| format!("version `{version}` of `{key}` is gone"))?;
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

/// Writes a document where it says something new.
fn write(folder: &Path, file: &Path, bytes: &[u8]) -> Result<State, Misuse> {
    let failed = |path: &Path, error: &io::Error| Misuse(format!("`{}` can't be written: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    // What a link leads to may lie anywhere.
    let state = match fs::symlink_metadata(file) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(Misuse(format!("`{}` is not a file of its own: remove it", file.display())));
        }
        Ok(_) if fs::read(file).map_err(|error| failed(file, &error))? == bytes => return Ok(State::Unchanged),
        Ok(_) => State::Changed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => State::New,
        Err(error) => return Err(failed(file, &error)),
    };
    whole_file::write(file, bytes)?;
    Ok(state)
}

fn text(report: &Report) -> String {
    let line = |it: &Pulled| {
        let state = match it.state {
            State::New => good("new      "),
            State::Changed => open("changed  "),
            State::Unchanged => faint("unchanged"),
        };
        format!("{state}  {}\n", it.file.display())
    };
    let lines: String = report.handoffs.iter().map(line).collect();
    format!("{lines}{} of {}", count(report.handoffs.len(), "handoff"), report.commit)
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
    fn every_module_needs_one_of_the_expected_kind() {
        let modules = ["MOD-012", "MOD-013"].map(|module| module.parse().unwrap());
        let there = [handoff("MOD-012", "built"), handoff("MOD-013", "built"), handoff("MOD-013", "deployed")];
        assert_eq!(missing(modules.iter(), &there, BuildStatus::Built), [""; 0]);
        assert_eq!(missing(modules.iter(), &there, BuildStatus::Deployed), ["`MOD-012`"]);
        assert_eq!(missing(modules.iter(), &[], BuildStatus::Built), ["`MOD-012`", "`MOD-013`"]);
    }

    #[test]
    fn a_folder_is_given_what_is_new_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("docs/handoffs");
        let file = folder.join("a.handoff.md");
        let written = |bytes| write(&folder, &file, bytes).unwrap();
        assert_eq!([written(b"one"), written(b"one"), written(b"two")], [State::New, State::Unchanged, State::Changed]);
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, b"one").unwrap();
        let file = root.path().join("a.handoff.md");
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(write(root.path(), &file, b"two").unwrap_err().to_string().contains("is not a file of its own"));
        assert_eq!(fs::read(&elsewhere).unwrap(), b"one");
    }
}
