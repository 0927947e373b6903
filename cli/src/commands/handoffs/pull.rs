//! `gatekeeper handoffs pull`: a commit's handoff documents, from the records bucket into a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter},
    ids::{Commit, CommitSha, ModuleId, StageName},
};
use serde::Serialize;

use super::stored;
use crate::{
    aws::{Aws, AwsArgs},
    exit::{Answer, Misuse},
    github::{self, GitHub},
    output::{Output, faint, good, open},
    reason::count,
    repo::Named,
    whole_file,
};

/// Documents that are read at once.
const READS_IN_FLIGHT: usize = 16;

const NOTES: &str = "\
Each document is checked before any is written: its name, and its front matter, which must be about this commit
(`gatekeeper schema handoff` prints the JSON Schema). What is there already with the same bytes is left alone; nothing
else in the folder is touched.

With --wait it waits until the gate has judged the commit Built, or taken it back where that is expected, and every
module of its manifest has the expected document; with --stage, of that stage.

Exit codes:
  0  there are documents of the expected kind, and the folder holds them now
  1  the gatekeeper has written none of the expected kind
  2  wrong use, or a folder that can't be written to
  3  AWS could not be reached, or refused, or the documents did not come in time, or one is not about this commit

Examples:
  gatekeeper handoffs pull --wait --expect built                  on GitHub Actions, after `gatekeeper publish --wait`
  gatekeeper handoffs pull --wait=600 --expect deployed --into docs/handoffs
  gatekeeper handoffs pull --stage uat --expect rolled-back --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357
  gatekeeper handoffs pull --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --output json";

/// Copies a commit's handoff documents into a folder, for the workflow to commit
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// The repository; on GitHub Actions that of the run
    #[arg(long, value_name = "REPO")]
    repo: Option<Named>,
    /// The commit, in full; on GitHub Actions that of the run
    #[arg(long, value_name = "SHA")]
    sha: Option<CommitSha>,
    /// The folder that they are copied into; made where it is missing
    #[arg(long, value_name = "DIR", default_value = "docs/handoffs")]
    into: PathBuf,
    /// Waits for the documents, at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300")]
    wait: Option<u64>,
    /// The kind that there must be; without it `built`, and with `--stage` `deployed`
    #[arg(long, value_name = "KIND", value_enum)]
    expect: Option<Kind>,
    /// Only what concerns this stage; that the commit was taken back concerns every stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
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
    /// `{module}-ci-revoked-{sha}.handoff.md`
    Revoked,
    /// `{module}-ci-rolled-back-{sha}.handoff.md`
    RolledBack,
}

impl Kind {
    fn status(self) -> BuildStatus {
        match self {
            Self::Built => BuildStatus::Built,
            Self::Deployed => BuildStatus::Deployed,
            Self::Revoked => BuildStatus::Revoked,
            Self::RolledBack => BuildStatus::RolledBack,
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

pub(super) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let commit = github::commit(args.repo.as_ref(), args.sha.as_ref(), GitHub::from_env().as_ref(), output)?;
    let aws = Aws::connect(&args.aws).await?;
    let records = aws.records().await?;
    let expect = args.expect.unwrap_or(if args.stage.is_some() { Kind::Deployed } else { Kind::Built }).status();
    let wanted = stored::Wanted { status: expect, stage: args.stage.as_ref() };
    let handoffs = match args.wait {
        Some(seconds) => {
            output.progress(&format!("waiting for the {} handoffs of `{commit}`", expect.as_str()));
            let Some(handoffs) = stored::awaited(&aws, &records, &commit, wanted, seconds).await? else {
                output.warning(&format!("the gate says no to `{commit}`: `gatekeeper check` tells why"));
                let report = Report { commit, handoffs: Vec::new() };
                output.result(&report, &text(&report))?;
                return Ok(Answer::No);
            };
            handoffs
        }
        None => stored::list(&records, &commit).await?,
    };
    let read =
        stream::iter(&handoffs).map(|handoff| stored::read(&records, &commit, handoff)).buffered(READS_IN_FLIGHT);
    let documents: Vec<_> = read.try_collect().await?;

    let mut report = Report { commit: commit.clone(), handoffs: Vec::new() };
    for (handoff, (bytes, front_matter)) in handoffs.iter().zip(documents) {
        if args.stage.as_ref().is_some_and(|stage| !stored::concerns(&front_matter, stage)) {
            continue;
        }
        let file = args.into.join(&handoff.name);
        let state = write(&args.into, &file, &bytes)?;
        let FrontMatter { module_id, build_status, stage, .. } = front_matter;
        report.handoffs.push(Pulled { file, state, module_id, build_status, stage });
    }
    let found = report.handoffs.iter().any(|it| it.build_status == expect);
    if !found {
        let (kind, of) = (expect.as_str(), args.stage.as_ref().map(|it| format!(" for `{it}`")).unwrap_or_default());
        output.warning(&format!(
            "the gatekeeper has written no {kind} handoff of `{commit}`{of}: `gatekeeper check` tells why, or pass `--wait`"
        ));
    }
    output.result(&report, &text(&report))?;
    Ok(Answer::yes_if(found))
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
