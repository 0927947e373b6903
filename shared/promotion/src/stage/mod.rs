//! The stages that commits are promoted to: `config/stages.json` (CONTRACT §6).

pub mod freeze;
mod requirement;
mod runs;

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding, plain},
    ids::{DatabaseName, FunctionName, MigrationPath, PartitionedTable, Repo, StackName, StageName},
    place::Place,
    store_key::RecordKey,
    strict_json,
};
use gatekeeper_readers::flyway::settings::TableName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::freeze::FreezeWindow;
pub use self::{
    requirement::Requirement,
    runs::{DbtTarget, PulumiTarget},
};

/// The largest configuration that is read.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The most approvals that a stage may ask for.
pub const MAX_APPROVALS: u8 = 10;

/// The longest soak time, in minutes: 90 days.
pub const MAX_SOAK_MINUTES: u32 = 90 * 24 * 60;

/// `config/stages.json`: every stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StagesConfig {
    /// The version of this document's schema: 1.
    #[cfg_attr(feature = "schema", schemars(extend("const" = 1)))]
    pub schema_version: u32,
    /// The stages by name.
    pub stages: BTreeMap<StageName, Stage>,
}

/// One stage. An unknown field is refused: a misspelt rule must not be a rule that silently doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What a commit must be.
    #[serde(default)]
    pub requires: Requirement,
    /// How long the required stage must have run the commit, in minutes.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_SOAK_MINUTES)))]
    pub soak_minutes: u32,
    /// How many people must approve a commit, who are neither the requester nor its author.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_APPROVALS)))]
    pub approvals: u8,
    /// When nothing new is promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<FreezeWindow>,
    /// The role that the steps assume in the stage's account; none where it is the gatekeeper's own.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// The role that CloudFormation takes for the stage's stacks; none for the gatekeeper's own.
    #[serde(default)]
    pub stack_role_arn: Option<String>,
    /// A stack's name in the stage: `{repo}`, `{stage}` and `{stack}` are replaced.
    #[serde(default = "default_stack_name")]
    pub stack_name: String,
    /// Values for the templates' parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Where the stage's databases are.
    #[serde(default)]
    pub databases: BTreeMap<DatabaseName, Database>,
    /// What must answer after a promotion. A check whose stack or function a commit doesn't have is another
    /// repository's.
    #[serde(default)]
    pub smoke: Vec<SmokeCheck>,
    /// Whether smoke checks may ask hosts whose addresses are not the public internet's.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub allow_private: bool,
    /// Whether templates that name the stage which they were synthesised for are applied although dev is in the same
    /// account.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub accept_stage_literals: bool,
    /// The Pulumi stack of each repository that has a Pulumi program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pulumi: BTreeMap<Repo, PulumiTarget>,
    /// The dbt target of each repository that has dbt models.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dbt: BTreeMap<Repo, DbtTarget>,
    /// How long a runner has for its part of a promotion, in minutes.
    #[serde(default = "runs::default_lease_minutes", skip_serializing_if = "is_default_lease")]
    #[cfg_attr(feature = "schema", schemars(range(min = 5, max = 180)))]
    pub lease_minutes: u16,
}

/// Whether a lease is as long as where a stage doesn't tell.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_default_lease(minutes: &u16) -> bool {
    *minutes == runs::default_lease_minutes()
}

/// A stage's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The secret that holds how to reach it.
    pub secret_arn: String,
    /// What a live schema that is not the tested one means for a promotion.
    #[serde(default)]
    pub schema_parity: SchemaParity,
    /// Values for the placeholders of the migrations (Flyway documentation, "Placeholders"), which go before those of the
    /// commit's `flyway.toml`. They are no secrets: they stand in records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placeholders: BTreeMap<String, String>,
    /// Flyway's schema histories in the same database that are other modules', as `schema.table`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub other_histories: BTreeSet<String>,
    /// Squawk's rules that no migration may break which the stage has not run yet, such as `ban-drop-column`
    /// (<https://squawkhq.com/docs/rules>).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refuse_migrations: BTreeSet<String>,
    /// The migrations that may break those rules nevertheless, by their paths below `migrations/`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_migrations: BTreeSet<MigrationPath>,
    /// Whether a required parity holds where the older of two servers can't hold what the newer one's schema says.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub accept_server_limits: bool,
    /// The tables whose partitions are made at run time, and by their form only compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionedTable>,
    /// The server's name or address, where the secret doesn't tell it: one that Amazon RDS manages never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The server's port, where the secret doesn't tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub port: Option<u16>,
    /// The database's name on the server, where the secret doesn't tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbname: Option<String>,
}

impl Database {
    /// Where it is, as far as the entry tells.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { host: self.host.clone(), port: self.port, dbname: self.dbname.clone() }
    }

    /// Whether what the entry tells of its place can be true.
    fn place_is_possible(&self, stage: &StageName, name: &DatabaseName) -> Result<(), String> {
        let wrong = |field: &str, why: &str| Err(format!("`{field}` of database `{name}` of `{stage}` {why}"));
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if self.host.as_ref().is_some_and(|host| host.is_empty() || !host.chars().all(allowed)) {
            return wrong("host", "is no host's name or address");
        }
        if self.port == Some(0) {
            return wrong("port", "is 0");
        }
        if self.dbname.as_ref().is_some_and(|name| name.is_empty() || name.contains(char::is_control)) {
            return wrong("dbname", "is empty or holds a control character");
        }
        Ok(())
    }
}

/// What a live schema that is not the tested one means for a promotion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SchemaParity {
    /// The promotion fails.
    #[default]
    Required,
    /// It is written down.
    Reported,
}

/// One thing that must answer after a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "SmokeCheckFields", into = "SmokeCheckFields")]
pub struct SmokeCheck {
    /// The repository whose check it is; none for every repository that has the stack or function.
    pub repo: Option<Repo>,
    /// What is asked.
    pub target: SmokeTarget,
    /// JSON that the answer must contain: every member of it, and more may be there.
    pub expect_json: Option<Value>,
    /// How long it is asked again until it answers as expected, in seconds.
    pub deadline_seconds: u64,
}

/// What a smoke check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmokeTarget {
    /// A URL that a stack puts out.
    Http {
        /// The stack, as the repository calls it.
        stack: StackName,
        /// The output that holds the URL.
        output: String,
        /// What is appended to it.
        path: String,
        /// The status that it must answer with.
        expect_status: u16,
    },
    /// A function, invoked directly; a function error is a failure.
    Invoke {
        /// The bundle's name in the manifest.
        function: FunctionName,
        /// The event that it gets.
        payload: Value,
    },
}

/// A smoke check as it is written down.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = [
    {"required": ["stack", "output"], "properties": {"function": false, "payload": false}},
    {"required": ["function"], "properties": {"stack": false, "output": false, "path": false, "expect_status": false}},
])))]
#[serde(deny_unknown_fields)]
struct SmokeCheckFields {
    /// The repository that the check is for; every repository that has the stack or function where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repo: Option<Repo>,
    /// The stack whose output is asked, as the manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stack: Option<StackName>,
    /// The output of that stack which holds a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// What is appended to the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The HTTP status that must come; 200 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expect_status: Option<u16>,
    /// The bundle whose function is invoked, as the manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    function: Option<FunctionName>,
    /// What the function is invoked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    /// Members that the answer must have; it may have others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expect_json: Option<Value>,
    /// How long the check is asked again until it holds; 60 where not given, at most 240.
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_DEADLINE_SECONDS)))]
    #[serde(default = "default_deadline_seconds")]
    deadline_seconds: u64,
}

impl TryFrom<SmokeCheckFields> for SmokeCheck {
    type Error = &'static str;

    fn try_from(fields: SmokeCheckFields) -> Result<Self, Self::Error> {
        let target = match (fields.stack, fields.output, fields.function) {
            (Some(stack), Some(output), None) if fields.payload.is_none() => SmokeTarget::Http {
                stack,
                output,
                path: fields.path.unwrap_or_default(),
                expect_status: fields.expect_status.unwrap_or(200),
            },
            (None, None, Some(function)) if fields.path.is_none() && fields.expect_status.is_none() => {
                SmokeTarget::Invoke { function, payload: fields.payload.unwrap_or_default() }
            }
            _ => return Err("a smoke check has either `stack` and `output`, or `function`"),
        };
        Ok(Self {
            repo: fields.repo,
            target,
            expect_json: fields.expect_json,
            deadline_seconds: fields.deadline_seconds,
        })
    }
}

impl From<SmokeCheck> for SmokeCheckFields {
    fn from(check: SmokeCheck) -> Self {
        let mut fields = Self {
            repo: check.repo,
            stack: None,
            output: None,
            path: None,
            expect_status: None,
            function: None,
            payload: None,
            expect_json: check.expect_json,
            deadline_seconds: check.deadline_seconds,
        };
        match check.target {
            SmokeTarget::Http { stack, output, path, expect_status } => {
                fields.stack = Some(stack);
                fields.output = Some(output);
                fields.path = Some(path);
                fields.expect_status = Some(expect_status);
            }
            SmokeTarget::Invoke { function, payload } => {
                fields.function = Some(function);
                fields.payload = Some(payload);
            }
        }
        fields
    }
}

fn default_stack_name() -> String {
    "{repo}-{stage}-{stack}".to_owned()
}

fn default_deadline_seconds() -> u64 {
    60
}

/// The longest that one smoke check may take: the function that runs them has 5 minutes.
const MAX_DEADLINE_SECONDS: u64 = 240;

impl StagesConfig {
    /// The JSON Schema of the document, draft 2020-12.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn json_schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// A finding that says what is wrong where.
    pub fn parse(bytes: &[u8]) -> Result<Self, Finding> {
        let invalid = |message: String| {
            Finding::new(Code::StagesConfigInvalid, RecordKey::StagesConfig.to_string(), plain(&message))
        };
        let config: Self = strict_json::from_slice(bytes).map_err(|error| invalid(format!("not valid: {error}")))?;
        if config.schema_version != 1 {
            return Err(invalid(format!("`schema_version` is {}, this gatekeeper knows 1", config.schema_version)));
        }
        if config.stages.contains_key(&StageName::gate()) {
            return Err(invalid("no stage can be called `gate`: the gate's own ledger is called so".to_owned()));
        }
        if config.stages.contains_key(&StageName::holds()) {
            return Err(invalid(
                "no stage can be called `holds`: the ledger of what holds stages is called so".to_owned(),
            ));
        }
        for (name, stage) in &config.stages {
            let checks = stage.smoke.iter();
            if let Some(check) = checks.into_iter().find(|check| check.deadline_seconds > MAX_DEADLINE_SECONDS) {
                return Err(invalid(format!(
                    "`deadline_seconds` of a smoke check of `{name}` is {}, at most {MAX_DEADLINE_SECONDS} fit",
                    check.deadline_seconds
                )));
            }
            stage.rules_hold_together(name).map_err(invalid)?;
            stage.runs_are_possible(name).map_err(invalid)?;
            for (database, entry) in &stage.databases {
                for table in &entry.other_histories {
                    table.parse::<TableName>().map_err(|error| {
                        invalid(format!("`other_histories` of database `{database}` of `{name}`: {error}"))
                    })?;
                }
                entry.place_is_possible(name, database).map_err(invalid)?;
            }
        }
        requirement::check(&config.stages).map_err(invalid)?;
        Ok(config)
    }
}

impl Stage {
    /// Whether the stage's numbers are in range and each rule has what it counts on.
    fn rules_hold_together(&self, name: &StageName) -> Result<(), String> {
        if self.approvals > MAX_APPROVALS {
            return Err(format!("`approvals` of `{name}` is {}, at most {MAX_APPROVALS} are", self.approvals));
        }
        if self.soak_minutes > MAX_SOAK_MINUTES {
            return Err(format!(
                "`soak_minutes` of `{name}` is {}, at most {MAX_SOAK_MINUTES} are, which is 90 days",
                self.soak_minutes
            ));
        }
        if self.soak_minutes > 0 && self.requires == Requirement::Built {
            return Err(format!(
                "`soak_minutes` of `{name}` needs `requires` to name the stage that the time is spent in, such as \
                 `deployed:uat`"
            ));
        }
        Ok(())
    }

    /// Whether what runners do there can be told apart and bounded.
    fn runs_are_possible(&self, name: &StageName) -> Result<(), String> {
        runs::lease_is_possible(self.lease_minutes, name)?;
        let of = |kind: &str, repo: &Repo, wrong: String| format!("`{kind}` of `{repo}` in `{name}`: {wrong}");
        for (repo, target) in &self.pulumi {
            target.is_possible().map_err(|wrong| of("pulumi", repo, wrong))?;
        }
        for (repo, target) in &self.dbt {
            target.is_possible().map_err(|wrong| of("dbt", repo, wrong))?;
        }
        Ok(())
    }

    /// The name in this stage of a repository's stack, as far as the configuration makes one that AWS allows.
    ///
    /// # Errors
    /// The finding where it doesn't.
    pub fn stack_name_of(&self, repo: &Repo, stage: &StageName, stack: &StackName) -> Result<StackName, Finding> {
        let name = self
            .stack_name
            .replace("{repo}", repo.as_str())
            .replace("{stage}", stage.as_str())
            .replace("{stack}", stack.as_str())
            // Repository names may hold what stack names may not.
            .replace(['.', '_'], "-");
        name.parse().map_err(|error: gatekeeper_model::ids::InvalidId| {
            Finding::new(
                Code::StagesConfigInvalid,
                RecordKey::StagesConfig.to_string(),
                format!("`stack_name` of `{stage}` gives for `{stack}`: {error}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"schema_version": 1, "stages": {"uat": {
      "requires": "built",
      "role_arn": null,
      "stack_name": "{repo}-{stage}-{stack}",
      "parameters": {"LogLevel": "info"},
      "databases": {"payments": {"secret_arn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:uat-payments"}},
      "smoke": [{"stack": "payments-api", "output": "ApiUrl", "path": "/health", "expect_status": 200}]
    }}}"#;

    fn refuse(text: &str) -> String {
        StagesConfig::parse(text.as_bytes()).unwrap_err().message
    }

    #[test]
    fn a_stage_that_stands_twice_is_refused() {
        let twice = r#"{"schema_version": 1, "stages": {"prod": {"approvals": 2}, "prod": {}}}"#;
        insta::assert_snapshot!(refuse(twice), @"not valid: the key `prod` stands twice at line 1 column 70");
    }

    #[test]
    fn the_contracts_example_is_read() {
        let config = StagesConfig::parse(EXAMPLE.as_bytes()).unwrap();
        let stage = &config.stages[&"uat".parse().unwrap()];
        let name = |repo: &str| {
            stage.stack_name_of(&repo.parse().unwrap(), &"uat".parse().unwrap(), &"payments-api".parse().unwrap())
        };
        assert_eq!(name("bank-payments").unwrap().as_str(), "bank-payments-uat-payments-api");
        assert_eq!(name("bank.pay_ments").unwrap().as_str(), "bank-pay-ments-uat-payments-api");
        assert_eq!(name("0bank").unwrap_err().code, Code::StagesConfigInvalid);
    }

    #[test]
    fn a_direct_invocation_is_a_check_too() {
        let text = EXAMPLE.replace(
            r#"{"stack": "payments-api", "output": "ApiUrl", "path": "/health", "expect_status": 200}"#,
            r#"{"function": "authorise-payment", "payload": {"ping": true}, "expect_json": {"ok": true}, "deadline_seconds": 5}"#,
        );
        let config = StagesConfig::parse(text.as_bytes()).unwrap();
        let check = &config.stages[&"uat".parse().unwrap()].smoke[0];
        assert!(matches!(check.target, SmokeTarget::Invoke { .. }), "{check:?}");
    }

    #[test]
    fn what_is_misspelt_is_refused_by_name() {
        insta::assert_snapshot!(refuse("{"), @"not valid: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(refuse(&EXAMPLE.replace("\"requires\"", "\"require\"")), @"not valid: unknown field `require`, expected one of `requires`, `soak_minutes`, `approvals`, `freeze`, `role_arn`, `stack_role_arn`, `stack_name`, `parameters`, `databases`, `smoke`, `allow_private`, `accept_stage_literals`, `pulumi`, `dbt`, `lease_minutes` at line 2 column 15");
        insta::assert_snapshot!(refuse(&EXAMPLE.replace("\"built\"", "\"anything\"")), @"not valid: `anything` is not a requirement: it is `built`, or `deployed:` and a stage at line 2 column 28");
        insta::assert_snapshot!(refuse(&EXAMPLE.replace("\"schema_version\": 1", "\"schema_version\": 2")), @"`schema_version` is 2, this gatekeeper knows 1");
        insta::assert_snapshot!(refuse(&EXAMPLE.replace("\"uat\"", "\"gate\"")), @"no stage can be called `gate`: the gate's own ledger is called so");
        insta::assert_snapshot!(refuse(&EXAMPLE.replace("\"expect_status\": 200", "\"deadline_seconds\": 900")), @"`deadline_seconds` of a smoke check of `uat` is 900, at most 240 fit");
    }

    #[test]
    fn a_database_may_tell_its_place_and_its_partitions() {
        let secret = r#""secret_arn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:uat-payments""#;
        let entry = |more: &str| EXAMPLE.replace(secret, &format!("{secret}, {more}"));
        let text = entry(
            r#""host": "db.example", "port": 5433, "dbname": "payments", "accept_server_limits": true,
               "partitions": ["public.events", "audit.\"Log\""]"#,
        );
        let config = StagesConfig::parse(text.as_bytes()).unwrap();
        let database = &config.stages[&"uat".parse().unwrap()].databases[&"payments".parse().unwrap()];
        assert!(database.accept_server_limits && database.partitions.len() == 2);
        assert_eq!(database.place().port, Some(5433));
        insta::assert_snapshot!(refuse(&entry(r#""host": "db.example/x""#)), @"`host` of database `payments` of `uat` is no host's name or address");
        insta::assert_snapshot!(refuse(&entry(r#""port": 0"#)), @"`port` of database `payments` of `uat` is 0");
        insta::assert_snapshot!(refuse(&entry(r#""dbname": """#)), @"`dbname` of database `payments` of `uat` is empty or holds a control character");
        insta::assert_snapshot!(refuse(&entry(r#""partitions": ["events"]"#)), @"not valid: `events` is not a valid partitioned table: a schema and a table, such as `public.events`, each in double quotes unless it is of `a-z`, `0-9` and `_` at line 6 column 140");
    }

    /// Stages `uat` and `prod`, the latter with `rules`.
    fn two_stages(rules: &str) -> String {
        format!(r#"{{"schema_version": 1, "stages": {{"uat": {{}}, "prod": {{{rules}}}}}}}"#)
    }

    #[test]
    fn a_later_stage_has_rules_of_its_own() {
        let text = two_stages(
            r#""requires": "deployed:uat", "soak_minutes": 60, "approvals": 2, "freeze": [
                 {"from": "2026-12-18T18:00", "to": "2027-01-04T08:00", "time_zone": "Europe/London", "reason": "year end"},
                 {"weekly": {"from": "fri 16:00", "to": "mon 07:00"}, "time_zone": "Europe/London", "reason": "weekend"}]"#,
        );
        let config = StagesConfig::parse(text.as_bytes()).unwrap();
        let prod = &config.stages[&"prod".parse().unwrap()];
        assert_eq!(prod.requires, Requirement::Deployed("uat".parse().unwrap()));
        assert_eq!((prod.soak_minutes, prod.approvals, prod.freeze.len()), (60, 2, 2));

        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(StagesConfig::parse(&written).unwrap(), config);
    }

    #[test]
    fn what_runners_do_is_told_for_each_repository() {
        let text = r#""pulumi": {"bank-platform": {"backend": "s3://bank-pulumi/state", "project": "bank-platform", "stack": "uat"}},
                      "dbt": {"bank-risk-platform": {"target": "uat", "adapter": "snowflake", "database": "RISK_UAT"}}"#;
        let config = StagesConfig::parse(two_stages(text).as_bytes()).unwrap();
        let prod = &config.stages[&"prod".parse().unwrap()];
        assert_eq!(prod.lease_minutes, 60);
        assert_eq!(prod.dbt[&"bank-risk-platform".parse().unwrap()].database, "RISK_UAT");
        let written = serde_json::to_string(&config).unwrap();
        assert!(!written.contains("lease_minutes"));
        assert_eq!(StagesConfig::parse(written.as_bytes()).unwrap(), config);

        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            refuse(&two_stages(&text.replace(from, to)))
        };
        insta::assert_snapshot!(refused("s3://bank-pulumi/state", "https://api.pulumi.com"), @"`pulumi` of `bank-platform` in `prod`: `backend` is `https://api.pulumi.com`, and it is `s3://`, a bucket, and a folder of it or none: only such a backend can be read without Pulumi's word");
        insta::assert_snapshot!(refused("s3://bank-pulumi/state", "s3://bank-pulumi?region=x"), @"`pulumi` of `bank-platform` in `prod`: `backend` is `s3://bank-pulumi?region=x`, and it is `s3://`, a bucket, and a folder of it or none: only such a backend can be read without Pulumi's word");
        insta::assert_snapshot!(refused("\"target\": \"uat\"", "\"target\": \"uat; rm -rf\""), @"`dbt` of `bank-risk-platform` in `prod`: `target` is `uat; rm -rf`, and it is 1 to 128 of letters, digits, `.`, `_`, `$` and `-`, not starting with `-`");
        for (minutes, taken) in [(4, false), (5, true), (180, true), (181, false)] {
            let config = two_stages(&format!("\"lease_minutes\": {minutes}"));
            assert_eq!(StagesConfig::parse(config.as_bytes()).is_ok(), taken, "{minutes}");
        }
    }

    #[test]
    fn rules_that_can_never_hold_are_refused() {
        let refuse = |rules: &str| refuse(&two_stages(rules));
        insta::assert_snapshot!(refuse(r#""approvals": 11"#), @"`approvals` of `prod` is 11, at most 10 are");
        insta::assert_snapshot!(refuse(r#""requires": "deployed:uat", "soak_minutes": 200000"#), @"`soak_minutes` of `prod` is 200000, at most 129600 are, which is 90 days");
        insta::assert_snapshot!(refuse(r#""soak_minutes": 5"#), @"`soak_minutes` of `prod` needs `requires` to name the stage that the time is spent in, such as `deployed:uat`");
        insta::assert_snapshot!(refuse(r#""requires": "deployed:sit""#), @"`requires` of `prod` names the stage `sit`, which is not configured");
        insta::assert_snapshot!(refuse(r#""requires": "deployed:prod""#), @"`requires` goes round in a circle: `prod`, `prod`");
    }
}
