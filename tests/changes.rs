//! What a promotion would change is told before it starts (CONTRACT §5), by the change sets that CloudFormation makes,
//! and nothing is changed by that.

use std::collections::BTreeSet;

use e2e::{
    commit::{Commit, STACK},
    promotion::{
        OTHER_ACCOUNT, Promotions, STAGE, a_commit, a_repo, change_template, promotion_of, synthesise_for_dev,
    },
};
use gatekeeper_model::ids::Repo;
use serde_json::{Value, json};

/// A dry run that asks what would change.
fn asked(commit: &Commit, stage: &str) -> Value {
    let mut event = promotion_of(commit, stage);
    event["dry_run"] = json!(true);
    event["changes"] = json!(true);
    event
}

/// A commit with a table of this key, and of a name that goes with it.
async fn with_table(here: &Promotions, repo: &Repo, key: &str) -> Commit {
    let mut commit = a_commit(&here.aws, repo, 200);
    change_template(&mut commit, |template| {
        template["Resources"]["Orders"] = json!({"Type": "AWS::DynamoDB::Table", "Properties": {
            "TableName": format!("{repo}-{key}"), "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        }});
    });
    here.built(commit).await
}

/// A commit that exports this name.
async fn exporting(here: &Promotions, repo: &str, name: &str) -> Commit {
    let mut commit = a_commit(&here.aws, &a_repo(repo), 200);
    change_template(&mut commit, |template| {
        template["Outputs"]["Taken"] = json!({"Value": "1", "Export": {"Name": name}});
    });
    here.built(commit).await
}

/// What there is of a commit's stack: its status and its last change, its change sets, and its events.
async fn stack(cloudformation: &aws_sdk_cloudformation::Client, commit: &Commit, stage: &str) -> Option<String> {
    let name = format!("{}-{stage}-{STACK}", commit.id.repo);
    let stacks = cloudformation.describe_stacks().stack_name(&name).send().await.ok()?;
    let change_sets = cloudformation.list_change_sets().stack_name(&name).send().await.unwrap();
    let names: Vec<_> = change_sets.summaries().iter().map(|it| it.change_set_name().unwrap()).collect();
    assert!(!names.iter().any(|name| name.ends_with("-changes")), "a change set is left: {names:?}");
    let resources = cloudformation.list_stack_resources().stack_name(&name).send().await.unwrap();
    Some(format!("{:?} {names:?} {:?}", stacks.stacks()[0], resources.stack_resource_summaries()))
}

#[tokio::test]
async fn a_table_whose_key_changes_is_told_and_nothing_is_changed() {
    let here = Promotions::get().await;
    let repo = a_repo("changes");
    here.promoted(&with_table(&here, &repo, "id").await, STAGE).await;
    let second = with_table(&here, &repo, "number").await;
    let mut event = asked(&second, STAGE);
    let cloudformation = here.aws.root.cloudformation();
    let (before, traces) = (stack(&cloudformation, &second, STAGE).await.unwrap(), here.traces(&event).await);

    let answer = here.ask(&event).await.unwrap();
    assert_eq!(answer["status"], "refused", "{answer:#}");
    assert_eq!(answer["reasons"][0]["code"], "replacement-not-accepted");
    let orders = format!("{STACK}/Orders");
    let told = &answer["changes"];
    assert_eq!(told["accept_replacement"], json!([orders]));
    let changed = told["stacks"][0]["changes"].as_array().unwrap();
    assert_eq!(told["stacks"][0]["state"], "changed");
    let table = changed.iter().find(|it| it["resource"] == orders.as_str()).unwrap();
    assert_eq!((&table["action"], &table["holds"]), (&json!("replace"), &json!("its items")));
    for property in ["KeySchema", "TableName"] {
        assert!(table["causes"].to_string().contains(property), "{table}");
    }
    assert!(table["physical_id"].is_string());

    // Accepted it is planned, and told all the same.
    event["accept_replacement"] = json!([orders]);
    let answer = here.ask(&event).await.unwrap();
    assert_eq!(answer["status"], "planned", "{answer:#}");
    assert_eq!(answer["changes"]["stacks"][0]["changes"], json!(changed));
    assert_eq!(answer["changes"].get("accept_replacement"), None);

    assert_eq!(stack(&cloudformation, &second, STAGE).await.unwrap(), before);
    assert_eq!(here.traces(&event).await, traces);
    // The promotion itself, which no question is left of, goes on as it said.
    event["dry_run"] = json!(false);
    event.as_object_mut().unwrap().remove("changes");
    here.ended(&here.start(&event).await).await;
}

#[tokio::test]
async fn a_new_stack_is_told_by_its_template_and_nothing_is_left_behind() {
    let here = Promotions::get().await;
    let commit = with_table(&here, &a_repo("new"), "id").await;
    let answer = here.ask(&asked(&commit, STAGE)).await.unwrap();
    assert_eq!(answer["status"], "planned", "{answer:#}");
    let told = &answer["changes"]["stacks"][0];
    assert_eq!(told["state"], "new");
    let all = told["changes"].as_array().unwrap();
    assert!(all.iter().all(|it| it["action"] == "add"), "{told:#}");
    assert!(all.iter().any(|it| it["resource"] == format!("{STACK}/Orders") && it["holds"] == "its items"), "{told:#}");
    assert_eq!(stack(&here.aws.root.cloudformation(), &commit, STAGE).await, None);

    // Once it is there nothing would change.
    here.promoted(&commit, STAGE).await;
    let answer = here.ask(&asked(&commit, STAGE)).await.unwrap();
    assert_eq!(answer["changes"]["stacks"][0]["state"], "unchanged", "{answer:#}");
}

#[tokio::test]
async fn an_export_that_another_stack_has_is_told_with_that_stack() {
    let here = Promotions::get().await;
    let name = a_repo("taken").to_string();
    let there = here.aws.assume(&here.aws.outputs.stage_role_arn, "e2e").await;
    let cloudformation = there.cloudformation();
    let holder = format!("{name}-holder");
    let template = json!({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"It": {"Value": "1", "Export": {"Name": name}}}});
    cloudformation.create_stack().stack_name(&holder).template_body(template.to_string()).send().await.unwrap();
    loop {
        let stacks = cloudformation.describe_stacks().stack_name(&holder).send().await.unwrap();
        match stacks.stacks()[0].stack_status().unwrap().as_str() {
            "CREATE_COMPLETE" => break,
            "CREATE_IN_PROGRESS" => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            other => panic!("{other}"),
        }
    }

    let commit = exporting(&here, "exports", &name).await;
    let answer = here.ask(&asked(&commit, OTHER_ACCOUNT)).await.unwrap();
    assert_eq!(answer["status"], "refused", "{answer:#}");
    let reasons = answer["reasons"].as_array().unwrap();
    assert_eq!((reasons.len(), &reasons[0]["code"]), (1, &json!("name-taken")));
    assert_eq!(reasons[0]["subject"], format!("{STACK}/Outputs/Taken"));
    assert!(reasons[0]["message"].as_str().unwrap().contains(&holder), "{reasons:?}");
    assert_eq!(stack(&cloudformation, &commit, OTHER_ACCOUNT).await, None);

    // Beside the gatekeeper its role may not look through the account, which is told: nothing there is taken for free.
    let answer = here.ask(&asked(&commit, STAGE)).await.unwrap();
    assert_eq!(answer["status"], "planned", "{answer:#}");
    assert!(answer["changes"]["notes"][0].as_str().unwrap().contains("cloudformation:ListExports"), "{answer:#}");
}

#[tokio::test]
async fn only_a_dry_run_tells_what_would_change_and_only_when_it_is_asked() {
    let here = Promotions::get().await;
    let commit = here.a_commit(&a_repo("asked"), 200).await;
    let mut event = asked(&commit, STAGE);
    event["dry_run"] = json!(false);
    let (kind, message) = here.ask(&event).await.unwrap_err();
    assert_eq!(kind, "InvalidPromotionEvent");
    assert!(message.contains("`changes`: only a dry run"), "{message}");
    event["dry_run"] = json!(true);
    event["changes"] = json!(false);
    let answer = here.ask(&event).await.unwrap();
    assert_eq!((&answer["status"], answer.get("changes")), (&json!("planned"), None));
}

#[tokio::test]
async fn the_command_tells_what_would_change_and_every_substitution() {
    let here = Promotions::get().await;
    let mut commit = a_commit(&here.aws, &a_repo("substituted"), 200);
    let application = format!("app-{}", commit.id.sha.as_str().get(..8).unwrap());
    synthesise_for_dev(&mut commit, &here.aws.outputs.region, &application);
    let commit = here.built(commit).await;
    let run = async |format: &str| {
        let (repo, sha) = (commit.id.repo.as_str(), commit.id.sha.as_str());
        let mut command = here.aws.command(&here.promoter).await;
        command.args(["promote", "--repo", repo, "--sha", sha, "--stage", STAGE, "--reason", "release 2026-05"]);
        command.args(["--dry-run", "--changes", "--output", format]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&run("json").await).unwrap();
    let told = &document["plan"]["stacks"][0]["form"]["substitutions"];
    let substitutions = document["substitutions"][0]["substitutions"].as_array().unwrap();
    assert_eq!(json!(substitutions.len()), *told, "{document:#}");
    assert!(substitutions.len() > 3);
    let places: BTreeSet<_> = substitutions.iter().map(|it| it["place"].as_str().unwrap()).collect();
    assert_eq!(places.len(), substitutions.len());
    let is_named = |it: &Value| {
        it["from"] == format!("dev-{application}-settlements")
            && it["to"] == format!("{STAGE}-{application}-settlements")
    };
    assert!(substitutions.iter().any(is_named), "{substitutions:#?}");
    let text = run("text").await;
    assert!(text.contains(&format!("{} substitutions, the first 3", substitutions.len())), "{text}");
    assert!(text.contains("nothing was changed") && text.contains("    new "), "{text}");
}
