//! Bundles: made the same each time, verified offline, and no byte of theirs can change unseen.

use std::{path::Path, process::Command};

use gatekeeper_model::store_key::RecordKey;
use gatekeeper_promotion::record::{LiveFunction, PromotionRecord};
use gatekeeper_proof::LocalSigner;
use gatekeeper_store::record;
use proptest::prelude::*;
use serde_json::json;

use super::{
    bundle::{self, Files, MAX_ALL_ATTACHED_BYTES, MAX_ATTACHED_BYTES, SUMS},
    bundle_verify::{MaxAge, OwnKeys, verify, whole as whole_by_sums},
    collect::attach,
    exhibits::{Exhibits, Live},
    judge,
    model::{Evidence, Holds},
    sample::{World, question},
};

async fn files() -> Files {
    let world = World::promoted().await;
    let mut exhibits = world.exhibits(question()).await;
    attach(&world.artefacts, &mut exhibits, MAX_ATTACHED_BYTES, MAX_ALL_ATTACHED_BYTES).await;
    bundle::files(&exhibits, &judge(&exhibits)).unwrap()
}

fn troubles(evidence: &Evidence) -> Vec<String> {
    evidence.troubles().map(|it| format!("{} {}: {}", it.holds, it.name, it.detail)).collect()
}

/// The files with one bit of one of them flipped; the sums as who changed it would write them, where `sums` says so.
fn flipped(files: &Files, name: &str, at: usize, bit: u8, sums: bool) -> Files {
    let mut files = files.clone();
    files.get_mut(name).unwrap()[at] ^= 1 << bit;
    if sums {
        let sums = bundle::sums(&files);
        files.insert(SUMS.to_owned(), sums.into_bytes());
    }
    files
}

fn is_found(files: &Files) -> bool {
    verify(files, &OwnKeys::default(), None).map_or(true, |evidence| evidence.verdict == Holds::Fails)
}

#[tokio::test]
async fn a_bundle_is_the_same_bytes_each_time_and_holds_offline() {
    let (one, other) = (files().await, files().await);
    let archive = bundle::pack(&one).unwrap();
    assert_eq!(archive, bundle::pack(&other).unwrap());
    let read = bundle::unpack(&archive).unwrap();
    assert_eq!(read, one);
    let evidence = verify(&read, &OwnKeys::default(), None).unwrap();
    assert_eq!(troubles(&evidence), Vec::<String>::new());
    insta::assert_snapshot!(one.keys().cloned().collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn keys_that_are_not_the_own_ones_are_told() {
    let files = files().await;
    let own = |gate, promotion| OwnKeys {
        gate: Some(LocalSigner::from_seed(gate).key()),
        promotion: Some(LocalSigner::from_seed(promotion).key()),
        approval: None,
        root: None,
    };
    assert_eq!(verify(&files, &own(1, 2), None).unwrap().verdict, Holds::Holds);
    let strange = verify(&files, &own(3, 2), None).unwrap();
    let told = troubles(&strange).join("\n");
    assert!(told.contains("`keys/gate.pem` is the public key to verify with"), "{told}");
    assert!(told.contains("the gate's key signed that the commit is Built"), "{told}");
}

/// A bundle of a promotion that somebody approved: with the key that says so, and the approval bound by its signature.
#[tokio::test]
async fn who_approved_is_verified_offline_by_us_and_by_stock_tools() {
    let world = World::approved().await;
    let exhibits = world.exhibits(question()).await;
    let files = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
    let own = OwnKeys { approval: Some(LocalSigner::from_seed(3).key()), ..OwnKeys::default() };
    let verified = verify(&files, &own, None).unwrap();
    assert_eq!(troubles(&verified), Vec::<String>::new());
    assert!(verified.checks.iter().any(|it| it.name.starts_with("`approve` signed")), "{:?}", verified.checks);
    let planned = |exhibits: &Exhibits| {
        let checks = judge(exhibits).checks;
        checks.into_iter().find(|it| it.name.starts_with("what was applied is the plan")).unwrap()
    };
    assert_eq!(planned(&exhibits).holds, Holds::Holds, "{:?}", planned(&exhibits));
    let mut other = exhibits.clone();
    let bytes = &mut other.documents.get_mut(crate::paper::PROMOTION).unwrap().bytes;
    let mut record: PromotionRecord = serde_json::from_slice(bytes).unwrap();
    record.accept_schema_difference = true;
    *bytes = record::to_bytes(&record).unwrap();
    assert_eq!(planned(&other).holds, Holds::Fails, "another plan than the one that `ann` approved");
    let folder = tempfile::tempdir().unwrap();
    write(&files, folder.path());
    let (code, said) = run(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("holds  approvals/001.json: the signature holds under keys/approval.pem"), "{said}");

    let strange = OwnKeys { approval: Some(LocalSigner::from_seed(2).key()), ..OwnKeys::default() };
    assert_eq!(verify(&files, &strange, None).unwrap().verdict, Holds::Fails);
    let mut without = files.clone();
    without.remove(bundle::APPROVAL_KEY);
    let sums = bundle::sums(&without);
    without.insert(SUMS.to_owned(), sums.into_bytes());
    assert_eq!(verify(&without, &OwnKeys::default(), None).unwrap().verdict, Holds::Fails);
    let folder = tempfile::tempdir().unwrap();
    write(&without, folder.path());
    assert_eq!(run(folder.path(), &[]).0, Some(1));
}

/// Keys may sign only what is theirs: a bundle whose promotion key signed the test evidence too is refused.
#[tokio::test]
async fn swapped_keys_prove_nothing() {
    let mut files = files().await;
    let gate = files[bundle::GATE_KEY].clone();
    let promotion = files.insert(bundle::PROMOTION_KEY.to_owned(), gate).unwrap();
    files.insert(bundle::GATE_KEY.to_owned(), promotion);
    let sums = bundle::sums(&files);
    files.insert(SUMS.to_owned(), sums.into_bytes());
    assert!(is_found(&files));
}

#[tokio::test]
async fn a_file_too_few_or_too_many_is_found() {
    let whole = files().await;
    let resummed = |mut files: Files| {
        let sums = bundle::sums(&files);
        files.insert(SUMS.to_owned(), sums.into_bytes());
        files
    };
    for name in whole.keys() {
        let mut fewer = whole.clone();
        fewer.remove(name);
        assert!(is_found(&fewer), "without `{name}`");
        if name != SUMS {
            assert!(is_found(&resummed(fewer)), "without `{name}` and its sum");
        }
    }
    for name in ["records/other.json", "evil.sh", "../escape", "ledger/0000000002.json"] {
        let mut more = whole.clone();
        more.insert(name.to_owned(), b"{}".to_vec());
        assert!(is_found(&resummed(more)), "with `{name}`");
    }
}

#[test]
fn what_is_no_archive_of_a_bundle_is_refused() {
    for hostile in [b"".as_slice(), b"PK\x03\x04", &[0; 1000]] {
        assert!(bundle::unpack(hostile).is_err());
    }
    let climbing = Files::from([("../../etc/passwd".to_owned(), b"x".to_vec())]);
    insta::assert_snapshot!(bundle::unpack(&bundle::pack(&climbing).unwrap()).unwrap_err());
    let empty = verify(&Files::new(), &OwnKeys::default(), None).unwrap_err();
    insta::assert_snapshot!(empty, @"not a bundle of evidence: there is no `observed.json`");
}

/// What signatures, digests and links hold together: who changes it can't hide it by new sums.
fn is_bound(name: &str) -> bool {
    let bound = ["records/promotion.json", "records/verdict.json", bundle::EVIDENCE, bundle::PAGE, bundle::SCRIPT];
    bound.contains(&name)
        || ["attestations/", "ledger/", "manifest/", "reports/", "schema/", "keys/"]
            .iter()
            .any(|it| name.starts_with(it))
}

#[tokio::test]
async fn every_byte_of_every_file_is_held_by_the_sums() {
    let whole = files().await;
    let stated = whole[SUMS].clone();
    for (name, bytes) in whole.iter().filter(|(name, _)| *name != SUMS) {
        // The digests of a file's every flip, against the one line that tells of it.
        let line = |bytes: &[u8]| format!("{}  {name}\n", gatekeeper_model::ids::Sha256::of(bytes));
        let stated = String::from_utf8(stated.clone()).unwrap();
        assert!(stated.contains(&line(bytes)));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(!stated.contains(&line(&flipped)), "`{name}` at {at}");
        }
    }
    for at in 0..stated.len() {
        assert_eq!(whole_by_sums(&flipped(&whole, SUMS, at, 0, false)).holds, Holds::Fails, "`{SUMS}` at {at}");
    }
}

/// Every byte of what is bound, with new sums: the small files whole, of larger ones every so many bytes.
#[tokio::test]
async fn no_byte_that_is_bound_can_change_even_with_new_sums() {
    let whole = files().await;
    for (name, bytes) in whole.iter().filter(|(name, _)| is_bound(name)) {
        let step = bytes.len().div_ceil(24);
        for at in (0..bytes.len()).step_by(step) {
            let bit = u8::try_from(at % 7).unwrap();
            assert!(is_found(&flipped(&whole, name, at, bit, true)), "`{name}` at {at}, bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_flip_anywhere_goes_unseen(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        static FILES: std::sync::OnceLock<Files> = std::sync::OnceLock::new();
        let files = FILES.get_or_init(|| tokio::runtime::Runtime::new().unwrap().block_on(files()));
        let name = file.get(&files.keys().collect::<Vec<_>>()).as_str();
        let flipped = flipped(files, name, at.index(files[name].len()), bit, false);
        prop_assert!(is_found(&flipped), "`{name}`");
        if is_bound(name) {
            let flipped = self::flipped(files, name, at.index(files[name].len()), bit, true);
            prop_assert!(is_found(&flipped), "`{name}` with new sums");
        }
    }
}

/// Unpacks the files into a folder.
fn write(files: &Files, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Runs the bundle's script: how it ended, and what it said.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("sh").arg(folder.join("verify.sh")).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn the_script_verifies_with_stock_tools() {
    let files = files().await;
    let folder = tempfile::tempdir().unwrap();
    write(&files, folder.path());
    let (code, said) = run(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    insta::assert_snapshot!(said);
    let fingerprint = |seed| LocalSigner::from_seed(seed).key().fingerprint().to_string();
    let pinned = |gate, promotion| {
        run(
            folder.path(),
            &["--gate-key-fingerprint", &fingerprint(gate), "--promotion-key-fingerprint", &fingerprint(promotion)],
        )
    };
    assert_eq!(pinned(1, 2).0, Some(0));
    assert_eq!(pinned(2, 1).0, Some(1));
    assert_eq!(run(folder.path(), &["--gate"]).0, Some(2));
}

/// A flip in each kind of file, with new sums where it is bound otherwise: the script finds it.
#[tokio::test]
async fn the_script_finds_what_was_changed() {
    let whole = files().await;
    for (name, sums) in [
        ("attestations/built.dsse.json", true),
        ("keys/promotion.pem", true),
        ("ledger/0000000001.json", true),
        ("ledger/head.json", true),
        ("manifest/build-manifest.json", true),
        ("records/promotion.json", true),
        ("records/verdict.json", true),
        ("records/stage.json", false),
        (SUMS, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(&flipped(&whole, name, whole[name].len() / 2, 0, sums), folder.path());
        let (code, said) = run(folder.path(), &[]);
        assert_eq!(code, Some(1), "`{name}`\n{said}");
    }
}

/// A function that could not be looked at neither holds nor fails: the script says so, and ends with 3.
#[tokio::test]
async fn the_script_tells_what_could_not_be_looked_at() {
    let world = World::promoted().await;
    let exhibits = world.exhibits_with(question(), |live| {
        Live::Seen(live.iter().map(|it| LiveFunction::unread(&it.function, None, "AccessDenied: no")).collect())
    });
    let exhibits = exhibits.await;
    let files = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(&files, folder.path());
    let (code, said) = run(folder.path(), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("unknown  observed.json: every function was looked at") && !said.contains("FAILS"), "{said}");
    assert_eq!(verify(&files, &OwnKeys::default(), None).unwrap().verdict, Holds::Unknown);
}

#[tokio::test]
async fn forms_are_derived_again_offline_by_us_and_by_stock_tools() {
    let world = World::synthesised().await;
    let mut exhibits = world.exhibits(question()).await;
    attach(&world.artefacts, &mut exhibits, MAX_ATTACHED_BYTES, MAX_ALL_ATTACHED_BYTES).await;
    let whole = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
    assert_eq!(troubles(&verify(&whole, &OwnKeys::default(), None).unwrap()), Vec::<String>::new());
    let folder = tempfile::tempdir().unwrap();
    write(&whole, folder.path());
    let (code, said) = run(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let about_forms: Vec<_> =
        said.lines().filter(|line| line.contains("forms/") || line.contains("templates/")).collect();
    insta::assert_snapshot!(about_forms.join("\n"));

    let (form, mapping) = ("forms/payments-api.json", "forms/payments-api.mapping.json");
    let is_nested = |name: &&str| name.starts_with("forms/payments-api/") || name.starts_with("templates/nested/");
    let nested: Vec<_> = whole.keys().map(String::as_str).filter(is_nested).collect();
    assert_eq!(nested.len(), 3, "{nested:?}");
    for name in [form, mapping, "templates/MOD-012-payments-api.json"].into_iter().chain(nested) {
        for at in [1, whole[name].len() / 2, whole[name].len() - 2] {
            let changed = flipped(&whole, name, at, 0, true);
            assert!(is_found(&changed), "{name} at {at}");
            let folder = tempfile::tempdir().unwrap();
            write(&changed, folder.path());
            assert_eq!(run(folder.path(), &[]).0, Some(1), "{name} at {at}");
        }
    }
}

#[tokio::test]
async fn the_script_holds_the_policy_and_the_stages_rules_against_what_is_signed() {
    let world = World::judged_by(&json!({"schema_version": 1}), |_| {}, |_| {}).await;
    let exhibits = world.exhibits(question()).await;
    let whole = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
    for (name, expected) in [("", 0), ("config/policy.json", 1), ("config/stages.json", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = whole.clone();
        if let Some(bytes) = files.get_mut(name) {
            bytes.push(b' ');
            let sums = bundle::sums(&files);
            files.insert(SUMS.to_owned(), sums.into_bytes());
        }
        write(&files, folder.path());
        let (code, said) = run(folder.path(), &[]);
        assert_eq!(code, Some(expected), "`{name}`\n{said}");
        assert!(said.contains("config/policy.json is the policy that the verdict and its attestation name"), "{said}");
    }
}

/// A bundle of before the policy and the stages' rules were in it: nothing of it is found to be wrong.
#[tokio::test]
async fn a_bundle_of_the_first_edition_stays_readable() {
    let mut files = files().await;
    files.retain(|name, _| !name.starts_with("config/"));
    let mut observed: serde_json::Value = serde_json::from_slice(&files[bundle::OBSERVED]).unwrap();
    let fields = observed.as_object_mut().unwrap();
    fields.remove("edition");
    fields.remove("retention");
    fields["versions"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("config/"));
    files.insert(bundle::OBSERVED.to_owned(), observed.to_string().into_bytes());
    let sums = bundle::sums(&files);
    files.insert(SUMS.to_owned(), sums.into_bytes());
    let evidence = verify(&files, &OwnKeys::default(), None).unwrap();
    assert_eq!(evidence.verdict, Holds::Unknown);
    insta::assert_snapshot!(troubles(&evidence).join("\n"));
    let folder = tempfile::tempdir().unwrap();
    write(&files, folder.path());
    assert_eq!(run(folder.path(), &[]).0, Some(0));
}

#[tokio::test]
async fn what_the_witness_has_seen_goes_with_the_bundle_and_a_ledger_that_was_rolled_back_fails() {
    let mut world = World::promoted().await;
    let head = gatekeeper_model::store_key::RecordKey::LedgerHead(gatekeeper_model::ids::Chain {
        stage: question().stage,
        repo: question().repo,
    });
    let old = world.records.bytes_of(&head.to_string()).unwrap();
    world.hand_over().await;
    let of = async |world: &World| {
        let exhibits = world.exhibits(question()).await;
        let files = bundle::files(&exhibits, &judge(&exhibits)).unwrap();
        verify(&files, &OwnKeys::default(), None).unwrap()
    };
    let told = |evidence: &Evidence| {
        let seen = evidence.checks.iter().filter(|it| it.name.contains("the witness outside has seen"));
        seen.map(|it| format!("{} {}", it.holds, it.detail)).collect::<Vec<_>>()
    };
    let evidence = of(&world).await;
    assert_eq!((evidence.verdict, troubles(&evidence)), (Holds::Holds, vec![]));
    assert_eq!(told(&evidence).len(), 2, "{:?}", told(&evidence));

    world.refuse().await;
    world.hand_over().await;
    assert_eq!(of(&world).await.verdict, Holds::Holds);
    let script = verified_by_script(&bundled(&world).await);
    assert!(script.contains("what the witness outside has seen is ledger/0000000003.json"), "{script}");

    // The entry of the refusal is taken away with its head.
    world.records.upload(&head.to_string(), &old, &[]);
    let evidence = of(&world).await;
    assert_eq!(evidence.verdict, Holds::Fails);
    assert!(
        told(&evidence)[0].starts_with("FAILS it ends at entry 2, and the witness has seen entry 3"),
        "{:?}",
        told(&evidence)
    );
    assert!(verified_by_script(&bundled(&world).await).contains("FAILS  witness/stage.json: what the witness"));

    world.witness.as_ref().unwrap().deny("heads/");
    let evidence = of(&world).await;
    assert_eq!(evidence.verdict, Holds::Unknown, "{:?}", troubles(&evidence));
}

/// What is said of how young the evidence is, and by whom.
fn of_freshness(evidence: &Evidence) -> Vec<String> {
    let checks = evidence.checks.iter().filter(|it| it.name.contains("stated to be their newest"));
    checks.map(|it| format!("{} {}", it.holds.word(), it.detail)).collect()
}

#[tokio::test]
async fn a_bundle_tells_when_its_ledgers_were_stated_to_be_the_newest() {
    let world = World::promoted().await;
    let taken = world.exhibits(question()).await.observed.taken_at;
    let minutes = jiff::SignedDuration::from_mins;
    world.revoke("tests were skipped").await;
    let at = taken - minutes(40);
    world.state_newest(at).await;
    let evidence = world.evidence().await;
    insta::assert_debug_snapshot!(of_freshness(&evidence), @r#"
    [
        "holds stated at 2026-05-03T02:50:00Z, signed with the promotion key; it counts until 2026-05-03T05:50:00Z",
    ]
    "#);
    let files = bundled(&world).await;
    assert!(!verified_by_script(&files).contains("FAILS  records/freshness"));
    assert!(verified_by_script(&files).contains("holds  ledger/gate ends with entry 1, which was stated"));
    let verified = verify(&files, &OwnKeys::default(), None).unwrap();
    assert_eq!(of_freshness(&verified), of_freshness(&evidence));
    let age = verified.checks.iter().find(|it| it.name.starts_with("how old the bundle is")).unwrap();
    assert_eq!(
        age.detail,
        format!("it was made after {at:.0}, when it was stated which entries of the ledgers are the newest")
    );

    // It counts for three hours: who keeps later statements back keeps an old bundle, which looks old.
    world.state_newest(taken - minutes(200)).await;
    let stale = world.evidence().await;
    assert_eq!(stale.checks.iter().filter(|it| it.holds == Holds::Unknown).count(), 1, "{:?}", troubles(&stale));
    insta::assert_debug_snapshot!(of_freshness(&stale), @r#"
    [
        "unknown it was last stated at 2026-05-03T00:10:00Z and counted until 2026-05-03T03:10:00Z: drift watching does not run, or what it stated later was kept back",
    ]
    "#);
    assert!(verified_by_script(&bundled(&world).await).contains("unknown  it was stated lately which entries"));
}

#[tokio::test]
async fn a_ledger_that_was_put_back_behind_what_was_stated_is_told() {
    let world = World::promoted().await;
    let chain = world.exhibits(question()).await.chain();
    let taken = world.exhibits(question()).await.observed.taken_at;
    let head = RecordKey::LedgerHead(chain.clone()).to_string();
    let old = world.records.bytes_of(&head).unwrap();
    let newest = gatekeeper_proof::ledger::head_of(&old, &chain, &world.keys().promotion).unwrap().sequence;
    world.promote("01JT0000000000000000000009", false).await;
    world.state_newest(taken).await;
    world.records.upload(&head, &old, &[]);
    for later in newest + 1..newest + 4 {
        world.records.delete(&RecordKey::LedgerEntry(chain.clone(), later).to_string());
    }
    let told = of_freshness(&world.evidence().await);
    assert!(
        told[0].starts_with(&format!("FAILS `uat/bank-payments` was rolled back: it ends with entry {newest}")),
        "{told:?}"
    );
    assert!(verified_by_script(&bundled(&world).await).contains("FAILS  ledger ends with entry"));

    // And one that nobody signed who may.
    let key = RecordKey::Freshness(chain.stage, chain.repo).to_string();
    let stated = String::from_utf8(world.records.bytes_of(&key).unwrap()).unwrap();
    world.records.upload(&key, stated.replace("\"sig\":\"ME", "\"sig\":\"MF").as_bytes(), &[]);
    let told = of_freshness(&world.evidence().await);
    assert!(told[0].starts_with("FAILS what was stated: "), "{told:?}");
    assert!(verified_by_script(&bundled(&world).await).contains("FAILS  records/freshness.json"));
}

async fn bundled(world: &World) -> Files {
    let exhibits = world.exhibits(question()).await;
    bundle::files(&exhibits, &judge(&exhibits)).unwrap()
}

/// What `verify.sh` says of a bundle.
fn verified_by_script(files: &Files) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let output = Command::new("sh").arg(folder.path().join(bundle::SCRIPT)).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_bundle_in_which_nothing_newer_is_signed_is_too_old() {
    let files = files().await;
    let signed: jiff::Timestamp = {
        let evidence = verify(&files, &OwnKeys::default(), None).unwrap();
        let age = evidence.checks.iter().find(|it| it.name.starts_with("how old the bundle is")).unwrap();
        age.detail.split(' ').nth(4).unwrap().trim_end_matches(',').parse().unwrap()
    };
    let at_most = jiff::SignedDuration::from_hours(30 * 24);
    let verified = |after: jiff::SignedDuration| {
        let max_age = MaxAge { at_most, now: signed + after };
        verify(&files, &OwnKeys::default(), Some(max_age)).unwrap()
    };
    assert_eq!(verified(at_most).verdict, Holds::Holds);
    let old = verified(at_most + jiff::SignedDuration::from_mins(1));
    assert_eq!(old.verdict, Holds::Fails);
    assert!(troubles(&old)[0].contains("more than 720 h ago: take the evidence anew"), "{:?}", troubles(&old));
}

#[tokio::test]
async fn a_waiver_that_was_used_is_told_proved_offline_and_can_not_be_changed_unseen() {
    let files = bundled(&World::waived().await).await;
    let evidence = verify(&files, &OwnKeys::default(), None).unwrap();
    assert_eq!(troubles(&evidence), Vec::<String>::new());
    let waived: Vec<_> = evidence.waived().map(|it| format!("{}: {}", it.name, it.detail)).collect();
    insta::assert_snapshot!(waived.join("\n"), @"the promotion kept the stage's rule of `stage-frozen`: frozen until Mon 2026-06-01 00:00 +00:00 (UTC): audit; waived until 2026-05-03T03:30:00Z by `ann` and `bob` (`01JT000000000000000000000W`): the regulator's fix must go out");
    let proved = evidence.checks.iter().find(|it| it.name.starts_with("`approve` signed the waivers")).unwrap();
    assert_eq!(proved.holds, Holds::Holds);
    let told = verified_by_script(&files);
    let line = |told: &str| told.lines().find(|it| it.contains("it is the waiver that")).unwrap_or_default().to_owned();
    assert!(line(&told).starts_with("holds"), "{told}");

    // Longer than was proposed, by one person alone, or by a proposal that nobody signed.
    let name = "approvals/waivers/001.json";
    let mut document: serde_json::Value = serde_json::from_slice(&files[name]).unwrap();
    document["until"] = json!("2027-01-01T00:00:00Z");
    let mut changed = files.clone();
    changed.insert(name.to_owned(), document.to_string().into_bytes());
    changed.insert(SUMS.to_owned(), bundle::sums(&changed).into_bytes());
    let found = verify(&changed, &OwnKeys::default(), None).unwrap();
    assert_eq!(found.verdict, Holds::Fails, "{:?}", troubles(&found));
    assert!(!line(&verified_by_script(&changed)).starts_with("holds"));
    let mut without = files.clone();
    without.remove(name);
    without.insert(SUMS.to_owned(), bundle::sums(&without).into_bytes());
    assert_eq!(verify(&without, &OwnKeys::default(), None).unwrap().verdict, Holds::Fails);
}

#[tokio::test]
async fn a_record_of_a_waiver_that_was_over_of_another_commit_or_of_one_person_fails() {
    let exhibits = World::waived().await.exhibits(question()).await;
    let original: PromotionRecord = exhibits.read("records/promotion.json").unwrap().value;
    let found = |change: fn(&mut PromotionRecord)| {
        let (mut forged, mut record) = (exhibits.clone(), original.clone());
        change(&mut record);
        forged.documents.get_mut("records/promotion.json").unwrap().bytes = record::to_bytes(&record).unwrap();
        troubles(&judge(&forged)).join("\n")
    };
    assert_eq!(found(|_| {}), "");
    let told = found(|record| record.waived[0].waiver.until = record.started_at);
    assert!(told.contains("something else was proposed") && told.contains("it was from"), "{told}");
    let told = found(|record| record.waived[0].waiver.repo = "bank-core".parse().unwrap());
    assert!(told.contains("it is not about `stage-frozen`"), "{told}");
    let told = found(|record| record.waived[0].waiver.agreed_by = record.waived[0].waiver.proposed_by.clone());
    assert!(told.contains("`ann` waived a rule, but this is `ann` again"), "{told}");
    let told = found(|record| record.waived[0].finding.code = gatekeeper_model::finding::Code::LedgerBroken);
    assert!(told.contains("it is not about `ledger-broken`"), "{told}");
    let told = found(|record| record.waived.clear());
    assert!(told.contains("the stage was frozen until"), "{told}");
}
