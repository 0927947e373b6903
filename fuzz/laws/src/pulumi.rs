//! Pulumi's histories, states and previews, held against a naive reading of each.

use std::{collections::BTreeSet, fmt::Debug, io};

use serde_json::{Value, json};

use crate::{
    input::{Pieces, cut, plain_json, reads_back},
    product::pulumi::{history, preview, refresh, state},
};

/// A word that stands for a secret: of a document's values that nobody asked for, nothing is ever told.
const SECRET: &str = "s3cr3t-v4lue";

/// What a reader gives: what it kept, or in words what is wrong.
type Read<T> = Result<T, String>;

/// An update that is taken says what the entry's members say.
pub(crate) fn history(document: &[u8]) {
    let entry = |reader: &mut dyn io::Read| history::entry(reader);
    let Some((update, value)) = held(document, entry, &["config"]) else { return };
    reads_back(&update);
    let Some(value) = value else { return };
    for (told, kept) in [("kind", &update.kind), ("result", &update.result)] {
        let plain = value[told].as_str().filter(|it| it.len() < 50 && it.bytes().all(|byte| byte.is_ascii_lowercase()));
        assert!(plain.is_none_or(|it| it == kept), "{told}: {kept:?}");
    }
    let dirty = &value["environment"]["git.dirty"];
    assert_eq!(update.is_dirty, dirty.as_str().map(|it| it == "true"), "{dirty}");
    // What the command prints is a list of such entries, of which the first is the newest.
    let listed = json!([value, {"kind": "destroy", "result": "failed", "startTime": 1}]).to_string();
    assert_eq!(history::newest(listed.as_bytes()).expect("memory can be read"), Ok(Some(update)));
}

/// No resource of a state that is taken is lost, and none comes to it.
pub(crate) fn state(document: &[u8]) {
    let read = |reader: &mut dyn io::Read| state::read(reader);
    let Some((state, value)) = held(document, read, &["deployment_secrets"]) else { return };
    reads_back(&state);
    let Some(value) = value else { return };
    let latest = if value["deployment"].is_null() { &value["checkpoint"]["latest"] } else { &value["deployment"] };
    let listed = latest["resources"].as_array().map_or(&[][..], Vec::as_slice);
    let (going, standing): (Vec<_>, Vec<_>) = listed.iter().partition(|it| it["delete"] == json!(true));
    let urns = |resources: &[&Value]| {
        resources.iter().filter_map(|it| it["urn"].as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    assert_eq!(state.resources.keys().map(|it| it.as_str().to_owned()).collect::<BTreeSet<_>>(), urns(&standing));
    assert_eq!(state.to_be_deleted.len(), going.len());
    for (urn, resource) in &state.resources {
        let told = standing.iter().find(|it| it["urn"] == json!(urn.as_str())).expect("it is listed");
        assert_eq!(resource.is_protected, told["protect"] == json!(true), "{urn}");
        assert_eq!(resource.is_retained, told["retainOnDelete"] == json!(true), "{urn}");
    }
}

/// A refresh that is taken tells every count but that of what stayed the same, and no error.
pub(crate) fn refresh(document: &[u8]) {
    let read = |reader: &mut dyn io::Read| refresh::differing(reader);
    let Some((differing, Some(value))) = held(document, read, &["config"]) else { return };
    let counts = value["changeSummary"].as_object().into_iter().flatten();
    let told = counts.filter(|(kind, count)| *kind != "same" && **count != json!(0)).count();
    assert!(differing.len() <= told && differing.is_empty() == (told == 0), "{differing:?}");
    let diagnostics = value["diagnostics"].as_array().into_iter().flatten();
    assert!(diagnostics.filter(|it| it["severity"] == json!("error")).count() == 0, "it has not looked at everything");
}

/// Of a preview that is taken, no change and no loss is left out.
pub(crate) fn preview(document: &[u8]) {
    let read = |reader: &mut dyn io::Read| preview::read(reader);
    let Some((preview, value)) = held(document, read, &["config"]) else { return };
    reads_back(&preview.changes);
    let counted: u64 = preview.changes.counts().values().sum();
    assert_eq!(counted, preview.changes.0.len() as u64, "each resource counts once");
    let Some(value) = value else { return };
    let steps = value["steps"].as_array().into_iter().flatten().map(|it| (it["urn"].as_str(), vec![&it["op"]]));
    let planned = value["resourcePlans"].as_object().into_iter().flatten();
    let planned =
        planned.map(|(urn, plan)| (Some(urn.as_str()), plan["steps"].as_array().into_iter().flatten().collect()));
    let losing: BTreeSet<_> = preview.changes.losses().map(|(urn, _)| urn.as_str()).collect();
    for (urn, operations) in steps.chain(planned) {
        let urn = urn.expect("a step without a resource is not taken");
        let is_default = urn.contains("pulumi:providers:") && urn.contains("::default");
        for operation in operations.iter().filter_map(|it| it.as_str()).filter(|it| !preview::Changes::is_still(it)) {
            let kept = preview.changes.0.iter().any(|(it, _)| it.as_str() == urn);
            assert!(kept || is_default, "`{operation}` of {urn} is lost");
            let loses = matches!(operation, "delete" | "replace" | "create-replacement" | "delete-replaced");
            assert!(!loses || is_default || losing.contains(urn), "{urn} is lost, and nobody is told");
        }
    }
}

/// What holds for every reader: it may be read in pieces and spelt otherwise, a cut is refused, and no value of a member that
/// nobody asked for is told. Gives what was kept, and the JSON where each of its keys has one meaning.
fn held<T: PartialEq + Debug>(
    document: &[u8],
    read: impl Fn(&mut dyn io::Read) -> io::Result<Read<T>>,
    passed_over: &[&str],
) -> Option<(T, Option<Value>)> {
    let read = |reader: &mut dyn io::Read| read(reader).expect("memory can be read");
    let whole = read(&mut &document[..]);
    assert_eq!(read(&mut Pieces::of(document)), whole, "read in pieces");
    let kept = match whole {
        Ok(kept) => kept,
        Err(message) => {
            assert!(!message.is_empty() && message.len() < 8192 && !message.contains(char::is_control), "{message:?}");
            return None;
        }
    };
    assert!(read(&mut cut(document)).is_err(), "cut off");
    let value = plain_json(document);
    if let Some(value) = &value {
        assert_eq!(read(&mut value.to_string().as_bytes()).as_ref(), Ok(&kept), "spelt otherwise");
        for name in passed_over.iter().copied().chain(["surprise"]) {
            let mut secret = value.clone();
            secret[name] = json!({"a": {"secure": SECRET}, "b": [SECRET]});
            let told = read(&mut secret.to_string().as_bytes());
            assert!(!format!("{told:?}").contains(SECRET), "{told:?}");
            assert_eq!(told.as_ref(), Ok(&kept), "`{name}` is passed over");
        }
    }
    Some((kept, value))
}
