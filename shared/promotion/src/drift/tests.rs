//! Every difference between a stage and its promotion is found, in words that an operator understands.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{ImageDigest, Sha256, VersionId},
    verdict::{Outcome, Revocation, Verdict},
};
use serde_json::json;

use super::*;
use crate::{
    facts::{DatabaseFacts, StoredFacts},
    history::Completed,
    record::{LiveFunction, PromotionRecord, SchemaComparison, StepRecord},
    stage::SchemaParity,
    step::{Direction, Report, ReportStatus},
};

const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(super) const ID: &str = "01J0000000000000000000000A";

pub(super) fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn digest(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}

pub(super) fn state() -> StageState {
    let completed = Completed {
        commit_sha: COMMIT.parse().unwrap(),
        promotion_id: ID.parse().unwrap(),
        manifest_version_id: None,
        completed_at: at(0),
        rollback: false,
    };
    StageState::after(None, &"uat".parse().unwrap(), &"bank-payments".parse().unwrap(), completed)
}

fn record() -> PromotionRecord {
    let pinned = |path: &str| {
        let key = format!("bank-payments/{COMMIT}/modules/MOD-012/{path}");
        json!({"key": key, "version_id": "v1", "sha256": digest(path), "size": 3})
    };
    let with = |mut pinned: serde_json::Value, more: serde_json::Value| {
        pinned.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pinned
    };
    let stack = json!({"module": "MOD-012", "stack": "api", "stack_name": "bank-payments-uat-api"});
    let function = with(stack.clone(), json!({"function": "authorise", "logical_id": "Fn"}));
    let database = json!({
        "database": "ledger", "modules": ["MOD-012"], "secret_arn": "arn", "schema_parity": "required", "checksums": {},
        "snapshot": pinned("schema/ledger-schema.sql"),
    });
    let mut record: PromotionRecord = serde_json::from_value(json!({
        "schema_version": 1, "promotion_id": ID, "repo": "bank-payments", "commit_sha": COMMIT, "stage": "uat",
        "requested_by": "jane@bank.example", "reason": "release", "rollback": false, "status": "succeeded",
        "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z", "ended_at": "2026-05-02T03:09:00Z",
        "verdict_version_id": "v", "manifest_version_id": "m1", "stages_config_version_id": "c",
        "role_arn": null, "stack_role_arn": null, "way_back": null, "steps": [], "live": [], "plan": {
            "stacks": [with(with(stack, json!({"parameters": {}})), pinned("cloudformation/api.json"))],
            "functions": [with(function, pinned("functions/authorise.zip"))],
            "migrations": [], "databases": [database], "smoke": [],
        },
    }))
    .unwrap();
    record.live = look().functions;
    record.steps = vec![compared_as("as tested", Direction::Forward)];
    record
}

/// What `migrate-database` reported of the schema that it left.
fn compared_as(live: &str, direction: Direction) -> StepRecord {
    let comparison = json!({
        "equal": true, "mode": "required", "tested_sha256": digest("as tested"), "live_sha256": digest(live),
        "snapshot_key": "k", "snapshot_version_id": "v1",
    });
    let facts: DatabaseFacts = serde_json::from_value(json!({"schema_parity": comparison})).unwrap();
    let report: Report = Report::begun("ledger", at(0));
    let report = report.ended(ReportStatus::Applied, "migrated", at(0));
    StepRecord::of(direction, &[report.with(facts)], None).unwrap()
}

/// How the schema `live` compares with the tested one now.
fn schema(live: &str, difference: Option<String>) -> DatabaseLook {
    DatabaseLook::Schema(Box::new(SchemaComparison {
        equal: difference.is_none(),
        mode: SchemaParity::Required,
        tested_sha256: digest("as tested"),
        live_sha256: digest(live),
        snapshot_key: "k".to_owned(),
        snapshot_version_id: "v1".into(),
        difference,
        server_limits: None,
        server_limits_accepted: false,
    }))
}

/// A stage as the promotion has left it.
fn look() -> Look {
    let live = LiveFunction {
        code_sha256: Some(digest("functions/authorise.zip")),
        is_promoted_code: true,
        last_modified: Some("2026-05-02T03:08:00.000+0000".to_owned()),
        configuration_sha256: Some(digest("settings")),
        later_settings_sha256: [(2, digest("later settings"))].into(),
        ..LiveFunction::missing("authorise", Some("uat-authorise".to_owned()))
    };
    let verdict = Verdict {
        schema_version: 1,
        repo: "bank-payments".parse().unwrap(),
        commit_sha: COMMIT.parse().unwrap(),
        manifest_version_id: Some("m1".into()),
        outcome: Outcome::Built,
        reasons: Vec::new(),
        artefacts: Vec::new(),
        policy_version_id: None,
        policy_sha256: None,
        policy_tests: None,
        compared_with: None,
        warnings: Vec::new(),
        recounted: BTreeMap::new(),
        forms: BTreeMap::new(),
        evaluated_at: at(0),
    };
    let stack = there(digest("cloudformation/api.json"), StackDrift::InSync);
    let schema = schema("as tested", None);
    Look {
        functions: vec![live],
        stacks: [("bank-payments-uat-api".parse().unwrap(), stack)].into(),
        databases: [("ledger".parse().unwrap(), schema)].into(),
        objects: vec![object("functions/authorise.zip")],
        verdict: Some(verdict),
        ..Look::default()
    }
}

fn object(path: &str) -> ObjectLook {
    let tags = [("integration-passed".to_owned(), "true".to_owned())].into();
    let (key, version_id) = (path.to_owned(), VersionId::from("v1"));
    ObjectLook { key, newest: Some(version_id.clone()), version_id, tags: Some(tags) }
}

fn compared(record: &PromotionRecord, look: &Look) -> Compared {
    compare(Promoted { state: &state(), record: Ok(record), last: Ok(record) }, look, at(0))
}

/// What is found, a line each, after a change to the stage.
fn found(change: impl FnOnce(&mut Look)) -> String {
    let mut look = look();
    change(&mut look);
    lines(&compared(&record(), &look).findings)
}

pub(super) fn lines(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message));
    lines.collect::<Vec<_>>().join("\n")
}

/// A stack in which none is nested.
fn there(template_sha256: Sha256, drift: StackDrift) -> StackLook {
    StackLook::There { template_sha256, nested: BTreeMap::new(), drift }
}

fn stack_of(look: &mut Look) -> &mut StackLook {
    look.stacks.values_mut().next().unwrap()
}

#[test]
fn a_stage_as_its_promotion_left_it_has_no_drift() {
    assert_eq!(compared(&record(), &look()), Compared::default());
}

#[test]
fn other_code_is_found_with_where_it_comes_from() {
    let other = digest("by hand");
    let run = |look: &mut Look, origins: Option<Vec<Origin>>| {
        look.functions[0].code_sha256 = Some(other);
        look.origins.extend(origins.map(|origins| (other, origins)));
    };
    assert!(found(|look| run(look, None)).ends_with(": which commit holds it was not looked up"));
    insta::assert_snapshot!(found(|look| run(look, Some(Vec::new()))), @"function-changed authorise: function `uat-authorise` runs the code `c9616cb59d02c9ee41e1bd3f02c60ee7ca83b44ecf5719ced43f1a14e0391ed9`, promoted was `b65c6c1d7d831f691114e06095319261544aa3055062bffaffa4eb44be09b315`: no commit that was Built holds it");
    let origin = |digit: &str, outcome| Origin {
        commit: gatekeeper_model::ids::Commit {
            repo: "bank-payments".parse().unwrap(),
            sha: digit.repeat(40).parse().unwrap(),
        },
        outcome,
    };
    let origins = vec![
        origin("b", Some(Outcome::Revoked)),
        origin("c", None),
        origin("d", Some(Outcome::Built)),
        origin("e", None),
    ];
    insta::assert_snapshot!(found(|look| run(look, Some(origins))), @"function-changed authorise: function `uat-authorise` runs the code `c9616cb59d02c9ee41e1bd3f02c60ee7ca83b44ecf5719ced43f1a14e0391ed9`, promoted was `b65c6c1d7d831f691114e06095319261544aa3055062bffaffa4eb44be09b315`: it is of `bank-payments@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb`, which is `revoked`; `bank-payments@cccccccccccccccccccccccccccccccccccccccc`, which has no verdict; `bank-payments@dddddddddddddddddddddddddddddddddddddddd`, which is `built`; and 1 more");
}

#[test]
fn a_function_of_an_image_is_compared_by_its_digest_where_the_promotion_left_one() {
    let promoted: ImageDigest = format!("sha256:{}", digest("image")).parse().unwrap();
    let runs = |code: Sha256| {
        let named = Some("uat-pay".to_owned());
        LiveFunction { code_sha256: Some(code), ..LiveFunction::missing("api/Pay", named) }
    };
    let image = json!({
        "resource": "Pay", "property": "Code.ImageUri", "image": [{"literal": "pay:v1"}], "digest": promoted,
        "is_function": true,
    });
    let mut record = record();
    record.plan.stacks[0].images = vec![serde_json::from_value(image).unwrap()];
    // A condition left it out.
    assert_eq!(compared(&record, &look()), Compared::default());
    record.live.push(runs(promoted.sha256()));
    let mut now = look();
    now.functions.push(runs(promoted.sha256()));
    assert_eq!(compared(&record, &now), Compared::default());
    now.functions[1] = runs(digest("by hand"));
    let found = lines(&compared(&record, &now).findings);
    let says =
        format!("function-changed api/Pay: function `uat-pay` runs the code `{}`, promoted was", digest("by hand"));
    assert!(found.starts_with(&says), "{found}");
}

#[test]
fn a_function_that_is_gone_is_found() {
    insta::assert_snapshot!(found(|look| look.functions[0].code_sha256 = None), @"function-missing authorise: function `uat-authorise` is not there");
    insta::assert_snapshot!(found(|look| look.functions[0] = LiveFunction::missing("authorise", None)), @"function-missing authorise: stack `bank-payments-uat-api` has no function `Fn`");
    insta::assert_snapshot!(found(|look| look.functions.clear()), @"function-missing authorise: stack `bank-payments-uat-api` has no function `Fn`");
}

#[test]
fn settings_that_were_changed_are_found_and_settings_that_were_put_back_are_fine() {
    insta::assert_snapshot!(found(|look| {
        look.functions[0].configuration_sha256 = Some(digest("more memory"));
        look.functions[0].last_modified = Some("2026-05-03T10:00:00.000+0000".to_owned());
    }), @"function-reconfigured authorise: settings of function `uat-authorise` were changed since the promotion, last at `2026-05-03T10:00:00.000+0000`");
    assert_eq!(found(|look| look.functions[0].last_modified = Some("2026-05-03T10:00:00.000+0000".to_owned())), "");

    let set = |generation: u32, to: &'static str| {
        move |look: &mut Look| look.functions[0].later_settings_sha256.extend([(generation, digest(to))])
    };
    let told = found(set(2, "another tenancy"));
    assert!(told.starts_with("function-reconfigured authorise: settings of function"), "{told}");

    // What one of both didn't know yet is no difference.
    let mut before = record();
    before.live[0].later_settings_sha256.clear();
    assert_eq!(compared(&before, &look()), Compared::default());
    assert_eq!(found(set(3, "of a newer gatekeeper")), "");

    // A record without the settings' digest has the time alone.
    let mut older = record();
    older.live[0].configuration_sha256 = None;
    assert_eq!(compared(&older, &look()), Compared::default());
    let mut touched = look();
    touched.functions[0].last_modified = Some("later".to_owned());
    assert_eq!(compared(&older, &touched).findings[0].code, Code::FunctionReconfigured);
    older.live[0].last_modified = None;
    assert_eq!(compared(&older, &touched), Compared::default(), "and one without the time has nothing");
}

#[test]
fn a_failed_promotion_since_is_what_settings_and_schemas_are_compared_with() {
    let (mut failed, mut look) = (record(), look());
    failed.live[0].configuration_sha256 = Some(digest("of the way back"));
    failed.steps.push(compared_as("with a migration that stays", Direction::Back));
    look.functions[0].configuration_sha256 = Some(digest("of the way back"));
    let schema = schema("with a migration that stays", Some("x".to_owned()));
    look.databases.insert("ledger".parse().unwrap(), schema);
    let record = record();
    let promoted = Promoted { state: &state(), record: Ok(&record), last: Ok(&failed) };
    assert_eq!(compare(promoted, &look, at(0)), Compared::default());
}

#[test]
fn stacks_are_compared_by_their_templates_and_by_what_cloudformation_says() {
    insta::assert_snapshot!(found(|look| *stack_of(look) = StackLook::Missing), @"stack-missing bank-payments-uat-api: the stack is not there");
    insta::assert_snapshot!(found(|look| {
        let drift = StackDrift::Drifted(vec!["`Fn` (modified)".to_owned(), "`Role` (deleted)".to_owned()]);
        *stack_of(look) = there(digest("another template"), drift);
    }), @r#"
    template-changed bank-payments-uat-api: its template has the SHA-256 `69e265ecf99eeb4483c2357ba7307888e1eab3c4f51bd5f167e93f8cbe7b726b`, promoted was `b56481b6346a4f3d5fdb349a154e372f17719a3c771cc3f1d370d1b931c50d10`
    stack-drifted bank-payments-uat-api: CloudFormation says that these resources were changed outside it: `Fn` (modified), `Role` (deleted)
    "#);
}

#[test]
fn the_template_of_a_nested_stack_is_the_promoted_one_or_its_form() {
    let mut record = record();
    record.plan.stacks[0].assets = serde_json::from_value(json!([{
        "module": "MOD-012", "resource": "Inner", "kind": "template", "bucket": [{"literal": "b"}],
        "asset_key": "inner.json", "key": "k", "version_id": "v1", "sha256": digest("inner"), "size": 1,
    }]))
    .unwrap();
    let mut look = look();
    let mut nested = |live: Sha256, record: &PromotionRecord| {
        let drift = StackDrift::InSync;
        let nested = BTreeMap::from([("Inner".to_owned(), live)]);
        *stack_of(&mut look) =
            StackLook::There { template_sha256: record.plan.stacks[0].applied_sha256(), nested, drift };
        lines(&compared(record, &look).findings)
    };
    assert_eq!(nested(digest("inner"), &record), "");
    insta::assert_snapshot!(nested(digest("other"), &record), @"template-changed bank-payments-uat-api: the template of its nested stack `Inner` has the SHA-256 `d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa`, promoted was `33bf6fbd7cd8379785a21e233d8e09f824e7bab459168a96312c1c882c1d7e1f`");
    let told = |name: &str, of: &str| {
        json!({"template_sha256": digest(of), "sha256": digest(name), "size": 1, "mapping_sha256": digest("m"),
            "substitutions": 1})
    };
    let mut form = told("root", "cloudformation/api.json");
    form["nested"] = json!({"inner.json": told("form", "inner")});
    form["synthesised_for"] =
        json!({"account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank"});
    record.plan.stacks[0].form = Some(serde_json::from_value(form).unwrap());
    assert_eq!(nested(digest("form"), &record), "");
    assert!(nested(digest("inner"), &record).contains("nested stack `Inner`"));
}

#[test]
fn what_cannot_be_told_is_no_finding_but_is_said() {
    let mut look = look();
    let drift = StackDrift::Unknown("not authorized".to_owned());
    *stack_of(&mut look) = there(digest("cloudformation/api.json"), drift);
    look.databases.insert("ledger".parse().unwrap(), DatabaseLook::Unknown("it can't be reached".to_owned()));
    insta::assert_debug_snapshot!(compared(&record(), &look), @r#"
    Compared {
        findings: [],
        notes: [
            "CloudFormation can't tell whether stack `bank-payments-uat-api` has drifted: not authorized",
            "the schema of database `ledger` can't be told: it can't be reached",
        ],
        unseen: {
            (
                FlywayHistoryElsewhere,
                "ledger",
            ),
            (
                StackDrifted,
                "bank-payments-uat-api",
            ),
            (
                SchemaDrifted,
                "ledger",
            ),
        },
    }
    "#);
}

#[test]
fn a_schema_that_was_changed_is_found() {
    let difference = format!("-  amount bigint\n+  amount text\n{}", "é".repeat(2_000));
    let found = found(|look| {
        look.databases.insert("ledger".parse().unwrap(), schema("by hand", Some(difference)));
    });
    assert!(found.starts_with("schema-drifted ledger: its schema is not the one that the promotion left; its difference from the tested schema:\n-  amount bigint\n"), "{found}");
    assert!(found.len() < 1_200, "it goes into a mail");
}

/// A later gatekeeper may take normal forms by other rules: then digests of before mean nothing.
#[test]
fn digests_that_were_taken_by_other_rules_are_not_compared() {
    let mut record = record();
    let by_other_rules = |record: &mut PromotionRecord, equal: bool| {
        let facts = &mut record.steps[0].reports[0].facts;
        let mut read: DatabaseFacts = facts.read().unwrap();
        read.schema_parity = SchemaComparison {
            tested_sha256: digest("as tested, by other rules"),
            live_sha256: digest("as left, by other rules"),
            equal,
            ..read.schema_parity.read().unwrap().unwrap().clone()
        }
        .into();
        *facts = StoredFacts::of(&read).unwrap();
    };
    by_other_rules(&mut record, true);
    assert_eq!(compared(&record, &look()).findings, []);
    let mut changed = look();
    changed.databases.insert("ledger".parse().unwrap(), schema("by hand", Some("x".to_owned())));
    assert_eq!(compared(&record, &changed).findings.len(), 1);
    by_other_rules(&mut record, false);
    let compared = compared(&record, &changed);
    assert_eq!(compared.findings, []);
    assert!(compared.notes[0].contains("promote it again"), "{:?}", compared.notes);
}

#[test]
fn stored_objects_that_are_no_longer_the_promoted_ones_are_found() {
    let found = found(|look| {
        let mut objects = ["a", "b", "c", "d", "e"].map(object);
        objects[0].newest = Some("v2".into());
        objects[1].newest = None;
        objects[2].tags = None;
        objects[3].tags = Some([("integration-passed".to_owned(), "false".to_owned())].into());
        objects[4].tags = Some(gatekeeper_store::Tags::new());
        look.objects = objects.to_vec();
    });
    insta::assert_snapshot!(found, @r#"
    artefact-changed d: `integration-passed` is `false` on version `v1`
    artefact-changed e: version `v1` has no tag `integration-passed`
    artefact-changed c: version `v1` was promoted and is gone
    artefact-changed b: version `v1` was promoted, and the object is deleted
    artefact-changed a: version `v2` is stored, promoted was `v1`
    "#);
}

#[test]
fn a_commit_that_may_no_longer_run_is_found_with_where_it_runs() {
    let told = |manifest: &str| {
        gatekeeper_model::revocation::TakenBack::Told(Revocation {
            schema_version: 1,
            repo: "bank-payments".parse().unwrap(),
            commit_sha: COMMIT.parse().unwrap(),
            manifest_version_id: manifest.into(),
            revoked_by: "jane@bank.example".to_owned(),
            revoked_at: at(1),
            reason: "rounds down".to_owned(),
        })
    };
    let outcome = |look: &mut Look, outcome| look.verdict.as_mut().unwrap().outcome = outcome;
    insta::assert_snapshot!(found(|look| look.revocation = Some(told("m1"))), @"revoked-commit-running bank-payments@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: taken back by `jane@bank.example`: rounds down; stage `uat` runs it as `uat-authorise`");
    insta::assert_snapshot!(found(|look| outcome(look, Outcome::Revoked)), @"revoked-commit-running bank-payments@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: it was taken back; stage `uat` runs it as `uat-authorise`");
    insta::assert_snapshot!(found(|look| outcome(look, Outcome::Rejected)), @"rejected-commit-running bank-payments@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: its verdict is `rejected`; stage `uat` runs it as `uat-authorise`");
    insta::assert_snapshot!(found(|look| look.verdict = None), @"rejected-commit-running bank-payments@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: it has no verdict; stage `uat` runs it as `uat-authorise`");
    assert_eq!(found(|look| look.revocation = Some(told("m0"))), "", "an earlier manifest was taken back");
    // Its tags are `false` by then, which says nothing more.
    let found = found(|look| {
        outcome(look, Outcome::Revoked);
        look.objects[0].tags = Some(gatekeeper_store::Tags::new());
    });
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn a_record_that_is_gone_or_of_something_else_is_found() {
    let promoted =
        Promoted { state: &state(), record: Err("there is no such record"), last: Err("there is no such record") };
    insta::assert_snapshot!(lines(&compare(promoted, &Look { verdict: look().verdict, ..Look::default() }, at(0)).findings), @"record-missing promotions/uat/bank-payments/01J0000000000000000000000A.json: there is no such record");
    let changes: [fn(&mut PromotionRecord); 4] = [
        |it| it.commit_sha = "b".repeat(40).parse().unwrap(),
        |it| it.repo = "bank-kyc".parse().unwrap(),
        |it| it.stage = "prod".parse().unwrap(),
        |it| it.status = crate::record::Status::Failed,
    ];
    for change in changes {
        let mut record = record();
        change(&mut record);
        let found: Vec<_> = compared(&record, &look()).findings.iter().map(|it| it.code).collect();
        assert_eq!(found, [Code::RecordMissing]);
    }
}

/// Who may not look, or can't, has found nothing: neither that something is gone nor that it is as it was.
#[test]
fn what_could_not_be_looked_at_is_neither_missing_nor_resolved() {
    let mut look = look();
    let why = "AccessDenied: not authorized to perform: cloudformation:ListStackResources";
    look.functions[0] = LiveFunction::unread("authorise", None, why);
    *stack_of(&mut look) = StackLook::Unread("ThrottlingException: Rate exceeded".to_owned());
    let seen = compared(&record(), &look);
    assert_eq!(lines(&seen.findings), "");
    insta::assert_snapshot!(seen.notes.join("\n"), @"
    the function of bundle `authorise` could not be looked at: AccessDenied: not authorized to perform: cloudformation:ListStackResources
    stack `bank-payments-uat-api` could not be looked at: ThrottlingException: Rate exceeded
    ");
    assert_eq!(look.unread().len(), 2);
    // What was found before stands, because nobody has seen that it is mended.
    let gone = Finding::new(Code::FunctionMissing, "authorise", "function `uat-authorise` is not there");
    let before = Compared { findings: vec![gone.clone()], ..Compared::default() };
    let before = Drift::after(None, &state(), before, at(0)).as_told();
    let after = Drift::after(Some(&before), &state(), seen, at(10));
    assert_eq!(after.findings.iter().map(|it| &it.finding).collect::<Vec<_>>(), [&gone]);
    assert!(after.change().is_empty());
}

#[test]
fn what_the_record_tells_and_cannot_be_read_is_a_note_and_no_agreement() {
    let mut odd = record();
    odd.steps[0].reports[0].facts = serde_json::from_value(json!({"schema_parity": {"equal": "perhaps"}})).unwrap();
    let seen = compared(&odd, &look());
    assert_eq!(lines(&seen.findings), "");
    assert!(seen.notes[0].contains("how database `ledger` was left can't be told"), "{:?}", seen.notes);
    // Neither does a record of the last promotion that can't be read stand for one that changed nothing.
    let record = record();
    let promoted = Promoted { state: &state(), record: Ok(&record), last: Err("the record is not valid") };
    let seen = compare(promoted, &look(), at(0));
    assert_eq!(seen.unseen.len(), 2, "{:?}", seen.unseen);
    assert!(seen.notes.iter().any(|note| note.contains("the record is not valid")), "{:?}", seen.notes);
}

#[test]
fn proofs_that_fail_are_findings_too() {
    let proof = Finding::new(Code::RecordMissing, "ledger/uat/bank-payments", "link 3 is broken");
    assert_eq!(found(|look| look.proofs.push(proof)), "record-missing ledger/uat/bank-payments: link 3 is broken");
}
