//! Are two normal forms of one schema, as far as both servers can hold it?

use gatekeeper_model::ids::{PartitionedTable, Sha256};

use super::{
    Difference, NormalForm,
    difference::difference,
    limits::{self, ServerLimits},
};

/// What a comparison of a live schema with the tested one comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The digest of the tested schema's normal form, its partitions folded.
    pub tested_sha256: Sha256,
    /// The digest of the live schema's normal form, its partitions folded.
    pub live_sha256: Sha256,
    /// How they differ in what both servers can hold; nothing where they don't.
    pub difference: Option<Difference>,
    /// What the older of the two servers can't hold, where the newer one's schema says such.
    pub limits: Option<ServerLimits>,
}

/// Compares the `live` schema with the `tested` one. Of each table of `partitioned` the partitions' forms count and
/// neither their names, bounds nor number ([`NormalForm::without_partitions`]).
#[must_use]
pub fn compare(tested: &NormalForm, live: &NormalForm, partitioned: &[PartitionedTable]) -> Comparison {
    let folded = (!partitioned.is_empty())
        .then(|| (tested.without_partitions(partitioned), live.without_partitions(partitioned)));
    let (one, other) = folded.as_ref().map_or((tested, live), |(tested, live)| (tested, live));
    let mut comparison = Comparison {
        tested_sha256: one.sha256(),
        live_sha256: other.sha256(),
        difference: difference(one, other),
        limits: None,
    };
    if comparison.difference.is_some()
        && let Some((tested, live, limits)) = limits::between(tested, live)
    {
        let (tested, live) = (tested.without_partitions(partitioned), live.without_partitions(partitioned));
        comparison.difference = difference(&tested, &live);
        comparison.limits = Some(limits);
    }
    comparison
}
