//! What is taken and what is refused, one archive at a time.

#![expect(clippy::cast_possible_truncation, reason = "archives of tests are small")]

mod fit;
mod limits;
mod names;
mod structure;

use std::io::Cursor;

use super::{
    builder::{Header, Item, deflate, field, zip, zip_with, zip64},
    *,
};

fn codes_of(bytes: &[u8], spec: Option<&FunctionSpec>, limits: &Limits) -> Vec<&'static str> {
    let findings = inspect(Cursor::new(bytes), "f.zip", spec, limits).unwrap();
    assert!(findings.iter().all(|finding| finding.subject == "f.zip" && !finding.message.is_empty()));
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    codes
}

/// Holds the codes that an archive is refused with, sorted, against `expect`, a list with spaces; empty is accepted.
#[track_caller]
fn check_bytes(bytes: &[u8], expect: &str) {
    let codes = codes_of(bytes, None, &Limits::default()).join(" ");
    assert_eq!(codes, expect, "{:#?}", inspect(Cursor::new(bytes), "f.zip", None, &Limits::default()));
}

#[track_caller]
fn check(items: &[Item], expect: &str) {
    check_bytes(&zip(items), expect);
}

fn text(name: &str) -> Item {
    Item::deflated(name, b"exports.handler = async () => 'hello hello hello hello'")
}
