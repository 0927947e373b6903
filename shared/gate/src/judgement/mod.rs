//! The gate as a pure function: what is stored of a commit, and the verdict on it (CONTRACT §4).

mod built;
mod provenance;
pub(crate) mod reports;
mod tags;

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Commit, Sha256, StackName, VersionId},
    manifest::Manifest,
    outcome::Counts,
    policy::Rules,
    provenance::Told,
    revocation::TakenBack,
    store_key::ArtefactPath,
    suite::Suite,
    verdict::{Baseline, NamedTests, Outcome, TemplateForm},
};
use gatekeeper_proof::ledger::Standing;
use gatekeeper_readers::report::{Gone, Recounted, TestId};
use gatekeeper_store::Tags;
pub(crate) use tags::tag_limit;
pub use tags::{INTEGRATION_PASSED, TagWrite, brake_pulled, claim, concluded, is_claimed, tag_write, tags_with};

/// One object of a commit as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its newest version.
    pub version_id: VersionId,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, as the store computed it or as it was streamed.
    pub sha256: Sha256,
    /// Its tags; `None` where they were not read because nothing depends on them but that they leave the gate room.
    pub tags: Option<Tags>,
}

/// The commit's manifest as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredManifest {
    /// There is none.
    Missing,
    /// It can't be used.
    Refused {
        /// The version that was read.
        version_id: VersionId,
        /// Everything that is wrong with it.
        findings: Vec<Finding>,
    },
    /// It is one.
    Read {
        /// The version that was read.
        version_id: VersionId,
        /// The SHA-256 of its bytes.
        sha256: Sha256,
        /// What it claims.
        manifest: Box<Manifest>,
    },
}

impl StoredManifest {
    /// The version that was read.
    #[must_use]
    pub fn version_id(&self) -> Option<&VersionId> {
        match self {
            Self::Missing => None,
            Self::Refused { version_id, .. } | Self::Read { version_id, .. } => Some(version_id),
        }
    }
}

/// What became of the integration tests of an earlier commit.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The earlier commit.
    pub baseline: Baseline,
    /// What the reports of both show.
    pub comparison: Comparison,
}

/// Which integration tests of an earlier commit are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// These, with their names and how often they passed. None, where all are still there.
    Vanished(BTreeMap<TestId, (String, Gone)>),
    /// The earlier commit has raw reports, this one has none.
    NoReport,
    /// The reports hold more tests than can be named.
    TooMany,
}

/// Everything that a verdict rests on.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Which commit it is.
    pub commit: Commit,
    /// Its manifest.
    pub manifest: StoredManifest,
    /// The manifest's tags; none without a manifest.
    pub manifest_tags: Tags,
    /// Its other objects.
    pub objects: BTreeMap<ArtefactPath, Object>,
    /// What the validators found in those of them whose bytes are the claimed ones.
    pub inspections: Vec<Finding>,
    /// What became of the bundles that tell who built it; of none before the integration tests.
    pub provenance: BTreeMap<ArtefactPath, Told>,
    /// What the reports among them show.
    pub reports: BTreeMap<ArtefactPath, Recounted>,
    /// The portable forms of its templates, by the stack's name, where the manifest declares what they were made for.
    pub forms: BTreeMap<StackName, TemplateForm>,
    /// For each row of `policies_satisfied` the policy tests that passed and are named after it; `None` where no report
    /// tells.
    pub policy_tests: Option<BTreeMap<String, NamedTests>>,
    /// The last Built commit of the branch before this one, and what became of its integration tests.
    pub earlier: Option<Earlier>,
    /// What binds the repository.
    pub rules: Rules,
    /// The version of `config/policy.json` that says so; `None` where ADR-053 alone does.
    pub policy_version_id: Option<VersionId>,
    /// The SHA-256 of that version.
    pub policy_sha256: Option<Sha256>,
    /// That it was taken back.
    pub revocation: Option<TakenBack>,
    /// The same as the standing verdict on this very manifest tells it: it holds whatever becomes of the record.
    pub standing_revocation: Option<Finding>,
}

impl Evidence {
    /// Of a commit of which nothing is known yet.
    #[must_use]
    pub fn of(commit: Commit) -> Self {
        Self {
            rules: Rules::of_adr_053(&commit.repo),
            commit,
            manifest: StoredManifest::Missing,
            manifest_tags: Tags::new(),
            objects: BTreeMap::new(),
            inspections: Vec::new(),
            provenance: BTreeMap::new(),
            reports: BTreeMap::new(),
            forms: BTreeMap::new(),
            policy_tests: None,
            earlier: None,
            policy_version_id: None,
            policy_sha256: None,
            revocation: None,
            standing_revocation: None,
        }
    }
}

/// What the gate makes of a commit, in a stable order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What it is.
    pub outcome: Outcome,
    /// Every reason why it isn't Built.
    pub reasons: Vec<Finding>,
    /// What is only told.
    pub warnings: Vec<Finding>,
}

/// Judges a commit.
///
/// What is wrong weighs more than what is missing, and what is missing more than what has not run yet.
#[must_use]
pub fn judge(evidence: &Evidence) -> Judgement {
    let Judgement { outcome, mut reasons, mut warnings } = match &evidence.manifest {
        StoredManifest::Missing => Judgement {
            outcome: Outcome::Incomplete,
            reasons: vec![Finding::new(
                Code::ManifestMissing,
                ArtefactPath::Manifest.of(&evidence.commit),
                "there is no manifest yet; upload it last",
            )],
            warnings: Vec::new(),
        },
        StoredManifest::Refused { findings, .. } => {
            Judgement { outcome: Outcome::Rejected, reasons: findings.clone(), warnings: Vec::new() }
        }
        StoredManifest::Read { manifest, sha256, .. } => judge_manifest(evidence, manifest, *sha256),
    };
    let outcome = match &evidence.revocation {
        Some(taken_back) if evidence.manifest.version_id().is_some_and(|it| taken_back.concerns(it)) => {
            reasons.push(Finding::new(
                Code::Revoked,
                ArtefactPath::Manifest.of(&evidence.commit),
                taken_back.to_string(),
            ));
            Outcome::Revoked
        }
        _ => match &evidence.standing_revocation {
            Some(revoked) => {
                reasons.push(revoked.clone());
                Outcome::Revoked
            }
            None => outcome,
        },
    };
    for list in [&mut reasons, &mut warnings] {
        list.sort();
        list.dedup();
    }
    Judgement { outcome, reasons, warnings }
}

/// That this version of a commit's manifest was taken back, as the gate signed it then, whatever became of the record and of
/// the verdict since: whoever may write records can put an older verdict back and have the revocation's newest version gone.
#[must_use]
pub fn signed_revocation(commit: &Commit, ledger: &Standing, manifest_version_id: &VersionId) -> Option<Finding> {
    let message = "taken back, as the gate's own ledger tells; the record that says by whom and why is gone or is another \
                   one";
    let finding = || Finding::new(Code::Revoked, ArtefactPath::Manifest.of(commit), message);
    ledger.revokes(&commit.sha, manifest_version_id).then(finding)
}

/// What the raw reports of each suite show, where they can be recounted.
#[must_use]
pub fn recounted(evidence: &Evidence) -> BTreeMap<Suite, Counts> {
    let StoredManifest::Read { manifest, .. } = &evidence.manifest else { return BTreeMap::new() };
    let (shown, _) = reports::check(evidence, manifest);
    shown.into_iter().filter_map(|(suite, shown)| Some((suite, shown.tests?))).collect()
}

fn judge_manifest(evidence: &Evidence, manifest: &Manifest, sha256: Sha256) -> Judgement {
    let integration_ran = manifest.tests.integration.is_some();
    let mut missing = Vec::new();
    let mut wrong = evidence.inspections.clone();
    wrong.extend(tags::no_room(evidence));

    let claims = manifest.claims();
    for claim in &claims {
        let key = claim.path.of(&evidence.commit);
        let Some(object) = evidence.objects.get(&claim.path) else {
            missing.push(Finding::new(Code::ArtefactMissing, key, "the manifest lists it, the store does not have it"));
            continue;
        };
        if object.sha256 != claim.sha256 {
            let message = format!(
                "the manifest says `{}`, stored is `{}` in version `{}`",
                claim.sha256, object.sha256, object.version_id
            );
            wrong.push(Finding::new(Code::DigestMismatch, key, message));
        } else if object.size != claim.size {
            let message = format!("the manifest says {} bytes, stored are {}", claim.size, object.size);
            wrong.push(Finding::new(Code::SizeMismatch, key, message));
        }
    }
    // Before the integration tests more is still to come, such as the schema snapshot and the final manifest.
    if integration_ran {
        let is_listed = |path: &&ArtefactPath| !matches!(path, ArtefactPath::Provenance(_));
        for path in evidence.objects.keys().filter(is_listed) {
            if !claims.iter().any(|claim| claim.path == *path) {
                let key = path.of(&evidence.commit);
                let message = "the manifest does not list it; list it, or remove it and upload the manifest again";
                wrong.push(Finding::new(Code::UnlistedArtefact, key, message));
            }
        }
        let proven = provenance::check(evidence, sha256, &claims);
        wrong.extend(proven.wrong);
        missing.extend(proven.missing);
    }
    let (shown, doubts) = reports::check(evidence, manifest);
    wrong.extend(doubts);
    let figures = reports::figures(manifest, &shown);
    wrong.extend(built::conditions(manifest, &evidence.rules, &shown, &figures));

    let (warnings, mut wrong): (Vec<_>, Vec<_>) = wrong.into_iter().partition(|it| it.code.is_warning());
    let outcome = if !wrong.is_empty() {
        Outcome::Rejected
    } else if !missing.is_empty() {
        Outcome::Incomplete
    } else if !integration_ran {
        Outcome::Registered
    } else {
        Outcome::Built
    };
    wrong.extend(missing);
    Judgement { outcome, reasons: wrong, warnings }
}

#[cfg(test)]
pub(crate) mod tests {
    use gatekeeper_model::{
        manifest::sample::{commit, example},
        verdict::Revocation,
    };
    use serde_json::{Value, json};

    use super::*;

    /// What is stored when all that `manifest` lists is stored as it says.
    pub(crate) fn evidence(manifest: &Value) -> Evidence {
        let parsed = Manifest::parse(manifest.to_string().as_bytes(), &commit()).unwrap();
        let objects = parsed.claims().into_iter().map(|claim| {
            let object =
                Object { version_id: "v1".into(), size: claim.size, sha256: claim.sha256, tags: Some(Tags::new()) };
            (claim.path, object)
        });
        Evidence {
            objects: objects.collect(),
            manifest: StoredManifest::Read {
                version_id: "m1".into(),
                sha256: Sha256::of(b"m1"),
                manifest: Box::new(parsed),
            },
            ..Evidence::of(commit())
        }
    }

    #[track_caller]
    fn check(evidence: &Evidence, outcome: Outcome, codes: &[Code]) {
        let Judgement { outcome: actual, reasons, .. } = judge(evidence);
        let actual_codes: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
        assert_eq!((actual, actual_codes.as_slice()), (outcome, codes), "{reasons:#?}");
    }

    fn path(text: &str) -> ArtefactPath {
        ArtefactPath::parse(text).unwrap()
    }

    #[test]
    fn without_a_manifest_a_commit_is_incomplete() {
        let mut stored = evidence(&example());
        stored.manifest = StoredManifest::Missing;
        check(&stored, Outcome::Incomplete, &[Code::ManifestMissing]);
    }

    #[test]
    fn all_there_and_all_conditions_held_is_built() {
        check(&evidence(&example()), Outcome::Built, &[]);
    }

    #[test]
    fn before_the_integration_tests_it_is_registered_and_may_hold_more() {
        let mut manifest = example();
        manifest["tests"].as_object_mut().unwrap().remove("integration");
        manifest["reports"] = json!([]);
        let mut stored = evidence(&manifest);
        check(&stored, Outcome::Registered, &[]);
        let extra = stored.objects.values().next().unwrap().clone();
        stored.objects.insert(path("reports/integration.xml"), extra);
        check(&stored, Outcome::Registered, &[]);
    }

    #[test]
    fn what_is_missing_is_waited_for_but_what_is_wrong_is_refused() {
        let mut stored = evidence(&example());
        stored.objects.remove(&path("modules/MOD-012/functions/authorise-payment.zip"));
        check(&stored, Outcome::Incomplete, &[Code::ArtefactMissing]);
        let template = path("modules/MOD-012/cloudformation/payments-api.json");
        stored.objects.get_mut(&template).unwrap().sha256 = Sha256::of(b"other");
        let report = path("reports/integration.xml");
        stored.objects.get_mut(&report).unwrap().size += 1;
        check(&stored, Outcome::Rejected, &[Code::ArtefactMissing, Code::DigestMismatch, Code::SizeMismatch]);
    }

    #[test]
    fn an_object_that_the_final_manifest_does_not_list_is_refused() {
        let mut stored = evidence(&example());
        let extra = stored.objects.values().next().unwrap().clone();
        stored.objects.insert(path("modules/MOD-012/functions/backdoor.zip"), extra);
        check(&stored, Outcome::Rejected, &[Code::UnlistedArtefact]);
    }

    #[test]
    fn a_validators_finding_refuses_the_commit() {
        let mut stored = evidence(&example());
        stored.inspections.push(Finding::new(Code::ZipEncrypted, "k", "m"));
        check(&stored, Outcome::Rejected, &[Code::ZipEncrypted]);
    }

    #[test]
    fn a_revocation_holds_for_its_manifest_version_only() {
        let mut stored = evidence(&example());
        let mut revocation = Revocation {
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            manifest_version_id: "m1".into(),
            revoked_by: "AWS:AROAEXAMPLE:jane@bank.example".to_owned(),
            revoked_at: "2026-05-02T04:00:00Z".parse().unwrap(),
            reason: "found a fault".to_owned(),
        };
        stored.revocation = Some(TakenBack::Told(revocation.clone()));
        check(&stored, Outcome::Revoked, &[Code::Revoked]);
        revocation.manifest_version_id = "m0".into();
        stored.revocation = Some(TakenBack::Told(revocation));
        check(&stored, Outcome::Built, &[]);
    }

    #[test]
    fn a_stored_layer_is_among_those_that_its_stack_had_while_it_was_tested() {
        #[track_caller]
        fn tested(layers: &[(&str, &[u8])], outcome: Outcome, codes: &[Code]) {
            let mut manifest = example();
            let stack = "payments-api";
            manifest["modules"][0]["assets"] = json!([
                {"sha256": Sha256::of(b"layer"), "size": 5, "kind": "layer", "stack": stack, "key": "layer.zip"},
                {"sha256": Sha256::of(b"file"), "size": 4, "kind": "file", "stack": stack, "key": "file.json"},
            ]);
            let told = layers.iter().map(|(stack, bytes)| json!({"stack": stack, "code_sha256": Sha256::of(bytes)}));
            manifest["tests"]["integration"]["layers"] = told.collect();
            check(&evidence(&manifest), outcome, codes);
        }
        tested(&[("payments-api", b"layer")], Outcome::Built, &[]);
        tested(&[("payments-api", b"another"), ("payments-api", b"layer")], Outcome::Built, &[]);
        tested(&[("payments-api", b"another")], Outcome::Rejected, &[Code::TestedBytesMismatch]);
        tested(&[("payments-web", b"layer")], Outcome::Rejected, &[Code::TestedBytesMissing]);
        tested(&[], Outcome::Rejected, &[Code::TestedBytesMissing]);
    }

    #[test]
    fn each_of_adr_053s_conditions_refuses_with_its_own_code() {
        #[track_caller]
        fn broken(change: impl FnOnce(&mut Value), codes: &[Code]) {
            let mut manifest = example();
            change(&mut manifest);
            check(&evidence(&manifest), Outcome::Rejected, codes);
        }
        fn without(pointer: &'static str, name: &'static str) -> impl FnOnce(&mut Value) {
            move |manifest| {
                manifest.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
            }
        }
        fn with(pointer: &'static str, value: Value) -> impl FnOnce(&mut Value) {
            move |manifest| *manifest.pointer_mut(pointer).unwrap() = value
        }
        broken(without("/tests", "typecheck"), &[Code::TypecheckMissing]);
        broken(with("/tests/typecheck/errors", json!(1)), &[Code::TypecheckFailed]);
        broken(without("/tests", "unit"), &[Code::UnitMissing]);
        broken(with("/tests/unit/passed", json!(0)), &[Code::UnitMissing]);
        broken(with("/tests/unit/failed", json!(1)), &[Code::UnitFailed]);
        broken(with("/tests/unit/line_coverage", json!(79.9)), &[Code::CoverageBelowThreshold]);
        broken(with("/tests/unit/function_coverage", json!(null)), &[Code::CoverageBelowThreshold]);
        broken(without("/tests", "policy"), &[Code::PolicyMissing]);
        broken(with("/tests/policy/failed", json!(1)), &[Code::PolicyFailed]);
        broken(with("/tests/policy/passed", json!(1)), &[Code::PolicyUncovered]);
        broken(without("", "flyway"), &[Code::FlywayMissing]);
        broken(with("/flyway/payments/validated", json!(false)), &[Code::FlywayInvalid]);
        broken(with("/modules/0/schemas", json!([])), &[Code::SchemaSnapshotMissing]);
        broken(without("", "deploy"), &[Code::DeployMissing]);
        broken(with("/deploy/succeeded", json!(false)), &[Code::DeployFailed]);
        broken(with("/tests/integration/run_integration", json!(false)), &[Code::IntegrationGuardOff]);
        broken(with("/tests/integration/passed", json!(0)), &[Code::IntegrationMissing]);
        broken(with("/tests/integration/failed", json!(1)), &[Code::IntegrationFailed]);
        broken(with("/tests/integration/skipped", json!(1)), &[Code::IntegrationSkipped]);
        broken(with("/tests/integration/deployed", json!([])), &[Code::TestedBytesMissing]);
        broken(
            with("/tests/integration/deployed/0/code_sha256", json!(Sha256::of(b"dev"))),
            &[Code::TestedBytesMismatch],
        );
        let another = json!([{"stack": "payments-api", "sha256": Sha256::of(b"dev")}]);
        broken(|manifest| manifest["tests"]["integration"]["templates"] = another, &[Code::TestedTemplatesMismatch]);
        broken(with("/pulumi/program_sha", json!("0".repeat(40))), &[Code::PulumiMismatch]);
        broken(without("/pulumi", "update"), &[Code::PulumiHistoryMismatch]);
        for (pointer, wrong) in [
            ("/pulumi/update/kind", json!("refresh")),
            ("/pulumi/update/result", json!("failed")),
            ("/pulumi/update/git_head", json!("0".repeat(40))),
            ("/pulumi/update/git_head", Value::Null),
            ("/pulumi/update/git_dirty", json!(true)),
            ("/pulumi/update/git_dirty", Value::Null),
            ("/pulumi/update/stack", json!("uat")),
            ("/pulumi/update/started_at", json!("2026-05-02T03:04:04Z")),
            ("/pulumi/update/ended_at", json!("2026-05-02T03:04:07Z")),
            ("/pulumi/update/ended_at", Value::Null),
        ] {
            broken(with(pointer, wrong), &[Code::PulumiHistoryMismatch]);
        }
        broken(with("/dcm/plan", json!(false)), &[Code::DcmIncomplete]);
        broken(with("/dbt_build/succeeded", json!(false)), &[Code::DbtBuildIncomplete]);
    }

    #[test]
    fn coverage_of_exactly_80_percent_is_enough_and_what_is_not_a_number_is_not() {
        let mut manifest = example();
        manifest["tests"]["unit"]["line_coverage"] = json!(80);
        manifest["tests"]["unit"]["function_coverage"] = json!(80.0);
        check(&evidence(&manifest), Outcome::Built, &[]);
        let mut stored = evidence(&manifest);
        let StoredManifest::Read { manifest, .. } = &mut stored.manifest else { panic!() };
        manifest.tests.unit.as_mut().unwrap().line_coverage = Some(f64::NAN);
        check(&stored, Outcome::Rejected, &[Code::CoverageBelowThreshold]);
    }

    #[test]
    fn a_dcm_plan_may_wait_for_its_deploy_until_the_integration_tests_ran() {
        let mut manifest = example();
        manifest["dcm"] = json!({"plan": true, "deploy": false});
        check(&evidence(&manifest), Outcome::Rejected, &[Code::DcmIncomplete]);
        manifest["tests"].as_object_mut().unwrap().remove("integration");
        check(&evidence(&manifest), Outcome::Registered, &[]);
        manifest["dcm"]["plan"] = json!(false);
        check(&evidence(&manifest), Outcome::Rejected, &[Code::DcmIncomplete]);
    }

    #[test]
    fn the_risk_platform_must_tell_of_dcm_and_dbt() {
        let mut manifest = example();
        manifest["repo"] = json!("bank-risk-platform");
        for part in ["dcm", "dbt_build"] {
            manifest.as_object_mut().unwrap().remove(part);
        }
        manifest["modules"][0].as_object_mut().unwrap().remove("dbt");
        let commit = Commit { repo: "bank-risk-platform".parse().unwrap(), ..commit() };
        let parsed = Manifest::parse(manifest.to_string().as_bytes(), &commit).unwrap();
        let rules = Rules::of_adr_053(&commit.repo);
        let broken = built::conditions(&parsed, &rules, &BTreeMap::new(), &reports::figures(&parsed, &BTreeMap::new()));
        let codes: Vec<_> = broken.into_iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::DcmIncomplete, Code::DbtBuildIncomplete, Code::DbtBuildIncomplete]);
    }
}
