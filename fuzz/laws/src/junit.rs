//! `JUnit` XML: what another parser reads is read, and no report comes to more passed tests than its cases show.

use std::collections::BTreeSet;

use roxmltree::{Document, Node};

use crate::{
    input::{Pieces, choose},
    product::{Format, NotAReport, Outcome, Recount, Recounted, TestId, report},
};

/// What a report comes to.
pub(crate) fn recounted(format: Format, document: &[u8]) -> Result<Recounted, NotAReport> {
    report::read(format, document).expect("memory can be read")
}

/// What a report of tests comes to.
fn tests(document: &[u8]) -> Result<Recount, NotAReport> {
    recounted(Format::Junit, document).map(|it| match it {
        Recounted::Tests(recount) => recount,
        Recounted::Coverage(_) => panic!("JUnit XML tells of no coverage"),
    })
}

/// The laws of `JUnit` XML.
pub fn junit(document: &[u8]) {
    let found = tests(document);
    whatever_it_is(Format::Junit, document);
    let Ok(text) = str::from_utf8(document) else { return };
    if !text.contains("encoding") {
        in_other_encodings(text.trim_start_matches('\u{feff}'), found.as_ref().ok());
    }
    pieces_end_anywhere(text, found.as_ref().ok());
    // A document type is passed over here and refused there; prefixes of names have no meaning here.
    if ["<!DOCTYPE", "xmlns", "<:", "</:", "\u{feff}"].iter().any(|it| text.contains(it)) {
        return;
    }
    let Ok(other) = Document::parse(text) else { return };
    let recount = match found {
        Ok(recount) => recount,
        Err(error) => {
            let may_be_refused = !is_plain(&other) || text.contains("encoding");
            assert!(may_be_refused, "another parser reads it, and it is of suites and cases: {error}");
            return;
        }
    };
    against_the_tree(&other, &recount);
    let end = other.root_element().range().end;
    let at = choose(document, end);
    assert!(tests(&document[..at]).is_err(), "cut to {at} of {end} bytes");
    a_failure_more(text, end);
}

/// What holds for each format: a report that is read in pieces is the same, what was recounted is remembered as it was, and
/// each test that passed has a name.
pub(crate) fn whatever_it_is(format: Format, document: &[u8]) {
    let found = recounted(format, document);
    let in_pieces = report::read(format, Pieces::of(document)).expect("memory can be read");
    match (&in_pieces, &found) {
        // Of two mistakes the one is told that is come to first.
        (Err(_), Err(_)) => {}
        _ => assert_eq!(in_pieces, found, "read in pieces"),
    }
    let recounted = match found {
        Ok(recounted) => recounted,
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control) && message.len() < 2000, "{message:?}");
            return;
        }
    };
    let json = serde_json::to_vec(&recounted).expect("a recount is written");
    assert_eq!(serde_json::from_slice::<Recounted>(&json).expect("a recount reads back"), recounted);
    let problems = match &recounted {
        Recounted::Tests(recount) => recount.problems.iter().chain(&recount.unexplained),
        Recounted::Coverage(coverage) => coverage.problems.iter().chain(&[]),
    };
    problems.for_each(|it| assert!(!it.contains(char::is_control) && it.len() < 2000, "{it:?}"));
    let Recounted::Tests(recount) = recounted else { return };
    let Some(passed) = recount.passed else { return };
    let ids = passed.ids();
    // Of some cases a header or a comment tells only how many of them did not pass, or are no tests.
    let may_comment = format == Format::Junit && (document.windows(3).any(|it| it == b"!--") || document.contains(&0));
    let counts = recount.counts;
    let may_have_passed = [counts.passes(), recount.retried, counts.of(Outcome::Todo), counts.of(Outcome::NotRun)];
    let may_have_passed = may_have_passed.into_iter().fold(0, u64::saturating_add);
    assert!(ids.len() as u64 <= may_have_passed || may_comment, "{} passed of {counts}", ids.len());
    let names = report::names(format, document, &ids).expect("memory can be read").expect("it was read before");
    assert_eq!(names.keys().copied().collect::<BTreeSet<_>>(), ids, "each test that passed has a name");
    for (id, name) in &names {
        assert_eq!(TestId::of(name), *id);
    }
    let words: BTreeSet<String> =
        names.values().filter_map(|name| name.split(' ').next_back()).map(str::to_owned).collect();
    report::words_of_passed(format, document, &words).expect("memory can be read").expect("it was read before");
}

/// The encoding makes no difference.
fn in_other_encodings(text: &str, found: Option<&Recount>) {
    let wide =
        |to: fn(u16) -> [u8; 2]| -> Vec<u8> { [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(to).collect() };
    for document in [wide(u16::to_le_bytes), wide(u16::to_be_bytes), format!("\u{feff}{text}").into_bytes()] {
        assert_eq!(tests(&document).ok().as_ref(), found, "in another encoding");
    }
}

/// Where a piece of what is read ends makes no difference: a comment before the root moves every such end.
fn pieces_end_anywhere(text: &str, found: Option<&Recount>) {
    const PIECE: usize = 64 * 1024;
    let behind = match (text.starts_with("<?xml"), text.find("?>")) {
        (true, Some(end)) => end + 2,
        (true, None) => return,
        (false, _) => text.len() - text.trim_start_matches('\u{feff}').len(),
    };
    let (before, after) = text.split_at(behind);
    let length = PIECE.saturating_sub(before.len() + 7 + choose(text.as_bytes(), after.len().max(1)));
    let moved = format!("{before}<!--{}-->{after}", "x".repeat(length));
    assert_eq!(tests(moved.as_bytes()).ok().as_ref(), found, "{length} bytes further");
}

/// Whether a document is of suites and cases only as far as this reader is particular, and within its bounds.
fn is_plain(document: &Document<'_>) -> bool {
    fn is_suite(node: Node<'_, '_>) -> bool {
        matches!(node.tag_name().name(), "testsuite" | "testsuites")
    }
    is_suite(document.root_element())
        && document.root_element().descendants().filter(Node::is_element).all(|node| {
            let is_known = is_suite(node) || node.tag_name().name() == "testcase";
            let above = node.parent_element();
            let in_suites =
                above.is_none_or(is_suite) && node.ancestors().skip(1).filter(Node::is_element).all(is_suite);
            let is_short = node.tag_name().name().len() <= 200
                && node.attributes().all(|it| it.name().len() <= 200 && it.value().len() <= 4000);
            is_short && node.ancestors().count() < 60 && (!is_known || in_suites)
        })
}

/// No more tests passed than there are cases with nothing against them, and a case that failed is one failure at least.
fn against_the_tree(document: &Document<'_>, recount: &Recount) {
    let is_in_a_suite = |node: &Node<'_, '_>| {
        node.parent_element().is_some_and(|it| matches!(it.tag_name().name(), "testsuite" | "testsuites"))
    };
    let has = |node: &Node<'_, '_>, names: &[&str]| {
        node.children().any(|child| child.is_element() && names.contains(&child.tag_name().name()))
    };
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase") && is_in_a_suite(node));
    let (mut green, mut red) = (0, 0);
    for case in cases {
        let left_out = has(&case, &["skipped", "warning"]);
        let failed = has(&case, &["failure", "error"]);
        green += u64::from(!left_out && !failed);
        red += u64::from(failed && !left_out);
    }
    let counts = recount.counts;
    assert!(counts.passes() <= green, "{counts}, and {green} cases have nothing against them");
    assert!(counts.failed > 0 || red == 0, "{counts}, and {red} cases failed");
}

/// A failure that is added is told.
fn a_failure_more(text: &str, end: usize) {
    let (document, behind) = text.split_at(end);
    let Some(root) = document.rfind("</") else { return };
    if document.ends_with("/>") {
        return;
    }
    let (inner, close) = document.split_at(root);
    let more = format!("{inner}<testcase name=\"surprise\"><failure/></testcase>{close}{behind}");
    let recount = tests(more.as_bytes()).expect("one case more");
    assert!(recount.counts.failed > 0, "a failure that was added is lost: {}", recount.counts);
}
