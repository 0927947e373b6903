use std::time::Duration;

use gatekeeper_model::{
    ids::{Chain, Commit, CommitSha, Sha256},
    store_key::{ArtefactPath, RecordKey},
    telemetry::Logger,
};
use gatekeeper_proof::{LocalSigner, ledger, ledger::Kind};
use gatekeeper_store::memory::Memory;
use jiff::{SignedDuration, Timestamp};
use lambda_http::http::StatusCode;
use serde_json::{Value, json};

use super::*;

const PROMOTION: &str = "01JT0000000000000000000001";

fn now() -> Timestamp {
    "2026-05-02T03:10:00Z".parse().unwrap()
}

fn sha(digit: &str) -> CommitSha {
    digit.repeat(40).parse().unwrap()
}

fn commit(repo: &str, digit: &str) -> Commit {
    Commit { repo: repo.parse().unwrap(), sha: sha(digit) }
}

fn chain(stage: &str) -> Chain {
    Chain { stage: stage.parse().unwrap(), repo: "bank-payments".parse().unwrap() }
}

fn portal() -> Portal<Memory> {
    Portal {
        artefacts: Memory::default(),
        records: Memory::default(),
        witness: None,
        gate_key: Box::new(LocalSigner::from_seed(1)),
        promotion_key: Box::new(LocalSigner::from_seed(2)),
        log: Logger::silent(),
        clock: now,
    }
}

impl Portal<Memory> {
    fn put(&self, key: &RecordKey, document: &Value) {
        self.records.upload(&key.to_string(), document.to_string().as_bytes(), &[]);
    }

    /// A commit with its verdict, whose one bundle is named after it.
    fn judged(&self, commit: &Commit, outcome: &str) {
        let bundle = ArtefactPath::parse("modules/MOD-012/functions/authorise-payment.zip").unwrap();
        let sha256 = Sha256::of(commit.sha.as_str().as_bytes());
        self.put(
            &RecordKey::Verdict(commit.clone()),
            &json!({
                "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "manifest_version_id": "m1",
                "outcome": outcome, "reasons": [], "evaluated_at": "2026-05-01T00:00:00Z",
                "artefacts": [{"key": bundle.of(commit), "version_id": "v1", "sha256": sha256, "size": 3}],
            }),
        );
        let index = json!({"schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "keys": []});
        self.put(&RecordKey::DigestIndex(sha256, commit.clone()), &index);
    }

    fn revoked(&self, commit: &Commit, manifest_version_id: &str) {
        self.put(&RecordKey::Revocation(commit.clone()), &json!({
            "schema_version": 1, "repo": commit.repo, "commit_sha": commit.sha, "manifest_version_id": manifest_version_id,
            "revoked_by": "ann@bank.example", "revoked_at": "2026-05-02T00:00:00Z", "reason": "wrong rounding of <cents>",
        }));
    }

    fn record(&self, stage: &str, commit: &Commit, id: &str, status: &str) {
        let key = RecordKey::Promotion(stage.parse().unwrap(), commit.repo.clone(), id.parse().unwrap());
        self.put(&key, &json!({
            "schema_version": 1, "promotion_id": id, "repo": commit.repo, "commit_sha": commit.sha, "stage": stage,
            "requested_by": "jane@bank.example", "reason": "release", "rollback": false, "status": status,
            "execution_arn": "arn", "started_at": "2026-05-02T03:00:00Z", "ended_at": null, "verdict_version_id": "v1",
            "manifest_version_id": "m1", "stages_config_version_id": "c1", "role_arn": null, "stack_role_arn": null,
            "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": []}, "way_back": null, "steps": [], "live": [],
        }));
    }

    fn runs(&self, stage: &str, commit: &Commit) {
        self.record(stage, commit, PROMOTION, "succeeded");
        let key = RecordKey::Stage(stage.parse().unwrap(), commit.repo.clone());
        self.put(&key, &json!({
            "schema_version": 1, "stage": stage, "repo": commit.repo, "commit_sha": commit.sha, "promotion_id": PROMOTION,
            "since": "2026-05-02T03:04:05.678Z", "history": [],
        }));
    }

    fn drifted(&self, stage: &str, commit: &Commit, promotion: &str, messages: &[&str]) {
        let finding = |message: &&str| {
            json!({
                "code": "function-changed", "message": message, "subject": "authorise-payment", "first_seen": "2026-05-02T03:05:00Z",
            })
        };
        let key = RecordKey::Drift(stage.parse().unwrap(), commit.repo.clone());
        self.put(&key, &json!({
            "schema_version": 1, "stage": stage, "repo": commit.repo, "commit_sha": commit.sha, "promotion_id": promotion,
            "checked_at": "2026-05-02T03:05:00Z", "changed_at": "2026-05-02T03:05:00Z", "since": null, "told": [],
            "findings": messages.iter().map(finding).collect::<Vec<_>>(),
        }));
    }

    fn promoting(&self, stage: &str, commit: &Commit, id: &str) {
        self.record(stage, commit, id, "running");
        let key = RecordKey::Lock(stage.parse().unwrap(), commit.repo.clone());
        self.put(&key, &json!({
            "schema_version": 1, "promotion_id": id, "execution_arn": "arn", "taken_at": "2026-05-02T03:09:00Z", "released_at": null,
        }));
    }

    fn leased(&self, stage: &str, commit: &Commit, id: &str) {
        let key = RecordKey::OpenLease(stage.parse().unwrap(), commit.repo.clone(), id.parse().unwrap());
        self.put(&key, &json!({
            "schema_version": 1, "promotion_id": id, "opened_at": "2026-05-02T03:10:00Z", "expires_at": "2026-05-02T04:10:00Z",
        }));
    }

    async fn happened(&self, stage: &str, number: u32, kind: Kind, outcome: &str) {
        let event = ledger::Event {
            commit_sha: Some(sha("a")),
            reason: format!("reason <{number}>"),
            break_glass: kind == Kind::Rollback,
            ..ledger::Event::bare(kind, number.to_string(), outcome)
        };
        let at = "2026-05-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(number.into());
        let signer = LocalSigner::from_seed(if stage == "gate" { 1 } else { 2 });
        ledger::append(&self.records, &signer, &chain(stage), &event, None, at).await.unwrap();
    }

    async fn ask(&self, method: Method, target: &str) -> Response<Body> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameters = query.split('&').filter_map(|it| it.split_once('='));
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut request = Request::new(Body::Empty).with_raw_http_path(path);
        request = request.with_query_string_parameters(parameters.collect::<std::collections::HashMap<_, _>>());
        *request.method_mut() = method;
        self.handle(&request).await
    }

    /// What a page's body says, without the style.
    async fn body(&self, target: &str) -> String {
        let response = self.ask(Method::GET, target).await;
        assert_eq!(response.status(), StatusCode::OK, "{target}");
        text(&response).split_once("<body>").unwrap().1.trim().to_owned()
    }
}

fn text(response: &Response<Body>) -> &str {
    let Body::Text(text) = response.body() else { panic!("{response:?}") };
    text
}

fn world() -> Portal<Memory> {
    let portal = portal();
    let (good, revoked, next) = (commit("bank-payments", "a"), commit("bank-kyc", "b"), commit("bank-payments", "c"));
    for it in [&good, &revoked, &next] {
        portal.judged(it, "built");
    }
    portal.revoked(&revoked, "m1");
    portal.revoked(&next, "of an earlier manifest");
    portal.runs("uat", &good);
    portal.runs("uat", &revoked);
    portal.runs("prod", &good);
    portal.drifted("uat", &good, PROMOTION, &[]);
    portal.drifted("prod", &good, PROMOTION, &["it runs other bytes", "its template is another one"]);
    portal.drifted("uat", &revoked, "01JT0000000000000000000000", &["of the promotion before"]);
    portal.promoting("prod", &next, "01JT0000000000000000000002");
    portal.leased("prod", &next, "01JT0000000000000000000002");
    portal.promoting("prod", &commit("bank-core", "d"), "01JT0000000000000000000003");
    portal
}

#[tokio::test]
async fn the_overview_tells_what_every_stage_runs() {
    insta::assert_snapshot!(world().body("/").await);
}

#[tokio::test]
async fn nothing_is_told_of_nothing() {
    let page = portal().body("/").await;
    assert!(page.contains("Nothing was promoted yet."), "{page}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_shown_and_the_rest_stands() {
    let portal = world();
    for key in ["stages/uat/bank-kyc.json".to_owned(), RecordKey::Verdict(commit("bank-payments", "a")).to_string()] {
        portal.records.upload(&key, b"{\"schema_version\": 1", &[]);
        let page = portal.body("/").await;
        assert!(page.contains(&format!("The record <code>{key}</code> can’t be read")), "{page}");
        assert!(page.contains("bank-core"), "{page}");
    }
}

#[tokio::test]
async fn the_history_tells_every_chain_newest_first() {
    let portal = world();
    portal.happened("uat", 1, Kind::Promotion, "succeeded").await;
    portal.happened("prod", 2, Kind::Refusal, "refused").await;
    portal.happened("gate", 3, Kind::Revocation, "revoked").await;
    portal.happened("uat", 4, Kind::Rollback, "succeeded").await;
    insta::assert_snapshot!(portal.body("/repos/bank-payments").await);
}

#[tokio::test]
async fn a_long_history_is_told_page_by_page_each_entry_once() {
    let portal = world();
    for number in 1..=130 {
        let stage = ["uat", "uat", "prod", "gate"][number as usize % 4];
        portal.happened(stage, number, Kind::Promotion, "succeeded").await;
    }
    let (mut target, mut told) = ("/repos/bank-payments".to_owned(), Vec::new());
    for _ in 0..4 {
        let page = portal.body(&target).await;
        told.extend(page.split("reason &#60;").skip(1).map(|it| it.split_once('&').unwrap().0.parse::<u32>().unwrap()));
        let Some((_, older)) = page.split_once("?gate=") else { break };
        target = format!("/repos/bank-payments?gate={}", older.split_once('"').unwrap().0.replace("&#38;", "&"));
    }
    assert_eq!(told, (1..=130).rev().collect::<Vec<_>>());
    assert!(!portal.body(&target).await.contains(">Older<"), "{target}");
}

#[tokio::test]
async fn a_broken_chain_is_told_with_where() {
    let portal = world();
    for number in 1..=3 {
        portal.happened("uat", number, Kind::Promotion, "succeeded").await;
    }
    let entry = RecordKey::LedgerEntry(chain("uat"), 2).to_string();
    let bytes = portal.records.bytes_of(&entry).unwrap();
    let changed = String::from_utf8(bytes).unwrap().replace("succeeded", "Succeeded");
    portal.records.upload(&entry, changed.as_bytes(), &[]);
    let page = portal.body("/repos/bank-payments").await;
    assert!(page.contains("broken at entry 3: it does not carry the SHA-256 of the entry before"), "{page}");

    portal.records.delete(&entry);
    let page = portal.body("/repos/bank-payments").await;
    assert!(page.contains("broken at entry 2: the entry is missing"), "{page}");
    assert!(
        page.contains("uat 2</th><td role=\"cell\" colspan=\"5\"><span class=\"mark fails\">it is missing"),
        "{page}"
    );

    portal.records.delete(&RecordKey::LedgerHead(chain("uat")).to_string());
    let page = portal.body("/repos/bank-payments").await;
    assert!(page.contains("broken: there is no signed head"), "{page}");
    assert!(page.contains("uat 3"), "{page}");
}

#[tokio::test]
async fn a_digest_leads_to_its_commits_and_where_they_run() {
    let portal = world();
    let bytes = Sha256::of(sha("a").as_str().as_bytes());
    insta::assert_snapshot!(portal.body(&format!("/search?digest={bytes}")).await);
    let stranger = portal.body(&format!("/search?digest={}", Sha256::of(b"a stranger's"))).await;
    assert!(stranger.contains("No commit that was Built has bytes with the digest"), "{stranger}");
    let form = portal.body("/search").await;
    assert!(form.contains("<form action=\"/search\" method=\"get\">") && !form.contains("No commit"), "{form}");
}

#[tokio::test]
async fn every_answer_forbids_everything_that_a_page_does_not_need() {
    let portal = world();
    for (method, target, status) in [
        (Method::GET, "/", 200),
        (Method::GET, "/search?digest=1", 400),
        (Method::GET, "/evidence/uat/bank-payments?at=now", 400),
        (Method::GET, "/repos/bank-payments?uat=x", 400),
        (Method::GET, "/repos/bank-nothing", 404),
        (Method::GET, "/evidence/uat/bank-nothing", 404),
        (Method::GET, "/verdict.json", 404),
        (Method::POST, "/search", 405),
        (Method::DELETE, "/", 405),
    ] {
        let response = portal.ask(method.clone(), target).await;
        assert_eq!(response.status(), status, "{method} {target}");
        let headers = response.headers();
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none';"), "{target}");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers.contains_key("allow"), status == 405);
        let body = text(&response);
        assert!(!body.contains("<script"), "{body}");
        assert!(body.contains("<title>"), "{body}");
    }
    let head = portal.ask(Method::HEAD, "/").await;
    assert_eq!((head.status(), head.body()), (StatusCode::OK, &Body::Empty));
}

#[tokio::test]
async fn trouble_is_told_to_the_log_and_not_to_the_reader() {
    let lines = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let sink = std::sync::Arc::clone(&lines);
    let log = Logger::to_sink(now, move |line| sink.lock().unwrap().push_str(line));
    let portal = Portal { log, ..world() };
    portal.records.fail_at_call(Some(1));
    let response = portal.ask(Method::GET, "/").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!text(&response).contains("memory"), "{}", text(&response));
    assert!(text(&response).contains("request id"));
    let lines = lines.lock().unwrap().clone();
    assert!(lines.contains("\"ERROR\",\"message\":\"page failed\"") && lines.contains("killed"), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn pages_take_few_round_trips_however_much_is_stored() {
    let portal = world();
    for number in 0..40 {
        portal.runs("uat", &commit(&format!("bank-{number}"), "e"));
    }
    for number in 1..=60 {
        portal.happened("uat", number, Kind::Promotion, "succeeded").await;
    }
    portal.records.answer_after(Duration::from_millis(30));
    portal.artefacts.answer_after(Duration::from_millis(30));
    let bytes = Sha256::of(sha("a").as_str().as_bytes());
    for (target, rounds) in [
        ("/", 3),
        ("/repos/bank-payments", 3),
        (&format!("/search?digest={bytes}"), 2),
        ("/evidence/uat/bank-payments", 6),
    ] {
        let begun = tokio::time::Instant::now();
        portal.body(target).await;
        let taken = begun.elapsed().as_millis().div_ceil(30);
        assert!(taken <= rounds, "{target}: {taken} round trips");
    }
}
