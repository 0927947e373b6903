//! Flyway without Flyway: names and their order, checksums, `flyway.toml` and scripts' `.conf`.

use std::{cmp::Ordering, collections::BTreeMap};

use toml::{Table, Value};

use crate::{
    input::{Pieces, choose, kind, told},
    product::{MigrationKind, MigrationName, Place, Settings, Version, checksum, settings},
};

const SUBJECT: &str = "flyway.toml";

/// The laws of what Flyway reads. The first line says what it is: `names`, one a line; `sql`; `toml`; `conf`.
pub fn flyway(input: &[u8]) {
    match kind(input) {
        Some(("names", lines)) => {
            let Ok(lines) = str::from_utf8(lines) else { return };
            let names: Vec<_> = lines.split('\n').take(8).filter_map(name).collect();
            order(&names);
        }
        Some(("sql", script)) => sql(script),
        Some(("toml", file)) => toml_file(file),
        Some(("conf", file)) => conf(file),
        _ => {}
    }
}

/// A name is read as it is written by what was read of it, wherever its file lies.
fn name(path: &str) -> Option<MigrationName> {
    let name = match MigrationName::parse(path) {
        Ok(name) => name,
        Err(problem) => {
            assert!(!problem.to_string().is_empty());
            return None;
        }
    };
    let written = match &name.kind {
        MigrationKind::Versioned(version) => format!("V{version}__{}.sql", name.description),
        MigrationKind::Baseline(version) => format!("B{version}__{}.sql", name.description),
        MigrationKind::Undo(version) => format!("U{version}__{}.SQL", name.description),
        MigrationKind::Repeatable => format!("R__{}.sql", name.description),
        MigrationKind::Callback(event) => format!("{event}__{}.sQl", name.description),
    };
    for path in [written.clone(), format!("2026/a b/{written}"), written.replace(' ', "_")] {
        assert_eq!(MigrationName::parse(&path).as_ref(), Ok(&name), "{path}");
    }
    assert!(name.recorded_description().encode_utf16().count() <= 200);
    assert!(!name.description.contains(['_', '/']));
    if let Some(version) = version(&name) {
        assert_eq!(version.to_string().parse().as_ref(), Ok(version));
        let padded = version.to_string().split('.').map(|part| format!("00{part}")).collect::<Vec<_>>().join("_");
        if padded.split('_').all(|part| part.len() <= 100) {
            assert_eq!(padded.parse().as_ref(), Ok(version), "leading zeros mean nothing");
            assert_eq!(format!("{padded}.0_0").parse().as_ref(), Ok(version), "nor do zeros at the end");
        }
    }
    Some(name)
}

fn version(name: &MigrationName) -> Option<&Version> {
    match &name.kind {
        MigrationKind::Versioned(version) | MigrationKind::Baseline(version) | MigrationKind::Undo(version) => {
            Some(version)
        }
        MigrationKind::Repeatable | MigrationKind::Callback(_) => None,
    }
}

/// Versions are ordered by their numbers, descriptions as Java orders strings, and all of it is one order.
fn order(names: &[MigrationName]) {
    let places: Vec<_> = names.iter().map(MigrationName::place).collect();
    for (one, name) in places.iter().zip(names) {
        for (other, other_name) in places.iter().zip(names) {
            assert_eq!(one.cmp(other), other.cmp(one).reverse());
            let is_one_place = match (version(name), version(other_name)) {
                (Some(one), Some(other)) => {
                    one == other && std::mem::discriminant(&name.kind) == std::mem::discriminant(&other_name.kind)
                }
                _ => (&name.kind, &name.description) == (&other_name.kind, &other_name.description),
            };
            assert_eq!(one == other, is_one_place, "{name:?} and {other_name:?}");
            for third in &places {
                assert!(one > other || other > third || one <= third, "{one:?} {other:?} {third:?}");
            }
            if let (Place::Version(of_one, _), Place::Version(of_other, _)) = (one, other) {
                let ordered = by_numbers(&of_one.to_string(), &of_other.to_string());
                assert_eq!(of_one.cmp(of_other), ordered, "{of_one} and {of_other}");
                assert!(ordered == Ordering::Equal || one.cmp(other) == ordered);
            }
        }
    }
}

/// Two versions, part by part, as numbers of any length.
fn by_numbers(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        let (left, right) = (one.next(), other.next());
        if left.is_none() && right.is_none() {
            return Ordering::Equal;
        }
        let [left, right] = [left, right].map(|part| format!("{:0>200}", part.unwrap_or_default()));
        if left != right {
            return left.cmp(&right);
        }
    }
}

fn sql(script: &[u8]) {
    let found = checksum::scan(script).expect("memory can be read");
    assert_eq!(checksum::scan(Pieces::of(script)).expect("memory can be read"), found, "read in pieces");
    let text = match (str::from_utf8(script), &found) {
        (Ok(text), Ok(_)) => text,
        (Err(error), Err(not)) => {
            assert_eq!(not.offset, error.valid_up_to() as u64);
            return;
        }
        (is, found) => panic!("UTF-8 to one of two only: {is:?} {found:?}"),
    };
    let Ok(found) = found else { return };
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut crc = crc32fast::Hasher::new();
    body.split(['\n', '\r']).for_each(|line| crc.update(line.as_bytes()));
    assert_eq!(found.checksum, crc.finalize().cast_signed(), "the CRC-32 of its lines");
    let same = |script: &str, why: &str| {
        let other = checksum::scan(script.as_bytes()).expect("memory can be read").expect("it is UTF-8");
        assert_eq!(other.checksum, found.checksum, "{why}");
        assert!(other.placeholders == found.placeholders || script.contains(['\r', '\n']), "{why}");
    };
    // Of two byte order marks the second is a character.
    if !body.starts_with('\u{feff}') {
        same(&body.replace("\r\n", "\n"), "with LF");
        same(&body.replace("\r\n", "\n").replace('\n', "\r\n"), "with CRLF");
        same(&format!("\u{feff}{body}"), "with a byte order mark");
        // The readers' pieces have 16 KiB.
        same(&format!("{}{body}", "\n".repeat((16 << 10) - choose(script, script.len().max(1)))), "behind empty lines");
    }
    same(&format!("{text}\n\n"), "before empty lines");
    placeholders(script, text, found);
}

/// Without a placeholder, a repeatable's checksum is the file's; with some, that of the file with their values in it.
fn placeholders(script: &[u8], text: &str, found: checksum::Scanned) {
    let replaced = |values: &BTreeMap<String, String>| {
        checksum::checksum_with(Pieces::of(script), values).expect("memory can be read")
    };
    if !found.placeholders && !text.contains("${") {
        assert_eq!(replaced(&BTreeMap::new()), Ok(found.checksum));
        return;
    }
    let mut values = BTreeMap::new();
    let mut pieces = text.split("${");
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let Some((name, rest)) = piece.split_once('}') else { return };
        if name.is_empty() || name.contains(['$', '{']) || rest.ends_with('$') || whole.ends_with('$') {
            return;
        }
        let value = format!("<{}>", name.to_lowercase());
        values.insert(name.to_lowercase(), value.clone());
        whole += &value;
        whole += rest;
    }
    let expected = checksum::scan(whole.as_bytes()).expect("memory can be read").expect("it is UTF-8");
    assert_eq!(replaced(&values), Ok(expected.checksum), "{values:?}");
    for name in values.keys() {
        let mut fewer = values.clone();
        fewer.remove(name);
        assert!(replaced(&fewer).is_err(), "without a value for {name:?}");
    }
}

fn toml_file(file: &[u8]) {
    let found = match Settings::read(file, SUBJECT) {
        Ok(found) => found,
        Err(findings) => {
            assert!(!findings.is_empty());
            // A file may have any number of settings, so there are as many findings at most.
            told(&findings[..findings.len().min(100)], SUBJECT);
            return;
        }
    };
    let text = str::from_utf8(file).expect("what is read is UTF-8");
    let table: Table = text.parse().expect("what is read is TOML");
    assert_eq!(Settings::read(toml_text(&table).as_bytes(), SUBJECT).as_ref(), Ok(&found), "spelt otherwise");
    let json = serde_json::to_vec(&found).expect("settings are written");
    assert_eq!(serde_json::from_slice::<Settings>(&json).expect("settings read back"), found);
    if found.changes_nothing() {
        let default = Settings { baseline_version: found.baseline_version.clone(), ..Settings::default() };
        let of = |it: &Settings| Settings { location: None, table: Some(it.table().to_owned()), ..it.clone() };
        assert_eq!(of(&found), of(&default), "it says that it changes nothing");
    }
    for argument in found.arguments() {
        assert!(!argument.contains(char::is_control) && !argument.contains("${") && argument.starts_with('-'));
    }
    assert!(found.managed_schemas().len() <= found.schemas.len() + 1);
    assert!(found.history_name().ends_with(found.table()));
    let own: BTreeMap<_, _> = found.placeholders.keys().map(|it| (it.to_uppercase(), "own".to_owned())).collect();
    let replaced = found.clone().with_placeholders(&own).placeholders;
    assert!(replaced.values().all(|it| it == "own"), "a stage's own placeholders go before the file's");
    for surprise in ["[flyway]\nsurprise = 1\n", "surprise = 1\n", "[environments.surprise]\n"] {
        let mut more = table.clone();
        let addition: Table = surprise.parse().expect("it is TOML");
        for (name, value) in addition {
            match (more.get_mut(&name), value) {
                (Some(Value::Table(before)), Value::Table(new)) => before.extend(new),
                (_, value) => drop(more.insert(name, value)),
            }
        }
        assert!(Settings::read(toml_text(&more).as_bytes(), SUBJECT).is_err(), "{surprise:?} passes");
    }
}

/// A table as TOML, each value in one line.
fn toml_text(table: &Table) -> String {
    table.iter().flat_map(|(name, value)| [quoted(name), " = ".to_owned(), inline(value), "\n".to_owned()]).collect()
}

fn inline(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}").to_lowercase(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(inline).collect())),
        Value::Table(members) => {
            let members = members.iter().map(|(name, value)| format!("{} = {}", quoted(name), inline(value)));
            format!("{{{}}}", joined(members.collect()))
        }
    }
}

fn quoted(text: &str) -> String {
    let escaped: String =
        text.chars().flat_map(|c| format!("\\U{:08X}", u32::from(c)).into_bytes()).map(char::from).collect();
    format!("\"{escaped}\"")
}

fn conf(file: &[u8]) {
    let findings = settings::read_script(file, SUBJECT);
    told(&findings[..findings.len().min(100)], SUBJECT);
    let Ok(text) = str::from_utf8(file) else {
        assert!(!findings.is_empty());
        return;
    };
    assert_eq!(settings::read_script(text.replace('\n', "\r\n").as_bytes(), SUBJECT), findings, "with CRLF");
    let surprise = settings::read_script(format!("{text}\nsurprise=1").as_bytes(), SUBJECT);
    assert!(surprise.len() > findings.len() || surprise.len() == 1, "an unknown setting passes");
    if findings.is_empty() {
        for line in text.trim_start_matches('\u{feff}').split(['\n', '\r']).map(str::trim) {
            let is_known =
                ["executeInTransaction", "placeholderReplacement", "encoding"].iter().any(|it| line.starts_with(it));
            assert!(line.is_empty() || line.starts_with(['#', '!']) || is_known, "{line:?} passes");
        }
    }
}
