//! What the real engine wrote, and what is done to it: `tests/oracles/make_pulumi_artefacts.py`.

use std::{fs::File, path::PathBuf};

use serde_json::{Value, json};

use super::{
    history::Update,
    preview::{Changes, Preview},
    state::State,
    *,
};

/// The engine that wrote the documents.
const ENGINE: &str = "3.276.0";

/// What no fact and no message may hold: a secret as the backend has it, and settings.
const SECRETS: [&str; 4] = ["ciphertext", "secure", "v1:", "artefacts-one"];

fn fixture(case: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/pulumi/fixtures").join(ENGINE).join(case).join(file)
}

fn document(case: &str, file: &str) -> Value {
    serde_json::from_reader(File::open(fixture(case, file)).unwrap()).unwrap()
}

fn open(case: &str, file: &str) -> Box<dyn Read> {
    Packing::of(file).unwrap().unpack(File::open(fixture(case, file)).unwrap())
}

fn entry(case: &str) -> Update {
    history::entry(open(case, "history.json")).unwrap().unwrap()
}

fn state_of(case: &str) -> State {
    state::read(open(case, "state.json")).unwrap().unwrap()
}

fn preview_of(case: &str, file: &str) -> Preview {
    preview::read(open(case, file)).unwrap().unwrap()
}

/// The facts, without what is another one with each run of the engine.
fn shown<T: serde::Serialize>(facts: &T) -> Value {
    let mut value = serde_json::to_value(facts).unwrap();
    for name in ["started_at", "ended_at", "head", "made_at"] {
        if let Some(member) = value.get_mut(name) {
            *member = json!("…");
        }
    }
    value
}

#[test]
fn the_file_of_a_backend_and_what_the_command_prints_tell_the_same() {
    for case in ["first", "same", "changed", "refreshed", "failed", "dirty"] {
        let printed = history::newest(open(case, "listed.json")).unwrap().unwrap().unwrap();
        assert_eq!(printed, entry(case), "{case}");
    }
    insta::assert_json_snapshot!(shown(&entry("first")));
}

#[test]
fn what_an_update_came_to_is_told() {
    let told = ["first", "same", "changed", "refreshed", "failed", "dirty"].map(|case| {
        let Update { kind, result, is_dirty, used_plan, changes, .. } = entry(case);
        format!("{case}: {kind} {result}, dirty {is_dirty:?}, plan {used_plan:?}, {changes:?}")
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_state_is_read_to_what_stands() {
    insta::assert_json_snapshot!(shown(&state_of("changed")));
    assert_eq!(state_of("first").place(), Some(("bank-platform", "dev")));
}

#[test]
fn what_an_engine_that_was_killed_left_is_told() {
    let killed = state_of("killed");
    insta::assert_json_snapshot!(killed.pending);
}

#[test]
fn what_is_packed_says_the_same() {
    let packed = state::read(open("packed", "state.json.gz")).unwrap().unwrap();
    assert_eq!(packed.resources.keys().collect::<Vec<_>>(), state_of("first").resources.keys().collect::<Vec<_>>());
    assert_eq!(history::entry(open("packed", "history.json.gz")).unwrap().unwrap().message, "packed");
    let broken = state::read(Packing::Gzip.unpack(&b"no gzip"[..])).unwrap().unwrap_err();
    assert!(broken.contains("can't be unpacked"), "{broken}");
}

#[test]
fn a_preview_and_a_plan_of_the_same_change_say_the_same() {
    for case in ["first", "same", "changed"] {
        let (printed, kept) = (preview_of(case, "preview.json"), preview_of(case, "plan.json"));
        assert_eq!(printed.changes, kept.changes, "{case}");
        assert_eq!((printed.is_plan, kept.is_plan), (false, true));
        // What the engine counts afterwards is what was planned.
        let mut counted = entry(case).changes;
        counted.retain(|kind, _| !Changes::is_still(kind));
        assert_eq!(printed.changes.counts(), counted, "{case}");
    }
    insta::assert_json_snapshot!(preview_of("changed", "preview.json").changes);
}

#[test]
fn what_a_program_keeps_from_deletion_is_told() {
    let preview = preview_of("changed", "preview.json");
    let kept = "urn:pulumi:dev::bank-platform::aws:dynamodb/table:Table::kept".parse().unwrap();
    assert!(preview.retained.contains(&kept), "{:?}", preview.retained);
    let lost: Vec<_> = preview.changes.losses().map(|(urn, replaced)| format!("{} {replaced}", urn.name())).collect();
    assert_eq!(lost, ["kept false", "gone false", "bank-artefacts true"]);
}

#[test]
fn nothing_of_a_secret_is_kept_or_told() {
    for case in ["first", "changed", "killed"] {
        let kept = format!("{:?} {:?}", state_of(case), entry(case));
        assert!(!SECRETS.iter().any(|it| kept.contains(it)), "{case}");
    }
    let kept = format!("{:?}", preview_of("changed", "plan.json"));
    assert!(!SECRETS.iter().any(|it| kept.contains(it)));
    // A value in the wrong place is not quoted.
    let mut state = document("first", "state.json");
    state["checkpoint"]["latest"]["resources"][1]["custom"] = json!("hunter2");
    let wrong = state::read(state.to_string().as_bytes()).unwrap().unwrap_err();
    assert!(!wrong.contains("hunter2") && wrong.contains("a boolean"), "{wrong}");
    state["checkpoint"]["latest"]["resources"][1]["urn"] = json!("hunter2");
    assert!(!state::read(state.to_string().as_bytes()).unwrap().unwrap_err().contains("hunter2"));
}

#[test]
fn what_is_wrong_with_a_document_is_told() {
    let state = |change: fn(&mut Value)| {
        let mut document = document("first", "state.json");
        change(&mut document);
        state::read(document.to_string().as_bytes()).unwrap().unwrap_err()
    };
    let preview = |change: fn(&mut Value)| {
        let mut document = document("changed", "preview.json");
        change(&mut document);
        preview::read(document.to_string().as_bytes()).unwrap().unwrap_err()
    };
    let told = [
        state(|it| it["version"] = json!(2)),
        state(|it| it["deployment"] = it["checkpoint"]["latest"].clone()),
        state(|it| {
            let twice = it["checkpoint"]["latest"]["resources"][1].clone();
            it["checkpoint"]["latest"]["resources"].as_array_mut().unwrap().push(twice);
        }),
        state(|it| it["checkpoint"]["latest"]["resources"] = json!({})),
        state(|it| it["checkpoint"] = json!([])),
        preview(|it| it["diagnostics"] = json!([{"severity": "error", "message": "hunter2"}])),
        preview(|it| it["resourcePlans"] = json!({})),
        preview(|it| drop(it.as_object_mut().unwrap().remove("steps"))),
        preview(|it| it["steps"][1]["op"] = json!("<script>")),
        history::entry(&b"[]"[..]).unwrap().unwrap_err(),
        history::entry(&b"{\"kind\": \"update\", \"result\": \"succeeded\", \"startTime\": \"yesterday\"}"[..])
            .unwrap()
            .unwrap_err(),
        history::newest(&b"not JSON"[..]).unwrap().unwrap_err(),
    ];
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(history::newest(&b"[]"[..]).unwrap(), Ok(None));
    assert_eq!(history::newest(&b"null"[..]).unwrap(), Ok(None));
}

#[test]
fn what_is_kept_has_a_bound() {
    let resource = |number: usize| json!({"urn": format!("urn:pulumi:dev::p::aws:s3/bucket:Bucket::{number:0>200}")});
    let many: Vec<_> = (0..MAX_NAMES / 200).map(resource).collect();
    let document = json!({"version": 3, "deployment": {"manifest": {}, "resources": many}});
    let wrong = state::read(document.to_string().as_bytes()).unwrap().unwrap_err();
    assert!(wrong.contains("bytes of names"), "{wrong}");
    let long = json!({"version": 3, "deployment": {"manifest": {"version": "x".repeat(MAX_STRING + 1)}}});
    assert!(state::read(long.to_string().as_bytes()).unwrap().unwrap_err().contains("a string longer"));
    let bomb = {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut std::io::repeat(b' ').take(MAX_BYTES + 1), &mut packed).unwrap();
        packed.finish().unwrap()
    };
    let wrong = state::read(Packing::Gzip.unpack(bomb.as_slice())).unwrap().unwrap_err();
    assert!(wrong.contains("the document is longer"), "{wrong}");
}

#[test]
fn a_urn_is_taken_apart() {
    let urn: Urn = "urn:pulumi:dev::p::bank:platform:Store$aws:s3/bucket:Bucket::a::b".parse().unwrap();
    assert_eq!([urn.stack(), urn.project(), urn.own_type(), urn.name()], ["dev", "p", "aws:s3/bucket:Bucket", "a::b"]);
    for wrong in
        ["", "urn:pulumi:dev::p::t", "urn:pulumi:dev::p::t::", "urn:other:dev::p::t::n", "urn:pulumi:d\n::p::t::n"]
    {
        assert_eq!(wrong.parse::<Urn>(), Err(InvalidUrn), "{wrong:?}");
    }
}

#[test]
fn a_refresh_that_only_looks_tells_counts_and_one_that_could_not_look_nothing() {
    let of = |case, file| refresh::differing(File::open(fixture(case, file)).unwrap()).unwrap();
    let differing = |file| of("looked", file);
    assert_eq!(differing("same.json"), Ok([].into()));
    assert_eq!(differing("drifted.json"), Ok([("delete".to_owned(), 1), ("update".to_owned(), 1)].into()));
    let why = "the refresh tells of 6 errors, so it has not looked at everything";
    assert_eq!(differing("denied.json"), Err(why.to_owned()));
    let preview = of("first", "plan.json").unwrap_err();
    assert!(preview.contains("missing field `changeSummary`"), "{preview}");
}
