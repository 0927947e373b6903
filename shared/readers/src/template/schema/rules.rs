//! What becomes of a property that carries or locates code.

use std::collections::BTreeSet;

use gatekeeper_model::finding::Code;

use super::{RULES, Resource};
use crate::template::{
    ExportName, Findings, TaggedImage,
    accounts::is_vendor,
    assets::is_asset,
    code::is_inline,
    findings::Unless,
    json::{Json, Place, each_case},
    text::{Piece, Text},
};

/// A line of rules.txt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) class: &'static str,
    pub(super) r#type: &'static str,
    pub(super) path: &'static str,
    pub(super) words: &'static str,
}

/// Every rule.
pub(super) fn all() -> impl Iterator<Item = Rule> {
    RULES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (class, rest) = line.split_once(' ')?;
        let (r#type, rest) = rest.split_once(' ')?;
        let (path, words) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Rule { class, r#type, path, words })
    })
}

/// The rules about a type.
pub(super) fn of(r#type: &str) -> impl Iterator<Item = Rule> {
    all().filter(move |rule| rule.r#type == r#type)
}

impl Rule {
    /// Judges one case of the property's value.
    pub(super) fn apply(
        self,
        resource: &Resource<'_>,
        value: &Json<'_>,
        place: &Place<'_>,
        findings: &mut Findings<'_>,
    ) {
        let (id, words) = (resource.id, self.words);
        match self.class {
            // The manifest has to answer for it.
            "fetches" | "code" if is_asset(value, resource.template.parameters, place) => {}
            "fetches" => findings.say(
                Code::TemplateNotSelfContained,
                format!("resource `{id}` fetches `{place}` at deploy time: {words}"),
            ),
            "code" => findings.say(
                Code::TemplateCodeOutsideStore,
                format!("resource `{id}` takes code by `{place}`, which is not in the store: {words}"),
            ),
            "asks" => self.ask(findings, &format!("resource `{id}` {words} (`{place}`)")),
            "image" => self.image(resource, value, place, findings),
            "ami" if !is_machine_image(resource, value) => self.ask(
                findings,
                &format!("resource `{id}` does not say which machine image it runs (`{place}`): name it by its id, or by a public parameter of AWS below `/aws/service/`"),
            ),
            "layers" => layers(resource, value, place, findings),
            "inline" if !is_inline(value, resource.template) => findings.say(
                Code::TemplateCodeOutsideStore,
                format!("the code of resource `{id}` is not in the template's own bytes: `{place}` only refers to it"),
            ),
            _ => {}
        }
    }

    fn ask(self, findings: &mut Findings<'_>, message: &str) {
        let name = format!("{}.{}", self.r#type, self.path);
        let message = format!("{message}; where that brings no code, name `{name}` in `known_types` of the policy");
        findings.doubt(Unless::Known(name), Code::TemplateCodeOutsideStore, message);
    }

    fn image(self, resource: &Resource<'_>, value: &Json<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
        let is_fine = |image: &str| {
            // CodeBuild's own images have no digest that one may name.
            is_by_digest(image) || (self.r#type == "AWS::CodeBuild::Project" && image.starts_with("aws/codebuild/"))
        };
        let images = endings(resource, value);
        if !images.is_empty() && images.iter().all(|image| is_fine(image)) {
            return;
        }
        match TaggedImage::read(value, resource, place) {
            Ok(tagged) => findings.image(tagged),
            Err(why) => findings.say(Code::TemplateCodeOutsideStore, format!("resource `{}` {why}", resource.id)),
        }
    }
}

/// Whether a value is an image by its digest, however it is put together.
pub(in crate::template) fn is_pinned_image(value: &Json<'_>, resource: &Resource<'_>) -> bool {
    let images = endings(resource, value);
    !images.is_empty() && images.iter().all(|image| is_by_digest(image))
}

fn is_by_digest(image: &str) -> bool {
    image.rsplit_once("@sha256:").is_some_and(|(_, digest)| {
        digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// How the texts end that a value may come to, as far as the template's own bytes say so; empty where they don't.
fn endings(resource: &Resource<'_>, value: &Json<'_>) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.clone().into_owned()],
        Json::Object(_) => {
            if let Some(arguments) = value.get("Fn::FindInMap") {
                return resource
                    .template
                    .mapped(arguments)
                    .unwrap_or_default()
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
            }
            match (value.get("Fn::Sub"), value.get("Fn::Join")) {
                (Some(Json::String(text)), None) => vec![text.clone().into_owned()],
                (Some(Json::Array(arguments)), None) => {
                    arguments.first().and_then(Json::as_str).map(str::to_owned).into_iter().collect()
                }
                (None, Some(Json::Array(arguments))) => {
                    let [Json::String(delimiter), Json::Array(items)] = arguments.as_slice() else { return Vec::new() };
                    let Some(last) = items.last() else { return Vec::new() };
                    endings(resource, last).into_iter().map(|end| format!("{delimiter}{end}")).collect()
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// Whether a value is a machine image that can't change, or one of AWS's own.
fn is_machine_image(resource: &Resource<'_>, value: &Json<'_>) -> bool {
    let is_fine = |image: &str| {
        let id =
            image.strip_prefix("ami-").is_some_and(|id| id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let public = image.strip_prefix("{{resolve:ssm:").or_else(|| image.strip_prefix("resolve:ssm:"));
        id || public.is_some_and(|parameter| parameter.starts_with("/aws/service/"))
    };
    if let Some(parameter) = value.get("Ref").and_then(Json::as_str) {
        let Some(parameter) = resource.template.parameters.get(parameter) else { return false };
        let default = parameter.default.as_deref().unwrap_or_default();
        let is_public =
            parameter.r#type.starts_with("AWS::SSM::Parameter::Value<") && default.starts_with("/aws/service/");
        return is_public || is_fine(default);
    }
    let images = endings(resource, value);
    !images.is_empty() && images.iter().all(|image| is_fine(image))
}

/// A function's layers hold code like its bundle.
fn layers(resource: &Resource<'_>, value: &Json<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
    let Json::Array(items) = value else {
        return untold_layer(resource, place, findings);
    };
    for (index, item) in items.iter().enumerate() {
        each_case(item, &place.index(index), &mut |layer, place| {
            let arns = match layer.get("Fn::FindInMap") {
                Some(arguments) => {
                    resource.template.mapped(arguments).unwrap_or_default().into_iter().map(Text::literal).collect()
                }
                None => Text::read(layer, resource.template.parameters).into_iter().collect::<Vec<_>>(),
            };
            findings.settle(place);
            // A layer that the template makes is judged itself, and one that it imports beside its commit's other templates.
            let import = layer.get("Fn::ImportValue");
            let import = import.and_then(|name| ExportName::read(name, resource.template.parameters));
            if import.is_some() || resource.template.refers_to(layer, "AWS::Lambda::LayerVersion") {
                return;
            }
            if arns.is_empty() {
                return untold_layer(resource, place, findings);
            }
            let mut accounts = BTreeSet::new();
            for arn in &arns {
                match account_of_layer(arn) {
                    Some(LayerOf::Vendor) => {}
                    Some(LayerOf::Account(account)) => drop(accounts.insert(account)),
                    Some(LayerOf::Stage) => {
                        let message = format!(
                            "function `{}` takes a layer of the stage's own account (`{place}`), which is not in the store: bundle it into the function",
                            resource.id
                        );
                        return findings.say(Code::TemplateCodeOutsideStore, message);
                    }
                    None => return untold_layer(resource, place, findings),
                }
            }
            if !accounts.is_empty() {
                let named = accounts.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "function `{}` takes a layer of the account {named} (`{place}`), which is no vendor's that this gate knows: bundle it into the function, or name the account in `shared_accounts` of the policy",
                    resource.id
                );
                findings.doubt(Unless::Shared(accounts), Code::TemplateCodeOutsideStore, message);
            }
        });
    }
}

fn untold_layer(resource: &Resource<'_>, place: &Place<'_>, findings: &mut Findings<'_>) {
    let message = format!(
        "the template does not say which layer function `{}` takes by `{place}`: bundle it into the function, or write the ARN of a vendor's layer with its version",
        resource.id
    );
    findings.say(Code::TemplateCodeOutsideStore, message);
}

/// Whose a layer is.
enum LayerOf {
    Vendor,
    Account(String),
    Stage,
}

/// Whose layer `arn:aws:lambda:{region}:{account}:layer:{name}:{version}` is.
fn account_of_layer(arn: &Text) -> Option<LayerOf> {
    // References stand for signs without colons, so that each part stays one.
    let signs = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Ref(name) if name == "AWS::AccountId" => "<account>".to_owned(),
        Piece::Ref(name) if name == "AWS::Region" || name == "AWS::Partition" => "<aws>".to_owned(),
        Piece::Ref(_) => "<?>".to_owned(),
    };
    let arn: String = arn.pieces().iter().map(signs).collect();
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", _, "lambda", _, account, "layer", name, version] = parts.as_slice() else { return None };
    if name.contains('<') || version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match *account {
        "<account>" => Some(LayerOf::Stage),
        account if is_vendor(account) => Some(LayerOf::Vendor),
        account if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) => {
            Some(LayerOf::Account(account.to_owned()))
        }
        _ => None,
    }
}
