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

#[test]
fn words_are_found_in_any_file_however_it_is_stored() {
    let items = [
        Item::deflated("a.js", b"const queue = 'https://sqs.eu-west-2.amazonaws.com/111122223333/payments'"),
        Item::stored("b/dev-bank-core.txt", b"id 1111222233334; dev-bank-cores"),
        Item::stored("c.bin", b"\0\x01dev-bank-core\xff111122223333"),
    ];
    let words = ["111122223333", "dev-bank-core", "bank-core-dev"].map(str::to_owned);
    let found = inspect_for_words(Cursor::new(zip(&items)), "f.zip", None, &words, &Limits::default()).unwrap();
    let told: Vec<_> = found.iter().map(|it| format!("{}: {}", it.code.as_str(), it.message)).collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        "bundle-names-stage: it holds `111122223333` in `a.js` and 1 more of its files: let the template tell it by the environment",
        "bundle-names-stage: it holds `dev-bank-core` in `c.bin`: let the template tell it by the environment",
    ]
    "#);
}
