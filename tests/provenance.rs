//! Who built a commit: provenance of a Sigstore instance of the test's own, verified by the deployed function.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use e2e::{
    commit::{Commit, junit, path},
    instance::{Caller, Instance},
};
use gatekeeper_model::{finding::Code, ids::Sha256, store_key::RecordKey, verdict::Outcome};
use gatekeeper_provenance::instance::{self, Workflow, statement};
use serde_json::{Value, json};

const BUNDLE: &str = "provenance/attestation.sigstore.json";

fn sigstore() -> instance::Instance {
    instance::Instance::new("e2e")
}

/// What the commit's pipeline would attest: its manifest and all its objects.
fn attested(commit: &Commit, workflow: &Workflow) -> Value {
    let manifest = Sha256::of(commit.manifest.to_string().as_bytes());
    let objects = commit.objects.iter().filter(|(path, _)| path.to_string() != BUNDLE);
    let subjects: Vec<_> = objects.map(|(_, bytes)| Sha256::of(bytes)).chain([manifest]).collect();
    let slsa = statement(&subjects, &workflow.workflow, &workflow.repository, commit.id.sha.as_str());
    sigstore().attest(workflow, &slsa)
}

fn workflow(commit: &Commit) -> Workflow {
    Workflow::of(commit.id.repo.as_str(), commit.id.sha.as_str())
}

/// Puts a document of the deployers.
async fn configure(aws: &Instance, key: &RecordKey, document: String) {
    let put = aws.root.s3.put_object().bucket(&aws.outputs.records_bucket).key(key.to_string());
    put.checksum_sha256(Sha256::of(document.as_bytes()).to_base64())
        .body(document.into_bytes().into())
        .send()
        .await
        .unwrap();
}

/// Uploads the commit with this bundle, the manifest last.
async fn publish(commit: &mut Commit, ci: &Caller, bundle: Option<&Value>) {
    if let Some(bundle) = bundle {
        commit.objects.insert(path(BUNDLE), bundle.to_string().into_bytes());
    }
    commit.publish(ci).await;
}

#[tokio::test]
async fn a_commit_is_built_once_an_allowed_workflow_attests_every_byte_of_it() {
    let aws = Instance::get().await;
    let ci = aws.ci().await;
    let [mut good, mut late, mut foreign, mut changed] =
        ["attested", "attested-late", "attested-elsewhere", "attested-changed"].map(|name| Commit::new(&aws, name));
    let builder = json!({"certificate": {
        "root": "e2e", "issuer": "https://token.actions.githubusercontent.com",
        "repository": "https://github.com/bank/{repo}",
        "workflow": "https://github.com/bank/{repo}/.github/workflows/pipeline.yml@refs/heads/main",
    }});
    let change = json!({"require": ["provenance"], "builders": [builder]});
    let repos: serde_json::Map<_, _> =
        [&good, &late, &foreign, &changed].into_iter().map(|it| (it.id.repo.to_string(), change.clone())).collect();
    let root = RecordKey::TrustedRoot("e2e".parse().unwrap());
    configure(&aws, &root, sigstore().trusted_root()).await;
    configure(&aws, &RecordKey::PolicyConfig, json!({"schema_version": 1, "repos": repos}).to_string()).await;

    let bundle = attested(&good, &workflow(&good));
    publish(&mut good, &ci, Some(&bundle)).await;
    let verdict = aws.becomes(&good, Outcome::Built, &[]).await;
    let build = &verdict.provenance[&good.key(&path(BUNDLE))];
    let run = format!("https://github.com/bank/{}/actions/runs/4711/attempts/1", good.id.repo);
    assert_eq!((build.run.as_ref(), build.signed_at.len()), (Some(&run), 1), "{build:#?}");

    // Whoever holds CI's credentials, and is not the CI, gets nothing Built.
    publish(&mut late, &ci, None).await;
    aws.becomes(&late, Outcome::Incomplete, &[(Code::ProvenanceMissing, "provenance/")]).await;
    late.objects.insert(path(BUNDLE), b"{}".to_vec());
    late.put(&ci, &path(BUNDLE)).await;
    aws.becomes(&late, Outcome::Rejected, &[(Code::ProvenanceInvalid, BUNDLE)]).await;
    let of_late = attested(&late, &workflow(&late));
    late.objects.insert(path(BUNDLE), of_late.to_string().into_bytes());
    late.put(&ci, &path(BUNDLE)).await;
    aws.becomes(&late, Outcome::Built, &[]).await;

    let ours = workflow(&foreign);
    let feature = Workflow { workflow: ours.workflow.replace("refs/heads/main", "refs/heads/feature"), ..ours };
    let of_feature = attested(&foreign, &feature);
    publish(&mut foreign, &ci, Some(&of_feature)).await;
    aws.becomes(&foreign, Outcome::Rejected, &[(Code::ProvenanceBuilderNotAllowed, BUNDLE)]).await;

    let before = attested(&changed, &workflow(&changed));
    changed.objects.insert(path("reports/integration.xml"), junit("integration", 32));
    changed.manifest["tests"]["integration"]["passed"] = json!(32);
    changed.list();
    publish(&mut changed, &ci, Some(&before)).await;
    let strange = [
        (Code::ProvenanceSubjectMissing, "build-manifest.json"),
        (Code::ProvenanceSubjectMissing, "reports/integration.xml"),
    ];
    aws.becomes(&changed, Outcome::Rejected, &strange).await;
}
