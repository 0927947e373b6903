//! The evidence portal as an auditor opens it: through `gatekeeper portal`, in a real browser. `make test-e2e`.
//!
//! Pictures of the pages are left in `target/screenshots`, to be looked at.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use aws_sdk_lambda::{error::ProvideErrorMetadata as _, primitives::Blob};
use e2e::{
    commit::the_zip,
    instance::{Caller, Instance},
    promotion::{Promotions, STAGE, a_commit, a_repo, promotion_of},
};
use gatekeeper_model::ids::Sha256;

/// `gatekeeper portal` of somebody, until it is dropped.
struct Opened {
    child: Child,
    url: String,
}

impl Opened {
    async fn by(aws: &Instance, who: &Caller) -> Self {
        let mut child = aws.command(who).await.arg("portal").stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let url = said.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        Self { child, url: url.trim_end_matches("/,").to_owned() }
    }

    /// A page's status and text.
    async fn get(&self, target: &str) -> (u16, String) {
        get(format!("{}{target}", self.url), None).await
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn get(url: String, host: Option<&'static str>) -> (u16, String) {
    let ask = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.get(url);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let mut answer = request.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// Looks at pages in Chromium, by `infra/local/browser/check_page.mjs`; gives what it says where something is wrong.
async fn look(pages: Vec<String>) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut command = Command::new("node");
    command.arg(root.join("infra/local/browser/check_page.mjs")).arg(root.join("target/screenshots")).args(pages);
    let looked = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&looked.stdout) + String::from_utf8_lossy(&looked.stderr);
    if looked.status.success() { Ok(()) } else { Err(said.into_owned()) }
}

#[tokio::test]
async fn an_auditor_reads_what_runs_and_why_it_may_in_a_browser() {
    let here = Promotions::get().await;
    let repo = a_repo("portal");
    let commit = here.a_commit(&repo, 200).await;
    let record = here.promoted(&commit, STAGE).await;
    let untested = a_commit(&here.aws, &repo, 200);
    here.registered(&untested).await;
    here.ask(&promotion_of(&untested, STAGE)).await.unwrap();

    let portal = Opened::by(&here.aws, &here.aws.auditor().await).await;
    let (history, evidence) = (format!("/repos/{repo}"), format!("/evidence/{STAGE}/{repo}"));
    let digest = Sha256::of(&commit.objects[&the_zip()]);
    let search = format!("/search?digest={digest}");
    let (sha, id) = (commit.id.sha.as_str(), record.promotion_id.as_str());
    for (target, words) in [
        ("/", &[STAGE, repo.as_str(), &sha[..12], "jane@bank.example", "Built"] as &[&str]),
        (&history, &["promotion", "succeeded", "refusal", "refused", "release 2026-05", "hold up to the signed head"]),
        (&evidence, &[sha, id, &digest.to_string(), "jane@bank.example", "How to verify it yourself"]),
        (&search, &[sha, "authorise-payment.zip", "Built", STAGE]),
    ] {
        let (status, page) = portal.get(target).await;
        assert_eq!(status, 200, "{target}: {page}");
        for word in words {
            assert!(page.contains(word), "{target} does not say `{word}`: {page}");
        }
    }
    let base64 = digest.to_base64().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert_eq!(portal.get(&format!("/search?digest={base64}")).await, portal.get(&search).await);

    // The command's own page, which also looks at what is live.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence.html");
    let mut command = here.aws.command(&here.aws.auditor().await).await;
    command.args(["evidence", "--stage", STAGE, "--repo", repo.as_str(), "--output", "html", "--out"]).arg(&file);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let at = |target: &str| format!("{}{target}", portal.url);
    let looked = look(vec![
        format!("stages={}", at("/")),
        format!("history={}", at(&history)),
        format!("evidence={}", at(&evidence)),
        format!("search={}", at(&search)),
        format!("evidence-file=file://{}", file.display()),
        format!("no-such-page=404:{}", at("/nowhere")),
    ]);
    looked.await.unwrap_or_else(|said| panic!("{said}"));
}

#[tokio::test]
async fn only_who_may_read_the_records_gets_in() {
    let aws = Instance::get().await;
    assert_eq!(get(aws.outputs.portal_url.clone(), None).await.0, 403, "nobody without a signature");
    for (who, status) in [(aws.auditor().await, 200), (aws.promoter().await, 200), (aws.ci().await, 403)] {
        let (given, page) = Opened::by(&aws, &who).await.get("/").await;
        assert_eq!(given, status, "{}: {page}", who.session);
    }
    // Only by its URL: there the caller's name is Lambda's word, and not his own.
    let function = aws.outputs.promote_function.replace("-promote", "-portal");
    let call = aws.auditor().await.lambda().invoke().function_name(function).payload(Blob::new("{}")).send().await;
    assert_eq!(call.unwrap_err().code(), Some("AccessDeniedException"));
}

#[tokio::test]
async fn what_is_open_on_this_machine_answers_to_no_other_name() {
    let aws = Instance::get().await;
    let portal = Opened::by(&aws, &aws.auditor().await).await;
    let (status, page) = get(format!("{}/", portal.url), Some("portal.evil.example")).await;
    assert_eq!(status, 403, "{page}");
    let url = portal.url.clone();
    let post = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.post(format!("{url}/search")).send_empty().unwrap().status().as_u16()
    };
    assert_eq!(tokio::task::spawn_blocking(post).await.unwrap(), 405);
}
