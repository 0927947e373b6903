//! Waivers and withdrawn approvals on the local AWS, asked for as people do.

use super::*;

/// Proposes to waive a rule of a stage for a repository, or one commit of it.
async fn propose(people: &People, who: &Caller, stage: &str, rule: &str, more: &[&str]) -> Told {
    let until = (gatekeeper_model::telemetry::wall_clock() + jiff::SignedDuration::from_hours(8)).to_string();
    let asked = ["waive", "--stage", stage, "--repo", people.repo.as_str(), "--rule", rule, "--until", &until];
    people.run(who, &[&asked, &["--reason", "the regulator's fix must go out"] as &[_], more].concat()).await
}

fn id(told: &Told) -> String {
    assert_eq!((told.code, &told.document["status"]), (0, &json!("proposed")), "{told:#?}");
    told.document["waiver"]["waiver_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_people_waive_a_freeze_and_a_soak_until_a_time_and_everybody_sees_it() {
    let people = People::new("waived").await;
    let commit = people.a_commit().await;
    people.promote(&commit, STAGE, &[]).await.record();
    let frozen = people.promote(&commit, FROZEN_STAGE, &[]).await;
    assert_eq!(frozen.codes(), [Code::SoakNotOver, Code::StageFrozen].into());

    // What an approver proposed counts for nothing until a promoter agrees who is somebody else.
    let (bob, jane) = (people.here.aws.approver(BOB).await, people.here.aws.approver(JANE).await);
    let freeze = id(&propose(&people, &bob, FROZEN_STAGE, "stage-frozen", &[]).await);
    let own = id(&propose(&people, &jane, FROZEN_STAGE, "stage-frozen", &[]).await);
    let soak = id(&propose(&people, &bob, FROZEN_STAGE, "soak-not-over", &["--sha", commit.id.sha.as_str()]).await);
    assert_eq!(people.promote(&commit, FROZEN_STAGE, &[]).await.codes(), frozen.codes());
    let agree = async |id: &str| {
        let asked = ["waive", "--stage", FROZEN_STAGE, "--agree", id, "--reason", "looked at the fix"];
        people.run(&people.here.promoter, &asked).await
    };
    let alone = agree(&own).await.reasons();
    assert_eq!(alone[0].code, Code::WaiverInvalid);
    assert!(alone[0].message.contains("somebody else must agree"), "{alone:?}");
    for id in [&freeze, &soak] {
        let told = agree(id).await;
        assert_eq!((told.code, &told.document["status"]), (0, &json!("waived")), "{told:#?}");
        assert_eq!(told.document["waiver"]["agreed_by"], JANE);
    }

    // It is listed, and the promotion goes on; another repository is refused as before.
    let auditor = people.here.aws.auditor().await;
    let listed = people.run(&auditor, &["waivers", "--stage", FROZEN_STAGE]).await;
    let states: std::collections::BTreeMap<_, _> = listed.document["waivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["waiver_id"].as_str().unwrap(), it["state"].as_str().unwrap()))
        .collect();
    assert_eq!([&freeze, &soak, &own].map(|id| states[id.as_str()]), ["in-force", "in-force", "waiting"]);
    let record = people.promote(&commit, FROZEN_STAGE, &[]).await.record();
    assert_eq!((record.status, &record.break_glass), (Status::Succeeded, &None));
    let used: BTreeSet<_> = record.waived.iter().map(|it| it.finding.code).collect();
    assert_eq!(used, frozen.codes());
    let entry = people.ledger(FROZEN_STAGE).await.pop().unwrap();
    assert!(
        entry.event.findings.iter().all(|it| it.message.contains(&format!("by `{BOB}` and `{JANE}`"))),
        "{entry:?}"
    );
    let page = people.run(&auditor, &["evidence", "--stage", FROZEN_STAGE, "--repo", people.repo.as_str()]).await;
    assert_eq!(page.code, 0, "{page:#?}");
    let told = page.document["evidence"][0]["checks"].to_string();
    assert!(told.contains("`approve` signed the waivers that were used"), "{told}");
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("evidence.zip");
    let bundle = bundle.to_str().unwrap();
    let asked = ["evidence", "--stage", FROZEN_STAGE, "--repo", people.repo.as_str(), "--bundle", bundle];
    assert_eq!(people.run(&auditor, &asked).await.code, 0);
    assert_eq!(people.run(&auditor, &["verify", bundle]).await.code, 0);

    // Ended, it counts no more, nor does it come back; a proposal that somebody else wrote over is nobody's word.
    let end = ["waive", "--stage", FROZEN_STAGE, "--end", &freeze, "--reason", "it is out"];
    let ended = people.run(&people.here.promoter, &end).await;
    assert_eq!((ended.code, &ended.document["status"]), (0, &json!("ended")), "{ended:#?}");
    assert_eq!(agree(&freeze).await.codes(), [Code::WaiverInvalid].into());
    let next = people.a_commit().await;
    people.promote(&next, STAGE, &[]).await.record();
    assert_eq!(people.promote(&next, FROZEN_STAGE, &[]).await.codes(), frozen.codes());
    let place = RecordKey::ProposedWaiver(FROZEN_STAGE.parse().unwrap(), own.parse().unwrap());
    let mut planted = people.stored(&place).await;
    planted["proposed_by"]["person"] = json!(BOB);
    people.write_over(&place, &planted).await;
    let told = agree(&own).await.reasons();
    assert!(told[0].message.contains("not proved"), "{told:?}");
}

#[tokio::test]
async fn an_approval_that_was_withdrawn_lets_nothing_pass_and_waits_for_somebody_again() {
    let people = People::new("withdrawn").await;
    let commit = people.a_commit().await;
    people.promote(&commit, STAGE, &[]).await.record();
    people.approve(BOB, &commit, APPROVED_STAGE, &[]).await;
    for already in [false, true] {
        let told = people.approve(BOB, &commit, APPROVED_STAGE, &["--withdraw"]).await;
        let expected = json!({"status": "withdrawn", "approved_by": BOB, "already": already});
        assert_eq!((told.code, &told.document), (0, &expected), "{told:#?}");
    }
    let refused = people.promote(&commit, APPROVED_STAGE, &[]).await.reasons();
    assert_eq!(refused.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::ApprovalsMissing]);
    assert!(refused[0].message.contains(&format!("`{BOB}` doesn't count: it was withdrawn at ")), "{refused:?}");
    let other = people.approve(ALICE, &commit, APPROVED_STAGE, &["--withdraw"]).await;
    assert_eq!(other.codes(), [Code::ApprovalNotGiven].into());

    // It waits, and whoever could approve it is told so; not who asked.
    let listed = async |person: &str| {
        let who = people.here.aws.approver(person).await;
        let told = people.run(&who, &["approvals", "--stage", APPROVED_STAGE, "--mine"]).await;
        let rows = told.document.as_array().unwrap().clone();
        rows.into_iter().find(|it| it["commit_sha"] == commit.id.sha.as_str())
    };
    let row = listed(BOB).await.unwrap();
    assert_eq!(
        (&row["needed"], &row["approved_by"], &row["not_counted"][0]["person"]),
        (&json!(1), &json!([]), &json!(BOB))
    );
    assert_eq!([listed(ALICE).await, listed(JANE).await], [None, None]);

    // Given anew, it counts.
    people.approve(BOB, &commit, APPROVED_STAGE, &[]).await;
    let record = people.promote(&commit, APPROVED_STAGE, &[]).await.record();
    assert_eq!(record.approvals.iter().map(|it| it.person.as_str()).collect::<Vec<_>>(), [BOB]);
}
