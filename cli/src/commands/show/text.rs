//! A commit for people: what it is first, then where it comes from, then every reason.

use std::fmt::Write as _;

use gatekeeper_model::ids::VersionId;

use super::{Document, Promoted, Told};
use crate::{
    commands::commits::paint,
    layout::{Cell, minute, size, table, wrapped},
    output::{bad, faint, good, open},
    reason::count,
};

pub(super) fn of(document: &Document) -> String {
    let Document { commit, outcome, revoked, reasons, warnings, promotions, .. } = document;
    let word = outcome.map_or_else(|| bad("no verdict"), |outcome| paint(outcome)(outcome.as_str()));
    let mut text = format!("{word}  {}\n{}\n\n", commit.repo, commit.sha);
    text.push_str(&indented(&table(&facts(document))));
    if let Some(why) = revoked {
        let _ = write!(text, "\n  {}\n{}", bad("taken back"), wrapped(why, 4));
    }
    if !promotions.is_empty() {
        let rows: Vec<_> = promotions.iter().map(promotion).collect();
        let _ = write!(text, "\n  {}\n{}", faint("promotions"), indented(&indented(&table(&rows))));
    }
    for (told, paint) in
        reasons.iter().map(|it| (it, bad as fn(&str) -> String)).chain(warnings.iter().map(|it| (it, open as _)))
    {
        let Told { finding, what_to_do } = told;
        let subject = finding.subject.strip_prefix(&commit.prefix()).unwrap_or(&finding.subject);
        let _ = write!(text, "\n  {}  {subject}\n{}", paint(finding.code.as_str()), wrapped(&finding.message, 4));
        text.push_str(&wrapped(&format!("→ {what_to_do}"), 4));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect::<Vec<_>>().concat()
}

/// What is known, a fact a line.
fn facts(document: &Document) -> Vec<Vec<Cell>> {
    let Document { branch, author, authors, changes, build, built_at, judged_at, artefacts, bytes, .. } = document;
    let mut rows = Vec::new();
    let mut fact = |name: &'static str, value: Option<String>| {
        rows.extend(value.map(|value| vec![Cell::painted(name, faint), value.into()]));
    };
    fact("branch", branch.clone());
    let others = authors.iter().filter(|it| Some(&it.email) != author.as_ref()).count();
    let others = if others > 0 { format!(" and {}", count(others, "other")) } else { String::new() };
    fact("author", author.as_ref().map(|author| format!("{author}{others}")));
    for (at, change) in changes.iter().enumerate() {
        fact(if at == 0 { "asked for" } else { "" }, Some(change.to_string()));
    }
    fact(
        "built",
        built_at.map(|at| {
            format!("{} UTC{}", minute(at), build.as_ref().map_or(String::new(), |it| format!(" by {}", it.actor)))
        }),
    );
    fact(
        "run",
        build.as_ref().map(|it| {
            if it.run_attempt > 1 { format!("{} (attempt {})", it.run_url, it.run_attempt) } else { it.run_url.clone() }
        }),
    );
    fact(
        "judged",
        judged_at.map(|at| format!("{} UTC, {} of {}", minute(at), count(*artefacts, "artefact"), size(*bytes))),
    );
    let version = |id: &Option<VersionId>| id.as_ref().map(ToString::to_string);
    fact("manifest", version(&document.manifest_version_id).map(|id| format!("version {id}")));
    let newer = version(&document.newer_manifest_version_id);
    fact("", newer.map(|id| format!("version {id} is newer and not judged yet")));
    fact("policy", version(&document.policy_version_id).map(|id| format!("version {id}")));
    fact("verdict", version(&document.verdict_version_id).map(|id| format!("version {id}")));
    rows
}

fn promotion(Promoted { stage, completed_at, rollback, now, requested_by, .. }: &Promoted) -> Vec<Cell> {
    let what = if *rollback { "rollback" } else { "promoted" };
    let by = requested_by.as_deref().unwrap_or("somebody unknown");
    let now = if *now { Cell::painted("runs it now", good) } else { Cell::from("") };
    vec![stage.as_str().into(), format!("{what} {} UTC", minute(*completed_at)).into(), format!("by {by}").into(), now]
}
