//! What each document of the evidence is called: its file's name in a bundle.

use gatekeeper_model::{
    ids::{AssetFile, DatabaseName, FileName, ModuleId, RunName, Sha256, StackName},
    provenance::RootName,
    store_key::Form,
};

use super::model::AttestationKind;

/// What the stage runs.
pub const STAGE: &str = "records/stage.json";
/// The record of the promotion that brought it.
pub const PROMOTION: &str = "records/promotion.json";
/// The verdict that the promotion rests on.
pub const VERDICT: &str = "records/verdict.json";
/// The verdict that stands now.
pub const PRESENT_VERDICT: &str = "records/present-verdict.json";
/// That the commit was taken back.
pub const REVOCATION: &str = "records/revocation.json";
/// What drift watching found last.
pub const DRIFT: &str = "records/drift.json";
/// Which entries of the ledger were said to be the newest, and when.
pub const FRESHNESS: &str = "records/freshness.json";
/// The manifest that was judged.
pub const MANIFEST: &str = "manifest/build-manifest.json";
/// The policy that the gate applied, in the version that the verdict names.
pub const POLICY: &str = "config/policy.json";
/// The stages' configuration, in the version that the promotion's record names.
pub const STAGES: &str = "config/stages.json";
/// Who is who, in the version by which approvals were counted.
pub const IDENTITIES: &str = "config/identities.json";
/// The signed head of the stage's chain of the ledger.
pub const HEAD: &str = "ledger/head.json";
/// The signed head of the gate's own chain of the repository.
pub const GATE_HEAD: &str = "ledger/gate/head.json";
/// The folder of the stage's chain.
pub const LEDGER: &str = "ledger/";
/// The folder of the gate's chain.
pub const GATE_LEDGER: &str = "ledger/gate/";

/// The newest head of the stage's chain that the witness outside has.
pub const WITNESS: &str = "witness/stage.json";
/// The newest head of the gate's chain that the witness outside has.
pub const GATE_WITNESS: &str = "witness/gate.json";

/// A timestamp authority's answer on [`WITNESS`].
pub const TIMESTAMP: &str = "witness/stage.tsr";
/// A timestamp authority's answer on [`GATE_WITNESS`].
pub const GATE_TIMESTAMP: &str = "witness/gate.tsr";

/// A signed statement in one of its forms.
#[must_use]
pub fn attestation(kind: AttestationKind, form: Form) -> String {
    let form = match form {
        Form::Dsse => "dsse",
        Form::Sigstore => "sigstore",
    };
    format!("attestations/{}.{form}.json", kind.as_str())
}

/// The entry at a place of the chain that lies in `folder`.
#[must_use]
pub fn entry(folder: &str, sequence: u64) -> String {
    format!("{folder}{sequence:010}.json")
}

/// The place of the entry of this name in the chain that lies in `folder`; `None` where it is another document.
#[must_use]
pub fn sequence(folder: &str, name: &str) -> Option<u64> {
    let digits = name.strip_prefix(folder)?.strip_suffix(".json")?;
    let sequence = digits.parse().ok()?;
    (entry(folder, sequence) == name).then_some(sequence)
}

/// An approval that the promotion counted, by its place in the record from 1.
#[must_use]
pub fn approval(place: usize) -> String {
    format!("approvals/{place:03}.json")
}

/// The proposal of a waiver that the promotion used, by its place in the record from 1.
#[must_use]
pub fn waiver(place: usize) -> String {
    format!("approvals/waivers/{place:03}.json")
}

/// The index of the commits that hold some bytes; it is told of where it could not be looked at.
#[must_use]
pub fn digest(digest: &Sha256) -> String {
    format!("digests/{digest}")
}

/// What a run of the promotion came to, by the run's name.
#[must_use]
pub fn run(name: &RunName) -> String {
    format!("records/runs/{name}.json")
}

/// A bundle that says who built the commit, by its file's name in the commit's folder.
#[must_use]
pub fn provenance(file: &FileName) -> String {
    format!("provenance/{file}")
}

/// A trusted root that provenance was verified against.
#[must_use]
pub fn trusted_root(name: &RootName) -> String {
    format!("config/trusted-roots/{name}.json")
}

/// A raw test report.
#[must_use]
pub fn report(file: &FileName) -> String {
    format!("reports/{file}")
}

/// A schema snapshot.
#[must_use]
pub fn snapshot(module: &ModuleId, database: &DatabaseName) -> String {
    format!("schema/{module}-{database}.sql")
}

/// A stored template, of a commit whose stages get portable forms.
#[must_use]
pub fn template(module: &ModuleId, stack: &StackName) -> String {
    format!("templates/{module}-{stack}.json")
}

/// A stored template that is nested in a stack, of such a commit.
#[must_use]
pub fn nested_template(file: &AssetFile) -> String {
    format!("templates/nested/{file}")
}

/// The portable form of a template, which follows from it.
#[must_use]
pub fn form(stack: &StackName) -> String {
    format!("forms/{stack}.json")
}

/// The mapping from a template to its form, which follows from the template too.
#[must_use]
pub fn mapping(stack: &StackName) -> String {
    format!("forms/{stack}.mapping.json")
}

/// The portable form of a template that is nested in a stack, by the digest of the stored one.
#[must_use]
pub fn nested_form(stack: &StackName, template: Sha256) -> String {
    format!("forms/{stack}/{template}.json")
}

/// The mapping from a nested template to its form.
#[must_use]
pub fn nested_mapping(stack: &StackName, template: Sha256) -> String {
    format!("forms/{stack}/{template}.mapping.json")
}

/// Whether a document is a raw report, a schema snapshot or a template, which are read only for who wants to read them too.
#[must_use]
pub fn is_attached(name: &str) -> bool {
    ["reports/", "schema/", "templates/"].iter().any(|folder| name.starts_with(folder))
}

/// Whether a file of a bundle is a document.
#[must_use]
pub fn is_document(name: &str) -> bool {
    const FOLDERS: [&str; 11] = [
        "records/",
        "manifest/",
        "attestations/",
        "ledger/",
        "witness/",
        "approvals/",
        "config/",
        "provenance/",
        "reports/",
        "schema/",
        "templates/",
    ];
    FOLDERS.iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| !rest.is_empty()))
}
