//! Whose word a timestamp is: the signature in it, under a certificate for timestamps that a root vouches for at that time.

use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    signed_data::{SignedAttributes, SignedData, SignerIdentifier, SignerInfo},
};
use der::{
    Encode as _,
    asn1::{Any, ObjectIdentifier, OctetStringRef},
};
use gatekeeper_model::ids::Sha256;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use sha2::Digest as _;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::{
    Certificate,
    ext::pkix::{ExtendedKeyUsage, SubjectKeyIdentifier},
    spki::AlgorithmIdentifierOwned,
};

use super::{Invalid, SHA256, TST_INFO, info, signed_data};

const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// What was given as the roots of authorities can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it holds no certificates of timestamp authorities in PEM: {0}")]
pub struct InvalidRoots(String);

/// The roots of the authorities whose word counts, as who verifies got them.
#[derive(Debug, Clone)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// A timestamp by somebody whom the roots vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// When it was given, by the authority's clock.
    pub at: Timestamp,
    /// Whose certificate signed it, as the certificate names its subject.
    pub authority: String,
}

impl Roots {
    /// Reads certificates in PEM, one or more.
    ///
    /// # Errors
    /// [`InvalidRoots`] where there is none, or one that can't be a root.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidRoots> {
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let roots = read.map_err(|error| InvalidRoots(error.to_string()))?;
        if roots.is_empty() {
            return Err(InvalidRoots("there is none in it".to_owned()));
        }
        for root in &roots {
            anchor_from_trusted_cert(root).map_err(|error| InvalidRoots(error.to_string()))?;
        }
        Ok(Self(roots))
    }

    /// Verifies that an answer is a timestamp of the bytes with this SHA-256 (RFC 3161, 2.2; RFC 5652, 5.6): one signer, whose
    /// certificate is in the answer, is for timestamps and for nothing else, and leads to one of the roots at the time told.
    /// Whether that certificate was revoked is not asked: it is what needs a network.
    ///
    /// # Errors
    /// [`Invalid`] where it isn't one.
    pub fn verify(&self, answer: &[u8], sha256: Sha256) -> Result<Verified, Invalid> {
        let untrusted = |why: &str| Invalid::Untrusted(why.to_owned());
        let (signed, content) = signed_data(answer)?;
        let told = info(&content, sha256)?;
        let [signer] = signed.signer_infos.0.as_slice() else {
            return Err(untrusted("it has more or fewer signers than one"));
        };
        // The list is not signed; RFC 5652, 5.1 lets a verifier refuse a digest that is missing in it, as openssl does.
        let listed = signed.digest_algorithms.iter().any(|it| it.oid == signer.digest_alg.oid);
        let mut algorithms = signed.digest_algorithms.iter().chain([&signer.digest_alg, &signer.signature_algorithm]);
        if !listed || !algorithms.all(has_no_parameters) {
            return Err(untrusted("the algorithms that it names are not those of its signature"));
        }
        let attributes = signer.signed_attrs.as_ref().ok_or_else(|| untrusted("its signer signed no attributes"))?;
        tells_of(attributes, signer, &content)?;

        let certificates = certificates(&signed);
        let of_signer = certificates.iter().copied().find(|it| is_of(it, &signer.sid));
        let of_signer = of_signer.ok_or_else(|| untrusted("its signer's certificate is not in it"))?;
        let only_for_time = of_signer.tbs_certificate.get::<ExtendedKeyUsage>();
        if !matches!(only_for_time, Ok(Some((true, usage))) if usage.0 == [TIME_STAMPING]) {
            return Err(untrusted("its signer's certificate is not for timestamps alone"));
        }

        let der = |it: &&Certificate| it.to_der().map(CertificateDer::from);
        let end = der(&of_signer).map_err(super::malformed)?;
        let end = EndEntityCert::try_from(&end).map_err(|error| Invalid::Untrusted(error.to_string()))?;
        let between = certificates.iter().map(der).collect::<Result<Vec<_>, _>>().map_err(super::malformed)?;
        let anchors = self.0.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect::<Vec<_>>();
        let at = u64::try_from(told.at.as_second()).map_err(|_| untrusted("it tells a time before 1970"))?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
        let usage = KeyUsage::required(TIME_STAMPING.as_bytes());
        end.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &between, at, usage, None, None).map_err(|error| {
            Invalid::Untrusted(format!("its signer's certificate leads to none of the roots: {error}"))
        })?;

        let message = attributes.to_der().map_err(super::malformed)?;
        let holds = |algorithm: &&dyn rustls_pki_types::SignatureVerificationAlgorithm| {
            end.verify_signature(*algorithm, &message, signer.signature.as_bytes()).is_ok()
        };
        if !ALL_VERIFICATION_ALGS.iter().any(holds) {
            return Err(untrusted("its signature does not hold"));
        }
        Ok(Verified { at: told.at, authority: of_signer.tbs_certificate.subject.to_string() })
    }
}

/// What is signed are these attributes, which must tell of the content.
fn tells_of(attributes: &SignedAttributes, signer: &SignerInfo, content: &[u8]) -> Result<(), Invalid> {
    let one = |oid: ObjectIdentifier| {
        let mut found = attributes.iter().filter(|it| it.oid == oid);
        let attribute = found.next().filter(|it| it.values.len() == 1)?;
        if found.next().is_some() { None } else { attribute.values.get(0) }
    };
    let of_type = one(CONTENT_TYPE).and_then(|it| it.decode_as::<ObjectIdentifier>().ok());
    let digest = match signer.digest_alg.oid {
        SHA256 => sha2::Sha256::digest(content).to_vec(),
        SHA384 => sha2::Sha384::digest(content).to_vec(),
        SHA512 => sha2::Sha512::digest(content).to_vec(),
        other => {
            return Err(Invalid::Untrusted(format!("it is signed over a digest of kind {other}, which is not taken")));
        }
    };
    let told = one(MESSAGE_DIGEST).and_then(|it| it.decode_as::<OctetStringRef<'_>>().ok());
    if of_type != Some(TST_INFO) || told.is_none_or(|it| it.as_bytes() != digest) {
        return Err(Invalid::Untrusted("what its signer signed is not what it tells".to_owned()));
    }
    Ok(())
}

/// Digests and signatures have none, or NULL in their place (RFC 5754, 2 and 3); only RSASSA-PSS has.
fn has_no_parameters(algorithm: &AlgorithmIdentifierOwned) -> bool {
    algorithm.oid == RSASSA_PSS || algorithm.parameters.as_ref().is_none_or(Any::is_null)
}

fn certificates(signed: &SignedData) -> Vec<&Certificate> {
    let all = signed.certificates.iter().flat_map(|set| set.0.iter());
    all.filter_map(|it| match it {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    })
    .collect()
}

fn is_of(certificate: &Certificate, id: &SignerIdentifier) -> bool {
    let own = &certificate.tbs_certificate;
    match id {
        SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber { issuer, serial_number }) => {
            own.issuer == *issuer && own.serial_number == *serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            matches!(own.get::<SubjectKeyIdentifier>(), Ok(Some((_, own))) if own == *id)
        }
    }
}
