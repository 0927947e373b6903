//! The real example (examples/bank-payments), built as its pipeline builds it, in the stage that every instance has.

use std::time::Instant;

use e2e::{
    databases::Database,
    promotion::{Promotions, build_example, promotion_of, started},
    tell,
};
use gatekeeper_model::{ids::Sha256, store_key::ArtefactPath};
use gatekeeper_promotion::record::Status;

#[tokio::test]
async fn it_goes_live_with_every_bundle_that_was_tested() {
    let here = Promotions::get().await;
    let began = Instant::now();
    let commit = build_example(&here.aws, &"bank-payments".parse().unwrap());
    let build = began.elapsed();
    let commit = here.built(commit).await;
    let began = Instant::now();
    let event = promotion_of(&commit, "uat");
    let answer = here.ask(&event).await.unwrap();
    let answered = began.elapsed();
    let record = here.ended(&started(&event, &answer)).await;
    assert_eq!(record.status, Status::Succeeded, "{record:#?}");
    tell(&format!(
        "the example: built {build:.1?}, `promote` answered {answered:.1?}, promoted {:.1?}",
        began.elapsed()
    ));

    // Every bundle that was tested is live, and nothing else.
    let zips = commit.objects.iter().filter(|(path, _)| matches!(path, ArtefactPath::Function(..)));
    let mut zips: Vec<_> = zips.map(|(_, bytes)| Sha256::of(bytes)).collect();
    let mut running = Vec::new();
    for function in &record.live {
        let live = here.live(function.function_name.as_ref().unwrap()).await;
        let version = function.version.as_ref().unwrap().parse().unwrap();
        assert_eq!(live.versions.last_key_value(), Some((&version, &live.code)));
        running.push(live.code);
    }
    zips.sort();
    running.sort();
    assert_eq!(running, zips);

    // UAT's database has run the commit's migrations, and its schema is the one that was tested.
    let payments = Database::of_stage(&here.aws, "payments");
    let ran = payments.sql("SELECT script FROM flyway_schema_history WHERE success ORDER BY installed_rank");
    let migrations = commit.manifest["modules"].as_array().unwrap().iter().filter_map(|it| it["migrations"].as_array());
    let files: Vec<_> = migrations.flatten().map(|it| it["file"].as_str().unwrap()).collect();
    assert_eq!((files.len(), ran.lines().collect::<Vec<_>>()), (5, files));
    assert!(record.schema_comparisons().unwrap()[&"payments".parse().unwrap()].equal, "{record:#?}");
    assert_eq!(
        payments.sql("SELECT string_agg(code, ' ' ORDER BY code) FROM ledger.currency"),
        "AUD CHF EUR GBP JPY NZD USD"
    );

    let smoke = record.steps.last().unwrap();
    let asked: Vec<_> = smoke.reports.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(
        (smoke.step.as_str(), asked),
        ("smoke-test", vec!["GET payments-api.ApiUrl/health", "invoke reconcile-ledger"])
    );
}
