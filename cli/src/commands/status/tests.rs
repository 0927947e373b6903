use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::records::tests::{World, commit, large};

#[derive(clap::Parser)]
struct Asked {
    #[command(flatten)]
    args: Args,
}

async fn asked(world: &World, arguments: &str) -> anyhow::Result<Looked> {
    let args = Asked::parse_from(std::iter::once("status").chain(arguments.split_whitespace())).args;
    let steps = async |execution: &str| match execution {
        "arn" => Ok(Steps {
            list: vec![crate::history::Step::begun("ApplyStack", Timestamp::UNIX_EPOCH)],
            ..Steps::default()
        }),
        "over" => Ok(Steps { is_over: true, ..Steps::default() }),
        other => anyhow::bail!("there is no execution `{other}`"),
    };
    look(&args, &world.records, &steps).await
}

fn plain(looked: &Looked) -> String {
    let text = anstream::adapter::strip_str(&text::of(looked)).to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

fn locked(world: &World, stage: &str, repo: &str, id: &str, execution: &str) {
    world.put(
        &RecordKey::Lock(stage.parse().unwrap(), repo.parse().unwrap()),
        &json!({
            "schema_version": 1, "promotion_id": id, "execution_arn": execution, "taken_at": "2026-05-04T03:09:00Z",
            "released_at": null,
        }),
    );
}

fn drifted(world: &World, repo: &str, messages: &[&str]) {
    let findings = messages.iter().map(|message| {
        json!({"code": "function-changed", "message": message, "subject": "authorise", "first_seen": "2026-05-04T00:00:00Z"})
    });
    world.put(
        &RecordKey::Drift("uat".parse().unwrap(), repo.parse().unwrap()),
        &json!({
            "schema_version": 1, "stage": "uat", "repo": repo, "commit_sha": "00".repeat(20), "told": [],
            "promotion_id": "01J00000000000000000000000", "checked_at": "2026-05-04T04:04:05Z",
            "changed_at": "2026-05-04T03:04:05Z", "since": "2026-05-04T03:04:05Z",
            "findings": findings.collect::<Vec<_>>(),
        }),
    );
}

/// Two stages, listed against the alphabet, and everything that can be told of a repository.
fn world() -> World {
    let world = World::default();
    world.configure(r#"{"uat": {}, "prod": {"requires": "deployed:uat"}, "dr": {}}"#);
    let (uat, prod): (StageName, StageName) = ("uat".parse().unwrap(), "prod".parse().unwrap());
    let [old, new] = ["0000001", "3f1c9a0b5d7e"].map(|start| commit("bank-payments", start));
    let (kyc, cards) = (commit("bank-kyc", "4444444"), commit("bank-cards", "5555555"));
    for commit in [&old, &new, &kyc, &cards] {
        world.judged(commit, 1, "built", &Value::Null);
    }
    world.ran("uat", &[&old]);
    drifted(&world, "bank-payments", &["it runs other code\nof which", "and more"]);
    let steps = json!([{"step": "apply-stack", "direction": "forward", "reports": [
        {"subject": "payments-data", "status": "applied", "detail": "", "started_at": "2026-05-03T00:00:00Z"},
        {"subject": "payments-api", "status": "failed", "detail": "replacement-not-accepted: OrdersTable would be replaced\nand more",
         "started_at": "2026-05-03T00:00:00Z"},
    ]}]);
    let failed = json!({"status": "rolled-back", "steps": steps});
    world.promoted(&uat, &new, "01J00000000000000000000005", &failed);
    world.ran("uat", &[&cards]);
    world.put(
        &RecordKey::Revocation(cards.clone()),
        &json!({
            "schema_version": 1, "repo": cards.repo, "commit_sha": cards.sha, "manifest_version_id": "v1",
            "revoked_by": "ann@bank.example", "revoked_at": "2026-05-02T00:00:00Z", "reason": "rounds down",
        }),
    );
    drifted(&world, "bank-cards", &[]);
    let id = "01J00000000000000000000007";
    world.promoted(&uat, &kyc, id, &json!({"status": "running", "requested_by": "ann@bank.example"}));
    locked(&world, "uat", "bank-kyc", id, "arn");
    world.put(&RecordKey::OpenLease(uat, kyc.repo.clone(), id.parse().unwrap()), &json!({
        "schema_version": 1, "promotion_id": id, "opened_at": "2026-05-04T03:10:00Z", "expires_at": "2999-05-04T04:10:00Z",
    }));
    world.promoted(&prod, &old, id, &json!({"status": "running", "rollback": true}));
    locked(&world, "prod", "bank-payments", id, "over");
    world
}

#[tokio::test]
async fn every_stage_is_told_in_its_order_with_what_is_wrong_and_what_is_under_way() {
    let looked = asked(&world(), "").await.unwrap();
    assert_eq!(looked.troubles, [""; 0]);
    insta::assert_snapshot!(plain(&looked), @r"
    uat
      bank-cards     555555500000  revoked
          by ann@bank.example: rounds down
          since 2026-05-03 00:00 UTC, by ben@bank.example, promotion
          01J00000000000000000000000
          as it was promoted, checked 2026-05-04 04:04 UTC
      bank-kyc       nothing was promoted yet
          promoting 444444400000 since 2026-05-04 03:09 UTC, asked by
          ann@bank.example, at ApplyStack, promotion 01J00000000000000000000007
          open lease: a runner may hand in its part until 2999-05-04 04:10 UTC
      bank-payments  000000100000  built
          since 2026-05-03 00:00 UTC, by ben@bank.example, promotion
          01J00000000000000000000000
          drifted 2 differences since 2026-05-04 03:04 UTC, checked 2026-05-04 04:04
          UTC: function-changed `authorise`: it runs other code
          failed 3f1c9a0b5d7e at apply-stack and went back 2026-05-03 00:01 UTC,
          asked by ben@bank.example, promotion 01J00000000000000000000005:
          `payments-api`: replacement-not-accepted: OrdersTable would be replaced
    prod
      bank-cards     nothing was promoted yet
      bank-kyc       nothing was promoted yet
      bank-payments  nothing was promoted yet
          stuck 000000100000 since 2026-05-04 03:09 UTC, asked by ben@bank.example,
          promotion 01J00000000000000000000007 (its execution ended without
          releasing its lock)
    dr
      nothing was promoted yet
    ");
    let (kyc, payments) = (&looked.rows[1], &looked.rows[2]);
    insta::assert_json_snapshot!([kyc, payments], @r#"
    [
      {
        "stage": "uat",
        "repo": "bank-kyc",
        "runs": null,
        "drift": null,
        "promoting": {
          "promotion_id": "01J00000000000000000000007",
          "execution_arn": "arn",
          "since": "2026-05-04T03:09:00Z",
          "is_over": false,
          "step": "ApplyStack",
          "commit_sha": "4444444000000000000000000000000000000000",
          "requested_by": "ann@bank.example",
          "rollback": false,
          "lease_expires_at": "2999-05-04T04:10:00Z"
        },
        "last_failure": null
      },
      {
        "stage": "uat",
        "repo": "bank-payments",
        "runs": {
          "commit_sha": "0000001000000000000000000000000000000000",
          "since": "2026-05-03T00:00:00Z",
          "promotion_id": "01J00000000000000000000000",
          "requested_by": "ben@bank.example",
          "rollback": false,
          "outcome": "built",
          "revoked": null
        },
        "drift": {
          "findings": 2,
          "first": {
            "code": "function-changed",
            "message": "it runs other code\nof which",
            "subject": "authorise"
          },
          "since": "2026-05-04T03:04:05Z",
          "checked_at": "2026-05-04T04:04:05Z"
        },
        "promoting": null,
        "last_failure": {
          "promotion_id": "01J00000000000000000000005",
          "commit_sha": "3f1c9a0b5d7e0000000000000000000000000000",
          "requested_by": "ben@bank.example",
          "ended_at": "2026-05-03T00:01:00Z",
          "status": "rolled-back",
          "step": "apply-stack",
          "reason": "`payments-api`: replacement-not-accepted: OrdersTable would be replaced\nand more"
        }
      }
    ]
    "#);
}

#[tokio::test]
async fn a_stage_or_repository_can_be_asked_for_alone_and_unknown_ones_are_errors() {
    let world = world();
    insta::assert_snapshot!(plain(&asked(&world, "--stage uat --repo bank-payments").await.unwrap()), @r"
    uat
      bank-payments  000000100000  built
          since 2026-05-03 00:00 UTC, by ben@bank.example, promotion
          01J00000000000000000000000
          drifted 2 differences since 2026-05-04 03:04 UTC, checked 2026-05-04 04:04
          UTC: function-changed `authorise`: it runs other code
          failed 3f1c9a0b5d7e at apply-stack and went back 2026-05-03 00:01 UTC,
          asked by ben@bank.example, promotion 01J00000000000000000000005:
          `payments-api`: replacement-not-accepted: OrdersTable would be replaced
    ");
    insta::assert_snapshot!(plain(&asked(&world, "--stage dr --repo bank-kyc").await.unwrap()), @r"
    dr
      nothing was promoted yet
    ");
    let told = async |arguments: &str| asked(&world, arguments).await.unwrap_err().to_string();
    insta::assert_snapshot!(told("--stage pord").await, @"there is no stage `pord`; did you mean `prod`?");
    insta::assert_snapshot!(told("--repo bank-payment").await, @"there is no repository `bank-payment` here; did you mean `bank-payments`?");
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_told_and_the_rest_stands() {
    let world = world();
    locked(&world, "uat", "bank-kyc", "01J00000000000000000000009", "gone");
    world.records.deny("drift/");
    let looked = asked(&world, "--stage uat").await.unwrap();
    insta::assert_snapshot!(looked.troubles.join("\n"), @r"
    the drift of `bank-cards` on `uat` can't be told: GetObject of `drift/uat/bank-cards.json` in `memory` failed: AccessDenied: Access Denied
    the drift of `bank-kyc` on `uat` can't be told: GetObject of `drift/uat/bank-kyc.json` in `memory` failed: AccessDenied: Access Denied
    the steps of promotion `01J00000000000000000000009` could not be looked at: there is no execution `gone`
    the record of promotion `01J00000000000000000000009` could not be looked at: there is no record `promotions/uat/bank-kyc/01J00000000000000000000009.json`
    the drift of `bank-payments` on `uat` can't be told: GetObject of `drift/uat/bank-payments.json` in `memory` failed: AccessDenied: Access Denied
    ");
    assert_eq!(looked.rows.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_promotions_take_four_dependent_round_trips_at_most() {
    let (world, commits) = large();
    let uat: StageName = "uat".parse().unwrap();
    world.promoted(&uat, &commits[9], "01J00000000000000000000999", &json!({"status": "failed"}));
    let (looked, taken) = world.round_trips(asked(&world, "")).await;
    let looked = looked.unwrap();
    assert!(looked.rows[0].last_failure.is_some() && looked.rows[1].runs.is_some(), "{looked:?}");
    assert!(taken <= 4, "{taken}");
}
