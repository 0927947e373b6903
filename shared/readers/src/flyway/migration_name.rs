//! Names of migration files, read as Flyway reads them with its default prefixes (`V`, `R`, `B`, `U`), separator (`__`)
//! and suffix (`.sql`): `ResourceNameParser`, `MigrationVersion`, `ResolvedMigrationComparator`.
//!
//! A name that Flyway does not know is no error for it: the file is passed over in silence. So all of those are refused.
//!
//! | name | Flyway Community 11.8.2 |
//! |---|---|
//! | `V1__x.sql` | runs it once |
//! | `R__x.sql` | runs it whenever its checksum is new, after all versions |
//! | `B3__x.sql` | runs the newest in place of all versions up to it, and only on a database without history |
//! | `U1__x.sql` | passes over it: undo is the Redgate edition's, and never a part of `migrate` |
//! | `beforeMigrate.sql`, … | runs it at that event; it has no checksum and no row in the history |

use std::{fmt, str::FromStr};

/// The events that SQL files can be callbacks of (`Event`); which of them `migrate` raises is Flyway's affair.
const EVENTS: [&str; 42] = [
    "beforeClean",
    "afterClean",
    "afterCleanError",
    "beforeMigrate",
    "beforeEachMigrate",
    "beforeEachMigrateStatement",
    "afterEachMigrateStatement",
    "afterEachMigrateStatementError",
    "afterEachMigrate",
    "afterEachMigrateError",
    "beforeRepeatables",
    "afterVersioned",
    "afterMigrateApplied",
    "afterMigrate",
    "afterMigrateError",
    "beforeUndo",
    "beforeEachUndo",
    "beforeEachUndoStatement",
    "afterEachUndoStatement",
    "afterEachUndoStatementError",
    "afterEachUndo",
    "afterEachUndoError",
    "afterUndo",
    "afterUndoError",
    "beforeValidate",
    "afterValidate",
    "afterValidateError",
    "beforeBaseline",
    "afterBaseline",
    "afterBaselineError",
    "beforeRepair",
    "afterRepair",
    "afterRepairError",
    "beforeInfo",
    "afterInfo",
    "afterInfoError",
    "afterMigrateOperationFinish",
    "afterInfoOperationFinish",
    "createSchema",
    "beforeCreateSchema",
    "beforeConnect",
    "afterConnect",
];

/// The most digits of a part of a version. Flyway has no limit; a timestamp has 17.
const MAX_DIGITS: usize = 100;

/// A version: numbers between dots or underscores. `1`, `1.0` and `001` are one version to Flyway.
///
/// Flyway also takes a sign, digits of other scripts, the words `latest`, `next` and `current`, and
/// 9223372036854775807, which it takes for `latest`. They order as nobody expects, and are no versions here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Each number as its count of digits and its digits, without leading zeros; no zeros at the end.
    parts: Vec<(usize, String)>,
}

/// A text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version: write numbers with dots or underscores between them, such as `1.2`")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text == "9223372036854775807" {
            return Err(InvalidVersion);
        }
        let mut parts = Vec::new();
        for part in text.split(['.', '_']) {
            if part.is_empty() || part.len() > MAX_DIGITS || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(InvalidVersion);
            }
            let digits = part.trim_start_matches('0');
            parts.push((digits.len(), digits.to_owned()));
        }
        while parts.last().is_some_and(|(digits, _)| *digits == 0) {
            parts.pop();
        }
        Ok(Self { parts })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parts.is_empty() {
            return f.write_str("0");
        }
        for (index, (_, digits)) in self.parts.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{}", if digits.is_empty() { "0" } else { digits })?;
        }
        Ok(())
    }
}

/// What Flyway does with a migration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationKind {
    /// `V…`: runs once, in the order of versions.
    Versioned(Version),
    /// `R__…`: runs whenever its checksum is new, after all versions, in the order of descriptions.
    Repeatable,
    /// `B…`: stands for all versions up to its own, on a database without history.
    Baseline(Version),
    /// `U…`: undoes a version; the Redgate edition's, and never a part of `migrate`.
    Undo(Version),
    /// Runs at an event of Flyway's, such as `beforeMigrate`.
    Callback(&'static str),
}

/// A migration file's name, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationName {
    /// What Flyway does with the file.
    pub kind: MigrationKind,
    /// What the name says after `__`, with spaces for underscores. May be empty.
    pub description: String,
}

/// Why Flyway would not run a file as a migration, or not as its name seems to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Hidden folders are not looked into.
    #[error("lies in a folder whose name starts with a dot, and Flyway passes over it in silence: move it")]
    HiddenFolder,
    /// Not a `.sql` file.
    #[error(
        "does not end in `.sql`: Flyway passes over it in silence or runs it as a program of the operating system, \
         rename it"
    )]
    NotSql,
    /// No prefix of Flyway's.
    #[error(
        "starts with none of `V`, `R`, `B`, `U` (case counts) and no event's name, and Flyway passes over it in silence: \
         name it like `V1__what_it_does.sql`"
    )]
    Prefix,
    /// A version is missing.
    #[error(
        "has no version between its prefix and `__`, and Flyway passes over it in silence: name it like \
             `{0}1__what_it_does.sql`"
    )]
    NoVersion(char),
    /// A version is malformed.
    #[error(
        "has the version `{0}`: write numbers with dots or underscores between them, such as `1.2`; most others \
             Flyway passes over in silence, the rest order as nobody expects"
    )]
    Version(String),
    /// A repeatable or callback with something before the separator.
    #[error(
        "has no `__` right after `{0}`, and Flyway passes over it in silence: name it like `{0}__what_it_does.sql`"
    )]
    NoSeparator(&'static str),
}

/// Where a migration stands among others: Flyway runs versions in ascending order, then repeatables by description.
/// Two files of the same place are duplicates, with which Flyway refuses to do anything at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A version; of the same version the baseline comes after.
    Version(Version, bool),
    /// A repeatable's description in UTF-16, as Java compares strings.
    Repeatable(Vec<u16>),
    /// Run by no `migrate`.
    Undo(Version),
    /// A callback's event and description.
    Callback(&'static str, Vec<u16>),
}

impl MigrationName {
    /// Parses a file's path below the migrations' folder, with `/` between folders. Only the last part is the name.
    ///
    /// # Errors
    /// What Flyway would do with the file instead of what its author expects.
    pub fn parse(path: &str) -> Result<Self, NameProblem> {
        let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
        if folders.split('/').any(|folder| folder.starts_with('.')) {
            return Err(NameProblem::HiddenFolder);
        }
        let stem = sql_stem(file)?;
        let (kind, rest): (fn(Version) -> MigrationKind, &str) = match stem.chars().next() {
            Some('V') => (MigrationKind::Versioned, stem.get(1..).unwrap_or_default()),
            Some('B') => (MigrationKind::Baseline, stem.get(1..).unwrap_or_default()),
            Some('U') => (MigrationKind::Undo, stem.get(1..).unwrap_or_default()),
            _ => return Self::without_version(stem),
        };
        let (version, description) = rest.split_once("__").unwrap_or((rest, ""));
        if version.is_empty() {
            return Err(NameProblem::NoVersion(stem.chars().next().unwrap_or('V')));
        }
        let parsed = version.parse().map_err(|_| NameProblem::Version(version.chars().take(100).collect()))?;
        Ok(Self { kind: kind(parsed), description: description.replace('_', " ") })
    }

    /// A repeatable's or callback's name.
    fn without_version(stem: &str) -> Result<Self, NameProblem> {
        let events = EVENTS.iter().copied().filter(|event| stem.starts_with(event));
        let (prefix, kind) = match events.max_by_key(|event| event.len()) {
            Some(event) => (event, MigrationKind::Callback(event)),
            None if stem.starts_with('R') => ("R", MigrationKind::Repeatable),
            None => return Err(NameProblem::Prefix),
        };
        let rest = stem.strip_prefix(prefix).unwrap_or_default();
        let (before, description) = rest.split_once("__").unwrap_or((rest, ""));
        // `R.sql` alone is as long as its prefix and suffix, which Flyway's scanner does not count as a migration.
        if !before.is_empty() || stem == "R" {
            return Err(NameProblem::NoSeparator(prefix));
        }
        Ok(Self { kind, description: description.replace('_', " ") })
    }

    /// The place in Flyway's order; equal for duplicates.
    #[must_use]
    pub fn place(&self) -> Place {
        let description = || self.description.encode_utf16().collect();
        match &self.kind {
            MigrationKind::Versioned(version) => Place::Version(version.clone(), false),
            MigrationKind::Baseline(version) => Place::Version(version.clone(), true),
            MigrationKind::Repeatable => Place::Repeatable(description()),
            MigrationKind::Undo(version) => Place::Undo(version.clone()),
            MigrationKind::Callback(event) => Place::Callback(event, description()),
        }
    }

    /// Whether `flyway migrate` runs it as a migration, with a checksum and a row in the history.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !matches!(self.kind, MigrationKind::Undo(_) | MigrationKind::Callback(_))
    }

    /// The description as the history holds it: at most 200 UTF-16 units (`AbbreviationUtils`).
    #[must_use]
    pub fn recorded_description(&self) -> String {
        let units: Vec<u16> = self.description.encode_utf16().collect();
        match units.get(..197) {
            Some(start) if units.len() > 200 => String::from_utf16_lossy(start) + "...",
            _ => self.description.clone(),
        }
    }
}

/// A `.sql` file's name without the suffix, whose case does not count.
fn sql_stem(file: &str) -> Result<&str, NameProblem> {
    let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    if extension.eq_ignore_ascii_case("sql") {
        return Ok(stem);
    }
    Err(NameProblem::NotSql)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn parsed(path: &str) -> (MigrationKind, String) {
        let name = MigrationName::parse(path).unwrap();
        (name.kind, name.description)
    }

    #[test]
    fn names_are_read_as_flyway_reads_them() {
        use MigrationKind::{Baseline, Callback, Repeatable, Undo, Versioned};
        for (path, kind, description) in [
            ("V1__create_ledger.sql", Versioned(version("1")), "create ledger"),
            ("sub/dir/V1_2__x.sql", Versioned(version("1.2")), "x"),
            ("V1.2_3__x.sql", Versioned(version("1.2.3")), "x"),
            ("V1__a__b.sql", Versioned(version("1")), "a  b"),
            ("V1___x.sql", Versioned(version("1")), " x"),
            ("V1__a b.sql", Versioned(version("1")), "a b"),
            ("V1__x..sql", Versioned(version("1")), "x."),
            ("V1__a.SQL", Versioned(version("1")), "a"),
            ("V1__größe_😀.sql", Versioned(version("1")), "größe 😀"),
            ("V1.sql", Versioned(version("1")), ""),
            ("V1__.sql", Versioned(version("1")), ""),
            ("V001__x.sql", Versioned(version("1")), "x"),
            ("V0__x.sql", Versioned(version("0")), "x"),
            ("V123456789012345678901234567890__x.sql", Versioned(version("123456789012345678901234567890")), "x"),
            ("R__views.sql", Repeatable, "views"),
            ("R__.sql", Repeatable, ""),
            ("R___x.sql", Repeatable, " x"),
            ("B3__base.sql", Baseline(version("3")), "base"),
            ("B1.sql", Baseline(version("1")), ""),
            ("U1__undo.sql", Undo(version("1")), "undo"),
            ("beforeMigrate.sql", Callback("beforeMigrate"), ""),
            ("a.b/afterEachMigrate__grant_it.sql", Callback("afterEachMigrate"), "grant it"),
            ("afterEachMigrateStatementError__x.sql", Callback("afterEachMigrateStatementError"), "x"),
            ("createSchema__x.sql", Callback("createSchema"), "x"),
        ] {
            assert_eq!(parsed(path), (kind, description.to_owned()), "{path}");
        }
    }

    #[test]
    fn names_that_flyway_passes_over_are_refused() {
        for path in
            ["", "x", "/", "seed.sql", "v1__x.sql", "r__x.sql", "_V1__x.sql", ".sql", ".V1__x.sql", "beforeFoo.sql"]
        {
            let problem = MigrationName::parse(path).unwrap_err();
            assert!(matches!(problem, NameProblem::Prefix | NameProblem::NotSql), "{path}: {problem:?}");
        }
        for path in ["V1__x.txt", "V1__x", "V1__x.sh", "V1__x.sql.conf", "V1__x.sql.bak", "V1__x.sql~", "readme.md"] {
            assert_eq!(MigrationName::parse(path), Err(NameProblem::NotSql), "{path}");
        }
        for path in [".hidden/V1__x.sql", "a/.git/V1__x.sql", "../V1__x.sql"] {
            assert_eq!(MigrationName::parse(path), Err(NameProblem::HiddenFolder), "{path}");
        }
        for (path, prefix) in [("V__x.sql", 'V'), ("V.sql", 'V'), ("B__x.sql", 'B'), ("U__x.sql", 'U')] {
            assert_eq!(MigrationName::parse(path), Err(NameProblem::NoVersion(prefix)), "{path}");
        }
        for path in ["R.sql", "Rfoo.sql", "R1__x.sql", "R _x.sql", "beforeMigrateFoo.sql", "afterMigrate_x.sql"] {
            assert!(matches!(MigrationName::parse(path), Err(NameProblem::NoSeparator(_))), "{path}");
        }
    }

    #[test]
    fn versions_that_flyway_passes_over_or_orders_oddly_are_refused() {
        let passed_over = ["x", "1a", "1.1.", "_1", ".1", "1..2", "1 ", " 1", "1-2", "1.-2", "1.２"];
        let odd = ["-1", "+1", "-0", "１", "1٠", "latest", "LATEST", "next", "current", "9223372036854775807"];
        for version in passed_over.into_iter().chain(odd) {
            let path = format!("V{version}__x.sql");
            assert_eq!(MigrationName::parse(&path), Err(NameProblem::Version(version.to_owned())), "{path}");
        }
    }

    #[test]
    fn versions_compare_by_their_numbers_as_in_flyway() {
        let ascending =
            ["0", "0.0.1", "1", "1.0.1", "1.2.3", "1.9", "1.10", "2", "10", "20240101120000", "9223372036854775808"];
        for (index, low) in ascending.iter().enumerate() {
            for high in &ascending[index + 1..] {
                assert!(version(low) < version(high), "{low} {high}");
            }
        }
        for same in [["1", "1.0"], ["1", "001"], ["1_2", "1.2"], ["1.0.0", "1"], ["0", "0.0"], ["1.2.0", "1.02"]] {
            assert_eq!(version(same[0]), version(same[1]), "{same:?}");
        }
        assert_eq!(version("001.0_20.0").to_string(), "1.0.20");
        assert_eq!(version("0.0").to_string(), "0");
    }

    #[test]
    fn versions_run_before_repeatables_and_baselines_after_their_version() {
        let in_order = [
            "V1__x.sql",
            "V1.9__x.sql",
            "V1.10__x.sql",
            "V2__b.sql",
            "B2__b.sql",
            "V10__a.sql",
            "R__B.sql",
            "R__a.sql",
            "R__a_b.sql",
            "R__a-b.sql",
            "R__😀.sql",
            "R__～.sql",
        ];
        let places: Vec<_> = in_order.map(|path| MigrationName::parse(path).unwrap().place()).into();
        assert!(places.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn long_descriptions_are_abbreviated_as_in_the_history() {
        let recorded = |length: usize| {
            let path = format!("V1__{}.sql", "d".repeat(length));
            MigrationName::parse(&path).unwrap().recorded_description()
        };
        assert_eq!(recorded(200), "d".repeat(200));
        assert_eq!(recorded(201), "d".repeat(197) + "...");
    }

    #[test]
    fn a_problem_says_what_flyway_would_do_and_what_to_do() {
        let told = |path: &str| MigrationName::parse(path).unwrap_err().to_string();
        insta::assert_snapshot!(told("v1__x.sql"), @"starts with none of `V`, `R`, `B`, `U` (case counts) and no event's name, and Flyway passes over it in silence: name it like `V1__what_it_does.sql`");
        insta::assert_snapshot!(told("V__x.sql"), @"has no version between its prefix and `__`, and Flyway passes over it in silence: name it like `V1__what_it_does.sql`");
        insta::assert_snapshot!(told("V1.__x.sql"), @"has the version `1.`: write numbers with dots or underscores between them, such as `1.2`; most others Flyway passes over in silence, the rest order as nobody expects");
        insta::assert_snapshot!(told("Rviews.sql"), @"has no `__` right after `R`, and Flyway passes over it in silence: name it like `R__what_it_does.sql`");
        insta::assert_snapshot!(told("V1__x.sh"), @"does not end in `.sql`: Flyway passes over it in silence or runs it as a program of the operating system, rename it");
        insta::assert_snapshot!(told(".old/V1__x.sql"), @"lies in a folder whose name starts with a dot, and Flyway passes over it in silence: move it");
    }

    proptest::proptest! {
        #[test]
        fn every_spelling_of_a_version_is_the_same(numbers in proptest::collection::vec(0_u32..300, 1..5), zeros in 0_usize..3) {
            let dotted = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
            let spelled = numbers.iter().map(|it| format!("{}{it}", "0".repeat(zeros))).collect::<Vec<_>>().join("_");
            proptest::prop_assert_eq!(version(&dotted), version(&(spelled + &".0".repeat(zeros))));
        }

        #[test]
        fn versions_order_as_their_numbers_do(
            a in proptest::collection::vec(0_u32..20, 1..4), b in proptest::collection::vec(0_u32..20, 1..4),
        ) {
            let spelled = |numbers: &[u32]| version(&numbers.iter().map(u32::to_string).collect::<Vec<_>>().join("."));
            let padded = |numbers: &[u32]| { let mut it = numbers.to_vec(); it.resize(4, 0); it };
            proptest::prop_assert_eq!(spelled(&a).cmp(&spelled(&b)), padded(&a).cmp(&padded(&b)));
        }

        #[test]
        fn no_path_makes_it_panic(path in "\\PC{0,20}(\\.sql)?") {
            let _ = MigrationName::parse(&path);
        }
    }
}
