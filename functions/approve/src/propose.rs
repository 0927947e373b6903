//! Proposing a waiver: an approver's signed word, which counts for nothing until a promoter who is somebody else agrees.

use anyhow::Context as _;
use futures_util::future;
use gatekeeper_model::{
    finding::{Code, Finding},
    identity::IdentityProof,
    ids::WaiverId,
    store_key::RecordKey,
    telemetry::Logger,
};
use gatekeeper_promotion::{
    brake::{SignedWord, Word as _},
    decide::config_of,
    identities,
    identities::{Identities, Placed},
    stage,
    waiver::{ProposedWaiver, WaiveRequest, wrong_terms},
};
use gatekeeper_store::{Precondition, WriteStore, Written, record};
use jiff::Timestamp;
use serde_json::json;

use crate::{Answer, Approver, approver};

impl<S: WriteStore> Approver<S> {
    /// Writes down what a person proposes to waive.
    pub(crate) async fn propose(
        &self,
        request: &WaiveRequest,
        proof: &IdentityProof,
        log: &Logger,
        now: Timestamp,
    ) -> anyhow::Result<Answer> {
        let (stage_name, terms) = (&request.stage, request.terms());
        let bound = request.bound(&terms);
        let (config_key, identities_key) =
            (RecordKey::StagesConfig.to_string(), RecordKey::IdentitiesConfig.to_string());
        let (caller, config, identities) = future::try_join3(
            async { anyhow::Ok(self.callers.identify(proof, &bound, now).await?) },
            async { Ok(self.records.get(&config_key, None, stage::MAX_BYTES).await?) },
            async { Ok(self.records.get(&identities_key, None, identities::MAX_BYTES).await?) },
        )
        .await?;
        let mut reasons = Vec::new();
        let identity = approver(caller).map_err(|message| {
            reasons.push(Finding::new(Code::RequesterUnproven, stage_name.as_str(), message));
        });
        config_of(config, stage_name, &mut reasons);
        let identities = Identities::of(identities.as_ref()).map_err(|invalid| reasons.push(invalid));
        let mut wrong = wrong_terms(request.code, request.until, now);
        if let (Ok(identity), Ok(identities)) = (&identity, &identities)
            && identities.place(identity.person.as_str()) == Placed::Nobody
        {
            wrong.push(format!("`{}` is nobody, says `config/identities.json`", identity.person));
        }
        reasons.extend(wrong.into_iter().map(|why| Finding::new(Code::WaiverInvalid, stage_name.as_str(), why)));
        let (Ok(identity), true) = (identity, reasons.is_empty()) else {
            reasons.sort();
            log.warn("waiver not proposed", json!({"reasons": reasons}));
            return Ok(Answer::Refused { reasons });
        };
        let waiver = ProposedWaiver::of(request, new_id()?, identity, now);
        let key = waiver.key();
        let signed = SignedWord::sign(waiver, &*self.signer).await?;
        let written = record::write(&self.records, &key, &signed, &Precondition::Absent).await?;
        anyhow::ensure!(matches!(written, Written::Done { .. }), "`{key}` is there already; propose it again");
        log.info("waiver proposed", json!({"waiver": signed.word}));
        Ok(Answer::Proposed { waiver: signed.word })
    }
}

fn new_id() -> anyhow::Result<WaiverId> {
    ulid::Ulid::generate().to_string().parse().context("a ULID is a waiver's id")
}
