//! Container images that a template names by a tag, as CDK, SAM and Serverless write them. A tag doesn't bind the bytes, so the
//! manifest has to tell the digest that it had in dev, and a promotion holds the stage's registry against that.

use std::collections::BTreeSet;

use gatekeeper_model::{finding::Code as Reason, ids::StackName, manifest::Manifest};
use serde::{Deserialize, Serialize};

use super::{
    Findings, Template, Text,
    json::{Json, Place},
    nested::{is_nested, is_of_account},
    schema::Resource,
    text::Piece,
};

/// The most images by their tags that are told of one template: one of each resource.
pub(super) const MAX_IMAGES: usize = 500;

/// A container image that a resource runs by a tag of a repository of ECR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedImage {
    /// The resource's logical id.
    pub resource: String,
    /// The property that names it, such as `Code.ImageUri`.
    pub property: String,
    /// How it is named.
    pub image: Text,
    /// Whether a Lambda function runs it. Lambda resolves a tag once, when the function is updated, and tells what it came to;
    /// others do whenever they start.
    pub is_function: bool,
}

/// An image of ECR by its tag, in one registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageAddress {
    /// The account whose registry it is.
    pub account: String,
    /// The registry's region.
    pub region: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

impl ImageAddress {
    /// Reads `{account}.dkr.ecr.{region}.{suffix}/{repository}:{tag}`.
    #[must_use]
    pub fn parse(image: &str) -> Option<Self> {
        let (registry, rest) = image.split_once('/')?;
        let (account, rest_of_host) = registry.split_once(".dkr.ecr.")?;
        let (region, suffix) = rest_of_host.split_once('.')?;
        let (repository, tag) = rest.rsplit_once(':')?;
        let is_plain = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let is_it = is_plain(account, "")
            && is_plain(region, "-")
            && is_plain(suffix, "-.")
            && is_plain(repository, "-._/")
            && is_plain(tag, "-._");
        let [account, region, repository, tag] = [account, region, repository, tag].map(str::to_owned);
        is_it.then_some(Self { account, region, repository, tag })
    }
}

impl TaggedImage {
    /// Reads what an image is named by.
    ///
    /// # Errors
    /// Why nobody could tell its digest, in words that follow what runs it.
    pub(super) fn read(value: &Json<'_>, resource: &Resource<'_>, place: &Place<'_>) -> Result<Self, String> {
        let read = Text::read(value, resource.template.parameters);
        let (named, why) = match read {
            Ok(image) if is_of_ecr(&image) => {
                return Ok(Self {
                    resource: resource.id.to_owned(),
                    property: property(resource.id, place),
                    image,
                    is_function: resource.r#type == "AWS::Lambda::Function",
                });
            }
            Ok(image) => (format!("the image `{image}`"), "is no tag of a repository of ECR either".to_owned()),
            Err(why) => ("an image".to_owned(), why),
        };
        Err(format!(
            "runs {named} that is not named by its digest (`{place}`) and {why}, so it may be another one than dev tested: write `…@sha256:…`, or `${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/REPOSITORY:TAG`, of which `gatekeeper observe` tells the digest"
        ))
    }

    /// What a message calls it.
    fn shown(&self) -> String {
        format!("the image `{}` of `{}` (`{}`)", self.image, self.resource, self.property)
    }
}

/// A place without the resource that it is in.
fn property(id: &str, place: &Place<'_>) -> String {
    let place = place.to_string();
    let own = place.strip_prefix(&format!("Resources.{id}.Properties."));
    own.map_or_else(|| place.clone(), str::to_owned)
}

/// Whether a text names a tag in ECR, whatever its parameters are.
fn is_of_ecr(image: &Text) -> bool {
    let sign = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Ref(name) if name == "AWS::URLSuffix" => "amazonaws.com".to_owned(),
        Piece::Ref(_) => "x".to_owned(),
    };
    ImageAddress::parse(&image.pieces().iter().map(sign).collect::<String>()).is_some()
}

/// Holds the images that a template names by their tags against what the manifest tells of dev. Until the integration tests
/// ran it tells nothing.
pub(super) fn check(template: &Template, stack: &StackName, manifest: &Manifest, findings: &mut Findings<'_>) {
    for it in template.images.iter().filter(|it| is_nested(&it.resource) && !is_of_account(&it.image)) {
        let message = format!("which image {} is depends on the nested stack's parameters", it.shown());
        findings.say(Reason::TemplateCodeOutsideStore, message);
    }
    let Some(tests) = &manifest.tests.integration else { return };
    for it in &template.images {
        let told = tests.images.iter().filter(|told| told.stack == *stack);
        let told = told.filter(|told| told.logical_id == it.resource && told.property == it.property);
        let digests: BTreeSet<_> = told.map(|told| told.digest).collect();
        match digests.len() {
            0 => findings.say(
                Reason::TestedBytesMissing,
                format!(
                    "{} is named by a tag, which may be another image tomorrow, and `tests.integration.images` does not tell which digest dev ran: let `gatekeeper observe` read it, or name the image by its digest, `…@sha256:…`",
                    it.shown()
                ),
            ),
            1 => {}
            _ => {
                let digests: Vec<_> = digests.iter().map(|it| format!("`{it}`")).collect();
                findings.say(
                    Reason::TestedBytesMismatch,
                    format!(
                        "`tests.integration.images` tells more than one digest of {}: {}",
                        it.shown(),
                        digests.join(" and ")
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
