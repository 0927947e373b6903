//! GitHub Actions: what its environment tells of a run, and how a run shows what came of it.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::PathBuf};

use anyhow::Context as _;
use gatekeeper_model::{
    ids::{Commit, CommitSha, InvalidId},
    manifest::Build,
};

use crate::{build_folder::BuildFile, exit::Misuse, output::Output, reason::Reason, repo::Named};

/// The most artefacts that a summary lists: GitHub takes 1 MiB of summary from a step.
const MAX_ROWS: usize = 500;

/// The most annotations of a run: GitHub shows 10 of each kind for a step, and keeps 50 for a job.
const MAX_ANNOTATIONS: usize = 50;

/// A run on GitHub Actions (GitHub documentation, "Variables reference").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GitHub {
    /// The last part of `GITHUB_REPOSITORY`.
    pub(crate) repo: Option<String>,
    /// `GITHUB_SHA`; for a pull request that is its merge commit.
    pub(crate) sha: Option<String>,
    /// `GITHUB_REF_NAME`
    pub(crate) branch: Option<String>,
    /// `repository.default_branch` of the event in `GITHUB_EVENT_PATH`
    pub(crate) default_branch: Option<String>,
    /// The run's page, its attempt, who started it, and the repository in full.
    pub(crate) build: Option<Build>,
    /// `GITHUB_STEP_SUMMARY`
    summary: Option<PathBuf>,
}

impl GitHub {
    /// The run that this process is part of; none elsewhere.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads GitHub's environment")]
    pub(crate) fn from_env() -> Option<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if variable("GITHUB_ACTIONS").as_deref() != Some("true") {
            return None;
        }
        let repository = variable("GITHUB_REPOSITORY");
        let run_url = || {
            let (server, run) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_RUN_ID")?);
            Some(format!("{server}/{}/actions/runs/{run}", repository.as_deref()?))
        };
        let build = || {
            let run_attempt = variable("GITHUB_RUN_ATTEMPT").and_then(|attempt| attempt.parse().ok()).unwrap_or(1);
            Some(Build {
                run_url: run_url()?,
                run_attempt,
                actor: variable("GITHUB_ACTOR")?,
                repository: repository.clone(),
            })
        };
        Some(Self {
            build: build(),
            repo: repository.as_ref().map(|it| it.rsplit('/').next().unwrap_or(it).to_owned()),
            sha: variable("GITHUB_SHA"),
            branch: variable("GITHUB_REF_NAME"),
            default_branch: variable("GITHUB_EVENT_PATH").and_then(|path| default_branch(&path)),
            summary: variable("GITHUB_STEP_SUMMARY").map(PathBuf::from),
        })
    }

    /// Adds to the summary that the run's page shows; nothing where the runner has no such file.
    pub(crate) fn add_to_summary(&self, markdown: &str) -> anyhow::Result<()> {
        let Some(path) = &self.summary else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(markdown.as_bytes()));
        written.with_context(|| format!("the job summary `{}` could not be written", path.display()))
    }
}

/// The default branch that the event tells.
fn default_branch(path: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    event.pointer("/repository/default_branch")?.as_str().map(str::to_owned)
}

/// The commit that a command is about: from its options, else the run's. What a repository is called here is said where
/// its forge calls it otherwise.
pub(crate) fn commit(
    repo: Option<&Named>,
    sha: Option<&CommitSha>,
    github: Option<&GitHub>,
    output: &mut Output,
) -> Result<Commit, Misuse> {
    let unknown =
        |option: &str| Misuse(format!("`{option}` is needed: only on GitHub Actions the environment tells it"));
    let wrong =
        |option: &str, error: &InvalidId| Misuse(format!("{error}; GitHub's environment says so, pass `{option}`"));
    let repo = match (repo, github.and_then(|it| it.repo.as_ref())) {
        (Some(repo), _) => repo.clone(),
        (None, Some(repo)) => repo.parse::<Named>().map_err(|error| wrong("--repo", &error))?,
        (None, None) => return Err(unknown("--repo")),
    };
    repo.say(output);
    let sha = match (sha, github.and_then(|it| it.sha.as_ref())) {
        (Some(sha), _) => sha.clone(),
        (None, Some(sha)) => sha.parse().map_err(|error| wrong("--sha", &error))?,
        (None, None) => return Err(unknown("--sha")),
    };
    Ok(Commit { repo: (*repo).clone(), sha })
}

/// The workflow command that shows an error on the run's page (GitHub documentation, "Workflow commands").
pub(crate) fn error(title: &str, message: &str) -> String {
    annotation("error", title, message)
}

/// A warning for each of what is only told.
pub(crate) fn warnings(reasons: &[Reason]) -> impl Iterator<Item = String> {
    let reasons = reasons.iter().take(MAX_ANNOTATIONS);
    reasons.map(|Reason { code, message, subject }| annotation("warning", code, &format!("{subject}: {message}")))
}

fn annotation(level: &str, title: &str, message: &str) -> String {
    format!("::{level} title={}::{}", property(title), data(message))
}

/// An error for each reason.
pub(crate) fn errors(reasons: &[Reason]) -> impl Iterator<Item = String> {
    let reasons = reasons.iter().take(MAX_ANNOTATIONS);
    reasons.map(|Reason { code, message, subject }| error(code, &format!("{subject}: {message}")))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A section of the summary: what came of it, why, and the files that it is about.
pub(crate) fn section(heading: &str, facts: &str, reasons: &[Reason], files: &[BuildFile]) -> String {
    let mut text = format!("### {}\n\n{}\n", cell(heading), cell(facts));
    if !reasons.is_empty() {
        text.push_str("\n| reason | of | |\n|---|---|---|\n");
        for Reason { code, message, subject } in reasons {
            let _ = writeln!(text, "| {} | {} | {} |", code_cell(code), code_cell(subject), cell(message));
        }
    }
    if !files.is_empty() {
        text.push_str("\n| artefact | bytes | SHA-256 |\n|---|--:|---|\n");
        for file in files.iter().filter(|file| !file.is_manifest()).take(MAX_ROWS) {
            let _ = writeln!(text, "| {} | {} | `{}` |", code_cell(&file.path.to_string()), file.size, file.sha256);
        }
        if files.len() > MAX_ROWS {
            let _ = writeln!(text, "\n… and {} more", files.len() - MAX_ROWS);
        }
    }
    text.push('\n');
    text
}

/// Text that stays in its cell and is no HTML; the backticks of our own messages still make code.
fn cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('|', "\\|")
}

/// Text as code in a cell.
fn code_cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() || c == '`' { ' ' } else { c }).collect();
    format!("`{}`", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{ids::Sha256, store_key::ArtefactPath};

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<GitHub> {
        GitHub::read(|name| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned()))
    }

    const RUN: &[(&str, &str)] = &[
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "example-bank/bank-payments"),
        ("GITHUB_SHA", "3f1c9a0b5d7e2468ace013579bdf02468ace1357"),
        ("GITHUB_REF_NAME", "main"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_RUN_ID", "123"),
        ("GITHUB_RUN_ATTEMPT", "2"),
        ("GITHUB_ACTOR", "jane"),
    ];

    #[test]
    fn a_run_is_told_by_its_environment() {
        let run = read(RUN).unwrap();
        assert_eq!(run.repo.as_deref(), Some("bank-payments"));
        assert_eq!(run.branch.as_deref(), Some("main"));
        let run_url = "https://github.com/example-bank/bank-payments/actions/runs/123".to_owned();
        assert_eq!(
            run.build,
            Some(Build {
                run_url,
                run_attempt: 2,
                actor: "jane".to_owned(),
                repository: Some("example-bank/bank-payments".to_owned())
            })
        );
    }

    #[test]
    fn elsewhere_the_environment_says_nothing() {
        let elsewhere: Vec<_> = RUN.iter().copied().filter(|(name, _)| *name != "GITHUB_ACTIONS").collect();
        assert_eq!(read(&elsewhere), None);
        // What is empty isn't there.
        let empty: Vec<_> =
            RUN.iter().map(|(name, it)| (*name, if *name == "GITHUB_ACTOR" { "" } else { *it })).collect();
        assert_eq!(read(&empty).unwrap().build, None);
    }

    #[test]
    fn no_text_ends_an_annotation_or_starts_another() {
        insta::assert_snapshot!(
            error("a:b,c", "100 %\r\n::error::x, y: z"),
            @"::error title=a%3Ab%2Cc::100 %25%0D%0A::error::x, y: z"
        );
    }

    #[test]
    fn a_summary_is_a_table_whatever_the_texts_hold() {
        let reason = Reason {
            code: "zip-unsafe-path".to_owned(),
            message: "`a|b` climbs\nout <script>".to_owned(),
            subject: "reports/a`b|c.xml".to_owned(),
        };
        let file = BuildFile {
            path: ArtefactPath::parse("reports/unit.xml").unwrap(),
            file: PathBuf::new(),
            size: 3,
            sha256: Sha256::of(b"abc"),
        };
        insta::assert_snapshot!(section("rejected", "bank-payments@3f1c", &[reason], &[file]), @r"
        ### rejected

        bank-payments@3f1c

        | reason | of | |
        |---|---|---|
        | `zip-unsafe-path` | `reports/a b\|c.xml` | `a\|b` climbs out &lt;script> |

        | artefact | bytes | SHA-256 |
        |---|--:|---|
        | `reports/unit.xml` | 3 | `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad` |
        ");
    }
}
