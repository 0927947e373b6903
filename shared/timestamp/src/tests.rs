//! `openssl ts` is the other side of each test: it reads what is asked, answers, and verifies what is verified here.

use std::{fs, process::Command};

use super::{
    authority::{Authority, Kind, USUAL},
    *,
};

const RSA: Kind = Kind { key: "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", ..USUAL };

fn head() -> (&'static [u8], Sha256) {
    (b"a head", Sha256::of(b"a head"))
}

fn query() -> Query {
    Query::new(head().1, [0xff; 8])
}

/// Whether openssl takes an answer as one on the head under this root.
fn openssl_takes(answer: &[u8], root: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("head", head().0), ("reply.tsr", answer), ("root.pem", root)] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let words = "ts -verify -data head -in reply.tsr -CAfile root.pem".split(' ');
    Command::new("openssl").args(words).current_dir(&folder).output().unwrap().status.success()
}

#[test]
fn a_query_is_one_that_openssl_reads() {
    let folder = tempfile::tempdir().unwrap();
    for random in [[0; 8], [0xff; 8], *b"random!!"] {
        let query = Query::new(head().1, random);
        fs::write(folder.path().join("query"), query.to_der()).unwrap();
        let words = "ts -query -in query -text".split(' ');
        let said = Command::new("openssl").args(words).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let nonce = format!("{:016X}", u64::from_be_bytes(query.nonce));
        for line in ["Version: 1", "Hash Algorithm: sha256", &format!("Nonce: 0x{nonce}"), "Certificate required: yes"]
        {
            assert!(said.contains(line), "{line}: {said}");
        }
    }
}

#[test]
fn answers_of_every_kind_of_authority_hold_and_under_their_own_root_only() {
    let strange = Authority::new(USUAL);
    let kinds = [
        USUAL,
        RSA,
        Kind { key: "-algorithm EC -pkeyopt ec_paramgen_curve:P-384", digest: "sha384", ..USUAL },
        Kind { digest: "sha512", ..RSA },
        Kind { more: "clock_precision_digits = 3", ..USUAL },
        Kind { more: "ordering = yes\ntsa_name = yes\naccuracy = secs:1, millisecs:500, microsecs:100", ..USUAL },
        Kind { more: "ess_cert_id_chain = yes\ness_cert_id_alg = sha1", ..USUAL },
    ];
    for kind in kinds {
        let authority = Authority::new(kind);
        let answer = authority.answer(&query().to_der());
        let told = query().answered(&answer).unwrap();
        assert!(openssl_takes(&answer, &authority.root()), "{kind:?}");
        let roots = Roots::from_pem(&[strange.root(), authority.root()].concat()).unwrap();
        let verified = roots.verify(&answer, head().1).unwrap();
        assert_eq!(verified, Verified { at: told.at, authority: "CN=tsa,O=Example Trust".to_owned() }, "{kind:?}");

        let error = Roots::from_pem(&strange.root()).unwrap().verify(&answer, head().1).unwrap_err();
        assert!(error.to_string().starts_with("its signer's certificate leads to none of the roots"), "{error}");
        let other = roots.verify(&answer, Sha256::of(b"another head")).unwrap_err();
        assert_eq!(other, Invalid::OtherBytes(Sha256::of(b"another head")));
        assert_eq!(Query::new(head().1, [1; 8]).answered(&answer), Err(Invalid::OtherNonce));
    }
}

#[test]
fn a_certificate_that_is_not_for_timestamps_alone_signs_none() {
    let authority = Authority::new(USUAL);
    let (_, information) = signed_data(&authority.answer(&query().to_der())).unwrap();
    let verified = |usage: &str| {
        let answer = authority.answer_by(&information, usage);
        Roots::from_pem(&authority.root()).unwrap().verify(&answer, head().1).map_err(|error| error.to_string())
    };
    assert!(verified("critical, timeStamping").is_ok());
    for usage in ["timeStamping", "critical, timeStamping, codeSigning", "critical, codeSigning"] {
        assert_eq!(verified(usage).unwrap_err(), "its signer's certificate is not for timestamps alone", "{usage}");
    }
}

#[test]
fn a_refusal_is_called_what_it_is() {
    let authority = Authority::new(USUAL);
    // The authority takes SHA-256 only.
    let mut query = query().to_der();
    let place = query.windows(9).position(|it| it == SHA256.as_bytes()).unwrap();
    query[place + 8] = 2;
    query.splice(1..2, [0x43 + 16]);
    query.splice(6..7, [0x31 + 16]);
    query.splice(place + 12..place + 13, [48]);
    query.splice(place + 13..place + 13, [0; 16]);
    let error = read(&authority.answer(&query), head().1).unwrap_err();
    assert_eq!(error, Invalid::Refused(2));
    for nothing in [&b""[..], b"<html>", &[0x30, 0x00], &[0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00]] {
        assert!(matches!(read(nothing, head().1), Err(Invalid::Malformed(_))), "{nothing:?}");
    }
    for none in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Roots::from_pem(none).is_err());
    }
}

#[test]
fn a_time_is_read_with_its_fraction_and_in_one_form_only() {
    let read = |text: &str| {
        let any = AnyRef::new(Tag::GeneralizedTime, text.as_bytes()).unwrap();
        generalized_time(&any).ok().map(|at| at.to_string())
    };
    assert_eq!(read("20260502031005Z").as_deref(), Some("2026-05-02T03:10:05Z"));
    assert_eq!(read("20260502031005.25Z").as_deref(), Some("2026-05-02T03:10:05.25Z"));
    assert_eq!(read("20260502031005.1234567891Z").as_deref(), Some("2026-05-02T03:10:05.123456789Z"));
    for other in [
        "20260502031005",
        "20260502031005.Z",
        "20260502031005.20Z",
        "202605020310Z",
        "20261302031005Z",
        "20260502031005+01",
    ] {
        assert_eq!(read(other), None, "{other}");
    }
}

#[test]
fn no_bit_of_an_answer_changes_unseen_where_openssl_sees_it() {
    for kind in
        [USUAL, RSA, Kind { more: "ordering = yes\ntsa_name = yes\naccuracy = secs:1", digest: "sha512", ..USUAL }]
    {
        let authority = Authority::new(kind);
        let (answer, root) = (authority.answer(&query().to_der()), authority.root());
        let roots = Roots::from_pem(&root).unwrap();
        let mut unseen = Vec::new();
        for (place, bit) in (0..answer.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut changed = answer.clone();
            changed[place] ^= 1 << bit;
            if roots.verify(&changed, head().1).is_ok() && !openssl_takes(&changed, &root) {
                unseen.push((place, bit));
            }
        }
        assert!(unseen.is_empty(), "{kind:?}: bytes and bits {unseen:?} of {answer:02x?}");
    }
}
