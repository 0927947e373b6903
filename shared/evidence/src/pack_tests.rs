//! A pack proves itself: it says what a stage ran, and whatever is taken out of it or changed in it is told.

use gatekeeper_proof::{LocalSigner, ledger::Appended};
use gatekeeper_store::{Stores, memory::Memory};
use serde_json::Value;

use super::*;
use crate::{
    collect::collect,
    exhibits::Live,
    model::Question,
    sample::{World, question},
};

const SECOND: &str = "01JT0000000000000000000009";

fn period(world_now: Timestamp) -> Period {
    Period { stage: question().stage, from: "2026-05-01T00:00:00Z".parse().unwrap(), to: world_now }
}

/// Two promotions of a repository, what was stated of them, and the pack of it.
async fn packed() -> (Files, Period) {
    let world = World::promoted().await;
    world.promote_later(SECOND, SignedDuration::from_hours(1)).await;
    let now = world.exhibits(question()).await.observed.taken_at;
    world.state_newest(now).await;
    state_repositories(&world, now).await;
    let period = period(now);
    let files = taken(&world, &period, now).await;
    (files, period)
}

async fn state_repositories(world: &World, now: Timestamp) {
    let Question { stage, repo, .. } = question();
    let chain = Chain { stage: stage.clone(), repo: repo.clone() };
    let head = world.records.bytes_of(&RecordKey::LedgerHead(chain.clone()).to_string()).unwrap();
    let newest: Appended = ledger::head_of(&head, &chain, &world.keys().promotion).unwrap();
    let statement = stage_repositories::statement(&stage, &[(repo, newest)].into(), now);
    let signed = statement.sign(&LocalSigner::from_seed(2)).await.unwrap();
    world.records.upload(&RecordKey::StageRepositories(stage).to_string(), &signed.dsse, &[]);
}

async fn taken(world: &World, period: &Period, now: Timestamp) -> Files {
    let keys = world.keys();
    let mut files = read(&world.records, &period.stage, &keys).await.unwrap();
    let stores: Stores<'_, Memory> = Stores { artefacts: &world.artefacts, records: &world.records };
    for (repo, promotion, at) in wanted(&files, period).unwrap() {
        let question = Question { stage: period.stage.clone(), repo: repo.clone(), at: Some(at) };
        let exhibits = collect(&stores, None, question, Some(keys.clone()), now, async |_| Live::AsRecorded).await;
        files.insert(evidence_file(&repo, &promotion), bundled(&exhibits).unwrap());
    }
    complete(files, period, &keys, now).unwrap().0
}

fn verified(files: &Files) -> Report {
    verify(files, &OwnKeys::default(), None).unwrap()
}

/// What doesn't hold, but that the sums and the report differ, which follows.
fn told(files: &Files) -> Vec<String> {
    let report = verified(files);
    let checks = report.checks.iter().filter(|it| it.holds.is_trouble() && it.part != Part::Bundle);
    let checks = checks.map(|it| format!("{} {}: {}", it.holds.word(), it.name, it.detail));
    let ran = report.repositories.iter().flat_map(|it| &it.ran).filter(|it| it.verdict.is_trouble());
    checks.chain(ran.map(|it| format!("{} {}: {}", it.verdict.word(), it.promotion_id, it.answer))).collect()
}

/// The files with one changed, and the sums and the report as who changed it would write them.
fn forged(files: &Files, period: &Period, change: impl FnOnce(&mut Files)) -> Files {
    let mut files = files.clone();
    for made in [REPORT, PAGE, SUMS] {
        files.remove(made);
    }
    change(&mut files);
    let keys = LocalSigner::from_seed(1).key();
    let keys = PublicKeys::fixed(keys, LocalSigner::from_seed(2).key(), None);
    let report = derived(&files, period, Some(&keys), period.to);
    files.insert(REPORT.to_owned(), serde_json::to_vec_pretty(&report).unwrap());
    files.insert(PAGE.to_owned(), html::pack_page(&report).unwrap().into_bytes());
    let sums = bundle::sums(&files);
    files.insert(SUMS.to_owned(), sums.into_bytes());
    files
}

fn changed_chains(files: &mut Files, change: impl Fn(&mut Chains)) {
    let mut chains: Chains = serde_json::from_slice(&files[CHAINS]).unwrap();
    change(&mut chains);
    files.insert(CHAINS.to_owned(), serde_json::to_vec(&chains).unwrap());
}

#[tokio::test]
async fn a_pack_tells_what_a_stage_ran_and_proves_it_offline() {
    let (files, _) = packed().await;
    let report = verified(&files);
    assert_eq!(report.verdict, Holds::Holds, "{:#?}", report.checks);
    let [repository] = report.repositories.as_slice() else { panic!("{:?}", report.repositories) };
    let ran: Vec<_> = repository.ran.iter().map(|it| (it.until.is_some(), it.evidence.is_some(), it.verdict)).collect();
    assert_eq!(ran, [(true, true, Holds::Holds), (false, true, Holds::Holds)]);
    assert_eq!(repository.ran[0].until, Some(repository.ran[1].since));
    assert!(report.answer.ends_with("2 promotions of 1 repositories; everything holds"), "{}", report.answer);
    let page = String::from_utf8(files[PAGE].clone()).unwrap();
    assert!(page.contains(SECOND) && page.contains("<caption>What the stage ran</caption>"), "{page}");
    // What came before a period ran in it, and of what was over nothing is told.
    let later = Period { from: repository.ran[1].since, ..report.period.clone() };
    assert_eq!(wanted(&files, &later).unwrap().len(), 1);
}

#[tokio::test]
async fn whatever_is_left_out_or_changed_is_told_though_report_and_sums_are_made_anew() {
    let (files, period) = packed().await;
    assert_eq!(told(&forged(&files, &period, |_| {})), [""; 0]);
    let evidence: Vec<_> = files.keys().filter(|it| it.starts_with("evidence/")).cloned().collect();
    let (first, second) = (evidence[0].clone(), evidence[1].clone());
    for (because, change) in [
        (
            "there is no evidence of it in the pack",
            Box::new(|files: &mut Files| drop(files.remove(&second))) as Box<dyn FnOnce(&mut Files)>,
        ),
        (
            "its evidence is of something else",
            Box::new(|files: &mut Files| drop(files.insert(second.clone(), files[&first].clone()))),
        ),
        ("not a bundle of evidence", Box::new(|files: &mut Files| drop(files.insert(first.clone(), b"PK".to_vec())))),
        ("never stated", Box::new(|files: &mut Files| drop(files.remove(REPOSITORIES)))),
        (
            "the stage had bank-payments at",
            Box::new(|files: &mut Files| {
                changed_chains(files, |it| it.chains.retain(|it| it.chain.repo.as_str() != "bank-payments"));
            }),
        ),
        (
            "the stage had bank-payments at",
            Box::new(|files: &mut Files| {
                changed_chains(files, |it| it.chains.retain(|it| it.chain.stage != question().stage));
            }),
        ),
        (
            "FAILS the ledgers of `bank-payments` end with",
            Box::new(|files: &mut Files| changed_chains(files, |it| it.chains[0].entries.truncate(1))),
        ),
        (
            "is unbroken from its first entry",
            Box::new(|files: &mut Files| {
                changed_chains(files, |it| it.chains[0].entries[0] = it.chains[0].entries[0].replace("jane", "john"));
            }),
        ),
        ("never stated", Box::new(|files: &mut Files| changed_chains(files, |it| it.chains[0].stated = None))),
        (
            "is in the pack once",
            Box::new(|files: &mut Files| changed_chains(files, |it| it.chains.push(it.chains[0].clone()))),
        ),
    ] {
        let told = told(&forged(&files, &period, change));
        assert!(told.iter().any(|it| it.contains(because)), "{because}: {told:#?}");
    }
}

#[tokio::test]
async fn a_report_that_says_something_else_than_its_pack_is_told() {
    let (files, _) = packed().await;
    for (name, from, to) in
        [(REPORT, SECOND, "01JT000000000000000000000A"), (PAGE, "jane", "john"), (CHAINS, "jane", "john")]
    {
        let mut files = files.clone();
        let text = String::from_utf8(files[name].clone()).unwrap();
        files.insert(name.to_owned(), text.replace(from, to).into_bytes());
        let sums = bundle::sums(&files);
        files.insert(SUMS.to_owned(), sums.into_bytes());
        assert_eq!(verified(&files).verdict, Holds::Fails, "{name}");
    }
    let mut more = files.clone();
    more.insert("evidence/x.zip".to_owned(), Vec::new());
    let sums = bundle::sums(&more);
    more.insert(SUMS.to_owned(), sums.into_bytes());
    assert_eq!(verified(&more).verdict, Holds::Fails);
    let strange = OwnKeys { promotion: Some(LocalSigner::from_seed(9).key()), ..OwnKeys::default() };
    assert_eq!(verify(&files, &strange, None).unwrap().verdict, Holds::Fails);
    let mut none: Value = serde_json::from_slice(&files[REPORT]).unwrap();
    none["stage"] = Value::Null;
    let mut broken = files.clone();
    broken.insert(REPORT.to_owned(), none.to_string().into_bytes());
    assert!(verify(&broken, &OwnKeys::default(), None).is_err());
}

#[tokio::test]
async fn of_what_came_after_the_last_statement_nothing_is_known() {
    let world = World::promoted().await;
    let now = world.exhibits(question()).await.observed.taken_at;
    let before = now - SignedDuration::from_hours(4);
    world.state_newest(now).await;
    state_repositories(&world, before).await;
    let files = taken(&world, &period(now), now).await;
    let report = verified(&files);
    assert_eq!(report.verdict, Holds::Unknown);
    assert!(told(&files)[0].contains("of what came after that"), "{:?}", told(&files));
    let max_age = |hours| Some(MaxAge { at_most: SignedDuration::from_hours(hours), now });
    assert_eq!(verify(&files, &OwnKeys::default(), max_age(3)).unwrap().verdict, Holds::Fails);
    assert_eq!(verify(&files, &OwnKeys::default(), max_age(5)).unwrap().verdict, Holds::Unknown);
}
