//! The mistakes that everybody makes once, and what the command says to them.

use std::fmt::Write as _;

use crate::common::{SHA, gatekeeper, gatekeeper_with};

#[test]
fn common_mistakes_are_told_with_what_to_do() {
    let mut shown = String::new();
    for line in [
        "",
        "deliver",
        "check",
        "check build --repository bank-payments",
        "promote --repo bank-payments --sha main --stage uat --reason release",
        "promote --repo bank-payments --sha 3f1c --stage uat --reason release",
        "explain digest-mismach",
        "show 3f1c",
        "promote --repo Bank_Payments --sha SHA --stage uat --reason release",
        "promote --repo bank-payments --sha SHA --stage UAT --reason release",
        "status --output yaml",
        "publish /no/such/folder --repo bank-payments --sha SHA",
        "publish . --wait 60",
        "publish .",
        "handoffs pull",
        "run lint --dir build -- pnpm lint",
        "run unit --dir build pnpm test:unit",
        "run unit --dir /dev/null/build -- true",
        "check s3://bank-artefacts",
        "stages check /no/such/stages.json",
        "follow 01J",
        "status --outputs /no/such/outputs.json",
        "flyway validate /no/such/folder --database payments",
        "snapshot compare /no/such/a.sql /no/such/b.sql",
    ] {
        let arguments = line.replace("SHA", SHA);
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let run = gatekeeper(&arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{line}");
        let _ = writeln!(shown, "$ gatekeeper {line}\n{}", run.stderr);
    }
    insta::assert_snapshot!("common_mistakes", shown);
}

#[test]
fn what_githubs_environment_says_is_checked_too() {
    let variables = [("GITHUB_ACTIONS", "true"), ("GITHUB_REPOSITORY", "example-bank/_Bank"), ("GITHUB_SHA", SHA)];
    let run = gatekeeper_with(&["handoffs", "pull"], &variables);
    insta::assert_snapshot!(run.shown(), @"
    exit 2
    --- stdout
    --- stderr
    error: `_Bank` is not a valid repository name: 1 to 100 of `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit, and no folder of the records bucket; GitHub's environment says so, pass `--repo`
    ");
}
