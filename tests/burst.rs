//! What people wait for, told with nothing else going on; and 200 objects that come at once. How long something takes
//! is told and never judged here: the machine decides that. What is judged is what happened, and how often.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use e2e::{
    commit::{Commit, dump_of, path, the_zip},
    instance::Instance,
    tell,
    watch::{PATIENCE, Seen, eventually, manifest, tags},
    zips,
};
use futures_util::{StreamExt as _, stream};
use gatekeeper_model::{ids::Sha256, store_key::ArtefactPath, verdict::Outcome};
use tokio::sync::Mutex;

/// One at a time, so that the times which they tell are their own.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Looks at one tag until it has this value; gives how long that took.
async fn until(aws: &Instance, commit: &Commit, path: &ArtefactPath, value: Option<&str>) -> Duration {
    let began = Instant::now();
    let look = async || tags(&aws.root, commit.bucket(), &commit.key(path)).await.unwrap();
    eventually("the tag is right", PATIENCE, look, |tags| tags.get("integration-passed").map(String::as_str) == value)
        .await;
    began.elapsed()
}

#[tokio::test]
async fn a_tag_is_right_at_once_and_a_forged_one_is_set_back() {
    let _alone = ALONE.lock().await;
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, Commit::new(&aws, "quick"));
    commit.upload(&ci, &commit.key(&the_zip()), &commit.objects[&the_zip()], "").await;
    let first = until(&aws, &commit, &the_zip(), Some("false")).await;

    commit.publish(&ci).await;
    let began = Instant::now();
    aws.becomes(&commit, Outcome::Built, &[]).await;
    let built = began.elapsed();
    aws.quiet(&commit).await;

    let commit = Commit::new(&aws, "forge");
    commit.put_artefacts(&ci).await;
    commit.put_manifest(&ci, &commit.before_integration()).await;
    aws.becomes(&commit, Outcome::Registered, &[]).await;
    aws.quiet(&commit).await;
    let forged = [("integration-passed", "true")];
    commit.tag(&ci, &ArtefactPath::Manifest, &forged).await;
    let on_manifest = until(&aws, &commit, &ArtefactPath::Manifest, Some("false")).await;
    commit.tag(&aws.root, &the_zip(), &forged).await;
    let on_artefact = until(&aws, &commit, &the_zip(), Some("false")).await;

    tell(&format!(
        "first tag {first:.0?} after the upload, built {built:.0?} after the manifest; forged: back after \
         {on_manifest:.0?} on a manifest, {on_artefact:.0?} on an artefact"
    ));
}

/// 40 functions, a template, 60 migrations, a schema snapshot and 98 reports.
fn large_commit(aws: &Instance) -> Commit {
    let mut commit = Commit::new(aws, "burst");
    commit.objects.clear();
    for n in 0..40 {
        let name = format!("modules/MOD-012/functions/function-{n:02}.zip");
        commit.objects.insert(path(&name), zips::node(&format!("{} {n}", commit.id.repo)));
    }
    commit.synthesise();
    for n in 1..=60 {
        let name = format!("modules/MOD-012/schema/payments/migrations/V{n}__change.sql");
        commit.objects.insert(path(&name), format!("ALTER TABLE ledger ADD COLUMN c{n} text;\n").into_bytes());
    }
    commit
        .objects
        .insert(path("modules/MOD-012/schema/payments-schema.sql"), dump_of("CREATE TABLE public.ledger ();"));
    for n in 1..=98 {
        commit.objects.insert(path(&format!("reports/suite-{n}.xml")), format!("<testsuites n='{n}'/>").into_bytes());
    }
    commit.list();
    assert_eq!(commit.objects.len(), 200);
    commit
}

#[tokio::test]
async fn two_hundred_objects_at_once_are_all_tagged_right_and_then_it_is_quiet() {
    let _alone = ALONE.lock().await;
    let aws = Instance::get().await;
    let (ci, commit) = (aws.ci().await, large_commit(&aws));

    // In an order that no key suggests; the manifest comes somewhere among the first.
    let mut order: Vec<_> = commit.objects.keys().map(Some).collect();
    order.sort_by_key(|path| Sha256::of(path.unwrap().to_string().as_bytes()));
    order.insert(20, None);
    let began = Instant::now();
    let upload = async |path: Option<&ArtefactPath>| match path {
        Some(path) => commit.put(&ci, path).await,
        None => commit.put_manifest(&ci, &commit.manifest).await,
    };
    stream::iter(order).map(upload).buffer_unordered(32).count().await;
    let uploaded = began.elapsed();
    aws.becomes(&commit, Outcome::Built, &[]).await;
    let right = began.elapsed();

    // Every event that was ever caused has been settled, so there is nothing left that could write.
    let (events, tag_writes) = aws.quiet(&commit).await;
    let quiet = began.elapsed();
    let Seen { passed, .. } = aws.seen(&commit).await;
    let mut wanted: BTreeMap<_, _> =
        commit.objects.keys().map(|path| (path.to_string(), Some("true".to_owned()))).collect();
    wanted.insert(manifest(), Some("true".to_owned()));
    assert_eq!(passed, wanted);
    // Nobody but the gate has touched a tag, so nobody is warned of.
    let lines = aws.log_lines(commit.id.repo.as_str()).await;
    let warnings: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(aws.dead_letters(commit.id.repo.as_str()).await.is_empty());
    tell(&format!(
        "burst of 201 objects: uploaded {uploaded:.1?}, all tags right {right:.1?}, quiet {quiet:.1?}; \
         {events} events, {tag_writes} tag writes"
    ));
    // Each object becomes `true` once; a few may be set to `false` on the way or be written by two judges.
    assert!(tag_writes <= 3 * 201, "{tag_writes} tag writes");
}
