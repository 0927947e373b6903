//! A stage for one test: a database of its own on the real PostgreSQL, and promotions to it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use gatekeeper_aws::{lambda::Invocation, scripted, scripted::Answer as Scripted};
use gatekeeper_database::{Database, Limits, Migrations, Target, Tools};
use gatekeeper_model::{
    ids::Sha256,
    telemetry::{Logger, wall_clock},
};
use gatekeeper_promotion::{
    database_check::{DatabaseCheckAnswer, ParityAnswer},
    facts::DatabaseFacts,
    step::{Report, StepAnswer},
};
use gatekeeper_readers::flyway::{checksum, settings::Settings};
use gatekeeper_store::memory::Memory;
use migrate_database::{Answer, Step};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) type Files<'a> = &'a [(&'a str, &'a str)];

/// Where the real PostgreSQL is, as the set-up tells.
#[derive(Deserialize)]
pub(crate) struct Server {
    #[serde(rename = "PostgresHost")]
    host: String,
    #[serde(rename = "PostgresPort")]
    port: String,
    #[serde(rename = "PostgresUser")]
    user: String,
    #[serde(rename = "PostgresPassword")]
    pub(crate) password: String,
    #[serde(rename = "PostgresCaFile")]
    ca_file: PathBuf,
}

/// Flyway and PostgreSQL's programs as the set-up has installed them, then what they need of the machine.
fn installed(path: &str) -> OsString {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local");
    let folders = [local.join("flyway"), local.join("postgresql")].into_iter();
    std::env::join_paths(folders.chain(std::env::split_paths(path))).unwrap()
}

/// As it stands in a URL.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, b| {
        if b.is_ascii_alphanumeric() { text + &char::from(b).to_string() } else { text + &format!("%{b:02X}") }
    })
}

#[expect(clippy::disallowed_methods, reason = "the tests' set-up tells by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Server {
    pub(crate) fn find() -> Self {
        let path = variable("GATEKEEPER_OUTPUTS")
            .expect("GATEKEEPER_OUTPUTS is not set: these tests need a PostgreSQL, run them by `make test-e2e`");
        let outputs = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_slice(&outputs).unwrap_or_else(|error| panic!("{path} tells of no PostgreSQL: {error}"))
    }

    pub(crate) fn tools(&self) -> Tools {
        Tools {
            path: installed(&variable("PATH").unwrap()),
            java_home: variable("JAVA_HOME").map(Into::into),
            ca_file: self.ca_file.clone(),
        }
    }

    /// A secret as Neon gives it.
    pub(crate) fn secret(&self, database: &str) -> String {
        self.secret_with(database, &self.password)
    }

    pub(crate) fn secret_with(&self, database: &str, password: &str) -> String {
        let password = encoded(password);
        let Self { host, port, user, .. } = self;
        json!({"url": format!("postgresql://{user}:{password}@{host}:{port}/{database}?sslmode=require")}).to_string()
    }

    /// A secret as Amazon RDS manages it, which tells no place, and the place.
    pub(crate) fn managed(&self, database: &str) -> (String, Value) {
        let Self { host, port, user, password, .. } = self;
        let port: u16 = port.parse().unwrap();
        (
            json!({"username": user, "password": password}).to_string(),
            json!({"host": host, "port": port, "dbname": database}),
        )
    }

    pub(crate) fn database(&self, name: &str, application: &str) -> Database {
        Database::new(self.tools(), Target::from_secret(&self.secret(name)).unwrap(), application)
    }

    /// The URL of one of its databases for Flyway.
    pub(crate) fn jdbc(&self, database: &str) -> String {
        format!("jdbc:postgresql://{}:{}/{database}", self.host, self.port)
    }

    /// The user of its databases.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Runs SQL as a person would, and gives its rows.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let passfile = folder.path().join("passfile");
        let password = self.password.replace('\\', "\\\\").replace(':', "\\:");
        std::fs::write(&passfile, format!("*:*:*:*:{password}\n")).unwrap();
        std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let Self { host, port, user, .. } = self;
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", user])
            .args(["-d", database, "-c", sql])
            .env("PATH", self.tools().path)
            .env("PGPASSFILE", &passfile)
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A stage and its one database, which goes with it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) database: String,
    dev: String,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for database in [&self.database, &self.dev] {
            self.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        }
    }
}

/// A promotion to the stage: what it is asked with.
pub(crate) struct Promotion {
    pub(crate) step: Step<Memory>,
    check: Value,
}

/// What is particular about a promotion.
#[derive(Clone)]
pub(crate) struct With<'a> {
    pub(crate) parity: &'a str,
    pub(crate) rollback: bool,
    pub(crate) secret: Option<String>,
    pub(crate) history_before: Value,
    pub(crate) placeholders: Value,
    /// The commit's `flyway.toml`.
    pub(crate) configuration: Option<&'a str>,
    /// The configurations of single scripts, by the script.
    pub(crate) scripts: Files<'a>,
    pub(crate) other_histories: Value,
    /// What else the stage's entry tells of the database.
    pub(crate) entry: Value,
    /// Whether the SQL of what is pending is wanted.
    pub(crate) sql: bool,
}

impl Default for With<'_> {
    fn default() -> Self {
        Self {
            parity: "required",
            rollback: false,
            secret: None,
            history_before: json!({}),
            placeholders: json!({}),
            configuration: None,
            scripts: &[],
            other_histories: json!([]),
            entry: json!({}),
            sql: false,
        }
    }
}

impl Stage {
    /// An empty database; `name` is the test's.
    pub(crate) fn new(name: &str) -> Self {
        let server = Server::find();
        let stage = Self {
            server,
            database: format!("gk_{name}_{}", std::process::id()),
            dev: format!("gk_{name}_dev_{}", std::process::id()),
        };
        for database in [&stage.database, &stage.dev] {
            stage.server.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0"));
        }
        stage
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql)
    }

    /// The snapshot that CI would have taken in dev after these migrations, which may grow from call to call.
    pub(crate) async fn tested(&self, files: Files<'_>) -> Vec<u8> {
        let folder = folder_of(files);
        let dev = self.server.database(&self.dev, "ci");
        let migrations = Migrations { folder: folder.path().to_owned(), settings: Settings::default() };
        dev.migrate(&migrations).await.unwrap();
        dev.dump_schema().await.unwrap().bytes
    }

    /// A snapshot of a schema that no commit of the test has: of an empty one.
    pub(crate) async fn untested(&self) -> Vec<u8> {
        self.server.database(&self.dev, "ci").dump_schema().await.unwrap().bytes
    }

    /// Whether somebody holds an advisory lock here: Flyway's is one.
    pub(crate) fn is_locked(&self) -> bool {
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database \
                   WHERE datname = current_database())";
        self.sql(sql) != "0"
    }

    /// A promotion of a commit that has these files and was tested with that schema.
    pub(crate) fn promotion(&self, files: Files<'_>, tested: &[u8], with: With<'_>) -> Promotion {
        let artefacts = Memory::default();
        let pinned = |key: &str, bytes: &[u8]| {
            let version = artefacts.upload(key, bytes, &[]);
            json!({"key": key, "version_id": version, "sha256": Sha256::of(bytes), "size": bytes.len()})
        };
        let migrations: Vec<_> = files
            .iter()
            .map(|(file, text)| {
                let mut migration =
                    pinned(&format!("modules/MOD-012/schema/payments/migrations/{file}"), text.as_bytes());
                let fields = migration.as_object_mut().unwrap();
                fields.extend([
                    ("module".to_owned(), "MOD-012".into()),
                    ("database".to_owned(), "payments".into()),
                    ("file".to_owned(), (*file).into()),
                ]);
                migration
            })
            .collect();
        let checksums: BTreeMap<_, _> = files
            .iter()
            .map(|(file, text)| (*file, checksum::scan(text.as_bytes()).unwrap().unwrap().checksum))
            .collect();
        let configuration =
            with.configuration.map(|text| pinned("modules/MOD-012/schema/payments/flyway.toml", text.as_bytes()));
        let scripts: Vec<_> = with
            .scripts
            .iter()
            .map(|(script, text)| {
                let key = format!("modules/MOD-012/schema/payments/migrations/{script}.conf");
                let mut file = pinned(&key, text.as_bytes());
                file["module"] = "MOD-012".into();
                file["script"] = (*script).into();
                file
            })
            .collect();
        let mut databases = json!([{
            "configuration": configuration, "script_configurations": scripts, "other_histories": with.other_histories,
            "database": "payments", "modules": ["MOD-012"], "secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:uat/payments",
            "schema_parity": with.parity, "placeholders": with.placeholders, "checksums": checksums,
            "snapshot": pinned("modules/MOD-012/schema/payments-schema.sql", tested),
        }]);
        databases[0].as_object_mut().unwrap().extend(with.entry.as_object().unwrap().clone());
        let plan =
            json!({"stacks": [], "functions": [], "migrations": migrations, "databases": databases, "smoke": []});
        let record = json!({
            "schema_version": 1, "promotion_id": "01JZ0000000000000000000000", "repo": "bank-payments",
            "commit_sha": "a".repeat(40), "stage": "uat", "requested_by": "jane@bank.example", "reason": "release",
            "rollback": with.rollback, "status": "running", "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z",
            "ended_at": null, "verdict_version_id": "v", "manifest_version_id": "v", "stages_config_version_id": "v",
            "role_arn": null, "stack_role_arn": null, "steps": [], "live": [], "plan": plan,
            "way_back": {"commit_sha": "b".repeat(40), "promotion_id": "01JZ0000000000000000000001", "plan": plan},
        });
        let records = Memory::default();
        let key = "promotions/uat/bank-payments/01JZ0000000000000000000000.json";
        records.upload(key, record.to_string().as_bytes(), &[]);
        let check = json!({"check": {
            "stage": "uat", "repo": "bank-payments", "commit_sha": "a".repeat(40), "role_arn": null,
            "rollback": with.rollback, "databases": databases, "migrations": migrations,
            "history_before": with.history_before, "sql": with.sql,
        }});
        let secret = with.secret.unwrap_or_else(|| self.server.secret(&self.database));
        let config = scripted::config(move |request| {
            assert!(request.body.contains("secret:uat/payments"), "{request:?}");
            Scripted::json(&json!({"ARN": "arn", "Name": "uat/payments", "VersionId": "1", "SecretString": secret}))
        });
        Promotion { step: Step { artefacts, records, config, tools: self.server.tools(), clock: wall_clock }, check }
    }
}

impl Promotion {
    pub(crate) async fn check(&self) -> DatabaseCheckAnswer {
        let invocation = Invocation { log: Logger::silent(), deadline: wall_clock() + Duration::from_mins(2) };
        match self.step.handle(self.check.clone(), &invocation).await.unwrap() {
            Answer::Check(answer) => answer,
            other => panic!("{other:#?}"),
        }
    }

    /// What is answered between promotions.
    pub(crate) async fn parity(&self) -> ParityAnswer {
        let invocation = Invocation { log: Logger::silent(), deadline: wall_clock() + Duration::from_mins(2) };
        let of = |name: &str| self.check["check"][name].clone();
        let question = json!({"parity": {"stage": of("stage"), "repo": of("repo"), "commit_sha": of("commit_sha"),
            "role_arn": null, "databases": of("databases")}});
        match self.step.handle(question, &invocation).await.unwrap() {
            Answer::Parity(answer) => answer,
            other => panic!("{other:#?}"),
        }
    }

    /// What the step answers when it has `time` for it.
    pub(crate) async fn ask(&self, direction: &str, time: Duration, log: Logger) -> StepAnswer<DatabaseFacts> {
        let promotion = json!({"stage": "uat", "repo": "bank-payments", "promotion_id": "01JZ0000000000000000000000"});
        let input = json!({"promotion": promotion, "direction": direction, "progress": []});
        let invocation = Invocation { log, deadline: wall_clock() + time };
        match self.step.handle(input, &invocation).await.unwrap() {
            Answer::Step(answer) => answer,
            other => panic!("{other:#?}"),
        }
    }

    /// The step's report on the one database.
    pub(crate) async fn go(&self) -> Report<DatabaseFacts> {
        self.ask("forward", Duration::from_mins(2), Logger::silent()).await.progress.remove(0)
    }
}

pub(crate) fn folder_of(files: Files<'_>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// The processes below this one, with their command lines and environments.
pub(crate) fn descendants() -> Vec<(PathBuf, String)> {
    let parent_of = |process: &Path| {
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok())
    };
    let processes: BTreeMap<u32, PathBuf> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path))
        })
        .collect();
    let own = std::process::id();
    let below = |mut id: u32| {
        while let Some(parent) = processes.get(&id).and_then(|path| parent_of(path)) {
            if parent == own {
                return true;
            }
            id = parent;
        }
        false
    };
    let text = |path: &Path, name| {
        String::from_utf8_lossy(&std::fs::read(path.join(name)).unwrap_or_default()).replace('\0', " ")
    };
    let told = |path: &PathBuf| (path.clone(), format!("{} {}", text(path, "cmdline"), text(path, "environ")));
    processes.iter().filter(|(id, _)| below(**id)).map(|(_, path)| told(path)).collect()
}

/// The same database within other limits.
pub(crate) fn within(database: Database, other_flyway: Duration) -> Database {
    database.within(Limits { other_flyway, ..Limits::default() })
}
