//! Who stands behind a promotion, as its record tells: the proven requester, the approvals that counted, and break-glass.

use jiff::Timestamp;
use serde::Deserialize;

use super::{exhibits::Exhibits, model, paper};
use crate::{finding::Finding, promotion::record::PinnedRecord};

/// The people of a record; of one that tells of nobody, nobody.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct People {
    #[serde(default)]
    pub(super) requester: Option<model::Person>,
    #[serde(default)]
    pub(super) approvals: Vec<Counted>,
    #[serde(default)]
    pub(super) break_glass: Option<Glass>,
}

/// An approval that counted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Counted {
    #[serde(flatten)]
    pub(super) by: model::Person,
    pub(super) approved_at: Timestamp,
    #[serde(flatten)]
    pub(super) record: PinnedRecord,
}

/// What two people waived.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Glass {
    requester: String,
    approved_by: Counted,
    waived: Vec<Finding>,
}

impl People {
    /// Those of the promotion's record.
    pub(super) fn of(exhibits: &Exhibits) -> Self {
        exhibits.read(paper::PROMOTION).map(|read| read.value).unwrap_or_default()
    }

    /// Every approval that the promotion rests on.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Counted> {
        self.approvals.iter().chain(self.break_glass.iter().map(|glass| &glass.approved_by))
    }

    /// Tells of them.
    pub(super) fn tell(self, promotion: &mut model::Promotion) {
        let approval = |counted: Counted| model::Approval { by: counted.by, approved_at: counted.approved_at };
        promotion.proven_requester = self.requester;
        promotion.approvals = self.approvals.into_iter().map(approval).collect();
        promotion.break_glass = self.break_glass.map(|glass| model::BreakGlass {
            requested_by: glass.requester,
            approved_by: glass.approved_by.by.person,
            waived: glass.waived,
        });
    }
}
