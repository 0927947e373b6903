//! Where the templates of a build look for its ZIPs and assets, in the caller's account.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use anyhow::Context as _;
use aws_config::SdkConfig;
use gatekeeper_model::{
    ids::{AccountId, FunctionName, ModuleId, RegionName, StackName},
    manifest::{AssetKind, SynthesisedFor},
    store_key::ArtefactPath,
};
use gatekeeper_readers::template::{
    self, Code, Template, Text,
    form::{self, STAGE_PARAMETER},
};

use super::{Asset, Build};
use crate::{
    aws::called,
    build_folder::{self, BuildFile},
    exit::Misuse,
};

/// Who calls, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct Caller {
    pub(in crate::commands) account: AccountId,
    pub(in crate::commands) region: RegionName,
    /// Its ARN.
    pub(in crate::commands) arn: String,
    partition: String,
}

impl Caller {
    /// Asks STS.
    pub(in crate::commands) async fn ask(config: &SdkConfig) -> anyhow::Result<Self> {
        let region = config.region().map(ToString::to_string).context("a region must be set")?;
        let region: RegionName = region.parse().map_err(|error| Misuse(format!("the region: {error}")))?;
        let answer = called("GetCallerIdentity", aws_sdk_sts::Client::new(config).get_caller_identity().send().await)?;
        Self::of(answer.account(), answer.arn(), region)
    }

    /// As STS says.
    pub(super) fn of(account: Option<&str>, arn: Option<&str>, region: RegionName) -> anyhow::Result<Self> {
        let account = account.and_then(|it| it.parse().ok());
        let partition = arn.and_then(|it| it.split(':').nth(1)).map(str::to_owned);
        match (account, arn, partition) {
            (Some(account), Some(arn), Some(partition)) => Ok(Self { account, region, arn: arn.to_owned(), partition }),
            _ => anyhow::bail!("AWS did not say which account calls"),
        }
    }

    /// That templates were synthesised for where this is.
    pub(in crate::commands) fn check(&self, made_for: &SynthesisedFor) -> Result<(), Misuse> {
        if made_for.account != self.account {
            return Err(Misuse(format!(
                "the templates are synthesised for account {}, and the credentials are of {}: pass `--profile` with one of \
                 that account",
                made_for.account, self.account
            )));
        }
        if made_for.region != self.region {
            return Err(Misuse(format!(
                "the templates are synthesised for {}, not for {}: pass `--region {}`",
                made_for.region, self.region, made_for.region
            )));
        }
        Ok(())
    }

    fn pseudo_parameters(&self) -> [(&'static str, String); 4] {
        let suffix = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        [
            ("AWS::AccountId", self.account.to_string()),
            ("AWS::Region", self.region.to_string()),
            ("AWS::Partition", self.partition.clone()),
            ("AWS::URLSuffix", suffix.to_owned()),
        ]
    }
}

/// The build's files by where they belong, and the functions whose code a template takes from the artefact store itself.
pub(super) fn assets(
    build: &Build,
    files: &[BuildFile],
    caller: &Caller,
) -> Result<(Vec<Asset>, Vec<FunctionName>), Misuse> {
    if let Some(made_for) = &build.synthesised_for {
        caller.check(made_for)?;
    }
    let (templates, mut reasons) = templates(build, files);
    let mut assets: BTreeMap<(String, String), Asset> = BTreeMap::new();
    let mut in_the_store = Vec::new();
    for (module, function) in build.modules.iter().flat_map(|it| it.functions.iter().map(move |of| (&it.id, of))) {
        let (name, stack, id) = (&function.name, &function.stack, &function.logical_id);
        let Some(template) = templates.get(stack) else {
            reasons.push(format!(
                "function `{name}` is of stack `{stack}`, of which there is no template that can be read"
            ));
            continue;
        };
        let (bucket, key) = match template.functions.get(id).map(|it| &it.code) {
            Some(Code::AssetBucket { bucket, key }) => (bucket, key),
            Some(Code::ArtefactStore { .. }) => {
                in_the_store.push(name.clone());
                continue;
            }
            Some(Code::Inline | Code::Image | Code::Refused) => {
                reasons.push(format!(
                    "where `{id}` of stack `{stack}` has its code can't be told: `gatekeeper check` says why; templates that \
                     name an account need `synthesised_for` in `build-manifest.json`"
                ));
                continue;
            }
            None => {
                reasons.push(format!("function `{name}` names `{id}`, which is no function of stack `{stack}`"));
                continue;
            }
        };
        let values = values(build, template, caller);
        let (bucket, key) = match (resolve(bucket, &values), resolve(key, &values)) {
            (Ok(bucket), Ok(key)) => (bucket, key),
            (Err(why), _) | (_, Err(why)) => {
                reasons.push(format!("where `{id}` of stack `{stack}` has its code can't be told: {why}"));
                continue;
            }
        };
        let Some(file) = zip(files, module, name) else {
            reasons.push(format!("`{name}` has no ZIP: build it"));
            continue;
        };
        match put(&mut assets, bucket, key, file) {
            Ok(asset) => asset.functions.push(name.clone()),
            Err((other, key)) => reasons.push(format!(
                "`{other}` and `{name}` have the one key `{key}`, but their ZIPs differ: collect the assembly again"
            )),
        }
    }
    others(build, files, caller, &templates, &mut assets, &mut reasons);
    if reasons.is_empty() {
        let mut assets: Vec<_> = assets.into_values().collect();
        assets.sort_by(|one, other| (&one.functions, &one.key).cmp(&(&other.functions, &other.key)));
        return Ok((assets, in_the_store));
    }
    reasons.sort();
    Err(Misuse(format!("nothing was written: where the files belong can't be told\n  {}", reasons.join("\n  "))))
}

/// Adds what templates take beside functions' code.
fn others(
    build: &Build,
    files: &[BuildFile],
    caller: &Caller,
    templates: &BTreeMap<&StackName, Template>,
    assets: &mut BTreeMap<(String, String), Asset>,
    reasons: &mut Vec<String>,
) {
    for (module, asset) in build.modules.iter().flat_map(|it| it.assets.iter().map(move |of| (&it.id, of))) {
        let (stack, key) = (&asset.stack, &asset.key);
        let path = ArtefactPath::Asset(module.clone(), asset.file());
        let Some(file) = files.iter().find(|it| it.path == path) else {
            reasons.push(format!("`{path}` is not there: build it"));
            continue;
        };
        let Some(template) = templates.get(stack) else {
            reasons
                .push(format!("asset `{key}` is of stack `{stack}`, of which there is no template that can be read"));
            continue;
        };
        let uses: BTreeSet<&Text> =
            template.assets.iter().filter(|it| it.key == *key && it.kind == asset.kind).map(|it| &it.bucket).collect();
        if uses.is_empty() {
            reasons.push(format!("asset `{key}` is nothing that stack `{stack}` takes: collect the assembly again"));
        }
        let values = values(build, template, caller);
        for bucket in uses {
            let bucket = match resolve(bucket, &values) {
                Ok(bucket) => bucket,
                Err(why) => {
                    reasons.push(format!("where asset `{key}` of stack `{stack}` lies can't be told: {why}"));
                    continue;
                }
            };
            match put(assets, bucket, key.to_string(), file) {
                Ok(of) => drop(of.stacks.insert(stack.clone())),
                Err((other, key)) => reasons.push(format!(
                    "`{other}` and an asset of `{stack}` have the one key `{key}`, but their bytes differ: collect the \
                     assembly again"
                )),
            }
        }
    }
}

/// The asset at a place, which may have been put there before; who has other bytes there, and the key, otherwise.
fn put<'a>(
    assets: &'a mut BTreeMap<(String, String), Asset>,
    bucket: String,
    key: String,
    BuildFile { file, sha256, size, .. }: &BuildFile,
) -> Result<&'a mut Asset, (String, String)> {
    let (sha256, size) = (*sha256, *size);
    match assets.entry((bucket.clone(), key.clone())) {
        Entry::Vacant(free) => {
            let (functions, stacks, file) = (Vec::new(), BTreeSet::new(), file.clone());
            Ok(free.insert(Asset { functions, stacks, bucket, key, sha256, size, file }))
        }
        Entry::Occupied(other) if other.get().sha256 == sha256 => Ok(other.into_mut()),
        Entry::Occupied(other) => Err((other.get().taker(), key)),
    }
}

/// The templates as a stage gets them, with what is nested in them, and why one can't be read.
fn templates<'a>(build: &'a Build, files: &[BuildFile]) -> (BTreeMap<&'a StackName, Template>, Vec<String>) {
    let (mut templates, mut reasons) = (BTreeMap::new(), Vec::new());
    let mut nested = BTreeMap::new();
    let stacks = build.modules.iter().flat_map(|module| {
        let stacks = module.stacks.iter();
        let stacks = stacks.map(|it| (Some(&it.name), ArtefactPath::Template(module.id.clone(), it.name.clone())));
        let nested = module.assets.iter().filter(|it| it.kind == AssetKind::Template);
        stacks.chain(nested.map(|it| (None, ArtefactPath::Asset(module.id.clone(), it.file()))))
    });
    for (stack, path) in stacks {
        let Some(file) = files.iter().find(|it| it.path == path) else { continue };
        let read = build_folder::read(&file.file).map_err(|error| error.to_string()).and_then(|bytes| {
            let bytes = match &build.synthesised_for {
                None => bytes,
                Some(made_for) => form::derive(&bytes, made_for, &path.to_string())
                    .map(|it| it.bytes)
                    .map_err(|found| found.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; "))?,
            };
            template::read(&bytes).ok_or_else(|| "it is no template".to_owned())
        });
        match read {
            Ok(template) => match stack {
                Some(stack) => drop(templates.insert(stack, template)),
                None => drop(nested.insert(file.sha256, template)),
            },
            Err(why) => reasons.push(format!("`{path}`: {why}")),
        }
    }
    let nested = nested.iter().map(|(sha256, template)| (*sha256, template)).collect();
    for (stack, template) in &mut templates {
        match template.whole(stack, &build.modules, &nested) {
            Ok(whole) => *template = whole,
            Err(why) => reasons.push(format!("stack `{stack}`: {why}")),
        }
    }
    (templates, reasons)
}

/// What the parameters of a template are in dev.
fn values(build: &Build, template: &Template, caller: &Caller) -> BTreeMap<String, String> {
    let defaults = template.parameters.iter().filter_map(|(name, it)| Some((name.clone(), it.default.clone()?)));
    let stage = build.synthesised_for.as_ref().map(|it| (STAGE_PARAMETER.to_owned(), it.stage.to_string()));
    let pseudo = caller.pseudo_parameters().map(|(name, value)| (name.to_owned(), value));
    defaults.chain(stage).chain(pseudo).collect()
}

fn resolve(text: &Text, values: &BTreeMap<String, String>) -> Result<String, String> {
    text.resolve(values).ok_or_else(|| {
        let missing: Vec<_> =
            text.references().filter(|it| !values.contains_key(*it)).map(|it| format!("`{it}`")).collect();
        format!("it depends on {}, which has no default", missing.join(" and "))
    })
}

fn zip<'a>(files: &'a [BuildFile], module: &ModuleId, name: &FunctionName) -> Option<&'a BuildFile> {
    let path = ArtefactPath::Function(module.clone(), name.clone());
    files.iter().find(|it| it.path == path)
}
