//! What CloudFormation tells of a change set decides whether it is executed.

use super::*;

const CHANGE_SET: &str = "gatekeeper-01arz3ndektsv4rrffq69g5fav-forward";
pub(super) const TABLE: &str = "AWS::DynamoDB::Table";

/// A change as `DescribeChangeSet` tells it.
pub(super) fn change(id: &str, r#type: &str, told: &str) -> String {
    format!(
        "<member><Type>Resource</Type><ResourceChange><LogicalResourceId>{id}</LogicalResourceId>\
         <PhysicalResourceId>uat-{id}</PhysicalResourceId><ResourceType>{type}</ResourceType>{told}\
         </ResourceChange></member>"
    )
}

/// What makes a change a replacement, with the property that causes it.
pub(super) fn replaced(replacement: &str, property: &str) -> String {
    let target = format!(
        "<Target><Attribute>Properties</Attribute><Name>{property}</Name><RequiresRecreation>Always</RequiresRecreation></Target>"
    );
    let other = "<Target><Attribute>Properties</Attribute><Name>Other</Name><RequiresRecreation>Never</RequiresRecreation></Target>";
    format!(
        "<Action>Modify</Action><Replacement>{replacement}</Replacement><PolicyAction>ReplaceAndDelete</PolicyAction>\
         <Details><member>{target}<Evaluation>Static</Evaluation><ChangeSource>ParameterReference</ChangeSource>\
         <CausingEntity>Stage</CausingEntity></member><member>{other}</member></Details>"
    )
}

pub(super) const REMOVED: &str = "<Action>Remove</Action><PolicyAction>Delete</PolicyAction>";
pub(super) const ADDED: &str = "<Action>Add</Action>";
pub(super) const IN_PLACE: &str = "<Action>Modify</Action><Replacement>False</Replacement>";

/// A stage whose stack would be changed so.
fn cloud_that_changes(pages: &[String]) -> Cloud {
    Cloud { changes: [(CHANGE_SET.to_owned(), pages.to_vec())].into(), ..cloud_to_update(PLAIN) }
}

/// The same promotion with more in its record.
fn with_record(mut cloud: Cloud, change: impl FnOnce(&mut Value)) -> Cloud {
    let key = format!("records/promotions/uat/bank/{PROMOTION}.json");
    let mut record: Value = serde_json::from_slice(&cloud.objects[&key]).unwrap();
    change(&mut record);
    cloud.objects.insert(key, record.to_string().into_bytes());
    cloud
}

fn accepting(cloud: Cloud, names: &[&str]) -> Cloud {
    with_record(cloud, |record| record["accept_replacement"] = json!(names))
}

#[tokio::test]
async fn what_holds_data_is_not_replaced_unless_the_request_names_it() {
    let pages = [change("Orders", TABLE, &replaced("True", "TableName"))];
    let (report, cloud) = check(cloud_that_changes(&pages), ReportStatus::Failed).await;
    insta::assert_snapshot!(report.detail);
    assert_eq!((cloud.executions, cloud.change_set.is_none()), (0, true));
    assert_eq!(cloud.stack.unwrap().0, "UPDATE_COMPLETE");
    let refused = report.facts.refused.read().unwrap().unwrap();
    assert_eq!((refused[0].code.as_str(), refused[0].subject.as_str()), ("replacement-not-accepted", "api/Orders"));
    assert!(report.facts.executed.is_nothing());

    let named = accepting(cloud_that_changes(&pages), &["api/Orders", "api/Other", "data/Elsewhere"]);
    let (report, cloud) = check(named, ReportStatus::Applied).await;
    assert_eq!(cloud.executions, 1);
    assert_eq!(json!(report.facts)["accepted"], json!(["api/Orders"]));
    assert!(report.detail.ends_with("; `accept_replacement` names `api/Other`, which nothing replaced or removed"));
}

#[tokio::test]
async fn every_page_of_a_change_set_is_read() {
    let harmless = (0..3).map(|n| change(&format!("Topic{n}"), "AWS::SNS::Topic", &replaced("True", "TopicName")));
    let mut pages: Vec<_> = harmless.collect();
    pages.push(change("Orders", TABLE, REMOVED) + &change("Files", "AWS::S3::Bucket", &replaced("Conditional", "X")));
    let (report, cloud) = check(cloud_that_changes(&pages), ReportStatus::Failed).await;
    let refused = report.facts.refused.read().unwrap().unwrap();
    let subjects: Vec<_> = refused.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["api/Orders", "api/Files"]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(cloud.executions, 0);
}

#[tokio::test]
async fn what_stays_in_place_or_holds_nothing_goes_on() {
    let pages = [change("Orders", TABLE, IN_PLACE)
        + &change("Kept", TABLE, "<Action>Import</Action>")
        + &change("Same", TABLE, "<Action>SyncWithActual</Action>")
        + &change("Topic", "AWS::SNS::Topic", REMOVED)
        + &change("Fn", "AWS::Lambda::Function", &replaced("True", "FunctionName"))];
    let (_, cloud) = check(cloud_that_changes(&pages), ReportStatus::Applied).await;
    assert_eq!(cloud.executions, 1);
}

#[tokio::test]
async fn what_cloudformation_does_not_tell_is_taken_for_a_loss() {
    for told in [
        "<Action>Dynamic</Action>",
        "<Action>Explode</Action>",
        "",
        "<Action>Modify</Action><Replacement>Perhaps</Replacement>",
        "<Action>Modify</Action><Replacement>False</Replacement><PolicyAction>ReplaceAndRetain</PolicyAction>",
    ] {
        let (report, cloud) = check(cloud_that_changes(&[change("Orders", TABLE, told)]), ReportStatus::Failed).await;
        assert!(report.detail.contains("replacement-not-accepted"), "{told}: {}", report.detail);
        assert_eq!(cloud.executions, 0, "{told}");
    }
    // A change without its resource is no change set that could be judged.
    let cloud = cloud_that_changes(&["<member><Type>Resource</Type></member>".to_owned()]);
    let cloud = Arc::new(Mutex::new(cloud));
    let error = step(&cloud).handle(input(&json!([])), invocation()).await.unwrap_err();
    assert_eq!(error.error_type, "CloudFormationFailed");
    assert_eq!(cloud.lock().unwrap().executions, 0);
}

pub(super) const NESTED: &str = "AWS::CloudFormation::Stack";

/// A resource as `ListStackResources` tells it.
fn resource(id: &str, r#type: &str) -> String {
    format!(
        "<member><LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>uat-{id}</PhysicalResourceId>\
         <ResourceType>{type}</ResourceType><LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp>\
         <ResourceStatus>UPDATE_COMPLETE</ResourceStatus></member>"
    )
}

#[tokio::test]
async fn a_nested_stack_is_judged_by_its_own_change_set() {
    let told = format!("{IN_PLACE}<ChangeSetId>arn:aws:cloudformation:x:1:changeSet/inner/1</ChangeSetId>");
    let mut cloud = cloud_that_changes(&[change("Ledger", NESTED, &told)]);
    cloud
        .changes
        .insert("inner".to_owned(), vec![change("Topic", "AWS::SNS::Topic", REMOVED), change("Rows", TABLE, REMOVED)]);
    let (report, cloud) = check(cloud, ReportStatus::Failed).await;
    assert_eq!(report.facts.refused.read().unwrap().unwrap()[0].subject, "api/Ledger/Rows");
    assert_eq!(cloud.asked["CreateChangeSet"]["IncludeNestedStacks"], "true");

    let mut cloud = cloud_that_changes(&[change("Ledger", NESTED, &told)]);
    cloud.changes.insert("inner".to_owned(), vec![change("Rows", TABLE, IN_PLACE)]);
    check(cloud, ReportStatus::Applied).await;
}

#[tokio::test]
async fn of_a_nested_stack_that_is_removed_or_not_told_of_everything_that_it_holds_counts() {
    for (told, word) in [(REMOVED, "would leave the stack"), (IN_PLACE, "may be replaced or removed")] {
        let holding = |pages: Vec<String>| {
            let mut cloud = cloud_that_changes(&[change("Ledger", NESTED, told)]);
            cloud.resources =
                [("uat-Ledger".to_owned(), pages), ("uat-Inner".to_owned(), vec![resource("Rows", TABLE)])].into();
            cloud
        };
        let pages = vec![resource("Topic", "AWS::SNS::Topic"), resource("Inner", NESTED)];
        let (report, _) = check(holding(pages.clone()), ReportStatus::Failed).await;
        let refused = report.facts.refused.read().unwrap().unwrap();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(refused[0].subject, "api/Ledger/Inner/Rows");
        assert!(refused[0].message.contains(word), "{refused:?}");
        check(accepting(holding(pages), &["api/Ledger/Inner/Rows"]), ReportStatus::Applied).await;
        check(holding(vec![resource("Topic", "AWS::SNS::Topic")]), ReportStatus::Applied).await;
    }
}

#[tokio::test]
async fn what_holds_data_and_is_made_is_on_record_before_it_is() {
    let pages = [change("Orders", TABLE, ADDED), change("Topic", "AWS::SNS::Topic", ADDED)];
    let (report, cloud) = check(cloud_that_changes(&pages), ReportStatus::Applied).await;
    assert_eq!(json!(report.facts)["made"], json!([["Orders"]]));
    assert_eq!(cloud.executions, 1);
    // Killed at any call it is told all the same.
    for at in 0..cloud.calls.len() {
        let fault = Some(Fault::AnswerLost(at));
        let (answer, after, _) = promote(Cloud { fault, ..cloud_that_changes(&pages) }).await;
        let report = &answer.progress[0];
        assert_eq!(json!(report.facts)["made"], json!([["Orders"]]), "{at} of {:?}: {report:?}", after.calls);
    }
}

#[tokio::test]
async fn the_way_back_takes_away_what_the_way_forward_made_and_nothing_else() {
    let back = |made: Value| {
        let mut cloud = cloud_that_changes(&[change("Orders", TABLE, REMOVED)]);
        let pages = cloud.changes.remove(CHANGE_SET).unwrap();
        cloud.changes.insert(CHANGE_SET.replace("forward", "back"), pages);
        with_record(cloud, |record| {
            record["status"] = json!("going-back");
            record["way_back"] = json!({"commit_sha": SHA, "promotion_id": PROMOTION, "plan": record["plan"]});
            let report = json!({"subject": "bank-uat-api", "status": "applied", "detail": "",
                                "started_at": "2026-05-02T03:04:05Z", "facts": {"made": made}});
            record["steps"] = json!([{"step": "apply-stack", "direction": "forward", "reports": [report]}]);
        })
    };
    for (made, ends) in [(json!([["Orders"]]), ReportStatus::Applied), (json!([["Other"]]), ReportStatus::Failed)] {
        let cloud = Arc::new(Mutex::new(back(made)));
        let mut progress = json!([]);
        let report = loop {
            let mut input = input(&progress);
            input["direction"] = json!("back");
            let answer = step(&cloud).handle(input, invocation()).await.unwrap();
            progress = json!(answer.progress);
            if answer.status != StepStatus::InProgress {
                break answer.progress[0].clone();
            }
        };
        assert_eq!(report.status, ends, "{}", report.detail);
    }
    // What is told and can't be read is no sign that nothing was made.
    let cloud = Arc::new(Mutex::new(back(json!("Orders"))));
    let mut input = input(&json!([]));
    input["direction"] = json!("back");
    assert_eq!(step(&cloud).handle(input, invocation()).await.unwrap_err().error_type, "StepError");
}
