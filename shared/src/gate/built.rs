//! ADR-053 "Built and Deployed definitions": the conditions that a manifest's own figures can break.
//!
//! A bad result is refused whenever it is told; a missing one once the integration tests ran, because until then the
//! pipeline is still under way.

use std::collections::BTreeSet;

use crate::{
    finding::{Code, Finding},
    manifest::{IntegrationTests, Manifest},
};

/// The least line and function coverage of the unit tests, in percent (condition 2).
const MIN_COVERAGE_PERCENT: f64 = 80.0;

/// The repository whose pipelines run DCM and dbt (condition 8).
const RISK_PLATFORM: &str = "bank-risk-platform";

/// Every condition that doesn't hold.
pub(super) fn conditions(manifest: &Manifest, integration_ran: bool) -> Vec<Finding> {
    let mut broken = Conditions { findings: Vec::new(), integration_ran };
    broken.typecheck(manifest);
    broken.unit(manifest);
    broken.policy(manifest);
    broken.flyway(manifest);
    broken.deploy(manifest);
    if let Some(integration) = &manifest.tests.integration {
        broken.integration(integration);
        broken.tested_bytes(manifest, integration);
    }
    broken.pulumi(manifest);
    broken.risk_platform(manifest);
    broken.findings
}

struct Conditions {
    findings: Vec<Finding>,
    integration_ran: bool,
}

impl Conditions {
    fn say(&mut self, code: Code, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding::new(code, subject, message));
    }

    fn missing(&mut self, code: Code, subject: impl Into<String>, message: impl Into<String>) {
        if self.integration_ran {
            self.say(code, subject, message);
        }
    }

    /// Condition 1: zero type errors.
    fn typecheck(&mut self, manifest: &Manifest) {
        match &manifest.tests.typecheck {
            None => self.missing(Code::TypecheckMissing, "tests.typecheck", "the manifest does not tell it"),
            Some(it) if it.errors > 0 => {
                self.say(Code::TypecheckFailed, "tests.typecheck", format!("{} type errors", it.errors));
            }
            Some(_) => {}
        }
    }

    /// Condition 2: unit tests pass, at least 80 % of lines and functions covered.
    fn unit(&mut self, manifest: &Manifest) {
        let Some(unit) = &manifest.tests.unit else {
            return self.missing(Code::UnitMissing, "tests.unit", "the manifest does not tell it");
        };
        if unit.failed > 0 {
            self.say(Code::UnitFailed, "tests.unit", format!("{} of the unit tests failed", unit.failed));
        }
        if unit.passed == 0 {
            self.say(Code::UnitMissing, "tests.unit", "no unit test passed");
        }
        for (field, coverage) in [("line_coverage", unit.line_coverage), ("function_coverage", unit.function_coverage)]
        {
            let subject = format!("tests.unit.{field}");
            match coverage {
                // Not a number is not enough either.
                Some(percent) if percent >= MIN_COVERAGE_PERCENT => {}
                Some(percent) => {
                    let message = format!("{percent} % is below the {MIN_COVERAGE_PERCENT} % of ADR-053");
                    self.say(Code::CoverageBelowThreshold, subject, message);
                }
                None => self.missing(Code::CoverageBelowThreshold, subject, "the manifest does not tell it"),
            }
        }
    }

    /// Condition 3: a policy test for each row of `policies_satisfied`.
    fn policy(&mut self, manifest: &Manifest) {
        let Some(policy) = &manifest.tests.policy else {
            return self.missing(Code::PolicyMissing, "tests.policy", "the manifest does not tell it");
        };
        if policy.failed > 0 {
            self.say(Code::PolicyFailed, "tests.policy", format!("{} of the policy tests failed", policy.failed));
        }
        let rows = policy.policies_satisfied.len();
        if policy.passed < rows as u64 {
            let message = format!("{} policy tests passed for {rows} rows of `policies_satisfied`", policy.passed);
            self.say(Code::PolicyUncovered, "tests.policy", message);
        }
    }

    /// Condition 4: `flyway validate` passes for each database; and CI step 10: the schema that was tested is recorded.
    fn flyway(&mut self, manifest: &Manifest) {
        for database in manifest.databases() {
            if !manifest.flyway.contains_key(database) {
                self.missing(
                    Code::FlywayMissing,
                    format!("flyway.{database}"),
                    "the manifest has no `flyway validate` result for this database",
                );
            }
        }
        let migrations = manifest.modules.iter().flat_map(|module| &module.migrations);
        let snapshots = manifest.modules.iter().flat_map(|module| &module.schemas);
        let snapshots: BTreeSet<_> = snapshots.map(|schema| &schema.database).collect();
        for database in migrations.map(|migration| &migration.database).collect::<BTreeSet<_>>() {
            if !snapshots.contains(database) {
                let message = "the manifest lists migrations of this database and no schema snapshot: take one with \
                               `pg_dump --schema-only` after the integration tests";
                self.missing(Code::SchemaSnapshotMissing, database.as_str(), message);
            }
        }
        for (database, flyway) in &manifest.flyway {
            if !flyway.validated {
                self.say(
                    Code::FlywayInvalid,
                    format!("flyway.{database}"),
                    "`flyway validate` did not pass: a migration may have been edited after it was applied",
                );
            }
        }
    }

    /// Condition 5: the deploy step completes without error.
    fn deploy(&mut self, manifest: &Manifest) {
        match &manifest.deploy {
            None => self.missing(Code::DeployMissing, "deploy", "the manifest does not tell it"),
            Some(it) if !it.succeeded => {
                self.say(Code::DeployFailed, "deploy", format!("the deploy step to `{}` did not succeed", it.stage));
            }
            Some(_) => {}
        }
    }

    /// Condition 6: the integration tests pass with `RUN_INTEGRATION=1`, none skipped.
    fn integration(&mut self, tests: &IntegrationTests) {
        if !tests.run_integration {
            let message = "`RUN_INTEGRATION=1` was not set, so the tests' guards skip them; set it in the \
                           environment `dev` of the repository";
            self.say(Code::IntegrationGuardOff, "tests.integration.run_integration", message);
        }
        if tests.failed > 0 {
            let message = format!("{} of the integration tests failed", tests.failed);
            self.say(Code::IntegrationFailed, "tests.integration", message);
        }
        if tests.skipped > 0 {
            let message = format!("{} of the integration tests were skipped", tests.skipped);
            self.say(Code::IntegrationSkipped, "tests.integration", message);
        }
        if tests.passed == 0 {
            self.say(Code::IntegrationMissing, "tests.integration", "no integration test passed");
        }
    }

    /// ADR-053 problem 1: the tests exercised exactly the stored bytes of every function.
    fn tested_bytes(&mut self, manifest: &Manifest, tests: &IntegrationTests) {
        for function in manifest.functions() {
            let mut deployed = tests.deployed.iter().filter(|it| it.function == function.name).peekable();
            if deployed.peek().is_none() {
                let message = "`tests.integration.deployed` does not tell which code of it was tested";
                self.say(Code::TestedBytesMissing, function.name.as_str(), message);
            }
            for tested in deployed.filter(|it| it.code_sha256 != function.sha256) {
                let message = format!("tested was `{}`, stored is `{}`", tested.code_sha256, function.sha256);
                self.say(Code::TestedBytesMismatch, function.name.as_str(), message);
            }
        }
    }

    /// ADR-053 "Pulumi": the program is this commit's.
    fn pulumi(&mut self, manifest: &Manifest) {
        if let Some(pulumi) = &manifest.pulumi
            && pulumi.program_sha != manifest.commit_sha
        {
            let message = format!("the program is from `{}`, not from this commit", pulumi.program_sha);
            self.say(Code::PulumiMismatch, "pulumi.program_sha", message);
        }
    }

    /// Condition 8: DCM plan and deploy, and `dbt build`; the risk platform must tell of them.
    fn risk_platform(&mut self, manifest: &Manifest) {
        let required = manifest.repo.as_str() == RISK_PLATFORM;
        match &manifest.dcm {
            Some(it) if it.plan && it.deploy => {}
            Some(it) => {
                let message = format!("plan completed: {}, deploy completed: {}", it.plan, it.deploy);
                self.say(Code::DcmIncomplete, "dcm", message);
            }
            None if required => self.missing(Code::DcmIncomplete, "dcm", "the manifest does not tell it"),
            None => {}
        }
        match &manifest.dbt_build {
            Some(it) if it.succeeded => {}
            Some(_) => self.say(Code::DbtBuildIncomplete, "dbt_build", "`dbt build` did not succeed"),
            None if required => self.missing(Code::DbtBuildIncomplete, "dbt_build", "the manifest does not tell it"),
            None => {}
        }
        if required && manifest.modules.iter().all(|module| module.dbt.is_none()) {
            self.missing(Code::DbtBuildIncomplete, "modules", "no module has a dbt manifest");
        }
    }
}
