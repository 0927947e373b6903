//! What the ledger names by its digest: that counts where the key that signed it was revoked later.

use gatekeeper_model::ids::{Chain, Sha256};
use gatekeeper_promotion::record::PromotionRecord;
use gatekeeper_proof::{Named, ledger::Kind};
use jiff::Timestamp;

use crate::{
    exhibits::{Exhibits, Subject},
    paper,
};

/// What the promotion's entry names. That the chain holds is checked by itself.
pub(super) struct Names {
    chain: Chain,
    place: u64,
    at: Timestamp,
    record: Option<Sha256>,
    attestations: Vec<Sha256>,
}

impl Names {
    pub(super) fn of(exhibits: &Exhibits, subject: &Subject) -> Option<Self> {
        exhibits.entries(paper::LEDGER).into_iter().find_map(|stored| {
            let entry = stored.entry?;
            let is_of_it = matches!(entry.event.kind, Kind::Promotion | Kind::Rollback)
                && entry.event.promotion_id.as_ref() == Some(&subject.promotion_id);
            is_of_it.then(|| Self {
                chain: exhibits.chain(),
                place: stored.sequence,
                at: entry.recorded_at,
                record: entry.event.record.map(|it| it.sha256),
                attestations: entry.event.attestations.into_iter().map(|it| it.sha256).collect(),
            })
        })
    }

    /// Whether the record of these bytes, which the entry names, names something in turn.
    pub(super) fn by_record(&self, record: Sha256, names_it: bool) -> Option<Named<'_>> {
        (names_it && self.record == Some(record)).then_some(Named::ByAnother(self.at))
    }

    /// Whether the record of these bytes names the attestation of these that the commit is Built.
    pub(super) fn built(&self, record: &PromotionRecord, sha256: Sha256, dsse: &[u8]) -> Option<Named<'_>> {
        let pinned = record.built_attestation.as_ref().map(|it| it.sha256);
        self.by_record(sha256, pinned == Some(Sha256::of(dsse)))
    }

    /// Whether the entry itself names what was attested of the promotion.
    pub(super) fn attestation(&self, dsse: &[u8]) -> Option<Named<'_>> {
        self.attestations.contains(&Sha256::of(dsse)).then_some(Named::ByOwn(&self.chain, self.place))
    }
}
