//! Looking: at one object, at a whole commit, and again.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, Commit, ETag, Repo, Sha256, VersionId},
    manifest,
    manifest::Manifest,
    policy::{InvalidPolicy, Policy, Rules},
    store_key::{ArtefactKey, ArtefactPath, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::{
    KeyHolder,
    ledger::{self, Standing, StandingError},
};
use gatekeeper_store::{
    Body, CALLS_IN_FLIGHT, Listed, MAX_TAGS, ReadStore, Tags, record, record::Stored, revocation,
    revocation::StoredRevocation,
};

use super::{Asked, Care, GateError, attest::StoredAttestation, baseline::Pinned, hints::Hints, inspect::Known};
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

/// What the named objects of a commit need, as far as a few calls can tell.
pub(super) enum Glance {
    /// Nothing: their tags agree with the verdict that stands, or they are gone and nobody missed them.
    Settled(Option<Outcome>),
    /// These tags must be written.
    Retag(Vec<TagWrite>),
    /// The commit has neither a manifest nor a verdict yet: it needs its first one.
    First,
    /// The verdict doesn't account for them: the commit must be judged.
    Judge,
}

/// What is there of a commit, and the verdict that stood before that was looked at.
pub(super) struct Sketch {
    pub(super) verdict: Option<Stored<Verdict>>,
    pub(super) listed: BTreeMap<ArtefactPath, Listed>,
}

/// A commit as one look saw it.
pub(super) struct View {
    pub(super) commit: Commit,
    pub(super) listed: BTreeMap<ArtefactPath, Listed>,
    pub(super) verdict: Option<Stored<Verdict>>,
    pub(super) revocation: Option<StoredRevocation>,
    /// What the gate's own chain of the ledger tells of revocations.
    pub(super) ledger: Result<Standing, StandingError>,
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

/// The manifest of a view, and its object's tags.
pub(super) struct FoundManifest {
    pub(super) manifest: StoredManifest,
    pub(super) tagged: Option<TaggedVersion>,
}

/// The evidence of a view before anything was inspected, and what is to be read for its digest.
pub(super) struct Found {
    pub(super) evidence: Evidence,
    pub(super) unread: BTreeMap<ArtefactPath, Unread>,
}

/// An object of which nothing is known yet but what the manifest claims: the digest comes of the same read that inspects it.
pub(super) struct Unread {
    pub(super) version_id: VersionId,
    pub(super) size: u64,
    pub(super) tags: Option<Tags>,
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

/// Whether a verdict tells that the tags of others leave no room on an object, where they don't.
fn is_told_of(verdict: &Verdict, path: &ArtefactPath, key: &str, tags: &Tags) -> bool {
    let told = verdict.reasons.iter().any(|reason| reason.code == Code::TagLimit && reason.subject == key);
    judgement::tag_limit(path, key, tags).is_some() == told
}

/// Whether no tag of the commit says `true` as far as its judges know: so says the standing verdict, and whoever wrote it came
/// to his end, as the manifest shows.
fn is_withheld(view: &View, tagged: Option<&TaggedVersion>) -> bool {
    let Some(verdict) = view.verdict.as_ref().map(|stored| &stored.record) else { return true };
    let judged = verdict.manifest_version_id.as_ref();
    let is_finished = |it: &TaggedVersion| {
        judged == Some(&it.version_id)
            && judgement::tags_with(&ArtefactPath::Manifest, &it.tags, verdict.outcome) == it.tags
    };
    !verdict.outcome.integration_passed() && (judged.is_none() || tagged.is_some_and(is_finished))
}

impl<S: ReadStore, R: ReadStore> Looker<'_, S, R> {
    /// The verdict first: whoever judges what is listed after it writes another one, and that is noticed.
    pub(super) async fn sketch(&self, commit: &Commit) -> Result<Sketch, GateError> {
        let verdict = self.verdict(commit).await?;
        Ok(Sketch { verdict, listed: self.listed(commit).await? })
    }

    /// Whether the verdict is still the one of the sketch.
    pub(super) async fn still_stands(&self, commit: &Commit, sketch: &Sketch) -> Result<bool, GateError> {
        let now = self.verdict(commit).await?;
        Ok(now.map(|stored| stored.etag) == sketch.verdict.as_ref().map(|stored| stored.etag.clone()))
    }

    async fn listed(&self, commit: &Commit) -> Result<BTreeMap<ArtefactPath, Listed>, GateError> {
        let listed = self.artefacts.list(&commit.prefix()).await?.into_iter();
        Ok(listed.filter_map(|object| Some((ArtefactKey::parse(&object.key).ok()?.path, object))).collect())
    }

    /// Looks at the named objects only: enough for artefacts that arrive before their manifest, and for tags that somebody set.
    pub(super) async fn glance(&self, commit: &Commit, sketch: &Sketch, hints: &Hints) -> Result<Glance, GateError> {
        let Sketch { verdict: stored, listed } = sketch;
        let verdict = stored.as_ref().map(|stored| &stored.record);
        let outcome = verdict.map(|verdict| verdict.outcome);
        let judged_manifest = verdict.and_then(|verdict| verdict.manifest_version_id.as_ref());
        let present_manifest = listed.get(&ArtefactPath::Manifest).map(|it| &it.version_id);

        let is_missed = |path: &ArtefactPath| match path {
            // Artefacts that came and went meanwhile may have left the first verdict to it.
            ArtefactPath::Manifest => verdict.is_none() || judged_manifest.is_some(),
            _ => verdict.is_some_and(|verdict| verdict.artefact(path).is_some()),
        };
        if hints.paths().any(|path| !listed.contains_key(path) && is_missed(path)) {
            return Ok(Glance::Judge);
        }
        let named: Vec<_> = hints.paths().filter_map(|path| listed.get_key_value(path)).collect();
        if named.is_empty() {
            return Ok(Glance::Settled(outcome));
        }
        let judged = verdict.filter(|_| present_manifest.is_some() && judged_manifest == present_manifest);
        let wanted = match (verdict, present_manifest) {
            (None, None) => return Ok(Glance::First),
            (Some(verdict), None) if judged_manifest.is_none() => verdict.outcome,
            (Some(verdict), Some(_)) if judged_manifest == present_manifest => {
                let is_judged = |path: &ArtefactPath, listed: &Listed| {
                    verdict.artefact(path).is_some_and(|it| it.version_id == listed.version_id)
                };
                if named.iter().any(|(path, listed)| **path != ArtefactPath::Manifest && !is_judged(path, listed)) {
                    return Ok(Glance::Judge);
                }
                verdict.outcome
            }
            // The manifest's own event judges it, and looks again after that; until then nothing is passed.
            (_, Some(_)) if !hints.names(&ArtefactPath::Manifest) => Outcome::Incomplete,
            _ => return Ok(Glance::Judge),
        };
        if let Some(verdict) = judged
            && !self.is_finished(commit, verdict, stored.as_ref(), listed, hints).await?
        {
            return Ok(Glance::Judge);
        }
        let artefacts = named.into_iter().filter(|(path, _)| **path != ArtefactPath::Manifest);
        let tags: Vec<_> = stream::iter(artefacts)
            .map(async |(path, listed)| {
                let tags = self.artefacts.tags(&listed.key, &listed.version_id).await?;
                Ok::<_, GateError>((path, listed, tags))
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_collect()
            .await?;
        let mut present = Vec::new();
        for (path, listed, tags) in tags {
            let Some(tags) = tags else { return Ok(Glance::Judge) };
            // Tags of others that take the gate's room, or give it back, are part of what is judged.
            if judged.is_some_and(|verdict| !is_told_of(verdict, path, &listed.key, &tags)) {
                return Ok(Glance::Judge);
            }
            present.push((path, listed, tags));
        }
        let writes_for = |outcome| {
            let write = |(path, listed, tags): &(&ArtefactPath, &Listed, Tags)| {
                judgement::tag_write(path, &listed.version_id, tags, outcome)
            };
            present.iter().filter_map(write).collect::<Vec<_>>()
        };
        let mut writes = writes_for(wanted);
        if wanted.integration_passed()
            && !writes.is_empty()
            && let Some(stored) = stored
            && !self.vouches(stored, &self.attestation(commit).await?).await?
        {
            // The manifest's own event attests it, and writes the `true`s after that.
            writes = writes_for(Outcome::Incomplete);
        }
        Ok(if writes.is_empty() { Glance::Settled(outcome) } else { Glance::Retag(writes) })
    }

    /// Whether the manifest says the verdict on it, so that whoever wrote that came to his end; and where the manifest is named,
    /// whether nothing about it is a request or a hand on the brake, which only the whole look can tell.
    async fn is_finished(
        &self,
        commit: &Commit,
        verdict: &Verdict,
        stored: Option<&Stored<Verdict>>,
        listed: &BTreeMap<ArtefactPath, Listed>,
        hints: &Hints,
    ) -> Result<bool, GateError> {
        let Some(manifest) = listed.get(&ArtefactPath::Manifest) else { return Ok(true) };
        let path = &ArtefactPath::Manifest;
        let Some(tags) = self.artefacts.tags(&manifest.key, &manifest.version_id).await? else { return Ok(false) };
        if judgement::tags_with(path, &tags, verdict.outcome) != tags {
            return Ok(false);
        }
        if !hints.names(path) {
            return Ok(true);
        }
        let is_built = verdict.outcome == Outcome::Built;
        let proofs = async {
            if !is_built {
                return Ok((StoredAttestation::default(), Ok(Standing::default())));
            }
            future::try_join(self.attestation(commit), self.ledger(commit)).await
        };
        let (revocation, (attestation, ledger)) = future::try_join(self.revocation(commit), proofs).await?;
        if ledger.map_or(true, |it| it.revokes(&commit.sha, &manifest.version_id)) {
            return Ok(false);
        }
        // A revocation stands, whatever becomes of its record; of one that was mended the verdict must tell.
        let revoked = revocation.filter(|it| it.taken_back.concerns(&manifest.version_id));
        Ok(is_told_of(verdict, path, &manifest.key, &tags)
            && revoked.is_none_or(|it| verdict.is_of(&it.taken_back))
            && match stored {
                Some(stored) if is_built => self.vouches(stored, &attestation).await?,
                _ => true,
            })
    }

    async fn verdict(&self, commit: &Commit) -> Result<Option<Stored<Verdict>>, GateError> {
        Ok(record::read(self.records, &RecordKey::Verdict(commit.clone())).await?)
    }

    async fn revocation(&self, commit: &Commit) -> Result<Option<StoredRevocation>, GateError> {
        Ok(revocation::read(self.records, commit).await?)
    }

    /// What the gate's own chain tells of revocations: nothing to who only looks, because he has no key to prove it by.
    async fn ledger(&self, commit: &Commit) -> Result<Result<Standing, StandingError>, GateError> {
        let Believing::SignedBy(holder) = self.believing else { return Ok(Ok(Standing::default())) };
        let keys = holder.trusted().await?;
        match ledger::standing(self.records, &Chain::of_gate(commit.repo.clone()), &keys).await {
            Err(StandingError::Store(error)) => Err(error.into()),
            told => Ok(told),
        }
    }

    /// Looks at the whole commit: what is there, in which version, and what the records say of it.
    pub(super) async fn look(&self, commit: &Commit) -> Result<View, GateError> {
        let policy_key = RecordKey::PolicyConfig.to_string();
        let proofs = future::try_join(self.attestation(commit), self.ledger(commit));
        let (listed, verdict, revocation, policy, (attestation, ledger)) = future::try_join5(
            self.listed(commit),
            self.verdict(commit),
            self.revocation(commit),
            async { Ok(self.records.get(&policy_key, None, MAX_POLICY_BYTES).await?) },
            proofs,
        )
        .await?;
        let manifest = listed.get(&ArtefactPath::Manifest).map(|it| &it.version_id);
        let is_believed = match &verdict {
            Some(stored) => self.vouches(stored, &attestation).await?,
            None => false,
        };
        let standing = verdict.as_ref().map(|stored| &stored.record).filter(|_| is_believed);
        let rules = self.rules(commit, policy, standing.filter(|it| it.manifest_version_id.as_ref() == manifest));
        let rules = rules.await?;
        Ok(View { commit: commit.clone(), listed, verdict, revocation, ledger, attestation, is_believed, rules })
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

    /// Whether nothing has changed since but the verdict that was written, which has this etag.
    pub(super) async fn is_unchanged_since(&self, before: &View, verdict_etag: &ETag) -> Result<bool, GateError> {
        let commit = &before.commit;
        let (listed, verdict, revocation) =
            future::try_join3(self.listed(commit), self.verdict(commit), self.revocation(commit)).await?;
        Ok(listed == before.listed
            && revocation.map(|it| it.etag) == before.revocation.as_ref().map(|it| it.etag.clone())
            && verdict.map(|stored| stored.etag).as_ref() == Some(verdict_etag))
    }

    /// The manifest of a view and its tags; none where it vanished meanwhile.
    pub(super) async fn find_manifest(&self, view: &View) -> Result<Option<FoundManifest>, GateError> {
        let (manifest, tagged) = future::try_join(self.manifest(view), self.manifest_tags(view)).await?;
        Ok(manifest.zip(tagged).map(|(manifest, tagged)| FoundManifest { manifest, tagged }))
    }

    /// Finds the digests and tags of the other objects of a view as far as they are needed, and what is yet to be read; none
    /// where one vanished meanwhile.
    pub(super) async fn find(
        &self,
        view: &View,
        manifest: StoredManifest,
        tagged: Option<&TaggedVersion>,
        known: &Known,
        asked: Asked<'_>,
    ) -> Result<Option<Found>, GateError> {
        let judged = view.verdict.iter().filter(|_| view.is_believed).flat_map(|stored| &stored.record.artefacts);
        let judged: BTreeMap<_, _> = judged.map(|it| ((&it.key, &it.version_id), it.sha256)).collect();
        let to_read = match self.believing {
            Believing::SignedBy(_) => known.to_read(&manifest),
            Believing::Stored => BTreeMap::new(),
        };
        let all_tags = asked.care == Care::Full || !is_withheld(view, tagged);
        let (judged, to_read) = (&judged, &to_read);
        let artefacts = view.listed.iter().filter(|(path, _)| **path != ArtefactPath::Manifest);
        let found: Vec<_> = stream::iter(artefacts)
            .map(|(path, listed)| async move {
                let digest = judged.get(&(&listed.key, &listed.version_id)).copied();
                let is_read = digest.is_none() && to_read.get(path) == Some(&listed.size);
                let wants_tags = all_tags || asked.hints.names(path) || digest.is_some();
                let found = if is_read {
                    let tags = if wants_tags {
                        Some(self.artefacts.tags(&listed.key, &listed.version_id).await?)
                    } else {
                        None
                    };
                    match tags {
                        Some(None) => None,
                        tags => Some(Err(Unread {
                            version_id: listed.version_id.clone(),
                            size: listed.size,
                            tags: tags.flatten(),
                        })),
                    }
                } else {
                    self.object(listed, digest, wants_tags).await?.map(Ok)
                };
                Ok::<_, GateError>(found.map(|found| (path.clone(), found)))
            })
            .buffer_unordered(CALLS_IN_FLIGHT / 2)
            .try_collect()
            .await?;
        let (mut objects, mut unread) = (BTreeMap::new(), BTreeMap::new());
        for found in found {
            let Some((path, found)) = found else { return Ok(None) };
            match found {
                Ok(object) => drop(objects.insert(path, object)),
                Err(it) => drop(unread.insert(path, it)),
            }
        }
        // Without a policy no verdict comes of it, but tags and brake are looked after.
        let adr_053 = |_| AppliedRules::adr_053(&view.commit.repo);
        let AppliedRules { rules, policy_version_id, policy_sha256 } = view.rules.clone().unwrap_or_else(adr_053);
        let standing = view.verdict.as_ref().map(|stored| &stored.record);
        let evidence = Evidence {
            standing_revocation: standing.and_then(|verdict| standing_revocation(verdict, &manifest)).or_else(|| {
                let (Ok(ledger), Some(manifest)) = (&view.ledger, manifest.version_id()) else { return None };
                judgement::signed_revocation(&view.commit, ledger, manifest)
            }),
            manifest,
            manifest_tags: tagged.map_or_else(Tags::new, |it| it.tags.clone()),
            objects,
            rules,
            policy_version_id,
            policy_sha256,
            revocation: view.revocation.as_ref().map(|stored| stored.taken_back.clone()),
            ..Evidence::of(view.commit.clone())
        };
        Ok(Some(Found { evidence, unread }))
    }

    /// Reads the tags that were not read yet; `false` where an object vanished meanwhile.
    pub(super) async fn read_tags(&self, view: &View, evidence: &mut Evidence) -> Result<bool, GateError> {
        let missing = evidence.objects.iter_mut().filter(|(_, object)| object.tags.is_none());
        stream::iter(missing)
            .map(|(path, object)| async move {
                object.tags = self.artefacts.tags(&path.of(&view.commit), &object.version_id).await?;
                Ok(object.tags.is_some())
            })
            .buffer_unordered(CALLS_IN_FLIGHT)
            .try_fold(true, |all, is_there| future::ready(Ok(all && is_there)))
            .await
    }

    /// One object's digest and, where they are wanted or may be too many, its tags. The digest of a version never changes, so
    /// the standing verdict's is taken; else the store's own; and only where that doesn't exist the bytes are read.
    async fn object(
        &self,
        listed: &Listed,
        known: Option<Sha256>,
        wants_tags: bool,
    ) -> Result<Option<Object>, GateError> {
        let (key, version_id) = (&listed.key, &listed.version_id);
        let digest = async {
            if let Some(known) = known {
                return Ok(Some((known, 0)));
            }
            let Some(head) = self.artefacts.head(key, Some(version_id)).await? else { return Ok(None) };
            let digest = match head.sha256 {
                Some(digest) => Some(digest),
                None => self.digest(key, version_id).await?,
            };
            Ok(digest.map(|digest| (digest, head.tag_count)))
        };
        let tags = async {
            if wants_tags { Ok::<_, GateError>(self.artefacts.tags(key, version_id).await?) } else { Ok(None) }
        };
        let (digest, mut tags) = future::try_join(digest, tags).await?;
        let Some((sha256, tag_count)) = digest else { return Ok(None) };
        if tags.is_none() && (wants_tags || tag_count >= MAX_TAGS) {
            tags = self.artefacts.tags(key, version_id).await?;
            if tags.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Object { version_id: version_id.clone(), size: listed.size, sha256, tags }))
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
        Ok(there.map(|_| Sha256::from_bytes(hasher.finalize().into())))
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
