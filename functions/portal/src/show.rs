//! How things are shown: a mark is a word with a colour, never a colour alone.

use std::fmt;

use gatekeeper_model::{
    ids::{CommitSha, VersionId},
    revocation::TakenBack,
    verdict::{Outcome, Revocation, Verdict},
};
use gatekeeper_promotion::drift::Drift;
use jiff::Timestamp;

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Open,
    Bad,
}

/// A word or two on whether something is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    tone: Tone,
    text: String,
}

impl Mark {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { tone: Tone::Good, text: text.into() }
    }

    pub(crate) fn open(text: impl Into<String>) -> Self {
        Self { tone: Tone::Open, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { tone: Tone::Bad, text: text.into() }
    }

    /// The class of the style sheet.
    pub(crate) fn class(&self) -> &'static str {
        match self.tone {
            Tone::Good => "holds",
            Tone::Open => "unknown",
            Tone::Bad => "fails",
        }
    }

    /// What drift watching saw last.
    pub(crate) fn of_drift(drift: Option<&Drift>) -> Self {
        let Some(Drift { findings, .. }) = drift else { return Self::open("not looked yet") };
        match findings.as_slice() {
            [] => Self::good("none"),
            [one] => Self::bad(&one.finding.message),
            [first, rest @ ..] => Self::bad(format!("{}, and {} more", first.finding.message, rest.len())),
        }
    }

    /// What the gate says of a commit now, as of the version of its manifest that was promoted; `None` where that isn't
    /// known.
    pub(crate) fn of_gate(
        verdict: Option<&Verdict>,
        taken_back: Option<&TakenBack>,
        promoted_manifest: Option<&VersionId>,
    ) -> Self {
        let Some(verdict) = verdict else { return Self::bad("no verdict") };
        let manifest = promoted_manifest.or(verdict.manifest_version_id.as_ref());
        let taken_back = taken_back.filter(|it| manifest.is_some_and(|manifest| it.concerns(manifest)));
        match (verdict.outcome, taken_back) {
            (_, Some(TakenBack::Told(Revocation { revoked_by, reason, .. }))) => {
                Self::bad(format!("revoked by {revoked_by}: {reason}"))
            }
            (_, Some(unreadable)) => Self::bad(unreadable.to_string()),
            (Outcome::Built, None) => Self::good("Built"),
            (outcome, None) => Self::bad(format!("{outcome}, not Built")),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A time for people and programs, to the second, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Time {
    /// As `<time datetime>` and the portal's own links take it.
    pub(crate) fn machine(&self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M:%S UTC"))
    }
}

/// The beginning of a commit's SHA, as people say it.
pub(crate) fn short(sha: &CommitSha) -> &str {
    sha.as_str().get(..12).unwrap_or(sha.as_str())
}
