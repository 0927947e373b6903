//! Evidence over the memory store: what holds, and every way in which it doesn't.

use std::time::Duration;

use gatekeeper_gate::attestation::TestResult;
use gatekeeper_model::{identity::Identity, ids::Sha256, store_key::RecordKey};
use gatekeeper_promotion::{
    approval::CountedApproval,
    record::{LiveFunction, PromotionRecord},
    step::Step,
};
use gatekeeper_proof::Statement;
use gatekeeper_store::record;
use serde_json::json;

use super::{
    bundle,
    bundle_verify::{OwnKeys, verify},
    exhibits::{Exhibits, Live},
    find::{Found, Selector, find},
    html, judge,
    model::{Evidence, Holds, LookedAt, Part, Question},
    paper,
    sample::{World, commit, question},
    text,
};

/// The checks that don't hold, in words.
fn troubles(evidence: &Evidence) -> Vec<String> {
    evidence.troubles().map(|it| format!("{} {}: {}", it.holds, it.name, it.detail)).collect()
}

/// Judges, and shows it in every way: nothing that is stored may break that.
fn shown(exhibits: &Exhibits) -> Evidence {
    let evidence = judge(exhibits);
    assert!(text::render(&evidence, |_, word| word.to_owned()).starts_with(&evidence.answer));
    html::page("What uat runs", std::slice::from_ref(&evidence)).unwrap();
    evidence
}

#[tokio::test]
async fn of_a_promoted_commit_everything_holds() {
    let evidence = World::promoted().await.evidence().await;
    assert_eq!(troubles(&evidence), Vec::<String>::new());
    assert_eq!(evidence.verdict, Holds::Holds);
    insta::assert_snapshot!(text::render(&evidence, |_, word| word.to_owned()));
    insta::assert_json_snapshot!(evidence);
    insta::assert_snapshot!(html::page("What uat runs", &[evidence]).unwrap());
}

#[tokio::test]
async fn what_a_request_accepted_to_lose_is_shown() {
    let evidence = World::promoted().await.evidence().await;
    let mut document = json!(evidence);
    assert!(document["runs"]["promotion"].get("accept_replacement").is_none(), "nothing was");
    document["runs"]["promotion"]["accept_replacement"] = json!(["payments-data/Orders"]);
    let evidence: Evidence = serde_json::from_value(document).unwrap();
    let text = text::render(&evidence, |_, word| word.to_owned());
    let page = html::page("What uat runs", &[evidence]).unwrap();
    for shown in [text, page] {
        assert!(shown.contains("payments-data/Orders") && shown.to_lowercase().contains("accepted loss"), "{shown}");
    }
}

#[tokio::test]
async fn what_held_the_stage_of_a_rollback_that_went_on_is_shown() {
    let evidence = World::promoted().await.evidence().await;
    let mut document = json!(evidence);
    assert!(document["runs"]["promotion"].get("hold").is_none(), "nothing did");
    document["runs"]["promotion"]["hold"] = json!({
        "id": "01JZ0000000000000000000000", "by": "arn:aws:iam::123456789012:user/jane", "since": "2026-05-02T03:04:05Z",
        "reason": "the ledger is reconciled <today>",
    });
    let evidence: Evidence = serde_json::from_value(document).unwrap();
    let text = text::render(&evidence, |_, word| word.to_owned());
    assert!(text.contains("held by arn:aws:iam::123456789012:user/jane since 2026-05-02"), "{text}");
    let page = html::page("What uat runs", &[evidence]).unwrap();
    assert!(page.contains("<dt>On hold</dt>") && page.contains("user/jane") && !page.contains("<today>"), "{page}");
}

#[tokio::test]
async fn parameters_that_had_other_values_in_the_tests_are_shown() {
    let evidence = World::promoted().await.evidence().await;
    let mut document = json!(evidence);
    assert!(document["runs"]["stacks"][0].get("differing").is_none(), "none has");
    document["runs"]["stacks"][0]["differing"] = json!([
        {"name": "LogLevel", "tested": "debug", "stage": "info"}, {"name": "Retries", "tested": "3", "stage": null},
    ]);
    let evidence: Evidence = serde_json::from_value(document).unwrap();
    let text = text::render(&evidence, |_, word| word.to_owned());
    assert!(text.contains("LogLevel = info; tested was debug"), "{text}");
    assert!(text.contains("Retries = the template's default; tested was 3"), "{text}");
    let page = html::page("What uat runs", &[evidence]).unwrap();
    assert!(page.contains("LogLevel is <code>info</code>, tested was <code>debug</code>"), "{page}");
    assert!(page.contains("Retries is the template’s default, tested was <code>3</code>"), "{page}");
}

#[tokio::test]
async fn a_function_updated_by_hand_is_named_with_what_it_runs() {
    let world = World::promoted().await;
    let other = Sha256::of(b"other");
    let exhibits = world.exhibits_with(question(), |mut live| {
        live[0].code_sha256 = Some(other);
        live[0].is_promoted_code = false;
        Live::Seen(live)
    });
    let evidence = shown(&exhibits.await);
    insta::assert_debug_snapshot!((&evidence.answer, troubles(&evidence)));
}

/// As for a promoter, who may not list the stage's resources: nobody says that the functions are missing.
#[tokio::test]
async fn functions_that_may_not_be_looked_at_are_not_missing() {
    let world = World::promoted().await;
    let why = "stack `bank-payments-uat-payments-api` can't be looked at: AccessDenied: not authorized to perform: \
               cloudformation:ListStackResources";
    let denied = world.exhibits_with(question(), |live| {
        Live::Seen(live.iter().map(|it| LiveFunction::unread(&it.function, None, why)).collect())
    });
    let evidence = shown(&denied.await);
    assert_eq!((evidence.verdict, troubles(&evidence).len()), (Holds::Unknown, 1), "{:?}", troubles(&evidence));
    let function = &evidence.runs.as_ref().unwrap().functions[0];
    assert_eq!((function.equal, function.live_sha256), (Holds::Unknown, None));
    let text = text::render(&evidence, |_, word| word.to_owned());
    let page = html::page("What uat runs", &[evidence]).unwrap();
    for told in [text, page] {
        assert!(told.contains("could not be looked at") && told.contains("ListStackResources"), "{told}");
        assert!(!told.contains("not found"), "{told}");
    }
}

/// Whatever document may not be read: a check that could not be made, and never one that fails.
#[tokio::test]
async fn a_document_that_may_not_be_read_is_not_missing() {
    for denied in ["stages/", "ledger/uat/", "ledger/gate/", "drift/", "promotions/", "bank-payments/", "config/"] {
        let world = World::promoted().await;
        world.records.deny(denied);
        let exhibits = world.exhibits(question()).await;
        let evidence = shown(&exhibits);
        assert_eq!(evidence.verdict, Holds::Unknown, "{denied}: {:#?}", troubles(&evidence));
        assert!(troubles(&evidence).iter().all(|it| it.starts_with("unknown")), "{denied}");
        assert!(!exhibits.observed.unread.is_empty(), "{denied}");
    }
    let world = World::promoted().await;
    world.artefacts.deny("");
    let evidence = shown(&world.exhibits(question()).await);
    assert_eq!(evidence.verdict, Holds::Unknown, "{:#?}", troubles(&evidence));
    assert!(evidence.retention.iter().any(|it| it.bucket == "artefacts" && it.unread.is_some()));
}

#[tokio::test]
async fn what_a_policy_waives_is_told_as_waived_and_never_fails() {
    let policy = json!({
        "schema_version": 1,
        "all": {"waive": ["flyway"], "min_line_coverage": 60},
        "repos": {"bank-payments": {"waive": ["tested-bytes"], "require": ["policy-rows", "policy-report"]},
                  "bank-kyc": {"waive": ["unit"]}}
    });
    let untold = |manifest: &mut serde_json::Value| {
        manifest.as_object_mut().unwrap().remove("flyway");
        manifest["tests"]["integration"]["deployed"] = json!([]);
        manifest["tests"]["policy"]["policies_satisfied"] = json!([]);
        manifest["tests"].as_object_mut().unwrap().remove("policy");
    };
    let policy = {
        let mut policy = policy;
        policy["repos"]["bank-payments"] = json!({"waive": ["tested-bytes", "policy"]});
        policy
    };
    let world = World::judged_by(&policy, untold, |_| {}).await;
    let evidence = shown(&world.exhibits(question()).await);
    assert_eq!((evidence.verdict, troubles(&evidence)), (Holds::Holds, Vec::new()));
    let waived: Vec<_> = evidence.waived().map(|it| format!("{}: {}", it.name, it.detail)).collect();
    insta::assert_snapshot!(waived.join("\n"));
    assert!(evidence.answer.contains("6 of them waived"), "{}", evidence.answer);
    assert_eq!(evidence.runs.as_ref().unwrap().functions[0].equal, Holds::Waived);
    let rules = evidence.rules.as_ref().unwrap();
    assert_eq!(rules.policy.document.as_deref(), Some(policy.to_string().as_str()));
    assert_eq!(rules.policy.sha256, Some(Sha256::of(policy.to_string().as_bytes())));
    let told: Vec<_> = rules.policy.waivers.iter().map(|it| (super::judge::word(&it.condition), it.for_all)).collect();
    let expected = [("policy", false), ("flyway", true), ("tested-bytes", false)];
    assert_eq!(told, expected.map(|(condition, all)| (condition.to_owned(), all)));

    // The very document is bound by the verdict: another one, or none, is found.
    let exhibits = world.exhibits(question()).await;
    let mut other = exhibits.clone();
    other.documents.get_mut(paper::POLICY).unwrap().bytes = br#"{"schema_version": 1}"#.to_vec();
    let found = troubles(&shown(&other)).join("\n");
    assert!(found.contains("the policy that the gate applied is stored as it was applied"), "{found}");
    let mut none = exhibits.clone();
    none.documents.remove(paper::POLICY);
    assert_eq!(shown(&none).verdict, Holds::Fails);
    // A bundle of it holds offline, and by the script.
    let files = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
    assert!(files.contains_key(paper::POLICY) && files.contains_key(paper::STAGES));
    let offline = verify(&files, &OwnKeys::default(), None).unwrap();
    assert_eq!(offline.verdict, Holds::Holds, "{:?}", troubles(&offline));
}

#[tokio::test]
async fn that_no_smoke_check_is_configured_is_not_that_every_one_holds() {
    let none = |stage: &mut serde_json::Value| stage["smoke"] = json!([]);
    let world = World::judged_by(&json!({"schema_version": 1}), |_| {}, none).await;
    let evidence = shown(&world.exhibits(question()).await);
    assert_eq!(evidence.verdict, Holds::Holds, "{:?}", troubles(&evidence));
    let names: Vec<_> = evidence.checks.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"no smoke check is configured, and none was asked"), "{names:#?}");
    assert!(!names.iter().any(|name| name.contains("every smoke check")), "{names:#?}");
    // What was planned and of which the record tells nothing did not answer.
    let asked = World::promoted().await.exhibits(question()).await;
    let mut silent = asked.clone();
    let mut record: PromotionRecord = asked.read(paper::PROMOTION).unwrap().value;
    record.steps.retain(|step| step.step != Step::SmokeTest.as_str());
    silent.documents.get_mut(paper::PROMOTION).unwrap().bytes = record::to_bytes(&record).unwrap();
    let found = troubles(&shown(&silent)).join("\n");
    assert!(found.contains("every smoke check answered as it should") && found.contains("0 of 1 checks"), "{found}");
}

#[tokio::test]
async fn figures_are_said_to_be_recounted_of_those_suites_only_that_were() {
    let evidence = World::promoted().await.evidence().await;
    let sources: Vec<_> = evidence.suites.iter().map(|it| format!("{}: {}", it.suite, it.source())).collect();
    insta::assert_snapshot!(sources.join("\n"), @"
    typecheck: figures told by the manifest, no raw report
    unit: figures told by the manifest, no raw report; coverage told by the manifest, no raw report
    policy: figures told by the manifest, no raw report
    integration: figures recounted by the gate from integration.xml
    ");
}

#[tokio::test]
async fn the_rules_that_were_in_force_are_told_and_held_against_the_promotion() {
    let rules = |stage: &mut serde_json::Value| {
        stage["approvals"] = json!(1);
        stage["freeze"] =
            json!([{"from": "2026-05-02T03:00", "to": "2026-05-02T04:00", "time_zone": "UTC", "reason": "x"}]);
    };
    // As it would be refused; a record that was made by hand all the same is found.
    let world = World::promoted().await;
    let exhibits = world.exhibits(question()).await;
    let mut forged = exhibits.clone();
    let document = forged.documents.get_mut(paper::STAGES).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&document.bytes).unwrap();
    rules(&mut config["stages"]["uat"]);
    document.bytes = config.to_string().into_bytes();
    let sha256 = Sha256::of(&document.bytes);
    let mut record: PromotionRecord = exhibits.read(paper::PROMOTION).unwrap().value;
    record.stages_config_sha256 = Some(sha256);
    forged.documents.get_mut(paper::PROMOTION).unwrap().bytes = record::to_bytes(&record).unwrap();
    let evidence = shown(&forged);
    let found = troubles(&evidence).join("\n");
    assert!(
        found.contains("the promotion kept the stage's rules: it had 0 of 1 approvals; the stage was frozen"),
        "{found}"
    );
    let told = evidence.rules.unwrap().stage.unwrap();
    assert_eq!((told.approvals, told.sha256, told.freeze.len()), (1, sha256, 1));

    // Who approved is neither who asked nor an author; `ci` started the pipeline's run.
    let identity = |name: &str| {
        let arn = format!("arn:aws:sts::111122223333:assumed-role/approver/{name}");
        Identity::of(&arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap()
    };
    for (approver, wrong) in [
        ("ann", None),
        ("jane", Some("`jane` approved, but this is who asks")),
        ("ci", Some("`ci` approved, but this is the commit's author")),
    ] {
        let mut record = record.clone();
        record.requester = Some(identity("jane"));
        record.approvals = vec![CountedApproval {
            person: identity(approver).person,
            arn: identity(approver).arn,
            approved_at: record.started_at,
            signed_by: None,
            record: record.built_attestation.clone().unwrap(),
        }];
        forged.documents.get_mut(paper::PROMOTION).unwrap().bytes = record::to_bytes(&record).unwrap();
        let people = judge(&forged).checks.into_iter().find(|it| it.name.starts_with("who approved is")).unwrap();
        assert_eq!(people.holds, Holds::of(wrong.is_none()), "{people:?}");
        assert!(people.detail.contains(wrong.unwrap_or("`jane` asked; approved by `ann`")), "{people:?}");
    }
}

/// An object's lock is told with its end, and where there is none that is told too.
#[tokio::test]
async fn how_long_it_is_kept_is_told() {
    let world = World::promoted().await;
    let until = "2036-05-01T00:00:00Z".parse().unwrap();
    let (record, manifest) = ("promotions/uat/bank-payments/01JT0000000000000000000001.json", "bank-payments/");
    world.records.lock_until(record, until);
    let evidence = shown(&world.exhibits(question()).await);
    let of = |bucket: &str| evidence.retention.iter().find(|it| it.bucket == bucket).unwrap().clone();
    let (artefacts, records) = (of("artefacts"), of("records"));
    assert_eq!((artefacts.locked, artefacts.not_locked), (0, artefacts.objects), "{manifest}");
    assert_eq!((records.locked, records.locked_until, records.objects), (1, Some(until), 5));
    assert_eq!((records.not_locked, records.unread), (4, None));
}

#[tokio::test]
async fn the_tests_of_each_policy_are_told_where_a_report_tells() {
    let world = World::promoted().await;
    let report = b"<testsuites><testsuite name='policy' tests='2'><testcase name='POL-004 holds'/>\
                   <testcase name='POL-017 and POL-004'/></testsuite></testsuites>";
    let key = format!("{}reports/policy.xml", commit().prefix());
    world.artefacts.upload(&key, report, &[]);
    let manifest_key = format!("{}build-manifest.json", commit().prefix());
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&world.artefacts.bytes_of(&manifest_key).unwrap()).unwrap();
    manifest["reports"].as_array_mut().unwrap().push(json!({
        "suite": "policy", "format": "junit", "file": "policy.xml", "sha256": Sha256::of(report), "size": report.len()
    }));
    world.artefacts.upload(&manifest_key, manifest.to_string().as_bytes(), &[]);
    world.judge_all().await;
    world.promote("01JT0000000000000000000004", false).await;
    let evidence = shown(&world.exhibits(question()).await);
    let rows: Vec<_> = evidence.policy_rows.iter().map(|it| (it.row.as_str(), it.tests.clone())).collect();
    let tests = |names: &[&str]| Some(names.iter().map(|name| format!("policy › {name}")).collect::<Vec<_>>());
    assert_eq!(
        rows,
        [("POL-004", tests(&["POL-004 holds", "POL-017 and POL-004"])), ("POL-017", tests(&["POL-017 and POL-004"])),]
    );
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_unknown_and_not_wrong() {
    let world = World::promoted().await;
    let trouble = world.exhibits_with(question(), |_| Live::Trouble("access denied".to_owned())).await;
    let evidence = shown(&trouble);
    assert_eq!(evidence.verdict, Holds::Unknown);
    insta::assert_snapshot!(evidence.answer, @"`uat` runs `bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357`: nothing is known to be wrong, but 1 of 35 checks could not be made");
    let without_keys = Exhibits { keys: None, ..world.exhibits(question()).await };
    assert_eq!(shown(&without_keys).verdict, Holds::Unknown);
    // Who doesn't look in Lambda gets what the record says.
    let recorded = shown(&world.exhibits_with(question(), |_| Live::AsRecorded).await);
    assert_eq!((recorded.verdict, recorded.runs.unwrap().looked_at), (Holds::Holds, LookedAt::Recorded));
}

#[tokio::test]
async fn a_document_that_is_gone_is_missed_and_the_rest_is_still_told() {
    let exhibits = World::promoted().await.exhibits(question()).await;
    let mut told = Vec::new();
    for name in exhibits.documents.keys() {
        let mut fewer = exhibits.clone();
        fewer.documents.remove(name);
        let evidence = shown(&fewer);
        assert_ne!(evidence.verdict, Holds::Holds, "without `{name}`");
        told.push(format!("{name}\n  {}", troubles(&evidence).join("\n  ")));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn no_byte_of_what_is_signed_chained_or_judged_can_change_unseen() {
    let exhibits = World::promoted().await.exhibits(question()).await;
    let bound = |name: &str| !matches!(name, paper::STAGE | paper::PRESENT_VERDICT);
    for (name, document) in exhibits.documents.iter().filter(|(name, _)| bound(name)) {
        let step = document.bytes.len().div_ceil(40);
        for at in (0..document.bytes.len()).step_by(step) {
            let mut changed = exhibits.clone();
            changed.documents.get_mut(name).unwrap().bytes[at] ^= 1 << (at % 8);
            assert_eq!(judge(&changed).verdict, Holds::Fails, "`{name}` at {at}");
        }
    }
}

/// A pipeline that runs again after the promotion is judged and attested again: what runs stays proved by what was pinned.
#[tokio::test]
async fn a_commit_that_is_built_again_later_changes_nothing() {
    let world = World::promoted().await;
    let key = format!("{}build-manifest.json", commit().prefix());
    let mut again: serde_json::Value = serde_json::from_slice(&world.artefacts.bytes_of(&key).unwrap()).unwrap();
    again["build"]["run_attempt"] = 2.into();
    world.artefacts.upload(&key, again.to_string().as_bytes(), &[]);
    world.judge_all().await;
    let evidence = shown(&world.exhibits(question()).await);
    assert_eq!(troubles(&evidence), Vec::<String>::new());
    let told = evidence.checks.iter().find(|it| it.name.contains("Sigstore bundle of `built`")).unwrap();
    assert!(told.detail.contains("a later attestation"), "{told:?}");
}

/// Who may promote can't make test evidence: the right statement under the wrong key is worth nothing.
#[tokio::test]
async fn test_evidence_that_the_promotion_key_signed_is_a_forgery() {
    let world = World::promoted().await;
    let mut exhibits = world.exhibits(question()).await;
    let name = "attestations/built.dsse.json";
    let statement = Statement::<TestResult>::open(exhibits.bytes(name).unwrap(), &world.keys()).unwrap();
    exhibits.documents.get_mut(name).unwrap().bytes = statement.sign(&world.promotion).await.unwrap().dsse;
    insta::assert_debug_snapshot!(troubles(&shown(&exhibits)));
}

#[tokio::test]
async fn a_revocation_is_told_with_who_and_why_and_cant_be_removed_unseen() {
    let world = World::promoted().await;
    world.revoke("rounds down").await;
    let key = RecordKey::Revocation(commit()).to_string();
    let evidence = shown(&world.exhibits(question()).await);
    insta::assert_debug_snapshot!((&evidence.answer, troubles(&evidence)));
    // At the time of the promotion it was not taken back.
    let then = Question { at: Some("2026-05-02T04:00:00Z".parse().unwrap()), ..question() };
    let then = shown(&world.exhibits(then).await);
    assert_eq!(troubles(&then), Vec::<String>::new());
    assert_eq!(then.gate.unwrap().revoked, None);
    insta::assert_snapshot!(then.since_then.join("\n"), @"the commit was taken back at 2026-05-02T12:00:00Z by `arn:aws:sts::111122223333:assumed-role/promoter/jane`: rounds down");
    let entries: Vec<_> = then.ledger.as_ref().unwrap().entries.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(entries, ["promotion", "refusal"]);
    world.records.delete(&key);
    let told = troubles(&shown(&world.exhibits(question()).await)).join("\n");
    assert!(told.contains("it is not stored any more"), "{told}");
}

#[tokio::test]
async fn the_past_is_answered_from_the_records() {
    let world = World::promoted().await;
    world.promote("01JT0000000000000000000003", true).await;
    let at = |at: &str| Question { at: Some(at.parse().unwrap()), ..question() };
    let runs = |evidence: Evidence| evidence.runs.map(|runs| runs.promotion_id.to_string());
    assert_eq!(runs(shown(&world.exhibits(question()).await)), Some("01JT0000000000000000000003".to_owned()));
    // Both completed in the same second: the later one counts.
    let then = shown(&world.exhibits(at("2026-05-02T03:30:40Z")).await);
    assert_eq!(runs(then), Some("01JT0000000000000000000003".to_owned()));
    let before = shown(&world.exhibits(at("2026-01-01T00:00:00Z")).await);
    assert_eq!((before.verdict, &before.runs), (Holds::Holds, &None), "{:?}", troubles(&before));
    insta::assert_snapshot!(before.answer, @"nothing of `bank-payments` ran in `uat` at 2026-01-01T00:00:00Z (3 checks hold)");
    let why = &before.checks.iter().find(|it| it.part == Part::Promotion).unwrap().detail;
    assert!(why.starts_with("nothing ran then: the first promotion to the stage completed at"), "{why}");
    // What came later is cut: it only links what was then to the signed head.
    let ledger = before.ledger.unwrap();
    assert_eq!((ledger.entries.len(), ledger.later), (0, 3));
}

#[tokio::test]
async fn a_repository_is_found_by_what_is_known_of_it() {
    let world = World::promoted().await;
    let record = world.exhibits(question()).await.read::<PromotionRecord>(paper::PROMOTION).unwrap().value;
    let repo = commit().repo;
    let found = async |selector| find(&world.records, &question().stage, &selector, None).await.unwrap();
    let digest = record.plan.functions[0].bundle.sha256;
    for selector in [
        Selector::Everything,
        Selector::Repo(repo.clone()),
        Selector::Function("authorise-payment".to_owned()),
        Selector::Function("bank-payments-uat-payments-api-Fn0".to_owned()),
        Selector::Digest(digest),
        Selector::Digest(record.plan.stacks[0].template.sha256),
    ] {
        assert_eq!(found(selector.clone()).await.repos, std::slice::from_ref(&repo), "{selector:?}");
    }
    let nothing = Found { repos: Vec::new(), elsewhere: Vec::new(), unread: Vec::new() };
    assert_eq!(found(Selector::Function("other".to_owned())).await, nothing);
    assert_eq!(found(Selector::Digest(Sha256::of(b"other"))).await, nothing);
    // Bytes of a Built commit that the stage doesn't run.
    world.records.delete(&RecordKey::Stage(question().stage, repo.clone()).to_string());
    assert_eq!(found(Selector::Digest(digest)).await.elsewhere, [commit().to_string()]);
}

#[tokio::test(start_paused = true)]
async fn it_takes_few_round_trips_however_large_the_commit_is() {
    let world = World::with_functions(60).await;
    for _ in 0..40 {
        world.refuse().await;
    }
    let latency = Duration::from_millis(100);
    for store in [&world.artefacts, &world.records] {
        store.answer_after(latency);
    }
    let start = tokio::time::Instant::now();
    let evidence = world.evidence().await;
    let trips = start.elapsed().as_millis() / latency.as_millis();
    assert_eq!(evidence.verdict, Holds::Holds, "{:?}", troubles(&evidence));
    // Four rounds; more than 48 calls of a round wait for each other.
    assert_eq!(trips, 5, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_page_on_two_hundred_artefacts_stays_small() {
    let evidence = World::with_functions(200).await.evidence().await;
    assert_eq!(evidence.verdict, Holds::Holds, "{:?}", troubles(&evidence));
    let page = html::page("What uat runs", &[evidence]).unwrap();
    assert!(page.len() < 300_000, "{} bytes", page.len());
    assert!(!page.contains("<script") && !page.contains("href=\"http") && !page.contains(" src="));
}
