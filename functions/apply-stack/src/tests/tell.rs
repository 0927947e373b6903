//! What a plan would change is told, and nothing is changed.

use super::{
    replacement::{ADDED, IN_PLACE, NESTED, REMOVED, TABLE, change, replaced},
    *,
};

const CHANGE_SET: &str = "gatekeeper-01arz3ndektsv4rrffq69g5fav-changes";

/// The question that `promote` asks of the commit that the cloud has.
fn question(cloud: &Cloud) -> Value {
    let record = &cloud.objects[&format!("records/promotions/uat/bank/{PROMOTION}.json")];
    let record: Value = serde_json::from_slice(record).unwrap();
    json!({"changes": {
        "id": PROMOTION, "stage": "uat", "repo": "bank", "commit_sha": SHA, "role_arn": null, "stack_role_arn": null,
        "accept_replacement": [], "stacks": record["plan"]["stacks"], "functions": record["plan"]["functions"],
    }})
}

async fn ask(cloud: Cloud, question: Value) -> (Result<Changes, FunctionError>, Cloud) {
    let cloud = Arc::new(Mutex::new(cloud));
    let step = step(&cloud);
    let answer = step.answer(question, invocation()).await;
    drop(step);
    let cloud = std::mem::take(&mut *cloud.lock().unwrap());
    let told = answer.map(|answer| match answer {
        Answer::Changes(told) => told,
        Answer::Step(answer) => panic!("{answer:?}"),
    });
    // Whatever becomes of it, nothing is applied and nothing is put anywhere.
    assert_eq!(cloud.executions, 0);
    for call in ["DeleteStack", "UpdateTerminationProtection", "ExecuteChangeSet"] {
        assert!(!cloud.calls.iter().any(|it| it == call), "{:?}", cloud.calls);
    }
    (told, cloud)
}

/// What is told of a stage, which is as it was before.
async fn told(cloud: Cloud) -> (Changes, Cloud) {
    let question = question(&cloud);
    let stack = cloud.stack.clone();
    let (told, cloud) = ask(cloud, question).await;
    assert_eq!(cloud.stack, stack);
    assert!(cloud.change_set.is_none(), "a change set is left");
    (told.unwrap(), cloud)
}

/// A stage whose stack would be changed so.
fn cloud_that_changes(pages: &[String]) -> Cloud {
    Cloud { changes: [(CHANGE_SET.to_owned(), pages.to_vec())].into(), ..cloud_to_update(PLAIN) }
}

#[tokio::test]
async fn a_change_set_is_read_whole_and_deleted() {
    let inner = "<ChangeSetId>arn:aws:cloudformation:x:1:changeSet/inner/1</ChangeSetId>";
    let mut cloud = cloud_that_changes(&[
        change("Topic", "AWS::SNS::Topic", ADDED) + &change("Fn", "AWS::Lambda::Function", IN_PLACE),
        change("Orders", TABLE, &replaced("True", "KeySchema")),
        change("Files", "AWS::S3::Bucket", "<Action>Modify</Action><Replacement>Conditional</Replacement>")
            + &change("Old", "AWS::SNS::Topic", REMOVED)
            + &change("Ledger", NESTED, &format!("{IN_PLACE}{inner}"))
            + &change("Kept", TABLE, "<Action>Import</Action>"),
    ]);
    cloud.changes.insert("inner".to_owned(), vec![change("Rows", TABLE, REMOVED)]);
    let (told, cloud) = told(cloud).await;
    insta::assert_json_snapshot!(told);
    assert_eq!(cloud.made, 1);
    assert_eq!(cloud.asked["CreateChangeSet"]["ChangeSetType"], "UPDATE");
    assert_eq!(cloud.asked["CreateChangeSet"]["ChangeSetName"], CHANGE_SET);
}

#[tokio::test]
async fn what_the_request_accepts_is_told_and_stops_nothing() {
    let cloud = cloud_that_changes(&[change("Orders", TABLE, REMOVED)]);
    let mut question = question(&cloud);
    question["changes"]["accept_replacement"] = json!(["api/Orders"]);
    let (answer, _) = ask(cloud, question).await;
    let answer = answer.unwrap();
    assert_eq!(answer.reasons, []);
    assert_eq!(json!(answer.stacks[0].changes[0].action), "remove");
}

#[tokio::test]
async fn of_a_new_stack_the_template_is_told_and_no_empty_stack_is_left() {
    for status in [None, Some("REVIEW_IN_PROGRESS"), Some("DELETE_COMPLETE"), Some("ROLLBACK_COMPLETE")] {
        let stack = status.map(|status| (status.to_owned(), String::new()));
        let (told, cloud) = told(Cloud { stack, ..cloud(PLAIN) }).await;
        assert_eq!((cloud.made, json!(told.stacks[0].state)), (0, json!("new")), "{status:?}");
        let [topic] = told.stacks[0].changes.as_slice() else { panic!("{told:?}") };
        assert_eq!((json!(topic.action), json!(topic.resource)), (json!("add"), json!("api/Topic")));
        assert_eq!(told.stacks[0].notes.len(), usize::from(status == Some("ROLLBACK_COMPLETE")));
    }
}

#[tokio::test]
async fn a_stack_that_can_not_be_asked_about_is_never_unchanged() {
    let untold = async |cloud: Cloud| {
        let (told, _) = told(cloud).await;
        assert_eq!((json!(told.stacks[0].state), told.stacks[0].changes.len()), (json!("untold"), 0));
        told.stacks[0].notes.join("; ")
    };
    let with_status = |status: &str| Cloud { stack: Some((status.to_owned(), String::new())), ..cloud(PLAIN) };
    insta::assert_snapshot!(untold(with_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")).await, @"something is at work on the stack (`UPDATE_COMPLETE_CLEANUP_IN_PROGRESS`): ask again when it has ended");
    insta::assert_snapshot!(untold(with_status("UPDATE_ROLLBACK_FAILED")).await, @"the stack is `UPDATE_ROLLBACK_FAILED` and needs a person: mend what its events name, finish by `aws cloudformation continue-update-rollback`, then promote again");
    insta::assert_snapshot!(untold(Cloud { refuses: Some("No export named uat-arn found"), ..cloud_to_update(PLAIN) }).await, @"cloudformation refuses the change set: No export named uat-arn found; `Bucket` (AWS::S3::Bucket) VALIDATION_FAILED: NAME_CONFLICT_VALIDATION: it already exists (at /Resources/Bucket)");
    let other = Cloud { other_template: Some("{}".to_owned()), ..cloud_to_update(PLAIN) };
    assert!(untold(other).await.starts_with("template bytes are not the pinned ones"));
    let mut tampered = cloud_to_update(PLAIN);
    tampered.objects.insert(format!("artefacts/{TEMPLATE_KEY}"), b"{}".to_vec());
    assert!(untold(tampered).await.contains("are not the pinned ones"));
    let throttled = Fault::Refused("CreateChangeSet", 400, "Throttling", "Rate exceeded");
    assert!(untold(Cloud { fault: Some(throttled), ..cloud_to_update(PLAIN) }).await.contains("throttled"));
}

#[tokio::test]
async fn a_stack_that_stays_as_it_is_is_unchanged() {
    let stack = Some(("UPDATE_COMPLETE".to_owned(), PLAIN.to_owned()));
    let (told, _) = told(Cloud { stack, ..cloud(PLAIN) }).await;
    assert_eq!((json!(told.stacks[0].state), told.stacks[0].notes.len()), (json!("unchanged"), 0));
}

#[tokio::test]
async fn no_code_is_copied_for_an_answer() {
    let (told, cloud) = told(cloud_to_update(CDK)).await;
    assert_eq!(json!(told.stacks[0].state), "changed");
    assert!(!cloud.calls.iter().any(|call| call == "CopyObject" || call == "PutObject"), "{:?}", cloud.calls);
}

#[tokio::test]
async fn whatever_is_lost_no_change_set_is_left_that_nobody_tells_of() {
    let cloud = || cloud_that_changes(&[change("Orders", TABLE, ADDED)]);
    let (_, whole) = told(cloud()).await;
    for (at, call) in whole.calls.iter().enumerate() {
        for fault in [Fault::Lost(at), Fault::AnswerLost(at)] {
            let faulty = Cloud { fault: Some(fault.clone()), ..cloud() };
            let question = question(&faulty);
            let (told, after) = ask(faulty, question).await;
            let is_left = after.change_set.is_some();
            assert_eq!(is_left, call == "DeleteChangeSet" && matches!(fault, Fault::Lost(_)), "{fault:?} {call}");
            if call == "DeleteChangeSet" {
                assert!(told.unwrap().stacks[0].notes[0].contains(CHANGE_SET));
            } else {
                assert!(told.is_err(), "{fault:?} {call}: {told:?}");
            }
        }
    }
}

const NAMES: &str = r#"{"Parameters": {"Stage": {"Type": "String"}}, "Resources": {
  "Orders": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Fn::Sub": "${Stage}-orders"}}},
  "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "orders"}}},
  "Outputs": {"Arn": {"Value": "1", "Export": {"Name": {"Fn::Sub": "${Stage}-arn"}}}}}"#;

fn export(name: &str, stack: &str) -> String {
    format!(
        "<member><ExportingStackId>arn:aws:cloudformation:ap-southeast-2:111122223333:stack/{stack}/0f</ExportingStackId>\
         <Name>{name}</Name><Value>1</Value></member>"
    )
}

fn holder(stack: &str, id: &str, r#type: &str, physical_id: &str) -> (String, String) {
    let xml = format!(
        "<member><StackName>{stack}</StackName><LogicalResourceId>{id}</LogicalResourceId>\
         <PhysicalResourceId>{physical_id}</PhysicalResourceId><ResourceType>{type}</ResourceType>\
         <Timestamp>2026-05-02T03:04:05Z</Timestamp><ResourceStatus>CREATE_COMPLETE</ResourceStatus></member>"
    );
    (physical_id.to_owned(), xml)
}

#[tokio::test]
async fn names_and_exports_that_are_taken_are_told_with_their_holder() {
    let queue = "https://sqs.ap-southeast-2.amazonaws.com/111122223333/orders";
    let taken = || Cloud {
        exports: vec![export("other", "a"), export("uat-arn", "bank-uat-legacy")],
        holders: [
            holder("bank-uat-legacy", "Rows", TABLE, "uat-orders"),
            holder("bank-uat-legacy", "Other", "AWS::SNS::Topic", queue),
        ]
        .into(),
        ..cloud(NAMES)
    };
    let (answer, _) = told(taken()).await;
    let reasons: Vec<_> =
        answer.reasons.iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message)).collect();
    insta::assert_snapshot!(reasons.join("\n"), @"
    name-taken api/Outputs/Arn: `uat-arn` (`Export.Name`) is exported by the stack `bank-uat-legacy`: give it another name, or take it out of that stack first
    name-taken api/Orders: `uat-orders` (`TableName`) is taken by `Rows` of the stack `bank-uat-legacy`: give it another name, or take it out of that stack first
    ");
    assert_eq!((answer.notes.len(), answer.accept_replacement.len()), (0, 0));

    let (answer, _) = told(cloud(NAMES)).await;
    assert_eq!((answer.reasons.len(), answer.notes.len()), (0, 0));

    // What may not be looked up is not free.
    for (action, what) in [("ListExports", "exports these names"), ("DescribeStackResources", "has resources")] {
        let fault = Some(Fault::Refused(action, 403, "AccessDenied", "not authorized"));
        let (answer, _) = told(Cloud { fault, ..taken() }).await;
        assert_eq!((answer.reasons.len(), answer.notes.len()), (1, 1));
        assert!(answer.notes[0].contains(what) && answer.notes[0].contains(action), "{:?}", answer.notes);
    }
    // What fails is no answer.
    for action in ["ListExports", "DescribeStackResources", "GetCallerIdentity"] {
        let fault = Some(Fault::Refused(action, 500, "InternalFailure", "oops"));
        let faulty = Cloud { fault, ..taken() };
        let question = question(&faulty);
        assert!(ask(faulty, question).await.0.is_err(), "{action}");
    }
}

#[tokio::test]
async fn a_stack_holds_its_own_names() {
    let pages = vec![change("Orders", TABLE, &replaced("True", "KeySchema"))];
    let of = |stack: &str| Cloud {
        changes: [(CHANGE_SET.to_owned(), pages.clone())].into(),
        exports: vec![export("uat-arn", stack)],
        holders: [holder(stack, "Orders", TABLE, "uat-orders")].into(),
        ..cloud_to_update(NAMES)
    };
    let codes = async |cloud: Cloud| {
        let (told, _) = told(cloud).await;
        told.reasons.iter().map(|it| it.code.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(codes(of("bank-uat-api")).await, ["replacement-not-accepted"]);
    assert_eq!(codes(of("other")).await, ["replacement-not-accepted", "name-taken", "name-taken"]);
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    for wrong in [json!({"changes": true}), json!({"changes": {}})] {
        let (answer, cloud) = ask(cloud(PLAIN), wrong).await;
        assert_eq!(answer.unwrap_err().error_type, "InvalidStepInput");
        assert_eq!(cloud.calls.len(), 0);
    }
}
