//! What would make the bytes deployed others than the bytes tested: templates that fetch or generate at deploy time.

use std::collections::BTreeMap;

use super::{
    Findings, Parameter,
    code::{BUCKET_PARAMETER, PREFIX_PARAMETER},
    json::{Json, Object, Place, shown, walk},
    text::{Piece, Text},
};
use crate::{finding::Code, ids::StackName};

/// Resource types that generate or run what isn't in the template, each with what it does.
const GENERATORS: &[(&str, &str)] = &[
    ("AWS::CloudFormation::Macro", "defines a macro, which rewrites templates at deploy time"),
    ("AWS::CloudFormation::ModuleDefaultVersion", "chooses a module, which CloudFormation expands at deploy time"),
    ("AWS::CloudFormation::ModuleVersion", "registers a module, which CloudFormation expands at deploy time"),
    ("AWS::CloudFormation::StackSet", "deploys a template of its own, which the gate does not see"),
    ("AWS::Serverless::Api", "needs the SAM transform"),
    ("AWS::Serverless::Application", "fetches an application at deploy time"),
    ("AWS::Serverless::Function", "needs the SAM transform"),
    ("AWS::Serverless::HttpApi", "needs the SAM transform"),
    ("AWS::Serverless::LayerVersion", "needs the SAM transform"),
    ("AWS::Serverless::SimpleTable", "needs the SAM transform"),
    ("AWS::Serverless::StateMachine", "needs the SAM transform"),
    ("AWS::ServiceCatalog::CloudFormationProduct", "fetches templates at deploy time"),
    (
        "AWS::ServiceCatalog::CloudFormationProvisionedProduct",
        "provisions a product whose template the gate does not see",
    ),
];

/// Properties that name an S3 object or URL whose content becomes part of what is deployed, from the CloudFormation
/// resource reference. The store's layout (CONTRACT §2) has no place for such content, so none of them can be held
/// against tested bytes; what each type offers instead is to write the content into the template.
const FETCHED: &[(&str, &str)] = &[
    ("AWS::ApiGateway::RestApi", "BodyS3Location"),
    ("AWS::ApiGatewayV2::Api", "BodyS3Location"),
    ("AWS::AppSync::FunctionConfiguration", "CodeS3Location"),
    ("AWS::AppSync::FunctionConfiguration", "RequestMappingTemplateS3Location"),
    ("AWS::AppSync::FunctionConfiguration", "ResponseMappingTemplateS3Location"),
    ("AWS::AppSync::GraphQLSchema", "DefinitionS3Location"),
    ("AWS::AppSync::Resolver", "CodeS3Location"),
    ("AWS::AppSync::Resolver", "RequestMappingTemplateS3Location"),
    ("AWS::AppSync::Resolver", "ResponseMappingTemplateS3Location"),
    ("AWS::Bedrock::Agent", "ActionGroups.ApiSchema.S3"),
    ("AWS::Bedrock::Flow", "DefinitionS3Location"),
    ("AWS::CloudFormation::HookVersion", "SchemaHandlerPackage"),
    ("AWS::CloudFormation::ResourceVersion", "SchemaHandlerPackage"),
    ("AWS::CloudFront::KeyValueStore", "ImportSource"),
    ("AWS::CodeCommit::Repository", "Code.S3"),
    ("AWS::Config::ConformancePack", "TemplateS3Uri"),
    ("AWS::Config::OrganizationConformancePack", "TemplateS3Uri"),
    ("AWS::DynamoDB::Table", "ImportSourceSpecification"),
    ("AWS::ElasticBeanstalk::ApplicationVersion", "SourceBundle"),
    ("AWS::GameLift::Build", "StorageLocation"),
    ("AWS::GameLift::Script", "StorageLocation"),
    ("AWS::Glue::Job", "Command.ScriptLocation"),
    ("AWS::ImageBuilder::Component", "Uri"),
    ("AWS::KafkaConnect::CustomPlugin", "Location"),
    (
        "AWS::KinesisAnalyticsV2::Application",
        "ApplicationConfiguration.ApplicationCodeConfiguration.CodeContent.S3ContentLocation",
    ),
    ("AWS::Lex::Bot", "BotFileS3Location"),
    ("AWS::SSM::Document", "Attachments"),
    ("AWS::StepFunctions::StateMachine", "DefinitionS3Location"),
    ("AWS::Synthetics::Canary", "Code.S3Bucket"),
];

/// Everything about one resource except a Lambda function's own `Code`. Returns the stack of the store that a nested
/// stack takes its template from.
pub(super) fn check_resource(
    id: &str,
    r#type: &str,
    properties: &Object<'_>,
    parameters: &BTreeMap<String, Parameter>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) -> Option<StackName> {
    let reported = findings.len();
    if let Some((_, why)) = GENERATORS.iter().find(|(it, _)| *it == r#type) {
        findings.say(Code::TemplateNotSelfContained, format!("resource `{id}` of type `{type}` {why}"));
    }
    if r#type.ends_with("::MODULE") {
        findings.say(
            Code::TemplateNotSelfContained,
            format!("resource `{id}` is the module `{}`, which CloudFormation expands at deploy time", shown(r#type)),
        );
    }
    for (_, path) in FETCHED.iter().filter(|(it, _)| *it == r#type) {
        let path: Vec<&str> = path.split('.').collect();
        if let [first, rest @ ..] = path.as_slice()
            && has(properties.get(first), rest)
        {
            findings.say(
                Code::TemplateNotSelfContained,
                format!(
                    "resource `{id}` fetches `{place}.{}` at deploy time: write it into the template instead",
                    path.join(".")
                ),
            );
        }
    }
    let mut nested = None;
    match r#type {
        "AWS::Lambda::LayerVersion" => findings.say(
            Code::TemplateCodeOutsideStore,
            format!("layer `{id}` has its content at `{place}.Content`, and the store has no place for layers: bundle it into the functions"),
        ),
        "AWS::CloudFormation::Stack" => {
            nested = properties.get("TemplateURL").and_then(|url| stored_template(&Text::read(url, parameters).ok()?));
            if nested.is_none() {
                findings.say(
                    Code::TemplateNotSelfContained,
                    format!("nested stack `{id}` fetches its template from outside the store (`{place}.TemplateURL`): make it a stack of its own"),
                );
            }
        }
        _ if r#type == "AWS::CloudFormation::CustomResource" || r#type.starts_with("Custom::") => {
            custom_resource(id, properties, place, findings);
        }
        _ => {}
    }
    // What was said of a resource already isn't said again in general words.
    if findings.len() == reported {
        assets(id, r#type, properties, parameters, place, findings);
    }
    nested
}

/// Whether there is something at the end of `path`, in any element where a list is on the way.
fn has(value: Option<&Json<'_>>, path: &[&str]) -> bool {
    match (value, path) {
        (None, _) => false,
        (Some(Json::Array(items)), [_, ..]) => items.iter().any(|item| has(Some(item), path)),
        (Some(value), [key, rest @ ..]) => has(value.get(key), rest),
        (Some(_), []) => true,
    }
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
fn custom_resource(id: &str, properties: &Object<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
    let Some(token) = properties.get("ServiceToken") else {
        return findings.say(Code::TemplateInvalid, format!("custom resource `{id}` has no `ServiceToken`"));
    };
    let mut refers = false;
    walk(token, &Place::Root, &mut |value, _| {
        match value {
            Json::Object(function) => {
                let reference = function.get("Ref").and_then(Json::as_str);
                refers |= reference.is_some_and(|name| !name.starts_with("AWS::"));
                refers |= function.has("Fn::GetAtt") || function.has("Fn::ImportValue");
            }
            Json::String(text) => {
                let mut names = text.split("${").skip(1);
                refers |= text.contains("{{resolve:")
                    || names.any(|name| !name.starts_with("AWS::") && !name.starts_with('!'));
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

/// Content that lies in CDK's asset bucket beside the functions' code was never stored, whoever reads it. An ARN of
/// the bucket is a permission, not content.
fn assets(
    id: &str,
    r#type: &str,
    properties: &Object<'_>,
    parameters: &BTreeMap<String, Parameter>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    for (name, property) in properties.iter() {
        if r#type == "AWS::Lambda::Function" && name == "Code" {
            continue;
        }
        walk(property, &place.key(name), &mut |value, place| {
            if findings.is_full() {
                return false;
            }
            if value.as_str().is_none() && !value.has("Fn::Sub") && !value.has("Fn::Join") {
                return true;
            }
            // What is no `Text` for another reason is looked into piece by piece.
            let Ok(text) = Text::read(value, parameters) else {
                return true;
            };
            if names_asset_bucket(&text) {
                findings.say(
                    Code::TemplateCodeOutsideStore,
                    format!(
                        "resource `{id}` takes content from the asset bucket (`{place}`), which is not in the store"
                    ),
                );
            }
            false
        });
    }
}

fn names_asset_bucket(text: &Text) -> bool {
    text.pieces().windows(2).any(|pair| match pair {
        [Piece::Literal(before), Piece::Ref(account)] if account == "AWS::AccountId" => {
            let Some((before, qualifier)) = before.strip_suffix("-assets-").and_then(|it| it.rsplit_once("cdk-"))
            else {
                return false;
            };
            is_qualifier(qualifier) && !before.ends_with(":::")
        }
        _ => false,
    })
}

/// CDK's bootstrap qualifier: at most 10 lowercase letters and digits, `hnb659fds` where nobody chose another.
fn is_qualifier(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
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
