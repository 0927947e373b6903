//! What `serverless package` of the Serverless Framework 3 wrote: `.serverless`, with one stack and ZIPs that are made.
//!
//! The template names dev in every name, and its code lies in the deployment bucket under a key with the time of the
//! packaging. Where that bucket's name holds the account, the portable form fits it to any stage; where the stack makes
//! the bucket itself, no stage could have the code before the stack.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use gatekeeper_model::{
    ids::{AccountId, StackName},
    manifest::SynthesisedFor,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Collected, CollectedFunction, CollectedStack, Contents, Packaging, Said, Source, Zipper,
    assets::{NOT_IN_REGISTRY, is_in_registry},
    names::function_name,
    read, resources, told_of,
};

/// What tells that a folder is one of Serverless.
pub(super) const STATE: &str = "serverless-state.json";

const TEMPLATE: &str = "cloudformation-template-update-stack.json";

/// The bucket that the stack itself makes where none is named.
const OWN_BUCKET: &str = "ServerlessDeploymentBucket";

/// `serverless-state.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct State {
    service: Service,
    package: Package,
}

#[derive(Debug, Deserialize)]
struct Service {
    service: String,
    provider: Provider,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    region: String,
    stage: String,
    stack_name: Option<String>,
    #[serde(default)]
    stack_tags: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    artifact_directory_name: String,
}

/// What of the folder makes a commit; none where it can't be read.
pub(super) fn take(root: &Path, said: &Said<'_>, reasons: &mut Vec<String>) -> Option<Collected> {
    let state: Result<State, _> = read(&root.join(STATE));
    let bytes = fs::read(root.join(TEMPLATE)).map_err(|error| format!("`{TEMPLATE}` {}", told_of(&error)));
    let again = |why: String| format!("{why}: run `serverless package` of the Serverless Framework 3 again");
    let (state, bytes) = match (state, bytes) {
        (Ok(state), Ok(bytes)) => (state, bytes),
        (state, bytes) => {
            reasons.extend([state.err(), bytes.err()].into_iter().flatten().map(again));
            return None;
        }
    };
    let template: Value = match serde_json::from_slice(&bytes) {
        Ok(template) => template,
        Err(error) => {
            reasons.push(again(format!("`{TEMPLATE}` is not JSON ({error})")));
            return None;
        }
    };
    let State { service: Service { service, provider }, package } = state;
    let stack_name = provider.stack_name.clone().unwrap_or_else(|| format!("{service}-{}", provider.stage));
    let name = name_of(&stack_name, &provider.stage);
    let name: StackName = name.parse().map_err(|error| reasons.push(format!("stack `{stack_name}`: {error}"))).ok()?;
    let mut contents = Contents::default();
    let buckets = functions(root, &template, &package.artifact_directory_name, &name, &mut contents, reasons);
    let synthesised_for = made_for(&service, &provider, &buckets, said, reasons);
    let tags = provider.stack_tags.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    // Serverless adds this one, where no other is given.
    let stage = ("STAGE".to_owned(), provider.stage.clone());
    let stack = CollectedStack {
        name,
        stack_name,
        template: bytes,
        depends_on: BTreeSet::new(),
        tags: [stage].into_iter().chain(tags).collect(),
        termination_protection: None,
    };
    let Contents { functions, assets, sources } = contents;
    Some(Collected {
        stacks: vec![stack],
        functions,
        assets,
        sources,
        synthesised_for,
        zipper: Zipper::Own,
        translated_by: None,
        warnings: Vec::new(),
    })
}

/// What the commit calls the stack: its name without the stage's.
fn name_of<'a>(stack_name: &'a str, stage: &str) -> &'a str {
    let behind = stack_name.strip_suffix(stage).and_then(|it| it.strip_suffix('-'));
    let before = || stack_name.strip_prefix(stage).and_then(|it| it.strip_prefix('-'));
    behind.or_else(before).filter(|it| !it.is_empty()).unwrap_or(stack_name)
}

/// The functions of the template, each with the ZIP that its key names. Gives the buckets that they lie in.
fn functions(
    root: &Path,
    template: &Value,
    folder: &str,
    stack: &StackName,
    contents: &mut Contents,
    reasons: &mut Vec<String>,
) -> BTreeSet<String> {
    let mut buckets = BTreeSet::new();
    for (id, kind, properties) in resources(template) {
        match kind {
            "AWS::Lambda::Function" => {}
            "AWS::Lambda::LayerVersion" => {
                reasons.push(format!(
                    "layer `{id}` lies under a key with the time of its packaging, and an asset's key is the same in each \
                     stage: package it with the functions, or take a vendor's layer by its ARN and version"
                ));
                continue;
            }
            _ => continue,
        }
        let code = properties.get("Code").unwrap_or(&Value::Null);
        if code.get("ZipFile").is_some() {
            continue;
        }
        if let Some(image) = code.get("ImageUri") {
            match image.as_str().and_then(|it| it.split_once(".dkr.ecr.")) {
                // Its registry tells the account as well as a bucket does.
                Some((account, _)) => drop(buckets.insert(account.to_owned())),
                None if is_in_registry(image) => {}
                None => reasons.push(format!("function `{id}` {NOT_IN_REGISTRY}")),
            }
            continue;
        }
        let member = |name: &str| code.get(name).and_then(Value::as_str);
        let is_own = code.get("S3Bucket").and_then(|it| it.get("Ref")).and_then(Value::as_str) == Some(OWN_BUCKET);
        match member("S3Bucket") {
            Some(bucket) => drop(buckets.insert(bucket.to_owned())),
            None if is_own => reasons.push(format!(
                "the stack makes the bucket that its code lies in, `{OWN_BUCKET}`, so a stage that gets the stack for the \
                 first time has no code for it: name one that is there before, by `provider.deploymentBucket`, such as \
                 `cdk-hnb659fds-assets-${{aws:accountId}}-${{aws:region}}`, which `cdk bootstrap` makes"
            )),
            None => reasons.push(format!(
                "where function `{id}` has its code can't be told: name the bucket by a text in `provider.deploymentBucket`"
            )),
        }
        let file = member("S3Key").and_then(|key| key.strip_prefix(folder)?.strip_prefix('/'));
        let Some(file) = file.filter(|it| !it.contains('/') && !it.is_empty()) else {
            reasons.push(format!(
                "function `{id}` has its code outside of what was packaged: leave out its `package.artifact` on S3, and \
                 package its code"
            ));
            continue;
        };
        let path = root.join(file);
        if !path.is_file() {
            reasons.push(format!(
                "`{file}`, the code of function `{id}`, is not in the folder: run `serverless package` again"
            ));
            continue;
        }
        let source = contents.source(&Source { asset: file.to_owned(), path, packaging: Packaging::File });
        match function_name(stack, id) {
            Some(name) => {
                let (stack, logical_id) = (stack.clone(), id.to_owned());
                contents.functions.push(CollectedFunction { name, stack, logical_id, source });
            }
            None => reasons.push(format!("`{id}` is no logical id of a template")),
        }
    }
    buckets
}

/// What the template was made for: Serverless tells all but the account, which the bucket's name has to hold.
fn made_for(
    service: &str,
    provider: &Provider,
    buckets: &BTreeSet<String>,
    said: &Said<'_>,
    reasons: &mut Vec<String>,
) -> Option<SynthesisedFor> {
    let is_digit = |c: char| c.is_ascii_digit();
    let accounts: BTreeSet<AccountId> = buckets
        .iter()
        .flat_map(|bucket| bucket.split(|c| !is_digit(c)))
        .filter(|word| word.len() == 12)
        .filter_map(|word| word.parse().ok())
        .collect();
    for bucket in buckets.iter().filter(|it| !it.split(|c| !is_digit(c)).any(|word| word.len() == 12)) {
        reasons.push(format!(
            "the code lies in `{bucket}`, which is one account's bucket: name it by the account in \
             `provider.deploymentBucket`, such as `cdk-hnb659fds-assets-${{aws:accountId}}-${{aws:region}}`, so that each \
             stage has its own"
        ));
    }
    if accounts.len() > 1 {
        reasons
            .push("the code lies in buckets of several accounts: name one in `provider.deploymentBucket`".to_owned());
    }
    let stage = match (said.stage, provider.stage.parse()) {
        (Some(stage), Ok(packaged)) if *stage != packaged => {
            reasons.push(format!(
                "it was packaged for the stage `{packaged}`, and `--stage` says `{stage}`: pass no other"
            ));
            None
        }
        (_, Ok(packaged)) => Some(packaged),
        (_, Err(error)) => {
            reasons.push(format!("the stage that it was packaged for: {error}"));
            None
        }
    };
    let application = match said.application {
        Some(application) => Some(application.clone()),
        None => service.parse().map_err(|error| reasons.push(format!("the service's name: {error}"))).ok(),
    };
    let region = provider.region.parse().map_err(|error| reasons.push(format!("its region: {error}"))).ok();
    let account = accounts.into_iter().next()?;
    Some(SynthesisedFor { account, region: region?, stage: stage?, application: application?, bootstrap_bucket: None })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn the_stage_is_no_part_of_the_stacks_name() {
        assert_eq!(name_of("bank-payments-dev", "dev"), "bank-payments");
        assert_eq!(name_of("dev-bank-payments", "dev"), "bank-payments");
        assert_eq!(name_of("bank-webdev", "dev"), "bank-webdev");
        assert_eq!(name_of("dev", "dev"), "dev");
    }
}
