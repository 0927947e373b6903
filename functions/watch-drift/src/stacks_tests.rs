//! CloudFormation's answers as its API reference gives them.

use std::sync::{Arc, Mutex};

use gatekeeper_aws::scripted::{Answer, Request, config};

use super::*;

const TEMPLATE: &str = "{}";

fn at(minutes: i64) -> Timestamp {
    "2026-05-02T03:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

/// A stack that was checked at a time, with this result; `detect` is what `DetectStackDrift` answers.
async fn drift(
    (status, checked): (&'static str, Option<Timestamp>),
    detect: Answer,
    is_thorough: bool,
) -> (StackDrift, bool) {
    drift_since(Some(at(0)), (status, checked), detect, is_thorough).await
}

/// The same since a promotion that ended then.
async fn drift_since(
    since: Option<Timestamp>,
    (status, checked): (&'static str, Option<Timestamp>),
    detect: Answer,
    is_thorough: bool,
) -> (StackDrift, bool) {
    let asked = Arc::new(Mutex::new(false));
    let note = Arc::clone(&asked);
    let config = config(move |Request { body, .. }| {
        if body.contains("Action=DescribeStacks") {
            let checked =
                checked.map(|at| format!("<LastCheckTimestamp>{at}</LastCheckTimestamp>")).unwrap_or_default();
            Answer::xml(format!(
                "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>s</StackName>\
                 <CreationTime>2026-05-02T03:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus>\
                 <DriftInformation><StackDriftStatus>{status}</StackDriftStatus>{checked}</DriftInformation>\
                 </member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
            ))
        } else if body.contains("Action=GetTemplate") {
            Answer::xml(format!(
                "<GetTemplateResponse><GetTemplateResult><TemplateBody>{TEMPLATE}</TemplateBody></GetTemplateResult>\
                 </GetTemplateResponse>"
            ))
        } else if body.contains("Action=DetectStackDrift") {
            *note.lock().unwrap() = true;
            detect.clone()
        } else {
            assert!(body.contains("Action=DescribeStackResourceDrifts"), "{body}");
            let one = |id: &str, status: &str| {
                format!(
                    "<member><StackId>s</StackId><LogicalResourceId>{id}</LogicalResourceId><ResourceType>t</ResourceType>\
                     <StackResourceDriftStatus>{status}</StackResourceDriftStatus><Timestamp>{}</Timestamp></member>",
                    at(0)
                )
            };
            Answer::xml(format!(
                "<DescribeStackResourceDriftsResponse><DescribeStackResourceDriftsResult><StackResourceDrifts>{}{}\
                 </StackResourceDrifts></DescribeStackResourceDriftsResult></DescribeStackResourceDriftsResponse>",
                one("Role", "DELETED"),
                one("Fn", "MODIFIED"),
            ))
        }
    });
    let stacks = Stacks { client: Client::new(&config), is_thorough, now: at(24 * 60) };
    let look = stacks.look_at(&"s".parse().unwrap(), &[], since).await;
    let StackLook::There { template_sha256, drift, .. } = look else { panic!("{look:?}") };
    assert_eq!(template_sha256, Sha256::of(TEMPLATE.as_bytes()));
    let asked = *asked.lock().unwrap();
    (drift, asked)
}

fn begun() -> Answer {
    Answer::xml(
        "<DetectStackDriftResponse><DetectStackDriftResult><StackDriftDetectionId>d</StackDriftDetectionId>\
         </DetectStackDriftResult></DetectStackDriftResponse>",
    )
}

#[tokio::test]
async fn cloudformation_is_asked_to_look_where_its_last_look_is_old_or_of_before_the_promotion() {
    let recent = Some(at(23 * 60 + 30));
    assert_eq!(drift(("IN_SYNC", recent), begun(), false).await, (StackDrift::InSync, false));
    assert_eq!(drift(("IN_SYNC", recent), begun(), true).await, (StackDrift::InSync, true));
    assert_eq!(drift(("IN_SYNC", Some(at(0))), begun(), false).await, (StackDrift::InSync, true));
    assert_eq!(drift(("DRIFTED", Some(at(-1))), begun(), false).await, (StackDrift::NotChecked, true));
    assert_eq!(drift(("NOT_CHECKED", None), begun(), false).await, (StackDrift::NotChecked, true));
}

#[tokio::test]
async fn a_look_within_the_second_in_which_the_promotion_ended_counts_from_its_end() {
    let ended = at(0) + SignedDuration::from_millis(400);
    for (millis, told) in [(399, StackDrift::NotChecked), (401, StackDrift::InSync)] {
        let checked = ("IN_SYNC", Some(at(0) + SignedDuration::from_millis(millis)));
        assert_eq!(drift_since(Some(ended), checked, begun(), true).await.0, told, "{millis}");
    }
}

#[tokio::test]
async fn of_a_promotion_without_an_end_no_drift_is_told() {
    let unknown = StackDrift::Unknown("the record does not tell when the promotion ended".to_owned());
    for checked in [("IN_SYNC", Some(at(0))), ("DRIFTED", Some(at(23 * 60)))] {
        assert_eq!(drift_since(None, checked, begun(), true).await, (unknown.clone(), false));
    }
}

#[tokio::test]
async fn what_has_drifted_is_named_and_looked_at_again_within_the_hour() {
    let named = StackDrift::Drifted(vec!["`Fn` (modified)".to_owned(), "`Role` (deleted)".to_owned()]);
    assert_eq!(drift(("DRIFTED", Some(at(23 * 60 + 30))), begun(), false).await, (named.clone(), false));
    assert_eq!(drift(("DRIFTED", Some(at(23 * 60))), begun(), false).await, (named, true));
}

#[tokio::test]
async fn that_it_may_not_be_asked_is_said_and_that_it_is_at_work_is_waited_for() {
    let refused = Answer::xml_error(403, "AccessDenied", "not authorized to perform: cloudformation:DetectStackDrift");
    let says = "DetectStackDrift: AccessDenied: not authorized to perform: cloudformation:DetectStackDrift".to_owned();
    assert_eq!(drift(("NOT_CHECKED", None), refused, false).await.0, StackDrift::Unknown(says));
    let busy = "Drift detection is already in progress for stack s";
    let busy = Answer::xml_error(400, "ValidationError", busy);
    assert_eq!(drift(("NOT_CHECKED", None), busy, false).await.0, StackDrift::NotChecked);
    assert_eq!(
        drift(("UNKNOWN", Some(at(24 * 60))), begun(), false).await.0,
        StackDrift::Unknown("it says `UNKNOWN`".to_owned())
    );
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_missing_and_one_that_could_not_be_looked_at_is_not() {
    let look = async |code, message| {
        let config = config(move |_| Answer::xml_error(400, code, message));
        let stacks = Stacks { client: Client::new(&config), is_thorough: false, now: at(0) };
        stacks.look_at(&"s".parse().unwrap(), &[], Some(at(0))).await
    };
    assert_eq!(look("ValidationError", "Stack with id s does not exist").await, StackLook::Missing);
    for (code, message) in [
        ("AccessDenied", "not authorized"),
        ("OptInRequired", "the region is not enabled"),
        ("ValidationError", "the request is too odd"),
    ] {
        let expected = StackLook::Unread(format!("DescribeStacks: {code}: {message}"));
        assert_eq!(look(code, message).await, expected);
    }
    // An answer without what it always tells is none.
    let empty = config(|request: Request| {
        let action = if request.body.contains("Action=GetTemplate") { "GetTemplate" } else { "DescribeStacks" };
        Answer::xml(format!("<{action}Response><{action}Result></{action}Result></{action}Response>"))
    });
    let stacks = Stacks { client: Client::new(&empty), is_thorough: false, now: at(0) };
    let look = stacks.look_at(&"s".parse().unwrap(), &[], Some(at(0))).await;
    assert_eq!(look, StackLook::Unread("DescribeStacks answered without a stack".to_owned()));
}

#[tokio::test]
async fn the_templates_of_nested_stacks_are_looked_at_each_stack_listed_once() {
    let listed = Arc::new(Mutex::new(0));
    let note = Arc::clone(&listed);
    let config = config(move |Request { body, .. }| {
        if body.contains("Action=ListStackResources") {
            *note.lock().unwrap() += 1;
            let stack = |id: &str| {
                format!(
                    "<member><LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>arn-{id}</PhysicalResourceId>\
                     <ResourceType>AWS::CloudFormation::Stack</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
                     <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member>"
                )
            };
            let stacks = if body.contains("arn-Inner") { stack("Deeper") } else { stack("Inner") + &stack("Other") };
            return Answer::xml(format!(
                "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>{stacks}\
                 </StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>"
            ));
        }
        let name = body.split("arn-").nth(1).unwrap().split('&').next().unwrap();
        Answer::xml(format!(
            "<GetTemplateResponse><GetTemplateResult><TemplateBody>{name}</TemplateBody></GetTemplateResult>\
             </GetTemplateResponse>"
        ))
    });
    let stacks = Stacks { client: Client::new(&config), is_thorough: false, now: at(0) };
    let paths = ["Gone", "Gone/Deeper", "Inner", "Inner/Deeper", "Other"];
    let found = stacks.nested(&"s".parse().unwrap(), &paths).await.unwrap();
    let of = |path: &str, template: &str| (path.to_owned(), Sha256::of(template.as_bytes()));
    assert_eq!(found, BTreeMap::from([of("Inner", "Inner"), of("Inner/Deeper", "Deeper"), of("Other", "Other")]));
    assert_eq!(*listed.lock().unwrap(), 2);
}
