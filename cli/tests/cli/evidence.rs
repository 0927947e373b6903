//! `gatekeeper verify`, offline, and what `gatekeeper evidence` takes.

use std::{fs, path::PathBuf};

use gatekeeper_evidence::{
    bundle, judge,
    sample::{World, question},
};
use gatekeeper_proof::LocalSigner;
use serde_json::Value;

use crate::common::{Run, gatekeeper};

/// A folder with bundles and keys.
struct Files {
    root: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let exhibits = World::promoted().await.exhibits(question()).await;
            bundle::files(&exhibits, &judge(&exhibits)).unwrap()
        });
        let root = tempfile::tempdir().unwrap();
        let mut changed = files.clone();
        let verdict = changed.get_mut("records/verdict.json").unwrap();
        *verdict = String::from_utf8(verdict.clone()).unwrap().replace("\"built\"", "\"rejected\"").into_bytes();
        for (name, bytes) in [
            ("whole.zip", bundle::pack(&files).unwrap()),
            ("changed.zip", bundle::pack(&changed).unwrap()),
            ("none.zip", b"PK\x03\x04 and no archive".to_vec()),
            ("gate.pem", LocalSigner::from_seed(1).key().to_pem().into_bytes()),
            ("promotion.pem", LocalSigner::from_seed(2).key().to_pem().into_bytes()),
        ] {
            fs::write(root.path().join(name), bytes).unwrap();
        }
        Self { root }
    }

    /// Runs `gatekeeper verify` over files of the folder.
    fn verify(&self, line: &str) -> Run {
        let place = |word: &str| match word.rsplit_once('.') {
            Some(_) => self.root.path().join(word),
            None => PathBuf::from(word),
        };
        let words: Vec<_> = ["verify"]
            .into_iter()
            .chain(line.split_whitespace())
            .map(|word| place(word).display().to_string())
            .collect();
        gatekeeper(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[test]
fn a_bundle_is_verified_offline_and_told_in_full() {
    let files = Files::new();
    let run = files.verify("whole.zip");
    assert_eq!(run.code, 0, "{}", run.shown());
    insta::assert_snapshot!("verify_text", run.shown());
    let pinned = files.verify("whole.zip --gate-key gate.pem --promotion-key promotion.pem --output json");
    assert_eq!((pinned.code, pinned.stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&pinned.stdout).unwrap();
    assert_eq!(document["verdict"], "holds");
}

#[test]
fn what_was_changed_ends_with_1_and_wrong_use_with_2() {
    let files = Files::new();
    for (code, line) in [
        (1, "changed.zip"),
        (1, "none.zip"),
        (1, "none.zip --output json"),
        (1, "whole.zip --gate-key promotion.pem"),
        (2, "nowhere.zip"),
        (2, "whole.zip --gate-key whole.zip"),
        (2, "whole.zip --output html"),
    ] {
        let run = files.verify(line);
        assert_eq!(run.code, code, "{line}: {}", run.shown());
    }
    let changed = files.verify("changed.zip");
    assert!(changed.stdout.contains("it says `rejected`"), "{}", changed.shown());
}

#[test]
fn only_evidence_is_written_as_a_page() {
    let run = gatekeeper(&["status", "--output", "html"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(run.stderr, @"error: only `gatekeeper evidence` writes a page: pass `--output text` or `json`");
    let later = ["evidence", "--stage", "uat", "--at", "9000-01-01T00:00:00Z"];
    assert_eq!(gatekeeper(&later).code, 2);
}
