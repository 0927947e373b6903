//! JSON reports as streams, with bounds that reports of the real tools keep to.

use std::{fmt, io::Read};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};

use super::{NotAReport, Stop};
use crate::bounded_json::{self, Bounds, Failure, OutOfBounds, Parser};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// The longest string in bytes as written: a failure's message may hold what a test printed.
const MAX_STRING: usize = 8 * 1024 * 1024;

/// A parser of the document, no member of which may be longer than `max_member` bytes. What comes of it goes through
/// [`finish`].
pub(super) fn parser<R: Read>(reader: R, max_member: usize) -> Parser<R> {
    let bounds = Bounds { depth: MAX_DEPTH, string: MAX_STRING, strings_down_to: usize::MAX, member: max_member };
    bounded_json::parser(reader, bounds)
}

/// Sees that nothing follows the document, and tells a read that failed from a document that is none.
pub(super) fn finish<R: Read, T>(parser: Parser<R>, result: serde_json::Result<T>) -> Result<T, Stop> {
    bounded_json::finish(parser, result).map_err(|failure| match failure {
        Failure::Io(error) => error.into(),
        Failure::OutOfBounds(bound @ OutOfBounds::Depth(_)) => NotAReport::new(format!("it is {bound}")).into(),
        Failure::OutOfBounds(bound) => NotAReport::new(format!("it holds {bound}")).into(),
        Failure::Invalid(why) => NotAReport::new(why).into(),
    })
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
