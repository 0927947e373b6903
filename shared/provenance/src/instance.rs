//! A whole Sigstore in memory, for tests: a certificate authority, a certificate transparency log and a transparency log
//! of one entry, each with a key of its own. What it signs is verified by the code that verifies real bundles.

#![allow(clippy::expect_used, reason = "only tests come here")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatekeeper_model::ids::Sha256;
use jiff::{Timestamp, ToSpan as _};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::EncodePublicKey as _,
};
use serde_json::{Value, json};
use sha2::Digest as _;
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, Verifier,
    trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot},
    types::{Bundle, DerPublicKey},
};

use crate::PAYLOAD_TYPE;

/// An instance, all of whose keys follow from its name.
#[derive(Debug, Clone)]
pub struct Instance {
    authority: SigningKey,
    certificates: SigningKey,
    entries: SigningKey,
    name: String,
}

/// What a certificate says of a workflow.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// The identity provider.
    pub issuer: String,
    /// The workflow at its ref.
    pub workflow: String,
    /// The source repository.
    pub repository: String,
    /// The branch or tag.
    pub git_ref: String,
    /// The commit.
    pub commit: String,
    /// The run.
    pub run: String,
}

impl Workflow {
    /// The workflow of a repository of `https://github.com/bank`, at a commit of its main branch.
    #[must_use]
    pub fn of(repo: &str, commit: &str) -> Self {
        let repository = format!("https://github.com/bank/{repo}");
        Self {
            issuer: "https://token.actions.githubusercontent.com".to_owned(),
            workflow: format!("{repository}/.github/workflows/pipeline.yml@refs/heads/main"),
            git_ref: "refs/heads/main".to_owned(),
            commit: commit.to_owned(),
            run: format!("{repository}/actions/runs/4711/attempts/1"),
            repository,
        }
    }
}

/// When what is signed is signed.
const SIGNED_AT: &str = "2026-05-02T03:04:05Z";

impl Instance {
    /// The instance of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            authority: key(&format!("{name} authority")),
            certificates: key(&format!("{name} certificates")),
            entries: key(&format!("{name} entries")),
            name: name.to_owned(),
        }
    }

    /// Its `trusted_root.json`.
    #[must_use]
    pub fn trusted_root(&self) -> String {
        let log = |key: &SigningKey, url: &str| {
            json!({
                "baseUrl": url, "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2026-01-01T00:00:00Z"},
                },
                "logId": {"keyId": STANDARD.encode(sha256(&spki(key)))},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.entries, "https://rekor.test")],
            "certificateAuthorities": [{
                "subject": {"organization": self.name, "commonName": self.name}, "uri": "https://fulcio.test",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(self.root_certificate())}]},
                "validFor": {"start": "2026-01-01T00:00:00Z"},
            }],
            "ctlogs": [log(&self.certificates, "https://ctfe.test")],
            "timestampAuthorities": [],
        })
        .to_string()
    }

    /// A bundle over `statement`, as `workflow` would make it.
    #[must_use]
    pub fn attest(&self, workflow: &Workflow, statement: &Value) -> Value {
        self.attest_after(workflow, statement, 1)
    }

    /// The same, signed so many minutes after the certificate was issued, which is valid for ten.
    ///
    /// # Panics
    /// Where there is no such time.
    #[must_use]
    pub fn attest_after(&self, workflow: &Workflow, statement: &Value, minutes: i64) -> Value {
        let signed_at: Timestamp = SIGNED_AT.parse().expect("a time");
        let issued = signed_at.checked_sub(minutes.minutes()).expect("a time");
        let leaf = key("leaf");
        let certificate = self.certificate(&leaf, workflow, issued);
        let payload = statement.to_string();
        let signature = envelope_signature(&leaf, &payload);
        let pem = pem("CERTIFICATE", &certificate);
        let body = json!({
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": Sha256::of(b"an envelope")},
                "payloadHash": {"algorithm": "sha256", "value": Sha256::of(payload.as_bytes())},
                "signatures": [{"signature": STANDARD.encode(&signature), "verifier": STANDARD.encode(pem)}],
            },
        })
        .to_string();
        let material = json!({
            "certificate": {"rawBytes": STANDARD.encode(&certificate)},
            "tlogEntries": [self.entry(&body, signed_at)],
            "timestampVerificationData": {"rfc3161Timestamps": []},
        });
        bundle(&payload, &signature, &material)
    }

    /// An entry of a log that has no other.
    fn entry(&self, body: &str, integrated: Timestamp) -> Value {
        let id = sha256(&spki(&self.entries));
        let leaf = sha256(&[b"\0".as_slice(), body.as_bytes()].concat());
        let note = format!("rekor.test\n1\n{}\n", STANDARD.encode(leaf));
        let hint = id.get(..4).expect("a digest");
        let signed_note = STANDARD.encode([hint, &sign(&self.entries, note.as_bytes())].concat());
        let promise = json!({
            "body": STANDARD.encode(body), "integratedTime": integrated.as_second(),
            "logID": Sha256::from_bytes(id), "logIndex": 0,
        });
        json!({
            "logIndex": "0", "logId": {"keyId": STANDARD.encode(id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": integrated.as_second().to_string(),
            "inclusionPromise": {
                "signedEntryTimestamp": STANDARD.encode(sign(&self.entries, promise.to_string().as_bytes())),
            },
            "inclusionProof": {
                "logIndex": "0", "rootHash": STANDARD.encode(leaf), "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} rekor.test {signed_note}\n")},
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }

    fn root_certificate(&self) -> Vec<u8> {
        let from = "2026-01-01T00:00:00Z".parse().expect("a time");
        let until = "2036-01-01T00:00:00Z".parse().expect("a time");
        let extensions = [
            extension("2.5.29.15", true, &[0x03, 0x02, 0x01, 0x06]), // keyCertSign, cRLSign
            extension("2.5.29.19", true, &sequence(&[&[0x01, 0x01, 0xff]])), // a CA
        ];
        self.issue(&self.to_be_signed(&self.authority, &self.name, from, until, &extensions))
    }

    /// What Fulcio issues to a workflow: with the timestamp of a certificate transparency log over what it is without it.
    fn certificate(&self, leaf: &SigningKey, workflow: &Workflow, from: Timestamp) -> Vec<u8> {
        let until = from.checked_add(10.minutes()).expect("a time");
        let text = |oid: &str, text: &str| extension(oid, false, &der(0x0c, &[text.as_bytes()]));
        let mut extensions = vec![
            extension("2.5.29.15", true, &[0x03, 0x02, 0x07, 0x80]), // digitalSignature
            extension("2.5.29.37", false, &sequence(&[&oid("1.3.6.1.5.5.7.3.3")])), // code signing
            extension("2.5.29.17", true, &sequence(&[&der(0x86, &[workflow.workflow.as_bytes()])])),
            text("1.3.6.1.4.1.57264.1.8", &workflow.issuer),
            text("1.3.6.1.4.1.57264.1.9", &workflow.workflow),
            text("1.3.6.1.4.1.57264.1.11", "github-hosted"),
            text("1.3.6.1.4.1.57264.1.12", &workflow.repository),
            text("1.3.6.1.4.1.57264.1.13", &workflow.commit),
            text("1.3.6.1.4.1.57264.1.14", &workflow.git_ref),
            text("1.3.6.1.4.1.57264.1.20", "push"),
            text("1.3.6.1.4.1.57264.1.21", &workflow.run),
        ];
        let precertificate = self.to_be_signed(leaf, "", from, until, &extensions);
        let milliseconds = u64::try_from(from.as_millisecond()).expect("after 1970").to_be_bytes();
        let length = u32::try_from(precertificate.len()).expect("a short certificate").to_be_bytes();
        let signed = [
            &[0, 0], // version 1, a certificate's timestamp
            milliseconds.as_slice(),
            &[0, 1], // a precertificate
            &sha256(&spki(&self.authority)),
            &length[1..],
            &precertificate,
            &[0, 0], // without extensions
        ]
        .concat();
        let signature = sign(&self.certificates, &signed);
        let two = |length: usize| u16::try_from(length).expect("a short text").to_be_bytes();
        let id = sha256(&spki(&self.certificates));
        let timestamp: Vec<u8> = [
            &[0],
            id.as_slice(),
            &milliseconds,
            &[0, 0, 4, 3], // without extensions, ECDSA with SHA-256
            &two(signature.len()),
            &signature,
        ]
        .concat();
        let list = [two(timestamp.len() + 2), two(timestamp.len())].concat();
        extensions.push(extension("1.3.6.1.4.1.11129.2.4.2", false, &der(0x04, &[&list, &timestamp])));
        self.issue(&self.to_be_signed(leaf, "", from, until, &extensions))
    }

    fn to_be_signed(
        &self,
        subject: &SigningKey,
        subject_name: &str,
        from: Timestamp,
        until: Timestamp,
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let utc = |time: Timestamp| der(0x17, &[time.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()]);
        let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        sequence(&[
            &der(0xa0, &[&[0x02, 0x01, 0x02]]), // version 3
            &[0x02, 0x01, 0x2a],                // serial number 42
            &algorithm(),
            &name(&self.name),
            &sequence(&[&utc(from), &utc(until)]),
            &name(subject_name),
            &spki(subject),
            &der(0xa3, &[&sequence(&extensions)]),
        ])
    }

    fn issue(&self, to_be_signed: &[u8]) -> Vec<u8> {
        let signature = sign(&self.authority, to_be_signed);
        sequence(&[to_be_signed, &algorithm(), &der(0x03, &[&[0], &signature])])
    }
}

/// Verifies the artifact of a bundle as the library does, with the cryptography that is installed here: for suites whose
/// bundles sign bytes and not statements.
///
/// # Errors
/// Why it does not hold.
pub fn verify_artifact(
    artifact: &[u8],
    bundle: &str,
    root: Option<&str>,
    key: Option<&str>,
    (identity, issuer): (&str, &str),
) -> Result<(), String> {
    crate::crypto::install();
    let said = |error: &dyn std::error::Error| crate::chain(error);
    let root = TrustedRoot::from_json(root.unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT)).map_err(|it| said(&it))?;
    let bundle = Bundle::from_json(bundle).map_err(|it| said(&it))?;
    let verifier = Verifier::new(&root).map_err(|it| said(&it))?;
    let verified = match key {
        Some(key) => {
            let key = DerPublicKey::from_pem(key).map_err(|it| said(&it))?;
            verifier.verify(artifact, &bundle, &PublicKeyVerificationPolicy::new(key))
        }
        None => verifier.verify(artifact, &bundle, &VerificationPolicy::new(identity, issuer)),
    };
    verified.map(drop).map_err(|it| said(&it))
}

/// A bundle over `statement` that the key of this name signed, as `cosign attest-blob --key` makes it.
#[must_use]
pub fn signed_by_key(name: &str, statement: &Value) -> Value {
    let payload = statement.to_string();
    let signature = envelope_signature(&key(name), &payload);
    bundle(&payload, &signature, &json!({"publicKey": {"hint": name}, "tlogEntries": []}))
}

/// The public key of this name, as PEM.
#[must_use]
pub fn public_key(name: &str) -> String {
    pem("PUBLIC KEY", &spki(&key(name)))
}

/// SLSA's provenance of these bytes: what `actions/attest` states, without what nobody here reads.
#[must_use]
pub fn statement(subjects: &[Sha256], builder: &str, repository: &str, commit: &str) -> Value {
    let subjects = subjects.iter().map(|it| json!({"name": format!("object-{it}"), "digest": {"sha256": it}}));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": crate::SLSA_PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1", "externalParameters": {},
                "resolvedDependencies": [
                    {"uri": format!("git+{repository}@refs/heads/main"), "digest": {"gitCommit": commit}},
                ],
            },
            "runDetails": {
                "builder": {"id": builder}, "metadata": {"invocationId": format!("{repository}/actions/runs/4711")},
            },
        },
    })
}

fn bundle(payload: &str, signature: &[u8], material: &Value) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload), "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": STANDARD.encode(signature), "keyid": ""}],
        },
    })
}

fn envelope_signature(key: &SigningKey, payload: &str) -> Vec<u8> {
    let (length, of_type) = (payload.len(), PAYLOAD_TYPE.len());
    sign(key, format!("DSSEv1 {of_type} {PAYLOAD_TYPE} {length} {payload}").as_bytes())
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_slice(&sha256(name.as_bytes())).expect("a scalar")
}

fn sign(key: &SigningKey, bytes: &[u8]) -> Vec<u8> {
    let signature: Signature = key.sign(bytes);
    signature.to_der().as_bytes().to_vec()
}

fn spki(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_public_key_der().expect("a public key").into_vec()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64"));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | u8::try_from(length.len()).expect("a few bytes"));
        out.extend(length);
    } else {
        out.push(u8::try_from(content.len()).expect("a short length"));
    }
    out.extend(content);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, parts)
}

fn oid(dotted: &str) -> Vec<u8> {
    let mut arcs = dotted.split('.').map(|arc| arc.parse::<u64>().expect("an arc"));
    let first = arcs.next().expect("an arc") * 40 + arcs.next().expect("an arc");
    let mut bytes = Vec::new();
    for arc in [first].into_iter().chain(arcs) {
        let mut digits = vec![u8::try_from(arc & 0x7f).expect("seven bits")];
        let mut rest = arc >> 7;
        while rest > 0 {
            digits.push(0x80 | u8::try_from(rest & 0x7f).expect("seven bits"));
            rest >>= 7;
        }
        bytes.extend(digits.into_iter().rev());
    }
    der(0x06, &[&bytes])
}

fn algorithm() -> Vec<u8> {
    sequence(&[&oid("1.2.840.10045.4.3.2")])
}

fn name(common_name: &str) -> Vec<u8> {
    if common_name.is_empty() {
        return sequence(&[]);
    }
    let attribute = sequence(&[&oid("2.5.4.3"), &der(0x0c, &[common_name.as_bytes()])]);
    sequence(&[&der(0x31, &[&attribute])])
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    sequence(&[&oid(id), critical, &der(0x04, &[value])])
}
