//! `gatekeeper run` with real processes: what is passed on, and what the build's document says then.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::common::{Build, Run, SHA, gatekeeper_in, gatekeeper_with};

/// Where the programs of these tests are found.
const PATH: (&str, &str) = ("PATH", "/usr/local/bin:/usr/bin:/bin");

/// A folder of a build, and one to work in.
struct Pipeline {
    root: tempfile::TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Pipeline {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), variables: vec![PATH] }
    }

    fn of(document: &str) -> Self {
        let pipeline = Self::new();
        fs::create_dir(pipeline.build()).unwrap();
        fs::write(pipeline.manifest(), document).unwrap();
        pipeline
    }

    fn with(mut self, variables: &[(&'static str, &'static str)]) -> Self {
        self.variables.extend(variables);
        self
    }

    fn build(&self) -> std::path::PathBuf {
        self.root.path().join("build")
    }

    fn manifest(&self) -> std::path::PathBuf {
        self.build().join("build-manifest.json")
    }

    /// Runs a step; `options` come before the command.
    fn run_with(&self, step: &str, options: &[&str], command: &[&str]) -> Run {
        let build = self.build();
        let before = ["run", step, "--dir", build.to_str().unwrap()];
        let arguments: Vec<_> = [&before, options, &["--"], command].concat();
        let mut run = gatekeeper_in(self.root.path(), &arguments, &self.variables);
        run.stderr = run.stderr.replace(self.root.path().to_str().unwrap(), "ROOT");
        run
    }

    /// Runs a step whose command is a line of shell.
    fn run(&self, step: &str, line: &str) -> Run {
        self.run_with(step, &[], &["sh", "-c", line])
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.manifest()).unwrap()).unwrap()
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=CI", "-c", "user.email=ci@bank.example", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn output_and_exit_code_are_the_commands_own() {
    let pipeline = Pipeline::new();
    let run = pipeline.run("unit", "printf 'one\\ntwo'; printf 'three' >&2; exit 42");
    insta::assert_snapshot!(run.shown(), @"
    exit 42
    --- stdout
    one
    two--- stderr
    three
    ");
    assert_eq!(pipeline.document(), json!({"tests": {"unit": {"exit_code": 42}}}));
    let run = pipeline.run("unit", "true");
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    assert_eq!(pipeline.document(), json!({"tests": {"unit": {"exit_code": 0}}}));
    // Nothing is left beside it that `publish` would refuse.
    assert_eq!(fs::read_dir(pipeline.build()).unwrap().count(), 1);
}

#[test]
fn a_signal_is_told_as_a_shell_does() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.run("smoke", "kill -KILL $$").code, 137);
    assert_eq!(pipeline.document(), json!({"tests": {"smoke": {"exit_code": 137}}}));
}

/// A step whose command gets a signal by way of `gatekeeper run`, once it says by the file `started` that it is there.
fn signalled(pipeline: &Pipeline, step: &str, signal: &str, line: &str) -> Option<i32> {
    let mut run = Command::new(env!("CARGO_BIN_EXE_gatekeeper"))
        .args(["run", step, "--dir", pipeline.build().to_str().unwrap(), "--", "sh", "-c", line])
        .current_dir(pipeline.root.path())
        .env_clear()
        .envs([PATH])
        .spawn()
        .unwrap();
    while !pipeline.root.path().join("started").exists() {
        assert!(run.try_wait().unwrap().is_none(), "it ended before it was started");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
    fs::write(pipeline.root.path().join("sent"), signal).unwrap();
    run.wait().unwrap().code()
}

#[test]
fn a_command_that_is_told_to_end_can_tidy_up_and_what_became_of_it_is_kept() {
    for (signal, name) in [("-TERM", "TERM"), ("-HUP", "HUP")] {
        for step in ["unit", "typecheck"] {
            let pipeline = Pipeline::new();
            let tidies_up =
                format!("trap 'echo {name} > told; exit 7' {name}; touch started; while :; do sleep 0.05; done");
            assert_eq!(signalled(&pipeline, step, signal, &tidies_up), Some(7), "{step} {signal}");
            assert_eq!(fs::read_to_string(pipeline.root.path().join("told")).unwrap().trim(), name);
            assert_eq!(pipeline.document()["tests"][step]["exit_code"], json!(7));
        }
    }
    let pipeline = Pipeline::new();
    assert_eq!(signalled(&pipeline, "unit", "-TERM", "touch started; exec sleep 60"), Some(143));
    assert_eq!(pipeline.document(), json!({"tests": {"unit": {"exit_code": 143}}}));
}

#[test]
fn an_interrupt_is_waited_for_and_not_passed_on() {
    let pipeline = Pipeline::new();
    let line = "trap 'exit 9' INT; touch started; while [ ! -e sent ]; do sleep 0.05; done";
    assert_eq!(signalled(&pipeline, "unit", "-INT", line), Some(0));
    assert_eq!(pipeline.document(), json!({"tests": {"unit": {"exit_code": 0}}}));
}

#[test]
fn the_rest_of_the_document_is_kept_also_what_the_command_writes() {
    let pipeline = Pipeline::of(
        r#"{"branch": "main", "tests": {"unit": {"exit_code": 0}, "x": 1.25}, "deploy": {"succeeded": true}}"#,
    );
    let run = pipeline.run(
        "deploy",
        r#"grep -q succeeded build/build-manifest.json && exit 9; echo '{"branch": "other", "sbom": []}' > build/build-manifest.json"#,
    );
    assert_eq!(run.code, 0, "what the run before told was withdrawn: {}", run.shown());
    let deploy = json!({"stage": "dev", "succeeded": true});
    assert_eq!(pipeline.document(), json!({"branch": "other", "sbom": [], "deploy": deploy}));
    assert_eq!(pipeline.run_with("deploy", &["--stage", "uat"], &["false"]).code, 1);
    assert_eq!(pipeline.document()["deploy"], json!({"stage": "uat", "succeeded": false}));
}

#[test]
fn a_document_that_cant_be_used_is_refused_before_anything_runs() {
    for document in ["{", "[]", r#"{"tests": []}"#, r#"{"tests": {"policy": "passed"}}"#] {
        let pipeline = Pipeline::of(document);
        let run = pipeline.run("policy", "touch ran");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert!(run.stderr.contains("`ROOT/build/build-manifest.json`"), "{}", run.stderr);
        assert!(!pipeline.root.path().join("ran").exists(), "{document}");
        assert_eq!(fs::read_to_string(pipeline.manifest()).unwrap(), document);
    }
}

#[test]
fn a_document_that_the_command_breaks_is_an_error_unless_the_step_failed_anyway() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.run("unit", "echo '[' > build/build-manifest.json").code, 2);
    let pipeline = Pipeline::new();
    let run = pipeline.run("unit", "echo '[' > build/build-manifest.json; exit 5");
    assert_eq!(run.code, 5);
    assert!(run.stderr.contains("is not a JSON object"), "{}", run.stderr);
}

#[test]
fn whether_the_integration_tests_were_told_to_run_is_seen_in_the_environment() {
    for (variables, seen) in
        [(&[("RUN_INTEGRATION", "1")] as &[_], true), (&[("RUN_INTEGRATION", "0")], false), (&[], false)]
    {
        let pipeline = Pipeline::new().with(variables);
        assert_eq!(pipeline.run("integration", "true").code, 0);
        assert_eq!(pipeline.document(), json!({"tests": {"integration": {"exit_code": 0, "run_integration": seen}}}));
    }
}

#[test]
fn type_errors_are_counted_and_passed_on_byte_by_byte() {
    let pipeline = Pipeline::new();
    let tsc = r"printf 'a.ts(1,7): error TS2322: no\nb.ts(2,1): error TS2304: no\n\nFound 2 errors.\n'; exit 2";
    let run = pipeline.run("typecheck", tsc);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (2, "a.ts(1,7): error TS2322: no\nb.ts(2,1): error TS2304: no\n\nFound 2 errors.\n")
    );
    assert_eq!(pipeline.document(), json!({"tests": {"typecheck": {"errors": 2, "exit_code": 2}}}));
    assert_eq!(pipeline.run("typecheck", "exit 3").code, 3);
    assert_eq!(pipeline.document(), json!({"tests": {"typecheck": {"errors": 1, "exit_code": 3}}}));
    assert_eq!(pipeline.run("typecheck", "echo 0 errors").code, 0);
    assert_eq!(pipeline.document(), json!({"tests": {"typecheck": {"errors": 0, "exit_code": 0}}}));
}

#[test]
fn a_command_that_cant_be_started_is_a_failed_step() {
    let pipeline = Pipeline::new();
    let run = pipeline.run_with("deploy", &[], &["no-such-command"]);
    insta::assert_snapshot!(run.shown(), @"
    exit 127
    --- stdout
    --- stderr
    error: `no-such-command` can't be started: No such file or directory (os error 2)
    ");
    assert_eq!(pipeline.document(), json!({"deploy": {"stage": "dev", "succeeded": false}}));
    fs::write(pipeline.root.path().join("notes"), "no program").unwrap();
    assert_eq!(pipeline.run_with("smoke", &[], &["./notes"]).code, 126);
    assert_eq!(pipeline.document()["tests"]["smoke"]["exit_code"], 126);
}

#[test]
fn steps_that_run_at_once_lose_nothing() {
    let pipeline = Pipeline::new();
    let steps = ["typecheck", "unit", "policy", "integration", "smoke", "dcm-plan", "dcm-deploy", "dbt-build"];
    std::thread::scope(|scope| {
        for step in steps {
            scope.spawn(|| assert_eq!(pipeline.run(step, "true").code, 0));
        }
    });
    let document = pipeline.document();
    assert_eq!(document["tests"].as_object().unwrap().len(), 5);
    assert_eq!(document["dcm"], json!({"plan": true, "deploy": true}));
    assert_eq!(document["dbt_build"], json!({"succeeded": true}));
}

#[test]
fn the_commit_of_a_pulumi_program_is_told_only_where_it_is_all_of_it() {
    let pipeline = Pipeline::new();
    let program = pipeline.root.path();
    let refused = pipeline.run("pulumi", "touch ran");
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("does not tell which commit the Pulumi program is of: fatal: not a git repository"),
        "{}",
        refused.stderr
    );

    git(program, &["init", "--quiet"]);
    fs::write(program.join(".gitignore"), "build\n").unwrap();
    fs::write(program.join("Pulumi.yaml"), "name: bank-platform\n").unwrap();
    let refused = pipeline.run("pulumi", "touch ran");
    insta::assert_snapshot!(refused.shown(), @"
    exit 2
    --- stdout
    --- stderr
    error: the Pulumi program is not the commit's, because of uncommitted changes
      ?? .gitignore
      ?? Pulumi.yaml
    commit them, or let `.gitignore` name what is built
    ");
    assert!(!program.join("ran").exists());

    git(program, &["add", "."]);
    git(program, &["commit", "--quiet", "--message", "the program"]);
    let sha = git(program, &["rev-parse", "HEAD"]);
    // What the real engine printed, with the moment and the commit of this one in it.
    let listed = fs::read_to_string(PRINTED).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let run = |line: &str, change: &dyn Fn(&mut Value)| {
        let mut entry = listed.clone();
        entry[0]["environment"]["git.head"] = json!(sha);
        entry[0]["startTime"] = json!("AT");
        entry[0]["endTime"] = json!("AT");
        change(&mut entry[0]);
        let bin = program.join(".git/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("history"), entry.to_string()).unwrap();
        fs::write(bin.join("pulumi"), STAND_IN).unwrap();
        fs::set_permissions(bin.join("pulumi"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path: &'static str = Box::leak(format!("{}:{}", bin.display(), PATH.1).into_boxed_str());
        let build = pipeline.build();
        let arguments = ["run", "pulumi", "--dir", build.to_str().unwrap(), "--", "sh", "-c", line];
        gatekeeper_in(program, &arguments, &[("PATH", path)])
    };
    let done = run("true", &|_| ());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut document = pipeline.document();
    let update = document["pulumi"]["update"].take();
    let deploy = json!({"stage": "dev", "succeeded": true});
    assert_eq!(document, json!({"deploy": deploy, "pulumi": {"program_sha": sha, "update": null}}));
    for (field, value) in [
        ("backend", json!("https://api.pulumi.example/bank")),
        ("project", json!("bank-platform")),
        ("stack", json!("dev")),
        ("git_head", json!(sha)),
        ("git_dirty", json!(false)),
        ("result", json!("succeeded")),
        ("resource_changes", json!({"create": 7})),
        ("engine", json!("v3.276.0")),
        ("plugins", json!({"aws": "7.48.0"})),
    ] {
        assert_eq!(update[field], value, "{field}");
    }

    let refused = |change: &dyn Fn(&mut Value)| {
        let run = run("true", change);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let deploy = json!({"stage": "dev", "succeeded": false});
        assert_eq!(pipeline.document(), json!({"deploy": deploy, "pulumi": {"program_sha": sha}}));
        run.stderr
    };
    let all = refused(&|it| {
        (it["kind"], it["result"]) = (json!("destroy"), json!("failed"));
        it["environment"] = json!({"git.head": "0".repeat(40), "git.dirty": "true"});
    });
    insta::assert_snapshot!(all.replace(&sha, "COMMIT"));
    let earlier = refused(&|it| it["startTime"] = json!("2026-05-02T03:04:05.000Z"));
    assert!(earlier.contains("began at 2026-05-02T03:04:05Z, before the step at"), "{earlier}");
    assert_eq!(run("exit 3", &|_| ()).code, 3);
    assert_eq!(pipeline.document()["deploy"]["succeeded"], json!(false));
}

/// What `pulumi stack history --json` printed, `tests/oracles/make_pulumi_artefacts.py`.
const PRINTED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/readers/src/pulumi/fixtures/3.276.0/first/listed.json");

/// Prints what Pulumi does, of the history beside it.
const STAND_IN: &str = r#"#!/bin/sh
case "$1 $2" in
  "stack history") sed "s/\"AT\"/\"$(date -u +%Y-%m-%dT%H:%M:%S.000Z)\"/g" "$(dirname "$0")/history" ;;
  "whoami --verbose") echo '{"user": "ci", "url": "https://ci:token@api.pulumi.example/bank?x=y"}' ;;
  "stack export") echo '{"version": 3, "deployment": {"manifest": {"version": "v3.276.0"}, "resources": [
    {"urn": "urn:pulumi:dev::bank-platform::pulumi:pulumi:Stack::bank-platform-dev", "type": "pulumi:pulumi:Stack"},
    {"urn": "urn:pulumi:dev::bank-platform::pulumi:providers:aws::default", "custom": true, "inputs": {"version": "7.48.0"}}]}}' ;;
  *) exit 9 ;;
esac
"#;

#[test]
fn on_github_a_failing_step_is_an_annotation() {
    let pipeline = Pipeline::new().with(&[("GITHUB_ACTIONS", "true")]);
    insta::assert_snapshot!(pipeline.run("policy", "exit 3").shown(), @"
    exit 3
    --- stdout
    --- stderr
    ::error title=policy::`sh` ended with exit code 3
    ");
    assert_eq!(pipeline.run("policy", "true").stderr, "");
}

#[test]
fn as_json_the_result_stands_alone_on_standard_output() {
    for step in ["unit", "typecheck"] {
        let pipeline = Pipeline::of(r#"{"branch": "main"}"#);
        let run = pipeline.run_with(step, &["--output", "json"], &["echo", "said"]);
        assert_eq!(run.stderr, "said\n");
        insta::assert_snapshot!(format!("run_{step}_json"), run.stdout);
    }
}

#[test]
fn steps_and_reports_are_all_that_publish_needs() {
    let mut build = Build::built();
    let tests = &build.manifest["tests"];
    // What no step and no report tells.
    build.manifest["tests"] = json!({
        "unit": {"line_coverage": 87.1, "function_coverage": 84.0},
        "policy": {"policies_satisfied": ["POL-004"]},
        "integration": {"deployed": tests["integration"]["deployed"]}
    });
    build.manifest.as_object_mut().unwrap().remove("deploy");
    for suite in ["unit", "policy", "integration"] {
        let report = format!(r#"<testsuite name="{suite}" tests="1"><testcase classname="a" name="one"/></testsuite>"#);
        build.write(&format!("reports/{suite}.xml"), report.as_bytes());
    }
    let folder = build.folder().to_str().unwrap();
    for step in ["typecheck", "unit", "policy", "deploy", "integration", "smoke"] {
        let run = gatekeeper_with(&["run", step, "--dir", folder, "--", "true"], &[PATH, ("RUN_INTEGRATION", "1")]);
        assert_eq!(run.code, 0, "{step}: {}", run.stderr);
    }
    let publish = ["publish", folder, "--repo", "bank-payments", "--sha", SHA, "--dry-run", "--output", "json"];
    let report: Value = serde_json::from_str(&gatekeeper_with(&publish, &[]).stdout).unwrap();
    assert_eq!((&report["verdict"]["outcome"], &report["verdict"]["reasons"]), (&json!("built"), &json!([])));

    let run = gatekeeper_with(&["run", "deploy", "--dir", folder, "--", "false"], &[PATH]);
    assert_eq!(run.code, 1);
    let report: Value = serde_json::from_str(&gatekeeper_with(&publish, &[]).stdout).unwrap();
    assert_eq!(report["verdict"]["reasons"][0]["code"], json!("deploy-failed"));
}
