//! JSON reports as streams: what a parser would keep in memory is bounded before it gets there.

use std::io::{self, Read};

use super::{NotAReport, Stop};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// The longest string in bytes as written: a failure's message may hold what a test printed.
const MAX_STRING: usize = 8 * 1024 * 1024;

/// A parser of the document, no member of which may be longer than `max_member` bytes. What comes of it goes through
/// [`finish`].
pub(super) fn parser<R: Read>(reader: R, max_member: usize) -> Parser<R> {
    let bounded = Bounded { inner: reader, max_member, member: 0, depth: 0, string: None, escaped: false };
    serde_json::Deserializer::from_reader(io::BufReader::with_capacity(64 * 1024, bounded))
}

pub(super) type Parser<R> = serde_json::Deserializer<serde_json::de::IoRead<io::BufReader<Bounded<R>>>>;

/// Sees that nothing follows the document, and tells a read that failed from a document that is none.
pub(super) fn finish<R: Read, T>(mut parser: Parser<R>, result: serde_json::Result<T>) -> Result<T, Stop> {
    result.and_then(|value| parser.end().map(|()| value)).map_err(|error| {
        if !error.is_io() {
            let why: String = error.to_string().chars().take(500).filter(|c| !c.is_control()).collect();
            return NotAReport::new(why).into();
        }
        let error = io::Error::from(error);
        match error.get_ref().and_then(|inner| inner.downcast_ref::<OutOfBounds>()) {
            Some(bound) => NotAReport::new(bound.to_string()).into(),
            None => error.into(),
        }
    })
}

/// A bound that a document passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum OutOfBounds {
    #[error("it is nested deeper than {MAX_DEPTH}")]
    Depth,
    #[error("it holds a string longer than {MAX_STRING} bytes")]
    String,
    #[error("it holds a member longer than {0} bytes")]
    Member(usize),
}

/// A reader that ends with [`OutOfBounds`] where the JSON in it nests too deep or has too long a string or member.
pub(super) struct Bounded<R> {
    inner: R,
    max_member: usize,
    /// The length of the document's member that is being read.
    member: usize,
    depth: usize,
    /// The length of the string that is being read, where one is.
    string: Option<usize>,
    escaped: bool,
}

impl<R> Bounded<R> {
    fn check(&mut self, bytes: &[u8]) -> Result<(), OutOfBounds> {
        for byte in bytes {
            self.member = if self.depth > 1 { self.member + 1 } else { 0 };
            if self.member > self.max_member {
                return Err(OutOfBounds::Member(self.max_member));
            }
            match (&mut self.string, byte) {
                (Some(_), _) if self.escaped => self.escaped = false,
                (Some(_), b'\\') => self.escaped = true,
                (string @ Some(_), b'"') => *string = None,
                (Some(length), _) if *length == MAX_STRING => return Err(OutOfBounds::String),
                (Some(length), _) => *length += 1,
                (None, b'"') => self.string = Some(0),
                (None, b'{' | b'[') if self.depth == MAX_DEPTH => return Err(OutOfBounds::Depth),
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
