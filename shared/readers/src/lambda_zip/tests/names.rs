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
fn names_are_spelt_alike_by_all() {
    // Info-ZIP takes the end for a version of VMS.
    for name in ["index.js;1", "index.js;", "lib/index.js;12", ";", "a;b;3"] {
        check(&[text(name)], "zip-invalid");
    }
    for name in ["a;b", "a;1b", "a;1/b.js", "1"] {
        check(&[text(name)], "");
    }
    // And names that are not made on Unix for ones of an OEM code page, in spite of their flag.
    for system in [0, 6, 10, 11] {
        check(&[text("ü").with(|it| (it.made_by, it.attributes) = (system << 8 | 0x14, 0))], "zip-invalid");
        check(&[text("u").with(|it| (it.made_by, it.attributes) = (system << 8 | 0x14, 0))], "");
    }
    check(&[text("ü").with(|it| it.made_by = 19 << 8 | 0x14)], "");
    check(&[text("\u{feff}index.js")], "zip-invalid");
    check(&[text("lib/\u{feff}index.js")], "zip-invalid");
    // The longest path, with `/var/task/` before it and a terminator behind.
    let long = "n/".repeat(2042) + "n";
    assert_eq!("/var/task/".len() + long.len() + 1, 4096);
    check(&[text(&long)], "");
    check(&[text(&(long + "n"))], "zip-unsafe-path");
}

#[test]
fn what_an_archiver_should_do_instead_is_told() {
    let told =
        |item: Item| inspect(Cursor::new(zip(&[item])), "f.zip", None, &Limits::default()).unwrap().remove(0).message;
    insta::assert_snapshot!(told(text("./index.js")), @"`./index.js`: its name has a `.` component, which unpackers keep or drop: hand the archiver `index.js`, not `./index.js`");
    insta::assert_snapshot!(told(text("ü").both(|it| it.flags = 0)), @"`ü`: its name is not ASCII and not marked as UTF-8, so unpackers spell it differently: with Info-ZIP use `zip -UN=UTF8`, or rename it");
    insta::assert_snapshot!(told(Item::folder("META-INF/").mode(0o100_755)), @"`META-INF/`: its name is a folder's, its attributes are a file's, as old archivers of jars write them: make the archive without entries for folders, or with a newer one");
    insta::assert_snapshot!(told(text("index.js").mode(0o100_600)), @"`index.js`: its mode is 0600, and Lambda reads it as another user: make it readable for all (0644)");
    insta::assert_snapshot!(told(Item::folder("lib/").mode(0o040_700)), @"`lib/`: its mode is 0700, and Lambda enters it as another user: make it 0755");
}

#[test]
fn lambda_can_read_every_file_and_enter_every_folder() {
    for mode in [0o600, 0o640, 0o400, 0o700, 0o711] {
        check(&[text("a").mode(0o100_000 | mode)], "zip-unreadable");
        check(&[text("a").with(|it| (it.made_by, it.attributes) = (20, (0o100_000 | mode) << 16))], "zip-unreadable");
    }
    check(&[text("a").mode(0)], "zip-unreadable"); // what .NET 6 wrote on Linux
    check(&[Item::folder("a/").mode(0)], "zip-unreadable");
    for mode in [0o444, 0o644, 0o755, 0o604] {
        check(&[text("a").mode(0o100_000 | mode)], "");
    }
    for mode in [0o700, 0o750, 0o754, 0o751] {
        check(&[Item::folder("a/").mode(0o040_000 | mode)], "zip-unreadable");
    }
    check(&[Item::folder("a/").mode(0o040_555)], "");
    check(&[Item::folder("a/").with(|it| (it.made_by, it.attributes) = (20, 0x10))], "");
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
    // One name, composed and decomposed; a macOS file system has room for one of them.
    check(&[text("\u{fc}.js"), text("u\u{308}.js")], "zip-duplicate-entry");
    check(&[text("\u{fc}/a"), text("u\u{308}/a")], "zip-duplicate-entry");
    check(&[text("\u{fc}/a"), text("u\u{308}")], "zip-duplicate-entry");
    check(&[text("\u{1e0b}\u{323}"), text("\u{1e0d}\u{307}")], "zip-duplicate-entry");
    check(&[text("\u{fc}"), text("u"), text("\u{dc}"), text("\u{fb01}"), text("fi")], "");
}

#[test]
fn a_package_managers_link_to_nothing_is_a_warning() {
    // Of pnpm, of npm's workspaces.
    for (link, target) in [
        ("node_modules/.pnpm/node_modules/@bank/money", "../../../../../../packages/money"),
        ("node_modules/@bank/money", "../../../packages/money"),
        ("node_modules/money", "../../../packages/money"),
    ] {
        check(&[Item::link(link, target), text("index.js")], "zip-dangling-link");
    }
    // There is something, or may be.
    for target in [
        "../../../../opt/money",
        "../../../../tmp/x",
        "../../../../../../etc/passwd",
        "../../../runtime/x",
        "../../../task/x",
        "../../../..",
        "../../..",
    ] {
        check(&[Item::link("node_modules/@bank/money", target)], "zip-unsafe-symlink");
    }
    check(&[Item::link("lib/money", "../../packages/money")], "zip-unsafe-symlink");
    check(
        &[Item::link("node_modules/a", "../../packages/a"), text("node_modules/a/x.js")],
        "zip-dangling-link zip-unsafe-symlink",
    );
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
    check(&[text("a").with(|it| it.attributes |= 0x08)], "zip-invalid");
    check(&[text("a").with(|it| (it.made_by, it.attributes) = (20, 0x08))], "zip-invalid");
    for internal in [2, 4, 0x81a4, 0xa1ff] {
        check(&[text("a").with(|it| it.internal = internal)], "zip-invalid");
    }
    check(&[text("a").with(|it| it.internal = 1)], "");
    // Extra fields with a mode, a link's target or a name of their own.
    let asi = [&[0; 4][..], &0o120_777_u16.to_le_bytes(), &[3, 0, 0, 0, 0, 0, 0, 0], b"tgt"].concat();
    let fields = [
        field(0x756e, &asi),
        field(0x000d, &[0; 16]),
        field(0x6c78, &[4, 0, 0, 0, 0]),
        field(0x6c65, &[1, 0, 0]),
        field(0x554e, b"NUCX\x01\0b\0"),
    ];
    for extra in fields {
        check(&[text("a").central(|it| it.extra.clone_from(&extra))], "zip-invalid");
        check(&[text("a").local(|it| it.extra.clone_from(&extra))], "zip-invalid");
    }
    check(&[text("a").both(|it| it.extra = field(0x000d, &[0; 12]))], "");
    check(&[Item::link("a", "b").with(|it| it.made_by = 20)], "zip-invalid");
    check(&[text("a").with(|it| it.attributes |= 0x10)], "zip-invalid");
    check(&[Item::stored("a/", b"data").mode(0o040_755)], "zip-invalid");
}
