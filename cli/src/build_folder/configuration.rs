//! What the manifest tells of Flyway's configurations: the files of the folder, held against what `gatekeeper flyway validate`
//! used in dev.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{DatabaseName, ModuleId, Sha256},
    store_key::ArtefactPath,
};
use serde_json::{Map, Value, json};

use super::BuildFile;

/// A database's `flyway.toml`, in one module or in several.
struct Stored<'a> {
    file: &'a BuildFile,
    modules: Vec<&'a ModuleId>,
}

/// Says in the manifest's `flyway` which `flyway.toml` each database has and where it lies, and adds every reason why that
/// can't be said.
///
/// A part that `gatekeeper flyway validate` wrote (it tells of the scripts' configurations) is its word: the folder must
/// hold what it used. To a part that somebody else wrote, the folder's files are added.
pub(super) fn add(document: &mut Map<String, Value>, files: &[BuildFile], reasons: &mut Vec<String>) {
    let mut stored: BTreeMap<&DatabaseName, Stored<'_>> = BTreeMap::new();
    let mut scripts: BTreeMap<&DatabaseName, BTreeMap<String, Sha256>> = BTreeMap::new();
    for file in files {
        match &file.path {
            ArtefactPath::FlywayConfiguration(module, database) => {
                let entry = stored.entry(database).or_insert_with(|| Stored { file, modules: Vec::new() });
                if entry.file.sha256 != file.sha256 {
                    reasons.push(format!(
                        "`{}` and `{}` differ: a commit configures Flyway once for a database; a second history in the same \
                         one is a database of its own name, with an entry in the stages",
                        entry.file.path, file.path
                    ));
                }
                entry.modules.push(module);
            }
            ArtefactPath::ScriptConfiguration(_, database, script) => {
                scripts.entry(database).or_default().insert(script.to_string(), file.sha256);
            }
            _ => {}
        }
    }
    // Until Flyway has validated, the manifest has no word for a configuration, and may leave it out.
    let Some(databases) = document.get_mut("flyway").and_then(Value::as_object_mut) else { return };
    for (name, Stored { file, modules }) in &stored {
        let Some(part) = databases.get_mut(name.as_str()).and_then(Value::as_object_mut) else { continue };
        let is_validates = part.contains_key("script_configurations");
        let used = part.get("configuration").and_then(|it| it.get("sha256")).and_then(Value::as_str);
        match used.map(|used| used == file.sha256.to_string()) {
            Some(false) => reasons.push(format!(
                "`{}` is not the `flyway.toml` that `flyway validate` used: validate again, with this one",
                file.path
            )),
            None if is_validates => reasons.push(format!(
                "`{}` was not used by `flyway validate`: pass it as `--configuration`, or take it out of the build",
                file.path
            )),
            _ => {
                let configuration = part.entry("configuration").or_insert_with(|| json!({}));
                if let Some(configuration) = configuration.as_object_mut() {
                    configuration.insert("sha256".to_owned(), json!(file.sha256));
                    configuration.insert("size".to_owned(), json!(file.size));
                    configuration.insert("modules".to_owned(), json!(modules));
                }
            }
        }
    }
    for (name, part) in databases.iter_mut().filter_map(|(name, part)| Some((name, part.as_object_mut()?))) {
        let database: Option<DatabaseName> = name.parse().ok();
        if !database.as_ref().is_some_and(|name| stored.contains_key(name))
            && let Some(configuration) = part.get("configuration")
        {
            let sets = configuration.get("sets").and_then(Value::as_array);
            if sets.is_none_or(Vec::is_empty) {
                // It says nothing but what Flyway does without it.
                part.remove("configuration");
            } else {
                reasons.push(format!(
                    "`flyway validate` of `{name}` used a `flyway.toml` that is not in the build: copy it to \
                     `modules/{{MOD-NNN}}/schema/{name}/flyway.toml`"
                ));
            }
        }
        let of_folder = database.and_then(|name| scripts.get(&name).cloned());
        if let Some(of_folder) = of_folder {
            part.entry("script_configurations").or_insert_with(|| json!(of_folder));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> BuildFile {
        let path = ArtefactPath::parse(path).unwrap();
        BuildFile { path, file: "x".into(), size: text.len() as u64, sha256: Sha256::of(text.as_bytes()) }
    }

    /// What becomes of the manifest's `flyway`, or why it can't be told.
    fn added(flyway: Value, files: &[(&str, &str)]) -> Result<Value, Vec<String>> {
        let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
        let mut document = Map::new();
        if !flyway.is_null() {
            document.insert("flyway".to_owned(), flyway);
        }
        let mut reasons = Vec::new();
        add(&mut document, &files, &mut reasons);
        if reasons.is_empty() { Ok(document.remove("flyway").unwrap_or_default()) } else { Err(reasons) }
    }

    const TOML: (&str, &str) = ("modules/MOD-012/schema/payments/flyway.toml", "[flyway]\nmixed = true\n");
    const CONF: (&str, &str) =
        ("modules/MOD-012/schema/payments/migrations/V1__a.sql.conf", "executeInTransaction=false\n");

    fn sha(text: &str) -> Value {
        json!(Sha256::of(text.as_bytes()))
    }

    #[test]
    fn what_validate_used_is_found_in_the_folder() {
        let used = |text: &str, sets: &[&str]| {
            json!({"payments": {"validated": true, "script_configurations": {},
                "configuration": {"sha256": sha(text), "size": text.len(), "modules": [], "sets": sets}}})
        };
        let there = added(used(TOML.1, &["mixed"]), &[TOML]).unwrap();
        assert_eq!(there["payments"]["configuration"]["modules"], json!(["MOD-012"]));
        assert_eq!(there["payments"]["configuration"]["sets"], json!(["mixed"]));
        let other = added(used("other", &["mixed"]), &[TOML]).unwrap_err();
        assert!(other[0].contains("is not the `flyway.toml` that"), "{other:?}");
        let missing = added(used(TOML.1, &["mixed"]), &[]).unwrap_err();
        assert!(missing[0].contains("copy it to `modules/{MOD-NNN}/schema/payments/flyway.toml`"), "{missing:?}");
        // What says nothing new may be left out, and what validate did not use may not be there.
        assert_eq!(added(used(TOML.1, &[]), &[]).unwrap()["payments"].get("configuration"), None);
        let unused = json!({"payments": {"validated": true, "script_configurations": {}}});
        assert!(added(unused, &[TOML]).unwrap_err()[0].contains("was not used"));
    }

    #[test]
    fn a_part_that_somebody_else_wrote_is_completed() {
        let completed = added(json!({"payments": {"validated": true}}), &[TOML, CONF]).unwrap();
        assert_eq!(completed["payments"]["configuration"]["sha256"], sha(TOML.1));
        assert_eq!(completed["payments"]["script_configurations"], json!({"V1__a.sql": sha(CONF.1)}));
        assert_eq!(added(Value::Null, &[TOML]).unwrap(), Value::Null);
        let kept = json!({"payments": {"validated": true, "script_configurations": {}}});
        assert_eq!(added(kept.clone(), &[CONF]).unwrap(), kept);
    }

    #[test]
    fn two_modules_share_one_file_or_are_refused() {
        let second = "modules/MOD-013/schema/payments/flyway.toml";
        let both = added(json!({"payments": {"validated": true}}), &[TOML, (second, TOML.1)]).unwrap();
        assert_eq!(both["payments"]["configuration"]["modules"], json!(["MOD-012", "MOD-013"]));
        let differ = added(json!({"payments": {"validated": true}}), &[TOML, (second, "")]).unwrap_err();
        assert!(differ[0].contains("differ"), "{differ:?}");
    }
}
