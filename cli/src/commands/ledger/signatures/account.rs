//! Which signatures the stored documents account for.
//!
//! CloudTrail doesn't tell what was signed, so a signature and a document are one by the key and by the time: a function stores
//! what it signed at once. What a signature is of is proved by the document, which verifies under the key.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::trail::Signed;

/// How long after KMS signed it a document is stored at the latest.
const LATEST: SignedDuration = SignedDuration::from_secs(60);

/// By how much the clock of S3 may be behind that of KMS; both tell whole seconds.
const EARLIEST: SignedDuration = SignedDuration::from_secs(-5);

/// A stored document whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Document {
    /// When its bytes were stored, as S3 says.
    pub(super) at: Timestamp,
    /// The object's key.
    pub(super) object: String,
    /// Its version.
    pub(super) version_id: String,
}

/// What comparing the signatures of one key with the documents under it came to.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Compared {
    /// Signatures that a document accounts for.
    pub(super) accounted_for: usize,
    /// Signatures that nothing stored accounts for.
    pub(super) unaccounted: Vec<Signed>,
    /// Documents that were stored while the trail was recorded, and of whose signature it tells nothing.
    pub(super) unrecorded: Vec<Document>,
}

/// Gives each signature the first document that may be its own, and no document to two. Both windows are of one length, so that
/// going through them in order leaves as few as can be left.
pub(super) fn compare(
    signed: impl IntoIterator<Item = Signed>,
    documents: impl IntoIterator<Item = Document>,
    span: (Timestamp, Timestamp),
) -> Compared {
    let (mut signed, mut documents): (Vec<_>, Vec<_>) = (Vec::from_iter(signed), Vec::from_iter(documents));
    signed.sort();
    documents.sort();
    let mut compared = Compared::default();
    let is_recorded = |at: Timestamp| span.0 - EARLIEST.abs() <= at && at <= span.1;
    let mut documents = documents.into_iter().peekable();
    let mut left = Vec::new();
    for signature in signed {
        // What was stored before it is of an earlier one.
        while let Some(earlier) = documents.next_if(|it| it.at.duration_since(signature.at) < EARLIEST) {
            left.push(earlier);
        }
        match documents.next_if(|it| it.at.duration_since(signature.at) <= LATEST) {
            Some(_) => compared.accounted_for += 1,
            None => compared.unaccounted.push(signature),
        }
    }
    left.extend(documents);
    compared.unrecorded = left.into_iter().filter(|it| is_recorded(it.at)).collect();
    compared
}

/// How many signatures nothing accounts for, by whoever asked for them.
pub(super) fn by_principal(unaccounted: &[Signed]) -> BTreeMap<&str, usize> {
    let mut principals = BTreeMap::new();
    for signed in unaccounted {
        *principals.entry(signed.principal.as_str()).or_default() += 1;
    }
    principals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_777_692_600 + second).unwrap()
    }

    fn signed(second: i64) -> Signed {
        let event_id = format!("e{second}");
        Signed { at: at(second), key: "k".to_owned(), principal: "intake".to_owned(), event_id }
    }

    fn document(second: i64) -> Document {
        Document { at: at(second), object: "head.json".to_owned(), version_id: second.to_string() }
    }

    fn compared(signed_at: &[i64], stored_at: &[i64]) -> (usize, Vec<i64>, Vec<i64>) {
        let signed = signed_at.iter().copied().map(signed);
        let found = compare(signed, stored_at.iter().copied().map(document), (at(0), at(1000)));
        let second = |at: Timestamp| at.as_second() - 1_777_692_600;
        let unaccounted = found.unaccounted.iter().map(|it| second(it.at)).collect();
        (found.accounted_for, unaccounted, found.unrecorded.iter().map(|it| second(it.at)).collect())
    }

    #[test]
    fn a_signature_is_accounted_for_by_what_was_stored_within_a_minute_and_by_nothing_else() {
        assert_eq!(compared(&[10, 20], &[11, 20]), (2, vec![], vec![]));
        assert_eq!(compared(&[10], &[]), (0, vec![10], vec![]));
        assert_eq!(compared(&[10], &[71]), (0, vec![10], vec![71]));
        assert_eq!(compared(&[10], &[4]), (0, vec![10], vec![4]));
        assert_eq!(compared(&[10], &[5, 70]), (1, vec![], vec![70]));
        assert_eq!(compared(&[10, 11], &[12]), (1, vec![11], vec![]), "one document is of one signature");
        // What was stored before and after what the trail tells of says nothing.
        assert_eq!(compared(&[], &[-100, 2000]), (0, vec![], vec![]));
    }

    proptest! {
        #[test]
        fn everything_is_counted_once_and_no_signature_more_hides(
            times in proptest::collection::vec((0_i64..900, 0_i64..30), 0..40), extra in 0_i64..900,
        ) {
            let signed: Vec<_> = times.iter().map(|(at, _)| *at).collect();
            let stored: Vec<_> = times.iter().map(|(at, after)| at + after).collect();
            let honest = compared(&signed, &stored);
            prop_assert_eq!((honest.0, honest.1.len()), (signed.len(), 0), "an honest run accounts for all");
            let mut more = signed.clone();
            more.push(extra);
            let (accounted, unaccounted, _) = compared(&more, &stored);
            prop_assert_eq!((accounted, unaccounted.len()), (signed.len(), 1), "one more is one too many");
        }
    }
}
