//! The list for people: a commit a line, and what it waits for below it.

use gatekeeper_model::{finding::Finding, ids::CommitSha, verdict::Outcome};

use super::{Document, RanOn, Row};
use crate::{
    layout::{Cell, cut, minute, table, wrapped},
    output::{bad, faint, good, open},
    sha,
};

/// How wide a branch and an author may be.
const BRANCH: usize = 12;
const AUTHOR: usize = 14;

pub(super) fn of(document: &Document) -> String {
    let Document { repo, promotable_to, commits, older } = document;
    if commits.is_empty() {
        return match promotable_to {
            Some(stage) => format!("`{stage}` could take no commit of `{repo}`{}", not_looked_at(*older)),
            None => format!("the gate has seen no commit of `{repo}` yet"),
        };
    }
    let head = ["COMMIT", "GATE", "SINCE (UTC)", "BRANCH", "AUTHOR", "STAGES"].map(|it| Cell::painted(it, faint));
    let mut rows = vec![head.to_vec()];
    rows.extend(commits.iter().map(|row| cells(row, commits)));
    let lines = table(&rows);
    let mut text = String::new();
    let waits = std::iter::once(&[] as &[Finding]).chain(commits.iter().map(|row| row.waits_for.as_slice()));
    for (line, waits) in lines.lines().zip(waits) {
        text.push_str(line);
        text.push('\n');
        for finding in waits {
            text.push_str(&wrapped(&format!("waits: {}: {}", finding.code, finding.message), 9));
        }
    }
    if *older > 0 {
        text.push_str(&faint(&format!("\n{}\n", not_looked_at(*older).trim_start_matches("; "))));
    }
    text
}

fn not_looked_at(older: usize) -> String {
    match older {
        0 => String::new(),
        1 => "; 1 older commit was not looked at: `--limit`".to_owned(),
        older => format!("; {older} older commits were not looked at: `--limit`"),
    }
}

fn cells(row: &Row, all: &[Row]) -> Vec<Cell> {
    let others: Vec<&CommitSha> = all.iter().map(|it| &it.commit_sha).collect();
    let outcome =
        row.outcome.map_or(Cell::painted("unknown", bad), |outcome| Cell::painted(outcome.as_str(), paint(outcome)));
    let branch = row.branch.as_deref().map_or("?".to_owned(), |branch| cut(branch, BRANCH));
    // The name says who it is; the domain is mostly the same.
    let author = row.author.as_deref().map_or("?", |author| author.split('@').next().unwrap_or(author));
    let stages: Vec<_> = row.stages.iter().map(stage).collect();
    vec![
        sha::short(&row.commit_sha, others).into(),
        outcome,
        minute(row.judged_at.unwrap_or(row.seen_at)).into(),
        branch.into(),
        cut(author, AUTHOR).into(),
        stages.join(" ").into(),
    ]
}

fn stage(RanOn { stage, now, .. }: &RanOn) -> String {
    if *now { stage.to_string() } else { format!("({stage})") }
}

/// How an outcome is painted.
pub(in crate::commands) fn paint(outcome: Outcome) -> fn(&str) -> String {
    match outcome {
        Outcome::Built => good,
        Outcome::Incomplete | Outcome::Registered => open,
        Outcome::Rejected | Outcome::Revoked => bad,
    }
}
