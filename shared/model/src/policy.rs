//! Which of ADR-053's Built conditions bind which repository: `config/policy.json` in the records bucket.
//!
//! Without the document ADR-053 holds as it is written. With it a repository may be held to more, or be spared a condition
//! that it can't have, such as the type check of a repository without types. What a manifest tells is judged either way: a
//! condition that doesn't bind may be left untold, but a bad result is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{finding::plain, ids::Repo, outcome::Outcome, provenance::AllowedBuilder, strict_json, suite::Suite};

/// The schema version that this gate knows.
pub const SCHEMA_VERSION: u32 = 1;

/// The repository whose pipelines run DCM and dbt (ADR-053, condition 8).
const RISK_PLATFORM: &str = "bank-risk-platform";

/// The repository of Pulumi programs (ADR-053 "Pulumi").
const PLATFORM: &str = "bank-platform";

/// The least line and function coverage of the unit tests, in percent (ADR-053, condition 2).
const MIN_COVERAGE: f64 = 80.0;

/// Something that a manifest must tell before its commit is Built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The type check's result (condition 1).
    Typecheck,
    /// The unit tests' result (condition 2).
    Unit,
    /// Their line and function coverage (condition 2).
    Coverage,
    /// The policy tests' result (condition 3).
    Policy,
    /// `flyway validate`'s result for each database (condition 4).
    Flyway,
    /// A snapshot of each migrated database's schema (CI step 10).
    SchemaSnapshot,
    /// The deploy step's result (condition 5).
    Deploy,
    /// Which code of each function the integration tests exercised (problem 1).
    TestedBytes,
    /// Which template each stack had that the integration tests ran against (problem 1).
    TestedTemplates,
    /// The commit of the Pulumi program.
    Pulumi,
    /// DCM's plan and deploy (condition 8).
    Dcm,
    /// `dbt build`'s result, and a stored dbt manifest (condition 8).
    Dbt,
    /// The `run_results.json` of the `dbt build` behind each stored dbt manifest.
    DbtRunResults,
    /// A raw report of the unit tests that can be recounted.
    UnitReport,
    /// A raw coverage report of the unit tests that can be recounted.
    CoverageReport,
    /// A raw report of the policy tests that can be recounted.
    PolicyReport,
    /// A test that passed for each row of `policies_satisfied`, which has the row in its name.
    PolicyRows,
    /// A raw report of the integration tests that can be recounted.
    IntegrationReport,
    /// The exit code of each process that ran tests.
    ExitCodes,
    /// A signed proof of who built everything that is stored.
    Provenance,
}

impl Condition {
    /// That a suite's tests have a raw report.
    #[must_use]
    pub fn report_of(suite: Suite) -> Self {
        match suite {
            Suite::Unit => Self::UnitReport,
            Suite::Policy => Self::PolicyReport,
            Suite::Integration => Self::IntegrationReport,
        }
    }
}

/// `config/policy.json`: what binds every repository, and what one of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The version of this document's schema: 1.
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// What differs from ADR-053 for every repository.
    #[serde(default)]
    pub all: Change,
    /// What differs from that for one.
    #[serde(default)]
    pub repos: BTreeMap<Repo, Change>,
}

/// What differs from the rules before it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The least line coverage of the unit tests, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub min_line_coverage: Option<f64>,
    /// The least function coverage of the unit tests, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub min_function_coverage: Option<f64>,
    /// The most tests of a suite that may have passed on a retry only; any number where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_flaky: Option<u64>,
    /// What tests of no suite may come to, beyond what is refused anyway: `skipped`, `todo`, `expected-failure`, `flaky`
    /// or `not-run`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refuse: BTreeSet<Outcome>,
    /// What becomes of a template, or of a bundle, that names the stage that it was synthesised for; a warning where not
    /// given. A stage in dev's own account doesn't take such a template in any case, unless it says
    /// `accept_stage_literals`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_literals: Option<StageLiterals>,
    /// Conditions that bind from here on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub require: BTreeSet<Condition>,
    /// Conditions that don't bind any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waive: BTreeSet<Condition>,
    /// CloudFormation types and properties that templates may have although the gate doesn't know them, or can't tell
    /// whether they bring code: `AWS::New::Thing`, `Vendor::Service::Type`, `AWS::Lambda::Function.FileSystemConfigs`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub known_types: BTreeSet<String>,
    /// Accounts that all stages share, by names for readers: audit, network, security. Templates may name them, each 12
    /// digits, and take layers from them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared_accounts: BTreeMap<String, String>,
    /// What `dbt build` must be run on and with.
    #[serde(default, skip_serializing_if = "DbtRules::is_empty")]
    pub dbt: DbtRules,
    /// Who may build: a commit's provenance is refused where it is of nobody of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub builders: BTreeSet<AllowedBuilder>,
}

/// What a commit's `dbt build` must be run on and with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DbtRules {
    /// dbt's adapter, such as `snowflake`; any where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// dbt's target, where it is not called as the stage that was deployed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The databases of dev that models, seeds, snapshots and functions may lie in, such as `RISK_DEV`; any where none is
    /// given.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub databases: BTreeSet<String>,
    /// The most nodes that may end with a warning; any number where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_warnings: Option<u64>,
    /// Options that `dbt build` may be run with although a stage's build would come to something else.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<DbtOption>,
}

/// An option of `dbt build` with which another build of the same commit comes to something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DbtOption {
    /// `--full-refresh`: incremental models are built anew, and what adds to them does not run.
    FullRefresh,
    /// `--vars`: the models are compiled with other values than the project's.
    Vars,
}

impl DbtRules {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, changed by what comes after them.
    fn changed_by(mut self, change: &Self) -> Self {
        self.databases.extend(change.databases.iter().cloned());
        self.allow.extend(&change.allow);
        Self {
            adapter: change.adapter.clone().or(self.adapter),
            target: change.target.clone().or(self.target),
            databases: self.databases,
            max_warnings: change.max_warnings.or(self.max_warnings),
            allow: self.allow,
        }
    }
}

/// What becomes of a template that names the stage that it was synthesised for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StageLiterals {
    /// It is told, and the commit can be Built.
    #[default]
    Warn,
    /// The commit is refused.
    Refuse,
}

/// What binds one repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The least line coverage of the unit tests, in percent.
    pub min_line_coverage: f64,
    /// The least function coverage of the unit tests, in percent.
    pub min_function_coverage: f64,
    /// The most tests of a suite that may have passed on a retry only.
    pub max_flaky: Option<u64>,
    /// What tests of no suite may come to, beyond what is refused anyway.
    pub refuse: BTreeSet<Outcome>,
    /// What becomes of a template that names the stage that it was synthesised for.
    pub stage_literals: StageLiterals,
    /// What its manifests must tell.
    pub required: BTreeSet<Condition>,
    /// CloudFormation types and properties that its templates may have in spite of the gate's doubt.
    pub known_types: BTreeSet<String>,
    /// Accounts that its templates may name, each 12 digits.
    pub shared_accounts: BTreeSet<String>,
    /// What its `dbt build` must be run on and with.
    pub dbt: DbtRules,
    /// Who may build it; anybody whose signature holds where nobody is named and no provenance required.
    pub builders: BTreeSet<AllowedBuilder>,
}

/// Why a document is no policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPolicy(String);

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a policy: {}", plain(&self.0))
    }
}

impl std::error::Error for InvalidPolicy {}

impl Policy {
    /// The JSON Schema of the document, draft 2020-12.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads the document.
    ///
    /// # Errors
    /// Where it isn't one. An unknown field is refused: a misspelt condition would bind nobody.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidPolicy> {
        let policy: Self = strict_json::from_slice(bytes).map_err(|error| InvalidPolicy(error.to_string()))?;
        if policy.schema_version != SCHEMA_VERSION {
            let found = policy.schema_version;
            return Err(InvalidPolicy(format!("`schema_version` is {found}, this gate knows {SCHEMA_VERSION}")));
        }
        let changes = policy.repos.iter().map(|(repo, change)| (repo.as_str(), change));
        for (whose, change) in changes.chain([("all", &policy.all)]) {
            for (field, percent) in [
                ("min_line_coverage", change.min_line_coverage),
                ("min_function_coverage", change.min_function_coverage),
            ] {
                if let Some(percent) = percent.filter(|percent| !(0.0..=100.0).contains(percent)) {
                    return Err(InvalidPolicy(format!("`{field}` of `{whose}` is {percent}, not 0 to 100 percent")));
                }
            }
            if let Some(outcome) = change.refuse.iter().find(|it| matches!(it, Outcome::Passed | Outcome::Failed)) {
                let why = if *outcome == Outcome::Failed { "is refused anyway" } else { "can't be refused" };
                return Err(InvalidPolicy(format!("`refuse` of `{whose}` names `{}`, which {why}", outcome.as_str())));
            }
            if let Some(both) = change.require.intersection(&change.waive).next() {
                return Err(InvalidPolicy(format!("`{whose}` both requires and waives {}", quoted(*both))));
            }
            if let Some(name) = change.known_types.iter().find(|name| !is_type(name)) {
                return Err(InvalidPolicy(format!(
                    "`{name}` of `known_types` of `{whose}` is no type `AWS::New::Thing`, nor a property `AWS::Lambda::Function.NewProperty`"
                )));
            }
            let is_account = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
            if let Some((name, id)) = change.shared_accounts.iter().find(|(_, id)| !is_account(id)) {
                return Err(InvalidPolicy(format!(
                    "`{name}` of `shared_accounts` of `{whose}` is `{id}`, not 12 digits"
                )));
            }
            if let Some(fault) = change.builders.iter().find_map(AllowedBuilder::fault) {
                return Err(InvalidPolicy(format!("`builders` of `{whose}`: {fault}")));
            }
        }
        Ok(policy)
    }

    /// What binds `repo`.
    #[must_use]
    pub fn rules_of(&self, repo: &Repo) -> Rules {
        let rules = Rules::of_adr_053(repo).changed_by(&self.all);
        match self.repos.get(repo) {
            Some(change) => rules.changed_by(change),
            None => rules,
        }
    }
}

impl Rules {
    /// What binds `repo` by ADR-053 "Built and Deployed definitions" alone.
    #[must_use]
    pub fn of_adr_053(repo: &Repo) -> Self {
        use Condition::{
            Coverage, Dbt, Dcm, Deploy, Flyway, Policy, Pulumi, SchemaSnapshot, TestedBytes, Typecheck, Unit,
        };
        let mut required =
            BTreeSet::from([Typecheck, Unit, Coverage, Policy, Flyway, SchemaSnapshot, Deploy, TestedBytes]);
        match repo.as_str() {
            RISK_PLATFORM => required.extend([Dcm, Dbt]),
            PLATFORM => required.extend([Pulumi]),
            _ => {}
        }
        Self {
            min_line_coverage: MIN_COVERAGE,
            min_function_coverage: MIN_COVERAGE,
            max_flaky: None,
            refuse: BTreeSet::new(),
            stage_literals: StageLiterals::default(),
            required,
            known_types: BTreeSet::new(),
            shared_accounts: BTreeSet::new(),
            dbt: DbtRules::default(),
            builders: BTreeSet::new(),
        }
    }

    fn changed_by(mut self, change: &Change) -> Self {
        self.required.extend(&change.require);
        self.required.retain(|condition| !change.waive.contains(condition));
        self.known_types.extend(change.known_types.iter().cloned());
        self.shared_accounts.extend(change.shared_accounts.values().cloned());
        self.refuse.extend(&change.refuse);
        self.builders.extend(change.builders.iter().cloned());
        Self {
            min_line_coverage: change.min_line_coverage.unwrap_or(self.min_line_coverage),
            min_function_coverage: change.min_function_coverage.unwrap_or(self.min_function_coverage),
            max_flaky: change.max_flaky.or(self.max_flaky),
            refuse: self.refuse,
            stage_literals: change.stage_literals.unwrap_or(self.stage_literals),
            required: self.required,
            known_types: self.known_types,
            shared_accounts: self.shared_accounts,
            dbt: self.dbt.changed_by(&change.dbt),
            builders: self.builders,
        }
    }

    /// Whether a manifest must tell it.
    #[must_use]
    pub fn require(&self, condition: Condition) -> bool {
        self.required.contains(&condition)
    }
}

/// Whether a text is the name of a CloudFormation type, with a property of it or without.
fn is_type(text: &str) -> bool {
    let (r#type, path) = text.split_once('.').unwrap_or((text, "*"));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let parts: Vec<_> = r#type.split("::").collect();
    parts.len() >= 3
        && parts.iter().all(|part| is_word(part))
        && path.split('.').all(|part| part == "*" || is_word(part))
}

/// A condition as the document spells it.
fn quoted(condition: Condition) -> String {
    serde_json::to_string(&condition).unwrap_or_default().replace('"', "`")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(policy: &Value, repo: &str) -> Rules {
        Policy::parse(policy.to_string().as_bytes()).unwrap().rules_of(&repo.parse().unwrap())
    }

    #[track_caller]
    fn refused(policy: &Value, because: &str) {
        let error = Policy::parse(policy.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn a_repository_that_stands_twice_is_refused() {
        let twice = r#"{"schema_version": 1, "repos": {"bank-core": {"require": ["dcm"]}, "bank-core": {}}}"#;
        let error = Policy::parse(twice.as_bytes()).unwrap_err();
        insta::assert_snapshot!(error, @"not a policy: the key `bank-core` stands twice at line 1 column 83");
    }

    #[test]
    fn an_empty_policy_is_adr_053() {
        let none = json!({"schema_version": 1});
        for repo in ["bank-payments", "bank-risk-platform", "bank-platform"] {
            assert_eq!(rules(&none, repo), Rules::of_adr_053(&repo.parse().unwrap()));
        }
        assert!(rules(&none, "bank-risk-platform").require(Condition::Dcm));
        assert!(rules(&none, "bank-platform").require(Condition::Pulumi));
        let payments = rules(&none, "bank-payments");
        assert!(!payments.require(Condition::Dcm) && !payments.require(Condition::IntegrationReport));
        assert_eq!((payments.min_line_coverage, payments.min_function_coverage), (80.0, 80.0));
    }

    #[test]
    fn what_binds_one_repository_comes_after_what_binds_all() {
        let policy = json!({
            "schema_version": 1,
            "all": {"min_line_coverage": 85, "require": ["integration-report", "exit-codes"], "waive": ["tested-bytes"]},
            "repos": {"bank-core": {"min_line_coverage": 90.5, "require": ["tested-bytes"], "waive": ["exit-codes"]}}
        });
        let (core, kyc) = (rules(&policy, "bank-core"), rules(&policy, "bank-kyc"));
        assert_eq!((core.min_line_coverage, core.min_function_coverage), (90.5, 80.0));
        assert_eq!((kyc.min_line_coverage, kyc.min_function_coverage), (85.0, 80.0));
        for (condition, of_core, of_kyc) in [
            (Condition::IntegrationReport, true, true),
            (Condition::ExitCodes, false, true),
            (Condition::TestedBytes, true, false),
            (Condition::Typecheck, true, true),
        ] {
            assert_eq!((core.require(condition), kyc.require(condition)), (of_core, of_kyc), "{condition:?}");
        }
    }

    #[test]
    fn types_and_accounts_of_all_and_of_one_repository_add_up() {
        let policy = json!({
            "schema_version": 1,
            "all": {"known_types": ["AWS::New::Thing"], "shared_accounts": {"audit": "111122223333"}},
            "repos": {"bank-core": {
                "known_types": ["Datadog::Monitors::Monitor", "AWS::Lambda::Function.FileSystemConfigs"],
                "shared_accounts": {"network": "444455556666"}
            }}
        });
        let (core, kyc) = (rules(&policy, "bank-core"), rules(&policy, "bank-kyc"));
        assert_eq!((core.known_types.len(), core.shared_accounts.len()), (3, 2));
        assert_eq!((kyc.known_types.len(), kyc.shared_accounts.len()), (1, 1));
        assert!(core.known_types.contains("AWS::New::Thing") && core.shared_accounts.contains("111122223333"));
    }

    #[test]
    fn what_dbt_builds_on_is_told_for_all_and_for_one() {
        let policy = json!({
            "schema_version": 1,
            "all": {"dbt": {"adapter": "snowflake", "target": "ci", "max_warnings": 0, "allow": ["vars"]}},
            "repos": {"bank-risk-platform": {"dbt": {"target": "dev", "databases": ["RISK_DEV"], "allow": ["full-refresh"]}}}
        });
        let risk = rules(&policy, "bank-risk-platform").dbt;
        assert_eq!((risk.adapter.as_deref(), risk.target.as_deref()), (Some("snowflake"), Some("dev")));
        assert_eq!((risk.databases, risk.max_warnings), (["RISK_DEV".to_owned()].into(), Some(0)));
        assert_eq!(risk.allow, [DbtOption::FullRefresh, DbtOption::Vars].into());
        assert_eq!(rules(&policy, "bank-kyc").dbt.target.as_deref(), Some("ci"));
        refused(&json!({"schema_version": 1, "all": {"dbt": {"targets": ["dev"]}}}), "unknown field `targets`");
        refused(&json!({"schema_version": 1, "all": {"dbt": {"allow": ["select"]}}}), "unknown variant `select`");
    }

    #[test]
    fn what_tests_may_come_to_is_told_for_all_and_for_one() {
        let policy = json!({
            "schema_version": 1,
            "all": {"max_flaky": 2, "refuse": ["expected-failure"]},
            "repos": {"bank-core": {"max_flaky": 0, "refuse": ["todo", "not-run"]}}
        });
        let (core, kyc) = (rules(&policy, "bank-core"), rules(&policy, "bank-kyc"));
        assert_eq!((core.max_flaky, kyc.max_flaky), (Some(0), Some(2)));
        assert_eq!(core.refuse, [Outcome::Todo, Outcome::ExpectedFailure, Outcome::NotRun].into());
        assert_eq!(kyc.refuse, [Outcome::ExpectedFailure].into());
        let none = Rules::of_adr_053(&"bank-kyc".parse().unwrap());
        assert_eq!((none.max_flaky, none.refuse), (None, BTreeSet::new()));
    }

    #[test]
    fn what_is_no_policy_binds_nobody_and_says_so() {
        refused(&json!({}), "schema_version");
        refused(&json!({"schema_version": 2}), "`schema_version` is 2, this gate knows 1");
        refused(&json!({"schema_version": 1, "repo": {}}), "unknown field `repo`");
        refused(&json!({"schema_version": 1, "all": {"require": ["typechek"]}}), "unknown variant `typechek`");
        refused(
            &json!({"schema_version": 1, "all": {"min_line_coverage": 101}}),
            "`min_line_coverage` of `all` is 101",
        );
        refused(&json!({"schema_version": 1, "repos": {"Bank": {}}}), "Bank");
        for name in ["AWS::New", "AWS::New::Thing.", "AWS::*::Thing", "Code", "AWS::Lambda::Function Code"] {
            let policy = json!({"schema_version": 1, "all": {"known_types": [name]}});
            refused(&policy, &format!("`{name}` of `known_types` of `all` is no type"));
        }
        let short = json!({"schema_version": 1, "all": {"shared_accounts": {"audit": "11112222333"}}});
        refused(&short, "`audit` of `shared_accounts` of `all` is `11112222333`, not 12 digits");
        let refuse = |outcome: &str| json!({"schema_version": 1, "all": {"refuse": [outcome]}});
        refused(&refuse("failed"), "`refuse` of `all` names `failed`, which is refused anyway");
        refused(&refuse("passed"), "`refuse` of `all` names `passed`, which can't be refused");
        refused(&refuse("xfail"), "unknown variant `xfail`");
        refused(&json!({"schema_version": 1, "all": {"max_flaky": -1}}), "expected u64");
        let both = json!({"schema_version": 1, "repos": {"bank-kyc": {"require": ["unit"], "waive": ["unit"]}}});
        refused(&both, "`bank-kyc` both requires and waives `unit`");
    }
}
