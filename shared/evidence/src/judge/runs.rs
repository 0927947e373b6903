//! What runners carried out of the promotion: what was handed in of it, and what it was judged to be.

use gatekeeper_model::ids::Sha256;
use gatekeeper_promotion::{
    facts::RunFacts,
    record::{PinnedRecord, PromotionRecord},
    runs::{Completion, HandedIn, PlannedRun, RunProof},
    step::{Direction, Report},
};

use super::{Case, Checks};
use crate::{
    exhibits::{StoredObject, Unread},
    model::Part,
    paper,
};

const CARRIED_OUT: &str = "what a runner carried out passed, and what it handed in is stored as it was judged";

/// Checks each run of the promotion's plan. Without one nothing is said.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) {
    let Some(record) = case.record().filter(|record| !record.plan.runs.is_empty()) else { return };
    let (mut wrong, mut open, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for run in &record.plan.runs {
        match judged(case, record, run) {
            Ok(detail) => told.push(detail),
            Err(Trouble::Wrong(why)) => wrong.push(format!("`{}`: {why}", run.name())),
            Err(Trouble::Open(why)) => open.push(format!("`{}`: {why}", run.name())),
        }
    }
    checks.judged(Part::Promotion, CARRIED_OUT, &wrong, &open, told.join("; "));
}

/// Why a run doesn't hold, or why that can't be told.
enum Trouble {
    Wrong(String),
    Open(String),
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Wrong(why.into()))
}

/// What the record, the completion and the stored files say of a run, where they say the same.
fn judged(case: &Case<'_>, record: &PromotionRecord, run: &PlannedRun) -> Result<String, Trouble> {
    let name = run.name();
    let reported = record.reported::<RunFacts>().find_map(|it| match it {
        Ok((Direction::Forward, report)) if report.subject == name.as_str() => Some(Ok(report)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let report: Report<RunFacts> = match reported {
        Some(Ok(report)) => report,
        Some(Err(error)) => return wrong(error.to_string()),
        None => return wrong("the promotion's record tells nothing of it"),
    };
    let (Ok(Some(pinned)), Ok(Some(files))) = (report.facts.completion.read(), report.facts.files.read()) else {
        return wrong("the promotion's record does not tell what was handed in");
    };
    let PinnedRecord { key, sha256, .. } = pinned;
    let completion: Completion = match case.exhibits.read(&paper::run(&name)) {
        Ok(read) if read.sha256 == *sha256 => read.value,
        Ok(_) => return wrong(format!("`{key}` is not what the promotion's record says")),
        Err(unread @ Unread::NotLooked(_)) => return Err(Trouble::Open(format!("`{key}`: {unread}"))),
        Err(unread) => return wrong(format!("`{key}`: {unread}")),
    };
    if !completion.passed || completion.run != name || completion.promotion_id != record.promotion_id {
        return wrong(format!("`{key}` does not say that this run of this promotion passed"));
    }
    if completion.files != *files {
        return wrong(format!("`{key}` names other documents than the promotion's record"));
    }
    for file in files {
        is_stored(&case.exhibits.observed.handed_in, file)?;
    }
    let digests: Vec<_> = files.iter().map(|it| format!("`{}` `{}`", it.file.as_str(), it.sha256)).collect();
    let what = match &completion.proof {
        RunProof::Dbt(proof) => {
            let nodes: Vec<_> = proof.nodes.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let target = proof.target.as_deref().unwrap_or("?");
            format!("dbt built {} on `{target}`, {} nodes' code is dev's", nodes.join(", "), proof.compared)
        }
        RunProof::Pulumi(proof) => {
            format!("`{}` of `{}` updated, its state is `{}`", proof.stack, proof.project, proof.state_sha256)
        }
    };
    let by = &completion.completed_by;
    let handed_in = if digests.is_empty() { String::new() } else { format!(", with {}", digests.join(" and ")) };
    Ok(format!("`{name}`: {what}; handed in by `{by}`{handed_in}"))
}

/// Whether a document is stored as it was handed in.
fn is_stored(stored: &[StoredObject], file: &HandedIn) -> Result<(), Trouble> {
    let HandedIn { key, version_id, sha256, .. } = file;
    let Some(seen) = stored.iter().find(|it| it.key == *key && it.version_id == *version_id) else {
        return Err(Trouble::Open(format!("`{key}` was not looked at")));
    };
    match (&seen.unread, seen.there, seen.sha256) {
        (Some(why), ..) => Err(Trouble::Open(format!("`{key}` could not be looked at: {why}"))),
        (None, false, _) => wrong(format!("version `{version_id}` of `{key}` is not there")),
        (None, true, Some(found)) if found == *sha256 => Ok(()),
        (None, true, Some(found)) => wrong(different(key, found, *sha256)),
        (None, true, None) => Err(Trouble::Open(format!("the store does not tell the SHA-256 of `{key}`"))),
    }
}

fn different(key: &str, found: Sha256, judged: Sha256) -> String {
    format!("`{key}` has SHA-256 `{found}`, and `{judged}` was judged")
}
