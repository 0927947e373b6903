//! `gatekeeper keys sign`: a person signs a version of the trust root, with a key of their own.

use std::path::PathBuf;

use anyhow::Context as _;
use gatekeeper_aws::kms::KmsSigner;
use gatekeeper_model::ids::Sha256;
use gatekeeper_proof::{
    FileSigner, PublicKey, Signer,
    trust::{SignedRoot, TrustError},
};
use serde_json::json;

use super::read;
use crate::{
    aws::CallerArgs,
    exit::{Answer, Misuse},
    output::Output,
    whole_file,
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper keys sign 2.root.json --key jane-private.pem
  gatekeeper keys sign 2.root.json --kms arn:aws:kms:eu-west-1:444455556666:key/…

With a key that openssl alone can use, such as one on a token:
  gatekeeper keys sign 2.root.json --message > message
  openssl dgst -sha256 -sign jane-private.pem -out signature message
  gatekeeper keys sign 2.root.json --signature signature --public-key jane.pem";

/// Adds your signature to a version of the trust root
///
/// Read what it says first: `gatekeeper keys sign FILE --show` prints it. The key stays where it is.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("how").required(true).multiple(false))]
pub(super) struct Args {
    /// The file, to which the signature is added
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Prints what the version says, and signs nothing
    #[arg(long, group = "how")]
    show: bool,
    /// Your private key: PKCS #8 in PEM, on P-256, without a passphrase
    #[arg(long, value_name = "FILE", group = "how")]
    key: Option<PathBuf>,
    /// Your key in KMS
    #[arg(long, value_name = "ARN", group = "how")]
    kms: Option<String>,
    /// Writes to standard output what is to be signed, over SHA-256
    #[arg(long, group = "how")]
    message: bool,
    /// A signature over that, as openssl writes it
    #[arg(long, value_name = "FILE", group = "how", requires = "public_key")]
    signature: Option<PathBuf>,
    /// Your public key in PEM, which the signature is of
    #[arg(long, value_name = "FILE", requires = "signature")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    caller: CallerArgs,
}

pub(super) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let misuse = |error: TrustError| Misuse(format!("`{}`: {error}", args.file.display()));
    let mut signed = SignedRoot::parse(&read(&args.file)?).map_err(misuse)?;
    let root = signed.root().map_err(misuse)?;
    root.check().map_err(misuse)?;
    let message = signed.message().map_err(misuse)?;
    if args.show {
        output.result(&root, &format!("{}\n", serde_json::to_string_pretty(&root)?))?;
        return Ok(Answer::Yes);
    }
    if args.message {
        output.pass_on(&message);
        return Ok(Answer::Yes);
    }
    let (key, signature) = signature(args, &message).await?;
    let fingerprint = key.fingerprint();
    signed.add(&key, &signature).map_err(misuse)?;
    // A person who goes signs too, and is in the version before alone.
    let person = root.root_keys.iter().find(|it| it.key().is_ok_and(|it| it == key)).map(|it| it.person.clone());
    whole_file::write(&args.file, &signed.to_bytes()?)?;
    let people = signed.signed_by(&root).map_err(misuse)?;
    let who = person.as_ref().map_or_else(
        || {
            format!(
                "signed with `{fingerprint}`, which this version does not name: it counts where the one before names it"
            )
        },
        |person| format!("signed as `{person}`"),
    );
    let (version, threshold) = (root.version, root.threshold);
    let text =
        format!("{who}; {} of the {threshold} people that version {version} asks for have signed\n", people.len());
    output.result(&json!({"version": version, "person": person, "key": fingerprint, "signed_by": people}), &text)?;
    Ok(Answer::Yes)
}

async fn signature(args: &Args, message: &[u8]) -> anyhow::Result<(PublicKey, Vec<u8>)> {
    if let (Some(signature), Some(key)) = (&args.signature, &args.public_key) {
        let text = String::from_utf8(read(key)?).unwrap_or_default();
        let key = PublicKey::from_pem(&text).map_err(|error| Misuse(format!("`{}` is {error}", key.display())))?;
        return Ok((key, read(signature)?));
    }
    let signer: Box<dyn Signer> = match (&args.key, &args.kms) {
        (Some(file), _) => {
            let text = String::from_utf8(read(file)?).unwrap_or_default();
            let error = |error| Misuse(format!("`{}` is {error}", file.display()));
            Box::new(FileSigner::from_pem(&text).map_err(error)?)
        }
        (None, Some(arn)) => Box::new(KmsSigner::new(&args.caller.config(None).await?, arn)),
        (None, None) => {
            return Err(Misuse("say what to sign with: `--key`, `--kms` or `--signature`".to_owned()).into());
        }
    };
    let signature = signer.sign(Sha256::of(message)).await.context("nothing was signed")?;
    Ok((signer.public_key().await?, signature))
}
