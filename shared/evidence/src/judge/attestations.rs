//! What is signed: by which key, over what, and whether that is what is stored and what runs.

use gatekeeper_gate::{attestation, attestation::TestResult};
use gatekeeper_model::{
    ids::Sha256,
    store_key::{Form, PromotionStatement, RecordKey},
};
use gatekeeper_promotion::{
    attestation::{Deployment, VerificationSummary, deployment, verification_summary},
    record::UnreadFact,
};
use gatekeeper_proof::{Digest, Envelope, PublicKeys, Statement, TrustedKey, TrustedKeys, WordOf, bundle};
use serde::Deserialize;
use serde_json::Value;

use super::{Case, Checks, counted, listed};
use crate::{
    exhibits::Unread,
    model::{Attestation, AttestationKind, Holds, Part, Signer},
    paper,
};

const PART: Part = Part::Attestations;

/// Tells of the attestations, and checks them.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Vec<Attestation> {
    let (built, test_result) = one::<TestResult>(case, AttestationKind::Built, checks);
    let (summary, verification) = one::<VerificationSummary>(case, AttestationKind::VerificationSummary, checks);
    let (deployed, deployment) = one::<Deployment>(case, AttestationKind::Deployment, checks);
    built_agrees(case, test_result.as_ref(), checks);
    pinned(case, checks);
    summary_agrees(case, verification.as_ref(), checks);
    deployment_agrees(case, deployment.as_ref(), test_result.as_ref(), checks);
    vec![built, summary, deployed]
}

fn key_of(case: &Case<'_>, kind: AttestationKind) -> String {
    let question = &case.exhibits.observed.question;
    let of_promotion = |statement| {
        let (stage, repo, id) = (question.stage.clone(), question.repo.clone(), case.subject.promotion_id.clone());
        RecordKey::PromotionAttestation(stage, repo, id, statement, Form::Dsse).to_string()
    };
    match kind {
        AttestationKind::Built => RecordKey::BuiltAttestation(case.commit.clone(), Form::Dsse).to_string(),
        AttestationKind::VerificationSummary => of_promotion(PromotionStatement::VerificationSummary),
        AttestationKind::Deployment => of_promotion(PromotionStatement::Deployment),
    }
}

/// One attestation: there, signed with the right key, and the same as a Sigstore bundle.
fn one<P: WordOf>(case: &Case<'_>, kind: AttestationKind, checks: &mut Checks) -> (Attestation, Option<Statement<P>>) {
    let signer = match kind {
        AttestationKind::Built => Signer::Gate,
        AttestationKind::VerificationSummary | AttestationKind::Deployment => Signer::Promotion,
    };
    let document = case.exhibits.document(&paper::attestation(kind, Form::Dsse));
    let dsse = document.as_ref().ok().map(|document| document.bytes.as_slice());
    let mut attestation = Attestation {
        kind,
        key: key_of(case, kind),
        sha256: dsse.map(Sha256::of),
        predicate_type: None,
        subjects: 0,
        signer,
        verified: Holds::Unknown,
    };
    let name = format!("{signer} signed that {}", kind.says());
    let (Some(dsse), Some(keys)) = (dsse, &case.exhibits.keys) else {
        match &document {
            Err(unread) => {
                attestation.verified = unread.holds();
                checks.unread(PART, &name, &format!("`{}`", attestation.key), unread);
            }
            Ok(_) => checks.unknown(PART, &name, "the public keys could not be read"),
        }
        return (attestation, None);
    };
    let named = case.names.as_ref().and_then(|names| match kind {
        AttestationKind::Built => names.built(case.record()?, case.record.as_ref().ok()?.sha256, dsse),
        AttestationKind::VerificationSummary | AttestationKind::Deployment => names.attestation(dsse),
    });
    let envelope = Envelope::parse(dsse);
    let opened = envelope.and_then(|envelope| {
        let (statement, key) = Statement::<P>::open_named(&envelope, keys.of(P::AUTHORITY), named)?;
        Ok((statement, envelope, key))
    });
    attestation.verified = Holds::of(opened.is_ok());
    match &opened {
        Ok((statement, _, signer)) => {
            attestation.predicate_type = Some(P::TYPE.to_owned());
            attestation.subjects = statement.subject.len();
            let fingerprint = signer.key.fingerprint();
            let revoked = signer
                .revoked
                .as_ref()
                .map(|it| format!(", which was revoked as of {}; the ledger named this before", it.at));
            let revoked = revoked.unwrap_or_default();
            checks.holds(PART, &name, format!("the signature holds under the key `{fingerprint}`{revoked}"));
        }
        Err(error) => checks.fails(PART, &name, format!("`{}`: {error}", attestation.key)),
    }
    if let Ok((_, envelope, signer)) = &opened {
        sigstore::<P>(case, kind, (envelope, signer), keys, checks);
    }
    (attestation, opened.ok().map(|(statement, ..)| statement))
}

fn sigstore<P: WordOf>(
    case: &Case<'_>,
    kind: AttestationKind,
    (envelope, signer): (&Envelope, &TrustedKey),
    keys: &PublicKeys,
    checks: &mut Checks,
) {
    let name = format!("the Sigstore bundle of `{}` is the same attestation", kind.as_str());
    let stored = match case.exhibits.document(&paper::attestation(kind, Form::Sigstore)) {
        Ok(stored) => stored.bytes.as_slice(),
        Err(unread) => return checks.unread(PART, &name, "the bundle", &unread),
    };
    if bundle::is_of(stored, envelope, &signer.key) {
        checks.holds(PART, &name, "byte for byte");
    } else if kind == AttestationKind::Built && is_later::<P>(stored, keys.of(P::AUTHORITY)) {
        // A pipeline that runs again on the same commit is judged and attested again; the promotion rests on what it pinned.
        checks.holds(PART, &name, "it is that of a later attestation of the same commit");
    } else {
        checks.fails(PART, &name, "it is not the bundle of the envelope under this key");
    }
}

/// Whether a stored Sigstore bundle is one of another statement of this kind that one of `keys` signed.
fn is_later<P: WordOf>(stored: &[u8], keys: &TrustedKeys) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Around {
        dsse_envelope: Envelope,
    }
    let Ok(Around { dsse_envelope: envelope }) = serde_json::from_slice(stored) else { return false };
    Statement::<P>::open_envelope(&envelope, keys)
        .is_ok_and(|(_, signer)| bundle::is_of(stored, &envelope, &signer.key))
}

fn built_agrees(case: &Case<'_>, statement: Option<&Statement<TestResult>>, checks: &mut Checks) {
    let name = "what is attested as Built are the stored manifest, verdict and artefacts";
    match (statement, &case.verdict, &case.manifest) {
        (Some(statement), Ok(verdict), Ok(manifest)) => {
            match attestation::disagreement(statement, &verdict.value, verdict.sha256, manifest.sha256) {
                None => checks.holds(PART, name, counted(statement.subject.len(), "subject")),
                Some(wrong) => checks.fails(PART, name, wrong),
            }
        }
        _ => checks.unknown(PART, name, "the attestation, the verdict or the manifest can't be read"),
    }
}

/// The record names the very attestation that it rests on.
fn pinned(case: &Case<'_>, checks: &mut Checks) {
    let name = "the promotion rests on this very attestation";
    let Some(record) = case.record() else {
        return checks.unknown(PART, name, "the promotion's record can't be read");
    };
    let found = case.exhibits.document(&paper::attestation(AttestationKind::Built, Form::Dsse));
    let found = found.map(|document| Sha256::of(&document.bytes));
    match (&record.built_attestation, found) {
        (None, _) => checks.fails(PART, name, "the promotion's record names no attestation"),
        (Some(pinned), Err(unread @ Unread::NotLooked(_))) => {
            checks.unread(PART, name, &format!("version `{}` of `{}`", pinned.version_id, pinned.key), &unread);
        }
        (Some(pinned), Ok(found)) if pinned.sha256 == found => {
            checks.holds(PART, name, format!("version `{}`", pinned.version_id));
        }
        (Some(pinned), _) => {
            let wrong = format!(
                "version `{}` of `{}` is not there with SHA-256 `{}`",
                pinned.version_id, pinned.key, pinned.sha256
            );
            checks.fails(PART, name, wrong);
        }
    }
}

/// Compares what was signed with what the record says should have been.
fn agrees<P: serde::Serialize>(
    name: &str,
    signed: Option<&Statement<P>>,
    expected: Option<Result<Statement<P>, UnreadFact>>,
    checks: &mut Checks,
) {
    let (signed, expected) = match (signed, expected) {
        (Some(signed), Some(Ok(expected))) => (signed, expected),
        (_, Some(Err(unread))) => return checks.fails(PART, name, unread.to_string()),
        _ => return checks.unknown(PART, name, "the attestation or the promotion's record can't be read"),
    };
    let mut wrong: Vec<_> = expected
        .subject
        .iter()
        .filter(|it| !signed.subject.contains(it))
        .chain(signed.subject.iter().filter(|it| !expected.subject.contains(it)))
        .map(|it| format!("subject `{}`", it.name))
        .collect();
    let fields = |statement: &Statement<P>| match serde_json::to_value(&statement.predicate) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let (Some(signed_fields), Some(expected_fields)) = (fields(signed), fields(&expected)) else {
        return checks.unknown(PART, name, "the attestation could not be written as JSON to be compared");
    };
    let names = signed_fields.keys().chain(expected_fields.keys().filter(|it| !signed_fields.contains_key(*it)));
    let differing = names.filter(|name| signed_fields.get(*name) != expected_fields.get(*name));
    wrong.extend(differing.map(|field| format!("field `{field}`")));
    if wrong.is_empty() {
        let detail =
            format!("{} and {}", counted(signed.subject.len(), "subject"), counted(signed_fields.len(), "field"));
        checks.holds(PART, name, detail);
    } else {
        checks.fails(PART, name, format!("the attestation and the record differ in {}", listed(&wrong)));
    }
}

fn summary_agrees(case: &Case<'_>, signed: Option<&Statement<VerificationSummary>>, checks: &mut Checks) {
    let name = "the verification summary is what the promotion's record says";
    agrees(name, signed, case.record().and_then(verification_summary).map(Ok), checks);
}

fn deployment_agrees(
    case: &Case<'_>,
    signed: Option<&Statement<Deployment>>,
    built: Option<&Statement<TestResult>>,
    checks: &mut Checks,
) {
    let name = "the deployment statement is what the promotion's record says";
    let expected = case.record().zip(signed).map(|(record, signed)| deployment(record, signed.predicate.completed_at));
    agrees(name, signed, expected, checks);

    let name = "every byte that was attested as live was attested as Built";
    let (Some(signed), Some(built)) = (signed, built) else {
        return checks.unknown(PART, name, "one of the two attestations can't be read");
    };
    let attested = |sha256: Sha256| built.subject.iter().any(|subject| subject.digest == Digest::Sha256(sha256));
    let (mut wrong, mut open) = (Vec::new(), Vec::new());
    for function in &signed.predicate.functions {
        match (function.code_sha256, &function.unread) {
            (_, Some(why)) => open.push(format!("when the promotion ended, {why}")),
            (Some(code), None) if attested(code) => {}
            (Some(code), None) => wrong.push(format!("function `{}` with `{code}`", function.function)),
            (None, None) => wrong.push(format!("function `{}`, which had no code", function.function)),
        }
    }
    // What a stage gets of a template that names dev is its form, which the gate attests beside the template.
    let is_form = |sha256: Sha256| built.predicate.forms.values().any(|form| form.sha256 == sha256);
    let is_tested = |sha256| attested(sha256) || is_form(sha256);
    let stacks = signed.predicate.stacks.iter().filter(|it| !is_tested(it.template_sha256));
    wrong.extend(stacks.map(|it| format!("the template of `{}` with `{}`", it.stack_name, it.template_sha256)));
    let (functions, stacks) = (signed.predicate.functions.len(), signed.predicate.stacks.len());
    let detail = format!("{} and {}", counted(functions, "function"), counted(stacks, "stack"));
    checks.judged(PART, name, &wrong, &open, detail);
}
