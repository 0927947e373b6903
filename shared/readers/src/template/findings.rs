//! What is found wrong with a template, and what the policy decides.

use std::collections::BTreeSet;

use gatekeeper_model::{
    finding::{Code, Finding},
    policy::Rules,
};
use serde::{Deserialize, Serialize};

use super::{
    images::{self, TaggedImage},
    json::Place,
};

/// The most findings that one template gets: enough to mend it by, and few enough to be stored.
pub(super) const MAX_FINDINGS: usize = 100;

/// A finding unless the policy says otherwise. Inspecting a template knows no policy, because what it finds is
/// remembered by the template's bytes alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What the policy must say for it to be none.
    pub unless: Unless,
    /// What it is otherwise.
    pub code: Code,
    /// In words.
    pub message: String,
}

/// What a policy says of what the gate can't know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unless {
    /// Its `known_types` name this type, `AWS::New::Thing`, or property, `AWS::Lambda::Function.NewProperty`.
    Known(String),
    /// Its `shared_accounts` have all of these, each of 12 digits.
    Shared(BTreeSet<String>),
}

impl Doubt {
    /// Whether it is a finding under these rules.
    #[must_use]
    pub fn stands(&self, rules: &Rules) -> bool {
        match &self.unless {
            Unless::Known(name) => !rules.known_types.contains(name),
            Unless::Shared(accounts) => !accounts.iter().all(|it| rules.shared_accounts.contains(it)),
        }
    }

    /// It as a finding about `subject`.
    #[must_use]
    pub fn finding(&self, subject: &str) -> Finding {
        Finding::new(self.code, subject, &self.message)
    }
}

/// The findings and doubts about one template, together bounded.
pub(super) struct Findings<'a> {
    subject: &'a str,
    list: Vec<Finding>,
    doubts: Vec<Doubt>,
    /// Places about whose accounts everything is said.
    settled: Vec<String>,
    /// The images that are named by a tag, which the manifest has to answer for.
    images: Vec<TaggedImage>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(subject: &'a str) -> Self {
        Self { subject, list: Vec::new(), doubts: Vec::new(), settled: Vec::new(), images: Vec::new() }
    }

    pub(super) fn say(&mut self, code: Code, message: impl Into<String>) {
        if !self.is_full() {
            self.list.push(Finding::new(code, self.subject, cut(message.into())));
        }
    }

    pub(super) fn doubt(&mut self, unless: Unless, code: Code, message: impl Into<String>) {
        if !self.is_full() {
            self.doubts.push(Doubt { unless, code, message: cut(message.into()) });
        }
    }

    /// Notes that nothing more is to be said of accounts at and below a place.
    pub(super) fn settle(&mut self, place: &Place<'_>) {
        if !self.is_full() {
            self.settled.push(place.to_string());
        }
    }

    pub(super) fn is_settled(&self, place: &str) -> bool {
        self.settled.iter().any(|it| {
            place.strip_prefix(it.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.list.len() + self.doubts.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_FINDINGS
    }

    /// Notes that a resource runs an image by its tag. Both who reads functions and who judges properties come by one.
    pub(super) fn image(&mut self, image: TaggedImage) {
        if self.images.len() >= images::MAX_IMAGES {
            let message = format!("it names more than {} images by their tags: divide the stack", images::MAX_IMAGES);
            self.say(Code::TemplateTooLarge, message);
        } else if !self.images.contains(&image) {
            self.images.push(image);
        }
    }

    pub(super) fn take_images(&mut self) -> Vec<TaggedImage> {
        std::mem::take(&mut self.images)
    }

    pub(super) fn into_parts(self) -> (Vec<Finding>, Vec<Doubt>) {
        (self.list, self.doubts)
    }
}

fn cut(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(1000) {
        message.truncate(end);
    }
    message
}
