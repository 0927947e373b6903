//! Templates that name the account, the region and the stage that they were synthesised for, as SST's do: a stage gets
//! the form that the gate derived, and what it says is the stage's own.

use std::collections::BTreeMap;

use e2e::{
    commit::{Commit, MODULE, STACK, path, the_template, the_zip},
    promotion::{
        DEV_ACCOUNT, Live, OTHER_ACCOUNT, Promotions, STAGE, a_commit, a_repo, change_template, promotion_of,
        synthesise_for_dev,
    },
    zips,
};
use gatekeeper_model::{
    finding::Code,
    ids::{Sha256, StackName},
    store_key::ArtefactPath,
    verdict::{Outcome, TemplateForm},
};
use gatekeeper_promotion::record::PromotionRecord;
use gatekeeper_readers::template::form;
use serde_json::{Value, json};

/// The name of an application that nothing else on the local AWS bears: queues and exports are called by it.
fn application(commit: &Commit) -> String {
    format!("app-{}", commit.id.sha.as_str().get(..8).unwrap())
}

fn a_synthesised_commit(here: &Promotions, name: &str) -> Commit {
    let mut commit = a_commit(&here.aws, &a_repo(name), 200);
    let application = application(&commit);
    synthesise_for_dev(&mut commit, &here.aws.outputs.region, &application);
    commit
}

/// The form of the commit's template as the gate attests it.
async fn attested(here: &Promotions, commit: &Commit) -> TemplateForm {
    let verdict = here.aws.verdict(commit).await.unwrap();
    verdict.forms[&STACK.parse::<StackName>().unwrap()].clone()
}

/// The template of a promotion's stack, as CloudFormation was given it.
async fn applied(here: &Promotions, record: &PromotionRecord) -> String {
    let get = here.aws.root.cloudformation().get_template().stack_name(record.plan.stacks[0].stack_name.as_str());
    get.send().await.unwrap().template_body.unwrap()
}

#[tokio::test]
async fn a_stage_gets_the_form_and_with_it_names_of_its_own() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "synthesised");
    let listed = &mut commit.manifest["modules"][0]["stacks"][0];
    listed["tags"] = json!({"sst:stage": "dev", "team": "payments"});
    listed["termination_protection"] = json!(true);
    let commit = here.built(commit).await;
    let application = application(&commit);
    let form = attested(&here, &commit).await;
    assert_eq!(form.template_sha256, Sha256::of(&commit.objects[&the_template()]));

    let record = here.promoted(&commit, STAGE).await;
    let planned = record.plan.stacks[0].form.as_ref().unwrap();
    assert_eq!((&planned.told, planned.synthesised_for.stage.as_str()), (&form, "dev"));
    let applied = applied(&here, &record).await;
    assert_eq!(Sha256::of(applied.as_bytes()), form.sha256);
    // Whoever has the stored template and the declaration derives the same.
    let derived = form::derive(&commit.objects[&the_template()], &planned.synthesised_for, "it").unwrap();
    assert_eq!((derived.told(), derived.bytes), (form, applied.into_bytes()));

    let name = record.live[0].function_name.as_ref().unwrap();
    let Live { code, environment, .. } = here.live(name).await;
    assert_eq!(code, Sha256::of(&commit.objects[&the_zip()]));
    assert_eq!(
        (environment["SST_STAGE"].as_str(), environment["SST_SSM_PREFIX"].as_str()),
        (STAGE, format!("/sst/{application}/{STAGE}/").as_str())
    );
    let stack = record.plan.stacks[0].stack_name.as_str();
    let stacks = here.aws.root.cloudformation().describe_stacks().stack_name(stack).send().await.unwrap();
    let standing = &stacks.stacks()[0];
    let tags: BTreeMap<_, _> = standing.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    assert_eq!(tags, BTreeMap::from([("sst:stage", STAGE), ("team", "payments")]));
    assert_eq!(standing.enable_termination_protection(), Some(true));
    let output = standing.outputs()[0].clone();
    assert_eq!(output.export_name(), Some(format!("{STAGE}-{application}-Settlements").as_str()));
    assert!(output.output_value().unwrap().ends_with(&format!(":{STAGE}-{application}-settlements")), "{output:?}");

    // The same form says the other account's and the other stage's names there.
    let there = here.promoted(&commit, OTHER_ACCOUNT).await;
    assert_eq!(there.plan.stacks[0].form, record.plan.stacks[0].form);
    assert!(there.live[0].is_promoted_code);
}

/// As `serverless package` writes it: the key of the code and the names are dev's.
#[tokio::test]
async fn what_serverless_packaged_runs_under_the_stages_names() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "serverless");
    let application = application(&commit);
    let folder = |stage: &str| format!("serverless/{application}/{stage}/1796045812437-2026-11-30T13:36:52.437Z");
    change_template(&mut commit, |template| {
        template["Resources"]["AuthorisePaymentFn"]["Properties"]["Code"]["S3Key"] =
            json!(format!("{}/pay.zip", folder("dev")));
        template["Resources"]["Settlements"]["Properties"]["QueueName"] =
            json!({"Fn::Join": ["-", [application, "dev", "settlements"]]});
        template["Outputs"] = json!({"Settlements": {
            "Value": {"Fn::GetAtt": ["Settlements", "Arn"]},
            "Export": {"Name": format!("sls-{application}-dev-Settlements")},
        }});
    });
    let commit = here.built(commit).await;
    assert_eq!(here.aws.verdict(&commit).await.unwrap().warnings, []);
    let record = here.promoted(&commit, STAGE).await;
    let Live { code, .. } = here.live(record.live[0].function_name.as_ref().unwrap()).await;
    assert_eq!(code, Sha256::of(&commit.objects[&the_zip()]));
    assert!(applied(&here, &record).await.contains("1796045812437-2026-11-30T13:36:52.437Z/pay.zip"));
    let stack = record.plan.stacks[0].stack_name.as_str();
    let stacks = here.aws.root.cloudformation().describe_stacks().stack_name(stack).send().await.unwrap();
    let output = stacks.stacks()[0].outputs()[0].clone();
    assert_eq!(output.export_name(), Some(format!("sls-{application}-{STAGE}-Settlements").as_str()));
    assert!(output.output_value().unwrap().ends_with(&format!(":{application}-{STAGE}-settlements")), "{output:?}");
}

#[tokio::test]
async fn without_the_declaration_the_template_is_refused() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "undeclared");
    commit.manifest.as_object_mut().unwrap().remove("synthesised_for");
    commit.publish(&here.aws.ci().await).await;
    let template = the_template().to_string();
    here.aws.becomes(&commit, Outcome::Rejected, &[(Code::TemplateNotPortable, &template)]).await;
}

#[tokio::test]
async fn a_stage_in_devs_account_gets_no_template_that_still_names_dev() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "names-dev");
    let home = here.aws.outputs.ci_role_arn.split(':').nth(4).unwrap();
    commit.manifest["synthesised_for"]["account"] = json!(home);
    change_template(&mut commit, |template| {
        template["Resources"]["AuthorisePaymentFn"]["Properties"]["Environment"]["Variables"]["DATABASE"] =
            json!("/bank/dev/url");
    });
    let commit = here.built(commit).await;
    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    let codes: Vec<Code> = reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::TemplateNamesStage]);
    assert!(reasons[0].message.contains("/Variables/DATABASE"), "{reasons:?}");
    let warned: Value = serde_json::to_value(here.aws.verdict(&commit).await.unwrap().warnings).unwrap();
    assert!(warned.to_string().contains("template-names-stage"), "{warned}");
}

/// A nested stack as CDK writes it with an explicit `env`.
fn nested(account: &str, region: &str, path: &ArtefactPath) -> Value {
    let path = path.to_string();
    let key = path.rsplit('/').next().unwrap();
    let path = format!("/cdk-hnb659fds-assets-{account}-{region}/{key}");
    let url = json!({"Fn::Join": ["", [format!("https://s3.{region}."), {"Ref": "AWS::URLSuffix"}, path]]});
    json!({"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}})
}

fn the_nested(template: &Value) -> (ArtefactPath, Vec<u8>) {
    let bytes = template.to_string().into_bytes();
    (path(&format!("modules/{MODULE}/assets/{}.template", Sha256::of(&bytes))), bytes)
}

/// Nests a stack with a function in a commit's stack, and in that one another: all of them name dev. `change` may change
/// the first. Gives the path of that.
fn nest(here: &Promotions, commit: &mut Commit, change: impl FnOnce(&mut Value)) -> ArtefactPath {
    let (application, region) = (application(commit), here.aws.outputs.region.as_str());
    let account = commit.manifest["synthesised_for"]["account"].as_str().unwrap().to_owned();
    let code = zips::node("inner");
    let (deep_path, deep) = the_nested(&json!({"Resources": {"Deep": {"Type": "AWS::SSM::Parameter", "Properties": {
        "Type": "String", "Name": format!("/sst/{application}/dev/deep"), "Value": "deep",
    }}}}));
    let mut inner = json!({"Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]}}},
        "InnerFn": {"Type": "AWS::Lambda::Function", "Properties": {
            "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"S3Bucket": format!("cdk-hnb659fds-assets-{account}-{region}"), "S3Key": format!("{}.zip", Sha256::of(&code))},
            "Environment": {"Variables": {"SST_STAGE": "dev", "SST_SSM_PREFIX": format!("/sst/{application}/dev/")}},
        }},
        "Deeper": nested(&account, region, &deep_path),
    }});
    change(&mut inner);
    let (inner_path, inner) = the_nested(&inner);
    let bundle = path(&format!("modules/{MODULE}/functions/inner.zip"));
    commit.objects.extend([(deep_path, deep), (inner_path.clone(), inner), (bundle, code)]);
    change_template(commit, |template| template["Resources"]["Inner"] = nested(&account, region, &inner_path));
    let functions = commit.manifest["modules"][0]["functions"].as_array_mut().unwrap();
    functions.iter_mut().find(|it| it["name"] == "inner").unwrap()["logical_id"] = json!("Inner/InnerFn");
    inner_path
}

/// Makes dev's account the gatekeeper's own, which is the first stage's too.
fn in_the_gatekeepers_account(here: &Promotions, commit: &mut Commit) -> String {
    let home = here.aws.outputs.ci_role_arn.split(':').nth(4).unwrap().to_owned();
    commit.manifest["synthesised_for"]["account"] = json!(home);
    change_template(commit, |template| {
        *template = serde_json::from_str(&template.to_string().replace(DEV_ACCOUNT, &home)).unwrap();
    });
    home
}

/// The template of a stack and the ids of the stacks that are nested in it, by their logical ids.
async fn standing(here: &Promotions, stack: &str) -> (String, BTreeMap<String, String>) {
    let cloudformation = here.aws.root.cloudformation();
    let template = cloudformation.get_template().stack_name(stack).send().await.unwrap().template_body.unwrap();
    let resources = cloudformation.list_stack_resources().stack_name(stack).send().await.unwrap();
    let nested = resources.stack_resource_summaries().iter();
    let nested = nested.filter(|it| it.resource_type() == Some("AWS::CloudFormation::Stack"));
    let ids =
        nested.map(|it| (it.logical_resource_id().unwrap().to_owned(), it.physical_resource_id().unwrap().to_owned()));
    (template, ids.collect())
}

#[tokio::test]
async fn nested_stacks_get_forms_too_and_with_them_names_of_the_stage() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "nested");
    nest(&here, &mut commit, |_| {});
    let commit = here.built(commit).await;
    assert_eq!(here.aws.verdict(&commit).await.unwrap().warnings, []);
    let form = attested(&here, &commit).await;
    assert_eq!(form.nested.len(), 2, "{form:?}");

    let record = here.promoted(&commit, STAGE).await;
    let planned = &record.plan.stacks[0];
    assert_eq!(planned.form.as_ref().unwrap().told, form);
    let (root, inner) = standing(&here, planned.stack_name.as_str()).await;
    assert_eq!(Sha256::of(root.as_bytes()), form.sha256);
    let (inner, deeper) = standing(&here, &inner["Inner"]).await;
    let (deep, _) = standing(&here, &deeper["Deeper"]).await;
    for (resource, template) in [("Inner", &inner), ("Inner/Deeper", &deep)] {
        let asset = planned.assets.iter().find(|it| it.resource == resource).unwrap();
        let nested = &form.nested[&asset.asset_key];
        assert_eq!((Sha256::of(template.as_bytes()), nested.template_sha256), (nested.sha256, asset.file.sha256));
        assert!(!template.contains(DEV_ACCOUNT) && !template.contains("dev"), "{template}");
    }
    let function = record.live.iter().find(|it| it.function.as_str() == "inner").unwrap();
    let Live { environment, .. } = here.live(function.function_name.as_ref().unwrap()).await;
    let application = application(&commit);
    assert_eq!(
        (environment["SST_STAGE"].as_str(), environment["SST_SSM_PREFIX"].as_str()),
        (STAGE, format!("/sst/{application}/{STAGE}/").as_str())
    );

    // The same forms say the other account's and the other stage's names there.
    let there = here.promoted(&commit, OTHER_ACCOUNT).await;
    assert_eq!(there.plan.stacks[0].form, planned.form);
    assert!(there.live.iter().all(|it| it.is_promoted_code), "{:?}", there.live);

    // Once more nothing changes, and what lies there already is taken.
    let again = here.promoted(&commit, STAGE).await;
    let status = &again.steps[0].reports[0];
    assert_eq!(serde_json::to_value(status.status).unwrap(), "unchanged", "{status:?}");
}

#[tokio::test]
async fn a_stage_in_devs_own_account_leaves_devs_nested_templates_as_they_are() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "nested-beside-dev");
    let home = in_the_gatekeepers_account(&here, &mut commit);
    let inner = nest(&here, &mut commit, |_| {});
    // As dev's own deployment has left it.
    let bucket = format!("cdk-hnb659fds-assets-{home}-{}", here.aws.outputs.region);
    let key = inner.to_string().rsplit('/').next().unwrap().to_owned();
    let of_dev = commit.objects[&inner].clone();
    let s3 = &here.aws.root.s3;
    s3.put_object().bucket(&bucket).key(&key).body(of_dev.clone().into()).send().await.unwrap();

    let commit = here.built(commit).await;
    let record = here.promoted(&commit, STAGE).await;
    let function = record.live.iter().find(|it| it.function.as_str() == "inner").unwrap();
    let Live { environment, .. } = here.live(function.function_name.as_ref().unwrap()).await;
    assert_eq!(environment["SST_STAGE"], STAGE);
    let left = s3.get_object().bucket(&bucket).key(&key).send().await.unwrap();
    assert_eq!(left.body.collect().await.unwrap().into_bytes(), of_dev);
}

#[tokio::test]
async fn a_nested_template_that_still_names_dev_is_kept_from_devs_own_account() {
    let here = Promotions::get().await;
    let mut commit = a_synthesised_commit(&here, "nested-names-dev");
    in_the_gatekeepers_account(&here, &mut commit);
    nest(&here, &mut commit, |inner| {
        inner["Resources"]["InnerFn"]["Properties"]["Environment"]["Variables"]["DATABASE"] = json!("/bank/dev/url");
    });
    let commit = here.built(commit).await;
    let warned: Value = serde_json::to_value(here.aws.verdict(&commit).await.unwrap().warnings).unwrap();
    assert!(warned.to_string().contains("template-names-stage"), "{warned}");
    let reasons = here.refusal(&promotion_of(&commit, STAGE)).await;
    let codes: Vec<Code> = reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::TemplateNamesStage]);
    assert!(
        reasons[0].message.contains("`Inner/Resources/InnerFn/") && reasons[0].message.contains("/DATABASE`"),
        "{reasons:?}"
    );
}
