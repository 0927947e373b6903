//! Timestamps of RFC 3161: that some bytes existed before a time, by the word of an authority that is not the gatekeeper.
//!
//! What is asked carries a digest and a nonce and nothing else, so that an authority learns nothing of what it stamps. What it
//! answers is kept whole, as `openssl ts` reads it.

#![warn(missing_docs)] // others build on this crate

#[cfg(any(test, feature = "test-support"))]
pub mod authority;
#[cfg(feature = "verify")]
mod verify;

use cms::{content_info::ContentInfo, signed_data::SignedData};
use der::{
    Decode as _, Reader as _, SliceReader, Tag, Tagged as _,
    asn1::{AnyRef, Int, ObjectIdentifier, OctetStringRef},
};
use gatekeeper_model::ids::Sha256;
use jiff::Timestamp;
#[cfg(feature = "verify")]
pub use verify::{InvalidRoots, Roots, Verified};

/// The media type of what is asked (RFC 3161, 3.4).
pub const QUERY_TYPE: &str = "application/timestamp-query";

/// The largest answer that is read, in bytes: one with a chain of four certificates of RSA takes a tenth of it.
pub const MAX_BYTES: u64 = 64 * 1024;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Why an answer is no timestamp of what it should be of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It isn't an answer as RFC 3161 has it.
    #[error("it is no answer of a timestamp authority: {0}")]
    Malformed(String),
    /// The authority did not give one.
    #[error("the authority refused: status {0}")]
    Refused(u8),
    /// It is of something else than the bytes with this SHA-256.
    #[error("it is of other bytes: these have the SHA-256 `{0}`")]
    OtherBytes(Sha256),
    /// It answers another question.
    #[error("it has another nonce than was sent: it is an answer to somebody else, or an old one")]
    OtherNonce,
    /// Nobody whom the roots vouch for signed it.
    #[error("{0}")]
    Untrusted(String),
}

/// What an answer says, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When it was given, by the authority's clock.
    pub at: Timestamp,
    nonce: Option<Vec<u8>>,
}

/// Something to be stamped, and what tells the answer to it from every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    sha256: Sha256,
    nonce: [u8; 8],
}

impl Query {
    /// Asks for a timestamp of the bytes with this SHA-256; `random` makes the nonce.
    #[must_use]
    pub fn new(sha256: Sha256, random: [u8; 8]) -> Self {
        let mut nonce = random;
        // A positive INTEGER of exactly eight bytes, in its one form.
        nonce[0] = nonce[0] & 0x7f | 0x40;
        Self { sha256, nonce }
    }

    /// The request, `TimeStampReq` in DER: version 1, the imprint, the nonce, and the wish for the authority's certificates.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut der = vec![0x30, 0x43, 0x02, 0x01, 0x01];
        der.extend([0x30, 0x31, 0x30, 0x0d, 0x06, 0x09]); // MessageImprint, AlgorithmIdentifier
        der.extend(SHA256.as_bytes());
        der.extend([0x05, 0x00, 0x04, 0x20]); // no parameters; the digest
        der.extend(self.sha256.as_bytes());
        der.extend([0x02, 0x08]);
        der.extend(self.nonce);
        der.extend([0x01, 0x01, 0xff]);
        der
    }

    /// Whether an answer is one to this.
    ///
    /// # Errors
    /// [`Invalid`] where it isn't. Who signed it is not looked at.
    pub fn answered(&self, answer: &[u8]) -> Result<Told, Invalid> {
        let told = read(answer, self.sha256)?;
        if told.nonce.as_deref() == Some(&self.nonce) { Ok(told) } else { Err(Invalid::OtherNonce) }
    }
}

/// What an answer says of the bytes with this SHA-256, whoever signed it.
///
/// # Errors
/// [`Invalid`] where it is no timestamp of them.
pub fn read(answer: &[u8], sha256: Sha256) -> Result<Told, Invalid> {
    let (_, content) = signed_data(answer)?;
    info(&content, sha256)
}

/// What is signed in a granted answer, and the `TSTInfo` in it.
fn signed_data(answer: &[u8]) -> Result<(SignedData, Vec<u8>), Invalid> {
    // TimeStampResp: PKIStatusInfo, whose first is the status, and the token.
    let response = parts(&AnyRef::from_der(answer).map_err(malformed)?)?;
    let status = response.first().map(parts).transpose()?;
    let status = status.as_deref().and_then(<[_]>::first).ok_or_else(|| is_malformed("it has no status"))?;
    let status = status.decode_as::<u8>().map_err(malformed)?;
    if status > 1 {
        return Err(Invalid::Refused(status)); // 0 is granted, 1 granted with modifications
    }
    let token = response.get(1).ok_or_else(|| is_malformed("it is granted and has no token"))?;
    let content = token.decode_as::<ContentInfo>().map_err(malformed)?;
    if content.content_type != SIGNED_DATA {
        return Err(is_malformed("its token is not signed data"));
    }
    let signed: SignedData = content.content.decode_as().map_err(malformed)?;
    if signed.encap_content_info.econtent_type != TST_INFO {
        return Err(is_malformed("what is signed is not the information of a timestamp"));
    }
    let info = signed.encap_content_info.econtent.as_ref().ok_or_else(|| is_malformed("nothing is signed"))?;
    let info = info.decode_as::<OctetStringRef<'_>>().map_err(malformed)?.as_bytes().to_vec();
    Ok((signed, info))
}

/// `TSTInfo` (RFC 3161, 2.4.2): version, policy, imprint, serial number and time; of what may follow, the nonce.
fn info(der: &[u8], sha256: Sha256) -> Result<Told, Invalid> {
    let all = parts(&AnyRef::from_der(der).map_err(malformed)?)?;
    let [version, policy, imprint, serial, time, rest @ ..] = all.as_slice() else {
        return Err(is_malformed("its information is cut off"));
    };
    if version.decode_as::<u8>().map_err(malformed)? != 1 {
        return Err(is_malformed("it is of another version"));
    }
    policy.decode_as::<ObjectIdentifier>().map_err(malformed)?;
    serial.decode_as::<Int>().map_err(malformed)?;
    let [algorithm, digest] = parts(imprint)?.try_into().map_err(|_| is_malformed("its imprint is none"))?;
    let algorithm = parts(&algorithm)?; // it may come with its NULL or without
    let algorithm = algorithm.first().ok_or_else(|| is_malformed("its imprint is none"))?;
    let digest = digest.decode_as::<OctetStringRef<'_>>().map_err(malformed)?.as_bytes();
    if algorithm.decode_as::<ObjectIdentifier>().map_err(malformed)? != SHA256 || digest != sha256.as_bytes() {
        return Err(Invalid::OtherBytes(sha256));
    }
    let nonce = rest.iter().find(|it| it.tag() == Tag::Integer).map(|it| it.value().to_vec());
    Ok(Told { at: generalized_time(time)?, nonce })
}

fn malformed(error: der::Error) -> Invalid {
    Invalid::Malformed(error.to_string())
}

fn is_malformed(what: &str) -> Invalid {
    Invalid::Malformed(what.to_owned())
}

/// The parts of a SEQUENCE.
fn parts<'a>(whole: &AnyRef<'a>) -> Result<Vec<AnyRef<'a>>, Invalid> {
    if whole.tag() != Tag::Sequence {
        return Err(Invalid::Malformed(format!("there is a {} where a SEQUENCE should be", whole.tag())));
    }
    let mut reader = SliceReader::new(whole.value()).map_err(malformed)?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(AnyRef::decode(&mut reader).map_err(malformed)?);
    }
    Ok(parts)
}

/// A time in Zulu, with a fraction of a second where the authority tells one (RFC 3161, 2.4.2): `YYYYMMDDhhmmss[.s…]Z`, which
/// the library takes without the fraction only.
fn generalized_time(time: &AnyRef<'_>) -> Result<Timestamp, Invalid> {
    let invalid = || is_malformed("it tells no time");
    let text = std::str::from_utf8(time.value()).map_err(|_| invalid())?;
    let (whole, fraction) = match text.strip_suffix('Z').ok_or_else(invalid)?.split_once('.') {
        // DER has no zeros at the end, and no point where nothing follows.
        Some((whole, fraction)) if !fraction.is_empty() && !fraction.ends_with('0') => (whole, fraction),
        Some(_) => return Err(invalid()),
        None => (text.trim_end_matches('Z'), ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if time.tag() != Tag::GeneralizedTime || whole.len() != 14 || !is_digits(whole) || !is_digits(fraction) {
        return Err(invalid());
    }
    let part = |range| whole.get(range).unwrap_or_default();
    let (date, clock) =
        ([part(0..4), part(4..6), part(6..8)].join("-"), [part(8..10), part(10..12), part(12..14)].join(":"));
    // Times are told to the nanosecond; what is finer changes nothing.
    let fraction = fraction.get(..9.min(fraction.len())).filter(|it| !it.is_empty()).map(|it| format!(".{it}"));
    format!("{date}T{clock}{}Z", fraction.unwrap_or_default()).parse().map_err(|_| invalid())
}

#[cfg(test)]
mod tests;
