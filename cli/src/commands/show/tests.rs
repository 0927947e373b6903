use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::records::tests::{World, commit, large};

#[derive(clap::Parser)]
struct Asked {
    #[command(flatten)]
    args: Args,
}

async fn asked(world: &World, arguments: &str) -> anyhow::Result<Document> {
    let args = Asked::parse_from(std::iter::once("show").chain(arguments.split_whitespace())).args;
    look(&args, world.stores()).await.map(|(document, _)| document)
}

fn world() -> World {
    let world = World::default();
    world.configure(r#"{"uat": {}, "prod": {"requires": "deployed:uat"}}"#);
    let (built, rejected) = (commit("bank-payments", "3f1c9a0"), commit("bank-payments", "4444444"));
    let artefact = json!({"key": "x", "version_id": "v1", "sha256": "00".repeat(32), "size": 4_321_000});
    world.judged(&built, 1, "built", &json!({"verdict": {"artefacts": [artefact]}}));
    let zip = format!("{}modules/MOD-012/functions/authorise-payment.zip", rejected.prefix());
    let reasons = json!([
        {"code": "digest-mismatch", "message": "its SHA-256 is `00…`, the manifest lists `11…`", "subject": zip},
        {"code": "unit-failed", "message": "3 unit tests failed", "subject": "tests.unit"},
    ]);
    let warnings = json!([{"code": "tests-unexplained", "message": "the header tells of 12 tests", "subject": "reports/unit.xml"}]);
    world.judged(&rejected, 2, "rejected", &json!({"verdict": {"reasons": reasons, "warnings": warnings}}));
    world.judged(&commit("bank-kyc", "3f1c9a1"), 1, "built", &Value::Null);
    world.ran("uat", &[&built]);
    world
}

fn plain(document: &Document) -> String {
    let text = anstream::adapter::strip_str(&text::of(document)).to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80 || !line.trim().contains(' ')), "{text}");
    text
}

#[tokio::test]
async fn a_commit_is_told_with_every_reason_and_what_to_do() {
    let world = world();
    insta::assert_snapshot!(plain(&asked(&world, "4444444").await.unwrap()), @r"
    rejected  bank-payments
    4444444000000000000000000000000000000000

      branch    main
      author    jane@bank.example
      built     2026-05-02 03:04 UTC by jane
      run       https://github.com/bank/payments/actions/runs/1 (attempt 2)
      judged    2026-05-02 03:05 UTC, 0 artefacts of 0 B
      manifest  version v2
      verdict   version v4

      digest-mismatch  modules/MOD-012/functions/authorise-payment.zip
        its SHA-256 is `00…`, the manifest lists `11…`
        → Something rewrote the file after the manifest was made, or another build
        uploaded under the same commit. Build once and publish that folder.

      unit-failed  tests.unit
        3 unit tests failed
        → Mend the tests that failed, or the code.

      tests-unexplained  reports/unit.xml
        the header tells of 12 tests
        → See why the header counts more tests than the report has cases. Nothing is
        refused because of it.
    ");
    insta::assert_snapshot!(plain(&asked(&world, "3f1c9a0 --repo bank-payments").await.unwrap()), @r"
    built  bank-payments
    3f1c9a0000000000000000000000000000000000

      branch    main
      author    jane@bank.example
      built     2026-05-02 03:04 UTC by jane
      run       https://github.com/bank/payments/actions/runs/1 (attempt 2)
      judged    2026-05-02 03:05 UTC, 1 artefact of 4.3 MB
      manifest  version v1
      verdict   version v2

      promotions
        uat  promoted 2026-05-03 00:00 UTC  by ben@bank.example  runs it now
    ");
}

#[tokio::test]
async fn a_commit_that_was_taken_back_says_why() {
    let world = world();
    let built = commit("bank-payments", "3f1c9a0");
    world.put(
        &RecordKey::Revocation(built.clone()),
        &json!({
            "schema_version": 1, "repo": built.repo, "commit_sha": built.sha, "manifest_version_id": "v1",
            "revoked_by": "ann@bank.example", "revoked_at": "2026-05-02T00:00:00Z", "reason": "rounds down",
        }),
    );
    let document = asked(&world, "3f1c9a0").await.unwrap();
    assert_eq!(document.outcome, Some(Outcome::Revoked));
    assert!(document.revoked.unwrap().contains("rounds down"));
}

#[tokio::test]
async fn digits_that_name_none_or_several_are_errors() {
    let world = world();
    let told = async |arguments: &str| asked(&world, arguments).await.unwrap_err().to_string();
    world.judged(&commit("bank-kyc", "3f1c9a0f"), 2, "built", &Value::Null);
    let full = "7".repeat(40);
    let told = [
        told("3f1c9a0").await,
        told("7777777").await,
        told("7777777 --repo bank-kyc").await,
        told(&format!("{full} --repo bank-kyc")).await,
        told(&format!("{full} --repo bank-kic")).await,
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    `3f1c9a0` is not one commit, give more digits or `--repo`: `bank-kyc@3f1c9a0f00000000000000000000000000000000`, `bank-payments@3f1c9a0000000000000000000000000000000000`
    no commit that is stored begins with `7777777`, in any of 2 repositories
    no commit of `bank-kyc` that is stored begins with `7777777`; `gatekeeper commits --repo bank-kyc` lists them
    nothing is known of `bank-kyc@7777777777777777777777777777777777777777`: it was never uploaded, or the gate has not seen it yet
    there is no repository `bank-kic` here; did you mean `bank-kyc`?
    ");
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_a_thousand_takes_four_dependent_round_trips_at_most() {
    let (world, commits) = large();
    let short = &commits[5].sha.as_str()[..7];
    let (found, taken) = world.round_trips(asked(&world, short)).await;
    assert_eq!(found.unwrap().promotions.len(), 2);
    assert!(taken <= 4, "{taken}");
}
