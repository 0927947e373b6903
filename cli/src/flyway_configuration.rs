//! What `flyway migrate` of the same pipeline is configured by: a `flyway.toml`, and what else Flyway would read where it is
//! started. Whatever decides what runs must travel with the commit, so the latter is refused by name.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Sha256,
    manifest::FlywayConfiguration,
};
use gatekeeper_readers::flyway::{settings, settings::Settings};

use crate::exit::Misuse;

/// The file's name, in the store and in a repository.
const NAME: &str = "flyway.toml";

/// Variables of Flyway's that say nothing of what runs: connections, and what it tells of its work.
const HARMLESS: [&str; 19] = [
    "FLYWAY_CLEAN_DISABLED",
    "FLYWAY_COMMUNITY_DB_SUPPORT_ENABLED",
    "FLYWAY_CONNECT_RETRIES",
    "FLYWAY_CONNECT_RETRIES_INTERVAL",
    "FLYWAY_DRIVER",
    "FLYWAY_EDITION",
    "FLYWAY_FAIL_ON_MISSING_LOCATIONS",
    "FLYWAY_HOME",
    "FLYWAY_LOCK_RETRY_COUNT",
    "FLYWAY_LOGGERS",
    "FLYWAY_OUTPUT_PROGRESS",
    "FLYWAY_OUTPUT_QUERY_RESULTS",
    "FLYWAY_PASSWORD",
    "FLYWAY_REPORT_ENABLED",
    "FLYWAY_REPORT_FILENAME",
    "FLYWAY_URL",
    "FLYWAY_USER",
    "FLYWAY_VALIDATE_MIGRATION_NAMING",
    "FLYWAY_VERSION",
];

/// What Flyway is configured by.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// What the file sets; Flyway's own defaults without one.
    pub(crate) settings: Settings,
    /// The file, as the manifest tells of it.
    pub(crate) file: Option<FlywayConfiguration>,
    /// Everything for which the gate would refuse it, and what Flyway would read beside it.
    pub(crate) findings: Vec<Finding>,
    /// Placeholders that Flyway takes from the environment.
    pub(crate) placeholders: BTreeMap<String, String>,
}

/// What the process was started with and in, so that tests can say it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) folder: PathBuf,
}

impl Surroundings {
    pub(crate) fn of_process() -> Self {
        Self { variables: std::env::vars_os().collect(), folder: std::env::current_dir().unwrap_or_default() }
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        self.variables.iter().find(|(it, _)| it == name).map(|(_, value)| PathBuf::from(value))
    }

    /// The folders whose configuration files Flyway reads by itself: where it is started, the user's, and its own.
    fn folders(&self) -> Vec<PathBuf> {
        let flyway = |folder: PathBuf| fs::canonicalize(folder.join("flyway")).ok().filter(|it| it.is_file());
        let path = self.variable("PATH").unwrap_or_default();
        let installed = std::env::split_paths(&path).find_map(flyway).and_then(|it| Some(it.parent()?.join("conf")));
        let own = [Some(self.folder.clone()), self.variable("HOME"), installed];
        own.into_iter().flatten().collect()
    }
}

/// Finds what Flyway is configured by, for the migrations in `migrations`: the file that is `given`, or a `flyway.toml` beside
/// the folder, or one where Flyway is started.
///
/// # Errors
/// Where the file can't be read.
pub(crate) fn find(given: Option<&Path>, migrations: &Path, around: &Surroundings) -> Result<Configuration, Misuse> {
    let beside = fs::canonicalize(migrations).ok().and_then(|it| Some(it.parent()?.join(NAME)));
    let found = given
        .map(Path::to_owned)
        .or_else(|| [beside, Some(around.folder.join(NAME))].into_iter().flatten().find(|path| path.is_file()));
    let mut configuration = Configuration::default();
    if let Some(path) = &found {
        let bytes = read(path)?;
        let (sha256, size) = (Sha256::of(&bytes), bytes.len() as u64);
        match Settings::read(&bytes, &path.display().to_string()) {
            Ok(settings) => configuration.settings = settings,
            Err(findings) => configuration.findings = findings,
        }
        let sets = configuration.settings.changed.clone();
        configuration.file = Some(FlywayConfiguration { sha256, size, modules: [].into(), sets });
        if let Some(location) = &configuration.settings.location {
            let location = around.folder.join(location);
            if !is_same(&location, migrations) {
                let message = format!(
                    "`flyway.locations`: it names `{}`, and `{}` is validated: let both be one folder",
                    location.display(),
                    migrations.display()
                );
                configuration.refuse(path.display(), message);
            }
        }
    }
    configuration.beside(found.as_deref(), around);
    configuration.environment(found.as_deref(), migrations, around);
    Ok(configuration)
}

fn read(path: &Path) -> Result<Vec<u8>, Misuse> {
    let unreadable = |why: String| Misuse(format!("`{}` can't be read: {why}", path.display()));
    let metadata = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if metadata.len() > settings::MAX_BYTES {
        return Err(unreadable(format!("it is larger than {} bytes", settings::MAX_BYTES)));
    }
    fs::read(path).map_err(|error| unreadable(error.to_string()))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

impl Configuration {
    fn refuse(&mut self, subject: impl std::fmt::Display, message: impl Into<String>) {
        self.findings.push(Finding::new(Code::FlywaySettingUnsupported, subject.to_string(), message));
    }

    /// Files that Flyway reads too.
    fn beside(&mut self, used: Option<&Path>, around: &Surroundings) {
        let names: &[&str] = if used.is_some() {
            &[NAME, "flyway.user.toml"]
        } else {
            // Without any TOML it reads these.
            &[NAME, "flyway.user.toml", "flyway.conf"]
        };
        let paths = around.folders().into_iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        for path in paths.filter(|path| path.is_file()) {
            if used.is_none_or(|used| !is_same(used, &path)) {
                let message = "Flyway reads this file too when it is started here, and the commit does not carry it: bring \
                               what it says into the one `flyway.toml` of the database, and remove it";
                self.refuse(path.display(), message);
            }
        }
    }

    /// Variables that Flyway takes over what the file says.
    fn environment(&mut self, used: Option<&Path>, migrations: &Path, around: &Surroundings) {
        for (name, value) in &around.variables {
            let (Some(name), value) = (name.to_str(), value.to_string_lossy()) else { continue };
            if let Some(placeholder) = name.strip_prefix("FLYWAY_PLACEHOLDERS_").filter(|it| !it.is_empty()) {
                self.placeholders.insert(placeholder.to_lowercase(), value.into_owned());
                continue;
            }
            let ours = ["FLYWAY_", "flyway_", "environments_"].iter().any(|prefix| name.starts_with(prefix));
            let connection = name.starts_with("FLYWAY_JDBC_PROPERTIES_") || HARMLESS.contains(&name);
            let same = match name {
                "FLYWAY_CONFIG_FILES" => used.is_some_and(|used| is_same(&around.folder.join(&*value), used)),
                "FLYWAY_LOCATIONS" => {
                    let folder = value.strip_prefix("filesystem:").map(|it| around.folder.join(it));
                    folder.is_some_and(|folder| is_same(&folder, migrations))
                }
                _ => false,
            };
            if ours && !connection && !same {
                let message = "Flyway takes this variable of the environment over what `flyway.toml` says, and the commit does \
                               not carry it: write the setting into `flyway.toml`, and unset the variable";
                self.refuse(name, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with the migrations of one database.
    fn repository(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let migrations = root.path().join("db/payments/migrations");
        fs::create_dir_all(&migrations).unwrap();
        for (path, text) in files {
            fs::write(root.path().join(path), text).unwrap();
        }
        (root, migrations)
    }

    fn around(root: &Path, variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Surroundings { variables, folder: root.to_owned() }
    }

    #[track_caller]
    fn subjects(configuration: &Configuration, root: &Path) -> Vec<String> {
        let root = format!("{}/", root.display());
        configuration.findings.iter().map(|it| it.subject.replace(&root, "")).collect()
    }

    const SCHEMAS: &str = "[environments.default]\nschemas = [\"payments\"]\n";

    #[test]
    fn the_file_is_the_given_one_or_lies_beside_the_folder_or_where_flyway_starts() {
        let (root, migrations) =
            repository(&[("db/payments/flyway.toml", SCHEMAS), ("other.toml", "[flyway]\nmixed = true\n")]);
        let beside = find(None, &migrations, &around(root.path(), &[])).unwrap();
        assert_eq!((beside.settings.schema(), beside.findings.len()), (Some("payments"), 0));
        let file = beside.file.unwrap();
        assert_eq!((file.sha256, file.size), (Sha256::of(SCHEMAS.as_bytes()), SCHEMAS.len() as u64));
        let given = find(Some(&root.path().join("other.toml")), &migrations, &around(root.path(), &[])).unwrap();
        assert!(given.settings.mixed && given.findings.is_empty());

        let (root, migrations) = repository(&[("flyway.toml", SCHEMAS)]);
        let started = find(None, &migrations, &around(root.path(), &[])).unwrap();
        assert_eq!((started.settings.schema(), started.findings.len()), (Some("payments"), 0));
        assert!(find(Some(Path::new("/no/such/file")), &migrations, &around(root.path(), &[])).is_err());

        let (root, migrations) = repository(&[]);
        let none = find(None, &migrations, &around(root.path(), &[])).unwrap();
        assert!(none.file.is_none() && none.settings == Settings::default() && none.findings.is_empty());
    }

    #[test]
    fn what_flyway_would_read_beside_it_is_refused_by_name() {
        let (root, migrations) =
            repository(&[("db/payments/flyway.toml", SCHEMAS), ("flyway.toml", ""), ("flyway.user.toml", "")]);
        let two = find(None, &migrations, &around(root.path(), &[])).unwrap();
        assert_eq!(subjects(&two, root.path()), ["flyway.toml", "flyway.user.toml"]);
        let (root, migrations) = repository(&[("flyway.conf", "flyway.schemas=payments")]);
        assert_eq!(
            subjects(&find(None, &migrations, &around(root.path(), &[])).unwrap(), root.path()),
            ["flyway.conf"]
        );
    }

    #[test]
    fn variables_that_decide_what_runs_are_refused_by_name() {
        let (root, migrations) = repository(&[("flyway.toml", SCHEMAS)]);
        let fine = [
            ("FLYWAY_URL", "x"),
            ("FLYWAY_PASSWORD", "x"),
            ("FLYWAY_CONFIG_FILES", "flyway.toml"),
            ("OTHER", "x"),
            ("FLYWAY_LOCATIONS", "filesystem:db/payments/migrations"),
            ("FLYWAY_PLACEHOLDERS_OWNER", "app"),
        ];
        let found = find(None, &migrations, &around(root.path(), &fine)).unwrap();
        assert_eq!(subjects(&found, root.path()), [""; 0]);
        assert_eq!(found.placeholders, [("owner".to_owned(), "app".to_owned())].into());
        for (name, value) in [
            ("FLYWAY_SCHEMAS", "payments"),
            ("flyway_table", "x"),
            ("environments_default_schemas", "x"),
            ("FLYWAY_LOCATIONS", "filesystem:elsewhere"),
            ("FLYWAY_CONFIG_FILES", "other.toml"),
            ("FLYWAY_TARGET", "3"),
        ] {
            let found = find(None, &migrations, &around(root.path(), &[(name, value)])).unwrap();
            assert_eq!(subjects(&found, root.path()), [name]);
        }
    }

    #[test]
    fn the_locations_are_the_folder_that_is_validated() {
        let (root, migrations) =
            repository(&[("flyway.toml", "[flyway]\nlocations = [\"filesystem:db/payments/migrations\"]\n")]);
        assert_eq!(find(None, &migrations, &around(root.path(), &[])).unwrap().findings, []);
        fs::write(root.path().join("flyway.toml"), "[flyway]\nlocations = [\"filesystem:db\"]\n").unwrap();
        assert_eq!(find(None, &migrations, &around(root.path(), &[])).unwrap().findings.len(), 1);
    }
}
