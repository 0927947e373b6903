//! Who built a commit, by Sigstore bundles: bytes, trusted roots and keys go in, facts or a reason come out.
//!
//! Nothing is fetched. Which roots count is the caller's word; those of Sigstore's public instance and of GitHub's own are in
//! the library, as their projects released them. A certificate lives for ten minutes, so it is judged at the times that a
//! transparency log or a timestamp authority gives to the signature, all of which must lie in its validity, and the facts say
//! which times these were. The one clock that is read is the library's: a log's time must not lie in the future.
//!
//! What is taken is what instances of Sigstore issue: with a log's root, the entry must be proved to be in the log and the
//! certificate in a certificate transparency log; a root without logs, as GitHub's, must have timestamp authorities.

#![warn(missing_docs)] // others build on this crate

mod crypto;
#[cfg(any(test, feature = "test-support"))]
pub mod instance;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    ids::Sha256,
    provenance::{
        Build, GITHUB, MAX_BUNDLE_BYTES, Proven, RootName, SIGSTORE, SignedAt, SigningClock, Trust, TrustedBy,
    },
};
use jiff::Timestamp;
use serde::Deserialize;
use sigstore_verify::{
    CertificatePolicy, VerificationPolicy, VerificationResult, Verifier,
    crypto::{SubjectAltName, VerificationKey},
    trust_root::{SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot},
    types::{
        ArtifactDigest, Bundle, DerPublicKey, DsseEnvelope, HashAlgorithm, Sha256Hash, Sha512Hash, SignatureContent,
        bundle::VerificationMaterialContent, pae,
    },
};

/// The predicate type of SLSA's provenance.
pub const SLSA_PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// Why a statement that names none is refused.
const NO_SUBJECT: &str = "its statement has no subject with a SHA-256";

/// The payload type of in-toto's statements.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Why a bundle proves nothing, in words for whoever uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Why there is nothing to verify against.
#[derive(Debug, thiserror::Error)]
pub enum NoTrust {
    /// A root that is not given, and that the library does not have.
    #[error("there is no trusted root `{0}`: put `config/trusted-roots/{0}.json` into the records bucket")]
    Unknown(RootName),
    /// A root that is none.
    #[error("the trusted root `{name}` can't be used: {why}")]
    Root {
        /// Its name.
        name: RootName,
        /// What is wrong.
        why: String,
    },
    /// A key that is none.
    #[error("the public key `{name}` can't be used: {why}")]
    Key {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// What a bundle attests, whatever kind of statement it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// What the statement is.
    pub predicate_type: String,
    /// Who built what.
    pub proven: Proven,
}

/// Verifies bundles against what it was made of, as often as one likes.
pub struct Provenance {
    roots: Vec<Instance>,
    keys: Vec<(String, VerificationKey)>,
}

/// An instance of Sigstore.
struct Instance {
    name: RootName,
    /// Of a root that was given.
    sha256: Option<Sha256>,
    verifier: Verifier,
    policy: VerificationPolicy,
}

/// What of a statement of SLSA is read. Everything else of it is between the builder and its readers.
#[derive(Deserialize)]
struct Statement {
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default)]
    predicate: serde_json::Value,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slsa {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    #[serde(default)]
    resolved_dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    uri: Option<String>,
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: BuilderId,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct BuilderId {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    invocation_id: Option<String>,
}

impl Provenance {
    /// Ready to verify against `trust`.
    ///
    /// # Errors
    /// [`NoTrust`] where a root or a key of it is none.
    pub fn new(trust: &Trust) -> Result<Self, NoTrust> {
        crypto::install();
        let roots = trust.roots.iter().map(|(name, json)| Instance::new(name, json.as_deref()));
        let keys = trust.keys.iter().map(|(name, pem)| {
            let unusable = |why: String| NoTrust::Key { name: name.clone(), why };
            let key = DerPublicKey::from_pem(pem).map_err(|error| unusable(error.to_string()))?;
            let key = VerificationKey::from_spki(&key).map_err(|error| unusable(error.to_string()))?;
            Ok((name.clone(), key))
        });
        Ok(Self { roots: roots.collect::<Result<_, _>>()?, keys: keys.collect::<Result<_, _>>()? })
    }

    /// What a bundle proves as provenance.
    ///
    /// # Errors
    /// [`Refused`] where it proves nothing.
    pub fn verify(&self, bundle: &[u8]) -> Result<Proven, Refused> {
        let Attested { predicate_type, proven } = self.attested(bundle)?;
        if predicate_type != SLSA_PROVENANCE {
            return Err(Refused(format!("it is signed, but a `{predicate_type}` and no `{SLSA_PROVENANCE}`")));
        }
        if proven.subjects.is_empty() {
            return Err(Refused(NO_SUBJECT.to_owned()));
        }
        Ok(proven)
    }

    /// What a bundle attests, of whatever predicate type it is.
    ///
    /// # Errors
    /// [`Refused`] where it proves nothing.
    pub fn attested(&self, bundle: &[u8]) -> Result<Attested, Refused> {
        if u64::try_from(bundle.len()).is_ok_and(|length| length > MAX_BUNDLE_BYTES) {
            return Err(Refused(format!("it has {} bytes, the most is {MAX_BUNDLE_BYTES}", bundle.len())));
        }
        let text = std::str::from_utf8(bundle).map_err(|_| Refused("it is not UTF-8".to_owned()))?;
        let bundle = Bundle::from_json(text).map_err(|error| Refused(format!("it is no Sigstore bundle: {error}")))?;
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err(Refused(
                "it signs bytes and not a statement: make it with `actions/attest`, or with `cosign \
                                attest-blob`"
                    .to_owned(),
            ));
        };
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(Refused(format!("its payload is a `{}` and no `{PAYLOAD_TYPE}`", envelope.payload_type)));
        }
        let statement: Statement = serde_json::from_slice(envelope.payload.as_bytes())
            .map_err(|error| Refused(format!("its payload is no in-toto statement: {error}")))?;
        let mut subjects = BTreeSet::new();
        for subject in &statement.subject {
            let Some(digest) = subject.digest.get("sha256") else { continue };
            subjects.insert(digest.parse::<Sha256>().map_err(|error| Refused(format!("a subject: {error}")))?);
        }
        // The library binds a statement to one artefact, and here it is whichever the statement names: which artefacts it
        // must name is for whoever asks.
        let mut others = statement.subject.iter().filter_map(|subject| subject.digest.get("sha512"));
        let one: ArtifactDigest = match (subjects.first(), others.next()) {
            (Some(sha256), _) => Sha256Hash::from_hex(&sha256.to_string()).map(Into::into),
            (None, Some(sha512)) => {
                Sha512Hash::from_hex(sha512).and_then(|it| ArtifactDigest::new(HashAlgorithm::Sha2512, it))
            }
            (None, None) => return Err(Refused(NO_SUBJECT.to_owned())),
        }
        .map_err(|error| Refused(error.to_string()))?;
        let build = match &bundle.verification_material.content {
            VerificationMaterialContent::PublicKey(_) => self.by_key(envelope, &statement.predicate)?,
            _ => self.by_certificate(&bundle, &one)?,
        };
        Ok(Attested { predicate_type: statement.predicate_type, proven: Proven { build, subjects } })
    }

    /// By the first root under which it holds.
    fn by_certificate(&self, bundle: &Bundle, subject: &ArtifactDigest) -> Result<Build, Refused> {
        let mut reasons = Vec::new();
        for instance in &self.roots {
            let Instance { name, verifier, policy, .. } = instance;
            match verifier.verify(subject.clone(), bundle, policy) {
                Ok(verified) => return built_by_certificate(instance, &verified),
                Err(error) => reasons.push(format!("by root `{name}`: {}", chain(&error))),
            }
        }
        if reasons.is_empty() {
            reasons.push("a certificate signed it, and the policy names no builder with one".to_owned());
        }
        Err(Refused(reasons.join("; ")))
    }

    /// By the first key under which it holds; which key it should be, the bundle only hints at. What a key signs is its
    /// owner's word, with or without a log, so that entries and timestamps beside it are passed over.
    fn by_key(&self, envelope: &DsseEnvelope, predicate: &serde_json::Value) -> Result<Build, Refused> {
        let signed = pae(&envelope.payload_type, envelope.payload.as_bytes());
        let mut reasons = Vec::new();
        for (name, key) in &self.keys {
            match key.verify(&signed, &envelope.signature.sig) {
                Ok(()) => return built_by_key(name, predicate),
                Err(error) => reasons.push(format!("by key `{name}`: {error}")),
            }
        }
        if reasons.is_empty() {
            reasons.push("a key signed it, and the policy names no builder with one".to_owned());
        }
        Err(Refused(reasons.join("; ")))
    }
}

impl Instance {
    fn new(name: &RootName, json: Option<&str>) -> Result<Self, NoTrust> {
        let unusable = |why: String| NoTrust::Root { name: name.clone(), why };
        let sha256 = json.map(|json| Sha256::of(json.as_bytes()));
        let json = match (json, name.as_str()) {
            (Some(json), _) => json,
            (None, SIGSTORE) => SIGSTORE_PRODUCTION_TRUSTED_ROOT,
            (None, GITHUB) => SIGSTORE_GITHUB_TRUSTED_ROOT,
            (None, _) => return Err(NoTrust::Unknown(name.clone())),
        };
        let root = TrustedRoot::from_json(json).map_err(|error| unusable(error.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|error| unusable(chain(&error)))?;
        let mut policy = VerificationPolicy::any_identity();
        // What an instance has is asked for. One without logs has timestamp authorities, or no signature of it has a time.
        if root.tlogs.is_empty() {
            policy = policy.skip_tlog_unsafe();
        }
        if root.ctlogs.is_empty() {
            policy = policy.skip_sct();
        }
        Ok(Self { name: name.clone(), sha256, verifier, policy })
    }
}

fn built_by_certificate(instance: &Instance, verified: &VerificationResult) -> Result<Build, Refused> {
    let policy = &instance.policy;
    let missing = |what: &str| Refused(format!("its certificate does not tell {what}"));
    let Some(certificate) = verified.certificate().filter(|_| verified.certificate_verified()) else {
        return Err(missing("who signed"));
    };
    let wants_sct = matches!(policy.certificate(), CertificatePolicy::Verify { verify_sct: true, .. });
    if policy.verifies_tlog() != verified.tlog_verified() || wants_sct != verified.sct_verified() {
        return Err(Refused("its logs were not verified".to_owned()));
    }
    let claims = &certificate.ci_claims;
    let identity = verified.identity().map(|it| match it {
        SubjectAltName::Email(text) | SubjectAltName::Uri(text) => text.clone(),
        other => other.to_string(),
    });
    Ok(Build {
        trusted_by: TrustedBy::Root(instance.name.clone()),
        root_sha256: instance.sha256,
        builder: claims.build_signer_uri.clone().or_else(|| identity.clone()).ok_or_else(|| missing("who signed"))?,
        issuer: verified.issuer().map(str::to_owned),
        identity,
        repository: claims.source_repository_uri.clone(),
        git_ref: claims.source_repository_ref.clone(),
        commit: claims.source_repository_digest.clone(),
        builder_commit: claims.build_signer_digest.clone(),
        run: claims.run_invocation_uri.clone(),
        trigger: claims.build_trigger.clone(),
        runner: claims.runner_environment.clone(),
        signed_at: signed_at(verified)?,
        valid_from: Some(timestamp(certificate.not_before)?),
        valid_until: Some(timestamp(certificate.not_after)?),
    })
}

fn built_by_key(name: &str, predicate: &serde_json::Value) -> Result<Build, Refused> {
    let slsa = Slsa::deserialize(predicate).map_err(|error| {
        Refused(format!("key `{name}` signed it, but its predicate is no SLSA provenance: {error}"))
    })?;
    let sources = slsa.build_definition.resolved_dependencies.iter();
    let mut sources = sources.filter_map(|it| Some((it.uri.clone(), it.digest.get("gitCommit")?.clone())));
    let (Some((repository, commit)), None) = (sources.next(), sources.next()) else {
        return Err(Refused(
            "its predicate does not name exactly one `gitCommit` among `buildDefinition.resolvedDependencies`"
                .to_owned(),
        ));
    };
    Ok(Build {
        trusted_by: TrustedBy::Key(name.to_owned()),
        root_sha256: None,
        builder: slsa.run_details.builder.id,
        issuer: None,
        identity: None,
        repository,
        git_ref: None,
        commit: Some(commit),
        builder_commit: None,
        run: slsa.run_details.metadata.invocation_id,
        trigger: None,
        runner: None,
        signed_at: Vec::new(),
        valid_from: None,
        valid_until: None,
    })
}

fn signed_at(verified: &VerificationResult) -> Result<Vec<SignedAt>, Refused> {
    let of_log = verified.integrated_time();
    let times = verified.verified_timestamps().iter().map(|time| {
        let by = if Some(*time) == of_log { SigningClock::TransparencyLog } else { SigningClock::TimestampAuthority };
        Ok(SignedAt { at: timestamp(*time)?, by })
    });
    times.collect()
}

/// A time of the library's, which has another version of the same type.
fn timestamp(time: impl std::fmt::Display) -> Result<Timestamp, Refused> {
    time.to_string().parse().map_err(|error| Refused(format!("its time `{time}`: {error}")))
}

/// An error with what is behind it, each once: some say it themselves.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
