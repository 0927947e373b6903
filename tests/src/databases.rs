//! A stage's databases: real ones, on the PostgreSQL that stands beside the local AWS, and real Flyway for what CI does.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use gatekeeper_model::store_key::ArtefactPath;
use serde_json::json;
use ulid::Ulid;

use crate::{
    commit::{Commit, MODULE, path},
    instance::{Instance, Outputs},
};

/// The databases that the stages of these tests have, each for one test: one promotion at a time changes one.
pub const DATABASES: [&str; 12] = [
    "payments", // the example's
    "fresh",
    "tampered",
    "dropping",
    "repaired",
    "by_hand",
    "half_way",
    "broken_off",
    "killed",
    "back",
    "checked",
    "pooled",
];

/// A database on the local PostgreSQL.
#[derive(Debug, Clone)]
pub struct Database<'a> {
    outputs: &'a Outputs,
    /// Its name there.
    pub name: String,
}

/// Makes the databases and their secrets where they aren't there yet; gives the secrets' ARNs by the database's name in
/// manifests.
pub(crate) async fn secrets(aws: &Instance) -> BTreeMap<&'static str, String> {
    let client = aws_sdk_secretsmanager::Client::new(&aws.root.config);
    let mut arns = BTreeMap::new();
    for name in DATABASES {
        let secret = format!("e2e/{name}");
        let database = Database::of_stage(aws, name);
        let there = client.describe_secret().secret_id(&secret).send().await;
        let arn = match there {
            Ok(there) => there.arn,
            Err(_) => {
                database.create();
                let text = json!({"url": database.url(if name == "pooled" { "ep-cool-pooler.neon.tech" } else { "" })});
                client.create_secret().name(&secret).secret_string(text.to_string()).send().await.unwrap().arn
            }
        };
        arns.insert(name, arn.unwrap());
    }
    arns
}

impl<'a> Database<'a> {
    /// The one behind `name` in the stages of these tests.
    #[must_use]
    pub fn of_stage(aws: &'a Instance, name: &str) -> Self {
        Self { outputs: &aws.outputs, name: format!("uat_{name}") }
    }

    /// A new one, for what a pipeline does in dev.
    #[must_use]
    pub fn scratch(aws: &'a Instance) -> Self {
        let name = format!("dev_{}", Ulid::generate().to_string().to_lowercase());
        let database = Self { outputs: &aws.outputs, name };
        database.create();
        database
    }

    fn create(&self) {
        let administration = Self { outputs: self.outputs, name: "postgres".to_owned() };
        administration.sql(&format!("CREATE DATABASE \"{}\"", self.name));
    }

    /// Removes it.
    pub fn drop(self) {
        let administration = Self { outputs: self.outputs, name: "postgres".to_owned() };
        administration.sql(&format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name));
    }

    /// Removes it with the subscription that the hostile schema makes.
    pub fn drop_with_subscription(self) {
        self.sql("ALTER SUBSCRIPTION elsewhere SET (slot_name = NONE)");
        self.sql("DROP SUBSCRIPTION elsewhere");
        self.drop();
    }

    /// How to reach it, at `host` or where it is.
    fn url(&self, host: &str) -> String {
        let Outputs { postgres_host, postgres_port, postgres_user, postgres_password, .. } = self.outputs;
        let host = if host.is_empty() { postgres_host } else { host };
        format!("postgresql://{postgres_user}:{postgres_password}@{host}:{postgres_port}/{}", self.name)
    }

    /// Runs statements as its administrator; gives what they print, a row a line.
    pub fn sql(&self, statements: &str) -> String {
        let output = self.run(&tool("postgresql", "psql"), &["-AtqX", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        text(output)
    }

    /// `pg_dump --schema-only`.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        self.dump_with(&[])
    }

    /// The same with further options.
    #[must_use]
    pub fn dump_with(&self, options: &[&str]) -> Vec<u8> {
        self.whole_dump(&[&["--schema-only"], options].concat())
    }

    /// `pg_dump`, with data unless the options say otherwise.
    #[must_use]
    pub fn whole_dump(&self, options: &[&str]) -> Vec<u8> {
        self.dump_by(&tool("postgresql", "pg_dump"), options)
    }

    /// The same by another version's program.
    #[must_use]
    pub fn dump_by(&self, program: &Path, options: &[&str]) -> Vec<u8> {
        let output = self.run(program, options);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let Outputs { postgres_host, postgres_port, postgres_user, postgres_password, .. } = self.outputs;
        let mut command = Command::new(program);
        command.args(arguments).env("PGHOST", postgres_host).env("PGPORT", postgres_port);
        command.env("PGUSER", postgres_user).env("PGPASSWORD", postgres_password).env("PGDATABASE", &self.name);
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("`{}`: {error}", program.display()))
    }

    /// Runs real Flyway with a folder of migrations, as a pipeline does.
    pub fn flyway(&self, command: &str, folder: &Path) -> Output {
        self.flyway_with(command, folder, &[("account", "acc-1")])
    }

    /// The same with these placeholders.
    pub fn flyway_with(&self, command: &str, folder: &Path, placeholders: &[(&str, &str)]) -> Output {
        let Outputs { postgres_host, postgres_port, postgres_user, postgres_password, .. } = self.outputs;
        // TOML, because a placeholder's value may hold line ends.
        let quoted = |text: &str| json!(text).to_string();
        let mut settings = format!(
            "[flyway]\nlocations = [{}]\n[environments.default]\nurl = {}\nuser = {}\npassword = {}\n[flyway.placeholders]\n",
            quoted(&format!("filesystem:{}", folder.display())),
            quoted(&format!("jdbc:postgresql://{postgres_host}:{postgres_port}/{}", self.name)),
            quoted(postgres_user),
            quoted(postgres_password),
        );
        for (name, value) in placeholders {
            settings.extend([quoted(name), " = ".to_owned(), quoted(value), "\n".to_owned()]);
        }
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(settings.as_bytes()).unwrap();
        Command::new(tool("flyway", "flyway"))
            .arg(format!("-configFiles={}", file.path().display()))
            .args(["-skipCheckForUpdate", command])
            .env("JAVA_ARGS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("`flyway`: {error}"))
    }
}

/// Gives a commit these migrations of a database, and the snapshot of the schema that real Flyway makes of them.
pub fn add_migrations(aws: &Instance, commit: &mut Commit, database: &str, migrations: &[(&str, &str)]) {
    add_files(commit, database, migrations, snapshot_of(aws, migrations));
}

/// The snapshot of the schema that real Flyway makes of these migrations.
#[must_use]
pub fn snapshot_of(aws: &Instance, migrations: &[(impl AsRef<Path>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let dev = Database::scratch(aws);
    let migrated = dev.flyway("migrate", folder_of(migrations).path());
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stdout));
    let snapshot = dev.dump();
    dev.drop();
    snapshot
}

/// Gives a commit these migrations of a database, and this snapshot.
pub fn add_files(commit: &mut Commit, database: &str, migrations: &[(&str, &str)], snapshot: Vec<u8>) {
    let schema = format!("modules/{MODULE}/schema/{database}");
    commit.objects.retain(|path, _| !matches!(path, ArtefactPath::Migration(..)));
    for (file, sql) in migrations {
        commit.objects.insert(path(&format!("{schema}/migrations/{file}")), sql.as_bytes().to_vec());
    }
    commit.objects.insert(path(&format!("{schema}-schema.sql")), snapshot);
    commit.list();
}

/// A folder with these migrations.
#[must_use]
pub fn folder_of(migrations: &[(impl AsRef<Path>, impl AsRef<[u8]>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, sql) in migrations {
        let file = folder.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, sql).unwrap();
    }
    folder
}

/// A program as the set-up has installed it.
fn tool(folder: &str, program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local").join(folder).join(program)
}

/// What a program said, where it succeeded or on its way to failing.
fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
