//! The step against real HTTP servers on this machine, and against CloudFormation and Lambda as they answer.

mod server;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use gatekeeper_aws::{
    scripted,
    scripted::{Answer as Scripted, Request},
};
use gatekeeper_model::telemetry::wall_clock;
use gatekeeper_promotion::step::StepStatus;
use gatekeeper_store::memory::Memory;

use self::server::Server;
use super::*;

/// The stage: what its stack puts out, and what Lambda answers to invocations, the last one again and again.
#[derive(Default)]
struct Account {
    outputs: Vec<(&'static str, String)>,
    allow_private: bool,
    invocations: Mutex<VecDeque<Scripted>>,
    requests: Mutex<Vec<Request>>,
}

impl Account {
    fn answer(&self, request: Request) -> Scripted {
        let body = request.body.clone();
        self.requests.lock().unwrap().push(request);
        if body.starts_with("Action=DescribeStacks") {
            if !body.contains("StackName=bank-payments-uat-payments-api") {
                return Scripted::xml_error(400, "ValidationError", "Stack with id x does not exist");
            }
            let outputs = self.outputs.iter().map(|(name, value)| {
                format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
            });
            return Scripted::xml(format!(
                "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>s</StackName>\
                 <CreationTime>2026-05-02T03:04:05Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>\
                 <Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
                outputs.collect::<String>()
            ));
        }
        if body.starts_with("Action=ListStackResources") {
            return Scripted::xml(
                "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries><member>\
                 <LogicalResourceId>AuthoriseFn</LogicalResourceId><PhysicalResourceId>uat-authorise</PhysicalResourceId>\
                 <ResourceType>AWS::Lambda::Function</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
                 <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member></StackResourceSummaries>\
                 </ListStackResourcesResult></ListStackResourcesResponse>",
            );
        }
        let mut invocations = self.invocations.lock().unwrap();
        let answer = invocations.front().cloned().unwrap();
        if invocations.len() > 1 {
            invocations.pop_front();
        }
        answer
    }
}

fn step(account: &Arc<Account>, smoke: &Value) -> Step<Memory> {
    let record = json!({
        "schema_version": 1, "promotion_id": "01JZ0000000000000000000000", "repo": "bank-payments",
        "commit_sha": "a".repeat(40), "stage": "uat", "requested_by": "jane@bank.example", "reason": "release",
        "rollback": false, "status": "running", "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z",
        "ended_at": null, "verdict_version_id": "v", "manifest_version_id": "v", "stages_config_version_id": "v",
        "role_arn": null, "stack_role_arn": null, "allow_private": account.allow_private, "way_back": null, "steps": [], "live": [],
        "plan": {
            "stacks": [{
                "module": "MOD-012", "stack": "payments-api", "stack_name": "bank-payments-uat-payments-api",
                "key": "k", "version_id": "v", "sha256": "0".repeat(64), "size": 1, "parameters": {},
            }, {
                "module": "MOD-012", "stack": "gone", "stack_name": "bank-payments-uat-gone",
                "key": "k", "version_id": "v", "sha256": "0".repeat(64), "size": 1, "parameters": {},
            }],
            "functions": [{
                "module": "MOD-012", "function": "authorise", "stack": "payments-api",
                "stack_name": "bank-payments-uat-payments-api", "logical_id": "AuthoriseFn",
                "key": "k", "version_id": "v", "sha256": "0".repeat(64), "size": 1,
            }],
            "migrations": [], "smoke": smoke,
        },
    });
    let records = Memory::default();
    let key = "promotions/uat/bank-payments/01JZ0000000000000000000000.json";
    records.upload(key, record.to_string().as_bytes(), &[]);
    let account = Arc::clone(account);
    Step {
        records,
        config: scripted::config(move |request| account.answer(request)),
        agents: OnceLock::new(),
        clock: wall_clock,
    }
}

async fn ask_within(
    step: &Step<Memory>,
    progress: &[Report<SmokeFacts>],
    time: Duration,
    log: Logger,
) -> StepAnswer<SmokeFacts> {
    let invocation = Invocation { log, deadline: wall_clock() + time };
    let promotion = json!({"stage": "uat", "repo": "bank-payments", "promotion_id": "01JZ0000000000000000000000"});
    let input = json!({"promotion": promotion, "direction": "forward", "progress": progress});
    step.handle(input, &invocation).await.unwrap()
}

async fn ask(account: Account, smoke: Value) -> StepAnswer<SmokeFacts> {
    ask_within(&step(&Arc::new(account), &smoke), &[], Duration::from_mins(5), Logger::silent()).await
}

fn puts_out(url: &str) -> Account {
    // The servers of these tests are this machine's.
    Account { outputs: vec![("ApiUrl", url.to_owned())], allow_private: true, ..Account::default() }
}

/// The same without the stage's consent to ask hosts that aren't public.
fn puts_out_to_the_public(url: &str) -> Account {
    Account { allow_private: false, ..puts_out(url) }
}

fn answers(invocations: impl IntoIterator<Item = Scripted>) -> Account {
    Account { invocations: Mutex::new(invocations.into_iter().collect()), ..Account::default() }
}

/// A check of `/health` that has `deadline_seconds`.
fn health(deadline_seconds: u64) -> Value {
    json!([{"stack": "payments-api", "output": "ApiUrl", "path": "/health", "expect_json": {"status": "ok"},
        "deadline_seconds": deadline_seconds}])
}

const OK: &str = r#"{"status":"ok","commit":"aaaa"}"#;

/// Asks once and gives what the failing report says.
#[track_caller]
fn said(answer: &StepAnswer<SmokeFacts>) -> &str {
    assert_eq!(answer.status, StepStatus::Failed, "{answer:#?}");
    let report = &answer.progress[0];
    assert_eq!(report.status, ReportStatus::Failed);
    &report.detail
}

#[tokio::test]
async fn an_endpoint_that_answers_as_expected_passes_with_what_was_asked_and_answered() {
    let server = Server::start([(200, OK)]);
    let answer = ask(puts_out(&format!("{}/", server.url)), health(5)).await;
    assert_eq!(answer.status, StepStatus::Done, "{answer:#?}");
    let report = &answer.progress[0];
    assert_eq!((report.status, report.subject.as_str()), (ReportStatus::Passed, "GET payments-api.ApiUrl/health"));
    assert_eq!(json!(report.facts)["asked"], json!({"method": "GET", "url": format!("{}/health", server.url)}));
    assert_eq!(
        json!(report.facts)["answered"],
        json!({"status": 200, "content_type": "application/json", "function_error": null, "body": OK})
    );
    assert_eq!(json!(report.facts)["attempts"], 1);
    assert!(json!(report.facts)["duration_milliseconds"].is_u64());
    assert_eq!(server.asked(), ["GET /health HTTP/1.1"]);
}

#[tokio::test]
async fn it_is_asked_again_until_it_answers_as_expected() {
    let server = Server::start([(503, ""), (200, r#"{"status":"starting"}"#), (200, OK)]);
    let answer = ask(puts_out(&server.url), health(30)).await;
    assert_eq!(answer.status, StepStatus::Done, "{answer:#?}");
    assert_eq!(json!(answer.progress[0].facts)["attempts"], 3);
}

#[tokio::test]
async fn a_wrong_status_and_wrong_json_fail_with_the_last_answer() {
    for (given, says) in [
        ((500, OK), "answered with status `500`, expected `200`"),
        ((200, r#"{"status":"degraded"}"#), r#"`/status` is `"degraded"`, expected `"ok"`"#),
        ((200, "<html>welcome</html>"), "the answer is not JSON: expected value at line 1 column 1"),
    ] {
        let server = Server::start([given]);
        let answer = ask(puts_out(&server.url), health(1)).await;
        assert_eq!(said(&answer), says);
        let facts = json!(answer.progress[0].facts);
        assert_eq!((&facts["answered"]["status"], &facts["answered"]["body"]), (&given.0.into(), &given.1.into()));
        assert!(facts["attempts"].as_u64() >= Some(2), "{facts:?}");
    }
}

#[tokio::test]
async fn who_does_not_answer_at_all_fails() {
    // A port on which nobody listens.
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = ask(puts_out(&format!("http://{refused}")), health(1)).await;
    assert!(said(&answer).starts_with("no connection: "), "{answer:#?}");
    assert_eq!(json!(answer.progress[0].facts)["answered"], Value::Null);

    let broken = Server::start([(0, "")]);
    let answer = ask(puts_out(&broken.url), health(0)).await;
    assert_eq!(json!(answer.progress[0].facts)["answered"], Value::Null, "{answer:#?}");

    // What speaks no TLS is no `https`.
    let plain = Server::start([(200, OK)]);
    let answer = ask(puts_out(&plain.url.replace("http:", "https:")), health(0)).await;
    let detail = said(&answer);
    assert!(detail.contains("corrupt message") || detail.to_lowercase().contains("tls"), "{detail}");
}

#[tokio::test]
async fn who_hangs_is_left_after_ten_seconds() {
    let hanging = Server::start([(1, "")]);
    let answer = ask(puts_out(&hanging.url), health(0)).await;
    assert_eq!(said(&answer), "no answer within 10 seconds");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start([(200, OK)]);
    let server = Server::redirecting(&elsewhere.url);
    let answer = ask(puts_out(&server.url), health(0)).await;
    assert_eq!(said(&answer), "answered with status `302`, expected `200`; redirects are not followed");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_internal_host_is_asked_with_the_stages_consent_only_however_it_is_spelt() {
    let server = Server::start([(200, OK)]);
    let port = server.url.rsplit_once(':').unwrap().1;
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "0.0.0.0",
        "0",
        "[::]",
        "jane:secret@127.0.0.1",
    ] {
        let answer = ask(puts_out_to_the_public(&format!("http://{host}:{port}")), health(60)).await;
        let detail = said(&answer);
        assert!(
            detail.contains("which is no public address: such hosts are asked only where the stage has"),
            "{host}: {detail}"
        );
        assert!(!detail.contains("secret"), "{detail}");
        assert_eq!(json!(answer.progress[0].facts)["attempts"], 1, "{host}: asking again changes nothing");
    }
    // What no resolver takes for an address is asked no more than the others.
    for host in ["127.0.0.1.", "localhost.", "[fe80::1%25lo]", "%31%32%37.0.0.1", "①②⑦.0.0.1"] {
        let answer = ask(puts_out_to_the_public(&format!("http://{host}:{port}")), health(0)).await;
        said(&answer);
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_metadata_services_of_aws_are_never_asked_without_consent() {
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.170.2/v2",
        "http://[fd00:ec2::254]/latest",
        "http://2852039166/",
    ] {
        let answer = ask(puts_out_to_the_public(url), health(60)).await;
        assert!(said(&answer).contains("no public address"), "{url}: {answer:#?}");
    }
}

#[tokio::test]
async fn where_aws_itself_answers_may_be_asked_and_no_other_port_of_that_host() {
    let (endpoint, other) = (Server::start([(200, OK)]), Server::start([(200, OK)]));
    let asked = async |url: &str| {
        let mut step = step(&Arc::new(puts_out_to_the_public(url)), &health(0));
        step.agents = OnceLock::from(http::agents(Some(&endpoint.url)));
        ask_within(&step, &[], Duration::from_mins(5), Logger::silent()).await
    };
    assert_eq!(asked(&endpoint.url).await.status, StepStatus::Done);
    assert_eq!(asked(&other.url).await.status, StepStatus::Failed);
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let body: &'static str = Box::leak("x".repeat(8 * 1024 * 1024).into_boxed_str());
    let server = Server::start([(200, body)]);
    let answer = ask(puts_out(&server.url), health(0)).await;
    assert_eq!(said(&answer), "the answer is larger than 65536 bytes, too large to be compared as JSON");
    assert_eq!(json!(answer.progress[0].facts)["answered"]["body"].as_str().unwrap().len(), 2048);
}

#[tokio::test]
async fn queries_and_passwords_reach_the_endpoint_but_no_record_and_no_log() {
    let server = Server::start([(500, "")]);
    let lines = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&lines);
    let log = Logger::to_sink(wall_clock, move |line| sink.lock().unwrap().push_str(line));
    let smoke =
        json!([{"stack": "payments-api", "output": "ApiUrl", "path": "health?token=hunter2", "deadline_seconds": 0}]);
    let account = Arc::new(puts_out(&server.url.replace("://", "://jane:hunter2@")));
    let answer = ask_within(&step(&account, &smoke), &[], Duration::from_mins(5), log).await;
    assert_eq!(server.asked(), ["GET /health?token=hunter2 HTTP/1.1"]);
    assert_eq!(said(&answer), "answered with status `500`, expected `200`");
    assert!(!serde_json::to_string(&answer).unwrap().contains("hunter2"), "{answer:#?}");
    let lines = lines.lock().unwrap();
    assert!(lines.contains("smoke check failed") && !lines.contains("hunter2"), "{lines}");
}

#[tokio::test]
async fn what_the_stage_does_not_have_fails_at_once_and_says_what_to_do() {
    let missing = |target: Value, says: &'static str| async move {
        let answer = ask(puts_out("not-a-url"), json!([target])).await;
        assert_eq!(said(&answer), says);
    };
    missing(
        json!({"stack": "payments-api", "output": "Url"}),
        "stack `payments-api` puts out no `Url`: add it to the template's `Outputs`, or correct the check in config/stages.json",
    )
    .await;
    missing(
        json!({"stack": "payments-api", "output": "ApiUrl"}),
        "the output `ApiUrl` of stack `payments-api` can't be asked: it is not an `https://` or `http://` URL",
    )
    .await;
    missing(
        json!({"stack": "gone", "output": "ApiUrl"}),
        "stack `bank-payments-uat-gone` can't be looked at: Stack with id x does not exist",
    )
    .await;
    missing(
        json!({"stack": "another", "output": "ApiUrl"}),
        "the plan has no stack `another`: correct the check in config/stages.json",
    )
    .await;
    missing(
        json!({"function": "another"}),
        "the plan has no function `another`: correct the check in config/stages.json",
    )
    .await;
}

fn invoked(body: &str, function_error: Option<&str>) -> Scripted {
    let headers = function_error.map(|error| ("x-amz-function-error", error.to_owned())).into_iter().collect();
    Scripted::Http { status: 200, error: None, headers, body: body.to_owned() }
}

fn authorise(deadline_seconds: u64) -> Value {
    json!([{"function": "authorise", "payload": {"ping": true}, "expect_json": {"status": "ok"},
        "deadline_seconds": deadline_seconds}])
}

#[tokio::test]
async fn a_function_is_invoked_with_its_payload_until_it_answers_as_expected() {
    let account = Arc::new(answers([
        Scripted::error(429, "TooManyRequestsException", "Rate Exceeded."),
        invoked(r#"{"errorMessage":"cold"}"#, Some("Unhandled")),
        invoked(OK, None),
    ]));
    let answer = ask_within(&step(&account, &authorise(10)), &[], Duration::from_mins(5), Logger::silent()).await;
    assert_eq!(answer.status, StepStatus::Done, "{answer:#?}");
    let facts = json!(answer.progress[0].facts);
    assert_eq!(facts["asked"], json!({"function": "uat-authorise", "payload": {"ping": true}}));
    assert_eq!(facts["answered"]["body"], OK);
    assert_eq!(facts["attempts"], 3);
    let requests = account.requests.lock().unwrap();
    let invocation = requests.last().unwrap();
    assert_eq!(invocation.path, "/2015-03-31/functions/uat-authorise/invocations");
    assert_eq!(invocation.body, r#"{"ping":true}"#);
}

#[tokio::test]
async fn a_function_error_is_never_taken_for_the_expected_answer() {
    let answer = ask(answers([invoked(OK, Some("Unhandled"))]), authorise(0)).await;
    assert_eq!(said(&answer), "the function ended with the error `Unhandled`");
    assert_eq!(json!(answer.progress[0].facts)["answered"]["function_error"], "Unhandled");
    let answer = ask(answers([Scripted::error(403, "AccessDeniedException", "not authorized")]), authorise(0)).await;
    assert_eq!(said(&answer), "Invoke: AccessDeniedException: not authorized");
    let answer = ask(answers([Scripted::Lost]), authorise(0)).await;
    assert!(said(&answer).starts_with("Invoke: "), "{answer:#?}");
}

#[tokio::test]
async fn before_the_invocation_ends_it_answers_and_goes_on_when_asked_again() {
    let server = Server::start([(503, ""), (503, ""), (503, ""), (200, OK)]);
    let mut smoke = health(60);
    smoke.as_array_mut().unwrap().extend(authorise(60).as_array().unwrap().clone());
    let mut account = puts_out(&server.url);
    account.invocations = Mutex::new([invoked(OK, None)].into());
    let step = step(&Arc::new(account), &smoke);
    // 20 s before the end is half a second from now.
    let first = ask_within(&step, &[], Duration::from_millis(20_500), Logger::silent()).await;
    assert_eq!(first.status, StepStatus::InProgress, "{first:#?}");
    assert_eq!(first.progress[0].detail, "answered with status `503`, expected `200`");
    assert_eq!(first.progress[1].status, ReportStatus::Passed);
    let second = ask_within(&step, &first.progress, Duration::from_mins(5), Logger::silent()).await;
    assert_eq!(second.status, StepStatus::Done, "{second:#?}");
    assert_eq!(second.progress[0].started_at, first.progress[0].started_at);
    assert_eq!(json!(second.progress[0].facts)["attempts"], 4);
    assert_eq!(second.progress[1], first.progress[1], "what had passed isn't asked again");
}

#[tokio::test]
async fn attempts_that_are_told_in_words_that_cannot_be_read_are_not_none() {
    let server = Server::start([(200, OK)]);
    let step = step(&Arc::new(puts_out(&server.url)), &health(60));
    let begun = json!([{"subject": "GET payments-api.ApiUrl/health", "status": "in-progress", "detail": "",
                        "started_at": wall_clock(), "facts": {"attempts": "many"}}]);
    let progress: Vec<_> = serde_json::from_value(begun).unwrap();
    let answer = ask_within(&step, &progress, Duration::from_mins(5), Logger::silent()).await;
    assert!(said(&answer).starts_with("its report tells a fact `attempts` that can't be read: "), "{answer:#?}");
    assert_eq!(json!(answer.progress[0].facts)["attempts"], "many", "it stays as it was told");
}

#[tokio::test]
async fn no_checks_are_done_at_once_and_the_log_says_so() {
    let lines = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&lines);
    let log = Logger::to_sink(wall_clock, move |line| sink.lock().unwrap().push_str(line));
    let answer = ask_within(&step(&Arc::default(), &json!([])), &[], Duration::from_mins(5), log).await;
    assert_eq!((answer.status, answer.progress.len()), (StepStatus::Done, 0));
    assert!(lines.lock().unwrap().contains("the stage has no smoke checks for this commit"));
}
