//! The strict reader of a `flyway.toml`.

use toml::{Table, Value};

use super::{
    MAX_BYTES, Settings, is_identifier,
    names::{self, Treatment},
};

/// The default name of an environment (Flyway documentation, "Environments").
const DEFAULT_ENVIRONMENT: &str = "default";

/// The most placeholders of a file.
const MAX_PLACEHOLDERS: usize = 1000;

/// The patterns of `ignoreMigrationPatterns` that let nothing pass which the gate's own look at the history would not
/// refuse or find right.
const HARMLESS_PATTERNS: [&str; 4] = ["*:pending", "versioned:pending", "repeatable:pending", "*:future"];

/// What the file sets, or every reason why it is refused.
pub(super) fn settings(bytes: &[u8]) -> Result<Settings, Vec<String>> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(vec![format!("{} bytes are more than the {MAX_BYTES} allowed", bytes.len())]);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| vec!["it is not UTF-8".to_owned()])?;
    let file: Table = text.parse().map_err(|error: toml::de::Error| {
        // The parser's own text quotes the line, which may hold a secret.
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
        vec![format!("it is not TOML: {} in line {line}", error.message())]
    })?;
    let mut reader = Reader::default();
    reader.file(&file);
    if reader.reasons.is_empty() { Ok(reader.settings) } else { Err(reader.reasons) }
}

#[derive(Default)]
struct Reader {
    settings: Settings,
    reasons: Vec<String>,
}

impl Reader {
    fn refuse(&mut self, name: &str, why: impl std::fmt::Display) {
        self.reasons.push(format!("`{name}`: {why}"));
    }

    fn file(&mut self, file: &Table) {
        let mut environment = DEFAULT_ENVIRONMENT.to_owned();
        for (name, value) in file {
            match (name.as_str(), value) {
                ("flyway", Value::Table(table)) => {
                    if let Some(name) = table.get("environment").and_then(Value::as_str) {
                        name.clone_into(&mut environment);
                    }
                    self.flyway(table);
                }
                ("environments", Value::Table(_)) | ("id" | "name" | "databaseType", Value::String(_)) => {}
                ("flyway" | "environments", _) => self.refuse(name, "it is not a table"),
                _ => self.refuse(
                    name,
                    "Flyway's settings lie below `[flyway]`, and `schemas` below `[environments.default]`: what lies \
                     elsewhere it passes over in silence or is not about migrations",
                ),
            }
        }
        for (name, value) in file.get("environments").and_then(Value::as_table).into_iter().flatten() {
            let place = format!("environments.{name}");
            match value {
                Value::Table(table) if *name == environment => self.environment(&place, table),
                Value::Table(_) => self.refuse(
                    &place,
                    format!(
                        "the file is the same in every stage, and `{environment}` is the environment that it uses: take \
                         this one out, or keep it in a file that is not committed"
                    ),
                ),
                _ => self.refuse(&place, "it is not a table"),
            }
        }
    }

    fn environment(&mut self, place: &str, table: &Table) {
        for (name, value) in table {
            let full = format!("{place}.{name}");
            if name != "schemas" {
                self.other(&full, value, names::of_environment(name));
                continue;
            }
            let Some(schemas) = self.texts(&full, value) else { continue };
            for schema in &schemas {
                self.identifier(&full, schema);
            }
            if !schemas.is_empty() {
                self.settings.changed.insert("schemas".to_owned());
            }
            self.settings.schemas = schemas;
        }
    }

    fn flyway(&mut self, table: &Table) {
        for (name, value) in table {
            let full = format!("flyway.{name}");
            match name.as_str() {
                "environment" => drop(self.text(&full, value)),
                "locations" => self.locations(&full, value),
                "placeholders" => self.placeholders(&full, value),
                "postgresql" => self.postgresql(&full, value),
                "sqlMigrationSuffixes" => self.suffixes(&full, value),
                "ignoreMigrationPatterns" => self.patterns(&full, value),
                "defaultSchema" | "table" => {
                    let Some(text) = self.text(&full, value) else { continue };
                    self.identifier(&full, &text);
                    self.changed_if(name, name != "table" || text != super::DEFAULT_TABLE);
                    let field =
                        if name == "table" { &mut self.settings.table } else { &mut self.settings.default_schema };
                    *field = Some(text);
                }
                "baselineVersion" => self.baseline_version(&full, value),
                "baselineDescription" => {
                    let Some(text) = self.text(&full, value) else { continue };
                    self.changed_if(name, true);
                    self.settings.baseline_description = Some(text);
                }
                _ => match Self::flag(&mut self.settings, name) {
                    Some(_) => self.boolean(&full, name, value),
                    None => self.other(&full, value, names::of_flyway(name)),
                },
            }
        }
    }

    /// The setting of a name that is true or false.
    fn flag<'a>(settings: &'a mut Settings, name: &str) -> Option<&'a mut bool> {
        Some(match name {
            "createSchemas" => &mut settings.create_schemas,
            "placeholderReplacement" => &mut settings.placeholder_replacement,
            "outOfOrder" => &mut settings.out_of_order,
            "mixed" => &mut settings.mixed,
            "group" => &mut settings.group,
            "executeInTransaction" => &mut settings.execute_in_transaction,
            "baselineOnMigrate" => &mut settings.baseline_on_migrate,
            _ => return None,
        })
    }

    fn boolean(&mut self, full: &str, name: &str, value: &Value) {
        let Value::Boolean(value) = value else {
            return self.refuse(full, "it is neither `true` nor `false`");
        };
        if let Some(flag) = Self::flag(&mut self.settings, name) {
            let changed = *flag != *value;
            *flag = *value;
            self.changed_if(name, changed);
        }
    }

    fn changed_if(&mut self, name: &str, changed: bool) {
        if changed {
            self.settings.changed.insert(name.to_owned());
        }
    }

    /// A setting that is not used.
    fn other(&mut self, full: &str, value: &Value, treatment: Treatment) {
        match treatment {
            Treatment::Inert if matches!(value, Value::Table(_)) => {
                self.refuse(full, "it is a table, and Flyway's is none");
            }
            Treatment::Inert => {}
            Treatment::Only(default, why) => {
                let is_default = match value {
                    Value::String(text) => text == default || (full.ends_with(".encoding") && is_utf8(text)),
                    Value::Boolean(value) => value.to_string() == default,
                    _ => false,
                };
                if !is_default {
                    self.refuse(full, format!("only `{default}` is taken, because {why}"));
                }
            }
            Treatment::Refused(why) => self.refuse(full, why),
        }
    }

    /// A text that means the same wherever it is read.
    fn text(&mut self, full: &str, value: &Value) -> Option<String> {
        let Value::String(text) = value else {
            self.refuse(full, "it is not a text");
            return None;
        };
        let why = if text.contains("${") {
            "Flyway would put something of its surroundings in the place of `${…}`"
        } else if text.chars().any(char::is_control) {
            "it holds a control character"
        } else if text.trim() != text || text.is_empty() {
            "it is empty, or begins or ends with a space"
        } else {
            return Some(text.clone());
        };
        self.refuse(full, format!("{why}: write its value out"));
        None
    }

    fn texts(&mut self, full: &str, value: &Value) -> Option<Vec<String>> {
        let Value::Array(list) = value else {
            self.refuse(full, "it is not a list of texts, such as `[\"payments\"]`");
            return None;
        };
        list.iter().map(|it| self.text(full, it)).collect()
    }

    fn identifier(&mut self, full: &str, text: &str) {
        if !is_identifier(text) {
            self.refuse(full, format!("`{text}` is no name that PostgreSQL and Flyway take alike"));
        }
    }

    fn locations(&mut self, full: &str, value: &Value) {
        let Some(locations) = self.texts(full, value) else { return };
        let folder = match locations.as_slice() {
            [one] => one.strip_prefix("filesystem:").filter(|it| !it.is_empty() && !it.contains(['*', '?', ','])),
            _ => None,
        };
        match folder {
            Some(folder) => self.settings.location = Some(folder.to_owned()),
            None => self.refuse(
                full,
                "the store has one folder of migrations for a database: name it as `[\"filesystem:FOLDER\"]`, without \
                 patterns",
            ),
        }
    }

    fn placeholders(&mut self, full: &str, value: &Value) {
        let Value::Table(table) = value else { return self.refuse(full, "it is not a table") };
        if table.len() > MAX_PLACEHOLDERS {
            return self.refuse(full, format!("there are more than {MAX_PLACEHOLDERS}"));
        }
        let mut seen = std::collections::BTreeSet::new();
        for (name, value) in table {
            let full = format!("{full}.{name}");
            if name.is_empty() || name.contains(['.', '=', '}', ':']) || name.chars().any(char::is_whitespace) {
                self.refuse(&full, "its name is none that Flyway can be told");
            } else if !seen.insert(name.to_lowercase()) {
                self.refuse(&full, "another placeholder has the same name, and case does not count");
            } else if matches!(value, Value::String(text) if text.is_empty()) {
                self.refuse(&full, "its value is empty");
            } else if let Some(value) = self.text(&full, value) {
                self.settings.placeholders.insert(name.clone(), value);
                self.changed_if("placeholders", true);
            }
        }
    }

    fn postgresql(&mut self, full: &str, value: &Value) {
        let known = |table: &Table, name: &str| table.keys().all(|it| it == name);
        let is_lock = match value {
            Value::Table(outer) if known(outer, "transactional") => match outer.get("transactional") {
                None => true,
                Some(Value::Table(inner)) => {
                    known(inner, "lock") && inner.values().all(|it| matches!(it, Value::Boolean(_)))
                }
                Some(_) => false,
            },
            _ => false,
        };
        if !is_lock {
            self.refuse(full, "only `transactional.lock` is known in it; the gatekeeper's own lock is a session's");
        }
    }

    fn suffixes(&mut self, full: &str, value: &Value) {
        if !matches!(value, Value::Array(list) if matches!(list.as_slice(), [Value::String(one)] if one == ".sql")) {
            self.refuse(
                full,
                "only `[\".sql\"]` is taken, because the gate reads no other files: take it out and rename the files",
            );
        }
    }

    fn patterns(&mut self, full: &str, value: &Value) {
        let Some(patterns) = self.texts(full, value) else { return };
        for pattern in patterns.iter().filter(|it| !HARMLESS_PATTERNS.contains(&it.as_str())) {
            self.refuse(
                full,
                format!(
                    "with `{pattern}` a history passes that is not the commit's, and the gatekeeper holds each of its rows \
                     against a file: only `*:pending` and `*:future` are taken"
                ),
            );
        }
    }

    fn baseline_version(&mut self, full: &str, value: &Value) {
        let version = match value {
            Value::Integer(number) => number.to_string(),
            other => match self.text(full, other) {
                Some(text) => text,
                None => return,
            },
        };
        if Settings::is_version(&version) {
            self.changed_if("baselineVersion", version != "1");
            self.settings.baseline_version = Some(version);
        } else {
            self.refuse(full, format!("`{version}` is no version: write numbers with dots between them"));
        }
    }
}

/// Whether Java calls UTF-8 so.
pub(super) fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("UTF-8") || charset.eq_ignore_ascii_case("UTF8")
}
