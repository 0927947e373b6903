//! The handoffs of a verdict: that a module is Built, that CI deployed it (ADR-053 steps 12 and 14, CONTRACT §7), and that its
//! commit was taken back, only from facts that the gate verified or holds evidence of.

use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter},
    ids::{Commit, StageName},
    manifest::{Manifest, Module},
    store_key::RecordKey,
    verdict::Verdict,
};

/// The handoff that `module` is Built; `again` where one that it was taken back is followed by it.
#[must_use]
pub fn built(verdict: &Verdict, manifest: &Manifest, module: &Module, again: bool) -> String {
    let supersedes = again.then(|| RecordKey::RevokedHandoff(verdict.commit(), module.id.clone()).to_string());
    let front_matter =
        FrontMatter { supersedes, ..by_verdict(verdict, module, BuildStatus::Built, tested_in(manifest)) };
    front_matter.document(artefacts_of(verdict, &verdict.commit(), module))
}

/// The handoff that the commit of `module`, which was Built, was taken back.
#[must_use]
pub fn revoked(verdict: &Verdict, manifest: &Manifest, module: &Module, evidence: &RecordKey) -> String {
    let commit = verdict.commit();
    let front_matter = FrontMatter {
        evidence: evidence.to_string(),
        supersedes: Some(RecordKey::BuiltHandoff(commit, module.id.clone()).to_string()),
        ..by_verdict(verdict, module, BuildStatus::Revoked, tested_in(manifest))
    };
    let sentence = " was taken back: nothing promotes it any more, to whichever stage.";
    front_matter.taking_back(sentence, verdict.reasons.iter().map(|it| it.message.as_str()))
}

/// The stage that the tests ran against.
fn tested_in(manifest: &Manifest) -> StageName {
    manifest.deploy.as_ref().map_or_else(StageName::dev, |deploy| deploy.stage.clone())
}

/// The handoff that CI deployed `module` to dev, where the deploy step and the smoke test after it succeeded, as CI says;
/// `None` where they didn't, or are not told.
#[must_use]
pub fn deployed_by_ci(verdict: &Verdict, manifest: &Manifest, module: &Module) -> Option<String> {
    // Of other stages only a promotion can tell.
    let deploy = manifest.deploy.as_ref().filter(|deploy| deploy.succeeded && deploy.stage == StageName::dev())?;
    manifest.tests.smoke.as_ref().filter(|smoke| smoke.exit_code == 0)?;
    let front_matter = by_verdict(verdict, module, BuildStatus::Deployed, deploy.stage.clone());
    Some(front_matter.document(artefacts_of(verdict, &verdict.commit(), module)))
}

fn by_verdict(verdict: &Verdict, module: &Module, build_status: BuildStatus, stage: StageName) -> FrontMatter {
    let commit = verdict.commit();
    FrontMatter {
        module_id: module.id.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        build_status,
        stage,
        timestamp: verdict.evaluated_at,
        evidence: RecordKey::Verdict(commit.clone()).to_string(),
        supersedes: None,
    }
}

/// The objects of a module as they were judged.
fn artefacts_of<'a>(
    verdict: &'a Verdict,
    commit: &Commit,
    module: &Module,
) -> impl Iterator<Item = (&'a str, String)> + use<'a> {
    let prefix = format!("{}/", commit.module_prefix(&module.id));
    let of_module = verdict.artefacts.iter().filter(move |artefact| artefact.key.starts_with(&prefix));
    of_module.map(|artefact| (artefact.key.as_str(), artefact.sha256.to_string()))
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{
        finding::{Code, Finding},
        manifest::sample::{commit, example},
        verdict::{JudgedArtefact, Outcome},
    };

    use super::*;
    use crate::judgement::tests::evidence;

    /// A verdict on the contract's example.
    fn verdict() -> (Verdict, Manifest) {
        let stored = evidence(&example());
        let manifest = Manifest::parse(example().to_string().as_bytes(), &commit()).unwrap();
        let artefacts = stored.objects.iter().map(|(path, object)| JudgedArtefact {
            key: path.of(&commit()),
            version_id: object.version_id.clone(),
            sha256: object.sha256,
            size: object.size,
        });
        let verdict = Verdict {
            provenance: std::collections::BTreeMap::new(),
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            manifest_version_id: Some("m1".into()),
            outcome: Outcome::Built,
            reasons: Vec::<Finding>::new(),
            artefacts: artefacts.collect(),
            policy_version_id: None,
            policy_sha256: None,
            policy_tests: None,
            compared_with: None,
            warnings: Vec::new(),
            recounted: std::collections::BTreeMap::new(),
            forms: std::collections::BTreeMap::new(),
            evaluated_at: "2026-05-02T03:10:00Z".parse().unwrap(),
        };
        (verdict, manifest)
    }

    // `infra/test_handoffs.py` reads this document as the wiki does: with a YAML parser and the JSON Schema.
    #[test]
    fn a_handoff_names_its_evidence_and_every_artefact_of_the_module() {
        let (verdict, manifest) = verdict();
        insta::assert_snapshot!("built", built(&verdict, &manifest, &manifest.modules[0], false));
    }

    #[test]
    fn a_revocation_names_the_handoff_that_it_takes_back_and_why() {
        let (mut verdict, manifest) = verdict();
        verdict.outcome = Outcome::Revoked;
        verdict.reasons = vec![Finding::new(Code::Revoked, "bank-payments", "taken back by `jane`: rounds down")];
        let document = revoked(&verdict, &manifest, &manifest.modules[0], &RecordKey::Revocation(commit()));
        insta::assert_snapshot!("revoked", document);
        let again = FrontMatter::of(&built(&verdict, &manifest, &manifest.modules[0], true)).unwrap();
        let taken_back = RecordKey::RevokedHandoff(commit(), "MOD-012".parse().unwrap());
        assert_eq!(again.supersedes, Some(taken_back.to_string()));
    }

    #[test]
    fn a_handoff_reads_back() {
        let (verdict, manifest) = verdict();
        let read = FrontMatter::of(&built(&verdict, &manifest, &manifest.modules[0], false)).unwrap();
        assert_eq!((read.commit(), read.build_status, read.stage.as_str()), (commit(), BuildStatus::Built, "dev"));
        assert_eq!((read.module_id.as_str(), read.timestamp), ("MOD-012", verdict.evaluated_at));
        assert_eq!(read.evidence, RecordKey::Verdict(commit()).to_string());
    }
}
