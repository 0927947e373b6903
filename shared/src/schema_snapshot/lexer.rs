//! SQL's tokens as PostgreSQL 15 to 18 and psql scan them (PostgreSQL documentation, "4.1. Lexical Structure";
//! `scan.l` and `psqlscan.l` are the grammar behind it).
//!
//! Tokens are ranges of the input and follow each other without gap, whitespace and comments included. Nothing is
//! copied, and no input makes the lexer fail: what has no end is one token up to the end of the input.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Spaces, tabs, line and page breaks.
    Space,
    /// `-- …`, without the line's end, or `/* … */`, which nests.
    Comment,
    /// A keyword or an unquoted identifier.
    Word,
    /// A quoted identifier, `"…"` or `U&"…"`.
    Quoted,
    /// A literal: `'…'`, `E'…'`, `U&'…'`, `B'…'`, `X'…'`, `N'…'`, with the parts on later lines that continue it.
    Literal,
    /// `$tag$…$tag$`.
    Dollar,
    /// A number, or a parameter such as `$1`.
    Number,
    /// A run of operator characters.
    Operator,
    /// One of the other characters, by itself: `( ) [ ] , ; : .` and strays.
    Punctuation,
    /// A backslash outside of quotes, which is psql's and not SQL's.
    Backslash,
    /// A quote or a comment without an end.
    Unterminated,
}

/// A token: its kind and the bytes that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Whether whitespace or a comment stands before it in its statement; the lexer itself says `false`.
    pub(super) gap: bool,
    start: u32,
    end: u32,
}

impl Token {
    /// The bytes that it covers.
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Reads tokens one by one. Inputs end at `u32::MAX` bytes ([`MAX_BYTES`](super::MAX_BYTES) is far less).
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
    /// `standard_conforming_strings`: whether a backslash in `'…'` is a backslash.
    pub(super) standard_strings: bool,
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
    )
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, standard_strings: true }
    }

    /// Where the next token starts.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The byte at `index`, 0 behind the end.
    fn at(&self, index: usize) -> u8 {
        self.bytes.get(index).copied().unwrap_or(0)
    }

    fn rest(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..).unwrap_or_default()
    }

    /// The first index from `from` on whose byte is not `wanted`.
    fn skip(&self, from: usize, wanted: impl Fn(u8) -> bool) -> usize {
        from + self.rest(from).iter().position(|&byte| !wanted(byte)).unwrap_or(self.rest(from).len())
    }

    fn line_end(&self, from: usize) -> usize {
        self.skip(from, |byte| byte != b'\n')
    }

    /// Moves on to the end of the line and says what was passed: psql's own commands reach so far.
    pub(super) fn take_line(&mut self) -> Range<usize> {
        let start = self.position;
        self.position = self.line_end(start);
        start..self.position
    }

    /// Moves behind the rows of a `COPY … FROM stdin;`, which start on the next line and end at `\.` alone on one.
    /// Whether that end was there; without it everything is rows.
    pub(super) fn skip_rows(&mut self) -> bool {
        loop {
            self.position = self.line_end(self.position) + 1;
            if self.position >= self.bytes.len() {
                self.position = self.bytes.len();
                return false;
            }
            let line = self.rest(self.position);
            if line.starts_with(b"\\.") && matches!(line.get(2), None | Some(b'\n' | b'\r')) {
                self.position += 2;
                return true;
            }
        }
    }

    /// The end of what starts at `start`, and its kind.
    fn token_at(&self, start: usize) -> (Kind, usize) {
        let (byte, next) = (self.at(start), self.at(start + 1));
        match byte {
            _ if is_space(byte) => (Kind::Space, self.skip(start, is_space)),
            b'-' if next == b'-' => (Kind::Comment, self.line_end(start)),
            b'/' if next == b'*' => self.block_comment(start),
            b'\'' => self.literal(start + 1, !self.standard_strings),
            b'e' | b'E' if next == b'\'' => self.literal(start + 2, true),
            b'b' | b'B' | b'x' | b'X' if next == b'\'' => self.literal(start + 2, false),
            b'n' | b'N' if next == b'\'' => self.literal(start + 2, !self.standard_strings),
            b'u' | b'U' if next == b'&' && self.at(start + 2) == b'\'' => self.literal(start + 3, false),
            b'u' | b'U' if next == b'&' && self.at(start + 2) == b'"' => self.quoted(start + 3),
            b'"' => self.quoted(start + 1),
            _ if starts_word(byte) => (Kind::Word, self.skip(start, continues_word)),
            b'0'..=b'9' => (Kind::Number, self.number(start)),
            b'$' if next.is_ascii_digit() => (Kind::Number, self.skip(start + 1, |byte| byte.is_ascii_digit())),
            b'$' => self.dollar(start),
            b'\\' => (Kind::Backslash, start + 1),
            _ if is_operator(byte) => (Kind::Operator, self.operator(start)),
            _ => (Kind::Punctuation, start + 1),
        }
    }

    fn block_comment(&self, start: usize) -> (Kind, usize) {
        let (mut index, mut depth) = (start + 2, 1_usize);
        while index < self.bytes.len() {
            match (self.at(index), self.at(index + 1)) {
                (b'/', b'*') => (index, depth) = (index + 2, depth + 1),
                (b'*', b'/') => (index, depth) = (index + 2, depth - 1),
                _ => index += 1,
            }
            if depth == 0 {
                return (Kind::Comment, index);
            }
        }
        (Kind::Unterminated, self.bytes.len())
    }

    /// A literal whose contents start at `index`, with every part that continues it.
    fn literal(&self, mut index: usize, backslashes: bool) -> (Kind, usize) {
        loop {
            index = self.skip(index, |byte| byte != b'\'' && !(backslashes && byte == b'\\'));
            match self.at(index) {
                b'\\' => index += 2,
                b'\'' if self.at(index + 1) == b'\'' => index += 2,
                b'\'' => match self.continuation(index + 1) {
                    Some(part) => index = part,
                    None => return (Kind::Literal, index + 1),
                },
                _ => return (Kind::Unterminated, self.bytes.len()),
            }
        }
    }

    /// Behind the opening quote of the part that continues a literal which ends before `index`: only whitespace with
    /// a line's end in it, or `--` comments, lie between ("4.1.2.1. String Constants").
    fn continuation(&self, mut index: usize) -> Option<usize> {
        let mut line = false;
        loop {
            let space = self.skip(index, is_space);
            line |= self.bytes.get(index..space)?.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
            index = match (self.at(space), self.at(space + 1)) {
                (b'-', b'-') => self.line_end(space),
                (b'\'', _) if line => return Some(space + 1),
                _ => return None,
            };
        }
    }

    fn quoted(&self, mut index: usize) -> (Kind, usize) {
        loop {
            index = self.skip(index, |byte| byte != b'"');
            match (self.at(index), self.at(index + 1)) {
                (b'"', b'"') => index += 2,
                (b'"', _) => return (Kind::Quoted, index + 1),
                _ => return (Kind::Unterminated, self.bytes.len()),
            }
        }
    }

    fn number(&self, start: usize) -> usize {
        let mut index = start;
        loop {
            index = self.skip(index, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
            let exponent = matches!(self.at(index - 1), b'e' | b'E') && matches!(self.at(index), b'+' | b'-');
            if !(exponent && self.at(index + 1).is_ascii_digit()) {
                return index;
            }
            index += 1;
        }
    }

    fn dollar(&self, start: usize) -> (Kind, usize) {
        let tag = self.skip(start + 1, |byte| continues_word(byte) && byte != b'$');
        if self.at(tag) != b'$' {
            return (Kind::Punctuation, start + 1);
        }
        let quote = self.bytes.get(start..=tag).unwrap_or_default();
        let mut index = tag + 1;
        loop {
            index = self.skip(index, |byte| byte != b'$');
            let rest = self.rest(index);
            if rest.is_empty() {
                return (Kind::Unterminated, self.bytes.len());
            }
            if rest.starts_with(quote) {
                return (Kind::Dollar, index + quote.len());
            }
            index += 1;
        }
    }

    /// A run of operator characters ends where a comment starts.
    fn operator(&self, start: usize) -> usize {
        let end = self.skip(start, is_operator);
        let run = self.bytes.get(start..end).unwrap_or_default();
        let comment = run.windows(2).position(|pair| matches!(pair, b"--" | b"/*"));
        comment.map_or(end, |length| start + length)
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.position;
        if start >= self.bytes.len() {
            return None;
        }
        let (kind, end) = self.token_at(start);
        let end = end.min(self.bytes.len());
        self.position = end;
        Some(Token { kind, gap: false, start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<(Kind, &str)> {
        Lexer::new(text.as_bytes())
            .filter(|token| token.kind != Kind::Space)
            .map(|token| (token.kind, &text[token.range()]))
            .collect()
    }

    fn one(text: &str) -> Kind {
        let tokens = tokens(text);
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        tokens[0].0
    }

    #[test]
    fn quotes_end_where_postgresql_ends_them() {
        for text in [
            "'a;''b'",
            "'a\\'",
            "E'a\\'b'",
            "e'\\\\'",
            "U&'\\0061'",
            "B'01'",
            "x'ff'",
            "N'a'",
            "'a'\n  'b;'",
            "'a' -- c\n'b'",
        ] {
            assert_eq!(one(text), Kind::Literal, "{text}");
        }
        for text in ["\"a;\"\"b\n\"", "U&\"\\0061\"", "\"größe\""] {
            assert_eq!(one(text), Kind::Quoted, "{text}");
        }
        for text in ["$$a;$ 'b$$", "$t$ $$ $x$ $t1$ $t$", "$_$\n\\.\n$_$", "$é$a$é$"] {
            assert_eq!(one(text), Kind::Dollar, "{text}");
        }
        assert_eq!(one("a$b$c"), Kind::Word);
        assert_eq!(one("$1"), Kind::Number);
        assert_eq!(one("1.5e-10"), Kind::Number);
        assert_eq!(one("größe_1"), Kind::Word);
    }

    #[test]
    fn literals_beside_each_other_on_one_line_are_two() {
        assert_eq!(tokens("'a' 'b'").len(), 2);
    }

    #[test]
    fn an_escape_literal_stays_one_on_its_next_line() {
        assert_eq!(one("E'a'\n'b\\'; INSERT INTO t'"), Kind::Literal);
    }

    #[test]
    fn comments_nest_and_operators_stop_at_them() {
        assert_eq!(one("/* a /* b */ ; ' */"), Kind::Comment);
        assert_eq!(one("-- ' $$ \""), Kind::Comment);
        let kinds: Vec<_> = tokens("a<=--c\n+/*d*/-").into_iter().map(|(_, text)| text).collect();
        assert_eq!(kinds, ["a", "<=", "--c", "+", "/*d*/", "-"]);
    }

    #[test]
    fn a_backslash_escapes_only_where_strings_are_not_standard() {
        let mut lexer = Lexer::new(b"'a\\' b'");
        lexer.standard_strings = false;
        assert_eq!(lexer.next().map(Token::range), Some(0..7));
    }

    #[test]
    fn what_has_no_end_is_one_token() {
        for text in ["'a", "E'a\\'", "\"a", "$$a$", "$a$ $$", "/* /* */"] {
            assert_eq!(one(text), Kind::Unterminated, "{text}");
        }
    }

    #[test]
    fn rows_end_at_a_backslash_and_a_dot_alone_on_a_line() {
        let mut lexer = Lexer::new(b"COPY t FROM stdin;\n1\t'\n\\.x\n\\.\nSELECT");
        lexer.position = 18;
        assert!(lexer.skip_rows());
        assert_eq!(lexer.rest(lexer.position()), b"\nSELECT");
        assert!(!Lexer::new(b";\n1\n2").skip_rows());
    }

    proptest! {
        #[test]
        fn tokens_cover_any_input_without_gap(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[-a-z0-9'\"$/*\\\\;(). \n]{0,200}".prop_map(String::into_bytes),
            ],
            standard in any::<bool>(),
        ) {
            let mut lexer = Lexer::new(&bytes);
            lexer.standard_strings = standard;
            let mut position = 0;
            for token in lexer {
                prop_assert_eq!(token.range().start, position);
                prop_assert!(token.range().end > position);
                position = token.range().end;
            }
            prop_assert_eq!(position, bytes.len());
        }
    }
}
