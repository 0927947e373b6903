//! TUF's rules of the root role, and the attacks of its conformance tests (<https://github.com/theupdateframework/tuf-conformance>)
//! on it, each by its name there.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use gatekeeper_model::ids::{Chain, Sha256};
use jiff::Timestamp;

use super::*;
use crate::{LastEntry, LocalSigner, Signer as _};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn in_days(days: i64) -> Timestamp {
    NOW + SignedDuration::from_hours(24 * days)
}

/// Whose root key is of which seed.
const PEOPLE: [(&str, u8); 3] = [("jane", 11), ("ravi", 12), ("mia", 13)];

fn root_key(person: &str, seed: u8) -> RootKey {
    RootKey {
        person: person.to_owned(),
        algorithm: ALGORITHM.to_owned(),
        pem: LocalSigner::from_seed(seed).key().to_pem(),
    }
}

fn named(seed: u8, from: Timestamp) -> NamedKey {
    NamedKey::new(&LocalSigner::from_seed(seed).key(), None, from)
}

fn root(version: u64) -> Root {
    Root {
        schema_version: 1,
        version,
        expires: in_days(400),
        threshold: 2,
        root_keys: PEOPLE.map(|(person, seed)| root_key(person, seed)).to_vec(),
        authorities: Authorities {
            gate: vec![named(1, NOW)],
            promotion: vec![named(2, NOW)],
            approval: vec![named(3, NOW)],
        },
    }
}

fn signed(root: &Root, seeds: &[u8]) -> Vec<u8> {
    let mut signed = SignedRoot::unsigned(root).unwrap();
    for seed in seeds {
        let signer = LocalSigner::from_seed(*seed);
        let digest = Sha256::of(&signed.message().unwrap());
        let signature = signer.sign(digest).now_or_never().unwrap().unwrap();
        signed.add(&signer.key(), &signature).unwrap();
    }
    signed.to_bytes().unwrap()
}

/// What a walk over these comes to; the first is pinned.
fn walked(documents: &[Vec<u8>]) -> Result<Walked, TrustError> {
    let documents: Vec<_> = (1..).zip(documents.iter().cloned()).collect();
    walk(&Pin { version: 1, sha256: digest(&documents[0].1) }, documents)
}

fn refused(documents: &[Vec<u8>]) -> String {
    walked(documents).unwrap_err().to_string()
}

#[test]
fn each_version_is_signed_by_the_people_of_the_one_before_and_by_its_own() {
    let mut second = root(2);
    second.root_keys = vec![root_key("jane", 11), root_key("ravi", 12), root_key("omar", 14)];
    let documents =
        [signed(&root(1), &[11, 12]), signed(&second, &[11, 12]), signed(&Root { version: 3, ..second }, &[12, 14])];
    let walked = walked(&documents).unwrap();
    assert_eq!((walked.root.version, walked.documents.len()), (3, 3));
    assert_eq!(walked.last().unwrap().to_string(), format!("3:{}", digest(&documents[2])));
}

#[test]
fn rollback_no_older_version_takes_the_place_of_a_later_one() {
    let first = signed(&root(1), &[11, 12]);
    insta::assert_snapshot!(refused(&[first.clone(), first]), @"version 1 of the trust root: it comes after version 1: versions go on by one");
    // A verifier that was given a later version doesn't take one of before.
    let (old, new) = (signed(&root(1), &[11, 12]), signed(&root(2), &[11, 12]));
    let pin = Pin { version: 2, sha256: digest(&new) };
    let error = walk(&pin, vec![(1, old)]).unwrap_err();
    assert!(error.what.contains("is the one that is trusted"), "{error}");
    insta::assert_snapshot!(walk(&pin, Vec::new()).unwrap_err(), @"version 2 of the trust root: it is not there, and nothing else is trusted");
}

#[test]
fn fast_forward_no_version_is_left_out() {
    for version in [3, u64::MAX] {
        let far = refused(&[signed(&root(1), &[11, 12]), signed(&root(version), &[11, 12])]);
        assert!(far.ends_with("it comes after version 1: versions go on by one"), "{far}");
    }
    assert!(root(1).follows(&root(u64::MAX)).is_err(), "and none follows the last that there can be");
}

#[test]
fn freeze_only_the_last_version_may_not_have_expired() {
    let past = Root { expires: in_days(1), ..root(1) };
    let kept = walked(&[signed(&past, &[11, 12])]).unwrap();
    assert!(kept.root.has_expired(in_days(2)) && kept.root.has_expired(in_days(1)) && !kept.root.has_expired(NOW));
    let renewed = walked(&[signed(&past, &[11, 12]), signed(&root(2), &[11, 12])]).unwrap();
    assert!(!renewed.root.has_expired(in_days(2)), "an expired one still leads to the next");
}

#[test]
fn threshold_too_few_people_of_either_version_are_refused() {
    insta::assert_snapshot!(refused(&[signed(&root(1), &[11])]), @"version 1 of the trust root: `jane` of the people of version 1 signed it, and 2 have to");
    insta::assert_snapshot!(refused(&[signed(&root(1), &[])]), @"version 1 of the trust root: nobody of the people of version 1 signed it, and 2 have to");
    let mut taken_over = root(2);
    taken_over.root_keys = vec![root_key("mallory", 21), root_key("mallet", 22)];
    insta::assert_snapshot!(refused(&[signed(&root(1), &[11, 12]), signed(&taken_over, &[21, 22])]), @"version 2 of the trust root: nobody of the people of version 1 signed it, and 2 have to");
    insta::assert_snapshot!(refused(&[signed(&root(1), &[11, 12]), signed(&taken_over, &[11, 12])]), @"version 2 of the trust root: nobody of the people of version 2 signed it, and 2 have to");
    let lower = Root { threshold: 1, ..root(1) };
    insta::assert_snapshot!(refused(&[signed(&lower, &[11, 12])]), @"version 1 of the trust root: its threshold is 1: one person alone must not replace keys");
    let mut twice = root(1);
    twice.root_keys = vec![root_key("jane", 11), root_key("Jane", 12), root_key("mia", 13)];
    insta::assert_snapshot!(refused(&[signed(&twice, &[11, 12])]), @"version 1 of the trust root: `jane` and `Jane` are one person in two spellings");
    let higher = Root { threshold: 4, ..root(1) };
    insta::assert_snapshot!(refused(&[signed(&higher, &[11, 12])]), @"version 1 of the trust root: its threshold is 4, and it names 3 people who could sign");
}

#[test]
fn duplicate_keys_and_signatures_count_once() {
    let mut twice = root(1);
    twice.root_keys.push(root_key("omar", 11));
    assert!(refused(&[signed(&twice, &[11, 12])]).contains("stands in it twice (omar)"));
    // Two keys of a person are one person.
    let mut two_keys = root(1);
    two_keys.root_keys.push(root_key("jane", 14));
    assert!(refused(&[signed(&two_keys, &[11, 14])]).contains("`jane` of the people of version 1 signed it"));
    walked(&[signed(&two_keys, &[14, 12])]).unwrap();
    // One signature written twice, once under another key's name.
    let mut document: serde_json::Value = serde_json::from_slice(&signed(&root(1), &[11])).unwrap();
    let mut again = document["signatures"][0].clone();
    document["signatures"].as_array_mut().unwrap().push(again.clone());
    again["keyid"] = LocalSigner::from_seed(12).key().fingerprint().to_string().into();
    document["signatures"].as_array_mut().unwrap().push(again);
    assert!(refused(&[serde_json::to_vec(&document).unwrap()]).contains("`jane` of the people of version 1 signed it"));
    // A key has one power.
    let mut powers = root(1);
    powers.authorities.promotion.push(named(1, NOW));
    assert!(refused(&[signed(&powers, &[11, 12])]).contains("stands in it twice (promotion)"));
    powers.authorities.promotion[1] = named(12, NOW);
    assert!(
        refused(&[signed(&powers, &[11, 12])]).contains("stands in it twice (promotion)"),
        "nor is it a person's too"
    );
}

#[test]
fn arbitrary_software_whatever_else_is_written_is_refused() {
    let good = signed(&root(1), &[11, 12]);
    for (at, change) in (0..good.len()).step_by(7).flat_map(|at| [1_u8, 0x20].map(|change| (at, change))) {
        let mut flipped = good.clone();
        flipped[at] ^= change;
        let changed = |root: &Root| *root != self::root(1);
        assert!(!first_of(&flipped).is_ok_and(|root| changed(&root)), "byte {at} may change by {change:#x}");
    }
    let odd = String::from_utf8(good).unwrap().replace("trust-root+json", "other+json");
    assert!(refused(&[odd.into_bytes()]).contains("other+json"));
    assert!(refused(&[vec![b' '; 1024 * 1024 + 1]]).contains("larger than"));
}

#[test]
fn an_unknown_algorithm_is_told_by_its_name() {
    let mut post_quantum = root(2);
    post_quantum.authorities.gate.push(NamedKey { algorithm: "ml-dsa-65".to_owned(), ..named(4, in_days(1)) });
    insta::assert_snapshot!(refused(&[signed(&root(1), &[11, 12]), signed(&post_quantum, &[11, 12])]), @"version 2 of the trust root: gate: the algorithm `ml-dsa-65` is unknown to this gatekeeper, which knows `ecdsa-p256-sha256`");
}

#[test]
fn no_key_that_signed_is_taken_out_and_what_was_revoked_stays_so() {
    let revoked = Revocation { at: in_days(1), reason: "a laptop was stolen".to_owned(), last: BTreeMap::default() };
    let mut before = root(1);
    before.authorities.gate[0].revoked = Some(revoked);
    before.authorities.gate.push(named(4, in_days(1)));
    let next = |change: &dyn Fn(&mut Root)| {
        let mut next = Root { version: 2, ..before.clone() };
        change(&mut next);
        next.follows(&before).map_err(|error| error.what)
    };
    next(&|_| {}).unwrap();
    next(&|it| it.authorities.gate[1].until = Some(in_days(2))).unwrap();
    assert!(next(&|it| drop(it.authorities.gate.remove(1))).unwrap_err().contains("is gone"));
    assert!(next(&|it| it.authorities.gate[1].from = NOW).unwrap_err().contains("`from`"));
    assert!(next(&|it| it.authorities.gate[0].revoked = None).unwrap_err().contains("stays so"));
    let mut alone = root(1);
    alone.authorities.gate[0].revoked = before.authorities.gate[0].revoked.clone();
    assert!(alone.check().unwrap_err().what.contains("names no key that isn't revoked"));
}

#[test]
fn a_key_may_sign_in_its_time_alone() {
    let mut root = root(1);
    root.authorities.promotion[0].until = Some(in_days(7));
    root.authorities.promotion.push(named(4, in_days(3)));
    let keys = root.authority(Authority::Promotion).unwrap();
    let (old, new) = (LocalSigner::from_seed(2).key(), LocalSigner::from_seed(4).key());
    let may = |day| (keys.may_sign(&old, in_days(day)), keys.may_sign(&new, in_days(day)));
    assert_eq!([may(2), may(3), may(7)], [(true, false), (true, true), (false, true)]);
    assert_eq!(*keys.present(), new);
    assert!(!keys.may_sign(&LocalSigner::from_seed(9).key(), in_days(3)));
    let of_old = keys.iter().find(|it| it.key == old).unwrap();
    of_old.vouches(Some(in_days(7))).unwrap();
    assert!(matches!(of_old.vouches(Some(in_days(8))), Err(crate::InvalidAttestation::Late { .. })));
}

#[test]
fn a_revoked_key_counts_only_for_what_the_ledger_named_before() {
    let chain = Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() };
    let last = LastEntry { sequence: 7, sha256: Sha256::of(b"7") };
    let mut root = root(1);
    root.authorities.promotion[0].revoked = Some(Revocation {
        at: in_days(5),
        reason: "a laptop was stolen".to_owned(),
        last: [(chain.to_string(), last.clone())].into(),
    });
    root.authorities.promotion.push(named(4, in_days(5)));
    let keys = root.authority(Authority::Promotion).unwrap();
    let key = keys.iter().find(|it| it.revoked.is_some()).unwrap();
    let counts = |named| key.vouches_where_named(Some(NOW), named).is_ok();
    // Its own time is nothing, because whoever has the key writes it.
    assert!(!counts(None));
    assert!(counts(Some(crate::Named::ByAnother(in_days(5)))) && !counts(Some(crate::Named::ByAnother(in_days(6)))));
    assert!(counts(Some(crate::Named::ByOwn(&chain, 7))) && !counts(Some(crate::Named::ByOwn(&chain, 8))));
    let other = Chain::of_gate(chain.repo.clone());
    assert!(!counts(Some(crate::Named::ByOwn(&other, 1))));
    let head = |chain: &Chain, sequence, of: &[u8], is_seen| {
        let about = LastEntry { sequence, sha256: Sha256::of(of) };
        key.vouches_for_head(chain, &about, NOW, is_seen).is_ok()
    };
    assert!(head(&chain, 7, b"7", false));
    assert!(!head(&chain, 7, b"forged", false) && !head(&chain, 8, b"8", false) && !head(&other, 1, b"1", false));
    assert!(!head(&chain, 6, b"6", false), "an older head is a ledger that was rolled back");
    assert!(head(&chain, 6, b"6", true), "but one that the witness has seen");
}
