//! The portable form of a template that was synthesised for one account, region and stage, as SST and CDK with an
//! explicit `env` do.
//!
//! SST writes dev's account, region and stage into every name, and building again for another stage changes every
//! bundle (ADR-053 problem 1). So the gate derives, from the four literals that the manifest declares, a template that
//! fits any stage: at each anchored place the literal becomes `AWS::AccountId`, `AWS::Region` or the parameter `Stage`,
//! which a promotion gives the stage's name (CONTRACT §6).
//!
//! # Invariants
//! * The form with dev's values *is* the stored template: [`derive`] proves it on what it is about to give, by the
//!   parsed JSON, and refuses otherwise. Nobody has to trust the anchors for that.
//! * Only whole words are replaced, and the stage's name only beside the application's, or as the whole value of
//!   something that is called a stage: never "dev" inside of a word, and never in a path such as `/dev/null`.
//! * Conditions, rules, mappings, parameters and the code of a template are left as they are: a condition that asks for
//!   dev's account would hold in every account otherwise.
//!
//! What is left of the stage's name is told by [`places_naming`].

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::Sha256,
    manifest::SynthesisedFor,
    verdict::TemplateForm,
};
use serde::{Deserialize, Serialize};

use crate::shown::shown;

use super::{
    forms::{self, Link, NestedStack},
    json,
    json::{Json, Object},
    text::{Piece, Text},
};

/// The parameter that takes the stage's name, which a promotion gives it (CONTRACT §6).
pub const STAGE_PARAMETER: &str = "Stage";

/// The parameter that takes the name of SST's own bucket, which the stage's configuration gives it.
pub const BOOTSTRAP_PARAMETER: &str = "SSTBootstrapBucket";

/// The most places that a form differs in: a template of 1 MB as SST writes it has some 5,000.
const MAX_SUBSTITUTIONS: usize = 20_000;

/// The most characters of all these places together.
const MAX_PLACES: usize = 8 * 1024 * 1024;

/// The most places that still name the stage which are told of one template.
const MAX_LEFT: usize = 100;

/// The portable form of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The template that fits any stage, as JSON.
    pub bytes: Vec<u8>,
    /// Where it differs from the stored template.
    pub mapping: Mapping,
    /// The mapping as it is signed: JSON with sorted keys and without blanks, as `jq -cS` writes it.
    pub mapping_bytes: Vec<u8>,
}

/// Where a form differs from the template that it was derived from: with dev's values at these places, it is that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// What the template was synthesised for.
    pub synthesised_for: SynthesisedFor,
    /// The SHA-256 of the stored template.
    pub template_sha256: Sha256,
    /// The SHA-256 of the form.
    pub form_sha256: Sha256,
    /// What the form declares for the parameter `Stage`, which the template doesn't.
    pub declares: Declares,
    /// What it declares beside that in the template's `Parameters`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<String>,
    /// Where it leads to the forms of nested templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nested: Vec<NestedStack>,
    /// The places, in the document's order.
    pub substitutions: Vec<Substitution>,
}

/// What a form declares so that it can refer to the parameter `Stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Declares {
    /// Nothing: the template declares the parameter itself, or the form doesn't refer to it.
    Nothing,
    /// The parameter, in the template's `Parameters`.
    Parameter,
    /// The section `Parameters` with this one parameter.
    Section,
}

/// One place where a form differs from its template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Substitution {
    /// The place in both documents, as a JSON pointer (RFC 6901).
    pub place: String,
    /// What stands there in the form; with dev's values it is the string that stands there in the template.
    pub text: Text,
}

/// A place of a template that names the stage that it was synthesised for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The place, as a JSON pointer (RFC 6901), cut to what a message shows.
    pub place: String,
    /// The text that stands there, cut to what a message shows.
    pub text: String,
}

/// Derives the portable form of a template. `subject` is what its findings are about.
///
/// # Errors
/// Why there is none: the template is no JSON object, declares `Stage` as something else, or would not come back.
pub fn derive(bytes: &[u8], made_for: &SynthesisedFor, subject: &str) -> Result<Form, Vec<Finding>> {
    derive_linked(bytes, made_for, &[], subject)
}

/// The same of a template that leads to the forms of nested ones.
pub(super) fn derive_linked(
    bytes: &[u8],
    made_for: &SynthesisedFor,
    links: &[Link],
    subject: &str,
) -> Result<Form, Vec<Finding>> {
    let refuse = |message: String| vec![Finding::new(Code::TemplateFormInvalid, subject, message)];
    let (mut root, _) = json::read(bytes).map_err(|error| vec![Finding::new(Code::TemplateInvalid, subject, error)])?;
    if root.get("Resources").is_some_and(|it| it.has(STAGE_PARAMETER)) {
        let message =
            format!("it has a resource `{STAGE_PARAMETER}`, which is the name of the form's parameter: rename it");
        return Err(refuse(message));
    }
    let mut writer = Writer { anchors: Anchors::of(made_for), substitutions: Vec::new(), room: MAX_PLACES };
    writer.rewrite_template(&mut root);
    if writer.room == 0 {
        return Err(refuse(format!("its form has more than {MAX_SUBSTITUTIONS} substitutions, or too long places")));
    }
    let substitutions = writer.substitutions;
    let nested = forms::link(&mut root, links).map_err(refuse)?;
    let refers = |parameter: &str| refers_to(&substitutions, &nested, parameter);
    let takes_bucket = refers(BOOTSTRAP_PARAMETER);
    let declares = if takes_bucket || refers(STAGE_PARAMETER) {
        declare_stage(&mut root).map_err(refuse)?
    } else {
        Declares::Nothing
    };
    let also =
        if takes_bucket { declare_also(&mut root, BOOTSTRAP_PARAMETER).map_err(refuse)? } else { BTreeSet::new() };
    let form = ascii(&root).map_err(|error| refuse(format!("its form can't be written: {error}")))?;
    drop(root);
    if let Some((stored, written)) = numbers(bytes).zip(numbers(&form)).find(|(stored, written)| stored != written) {
        let message = format!(
            "its form would have `{}` for the number `{}`: write it so, or as a string where it is a version",
            String::from_utf8_lossy(written),
            shown(&String::from_utf8_lossy(stored))
        );
        return Err(refuse(message));
    }
    let mapping = Mapping {
        synthesised_for: made_for.clone(),
        template_sha256: Sha256::of(bytes),
        form_sha256: Sha256::of(&form),
        declares,
        also,
        nested,
        substitutions,
    };
    mapping.prove(bytes, &form).map_err(refuse)?;
    let unwritten = |error: serde_json::Error| refuse(format!("its mapping can't be written: {error}"));
    // By way of a value, whose keys are sorted.
    let mapping_bytes = serde_json::to_value(&mapping).map_err(unwritten)?.to_string().into_bytes();
    Ok(Form { bytes: form, mapping, mapping_bytes })
}

/// What a value that goes by a name, such as a stack's tag, is in any stage.
#[must_use]
pub fn of_value(name: &str, value: &str, made_for: &SynthesisedFor) -> Text {
    let around = Around { called: name, ..Around::default() };
    Anchors::of(made_for).text(value, around).unwrap_or_else(|| Text::literal(value))
}

impl Form {
    /// What the verdict tells of it.
    #[must_use]
    pub fn told(&self) -> TemplateForm {
        TemplateForm {
            template_sha256: self.mapping.template_sha256,
            sha256: self.mapping.form_sha256,
            size: self.bytes.len() as u64,
            mapping_sha256: Sha256::of(&self.mapping_bytes),
            substitutions: self.mapping.substitutions.len() as u64,
            nested: BTreeMap::new(),
        }
    }
}

/// A substitution in words: what it replaces by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The place, as a JSON pointer (RFC 6901).
    pub place: String,
    /// The text of the stored template.
    pub from: String,
    /// The text of the stage, in which what only the stage's account tells stands as `Fn::Sub` spells it.
    pub to: String,
}

/// Whether a form refers to one of its parameters, or hands it on.
fn refers_to(substitutions: &[Substitution], nested: &[NestedStack], parameter: &str) -> bool {
    substitutions.iter().any(|it| it.text.references().any(|it| it == parameter))
        || nested.iter().any(|it| it.passes.contains(parameter))
}

/// Whether a parameter is one that forms declare.
pub(super) fn is_parameter(name: &str) -> bool {
    [STAGE_PARAMETER, BOOTSTRAP_PARAMETER].contains(&name)
}

impl Mapping {
    /// The parameters that the form has to be given, and whether the template declares them itself.
    pub(super) fn needs(&self) -> BTreeMap<&'static str, bool> {
        let is_own = |name: &str| match name {
            STAGE_PARAMETER => self.declares == Declares::Nothing,
            _ => !self.also.contains(name),
        };
        [STAGE_PARAMETER, BOOTSTRAP_PARAMETER]
            .into_iter()
            .map(|name| (name, is_own(name)))
            .filter(|(name, is_own)| !is_own || refers_to(&self.substitutions, &self.nested, name))
            .collect()
    }

    /// Every substitution, under the parameters that the stage has values for, and then the keys of nested templates, in
    /// whose place those of their forms stand.
    pub fn replaced(&self, values: &BTreeMap<String, String>) -> impl Iterator<Item = Replaced> {
        let dev = values_of(&self.synthesised_for);
        let substitutions = self.substitutions.iter().map(move |it| Replaced {
            place: it.place.clone(),
            from: it.text.resolve_known(&dev).as_sub(),
            to: it.text.resolve_known(values).as_sub(),
        });
        let keys = self.nested.iter().flat_map(|NestedStack { resource, templates, .. }| {
            templates.iter().map(move |(key, form)| Replaced {
                place: format!("/Resources/{resource}/Properties/TemplateURL"),
                from: key.to_string(),
                to: form.clone(),
            })
        });
        substitutions.chain(keys)
    }

    /// Proves that `form` with the values that the template was synthesised for is `template`, as parsed JSON.
    ///
    /// # Errors
    /// Where it is not, in words.
    pub fn prove(&self, template: &[u8], form: &[u8]) -> Result<(), String> {
        if (Sha256::of(template), Sha256::of(form)) != (self.template_sha256, self.form_sha256) {
            return Err("the mapping is of another template, or of another form".to_owned());
        }
        let (mut resolved, repeated) = json::read(form)?;
        if !repeated.is_empty() {
            return Err(format!("the form has the key `{}` twice", repeated.join("`, `")));
        }
        forms::unlink(&mut resolved, &self.nested)?;
        let mut resolver = Resolver { values: values_of(&self.synthesised_for), left: &self.substitutions };
        resolver.resolve(&mut resolved, &mut Pointer(String::new()))?;
        if let Some(Substitution { place, text }) = resolver.left.first() {
            return Err(format!("the form has not `{text}` at `{}`", shown(place)));
        }
        undeclare_also(&mut resolved, &self.also)?;
        undeclare_stage(&mut resolved, self.declares)?;
        let (stored, _) = json::read(template)?;
        if resolved == stored {
            Ok(())
        } else {
            Err("the form with the declared values does not give the stored template back".to_owned())
        }
    }
}

/// A document as JSON of ASCII alone: CloudFormation gives a template back with `?` for every other character
/// (aws-cloudformation/cloudformation-coverage-roadmap issues 814 and 1220), so that no proof by its bytes would hold.
fn ascii(root: &Json<'_>) -> serde_json::Result<Vec<u8>> {
    struct Ascii;

    impl serde_json::ser::Formatter for Ascii {
        fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
            for c in fragment.chars() {
                if c.is_ascii() {
                    writer.write_all(&[c as u8])?;
                } else {
                    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
                }
            }
            Ok(())
        }
    }

    let mut bytes = Vec::new();
    root.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Ascii))?;
    Ok(bytes)
}

/// The numbers of a JSON document as they are spelt, in its order: `13.10` and `13.1` are one number, and two versions of a
/// database's engine.
fn numbers(document: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut in_string) = (document, false);
    std::iter::from_fn(move || {
        loop {
            let (first, after) = rest.split_first()?;
            match first {
                b'\\' if in_string => rest = after.get(1..).unwrap_or_default(),
                b'"' => (in_string, rest) = (!in_string, after),
                b'-' | b'0'..=b'9' if !in_string => {
                    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                    let (number, after) = rest.split_at(rest.iter().position(|it| !is_part(it)).unwrap_or(rest.len()));
                    rest = after;
                    return Some(number);
                }
                _ => rest = after,
            }
        }
    })
}

/// The values that a form is resolved with to give the stored template.
fn values_of(made_for: &SynthesisedFor) -> BTreeMap<String, String> {
    let SynthesisedFor { account, region, stage, bootstrap_bucket, .. } = made_for;
    let values =
        [("AWS::AccountId", account.as_str()), ("AWS::Region", region.as_str()), (STAGE_PARAMETER, stage.as_str())];
    let bucket = bootstrap_bucket.as_ref().map(|bucket| (BOOTSTRAP_PARAMETER, bucket.as_str()));
    values.into_iter().chain(bucket).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Where a template still names a stage, by whole words in whatever case, in what is deployed: no descriptions, and no
/// names inside of the template, such as logical ids. A condition that asks for a stage, a mapping's entry of it and the
/// values that a parameter may have use nothing of the stage's.
#[must_use]
pub(super) fn places_naming(root: &Json<'_>, stage: &str) -> Vec<Left> {
    let mut left = Vec::new();
    for section in ["Resources", "Outputs", "Mappings", "Parameters"] {
        if let Some(members) = root.get(section) {
            find_stage(members, &mut Pointer(format!("/{section}")), stage, &mut left);
        }
    }
    left
}

fn find_stage(value: &Json<'_>, at: &mut Pointer, stage: &str, left: &mut Vec<Left>) {
    if left.len() >= MAX_LEFT {
        return;
    }
    match value {
        Json::String(text) if has_word(text, stage) => {
            left.push(Left { place: shown(&at.0), text: shown(text) });
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.within(&index.to_string(), |at| find_stage(item, at, stage, left));
            }
        }
        Json::Object(members) => {
            for (name, member) in members.iter() {
                if !is_no_use(name, member, at, stage) {
                    at.within(name, |at| find_stage(member, at, stage, left));
                }
            }
        }
        _ => {}
    }
}

/// Whether a member names a part of the template, is for its readers, or is of another stage's use.
fn is_no_use(name: &str, member: &Json<'_>, at: &Pointer, stage: &str) -> bool {
    let depth = at.0.matches('/').count();
    match name {
        "Ref" | "Fn::GetAtt" => true,
        "Description" => member.as_str().is_some(),
        // A resource's own attributes. What `cfn-init` reads of its metadata is done on a machine.
        "Type" | "Condition" | "DependsOn" => depth == 2 || (name == "Condition" && member.as_str().is_some()),
        "Metadata" => depth == 2 && !member.has("AWS::CloudFormation::Init"),
        "AllowedValues" => at.0.starts_with("/Parameters/"),
        STAGE_PARAMETER => at.0 == "/Parameters",
        _ => name == stage && at.0.starts_with("/Mappings/"),
    }
}

/// Whether the word stands in the text by itself, and not as the root of a path of devices, such as `/dev/null`.
fn has_word(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().match_indices(word).any(|(at, _)| {
        let (before, rest) = (text.get(..at).unwrap_or(""), text.get(at..).unwrap_or(""));
        let (found, after) = rest.split_at_checked(word.len()).unwrap_or((rest, ""));
        let last = |text: &str| text.chars().next_back();
        let first = |text: &str| text.chars().next();
        let is_device = word == "dev" && before.ends_with('/') && is_device(before, after);
        is_edge(last(before), first(found)) && is_edge(last(found), first(after)) && !is_device
    })
}

/// Whether a word begins or ends between two characters: `usersDev` has two.
fn is_edge(before: Option<char>, after: Option<char>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => {
            !before.is_alphanumeric() || !after.is_alphanumeric() || (before.is_lowercase() && after.is_uppercase())
        }
        _ => true,
    }
}

/// Whether `/dev` between these is Linux's folder of devices: at the start of a path that goes on with a known device.
fn is_device(before: &str, after: &str) -> bool {
    const DEVICES: [&str; 8] = ["null", "zero", "random", "urandom", "stdin", "stdout", "stderr", "tty"];
    let starts = before.strip_suffix('/').is_some_and(|it| !it.ends_with(|c: char| c.is_alphanumeric() || c == '}'));
    let Some(path) = after.strip_prefix('/') else { return false };
    let is_end = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-' | '_' | '.');
    let device = path.split(is_end).next().unwrap_or(path);
    // EBS calls its volumes `/dev/sda1`, `/dev/xvdf`, `/dev/nvme1n1` and so on.
    let is_volume = |prefix: &str| {
        device.strip_prefix(prefix).is_some_and(|rest| {
            let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
            (1..=2).contains(&(rest.len() - digits.len())) && digits.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let is_nvme = device.strip_prefix("nvme").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_folder = ["shm/", "fd/", "disk/by-"].iter().any(|folder| device.starts_with(folder)) || device == "shm";
    starts && (DEVICES.contains(&device) || ["sd", "xvd", "hd"].into_iter().any(is_volume) || is_nvme || is_folder)
}

/// A JSON pointer (RFC 6901) that grows and shrinks with a walk.
struct Pointer(String);

impl Pointer {
    fn within<T>(&mut self, step: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.0.len();
        self.0.push('/');
        self.0.push_str(&step.replace('~', "~0").replace('/', "~1"));
        let walked = walk(self);
        self.0.truncate(len);
        walked
    }
}

/// Puts values into a form, at the places of a mapping. Both are in the document's order, so one walk finds all of them.
struct Resolver<'m> {
    values: BTreeMap<String, String>,
    /// The substitutions that are still ahead.
    left: &'m [Substitution],
}

impl Resolver<'_> {
    fn resolve(&mut self, value: &mut Json<'_>, at: &mut Pointer) -> Result<(), String> {
        let Some((Substitution { place, text }, ahead)) = self.left.split_first() else { return Ok(()) };
        if *place == at.0 {
            let is_there = *value == expression(text) || value.as_str() == Some(text.as_sub().as_str());
            let resolved = text.resolve(&self.values).filter(|_| is_there);
            let resolved = resolved.ok_or_else(|| format!("the form has not `{text}` at `{}`", shown(place)))?;
            *value = Json::String(resolved.into());
            self.left = ahead;
            return Ok(());
        }
        // What lies elsewhere needs no walk.
        if !place.starts_with(at.0.as_str()) {
            return Ok(());
        }
        match value {
            Json::Object(members) => {
                members.iter_mut().try_for_each(|(name, member)| at.within(name, |at| self.resolve(member, at)))
            }
            Json::Array(items) => {
                let mut items = items.iter_mut().enumerate();
                items.try_for_each(|(index, item)| at.within(&index.to_string(), |at| self.resolve(item, at)))
            }
            _ => Ok(()),
        }
    }
}

/// Declares the parameter `Stage`, unless the template does.
fn declare_stage(root: &mut Json<'_>) -> Result<Declares, String> {
    let Json::Object(sections) = root else { return Ok(Declares::Nothing) };
    let declared = declaration();
    match sections.get_mut("Parameters") {
        None => {
            sections.push("Parameters", Json::Object(Object::from_iter([(STAGE_PARAMETER, declared)])));
            Ok(Declares::Section)
        }
        Some(Json::Object(parameters)) => match parameters.get(STAGE_PARAMETER) {
            None => {
                parameters.push(STAGE_PARAMETER, declared);
                Ok(Declares::Parameter)
            }
            Some(own) if own.get("Type").and_then(Json::as_str) == Some("String") => Ok(Declares::Nothing),
            Some(_) => Err(format!(
                "its parameter `{STAGE_PARAMETER}` is not of the type `String`, and a promotion gives it the stage's name: rename it"
            )),
        },
        // Reading the template says that they are no object.
        Some(_) => Ok(Declares::Nothing),
    }
}

/// Declares a parameter beside `Stage`, which is there.
fn declare_also(root: &mut Json<'_>, parameter: &'static str) -> Result<BTreeSet<String>, String> {
    let Json::Object(sections) = root else { return Ok(BTreeSet::new()) };
    let Some(Json::Object(parameters)) = sections.get_mut("Parameters") else { return Ok(BTreeSet::new()) };
    if parameters.has(parameter) {
        return Err(format!("it has a parameter `{parameter}`, which is the name of one of the form's: rename it"));
    }
    parameters.push(parameter, declaration());
    Ok(BTreeSet::from([parameter.to_owned()]))
}

/// Takes these declarations out again, where they are exactly those that a form has.
fn undeclare_also(root: &mut Json<'_>, also: &BTreeSet<String>) -> Result<(), String> {
    let Json::Object(sections) = root else { return Ok(()) };
    for parameter in also {
        let is_known = parameter == BOOTSTRAP_PARAMETER;
        match sections.get_mut("Parameters") {
            Some(Json::Object(parameters)) if is_known && parameters.get(parameter) == Some(&declaration()) => {
                parameters.remove(parameter);
            }
            _ => return Err(format!("the form does not declare the parameter `{}` as it should", shown(parameter))),
        }
    }
    Ok(())
}

/// Takes the declaration out again, where it is exactly the one that a form has.
fn undeclare_stage(root: &mut Json<'_>, declares: Declares) -> Result<(), String> {
    let Json::Object(sections) = root else { return Ok(()) };
    let declared = declaration();
    let exactly = |it: Option<&Json<'_>>| it == Some(&declared);
    let is_as_declared = match (declares, sections.get("Parameters")) {
        (Declares::Nothing, _) => return Ok(()),
        (Declares::Section, Some(Json::Object(it))) => it.len() == 1 && exactly(it.get(STAGE_PARAMETER)),
        (Declares::Parameter, Some(Json::Object(it))) => exactly(it.get(STAGE_PARAMETER)),
        _ => false,
    };
    if !is_as_declared {
        return Err(format!("the form declares more than the parameter `{STAGE_PARAMETER}` of the type `String`"));
    }
    match (declares, sections.get_mut("Parameters")) {
        (Declares::Parameter, Some(Json::Object(parameters))) => parameters.remove(STAGE_PARAMETER),
        _ => sections.remove("Parameters"),
    }
    Ok(())
}

/// The parameter as a form declares it.
fn declaration() -> Json<'static> {
    Json::Object(Object::from_iter([("Type", Json::String("String".into()))]))
}

/// A text as CloudFormation's functions say it: `Ref`, or `Fn::Join`, whose strings need no escapes.
fn expression(text: &Text) -> Json<'static> {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(literal) => Json::String(literal.clone().into()),
        Piece::Ref(name) => Json::Object(Object::from_iter([("Ref", Json::String(name.clone().into()))])),
    };
    match text.pieces() {
        [one @ Piece::Ref(_)] => piece(one),
        pieces => {
            let pieces = pieces.iter().map(piece).collect();
            let arguments = vec![Json::String("".into()), Json::Array(pieces)];
            Json::Object(Object::from_iter([("Fn::Join", Json::Array(arguments))]))
        }
    }
}

/// Rewrites a template in place, and keeps where.
struct Writer {
    anchors: Anchors,
    substitutions: Vec<Substitution>,
    /// How many characters the places may have that are still to come; 0 once there is no more room.
    room: usize,
}

/// What stands around a string.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    /// The name that its value goes by: the key of an object, or of a tag.
    called: &'a str,
    /// The characters before and behind it, where other text is joined to it; `None` of one that can't be told.
    before: Neighbour,
    after: Neighbour,
}

/// The character beside a string.
#[derive(Clone, Copy, Default)]
enum Neighbour {
    /// There is none: the string ends there.
    #[default]
    Nothing,
    /// This one.
    Char(char),
    /// One that only the stage tells.
    Unknown,
}

impl Writer {
    fn keep(&mut self, at: &Pointer, text: Text) {
        self.room = self.room.saturating_sub(at.0.len().max(1));
        if self.substitutions.len() >= MAX_SUBSTITUTIONS {
            self.room = 0;
        }
        if self.room > 0 {
            self.substitutions.push(Substitution { place: at.0.clone(), text });
        }
    }

    /// Rewrites the document from its beginning to its end, so that the substitutions are in its order.
    fn rewrite_template(&mut self, root: &mut Json<'_>) {
        let Json::Object(sections) = root else { return };
        for (section, members) in sections.iter_mut() {
            let Json::Object(members) = members else { continue };
            for (id, member) in members.iter_mut() {
                let mut at = Pointer(format!("/{section}"));
                at.within(id, |at| match section {
                    "Resources" => self.rewrite_resource(member, at),
                    "Outputs" => self.rewrite_members(member, at, &["Value", "Export"]),
                    _ => {}
                });
            }
        }
    }

    fn rewrite_resource(&mut self, resource: &mut Json<'_>, at: &mut Pointer) {
        let r#type = resource.get("Type").and_then(Json::as_str).unwrap_or("");
        // The stages of an API are its own.
        self.anchors.has_stages_of_its_own = r#type.starts_with("AWS::ApiGateway");
        self.rewrite_members(resource, at, &["Properties"]);
        self.anchors.has_stages_of_its_own = false;
    }

    fn rewrite_members(&mut self, value: &mut Json<'_>, at: &mut Pointer, names: &[&str]) {
        let Json::Object(members) = value else { return };
        for (name, member) in members.iter_mut().filter(|(name, _)| names.contains(name)) {
            at.within(name, |at| self.rewrite(member, at, Around::default()));
        }
    }

    /// Rewrites every string below a value that may be an expression instead.
    fn rewrite(&mut self, value: &mut Json<'_>, at: &mut Pointer, around: Around<'_>) {
        match value {
            Json::String(text) => {
                if let Some(text) = self.anchors.text(text, around) {
                    *value = expression(&text);
                    self.keep(at, text);
                }
            }
            Json::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let around = Around { called: around.called, ..Around::default() };
                    at.within(&index.to_string(), |at| self.rewrite(item, at, around));
                }
            }
            Json::Object(members) => {
                let function = match members.keys().collect::<Vec<_>>().as_slice() {
                    [one] if one.starts_with("Fn::") || *one == "Ref" => Some((*one).to_owned()),
                    _ => None,
                };
                if let Some(function) = function {
                    let Some(argument) = members.get_mut(&function) else { return };
                    at.within(&function, |at| self.rewrite_function(&function, argument, at, around));
                    return;
                }
                let tag = members.get("Key").and_then(Json::as_str).map(str::to_owned);
                for (name, member) in members.iter_mut() {
                    if is_code(name, member) {
                        continue;
                    }
                    let called = match &tag {
                        Some(tag) if name == "Value" => tag.as_str(),
                        _ => name,
                    };
                    let around = Around { called, ..Around::default() };
                    at.within(name, |at| self.rewrite(member, at, around));
                }
            }
            _ => {}
        }
    }

    /// Rewrites those arguments of an intrinsic function that may be expressions (CloudFormation template reference,
    /// "Intrinsic functions", "Supported functions").
    fn rewrite_function(&mut self, function: &str, argument: &mut Json<'_>, at: &mut Pointer, around: Around<'_>) {
        match (function, argument) {
            ("Fn::Join", Json::Array(arguments)) => {
                if let [Json::String(between), Json::Array(items)] = arguments.as_mut_slice() {
                    let between = between.clone();
                    at.within("1", |at| self.rewrite_joined(&between, items, at, around));
                }
            }
            ("Fn::Sub", argument @ Json::String(_)) => self.rewrite_sub(argument, &[], at, around),
            ("Fn::Sub", Json::Array(arguments)) => {
                if let [template, Json::Object(variables)] = arguments.as_mut_slice() {
                    let own: Vec<String> = variables.keys().map(str::to_owned).collect();
                    at.within("0", |at| self.rewrite_sub(template, &own, at, around));
                    at.within("1", |at| {
                        for (name, variable) in variables.iter_mut() {
                            at.within(name, |at| self.rewrite(variable, at, Around::default()));
                        }
                    });
                }
            }
            ("Fn::Select" | "Fn::Split", Json::Array(arguments)) => {
                if let [_, argument] = arguments.as_mut_slice() {
                    at.within("1", |at| self.rewrite(argument, at, Around::default()));
                }
            }
            ("Fn::If", Json::Array(arguments)) => {
                for (index, branch) in arguments.iter_mut().enumerate().skip(1) {
                    at.within(&index.to_string(), |at| self.rewrite(branch, at, around));
                }
            }
            ("Fn::ImportValue" | "Fn::GetAZs", argument) => self.rewrite(argument, at, Around::default()),
            _ => {}
        }
    }

    /// The items of a `Fn::Join`: each has the one before and the one behind it as its neighbours.
    /// The first and the last have those of the whole.
    fn rewrite_joined(&mut self, between: &str, items: &mut [Json<'_>], at: &mut Pointer, around: Around<'_>) {
        let edges: Vec<(Neighbour, Neighbour)> = items
            .iter()
            .map(|item| match item {
                Json::String(text) => {
                    let edge = |c: Option<char>| c.map_or(Neighbour::Unknown, Neighbour::Char);
                    (edge(text.chars().next()), edge(text.chars().next_back()))
                }
                _ => (Neighbour::Unknown, Neighbour::Unknown),
            })
            .collect();
        let stages = self.anchors.joined_stages(between, items, around);
        for (index, item) in items.iter_mut().enumerate() {
            if stages.contains(&index) {
                let text = Text::reference(STAGE_PARAMETER);
                *item = expression(&text);
                at.within(&index.to_string(), |at| self.keep(at, text));
                continue;
            }
            let before = match (index.checked_sub(1).and_then(|it| edges.get(it)), between.chars().next_back()) {
                (None, _) => around.before,
                (Some(_), Some(c)) => Neighbour::Char(c),
                (Some((_, last)), None) => *last,
            };
            let after = match (edges.get(index + 1), between.chars().next()) {
                (None, _) => around.after,
                (Some(_), Some(c)) => Neighbour::Char(c),
                (Some((first, _)), None) => *first,
            };
            let around = Around { called: "", before, after };
            at.within(&index.to_string(), |at| self.rewrite(item, at, around));
        }
    }

    /// The string of a `Fn::Sub`: what is replaced becomes `${…}` in it. Its own variables must not mean something else.
    fn rewrite_sub(&mut self, template: &mut Json<'_>, own: &[String], at: &Pointer, around: Around<'_>) {
        let Json::String(string) = template else { return };
        let mut text = Text::default();
        let (mut rest, mut before) = (string.as_ref(), around.before);
        loop {
            let variable = rest.find("${").and_then(|open| Some((open, open + rest.get(open..)?.find('}')? + 1)));
            let (open, close) = variable.unwrap_or((rest.len(), rest.len()));
            let (Some(plain), Some(variable)) = (rest.get(..open), rest.get(open..close)) else { return };
            let after = if variable.is_empty() { around.after } else { Neighbour::Unknown };
            let replaced = self.anchors.text(plain, Around { called: "", before, after });
            text = text.followed_by(&replaced.unwrap_or_else(|| Text::literal(plain))).then(variable);
            before = Neighbour::Unknown;
            rest = rest.get(close..).unwrap_or("");
            if variable.is_empty() {
                break;
            }
        }
        let clashes = text.references().any(|name| own.iter().any(|own| own == name));
        if text.references().next().is_some() && !clashes {
            *template = Json::String(text.as_sub().into());
            self.keep(at, text);
        }
    }
}

/// Whether a property is a program, or says where one begins: what that says of a stage is not known here, and what was
/// tested has to run. It is told by [`places_naming`].
fn is_code(name: &str, value: &Json<'_>) -> bool {
    match name {
        "FunctionCode" | "Handler" | "InlineCode" | "Runtime" | "UserData" | "ZipFile" => true,
        // A function's, which is an object that says where it lies, is none.
        "Code" => value.as_str().is_some() || value.has("Fn::Sub") || value.has("Fn::Join"),
        _ => false,
    }
}

/// What a literal has to stand beside for it to be the declared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Anything but a letter or a digit.
    Word,
    /// Anything that doesn't go on with a name: no letter, digit, `-`, `_` or `.`.
    Name,
    /// Anything.
    Any,
}

/// A text that names the account, the region or the stage, and what it becomes.
struct Anchor {
    needle: String,
    text: Text,
    before: Edge,
    after: Edge,
}

struct Anchors {
    list: Vec<Anchor>,
    stage: String,
    application: String,
    /// Whether what is called a stage here is one of an API.
    has_stages_of_its_own: bool,
}

impl Anchors {
    fn of(made_for: &SynthesisedFor) -> Self {
        let SynthesisedFor { account, region, stage, application, bootstrap_bucket } = made_for;
        let (stage, application) = (stage.as_str(), application.as_str());
        let name = || Text::reference(STAGE_PARAMETER);
        let anchor = |needle: String, text: Text, before: Edge, after: Edge| Anchor { needle, text, before, after };
        let list = vec![
            // `dev-bank-payments-table`, as SST calls what it makes.
            anchor(format!("{stage}-{application}"), name().then(&format!("-{application}")), Edge::Name, Edge::Word),
            // `bank-payments-dev-table`, as Serverless calls it.
            anchor(
                format!("{application}-{stage}"),
                Text::literal(format!("{application}-")).followed_by(&name()),
                Edge::Name,
                Edge::Word,
            ),
            // `sls-bank-payments-dev-HttpApiId`, as it calls what it exports.
            anchor(
                format!("sls-{application}-{stage}"),
                Text::literal(format!("sls-{application}-")).followed_by(&name()),
                Edge::Name,
                Edge::Word,
            ),
            // `/sst/bank-payments/dev/Secret/…`, and the same the other way round.
            anchor(
                format!("{application}/{stage}"),
                Text::literal(format!("{application}/")).followed_by(&name()),
                Edge::Name,
                Edge::Name,
            ),
            anchor(format!("{stage}/{application}"), name().then(&format!("/{application}")), Edge::Name, Edge::Name),
            // In JSON that is a string of the template, as SST's metadata of a stack.
            anchor(
                format!("\"stage\":\"{stage}\""),
                Text::literal("\"stage\":\"").followed_by(&name()).then("\""),
                Edge::Any,
                Edge::Any,
            ),
            anchor(account.to_string(), Text::reference("AWS::AccountId"), Edge::Word, Edge::Word),
            anchor(region.to_string(), Text::reference("AWS::Region"), Edge::Word, Edge::Word),
        ];
        let bucket = bootstrap_bucket
            .as_ref()
            .map(|bucket| anchor(bucket.to_string(), Text::reference(BOOTSTRAP_PARAMETER), Edge::Name, Edge::Name));
        let list = list.into_iter().chain(bucket).collect();
        let (stage, application) = (stage.to_owned(), application.to_owned());
        Self { list, stage, application, has_stages_of_its_own: false }
    }

    /// Which items of a `Fn::Join` are the stage beside the application, as Serverless joins the names of its roles.
    fn joined_stages(&self, between: &str, items: &[Json<'_>], around: Around<'_>) -> BTreeSet<usize> {
        let (delimiter, edge) = match between {
            "-" => ('-', Edge::Word),
            "/" => ('/', Edge::Name),
            _ => return BTreeSet::new(),
        };
        let delimiter = Neighbour::Char(delimiter);
        let item = |index: usize| items.get(index).and_then(Json::as_str);
        let beside = |inside: Option<char>, is_last: bool, outside: Neighbour| {
            inside.map_or(if is_last { outside } else { delimiter }, Neighbour::Char)
        };
        let follows = |index: usize| {
            let earlier = index.checked_sub(1);
            let Some(rest) = earlier.and_then(item).and_then(|it| it.strip_suffix(&self.application)) else {
                return false;
            };
            let before = beside(rest.chars().next_back(), index == 1, around.before);
            Edge::Name.fits(before) && edge.fits(beside(None, index + 1 == items.len(), around.after))
        };
        let precedes = |index: usize| {
            let Some(rest) = item(index + 1).and_then(|it| it.strip_prefix(&self.application)) else { return false };
            let after = beside(rest.chars().next(), index + 2 == items.len(), around.after);
            Edge::Name.fits(beside(None, index == 0, around.before)) && edge.fits(after)
        };
        let stages = (0..items.len()).filter(|index| item(*index) == Some(&self.stage));
        stages.filter(|index| follows(*index) || precedes(*index)).collect()
    }

    /// What a string becomes; none where it names nothing.
    fn text(&self, string: &str, around: Around<'_>) -> Option<Text> {
        let stands_alone = matches!((around.before, around.after), (Neighbour::Nothing, Neighbour::Nothing));
        let is_of_api = self.has_stages_of_its_own && matches!(around.called, "Stage" | "StageName" | "stage");
        if string == self.stage && stands_alone && says_stage(around.called) && !is_of_api {
            return Some(Text::reference(STAGE_PARAMETER));
        }
        let (mut text, mut done) = (Text::default(), 0);
        // Where each anchor is found next, so that a string is read once for each of them.
        let mut found: Vec<_> = self.list.iter().map(|it| (it, it.places(string, around))).collect();
        let mut next: Vec<_> = found.iter_mut().map(|(_, places)| places.next()).collect();
        loop {
            for ((_, places), next) in found.iter_mut().zip(&mut next) {
                while next.is_some_and(|at| at < done) {
                    *next = places.next();
                }
            }
            let ahead = found.iter().zip(&next).filter_map(|((anchor, _), at)| Some((*anchor, (*at)?)));
            let Some((anchor, start)) = ahead.min_by_key(|(_, at)| *at) else { break };
            text = text.then(string.get(done..start)?).followed_by(&anchor.text);
            done = start + anchor.needle.len();
        }
        (done > 0).then(|| text.then(string.get(done..).unwrap_or("")))
    }
}

impl Anchor {
    /// Where it stands in a string, in order.
    fn places<'s>(&'s self, string: &'s str, around: Around<'s>) -> impl Iterator<Item = usize> + 's {
        let found = string.match_indices(self.needle.as_str()).map(|(at, _)| at);
        found.filter(move |at| self.stands(string, *at, around))
    }

    fn stands(&self, string: &str, at: usize, around: Around<'_>) -> bool {
        let before = string.get(..at).and_then(|it| it.chars().next_back());
        let after = string.get(at + self.needle.len()..).and_then(|it| it.chars().next());
        let beside = |inside: Option<char>, outside: Neighbour| inside.map_or(outside, Neighbour::Char);
        self.before.fits(beside(before, around.before)) && self.after.fits(beside(after, around.after))
    }
}

impl Edge {
    fn fits(self, neighbour: Neighbour) -> bool {
        match (self, neighbour) {
            (Self::Any, _) | (_, Neighbour::Nothing) => true,
            (_, Neighbour::Unknown) => false,
            (Self::Word, Neighbour::Char(c)) => !c.is_alphanumeric(),
            (Self::Name, Neighbour::Char(c)) => !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.'),
        }
    }
}

/// Whether a value goes by a name that says it is a stage: `SST_STAGE`, `sst:stage`, `stage`, `deploymentStage`,
/// `ENVIRONMENT`. The stages of an API are its own.
fn says_stage(called: &str) -> bool {
    // Node.js has two environments of its own.
    if matches!(called, "StageName" | "NODE_ENV") {
        return false;
    }
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in called.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
    }
    words.iter().any(|word| matches!(word.as_str(), "stage" | "env" | "environment"))
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
