//! `gatekeeper publish`: a build folder becomes a commit of the artefact store (ADR-053, CI step 6).

mod report;
mod told;

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::{
    ids::{ChangeUrl, Commit, CommitSha, VersionId},
    store_key::{ArtefactPath, RecordKey},
    telemetry,
    verdict::{Outcome, Verdict},
};
use gatekeeper_store::{memory::Memory, record};

use self::{
    report::{Report, Status, reasons, show, summarise, text},
    told::{Told, authors, manifest},
};
use super::check::{Expectation, judge, set_policy, take_policy};
use crate::{
    authors::last_built,
    aws::{Aws, AwsArgs},
    build_folder::{self, BuildFile},
    exit::{Answer, Misuse},
    folder::Folder,
    github::{self, GitHub},
    output::Output,
    provenance,
    reason::{self, count},
    repo::{self, Named},
    upload::{MAX_SINGLE_BYTES, Uploader, says_the_same},
};

/// How long to wait between two looks at the verdict.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a log is told of an upload that goes on.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The least that S3 takes as a part.
const MIN_MULTIPART_BYTES: u64 = 5 * 1024 * 1024;

const NOTES: &str = "\
DIR is laid out as a commit's folder in the artefact store:
  build-manifest.json                                       what the build says of itself; optional
  modules/MOD-NNN/functions/NAME.zip
  modules/MOD-NNN/cloudformation/STACK.json
  modules/MOD-NNN/assets/SHA256.EXT
  modules/MOD-NNN/schema/DATABASE-schema.sql
  modules/MOD-NNN/schema/DATABASE/migrations/FILE.sql
  modules/MOD-NNN/dbt/manifest.json
  modules/MOD-NNN/dbt/run_results.json                      of the `dbt build` that wrote the manifest
  reports/NAME
  provenance/NAME.sigstore.json                             who built it; `--provenance` puts it there
Anything else in it is refused before anything is uploaded. Digests, sizes, the order of migrations, and that of stacks
which import exports of each other are told by the files; the figures of tests by their reports (junit, vitest-json,
jest-json; coverage: istanbul-summary, istanbul, lcov), and what build-manifest.json says of them must agree. The function
behind a bundle, where no template names it, and everything else that no file tells, is told by DIR's
build-manifest.json.

The build is judged before it is uploaded: what the gate would reject is not uploaded, and every reason is told.
What is stored already is skipped, so that an interrupted run is resumed by running it again. The manifest comes last,
and only where it says something new: a new version starts afresh at the gate.

Who wrote what the branch's last Built commit doesn't have, co-authors and what was merged included, is read from the
clone that DIR lies in, or else from that of the working folder. It must have the whole history (fetch-depth: 0). On a
branch of which nothing was Built it is what the default branch hasn't Built, or else the whole history. Their own
approvals don't count, nor that of who started the build. A repository's name is mapped to lower case.

On GitHub Actions the repository, commit, branch, run, attempt and actor are taken from the environment, reasons become
annotations, and a summary is added to the run's page.

Exit codes:
  0  published; with --wait: and the gate says what is expected
  1  the gate rejects it, before or after the upload
  2  wrong use, or a folder that makes no commit
  3  AWS could not be reached, or refused, or the verdict did not come in time

Examples:
  gatekeeper publish build/commit --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --branch main
  gatekeeper publish build/commit --wait --expect registered      on GitHub Actions, before the integration tests
  gatekeeper publish build/commit --wait=600 --flyway build/flyway.json --observed build/observed.json
  gatekeeper publish build/commit --dry-run --output json";

/// Builds the manifest of a build folder, judges it, and uploads what is not stored yet, the manifest last
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The folder of the build
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The repository, in lower case here; on GitHub Actions that of the run
    #[arg(long, value_name = "REPO")]
    repo: Option<Named>,
    /// The commit, in full; on GitHub Actions that of the run
    #[arg(long, value_name = "SHA")]
    sha: Option<CommitSha>,
    /// The branch; on GitHub Actions that of the run, else what the folder's manifest says
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Who wrote the commit, by e-mail address, where git isn't to be asked
    #[arg(long, value_name = "WHO")]
    author: Option<String>,
    /// Everybody who wrote what is new in it, as `Jane <jane@bank.example>,ben@bank.example`, where git isn't to be asked
    #[arg(long, value_name = "WHO", value_delimiter = ',', env = "GATEKEEPER_AUTHORS", hide_env_values = true)]
    authors: Vec<String>,
    /// What asked for the change, a pull request or a ticket, by its address; can be given many times. The evidence shows it
    #[arg(
        long = "change",
        value_name = "URL",
        value_delimiter = ',',
        env = "GATEKEEPER_CHANGES",
        hide_env_values = true
    )]
    changes: Vec<ChangeUrl>,
    /// What the repository was called by its forge, OWNER/NAME, before it was renamed or moved
    #[arg(long, value_name = "REPOSITORY", env = "GATEKEEPER_MOVED_FROM", hide_env_values = true)]
    moved_from: Option<String>,
    /// The page of the run that built it; on GitHub Actions its own
    #[arg(long, value_name = "URL", requires = "actor", help_heading = "Build")]
    run_url: Option<String>,
    /// Which attempt of the run, from 1
    #[arg(long, value_name = "N", requires = "run_url", default_value_t = 1, help_heading = "Build")]
    run_attempt: u32,
    /// Who or what started the run
    #[arg(long, value_name = "WHO", requires = "run_url", help_heading = "Build")]
    actor: Option<String>,
    /// What `gatekeeper flyway validate --write` wrote: becomes the manifest's `flyway`
    #[arg(long, value_name = "FILE", help_heading = "Evidence")]
    flyway: Option<PathBuf>,
    /// What `gatekeeper observe --write` wrote: becomes `tests.integration.deployed`
    #[arg(long, value_name = "FILE", help_heading = "Evidence")]
    observed: Option<PathBuf>,
    /// The policy to judge by, a copy of config/policy.json; without it that of the installation, or ADR-053 in a dry run
    #[arg(long, value_name = "FILE", help_heading = "Evidence")]
    policy: Option<PathBuf>,
    /// Writes the manifest and `subjects.sha256`, the list of what is to be attested, into this folder, and uploads nothing
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["wait", "even_if_rejected", "prepared", "provenance"],
        help_heading = "Provenance")]
    prepare: Option<PathBuf>,
    /// Uploads the manifest that `--prepare` wrote into this folder, to the byte: it is the one that was attested
    #[arg(long, value_name = "FOLDER", requires = "provenance", help_heading = "Provenance")]
    prepared: Option<PathBuf>,
    /// Sigstore bundles that say who built it: the `bundle-path` of `actions/attest`, or of `cosign attest-blob --bundle`
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "prepared", help_heading = "Provenance")]
    provenance: Vec<PathBuf>,
    /// Waits for the gate's verdict, at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300")]
    wait: Option<u64>,
    /// The least verdict that is a yes
    #[arg(long, value_name = "OUTCOME", default_value = "built", requires = "wait")]
    expect: Expectation,
    /// Uploads also what the gate will reject, so that the rejection is on record; the exit code stays 1
    #[arg(long)]
    even_if_rejected: bool,
    /// Builds the manifest and judges, uploads nothing and needs no AWS
    #[arg(long, conflicts_with_all = ["wait", "even_if_rejected"])]
    dry_run: bool,
    /// The size from which on a file is uploaded in parts, in bytes; S3 takes 5 GiB in one call, and computes the SHA-256
    /// of the whole only then
    #[arg(long, value_name = "BYTES", default_value_t = MAX_SINGLE_BYTES, hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(MIN_MULTIPART_BYTES..=MAX_SINGLE_BYTES))]
    multipart_above: u64,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let github = GitHub::from_env();
    let result = publish(args, github.as_ref(), output).await;
    if let (Some(github), Err(error)) = (&github, &result) {
        let text = telemetry::chain(error.as_ref());
        output.progress(&github::error("gatekeeper publish", &text));
        let summary = github::section("gatekeeper publish failed", &text, &[], &[]);
        summarise(github, &summary, output);
    }
    result
}

async fn publish(args: &Args, github: Option<&GitHub>, output: &mut Output) -> anyhow::Result<Answer> {
    let commit = github::commit(args.repo.as_ref(), args.sha.as_ref(), github, output)?;
    let nothing = "nothing was uploaded";
    let files = measure(args, output).await.context(nothing)?;
    let told = Told::of(args, github, &files).context(nothing)?;
    let found = authors(args, github, &commit, &told, output).await.context(nothing)?;
    let nobody = found.warning.clone();
    let manifest = manifest(args, &commit, &files, told.clone(), found, output).context(nothing)?;
    let manifest = as_attested(args, manifest).context(nothing)?;
    let folder = Folder::open(&args.folder, &commit)
        .map_err(|error| Misuse(format!("`{}` is not a folder that can be read: {error}", args.folder.display())))?;
    let records = Memory::default();
    policy(args, &records, output).await.context(nothing)?;
    let foreseen = judge(&folder.with(manifest.clone(), &files), &records, &commit, output).await;
    let foreseen = foreseen.map_err(|error| Misuse(telemetry::chain(error.as_ref()))).context(nothing)?;
    let rejected = foreseen.outcome == Outcome::Rejected;

    let mut report = Report {
        status: Status::Planned,
        commit: commit.clone(),
        uploaded: Vec::new(),
        skipped: Vec::new(),
        bytes: 0,
        manifest_version_id: None,
        verdict: None,
    };
    if let Some(folder) = &args.prepare {
        prepare(folder, &manifest, &files, &commit.prefix(), output).context(nothing)?;
    }
    let answer = if args.dry_run || args.prepare.is_some() || (rejected && !args.even_if_rejected) {
        if rejected {
            report.status = Status::Refused;
        }
        report.verdict = Some(foreseen);
        Answer::yes_if(!rejected)
    } else {
        if rejected {
            output.warning("the gate will reject this commit; it is uploaded because of `--even-if-rejected`");
            output.progress(&reason::reasons(&reasons(&foreseen), Some(&commit)));
        }
        let warnings = reason::warnings(&foreseen);
        if !warnings.is_empty() && args.wait.is_none() {
            output.progress(&warnings);
        }
        let aws = Aws::connect(&args.aws).await?;
        same_source(&aws, args, github, &commit, told.branch(), output).await?;
        if let Some(warning) = nobody {
            output.warning(&warning);
        }
        upload(&aws.artefacts().await?, args, &files, &manifest, &mut report, output).await?;
        match (args.wait, &report.manifest_version_id) {
            (Some(seconds), Some(version)) => {
                output.progress(&format!("waiting for the verdict on manifest version `{version}`"));
                let verdict = verdict(&aws.records().await?, &commit, version, seconds).await?;
                let answer = Answer::yes_if(args.expect.is_met_by(verdict.outcome));
                if answer == Answer::No {
                    output.warning(&unmet(args.expect, verdict.outcome));
                }
                report.verdict = Some(verdict);
                answer
            }
            _ => Answer::yes_if(!rejected),
        }
    };
    if let Some(github) = github {
        show(github, &report, answer, &files, output);
    }
    output.result(&report, &text(&report))?;
    Ok(answer)
}

/// Judges by what the gate judges by: the given policy, else the installation's.
async fn policy(args: &Args, records: &Memory, output: &mut Output) -> anyhow::Result<()> {
    if let Some(path) = &args.policy {
        set_policy(&build_folder::read(path)?, &path.display().to_string(), records)?;
        return Ok(());
    }
    if args.dry_run {
        return Ok(());
    }
    let installed = async {
        let aws = Aws::connect(&args.aws).await?;
        take_policy(&aws.records().await?, records).await
    };
    if let Err(error) = installed.await {
        output.warning(&format!("the gate's policy can't be read, so the build is judged by ADR-053 alone: {error}"));
    }
    Ok(())
}

/// The manifest that was attested, where one was: it must say what the folder says now.
fn as_attested(args: &Args, manifest: Vec<u8>) -> Result<Vec<u8>, Misuse> {
    let Some(folder) = &args.prepared else { return Ok(manifest) };
    let path = provenance::manifest_in(folder);
    let attested = build_folder::read(&path)?;
    if says_the_same(&attested, &manifest) {
        return Ok(attested);
    }
    let path = path.display();
    Err(Misuse(format!("`{path}` does not say what would be published now: run `--prepare` again and attest that")))
}

/// Writes down what is to be attested.
fn prepare(
    folder: &Path,
    manifest: &[u8],
    files: &[BuildFile],
    prefix: &str,
    output: &mut Output,
) -> Result<(), Misuse> {
    let (manifest_path, list) = (provenance::manifest_in(folder), folder.join("subjects.sha256"));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&manifest_path, manifest))
        .and_then(|()| std::fs::write(&list, provenance::subjects(manifest, files, prefix)));
    written.map_err(|error| Misuse(format!("`{}` can't be written: {error}", folder.display())))?;
    output.progress(&format!("what is to be attested is listed in `{}`", list.display()));
    Ok(())
}

async fn measure(args: &Args, output: &Output) -> Result<Vec<BuildFile>, Misuse> {
    let mut found = build_folder::walk(&args.folder)?;
    for (path, file) in provenance::places(&args.provenance)? {
        if found.iter().any(|(there, _)| *there == path) {
            return Err(Misuse(format!("`{}` would be a second `{path}`: give it another name", file.display())));
        }
        found.push((path, file));
    }
    let total = found.iter().filter_map(|(_, file)| Some(file.metadata().ok()?.len())).sum();
    let bar = output.bar("reading  ", total);
    let ticks = bar.clone();
    let files = build_folder::measure(found, move |bytes| ticks.inc(bytes)).await;
    bar.finish_and_clear();
    files
}

/// Holds the repository on GitHub against the one whose commits the store has under this name.
async fn same_source(
    aws: &Aws<'_>,
    args: &Args,
    github: Option<&GitHub>,
    commit: &Commit,
    branch: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let Some(github) = github else { return Ok(()) };
    let Some(ours) = github.build.as_ref().and_then(|build| build.repository.as_deref()) else { return Ok(()) };
    let looked = async {
        let (artefacts, records) = (aws.artefacts().await?, aws.records().await?);
        for branch in [branch, github.default_branch.as_deref()].into_iter().flatten() {
            if let Some(last) = last_built(&records, commit, branch).await? {
                return repo::check_source(&artefacts, &last, ours, args.moved_from.as_deref()).await;
            }
        }
        anyhow::Ok(())
    };
    match looked.await {
        Err(error) if !error.is::<Misuse>() => {
            let why = telemetry::chain(error.as_ref());
            let repo = &commit.repo;
            output
                .warning(&format!("whether another repository is called `{repo}` here could not be looked at: {why}"));
            Ok(())
        }
        answer => answer,
    }
}

/// Uploads what is not there, the manifest last.
async fn upload(
    store: &S3Store,
    args: &Args,
    files: &[BuildFile],
    manifest: &[u8],
    report: &mut Report,
    output: &mut Output,
) -> anyhow::Result<()> {
    let commit = report.commit.clone();
    let uploader = Uploader::start(store, &commit, args.multipart_above).await?;
    for stray in uploader.strays(files) {
        output.warning(&format!(
            "`{stray}` is stored, but not in this build: the gate rejects a commit with more than it lists"
        ));
    }
    let artefacts = files.len() - usize::from(files.iter().any(BuildFile::is_manifest));
    let total = files.iter().filter(|file| !file.is_manifest()).map(|file| file.size).sum();
    output.progress(&format!("uploading to `{}`: {} of {total} bytes", store.bucket(), count(artefacts, "artefact")));
    let bar = output.bar("uploading", total);
    let (uploaded, skipped, bytes) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()), Cell::new(0));
    let (shown, told) = (RefCell::new(output), Cell::new(Instant::now()));
    let done = uploader.artefacts(files, |file, stored| {
        bar.inc(file.size);
        if stored.uploaded {
            uploaded.borrow_mut().push(file.path.clone());
            bytes.set(bytes.get() + file.size);
        } else {
            skipped.borrow_mut().push(file.path.clone());
        }
        let mut output = shown.borrow_mut();
        if !output.is_live() && told.get().elapsed() > TELL_EVERY {
            told.set(Instant::now());
            let there = uploaded.borrow().len() + skipped.borrow().len();
            output.progress(&format!("{there} of {} are there", count(artefacts, "artefact")));
        }
    });
    let done = done.await;
    bar.finish_and_clear();
    let (mut uploaded, mut skipped) = (uploaded.into_inner(), skipped.into_inner());
    done.with_context(|| {
        let there = uploaded.len() + skipped.len();
        format!("{there} of {} are there; run it again to go on", count(artefacts, "artefact"))
    })?;
    uploaded.sort();
    skipped.sort();
    report.uploaded = uploaded.iter().map(ToString::to_string).collect();
    report.skipped = skipped.iter().map(ToString::to_string).collect();
    report.bytes = bytes.get();

    let stored = uploader.manifest(manifest, args.prepared.is_some(), store).await?;
    let list = if stored.uploaded { &mut report.uploaded } else { &mut report.skipped };
    list.push(ArtefactPath::Manifest.to_string());
    if stored.uploaded {
        report.bytes += manifest.len() as u64;
    }
    report.status = if report.uploaded.is_empty() { Status::Unchanged } else { Status::Published };
    report.manifest_version_id = Some(stored.version_id);
    Ok(())
}

/// Waits for the verdict on this manifest version.
async fn verdict(records: &S3Store, commit: &Commit, version: &VersionId, seconds: u64) -> anyhow::Result<Verdict> {
    let key = RecordKey::Verdict(commit.clone());
    let told = async {
        loop {
            if let Some(stored) = record::read::<Verdict>(records, &key).await?
                && stored.record.manifest_version_id.as_ref() == Some(version)
                // Everything is there: the gate looked while it wasn't.
                && stored.record.outcome != Outcome::Incomplete
            {
                return anyhow::Ok(stored.record);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let late = || {
        anyhow!(
            "`{commit}` is published, but after {seconds} s the gate has not judged manifest version `{version}`: wait longer, or look at the intake function's log"
        )
    };
    tokio::time::timeout(Duration::from_secs(seconds), told).await.map_err(|_| late())?
}

/// Why a verdict is no yes, also where it has no reasons.
fn unmet(expect: Expectation, outcome: Outcome) -> String {
    match (expect, outcome) {
        (Expectation::Built, Outcome::Registered) => {
            "expected is `built`, but the integration tests have not run yet: publish again with them, or pass \
             `--expect registered`"
                .to_owned()
        }
        (Expectation::Built, _) => format!("expected is `built`, the verdict is `{outcome}`"),
        (Expectation::Registered, _) => format!("expected is `registered`, the verdict is `{outcome}`"),
    }
}
