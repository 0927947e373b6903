//! The small expressions that say where a function's code lies.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Parameter, json::Json};
use crate::shown::shown;

/// The pseudo parameters that a stage gives a value to.
pub const PSEUDO_PARAMETERS: [&str; 5] =
    ["AWS::AccountId", "AWS::Partition", "AWS::Region", "AWS::StackName", "AWS::URLSuffix"];

/// The most bytes that a text may hold: an S3 key has 1,024, a bucket 63, a URL some more.
const MAX_BYTES: usize = 4096;

/// How deep functions may nest in a text: CDK nests two or three.
const MAX_DEPTH: usize = 8;

/// How many pieces one `Fn::Join` may take.
const MAX_ITEMS: usize = 200;

const DYNAMIC_REFERENCE: &str = "holds a dynamic reference, which only CloudFormation resolves";

/// A text that is known once the stage's parameters are: literal pieces and references to parameters.
///
/// It is what a string, `Ref`, `Fn::Sub` and `Fn::Join` can say together. Two texts are equal where they always
/// resolve alike, however they were spelt: neighbouring literals are one piece, empty ones none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text(Vec<Piece>);

/// A piece of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// The characters as they are.
    Literal(String),
    /// A parameter of the template, or one of [`PSEUDO_PARAMETERS`].
    Ref(String),
}

impl Text {
    /// The text that is `literal` whatever the stage.
    pub fn literal(literal: impl Into<String>) -> Self {
        let mut text = Self::default();
        text.push_literal(&literal.into());
        text
    }

    /// The text that is the value of one parameter.
    pub fn reference(name: impl Into<String>) -> Self {
        Self(vec![Piece::Ref(name.into())])
    }

    /// This text and `literal` behind it.
    #[must_use]
    pub fn then(mut self, literal: &str) -> Self {
        self.push_literal(literal);
        self
    }

    /// This text and `other` behind it.
    #[must_use]
    pub fn followed_by(mut self, other: &Self) -> Self {
        for piece in &other.0 {
            match piece {
                Piece::Literal(literal) => self.push_literal(literal),
                Piece::Ref(_) => self.0.push(piece.clone()),
            }
        }
        self
    }

    /// The whole text as the string of a `Fn::Sub`, where its literals are such strings already.
    #[must_use]
    pub fn as_sub(&self) -> String {
        let spell = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.clone(),
            Piece::Ref(name) => format!("${{{name}}}"),
        };
        self.0.iter().map(spell).collect()
    }

    /// Its pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The characters, where the text refers to nothing.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    /// The parameters that it refers to.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Ref(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The text under the values of parameters and pseudo parameters; `None` where one that it needs is missing.
    #[must_use]
    pub fn resolve(&self, values: &BTreeMap<String, String>) -> Option<String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => Some(literal.as_str()),
                Piece::Ref(name) => values.get(name).map(String::as_str),
            })
            .collect()
    }

    /// The text with those of its parameters resolved that have a value.
    #[must_use]
    pub fn resolve_known(&self, values: &BTreeMap<String, String>) -> Self {
        let mut text = Self::default();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_literal(literal),
                Piece::Ref(name) => match values.get(name) {
                    Some(value) => text.push_literal(value),
                    None => text.0.push(piece.clone()),
                },
            }
        }
        text
    }

    /// Reads a template's expression.
    ///
    /// # Errors
    /// Why it isn't a text, in words that follow "it".
    pub(super) fn read(value: &Json<'_>, parameters: &BTreeMap<String, Parameter>) -> Result<Self, String> {
        Expression { parameters, depth: 0 }.read(value)
    }

    fn push_literal(&mut self, literal: &str) {
        match self.0.last_mut() {
            _ if literal.is_empty() => {}
            Some(Piece::Literal(last)) => last.push_str(literal),
            _ => self.0.push(Piece::Literal(literal.to_owned())),
        }
    }

    /// Appends `other`, bounded: a variable of `Fn::Sub` may be named again and again, and its text hold others so.
    fn append(&mut self, other: &Self) -> Result<(), String> {
        for piece in &other.0 {
            match piece {
                Piece::Literal(literal) => self.append_literal(literal)?,
                Piece::Ref(name) => {
                    self.check_room(name.len())?;
                    self.0.push(piece.clone());
                }
            }
        }
        Ok(())
    }

    fn append_literal(&mut self, literal: &str) -> Result<(), String> {
        self.check_room(literal.len())?;
        self.push_literal(literal);
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<(), String> {
        let len = |piece: &Piece| match piece {
            Piece::Literal(it) | Piece::Ref(it) => it.len(),
        };
        if self.0.iter().map(len).sum::<usize>() + more > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        Ok(())
    }
}

impl fmt::Display for Text {
    /// As `Fn::Sub` would spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(literal) => f.write_str(&shown(literal)),
            Piece::Ref(name) => write!(f, "${{{name}}}"),
        })
    }
}

/// What an expression is read under. Its depth is bounded, so that reading every expression inside another one by
/// itself stays cheap too.
#[derive(Clone, Copy)]
struct Expression<'a> {
    parameters: &'a BTreeMap<String, Parameter>,
    depth: usize,
}

impl Expression<'_> {
    fn read(self, value: &Json<'_>) -> Result<Text, String> {
        let neither = || "is neither a string nor an intrinsic function".to_owned();
        match value {
            Json::String(literal) if literal.contains("{{resolve:") => Err(DYNAMIC_REFERENCE.to_owned()),
            Json::String(literal) => {
                let mut text = Text::default();
                text.append_literal(literal)?;
                Ok(text)
            }
            Json::Object(members) => {
                let mut members = members.iter();
                let (Some((function, argument)), None) = (members.next(), members.next()) else {
                    return Err(neither());
                };
                let inner = Self { depth: self.depth + 1, ..self };
                if inner.depth > MAX_DEPTH {
                    return Err(format!("nests functions deeper than {MAX_DEPTH}"));
                }
                match (function, argument) {
                    ("Ref", Json::String(name)) => self.reference(name),
                    ("Fn::Sub", argument) => inner.substitute(argument),
                    ("Fn::Join", Json::Array(arguments)) => inner.join(arguments),
                    (function, _) => Err(format!(
                        "uses `{}`, but only `Ref`, `Fn::Sub` and `Fn::Join` are understood here",
                        shown(function)
                    )),
                }
            }
            _ => Err(neither()),
        }
    }

    fn reference(self, name: &str) -> Result<Text, String> {
        if PSEUDO_PARAMETERS.contains(&name) {
            return Ok(Text::reference(name));
        }
        let Some(parameter) = self.parameters.get(name) else {
            return Err(format!("refers to `{}`, which is not a parameter", shown(name)));
        };
        // A list is many values, and of an SSM parameter the stage knows only the name.
        if parameter.r#type == "String" || parameter.r#type == "Number" {
            Ok(Text::reference(name))
        } else {
            let (name, r#type) = (shown(name), shown(&parameter.r#type));
            Err(format!("refers to the parameter `{name}` of type `{type}`, not `String`"))
        }
    }

    /// `Fn::Sub`: a string, or a string and variables of its own.
    fn substitute(self, argument: &Json<'_>) -> Result<Text, String> {
        let malformed = || "has a malformed `Fn::Sub`".to_owned();
        let mut variables = BTreeMap::new();
        let mut rest: &str = match argument {
            Json::String(template) => template,
            Json::Array(arguments) => {
                let [Json::String(template), Json::Object(own)] = arguments.as_slice() else {
                    return Err(malformed());
                };
                for (name, value) in own.iter() {
                    variables.insert(name, self.read(value)?);
                }
                template
            }
            _ => return Err(malformed()),
        };
        if rest.contains("{{resolve:") {
            return Err(DYNAMIC_REFERENCE.to_owned());
        }
        let mut text = Text::default();
        while let Some((before, after)) = rest.split_once("${") {
            text.append_literal(before)?;
            let (name, after) = after.split_once('}').ok_or_else(malformed)?;
            match (name.strip_prefix('!'), variables.get(name)) {
                // `${!Name}` is the literal `${Name}`.
                (Some(escaped), _) => text.append_literal(&format!("${{{escaped}}}"))?,
                (None, Some(own)) => text.append(own)?,
                (None, None) => text.append(&self.reference(name)?)?,
            }
            rest = after;
        }
        text.append_literal(rest)?;
        Ok(text)
    }

    /// `Fn::Join`: a delimiter and a list.
    fn join(self, arguments: &[Json<'_>]) -> Result<Text, String> {
        let [Json::String(delimiter), Json::Array(items)] = arguments else {
            return Err("has an `Fn::Join` that is not of a string and a list".to_owned());
        };
        if items.len() > MAX_ITEMS {
            return Err(format!("joins more than {MAX_ITEMS} pieces"));
        }
        let mut text = Text::default();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                text.append_literal(delimiter)?;
            }
            text.append(&self.read(item)?)?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::template::json;

    fn read(expression: &Value) -> Result<Text, String> {
        let document = expression.to_string();
        Text::read(&json::read(document.as_bytes()).unwrap().0, &parameters())
    }

    fn parameters() -> BTreeMap<String, Parameter> {
        [
            ("Bucket", "String"),
            ("Prefix", "String"),
            ("Names", "CommaDelimitedList"),
            ("Latest", "AWS::SSM::Parameter::Value<String>"),
        ]
        .map(|(name, r#type)| {
            let parameter = Parameter { has_default: false, r#type: r#type.to_owned(), default: None };
            (name.to_owned(), parameter)
        })
        .into()
    }

    fn values() -> BTreeMap<String, String> {
        [
            ("Bucket", "artefacts"),
            ("Prefix", "bank/0f/modules/MOD-012"),
            ("AWS::AccountId", "111122223333"),
            ("AWS::Region", "ap-southeast-2"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn check(expression: &Value, expect: &str) {
        let text = read(expression).unwrap();
        assert_eq!(text.resolve(&values()).unwrap(), expect, "{expression}");
    }

    fn refuse(expression: &Value) -> String {
        read(expression).unwrap_err()
    }

    #[test]
    fn strings_references_subs_and_joins_are_texts() {
        check(&json!("plain"), "plain");
        check(&json!(""), "");
        check(&json!({"Ref": "Bucket"}), "artefacts");
        check(
            &json!({"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}),
            "cdk-hnb659fds-assets-111122223333-ap-southeast-2",
        );
        check(
            &json!({"Fn::Sub": ["${A}/${Prefix}/${B}", {"A": {"Ref": "Bucket"}, "B": "x.zip"}]}),
            "artefacts/bank/0f/modules/MOD-012/x.zip",
        );
        check(
            &json!({"Fn::Join": ["/", [{"Ref": "Prefix"}, "functions", {"Fn::Sub": "${Bucket}.zip"}]]}),
            "bank/0f/modules/MOD-012/functions/artefacts.zip",
        );
    }

    #[test]
    fn a_sub_escapes_with_an_exclamation_mark_and_its_own_variables_come_first() {
        check(&json!({"Fn::Sub": "${!Bucket}"}), "${Bucket}");
        check(&json!({"Fn::Sub": ["${Bucket}", {"Bucket": "own"}]}), "own");
    }

    #[test]
    fn what_only_cloudformation_knows_is_no_text() {
        insta::assert_snapshot!(refuse(&json!({"Ref": "Table"})), @"refers to `Table`, which is not a parameter");
        insta::assert_snapshot!(refuse(&json!({"Ref": "Latest"})), @"refers to the parameter `Latest` of type `AWS::SSM::Parameter::Value<String>`, not `String`");
        insta::assert_snapshot!(refuse(&json!({"Ref": "Names"})), @"refers to the parameter `Names` of type `CommaDelimitedList`, not `String`");
        insta::assert_snapshot!(refuse(&json!({"Ref": "AWS::StackId"})), @"refers to `AWS::StackId`, which is not a parameter");
        insta::assert_snapshot!(refuse(&json!({"Fn::Sub": "${Table.Arn}"})), @"refers to `Table.Arn`, which is not a parameter");
        insta::assert_snapshot!(refuse(&json!({"Fn::Sub": "${Bucket"})), @"has a malformed `Fn::Sub`");
        insta::assert_snapshot!(refuse(&json!({"Fn::ImportValue": "x"})), @"uses `Fn::ImportValue`, but only `Ref`, `Fn::Sub` and `Fn::Join` are understood here");
        insta::assert_snapshot!(refuse(&json!({"Fn::Join": ["", {"Ref": "Names"}]})), @"has an `Fn::Join` that is not of a string and a list");
        insta::assert_snapshot!(refuse(&json!("{{resolve:ssm:/code/bucket}}")), @"holds a dynamic reference, which only CloudFormation resolves");
        insta::assert_snapshot!(refuse(&json!(12)), @"is neither a string nor an intrinsic function");
    }

    #[test]
    fn a_text_is_known_only_when_all_its_parameters_are() {
        let text = read(&json!({"Fn::Sub": "${Bucket}/${AWS::StackName}"})).unwrap();
        assert_eq!(text.resolve(&values()), None);
        assert_eq!(text.to_string(), "${Bucket}/${AWS::StackName}");
    }

    #[test]
    fn variables_that_multiply_themselves_end_at_the_limit() {
        let bomb = |levels: usize| {
            (0..levels).fold(json!("x".repeat(64)), |inner, _| json!({"Fn::Sub": ["${A}${A}${A}${A}", {"A": inner}]}))
        };
        assert!(read(&bomb(3)).is_ok());
        insta::assert_snapshot!(refuse(&bomb(4)), @"is longer than 4096 bytes");
        insta::assert_snapshot!(refuse(&bomb(30)), @"nests functions deeper than 8");
        insta::assert_snapshot!(refuse(&json!({"Fn::Join": ["", vec!["x"; 201]]})), @"joins more than 200 pieces");
    }

    proptest! {
        #[test]
        fn however_it_is_spelt_a_text_resolves_alike(parts in proptest::collection::vec("[a-z/.-]{0,6}", 1..6), value in ".{0,12}") {
            let glue = |between: &str| parts.join(between);
            let sub = read(&json!({"Fn::Sub": glue("${Bucket}")})).unwrap();
            let mut pieces = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    pieces.push(json!({"Ref": "Bucket"}));
                }
                pieces.push(json!(part));
            }
            let join = read(&json!({"Fn::Join": ["", pieces]})).unwrap();
            prop_assert_eq!(&sub, &join);
            let values = BTreeMap::from([("Bucket".to_owned(), value.clone())]);
            prop_assert_eq!(sub.resolve(&values).unwrap(), glue(&value));
            let stored: Text = serde_json::from_str(&serde_json::to_string(&sub).unwrap()).unwrap();
            prop_assert_eq!(stored, sub);
        }

        #[test]
        fn a_literal_is_itself_whatever_the_stage(literal in "[^$]{0,40}") {
            prop_assume!(!literal.contains("{{resolve:"));
            for expression in [json!(literal), json!({"Fn::Sub": literal}), json!({"Fn::Join": ["-", [literal]]})] {
                let text = read(&expression).unwrap();
                prop_assert_eq!(text.as_literal(), Some(literal.as_str()));
                prop_assert_eq!(text.resolve(&BTreeMap::new()), Some(literal.clone()));
            }
        }
    }
}
