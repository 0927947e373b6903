//! A folder of migration files: what the gate would say of it, and what Flyway will record of each file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{DatabaseName, MigrationPath, Sha256},
};
use gatekeeper_readers::flyway::{
    MAX_BYTES, checksum,
    checksum::{NotUtf8, Scanned},
    files,
    files::MigrationFile,
    migration_name::{MigrationKind, MigrationName},
    settings,
    settings::Settings,
};

use crate::exit::Misuse;

/// Checksums by path, as the manifest holds them.
pub(crate) type Checksums = BTreeMap<String, Option<i32>>;

/// The `.sql` files below a folder, in Flyway's order, and their own configurations; what Flyway would pass over comes last.
#[derive(Debug)]
pub(crate) struct Migrations(pub(crate) Vec<Migration>, Vec<ScriptConfiguration>);

/// The configuration of one script: a file beside it with `.conf` behind its name.
#[derive(Debug)]
struct ScriptConfiguration {
    /// The script's path below the folder.
    script: String,
    bytes: Vec<u8>,
}

/// One migration file.
#[derive(Debug)]
pub(crate) struct Migration {
    /// Its path below the folder with `/`, Flyway's `script`.
    pub(crate) path: String,
    /// Its name; `None` where Flyway would not run it.
    pub(crate) name: Option<MigrationName>,
    scanned: Result<Scanned, NotUtf8>,
    sha256: Sha256,
    size: u64,
}

impl Migration {
    /// What Flyway records for the file: none before it has run, where its placeholders are replaced first.
    pub(crate) fn checksum(&self) -> Option<i32> {
        let scanned = self.scanned.ok()?;
        let replaced = scanned.placeholders && matches!(self.kind(), Some(MigrationKind::Repeatable));
        (self.is_recorded() && !replaced).then_some(scanned.checksum)
    }

    /// Whether Flyway can read it at all.
    pub(crate) fn is_utf8(&self) -> bool {
        self.scanned.is_ok()
    }

    /// Whether it has a row in Flyway's history once it has run.
    pub(crate) fn is_recorded(&self) -> bool {
        self.name.as_ref().is_some_and(MigrationName::is_recorded)
    }

    pub(crate) fn kind(&self) -> Option<&MigrationKind> {
        self.name.as_ref().map(|name| &name.kind)
    }
}

impl Migrations {
    /// Reads every `.sql` file below `folder`.
    ///
    /// # Errors
    /// Where there is none, or one can't be read.
    pub(crate) fn read(folder: &Path) -> Result<Self, Misuse> {
        let (mut migrations, mut configurations) = (Vec::new(), Vec::new());
        for (path, file) in walk(folder)? {
            let bytes = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
            if let Some(script) = path.strip_suffix(".conf") {
                configurations.push(ScriptConfiguration { script: script.to_owned(), bytes });
                continue;
            }
            let scanned = checksum::scan(bytes.as_slice()).map_err(|error| unreadable(&file, &error))?;
            let name = MigrationName::parse(&path).ok();
            migrations.push(Migration { path, name, scanned, sha256: Sha256::of(&bytes), size: bytes.len() as u64 });
        }
        if migrations.is_empty() {
            return Err(Misuse(format!(
                "`{}` holds no `.sql` file: name the folder of the migrations",
                folder.display()
            )));
        }
        migrations.sort_by(|a, b| {
            let by_name = match (&a.name, &b.name) {
                (Some(a), Some(b)) => a.place().cmp(&b.place()),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            by_name.then_with(|| a.path.cmp(&b.path))
        });
        Ok(Self(migrations, configurations))
    }

    /// Everything for which the gate, or Flyway, would refuse these files; without a look at any database.
    pub(crate) fn findings(&self, database: &DatabaseName) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Migration { path, name, scanned, size, .. } in &self.0 {
            let mut found = |code, message| {
                findings.push(Finding::new(code, format!("{database}/migrations/{path}"), message));
            };
            if let (Some(_), Err(error)) = (name, path.parse::<MigrationPath>()) {
                found(Code::FlywayNameInvalid, error.to_string());
            }
            if let Err(not_utf8) = scanned {
                found(Code::FlywayNotUtf8, not_utf8.to_string());
            }
            if *size > MAX_BYTES {
                found(Code::FlywayFileTooLarge, format!("{size} bytes are more than the {MAX_BYTES} allowed"));
            }
        }
        for it in &self.1 {
            let subject = format!("{database}/migrations/{}.conf", it.script);
            findings.extend(settings::read_script(&it.bytes, &subject));
            if !self.0.iter().any(|migration| migration.path == it.script) {
                let message = format!("it is the configuration of `{}`, which is not there: remove it", it.script);
                findings.push(Finding::new(Code::FlywayFileExtra, subject, message));
            }
        }
        findings.extend(files::check(database.as_str(), &self.files(), None));
        findings
    }

    /// The digest of each script's own configuration, by the script's path.
    pub(crate) fn script_configurations(&self) -> BTreeMap<String, Sha256> {
        self.1.iter().map(|it| (it.script.clone(), Sha256::of(&it.bytes))).collect()
    }

    /// The same under a configuration, which may say that placeholders are not replaced.
    pub(crate) fn under(mut self, settings: &Settings) -> Self {
        for it in &mut self.0 {
            it.scanned = it.scanned.map(|scanned| scanned.under(Some(settings)));
        }
        self
    }

    /// The files as the gate's checks take them.
    pub(crate) fn files(&self) -> Vec<MigrationFile<'_>> {
        let files = self.0.iter();
        files.map(|it| MigrationFile { path: &it.path, scanned: it.scanned.ok(), sha256: it.sha256 }).collect()
    }

    /// What Flyway records for each file that it records.
    pub(crate) fn checksums(&self) -> Checksums {
        let recorded = self.0.iter().filter(|it| it.is_recorded());
        recorded.map(|it| (it.path.clone(), it.checksum())).collect()
    }
}

/// Copies every `.sql` file below `folder`, and every script's configuration, to `copy`, so that Flyway sees what is hashed, and nothing else.
pub(crate) fn copy(folder: &Path, copy: &Path) -> Result<(), Misuse> {
    for (path, file) in walk(folder)? {
        let to = copy.join(&path);
        let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&file, &to));
        copied.map_err(|error| unreadable(&file, &error))?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Misuse {
    Misuse(format!("`{}` can't be read: {error}", path.display()))
}

/// Whether Flyway would look at a file: case counts in `.conf`, and not in `.sql`.
fn is_taken(path: &Path) -> bool {
    let is_sql = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
    let is_configuration = path.extension().is_some_and(|extension| extension == "conf");
    is_sql(path) || (is_configuration && path.file_stem().is_some_and(|stem| is_sql(Path::new(stem))))
}

/// Every `.sql` and `.sql.conf` file below `root`: its path below it with `/`, and where it is.
fn walk(root: &Path) -> Result<Vec<(String, PathBuf)>, Misuse> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
            if kind.is_dir() {
                folders.push(path);
            } else if is_taken(&path) {
                let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                    return Err(Misuse(format!("`{}` has a name that is not UTF-8: rename it", path.display())));
                };
                if !path.is_file() {
                    return Err(Misuse(format!("`{}` is not a file, nor a link to one", path.display())));
                }
                found.push((name.replace(std::path::MAIN_SEPARATOR, "/"), path));
            }
        }
    }
    found.sort();
    Ok(found)
}
