//! What differs for people: the commits first, then what they bring, then how the stages are configured.

use std::fmt::Write as _;

use super::{Became, Between, Document, FunctionChange, MigrationChange, Named, StackChange, contents::ResourceChange};
use crate::{
    json_diff,
    layout::{Cell, cut, minute, size, table},
    output::{bad, faint, good, open},
    reason::count,
    sha,
};

/// How many differences of one resource are shown; the document has all of them.
const MOST: usize = 6;

pub(super) fn of(document: &Document) -> String {
    let Document { repo, from, to, stacks, functions, migrations, configuration, .. } = document;
    let mut text = format!("{repo}\n  from {}\n  to   {}\n", named(from), named(to));
    text.push_str(&commits(document));
    let mut part = |title: &str, lines: String| {
        if !lines.is_empty() {
            let _ = write!(text, "\n{title}\n{lines}");
        }
    };
    part("templates", stacks.iter().map(|(name, change)| stack(name.as_str(), change)).collect::<Vec<_>>().concat());
    part(
        "functions",
        functions.iter().map(|(name, change)| function(name.as_str(), change)).collect::<Vec<_>>().concat(),
    );
    part("migrations", migrations.iter().map(migration).collect::<Vec<_>>().concat());
    let title = match (&from.stage, &to.stage) {
        (Some(one), Some(other)) => format!("configuration of {other} against that of {one}"),
        (Some(stage), None) | (None, Some(stage)) => format!("configuration of {stage} since its last promotion"),
        (None, None) => String::new(),
    };
    part(&title, json_diff::text(configuration, 2));
    if stacks.is_empty() && functions.is_empty() && migrations.is_empty() && configuration.is_empty() {
        text.push_str("\nnothing that they bring differs\n");
    }
    text
}

fn named(Named { stage, commit_sha }: &Named) -> String {
    match stage {
        Some(stage) => format!("{stage}, which runs {commit_sha}"),
        None => commit_sha.to_string(),
    }
}

fn commits(document: &Document) -> String {
    let Document { commits_between, more_commits, goes_back, .. } = document;
    if commits_between.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = commits_between.iter().map(|it| row(it, commits_between)).collect();
    let way = if *goes_back { ", which it goes back by" } else { "" };
    let mut text = format!("\n{} between{way}\n", count(commits_between.len() + more_commits, "commit"));
    for line in table(&rows).lines() {
        let _ = writeln!(text, "  {line}");
    }
    if *more_commits > 0 {
        let _ = writeln!(text, "  and {more_commits} more before them");
    }
    text
}

fn row(it: &Between, all: &[Between]) -> Vec<Cell> {
    let author = it.author.as_deref().unwrap_or("?");
    vec![
        sha::short(&it.commit_sha, all.iter().map(|it| &it.commit_sha)).into(),
        format!("{} UTC", minute(it.seen_at)).into(),
        cut(it.branch.as_deref().unwrap_or("?"), 16).into(),
        cut(author, 26).into(),
    ]
}

/// `+`, `-` or `~`.
fn mark(became: Became) -> String {
    match became {
        Became::Added => good("+"),
        Became::Removed => bad("-"),
        Became::Changed => open("~"),
    }
}

fn stack(name: &str, StackChange { became, resources, others }: &StackChange) -> String {
    let mut text = format!("  {} {name}\n", mark(*became));
    if *became != Became::Changed {
        // All of its resources came or went with it.
        let _ = writeln!(text, "      {}", faint(&count(resources.len(), "resource")));
        return text;
    }
    for (id, ResourceChange { became, kind, properties }) in resources {
        let _ = writeln!(text, "      {} {id}  {}", mark(*became), faint(kind));
        text.push_str(&some(properties, 10));
    }
    text.push_str(&some(others, 6));
    text
}

/// The first of some differences.
fn some(differences: &[json_diff::Difference], indent: usize) -> String {
    let shown = differences.get(..MOST).unwrap_or(differences);
    let more = differences.len() - shown.len();
    let more = if more > 0 { format!("{:indent$}and {more} more: `--output json`\n", "") } else { String::new() };
    json_diff::text(shown, indent) + &more
}

fn function(name: &str, FunctionChange { became, from, to, configuration }: &FunctionChange) -> String {
    let digits = |digest: String| digest.get(..12).map(str::to_owned).unwrap_or(digest);
    let told = match (from, to) {
        (Some(from), Some(to)) if from.sha256 == to.sha256 => "the same code".to_owned(),
        (Some(from), Some(to)) => format!(
            "code {} → {}, {} → {}",
            digits(from.sha256.to_string()),
            digits(to.sha256.to_string()),
            size(from.size),
            size(to.size)
        ),
        (one, other) => other.as_ref().or(one.as_ref()).map(|it| size(it.size)).unwrap_or_default(),
    };
    format!("  {} {name}\n      {}\n{}", mark(*became), faint(&told), some(configuration, 6))
}

fn migration(MigrationChange { database, file, became }: &MigrationChange) -> String {
    let told = match became {
        Became::Added => "to be run",
        Became::Removed => "not there any more: databases are never rolled back",
        Became::Changed => "another file of the same name",
    };
    format!("  {} {database}  {file}  {}\n", mark(*became), faint(told))
}
