//! `gatekeeper keys sign`, offline: people sign a version of the trust root with keys of their own, by the command or openssl.

use std::{fs, path::Path, process::Command};

use gatekeeper_proof::{
    LocalSigner, PublicKey,
    trust::{ALGORITHM, Authorities, NamedKey, Root, RootKey, SignedRoot, first_of},
};
use jiff::Timestamp;

use crate::common::{Run, gatekeeper_in};

fn openssl(folder: &Path, line: &str) {
    let ended = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn keys(folder: &Path, line: &str) -> Run {
    let words: Vec<_> = ["keys"].into_iter().chain(line.split(' ')).collect();
    gatekeeper_in(folder, &words, &[("PATH", "/usr/bin:/bin")])
}

/// A folder with a root that nobody has signed, and the keys of two people.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root_keys = ["jane", "ravi"].map(|person| {
        openssl(
            folder.path(),
            &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {person}-private.pem"),
        );
        openssl(folder.path(), &format!("pkey -in {person}-private.pem -pubout -out {person}.pem"));
        let pem = fs::read_to_string(folder.path().join(format!("{person}.pem"))).unwrap();
        let pem = PublicKey::from_pem(&pem).unwrap().to_pem();
        RootKey { person: person.to_owned(), algorithm: ALGORITHM.to_owned(), pem }
    });
    let named = |seed| vec![NamedKey::new(&LocalSigner::from_seed(seed).key(), None, Timestamp::UNIX_EPOCH)];
    let root = Root {
        schema_version: 1,
        version: 1,
        expires: "2100-01-01T00:00:00Z".parse().unwrap(),
        threshold: 2,
        root_keys: root_keys.to_vec(),
        authorities: Authorities { gate: named(1), promotion: named(2), approval: named(3) },
    };
    let unsigned = SignedRoot::unsigned(&root).unwrap().to_bytes().unwrap();
    fs::write(folder.path().join("1.root.json"), unsigned).unwrap();
    folder
}

#[test]
fn two_people_sign_with_a_file_and_with_openssl() {
    let folder = folder();
    let path = folder.path();
    let shown = keys(path, "sign 1.root.json --show");
    assert!(shown.code == 0 && shown.stdout.contains("\"person\": \"jane\""), "{}", shown.shown());
    let document = || fs::read(path.join("1.root.json")).unwrap();
    let signed = keys(path, "sign 1.root.json --key jane-private.pem");
    assert_eq!(
        signed.stdout,
        "signed as `jane`; 1 of the 2 people that version 1 asks for have signed\n",
        "{}",
        signed.shown()
    );
    assert!(first_of(&document()).unwrap_err().what.contains("`jane` of the people of version 1 signed it"));

    let message = keys(path, "sign 1.root.json --message");
    fs::write(path.join("message"), &message.stdout).unwrap();
    openssl(path, "dgst -sha256 -sign ravi-private.pem -out signature message");
    let signed = keys(path, "sign 1.root.json --signature signature --public-key ravi.pem");
    assert_eq!(
        signed.stdout,
        "signed as `ravi`; 2 of the 2 people that version 1 asks for have signed\n",
        "{}",
        signed.shown()
    );
    assert_eq!(first_of(&document()).unwrap().version, 1);
}

#[test]
fn what_can_not_sign_is_told_and_changes_nothing() {
    let folder = folder();
    let path = folder.path();
    let before = fs::read(path.join("1.root.json")).unwrap();
    openssl(path, "genpkey -algorithm ED25519 -out other.pem");
    fs::write(path.join("signature"), b"no signature").unwrap();
    for (line, told) in [
        ("sign 1.root.json --key other.pem", "not a private key on P-256 as PKCS #8 in PEM without a passphrase"),
        ("sign 1.root.json --key jane.pem", "not a private key on P-256"),
        (
            "sign 1.root.json --signature signature --public-key jane.pem",
            "the signature is not this key's over this version",
        ),
        ("sign jane.pem --key jane-private.pem", "it is not an envelope of signatures"),
        ("sign none.json --key jane-private.pem", "can't be read"),
    ] {
        let run = keys(path, line);
        assert!(run.code == 2 && run.stderr.contains(told), "{line}: {}", run.shown());
    }
    assert_eq!(fs::read(path.join("1.root.json")).unwrap(), before);
}
