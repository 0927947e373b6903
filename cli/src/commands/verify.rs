//! `gatekeeper verify`: verifies a bundle of evidence offline.

use std::path::{Path, PathBuf};

use gatekeeper_evidence::{
    bundle,
    bundle_verify::{MaxAge, OwnKeys, verify_against},
    model::Holds,
    pack,
    revocations::Given,
    text,
};
use gatekeeper_model::telemetry;
use gatekeeper_proof::PublicKey;
use gatekeeper_timestamp::Roots;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde_json::json;

use crate::{
    exit::{Answer, Misuse},
    output::{Output, bad, held},
    provenance, timestamps,
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper verify evidence.zip
  gatekeeper verify evidence.zip --gate-key gate.pem --promotion-key promotion.pem
  gatekeeper verify evidence.zip --root 1.root.json
  gatekeeper verify evidence.zip --root 1.root.json --tsa-root authority.pem
  gatekeeper verify evidence.zip --revocations revocations.json --max-age 30d";

/// Verifies a bundle of `gatekeeper evidence` without network: every signature, digest and link in it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The gate's public key as you got it elsewhere, in PEM; without it compare the fingerprint that is printed
    #[arg(long, value_name = "FILE")]
    gate_key: Option<PathBuf>,
    /// The promotion's public key as you got it elsewhere, in PEM
    #[arg(long, value_name = "FILE")]
    promotion_key: Option<PathBuf>,
    /// The public key that approvals are signed with as you got it elsewhere, in PEM
    #[arg(long, value_name = "FILE")]
    approval_key: Option<PathBuf>,
    /// A file that `gatekeeper revocations` wrote, mostly later than the bundle; may be given more than once. A bundle of a
    /// commit that was taken back by then is refused, and so is a file that is older than the bundle, or that another key signed
    #[arg(long, value_name = "FILE")]
    revocations: Vec<PathBuf>,
    /// A version of the trust root that you got elsewhere, `N.root.json`: which keys count follows from it, and from later
    /// versions in the bundle that people of it have signed
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Certificates of timestamp authorities whose word counts, in PEM, as you got them from them: the bundle must have their
    /// timestamp of each ledger in it that has entries. Without it a timestamp in the bundle is read, and not believed
    #[arg(long, value_name = "FILE")]
    tsa_root: Option<PathBuf>,
    /// Refuses a bundle in which nothing newer is signed than this, such as `1d` or `12h`: when it was made is told by when it
    /// was last stated which entries of its ledgers are the newest, by these entries, or by those of `--revocations`, for what a
    /// bundle says of itself nobody signed
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_age: Option<SignedDuration>,
}

/// Days are 24 hours.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    if length.is_positive() { Ok(length) } else { Err("it must be longer than nothing".to_owned()) }
}

pub(crate) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let own = OwnKeys {
        gate: args.gate_key.as_deref().map(key).transpose()?,
        promotion: args.promotion_key.as_deref().map(key).transpose()?,
        approval: args.approval_key.as_deref().map(key).transpose()?,
        root: args.root.as_deref().map(read).transpose()?,
    };
    let authorities = args.tsa_root.as_deref().map(roots).transpose()?;
    let max_age = args.max_age.map(|at_most| MaxAge { at_most, now: telemetry::wall_clock() });
    let archive = read(&args.bundle)?;
    let named = |path: &PathBuf| Ok((path.display().to_string(), read(path)?));
    let revocations = args.revocations.iter().map(named).collect::<anyhow::Result<Vec<_>>>()?;
    let revocations: Vec<_> = revocations.iter().map(|(name, bytes)| Given { name, bytes }).collect();
    let unpacked = bundle::unpack(&archive);
    if let Ok(files) = &unpacked
        && files.contains_key(pack::REPORT)
    {
        return verify_pack(files, &own, max_age, args, output);
    }
    let verified = unpacked.and_then(|files| {
        let evidence = verify_against(&files, &own, max_age, &revocations)?
            .with_checks(provenance::verified_again(&files))
            .with_checks(timestamps::verified(&files, authorities.as_ref()));
        Ok((evidence, files.contains_key(bundle::APPROVAL_KEY)))
    });
    let (evidence, has_approval_key) = match verified {
        Ok(verified) => verified,
        Err(invalid) => {
            let why = invalid.to_string();
            output.result(&json!({"verdict": Holds::Fails, "answer": why}), &format!("{}  {why}", bad("FAILS")))?;
            return Ok(Answer::No);
        }
    };
    output.result(&evidence, &text::render(&evidence, held))?;
    let is_compared = own.root.is_some() || (own.gate.is_some() && own.promotion.is_some());
    if !is_compared || (own.root.is_none() && own.approval.is_none() && has_approval_key) {
        output.warning(
            "whose keys signed it only you can tell: compare their fingerprints with ones that you got elsewhere",
        );
    }
    Ok(Answer::of(evidence.verdict))
}

/// A pack: of every repository of a stage.
fn verify_pack(
    files: &bundle::Files,
    own: &OwnKeys,
    max_age: Option<MaxAge>,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    if args.tsa_root.is_some() || !args.revocations.is_empty() {
        let why = "`--tsa-root` and `--revocations` are for the bundle of one repository: unpack one of `evidence/`";
        return Err(Misuse(why.to_owned()).into());
    }
    let report = match pack::verify(files, own, max_age) {
        Ok(report) => report,
        Err(invalid) => {
            let why = invalid.to_string();
            output.result(&json!({"verdict": Holds::Fails, "answer": why}), &format!("{}  {why}", bad("FAILS")))?;
            return Ok(Answer::No);
        }
    };
    output.result(&report, &super::evidence::pack::text(&report))?;
    if own.root.is_none() && (own.gate.is_none() || own.promotion.is_none()) {
        output.warning(
            "whose keys signed it only you can tell: compare their fingerprints with ones that you got elsewhere",
        );
    }
    Ok(Answer::of(report.verdict))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|error| Misuse(format!("`{}` can't be read: {error}", path.display())))?)
}

fn roots(path: &Path) -> anyhow::Result<Roots> {
    let pem = read(path)?;
    Ok(Roots::from_pem(&pem).map_err(|error| Misuse(format!("`{}`: {error}", path.display())))?)
}

fn key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    Ok(PublicKey::from_pem(&text).map_err(|error| Misuse(format!("`{}` is {error}", path.display())))?)
}
