//! The bytes of an XML document as UTF-8, whatever encoding they are in (XML 1.0, appendix F).

use std::io::Read;

use super::encoding::{Decoder, Encoding};
use crate::{
    report::{NotAReport, Stop},
    shown::shown,
};

/// How much is read, and how much is decoded, at once.
const PIECE: usize = 64 * 1024;

/// An XML declaration stands within this many bytes.
const DECLARATION: usize = 1024;

/// A document's text, piece by piece.
pub(super) struct Decoded<R> {
    reader: R,
    decoder: Decoder,
    raw: Vec<u8>,
    text: String,
    /// What of `text` is consumed already.
    consumed: usize,
    finished: bool,
    /// The line that is being read, from 1.
    pub(super) line: u64,
}

impl<R: Read> Decoded<R> {
    /// Finds out what the encoding is.
    pub(super) fn new(mut reader: R) -> Result<Self, Stop> {
        let mut raw = Vec::with_capacity(PIECE);
        (&mut reader).take(DECLARATION as u64).read_to_end(&mut raw)?;
        let decoder = Decoder::new(encoding_of(&raw)?);
        Ok(Self { reader, decoder, raw, text: String::new(), consumed: 0, finished: false, line: 1 })
    }

    /// What comes next without consuming it; nothing at the end. Never holds a NUL.
    pub(super) fn peek(&mut self) -> Result<&[u8], Stop> {
        while self.consumed == self.text.len() && !self.finished {
            self.fill()?;
        }
        Ok(self.text.as_bytes().get(self.consumed..).unwrap_or_default())
    }

    /// Consumes `bytes` of what [`Self::peek`] gave, which hold `lines` ends of lines.
    pub(super) fn consume(&mut self, bytes: usize, lines: u64) {
        self.consumed = (self.consumed + bytes).min(self.text.len());
        self.line += lines;
    }

    fn fill(&mut self) -> Result<(), Stop> {
        // What was read to find the encoding is there already.
        if self.raw.is_empty() {
            (&mut self.reader).take(PIECE as u64).read_to_end(&mut self.raw)?;
            self.finished = self.raw.is_empty();
        }
        self.text.clear();
        self.consumed = 0;
        let decoded = self.decoder.decode(&self.raw, self.finished, &mut self.text);
        self.raw.clear();
        let text = self.text.as_bytes();
        if let Some(at) = memchr::memchr(0, text) {
            let line = self.line + lines_in(text.get(..at).unwrap_or_default());
            return Err(NotAReport::at(line, "a NUL byte, which no XML may hold").into());
        }
        decoded.map_err(|_| {
            let why = format!("bytes that are not {}, which the document is in", self.decoder.encoding.name());
            NotAReport::at(self.line + lines_in(text), why).into()
        })
    }
}

/// How many lines end in these bytes.
pub(super) fn lines_in(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// What encoding the document's first bytes say that it is in. UTF-8 where they say nothing.
fn encoding_of(start: &[u8]) -> Result<Encoding, Stop> {
    let seen = match start {
        [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
        [0xff, 0xfe, ..] | [b'<', 0, ..] => Some(Encoding::Utf16Le),
        [0xfe, 0xff, ..] | [0, b'<', ..] => Some(Encoding::Utf16Be),
        _ => None,
    };
    // The declaration is ASCII: without the zeros that UTF-16 puts between, it reads the same in every encoding.
    let ascii: String = start.iter().filter(|byte| **byte != 0 && byte.is_ascii()).map(|byte| *byte as char).collect();
    let Some(label) = declared(&ascii) else { return Ok(seen.unwrap_or(Encoding::Utf8)) };
    let Some(declared) = Encoding::of_label(label) else {
        let why = format!("its encoding `{}` is not read here: write it in UTF-8", shown(label));
        return Err(NotAReport::at(1, why).into());
    };
    let is_utf_16 = |encoding| matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be);
    let fits = match seen {
        // `UTF-16` leaves it to the mark which of the two it is.
        Some(seen) => seen == declared || (is_utf_16(seen) && label.eq_ignore_ascii_case("utf-16")),
        None => !is_utf_16(declared),
    };
    if !fits {
        let bytes = seen.map_or("not", Encoding::name);
        let why = format!("its declaration says `{}`, its bytes are {bytes}", shown(label));
        return Err(NotAReport::at(1, why).into());
    }
    Ok(seen.unwrap_or(declared))
}

/// The encoding's label in the XML declaration, `<?xml version="1.0" encoding="…"?>`.
fn declared(start: &str) -> Option<&str> {
    let (declaration, _) = start.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    value.get(1..)?.split_once(quote).map(|(label, _)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<String, String> {
        let text = |bytes| -> Result<Vec<u8>, Stop> {
            let mut decoded = Decoded::new(bytes)?;
            let mut text = Vec::new();
            loop {
                let piece = decoded.peek()?.to_vec();
                if piece.is_empty() {
                    return Ok(text);
                }
                decoded.consume(piece.len(), lines_in(&piece));
                text.extend(piece);
            }
        };
        match text(bytes) {
            Ok(text) => Ok(String::from_utf8(text).unwrap()),
            Err(Stop::Not(not)) => Err(not.to_string()),
            Err(Stop::Io(error)) => panic!("{error}"),
        }
    }

    fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn each_encoding_is_read_as_its_text() {
        let declared = |label: &str| format!("<?xml version='1.0' encoding='{label}'?><a>é</a>");
        let narrow = |label: &str, e: u8| {
            declared(label).chars().map(|c| if c == 'é' { e } else { u8::try_from(c).unwrap() }).collect::<Vec<_>>()
        };
        for (bytes, text) in [
            ("<a>é</a>".as_bytes().to_vec(), "<a>é</a>".to_owned()),
            (["\u{feff}".as_bytes(), declared("utf-8").as_bytes()].concat(), declared("utf-8")),
            (narrow("ISO-8859-1", 0xe9), declared("ISO-8859-1")),
            (narrow("windows-1252", 0xe9), declared("windows-1252")),
            (narrow("ISO-8859-15", 0xa4), declared("ISO-8859-15").replace('é', "€")),
            (narrow("Windows-1252", 0x80), declared("Windows-1252").replace('é', "€")),
            (utf_16(&format!("\u{feff}{}", declared("UTF-16")), u16::to_le_bytes), declared("UTF-16")),
            (utf_16(&format!("\u{feff}{}", declared("utf-16")), u16::to_be_bytes), declared("utf-16")),
            (utf_16(&declared("UTF-16BE"), u16::to_be_bytes), declared("UTF-16BE")),
            (utf_16(&declared("UTF-16LE"), u16::to_le_bytes), declared("UTF-16LE")),
            (utf_16("\u{feff}<a>é</a>", u16::to_le_bytes), "<a>é</a>".to_owned()),
        ] {
            assert_eq!(decode(&bytes), Ok(text));
        }
    }

    #[test]
    fn an_encoding_that_is_unknown_or_not_that_of_the_bytes_is_refused() {
        let refused = |bytes: &[u8]| decode(bytes).unwrap_err();
        insta::assert_debug_snapshot!([
            refused(b"<?xml version='1.0' encoding='EBCDIC-CP-US'?><a/>"),
            refused(b"<?xml version='1.0' encoding='IBM866'?><a/>"),
            refused(b"<?xml version=\"1.0\" encoding=\"UTF-7\"?><a/>"),
            refused(b"<?xml version='1.0' encoding = 'utf-16'?><a/>"),
            refused("\u{feff}<?xml version='1.0' encoding='ISO-8859-1'?><a/>".as_bytes()),
            refused(b"<a>\n\xe9</a>"),
            refused(&utf_16("\u{feff}<a/>", u16::to_be_bytes)[..9]),
            refused(b"<a>\n\n\0</a>"),
        ], @r#"
        [
            "not a report: line 1: its encoding `EBCDIC-CP-US` is not read here: write it in UTF-8",
            "not a report: line 1: its encoding `IBM866` is not read here: write it in UTF-8",
            "not a report: line 1: its encoding `UTF-7` is not read here: write it in UTF-8",
            "not a report: line 1: its declaration says `utf-16`, its bytes are not",
            "not a report: line 1: its declaration says `ISO-8859-1`, its bytes are UTF-8",
            "not a report: line 2: bytes that are not UTF-8, which the document is in",
            "not a report: line 1: bytes that are not UTF-16BE, which the document is in",
            "not a report: line 3: a NUL byte, which no XML may hold",
        ]
        "#);
    }

    #[test]
    fn a_character_may_stand_across_two_pieces() {
        for padding in PIECE - 3..PIECE + 3 {
            let text = format!("{}é✓\u{1f600}", "x".repeat(padding));
            assert_eq!(decode(text.as_bytes()), Ok(text.clone()));
        }
    }
}
