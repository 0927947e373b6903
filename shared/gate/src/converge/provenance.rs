//! Has the bundles of a commit verified, by somebody who has the trusted roots and can't do anything else.
//!
//! What a bundle proves is kept with the inspections, by the digest of its bytes and of what it was verified against. What
//! was refused is not: another root may be all that it needs.

use std::{collections::BTreeMap, fmt, pin::Pin};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{
    ids::Sha256,
    provenance::{
        self, Answer, MAX_BUNDLE_BYTES, MAX_BUNDLES, MAX_ROOT_BYTES, Question, RootName, StoredBundle, Told, Trust,
    },
    store_key::{ArtefactPath, RecordKey},
};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore, WriteStore};

use super::{
    GateError,
    inspect::{Inspector, Known},
};
use crate::judgement::{Evidence, StoredManifest};

fn unwritable(error: serde_json::Error) -> GateError {
    GateError::Provenance(error.into())
}

/// A verifier at work.
pub type Verifying<'a> =
    Pin<Box<dyn Future<Output = Result<Answer, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>;

/// Who verifies bundles.
pub trait ProvenanceVerifier: fmt::Debug + Send + Sync {
    /// What became of each bundle.
    fn verify<'a>(&'a self, question: &'a Question) -> Verifying<'a>;
}

/// Nobody who could verify, for whoever judges commits without provenance.
#[derive(Debug, Clone, Copy)]
pub struct NoVerifier;

impl ProvenanceVerifier for NoVerifier {
    fn verify<'a>(&'a self, _: &'a Question) -> Verifying<'a> {
        Box::pin(async { Err("there is nobody who could verify it".into()) })
    }
}

impl<S: ReadStore, R: WriteStore> Inspector<'_, S, R> {
    /// What each bundle of a commit proves; nothing of a commit whose integration tests have not run, because its manifest
    /// is not the one that is attested.
    pub(super) async fn provenance(
        &self,
        evidence: &Evidence,
        known: &mut Known,
    ) -> Result<BTreeMap<ArtefactPath, Told>, GateError> {
        let is_bundle = |path: &&ArtefactPath| matches!(path, ArtefactPath::Provenance(_));
        let count = evidence.objects.keys().filter(is_bundle).count();
        let is_final = matches!(&evidence.manifest, StoredManifest::Read { manifest, .. }
            if manifest.tests.integration.is_some());
        if count == 0 || count > MAX_BUNDLES || !is_final {
            return Ok(BTreeMap::new());
        }
        let trust = self.trust(evidence).await?;
        let id = Sha256::of(serde_json::to_string(&("provenance", &trust)).map_err(unwritable)?.as_bytes());
        let mut told = BTreeMap::new();
        let mut bundles = Vec::new();
        for (path, object) in evidence.objects.iter().filter(|(path, _)| is_bundle(path)) {
            if object.size > MAX_BUNDLE_BYTES {
                let why = format!("it has {} bytes, the most is {MAX_BUNDLE_BYTES}", object.size);
                told.insert(path.clone(), Told::Refused(why));
            } else if let Some(proven) = known.proven(object.sha256, id) {
                told.insert(path.clone(), Told::Proven(Box::new(proven)));
            } else {
                let key = path.of(&evidence.commit);
                bundles.push(StoredBundle { key, version_id: object.version_id.clone(), sha256: object.sha256 });
            }
        }
        if bundles.is_empty() {
            return Ok(told);
        }
        let answer = self.verifier.verify(&Question { bundles, trust }).await.map_err(GateError::Provenance)?;
        for (path, object) in evidence.objects.iter().filter(|(path, _)| is_bundle(path)) {
            if told.contains_key(path) {
                continue;
            }
            let Some(of_bundle) = answer.bundles.get(&object.sha256) else {
                let untold = format!("nothing was told of `{}`", path.of(&evidence.commit));
                return Err(GateError::Provenance(untold.into()));
            };
            if let Told::Proven(proven) = of_bundle {
                known.keep(object.sha256, id, proven);
            }
            told.insert(path.clone(), of_bundle.clone());
        }
        Ok(told)
    }

    /// What the repository's bundles are verified against: a root that is stored goes before the one of its name that the
    /// verifier has.
    async fn trust(&self, evidence: &Evidence) -> Result<Trust, GateError> {
        let builders = &evidence.rules.builders;
        let roots = stream::iter(provenance::roots_of(builders))
            .map(async |name| {
                let key = RecordKey::TrustedRoot(name.clone()).to_string();
                let stored = self.records.get(&key, None, MAX_ROOT_BYTES).await?;
                let text = stored.map(|it| String::from_utf8(it.bytes)).transpose();
                Ok::<(RootName, Option<String>), GateError>((
                    name,
                    text.map_err(|_| GateError::Provenance(format!("`{key}` is not UTF-8").into()))?,
                ))
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_collect()
            .await?;
        Ok(Trust { roots, keys: provenance::keys_of(builders) })
    }
}
