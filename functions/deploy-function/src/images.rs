//! Whether the functions that run a container image by its tag run the tested one. Lambda resolves a tag when CloudFormation makes
//! the function or its template names another one, and keeps the digest: a tag that was moved since changes nothing, and one that
//! was moved between the look at the registry and then is seen here.

use gatekeeper_aws::{
    failure::{Failure, said},
    pacer::Pacers,
    stack_functions::Stacks,
};
use gatekeeper_model::ids::{ImageDigest, StackName};
use gatekeeper_promotion::plan::{Plan, PlannedImage, PlannedStack};

/// A function of the plan that runs an image.
pub(crate) struct Runs<'a> {
    pub(crate) stack: &'a PlannedStack,
    pub(crate) image: &'a PlannedImage,
    /// Its name in the stage.
    pub(crate) name: String,
    /// Its ARN, as far as Lambda tells one.
    pub(crate) arn: Option<String>,
    /// What it runs, as far as Lambda tells it.
    pub(crate) digest: Option<ImageDigest>,
}

impl Runs<'_> {
    /// What its report is about.
    pub(crate) fn subject(&self) -> String {
        self.image.function(&self.stack.stack)
    }

    /// Why it does not run the tested image.
    pub(crate) fn wrong(&self) -> Option<String> {
        let (name, image, tested) = (&self.name, &self.image.image, self.image.digest);
        match self.digest {
            Some(there) if there == tested => None,
            Some(there) => Some(format!(
                "function `{name}` runs the image `{there}`, tested was `{tested}`: CloudFormation sees no change where the \
                 template names the same tag, `{image}`, and a tag may be moved; give each image a tag of its own"
            )),
            None => {
                Some(format!("Lambda tells no digest of the image that function `{name}` runs, tested was `{tested}`"))
            }
        }
    }
}

/// Where they are: their stacks, and the logical ids that lead to them.
pub(crate) fn places(plan: &Plan) -> impl Iterator<Item = (&StackName, &str)> {
    plan.image_functions().map(|(stack, image)| (&stack.stack_name, image.resource.as_str()))
}

/// Looks at every function of the plan that runs an image by its tag. One that a condition leaves out isn't there.
///
/// # Errors
/// Why it could not be looked at; it may be asked again.
pub(crate) async fn look<'a>(
    stacks: &Stacks<'_>,
    lambda: &aws_sdk_lambda::Client,
    pacers: &Pacers,
    plan: &'a Plan,
) -> Result<Vec<Runs<'a>>, String> {
    let mut found = Vec::new();
    for (stack, image) in plan.image_functions() {
        let there = stacks.physical_id(&stack.stack_name, &image.resource, "AWS::Lambda::Function")?;
        let Some(name) = there.map(str::to_owned) else { continue };
        pacers.looks.turn().await;
        let (arn, digest) = match lambda.get_function().function_name(&name).send().await {
            Ok(answer) => (
                answer.configuration().and_then(|it| it.function_arn()).map(str::to_owned),
                answer.code().and_then(|it| it.resolved_image_uri()).and_then(ImageDigest::of_reference),
            ),
            Err(error) if Failure::of(&error) == Failure::Absent => (None, None),
            Err(error) => return Err(format!("GetFunction of `{name}`: {}", said(&error))),
        };
        found.push(Runs { stack, image, name, arn, digest });
    }
    Ok(found)
}
