//! The name of a resource in a request: `payments-data/OrdersTable`, or Pulumi's URN of it.

use std::{fmt, str::FromStr};

use gatekeeper_model::ids::StackName;
use gatekeeper_readers::pulumi::Urn;
use serde::{Deserialize, Serialize};

/// The longest logical id (CloudFormation user guide, "Resources").
const MAX_LOGICAL_ID: usize = 255;

/// How deep stacks may nest here.
const MAX_DEPTH: usize = 10;

/// A resource, by its stack as the repository calls it and its logical id: `payments-data/OrdersTable`, and in a nested
/// stack `payments-data/Ledger/OrdersTable`. One of a Pulumi program goes by its URN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourcePath(Named);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    InStack { stack: StackName, ids: Vec<String> },
    ByUrn(Urn),
}

/// Text that names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no resource: a stack as the repository calls it, `/` and a logical id, such as \
     `payments-data/OrdersTable`, or a URN of Pulumi's without a comma"
)]
pub struct InvalidResourcePath(String);

impl ResourcePath {
    /// The resource with these logical ids, of which all but the last are nested stacks.
    #[must_use]
    pub fn of(stack: &StackName, ids: &[String]) -> Self {
        Self(Named::InStack { stack: stack.clone(), ids: ids.to_vec() })
    }

    /// The stack, as the repository calls it; `None` of a Pulumi program's resource.
    #[must_use]
    pub fn stack(&self) -> Option<&StackName> {
        match &self.0 {
            Named::InStack { stack, .. } => Some(stack),
            Named::ByUrn(_) => None,
        }
    }

    /// The URN of a Pulumi program's resource.
    #[must_use]
    pub fn urn(&self) -> Option<&Urn> {
        match &self.0 {
            Named::InStack { .. } => None,
            Named::ByUrn(urn) => Some(urn),
        }
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Named::InStack { stack, ids } => write!(f, "{stack}/{}", ids.join("/")),
            Named::ByUrn(urn) => urn.fmt(f),
        }
    }
}

impl FromStr for ResourcePath {
    type Err = InvalidResourcePath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidResourcePath(text.chars().filter(|c| !c.is_control()).take(100).collect());
        if let Ok(urn) = text.parse() {
            // What a request accepts is signed as one line, with commas between.
            return if text.contains(',') { Err(invalid()) } else { Ok(Self(Named::ByUrn(urn))) };
        }
        let (stack, ids) = text.split_once('/').ok_or_else(invalid)?;
        let ids: Vec<_> = ids.split('/').map(str::to_owned).collect();
        let is_id = |id: &String| {
            (1..=MAX_LOGICAL_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if ids.len() > MAX_DEPTH || !ids.iter().all(is_id) {
            return Err(invalid());
        }
        Ok(Self(Named::InStack { stack: stack.parse().map_err(|_| invalid())?, ids }))
    }
}

impl TryFrom<String> for ResourcePath {
    type Error = InvalidResourcePath;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ResourcePath> for String {
    fn from(path: ResourcePath) -> Self {
        path.to_string()
    }
}
