//! Bounds: how much is unpacked, read and told.

use super::*;

/// Tells how much was read of it.
struct Counting<'a>(Cursor<&'a [u8]>, &'a std::cell::Cell<usize>);

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.set(self.1.get() + read);
        Ok(read)
    }
}

impl Seek for Counting<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn no_more_is_unpacked_than_lambda_takes() {
    let limits = Limits { max_unzipped_bytes: 1_000_000, ..Limits::default() };
    let million = vec![0; 1_000_000];
    let check = |items: &[Item], expect: &[&str]| assert_eq!(codes_of(&zip(items), None, &limits), expect);
    check(&[Item::deflated("a", &million)], &[]);
    check(&[Item::deflated("a", &million), Item::stored("b", b"x")], &["zip-too-large"]);
    check(&[Item::deflated("a", &million).both(|it| it.size += 1)], &["zip-too-large"]);
    // A bomb that declares to be small is left at the first byte too many, not at the end of its gigabyte.
    let bomb = Item::deflated("a", &vec![0; 64 << 20]).both(|it| it.size = 10);
    check(std::slice::from_ref(&bomb), &["zip-content-mismatch"]);
    // One that declares its size is not unpacked at all, nor is what lies beside it read.
    let bytes = zip(&[Item::stored("b", &vec![1; 500_000]), Item::deflated("a", &vec![0; 64 << 20])]);
    let read = std::cell::Cell::new(0);
    let findings = inspect(Counting(Cursor::new(&bytes), &read), "f.zip", None, &limits).unwrap();
    assert_eq!(findings[0].code, Code::ZipTooLarge);
    assert!(read.get() < 70_000 && bytes.len() > 500_000, "{} of {}", read.get(), bytes.len());
}

#[test]
fn limits_are_kept_before_anything_is_read_into_memory() {
    let items: Vec<_> = (0..11).map(|i| text(&format!("file-{i}"))).collect();
    let bytes = zip(&items);
    for limits in [
        Limits { max_entries: 10, ..Limits::default() },
        Limits { max_directory_bytes: 100, ..Limits::default() },
        Limits { max_archive_bytes: 100, ..Limits::default() },
    ] {
        assert_eq!(codes_of(&bytes, None, &limits), ["zip-too-large"]);
    }
    // Sizes that nobody can add up.
    let huge = |name| {
        text(name).central(|it| {
            it.extra = zip64(&[u64::MAX, it.compressed.into()]);
            (it.size, it.compressed) = (u32::MAX, u32::MAX);
        })
    };
    check(&[huge("a"), huge("b")], "zip-too-large");
}

#[test]
fn at_most_a_hundred_findings_are_told() {
    let items: Vec<_> = (0..150).map(|i| text(&format!("../{i}"))).collect();
    let findings = inspect(Cursor::new(zip(&items)), "f.zip", None, &Limits::default()).unwrap();
    assert_eq!(findings.len(), 101);
    insta::assert_snapshot!(findings[100].message, @"there are more findings than the 100 told");
}

#[test]
fn messages_show_names_escaped_and_cut() {
    let name = format!("/\u{1b}[31m{}", "é".repeat(300));
    let findings = inspect(Cursor::new(zip(&[text(&name)])), "f.zip", None, &Limits::default()).unwrap();
    insta::assert_snapshot!(findings[0].message.replace(&"é".repeat(114), "(114 × é)"), @r"`/\u{1b}[31m(114 × é)…`: its name is absolute");
}

#[test]
fn trouble_of_the_reader_is_an_error_and_no_finding() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    impl Seek for Broken {
        fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
            Ok(1000)
        }
    }
    let error = inspect(Broken, "f.zip", None, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
