//! Evidence over the memory store: what holds, and every way in which it doesn't.

use super::{
    exhibits::Live,
    html,
    model::{Evidence, Holds},
    sample::{World, question},
    text,
};

/// The checks that don't hold, in words.
fn troubles(evidence: &Evidence) -> Vec<String> {
    evidence.troubles().map(|it| format!("{} {}: {}", it.holds, it.name, it.detail)).collect()
}

#[tokio::test]
async fn of_a_promoted_commit_everything_holds() {
    let evidence = World::promoted().await.evidence().await;
    assert_eq!(troubles(&evidence), Vec::<String>::new());
    assert_eq!(evidence.verdict, Holds::Holds);
    insta::assert_snapshot!(text::render(&evidence, |_, word| word.to_owned()));
    insta::assert_json_snapshot!(evidence);
    insta::assert_snapshot!(html::page("What uat runs", &[evidence]).unwrap());
}

#[tokio::test]
async fn a_function_updated_by_hand_is_named_with_what_it_runs() {
    let world = World::promoted().await;
    let other = crate::ids::Sha256::of(b"other");
    let exhibits = world.exhibits_with(question(), |mut live| {
        live[0].code_sha256 = Some(other);
        live[0].is_promoted_code = false;
        Live::Seen(live)
    });
    let evidence = super::judge(&exhibits.await);
    insta::assert_debug_snapshot!((&evidence.answer, troubles(&evidence)));
}
