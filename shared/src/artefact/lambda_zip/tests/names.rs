//! Names, kinds and links: what an archive unpacks to.

use super::*;

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
        let item = if name.ends_with('/') { Item::folder(name) } else { text(name) };
        check(&[item], "zip-unsafe-path");
    }
    check(&[text(&"n".repeat(256))], "zip-unsafe-path");
    check(&[text("n/".repeat(2100).trim_end_matches('/'))], "zip-unsafe-path");
    check(&[text(&"n".repeat(255))], "");
    check(&[text("a\u{85}b")], "zip-unsafe-path");
    // CP437 to some, UTF-8 or Latin-1 to others.
    check(&[text("ü").both(|it| it.flags = 0)], "zip-invalid");
    check(&[text("a").both(|it| (it.name, it.flags) = (vec![0xFF], 1 << 11))], "zip-invalid");
}

#[test]
fn names_come_once() {
    check(&[text("a"), text("b"), text("a")], "zip-duplicate-entry");
    check(&[text("a"), Item::folder("a/")], "zip-duplicate-entry");
    check(&[Item::folder("a/"), Item::folder("a/")], "zip-duplicate-entry");
    check(&[text("a/b"), text("a.txt"), text("a")], "zip-duplicate-entry");
    // A space sorts before a slash.
    check(&[text("a"), text("a b"), text("a/b")], "zip-duplicate-entry");
    check(&[text("x/y"), text("x/y/z/w")], "zip-duplicate-entry");
    check(&[text("a"), text("ab"), text("ab.c/d"), text("a b/c")], "");
}

#[test]
fn links_stay_inside_the_tree() {
    let target = text("lib/libz.so.1.3");
    check(&[Item::link("lib/libz.so", "libz.so.1.3"), target.clone()], "");
    check(&[Item::link("bin/z", "../lib/./libz.so.1.3"), target.clone()], "");
    check(&[Item::link("current", "lib"), target.clone()], "");
    check(&[Item::link("dangling", "not/there")], "");
    check(&[Item::link("all", ".")], "");
    for leaving in ["/etc/passwd", "../x", "lib/../../x", "..", "", "a\\..\\b", "a\nb", "a\0b"] {
        check(&[Item::link("x", leaving)], "zip-unsafe-symlink");
    }
    check(&[Item::link("lib/x", "../../y"), target.clone()], "zip-unsafe-symlink");
    // Each fits by its text alone; followed, the second one is above the root.
    check(&[Item::link("a/b/up", "../.."), Item::link("out", "a/b/up/../x")], "zip-unsafe-symlink");
    // And the other way round: followed, the second one is the root, but not to who reads its text alone.
    check(&[Item::link("l", "a/b"), Item::link("x", "l/../.."), text("a/b/c")], "zip-unsafe-symlink");
    // Linux follows 40 links and no more.
    let chain = |length: usize| {
        let link = |i| Item::link(&format!("l{i}"), &format!("l{}", i + 1));
        (0..length).map(link).collect::<Vec<_>>()
    };
    check(&chain(40), "");
    check(&chain(41), "zip-unsafe-symlink");
    check(&[Item::link("me", "me")], "zip-unsafe-symlink");
    check(&[Item::link("x", &"a/".repeat(2100))], "zip-unsafe-symlink");
    let links: Vec<_> = (0..300).map(|i| Item::link(&format!("l{i}"), &"a".repeat(4000))).collect();
    assert!(codes_of(&zip(&links), None, &Limits::default()).iter().all(|code| *code == "zip-unsafe-symlink"));
    check(
        &[Item::link("not-utf-8", "x").both(|it| it.crc = crc32fast::hash(&[0xFF])).with(|it| it.body = vec![0xFF])],
        "zip-unsafe-symlink",
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    check(&[Item::folder("dir/"), Item::link("link", "dir"), text("link/x")], "zip-unsafe-symlink");
    check(&[text("link/x/y"), Item::link("link", "dir")], "zip-unsafe-symlink");
}

#[test]
fn an_entry_is_a_file_a_folder_or_a_link_to_every_parser() {
    for special in [0o010_644, 0o020_644, 0o060_644, 0o140_755, 0o104_755, 0o102_755] {
        check(&[text("a").mode(special)], "zip-unsupported");
    }
    check(&[text("a").mode(0o040_755)], "zip-invalid");
    check(&[Item::folder("a/").mode(0o100_644)], "zip-invalid");
    check(&[Item::link("a", "b").with(|it| it.made_by = 20)], "zip-invalid");
    check(&[text("a").with(|it| it.attributes |= 0x10)], "zip-invalid");
    check(&[Item::stored("a/", b"data").mode(0o040_755)], "zip-invalid");
}
