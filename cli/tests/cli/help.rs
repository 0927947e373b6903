//! What the command says about itself, and how it takes what it can't use.

use crate::common::{SHA, gatekeeper};

/// Every command; `man.rs` holds the list against the definition of the arguments.
pub(crate) const COMMANDS: &[&str] = &[
    "",
    "collect",
    "publish",
    "check",
    "stage-assets",
    "deploy",
    "observe",
    "run",
    "commits",
    "show",
    "diff",
    "explain",
    "promote",
    "approve",
    "approvals",
    "waive",
    "waivers",
    "rollback",
    "status",
    "follow",
    "stop",
    "hold",
    "release",
    "evidence",
    "verify",
    "revoke",
    "revocations",
    "ledger",
    "ledger verify",
    "ledger signatures",
    "doctor",
    "keys",
    "keys list",
    "keys new",
    "keys rotate",
    "keys revoke",
    "keys renew",
    "keys sign",
    "keys publish",
    "stages",
    "stages get",
    "stages check",
    "stages put",
    "policy",
    "policy get",
    "policy check",
    "policy put",
    "portal",
    "flyway",
    "flyway checksums",
    "flyway validate",
    "snapshot",
    "snapshot take",
    "snapshot compare",
    "schema",
    "handoffs",
    "handoffs pull",
    "completions",
    "man",
];

#[test]
fn every_command_helps_with_examples() {
    for command in COMMANDS {
        let arguments: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let help = gatekeeper(&arguments);
        assert_eq!(help.code, 0, "{}", help.stderr);
        assert!(help.stdout.contains("Examples:"), "{command}");
        let name = if command.is_empty() { "gatekeeper" } else { *command };
        insta::assert_snapshot!(format!("help_{}", name.replace(' ', "_")), help.stdout);
    }
}

#[test]
fn wrong_use_is_exit_code_2_and_leaves_standard_output_empty() {
    for arguments in [
        &["promote"] as &[_],
        &["revoke", "--repo", "bank-payments", "--sha", "main", "--reason", "x"],
        &["status", "--outputs", "/no/such/outputs.json"],
        &["promote", "--repo", "bank-payments", "--sha", SHA, "--stage", "uat", "--reason", " "],
        &["check", "s3://bank-artefacts"],
        &["publish", "/no/such/folder", "--repo", "bank-payments", "--sha", SHA],
        &["collect", "/no/such/folder", "--module", "MOD-012"],
        &["stage-assets", "/no/such/folder"],
        &["deploy", "--stage", "dev", "--repo", "bank-payments", "--sha", SHA, "--stack-name", "{repo}-{stage}"],
        &["observe", "/no/such/folder", "--stage", "dev", "--repo", "bank-payments"],
        &["observe", ".", "--stage", "dev", "--repo", "bank-payments", "--stack-name", "{repo}-{stage}"],
        &["flyway", "checksums", "/no/such/folder", "--database", "payments"],
        &["flyway", "checksums", ".", "--database", "pay ments"],
        &["flyway", "validate", ".", "--database", "payments", "--placeholder", "owner"],
        &["snapshot", "take", "--database", "payments"],
        &["snapshot", "compare", "/no/such/file.sql", "/no/such/file.sql"],
    ] {
        let run = gatekeeper(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.is_empty());
    }
    let run = gatekeeper(&["promote", "--repo", "bank-payments", "--sha", SHA, "--stage", "uat", "--reason", " "]);
    insta::assert_snapshot!(run.shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `reason`: empty
    "#);
}

#[test]
fn trouble_with_the_network_is_exit_code_3_and_says_what_to_do() {
    // Nothing listens on port 1.
    let outputs = tempfile::NamedTempFile::new().unwrap();
    let installation = serde_json::json!({
        "Endpoint": "http://127.0.0.1:1", "Region": "ap-southeast-2",
        "AccessKeyId": "000000000000", "SecretAccessKey": "none",
        "RecordsBucket": "records", "ArtefactBucket": "artefacts"
    });
    std::fs::write(outputs.path(), installation.to_string()).unwrap();
    let outputs = outputs.path().to_str().unwrap();
    let run = gatekeeper(&["status", "--outputs", outputs]);
    insta::assert_snapshot!(run.shown(), @r"
    exit 3
    --- stdout
    --- stderr
    error: ListObjectsV2 failed: dispatch failure: io error: client error (Connect): tcp connect error: Connection refused (os error 111)
    help: the endpoint could not be reached; look at the network, `--endpoint-url` and `--region`
    asked in region `ap-southeast-2`; who asked could not be told
    ");

    let run =
        gatekeeper(&["revoke", "--repo", "bank-payments", "--sha", SHA, "--reason", "fault", "--outputs", outputs]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.stderr);

    let build = crate::common::Build::built();
    let folder = build.folder().to_str().unwrap();
    for arguments in [
        &["publish", folder, "--repo", "bank-payments", "--sha", SHA] as &[_],
        &["observe", folder, "--repo", "bank-payments", "--stage", "dev"],
        &["deploy", "--repo", "bank-payments", "--sha", SHA, "--stage", "dev"],
        &["deploy", "--repo", "bank-payments", "--sha", SHA, "--stage", "dev", "--stack-name", "{stage}-{stack}"],
    ] {
        let run = gatekeeper(&[arguments, &["--outputs", outputs]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("help: the endpoint could not be reached"), "{}", run.stderr);
    }
}

#[test]
fn doctor_tells_what_could_not_be_looked_at_and_of_this_machines_programs() {
    let outputs = tempfile::NamedTempFile::new().unwrap();
    let installation = serde_json::json!({
        "Endpoint": "http://127.0.0.1:1", "Region": "ap-southeast-2", "AccessKeyId": "000000000000",
        "SecretAccessKey": "none-of-anybody", "RecordsBucket": "records", "ArtefactBucket": "artefacts"
    });
    std::fs::write(outputs.path(), installation.to_string()).unwrap();
    let run = gatekeeper(&["doctor", "--outputs", outputs.path().to_str().unwrap()]);
    assert_eq!(run.code, 3, "{}", run.shown());
    let lines: Vec<_> = run.stdout.lines().take(3).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ok    region: ap-southeast-2
    FAIL  caller: GetCallerIdentity failed: dispatch failure: io error: client error
          (Connect): tcp connect error: Connection refused (os error 111)
    ");
    assert!(run.stdout.contains("pg_dump of this machine"), "{}", run.stdout);
    assert!(!run.shown().contains("none-of-anybody"), "no secret is told");
}

#[test]
fn missing_credentials_are_exit_code_3_and_say_what_to_do() {
    let run = gatekeeper(&["status", "--records-bucket", "records", "--region", "ap-southeast-2"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("help: no AWS credentials were found"), "{}", run.stderr);
}
