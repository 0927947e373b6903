//! Stages after the first one on the local AWS, asked by `gatekeeper promote` and `gatekeeper approve` as people use them:
//! `make test-e2e`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use e2e::{
    commit::Commit,
    instance::Caller,
    promotion::{APPROVED_STAGE, FROZEN_STAGE, Promotions, STAGE, a_commit, a_repo, promotion_of, rollback_of},
};
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::Person,
    ids::{Chain, Repo, StageName},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    approval::Approval,
    record::{PromotionRecord, Status},
};
use gatekeeper_proof::ledger::{Entry, Kind};
use serde_json::{Value, json};

#[path = "holds.rs"]
mod holds;
#[path = "waivers.rs"]
mod waivers;
#[path = "witness.rs"]
mod witness;

/// Release managers, reviewers and the author of each commit, under the names that their identity provider gives them.
const JANE: &str = "jane@bank.example";
const BOB: &str = "bob@bank.example";
const ALICE: &str = "alice@bank.example";

/// People at a shell, and what they ask for.
struct People {
    here: Promotions,
    repo: Repo,
}

/// What a command came to.
#[derive(Debug)]
struct Told {
    code: i32,
    document: Value,
}

impl Told {
    fn reasons(&self) -> Vec<Finding> {
        assert_eq!((self.code, &self.document["status"]), (1, &json!("refused")), "{self:#?}");
        serde_json::from_value(self.document["reasons"].clone()).unwrap()
    }

    fn codes(&self) -> BTreeSet<Code> {
        self.reasons().iter().map(|it| it.code).collect()
    }

    fn record(self) -> PromotionRecord {
        assert_eq!(self.code, 0, "{self:#?}");
        serde_json::from_value(self.document).unwrap()
    }
}

impl People {
    async fn new(repo: &str) -> Self {
        Self { here: Promotions::get().await, repo: a_repo(repo) }
    }

    /// A Built commit that Alice wrote.
    async fn a_commit(&self) -> Commit {
        let mut commit = a_commit(&self.here.aws, &self.repo, 200);
        commit.manifest["author"] = json!(ALICE);
        self.here.built(commit).await
    }

    async fn run(&self, who: &Caller, arguments: &[&str]) -> Told {
        let mut command = self.here.aws.command(who).await;
        command.args(arguments).args(["--output", "json"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
        Told { code: output.status.code().unwrap(), document }
    }

    /// Jane asks for a promotion.
    async fn promote(&self, commit: &Commit, stage: &str, flags: &[&str]) -> Told {
        self.promote_as(&self.here.promoter, commit, stage, flags).await
    }

    async fn promote_as(&self, who: &Caller, commit: &Commit, stage: &str, flags: &[&str]) -> Told {
        let Commit { id, .. } = commit;
        let asked = ["promote", "--stage", stage, "--repo", id.repo.as_str(), "--sha", id.sha.as_str()];
        self.run(who, &[&asked, &["--reason", "release 2026-05"] as &[_], flags].concat()).await
    }

    async fn approve(&self, person: &str, commit: &Commit, stage: &str, flags: &[&str]) -> Told {
        let Commit { id, .. } = commit;
        let asked = ["approve", "--stage", stage, "--repo", id.repo.as_str(), "--sha", id.sha.as_str()];
        let who = self.here.aws.approver(person).await;
        self.run(&who, &[&asked, &["--reason", "looked at the change"] as &[_], flags].concat()).await
    }

    async fn stored(&self, key: &RecordKey) -> Value {
        serde_json::from_slice(&self.here.aws.record(key).await.unwrap()).unwrap()
    }

    /// Writes over a record as the account's administrator may.
    async fn write_over(&self, key: &RecordKey, record: &Value) {
        self.write_bytes(key, &serde_json::to_vec_pretty(record).unwrap()).await;
    }

    async fn write_bytes(&self, key: &RecordKey, bytes: &[u8]) {
        let put = self.here.aws.root.s3.put_object().bucket(&self.here.aws.outputs.records_bucket);
        put.key(key.to_string()).body(bytes.to_vec().into()).send().await.unwrap();
    }

    /// The ledger of a stage, oldest first.
    async fn ledger(&self, stage: &str) -> Vec<Entry> {
        let chain = Chain { stage: stage.parse().unwrap(), repo: self.repo.clone() };
        let mut entries = Vec::new();
        while let Some(bytes) =
            self.here.aws.record(&RecordKey::LedgerEntry(chain.clone(), entries.len() as u64 + 1)).await
        {
            entries.push(serde_json::from_slice(&bytes).unwrap());
        }
        entries
    }
}

#[tokio::test]
async fn a_later_stage_asks_for_the_earlier_one_and_for_the_word_of_somebody_else() {
    let people = People::new("approved").await;
    let commit = people.a_commit().await;
    let both = [Code::RequiresNotMet, Code::ApprovalsMissing].into();
    assert_eq!(people.promote(&commit, APPROVED_STAGE, &[]).await.codes(), both);

    people.promote(&commit, STAGE, &[]).await.record();
    assert_eq!(people.promote(&commit, APPROVED_STAGE, &[]).await.codes(), [Code::ApprovalsMissing].into());

    // Who asks and who wrote it may say yes, and it counts for nothing.
    for (person, so_far) in [(JANE, vec![JANE]), (ALICE, vec![ALICE, JANE])] {
        let told = people.approve(person, &commit, APPROVED_STAGE, &[]).await;
        let mut expected =
            json!({"status": "approved", "approved_by": person, "already": false, "approvals": so_far, "needed": 1});
        if person == ALICE {
            // Who asks for the promotion is not known yet; who wrote it is.
            expected["not_counted"] = json!([{"person": ALICE, "why": "this is the commit's author"}]);
        }
        assert_eq!((told.code, &told.document), (0, &expected), "{told:?}");
    }
    let reasons = people.promote(&commit, APPROVED_STAGE, &[]).await.reasons();
    let message = format!(
        "0 of 1 approvals (`{JANE}` doesn't count: this is who asks for the promotion, `{ALICE}` doesn't count: this is the \
         commit's author); ask somebody who is neither the requester nor the author for `gatekeeper approve --stage \
         {APPROVED_STAGE} --repo {} --sha {} --reason …`",
        commit.id.repo, commit.id.sha
    );
    assert_eq!(reasons, [Finding::new(Code::ApprovalsMissing, APPROVED_STAGE, message)]);

    assert_eq!(people.approve(BOB, &commit, APPROVED_STAGE, &[]).await.code, 0);
    assert_eq!(people.approve(BOB, &commit, APPROVED_STAGE, &[]).await.document["already"], true);
    let record = people.promote(&commit, APPROVED_STAGE, &[]).await.record();
    assert_eq!(record.status, Status::Succeeded);
    assert_eq!(record.requester.as_ref().map(|it| it.person.as_str()), Some(JANE));
    let counted: Vec<_> = record.approvals.iter().map(|it| it.person.as_str()).collect();
    assert_eq!((counted, &record.break_glass), (vec![BOB], &None));

    // And an auditor reads who it was.
    let auditor = people.here.aws.auditor().await;
    let told = people.run(&auditor, &["evidence", "--stage", APPROVED_STAGE, "--repo", people.repo.as_str()]).await;
    assert_eq!(told.code, 0, "{told:#?}");
    assert!(told.document["evidence"][0].to_string().contains(BOB), "{:#}", told.document);
}

/// Promotes a commit that Alice wrote, and holds that her own approval doesn't count, and why, and that Bob's does.
async fn hers_does_not_count(people: &People, commit: &Commit, as_whom: &str) {
    people.promote(commit, STAGE, &[]).await.record();
    let why = format!("this is the commit's author{as_whom}");
    let told = people.approve(ALICE, commit, APPROVED_STAGE, &[]).await;
    assert_eq!(told.document["not_counted"], json!([{"person": ALICE, "why": why}]), "{told:#?}");
    let reasons = people.promote(commit, APPROVED_STAGE, &[]).await.reasons();
    assert_eq!(reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::ApprovalsMissing], "{reasons:#?}");
    assert!(reasons[0].message.contains(&format!("`{ALICE}` doesn't count: {why}")), "{reasons:#?}");

    people.approve(BOB, commit, APPROVED_STAGE, &[]).await;
    let record = people.promote(commit, APPROVED_STAGE, &[]).await.record();
    let counted: Vec<_> = record.approvals.iter().map(|it| it.person.as_str()).collect();
    let others: Vec<_> = record.not_counted.iter().map(|it| it.person.as_str()).collect();
    assert_eq!((counted, others), (vec![BOB], vec![ALICE]));
    let identities = record.identities_config.unwrap();
    let stored = people.here.aws.record(&RecordKey::IdentitiesConfig).await.unwrap();
    assert_eq!(identities.sha256, gatekeeper_model::ids::Sha256::of(&stored));
}

#[tokio::test]
async fn no_spelling_of_an_address_makes_an_author_somebody_else() {
    let people = People::new("spelled").await;
    for spelled in ["12345678+Alice-Dev@users.noreply.github.com", "Alice+work@Bank.Example"] {
        let mut commit = a_commit(&people.here.aws, &people.repo, 200);
        commit.manifest["authors"] = json!([{"name": "Alice", "email": spelled, "commits": 2}]);
        let commit = people.here.built(commit).await;
        hers_does_not_count(&people, &commit, &format!(", as `{spelled}`")).await;
    }
}

#[tokio::test]
async fn an_author_whom_nobody_can_place_is_refused_by_name() {
    let people = People::new("unknown-author").await;
    let mut commit = a_commit(&people.here.aws, &people.repo, 200);
    commit.manifest["authors"] = json!([
        {"name": "Alice", "email": ALICE, "commits": 1},
        {"name": "Someone", "email": "7+somebody@users.noreply.github.com", "commits": 1},
        {"name": "Ann", "email": "ann@other.example", "commits": 1}
    ]);
    let commit = people.here.built(commit).await;
    people.promote(&commit, STAGE, &[]).await.record();
    let told = people.approve(BOB, &commit, APPROVED_STAGE, &[]).await;
    assert_eq!(told.document["reasons"].as_array().unwrap().len(), 2, "{told:#?}");
    let reasons = people.promote(&commit, APPROVED_STAGE, &[]).await.reasons();
    assert!(reasons.iter().all(|it| it.code == Code::AuthorUnknown), "{reasons:#?}");
    for (reason, name) in
        reasons.iter().zip(["`7+somebody@users.noreply.github.com` (Someone)", "`ann@other.example` (Ann)"])
    {
        assert!(reason.message.contains(name) && reason.message.contains("config/identities.json"), "{reason:?}");
    }
}

fn git(folder: &std::path::Path, author: &str, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=CI", "-c", "user.email=ci@bank.example"]).args(arguments);
    if !author.is_empty() {
        command.arg(format!("--author={author}"));
    }
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

/// Publishes the head of a clone by CI's role, and waits until it is Built.
async fn publish(people: &People, clone: &std::path::Path) -> Commit {
    let mut commit = a_commit(&people.here.aws, &people.repo, 200);
    commit.id.sha = git(clone, "", &["rev-parse", "HEAD"]).parse().unwrap();
    commit.manifest["commit_sha"] = json!(commit.id.sha);
    let folder = clone.join("build").join(commit.id.sha.as_str());
    let mut manifest = commit.manifest.clone();
    manifest["modules"] = json!([]);
    let objects = commit.objects.iter().map(|(path, bytes)| (path.to_string(), bytes.clone()));
    for (path, bytes) in objects.chain([("build-manifest.json".to_owned(), manifest.to_string().into_bytes())]) {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let ci = people.here.aws.ci().await;
    let told = ["publish", folder.to_str().unwrap(), "--repo", people.repo.as_str(), "--sha", commit.id.sha.as_str()];
    // A second time, when the commit is the branch's last Built one itself, and names nobody less.
    for _ in 0..2 {
        let told = people.run(&ci, &[&told[..], &["--wait"]].concat()).await;
        assert_eq!((told.code, &told.document["verdict"]["outcome"]), (0, &json!("built")), "{told:#?}");
        std::fs::write(folder.join("reports/other.txt"), "x").unwrap();
        let mut manifest: Value =
            serde_json::from_slice(&std::fs::read(folder.join("build-manifest.json")).unwrap()).unwrap();
        manifest["reports"] = json!([{"suite": "other", "format": "text", "file": "other.txt"}]);
        std::fs::write(folder.join("build-manifest.json"), manifest.to_string()).unwrap();
    }
    let stored = people
        .here
        .aws
        .root
        .s3
        .get_object()
        .bucket(&people.here.aws.outputs.artefact_bucket)
        .key(commit.manifest_key());
    let stored = stored.send().await.unwrap().body.collect().await.unwrap().into_bytes();
    commit.manifest = serde_json::from_slice(&stored).unwrap();
    commit
}

#[tokio::test]
async fn whoever_merges_hides_nobody_of_what_was_merged() {
    let people = People::new("merged").await;
    let clone = tempfile::tempdir().unwrap();
    let at = clone.path();
    git(at, "", &["init", "--quiet", "--initial-branch=main"]);
    git(at, "Carl <carl@bank.example>", &["commit", "--quiet", "--allow-empty", "--message=one"]);
    let first = publish(&people, at).await;
    assert_eq!(first.manifest["authors"][0]["email"], "carl@bank.example");

    git(at, "", &["switch", "--quiet", "--create", "change"]);
    git(
        at,
        &format!("Alice <{ALICE}>"),
        &["commit", "--quiet", "--allow-empty", "--message=two\n\nCo-authored-by: Dan <dan@bank.example>"],
    );
    git(at, "", &["switch", "--quiet", "main"]);
    git(at, "", &["merge", "--quiet", "--no-ff", "--no-commit", "change"]);
    git(at, &format!("Jane <{JANE}>"), &["commit", "--quiet", "--message=Merge change"]);
    let merged = publish(&people, at).await;
    let named = merged.manifest["authors"].as_array().unwrap().iter().map(|it| it["email"].as_str().unwrap());
    let named: BTreeSet<_> = named.collect();
    assert_eq!(named, [ALICE, JANE, "dan@bank.example", "ci"].into(), "{:#}", merged.manifest["authors"]);
    hers_does_not_count(&people, &merged, "").await;
}

#[tokio::test]
async fn nobody_asks_in_another_ones_name() {
    let people = People::new("in-whose-name").await;
    let commit = people.a_commit().await;
    people.promote(&commit, STAGE, &[]).await.record();
    people.approve(BOB, &commit, APPROVED_STAGE, &[]).await;
    // Who fills in a name proves nothing by it.
    let plain = promotion_of(&commit, APPROVED_STAGE);
    people.here.refuses(&plain, &[Code::RequesterUnproven]).await;
    // A proof is good for the one request that it was made for.
    let proved = {
        let stage: StageName = STAGE.parse().unwrap();
        let request = gatekeeper_model::identity::BoundRequest {
            manifest_version_id: None,
            action: "promote",
            repo: &commit.id.repo,
            commit_sha: Some(&commit.id.sha),
            stage: &stage,
            reason: "release 2026-05",
            switches: Vec::new(),
            accept_replacement: Vec::new(),
            plan_sha256: None,
            id: None,
        };
        let now = gatekeeper_model::telemetry::wall_clock();
        gatekeeper_aws::caller::prove(&people.here.promoter.config, &request, now).await.unwrap()
    };
    let mut reused = plain.clone();
    reused["identity_proof"] = serde_json::to_value(&proved).unwrap();
    people.here.refuses(&reused, &[Code::RequesterUnproven]).await;
    // And its signature is checked by STS, not by its looks.
    let mut forged = promotion_of(&commit, STAGE);
    let mut headers = proved.headers.clone();
    let authorization = headers.get_mut("authorization").unwrap();
    let last = if authorization.ends_with('0') { "1" } else { "0" };
    authorization.replace_range(authorization.len() - 1.., last);
    forged["identity_proof"] = json!({"method": proved.method, "headers": headers, "body": proved.body});
    people.here.refuses(&forged, &[Code::RequesterUnproven]).await;
    // Without the change it is Jane.
    forged["identity_proof"] = serde_json::to_value(&proved).unwrap();
    let record = people.here.ended(&people.here.start(&forged).await).await;
    assert_eq!(record.requester.unwrap().person.as_str(), JANE);
}

#[tokio::test]
async fn who_came_by_no_role_of_people_promotes_only_where_no_person_is_asked_for() {
    let people = People::new("no-person").await;
    let commit = people.a_commit().await;
    let root = &people.here.aws.root;
    let record = people.promote_as(root, &commit, STAGE, &[]).await.record();
    assert_eq!((record.requester.is_none(), record.status), (true, Status::Succeeded));
    people.approve(BOB, &commit, APPROVED_STAGE, &[]).await;
    let told = people.promote_as(root, &commit, APPROVED_STAGE, &[]).await;
    assert_eq!(told.codes(), [Code::RequesterUnproven].into());
}

#[tokio::test]
async fn a_freeze_and_a_soak_hold_unless_two_people_break_the_glass_which_everybody_sees() {
    let people = People::new("frozen").await;
    let (first, second) = (people.a_commit().await, people.a_commit().await);
    people.promote(&first, STAGE, &[]).await.record();
    let told = people.promote(&first, FROZEN_STAGE, &[]).await;
    assert_eq!(told.codes(), [Code::SoakNotOver, Code::StageFrozen].into());

    // Not alone, and not with a word that was given for something else.
    let alone = people.promote(&first, FROZEN_STAGE, &["--break-glass"]).await;
    assert_eq!(alone.codes(), [Code::ApprovalsMissing].into());
    people.approve(JANE, &first, FROZEN_STAGE, &["--break-glass"]).await;
    people.approve(BOB, &first, FROZEN_STAGE, &[]).await;
    people.approve(BOB, &second, FROZEN_STAGE, &["--break-glass"]).await;
    let still = people.promote(&first, FROZEN_STAGE, &["--break-glass"]).await;
    assert_eq!(still.codes(), [Code::ApprovalsMissing].into());

    people.approve(BOB, &first, FROZEN_STAGE, &["--break-glass"]).await;
    let record = people.promote(&first, FROZEN_STAGE, &["--break-glass"]).await.record();
    let glass = record.break_glass.unwrap();
    assert_eq!((glass.requester.as_str(), glass.approved_by.person.as_str()), (JANE, BOB));
    let waived: BTreeSet<_> = glass.waived.iter().map(|it| it.code).collect();
    assert_eq!(waived, [Code::SoakNotOver, Code::StageFrozen].into());
    let entries = people.ledger(FROZEN_STAGE).await;
    let told: Vec<_> = entries.iter().map(|it| (it.event.kind, it.event.break_glass)).collect();
    assert_eq!(told.last(), Some(&(Kind::Promotion, true)), "{told:?}");
    assert_eq!(told.iter().filter(|(kind, _)| *kind == Kind::Refusal).count(), 3, "what was refused before, too");
    let auditor = people.here.aws.auditor().await;
    let page = people.run(&auditor, &["evidence", "--stage", FROZEN_STAGE, "--repo", people.repo.as_str()]).await;
    assert!(page.document["evidence"][0].to_string().contains("break_glass"), "{:#}", page.document);

    // Nothing waives that a commit is Built.
    let unbuilt = a_commit(&people.here.aws, &people.repo, 200);
    people.here.registered(&unbuilt).await;
    let told = people.promote(&unbuilt, FROZEN_STAGE, &["--break-glass"]).await;
    assert!(told.codes().contains(&Code::NotBuilt), "{told:?}");
}

#[tokio::test]
async fn going_back_needs_no_rule_not_even_in_a_freeze() {
    let people = People::new("back").await;
    let (first, second) = (people.a_commit().await, people.a_commit().await);
    for commit in [&first, &second] {
        people.promote(commit, STAGE, &[]).await.record();
        people.approve(BOB, commit, FROZEN_STAGE, &["--break-glass"]).await;
        people.promote(commit, FROZEN_STAGE, &["--break-glass"]).await.record();
    }
    let back = people.here.start(&rollback_of(&people.repo, None, FROZEN_STAGE)).await;
    assert_eq!(people.here.ended(&back).await.commit_sha, first.id.sha);
}

#[tokio::test]
async fn approving_is_all_that_an_approver_can_do() {
    let people = People::new("approver").await;
    let commit = people.a_commit().await;
    let bob = people.here.aws.approver(BOB).await;
    // Not past the function, under whose name ever.
    let key = format!("approvals/{APPROVED_STAGE}/{}/{}/{}.json", people.repo, commit.id.sha, "3f".repeat(32));
    for who in [&bob, &people.here.promoter] {
        let put =
            who.s3.put_object().bucket(&people.here.aws.outputs.records_bucket).key(&key).body(b"{}".to_vec().into());
        let refused = put.send().await.unwrap_err();
        assert_eq!(refused.code(), Some("AccessDenied"), "{}", who.session);
    }
    let ask = bob.lambda().invoke().function_name(&people.here.aws.outputs.promote_function);
    let refused = ask.payload(Blob::new(promotion_of(&commit, STAGE).to_string())).send().await.unwrap_err();
    assert!(refused.code().is_some_and(|code| code.starts_with("AccessDenied")), "{refused:?}");
    let ask = people.here.promoter.lambda().invoke().function_name(&people.here.aws.outputs.approve_function);
    let refused = ask.payload(Blob::new("{}")).send().await.unwrap_err();
    assert!(refused.code().is_some_and(|code| code.starts_with("AccessDenied")), "{refused:?}");
}

/// What an administrator writes over the gatekeeper's own records, and who has no key: each is refused and told by name.
#[tokio::test]
async fn what_somebody_wrote_beside_the_ledger_counts_for_nothing_and_is_told() {
    let people = People::new("tampered").await;
    let commit = people.a_commit().await;
    people.promote(&commit, STAGE, &[]).await.record();
    people.approve(BOB, &commit, APPROVED_STAGE, &[]).await;
    let auditor = people.here.aws.auditor().await;
    let repo = people.repo.as_str();
    let verified = async || people.run(&auditor, &["ledger", "verify", "--repo", repo]).await;
    let refused = async || people.promote(&commit, APPROVED_STAGE, &[]).await.codes();
    assert_eq!(verified().await.code, 0);

    // An approval of his own making in place of Bob's, and Bob's in the name of somebody else.
    let approved: StageName = APPROVED_STAGE.parse().unwrap();
    let place = |person: &str| Approval::key(&approved, &commit.id, &Person::named(person));
    let signed: Value = people.stored(&place(BOB)).await;
    let mut unsigned = signed.clone();
    unsigned.as_object_mut().unwrap().remove("envelope");
    people.write_over(&place(BOB), &unsigned).await;
    people.write_over(&place("carol@bank.example"), &signed).await;
    assert_eq!(refused().await, [Code::ApprovalNotProved, Code::ApprovalsMissing].into());
    let told = verified().await;
    assert_eq!(told.code, 1);
    assert!(told.document.to_string().contains("(and 1 more beside it)"), "{told:#?}");

    // As if the earlier stage had run it for a year.
    let state = RecordKey::Stage(STAGE.parse().unwrap(), people.repo.clone());
    let before = people.here.aws.record(&state).await.unwrap();
    let mut backdated: Value = serde_json::from_slice(&before).unwrap();
    backdated["history"][0]["completed_at"] = json!("2020-01-01T00:00:00Z");
    people.write_over(&state, &backdated).await;
    assert!(refused().await.contains(&Code::AttestationInvalid));
    assert_eq!(people.promote(&commit, STAGE, &[]).await.codes(), [Code::StageRecordAltered].into());

    // What was signed, byte for byte, counts again; what nobody signed is told for as long as it lies there.
    people.write_bytes(&state, &before).await;
    people.write_over(&place(BOB), &signed).await;
    let promoted = people.promote(&commit, APPROVED_STAGE, &[]).await.record();
    let counted: Vec<_> = promoted.approvals.iter().map(|it| (it.person.as_str(), it.signed_by.is_some())).collect();
    assert_eq!(counted, [(BOB, true)]);
    let [not_counted] = promoted.not_counted.as_slice() else { panic!("{promoted:?}") };
    assert!(not_counted.why.contains("was copied from there"), "{not_counted:?}");
    assert_eq!(verified().await.code, 1);
}
