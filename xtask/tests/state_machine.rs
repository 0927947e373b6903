//! The state machine (infra/promotion.asl.json) and the table of transitions say the same, and what the machine carries
//! is what the steps and `record-promotion` read.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test says where it fails")]

use std::{collections::BTreeSet, fs};

use gatekeeper_promotion::{
    handover::Handover,
    record::Status,
    step::{Direction, Step, StepStatus},
    transitions::{End, Happening, Place, TRANSITIONS, Transition},
};
use serde_json::{Map, Value, json};

const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/promotion.asl.json");

const STEP_STATUSES: [StepStatus; 3] = [StepStatus::InProgress, StepStatus::Done, StepStatus::Failed];

const STATUSES: [Status; 5] =
    [Status::Running, Status::GoingBack, Status::Succeeded, Status::RolledBack, Status::Failed];

fn every_state() -> Map<String, Value> {
    machine()["States"].as_object().unwrap().clone()
}

fn machine() -> Value {
    serde_json::from_slice(&fs::read(MACHINE).unwrap()).unwrap()
}

/// The states of the question what a promotion would change, which leads to none of a promotion's.
const OF_THE_QUESTION: [&str; 3] = ["Asked?", "TellChanges", "Told"];

/// The states of a promotion.
fn states() -> Map<String, Value> {
    let all = every_state().into_iter();
    all.filter(|(name, _)| !OF_THE_QUESTION.contains(&name.as_str())).collect()
}

/// What a step is called there: `ApplyStack`.
fn name(step: Step) -> String {
    let words = step.as_str().split('-');
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// What a state of the machine is; none of a choice, which is a part of the state before it.
fn place(state: &str) -> Option<Place> {
    let of_steps = Step::ALL
        .into_iter()
        .flat_map(|step| [(name(step), Place::Asks(step)), (format!("{}Wait", name(step)), Place::Waits(step))]);
    let others = [
        ("Begin", Place::Begins(Direction::Forward)),
        ("GoBack", Place::Begins(Direction::Back)),
        ("Runs?", Place::Forks),
        ("RecordOutcome", Place::Records),
        ("Succeeded", Place::Ended(End::Succeeded)),
        ("RolledBack", Place::Ended(End::RolledBack)),
        ("Failed", Place::Ended(End::Failed)),
    ];
    let mut all = of_steps.chain(others.map(|(name, place)| (name.to_owned(), place)));
    all.find(|(name, _)| name == state).map(|(_, place)| place)
}

/// The word of a status, as it stands in what the machine compares.
fn word(status: impl serde::Serialize) -> String {
    json!(status).as_str().unwrap().to_owned()
}

/// Where a choice leads for each of the statuses: to the state of the rule that names it, else to the default.
fn chosen(choice: &Value, variable: &str, words: &[String]) -> Vec<Place> {
    assert_eq!(choice["Type"], "Choice");
    let rules = choice["Choices"].as_array().unwrap();
    for rule in rules {
        let members: Vec<_> = rule.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["Next", "StringEquals", "Variable"]);
        assert_eq!(rule["Variable"], format!("$.{variable}"));
        assert!(words.iter().any(|word| rule["StringEquals"] == *word), "no status is called {rule}");
    }
    let leads = |word: &String| {
        let rule = rules.iter().find(|rule| rule["StringEquals"] == *word);
        let state = rule.map_or(&choice["Default"], |rule| &rule["Next"]);
        place(state.as_str().unwrap()).unwrap()
    };
    words.iter().map(leads).collect()
}

/// Every transition of the machine's own.
fn of_the_machine() -> Vec<Transition> {
    let states = states();
    let mut found = Vec::new();
    for (of, state) in &states {
        let Some(from) = place(of) else {
            assert_eq!(state["Type"], "Choice", "{of}");
            continue;
        };
        let next = || state["Next"].as_str().unwrap();
        let then = || place(next()).unwrap();
        match (from, state["Type"].as_str().unwrap()) {
            (Place::Begins(_), "Pass") => found.push((from, Happening::Begun, then())),
            (Place::Forks, "Choice") => {
                // `promote` tells it with the promotion, and nothing at all where no part is a runner's.
                let judges = name(Step::JudgeRun);
                let rule = json!({"Variable": "$.promotion.has_runs", "IsPresent": true, "Next": judges});
                assert_eq!(state["Choices"], json!([rule]));
                found.push((from, Happening::HasRuns(true), Place::Asks(Step::JudgeRun)));
                let without = place(state["Default"].as_str().unwrap()).unwrap();
                found.push((from, Happening::HasRuns(false), without));
            }
            (Place::Waits(_), "Wait") => found.push((from, Happening::Waited, then())),
            (Place::Asks(step), "Task") => {
                let leads = chosen(&states[next()], &format!("{}.status", step.field()), &STEP_STATUSES.map(word));
                let answered = STEP_STATUSES.into_iter().map(Happening::Answered).zip(leads);
                found.extend(answered.map(|(by, to)| (from, by, to)));
                for caught in state["Catch"].as_array().unwrap() {
                    assert_eq!(
                        (&caught["ErrorEquals"], &caught["ResultPath"]),
                        (&json!(["States.ALL"]), &json!("$.error"))
                    );
                    found.push((from, Happening::Threw, place(caught["Next"].as_str().unwrap()).unwrap()));
                }
            }
            (Place::Records, "Task") => {
                assert_eq!(state.get("Catch"), None, "nobody goes on from an outcome that isn't recorded");
                let leads = chosen(&states[next()], "outcome.status", &STATUSES.map(word));
                let recorded = STATUSES.into_iter().map(Happening::Recorded).zip(leads);
                found.extend(recorded.map(|(by, to)| (from, by, to)));
            }
            (Place::Ended(End::Succeeded), "Succeed") | (Place::Ended(End::RolledBack | End::Failed), "Fail") => {}
            (place, kind) => panic!("{place:?} is a {kind}"),
        }
    }
    found
}

#[test]
fn the_state_machine_goes_where_the_table_says_and_nowhere_else() {
    let found = of_the_machine();
    let (machine, table): (BTreeSet<_>, BTreeSet<_>) = (found.iter().copied().collect(), TRANSITIONS.into());
    assert_eq!(found.len(), machine.len(), "a transition twice");
    let beside: Vec<_> = machine.difference(&table).collect();
    assert!(beside.is_empty(), "the machine goes where the table doesn't: {beside:#?}");
    let missing: Vec<_> = table.difference(&machine).collect();
    assert!(missing.is_empty(), "the machine doesn't go where the table does: {missing:#?}");
}

#[test]
fn every_state_is_of_the_table_or_the_choice_behind_one_task() {
    let states = states();
    assert_eq!(place(start().as_str()), Some(Place::Begins(Direction::Forward)));
    let places: BTreeSet<_> = states.keys().filter_map(|name| place(name)).collect();
    let told: BTreeSet<_> = TRANSITIONS.iter().flat_map(|(from, _, to)| [*from, *to]).collect();
    assert_eq!(places, told);
    for name in states.keys().filter(|name| place(name).is_none()) {
        let before = states.values().filter(|state| state["Next"] == **name);
        let kinds: Vec<_> = before.map(|state| &state["Type"]).collect();
        assert_eq!(kinds, ["Task"], "{name}");
    }
}

/// Where a promotion starts: behind the choice between one and the question.
fn start() -> String {
    let asked = &every_state()[machine()["StartAt"].as_str().unwrap()];
    asked["Default"].as_str().unwrap().to_owned()
}

/// The question what a promotion would change is told from a promotion by its one field. It asks one function once,
/// applies nothing, and ends well whatever comes of it: `promote` waits for it and tells why.
#[test]
fn the_question_asks_apply_stack_and_nothing_else() {
    let states = every_state();
    let asked = &states["Asked?"];
    assert_eq!(machine()["StartAt"], "Asked?");
    let choices = json!([{"Variable": "$.changes", "IsPresent": true, "Next": "TellChanges"}]);
    assert_eq!((&asked["Type"], &asked["Choices"]), (&json!("Choice"), &choices));
    let tell = &states["TellChanges"];
    assert_eq!((&tell["Type"], &tell["Resource"]), (&json!("Task"), &json!("${ApplyStackFunctionArn}")));
    assert_eq!(tell["Parameters"], json!({"changes.$": "$.changes"}));
    let leads: Vec<_> = tell["Catch"].as_array().unwrap().iter().map(|it| &it["Next"]).chain([&tell["Next"]]).collect();
    assert!(leads.iter().all(|it| **it == "Told"), "{leads:?}");
    assert_eq!(states["Told"], json!({"Type": "Succeed"}));
    let lead_here =
        |state: &Value| OF_THE_QUESTION.iter().any(|name| state.to_string().contains(&format!("\"{name}\"")));
    assert!(!self::states().values().any(lead_here), "a promotion leads to the question");
}

/// Each step gets which promotion it is, the direction and its own reports, and its answer goes where they came from.
#[test]
fn each_step_is_asked_with_its_own_reports_and_answers_into_its_own_field() {
    let states = states();
    for step in Step::ALL {
        let (state, field) = (&states[&name(step)], step.field());
        assert_eq!(state["Resource"], format!("${{{}FunctionArn}}", name(step)));
        assert_eq!(
            state["Parameters"],
            json!({"promotion.$": "$.promotion", "direction.$": "$.direction",
                   "progress.$": format!("$.{field}.progress")})
        );
        assert_eq!(state["ResultPath"], format!("$.{field}"));
        assert_eq!(states[&format!("{}Wait", name(step))]["SecondsPath"], format!("$.{field}.wait_seconds"));
    }
    let records = &states["RecordOutcome"];
    assert_eq!(records.get("Parameters"), None, "it gets all that is carried");
    assert_eq!(records["ResultPath"], "$.outcome");
}

/// Whichever direction is begun, nothing of another one is carried on.
#[test]
fn what_a_direction_begins_with_is_what_is_read_where_no_step_was_asked() {
    let states = states();
    for (state, direction) in [("Begin", Direction::Forward), ("GoBack", Direction::Back)] {
        let mut begun = states[state]["Parameters"].as_object().unwrap().clone();
        assert_eq!(begun.remove("promotion.$"), Some(json!("$.promotion")));
        let promotion = json!({"stage": "uat", "repo": "bank-payments", "promotion_id": "01J0000000000000000000000A"});
        begun.insert("promotion".to_owned(), promotion);
        let read: Handover = serde_json::from_value(json!(begun)).unwrap();
        assert_eq!(json!(read), json!(begun), "{state}");
        assert_eq!((read.direction, read.is_done(true), read.error.as_ref()), (direction, false, None));
        assert_eq!(read.step_records(true).unwrap(), [], "no step was asked");
        for step in Step::ALL {
            let asked_never = json!({"status": StepStatus::InProgress, "wait_seconds": 0, "progress": []});
            assert_eq!(begun[step.field()], asked_never, "{state} {step}");
        }
    }
}
