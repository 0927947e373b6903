//! From exhibits to evidence: pure, so that a bundle is judged offline exactly as the store was.
//!
//! Nothing here gives up: what is missing or broken is a check that fails, and what depends on it is unknown.

mod attestations;
mod databases;
mod gate;
mod ledger;
mod live;
mod named;
mod promotion;
mod rules;
mod runs;

use gatekeeper_gate::attestation::TestResult;
use gatekeeper_model::{
    ids::Commit,
    manifest::Manifest,
    policy::{Condition, Policy, Rules},
    store_key::Form,
    verdict::Verdict,
};
use gatekeeper_promotion::{history::StageState, record::PromotionRecord};
use gatekeeper_proof::{Envelope, Statement};
pub(super) use ledger::brings;
use named::Names;
pub(super) use promotion::word;

use super::{
    exhibits::{Exhibits, Read, Subject, Unread},
    model::{AttestationKind, Check, Evidence, Holds, Keys, Part, SCHEMA_VERSION},
    paper,
};

/// How many broken things one check names; the rest it counts.
const MOST_NAMED: usize = 8;

/// Judges the exhibits.
#[must_use]
pub fn judge(exhibits: &Exhibits) -> Evidence {
    let mut checks = Checks::default();
    let subject = exhibits.subject();
    let case = Case::of(exhibits, subject.as_ref().ok().and_then(Option::as_ref));
    match &subject {
        Ok(None) => checks.holds(Part::Promotion, POINTER, nothing(exhibits)),
        Ok(Some(_)) => checks.holds(Part::Promotion, POINTER, "what the stage runs is written down"),
        Err(unread) => checks.unread(Part::Promotion, POINTER, "what the stage runs", unread),
    }

    let mut runs = None;
    let mut gate = None;
    let mut drift = None;
    let mut rules = None;
    let (mut databases, mut timeline, mut attestations) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(case) = &case {
        runs = Some(live::check(case, &mut checks));
        drift = live::drift(case, &mut checks);
        promotion::check(case, &mut checks);
        runs::check(case, &mut checks);
        gate = gate::check(case, &mut checks);
        rules = Some(rules::check(case, &mut checks));
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
        rules,
        suites: case.as_ref().map(gate::suites).unwrap_or_default(),
        policy_rows: case.as_ref().map(gate::policy_rows).unwrap_or_default(),
        reports: case.as_ref().map(gate::reports).unwrap_or_default(),
        databases,
        timeline,
        attestations,
        ledger,
        drift,
        retention: gate::retention(exhibits),
        since_then: case.as_ref().map(since_then).unwrap_or_default(),
        keys: Keys {
            gate: keys.map(|keys| keys.gate.present().fingerprint().to_string()),
            promotion: keys.map(|keys| keys.promotion.present().fingerprint().to_string()),
        },
        checks: checks.0,
    }
    .concluded()
}

const POINTER: &str = "it is written down what the stage runs";

/// Why the stage ran nothing.
fn nothing(exhibits: &Exhibits) -> String {
    let state = exhibits.read::<StageState>(paper::STAGE).ok();
    match state.as_ref().and_then(|state| state.value.history.first()) {
        Some(first) => {
            format!("nothing ran then: the first promotion to the stage completed at {}", first.completed_at)
        }
        None => "no promotion to the stage is written down".to_owned(),
    }
}

/// What came after the time that was asked about.
fn since_then(case: &Case<'_>) -> Vec<String> {
    let Some(at) = case.exhibits.observed.question.at else { return Vec::new() };
    let mut since = Vec::new();
    if let Ok(state) = case.exhibits.read::<StageState>(paper::STAGE)
        && let Some(next) = state.value.history.iter().find(|it| it.completed_at > at)
    {
        let kind = if next.rollback { "rollback" } else { "promotion" };
        since.push(format!("{kind} `{}` brought `{}` at {}", next.promotion_id, next.commit_sha, next.completed_at));
    }
    since.extend(gate::revoked_since(case));
    since
}

/// A promotion and what it rests on, as far as it can be read.
struct Case<'a> {
    exhibits: &'a Exhibits,
    subject: Subject,
    commit: Commit,
    record: Result<Read<PromotionRecord>, Unread>,
    /// What the promotion's entry of the ledger names.
    names: Option<Names>,
    verdict: Result<Read<Verdict>, Unread>,
    manifest: Result<Read<Manifest>, Unread>,
    /// What the gate attested, where its signature holds.
    attested: Option<TestResult>,
    /// The policy that the gate applied, where it is stored and can be read.
    policy: Option<Policy>,
}

impl<'a> Case<'a> {
    fn of(exhibits: &'a Exhibits, subject: Option<&Subject>) -> Option<Self> {
        let subject = subject?.clone();
        let commit = Commit { repo: exhibits.observed.question.repo.clone(), sha: subject.commit_sha.clone() };
        // The type alone reads any manifest: its own checks hold it against the commit too.
        let manifest = exhibits.read::<serde_json::Value>(paper::MANIFEST).and_then(|read| {
            let parsed = Manifest::parse(&exhibits.document(paper::MANIFEST)?.bytes, &commit).map_err(|findings| {
                let why: Vec<_> = findings.iter().map(|it| it.message.as_str()).collect();
                Unread::Invalid(why.join("; "))
            });
            parsed.map(|value| Read { value, version_id: read.version_id, sha256: read.sha256 })
        });
        let envelope = exhibits.bytes(&paper::attestation(AttestationKind::Built, Form::Dsse));
        let record = exhibits.read::<PromotionRecord>(paper::PROMOTION);
        let names = Names::of(exhibits, &subject);
        let attested = envelope.zip(exhibits.keys.as_ref()).and_then(|(dsse, keys)| {
            let record = record.as_ref().ok();
            let named = names.as_ref().zip(record).and_then(|(names, it)| names.built(&it.value, it.sha256, dsse));
            let envelope = Envelope::parse(dsse).ok()?;
            Some(Statement::<TestResult>::open_named(&envelope, &keys.gate, named).ok()?.0)
        });
        let policy = exhibits.bytes(paper::POLICY).and_then(|bytes| Policy::parse(bytes).ok());
        Some(Self {
            record,
            names,
            verdict: exhibits.read(paper::VERDICT),
            manifest,
            attested: attested.map(|statement| statement.predicate),
            policy,
            exhibits,
            subject,
            commit,
        })
    }

    /// Whether a condition bound the commit when it was judged: as the gate attested it, else as its policy says, else it
    /// did.
    fn required(&self, condition: Condition) -> bool {
        match (&self.attested, &self.policy) {
            (Some(attested), _) => attested.conditions.contains(&condition),
            (None, Some(policy)) => policy.rules_of(&self.commit.repo).require(condition),
            (None, None) => Rules::of_adr_053(&self.commit.repo).require(condition),
        }
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

    fn waived(&mut self, part: Part, name: &str, detail: impl Into<String>) {
        self.add(part, name, Holds::Waived, detail);
    }

    /// That `what` can't be read: the check fails, or where it could not be looked at it could not be made.
    fn unread(&mut self, part: Part, name: &str, what: &str, unread: &Unread) {
        self.add(part, name, unread.holds(), format!("{what}: {unread}"));
    }

    /// A check that fails where something is wrong, and could not be made where something could not be looked at.
    fn judged(&mut self, part: Part, name: &str, wrong: &[String], open: &[String], detail: impl Into<String>) {
        match (wrong, open) {
            ([], []) => self.holds(part, name, detail),
            ([], open) => self.unknown(part, name, listed(open)),
            (wrong, _) => self.fails(part, name, listed(wrong)),
        }
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
