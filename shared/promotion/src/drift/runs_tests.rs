use gatekeeper_model::ids::Sha256;
use gatekeeper_readers::pulumi::backend::Refresh;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-11-30T00:00:00Z".parse().unwrap()
}

/// The record of a promotion whose runner made an update.
fn record(runs: &Value, facts: &Value) -> PromotionRecord {
    serde_json::from_value(json!({
        "schema_version": 1, "promotion_id": "01J0000000000000000000000A", "repo": "bank-platform", "commit_sha": "a".repeat(40),
        "stage": "uat", "requested_by": "jane@bank.example", "reason": "release", "rollback": false, "status": "succeeded",
        "execution_arn": "arn", "started_at": now(), "ended_at": now(), "verdict_version_id": "v", "manifest_version_id": "m",
        "stages_config_version_id": "c", "role_arn": null, "stack_role_arn": null, "way_back": null, "live": [],
        "steps": [{"step": "judge-run", "direction": "forward", "reports": [{
            "subject": "pulumi", "status": "applied", "started_at": now(), "ended_at": now(), "detail": "", "facts": facts,
        }]}],
        "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": [], "runs": runs},
    }))
    .unwrap()
}

fn updated() -> PromotionRecord {
    let run = json!({
        "kind": "pulumi", "program_sha": "a".repeat(40), "backend": "s3://state", "project": "bank-platform", "stack": "uat",
    });
    let proof = json!({
        "kind": "pulumi", "backend": "s3://state", "project": "bank-platform", "stack": "uat", "history_key": "uat-1.history.json",
        "history_sha256": Sha256::of(b"entry"), "state_key": "uat.json", "state_sha256": Sha256::of(b"state"),
        "started_at": now(), "ended_at": now(),
    });
    record(&json!([run]), &json!({"proof": proof}))
}

fn as_left() -> StackNow {
    let refresh = Refresh { left_at: now(), differing: Ok([].into()) };
    StackNow {
        is_locked: false,
        has_update: true,
        after: None,
        state_sha256: Some(Sha256::of(b"state")),
        refresh: Some(refresh),
    }
}

fn compared(record: &PromotionRecord, look: Option<&RunLook>, now: Timestamp) -> Compared {
    let mut compared = Compared::default();
    compared.run(&record.plan.runs[0], record, look, now);
    compared
}

/// What is found and what is noted, after a change to the stack.
fn told(change: impl FnOnce(&mut StackNow)) -> String {
    let mut stack = as_left();
    change(&mut stack);
    let Compared { findings, notes, .. } = compared(&updated(), Some(&RunLook::Pulumi(stack)), now());
    let findings = findings.iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message));
    findings.chain(notes).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stack_that_is_as_the_promotion_left_it_is_no_finding() {
    assert_eq!(compared(&updated(), Some(&RunLook::Pulumi(as_left())), now()), Compared::default());
}

#[test]
fn every_way_past_the_gatekeeper_is_told() {
    let all = [
        told(|it| it.after = Some("`update` of 2026-11-30T00:00:01Z, `uat-2.history.json`".to_owned())),
        told(|it| it.has_update = false),
        told(|it| it.state_sha256 = None),
        told(|it| it.state_sha256 = Some(Sha256::of(b"edited"))).replace(&Sha256::of(b"state").to_string(), "LEFT"),
        told(|it| {
            it.refresh.as_mut().unwrap().differing = Ok([("delete".to_owned(), 1), ("update".to_owned(), 2)].into());
        }),
        told(|it| it.refresh.as_mut().unwrap().differing = Err("it tells of 1 errors".to_owned())),
    ];
    insta::assert_snapshot!(all.join("\n").replace(&Sha256::of(b"edited").to_string(), "EDITED"));
}

#[test]
fn what_could_not_be_looked_at_is_neither_as_it_was_nor_mended() {
    let both = [
        (Code::PulumiDrifted, "uat of bank-platform".to_owned()),
        (Code::PulumiStackChanged, "uat of bank-platform".to_owned()),
    ];
    for look in [None, Some(RunLook::NotAsked), Some(RunLook::Unknown("no right to it".to_owned()))] {
        let compared = compared(&updated(), look.as_ref(), now());
        assert_eq!((compared.findings.len(), compared.unseen), (0, both.clone().into()), "{look:?}");
    }
    let locked = RunLook::Pulumi(StackNow { is_locked: true, state_sha256: None, ..as_left() });
    assert_eq!(compared(&updated(), Some(&locked), now()).unseen, both.clone().into());
    // A report of long ago says nothing of today, and the backend still does.
    let old = compared(&updated(), Some(&RunLook::Pulumi(as_left())), now() + SignedDuration::from_hours(49));
    assert_eq!(old.unseen, [(Code::PulumiDrifted, "uat of bank-platform".to_owned())].into());
    let note = "nobody has looked since 2026-11-30T00:00:00Z: let the workflow `pulumi-drift.yml` run on a schedule";
    assert!(old.notes[0].ends_with(note), "{:?}", old.notes);
    let untold = record(&json!(updated().plan.runs), &json!({}));
    let untold = compared(&untold, Some(&RunLook::Pulumi(as_left())), now());
    assert_eq!((untold.findings.len(), untold.unseen), (0, both.into()));
}

#[test]
fn of_dbt_nothing_is_compared_and_that_is_said() {
    let run = json!({
        "kind": "dbt", "module": "MOD-301", "key": "k", "version_id": "v", "sha256": Sha256::of(b"m"), "size": 1, "target": "uat",
        "adapter": "snowflake", "database": "RISK_UAT",
    });
    let compared = compared(&record(&json!([run]), &json!({})), None, now());
    assert_eq!(compared.notes, ["`dbt-MOD-301`: what dbt built is not compared with what is there now"]);
}
