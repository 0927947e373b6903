//! Who may do what: everybody tries everything that matters, and exactly what is listed works.
//!
//! `infra/test_access.py` reads the same from the policies, with what the local AWS doesn't enforce; here the requests
//! are real.

use std::collections::BTreeSet;

use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{BucketVersioningStatus, ObjectLockRetention, ObjectLockRetentionMode, VersioningConfiguration},
};
use e2e::{
    commit::{Commit, tagging, the_zip},
    instance::{Caller, Instance},
};
use gatekeeper_model::{
    ids::{Chain, Commit as Id, Sha256},
    store_key::{ArtefactPath, Form, RecordKey},
    verdict::Outcome,
};

/// Whether a call got past the policies: it worked, or it failed for another reason.
fn got_past<T, E: ProvideErrorMetadata>(answer: &Result<T, SdkError<E>>) -> bool {
    let denied = |error: &SdkError<E>| error.code().is_some_and(|code| code.starts_with("AccessDenied"));
    !answer.as_ref().is_err_and(denied)
}

/// Tries everything; gives what wasn't denied.
async fn what_works(aws: &Instance, who: &Caller, commit: &Commit) -> BTreeSet<&'static str> {
    let mut works = BTreeSet::new();
    let mut note = |what, got_past| {
        if got_past {
            works.insert(what);
        }
    };
    let (s3, bucket) = (&who.s3, commit.bucket());
    let (zip, manifest) = (commit.key(&the_zip()), commit.manifest_key());
    let head = aws.root.s3.head_object().bucket(bucket).key(&zip).send().await.unwrap();
    let version = head.version_id().unwrap();

    // Artefacts.
    let get = async |key: &str| got_past(&s3.get_object().bucket(bucket).key(key).send().await);
    note("read artefacts", get(&zip).await);
    let tags = s3.get_object_tagging().bucket(bucket).key(&zip);
    note("read tags", got_past(&tags.send().await));
    let upload = async |key: &str, tags: Option<&str>| {
        let put = s3.put_object().bucket(bucket).key(key).body(b"other".to_vec().into());
        let put = put.checksum_sha256(Sha256::of(b"other").to_base64());
        got_past(&put.set_tagging(tags.map(str::to_owned)).send().await)
    };
    let tag = async |key: &str, version: Option<&str>, tags: &[(&str, &str)]| {
        let put = s3.put_object_tagging().bucket(bucket).key(key).set_version_id(version.map(str::to_owned));
        got_past(&put.tagging(tagging(tags)).send().await)
    };
    for value in ["true", "TRUE", "yes"] {
        note("pass an artefact", tag(&zip, None, &[("integration-passed", value)]).await);
        note("pass an artefact", tag(&zip, Some(version), &[("integration-passed", value)]).await);
        let tags = format!("integration-passed={value}");
        note("upload an artefact as passed", upload(&zip, Some(&tags)).await);
    }
    for key in [&zip, &manifest] {
        note("set the gate's own tag", tag(key, None, &[("gatekeeper-outcome", "built")]).await);
    }
    let copy = s3.copy_object().bucket(bucket).key(format!("{}reports/copy.zip", commit.id.prefix()));
    note("copy artefacts", got_past(&copy.copy_source(format!("{bucket}/{zip}")).send().await));
    note("fail an artefact", tag(&zip, None, &[("integration-passed", "false")]).await);
    note("ask for the decision", tag(&manifest, None, &[("integration-passed", "true")]).await);
    note("pull the brake", tag(&manifest, None, &[("integration-passed", "false")]).await);
    note("upload artefacts", upload(&zip, None).await);
    let untag = s3.delete_object_tagging().bucket(bucket).key(&zip);
    note("remove tags", got_past(&untag.send().await));
    let delete = s3.delete_object().bucket(bucket).key(&zip).version_id(version);
    note("delete artefacts", got_past(&delete.send().await));
    note("delete artefacts", got_past(&s3.delete_object().bucket(bucket).key(&zip).send().await));

    // The buckets themselves.
    for bucket in [bucket, &aws.outputs.records_bucket] {
        let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
        let suspend = s3.put_bucket_versioning().bucket(bucket).versioning_configuration(off);
        note("suspend versioning", got_past(&suspend.send().await));
        note("remove a bucket's policy", got_past(&s3.delete_bucket_policy().bucket(bucket).send().await));
    }

    // Functions, the state machine, dead letters. Nothing here does anything where it works.
    let invoke = async |function: &str, payload: &str| {
        let call = who.lambda().invoke().function_name(function).payload(Blob::new(payload));
        got_past(&call.send().await)
    };
    let (intake, promote) = (&aws.outputs.intake_function, &aws.outputs.promote_function);
    note("promote", invoke(promote, "{}").await);
    note("approve", invoke(&aws.outputs.approve_function, "{}").await);
    note("wake the gate", invoke(intake, r#"{"Event": "s3:TestEvent"}"#).await);
    let update = who.lambda().update_function_code().function_name(intake).s3_bucket(bucket).s3_key("no such code");
    note("replace the gate", got_past(&update.send().await));
    let start = aws_sdk_sfn::Client::new(&who.config).start_execution();
    let start = start.state_machine_arn(&aws.outputs.promotion_state_machine).input("not JSON");
    note("start the state machine", got_past(&start.send().await));
    let receive = aws_sdk_sqs::Client::new(&who.config).receive_message();
    let receive = receive.queue_url(&aws.outputs.dead_letter_queue_url).visibility_timeout(0);
    note("take dead letters", got_past(&receive.send().await));
    let logs = aws_sdk_cloudwatchlogs::Client::new(&who.config).filter_log_events();
    let logs = logs.log_group_name(format!("/aws/lambda/{intake}")).filter_pattern("\"nothing\"");
    note("read logs", got_past(&logs.send().await));
    works.extend(what_works_on_records(aws, who, commit).await);
    works.extend(what_can_be_signed(aws, who).await);
    works
}

/// Tries every kind of record; gives what wasn't denied.
async fn what_works_on_records(aws: &Instance, who: &Caller, commit: &Commit) -> BTreeSet<&'static str> {
    let mut works = BTreeSet::new();
    let mut note = |what, got_past| {
        if got_past {
            works.insert(what);
        }
    };
    let s3 = &who.s3;
    let records = &aws.outputs.records_bucket;
    let write = async |key: &RecordKey| {
        let put = s3.put_object().bucket(records).key(key.to_string()).body(b"{}".to_vec().into());
        got_past(&put.checksum_sha256(Sha256::of(b"{}").to_base64()).send().await)
    };
    let read = async |key: &RecordKey| got_past(&s3.get_object().bucket(records).key(key.to_string()).send().await);
    // Another commit's, so that a write that works harms nothing.
    let other = Id { repo: format!("{}-2", commit.id.repo).parse().unwrap(), sha: commit.id.sha.clone() };
    let (stage, module) = ("e2e".parse().unwrap(), "MOD-012".parse().unwrap());
    let promotion = RecordKey::Promotion(stage, other.repo.clone(), "01J0000000000000000000000A".parse().unwrap());
    let RecordKey::Promotion(stage, repo, _) = &promotion else { unreachable!() };
    let verdict = RecordKey::Verdict(commit.id.clone());
    note("read verdicts", read(&verdict).await);
    note("read the configuration", read(&RecordKey::StagesConfig).await);
    note("write verdicts", write(&RecordKey::Verdict(other.clone())).await);
    note("write Built handoffs", write(&RecordKey::BuiltHandoff(other.clone(), module)).await);
    note("write inspections", write(&RecordKey::Inspections(1, other.clone())).await);
    note("write what was Built last", write(&RecordKey::LastBuilt(other.repo.clone(), Sha256::of(b"main"))).await);
    note("revoke", write(&RecordKey::Revocation(other.clone())).await);
    let deployed = RecordKey::DeployedHandoff(other.clone(), "MOD-012".parse().unwrap());
    note("write Deployed handoffs", write(&deployed).await);
    note("open promotions", write(&promotion).await);
    note("lock stages", write(&RecordKey::Lock(stage.clone(), repo.clone())).await);
    note("point stages", write(&RecordKey::Stage(stage.clone(), repo.clone())).await);
    let configure = s3.put_object().bucket(records).key("config/other.json").body(b"{}".to_vec().into());
    note("configure", got_past(&configure.checksum_sha256(Sha256::of(b"{}").to_base64()).send().await));
    let (of_stage, of_gate) = (Chain { stage: stage.clone(), repo: repo.clone() }, Chain::of_gate(repo.clone()));
    note("attest commits", write(&RecordKey::BuiltAttestation(other.clone(), Form::Dsse)).await);
    note("index digests", write(&RecordKey::DigestIndex(Sha256::of(b"other"), other.clone())).await);
    note("write the gate's ledger", write(&RecordKey::LedgerEntry(of_gate, 1)).await);
    note("write a stage's ledger", write(&RecordKey::LedgerEntry(of_stage, 1)).await);
    note("write drift", write(&RecordKey::Drift(stage.clone(), repo.clone())).await);
    note("write approvals", write(&RecordKey::Approval(stage.clone(), other.clone(), Sha256::of(b"jane"))).await);
    let delete = s3.delete_object().bucket(records).key(verdict.to_string());
    note("delete records", got_past(&delete.send().await));
    let unlock = ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Governance).build();
    let unlock = s3.put_object_retention().bucket(records).key(verdict.to_string()).retention(unlock);
    note("unlock records", got_past(&unlock.bypass_governance_retention(true).send().await));
    works
}

/// Tries to sign as the gate does, and as promotions do.
async fn what_can_be_signed(aws: &Instance, who: &Caller) -> BTreeSet<&'static str> {
    let kms = aws_sdk_kms::Client::new(&who.config);
    let keys = [
        ("sign for the gate", &aws.outputs.signing_key_arn),
        ("sign for promotions", &aws.outputs.promotion_signing_key_arn),
        ("sign approvals", &aws.outputs.approval_signing_key_arn),
    ];
    let mut works = BTreeSet::new();
    for (what, key) in keys {
        let sign = kms.sign().key_id(key).message(aws_sdk_kms::primitives::Blob::new([0; 32]));
        let sign = sign.message_type(MessageType::Digest).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        if got_past(&sign.send().await) {
            works.insert(what);
        }
    }
    works
}

/// Lets somebody try everything on a registered commit, and holds what works against `expected`.
async fn check(name: &str, who: impl AsyncFnOnce(&Instance) -> Caller, expected: &[&'static str]) {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, name));
    commit.put_artefacts(&ci).await;
    commit.put_manifest(&ci, &commit.before_integration()).await;
    aws.becomes(&commit, Outcome::Registered, &[]).await;
    let who = who(&aws).await;
    let works = what_works(&aws, &who, &commit).await;
    assert_eq!(works, expected.iter().copied().collect(), "{name}");
    // Whatever worked, nothing is passed by it.
    let passed = aws.seen(&commit).await.passed;
    let manifest = ArtefactPath::Manifest.to_string();
    let others = passed.iter().filter(|(path, _)| **path != manifest);
    assert!(others.clone().count() > 0 && others.clone().all(|(_, it)| it.as_deref() != Some("true")), "{passed:?}");
}

#[tokio::test]
async fn ci_uploads_and_asks_and_reads_what_became_of_it() {
    let works = [
        "read artefacts",
        "read tags",
        "upload artefacts",
        "fail an artefact",
        "ask for the decision",
        "pull the brake",
        "read verdicts",
    ];
    check("ci", async |aws| aws.ci().await, &works).await;
}

#[tokio::test]
async fn the_promoter_promotes_and_revokes_and_changes_no_artefact() {
    let works = [
        "read artefacts",
        "read tags",
        "pull the brake",
        "read verdicts",
        "read the configuration",
        "revoke",
        "promote",
    ];
    check("promoter", async |aws| aws.promoter().await, &works).await;
}

#[tokio::test]
async fn an_approver_approves_and_does_nothing_else() {
    let works = ["read verdicts", "read the configuration", "approve"];
    check("approver", async |aws| aws.approver("bob@bank.example").await, &works).await;
}

#[tokio::test]
async fn the_auditor_reads_everything_and_changes_nothing() {
    let works = ["read artefacts", "read tags", "read verdicts", "read the configuration", "read logs"];
    check("auditor", async |aws| aws.auditor().await, &works).await;
}

#[tokio::test]
async fn the_gates_functions_judge_and_tag_and_neither_upload_nor_promote() {
    let works = [
        "read artefacts",
        "read tags",
        "pass an artefact",
        "fail an artefact",
        "set the gate's own tag",
        "ask for the decision",
        "pull the brake",
        "read verdicts",
        "read the configuration",
        "write verdicts",
        "write Built handoffs",
        "write inspections",
        "write what was Built last",
        "revoke",
        "write Deployed handoffs",
        "attest commits",
        "index digests",
        "write the gate's ledger",
        "sign for the gate",
    ];
    check("intake", async |aws| aws.role_of(&aws.outputs.intake_function).await, &works).await;
}

#[tokio::test]
async fn promote_opens_promotions_and_applies_nothing_itself() {
    let works = [
        "read artefacts",
        "read tags",
        "read verdicts",
        "read the configuration",
        "open promotions",
        "lock stages",
        "start the state machine",
        "write a stage's ledger",
        "sign for promotions",
        "point stages", // at what a promotion that died had done
    ];
    check("promote", async |aws| aws.role_of(&aws.outputs.promote_function).await, &works).await;
}

#[tokio::test]
async fn the_steps_pass_nothing_and_write_no_verdict() {
    let step = async |aws: &Instance, step: &str| {
        let stack = aws.outputs.promote_function.strip_suffix("-promote").unwrap();
        aws.role_of(&format!("{stack}-{step}")).await
    };
    check("apply-stack", async |aws| step(aws, "apply-stack").await, &["read artefacts"]).await;
    check("deploy-function", async |aws| step(aws, "deploy-function").await, &["read artefacts"]).await;
    // Of artefacts it may read migrations and snapshots only; databases' secrets are tried in infra/test_access.py.
    check("migrate-database", async |aws| step(aws, "migrate-database").await, &[]).await;
    check("smoke-test", async |aws| step(aws, "smoke-test").await, &[]).await;
    // Of records it writes what runs came to, and nothing else of promotions.
    check("judge-run", async |aws| step(aws, "judge-run").await, &[]).await;
    // The witness reads the ledger and nothing else, and writes in another account.
    check("witness", async |aws| step(aws, "witness").await, &[]).await;
    // The portal is no step, and may do no more than read.
    let stored = ["read artefacts", "read verdicts", "read the configuration"];
    check("portal", async |aws| step(aws, "portal").await, &stored).await;
    let watch = [
        "read tags",
        "read verdicts",
        "read the configuration",
        "write a stage's ledger",
        "write drift",
        "sign for promotions",
    ];
    check("watch-drift", async |aws| step(aws, "watch-drift").await, &watch).await;
    let approvals = ["read verdicts", "read the configuration", "write approvals", "sign approvals"];
    check("approve", async |aws| step(aws, "approve").await, &approvals).await;
    let records = [
        "read verdicts",
        "read the configuration",
        "write Deployed handoffs",
        "open promotions",
        "lock stages",
        "point stages",
        "write a stage's ledger",
        "sign for promotions",
    ];
    check("record-promotion", async |aws| step(aws, "record-promotion").await, &records).await;
}
