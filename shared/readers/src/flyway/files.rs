//! The gate's check of a database's stored migration files against what Flyway said of them (ADR-053 problem 2).
//!
//! Whether the stored bytes are those that the manifest lists is told by their SHA-256 elsewhere; here the manifest's
//! checksums, names and order are held against the files as Flyway would see them.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Sha256,
};

use super::{
    checksum::Scanned,
    migration_name::{MigrationKind, MigrationName, NameProblem, Place},
};

/// A stored migration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationFile<'a> {
    /// Its path below the database's `migrations/` folder, with `/`: Flyway's `script`.
    pub path: &'a str,
    /// What its bytes say; nothing where it is not UTF-8 or was not looked at.
    pub scanned: Option<Scanned>,
    /// The digest of its bytes.
    pub sha256: Sha256,
}

/// A file with its name parsed.
struct Named<'a> {
    file: MigrationFile<'a>,
    name: Result<MigrationName, NameProblem>,
}

/// Checks the migration files of `database`, in the manifest's order, against the manifest's checksums: edited, missing,
/// extra and renamed files, duplicates, another order than Flyway's, and names that Flyway would pass over.
///
/// Without `claimed` only names, duplicates and order are checked. Each versioned, repeatable and baseline migration must
/// be in it, also what has no row in a history: versions up to a baseline, and baselines of a database that has versions.
/// Callbacks and undo migrations need not: Flyway Community records neither. The recorded checksum of a
/// repeatable that holds a placeholder is evidence and not compared: it depends on the placeholders' values. Keys like
/// `<< Flyway Baseline >>` and `"ledger"`, rows of the history that Flyway writes for itself, name no file.
#[must_use]
pub fn check(
    database: &str,
    files: &[MigrationFile<'_>],
    claimed: Option<&BTreeMap<String, Option<i32>>>,
) -> Vec<Finding> {
    let files: Vec<_> = files.iter().map(|file| Named { file: *file, name: MigrationName::parse(file.path) }).collect();
    let mut findings = Vec::new();
    for it in &files {
        if let Err(problem) = &it.name {
            findings.push(it.finding(Code::FlywayNameInvalid, database, format!("the file {problem}")));
        }
    }
    duplicates(database, &files, &mut findings);
    order(database, &files, &mut findings);
    if let Some(claimed) = claimed {
        edited(database, &files, claimed, &mut findings);
        missing_and_extra(database, &files, claimed, &mut findings);
    }
    findings
}

impl Named<'_> {
    fn finding(&self, code: Code, database: &str, message: String) -> Finding {
        Finding::new(code, subject(database, self.file.path), message)
    }

    /// Whether Flyway records it with a checksum.
    fn is_recorded(&self) -> bool {
        self.name.as_ref().is_ok_and(MigrationName::is_recorded)
    }

    /// Whether the checksum that Flyway records is that of the file as it is.
    fn is_hashed_as_it_is(&self, scanned: Scanned) -> bool {
        !(scanned.placeholders && self.name.as_ref().is_ok_and(|name| name.kind == MigrationKind::Repeatable))
    }
}

fn subject(database: &str, path: &str) -> String {
    format!("{database}/migrations/{path}")
}

/// Files of which Flyway would run neither: `Found more than one migration with version …`.
fn duplicates(database: &str, files: &[Named<'_>], findings: &mut Vec<Finding>) {
    let mut first: BTreeMap<Place, &MigrationFile<'_>> = BTreeMap::new();
    for it in files {
        let Ok(name) = &it.name else { continue };
        let Some(other) = first.get(&name.place()) else {
            first.insert(name.place(), &it.file);
            continue;
        };
        let what = match &name.kind {
            MigrationKind::Versioned(version) | MigrationKind::Baseline(version) | MigrationKind::Undo(version) => {
                format!("version `{version}`")
            }
            MigrationKind::Repeatable => format!("the description `{}`", name.description),
            MigrationKind::Callback(event) => format!("the event `{event}` and the description `{}`", name.description),
        };
        let bytes = if other.sha256 == it.file.sha256 { "the same bytes" } else { "other bytes" };
        let message = format!(
            "`{}` has {what} too, and {bytes}: with both of them Flyway runs nothing, rename or remove one",
            other.path
        );
        findings.push(it.finding(Code::FlywayDuplicateVersion, database, message));
    }
}

/// The manifest's order is what a person reviewed, so it is the one that will run.
fn order(database: &str, files: &[Named<'_>], findings: &mut Vec<Finding>) {
    let mut before: Option<(Place, &str)> = None;
    for it in files {
        let Some(name) = it.name.as_ref().ok().filter(|name| name.is_recorded()) else { continue };
        let place = name.place();
        if let Some((other, path)) = &before
            && place < *other
        {
            let message = format!("the manifest lists it after `{path}`, and Flyway runs it before: list it there");
            findings.push(it.finding(Code::FlywayOrder, database, message));
        }
        before = Some((place, it.file.path));
    }
}

fn edited(database: &str, files: &[Named<'_>], claimed: &BTreeMap<String, Option<i32>>, findings: &mut Vec<Finding>) {
    for it in files {
        let (Some(claim), Some(scanned)) = (claimed.get(it.file.path), it.file.scanned) else { continue };
        let message = match claim {
            None if it.is_recorded() && it.is_hashed_as_it_is(scanned) => {
                format!("the manifest gives no checksum, and Flyway has `{}` for this file", scanned.checksum)
            }
            Some(claim) if *claim != scanned.checksum && it.is_hashed_as_it_is(scanned) => format!(
                "Flyway validated a file with the checksum `{claim}`, and the stored one has `{}`: take the edit back and \
                 write a new migration",
                scanned.checksum
            ),
            _ => continue,
        };
        findings.push(it.finding(Code::FlywayChecksumMismatch, database, message));
    }
}

fn missing_and_extra(
    database: &str,
    files: &[Named<'_>],
    claimed: &BTreeMap<String, Option<i32>>,
    findings: &mut Vec<Finding>,
) {
    // A file whose name Flyway would pass over can be the one that was renamed, and is refused for its name already.
    let mut extra: Vec<_> = files
        .iter()
        .filter(|it| (it.is_recorded() || it.name.is_err()) && !claimed.contains_key(it.file.path))
        .collect();
    let own = |script: &str| script.starts_with("<< ") || script.starts_with('"');
    let missing =
        claimed.iter().filter(|(script, _)| !own(script) && !files.iter().any(|it| it.file.path == script.as_str()));
    for (script, checksum) in missing {
        let same = |it: &&Named<'_>| checksum.is_some() && it.file.scanned.map(|scanned| scanned.checksum) == *checksum;
        if let Some(index) = extra.iter().position(same) {
            let it = extra.remove(index);
            let message = format!("Flyway validated this file as `{script}`: give it that name again");
            findings.push(it.finding(Code::FlywayFileRenamed, database, message));
        } else {
            let message = "Flyway validated this file, and it is not stored: a migration that ran is never removed";
            findings.push(Finding::new(Code::FlywayFileMissing, subject(database, script), message));
        }
    }
    for it in extra.into_iter().filter(|it| it.name.is_ok()) {
        let message = "the file is stored, and Flyway did not validate it: it is not among the manifest's checksums";
        findings.push(it.finding(Code::FlywayFileExtra, database, message.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flyway::checksum;

    const ONE: &str = "CREATE TABLE one (id int);\n";
    const TWO: &str = "CREATE TABLE two (id int);\n";

    fn file<'a>(path: &'a str, text: &str) -> MigrationFile<'a> {
        let scanned = checksum::scan(text.as_bytes()).unwrap().ok();
        MigrationFile { path, scanned, sha256: Sha256::of(text.as_bytes()) }
    }

    fn sum(text: &str) -> i32 {
        checksum::scan(text.as_bytes()).unwrap().unwrap().checksum
    }

    fn found(files: &[(&str, &str)], claimed: &[(&str, Option<i32>)]) -> Vec<(Code, String)> {
        let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
        let claimed = claimed.iter().map(|(script, sum)| ((*script).to_owned(), *sum)).collect();
        let findings = check("payments", &files, Some(&claimed));
        findings.into_iter().map(|it| (it.code, format!("{}: {}", it.subject, it.message))).collect()
    }

    fn codes(files: &[(&str, &str)], claimed: &[(&str, Option<i32>)]) -> Vec<Code> {
        found(files, claimed).into_iter().map(|(code, _)| code).collect()
    }

    #[test]
    fn files_in_flyways_order_with_the_validated_checksums_are_fine() {
        let claimed = [
            ("V2__two.sql", Some(sum(TWO))),
            ("sub/V10__ten.sql", Some(sum(ONE))),
            ("R__view.sql", Some(sum(ONE))),
            ("B2__base.sql", Some(sum(ONE))),
            ("<< Flyway Baseline >>", None),
            ("\"ledger\"", None),
        ];
        let files = [
            ("V2__two.sql", TWO),
            ("beforeMigrate.sql", ONE),
            ("B2__base.sql", ONE),
            ("U2__two.sql", ONE),
            ("sub/V10__ten.sql", ONE),
            ("R__view.sql", ONE),
        ];
        assert_eq!(found(&files, &claimed), []);
    }

    #[test]
    fn an_edited_file_is_named_with_both_checksums() {
        let found = found(&[("V1__a.sql", TWO)], &[("V1__a.sql", Some(sum(ONE)))]);
        insta::assert_snapshot!(found[0].1, @"payments/migrations/V1__a.sql: Flyway validated a file with the checksum `-787082930`, and the stored one has `-238647330`: take the edit back and write a new migration");
        assert_eq!(found.iter().map(|it| it.0).collect::<Vec<_>>(), [Code::FlywayChecksumMismatch]);
        assert_eq!(codes(&[("V1__a.sql", TWO)], &[("V1__a.sql", None)]), [Code::FlywayChecksumMismatch]);
    }

    #[test]
    fn a_file_that_is_not_utf8_has_no_checksum_to_compare() {
        let unread = MigrationFile { scanned: None, ..file("V1__a.sql", ONE) };
        let claimed = BTreeMap::from([("V1__a.sql".to_owned(), Some(sum(TWO)))]);
        assert_eq!(check("payments", &[unread], Some(&claimed)), []);
    }

    #[test]
    fn missing_extra_and_renamed_files_are_told_apart() {
        assert_eq!(codes(&[], &[("V1__a.sql", Some(sum(ONE)))]), [Code::FlywayFileMissing]);
        assert_eq!(codes(&[("V1__a.sql", ONE)], &[]), [Code::FlywayFileExtra]);
        assert_eq!(
            codes(
                &[("V1__a.sql", ONE), ("V2__b.sql", TWO)],
                &[("V1__a.sql", Some(sum(ONE))), ("V3__c.sql", Some(sum(ONE)))]
            ),
            [Code::FlywayFileMissing, Code::FlywayFileExtra]
        );
        let found = found(&[("V2__a.sql", ONE)], &[("V1__a.sql", Some(sum(ONE)))]);
        insta::assert_snapshot!(found[0].1, @"payments/migrations/V2__a.sql: Flyway validated this file as `V1__a.sql`: give it that name again");
        assert_eq!(found.len(), 1);
        assert_eq!(
            codes(&[("v1__a.sql", ONE)], &[("V1__a.sql", Some(sum(ONE)))]),
            [Code::FlywayNameInvalid, Code::FlywayFileRenamed]
        );
    }

    #[test]
    fn callbacks_and_undo_migrations_need_no_checksum_and_have_the_right_one_or_none() {
        let files = [("beforeMigrate__x.sql", ONE), ("U1__x.sql", ONE)];
        assert_eq!(codes(&files, &[]), []);
        assert_eq!(codes(&files, &[("beforeMigrate__x.sql", None), ("U1__x.sql", Some(sum(ONE)))]), []);
        assert_eq!(codes(&files, &[("U1__x.sql", Some(sum(TWO)))]), [Code::FlywayChecksumMismatch]);
    }

    #[test]
    fn the_checksum_of_a_repeatable_with_a_placeholder_is_evidence_only() {
        let text = "SELECT '${flyway:timestamp}';";
        assert_eq!(codes(&[("R__a.sql", text)], &[("R__a.sql", Some(7))]), []);
        assert_eq!(codes(&[("V1__a.sql", text)], &[("V1__a.sql", Some(7))]), [Code::FlywayChecksumMismatch]);
        assert_eq!(codes(&[("R__a.sql", ONE)], &[("R__a.sql", Some(7))]), [Code::FlywayChecksumMismatch]);
    }

    #[test]
    fn another_order_than_flyways_names_the_two_files() {
        let listed = |paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|path| file(path, ONE)).collect();
            check("payments", &files, None)
        };
        let findings = listed(&["V1__a.sql", "V10__b.sql", "V2__c.sql", "R__b.sql", "R__a.sql"]);
        let told: Vec<_> = findings.iter().map(|it| format!("{}: {}", it.subject, it.message)).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        payments/migrations/V2__c.sql: the manifest lists it after `V10__b.sql`, and Flyway runs it before: list it there
        payments/migrations/R__a.sql: the manifest lists it after `R__b.sql`, and Flyway runs it before: list it there
        ");
        assert_eq!(
            listed(&["beforeMigrate.sql", "V1.2__a.sql", "U1__x.sql", "V1_10__b.sql", "R__B.sql", "R__a.sql"]),
            []
        );
    }

    #[test]
    fn duplicates_are_what_flyway_calls_so() {
        for (first, second, duplicate) in [
            ("V1__a.sql", "V1.0__b.sql", true),
            ("V1__a.sql", "x/V001__a.sql", true),
            ("V1__a.sql", "B1__a.sql", false),
            ("B1__a.sql", "B1.0__b.sql", true),
            ("V1__a.sql", "U1__a.sql", false),
            ("R__a_b.sql", "R__a b.sql", true),
            ("x/R__a.sql", "y/R__a.sql", true),
            ("R__a.sql", "R__b.sql", false),
            ("beforeMigrate.sql", "x/beforeMigrate__.sql", true),
            ("beforeMigrate__a.sql", "beforeMigrate__b.sql", false),
        ] {
            let findings = check("payments", &[file(first, ONE), file(second, TWO)], None);
            assert_eq!(
                findings.iter().any(|it| it.code == Code::FlywayDuplicateVersion),
                duplicate,
                "{first} {second}"
            );
        }
        let findings = check("payments", &[file("V1__a.sql", ONE), file("x/V1.0__a.sql", ONE)], None);
        insta::assert_snapshot!(findings[0].message, @"`V1__a.sql` has version `1` too, and the same bytes: with both of them Flyway runs nothing, rename or remove one");
    }
}
