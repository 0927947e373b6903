//! What a template says of its Lambda functions: where their code lies and what it must be.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::finding::Code as Reason;
use serde::{Deserialize, Serialize};

use super::{
    Findings, Parameter, TaggedImage,
    json::{Json, Object, Place, each_case, walk},
    schema::{self, Resource},
    text::{Piece, Text},
};
use crate::function_spec::{Architecture, FunctionSpec};
use crate::shown::shown;

/// The parameter that the gatekeeper gives the artefact bucket's name (CONTRACT §6).
pub const BUCKET_PARAMETER: &str = "ArtefactBucket";

/// The parameter that the gatekeeper gives the module's folder, `{repo}/{sha}/modules/{MOD-NNN}` (CONTRACT §6).
pub const PREFIX_PARAMETER: &str = "ArtefactPrefix";

/// Where a function's code lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// In the template's own bytes (`ZipFile`).
    Inline,
    /// In the artefact store itself: the bucket is `ArtefactBucket`.
    ArtefactStore {
        /// The object's key.
        key: Text,
    },
    /// In an asset bucket of the stage's account, such as CDK's `cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}`:
    /// a promotion copies the stored bundle there first. The bucket always depends on the stage.
    AssetBucket {
        /// The bucket's name.
        bucket: Text,
        /// The object's key.
        key: Text,
    },
    /// In a container image that is named by its digest, or by a tag of which the manifest tells the digest.
    Image,
    /// Somewhere that a promotion can't serve; inspecting the template said why.
    Refused,
}

/// Reads the function at `place`.
pub(super) fn read(
    id: &str,
    properties: &Object<'_>,
    template: &Evaluate<'_>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) -> super::TemplateFunction {
    let code = read_code(id, properties, template, &place.key("Code"), findings);
    let is_bundle = matches!(code, Code::ArtefactStore { .. } | Code::AssetBucket { .. });
    let spec = read_spec(id, properties, template, !is_bundle, findings);
    if spec.runtime == "custom" {
        findings.say(
            Reason::TemplateCodeOutsideStore,
            format!("function `{id}` has the `Runtime` `custom`, whose publisher brings code that no test has seen: name one of Lambda's own"),
        );
    }
    let has_layers = properties.get("Layers").is_some();
    super::TemplateFunction { spec, code, has_layers }
}

fn read_code(
    id: &str,
    properties: &Object<'_>,
    template: &Evaluate<'_>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) -> Code {
    let Some(Json::Object(code)) = properties.get("Code") else {
        findings.say(Reason::TemplateInvalid, format!("function `{id}` has no `Code` object"));
        return Code::Refused;
    };
    let mut outside = |message: String| {
        findings.say(Reason::TemplateCodeOutsideStore, message);
        Code::Refused
    };
    if let Some(image) = code.get("ImageUri") {
        let resource = Resource { id, r#type: "AWS::Lambda::Function", template };
        if schema::is_pinned_image(image, &resource) {
            return Code::Image;
        }
        return match TaggedImage::read(image, &resource, &place.key("ImageUri")) {
            Ok(tagged) => {
                findings.image(tagged);
                Code::Image
            }
            Err(why) => outside(format!("function `{id}` {why}")),
        };
    }
    if properties.get("PackageType").and_then(Json::as_str) == Some("Image") {
        return outside(format!(
            "function `{id}` is of the `PackageType` `Image` and names none in `{place}.ImageUri`"
        ));
    }
    let mut is_reference = false;
    if let Some(mode) = code.get("S3ObjectStorageMode") {
        each_case(mode, place, &mut |mode, _| is_reference |= mode.as_str() != Some("COPY"));
    }
    if is_reference {
        return outside(format!(
            "function `{id}` runs the object in S3 itself (`{place}.S3ObjectStorageMode`), which a promotion does not prove yet: leave it out, or say `COPY`"
        ));
    }
    if let Some(inline) = code.get("ZipFile") {
        if code.has("S3Bucket") || code.has("S3Key") {
            let message = format!("function `{id}` has both `ZipFile` and an S3 object as its `Code`");
            findings.say(Reason::TemplateInvalid, message);
            return Code::Refused;
        }
        return if is_inline(inline, template) {
            Code::Inline
        } else {
            outside(format!(
                "the inline code of function `{id}` is not in the template's own bytes: `{place}.ZipFile` only refers to it"
            ))
        };
    }
    let (Some(bucket), Some(key)) = (code.get("S3Bucket"), code.get("S3Key")) else {
        return outside(format!("the `Code` of function `{id}` is neither inline nor named by `S3Bucket` and `S3Key`"));
    };
    let (bucket, key) = match (Text::read(bucket, template.parameters), Text::read(key, template.parameters)) {
        (Ok(bucket), Ok(key)) => (bucket, key),
        _ if template.parameters.keys().any(|name| name.starts_with("AssetParameters")) => {
            return outside(format!(
                "function `{id}` takes its code by CDK's legacy asset parameters: synthesise with `DefaultStackSynthesizer`"
            ));
        }
        (Err(why), _) => {
            return outside(format!("where the code of function `{id}` lies cannot be told: `{place}.S3Bucket` {why}"));
        }
        (_, Err(why)) => {
            return outside(format!("where the code of function `{id}` lies cannot be told: `{place}.S3Key` {why}"));
        }
    };
    let mut not_portable = |message: String| {
        findings.say(Reason::TemplateNotPortable, message);
        Code::Refused
    };
    if code.has("S3ObjectVersion") {
        return not_portable(format!(
            "the code of function `{id}` is pinned by `{place}.S3ObjectVersion`, and a version id exists in one bucket only"
        ));
    }
    if bucket == Text::reference(BUCKET_PARAMETER) {
        Code::ArtefactStore { key }
    } else if varies_by_account(&bucket) {
        Code::AssetBucket { bucket, key }
    } else {
        // A bucket's name is global: without the account or a parameter in it, it is one account's bucket.
        let refused = not_portable(format!(
            "the code of function `{id}` is in the one bucket `{bucket}` (`{place}.S3Bucket`): name it by `${{AWS::AccountId}}` or by a parameter"
        ));
        findings.settle(&place.key("S3Bucket"));
        refused
    }
}

/// Whether code is in the template: a string, or a composition with text of its own.
pub(super) fn is_inline(code: &Json<'_>, template: &Evaluate<'_>) -> bool {
    match code {
        Json::String(code) => !code.trim_start().starts_with("{{resolve:"),
        Json::Object(function) if function.has("Fn::Base64") => {
            let mut is_inside = true;
            if let Some(code) = function.get("Fn::Base64") {
                each_case(code, &Place::Root, &mut |code, _| is_inside &= is_inline(code, template));
            }
            is_inside
        }
        Json::Object(function) if function.has("Fn::FindInMap") => {
            function.get("Fn::FindInMap").is_some_and(|arguments| template.mapped(arguments).is_some())
        }
        Json::Object(function) if function.has("Fn::Sub") || function.has("Fn::Join") => {
            // A dynamic reference fetches the code, wherever in the composition it stands.
            let mut is_fetched = false;
            walk(code, &Place::Root, &mut |value, _| {
                is_fetched |= value.as_str().is_some_and(|text| text.contains("{{resolve:"));
                !is_fetched
            });
            if is_fetched {
                return false;
            }
            // Long code, or code that names other resources, is no `Text`, but is text of the template for sure.
            let only_refers = |text: Text| text.pieces().iter().all(|piece| matches!(piece, Piece::Ref(_)));
            !Text::read(code, template.parameters).is_ok_and(only_refers)
        }
        _ => false,
    }
}

/// Whether a bucket's name depends on the stage's account, directly or by a parameter.
pub(super) fn varies_by_account(bucket: &Text) -> bool {
    bucket.references().any(|name| name == "AWS::AccountId" || !name.starts_with("AWS::"))
}

fn read_spec(
    id: &str,
    properties: &Object<'_>,
    template: &Evaluate<'_>,
    unchecked: bool,
    findings: &mut Findings<'_>,
) -> FunctionSpec {
    let mut value_of = |property: &str, value: &Json<'_>| {
        let evaluated = template.text(value);
        if evaluated.is_none() && !unchecked {
            findings.say(
                Reason::TemplateNotSelfContained,
                format!("the `{property}` of function `{id}` cannot be told from the template, so its bundle cannot be held against it"),
            );
        }
        evaluated
    };
    let runtime = properties.get("Runtime").map(|it| value_of("Runtime", it).unwrap_or_default());
    let handler = properties.get("Handler").and_then(|it| value_of("Handler", it));
    let architecture = match properties.get("Architectures") {
        None => None,
        Some(Json::Array(one)) if one.len() == 1 => one.first().and_then(|it| value_of("Architectures", it)),
        Some(other) => value_of("Architectures", other),
    };
    if runtime.is_none() && !unchecked {
        findings.say(Reason::TemplateInvalid, format!("function `{id}` has no `Runtime`"));
    }
    let architecture = match architecture.as_deref() {
        None | Some("x86_64") => Architecture::X86_64,
        Some("arm64") => Architecture::Arm64,
        Some(other) => {
            findings.say(
                Reason::TemplateInvalid,
                format!("function `{id}` has the unknown architecture `{}`", shown(other)),
            );
            Architecture::X86_64
        }
    };
    FunctionSpec { runtime: runtime.unwrap_or_default(), handler, architecture }
}

/// What can be told of a property before there is a stage.
pub(super) struct Evaluate<'a> {
    pub(super) parameters: &'a BTreeMap<String, Parameter>,
    pub(super) mappings: &'a Object<'a>,
    pub(super) resources: &'a Object<'a>,
}

impl Evaluate<'_> {
    /// Whether a value refers to a resource of this type of the template.
    pub(super) fn refers_to(&self, value: &Json<'_>, r#type: &str) -> bool {
        let resource = value.get("Ref").and_then(Json::as_str).and_then(|id| self.resources.get(id));
        resource.is_some_and(|it| it.get("Type").and_then(Json::as_str) == Some(r#type))
    }

    /// A property's text under the parameters' defaults, or that all regions of a mapping agree on.
    fn text(&self, value: &Json<'_>) -> Option<String> {
        if let Some(arguments) = value.get("Fn::FindInMap") {
            return self.find_in_map(arguments);
        }
        let defaults = self.parameters.iter().filter_map(|(name, it)| Some((name.clone(), it.default.clone()?)));
        Text::read(value, self.parameters).ok()?.resolve(&defaults.collect())
    }

    /// Every value that `Fn::FindInMap` may come to: of all keys where the template names one by a reference.
    pub(super) fn mapped(&self, arguments: &Json<'_>) -> Option<Vec<&str>> {
        let Json::Array(arguments) = arguments else { return None };
        let [Json::String(map), first, second, ..] = arguments.as_slice() else { return None };
        let entries = self.mappings.get(map)?.as_object()?;
        let mut values = Vec::new();
        for (_, entry) in entries.iter().filter(|(key, _)| first.as_str().is_none_or(|first| first == *key)) {
            let members = entry.as_object()?.iter();
            for (_, value) in members.filter(|(key, _)| second.as_str().is_none_or(|second| second == *key)) {
                values.push(value.as_str()?);
            }
        }
        (!values.is_empty()).then_some(values)
    }

    /// CDK takes the newest Node.js of each region from a mapping: the values then differ by version only, and the
    /// bundle's shape is that of the family, so the highest stands for all.
    fn find_in_map(&self, arguments: &Json<'_>) -> Option<String> {
        let values: BTreeSet<&str> = self.mapped(arguments)?.into_iter().collect();
        let family =
            |runtime: &&str| runtime.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 'x').to_owned();
        let families: BTreeSet<String> = values.iter().map(family).collect();
        (families.len() == 1).then(|| values.last().map(|it| (*it).to_owned()))?
    }
}
