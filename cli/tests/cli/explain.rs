//! `gatekeeper explain`, which needs nobody and nothing.

use gatekeeper_model::finding::Code;
use serde_json::Value;

use crate::common::gatekeeper;

#[test]
fn a_code_is_told_with_what_to_do_and_a_line_that_shows_it() {
    insta::assert_snapshot!(gatekeeper(&["explain", "soak-not-over", "zip-dangling-link"]).shown(), @r"
    exit 0
    --- stdout
    soak-not-over  a refusal

      the stage that must have run the commit first has not run it for long enough

    What to do
      Wait until the time that the message names; two people can waive the rule for
      a time, or break the glass.

    Example
      gatekeeper status --repo bank-payments

    zip-dangling-link  a warning: nothing is refused because of it

      a symbolic link of a package manager leads to a folder that the bundle does
      not bring, and Lambda has none there: whoever loads it fails

    What to do
      Let the bundler bring the package, or install so that packages of the
      workspace are copied. Nothing is refused because of it.

    Example
      pnpm deploy --filter authorise-payment --prod packed
    --- stderr
    ");
    // As people copy it.
    assert_eq!(gatekeeper(&["explain", "`Soak_Not_Over`:"]).stdout, gatekeeper(&["explain", "soak-not-over"]).stdout);
}

#[test]
fn an_unknown_code_names_the_nearest() {
    insta::assert_snapshot!(gatekeeper(&["explain", "digest-mismach"]).shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: `digest-mismach` is no reason code of this version; did you mean `digest-mismatch`?
    ");
    insta::assert_snapshot!(gatekeeper(&["explain", "banana"]).shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: `banana` is no reason code of this version; `gatekeeper explain` lists all of them
    ");
}

#[test]
fn every_code_fits_a_terminal_and_is_a_document_too() {
    let listed = gatekeeper(&["explain"]).stdout;
    for (code, _) in Code::ALL {
        let run = gatekeeper(&["explain", code.as_str()]);
        let (_, example) = run.stdout.split_once("Example\n").unwrap();
        let told = run.stdout.replace(example, "");
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
        assert!(listed.lines().any(|line| line == code.as_str()), "{code}");
    }
    let run = gatekeeper(&["explain", "--output", "json"]);
    let every: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(every.len(), Code::ALL.len());
    let one: Value = serde_json::from_str(&gatekeeper(&["explain", "revoked", "--output", "json"]).stdout).unwrap();
    assert_eq!(one["code"], "revoked");
}
