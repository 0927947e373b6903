//! Looking: at one object, at a whole commit, and again.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, ETag, Repo, Sha256, VersionId},
    manifest,
    manifest::Manifest,
    policy::{InvalidPolicy, Policy, Rules},
    store_key::{ArtefactKey, ArtefactPath, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::KeyHolder;
use gatekeeper_store::{
    Body, CALLS_IN_FLIGHT, Listed, ReadStore, Tags, record, record::Stored, revocation, revocation::StoredRevocation,
};

use super::{GateError, attest::StoredAttestation, baseline::Pinned};
use crate::{
    judgement,
    judgement::{Evidence, Object, StoredManifest, TagWrite},
};

/// The largest policy that is read.
const MAX_POLICY_BYTES: u64 = 1024 * 1024;

/// Looks at a commit and at what the records say of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looker<'a, S, R> {
    pub(super) artefacts: &'a S,
    pub(super) records: &'a R,
    pub(super) believing: Believing<'a>,
}

/// What makes a standing verdict `built` count, of which the next one takes the policy and the digests.
#[derive(Debug, Clone, Copy)]
pub(super) enum Believing<'a> {
    /// The signature of this key on it.
    SignedBy(&'a dyn KeyHolder),
    /// That it is stored: for who only looks.
    Stored,
}

/// What one object needs, as far as a few calls can tell.
pub(super) enum Glance {
    /// Nothing: its tag agrees with the verdict that stands, or it is gone and nobody missed it.
    Settled(Option<Outcome>),
    /// Its tag must be written.
    Retag(TagWrite),
    /// The commit has neither a manifest nor a verdict yet: it needs its first one.
    First,
    /// The verdict doesn't account for it: the commit must be judged.
    Judge,
}

/// A commit as one look saw it.
pub(super) struct View {
    pub(super) commit: Commit,
    pub(super) listed: BTreeMap<ArtefactPath, Listed>,
    pub(super) verdict: Option<Stored<Verdict>>,
    pub(super) revocation: Option<StoredRevocation>,
    pub(super) attestation: StoredAttestation,
    /// Whether the verdict is `built` and may be believed.
    pub(super) is_believed: bool,
    /// What the commit is judged by; none where the policy is not one.
    pub(super) rules: Result<AppliedRules, InvalidPolicy>,
}

/// What binds a commit's repository, and the version of the policy that says so.
#[derive(Debug, Clone)]
pub(super) struct AppliedRules {
    rules: Rules,
    policy_version_id: Option<VersionId>,
    policy_sha256: Option<Sha256>,
}

impl AppliedRules {
    /// ADR-053 as it is written.
    fn adr_053(repo: &Repo) -> Self {
        Self { rules: Rules::of_adr_053(repo), policy_version_id: None, policy_sha256: None }
    }
}

/// The evidence of a view before anything was inspected, and the manifest's own object.
pub(super) struct Found {
    pub(super) evidence: Evidence,
    pub(super) manifest: Option<TaggedVersion>,
}

/// Everything that a verdict on a view rests on, and the manifest's own object.
pub(super) struct Gathered {
    pub(super) evidence: Evidence,
    pub(super) manifest: Option<TaggedVersion>,
    /// What the commit is compared with; none without a manifest that can be read.
    pub(super) pinned: Option<Pinned>,
}

/// The version of a manifest and its tags, which are no part of what is judged.
pub(super) struct TaggedVersion {
    pub(super) version_id: VersionId,
    pub(super) tags: Tags,
}

impl View {
    /// Whether nothing has changed since `before` but the verdict that was written, which has this etag.
    pub(super) fn is_unchanged_since(&self, before: &Self, verdict_etag: &ETag) -> bool {
        let standing = self.verdict.as_ref().map(|stored| &stored.etag);
        self.listed == before.listed
            && self.revocation.as_ref().map(|it| &it.etag) == before.revocation.as_ref().map(|it| &it.etag)
            && standing == Some(verdict_etag)
    }
}

impl Evidence {
    /// Whether this manifest version is already taken back.
    pub(super) fn is_revoked(&self) -> bool {
        let manifest = self.manifest.version_id();
        let revoked = self.revocation.as_ref().zip(manifest).is_some_and(|(it, manifest)| it.concerns(manifest));
        self.standing_revocation.is_some() || revoked
    }
}

/// That this manifest was taken back, as the standing verdict says.
fn standing_revocation(verdict: &Verdict, manifest: &StoredManifest) -> Option<Finding> {
    let is_of_it = verdict.outcome == Outcome::Revoked && verdict.manifest_version_id.as_ref() == manifest.version_id();
    verdict.reasons.iter().find(|reason| is_of_it && reason.code == Code::Revoked).cloned()
}

impl<S: ReadStore, R: ReadStore> Looker<'_, S, R> {
    /// Looks at one object only: enough for the gate's own tag writes that come back as events, and for artefacts
    /// that arrive before their manifest. A burst of 200 objects stays 200 glances. Where it is no echo of the gate's own write
    /// it may be an event that comes again, and the manifest tells whether the first try came to its end.
    pub(super) async fn glance(
        &self,
        commit: &Commit,
        path: &ArtefactPath,
        is_echo: bool,
    ) -> Result<Glance, GateError> {
        let (key, manifest_key) = (path.of(commit), ArtefactPath::Manifest.of(commit));
        let (object, manifest, verdict, revocation, attestation) = future::try_join5(
            async { Ok::<_, GateError>(self.artefacts.head(&key, None).await?) },
            async { Ok(self.artefacts.head(&manifest_key, None).await?) },
            self.verdict(commit),
            self.revocation(commit),
            async {
                match path {
                    ArtefactPath::Manifest => self.attestation(commit).await,
                    // The others ask only before they write a `true`.
                    _ => Ok(StoredAttestation::default()),
                }
            },
        )
        .await?;
        let stored_verdict = &verdict;
        let verdict = verdict.as_ref().map(|stored| &stored.record);
        let outcome = verdict.as_ref().map(|verdict| verdict.outcome);
        let judged_manifest = verdict.as_ref().and_then(|verdict| verdict.manifest_version_id.as_ref());
        let present_manifest = manifest.as_ref().map(|head| &head.version_id);

        let Some(object) = object else {
            let missed = match path {
                // Artefacts that came and went meanwhile may have left the first verdict to it.
                ArtefactPath::Manifest => verdict.is_none() || judged_manifest.is_some(),
                _ => verdict.as_ref().is_some_and(|verdict| verdict.artefact(path).is_some()),
            };
            return Ok(if missed { Glance::Judge } else { Glance::Settled(outcome) });
        };
        let manifest_tags = async {
            match present_manifest {
                Some(version_id)
                    if *path != ArtefactPath::Manifest && !is_echo && present_manifest == judged_manifest =>
                {
                    self.artefacts.tags(&manifest_key, version_id).await
                }
                _ => Ok(None),
            }
        };
        let (tags, manifest_tags) =
            future::try_join(self.artefacts.tags(&key, &object.version_id), manifest_tags).await?;
        let Some(tags) = tags else { return Ok(Glance::Judge) };
        let is_unfinished = verdict.zip(manifest_tags).is_some_and(|(verdict, tags)| {
            judgement::tags_with(&ArtefactPath::Manifest, &tags, verdict.outcome) != tags
        });

        // Tags of others that take the gate's room, or give it back, are part of what is judged.
        let is_told = verdict
            .is_some_and(|it| it.reasons.iter().any(|reason| reason.code == Code::TagLimit && reason.subject == key));
        let room_is_as_judged = judgement::tag_limit(path, &key, &tags).is_some() == is_told;

        let wanted = match (&verdict, present_manifest) {
            (None, None) => {
                return Ok(Glance::First);
            }
            (Some(verdict), None) if judged_manifest.is_none() => verdict.outcome,
            (Some(verdict), Some(_)) if judged_manifest == present_manifest => match path {
                ArtefactPath::Manifest => {
                    // Its tags may be a request or a hand on the brake: only the whole look can tell.
                    let agrees = room_is_as_judged && judgement::tags_with(path, &tags, verdict.outcome) == tags;
                    // A revocation stands, whatever becomes of its record; of one that was mended the verdict must tell.
                    let revoked = revocation.zip(judged_manifest).filter(|(it, judged)| it.taken_back.concerns(judged));
                    let agrees = agrees && revoked.is_none_or(|(it, _)| verdict.is_of(&it.taken_back));
                    let agrees = agrees
                        && match stored_verdict {
                            Some(stored) if verdict.outcome == Outcome::Built => {
                                self.vouches(stored, &attestation).await?
                            }
                            _ => true,
                        };
                    return Ok(if agrees { Glance::Settled(outcome) } else { Glance::Judge });
                }
                _ if verdict.artefact(path).is_some_and(|it| it.version_id == object.version_id) => {
                    if is_unfinished || !room_is_as_judged {
                        return Ok(Glance::Judge);
                    }
                    verdict.outcome
                }
                _ => return Ok(Glance::Judge),
            },
            // The manifest's own event judges it, and looks again after that; until then nothing is passed.
            (_, Some(_)) if *path != ArtefactPath::Manifest => Outcome::Incomplete,
            _ => return Ok(Glance::Judge),
        };
        let mut write = judgement::tag_write(path, &object.version_id, &tags, wanted);
        if wanted.integration_passed()
            && write.is_some()
            && let Some(stored) = stored_verdict
            && !self.vouches(stored, &self.attestation(commit).await?).await?
        {
            // The manifest's own event attests it, and writes the `true`s after that.
            write = judgement::tag_write(path, &object.version_id, &tags, Outcome::Incomplete);
        }
        Ok(match write {
            Some(write) => Glance::Retag(write),
            None => Glance::Settled(outcome),
        })
    }

    async fn verdict(&self, commit: &Commit) -> Result<Option<Stored<Verdict>>, GateError> {
        Ok(record::read(self.records, &RecordKey::Verdict(commit.clone())).await?)
    }

    async fn revocation(&self, commit: &Commit) -> Result<Option<StoredRevocation>, GateError> {
        Ok(revocation::read(self.records, commit).await?)
    }

    /// Looks at the whole commit: what is there, in which version, and what the records say of it.
    pub(super) async fn look(&self, commit: &Commit) -> Result<View, GateError> {
        let prefix = commit.prefix();
        let policy_key = RecordKey::PolicyConfig.to_string();
        let (listed, verdict, revocation, policy, attestation) = future::try_join5(
            async { Ok::<_, GateError>(self.artefacts.list(&prefix).await?) },
            self.verdict(commit),
            self.revocation(commit),
            async { Ok(self.records.get(&policy_key, None, MAX_POLICY_BYTES).await?) },
            self.attestation(commit),
        )
        .await?;
        let listed = listed.into_iter().filter_map(|object| Some((ArtefactKey::parse(&object.key).ok()?.path, object)));
        let listed: BTreeMap<_, _> = listed.collect();
        let manifest = listed.get(&ArtefactPath::Manifest).map(|it| &it.version_id);
        let is_believed = match &verdict {
            Some(stored) => self.vouches(stored, &attestation).await?,
            None => false,
        };
        let standing = verdict.as_ref().map(|stored| &stored.record).filter(|_| is_believed);
        let rules = self.rules(commit, policy, standing.filter(|it| it.manifest_version_id.as_ref() == manifest));
        let rules = rules.await?;
        Ok(View { commit: commit.clone(), listed, verdict, revocation, attestation, is_believed, rules })
    }

    /// What the commit is judged by: the present policy, or that of the verdict that stands on the same manifest and is
    /// `built`. A new policy is not retroactive.
    async fn rules(
        &self,
        commit: &Commit,
        present: Option<Body>,
        standing: Option<&Verdict>,
    ) -> Result<Result<AppliedRules, InvalidPolicy>, GateError> {
        let of_built = standing.filter(|it| it.outcome == Outcome::Built).map(|it| it.policy_version_id.as_ref());
        let policy = match of_built {
            Some(version) if version != present.as_ref().map(|it| &it.version_id) => match version {
                None => None,
                // Where it is gone the present one is what there is.
                Some(version) => {
                    let key = RecordKey::PolicyConfig.to_string();
                    self.records.get(&key, Some(version), MAX_POLICY_BYTES).await?.or(present)
                }
            },
            _ => present,
        };
        let Some(policy) = policy else {
            return Ok(Ok(AppliedRules::adr_053(&commit.repo)));
        };
        Ok(Policy::parse(&policy.bytes).map(|parsed| AppliedRules {
            rules: parsed.rules_of(&commit.repo),
            policy_version_id: Some(policy.version_id),
            policy_sha256: Some(Sha256::of(&policy.bytes)),
        }))
    }

    /// Finds the manifest, and the digest and tags of every object of a view; none where one vanished meanwhile.
    pub(super) async fn find(&self, view: &View) -> Result<Option<Found>, GateError> {
        let judged = view.verdict.iter().filter(|_| view.is_believed).flat_map(|stored| &stored.record.artefacts);
        let judged: BTreeMap<_, _> = judged.map(|it| ((&it.key, &it.version_id), it.sha256)).collect();
        let judged = &judged;
        let artefacts = view.listed.iter().filter(|(path, _)| **path != ArtefactPath::Manifest);
        let objects = stream::iter(artefacts)
            .map(|(path, listed)| async move {
                let known = judged.get(&(&listed.key, &listed.version_id)).copied();
                Ok::<_, GateError>(self.object(listed, known).await?.map(|object| (path.clone(), object)))
            })
            .buffer_unordered(CALLS_IN_FLIGHT / 2)
            .try_collect::<Vec<_>>();
        let (manifest, manifest_tags, objects) =
            future::try_join3(self.manifest(view), self.manifest_tags(view), objects).await?;
        let (Some(manifest), Some(manifest_tags), Some(objects)) =
            (manifest, manifest_tags, objects.into_iter().collect::<Option<BTreeMap<_, _>>>())
        else {
            return Ok(None);
        };
        // Without a policy no verdict comes of it, but tags and brake are looked after.
        let adr_053 = |_| AppliedRules::adr_053(&view.commit.repo);
        let AppliedRules { rules, policy_version_id, policy_sha256 } = view.rules.clone().unwrap_or_else(adr_053);
        let standing = view.verdict.as_ref().map(|stored| &stored.record);
        let evidence = Evidence {
            standing_revocation: standing.and_then(|verdict| standing_revocation(verdict, &manifest)),
            manifest,
            manifest_tags: manifest_tags.as_ref().map_or_else(Tags::new, |it| it.tags.clone()),
            objects,
            rules,
            policy_version_id,
            policy_sha256,
            revocation: view.revocation.as_ref().map(|stored| stored.taken_back.clone()),
            ..Evidence::of(view.commit.clone())
        };
        Ok(Some(Found { evidence, manifest: manifest_tags }))
    }

    /// One object's digest and tags. The digest of a version never changes, so the standing verdict's is taken;
    /// else the store's own; and only where that doesn't exist the bytes are read.
    async fn object(&self, listed: &Listed, known: Option<Sha256>) -> Result<Option<Object>, GateError> {
        let (key, version_id) = (&listed.key, &listed.version_id);
        let digest = async {
            if known.is_some() {
                return Ok(known);
            }
            match self.artefacts.head(key, Some(version_id)).await? {
                None => Ok(None),
                Some(head) if head.sha256.is_some() => Ok(head.sha256),
                Some(_) => self.digest(key, version_id).await,
            }
        };
        let tags = async { Ok(self.artefacts.tags(key, version_id).await?) };
        let (sha256, tags) = future::try_join(digest, tags).await?;
        Ok(sha256.zip(tags).map(|(sha256, tags)| Object {
            version_id: version_id.clone(),
            size: listed.size,
            sha256,
            tags,
        }))
    }

    /// Hashes an object that was uploaded in parts, piece by piece.
    async fn digest(&self, key: &str, version_id: &VersionId) -> Result<Option<Sha256>, GateError> {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        let mut sink = |piece: &[u8]| {
            hasher.update(piece);
            Ok(())
        };
        let there = self.artefacts.stream(key, version_id, &mut sink).await?;
        Ok(there.then(|| Sha256::from_bytes(hasher.finalize().into())))
    }

    /// The present manifest's version and tags: `Some(None)` where there is no manifest.
    async fn manifest_tags(&self, view: &View) -> Result<Option<Option<TaggedVersion>>, GateError> {
        let Some(listed) = view.listed.get(&ArtefactPath::Manifest) else { return Ok(Some(None)) };
        let tags = self.artefacts.tags(&listed.key, &listed.version_id).await?;
        Ok(tags.map(|tags| Some(TaggedVersion { version_id: listed.version_id.clone(), tags })))
    }

    async fn manifest(&self, view: &View) -> Result<Option<StoredManifest>, GateError> {
        let Some(listed) = view.listed.get(&ArtefactPath::Manifest) else { return Ok(Some(StoredManifest::Missing)) };
        let version_id = listed.version_id.clone();
        if listed.size > manifest::MAX_BYTES {
            // Its size alone refuses it: don't read it.
            let findings = vec![manifest::too_large(&view.commit)];
            return Ok(Some(StoredManifest::Refused { version_id, findings }));
        }
        let Some(body) = self.artefacts.get(&listed.key, Some(&version_id), manifest::MAX_BYTES).await? else {
            return Ok(None);
        };
        let sha256 = Sha256::of(&body.bytes);
        Ok(Some(match Manifest::parse(&body.bytes, &view.commit) {
            Ok(manifest) => StoredManifest::Read { version_id, sha256, manifest: Box::new(manifest) },
            Err(findings) => StoredManifest::Refused { version_id, findings },
        }))
    }
}
