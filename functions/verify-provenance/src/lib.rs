//! Reads the bundles that it is asked of, each in the version and with the digest that it is asked of, and answers what they
//! prove against the roots and keys that it is given. It may read the artefact bucket and do nothing else, because what it
//! reads may be of anybody, and a certificate is the most intricate thing that a stranger can hand to the gate.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::lambda::FunctionError;
use gatekeeper_model::{
    ids::Sha256,
    provenance::{Answer, MAX_BUNDLE_BYTES, MAX_BUNDLES, Question, StoredBundle, Told},
};
use gatekeeper_provenance::Provenance;
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore};
use serde_json::Value;

/// Answers a [`Question`].
///
/// # Errors
/// `InvalidQuestion` where it is none, or what it names can't be verified against; `BundleUnreadable` where a bundle could
/// not be read as it is asked of.
pub async fn handle(artefacts: &impl ReadStore, event: Value) -> Result<Answer, FunctionError> {
    let invalid = |error: &dyn std::fmt::Display| FunctionError::new("InvalidQuestion", error);
    let question: Question = serde_json::from_value(event).map_err(|error| invalid(&error))?;
    if question.bundles.len() > MAX_BUNDLES {
        let count = question.bundles.len();
        return Err(invalid(&format!("it asks of {count} bundles, the most is {MAX_BUNDLES}")));
    }
    let verifier = Provenance::new(&question.trust).map_err(|error| invalid(&error))?;
    let verifier = &verifier;
    let told: Vec<_> = stream::iter(&question.bundles)
        .map(async |bundle| {
            let bytes = read(artefacts, bundle).await?;
            let told = match verifier.verify(&bytes) {
                Ok(proven) => Told::Proven(Box::new(proven)),
                Err(refused) => Told::Refused(refused.to_string()),
            };
            Ok::<_, FunctionError>((bundle.sha256, told))
        })
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_collect()
        .await?;
    Ok(Answer { bundles: told.into_iter().collect() })
}

async fn read(artefacts: &impl ReadStore, bundle: &StoredBundle) -> Result<Vec<u8>, FunctionError> {
    let StoredBundle { key, version_id, sha256 } = bundle;
    let unreadable = |why: &dyn std::fmt::Display| {
        FunctionError::new("BundleUnreadable", format!("`{key}` in version `{version_id}`: {why}"))
    };
    let body = artefacts.get(key, Some(version_id), MAX_BUNDLE_BYTES).await.map_err(|error| unreadable(&error))?;
    let bytes = body.ok_or_else(|| unreadable(&"it is not there"))?.bytes;
    let found = Sha256::of(&bytes);
    if found == *sha256 { Ok(bytes) } else { Err(unreadable(&format!("its SHA-256 is `{found}`, not `{sha256}`"))) }
}

#[cfg(test)]
mod tests {
    use gatekeeper_provenance::instance::{public_key, signed_by_key, statement};
    use gatekeeper_store::memory::Memory;
    use serde_json::json;

    use super::*;

    const KEY: &str = "bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/provenance/build.sigstore.json";

    fn stored(bytes: &[u8]) -> (Memory, Value) {
        let artefacts = Memory::default();
        let version = artefacts.upload(KEY, bytes, &[]);
        let bundle = json!({"key": KEY, "version_id": version, "sha256": Sha256::of(bytes)});
        let trust = json!({"roots": {"sigstore": null}, "keys": {"jenkins": public_key("jenkins")}});
        (artefacts, json!({"bundles": [bundle], "trust": trust}))
    }

    fn bundle() -> Vec<u8> {
        let repository = "https://github.com/bank/bank-payments";
        let slsa = statement(&[Sha256::of(b"a")], "https://ci.bank.example", repository, &"1".repeat(40));
        signed_by_key("jenkins", &slsa).to_string().into_bytes()
    }

    #[tokio::test]
    async fn what_a_bundle_proves_is_answered_by_its_digest() {
        let (artefacts, question) = stored(&bundle());
        let answer = handle(&artefacts, question).await.unwrap();
        let Told::Proven(proven) = &answer.bundles[&Sha256::of(&bundle())] else { panic!("{answer:?}") };
        assert_eq!(proven.build.builder, "https://ci.bank.example");
    }

    #[tokio::test]
    async fn what_proves_nothing_is_answered_too() {
        let (artefacts, question) = stored(b"{}");
        let answer = handle(&artefacts, question).await.unwrap();
        assert!(matches!(&answer.bundles[&Sha256::of(b"{}")], Told::Refused(_)), "{answer:?}");
    }

    #[tokio::test]
    async fn what_can_not_be_read_as_it_was_asked_of_is_an_error() {
        let (artefacts, question) = stored(&bundle());
        let asked = |pointer: &str, value: Value| {
            let mut question = question.clone();
            *question.pointer_mut(pointer).unwrap() = value;
            question
        };
        for (question, error_type, because) in [
            (asked("/bundles/0/sha256", json!(Sha256::of(b"x"))), "BundleUnreadable", "its SHA-256 is"),
            (asked("/bundles/0/version_id", json!("gone")), "BundleUnreadable", "it is not there"),
            (asked("/trust/roots", json!({"corp": null})), "InvalidQuestion", "no trusted root `corp`"),
            (asked("/bundles", json!(vec![question["bundles"][0].clone(); 17])), "InvalidQuestion", "17 bundles"),
            (json!({}), "InvalidQuestion", "missing field"),
        ] {
            let error = handle(&artefacts, question).await.unwrap_err();
            assert_eq!(error.error_type, error_type);
            assert!(error.message.contains(because), "{}", error.message);
        }
    }
}
