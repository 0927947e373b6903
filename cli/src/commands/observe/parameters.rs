//! Which values the parameters of a stage's stacks have: the tests ran with these, and another stage may have others.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::{Client, types::Parameter};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::failure::Failure;
use gatekeeper_model::{ids::StackName, manifest::DeployedParameter};
use gatekeeper_readers::template;

use super::{LOOKS_IN_FLIGHT, templates};
use crate::{aws::called, output::Output};

/// Looks at the parameters of the stacks that are there. None are told where that is not allowed: the manifest then says
/// nothing of them.
pub(super) async fn observe(
    client: &Client,
    stacks: &[templates::Observed],
    output: &mut Output,
) -> anyhow::Result<Vec<DeployedParameter>> {
    // The stacks of two modules may be one.
    let stacks: BTreeMap<&StackName, _> =
        stacks.iter().filter_map(|it| Some((&it.stack, (&it.stack_name, it.template.as_deref()?)))).collect();
    let looks = stacks.into_iter().map(|(stack, (stack_name, template))| async move {
        match client.describe_stacks().stack_name(stack_name.as_str()).send().await {
            // It was there a moment ago: whoever deletes it now tests nothing.
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(Some(Vec::new())),
            Err(error) if Failure::of(&error) == Failure::Denied => Ok(None),
            answer => {
                let found = called("DescribeStacks", answer)?.stacks.into_iter().flatten().next();
                let parameters = found.and_then(|it| it.parameters).unwrap_or_default();
                Ok::<_, anyhow::Error>(Some(told(stack, &parameters, template)))
            }
        }
    });
    let looked: Vec<Option<Vec<_>>> = stream::iter(looks).buffered(LOOKS_IN_FLIGHT).try_collect().await?;
    if looked.iter().any(Option::is_none) {
        output.warning(
            "which values the stacks' parameters have is not told: these credentials may not `cloudformation:DescribeStacks`",
        );
        return Ok(Vec::new());
    }
    let mut told: Vec<_> = looked.into_iter().flatten().flatten().collect();
    told.sort();
    Ok(told)
}

/// A stack's parameters as the manifest tells them.
fn told(stack: &StackName, parameters: &[Parameter], template: &str) -> Vec<DeployedParameter> {
    let declared = template::read(template.as_bytes()).map(|it| it.parameters).unwrap_or_default();
    let named = parameters.iter().filter_map(|it| Some((it.parameter_key()?, it.parameter_value()?)));
    named
        .map(|(name, value)| {
            // What CloudFormation keeps to itself it shows so, whatever the value is.
            let is_kept = !value.is_empty() && value.chars().all(|c| c == '*');
            let default = declared.get(name).and_then(|it| it.default.as_deref());
            DeployedParameter {
                stack: stack.clone(),
                name: name.to_owned(),
                value: (!is_kept).then(|| value.to_owned()),
                is_default: !is_kept && default == Some(value),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cloudformation_keeps_to_itself_is_told_as_such() {
        let template = r#"{"Parameters": {
            "LogLevel": {"Type": "String", "Default": "info"}, "Memory": {"Type": "Number", "Default": 512},
            "Password": {"Type": "String", "NoEcho": true, "Default": "****"}, "Table": {"Type": "String"}
        }, "Resources": {"A": {"Type": "AWS::SNS::Topic"}}}"#;
        let parameter = |(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build();
        let live = [("LogLevel", "debug"), ("Memory", "512"), ("Password", "****"), ("Table", ""), ("Other", "x")];
        let told = |template| serde_json::to_string(&told(&"api".parse().unwrap(), &live.map(parameter), template));
        insta::assert_snapshot!(told(template).unwrap().replace("},", "},\n"));
        // One that is no JSON tells no defaults.
        assert!(!told("Resources: {}").unwrap().contains("is_default"));
    }
}
