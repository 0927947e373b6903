//! Pulling the brake: a stage is held, a promotion is stopped. Letting go takes an approver's word, which is entered here.

use anyhow::Context as _;
use futures_util::future;
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{Caller, CallerUnknown, NotProven},
    ids::{Chain, HoldId, PromotionId, Repo, StageName},
    store_key::RecordKey,
    telemetry::Logger,
};
use gatekeeper_promotion::{
    brake::{
        Action, BrakeRequest, GivenRelease, SignedWord, StopWish, Word as _, askers, holding, is_sent_back,
        not_stoppable, standing, under_way, who,
    },
    decide::config_of,
    identities::Identities,
    record::{PromotionRecord, Status},
    step::PromotionRef,
};
use gatekeeper_promotion::{identities, stage};
use gatekeeper_proof::{
    KeyHolder, Signer, ledger,
    ledger::{Hold, Standing, Waiver},
};
use gatekeeper_store::{Precondition, WriteStore, Written, record, record::RecordError};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

/// What `promote` answers to whoever pulls the brake, or agrees to a waiver or ends one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum BrakeAnswer {
    /// The stage is held.
    Held {
        /// By whom and since when.
        hold: Hold,
        /// Whether it was held before already.
        already: bool,
        /// What was under way and goes back.
        sent_back: Vec<UnderWay>,
        /// What is under way and goes on: rollbacks, and what two people broke the glass for.
        goes_on: Vec<UnderWay>,
    },
    /// The promotion is stopped as soon as its present step has ended.
    Stopping {
        /// The promotion.
        promotion_id: PromotionId,
        /// Who stops it.
        by: String,
        /// Whether somebody had stopped it before already.
        already: bool,
    },
    /// The waiver counts from now on.
    Waived {
        /// What is waived, until when and by whom.
        waiver: Waiver,
        /// Whether it counted before already.
        already: bool,
    },
    /// The waiver counts no more.
    Ended {
        /// What was waived.
        waiver: Waiver,
        /// Who ended it.
        by: String,
    },
    /// It can't be; nothing was written.
    Refused {
        /// Every reason.
        reasons: Vec<Finding>,
    },
}

/// A promotion that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnderWay {
    /// Its id.
    pub promotion_id: PromotionId,
    /// Its repository.
    pub repo: Repo,
    /// Who asked for it.
    pub asked_by: String,
}

impl UnderWay {
    fn of(record: &PromotionRecord) -> Self {
        Self {
            promotion_id: record.promotion_id.clone(),
            repo: record.repo.clone(),
            asked_by: record.asked_by().to_owned(),
        }
    }
}

/// What pulls the brake.
#[derive(Debug)]
pub struct Braking<'a, S> {
    /// Where the records are.
    pub records: &'a S,
    /// What it signs with: promotion's key.
    pub signer: &'a dyn Signer,
    /// The key that releases are verified by.
    pub approvals: &'a dyn KeyHolder,
    /// Where it tells of its work.
    pub log: &'a Logger,
}

impl<S: WriteStore> Braking<'_, S> {
    /// Answers one event.
    ///
    /// # Errors
    /// Where it could not look or write. Asked again it does what is missing.
    pub async fn answer(
        &self,
        request: &BrakeRequest,
        caller: impl Future<Output = Result<Result<Caller, NotProven>, CallerUnknown>>,
        now: Timestamp,
    ) -> anyhow::Result<BrakeAnswer> {
        match &request.action {
            Action::Hold => self.hold(request, caller, now).await,
            Action::Stop { repo, promotion_id } => {
                let promotion = PromotionRef {
                    stage: request.stage.clone(),
                    repo: repo.clone(),
                    promotion_id: promotion_id.clone(),
                };
                self.stop(request, &promotion, caller, now).await
            }
            Action::AgreeToWaiver { waiver_id, proposal_sha256 } => {
                self.agree(request, waiver_id, *proposal_sha256, caller, now).await
            }
            Action::EndWaiver { waiver_id } => self.end_waiver(request, waiver_id, caller, now).await,
        }
    }

    pub(crate) fn refused(&self, request: &BrakeRequest, mut reasons: Vec<Finding>) -> BrakeAnswer {
        reasons.sort();
        self.log.warn("the brake was not pulled", json!({"action": request.action, "reasons": reasons}));
        BrakeAnswer::Refused { reasons }
    }

    async fn hold(
        &self,
        request: &BrakeRequest,
        caller: impl Future<Output = Result<Result<Caller, NotProven>, CallerUnknown>>,
        now: Timestamp,
    ) -> anyhow::Result<BrakeAnswer> {
        let stage_name = &request.stage;
        let chain = Chain::of_holds(stage_name);
        let (head_key, config_key) =
            (RecordKey::LedgerHead(chain.clone()).to_string(), RecordKey::StagesConfig.to_string());
        let identities_key = RecordKey::IdentitiesConfig.to_string();
        let looks = future::try_join5(
            async { anyhow::Ok(caller.await?) },
            async { Ok(self.records.get(&head_key, None, ledger::MAX_BYTES).await?) },
            async { Ok(self.records.get(&config_key, None, stage::MAX_BYTES).await?) },
            async { Ok(self.records.get(&identities_key, None, identities::MAX_BYTES).await?) },
            async { Ok(under_way(self.records, stage_name).await?) },
        );
        let (looks, (keys, approvals)) = future::try_join(looks, async {
            Ok(future::try_join(self.signer.trusted(), self.approvals.trusted()).await?)
        })
        .await?;
        let (caller, head, config, identities, running) = looks;
        let mut reasons = Vec::new();
        let caller = proven(caller, stage_name, &mut reasons);
        let configured = config_of(config, stage_name, &mut reasons);
        let standing = standing(stage_name, head.as_ref().map(|body| body.bytes.as_slice()), &keys);
        let standing = standing.unwrap_or_else(|broken| {
            reasons.push(broken);
            Standing::default()
        });
        let (Some(caller), Some((configured, _)), true) = (caller, configured, reasons.is_empty()) else {
            return Ok(self.refused(request, reasons));
        };
        let mut stands = None;
        if let Some(before) = standing.hold {
            let release = GivenRelease::read(self.records, stage_name, &before.id, Some(&approvals)).await?;
            // Where nobody can tell who is who, the hold stands.
            let identities = Identities::of(identities.as_ref()).ok();
            let counts = release.filter(|release| {
                identities.as_ref().is_some_and(|it| release.why_not(&before, configured.approvals, it).is_none())
            });
            match counts {
                Some(release) => enter_release(self.records, self.signer, &before, &release, now).await?,
                None => stands = Some(before),
            }
        }
        let already = stands.is_some();
        let hold = match stands {
            Some(hold) => hold,
            None => {
                let hold = Hold {
                    id: new_id()?,
                    by: who(&caller).to_owned(),
                    since: now,
                    reason: request.reason.clone(),
                    interrupted: askers(&running.promotions),
                };
                ledger::append(self.records, self.signer, &chain, &holding(&hold), None, now).await?;
                self.log.warn("stage held", json!({"by": hold.by, "reason": hold.reason, "hold_id": hold.id}));
                self.log.count("Holds", None, 1);
                hold
            }
        };
        // What took its lock before the hold was entered, and was not seen above, is seen now.
        let running = under_way(self.records, stage_name).await?;
        let goes_back = |record: &&PromotionRecord| is_sent_back(record) || record.status == Status::GoingBack;
        let (back, on): (Vec<_>, Vec<_>) = running.promotions.iter().partition(goes_back);
        // What goes back already needs no wish.
        for record in back.iter().filter(|record| is_sent_back(record)) {
            let wish = StopWish {
                schema_version: 1,
                promotion: record.reference(),
                by: hold.by.clone(),
                stopped_at: now,
                reason: hold.reason.clone(),
                hold: Some(hold.id.clone()),
            };
            self.wish(wish).await?;
        }
        anyhow::ensure!(
            running.unreadable.is_empty(),
            "the stage is held, and what could be told to be under way goes back; but nobody can tell what `{}` stands for: a \
             promotion may go on there; see whether the state machine has a running execution of it",
            running.unreadable.join("`, `")
        );
        let told = |records: Vec<&PromotionRecord>| records.into_iter().map(UnderWay::of).collect();
        Ok(BrakeAnswer::Held { hold, already, sent_back: told(back), goes_on: told(on) })
    }

    async fn stop(
        &self,
        request: &BrakeRequest,
        promotion: &PromotionRef,
        caller: impl Future<Output = Result<Result<Caller, NotProven>, CallerUnknown>>,
        now: Timestamp,
    ) -> anyhow::Result<BrakeAnswer> {
        let (caller, stored) =
            future::try_join(async { anyhow::Ok(caller.await?) }, async { self.record(promotion).await }).await?;
        let mut reasons = Vec::new();
        let caller = proven(caller, &request.stage, &mut reasons);
        reasons.extend(stored.err());
        let (Some(caller), true) = (caller, reasons.is_empty()) else { return Ok(self.refused(request, reasons)) };
        let by = who(&caller).to_owned();
        let wish = StopWish {
            schema_version: 1,
            promotion: promotion.clone(),
            by: by.clone(),
            stopped_at: now,
            reason: request.reason.clone(),
            hold: None,
        };
        let already = !self.wish(wish).await?;
        // It may have ended in this moment, and then nobody looks at the wish any more; or a step has seen it already.
        let now = PromotionRecord::load(self.records, promotion).await?.record;
        if let Some(ended) = not_stoppable(&now).filter(|_| now.stopped.is_none()) {
            return Ok(self.refused(request, vec![ended]));
        }
        Ok(BrakeAnswer::Stopping { promotion_id: promotion.promotion_id.clone(), by, already })
    }

    /// The record of a promotion that can be stopped, or why it can't be.
    async fn record(&self, promotion: &PromotionRef) -> anyhow::Result<Result<PromotionRecord, Finding>> {
        match PromotionRecord::load(self.records, promotion).await {
            Ok(stored) => Ok(match not_stoppable(&stored.record) {
                None => Ok(stored.record),
                Some(finding) => Err(finding),
            }),
            Err(RecordError::Missing(_)) => {
                let PromotionRef { stage, repo, promotion_id } = promotion;
                let message = format!("there is no such promotion of `{repo}` to `{stage}`; see `gatekeeper status`");
                Ok(Err(Finding::new(Code::PromotionNotStoppable, promotion_id.as_str(), message)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes that a promotion is stopped, where nobody has; whether it was this wish.
    async fn wish(&self, wish: StopWish) -> anyhow::Result<bool> {
        let key = wish.key();
        let signed = SignedWord::sign(wish, self.signer).await?;
        let written = record::write(self.records, &key, &signed, &Precondition::Absent).await?;
        let is_new = matches!(written, Written::Done { .. });
        if is_new {
            let StopWish { promotion, by, reason, hold, .. } = &signed.word;
            self.log.warn(
                "promotion is stopped",
                json!({"promotion_id": promotion.promotion_id, "repo": promotion.repo, "by": by, "reason": reason, "hold_id": hold}),
            );
            self.log.count("Stops", None, 1);
        }
        Ok(is_new)
    }
}

/// Who pulls the brake: a person or another principal of the account, such as what watches error rates. Nobody else.
pub(crate) fn proven(
    caller: Result<Caller, NotProven>,
    stage: &StageName,
    reasons: &mut Vec<Finding>,
) -> Option<Caller> {
    let wrong = |wrong: NotProven| {
        let message = format!("the proof of who asks: {wrong}");
        reasons.push(Finding::new(Code::RequesterUnproven, stage.as_str(), message));
    };
    caller.map_err(wrong).ok()
}

/// Enters the word that releases a stage into the ledger, once.
pub(crate) async fn enter_release(
    records: &impl WriteStore,
    signer: &dyn Signer,
    hold: &Hold,
    release: &GivenRelease,
    now: Timestamp,
) -> anyhow::Result<()> {
    let chain = Chain::of_holds(&release.word().stage);
    ledger::append(records, signer, &chain, &release.event(hold), Some(release.word().released_at), now).await?;
    Ok(())
}

fn new_id() -> anyhow::Result<HoldId> {
    ulid::Ulid::generate().to_string().parse().context("a ULID is a hold's id")
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
