//! What is signed, chained or recorded for good is built from what was read. A failure that becomes a default would be
//! signed as a fact, so the code that makes such documents has no call that makes one of the other: an exception is listed
//! here with its reason.

use std::{fs, path::Path};

/// What makes a default, or nothing, of something that failed or is absent.
const DEFAULTS: [&str; 6] =
    ["unwrap_or_default(", "unwrap_or(", ".ok()", "if let Ok(", "let Ok(", "Default::default()"];

/// The code that makes documents which are signed, chained or recorded, and what they are judged by.
const MAKERS: [&str; 26] = [
    "shared/gate/src/attestation.rs",
    "shared/gate/src/handoff.rs",
    "shared/proof/src/bundle.rs",
    "shared/proof/src/dsse.rs",
    "shared/proof/src/key.rs",
    "shared/promotion/src/attestation.rs",
    "shared/proof/src/statement.rs",
    "shared/aws/src/kms.rs",
    "shared/aws/src/live.rs",
    "shared/proof/src/ledger/append.rs",
    "shared/promotion/src/approval.rs",
    "shared/promotion/src/complete.rs",
    "shared/promotion/src/entry.rs",
    "shared/promotion/src/facts.rs",
    "shared/promotion/src/handoff.rs",
    "shared/promotion/src/handover.rs",
    "shared/promotion/src/record.rs",
    "shared/promotion/src/step.rs",
    "shared/gate/src/converge/attest.rs",
    "shared/gate/src/converge/baseline.rs",
    "shared/gate/src/converge/inspect.rs",
    "shared/gate/src/converge/look.rs",
    "shared/gate/src/judgement/built.rs",
    "shared/promotion/src/decide.rs",
    "functions/record-promotion/src/attest.rs",
    "functions/watch-drift/src/tell.rs",
];

/// A file, a part of its line, and why it is no default.
const EXCEPTIONS: [(&str, &str, &str); 7] = [
    ("shared/aws/src/live.rs", "it.description()", "an absent description is an empty one"),
    (
        "shared/proof/src/ledger/append.rs",
        "Timestamp::MIN",
        "before the first time there is is the first time there is",
    ),
    ("shared/promotion/src/decide.rs", "plan.as_ref().ok()", "why there is no plan is among the reasons by then"),
    ("shared/gate/src/converge/attest.rs", "Envelope::parse", "what is no envelope is signed anew, over its etag"),
    ("shared/gate/src/converge/attest.rs", "open_envelope", "what the gate has not signed vouches for nothing"),
    ("shared/gate/src/converge/inspect.rs", "words_of_passed", "what is no report is told by its recount"),
    ("shared/gate/src/converge/look.rs", "ArtefactKey::parse", "a key outside the layout is no part of a commit"),
];

#[test]
fn nothing_that_is_signed_is_built_from_a_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let mut unused: Vec<_> = EXCEPTIONS.iter().collect();
    for file in MAKERS {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(&text);
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if !DEFAULTS.iter().any(|default| line.contains(default)) {
                continue;
            }
            let exception = EXCEPTIONS.iter().find(|(of, part, _)| *of == file && line.contains(part));
            match exception {
                Some(exception) => unused.retain(|it| *it != exception),
                None => found.push(format!("{file}:{}: {}", number + 1, line.trim())),
            }
        }
    }
    assert!(found.is_empty(), "a failure must stay one here:\n{}", found.join("\n"));
    assert!(unused.is_empty(), "exceptions that nothing needs any more: {unused:?}");
}
