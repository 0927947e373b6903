//! What is read to verify a promotion, in two looks: everything whose place is known at once, and then what that names.
//! Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gatekeeper_gate::converge::inspected_templates;
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::CallerUnknown,
    ids::{Chain, Commit, Sha256, StackName, StageName, VersionId},
    manifest::{self, AssetKind, Manifest, SynthesisedFor},
    store_key::{ArtefactPath, Form, PromotionStatement, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::{
    Authority, PublicKeys, SigningError, Statement, TrustedKeys, ledger,
    ledger::{Standing, StandingError},
    witness,
};
use gatekeeper_readers::{
    template,
    template::{Synthesis, Template},
};
use gatekeeper_store::{
    Body, CALLS_IN_FLIGHT, Head, Listed, ReadStore, StoreError, Stores, Tags, record,
    record::{RecordError, Stored},
    revocation,
    revocation::StoredRevocation,
};

use super::{
    approval::GivenApproval,
    decide::Known,
    history::{StageState, unsigned_record},
    lock::Lock,
    record::PromotionRecord,
    request::PromotionRequest,
    rules::{Earlier, Requester},
    step::PromotionRef,
    verify::VerifyError,
};
use crate::{
    attestation::{VerificationSummary, disagreement},
    brake::GivenRelease,
    identities, stage,
    stage::Requirement,
};

/// What is read at once, before anything is known of the commit.
#[derive(Debug)]
pub(super) struct FirstLook {
    pub(super) listed: Vec<Listed>,
    pub(super) manifest: Option<Body>,
    pub(super) config: Option<Body>,
    pub(super) identities: Option<Body>,
    pub(super) attestation: Option<Body>,
    pub(super) verdict: Option<Stored<Verdict>>,
    pub(super) revocation: Option<StoredRevocation>,
    pub(super) state: Option<Stored<StageState>>,
    pub(super) lock: Option<Stored<Lock>>,
    pub(super) ledger_head: Option<Body>,
    /// The head of the gate's chain.
    pub(super) gate_head: Option<Body>,
    /// The head of the chain of what holds the stage.
    pub(super) holds_head: Option<Body>,
    /// What the gate's chain of the ledger tells of revocations.
    pub(super) revocations: Result<Standing, StandingError>,
    /// The places of the newest heads that the witness has of these chains; none where there is no witness.
    witnessed: Option<[witness::Newest; 3]>,
    pub(super) approvals: Vec<RecordKey>,
    pub(super) keys: PublicKeys,
    pub(super) requester: Requester,
}

/// One round trip. A `state` that was read already is taken as it is.
pub(super) async fn first<S: ReadStore>(
    Stores { artefacts, records }: Stores<'_, S>,
    witness: Option<&S>,
    stage: &StageName,
    commit: &Commit,
    state: Option<Stored<StageState>>,
    keys: impl Future<Output = Result<PublicKeys, SigningError>>,
    requester: impl Future<Output = Result<Requester, CallerUnknown>>,
) -> Result<FirstLook, VerifyError> {
    let (prefix, manifest_key) = (commit.prefix(), ArtefactPath::Manifest.of(commit));
    let (config_key, identities_key) = (RecordKey::StagesConfig.to_string(), RecordKey::IdentitiesConfig.to_string());
    let read_state = async {
        match state {
            Some(state) => Ok(Some(state)),
            None => record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), commit.repo.clone())).await,
        }
    };
    let chain = Chain { stage: stage.clone(), repo: commit.repo.clone() };
    let ledger_key = RecordKey::LedgerHead(chain.clone()).to_string();
    let gate_chain = Chain::of_gate(commit.repo.clone());
    let gate_ledger_key = RecordKey::LedgerHead(gate_chain.clone()).to_string();
    let holds_chain = Chain::of_holds(stage);
    let holds_key = RecordKey::LedgerHead(holds_chain.clone()).to_string();
    let attestation_key = RecordKey::BuiltAttestation(commit.clone(), Form::Dsse).to_string();
    let stored = future::try_join5(
        async { Ok::<_, VerifyError>(artefacts.list(&prefix).await?) },
        async { Ok(artefacts.get(&manifest_key, None, manifest::MAX_BYTES).await?) },
        async { Ok(records.get(&config_key, None, stage::MAX_BYTES).await?) },
        async { Ok(records.get(&identities_key, None, identities::MAX_BYTES).await?) },
        async { Ok(records.get(&attestation_key, None, gatekeeper_proof::MAX_BYTES).await?) },
    );
    let verdict_key = RecordKey::Verdict(commit.clone());
    let lock_key = RecordKey::Lock(stage.clone(), commit.repo.clone());
    let standing = future::try_join5(
        record::read::<Verdict>(records, &verdict_key),
        async { Ok(revocation::read(records, commit).await?) },
        read_state,
        record::read::<Lock>(records, &lock_key),
        async { Ok(records.get(&holds_key, None, ledger::MAX_BYTES).await?) },
    );
    let proofs = future::try_join5(
        async { Ok(records.get(&ledger_key, None, ledger::MAX_BYTES).await?) },
        async { Ok(records.get(&gate_ledger_key, None, ledger::MAX_BYTES).await?) },
        async { Ok(approval_keys(records, stage, commit).await?) },
        async { Ok(keys.await?) },
        async { Ok(requester.await?) },
    );
    let witnessed = async {
        let Some(witness) = witness else { return Ok(None) };
        let chains = [&chain, &gate_chain, &holds_chain].map(|chain| witness::newest(witness, chain));
        let [of_stage, of_gate, of_holds] = chains;
        let (of_stage, of_gate, of_holds) = future::join3(of_stage, of_gate, of_holds).await;
        Ok(Some([of_stage, of_gate, of_holds]))
    };
    let (stored, standing, proofs, witnessed) =
        future::try_join4(stored, async { Ok(standing.await?) }, proofs, witnessed).await?;
    let (listed, manifest, config, identities, attestation) = stored;
    let (verdict, revocation, state, lock, holds_head) = standing;
    let (ledger_head, gate_head, approvals, keys, requester) = proofs;
    let revocations = match &gate_head {
        None => Ok(Standing::default()),
        // One more round trip where the head is of before heads told it.
        Some(head) => match ledger::standing_of(records, &head.bytes, &gate_chain, keys.of(Authority::Gate)).await {
            Err(StandingError::Store(error)) => return Err(error.into()),
            told => told,
        },
    };
    Ok(FirstLook {
        listed,
        manifest,
        config,
        identities,
        attestation,
        verdict,
        revocation,
        state,
        lock,
        ledger_head,
        gate_head,
        holds_head,
        revocations,
        witnessed,
        approvals,
        keys,
        requester,
    })
}

/// Where people's approvals of a commit for a stage lie: asked in the first round, before the stage's rules are known.
async fn approval_keys(
    records: &impl ReadStore,
    stage: &StageName,
    commit: &Commit,
) -> Result<Vec<RecordKey>, StoreError> {
    let listed = records.list(&RecordKey::approvals_prefix(stage, commit)).await?;
    Ok(listed.iter().filter_map(|it| RecordKey::approval_of(stage, commit, &it.key)).collect())
}

/// What is read where the first look has led.
#[derive(Debug)]
pub(super) struct SecondLook {
    /// The manifest and every judged object; of a commit that isn't Built none, because every tag says `false` there.
    pub(super) objects: Vec<LookedAt>,
    /// What the commit's templates say.
    pub(super) templates: BTreeMap<StackName, Template>,
    /// The promotion that brought what the stage runs now.
    pub(super) before: Option<PromotionRecord>,
    /// The stage that is required first; `None` where it never ran anything of the repository.
    pub(super) required: Option<ReadEarlier>,
    /// The approvals of the commit for the stage.
    pub(super) approvals: Vec<GivenApproval>,
    /// The word that releases what holds the stage.
    pub(super) release: Option<GivenRelease>,
    /// Each chain that the promotion rests on, and what its witness has seen; nothing where there is no witness.
    pub(super) witnessed: Vec<(Chain, witness::Look)>,
}

/// An object at the version that will be applied.
#[derive(Debug)]
pub(super) struct LookedAt {
    pub(super) key: String,
    pub(super) version_id: VersionId,
    /// The SHA-256 that was judged; none of the manifest.
    pub(super) judged: Option<Sha256>,
    /// Its head and tags; `None` where the version is gone.
    pub(super) stored: Option<(Head, Tags)>,
}

/// One round trip; two where a stage is required first, or where the verdict's rules are older than this gatekeeper's.
pub(super) async fn second<S: ReadStore>(
    stores: Stores<'_, S>,
    witness: Option<&S>,
    known: &Known<'_>,
) -> Result<SecondLook, RecordError> {
    let Stores { artefacts, records } = stores;
    let Known { asked, commit, first, .. } = known;
    let verdict = known.verdict.as_ref().map(|it| &it.record);
    let built = verdict.filter(|verdict| verdict.outcome == Outcome::Built);
    let stage = known.stage.as_ref().map(|(stage, _)| stage);
    let required = async {
        let Some(Requirement::Deployed(first)) = stage.map(|stage| &stage.requires) else { return Ok(None) };
        earlier(records, witness, first, commit, &known.first.keys).await
    };
    let (objects, templates, before, required, (approvals, release, mut witnessed)) = future::try_join5(
        async { Ok(objects(artefacts, built, &first.listed).await?) },
        templates(stores, known.manifest.as_ref(), verdict, &first.keys.gate),
        promotion_before(records, asked.request, first.state.as_ref().map(|it| &it.record)),
        required,
        future::try_join3(
            approvals(records, &first.approvals, first.keys.approval.as_ref()),
            async {
                let Some(hold) = &known.hold else { return Ok(None) };
                GivenRelease::read(records, &asked.request.stage, &hold.id, first.keys.approval.as_ref()).await
            },
            async { Ok(witnessed(records, witness, &asked.request.stage, commit, first).await?) },
        ),
    )
    .await?;
    let (required, of_required) = required.unzip();
    witnessed.extend(of_required.flatten());
    Ok(SecondLook { objects, templates, before, required, approvals, release, witnessed })
}

/// What the witness has seen of the stage's chain, of the gate's, and of what holds the stage.
async fn witnessed<S: ReadStore>(
    records: &S,
    witness: Option<&S>,
    stage: &StageName,
    commit: &Commit,
    first: &FirstLook,
) -> Result<Vec<(Chain, witness::Look)>, StoreError> {
    let Some((witness, [of_stage, of_gate, of_holds])) = witness.zip(first.witnessed.as_ref()) else {
        return Ok(Vec::new());
    };
    let look = async |chain: Chain, head: Option<&Body>, newest| {
        let head = head.map(|body| body.bytes.clone());
        let key = first.keys.of(Authority::of(&chain));
        let look = witness::look(records, witness, &chain, head, newest, key).await?;
        Ok::<_, StoreError>((chain, look))
    };
    let chain = Chain { stage: stage.clone(), repo: commit.repo.clone() };
    let gate_chain = Chain::of_gate(commit.repo.clone());
    let (stage, gate, holds) = future::try_join3(
        look(chain, first.ledger_head.as_ref(), of_stage),
        look(gate_chain, first.gate_head.as_ref(), of_gate),
        look(Chain::of_holds(stage), first.holds_head.as_ref(), of_holds),
    )
    .await?;
    Ok(vec![stage, gate, holds])
}

/// Two reads an object, no bodies: its checksum and its tags, at the version that will be applied.
async fn objects(
    artefacts: &impl ReadStore,
    verdict: Option<&Verdict>,
    listed: &[Listed],
) -> Result<Vec<LookedAt>, StoreError> {
    let Some(verdict) = verdict else { return Ok(Vec::new()) };
    let manifest_key = ArtefactPath::Manifest.of(&verdict.commit());
    let manifest = listed.iter().find(|it| it.key == manifest_key);
    let manifest = manifest.map(|it| (&it.key, &it.version_id, None));
    let objects = verdict.artefacts.iter().map(|it| (&it.key, &it.version_id, Some(it.sha256)));
    stream::iter(manifest.into_iter().chain(objects))
        .map(|(key, version_id, judged)| async move {
            let head = artefacts.head(key, Some(version_id));
            let (head, tags) = future::try_join(head, artefacts.tags(key, version_id)).await?;
            Ok(LookedAt { key: key.clone(), version_id: version_id.clone(), judged, stored: head.zip(tags) })
        })
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_collect()
        .await
}

/// What the commit's templates say: from their inspections, or from their bytes where the rules have changed since.
async fn templates<S: ReadStore>(
    Stores { artefacts, records }: Stores<'_, S>,
    manifest: Option<&Manifest>,
    verdict: Option<&Verdict>,
    gate: &TrustedKeys,
) -> Result<BTreeMap<StackName, Template>, RecordError> {
    let synthesis = &manifest.map(Synthesis::of).unwrap_or_default();
    let Some((manifest, verdict)) = manifest.zip(verdict) else { return Ok(BTreeMap::new()) };
    let paths = manifest.modules.iter().flat_map(|module| {
        let stacks = module.stacks.iter();
        let stacks = stacks.map(|it| (Some(&it.name), ArtefactPath::Template(module.id.clone(), it.name.clone())));
        let nested = module.assets.iter().filter(|it| it.kind == AssetKind::Template);
        stacks.chain(nested.map(|it| (None, ArtefactPath::Asset(module.id.clone(), it.file()))))
    });
    let paths: BTreeSet<_> = paths.collect();
    let judged = paths.iter().filter_map(|(stack, path)| Some((*stack, verdict.artefact(path)?)));
    let inspected = &inspected_templates(records, &verdict.commit(), synthesis, gate).await?;
    let read: Vec<_> = stream::iter(judged)
        .map(|(stack, artefact)| async move {
            let mut template = inspected.get(&artefact.sha256).cloned();
            if template.is_none() {
                let body = artefacts.get(&artefact.key, Some(&artefact.version_id), template::MAX_BYTES as u64).await?;
                let body = body.filter(|body| Sha256::of(&body.bytes) == artefact.sha256);
                template = body.and_then(|body| template::inspect_synthesised(&body.bytes, synthesis, "").1);
            }
            Ok::<_, RecordError>(template.map(|template| (stack, artefact.sha256, template)))
        })
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_filter_map(|entry| future::ready(Ok(entry)))
        .try_collect()
        .await?;
    let nested = read.iter().filter(|(stack, ..)| stack.is_none());
    let nested: BTreeMap<Sha256, &Template> = nested.map(|(_, sha256, template)| (*sha256, template)).collect();
    let whole = read.iter().filter_map(|(stack, _, template)| {
        let stack = (*stack)?;
        // What is too much was refused by the gate; a template that is not there was never inspected.
        Some((stack.clone(), template.whole(stack, &manifest.modules, &nested).ok()?))
    });
    let mut whole: BTreeMap<_, _> = whole.collect();
    if let Some(made_for) = &manifest.synthesised_for {
        for (stack, template) in &mut whole {
            nest_forms(artefacts, manifest, verdict, made_for, stack, template).await?;
        }
    }
    Ok(whole)
}

/// Makes the portable form of a stack's template lead to those of the templates nested in it. Where it can't, the form is
/// not the attested one.
async fn nest_forms(
    artefacts: &impl ReadStore,
    manifest: &Manifest,
    verdict: &Verdict,
    made_for: &SynthesisedFor,
    stack: &StackName,
    template: &mut Template,
) -> Result<(), StoreError> {
    let nested = manifest.nested_templates(stack);
    let Some(module) = manifest.module_of(stack).filter(|_| !nested.is_empty()) else { return Ok(()) };
    let root = ArtefactPath::Template(module.id.clone(), stack.clone());
    let paths: BTreeSet<&ArtefactPath> = nested.values().chain([&root]).collect();
    let judged = paths.into_iter().filter_map(|path| Some((path, verdict.artefact(path)?)));
    let mut read: BTreeMap<_, _> = stream::iter(judged)
        .map(|(path, it)| async move {
            let body = artefacts.get(&it.key, Some(&it.version_id), template::MAX_BYTES as u64).await?;
            let body = body.filter(|body| Sha256::of(&body.bytes) == it.sha256);
            Ok::<_, StoreError>(body.map(|body| (path, body.bytes)))
        })
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_filter_map(future::ok)
        .try_collect()
        .await?;
    if let Some(root) = read.remove(&root) {
        let nested = nested.iter().filter_map(|(key, path)| Some((key.clone(), read.get(path)?.clone()))).collect();
        // Why there is none the gate has said of a commit that it built.
        drop(template.nest_forms(&root, &nested, made_for, stack.as_str()));
    }
    Ok(())
}

/// The promotion that brought what the stage runs now. A rollback, which has no way back, goes on without its record.
async fn promotion_before(
    records: &impl ReadStore,
    request: &PromotionRequest,
    state: Option<&StageState>,
) -> Result<Option<PromotionRecord>, RecordError> {
    let Some(state) = state else { return Ok(None) };
    let promotion =
        PromotionRef { stage: state.stage.clone(), repo: state.repo.clone(), promotion_id: state.promotion_id.clone() };
    if request.rollback {
        let stored = record::read::<PromotionRecord>(records, &PromotionRecord::key(&promotion)).await?;
        return Ok(stored.map(|stored| stored.record));
    }
    Ok(Some(PromotionRecord::load(records, &promotion).await?.record))
}

/// The approvals at these places.
async fn approvals(
    records: &impl ReadStore,
    places: &[RecordKey],
    keys: Option<&TrustedKeys>,
) -> Result<Vec<GivenApproval>, RecordError> {
    stream::iter(places)
        .map(|place| GivenApproval::read(records, place, keys))
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_filter_map(future::ok)
        .try_collect()
        .await
}

/// What a stage that is required first runs and ran, and the signed word that the commit was verified for it, as it lies
/// there: the stage's document alone is nobody's word.
#[derive(Debug)]
pub(super) struct ReadEarlier {
    state: Stored<StageState>,
    /// The head of its chain of the ledger.
    ledger_head: Option<Body>,
    /// The promotion that brought the commit, and its verification summary; `None` where the stage doesn't run it.
    promotion: Option<(PromotionRef, Option<Body>)>,
}

impl ReadEarlier {
    /// The same, with what is wrong with the signed word.
    pub(super) fn judged(self, commit: &Commit, built: Option<&Body>, keys: &PublicKeys) -> Earlier {
        let Self { state, ledger_head, promotion } = self;
        let chain = Chain { stage: state.record.stage.clone(), repo: commit.repo.clone() };
        let head = ledger_head.as_ref().map(|body| body.bytes.as_slice());
        let unsigned = || unsigned_record(&chain, state.sha256, head, keys);
        let since = state.record.promotion_of(&commit.sha).map(|it| it.completed_at);
        let unattested = promotion.and_then(|(promotion, summary)| {
            let key = summary_key(&promotion).to_string();
            let Some(body) = summary else {
                let stage = &promotion.stage;
                let message =
                    format!("nobody has signed that `{stage}` took `{commit}`; promote it to `{stage}` again");
                return Some(Finding::new(Code::AttestationMissing, key, message));
            };
            let wrong = match Statement::<VerificationSummary>::open(&body.bytes, keys) {
                Err(error) => Some(error.to_string()),
                Ok(statement) => {
                    let verified = statement.predicate.time_verified;
                    let too_early = since.filter(|since| *since < verified).map(|since| {
                        format!("it was verified at {verified}, and the stage is said to run it since {since}")
                    });
                    let built = built.map(|body| Sha256::of(&body.bytes));
                    disagreement(&statement, &promotion, &commit.sha, built).or(too_early)
                }
            };
            wrong.map(|wrong| Finding::new(Code::AttestationInvalid, key, wrong))
        });
        let unattested = unattested.or_else(unsigned);
        Earlier { state: state.record, unattested }
    }
}

fn summary_key(promotion: &PromotionRef) -> RecordKey {
    let PromotionRef { stage, repo, promotion_id } = promotion.clone();
    RecordKey::PromotionAttestation(stage, repo, promotion_id, PromotionStatement::VerificationSummary, Form::Dsse)
}

/// Beside it, what the witness has seen of the stage's chain, where there is one.
async fn earlier<S: ReadStore>(
    records: &S,
    witness: Option<&S>,
    stage: &StageName,
    commit: &Commit,
    keys: &PublicKeys,
) -> Result<Option<(ReadEarlier, Option<(Chain, witness::Look)>)>, RecordError> {
    let chain = Chain { stage: stage.clone(), repo: commit.repo.clone() };
    let (key, head_key) =
        (RecordKey::Stage(stage.clone(), commit.repo.clone()), RecordKey::LedgerHead(chain.clone()).to_string());
    let newest = async {
        match witness {
            Some(witness) => Ok(Some((witness, witness::newest(witness, &chain).await))),
            None => Ok(None),
        }
    };
    let (state, ledger_head, newest) = future::try_join3(
        record::read::<StageState>(records, &key),
        async { Ok(records.get(&head_key, None, ledger::MAX_BYTES).await?) },
        newest,
    )
    .await?;
    let Some(state) = state else { return Ok(None) };
    let promotion = async {
        let Some(completed) = state.record.promotion_of(&commit.sha) else { return Ok(None) };
        let (repo, promotion_id) = (commit.repo.clone(), completed.promotion_id.clone());
        let promotion = PromotionRef { stage: stage.clone(), repo, promotion_id };
        let key = summary_key(&promotion).to_string();
        let summary = records.get(&key, None, gatekeeper_proof::MAX_BYTES).await?;
        Ok::<_, RecordError>(Some((promotion, summary)))
    };
    let witnessed = async {
        let Some((witness, newest)) = &newest else { return Ok(None) };
        let (head, key) = (ledger_head.as_ref().map(|body| body.bytes.clone()), keys.of(Authority::of(&chain)));
        Ok(Some(witness::look(records, *witness, &chain, head, newest, key).await?))
    };
    let (promotion, witnessed) = future::try_join(promotion, witnessed).await?;
    Ok(Some((ReadEarlier { state, ledger_head, promotion }, witnessed.map(|look| (chain, look)))))
}
