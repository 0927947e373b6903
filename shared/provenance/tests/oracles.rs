//! What others made: real bundles of public instances, and the cases of the Sigstore project's conformance suite. Nothing of
//! either is in this repository, so that `make provenance` runs these and `make test` does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use gatekeeper_model::provenance::{RootName, Trust};
use gatekeeper_provenance::{Provenance, instance};
use serde_json::Value;

fn folder(variable: &str) -> PathBuf {
    let folder =
        std::env::var_os(variable).unwrap_or_else(|| panic!("`{variable}` names no folder: run `make provenance`"));
    PathBuf::from(folder)
}

fn embedded() -> Trust {
    let root = |name: &str| (name.parse::<RootName>().unwrap(), None);
    Trust { roots: [root("sigstore"), root("github")].into(), ..Trust::default() }
}

/// Bundles that the library's own release has among its tests: of npm, of GitHub for a private repository, of conda.
#[test]
#[ignore = "needs the library's release: make provenance"]
fn real_bundles_hold_and_with_one_bit_changed_they_do_not() {
    let bundles = folder("SIGSTORE_VERIFY").join("test_data/bundles");
    let verifier = Provenance::new(&embedded()).unwrap();
    for (name, predicate, builder) in [
        (
            "sigstore.js@2.0.0-provenance",
            "https://slsa.dev/provenance/v1",
            "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
        ),
        (
            "github-private-attestation",
            "https://in-toto.io/attestation/release/v0.2",
            "https://dotcom.releases.github.com",
        ),
        ("conda-attestation", "https://schemas.conda.org/attestations-publish-1.schema.json", ""),
        ("dsse", "https://slsa.dev/provenance/v0.2", ""),
    ] {
        let bytes = fs::read(bundles.join(format!("{name}.sigstore.json"))).unwrap();
        let attested = verifier.attested(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let build = &attested.proven.build;
        println!("{name}: {}", build.words());
        assert_eq!(attested.predicate_type, predicate, "{name}");
        assert!(build.builder.contains(builder), "{name}: {}", build.builder);
        assert!(!build.signed_at.is_empty(), "{name}");
        // npm's packages are named by their SHA-512, so that no provenance of a commit could be like these.
        assert_eq!(
            attested.proven.subjects.is_empty(),
            ["sigstore.js@2.0.0-provenance", "dsse"].contains(&name),
            "{name}"
        );
        let bundle: Value = serde_json::from_slice(&bytes).unwrap();
        for place in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
            let text = bundle.pointer(place).unwrap().as_str().unwrap();
            for at in (0..text.len() - 4).step_by(text.len() / 8 + 1) {
                let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                let mut changed = bundle.clone();
                *changed.pointer_mut(place).unwrap() = format!("{}{other}{}", &text[..at], &text[at + 1..]).into();
                assert!(verifier.attested(changed.to_string().as_bytes()).is_err(), "{name}: {place} at {at}");
            }
        }
    }
    // Two signatures are one too many.
    let two = fs::read(bundles.join("dsse-2sigs.sigstore.json")).unwrap();
    assert!(verifier.attested(&two).is_err());
}

/// Each case of the suite's `bundle-verify`, by the suite's own rules: a name that ends with `_fail` must be refused.
#[test]
#[ignore = "needs the conformance suite: make provenance"]
fn the_conformance_suites_cases_come_out_as_they_must() {
    let cases = folder("SIGSTORE_CONFORMANCE").join("test/assets/bundle-verify");
    let (mut wrong, mut passed, mut refused) = (Vec::new(), 0, 0);
    let mut folders: Vec<_> =
        fs::read_dir(&cases).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
    folders.sort();
    for case in &folders {
        let name = case.file_name().unwrap().to_str().unwrap();
        let outcome = conforms(&cases, case);
        match (&outcome, name.ends_with("_fail")) {
            (Err(_), false) if OF_RSA.contains(&name) => refused += 1,
            (Ok(()), false) => passed += 1,
            (Err(_), true) => refused += 1,
            _ => wrong.push(format!("{name}: {outcome:?}")),
        }
    }
    println!("{passed} hold, {refused} are refused");
    assert!(wrong.is_empty() && passed >= 20 && refused >= 50, "{passed} {refused} {wrong:#?}");
}

/// Cases whose certificate authority has an RSA key, which no instance has that is believed here, and so are refused.
const OF_RSA: [&str; 1] = ["bundle-with-sct-with-extensions"];

fn conforms(cases: &Path, case: &Path) -> Result<(), String> {
    let text = |name: &str| fs::read_to_string(case.join(name)).ok();
    let line = |name: &str, otherwise: &str| text(name).map_or(otherwise.to_owned(), |it| it.trim().to_owned());
    let own = case.join("artifact");
    let artifact = fs::read(if own.exists() { own } else { cases.join("a.txt") }).unwrap();
    let identity = line(
        "identity",
        "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/\
         extremely-dangerous-oidc-beacon.yml@refs/heads/main",
    );
    let issuer = line("issuer", "https://token.actions.githubusercontent.com");
    let bundle = fs::read_to_string(case.join("bundle.sigstore.json")).unwrap();
    instance::verify_artifact(
        &artifact,
        &bundle,
        text("trusted_root.json").as_deref(),
        text("key.pub").as_deref(),
        (&identity, &issuer),
    )
}

/// How long a bundle takes, the roots read anew for each as the function does.
#[test]
#[ignore = "measures: make provenance"]
fn a_bundle_takes_milliseconds() {
    let bundles = folder("SIGSTORE_VERIFY").join("test_data/bundles");
    let before = peak_kilobytes();
    for name in ["sigstore.js@2.0.0-provenance", "github-private-attestation"] {
        let bytes = fs::read(bundles.join(format!("{name}.sigstore.json"))).unwrap();
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let began = Instant::now();
                Provenance::new(&embedded()).unwrap().attested(&bytes).unwrap();
                began.elapsed()
            })
            .collect();
        times.sort();
        println!("{name}: {:?} in the middle, {:?} at most", times[times.len() / 2], times[times.len() - 1]);
    }
    println!("{} kB of memory more than before", peak_kilobytes() - before);
}

/// The most memory that this process has had.
fn peak_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
