//! Every row of CONTRACT §4: what is stored, and what the gate makes of it.

use e2e::{
    commit::{Commit, TEAM, path, the_template, the_zip},
    instance::Instance,
    watch::tags,
    zips,
};
use gatekeeper_model::{
    finding::Code,
    ids::Sha256,
    store_key::{ArtefactPath, RecordKey},
    verdict::Outcome,
};
use serde_json::{Value, json};

#[tokio::test]
async fn artefacts_without_a_manifest_are_incomplete() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "no-manifest"));
    commit.put_artefacts(&ci).await;
    aws.becomes(&commit, Outcome::Incomplete, &[(Code::ManifestMissing, "build-manifest.json")]).await;
}

#[tokio::test]
async fn a_manifest_may_come_before_its_artefacts() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "manifest-first"));
    commit.put_manifest(&ci, &commit.manifest).await;
    let missing: Vec<_> = commit.objects.keys().map(ToString::to_string).collect();
    let missing: Vec<_> = missing.iter().map(|path| (Code::ArtefactMissing, path.as_str())).collect();
    aws.becomes(&commit, Outcome::Incomplete, &missing).await;

    let (last, others) = commit.objects.keys().collect::<Vec<_>>().split_last().map(|(l, o)| (*l, o.to_vec())).unwrap();
    for path in others {
        commit.put(&ci, path).await;
    }
    aws.becomes(&commit, Outcome::Incomplete, &[(Code::ArtefactMissing, &last.to_string())]).await;
    commit.put(&ci, last).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
}

#[tokio::test]
async fn before_the_integration_tests_a_commit_is_registered_and_after_them_built() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "registered"));
    commit.put_artefacts(&ci).await;
    let first = commit.put_manifest(&ci, &commit.before_integration()).await;
    let registered = aws.becomes(&commit, Outcome::Registered, &[]).await;
    assert_eq!(registered.manifest_version_id, Some(first.into()));

    let second = commit.put_manifest(&ci, &commit.manifest).await;
    let built = aws.becomes(&commit, Outcome::Built, &[]).await;
    assert_eq!(built.manifest_version_id, Some(second.into()));
}

#[tokio::test]
async fn built_tells_of_every_object_and_keeps_the_tags_of_others() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "built"));
    commit.publish(&ci).await;
    let verdict = aws.becomes(&commit, Outcome::Built, &[]).await;
    aws.quiet(&commit).await;

    // Tags: whatever CI had put there is there still.
    for path in commit.objects.keys() {
        let seen = tags(&ci, commit.bucket(), &commit.key(path)).await.unwrap();
        let wanted = [("integration-passed", "true"), TEAM].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(seen, wanted.into(), "{path}");
    }
    let seen = tags(&ci, commit.bucket(), &commit.manifest_key()).await.unwrap();
    assert_eq!((seen["integration-passed"].as_str(), seen[TEAM.0].as_str()), ("true", TEAM.1));

    // The verdict: the objects with their digests, in the contract's shape. CI may read it.
    for artefact in &verdict.artefacts {
        let path = path(artefact.key.strip_prefix(&commit.id.prefix()).unwrap());
        let bytes = &commit.objects[&path];
        assert_eq!((artefact.sha256, artefact.size), (Sha256::of(bytes), bytes.len() as u64), "{path}");
    }
    let key = RecordKey::Verdict(commit.id.clone()).to_string();
    let get = ci.s3.get_object().bucket(&aws.outputs.records_bucket).key(key).send().await.unwrap();
    let text = String::from_utf8(get.body.collect().await.unwrap().to_vec()).unwrap();
    let text = text.replace(commit.id.repo.as_str(), "bank-payments").replace(commit.id.sha.as_str(), "0f");
    let mut shape: Value = serde_json::from_str(&text).unwrap();
    for field in ["manifest_version_id", "evaluated_at"] {
        assert!(shape[field].is_string());
        shape[field] = json!("…");
    }
    for artefact in shape["artefacts"].as_array_mut().unwrap() {
        artefact["version_id"] = json!("…");
        artefact["sha256"] = json!("…");
        artefact["size"] = json!(0);
    }
    insta::assert_json_snapshot!(shape, @r#"
    {
      "artefacts": [
        {
          "key": "bank-payments/0f/reports/integration.xml",
          "sha256": "…",
          "size": 0,
          "version_id": "…"
        },
        {
          "key": "bank-payments/0f/modules/MOD-012/functions/authorise-payment.zip",
          "sha256": "…",
          "size": 0,
          "version_id": "…"
        },
        {
          "key": "bank-payments/0f/modules/MOD-012/cloudformation/payments-api.json",
          "sha256": "…",
          "size": 0,
          "version_id": "…"
        },
        {
          "key": "bank-payments/0f/modules/MOD-012/schema/payments-schema.sql",
          "sha256": "…",
          "size": 0,
          "version_id": "…"
        },
        {
          "key": "bank-payments/0f/modules/MOD-012/schema/payments/migrations/V1__create ledger + index (1).sql",
          "sha256": "…",
          "size": 0,
          "version_id": "…"
        }
      ],
      "commit_sha": "0f",
      "evaluated_at": "…",
      "manifest_version_id": "…",
      "outcome": "built",
      "reasons": [],
      "recounted": {
        "integration": {
          "failed": 0,
          "passed": 31,
          "skipped": 0
        }
      },
      "repo": "bank-payments",
      "schema_version": 1
    }
    "#);

    // The handoff that bank-wiki reads, from the same facts.
    let handoff = RecordKey::BuiltHandoff(commit.id.clone(), "MOD-012".parse().unwrap());
    let text = String::from_utf8(aws.record(&handoff).await.unwrap()).unwrap();
    let (front_matter, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let wanted = format!(
        "module_id: MOD-012\nrepo: {}\ncommit_sha: \"{}\"\nbuild_status: Built\nstage: dev\n\
         timestamp: \"{}\"\nevidence: {}",
        commit.id.repo,
        commit.id.sha,
        verdict.evaluated_at,
        RecordKey::Verdict(commit.id.clone()),
    );
    assert_eq!(front_matter, wanted);
    assert!(body.contains(&format!(
        "| `{}` | `{}` |",
        commit.key(&the_zip()),
        Sha256::of(&commit.objects[&the_zip()])
    )));
    assert_eq!(aws.versions(&handoff).await, 1, "a handoff is written once");
}

/// Publishes a commit that was changed before its manifest was written, and one whose manifest was changed after.
async fn rejected(
    name: &str,
    build: impl FnOnce(&mut Commit),
    claim: impl FnOnce(&mut Value),
    reasons: &[(Code, &str)],
) {
    let aws = Instance::get().await;
    let (ci, mut commit) = (aws.ci().await, Commit::new(&aws, name));
    build(&mut commit);
    commit.list();
    claim(&mut commit.manifest);
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Rejected, reasons).await;
}

#[tokio::test]
async fn other_bytes_than_the_manifest_lists_are_rejected() {
    let other = json!(Sha256::of(b"other bytes"));
    let claim = |manifest: &mut Value| manifest["modules"][0]["schemas"][0]["sha256"] = other;
    rejected("digest", |_| {}, claim, &[(Code::DigestMismatch, "modules/MOD-012/schema/payments-schema.sql")]).await;
}

#[tokio::test]
async fn a_zip_that_climbs_is_rejected() {
    let hostile = zips::of(&[("index.js", b"exports.handler = 1"), ("../x", b"climbed")]);
    let build = |commit: &mut Commit| drop(commit.objects.insert(the_zip(), hostile));
    rejected("climbs", build, |_| {}, &[(Code::ZipUnsafePath, &the_zip().to_string())]).await;
}

#[tokio::test]
async fn what_is_no_zip_is_rejected() {
    let build = |commit: &mut Commit| drop(commit.objects.insert(the_zip(), b"no archive".to_vec()));
    rejected("no-zip", build, |_| {}, &[(Code::ZipInvalid, &the_zip().to_string())]).await;
}

#[tokio::test]
async fn a_zip_without_its_handler_is_rejected() {
    let build = |commit: &mut Commit| drop(commit.objects.insert(the_zip(), zips::of(&[("main.js", b"")])));
    rejected("handler", build, |_| {}, &[(Code::HandlerMissing, &the_zip().to_string())]).await;
}

/// Whoever may write every record, but not sign, gets no archive past the gate by telling what another one showed.
#[tokio::test]
async fn a_planted_inspection_has_nothing_built() {
    let aws = Instance::get().await;
    let ci = aws.ci().await;
    let (honest, mut commit) = (Commit::new(&aws, "inspected"), Commit::new(&aws, "planted"));
    commit.objects.insert(the_zip(), zips::of(&[("main.js", b"")]));
    commit.list();
    let handler_missing = [(Code::HandlerMissing, &*the_zip().to_string())];
    honest.publish(&ci).await;
    aws.becomes(&honest, Outcome::Built, &[]).await;
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Rejected, &handler_missing).await;

    let (_, other) = inspections(&aws, &honest).await;
    let (key, written) = inspections(&aws, &commit).await;
    let mut planted = written.clone();
    *found_in_zip(&mut planted, &commit) = found_in_zip(&mut other.clone(), &honest).clone();
    assert_ne!(planted, written);
    let put = aws.root.s3.put_object().bucket(&aws.outputs.records_bucket).key(&key);
    put.body(planted.to_string().into_bytes().into()).send().await.unwrap();

    let second = commit.put_manifest(&ci, &commit.manifest).await;
    let verdict = aws.becomes(&commit, Outcome::Rejected, &handler_missing).await;
    assert_eq!(verdict.manifest_version_id, Some(second.into()));
    assert_eq!(inspections(&aws, &commit).await.1["record"], written["record"], "it was inspected anew");
}

/// The record of what was found in a commit's objects, and where it lies.
async fn inspections(aws: &Instance, commit: &Commit) -> (String, Value) {
    let list = |prefix: &str| aws.root.s3.list_objects_v2().bucket(&aws.outputs.records_bucket).prefix(prefix);
    let rules = list("inspections/").delimiter("/").send().await.unwrap();
    assert_eq!(rules.common_prefixes().len(), 1, "one version of the rules");
    let rules = rules.common_prefixes().first().and_then(|it| it.prefix()).unwrap();
    let key = format!("{rules}{}/{}.json", commit.id.repo, commit.id.sha);
    let get = aws.root.s3.get_object().bucket(&aws.outputs.records_bucket).key(&key).send().await.unwrap();
    let record = serde_json::from_slice(&get.body.collect().await.unwrap().to_vec()).unwrap();
    (key, record)
}

/// What was found in the commit's archive.
fn found_in_zip<'a>(record: &'a mut Value, commit: &Commit) -> &'a mut Value {
    let sha256 = Sha256::of(&commit.objects[&the_zip()]).to_string();
    record["record"]["inspections"][sha256].as_object_mut().unwrap().values_mut().next().unwrap()
}

#[tokio::test]
async fn a_template_with_a_literal_account_is_rejected() {
    let build = |commit: &mut Commit| {
        let mut template: Value = serde_json::from_slice(&commit.objects[&the_template()]).unwrap();
        template["Resources"]["Topic"] = json!({"Type": "AWS::SSM::Parameter", "Properties": {
            "Type": "String", "Value": "arn:aws:sns:ap-southeast-2:123456789012:ledger"
        }});
        commit.objects.insert(the_template(), template.to_string().into_bytes());
    };
    rejected("account", build, |_| {}, &[(Code::TemplateNotPortable, &the_template().to_string())]).await;
}

#[tokio::test]
async fn skipped_integration_tests_are_rejected() {
    let claim = |manifest: &mut Value| manifest["tests"]["integration"]["skipped"] = json!(2);
    // What the report shows counts, and it shows none.
    let told = [(Code::ReportMismatch, "tests.integration.skipped")];
    rejected("skipped", |_| {}, claim, &told).await;
}

#[tokio::test]
async fn integration_tests_whose_guard_was_off_are_rejected() {
    let claim = |manifest: &mut Value| manifest["tests"]["integration"]["run_integration"] = json!(false);
    rejected("guard", |_| {}, claim, &[(Code::IntegrationGuardOff, "tests.integration.run_integration")]).await;
}

#[tokio::test]
async fn every_reason_is_told_not_only_the_first() {
    let build = |commit: &mut Commit| drop(commit.objects.insert(the_zip(), zips::of(&[("/etc/x", b"")])));
    let claim = |manifest: &mut Value| {
        manifest["modules"][0]["migrations"][0]["size"] = json!(1);
        manifest["modules"][0]["schemas"][0]["sha256"] = json!(Sha256::of(b"other bytes"));
        manifest["tests"]["unit"]["line_coverage"] = json!(79.9);
        manifest["tests"]["integration"]["failed"] = json!(1);
        manifest["tests"]["integration"]["deployed"] = json!([]);
        manifest["flyway"]["payments"]["validated"] = json!(false);
        manifest["deploy"]["succeeded"] = json!(false);
        manifest["tests"]["typecheck"] = json!(null);
    };
    let migration = "modules/MOD-012/schema/payments/migrations/V1__create ledger + index (1).sql";
    let reasons = [
        (Code::ZipUnsafePath, &*the_zip().to_string()),
        (Code::HandlerMissing, &*the_zip().to_string()),
        (Code::SizeMismatch, migration),
        (Code::DigestMismatch, "modules/MOD-012/schema/payments-schema.sql"),
        (Code::CoverageBelowThreshold, "tests.unit.line_coverage"),
        (Code::ReportMismatch, "tests.integration.failed"),
        (Code::TestedBytesMissing, "authorise-payment"),
        (Code::FlywayInvalid, "flyway.payments"),
        (Code::DeployFailed, "deploy"),
        (Code::TypecheckMissing, "tests.typecheck"),
    ];
    rejected("reasons", build, claim, &reasons).await;
}

#[tokio::test]
async fn a_manifest_of_an_unknown_version_is_rejected() {
    let claim = |manifest: &mut Value| manifest["schema_version"] = json!(2);
    rejected("version", |_| {}, claim, &[(Code::ManifestVersionUnknown, "build-manifest.json")]).await;
}

#[tokio::test]
async fn a_manifest_of_another_commit_is_rejected() {
    let claim = |manifest: &mut Value| manifest["repo"] = json!("bank-core");
    rejected("other-repo", |_| {}, claim, &[(Code::ManifestMismatch, "build-manifest.json")]).await;
}

#[tokio::test]
async fn an_object_that_the_final_manifest_does_not_list_is_rejected() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "unlisted"));
    let unlisted = path("modules/MOD-012/functions/settle-payment.zip");
    commit.upload(&ci, &commit.key(&unlisted), &zips::node("unlisted"), "").await;
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Rejected, &[(Code::UnlistedArtefact, &unlisted.to_string())]).await;
}

#[tokio::test]
async fn a_key_outside_the_layout_is_told_and_tagged_and_changes_no_verdict() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "outside"));
    commit.publish(&ci).await;
    let built = aws.becomes(&commit, Outcome::Built, &[]).await;

    let inside = format!("{}modules/MOD-012/notes + plans.txt", commit.id.prefix());
    let top = format!("{}.zip", commit.id.repo);
    let odd = format!("{}notes\nof a line feed\tand a bell \u{7}.txt", commit.id.prefix());
    for key in [&inside, &top, &odd] {
        // Whether it comes with its tag already `false` or not: it is told once.
        let tagging = if *key == inside { "team=payments" } else { "team=payments&integration-passed=false" };
        commit.upload(&ci, key, b"stray", tagging).await;
        let told = |line: &Value| line["key"] == **key && line["reasons"][0]["code"] == "key-outside-layout";
        let line = aws.log_line("the stray key is told", commit.id.repo.as_str(), told).await;
        assert_eq!(line["level"], "WARN");
    }
    let full = format!("{}full", commit.id.prefix());
    let ten: Vec<_> = (0..10).map(|number| format!("team-{number}=x")).collect();
    commit.upload(&ci, &full, b"stray", &ten.join("&")).await;
    let told = |line: &Value| line["key"] == *full && line["reasons"][1]["code"] == "tag-limit";
    aws.log_line("that there is no room is told", &full, told).await;
    aws.quiet(&commit).await;
    for key in [&inside, &top, &odd] {
        let seen = tags(&ci, commit.bucket(), key).await.unwrap();
        assert_eq!((seen["integration-passed"].as_str(), seen["team"].as_str()), ("false", "payments"), "{key}");
    }
    assert_eq!(aws.verdict(&commit).await.unwrap(), built);
    assert_eq!(tags(&ci, commit.bucket(), &commit.key(&the_zip())).await.unwrap()["integration-passed"], "true");
}

#[tokio::test]
async fn nine_tags_of_others_on_the_manifest_leave_the_gate_no_room() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "nine-tags"));
    commit.put_artefacts(&ci).await;
    let nine: Vec<_> = (0..9).map(|number| format!("team-{number}=x")).collect();
    let manifest = commit.manifest.to_string();
    commit.upload(&ci, &commit.manifest_key(), manifest.as_bytes(), &nine.join("&")).await;
    aws.becomes(&commit, Outcome::Rejected, &[(Code::TagLimit, "build-manifest.json")]).await;
    aws.quiet(&commit).await;
    assert_eq!(aws.dead_letters(commit.id.repo.as_str()).await.len(), 0);
}

#[tokio::test]
async fn a_zip_that_was_uploaded_in_parts_is_hashed_and_built() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (aws.ci().await, Commit::new(&aws, "parts"));
    // Its own bytes, so that no other commit's digest can stand for them.
    let bundle = zips::large(commit.id.repo.as_str(), 6 * 1024 * 1024);
    commit.objects.insert(the_zip(), bundle);
    commit.list();
    commit.put_artefacts(&ci).await;
    commit.put_in_parts(&ci, &the_zip()).await;
    commit.put_manifest(&ci, &commit.manifest).await;
    let verdict = aws.becomes(&commit, Outcome::Built, &[]).await;
    let stored = verdict.artefact(&the_zip()).unwrap();
    assert_eq!(stored.sha256, Sha256::of(&commit.objects[&the_zip()]));

    // It is S3's composite checksum that could not be taken for the digest.
    let head =
        ci.s3.head_object().bucket(commit.bucket()).key(commit.key(&the_zip())).version_id(stored.version_id.as_str());
    let head = head.checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled).send().await.unwrap();
    assert_ne!(head.checksum_sha256(), Some(stored.sha256.to_base64().as_str()));
}

#[tokio::test]
async fn an_artefact_that_is_overwritten_after_built_takes_the_whole_commit_back_until_it_is_restored() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "overwritten"));
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;

    commit.upload(&ci, &commit.key(&the_zip()), &zips::node("swapped"), "").await;
    aws.becomes(&commit, Outcome::Rejected, &[(Code::DigestMismatch, &the_zip().to_string())]).await;

    commit.put(&ci, &the_zip()).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    assert!(aws.record(&RecordKey::Revocation(commit.id.clone())).await.is_none(), "nobody took it back");
}

#[tokio::test]
async fn an_artefact_that_is_removed_after_built_leaves_the_commit_incomplete() {
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "removed"));
    commit.publish(&ci).await;
    aws.becomes(&commit, Outcome::Built, &[]).await;
    commit.delete(&aws.root, &the_zip()).await;
    aws.becomes(&commit, Outcome::Incomplete, &[(Code::ArtefactMissing, &the_zip().to_string())]).await;

    commit.delete(&aws.root, &ArtefactPath::Manifest).await;
    aws.becomes(&commit, Outcome::Incomplete, &[(Code::ManifestMissing, "build-manifest.json")]).await;
}
