//! What would make the bytes deployed others than the bytes tested: templates that fetch or generate at deploy time.

use std::collections::BTreeMap;

use gatekeeper_model::{finding::Code, ids::StackName, manifest::AssetKind};

use super::{
    Findings, Parameter, assets,
    code::{BUCKET_PARAMETER, PREFIX_PARAMETER},
    form::STAGE_PARAMETER,
    json::{Json, Object, Place, each_case, walk},
    schema::{self, Resource},
    text::Text,
};
use crate::shown::shown;

/// Everything about one resource that the table of types doesn't say.
pub(super) fn check_resource(
    resource: &Resource<'_>,
    properties: &Object<'_>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    let reported = findings.len();
    let Resource { id, r#type, template } = *resource;
    let uses = assets::read(id, r#type, properties, template.parameters, place);
    let takes = |kind: AssetKind| uses.told.iter().any(|it| it.kind == kind);
    schema::check(resource, properties, place, findings);
    match r#type {
        "AWS::Lambda::LayerVersion" if !takes(AssetKind::Layer) => {
            layer_outside(id, properties, template.parameters, place, findings);
        }
        "AWS::CloudFormation::Stack"
            if nested_template(properties, template.parameters).is_none() && !takes(AssetKind::Template) =>
        {
            findings.say(
                Code::TemplateNotSelfContained,
                format!("nested stack `{id}` fetches its template from outside the store (`{place}.TemplateURL`): make it a stack of its own, or a `NestedStack` of CDK, whose template is an asset"),
            );
        }
        _ if r#type == "AWS::CloudFormation::CustomResource" || r#type.starts_with("Custom::") => {
            custom_resource(id, r#type, properties, place, findings);
        }
        _ => {}
    }
    // What was said of a resource already isn't said again in general words.
    if findings.len() == reported {
        for place in uses.untold {
            findings.say(
                Code::TemplateCodeOutsideStore,
                format!("resource `{id}` takes content from the asset bucket (`{place}`), and what it takes can't be told: name it by its bucket and its key"),
            );
        }
    }
}

/// Says why the content of a layer is none that a promotion can place.
fn layer_outside(
    id: &str,
    properties: &Object<'_>,
    parameters: &BTreeMap<String, Parameter>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    let content = properties.get("Content");
    let is_literal = content
        .and_then(|content| Text::read(content.get("S3Bucket")?, parameters).ok())
        .is_some_and(|bucket| bucket.as_literal().is_some());
    if content.is_some_and(|it| it.has("S3ObjectVersion")) || is_literal {
        return findings.say(
            Code::TemplateNotPortable,
            format!("the content of layer `{id}` is one object of one bucket (`{place}.Content`): name the bucket by `${{AWS::AccountId}}`, and no version"),
        );
    }
    findings.say(
        Code::TemplateCodeOutsideStore,
        format!("layer `{id}` has its content at `{place}.Content`, which is no asset of the stage's account: make it by `Code.fromAsset`, or bundle it into the functions"),
    );
}

/// The stack of the store that a nested stack takes its template from.
pub(super) fn nested_template(properties: &Object<'_>, parameters: &BTreeMap<String, Parameter>) -> Option<StackName> {
    stored_template(&Text::read(properties.get("TemplateURL")?, parameters).ok()?)
}

/// The stack that `…/${ArtefactPrefix}/cloudformation/{stack}.json` of the artefact bucket is the template of.
fn stored_template(url: &Text) -> Option<StackName> {
    // Signs that neither a host nor a stack's name may hold, so that each stands only where it should.
    let signs = [
        (BUCKET_PARAMETER, "<bucket>"),
        (PREFIX_PARAMETER, "<prefix>"),
        ("AWS::Region", "region"),
        ("AWS::URLSuffix", "amazonaws.com"),
    ];
    if !signs.iter().take(2).all(|(name, _)| url.references().any(|it| it == *name)) {
        return None;
    }
    let url = url.resolve(&signs.map(|(name, sign)| (name.to_owned(), sign.to_owned())).into())?;
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    // `https://{bucket}.s3.{region}.amazonaws.com/{key}` or `https://s3.{region}.amazonaws.com/{bucket}/{key}`.
    let (host, key) = match host.strip_prefix("<bucket>.") {
        Some(host) => (host, path),
        None => (host, path.strip_prefix("<bucket>/")?),
    };
    let region = host.strip_prefix("s3")?.strip_suffix(".amazonaws.com")?;
    if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
        return None;
    }
    key.strip_prefix("<prefix>/cloudformation/")?.strip_suffix(".json")?.parse().ok()
}

/// A custom resource runs its provider at deploy time: a resource of the template, or one that the stage names.
fn custom_resource(id: &str, r#type: &str, properties: &Object<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
    newest_sdk(id, r#type, properties, place, findings);
    let Some(token) = properties.get("ServiceToken") else {
        return findings.say(Code::TemplateInvalid, format!("custom resource `{id}` has no `ServiceToken`"));
    };
    let mut refers = false;
    walk(token, &Place::Root, &mut |value, _| {
        match value {
            Json::Object(function) => {
                let reference = function.get("Ref").and_then(Json::as_str);
                refers |= reference.is_some_and(tells_of_another);
                refers |= function.has("Fn::GetAtt") || function.has("Fn::ImportValue");
            }
            Json::String(text) => {
                let mut names = text.split("${").skip(1);
                refers |= text.contains("{{resolve:")
                    || names.any(|name| tells_of_another(name.split('}').next().unwrap_or(name)));
            }
            _ => {}
        }
        !refers
    });
    if !refers {
        findings.say(
            Code::TemplateNotSelfContained,
            format!("custom resource `{id}` is made by a function outside the template (`{place}.ServiceToken`): name it by a parameter or an import"),
        );
    }
}

/// Whether a reference is to something of the template or of the stage, and not one of CloudFormation's own or of those
/// that every promotion gives (CONTRACT §6): a name that is made of these is a literal one.
fn tells_of_another(name: &str) -> bool {
    const GIVEN: [&str; 4] = [STAGE_PARAMETER, "CommitSha", BUCKET_PARAMETER, PREFIX_PARAMETER];
    !name.starts_with("AWS::") && !name.starts_with('!') && !GIVEN.contains(&name)
}

/// CDK's `AwsCustomResource` fetches the newest AWS SDK from npm unless it is told not to. Whether it does stands in the
/// template since CDK 1.50; the providers of older versions always fetch it.
fn newest_sdk(id: &str, r#type: &str, properties: &Object<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
    const KEY: &str = "InstallLatestAwsSdk";
    let is_call = ["Create", "Update", "Delete"].iter().any(|event| properties.has(event));
    let mut fetches = r#type == "Custom::AWS" && is_call && !properties.has(KEY);
    if let Some(value) = properties.get(KEY) {
        each_case(value, place, &mut |value, _| {
            let is_off = match value {
                Json::Bool(value) => !value,
                Json::String(text) => text.eq_ignore_ascii_case("false"),
                _ => false,
            };
            fetches |= !is_off;
        });
    }
    if fetches {
        findings.say(
            Code::TemplateNotSelfContained,
            format!("custom resource `{id}` fetches the newest AWS SDK from npm at deploy time (`{place}.{KEY}`): give its `AwsCustomResource` `installLatestAwsSdk: false`"),
        );
    }
}

/// What happens beside the resources themselves: hooks that make others, and what machines are told to fetch when they
/// start (`AWS::CloudFormation::Init`).
pub(super) fn check_attributes(root: &Json<'_>, findings: &mut Findings<'_>) {
    for (name, hook) in root.get("Hooks").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
        let r#type = hook.get("Type").and_then(Json::as_str).unwrap_or("?");
        let message = format!(
            "`Hooks.{}` of type `{}` makes and changes resources at deploy time: deploy without it",
            shown(name),
            shown(r#type)
        );
        findings.say(Code::TemplateNotSelfContained, message);
    }
    let resources = Place::Root.key("Resources");
    for (id, resource) in root.get("Resources").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
        let Some(init) = resource.get("Metadata").and_then(|it| it.get("AWS::CloudFormation::Init")) else { continue };
        let place = resources.key(id);
        let place = place.key("Metadata");
        walk(init, &place.key("AWS::CloudFormation::Init"), &mut |value, place| {
            let is_fetched = match place {
                Place::Key(Place::Key(Place::Key(_, "files"), _), "source") => true,
                Place::Key(_, "sources") => value.as_object().is_some_and(|it| it.len() > 0),
                _ => false,
            };
            if is_fetched {
                findings.say(
                    Code::TemplateNotSelfContained,
                    format!(
                        "`{place}` is fetched when the machine starts: write it into the template, or into its image"
                    ),
                );
            }
            !is_fetched && !findings.is_full()
        });
    }
}

/// Macros: `Transform` over the whole template, `Fn::Transform` anywhere in it.
pub(super) fn check_transforms(root: &Json<'_>, findings: &mut Findings<'_>) {
    let transforms = match root.get("Transform") {
        None => &[],
        Some(Json::Array(many)) => many.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    for transform in transforms {
        let name = transform.as_str().or_else(|| transform.get("Name")?.as_str()).unwrap_or("?");
        findings.say(
            Code::TemplateNotSelfContained,
            format!(
                "`Transform` lets the macro `{}` write the template at deploy time: store the processed template",
                shown(name)
            ),
        );
    }
    walk(root, &Place::Root, &mut |value, place| {
        if findings.is_full() {
            return false;
        }
        if let Some(transform) = value.get("Fn::Transform") {
            let name = transform.get("Name").and_then(Json::as_str).unwrap_or("?");
            findings.say(
                Code::TemplateNotSelfContained,
                format!("`{place}` is written at deploy time by `Fn::Transform` with the macro `{}`", shown(name)),
            );
        }
        true
    });
}
