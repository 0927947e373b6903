//! A promotion of which a runner carries out a part: the lease, what is handed in under it, and what becomes of the stage.
//!
//! What is handed in was written by dbt itself (`tests/oracles/make_dbt_artefacts.py`); only the promotion's id and the time
//! are those of the test.

use std::{fs, io::Write as _, path::Path, process::Output};

use aws_sdk_lambda::primitives::Blob;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{
    commit::Commit,
    promotion::{Promotions, RUNS_STAGE, Started, a_commit, outcomes, promotion_of, rollback_of, started},
    watch::{PATIENCE, eventually},
};
use flate2::{Compression, write::GzEncoder};
use gatekeeper_model::{
    finding::Code,
    ids::{PromotionId, Repo, Sha256},
    store_key::{ArtefactPath, RecordKey},
};
use gatekeeper_promotion::{
    record::{PromotionRecord, Status},
    runs::OpenLease,
    step::{Direction, ReportStatus},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const MODULE: &str = "MOD-301";
const RUN: &str = "dbt-MOD-301";

/// What dbt 1.11 wrote in a case.
fn fixture(case: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join(format!("../shared/readers/src/dbt/fixtures/1.11/{case}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Gives a commit the models that were tested in dev.
fn with_models(mut commit: Commit) -> Commit {
    let both = fixture("build");
    let (manifest, results) = (both["manifest"].to_string(), both["run_results"].to_string());
    let told = |text: &str| json!({"sha256": Sha256::of(text.as_bytes()), "size": text.len()});
    let mut dbt = told(&manifest);
    dbt["run_results"] = told(&results);
    let modules = commit.manifest["modules"].as_array_mut().unwrap();
    modules.retain(|module| {
        ["functions", "stacks", "schemas", "migrations"]
            .iter()
            .any(|list| module[list].as_array().is_some_and(|it| !it.is_empty()))
    });
    modules.push(json!({"id": MODULE, "dbt": dbt}));
    commit.manifest["dbt_build"] = json!({"succeeded": true});
    let module = MODULE.parse().unwrap();
    commit.objects.insert(ArtefactPath::DbtRunResults(module), results.into_bytes());
    commit.objects.insert(ArtefactPath::DbtManifest(MODULE.parse().unwrap()), manifest.into_bytes());
    commit
}

/// A Built commit of models alone.
async fn models(here: &Promotions, repo: &str) -> Commit {
    let mut commit = Commit::new(&here.aws, "of");
    let repo: Repo = repo.parse().unwrap();
    commit.manifest["repo"] = json!(repo);
    commit.id.repo = repo;
    commit.objects.retain(|path, _| matches!(path, ArtefactPath::Report(_)));
    commit.list();
    here.built(with_models(commit)).await
}

/// What the runner's dbt leaves for a promotion.
fn left_for(promotion: &PromotionId, case: &str, at: Timestamp) -> Value {
    let mut both = fixture(case);
    for document in ["manifest", "run_results"] {
        let metadata = &mut both[document]["metadata"];
        metadata["env"] = json!({"GATEKEEPER_PROMOTION": promotion});
        metadata["generated_at"] = json!(at);
    }
    both
}

fn now() -> Timestamp {
    gatekeeper_model::telemetry::wall_clock()
}

/// A promotion that was started with a lease, and the lease's token.
async fn leased(here: &Promotions, event: &Value) -> (Started, String) {
    let mut event = event.clone();
    event["lease"] = json!(true);
    let answer = here.ask(&event).await.unwrap();
    let started = started(&event, &answer);
    assert_eq!(answer["lease"]["promotion_id"], answer["promotion_id"]);
    assert_eq!(answer["lease"]["expires_in_minutes"], 60);
    (started, answer["lease"]["token"].as_str().unwrap().to_owned())
}

/// Waits until the lease is open.
async fn opened(here: &Promotions, started: &Started) -> OpenLease {
    let key = OpenLease::key(&started.promotion);
    let look = async || here.aws.record(&key).await;
    let open = eventually("the lease is open", PATIENCE, look, Option::is_some).await.unwrap();
    serde_json::from_slice(&open).unwrap()
}

fn packed(document: &Value) -> String {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(document.to_string().as_bytes()).unwrap();
    STANDARD.encode(zip.finish().unwrap())
}

/// Hands in what dbt left; gives the answer.
async fn hand_in(here: &Promotions, started: &Started, token: &str, both: &Value) -> Value {
    let event = json!({"complete": {
        "promotion": started.promotion, "token": token, "run": RUN, "completed_by": "a runner",
        "evidence": {"manifest.json": packed(&both["manifest"]), "run_results.json": packed(&both["run_results"])},
    }});
    let call = here.promoter.lambda().invoke().function_name(&here.aws.outputs.judge_run_function);
    let answer = call.payload(Blob::new(event.to_string())).send().await.unwrap();
    let answer_text = String::from_utf8_lossy(answer.payload().unwrap().as_ref()).into_owned();
    assert_eq!(answer.function_error(), None, "{answer_text}");
    serde_json::from_str(&answer_text).unwrap()
}

/// The codes of an answer's reasons, where it is of this status.
fn codes(answer: &Value, status: &str) -> Vec<Value> {
    assert_eq!(answer["status"], status, "{answer:#}");
    let reasons = if status == "refused" { &answer["reasons"] } else { &answer["completion"]["reasons"] };
    reasons.as_array().map(|it| it.iter().map(|reason| reason["code"].clone()).collect()).unwrap_or_default()
}

/// Runs the command as the promoter; gives what it printed.
async fn command(here: &Promotions, arguments: &[&str]) -> Output {
    let mut command = here.aws.command(&here.promoter).await;
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_commit_of_models_is_promoted_in_two_halves_and_the_evidence_tells_of_it() {
    let here = Promotions::get().await;
    let commit = models(&here, "e2e-runs-good").await;
    let (repo, sha) = (commit.id.repo.as_str(), commit.id.sha.as_str());
    let event = promotion_of(&commit, RUNS_STAGE);
    here.refuses(&event, &[Code::LeaseNotAsked]).await;
    let mut other = event.clone();
    other["stage"] = json!("e2e");
    here.refuses(&other, &[Code::RunNotConfigured]).await;
    let mut dry = event.clone();
    dry["dry_run"] = json!(true);
    let planned = here.ask(&dry).await.unwrap();
    assert_eq!((&planned["status"], &planned["plan"]["runs"][0]["target"]), (&json!("planned"), &json!("uat")));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lease.json");
    let file = file.to_str().unwrap();
    let asked = ["--repo", repo, "--sha", sha, "--stage", RUNS_STAGE, "--reason", "release"];
    let without = command(&here, &[&["promote"], asked.as_slice()].concat()).await;
    assert_eq!(without.status.code(), Some(1));
    assert!(text(&without).contains("--lease FILE"), "{}", text(&without));
    let leased =
        command(&here, &[&["promote"], asked.as_slice(), &["--lease", file, "--output", "json"]].concat()).await;
    assert_eq!(leased.status.code(), Some(0), "{}", text(&leased));
    let told: Value = serde_json::from_slice(&leased.stdout).unwrap();
    let lease: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!((&told["status"], &told["runs"]), (&json!("leased"), &lease["runs"]));
    let token = lease["token"].as_str().unwrap();
    assert!(!text(&leased).contains(token), "the token stands in the file alone");
    let id: PromotionId = serde_json::from_value(lease["promotion"]["promotion_id"].clone()).unwrap();
    assert_eq!(
        lease["runs"][0]["environment"],
        json!({"DBT_ENV_CUSTOM_ENV_GATEKEEPER_PROMOTION": id}),
        "what makes dbt write the promotion into its documents"
    );
    assert_eq!(lease["runs"][0]["command"], json!(["dbt", "build", "--target", "uat"]));

    // Of another promotion, and by a token that was guessed: refused, and the lease stays.
    let started = Started {
        promotion: serde_json::from_value(lease["promotion"].clone()).unwrap(),
        execution_arn: lease["execution_arn"].as_str().unwrap().to_owned(),
        plan: Value::Null,
    };
    let mut right = left_for(&id, "promoted", now());
    assert_eq!(codes(&hand_in(&here, &started, "guessed", &right).await, "refused"), [json!(Code::LeaseInvalid)]);
    let others = left_for(&"01J0000000000000000000000A".parse().unwrap(), "promoted", now());
    assert_eq!(codes(&hand_in(&here, &started, token, &others).await, "refused"), [json!(Code::RunOfAnotherPromotion)]);

    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    for (name, document) in [("manifest.json", "manifest"), ("run_results.json", "run_results")] {
        fs::write(target.join(name), right[document].take().to_string()).unwrap();
    }
    let evidence = target.to_str().unwrap();
    let completed = command(&here, &["promote", "--complete", file, "--evidence", evidence]).await;
    assert_eq!(completed.status.code(), Some(0), "{}", text(&completed));
    assert!(text(&completed).contains("passed  dbt-MOD-301: 1 no-op, 18 success"), "{}", text(&completed));

    let record = here.record(&started.promotion).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    let stored = serde_json::to_string(&record).unwrap();
    assert!(!stored.contains(token) && stored.contains(&Sha256::of(token.as_bytes()).to_string()));
    let forward = Direction::Forward;
    let judged = outcomes(&record).into_iter().find(|(step, ..)| *step == "judge-run");
    assert_eq!(judged, Some(("judge-run", forward, vec![ReportStatus::Applied])));
    let state = here.state(&commit.id.repo, RUNS_STAGE).await.unwrap();
    assert_eq!(state.commit_sha, commit.id.sha);
    let handoff = here.aws.record(&RecordKey::DeployedHandoff(commit.id.clone(), MODULE.parse().unwrap())).await;
    let handoff = String::from_utf8(handoff.unwrap()).unwrap();
    assert!(handoff.contains("| `dbt-MOD-301` | target `uat` |"), "{handoff}");

    // What is handed in a second time, whoever does it, is refused.
    let again = hand_in(&here, &started, token, &left_for(&id, "promoted", now())).await;
    assert_eq!(codes(&again, "refused"), [json!(Code::LeaseNotOpen)]);

    let mut shown = here.aws.command(&here.aws.auditor().await).await;
    shown.args(["evidence", "--stage", RUNS_STAGE, "--repo", repo, "--output", "json"]);
    let shown = tokio::task::spawn_blocking(move || shown.output().unwrap()).await.unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let check = shown["evidence"][0]["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"].as_str().unwrap().contains("a runner"));
    let check = check.expect("the evidence tells of the run");
    assert_eq!(check["holds"], "holds", "{check:#}");
}

#[tokio::test]
async fn a_build_that_is_bad_is_final_and_two_cannot_be_at_it() {
    let here = Promotions::get().await;
    let commit = models(&here, "e2e-runs-bad").await;
    let event = promotion_of(&commit, RUNS_STAGE);
    let (started, token) = leased(&here, &event).await;
    // Nothing is written between the opening of the lease and what is handed in.
    let open = opened(&here, &started).await;
    let mut second = event.clone();
    second["lease"] = json!(true);
    here.refuses(&second, &[Code::PromotionInProgress]).await;
    let id = &started.promotion.promotion_id;
    let early = left_for(id, "promoted", open.opened_at - SignedDuration::from_secs(1));
    assert_eq!(codes(&hand_in(&here, &started, &token, &early).await, "refused"), [json!(Code::RunOfAnotherPromotion)]);

    let on_dev = hand_in(&here, &started, &token, &left_for(id, "build", now())).await;
    let found = codes(&on_dev, "failed");
    assert!(found.contains(&json!(Code::RunTargetMismatch)), "{on_dev:#}");
    let again = hand_in(&here, &started, &token, &left_for(id, "promoted", now())).await;
    assert!([json!(Code::RunCompleted), json!(Code::LeaseNotOpen)].contains(&codes(&again, "refused")[0]), "{again:#}");
    let record = here.ended(&started).await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(here.state(&commit.id.repo, RUNS_STAGE).await, None);
}

#[tokio::test]
async fn a_lease_that_runs_out_ends_the_promotion() {
    let here = Promotions::get().await;
    let commit = models(&here, "e2e-runs-late").await;
    let (started, token) = leased(&here, &promotion_of(&commit, RUNS_STAGE)).await;
    let open = opened(&here, &started).await;
    // An hour passes, as far as the lease knows.
    let ago = SignedDuration::from_mins(61) + SignedDuration::from_secs(60);
    let passed = OpenLease { opened_at: open.opened_at - ago, expires_at: open.expires_at - ago, ..open };
    let key = OpenLease::key(&started.promotion).to_string();
    let put = here.aws.root.s3.put_object().bucket(&here.aws.outputs.records_bucket).key(key);
    put.body(serde_json::to_vec(&passed).unwrap().into()).send().await.unwrap();

    let both = left_for(&started.promotion.promotion_id, "promoted", now());
    let late = hand_in(&here, &started, &token, &both).await;
    assert_eq!(codes(&late, "refused"), [json!(Code::LeaseNotOpen)]);
    let record = here.ended(&started).await;
    assert_eq!(record.status, Status::Failed);
    let judged = record.steps.iter().find(|it| it.step == "judge-run").unwrap();
    assert!(judged.reports[0].detail.starts_with("the lease ran out at "), "{judged:#?}");
}

#[tokio::test]
async fn a_commit_that_is_taken_back_meanwhile_does_not_stay() {
    let here = Promotions::get().await;
    let commit = models(&here, "e2e-runs-revoked").await;
    let (started, token) = leased(&here, &promotion_of(&commit, RUNS_STAGE)).await;
    opened(&here, &started).await;
    let (repo, sha) = (commit.id.repo.as_str(), commit.id.sha.as_str());
    let revoked = command(&here, &["revoke", "--repo", repo, "--sha", sha, "--reason", "wrong figures"]).await;
    assert_eq!(revoked.status.code(), Some(0), "{}", text(&revoked));
    let both = left_for(&started.promotion.promotion_id, "promoted", now());
    let answer = hand_in(&here, &started, &token, &both).await;
    assert_eq!(codes(&answer, "failed"), [json!(Code::Revoked)]);
    assert_eq!(here.ended(&started).await.status, Status::Failed);
}

/// Both kinds in one promotion: templates before the runner, smoke tests after it; and where the runner fails, templates and
/// functions go back, and the promotion says that the rest does not.
#[tokio::test]
async fn templates_and_models_are_one_promotion() {
    let here = Promotions::get().await;
    let repo: Repo = "e2e-runs-mixed".parse().unwrap();
    let first = here.built(with_models(a_commit(&here.aws, &repo, 200))).await;
    let (started, token) = leased(&here, &promotion_of(&first, RUNS_STAGE)).await;
    opened(&here, &started).await;
    let both = left_for(&started.promotion.promotion_id, "promoted", now());
    assert_eq!(codes(&hand_in(&here, &started, &token, &both).await, "passed"), [json!(null); 0]);
    let record = here.ended(&started).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    let steps: Vec<_> = outcomes(&record).into_iter().map(|(step, ..)| step).collect();
    assert_eq!(steps, ["apply-stack", "deploy-function", "migrate-database", "judge-run", "smoke-test"]);

    let second = here.built(with_models(a_commit(&here.aws, &repo, 200))).await;
    let (started, token) = leased(&here, &promotion_of(&second, RUNS_STAGE)).await;
    opened(&here, &started).await;
    let on_dev = left_for(&started.promotion.promotion_id, "build", now());
    codes(&hand_in(&here, &started, &token, &on_dev).await, "failed");
    let record = here.ended(&started).await;
    assert_eq!(record.status, Status::Failed, "{record:#?}");
    let judged = record.steps.iter().filter(|it| it.step == "judge-run");
    let judged: Vec<_> = judged.map(|it| (it.direction, it.reports[0].status)).collect();
    assert_eq!(judged, [(Direction::Forward, ReportStatus::Failed), (Direction::Back, ReportStatus::Failed)]);
    let zip = Sha256::of(&first.objects[&e2e::commit::the_zip()]);
    let function = record.live[0].function_name.clone().unwrap();
    assert_eq!(here.live(&function).await.code, zip, "the function runs the commit before again");
}

#[tokio::test]
async fn a_rollback_leases_too() {
    let here = Promotions::get().await;
    let (one, other) = (models(&here, "e2e-runs-back").await, models(&here, "e2e-runs-back").await);
    let whole = async |event: Value| -> PromotionRecord {
        let (started, token) = leased(&here, &event).await;
        opened(&here, &started).await;
        let both = left_for(&started.promotion.promotion_id, "promoted", now());
        codes(&hand_in(&here, &started, &token, &both).await, "passed");
        let record = here.ended(&started).await;
        assert_eq!(record.status, Status::Succeeded, "{record:#?}");
        record
    };
    whole(promotion_of(&one, RUNS_STAGE)).await;
    whole(promotion_of(&other, RUNS_STAGE)).await;
    let back = rollback_of(&one.id.repo, None, RUNS_STAGE);
    here.refuses(&back, &[Code::LeaseNotAsked]).await;
    let record = whole(back).await;
    assert!(record.rollback);
    assert_eq!(record.commit_sha, one.id.sha);
}
