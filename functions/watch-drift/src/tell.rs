//! Telling what has changed: first it is written down, then it goes into the ledger and to people, then it is written down
//! that it was told. A run that is killed in between leaves the telling to the next one.

use std::fmt::Write as _;

use anyhow::Context as _;
use gatekeeper::{
    drift::{Change, Drift},
    finding::Finding,
    ids::Sha256,
    ledger::{self, Chain, Event, Kind, RecordDigest},
    store::{
        Written,
        record::{self, Stored},
    },
    store_key::RecordKey,
    telemetry::Logger,
};
use serde_json::json;

use crate::{Looked, Watcher};

/// The most findings that a message names of each sort: people get it by mail.
const FINDINGS_NAMED: usize = 20;

/// The longest subject that SNS takes, in characters (SNS API reference, `Publish`).
const MAX_SUBJECT: usize = 100;

impl Watcher {
    /// Writes what was found, and tells what has changed.
    pub(crate) async fn tell(
        &self,
        drift: Drift,
        before: Option<&Stored<Drift>>,
        log: &Logger,
    ) -> anyhow::Result<Looked> {
        let (records, key) = (&self.buckets.records, RecordKey::Drift(drift.stage.clone(), drift.repo.clone()));
        for note in &drift.notes {
            if before.is_none_or(|before| !before.record.notes.contains(note)) {
                log.info("something of a stage can't be told", json!({"note": note}));
            }
        }
        let change = drift.change();
        let stored = match before.filter(|before| !drift.is_worth_writing(Some(&before.record))) {
            Some(before) => before.clone(),
            None => {
                let written = record::write(records, &key, &drift, &Stored::precondition(before)).await?;
                let Written::Done { etag, version_id } = written else {
                    anyhow::bail!("`{key}` was changed by another run");
                };
                Stored { sha256: record::digest(&drift)?, record: drift, etag, version_id }
            }
        };
        if change.is_empty() {
            return Ok(Looked::At { drift: Box::new(stored.record), changed: false });
        }

        log_change(&stored.record, &change, log);
        let document =
            RecordDigest { key: key.to_string(), version_id: Some(stored.version_id.clone()), sha256: stored.sha256 };
        self.enter(&stored.record, &change, document)
            .await
            .context("the change could not be entered into the ledger")?;
        let publish = self.sns.publish().topic_arn(&self.topic_arn).subject(subject(&stored.record));
        publish.message(message(&stored.record, &change)).send().await.context("people could not be told")?;
        let told = stored.record.clone().as_told();
        let written = record::write(records, &key, &told, &Stored::precondition(Some(&stored))).await?;
        anyhow::ensure!(matches!(written, Written::Done { .. }), "`{key}` was changed by another run");
        Ok(Looked::At { drift: Box::new(told), changed: true })
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
                id: format!("drift/{}/{outcome}/{}", drift.changed_at, digest(findings)?),
                commit_sha: Some(drift.commit_sha.clone()),
                promotion_id: Some(drift.promotion_id.clone()),
                by: "watch-drift".to_owned(),
                reason: "the stage was compared with its last promotion".to_owned(),
                outcome: outcome.to_owned(),
                findings: findings.clone(),
                record: Some(document.clone()),
                break_glass: false,
            };
            let since = Some(drift.changed_at);
            let now = (self.clock)();
            ledger::append(&self.buckets.records, self.keys.promotion(), &chain, &event, since, now).await?;
        }
        Ok(())
    }
}

fn digest(findings: &[Finding]) -> anyhow::Result<Sha256> {
    Ok(record::digest(&findings)?)
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
        0 => "as promoted again".to_owned(),
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
pub(crate) mod tests {
    use gatekeeper::finding::Code;

    use super::*;

    fn drift(findings: &[Finding]) -> Drift {
        let findings: Vec<_> = findings
            .iter()
            .map(|it| json!({"code": it.code, "subject": it.subject, "message": it.message, "first_seen": "2026-05-02T03:15:00Z"}))
            .collect();
        serde_json::from_value(json!({
            "schema_version": 1, "stage": "uat", "repo": "bank-payments", "commit_sha": "a".repeat(40),
            "promotion_id": "01J0000000000000000000000A", "checked_at": "2026-05-02T03:15:00Z",
            "changed_at": "2026-05-02T03:15:00Z", "since": null, "findings": findings, "told": [],
        }))
        .unwrap()
    }

    fn finding(subject: &str) -> Finding {
        Finding::new(Code::FunctionChanged, subject, "it runs other code")
    }

    #[test]
    fn people_read_what_has_changed_and_where_to_look() {
        let drift = drift(&[finding("authorise"), finding("refund")]);
        let change = Change { new: vec![finding("authorise")], resolved: vec![finding("settle")] };
        insta::assert_snapshot!(format!("{}\n\n{}", subject(&drift), message(&drift, &change)), @r#"
        drift on uat: bank-payments (2 differences)

        Stage uat no longer runs bank-payments as promotion 01J0000000000000000000000A left it.
        Commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, looked at 2026-05-02T03:15:00Z.

        New:
        - function-changed authorise: it runs other code

        No longer so:
        - function-changed settle: it runs other code

        Found earlier, and still so: 1.

        See: gatekeeper status --stage uat --repo bank-payments
        "#);
    }

    #[test]
    fn people_read_that_all_is_well_again() {
        let change = Change { new: Vec::new(), resolved: vec![finding("authorise")] };
        insta::assert_snapshot!(format!("{}\n\n{}", subject(&drift(&[])), message(&drift(&[]), &change)), @r#"
        drift on uat: bank-payments (as promoted again)

        Stage uat runs bank-payments again as promotion 01J0000000000000000000000A left it.
        Commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, looked at 2026-05-02T03:15:00Z.

        No longer so:
        - function-changed authorise: it runs other code

        See: gatekeeper status --stage uat --repo bank-payments
        "#);
    }

    #[test]
    fn a_message_stays_readable_however_much_has_changed() {
        let many: Vec<_> = (0..500).map(|number| finding(&format!("f{number}"))).collect();
        let (drift, change) = (drift(&many), Change { new: many, resolved: Vec::new() });
        let text = message(&drift, &change);
        assert!(text.contains("- and 480 more") && text.lines().count() < 30, "{text}");
        let long = Drift { repo: "r".repeat(100).parse().unwrap(), ..drift };
        assert_eq!(subject(&long).len(), MAX_SUBJECT);
    }
}
