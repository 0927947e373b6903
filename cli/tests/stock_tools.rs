//! The lines of the manual by which tools that are not ours verify what the gatekeeper signed, run as they stand there, with the
//! tools themselves: `make stock-tools`, which builds these first.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatekeeper_evidence::{
    bundle,
    bundle::Files,
    judge,
    revocations::Revocations,
    sample::{World, commit, question},
};
use gatekeeper_model::provenance::Trust;
use gatekeeper_proof::{
    LocalSigner,
    ledger::{self, Event, Kind},
};
use gatekeeper_provenance::Provenance;
use gatekeeper_timestamp::authority::{Authority, USUAL};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Lines of the manual, with the tool that they are for.
#[derive(Debug, Clone)]
struct Lines {
    tool: String,
    text: String,
}

/// The blocks of a page of the manual that a tool is named for.
fn lines_of(page: &str) -> Vec<Lines> {
    let page = fs::read_to_string(Path::new(ROOT).join("docs").join(page)).unwrap();
    let blocks = page.split("<!-- make stock-tools: ").skip(1);
    let lines = blocks.map(|block| {
        let (tool, rest) = block.split_once(" -->").unwrap();
        let text = rest.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
        Lines { tool: tool.to_owned(), text: text.to_owned() }
    });
    lines.collect()
}

/// An unpacked bundle, a function's ZIP and a file of revocations, as somebody has them who verifies.
async fn unpacked() -> Files {
    let world = World::promoted().await;
    let other = "5".repeat(40);
    let event = Event {
        commit_sha: Some(other.parse().unwrap()),
        manifest_version_id: Some("m1".into()),
        ..Event::bare(Kind::Revocation, format!("revocation/{other}/m1"), "revoked")
    };
    let chain = gatekeeper_model::ids::Chain::of_gate(commit().repo);
    let now = "2026-05-02T11:00:00Z".parse().unwrap();
    ledger::append(&world.records, &world.gate, &chain, &event, None, now).await.unwrap();
    let exhibits = world.exhibits(question()).await;
    let mut files = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
    let zip = format!("{}modules/MOD-012/functions/authorise-payment.zip", commit().prefix());
    files.insert("authorise-payment.zip".to_owned(), world.artefacts.bytes_of(&zip).unwrap());
    let revocations = Revocations::take(&world.records, [commit().repo], &world.keys(), now).await.unwrap();
    files.insert("revocations.json".to_owned(), serde_json::to_vec(&revocations).unwrap());
    files
}

fn written(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// Runs lines in a folder: whether they end well, and all that is said.
fn run(lines: &Lines, folder: &Path) -> (bool, String) {
    let local = fs::canonicalize(Path::new(ROOT).join(".local")).unwrap();
    let gatekeeper = Path::new(env!("CARGO_BIN_EXE_gatekeeper")).parent().unwrap().to_owned();
    let paths = [local.join(&lines.tool), gatekeeper].into_iter();
    let path = std::env::join_paths(paths.chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    let output = Command::new("sh")
        .args(["-euc", &lines.text])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env("COSIGN_PASSWORD", "")
        .env("verify_bundle", Path::new(ROOT).join("infra/local/provenance/verify_bundle.mjs"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    (output.status.success(), said)
}

/// An envelope, or a bundle around one, whose payload says one word otherwise.
fn changed(bytes: &[u8]) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(bytes).unwrap();
    let envelope = match document.get("dsseEnvelope") {
        Some(_) => &mut document["dsseEnvelope"],
        None => &mut document,
    };
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap().replacen("bank-payments", "bank-payment5", 1);
    envelope["payload"] = STANDARD.encode(payload).into();
    serde_json::to_vec(&document).unwrap()
}

#[tokio::test]
#[ignore = "needs the tools that `make stock-tools` builds"]
async fn the_lines_of_the_manual_hold_and_refuse_what_is_not_so() {
    let whole = unpacked().await;
    let mut other_keys = whole.clone();
    let gate = other_keys.remove(bundle::GATE_KEY).unwrap();
    let promotion = other_keys.insert(bundle::PROMOTION_KEY.to_owned(), gate).unwrap();
    other_keys.insert(bundle::GATE_KEY.to_owned(), promotion);
    let mut changed_bytes = whole.clone();
    for (name, bytes) in &mut changed_bytes {
        if name.starts_with("attestations/") {
            *bytes = changed(bytes);
        } else if name == "revocations.json" {
            let mut file: Value = serde_json::from_slice(bytes).unwrap();
            let head = file["chains"][0]["head"].as_str().unwrap().as_bytes().to_vec();
            file["chains"][0]["head"] = String::from_utf8(changed(&head)).unwrap().into();
            *bytes = serde_json::to_vec(&file).unwrap();
        }
    }
    let mut other_files = whole.clone();
    for name in ["manifest/build-manifest.json", "authorise-payment.zip"] {
        other_files.get_mut(name).unwrap().push(b' ');
    }
    let folders = BTreeMap::from([
        ("whole", written(&whole)),
        ("other keys", written(&other_keys)),
        ("changed bytes", written(&changed_bytes)),
        ("other files", written(&other_files)),
    ]);

    let all = lines_of("guides/stock-tools.md");
    let tools: std::collections::BTreeSet<_> = all.iter().map(|it| it.tool.as_str()).collect();
    assert_eq!(
        tools.into_iter().collect::<Vec<_>>(),
        ["cosign", "cosign-2", "node", "openssl", "openssl-ts", "slsa-verifier"]
    );
    for lines in all.iter().filter(|it| it.tool != "openssl-ts") {
        for (what, folder) in &folders {
            let named = ["manifest/build-manifest.json", "authorise-payment.zip"];
            let holds = match *what {
                "whole" => true,
                // openssl and npm's verifier look at no file.
                "other files" => !named.iter().any(|name| lines.text.contains(name)),
                _ => false,
            };
            let (held, said) = run(lines, folder.path());
            assert_eq!(held, holds, "{what}: {}\n{said}", lines.text);
        }
        if let Some((before, _)) = lines.text.rsplit_once("--type ") {
            let file = lines.text.trim().rsplit(' ').next().unwrap();
            let other =
                Lines { text: format!("{before}--type https://slsa.dev/provenance/v1 {file}"), ..lines.clone() };
            let (held, said) = run(&other, folders["whole"].path());
            assert!(!held, "another type: {}\n{said}", other.text);
        }
        if lines.tool == "slsa-verifier" {
            for (from, to) in
                [("stages/uat", "stages/prod"), ("FOR_UAT", "FOR_PROD"), ("example/promote", "example/gate")]
            {
                let other = Lines { text: lines.text.replace(from, to), ..lines.clone() };
                assert_ne!(other.text, lines.text);
                assert!(!run(&other, folders["whole"].path()).0, "{}", other.text);
            }
        }
    }
}

/// The lines that ask a timestamp authority over a head: its answer holds, and not of another head or under another root.
#[tokio::test]
#[ignore = "needs curl and openssl; `make stock-tools` runs it"]
async fn a_timestamp_of_a_head_holds_of_that_head_and_under_its_authoritys_root() {
    let all = lines_of("guides/stock-tools.md");
    let [lines] = all.iter().filter(|it| it.tool == "openssl-ts").collect::<Vec<_>>().try_into().unwrap();
    let head = |world: &World| world.records.bytes_of("ledger/uat/bank-payments/head.json").unwrap();
    let world = World::promoted().await;
    let (ours, strange) = (Authority::new(USUAL), Authority::new(USUAL));
    let name = "heads/uat/bank-payments.json".to_owned();
    let stamped = head(&world);
    let folder = written(&Files::from([(name.clone(), stamped.clone()), ("tsa-root.pem".to_owned(), ours.root())]));
    let url = ours.serve(1);
    let asked = Lines { text: format!("TSA_URL={url}\n{}", lines.text), ..lines.clone() };
    let (held, said) = run(&asked, folder.path());
    assert!(held, "{said}");

    let (_, again) = lines.text.split_once("\"$TSA_URL\"\n").unwrap();
    let verified = || run(&Lines { text: again.to_owned(), ..lines.clone() }, folder.path());
    assert!(verified().0, "{}", verified().1);
    world.refuse().await;
    fs::write(folder.path().join(&name), head(&world)).unwrap();
    assert!(verified().1.contains("imprint mismatch"), "{}", verified().1);
    assert!(!verified().0, "it is of another head");
    fs::write(folder.path().join(&name), stamped).unwrap();
    fs::write(folder.path().join("tsa-root.pem"), strange.root()).unwrap();
    assert!(!verified().0, "another authority's root");
}

/// What the manual says to do in another CI makes a bundle that is verified under the key, and only under it.
#[test]
#[ignore = "needs the tools that `make stock-tools` builds"]
fn the_lines_of_another_ci_make_provenance_that_holds() {
    let [lines] = lines_of("guides/builders.md").try_into().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let attest = folder.path().join("build/attest");
    fs::create_dir_all(&attest).unwrap();
    let sha256 = gatekeeper_model::ids::Sha256::of(b"{}").to_string();
    fs::write(attest.join("subjects.sha256"), format!("{sha256}  build-manifest.json\n")).unwrap();
    // The key of KMS is one in a file here, and what `gatekeeper publish` does is tried elsewhere.
    let text: String = lines.text.replace("awskms:///alias/ci", "cosign.key").replace("COMMIT_SHA", &"3f".repeat(20));
    let mut is_publish = false;
    let kept = text.lines().filter(|line| {
        is_publish = line.starts_with("gatekeeper publish") || is_publish && line.starts_with("  ");
        !is_publish
    });
    let text = kept.collect::<Vec<_>>().join("\n");
    assert!(text.contains("attest-blob") && !text.contains("gatekeeper"), "{text}");
    for tool in ["cosign", "cosign-2"] {
        let of_2 = text.replace("cosign signing-config create --out build/attest/signing-config.json\n", "");
        let of_2 = of_2
            .replace("--signing-config build/attest/signing-config.json", "--tlog-upload=false --new-bundle-format");
        let text = if tool == "cosign" { text.clone() } else { of_2 };
        let made = format!("rm -f cosign.*\ncosign generate-key-pair\n{text}");
        let (held, said) = run(&Lines { tool: tool.to_owned(), text: made }, folder.path());
        assert!(held, "{tool}: {said}");
        let bundle = fs::read(attest.join("ci.sigstore.json")).unwrap();
        let key = fs::read_to_string(folder.path().join("cosign.pub")).unwrap();
        let proven = under(key).verify(&bundle).unwrap();
        assert_eq!((proven.build.builder.as_str(), proven.subjects.len()), ("https://ci.bank.example", 1));
        let stranger = LocalSigner::from_seed(9).key().to_pem();
        assert!(under(stranger).verify(&bundle).is_err());
    }
}

fn under(key: String) -> Provenance {
    let trust = Trust { roots: BTreeMap::new(), keys: [("jenkins".to_owned(), key)].into() };
    Provenance::new(&trust).unwrap()
}
