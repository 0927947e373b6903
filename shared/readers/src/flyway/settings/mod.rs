//! What a database's `flyway.toml` says of what runs and where its history lies.
//!
//! The file is the same in dev, where CI's `flyway migrate` obeys it, and in every stage, where the gatekeeper does. So a
//! setting is either used alike by both or refused by name: what is read here is a list of what may be said, not of what
//! may not. Names and places are those of Flyway 11.8.2 (its `FlywayModel` and `EnvironmentModel`; Flyway documentation,
//! "Configuration"): `schemas` is an environment's, nearly all others are `[flyway]`'s.

mod names;
mod read;
mod script;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::finding::{Code, Finding, plain};
use serde::{Deserialize, Serialize};

pub use self::script::{SCRIPT_MAX_BYTES, read_script, script_in_transaction};
use super::{history::HistoryRow, migration_name::Version};

/// The largest `flyway.toml` that is read, in bytes.
pub const MAX_BYTES: u64 = 256 * 1024;

/// The table that Flyway keeps its history in, unless it is told another.
pub const DEFAULT_TABLE: &str = "flyway_schema_history";

/// What a configuration sets; without one, Flyway's own defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of Flyway's own")]
pub struct Settings {
    /// The schemas that Flyway manages, the first of which is the default one unless `default_schema` is told.
    pub schemas: Vec<String>,
    /// The schema of the history and of what migrations name without a schema.
    pub default_schema: Option<String>,
    /// The history's table.
    pub table: Option<String>,
    /// Whether Flyway creates schemas that are not there.
    pub create_schemas: bool,
    /// What stands for placeholders. A stage's own values go before these.
    pub placeholders: BTreeMap<String, String>,
    /// Whether placeholders are replaced at all.
    pub placeholder_replacement: bool,
    /// Whether a version runs although a higher one has.
    pub out_of_order: bool,
    /// Whether statements that can't run in a transaction may stand beside others in one file.
    pub mixed: bool,
    /// Whether everything that is pending runs in one transaction.
    pub group: bool,
    /// Whether a file runs in a transaction, unless its own `.conf` says otherwise.
    pub execute_in_transaction: bool,
    /// Whether a schema that is not empty and has no history is taken for a baseline.
    pub baseline_on_migrate: bool,
    /// The version that such a baseline stands for.
    pub baseline_version: Option<String>,
    /// What its row in the history says.
    pub baseline_description: Option<String>,
    /// Where the migrations lie, as `locations` says: a folder. The gatekeeper takes the commit's own.
    pub location: Option<String>,
    /// The names of the settings whose value is not Flyway's own default, `locations` aside.
    pub changed: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schemas: Vec::new(),
            default_schema: None,
            table: None,
            create_schemas: true,
            placeholders: BTreeMap::new(),
            placeholder_replacement: true,
            out_of_order: false,
            mixed: false,
            group: false,
            execute_in_transaction: true,
            baseline_on_migrate: false,
            baseline_version: None,
            baseline_description: None,
            location: None,
            changed: BTreeSet::new(),
        }
    }
}

/// A table, by the names as PostgreSQL holds them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

impl std::str::FromStr for TableName {
    type Err = String;

    /// Reads `schema.table`, the names as PostgreSQL holds them and without quotes.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some((schema, table)) if is_identifier(schema) && is_identifier(table) && !table.contains('.') => {
                Ok(Self { schema: schema.to_owned(), table: table.to_owned() })
            }
            _ => Err(format!("`{text}` is not `schema.table`")),
        }
    }
}

/// Whether PostgreSQL can hold a name as it is, and Flyway can be told it: not empty, no longer than 63 bytes.
fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.trim() == text
        && !text.contains([',', '"'])
        && !text.chars().any(char::is_control)
}

impl Settings {
    /// Reads a `flyway.toml`, about which findings are told as `subject`.
    ///
    /// # Errors
    /// Every setting that is not used alike in dev and in the stages, each by its name.
    pub fn read(bytes: &[u8], subject: &str) -> Result<Self, Vec<Finding>> {
        read::settings(bytes).map_err(|reasons| {
            let finding = |reason: String| Finding::new(Code::FlywaySettingUnsupported, subject, plain(&reason));
            reasons.into_iter().map(finding).collect()
        })
    }

    /// The schema of the history; `None` where it is the connection's own.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.default_schema.as_deref().or_else(|| self.schemas.first().map(String::as_str))
    }

    /// The history's table, without its schema.
    #[must_use]
    pub fn table(&self) -> &str {
        self.table.as_deref().unwrap_or(DEFAULT_TABLE)
    }

    /// The history's table as people are told of it: with its schema where one is configured.
    #[must_use]
    pub fn history_name(&self) -> String {
        match self.schema() {
            Some(schema) => format!("{schema}.{}", self.table()),
            None => self.table().to_owned(),
        }
    }

    /// The history's table, where `default_schema` is the connection's own schema.
    #[must_use]
    pub fn history_in(&self, default_schema: &str) -> TableName {
        TableName { schema: self.schema().unwrap_or(default_schema).to_owned(), table: self.table().to_owned() }
    }

    /// Every schema that Flyway looks at; empty where it is only the connection's own.
    #[must_use]
    pub fn managed_schemas(&self) -> BTreeSet<&str> {
        self.schemas.iter().map(String::as_str).chain(self.default_schema.as_deref()).collect()
    }

    /// The same with the placeholders of a stage or of a caller, which go before the file's own. Flyway compares their
    /// names without regard to case.
    #[must_use]
    pub fn with_placeholders(mut self, own: &BTreeMap<String, String>) -> Self {
        let named = |name: &String| own.keys().any(|other| other.to_lowercase() == name.to_lowercase());
        self.placeholders.retain(|name, _| !named(name));
        self.placeholders.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        self
    }

    /// The rows that a history will begin with where `baseline_on_migrate` finds a schema that is not empty and has none.
    #[must_use]
    pub fn baseline(&self) -> Option<HistoryRow> {
        self.baseline_on_migrate.then(|| HistoryRow {
            installed_rank: 1,
            version: Some(self.baseline_version.clone().unwrap_or_else(|| "1".to_owned())),
            description: self.baseline_description.clone().unwrap_or_default(),
            kind: "BASELINE".to_owned(),
            script: "<< Flyway Baseline >>".to_owned(),
            checksum: None,
            installed_by: String::new(),
            installed_on: String::new(),
            execution_time: 0,
            success: true,
        })
    }

    /// The arguments by which Flyway is told of all of it but placeholders. They are no configuration file's lines, because
    /// there Flyway would replace `${…}`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut say = |name: &str, value: &str| arguments.push(format!("-{name}={value}"));
        if !self.schemas.is_empty() {
            say("schemas", &self.schemas.join(","));
        }
        for (name, value) in [
            ("defaultSchema", &self.default_schema),
            ("table", &self.table),
            ("baselineVersion", &self.baseline_version),
            ("baselineDescription", &self.baseline_description),
        ] {
            if let Some(value) = value {
                say(name, value);
            }
        }
        for (name, value) in [
            ("createSchemas", self.create_schemas),
            ("placeholderReplacement", self.placeholder_replacement),
            ("outOfOrder", self.out_of_order),
            ("mixed", self.mixed),
            ("group", self.group),
            ("executeInTransaction", self.execute_in_transaction),
            ("baselineOnMigrate", self.baseline_on_migrate),
        ] {
            say(name, if value { "true" } else { "false" });
        }
        arguments
    }

    /// Whether the configuration says nothing but what Flyway does without one, so that a commit may lack it.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.changed.is_empty()
    }

    fn is_version(text: &str) -> bool {
        text.parse::<Version>().is_ok()
    }
}
