//! What the real engine left in a backend (`shared/readers/src/pulumi/fixtures`), judged for a lease.

use std::{fs, path::PathBuf};

use gatekeeper_readers::pulumi::{Packing, history, preview, state};
use serde_json::{Value, json};

use super::*;

/// What the message of the first update names.
const PROMOTION: &str = "01J0000000000000000000000A";

fn fixture(case: &str, file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../readers/src/pulumi/fixtures/3.276.0");
    fs::read(folder.join(case).join(file)).unwrap()
}

/// A backend as a case left it, with its entry and its state changed.
fn look(case: &str, of_entry: impl FnOnce(&mut Value), of_state: impl FnOnce(&mut Value)) -> Look {
    let changed = |file: &str, change: &mut dyn FnMut(&mut Value)| {
        let mut document = serde_json::from_slice(&fixture(case, file)).unwrap();
        change(&mut document);
        document.to_string().into_bytes()
    };
    let (mut of_entry, mut of_state) = (Some(of_entry), Some(of_state));
    let entry = changed("history.json", &mut |it| of_entry.take().unwrap()(it));
    let left = changed("checkpoint.json", &mut |_| ());
    let state = changed("state.json", &mut |it| of_state.take().unwrap()(it));
    let read = |bytes: &[u8]| state::read(Packing::None.unpack(bytes)).unwrap();
    Look {
        entries: vec![Entry {
            key: ".pulumi/history/bank-platform/dev/dev-1.history.json".to_owned(),
            sha256: Sha256::of(&entry),
            update: history::entry(entry.as_slice()).unwrap(),
            checkpoint_sha256: Some(Sha256::of(&left)),
        }],
        state: Some(StateObject {
            key: ".pulumi/stacks/bank-platform/dev.json".to_owned(),
            version_id: Some("v1".into()),
            sha256: Sha256::of(&state),
            size: state.len() as u64,
            state: read(&state),
        }),
        is_locked: false,
    }
}

fn first() -> Look {
    look("first", |_| (), |_| ())
}

fn planned(case: &str, file: &str) -> PlannedPulumi {
    let head =
        serde_json::from_slice::<Value>(&fixture(case, "history.json")).unwrap()["environment"]["git.head"].clone();
    let preview = preview::read(fixture(case, file).as_slice()).unwrap().unwrap();
    PlannedPulumi {
        program_sha: head.as_str().unwrap().parse().unwrap(),
        backend: "s3://bank-pulumi-state".to_owned(),
        project: "bank-platform".to_owned(),
        stack: "dev".to_owned(),
        modules: BTreeSet::default(),
        read_role_arn: None,
        plan_sha256: Some(Sha256::of(b"the preview")),
        is_plan: false,
        changes: preview.changes,
    }
}

/// The lease of the promotion that a case's message names, opened before it.
fn lease(case: &str) -> OpenLease {
    let entry = history::entry(fixture(case, "history.json").as_slice()).unwrap().unwrap();
    OpenLease {
        schema_version: 1,
        promotion_id: PROMOTION.parse().unwrap(),
        opened_at: entry.started_at - SignedDuration::from_secs(2),
        expires_at: entry.started_at + SignedDuration::from_mins(60),
    }
}

fn told(planned: &PlannedPulumi, look: &Look) -> String {
    let lines = |findings: &[Finding]| {
        findings.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>().join("\n")
    };
    match judge(planned, &lease("first"), look) {
        Judgement::Refused(reasons) => format!("refused\n{}", lines(&reasons)),
        Judgement::Final { reasons, warnings, .. } => format!("final\n{}{}", lines(&reasons), lines(&warnings)),
    }
}

#[test]
fn what_the_plan_says_and_nothing_else_passes() {
    for file in ["preview.json", "plan.json"] {
        let judged = judge(&planned("first", file), &lease("first"), &first());
        let Judgement::Final { reasons, warnings, proof: RunProof::Pulumi(proof) } = judged else {
            panic!("{judged:?}")
        };
        assert_eq!((reasons, warnings), (vec![], vec![]), "{file}");
        assert_eq!((proof.pulumi_version.as_deref(), proof.resources), (Some("v3.276.0"), 8));
    }
}

#[test]
fn what_was_not_made_for_the_lease_is_refused() {
    let plan = planned("first", "preview.json");
    let other = |message: &'static str| look("first", move |it| it["message"] = json!(message), |_| ());
    assert!(told(&plan, &other("promotion 01J0000000000000000000000B")).contains("run-of-another-promotion"));
    // A longer word that holds the id is another one.
    assert!(told(&plan, &other("01J0000000000000000000000AA")).contains("run-of-another-promotion"));
    let before = look("first", |it| it["startTime"] = json!(it["startTime"].as_i64().unwrap() - 60), |_| ());
    assert!(told(&plan, &before).contains("run-of-another-promotion"));
    assert!(told(&plan, &Look { entries: vec![], ..first() }).contains("run-of-another-promotion"));
    assert!(told(&plan, &Look { is_locked: true, ..first() }).contains("run-evidence-invalid"));
    assert!(told(&plan, &Look { state: None, ..first() }).contains("run-evidence-invalid"));
}

#[test]
fn every_way_in_which_an_update_is_not_the_promotions_is_told() {
    let plan = planned("first", "preview.json");
    let entry = |change: fn(&mut Value)| told(&plan, &look("first", change, |_| ()));
    let state = |change: fn(&mut Value)| told(&plan, &look("first", |_| (), change));
    let bare = Look { state: first().state.map(|it| StateObject { version_id: None, ..it }), ..first() };
    let mut followed = first();
    let mut after = look("refreshed", |_| (), |_| ()).entries.remove(0);
    after.key = ".pulumi/history/bank-platform/dev/dev-2.history.json".to_owned();
    followed.entries.insert(0, after);
    let all = [
        entry(|it| it["kind"] = json!("destroy")),
        entry(|it| it["result"] = json!("failed")),
        entry(|it| it["environment"]["git.head"] = json!("0".repeat(40))),
        entry(|it| it["environment"]["git.dirty"] = json!("true")),
        entry(|it| it["environment"] = json!({})).replace(&plan.program_sha.to_string(), "…"),
        entry(|it| it["resourceChanges"] = json!({"create": 6, "delete": 1})),
        told(&PlannedPulumi { is_plan: true, ..plan.clone() }, &first()),
        told(&plan, &bare),
        told(&plan, &followed),
        state(|it| it["checkpoint"]["stack"] = json!("organization/bank-platform/uat")),
        state(|it| drop(it["checkpoint"]["latest"]["resources"].as_array_mut().unwrap().pop())),
    ];
    let shown = all.join("\n\n").replace(plan.program_sha.as_str(), "COMMIT");
    let digests = shown.split('`').map(|it| if it.parse::<Sha256>().is_ok() { "DIGEST" } else { it });
    insta::assert_snapshot!(digests.collect::<Vec<_>>().join("`"));
}

#[test]
fn an_edited_or_broken_state_is_told() {
    let plan = PlannedPulumi { changes: Changes::default(), plan_sha256: None, ..planned("first", "preview.json") };
    let as_ours = |it: &mut Value| it["message"] = json!(format!("promotion {PROMOTION}"));
    // Real ones: `pulumi state delete` after an update, and an engine that was killed.
    for case in ["edited", "killed"] {
        let look = look(case, as_ours, |_| ());
        let told = told(&plan, &look);
        assert!(told.contains("pulumi-state-edited: `.pulumi/stacks/bank-platform/dev.json`"), "{case}: {told}");
        assert_eq!(told.contains("operations that were broken off"), case == "killed", "{told}");
    }
}

#[test]
fn an_update_that_was_broken_off_and_done_again_counts_together() {
    let plan = planned("first", "preview.json");
    let mut twice = look("first", |it| it["resourceChanges"] = json!({"create": 4, "same": 3}), |_| ());
    let mut earlier =
        look("first", |it| (it["result"], it["resourceChanges"]) = (json!("failed"), json!({"create": 3})), |_| ());
    earlier.entries[0].key = ".pulumi/history/bank-platform/dev/dev-0.history.json".to_owned();
    twice.entries.append(&mut earlier.entries);
    assert_eq!(told(&plan, &twice), "final\n");
}

#[test]
fn what_depends_on_a_change_may_turn_out_to_stay_as_it_is() {
    // The plan has one each of `create`, `replace` and `update`, and two of `delete`.
    let plan = planned("changed", "preview.json");
    let made = |changes: Value| {
        let ours = |it: &mut Value| {
            it["message"] = json!(format!("promotion {PROMOTION}"));
            it["resourceChanges"] = changes.clone();
        };
        told(&plan, &look("changed", ours, |_| ()))
    };
    for less in [json!({"update": 1}), json!({"update": 2}), json!({"replace": 1}), json!({})] {
        let mut changes = json!({"create": 1, "delete": 2, "same": 3});
        changes.as_object_mut().unwrap().extend(less.as_object().unwrap().clone());
        assert_eq!(made(changes), "final\n", "{less}");
    }
    for (more, told) in [
        (
            json!({"create": 1, "delete": 2, "replace": 1, "update": 2}),
            "`update` was done to 2 resources, and the plan says at most 1",
        ),
        (
            json!({"create": 1, "delete": 2, "replace": 2}),
            "`replace` was done to 2 resources, and the plan says at most 1",
        ),
        (
            json!({"create": 1, "delete": 1, "replace": 1, "update": 1}),
            "`delete` was done to 1 resources, and the plan says 2",
        ),
        (json!({"delete": 2, "replace": 1, "update": 1}), "`create` was done to 0 resources, and the plan says 1"),
    ] {
        assert_eq!(made(more), format!("final\npulumi-plan-differs: {told}"));
    }
}

fn request(accepted: &[&str], preview: Option<PulumiPreview>) -> PromotionRequest {
    let event = json!({
        "repo": "bank-platform", "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357", "stage": "dev",
        "requested_by": "jane", "reason": "release", "lease": true, "accept_replacement": accepted,
    });
    PromotionRequest { preview, ..PromotionRequest::parse(&event).unwrap() }
}

fn preview_of(case: &str) -> PulumiPreview {
    let bytes = fixture(case, "preview.json");
    PulumiPreview::of(Sha256::of(&bytes), preview::read(bytes.as_slice()).unwrap().unwrap())
}

fn of_program() -> Plan {
    let program = PlannedPulumi { plan_sha256: None, changes: Changes::default(), ..planned("first", "preview.json") };
    Plan { runs: vec![PlannedRun::Pulumi(program)], ..Plan::default() }
}

#[test]
fn what_holds_data_goes_only_where_the_request_names_it() {
    let refused = |accepted: &[&str], preview| {
        let refused = with_preview(of_program(), &request(accepted, preview)).unwrap_err();
        refused.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(refused(&[], Some(preview_of("changed"))));
    let accepted = [
        "urn:pulumi:dev::bank-platform::aws:dynamodb/table:Table::kept",
        "urn:pulumi:dev::bank-platform::aws:sqs/queue:Queue::gone",
        "urn:pulumi:dev::bank-platform::bank:platform:Store$aws:s3/bucket:Bucket::bank-artefacts",
    ];
    let plan = with_preview(of_program(), &request(&accepted, Some(preview_of("changed")))).unwrap();
    assert!(plan.changes_urn(&accepted[0].parse().unwrap()));
    assert!(refused(&[], None).starts_with("pulumi-preview-missing"));
    let none = with_preview(Plan::default(), &request(&[], Some(preview_of("first")))).unwrap_err();
    assert_eq!(none[0].code, Code::PulumiPreviewInvalid);
    let mut uat = of_program();
    let PlannedRun::Pulumi(program) = &mut uat.runs[0] else { panic!() };
    program.stack = "uat".to_owned();
    let elsewhere = with_preview(uat, &request(&[], Some(preview_of("first")))).unwrap_err();
    assert_eq!(elsewhere[0].code, Code::PulumiPreviewInvalid);
}

#[test]
fn a_plans_digest_changes_with_what_is_applied_and_with_nothing_that_was_looked_at() {
    let commit = gatekeeper_model::ids::Commit {
        repo: "bank-platform".parse().unwrap(),
        sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap(),
    };
    let digest = |plan: &Plan, request: &PromotionRequest| plan.digest(&commit, request);
    let asked = request(&[], Some(preview_of("first")));
    let plan = with_preview(of_program(), &asked).unwrap();
    let one = digest(&plan, &asked);
    assert_eq!(one, digest(&plan, &PromotionRequest { dry_run: true, reason: "a look".to_owned(), ..asked.clone() }));
    let accepting = request(&["payments-data/OrdersTable"], Some(preview_of("first")));
    assert_ne!(one, digest(&plan, &accepting));
    let other = with_preview(of_program(), &request(&[], Some(preview_of("same")))).unwrap();
    assert_ne!(one, digest(&other, &asked));
    assert_ne!(one, digest(&plan, &PromotionRequest { stage: "uat".parse().unwrap(), ..asked.clone() }));
}
