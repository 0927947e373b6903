//! Verifying who built a commit, and getting it attested.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use gatekeeper_evidence::{
    bundle::Files,
    model::{Check, Holds, Part},
    paper,
};
use gatekeeper_gate::converge::{ProvenanceVerifier, Verifying};
use gatekeeper_model::{
    ids::Sha256,
    policy::Policy,
    provenance::{self, Answer, Build, MAX_BUNDLE_BYTES, Proven, Question, Told, Trust, TrustedBy},
    store_key::{ArtefactKey, ArtefactPath},
    verdict::Verdict,
};
use gatekeeper_provenance::Provenance;
use gatekeeper_store::ReadStore;

use crate::{build_folder::BuildFile, exit::Misuse};

/// Verifies the bundles of a store in this process, as the installation's function does.
#[derive(Debug)]
pub(crate) struct Here<'a, S>(pub(crate) &'a S);

impl<S: ReadStore + std::fmt::Debug> ProvenanceVerifier for Here<'_, S> {
    fn verify<'a>(&'a self, question: &'a Question) -> Verifying<'a> {
        Box::pin(async move {
            let verifier = Provenance::new(&question.trust)?;
            let mut answer = Answer { bundles: BTreeMap::new() };
            for bundle in &question.bundles {
                let body = self.0.get(&bundle.key, Some(&bundle.version_id), MAX_BUNDLE_BYTES).await?;
                let bytes = body.ok_or_else(|| format!("`{}` vanished while it was judged", bundle.key))?.bytes;
                let told = match verifier.verify(&bytes) {
                    Ok(proven) => Told::Proven(Box::new(proven)),
                    Err(refused) => Told::Refused(refused.to_string()),
                };
                answer.bundles.insert(bundle.sha256, told);
            }
            Ok(answer)
        })
    }
}

/// Where in the commit's folder each of these bundles goes: by its own name, whatever it ends with.
///
/// # Errors
/// Where a name is none for a file there, or two are the same.
pub(crate) fn places(files: &[PathBuf]) -> Result<Vec<(ArtefactPath, PathBuf)>, Misuse> {
    let mut placed: Vec<(ArtefactPath, PathBuf)> = Vec::new();
    for file in files {
        let name = file.file_name().and_then(|it| it.to_str()).and_then(|it| it.split('.').next());
        let path = name.and_then(|name| ArtefactPath::parse(&format!("provenance/{name}.sigstore.json")));
        let shown = file.display();
        let path = path.ok_or_else(|| Misuse(format!("`{shown}` has no name for `provenance/NAME.sigstore.json`")))?;
        if placed.iter().any(|(there, _)| *there == path) {
            return Err(Misuse(format!("`{shown}` would be a second `{path}`: give it another name")));
        }
        placed.push((path, file.clone()));
    }
    Ok(placed)
}

/// What is to be attested, in the form of `sha256sum`, which `actions/attest` takes as `subject-checksums`.
#[must_use]
pub(crate) fn subjects(manifest: &[u8], files: &[BuildFile], prefix: &str) -> String {
    let manifest = (Sha256::of(manifest), ArtefactPath::Manifest.to_string());
    let listed = files.iter().filter(|it| !it.is_manifest() && !matches!(it.path, ArtefactPath::Provenance(_)));
    let listed = listed.map(|it| (it.sha256, it.path.to_string()));
    let mut lines: Vec<_> =
        [manifest].into_iter().chain(listed).map(|(sha256, path)| format!("{sha256}  {prefix}{path}")).collect();
    lines.push(String::new());
    lines.join("\n")
}

/// The manifest in a folder that `--prepare` wrote.
pub(crate) fn manifest_in(prepared: &Path) -> PathBuf {
    prepared.join(ArtefactPath::Manifest.to_string())
}

/// Verifies the bundles in a bundle of evidence again, offline, against the roots and keys that it carries or that this
/// program has: each must prove the build that the verdict tells of, and together they must name all that was judged. `None`
/// where the verdict tells of no build.
#[must_use]
pub(crate) fn verified_again(files: &Files) -> Option<Check> {
    let bytes = |name: &str| files.get(name).map(Vec::as_slice);
    let verdict: Verdict = serde_json::from_slice(bytes(paper::VERDICT)?).ok()?;
    if verdict.provenance.is_empty() {
        return None;
    }
    let policy = bytes(paper::POLICY).and_then(|policy| Policy::parse(policy).ok());
    let keys = policy.map(|it| provenance::keys_of(&it.rules_of(&verdict.repo).builders)).unwrap_or_default();
    let (mut wrong, mut built) = (Vec::new(), BTreeSet::new());
    for (key, told) in &verdict.provenance {
        match again(files, key, told, &keys) {
            Ok(subjects) => built.extend(subjects),
            Err(why) => wrong.push(format!("`{key}`: {why}")),
        }
    }
    let manifest = bytes(paper::MANIFEST).map(|bytes| ("the manifest".to_owned(), Sha256::of(bytes)));
    let judged = verdict.artefacts.iter().filter(|it| !verdict.provenance.contains_key(&it.key));
    let judged = judged.map(|it| (format!("`{}`", it.key), it.sha256));
    let unproven = manifest.into_iter().chain(judged).filter(|(_, sha256)| !built.contains(sha256));
    wrong.extend(unproven.map(|(name, _)| format!("{name} is no subject of it")));
    let name = "the provenance of the commit holds, verified again without network";
    let count = verdict.provenance.len();
    let detail = if wrong.is_empty() { crate::reason::count(count, "Sigstore bundle") } else { wrong.join("; ") };
    Some(Check { part: Part::Bundle, name: name.to_owned(), holds: Holds::of(wrong.is_empty()), detail })
}

/// What a bundle proves, where that is what the verdict tells.
fn again(files: &Files, key: &str, told: &Build, keys: &BTreeMap<String, String>) -> Result<BTreeSet<Sha256>, String> {
    let Ok(ArtefactPath::Provenance(file)) = ArtefactKey::parse(key).map(|it| it.path) else {
        return Err("it is no bundle by its key".to_owned());
    };
    let bundle = files.get(&paper::provenance(&file)).ok_or("it is not in the bundle of evidence")?;
    let mut trust = Trust::default();
    match &told.trusted_by {
        TrustedBy::Key(name) => {
            let key = keys.get(name).ok_or_else(|| format!("the policy has no key `{name}`"))?;
            trust.keys.insert(name.clone(), key.clone());
        }
        TrustedBy::Root(name) => {
            let stored = files.get(&paper::trusted_root(name)).filter(|it| told.root_sha256 == Some(Sha256::of(it)));
            if told.root_sha256.is_some() && stored.is_none() {
                return Err(format!("the trusted root `{name}` by which it was verified was replaced since"));
            }
            let text = stored.map(|it| String::from_utf8(it.clone())).transpose();
            trust.roots.insert(name.clone(), text.map_err(|error| error.to_string())?);
        }
    }
    let verifier = Provenance::new(&trust).map_err(|error| error.to_string())?;
    let Proven { build, subjects } = verifier.verify(bundle).map_err(|error| error.to_string())?;
    if build == *told { Ok(subjects) } else { Err("it proves another build than the verdict tells of".to_owned()) }
}

#[cfg(test)]
mod tests {
    use gatekeeper_provenance::instance::{Instance, Workflow, public_key, signed_by_key, statement};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bundle_goes_where_its_name_says_whatever_its_tool_calls_it() {
        let placed = |files: &[&str]| {
            let files: Vec<_> = files.iter().map(PathBuf::from).collect();
            places(&files).map(|it| it.into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>())
        };
        let names = placed(&["/tmp/x/attestation.json", "build.sigstore.json", "reports.jsonl"]).unwrap();
        assert_eq!(
            names,
            [
                "provenance/attestation.sigstore.json",
                "provenance/build.sigstore.json",
                "provenance/reports.sigstore.json"
            ]
        );
        for (files, because) in
            [(&["a/x.json", "b/x.json"][..], "a second"), (&[".json"], "no name"), (&["/"], "no name")]
        {
            let error = placed(files).unwrap_err().to_string();
            assert!(error.contains(because), "{error}");
        }
    }

    #[test]
    fn the_manifest_and_every_file_are_subjects_and_bundles_are_not() {
        let file = |path: &str| BuildFile {
            path: ArtefactPath::parse(path).unwrap(),
            file: PathBuf::new(),
            size: 1,
            sha256: Sha256::of(path.as_bytes()),
        };
        let files = ["build-manifest.json", "reports/unit.xml", "provenance/a.sigstore.json"].map(file);
        let (manifest, report) = (Sha256::of(b"{}"), Sha256::of(b"reports/unit.xml"));
        assert_eq!(
            subjects(b"{}", &files, "r/s/"),
            format!("{manifest}  r/s/build-manifest.json\n{report}  r/s/reports/unit.xml\n")
        );
    }

    const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
    const KEY: &str = "bank-payments/3f1c9a0b5d7e2468ace013579bdf02468ace1357/provenance/build.sigstore.json";

    /// The files of a bundle of evidence on a commit of one report, which a key attested and a workflow too.
    fn evidence() -> Files {
        let (manifest, report) = (b"{}".to_vec(), Sha256::of(b"<x/>"));
        let slsa = statement(&[Sha256::of(&manifest), report], "https://ci.bank.example", "https://bank.example", SHA);
        let by_key = signed_by_key("jenkins", &slsa).to_string().into_bytes();
        let root = Instance::new("corp").trusted_root();
        let by_workflow =
            Instance::new("corp").attest(&Workflow::of("bank-payments", SHA), &slsa).to_string().into_bytes();
        let trust = Trust {
            roots: [("corp".parse().unwrap(), Some(root.clone()))].into(),
            keys: [("jenkins".to_owned(), public_key("jenkins"))].into(),
        };
        let verifier = Provenance::new(&trust).unwrap();
        let other = KEY.replace("build.", "other.");
        let bundles = [(KEY, &by_key), (&*other, &by_workflow)];
        let built: BTreeMap<_, _> = bundles.map(|(key, it)| (key, verifier.verify(it).unwrap().build)).into();
        let judged = [(KEY, Sha256::of(&by_key)), (&*other, Sha256::of(&by_workflow)), ("r", report)];
        let judged = judged.map(|(key, sha256)| json!({"key": key, "version_id": "1", "sha256": sha256, "size": 1}));
        let verdict = json!({
            "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "manifest_version_id": "m1",
            "outcome": "built", "reasons": [], "artefacts": judged, "provenance": built,
            "evaluated_at": "2026-05-02T03:10:00Z",
        });
        let key = json!({"name": "jenkins", "public_key": public_key("jenkins"), "builder": "https://ci.bank.example"});
        let policy = json!({"schema_version": 1, "all": {"builders": [{"key": key}]}});
        [
            (paper::VERDICT.to_owned(), verdict.to_string().into_bytes()),
            (paper::POLICY.to_owned(), policy.to_string().into_bytes()),
            (paper::MANIFEST.to_owned(), manifest),
            ("provenance/build.sigstore.json".to_owned(), by_key),
            ("provenance/other.sigstore.json".to_owned(), by_workflow),
            ("config/trusted-roots/corp.json".to_owned(), root.into_bytes()),
        ]
        .into()
    }

    #[test]
    fn what_a_bundle_of_evidence_carries_is_verified_again_without_network() {
        let check = verified_again(&evidence()).unwrap();
        assert_eq!((check.holds, &*check.detail), (Holds::Holds, "2 Sigstore bundles"));
    }

    #[test]
    fn nothing_in_a_bundle_of_evidence_that_provenance_rests_on_can_be_changed() {
        let (jenkins, mallory) = (public_key("jenkins"), public_key("mallory"));
        let in_json = |text: &str| serde_json::to_string(text).unwrap();
        for (name, from, to, because) in [
            (paper::MANIFEST, "{}", "{ }", "the manifest is no subject of it"),
            (paper::VERDICT, "refs/heads/main", "refs/heads/more", "another build than the verdict tells of"),
            (paper::POLICY, &*in_json(&jenkins), &*in_json(&mallory), "by key `jenkins`"),
            (paper::POLICY, "\"jenkins\"", "\"another\"", "the policy has no key `jenkins`"),
            ("config/trusted-roots/corp.json", "rekor.test", "rekor.tset", "was replaced since"),
            ("provenance/build.sigstore.json", "\"sig\":\"ME", "\"sig\":\"MF", "by key `jenkins`"),
        ] {
            let mut files = evidence();
            let text = String::from_utf8(files[name].clone()).unwrap();
            assert!(text.contains(from), "{name}: {from}");
            files.insert(name.to_owned(), text.replace(from, to).into_bytes());
            let check = verified_again(&files).unwrap();
            assert_eq!(check.holds, Holds::Fails);
            assert!(check.detail.contains(because), "{name}: {}", check.detail);
        }
        let mut files = evidence();
        files.remove("provenance/build.sigstore.json");
        assert!(verified_again(&files).unwrap().detail.contains("it is not in the bundle of evidence"));
    }
}
