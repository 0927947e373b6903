//! `gatekeeper keys list`: what the trust root says, and what the installation does with it.

use std::fmt::Write as _;

use anyhow::Context as _;
use gatekeeper_aws::kms::KmsSigner;
use gatekeeper_model::{ids::Sha256, telemetry};
use gatekeeper_proof::{
    KeyHolder as _,
    trust::{NamedKey, Pin, Root, SignedRoot, TOLD_BEFORE, Walked},
};
use jiff::Timestamp;
use serde::Serialize;

use super::stored;
use crate::{
    aws::{Aws, Part, PlaceArgs, pinned_root},
    exit::Answer,
    output::{Output, bad, good, open},
};

/// What there is, for people and programs.
#[derive(Debug, Serialize)]
struct Listed {
    /// What the functions start from; none where the stack isn't deployed with a root.
    pinned: Option<String>,
    /// The newest version that is stored.
    newest: Option<String>,
    /// Whether that has expired.
    expired: bool,
    /// Who has signed it.
    signed_by: Vec<String>,
    root: Option<Root>,
    /// What each function signs with, and whether it may.
    signs_with: Vec<SignsWith>,
}

#[derive(Debug, Serialize)]
struct SignsWith {
    whose: &'static str,
    kms_arn: String,
    fingerprint: Sha256,
    /// None where there is no root.
    may_sign: Option<bool>,
}

pub(super) async fn run(place: &PlaceArgs, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(place).await?;
    let now = telemetry::wall_clock();
    let (pin, walked) = (pinned_root(&aws).await?, stored(&aws, &aws.records().await?).await?);
    let signs_with = signs_with(&aws, walked.as_ref(), now).await?;
    let listed = listed(pin.as_ref(), walked.as_ref(), signs_with, now)?;
    let is_good = !listed.expired && listed.signs_with.iter().all(|it| it.may_sign != Some(false));
    output.result(&listed, &text(&listed, now))?;
    Ok(Answer::yes_if(is_good))
}

async fn signs_with(aws: &Aws<'_>, walked: Option<&Walked>, now: Timestamp) -> anyhow::Result<Vec<SignsWith>> {
    let mut all = Vec::new();
    for (whose, part) in
        [("gate", Part::SigningKey), ("promotion", Part::PromotionSigningKey), ("approval", Part::ApprovalSigningKey)]
    {
        let kms_arn = aws.part(part).await?;
        let key = KmsSigner::new(&aws.config, &*kms_arn).public_key().await;
        let key = key.with_context(|| format!("the public key `{kms_arn}` could not be read"))?;
        let may_sign = match walked {
            None => None,
            Some(Walked { root, .. }) => {
                let keys = match whose {
                    "gate" => root.authority(gatekeeper_proof::Authority::Gate),
                    "promotion" => root.authority(gatekeeper_proof::Authority::Promotion),
                    _ => root.approval(),
                };
                Some(keys?.may_sign(&key, now))
            }
        };
        all.push(SignsWith { whose, kms_arn, fingerprint: key.fingerprint(), may_sign });
    }
    Ok(all)
}

fn listed(
    pin: Option<&Pin>,
    walked: Option<&Walked>,
    signs_with: Vec<SignsWith>,
    now: Timestamp,
) -> anyhow::Result<Listed> {
    let newest = walked.and_then(|walked| walked.documents.last());
    let signed_by = match (newest, walked) {
        (Some((_, document)), Some(walked)) => SignedRoot::parse(document)?.signed_by(&walked.root)?,
        _ => std::collections::BTreeSet::default(),
    };
    Ok(Listed {
        pinned: pin.map(ToString::to_string),
        newest: walked.and_then(Walked::last).map(|it| it.to_string()),
        expired: walked.is_some_and(|it| it.root.has_expired(now)),
        signed_by: signed_by.into_iter().collect(),
        root: walked.map(|it| it.root.clone()),
        signs_with,
    })
}

fn text(listed: &Listed, now: Timestamp) -> String {
    let mut text = String::new();
    let Some(root) = &listed.root else {
        text.push_str("there is no trust root: the keys can't be replaced; make one by `gatekeeper keys new`\n");
        signing(&mut text, listed);
        return text;
    };
    let newest = listed.newest.as_deref().unwrap_or_default();
    let state = if root.has_expired(now) {
        bad("expired")
    } else if root.expires.duration_since(now) < TOLD_BEFORE {
        open("expires soon")
    } else {
        good("holds")
    };
    let _ = writeln!(
        text,
        "{state}   version {}, until {:.0}; signed by {}",
        root.version,
        root.expires,
        listed.signed_by.join(", ")
    );
    let _ = writeln!(text, "        {newest}");
    let people: Vec<_> = root.root_keys.iter().map(|it| it.person.as_str()).collect();
    let _ = writeln!(text, "        the next one must be signed by {} of {}", root.threshold, people.join(", "));
    match &listed.pinned {
        Some(pin) => {
            let _ = writeln!(text, "        the functions start from {pin}");
        }
        None => {
            let _ = writeln!(text, "        no function uses it yet: deploy the stack with `TrustRoot={newest}`");
        }
    }
    for (authority, keys) in root.authorities.each() {
        let _ = writeln!(text, "\n{authority}");
        for key in keys {
            let fingerprint = key.key().map(|it| it.fingerprint().to_string()).unwrap_or_default();
            let arn = key.kms_arn.as_deref().map(|arn| format!("  {arn}")).unwrap_or_default();
            let _ = writeln!(text, "  {fingerprint}  {}{arn}", time_of(key, now));
        }
    }
    text.push('\n');
    signing(&mut text, listed);
    text
}

fn signing(text: &mut String, listed: &Listed) {
    for SignsWith { whose, kms_arn, fingerprint, may_sign } in &listed.signs_with {
        let word = match may_sign {
            None => open("no root"),
            Some(true) => good("may sign"),
            Some(false) => bad("may not sign"),
        };
        let _ = writeln!(text, "{word}  {whose} signs with {fingerprint}, {kms_arn}");
    }
}

fn time_of(key: &NamedKey, now: Timestamp) -> String {
    match (&key.revoked, key.until) {
        (Some(revoked), _) => format!("revoked as of {:.0}: {}", revoked.at, revoked.reason),
        (None, Some(until)) if until <= now => format!("ended at {until:.0}"),
        (None, Some(until)) => format!("until {until:.0}"),
        (None, None) => "in force".to_owned(),
    }
}
