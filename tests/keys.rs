//! Promotion's key is replaced on the local AWS, as docs/guides/replace-a-key.md says it: `make test-e2e`, on an instance of its own,
//! because the whole stack is deployed anew.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    instance::{Caller, Instance},
    promotion::{Promotions, a_repo},
    watch::{PATIENCE, eventually},
};
use gatekeeper_model::{
    ids::{Chain, Repo},
    store_key::RecordKey,
};
use gatekeeper_proof::ledger::{Entry, Kind};
use serde_json::{Value, json};

/// The stage that every deployment of the local AWS configures.
const STAGE: &str = "uat";

/// The root of the project.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Deploys the stack with these parameters.
fn deploy(parameters: &[String]) {
    let mut command = Command::new(project().join(".local/venv/bin/python"));
    command.arg(project().join("infra/local/gatekeeper_local.py")).arg("up");
    for parameter in parameters {
        command.args(["--parameter", parameter]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A key in KMS by a stack of infra/signing-key.yaml, for whoever signs with promotion's.
async fn another_key(aws: &Instance, name: &str) -> String {
    let cloudformation = aws.root.cloudformation();
    let output = async |stack: &str, name: &str| -> Option<String> {
        let answer = cloudformation.describe_stacks().stack_name(stack).send().await.unwrap();
        let outputs = answer.stacks()[0].outputs().iter();
        outputs.filter(|it| it.output_key() == Some(name)).find_map(|it| it.output_value().map(str::to_owned))
    };
    let signers = output("gatekeeper", "PromotionSignerRoleArns").await.unwrap();
    let parameter = aws_sdk_cloudformation::types::Parameter::builder();
    let template = std::fs::read_to_string(project().join("infra/signing-key.yaml")).unwrap();
    let create = cloudformation.create_stack().stack_name(name).template_body(template);
    let create = create.parameters(parameter.parameter_key("SignerRoleArns").parameter_value(signers).build());
    create.send().await.unwrap();
    let key =
        eventually("the key's stack ends", PATIENCE, async || output(name, "KeyArn").await, Option::is_some).await;
    key.unwrap()
}

/// People, and what they do with the command.
struct People {
    here: Promotions,
    folder: tempfile::TempDir,
}

impl People {
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Somebody's own key, made by openssl.
    fn key_of(&self, name: &str) -> String {
        let (private, public) = (self.file(&format!("{name}-private.pem")), self.file(&format!("{name}.pem")));
        for arguments in [
            vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &private],
            vec!["pkey", "-in", &private, "-pubout", "-out", &public],
        ] {
            assert!(Command::new("openssl").args(arguments).output().unwrap().status.success());
        }
        format!("{name}={public}")
    }

    async fn run(&self, who: &Caller, arguments: &[&str]) -> (i32, Value, String) {
        let mut command = self.here.aws.command(who).await;
        command.args(arguments).args(["--output", "json"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), stderr)
    }

    /// As whoever deploys.
    async fn does(&self, arguments: &[&str]) -> Value {
        let (code, document, stderr) = self.run(&self.here.aws.root, arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        document
    }

    /// Both sign a version, and it is published; gives what `TrustRoot` becomes.
    async fn sign_and_publish(&self, file: &str) -> String {
        for person in ["jane", "ravi"] {
            self.does(&["keys", "sign", file, "--key", &self.file(&format!("{person}-private.pem"))]).await;
        }
        self.does(&["keys", "publish", file]).await["trust_root"].as_str().unwrap().to_owned()
    }

    /// The evidence on what the stage runs, in a bundle; everything in it holds.
    async fn evidence(&self, repo: &Repo, name: &str) -> String {
        let (bundle, auditor) = (self.file(name), self.here.aws.auditor().await);
        let (code, document, stderr) =
            self.run(&auditor, &["evidence", "--stage", STAGE, "--repo", repo.as_str(), "--bundle", &bundle]).await;
        assert_eq!((code, &document["verdict"]), (0, &json!("holds")), "{stderr}{document:#}");
        bundle
    }

    async fn verifies(&self, bundle: &str, root: &str) {
        let (code, document, stderr) = self.run(&self.here.aws.root, &["verify", bundle, "--root", root]).await;
        assert_eq!((code, &document["verdict"]), (0, &json!("holds")), "{stderr}{document:#}");
    }

    /// What the stage's chain of the ledger tells, entry by entry.
    async fn kinds(&self, repo: &Repo) -> Vec<Kind> {
        let chain = Chain { stage: STAGE.parse().unwrap(), repo: repo.clone() };
        let mut kinds = Vec::new();
        while let Some(bytes) =
            self.here.aws.record(&RecordKey::LedgerEntry(chain.clone(), kinds.len() as u64 + 1)).await
        {
            kinds.push(serde_json::from_slice::<Entry>(&bytes).unwrap().event.kind);
        }
        kinds
    }
}

#[tokio::test]
async fn what_was_signed_before_and_after_a_key_was_replaced_holds_from_the_first_root_on() {
    let people = People { here: Promotions::get().await, folder: tempfile::tempdir().unwrap() };
    let repo = a_repo("keys");
    let first = people.here.a_commit(&repo, 200).await;
    people.here.promoted(&first, STAGE).await;
    let unrooted = people.evidence(&repo, "unrooted.zip").await;

    let [one, two] = ["1.root.json", "2.root.json"].map(|name| people.file(name));
    let [jane, ravi] = ["jane", "ravi"].map(|name| people.key_of(name));
    people.does(&["keys", "new", "--person", &jane, "--person", &ravi, "--out", &one]).await;
    let pin = people.sign_and_publish(&one).await;
    assert!(pin.starts_with("1:"), "{pin}");
    deploy(&[format!("TrustRoot={pin}")]);
    let second = people.here.a_commit(&repo, 200).await;
    people.here.promoted(&second, STAGE).await;
    let before = people.evidence(&repo, "before.zip").await;

    let key = another_key(&people.here.aws, "gatekeeper-promotion-key-2").await;
    people.does(&["keys", "rotate", "promotion", "--to", &key, "--out", &two]).await;
    let pin = people.sign_and_publish(&two).await;
    deploy(&[format!("TrustRoot={pin}"), format!("PromotionKeyArn={key}")]);
    let third = people.here.a_commit(&repo, 200).await;
    people.here.promoted(&third, STAGE).await;
    let after = people.evidence(&repo, "after.zip").await;

    for bundle in [&unrooted, &before, &after] {
        people.verifies(bundle, &one).await;
    }
    assert_eq!(people.kinds(&repo).await, [Kind::Promotion, Kind::Promotion, Kind::KeyHandOver, Kind::Promotion]);
    let whole = people
        .run(&people.here.aws.auditor().await, &["ledger", "verify", "--stage", STAGE, "--repo", repo.as_str()])
        .await;
    assert_eq!(whole.0, 0, "{whole:?}");
}
