//! The names that Pulumi gives resources: `urn:pulumi:dev::bank-platform::aws:s3/bucket:Bucket::artefacts`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest that is taken: types of nested components and a name.
const MAX_BYTES: usize = 2048;

/// A resource's name: its stack, its project, its type behind those of the components that it is in, and its own name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Urn(String);

/// Text that names no resource of Pulumi's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the URN of a resource, `urn:pulumi:STACK::PROJECT::TYPE::NAME`")]
pub struct InvalidUrn;

impl Urn {
    /// The URN as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts: stack, project, types and name. A name may hold `::`.
    fn parts(&self) -> [&str; 4] {
        let mut parts = self.0.strip_prefix(PREFIX).unwrap_or_default().splitn(4, "::");
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The stack, without its project.
    #[must_use]
    pub fn stack(&self) -> &str {
        let [stack, ..] = self.parts();
        stack
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &str {
        let [_, project, ..] = self.parts();
        project
    }

    /// Its own type, such as `aws:s3/bucket:Bucket`.
    #[must_use]
    pub fn own_type(&self) -> &str {
        let [_, _, types, _] = self.parts();
        types.rsplit('$').next().unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        let [.., name] = self.parts();
        name
    }
}

const PREFIX: &str = "urn:pulumi:";

impl FromStr for Urn {
    type Err = InvalidUrn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.len() <= MAX_BYTES && !text.chars().any(|c| c.is_control() || c == '`');
        let parts: Vec<_> = text.strip_prefix(PREFIX).ok_or(InvalidUrn)?.splitn(4, "::").collect();
        let whole = matches!(parts.as_slice(), [stack, project, types, name]
            if ![stack, project, types, name].iter().any(|part| part.is_empty()));
        if plain && whole { Ok(Self(text.to_owned())) } else { Err(InvalidUrn) }
    }
}

impl TryFrom<String> for Urn {
    type Error = InvalidUrn;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Urn> for String {
    fn from(urn: Urn) -> Self {
        urn.0
    }
}

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
