//! The rows for people: a stage after the other, a repository a paragraph, what matters first.

use std::fmt::Write as _;

use gatekeeper_model::{ids::CommitSha, verdict::Outcome};
use gatekeeper_promotion::record::Status;
use jiff::Timestamp;

use super::{Drifted, Failure, Held, Looked, Promoting, Row, Runs};
use crate::{
    layout::{minute, wrapped},
    output::{bad, faint, good, open},
};

/// How many digits of a commit are shown: nobody looks here whether other commits begin so, and by so many none does.
const DIGITS: usize = 12;

/// What was never promoted to a stage.
const NOTHING: &str = "nothing was promoted yet";

/// All rows, below their stages.
pub(super) fn of(Looked { stages, rows, holds, .. }: &Looked) -> String {
    if stages.is_empty() {
        return NOTHING.to_owned();
    }
    let width = rows.iter().map(|row| row.repo.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for stage in stages {
        let of_stage: Vec<_> = rows.iter().filter(|row| row.stage == *stage).collect();
        let _ = writeln!(text, "{stage}");
        if let Some(hold) = holds.get(stage) {
            text.push_str(&held(hold));
        }
        if of_stage.iter().all(|row| row.is_empty()) {
            let _ = writeln!(text, "  {}", faint(NOTHING));
            continue;
        }
        for row in of_stage {
            text.push_str(&paragraph(row, width));
        }
    }
    text
}

fn paragraph(row: &Row, width: usize) -> String {
    let Row { repo, runs, drift, promoting, last_failure, .. } = row;
    let first = match runs {
        Some(runs) => format!("{}  {}", digits(&runs.commit_sha), state(runs)),
        None => faint(NOTHING),
    };
    let mut text = format!("  {:width$}  {first}\n", repo.as_str());
    if let Some(Runs { revoked: Some(why), .. }) = runs {
        text.push_str(&below("", str::to_owned, why));
    }
    if let Some(runs) = runs {
        text.push_str(&below("", faint, &origin(runs)));
    }
    if let Some(drift) = drift {
        text.push_str(&drifted(drift));
    }
    if let Some(promoting) = promoting {
        text.push_str(&under_way(promoting));
    }
    if let Some(failure) = last_failure {
        text.push_str(&failed(failure));
    }
    text
}

/// Lines below a row: a painted word, and what is told behind it.
fn below(word: &str, paint: fn(&str) -> String, told: &str) -> String {
    let lines = wrapped(&format!("{word} {told}"), 6);
    if word.is_empty() {
        return lines.lines().map(|line| format!("{}\n", paint(line))).collect::<Vec<_>>().concat();
    }
    lines.replacen(word, &paint(word), 1)
}

fn digits(sha: &CommitSha) -> &str {
    sha.as_str().get(..DIGITS).unwrap_or(sha.as_str())
}

/// Whether the commit still may run.
fn state(Runs { outcome, revoked, .. }: &Runs) -> String {
    match (revoked, outcome) {
        (Some(_), _) => bad("revoked"),
        (None, Some(Outcome::Built)) => good("built"),
        (None, Some(outcome)) => bad(outcome.as_str()),
        (None, None) => bad("no verdict"),
    }
}

fn origin(Runs { since, promotion_id, requested_by, rollback, .. }: &Runs) -> String {
    let promotion = if *rollback { "rollback" } else { "promotion" };
    let by = requested_by.as_deref().unwrap_or("somebody unknown (the record is gone)");
    format!("since {}, by {by}, {promotion} {promotion_id}", utc(*since))
}

/// That nothing new comes to a stage, or that it may again.
fn held(Held { by, since, reason, released_by }: &Held) -> String {
    let told = format!("by {by} since {}: {reason}", utc(*since));
    match released_by {
        Some(released_by) => below("", faint, &format!("was held {told}; released by {released_by}")),
        None => below("held", bad, &told),
    }
}

fn drifted(Drifted { findings, first, since, checked_at }: &Drifted) -> String {
    let checked = format!("checked {}", utc(*checked_at));
    let Some(first) = first else { return below("", faint, &format!("as it was promoted, {checked}")) };
    let what = if *findings == 1 { "1 difference".to_owned() } else { format!("{findings} differences") };
    let since = since.map(|since| format!(" since {}", utc(since))).unwrap_or_default();
    // The first line of it: a schema's difference has many.
    let message = first.message.lines().next().unwrap_or_default();
    below("drifted", bad, &format!("{what}{since}, {checked}: {} `{}`: {message}", first.code, first.subject))
}

fn under_way(promoting: &Promoting) -> String {
    let Promoting { promotion_id, since, is_over, step, commit_sha, requested_by, rollback, lease_expires_at, .. } =
        promoting;
    let what = commit_sha.as_ref().map(|sha| format!("{} ", digits(sha))).unwrap_or_default();
    let by = requested_by.as_ref().map(|by| format!(", asked by {by}")).unwrap_or_default();
    let step = step.as_ref().map(|step| format!(", at {step}")).unwrap_or_default();
    let (word, ended) = match (is_over, rollback) {
        (true, _) => ("stuck", " (its execution ended without releasing its lock)"),
        (false, true) => ("going back to", ""),
        (false, false) => ("promoting", ""),
    };
    let mut text =
        below(word, open, &format!("{what}since {}{by}{step}, promotion {promotion_id}{ended}", utc(*since)));
    if let Some(until) = lease_expires_at {
        text.push_str(&below("open lease:", open, &format!("a runner may hand in its part until {}", utc(*until))));
    }
    text
}

fn failed(Failure { promotion_id, commit_sha, requested_by, ended_at, status, step, reason }: &Failure) -> String {
    let when = ended_at.map(|at| format!(" {}", utc(at))).unwrap_or_default();
    let back = if *status == Status::RolledBack { " and went back" } else { "" };
    let step = step.as_ref().map(|step| format!(" at {step}")).unwrap_or_default();
    // The first line of it: a tool's words have many.
    let why = reason.as_ref().and_then(|why| why.lines().next()).map(|why| format!(": {why}")).unwrap_or_default();
    let told =
        format!("{} {step}{back}{when}, asked by {requested_by}, promotion {promotion_id}{why}", digits(commit_sha));
    below("failed", bad, &told.replace("  ", " "))
}

/// A time to the minute.
fn utc(at: Timestamp) -> String {
    format!("{} UTC", minute(at))
}

impl Row {
    fn is_empty(&self) -> bool {
        self.runs.is_none() && self.promoting.is_none() && self.last_failure.is_none()
    }
}
