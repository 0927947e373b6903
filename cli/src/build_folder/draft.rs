//! The manifest of a build folder: digests and sizes from its files, the rest from what the build says of itself.
//!
//! The build's own document is kept, also what this version doesn't know of it; entries that its files make plain may
//! be left out.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    ids::{AssetFile, AssetKey, ChangeUrl, Commit, ModuleId, StackName},
    manifest::{Author, Build, SCHEMA_VERSION},
    store_key::ArtefactPath,
    suite::Suite,
};
use gatekeeper_readers::{
    flyway::migration_name::MigrationName,
    report::Format,
    template::{Handed, order, order::Needs},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    BuildFile,
    code_of::{self, TemplateFunction},
    configuration, recognise,
};
use crate::exit::Misuse;

type Object = Map<String, Value>;

/// The lists of a module, as the manifest calls them.
const LISTS: [&str; 5] = ["functions", "stacks", "schemas", "migrations", "script_configurations"];

/// What is known of a build beside its folder.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) commit: Commit,
    /// `None` where the folder's own document says which.
    pub(crate) branch: Option<String>,
    /// `None` where the folder's own document says who, or nobody is known.
    pub(crate) author: Option<String>,
    /// Empty where nobody is known beside those of the folder's own document.
    pub(crate) authors: Vec<Author>,
    /// Empty where nothing is known beside those of the folder's own document.
    pub(crate) changes: Vec<ChangeUrl>,
    /// `None` where the folder's own document says which, or none is known.
    pub(crate) build: Option<Build>,
    /// What `gatekeeper flyway validate --write` wrote.
    pub(crate) flyway: Object,
    /// What `gatekeeper observe --write` wrote.
    pub(crate) observed: Option<Value>,
    pub(crate) timestamp: Timestamp,
}

/// What the files' own contents tell.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Every function of the templates.
    pub(crate) functions: Vec<TemplateFunction>,
    /// What the stacks hand to each other.
    pub(crate) handed: BTreeMap<StackName, Handed>,
    /// The formats of the reports that are counted.
    pub(crate) formats: BTreeMap<ArtefactPath, Format>,
}

/// A manifest, and what its maker should look at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) document: Object,
    pub(crate) warnings: Vec<String>,
}

/// Makes the manifest; `recount` writes into it what the listed reports show.
///
/// # Errors
/// Every reason why it can't be made.
pub(crate) fn draft(
    base: Object,
    files: &[BuildFile],
    contents: &Contents,
    recount: impl FnOnce(&mut Object) -> Vec<String>,
    facts: Facts,
) -> Result<Draft, Misuse> {
    let (Draft { mut document, warnings }, mut reasons) = listed(base, files, contents);
    reasons.extend(recount(&mut document));
    let Facts { commit, branch, author, authors, changes, build, flyway, observed, timestamp } = facts;
    for (field, value) in
        [("schema_version", json!(SCHEMA_VERSION)), ("repo", json!(commit.repo)), ("commit_sha", json!(commit.sha))]
    {
        match document.insert(field.to_owned(), value.clone()) {
            Some(other) if other != value => reasons.push(format!(
                "`{field}` of `build-manifest.json` is {other}, not {value}: the folder is of another build"
            )),
            _ => {}
        }
    }
    document.insert("timestamp".to_owned(), json!(timestamp));
    if let Some(branch) = branch {
        document.insert("branch".to_owned(), json!(branch));
    } else if !document.contains_key("branch") {
        reasons.push("the branch is not known: pass `--branch`".to_owned());
    }
    if let Some(author) = author {
        document.insert("author".to_owned(), json!(author));
    }
    if !authors.is_empty() {
        document.insert("authors".to_owned(), json!(authors));
    }
    if !changes.is_empty() {
        document.insert("changes".to_owned(), json!(changes));
    }
    if let Some(build) = build {
        document.insert("build".to_owned(), json!(build));
    }
    if !flyway.is_empty() {
        match document.entry("flyway").or_insert_with(|| json!({})) {
            Value::Object(databases) => databases.extend(flyway),
            _ => reasons.push("`flyway` of `build-manifest.json` is not an object".to_owned()),
        }
    }
    configuration::add(&mut document, files, &mut reasons);
    if let Some(observed) = observed {
        match document.get_mut("tests").and_then(|tests| tests.get_mut("integration")) {
            Some(Value::Object(integration)) => match observed {
                Value::Object(observed) => integration.extend(observed),
                // As it was written before templates were observed too.
                deployed => drop(integration.insert("deployed".to_owned(), deployed)),
            },
            _ => reasons.push(
                "`--observed` tells which code the integration tests exercised, but `build-manifest.json` has no \
                 `tests.integration`: add their figures"
                    .to_owned(),
            ),
        }
    }
    if reasons.is_empty() {
        return Ok(Draft { document, warnings });
    }
    reasons.sort();
    Err(Misuse(format!("the manifest can't be made\n  {}", reasons.join("\n  "))))
}

/// The manifest's lists, for every file of the folder, and every reason why one can't be made.
pub(crate) fn listed(mut document: Object, files: &[BuildFile], contents: &Contents) -> (Draft, Vec<String>) {
    let open = files.iter().filter(|file| !file.is_manifest());
    let mut lists = Lists {
        open: open.map(|file| (file.path.clone(), file)).collect(),
        contents,
        seen: BTreeSet::new(),
        assets: BTreeMap::new(),
        warnings: Vec::new(),
        reasons: Vec::new(),
    };
    let mut modules = lists.take(&mut document, "modules");
    let mut reports = lists.take(&mut document, "reports");
    for module in &mut modules {
        lists.complete_module(module);
    }
    for report in &mut reports {
        let path = report.get("file").and_then(Value::as_str).map(|file| format!("reports/{file}"));
        lists.complete(path, "reports", report);
    }
    let open = std::mem::take(&mut lists.open);
    for file in in_order(open.values().copied().collect(), &contents.handed) {
        lists.add(file, &mut modules);
    }
    for file in open.values() {
        lists.add_report(file, document.get("tests"), &mut reports);
    }
    for module in &mut modules {
        if let Some(Value::Array(migrations)) = module.get_mut("migrations") {
            migrations.sort_by_cached_key(flyways_order);
        }
    }
    document.insert("modules".to_owned(), Value::Array(modules));
    if !reports.is_empty() {
        document.insert("reports".to_owned(), Value::Array(reports));
    }
    (Draft { document, warnings: lists.warnings }, lists.reasons)
}

/// The files so that modules and stacks are listed in an order in which they can be applied, and else as they were. Where
/// there is none the gate says why.
fn in_order<'a>(mut files: Vec<&'a BuildFile>, handed: &BTreeMap<StackName, Handed>) -> Vec<&'a BuildFile> {
    let templates = files.iter().filter_map(|file| match &file.path {
        ArtefactPath::Template(module, stack) => Some((stack, module)),
        _ => None,
    });
    let module_of: BTreeMap<&StackName, &ModuleId> = templates.collect();
    let told: Vec<_> = handed.iter().filter(|(stack, _)| module_of.contains_key(stack)).collect();
    let needs = order::imported(&told);
    let mut of_modules: Needs<'_, &ModuleId> = BTreeMap::new();
    for (stack, before) in &needs {
        for before in before.keys() {
            if let (Some(module), Some(before)) = (module_of.get(stack), module_of.get(before)) {
                of_modules.entry(*module).or_default().entry(*before).or_default().is_said = true;
            }
        }
    }
    let modules: BTreeSet<_> = files.iter().filter_map(|file| file.path.module()).collect();
    let modules: Vec<_> = modules.into_iter().collect();
    let modules = order::in_order(&modules, &of_modules).unwrap_or(modules);
    let stacks: Vec<_> = module_of.keys().copied().collect();
    let stacks = order::in_order(&stacks, &needs).unwrap_or(stacks);
    let module_at = |file: &BuildFile| modules.iter().position(|it| Some(*it) == file.path.module());
    let stack_at = |file: &BuildFile| match &file.path {
        ArtefactPath::Template(_, stack) => stacks.iter().position(|it| *it == stack),
        _ => None,
    };
    let places: BTreeMap<_, _> = files.iter().map(|file| (&file.path, (module_at(file), stack_at(file)))).collect();
    files.sort_by_key(|file| places.get(&file.path).copied());
    files
}

/// Where Flyway runs a migration among the others; what it would pass over comes last, and the gate tells of it.
fn flyways_order(entry: &Value) -> impl Ord + use<> {
    let text = |field| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let file = text("file");
    let place = MigrationName::parse(&file).ok().map(|name| name.place());
    (text("database"), place.is_none(), place, file)
}

/// The lists while they are held against the files.
struct Lists<'a> {
    /// The files that no entry was found for yet.
    open: BTreeMap<ArtefactPath, &'a BuildFile>,
    contents: &'a Contents,
    seen: BTreeSet<ArtefactPath>,
    /// The files of assets that an entry was found for.
    assets: BTreeMap<ArtefactPath, &'a BuildFile>,
    warnings: Vec<String>,
    reasons: Vec<String>,
}

impl Lists<'_> {
    fn take(&mut self, document: &mut Object, list: &str) -> Vec<Value> {
        match document.remove(list) {
            None => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                self.reasons.push(format!("`{list}` of `build-manifest.json` is not a list"));
                Vec::new()
            }
        }
    }

    fn complete_module(&mut self, module: &mut Value) {
        let Some(id) = module.get("id").and_then(Value::as_str).map(str::to_owned) else {
            return self.reasons.push("a module of `build-manifest.json` has no `id`".to_owned());
        };
        for list in LISTS {
            for entry in module.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let text = |field| entry.get(field).and_then(Value::as_str);
                let path = match list {
                    "functions" => text("name").map(|name| format!("functions/{name}.zip")),
                    "stacks" => text("name").map(|name| format!("cloudformation/{name}.json")),
                    "schemas" => text("database").map(|database| format!("schema/{database}-schema.sql")),
                    "script_configurations" => text("database")
                        .zip(text("script"))
                        .map(|(database, script)| format!("schema/{database}/migrations/{script}.conf")),
                    _ => text("database")
                        .zip(text("file"))
                        .map(|(database, file)| format!("schema/{database}/migrations/{file}")),
                };
                self.complete(path.map(|path| format!("modules/{id}/{path}")), list, entry);
            }
        }
        for entry in module.get_mut("assets").and_then(Value::as_array_mut).into_iter().flatten() {
            self.complete_asset(&id, entry);
        }
        if let Some(dbt) = module.get_mut("dbt").filter(|dbt| !dbt.is_null()) {
            self.complete(Some(format!("modules/{id}/dbt/manifest.json")), "dbt", dbt);
            if let Some(results) = dbt.get_mut("run_results").filter(|results| !results.is_null()) {
                self.complete(Some(format!("modules/{id}/dbt/run_results.json")), "dbt.run_results", results);
            }
        }
    }

    /// Gives an asset's entry the size of its file, which goes by its digest; several may be of one file.
    fn complete_asset(&mut self, module: &str, entry: &mut Value) {
        let text = |field| entry.get(field).and_then(Value::as_str);
        let key = text("key").and_then(|it| it.parse::<AssetKey>().ok());
        let file =
            text("sha256").and_then(|it| it.parse().ok()).zip(key).map(|(sha256, key)| AssetFile::of(sha256, &key));
        let path = file.and_then(|file| Some(ArtefactPath::Asset(module.parse().ok()?, file)));
        let Some(path) = path else {
            return self.reasons.push(format!(
                "an entry of `assets` in `build-manifest.json` names no artefact, which its `sha256` and its `key` do: {entry}"
            ));
        };
        let Some(file) = self.open.remove(&path).or_else(|| self.assets.get(&path).copied()) else {
            return self.reasons.push(format!(
                "`{path}` is listed in `build-manifest.json`, but there is no such file: build it, or remove the entry"
            ));
        };
        if path.to_string().rsplit('/').next().and_then(|it| it.get(..64)) != Some(file.sha256.to_string().as_str()) {
            self.reasons
                .push(format!("`{path}` has the SHA-256 `{}`, which is not its name: build it again", file.sha256));
        }
        self.assets.insert(path, file);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("size".to_owned(), json!(file.size));
        }
    }

    /// Gives an entry of the build's document the digest and size of its file.
    fn complete(&mut self, path: Option<String>, list: &str, entry: &mut Value) {
        let Some(path) = path.and_then(|it| ArtefactPath::parse(&it)) else {
            return self
                .reasons
                .push(format!("an entry of `{list}` in `build-manifest.json` names no artefact: {entry}"));
        };
        let Some(file) = self.open.remove(&path) else {
            let why = if self.seen.contains(&path) {
                "is listed twice in `build-manifest.json`"
            } else {
                "is listed in `build-manifest.json`, but there is no such file: build it, or remove the entry"
            };
            return self.reasons.push(format!("`{path}` {why}"));
        };
        self.seen.insert(path);
        let Some(entry) = entry.as_object_mut() else { return };
        if let Some(said) = entry.get("sha256").and_then(Value::as_str)
            && said != file.sha256.to_string()
        {
            let path = &file.path;
            self.warnings.push(format!(
                "`{path}` is not what `build-manifest.json` says: it was changed since; its bytes of now count"
            ));
        }
        self.fill(entry, file);
    }

    /// The digest and size of a file, and of a bundle the function that it is the code of.
    fn fill(&mut self, entry: &mut Object, file: &BuildFile) {
        entry.insert("sha256".to_owned(), json!(file.sha256));
        entry.insert("size".to_owned(), json!(file.size));
        let ArtefactPath::Function(module, name) = &file.path else { return };
        if entry.contains_key("stack") && entry.contains_key("logical_id") {
            return;
        }
        if let Some(function) = code_of::the_one(&self.contents.functions, file) {
            entry.entry("stack").or_insert_with(|| json!(function.stack));
            entry.entry("logical_id").or_insert_with(|| json!(function.logical_id));
        } else {
            self.reasons.push(format!(
                "which function `{}` is the code of can't be told from the templates: add `{{\"name\": \"{name}\", \
                 \"stack\": …, \"logical_id\": …}}` to `functions` of module `{module}` in `build-manifest.json`",
                file.path
            ));
        }
    }

    /// Adds the entry of a report that the build's document doesn't list, by what is in it and by its name.
    fn add_report(&mut self, file: &BuildFile, tests: Option<&Value>, reports: &mut Vec<Value>) {
        let ArtefactPath::Report(name) = &file.path else { return };
        let format = self.contents.formats.get(&file.path).copied();
        let suite = recognise::suite_of(name.as_str(), format, tests, reports);
        let extension = name.as_str().rsplit_once('.').map(|(_, extension)| extension);
        let format = match (format, extension, &suite) {
            (Some(format), ..) => format.as_str(),
            // Of a suite that is counted, what is no report is refused by the gate.
            (None, Some("xml"), Ok(suite)) if Suite::of(suite).is_some() => Format::Junit.as_str(),
            (None, Some(extension @ "xml"), Ok(_)) => extension,
            (None, ..) => {
                return self.reasons.push(format!(
                    "what `{}` reports can't be told from it: add `{{\"suite\": …, \"format\": …, \"file\": \"{name}\"}}` \
                     to `reports` in `build-manifest.json`, with the suite `other` where it is mere evidence",
                    file.path
                ));
            }
        };
        match suite {
            Ok(suite) => {
                let mut entry = Object::from_iter([
                    ("suite".to_owned(), json!(suite)),
                    ("format".to_owned(), json!(format)),
                    ("file".to_owned(), json!(name)),
                ]);
                self.fill(&mut entry, file);
                reports.push(Value::Object(entry));
            }
            Err(open) => self.reasons.push(format!(
                "whose tests `{}` tells of is not plain: {open}; add `{{\"suite\": …, \"format\": \"{format}\", \"file\": \
                 \"{name}\"}}` to `reports` in `build-manifest.json`",
                file.path
            )),
        }
    }

    /// Adds the entry of a file that the build's document doesn't list.
    fn add(&mut self, file: &BuildFile, modules: &mut Vec<Value>) {
        let (module, list, entry) = match &file.path {
            // A `flyway.toml` is told by its database's `flyway`.
            // Provenance is about the manifest, so no manifest lists it.
            ArtefactPath::Manifest
            | ArtefactPath::Report(_)
            | ArtefactPath::Provenance(_)
            | ArtefactPath::FlywayConfiguration(..) => return,
            ArtefactPath::Asset(module, _) => {
                return self.reasons.push(format!(
                    "which template takes `{}`, and by which key, can't be told: let `gatekeeper collect` list it, or add \
                     `{{\"sha256\": …, \"kind\": …, \"stack\": …, \"key\": …}}` to `assets` of module `{module}` in \
                     `build-manifest.json`",
                    file.path
                ));
            }
            ArtefactPath::Function(module, name) => (module, "functions", json!({"name": name})),
            ArtefactPath::Template(module, name) => (module, "stacks", json!({"name": name})),
            ArtefactPath::Schema(module, database) => (module, "schemas", json!({"database": database})),
            ArtefactPath::Migration(module, database, path) => {
                (module, "migrations", json!({"database": database, "file": path}))
            }
            ArtefactPath::ScriptConfiguration(module, database, script) => {
                (module, "script_configurations", json!({"database": database, "script": script}))
            }
            ArtefactPath::DbtManifest(module) => (module, "dbt", json!({})),
            // The manifest's entry holds it, which is there by now: files come in the order of their names.
            ArtefactPath::DbtRunResults(module) => (module, "run_results", json!({})),
        };
        let Value::Object(mut entry) = entry else { return };
        self.fill(&mut entry, file);
        let id = module.as_str();
        let at =
            modules.iter().position(|it| it.get("id").and_then(Value::as_str) == Some(id)).unwrap_or(modules.len());
        if at == modules.len() {
            modules.push(json!({"id": id}));
        }
        let Some(Value::Object(module)) = modules.get_mut(at) else { return };
        if list == "dbt" {
            module.insert(list.to_owned(), Value::Object(entry));
            return;
        }
        if list == "run_results" {
            match module.get_mut("dbt").and_then(Value::as_object_mut) {
                Some(dbt) => drop(dbt.insert(list.to_owned(), Value::Object(entry))),
                None => self.reasons.push(format!(
                    "`{}` has no `manifest.json` beside it: store the one that the same `dbt build` wrote",
                    file.path
                )),
            }
            return;
        }
        match module.entry(list).or_insert_with(|| json!([])) {
            Value::Array(entries) => {
                entries.push(Value::Object(entry));
                if list == "stacks" && entries.len() > 1 {
                    self.warnings.push(format!(
                        "`{}` is applied after the stacks before it; list the stacks of `{id}` in \
                         `build-manifest.json` where another order is needed",
                        file.path
                    ));
                }
            }
            _ => self.reasons.push(format!("`{list}` of module `{id}` in `build-manifest.json` is not a list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{ids::Sha256, manifest::Manifest};

    use super::*;

    /// These files are names only.
    fn uncounted(_: &mut Object) -> Vec<String> {
        Vec::new()
    }

    const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

    fn facts() -> Facts {
        Facts {
            commit: Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() },
            branch: Some("main".to_owned()),
            author: None,
            authors: Vec::new(),
            changes: Vec::new(),
            build: None,
            flyway: Map::new(),
            observed: None,
            timestamp: "2026-05-02T03:04:05Z".parse().unwrap(),
        }
    }

    /// Files whose bytes are their own paths.
    fn files(paths: &[&str]) -> Vec<BuildFile> {
        let file = |path: &&str| BuildFile {
            path: ArtefactPath::parse(path).unwrap(),
            file: path.into(),
            size: path.len() as u64,
            sha256: Sha256::of(path.as_bytes()),
        };
        paths.iter().map(file).collect()
    }

    fn object(value: &Value) -> Object {
        value.as_object().unwrap().clone()
    }

    /// The template of one function, `PayFn`, whose code is the bundle `pay`.
    fn contents() -> Contents {
        let template = json!({
            "Parameters": {"ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}},
            "Resources": {"PayFn": {"Type": "AWS::Lambda::Function", "Properties": {
                "Runtime": "nodejs22.x", "Handler": "index.handler",
                "Code": {"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": "${ArtefactPrefix}/functions/pay.zip"}}
            }}}
        });
        let (module, stack) = ("MOD-012".parse().unwrap(), "payments-api".parse().unwrap());
        let functions = code_of::functions(&module, &stack, template.to_string().as_bytes());
        let formats = [(ArtefactPath::parse("reports/unit.xml").unwrap(), Format::Junit)];
        Contents { functions, formats: formats.into(), ..Contents::default() }
    }

    const PAY: &str = "modules/MOD-012/functions/pay.zip";
    const API: &str = "modules/MOD-012/cloudformation/payments-api.json";

    fn refused(base: &Value, paths: &[&str]) -> String {
        draft(object(base), &files(paths), &contents(), uncounted, facts()).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_without_a_document_is_listed_from_its_files() {
        let migration = |file: &str| format!("modules/MOD-012/schema/payments/migrations/{file}");
        let migrations = ["R__views.sql", "V10__b.sql", "V2__a.sql"].map(migration);
        let mut paths = vec![
            PAY,
            API,
            "modules/MOD-012/schema/payments-schema.sql",
            "modules/MOD-013/dbt/manifest.json",
            "modules/MOD-013/dbt/run_results.json",
            "reports/unit.xml",
        ];
        paths.extend(migrations.iter().map(String::as_str));
        let Draft { mut document, warnings } =
            draft(Map::new(), &files(&paths), &contents(), uncounted, facts()).unwrap();
        assert_eq!(warnings, [""; 0]);
        let bytes = Value::Object(document.clone()).to_string();
        let manifest = Manifest::parse(bytes.as_bytes(), &facts().commit).unwrap();
        assert_eq!(manifest.claims().len(), paths.len());
        for claim in manifest.claims() {
            assert_eq!(claim.sha256, Sha256::of(claim.path.to_string().as_bytes()), "{}", claim.path);
        }
        let in_order: Vec<_> = manifest.modules[0].migrations.iter().map(|it| it.file.as_str()).collect();
        assert_eq!(in_order, ["V2__a.sql", "V10__b.sql", "R__views.sql"]);
        let function = document["modules"][0]["functions"][0].take();
        assert_eq!((&function["stack"], &function["logical_id"]), (&json!("payments-api"), &json!("PayFn")));
        assert_eq!(document["reports"][0]["suite"], "unit");
    }

    #[test]
    fn the_results_of_a_dbt_build_go_with_its_manifest() {
        let results = "modules/MOD-013/dbt/run_results.json";
        let both = ["modules/MOD-013/dbt/manifest.json", results];
        let listed = json!({"modules": [{"id": "MOD-013", "dbt": {"note": "kept", "run_results": {"note": "kept"}}}]});
        for base in [json!({}), json!({"modules": [{"id": "MOD-013", "dbt": {}}]}), listed.clone()] {
            let made = draft(object(&base), &files(&both), &contents(), uncounted, facts()).unwrap();
            let dbt = &made.document["modules"][0]["dbt"];
            assert_eq!(dbt["run_results"]["sha256"], json!(Sha256::of(results.as_bytes())), "{base}");
            assert_eq!(dbt["sha256"], json!(Sha256::of(both[0].as_bytes())), "{base}");
            let is_kept = base == listed;
            assert_eq!((!dbt["note"].is_null(), !dbt["run_results"]["note"].is_null()), (is_kept, is_kept));
        }
        let alone = refused(&json!({}), &[results]);
        assert!(alone.contains("has no `manifest.json` beside it"), "{alone}");
        let gone = refused(&listed, &both[..1]);
        assert!(gone.contains("`modules/MOD-013/dbt/run_results.json` is listed in"), "{gone}");
    }

    #[test]
    fn the_builds_own_document_is_kept_and_its_digests_are_made_anew() {
        let base = json!({
            "modules": [{"id": "MOD-012", "functions": [
                {"name": "pay", "sha256": "0".repeat(64), "size": 1, "stack": "payments-api", "logical_id": "OtherFn", "memory": 512}
            ], "stacks": [{"name": "payments-api"}], "removed": [{"function": "refund", "reason": "POL-004"}]}],
            "tests": {"typecheck": {"errors": 0}},
            "sbom": {"format": "spdx"}
        });
        let Draft { document, warnings } =
            draft(object(&base), &files(&[PAY, API]), &contents(), uncounted, facts()).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let function = &document["modules"][0]["functions"][0];
        assert_eq!(function["sha256"], json!(Sha256::of(PAY.as_bytes())));
        assert_eq!((&function["logical_id"], &function["memory"]), (&json!("OtherFn"), &json!(512)));
        assert_eq!(document["modules"][0]["removed"][0]["function"], "refund");
        assert_eq!(document["sbom"]["format"], "spdx");
    }

    #[test]
    fn what_asked_for_the_change_is_what_the_command_was_told_else_what_the_build_says() {
        let [pull, ticket] =
            ["https://github.com/example-bank/bank-payments/pull/7", "https://tickets.bank.example/PAY-42"];
        let base = json!({"changes": [ticket]}).as_object().unwrap().clone();
        let drafted = |facts| draft(base.clone(), &[], &Contents::default(), |_| Vec::new(), facts).unwrap().document;
        assert_eq!(drafted(facts())["changes"], json!([ticket]));
        let told = Facts { changes: vec![pull.parse().unwrap()], ..facts() };
        assert_eq!(drafted(told)["changes"], json!([pull]));
    }

    #[test]
    fn every_disagreement_is_a_reason() {
        let base = json!({
            "schema_version": 2, "repo": "bank-kyc",
            "modules": [{"id": "MOD-012", "functions": [{"name": "settle"}, {"name": "pay"}, {"name": "pay"}, {}]}],
            "reports": [{"suite": "unit", "format": "junit", "file": "unit.xml"}]
        });
        let shown = refused(&base, &[PAY, API, "modules/MOD-012/functions/refund.zip", "reports/coverage.json"]);
        insta::assert_snapshot!(shown, @r#"
        the manifest can't be made
          `modules/MOD-012/functions/pay.zip` is listed twice in `build-manifest.json`
          `modules/MOD-012/functions/settle.zip` is listed in `build-manifest.json`, but there is no such file: build it, or remove the entry
          `repo` of `build-manifest.json` is "bank-kyc", not "bank-payments": the folder is of another build
          `reports/unit.xml` is listed in `build-manifest.json`, but there is no such file: build it, or remove the entry
          `schema_version` of `build-manifest.json` is 2, not 1: the folder is of another build
          an entry of `functions` in `build-manifest.json` names no artefact: {}
          what `reports/coverage.json` reports can't be told from it: add `{"suite": …, "format": …, "file": "coverage.json"}` to `reports` in `build-manifest.json`, with the suite `other` where it is mere evidence
          which function `modules/MOD-012/functions/refund.zip` is the code of can't be told from the templates: add `{"name": "refund", "stack": …, "logical_id": …}` to `functions` of module `MOD-012` in `build-manifest.json`
        "#);
    }

    #[test]
    fn what_flyway_and_lambda_said_is_added_where_it_belongs() {
        let observed = json!([{"function": "pay", "code_sha256": Sha256::of(PAY.as_bytes())}]);
        let facts = Facts {
            flyway: object(&json!({"payments": {"validated": true, "checksums": {"V1__x.sql": -1}}})),
            observed: Some(observed.clone()),
            ..facts()
        };
        let base = json!({
            "tests": {"integration": {"passed": 3, "failed": 0, "run_integration": true, "deployed": []}},
            "flyway": {"ledger": {"validated": true}, "payments": {"validated": false}}
        });
        let Draft { document, .. } =
            draft(object(&base), &files(&[PAY, API]), &contents(), uncounted, facts.clone()).unwrap();
        assert_eq!(document["tests"]["integration"]["deployed"], observed);
        let both = json!({"deployed": observed, "templates": [{"stack": "api", "sha256": Sha256::of(b"{}")}]});
        let facts = Facts { observed: Some(both.clone()), ..facts };
        let Draft { document, .. } =
            draft(object(&base), &files(&[PAY, API]), &contents(), uncounted, facts.clone()).unwrap();
        for name in ["deployed", "templates"] {
            assert_eq!(document["tests"]["integration"][name], both[name]);
        }
        assert_eq!(document["tests"]["integration"]["passed"], 3);
        assert_eq!(document["flyway"]["payments"]["checksums"]["V1__x.sql"], -1);
        assert_eq!(document["flyway"]["ledger"]["validated"], true);
        // Nobody tells what the tests exercised before they ran.
        let refused = draft(Map::new(), &files(&[PAY, API]), &contents(), uncounted, facts).unwrap_err();
        assert!(refused.to_string().contains("has no `tests.integration`"), "{refused}");
    }

    #[test]
    fn the_order_of_stacks_is_the_builds_or_told() {
        let web = "modules/MOD-012/cloudformation/a-web.json";
        let Draft { warnings, .. } =
            draft(Map::new(), &files(&[web, API]), &Contents::default(), uncounted, facts()).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let base = json!({"modules": [{"id": "MOD-012", "stacks": [{"name": "payments-api"}, {"name": "a-web"}]}]});
        let Draft { document, warnings } =
            draft(object(&base), &files(&[web, API]), &Contents::default(), uncounted, facts()).unwrap();
        assert_eq!((warnings.len(), &document["modules"][0]["stacks"][0]["name"]), (0, &json!("payments-api")));
    }

    #[test]
    fn modules_and_stacks_are_listed_in_an_order_in_which_they_can_be_applied() {
        let template = |export: &str, import: &str| {
            let document = json!({
                "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {
                    "TopicName": {"Fn::ImportValue": import}
                }}},
                "Outputs": {"It": {"Value": 1, "Export": {"Name": export}}},
            });
            gatekeeper_readers::template::read(document.to_string().as_bytes()).unwrap().handed
        };
        let hands =
            [("a", "a-out", "z-out"), ("m", "m-out", "b-out"), ("z", "z-out", "other"), ("b", "b-out", "other")];
        let handed = hands.iter().map(|(name, export, import)| (name.parse().unwrap(), template(export, import)));
        let contents = Contents { handed: handed.collect(), ..Contents::default() };
        let path = |module: &str, stack: &str| format!("modules/{module}/cloudformation/{stack}.json");
        let listed = |paths: &[String]| {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            let Draft { document, .. } = draft(Map::new(), &files(&paths), &contents, uncounted, facts()).unwrap();
            let modules = document["modules"].as_array().unwrap().iter();
            let of =
                |it: &Value| it["stacks"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
            modules.map(|it| (it["id"].clone(), of(it))).collect::<Vec<_>>()
        };
        let one = [path("MOD-001", "a"), path("MOD-001", "b"), path("MOD-001", "m"), path("MOD-001", "z")];
        assert_eq!(listed(&one), [(json!("MOD-001"), ["b", "m", "z", "a"].map(|it| json!(it)).to_vec())]);
        let two = [path("MOD-001", "a"), path("MOD-002", "z"), path("MOD-003", "b")];
        let ids: Vec<_> = listed(&two).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["MOD-002", "MOD-001", "MOD-003"].map(|id| json!(id)));
        // Modules that need each other both ways have no order; the gate says why.
        let both = [path("MOD-001", "a"), path("MOD-001", "b"), path("MOD-002", "z"), path("MOD-002", "m")];
        let ids: Vec<_> = listed(&both).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["MOD-001", "MOD-002"].map(|id| json!(id)));
    }
}
