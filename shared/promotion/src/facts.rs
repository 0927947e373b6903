//! What the steps tell of what they did: one type for each step, and [`StoredFacts`] where they are stored.
//!
//! They are stored in promotions' records, whose `schema_version` is theirs too: a fact may be added to a type, and
//! none changes its meaning. What a type doesn't know is kept as it was told. A fact that is told and can't be read
//! stays what it is as well, and is an error to whoever asks for it: it is never taken for one that isn't told.

use std::collections::BTreeSet;

use gatekeeper_model::{
    finding::Finding,
    ids::{ImageDigest, Sha256},
};
use gatekeeper_readers::flyway::history::HistoryRow;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::Error as _};
use serde_json::{Map, Number, Value};

use crate::{
    record::{PinnedRecord, SchemaComparison},
    replacement::ResourcePath,
    runs::{HandedIn, RunProof},
    step::Step,
};

/// What one step tells of one thing that it works on.
pub trait StepFacts: Clone + Default + PartialEq + Serialize + DeserializeOwned {
    /// The step.
    const STEP: Step;
}

/// What `apply-stack` tells of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackFacts {
    /// What of `accept_replacement` the change set needed.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub accepted: Told<BTreeSet<ResourcePath>>,
    /// The change set that was executed, by its ARN.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub change_set: Told<String>,
    /// How many bundles lay already where the template takes its code from.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub code_already_there: Told<usize>,
    /// How many bundles were copied there.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub code_copied: Told<usize>,
    /// Whether this promotion has executed its change set.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub executed: Told<bool>,
    /// The resources that hold data and that the change set made, by their logical ids: the way back takes them away.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub made: Told<BTreeSet<Vec<String>>>,
    /// Why the stack failed, in the resources' own words.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub reasons: Told<Vec<String>>,
    /// Why the change set was not executed.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub refused: Told<Vec<Finding>>,
    /// The stack's ARN.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub stack_id: Told<String>,
    /// The SHA-256 of the template that it is made from.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub template_sha256: Told<Sha256>,
    /// What is told beside.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What `deploy-function` tells of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionFacts {
    /// The SHA-256 of the code that it runs now.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub code_sha256: Told<Sha256>,
    /// Its ARN, as far as Lambda tells one.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub function_arn: Told<Option<String>>,
    /// Its name in the stage.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub function_name: Told<String>,
    /// The digest of the container image that it runs, where it runs one.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub image_digest: Told<ImageDigest>,
    /// The SHA-256 of the code that it ran when the step first looked, as far as Lambda told it.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub previous_code_sha256: Told<Option<Sha256>>,
    /// The version that holds the code.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub version: Told<String>,
    /// What is told beside.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What `migrate-database` tells of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseFacts {
    /// The SHA-256 of the `flyway.toml` that Flyway was configured by.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub configuration_sha256: Told<Sha256>,
    /// What Flyway did; not told where it wasn't started.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub flyway: Told<FlywayRun>,
    /// The newest rows of the schema history, by which the next promotion sees a rewrite.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub history: Told<Vec<HistoryRow>>,
    /// How many rows it has.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub history_rows: Told<usize>,
    /// Where it lies, as `schema.table`.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub history_table: Told<String>,
    /// The version of the `pg_dump` that read the schema.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub pg_dump_version: Told<String>,
    /// How the schema compares with the tested one.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub schema_parity: Told<SchemaComparison>,
    /// The version of the server.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub server_version: Told<String>,
    /// What is told beside.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a run of Flyway did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FlywayRun {
    /// It migrated.
    Migrated(FlywayMigrated),
    /// It failed, or was ended.
    Failed(FlywayFailed),
}

/// A run of Flyway that migrated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlywayMigrated {
    /// The version of the schema before; `None` where it had none.
    pub initial_schema_version: Option<String>,
    /// The newest migrations that ran, in order.
    pub migrations: Vec<RanMigration>,
    /// How many ran.
    pub migrations_executed: usize,
    /// The version of the schema now; `None` where nothing was pending.
    pub target_schema_version: Option<String>,
    /// How long all of it took.
    pub total_milliseconds: u64,
    /// The version of Flyway.
    pub version: String,
    /// Its warnings.
    pub warnings: Vec<String>,
}

/// A run of Flyway that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlywayFailed {
    /// The migration that failed, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedMigration>,
    /// The newest migrations that ran before and stay, in order.
    pub migrations: Vec<RanMigration>,
    /// How many ran.
    pub migrations_executed: usize,
    /// The version of Flyway, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A migration that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanMigration {
    /// Its description.
    pub description: String,
    /// How long it took.
    pub execution_milliseconds: Number,
    /// The file's path below the folder of migrations.
    pub file: String,
    /// Its version; empty for a repeatable one.
    pub version: String,
}

/// A migration that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMigration {
    /// The file's path below the folder of migrations, where Flyway tells.
    pub file: Option<String>,
    /// The statement's first line.
    pub line: Option<u64>,
    /// What PostgreSQL says.
    pub message: String,
    /// PostgreSQL's error code.
    pub sql_state: Option<String>,
}

/// What `judge-run` tells of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// When it was handed in.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub completed_at: Told<Timestamp>,
    /// Who handed it in, in his own words.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub completed_by: Told<String>,
    /// The record of what it came to.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub completion: Told<PinnedRecord>,
    /// Until when it may be handed in.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub expires_at: Told<Timestamp>,
    /// What was handed in, as it is stored.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub files: Told<Vec<HandedIn>>,
    /// What shows what it came to.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub proof: Told<RunProof>,
    /// Every reason why it failed.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub reasons: Told<Vec<Finding>>,
    /// What is told and doesn't count against it.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub warnings: Told<Vec<Finding>>,
    /// What is told beside.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What `smoke-test` tells of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SmokeFacts {
    /// What was answered last; `None` where nothing was.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub answered: Told<Option<Answered>>,
    /// What was asked.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub asked: Told<Asked>,
    /// How often.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub attempts: Told<u64>,
    /// How long it took in all.
    #[serde(skip_serializing_if = "Told::is_nothing")]
    pub duration_milliseconds: Told<u64>,
    /// What is told beside.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a smoke check asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Asked {
    /// A URL.
    Http {
        /// `GET`.
        method: String,
        /// The URL, as it may be shown.
        url: String,
    },
    /// A function.
    Invoke {
        /// Its name in the stage.
        function: String,
        /// The event that it got.
        payload: Value,
    },
}

/// What a smoke check was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The start of the body.
    pub body: String,
    /// What kind of body it is, where that is told.
    pub content_type: Option<String>,
    /// The error of an invoked function, where it had one.
    pub function_error: Option<String>,
    /// The status.
    pub status: u16,
}

impl StepFacts for StackFacts {
    const STEP: Step = Step::ApplyStack;
}

impl StepFacts for FunctionFacts {
    const STEP: Step = Step::DeployFunction;
}

impl StepFacts for DatabaseFacts {
    const STEP: Step = Step::MigrateDatabase;
}

impl StepFacts for RunFacts {
    const STEP: Step = Step::JudgeRun;
}

impl StepFacts for SmokeFacts {
    const STEP: Step = Step::SmokeTest;
}

/// One fact, as far as it is told. `null` is told like any other value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T>(State<T>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State<T> {
    Nothing,
    Told(T),
    /// Told with more than is known here, and as it was told.
    ToldMore(T, Value),
    /// Told in words that can't be read, and why.
    Unread(Value, String),
}

/// Why a fact that is told can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unread(String);

impl<T> Told<T> {
    /// Whether nothing is told.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self.0, State::Nothing)
    }

    /// The fact; `None` where it isn't told.
    ///
    /// # Errors
    /// [`Unread`] where it is told and can't be read.
    pub fn read(&self) -> Result<Option<&T>, Unread> {
        match &self.0 {
            State::Nothing => Ok(None),
            State::Told(told) | State::ToldMore(told, _) => Ok(Some(told)),
            State::Unread(_, why) => Err(Unread(why.clone())),
        }
    }
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(State::Nothing)
    }
}

impl<T> From<T> for Told<T> {
    fn from(told: T) -> Self {
        Self(State::Told(told))
    }
}

impl From<&str> for Told<String> {
    fn from(told: &str) -> Self {
        Self(State::Told(told.to_owned()))
    }
}

impl<T: Serialize> Serialize for Told<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            State::Nothing => Err(S::Error::custom("a fact that isn't told has no value")),
            State::Told(told) => told.serialize(serializer),
            State::ToldMore(_, as_told) | State::Unread(as_told, _) => as_told.serialize(serializer),
        }
    }
}

impl<'de, T: Serialize + DeserializeOwned> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let as_told = Value::deserialize(deserializer)?;
        Ok(Self(match T::deserialize(&as_told) {
            Ok(told) if serde_json::to_value(&told).is_ok_and(|known| known == as_told) => State::Told(told),
            Ok(told) => State::ToldMore(told, as_told),
            Err(error) => State::Unread(as_told, error.to_string()),
        }))
    }
}

/// The facts of a report as they are stored, by their names: what was told to the byte, whether it can be read or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredFacts(Map<String, Value>);

impl StoredFacts {
    /// The facts as they are stored.
    ///
    /// # Errors
    /// Where they are nothing that JSON has.
    pub fn of(facts: &impl StepFacts) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(facts)?)
    }

    /// The facts as those of a step.
    ///
    /// # Errors
    /// Where they are no step's; of a single one that can't be read, [`Told::read`] tells.
    pub fn read<F: StepFacts>(&self) -> Result<F, serde_json::Error> {
        F::deserialize(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::finding::Code;
    use serde_json::json;

    use super::*;

    /// The facts as they come out when they were read as a step's, and stored again.
    fn again<F: StepFacts>(told: &Value) -> Value {
        let stored: StoredFacts = serde_json::from_value(told.clone()).unwrap();
        let read: F = stored.read().unwrap();
        json!(StoredFacts::of(&read).unwrap())
    }

    #[test]
    fn what_was_told_comes_out_of_a_steps_type_as_it_went_in_to_the_byte() {
        let newer = json!({
            "a_later_fact": {"z": 1, "a": [null]}, "history": [], "history_rows": 0, "server_version": "16.4",
            "schema_parity": {"equal": true, "mode": "required", "tested_sha256": Sha256::of(b"s"),
                              "live_sha256": Sha256::of(b"s"), "snapshot_key": "k", "snapshot_version_id": "v1",
                              "a_later_member": true},
        });
        let odd = json!({"history": null, "history_rows": "many", "flyway": {"version": 11}, "schema_parity": []});
        for told in [newer, odd, json!({})] {
            assert_eq!(again::<DatabaseFacts>(&told).to_string(), told.to_string());
            assert_eq!(again::<FunctionFacts>(&told).to_string(), told.to_string());
            assert_eq!(again::<StackFacts>(&told).to_string(), told.to_string());
            assert_eq!(again::<RunFacts>(&told).to_string(), told.to_string());
            assert_eq!(again::<SmokeFacts>(&told).to_string(), told.to_string());
        }
    }

    #[test]
    fn a_fact_that_cannot_be_read_is_an_error_and_not_one_that_is_not_told() {
        let read = |told: Value| serde_json::from_value::<DatabaseFacts>(told).unwrap().history;
        assert_eq!(read(json!({})).read(), Ok(None));
        assert_eq!(read(json!({"history": []})).read(), Ok(Some(&Vec::new())));
        for odd in [json!(null), json!({}), json!("rows"), json!([{"installed_rank": "one"}])] {
            let told = read(json!({"history": odd}));
            assert!(told.read().is_err(), "{odd}");
            assert!(!told.is_nothing(), "{odd}");
        }
        // Where nothing was there to be told, `null` says so.
        let function: FunctionFacts = serde_json::from_value(json!({"previous_code_sha256": null})).unwrap();
        assert_eq!(function.previous_code_sha256.read(), Ok(Some(&None)));
        assert_eq!(function.function_arn.read(), Ok(None));
    }

    /// The JSON that each step has always told.
    #[test]
    fn each_step_tells_its_facts_by_their_stored_names() {
        let digest = Sha256::of(b"it");
        let stack = StackFacts {
            accepted: BTreeSet::from(["data/Orders".parse().unwrap()]).into(),
            change_set: "arn".into(),
            code_already_there: 0.into(),
            code_copied: 1.into(),
            executed: true.into(),
            made: BTreeSet::from([vec!["Orders".to_owned()]]).into(),
            reasons: vec!["no".to_owned()].into(),
            refused: vec![Finding::new(Code::ReplacementNotAccepted, "data/Orders", "no")].into(),
            stack_id: "id".into(),
            template_sha256: digest.into(),
            other: Map::new(),
        };
        assert_eq!(
            json!(stack),
            json!({"accepted": ["data/Orders"], "change_set": "arn", "code_already_there": 0, "code_copied": 1,
                   "executed": true, "made": [["Orders"]], "reasons": ["no"],
                   "refused": [{"code": "replacement-not-accepted", "message": "no", "subject": "data/Orders"}],
                   "stack_id": "id", "template_sha256": digest.to_string()})
        );
        let function = FunctionFacts {
            code_sha256: digest.into(),
            function_arn: None.into(),
            function_name: "uat-fn".into(),
            image_digest: format!("sha256:{digest}").parse::<ImageDigest>().unwrap().into(),
            previous_code_sha256: Some(digest).into(),
            version: "7".into(),
            other: Map::new(),
        };
        assert_eq!(
            json!(function),
            json!({"code_sha256": digest.to_string(), "function_arn": null, "function_name": "uat-fn",
                   "image_digest": format!("sha256:{digest}"), "previous_code_sha256": digest.to_string(), "version": "7"})
        );
        let ran = RanMigration {
            description: "d".into(),
            execution_milliseconds: 3.into(),
            file: "V1__d.sql".into(),
            version: "1".into(),
        };
        let migrated = FlywayRun::Migrated(FlywayMigrated {
            initial_schema_version: None,
            migrations: vec![ran.clone()],
            migrations_executed: 1,
            target_schema_version: Some("1".to_owned()),
            total_milliseconds: 4,
            version: "11.0".to_owned(),
            warnings: Vec::new(),
        });
        let ran_json = json!({"description": "d", "execution_milliseconds": 3, "file": "V1__d.sql", "version": "1"});
        let migrated_json = json!({
            "initial_schema_version": null, "migrations": [ran_json], "migrations_executed": 1,
            "target_schema_version": "1", "total_milliseconds": 4, "version": "11.0", "warnings": [],
        });
        assert_eq!(json!(migrated), migrated_json);
        assert_eq!(serde_json::from_value::<FlywayRun>(migrated_json).unwrap(), migrated);
        let failed = FailedMigration { file: None, line: Some(3), message: "no".to_owned(), sql_state: None };
        let failed = FlywayRun::Failed(FlywayFailed {
            failed: Some(failed),
            migrations: vec![ran],
            migrations_executed: 1,
            version: Some("11.0".to_owned()),
        });
        let failed_json = json!({
            "failed": {"file": null, "line": 3, "message": "no", "sql_state": null}, "migrations": [ran_json],
            "migrations_executed": 1, "version": "11.0",
        });
        assert_eq!(json!(failed), failed_json);
        assert_eq!(serde_json::from_value::<FlywayRun>(failed_json).unwrap(), failed);
        let smoke = SmokeFacts {
            answered: None.into(),
            asked: Asked::Http { method: "GET".to_owned(), url: "https://x/".to_owned() }.into(),
            attempts: 2.into(),
            duration_milliseconds: 5.into(),
            other: Map::new(),
        };
        assert_eq!(
            json!(smoke),
            json!({"answered": null, "asked": {"method": "GET", "url": "https://x/"}, "attempts": 2,
                   "duration_milliseconds": 5})
        );
    }
}
