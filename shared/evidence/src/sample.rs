//! For tests: a commit that the gate has judged and that was promoted to `uat`, all of it in memory and at fixed times.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
};

use gatekeeper_gate::converge::{Gate, NoVerifier};
use gatekeeper_model::{
    event::Event,
    finding::{Code, Finding},
    identity::Identity,
    ids::{Chain, Commit, Sha256, StageName},
    store_key::{ArtefactPath, Form, PromotionStatement, RecordKey},
    telemetry::Logger,
    verdict::Revocation,
};
use gatekeeper_promotion::{
    approval::{Approval, SignedApproval},
    attestation::{deployment, verification_summary},
    boundary::Home,
    brake::{SignedWord, Word as _},
    complete, entry,
    facts::{DatabaseFacts, FunctionFacts, SmokeFacts, StackFacts},
    record::{LiveFunction, PromotionRecord, SchemaComparison, Status, StepRecord},
    request::PromotionRequest,
    rules::Requester,
    step::{Direction, Report, ReportStatus},
    verify::{Asked, verify},
    waiver::{GivenProposal, ProposedWaiver, agreeing},
};
use gatekeeper_proof::{Authority, LocalSigner, PublicKeys, Signed, freshness, ledger};
use gatekeeper_readers::{
    flyway::checksum,
    flyway::history::HistoryRow,
    schema_snapshot::{Include, normal_form},
};
use gatekeeper_store::{Precondition, ReadStore as _, Stores, WriteStore as _, memory::Memory, record};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{
    collect::collect,
    exhibits::{Exhibits, Live},
    judge,
    model::{Evidence, Question},
};

/// The commit that is promoted.
pub const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
/// Its promotion.
pub const PROMOTION: &str = "01JT0000000000000000000001";
const MODULE: &str = "modules/MOD-012";

/// Two buckets and the keys.
#[derive(Debug)]
pub struct World {
    /// What CI wrote.
    pub artefacts: Memory,
    /// What the gatekeeper wrote.
    pub records: Memory,
    /// What the witness outside was given, where there is one.
    pub witness: Option<Memory>,
    /// The gate's key.
    pub gate: LocalSigner,
    /// The promotion key.
    pub promotion: LocalSigner,
    /// The key of `approve`.
    pub approval: LocalSigner,
}

/// So many seconds after the promotion started.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_777_692_600 + seconds).unwrap_or_default()
}

/// When the gate judges: before the promotion.
fn judging() -> Timestamp {
    at(-3600)
}

/// The commit.
#[must_use]
#[expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test support")]
pub fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
}

/// What is asked about it.
#[must_use]
#[expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test support")]
pub fn question() -> Question {
    Question { stage: "uat".parse().unwrap(), repo: commit().repo, at: None }
}

fn function(index: usize) -> String {
    if index == 0 { "authorise-payment".to_owned() } else { format!("settle-{index:03}") }
}

#[expect(clippy::unwrap_used, reason = "test support")]
fn bundle(word: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("index.js", SimpleFileOptions::default().unix_permissions(0o644)).unwrap();
    write!(writer, "exports.handler = async () => ({{statusCode: 200, body: '{word}'}});").unwrap();
    writer.finish().unwrap().into_inner()
}

fn template(functions: usize) -> Vec<u8> {
    let role = json!({"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]},
        "PermissionsBoundary": {"Ref": "StageBoundaryArn"}}});
    let mut resources = BTreeMap::from([("Role".to_owned(), role)]);
    for index in 0..functions {
        let key = format!("${{ArtefactPrefix}}/functions/{}.zip", function(index));
        let code = json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": key}});
        let properties = json!({"Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": code});
        resources.insert(format!("Fn{index}"), json!({"Type": "AWS::Lambda::Function", "Properties": properties}));
    }
    let parameters = json!({"ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}, "StageBoundaryArn": {"Type": "String"}});
    json!({"Parameters": parameters, "Resources": resources}).to_string().into_bytes()
}

#[expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc, reason = "test support")]
impl World {
    /// A commit that is promoted and that nobody has touched since.
    pub async fn promoted() -> Self {
        Self::with_functions(1).await
    }

    /// The same with so many functions.
    pub async fn with_functions(functions: usize) -> Self {
        let world = Self::empty();
        world.configure(|_| {}).await;
        world.upload(functions, |_| {});
        world.judge_all().await;
        world.promote(PROMOTION, false).await;
        world.refuse().await;
        world
    }

    /// A commit that somebody approved, with its plan, and that is promoted.
    pub async fn approved() -> Self {
        let world = Self::empty();
        world.configure(|_| {}).await;
        world.upload(1, |_| {});
        world.judge_all().await;
        let plan = world.record(PROMOTION, false).await.plan_digest();
        world.approve_plan("ann", question().stage, Some(plan)).await;
        world.promote(PROMOTION, false).await;
        world
    }

    /// A commit that is promoted in a freeze which two people have waived.
    pub async fn waived() -> Self {
        let world = Self::empty();
        let freeze =
            json!([{"from": "2026-05-01T00:00", "to": "2026-06-01T00:00", "time_zone": "UTC", "reason": "audit"}]);
        world.configure(|stage| stage["freeze"] = freeze).await;
        world.upload(1, |_| {});
        world.judge_all().await;
        world.waive("ann", "bob").await;
        world.promote(PROMOTION, false).await;
        world
    }

    /// Has two people waive the stage's freezes for a day.
    pub async fn waive(&self, proposed_by: &str, agreed_by: &str) {
        let identity = |role: &str, name: &str| {
            let arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/{name}");
            Identity::of(&arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap()
        };
        let Question { stage, repo, .. } = question();
        let word = ProposedWaiver {
            schema_version: 1,
            waiver_id: "01JT000000000000000000000W".parse().unwrap(),
            stage: stage.clone(),
            repo,
            commit_sha: None,
            code: Code::StageFrozen,
            until: at(86_400),
            proposed_by: identity("approver", proposed_by),
            proposed_at: at(-120),
            reason: "the regulator's fix must go out".to_owned(),
        };
        let (key, keys) = (word.key(), self.approval.keys());
        let signed = SignedWord::sign(word, &self.approval).await.unwrap();
        record::write(&self.records, &key, &signed, &Precondition::Absent).await.unwrap();
        let given = GivenProposal::read(&self.records, &key, &keys).await.unwrap().unwrap();
        let waiver = given.agreed(identity("promoter", agreed_by).person, at(-60));
        let (chain, event) = (Chain::of_holds(&stage), agreeing(&waiver, "looked at the fix"));
        ledger::append(&self.records, &self.promotion, &chain, &event, None, at(-60)).await.unwrap();
    }

    /// Has a person approve the commit, as it is stored, for a stage.
    pub async fn approve(&self, name: &str, stage: StageName) {
        self.approve_plan(name, stage, None).await;
    }

    /// Has a person approve it with this plan, or any.
    pub async fn approve_plan(&self, name: &str, stage: StageName, plan_sha256: Option<Sha256>) {
        let key = ArtefactPath::Manifest.of(&commit());
        let manifest = self.artefacts.head(&key, None).await.unwrap().unwrap();
        let arn = format!("arn:aws:sts::111122223333:assumed-role/approver/{name}");
        let approval = Approval {
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            stage,
            manifest_version_id: manifest.version_id,
            approved_by: Identity::of(&arn, "111122223333", "AROAEXAMPLE", "111122223333").unwrap(),
            approved_at: at(-60),
            reason: "looked at the change".to_owned(),
            break_glass: false,
            plan_sha256,
            withdrawn: None,
        };
        let key = Approval::key(&approval.stage, &commit(), &approval.approved_by.person);
        let signed = SignedApproval::sign(approval, &self.approval).await.unwrap();
        record::write(&self.records, &key, &signed, &Precondition::Absent).await.unwrap();
    }

    /// The public keys.
    #[must_use]
    pub fn keys(&self) -> PublicKeys {
        let (gate, promotion) = (self.gate.keys(), self.promotion.keys());
        PublicKeys { gate, promotion, approval: Some(self.approval.keys()), trust: None }
    }

    /// Reads what there is, the functions live as promoted.
    pub async fn exhibits(&self, question: Question) -> Exhibits {
        self.exhibits_with(question, Live::Seen).await
    }

    /// The same; `change` changes what is live.
    pub async fn exhibits_with(&self, question: Question, change: impl FnOnce(Vec<LiveFunction>) -> Live) -> Exhibits {
        let stores = Stores { artefacts: &self.artefacts, records: &self.records };
        let look = async |record: PromotionRecord| change(live(&record));
        collect(&stores, self.witness.as_ref(), question, Some(self.keys()), at(86_400), look).await
    }

    /// The evidence on what `uat` runs.
    pub async fn evidence(&self) -> Evidence {
        judge(&self.exhibits(question()).await)
    }

    /// The same, judged by a policy; `change` may change the manifest, and the stage's configuration.
    pub async fn judged_by(policy: &Value, change: impl FnOnce(&mut Value), stage: impl FnOnce(&mut Value)) -> Self {
        let world = Self::empty();
        let key = RecordKey::PolicyConfig.to_string();
        world
            .records
            .put(&key, policy.to_string().as_bytes(), "application/json", &Precondition::Absent)
            .await
            .unwrap();
        world.configure(stage).await;
        world.upload(1, change);
        world.judge_all().await;
        world.promote(PROMOTION, false).await;
        world
    }

    /// The same, with a template that names what it was synthesised for, and so does one that is nested in it.
    pub async fn synthesised() -> Self {
        let world = Self::empty();
        world.configure(|_| {}).await;
        let mut document: Value = serde_json::from_slice(&template(1)).unwrap();
        document["Resources"]["Settlements"] = json!({"Type": "AWS::SQS::Queue", "Properties": {
            "QueueName": "dev-bank-payments-settlements",
            "Tags": [{"Key": "sst:stage", "Value": "dev"}, {"Key": "owner/team~1", "Value": {"Fn::Sub": "${AWS::StackName}/111122223333"}}],
        }});
        let inner = json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dev-bank-payments-inner"}}}});
        let inner = inner.to_string();
        let digest = Sha256::of(inner.as_bytes());
        let bucket = "cdk-hnb659fds-assets-111122223333-eu-west-1";
        document["Resources"]["Inner"] = json!({"Type": "AWS::CloudFormation::Stack", "Properties": {
            "TemplateURL": {"Fn::Join": ["", ["https://s3.eu-west-1.", {"Ref": "AWS::URLSuffix"}, format!("/{bucket}/own/inner.json")]]},
        }});
        let template = document.to_string();
        let path = format!("{MODULE}/cloudformation/payments-api.json");
        world.put_artefact(&format!("{MODULE}/assets/{digest}.json"), inner.as_bytes());
        world.upload(1, |manifest| {
            manifest["modules"][0]["assets"] = json!([{
                "sha256": digest, "size": inner.len(), "kind": "template", "stack": "payments-api", "key": "own/inner.json",
            }]);
            manifest["synthesised_for"] = json!({
                "account": "111122223333", "region": "eu-west-1", "stage": "dev", "application": "bank-payments",
            });
            manifest["modules"][0]["stacks"][0] =
                json!({"name": "payments-api", "sha256": Sha256::of(template.as_bytes()), "size": template.len()});
        });
        world.put_artefact(&path, template.as_bytes());
        world.judge_all().await;
        world.promote(PROMOTION, false).await;
        world
    }

    fn empty() -> Self {
        Self {
            artefacts: Memory::default(),
            records: Memory::default(),
            witness: None,
            gate: LocalSigner::from_seed(1),
            promotion: LocalSigner::from_seed(2),
            approval: LocalSigner::from_seed(3),
        }
    }

    async fn configure(&self, change: impl FnOnce(&mut Value)) {
        let database = json!({"secret_arn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:uat"});
        let smoke = json!([{"function": "authorise-payment", "payload": {"ping": true}}]);
        let mut stage = json!({"databases": {"payments": database}, "smoke": smoke});
        change(&mut stage);
        let config = json!({"schema_version": 1, "stages": {"uat": stage}});
        let key = RecordKey::StagesConfig.to_string();
        self.records.put(&key, config.to_string().as_bytes(), "application/json", &Precondition::Absent).await.unwrap();
    }

    fn put_artefact(&self, path: &str, bytes: &[u8]) -> (Sha256, usize) {
        self.artefacts.upload(&format!("{}{path}", commit().prefix()), bytes, &[]);
        (Sha256::of(bytes), bytes.len())
    }

    fn upload(&self, functions: usize, change: impl FnOnce(&mut Value)) {
        let (mut bundles, mut deployed) = (Vec::new(), Vec::new());
        for index in 0..functions {
            let name = function(index);
            let (sha256, size) = self.put_artefact(&format!("{MODULE}/functions/{name}.zip"), &bundle(&name));
            let (stack, logical_id) = ("payments-api", format!("Fn{index}"));
            bundles
                .push(json!({"name": name, "sha256": sha256, "size": size, "stack": stack, "logical_id": logical_id}));
            deployed.push(json!({"function": name, "code_sha256": sha256}));
        }
        let stack = self.put_artefact(&format!("{MODULE}/cloudformation/payments-api.json"), &template(functions));
        let migration = b"CREATE TABLE ledger (id bigint);\n";
        let checksum = checksum::scan(migration.as_slice()).unwrap().unwrap().checksum;
        let migration = self.put_artefact(&format!("{MODULE}/schema/payments/migrations/V1__ledger.sql"), migration);
        let schema = format!("{MODULE}/schema/payments");
        let toml = b"[flyway]\nmixed = true\n";
        let configuration = (Sha256::of(toml), toml.len());
        let own = b"executeInTransaction=false\n";
        let script = self.put_artefact(&format!("{schema}/migrations/V1__ledger.sql.conf"), own);
        let snapshot = self.put_artefact(&format!("{MODULE}/schema/payments-schema.sql"), snapshot().as_bytes());
        let case = |name: &str| format!("<testcase classname=\"payments\" name=\"{name}\"/>");
        let cases = ["authorises", "declines", "settles"].map(case).concat();
        let report =
            format!("<testsuites><testsuite name=\"integration\" tests=\"3\">{cases}</testsuite></testsuites>\n");
        let report = self.put_artefact("reports/integration.xml", report.as_bytes());
        let mut manifest = json!({
            "schema_version": 1, "repo": commit().repo, "commit_sha": SHA, "branch": "main", "timestamp": at(-4000),
            "build": {"run_url": "https://github.com/example-bank/bank-payments/actions/runs/123", "run_attempt": 1, "actor": "ci"},
            "changes": ["https://github.com/example-bank/bank-payments/pull/7", "https://tickets.bank.example/PAY-42"],
            "modules": [{
                "id": "MOD-012",
                "functions": bundles,
                "stacks": [{"name": "payments-api", "sha256": stack.0, "size": stack.1}],
                "schemas": [{"database": "payments", "sha256": snapshot.0, "size": snapshot.1}],
                "migrations": [{"database": "payments", "file": "V1__ledger.sql", "sha256": migration.0, "size": migration.1}],
                "script_configurations": [{"database": "payments", "script": "V1__ledger.sql", "sha256": script.0, "size": script.1}]
            }],
            "tests": {
                "typecheck": {"errors": 0},
                "unit": {"passed": 210, "failed": 0, "skipped": 2, "line_coverage": 87.1, "function_coverage": 84.0},
                "policy": {"passed": 2, "failed": 0, "skipped": 0, "policies_satisfied": ["POL-004", "POL-017"]},
                "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true, "deployed": deployed}
            },
            "reports": [{"suite": "integration", "format": "junit", "file": "integration.xml", "sha256": report.0, "size": report.1}],
            "flyway": {"payments": {
                "validated": true, "checksums": {"V1__ledger.sql": checksum},
                "configuration": {"sha256": configuration.0, "size": configuration.1, "modules": ["MOD-012"], "sets": ["mixed"]},
                "script_configurations": {"V1__ledger.sql": script.0}
            }},
            "deploy": {"stage": "dev", "succeeded": true}
        });
        change(&mut manifest);
        // Only the manifest's `flyway` lists it.
        if manifest.get("flyway").is_some() {
            self.put_artefact(&format!("{schema}/flyway.toml"), toml);
        }
        self.put_artefact("build-manifest.json", manifest.to_string().as_bytes());
    }

    /// Lets the gate take every event.
    pub async fn judge_all(&self) {
        loop {
            let events = self.artefacts.take_events();
            if events.is_empty() {
                return;
            }
            for event in &events {
                self.settle(event).await;
            }
        }
    }

    async fn settle(&self, event: &Event) {
        let gate = Gate {
            artefacts: &self.artefacts,
            records: &self.records,
            log: Logger::silent(),
            clock: judging,
            scratch: std::env::temp_dir(),
            signer: &self.gate,
            verifier: &NoVerifier,
        };
        gate.settle(event).await.unwrap();
    }

    /// Promotes the commit as `promote`, the steps and `record-promotion` would.
    pub async fn promote(&self, id: &str, rollback: bool) {
        self.write(self.record(id, rollback).await).await;
    }

    /// The same, which ended so much later.
    pub async fn promote_later(&self, id: &str, later: SignedDuration) {
        let mut record = self.record(id, false).await;
        record.ended_at = record.ended_at.map(|ended| ended + later);
        self.write(record).await;
    }

    async fn write(&self, record: PromotionRecord) {
        let promotion = record.reference();
        let key = PromotionRecord::key(&promotion);
        record::write(&self.records, &key, &record, &Precondition::Absent).await.unwrap();
        let ended = record.ended_at.unwrap_or_default();
        let summary = verification_summary(&record).unwrap().sign(&self.promotion).await.unwrap();
        let deployment = deployment(&record, ended).unwrap().sign(&self.promotion).await.unwrap();
        let mut attestations = Vec::new();
        for (statement, signed) in
            [(PromotionStatement::VerificationSummary, summary), (PromotionStatement::Deployment, deployment)]
        {
            let Signed { dsse, sigstore } = signed;
            for (form, bytes) in [(Form::Dsse, dsse), (Form::Sigstore, sigstore)] {
                let (stage, repo, id) =
                    (promotion.stage.clone(), promotion.repo.clone(), promotion.promotion_id.clone());
                let key = RecordKey::PromotionAttestation(stage, repo, id, statement, form).to_string();
                if form == Form::Dsse {
                    let sha256 = Sha256::of(&bytes);
                    attestations.push(ledger::RecordDigest { key: key.clone(), version_id: None, sha256 });
                }
                self.records.put(&key, &bytes, "application/json", &Precondition::Absent).await.unwrap();
            }
        }
        let stage_record = complete::advance_stage(&self.records, &record, ended).await.unwrap();
        self.append(&entry::of_promotion(&record, stage_record, attestations).unwrap(), ended).await;
    }

    /// Gives a witness outside the stage's head as it is now.
    pub async fn hand_over(&mut self) {
        let witness = self.witness.get_or_insert_default();
        let Question { stage, repo, .. } = question();
        let (chain, key) = (Chain { stage, repo }, self.promotion.keys());
        gatekeeper_proof::witness::hand_over(&self.records, witness, &chain, None, &key).await.unwrap();
    }

    /// States which entries of the ledger are the newest, as drift watching does.
    pub async fn state_newest(&self, now: Timestamp) {
        let Question { stage, repo, .. } = question();
        let (chain, keys) = (Chain { stage, repo }, self.keys());
        let mut newest = [None, None];
        for (newest, chain) in newest.iter_mut().zip(freshness::chains(&chain)) {
            let head = self.records.bytes_of(&RecordKey::LedgerHead(chain.clone()).to_string());
            let key = keys.of(Authority::of(&chain));
            *newest = head.map(|head| ledger::head_of(&head, &chain, key).unwrap());
        }
        let statement = freshness::statement(&chain, newest.each_ref().map(Option::as_ref), now);
        let signed = statement.sign(&self.promotion).await.unwrap();
        self.records.upload(&RecordKey::Freshness(chain.stage, chain.repo).to_string(), &signed.dsse, &[]);
    }

    /// Takes the commit back, which the gate then enters into its chain.
    pub async fn revoke(&self, reason: &str) {
        let key = ArtefactPath::Manifest.of(&commit());
        let manifest = self.artefacts.head(&key, None).await.unwrap().unwrap().version_id;
        let revocation = Revocation {
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            manifest_version_id: manifest,
            revoked_by: "arn:aws:sts::111122223333:assumed-role/promoter/jane".to_owned(),
            revoked_at: "2026-05-02T12:00:00Z".parse().unwrap(),
            reason: reason.to_owned(),
        };
        let record = RecordKey::Revocation(commit());
        record::write(&self.records, &record, &revocation, &Precondition::Absent).await.unwrap();
        self.artefacts.tag(&key, &[("integration-passed", "false")], "jane");
        self.judge_all().await;
    }

    /// Has a later request to the same stage refused.
    pub async fn refuse(&self) {
        let reasons = [Finding::new(Code::NotBuilt, "bank-payments", "the commit is `registered`")];
        let event = entry::of_refusal(&request(true), &reasons, &"01JT0000000000000000000002".parse().unwrap());
        self.append(&event, at(600)).await;
    }

    /// Appends to the stage's chain of the ledger.
    pub async fn append(&self, event: &ledger::Event, now: Timestamp) {
        let Question { stage, repo, .. } = question();
        let chain = Chain { stage, repo };
        ledger::append(&self.records, &self.promotion, &chain, event, None, now).await.unwrap();
    }

    async fn record(&self, id: &str, rollback: bool) -> PromotionRecord {
        let request = request(rollback);
        let keys = std::future::ready(Ok(self.keys()));
        let requester = std::future::ready(Ok(Requester::Unnamed));
        let home = home();
        let stores = Stores { artefacts: &self.artefacts, records: &self.records };
        let verified = verify(stores, None, Asked { request: &request, home: &home, now: at(0) }, keys, requester);
        let verified = verified.await.unwrap().unwrap();
        let mut record = PromotionRecord {
            schema_version: 1,
            promotion_id: id.parse().unwrap(),
            repo: request.repo,
            commit_sha: verified.commit.sha,
            stage: request.stage,
            requested_by: request.requested_by,
            requester: None,
            approvals: verified.ruling.approvals,
            not_counted: Vec::new(),
            identities_config: None,
            break_glass: None,
            witness: Vec::new(),
            waived: verified.ruling.waived,
            hold: None,
            stopped: None,
            reason: request.reason,
            rollback,
            accept_schema_difference: false,
            accept_replacement: std::collections::BTreeSet::new(),
            status: Status::Succeeded,
            execution_arn: format!("arn:aws:states:eu-west-1:111122223333:execution:promotion:{id}"),
            started_at: at(0),
            ended_at: Some(at(40)),
            verdict_version_id: verified.verdict_version_id,
            manifest_version_id: verified.manifest_version_id,
            stages_config_version_id: verified.stages_config_version_id,
            built_attestation: verified.built_attestation,
            stages_config_sha256: Some(verified.stages_config_sha256),
            role_arn: None,
            stack_role_arn: None,
            allow_private: false,
            shared_account: false,
            plan: verified.plan,
            lease: None,
            promotion_before: None,
            way_back: None,
            steps: Vec::new(),
            live: Vec::new(),
        };
        record.live = live(&record);
        record.steps = steps(&record);
        record
    }
}

fn home() -> Home {
    let stage_boundary_arn = "arn:aws:iam::111122223333:policy/gatekeeper/gatekeeper-stage-boundary".to_owned();
    Home { artefact_bucket: "artefacts".to_owned(), stage_boundary_arn, is_shared: false }
}

fn request(rollback: bool) -> PromotionRequest {
    PromotionRequest {
        repo: commit().repo,
        commit_sha: Some(commit().sha),
        stage: question().stage,
        requested_by: "jane@bank.example".to_owned(),
        reason: "release 2026-05".to_owned(),
        dry_run: false,
        changes: false,
        rollback,
        accept_schema_difference: false,
        accept_replacement: std::collections::BTreeSet::new(),
        lease: false,
        break_glass: false,
        preview: None,
        identity_proof: None,
    }
}

/// The stage's functions, each with the promoted code.
#[must_use]
pub fn live(record: &PromotionRecord) -> Vec<LiveFunction> {
    let live = record.plan.functions.iter().map(|planned| {
        let name = format!("{}-{}", planned.stack_name, planned.logical_id);
        LiveFunction {
            code_sha256: Some(planned.bundle.sha256),
            is_promoted_code: true,
            ..LiveFunction::missing(planned.function.as_str(), Some(name))
        }
    });
    live.collect()
}

fn snapshot() -> String {
    "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n\nCREATE TABLE public.ledger (\n    \
     id bigint\n);\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
        .to_owned()
}

/// What the steps would have reported.
#[expect(clippy::unwrap_used, reason = "test support")]
fn steps(record: &PromotionRecord) -> Vec<StepRecord> {
    let stacks = record.plan.stacks.iter().map(|it| {
        let report: Report<StackFacts> = Report::begun(it.stack_name.as_str(), at(1));
        report.ended(ReportStatus::Applied, "created", at(21))
    });
    let functions = record.plan.functions.iter().map(|it| {
        let facts = FunctionFacts {
            function_arn: Some(format!("arn:aws:lambda:eu-west-1:111122223333:function:{}", it.function)).into(),
            version: "1".into(),
            ..FunctionFacts::default()
        };
        let report: Report = Report::begun(it.function.as_str(), at(21));
        report.ended(ReportStatus::Applied, "updated", at(28)).with(facts)
    });
    let databases = record.plan.databases.iter().map(|it| {
        let rows = it.checksums.iter().zip(1..).map(|((file, checksum), rank)| HistoryRow {
            installed_rank: rank,
            version: Some("1".to_owned()),
            description: "ledger".to_owned(),
            kind: "SQL".to_owned(),
            script: file.clone(),
            checksum: *checksum,
            installed_by: "migrate".to_owned(),
            installed_on: "2026-05-02 03:30:30".to_owned(),
            execution_time: 3,
            success: true,
        });
        let normal = normal_form(snapshot().as_bytes(), Include::default()).unwrap().sha256();
        let parity = SchemaComparison {
            equal: true,
            mode: it.schema_parity,
            tested_sha256: normal,
            live_sha256: normal,
            snapshot_key: it.snapshot.key.clone(),
            snapshot_version_id: it.snapshot.version_id.clone(),
            difference: None,
            server_limits: None,
            server_limits_accepted: false,
        };
        let history: Vec<_> = rows.collect();
        let facts = DatabaseFacts { history: history.into(), schema_parity: parity.into(), ..DatabaseFacts::default() };
        let detail = "1 migration ran, and its schema is the one that was tested";
        let report: Report = Report::begun(it.database.as_str(), at(28));
        report.ended(ReportStatus::Applied, detail, at(36)).with(facts)
    });
    let smoke = record.plan.smoke.iter().map(|_| {
        let report: Report<SmokeFacts> = Report::begun("invoke authorise-payment", at(36));
        report.ended(ReportStatus::Passed, "answered as expected", at(38))
    });
    vec![
        StepRecord::of(Direction::Forward, &stacks.collect::<Vec<_>>(), None).unwrap(),
        StepRecord::of(Direction::Forward, &functions.collect::<Vec<_>>(), None).unwrap(),
        StepRecord::of(Direction::Forward, &databases.collect::<Vec<_>>(), None).unwrap(),
        StepRecord::of(Direction::Forward, &smoke.collect::<Vec<_>>(), None).unwrap(),
    ]
}
