//! JSON as a stream: what a parser would keep in memory is bounded before it gets there.
//!
//! A parser keeps a byte for each open bracket, and each string that it is asked for.

use std::io::{self, Read};

use crate::shown::parse_error;

/// What a document may have at the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The deepest nesting.
    pub(crate) depth: usize,
    /// The longest string, in bytes as written.
    pub(crate) string: usize,
    /// How deep the strings lie that are bounded.
    pub(crate) strings_down_to: usize,
    /// The longest member of the document, in bytes.
    pub(crate) member: usize,
}

/// A bound that a document passes, with its number: an error, because a reader can only end with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutOfBounds {
    #[error("nested deeper than {0}")]
    Depth(usize),
    #[error("a string longer than {0} bytes")]
    String(usize),
    #[error("a member longer than {0} bytes")]
    Member(usize),
}

/// Why a document was not read to its end.
pub(crate) enum Failure {
    /// The bytes could not be read.
    Io(io::Error),
    /// It passes a bound.
    OutOfBounds(OutOfBounds),
    /// It is not JSON, or not such a document: why, as a message may show it.
    Invalid(String),
}

/// A parser of a document that keeps to `bounds`. What comes of it goes through [`finish`].
pub(crate) fn parser<R: Read>(reader: R, bounds: Bounds) -> Parser<R> {
    let bounded = Bounded { inner: reader, bounds, member: 0, depth: 0, string: None, escaped: false };
    serde_json::Deserializer::from_reader(io::BufReader::with_capacity(64 * 1024, bounded))
}

pub(crate) type Parser<R> = serde_json::Deserializer<serde_json::de::IoRead<io::BufReader<Bounded<R>>>>;

/// Sees that nothing follows the document, and tells a read that failed from a document that is refused.
pub(crate) fn finish<R: Read, T>(mut parser: Parser<R>, result: serde_json::Result<T>) -> Result<T, Failure> {
    result.and_then(|value| parser.end().map(|()| value)).map_err(|error| {
        if !error.is_io() {
            return Failure::Invalid(parse_error(&error));
        }
        let error = io::Error::from(error);
        match error.get_ref().and_then(|inner| inner.downcast_ref::<OutOfBounds>()) {
            Some(bound) => Failure::OutOfBounds(*bound),
            None => Failure::Io(error),
        }
    })
}

/// A reader that ends with [`OutOfBounds`] where the JSON in it passes a bound.
pub(crate) struct Bounded<R> {
    inner: R,
    bounds: Bounds,
    /// The length of the document's member that is being read.
    member: usize,
    depth: usize,
    /// The length of the string that is being read, where one is.
    string: Option<usize>,
    escaped: bool,
}

impl<R> Bounded<R> {
    fn check(&mut self, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let Bounds { depth, string, strings_down_to, member } = self.bounds;
        for byte in bytes {
            self.member = if self.depth > 1 { self.member + 1 } else { 0 };
            if self.member > member {
                return Err(OutOfBounds::Member(member));
            }
            match (&mut self.string, byte) {
                (Some(_), _) if self.escaped => self.escaped = false,
                (Some(_), b'\\') => self.escaped = true,
                (string @ Some(_), b'"') => *string = None,
                (Some(length), _) if *length >= string && self.depth <= strings_down_to => {
                    return Err(OutOfBounds::String(string));
                }
                (Some(length), _) => *length += 1,
                (None, b'"') => self.string = Some(0),
                (None, b'{' | b'[') if self.depth == depth => return Err(OutOfBounds::Depth(depth)),
                (None, b'{' | b'[') => self.depth += 1,
                (None, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                (None, _) => {}
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        self.check(bytes).map_err(|bound| io::Error::new(io::ErrorKind::InvalidData, bound))?;
        Ok(length)
    }
}
