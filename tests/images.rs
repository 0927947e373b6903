//! Container images that a template names by a tag: a stage gets the very image that was tested in dev, or nothing.

use e2e::{
    commit::{Commit, STACK, the_template},
    promotion::{Promotions, STAGE, a_commit, a_repo, change_template, promotion_of},
    registry::{Repository, digest},
};
use gatekeeper_aws::stack_functions::resources_of;
use gatekeeper_model::{
    finding::Code,
    ids::{ImageDigest, Repo},
    verdict::Outcome,
};
use gatekeeper_promotion::{
    facts::FunctionFacts,
    record::{PromotionRecord, Status},
    step::ReportStatus,
};
use serde_json::{Value, json};

/// A commit whose function `Pay` runs the image `v1` of the repository that is called as the commit's, tested with this
/// digest.
fn with_image(here: &Promotions, repo: &Repo, tested: Option<ImageDigest>) -> Commit {
    let mut commit = a_commit(&here.aws, repo, 200);
    change_template(&mut commit, |template| {
        let image = format!("${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/{repo}:v1");
        template["Resources"]["Pay"] = json!({"Type": "AWS::Lambda::Function", "Properties": {
            "PackageType": "Image", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ImageUri": {"Fn::Sub": image}},
        }});
    });
    if let Some(digest) = tested {
        let told = json!({"stack": STACK, "logical_id": "Pay", "property": "Code.ImageUri", "digest": digest});
        commit.manifest["tests"]["integration"]["images"] = json!([told]);
    }
    commit
}

/// Why a dry run that asks what would change is refused.
async fn refusal(here: &Promotions, commit: &Commit) -> String {
    let mut event = promotion_of(commit, STAGE);
    event["dry_run"] = json!(true);
    event["changes"] = json!(true);
    let answer = here.ask(&event).await.unwrap();
    assert_eq!(answer["status"], "refused", "{answer:#}");
    let reasons: Vec<&Value> = answer["reasons"].as_array().unwrap().iter().collect();
    assert_eq!(reasons.len(), 1, "{answer:#}");
    assert_eq!(reasons[0]["code"], Code::ImageNotInStage.as_str());
    reasons[0]["message"].as_str().unwrap().to_owned()
}

/// What a promotion says of a stack or function that failed.
async fn failure(here: &Promotions, commit: &Commit, step: &str) -> String {
    let record = here.ended(&here.start(&promotion_of(commit, STAGE)).await).await;
    assert_ne!(record.status, Status::Succeeded);
    let step = record.steps.iter().find(|it| it.step == step).unwrap();
    let failed = step.reports.iter().find(|it| it.status == ReportStatus::Failed);
    assert!(failed.is_some(), "{record:#?}");
    failed.unwrap().detail.clone()
}

/// What the stage's function `Pay` runs.
async fn runs(here: &Promotions, record: &PromotionRecord) -> String {
    let resources = resources_of(&here.aws.root.cloudformation(), &record.plan.stacks[0].stack_name).await.unwrap();
    let pay = resources.iter().find(|it| it.logical_id == "Pay").unwrap();
    let function = here.aws.root.lambda().get_function().function_name(&pay.physical_id).send().await.unwrap();
    function.code().unwrap().resolved_image_uri().unwrap().to_owned()
}

#[tokio::test]
async fn a_stage_gets_the_image_that_was_tested_and_stops_where_its_registry_has_another() {
    let here = Promotions::get().await;
    let repo = a_repo("image");
    let tested = digest("tested");

    // A tag binds nothing, so the manifest has to tell what ran.
    let untold = with_image(&here, &repo, None);
    untold.publish(&here.aws.ci().await).await;
    let refused = [(Code::TestedBytesMissing, the_template().to_string())];
    let refused = refused.each_ref().map(|(code, subject)| (*code, subject.as_str()));
    here.aws.becomes(&untold, Outcome::Rejected, &refused).await;
    let commit = here.built(with_image(&here, &repo, Some(tested))).await;

    let said = refusal(&here, &commit).await;
    assert!(
        said.contains(&format!("tested was `{tested}`, and there is no such repository; copy that image")),
        "{said}"
    );
    let repository = Repository::create(&here.aws.root.config, repo.as_str(), false).await;
    let said = refusal(&here, &commit).await;
    assert!(said.contains("the repository has no such tag"), "{said}");
    let other = repository.put("v1", "other").await;
    let wrong = format!("tested was `{tested}`, and under the tag there is `{other}`");
    let said = refusal(&here, &commit).await;
    assert!(said.contains(&wrong), "{said}");
    // The promotion itself stops there too, before the stack is touched.
    let said = failure(&here, &commit, "apply-stack").await;
    assert!(said.starts_with("the stack was not changed: ") && said.contains(&wrong), "{said}");

    repository.put("v1", "tested").await;
    let record = here.promoted(&commit, STAGE).await;
    assert_eq!(record.plan.stacks[0].images[0].digest, tested);
    let step = record.steps.iter().find(|step| step.step == "deploy-function").unwrap();
    let report = step.reports.iter().find(|it| it.subject == format!("{STACK}/Pay")).unwrap();
    assert_eq!(report.status, ReportStatus::Unchanged);
    let facts: FunctionFacts = report.facts.read().unwrap();
    assert_eq!(facts.image_digest.read().unwrap(), Some(&tested));
    let pay = record.live.iter().find(|it| it.function == format!("{STACK}/Pay")).unwrap();
    assert_eq!((pay.code_sha256, pay.is_promoted_code), (Some(tested.sha256()), true), "{pay:?}");
    let live = runs(&here, &record).await;
    assert!(live.ends_with(&format!("/{repo}@{tested}")), "{live}");

    // The next commit was tested with another image under the same tag: CloudFormation sees no change, so the function
    // would stay as it is.
    let next = repository.put("v1", "next").await;
    let commit = here.built(with_image(&here, &repo, Some(next))).await;
    let said = failure(&here, &commit, "deploy-function").await;
    assert!(said.contains(&format!("runs the image `{tested}`, tested was `{next}`")), "{said}");
    assert_eq!(runs(&here, &record).await, live);
}

/// Whoever starts a task takes what is under the tag by then.
#[tokio::test]
async fn what_resolves_its_tag_whenever_it_starts_needs_a_repository_whose_tags_stay() {
    let here = Promotions::get().await;
    for is_immutable in [false, true] {
        let repo = a_repo("task");
        let repository = Repository::create(&here.aws.root.config, repo.as_str(), is_immutable).await;
        let tested = repository.put("v1", "tested").await;
        let mut commit = a_commit(&here.aws, &repo, 200);
        change_template(&mut commit, |template| {
            let image = format!("${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/{repo}:v1");
            let container = json!({"Name": "pay", "Image": {"Fn::Sub": image}, "Memory": 128});
            template["Resources"]["Task"] = json!({
                "Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": [container]},
            });
        });
        let property = "ContainerDefinitions[0].Image";
        let told = json!({"stack": STACK, "logical_id": "Task", "property": property, "digest": tested});
        commit.manifest["tests"]["integration"]["images"] = json!([told]);
        let commit = here.built(commit).await;
        if is_immutable {
            let record = here.promoted(&commit, STAGE).await;
            assert!(!record.plan.stacks[0].images[0].is_function);
        } else {
            let said = failure(&here, &commit, "apply-stack").await;
            assert!(said.contains("may be moved after the promotion: make them immutable"), "{said}");
        }
    }
}
