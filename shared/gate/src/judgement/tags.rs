//! The tag `integration-passed`, and how the gate tells its own writes from a stranger's.
//!
//! Setting one tag on S3 replaces the whole set, and nothing about it can be made conditional. So every write of the
//! gate to a manifest carries a second tag, [`OUTCOME`], in the same call: a manifest whose `integration-passed` is
//! `false` while its second tag is gone or says `built` was changed by somebody else, and after Built that is a hand
//! on the brake (CONTRACT §4). A late write of the gate's own is told apart, because its second tag says why.

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::VersionId,
    store_key::ArtefactPath,
    verdict::Outcome,
};
use gatekeeper_store::{MAX_TAGS, Tags};

use super::Evidence;

/// The tag that people and policies see.
pub const INTEGRATION_PASSED: &str = "integration-passed";
/// The gate's own tag, on manifests only.
pub(crate) const OUTCOME: &str = "gatekeeper-outcome";
/// What the gate's own tag says before its first verdict.
const JUDGING: &str = "judging";

/// A tag set that isn't what the outcome wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagWrite {
    /// The object.
    pub path: ArtefactPath,
    /// The version whose tags are written.
    pub version_id: VersionId,
    /// All its tags as they shall be, those of others among them.
    pub tags: Tags,
    /// What `integration-passed` was.
    pub before: Option<String>,
}

/// The tags of an object at `path` as `outcome` wants them, those of others kept: as many of the gate's own as have room, and
/// never `true` without room for all of them.
#[must_use]
pub fn tags_with(path: &ArtefactPath, present: &Tags, outcome: Outcome) -> Tags {
    let wanted = all_tags(path, present, outcome);
    if wanted.len() <= MAX_TAGS {
        return wanted;
    }
    let mut tags = present.clone();
    if tags.len() < MAX_TAGS || tags.contains_key(INTEGRATION_PASSED) {
        tags.insert(INTEGRATION_PASSED.to_owned(), "false".to_owned());
    }
    tags
}

/// The tags of an object with all of the gate's own, however many they are.
fn all_tags(path: &ArtefactPath, present: &Tags, outcome: Outcome) -> Tags {
    let mut tags = present.clone();
    tags.insert(INTEGRATION_PASSED.to_owned(), outcome.integration_passed().to_string());
    if *path == ArtefactPath::Manifest {
        tags.insert(OUTCOME.to_owned(), outcome.as_str().to_owned());
    }
    tags
}

/// The write that makes the tags of an object agree with `outcome`; `None` where they do.
#[must_use]
pub fn tag_write(path: &ArtefactPath, version_id: &VersionId, present: &Tags, outcome: Outcome) -> Option<TagWrite> {
    let tags = tags_with(path, present, outcome);
    (tags != *present).then(|| TagWrite {
        path: path.clone(),
        version_id: version_id.clone(),
        before: present.get(INTEGRATION_PASSED).cloned(),
        tags,
    })
}

/// Whether the gate has written this manifest's tags before.
#[must_use]
pub fn is_claimed(manifest: &Tags) -> bool {
    manifest.contains_key(OUTCOME)
}

/// What the gate has concluded on a manifest, by its own tag, which nobody else can change; `None` where it has not yet.
#[must_use]
pub fn concluded(manifest: &Tags) -> Option<Outcome> {
    let outcomes = [Outcome::Incomplete, Outcome::Registered, Outcome::Built, Outcome::Rejected, Outcome::Revoked];
    let own = manifest.get(OUTCOME)?;
    outcomes.into_iter().find(|outcome| outcome.as_str() == own)
}

/// The tags with which the gate makes a manifest its own before the first verdict `built` on it, so that a `false`
/// without the gate's tag is somebody else's from then on.
#[must_use]
pub fn claim(manifest: &Tags) -> Tags {
    let mut tags = manifest.clone();
    tags.insert(INTEGRATION_PASSED.to_owned(), "false".to_owned());
    tags.insert(OUTCOME.to_owned(), JUDGING.to_owned());
    tags
}

/// Whether somebody else set the tag of a manifest to `false` after it was Built.
///
/// `verdict` is the outcome that stands for this manifest version.
#[must_use]
pub fn brake_pulled(manifest: &Tags, verdict: Outcome) -> bool {
    let says_false = manifest.get(INTEGRATION_PASSED).is_some_and(|value| value.eq_ignore_ascii_case("false"));
    let own = manifest.get(OUTCOME).map(String::as_str);
    verdict == Outcome::Built && says_false && matches!(own, None | Some("built"))
}

/// Objects whose tags by others leave no room for the gate's.
pub(super) fn no_room(evidence: &Evidence) -> Vec<Finding> {
    let others = evidence.objects.iter().filter_map(|(path, object)| Some((path, object.tags.as_ref()?)));
    let all = others.chain([(&ArtefactPath::Manifest, &evidence.manifest_tags)]);
    all.filter_map(|(path, tags)| tag_limit(path, &path.of(&evidence.commit), tags)).collect()
}

/// That the tags of others leave no room for the gate's on the object at `key`; `None` where they do.
pub(crate) fn tag_limit(path: &ArtefactPath, key: &str, present: &Tags) -> Option<Finding> {
    let wanted = all_tags(path, present, Outcome::Built);
    if wanted.len() <= MAX_TAGS {
        return None;
    }
    let own = all_tags(path, &Tags::new(), Outcome::Built);
    let names: Vec<_> = own.keys().rev().map(|name| format!("`{name}`")).collect();
    let message = format!(
        "{} tags of others leave no room for {}: an object has at most {MAX_TAGS} tags, so others may have {}",
        wanted.len() - own.len(),
        names.join(" and "),
        MAX_TAGS - own.len()
    );
    Some(Finding::new(Code::TagLimit, key, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn others_tags_are_kept() {
        let path = ArtefactPath::parse("reports/unit.xml").unwrap();
        let wanted = tags_with(&path, &tags(&[("team", "payments"), ("integration-passed", "maybe")]), Outcome::Built);
        assert_eq!(wanted, tags(&[("team", "payments"), ("integration-passed", "true")]));
    }

    #[test]
    fn without_room_for_all_of_the_gates_tags_none_says_true() {
        let report = ArtefactPath::parse("reports/unit.xml").unwrap();
        let own = [INTEGRATION_PASSED, OUTCOME];
        for others in 0..=MAX_TAGS {
            for held in 0..=own.len() {
                let names = (0..others).map(|number| format!("team-{number}"));
                let present: Tags = names.map(|name| (name, "x".to_owned())).collect();
                let held = own.iter().take(held).map(|name| ((*name).to_owned(), "true".to_owned()));
                let present: Tags = present.into_iter().chain(held).collect();
                if present.len() > MAX_TAGS {
                    continue;
                }
                for path in [&ArtefactPath::Manifest, &report] {
                    let room = if *path == ArtefactPath::Manifest {
                        others <= 8
                    } else {
                        others + usize::from(present.contains_key(OUTCOME)) <= 9
                    };
                    let written = tags_with(path, &present, Outcome::Built);
                    assert!(written.len() <= MAX_TAGS, "{present:?}");
                    let says = written.get(INTEGRATION_PASSED).map(String::as_str);
                    let what = format!("{path} with {present:?}");
                    assert_eq!(tag_limit(path, "key", &present).is_none(), room, "{what}");
                    assert_eq!(says == Some("true"), room, "{what}");
                    assert!(says.is_some() || others == MAX_TAGS || !room, "{what}");
                }
            }
        }
        let nine: Tags = (0..9).map(|number| (format!("team-{number}"), "x".to_owned())).collect();
        let finding = tag_limit(&ArtefactPath::Manifest, "key", &nine).unwrap();
        assert_eq!(
            finding.message,
            "9 tags of others leave no room for `integration-passed` and `gatekeeper-outcome`: an object has at most 10 tags, so \
             others may have 8"
        );
    }

    #[test]
    fn only_built_says_true() {
        for outcome in [Outcome::Incomplete, Outcome::Registered, Outcome::Rejected, Outcome::Revoked] {
            let wanted = tags_with(&ArtefactPath::Manifest, &Tags::new(), outcome);
            assert_eq!(wanted, tags(&[("gatekeeper-outcome", outcome.as_str()), ("integration-passed", "false")]));
            assert_eq!(concluded(&wanted), Some(outcome));
        }
        assert_eq!(concluded(&tags_with(&ArtefactPath::Manifest, &Tags::new(), Outcome::Built)), Some(Outcome::Built));
        for untold in [Tags::new(), claim(&Tags::new()), tags(&[("integration-passed", "true")])] {
            assert_eq!(concluded(&untold), None);
        }
    }

    #[test]
    fn a_hand_on_the_brake_is_a_strangers_false_after_built() {
        let check = |pairs: &[(&str, &str)], verdict, pulled| {
            assert_eq!(brake_pulled(&tags(pairs), verdict), pulled, "{pairs:?} {verdict}");
        };
        // A tool that replaces the set, and one that changes one tag of it.
        check(&[("integration-passed", "false")], Outcome::Built, true);
        check(&[("integration-passed", "False")], Outcome::Built, true);
        check(&[("integration-passed", "false"), ("gatekeeper-outcome", "built")], Outcome::Built, true);
        // Late writes of the gate's own.
        for own in ["judging", "incomplete", "registered", "rejected"] {
            check(&[("integration-passed", "false"), ("gatekeeper-outcome", own)], Outcome::Built, false);
        }
        // A tag that is gone is put back; before Built there is nothing to take back.
        check(&[], Outcome::Built, false);
        check(&[("integration-passed", "false")], Outcome::Registered, false);
        check(&[("integration-passed", "true")], Outcome::Built, false);
    }
}
