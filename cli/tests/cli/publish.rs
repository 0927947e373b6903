//! `gatekeeper publish` as far as it needs no AWS: what it refuses, what it foresees, what GitHub is shown.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::common::{Build, Run, SHA, bundle, gatekeeper_with};

const COMMIT: &[&str] = &["--repo", "bank-payments", "--sha", SHA, "--branch", "main"];

fn publish_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let folder = folder.to_str().unwrap();
    let arguments: Vec<_> = ["publish", folder].into_iter().chain(arguments.iter().copied()).collect();
    let mut run = gatekeeper_with(&arguments, variables);
    run.stderr = run.stderr.replace(folder, "DIR");
    run
}

pub(crate) fn publish(folder: &Path, arguments: &[&str]) -> Run {
    let arguments: Vec<_> = COMMIT.iter().chain(arguments).copied().collect();
    publish_with(folder, &arguments, &[])
}

#[test]
fn a_dry_run_judges_the_manifest_that_it_would_upload() {
    let mut build = Build::built();
    // Digests are made anew, the function and the template found from the files.
    build.manifest["modules"] = json!([]);
    let run = publish(build.folder(), &["--dry-run"]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 0
    --- stdout
    planned  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357, nothing was uploaded

    built  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357
    manifest version `local`, 2 artefacts of 626 bytes
    --- stderr
    ");
}

#[test]
fn as_json_it_has_one_shape() {
    let run = publish(Build::built().folder(), &["--dry-run", "--output", "json"]);
    let mut report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["verdict"]["outcome"], "built");
    report["verdict"].take();
    insta::assert_json_snapshot!(report, @r#"
    {
      "bytes": 0,
      "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357",
      "manifest_version_id": null,
      "repo": "bank-payments",
      "skipped": [],
      "status": "planned",
      "uploaded": [],
      "verdict": null
    }
    "#);
}

#[test]
fn what_the_gate_would_reject_is_refused_with_every_reason() {
    let mut build = Build::built();
    let climbing = bundle(&[("index.mjs", b""), ("../index.mjs", b"")]);
    build.write("modules/MOD-012/functions/authorise-payment.zip", &climbing);
    build.manifest["tests"]["unit"]["line_coverage"] = json!(79.9);
    let run = publish(build.folder(), &[]);
    let digests: Vec<_> = run.stdout.split('`').filter(|word| word.len() == 64).collect();
    let shown = digests.iter().fold(run.shown(), |shown, digest| shown.replace(digest, "SHA256"));
    insta::assert_snapshot!(shown, @"
    exit 1
    --- stdout
    refused  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357, nothing was uploaded

    rejected  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357
    manifest version `local`, 2 artefacts of 670 bytes

      zip-unsafe-path           modules/MOD-012/functions/authorise-payment.zip
                                `../index.mjs`: its name climbs

      coverage-below-threshold  tests.unit.line_coverage
                                79.9 % is below the 80 % that are asked for

      tested-bytes-mismatch     authorise-payment
                                tested was `SHA256`, stored is `SHA256`
    --- stderr
    warning: `modules/MOD-012/functions/authorise-payment.zip` is not what `build-manifest.json` says: it was changed since; its bytes of now count
    warning: the gate's policy can't be read, so the build is judged by ADR-053 alone: the outputs of stack `gatekeeper` could not be read; pass `--outputs`, `--records-bucket` or `--gatekeeper-stack`
    ");
}

#[test]
fn a_folder_with_anything_else_is_refused_by_name() {
    let build = Build::built();
    build.write("modules/MOD-012/notes.txt", b"");
    build.write("modules/MOD-012/functions/.npmrc", b"token");
    let run = publish(build.folder(), &[]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: nothing was uploaded: `DIR` is no commit's folder
      `modules/MOD-012/functions/.npmrc` is hidden
      `modules/MOD-012/notes.txt` is outside the layout of the artefact store
    remove what is no artefact, or write it elsewhere
    ");
}

#[test]
fn a_folder_of_another_commit_or_without_its_files_is_refused() {
    let mut build = Build::built();
    build.manifest["repo"] = json!("bank-kyc");
    build.manifest["modules"][0]["functions"][0]["name"] = json!("settle-payment");
    insta::assert_snapshot!(publish(build.folder(), &[]).shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: nothing was uploaded: the manifest can't be made
      `modules/MOD-012/functions/settle-payment.zip` is listed in `build-manifest.json`, but there is no such file: build it, or remove the entry
      `repo` of `build-manifest.json` is "bank-kyc", not "bank-payments": the folder is of another build
    "#);
}

#[test]
fn outside_of_github_the_commit_must_be_named() {
    let run = publish_with(Build::built().folder(), &["--dry-run"], &[]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 2
    --- stdout
    --- stderr
    error: `--repo` is needed: only on GitHub Actions the environment tells it
    ");
}

/// GitHub's environment of a run.
fn on_github(summary: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "example-bank/bank-payments"),
        ("GITHUB_SHA", SHA),
        ("GITHUB_REF_NAME", "main"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_RUN_ID", "123"),
        ("GITHUB_RUN_ATTEMPT", "2"),
        ("GITHUB_ACTOR", "jane"),
        ("GITHUB_STEP_SUMMARY", summary),
    ]
}

#[test]
fn on_github_reasons_are_annotations_and_the_summary_tells_all() {
    let mut build = Build::built();
    build.manifest["tests"]["integration"]["skipped"] = json!(2);
    let summary = tempfile::NamedTempFile::new().unwrap();
    fs::write(summary.path(), "### of a step before\n").unwrap();
    let run = publish_with(build.folder(), &[], &on_github(summary.path().to_str().unwrap()));
    assert_eq!(run.code, 1, "{}", run.stderr);
    insta::assert_snapshot!(run.stderr, @"
    warning: the gate's policy can't be read, so the build is judged by ADR-053 alone: the outputs of stack `gatekeeper` could not be read; pass `--outputs`, `--records-bucket` or `--gatekeeper-stack`
    ::error title=integration-skipped::tests.integration: 2 of the integration tests were skipped
    ");
    let summary = fs::read_to_string(summary.path()).unwrap();
    let digests: Vec<_> = summary.split('`').filter(|word| word.len() == 64).collect();
    insta::assert_snapshot!(digests.iter().fold(summary.clone(), |text, digest| text.replace(digest, "SHA256")), @r"
    ### of a step before
    ### refused, nothing was uploaded

    `bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357`: 0 objects uploaded, 0 bytes; 0 there already

    | reason | of | |
    |---|---|---|
    | `integration-skipped` | `tests.integration` | 2 of the integration tests were skipped |

    | artefact | bytes | SHA-256 |
    |---|--:|---|
    | `modules/MOD-012/functions/authorise-payment.zip` | 176 | `SHA256` |
    | `modules/MOD-012/cloudformation/payments-api.json` | 450 | `SHA256` |
    ");
}

#[test]
fn on_github_a_failure_is_an_annotation_too() {
    let build = Build::built();
    build.write("notes.txt", b"");
    let summary = tempfile::NamedTempFile::new().unwrap();
    let run = publish_with(build.folder(), &[], &on_github(summary.path().to_str().unwrap()));
    assert_eq!(run.code, 2, "{}", run.stderr);
    insta::assert_snapshot!(run.stderr, @r"
    ::error title=gatekeeper publish::nothing was uploaded: `DIR` is no commit's folder%0A  `notes.txt` is outside the layout of the artefact store%0Aremove what is no artefact, or write it elsewhere
    error: nothing was uploaded: `DIR` is no commit's folder
      `notes.txt` is outside the layout of the artefact store
    remove what is no artefact, or write it elsewhere
    ");
    assert!(fs::read_to_string(summary.path()).unwrap().starts_with("### gatekeeper publish failed\n"));
}

#[test]
fn a_repository_with_capitals_is_mapped_and_said_and_one_that_can_not_be_is_refused() {
    let build = Build::built();
    let run = publish_with(
        build.folder(),
        &["--dry-run"],
        &[("GITHUB_ACTIONS", "true"), ("GITHUB_REPOSITORY", "Example/Bank-Payments"), ("GITHUB_SHA", SHA)],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr, "`Bank-Payments` is called `bank-payments` here: names are kept in lower case\n");
    let named = publish_with(build.folder(), &["--dry-run", "--repo", "BANK-payments", "--sha", SHA], &[]);
    assert!(
        named.code == 0 && named.stderr.contains("`BANK-payments` is called `bank-payments` here"),
        "{}",
        named.stderr
    );
    for wrong in ["Example/.github", "Example/Ledger"] {
        let variables = [("GITHUB_ACTIONS", "true"), ("GITHUB_REPOSITORY", wrong), ("GITHUB_SHA", SHA)];
        let run = publish_with(build.folder(), &["--dry-run"], &variables);
        assert_eq!(run.code, 2);
        assert!(run.stderr.contains("pass `--repo`") && run.stderr.contains("1 to 100 of `a-z`"), "{}", run.stderr);
    }
}
