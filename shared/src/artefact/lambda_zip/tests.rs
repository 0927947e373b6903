//! What is taken and what is refused, one archive at a time.

use std::io::Cursor;

use super::{
    builder::{Header, Item, deflate, field, zip, zip_with, zip64},
    *,
};
use crate::artefact::Architecture;

fn codes_of(bytes: &[u8], spec: Option<&FunctionSpec>, limits: &Limits) -> Vec<&'static str> {
    let findings = inspect(Cursor::new(bytes), "f.zip", spec, limits).unwrap();
    assert!(
        findings
            .iter()
            .all(|finding| finding.subject == "f.zip" && !finding.message.is_empty())
    );
    let mut codes: Vec<_> = findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    codes.sort_unstable();
    codes
}

/// Holds the codes that an archive is refused with, sorted, against `expect`, a list with spaces; empty is accepted.
#[track_caller]
fn check_bytes(bytes: &[u8], expect: &str) {
    let codes = codes_of(bytes, None, &Limits::default()).join(" ");
    assert_eq!(
        codes,
        expect,
        "{:#?}",
        inspect(Cursor::new(bytes), "f.zip", None, &Limits::default())
    );
}

#[track_caller]
fn check(items: &[Item], expect: &str) {
    check_bytes(&zip(items), expect);
}

fn text(name: &str) -> Item {
    Item::deflated(
        name,
        b"exports.handler = async () => 'hello hello hello hello'",
    )
}

#[test]
fn ordinary_archives_are_taken() {
    check(&[text("index.js")], "");
    check(
        &[
            Item::stored("index.js", b"x"),
            Item::folder("lib/"),
            text("lib/a.js"),
            Item::stored("empty", b""),
        ],
        "",
    );
    check(&[text("lib/a.js"), Item::folder("lib/")], "");
    check(
        &[
            text("grüße.txt"),
            text("A"),
            text("a"),
            text("a.b"),
            text("a-b/c"),
            text("..."),
        ],
        "",
    );
    // Java compresses even what is empty.
    check(
        &[Item::folder("META-INF/")
            .both(|it| (it.method, it.compressed) = (8, 2))
            .with(|it| it.body = deflate(b""))],
        "",
    );
    check(&[Item::folder("shared/").mode(0o042_775)], "");
    check(
        &[text("old").with(|it| (it.made_by, it.attributes) = (20, 0x20))],
        "",
    );
    check(
        &[text("timed").both(|it| it.extra = field(0x5455, &[1, 0, 0, 0, 0]))],
        "",
    );
    check(
        &[text("ü").both(|it| it.extra = field(0x7075, b"\x01CRC!\xc3\xbc"))],
        "",
    );
}

#[test]
fn an_archive_may_hold_another_one_stored_at_its_end() {
    check(&[Item::stored("inner.zip", &zip(&[text("a")]))], "");
    check_bytes(
        &zip_with(&[text("a")], |end| end.comment = b"built by ci".to_vec()),
        "",
    );
    check_bytes(
        &zip_with(&[text("a")], |end| end.comment = vec![b'.'; 65535]),
        "",
    );
}

#[test]
fn data_descriptors_are_taken_when_they_are_right() {
    for (signature, wide) in [(true, false), (false, false), (true, true), (false, true)] {
        check(
            &[
                text("a").streamed(signature, wide),
                text("b").streamed(signature, wide),
            ],
            "",
        );
        let mut broken = text("a").streamed(signature, wide);
        *broken.descriptor.last_mut().unwrap() ^= 1;
        check(&[broken, text("b")], "zip-invalid");
        let mut cut = text("a").streamed(signature, wide);
        cut.descriptor.pop();
        assert!(!codes_of(&zip(&[cut, text("b")]), None, &Limits::default()).is_empty());
    }
    check(&[Item::stored("a", b"abc").streamed(true, false)], "");
    // The sizes may stand in the local header already, but not other ones.
    check(
        &[text("a")
            .streamed(true, false)
            .with(|it| it.local = it.central.clone())],
        "",
    );
    check(
        &[text("a").streamed(true, false).local(|it| it.size = 7)],
        "zip-invalid",
    );
    // Without its flag a descriptor is bytes of nobody.
    check(
        &[text("a")
            .streamed(true, false)
            .with(|it| it.local = it.central.clone())
            .both(|it| it.flags = 0)],
        "zip-overlap",
    );
}

/// Moves the sizes into the zip64 extra field.
fn widened(header: &mut Header) {
    header.extra = zip64(&[header.size.into(), header.compressed.into()]);
    (header.size, header.compressed) = (u32::MAX, u32::MAX);
}

#[test]
fn zip64_is_taken_when_it_says_the_same() {
    check(&[text("a").both(widened)], "");
    check(&[text("a").local(widened), text("b").central(widened)], "");
    // Fields that nothing refers to, as some writers leave them.
    check(
        &[text("a").both(|it| it.extra = zip64(&[it.size.into(), it.compressed.into()]))],
        "",
    );
    check(
        &[text("a").both(|it| it.extra = zip64(&[it.size.into(), 7]))],
        "zip-invalid",
    );
    check(
        &[text("a").central(|it| it.extra = zip64(&[7]))],
        "zip-invalid",
    );
    check(&[text("a").central(|it| it.size = u32::MAX)], "zip-invalid");
    check(
        &[text("a")
            .both(widened)
            .central(|it| it.extra.extend(zip64(&[7])))],
        "zip-invalid",
    );
    check(
        &[text("a").central(|it| (it.extra, it.size) = (zip64(&[it.size.into(), 7]), u32::MAX))],
        "zip-invalid",
    );
    check(
        &[text("a")
            .both(widened)
            .local(|it| it.extra = zip64(&[1, 1]))],
        "zip-invalid",
    );
    let offset = |start: u64| {
        text("a")
            .central(move |it| it.extra = zip64(&[start]))
            .with(|it| it.offset = Some(u32::MAX))
    };
    check(&[offset(0)], "");
    // An offset far beyond the file is looked at by nobody.
    check(&[offset(u64::MAX)], "zip-invalid zip-overlap");
}

#[test]
fn zip64_end_records_are_taken_when_they_say_the_same() {
    let items = [text("a"), text("b")];
    let check_end = |expect: &str, change: &dyn Fn(&mut builder::End)| {
        check_bytes(
            &zip_with(&items, |end| {
                end.widen();
                change(end);
            }),
            expect,
        );
    };
    check_end("", &|_| {});
    check_end("", &|end| {
        (end.entries, end.size, end.start) = (u16::MAX, u32::MAX, u32::MAX)
    });
    check_end("zip-invalid", &|end| end.entries = 1);
    check_end("zip-invalid", &|end| end.start += 1);
    check_end("zip-invalid", &|end| end.zip64[4] = 45); // the record's length
    check_end("zip-unsupported", &|end| end.zip64[16] = 1); // the disk
    check_end("zip-invalid", &|end| end.zip64[0] ^= 1); // the signature
    check_end("zip-unsupported", &|end| end.zip64[24] = 1); // entries on this disk
    check_end("zip-invalid", &|end| end.zip64[64] ^= 1); // the locator's offset
    check_end("zip-unsupported", &|end| end.zip64[72] = 2); // the number of disks
    check_end("zip-invalid", &|end| end.zip64[71] = 0xFF); // an offset beyond everything
    check_bytes(
        &zip_with(&items, |end| end.entries = u16::MAX),
        "zip-invalid",
    );
    // A locator that only some parsers follow: the last entry of the directory ends in one.
    let locator = [
        &0x0706_4b50_u32.to_le_bytes()[..],
        &[0; 12],
        &1_u32.to_le_bytes(),
    ]
    .concat();
    check(
        &[text("a").central(|it| it.extra = [&[0xFE, 0xCA, 20, 0][..], &locator].concat())],
        "zip-invalid",
    );
}

#[test]
fn every_parser_must_find_the_same_end() {
    check_bytes(b"", "zip-invalid");
    check_bytes(
        b"not an archive at all, but long enough to hold an end",
        "zip-invalid",
    );
    check_bytes(&zip(&[]), "zip-invalid");
    let whole = zip(&[text("a")]);
    check_bytes(&[b"#!/bin/sh\n", &whole[..]].concat(), "zip-invalid");
    check_bytes(&[&whole[..], b"\n"].concat(), "zip-invalid");
    check_bytes(&[&whole[..], &whole[..]].concat(), "zip-invalid");
    check_bytes(&whole[..whole.len() - 1], "zip-invalid");
    let hidden = zip(&[text("b")]);
    check_bytes(
        &zip_with(&[text("a")], |end| end.comment.clone_from(&hidden)),
        "zip-invalid",
    );
    check_bytes(
        &zip_with(&[text("a")], |end| end.comment = b"PK\x05\x06".to_vec()),
        "zip-invalid",
    );
    check_bytes(
        &zip_with(&[text("a")], |end| end.trailing = b"PK\x05\x06".to_vec()),
        "zip-invalid",
    );
    // An end record inside the last entry whose comment would reach the file's end as well.
    let mut inner = [&b"PK\x05\x06"[..], &[0; 16], &[0; 2]].concat();
    let length = zip(&[Item::stored("a", &inner)]).len() - 31 - inner.len();
    inner[20..22].copy_from_slice(&(length as u16).to_le_bytes());
    check(&[Item::stored("a", &inner)], "zip-invalid");
}

#[test]
fn the_end_and_the_directory_must_agree() {
    let items = [text("a"), text("b")];
    check_bytes(&zip_with(&items, |end| end.entries = 1), "zip-invalid");
    check_bytes(&zip_with(&items, |end| end.entries = 3), "zip-invalid");
    check_bytes(&zip_with(&items, |end| end.size -= 1), "zip-invalid");
    check_bytes(&zip_with(&items, |end| end.start += 1), "zip-invalid");
    check_bytes(&zip_with(&items, |end| end.disk = 1), "zip-unsupported");
    check(&[text("a").with(|it| it.disk = 1)], "zip-unsupported");
}

#[test]
fn entries_cover_the_archive_without_gap_or_overlap() {
    check(
        &[text("a").with(|it| it.gap_before = b"MZ".to_vec())],
        "zip-overlap",
    );
    check(
        &[
            text("a"),
            text("b").with(|it| it.gap_before = zip(&[text("hidden")])),
        ],
        "zip-overlap",
    );
    check(
        &[text("a"), text("b").with(|it| it.offset = Some(0))],
        "zip-overlap zip-overlap",
    );
    // Two entries, one body: the second local header is inside the first one's data.
    let inner = zip(&[Item::stored("b", b"b")]);
    let both = [
        Item::stored("a", &inner[..32]),
        Item::stored("b", b"b").with(|it| it.offset = Some(31)),
    ];
    check(&both, "zip-overlap zip-overlap");
    // Bytes behind the end of a deflate stream, which only some parsers skip.
    let padded = text("a")
        .with(|it| it.body.extend(b"hidden"))
        .both(|it| it.compressed += 6);
    check(&[padded, text("b")], "zip-overlap");
    check(&[text("a").both(|it| it.compressed += 100)], "zip-overlap");
    check(
        &[text("a").with(|it| it.offset = Some(1))],
        "zip-invalid zip-overlap",
    );
    check(
        &[text("a").with(|it| it.offset = Some(0x7FFF_FFFF))],
        "zip-invalid zip-overlap",
    );
}

#[test]
fn the_order_of_the_directory_does_not_matter() {
    let (first, second) = (text("a"), text("b"));
    let length = zip(std::slice::from_ref(&first))
        .windows(4)
        .position(|it| it == b"PK\x01\x02")
        .unwrap();
    let swapped = [
        Item {
            central: second.central.clone(),
            offset: Some(length as u32),
            ..first.clone()
        },
        Item {
            central: first.central.clone(),
            offset: Some(0),
            ..second.clone()
        },
    ];
    check(&swapped, "");
}

#[test]
fn local_headers_say_what_the_directory_says() {
    let lies: [fn(&mut Header); 6] = [
        |it| it.name = b"b".to_vec(),
        |it| it.flags = 2,
        |it| it.crc ^= 1,
        |it| it.size += 1,
        |it| it.extra = b"abc".to_vec(),
        |it| it.extra = field(0x7075, b"\x01CRC!other"),
    ];
    for lie in lies {
        check(&[text("a").local(lie), text("c")], "zip-invalid");
    }
    check(&[text("a").local(|it| it.method = 0)], "zip-invalid");
    check(
        &[text("a").central(|it| it.extra = field(0x7075, b"\x01CRC!other"))],
        "zip-invalid",
    );
    check(
        &[text("a").central(|it| it.extra = vec![1, 2, 3])],
        "zip-invalid",
    );
    check(
        &[text("a").central(|it| it.extra = [1, 0, 9, 0].to_vec())],
        "zip-invalid",
    );
}

#[test]
fn contents_are_what_is_declared() {
    check(&[text("a").both(|it| it.crc ^= 1)], "zip-content-mismatch");
    check(&[text("a").both(|it| it.size += 1)], "zip-content-mismatch");
    check(&[text("a").both(|it| it.size -= 1)], "zip-content-mismatch");
    check(
        &[Item::stored("a", b"abc").both(|it| it.crc ^= 1)],
        "zip-content-mismatch",
    );
    check(
        &[Item::stored("a", b"abc").both(|it| it.size = 2)],
        "zip-content-mismatch zip-content-mismatch",
    );
    check(
        &[text("a").with(|it| it.body.fill(0xFF)), text("b")],
        "zip-content-mismatch",
    );
    let cut = text("a")
        .with(|it| it.body.truncate(it.body.len() - 1))
        .both(|it| it.compressed -= 1);
    check(&[cut], "zip-content-mismatch");
    check(
        &[text("a")
            .both(|it| it.compressed = 0)
            .with(|it| it.body.clear())],
        "zip-content-mismatch",
    );
}

#[test]
fn names_stay_inside_the_tree_on_every_system() {
    for name in [
        "/etc/passwd",
        "//x",
        "../x",
        "a/../../x",
        "a/..",
        "..",
        ".",
        "./a",
        "a//b",
        "a/./b",
        "C:\\x",
        "C:x",
        "c:/x",
        "a\\b",
        "..\\x",
        "a\0b",
        "a\nb",
        "a\x7f",
        "",
        "a//",
        "/",
    ] {
        let item = if name.ends_with('/') {
            Item::folder(name)
        } else {
            text(name)
        };
        check(&[item], "zip-unsafe-path");
    }
    check(&[text(&"n".repeat(256))], "zip-unsafe-path");
    check(
        &[text(&"n/".repeat(2100).trim_end_matches('/').to_owned())],
        "zip-unsafe-path",
    );
    check(&[text(&"n".repeat(255))], "");
    check(&[text("a\u{85}b")], "zip-unsafe-path");
    // CP437 to some, UTF-8 or Latin-1 to others.
    check(&[text("ü").both(|it| it.flags = 0)], "zip-invalid");
    check(
        &[text("a").both(|it| (it.name, it.flags) = (vec![0xFF], 1 << 11))],
        "zip-invalid",
    );
}

#[test]
fn names_come_once() {
    check(&[text("a"), text("b"), text("a")], "zip-duplicate-entry");
    check(&[text("a"), Item::folder("a/")], "zip-duplicate-entry");
    check(
        &[Item::folder("a/"), Item::folder("a/")],
        "zip-duplicate-entry",
    );
    check(
        &[text("a/b"), text("a.txt"), text("a")],
        "zip-duplicate-entry",
    );
    check(&[text("x/y"), text("x/y/z/w")], "zip-duplicate-entry");
    check(&[text("a"), text("ab"), text("ab.c/d"), text("a b/c")], "");
}

#[test]
fn links_stay_inside_the_tree() {
    let target = text("lib/libz.so.1.3");
    check(
        &[Item::link("lib/libz.so", "libz.so.1.3"), target.clone()],
        "",
    );
    check(
        &[Item::link("bin/z", "../lib/./libz.so.1.3"), target.clone()],
        "",
    );
    check(&[Item::link("current", "lib"), target.clone()], "");
    check(&[Item::link("dangling", "not/there")], "");
    check(&[Item::link("all", ".")], "");
    for leaving in [
        "/etc/passwd",
        "../x",
        "lib/../../x",
        "..",
        "",
        "a\\..\\b",
        "a\nb",
        "a\0b",
    ] {
        check(&[Item::link("x", leaving)], "zip-unsafe-symlink");
    }
    check(
        &[Item::link("lib/x", "../../y"), target.clone()],
        "zip-unsafe-symlink",
    );
    // Each fits by its text alone; followed, the second one is above the root.
    check(
        &[
            Item::link("a/b/up", "../.."),
            Item::link("out", "a/b/up/../x"),
        ],
        "zip-unsafe-symlink",
    );
    check(&[Item::link("me", "me")], "zip-unsafe-symlink");
    check(&[Item::link("x", &"a/".repeat(2100))], "zip-unsafe-symlink");
    let links: Vec<_> = (0..300)
        .map(|i| Item::link(&format!("l{i}"), &"a".repeat(4000)))
        .collect();
    assert!(
        codes_of(&zip(&links), None, &Limits::default())
            .iter()
            .all(|code| *code == "zip-unsafe-symlink")
    );
    check(
        &[Item::link("not-utf-8", "x")
            .both(|it| it.crc = crc32fast::hash(&[0xFF]))
            .with(|it| it.body = vec![0xFF])],
        "zip-unsafe-symlink",
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    check(
        &[
            Item::folder("dir/"),
            Item::link("link", "dir"),
            text("link/x"),
        ],
        "zip-unsafe-symlink",
    );
    check(
        &[text("link/x/y"), Item::link("link", "dir")],
        "zip-unsafe-symlink",
    );
}

#[test]
fn an_entry_is_a_file_a_folder_or_a_link_to_every_parser() {
    for special in [
        0o010_644, 0o020_644, 0o060_644, 0o140_755, 0o104_755, 0o102_755,
    ] {
        check(&[text("a").mode(special)], "zip-unsupported");
    }
    check(&[text("a").mode(0o040_755)], "zip-invalid");
    check(&[Item::folder("a/").mode(0o100_644)], "zip-invalid");
    check(
        &[Item::link("a", "b").with(|it| it.made_by = 20)],
        "zip-invalid",
    );
    check(&[text("a").with(|it| it.attributes |= 0x10)], "zip-invalid");
    check(
        &[Item::stored("a/", b"data").mode(0o040_755)],
        "zip-invalid",
    );
}

#[test]
fn what_lambda_can_not_unpack_is_refused() {
    for flag in [0, 6, 13] {
        check(
            &[text("a").both(|it| it.flags |= 1 << flag)],
            "zip-encrypted",
        );
    }
    check(&[text("a").both(|it| it.method = 99)], "zip-encrypted");
    check(
        &[text("a").central(|it| it.extra = field(0x9901, &[2, 0, 65, 69, 3, 8, 0]))],
        "zip-encrypted",
    );
    check(
        &[text("a").local(|it| it.extra = field(0x9901, &[2, 0, 65, 69, 3, 8, 0]))],
        "zip-encrypted",
    );
    for method in [1, 6, 9, 12, 14, 93, 95, 98] {
        check(
            &[text("a").both(|it| it.method = method)],
            "zip-unsupported",
        );
    }
    check(
        &[text("a").both(|it| it.flags |= 1 << 5)],
        "zip-unsupported",
    );
    check(
        &[text("a").both(|it| it.flags |= 1 << 15)],
        "zip-unsupported",
    );
}

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
    let limits = Limits {
        max_unzipped_bytes: 1_000_000,
        ..Limits::default()
    };
    let million = vec![0; 1_000_000];
    let check =
        |items: &[Item], expect: &[&str]| assert_eq!(codes_of(&zip(items), None, &limits), expect);
    check(&[Item::deflated("a", &million)], &[]);
    check(
        &[Item::deflated("a", &million), Item::stored("b", b"x")],
        &["zip-too-large"],
    );
    check(
        &[Item::deflated("a", &million).both(|it| it.size += 1)],
        &["zip-too-large"],
    );
    // A bomb that declares to be small is left at the first byte too many, not at the end of its gigabyte.
    let bomb = Item::deflated("a", &vec![0; 64 << 20]).both(|it| it.size = 10);
    check(std::slice::from_ref(&bomb), &["zip-content-mismatch"]);
    // One that declares its size is not unpacked at all, nor is what lies beside it read.
    let bytes = zip(&[
        Item::stored("b", &vec![1; 500_000]),
        Item::deflated("a", &vec![0; 64 << 20]),
    ]);
    let read = std::cell::Cell::new(0);
    let findings = inspect(Counting(Cursor::new(&bytes), &read), "f.zip", None, &limits).unwrap();
    assert_eq!(findings[0].code, Code::ZipTooLarge);
    assert!(
        read.get() < 70_000 && bytes.len() > 500_000,
        "{} of {}",
        read.get(),
        bytes.len()
    );
}

#[test]
fn limits_are_kept_before_anything_is_read_into_memory() {
    let items: Vec<_> = (0..11).map(|i| text(&format!("file-{i}"))).collect();
    let bytes = zip(&items);
    for limits in [
        Limits {
            max_entries: 10,
            ..Limits::default()
        },
        Limits {
            max_directory_bytes: 100,
            ..Limits::default()
        },
        Limits {
            max_archive_bytes: 100,
            ..Limits::default()
        },
    ] {
        assert_eq!(codes_of(&bytes, None, &limits), ["zip-too-large"]);
    }
    // Sizes that nobody can add up.
    let huge = |name| {
        text(name).central(|it| {
            it.extra = zip64(&[u64::MAX]);
            it.size = u32::MAX;
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
    let findings = inspect(
        Cursor::new(zip(&[text(&name)])),
        "f.zip",
        None,
        &Limits::default(),
    )
    .unwrap();
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

fn spec(runtime: &str, handler: Option<&str>) -> FunctionSpec {
    FunctionSpec {
        runtime: runtime.to_owned(),
        handler: handler.map(str::to_owned),
        architecture: Architecture::Arm64,
    }
}

fn elf(class: u8, endianness: u8, kind: u16, machine: u16) -> Vec<u8> {
    let mut elf = [b"\x7fELF", &[class, endianness, 1][..], &[0; 9]].concat();
    elf.extend(kind.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend([0; 200]);
    elf
}

#[track_caller]
fn check_fit(items: &[Item], spec: &FunctionSpec, expect: &str) {
    assert_eq!(
        codes_of(&zip(items), Some(spec), &Limits::default()).join(" "),
        expect,
        "{spec:?}"
    );
}

#[test]
fn an_os_only_runtime_needs_a_bootstrap_that_it_can_execute() {
    let arm = elf(2, 1, 3, 183);
    let good = Item::deflated("bootstrap", &arm).mode(0o100_755);
    for runtime in ["provided.al2023", "provided.al2", "provided"] {
        check_fit(std::slice::from_ref(&good), &spec(runtime, None), "");
    }
    let check = |items: &[Item], expect| {
        check_fit(items, &spec("provided.al2023", Some("any.thing")), expect)
    };
    check(&[Item::stored("bootstrap", &arm).mode(0o100_755)], "");
    check(&[good.clone().streamed(true, false)], "");
    check(
        &[Item::deflated("bootstrap", b"#!/bin/sh\nexec ./app").mode(0o100_755)],
        "",
    );
    check(
        &[
            Item::link("bootstrap", "bin/app"),
            Item::deflated("bin/app", &arm).mode(0o100_755),
        ],
        "",
    );
    check(
        &[
            Item::link("bootstrap", "bin/app"),
            Item::deflated("bin/app", &arm),
        ],
        "bootstrap-missing",
    );
    check(&[Item::link("bootstrap", "bin/app")], "bootstrap-missing");
    check(&[text("index.js")], "bootstrap-missing");
    check(&[Item::folder("bootstrap/")], "bootstrap-missing");
    check(
        &[Item::deflated("bin/bootstrap", &arm).mode(0o100_755)],
        "bootstrap-missing",
    );
    check(
        &[Item::deflated("bootstrap", &arm).mode(0o100_644)],
        "bootstrap-missing",
    );
    check(
        &[Item::deflated("bootstrap", &arm).with(|it| it.made_by = 20)],
        "bootstrap-missing",
    );
    for other in [
        elf(2, 1, 3, 62),
        elf(1, 1, 3, 183),
        elf(2, 2, 3, 183),
        elf(2, 1, 1, 183),
        b"MZ".to_vec(),
        b"\x7fELF\x02\x01".to_vec(),
        Vec::new(),
    ] {
        check(
            &[Item::deflated("bootstrap", &other).mode(0o100_755)],
            "architecture-mismatch",
        );
    }
    let x86 = FunctionSpec {
        architecture: Architecture::X86_64,
        ..spec("provided.al2023", None)
    };
    check_fit(
        &[Item::deflated("bootstrap", &elf(2, 1, 2, 62)).mode(0o100_755)],
        &x86,
        "",
    );
    check_fit(&[good], &x86, "architecture-mismatch");
    // What can't be read is not looked into.
    check(
        &[Item::deflated("bootstrap", &arm)
            .mode(0o100_755)
            .both(|it| it.crc ^= 1)],
        "zip-content-mismatch",
    );
    check(
        &[Item::deflated("bootstrap", &arm)
            .mode(0o100_755)
            .both(|it| it.flags |= 1)],
        "zip-encrypted",
    );
}

#[test]
fn a_handler_names_a_file_of_the_bundle() {
    let check = |runtime: &str, handler: &str, file: &str, found: bool| {
        let expect = if found { "" } else { "handler-missing" };
        check_fit(&[text(file)], &spec(runtime, Some(handler)), expect);
    };
    let node = |handler: &str, file: &str, found| check("nodejs22.x", handler, file, found);
    for file in [
        "index.js",
        "index.mjs",
        "index.cjs",
        "index",
        "index/index.js",
        "index/package.json",
    ] {
        node("index.handler", file, true);
    }
    node("index.nested.handler", "index.js", true);
    node("./dist/api.handler", "dist/api.mjs", true);
    node("dist/api.v1.handler", "dist/api.js", true);
    node("/var/task/dist/api.handler", "dist/api.js", true);
    node("index.handler", "dist/index.js", false);
    node("index.handler", "Index.js", false);
    node("index", "index.js", false);
    node("../index.handler", "index.js", false);
    node("index.handler", "index.ts", false);
    check("nodejs24.x", "index.handler", "index.ts", true);

    let python = |handler: &str, file: &str, found| check("python3.13", handler, file, found);
    for file in [
        "pkg/mod.py",
        "pkg/mod/__init__.py",
        "pkg/mod.pyc",
        "pkg/mod.cpython-313-x86_64-linux-gnu.so",
        "pkg/mod/__init__.abi3.so",
    ] {
        python("pkg.mod.handler", file, true);
        python("pkg/mod.handler", file, true);
    }
    python("app.handler", "app.py", true);
    python("app.handler", "src/app.py", false);
    python("app.handler", "app/sub.so", false);
    python("handler", "handler.py", false);
    python(".app.handler", "app.py", false);

    check(
        "ruby3.3",
        "lambda_function.LambdaFunctions::Handler.process",
        "lambda_function.rb",
        true,
    );
    check("ruby3.3", "lib/app.handler", "lib/app.rb", true);
    check("ruby3.3", "app.handler", "app.py", false);
    // A class in a jar, an assembly's method, and what we don't know.
    check(
        "java21",
        "example.Handler::handleRequest",
        "lib/app.jar",
        true,
    );
    check(
        "dotnet8",
        "Assembly::Namespace.Class::Method",
        "Assembly.dll",
        true,
    );
    check("elixir1", "whatever", "a", true);
}

#[test]
fn a_handler_in_a_layer_is_not_looked_up() {
    let layer = "/opt/nodejs/node_modules/datadog-lambda-js/handler.handler";
    check_fit(&[text("index.js")], &spec("nodejs22.x", Some(layer)), "");
    check_fit(&[text("index.js")], &spec("nodejs22.x", None), "");
}

#[test]
fn a_handler_is_found_through_links() {
    let items = [
        Item::link("src", "dist"),
        Item::link("dist/index.js", "main.js"),
        text("dist/main.js"),
    ];
    check_fit(&items, &spec("nodejs22.x", Some("src/index.handler")), "");
    check_fit(
        &[Item::link("index.js", "gone.js")],
        &spec("nodejs22.x", Some("index.handler")),
        "handler-missing",
    );
}
