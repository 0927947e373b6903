//! The encodings in which reports come: those that XML 1.0 demands (4.3.3), and the narrow ones of Western Europe.
//!
//! A library for every encoding there is brings an eighth of a megabyte of tables of East Asian ones to each function.

/// An encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// Windows-1252, and so US-ASCII and ISO-8859-1: what is a control character there is none of a report's.
    Western,
    /// ISO-8859-15, which has the euro.
    Latin9,
}

/// The bytes are not of the encoding.
#[derive(Debug)]
pub(super) struct Malformed;

/// Windows-1252 from 0x80 to 0x9f (Encoding Standard, "index windows-1252").
const WESTERN: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Encoding {
    /// The encoding of this label (Encoding Standard, "Names and labels"), as reports have it.
    pub(super) fn of_label(label: &str) -> Option<Self> {
        Some(match label.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "utf-16" | "utf-16le" => Self::Utf16Le,
            "utf-16be" => Self::Utf16Be,
            "us-ascii" | "ascii" | "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "windows-1252" | "cp1252" => {
                Self::Western
            }
            "iso-8859-15" | "iso8859-15" | "iso_8859-15" | "latin9" => Self::Latin9,
            _ => return None,
        })
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Western => "windows-1252",
            Self::Latin9 => "ISO-8859-15",
        }
    }
}

/// Decodes piece by piece.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) encoding: Encoding,
    /// The beginning of a character whose end is in the next piece.
    rest: Vec<u8>,
    /// Whether anything was decoded: a byte order mark stands before that.
    has_begun: bool,
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, rest: Vec::new(), has_begun: false }
    }

    /// Adds the text of a piece; with the last one nothing may be left over. What was decoded before bytes that are none of the
    /// encoding is added too.
    pub(super) fn decode(&mut self, piece: &[u8], is_last: bool, text: &mut String) -> Result<(), Malformed> {
        let joined = if self.rest.is_empty() { Vec::new() } else { [self.rest.as_slice(), piece].concat() };
        let whole = if self.rest.is_empty() { piece } else { &joined };
        let begins_at = text.len();
        let (rest, decoded) = match self.encoding {
            Encoding::Utf8 => utf_8(whole, text),
            Encoding::Utf16Le => utf_16(whole, u16::from_le_bytes, text),
            Encoding::Utf16Be => utf_16(whole, u16::from_be_bytes, text),
            Encoding::Western => narrow(whole, western, text),
            Encoding::Latin9 => narrow(whole, latin_9, text),
        };
        if !self.has_begun && text.len() > begins_at {
            self.has_begun = true;
            if text.get(begins_at..).is_some_and(|text| text.starts_with('\u{feff}')) {
                text.remove(begins_at);
            }
        }
        decoded?;
        if is_last && !rest.is_empty() {
            return Err(Malformed);
        }
        self.rest = rest.to_vec();
        Ok(())
    }
}

/// What of the bytes is left over, and whether they are of the encoding.
type Left<'a> = (&'a [u8], Result<(), Malformed>);

fn utf_8<'a>(bytes: &'a [u8], text: &mut String) -> Left<'a> {
    let error = match std::str::from_utf8(bytes) {
        Ok(whole) => {
            text.push_str(whole);
            return (&[], Ok(()));
        }
        Err(error) => error,
    };
    let (valid, rest) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
    text.push_str(std::str::from_utf8(valid).unwrap_or_default());
    // Without a length the bytes end within a character.
    if error.error_len().is_none() { (rest, Ok(())) } else { (&[], Err(Malformed)) }
}

fn utf_16<'a>(bytes: &'a [u8], unit: fn([u8; 2]) -> u16, text: &mut String) -> Left<'a> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    // A pair of surrogates may be cut in two.
    let is_cut = pairs.last().is_some_and(|last| (0xd800..0xdc00).contains(&unit(*last)));
    let cut = if is_cut { 2 } else { 0 } + odd.len();
    let (whole, rest) = bytes.split_at_checked(bytes.len() - cut).unwrap_or((bytes, &[]));
    for decoded in char::decode_utf16(whole.as_chunks::<2>().0.iter().map(|pair| unit(*pair))) {
        match decoded {
            Ok(character) => text.push(character),
            Err(_) => return (&[], Err(Malformed)),
        }
    }
    (rest, Ok(()))
}

fn narrow<'a>(bytes: &'a [u8], character: fn(u8) -> char, text: &mut String) -> Left<'a> {
    text.extend(bytes.iter().map(|byte| character(*byte)));
    (&[], Ok(()))
}

fn western(byte: u8) -> char {
    byte.checked_sub(0x80).and_then(|place| WESTERN.get(usize::from(place))).copied().unwrap_or(byte as char)
}

fn latin_9(byte: u8) -> char {
    match byte {
        0xa4 => '€',
        0xa6 => 'Š',
        0xa8 => 'š',
        0xb4 => 'Ž',
        0xb8 => 'ž',
        0xbc => 'Œ',
        0xbd => 'œ',
        0xbe => 'Ÿ',
        other => other as char,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(encoding: Encoding, pieces: &[&[u8]]) -> Option<String> {
        let (mut decoder, mut text) = (Decoder::new(encoding), String::new());
        for piece in pieces {
            decoder.decode(piece, false, &mut text).ok()?;
        }
        decoder.decode(&[], true, &mut text).ok()?;
        Some(text)
    }

    proptest! {
        /// However the bytes come, and with a mark before them or without.
        #[test]
        fn every_text_comes_back_from_every_wide_encoding(text in "[^\u{feff}]{0,40}", cut in any::<prop::sample::Index>()) {
            let units = || text.encode_utf16();
            let bytes = [
                (Encoding::Utf8, text.as_bytes().to_vec()),
                (Encoding::Utf16Le, units().flat_map(u16::to_le_bytes).collect()),
                (Encoding::Utf16Be, units().flat_map(u16::to_be_bytes).collect()),
            ];
            for (encoding, bytes) in bytes {
                let at = if bytes.is_empty() { 0 } else { cut.index(bytes.len()) };
                let (one, other) = bytes.split_at(at);
                prop_assert_eq!(decoded(encoding, &[one, other]), Some(text.clone()));
            }
        }

        /// Arbitrary bytes are decoded as the standard library does, or are refused.
        #[test]
        fn bytes_that_are_none_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = std::str::from_utf8(&bytes).ok().map(|text| text.strip_prefix('\u{feff}').unwrap_or(text).to_owned());
            prop_assert_eq!(decoded(Encoding::Utf8, &[&bytes]), expected);
        }
    }

    #[test]
    fn narrow_encodings_have_a_character_for_every_byte_and_ascii_is_itself() {
        let all: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::Western, Encoding::Latin9] {
            let text = decoded(encoding, &[&all]).unwrap();
            let distinct: std::collections::BTreeSet<_> = text.chars().collect();
            assert_eq!((text.chars().count(), distinct.len()), (256, 256));
            assert!(text.is_char_boundary(128) && text[..128].bytes().eq(0..128));
        }
        assert_eq!(decoded(Encoding::Western, &[b"\x80\x9f\xe9"]).unwrap(), "€Ÿé");
        assert_eq!(decoded(Encoding::Latin9, &[b"\xa4\x80\xe9"]).unwrap(), "€\u{80}é");
    }
}
