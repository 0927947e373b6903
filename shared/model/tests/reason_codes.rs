//! docs/reason-codes.md is the table of `Code::ALL`: every code that a verdict or a refusal may give, and no other.
//!
//! `UPDATE_DOCS=1 cargo test -p gatekeeper-model --test reason_codes` writes it.

use std::fmt::Write as _;

use gatekeeper_model::finding::Code;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reason-codes.md");

const HEAD: &str = "\
# Reason codes

Every `code` that a verdict, a refused promotion or a log line may give as a reason. A code is
stable: scripts and alarms may match it. The `message` beside it is for people and may change;
`subject` says what it is about: an object's key, a function, a suite, a field.

This table is made from `codes!` in `shared/model/src/finding.rs`. After a change there:

    UPDATE_DOCS=1 cargo test -p gatekeeper-model --test reason_codes

| code | meaning |
|---|---|
";

#[test]
fn the_documented_codes_are_those_of_the_gate() {
    let mut table = HEAD.to_owned();
    for (code, meaning) in Code::ALL {
        let warns = if code.is_warning() { " (a warning: nothing is refused because of it)" } else { "" };
        writeln!(table, "| `{code}` | {meaning}{warns} |").unwrap();
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &table).unwrap();
    }
    let documented = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        documented == table,
        "docs/reason-codes.md is stale: run `UPDATE_DOCS=1 cargo test -p gatekeeper-model --test reason_codes`"
    );
}
