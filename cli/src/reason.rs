//! Reasons and verdicts, as people read them.

use std::fmt::Write as _;

use gatekeeper_model::{
    finding::Finding,
    ids::Commit,
    verdict::{Outcome, Verdict},
};
use serde::{Deserialize, Serialize};

use crate::output::{bad, faint, good, open};

/// One reason, by a gatekeeper that may be newer than this command and know more codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) subject: String,
}

impl From<&Finding> for Reason {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code.as_str().to_owned(),
            message: finding.message.clone(),
            subject: finding.subject.clone(),
        }
    }
}

/// The word for an outcome.
fn outcome(outcome: Outcome) -> String {
    let word = outcome.as_str();
    match outcome {
        Outcome::Built => good(word),
        Outcome::Incomplete | Outcome::Registered => open(word),
        Outcome::Rejected | Outcome::Revoked => bad(word),
    }
}

/// A verdict with all its reasons.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let commit = verdict.commit();
    let mut text = format!("{}  {commit}\n", outcome(verdict.outcome));
    let manifest = match &verdict.manifest_version_id {
        Some(version) => format!("manifest version `{version}`"),
        None => "no manifest".to_owned(),
    };
    let bytes: u64 = verdict.artefacts.iter().map(|artefact| artefact.size).sum();
    let objects = count(verdict.artefacts.len(), "artefact");
    let _ = writeln!(text, "{}", faint(&format!("{manifest}, {objects} of {bytes} bytes")));
    let listed: Vec<Reason> = verdict.reasons.iter().map(Reason::from).collect();
    text.push_str(&reasons(&listed, Some(&commit)));
    text.push_str(&warnings(verdict));
    text
}

/// What a verdict warns of.
pub(crate) fn warnings(verdict: &Verdict) -> String {
    let listed: Vec<Reason> = verdict.warnings.iter().map(Reason::from).collect();
    painted(&listed, Some(&verdict.commit()), open)
}

/// Reasons one below the other; keys of `commit` without its folder.
pub(crate) fn reasons(reasons: &[Reason], commit: Option<&Commit>) -> String {
    painted(reasons, commit, bad)
}

fn painted(reasons: &[Reason], commit: Option<&Commit>, paint: fn(&str) -> String) -> String {
    let prefix = commit.map(Commit::prefix).unwrap_or_default();
    let width = reasons.iter().map(|reason| reason.code.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Reason { code, message, subject } in reasons {
        let subject = subject.strip_prefix(&prefix).unwrap_or(subject);
        let _ = write!(text, "\n  {}  {subject}\n  {:width$}  {message}\n", paint(&format!("{code:width$}")), "");
    }
    text
}

/// `1 artefact`, `2 artefacts`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
