//! The stages as people know them: in the order in which the configuration names them.

use std::fmt;

use gatekeeper_model::{ids::StageName, store_key::RecordKey};
use gatekeeper_promotion::{
    stage,
    stage::{Stage, StagesConfig},
};
use gatekeeper_store::ReadStore;
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{exit::Misuse, nearest::meant};

/// What the configuration says, as far as it can be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stages {
    /// The stages' names, in the order of the document.
    pub(crate) order: Vec<StageName>,
    /// What it says of them; `None` where there is none that can be read.
    pub(crate) config: Option<StagesConfig>,
    /// Why it can't be read.
    pub(crate) trouble: Option<String>,
}

impl Stages {
    /// Reads the configuration. What is wrong with it is told and stops nobody from looking at records.
    pub(crate) async fn read(records: &impl ReadStore) -> Self {
        let body = match records.get(&RecordKey::StagesConfig.to_string(), None, stage::MAX_BYTES).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                return Self::troubled("no stage is configured yet: there is no `config/stages.json`".to_owned());
            }
            Err(error) => {
                let why = gatekeeper_model::telemetry::chain(&error);
                return Self::troubled(format!("the stages' configuration could not be read: {why}"));
            }
        };
        match StagesConfig::parse(&body.bytes) {
            Ok(config) => Self { order: names(&body.bytes), config: Some(config), trouble: None },
            Err(finding) => Self::troubled(format!("{}: {}", finding.subject, finding.message)),
        }
    }

    fn troubled(trouble: String) -> Self {
        Self { trouble: Some(trouble), ..Self::default() }
    }

    /// What is configured of a stage.
    pub(crate) fn get(&self, stage: &StageName) -> Option<&Stage> {
        self.config.as_ref()?.stages.get(stage)
    }

    /// The configured stages in their order, and behind them those that only records know.
    pub(crate) fn with(&self, others: impl IntoIterator<Item = StageName>) -> Vec<StageName> {
        let mut all = self.order.clone();
        for stage in others {
            if !all.contains(&stage) {
                all.push(stage);
            }
        }
        all
    }

    /// That a stage is neither configured nor known by records.
    ///
    /// # Errors
    /// [`Misuse`] where it isn't. Where the configuration can't be read, nobody can tell.
    pub(crate) fn check(&self, stage: &StageName, others: &[StageName]) -> Result<(), Misuse> {
        let known = self.with(others.iter().cloned());
        if self.config.is_none() || known.contains(stage) {
            return Ok(());
        }
        let meant = meant(stage.as_str(), known.iter().map(StageName::as_str));
        Err(Misuse(format!("there is no stage `{stage}`{meant}")))
    }
}

/// The names of the stages in the order of the document.
fn names(document: &[u8]) -> Vec<StageName> {
    #[derive(Deserialize, Default)]
    struct Document {
        #[serde(default)]
        stages: Names,
    }
    serde_json::from_slice::<Document>(document).unwrap_or_default().stages.0
}

#[derive(Default)]
struct Names(Vec<StageName>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the stages by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_store::memory::Memory;

    use super::*;

    #[tokio::test]
    async fn stages_are_in_the_order_of_the_document_and_unknown_ones_are_told_with_the_nearest() {
        let store = Memory::default();
        let document = br#"{"schema_version": 1, "stages": {"uat": {}, "prod": {}, "dr": {}}}"#;
        store.upload("config/stages.json", document, &[]);
        let stages = Stages::read(&store).await;
        let named = |names: &[&str]| names.iter().map(|it| it.parse::<StageName>().unwrap()).collect::<Vec<_>>();
        assert_eq!(stages.with(named(&["old", "prod"])), named(&["uat", "prod", "dr", "old"]));
        let told = |stage: &str| stages.check(&stage.parse().unwrap(), &named(&["old"])).map_err(|it| it.to_string());
        assert_eq!((told("prod"), told("old")), (Ok(()), Ok(())));
        assert_eq!(told("prd"), Err("there is no stage `prd`; did you mean `prod`?".to_owned()));
    }

    #[tokio::test]
    async fn what_cant_be_read_is_told_and_refuses_no_name() {
        let store = Memory::default();
        assert!(Stages::read(&store).await.trouble.unwrap().contains("no stage is configured yet"));
        store.upload("config/stages.json", b"{}", &[]);
        let stages = Stages::read(&store).await;
        assert!(stages.trouble.clone().unwrap().contains("missing field"), "{:?}", stages.trouble);
        stages.check(&"uat".parse().unwrap(), &[]).unwrap();
    }
}
