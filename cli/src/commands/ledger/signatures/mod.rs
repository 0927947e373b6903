//! `gatekeeper ledger signatures`: whether the keys have signed anything that is stored nowhere, by KMS's own record.

mod account;
mod trail;

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::{
    kms::{self, LastUsage},
    s3::S3Store,
    timestamp,
};
use gatekeeper_model::{
    ids::{Sha256, VersionId},
    telemetry,
};
use gatekeeper_proof::{Envelope, PublicKey};
use gatekeeper_store::{CALLS_IN_FLIGHT, ReadStore};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use self::{
    account::{Compared, Document, by_principal, compare},
    trail::Trail,
};
use crate::{
    aws::{Aws, Part, PlaceArgs, called, public_keys},
    exit::{Answer, Misuse},
    output::{Output, bad, good, open},
    reason::count,
};

/// The largest object that may hold a signature, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

const NOTES: &str = "\
CloudTrail records each call of KMS `Sign`: when, by which key, by whom. It doesn't record what was signed. So a signature
is accounted for where an object was stored within a minute of it whose signature holds under that key; no object counts
for two, and a copy of one counts for nothing. What is left is told with its time, principal and event id: a function that
was killed between signing and storing, two that signed the same at once, or somebody who signed what he kept for himself.

FILE is a file of CloudTrail's as S3 has it, packed or not, a folder of them, or what `aws cloudtrail lookup-events` printed.
Take them from where the gatekeeper's administrators can't write.

Exit codes:
  0  every signature is accounted for
  1  one isn't
  2  wrong use
  3  none is known to be unaccounted for, but the files don't tell of every signature, or AWS could not be reached

Examples:
  gatekeeper ledger signatures cloudtrail-2026-05/
  aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=Sign > sign.json
  gatekeeper ledger signatures sign.json --output json";

/// Compares what KMS recorded of the signing keys with what is stored, and names each signature that nothing accounts for
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// What CloudTrail recorded
    #[arg(value_name = "FILE", required = true)]
    trail: Vec<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// One of the keys.
struct Key {
    name: &'static str,
    arn: String,
    public: PublicKey,
}

/// What is known of a key.
#[derive(Debug, Serialize)]
struct OfKey {
    key: &'static str,
    arn: String,
    signatures: usize,
    #[serde(flatten)]
    compared: Compared,
    /// What KMS says of its last use.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_usage: Option<LastUsage>,
    /// Where the files don't tell of it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_whole: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    from: Timestamp,
    to: Timestamp,
    refused_calls: usize,
    keys: Vec<OfKey>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let trail = Trail::read(&args.trail)?;
    let Some(span) = trail.span else {
        return Err(Misuse("there is no event in what was given: nothing can be compared".to_owned()).into());
    };
    let aws = Aws::at(&args.place).await?;
    let records = aws.records().await?;
    let keys = keys(&aws).await?;
    output.passing("looking at what is stored …");
    let mut documents = documents(&records, &keys, span).await?;
    output.clear_passing();

    let mut report = Report { from: span.0, to: span.1, refused_calls: trail.refused, keys: Vec::new() };
    for Key { name, arn, .. } in &keys {
        let signed: Vec<_> = trail.signed.values().filter(|it| is_of(&it.key, arn)).cloned().collect();
        let signatures = signed.len();
        let last_usage = match kms::last_usage(&aws.config, arn).await {
            Ok(last_usage) => last_usage,
            Err(error) => {
                let why = telemetry::chain(&error);
                output.warning(&format!("when KMS last used the key of {name} could not be asked: {why}"));
                None
            }
        };
        let not_whole = last_usage.as_ref().and_then(|last| lacks(last, &trail));
        let compared = compare(signed, documents.remove(name).unwrap_or_default(), span);
        report.keys.push(OfKey { key: name, arn: arn.clone(), signatures, compared, last_usage, not_whole });
    }
    output.result(&report, &text(&report))?;
    Ok(answer(&report))
}

fn answer(report: &Report) -> Answer {
    if report.keys.iter().any(|it| !it.compared.unaccounted.is_empty()) {
        return Answer::No;
    }
    let is_whole = report.keys.iter().all(|it| it.not_whole.is_none() && it.compared.unrecorded.is_empty());
    if is_whole { Answer::Yes } else { Answer::Open }
}

async fn keys(aws: &Aws<'_>) -> anyhow::Result<Vec<Key>> {
    let public = public_keys(aws).await?;
    let of = async |part| aws.part(part).await;
    let mut keys = vec![
        Key { name: "gate", arn: of(Part::SigningKey).await?, public: public.gate.present().clone() },
        Key {
            name: "promotion",
            arn: of(Part::PromotionSigningKey).await?,
            public: public.promotion.present().clone(),
        },
    ];
    if let Some(public) = public.approval {
        keys.push(Key { name: "approval", arn: of(Part::ApprovalSigningKey).await?, public: public.present().clone() });
    }
    Ok(keys)
}

/// Whether an event's key is this one: mostly it is named by its ARN, where only the request names it by its id too.
fn is_of(named: &str, arn: &str) -> bool {
    named == arn || arn.rsplit_once('/').is_some_and(|(_, id)| named == id)
}

/// Where the files lack the last signature that KMS tells of.
fn lacks(last: &LastUsage, trail: &Trail) -> Option<String> {
    if last.operation != "Sign" {
        return None;
    }
    let (at, id) = (last.at?, last.event_id.as_ref()?);
    (!trail.signed.contains_key(id))
        .then(|| format!("KMS signed by it at {at:.0}, event `{id}`, which is not in the files"))
}

/// What was stored while the trail was recorded and is signed by one of the keys, by the keys' names.
async fn documents(
    records: &S3Store,
    keys: &[Key],
    (from, to): (Timestamp, Timestamp),
) -> anyhow::Result<BTreeMap<&'static str, Vec<Document>>> {
    let margin = jiff::SignedDuration::from_mins(2);
    let near = |at: Timestamp| from.duration_since(at) <= margin && at.duration_since(to) <= margin;
    let listed: Vec<_> = versions(records).await?.into_iter().filter(|it| near(it.at)).collect();
    let mut found: Vec<_> = stream::iter(listed)
        .map(async |document| {
            let version = VersionId::from(document.version_id.as_str());
            let body = records.get(&document.object, Some(&version), MAX_BYTES).await?;
            Ok::<_, anyhow::Error>(
                body.and_then(|body| signer(&body.bytes, keys)).map(|(key, sha256)| (key, sha256, document)),
            )
        })
        .buffer_unordered(CALLS_IN_FLIGHT)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    // The first that was stored of a signature counts; a copy of it is nobody's word of another one.
    found.sort_by(|(_, _, one), (_, _, other)| one.cmp(other));
    let mut seen = std::collections::BTreeSet::new();
    let mut documents = BTreeMap::<_, Vec<_>>::new();
    for (key, sha256, document) in found {
        if seen.insert(sha256) {
            documents.entry(key).or_default().push(document);
        }
    }
    Ok(documents)
}

/// The key under which what an object holds is signed, with the digest of the envelope: the object is one, or has one in a field.
fn signer(bytes: &[u8], keys: &[Key]) -> Option<(&'static str, Sha256)> {
    let envelope = Envelope::parse(bytes).ok().or_else(|| {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        document.as_object()?.values().find_map(|it| serde_json::from_value::<Envelope>(it.clone()).ok())
    })?;
    let key = keys.iter().find(|key| envelope.verify(&key.public).is_ok())?;
    Some((key.name, Sha256::of(&envelope.to_bytes().ok()?)))
}

/// Every version of the objects that may hold a signature. Sigstore bundles hold the one of the envelope beside them.
async fn versions(records: &S3Store) -> anyhow::Result<Vec<Document>> {
    let (mut documents, mut key, mut version) = (Vec::new(), None, None);
    loop {
        let request = records.client().list_object_versions().bucket(records.bucket());
        let page = request.set_key_marker(key).set_version_id_marker(version).send().await;
        let page = called("ListObjectVersions", page)?;
        for it in page.versions() {
            let object = it.key().context("S3 listed a version without its key")?;
            let may_be = object.ends_with(".json") && !object.ends_with(".sigstore.json");
            if !may_be || it.size().is_some_and(|size| size.unsigned_abs() > MAX_BYTES) {
                continue;
            }
            let at = it.last_modified().and_then(timestamp).context("S3 listed a version without its time")?;
            let version_id = it.version_id().unwrap_or_default().to_owned();
            documents.push(Document { at, object: object.to_owned(), version_id });
        }
        if page.is_truncated() != Some(true) {
            return Ok(documents);
        }
        (key, version) = (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
    }
}

fn text(report: &Report) -> String {
    let mut text = format!("what CloudTrail recorded from {:.0} to {:.0}\n", report.from, report.to);
    for OfKey { key, signatures, compared, not_whole, .. } in &report.keys {
        let Compared { unaccounted, unrecorded, accounted_for } = compared;
        let signed = count(*signatures, "signature");
        let _ = match (unaccounted.len(), not_whole, unrecorded.len()) {
            (0, None, 0) if *signatures == 0 => writeln!(text, "{}    {key}  it signed nothing", good("holds")),
            (0, None, 0) => writeln!(text, "{}    {key}  {signed}, each accounted for", good("holds")),
            (0, ..) => writeln!(
                text,
                "{}  {key}  {signed}, each accounted for; the files don't tell of every one",
                open("unknown")
            ),
            (some, ..) => writeln!(
                text,
                "{}    {key}  {signed}, of which {accounted_for} accounted for; nothing stored accounts for {some}:",
                bad("FAILS")
            ),
        };
        for it in unaccounted {
            let _ = writeln!(text, "           {:.0}  {}  event {}", it.at, it.principal, it.event_id);
        }
        let principals = by_principal(unaccounted);
        if principals.len() > 1 {
            for (principal, number) in principals {
                let _ = writeln!(text, "           {number} by {principal}");
            }
        }
        if let Some(why) = not_whole {
            let _ = writeln!(text, "           {why}");
        }
        for it in unrecorded.iter().take(10) {
            let _ = writeln!(text, "           stored at {:.0} and not in the files: {}", it.at, it.object);
        }
        if unrecorded.len() > 10 {
            let _ = writeln!(text, "           … and {} more", unrecorded.len() - 10);
        }
    }
    if report.refused_calls > 0 {
        let _ = writeln!(text, "{} of `Sign` refused", count(report.refused_calls, "call"));
    }
    text
}

#[cfg(test)]
mod tests {
    use gatekeeper_proof::LocalSigner;

    use super::{trail::Signed, *};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn of_key(key: &'static str, compared: Compared, not_whole: Option<&str>) -> OfKey {
        let signatures = compared.accounted_for + compared.unaccounted.len();
        let not_whole = not_whole.map(str::to_owned);
        OfKey { key, arn: format!("arn:{key}"), signatures, compared, last_usage: None, not_whole }
    }

    fn report(keys: Vec<OfKey>) -> Report {
        Report { from: at("2026-05-01T00:00:00Z"), to: at("2026-05-31T00:00:00Z"), refused_calls: 1, keys }
    }

    #[test]
    fn what_nothing_accounts_for_is_told_with_time_principal_and_event() {
        let by = |principal: &str, id: &str| Signed {
            at: at("2026-05-02T03:10:00Z"),
            key: "arn:gate".to_owned(),
            principal: format!("arn:aws:sts::111122223333:assumed-role/{principal}"),
            event_id: id.to_owned(),
        };
        let stored = Document {
            at: at("2026-05-03T00:00:00Z"),
            object: "ledger/uat/bank-payments/head.json".to_owned(),
            version_id: "v1".to_owned(),
        };
        let report = report(vec![
            of_key(
                "gate",
                Compared {
                    accounted_for: 3,
                    unaccounted: vec![by("gatekeeper-intake/intake", "e1"), by("admin/mallory", "e2")],
                    ..Compared::default()
                },
                None,
            ),
            of_key(
                "promotion",
                Compared { accounted_for: 1, unrecorded: vec![stored], ..Compared::default() },
                Some("KMS signed later"),
            ),
            of_key("approval", Compared::default(), None),
        ]);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&report)).to_string());
        assert_eq!(answer(&report), Answer::No);
        let [_, promotion, approval] = <[OfKey; 3]>::try_from(report.keys).unwrap();
        assert_eq!(answer(&self::report(vec![promotion])), Answer::Open);
        assert_eq!(answer(&self::report(vec![approval])), Answer::Yes);
    }

    #[test]
    fn the_last_use_that_kms_tells_of_must_be_in_the_files() {
        let last = |operation: &str, id: &str| LastUsage {
            operation: operation.to_owned(),
            at: Some(at("2026-05-02T03:10:00Z")),
            event_id: Some(id.to_owned()),
        };
        let mut trail = Trail::default();
        let signed = Signed {
            at: at("2026-05-02T03:10:00Z"),
            key: String::new(),
            principal: String::new(),
            event_id: "e1".to_owned(),
        };
        trail.signed.insert("e1".to_owned(), signed);
        assert_eq!(lacks(&last("Sign", "e1"), &trail), None);
        assert_eq!(lacks(&last("Verify", "e2"), &trail), None);
        assert!(lacks(&last("Sign", "e2"), &trail).unwrap().contains("event `e2`, which is not in the files"));
    }

    #[tokio::test]
    async fn an_object_is_signed_by_the_key_that_its_envelope_holds_under() {
        let (gate, promotion) = (LocalSigner::from_seed(1), LocalSigner::from_seed(2));
        let keys = [("gate", gate.key()), ("promotion", promotion.key())];
        let keys = keys.map(|(name, public)| Key { name, arn: name.to_owned(), public });
        let envelope = Envelope::sign(b"{}", &promotion).await.unwrap();
        let digest = Sha256::of(&envelope.to_bytes().unwrap());
        assert_eq!(signer(&envelope.to_bytes().unwrap(), &keys), Some(("promotion", digest)));
        let inside = serde_json::json!({"reason": "reviewed", "envelope": envelope}).to_string();
        assert_eq!(signer(inside.as_bytes(), &keys), Some(("promotion", digest)));
        let strange = Envelope::sign(b"{}", &LocalSigner::from_seed(3)).await.unwrap();
        assert_eq!(signer(&strange.to_bytes().unwrap(), &keys), None);
        assert_eq!(signer(b"{\"outcome\": \"built\"}", &keys), None);
        assert!(
            is_of("arn:aws:kms:eu-west-1:1:key/k", "arn:aws:kms:eu-west-1:1:key/k")
                && is_of("k", "arn:aws:kms:eu-west-1:1:key/k")
        );
        assert!(!is_of("", "arn:aws:kms:eu-west-1:1:key/k") && !is_of("key", "arn"));
    }
}
