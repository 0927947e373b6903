//! The evidence as a page that stands alone: inline style, no script, nothing loaded; readable on paper too.

mod picture;

use std::{borrow::Borrow, fmt::Display};

use askama::Template;
use gatekeeper_model::ids::Sha256;
use jiff::Timestamp;
use picture::Picture;

use super::{
    judge::word,
    model::{Check, Event, Evidence, Holds, Part},
    pack::Report,
    text,
};

/// A page with the evidence on one or more repositories of a stage.
///
/// # Errors
/// Where formatting fails, which it does for no evidence.
pub fn page(title: &str, evidence: &[Evidence]) -> Result<String, askama::Error> {
    let articles = evidence.iter().map(article).collect::<Result<_, _>>()?;
    // What is no JSON has no number, which a page can do without.
    let document =
        if let [one] = evidence { serde_json::to_vec_pretty(one) } else { serde_json::to_vec_pretty(evidence) };
    let document = document.ok().map(|document| Sha256::of(&document));
    Page { title, articles, document, version: env!("CARGO_PKG_VERSION") }.render()
}

/// One repository's evidence as an `<article>` whose heading is an `<h2>`, for a page of somebody else's.
///
/// # Errors
/// Where formatting fails, which it does for no evidence.
pub fn article(evidence: &Evidence) -> Result<String, askama::Error> {
    let parts =
        Part::ALL.into_iter().map(|part| Checks { title: part.title(), checks: evidence.checks_of(part).collect() });
    Article {
        e: evidence,
        id: format!("{}-{}", evidence.question.stage, evidence.question.repo).replace('.', "-"),
        troubles: evidence.troubles().collect(),
        waived: evidence.waived().collect(),
        parts: parts.filter(|part| !part.checks.is_empty()).collect(),
        picture: Picture::of(&evidence.timeline),
    }
    .render()
}

#[derive(Template)]
#[template(path = "evidence.html")]
struct Page<'a> {
    title: &'a str,
    articles: Vec<String>,
    /// The number of the document: the SHA-256 of the evidence as `evidence.json` has it.
    document: Option<Sha256>,
    version: &'static str,
}

/// The page of a pack.
///
/// # Errors
/// Where formatting fails, which it does for no report.
pub fn pack_page(report: &Report) -> Result<String, askama::Error> {
    let period = &report.period;
    let title = format!("What {} ran from {:.0} to {:.0}", period.stage, period.from, period.to);
    let document = Sha256::of(&serde_json::to_vec_pretty(report).unwrap_or_default());
    PackPage { title, report, document, version: env!("CARGO_PKG_VERSION") }.render()
}

#[derive(Template)]
#[template(path = "pack.html")]
struct PackPage<'a> {
    title: String,
    report: &'a Report,
    /// The number of the document: the SHA-256 of `pack.json`.
    document: Sha256,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "evidence_article.html")]
struct Article<'a> {
    e: &'a Evidence,
    /// What the ids of its elements begin with.
    id: String,
    troubles: Vec<&'a Check>,
    waived: Vec<&'a Check>,
    parts: Vec<Checks<'a>>,
    picture: Option<Picture>,
}

struct Checks<'a> {
    title: &'static str,
    checks: Vec<&'a Check>,
}

/// The style of something that holds or doesn't, beside its word.
fn class(holds: impl Borrow<Holds>) -> &'static str {
    match holds.borrow() {
        Holds::Holds => "holds",
        Holds::Waived => "waived",
        Holds::Unknown => "unknown",
        Holds::Fails => "fails",
    }
}

/// A sentence as HTML: escaped, and what stands between backticks as code.
fn words(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    let ticks = text.matches('`').count() & !1;
    for (index, part) in text.splitn(ticks + 1, '`').enumerate() {
        let (open, close) = if index % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
        html.push_str(open);
        for character in part.chars() {
            match character {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                other => html.push(other),
            }
        }
        html.push_str(close);
    }
    html
}

/// A time to the second, UTC.
fn second(at: &Timestamp) -> Timestamp {
    text::second(*at)
}

/// A figure, or that there is none.
fn figure(figure: Option<&impl Display>) -> String {
    figure.map_or_else(|| "–".to_owned(), ToString::to_string)
}

/// The longest policy that a page shows whole, in bytes: the bundle has it in any case.
const MAX_SHOWN_POLICY: usize = 32 * 1024;

/// A policy that is short enough to be shown.
fn shown(document: Option<&str>) -> Option<&str> {
    document.filter(|document| document.len() <= MAX_SHOWN_POLICY)
}

/// The last part of a key.
fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// How long an event took.
fn took(event: &Event) -> String {
    let took = event.ended_at.map(|ended| ended.duration_since(event.started_at).as_secs_f64());
    figure(took.map(|seconds| format!("{seconds:.1} s")).as_ref())
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_sentence_can_hold_no_markup_of_its_own() {
        insta::assert_snapshot!(words("`a<b>` runs \"x\" & 'y'"), @"<code>a&lt;b&gt;</code> runs &quot;x&quot; &amp; &#39;y&#39;");
        insta::assert_snapshot!(words("one ` tick, `<script>` and ` left"), @"one <code> tick, </code>&lt;script&gt;<code> and </code> left");
        insta::assert_snapshot!(words("odd ` tick"), @"odd ` tick");
        insta::assert_snapshot!(words(""), @"");
    }
}
