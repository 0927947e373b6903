//! What Pulumi writes of a stack: its history, its state, and what a preview tells (ADR-053, "Pulumi").
//!
//! All of it may hold secrets: inputs and outputs of resources, and the configuration. None of that is ever kept, and no
//! message quotes it. Each document is read as a stream, and how much is kept of it has a bound.

pub mod backend;
pub mod history;
mod holds;
pub mod preview;
pub mod refresh;
pub mod state;
#[cfg(test)]
mod tests;
mod urn;

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

pub use self::{
    holds::holds,
    urn::{InvalidUrn, Urn},
};
use crate::bounded_json::{Bounds, Failure, OutOfBounds};

/// The longest string that is looked at, in bytes as written; those of inputs and outputs lie deeper mostly.
const MAX_STRING: usize = if cfg!(test) { 64 * 1024 } else { 4 * 1024 * 1024 };

/// The most names that are kept of a document, in bytes: of stacks with 100,000 resources.
const MAX_NAMES: usize = if cfg!(test) { 64 * 1024 } else { 16 * 1024 * 1024 };

/// The largest document that is read, unpacked.
const MAX_BYTES: u64 = if cfg!(test) { 4 * 1024 * 1024 } else { 1024 * 1024 * 1024 };

/// How a document of Pulumi's is packed, which the end of its file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// It is JSON as it is.
    None,
    /// By gzip: `PULUMI_SELF_MANAGED_STATE_GZIP`.
    Gzip,
}

impl Packing {
    /// How the file is packed; `None` where this gate can't unpack it.
    #[must_use]
    pub fn of(file: &str) -> Option<Self> {
        match file.rsplit_once('.')?.1 {
            "json" => Some(Self::None),
            "gz" => Some(Self::Gzip),
            _ => None,
        }
    }

    /// The document's own bytes.
    pub fn unpack<'a>(self, reader: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::None => Box::new(Limited { reader, left: MAX_BYTES }),
            Self::Gzip => Box::new(Limited { reader: MultiGzDecoder::new(reader), left: MAX_BYTES }),
        }
    }
}

/// A reader that fails after so many bytes: what is cut off must not look whole.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                OutOfBounds::Member(usize::try_from(MAX_BYTES).unwrap_or(usize::MAX)),
            )
        })?;
        Ok(read)
    }
}

/// What a document may have whose strings lie this deep that are kept.
const fn bounds(strings_down_to: usize) -> Bounds {
    Bounds { depth: 128, string: MAX_STRING, strings_down_to, member: usize::MAX }
}

/// Why a document was not read, in words; an error where its bytes could not be read.
fn told(failure: Failure, kind: &str) -> io::Result<String> {
    match failure {
        // A gzip that is broken is an answer of the decoder's, not of whoever gave the bytes.
        Failure::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof) => {
            Ok(format!("not {kind}: it can't be unpacked: {error}"))
        }
        Failure::Io(error) => Err(error),
        Failure::OutOfBounds(bound @ OutOfBounds::Depth(_)) => Ok(format!("the document is {bound}")),
        Failure::OutOfBounds(OutOfBounds::Member(most)) => Ok(format!("the document is longer than {most} bytes")),
        Failure::OutOfBounds(bound) => Ok(format!("the document has {bound}")),
        // What the parser says may quote a value, and a value may be a secret.
        Failure::Invalid(message) => Ok(format!("not {kind}: {}", without_values(&message))),
    }
}

/// What a parser says, without the values that it quotes: where it is, and what was expected.
fn without_values(message: &str) -> String {
    let place = message.rfind(" at line ").and_then(|at| message.get(at..)).unwrap_or_default();
    let what = match message.split_once(", expected ") {
        Some((_, expected)) => {
            let expected = expected.strip_suffix(place).unwrap_or(expected);
            format!("a value is not {expected}")
        }
        None => message.strip_suffix(place).unwrap_or(message).to_owned(),
    };
    format!("{what}{place}")
}
