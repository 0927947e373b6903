//! Verifying over the memory store: each refusal, and how many round trips an answer takes.

use std::{sync::LazyLock, time::Duration};

use futures_util::future;
use gatekeeper_gate::{
    attestation::TestResult,
    converge::{Gate, NoVerifier},
    judgement::INTEGRATION_PASSED,
};
use gatekeeper_model::{
    identity::Identity,
    ids::{Chain, PromotionId, StageName},
    store_key::{ArtefactPath, Form, PromotionStatement},
    telemetry::{Logger, wall_clock},
    verdict::{Outcome, Revocation, Verdict},
};
use gatekeeper_proof::{
    Digest, LocalSigner, Statement, ledger,
    ledger::{Event, Kind, RecordDigest},
};
use gatekeeper_store::{Precondition, WriteStore as _, memory::Memory};
use serde_json::{Value, json};

use super::*;
use crate::{
    approval::{Approval, SignedApproval},
    attestation::VerificationSummary,
    history::Completed,
    stage::SchemaParity,
};

#[path = "verify_forgery_tests.rs"]
mod forgery;
#[path = "verify_witness_tests.rs"]
mod witness;

/// The gate's key.
static SIGNER: LazyLock<LocalSigner> = LazyLock::new(|| LocalSigner::from_seed(1));
const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

/// A commit that is Built, by the gate itself, and a stage to promote it to.
struct World {
    artefacts: Memory,
    records: Memory,
    /// The witness outside, where there is one.
    witness: Option<Memory>,
    requester: Requester,
}

fn keys() -> PublicKeys {
    let key = |seed| LocalSigner::from_seed(seed).key();
    PublicKeys::fixed(SIGNER.key(), key(2), Some(key(3)))
}

fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
}

fn request() -> PromotionRequest {
    PromotionRequest {
        repo: commit().repo,
        commit_sha: Some(commit().sha),
        stage: "uat".parse().unwrap(),
        requested_by: "jane@bank.example".to_owned(),
        reason: "release 2026-05".to_owned(),
        dry_run: false,
        changes: false,
        rollback: false,
        accept_schema_difference: false,
        accept_replacement: std::collections::BTreeSet::new(),
        lease: false,
        break_glass: false,
        preview: None,
        identity_proof: None,
    }
}

fn home() -> Home {
    let stage_boundary_arn = "arn:aws:iam::111122223333:policy/gatekeeper/gatekeeper-stage-boundary".to_owned();
    Home { artefact_bucket: "artefacts".to_owned(), stage_boundary_arn, is_shared: false }
}

fn template(parameters: &Value) -> Value {
    json!({
        "Parameters": parameters,
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}}}
    })
}

impl World {
    fn new() -> Self {
        Self { artefacts: Memory::default(), records: Memory::default(), witness: None, requester: Requester::Unnamed }
    }

    async fn built(reports: usize, change: impl FnOnce(&mut Value)) -> Self {
        let world = Self::new();
        let stage = json!({"schema_version": 1, "stages": {
            "uat": {"parameters": {"LogLevel": "info"}},
            "prod": {"parameters": {"LogLevel": "info"}, "requires": "deployed:uat", "approvals": 1}
        }});
        world.config(&stage.to_string()).await;
        world.upload(reports, change).await;
        world
    }

    async fn config(&self, text: &str) {
        let key = RecordKey::StagesConfig.to_string();
        self.records.put(&key, text.as_bytes(), "application/json", &Precondition::Absent).await.unwrap();
    }

    /// Uploads a whole commit and lets the gate judge it.
    async fn upload(&self, reports: usize, change: impl FnOnce(&mut Value)) {
        let prefix = commit().prefix();
        let template = template(&json!({"LogLevel": {"Type": "String"}, "Stage": {"Type": "String"}})).to_string();
        let path = "modules/MOD-012/cloudformation/payments-api.json";
        self.artefacts.upload(&format!("{prefix}{path}"), template.as_bytes(), &[]);
        let names: Vec<_> = (0..reports).map(|index| format!("report-{index}.xml")).collect();
        for name in &names {
            self.artefacts.upload(&format!("{prefix}reports/{name}"), name.as_bytes(), &[]);
        }
        let reports: Vec<_> = names
            .iter()
            .map(|name| {
                let sha256 = Sha256::of(name.as_bytes());
                json!({"suite": "lint", "format": "text", "file": name, "sha256": sha256, "size": name.len()})
            })
            .collect();
        let mut manifest = json!({
            "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main",
            "timestamp": "2026-05-02T03:04:05Z",
            "modules": [{"id": "MOD-012", "stacks": [
                {"name": "payments-api", "sha256": Sha256::of(template.as_bytes()), "size": template.len()}
            ]}],
            "reports": reports,
            "tests": {
                "typecheck": {"errors": 0},
                "unit": {"passed": 2, "failed": 0, "line_coverage": 90, "function_coverage": 90},
                "policy": {"passed": 1, "failed": 0, "policies_satisfied": ["POL-004"]},
                "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true}
            },
            "deploy": {"stage": "dev", "succeeded": true}
        });
        change(&mut manifest);
        self.artefacts.upload(&format!("{prefix}build-manifest.json"), manifest.to_string().as_bytes(), &[]);
        self.drain().await;
    }

    /// The same with another template.
    async fn with_template(template: &Value) -> Self {
        let world = Self::built(1, |_| {}).await;
        let (prefix, template) = (commit().prefix(), template.to_string());
        world.artefacts.upload(
            &format!("{prefix}modules/MOD-012/cloudformation/payments-api.json"),
            template.as_bytes(),
            &[],
        );
        let key = format!("{prefix}build-manifest.json");
        let mut manifest: Value = serde_json::from_slice(&world.artefacts.bytes_of(&key).unwrap()).unwrap();
        let stack = &mut manifest["modules"][0]["stacks"][0];
        (stack["sha256"], stack["size"]) = (json!(Sha256::of(template.as_bytes())), json!(template.len()));
        world.artefacts.upload(&key, manifest.to_string().as_bytes(), &[]);
        world.drain().await;
        world
    }

    async fn drain(&self) {
        loop {
            let events = self.artefacts.take_events();
            if events.is_empty() {
                return;
            }
            let gate = Gate {
                artefacts: &self.artefacts,
                records: &self.records,
                log: Logger::silent(),
                clock: wall_clock,
                scratch: std::env::temp_dir(),
                signer: &*SIGNER,
                verifier: &NoVerifier,
            };
            for event in &events {
                gate.settle(event).await.unwrap();
            }
        }
    }

    async fn verify(&self, request: &PromotionRequest) -> Answer {
        let keys = keys();
        let (keys, requester) = (future::ready(Ok(keys)), future::ready(Ok(self.requester.clone())));
        let stores = Stores { artefacts: &self.artefacts, records: &self.records };
        let asked = Asked { request, home: &home(), now: wall_clock() };
        verify(stores, self.witness.as_ref(), asked, keys, requester).await.unwrap()
    }

    #[track_caller]
    fn assert_refused(answer: Answer, codes: &[Code]) {
        let reasons = answer.unwrap_err();
        let mut actual: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
        actual.dedup();
        assert_eq!(actual, codes, "{reasons:#?}");
    }

    /// That a commit was verified for a stage on the attestation that is stored.
    async fn summary(&self, sha: &str, stage: &StageName) -> Statement<VerificationSummary> {
        let key = RecordKey::BuiltAttestation(commit(), Form::Dsse).to_string();
        let built = self.records.get(&key, None, 1_000_000).await.unwrap().unwrap();
        summary(sha, stage, Sha256::of(&built.bytes))
    }

    async fn manifest_version(&self) -> VersionId {
        let verdict = record::read::<Verdict>(&self.records, &RecordKey::Verdict(commit())).await.unwrap().unwrap();
        verdict.record.manifest_version_id.unwrap()
    }

    async fn approved(&self, person: &str) {
        let arn = format!("arn:aws:sts::111122223333:assumed-role/approver/{person}");
        let approval = Approval {
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            stage: "prod".parse().unwrap(),
            manifest_version_id: self.manifest_version().await,
            approved_by: Identity::of(&arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap(),
            approved_at: wall_clock(),
            reason: "looked at the change".to_owned(),
            break_glass: false,
            plan_sha256: None,
            withdrawn: None,
        };
        let key = Approval::key(&approval.stage, &commit(), &approval.approved_by.person);
        let signed = SignedApproval::sign(approval, &LocalSigner::from_seed(3)).await.unwrap();
        record::write(&self.records, &key, &signed, &Precondition::Absent).await.unwrap();
    }

    async fn ran(&self, sha: &str, rollback: bool) {
        let key = RecordKey::Stage(request().stage, commit().repo);
        let before = record::read::<StageState>(&self.records, &key).await.unwrap();
        let precondition = Stored::precondition(before.as_ref());
        let count = before.as_ref().map_or(0, |stored| stored.record.history.len());
        let completed = Completed {
            commit_sha: sha.parse().unwrap(),
            promotion_id: format!("{count:026}").parse().unwrap(),
            manifest_version_id: Some(self.manifest_version().await),
            completed_at: wall_clock(),
            rollback,
        };
        let (stage, repo, id) = (request().stage, commit().repo, completed.promotion_id.clone());
        let state = StageState::after(before.map(|it| it.record), &stage, &repo, completed);
        record::write(&self.records, &key, &state, &precondition).await.unwrap();
        self.enter(&state).await;
        let signed = self.summary(sha, &stage).await.sign(&LocalSigner::from_seed(2)).await.unwrap();
        self.records.upload(&summary_key(id), &signed.dsse, &[]);
    }
}

impl World {
    /// Signs what the stage runs, as the promotion that brought it does.
    async fn enter(&self, state: &StageState) {
        let chain = Chain { stage: state.stage.clone(), repo: state.repo.clone() };
        let key = RecordKey::Stage(state.stage.clone(), state.repo.clone()).to_string();
        let stage_record = Some(RecordDigest { key, version_id: None, sha256: record::digest(state).unwrap() });
        let event =
            Event { stage_record, ..Event::bare(Kind::Promotion, format!("{}", state.promotion_id), "succeeded") };
        let (signer, now) = (LocalSigner::from_seed(2), wall_clock());
        ledger::append(&self.records, &signer, &chain, &event, None, now).await.unwrap();
    }
}

/// That a commit was verified for a stage, on the attestation with the SHA-256 `built`.
fn summary(sha: &str, stage: &StageName, built: Sha256) -> Statement<VerificationSummary> {
    let predicate = json!({
        "verifier": {"id": "https://artefact-gatekeeper.example/promote"}, "timeVerified": "2026-05-02T03:04:05Z",
        "resourceUri": format!("https://artefact-gatekeeper.example/stages/{stage}/bank-payments"),
        "policy": {"uri": "config/stages.json"},
        "inputAttestations": [{"uri": "built", "digest": {"sha256": built}}], "verificationResult": "PASSED",
        "verifiedLevels": [], "slsaVersion": "1.0"
    });
    let digest = Digest::GitCommit(sha.parse().unwrap());
    let subject = gatekeeper_proof::Subject { name: "bank-payments".to_owned(), digest };
    Statement::new(vec![subject], serde_json::from_value(predicate).unwrap())
}

fn summary_key(promotion_id: PromotionId) -> String {
    let (stage, repo) = (request().stage, commit().repo);
    RecordKey::PromotionAttestation(stage, repo, promotion_id, PromotionStatement::VerificationSummary, Form::Dsse)
        .to_string()
}

#[tokio::test]
async fn a_built_commit_is_planned_with_everything_pinned() {
    let world = World::built(1, |_| {}).await;
    let verified = world.verify(&request()).await.unwrap();
    let [stack] = verified.plan.stacks.as_slice() else { panic!("{:?}", verified.plan) };
    assert_eq!(stack.stack_name.as_str(), "bank-payments-uat-payments-api");
    assert_eq!(
        world.artefacts.head(&stack.template.key, None).await.unwrap().unwrap().version_id,
        stack.template.version_id
    );
    insta::assert_json_snapshot!(stack.parameters, @r#"
    {
      "LogLevel": "info",
      "Stage": "uat"
    }
    "#);
    assert!(verified.way_back.is_none());
}

#[tokio::test]
async fn what_is_not_built_is_refused_with_the_verdicts_own_reasons() {
    let world = World::built(1, |manifest| manifest["tests"]["integration"]["skipped"] = json!(2)).await;
    World::assert_refused(world.verify(&request()).await, &[Code::IntegrationSkipped, Code::NotBuilt]);
    let unknown = PromotionRequest { commit_sha: Some("0".repeat(40).parse().unwrap()), ..request() };
    World::assert_refused(world.verify(&unknown).await, &[Code::NotBuilt]);
}

#[tokio::test]
async fn a_tag_alone_promotes_nothing_and_a_missing_one_refuses() {
    let world = World::built(1, |_| {}).await;
    let report = format!("{}reports/report-0.xml", commit().prefix());
    world.artefacts.tag(&report, &[], "mallory");
    World::assert_refused(world.verify(&request()).await, &[Code::TagNotTrue]);
    let unjudged = World::built(1, |manifest| manifest["tests"]["unit"]["failed"] = json!(1)).await;
    for key in unjudged.artefacts.keys() {
        unjudged.artefacts.tag(&key, &[("integration-passed", "true")], "mallory");
    }
    World::assert_refused(unjudged.verify(&request()).await, &[Code::UnitFailed, Code::NotBuilt]);
}

#[tokio::test]
async fn what_changed_since_the_verdict_is_refused_before_the_gate_has_even_looked() {
    let world = World::built(1, |_| {}).await;
    let report = format!("{}reports/report-0.xml", commit().prefix());
    world.artefacts.upload(&report, b"other", &[("integration-passed", "true")]);
    World::assert_refused(world.verify(&request()).await, &[Code::VerdictStale]);
    world.artefacts.delete(&report);
    World::assert_refused(world.verify(&request()).await, &[Code::VerdictStale]);
    let world = World::built(1, |_| {}).await;
    let extra = format!("{}modules/MOD-012/functions/backdoor.zip", commit().prefix());
    world.artefacts.upload(&extra, b"PK", &[("integration-passed", "true")]);
    World::assert_refused(world.verify(&request()).await, &[Code::VerdictStale]);
    let world = World::built(1, |_| {}).await;
    let manifest = format!("{}build-manifest.json", commit().prefix());
    let bytes = world.artefacts.bytes_of(&manifest).unwrap();
    world.artefacts.upload(&manifest, &bytes, &[("integration-passed", "true")]);
    World::assert_refused(world.verify(&request()).await, &[Code::VerdictStale]);
}

#[tokio::test]
async fn a_revocation_that_cannot_be_read_refuses_too() {
    for unreadable in ["{}", "", "not JSON"] {
        let world = World::built(1, |_| {}).await;
        world.records.upload(&RecordKey::Revocation(commit()).to_string(), unreadable.as_bytes(), &[]);
        let reasons = world.verify(&request()).await.unwrap_err();
        assert_eq!(reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::Revoked]);
        assert!(reasons[0].message.contains("have it written anew with `gatekeeper revoke`"), "{reasons:?}");
    }
}

#[tokio::test]
async fn a_role_that_nothing_binds_is_promoted_to_no_stage_of_the_gatekeepers_account() {
    let role = |boundary: Value| {
        let mut template = template(&json!({"StageBoundaryArn": {"Type": "String"}}));
        template["Resources"]["AppRole"] =
            json!({"Type": "AWS::IAM::Role", "Properties": {"PermissionsBoundary": boundary}});
        template
    };
    for (boundary, refused) in [(json!({"Ref": "AWS::NoValue"}), true), (json!({"Ref": "StageBoundaryArn"}), false)] {
        let world = World::with_template(&role(boundary)).await;
        match (world.verify(&request()).await, refused) {
            (Ok(verified), false) => {
                assert_eq!(verified.plan.stacks[0].parameters["StageBoundaryArn"], home().stage_boundary_arn);
            }
            (answer, _) => {
                assert!(refused, "{answer:?}");
                World::assert_refused(answer, &[Code::BoundaryMissing]);
            }
        }
    }
}

#[tokio::test]
async fn a_revocation_refuses_before_the_gate_has_even_looked() {
    let world = World::built(1, |_| {}).await;
    let manifest = format!("{}build-manifest.json", commit().prefix());
    let revocation = Revocation {
        schema_version: 1,
        repo: commit().repo,
        commit_sha: commit().sha,
        manifest_version_id: world.artefacts.head(&manifest, None).await.unwrap().unwrap().version_id,
        revoked_by: "jane@bank.example".to_owned(),
        revoked_at: wall_clock(),
        reason: "found a fault".to_owned(),
    };
    let key = RecordKey::Revocation(commit());
    record::write(&world.records, &key, &revocation, &Precondition::Absent).await.unwrap();
    World::assert_refused(world.verify(&request()).await, &[Code::Revoked]);
}

#[tokio::test]
async fn a_stage_that_is_unknown_or_badly_configured_refuses() {
    let world = World::built(1, |_| {}).await;
    let other = PromotionRequest { stage: "sit".parse().unwrap(), ..request() };
    World::assert_refused(world.verify(&other).await, &[Code::StageUnknown]);
    world.records.delete(&RecordKey::StagesConfig.to_string());
    World::assert_refused(world.verify(&request()).await, &[Code::StagesConfigInvalid]);
    world.config("{}").await;
    World::assert_refused(world.verify(&request()).await, &[Code::StagesConfigInvalid]);
}

#[tokio::test]
async fn a_parameter_without_a_value_and_a_check_without_its_output_refuse() {
    let world = World::built(1, |_| {}).await;
    world.records.delete(&RecordKey::StagesConfig.to_string());
    let smoke = json!([{"repo": "bank-payments", "stack": "payments-api", "output": "Nothing"},
                       {"repo": "bank-kyc", "stack": "payments-api", "output": "Nothing"}]);
    world.config(&json!({"schema_version": 1, "stages": {"uat": {"smoke": smoke}}}).to_string()).await;
    World::assert_refused(world.verify(&request()).await, &[Code::ParameterMissing, Code::SmokeUnknownTarget]);
}

#[tokio::test]
async fn what_no_step_can_apply_is_refused_rather_than_left_out() {
    let world = World::built(1, |_| {}).await;
    world.artefacts.delete(&format!("{}modules/MOD-012/cloudformation/payments-api.json", commit().prefix()));
    world.upload(1, |_| {}).await;
    world.artefacts.delete(&format!("{}modules/MOD-012/cloudformation/payments-api.json", commit().prefix()));
    let manifest = format!("{}build-manifest.json", commit().prefix());
    let mut value: Value = serde_json::from_slice(&world.artefacts.bytes_of(&manifest).unwrap()).unwrap();
    value["modules"] = json!([]);
    world.artefacts.upload(&manifest, value.to_string().as_bytes(), &[]);
    world.drain().await;
    World::assert_refused(world.verify(&request()).await, &[Code::NothingToPromote]);
}

/// A commit with dbt models, for a stage with this beside its parameters.
async fn with_models(stage: &Value) -> World {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../readers/src/dbt/fixtures/1.11/build.json");
    let both: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
    let world = World::new();
    let mut told = Vec::new();
    for (name, document) in [("manifest.json", "manifest"), ("run_results.json", "run_results")] {
        let text = both[document].to_string();
        world.artefacts.upload(&format!("{}modules/MOD-301/dbt/{name}", commit().prefix()), text.as_bytes(), &[]);
        told.push(json!({"sha256": Sha256::of(text.as_bytes()), "size": text.len()}));
    }
    let mut dbt = told[0].clone();
    dbt["run_results"] = told[1].clone();
    let mut uat = stage.clone();
    uat["parameters"] = json!({"LogLevel": "info"});
    world.config(&json!({"schema_version": 1, "stages": {"uat": uat}}).to_string()).await;
    world
        .upload(0, |manifest| {
            manifest["modules"].as_array_mut().unwrap().push(json!({"id": "MOD-301", "dbt": dbt}));
            manifest["dbt_build"] = json!({"succeeded": true});
        })
        .await;
    world
}

#[tokio::test]
async fn a_part_that_a_runner_carries_out_needs_a_place_and_a_lease() {
    let nowhere = with_models(&json!({})).await;
    World::assert_refused(nowhere.verify(&request()).await, &[Code::RunNotConfigured]);

    let target = json!({"target": "uat", "adapter": "snowflake", "database": "RISK_UAT"});
    let world = with_models(&json!({"dbt": {"bank-payments": target}, "lease_minutes": 90})).await;
    World::assert_refused(world.verify(&request()).await, &[Code::LeaseNotAsked]);
    let dry = PromotionRequest { dry_run: true, ..request() };
    assert!(world.verify(&dry).await.is_ok(), "a dry run starts nothing that anybody would have to end");
    let verified = world.verify(&PromotionRequest { lease: true, ..request() }).await.unwrap();
    assert_eq!(verified.stage.lease_minutes, 90);
    let names: Vec<_> = verified.plan.runs.iter().map(|run| run.name().to_string()).collect();
    assert_eq!(names, ["dbt-MOD-301"]);
    let modules: Vec<_> = verified.plan.modules().into_iter().map(ToString::to_string).collect();
    assert_eq!(modules, ["MOD-012", "MOD-301"]);
    let pinned: Vec<_> = verified.plan.pinned().map(|it| it.key.rsplit('/').next().unwrap()).collect();
    assert_eq!(pinned, ["payments-api.json", "manifest.json"], "what the stage's build is held against");
}

const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n\n";

/// A commit with a migration and a snapshot, for a stage with this entry for its database.
async fn with_a_database(databases: Value) -> World {
    let world = World::built(0, |_| {}).await;
    let stage = json!({"parameters": {"LogLevel": "info"}, "databases": databases});
    world.records.delete(&RecordKey::StagesConfig.to_string());
    world.config(&json!({"schema_version": 1, "stages": {"uat": stage}}).to_string()).await;
    let schema = format!("{}modules/MOD-012/schema/payments", commit().prefix());
    world.artefacts.upload(&format!("{schema}/migrations/V1__create_ledger.sql"), b"SELECT 1;", &[]);
    world.artefacts.upload(&format!("{schema}-schema.sql"), DUMP.as_bytes(), &[]);
    let of = |bytes: &[u8]| (Sha256::of(bytes), bytes.len());
    let (migration, snapshot) = (of(b"SELECT 1;"), of(DUMP.as_bytes()));
    world
        .upload(0, |manifest| {
            manifest["modules"][0]["migrations"] = json!([{"database": "payments", "file": "V1__create_ledger.sql",
                                                           "sha256": migration.0, "size": migration.1}]);
            manifest["modules"][0]["schemas"] =
                json!([{"database": "payments", "sha256": snapshot.0, "size": snapshot.1}]);
            manifest["flyway"] =
                json!({"payments": {"validated": true, "checksums": {"V1__create_ledger.sql": 78_787_420}}});
        })
        .await;
    world
}

#[tokio::test]
async fn a_database_is_planned_with_its_migrations_its_snapshot_and_the_stages_rules() {
    let entry = json!({"secret_arn": "arn:secret", "schema_parity": "reported", "placeholders": {"tenant": "nz"}});
    let world = with_a_database(json!({"payments": entry, "another": {"secret_arn": "arn:other"}})).await;
    let plan = world.verify(&request()).await.unwrap().plan;
    let [database] = plan.databases.as_slice() else { panic!("{plan:?}") };
    assert_eq!((database.secret_arn.as_str(), database.schema_parity), ("arn:secret", SchemaParity::Reported));
    assert_eq!(database.placeholders["tenant"], "nz");
    assert_eq!(database.checksums["V1__create_ledger.sql"], Some(78_787_420));
    assert_eq!(database.snapshot.sha256, Sha256::of(DUMP.as_bytes()));
    assert_eq!(plan.migrations[0].script.sha256, Sha256::of(b"SELECT 1;"));

    let world = with_a_database(json!({"another": {"secret_arn": "arn:other"}})).await;
    World::assert_refused(world.verify(&request()).await, &[Code::DatabaseNotConfigured]);

    // A snapshot alone asks nothing of a stage that does not have the database.
    let migration = format!("{}modules/MOD-012/schema/payments/migrations/V1__create_ledger.sql", commit().prefix());
    world.artefacts.delete(&migration);
    let manifest = format!("{}build-manifest.json", commit().prefix());
    let mut value: Value = serde_json::from_slice(&world.artefacts.bytes_of(&manifest).unwrap()).unwrap();
    value["modules"][0]["migrations"] = json!([]);
    value["flyway"]["payments"]["checksums"] = json!({});
    world.artefacts.upload(&manifest, value.to_string().as_bytes(), &[]);
    world.drain().await;
    assert_eq!(world.verify(&request()).await.unwrap().plan.databases, []);
}

#[tokio::test]
async fn a_rollback_needs_the_tested_schema_whatever_the_stage_says_unless_a_difference_is_accepted() {
    let world = with_a_database(json!({"payments": {"secret_arn": "arn:secret", "schema_parity": "reported"}})).await;
    world.ran(SHA, false).await;
    for (accept_schema_difference, parity) in [(false, SchemaParity::Required), (true, SchemaParity::Reported)] {
        let back = PromotionRequest { rollback: true, accept_schema_difference, ..request() };
        assert_eq!(world.verify(&back).await.unwrap().plan.databases[0].schema_parity, parity);
    }
}

/// A history that the last promotion recorded and that can't be read is an error: taken for none, an edited history would
/// pass.
#[tokio::test]
async fn a_recorded_history_that_cannot_be_read_is_not_none() {
    let world = World::built(1, |_| {}).await;
    world.ran(&"b".repeat(40), false).await;
    let id: PromotionId = "0".repeat(26).parse().unwrap();
    let report = |rows: Value| {
        json!({"subject": "payments", "status": "applied", "detail": "migrated", "started_at": "2026-05-02T03:04:05Z",
               "ended_at": "2026-05-02T03:04:06Z", "facts": {"history": rows}})
    };
    let record = |rows: Value| {
        json!({
            "schema_version": 1, "promotion_id": id, "repo": commit().repo, "commit_sha": "b".repeat(40),
            "stage": request().stage, "requested_by": "jane", "reason": "release", "rollback": false,
            "status": "succeeded", "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z",
            "ended_at": "2026-05-02T03:09:00Z", "verdict_version_id": "v", "manifest_version_id": "m1",
            "stages_config_version_id": "c", "role_arn": null, "stack_role_arn": null, "way_back": null, "live": [],
            "steps": [{"step": "migrate-database", "direction": "forward", "reports": [report(rows)]}],
            "plan": {"stacks": [], "functions": [], "migrations": [], "smoke": []},
        })
    };
    let key = RecordKey::Promotion(request().stage, commit().repo, id.clone()).to_string();
    let verified = async |rows: Value| {
        world.records.upload(&key, record(rows).to_string().as_bytes(), &[]);
        let keys = keys();
        let (keys, requester) = (future::ready(Ok(keys)), future::ready(Ok(Requester::Unnamed)));
        let stores = Stores { artefacts: &world.artefacts, records: &world.records };
        verify(stores, None, Asked { request: &request(), home: &home(), now: wall_clock() }, keys, requester).await
    };
    assert_eq!(verified(json!([])).await.unwrap().unwrap().history_before.len(), 1);
    for odd in [json!({}), json!("rows"), json!([{"installed_rank": "one"}]), json!(null)] {
        let error = verified(odd).await.unwrap_err().to_string();
        assert!(error.contains("tells of `payments` a fact `history` that can't be read"), "{error}");
    }
}

#[tokio::test]
async fn a_rollback_goes_to_what_was_promoted_before_and_nowhere_else() {
    let world = World::built(1, |_| {}).await;
    let back = PromotionRequest { rollback: true, commit_sha: None, ..request() };
    World::assert_refused(world.verify(&back).await, &[Code::NothingToRollBackTo]);
    let named = PromotionRequest { rollback: true, ..request() };
    World::assert_refused(world.verify(&named).await, &[Code::NeverPromoted]);
    world.ran(SHA, false).await;
    World::assert_refused(world.verify(&back).await, &[Code::NothingToRollBackTo]);
    world.ran(&"b".repeat(40), false).await;
    let verified = world.verify(&back).await.unwrap();
    assert_eq!(verified.commit, commit());
    assert!(verified.way_back.is_none(), "a rollback never rolls back a rollback");
    assert_eq!(world.verify(&named).await.unwrap().commit, commit());
}

#[tokio::test]
async fn a_rollback_brings_back_what_ran_and_not_what_was_uploaded_since_under_the_same_commit() {
    let world = World::built(1, |_| {}).await;
    world.ran(SHA, false).await;
    let back = PromotionRequest { rollback: true, ..request() };
    world.verify(&back).await.unwrap();
    // As whoever has CI's credentials can: other bytes, a manifest of them, and the gate says that they are Built.
    world.upload(2, |_| {}).await;
    World::assert_refused(world.verify(&back).await, &[Code::NeverPromoted]);
    // Once it came by the stage's rules, it may be gone back to.
    world.ran(SHA, false).await;
    world.verify(&back).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_later_stage_is_verified_by_its_rules_in_one_more_round_trip() {
    let mut world = World::built(1, |manifest| manifest["author"] = json!("ada@bank.example")).await;
    let to_prod = PromotionRequest { stage: "prod".parse().unwrap(), ..request() };
    let refused = [Code::RequiresNotMet, Code::ApprovalsMissing, Code::RequesterUnproven];
    World::assert_refused(world.verify(&to_prod).await, &refused);

    // A look tells what would be applied once that is done, and its digest is that of the start.
    let look = world.verify(&PromotionRequest { dry_run: true, ..to_prod.clone() }).await.unwrap();
    let not_yet: Vec<_> = look.not_yet.iter().map(|it| it.code).collect();
    assert_eq!((not_yet, look.plan.stacks.is_empty()), (refused.to_vec(), false));

    world.ran(SHA, false).await;
    world.approved("ada").await;
    world.approved("ben").await;
    let arn = "arn:aws:sts::111122223333:assumed-role/promoter/rita";
    let rita = Identity::of(arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap();
    world.requester = Requester::Proven(rita.clone());
    world.records.answer_after(Duration::from_millis(30));
    let started = tokio::time::Instant::now();
    let verified = world.verify(&to_prod).await.unwrap();
    assert_eq!(started.elapsed().as_millis() / 30, 3, "what the earlier stage ran, and then who signed that");
    assert_eq!(verified.ruling.requester, Some(rita));
    assert_eq!((verified.plan_sha256, &verified.not_yet), (look.plan_sha256, &vec![]));
    let [approval] = verified.ruling.approvals.as_slice() else { panic!("{:?}", verified.ruling) };
    let stored = world.records.get(&approval.record.key, None, 10_000).await.unwrap().unwrap();
    assert_eq!(approval.record.sha256, Sha256::of(&stored.bytes));
    assert_eq!((approval.person.as_str(), &approval.record.version_id), ("ben", &stored.version_id));
}

#[tokio::test(start_paused = true)]
async fn who_is_who_is_read_in_the_same_round_trip_and_pinned() {
    let mut world = World::built(1, |manifest| {
        manifest["authors"] = json!([{"name": "Ada", "email": "1+ada-l@users.noreply.github.com", "commits": 1}]);
    })
    .await;
    world.ran(SHA, false).await;
    world.approved("ada").await;
    let to_prod = PromotionRequest { stage: "prod".parse().unwrap(), ..request() };
    let arn = "arn:aws:sts::111122223333:assumed-role/promoter/rita";
    world.requester = Requester::Proven(Identity::of(arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap());
    World::assert_refused(world.verify(&to_prod).await, &[Code::AuthorUnknown]);

    let key = RecordKey::IdentitiesConfig.to_string();
    let document = br#"{"schema_version": 1, "aliases": {"ada": ["ada-l"]}}"#;
    world.records.put(&key, document, "application/json", &Precondition::Absent).await.unwrap();
    World::assert_refused(world.verify(&to_prod).await, &[Code::ApprovalsMissing]);
    world.approved("ben").await;
    world.records.answer_after(Duration::from_millis(30));
    let started = tokio::time::Instant::now();
    let verified = world.verify(&to_prod).await.unwrap();
    assert_eq!(started.elapsed().as_millis() / 30, 3, "as many as without the document");
    let pinned = verified.identities_config.unwrap();
    assert_eq!((pinned.key.as_str(), pinned.sha256), (key.as_str(), Sha256::of(document)));
    let told: Vec<_> = verified.ruling.not_counted.iter().map(|it| it.person.as_str()).collect();
    assert_eq!(told, ["ada"]);
}

#[tokio::test(start_paused = true)]
async fn verifying_forty_objects_takes_two_round_trips_and_two_reads_an_object() {
    let world = World::built(38, |_| {}).await;
    world.artefacts.answer_after(Duration::from_millis(30));
    world.records.answer_after(Duration::from_millis(30));
    let (before, _, bodies_before) = world.artefacts.counts();
    let started = tokio::time::Instant::now();
    world.verify(&request()).await.unwrap();
    assert_eq!(started.elapsed().as_millis() / 30, 2, "all first looks at once, then all objects at once");
    let (after, _, bodies_after) = world.artefacts.counts();
    assert_eq!(after - before, 1 + 1 + 2 * 40, "a listing, the manifest, and two reads an object");
    assert_eq!(bodies_after, bodies_before);
}
