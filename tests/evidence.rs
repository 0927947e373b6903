//! `gatekeeper evidence` and `gatekeeper verify` as an auditor uses them, with nothing but the rights of that role: `make test-e2e`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aws_sdk_lambda::primitives::Blob;
use e2e::{
    commit::{STACK, the_zip},
    instance::{Caller, Instance},
    promotion::{Promotions, STAGE, a_commit, a_repo},
    zips,
};
use gatekeeper_evidence::bundle;
use gatekeeper_model::{
    ids::{Chain, Repo, Sha256},
    store_key::RecordKey,
};
use gatekeeper_promotion::record::PromotionRecord;
use serde_json::{Value, json};

/// An auditor at a shell.
struct Auditor {
    aws: Instance,
    who: Caller,
}

/// How a run of the command ended, and the document that it printed.
#[derive(Debug)]
struct Told {
    code: i32,
    document: Value,
    stderr: String,
}

impl Told {
    /// The checks of the one repository that don't hold, in words.
    fn troubles(&self) -> Vec<String> {
        let evidence = &self.document["evidence"];
        assert_eq!(evidence.as_array().map(Vec::len), Some(1), "{self:?}");
        let checks = evidence[0]["checks"].as_array().unwrap().iter().filter(|check| check["holds"] != "holds");
        checks
            .map(|check| format!("{}: {}", check["name"].as_str().unwrap(), check["detail"].as_str().unwrap()))
            .collect()
    }
}

impl Auditor {
    async fn of(here: &Promotions) -> Self {
        Self { aws: here.aws.clone(), who: here.aws.auditor().await }
    }

    /// Somebody who promotes, who may read the records and not the stages' Lambda and CloudFormation.
    async fn promoter(here: &Promotions) -> Self {
        Self { aws: here.aws.clone(), who: here.aws.promoter().await }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.aws.command(&self.who).await;
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn asks(&self, arguments: &[&str]) -> Told {
        let output = self.run(&[&["evidence", "--stage", STAGE, "--output", "json"], arguments].concat()).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
        Told { code: output.status.code().unwrap(), document, stderr }
    }
}

/// The name of the commit's function in the stage.
fn function_name(record: &PromotionRecord) -> String {
    record.live[0].function_name.clone().unwrap()
}

/// Runs a program over the files of a bundle: whether it ended well, and what it said.
async fn over(program: &str, arguments: Vec<PathBuf>) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

fn unpacked(archive: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in bundle::unpack(&fs::read(archive).unwrap()).unwrap() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

#[tokio::test]
async fn what_runs_is_proved_from_its_bytes_to_its_tests_and_offline_too() {
    let here = Promotions::get().await;
    let repo: Repo = a_repo("evidence");
    let commit = here.a_commit(&repo, 200).await;
    let record = here.promoted(&commit, STAGE).await;
    let auditor = Auditor::of(&here).await;
    let (digest, name) = (Sha256::of(&commit.objects[&the_zip()]), function_name(&record));

    // By each way in, from the live function's bytes as well.
    for by in [
        ["--repo", repo.as_str()],
        ["--function", &name],
        ["--digest", &digest.to_string()],
        ["--digest", &digest.to_base64()],
    ] {
        let told = auditor.asks(&by).await;
        assert_eq!((told.code, told.troubles()), (0, Vec::new()), "{by:?}: {}", told.stderr);
        let runs = &told.document["evidence"][0]["runs"];
        assert_eq!(runs["commit_sha"].as_str(), Some(commit.id.sha.as_str()));
        assert_eq!(runs["looked_at"], "live");
        assert_eq!(runs["functions"][0]["live_sha256"].as_str(), Some(digest.to_string().as_str()));
    }
    // As it was at a time, and before there was anything.
    let ended = record.ended_at.unwrap().to_string();
    assert_eq!(auditor.asks(&["--repo", repo.as_str(), "--at", &ended]).await.code, 0);
    let before = auditor.asks(&["--repo", repo.as_str(), "--at", "2020-01-01T00:00:00Z"]).await;
    assert_eq!((before.code, before.troubles()), (1, Vec::new()), "{before:?}");
    let answer = before.document["answer"].as_str().unwrap();
    assert!(answer.starts_with(&format!("nothing of `{repo}` ran in `{STAGE}` at 2020-01-01T00:00:00Z")), "{answer}");
    assert_eq!(before.document["evidence"][0]["runs"], Value::Null);
    // Other tests break records of this stage: of their repositories it can't be told, which is said.
    let other = auditor.asks(&["--function", "no-such-function"]).await;
    let (unread, code) = (other.document["verdict"] == "unknown", other.code);
    assert_eq!((code, &other.document["evidence"]), (if unread { 3 } else { 1 }, &Value::Array(Vec::new())));

    // As a page and as a bundle, which three verifiers take and none takes when it was changed.
    let out = tempfile::tempdir().unwrap();
    let (page, archive) = (out.path().join("evidence.html"), out.path().join("evidence.zip"));
    let (page_text, archive_text) = (page.to_str().unwrap(), archive.to_str().unwrap());
    let arguments =
        ["evidence", "--stage", STAGE, "--repo", repo.as_str(), "--out", page_text, "--bundle", archive_text];
    let output = auditor.run(&arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&digest.to_string()) && page.len() < 300_000, "{} bytes", page.len());

    let verified = auditor.run(&["verify", archive_text]).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let folder = unpacked(&archive);
    let at = |name: &str| folder.path().join(name);
    let (holds, said) = over("sh", vec![at("verify.sh")]).await;
    assert!(holds, "{said}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local/provenance/verify_bundle.mjs");
    for (key, names) in
        [("keys/gate.pem", vec!["built"]), ("keys/promotion.pem", vec!["verification-summary", "deployment"])]
    {
        let bundles = names.iter().map(|name| at(&format!("attestations/{name}.sigstore.json")));
        let arguments = [script.clone(), at(key)].into_iter().chain(bundles).collect();
        let (holds, said) = over("node", arguments).await;
        assert!(holds, "{said}");
    }
    let (holds, _) = over("node", vec![script, at("keys/promotion.pem"), at("attestations/built.sigstore.json")]).await;
    assert!(!holds, "the promotion key can't vouch for test evidence");

    let record = fs::read_to_string(at("records/promotion.json")).unwrap();
    fs::write(at("records/promotion.json"), record.replace("jane@bank.example", "john@bank.example")).unwrap();
    let (holds, said) = over("sh", vec![at("verify.sh")]).await;
    assert!(!holds, "{said}");
}

/// Whose rights don't reach into the stage is not told that its functions are missing.
#[tokio::test]
async fn who_may_not_look_into_the_stage_is_told_so_and_not_that_everything_is_missing() {
    let here = Promotions::get().await;
    let repo = a_repo("evidence-denied");
    here.promoted(&here.a_commit(&repo, 200).await, STAGE).await;
    let promoter = Auditor::promoter(&here).await;
    let told = promoter.asks(&["--repo", repo.as_str()]).await;
    let troubles = told.troubles().join("\n");
    assert_eq!(told.code, 3, "{troubles}\n{}", told.stderr);
    assert!(troubles.contains("AccessDenied"), "{troubles}");
    let evidence = &told.document["evidence"][0];
    assert_eq!((&told.document["verdict"], &evidence["verdict"]), (&json!("unknown"), &json!("unknown")));
    let checks = evidence["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["holds"] != "fails"), "{troubles}");
    let function = &evidence["runs"]["functions"][0];
    assert_eq!((&function["equal"], &function["live_sha256"]), (&json!("unknown"), &Value::Null));
    assert!(function["unread"].as_str().unwrap().contains("AccessDenied"), "{function}");
    let shown = promoter.run(&["evidence", "--stage", STAGE, "--repo", repo.as_str()]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("could not be looked at") && !shown.contains("not found"), "{shown}");
}

/// A policy's waiver and a stage without a smoke check are told as what they are, and fail nothing.
#[tokio::test]
async fn what_is_waived_or_was_never_asked_is_told_as_that() {
    let here = Promotions::get().await;
    let repo = a_repo("evidence-waived");
    let change = json!({"waive": ["policy"], "min_line_coverage": 60});
    let policy = json!({"schema_version": 1, "repos": {(repo.as_str()): change}}).to_string();
    let (s3, bucket) = (&here.aws.root.s3, &here.aws.outputs.records_bucket);
    let sha256 = Sha256::of(policy.as_bytes());
    let put = s3.put_object().bucket(bucket).key(RecordKey::PolicyConfig.to_string());
    put.checksum_sha256(sha256.to_base64()).body(policy.clone().into_bytes().into()).send().await.unwrap();
    let mut commit = a_commit(&here.aws, &repo, 200);
    commit.manifest["tests"].as_object_mut().unwrap().remove("policy");
    let commit = here.built(commit).await;
    // `uat` has no smoke check for this repository.
    here.promoted(&commit, "uat").await;

    let auditor = Auditor::of(&here).await;
    let out = tempfile::tempdir().unwrap();
    let archive = out.path().join("evidence.zip");
    let asked = ["evidence", "--stage", "uat", "--repo", repo.as_str(), "--bundle", archive.to_str().unwrap()];
    let output = auditor.run(&[&asked[..], &["--output", "json"]].concat()).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let evidence = &document["evidence"][0];
    assert!(output.status.success(), "{:#}", evidence["checks"]);
    let checks = evidence["checks"].as_array().unwrap();
    let waived: Vec<_> =
        checks.iter().filter(|it| it["holds"] == "waived").map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(waived, ["the commit had to meet the condition `policy`"]);
    assert!(checks.iter().any(|it| it["name"] == "no smoke check is configured, and none was asked"));
    let applied = &evidence["rules"]["policy"];
    assert_eq!(
        (applied["document"].as_str(), applied["sha256"].as_str()),
        (Some(&*policy), Some(&*sha256.to_string()))
    );
    assert_eq!(evidence["rules"]["stage"]["approvals"], 0);
    // Records are locked, artefacts are not, and both is said.
    let kept = evidence["retention"].as_array().unwrap();
    let of = |bucket: &str| kept.iter().find(|it| it["bucket"] == bucket).unwrap();
    assert_eq!((&of("records")["not_locked"], &of("records")["unread"]), (&json!(0), &Value::Null), "{kept:#?}");
    assert!(of("records")["locked_until"].is_string() && of("artefacts")["not_locked"].as_u64() > Some(0), "{kept:#?}");

    let folder = unpacked(&archive);
    let (holds, said) = over("sh", vec![folder.path().join("verify.sh")]).await;
    assert!(
        holds && said.contains("config/policy.json is the policy that the verdict and its attestation name"),
        "{said}"
    );
    fs::write(folder.path().join("config/policy.json"), r#"{"schema_version": 1}"#).unwrap();
    assert!(!over("sh", vec![folder.path().join("verify.sh")]).await.0);
}

#[tokio::test]
async fn a_function_that_somebody_updated_by_hand_is_named_with_what_it_runs() {
    let here = Promotions::get().await;
    let repo = a_repo("evidence-hand");
    let (first, second) = (here.a_commit(&repo, 200).await, here.a_commit(&repo, 200).await);
    let record = here.promoted(&second, STAGE).await;
    let (auditor, name) = (Auditor::of(&here).await, function_name(&record));
    let update = async |zip: Vec<u8>| {
        let update = here.aws.root.lambda().update_function_code().function_name(&name);
        update.zip_file(Blob::new(zip)).send().await.unwrap();
    };

    // Bytes that nobody knows, then those of a commit that is Built but was not promoted.
    let strange = zips::node("by hand");
    update(strange.clone()).await;
    let told = auditor.asks(&["--function", &name]).await;
    let expected = format!(
        "every function runs the bytes that were promoted: function `{name}` runs the bytes `{}`, which are of no Built commit",
        Sha256::of(&strange)
    );
    assert_eq!((told.code, told.troubles()), (1, vec![expected]));
    let known = first.objects[&the_zip()].clone();
    update(known.clone()).await;
    let told = auditor.asks(&["--repo", repo.as_str()]).await;
    let expected = format!(
        "every function runs the bytes that were promoted: function `{name}` runs the bytes `{}`, which are those of {}",
        Sha256::of(&known),
        first.id
    );
    assert_eq!((told.code, told.troubles()), (1, vec![expected]));
    let elsewhere = auditor.run(&["evidence", "--stage", STAGE, "--digest", &Sha256::of(&known).to_string()]).await;
    let said = String::from_utf8(elsewhere.stdout).unwrap();
    // Other tests break records of this stage, so not all of it may be looked at: 3 in place of 1.
    assert!(matches!(elsewhere.status.code(), Some(1 | 3)) && said.contains(&first.id.to_string()), "{said}");

    update(second.objects[&the_zip()].clone()).await;
    assert_eq!(auditor.asks(&["--repo", repo.as_str()]).await.code, 0);
}

#[tokio::test]
async fn a_promotion_record_that_an_administrator_deleted_or_rewrote_is_missed() {
    let here = Promotions::get().await;
    let repo = a_repo("evidence-record");
    let record = here.promoted(&here.a_commit(&repo, 200).await, STAGE).await;
    let auditor = Auditor::of(&here).await;
    let (s3, bucket) = (&here.aws.root.s3, &here.aws.outputs.records_bucket);
    let key = PromotionRecord::key(&record.reference()).to_string();

    let mut rewritten = record.clone();
    rewritten.requested_by = "john@bank.example".to_owned();
    let bytes = serde_json::to_vec_pretty(&rewritten).unwrap();
    s3.put_object().bucket(bucket).key(&key).body(bytes.into()).send().await.unwrap();
    let told = auditor.asks(&["--repo", repo.as_str()]).await;
    let troubles = told.troubles().join("\n");
    assert_eq!(told.code, 1);
    assert!(troubles.contains("the record was changed: entry"), "{troubles}");
    assert!(troubles.contains("the attestation and the record differ in field `requestedBy`"), "{troubles}");

    s3.delete_object().bucket(bucket).key(&key).send().await.unwrap();
    let told = auditor.asks(&["--repo", repo.as_str()]).await;
    let troubles = told.troubles().join("\n");
    assert_eq!(told.code, 1);
    assert!(troubles.contains(&format!("tells of `{key}`: it is not there")), "{troubles}");
    assert!(troubles.contains("the promotion's record is there and is about this commit"), "{troubles}");
    // The stage, its stack and the way to its functions are in the record that is gone.
    assert!(told.document["evidence"][0]["runs"]["functions"].as_array().unwrap().is_empty(), "{STACK}");
}

/// A bundle says for ever what was so; who has been told since refuses it, offline. And the wiki is told too.
#[tokio::test]
async fn what_was_taken_back_since_is_refused_offline_and_handed_off() {
    let here = Promotions::get().await;
    let repo = a_repo("taken-back");
    let (repo, commit) = (repo.as_str(), here.a_commit(&repo, 200).await);
    here.promoted(&commit, STAGE).await;
    let auditor = Auditor::of(&here).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (archive, before, after) = (at("evidence.zip"), at("before.json"), at("after.json"));
    let said = |output: Output| {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), said.into_owned())
    };
    let asks = async |arguments: &[&str]| said(auditor.run(arguments).await);
    assert_eq!(asks(&["evidence", "--stage", STAGE, "--repo", repo, "--bundle", &archive]).await.0, 0);

    // Nothing was taken back yet, and where nothing was entered nothing is signed.
    let (code, told) = asks(&["revocations", "--repo", repo, "--out", &before]).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("nothing was ever taken back"), "{told}");
    assert_eq!(asks(&["verify", &archive, "--revocations", &before]).await.0, 3);
    let (code, told) = asks(&["revocations", "--repo", &format!("{repo}x"), "--out", &before]).await;
    assert_eq!(code, 2, "{told}");

    let promoter = Auditor::promoter(&here).await;
    let sha = commit.id.sha.as_str();
    let revoke = ["revoke", "--repo", repo, "--sha", sha, "--reason", "rounds down"];
    let (code, told) = said(promoter.run(&revoke).await);
    assert_eq!(code, 0, "{told}");
    let (code, told) = asks(&["revocations", "--repo", repo, "--out", &after]).await;
    assert_eq!((code, told.contains("holds 1 revocation of")), (0, true), "{told}");
    assert_eq!(asks(&["verify", &archive]).await.0, 0, "by itself it says what was so");
    let (code, told) = asks(&["verify", &archive, "--revocations", &before, "--revocations", &after]).await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&format!("`{sha}` was taken back, by ")) && told.contains("rounds down"), "{told}");

    let ci = Auditor { aws: here.aws.clone(), who: here.aws.ci().await };
    let into = at("handoffs");
    let pull = ["handoffs", "pull", "--repo", repo, "--sha", sha, "--into", &into, "--output", "json"];
    let (code, told) =
        said(ci.run(&[&pull as &[_], &["--stage", STAGE, "--wait=30", "--expect", "revoked"]].concat()).await);
    assert_eq!(code, 0, "{told}");
    let mut names: Vec<_> = fs::read_dir(&into).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    // What dev was told is not of this stage.
    assert_eq!(
        names,
        ["deployed", "revoked"].map(|kind| format!("MOD-012-ci-{kind}-{sha}.handoff.md").as_str().into())
            as [std::ffi::OsString; 2]
    );
    let (code, told) = said(ci.run(&[&pull as &[_], &["--wait=1", "--expect", "built"]].concat()).await);
    assert_eq!((code, told.contains("the gate says no")), (1, true), "{told}");
}

/// KMS's own record of signatures against what is stored.
#[tokio::test]
async fn a_signature_that_nothing_stored_accounts_for_is_named() {
    let here = Promotions::get().await;
    let repo = a_repo("signatures");
    let record = here.promoted(&here.a_commit(&repo, 200).await, STAGE).await;
    let auditor = Auditor::of(&here).await;
    let head = RecordKey::LedgerHead(Chain { stage: record.stage.clone(), repo: repo.clone() }).to_string();
    let listed = here.aws.root.s3.list_object_versions().bucket(&here.aws.outputs.records_bucket).prefix(&head);
    let listed = listed.send().await.unwrap();
    let event = |id: &str, at: &str, who: &str| {
        json!({
            "eventSource": "kms.amazonaws.com", "eventName": "Sign", "eventID": id, "eventTime": at,
            "userIdentity": {"arn": who}, "resources": [{"ARN": here.aws.outputs.promotion_signing_key_arn}],
        })
    };
    let own = "arn:aws:sts::000000000000:assumed-role/gatekeeper/record-promotion";
    let stored = listed.versions().iter().map(|it| it.last_modified().unwrap().to_string());
    let mut events: Vec<_> = stored.enumerate().map(|(place, at)| event(&format!("e{place}"), &at, own)).collect();
    assert_eq!(events.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let trail = folder.path().join("trail.json");
    let compared = async |events: &[Value]| {
        fs::write(&trail, json!({"Records": events}).to_string()).unwrap();
        let output = auditor.run(&["ledger", "signatures", trail.to_str().unwrap(), "--output", "json"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        (output.status.code().unwrap(), document["keys"][1].clone())
    };
    // Other tests sign meanwhile, and this trail tells of one signature alone.
    let (code, promotion) = compared(&events).await;
    assert!([0, 3].contains(&code), "{promotion}");
    assert_eq!((&promotion["accounted_for"], &promotion["unaccounted"]), (&json!(1), &json!([])), "{promotion}");

    events.push(event("kept", "2020-01-01T00:00:00Z", "arn:aws:sts::000000000000:assumed-role/admin/mallory"));
    let (code, promotion) = compared(&events).await;
    assert_eq!(code, 1, "{promotion}");
    let [kept] = promotion["unaccounted"].as_array().unwrap().as_slice() else { panic!("{promotion}") };
    assert_eq!((&kept["event_id"], &kept["at"]), (&json!("kept"), &json!("2020-01-01T00:00:00Z")));
    assert!(kept["principal"].as_str().unwrap().ends_with("/mallory"), "{kept}");
}
