//! What a build claims: `build-manifest.json`, schema version 1 (CONTRACT §3, ADR-053 "Artefact storage").
//!
//! Everything in it is a claim until it is held against what is stored. Unknown fields are ignored, so that a newer
//! CI doesn't break an older gate; the stored bytes keep them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    finding::{Code, Finding, plain},
    ids::{
        AccountId, ApplicationName, AssetFile, AssetKey, BucketName, ChangeUrl, Commit, CommitSha, DatabaseName,
        FileName, FunctionName, ImageDigest, MigrationPath, ModuleId, PartitionedTable, RegionName, Repo, Sha256,
        StackName, StageName, VersionId,
    },
    outcome::Counts,
    store_key::ArtefactPath,
    strict_json,
    suite::{ExitCodes, Suite},
};

/// The largest manifest that is read: far above what 1,000 artefacts need.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The schema version that this gate knows.
pub const SCHEMA_VERSION: u32 = 1;

/// The build manifest of one commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Manifest {
    /// The version of this document's schema: 1.
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The repository that was built.
    pub repo: Repo,
    /// The commit that was built.
    pub commit_sha: CommitSha,
    /// The branch that was built.
    pub branch: String,
    /// Who wrote the commit, by the e-mail address that git has of him: his own approval doesn't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Everybody who wrote what the branch's last Built commit doesn't have, and who started the build: their own
    /// approvals don't count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<Author>,
    /// What asked for the change: pull requests and tickets, as whoever published the commit says. Nobody proves them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeUrl>,
    /// When the manifest was made, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub timestamp: Timestamp,
    /// Which pipeline run built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// What the templates were synthesised for, where they name it literally, as SST's do: the gate derives their form
    /// that fits any stage from these four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesised_for: Option<SynthesisedFor>,
    /// What was built, module by module.
    pub modules: Vec<Module>,
    /// The test results.
    #[serde(default)]
    pub tests: Tests,
    /// The raw test reports that lie beside the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
    /// What Flyway said about each database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flyway: BTreeMap<DatabaseName, Flyway>,
    /// The deploy step to the stage that the integration tests ran against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deploy>,
    /// The Pulumi program, for repositories that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulumi: Option<Pulumi>,
    /// The DCM steps (ADR-054), for the risk platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<Dcm>,
    /// `dbt build`, for the risk platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt_build: Option<DbtBuild>,
}

/// One of the authors and co-authors of what is new in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Author {
    /// The name beside the address, as git has it.
    #[serde(default)]
    pub name: String,
    /// The e-mail address, as git has it without a mailmap; of who started the build the account.
    pub email: String,
    /// How many of the commits; 0 of who only started the build.
    #[serde(default)]
    pub commits: u64,
}

/// The pipeline run behind a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Build {
    /// The run's page.
    pub run_url: String,
    /// Which attempt of the run, from 1.
    pub run_attempt: u32,
    /// Who or what started the run.
    pub actor: String,
    /// The repository as its forge calls it, such as `Example-Bank/Payments`: two that come to one name here are told apart
    /// by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// The literals of templates that were synthesised for one account, region and stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SynthesisedFor {
    /// The account that dev is in.
    pub account: AccountId,
    /// Its region.
    pub region: RegionName,
    /// The stage, such as `dev`.
    pub stage: StageName,
    /// The application as the tool calls it: `name` in `sst.config.ts`.
    pub application: ApplicationName,
    /// The bucket of SST's own in that account, `sstbootstrap-…`, where the templates name it: source maps are put there.
    /// A stage gives its own by the parameter `SSTBootstrapBucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_bucket: Option<BucketName>,
}

/// One module's artefacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Module {
    /// The module's id.
    pub id: ModuleId,
    /// Its Lambda bundles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// Its CloudFormation templates, in the order in which they are applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<Stack>,
    /// The files that its templates take from an asset bucket, beside functions' code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<Asset>,
    /// Its schema snapshots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<Schema>,
    /// Its Flyway migrations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
    /// The configurations of single migrations and callbacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub script_configurations: Vec<ScriptConfiguration>,
    /// Its dbt manifest, and the results of the build behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbt: Option<Dbt>,
}

/// A Lambda bundle and the function that it is the code of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Function {
    /// The bundle's name.
    pub name: FunctionName,
    /// The bundle's SHA-256.
    pub sha256: Sha256,
    /// The bundle's size in bytes.
    pub size: u64,
    /// The stack whose template holds the function.
    pub stack: StackName,
    /// The function's logical id in that template.
    pub logical_id: String,
}

/// A CloudFormation template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stack {
    /// The stack's name in the repository; a stage's own name is made from it (CONTRACT §6).
    pub name: StackName,
    /// The template's SHA-256.
    pub sha256: Sha256,
    /// The template's size in bytes.
    pub size: u64,
    /// The stacks of the commit that must be there before it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<StackName>,
    /// The stack's tags, as it was synthesised with them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether CloudFormation shall refuse to delete the stack. Absent where it isn't told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_protection: Option<bool>,
}

/// A file that the template of a stack takes from an asset bucket, such as a layer's content, a site's files, an API's
/// definition or a nested stack's template. It is stored once a module, under its digest: of a file that several stacks
/// take, or several resources in other ways, there are several entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asset {
    /// The file's SHA-256.
    pub sha256: Sha256,
    /// The file's size in bytes.
    pub size: u64,
    /// What the template takes it for.
    pub kind: AssetKind,
    /// The stack whose template names it.
    pub stack: StackName,
    /// The key that the template names it by.
    pub key: AssetKey,
}

/// What a template takes an asset for, which is what it is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AssetKind {
    /// A file of any kind: judged by its digest and size.
    File,
    /// The ZIP of a layer's content: judged like a function's bundle.
    Layer,
    /// The template of a nested stack: judged like the others.
    Template,
}

impl Asset {
    /// Its file in the module's `assets/` folder.
    #[must_use]
    pub fn file(&self) -> AssetFile {
        AssetFile::of(self.sha256, &self.key)
    }
}

impl AssetKind {
    /// Its name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Layer => "layer",
            Self::Template => "template",
        }
    }
}

/// A schema snapshot, `pg_dump --schema-only`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Schema {
    /// The database.
    pub database: DatabaseName,
    /// The snapshot's SHA-256.
    pub sha256: Sha256,
    /// The snapshot's size in bytes.
    pub size: u64,
    /// The tables whose partitions are made at run time, as `pg_partman` makes them: by their form only compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionedTable>,
}

/// A Flyway migration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Migration {
    /// The database that it migrates.
    pub database: DatabaseName,
    /// The file's path below the database's `migrations/` folder, such as `V1__create_ledger.sql`.
    pub file: MigrationPath,
    /// The file's SHA-256.
    pub sha256: Sha256,
    /// The file's size in bytes.
    pub size: u64,
}

/// The configuration of one migration or callback: a file beside it, with `.conf` behind its name (Flyway documentation,
/// "Script Config Files").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScriptConfiguration {
    /// The database that the script is run on.
    pub database: DatabaseName,
    /// The script that it is the configuration of, by its path below the database's `migrations/` folder.
    pub script: MigrationPath,
    /// The file's SHA-256.
    pub sha256: Sha256,
    /// The file's size in bytes.
    pub size: u64,
}

/// dbt's compiled manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dbt {
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// What the `dbt build` came to that wrote the manifest. Absent until it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_results: Option<DbtRunResults>,
}

/// dbt's `run_results.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DbtRunResults {
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// The test results, each absent until its step ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tests {
    /// `pnpm typecheck`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typecheck: Option<Typecheck>,
    /// `pnpm test:unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitTests>,
    /// `pnpm test:policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyTests>,
    /// `pnpm test:integration`. Absent means: not run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<IntegrationTests>,
    /// `node tests/verify-deployment.mjs`, the smoke test of the stage that was deployed to (ADR-053 CI step 13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<SmokeTest>,
}

/// The type check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Typecheck {
    /// How many errors it found.
    pub errors: u64,
    /// The exit code of the step's process: reports lie, such as one that nobody wrote because the run broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The unit and contract tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnitTests {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were skipped.
    #[serde(default)]
    pub skipped: u64,
    /// How many are still to be written. Where none of this and the next three is told, `passed` holds the flaky ones,
    /// and `skipped` the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<u64>,
    /// How many failed as they were said to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_failures: Option<u64>,
    /// How many passed on a retry only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<u64>,
    /// How many were chosen to run and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<u64>,
    /// Lines covered, in percent.
    #[serde(default)]
    pub line_coverage: Option<f64>,
    /// Functions covered, in percent.
    #[serde(default)]
    pub function_coverage: Option<f64>,
    /// The exit code of the step's process: reports lie, such as one that nobody wrote because the run broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The policy tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyTests {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were skipped.
    #[serde(default)]
    pub skipped: u64,
    /// How many are still to be written. Where none of this and the next three is told, `passed` holds the flaky ones,
    /// and `skipped` the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<u64>,
    /// How many failed as they were said to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_failures: Option<u64>,
    /// How many passed on a retry only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<u64>,
    /// How many were chosen to run and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<u64>,
    /// The policies that the module satisfies; each needs a test.
    #[serde(default)]
    pub policies_satisfied: Vec<String>,
    /// The exit code of the step's process: reports lie, such as one that nobody wrote because the run broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The integration tests against the live deployed dev stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IntegrationTests {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were skipped.
    #[serde(default)]
    pub skipped: u64,
    /// How many are still to be written. Where none of this and the next three is told, `passed` holds the flaky ones,
    /// and `skipped` the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<u64>,
    /// How many failed as they were said to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_failures: Option<u64>,
    /// How many passed on a retry only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<u64>,
    /// How many were chosen to run and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<u64>,
    /// Whether `RUN_INTEGRATION=1` was set, without which the tests skip themselves.
    #[serde(default)]
    pub run_integration: bool,
    /// Which code the tests exercised, read from Lambda.
    #[serde(default)]
    pub deployed: Vec<DeployedFunction>,
    /// Which templates the stacks had that the tests ran against, read from CloudFormation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<DeployedTemplate>,
    /// Which layers of their own these stacks had, read from Lambda.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<DeployedLayer>,
    /// Which images they ran that their templates name by a tag, read from Lambda and from ECR.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<DeployedImage>,
    /// Which values the parameters of these stacks had, read from CloudFormation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<DeployedParameter>,
    /// Tests that the last Built commit of the branch passed and that were removed on purpose, by the names that the
    /// gate calls them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed_tests: BTreeSet<String>,
    /// The exit code of the step's process: reports lie, such as one that nobody wrote because the run broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// What a manifest tells of the tests of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The figures; 0 where one isn't told.
    pub counts: Counts,
    /// Whether it tells of other ends than passed, failed and skipped.
    pub of_all_ends: bool,
}

impl Tests {
    /// What it tells of the tests of a suite; none where they haven't run.
    #[must_use]
    pub fn told(&self, suite: Suite) -> Option<Told> {
        macro_rules! told {
            ($suite:expr) => {
                $suite.as_ref().map(|it| {
                    let others = [it.todo, it.expected_failures, it.flaky, it.not_run];
                    let [todo, expected_failures, flaky, not_run] = others.map(Option::unwrap_or_default);
                    let (passed, failed, skipped) = (it.passed, it.failed, it.skipped);
                    let counts =
                        Counts { passed, failed, skipped, todo, expected_failures, flaky, not_run, unexplained: 0 };
                    Told { counts, of_all_ends: others.iter().any(Option::is_some) }
                })
            };
        }
        match suite {
            Suite::Unit => told!(self.unit),
            Suite::Policy => told!(self.policy),
            Suite::Integration => told!(self.integration),
        }
    }

    /// The exit codes of the suites' processes, as far as they are told.
    #[must_use]
    pub fn exit_codes(&self) -> ExitCodes {
        let codes = [
            (Suite::Unit, self.unit.as_ref().and_then(|it| it.exit_code)),
            (Suite::Policy, self.policy.as_ref().and_then(|it| it.exit_code)),
            (Suite::Integration, self.integration.as_ref().and_then(|it| it.exit_code)),
        ];
        codes.into_iter().filter_map(|(suite, code)| Some((suite, code?))).collect()
    }
}

/// The smoke test after the integration tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SmokeTest {
    /// The exit code of its process; 0 says that the stage answers as it should.
    pub exit_code: i32,
}

/// The code that a dev function ran while it was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployedFunction {
    /// The bundle's name.
    pub function: FunctionName,
    /// The live function's `CodeSha256`, in hex.
    pub code_sha256: Sha256,
}

/// The template that a dev stack had while it was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployedTemplate {
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// The SHA-256 of the stored template where the stack's is the same JSON, else that of what the stack has.
    pub sha256: Sha256,
}

/// A layer that a dev stack had while its functions were tested.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployedLayer {
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// The live layer version's `CodeSha256`, in hex.
    pub code_sha256: Sha256,
}

/// A container image that a dev stack ran while it was tested, where its template names the image by a tag: a tag may be
/// another image tomorrow and in each registry, the digest is this one everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployedImage {
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// The logical id of the resource that runs it; of one in a nested stack those that lead to it, such as `Inner/Handler`.
    pub logical_id: String,
    /// The property that names it, such as `Code.ImageUri`.
    pub property: String,
    /// The digest of what ran.
    pub digest: ImageDigest,
}

/// A parameter of a dev stack while it was tested.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployedParameter {
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// The parameter's name in the template.
    pub name: String,
    /// Its value as the stack was given it: of one that names a parameter of Systems Manager that name. None where
    /// CloudFormation keeps it to itself (`NoEcho`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether this is the template's own default.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub is_default: bool,
}

/// A raw test report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Which suite it tells of.
    pub suite: String,
    /// Its format, such as `junit`.
    pub format: String,
    /// Its name under `reports/`.
    pub file: FileName,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// What Flyway said about one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Flyway {
    /// Whether `flyway validate` passed against the dev database.
    pub validated: bool,
    /// Flyway's checksum of each migration file by its `script`, the file's path below the `migrations/` folder; none
    /// for what Flyway records without a checksum.
    #[serde(default)]
    pub checksums: BTreeMap<String, Option<i32>>,
    /// The `flyway.toml` that Flyway was configured by in dev; none where it ran by its own defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<FlywayConfiguration>,
    /// The SHA-256 of each script's own `.conf` that was there in dev, by the script's path below the `migrations/` folder.
    /// Absent where it isn't told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_configurations: Option<BTreeMap<String, Sha256>>,
    /// The table that holds the schema history in dev, as `schema.table`. Absent where it isn't told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// Schema histories in the dev database that are somebody else's, as `schema.table`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub other_histories: BTreeSet<String>,
}

impl Flyway {
    /// What is told by whoever knows of checksums only.
    #[must_use]
    pub fn of_checksums(validated: bool, checksums: BTreeMap<String, Option<i32>>) -> Self {
        Self {
            validated,
            checksums,
            configuration: None,
            script_configurations: None,
            history: None,
            other_histories: BTreeSet::new(),
        }
    }
}

/// A database's `flyway.toml`: one for a commit, which every module that migrates the database shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FlywayConfiguration {
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// The modules that it is stored in.
    #[serde(default)]
    pub modules: BTreeSet<ModuleId>,
    /// The settings by which it differs from Flyway's own defaults.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sets: BTreeSet<String>,
}

/// The deploy step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deploy {
    /// The stage that was deployed to.
    pub stage: StageName,
    /// Whether the step completed without error.
    pub succeeded: bool,
}

/// A Pulumi program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pulumi {
    /// The commit that the program was taken from.
    pub program_sha: CommitSha,
    /// What Pulumi itself remembers of the update of the stage's stack, as `gatekeeper run pulumi` read it. Absent in
    /// manifests of before it was kept, which prove nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<PulumiUpdate>,
}

/// An update of a Pulumi stack: the newest entry of its history, and the state that it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PulumiUpdate {
    /// Where the state is, without who signs in there.
    pub backend: String,
    /// The project.
    pub project: String,
    /// The stack, without its project.
    pub stack: String,
    /// What was done: `update`.
    pub kind: String,
    /// What it came to: `succeeded`.
    pub result: String,
    /// The commit of the program by Pulumi's own word: `git.head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_head: Option<String>,
    /// Whether the program's folder held changes, by Pulumi's own word: `git.dirty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_dirty: Option<bool>,
    /// When `gatekeeper run` began, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub step_started_at: Timestamp,
    /// When the update began, RFC 3339, in whole seconds.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub started_at: Timestamp,
    /// When it ended, RFC 3339, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub ended_at: Option<Timestamp>,
    /// How many resources each kind of change was done to.
    #[serde(default)]
    pub resource_changes: BTreeMap<String, u64>,
    /// The number of the update, where the backend counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The version of Pulumi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The providers' plugins, each with its version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, String>,
    /// The packages of Pulumi that the program is made with, each with its version, where it is a Node.js program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, String>,
    /// The state that the update left, where the backend is a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PulumiState>,
}

/// The state of a Pulumi stack, as an object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PulumiState {
    /// Its key.
    pub key: String,
    /// Its version. Absent in a bucket that keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<VersionId>,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// The DCM steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dcm {
    /// Whether DCM plan completed.
    pub plan: bool,
    /// Whether DCM deploy completed.
    pub deploy: bool,
}

/// The `dbt build` step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DbtBuild {
    /// Whether it completed.
    pub succeeded: bool,
}

/// One object that a manifest says is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where it lies.
    pub path: ArtefactPath,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// The finding on a manifest that is larger than [`MAX_BYTES`], which needn't be read for it.
#[must_use]
pub fn too_large(commit: &Commit) -> Finding {
    let message = format!("the manifest is larger than {MAX_BYTES} bytes");
    Finding::new(Code::ManifestInvalid, ArtefactPath::Manifest.of(commit), message)
}

/// What is read of a document before its shape is known, without keeping the rest of it.
#[derive(Deserialize)]
struct Versioned {
    /// `None` where it has no such field; a `null` is one.
    #[serde(default, deserialize_with = "present")]
    schema_version: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl Manifest {
    /// Reads the manifest of `commit` and checks all that can be told from the document alone.
    ///
    /// # Errors
    /// Every finding where the document isn't a manifest of this commit.
    pub fn parse(bytes: &[u8], commit: &Commit) -> Result<Self, Vec<Finding>> {
        let subject = ArtefactPath::Manifest.of(commit);
        let finding = |code, message: String| Finding::new(code, subject.clone(), plain(&message));
        if bytes.len() as u64 > MAX_BYTES {
            return Err(vec![too_large(commit)]);
        }
        serde_json::from_slice::<IgnoredAny>(bytes)
            .map_err(|error| vec![finding(Code::ManifestInvalid, format!("not JSON: {error}"))])?;
        // A document of another version may have any other shape: its version is the thing to say.
        match serde_json::from_slice::<Versioned>(bytes).ok().and_then(|it| it.schema_version) {
            Some(version) if version.as_u64() != Some(u64::from(SCHEMA_VERSION)) => {
                return Err(vec![finding(
                    Code::ManifestVersionUnknown,
                    format!("`schema_version` is {version}, this gate knows {SCHEMA_VERSION}"),
                )]);
            }
            _ => {}
        }
        let manifest: Self = strict_json::from_slice(bytes)
            .map_err(|error| vec![finding(Code::ManifestInvalid, format!("not a manifest: {error}"))])?;
        let findings = manifest.check(commit);
        if findings.is_empty() { Ok(manifest) } else { Err(findings) }
    }

    fn check(&self, commit: &Commit) -> Vec<Finding> {
        let mut findings = Vec::new();
        let subject = ArtefactPath::Manifest.of(commit);
        let mut say = |code, message: String| findings.push(Finding::new(code, subject.clone(), message));
        if self.repo != commit.repo {
            say(Code::ManifestMismatch, format!("`repo` is `{}`, the key says `{}`", self.repo, commit.repo));
        }
        if self.commit_sha != commit.sha {
            say(
                Code::ManifestMismatch,
                format!("`commit_sha` is `{}`, the key says `{}`", self.commit_sha, commit.sha),
            );
        }
        if let Some(unit) = &self.tests.unit {
            let told = [("line_coverage", unit.line_coverage), ("function_coverage", unit.function_coverage)];
            for (field, percent) in told.into_iter().filter_map(|(field, percent)| Some((field, percent?))) {
                if !(0.0..=100.0).contains(&percent) {
                    say(Code::ManifestInvalid, format!("`tests.unit.{field}` is {percent}, not 0 to 100 percent"));
                }
            }
        }
        let mut seen = BTreeSet::new();
        for module in &self.modules {
            if !seen.insert(&module.id) {
                say(Code::DuplicateEntry, format!("module `{}` is listed twice", module.id));
            }
        }
        let mut seen = BTreeSet::new();
        for claim in self.claims() {
            if !seen.insert(claim.path.clone()) {
                say(Code::DuplicateEntry, format!("`{}` is listed twice", claim.path));
            }
        }
        // A stack is one stack of a stage whatever module it belongs to, and so is a function behind a bundle.
        let mut stacks = BTreeSet::new();
        for stack in self.stacks() {
            if !stacks.insert(&stack.name) {
                say(Code::DuplicateEntry, format!("stack `{}` is listed twice", stack.name));
            }
        }
        let (mut names, mut targets) = (BTreeSet::new(), BTreeSet::new());
        for function in self.functions() {
            if !names.insert(&function.name) {
                say(Code::DuplicateEntry, format!("function `{}` is listed twice", function.name));
            }
            if !targets.insert((&function.stack, &function.logical_id)) {
                say(
                    Code::DuplicateEntry,
                    format!("`{}` of stack `{}` has two bundles", function.logical_id, function.stack),
                );
            }
            if !stacks.contains(&function.stack) {
                say(
                    Code::UnknownReference,
                    format!("function `{}` names stack `{}`, which is not listed", function.name, function.stack),
                );
            }
        }
        let mut listed = BTreeSet::new();
        let mut contents = BTreeMap::new();
        for asset in self.assets() {
            let Asset { sha256, kind, stack, key, .. } = asset;
            if !listed.insert((stack, key, kind)) {
                let message = format!("asset `{key}` of stack `{stack}` is listed twice as `{}`", kind.as_str());
                say(Code::DuplicateEntry, message);
            }
            // Stages have one asset bucket, whichever stack takes it from there.
            if contents.insert(key, sha256).is_some_and(|other| other != sha256) {
                say(Code::DuplicateEntry, format!("the asset key `{key}` is listed for files of different digests"));
            }
            if !stacks.contains(stack) {
                let message = format!("asset `{key}` names stack `{stack}`, which is not listed");
                say(Code::UnknownReference, message);
            }
        }
        findings.sort();
        findings.dedup();
        findings
    }

    /// Every Lambda bundle.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.modules.iter().flat_map(|module| &module.functions)
    }

    /// Every template.
    pub fn stacks(&self) -> impl Iterator<Item = &Stack> {
        self.modules.iter().flat_map(|module| &module.stacks)
    }

    /// Every file that a template takes from an asset bucket, once for each use.
    pub fn assets(&self) -> impl Iterator<Item = &Asset> {
        self.modules.iter().flat_map(|module| &module.assets)
    }

    /// The module that has a stack.
    #[must_use]
    pub fn module_of(&self, stack: &StackName) -> Option<&Module> {
        self.modules.iter().find(|module| module.stacks.iter().any(|it| it.name == *stack))
    }

    /// The stored templates that are nested in a stack, by the keys that the templates around them name them by.
    #[must_use]
    pub fn nested_templates(&self, stack: &StackName) -> BTreeMap<AssetKey, ArtefactPath> {
        let of_module = |module: &Module| {
            let nested = module.assets.iter().filter(|it| it.stack == *stack && it.kind == AssetKind::Template);
            let path = |it: &Asset| (it.key.clone(), ArtefactPath::Asset(module.id.clone(), it.file()));
            nested.map(path).collect::<Vec<_>>()
        };
        self.modules.iter().flat_map(of_module).collect()
    }

    /// Every database that the commit holds a schema or migrations for.
    #[must_use]
    pub fn databases(&self) -> BTreeSet<&DatabaseName> {
        self.modules
            .iter()
            .flat_map(|module| {
                let schemas = module.schemas.iter().map(|schema| &schema.database);
                schemas.chain(module.migrations.iter().map(|migration| &migration.database))
            })
            .collect()
    }

    /// The tables of a database whose partitions are made at run time, as any module's snapshot names them.
    pub fn partitions_of(&self, database: &DatabaseName) -> impl Iterator<Item = &PartitionedTable> {
        let schemas = self.modules.iter().flat_map(|module| &module.schemas);
        schemas.filter(move |schema| schema.database == *database).flat_map(|schema| &schema.partitions)
    }

    /// The modules that hold a schema or migrations for a database.
    pub fn modules_of(&self, database: &DatabaseName) -> impl Iterator<Item = &ModuleId> {
        let modules = self.modules.iter().filter(move |module| {
            let mut schemas = module.schemas.iter().map(|it| &it.database);
            let mut migrations = module.migrations.iter().map(|it| &it.database);
            schemas.any(|it| it == database) || migrations.any(|it| it == database)
        });
        modules.map(|module| &module.id)
    }

    /// Every object that must be stored beside the manifest.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut claim = |path, sha256, size| claims.push(Claim { path, sha256, size });
        for module in &self.modules {
            for it in &module.functions {
                claim(ArtefactPath::Function(module.id.clone(), it.name.clone()), it.sha256, it.size);
            }
            for it in &module.stacks {
                claim(ArtefactPath::Template(module.id.clone(), it.name.clone()), it.sha256, it.size);
            }
            // Of a file that is taken in several ways there is one object.
            let files: BTreeSet<_> = module.assets.iter().map(|it| (it.file(), it.sha256, it.size)).collect();
            for (file, sha256, size) in files {
                claim(ArtefactPath::Asset(module.id.clone(), file), sha256, size);
            }
            for it in &module.schemas {
                claim(ArtefactPath::Schema(module.id.clone(), it.database.clone()), it.sha256, it.size);
            }
            for it in &module.migrations {
                let path = ArtefactPath::Migration(module.id.clone(), it.database.clone(), it.file.clone());
                claim(path, it.sha256, it.size);
            }
            for it in &module.script_configurations {
                let path = ArtefactPath::ScriptConfiguration(module.id.clone(), it.database.clone(), it.script.clone());
                claim(path, it.sha256, it.size);
            }
            if let Some(it) = &module.dbt {
                claim(ArtefactPath::DbtManifest(module.id.clone()), it.sha256, it.size);
                if let Some(it) = &it.run_results {
                    claim(ArtefactPath::DbtRunResults(module.id.clone()), it.sha256, it.size);
                }
            }
        }
        for (database, it) in self.flyway.iter().filter_map(|(name, it)| Some((name, it.configuration.as_ref()?))) {
            for module in &it.modules {
                claim(ArtefactPath::FlywayConfiguration(module.clone(), database.clone()), it.sha256, it.size);
            }
        }
        for it in &self.reports {
            claim(ArtefactPath::Report(it.file.clone()), it.sha256, it.size);
        }
        claims
    }

    /// The JSON Schema of this document, draft 2020-12.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Manifest).to_value()
    }
}

#[cfg(any(test, feature = "test-support"))]
pub mod sample;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        sample::{commit, example},
        *,
    };

    fn parse(value: &serde_json::Value) -> Result<Manifest, Vec<(Code, String)>> {
        Manifest::parse(value.to_string().as_bytes(), &commit())
            .map_err(|findings| findings.into_iter().map(|it| (it.code, it.message)).collect())
    }

    #[test]
    fn the_contracts_example_is_read_and_claims_every_object() {
        let manifest = parse(&example()).unwrap();
        let paths: Vec<_> = manifest.claims().iter().map(|claim| claim.path.to_string()).collect();
        insta::assert_json_snapshot!(paths, @r#"
        [
          "modules/MOD-012/functions/authorise-payment.zip",
          "modules/MOD-012/cloudformation/payments-api.json",
          "modules/MOD-012/schema/payments-schema.sql",
          "modules/MOD-012/schema/payments/migrations/V1__create_ledger.sql",
          "modules/MOD-012/dbt/manifest.json",
          "reports/integration.xml"
        ]
        "#);
    }

    #[test]
    fn a_message_quotes_no_control_character() {
        let mut value = example();
        value["repo"] = json!("\u{1b}[31mbank");
        let refused = parse(&value).unwrap_err();
        assert!(
            refused[0].1.starts_with("not a manifest: `\u{fffd}[31mbank` is not a valid repository name"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_database_that_stands_twice_is_refused() {
        let once = r#""flyway":{"payments":{"#;
        let twice = example().to_string().replacen(once, r#""flyway":{"payments":{"validated":false},"payments":{"#, 1);
        let refused = Manifest::parse(twice.as_bytes(), &commit()).unwrap_err();
        assert!(refused[0].message.contains("the key `payments` stands twice"), "{refused:?}");
    }

    #[test]
    fn a_manifest_before_the_integration_tests_is_read() {
        let mut value = example();
        for optional in ["tests", "reports", "flyway", "deploy", "pulumi", "dcm", "dbt_build", "build"] {
            value.as_object_mut().unwrap().remove(optional);
        }
        value["modules"] = json!([{"id": "MOD-012"}]);
        assert!(parse(&value).unwrap().tests.integration.is_none());
    }

    /// The example with assets, each `[seed of its bytes, kind, stack, key]`.
    fn with_assets(assets: &[[&str; 4]]) -> serde_json::Value {
        let mut value = example();
        let entry = |[seed, kind, stack, key]: &[&str; 4]| json!({"sha256": Sha256::of(seed.as_bytes()), "size": seed.len(), "kind": kind, "stack": stack, "key": key});
        value["modules"][0]["assets"] = assets.iter().map(entry).collect();
        value
    }

    #[test]
    fn a_file_that_is_taken_in_several_ways_is_one_object() {
        let value = with_assets(&[
            ["site", "file", "payments-api", "0f.zip"],
            ["site", "layer", "payments-api", "0f.zip"],
            ["notes", "file", "payments-api", "assets/notes"],
        ]);
        let manifest = parse(&value).unwrap();
        let assets: Vec<_> = manifest.claims().into_iter().map(|it| it.path.to_string()).collect();
        let paths = [
            format!("modules/MOD-012/assets/{}", Sha256::of(b"notes")),
            format!("modules/MOD-012/assets/{}.zip", Sha256::of(b"site")),
        ];
        let mut found: Vec<_> = assets.into_iter().filter(|it| it.contains("/assets/")).collect();
        found.sort();
        let mut paths = paths.to_vec();
        paths.sort();
        assert_eq!(found, paths);
    }

    #[test]
    fn assets_that_contradict_each_other_or_name_no_stack_are_refused() {
        let refused = parse(&with_assets(&[
            ["one", "file", "payments-api", "0f.zip"],
            ["one", "file", "payments-api", "0f.zip"],
            ["other", "layer", "payments-web", "0f.zip"],
        ]));
        insta::assert_debug_snapshot!(refused.unwrap_err());
    }

    #[test]
    fn an_asset_key_leads_nowhere_else() {
        for key in
            ["", "/0f.zip", "../0f.zip", "a/../0f.zip", "a//0f.zip", ".0f", "a/.0f", "a b", "${AWS::AccountId}", "é"]
        {
            let refused = parse(&with_assets(&[["one", "file", "payments-api", key]])).unwrap_err();
            assert_eq!(refused[0].0, Code::ManifestInvalid, "{key}");
        }
        assert!(parse(&with_assets(&[["one", "file", "payments-api", &"a".repeat(200)]])).is_ok());
        assert!(parse(&with_assets(&[["one", "file", "payments-api", &"a".repeat(201)]])).is_err());
        assert!(parse(&with_assets(&[["one", "image", "payments-api", "0f.zip"]])).is_err());
    }

    #[test]
    fn unknown_fields_of_a_newer_ci_are_no_reason_to_refuse() {
        let mut value = example();
        value["sbom"] = json!({"format": "spdx"});
        value["modules"][0]["functions"][0]["memory"] = json!(512);
        assert!(parse(&value).is_ok());
    }

    #[test]
    fn an_unknown_schema_version_is_refused_whatever_its_shape() {
        for version in [json!(2), json!("1"), json!(null)] {
            let refused = parse(&json!({"schema_version": version, "anything": []})).unwrap_err();
            assert_eq!(refused[0].0, Code::ManifestVersionUnknown);
        }
    }

    #[test]
    fn what_is_not_a_manifest_is_refused_with_the_place() {
        let refuse = |bytes: &[u8]| Manifest::parse(bytes, &commit()).unwrap_err()[0].message.clone();
        insta::assert_snapshot!(refuse(b"{"), @"not JSON: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(refuse(b"{}"), @"not a manifest: missing field `schema_version` at line 1 column 2");
        let mut value = example();
        value["modules"][0]["functions"][0]["sha256"] = json!("abc");
        insta::assert_snapshot!(refuse(value.to_string().as_bytes()), @"not a manifest: `abc` is not a valid sha256 digest: 64 lowercase hexadecimal digits at line 1 column 584");
    }

    #[test]
    fn every_contradiction_is_told_not_only_the_first() {
        let mut value = example();
        value["repo"] = json!("bank-kyc");
        value["commit_sha"] = json!("0".repeat(40));
        value["modules"][0]["functions"][0]["stack"] = json!("payments-web");
        let module = value["modules"][0].clone();
        value["modules"].as_array_mut().unwrap().push(module);
        insta::assert_debug_snapshot!(parse(&value).unwrap_err(), @r#"
        [
            (
                ManifestMismatch,
                "`commit_sha` is `0000000000000000000000000000000000000000`, the key says `3f1c9a0b5d7e2468ace013579bdf02468ace1357`",
            ),
            (
                ManifestMismatch,
                "`repo` is `bank-kyc`, the key says `bank-payments`",
            ),
            (
                DuplicateEntry,
                "`AuthorisePaymentFn` of stack `payments-web` has two bundles",
            ),
            (
                DuplicateEntry,
                "`modules/MOD-012/cloudformation/payments-api.json` is listed twice",
            ),
            (
                DuplicateEntry,
                "`modules/MOD-012/dbt/manifest.json` is listed twice",
            ),
            (
                DuplicateEntry,
                "`modules/MOD-012/functions/authorise-payment.zip` is listed twice",
            ),
            (
                DuplicateEntry,
                "`modules/MOD-012/schema/payments-schema.sql` is listed twice",
            ),
            (
                DuplicateEntry,
                "`modules/MOD-012/schema/payments/migrations/V1__create_ledger.sql` is listed twice",
            ),
            (
                DuplicateEntry,
                "function `authorise-payment` is listed twice",
            ),
            (
                DuplicateEntry,
                "module `MOD-012` is listed twice",
            ),
            (
                DuplicateEntry,
                "stack `payments-api` is listed twice",
            ),
            (
                UnknownReference,
                "function `authorise-payment` names stack `payments-web`, which is not listed",
            ),
        ]
        "#);
    }
}
