//! The commit's migration files and snapshots, in exactly the bytes that the plan pins.

use std::{collections::BTreeMap, path::Path};

use futures_util::{StreamExt as _, stream};
use gatekeeper_database::Migrations;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{MigrationPath, Sha256},
};
use gatekeeper_promotion::plan::{Pinned, PlannedDatabase, PlannedMigration};
use gatekeeper_readers::flyway::{
    checksum,
    checksum::Scanned,
    files::MigrationFile,
    settings::{Settings, read_script, script_in_transaction},
};
use gatekeeper_store::{ReadStore, StoreError};
use tempfile::TempDir;

use crate::Trouble;

/// Files that are fetched at once.
const IN_FLIGHT: usize = 16;

/// The migration files of one database with what Flyway is configured by, in a folder of their own that goes when this does.
#[derive(Debug)]
pub struct Fetched<'a> {
    folder: TempDir,
    files: Vec<(&'a PlannedMigration, Scanned)>,
    settings: Settings,
    /// Which scripts' own configurations say whether they run in a transaction.
    in_transaction: BTreeMap<MigrationPath, bool>,
}

impl<'a> Fetched<'a> {
    /// Fetches the migrations of `planned`, their scripts' configurations and its own, and nothing else.
    ///
    /// # Errors
    /// Where the store or the disk fails. What isn't what the plan pins is a finding.
    pub async fn fetch(
        artefacts: &impl ReadStore,
        planned: &PlannedDatabase,
        migrations: &'a [PlannedMigration],
    ) -> Result<Result<Self, Vec<Finding>>, Trouble> {
        let folder = tempfile::tempdir()?;
        let of_database = migrations.iter().filter(|it| it.database == planned.database);
        let mut fetched = stream::iter(of_database)
            .map(|migration| async move { (migration, pinned(artefacts, &migration.script).await) })
            .buffered(IN_FLIGHT);
        let (mut files, mut wrong, mut in_transaction) = (Vec::new(), Vec::new(), BTreeMap::new());
        let settings = match configuration(artefacts, planned).await? {
            Ok(settings) => settings.with_placeholders(&planned.placeholders),
            Err(findings) => {
                wrong.extend(findings);
                Settings::default()
            }
        };
        for it in &planned.script_configurations {
            match pinned(artefacts, &it.file).await? {
                Ok(bytes) => {
                    wrong.extend(read_script(&bytes, &it.file.key));
                    in_transaction.extend(script_in_transaction(&bytes).map(|value| (it.script.clone(), value)));
                    write(folder.path(), &format!("{}.conf", it.script), &bytes)?;
                }
                Err(finding) => wrong.push(finding),
            }
        }
        while let Some((migration, bytes)) = fetched.next().await {
            let bytes = match bytes? {
                Ok(bytes) => bytes,
                Err(finding) => {
                    wrong.push(finding);
                    continue;
                }
            };
            match checksum::scan(bytes.as_slice())? {
                Ok(scanned) => files.push((migration, scanned.under(Some(&settings)))),
                Err(not_utf8) => {
                    wrong.push(Finding::new(Code::FlywayNotUtf8, &migration.script.key, not_utf8.to_string()));
                }
            }
            write(folder.path(), migration.file.as_str(), &bytes)?;
        }
        drop(fetched);
        Ok(if wrong.is_empty() { Ok(Self { folder, files, settings, in_transaction }) } else { Err(wrong) })
    }

    /// As the history is held against them.
    #[must_use]
    pub fn files(&self) -> Vec<MigrationFile<'a>> {
        let files = self.files.iter().map(|(migration, scanned)| MigrationFile {
            path: migration.file.as_str(),
            scanned: Some(*scanned),
            sha256: migration.script.sha256,
        });
        files.collect()
    }

    /// As Flyway takes them.
    #[must_use]
    pub fn migrations(&self) -> Migrations {
        Migrations { folder: self.folder.path().to_owned(), settings: self.settings.clone() }
    }

    /// What a migration says, and whether it runs in a transaction.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn script(&self, file: &MigrationPath) -> std::io::Result<(String, bool)> {
        let sql = std::fs::read_to_string(self.folder.path().join(file.as_str()))?;
        let in_transaction = self.in_transaction.get(file).copied();
        Ok((sql, in_transaction.unwrap_or(self.settings.execute_in_transaction)))
    }

    /// What Flyway is configured by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// What the configuration of a database sets; Flyway's own defaults where it has none.
///
/// # Errors
/// Where the store could not be read. What isn't what the plan pins, or is not taken, is a finding.
pub async fn configuration(
    artefacts: &impl ReadStore,
    planned: &PlannedDatabase,
) -> Result<Result<Settings, Vec<Finding>>, StoreError> {
    let Some(file) = &planned.configuration else { return Ok(Ok(Settings::default())) };
    Ok(match pinned(artefacts, file).await? {
        Ok(bytes) => Settings::read(&bytes, &file.key),
        Err(finding) => Err(vec![finding]),
    })
}

/// What the configurations of the other databases of a promotion set: they may be of the same server's database. One that
/// can't be read accounts for nothing.
///
/// # Errors
/// Where the store could not be read.
pub async fn other_configurations(
    artefacts: &impl ReadStore,
    planned: &PlannedDatabase,
    all: &[PlannedDatabase],
) -> Result<Vec<Settings>, StoreError> {
    let mut others = Vec::new();
    for other in all.iter().filter(|it| it.database != planned.database) {
        others.extend(configuration(artefacts, other).await?.ok());
    }
    Ok(others)
}

/// A path of the plan holds no part that starts with a dot, so it stays below the folder.
fn write(folder: &Path, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes)
}

/// The bytes that the plan pins.
///
/// # Errors
/// Where the store could not be read.
pub async fn pinned(artefacts: &impl ReadStore, pinned: &Pinned) -> Result<Result<Vec<u8>, Finding>, StoreError> {
    let body = artefacts.get(&pinned.key, Some(&pinned.version_id), pinned.size).await?;
    let Some(body) = body else {
        let message = format!("its version `{}` is not there any more", pinned.version_id);
        return Ok(Err(Finding::new(Code::ArtefactMissing, &pinned.key, message)));
    };
    let digest = Sha256::of(&body.bytes);
    if digest != pinned.sha256 {
        let message = format!("its SHA-256 is `{digest}` and not the planned `{}`", pinned.sha256);
        return Ok(Err(Finding::new(Code::DigestMismatch, &pinned.key, message)));
    }
    Ok(Ok(body.bytes))
}
