use proptest::prelude::*;

use super::*;

const TABLE: &str = "AWS::DynamoDB::Table";
const TOPIC: &str = "AWS::SNS::Topic";

fn stack() -> StackName {
    "payments-data".parse().unwrap()
}

fn change(id: &str, r#type: &str, action: Action, old: Old) -> Change {
    let ids = id.split('/').map(str::to_owned).collect();
    Change { ids, r#type: r#type.to_owned(), physical_id: Some(format!("uat-{}", id.to_lowercase())), action, old }
}

fn replace(certainly: bool, causes: &[(&str, Option<&str>)]) -> Action {
    let cause = |(property, entity): &(&str, Option<&str>)| Cause {
        property: (*property).to_owned(),
        by: if entity.is_some() { By::Parameter } else { By::Template },
        entity: entity.map(str::to_owned),
    };
    Action::Replace { certainly, causes: causes.iter().map(cause).collect() }
}

fn refused(changes: &[Change], accepted: &[&str]) -> Vec<Finding> {
    let accepted = accepted.iter().map(|it| it.parse().unwrap()).collect();
    judge(&stack(), changes, &accepted, &BTreeSet::new()).refused
}

#[test]
fn each_loss_is_told_with_its_cause_and_what_becomes_of_the_old_one() {
    let changes = [
        change("Orders", TABLE, replace(true, &[("TableName", Some("Stage"))]), Old::Deleted),
        change("Ledger", "AWS::RDS::DBCluster", replace(false, &[("Engine", None), ("Name", None)]), Old::Snapshot),
        change("Files", "AWS::S3::Bucket", Action::Remove, Old::Retained),
        change("Key", "AWS::KMS::Key", Action::Remove, Old::Untold),
        change("Odd", "AWS::New::Thing", replace(true, &[]), Old::Deleted),
        change("Vendor", "Vendor::Data::Base", Action::Remove, Old::Deleted),
        change("Inner/Queue", "AWS::SQS::Queue", Action::Untold("nobody says".to_owned()), Old::Untold),
        change("Topic", TOPIC, replace(true, &[("TopicName", None)]), Old::Deleted),
        change("Provider", "Custom::Something", Action::Remove, Old::Deleted),
        change("Emptied", "Custom::S3AutoDeleteObjects", Action::Remove, Old::Deleted),
        change("New", TABLE, Action::Add, Old::Untold),
        change("Same", TABLE, Action::Modify { causes: Vec::new() }, Old::Untold),
    ];
    let told: Vec<_> = refused(&changes, &[]).iter().map(|it| format!("{}: {}", it.subject, it.message)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_loss_is_accepted_by_its_own_name_only() {
    let changes = [
        change("Orders", TABLE, Action::Remove, Old::Deleted),
        change("Inner/Orders", TABLE, Action::Remove, Old::Deleted),
    ];
    let subjects =
        |accepted: &[&str]| -> Vec<String> { refused(&changes, accepted).into_iter().map(|it| it.subject).collect() };
    assert_eq!(subjects(&["payments-data/Orders"]), ["payments-data/Inner/Orders"]);
    assert_eq!(subjects(&["payments-data/Inner", "payments-api/Orders"]).len(), 2);
    assert_eq!(subjects(&["payments-data/Orders", "payments-data/Inner/Orders"]), Vec::<String>::new());
}

#[test]
fn the_way_back_takes_away_what_the_way_forward_has_made_and_nothing_else() {
    let forward = [
        change("Orders", TABLE, Action::Add, Old::Untold),
        change("Inner", NESTED_STACK, Action::Add, Old::Untold),
        change("Topic", TOPIC, Action::Add, Old::Untold),
        change("Files", "AWS::S3::Bucket", Action::Modify { causes: Vec::new() }, Old::Untold),
    ];
    let made = made(&forward);
    assert_eq!(made, BTreeSet::from([vec!["Orders".to_owned()], vec!["Inner".to_owned()]]));
    let back = ["Orders", "Inner/Rows", "Files"].map(|id| change(id, TABLE, Action::Remove, Old::Deleted));
    let judgement = judge(&stack(), &back, &BTreeSet::new(), &made);
    let subjects: Vec<_> = judgement.refused.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(subjects, ["payments-data/Files"]);
}

fn an_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Add),
        Just(Action::Modify { causes: Vec::new() }),
        any::<bool>().prop_map(|certainly| replace(certainly, &[("Name", None)])),
        Just(Action::Remove),
        Just(Action::Untold("it is not told".to_owned())),
    ]
}

fn a_change() -> impl Strategy<Value = Change> {
    let types = prop::sample::select(vec![TABLE, TOPIC, "AWS::KMS::Key", "AWS::New::Thing", "Custom::Thing"]);
    let old = prop::sample::select(vec![Old::Deleted, Old::Retained, Old::Snapshot, Old::Untold]);
    ("[A-Z][a-z]{0,2}(/[A-Z]){0,2}", types, an_action(), old)
        .prop_map(|(id, r#type, action, old)| change(&id, r#type, action, old))
}

proptest! {
    /// Whatever takes something stateful away is refused or accepted by its own name, and nothing else is.
    #[test]
    fn nothing_that_holds_data_goes_unless_it_is_named(
        changes in prop::collection::vec(a_change(), 0..8),
        names in prop::collection::vec(a_change(), 0..4),
    ) {
        let accepted: BTreeSet<_> = names.iter().map(|it| ResourcePath::of(&stack(), &it.ids)).collect();
        let judgement = judge(&stack(), &changes, &accepted, &BTreeSet::new());
        let takes = |it: &&Change| {
            !matches!(it.action, Action::Add | Action::Modify { .. } | Action::Import) && ![TOPIC, "Custom::Thing"].contains(&it.r#type.as_str())
        };
        let taken: BTreeSet<_> = changes.iter().filter(takes).map(|it| ResourcePath::of(&stack(), &it.ids)).collect();
        let refused: BTreeSet<ResourcePath> = judgement.refused.iter().map(|it| it.subject.parse().unwrap()).collect();
        prop_assert_eq!(&refused, &taken.difference(&accepted).cloned().collect());
        prop_assert_eq!(&judgement.accepted, &taken.intersection(&accepted).cloned().collect());
        // What a refusal names lets the same change set pass, and the order of changes tells nothing.
        let named = accepted.union(&refused).cloned().collect();
        prop_assert!(judge(&stack(), &changes, &named, &BTreeSet::new()).refused.is_empty());
        let mut turned = changes;
        turned.reverse();
        prop_assert_eq!(judge(&stack(), &turned, &accepted, &BTreeSet::new()), judgement);
    }

    #[test]
    fn a_path_is_spelt_as_it_was_read(text in "[A-Za-z][A-Za-z0-9-]{0,8}(/[A-Za-z0-9]{1,8}){1,3}") {
        prop_assert_eq!(text.parse::<ResourcePath>().unwrap().to_string(), text);
    }
}
