use super::*;

/// Files and the checksums that Flyway 11.8.2 itself gives them (its `ChecksumCalculator`, run over these bytes).
/// What it writes to `flyway_schema_history` for some 250 odd files is compared by the end-to-end tests.
const VERIFIED: [(&str, i32); 39] = [
    ("", 0),
    ("\u{feff}", 0),
    ("\u{feff}\n", 0),
    ("\u{feff}\u{feff}", 17_864_673),
    ("\n\u{feff}", 17_864_673),
    ("\r\u{feff}", 17_864_673),
    ("\u{feff}\n\u{feff}", 17_864_673),
    ("\n", 0),
    ("\r\n\r\r\n", 0),
    (" ", -378_745_019),
    ("\0", -771_559_539),
    ("a\0b", 367_556_721),
    ("SELECT 1;", 78_787_420),
    ("SELECT 1;\n", 78_787_420),
    ("SELECT 1;\r\n", 78_787_420),
    ("SELECT 1;\r", 78_787_420),
    ("\u{feff}SELECT 1;", 78_787_420),
    ("\n\nSELECT 1;\n\n", 78_787_420),
    ("SELECT\n1;", -713_821_291),
    ("SELECT 1; ", -1_951_047_511),
    ("\tSELECT 1;", -47_946_674),
    ("SELECT 1;\u{feff}", -1_246_562_399),
    ("\u{feff}\u{feff}SELECT 1;", -1_606_921_097),
    ("CREATE TABLE t (\n  id bigint\n);\n", 1_449_732_928),
    ("-- drop old\nDROP TABLE t;", -1_178_765_117),
    ("-- drop oldDROP TABLE t;", -1_178_765_117),
    ("SELECT 1;\u{b}", 654_940_649),
    ("SELECT 1;\u{c}", -1_184_035_766),
    ("SELECT 1;\u{1c}\u{1d}\u{1e}", 1_539_093_049),
    ("SELECT 1;\u{85}", -1_944_475_808),
    ("SELECT 1;\u{2028}", 34_278_925),
    ("SELECT 1;\u{2029}", 1_963_736_731),
    ("a\rb\nc\r\nd\n\re", -2_054_694_811),
    ("SELECT 'Grüße, Kraków, 東京';\n", 169_152_554),
    ("SELECT '😀 𝄞';\r\n", 1_228_439_085),
    ("SELECT '\u{10ffff}\u{fffe}\u{fffd}';", -1_492_892_845),
    ("e\u{301} é", -412_405_009),
    ("S\0E\0L\0", -874_613_764),
    ("-- ${schema_name}", -321_934_566),
];

/// Repeatables and Flyway's checksums of them with [`values`].
const REPLACED: [(&str, i32); 20] = [
    ("SELECT 1;", 78_787_420),
    ("${schema_name}", -1_065_638_724),
    ("${SCHEMA_NAME}", -1_065_638_724),
    ("${empty}", 0),
    ("${empty}\u{feff}x", -1_931_733_373),
    ("${empty}\u{feff}\u{feff}x", 1_540_412_666),
    ("a${lines}b", -1_189_367_574),
    ("${nested}", 225_139_922),
    ("$${schema_name}", 1_525_126_383),
    ("$$${schema_name}", 1_381_346_133),
    ("$$$${schema_name}", -629_259_142),
    ("$", -301_921_444),
    ("$\n{schema_name}", 1_580_643_634),
    ("${schema_name}}", 1_050_764_815),
    ("${schema_name}${schema_name}", 88_473_401),
    ("${mixed.case}", 2_046_769_627),
    ("${schema_namex", -1_065_638_724),
    ("\u{feff}${schema_name}\r\n", -1_065_638_724),
    ("${flyway:filename}", -1_706_279_533),
    ("${FLYWAY:filename}", -1_706_279_533),
];

fn values() -> BTreeMap<String, String> {
    [
        ("schema_name", "ledger"),
        ("Mixed.Case", "größe 😀"),
        ("empty", ""),
        ("lines", "one\r\n-- two\r-- three\n-- four"),
        ("nested", "${schema_name} and $"),
        ("flyway:filename", "R__a.sql"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A reader that hands out few bytes at a time, so that everything straddles.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(self.1);
        self.0.read(&mut buffer[..size])
    }
}

fn checksum(bytes: &[u8]) -> i32 {
    scan(bytes).unwrap().unwrap().checksum
}

fn holds_placeholder(text: &str) -> bool {
    scan(text.as_bytes()).unwrap().unwrap().placeholders
}

#[test]
fn checksums_are_flyways() {
    for (text, expected) in VERIFIED {
        assert_eq!(checksum(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn checksums_of_repeatables_are_flyways_after_replacement() {
    for (text, expected) in REPLACED {
        for size in [1, 2, 3, CHUNK] {
            let replaced = checksum_with(Drops(text.as_bytes(), size), &values()).unwrap();
            assert_eq!(replaced, Ok(expected), "{text:?}");
        }
    }
}

#[test]
fn where_pieces_end_makes_no_difference() {
    for (text, expected) in VERIFIED {
        for size in 1..5 {
            assert_eq!(scan(Drops(text.as_bytes(), size)).unwrap().unwrap().checksum, expected, "{text:?}");
        }
    }
    for special in ["\r\n", "é", "\u{2028}", "😀", "\u{feff}", "${schema_name}"] {
        for before in 0..special.len() {
            let text = "x".repeat(CHUNK - before) + special + "y";
            let scanned = scan(text.as_bytes()).unwrap().unwrap();
            assert_eq!(scanned, scan(Drops(text.as_bytes(), 7)).unwrap().unwrap());
            assert_eq!(scanned.placeholders, special.starts_with('$'));
        }
    }
}

#[test]
fn a_placeholder_is_what_flyway_takes_for_one() {
    for text in ["${x}", "-- ${x}", "'${flyway:timestamp}'", "$$${x}", "$ ${x}", "${", "${never closed", "é${x}"] {
        assert!(holds_placeholder(text), "{text}");
    }
    for text in
        ["", "$", "$$", "$${x}", "$$$${x}", "$ {x}", "{x}", "$\n{x}", "$\r{x}", "$body$ {} $body$", "#{x}", "FP__x__"]
    {
        assert!(!holds_placeholder(text), "{text}");
    }
}

#[test]
fn a_placeholder_without_a_value_is_refused_as_by_flyway() {
    for (text, name) in [
        ("${unknown}", "unknown"),
        ("${}", ""),
        ("${ schema_name }", " schema_name "),
        ("${", ""),
        ("${a${b}}", "a${b"),
        ("${schema_name", "schema_nam"),
    ] {
        let replaced = checksum_with(text.as_bytes(), &values()).unwrap();
        assert_eq!(replaced, Err(NoChecksum::Placeholder(name.to_owned())), "{text}");
    }
    let endless = checksum_with("${".as_bytes().chain(io::repeat(b'x')), &values()).unwrap();
    assert!(matches!(endless, Err(NoChecksum::Placeholder(_))));
}

#[test]
fn what_is_not_utf8_is_told_with_its_place() {
    let broken: [(&[u8], u64, u64); 10] = [
        (b"\xff\xfeS\0", 0, 1),
        (b"ab\ncd\r\nef\rg\xe9h", 11, 4),
        (b"\xc0\x80", 0, 1),
        (b"a\xed\xa0\x80", 1, 1),
        (b"\xed\xa0\xbd\xed\xb8\x80", 0, 1),
        (b"\xf4\x90\x80\x80", 0, 1),
        (b"\xe0\x80\xaf", 0, 1),
        (b"x\n\xf0\x9f\x98", 2, 2),
        (b"\xe2\x82", 0, 1),
        (b"\x80", 0, 1),
    ];
    for (bytes, offset, line) in broken {
        for size in [1, 2, CHUNK] {
            assert_eq!(scan(Drops(bytes, size)).unwrap(), Err(NotUtf8 { offset, line }), "{bytes:?}");
        }
    }
    let error = NotUtf8 { offset: 11, line: 4 };
    insta::assert_snapshot!(error, @"not UTF-8 at byte 11, in line 4: Flyway can't read it, save the file as UTF-8 (UTF-16 and Latin-1 are not)");
    let utf16: Vec<u8> = "SELECT 1;".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(scan(&utf16[..]).unwrap().is_ok(), "without a mark it is UTF-8 with NULs, which Flyway hashes");
}

#[test]
fn a_reader_that_fails_is_an_error() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    assert!(scan(Fails).is_err());
    assert!(checksum_with("x".as_bytes().chain(Fails), &values()).is_err());
}

proptest::proptest! {
    /// The definition, said another way: lines by `\n`, `\r` and `\r\n`, joined, without a mark before the first.
    #[test]
    fn it_is_the_crc_of_the_lines_without_their_ends(text in "[a-zé😀\u{feff}\u{2028}\u{85} \r\n]{0,60}") {
        let joined: String = text.strip_prefix('\u{feff}').unwrap_or(&text).chars().filter(|c| !"\r\n".contains(*c)).collect();
        proptest::prop_assert_eq!(checksum(text.as_bytes()), crc32fast::hash(joined.as_bytes()).cast_signed());
    }

    #[test]
    fn a_file_is_readable_exactly_if_it_is_utf8(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..12), size in 1_usize..4) {
        let expected = std::str::from_utf8(&bytes).err().map(|error| error.valid_up_to() as u64);
        let found = scan(Drops(&bytes, size)).unwrap().err().map(|error| error.offset);
        proptest::prop_assert_eq!(found, expected);
    }

    #[test]
    fn without_placeholders_replacement_changes_nothing(text in "[a$ {}\u{feff}é\r\n]{0,40}") {
        if !holds_placeholder(&text) {
            let replaced = checksum_with(text.as_bytes(), &values()).unwrap();
            proptest::prop_assert_eq!(replaced, Ok(checksum(text.as_bytes())));
        }
    }
}
