//! Who built it: whether what the bundles of a commit prove is what its policy asks for.
//!
//! Each bundle must hold, be of this commit, and be of a builder that the policy allows. Together they must name everything
//! that is judged, the manifest first: it says what the tests came to, so that whoever holds the CI's credentials, but is not
//! the CI, can't have a lie Built. Bundles are judged with the final manifest; the one of before the integration tests is
//! another object, which no bundle names.

use std::collections::BTreeSet;

use gatekeeper_model::{
    finding::{Code, Finding, plain},
    ids::Sha256,
    manifest::Claim,
    policy::Condition,
    provenance::{AllowedBuilder, Build, MAX_BUNDLES, Proven, Told},
    store_key::ArtefactPath,
};

use super::Evidence;

/// What is wrong, and what is yet to come.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) wrong: Vec<Finding>,
    pub(super) missing: Vec<Finding>,
}

pub(super) fn check(evidence: &Evidence, manifest_sha256: Sha256, claims: &[Claim]) -> Judged {
    let mut judged = Judged::default();
    let folder = format!("{}provenance/", evidence.commit.prefix());
    let stored = evidence.objects.keys().filter(|path| matches!(path, ArtefactPath::Provenance(_))).count();
    if stored == 0 {
        if evidence.rules.require(Condition::Provenance) {
            let message = "the policy requires a signed proof of who built the commit: add `--provenance` to `gatekeeper \
                           publish`";
            judged.missing.push(Finding::new(Code::ProvenanceMissing, folder, message));
        }
        return judged;
    }
    if stored > MAX_BUNDLES {
        let message = format!("it has {stored} bundles of provenance, the most is {MAX_BUNDLES}");
        judged.wrong.push(Finding::new(Code::ProvenanceInvalid, folder, message));
        return judged;
    }
    let mut built: BTreeSet<Sha256> = BTreeSet::new();
    for (path, told) in &evidence.provenance {
        let key = path.of(&evidence.commit);
        match told {
            Told::Refused(why) => judged.wrong.push(Finding::new(Code::ProvenanceInvalid, key, plain(why))),
            Told::Proven(proven) => {
                let Proven { build, subjects } = &**proven;
                let wrong = objections(evidence, build, &key);
                if wrong.is_empty() {
                    built.extend(subjects);
                }
                judged.wrong.extend(wrong);
            }
        }
    }
    // What no bundle may be believed of would be told of every object.
    if !judged.wrong.is_empty() {
        return judged;
    }
    let manifest = (ArtefactPath::Manifest.of(&evidence.commit), manifest_sha256);
    let claimed = claims.iter().map(|claim| (claim.path.of(&evidence.commit), claim.sha256));
    for (key, sha256) in [manifest].into_iter().chain(claimed) {
        if !built.contains(&sha256) {
            let message = format!(
                "`{sha256}` is no subject of the commit's provenance: attest what you publish, the final \
                                   manifest among it"
            );
            judged.wrong.push(Finding::new(Code::ProvenanceSubjectMissing, key, message));
        }
    }
    judged
}

fn objections(evidence: &Evidence, build: &Build, key: &str) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let commit = &evidence.commit;
    if build.commit.as_deref() != Some(commit.sha.as_str()) {
        let of = build.commit.as_deref().map_or_else(|| "of no commit".to_owned(), |it| format!("of `{}`", plain(it)));
        wrong.push(Finding::new(Code::ProvenanceOtherCommit, key, format!("it is {of}")));
    }
    let rules = &evidence.rules;
    let is_allowed = |it: &AllowedBuilder| it.allows(build, &commit.repo);
    if rules.builders.is_empty() && !rules.require(Condition::Provenance) {
        return wrong;
    }
    if !rules.builders.iter().any(is_allowed) {
        wrong.push(Finding::new(Code::ProvenanceBuilderNotAllowed, key, said(build)));
    }
    wrong
}

/// Who built it, as whoever has to allow it in the policy needs to know.
fn said(build: &Build) -> String {
    let told = [
        Some(format!("`builders` of the policy does not allow `{}`", plain(&build.builder))),
        build.repository.as_deref().map(|it| format!("for the repository `{}`", plain(it))),
        build.issuer.as_deref().map(|it| format!("known to `{}`", plain(it))),
        Some(format!("by {}", build.trusted_by)),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{
        ids::CommitSha,
        manifest::sample::{commit, example},
        policy::Policy,
        provenance::TrustedBy,
        verdict::Outcome,
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::judgement::{Object, StoredManifest, judge, tests::evidence as stored_evidence};

    fn bundle_path(name: &str) -> ArtefactPath {
        ArtefactPath::parse(&format!("provenance/{name}.sigstore.json")).unwrap()
    }

    /// A commit all of whose objects a workflow built.
    fn evidence(policy: &Value) -> Evidence {
        let mut evidence = stored_evidence(&example());
        let StoredManifest::Read { manifest, sha256, .. } = &evidence.manifest else { panic!() };
        let subjects = manifest.claims().iter().map(|it| it.sha256).chain([*sha256]).collect();
        let build = Build {
            trusted_by: TrustedBy::Root("sigstore".parse().unwrap()),
            root_sha256: None,
            builder: "https://github.com/bank/pipelines/.github/workflows/build.yml@refs/tags/v1".to_owned(),
            issuer: Some("https://token.actions.githubusercontent.com".to_owned()),
            identity: None,
            repository: Some("https://github.com/bank/bank-payments".to_owned()),
            git_ref: None,
            commit: Some(commit().sha.to_string()),
            builder_commit: None,
            run: None,
            trigger: None,
            runner: None,
            signed_at: Vec::new(),
            valid_from: None,
            valid_until: None,
        };
        add(&mut evidence, "build", Told::Proven(Box::new(Proven { build, subjects })));
        evidence.rules = Policy::parse(policy.to_string().as_bytes()).unwrap().rules_of(&commit().repo);
        evidence
    }

    fn add(evidence: &mut Evidence, name: &str, told: Told) {
        let object = Object { version_id: "p1".into(), size: 4, sha256: Sha256::of(name.as_bytes()), tags: None };
        evidence.objects.insert(bundle_path(name), object);
        evidence.provenance.insert(bundle_path(name), told);
    }

    fn proven(evidence: &mut Evidence) -> &mut Proven {
        let Some(Told::Proven(proven)) = evidence.provenance.get_mut(&bundle_path("build")) else { panic!() };
        proven
    }

    fn required() -> Value {
        json!({"schema_version": 1, "all": {"require": ["provenance"], "builders": [{"certificate": {
            "root": "sigstore",
            "issuer": "https://token.actions.githubusercontent.com",
            "repository": "https://github.com/bank/{repo}",
            "workflow": "https://github.com/bank/pipelines/.github/workflows/build.yml@refs/tags/v*",
        }}]}})
    }

    #[track_caller]
    fn check(evidence: &Evidence, outcome: Outcome, codes: &[Code]) {
        let judged = judge(evidence);
        let actual: Vec<_> = judged.reasons.iter().map(|it| it.code).collect();
        assert_eq!((judged.outcome, actual.as_slice()), (outcome, codes), "{:#?}", judged.reasons);
    }

    #[test]
    fn what_an_allowed_workflow_built_is_built() {
        check(&evidence(&required()), Outcome::Built, &[]);
        check(&evidence(&json!({"schema_version": 1})), Outcome::Built, &[]);
    }

    #[test]
    fn provenance_that_is_required_is_waited_for() {
        let without = |policy: &Value| {
            let mut stored = evidence(policy);
            stored.objects.remove(&bundle_path("build"));
            stored.provenance.clear();
            stored
        };
        check(&without(&required()), Outcome::Incomplete, &[Code::ProvenanceMissing]);
        check(&without(&json!({"schema_version": 1})), Outcome::Built, &[]);
    }

    #[test]
    fn before_the_integration_tests_nobody_asks() {
        let mut manifest = example();
        manifest["tests"].as_object_mut().unwrap().remove("integration");
        manifest["reports"] = json!([]);
        let mut stored = stored_evidence(&manifest);
        stored.rules = evidence(&required()).rules;
        check(&stored, Outcome::Registered, &[]);
        add(&mut stored, "build", Told::Refused("not asked".to_owned()));
        check(&stored, Outcome::Registered, &[]);
    }

    #[test]
    fn another_builder_is_refused_where_the_policy_names_some_or_requires_one() {
        type Change = fn(&mut Build);
        let changes: [Change; 4] = [
            |it| {
                it.builder = "https://github.com/bank/pipelines/.github/workflows/build.yml@refs/heads/main".to_owned();
            },
            |it| it.repository = Some("https://github.com/mallory/bank-payments".to_owned()),
            |it| it.issuer = Some("https://accounts.example.com".to_owned()),
            |it| it.trusted_by = TrustedBy::Root("github".parse().unwrap()),
        ];
        for change in changes {
            let mut stored = evidence(&required());
            change(&mut proven(&mut stored).build);
            check(&stored, Outcome::Rejected, &[Code::ProvenanceBuilderNotAllowed]);
        }
        let nobody = json!({"schema_version": 1, "all": {"require": ["provenance"]}});
        check(&evidence(&nobody), Outcome::Rejected, &[Code::ProvenanceBuilderNotAllowed]);
        let reasons = judge(&evidence(&nobody)).reasons;
        insta::assert_snapshot!(reasons[0].message, @"`builders` of the policy does not allow `https://github.com/bank/pipelines/.github/workflows/build.yml@refs/tags/v1`, for the repository `https://github.com/bank/bank-payments`, known to `https://token.actions.githubusercontent.com`, by root `sigstore`");
    }

    #[test]
    fn provenance_that_is_there_and_does_not_hold_is_refused_whether_or_not_it_is_required() {
        for policy in [required(), json!({"schema_version": 1})] {
            let mut stored = evidence(&policy);
            add(&mut stored, "another", Told::Refused("its signature does not hold".to_owned()));
            check(&stored, Outcome::Rejected, &[Code::ProvenanceInvalid]);
            let mut stored = evidence(&policy);
            let other: CommitSha = "0".repeat(40).parse().unwrap();
            proven(&mut stored).build.commit = Some(other.to_string());
            check(&stored, Outcome::Rejected, &[Code::ProvenanceOtherCommit]);
            proven(&mut stored).build.commit = None;
            check(&stored, Outcome::Rejected, &[Code::ProvenanceOtherCommit]);
        }
    }

    #[test]
    fn everything_that_is_judged_must_be_a_subject() {
        let stored = evidence(&required());
        let Some(Told::Proven(whole)) = stored.provenance.get(&bundle_path("build")) else { panic!() };
        assert!(whole.subjects.len() > 3);
        for subject in &whole.subjects {
            let mut stored = evidence(&required());
            proven(&mut stored).subjects.remove(subject);
            let judged = judge(&stored);
            assert_eq!(judged.outcome, Outcome::Rejected);
            assert!(judged.reasons.iter().all(|it| it.code == Code::ProvenanceSubjectMissing), "{judged:?}");
        }
        // Two bundles may share them.
        let mut stored = evidence(&required());
        let taken = proven(&mut stored).subjects.pop_first().unwrap();
        let mut rest = proven(&mut stored).clone();
        rest.subjects = [taken].into();
        add(&mut stored, "rest", Told::Proven(Box::new(rest)));
        check(&stored, Outcome::Built, &[]);
    }

    #[test]
    fn there_is_an_end_to_how_many_bundles_are_looked_at() {
        let mut stored = evidence(&required());
        for number in 0..MAX_BUNDLES {
            let told = stored.provenance[&bundle_path("build")].clone();
            add(&mut stored, &format!("more-{number}"), told);
        }
        check(&stored, Outcome::Rejected, &[Code::ProvenanceInvalid]);
    }
}
