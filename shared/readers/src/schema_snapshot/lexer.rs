//! SQL's tokens as PostgreSQL 15 to 18 and psql scan them (PostgreSQL documentation, "4.1. Lexical Structure";
//! `scan.l` and `psqlscan.l` are the grammar behind it).
//!
//! Tokens are ranges of the input and follow each other without gap, whitespace and comments included. Nothing is
//! copied, and no input makes the lexer fail: what has no end is one token up to the end of the input. What the
//! server and psql, or their versions, scan in different ways is a token of its own kind ([`Kind::Doubtful`]): `pg_dump`
//! writes none of it.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Spaces, tabs, line and page breaks.
    Space,
    /// `-- …`, without the line's end, which is a line feed or a carriage return; or `/* … */`, which nests.
    Comment,
    /// A keyword or an unquoted identifier.
    Word,
    /// A quoted identifier, `"…"`.
    Quoted,
    /// A literal: `'…'`, `E'…'`, `B'…'`, `X'…'`, `N'…'`.
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
    /// What psql and the server, or their versions, scan in different ways: a literal that goes on behind a line's end
    /// (psql forgets there that it was an `E'…'`), a number that runs into letters, a vertical tab or another control
    /// character. Also what `pg_dump` doesn't write because it hides what it says: names and literals with Unicode escapes.
    Doubtful,
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
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
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

    /// The end of the line as psql reads lines of a file: a line feed, which `--` comments need not reach.
    fn line_end(&self, from: usize) -> usize {
        self.skip(from, |byte| byte != b'\n')
    }

    /// Moves on to the end of the line and says what was passed: psql's own commands reach so far.
    pub(super) fn take_line(&mut self) -> Range<usize> {
        let start = self.position;
        self.position = self.line_end(start);
        start..self.position
    }

    /// Whether nothing but blanks is left of the line.
    pub(super) fn at_line_end(&self) -> bool {
        let line = self.position..self.line_end(self.position);
        self.bytes.get(line).is_none_or(|rest| rest.iter().all(|&byte| is_space(byte)))
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
            b'-' if next == b'-' => (Kind::Comment, self.comment_end(start)),
            b'/' if next == b'*' => self.block_comment(start),
            b'\'' => self.literal(start + 1, !self.standard_strings),
            b'e' | b'E' if next == b'\'' => self.literal(start + 2, true),
            b'b' | b'B' | b'x' | b'X' if next == b'\'' => self.digits(start + 2),
            b'n' | b'N' if next == b'\'' => self.literal(start + 2, !self.standard_strings),
            // `U&'…'` and `U&"…"` hide what they say.
            b'u' | b'U' if next == b'&' && matches!(self.at(start + 2), b'\'' | b'"') => (Kind::Doubtful, start + 3),
            b'"' => self.quoted(start + 1),
            _ if starts_word(byte) => (Kind::Word, self.skip(start, continues_word)),
            b'0'..=b'9' => self.number(self.number_end(start)),
            b'$' if next.is_ascii_digit() => self.number(self.digits_end(start + 1)),
            b'$' => self.dollar(start),
            b'\\' => (Kind::Backslash, start + 1),
            _ if is_operator(byte) => (Kind::Operator, self.operator(start)),
            _ if byte.is_ascii_control() => (Kind::Doubtful, start + 1),
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

    /// The end of a `--` comment: PostgreSQL and psql take a carriage return for a line's end too.
    fn comment_end(&self, from: usize) -> usize {
        self.skip(from, |byte| !is_line_end(byte))
    }

    /// A literal whose contents start at `index`.
    fn literal(&self, mut index: usize, backslashes: bool) -> (Kind, usize) {
        loop {
            index = self.skip(index, |byte| byte != b'\'' && !(backslashes && byte == b'\\'));
            match self.at(index) {
                b'\\' => index += 2,
                b'\'' if self.at(index + 1) == b'\'' => index += 2,
                b'\'' => return (self.closed(index + 1), index + 1),
                _ => return (Kind::Unterminated, self.bytes.len()),
            }
        }
    }

    /// A literal of bits, in which quotes are not doubled: two beside each other end one literal and start the next.
    fn digits(&self, index: usize) -> (Kind, usize) {
        let end = self.skip(index, |byte| byte != b'\'');
        if end >= self.bytes.len() { (Kind::Unterminated, end) } else { (self.closed(end + 1), end + 1) }
    }

    /// What a literal is that ends before `index`: no simple one where its next part follows it ("4.1.2.1. String
    /// Constants": behind whitespace with a line's end in it, and `--` comments).
    fn closed(&self, mut index: usize) -> Kind {
        let mut line = false;
        loop {
            let space = self.skip(index, is_space);
            line |= self.bytes.get(index..space).is_some_and(|space| space.iter().copied().any(is_line_end));
            index = match (self.at(space), self.at(space + 1)) {
                (b'-', b'-') => self.comment_end(space),
                (b'\'', _) if line => return Kind::Doubtful,
                _ => return Kind::Literal,
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

    /// A number that ends before `end`. Letters behind it are an error that psql's versions get over in different ways.
    fn number(&self, end: usize) -> (Kind, usize) {
        let junk = self.skip(end, continues_word);
        if starts_word(self.at(end)) { (Kind::Doubtful, junk) } else { (Kind::Number, end) }
    }

    fn digits_end(&self, from: usize) -> usize {
        self.skip(from, |byte| byte.is_ascii_digit())
    }

    fn number_end(&self, start: usize) -> usize {
        let mut end = self.digits_end(start);
        if self.at(end) == b'.' && self.at(end + 1) != b'.' {
            end = self.digits_end(end + 1);
        }
        let exponent = end + 1 + usize::from(matches!(self.at(end + 1), b'+' | b'-'));
        let has_one = matches!(self.at(end), b'e' | b'E') && self.at(exponent).is_ascii_digit();
        if has_one { self.digits_end(exponent) } else { end }
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
        for text in ["'a;''b'", "'a\\'", "E'a\\'b'", "e'\\\\'", "B'01'", "x'ff'", "N'a'"] {
            assert_eq!(one(text), Kind::Literal, "{text}");
        }
        for text in ["\"a;\"\"b\n\"", "\"größe\""] {
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
    fn what_psql_and_the_server_take_for_different_things_is_doubtful() {
        for text in [
            "E'a'\n'b\\'; INSERT INTO t'",
            "'a' -- c\r'b'",
            "B'0' \x0c\n -- c\n -- d\n\n'1'",
            "1e",
            "0x1F",
            "1_000",
            "1.5e+",
            "$1a",
            "\x0b",
            "\x7f",
            "U&'\\0061'",
            "u&\"\\0061\"",
        ] {
            assert_eq!(tokens(text)[0].0, Kind::Doubtful, "{text}");
        }
        for text in ["'a' 'b'", "'a'\n-'b'", "'a' /* c\n */ 'b'", "B'0''1'"] {
            assert_eq!(tokens(text)[0].0, Kind::Literal, "{text}");
        }
    }

    #[test]
    fn a_carriage_return_ends_a_comment() {
        let of = |text: &'static str| tokens(text).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(of("-- x\rINSERT"), ["-- x", "INSERT"]);
        assert_eq!(of("-- x\r\nINSERT"), ["-- x", "INSERT"]);
        assert_eq!(of("-- x\x0c\u{85}\u{2028}INSERT"), ["-- x\x0c\u{85}\u{2028}INSERT"]);
    }

    #[test]
    fn numbers_end_where_postgresql_ends_them() {
        for (text, first) in
            [("1.5e-10;", "1.5e-10"), ("1..2", "1"), ("1.;", "1."), ("1-2", "1"), ("1e5-3", "1e5"), ("$12$$a$$", "$12")]
        {
            assert_eq!(tokens(text)[0], (Kind::Number, first), "{text}");
        }
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
