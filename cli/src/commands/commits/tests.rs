use std::sync::LazyLock;

use clap::Parser as _;
use gatekeeper_promotion::approval::{Approval, SignedApproval};
use gatekeeper_proof::{KeyHolder as _, LocalSigner};
use serde_json::{Value, json};

use super::*;
use crate::records::tests::{World, commit, large};

/// The key of `approve`.
static SIGNER: LazyLock<LocalSigner> = LazyLock::new(|| LocalSigner::from_seed(3));

#[derive(clap::Parser)]
struct Asked {
    #[command(flatten)]
    args: Args,
}

fn args(arguments: &str) -> Args {
    Asked::parse_from(std::iter::once("commits").chain(arguments.split_whitespace())).args
}

async fn asked(world: &World, arguments: &str) -> anyhow::Result<(Document, Vec<String>)> {
    let key = async { Ok(Some(SIGNER.trusted().await?)) };
    look(&args(arguments), world.stores(), key, "2026-05-04T00:00:00Z".parse().unwrap()).await
}

fn plain(document: &Document) -> String {
    anstream::adapter::strip_str(&text::of(document)).to_string()
}

async fn world() -> World {
    let world = World::default();
    world.configure(r#"{"uat": {}, "prod": {"requires": "deployed:uat", "soak_minutes": 2880, "approvals": 2}}"#);
    let [old, running, rejected, new, revoked] =
        ["0000001", "0000002", "3333333", "4444444", "5555555"].map(|start| commit("bank-payments", start));
    world.judged(&old, 1, "built", &Value::Null);
    let long = json!({"manifest": {"branch": "feature/PAY-1234-a-long-name", "author": "somebody.with.a.long.name@bank.example"}});
    world.judged(&running, 2, "built", &long);
    world.judged(&rejected, 3, "rejected", &Value::Null);
    world.judged(&new, 4, "built", &Value::Null);
    world.judged(&revoked, 5, "built", &Value::Null);
    world.put(&RecordKey::Revocation(revoked.clone()), &json!({}));
    world.ran("uat", &[&old, &running]);
    world.ran("prod", &[&old]);
    let approval = json!({
        "schema_version": 1, "repo": "bank-payments", "commit_sha": running.sha, "stage": "prod",
        "manifest_version_id": "v2", "approved_at": "2026-05-03T10:00:00Z", "reason": "looked at it", "break_glass": false,
        "approved_by": {"person": "ann@bank.example", "arn": "arn:aws:sts::111122223333:assumed-role/Approver/ann@bank.example",
                        "account": "111122223333", "user_id": "AROAEXAMPLE"},
    });
    let approval: Approval = serde_json::from_value(approval).unwrap();
    let place = Approval::key(&approval.stage, &running, &approval.approved_by.person);
    let signed = SignedApproval::sign(approval, &*SIGNER).await.unwrap();
    world.put(&place, &serde_json::to_value(signed).unwrap());
    world
}

#[tokio::test]
async fn every_commit_is_told_with_what_the_gate_says_and_where_it_runs() {
    let (document, troubles) = asked(&world().await, "--repo bank-payments").await.unwrap();
    assert_eq!(troubles, [""; 0]);
    insta::assert_snapshot!(plain(&document), @r"
    COMMIT   GATE      SINCE (UTC)       BRANCH        AUTHOR          STAGES
    5555555  revoked   2026-05-02 03:05  main          jane
    4444444  built     2026-05-02 03:05  main          jane
    3333333  rejected  2026-05-02 03:05  main          jane
    0000002  built     2026-05-02 03:05  feature/PAY…  somebody.with…  uat
    0000001  built     2026-05-02 03:05  main          jane            (uat) prod
    ");
    assert!(plain(&document).lines().all(|line| line.chars().count() <= 80));
    insta::assert_json_snapshot!(document.commits[3], @r#"
    {
      "commit_sha": "0000002000000000000000000000000000000000",
      "seen_at": "2026-05-02T02:46:42Z",
      "outcome": "built",
      "judged_at": "2026-05-02T03:05:00Z",
      "branch": "feature/PAY-1234-a-long-name",
      "author": "somebody.with.a.long.name@bank.example",
      "stages": [
        {
          "stage": "uat",
          "now": true,
          "at": "2026-05-03T00:01:00Z"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn what_a_stage_could_take_is_told_by_promotes_own_rules() {
    let world = world().await;
    let (document, _) = asked(&world, "--repo bank-payments --promotable prod").await.unwrap();
    insta::assert_snapshot!(plain(&document), @r"
    COMMIT   GATE   SINCE (UTC)       BRANCH        AUTHOR          STAGES
    0000002  built  2026-05-02 03:05  feature/PAY…  somebody.with…  uat
             waits: soak-not-over: `uat` must run the commit for 48 h before, of
             which 24 h 1 min are left; it is over at 2026-05-05T00:01:00Z
             waits: approvals-missing: 1 of 2 approvals (`ann@bank.example`
             approved); ask somebody who is neither the requester nor the author for
             `gatekeeper approve --stage prod --repo bank-payments --sha
             0000002000000000000000000000000000000000 --reason …`
    ");
    let (document, _) = asked(&world, "--repo bank-payments --promotable uat").await.unwrap();
    insta::assert_snapshot!(plain(&document), @r"
    COMMIT   GATE   SINCE (UTC)       BRANCH  AUTHOR  STAGES
    4444444  built  2026-05-02 03:05  main    jane
    ");
}

#[tokio::test]
async fn what_a_rollback_took_off_a_stage_can_be_promoted_again() {
    let world = world().await;
    let [old, running] = ["0000001", "0000002"].map(|start| commit("bank-payments", start));
    let completed = |commit: &Commit, id: &str, rollback: bool| {
        json!({"commit_sha": commit.sha, "promotion_id": id, "manifest_version_id": "v1", "rollback": rollback,
               "completed_at": "2026-05-03T00:00:00Z"})
    };
    let ids = ["01J00000000000000000000000", "01J00000000000000000000001", "01J00000000000000000000002"];
    world.put(&RecordKey::Stage("uat".parse().unwrap(), old.repo.clone()), &json!({
        "schema_version": 1, "stage": "uat", "repo": old.repo, "commit_sha": old.sha, "promotion_id": ids[2],
        "since": "2026-05-03T00:00:00Z",
        "history": [completed(&old, ids[0], false), completed(&running, ids[1], false), completed(&old, ids[2], true)],
    }));
    let (document, _) = asked(&world, "--repo bank-payments --promotable uat").await.unwrap();
    let shas: Vec<_> = document.commits.iter().map(|row| row.commit_sha.clone()).collect();
    assert!(shas.contains(&running.sha) && !shas.contains(&old.sha), "{shas:?}");
}

#[tokio::test]
async fn unknown_names_are_errors_with_the_nearest_one() {
    let world = world().await;
    let told = async |arguments: &str| asked(&world, arguments).await.unwrap_err().to_string();
    insta::assert_snapshot!(told("--repo bank-payment").await, @"there is no repository `bank-payment` here; did you mean `bank-payments`?");
    insta::assert_snapshot!(told("--repo bank-payments --promotable pord").await, @"there is no stage `pord`; did you mean `prod`?");
}

#[tokio::test]
async fn what_cant_be_read_is_told_and_the_other_commits_stand() {
    let world = world().await;
    world.put(&RecordKey::Verdict(commit("bank-payments", "4444444")), &json!({}));
    world.artefacts.deny("bank-payments/");
    let (document, troubles) = asked(&world, "--repo bank-payments").await.unwrap();
    insta::assert_snapshot!(format!("{}{}", plain(&document), troubles.join("\n")), @r"
    COMMIT   GATE      SINCE (UTC)       BRANCH  AUTHOR  STAGES
    5555555  revoked   2026-05-02 03:05  ?       ?
    4444444  unknown   2026-05-02 02:46  ?       ?
    3333333  rejected  2026-05-02 03:05  ?       ?
    0000002  built     2026-05-02 03:05  ?       ?       uat
    0000001  built     2026-05-02 03:05  ?       ?       (uat) prod
    branches and authors can't be told: GetObject of `bank-payments/5555555000000000000000000000000000000000/build-manifest.json` in `memory` failed: AccessDenied: Access Denied
    the record `bank-payments/4444444000000000000000000000000000000000/verdict.json` is not valid: missing field `schema_version` at line 1 column 2
    ");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_commits_take_four_dependent_round_trips_at_most() {
    let (world, commits) = large();
    let ((document, _), taken) = {
        let (found, taken) = world.round_trips(asked(&world, "--repo bank-payments")).await;
        (found.unwrap(), taken)
    };
    assert_eq!((document.commits.len(), document.older), (20, 980));
    assert_eq!(document.commits[0].commit_sha, commits[999].sha);
    assert!(taken <= 4, "{taken}");
    let (found, taken) = world.round_trips(asked(&world, "--repo bank-payments --promotable prod")).await;
    assert_eq!(found.unwrap().0.commits.len(), 1);
    assert!(taken <= 4, "{taken}");
}
