use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::records::tests::{World, commit, large};

#[derive(clap::Parser)]
struct Asked {
    #[command(flatten)]
    args: Args,
}

async fn asked(world: &World, arguments: &str) -> anyhow::Result<(Document, Vec<String>)> {
    let args = Asked::parse_from(std::iter::once("diff").chain(arguments.split_whitespace())).args;
    look(&args, world.stores()).await
}

fn plain(document: &Document) -> String {
    let text = anstream::adapter::strip_str(&text::of(document)).to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

fn digest(bytes: &[u8]) -> gatekeeper_model::ids::Sha256 {
    gatekeeper_model::ids::Sha256::of(bytes)
}

/// A commit with one stack, one function and some migrations.
fn built(world: &World, commit: &Commit, number: usize, template: &Value, code: &[u8], migrations: &[&str]) -> Value {
    let template = template.to_string();
    let path: ArtefactPath = "modules/MOD-012/cloudformation/payments-api.json".to_owned().try_into().unwrap();
    let version = world.artefacts.upload(&path.of(commit), template.as_bytes(), &[]);
    let pinned = |key: String, bytes: &[u8]| json!({"key": key, "version_id": version, "sha256": digest(bytes), "size": bytes.len()});
    let function = json!({"name": "authorise-payment", "sha256": digest(code), "size": code.len(), "stack": "payments-api",
                          "logical_id": "AuthoriseFn"});
    let files: Vec<_> = migrations
        .iter()
        .map(
            |file| json!({"database": "payments", "file": file, "sha256": digest(file.as_bytes()), "size": file.len()}),
        )
        .collect();
    let module = json!({"id": "MOD-012", "functions": [function], "migrations": files,
                        "stacks": [{"name": "payments-api", "sha256": digest(template.as_bytes()), "size": template.len()}]});
    let artefacts = json!([pinned(path.of(commit), template.as_bytes())]);
    world.judged(
        commit,
        number,
        "built",
        &json!({"manifest": {"modules": [module]}, "verdict": {"artefacts": artefacts}}),
    );
    let with = |mut pinned: Value, more: Value| {
        pinned.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pinned
    };
    json!({
        "stacks": [with(pinned(path.of(commit), template.as_bytes()), json!({
            "module": "MOD-012", "stack": "payments-api", "stack_name": "bank-payments-uat-payments-api", "parameters": {}}))],
        "functions": [with(pinned("x".to_owned(), code), json!({
            "module": "MOD-012", "function": "authorise-payment", "stack": "payments-api", "logical_id": "AuthoriseFn",
            "stack_name": "bank-payments-uat-payments-api"}))],
        "migrations": migrations.iter().map(|file| with(pinned("x".to_owned(), file.as_bytes()), json!({
            "module": "MOD-012", "database": "payments", "file": file}))).collect::<Vec<_>>(),
        "smoke": [],
    })
}

fn template(timeout: u32, more: &str) -> Value {
    json!({"Parameters": {"LogLevel": {"Type": "String", "Default": more}}, "Resources": {
        "AuthoriseFn": {"Type": "AWS::Lambda::Function", "Properties": {"Timeout": timeout, "Code": {"S3Key": more}}},
        more: {"Type": "AWS::SQS::Queue"},
    }})
}

fn world() -> World {
    let world = World::default();
    world.configure(r#"{"uat": {"approvals": 1}, "prod": {"requires": "deployed:uat", "approvals": 2}, "dr": {}}"#);
    let [old, running, new, other] =
        ["0000001", "0000002", "3333333", "4444444"].map(|start| commit("bank-payments", start));
    let of_old = built(&world, &old, 1, &template(10, "OldQueue"), b"old", &["V1__one.sql"]);
    let of_running = built(&world, &running, 2, &template(10, "OldQueue"), b"newer", &["V1__one.sql", "V2__two.sql"]);
    built(
        &world,
        &new,
        4,
        &template(30, "NewQueue"),
        &vec![0; 1_234_567],
        &["V1__one.sql", "V2__two.sql", "V3__three.sql"],
    );
    world.judged(&other, 3, "built", &json!({"manifest": {"branch": "feature/other"}}));
    world.ran("uat", &[&running]);
    world.ran("prod", &[&old]);
    let id = "01J00000000000000000000000";
    world.promoted(
        &"uat".parse().unwrap(),
        &running,
        id,
        &json!({"plan": of_running, "stages_config_version_id": "v1"}),
    );
    world.promoted(&"prod".parse().unwrap(), &old, id, &json!({"plan": of_old}));
    world.configure(r#"{"uat": {"approvals": 3}, "prod": {"requires": "deployed:uat", "approvals": 2}, "dr": {}}"#);
    world
}

#[tokio::test]
async fn what_a_stage_would_get_of_a_commit() {
    let (document, troubles) = asked(&world(), "uat 3333333 --repo bank-payments").await.unwrap();
    assert_eq!(troubles, [""; 0]);
    insta::assert_snapshot!(plain(&document), @r#"
    bank-payments
      from uat, which runs 0000002000000000000000000000000000000000
      to   3333333000000000000000000000000000000000

    1 commit between
      3333333  2026-05-02 02:46 UTC  main  jane@bank.example

    templates
      ~ payments-api
          ~ AuthoriseFn  AWS::Lambda::Function
              ~ Properties.Code.S3Key: "OldQueue" → "NewQueue"
              ~ Properties.Timeout: 10 → 30
          + NewQueue  AWS::SQS::Queue
          - OldQueue  AWS::SQS::Queue
          ~ Parameters.LogLevel.Default: "OldQueue" → "NewQueue"

    functions
      ~ authorise-payment
          code 804f51f71254 → bd00cfe84dd3, 5 B → 1.2 MB
          ~ Timeout: 10 → 30

    migrations
      + payments  V3__three.sql  to be run

    configuration of uat since its last promotion
      ~ approvals: 1 → 3
    "#);
    insta::assert_json_snapshot!(document.stacks, @r#"
    {
      "payments-api": {
        "became": "changed",
        "resources": {
          "AuthoriseFn": {
            "became": "changed",
            "type": "AWS::Lambda::Function",
            "properties": [
              {
                "path": "Properties.Code.S3Key",
                "from": "OldQueue",
                "to": "NewQueue"
              },
              {
                "path": "Properties.Timeout",
                "from": 10,
                "to": 30
              }
            ]
          },
          "NewQueue": {
            "became": "added",
            "type": "AWS::SQS::Queue",
            "properties": []
          },
          "OldQueue": {
            "became": "removed",
            "type": "AWS::SQS::Queue",
            "properties": []
          }
        },
        "others": [
          {
            "path": "Parameters.LogLevel.Default",
            "from": "OldQueue",
            "to": "NewQueue"
          }
        ]
      }
    }
    "#);
}

#[tokio::test]
async fn what_one_stage_lacks_of_the_other_and_the_way_back() {
    let world = world();
    let (document, _) = asked(&world, "prod uat --repo bank-payments").await.unwrap();
    insta::assert_snapshot!(plain(&document), @r#"
    bank-payments
      from prod, which runs 0000001000000000000000000000000000000000
      to   uat, which runs 0000002000000000000000000000000000000000

    1 commit between
      0000002  2026-05-02 02:46 UTC  main  jane@bank.example

    functions
      ~ authorise-payment
          code cba06b5736fa → 804f51f71254, 3 B → 5 B

    migrations
      + payments  V2__two.sql  to be run

    configuration of uat against that of prod
      ~ approvals: 2 → 3
      ~ requires: "deployed:uat" → "built"
    "#);
    let (document, _) = asked(&world, "uat 0000001 --repo bank-payments").await.unwrap();
    insta::assert_snapshot!(plain(&document), @r"
    bank-payments
      from uat, which runs 0000002000000000000000000000000000000000
      to   0000001000000000000000000000000000000000

    1 commit between, which it goes back by
      0000002  2026-05-02 02:46 UTC  main  jane@bank.example

    functions
      ~ authorise-payment
          code 804f51f71254 → cba06b5736fa, 5 B → 3 B

    migrations
      - payments  V2__two.sql  not there any more: databases are never rolled back

    configuration of uat since its last promotion
      ~ approvals: 1 → 3
    ");
    let (document, _) = asked(&world, "uat 0000002 --repo bank-payments").await.unwrap();
    insta::assert_snapshot!(plain(&document), @r"
    bank-payments
      from uat, which runs 0000002000000000000000000000000000000000
      to   0000002000000000000000000000000000000000

    configuration of uat since its last promotion
      ~ approvals: 1 → 3
    ");
}

#[tokio::test]
async fn what_is_neither_is_an_error_with_the_nearest() {
    let world = world();
    let told = async |arguments: &str| asked(&world, arguments).await.unwrap_err().to_string();
    let told = [
        told("pord uat --repo bank-payments").await,
        told("dr uat --repo bank-payments").await,
        told("uat 7777777 --repo bank-payments").await,
        told("uat V1 --repo bank-payments").await,
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    there is no stage `pord`; did you mean `prod`?
    nothing of `bank-payments` was promoted to `dr` yet
    no commit of `bank-payments` that is stored begins with `7777777`; `gatekeeper commits --repo bank-payments` lists them
    `V1` is neither a stage nor a commit's SHA of 7 digits or more
    ");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_commits_take_four_dependent_round_trips_at_most() {
    let (world, commits) = large();
    let to = &commits[999].sha.as_str()[..7];
    let (found, taken) = world.round_trips(asked(&world, &format!("prod {to} --repo bank-payments"))).await;
    let (document, _) = found.unwrap();
    assert_eq!((document.commits_between.len(), document.more_commits), (9, 0));
    assert!(taken <= 4, "{taken}");
}
