use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    instance::{Instance, Workflow, public_key, signed_by_key, statement},
    *,
};

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const JENKINS: &str = "https://ci.bank.example/job/payments";

fn root(name: &str) -> RootName {
    name.parse().unwrap()
}

fn trust() -> Trust {
    let instance = Instance::new("test");
    Trust {
        roots: [(root("test"), Some(instance.trusted_root()))].into(),
        keys: [("jenkins".to_owned(), public_key("jenkins"))].into(),
    }
}

fn verifier() -> Provenance {
    Provenance::new(&trust()).unwrap()
}

fn workflow() -> Workflow {
    Workflow::of("bank-payments", SHA)
}

fn subjects() -> [Sha256; 2] {
    [Sha256::of(b"manifest"), Sha256::of(b"function")]
}

fn slsa() -> Value {
    statement(&subjects(), JENKINS, "https://github.com/bank/bank-payments", SHA)
}

fn attested() -> Value {
    Instance::new("test").attest(&workflow(), &slsa())
}

#[track_caller]
fn refused(bundle: &Value, because: &str) {
    let Refused(why) = verifier().verify(bundle.to_string().as_bytes()).unwrap_err();
    assert!(why.contains(because), "{why}");
}

#[test]
fn a_workflows_bundle_tells_who_built_what_and_which_clock_was_believed() {
    let Proven { build, subjects: proven } = verifier().verify(attested().to_string().as_bytes()).unwrap();
    assert_eq!(proven, subjects().into());
    let text = serde_json::to_value(&build).unwrap();
    let expected = json!({
        "trusted_by": {"root": "test"},
        "root_sha256": Sha256::of(Instance::new("test").trusted_root().as_bytes()),
        "builder": "https://github.com/bank/bank-payments/.github/workflows/pipeline.yml@refs/heads/main",
        "issuer": "https://token.actions.githubusercontent.com",
        "identity": "https://github.com/bank/bank-payments/.github/workflows/pipeline.yml@refs/heads/main",
        "repository": "https://github.com/bank/bank-payments",
        "ref": "refs/heads/main",
        "commit": SHA,
        "run": "https://github.com/bank/bank-payments/actions/runs/4711/attempts/1",
        "trigger": "push",
        "runner": "github-hosted",
        "signed_at": [{"at": "2026-05-02T03:04:05Z", "by": "transparency-log"}],
        "valid_from": "2026-05-02T03:03:05Z",
        "valid_until": "2026-05-02T03:13:05Z",
    });
    assert_eq!(text, expected);
}

#[test]
fn a_keys_bundle_tells_what_its_statement_says() {
    let bundle = signed_by_key("jenkins", &slsa());
    let Proven { build, subjects: proven } = verifier().verify(bundle.to_string().as_bytes()).unwrap();
    assert_eq!(proven, subjects().into());
    let expected = json!({
        "trusted_by": {"key": "jenkins"},
        "builder": JENKINS,
        "repository": "git+https://github.com/bank/bank-payments@refs/heads/main",
        "commit": SHA,
        "run": "https://github.com/bank/bank-payments/actions/runs/4711",
    });
    assert_eq!(serde_json::to_value(&build).unwrap(), expected);
    refused(&signed_by_key("mallory", &slsa()), "by key `jenkins`");
    let mut two = slsa();
    let other = json!({"uri": "x", "digest": {"gitCommit": "0".repeat(40)}});
    two["predicate"]["buildDefinition"]["resolvedDependencies"].as_array_mut().unwrap().push(other);
    refused(&signed_by_key("jenkins", &two), "exactly one `gitCommit`");
    two["predicate"] = json!({});
    refused(&signed_by_key("jenkins", &two), "no SLSA provenance");
}

#[test]
fn a_certificate_of_another_instance_proves_nothing() {
    let bundle = Instance::new("another").attest(&workflow(), &slsa());
    refused(&bundle, "by root `test`");
    // Nor does one that only calls itself by the same name.
    let embedded = Trust { roots: [(root(SIGSTORE), None), (root(GITHUB), None)].into(), ..Trust::default() };
    let Refused(why) = Provenance::new(&embedded).unwrap().verify(attested().to_string().as_bytes()).unwrap_err();
    assert!(why.contains("by root `github`") && why.contains("by root `sigstore`"), "{why}");
}

#[test]
fn a_certificate_counts_for_what_was_signed_while_it_was_valid() {
    let after = |minutes| Instance::new("test").attest_after(&workflow(), &slsa(), minutes);
    assert!(verifier().verify(after(10).to_string().as_bytes()).is_ok());
    refused(&after(11), "xpired");
    refused(&after(-1), "alid");
}

#[test]
fn no_byte_of_what_is_signed_can_be_changed() {
    let bundle = attested();
    let verifier = verifier();
    let places = [
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures/0/sig",
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
        "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
        "/verificationMaterial/tlogEntries/0/logId/keyId",
    ];
    for place in places {
        let bytes = STANDARD.decode(bundle.pointer(place).unwrap().as_str().unwrap()).unwrap();
        // Of a few bytes each: all of them would take minutes.
        for at in (0..bytes.len()).step_by(29) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let mut bundle = bundle.clone();
            *bundle.pointer_mut(place).unwrap() = json!(STANDARD.encode(changed));
            assert!(verifier.verify(bundle.to_string().as_bytes()).is_err(), "byte {at} of {place}");
        }
    }
    for (place, other) in [
        ("/verificationMaterial/tlogEntries/0/integratedTime", json!("1777691046")),
        ("/verificationMaterial/tlogEntries/0/logIndex", json!("1")),
        ("/verificationMaterial/tlogEntries/0/inclusionProof/treeSize", json!("2")),
        ("/verificationMaterial/tlogEntries", json!([])),
        ("/dsseEnvelope/payloadType", json!("text/plain")),
        ("/dsseEnvelope/signatures", json!([])),
    ] {
        let mut bundle = bundle.clone();
        *bundle.pointer_mut(place).unwrap() = other;
        assert!(verifier.verify(bundle.to_string().as_bytes()).is_err(), "{place}");
    }
}

#[test]
fn what_is_no_provenance_is_refused_in_words() {
    let mut other = slsa();
    other["predicateType"] = json!("https://spdx.dev/Document/v2.3");
    refused(&Instance::new("test").attest(&workflow(), &other), "a `https://spdx.dev/Document/v2.3` and no");
    let mut none = slsa();
    none["subject"] = json!([{"name": "x", "digest": {"sha512": "00".repeat(64)}}]);
    refused(&Instance::new("test").attest(&workflow(), &none), "no subject with a SHA-256");
    none["subject"] = json!([{"name": "x", "digest": {"sha256": "00"}}]);
    refused(&Instance::new("test").attest(&workflow(), &none), "a subject:");
    refused(&json!({}), "no Sigstore bundle");
    let unsigned = json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"});
    refused(&unsigned, "no Sigstore bundle");
    let Refused(why) = verifier().verify(b"\xff").unwrap_err();
    assert_eq!(why, "it is not UTF-8");
}

#[test]
fn a_root_that_is_not_there_or_is_none_is_an_error_and_not_a_refusal() {
    let unknown = Trust { roots: [(root("corp"), None)].into(), ..Trust::default() };
    let error = Provenance::new(&unknown).err().unwrap().to_string();
    assert_eq!(error, "there is no trusted root `corp`: put `config/trusted-roots/corp.json` into the records bucket");
    let none = Trust { roots: [(root("corp"), Some("{}".to_owned()))].into(), ..Trust::default() };
    assert!(Provenance::new(&none).err().unwrap().to_string().starts_with("the trusted root `corp` can't be used"));
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_owned();
    let none = Trust { keys: [("jenkins".to_owned(), pem)].into(), ..Trust::default() };
    assert!(Provenance::new(&none).err().unwrap().to_string().starts_with("the public key `jenkins` can't be used"));
}

#[test]
fn both_roots_that_the_library_has_can_be_used() {
    let embedded = Trust { roots: [(root(SIGSTORE), None), (root(GITHUB), None)].into(), ..Trust::default() };
    let instances = Provenance::new(&embedded).unwrap();
    let demands = instances.roots.iter().map(|it| (it.name.as_str(), it.policy.verifies_tlog()));
    assert_eq!(demands.collect::<Vec<_>>(), [("github", false), ("sigstore", true)]);
}
