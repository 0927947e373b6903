//! What is signed: an envelope is written in one way only, and no bytes but the signer's own are opened.

use std::{fmt, sync::LazyLock};

use futures_util::FutureExt as _;
use p256::{
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _},
    pkcs8::EncodePublicKey as _,
};

use crate::{
    input::kind,
    product::{
        Deployment, Envelope, KeyHolder, Predicate, PublicKey, Sha256, Signer, Signing, SigningError, Statement,
        TestResult, VerificationSummary, attestation, bundle, bundle_verify,
    },
};

/// The key that the laws sign with, and one that they don't.
static OURS: LazyLock<Key> = LazyLock::new(|| Key::of(7));
static ANOTHER: LazyLock<PublicKey> = LazyLock::new(|| Key::of(8).public);

/// The envelope that edits are made in.
static GENUINE: LazyLock<Vec<u8>> =
    LazyLock::new(|| enveloped(br#"{"_type":"https://in-toto.io/Statement/v1","subject":[]}"#));

struct Key {
    signing: SigningKey,
    public: PublicKey,
}

impl Key {
    fn of(seed: u8) -> Self {
        let signing = SigningKey::from_slice(Sha256::of(&[seed]).as_bytes()).expect("a digest is a scalar of P-256");
        let der = signing.verifying_key().to_public_key_der().expect("a key has a DER form");
        Self { public: PublicKey::from_der(der.as_bytes()).expect("it is on P-256"), signing }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of the laws")
    }
}

impl KeyHolder for Key {
    fn public_key(&self) -> Signing<'_, PublicKey> {
        Box::pin(async { Ok(self.public.clone()) })
    }
}

impl Signer for Key {
    fn sign(&self, digest: Sha256) -> Signing<'_, Vec<u8>> {
        let signed: Result<Signature, _> = self.signing.sign_prehash(digest.as_bytes());
        Box::pin(async move {
            signed.map(|signature| signature.to_der().as_bytes().to_vec()).map_err(|error| SigningError::Key {
                key: "a key of the laws".to_owned(),
                operation: "signing",
                source: Box::new(error),
            })
        })
    }
}

/// A payload in an envelope of ours. The signatures are those of RFC 6979: the same for the same payload.
fn enveloped(payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope::sign(payload, &*OURS).now_or_never().expect("nothing is waited for").expect("it signs");
    envelope.to_bytes().expect("an envelope is written")
}

/// The laws of attestations. The first line says what follows: an envelope (`dsse`), edits of a genuine one (`edit`), a
/// statement to be signed (`statement`), a key (`pem`, `der`), or the files of a bundle of evidence (`bundle`).
pub fn attestation(input: &[u8]) {
    match kind(input) {
        Some(("dsse", bytes)) => envelope(bytes),
        Some(("edit", edits)) => edited(edits),
        Some(("statement", payload)) => statement(payload),
        Some(("pem", text)) => {
            let Ok(text) = str::from_utf8(text) else { return };
            if let Ok(key) = PublicKey::from_pem(text) {
                written(&key);
            }
        }
        Some(("der", der)) => {
            if let Ok(key) = PublicKey::from_der(der) {
                assert_eq!(key.to_der(), der, "a key has one DER form");
                written(&key);
            }
        }
        Some(("bundle", files)) => evidence(files),
        _ => {}
    }
}

fn written(key: &PublicKey) {
    assert_eq!(PublicKey::from_der(&key.to_der()).as_ref(), Ok(key));
    assert_eq!(PublicKey::from_pem(&key.to_pem()).as_ref(), Ok(key));
    assert_eq!(key.fingerprint(), Sha256::of(&key.to_der()));
}

/// An envelope that is read is written as it was, and only one that is ours is opened.
fn envelope(bytes: &[u8]) {
    let envelope = match Envelope::parse(bytes) {
        Ok(envelope) => envelope,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(envelope.to_bytes().expect("an envelope is written"), bytes);
    assert!(envelope.verify(&ANOTHER).is_err(), "another key opens it");
    match envelope.verify(&OURS.public) {
        Ok(payload) => {
            assert_eq!(envelope.payload(), Ok(payload.clone()));
            assert_eq!(enveloped(&payload), bytes, "an envelope that is opened is one that was signed, to the byte");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let sigstore = attestation::bundle::of(&envelope, &OURS.public).expect("a bundle is written");
    assert!(attestation::bundle::is_of(&sigstore, &envelope, &OURS.public));
    assert!(!attestation::bundle::is_of(&sigstore, &envelope, &ANOTHER));
    assert!(!attestation::bundle::is_of(bytes, &envelope, &OURS.public));
}

/// Whatever is written over a genuine envelope makes it none, or leaves it as it was. An edit is a place of two bytes, and a
/// byte; a place behind the end takes the last byte away.
fn edited(edits: &[u8]) {
    let mut bytes = GENUINE.clone();
    for edit in edits.as_chunks::<3>().0.iter().take(64) {
        let [high, low, value] = *edit;
        match bytes.get_mut(usize::from(u16::from_be_bytes([high, low]))) {
            Some(byte) => *byte = value,
            None => drop(bytes.pop()),
        }
    }
    let opened = Envelope::parse(&bytes).and_then(|envelope| envelope.verify(&OURS.public));
    assert_eq!(opened.is_ok(), bytes == *GENUINE, "{}", String::from_utf8_lossy(&bytes));
}

/// What is signed is opened under its own key and as its own type only, and says then what it said.
fn statement(payload: &[u8]) {
    let dsse = enveloped(payload);
    let envelope = Envelope::parse(&dsse).expect("it was written");
    assert!(envelope.verify(&ANOTHER).is_err(), "another key opens it");
    assert_eq!(envelope.verify(&OURS.public).as_deref(), Ok(payload));
    let opened = [opened::<TestResult>(&dsse), opened::<VerificationSummary>(&dsse), opened::<Deployment>(&dsse)];
    assert!(opened.iter().filter(|it| **it).count() <= 1, "it is a statement of several types");
}

fn opened<P: Predicate + PartialEq + fmt::Debug>(dsse: &[u8]) -> bool {
    match Statement::<P>::open_under(dsse, &OURS.public.clone().into()) {
        Ok(statement) => {
            let again = enveloped(&statement.to_bytes().expect("a statement is written"));
            assert_eq!(Statement::<P>::open_under(&again, &OURS.public.clone().into()), Ok(statement));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// A bundle's files are verified without failing, twice alike, and packed they unpack to the same. Each file begins with a line
/// `== NAME`.
fn evidence(files: &[u8]) {
    let Ok(text) = str::from_utf8(files) else { return };
    let mut all = bundle::Files::new();
    for file in format!("\n{text}").split("\n== ").skip(1).take(16) {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        all.insert(name.to_owned(), content.as_bytes().to_vec());
    }
    let verified = bundle_verify::verify(&all, &bundle_verify::OwnKeys::default(), None);
    if let Ok(evidence) = &verified {
        let json = serde_json::to_vec(evidence).expect("evidence is written");
        let again =
            bundle_verify::verify(&all, &bundle_verify::OwnKeys::default(), None).expect("it was verified before");
        assert_eq!(serde_json::to_vec(&again).expect("evidence is written"), json);
    }
    let names_are_plain = all.keys().all(|name| {
        name.len() < 200
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'/' | b'_'))
            && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !all.keys().any(|other| other.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/')))
    });
    if names_are_plain && !all.is_empty() {
        let packed = bundle::pack(&all).expect("a bundle is packed");
        assert_eq!(bundle::unpack(&packed), Ok(all), "a bundle unpacks as it was packed");
    }
}
