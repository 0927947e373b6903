//! `gatekeeper check DIR`: the verdict that the gate would give, on real folders.

use serde_json::{Value, json};

use crate::common::{Build, Run, SHA, bundle, gatekeeper};

fn check(build: &Build, arguments: &[&str]) -> Run {
    let folder = build.folder().to_str().unwrap();
    let arguments: Vec<_> = ["check", folder].into_iter().chain(arguments.iter().copied()).collect();
    let mut run = gatekeeper(&arguments);
    run.stderr = run.stderr.replace(folder, "DIR");
    run
}

#[test]
fn a_built_commit_is_a_yes() {
    let build = Build::built();
    insta::assert_snapshot!(check(&build, &[]).shown(), @r#"
    exit 0
    --- stdout
    built  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357
    manifest version `local`, 2 artefacts of 626 bytes
    --- stderr
    "#);
    assert_eq!(check(&build, &["--repo", "bank-payments", "--sha", SHA]).code, 0);
}

#[test]
fn as_json_it_is_the_verdict_document() {
    let run = check(&Build::built(), &["--output", "json"]);
    let mut verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code, 0);
    assert!(verdict["artefacts"].as_array_mut().unwrap().iter_mut().all(|it| it["sha256"].take().is_string()));
    verdict["evaluated_at"].take();
    insta::assert_json_snapshot!(verdict, @r#"
    {
      "artefacts": [
        {
          "key": "bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/functions/authorise-payment.zip",
          "sha256": null,
          "size": 176,
          "version_id": "local"
        },
        {
          "key": "bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/cloudformation/payments-api.json",
          "sha256": null,
          "size": 450,
          "version_id": "local"
        }
      ],
      "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357",
      "evaluated_at": null,
      "manifest_version_id": "local",
      "outcome": "built",
      "reasons": [],
      "repo": "bank-payments",
      "schema_version": 1
    }
    "#);
}

#[test]
fn before_the_integration_tests_it_is_a_yes_only_where_that_is_expected() {
    let mut build = Build::built();
    build.manifest["tests"].as_object_mut().unwrap().remove("integration");
    let run = check(&build, &[]);
    assert!(run.stdout.starts_with("registered  bank-payments@"), "{}", run.stdout);
    assert_eq!(run.code, 1);
    assert_eq!(check(&build, &["--expect", "registered"]).code, 0);
}

#[test]
fn every_reason_is_told_not_only_the_first() {
    let mut build = Build::built();
    // The bundle is not the tested one and climbs out; the coverage is low; a report is nowhere.
    let climbing = bundle(&[("index.mjs", b""), ("../index.mjs", b"")]);
    build.write("modules/MOD-012/functions/authorise-payment.zip", &climbing);
    let function = &mut build.manifest["modules"][0]["functions"][0];
    function["sha256"] = json!(gatekeeper_model::ids::Sha256::of(&climbing));
    function["size"] = json!(climbing.len());
    build.manifest["tests"]["unit"]["line_coverage"] = json!(79.9);
    build.manifest["reports"] = json!([
        {"suite": "unit", "format": "junit", "file": "unit.xml", "sha256": "0".repeat(64), "size": 1}
    ]);
    build.write("modules/MOD-012/notes.txt", b"not an artefact");

    let run = check(&build, &[]);
    let shown = run.shown();
    let digests = shown.split('`').filter(|word| word.len() == 64).map(str::to_owned).collect::<Vec<_>>();
    let shown = digests.iter().fold(shown, |shown, digest| shown.replace(digest, "SHA256"));
    insta::assert_snapshot!(shown, @"
    exit 1
    --- stdout
    rejected  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357
    manifest version `local`, 2 artefacts of 670 bytes

      artefact-missing          reports/unit.xml
                                the manifest lists it, the store does not have it

      zip-unsafe-path           modules/MOD-012/functions/authorise-payment.zip
                                `../index.mjs`: its name climbs

      coverage-below-threshold  tests.unit.line_coverage
                                79.9 % is below the 80 % that are asked for

      tested-bytes-mismatch     authorise-payment
                                tested was `SHA256`, stored is `SHA256`

      report-exit-code-untold  tests.unit
                               the manifest does not tell the exit code of its process, and many reports leave out what fails outside of a test: run the step by `gatekeeper run`
    --- stderr
    warning: `modules/MOD-012/notes.txt` is outside the layout of the artefact store and belongs to no commit
    ");
}

#[test]
fn a_folder_of_another_commit_is_told_apart() {
    let run = check(&Build::built(), &["--repo", "bank-kyc", "--sha", SHA]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("manifest-mismatch"), "{}", run.stdout);
}

#[test]
fn a_folder_that_cannot_be_read_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let run = gatekeeper(&["check", path]);
    insta::assert_snapshot!(run.shown().replace(path, "DIR"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `DIR/build-manifest.json` does not say which commit it is of: No such file or directory (os error 2); pass `--repo` and `--sha`
    "#);
    // With its commit named it is a commit without a manifest.
    let run = gatekeeper(&["check", path, "--repo", "bank-payments", "--sha", SHA]);
    insta::assert_snapshot!(run.shown(), @r#"
    exit 1
    --- stdout
    incomplete  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357
    no manifest, 0 artefacts of 0 bytes

      manifest-missing  build-manifest.json
                        there is no manifest yet; upload it last
    --- stderr
    "#);

    let run = gatekeeper(&["check", "/no/such/folder", "--repo", "bank-payments", "--sha", SHA]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[cfg(unix)]
#[test]
fn a_link_that_leaves_the_folder_is_not_followed() {
    let build = Build::built();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), build.folder().join("modules/secret.json")).unwrap();
    insta::assert_snapshot!(check(&build, &[]).shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: listing of `modules/secret.json` in `DIR` failed: `modules/secret.json` is a link that leaves the folder
    "#);
}

#[test]
fn a_bundle_that_names_dev_is_told_and_refused_where_the_policy_says_so() {
    let mut build = Build::built();
    let naming =
        bundle(&[("index.mjs", b"export const queue = 'https://sqs.eu-west-2.amazonaws.com/111122223333/it'")]);
    build.write("modules/MOD-012/functions/authorise-payment.zip", &naming);
    let sha256 = json!(gatekeeper_model::ids::Sha256::of(&naming));
    let function = &mut build.manifest["modules"][0]["functions"][0];
    (function["sha256"], function["size"]) = (sha256.clone(), json!(naming.len()));
    build.manifest["tests"]["integration"]["deployed"][0]["code_sha256"] = sha256;
    build.manifest["synthesised_for"] =
        json!({"account": "111122223333", "region": "eu-west-2", "stage": "dev", "application": "bank-payments"});
    insta::assert_snapshot!(check(&build, &[]).shown(), @"
    exit 0
    --- stdout
    built  bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357
    manifest version `local`, 2 artefacts of 638 bytes

      bundle-names-stage  modules/MOD-012/functions/authorise-payment.zip
                          it holds `111122223333` in `index.mjs`: let the template tell it by the environment
    --- stderr
    ");

    let aside = tempfile::tempdir().unwrap();
    let policy = aside.path().join("policy.json");
    std::fs::write(&policy, json!({"schema_version": 1, "all": {"stage_literals": "refuse"}}).to_string()).unwrap();
    let run = check(&build, &["--policy", policy.to_str().unwrap()]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("bundle-not-portable"), "{}", run.stdout);
}

/// Two stacks more, of which the first by name imports what the last exports.
fn with_stacks_that_import(build: &mut Build) {
    let import = json!({"Fn::Sub": ["${It}-x", {"It": {"Fn::ImportValue": {"Fn::Sub": "${Stage}-ledger"}}}]});
    let web = json!({"Parameters": {"Stage": {"Type": "String"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": import}}}});
    let name = json!({"Fn::Join": ["-", [{"Ref": "Stage"}, "ledger"]]});
    let ledger = json!({"Parameters": {"Stage": {"Type": "String", "Default": "dev"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"Ledger": {"Value": {"Ref": "Topic"}, "Export": {"Name": name}}}});
    for (module, stack, template) in [("MOD-001", "web", web), ("MOD-900", "ledger", ledger)] {
        let bytes = template.to_string().into_bytes();
        build.write(&format!("modules/{module}/cloudformation/{stack}.json"), &bytes);
        let listed = json!([{"name": stack, "sha256": gatekeeper_model::ids::Sha256::of(&bytes), "size": bytes.len()}]);
        let modules = build.manifest.get_mut("modules").and_then(Value::as_array_mut).unwrap();
        modules.push(json!({"id": module, "stacks": listed}));
    }
}

#[test]
fn a_stack_that_stands_before_what_it_imports_is_refused_and_publish_lists_them_right() {
    let mut build = Build::built();
    with_stacks_that_import(&mut build);
    let run = check(&build, &[]);
    insta::assert_snapshot!(run.shown());
    assert_eq!(run.code, 1);
    build.manifest["modules"].as_array_mut().unwrap().swap(1, 2);
    assert_eq!(check(&build, &[]).code, 0);
    build.manifest["modules"][1]["stacks"][0]["depends_on"] = json!(["web", "gone"]);
    insta::assert_snapshot!(check(&build, &[]).shown());
    // What lists nothing is listed from the files, in an order in which it can be applied.
    build.manifest["modules"] = json!([]);
    let run = crate::publish::publish(build.folder(), &["--dry-run"]);
    assert_eq!(run.code, 0, "{}", run.shown());
}
