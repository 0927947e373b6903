//! Waiting for the gate, once: a tag that isn't `true` may be a stranger's that the gate is about to set back, or one that it
//! is about to write.

use std::{fmt::Write as _, time::Duration};

use gatekeeper_model::{
    finding::{Code, Finding},
    store_key::{ArtefactKey, ArtefactPath},
};

/// How long to wait before each new look: S3 tells the gate of a tag within a second or two.
const WAITS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Looks, and looks again while nothing but the gate's own word is missing; for some seconds at most. Gives what was found, and
/// what is to be told of it beside the answer.
pub(crate) async fn look_with_patience<T, E>(
    mut look: impl AsyncFnMut() -> Result<Result<T, Vec<Finding>>, E>,
) -> Result<(Result<T, Vec<Finding>>, Vec<String>), E> {
    let mut found = look().await?;
    let Err(first) = &found else { return Ok((found, Vec::new())) };
    if !only_the_gates_word_is_missing(first) {
        return Ok((found, Vec::new()));
    }
    let first = first.clone();
    for wait in WAITS {
        tokio::time::sleep(wait).await;
        found = look().await?;
        match &found {
            Ok(_) => return Ok((found, vec![which_it_was(&first)])),
            Err(reasons) if !only_the_gates_word_is_missing(reasons) => return Ok((found, Vec::new())),
            Err(_) => {}
        }
    }
    let waited: Duration = WAITS.iter().sum();
    let still = |mut reason: Finding| {
        if reason.code == Code::TagNotTrue {
            let _ = write!(
                reason.message,
                ", and the gate has not changed that within {:.1} s: see whether its events fail, or tag the manifest \
                 `integration-passed=true` to have the commit judged again",
                waited.as_secs_f64()
            );
        }
        reason
    };
    Ok((found.map_err(|reasons| reasons.into_iter().map(still).collect()), Vec::new()))
}

/// Whether the gate may be at work: it attests, then it tags.
fn only_the_gates_word_is_missing(reasons: &[Finding]) -> bool {
    reasons.iter().any(|it| it.code == Code::TagNotTrue)
        && reasons.iter().all(|it| matches!(it.code, Code::TagNotTrue | Code::AttestationMissing))
}

/// The gate writes the manifest's `true` last. So where that stood, it had finished, and a `false` was another hand's.
fn which_it_was(first: &[Finding]) -> String {
    let is_of_manifest = |key: &str| ArtefactKey::parse(key).is_ok_and(|key| key.path == ArtefactPath::Manifest);
    let had_not_finished = first.iter().any(|it| it.code == Code::AttestationMissing || is_of_manifest(&it.subject));
    if had_not_finished {
        return "the gate had judged the commit `built` and had not finished with its tags; it has now".to_owned();
    }
    let keys: Vec<_> = first.iter().map(|it| format!("`{}`", it.subject)).collect();
    format!("somebody else had changed the tag `integration-passed` of {}; the gate has set it back", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn reason(code: Code, key: &str) -> Finding {
        Finding::new(code, key, "`integration-passed` is `false` on version `v1`")
    }

    /// What comes of looks that find these reasons, one after the other; none is a yes. The last one stands.
    async fn looks(found: &[&[(Code, &str)]]) -> (Result<(), Vec<Finding>>, Vec<String>, usize) {
        let count = Cell::new(0);
        let look = async || {
            let reasons = found[count.get().min(found.len() - 1)];
            count.set(count.get() + 1);
            let reasons: Vec<_> = reasons.iter().map(|(code, key)| reason(*code, key)).collect();
            Ok::<_, ()>(if reasons.is_empty() { Ok(()) } else { Err(reasons) })
        };
        let (found, notes) = look_with_patience(look).await.unwrap();
        (found, notes, count.get())
    }

    const ZIP: (Code, &str) =
        (Code::TagNotTrue, "bank/3f1c9a0b5d7e2468ace013579bdf02468ace1357/modules/MOD-012/functions/a.zip");
    const MANIFEST: (Code, &str) =
        (Code::TagNotTrue, "bank/3f1c9a0b5d7e2468ace013579bdf02468ace1357/build-manifest.json");

    #[tokio::test(start_paused = true)]
    async fn what_holds_or_is_wrong_otherwise_is_not_waited_for() {
        assert_eq!(looks(&[&[]]).await, (Ok(()), vec![], 1));
        for wrong in [Code::NotBuilt, Code::DigestMismatch, Code::AttestationMissing, Code::Revoked] {
            let (found, notes, count) = looks(&[&[(wrong, "x")]]).await;
            assert_eq!((found.unwrap_err().len(), notes, count), (1, vec![], 1), "{wrong}");
        }
        assert_eq!(looks(&[&[ZIP, (Code::StageFrozen, "uat")]]).await.2, 1, "it is refused anyway");
    }

    #[tokio::test(start_paused = true)]
    async fn a_forged_tag_that_the_gate_sets_back_is_told_from_one_that_it_had_not_written_yet() {
        let (found, notes, count) = looks(&[&[ZIP], &[ZIP], &[]]).await;
        assert_eq!((found, count), (Ok(()), 3));
        assert!(notes[0].starts_with("somebody else had changed the tag"), "{notes:?}");
        assert!(notes[0].contains(ZIP.1), "{notes:?}");
        for first in [&[MANIFEST, ZIP] as &[_], &[MANIFEST], &[ZIP, (Code::AttestationMissing, "x")]] {
            let (found, notes, count) = looks(&[first, &[]]).await;
            assert_eq!((found, count), (Ok(()), 2));
            assert!(notes[0].contains("had not finished"), "{notes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_that_stays_false_is_refused_and_a_brake_says_so_itself() {
        let started = tokio::time::Instant::now();
        let (found, notes, count) = looks(&[&[ZIP]]).await;
        let message = found.unwrap_err().remove(0).message;
        assert!(message.contains("has not changed that within 7.5 s"), "{message}");
        assert_eq!((notes, count, started.elapsed()), (vec![], 5, WAITS.iter().sum()));
        let (found, _, count) = looks(&[&[MANIFEST], &[MANIFEST, (Code::Revoked, "x")]]).await;
        assert_eq!((found.unwrap_err().len(), count), (2, 2), "revoked meanwhile");
    }
}
