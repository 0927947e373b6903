//! `gatekeeper stage-assets`: dev's asset bucket gets the stored ZIPs and other assets, before the deploy looks whether they are there.

mod bucket;
pub(super) mod place;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use gatekeeper_model::{
    ids::{AccountId, FunctionName, RegionName, Sha256, StackName},
    manifest::{Module, SynthesisedFor},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    bucket::{AssetBucket, There},
    place::Caller,
};
use crate::{
    aws::CallerArgs,
    build_folder::{self, BuildFile, draft},
    exit::{Answer, Misuse},
    output::{Output, bad, faint, good, open},
};

const NOTES: &str = "\
Run it before `sst deploy --from .sst/dist` or `cdk deploy`: cdk-assets uploads what is not in the bucket under its key,
and these keys are then taken, so that dev runs exactly the ZIPs that `gatekeeper publish` stores, and gets the layers, nested
templates and files that it stores as assets. The templates of DIR say which bucket and key each has; `${AWS::AccountId}` is
the caller's account.

Nothing is ever replaced. All keys are looked at before the first object is written: an object with other bytes is refused
by its name. It is of other files, or of the same with other permissions, which an asset's key leaves out.

Exit codes:
  0  every key has the bytes of its ZIP; with --dry-run: or is free
  1  an object is there with other bytes, and nothing was written
  2  wrong use, a folder that makes no commit, or credentials of another account
  3  AWS could not be reached, or refused

Examples:
  gatekeeper stage-assets build/commit
  gatekeeper stage-assets build/commit --dry-run
  gatekeeper stage-assets build/commit --profile dev --region ap-southeast-2 --output json";

/// Puts the functions' ZIPs and the assets of a build into dev's asset bucket, under the keys that its templates name
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The folder of the build
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Looks at what is there, and writes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    aws: CallerArgs,
}

/// A file and where the templates look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Asset {
    /// The functions that it is the code of.
    functions: Vec<FunctionName>,
    /// The stacks that take it otherwise.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    stacks: BTreeSet<StackName>,
    bucket: String,
    key: String,
    sha256: Sha256,
    size: u64,
    #[serde(skip)]
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It is not there, and nothing was written.
    Planned,
    /// It was written.
    Staged,
    /// It was there.
    Present,
    /// Other bytes are there.
    Differs,
}

/// What became of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Staged {
    status: Status,
    #[serde(flatten)]
    asset: Asset,
    /// The digest of what is there; none where nothing is.
    there: Option<Sha256>,
}

impl Asset {
    /// What a message calls who takes it.
    fn taker(&self) -> String {
        let function = self.functions.first().map(ToString::to_string);
        function.or_else(|| self.stacks.first().map(|it| format!("an asset of {it}"))).unwrap_or_default()
    }
}

/// What the command did.
#[derive(Debug, Serialize)]
struct Report {
    account: AccountId,
    region: RegionName,
    assets: Vec<Staged>,
    /// The functions whose code the templates take from the artefact store itself.
    in_the_store: Vec<FunctionName>,
}

/// What is taken of a manifest.
#[derive(Debug, Deserialize)]
struct Build {
    modules: Vec<Module>,
    synthesised_for: Option<SynthesisedFor>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let files = build_folder::measure(build_folder::walk(&args.folder)?, |_| {}).await?;
    let build = read(&args.folder, &files)?;
    let config = args.aws.config(None).await?;
    let caller = Caller::ask(&config).await?;
    let (assets, in_the_store) = place::assets(&build, &files, &caller)?;
    let bucket = AssetBucket::new(&config, caller.account.as_str());
    let assets = stage(&bucket, assets, args.dry_run).await?;
    let report = Report { account: caller.account, region: caller.region, assets, in_the_store };
    output.result(&report, &text(&report))?;
    Ok(Answer::yes_if(report.assets.iter().all(|it| it.status != Status::Differs)))
}

/// What the build says of its modules.
fn read(folder: &Path, files: &[BuildFile]) -> Result<Build, Misuse> {
    let (draft, reasons) = draft::listed(build_folder::base(files)?, files, &build_folder::contents(files)?);
    if !reasons.is_empty() {
        let reasons = reasons.join("\n  ");
        return Err(Misuse(format!("what `{}` holds can't be told\n  {reasons}", folder.display())));
    }
    serde_json::from_value(Value::Object(draft.document))
        .map_err(|error| Misuse(format!("the manifest of `{}` can't be used: {error}", folder.display())))
}

/// Looks at every key, and writes what is missing where nothing is in the way.
async fn stage(bucket: &AssetBucket, assets: Vec<Asset>, dry_run: bool) -> anyhow::Result<Vec<Staged>> {
    bucket.check(&assets).await?;
    let there = bucket.look_at_all(&assets).await?;
    let mut staged: Vec<_> = assets
        .into_iter()
        .zip(there)
        .map(|(asset, there)| {
            let (status, there) = match there {
                There::Nothing => (Status::Planned, None),
                There::Object(there) if there == asset.sha256 => (Status::Present, Some(there)),
                There::Object(there) => (Status::Differs, Some(there)),
            };
            Staged { status, asset, there }
        })
        .collect();
    if !dry_run && staged.iter().all(|it| it.status != Status::Differs) {
        bucket.put_missing(&mut staged).await?;
    }
    Ok(staged)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let names = |asset: &Asset| {
        let functions = asset.functions.iter().map(ToString::to_string);
        functions.chain(asset.stacks.iter().map(|it| format!("asset of {it}"))).collect::<Vec<_>>().join(", ")
    };
    let width = report.assets.iter().map(|it| names(&it.asset).len()).max().unwrap_or(0);
    for Staged { status, asset, there } in &report.assets {
        let name = names(asset);
        let Asset { bucket, key, sha256, .. } = asset;
        let word = match status {
            Status::Planned => open("planned"),
            Status::Staged => good("staged "),
            Status::Present => good("present"),
            Status::Differs => bad("differs"),
        };
        let _ = writeln!(text, "{word}  {name:width$}  {sha256}  s3://{bucket}/{key}");
        if let (Status::Differs, Some(there)) = (status, there) {
            let _ = writeln!(text, "         {:width$}  {there}  is there", "");
        }
    }
    for name in &report.in_the_store {
        let _ = writeln!(text, "{}  {name:width$}  its template takes it from the artefact store", faint("none   "));
    }
    let count = |status| report.assets.iter().filter(|it| it.status == status).count();
    let (staged, present, differ) = (count(Status::Staged), count(Status::Present), count(Status::Differs));
    let (all, account) = (report.assets.len(), &report.account);
    let _ = if differ > 0 {
        let nothing = if staged == 0 { "nothing was written" } else { "the others are written" };
        writeln!(
            text,
            "{differ} of {all} keys of account {account} have other bytes, and {nothing}: such an object is of an earlier build \
             of the same files with other permissions; delete it (`aws s3 rm s3://BUCKET/KEY`), or change the source, so that \
             its key is another"
        )
    } else if count(Status::Planned) > 0 {
        writeln!(text, "{} of {all} files would be written to account {account}, {present} are there", all - present)
    } else {
        writeln!(text, "{staged} of {all} files were written to account {account}, {present} were there")
    };
    text
}
