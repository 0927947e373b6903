//! What a promotion does (CONTRACT §5 and §6): exactly the tested bytes go live, and the records tell of it.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sfn::types::ExecutionStatus;
use e2e::{
    commit::{Commit, MODULE, path, the_template, the_zip},
    instance::Caller,
    promotion::{
        Live, OTHER_ACCOUNT, Promotions, STAGE, Started, a_commit, a_repo, change_template, live, outcomes,
        promotion_of,
    },
    zips,
};
use gatekeeper_model::{
    finding::Code,
    ids::{Sha256, VersionId},
    manifest::AssetKind,
    store_key::{ArtefactKey, ArtefactPath, RecordKey},
    verdict::Outcome,
};
use gatekeeper_promotion::{
    facts::{FunctionFacts, StackFacts, StoredFacts},
    history::StageState,
    record::{PromotionRecord, Status},
    step::{Direction, ReportStatus},
};
use serde_json::{Value, json};

/// The name of a promoted commit's one function in its stage.
fn function_name(record: &PromotionRecord) -> &str {
    record.live[0].function_name.as_ref().unwrap()
}

/// Holds an object's pin in a plan against what is stored.
async fn is_pinned(here: &Promotions, commit: &Commit, path: &ArtefactPath, pinned: &Value) {
    let head = here.aws.root.s3.head_object().bucket(commit.bucket()).key(commit.key(path)).send().await.unwrap();
    let bytes = &commit.objects[path];
    assert_eq!(pinned["key"], json!(commit.key(path)));
    assert_eq!(pinned["version_id"], json!(head.version_id().unwrap()));
    assert_eq!(pinned["sha256"], json!(Sha256::of(bytes)));
    assert_eq!(pinned["size"], json!(bytes.len()));
}

#[tokio::test]
async fn a_built_commit_goes_live_byte_for_byte_and_the_records_tell_of_it() {
    let here = Promotions::get().await;
    let repo = a_repo("goes-live");
    let commit = here.a_commit(&repo, 200).await;
    let event = promotion_of(&commit, STAGE);

    // A dry run plans, and touches nothing.
    let mut dry = event.clone();
    dry["dry_run"] = json!(true);
    let planned = here.ask(&dry).await.unwrap();
    assert!(here.traces(&event).await.is_empty() && !here.has_stack(&event).await);
    let nothing = json!({"status": "planned", "promotion_id": null, "execution_arn": null, "reasons": [],
                         "plan": planned["plan"], "plan_sha256": planned["plan_sha256"]});
    assert_eq!(planned, nothing);
    assert!(planned["plan_sha256"].as_str().unwrap().parse::<Sha256>().is_ok());

    let begun = here.start(&event).await;
    assert_eq!(begun.plan, planned["plan"]);
    let record = here.ended(&begun).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    let forward = Direction::Forward;
    assert_eq!(
        outcomes(&record),
        [
            ("apply-stack", forward, vec![ReportStatus::Applied]),
            // CloudFormation has made the function of the very bundle.
            ("deploy-function", forward, vec![ReportStatus::Unchanged]),
            ("migrate-database", forward, vec![]),
            ("smoke-test", forward, vec![ReportStatus::Passed]),
        ]
    );

    // The plan is pinned.
    let (stack, function) = (&begun.plan["stacks"][0], &begun.plan["functions"][0]);
    is_pinned(&here, &commit, &the_template(), stack).await;
    is_pinned(&here, &commit, &the_zip(), function).await;
    assert_eq!(serde_json::to_value(&record.plan).unwrap(), begun.plan);
    assert_eq!((&stack["module"], &function["logical_id"]), (&json!(MODULE), &json!("AuthorisePaymentFn")));
    let bucket = &here.aws.outputs.artefact_bucket;
    let prefix = format!("{}modules/{MODULE}", commit.id.prefix());
    assert_eq!(
        stack["parameters"],
        json!({"Stage": STAGE, "CommitSha": commit.id.sha, "LogLevel": "info", "ArtefactBucket": bucket,
               "ArtefactPrefix": prefix})
    );

    // It is live.
    let zip = Sha256::of(&commit.objects[&the_zip()]);
    let Live { code, environment, versions } = here.live(function_name(&record)).await;
    assert_eq!(code, zip);
    assert_eq!(versions, [(1, zip)].into());
    assert_eq!(record.live[0].version.as_deref(), Some("1"));
    for (name, value) in [("STAGE", STAGE), ("COMMIT_SHA", commit.id.sha.as_str()), ("LOG_LEVEL", "info")] {
        assert_eq!(environment[name], value);
    }
    assert_eq!(record.live.len(), 1);
    assert_eq!((record.live[0].code_sha256, record.live[0].is_promoted_code), (Some(zip), true));

    // The record was there before anything was done, pins what it rests on, and tells who and why.
    let key = PromotionRecord::key(&begun.promotion);
    let first = first_version(&here, &key).await;
    assert_eq!((first.status, first.ended_at, first.steps.len()), (Status::Running, None, 0));
    let version = async |key: RecordKey| {
        let head = here.aws.root.s3.head_object().bucket(&here.aws.outputs.records_bucket).key(key.to_string());
        VersionId::from(head.send().await.unwrap().version_id().unwrap())
    };
    assert_eq!(record.verdict_version_id, version(RecordKey::Verdict(commit.id.clone())).await);
    assert_eq!(record.stages_config_version_id, version(RecordKey::StagesConfig).await);
    let judged = here.aws.verdict(&commit).await.unwrap().manifest_version_id;
    assert_eq!(Some(&record.manifest_version_id), judged.as_ref());
    assert_eq!((record.requested_by.as_str(), record.reason.as_str()), ("jane@bank.example", "release 2026-05"));
    assert_eq!(record.way_back, None);

    // What the stage runs, and the handoff.
    let state = here.state(&repo, STAGE).await.unwrap();
    assert_eq!((&state.commit_sha, &state.promotion_id), (&commit.id.sha, &record.promotion_id));
    let handoff = RecordKey::DeployedHandoff(commit.id.clone(), MODULE.parse().unwrap());
    let handoff = String::from_utf8(here.aws.record(&handoff).await.unwrap()).unwrap();
    for line in [
        "build_status: Deployed".to_owned(),
        format!("module_id: {MODULE}"),
        format!("stage: {STAGE}"),
        format!("evidence: {key}"),
    ] {
        assert!(handoff.lines().any(|it| it == line), "no `{line}` in\n{handoff}");
    }
    assert!(handoff.contains(&zip.to_string()));
}

/// A promotion's record as it was first written.
async fn first_version(here: &Promotions, key: &RecordKey) -> PromotionRecord {
    let (s3, bucket) = (&here.aws.root.s3, &here.aws.outputs.records_bucket);
    let versions = s3.list_object_versions().bucket(bucket).prefix(key.to_string()).send().await.unwrap();
    // The newest comes first.
    let first = versions.versions().last().unwrap().version_id().unwrap();
    let get = s3.get_object().bucket(bucket).key(key.to_string()).version_id(first).send().await.unwrap();
    serde_json::from_slice(&get.body.collect().await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn promoting_the_same_commit_again_changes_nothing() {
    let here = Promotions::get().await;
    let repo = a_repo("again");
    let commit = here.a_commit(&repo, 200).await;
    let first = here.promoted(&commit, STAGE).await;
    let before = here.live(function_name(&first)).await;
    let second = here.promoted(&commit, STAGE).await;
    let forward = Direction::Forward;
    assert_eq!(
        outcomes(&second),
        [
            ("apply-stack", forward, vec![ReportStatus::Unchanged]),
            ("deploy-function", forward, vec![ReportStatus::Unchanged]),
            ("migrate-database", forward, vec![]),
            ("smoke-test", forward, vec![ReportStatus::Passed]),
        ]
    );
    assert_eq!(here.live(function_name(&first)).await, before, "no new version, no other code");
    assert_eq!(second.plan, first.plan);
    assert_eq!(second.live, first.live);
    assert_eq!(second.way_back, None, "there is no other commit to go back to");
    let handoff = RecordKey::DeployedHandoff(commit.id.clone(), MODULE.parse().unwrap());
    assert_eq!(here.aws.versions(&handoff).await, 1, "handoffs are written once");

    // Somebody has changed the code by hand: CloudFormation sees no difference, the step does.
    let lambda = here.aws.root.lambda();
    let other = a_commit(&here.aws, &repo, 500).objects.remove(&the_zip()).unwrap();
    let update = lambda.update_function_code().function_name(function_name(&first)).zip_file(Blob::new(other.clone()));
    update.send().await.unwrap();
    let third = here.promoted(&commit, STAGE).await;
    assert_eq!(
        outcomes(&third)[..2],
        [
            ("apply-stack", forward, vec![ReportStatus::Unchanged]),
            ("deploy-function", forward, vec![ReportStatus::Applied]),
        ]
    );
    let report = &third.steps[1].reports[0];
    let facts: FunctionFacts = report.facts.read().unwrap();
    assert_eq!(facts.previous_code_sha256.read(), Ok(Some(&Some(Sha256::of(&other)))), "it tells what was there");
    assert_eq!(here.live(function_name(&first)).await.code, before.code);
}

#[tokio::test]
async fn the_next_commit_replaces_the_one_before() {
    let here = Promotions::get().await;
    let repo = a_repo("next");
    let (first, second) = (here.a_commit(&repo, 200).await, here.a_commit(&repo, 200).await);
    let before = here.promoted(&first, STAGE).await;
    let after = here.promoted(&second, STAGE).await;
    assert_eq!(function_name(&after), function_name(&before));
    let live = here.live(function_name(&after)).await;
    assert_eq!(live.code, Sha256::of(&second.objects[&the_zip()]));
    let zip_of = |commit: &Commit| Sha256::of(&commit.objects[&the_zip()]);
    assert_eq!(live.versions, [(1, zip_of(&first)), (2, zip_of(&second))].into());
    let way_back = after.way_back.unwrap();
    assert_eq!((way_back.commit_sha, way_back.promotion_id), (first.id.sha.clone(), before.promotion_id));
    assert_eq!(way_back.plan, before.plan);
    let state = here.state(&repo, STAGE).await.unwrap();
    assert_eq!(state.commit_sha, second.id.sha);
    assert_eq!(state.history.iter().map(|it| &it.commit_sha).collect::<Vec<_>>(), [&first.id.sha, &second.id.sha]);
}

/// A CDK template takes its code from the asset bucket of the stage's account.
fn from_assets(commit: &mut Commit) {
    let asset = Sha256::of(&commit.objects[&the_zip()]);
    change_template(commit, |template| {
        let parameters = template["Parameters"].as_object_mut().unwrap();
        parameters.remove("ArtefactBucket");
        parameters.remove("ArtefactPrefix");
        template["Resources"]["AuthorisePaymentFn"]["Properties"]["Code"] = json!({
            "S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"},
            "S3Key": format!("{asset}.zip"),
        });
    });
}

#[tokio::test]
async fn code_that_a_template_takes_from_the_asset_bucket_is_copied_there() {
    let here = Promotions::get().await;
    let mut commit = a_commit(&here.aws, &a_repo("cdk"), 200);
    from_assets(&mut commit);
    let commit = here.built(commit).await;
    let record = here.promoted(&commit, STAGE).await;
    let facts: StackFacts = record.steps[0].reports[0].facts.read().unwrap();
    assert_eq!((facts.code_copied.read(), facts.code_already_there.read()), (Ok(Some(&1)), Ok(Some(&0))));
    assert_eq!(here.live(function_name(&record)).await.code, Sha256::of(&commit.objects[&the_zip()]));
}

/// Where an asset lies, by its key.
fn in_the_asset_bucket(key: &str) -> Value {
    json!({"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": key})
}

/// A commit whose stack takes a plain file, a layer, and a nested stack with a function of its own. Gives their paths.
fn with_assets(commit: &mut Commit) -> [ArtefactPath; 4] {
    let asset =
        |bytes: &[u8], extension: &str| path(&format!("modules/{MODULE}/assets/{}.{extension}", Sha256::of(bytes)));
    let key_of = |path: &ArtefactPath| path.to_string().rsplit('/').next().unwrap().to_owned();
    let machine =
        json!({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}}).to_string().into_bytes();
    let layer = zips::node(&format!("layer of {}", commit.id.sha));
    let code = zips::node("inner");
    let inner = json!({
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ]}}},
            "InnerFn": {"Type": "AWS::Lambda::Function", "Properties": {
                "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": in_the_asset_bucket("inner-code.zip"),
            }},
        },
        "Outputs": {"Name": {"Value": {"Ref": "InnerFn"}}},
    });
    let inner = inner.to_string().into_bytes();
    let paths = [
        asset(&machine, "json"),
        asset(&layer, "zip"),
        asset(&inner, "template"),
        path("modules/MOD-012/functions/inner.zip"),
    ];
    let [machine_path, layer_path, inner_path, _] = &paths;
    let url = format!(
        "https://s3.${{AWS::Region}}.${{AWS::URLSuffix}}/cdk-hnb659fds-assets-${{AWS::AccountId}}-${{AWS::Region}}/{}",
        key_of(inner_path)
    );
    let (machine_key, layer_key) = (key_of(machine_path), key_of(layer_path));
    commit.objects.extend(paths.iter().cloned().zip([machine, layer, inner, code]));
    from_assets(commit);
    change_template(commit, |template| {
        let resources = template["Resources"].as_object_mut().unwrap();
        resources.insert(
            "Inner".to_owned(),
            json!({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": {"Fn::Sub": url}}}),
        );
        let content = in_the_asset_bucket(&layer_key);
        resources.insert(
            "Layer".to_owned(),
            json!({"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": content}}),
        );
        // As what a provider of one's own would load.
        let bucket = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}";
        let value = json!({"Fn::Sub": format!("s3://{bucket}/{machine_key}")});
        resources.insert(
            "Machine".to_owned(),
            json!({"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}}),
        );
        resources["AuthorisePaymentFn"]["Properties"]["Layers"] = json!([{"Ref": "Layer"}]);
    });
    let functions = commit.manifest["modules"][0]["functions"].as_array_mut().unwrap();
    let inner = functions.iter_mut().find(|it| it["name"] == "inner").unwrap();
    inner["logical_id"] = json!("Inner/InnerFn");
    paths
}

#[tokio::test]
async fn assets_and_a_nested_stack_go_live_byte_for_byte() {
    let here = Promotions::get().await;
    let mut commit = a_commit(&here.aws, &a_repo("assets"), 200);
    let paths = with_assets(&mut commit);
    let commit = here.built(commit).await;
    let record = here.promoted(&commit, STAGE).await;

    // The plan pins each, and they lie where the template names them.
    let planned = &record.plan.stacks[0].assets;
    let kinds: Vec<_> = planned.iter().map(|it| (it.resource.as_str(), it.kind.as_str())).collect();
    assert_eq!(kinds, [("Inner", "template"), ("Layer", "layer"), ("Machine", "file"), ("Inner/InnerFn", "file")]);
    let account = here.aws.outputs.signing_key_arn.split(':').nth(4).unwrap();
    let bucket = format!("cdk-hnb659fds-assets-{account}-{}", here.aws.outputs.region);
    for asset in planned {
        let path = ArtefactKey::parse(&asset.file.key).unwrap().path;
        assert!(paths.contains(&path), "{path}");
        let object = here.aws.root.s3.get_object().bucket(&bucket).key(asset.asset_key.as_str()).send().await.unwrap();
        let bytes = object.body.collect().await.unwrap().into_bytes();
        assert_eq!(bytes, commit.objects[&path], "{path}");
        is_pinned(&here, &commit, &path, &serde_json::to_value(&asset.file).unwrap()).await;
    }
    let facts: StackFacts = record.steps[0].reports[0].facts.read().unwrap();
    let [copied, there] = [&facts.code_copied, &facts.code_already_there].map(|it| *it.read().unwrap().unwrap());
    assert_eq!(copied + there, 5, "some of them another test has brought there");
    // The function in the nested stack runs the tested bytes too, and the record tells of it.
    let inner = record.live.iter().find(|it| it.function.as_str() == "inner").unwrap();
    assert!(inner.is_promoted_code);
    assert_eq!(here.live(inner.function_name.as_ref().unwrap()).await.code, Sha256::of(&commit.objects[&paths[3]]));

    // Under such a key lie somebody's bytes: they stay, and nothing is applied.
    let mut next = a_commit(&here.aws, &commit.id.repo, 200);
    let taken = with_assets(&mut next)[0].clone();
    let other = b"{\"StartAt\": \"Other\"}".to_vec();
    let key = format!("{}.json", Sha256::of(&other));
    let path = path(&format!("modules/{MODULE}/assets/{key}"));
    let old = taken.to_string().rsplit('/').next().unwrap().to_owned();
    next.objects.remove(&taken);
    next.objects.insert(path, other);
    let template = String::from_utf8(next.objects[&the_template()].clone()).unwrap().replace(&old, &key);
    next.objects.insert(the_template(), template.into_bytes());
    next.list();
    let functions = next.manifest["modules"][0]["functions"].as_array_mut().unwrap();
    functions.iter_mut().find(|it| it["name"] == "inner").unwrap()["logical_id"] = json!("Inner/InnerFn");
    here.aws.root.s3.put_object().bucket(&bucket).key(&key).body(b"somebody's".to_vec().into()).send().await.unwrap();
    let next = here.built(next).await;
    let started = here.start(&promotion_of(&next, STAGE)).await;
    let failed = here.ended(&started).await;
    assert_ne!(failed.status, Status::Succeeded);
    let detail = &failed
        .steps
        .iter()
        .flat_map(|step| &step.reports)
        .find(|it| it.detail.contains("other bytes"))
        .unwrap()
        .detail;
    assert!(detail.contains("They are somebody's"), "{detail}");
    let left = here.aws.root.s3.get_object().bucket(&bucket).key(&key).send().await.unwrap();
    assert_eq!(left.body.collect().await.unwrap().into_bytes().as_ref(), b"somebody's");
}

/// CloudFormation makes a layer's version once for a key: what is put under that key later is not what runs.
#[tokio::test]
async fn a_layer_that_was_made_from_other_bytes_under_its_key_stops_the_promotion() {
    let here = Promotions::get().await;
    let mut first = a_commit(&here.aws, &a_repo("layer"), 200);
    let layer = with_assets(&mut first)[1].clone();
    let first = here.built(first).await;
    let record = here.promoted(&first, STAGE).await;
    let planned = record.plan.stacks[0].assets.iter().find(|it| it.kind == AssetKind::Layer).unwrap();
    let key = planned.asset_key.clone();
    let account = here.aws.outputs.signing_key_arn.split(':').nth(4).unwrap();
    let bucket = format!("cdk-hnb659fds-assets-{account}-{}", here.aws.outputs.region);
    // The bucket's lifecycle takes the object away, and the next commit has other bytes for the key.
    here.aws.root.s3.delete_object().bucket(&bucket).key(key.as_str()).send().await.unwrap();
    let mut next = a_commit(&here.aws, &first.id.repo, 200);
    let own = with_assets(&mut next)[1].clone();
    let stored = Sha256::of(&next.objects[&own]);
    let template = String::from_utf8(next.objects[&the_template()].clone()).unwrap();
    let template = template.replace(own.to_string().rsplit('/').next().unwrap(), key.as_str());
    next.objects.insert(the_template(), template.into_bytes());
    next.list();
    for asset in next.manifest["modules"][0]["assets"].as_array_mut().unwrap() {
        if asset["kind"] == "layer" {
            asset["key"] = json!(key);
        }
    }
    let functions = next.manifest["modules"][0]["functions"].as_array_mut().unwrap();
    functions.iter_mut().find(|it| it["name"] == "inner").unwrap()["logical_id"] = json!("Inner/InnerFn");
    let next = here.built(next).await;
    let failed = here.ended(&here.start(&promotion_of(&next, STAGE)).await).await;
    assert_ne!(failed.status, Status::Succeeded);
    let report = &failed.steps.iter().find(|step| step.step == "deploy-function").unwrap().reports[0];
    let live = Sha256::of(&first.objects[&layer]);
    let stack = &failed.plan.stacks[0].stack_name;
    let says = format!("layer `Layer` of stack `{stack}` holds the content `{live}`, the plan has `{stored}`");
    assert!(report.detail.starts_with(&says), "{}", report.detail);
}

#[tokio::test]
async fn a_commit_whose_template_takes_what_nothing_stored_answers_for_is_rejected() {
    let here = Promotions::get().await;
    let mut commit = a_commit(&here.aws, &a_repo("no-asset"), 200);
    let [file, ..] = with_assets(&mut commit);
    commit.manifest["modules"][0]["assets"].as_array_mut().unwrap().retain(|it| it["kind"] != "file");
    commit.objects.remove(&file);
    commit.publish(&here.aws.ci().await).await;
    let refused = [(Code::TemplateCodeOutsideStore, the_template().to_string())];
    let refused = refused.each_ref().map(|(code, subject)| (*code, subject.as_str()));
    let verdict = here.aws.becomes(&commit, Outcome::Rejected, &refused).await;
    assert!(verdict.reasons[0].message.contains("resource `Machine` takes `"), "{verdict:#?}");
}

#[tokio::test]
async fn a_stage_in_another_account_gets_the_same_bytes_there() {
    let here = Promotions::get().await;
    let stage_role = &here.aws.outputs.stage_role_arn;
    let there = here.aws.assume(stage_role, "e2e").await;
    for assets in [false, true] {
        let mut commit = a_commit(&here.aws, &a_repo("other-account"), 200);
        if assets {
            from_assets(&mut commit);
        }
        let commit = here.built(commit).await;
        let record = here.promoted(&commit, OTHER_ACCOUNT).await;
        assert_eq!(record.role_arn.as_ref(), Some(stage_role));
        let live = live(&there, function_name(&record)).await;
        assert_eq!(live.code, Sha256::of(&commit.objects[&the_zip()]));
        assert_eq!(live.versions, [(1, live.code)].into());
        assert!(record.live[0].is_promoted_code);
        let name = record.plan.stacks[0].stack_name.as_str();
        let is_in = async |who: &Caller| who.cloudformation().describe_stacks().stack_name(name).send().await.is_ok();
        assert_eq!((is_in(&there).await, is_in(&here.aws.root).await), (true, false));
    }
}

/// What a promotion leaves, without the times of the reports.
async fn end_state(here: &Promotions, started: &Started) -> (PromotionRecord, Option<StageState>, Vec<Live>, usize) {
    let mut record = here.record(&started.promotion).await;
    let mut functions = Vec::new();
    for live in &record.live {
        functions.push(here.live(live.function_name.as_ref().unwrap()).await);
    }
    let handoff = RecordKey::DeployedHandoff(record.commit(), MODULE.parse().unwrap());
    for report in record.steps.iter_mut().flat_map(|step| &mut step.reports) {
        report.started_at = record.started_at;
        report.ended_at = None;
        // What was done is what may differ: the first one made it, the second one found it.
        report.status = ReportStatus::InProgress;
        report.detail.clear();
        report.facts = StoredFacts::default();
    }
    let state = here.state(&started.promotion.repo, started.promotion.stage.as_str()).await;
    (record, state, functions, here.aws.versions(&handoff).await)
}

#[tokio::test]
async fn a_step_that_is_asked_again_once_its_promotion_has_ended_applies_nothing() {
    let here = Promotions::get().await;
    let repo = a_repo("repeated");
    let (first, second) = (here.a_commit(&repo, 200).await, here.a_commit(&repo, 200).await);
    here.promoted(&first, STAGE).await;
    let started = here.start(&promotion_of(&second, STAGE)).await;
    here.ended(&started).await;
    let ended = end_state(&here, &started).await;
    let lock = here.lock(&started.promotion).await;

    let stack = here.aws.outputs.promote_function.strip_suffix("-promote").unwrap();
    for step in ["apply-stack", "deploy-function", "migrate-database", "smoke-test"].repeat(2) {
        let payload = json!({"promotion": started.promotion, "direction": "forward", "progress": []});
        let call = here.aws.root.lambda().invoke().function_name(format!("{stack}-{step}"));
        let answer = call.payload(Blob::new(payload.to_string())).send().await.unwrap();
        let said: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        assert_eq!(said["errorType"], "PromotionEnded", "{step}: {said}");
    }
    assert_eq!(end_state(&here, &started).await, ended);
    assert_eq!(here.lock(&started.promotion).await, lock, "released once");
}

#[tokio::test]
async fn an_execution_that_is_started_again_ends_in_the_same_state() {
    let here = Promotions::get().await;
    let commit = here.a_commit(&a_repo("redriven"), 200).await;
    let started = here.start(&promotion_of(&commit, STAGE)).await;
    // While the first one is at it.
    let beside = second_execution(&here, &started, "beside").await;
    here.execution_ends(&started.execution_arn).await;
    here.execution_ends(&beside).await;
    let ended = end_state(&here, &started).await;
    assert_eq!(ended.0.status, Status::Succeeded);
    let arn = second_execution(&here, &started, "after").await;
    assert_eq!(here.execution_ends(&arn).await, (ExecutionStatus::Succeeded, None));
    assert_eq!(end_state(&here, &started).await, ended);
}

async fn second_execution(here: &Promotions, started: &Started, suffix: &str) -> String {
    let input = json!({"promotion": started.promotion, "direction": "forward", "progress": []});
    let start = here.aws.root.step_functions().start_execution().input(input.to_string());
    let start = start.state_machine_arn(&here.aws.outputs.promotion_state_machine);
    let start = start.name(format!("{}-{suffix}", started.promotion.promotion_id));
    start.send().await.unwrap().execution_arn().to_owned()
}
