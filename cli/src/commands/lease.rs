//! The lease of a promotion of which a runner carries out a part: the file that says what to run, and handing in what came of
//! it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use gatekeeper_model::{
    finding::Code,
    ids::{CommitSha, ModuleId, RunName},
    store_key::RunFile,
};
use gatekeeper_promotion::{
    plan::Plan,
    record::PromotionRecord,
    runs::{Complete, CompleteAnswer, CompleteEvent, Completion, OpenLease, PROMOTION_VARIABLE, PlannedRun, RunProof},
    step::PromotionRef,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    aws::{Aws, Part},
    exit::{Answer, Misuse},
    output::{Output, bad, faint, good},
    reason::{self, Reason},
};

/// What Lambda takes of an event that is answered at once (Lambda quotas, "Invocation payload").
const MAX_EVENT: usize = 6 * 1024 * 1024;

/// What a runner needs for its part. It holds a secret: the token.
#[derive(Serialize, Deserialize)]
pub(crate) struct Leased {
    /// 1.
    schema_version: u32,
    promotion: PromotionRef,
    execution_arn: String,
    /// The commit at which the runner works; none before it is known, of a rollback that names none.
    commit_sha: Option<CommitSha>,
    /// What entitles to hand in runs.
    token: String,
    /// Since when the runner may work; none while the steps before are at it.
    opened_at: Option<Timestamp>,
    /// Until when runs are taken.
    expires_at: Option<Timestamp>,
    runs: Vec<LeasedRun>,
}

/// What a runner does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LeasedRun {
    name: RunName,
    /// `pulumi` or `dbt`.
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module: Option<ModuleId>,
    /// What has to be in the command's environment.
    environment: BTreeMap<String, String>,
    /// The command, in the folder of the program or project at the promotion's commit.
    command: Vec<String>,
    /// The documents that it leaves and that are handed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<RunFile>,
}

impl Leased {
    /// The lease of a promotion that has just started.
    pub(crate) fn of(
        promotion: PromotionRef,
        execution_arn: String,
        commit_sha: Option<CommitSha>,
        token: String,
        plan: &Plan,
    ) -> Self {
        let runs = plan.runs.iter().map(|run| LeasedRun::of(run, &promotion)).collect();
        let (opened_at, expires_at) = (None, None);
        Self { schema_version: 1, promotion, execution_arn, commit_sha, token, opened_at, expires_at, runs }
    }

    /// Which promotion it is of, and its execution.
    pub(crate) fn followed(&self) -> (PromotionRef, String) {
        (self.promotion.clone(), self.execution_arn.clone())
    }

    /// That the runner may work.
    pub(crate) fn open(&mut self, record: &PromotionRecord, open: &OpenLease) {
        self.commit_sha = Some(record.commit_sha.clone());
        (self.opened_at, self.expires_at) = (Some(open.opened_at), Some(open.expires_at));
    }

    fn read(path: &Path) -> Result<Self, Misuse> {
        let unusable = |error: &dyn std::fmt::Display| Misuse(format!("`{}` is not a lease: {error}", path.display()));
        let bytes = fs::read(path).map_err(|error| unusable(&error))?;
        let leased: Self = serde_json::from_slice(&bytes).map_err(|error| unusable(&error))?;
        if leased.schema_version != 1 {
            let version = leased.schema_version;
            return Err(Misuse(format!("`{}` is of version {version}, and this command knows 1", path.display())));
        }
        Ok(leased)
    }

    /// Writes it over the one that is there.
    pub(crate) fn write_over(&self, path: &Path) -> anyhow::Result<()> {
        let failed = || format!("`{}` can't be written", path.display());
        let mut file = fs::File::create(path).with_context(failed)?;
        file.write_all(&serde_json::to_vec_pretty(self)?).with_context(failed)?;
        file.sync_all().with_context(failed)
    }
}

impl LeasedRun {
    fn of(run: &PlannedRun, promotion: &PromotionRef) -> Self {
        let id = promotion.promotion_id.as_str();
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        let (kind, environment, command) = match run {
            PlannedRun::Pulumi(it) => {
                ("pulumi", BTreeMap::from([("PULUMI_BACKEND_URL".to_owned(), it.backend.clone())]), {
                    let message = format!("promotion {id}");
                    let mut command = vec!["pulumi", "up", "--yes", "--stack", &it.stack, "--message", &message];
                    if it.is_plan {
                        command.extend(["--plan", "PLAN"]);
                    }
                    words(&command)
                })
            }
            PlannedRun::Dbt(it) => (
                "dbt",
                BTreeMap::from([(format!("DBT_ENV_CUSTOM_ENV_{PROMOTION_VARIABLE}"), id.to_owned())]),
                words(&["dbt", "build", "--target", &it.target]),
            ),
        };
        Self {
            name: run.name(),
            kind: kind.to_owned(),
            module: run.module().cloned(),
            environment,
            command,
            evidence: run.files().to_vec(),
        }
    }
}

/// A file that nobody else has written, for a lease. It is gone again where no lease comes.
pub(crate) struct LeaseFile {
    path: PathBuf,
    is_written: bool,
}

impl LeaseFile {
    /// Makes the file, which only its owner reads.
    ///
    /// # Errors
    /// [`Misuse`] where one is there already, or where none can be made.
    pub(crate) fn reserve(path: &Path) -> Result<Self, Misuse> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(_) => Ok(Self { path: path.to_owned(), is_written: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Misuse(format!(
                "`{}` is there already: name another file for the lease, or remove it",
                path.display()
            ))),
            Err(error) => Err(Misuse(format!("`{}` can't be written: {error}", path.display()))),
        }
    }

    /// Writes the lease into it.
    pub(crate) fn write(mut self, leased: &Leased) -> anyhow::Result<PathBuf> {
        // Half of it is better than none: it may hold the token.
        self.is_written = true;
        leased.write_over(&self.path)?;
        Ok(self.path.clone())
    }
}

impl Drop for LeaseFile {
    fn drop(&mut self) {
        if !self.is_written {
            // Where it can't be removed an empty file stays, which no lease is.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Tells what the runner has to do; the token stands in the file alone.
pub(crate) fn told(leased: &Leased, path: &Path, output: &mut Output) -> anyhow::Result<Answer> {
    let Leased { promotion, commit_sha, opened_at, expires_at, runs, .. } = leased;
    let document = json!({
        "status": if opened_at.is_some() { "leased" } else { "started" }, "promotion": promotion, "commit_sha": commit_sha,
        "lease": path.display().to_string(), "opened_at": opened_at, "expires_at": expires_at, "runs": runs,
    });
    let mut text = match expires_at {
        Some(until) => format!("{}  promotion {}, until {until}\n", good("leased"), promotion.promotion_id),
        None => format!("{}  promotion {}; the lease is not open yet\n", good("started"), promotion.promotion_id),
    };
    for run in runs {
        let environment: Vec<_> = run.environment.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        let _ = writeln!(text, "\n  {}\n    {}{}", run.name, environment.concat(), shell(&run.command));
    }
    let file = path.display();
    let _ = writeln!(text, "\nthen: gatekeeper promote --complete {file}{}", evidence_of(runs));
    text.push_str(&faint(&format!("{file} holds the token by which runs are handed in")));
    output.result(&document, &text)?;
    Ok(Answer::Yes)
}

/// A command as a shell takes it.
fn shell(command: &[String]) -> String {
    let plain = |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:=".contains(c));
    let words = command.iter().map(|word| if plain(word) { word.clone() } else { format!("'{word}'") });
    words.collect::<Vec<_>>().join(" ")
}

/// How evidence is handed in.
fn evidence_of(runs: &[LeasedRun]) -> String {
    let with_files: Vec<_> = runs.iter().filter(|run| !run.evidence.is_empty()).collect();
    match with_files.as_slice() {
        [] => String::new(),
        [_] => " --evidence target".to_owned(),
        several => several.iter().map(|run| format!(" --evidence {}=FOLDER", run.name)).collect::<Vec<_>>().concat(),
    }
}

/// Hands in every run of a lease; `None` where one was refused. Gives which promotion goes on then, and its execution.
pub(crate) async fn complete(
    aws: &Aws<'_>,
    file: &Path,
    evidence: &[String],
    by: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<Option<(PromotionRef, String)>> {
    let leased = Leased::read(file)?;
    let folders = folders(&leased.runs, evidence)?;
    let completed_by = match by {
        Some(by) => by.to_owned(),
        None => aws.caller().await?,
    };
    let function = aws.part(Part::JudgeRunFunction).await?;
    for run in &leased.runs {
        let event = CompleteEvent {
            complete: Complete {
                promotion: leased.promotion.clone(),
                token: leased.token.clone(),
                run: run.name.clone(),
                completed_by: completed_by.clone(),
                evidence: folders.get(&run.name).map_or_else(|| Ok(BTreeMap::new()), |folder| packed(run, folder))?,
            },
        };
        let size = serde_json::to_vec(&event)?.len();
        if size > MAX_EVENT {
            return Err(Misuse(format!(
                "the evidence of `{}` has {size} bytes on its way, and Lambda takes {MAX_EVENT}: nothing was handed in",
                run.name
            ))
            .into());
        }
        let document = aws.invoke(&function, &event, CompleteEvent::ERROR_TYPE).await?;
        let answer: CompleteAnswer = serde_json::from_value(document.clone()).with_context(|| {
            format!(
                "the function `{function}` gave an answer that this version of the command does not know: {document}"
            )
        })?;
        match answer {
            CompleteAnswer::Passed { completion } => output.progress(&came_to(&completion, &good("passed"))),
            CompleteAnswer::Failed { completion } => output.progress(&came_to(&completion, &bad("failed"))),
            // Who hands in again what was taken, because an answer got lost, wants to know how it goes on.
            CompleteAnswer::Refused { reasons } if reasons.iter().all(|it| it.code == Code::RunCompleted) => {
                for reason in &reasons {
                    output.progress(&format!("note: {}: {}", reason.subject, reason.message));
                }
            }
            CompleteAnswer::Refused { reasons } => {
                let reasons: Vec<Reason> = reasons.iter().map(Reason::from).collect();
                let text = format!(
                    "{}  {}, nothing was taken; the lease is as it was\n{}",
                    bad("refused"),
                    run.name,
                    reason::reasons(&reasons, None)
                );
                output.result(&document, &text)?;
                return Ok(None);
            }
        }
    }
    Ok(Some((leased.promotion, leased.execution_arn)))
}

/// What a run came to, with every reason.
fn came_to(completion: &Completion, word: &str) -> String {
    let mut text = format!("{word}  {}", completion.run);
    if let RunProof::Dbt(proof) = &completion.proof {
        let nodes: Vec<_> = proof.nodes.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let _ = write!(text, ": {}", nodes.join(", "));
    }
    for finding in completion.reasons.iter().chain(&completion.warnings) {
        let _ = write!(text, "\n  {}: {}", finding.code, finding.message);
    }
    text
}

/// The folder of each run that has documents.
fn folders(runs: &[LeasedRun], given: &[String]) -> Result<BTreeMap<RunName, PathBuf>, Misuse> {
    let with_files: Vec<_> = runs.iter().filter(|run| !run.evidence.is_empty()).map(|run| &run.name).collect();
    let mut folders = BTreeMap::new();
    for text in given {
        let (name, folder) = match (text.split_once('='), with_files.as_slice()) {
            (Some((name, folder)), _) if with_files.iter().any(|it| it.as_str() == name) => (name.parse().ok(), folder),
            (_, [only]) => (Some((*only).clone()), text.as_str()),
            _ => (None, text.as_str()),
        };
        let Some(name) = name else {
            let names: Vec<_> = with_files.iter().map(|it| format!("`--evidence {it}=FOLDER`")).collect();
            let remedy = if names.is_empty() {
                "leave it out, for no run of it leaves documents".to_owned()
            } else {
                names.join(", ")
            };
            return Err(Misuse(format!("`--evidence {text}` names no run of the lease: {remedy}")));
        };
        if folders.insert(name.clone(), PathBuf::from(folder)).is_some() {
            return Err(Misuse(format!("`--evidence` names `{name}` twice")));
        }
    }
    match with_files.iter().find(|name| !folders.contains_key(**name)) {
        Some(missing) => Err(Misuse(format!(
            "`{missing}` is handed in with what dbt left: pass its folder by `--evidence {}FOLDER`",
            if with_files.len() > 1 { format!("{missing}=") } else { String::new() }
        ))),
        None => Ok(folders),
    }
}

/// The documents of a run, packed for the way.
fn packed(run: &LeasedRun, folder: &Path) -> anyhow::Result<BTreeMap<RunFile, String>> {
    let mut evidence = BTreeMap::new();
    for file in &run.evidence {
        let path = folder.join(file.as_str());
        let bytes = fs::read(&path)
            .map_err(|error| Misuse(format!("`{}` of `{}` can't be read: {error}", path.display(), run.name)))?;
        let mut zip = GzEncoder::new(Vec::new(), Compression::best());
        zip.write_all(&bytes)?;
        evidence.insert(*file, STANDARD.encode(zip.finish()?));
    }
    Ok(evidence)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
