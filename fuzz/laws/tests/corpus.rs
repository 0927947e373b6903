//! Every input of the corpora, and every one that was found to break a law, keeps its law.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use gatekeeper_laws::{LAWS, Law};

/// The most bytes of an input, so that the corpora stay small.
const MOST_BYTES: usize = 4096;

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(kind).join(name)
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[track_caller]
fn hold(name: &str, law: Law) {
    let corpus = inputs(&folder("corpus", name));
    assert!(!corpus.is_empty(), "`fuzz/corpus/{name}` is empty");
    let mut broken = Vec::new();
    for path in corpus.into_iter().chain(inputs(&folder("regressions", name))) {
        let input = fs::read(&path).unwrap();
        assert!(input.len() <= MOST_BYTES, "{} has {} bytes", path.display(), input.len());
        if catch_unwind(AssertUnwindSafe(|| law(&input))).is_err() {
            broken.push(path);
        }
    }
    assert!(broken.is_empty(), "a law is broken by {broken:#?}");
}

#[test]
fn attestations() {
    hold("attestation", law("attestation"));
}

#[test]
fn documents() {
    hold("documents", law("documents"));
}

#[test]
fn flyway() {
    hold("flyway", law("flyway"));
}

#[test]
fn junit() {
    hold("junit", law("junit"));
}

#[test]
fn reports() {
    hold("reports", law("reports"));
}

#[test]
fn snapshots() {
    hold("snapshot", law("snapshot"));
}

#[test]
fn templates() {
    hold("template", law("template"));
}

#[test]
fn zips() {
    hold("zip", law("zip"));
}

fn law(name: &str) -> Law {
    LAWS.into_iter().find(|(of_law, _)| *of_law == name).unwrap().1
}

/// A law without a target would never be tried, and a target without a dictionary less well.
#[test]
fn each_law_has_a_target_and_a_dictionary() {
    for (name, _) in LAWS {
        assert!(folder("targets", &format!("{name}.rs")).is_file(), "{name}");
        assert!(folder("dictionaries", &format!("{name}.dict")).is_file(), "{name}");
    }
}
