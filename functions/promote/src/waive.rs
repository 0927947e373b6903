//! Agreeing to a waiver that an approver proposed, and ending one: what counts, the chain of what holds the stage tells.

use futures_util::future;
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{Caller, CallerUnknown, NotProven},
    ids::{Chain, Sha256, StageName, WaiverId},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    brake::{BrakeRequest, standing, who},
    decide::config_of,
    identities,
    identities::Identities,
    stage,
    waiver::{GivenProposal, MAX_STANDING, agreeing, ending},
};
use gatekeeper_proof::ledger;
use gatekeeper_store::{WriteStore, record::RecordError};
use jiff::Timestamp;
use serde_json::json;

use crate::brake::{BrakeAnswer, Braking, proven};

impl<S: WriteStore> Braking<'_, S> {
    /// Lets a waiver count that somebody else proposed.
    pub(crate) async fn agree(
        &self,
        request: &BrakeRequest,
        id: &WaiverId,
        looked_at: Sha256,
        caller: impl Future<Output = Result<Result<Caller, NotProven>, CallerUnknown>>,
        now: Timestamp,
    ) -> anyhow::Result<BrakeAnswer> {
        let stage_name = &request.stage;
        let chain = Chain::of_holds(stage_name);
        let place = RecordKey::ProposedWaiver(stage_name.clone(), id.clone());
        let keys = [RecordKey::LedgerHead(chain.clone()), RecordKey::StagesConfig, RecordKey::IdentitiesConfig];
        let [head_key, config_key, identities_key] = keys.map(|key| key.to_string());
        let (caller, head, config, identities, (keys, proposal)) = future::try_join5(
            async { anyhow::Ok(caller.await?) },
            async { Ok(self.records.get(&head_key, None, ledger::MAX_BYTES).await?) },
            async { Ok(self.records.get(&config_key, None, stage::MAX_BYTES).await?) },
            async { Ok(self.records.get(&identities_key, None, identities::MAX_BYTES).await?) },
            async {
                let (keys, approvals) = future::try_join(self.signer.trusted(), self.approvals.trusted()).await?;
                Ok((keys, GivenProposal::read(self.records, &place, &approvals).await))
            },
        )
        .await?;
        let mut reasons = Vec::new();
        let wrong = |why: String| Finding::new(Code::WaiverInvalid, id.as_str(), why);
        let caller = proven(caller, stage_name, &mut reasons);
        // That the stage is configured; what by makes no difference.
        drop(config_of(config, stage_name, &mut reasons));
        let identities = Identities::of(identities.as_ref()).map_err(|invalid| reasons.push(invalid));
        let standing = standing(stage_name, head.as_ref().map(|body| body.bytes.as_slice()), &keys);
        let standing = standing.map_err(|broken| reasons.push(broken));
        let proposal = match proposal {
            Ok(proposal) => proposal,
            // What nobody can read, nobody can agree to.
            Err(error @ RecordError::Invalid { .. }) => {
                reasons.push(wrong(error.to_string()));
                return Ok(self.refused(request, reasons));
            }
            Err(error) => return Err(error.into()),
        };
        if proposal.is_none() {
            reasons.push(wrong(format!("nobody proposed such a waiver for `{stage_name}`; see `gatekeeper waivers`")));
        }
        let person = match &caller {
            Some(Caller::Person(identity)) => Some(&identity.person),
            Some(Caller::Other(arn)) => {
                let why = format!(
                    "a person must agree, by a session of the promoter's role, and `{arn}` is not such a session"
                );
                reasons.push(Finding::new(Code::RequesterUnproven, stage_name.as_str(), why));
                None
            }
            None => None,
        };
        let (Some(person), Some(proposal), Ok(standing), Ok(identities)) = (person, proposal, standing, identities)
        else {
            return Ok(self.refused(request, reasons));
        };
        if let Some(waiver) = standing.waivers.get(id).cloned() {
            return Ok(BrakeAnswer::Waived { waiver, already: true });
        }
        if proposal.stored.sha256 != looked_at {
            let stored = proposal.stored.sha256;
            reasons
                .push(wrong(format!("the proposal `{looked_at}` was looked at, and `{stored}` is stored: look again")));
        }
        reasons.extend(proposal.why_not(person, &identities, now).into_iter().map(wrong));
        if standing.waivers.values().filter(|it| it.until > now).count() >= MAX_STANDING {
            reasons.push(wrong(format!(
                "`{stage_name}` has {MAX_STANDING} waivers in force already; end one that is not needed"
            )));
        }
        if reasons.is_empty() && self.was_entered(&chain, id, &keys).await? {
            reasons.push(wrong("it counted once and was ended, or its time is over; propose it anew".to_owned()));
        }
        if !reasons.is_empty() {
            return Ok(self.refused(request, reasons));
        }
        let waiver = proposal.agreed(person.clone(), now);
        ledger::append(self.records, self.signer, &chain, &agreeing(&waiver, &request.reason), None, now).await?;
        self.log.warn("rule of a stage waived", json!({"waiver": waiver, "reason": request.reason}));
        self.log.count("Waivers", None, 1);
        Ok(BrakeAnswer::Waived { waiver, already: false })
    }

    /// Whether a waiver counted before: one that was ended does not come back by the word that began it.
    async fn was_entered(
        &self,
        chain: &Chain,
        id: &WaiverId,
        keys: &gatekeeper_proof::TrustedKeys,
    ) -> anyhow::Result<bool> {
        let (entries, head) = ledger::read_since(self.records, chain, 1, keys).await?;
        let proof = ledger::prove_whole(chain, entries.clone(), head.as_deref(), None, keys);
        if let Some(broken) = proof.broken {
            anyhow::bail!("the ledger's chain `{chain}` is broken at {}: {}", broken.sequence, broken.what);
        }
        let mut told = entries.iter().filter_map(|it| it.entry.as_ref()?.event.waiver.as_ref());
        Ok(told.any(|waiver| waiver.id == *id))
    }

    /// Ends a waiver: whoever may hold the stage may, because it only adds a rule.
    pub(crate) async fn end_waiver(
        &self,
        request: &BrakeRequest,
        id: &WaiverId,
        caller: impl Future<Output = Result<Result<Caller, NotProven>, CallerUnknown>>,
        now: Timestamp,
    ) -> anyhow::Result<BrakeAnswer> {
        let stage_name: &StageName = &request.stage;
        let chain = Chain::of_holds(stage_name);
        let head_key = RecordKey::LedgerHead(chain.clone()).to_string();
        let (caller, head, keys) = future::try_join3(
            async { anyhow::Ok(caller.await?) },
            async { Ok(self.records.get(&head_key, None, ledger::MAX_BYTES).await?) },
            async { Ok(self.signer.trusted().await?) },
        )
        .await?;
        let mut reasons = Vec::new();
        let caller = proven(caller, stage_name, &mut reasons);
        let standing = standing(stage_name, head.as_ref().map(|body| body.bytes.as_slice()), &keys);
        let standing = standing.map_err(|broken| reasons.push(broken));
        let waiver = standing.ok().and_then(|standing| {
            let waiver = standing.waivers.get(id).cloned();
            if waiver.is_none() {
                let why =
                    format!("no such waiver counts for `{stage_name}`; see `gatekeeper waivers --stage {stage_name}`");
                reasons.push(Finding::new(Code::WaiverInvalid, id.as_str(), why));
            }
            waiver
        });
        let (Some(caller), Some(waiver)) = (caller, waiver) else { return Ok(self.refused(request, reasons)) };
        let by = who(&caller).to_owned();
        let event = ending(&waiver, &by, &request.reason);
        ledger::append(self.records, self.signer, &chain, &event, Some(waiver.agreed_at), now).await?;
        self.log.warn("waiver ended", json!({"waiver": waiver, "by": by, "reason": request.reason}));
        Ok(BrakeAnswer::Ended { waiver, by })
    }
}

#[cfg(test)]
#[path = "waive_tests.rs"]
mod tests;
