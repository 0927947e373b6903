//! One look at one repository on one stage: everything that the comparison needs, in a few round trips.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aws_config::SdkConfig;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{join, try_join, try_join3, try_join4},
    stream,
};
use gatekeeper_aws::{live, stack_functions::looking_client, stage_account::stage_config};
use gatekeeper_model::{
    finding::Code,
    ids::{Chain, Commit, PromotionId, Repo, Sha256, StageName},
    store_key::RecordKey,
    telemetry::{Logger, chain},
    verdict::Verdict,
};
use gatekeeper_promotion::{
    beside,
    drift::{Drift, Look, ObjectLook, Origin, Promoted, ProvedLedger, compare, is_under_way, promoted_versions},
    history::StageState,
    lock::Lock,
    record::{LiveFunction, PromotionRecord},
};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore as _, record, record::RecordError, revocation};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    Looked, Watcher, fresh, proofs,
    stacks::Stacks,
    tell::{Telling, notifications},
};

/// How often databases are asked: some sleep until somebody connects, and are paid for by the time that they are awake.
const DATABASES_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The most commits with some bytes whose verdicts are read.
const ORIGINS_READ: usize = 8;

/// What the records say of a repository on a stage.
struct Records {
    state: StageState,
    state_sha256: Sha256,
    lock: Option<Lock>,
    before: Option<record::Stored<Drift>>,
}

/// What was looked at, beside what is compared.
struct Seen {
    look: Look,
    databases_asked: bool,
    ledger: Option<ProvedLedger>,
}

impl Watcher {
    /// Looks at one repository on one stage, and tells what has changed there.
    pub(crate) async fn watch(
        &self,
        stage: &StageName,
        repo: &Repo,
        is_thorough: bool,
        log: &Logger,
    ) -> anyhow::Result<Looked> {
        let now = (self.clock)();
        let Some(records) = self.records(stage, repo).await? else { return Ok(Looked::Skipped) };
        let Records { state, state_sha256, lock, before } = &records;
        if is_under_way(lock.as_ref(), now) {
            log.info(
                "stage skipped: a promotion is under way",
                json!({"promotion_id": lock.as_ref().map(|it| &it.promotion_id)}),
            );
            return Ok(Looked::Skipped);
        }
        let since = lock.as_ref().map(|lock| &lock.promotion_id).filter(|id| **id != state.promotion_id);
        let (record, last) = try_join(self.record_of(state, &state.promotion_id), async {
            match since {
                Some(id) => self.record_of(state, id).await.map(Some),
                None => Ok(None),
            }
        })
        .await?;
        let known = record.as_ref().ok();
        let last = last.as_ref().unwrap_or(&record).as_ref().map_err(String::as_str);
        let before = before.as_ref();
        let seen = self.look((state, *state_sha256), known, before.map(|it| &it.record), is_thorough, now).await?;
        let promoted = Promoted { state, record: record.as_ref().map_err(String::as_str), last };
        let unread = seen.look.unread();
        let mut drift = Drift::after(before.map(|it| &it.record), state, compare(promoted, &seen.look, now), now);
        if seen.databases_asked {
            drift.databases_checked_at = Some(now);
        }
        drift.ledger = seen.ledger;
        // What was seen while a promotion was changing it is neither the old state nor the new one.
        if !drift.change().is_empty() && self.has_moved_on(&records).await? {
            log.info("stage skipped: a promotion has begun meanwhile", json!({}));
            return Ok(Looked::Skipped);
        }
        let publish = async |subject: String, message: String| {
            let publish = self.sns.publish().topic_arn(&self.topic_arn).subject(subject).message(message);
            publish.send().await.map_err(|error| anyhow::anyhow!("Publish: {}", chain(&error)))?;
            Ok(())
        };
        let signer = self.keys.promotion();
        let telling = Telling { records: &self.buckets.records, signer, people: publish, now, log };
        let notifications = notifications(&drift);
        let looked = telling.tell(drift, before).await?;
        self.notifier.tell(&notifications, log).await;
        let in_doubt = match &looked {
            Looked::At { drift, .. } => fresh::is_in_doubt(drift.findings.iter().map(|it| it.finding.code)),
            Looked::Skipped => true,
        };
        if !in_doubt {
            let (chain, keys) = (Chain { stage: stage.clone(), repo: repo.clone() }, self.keys.public_keys().await?);
            let stated = fresh::state(&self.buckets.records, signer, &chain, &keys, now).await;
            if stated.context("which entries of the ledger are the newest could not be stated")?.is_some() {
                log.info("it was stated which entries of the ledger are the newest", json!({}));
            }
        }
        // It is written down that a part could not be looked at; that it is so must not pass in silence.
        anyhow::ensure!(
            unread.is_empty(),
            "what could be looked at is told; could not be looked at: {}",
            unread.join("; ")
        );
        Ok(looked)
    }

    async fn records(&self, stage: &StageName, repo: &Repo) -> Result<Option<Records>, RecordError> {
        let records = &self.buckets.records;
        let (state, lock, before) = try_join3(
            record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), repo.clone())),
            record::read::<Lock>(records, &RecordKey::Lock(stage.clone(), repo.clone())),
            record::read::<Drift>(records, &RecordKey::Drift(stage.clone(), repo.clone())),
        )
        .await?;
        Ok(state.map(|state| {
            let lock = lock.map(|it| it.record);
            Records { state: state.record, state_sha256: state.sha256, lock, before }
        }))
    }

    async fn has_moved_on(&self, seen: &Records) -> Result<bool, RecordError> {
        let now = self.records(&seen.state.stage, &seen.state.repo).await?;
        Ok(now.is_none_or(|now| now.state != seen.state || now.lock != seen.lock))
    }

    /// The record of a promotion to the stage, or in words why there is none: that is a finding, not an error.
    async fn record_of(
        &self,
        state: &StageState,
        id: &PromotionId,
    ) -> Result<Result<PromotionRecord, String>, RecordError> {
        let key = RecordKey::Promotion(state.stage.clone(), state.repo.clone(), id.clone());
        match record::read::<PromotionRecord>(&self.buckets.records, &key).await {
            Ok(Some(stored)) => Ok(Ok(stored.record)),
            Ok(None) => Ok(Err("the record of the promotion that the stage names is not there".to_owned())),
            Err(error @ RecordError::Invalid { .. }) => Ok(Err(chain(&error))),
            Err(error) => Err(error),
        }
    }

    async fn look(
        &self,
        (state, state_sha256): (&StageState, Sha256),
        record: Option<&PromotionRecord>,
        before: Option<&Drift>,
        is_thorough: bool,
        now: Timestamp,
    ) -> anyhow::Result<Seen> {
        let records = &self.buckets.records;
        let commit = Commit { repo: state.repo.clone(), sha: state.commit_sha.clone() };
        let keys = self.keys.public_keys().await?;
        let asked = before.filter(|it| it.promotion_id == state.promotion_id).and_then(|it| it.databases_checked_at);
        let is_due = is_thorough || asked.is_none_or(|asked| now.duration_since(asked) >= DATABASES_EVERY);
        let databases = async {
            match record.filter(|_| is_due) {
                Some(record) => {
                    let (databases, runs) = join(self.databases.look(record), self.runs.look(record)).await;
                    Ok::<_, anyhow::Error>((databases, runs))
                }
                None => Ok(((BTreeMap::new(), Vec::new()), BTreeMap::new())),
            }
        };
        let config = stage_config(&self.config, record.and_then(|it| it.role_arn.as_deref())).await;
        let chain = Chain { stage: state.stage.clone(), repo: state.repo.clone() };
        // A break that was found stands until the whole chain holds again.
        let was_broken = before.is_some_and(|it| it.findings.iter().any(|it| it.finding.code == Code::LedgerBroken));
        let proved = before.and_then(|it| it.ledger.as_ref());
        let proofs = async {
            let attested = async {
                match record {
                    Some(record) => proofs::attestation(records, record, &keys).await,
                    None => Ok(None),
                }
            };
            let ledger = proofs::ledger(records, &chain, proved, is_thorough || was_broken, &keys, now);
            let signed = proofs::signed(records, &chain, state_sha256, &keys);
            let witnessed = async {
                match &self.buckets.witness {
                    Some(witness) => proofs::witnessed(records, witness, &chain, &keys, now).await,
                    None => Ok(Vec::new()),
                }
            };
            let (attestation, (broken, proved), (mut findings, revocations), witnessed) =
                try_join4(attested, ledger, signed, witnessed).await?;
            findings.extend(witnessed);
            // The gate's own chain and that of what holds the stage, which are short, are proved whole as often as the stage's is.
            if proved.as_ref().is_none_or(|it| it.proved_at == now) {
                for beside in [Chain::of_gate(chain.repo.clone()), Chain::of_holds(&chain.stage)] {
                    findings.extend(proofs::short_ledger(records, &beside, &keys).await?);
                }
            }
            let unproved =
                before.is_some_and(|it| it.findings.iter().any(|it| it.finding.code == Code::ApprovalNotProved));
            if unproved || proved.as_ref().is_none_or(|it| it.proved_at == now) {
                findings.extend(beside::unproved_approvals(records, &chain, keys.approval.as_ref()).await?);
            }
            findings.extend(beside::unattested_verdict(records, &commit, &keys).await?);
            findings.extend(attestation.into_iter().chain(broken));
            Ok::<_, anyhow::Error>((findings, proved, revocations))
        };
        let verdict = async {
            let key = RecordKey::Verdict(commit.clone());
            let verdict = async { anyhow::Ok(record::read::<Verdict>(records, &key).await?) };
            try_join(verdict, async { Ok(revocation::read(records, &commit).await?) }).await
        };
        let (live, ((databases, histories), runs), (proofs, ledger, revocations), (verdict, revocation)) =
            try_join4(self.live(&config, record, is_thorough, now), databases, proofs, verdict).await?;
        let Live { functions, stacks, objects } = live;
        let databases_asked = !databases.is_empty() || !runs.is_empty();
        let look = Look {
            origins: self.origins(&functions).await?,
            functions,
            stacks,
            databases,
            runs,
            histories,
            objects,
            verdict: verdict.map(|it| it.record),
            revocation: revocation.map(|it| it.taken_back),
            revocations,
            proofs,
        };
        Ok(Seen { look, databases_asked, ledger })
    }

    /// What is live of a promotion, and what is stored of it.
    async fn live(
        &self,
        config: &SdkConfig,
        record: Option<&PromotionRecord>,
        is_thorough: bool,
        now: Timestamp,
    ) -> anyhow::Result<Live> {
        let Some(record) = record else { return Ok(Live::default()) };
        let stacks = Stacks { client: looking_client(config), is_thorough, now };
        let (functions, stacks, objects) = tokio::join!(
            live::look_at_pace(config, &record.plan, &self.looks),
            stacks.look(record),
            self.objects(record),
        );
        let objects = objects?;
        Ok(Live { functions, stacks, objects })
    }

    /// The stored objects that a promotion applied: no bodies, one listing and the tags of each.
    async fn objects(&self, record: &PromotionRecord) -> anyhow::Result<Vec<ObjectLook>> {
        let artefacts = &self.buckets.artefacts;
        let listed = artefacts.list(&record.commit().prefix()).await?;
        let newest: BTreeMap<_, _> = listed.into_iter().map(|it| (it.key, it.version_id)).collect();
        let newest = &newest;
        let objects = stream::iter(promoted_versions(record)).map(|(key, version_id)| async move {
            let tags = artefacts.tags(&key, &version_id).await?;
            Ok(ObjectLook { newest: newest.get(&key).cloned(), key, version_id, tags })
        });
        objects.buffered(CALLS_IN_FLIGHT).try_collect().await
    }

    /// Which commits the code is of that functions run and that wasn't promoted.
    async fn origins(&self, functions: &[LiveFunction]) -> anyhow::Result<BTreeMap<Sha256, Vec<Origin>>> {
        let other = functions.iter().filter(|it| !it.is_promoted_code).filter_map(|it| it.code_sha256);
        let other: std::collections::BTreeSet<_> = other.collect();
        let records = &self.buckets.records;
        stream::iter(other)
            .map(|code| async move {
                let listed = records.list(&RecordKey::digest_prefix(&code)).await?;
                let commits = listed.iter().filter_map(|it| RecordKey::commit_of_digest(&it.key));
                let origins = stream::iter(commits.take(ORIGINS_READ)).map(|commit| async move {
                    let verdict = record::read::<Verdict>(records, &RecordKey::Verdict(commit.clone())).await?;
                    Ok::<_, anyhow::Error>(Origin { commit, outcome: verdict.map(|it| it.record.outcome) })
                });
                Ok((code, origins.buffered(ORIGINS_READ).try_collect().await?))
            })
            .buffer_unordered(ORIGINS_READ)
            .try_collect()
            .await
    }
}

/// What is live of a promotion, and what is stored of it.
#[derive(Default)]
struct Live {
    functions: Vec<LiveFunction>,
    stacks: BTreeMap<gatekeeper_model::ids::StackName, gatekeeper_promotion::drift::StackLook>,
    objects: Vec<ObjectLook>,
}
