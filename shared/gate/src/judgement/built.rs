//! ADR-053 "Built and Deployed definitions": the conditions that a manifest's own figures can break.
//!
//! A bad result is refused whenever it is told; a missing one where the policy's rules ask for it, and once the integration
//! tests ran, because until then the pipeline is still under way.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding, plain},
    manifest::{AssetKind, IntegrationTests, Manifest, PulumiUpdate},
    outcome::{Counts, Outcome},
    policy::{Condition, Rules},
    store_key::ArtefactPath,
    suite::Suite,
};
use gatekeeper_readers::report::{
    coverage::{Coverage, Covered},
    suite::Shown,
};

/// Every condition that doesn't hold; coverage is what the reports show, where they do, and `figures` what each suite that
/// ran came to.
pub(super) fn conditions(
    manifest: &Manifest,
    rules: &Rules,
    shown: &BTreeMap<Suite, Shown>,
    figures: &BTreeMap<Suite, Counts>,
) -> Vec<Finding> {
    let integration_ran = manifest.tests.integration.is_some();
    let mut broken = Conditions { findings: Vec::new(), rules, figures, integration_ran };
    broken.exit_codes(manifest);
    broken.typecheck(manifest);
    broken.unit(manifest, shown.get(&Suite::Unit));
    broken.policy(manifest);
    broken.outcomes();
    broken.flyway(manifest);
    broken.deploy(manifest);
    if let Some(integration) = &manifest.tests.integration {
        broken.integration(integration);
        broken.tested_bytes(manifest, integration);
        broken.tested_templates(manifest, integration);
    }
    broken.pulumi(manifest);
    broken.risk_platform(manifest);
    broken.findings
}

struct Conditions<'a> {
    findings: Vec<Finding>,
    rules: &'a Rules,
    figures: &'a BTreeMap<Suite, Counts>,
    integration_ran: bool,
}

impl Conditions<'_> {
    fn say(&mut self, code: Code, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding::new(code, subject, message));
    }

    /// Something that `condition` asks for is not told.
    fn missing(&mut self, condition: Condition, code: Code, subject: impl Into<String>, message: impl Into<String>) {
        if self.integration_ran && self.rules.require(condition) {
            self.say(code, subject, message);
        }
    }

    /// A report tells of the tests that it holds; that the process itself came to a good end is told by its exit code.
    fn exit_codes(&mut self, manifest: &Manifest) {
        let tests = &manifest.tests;
        let typecheck = tests.typecheck.as_ref().map(|it| ("typecheck", it.exit_code));
        let unit = tests.unit.as_ref().map(|it| ("unit", it.exit_code));
        let policy = tests.policy.as_ref().map(|it| ("policy", it.exit_code));
        let integration = tests.integration.as_ref().map(|it| ("integration", it.exit_code));
        for (step, code) in [typecheck, unit, policy, integration].into_iter().flatten() {
            let subject = format!("tests.{step}.exit_code");
            match code {
                Some(0) => {}
                Some(code) => {
                    let message = format!("the process ended with {code}, whatever its report says: look at its log");
                    self.say(Code::ExitCodeFailed, subject, message);
                }
                None => {
                    let message = "the manifest does not tell it, and the policy requires it: run the step by \
                                   `gatekeeper run`";
                    self.missing(Condition::ExitCodes, Code::ExitCodeMissing, subject, message);
                }
            }
        }
    }

    /// Condition 1: zero type errors.
    fn typecheck(&mut self, manifest: &Manifest) {
        match &manifest.tests.typecheck {
            None => self.missing(
                Condition::Typecheck,
                Code::TypecheckMissing,
                "tests.typecheck",
                "the manifest does not tell it",
            ),
            Some(it) if it.errors > 0 => {
                self.say(Code::TypecheckFailed, "tests.typecheck", format!("{} type errors", it.errors));
            }
            Some(_) => {}
        }
    }

    /// Condition 2: unit tests pass, at least 80 % of lines and functions covered.
    fn unit(&mut self, manifest: &Manifest, shown: Option<&Shown>) {
        let Some(unit) = &manifest.tests.unit else {
            return self.missing(Condition::Unit, Code::UnitMissing, "tests.unit", "the manifest does not tell it");
        };
        let counts = self.counts(Suite::Unit);
        if counts.failed > 0 {
            self.say(Code::UnitFailed, "tests.unit", format!("{} of the unit tests failed", counts.failed));
        }
        if counts.passes() == 0 {
            self.say(Code::UnitMissing, "tests.unit", none_passed("unit", counts));
        }
        let lowest = |of: fn(&Coverage) -> Covered| shown.and_then(|it| it.percent(of)).map(|(lowest, _)| lowest);
        let lines = lowest(|it| it.lines).or(unit.line_coverage);
        let functions = lowest(|it| it.functions).or(unit.function_coverage);
        for (field, coverage, least) in [
            ("line_coverage", lines, self.rules.min_line_coverage),
            ("function_coverage", functions, self.rules.min_function_coverage),
        ] {
            let subject = format!("tests.unit.{field}");
            match coverage {
                // Not a number is not enough either.
                Some(percent) if percent >= least => {}
                Some(percent) => {
                    // Never rounded up: 79.999 % is no 80 %.
                    let shown = (percent * 100.0).floor() / 100.0;
                    let message = format!("{shown} % is below the {least} % that are asked for");
                    self.say(Code::CoverageBelowThreshold, subject, message);
                }
                None => self.missing(
                    Condition::Coverage,
                    Code::CoverageBelowThreshold,
                    subject,
                    "the manifest does not tell it",
                ),
            }
        }
    }

    /// Condition 3: a policy test for each row of `policies_satisfied`.
    fn policy(&mut self, manifest: &Manifest) {
        let Some(policy) = &manifest.tests.policy else {
            return self.missing(
                Condition::Policy,
                Code::PolicyMissing,
                "tests.policy",
                "the manifest does not tell it",
            );
        };
        let counts = self.counts(Suite::Policy);
        if counts.failed > 0 {
            self.say(Code::PolicyFailed, "tests.policy", format!("{} of the policy tests failed", counts.failed));
        }
        let (rows, passes) = (policy.policies_satisfied.len(), counts.passes());
        if passes == 0 && rows == 0 {
            self.say(Code::PolicyMissing, "tests.policy", none_passed("policy", counts));
        }
        if passes < rows as u64 {
            let message = format!("{passes} policy tests passed for {rows} rows of `policies_satisfied`");
            self.say(Code::PolicyUncovered, "tests.policy", message);
        }
    }

    /// Condition 4: `flyway validate` passes for each database; and CI step 10: the schema that was tested is recorded.
    fn flyway(&mut self, manifest: &Manifest) {
        for database in manifest.databases() {
            if !manifest.flyway.contains_key(database) {
                self.missing(
                    Condition::Flyway,
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
                self.missing(Condition::SchemaSnapshot, Code::SchemaSnapshotMissing, database.as_str(), message);
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
            None => self.missing(Condition::Deploy, Code::DeployMissing, "deploy", "the manifest does not tell it"),
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
        let counts = self.counts(Suite::Integration);
        for (outcome, code) in [
            (Outcome::Failed, Code::IntegrationFailed),
            (Outcome::Skipped, Code::IntegrationSkipped),
            (Outcome::Todo, Code::IntegrationSkipped),
            (Outcome::NotRun, Code::IntegrationSkipped),
        ] {
            let tests = counts.of(outcome);
            if tests > 0 {
                let message = format!("{tests} of the integration tests {}", outcome.said());
                self.say(code, "tests.integration", message);
            }
        }
        if counts.passes() == 0 {
            self.say(Code::IntegrationMissing, "tests.integration", none_passed("integration", counts));
        }
    }

    /// What the policy allows tests to come to, beyond ADR-053.
    fn outcomes(&mut self) {
        for (suite, counts) in self.figures {
            let suite = suite.as_str();
            for outcome in &self.rules.refuse {
                let tests = counts.of(*outcome);
                if tests > 0 {
                    let message = format!(
                        "{tests} of the {suite} tests {}, and the policy refuses `{}`",
                        outcome.said(),
                        outcome.as_str()
                    );
                    self.say(Code::OutcomeRefused, format!("tests.{suite}.{}", outcome.figure()), message);
                }
            }
            if let Some(most) = self.rules.max_flaky.filter(|most| counts.flaky > *most) {
                let message = format!(
                    "{} of the {suite} tests {}, and the policy allows {most}",
                    counts.flaky,
                    Outcome::Flaky.said()
                );
                self.say(Code::OutcomeRefused, format!("tests.{suite}.flaky"), message);
            }
        }
    }

    /// What the tests of a suite came to. Of one that is not told of none passed, which is refused.
    fn counts(&self, suite: Suite) -> Counts {
        self.figures.get(&suite).map_or_else(Counts::default, |counts| *counts)
    }

    /// ADR-053 problem 1: the tests exercised exactly the stored bytes of every function.
    fn tested_bytes(&mut self, manifest: &Manifest, tests: &IntegrationTests) {
        for function in manifest.functions() {
            let mut deployed = tests.deployed.iter().filter(|it| it.function == function.name).peekable();
            if deployed.peek().is_none() {
                let message = "`tests.integration.deployed` does not tell which code of it was tested";
                self.missing(Condition::TestedBytes, Code::TestedBytesMissing, function.name.as_str(), message);
            }
            for tested in deployed.filter(|it| it.code_sha256 != function.sha256) {
                let message = format!("tested was `{}`, stored is `{}`", tested.code_sha256, function.sha256);
                self.say(Code::TestedBytesMismatch, function.name.as_str(), message);
            }
        }
        self.tested_layers(manifest, tests);
    }

    /// The same of the layers: a template names a layer's content by a key, which doesn't bind its bytes.
    fn tested_layers(&mut self, manifest: &Manifest, tests: &IntegrationTests) {
        let assets = manifest.modules.iter().flat_map(|module| &module.assets);
        for layer in assets.filter(|asset| asset.kind == AssetKind::Layer) {
            let subject = format!("layer {} of {}", layer.key, layer.stack);
            let deployed: BTreeSet<_> =
                tests.layers.iter().filter(|it| it.stack == layer.stack).map(|it| it.code_sha256).collect();
            if deployed.is_empty() {
                let message = "`tests.integration.layers` does not tell which layers its stack had while it was tested";
                self.missing(Condition::TestedBytes, Code::TestedBytesMissing, subject, message);
            } else if !deployed.contains(&layer.sha256) {
                let deployed: Vec<_> = deployed.iter().map(|it| format!("`{it}`")).collect();
                let message = format!("tested were {}, stored is `{}`", deployed.join(" and "), layer.sha256);
                self.say(Code::TestedBytesMismatch, subject, message);
            }
        }
    }

    /// The same of the stacks: their permissions, settings and wiring were tested as they are stored.
    fn tested_templates(&mut self, manifest: &Manifest, tests: &IntegrationTests) {
        for stack in manifest.modules.iter().flat_map(|module| &module.stacks) {
            let mut deployed = tests.templates.iter().filter(|it| it.stack == stack.name).peekable();
            if deployed.peek().is_none() {
                let message = "`tests.integration.templates` does not tell which template it had while it was tested";
                self.missing(Condition::TestedTemplates, Code::TestedTemplatesMissing, stack.name.as_str(), message);
            }
            for tested in deployed.filter(|it| it.sha256 != stack.sha256) {
                let message = format!("tested was `{}`, stored is `{}`", tested.sha256, stack.sha256);
                self.say(Code::TestedTemplatesMismatch, stack.name.as_str(), message);
            }
        }
    }

    /// ADR-053 "Pulumi": the program is this commit's.
    fn pulumi(&mut self, manifest: &Manifest) {
        match &manifest.pulumi {
            Some(pulumi) => {
                if pulumi.program_sha != manifest.commit_sha {
                    let message = format!("the program is from `{}`, not from this commit", pulumi.program_sha);
                    self.say(Code::PulumiMismatch, "pulumi.program_sha", message);
                }
                match &pulumi.update {
                    Some(update) => self.pulumi_update(manifest, update),
                    // It is made by the step that tells of the deploy, so until then it may be to come.
                    None if self.integration_ran => {
                        let message = "the manifest names the program, and not what Pulumi remembers of its update, so \
                                       nothing shows that it was applied: run the step by this version's `gatekeeper run \
                                       pulumi`";
                        self.say(Code::PulumiHistoryMismatch, "pulumi.update", message);
                    }
                    None => {}
                }
            }
            None => self.missing(Condition::Pulumi, Code::PulumiMissing, "pulumi", "the manifest does not tell it"),
        }
    }

    /// ADR-053 "Pulumi": the artefact is the program at the commit and the stack's state, so an update must have made it.
    fn pulumi_update(&mut self, manifest: &Manifest, update: &PulumiUpdate) {
        let PulumiUpdate { kind, result, git_head, git_dirty, stack, started_at, step_started_at, ended_at, .. } =
            update;
        let mut wrong = |field: &str, message: String| {
            self.findings.push(Finding::new(Code::PulumiHistoryMismatch, format!("pulumi.update.{field}"), message));
        };
        if kind != "update" {
            wrong("kind", format!("the newest entry of the stack's history is of `{}`, not of `update`", plain(kind)));
        }
        if result != "succeeded" {
            wrong("result", format!("the update came to `{}`", plain(result)));
        }
        match git_head {
            Some(head) if head == manifest.commit_sha.as_str() => {}
            Some(head) => {
                wrong("git_head", format!("the update was made from `{}`, not from this commit", plain(head)));
            }
            None => wrong("git_head", "Pulumi does not tell which commit the update was made from".to_owned()),
        }
        match git_dirty {
            Some(false) => {}
            Some(true) => wrong("git_dirty", "the update was made from a folder with uncommitted changes".to_owned()),
            None => wrong("git_dirty", "Pulumi does not tell whether the folder held changes".to_owned()),
        }
        if let Some(deploy) = manifest.deploy.as_ref().filter(|deploy| deploy.stage.as_str() != stack) {
            wrong("stack", format!("the stack is `{}`, and `{}` was deployed to", plain(stack), deploy.stage));
        }
        // Pulumi keeps whole seconds.
        if started_at.as_second() < step_started_at.as_second() {
            wrong("started_at", format!("the update began at {started_at}, and the step at {step_started_at}"));
        }
        match ended_at {
            Some(ended) if ended < started_at => {
                wrong("ended_at", format!("the update ended at {ended}, before it began at {started_at}"));
            }
            Some(_) => {}
            None => wrong("ended_at", "the update has not ended".to_owned()),
        }
    }

    /// Condition 8: DCM plan and deploy, and `dbt build`; the risk platform must tell of them.
    fn risk_platform(&mut self, manifest: &Manifest) {
        let untold = "the manifest does not tell it";
        match &manifest.dcm {
            // Artefacts are uploaded between the two (CI steps 4, 6 and 7): until the integration tests ran, the deploy may be to come.
            Some(it) if it.plan && (it.deploy || !self.integration_ran) => {}
            Some(it) => {
                let message = format!("plan completed: {}, deploy completed: {}", it.plan, it.deploy);
                self.say(Code::DcmIncomplete, "dcm", message);
            }
            None => self.missing(Condition::Dcm, Code::DcmIncomplete, "dcm", untold),
        }
        match &manifest.dbt_build {
            Some(it) if it.succeeded => {}
            Some(_) => self.say(Code::DbtBuildIncomplete, "dbt_build", "`dbt build` did not succeed"),
            None => self.missing(Condition::Dbt, Code::DbtBuildIncomplete, "dbt_build", untold),
        }
        if manifest.modules.iter().all(|module| module.dbt.is_none()) {
            self.missing(Condition::Dbt, Code::DbtBuildIncomplete, "modules", "no module has a dbt manifest");
        }
        for module in &manifest.modules {
            if module.dbt.as_ref().is_some_and(|it| it.run_results.is_none()) {
                let message = "the manifest lists no `run_results.json` beside the module's dbt manifest, and the policy \
                               asks for it: store both as one `dbt build` left them";
                let subject = ArtefactPath::DbtRunResults(module.id.clone()).to_string();
                self.missing(Condition::DbtRunResults, Code::DbtRunResultsMissing, subject, message);
            }
        }
    }
}

/// That no test of a suite passed, and what the others came to.
fn none_passed(suite: &str, counts: Counts) -> String {
    let others: Vec<_> = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome, counts.of(outcome)))
        .filter(|(_, tests)| *tests > 0)
        .map(|(outcome, tests)| format!("{tests} {}", outcome.said()))
        .collect();
    if others.is_empty() {
        format!("no {suite} test passed")
    } else {
        format!("no {suite} test passed: {}", others.join(", "))
    }
}
