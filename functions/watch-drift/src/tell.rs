//! Telling what has changed: first it is written down, then it goes into the ledger and to people, then it is written down
//! that it was told. A run that is killed in between leaves the telling to the next one.

use std::fmt::Write as _;

use anyhow::Context as _;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Chain,
    notification::{Happened, Notification},
    store_key::RecordKey,
    telemetry::Logger,
};
use gatekeeper_promotion::drift::{Change, Drift, Standing};
use gatekeeper_proof::{
    Signer, ledger,
    ledger::{Event, Kind, LedgerError, RecordDigest},
};
use gatekeeper_store::{WriteStore, Written, record, record::Stored};
use jiff::Timestamp;
use serde_json::json;

use crate::Looked;

/// The most findings that a message names of each sort: people get it by mail.
const FINDINGS_NAMED: usize = 20;

/// The longest subject that SNS takes, in characters (SNS API reference, `Publish`).
const MAX_SUBJECT: usize = 100;

/// Who is told, and where it is written down.
#[derive(Debug)]
pub(crate) struct Telling<'a, S, P> {
    /// The records.
    pub(crate) records: &'a S,
    /// Signs the heads of the stages' ledgers.
    pub(crate) signer: &'a dyn Signer,
    /// Tells people: a subject and a text.
    pub(crate) people: P,
    /// The present.
    pub(crate) now: Timestamp,
    /// Where it tells of its work.
    pub(crate) log: &'a Logger,
}

impl<S: WriteStore, P: AsyncFn(String, String) -> anyhow::Result<()>> Telling<'_, S, P> {
    /// Writes what was found, and tells what has changed.
    pub(crate) async fn tell(&self, drift: Drift, before: Option<&Stored<Drift>>) -> anyhow::Result<Looked> {
        let key = RecordKey::Drift(drift.stage.clone(), drift.repo.clone());
        for note in &drift.notes {
            if before.is_none_or(|before| !before.record.notes.contains(note)) {
                self.log.info("part of a stage could not be checked", json!({"note": note}));
            }
        }
        let change = drift.change();
        let stored = match before.filter(|before| !drift.is_worth_writing(Some(&before.record))) {
            Some(before) => before.clone(),
            None => self.write(&key, drift, before).await?,
        };
        if change.is_empty() {
            return Ok(Looked::At { drift: Box::new(stored.record), changed: false });
        }

        log_change(&stored.record, &change, self.log);
        let document =
            RecordDigest { key: key.to_string(), version_id: Some(stored.version_id.clone()), sha256: stored.sha256 };
        // What is written on top of a chain that was rolled back would be in the way of whoever puts it back.
        let chain = Chain { stage: stored.record.stage.clone(), repo: stored.record.repo.clone() };
        let is_rolled_back = stored.record.findings.iter().any(|Standing { finding, .. }| {
            finding.code == Code::LedgerRolledBack && finding.subject == chain.to_string()
        });
        if is_rolled_back {
            self.log.error("drift is not in the ledger, which was rolled back", json!({"chain": chain.to_string()}));
        }
        let entered = if is_rolled_back { Ok(()) } else { self.enter(&stored.record, &change, document).await };
        match entered {
            // Nothing can be written on top of a chain that doesn't hold. That it is broken is among what people are told now.
            Err(error) if error.downcast_ref().is_some_and(LedgerError::is_broken) => {
                self.log.error("drift is not in the ledger, which is broken", json!({"error": format!("{error:#}")}));
            }
            entered => entered.context("the change could not be entered into the ledger")?,
        }
        let told = (self.people)(subject(&stored.record), message(&stored.record, &change)).await;
        told.context("the alarm topic could not be told")?;
        let told = self.write(&key, stored.record.clone().as_told(), Some(&stored)).await?;
        Ok(Looked::At { drift: Box::new(told.record), changed: true })
    }

    async fn write(
        &self,
        key: &RecordKey,
        drift: Drift,
        before: Option<&Stored<Drift>>,
    ) -> anyhow::Result<Stored<Drift>> {
        let written = record::write(self.records, key, &drift, &Stored::precondition(before)).await?;
        let Written::Done { etag, version_id } = written else {
            anyhow::bail!("`{key}` was changed by another run");
        };
        Ok(Stored { sha256: record::digest(&drift)?, record: drift, etag, version_id })
    }

    /// Enters a change into the stage's chain of the ledger: what is new, and what is no longer so.
    async fn enter(&self, drift: &Drift, change: &Change, document: RecordDigest) -> anyhow::Result<()> {
        let chain = Chain { stage: drift.stage.clone(), repo: drift.repo.clone() };
        for (outcome, findings) in [("drifted", &change.new), ("resolved", &change.resolved)] {
            if findings.is_empty() {
                continue;
            }
            let event = Event {
                kind: Kind::Drift,
                // A run that was killed before it had told finds its own entry again.
                id: format!("drift/{}/{outcome}/{}", drift.changed_at, record::digest(findings)?),
                commit_sha: Some(drift.commit_sha.clone()),
                promotion_id: Some(drift.promotion_id.clone()),
                by: "watch-drift".to_owned(),
                approved_by: Vec::new(),
                reason: "the stage was compared with its last promotion".to_owned(),
                outcome: outcome.to_owned(),
                findings: findings.clone(),
                findings_left_out: 0,
                record: Some(document.clone()),
                break_glass: false,
                manifest_version_id: None,
                stage_record: None,
                hold: None,
                waiver: None,
                attestations: Vec::new(),
                hand_over: None,
            };
            ledger::append(self.records, self.signer, &chain, &event, Some(drift.changed_at), self.now).await?;
        }
        Ok(())
    }
}

/// What the bus is told of what has changed: of what is new, and of what is no longer so.
pub(crate) fn notifications(drift: &Drift) -> Vec<Notification> {
    let change = drift.change();
    let sorts = [(Happened::DriftFound, &change.new), (Happened::DriftResolved, &change.resolved)];
    let told = sorts.into_iter().filter(|(_, findings)| !findings.is_empty()).map(|(happened, findings)| {
        let mut told = Notification::of_stage(happened, &drift.stage, Some(&drift.repo)).with_findings(findings);
        told.detail.commit_sha = Some(drift.commit_sha.clone());
        told.detail.promotion_id = Some(drift.promotion_id.clone());
        told
    });
    told.collect()
}

fn log_change(drift: &Drift, change: &Change, log: &Logger) {
    let log = log.with("commit_sha", drift.commit_sha.as_str()).with("promotion_id", drift.promotion_id.as_str());
    for Finding { code, subject, message } in &change.new {
        log.warn("drift found", json!({"code": code, "subject": subject, "finding": message}));
    }
    for Finding { code, subject, message } in &change.resolved {
        log.info("drift resolved", json!({"code": code, "subject": subject, "finding": message}));
    }
}

/// `drift on uat: bank-payments (2 differences)`
fn subject(drift: &Drift) -> String {
    let state = match drift.findings.len() {
        0 => "back to what was promoted".to_owned(),
        1 => "1 difference".to_owned(),
        more => format!("{more} differences"),
    };
    let subject = format!("drift on {}: {} ({state})", drift.stage, drift.repo);
    // Names are of plain characters, so a cut is one between characters.
    subject.get(..MAX_SUBJECT).map_or(subject.clone(), str::to_owned)
}

/// What people read, in plain text.
fn message(drift: &Drift, change: &Change) -> String {
    let Drift { stage, repo, commit_sha, promotion_id, checked_at, findings, .. } = drift;
    let still = findings.len().saturating_sub(change.new.len());
    let mut text = if findings.is_empty() {
        format!("Stage {stage} runs {repo} again as promotion {promotion_id} left it.\n")
    } else {
        format!("Stage {stage} no longer runs {repo} as promotion {promotion_id} left it.\n")
    };
    let _ = writeln!(text, "Commit {commit_sha}, looked at {checked_at}.");
    for (title, findings) in [("New:", &change.new), ("No longer so:", &change.resolved)] {
        if findings.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{title}");
        for Finding { code, subject, message } in findings.iter().take(FINDINGS_NAMED) {
            let _ = writeln!(text, "- {code} {subject}: {message}");
        }
        if let Some(more) = findings.len().checked_sub(FINDINGS_NAMED).filter(|more| *more > 0) {
            let _ = writeln!(text, "- and {more} more");
        }
    }
    if still > 0 {
        let _ = writeln!(text, "\nFound earlier, and still so: {still}.");
    }
    let _ = writeln!(text, "\nSee: gatekeeper status --stage {stage} --repo {repo}");
    text
}

#[cfg(test)]
#[path = "tell_tests.rs"]
mod tests;
