//! XML 1.0 as a stream of elements, in bounded memory whatever the document holds.
//!
//! Text isn't kept: what a test printed may have any length. A document type is never fetched and may declare nothing,
//! so that no entity can expand. Other control characters than NUL are let pass, because producers write what a test
//! printed (Node's test runner writes escape sequences of terminals as they are).

mod decode;
mod encoding;

use std::io::Read;

use self::decode::{Decoded, lines_in};
use super::{NotAReport, Stop};
use crate::shown::shown;

/// The deepest nesting of elements.
const MAX_DEPTH: usize = 64;

/// The longest name of an element, an attribute or an entity in bytes.
const MAX_NAME: usize = 256;

/// The longest value of an attribute that is kept, in bytes.
const MAX_VALUE: usize = 64 * 1024;

/// The most bytes that are kept of a comment and of an attribute whose start is enough.
const MAX_START: usize = 256;

/// What comes next in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// An element begins: [`Xml::name`] and [`Xml::attribute`] tell of it.
    Start,
    /// The innermost element ends.
    End {
        /// Whether it holds other text than white space after its last child.
        has_text: bool,
    },
    /// A comment inside of the root element: [`Xml::comment`] has its start.
    Comment,
    /// The document is over.
    Over,
}

/// The attributes that are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Whole: a longer one than [`MAX_VALUE`] is refused.
    pub(super) whole: &'static [&'static str],
    /// The start of: tools write lists of classes and messages into them.
    pub(super) start: &'static [&'static str],
}

/// Reads a document.
pub(super) struct Xml<R> {
    text: Decoded<R>,
    wanted: Wanted,
    attributes: Vec<(&'static str, String)>,
    /// The names of the elements that are open.
    open: Vec<String>,
    /// The element that began is an empty one, so that its end comes next.
    is_empty: bool,
    has_text: bool,
    had_root: bool,
    comment: Vec<u8>,
}

impl<R: Read> Xml<R> {
    /// Begins to read; only the `wanted` attributes are kept.
    pub(super) fn new(reader: R, wanted: Wanted) -> Result<Self, Stop> {
        Ok(Self {
            text: Decoded::new(reader)?,
            wanted,
            attributes: Vec::new(),
            open: Vec::new(),
            is_empty: false,
            has_text: false,
            had_root: false,
            comment: Vec::new(),
        })
    }

    /// The name of the innermost open element.
    pub(super) fn name(&self) -> &str {
        self.open.last().map_or("", String::as_str)
    }

    /// The value of a wanted attribute of the element that began last.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(it, _)| *it == name).map(|(_, value)| value.as_str())
    }

    /// The wanted attributes of the element that began last, in their order.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &'static str> {
        self.attributes.iter().map(|(name, _)| *name)
    }

    /// How deep the innermost open element lies; 1 is the root.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The start of the last comment.
    pub(super) fn comment(&self) -> &str {
        str::from_utf8(&self.comment).unwrap_or_default()
    }

    /// Says what is wrong here.
    pub(super) fn wrong(&self, why: impl Into<String>) -> Stop {
        NotAReport::at(self.text.line, why).into()
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Result<Event, Stop> {
        if std::mem::take(&mut self.is_empty) {
            self.open.pop();
            return Ok(Event::End { has_text: false });
        }
        loop {
            if !self.skip_text()? {
                return match self.open.last() {
                    Some(open) => {
                        Err(self.wrong(format!("it ends inside of `{}`: the document is cut off", shown(open))))
                    }
                    None if self.had_root => Ok(Event::Over),
                    None => Err(self.wrong("it holds no element")),
                };
            }
            match self.at("<")? {
                b'?' => self.skip_past(b"?>", "a processing instruction", &mut Vec::new())?,
                b'!' => {
                    if self.declaration()? && !self.open.is_empty() {
                        return Ok(Event::Comment);
                    }
                }
                b'/' => return self.end_tag(),
                first => {
                    self.start_tag(first)?;
                    return Ok(Event::Start);
                }
            }
        }
    }

    /// Skips to behind the next `<`. False where the document ends before one.
    fn skip_text(&mut self) -> Result<bool, Stop> {
        loop {
            let text = self.text.peek()?;
            if text.is_empty() {
                return Ok(false);
            }
            let length = memchr::memchr2(b'<', b'&', text).unwrap_or(text.len());
            let (before, after) = text.split_at_checked(length).unwrap_or_default();
            let lines = lines_in(before);
            let has_text = before.iter().any(|byte| !byte.is_ascii_whitespace());
            let stop = after.first().copied();
            if (has_text || stop == Some(b'&')) && self.open.is_empty() {
                return Err(self.wrong("text outside of the root element"));
            }
            self.text.consume(length + usize::from(stop.is_some()), lines);
            self.has_text |= has_text;
            match stop {
                Some(b'<') => return Ok(true),
                Some(_) => {
                    self.reference(&mut String::new())?;
                    self.has_text = true;
                }
                None => {}
            }
        }
    }

    /// The next byte, consumed.
    fn at(&mut self, place: &str) -> Result<u8, Stop> {
        match self.text.peek()?.first().copied() {
            Some(byte) => {
                self.text.consume(1, u64::from(byte == b'\n'));
                Ok(byte)
            }
            None => Err(self.wrong(format!("it ends after {place}: the document is cut off"))),
        }
    }

    /// The next byte that isn't white space, consumed; and whether there was any before it.
    fn after_space(&mut self, place: &str) -> Result<(u8, bool), Stop> {
        let mut spaced = false;
        loop {
            let byte = self.at(place)?;
            if !byte.is_ascii_whitespace() {
                return Ok((byte, spaced));
            }
            spaced = true;
        }
    }

    /// Skips to behind `end`, which has two or three bytes; the start of what is skipped goes to `start`.
    fn skip_past(&mut self, end: &[u8], what: &str, start: &mut Vec<u8>) -> Result<(), Stop> {
        let Some((last, before)) = end.split_last() else { return Ok(()) };
        // The last bytes of what was skipped, as many as come before the end's last.
        let mut tail = Vec::with_capacity(2 * end.len());
        loop {
            let text = self.text.peek()?;
            if text.is_empty() {
                return Err(self.wrong(format!("it ends inside of {what}: the document is cut off")));
            }
            let found = memchr::memchr(*last, text);
            let length = found.unwrap_or(text.len());
            let skipped = text.get(..length).unwrap_or_default();
            let lines = lines_in(skipped);
            let room = MAX_START.saturating_sub(start.len());
            start.extend_from_slice(skipped.get(..room.min(skipped.len())).unwrap_or_default());
            tail.extend_from_slice(skipped.get(length.saturating_sub(before.len())..).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(before.len()));
            self.text.consume(length + usize::from(found.is_some()), lines);
            if found.is_some() {
                if tail == before {
                    return Ok(());
                }
                tail.push(*last);
            }
        }
    }

    /// What begins with `<!`: a comment, a section of characters, or the document type. Whether it is a comment.
    fn declaration(&mut self) -> Result<bool, Stop> {
        match self.at("`<!`")? {
            b'-' if self.at("`<!-`")? == b'-' => {
                let mut comment = std::mem::take(&mut self.comment);
                comment.clear();
                let skipped = self.skip_past(b"-->", "a comment", &mut comment);
                // Its end may have been taken for a part of it, in pieces.
                self.comment = comment;
                skipped.map(|()| true)
            }
            b'[' => {
                let mut keyword = [0; 6];
                for byte in &mut keyword {
                    *byte = self.at("`<![`")?;
                }
                if keyword != *b"CDATA[" || self.open.is_empty() {
                    return Err(self.wrong("`<![` begins no section of characters inside of an element"));
                }
                self.has_text = true;
                self.skip_past(b"]]>", "a section of characters", &mut Vec::new()).map(|()| false)
            }
            b'D' if !self.had_root => self.document_type().map(|()| false),
            _ => Err(self.wrong("`<!` begins neither a comment nor a section of characters")),
        }
    }

    /// A document type may name a document elsewhere, which is never fetched, and declare nothing itself.
    fn document_type(&mut self) -> Result<(), Stop> {
        let mut quote = None;
        loop {
            let byte = self.at("a document type")?;
            match (quote, byte) {
                (Some(open), _) if byte == open => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'[') => {
                    return Err(self.wrong("its document type declares something, such as entities: leave that out"));
                }
                (None, b'>') => return Ok(()),
                _ => {}
            }
        }
    }

    fn end_tag(&mut self) -> Result<Event, Stop> {
        let first = self.at("`</`")?;
        let (name, after) = self.name_from(first, "an end tag")?;
        let (after, _) = if after.is_ascii_whitespace() { self.after_space("an end tag")? } else { (after, false) };
        match self.open.pop() {
            Some(open) if open == name && after == b'>' => {
                Ok(Event::End { has_text: std::mem::take(&mut self.has_text) })
            }
            Some(open) if open == name => Err(self.wrong(format!("`</{}` does not end with `>`", shown(&name)))),
            Some(open) => Err(self.wrong(format!("`</{}>` where `</{}>` is awaited", shown(&name), shown(&open)))),
            None => Err(self.wrong(format!("`</{}>` ends nothing", shown(&name)))),
        }
    }

    fn start_tag(&mut self, first: u8) -> Result<(), Stop> {
        let (name, mut after) = self.name_from(first, "a start tag")?;
        if self.open.is_empty() && self.had_root {
            return Err(self.wrong(format!("a second root element, `{}`", shown(&name))));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.wrong(format!("its elements are nested deeper than {MAX_DEPTH}")));
        }
        (self.had_root, self.has_text) = (true, false);
        self.attributes.clear();
        self.open.push(name);
        loop {
            let spaced = after.is_ascii_whitespace();
            let byte = if spaced { self.after_space("a start tag")?.0 } else { after };
            match byte {
                b'>' => return Ok(()),
                b'/' if self.at("a start tag")? == b'>' => {
                    self.is_empty = true;
                    return Ok(());
                }
                b'/' => return Err(self.wrong("`/` in a start tag")),
                first if spaced => self.attribute_from(first)?,
                _ => return Err(self.wrong("no space between two attributes")),
            }
            after = self.at("a start tag")?;
        }
    }

    fn attribute_from(&mut self, first: u8) -> Result<(), Stop> {
        let (name, after) = self.name_from(first, "an attribute")?;
        let equals = if after.is_ascii_whitespace() { self.after_space("an attribute")?.0 } else { after };
        if equals != b'=' {
            return Err(self.wrong(format!("the attribute `{}` has no value", shown(&name))));
        }
        let (quote, _) = self.after_space("an attribute")?;
        if quote != b'"' && quote != b'\'' {
            return Err(self.wrong(format!("the value of `{}` has no quotes", shown(&name))));
        }
        let find = |among: &[&'static str]| among.iter().find(|it| **it == name).copied();
        // Only what was skipped is told by its message; those of failures are long.
        let is_a_failures = name == "message" && self.name() != "skipped";
        let start = find(self.wanted.start).filter(|_| !is_a_failures);
        let wanted = find(self.wanted.whole).or(start);
        if wanted.is_some_and(|wanted| self.attribute(wanted).is_some()) {
            return Err(self.wrong(format!("the attribute `{name}` stands twice")));
        }
        let mut value = Vec::new();
        loop {
            let text = self.text.peek()?;
            if text.is_empty() {
                return Err(self.wrong("it ends inside of an attribute: the document is cut off"));
            }
            let found = memchr::memchr3(quote, b'<', b'&', text);
            let length = found.unwrap_or(text.len());
            let (piece, after) = text.split_at_checked(length).unwrap_or_default();
            let (lines, stop) = (lines_in(piece), after.first().copied());
            if wanted.is_some() && !(start.is_some() && value.len() > MAX_START) {
                value.extend_from_slice(piece);
            }
            self.text.consume(length + usize::from(stop.is_some()), lines);
            match stop {
                Some(b'&') => {
                    let mut reference = String::new();
                    self.reference(&mut reference)?;
                    if wanted.is_some() {
                        value.extend_from_slice(reference.as_bytes());
                    }
                }
                Some(b'<') => return Err(self.wrong(format!("`<` in the value of `{}`", shown(&name)))),
                Some(_) => break,
                None => {}
            }
            if start.is_none() && value.len() > MAX_VALUE {
                return Err(self.wrong(format!("the value of `{name}` is longer than {MAX_VALUE} bytes")));
            }
        }
        if let Some(wanted) = wanted {
            let mut value = String::from_utf8(value).map_err(|_| self.wrong("a value that is not UTF-8"))?;
            if start.is_some() {
                value.truncate(value.floor_char_boundary(MAX_START));
            }
            self.attributes.push((wanted, value));
        }
        Ok(())
    }

    /// A name that begins with `first`, and the byte behind it.
    fn name_from(&mut self, first: u8, place: &str) -> Result<(String, u8), Stop> {
        let ends =
            |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'>' | b'/' | b'<' | b'&' | b'"' | b'\'');
        let mut name = vec![first];
        let after = loop {
            let text = self.text.peek()?;
            let length = text.iter().position(ends).unwrap_or(text.len());
            name.extend_from_slice(text.get(..length).unwrap_or_default());
            let ended = length < text.len();
            self.text.consume(length, 0);
            if name.len() > MAX_NAME {
                return Err(self.wrong(format!("a name longer than {MAX_NAME} bytes in {place}")));
            }
            if ended || length == 0 {
                break self.at(place)?;
            }
        };
        let is_name = |c: char| c.is_alphabetic() || c == '_' || c == ':';
        match String::from_utf8(name) {
            Ok(name) if name.starts_with(is_name) => Ok((name, after)),
            _ => Err(self.wrong(format!("{place} without a name"))),
        }
    }

    /// What the reference behind a `&` stands for. XML's own entities and characters only: nothing that expands.
    fn reference(&mut self, value: &mut String) -> Result<(), Stop> {
        let mut name = String::new();
        loop {
            match self.at("`&`")? {
                b';' => break,
                byte if (byte.is_ascii_alphanumeric() || byte == b'#') && name.len() < MAX_NAME => {
                    name.push(byte as char);
                }
                _ => return Err(self.wrong(format!("`&{}` without `;`", shown(&name)))),
            }
        }
        let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
        value.push(match (name.as_str(), number) {
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("amp", _) => '&',
            ("apos", _) => '\'',
            ("quot", _) => '"',
            (_, Some(number)) => match char::from_u32(number) {
                Some(character) if number != 0 => character,
                _ => return Err(self.wrong(format!("`&{};` is no character", shown(&name)))),
            },
            _ => return Err(self.wrong(format!("the entity `&{};` is none of XML's own", shown(&name)))),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
