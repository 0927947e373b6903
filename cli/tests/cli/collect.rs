//! `gatekeeper collect`: an assembly that is written by hand, with a stand-in for cdk-assets, and what real tools wrote.

#![expect(clippy::indexing_slicing, reason = "the documents are written here")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use gatekeeper_model::ids::Sha256;
use serde_json::{Value, json};

use crate::common::{Run, SHA, gatekeeper_with};

/// A cloud assembly in a repository that has cdk-assets installed.
struct Repository {
    root: tempfile::TempDir,
    artifacts: Value,
}

/// The key of an asset: 64 hex digits, as CDK makes them.
fn key(seed: &str) -> String {
    Sha256::of(seed.as_bytes()).to_string()
}

impl Repository {
    /// The stack Data with a table and a function, and the stack Api with a function, which imports the table's name; as SST
    /// would name them.
    fn sst() -> Self {
        let mut repository = Self::without_stacks();
        let export = "dev-bank-Data:Table";
        repository.stack(
            "dev-bank-Data",
            &json!({
                "Resources": {
                    "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {
                        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST"
                    }},
                    "SweepFn": function("sweep"),
                    "Role": role()
                },
                "Outputs": {"Table": {"Value": {"Ref": "Table"}, "Export": {"Name": export}}}
            }),
        );
        repository.asset("dev-bank-Data", "sweep");
        let mut api = function("api");
        api["Properties"]["Environment"] = json!({"Variables": {"TABLE": {"Fn::ImportValue": export}}});
        repository.stack("dev-bank-Api", &json!({"Resources": {"PayFn": api, "Role": role()}}));
        repository.asset("dev-bank-Api", "api");
        repository
    }

    fn without_stacks() -> Self {
        let repository = Self { root: tempfile::tempdir().unwrap(), artifacts: json!({"Tree": {"type": "cdk:tree"}}) };
        repository.write(
            "node_modules/cdk-assets/package.json",
            r#"{"name": "cdk-assets", "version": "3.0.0", "main": "index.js"}"#,
        );
        repository.write("node_modules/cdk-assets/index.js", include_str!("collect/cdk_assets.cjs"));
        repository
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn stack(&mut self, name: &str, template: &Value) {
        self.write(&format!("dist/{name}.template.json"), &template.to_string());
        self.artifacts[name] = json!({
            "type": "aws:cloudformation:stack",
            "environment": "aws://111122223333/ap-southeast-2",
            "properties": {
                "templateFile": format!("{name}.template.json"),
                "terminationProtection": name.ends_with("Data"),
                "tags": {"sst:app": "bank", "sst:stage": "dev"}
            }
        });
    }

    /// An asset of a folder with a module and a program.
    fn asset(&mut self, stack: &str, seed: &str) {
        let folder = format!("asset.{}", key(seed));
        self.write(&format!("dist/{folder}/index.mjs"), &format!("export const handler = async () => \"{seed}\";\n"));
        let program = self.write(&format!("dist/{folder}/bin/tool"), "#!/bin/sh\n");
        set_mode(&program, 0o755);
        self.listed(stack, seed, &json!({"path": folder, "packaging": "zip"}), "zip");
    }

    /// Lists an asset in the stack's asset manifest.
    fn listed(&mut self, stack: &str, seed: &str, source: &Value, extension: &str) {
        let file = format!("{stack}.assets.json");
        self.artifacts[format!("{stack}.assets")] = json!({"type": "cdk:asset-manifest", "properties": {"file": file}});
        let path = self.root.path().join("dist").join(&file);
        let mut document: Value = fs::read(&path).map_or_else(
            |_| {
                let template = json!({"source": {"path": format!("{stack}.template.json"), "packaging": "file"},
                    "destinations": {"here": {"bucketName": bucket(), "objectKey": format!("{}.json", key(stack))}}});
                json!({"version": "48.0.0", "files": {key(stack): template}, "dockerImages": {}})
            },
            |bytes| serde_json::from_slice(&bytes).unwrap(),
        );
        document["files"][key(seed)] = json!({
            "displayName": format!("{seed}/Code"), "source": source,
            "destinations": {"here": {"bucketName": bucket(), "objectKey": format!("{}.{extension}", key(seed))}}
        });
        fs::write(path, document.to_string()).unwrap();
    }

    /// Runs the command in the repository; paths below it are shown from there.
    fn collect(&self, arguments: &[&str]) -> Run {
        let manifest = json!({"version": "48.0.0", "artifacts": self.artifacts});
        self.write("dist/manifest.json", &manifest.to_string());
        let root = self.root.path().canonicalize().unwrap();
        let (assembly, out) = (root.join("dist"), root.join("build/commit"));
        let mut line =
            vec!["collect", assembly.to_str().unwrap(), "--module", "MOD-012", "--out", out.to_str().unwrap()];
        line.extend(arguments);
        let path = std::env::var_os("PATH").unwrap();
        let mut run = gatekeeper_with(&line, &[("PATH", path.to_str().unwrap())]);
        for text in [&mut run.stdout, &mut run.stderr] {
            *text = text.replace(root.to_str().unwrap(), "ROOT");
        }
        run
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("build/commit")
    }
}

fn bucket() -> &'static str {
    "cdk-hnb659fds-assets-111122223333-ap-southeast-2"
}

fn function(seed: &str) -> Value {
    json!({"Type": "AWS::Lambda::Function", "Properties": {
        "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"S3Bucket": bucket(), "S3Key": format!("{}.zip", key(seed))}
    }})
}

fn role() -> Value {
    json!({"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}})
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode)).unwrap();
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_assembly_becomes_the_folder_of_a_commit() {
    let repository = Repository::sst();
    insta::assert_snapshot!(repository.collect(&[]).shown());
    let out = repository.out();
    assert_eq!(
        files(&out),
        [
            "build-manifest.json",
            "modules/MOD-012/cloudformation/Api.json",
            "modules/MOD-012/cloudformation/Data.json",
            "modules/MOD-012/functions/Api-PayFn.zip",
            "modules/MOD-012/functions/Data-SweepFn.zip",
        ]
    );
    let template = |path: &Path| fs::read(path).unwrap();
    assert_eq!(
        template(&out.join("modules/MOD-012/cloudformation/Api.json")),
        template(&repository.root.path().join("dist/dev-bank-Api.template.json"))
    );
    insta::assert_snapshot!(fs::read_to_string(out.join("build-manifest.json")).unwrap());
    // Nothing is left beside it.
    assert_eq!(fs::read_dir(repository.root.path().join("build")).unwrap().count(), 1);
}

#[test]
fn as_json_it_tells_what_was_written() {
    let run = Repository::sst().collect(&["--output", "json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    insta::assert_json_snapshot!(report);
}

#[test]
fn what_is_collected_can_be_published() {
    let repository = Repository::sst();
    assert_eq!(repository.collect(&[]).code, 0);
    let out = repository.out();
    let line = [
        "publish",
        out.to_str().unwrap(),
        "--repo",
        "bank",
        "--sha",
        SHA,
        "--branch",
        "main",
        "--dry-run",
        "--output",
        "json",
    ];
    let run = gatekeeper_with(&line, &[]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.stderr.as_str(), &report["verdict"]["outcome"]), ("", &json!("registered")), "{}", run.shown());
}

/// The image is in a registry, where the template names it: dev tells its digest once it runs.
#[test]
fn an_image_asset_is_left_to_the_registry() {
    let mut repository = Repository::sst();
    let registry = "111122223333.dkr.ecr.ap-southeast-2.${AWS::URLSuffix}";
    let repository_name = "cdk-hnb659fds-container-assets-111122223333-ap-southeast-2";
    let image = json!({"Fn::Sub": format!("{registry}/{repository_name}:{}", key("image"))});
    let worker = json!({"Type": "AWS::Lambda::Function", "Properties": {
        "PackageType": "Image", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ImageUri": image}
    }});
    repository.stack("dev-bank-Worker", &json!({"Resources": {"WorkerFn": worker, "Role": role()}}));
    let file = "dist/dev-bank-Worker.assets.json";
    let assets = json!({"version": "48.0.0", "files": {}, "dockerImages": {key("image"): {
        "displayName": "WorkerFn/Image", "source": {"directory": "asset.image"},
        "destinations": {"here": {"repositoryName": repository_name, "imageTag": key("image")}}
    }}});
    repository.write(file, &assets.to_string());
    repository.artifacts["dev-bank-Worker.assets"] =
        json!({"type": "cdk:asset-manifest", "properties": {"file": "dev-bank-Worker.assets.json"}});
    let run = repository.collect(&["--output", "json"]);
    assert_eq!(run.code, 0, "{}", run.shown());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["functions"].as_array().unwrap().len(), 2, "the image is no bundle");
    let out = repository.out();
    let line = ["publish", out.to_str().unwrap(), "--repo", "bank", "--sha", SHA, "--branch", "main", "--dry-run"];
    let run = gatekeeper_with(&[&line as &[_], &["--output", "json"]].concat(), &[]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["verdict"]["outcome"], json!("registered"), "{}", run.shown());
}

#[test]
fn the_umask_and_a_zip_of_an_earlier_run_change_nothing() {
    let digests = |prepare: &dyn Fn(&Repository, &Path)| {
        let repository = Repository::sst();
        prepare(&repository, &repository.root.path().join(format!("dist/asset.{}", key("api"))));
        let run = repository.collect(&["--output", "json"]);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        report["functions"].clone()
    };
    let plain = digests(&|_, _| {});
    for (folder, file, program) in [(0o755, 0o644, 0o755), (0o775, 0o664, 0o775), (0o700, 0o600, 0o700)] {
        let other = digests(&|_, asset| {
            set_mode(&asset.join("index.mjs"), file);
            set_mode(&asset.join("bin/tool"), program);
            set_mode(&asset.join("bin"), folder);
            set_mode(asset, folder);
        });
        assert_eq!(other, plain);
    }
    let cached = digests(&|repository, _| {
        repository.write(&format!("dist/.cache/{}.zip", key("api")), "of an earlier run");
    });
    assert_eq!(cached, plain);
    // Whether its owner may execute a file is no matter of the umask.
    assert_ne!(digests(&|_, asset| set_mode(&asset.join("index.mjs"), 0o755)), plain);
    // Links are followed, as cdk-assets does.
    let linked = digests(&|repository, asset| {
        let moved = repository.root.path().join("index.mjs");
        fs::rename(asset.join("index.mjs"), &moved).unwrap();
        std::os::unix::fs::symlink(moved, asset.join("index.mjs")).unwrap();
    });
    assert_eq!(linked, plain);
}

#[test]
fn what_can_not_be_taken_is_told_all_of_it_before_anything_is_written() {
    let mut repository = Repository::sst();
    let map = format!("{}.map", key("map"));
    repository.write(&format!("dist/asset.{map}"), "{}");
    repository.stack(
        "dev-bank-Web",
        &json!({"Resources": {
            "Loader": {"Type": "Custom::Loader", "Properties": {"maps": [["arn", map]]}},
            "Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {"S3Bucket": bucket(), "S3Key": "elsewhere.zip"}}},
            "ImageFn": {"Type": "AWS::Lambda::Function", "Properties": {"PackageType": "Image", "Code": {"ImageUri": "image"}}},
            "OtherFn": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Bucket": "elsewhere", "S3Key": "code.zip"}}},
            "GoneFn": function("gone")
        }}),
    );
    repository.listed("dev-bank-Web", "map", &json!({"path": format!("asset.{map}"), "packaging": "file"}), "map");
    repository.asset("dev-bank-Web", "layer");
    repository.listed("dev-bank-Web", "gone", &json!({"path": "asset.gone", "packaging": "zip"}), "zip");
    repository.listed("dev-bank-Web", "made", &json!({"executable": ["make"]}), "zip");
    repository.stack(
        "dev-bank-Old",
        &json!({"Parameters": {"AssetParameters1fS3Bucket": {"Type": "String"}}, "Resources": {}}),
    );
    repository.artifacts["dev-bank-Lost"] =
        json!({"type": "aws:cloudformation:stack", "properties": {"templateFile": "lost.json"}});
    repository.artifacts["assembly-uat"] = json!({"type": "cdk:cloud-assembly"});
    repository.artifacts["later"] = json!({"type": "cdk:of-a-later-version"});
    repository.stack("Api", &json!({"Resources": {}}));
    let run = repository.collect(&[]);
    insta::assert_snapshot!(run.shown().replace(&key("gone"), "GONE"));
    assert!(!repository.root.path().join("build").exists());
}

/// The repository of SST with a stack that takes a source map, a layer and the template of a nested stack, which has a
/// function.
fn with_assets() -> Repository {
    let mut repository = Repository::sst();
    let map = format!("{}.map", key("map"));
    repository.write(&format!("dist/asset.{map}"), "{}");
    let url = format!("https://s3.ap-southeast-2.amazonaws.com/{}/{}.json", bucket(), key("inner"));
    repository.stack(
        "dev-bank-Web",
        &json!({"Resources": {
            "SourcemapUploader": {"Type": "Custom::SourcemapUploader", "Properties": {
                "ServiceToken": {"Fn::GetAtt": ["Inner", "Outputs.Arn"]}, "srcBucket": bucket(), "sourcemaps": [["arn", map]]
            }},
            "Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {"S3Bucket": bucket(), "S3Key": format!("{}.zip", key("layer"))}}},
            "Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
        }}),
    );
    repository
        .write("dist/inner.nested.template.json", &json!({"Resources": {"InnerFn": function("inner-fn")}}).to_string());
    repository.listed("dev-bank-Web", "map", &json!({"path": format!("asset.{map}"), "packaging": "file"}), "map");
    repository.listed(
        "dev-bank-Web",
        "inner",
        &json!({"path": "inner.nested.template.json", "packaging": "file"}),
        "json",
    );
    repository.asset("dev-bank-Web", "layer");
    repository.asset("dev-bank-Web", "inner-fn");
    repository
}

#[test]
fn what_templates_take_beside_code_lies_under_its_digest() {
    let repository = with_assets();
    let run = repository.collect(&[]);
    insta::assert_snapshot!(run.shown());
    let out = repository.out();
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("build-manifest.json")).unwrap()).unwrap();
    let module = &manifest["modules"][0];
    insta::assert_json_snapshot!([&module["assets"], &module["functions"]]);
    for asset in module["assets"].as_array().unwrap() {
        let extension = asset["key"].as_str().unwrap().split_once('.').unwrap().1;
        let file = out.join(format!("modules/MOD-012/assets/{}.{extension}", asset["sha256"].as_str().unwrap()));
        assert_eq!(json!(Sha256::of(&fs::read(file).unwrap())), asset["sha256"]);
    }
    let inner = repository.root.path().join("dist/inner.nested.template.json");
    let stored = out.join(format!("modules/MOD-012/assets/{}.json", Sha256::of(&fs::read(&inner).unwrap())));
    assert_eq!(fs::read(stored).unwrap(), fs::read(inner).unwrap(), "byte for byte");
}

/// Writes the documents of an assembly, as SST or CDK synthesised it, and something for each asset that it names.
fn synthesised(documents: &Value) -> Repository {
    let mut repository = Repository::without_stacks();
    let documents = documents.as_object().unwrap();
    let mut handlers = Vec::new();
    for (file, document) in documents {
        repository.write(&format!("dist/{file}"), &document.to_string());
        for resource in document["Resources"].as_object().into_iter().flat_map(|it| it.values()) {
            if let Some(handler) = resource["Properties"]["Handler"].as_str() {
                handlers.push(handler.rsplit_once('.').unwrap().0.to_owned());
            }
        }
    }
    for document in documents.values() {
        for asset in document["files"].as_object().into_iter().flat_map(|it| it.values()) {
            let (path, packaging) = (asset["source"]["path"].as_str().unwrap(), &asset["source"]["packaging"]);
            if documents.contains_key(path) {
                continue;
            }
            let all = handlers.iter().flat_map(|it| ["js", "mjs", "py"].map(|extension| format!("{it}.{extension}")));
            if packaging == "zip" {
                all.for_each(|file| drop(repository.write(&format!("dist/{path}/{file}"), path)));
            } else if path.ends_with(".zip") {
                let file = fs::File::create(repository.write(&format!("dist/{path}"), "")).unwrap();
                let mut zip = zip::ZipWriter::new(file);
                zip.start_file("tool", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
                zip.finish().unwrap();
            } else {
                repository.write(&format!("dist/{path}"), path);
            }
        }
    }
    repository.artifacts = documents["manifest.json"]["artifacts"].clone();
    repository
}

/// What the gate says of what is collected of an assembly, and what it takes beside functions' code.
fn judged(repository: &Repository, options: &[&str]) -> Value {
    let run = repository.collect(options);
    assert_eq!(run.code, 0, "{}", run.shown());
    let out = repository.out();
    let line = ["publish", out.to_str().unwrap(), "--repo", "bank", "--sha", SHA, "--branch", "main", "--dry-run"];
    let run = gatekeeper_with(&[line.as_slice(), &["--output", "json"]].concat(), &[]);
    assert!(run.stdout.starts_with('{'), "{}", run.shown());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("build-manifest.json")).unwrap()).unwrap();
    let list = |name: &str| manifest["modules"][0][name].as_array().cloned().unwrap_or_default();
    let kinds: Vec<_> = list("assets").iter().map(|it| it["kind"].clone()).collect();
    let nested: Vec<_> = list("functions").into_iter().map(|it| it["logical_id"].clone()).collect();
    let reasons = report["verdict"]["reasons"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons
        .map(|it| json!(format!("{}: {}", it["code"].as_str().unwrap(), it["message"].as_str().unwrap())))
        .collect();
    json!({"outcome": report["verdict"]["outcome"], "reasons": reasons, "assets": kinds, "functions": nested})
}

/// The assemblies are of `tests/oracles/make_cdk_assemblies.sh`.
#[test]
fn what_cdks_own_constructs_take_goes_through_the_gate() {
    let mut said = serde_json::Map::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/collect/assemblies");
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in names.iter().filter(|name| *name != "sst.json") {
        let documents: Value = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
        let of_dev = ["--stage", "dev", "--application", "bank"];
        let options: &[&str] = if name.contains("-of-dev") { &of_dev } else { &[] };
        said.insert(name.clone(), judged(&synthesised(&documents), options));
    }
    insta::assert_json_snapshot!(said);
}

/// Of `sst build` 2.49, with its source maps.
#[test]
fn what_sst_builds_by_default_goes_through_the_gate() {
    let documents: Value = serde_json::from_str(include_str!("collect/assemblies/sst.json")).unwrap();
    let repository = synthesised(&documents);
    let mut said = judged(&repository, &[]);
    let manifest: Value =
        serde_json::from_slice(&fs::read(repository.out().join("build-manifest.json")).unwrap()).unwrap();
    said["synthesised_for"] = manifest["synthesised_for"].clone();
    insta::assert_json_snapshot!(said);
}

#[test]
fn stacks_in_a_circle_are_refused() {
    let mut repository = Repository::sst();
    repository.artifacts["dev-bank-Data"]["dependencies"] = json!(["dev-bank-Data.assets", "dev-bank-Api"]);
    let run = repository.collect(&[]);
    insta::assert_snapshot!(run.shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the assembly `ROOT/dist` can't be taken
      the stacks `dev-bank-Api`, `dev-bank-Data` depend on each other in a circle, so none can be applied first: move what they share into a stack of its own
    "#);
}

#[test]
fn what_the_tags_do_not_tell_must_be_told() {
    let mut repository = Repository::sst();
    for stack in ["dev-bank-Data", "dev-bank-Api"] {
        repository.artifacts[stack]["properties"]["tags"] = json!({});
    }
    insta::assert_snapshot!(repository.collect(&["--stage", "dev"]).shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the assembly `ROOT/dist` can't be taken
      the templates name account 111122223333, so the gate must know what else is another in each stage: pass `--application`, as the names of the stacks have them
    "#);
    let run = repository.collect(&["--stage", "dev", "--application", "bank"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let written = fs::read_to_string(repository.out().join("build-manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(
        manifest["synthesised_for"],
        json!({"account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank"})
    );
    // Templates that fit any account declare nothing, and their stacks keep their names.
    fs::remove_dir_all(repository.out()).unwrap();
    for stack in ["dev-bank-Data", "dev-bank-Api"] {
        repository.artifacts[stack]["environment"] = json!("aws://unknown-account/unknown-region");
    }
    assert_eq!(repository.collect(&[]).code, 0);
    let written = fs::read_to_string(repository.out().join("build-manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(manifest.get("synthesised_for"), None);
    assert_eq!(manifest["modules"][0]["stacks"][0]["name"], "dev-bank-Data");
}

#[test]
fn a_tag_and_an_option_must_agree() {
    let run = Repository::sst().collect(&["--stage", "uat"]);
    insta::assert_snapshot!(run.shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the assembly `ROOT/dist` can't be taken
      the tags `sst:stage` of the stacks and `--stage` say `dev` and `uat`: build for one, and pass no other
    "#);
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let repository = Repository::sst();
    let kept = repository.write("build/commit/reports/unit.xml", "<testsuites/>");
    insta::assert_snapshot!(repository.collect(&[]).shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `ROOT/build/commit` is not empty: remove it, or name another folder by `--out`
    "#);
    assert_eq!(files(&repository.out()), ["reports/unit.xml"]);
    fs::remove_file(kept).unwrap();
    fs::remove_dir(repository.out().join("reports")).unwrap();
    assert_eq!(repository.collect(&[]).code, 0, "an empty folder is none");
}

#[test]
fn without_cdk_assets_nothing_is_written() {
    let repository = Repository::sst();
    fs::rename(repository.root.path().join("node_modules"), repository.root.path().join("tools")).unwrap();
    insta::assert_snapshot!(repository.collect(&[]).shown(), @r#"
    exit 3
    --- stdout
    --- stderr
    error: the assets can't be zipped: cdk-assets is not installed at `ROOT/dist` or above: add `cdk-assets` to the repository's devDependencies, or pass `--cdk-assets` with the folder that it is installed in
    "#);
    assert!(!repository.root.path().join("build").exists());
    let tools = repository.root.path().join("tools/cdk-assets");
    assert_eq!(repository.collect(&["--cdk-assets", tools.to_str().unwrap()]).code, 0);
}

#[test]
fn cdk_assets_is_found_beside_sst_where_pnpm_keeps_it() {
    let repository = Repository::sst();
    let modules = repository.root.path().join("node_modules");
    let beside = modules.join(".pnpm/sst@2.49.8/node_modules");
    fs::create_dir_all(beside.join("sst")).unwrap();
    fs::rename(modules.join("cdk-assets"), beside.join("cdk-assets")).unwrap();
    std::os::unix::fs::symlink(beside.join("sst"), modules.join("sst")).unwrap();
    let run = repository.collect(&[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_cdk_assets_that_is_too_old_is_refused() {
    let repository = Repository::sst();
    repository.write(
        "node_modules/cdk-assets/package.json",
        r#"{"name": "cdk-assets", "version": "2.155.0", "main": "index.js"}"#,
    );
    let run = repository.collect(&[]);
    assert_eq!(run.code, 3, "{}", run.stdout);
    assert!(run.stderr.contains("is cdk-assets 2.155.0, and 3 or newer is needed: update it"), "{}", run.stderr);
}

#[test]
fn what_is_no_assembly_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let run = gatekeeper_with(&["collect", path.to_str().unwrap(), "--module", "MOD-012"], &[]);
    insta::assert_snapshot!(run.shown().replace(path.to_str().unwrap(), "DIR"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `DIR` is no cloud assembly: `DIR/manifest.json` is not there; name the folder that `sst build` or `cdk synth` wrote, such as `.sst/dist` or `cdk.out`, or `.serverless` of `serverless package`, or `.aws-sam/build` of `sam build`
    "#);
}

#[test]
fn what_is_collected_is_staged_where_aws_can_be_reached() {
    let repository = Repository::sst();
    assert_eq!(repository.collect(&[]).code, 0);
    let out = repository.out();
    // Nothing listens on port 1.
    let variables =
        [("AWS_ACCESS_KEY_ID", "111122223333"), ("AWS_SECRET_ACCESS_KEY", "none"), ("AWS_MAX_ATTEMPTS", "1")];
    let line =
        ["stage-assets", out.to_str().unwrap(), "--region", "ap-southeast-2", "--endpoint-url", "http://127.0.0.1:1"];
    let run = gatekeeper_with(&line, &variables);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.stderr);
    assert!(run.stderr.starts_with("error: GetCallerIdentity failed"), "{}", run.stderr);
    // What is no commit's folder is told before AWS is asked.
    fs::remove_file(out.join("modules/MOD-012/functions/Api-PayFn.zip")).unwrap();
    let run = gatekeeper_with(&line, &variables);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("`modules/MOD-012/functions/Api-PayFn.zip` is listed"), "{}", run.stderr);
}

/// A folder that a build tool wrote, of the fixtures, as a copy that a test may change.
fn built(fixture: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/collect").join(fixture);
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// Collects such a folder into the folder `out` of it, without Node and Python.
fn collect_built(folder: &Path, arguments: &[&str]) -> Run {
    let (root, out) = (folder.canonicalize().unwrap(), folder.join("out"));
    let line = ["collect", root.to_str().unwrap(), "--module", "MOD-012", "--out", out.to_str().unwrap()];
    let mut run = gatekeeper_with(&[line.as_slice(), arguments].concat(), &[("PATH", "/nonexistent")]);
    for text in [&mut run.stdout, &mut run.stderr] {
        *text = text.replace(root.to_str().unwrap(), "ROOT");
    }
    run
}

/// The packages are of `tests/oracles/make_serverless_packages.sh`.
#[test]
fn what_serverless_packages_goes_through_the_gate() {
    let folder = built("serverless");
    let run = collect_built(folder.path(), &[]);
    insta::assert_snapshot!(run.shown());
    let out = folder.path().join("out");
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("build-manifest.json")).unwrap()).unwrap();
    insta::assert_json_snapshot!([&manifest["synthesised_for"], &manifest["modules"][0]["stacks"][0]["tags"]]);
    let stored = |path: &str| fs::read(out.join("modules/MOD-012").join(path)).unwrap();
    let packaged = |file: &str| fs::read(folder.path().join(file)).unwrap();
    assert_eq!(
        stored("cloudformation/bank-payments.json"),
        packaged("cloudformation-template-update-stack.json"),
        "byte for byte"
    );
    assert_eq!(stored("functions/bank-payments-PayLambdaFunction.zip"), packaged("pay.zip"));
    let line = ["publish", out.to_str().unwrap(), "--repo", "bank", "--sha", SHA, "--branch", "main", "--dry-run"];
    let run = gatekeeper_with(&[line.as_slice(), &["--output", "json"]].concat(), &[]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    // Not even a warning: the form has no place left that names dev.
    assert_eq!(report["verdict"]["outcome"], "registered", "{}", run.shown());
    assert_eq!(report["verdict"]["reasons"], json!([]), "{}", run.shown());
    assert!(!run.stdout.contains("template-names-stage"), "{}", run.stdout);
}

#[test]
fn a_serverless_stack_that_makes_its_own_bucket_is_refused() {
    let folder = built("serverless-own-bucket");
    insta::assert_snapshot!(collect_built(folder.path(), &[]).shown());
    assert!(!folder.path().join("out").exists());
}

#[test]
fn what_a_package_of_serverless_lacks_is_told_all_of_it_at_once() {
    let folder = built("serverless");
    fs::remove_file(folder.path().join("sweep.zip")).unwrap();
    let file = folder.path().join("cloudformation-template-update-stack.json");
    let mut template: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    template["Resources"]["PayLambdaFunction"]["Properties"]["Code"]["S3Bucket"] = json!("bank-deploy");
    template["Resources"]["CommonLambdaLayer"] = json!({"Type": "AWS::Lambda::LayerVersion", "Properties": {
        "Content": {"S3Bucket": "cdk-hnb659fds-assets-111122223333-ap-southeast-2", "S3Key": "serverless/bank-payments/dev/1/common.zip"}}});
    template["Resources"]["ImageLambdaFunction"] =
        json!({"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ImageUri": "x"}}});
    template["Resources"]["FarLambdaFunction"] = json!({"Type": "AWS::Lambda::Function", "Properties": {
        "Code": {"S3Bucket": "cdk-hnb659fds-assets-111122223333-ap-southeast-2", "S3Key": "elsewhere/far.zip"}}});
    fs::write(&file, template.to_string()).unwrap();
    insta::assert_snapshot!(collect_built(folder.path(), &["--stage", "uat", "--stack", "x"]).shown());
    fs::remove_file(file).unwrap();
    let run = collect_built(folder.path(), &[]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("`cloudformation-template-update-stack.json` is not there"), "{}", run.stderr);
}

/// Real translations are tried by `infra/local/test_sam.py`.
#[test]
fn what_sam_built_needs_the_stacks_name_and_python() {
    let folder = built("sam/aws-sam/build/PayFunction");
    fs::write(folder.path().join("template.yaml"), "Resources: {}\n").unwrap();
    insta::assert_snapshot!(collect_built(folder.path(), &[]).shown(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the build `ROOT` can't be taken
      its template does not say what the stack is called: pass `--stack`
    "#);
    insta::assert_snapshot!(collect_built(folder.path(), &["--stack", "payments"]).shown(), @r#"
    exit 3
    --- stdout
    --- stderr
    error: `python3` can't be run: pass `--python` with the Python that aws-sam-translator is installed for: No such file or directory (os error 2)
    "#);
    assert!(!folder.path().join("out").exists());
}
