//! JSON reports as streams: what a parser would keep in memory is bounded before it gets there.

use std::{
    fmt,
    io::{self, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};

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

/// A string. Half a surrogate pair in it, which is what is left of a title that a program cut inside of an emoji, is read
/// as U+FFFD, as the same tools write it into XML.
#[derive(Debug)]
pub(super) struct Lossy(pub(super) String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LossyVisitor;

        impl Visitor<'_> for LossyVisitor {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Lossy, E> {
                Ok(Lossy(text.to_owned()))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Lossy, E> {
                without_surrogates(bytes).map(Lossy).ok_or_else(|| E::custom("a string that is not UTF-8"))
            }
        }

        // As bytes `serde_json` lets half a pair pass, in three bytes as UTF-8 would have it.
        deserializer.deserialize_bytes(LossyVisitor)
    }
}

fn without_surrogates(mut bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    loop {
        let error = match str::from_utf8(bytes) {
            Ok(rest) if text.is_empty() => return Some(rest.to_owned()),
            Ok(rest) => return Some(text + rest),
            Err(error) => error,
        };
        let (valid, rest) = bytes.split_at_checked(error.valid_up_to())?;
        let ([0xed, 0xa0..=0xbf, 0x80..=0xbf], after) = rest.split_first_chunk()? else { return None };
        text.push_str(str::from_utf8(valid).ok()?);
        text.push('\u{fffd}');
        bytes = after;
    }
}

/// Whether an array is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsEmpty(pub(super) bool);

impl<'de> Deserialize<'de> for IsEmpty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IsEmptyVisitor;

        impl<'de> Visitor<'de> for IsEmptyVisitor {
            type Value = IsEmpty;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IsEmpty, A::Error> {
                let mut is_empty = true;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    is_empty = false;
                }
                Ok(IsEmpty(is_empty))
            }
        }

        deserializer.deserialize_seq(IsEmptyVisitor)
    }
}
