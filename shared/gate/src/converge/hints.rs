//! What the events of a batch say of a commit beyond "look there".

use std::collections::BTreeMap;

use gatekeeper_model::{
    event::{Change, Event},
    store_key::ArtefactPath,
};

/// Which objects of a commit something happened to, and which strangers' hands were on their tags.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints {
    named: BTreeMap<ArtefactPath, Vec<String>>,
    /// Whether somebody may have been killed over one of the events: then nothing that he should have done is taken for done.
    pub(super) come_again: bool,
}

impl Hints {
    pub(super) fn add(&mut self, path: ArtefactPath, event: &Event) {
        let strangers = self.named.entry(path).or_default();
        let stranger = event.principal.as_ref().filter(|_| event.change == Change::Tagged);
        strangers.extend(stranger.filter(|it| !strangers.contains(it)).cloned().into_iter().collect::<Vec<_>>());
    }

    /// Names an object without any event that tells of it.
    pub(super) fn name(&mut self, path: ArtefactPath) {
        self.named.entry(path).or_default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &ArtefactPath> {
        self.named.keys()
    }

    pub(super) fn names(&self, path: &ArtefactPath) -> bool {
        self.named.contains_key(path)
    }

    /// Who changed the tags of an object; `None` where no event tells of it.
    pub(super) fn tagged_by(&self, path: &ArtefactPath) -> Option<String> {
        let strangers = self.named.get(path)?;
        (!strangers.is_empty()).then(|| strangers.join(", "))
    }
}
