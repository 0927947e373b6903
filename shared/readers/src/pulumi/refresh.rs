//! What `pulumi refresh --preview-only --json` prints: whether the resources of a stack are as its state says.
//!
//! Of what differs Pulumi 3.276 tells the counts alone: every step is called `refresh`, whatever was found, and its two states
//! are the same.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use serde::Deserialize;

use super::{bounds, history::Counts, preview::Diagnostics, told};
use crate::{
    bounded_json,
    dbt::object::{Keyed, Listed, Object},
};

/// The depth of the strings that are kept: `{"diagnostics": [{"severity": …`.
const STRINGS_DOWN_TO: usize = 3;

/// What a refresh calls what it found to be as the state says.
const SAME: &str = "same";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    change_summary: Keyed<Counts>,
    #[serde(default)]
    diagnostics: Option<Listed<Diagnostics>>,
}

/// Reads it: how many resources differ from the state, by Pulumi's word for it, such as `update` or `delete`; empty where
/// all of them are as the state says. What is wrong with the document is told in words, and holds nothing of its values.
///
/// # Errors
/// Where `reader` fails.
pub fn differing(reader: impl Read) -> io::Result<Result<BTreeMap<String, u64>, String>> {
    let mut json = bounded_json::parser(reader, bounds(STRINGS_DOWN_TO));
    let read = Object::<Document>::deserialize(&mut json);
    Ok(match bounded_json::finish(json, read) {
        Ok(Object(document)) => document.differing(),
        Err(failure) => Err(told(failure, "what `pulumi refresh --preview-only --json` prints")?),
    })
}

impl Document {
    fn differing(self) -> Result<BTreeMap<String, u64>, String> {
        let errors = self.diagnostics.map_or(0, |Listed(it)| it.errors);
        if errors > 0 {
            return Err(format!("the refresh tells of {errors} errors, so it has not looked at everything"));
        }
        let Keyed(Counts(mut counts)) = self.change_summary;
        counts.remove(SAME);
        counts.retain(|_, count| *count > 0);
        Ok(counts)
    }
}
