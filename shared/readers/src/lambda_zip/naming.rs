//! Words that a bundle's files hold, such as dev's account: found in their bytes while these are unpacked.

use memchr::memmem::Finder;

/// The files of an archive that hold a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holders {
    /// The first one's name.
    pub(super) first: Vec<u8>,
    /// How many there are.
    pub(super) files: u64,
}

/// Looks for words in one file after the other. A word stands alone: neither a letter nor a digit touches it.
pub(super) struct Search<'a> {
    words: Vec<(Finder<'a>, Option<Holders>)>,
    /// The words that the present file was found to hold.
    held: Vec<bool>,
    /// The end of what was read of the present file: a word may go on in the next piece.
    tail: Vec<u8>,
    /// How much of it is kept: the longest word and the byte before it.
    keep: usize,
    /// Whether bytes before the tail are gone. A word at its very start was judged with them.
    is_cut: bool,
}

impl<'a> Search<'a> {
    pub(super) fn for_words(words: &'a [String]) -> Self {
        let keep = words.iter().map(String::len).max().map_or(0, |longest| longest + 1);
        let finders: Vec<_> = words.iter().map(|word| (Finder::new(word), None)).collect();
        Self { held: vec![false; finders.len()], words: finders, tail: Vec::new(), keep, is_cut: false }
    }

    /// Takes the next piece of the present file.
    pub(super) fn read(&mut self, piece: &[u8]) {
        if self.words.is_empty() {
            return;
        }
        self.tail.extend_from_slice(piece);
        self.look(false);
        let gone = self.tail.len().saturating_sub(self.keep);
        self.is_cut |= gone > 0;
        self.tail.drain(..gone);
    }

    /// Ends the present file, whose name this is.
    pub(super) fn end(&mut self, name: &[u8]) {
        self.look(true);
        self.tail.clear();
        self.is_cut = false;
        for ((_, holders), held) in self.words.iter_mut().zip(&mut self.held) {
            if std::mem::take(held) {
                holders.get_or_insert_with(|| Holders { first: name.to_owned(), files: 0 }).files += 1;
            }
        }
    }

    /// Which files hold each of the words, in the words' order.
    pub(super) fn found(self) -> impl Iterator<Item = Option<Holders>> {
        self.words.into_iter().map(|(_, holders)| holders)
    }

    fn look(&mut self, is_end: bool) {
        let (text, is_cut) = (self.tail.as_slice(), self.is_cut);
        for ((finder, _), held) in self.words.iter().zip(&mut self.held) {
            *held = *held || is_held(finder, text, is_cut, is_end);
        }
    }
}

/// Whether the word stands alone somewhere in `text`, behind which the file goes on unless it `is_end`.
fn is_held(word: &Finder<'_>, text: &[u8], is_cut: bool, is_end: bool) -> bool {
    let is_alone = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| word.find(rest)) {
        let at = from + found;
        let (before, after) = (at.checked_sub(1).and_then(|it| text.get(it)), text.get(at + word.needle().len()));
        let is_judged = (before.is_some() || !is_cut) && (after.is_some() || is_end);
        if is_judged && is_alone(before) && is_alone(after) {
            return true;
        }
        from = at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files_with(words: &[&str], files: &[&[&[u8]]]) -> Vec<Option<(String, u64)>> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut search = Search::for_words(&words);
        for (number, pieces) in files.iter().enumerate() {
            pieces.iter().for_each(|piece| search.read(piece));
            search.end(format!("{number}.js").as_bytes());
        }
        let told = |it: Holders| (String::from_utf8(it.first).unwrap(), it.files);
        search.found().map(|it| it.map(told)).collect()
    }

    #[test]
    fn a_word_is_found_where_it_stands_alone() {
        let account = "111122223333";
        for (text, found) in [
            ("111122223333", true),
            ("arn:aws:sqs:eu-west-2:111122223333:payments", true),
            ("\"111122223333\"", true),
            ("x111122223333", false),
            ("1111222233334", false),
            ("", false),
            ("111122223334 111122223333", true),
        ] {
            assert_eq!(files_with(&[account], &[&[text.as_bytes()]])[0].is_some(), found, "{text}");
        }
    }

    #[test]
    fn files_are_counted_and_do_not_run_into_each_other() {
        let files: [&[&[u8]]; 4] = [&[b"dev-bank"], &[b"dev-", b"bank dev-bank"], &[b"dev-"], &[b"bank"]];
        assert_eq!(files_with(&["dev-bank", "bank-dev"], &files), [Some(("0.js".to_owned(), 2)), None]);
        assert_eq!(files_with(&["a-a"], &[&[b"xa-a-a"]]), [Some(("0.js".to_owned(), 1))]);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(text in "[ab ]{0,40}", cuts in prop::collection::vec(0_usize..40, 0..6)) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let alone = text.split(' ').any(|word| word == "ab");
            prop_assert_eq!(files_with(&["ab"], &[&pieces])[0].is_some(), alone);
        }
    }
}
