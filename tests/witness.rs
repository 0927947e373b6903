//! A ledger that somebody rolled back, and a witness outside that can't be read.

use aws_sdk_lambda::primitives::Blob;
use e2e::watch::{PATIENCE, eventually};
use gatekeeper_model::store_key::WitnessKey;
use gatekeeper_promotion::drift::Drift;
use gatekeeper_proof::Envelope;
use gatekeeper_timestamp::authority::{Authority, USUAL};

use super::*;

/// What lies at a key of a bucket, to be put back later.
struct Kept(Vec<(RecordKey, Vec<u8>)>);

impl People {
    fn chain(&self) -> Chain {
        Chain { stage: STAGE.parse().unwrap(), repo: self.repo.clone() }
    }

    /// Waits until the witness has the head that is about the entry of this place.
    async fn witnessed(&self, place: u64) {
        let witness = self.here.aws.witness().await;
        let key = WitnessKey::Head(self.chain(), place).to_string();
        let bucket = &self.here.aws.outputs.witness_bucket;
        let look = async || witness.s3.head_object().bucket(bucket).key(&key).send().await.is_ok();
        eventually("the witness has the head", PATIENCE, look, |has| *has).await;
    }

    /// The head of the chain and the stage's document as they are now.
    async fn keep(&self) -> Kept {
        let chain = self.chain();
        let keys = [RecordKey::LedgerHead(chain.clone()), RecordKey::Stage(chain.stage, chain.repo)];
        let mut kept = Vec::new();
        for key in keys {
            let bytes = self.here.aws.record(&key).await.unwrap();
            kept.push((key, bytes));
        }
        Kept(kept)
    }

    /// As whoever administers the gatekeeper's account can.
    async fn put_back(&self, kept: &Kept) {
        let (s3, bucket) = (&self.here.aws.root.s3, &self.here.aws.outputs.records_bucket);
        for (key, bytes) in &kept.0 {
            s3.put_object().bucket(bucket).key(key.to_string()).body(bytes.clone().into()).send().await.unwrap();
        }
    }

    /// Hides an object by a delete marker, and gives the marker's version.
    async fn hide(who: &Caller, bucket: &str, key: &str) -> String {
        let deleted = who.s3.delete_object().bucket(bucket).key(key).send().await.unwrap();
        deleted.version_id().unwrap().to_owned()
    }

    async fn show(who: &Caller, bucket: &str, key: &str, marker: &str) {
        who.s3.delete_object().bucket(bucket).key(key).version_id(marker).send().await.unwrap();
    }

    async fn roll_back(&self, commit: &Commit) -> PromotionRecord {
        let Commit { id, .. } = commit;
        let asked = ["rollback", "--stage", STAGE, "--repo", id.repo.as_str(), "--sha", id.sha.as_str()];
        self.run(&self.here.promoter, &[&asked, &["--reason", "it is wrong"] as &[_]].concat()).await.record()
    }

    async fn ledger_verify(&self) -> Told {
        let auditor = self.here.aws.auditor().await;
        self.run(&auditor, &["ledger", "verify", "--stage", STAGE, "--repo", self.repo.as_str()]).await
    }

    /// What a look of `watch-drift` finds.
    async fn drift(&self) -> BTreeSet<Code> {
        let event = json!({"stage": STAGE, "repo": self.repo}).to_string();
        let look = async || {
            let call = self.here.aws.root.lambda().invoke().function_name(&self.here.aws.outputs.watch_drift_function);
            call.payload(Blob::new(event.clone())).send().await.unwrap().function_error().map(str::to_owned)
        };
        // Of two runs that write down the same the second fails: another test lets a run look at everything.
        eventually("drift watching looked", PATIENCE, look, Option::is_none).await;
        let key = RecordKey::Drift(STAGE.parse().unwrap(), self.repo.clone());
        let drift: Drift = serde_json::from_slice(&self.here.aws.record(&key).await.unwrap()).unwrap();
        drift.findings.iter().map(|it| it.finding.code).collect()
    }
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|it| it.code).collect()
}

#[tokio::test]
async fn a_ledger_that_was_rolled_back_promotes_nothing_and_everybody_hears_of_it() {
    let people = People::new("rolled-back").await;
    let (first, second, third) = (people.a_commit().await, people.a_commit().await, people.a_commit().await);
    people.promote(&first, STAGE, &[]).await.record();
    people.promote(&second, STAGE, &[]).await.record();
    let before = people.keep().await;
    people.promote(&third, STAGE, &[]).await.record();
    people.witnessed(3).await;
    let after = people.keep().await;
    assert_eq!((people.ledger_verify().await.code, people.drift().await), (0, BTreeSet::new()));

    let (root, records) = (&people.here.aws.root, &people.here.aws.outputs.records_bucket);
    let entry = RecordKey::LedgerEntry(people.chain(), 3).to_string();
    people.put_back(&before).await;
    let marker = People::hide(root, records, &entry).await;
    let reasons = people.promote(&third, STAGE, &[]).await.reasons();
    assert_eq!(codes(&reasons), [Code::LedgerRolledBack], "{reasons:#?}");
    assert!(reasons[0].message.starts_with("it ends at entry 2, and the witness has seen entry 3"), "{reasons:#?}");
    assert_eq!(people.ledger(STAGE).await.len(), 2, "and nothing is in the way of whoever puts it back");
    let told = people.ledger_verify().await;
    assert!(told.code == 1 && told.document.to_string().contains("ledger-rolled-back"), "{told:#?}");
    assert!(people.drift().await.contains(&Code::LedgerRolledBack));
    assert_eq!(people.ledger(STAGE).await.len(), 2);

    // Put back, it is what the witness has seen.
    People::show(root, records, &entry, &marker).await;
    people.put_back(&after).await;
    assert_eq!(people.ledger_verify().await.code, 0);
    assert_eq!(people.drift().await, BTreeSet::new());

    // Who goes back does not wait, and the record and the ledger tell of it.
    let told = people.ledger(STAGE).await.len() as u64;
    people.witnessed(told).await;
    people.put_back(&before).await;
    for place in 3..=told {
        People::hide(root, records, &RecordKey::LedgerEntry(people.chain(), place).to_string()).await;
    }
    let record = people.roll_back(&first).await;
    assert_eq!((record.status, codes(&record.witness)), (Status::Succeeded, vec![Code::LedgerRolledBack]));
    let entries = people.ledger(STAGE).await;
    assert_eq!(codes(&entries.last().unwrap().event.findings), [Code::LedgerRolledBack]);
    // What goes on from the older head makes it no better.
    assert_eq!(codes(&people.promote(&third, STAGE, &[]).await.reasons()), [Code::LedgerRolledBack]);
}

#[tokio::test]
async fn while_the_witness_can_not_be_read_only_who_recovers_goes_on() {
    let people = People::new("unwitnessed").await;
    let (first, second) = (people.a_commit().await, people.a_commit().await);
    people.promote(&first, STAGE, &[]).await.record();
    people.promote(&second, STAGE, &[]).await.record();
    people.witnessed(2).await;
    let (witness, bucket) = (people.here.aws.witness().await, &people.here.aws.outputs.witness_bucket);
    let newest = WitnessKey::Head(people.chain(), 2).to_string();
    let marker = People::hide(&witness, bucket, &newest).await;

    let reasons = people.promote(&first, STAGE, &[]).await.reasons();
    assert_eq!(codes(&reasons), [Code::WitnessUnreachable], "{reasons:#?}");
    assert!(people.drift().await.contains(&Code::WitnessUnreachable));
    assert_eq!(people.ledger_verify().await.code, 1);
    let back = people.roll_back(&first).await;
    assert_eq!((back.status, codes(&back.witness)), (Status::Succeeded, vec![Code::WitnessUnreachable]));
    assert_eq!(people.approve(BOB, &second, STAGE, &["--break-glass"]).await.code, 0);
    let forced = people.promote(&second, STAGE, &["--break-glass"]).await.record();
    assert_eq!((forced.status, codes(&forced.witness)), (Status::Succeeded, vec![Code::WitnessUnreachable]));
    assert_eq!(codes(&forced.break_glass.unwrap().waived), [Code::WitnessUnreachable]);

    // What came meanwhile is caught up, and all is well.
    People::show(&witness, bucket, &newest, &marker).await;
    let catch_up = people.here.aws.root.lambda().invoke().function_name(&people.here.aws.outputs.witness_function);
    let answer = catch_up.payload(Blob::new(r#"{"catch_up": true}"#)).send().await.unwrap();
    let text = String::from_utf8_lossy(answer.payload().unwrap().as_ref()).into_owned();
    // Of other tests' chains one may be rolled back right now, of which it tells: it keeps no other from it.
    assert!(answer.function_error().is_none() || !text.contains(people.repo.as_str()), "{text}");
    let last = people.ledger(STAGE).await.len() as u64;
    people.witnessed(last).await;
    people.promote(&first, STAGE, &[]).await.record();
}

#[tokio::test]
async fn what_the_witness_has_nobody_of_the_gatekeepers_account_changes() {
    let people = People::new("kept").await;
    people.promote(&people.a_commit().await, STAGE, &[]).await.record();
    people.witnessed(1).await;
    let (aws, bucket) = (&people.here.aws, &people.here.aws.outputs.witness_bucket);
    let key = WitnessKey::Head(people.chain(), 1).to_string();
    let witness = aws.role_of(&aws.outputs.witness_function).await;
    let promote = aws.role_of(&aws.outputs.promote_function).await;
    let auditor = aws.auditor().await;
    for who in [&witness, &promote, &auditor] {
        assert!(who.s3.get_object().bucket(bucket).key(&key).send().await.is_ok(), "{}", who.session);
        let put = |key: &str| who.s3.put_object().bucket(bucket).key(key).body(b"{}".to_vec().into());
        put(&key).send().await.expect_err("a head is written over");
        put(&key).if_none_match("*").send().await.expect_err("a head is written over");
        put("other/1.json").if_none_match("*").send().await.expect_err("something else is written");
        who.s3.delete_object().bucket(bucket).key(&key).send().await.expect_err("a head is hidden");
    }
    assert!(aws.ci().await.s3.get_object().bucket(bucket).key(&key).send().await.is_err());
}

impl People {
    /// What the witness has at a key of the head that is about the entry of this place.
    async fn at_witness(&self, key: WitnessKey) -> Option<Vec<u8>> {
        let witness = self.here.aws.witness().await;
        let bucket = &self.here.aws.outputs.witness_bucket;
        let object = witness.s3.get_object().bucket(bucket).key(key.to_string()).send().await.ok()?;
        Some(object.body.collect().await.unwrap().to_vec())
    }

    /// Has heads stamped by whoever answers at an address, or by nobody.
    async fn stamped_by(&self, url: &str) {
        let (lambda, name) = (self.here.aws.root.lambda(), &self.here.aws.outputs.witness_function);
        let now = lambda.get_function_configuration().function_name(name).send().await.unwrap();
        let variables = now.environment().and_then(|it| it.variables()).cloned().unwrap_or_default();
        let variables = variables.into_iter().chain([("TIMESTAMP_URL".to_owned(), url.to_owned())]).collect();
        let environment = aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables)).build();
        lambda.update_function_configuration().function_name(name).environment(environment).send().await.unwrap();
    }
}

/// From a promotion to what an auditor verifies without us: the authority is openssl's, and so is the second opinion.
#[tokio::test]
async fn a_head_is_stamped_by_an_authority_and_a_bundle_proves_it_by_that_clock() {
    let authority = Authority::new(USUAL);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("authority.pem"), authority.root()).unwrap();
    std::fs::write(path("strange.pem"), Authority::new(USUAL).root()).unwrap();
    let people = People::new("stamped").await;
    let commit = people.a_commit().await;
    people.stamped_by(&authority.serve(usize::MAX)).await;
    people.promote(&commit, STAGE, &[]).await.record();
    let place = people.ledger(STAGE).await.len() as u64;
    let look = async || people.at_witness(WitnessKey::Timestamp(people.chain(), place)).await.is_some();
    eventually("the head is stamped", PATIENCE, look, |has| *has).await;
    people.stamped_by("").await;

    // A look of drift watching states that this is the newest.
    assert_eq!(people.drift().await, BTreeSet::new());
    let key = RecordKey::Freshness(STAGE.parse().unwrap(), people.repo.clone());
    assert!(people.here.aws.record(&key).await.is_some());

    let auditor = people.here.aws.auditor().await;
    let bundle = path("evidence.zip");
    let asked = ["evidence", "--stage", STAGE, "--repo", people.repo.as_str(), "--bundle", &bundle];
    let told = people.run(&auditor, &asked).await;
    assert_eq!(told.code, 0, "{told:#?}");
    let by = async |root: &str, more: &[&str]| {
        let root = path(root);
        people.run(&auditor, &[&["verify", &bundle, "--tsa-root", &root], more].concat()).await
    };
    let told = by("authority.pem", &["--max-age", "1h"]).await;
    let said = told.document.to_string();
    assert_eq!(told.code, 0, "{told:#?}");
    assert!(
        said.contains("by `CN=tsa,O=Example Trust`") && said.contains("when it was stated which entries"),
        "{said}"
    );
    let told = by("strange.pem", &[]).await;
    assert!(told.code == 1 && told.document.to_string().contains("leads to none of the roots"), "{told:#?}");
}

/// Other tests promote to the stage too, and some break what they have: the pack tells of all, and of each by itself.
#[tokio::test]
async fn a_pack_tells_what_every_repository_of_a_stage_ran_and_proves_it_offline() {
    let (one, other) = (People::new("packed").await, People::new("packed-too").await);
    let mut brought = Vec::new();
    for people in [&one, &other] {
        let commit = people.a_commit().await;
        let record = people.promote(&commit, STAGE, &[]).await.record();
        brought.push((people.repo.to_string(), record.promotion_id.to_string()));
        people.drift().await;
    }
    let aws = &one.here.aws;
    let stated = async || {
        let call = aws.root.lambda().invoke().function_name(&aws.outputs.watch_drift_function);
        call.payload(Blob::new("{}")).send().await.unwrap();
        let stated = aws.record(&RecordKey::StageRepositories(STAGE.parse().unwrap())).await.unwrap_or_default();
        let payload = Envelope::parse(&stated).ok().and_then(|it| it.payload().ok()).unwrap_or_default();
        let stated = String::from_utf8(payload).unwrap();
        brought.iter().all(|(repo, _)| stated.contains(&format!("\"{repo}\"")))
    };
    eventually("it is stated which repositories the stage has", PATIENCE, stated, |is_stated| *is_stated).await;

    let folder = tempfile::tempdir().unwrap();
    let pack = folder.path().join("pack.zip").display().to_string();
    let auditor = aws.auditor().await;
    let today = jiff::tz::TimeZone::UTC.to_datetime(gatekeeper_model::telemetry::wall_clock()).date().to_string();
    let asked = ["evidence", "--stage", STAGE, "--all", "--from", &today, "--to", &today, "--bundle", &pack];
    let taken = one.run(&auditor, &asked).await;
    let verified = one.run(&auditor, &["verify", &pack]).await;
    for told in [&taken, &verified] {
        let repositories = told.document["repositories"].as_array().unwrap();
        for (repo, promotion) in &brought {
            let of_it = repositories.iter().find(|it| it["repo"] == **repo).unwrap();
            let [ran] = of_it["ran"].as_array().unwrap().as_slice() else { panic!("{of_it:#}") };
            assert_eq!((&ran["promotion_id"], &ran["verdict"]), (&json!(promotion), &json!("holds")), "{ran:#}");
            assert_eq!(of_it["events"].as_array().unwrap().len(), 1, "{of_it:#}");
        }
        let checks = told.document["checks"].as_array().unwrap();
        let whole = checks.iter().find(|it| it["name"] == "no repository of the stage is left out").unwrap();
        assert_eq!(whole["holds"], "holds", "{whole:#}");
    }
    let checks = verified.document["checks"].as_array().unwrap();
    let derived =
        checks.iter().find(|it| it["name"].as_str().unwrap().starts_with("the report and its page are")).unwrap();
    assert_eq!(derived["holds"], "holds", "{derived:#}");
}
