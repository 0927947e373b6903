//! What became of a pipeline's step, in the build's own document (CONTRACT §3).

use gatekeeper_model::{
    ids::{CommitSha, StageName},
    manifest::PulumiUpdate,
};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// What marks a line of TypeScript's compiler that tells of an error.
const TYPE_ERROR: &[u8] = b"error TS";

/// As much of a line is looked at; what marks an error stands behind a file's path.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// A step of a pipeline that the document tells of (ADR-053 "CI pipeline shape").
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Step {
    /// `pnpm typecheck`
    Typecheck,
    /// `pnpm test:unit`
    Unit,
    /// `pnpm test:policy`
    Policy,
    /// `sst deploy`, or what else deploys
    Deploy,
    /// `pnpm test:integration`
    Integration,
    /// `node tests/verify-deployment.mjs`
    Smoke,
    /// `pulumi up`
    Pulumi,
    /// DCM plan
    DcmPlan,
    /// DCM deploy
    DcmDeploy,
    /// `dbt build`
    DbtBuild,
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome<'a> {
    /// The exit code of its process.
    pub(crate) exit_code: u8,
    /// How many lines of its output told of a type error.
    pub(crate) type_errors: u64,
    /// Whether the integration tests were told to run.
    pub(crate) run_integration: bool,
    /// Where it deployed to.
    pub(crate) stage: &'a StageName,
    /// The commit that its Pulumi program is of.
    pub(crate) program_sha: Option<&'a CommitSha>,
    /// What Pulumi remembers of the update that it made.
    pub(crate) pulumi_update: Option<&'a PulumiUpdate>,
}

impl Step {
    /// What it is called, on the command line too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Typecheck => "typecheck",
            Self::Unit => "unit",
            Self::Policy => "policy",
            Self::Deploy => "deploy",
            Self::Integration => "integration",
            Self::Smoke => "smoke",
            Self::Pulumi => "pulumi",
            Self::DcmPlan => "dcm-plan",
            Self::DcmDeploy => "dcm-deploy",
            Self::DbtBuild => "dbt-build",
        }
    }

    /// The fields that it tells, each by its path.
    fn fields(self, outcome: &Outcome<'_>) -> Vec<(&'static str, Value)> {
        let Outcome { exit_code, type_errors, run_integration, stage, program_sha, pulumi_update } = *outcome;
        let succeeded = exit_code == 0;
        match self {
            Self::Typecheck => {
                // A script may swallow the exit code.
                let errors = if succeeded { type_errors } else { type_errors.max(1) };
                vec![("tests.typecheck.errors", json!(errors)), ("tests.typecheck.exit_code", json!(exit_code))]
            }
            Self::Unit => vec![("tests.unit.exit_code", json!(exit_code))],
            Self::Policy => vec![("tests.policy.exit_code", json!(exit_code))],
            Self::Integration => vec![
                ("tests.integration.exit_code", json!(exit_code)),
                ("tests.integration.run_integration", json!(run_integration)),
            ],
            Self::Smoke => vec![("tests.smoke.exit_code", json!(exit_code))],
            Self::Deploy => vec![("deploy.stage", json!(stage)), ("deploy.succeeded", json!(succeeded))],
            Self::Pulumi => {
                let mut fields = Self::Deploy.fields(outcome);
                fields.push(("pulumi.program_sha", json!(program_sha)));
                fields.push(("pulumi.update", json!(pulumi_update)));
                fields
            }
            Self::DcmPlan => vec![("dcm.plan", json!(succeeded))],
            Self::DcmDeploy => vec![("dcm.deploy", json!(succeeded))],
            Self::DbtBuild => vec![("dbt_build.succeeded", json!(succeeded))],
        }
    }

    /// Writes into the document what became of it; everything else there is kept.
    ///
    /// # Errors
    /// Where something of the document is in the way; then it is as it was.
    pub(crate) fn record(self, document: &mut Object, outcome: &Outcome<'_>) -> Result<(), String> {
        let mut new = document.clone();
        for (path, value) in self.fields(outcome) {
            let (part, field) = path.rsplit_once('.').unwrap_or(("", path));
            // Of an update that failed nothing is told.
            if value.is_null() {
                remove(&mut new, path);
                continue;
            }
            object(&mut new, part)?.insert(field.to_owned(), value);
        }
        if matches!(self, Self::DcmPlan | Self::DcmDeploy) {
            // A manifest tells of both: what has not run has not completed.
            let dcm = object(&mut new, "dcm")?;
            for field in ["plan", "deploy"] {
                dcm.entry(field).or_insert(json!(false));
            }
        }
        *document = new;
        Ok(())
    }

    /// Takes out of the document what an earlier run of it told, so that a run that is broken off leaves nothing that
    /// looks like its result. Whether that was anything.
    ///
    /// # Errors
    /// Where [`Self::record`] will have one.
    pub(crate) fn withdraw(self, document: &mut Object, outcome: &Outcome<'_>) -> Result<bool, String> {
        self.record(&mut document.clone(), outcome)?;
        if matches!(self, Self::DcmPlan | Self::DcmDeploy) && document.contains_key("dcm") {
            let mut failed = document.clone();
            self.record(&mut failed, &Outcome { exit_code: 1, ..*outcome })?;
            let differs = failed != *document;
            *document = failed;
            return Ok(differs);
        }
        let mut withdrawn = false;
        for (path, _) in self.fields(outcome) {
            withdrawn |= remove(document, path);
        }
        Ok(withdrawn)
    }
}

/// The object at `path`, made where there is none.
fn object<'a>(document: &'a mut Object, path: &str) -> Result<&'a mut Object, String> {
    let mut at = document;
    for part in path.split('.') {
        let Value::Object(inner) = at.entry(part).or_insert_with(|| json!({})) else {
            return Err(format!("`{part}` of `{path}` is not an object"));
        };
        at = inner;
    }
    Ok(at)
}

/// Removes the value at `path`, and the objects around it that are empty then.
fn remove(document: &mut Object, path: &str) -> bool {
    let Some((part, rest)) = path.split_once('.') else { return document.remove(path).is_some() };
    let Some(Value::Object(inner)) = document.get_mut(part) else { return false };
    let removed = remove(inner, rest);
    if removed && inner.is_empty() {
        document.remove(part);
    }
    removed
}

/// Counts the lines that tell of a type error, as the output comes.
#[derive(Debug, Default)]
pub(crate) struct TypeErrors {
    line: Vec<u8>,
    count: u64,
}

impl TypeErrors {
    /// Takes the next piece of the output.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE_BYTES - self.line.len();
            self.line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// How many there were, at the output's end.
    pub(crate) fn count(mut self) -> u64 {
        self.end_line();
        self.count
    }

    fn end_line(&mut self) {
        // In colours the words stand apart.
        let line = anstream::adapter::strip_bytes(&self.line).into_vec();
        self.count += u64::from(line.windows(TYPE_ERROR.len()).any(|words| words == TYPE_ERROR));
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

    fn with_outcome<T>(exit_code: u8, then: impl FnOnce(&Outcome<'_>) -> T) -> T {
        let (stage, sha) = ("dev".parse().unwrap(), SHA.parse().unwrap());
        then(&Outcome {
            exit_code,
            type_errors: 0,
            run_integration: true,
            stage: &stage,
            program_sha: Some(&sha),
            pulumi_update: None,
        })
    }

    fn recorded(step: Step, document: Value, exit_code: u8) -> Value {
        let Value::Object(mut document) = document else { panic!("{document}") };
        with_outcome(exit_code, |outcome| step.record(&mut document, outcome)).unwrap();
        Value::Object(document)
    }

    #[test]
    fn each_step_writes_its_own_fields() {
        let written = |exit_code| {
            let steps = Step::value_variants().iter();
            let lines = steps.map(|step| format!("{:<11} {}", step.name(), recorded(*step, json!({}), exit_code)));
            lines.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(written(0), @r#"
        typecheck   {"tests":{"typecheck":{"errors":0,"exit_code":0}}}
        unit        {"tests":{"unit":{"exit_code":0}}}
        policy      {"tests":{"policy":{"exit_code":0}}}
        deploy      {"deploy":{"stage":"dev","succeeded":true}}
        integration {"tests":{"integration":{"exit_code":0,"run_integration":true}}}
        smoke       {"tests":{"smoke":{"exit_code":0}}}
        pulumi      {"deploy":{"stage":"dev","succeeded":true},"pulumi":{"program_sha":"3f1c9a0b5d7e2468ace013579bdf02468ace1357"}}
        dcm-plan    {"dcm":{"deploy":false,"plan":true}}
        dcm-deploy  {"dcm":{"deploy":true,"plan":false}}
        dbt-build   {"dbt_build":{"succeeded":true}}
        "#);
        insta::assert_snapshot!(written(3), @r#"
        typecheck   {"tests":{"typecheck":{"errors":1,"exit_code":3}}}
        unit        {"tests":{"unit":{"exit_code":3}}}
        policy      {"tests":{"policy":{"exit_code":3}}}
        deploy      {"deploy":{"stage":"dev","succeeded":false}}
        integration {"tests":{"integration":{"exit_code":3,"run_integration":true}}}
        smoke       {"tests":{"smoke":{"exit_code":3}}}
        pulumi      {"deploy":{"stage":"dev","succeeded":false},"pulumi":{"program_sha":"3f1c9a0b5d7e2468ace013579bdf02468ace1357"}}
        dcm-plan    {"dcm":{"deploy":false,"plan":false}}
        dcm-deploy  {"dcm":{"deploy":false,"plan":false}}
        dbt-build   {"dbt_build":{"succeeded":false}}
        "#);
    }

    #[test]
    fn a_step_is_called_what_the_command_line_calls_it() {
        for step in Step::value_variants() {
            assert_eq!(step.to_possible_value().unwrap().get_name(), step.name());
        }
    }

    #[test]
    fn everything_else_of_the_document_is_kept() {
        let document = json!({
            "repo": "bank-payments", "sbom": {"format": "spdx"},
            "tests": {"unit": {"passed": 3, "exit_code": 1}, "integration": {"removed_tests": ["a › b"]}},
            "dcm": {"plan": true, "note": "kept"}
        });
        let document = recorded(Step::Unit, document, 0);
        let document = recorded(Step::Integration, document, 0);
        let document = recorded(Step::DcmDeploy, document, 0);
        assert_eq!(
            document,
            json!({
                "repo": "bank-payments", "sbom": {"format": "spdx"},
                "tests": {
                    "unit": {"passed": 3, "exit_code": 0},
                    "integration": {"removed_tests": ["a › b"], "exit_code": 0, "run_integration": true}
                },
                "dcm": {"plan": true, "deploy": true, "note": "kept"}
            })
        );
    }

    #[test]
    fn a_failed_type_check_has_at_least_one_error() {
        let (stage, mut document) = ("dev".parse().unwrap(), Map::new());
        let mut errors = |exit_code, type_errors| {
            let outcome = Outcome {
                exit_code,
                type_errors,
                run_integration: false,
                stage: &stage,
                program_sha: None,
                pulumi_update: None,
            };
            Step::Typecheck.record(&mut document, &outcome).unwrap();
            document["tests"]["typecheck"]["errors"].clone()
        };
        assert_eq!((errors(2, 7), errors(1, 0), errors(0, 7)), (json!(7), json!(1), json!(7)));
        assert_eq!(errors(0, 0), json!(0));
    }

    #[test]
    fn what_an_earlier_run_told_is_withdrawn_and_nothing_else() {
        let withdrawn = |step: Step, document: Value| {
            let Value::Object(mut document) = document else { panic!("{document}") };
            let something = with_outcome(0, |outcome| step.withdraw(&mut document, outcome)).unwrap();
            (something, Value::Object(document))
        };
        assert_eq!(withdrawn(Step::Unit, json!({"tests": {"unit": {"exit_code": 0}}})), (true, json!({})));
        assert_eq!(
            withdrawn(Step::Unit, json!({"tests": {"unit": {"exit_code": 0, "passed": 3}, "policy": {}}})),
            (true, json!({"tests": {"unit": {"passed": 3}, "policy": {}}}))
        );
        let empty = json!({"tests": {"unit": {}}});
        assert_eq!(withdrawn(Step::Unit, empty.clone()), (false, empty));
        // A manifest's `dcm` has both fields, or is not there.
        assert_eq!(
            withdrawn(Step::DcmPlan, json!({"dcm": {"plan": true, "deploy": true}})),
            (true, json!({"dcm": {"plan": false, "deploy": true}}))
        );
        assert_eq!(withdrawn(Step::DcmPlan, json!({})), (false, json!({})));
    }

    #[test]
    fn what_is_in_the_way_is_named_and_stays() {
        for (step, document, reason) in [
            (Step::Unit, json!({"tests": 3}), "`tests` of `tests.unit` is not an object"),
            (
                Step::Integration,
                json!({"tests": {"integration": []}}),
                "`integration` of `tests.integration` is not an object",
            ),
            (Step::Pulumi, json!({"pulumi": null}), "`pulumi` of `pulumi` is not an object"),
        ] {
            let Value::Object(mut object) = document.clone() else { panic!("{document}") };
            with_outcome(0, |outcome| {
                assert_eq!(step.record(&mut object, outcome).unwrap_err(), reason);
                assert_eq!(step.withdraw(&mut object, outcome).unwrap_err(), reason);
            });
            assert_eq!(Value::Object(object), document);
        }
    }

    #[test]
    fn lines_that_tell_of_a_type_error_are_counted_however_they_come() {
        let output = "src/a.ts(1,7): error TS2322: no\r\nFound it.\n\
                      \u{1b}[96ma.ts\u{1b}[0m - \u{1b}[91merror\u{1b}[0m\u{1b}[90m TS2345: \u{1b}[0mno, error TS1: no\n\
                      error TS18003: no inputs";
        for length in [1, 7, output.len()] {
            let mut errors = TypeErrors::default();
            output.as_bytes().chunks(length).for_each(|piece| errors.read(piece));
            assert_eq!(errors.count(), 3, "in pieces of {length}");
        }
        // A line without an end takes no memory without one.
        let mut errors = TypeErrors::default();
        (0..10).for_each(|_| errors.read(&vec![b'x'; MAX_LINE_BYTES]));
        assert_eq!((errors.line.capacity() <= 2 * MAX_LINE_BYTES, errors.count()), (true, 0));
    }
}
