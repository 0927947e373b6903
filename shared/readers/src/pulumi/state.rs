//! A stack's state, Pulumi's checkpoint: `.pulumi/stacks/{project}/{stack}.json`, and the copy that lies beside each entry
//! of its history.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de};

use super::{MAX_NAMES, Urn, bounds, told};
use crate::{
    bounded_json,
    dbt::object::{Collect, Listed, Object},
    shown::shown,
};

/// The depth of the strings that are kept: `{"checkpoint": {"latest": {"pending_operations": [{"resource": {"urn": …`.
const STRINGS_DOWN_TO: usize = 6;

/// The oldest format that is read, Pulumi 1.0's; what is kept is the same in all since.
const OLDEST: u64 = 3;

/// What is kept of a state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The number of the format.
    pub format: u64,
    /// The stack, such as `organization/bank-platform/dev`; empty of what `pulumi stack export` prints.
    pub stack: String,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    /// The engine that made it, such as `v3.276.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The plugins that the update used, each with its version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, String>,
    /// The resources that stand.
    pub resources: BTreeMap<Urn, Resource>,
    /// What of old resources is still to be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_be_deleted: Vec<Urn>,
    /// What an update was about to do when it broke off, by the resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<Urn, String>,
}

/// What is kept of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Whether a provider made it: not a component, nor the stack.
    pub is_custom: bool,
    /// Whether Pulumi refuses to delete it.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub is_protected: bool,
    /// Whether it stays where it leaves the stack.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub is_retained: bool,
}

/// Reads a state. What is wrong with it is told in words, and holds nothing of its values.
///
/// # Errors
/// Where `reader` fails.
pub fn read(reader: impl Read) -> io::Result<Result<State, String>> {
    let mut json = bounded_json::parser(reader, bounds(STRINGS_DOWN_TO));
    let read = Object::<Document>::deserialize(&mut json);
    Ok(match bounded_json::finish(json, read) {
        Ok(Object(document)) => document.state(),
        Err(failure) => Err(told(failure, "a stack's state")?),
    })
}

#[derive(Deserialize)]
struct Document {
    version: u64,
    #[serde(default)]
    checkpoint: Option<Object<Checkpoint>>,
    /// What `pulumi stack export` prints has it by itself.
    #[serde(default)]
    deployment: Option<Object<Deployment>>,
}

#[derive(Deserialize)]
struct Checkpoint {
    stack: String,
    /// A stack that was never updated has none.
    #[serde(default)]
    latest: Option<Object<Deployment>>,
}

#[derive(Deserialize)]
struct Deployment {
    manifest: Object<Manifest>,
    #[serde(default)]
    resources: Option<Listed<Resources>>,
    #[serde(default)]
    pending_operations: Option<Listed<Pending>>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    plugins: Option<Listed<Plugins>>,
}

#[derive(Default)]
struct Plugins(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Plugin {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

/// The most plugins that are kept.
const MAX_PLUGINS: usize = 1000;

impl Collect for Plugins {
    type Item = Object<Plugin>;

    fn take<E: de::Error>(&mut self, _: String, Object(plugin): Self::Item) -> Result<(), E> {
        self.add(&plugin.name, plugin.version)
    }
}

impl Plugins {
    fn add<E: de::Error>(&mut self, name: &str, version: Option<String>) -> Result<(), E> {
        if self.0.len() == MAX_PLUGINS {
            return Err(E::custom(format_args!("it has more than {MAX_PLUGINS} plugins")));
        }
        let version = version.map_or_else(|| "unknown".to_owned(), |version| shown(&version));
        // Two versions of one plugin may be used at once.
        let standing = self.0.entry(shown(name)).or_default();
        if !standing.split(", ").any(|it| it == version) {
            if !standing.is_empty() {
                standing.push_str(", ");
            }
            standing.push_str(&version);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the document")]
struct ResourceState {
    urn: String,
    #[serde(default)]
    custom: bool,
    #[serde(default)]
    delete: bool,
    #[serde(default)]
    protect: bool,
    #[serde(default)]
    retain_on_delete: bool,
    /// Only of a provider anything of them is kept.
    #[serde(default)]
    inputs: Option<Object<Inputs>>,
}

#[derive(Deserialize)]
struct Inputs {
    #[serde(default)]
    version: Option<Version>,
}

/// The version of a provider; of another resource a member of this name may be anything.
struct Version(Option<String>);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The longest version that is one.
        const MAX: usize = 64;

        struct VersionVisitor;

        impl<'de> de::Visitor<'de> for VersionVisitor {
            type Value = Version;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Version, E> {
                Ok(Version((text.len() <= MAX).then(|| text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Version, E> {
                Ok(Version(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Version, E> {
                Ok(Version(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Version, E> {
                Ok(Version(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Version, E> {
                Ok(Version(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Version, E> {
                Ok(Version(None))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Version, A::Error> {
                while items.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(Version(None))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<Version, A::Error> {
                while members.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(Version(None))
            }
        }

        deserializer.deserialize_any(VersionVisitor)
    }
}

#[derive(Default)]
struct Resources {
    bytes: usize,
    standing: BTreeMap<Urn, Resource>,
    /// The providers, each with its version: newer engines don't list their plugins.
    providers: Plugins,
    to_be_deleted: Vec<Urn>,
}

/// A resource's name; as much of a name that is none as a message may show would still be a value.
fn urn<E: de::Error>(text: &str, bytes: &mut usize) -> Result<Urn, E> {
    *bytes = bytes.saturating_add(text.len());
    if *bytes > MAX_NAMES {
        return Err(E::custom(format_args!("its resources have more than {MAX_NAMES} bytes of names")));
    }
    text.parse().map_err(|_| E::custom("a resource's `urn` is none"))
}

impl Collect for Resources {
    type Item = Object<ResourceState>;

    fn take<E: de::Error>(&mut self, _: String, Object(state): Self::Item) -> Result<(), E> {
        let urn = urn::<E>(&state.urn, &mut self.bytes)?;
        if let Some(provider) = urn.own_type().strip_prefix("pulumi:providers:") {
            let version = state.inputs.and_then(|Object(inputs)| inputs.version).and_then(|Version(version)| version);
            self.providers.add(provider, version)?;
        }
        if state.delete {
            self.to_be_deleted.push(urn);
            return Ok(());
        }
        let resource =
            Resource { is_custom: state.custom, is_protected: state.protect, is_retained: state.retain_on_delete };
        let said = shown(urn.as_str());
        match self.standing.insert(urn, resource) {
            None => Ok(()),
            Some(_) => Err(E::custom(format_args!("`{said}` is listed twice"))),
        }
    }
}

#[derive(Default)]
struct Pending {
    bytes: usize,
    operations: BTreeMap<Urn, String>,
}

#[derive(Deserialize)]
struct Operation {
    resource: Object<ResourceState>,
    r#type: String,
}

impl Collect for Pending {
    type Item = Object<Operation>;

    fn take<E: de::Error>(&mut self, _: String, Object(operation): Self::Item) -> Result<(), E> {
        let urn = urn::<E>(&operation.resource.0.urn, &mut self.bytes)?;
        self.operations.insert(urn, shown(&operation.r#type));
        Ok(())
    }
}

impl State {
    /// The project and the stack of its resources, as the resource that stands for the stack tells them.
    #[must_use]
    pub fn place(&self) -> Option<(&str, &str)> {
        let stack = self.resources.keys().find(|urn| urn.own_type() == "pulumi:pulumi:Stack")?;
        Some((stack.project(), stack.stack()))
    }
}

impl Document {
    fn state(self) -> Result<State, String> {
        if self.version < OLDEST {
            return Err(format!("its format is version {}, and those from {OLDEST} on are read", self.version));
        }
        let mut state = State { format: self.version, ..State::default() };
        let latest = match (self.checkpoint, self.deployment) {
            (Some(Object(checkpoint)), None) => {
                state.stack = shown(&checkpoint.stack);
                checkpoint.latest
            }
            (None, Some(deployment)) => Some(deployment),
            _ => return Err("it has neither `checkpoint` nor `deployment`, or both".to_owned()),
        };
        let Some(Object(latest)) = latest else { return Ok(state) };
        let Object(manifest) = latest.manifest;
        let time = manifest.time.map(|time| time.parse()).transpose();
        state.made_at = time.map_err(|_| "`manifest.time` is no time".to_owned())?;
        state.engine = manifest.version.as_deref().map(shown);
        state.plugins = manifest.plugins.map(|Listed(Plugins(plugins))| plugins).unwrap_or_default();
        if let Some(Listed(resources)) = latest.resources {
            (state.resources, state.to_be_deleted) = (resources.standing, resources.to_be_deleted);
            let Plugins(providers) = resources.providers;
            for (name, version) in providers {
                state.plugins.entry(name).or_insert(version);
            }
        }
        state.pending = latest.pending_operations.map(|Listed(it)| it.operations).unwrap_or_default();
        Ok(state)
    }
}
