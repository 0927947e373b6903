//! Evidence over the memory store: what holds, and every way in which it doesn't.

use std::time::Duration;

use super::{
    exhibits::{Exhibits, Live},
    find::{Found, Selector, find},
    html, judge,
    model::{Evidence, Holds, LookedAt, Question},
    paper,
    sample::{World, commit, question},
    text,
};
use crate::{
    attestation::{Statement, built::TestResult},
    ids::Sha256,
    promotion::record::PromotionRecord,
    store::{Precondition, Store as _},
    store_key::RecordKey,
    verdict::Revocation,
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

#[tokio::test]
async fn what_could_not_be_looked_at_is_unknown_and_not_wrong() {
    let world = World::promoted().await;
    let trouble = world.exhibits_with(question(), |_| Live::Trouble("access denied".to_owned())).await;
    let evidence = shown(&trouble);
    assert_eq!(evidence.verdict, Holds::Unknown);
    insta::assert_snapshot!(evidence.answer, @"`uat` runs `bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357`: nothing is known to be wrong, but 1 of 29 checks could not be made");
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
    let manifest = world.exhibits(question()).await.documents[paper::MANIFEST].version_id.clone();
    let revocation = Revocation {
        schema_version: 1,
        repo: commit().repo,
        commit_sha: commit().sha,
        manifest_version_id: manifest,
        revoked_by: "arn:aws:sts::111122223333:assumed-role/promoter/jane".to_owned(),
        revoked_at: "2026-05-02T12:00:00Z".parse().unwrap(),
        reason: "rounds down".to_owned(),
    };
    let key = RecordKey::Revocation(commit()).to_string();
    let bytes = serde_json::to_vec(&revocation).unwrap();
    world.records.put(&key, &bytes, "application/json", &Precondition::Absent).await.unwrap();
    world.artefacts.tag(
        &format!("{}build-manifest.json", commit().prefix()),
        &[("integration-passed", "false")],
        "jane",
    );
    world.judge_all().await;
    let evidence = shown(&world.exhibits(question()).await);
    insta::assert_debug_snapshot!((&evidence.answer, troubles(&evidence)));
    // At the time of the promotion it was not taken back.
    let then = Question { at: Some("2026-05-02T04:00:00Z".parse().unwrap()), ..question() };
    assert_eq!(troubles(&shown(&world.exhibits(then).await)), Vec::<String>::new());
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
    assert_eq!((before.verdict, before.runs), (Holds::Fails, None));
    insta::assert_snapshot!(before.answer, @"nothing of `bank-payments` is known to have been promoted to `uat`: 2 of 3 checks fail");
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
    let nothing = Found { repos: Vec::new(), elsewhere: Vec::new() };
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
