//! Evidence under a trust root: what a replaced or revoked key signed, by `gatekeeper verify` and by the bundle's own script.

use std::process::Command;

use gatekeeper_model::ids::{Chain, Sha256};
use gatekeeper_proof::{
    LastEntry, LocalSigner, PublicKeys, Revocation, Signer as _, ledger,
    trust::{ALGORITHM, Authorities, NamedKey, Pin, Root, RootKey, SignedRoot, walk},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    bundle::{self, Files},
    bundle_verify::{OwnKeys, verify},
    exhibits::Exhibits,
    judge,
    model::{Evidence, Holds},
    paper,
    sample::{World, question},
};

const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;

fn named(seed: u8, from: Timestamp) -> NamedKey {
    NamedKey::new(&LocalSigner::from_seed(seed).key(), None, from)
}

/// The world's own keys, and two people.
fn first() -> Root {
    let person = |name: &str, seed: u8| RootKey {
        person: name.to_owned(),
        algorithm: ALGORITHM.to_owned(),
        pem: LocalSigner::from_seed(seed).key().to_pem(),
    };
    Root {
        schema_version: 1,
        version: 1,
        expires: "2100-01-01T00:00:00Z".parse().unwrap(),
        threshold: 2,
        root_keys: vec![person("jane", 11), person("ravi", 12)],
        authorities: Authorities {
            gate: vec![named(1, LONG_AGO)],
            promotion: vec![named(2, LONG_AGO)],
            approval: vec![named(3, LONG_AGO)],
        },
    }
}

async fn signed(root: &Root, seeds: &[u8]) -> Vec<u8> {
    let mut signed = SignedRoot::unsigned(root).unwrap();
    for seed in seeds {
        let signer = LocalSigner::from_seed(*seed);
        let signature = signer.sign(Sha256::of(&signed.message().unwrap())).await.unwrap();
        signed.add(&signer.key(), &signature).unwrap();
    }
    signed.to_bytes().unwrap()
}

/// The second version, with a change.
async fn second(change: impl FnOnce(&mut Root)) -> Vec<u8> {
    let mut root = Root { version: 2, ..first() };
    change(&mut root);
    signed(&root, &[11, 12]).await
}

/// The world's exhibits under these versions.
async fn exhibits(documents: &[Vec<u8>]) -> Exhibits {
    let mut exhibits = World::promoted().await.exhibits(question()).await;
    let documents: Vec<_> = (1..).zip(documents.iter().cloned()).collect();
    let pin = Pin { version: 1, sha256: Sha256::of(&documents[0].1) };
    exhibits.keys = Some(PublicKeys::named_by(walk(&pin, documents).unwrap()).unwrap());
    exhibits
}

async fn bundled(documents: &[Vec<u8>]) -> Files {
    let exhibits = exhibits(documents).await;
    bundle::files(&exhibits, &judge(&exhibits)).unwrap()
}

fn troubles(evidence: &Evidence) -> Vec<String> {
    evidence.troubles().map(|it| format!("{} {}: {}", it.holds, it.name, it.detail)).collect()
}

/// How `verify.sh` ended, and what it said.
fn script(files: &Files, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let output = Command::new("sh").arg(folder.path().join(bundle::SCRIPT)).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Both verifiers say the same; what is wrong is told.
async fn judged(documents: &[Vec<u8>]) -> Result<(), String> {
    let files = bundled(documents).await;
    let evidence = verify(&files, &OwnKeys::default(), None).unwrap();
    let (code, said) = script(&files, &[]);
    let fails: Vec<_> = said.lines().filter(|line| line.starts_with("FAILS")).map(str::to_owned).collect();
    assert_eq!(code == Some(0), evidence.verdict == Holds::Holds, "{said}\n{:#?}", troubles(&evidence));
    if code == Some(0) { Ok(()) } else { Err([troubles(&evidence), fails].concat().join("\n")) }
}

fn revoked(at: Timestamp, last: impl IntoIterator<Item = (Chain, LastEntry)>) -> Revocation {
    let last = last.into_iter().map(|(chain, last)| (chain.to_string(), last)).collect();
    Revocation { at, reason: "a laptop was stolen".to_owned(), last }
}

fn far() -> Timestamp {
    "2090-01-01T00:00:00Z".parse().unwrap()
}

/// Where the stage's chain ends.
async fn last_entry() -> (Chain, LastEntry) {
    let exhibits = exhibits(&[signed(&first(), &[11, 12]).await]).await;
    let (chain, keys) = (exhibits.chain(), exhibits.keys.as_ref().unwrap());
    let head = ledger::head_of(exhibits.bytes(paper::HEAD).unwrap(), &chain, &keys.promotion).unwrap();
    (chain, LastEntry { sequence: head.sequence, sha256: head.sha256 })
}

#[tokio::test]
async fn the_root_in_a_bundle_is_enough_to_verify_with() {
    let one = signed(&first(), &[11, 12]).await;
    let two = second(|root| {
        root.authorities.promotion[0].until = Some(far());
        root.authorities.promotion.push(named(4, "2026-06-01T00:00:00Z".parse().unwrap()));
    });
    let documents = [one.clone(), two.await];
    judged(&documents).await.unwrap();
    let files = bundled(&documents).await;
    for own in &documents {
        let own = OwnKeys { root: Some(own.clone()), ..OwnKeys::default() };
        assert_eq!(troubles(&verify(&files, &own, None).unwrap()), Vec::<String>::new());
    }
    let pin = format!("1:{}", Sha256::of(&one));
    let (code, said) = script(&files, &["--trust-root", &pin]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("trust/2.root.json: enough people of it and of the version before signed it"), "{said}");
    for other in [format!("1:{}", Sha256::of(b"other")), format!("3:{}", Sha256::of(&one))] {
        assert_eq!(script(&files, &["--trust-root", &other]).0, Some(1), "{other}");
    }
    // Another root, of the same people.
    let other = Root { expires: far(), ..first() };
    let own = OwnKeys { root: Some(signed(&other, &[11, 12]).await), ..OwnKeys::default() };
    let told = troubles(&verify(&files, &own, None).unwrap()).join("\n");
    assert!(told.contains("its version 1 is another one than yours"), "{told}");
}

#[tokio::test]
async fn a_root_that_too_few_signed_is_found_by_both() {
    let mut files = bundled(&[signed(&first(), &[11, 12]).await]).await;
    for too_few in
        [signed(&Root { version: 2, ..first() }, &[11]).await, signed(&Root { version: 3, ..first() }, &[11, 12]).await]
    {
        files.insert("trust/2.root.json".to_owned(), too_few);
        let sums = bundle::sums(&files);
        files.insert(bundle::SUMS.to_owned(), sums.into_bytes());
        assert_eq!(verify(&files, &OwnKeys::default(), None).unwrap().verdict, Holds::Fails);
        let (code, said) = script(&files, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("FAILS  trust/2.root.json"), "{said}");
    }
}

#[tokio::test]
async fn what_the_ledger_named_before_the_gates_key_was_revoked_counts() {
    let one = signed(&first(), &[11, 12]).await;
    let with = async |at: Timestamp| {
        let two = second(|root| {
            root.authorities.gate[0].revoked = Some(revoked(at, []));
            root.authorities.gate.push(named(4, LONG_AGO + SignedDuration::from_hours(1)));
        });
        judged(&[one.clone(), two.await]).await
    };
    with(far()).await.unwrap();
    let told = with(LONG_AGO).await.unwrap_err();
    assert!(told.contains("which somebody else may have had since"), "{told}");
    assert!(told.contains("FAILS  attestations/built.dsse.json"), "{told}");
}

#[tokio::test]
async fn of_promotions_key_counts_what_its_chain_named_up_to_the_entry_that_people_signed() {
    let (one, (chain, last)) = (signed(&first(), &[11, 12]).await, last_entry().await);
    let with = async |last: Vec<(Chain, LastEntry)>| {
        let two = second(|root| {
            root.authorities.promotion[0].revoked = Some(revoked(LONG_AGO, last));
            root.authorities.promotion.push(named(4, LONG_AGO + SignedDuration::from_hours(1)));
        });
        judged(&[one.clone(), two.await]).await
    };
    with(vec![(chain.clone(), last.clone())]).await.unwrap();
    for forged in [
        Vec::new(),
        vec![(chain.clone(), LastEntry { sequence: last.sequence, sha256: Sha256::of(b"other") })],
        vec![(chain.clone(), LastEntry { sequence: last.sequence + 1, ..last.clone() })],
        vec![(Chain::of_gate(chain.repo.clone()), last.clone())],
    ] {
        let told = with(forged).await.unwrap_err();
        assert!(told.contains("FAILS  ledger/head.json: the signature holds under keys/promotion.pem"), "{told}");
    }
}

#[tokio::test]
async fn a_later_root_of_ones_own_counts_before_the_bundles() {
    let files = bundled(&[signed(&first(), &[11, 12]).await]).await;
    let later = second(|root| {
        root.authorities.gate[0].revoked = Some(revoked(LONG_AGO, []));
        root.authorities.gate.push(named(4, LONG_AGO + SignedDuration::from_hours(1)));
    });
    let own = OwnKeys { root: Some(later.await), ..OwnKeys::default() };
    assert_eq!(verify(&files, &OwnKeys::default(), None).unwrap().verdict, Holds::Holds);
    let told = troubles(&verify(&files, &own, None).unwrap()).join("\n");
    assert!(told.contains("which somebody else may have had since"), "{told}");
}

#[tokio::test]
async fn evidence_of_what_each_of_two_keys_signed_holds_and_the_chain_tells_the_hand_over() {
    let one = signed(&first(), &[11, 12]).await;
    let two = second(|root| {
        root.authorities.promotion[0].until = Some(far());
        root.authorities.promotion.push(named(4, "2026-05-01T00:00:00Z".parse().unwrap()));
    });
    let documents = vec![(1, one.clone()), (2, two.await)];
    let keys = PublicKeys::named_by(walk(&Pin { version: 1, sha256: Sha256::of(&one) }, documents).unwrap()).unwrap();
    let mut world = World::promoted().await;
    // The old key's function is replaced between two promotions.
    world.promotion = LocalSigner::from_seed(4).named_with(keys.promotion.clone());
    world.promote("01JT0000000000000000000004", false).await;
    let mut exhibits = world.exhibits(question()).await;
    let fingerprint = |seed| LocalSigner::from_seed(seed).key().fingerprint();
    let hand_overs = exhibits.entries(paper::LEDGER).into_iter().filter_map(|it| it.entry?.event.hand_over);
    let hand_overs: Vec<_> = hand_overs.map(|it| (it.from, it.to)).collect();
    assert_eq!(hand_overs, [(fingerprint(2), fingerprint(4))]);

    exhibits.keys = Some(keys);
    let evidence = judge(&exhibits);
    assert_eq!(troubles(&evidence), Vec::<String>::new());
    let files = bundle::files(&exhibits, &evidence).unwrap();
    assert_eq!(troubles(&verify(&files, &OwnKeys::default(), None).unwrap()), Vec::<String>::new());
    let (code, said) = script(&files, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ledger/head.json: the key that the chain was handed over to signed it"), "{said}");
    // Who knows the old key alone is not led on to the new one.
    exhibits.keys = Some(PublicKeys::fixed(LocalSigner::from_seed(1).key(), LocalSigner::from_seed(2).key(), None));
    assert_eq!(judge(&exhibits).verdict, Holds::Fails);
}
