//! What holds data is replaced or removed only where the request names it (CONTRACT §5), by the change sets that
//! CloudFormation makes.

use e2e::{
    commit::Commit,
    promotion::{Promotions, STAGE, a_commit, a_repo, change_template, outcomes, promotion_of, rollback_of},
};
use gatekeeper_model::{finding::Code, ids::Repo};
use gatekeeper_promotion::{
    facts::StackFacts,
    record::{PromotionRecord, Status},
    step::{Direction, ReportStatus},
};
use serde_json::json;

/// The stack as the repository calls it.
const STACK: &str = e2e::commit::STACK;

/// A commit with a table of this name; without a name it has none.
async fn with_table(here: &Promotions, repo: &Repo, table: Option<&str>, status: u16) -> Commit {
    let mut commit = a_commit(&here.aws, repo, status);
    change_template(&mut commit, |template| {
        if let Some(table) = table {
            template["Resources"]["Orders"] = json!({"Type": "AWS::DynamoDB::Table", "Properties": {
                "TableName": table, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            }});
        }
    });
    here.built(commit).await
}

/// The table's own name in the stage, as its stack tells it.
async fn table(here: &Promotions, repo: &Repo) -> Option<String> {
    let stack = format!("{repo}-{STAGE}-{STACK}");
    let resources = here.aws.root.cloudformation().list_stack_resources().stack_name(stack).send().await.unwrap();
    let orders = resources.stack_resource_summaries().iter().find(|it| it.logical_resource_id() == Some("Orders"));
    orders.and_then(|it| it.physical_resource_id().map(str::to_owned))
}

/// Why a promotion's stack was refused.
fn refused(record: &PromotionRecord) -> String {
    let report = &record.steps[0].reports[0];
    assert_eq!(report.status, ReportStatus::Failed, "{report:?}");
    let facts: StackFacts = report.facts.read().unwrap();
    assert!(facts.executed.is_nothing(), "{report:?}");
    let refused = facts.refused.read().unwrap().unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].code, Code::ReplacementNotAccepted);
    assert_eq!(refused[0].subject, format!("{STACK}/Orders"));
    assert!(report.detail.contains(&refused[0].message), "{}", report.detail);
    refused[0].message.clone()
}

#[tokio::test]
async fn a_table_that_would_be_replaced_stops_the_promotion_until_the_request_names_it() {
    let here = Promotions::get().await;
    let repo = a_repo("replaced");
    let (old, new) = (format!("{repo}-old"), format!("{repo}-new"));
    let first = with_table(&here, &repo, Some(&old), 200).await;
    here.promoted(&first, STAGE).await;

    let second = with_table(&here, &repo, Some(&new), 200).await;
    let record = here.promote(&second, STAGE).await;
    assert_eq!(record.status, Status::RolledBack);
    let why = refused(&record);
    assert!(why.contains("`TableName`") && why.contains(&old) && why.contains("its items"), "{why}");
    assert_eq!(table(&here, &repo).await, Some(old));
    // Nothing was done, so there is nothing to go back from.
    assert_eq!(outcomes(&record)[1], ("apply-stack", Direction::Back, vec![ReportStatus::Unchanged]));

    let mut event = promotion_of(&second, STAGE);
    event["accept_replacement"] = json!([format!("{STACK}/Orders"), "elsewhere/Table"]);
    event["dry_run"] = json!(true);
    let planned = here.ask(&event).await.unwrap();
    assert!(planned["notes"][0].as_str().unwrap().contains("`elsewhere/Table`"), "{planned}");
    event["dry_run"] = json!(false);
    let record = here.ended(&here.start(&event).await).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    assert_eq!(table(&here, &repo).await, Some(new));
    assert_eq!(json!(record.accept_replacement), json!(["elsewhere/Table", format!("{STACK}/Orders")]));
    let facts: StackFacts = record.steps[0].reports[0].facts.read().unwrap();
    assert_eq!(json!(facts)["accepted"], json!([format!("{STACK}/Orders")]));
}

#[tokio::test]
async fn a_table_that_would_be_removed_stops_a_promotion_and_a_rollback_too() {
    let here = Promotions::get().await;
    let repo = a_repo("removed");
    let name = format!("{repo}-orders");
    let without = with_table(&here, &repo, None, 200).await;
    let with = with_table(&here, &repo, Some(&name), 200).await;
    here.promoted(&without, STAGE).await;
    here.promoted(&with, STAGE).await;

    let mut back = rollback_of(&repo, None, STAGE);
    let record = here.ended(&here.start(&back).await).await;
    assert_eq!(record.status, Status::Failed, "a rollback never rolls back a rollback");
    assert!(refused(&record).contains("would leave the stack"));
    assert_eq!(table(&here, &repo).await, Some(name));

    back["accept_replacement"] = json!([format!("{STACK}/Orders")]);
    let record = here.ended(&here.start(&back).await).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    assert_eq!(table(&here, &repo).await, None);
}

#[tokio::test]
async fn a_promotions_own_way_back_takes_away_the_table_that_it_made() {
    let here = Promotions::get().await;
    let repo = a_repo("made");
    let without = with_table(&here, &repo, None, 200).await;
    here.promoted(&without, STAGE).await;
    let fails = with_table(&here, &repo, Some(&format!("{repo}-orders")), 500).await;
    let record = here.promote(&fails, STAGE).await;
    assert_eq!(record.status, Status::RolledBack, "{record:#?}");
    let facts: StackFacts = record.steps[0].reports[0].facts.read().unwrap();
    assert_eq!(json!(facts)["made"], json!([["Orders"]]));
    assert_eq!(table(&here, &repo).await, None);
}
