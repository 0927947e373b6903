//! The evidence for a person at a terminal.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use super::model::{DifferingParameter, Evidence, Function, Holds, Part, Promotion, Retention, Rules, Runs};

/// Renders the evidence as text. `paint` may colour a word that says whether something holds; it gets the word already
/// padded.
#[must_use]
pub fn render(evidence: &Evidence, paint: impl Fn(Holds, &str) -> String) -> String {
    let evidence = &harmless(evidence);
    let mut page = Page { text: String::new(), paint: &paint };
    page.heading(evidence);
    if let Some(runs) = &evidence.runs {
        page.runs(evidence, runs);
    }
    page.gate(evidence);
    if let Some(rules) = &evidence.rules {
        page.rules(rules);
    }
    page.tests(evidence);
    page.databases(evidence);
    page.signed(evidence);
    for kept in &evidence.retention {
        page.retention(kept);
    }
    page.checks(evidence);
    page.text
}

/// The evidence with nothing in its texts that could steer a terminal: they may come from somebody else's bundle.
fn harmless(evidence: &Evidence) -> Evidence {
    fn clean(value: &mut Value) {
        match value {
            Value::String(text) if text.chars().any(steers) => *text = text.replace(steers, "\u{fffd}"),
            Value::Array(values) => values.iter_mut().for_each(clean),
            Value::Object(fields) => fields.values_mut().for_each(clean),
            _ => {}
        }
    }
    let Ok(mut document) = serde_json::to_value(evidence) else { return evidence.clone() };
    clean(&mut document);
    serde_json::from_value(document).unwrap_or_else(|_| evidence.clone())
}

/// Control characters, and those that turn the direction of a text (Unicode, "Bidirectional Algorithm").
fn steers(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Page<'a> {
    text: String,
    paint: &'a dyn Fn(Holds, &str) -> String,
}

impl Page<'_> {
    fn word(&self, holds: Holds) -> String {
        (self.paint)(holds, &format!("{holds:7}"))
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{}", line.trim_end().replace('\n', " "));
    }

    /// `name` and a value that may have several lines.
    fn fact(&mut self, name: &str, value: &str) {
        for (index, line) in value.lines().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.line(&format!("  {name:13} {line}"));
        }
    }

    fn title(&mut self, title: &str) {
        self.line("");
        self.line(title);
    }

    fn heading(&mut self, evidence: &Evidence) {
        let answer = (self.paint)(evidence.verdict, &evidence.answer);
        self.line(&answer);
        if let Some(at) = evidence.question.at {
            self.line(&format!("asked about {}; read {}", second(at), second(evidence.taken_at)));
        }
        for since in &evidence.since_then {
            self.line(&format!("since then: {since}"));
        }
    }

    fn runs(&mut self, evidence: &Evidence, runs: &Runs) {
        self.title("What runs");
        self.fact("commit", runs.commit_sha.as_str());
        if let Some(branch) = &runs.branch {
            self.fact("branch", branch);
        }
        if let Some(run_url) = &runs.run_url {
            self.fact("built by", run_url);
        }
        if let (Some(attempt), Some(actor)) = (runs.run_attempt, &runs.run_actor) {
            self.fact("", &format!("attempt {attempt}, started by {actor}"));
        }
        if !runs.authors.is_empty() {
            self.fact("written by", &runs.authors.join(", "));
        }
        for change in &runs.changes {
            self.fact("asked for in", change.as_str());
        }
        self.fact("since", &second(runs.since).to_string());
        self.fact("promotion", runs.promotion_id.as_str());
        if let Some(promotion) = &runs.promotion {
            self.promotion(promotion);
        }
        self.title(&format!("Functions, {}", runs.looked_at.words()));
        for function in &runs.functions {
            self.function(function);
        }
        if runs.stacks.iter().any(|stack| !stack.differing.is_empty()) {
            self.title("Parameters whose values were others in the integration tests");
        }
        for stack in &runs.stacks {
            for DifferingParameter { name, tested, stage } in &stack.differing {
                let stage = stage.as_deref().unwrap_or("the template's default");
                self.line(&format!("  {}  {name} = {stage}; tested was {tested}", stack.stack_name));
            }
        }
        if !evidence.timeline.is_empty() {
            self.title("Timeline");
        }
        for event in &evidence.timeline {
            let took = event.ended_at.map(|ended| ended.duration_since(event.started_at).as_secs());
            let took = took.map(|seconds| format!("{seconds} s")).unwrap_or_default();
            self.line(&format!("  {}  {:>6}  {}: {}", second(event.started_at), took, event.name, event.detail));
        }
    }

    fn promotion(&mut self, promotion: &Promotion) {
        let kind = if promotion.rollback { "rollback" } else { "promotion" };
        let proven = promotion.proven_requester.as_ref();
        let proven = proven.map_or_else(|| ", not proven".to_owned(), |it| format!(", proven to be `{}`", it.arn));
        self.fact("asked for by", &format!("{}{proven}", promotion.requested_by));
        self.fact("why", &format!("{kind}: {}", promotion.reason));
        for path in &promotion.accept_replacement {
            self.fact("accepted loss", &format!("`{path}` could be replaced or removed with the data that it holds"));
        }
        if let Some(hold) = &promotion.hold {
            let since = second(hold.since);
            self.fact(
                "on hold",
                &format!("the stage was held by {} since {since} ({}), and it went on", hold.by, hold.reason),
            );
        }
        for approval in &promotion.approvals {
            let reason = approval.reason.as_deref().unwrap_or("the approval can't be read");
            let at = second(approval.approved_at);
            self.fact("approved by", &format!("`{}` at {at}: {reason}", approval.by.arn));
        }
        if let Some(glass) = &promotion.break_glass {
            let waived: Vec<_> = glass.waived.iter().map(|it| it.code.as_str()).collect();
            let waived = if waived.is_empty() { "nothing".to_owned() } else { waived.join(", ") };
            let people = format!("{} and {}", glass.requested_by, glass.approved_by);
            self.fact("break-glass", &format!("by {people}; waived: {waived}"));
        }
        for used in &promotion.waived {
            let told = used.told();
            self.fact("waived", &format!("{}: {}", told.code, told.message));
        }
        if promotion.smoke.is_empty() {
            self.fact("smoke checks", "none is configured");
        }
        for answer in &promotion.smoke {
            self.fact("smoke check", &format!("{}: {}", answer.check, answer.detail));
        }
    }

    fn function(&mut self, function: &Function) {
        let Function { function: name, function_name, live_sha256, promoted_sha256, equal, bytes_of, unread, .. } =
            function;
        let absent = if unread.is_some() { "could not be looked at" } else { "not found in the stage" };
        let in_stage = function_name.as_deref().unwrap_or(absent);
        let word = self.word(*equal);
        self.line(&format!("  {word}  {name}  ({in_stage})"));
        let digest = |digest: &Option<_>| {
            digest.map_or_else(|| "none".to_owned(), |it: gatekeeper_model::ids::Sha256| it.to_string())
        };
        match unread {
            Some(why) => self.line(&format!("           live      could not be looked at: {why}")),
            None => self.line(&format!("           live      {}", digest(live_sha256))),
        }
        if live_sha256 != promoted_sha256 {
            self.line(&format!("           promoted  {}", digest(promoted_sha256)));
        }
        for commit in bytes_of {
            self.line(&format!("           the live bytes are those of {commit}"));
        }
    }

    fn gate(&mut self, evidence: &Evidence) {
        let Some(gate) = &evidence.gate else { return };
        self.title("Gate");
        let evaluated = second(gate.evaluated_at);
        self.fact("verdict", &format!("{} at {evaluated}, on {} artefacts", gate.outcome, gate.artefacts));
        self.fact("sha256", &gate.verdict_sha256.to_string());
        if let Some(revoked) = &gate.revoked {
            self.fact("revoked", revoked);
        }
        for reason in &gate.reasons {
            self.fact("reason", &format!("{}: {} (`{}`)", reason.code, reason.message, reason.subject));
        }
        for build in gate.built_by.values() {
            self.fact("built by", &build.words());
        }
        for step in &gate.steps {
            self.fact(&step.name, &step.value);
        }
    }

    fn rules(&mut self, Rules { policy, stage }: &Rules) {
        self.title("Rules in force");
        let version = policy.version_id.as_ref();
        let which = version.map_or_else(|| "none: ADR-053's own conditions".to_owned(), |it| format!("version `{it}`"));
        self.fact("policy", &which);
        if let Some(sha256) = policy.sha256 {
            self.fact("", &format!("sha256 {sha256}"));
        }
        let named = |it: &_| super::judge::word(it);
        let required: Vec<_> = policy.required.iter().map(named).collect();
        let required = if required.is_empty() { "not known".to_owned() } else { required.join(", ") };
        self.fact("required", &required);
        for waiver in &policy.waivers {
            let whom = if waiver.for_all { "every repository" } else { "this repository" };
            self.fact("waived", &format!("{}, for {whom}", named(&waiver.condition)));
        }
        if let Some([lines, functions]) = policy.least_coverage {
            self.fact("coverage", &format!("at least {lines} % of lines, {functions} % of functions"));
        }
        let Some(stage) = stage else { return };
        self.fact(
            "stage's rules",
            &format!("version `{}` of config/stages.json\nsha256 {}", stage.version_id, stage.sha256),
        );
        let soak = if stage.soak_minutes == 0 { String::new() } else { format!(", for {} min", stage.soak_minutes) };
        self.fact("requires", &format!("{}{soak}", stage.requires));
        self.fact("approvals", &stage.approvals.to_string());
        if stage.freeze.is_empty() {
            self.fact("freeze", "none");
        }
        for window in &stage.freeze {
            self.fact("freeze", window);
        }
    }

    fn tests(&mut self, evidence: &Evidence) {
        if evidence.suites.is_empty() && evidence.reports.is_empty() {
            return;
        }
        self.title("Tests");
        for suite in &evidence.suites {
            self.fact(&suite.suite, &format!("{}\n{}", suite.summary, suite.source()));
        }
        for row in &evidence.policy_rows {
            let tests = match row.tests.as_deref() {
                None => "which tests bear its name was not kept".to_owned(),
                Some([]) => "no test that passed bears its name".to_owned(),
                Some(tests) => tests.join("\n"),
            };
            self.fact(&row.row, &tests);
        }
        for report in &evidence.reports {
            self.fact("report", &format!("{}\nsha256 {}", report.key, report.sha256));
        }
    }

    fn databases(&mut self, evidence: &Evidence) {
        for database in &evidence.databases {
            self.title(&format!("Database {}", database.database));
            let validated = match database.flyway_validated {
                Some(true) => "flyway validate passed against dev",
                Some(false) => "flyway validate did not pass against dev",
                None => "no result of flyway validate",
            };
            self.fact("flyway", validated);
            if let Some(sha256) = database.flyway_configuration {
                self.fact("flyway.toml", &format!("sha256 {sha256}"));
            }
            for (script, sha256) in &database.script_configurations {
                self.fact("script's own", &format!("{script}\nsha256 {sha256}"));
            }
            for migration in &database.migrations {
                let checksum = migration.checksum.map_or_else(|| "none".to_owned(), |it| it.to_string());
                self.fact("migration", &format!("{}  checksum {checksum}", migration.file));
            }
            if let Some(sha256) = database.snapshot_sha256 {
                self.fact("snapshot", &format!("sha256 {sha256}"));
            }
            if let Some(parity) = &database.parity {
                let equal = if parity.equal {
                    "the stage's schema is the tested one"
                } else {
                    "the stage's schema differs from the tested one"
                };
                self.fact("parity", equal);
                if let Some(difference) = &parity.difference {
                    self.fact("", difference);
                }
            }
        }
    }

    fn signed(&mut self, evidence: &Evidence) {
        self.title("Attestations");
        for it in &evidence.attestations {
            let word = self.word(it.verified);
            self.line(&format!("  {word}  {}, by {}", it.kind.as_str(), it.signer));
            self.line(&format!("           {}", it.key));
        }
        let key = |key: &Option<String>| key.clone().unwrap_or_else(|| "not read".to_owned());
        self.fact("gate's key", &key(&evidence.keys.gate));
        self.fact("promotion key", &key(&evidence.keys.promotion));
        if let Some(ledger) = &evidence.ledger {
            self.title("Ledger");
            let entry = ledger.entry.map_or_else(|| "no entry".to_owned(), |it| format!("entry {it}"));
            let later = match ledger.later {
                0 => String::new(),
                later => format!("; {later} came later and link to the signed head"),
            };
            self.fact("chain", &format!("{}, {entry} of {}{later}", ledger.chain, ledger.head));
            for it in &ledger.entries {
                self.fact(&it.sequence.to_string(), &format!("{}  {}: {}", second(it.at), it.kind, it.detail));
            }
        }
        if let Some(drift) = &evidence.drift {
            self.title(&format!("Drift, last looked for at {}", second(drift.checked_at)));
            if drift.findings.is_empty() {
                self.line(if drift.notes.is_empty() { "  none" } else { "  none that could be seen" });
            }
            for note in &drift.notes {
                self.fact("not seen", note);
            }
            for finding in &drift.findings {
                self.fact(finding.code.as_str(), &format!("{}: {}", finding.subject, finding.message));
            }
        }
    }

    fn retention(&mut self, kept: &Retention) {
        self.title(&format!("Kept: {} of the {} bucket", objects(kept.objects), kept.bucket));
        for line in retention(kept) {
            self.line(&format!("  {line}"));
        }
    }

    fn checks(&mut self, evidence: &Evidence) {
        for part in Part::ALL {
            if evidence.checks_of(part).next().is_some() {
                self.title(&format!("Checked: {}", part.title()));
            }
            for check in evidence.checks_of(part) {
                let word = self.word(check.holds);
                self.line(&format!("  {word}  {}", check.name));
                if check.holds != Holds::Holds {
                    for line in check.detail.lines() {
                        self.line(&format!("           {line}"));
                    }
                }
            }
        }
    }
}

fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

/// How long the objects of a bucket are kept, in sentences.
pub(super) fn retention(kept: &Retention) -> Vec<String> {
    let mut lines = Vec::new();
    if kept.locked > 0 {
        let until = kept.locked_until.map_or_else(|| "an unknown time".to_owned(), |until| second(until).to_string());
        lines.push(format!("{} locked ({}), the first until {until}", objects(kept.locked), kept.modes.join(", ")));
    }
    if kept.legal_holds > 0 {
        lines.push(format!("{} under a legal hold", objects(kept.legal_holds)));
    }
    if kept.not_locked > 0 {
        lines.push(format!("{} not locked: who may delete in the bucket can delete them", objects(kept.not_locked)));
    }
    if let Some(expires) = &kept.expires {
        lines.push(format!("a lifecycle rule expires them: {expires}"));
    }
    if let Some(why) = &kept.unread {
        lines.push(format!("of some it could not be looked at: {why}"));
    }
    lines
}

/// A time to the second, UTC.
pub(super) fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
