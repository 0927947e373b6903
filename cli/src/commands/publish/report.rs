//! What a publication came to, for a terminal, for scripts and for the run's page on GitHub.

use gatekeeper_model::{
    ids::{Commit, VersionId},
    telemetry,
    verdict::Verdict,
};
use serde::Serialize;

use crate::{
    build_folder::BuildFile,
    exit::Answer,
    github::{self, GitHub},
    output::{Output, bad, faint, good, open},
    reason::{self, Reason, count},
};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) status: Status,
    #[serde(flatten)]
    pub(super) commit: Commit,
    /// The objects that were uploaded, by their place in the commit's folder.
    pub(super) uploaded: Vec<String>,
    /// Those that were there already.
    pub(super) skipped: Vec<String>,
    /// How many bytes were uploaded.
    pub(super) bytes: u64,
    /// The version of the manifest that is stored now; `None` where nothing was uploaded.
    pub(super) manifest_version_id: Option<VersionId>,
    /// The gate's verdict where it was waited for; this command's own where nothing was uploaded.
    pub(super) verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// The gate would reject it; nothing was uploaded.
    Refused,
    /// It was only looked at.
    Planned,
    /// Something was uploaded.
    Published,
    /// All of it was there already.
    Unchanged,
}

pub(super) fn reasons(verdict: &Verdict) -> Vec<Reason> {
    verdict.reasons.iter().map(Reason::from).collect()
}

/// One line of what became of the files.
fn summary(report: &Report) -> String {
    let Report { uploaded, skipped, bytes, .. } = report;
    format!("{} uploaded, {bytes} bytes; {} there already", count(uploaded.len(), "object"), skipped.len())
}

pub(super) fn text(report: &Report) -> String {
    let commit = &report.commit;
    let head = match report.status {
        Status::Refused => format!("{}  {commit}, nothing was uploaded", bad("refused")),
        Status::Planned => format!("{}  {commit}, nothing was uploaded", open("planned")),
        Status::Published => format!("{}  {commit}", good("published")),
        Status::Unchanged => format!("{}  {commit}", good("unchanged")),
    };
    let mut text = head + "\n";
    if let Some(version) = &report.manifest_version_id {
        text += &faint(&format!("{}; manifest version `{version}`", summary(report)));
        text.push('\n');
    }
    if let Some(verdict) = &report.verdict {
        text.push('\n');
        text += &reason::verdict(verdict);
    }
    text
}

/// Annotations and the job summary.
pub(super) fn show(github: &GitHub, report: &Report, answer: Answer, files: &[BuildFile], output: &mut Output) {
    let Report { status, commit, verdict, .. } = report;
    let reasons = verdict.as_ref().map(reasons).unwrap_or_default();
    if answer == Answer::No {
        for line in github::errors(&reasons) {
            output.progress(&line);
        }
        if let (true, Some(verdict)) = (reasons.is_empty(), verdict) {
            output.progress(&github::error(verdict.outcome.as_str(), "it is not what is expected; see the log"));
        }
    }
    let warnings: Vec<Reason> = verdict.iter().flat_map(|it| &it.warnings).map(Reason::from).collect();
    for line in github::warnings(&warnings) {
        output.progress(&line);
    }
    let outcome = verdict.as_ref().map(|verdict| verdict.outcome.as_str());
    let heading = match (status, outcome) {
        (Status::Refused, _) => "refused, nothing was uploaded",
        (Status::Planned, _) => "planned, nothing was uploaded",
        (_, Some(outcome)) => outcome,
        (_, None) => "published",
    };
    let version = report.manifest_version_id.as_ref().map(|it| format!("; manifest version `{it}`"));
    let facts = format!("`{commit}`: {}{}", summary(report), version.unwrap_or_default());
    summarise(github, &github::section(heading, &facts, &reasons, files), output);
}

pub(super) fn summarise(github: &GitHub, markdown: &str, output: &mut Output) {
    if let Err(error) = github.add_to_summary(markdown) {
        output.warning(&telemetry::chain(error.as_ref()));
    }
}
