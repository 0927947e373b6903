//! The records of an archive: every parser reads the same entries with the same bytes, or it is refused.

use super::*;

#[test]
fn ordinary_archives_are_taken() {
    check(&[text("index.js")], "");
    check(&[Item::stored("index.js", b"x"), Item::folder("lib/"), text("lib/a.js"), Item::stored("empty", b"")], "");
    check(&[text("lib/a.js"), Item::folder("lib/")], "");
    check(&[text("grüße.txt"), text("A"), text("a"), text("a.b"), text("a-b/c"), text("...")], "");
    // Java compresses even what is empty.
    check(
        &[Item::folder("META-INF/").both(|it| (it.method, it.compressed) = (8, 2)).with(|it| it.body = deflate(b""))],
        "",
    );
    check(&[Item::folder("shared/").mode(0o042_775)], "");
    check(&[text("old").with(|it| (it.made_by, it.attributes) = (20, 0x20))], "");
    check(&[text("timed").both(|it| it.extra = field(0x5455, &[1, 0, 0, 0, 0]))], "");
    check(&[text("ü").both(|it| it.extra = field(0x7075, b"\x01CRC!\xc3\xbc"))], "");
}

#[test]
fn an_archive_may_hold_another_one_stored_at_its_end() {
    check(&[Item::stored("inner.zip", &zip(&[text("a")]))], "");
    check_bytes(&zip_with(&[text("a")], |end| end.comment = b"built by ci".to_vec()), "");
    check_bytes(&zip_with(&[text("a")], |end| end.comment = vec![b'.'; 65535]), "");
}

#[test]
fn data_descriptors_are_taken_when_they_are_right() {
    for (signature, wide) in [(true, false), (false, false), (true, true), (false, true)] {
        check(&[text("a").streamed(signature, wide), text("b").streamed(signature, wide)], "");
        let mut broken = text("a").streamed(signature, wide);
        *broken.descriptor.last_mut().unwrap() ^= 1;
        check(&[broken, text("b")], "zip-invalid");
        let mut cut = text("a").streamed(signature, wide);
        cut.descriptor.pop();
        assert!(!codes_of(&zip(&[cut, text("b")]), None, &Limits::default()).is_empty());
    }
    check(&[Item::stored("a", b"abc").streamed(true, false)], "");
    // Java's `ZipInputStream` takes the second half of a wide one for the end of all entries.
    for signature in [true, false] {
        check(&[Item::deflated("a", b"").streamed(signature, true), text("b")], "zip-invalid");
        check(&[Item::stored("a", b"").streamed(signature, true), text("b")], "zip-invalid");
        check(&[Item::deflated("a", b"").streamed(signature, false), text("b")], "");
    }
    // The sizes may stand in the local header already, but not other ones.
    check(&[text("a").streamed(true, false).with(|it| it.local = it.central.clone())], "");
    check(&[text("a").streamed(true, false).local(|it| it.size = 7)], "zip-invalid");
    // Without its flag a descriptor is bytes of nobody.
    check(
        &[text("a").streamed(true, false).with(|it| it.local = it.central.clone()).both(|it| it.flags = 0)],
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
    check(&[text("a").both(|it| it.extra = zip64(&[it.size.into(), it.compressed.into()]))], "");
    check(&[text("a").both(|it| it.extra = zip64(&[it.size.into(), 7]))], "zip-invalid");
    check(&[text("a").central(|it| it.extra = zip64(&[7]))], "zip-invalid");
    check(&[text("a").central(|it| it.size = u32::MAX)], "zip-invalid");
    let twice = |it: &mut Header| it.extra = zip64(&[it.size.into()]).repeat(2);
    check(&[text("a").central(twice)], "zip-invalid");
    check(&[text("a").both(widened).central(|it| it.extra.extend(zip64(&[7])))], "zip-invalid");
    check(&[text("a").central(|it| (it.extra, it.size) = (zip64(&[it.size.into(), 7]), u32::MAX))], "zip-invalid");
    check(&[text("a").both(widened).local(|it| it.extra = zip64(&[1, 1]))], "zip-invalid");
    let offset =
        |start: u64| text("a").central(move |it| it.extra = zip64(&[start])).with(|it| it.offset = Some(u32::MAX));
    // Some read the first value as a size, whichever it stands for.
    check(&[offset(0)], "zip-invalid");
    let all = |start: u64| {
        text("a")
            .central(move |it| {
                it.extra = zip64(&[it.size.into(), it.compressed.into(), start]);
                (it.size, it.compressed) = (u32::MAX, u32::MAX);
            })
            .with(|it| it.offset = Some(u32::MAX))
    };
    check(&[all(0)], "");
    // An offset far beyond the file is looked at by nobody.
    check(&[all(u64::MAX)], "zip-invalid zip-overlap");
    check(&[text("a").central(|it| (it.extra, it.size) = (zip64(&[it.size.into()]), u32::MAX))], "zip-invalid");
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
        (end.entries, end.size, end.start) = (u16::MAX, u32::MAX, u32::MAX);
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
    check_bytes(&zip_with(&items, |end| end.entries = u16::MAX), "zip-invalid");
    // A locator that only some parsers follow: the last entry of the directory ends in one.
    let locator = [&0x0706_4b50_u32.to_le_bytes()[..], &[0; 12], &1_u32.to_le_bytes()].concat();
    check(&[text("a").central(|it| it.extra = [&[0xFE, 0xCA, 20, 0][..], &locator].concat())], "zip-invalid");
}

#[test]
fn every_parser_must_find_the_same_end() {
    check_bytes(b"", "zip-invalid");
    check_bytes(b"not an archive at all, but long enough to hold an end", "zip-invalid");
    check_bytes(&zip(&[]), "zip-invalid");
    let whole = zip(&[text("a")]);
    check_bytes(&[b"#!/bin/sh\n", &whole[..]].concat(), "zip-invalid");
    check_bytes(&[&whole[..], b"\n"].concat(), "zip-invalid");
    check_bytes(&[&whole[..], &whole[..]].concat(), "zip-invalid");
    check_bytes(&whole[..whole.len() - 1], "zip-invalid");
    let hidden = zip(&[text("b")]);
    check_bytes(&zip_with(&[text("a")], |end| end.comment.clone_from(&hidden)), "zip-invalid");
    check_bytes(&zip_with(&[text("a")], |end| end.comment = b"PK\x05\x06".to_vec()), "zip-invalid");
    check_bytes(&zip_with(&[text("a")], |end| end.trailing = b"PK\x05\x06".to_vec()), "zip-invalid");
    // In the directory: a comment or an extra field of an entry.
    check(&[text("a").with(|it| it.comment = b"PK\x05\x06".to_vec())], "zip-invalid");
    check(
        &[text("a").central(|it| it.extra = field(0xcafe, b"PK\x05\x06 and more than a whole end record"))],
        "zip-invalid",
    );
    check(&[text("a").with(|it| it.comment = b"by hand".to_vec())], "");
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
    check(&[text("a").with(|it| it.gap_before = b"MZ".to_vec())], "zip-overlap");
    check(&[text("a"), text("b").with(|it| it.gap_before = zip(&[text("hidden")]))], "zip-overlap");
    check(&[text("a"), text("b").with(|it| it.offset = Some(0))], "zip-overlap zip-overlap");
    // Two entries, one body: the second local header is inside the first one's data.
    let inner = zip(&[Item::stored("b", b"b")]);
    let both = [Item::stored("a", &inner[..32]), Item::stored("b", b"b").with(|it| it.offset = Some(31))];
    check(&both, "zip-overlap zip-overlap");
    // Bytes behind the end of a deflate stream, which only some parsers skip.
    let padded = text("a").with(|it| it.body.extend(b"hidden")).both(|it| it.compressed += 6);
    check(&[padded, text("b")], "zip-overlap");
    check(&[text("a").both(|it| it.compressed += 100)], "zip-overlap");
    check(&[text("a").with(|it| it.offset = Some(1))], "zip-invalid zip-overlap");
    check(&[text("a").with(|it| it.offset = Some(0x7FFF_FFFF))], "zip-invalid zip-overlap");
}

#[test]
fn the_order_of_the_directory_does_not_matter() {
    let (first, second) = (text("a"), text("b"));
    let length = zip(std::slice::from_ref(&first)).windows(4).position(|it| it == b"PK\x01\x02").unwrap();
    let swapped = [
        Item { central: second.central.clone(), offset: Some(length as u32), ..first.clone() },
        Item { central: first.central.clone(), offset: Some(0), ..second.clone() },
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
    check(&[text("a").central(|it| it.extra = field(0x7075, b"\x01CRC!other"))], "zip-invalid");
    check(&[text("a").central(|it| it.extra = vec![1, 2, 3])], "zip-invalid");
    check(&[text("a").central(|it| it.extra = [1, 0, 9, 0].to_vec())], "zip-invalid");
}

#[test]
fn contents_are_what_is_declared() {
    check(&[text("a").both(|it| it.crc ^= 1)], "zip-content-mismatch");
    check(&[text("a").both(|it| it.size += 1)], "zip-content-mismatch");
    check(&[text("a").both(|it| it.size -= 1)], "zip-content-mismatch");
    check(&[Item::stored("a", b"abc").both(|it| it.crc ^= 1)], "zip-content-mismatch");
    check(&[Item::stored("a", b"abc").both(|it| it.size = 2)], "zip-content-mismatch zip-content-mismatch");
    check(&[text("a").with(|it| it.body.fill(0xFF)), text("b")], "zip-content-mismatch");
    let cut = text("a").with(|it| it.body.truncate(it.body.len() - 1)).both(|it| it.compressed -= 1);
    check(&[cut], "zip-content-mismatch");
    check(&[text("a").both(|it| it.compressed = 0).with(|it| it.body.clear())], "zip-content-mismatch");
}

#[test]
fn a_link_whose_bytes_are_not_what_is_declared_leads_nowhere() {
    // How much of it is unpacked before that shows depends on the reader, so it is not looked at.
    check(&[Item::link("a", "/etc/passwd").both(|it| it.crc ^= 1)], "zip-content-mismatch");
    let cut_off = Item::link("a", "b").both(|it| (it.method, it.size) = (8, 20)).with(|it| it.body = vec![0xFF]);
    check(&[cut_off], "zip-content-mismatch");
}

#[test]
fn what_lambda_can_not_unpack_is_refused() {
    for flag in [0, 6, 13] {
        check(&[text("a").both(|it| it.flags |= 1 << flag)], "zip-encrypted");
    }
    check(&[text("a").both(|it| it.method = 99)], "zip-encrypted");
    check(&[text("a").central(|it| it.extra = field(0x9901, &[2, 0, 65, 69, 3, 8, 0]))], "zip-encrypted");
    check(&[text("a").local(|it| it.extra = field(0x9901, &[2, 0, 65, 69, 3, 8, 0]))], "zip-encrypted");
    check(&[text("a").local(|it| it.version_needed = 63)], "zip-unsupported");
    check(&[text("a").central(|it| it.version_needed = 63)], "zip-unsupported");
    check(&[text("a").both(|it| it.version_needed = 45)], "");
    for method in [1, 6, 9, 12, 14, 93, 95, 98] {
        check(&[text("a").both(|it| it.method = method)], "zip-unsupported");
    }
    check(&[text("a").both(|it| it.flags |= 1 << 5)], "zip-unsupported");
    check(&[text("a").both(|it| it.flags |= 1 << 15)], "zip-unsupported");
}
