//! `gatekeeper run`: a step of a pipeline, and what became of it in the build's own document.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::Context as _;
use gatekeeper_model::{
    ids::{CommitSha, StageName},
    telemetry::wall_clock,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    build_folder::{
        self,
        step::{Outcome, Step, TypeErrors},
    },
    child,
    exit::{Answer, Misuse},
    github::{self, GitHub},
    output::Output,
    pulumi, whole_file,
};

/// What a shell answers for a command that isn't there, and for one that can't be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Where the command says that it did well, and what it should have done is not there.
const NOT_PROVED: u8 = 1;

/// How much of the command's output is in memory at a time.
const PIECE_BYTES: usize = 64 * 1024;

const NOTES: &str = "\
The command's input and output are its own, and it gets SIGTERM and SIGHUP. What became of it is written into
DIR/build-manifest.json, which is made where there is none; everything else in it is kept:
  typecheck             tests.typecheck: exit code, and how many lines of the output hold `error TS`
  unit, policy          tests.unit, tests.policy: exit code
  deploy                deploy: the stage, and whether it succeeded
  integration           tests.integration: exit code, and whether RUN_INTEGRATION=1 is set
  smoke                 tests.smoke: exit code
  pulumi                deploy, and pulumi: the commit of the program's folder, which must hold no changes, and what Pulumi's own
                        history says of the update; --stage names the stack too
  dcm-plan, dcm-deploy  dcm: whether it succeeded
  dbt-build             dbt_build: whether it succeeded
After a command of `pulumi` that ended with 0 the newest entry of the stack's history must be an update that succeeded, of
this very commit, from a folder without changes, and not older than the step. Otherwise the step has failed, with every
reason, and ends with 1: a command that updated another stack, or none, deployed nothing.

How many tests passed is told by their reports: `gatekeeper publish` counts them.

On GitHub Actions a step that fails gets an annotation. With --output json the command's standard output goes to
standard error.

Exit codes:
  that of the command, or 1 where it ended with 0 and Pulumi's history does not show its update; 128 and the signal's number where a signal ended it
  127 or 126 where it is not found, or can't be run
  2  wrong use, a DIR/build-manifest.json that is no JSON object, or uncommitted changes; nothing has run then

Examples:
  gatekeeper run typecheck --dir build/commit -- pnpm typecheck
  gatekeeper run unit --dir build/commit -- pnpm test:unit
  gatekeeper run deploy --dir build/commit --stage dev -- sst deploy --stage dev
  gatekeeper run pulumi --dir build/commit -- pulumi up --stack dev --yes";

/// Runs a step of a pipeline, and writes what became of it into the build's build-manifest.json
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The step
    #[arg(value_name = "STEP", value_enum, hide_possible_values = true)]
    step: Step,
    /// The folder of the build
    #[arg(long = "dir", value_name = "DIR")]
    folder: PathBuf,
    /// The stage that is deployed to, for `deploy` and `pulumi`
    #[arg(long, value_name = "STAGE", default_value = "dev")]
    stage: StageName,
    /// The folder of the Pulumi program, for `pulumi`; the working folder where it isn't given
    #[arg(long, value_name = "DIR")]
    program: Option<PathBuf>,
    /// The command, and what it is called with
    #[arg(value_name = "COMMAND", last = true, required = true)]
    command: Vec<OsString>,
}

/// What became of the step, as JSON.
#[derive(Debug, Serialize)]
struct Report {
    step: &'static str,
    exit_code: u8,
    /// What the build's document says now.
    manifest: Map<String, Value>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let step = args.step;
    let folder = args.program.as_deref().unwrap_or_else(|| Path::new("."));
    let program_sha = if step == Step::Pulumi { Some(commit_of_the_program(folder)?) } else { None };
    let mut outcome = Outcome {
        exit_code: 0,
        type_errors: 0,
        run_integration: run_integration(),
        stage: &args.stage,
        program_sha: program_sha.as_ref(),
        pulumi_update: None,
    };
    let document = Document::of(&args.folder)?;
    document.change(|it| step.withdraw(it, &outcome))?;

    let started_at = wall_clock();
    let ended = start(args, output);
    let mut message = None;
    (outcome.exit_code, outcome.type_errors) = match &ended {
        Ok((status, type_errors)) => (exit_code(*status), *type_errors),
        Err(error) => {
            message = Some(format!("`{}` can't be started: {error}", program(args)));
            (if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN }, 0)
        }
    };
    let mut update = None;
    if let Some(sha) = program_sha.as_ref().filter(|_| outcome.exit_code == 0) {
        let command = Path::new(args.command.first().map_or_else(|| "".as_ref(), OsString::as_os_str));
        let is_pulumi = command.file_stem().is_some_and(|name| name == "pulumi");
        let pulumi = if is_pulumi { command } else { Path::new("pulumi") };
        let asked = pulumi::Asked { pulumi, folder, stack: args.stage.as_str(), sha, started_at };
        match asked.update().await {
            Ok(seen) => update = Some(seen),
            Err(reasons) => {
                outcome.exit_code = NOT_PROVED;
                let reasons = reasons.join("\n  ");
                message = Some(format!(
                    "`{}` ended with 0, and that it updated the stack `{}` is not shown by Pulumi's own history\n  {reasons}",
                    program(args),
                    args.stage
                ));
            }
        }
    }
    outcome.pulumi_update = update.as_ref();
    if let Some(message) = &message {
        output.error(&anyhow::anyhow!(message.clone()));
    }
    if outcome.exit_code != 0 && GitHub::from_env().is_some() {
        let ended =
            message.unwrap_or_else(|| format!("`{}` ended with exit code {}", program(args), outcome.exit_code));
        output.progress(&github::error(step.name(), &ended));
    }
    // What the command itself wrote meanwhile is kept too.
    let manifest = document.change(|it| step.record(it, &outcome).map(|()| true));
    match manifest {
        Ok(manifest) if output.is_json() => {
            let report = Report { step: step.name(), exit_code: outcome.exit_code, manifest };
            output.result(&report, "")?;
        }
        Ok(_) => {}
        // The step's own failure is the news.
        Err(error) if outcome.exit_code != 0 => output.error(&error.into()),
        Err(error) => return Err(error.into()),
    }
    Ok(Answer::Ended(outcome.exit_code))
}

fn program(args: &Args) -> String {
    args.command.first().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Runs the command to its end; how it ended, and how many type errors its output told of.
fn start(args: &Args, output: &mut Output) -> io::Result<(ExitStatus, u64)> {
    let Some((program, arguments)) = args.command.split_first() else { return Err(io::ErrorKind::NotFound.into()) };
    let mut command = Command::new(program);
    command.args(arguments);
    if args.step != Step::Typecheck {
        if output.is_json() {
            command.stdout(io::stderr());
        }
        return child::run(&mut command, |_| Ok(0));
    }
    let mut errors = TypeErrors::default();
    child::run(command.stdout(Stdio::piped()), |child| {
        let Some(mut stdout) = child.stdout.take() else { return Ok(0) };
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = match stdout.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            match piece.get(..read) {
                None | Some([]) => break,
                Some(bytes) => {
                    errors.read(bytes);
                    output.pass_on(bytes);
                }
            }
        }
        Ok(errors.count())
    })
}

#[cfg(unix)]
fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(not(unix))]
fn exit_code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the environment is the fact: an option could claim anything")]
fn run_integration() -> bool {
    std::env::var("RUN_INTEGRATION").is_ok_and(|value| value == "1")
}

/// The commit of the working folder, which must be all that the program is.
fn commit_of_the_program(folder: &Path) -> anyhow::Result<CommitSha> {
    let git = |arguments: &[&str]| {
        let ended = Command::new("git")
            .args(arguments)
            .current_dir(folder)
            .output()
            .context("`git` can't be started: install it")?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(
                Misuse(format!("git does not tell which commit the Pulumi program is of: {}", said.trim())).into()
            );
        }
        anyhow::Ok(String::from_utf8_lossy(&ended.stdout).trim_end().to_owned())
    };
    let changes = git(&["status", "--porcelain"])?;
    if !changes.is_empty() {
        let changes = changes.replace('\n', "\n  ");
        return Err(Misuse(format!(
            "the Pulumi program is not the commit's, because of uncommitted changes\n  {changes}\ncommit them, or \
             let `.gitignore` name what is built"
        ))
        .into());
    }
    let sha = git(&["rev-parse", "HEAD"])?;
    sha.parse().with_context(|| format!("git names the commit by `{sha}`, which is no commit id"))
}

/// The build's own document, which steps that run at once share.
struct Document {
    folder: PathBuf,
    path: PathBuf,
}

impl Document {
    fn of(folder: &Path) -> Result<Self, Misuse> {
        fs::create_dir_all(folder)
            .map_err(|error| Misuse(format!("the folder `{}` can't be made: {error}", folder.display())))?;
        Ok(Self { folder: folder.to_owned(), path: folder.join("build-manifest.json") })
    }

    /// Changes it, and gives what it is then; it is written where `change` says that it is another.
    fn change(
        &self,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<bool, String>,
    ) -> Result<Map<String, Value>, Misuse> {
        let failed = |error: String| Misuse(format!("`{}` can't be used: {error}", self.path.display()));
        // A file of its own would be one too many in the folder.
        let folder = File::open(&self.folder).map_err(|error| failed(error.to_string()))?;
        folder.lock().map_err(|error| failed(error.to_string()))?;
        let mut document = if self.path.exists() { build_folder::read_object(&self.path)? } else { Map::new() };
        if change(&mut document).map_err(failed)? {
            let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| failed(error.to_string()))?;
            bytes.push(b'\n');
            whole_file::write(&self.path, &bytes)?;
        }
        Ok(document)
    }
}
