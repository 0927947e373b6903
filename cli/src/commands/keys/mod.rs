//! `gatekeeper keys`: the trust root, which names the keys that count, and how one of them is replaced.

mod list;
mod next;
mod sign;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use gatekeeper_aws::{kms::KmsSigner, s3::S3Store, trust};
use gatekeeper_model::{
    ids::{Chain, Sha256},
    store_key::RecordKey,
    telemetry,
};
use gatekeeper_proof::{
    Authority, KeyHolder as _, LastEntry, PublicKey, PublicKeys, ledger,
    trust::{NamedKey, Pin, Root, SignedRoot, Walked, first_of, walk},
};
use gatekeeper_store::{Precondition, ReadStore as _, WriteStore as _, Written};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    aws::{Aws, Part, PlaceArgs, pinned_root},
    exit::{Answer, Misuse},
    output::Output,
    whole_file,
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper keys list
  gatekeeper keys new --person jane=jane.pem --person ravi=ravi.pem --out 1.root.json
  gatekeeper keys rotate promotion --to arn:aws:kms:eu-west-1:111122223333:key/… --out 2.root.json
  gatekeeper keys revoke gate --key FINGERPRINT --since 2026-05-01T00:00:00Z --reason 'a laptop was stolen' --out 3.root.json
  gatekeeper keys renew --out 4.root.json
  gatekeeper keys sign 2.root.json --key jane-private.pem
  gatekeeper keys publish 2.root.json";

/// Looks at the trust root, which names the keys that count, and makes, signs and publishes its next version
///
/// `new`, `rotate`, `revoke` and `renew` write the next version to a file. Each of the people signs that file with a key of
/// their own, and somebody who may configure the gatekeeper publishes it. Nothing counts before.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(Box<ListArgs>),
    New(Box<NewArgs>),
    Rotate(Box<RotateArgs>),
    Revoke(Box<RevokeArgs>),
    Renew(Box<RenewArgs>),
    Sign(Box<sign::Args>),
    Publish(Box<PublishArgs>),
}

/// Shows which keys count and until when, who may sign the next version, and what the installation signs with
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gatekeeper keys list\n  gatekeeper keys list --output json")]
struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Writes the first version: the installation's three keys as they are, and the people who may replace them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gatekeeper keys new --person jane=jane.pem --person ravi=ravi.pem --out 1.root.json"
)]
struct NewArgs {
    /// A person and the file of their public key in PEM, on P-256, or its ARN in KMS; two at least, and more are better
    #[arg(long = "person", value_name = "NAME=KEY", required = true, value_parser = next::person)]
    people: Vec<(String, String)>,
    /// How many of them must sign each version
    #[arg(long, value_name = "PEOPLE", default_value_t = 2)]
    threshold: u32,
    #[command(flatten)]
    written: WrittenArgs,
}

/// Writes the next version, in which a new key takes the place of one: for some days both may sign
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gatekeeper keys rotate promotion --to arn:aws:kms:eu-west-1:111122223333:key/… --out 2.root.json"
)]
struct RotateArgs {
    /// Whose key: `gate`, `promotion` or `approval`
    #[arg(value_name = "WHOSE", value_parser = next::whose)]
    whose: next::Whose,
    /// The new key in KMS, as `infra/signing-key.yaml` makes it
    #[arg(long, value_name = "ARN")]
    to: String,
    /// For how many days the key of before may still sign: until the stack is deployed with the new one
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    overlap_days: u16,
    #[command(flatten)]
    written: WrittenArgs,
}

/// Writes the next version, in which a key counts no more: somebody else may have it
///
/// What it signed counts only as far as the ledger names it. The ledger's chains that the key signs are proved first, and how
/// far they go is written into the version, so that whoever has the key can't go on with them: look at the newest entries
/// before you sign it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gatekeeper keys revoke gate --key FINGERPRINT --since 2026-05-01T00:00:00Z --reason 'a laptop was stolen' --to ARN --out 3.root.json"
)]
struct RevokeArgs {
    /// Whose key: `gate`, `promotion` or `approval`
    #[arg(value_name = "WHOSE", value_parser = next::whose)]
    whose: next::Whose,
    /// The key, by its fingerprint as `gatekeeper keys list` shows it
    #[arg(long, value_name = "FINGERPRINT")]
    key: Sha256,
    /// Since when somebody else may have had it; now, where it isn't given
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The key in KMS that takes its place, where no other one does yet
    #[arg(long, value_name = "ARN")]
    to: Option<String>,
    #[command(flatten)]
    written: WrittenArgs,
}

/// Writes the next version with a later end; with other people, where they are given
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gatekeeper keys renew --out 4.root.json\n  gatekeeper keys renew --remove ravi --add mia=mia.pem --out 4.root.json"
)]
struct RenewArgs {
    /// A person who may sign from then on, with the file of their public key or its ARN in KMS
    #[arg(long = "add", value_name = "NAME=KEY", value_parser = next::person)]
    add: Vec<(String, String)>,
    /// A person who may sign no more
    #[arg(long = "remove", value_name = "NAME")]
    remove: Vec<String>,
    /// How many people must sign from then on
    #[arg(long, value_name = "PEOPLE")]
    threshold: Option<u32>,
    #[command(flatten)]
    written: WrittenArgs,
}

/// Where the next version goes, and how long it counts.
#[derive(Debug, clap::Args)]
struct WrittenArgs {
    /// The file that it is written to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// After how many days it expires: then promotions wait for the next version
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    expires_days: u16,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Stores a version that enough people have signed, where it is the next one
///
/// Only deployers may: the principals of the parameter `DeployerPrincipalArns`. The first version counts once the stack is
/// deployed with the parameter `TrustRoot` that is told then, every other one within five minutes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gatekeeper keys publish 2.root.json")]
struct PublishArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    match &args.command {
        Command::List(args) => list::run(&args.place, output).await,
        Command::New(args) => new(args, output).await,
        Command::Rotate(args) => rotate(args, output).await,
        Command::Revoke(args) => revoke(args, output).await,
        Command::Renew(args) => renew(args, output).await,
        Command::Sign(args) => sign::run(args, output).await,
        Command::Publish(args) => publish(args, output).await,
    }
}

/// The root that is stored, from where the installation starts; or from the first version where it is not deployed with one
/// yet.
async fn stored(aws: &Aws<'_>, records: &S3Store) -> anyhow::Result<Option<Walked>> {
    let pin = match pinned_root(aws).await? {
        Some(pin) => pin,
        None => {
            let key = RecordKey::TrustRoot(1).to_string();
            let Some(first) = records.get(&key, None, gatekeeper_proof::trust::MAX_BYTES).await? else {
                return Ok(None);
            };
            Pin { version: 1, sha256: Sha256::of(&first.bytes) }
        }
    };
    Ok(Some(trust::read(records, &pin).await.context("the trust root could not be read")?))
}

async fn newest(aws: &Aws<'_>) -> anyhow::Result<Root> {
    let walked = stored(aws, &aws.records().await?).await?;
    Ok(walked.ok_or_else(|| Misuse("there is no trust root yet: make one by `gatekeeper keys new`".to_owned()))?.root)
}

fn read(path: &Path) -> Result<Vec<u8>, Misuse> {
    std::fs::read(path).map_err(|error| Misuse(format!("`{}` can't be read: {error}", path.display())))
}

/// A public key that is named: by the file that holds it, or by its ARN in KMS.
async fn public_key(aws: &Aws<'_>, named: &str) -> anyhow::Result<PublicKey> {
    if named.starts_with("arn:") {
        let key = KmsSigner::new(&aws.config, named).public_key().await;
        return key.with_context(|| format!("the public key `{named}` could not be read"));
    }
    let text = String::from_utf8(read(Path::new(named))?).unwrap_or_default();
    Ok(PublicKey::from_pem(&text).map_err(|error| Misuse(format!("`{named}` is {error}")))?)
}

/// The key in KMS as the next version names it.
async fn named(aws: &Aws<'_>, arn: &str, from: Timestamp) -> anyhow::Result<NamedKey> {
    Ok(NamedKey::new(&public_key(aws, arn).await?, Some(arn.to_owned()), from))
}

async fn people(aws: &Aws<'_>, people: &[(String, String)]) -> anyhow::Result<Vec<(String, PublicKey)>> {
    let mut known = Vec::new();
    for (person, key) in people {
        known.push((person.clone(), public_key(aws, key).await?));
    }
    Ok(known)
}

fn expires(args: &WrittenArgs, now: Timestamp) -> Timestamp {
    now + SignedDuration::from_hours(24 * i64::from(args.expires_days))
}

/// Writes a version that may follow, unsigned, and says what to do with it.
fn write(args: &WrittenArgs, root: &Root, before: Option<&Root>, output: &mut Output) -> anyhow::Result<Answer> {
    let right = root.check().and_then(|()| before.map_or(Ok(()), |before| root.follows(before)));
    right.map_err(|error| Misuse(error.to_string()))?;
    whole_file::write(&args.out, &SignedRoot::unsigned(root)?.to_bytes()?)?;
    let (file, version) = (args.out.display().to_string(), root.version);
    let signers = before.map_or(root.threshold, |before| before.threshold.max(root.threshold));
    let text = format!(
        "version {version} is in `{file}`, and nobody has signed it yet\n\
         {signers} people sign it, each with their own key: `gatekeeper keys sign {file} --key PRIVATE.pem`\n\
         then: `gatekeeper keys publish {file}`\n"
    );
    output.result(&json!({"version": version, "file": file, "signers": signers, "root": root}), &text)?;
    Ok(Answer::Yes)
}

async fn new(args: &NewArgs, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.written.place).await?;
    if let Some(walked) = stored(&aws, &aws.records().await?).await? {
        let version = walked.root.version;
        return Err(
            Misuse(format!("there is a trust root already, version {version}: see `gatekeeper keys list`")).into()
        );
    }
    let now = telemetry::wall_clock();
    let key = async |part| named(&aws, &aws.part(part).await?, Timestamp::UNIX_EPOCH).await;
    let keys =
        [key(Part::SigningKey).await?, key(Part::PromotionSigningKey).await?, key(Part::ApprovalSigningKey).await?];
    let people = people(&aws, &args.people).await?;
    let root = next::first(keys, people, args.threshold, expires(&args.written, now));
    write(&args.written, &root, None, output)
}

async fn rotate(args: &RotateArgs, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.written.place).await?;
    let (before, now) = (newest(&aws).await?, telemetry::wall_clock());
    let until = now + SignedDuration::from_hours(24 * i64::from(args.overlap_days));
    let mut root = next::after(&before, expires(&args.written, now));
    next::rotate(&mut root, args.whose, named(&aws, &args.to, now).await?, until);
    write(&args.written, &root, Some(&before), output)
}

async fn renew(args: &RenewArgs, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.written.place).await?;
    let (before, now) = (newest(&aws).await?, telemetry::wall_clock());
    let mut root = next::after(&before, expires(&args.written, now));
    let add = people(&aws, &args.add).await?;
    next::renew(&mut root, add, &args.remove, args.threshold).map_err(Misuse)?;
    write(&args.written, &root, Some(&before), output)
}

async fn revoke(args: &RevokeArgs, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.written.place).await?;
    let records = aws.records().await?;
    let walked = stored(&aws, &records).await?;
    let walked =
        walked.ok_or_else(|| Misuse("there is no trust root yet: make one by `gatekeeper keys new`".to_owned()))?;
    let (before, now) = (walked.root.clone(), telemetry::wall_clock());
    let mut root = next::after(&before, expires(&args.written, now));
    let last = match args.whose.authority() {
        Some(authority) => last_entries(&records, authority, &args.key, &PublicKeys::named_by(walked)?).await?,
        None => std::collections::BTreeMap::default(),
    };
    let chains = last.len();
    next::revoke(&mut root, args.whose, args.key, args.since.unwrap_or(now), &args.reason, last).map_err(Misuse)?;
    if let Some(to) = &args.to {
        next::add(&mut root, args.whose, named(&aws, to, now).await?);
    }
    if args.whose.authority().is_some() {
        output.progress(&format!(
            "{chains} chains of the ledger end with that key, and are written into the version as they are: look at their newest \
             entries before you sign it"
        ));
    }
    write(&args.written, &root, Some(&before), output)
}

/// How far the chains go that end with a key: each is proved first, because people sign what is written of them.
async fn last_entries(
    records: &S3Store,
    authority: Authority,
    key: &Sha256,
    keys: &PublicKeys,
) -> anyhow::Result<std::collections::BTreeMap<String, LastEntry>> {
    let chains = ledger::chains(records, RecordKey::ledgers_prefix).await?;
    let mut last = std::collections::BTreeMap::new();
    for chain in chains.into_iter().filter(|chain| Authority::of(chain) == authority) {
        if let Some(entry) = last_entry(records, &chain, key, keys).await? {
            last.insert(chain.to_string(), entry);
        }
    }
    Ok(last)
}

async fn last_entry(
    records: &S3Store,
    chain: &Chain,
    key: &Sha256,
    keys: &PublicKeys,
) -> anyhow::Result<Option<LastEntry>> {
    let keys = keys.of(Authority::of(chain));
    let proof = ledger::verify(records, chain, None, keys).await?;
    if let Some(broken) = proof.broken {
        return Err(Misuse(format!(
            "the ledger's chain `{chain}` does not hold at {}: {}; mend it before people sign how far it goes, see \
             `gatekeeper ledger verify`",
            broken.sequence, broken.what
        ))
        .into());
    }
    let head = records.get(&RecordKey::LedgerHead(chain.clone()).to_string(), None, ledger::MAX_BYTES).await?;
    let Some(head) = head else { return Ok(None) };
    let (about, signer) = ledger::signed_head(&head.bytes, chain, keys)?;
    Ok((signer.fingerprint() == *key).then_some(LastEntry { sequence: about.sequence, sha256: about.sha256 }))
}

async fn publish(args: &PublishArgs, output: &mut Output) -> anyhow::Result<Answer> {
    let document = read(&args.file)?;
    let aws = Aws::at(&args.place).await?;
    let records = aws.records().await?;
    let misuse = |error: gatekeeper_proof::trust::TrustError| Misuse(format!("{error}; nothing was stored"));
    let version = SignedRoot::parse(&document).and_then(|it| it.root()).map_err(misuse)?.version;
    let root = match stored(&aws, &records).await? {
        None => first_of(&document).map_err(misuse)?,
        Some(before) => {
            let pin = before.first().context("the trust root is empty")?;
            let documents = before.documents.into_iter().chain([(version, document.clone())]).collect();
            walk(&pin, documents).map_err(misuse)?.root
        }
    };
    if root.has_expired(telemetry::wall_clock()) {
        return Err(
            Misuse(format!("version {version} expired at {:.0} already; nothing was stored", root.expires)).into()
        );
    }
    let key = RecordKey::TrustRoot(version).to_string();
    match records.put(&key, &document, "application/json", &Precondition::Absent).await? {
        Written::Done { .. } => {}
        Written::Conflict => {
            let message =
                format!("somebody else has published a version {version} meanwhile: see `gatekeeper keys list`");
            return Err(Misuse(message).into());
        }
    }
    let pin = Pin { version, sha256: Sha256::of(&document) };
    let text = if version == 1 {
        format!(
            "version 1 is stored; deploy the stack with `TrustRoot={pin}`, and give that to whoever verifies evidence: it is \
             what they start from\n"
        )
    } else {
        format!(
            "version {version} is stored, and counts within five minutes; `TrustRoot={pin}` at the next deployment keeps \
             anybody from going back behind it\n"
        )
    };
    output.result(&json!({"version": version, "trust_root": pin.to_string(), "key": key}), &text)?;
    Ok(Answer::Yes)
}
