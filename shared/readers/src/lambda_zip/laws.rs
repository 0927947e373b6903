//! What holds for every archive.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::{
    builder::{Item, zip, zip_with, zip64},
    *,
};

fn accepted(bytes: &[u8]) -> bool {
    inspect(Cursor::new(bytes), "f.zip", None, &Limits::default()).unwrap().is_empty()
}

/// What another parser reads from the archive: each name with its bytes.
fn unpacked(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let name = file.name().unwrap().into_owned();
        let mut data = Vec::new();
        file.read_to_end(&mut data).unwrap();
        files.insert(name, data);
    }
    files
}

/// An archive with one of everything that is taken.
fn variety() -> Vec<u8> {
    let text = b"hello hello hello hello hello";
    let items = [
        Item::deflated("index.js", text),
        Item::stored("data/raw.bin", b"raw"),
        Item::folder("data/"),
        Item::link("data/link", "../index.js"),
        Item::deflated("streamed.js", text).streamed(true, false),
        Item::deflated("bare.js", text).streamed(false, false),
        Item::deflated("wide.js", text).streamed(true, true),
        Item::deflated("ünïcode.js", text).both(|it| {
            it.extra = zip64(&[it.size.into(), it.compressed.into()]);
            (it.size, it.compressed) = (u32::MAX, u32::MAX);
        }),
    ];
    zip_with(&items, |end| {
        end.widen();
        end.comment = b"a comment".to_vec();
    })
}

#[test]
fn a_flipped_bit_is_refused_or_changes_neither_names_nor_bytes() {
    for whole in [variety(), zip(&[Item::deflated("a", b"abcabcabcabcabc"), Item::stored("b", b"b")])] {
        assert!(accepted(&whole));
        let original = unpacked(&whole);
        let mut refused = 0;
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                if accepted(&bytes) {
                    assert_eq!(unpacked(&bytes), original, "byte {at}, bit {bit}");
                } else {
                    refused += 1;
                }
            }
        }
        // Times, permissions, versions and comments may differ, and no more than these.
        assert!(refused * 10 > whole.len() * 8 * 7, "{refused} of {}", whole.len() * 8);
    }
}

#[test]
fn every_truncation_and_every_prefix_is_refused() {
    let whole = variety();
    for length in 0..whole.len() {
        assert!(!accepted(&whole[..length]), "cut to {length}");
        assert!(length == 0 || !accepted(&whole[length..]), "without its first {length}");
    }
}

fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    // A folder and a file never share a name: folders have no dot.
    let name = "([a-zé]{1,8}/){0,3}[A-Za-z0-9_ -]{1,12}\\.[a-z]{1,3}";
    prop::collection::btree_map(name, prop::collection::vec(any::<u8>(), 0..3000), 1..20)
}

/// The archive of `files` as the `zip` crate writes it.
fn written(files: &BTreeMap<String, Vec<u8>>, large: bool, stored: bool, streamed: bool) -> Vec<u8> {
    fn fill<W: io::Write + Seek>(
        mut writer: zip::ZipWriter<W>,
        files: &BTreeMap<String, Vec<u8>>,
        options: SimpleFileOptions,
    ) -> W {
        for (name, data) in files {
            writer.start_file(name.as_str(), options).unwrap();
            writer.write_all(data).unwrap();
        }
        writer.finish().unwrap()
    }
    let method = if stored { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
    let options = SimpleFileOptions::default().large_file(large).compression_method(method);
    if streamed {
        fill(zip::ZipWriter::new_stream(Vec::new()), files, options).into_inner()
    } else {
        fill(zip::ZipWriter::new(Cursor::new(Vec::new())), files, options).into_inner()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_zip_crate_writes_is_taken(files in files(), large: bool, stored: bool, streamed: bool) {
        let bytes = written(&files, large, stored, streamed);
        let findings = inspect(Cursor::new(&bytes), "f.zip", None, &Limits::default()).unwrap();
        // What streaming parsers lose is refused.
        let lost = large && streamed && files.values().any(Vec::is_empty);
        prop_assert!(findings.is_empty() != lost, "{:?}", findings);
        prop_assert_eq!(unpacked(&bytes), files);
    }

    #[test]
    fn anything_is_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), changes in changes()) {
        inspect(Cursor::new(&bytes), "f.zip", None, &Limits::default()).unwrap();
        bytes.clone_from(&variety());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if accepted(&bytes) {
            prop_assert_eq!(unpacked(&bytes), unpacked(&variety()));
        }
    }
}

/// Some bytes to write somewhere, the extremes more often than others.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let value = prop_oneof![Just(0), Just(0xFF), any::<u8>()];
    prop::collection::vec((any::<prop::sample::Index>(), value), 1..6)
}
