//! From exhibits to evidence: pure, so that a bundle is judged offline exactly as the store was.
//!
//! Nothing here gives up: what is missing or broken is a check that fails, and what depends on it is unknown.

mod attestations;
mod databases;
mod gate;
mod ledger;
mod live;
mod promotion;

use super::{
    exhibits::{Exhibits, Read, Subject, Unread},
    model::{Check, Evidence, Holds, Keys, Part, SCHEMA_VERSION},
    paper,
};
use crate::{ids::Commit, manifest::Manifest, promotion::record::PromotionRecord, verdict::Verdict};

/// How many broken things one check names; the rest it counts.
const MOST_NAMED: usize = 8;

/// Judges the exhibits.
#[must_use]
pub fn judge(exhibits: &Exhibits) -> Evidence {
    let mut checks = Checks::default();
    let subject = exhibits.subject();
    let case = Case::of(exhibits, subject.as_ref().ok().and_then(Option::as_ref));
    match &subject {
        Ok(None) => checks.fails(Part::Promotion, POINTER, "nothing was promoted, or nothing is known of it any more"),
        Ok(Some(_)) => checks.holds(Part::Promotion, POINTER, "what the stage runs is written down"),
        Err(unread) => checks.fails(Part::Promotion, POINTER, format!("of what the stage runs: {unread}")),
    }

    let mut runs = None;
    let mut gate = None;
    let mut drift = None;
    let (mut databases, mut timeline, mut attestations) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(case) = &case {
        runs = Some(live::check(case, &mut checks));
        drift = live::drift(case, &mut checks);
        promotion::check(case, &mut checks);
        gate = gate::check(case, &mut checks);
        databases = databases::check(case, &mut checks);
        attestations = attestations::check(case, &mut checks);
        timeline = promotion::timeline(case);
    }
    let ledger = ledger::check(exhibits, case.as_ref(), &mut checks);
    let keys = exhibits.keys.as_ref();
    Evidence {
        schema_version: SCHEMA_VERSION,
        question: exhibits.observed.question.clone(),
        taken_at: exhibits.observed.taken_at,
        answer: String::new(),
        verdict: Holds::Unknown,
        runs,
        gate,
        suites: case.as_ref().map(gate::suites).unwrap_or_default(),
        reports: case.as_ref().map(gate::reports).unwrap_or_default(),
        databases,
        timeline,
        attestations,
        ledger,
        drift,
        keys: Keys {
            gate: keys.map(|keys| keys.gate.fingerprint().to_string()),
            promotion: keys.map(|keys| keys.promotion.fingerprint().to_string()),
        },
        checks: checks.0,
    }
    .concluded()
}

const POINTER: &str = "it is written down what the stage runs";

/// A promotion and what it rests on, as far as it can be read.
struct Case<'a> {
    exhibits: &'a Exhibits,
    subject: Subject,
    commit: Commit,
    record: Result<Read<PromotionRecord>, Unread>,
    verdict: Result<Read<Verdict>, Unread>,
    manifest: Result<Read<Manifest>, Unread>,
}

impl<'a> Case<'a> {
    fn of(exhibits: &'a Exhibits, subject: Option<&Subject>) -> Option<Self> {
        let subject = subject?.clone();
        let commit = Commit { repo: exhibits.observed.question.repo.clone(), sha: subject.commit_sha.clone() };
        // The type alone reads any manifest: its own checks hold it against the commit too.
        let manifest = exhibits.read::<serde_json::Value>(paper::MANIFEST).and_then(|read| {
            let bytes = exhibits.bytes(paper::MANIFEST).unwrap_or_default();
            let parsed = Manifest::parse(bytes, &commit)
                .map_err(|findings| Unread::Invalid(findings.first().map(|it| it.message.clone()).unwrap_or_default()));
            parsed.map(|value| Read { value, version_id: read.version_id, sha256: read.sha256 })
        });
        Some(Self {
            record: exhibits.read(paper::PROMOTION),
            verdict: exhibits.read(paper::VERDICT),
            manifest,
            exhibits,
            subject,
            commit,
        })
    }

    fn record(&self) -> Option<&PromotionRecord> {
        self.record.as_ref().ok().map(|read| &read.value)
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref().ok().map(|read| &read.value)
    }

    fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref().ok().map(|read| &read.value)
    }
}

/// Everything that was checked.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, part: Part, name: &str, holds: Holds, detail: impl Into<String>) {
        self.0.push(Check { part, name: name.to_owned(), holds, detail: detail.into() });
    }

    fn holds(&mut self, part: Part, name: &str, detail: impl Into<String>) {
        self.add(part, name, Holds::Holds, detail);
    }

    fn fails(&mut self, part: Part, name: &str, detail: impl Into<String>) {
        self.add(part, name, Holds::Fails, detail);
    }

    fn unknown(&mut self, part: Part, name: &str, detail: impl Into<String>) {
        self.add(part, name, Holds::Unknown, detail);
    }

    /// A check that holds where nothing is wrong; `detail` says then what was compared.
    fn none_wrong(&mut self, part: Part, name: &str, wrong: &[String], detail: impl Into<String>) {
        if wrong.is_empty() {
            self.holds(part, name, detail);
        } else {
            self.fails(part, name, listed(wrong));
        }
    }
}

/// Broken things in words, bounded.
fn listed(wrong: &[String]) -> String {
    let named = wrong.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match wrong.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// `1 function`, `2 functions`, `2 entries`.
fn counted(count: usize, one: &str) -> String {
    match (count, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {one}s"),
    }
}
