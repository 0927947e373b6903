//! What is to be seen of promotions (CONTRACT §5 to §7): answers to the event, records, and what is live in a stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sfn::types::ExecutionStatus;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{PromotionId, Repo, Sha256, StageName},
    store_key::{ArtefactPath, RecordKey},
    verdict::Outcome,
};
use gatekeeper_promotion::{
    history::StageState,
    lock::Lock,
    record::{PromotionRecord, Status},
    step::{Direction, PromotionRef, Report, ReportStatus},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use ulid::Ulid;

use crate::{
    commit::{Commit, STACK, the_template, the_zip},
    databases,
    instance::{Caller, Instance},
    watch::{PATIENCE, eventually},
    zips,
};

/// Asks a commit's function once more within a second.
pub const STAGE: &str = "e2e";
/// The same, and asks on for two minutes: a promotion of a commit that answers wrong goes on until it is stopped.
pub const SLOW_STAGE: &str = "e2e-slow";
/// The same, and people hold it.
pub const HELD_STAGE: &str = "e2e-held";
/// Asks a URL that no commit here puts out.
pub const URL_STAGE: &str = "e2e-url";
/// Has the databases of these tests, whose schemas must be the tested ones.
pub const DATABASE_STAGE: &str = "e2e-databases";
/// Has the same databases, and only reports when a schema isn't the tested one.
pub const REPORTING_STAGE: &str = "e2e-databases-reporting";
/// Takes what [`STAGE`] runs, when one more person has approved it.
pub const APPROVED_STAGE: &str = "e2e-approved";
/// Takes what [`STAGE`] has run for an hour, and is frozen.
pub const FROZEN_STAGE: &str = "e2e-frozen";
/// Has a target for the dbt models of [`RUN_REPOS`].
pub const RUNS_STAGE: &str = "e2e-runs";
/// The repositories whose models a runner builds there: a stage's configuration names each.
pub const RUN_REPOS: [&str; 6] =
    ["e2e-runs-good", "e2e-runs-bad", "e2e-runs-late", "e2e-runs-revoked", "e2e-runs-mixed", "e2e-runs-back"];
/// In an account of its own.
pub const OTHER_ACCOUNT: &str = "e2e-other-account";

/// The stages beside those that every instance has, in one configuration for all tests.
fn stages(stage_role_arn: &str, secrets: &BTreeMap<&str, String>) -> Value {
    let mut config: Value = serde_json::from_str(include_str!("../../infra/local/stages.json")).unwrap();
    let asks = |seconds: u64| {
        json!([{"function": "authorise-payment", "payload": {"ping": true}, "expect_json": {"statusCode": 200},
                "deadline_seconds": seconds}])
    };
    let parameters = json!({"LogLevel": "info"});
    config["stages"][STAGE] = json!({"parameters": parameters, "smoke": asks(1)});
    config["stages"][HELD_STAGE] = json!({"parameters": parameters, "smoke": asks(120)});
    config["stages"][SLOW_STAGE] = json!({"parameters": parameters, "smoke": asks(120)});
    config["stages"][URL_STAGE] = json!({"smoke": [{"stack": STACK, "output": "ApiUrl", "path": "/health"}]});
    let later = |rules: Value| {
        let mut stage = json!({"requires": format!("deployed:{STAGE}"), "parameters": parameters, "smoke": asks(1)});
        stage.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        stage
    };
    config["stages"][APPROVED_STAGE] = later(json!({"approvals": 1}));
    config["stages"][FROZEN_STAGE] = later(json!({"soak_minutes": 60, "freeze": [
        {"from": "2026-01-01T00:00", "to": "9000-01-01T00:00", "time_zone": "Australia/Sydney", "reason": "until further notice"}
    ]}));
    for (stage, parity) in [(DATABASE_STAGE, "required"), (REPORTING_STAGE, "reported")] {
        let entry =
            |arn: &String| json!({"secret_arn": arn, "schema_parity": parity, "placeholders": {"account": "acc-1"}});
        let databases: BTreeMap<_, _> = secrets.iter().map(|(name, arn)| (*name, entry(arn))).collect();
        config["stages"][stage] = json!({"parameters": parameters, "databases": databases, "smoke": asks(1)});
        config["stages"][stage]["databases"]["dropping"]["refuse_migrations"] = json!(["ban-drop-table"]);
    }
    config["stages"]["uat"]["databases"]["payments"] = json!({"secret_arn": secrets["payments"]});
    let target = json!({"target": "uat", "adapter": "duckdb", "database": "risk_uat", "schema": "main"});
    let dbt: BTreeMap<_, _> = RUN_REPOS.iter().map(|repo| (*repo, target.clone())).collect();
    config["stages"][RUNS_STAGE] = json!({"parameters": parameters, "smoke": asks(1), "dbt": dbt});
    config["stages"][OTHER_ACCOUNT] = json!({"role_arn": stage_role_arn, "parameters": parameters, "smoke": asks(1)});
    config
}

/// An instance with the stages of these tests, and who promotes there.
#[derive(Debug)]
pub struct Promotions {
    /// The instance.
    pub aws: Instance,
    /// A release manager.
    pub promoter: Caller,
    ci: Caller,
}

/// A promotion that was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// Which one.
    pub promotion: PromotionRef,
    /// Its execution.
    pub execution_arn: String,
    /// What it will apply.
    pub plan: Value,
}

/// A function as it is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The SHA-256 of its code.
    pub code: Sha256,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// The code of each published version, by its number.
    pub versions: BTreeMap<u64, Sha256>,
}

/// A repository of its own for a test.
#[must_use]
pub fn a_repo(name: &str) -> Repo {
    format!("e2e-{name}-{}", Ulid::generate().to_string().to_lowercase()).parse().unwrap()
}

/// A commit of `repo` that can be promoted: one stack with one function, which answers with `status`. Its template takes
/// the code from the artefact bucket, and hands on what the gatekeeper and the stage give it.
#[must_use]
pub fn a_commit(aws: &Instance, repo: &Repo, status: u16) -> Commit {
    let mut commit = Commit::new(aws, "of");
    commit.manifest["repo"] = json!(repo);
    commit.id.repo = repo.clone();
    commit.objects.retain(|path, _| !matches!(path, ArtefactPath::Schema(..) | ArtefactPath::Migration(..)));
    let code = format!("exports.handler = async () => ({{statusCode: {status}, body: '{}'}});\n", commit.id.sha);
    commit.objects.insert(the_zip(), zips::of(&[("index.js", code.as_bytes())]));
    change_template(&mut commit, |template| {
        for name in ["Stage", "CommitSha", "LogLevel"] {
            template["Parameters"][name] = json!({"Type": "String", "Default": "none"});
        }
        template["Resources"]["AuthorisePaymentFn"]["Properties"]["Environment"] = json!({"Variables": {
            "STAGE": {"Ref": "Stage"}, "COMMIT_SHA": {"Ref": "CommitSha"}, "LOG_LEVEL": {"Ref": "LogLevel"},
        }});
    });
    commit
}

/// The account that [`synthesise_for_dev`] takes for dev's, which no stage of these tests is in.
pub const DEV_ACCOUNT: &str = "111122223333";

/// Makes of a commit's template what SST would for a stage `dev` in [`DEV_ACCOUNT`]: names, paths and the asset bucket are
/// dev's own, and the manifest declares what they were made for.
pub fn synthesise_for_dev(commit: &mut Commit, region: &str, application: &str) {
    let asset = Sha256::of(&commit.objects[&the_zip()]);
    commit.manifest["synthesised_for"] =
        json!({"account": DEV_ACCOUNT, "region": region, "stage": "dev", "application": application});
    change_template(commit, |template| {
        template.as_object_mut().unwrap().remove("Parameters");
        let function = &mut template["Resources"]["AuthorisePaymentFn"]["Properties"];
        function["Code"] = json!({
            "S3Bucket": format!("cdk-hnb659fds-assets-{DEV_ACCOUNT}-{region}"), "S3Key": format!("{asset}.zip"),
        });
        function["Environment"] = json!({"Variables": {
            "SST_STAGE": "dev", "SST_SSM_PREFIX": format!("/sst/{application}/dev/"),
        }});
        function["Tags"] = json!([{"Key": "sst:stage", "Value": "dev"}]);
        template["Resources"]["Settlements"] = json!({
            "Type": "AWS::SQS::Queue", "Properties": {"QueueName": format!("dev-{application}-settlements")},
        });
        template["Outputs"] = json!({"Settlements": {
            "Value": format!("arn:aws:sqs:{region}:{DEV_ACCOUNT}:dev-{application}-settlements"),
            "Export": {"Name": format!("dev-{application}-Settlements")},
        }});
    });
}

/// Changes a commit's template before it is uploaded.
pub fn change_template(commit: &mut Commit, change: impl FnOnce(&mut Value)) {
    let mut template = serde_json::from_slice(&commit.objects[&the_template()]).unwrap();
    change(&mut template);
    commit.objects.insert(the_template(), template.to_string().into_bytes());
    commit.list();
}

/// Gives a commit's template a resource that CloudFormation can't make.
pub fn break_template(commit: &mut Commit) {
    change_template(commit, |template| {
        template["Resources"]["Policy"] = json!({"Type": "AWS::IAM::Policy", "Properties": {
            "PolicyName": "read",
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
            ]},
            "Roles": ["no-such-role"],
        }});
    });
}

/// The example's own build (examples/bank-payments), as its pipeline uploads it after the integration tests.
#[must_use]
pub fn build_example(aws: &Instance, repo: &Repo) -> Commit {
    let mut commit = Commit::new(aws, "of");
    commit.id.repo = repo.clone();
    let out = std::env::temp_dir().join(format!("e2e-{}", commit.id.sha));
    let built = Command::new("node")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/bank-payments"))
        .args(["build.mjs", "--without-integration", "--sha", commit.id.sha.as_str(), "--repo", repo.as_str(), "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(out.join("build-manifest.json")).unwrap()).unwrap();
    let listed = |module: &Value, list: &str| module[list].as_array().cloned().unwrap_or_default();
    let (mut paths, mut deployed) = (Vec::new(), Vec::new());
    for module in manifest["modules"].as_array().unwrap() {
        let at = format!("modules/{}", module["id"].as_str().unwrap());
        for function in listed(module, "functions") {
            paths.push(format!("{at}/functions/{}.zip", function["name"].as_str().unwrap()));
            deployed.push(json!({"function": function["name"], "code_sha256": function["sha256"]}));
        }
        for stack in listed(module, "stacks") {
            paths.push(format!("{at}/cloudformation/{}.json", stack["name"].as_str().unwrap()));
        }
        for migration in listed(module, "migrations") {
            let text = |field: &str| migration[field].as_str().unwrap();
            paths.push(format!("{at}/schema/{}/migrations/{}", text("database"), text("file")));
        }
    }
    paths.extend(listed(&manifest, "reports").iter().map(|it| format!("reports/{}", it["file"].as_str().unwrap())));
    let read = |text: &String| (ArtefactPath::parse(text).unwrap(), std::fs::read(out.join(text)).unwrap());
    commit.objects = paths.iter().map(read).collect();
    manifest["tests"]["integration"] =
        json!({"passed": 6, "failed": 0, "skipped": 0, "run_integration": true, "deployed": deployed});
    manifest["deploy"] = json!({"stage": "dev", "succeeded": true});
    commit.manifest = manifest;
    add_snapshots(aws, &mut commit);
    std::fs::remove_dir_all(out).unwrap();
    commit
}

/// Adds what a pipeline finds out by its dev database: what Flyway validated, and the schema that was tested.
fn add_snapshots(aws: &Instance, commit: &mut Commit) {
    let mut migrations: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (path, bytes) in &commit.objects {
        if let ArtefactPath::Migration(module, database, file) = path {
            migrations.entry((module.clone(), database.clone())).or_default().push((file.to_string(), bytes.clone()));
        }
    }
    for ((module, database), files) in migrations {
        let snapshot = databases::snapshot_of(aws, &files);
        let entry = json!([{"database": database, "sha256": Sha256::of(&snapshot), "size": snapshot.len()}]);
        let modules = commit.manifest["modules"].as_array_mut().unwrap().iter_mut();
        modules.filter(|it| it["id"] == json!(module)).for_each(|it| it["schemas"] = entry.clone());
        commit.objects.insert(ArtefactPath::Schema(module, database), snapshot);
    }
    commit.manifest["flyway"] = commit.validated();
}

/// What a release manager sends.
#[must_use]
pub fn promotion_of(commit: &Commit, stage: &str) -> Value {
    json!({"repo": commit.id.repo, "commit_sha": commit.id.sha, "stage": stage,
           "requested_by": "jane@bank.example", "reason": "release 2026-05"})
}

/// What a release manager sends to go back; without a commit to the one before.
#[must_use]
pub fn rollback_of(repo: &Repo, commit: Option<&Commit>, stage: &str) -> Value {
    json!({"repo": repo, "commit_sha": commit.map(|it| &it.id.sha), "stage": stage, "rollback": true,
           "requested_by": "jane@bank.example", "reason": "payments are rejected"})
}

impl Promotions {
    /// The instance, its stages configured.
    pub async fn get() -> Self {
        static CONFIGURED: OnceCell<()> = OnceCell::const_new();
        let aws = Instance::get().await;
        CONFIGURED.get_or_init(|| configure(&aws)).await;
        Self { promoter: aws.promoter().await, ci: aws.ci().await, aws }
    }

    /// Uploads a commit and waits until it is Built.
    pub async fn built(&self, commit: Commit) -> Commit {
        commit.publish(&self.ci).await;
        self.aws.becomes(&commit, Outcome::Built, &[]).await;
        commit
    }

    /// A Built commit whose function answers with `status`.
    pub async fn a_commit(&self, repo: &Repo, status: u16) -> Commit {
        self.built(a_commit(&self.aws, repo, status)).await
    }

    /// Uploads a commit whose integration tests have not run.
    pub async fn registered(&self, commit: &Commit) {
        commit.put_artefacts(&self.ci).await;
        commit.put_manifest(&self.ci, &commit.before_integration()).await;
        self.aws.becomes(commit, Outcome::Registered, &[]).await;
    }

    /// Sends an event as the promoter: the answer, or the function error.
    ///
    /// # Errors
    /// The function error's `errorType` and `errorMessage`.
    pub async fn ask(&self, event: &Value) -> Result<Value, (String, String)> {
        let call = self.promoter.lambda().invoke().function_name(&self.aws.outputs.promote_function);
        let answer = call.payload(Blob::new(event.to_string())).send().await.unwrap();
        let payload: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        if answer.function_error().is_none() {
            return Ok(payload);
        }
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        Err((text("errorType"), text("errorMessage")))
    }

    /// Sends an event that must be refused, with nothing touched; gives the reasons.
    pub async fn refusal(&self, event: &Value) -> Vec<Finding> {
        let (before, entered) = (self.traces(event).await, self.ledger_entries(event).await);
        let mut answer = self.ask(event).await.unwrap();
        let reasons: Vec<Finding> = serde_json::from_value(answer["reasons"].take()).unwrap();
        let nothing = json!({"stacks": [], "functions": [], "migrations": [], "smoke": []});
        let refused =
            json!({"status": "refused", "promotion_id": null, "execution_arn": null, "reasons": null, "plan": nothing});
        assert_eq!(answer, refused, "{reasons:?}");
        assert_eq!(self.traces(event).await, before, "a refusal writes nothing");
        let of_no_stage = reasons.iter().any(|it| matches!(it.code, Code::StageUnknown | Code::StagesConfigInvalid));
        let is_entered = self.ledger_entries(event).await > entered;
        let is_known = entered > 0 || self.is_judged(event).await;
        assert_eq!(
            is_entered,
            !of_no_stage && is_known && event["dry_run"] != true,
            "what was asked of a known repository is in the ledger: {reasons:?}"
        );
        assert!(!before.is_empty() || !self.has_stack(event).await, "a refusal applies nothing");
        reasons
    }

    /// Sends an event that must be refused for reasons with exactly these codes.
    pub async fn refuses(&self, event: &Value, codes: &[Code]) {
        let reasons = self.refusal(event).await;
        let told: BTreeSet<_> = reasons.iter().map(|it| it.code).collect();
        assert_eq!(told, codes.iter().copied().collect(), "{reasons:#?}");
    }

    /// Every version of every record that promotions of an event's repository to its stage have left.
    pub async fn traces(&self, event: &Value) -> BTreeSet<String> {
        let (stage, repo) = (event["stage"].as_str().unwrap(), event["repo"].as_str().unwrap());
        let prefixes = [
            format!("promotions/{stage}/{repo}/"),
            format!("locks/{stage}/{repo}.json"),
            format!("stages/{stage}/{repo}.json"),
        ];
        let mut traces = BTreeSet::new();
        for prefix in prefixes {
            let list = self.aws.root.s3.list_object_versions().bucket(&self.aws.outputs.records_bucket).prefix(prefix);
            let listed = list.send().await.unwrap();
            let trace = |key: Option<&str>, version: Option<&str>| format!("{}@{}", key.unwrap(), version.unwrap());
            traces.extend(listed.versions().iter().map(|it| trace(it.key(), it.version_id())));
        }
        traces
    }

    /// Whether the gate has a verdict on an event's commit.
    async fn is_judged(&self, event: &Value) -> bool {
        let Some(sha) = event["commit_sha"].as_str() else { return false };
        let key = format!("{}/{sha}/verdict.json", event["repo"].as_str().unwrap());
        let head = self.aws.root.s3.head_object().bucket(&self.aws.outputs.records_bucket).key(key);
        head.send().await.is_ok()
    }

    /// How many entries the ledger has of an event's repository and stage.
    pub async fn ledger_entries(&self, event: &Value) -> usize {
        let prefix = format!("ledger/{}/{}/0", event["stage"].as_str().unwrap(), event["repo"].as_str().unwrap());
        let list = self.aws.root.s3.list_objects_v2().bucket(&self.aws.outputs.records_bucket).prefix(prefix);
        list.send().await.unwrap().contents().len()
    }

    /// Whether an event's stage has the stack of its repository.
    pub async fn has_stack(&self, event: &Value) -> bool {
        let name = format!("{}-{}-{STACK}", event["repo"].as_str().unwrap(), event["stage"].as_str().unwrap());
        self.aws.root.cloudformation().describe_stacks().stack_name(name).send().await.is_ok()
    }

    /// Sends an event that must start a promotion.
    pub async fn start(&self, event: &Value) -> Started {
        started(event, &self.ask(event).await.unwrap())
    }

    /// Waits until a promotion has ended; gives its record.
    pub async fn ended(&self, started: &Started) -> PromotionRecord {
        let execution = self.execution_ends(&started.execution_arn).await;
        let record = self.record(&started.promotion).await;
        let (status, error) = match record.status {
            Status::Succeeded => (ExecutionStatus::Succeeded, None),
            Status::RolledBack => (ExecutionStatus::Failed, Some("PromotionRolledBack")),
            _ => (ExecutionStatus::Failed, Some("PromotionFailed")),
        };
        assert_eq!((execution.0, execution.1.as_deref()), (status, error), "{record:#?}");
        assert!(record.ended_at.is_some(), "{record:#?}");
        let lock = self.lock(&started.promotion).await.unwrap();
        assert_eq!(lock.promotion_id, started.promotion.promotion_id);
        assert!(lock.released_at.is_some(), "{lock:?}");
        record
    }

    /// Promotes a commit; gives the record of how it ended.
    pub async fn promote(&self, commit: &Commit, stage: &str) -> PromotionRecord {
        self.ended(&self.start(&promotion_of(commit, stage)).await).await
    }

    /// The same, where it must succeed.
    pub async fn promoted(&self, commit: &Commit, stage: &str) -> PromotionRecord {
        let record = self.promote(commit, stage).await;
        assert_eq!(record.status, Status::Succeeded, "{record:#?}");
        record
    }

    /// Waits until an execution has ended; gives its status and its error's name.
    pub async fn execution_ends(&self, arn: &str) -> (ExecutionStatus, Option<String>) {
        let sfn = self.aws.root.step_functions();
        let look = async || sfn.describe_execution().execution_arn(arn).send().await.unwrap();
        let ended =
            eventually("the execution ends", PATIENCE, look, |it| *it.status() != ExecutionStatus::Running).await;
        (ended.status().clone(), ended.error)
    }

    /// A promotion's record.
    pub async fn record(&self, promotion: &PromotionRef) -> PromotionRecord {
        let bytes = self.aws.record(&PromotionRecord::key(promotion)).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What a stage runs of a repository.
    pub async fn state(&self, repo: &Repo, stage: &str) -> Option<StageState> {
        let key = RecordKey::Stage(stage.parse().unwrap(), repo.clone());
        Some(serde_json::from_slice(&self.aws.record(&key).await?).unwrap())
    }

    /// The lock on a promotion's stage and repository.
    pub async fn lock(&self, promotion: &PromotionRef) -> Option<Lock> {
        let key = RecordKey::Lock(promotion.stage.clone(), promotion.repo.clone());
        Some(serde_json::from_slice(&self.aws.record(&key).await?).unwrap())
    }

    /// A function of the gatekeeper's own account as it is live.
    pub async fn live(&self, function_name: &str) -> Live {
        live(&self.aws.root, function_name).await
    }
}

impl Caller {
    /// CloudFormation.
    #[must_use]
    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config)
    }

    /// Step Functions.
    #[must_use]
    pub fn step_functions(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.config)
    }
}

/// A function as it is live.
pub async fn live(who: &Caller, function_name: &str) -> Live {
    let lambda = who.lambda();
    let function = lambda.get_function().function_name(function_name).send().await.unwrap();
    let configuration = function.configuration().unwrap();
    let environment = configuration.environment().and_then(|it| it.variables()).cloned().unwrap_or_default();
    let versions = lambda.list_versions_by_function().function_name(function_name).send().await.unwrap();
    let versions = versions.versions().iter().filter_map(|it| Some((it.version()?.parse::<u64>().ok()?, it)));
    let versions = versions.map(|(number, it)| (number, Sha256::from_base64(it.code_sha256().unwrap()).unwrap()));
    Live {
        code: Sha256::from_base64(configuration.code_sha256().unwrap()).unwrap(),
        environment: environment.into_iter().collect(),
        versions: versions.collect(),
    }
}

/// The promotion that an answer says was started.
#[must_use]
pub fn started(event: &Value, answer: &Value) -> Started {
    assert_eq!(answer["status"], "started", "{answer:#}");
    assert_eq!(answer["reasons"], json!([]));
    let id = |name: &str| event[name].as_str().unwrap();
    let (stage, repo): (StageName, Repo) = (id("stage").parse().unwrap(), id("repo").parse().unwrap());
    let promotion_id: PromotionId = serde_json::from_value(answer["promotion_id"].clone()).unwrap();
    Started {
        promotion: PromotionRef { stage, repo, promotion_id },
        execution_arn: answer["execution_arn"].as_str().unwrap().to_owned(),
        plan: answer["plan"].clone(),
    }
}

/// What the steps of a record came to, in their order.
#[must_use]
pub fn outcomes(record: &PromotionRecord) -> Vec<(&str, Direction, Vec<ReportStatus>)> {
    let statuses = |reports: &[Report]| reports.iter().map(|it| it.status).collect();
    record.steps.iter().map(|step| (step.step.as_str(), step.direction, statuses(&step.reports))).collect()
}

async fn configure(aws: &Instance) {
    let secrets = databases::secrets(aws).await;
    let stages = stages(&aws.outputs.stage_role_arn, &secrets);
    let identities = json!({
        "schema_version": 1, "mail_domains": ["bank.example"], "aliases": {"alice@bank.example": ["alice-dev"]}, "bots": ["ci"]
    });
    for (key, wanted) in [(RecordKey::StagesConfig, stages), (RecordKey::IdentitiesConfig, identities)] {
        let wanted = wanted.to_string().into_bytes();
        if aws.record(&key).await.as_ref() != Some(&wanted) {
            let put = aws.root.s3.put_object().bucket(&aws.outputs.records_bucket).key(key.to_string());
            put.checksum_sha256(Sha256::of(&wanted).to_base64()).body(wanted.into()).send().await.unwrap();
        }
    }
}
