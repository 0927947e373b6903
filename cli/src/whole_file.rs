//! Writing results to files: whole or not at all, so that nobody reads half of one.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use gatekeeper_model::{ids::DatabaseName, manifest::Flyway};
use serde_json::Value;

use crate::exit::Misuse;

/// Writes `bytes` to `path`, in place of what is there.
///
/// # Errors
/// Where it can't be written; then what was there still is.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Misuse> {
    let failed = |error: &io::Error| Misuse(format!("`{}` can't be written: {error}", path.display()));
    // Where it is a link, what it leads to is written.
    let path = match path.canonicalize() {
        Ok(there) if there.is_file() => there,
        Ok(_) => return Err(Misuse(format!("`{}` is not a file: name one to be written", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(failed(&error)),
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666)); // less the umask
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    written().map_err(|error| failed(&error))
}

/// Writes `files`, by their paths in `folder`. A folder that is not there yet appears with all of them or not at all; in
/// one that is there each file is replaced whole, and what else it holds stays. Without files nothing is written.
///
/// # Errors
/// Where something can't be written; then nothing is left of a folder that was not there.
pub(crate) fn write_folder(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Misuse> {
    let failed = |error: &io::Error| Misuse(format!("the folder `{}` can't be written: {error}", folder.display()));
    if files.is_empty() {
        return Ok(());
    }
    if folder.exists() {
        for (path, bytes) in files {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap_or(folder)).map_err(|error| failed(&error))?;
            write(&file, bytes)?;
        }
        return Ok(());
    }
    new_folder(folder, files).map_err(|error| failed(&error))
}

fn new_folder(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let parent = folder.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777)); // less the umask
    let mut staged = builder.tempdir_in(parent)?;
    for (path, bytes) in files {
        let path = staged.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(parent))?;
        let mut file = fs::File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    // Where somebody made a folder of this name meanwhile and put something into it, this fails and leaves it alone.
    fs::rename(staged.path(), folder)?;
    staged.disable_cleanup(true); // it has another name now
    Ok(())
}

/// The manifest's part about Flyway in a file of its own, which several databases share.
#[derive(Debug)]
pub(crate) struct FlywayPart<'a> {
    path: &'a Path,
    databases: BTreeMap<String, Value>,
}

impl<'a> FlywayPart<'a> {
    /// Reads what the file says of other databases; a file that isn't there says nothing.
    ///
    /// # Errors
    /// Where it holds something else.
    pub(crate) fn open(path: &'a Path) -> Result<Self, Misuse> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => b"{}".to_vec(),
            Err(error) => return Err(Misuse(format!("`{}` can't be read: {error}", path.display()))),
        };
        let databases = serde_json::from_slice(&bytes).map_err(|error| {
            Misuse(format!("`{}` is not the manifest's part about Flyway: {error}; remove it", path.display()))
        })?;
        Ok(Self { path, databases })
    }

    /// Writes the file with `flyway` for `database`.
    pub(crate) fn write(&mut self, database: &DatabaseName, flyway: &Flyway) -> anyhow::Result<()> {
        self.databases.insert(database.to_string(), serde_json::to_value(flyway)?);
        let mut text = serde_json::to_string_pretty(&self.databases)?;
        text.push('\n');
        Ok(write(self.path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_the_rights_of_new_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.sql");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let plain = folder.path().join("plain");
            fs::write(&plain, b"").unwrap();
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
            assert_eq!(mode(&path), mode(&plain));
        }
    }

    #[test]
    fn what_is_no_file_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), b"").unwrap_err().to_string().contains("is not a file"));
        let nowhere = folder.path().join("no/such/folder/snapshot.sql");
        assert!(write(&nowhere, b"").unwrap_err().to_string().contains("can't be written"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"two").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    fn heads(bytes: &[u8]) -> BTreeMap<PathBuf, Vec<u8>> {
        [("prod/payments.json", bytes), ("uat/payments.json", bytes)]
            .map(|(path, it)| (path.into(), it.to_vec()))
            .into()
    }

    #[test]
    fn a_new_folder_appears_with_all_of_its_files_and_the_rights_of_new_folders() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("heads/2026-05");
        write_folder(&folder, &heads(b"one")).unwrap();
        for file in ["prod/payments.json", "uat/payments.json"] {
            assert_eq!(fs::read(folder.join(file)).unwrap(), b"one");
        }
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let plain = root.path().join("plain");
            fs::create_dir(&plain).unwrap();
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
            assert_eq!(mode(&folder), mode(&plain));
        }
    }

    #[test]
    fn a_folder_that_is_there_keeps_what_else_it_holds() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("uat")).unwrap();
        fs::write(root.path().join("uat/payments.json"), "before").unwrap();
        fs::write(root.path().join("uat/ledger.json"), "kept").unwrap();
        write_folder(root.path(), &heads(b"one")).unwrap();
        assert_eq!(fs::read(root.path().join("uat/payments.json")).unwrap(), b"one");
        assert_eq!(fs::read(root.path().join("uat/ledger.json")).unwrap(), b"kept");
    }

    #[test]
    fn of_a_folder_that_fails_half_way_nothing_is_left() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("heads");
        // The second file would lie in a folder whose name the first one has.
        let files =
            [("uat", b"one"), ("uat/payments.json", b"two")].map(|(path, it)| (path.into(), it.to_vec())).into();
        let error = write_folder(&folder, &files).unwrap_err().to_string();
        assert!(error.contains("heads` can't be written"), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn of_a_file_that_can_not_be_written_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(300)); // longer than a file system takes
        assert!(write(&path, b"one").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_part_keeps_the_other_databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flyway.json");
        let flyway = |validated| Flyway::of_checksums(validated, [("V1__x.sql".to_owned(), Some(-1))].into());
        let (payments, ledger) = ("payments".parse().unwrap(), "ledger".parse().unwrap());
        FlywayPart::open(&path).unwrap().write(&payments, &flyway(true)).unwrap();
        let mut part = FlywayPart::open(&path).unwrap();
        part.write(&ledger, &flyway(true)).unwrap();
        part.write(&ledger, &flyway(false)).unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
        {
          "ledger": {
            "checksums": {
              "V1__x.sql": -1
            },
            "validated": false
          },
          "payments": {
            "checksums": {
              "V1__x.sql": -1
            },
            "validated": true
          }
        }
        "#);
        fs::write(&path, b"[]").unwrap();
        assert!(FlywayPart::open(&path).is_err());
    }
}
