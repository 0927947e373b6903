use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::replacement::{By, Old};

const TABLE: &str = "AWS::DynamoDB::Table";

fn planned(stack: &str) -> PlannedStack {
    let sha256 = "0".repeat(64);
    serde_json::from_value(json!({
        "module": "MOD-012", "stack": stack, "stack_name": format!("bank-uat-{stack}"), "parameters": {},
        "key": "k", "version_id": "v1", "sha256": sha256, "size": 2,
    }))
    .unwrap()
}

fn change(ids: &[&str], r#type: &str, action: Action) -> Change {
    Change {
        ids: ids.iter().map(|it| (*it).to_owned()).collect(),
        r#type: r#type.to_owned(),
        physical_id: Some("uat-thing".to_owned()),
        action,
        old: Old::Deleted,
    }
}

fn cause(property: &str) -> Vec<Cause> {
    vec![Cause { property: property.to_owned(), by: By::Parameter, entity: Some("Stage".to_owned()) }]
}

#[test]
fn what_takes_something_away_is_told_first_and_with_what_it_holds() {
    let changes = [
        change(&["Topic"], "AWS::SNS::Topic", Action::Add),
        change(&["Fn"], "AWS::Lambda::Function", Action::Modify { causes: cause("Environment") }),
        change(&["Inner", "Rows"], TABLE, Action::Remove),
        change(&["Orders"], TABLE, Action::Replace { certainly: true, causes: cause("TableName") }),
        change(&["Odd"], "AWS::S3::Bucket", Action::Untold("nobody says".to_owned())),
        change(&["Files"], "AWS::S3::Bucket", Action::Import),
        change(&["Role"], "AWS::IAM::Role", Action::Replace { certainly: false, causes: Vec::new() }),
    ];
    let told = StackChanges::of_change_set(&planned("data"), &changes);
    insta::assert_json_snapshot!(told);
    let stored: StackChanges = serde_json::from_value(json!(told)).unwrap();
    assert_eq!(stored, told);

    let accepted = BTreeSet::from(["data/Orders".parse().unwrap()]);
    let reasons = losses(&planned("data"), &changes, &accepted);
    let subjects: Vec<_> = reasons.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(subjects, ["data/Inner/Rows", "data/Odd"]);
    let told = Changes { stacks: vec![told], reasons, ..Changes::default() }.bounded(MAX_BYTES);
    assert_eq!(json!(told.accept_replacement), json!(["data/Inner/Rows", "data/Odd"]));
}

#[test]
fn an_answer_that_is_too_large_leaves_out_what_takes_nothing_away() {
    let many = |count: usize, action: &Action| {
        let change = |n: usize| change(&[&format!("R{n}")], TABLE, action.clone());
        StackChanges::of_change_set(&planned("data"), &(0..count).map(change).collect::<Vec<_>>())
    };
    let mut told = many(300, &Action::Modify { causes: cause("Tags") });
    told.changes.extend(many(5, &Action::Remove).changes);
    let first = many(10, &Action::Add);
    let bounded = Changes { stacks: vec![first.clone(), told], ..Changes::default() }.bounded(20_000);
    assert_eq!(bounded.stacks[0], first);
    let last = &bounded.stacks[1];
    assert!(last.left_out > 100 && last.left_out < 300, "{}", last.left_out);
    assert_eq!(usize::try_from(last.left_out).unwrap() + last.changes.len(), 305);
    assert_eq!(last.changes.iter().filter(|it| it.action == Does::Remove).count(), 5);
    assert!(json!(bounded).to_string().len() <= 20_500);

    let removed = Changes { stacks: vec![many(300, &Action::Remove)], ..Changes::default() }.bounded(20_000);
    assert!(removed.stacks.is_empty() && removed.untold.is_some(), "what is lost is never left out silently");
}

#[test]
fn an_answer_says_what_it_can_not_know_yet() {
    let template = |outputs: serde_json::Value, takes: Option<&str>| {
        let value = takes.map_or(json!("1"), |name| json!({"Fn::ImportValue": name}));
        let resource = json!({"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}});
        let document = json!({"Resources": {"It": resource}, "Outputs": outputs});
        template::read(document.to_string().as_bytes()).map(|it| it.handed)
    };
    let exports = json!({"Arn": {"Value": "1", "Export": {"Name": "arn"}}});
    let handed = [template(exports, None), template(json!({}), Some("arn")), template(json!({}), Some("other"))];
    let note = |first: StackState, second: StackState| {
        let told = [(first, "data"), (second, "api"), (second, "web")]
            .map(|(state, stack)| StackChanges::of(&planned(stack), state));
        assert_eq!(awaits(&told, &handed, 0), Vec::<String>::new());
        assert_eq!(awaits(&told, &handed, 2), Vec::<String>::new());
        awaits(&told, &handed, 1).join("\n")
    };
    insta::assert_snapshot!(note(StackState::Changed, StackState::Unchanged), @"it takes `arn` of `data`, which is changed before it: told is what comes of its value now");
    insta::assert_snapshot!(note(StackState::New, StackState::Untold), @"it takes `arn` of `data`, which is not there yet: CloudFormation can't tell more before it is");
    assert_eq!(note(StackState::Unchanged, StackState::Changed), "");
    assert_eq!(note(StackState::New, StackState::New), "");
}

fn declared() -> Declared {
    let document = json!({
        "Parameters": {"Stage": {"Type": "String"}, "Names": {"Type": "CommaDelimitedList"}},
        "Resources": {
            "Orders": {"Type": TABLE, "Properties": {"TableName": {"Fn::Sub": "${Stage}-orders"}}},
            "Files": {"Type": "AWS::S3::Bucket", "Condition": "C", "Properties": {"BucketName": "files"}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Select": [0, {"Ref": "Names"}]}}},
            "Topic": {"Type": "AWS::SNS::Topic"},
        },
        "Outputs": {
            "Arn": {"Value": "1", "Export": {"Name": {"Fn::Sub": "${Stage}-arn"}}},
            "Odd": {"Value": "1", "Export": {"Name": {"Ref": "Topic"}}},
        },
    });
    template::declared(document.to_string().as_bytes()).unwrap()
}

fn held() -> Holders {
    let place = |stack: &str, id: &str| Place { stack: stack.to_owned(), id: id.to_owned() };
    let of = |r#type: &str, name: &str| (r#type.to_owned(), name.to_owned());
    Holders {
        resources: [
            (of(TABLE, "uat-orders"), place("other", "Rows")),
            (of("AWS::S3::Bucket", "files"), place("other", "Bucket")),
            // Another type may have the same name.
            (of("AWS::DynamoDB::GlobalTable", "uat-orders"), place("third", "Rows")),
        ]
        .into(),
        exports: [("uat-arn".to_owned(), "other".to_owned())].into(),
    }
}

#[test]
fn names_and_exports_that_another_stack_holds_are_told_with_the_holder() {
    let values = BTreeMap::from([("Stage".to_owned(), "uat".to_owned())]);
    let told = StackChanges::new_stack(&planned("data"), &declared());
    let (names, mut notes) = wanted_names(&told, &declared(), &values);
    let (exports, more) = wanted_exports(&told, &declared(), &values);
    notes.extend(more);
    let (mut findings, more) = judge_names(&names, &held());
    notes.extend(more);
    let (more, others) = judge_exports(&exports, &held());
    findings.extend(more);
    notes.extend(others);
    let findings = findings.iter().map(|it| format!("{} {}: {}", it.code, it.subject, it.message));
    insta::assert_snapshot!(findings.chain(notes).collect::<Vec<_>>().join("\n"), @"
    name-taken data/Orders: `uat-orders` (`TableName`) is taken by `Rows` of the stack `other`: give it another name, or take it out of that stack first
    name-taken data/Outputs/Arn: `uat-arn` (`Export.Name`) is exported by the stack `other`: give it another name, or take it out of that stack first
    only CloudFormation can tell `RoleName` of `Role`: whether such a name is taken was not looked up
    only CloudFormation can tell the export of `Odd`: whether such a name is taken was not looked up
    if the condition of `data/Files` holds: `files` (`BucketName`) is taken by `Bucket` of the stack `other`: give it another name, or take it out of that stack first
    ");
}

#[test]
fn a_stack_holds_its_own_names_itself() {
    let values = BTreeMap::from([("Stage".to_owned(), "uat".to_owned())]);
    let own = "bank-uat-data".to_owned();
    let orders = |action| StackChanges::of_change_set(&planned("data"), &[change(&["Orders"], TABLE, action)]);
    let holders = |id: &str| Holders {
        resources: [((TABLE.to_owned(), "uat-orders".to_owned()), Place { stack: own.clone(), id: id.to_owned() })]
            .into(),
        exports: [("uat-arn".to_owned(), own.clone())].into(),
    };
    let replaced = orders(Action::Replace { certainly: true, causes: Vec::new() });
    let (names, _) = wanted_names(&replaced, &declared(), &values);
    assert_eq!(names.len(), 1, "only what is made takes a name");
    assert_eq!(judge_names(&names, &holders("Orders")).0, []);
    assert_eq!(judge_names(&names, &holders("Rows")).0.len(), 1, "it is made before the other one is taken away");
    assert_eq!(wanted_names(&orders(Action::Modify { causes: Vec::new() }), &declared(), &values).0, []);
    let (exports, _) = wanted_exports(&replaced, &declared(), &values);
    assert_eq!(judge_exports(&exports, &holders("Orders")).0, []);
}
