//! What an assembly was synthesised for, and the names that follow from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    str::FromStr,
};

use gatekeeper_model::{
    ids::{ApplicationName, BucketName, FunctionName, Sha256, StackName, StageName},
    manifest::SynthesisedFor,
};
use gatekeeper_readers::template;

use super::{ReadStack, Said, assets::texts_of, environment};

/// The tags that SST puts on each stack.
const STAGE_TAG: &str = "sst:stage";
const APPLICATION_TAG: &str = "sst:app";

/// The longest name of a Lambda function.
const MAX_FUNCTION_NAME: usize = 64;

/// How many hex digits tell names apart that were cut.
const DIGITS: usize = 8;

/// What an assembly was synthesised for.
#[derive(Debug, Default)]
pub(super) struct MadeFor {
    /// The start of SST's names that is another in each stage: `{stage}-{application}-`.
    prefix: Option<String>,
    pub(super) synthesised_for: Option<SynthesisedFor>,
}

impl MadeFor {
    /// What the commit calls a stack.
    pub(super) fn name_of<'a>(&self, stack_name: &'a str) -> &'a str {
        let stripped = self.prefix.as_ref().and_then(|prefix| stack_name.strip_prefix(prefix.as_str()));
        stripped.filter(|it| !it.is_empty()).unwrap_or(stack_name)
    }
}

/// What the assembly's stacks were synthesised for.
pub(super) fn made_for(stacks: &BTreeMap<String, ReadStack>, said: &Said<'_>, reasons: &mut Vec<String>) -> MadeFor {
    let stage: Result<Option<StageName>, String> = agreed(stacks, STAGE_TAG, said.stage, "--stage");
    let application: Result<Option<ApplicationName>, String> =
        agreed(stacks, APPLICATION_TAG, said.application, "--application");
    let (stage, application) = match (stage, application) {
        (Ok(stage), Ok(application)) => (stage, application),
        (stage, application) => {
            reasons.extend([stage.err(), application.err()].into_iter().flatten());
            return MadeFor::default();
        }
    };
    let prefix = stage.as_ref().zip(application.as_ref()).map(|(stage, application)| format!("{stage}-{application}-"));
    let mut places = BTreeSet::new();
    for (artifact, stack) in stacks {
        match environment(&stack.environment) {
            (Some(account), Some(region)) => drop(places.insert((account, region))),
            (Some(account), None) => reasons.push(format!(
                "stack `{artifact}` is synthesised for account {account} and no region: name both in its `env`, or neither"
            )),
            (None, _) => {}
        }
    }
    if places.len() > 1 {
        let places: Vec<_> = places.iter().map(|(account, region)| format!("{account} in {region}")).collect();
        reasons.push(format!(
            "the stacks are synthesised for {}: a commit is of one account and region; collect an assembly of each",
            places.join(", ")
        ));
        return MadeFor { prefix, synthesised_for: None };
    }
    let synthesised_for = places.pop_first().and_then(|(account, region)| match (stage, application) {
        (Some(stage), Some(application)) => {
            let bootstrap_bucket = bootstrap_bucket(stacks, reasons);
            Some(SynthesisedFor { account, region, stage, application, bootstrap_bucket })
        }
        (stage, application) => {
            let missing = [stage.is_none().then_some("`--stage`"), application.is_none().then_some("`--application`")];
            let missing: Vec<_> = missing.into_iter().flatten().collect();
            reasons.push(format!(
                "the templates name account {account}, so the gate must know what else is another in each stage: pass {}, as \
                 the names of the stacks have them",
                missing.join(" and ")
            ));
            None
        }
    });
    MadeFor { prefix, synthesised_for }
}

/// SST's own bucket in dev's account, where the templates name it.
fn bootstrap_bucket(stacks: &BTreeMap<String, ReadStack>, reasons: &mut Vec<String>) -> Option<BucketName> {
    let texts = stacks.values().flat_map(|stack| {
        let mut texts = Vec::new();
        texts_of(&stack.template, false, &mut texts);
        texts
    });
    let mut buckets: BTreeSet<&str> = texts.filter_map(template::bootstrap_bucket).collect();
    if buckets.len() > 1 {
        let buckets: Vec<_> = buckets.iter().map(|it| format!("`{it}`")).collect();
        reasons.push(format!("the templates name several buckets of SST's own, {}: build again", buckets.join(", ")));
    }
    buckets.pop_first()?.parse().ok()
}

/// What a tag of the stacks and an option say together.
fn agreed<T: FromStr<Err = impl Display> + Clone + Ord + Display>(
    stacks: &BTreeMap<String, ReadStack>,
    tag: &str,
    said: Option<&T>,
    option: &str,
) -> Result<Option<T>, String> {
    let mut values: BTreeSet<T> = said.into_iter().cloned().collect();
    for (artifact, stack) in stacks {
        if let Some(value) = stack.tags.get(tag) {
            let value = value.parse().map_err(|error| format!("the tag `{tag}` of stack `{artifact}`: {error}"))?;
            values.insert(value);
        }
    }
    if values.len() > 1 {
        let values: Vec<_> = values.iter().map(|it| format!("`{it}`")).collect();
        let values = values.join(" and ");
        return Err(format!(
            "the tags `{tag}` of the stacks and `{option}` say {values}: build for one, and pass no other"
        ));
    }
    Ok(values.pop_first())
}

/// What the commit calls the code of a function.
pub(super) fn function_name(stack: &StackName, logical_id: &str) -> Option<FunctionName> {
    let whole = format!("{stack}-{}", logical_id.replace('/', "-"));
    if whole.len() <= MAX_FUNCTION_NAME {
        return whole.parse().ok();
    }
    let digest = Sha256::of(whole.as_bytes()).to_string();
    let start = whole.get(..MAX_FUNCTION_NAME - DIGITS)?;
    format!("{start}{}", digest.get(..DIGITS)?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_called_by_its_stack_and_logical_id() {
        let name = |stack: &str, id: &str| function_name(&stack.parse().unwrap(), id).map(|it| it.to_string());
        assert_eq!(name("ApiStack", "GetFnA1").as_deref(), Some("ApiStack-GetFnA1"));
        let (one, other) = (format!("Get{}1", "x".repeat(60)), format!("Get{}2", "x".repeat(60)));
        let cut = name("ApiStack", &one).unwrap();
        assert_eq!(cut.len(), 64);
        let whole = Sha256::of(format!("ApiStack-{one}").as_bytes()).to_string();
        assert!(cut.starts_with("ApiStack-Getxxx") && cut.ends_with(&whole[..8]), "{cut}");
        assert_ne!(name("ApiStack", &other).unwrap(), cut);
        assert_eq!(name("ApiStack", "né"), None);
    }

    #[test]
    fn the_part_of_a_name_that_each_stage_has_for_itself_is_left_out() {
        let made_for = MadeFor { prefix: Some("dev-bank-".to_owned()), synthesised_for: None };
        assert_eq!(made_for.name_of("dev-bank-Api"), "Api");
        assert_eq!(made_for.name_of("Api"), "Api");
        assert_eq!(made_for.name_of("dev-bank-"), "dev-bank-");
    }
}
