//! The handoffs of a verdict: that a module is Built, and that CI deployed it (ADR-053 steps 12 and 14, CONTRACT §7), only
//! from facts that the gate verified or holds evidence of.

use gatekeeper_model::{
    front_matter::{BuildStatus, FrontMatter},
    ids::{Commit, StageName},
    manifest::{Manifest, Module},
    store_key::RecordKey,
    verdict::Verdict,
};

/// The handoff that `module` is Built.
#[must_use]
pub fn built(verdict: &Verdict, manifest: &Manifest, module: &Module) -> String {
    let stage = manifest.deploy.as_ref().map_or_else(StageName::dev, |deploy| deploy.stage.clone());
    by_verdict(verdict, module, BuildStatus::Built, stage)
}

/// The handoff that CI deployed `module` to dev, where the deploy step and the smoke test after it succeeded, as CI says;
/// `None` where they didn't, or are not told.
#[must_use]
pub fn deployed_by_ci(verdict: &Verdict, manifest: &Manifest, module: &Module) -> Option<String> {
    // Of other stages only a promotion can tell.
    let deploy = manifest.deploy.as_ref().filter(|deploy| deploy.succeeded && deploy.stage == StageName::dev())?;
    manifest.tests.smoke.as_ref().filter(|smoke| smoke.exit_code == 0)?;
    Some(by_verdict(verdict, module, BuildStatus::Deployed, deploy.stage.clone()))
}

fn by_verdict(verdict: &Verdict, module: &Module, build_status: BuildStatus, stage: StageName) -> String {
    let commit = verdict.commit();
    let front_matter = FrontMatter {
        module_id: module.id.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        build_status,
        stage,
        timestamp: verdict.evaluated_at,
        evidence: RecordKey::Verdict(commit.clone()).to_string(),
    };
    front_matter.document(artefacts_of(verdict, &commit, module))
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
        finding::Finding,
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
        insta::assert_snapshot!("built", built(&verdict, &manifest, &manifest.modules[0]));
    }

    #[test]
    fn a_handoff_reads_back() {
        let (verdict, manifest) = verdict();
        let read = FrontMatter::of(&built(&verdict, &manifest, &manifest.modules[0])).unwrap();
        assert_eq!((read.commit(), read.build_status, read.stage.as_str()), (commit(), BuildStatus::Built, "dev"));
        assert_eq!((read.module_id.as_str(), read.timestamp), ("MOD-012", verdict.evaluated_at));
        assert_eq!(read.evidence, RecordKey::Verdict(commit()).to_string());
    }
}
