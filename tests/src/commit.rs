//! A commit as a pipeline builds it: objects, and a manifest that tells of them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Tag, Tagging},
};
use futures_util::{StreamExt as _, stream};
use gatekeeper_model::{ids, ids::Sha256, store_key::ArtefactPath};
use gatekeeper_readers::flyway::{
    checksum,
    migration_name::{MigrationName, Place},
};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::{
    instance::{Caller, Instance},
    zips,
};

/// The stack of every commit here.
pub const STACK: &str = "payments-api";
/// The module that it belongs to.
pub const MODULE: &str = "MOD-012";
/// A tag of CI's own on every object.
pub const TEAM: (&str, &str) = ("team", "payments & cards");

/// Uploads at once.
const UPLOADS_IN_FLIGHT: usize = 16;

/// A commit of a repository of its own.
#[derive(Debug)]
pub struct Commit {
    /// Which commit it is.
    pub id: ids::Commit,
    /// Its objects but the manifest.
    pub objects: BTreeMap<ArtefactPath, Vec<u8>>,
    /// Its manifest.
    pub manifest: Value,
    /// The bucket.
    bucket: String,
    /// How many events its changes have caused, those of the gate's own writes not counted.
    caused: AtomicU64,
}

/// The path of a commit's object.
#[must_use]
pub fn path(text: &str) -> ArtefactPath {
    ArtefactPath::parse(text).unwrap()
}

/// The place of the function that every commit has.
#[must_use]
pub fn the_zip() -> ArtefactPath {
    path("modules/MOD-012/functions/authorise-payment.zip")
}

/// The place of the template.
#[must_use]
pub fn the_template() -> ArtefactPath {
    path("modules/MOD-012/cloudformation/payments-api.json")
}

impl Commit {
    /// A commit that ought to be Built, in the repository `e2e-{name}-…`: a function, its template, a schema, a
    /// migration whose name needs encoding in events, and a report.
    #[must_use]
    pub fn new(instance: &Instance, name: &str) -> Self {
        let unique = Ulid::generate().to_string().to_lowercase();
        let sha = Sha256::of(unique.as_bytes()).to_string();
        let id = ids::Commit {
            repo: format!("e2e-{name}-{unique}").parse().unwrap(),
            sha: sha.chars().take(40).collect::<String>().parse().unwrap(),
        };
        let mut commit = Self {
            manifest: json!({
                "schema_version": 1,
                "repo": id.repo,
                "commit_sha": id.sha,
                "branch": "main",
                "timestamp": "2026-05-02T03:04:05Z",
                "build": {"run_url": "https://github.com/example-bank/bank-payments/actions/runs/123", "run_attempt": 1, "actor": "ci"},
                "tests": {
                    "typecheck": {"errors": 0},
                    "unit": {"passed": 210, "failed": 0, "skipped": 0, "line_coverage": 87.1, "function_coverage": 84.0},
                    "policy": {"passed": 12, "failed": 0, "skipped": 0, "policies_satisfied": ["POL-004", "POL-017"]},
                    "integration": {"passed": 31, "failed": 0, "skipped": 0, "run_integration": true, "deployed": [], "exit_code": 0},
                },
                "deploy": {"stage": "dev", "succeeded": true},
            }),
            objects: BTreeMap::new(),
            bucket: instance.outputs.artefact_bucket.clone(),
            caused: AtomicU64::new(0),
            id,
        };
        commit.objects = BTreeMap::from([
            (the_zip(), zips::node(name)),
            (
                path("modules/MOD-012/schema/payments-schema.sql"),
                dump_of("CREATE TABLE public.ledger (\n    id bigint\n);"),
            ),
            (
                path("modules/MOD-012/schema/payments/migrations/V1__create ledger + index (1).sql"),
                b"CREATE TABLE ledger (id bigint);\n".to_vec(),
            ),
            (path("reports/integration.xml"), junit("integration", 31)),
        ]);
        commit.synthesise();
        commit.list();
        commit
    }

    /// Writes the template for the functions that are there.
    pub fn synthesise(&mut self) {
        let functions = self.objects.keys().filter_map(|path| match path {
            ArtefactPath::Function(_, name) => Some(name.as_str()),
            _ => None,
        });
        let mut resources = json!({
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ]}}}
        });
        for name in functions {
            resources[logical_id(name)] = json!({"Type": "AWS::Lambda::Function", "Properties": {
                "Runtime": "nodejs22.x",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": format!("${{ArtefactPrefix}}/functions/{name}.zip")}},
            }});
        }
        let template = json!({
            "Parameters": {"ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}},
            "Resources": resources,
        });
        self.objects.insert(the_template(), template.to_string().into_bytes());
    }

    /// Lists the objects in the manifest as they are, all functions tested.
    pub fn list(&mut self) {
        let mut module = json!({"id": MODULE, "functions": [], "stacks": [], "assets": [], "schemas": [], "migrations": [],
            "script_configurations": []});
        let (mut reports, mut deployed) = (Vec::new(), Vec::new());
        for (path, bytes) in &self.objects {
            let (sha256, size) = (Sha256::of(bytes), bytes.len());
            let (list, entry) = match path {
                ArtefactPath::Function(_, name) => {
                    deployed.push(json!({"function": name, "code_sha256": sha256}));
                    ("functions", json!({"name": name, "stack": STACK, "logical_id": logical_id(name.as_str())}))
                }
                ArtefactPath::Template(_, name) => ("stacks", json!({"name": name})),
                // Here an asset's key is its file's name, whose extension says what it is taken for.
                ArtefactPath::Asset(_, file) => {
                    let kind = match file.extension() {
                        Some("zip") => "layer",
                        Some("template") => "template",
                        _ => "file",
                    };
                    ("assets", json!({"kind": kind, "stack": STACK, "key": file}))
                }
                ArtefactPath::Schema(_, database) => ("schemas", json!({"database": database})),
                ArtefactPath::Migration(_, database, file) => {
                    ("migrations", json!({"database": database, "file": file}))
                }
                ArtefactPath::Report(file) => {
                    let suite = file.as_str().split('.').next();
                    reports
                        .push(json!({"suite": suite, "format": "junit", "file": file, "sha256": sha256, "size": size}));
                    continue;
                }
                ArtefactPath::ScriptConfiguration(_, database, script) => {
                    ("script_configurations", json!({"database": database, "script": script}))
                }
                // The one is told by what Flyway validated, the other is about the manifest.
                ArtefactPath::FlywayConfiguration(..) | ArtefactPath::Provenance(_) => continue,
                ArtefactPath::DbtManifest(_) | ArtefactPath::DbtRunResults(_) | ArtefactPath::Manifest => {
                    panic!("no commit here has a `{path}`")
                }
            };
            let mut entry = entry;
            entry["sha256"] = json!(sha256);
            entry["size"] = json!(size);
            module[list].as_array_mut().unwrap().push(entry);
        }
        let migrations = module["migrations"].as_array_mut().unwrap();
        migrations.sort_by_key(|it| (it["database"].to_string(), place(it["file"].as_str().unwrap())));
        let layers = module["assets"].as_array().unwrap().iter().filter(|it| it["kind"] == "layer");
        let layers: Vec<_> = layers.map(|it| json!({"stack": it["stack"], "code_sha256": it["sha256"]})).collect();
        self.manifest["modules"] = json!([module]);
        self.manifest["flyway"] = self.validated();
        self.manifest["reports"] = json!(reports);
        if let Some(integration) = self.manifest["tests"].get_mut("integration") {
            integration["deployed"] = json!(deployed);
            integration["layers"] = json!(layers);
        }
    }

    /// What `flyway validate` would say of the migrations.
    pub(crate) fn validated(&self) -> Value {
        let mut flyway = json!({});
        for (path, bytes) in &self.objects {
            match path {
                ArtefactPath::Schema(_, database) => flyway[database.as_str()]["validated"] = json!(true),
                ArtefactPath::Migration(_, database, file) => {
                    let checksum = checksum::scan(bytes.as_slice()).unwrap().unwrap().checksum;
                    flyway[database.as_str()]["validated"] = json!(true);
                    flyway[database.as_str()]["checksums"][file.as_str()] = json!(checksum);
                }
                ArtefactPath::ScriptConfiguration(_, database, script) => {
                    let sha256 = Sha256::of(bytes);
                    flyway[database.as_str()]["script_configurations"][script.as_str()] = json!(sha256);
                }
                ArtefactPath::FlywayConfiguration(module, database) => {
                    flyway[database.as_str()]["configuration"] =
                        json!({"sha256": Sha256::of(bytes), "size": bytes.len(), "modules": [module]});
                }
                _ => {}
            }
        }
        flyway
    }

    /// The manifest from before the integration tests.
    #[must_use]
    pub fn before_integration(&self) -> Value {
        let mut manifest = self.manifest.clone();
        manifest["tests"].as_object_mut().unwrap().remove("integration");
        manifest
    }

    /// The key of an object.
    #[must_use]
    pub fn key(&self, path: &ArtefactPath) -> String {
        path.of(&self.id)
    }

    /// The manifest's key.
    #[must_use]
    pub fn manifest_key(&self) -> String {
        self.key(&ArtefactPath::Manifest)
    }

    /// The bucket that it is in.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// How many events its changes have caused.
    #[must_use]
    pub fn events_caused(&self) -> u64 {
        self.caused.load(Ordering::SeqCst)
    }

    /// Counts events that came another way.
    pub fn cause(&self, events: u64) {
        self.caused.fetch_add(events, Ordering::SeqCst);
    }

    /// Uploads bytes under a key with their checksum, as CI must; gives the version.
    pub async fn upload(&self, who: &Caller, key: &str, bytes: &[u8], tagging: &str) -> String {
        let put = who.s3.put_object().bucket(&self.bucket).key(key).tagging(tagging);
        let put = put.checksum_sha256(Sha256::of(bytes).to_base64()).body(ByteStream::from(bytes.to_vec()));
        let done = put.send().await.unwrap_or_else(|error| panic!("PutObject of `{key}`: {error:?}"));
        self.cause(1);
        done.version_id().unwrap().to_owned()
    }

    /// Uploads one of its objects, tagged as ADR-053's step 6 does and with a tag of CI's own.
    pub async fn put(&self, who: &Caller, path: &ArtefactPath) -> String {
        let tagging = "integration-passed=false&team=payments+%26+cards";
        self.upload(who, &self.key(path), &self.objects[path], tagging).await
    }

    /// Uploads all its objects but the manifest, many at once.
    pub async fn put_artefacts(&self, who: &Caller) {
        stream::iter(self.objects.keys())
            .map(|path| self.put(who, path))
            .buffer_unordered(UPLOADS_IN_FLIGHT)
            .count()
            .await;
    }

    /// Uploads a manifest; gives its version.
    pub async fn put_manifest(&self, who: &Caller, manifest: &Value) -> String {
        self.upload(who, &self.manifest_key(), manifest.to_string().as_bytes(), "team=payments+%26+cards").await
    }

    /// Uploads everything, the manifest last; gives the manifest's version.
    pub async fn publish(&self, who: &Caller) -> String {
        self.put_artefacts(who).await;
        self.put_manifest(who, &self.manifest).await
    }

    /// Uploads one of its objects in parts of 5 MiB, so that S3 knows no checksum of the whole.
    pub async fn put_in_parts(&self, who: &Caller, path: &ArtefactPath) {
        let (key, bytes) = (self.key(path), &self.objects[path]);
        let made = who.s3.create_multipart_upload().bucket(&self.bucket).key(&key);
        let made = made.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
        let id = made.upload_id().unwrap();
        let mut parts = Vec::new();
        for (number, piece) in (1..).zip(bytes.chunks(5 * 1024 * 1024)) {
            let checksum = Sha256::of(piece).to_base64();
            let part = who.s3.upload_part().bucket(&self.bucket).key(&key).upload_id(id).part_number(number);
            let part = part.checksum_sha256(&checksum).body(ByteStream::from(piece.to_vec())).send().await.unwrap();
            let done = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
            parts.push(done.set_e_tag(part.e_tag().map(str::to_owned)).build());
        }
        assert!(parts.len() > 1, "one part's checksum is that of the whole");
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = who.s3.complete_multipart_upload().bucket(&self.bucket).key(&key).upload_id(id);
        complete.multipart_upload(all).send().await.unwrap();
        self.cause(1);
    }

    /// Replaces the tags of an object's newest version.
    pub async fn tag(&self, who: &Caller, path: &ArtefactPath, tags: &[(&str, &str)]) {
        let put = who.s3.put_object_tagging().bucket(&self.bucket).key(self.key(path)).tagging(tagging(tags));
        put.send().await.unwrap_or_else(|error| panic!("PutObjectTagging of `{path}`: {error:?}"));
        self.cause(1);
    }

    /// Removes the tags of an object's newest version.
    pub async fn untag(&self, who: &Caller, path: &ArtefactPath) {
        who.s3.delete_object_tagging().bucket(&self.bucket).key(self.key(path)).send().await.unwrap();
        self.cause(1);
    }

    /// Hides an object behind a delete marker.
    pub async fn delete(&self, who: &Caller, path: &ArtefactPath) {
        who.s3.delete_object().bucket(&self.bucket).key(self.key(path)).send().await.unwrap();
        self.cause(1);
    }
}

/// When Flyway runs a migration among others.
fn place(file: &str) -> Place {
    MigrationName::parse(file).unwrap().place()
}

/// A report of so many tests that passed.
#[must_use]
pub fn junit(suite: &str, passed: usize) -> Vec<u8> {
    let case = |index| format!("<testcase classname=\"{suite}\" name=\"test {index}\"/>");
    let cases: String = (1..=passed).map(case).collect();
    format!("<testsuites><testsuite name=\"{suite}\" tests=\"{passed}\">{cases}</testsuite></testsuites>\n")
        .into_bytes()
}

/// A schema snapshot as `pg_dump` writes one, of these statements.
#[must_use]
pub fn dump_of(statements: &str) -> Vec<u8> {
    let text = format!(
        "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n\n{statements}\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    );
    text.into_bytes()
}

/// A tag set.
#[must_use]
pub fn tagging(tags: &[(&str, &str)]) -> Tagging {
    let tags = tags.iter().map(|(name, value)| Tag::builder().key(*name).value(*value).build().unwrap());
    Tagging::builder().set_tag_set(Some(tags.collect())).build().unwrap()
}

/// `authorise-payment` is `AuthorisePaymentFn` in the template.
fn logical_id(function: &str) -> String {
    let words = function.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<String>() + "Fn"
}
