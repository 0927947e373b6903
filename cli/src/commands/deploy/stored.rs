//! The stored commit, pinned: its manifest, what the gate has concluded on that, and every object that it claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_gate::judgement;
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, Sha256, StackName, VersionId},
    manifest::{self, AssetKind, Claim, Manifest},
    store_key::ArtefactPath,
    verdict::{JudgedArtefact, Outcome},
};
use gatekeeper_readers::{
    template,
    template::{Synthesis, Template},
};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore};

/// How long the gate gets to conclude on a manifest: it does so seconds after the upload.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at what it has concluded.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A commit as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) commit: Commit,
    pub(super) manifest: Manifest,
    /// The version that everything else is held against.
    pub(super) manifest_version_id: VersionId,
    /// Every object that the manifest claims, in the version that has the claimed bytes.
    pub(super) artefacts: Vec<JudgedArtefact>,
    /// What the templates say, with what is nested in them: of those that name what they were synthesised for the portable
    /// form, which tells where everything lies.
    pub(super) templates: BTreeMap<StackName, Template>,
    /// The parameters that the stored templates declare.
    pub(super) declared: BTreeMap<StackName, BTreeSet<String>>,
}

/// The stored commit, or every reason why it is not deployed.
pub(super) type Answer = Result<Box<Stored>, Vec<Finding>>;

/// Reads a commit. Nothing but the bytes that its manifest claims is pinned.
pub(super) async fn read(artefacts: &impl ReadStore, commit: &Commit, patience: Duration) -> anyhow::Result<Answer> {
    let key = ArtefactPath::Manifest.of(commit);
    let Some(body) = artefacts.get(&key, None, manifest::MAX_BYTES).await? else {
        let message = "there is no such commit in the store: publish it first";
        return Ok(Err(vec![Finding::new(Code::ManifestMissing, key, message)]));
    };
    let manifest = match Manifest::parse(&body.bytes, commit) {
        Ok(manifest) => manifest,
        Err(reasons) => return Ok(Err(reasons)),
    };
    if let Some(refusal) = refusal(artefacts, commit, &body.version_id, patience).await? {
        return Ok(Err(vec![refusal]));
    }
    let claims = manifest.claims();
    let looks = claims.iter().map(|claim| pin(artefacts, commit, claim));
    let looks: Vec<_> = stream::iter(looks).buffered(CALLS_IN_FLIGHT).try_collect().await?;
    let (mut pinned, mut reasons) = (Vec::new(), Vec::new());
    for look in looks {
        match look {
            Ok(artefact) => pinned.push(artefact),
            Err(finding) => reasons.push(finding),
        }
    }
    if !reasons.is_empty() {
        return Ok(Err(reasons));
    }
    let bytes = templates(artefacts, commit, &manifest, &pinned).await?;
    let (templates, declared) = match whole(&manifest, &bytes) {
        Ok(read) => read,
        Err(reasons) => return Ok(Err(reasons)),
    };
    let (commit, manifest_version_id) = (commit.clone(), body.version_id);
    Ok(Ok(Box::new(Stored { commit, manifest, manifest_version_id, artefacts: pinned, templates, declared })))
}

/// Why the gate's conclusion on a manifest forbids to deploy its commit. What the gate has not told yet is waited for.
async fn refusal(
    artefacts: &impl ReadStore,
    commit: &Commit,
    version_id: &VersionId,
    patience: Duration,
) -> anyhow::Result<Option<Finding>> {
    let key = ArtefactPath::Manifest.of(commit);
    let until = tokio::time::Instant::now() + patience;
    loop {
        let tags = artefacts.tags(&key, version_id).await.context(
            "what the gate has concluded on the commit can't be told, and it may have been taken back: these credentials \
             need `s3:GetObjectVersionTagging` on the manifest",
        )?;
        let (code, message) = match tags.as_ref().map(judgement::concluded) {
            None => {
                (Code::ManifestMissing, "the manifest was there a moment ago, and is gone: publish the commit again")
            }
            Some(Some(Outcome::Registered | Outcome::Built)) => return Ok(None),
            Some(Some(Outcome::Revoked)) => (
                Code::Revoked,
                "this version of the manifest was taken back: publish the commit again, or deploy another",
            ),
            Some(Some(Outcome::Rejected)) => (
                Code::NotBuilt,
                "the gate has rejected it: `gatekeeper check s3://BUCKET/REPO/SHA/` lists every reason. A manifest of \
                 before the integration tests may be published again",
            ),
            Some(Some(Outcome::Incomplete) | None) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            Some(Some(Outcome::Incomplete) | None) => (
                Code::NotBuilt,
                "the gate has not registered it: run `gatekeeper publish --wait --expect registered` first, which tells \
                 what is missing",
            ),
        };
        return Ok(Some(Finding::new(code, key, message)));
    }
}

/// The version of a claimed object that is there, where it has the claimed bytes.
async fn pin(
    artefacts: &impl ReadStore,
    commit: &Commit,
    Claim { path, sha256, size }: &Claim,
) -> anyhow::Result<Result<JudgedArtefact, Finding>> {
    let key = path.of(commit);
    let missing =
        || Finding::new(Code::ArtefactMissing, key.clone(), "it is not in the store: publish the commit again");
    let Some(head) = artefacts.head(&key, None).await? else { return Ok(Err(missing())) };
    let there = match head.sha256 {
        Some(there) => there,
        // It was uploaded in parts, and S3 knows no digest of the whole.
        None => match hash(artefacts, &key, &head.version_id).await? {
            Some(there) => there,
            None => return Ok(Err(missing())),
        },
    };
    if there != *sha256 || head.size != *size {
        let message =
            format!("the stored bytes are `{there}`, the manifest lists `{sha256}`: publish the commit again");
        return Ok(Err(Finding::new(Code::DigestMismatch, key, message)));
    }
    Ok(Ok(JudgedArtefact { key, version_id: head.version_id, sha256: there, size: head.size }))
}

async fn hash(artefacts: &impl ReadStore, key: &str, version_id: &VersionId) -> anyhow::Result<Option<Sha256>> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let mut sink = |piece: &[u8]| {
        hasher.update(piece);
        Ok(())
    };
    let there = artefacts.stream(key, version_id, &mut sink).await?;
    Ok(there.map(|_| Sha256::from_bytes(hasher.finalize().into())))
}

/// The bytes of every template, nested ones too, by digest.
async fn templates(
    artefacts: &impl ReadStore,
    commit: &Commit,
    manifest: &Manifest,
    pinned: &[JudgedArtefact],
) -> anyhow::Result<BTreeMap<Sha256, Vec<u8>>> {
    let keys: BTreeSet<String> = manifest
        .modules
        .iter()
        .flat_map(|module| {
            let stacks = module.stacks.iter().map(|it| ArtefactPath::Template(module.id.clone(), it.name.clone()));
            let nested = module.assets.iter().filter(|it| it.kind == AssetKind::Template);
            stacks.chain(nested.map(|it| ArtefactPath::Asset(module.id.clone(), it.file())))
        })
        .map(|path| path.of(commit))
        .collect();
    let reads = pinned.iter().filter(|it| keys.contains(&it.key)).map(|it| async move {
        let body = artefacts.get(&it.key, Some(&it.version_id), template::MAX_BYTES as u64).await?;
        let bytes = body.map(|body| body.bytes).filter(|bytes| Sha256::of(bytes) == it.sha256);
        let bytes = bytes.with_context(|| format!("version `{}` of `{}` is not what it was", it.version_id, it.key))?;
        Ok::<_, anyhow::Error>((it.sha256, bytes))
    });
    stream::iter(reads).buffer_unordered(CALLS_IN_FLIGHT).try_collect().await
}

/// What each stack's template says, with what is nested in it, and the parameters that it declares as it is stored.
#[expect(clippy::type_complexity, reason = "both are by the stack's name, and told apart where this is called")]
fn whole(
    manifest: &Manifest,
    bytes: &BTreeMap<Sha256, Vec<u8>>,
) -> Result<(BTreeMap<StackName, Template>, BTreeMap<StackName, BTreeSet<String>>), Vec<Finding>> {
    let synthesis = Synthesis::of(manifest);
    let inspected: BTreeMap<Sha256, Result<Template, Vec<Finding>>> = bytes
        .iter()
        .map(|(sha256, bytes)| {
            let (findings, template) = template::inspect_synthesised(bytes, &synthesis, &sha256.to_string());
            (*sha256, template.ok_or(findings))
        })
        .collect();
    let read = inspected.iter().filter_map(|(sha256, it)| Some((*sha256, it.as_ref().ok()?))).collect();
    let (mut templates, mut declared, mut reasons) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for stack in manifest.stacks() {
        let stored = bytes.get(&stack.sha256).and_then(|bytes| template::read(bytes));
        match (inspected.get(&stack.sha256), stored) {
            (Some(Ok(template)), Some(stored)) => match template.whole(&stack.name, &manifest.modules, &read) {
                Ok(whole) => {
                    templates.insert(stack.name.clone(), whole);
                    declared.insert(stack.name.clone(), stored.parameters.into_keys().collect());
                }
                Err(why) => reasons.push(Finding::new(Code::TemplateInvalid, stack.name.as_str(), why)),
            },
            (Some(Err(findings)), _) => {
                let of_stack = |it: &Finding| Finding { subject: stack.name.to_string(), ..it.clone() };
                reasons.extend(findings.iter().map(of_stack));
            }
            _ => reasons.push(Finding::new(Code::TemplateInvalid, stack.name.as_str(), "it is no template")),
        }
    }
    if reasons.is_empty() { Ok((templates, declared)) } else { Err(reasons) }
}
